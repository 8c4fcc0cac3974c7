//! The programs run for real, and nothing that they build on knows of a network.
#![allow(clippy::unwrap_used)]

use std::process::Command;

use testkit::{Tree, workspace};

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn tree() -> (tempfile::TempDir, Tree) {
    let folder = tempfile::tempdir().unwrap();
    let tree = Tree::new(folder.path().join("le"), testkit::now());
    let hours = chrono::TimeDelta::hours;
    tree.lineage("fresh.example").left(hours(60 * 24 + 1)).write();
    tree.lineage("soon.example").left(hours(12 * 24 + 1)).write();
    tree.lineage("tight.example").left(hours(2 * 24 + 1)).write();
    (folder, tree)
}

#[test]
fn list_expiring_names_what_is_near_its_end_and_what_is_broken() {
    let (_folder, tree) = tree();
    std::fs::write(tree.config_dir().join("renewal/odd.conf"), "no equals sign").unwrap();
    let before = tree.snapshot();
    let listing = run(env!("CARGO_BIN_EXE_list_expiring"), &[tree.config_dir().to_str().unwrap()]);
    assert!(listing.contains("soon.example: 12 days left\n"), "{listing}");
    assert!(listing.contains("tight.example: 2 days left\n"), "{listing}");
    assert!(listing.contains("odd: "), "{listing}");
    assert!(!listing.contains("fresh.example"), "{listing}");
    assert_eq!(before, tree.snapshot(), "reading wrote something");
}

#[test]
fn own_policy_waits_for_the_night_unless_it_is_tight() {
    let (_folder, tree) = tree();
    let decide = |hour| run(env!("CARGO_BIN_EXE_own_policy"), &[tree.config_dir().to_str().unwrap(), hour]);
    let by_day = decide("14");
    assert!(by_day.contains("fresh.example: later\n"), "{by_day}");
    assert!(by_day.contains("soon.example: tonight\n"), "{by_day}");
    assert!(by_day.contains("tight.example: now, a third of the lifetime is left\n"), "{by_day}");
    assert!(decide("2").contains("soon.example: now, "));
}

/// A year for fewer lineages and days, so that it is quick without optimization; what goes wrong in a year comes early.
fn simulate(arguments: &[&str]) -> String {
    let report = run(env!("CARGO_BIN_EXE_simulate"), arguments);
    assert!(report.contains("Expired without an excuse, limits broken, loops: 0\n"), "{report}");
    report
}

/// The number after some words of a report.
fn number(report: &str, words: &str) -> u64 {
    let rest = report.split(words).nth(1).unwrap_or_else(|| panic!("no {words:?} in {report}"));
    rest.trim_start().split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

#[test]
fn a_simulated_year_of_a_daemon_loses_no_certificate_and_breaks_no_limit() {
    let report = simulate(&["600", "120"]);
    // It was no quiet year.
    assert!(number(&report, "Renewals:") > 10_000, "{report}");
    assert!(number(&report, "Revoked:") > 50 && number(&report, "Attempts at a stand-in:") > 0, "{report}");
    assert!(report.contains("New: 120; 120 have a certificate"), "{report}");
    for trouble in
        ["429", "503", "the CA did not answer", "the machine's clock was wrong", "the machine's disk was full"]
    {
        assert!(report.contains(&format!("  {trouble}\n")), "{trouble}: {report}");
    }
    for held in ["certificates-per-registered-domain", "loop-guard", "retry-after"] {
        assert!(report.contains(&format!("  {held}\n")), "{held}: {report}");
    }
}

#[test]
fn a_simulated_year_of_a_cron_job_loses_no_certificate_and_breaks_no_limit() {
    let report = simulate(&["600", "120", "2", "--every", "12h"]);
    assert!(number(&report, "Renewals:") > 5_000, "{report}");
    assert!(report.contains("12.0 h is too short for a run every 12.0 h"), "{report}");
}

#[test]
fn an_owner_is_told_in_time_and_nothing_twice_in_400_days_in_which_one_renewal_in_ten_fails() {
    for arguments in [&["--notices"][..], &["--notices", "60", "400", "2", "--every", "3h"]] {
        let report = run(env!("CARGO_BIN_EXE_simulate"), arguments);
        assert!(report.contains("Surprises, repetitions, false alarms: 0\n"), "{report}");
        // They were no quiet days.
        assert!(number(&report, "Expired:") > 50 && number(&report, "notices before:") >= 3, "{report}");
        for kind in ["renewal-failed (warning)", "overdue (warning)", "expiring (critical)", "expiring (emergency)"] {
            assert!(report.contains(kind), "{kind}: {report}");
        }
        assert!(report.contains("deploy-pending (warning)") && report.contains("recovered (info)"), "{report}");
    }
}

#[test]
fn the_same_seed_gives_the_same_year_and_another_one_another() {
    let year = |seed: &str| simulate(&["100", "60", seed]).split("It took").next().unwrap().to_owned();
    assert_eq!(year("7"), year("7"));
    assert_ne!(year("7").split_once('\n').unwrap().1, year("8").split_once('\n').unwrap().1);
}

#[test]
fn the_core_needs_no_runtime_no_network_and_no_c_compiler() {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--package",
            "certkit-examples-core",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
        ])
        .current_dir(workspace())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    assert!(tree.lines().any(|line| line.starts_with("certkit-core ")), "{tree}");
    for refused in ["tokio", "hyper", "mio", "aws-lc-rs", "aws-lc-sys", "ring", "openssl-sys", "cc"] {
        let found = tree.lines().find(|line| line.split(' ').next() == Some(refused));
        assert_eq!(found, None, "certkit-core must not depend on {refused}");
    }
}
