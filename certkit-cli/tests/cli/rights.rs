//! Users who may read a part of the tree only, such as that of a monitoring system: they are told what they cannot see, and
//! not that it is broken.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::Command;

use testkit::{LineagePaths, Pebble, PebbleOptions};

use crate::support::{Place, as_nobody};

fn chmod(path: impl AsRef<std::path::Path>, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A tree whose folders everybody can look into, with two certificates.
fn open_place() -> (Place, [LineagePaths; 2]) {
    let place = Place::new();
    let lineages = ["a.example", "b.example"].map(|name| place.tree.lineage(name).write());
    let config = place.tree.config_dir();
    for folder in [config.to_owned(), config.join("live"), config.join("archive")] {
        chmod(folder, 0o755);
    }
    for folder in ["work", "log"] {
        fs::create_dir_all(place.folder().join(folder)).unwrap();
        chmod(place.folder().join(folder), 0o777);
    }
    (place, lineages)
}

#[test]
fn check_says_unknown_of_what_it_may_not_read_and_critical_of_what_is_broken() {
    let (place, [closed, open]) = open_place();
    chmod(&closed.archive, 0o000);
    // Whether a key belongs to its certificate is a part of the answer.
    let key = open.archive.join("privkey1.pem");
    chmod(&key, 0o000);
    let run = place.run_as_nobody(&["check", "--cert-name", "b.example"]).ends_with(3);
    assert!(run.stdout.contains("privkey1.pem"), "{run:?}");
    chmod(&key, 0o644);
    let run = place.run_as_nobody(&["check"]).ends_with(3);
    assert!(run.stdout.starts_with("CERTKIT UNKNOWN") && run.stdout.contains("a.example"), "{run:?}");
    assert!(run.stdout.contains("run as the user who owns it") && !run.stdout.contains("certkit delete"), "{run:?}");
    let document = place.run_as_nobody(&["check", "--json"]).ends_with(3).json();
    let level = |name: &str| {
        let all = document["certificates"].as_array().unwrap();
        all.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("{document:#}"))["level"].clone()
    };
    assert_eq!((level("a.example"), level("b.example")), ("unknown".into(), "ok".into()));

    // What is known to be broken is worse.
    fs::remove_file(open.live.join("cert.pem")).unwrap();
    let run = place.run_as_nobody(&["check"]).ends_with(2);
    assert!(run.stdout.starts_with("CERTKIT CRITICAL"), "{run:?}");
    chmod(&closed.archive, 0o755);
}

#[test]
fn fsck_tells_of_accounts_that_it_may_not_read_and_of_all_else() {
    let (place, [lineage, _]) = open_place();
    let accounts = place.tree.config_dir().join("accounts");
    fs::create_dir_all(accounts.join("ca.example/directory")).unwrap();
    chmod(&accounts, 0o000);
    fs::write(lineage.live.join("previous_cert.pem"), "mine").unwrap();
    let document = place.run_as_nobody(&["fsck", "--json"]).ends_with(1).json();
    let text = document.to_string();
    for told in ["previous_cert.pem", "accounts", "unreadable", "left-over"] {
        assert!(text.contains(told), "{told}: {document:#}");
    }
    let run = place.run_as_nobody(&["fsck"]).ends_with(1);
    assert!(run.stdout.contains("run as the user who owns it"), "{run:?}");
    chmod(&accounts, 0o700);
}

#[test]
fn a_tree_that_lies_open_is_judged_by_everybody_alike() {
    let (place, lineages) = open_place();
    for lineage in &lineages {
        chmod(lineage.archive.join("privkey1.pem"), 0o644);
    }
    assert!(place.run_as_nobody(&["check"]).ends_with(0).stdout.starts_with("CERTKIT OK"));
}

#[test]
fn who_owns_the_tree_needs_not_be_root_and_who_does_not_is_told_which_path() {
    let (place, ca) = (Place::new(), Pebble::start(PebbleOptions::default()));
    let (config, roots) = (place.tree.config_dir().to_owned(), place.folder().join("roots.pem"));
    fs::copy(ca.ca_bundle(), &roots).unwrap();
    chmod(&roots, 0o644);
    let port = ca.http_port().to_string();
    let as_nobody = |words: &[&str]| {
        let mut command = place.command(words);
        command.args(["--server", &ca.directory_url(), "--ca-bundle"]).arg(&roots);
        as_nobody(place.folder(), &command)
    };
    let mut obtain = vec!["certonly", "-n", "--agree-tos", "--register-unsafely-without-email", "--standalone"];
    obtain.extend(["--http-01-port", &port, "-d", "a.example.org"]);
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        // Everything is root's.
        let run = as_nobody(&obtain);
        assert_ne!(run.status, Some(0), "{run:?}");
        let path = place.folder().to_str().unwrap();
        assert!(run.stderr.contains(path) && run.stderr.contains("ermission denied"), "{run:?}");
        assert!(!config.join("live/a.example.org").exists(), "{run:?}");
        let given = Command::new("chown").args(["-R", "65534:65534"]).arg(place.folder()).status().unwrap();
        assert!(given.success());
    }
    as_nobody(&obtain).ends_with(0);
    as_nobody(&["renew", "-n", "--force-renewal", "--no-random-sleep-on-renew", "--no-probe"]).ends_with(0);
    as_nobody(&["fsck"]).ends_with(0);
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        // Of a run by root, before what these leave was the owner's.
        let carried = config.join("certkit/carried.a.example.org");
        assert!(Command::new("chown").arg("0:0").arg(&carried).status().unwrap().success());
        as_nobody(&["rollback", "-n", "--cert-name", "a.example.org", "--no-probe"]).ends_with(0);
        as_nobody(&["rollback", "-n", "--cert-name", "a.example.org", "--to", "2", "--no-probe"]).ends_with(0);
        assert_ne!(fs::metadata(carried).unwrap().uid(), 0);
    }
    let key = fs::metadata(config.join("archive/a.example.org/privkey2.pem")).unwrap();
    assert_eq!((key.mode() & 0o777, key.uid()), (0o600, fs::metadata(&config).unwrap().uid()));
}
