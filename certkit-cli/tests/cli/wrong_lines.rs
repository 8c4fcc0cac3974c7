//! Confs whose lines say something else than is there, as `fsck` and `renew` tell of them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use certkit_core::Certificate;

use crate::support::{Place, Run};

fn rewrite(conf: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(conf).unwrap();
    assert!(text.contains(from), "{from}: {text}");
    fs::write(conf, text.replace(from, to)).unwrap();
}

/// Without the wrapping.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_path_that_does_not_begin_at_the_root_counts_from_here_and_is_told_where_it_leads_to_nothing() {
    let place = Place::new();
    let lineage = place.tree.lineage("a.example").versions(2).write();
    let top = format!("{}/", place.tree.config_dir().display());
    rewrite(&lineage.conf, &top, "");
    let from =
        |folder: &Path, arguments: &[&str]| Run::of(place.command(arguments).current_dir(folder).output().unwrap());
    // As with certbot.
    assert_eq!(from(place.tree.config_dir(), &["fsck"]).ends_with(0).stdout, "Nothing is wrong.\n");
    let listed = from(place.tree.config_dir(), &["certificates"]).ends_with(0).stdout;
    assert!(listed.contains("live/a.example/fullchain.pem") && !listed.contains("invalid"), "{listed}");
    for (arguments, status) in [(&["fsck"][..], 1), (&["certificates"], 0), (&["renew"], 1)] {
        let run = from(Path::new("/"), arguments).ends_with(status);
        let told = words(&format!("{}{}", run.stdout, run.stderr));
        assert!(told.contains("no path from the root") || told.contains("no paths from the root"), "{told}");
    }
    let run = place.run(&["fsck", "--repair"]).ends_with(0);
    assert!(words(&run.stdout).contains("write renewal/a.example.conf with paths from the root"), "{run:?}");
    assert_eq!(place.run(&["fsck"]).ends_with(0).stdout, "Nothing is wrong.\n");
}

#[test]
fn why_a_conf_cannot_be_used_is_told_once_with_the_lines_that_have_to_stand_there() {
    let place = Place::new();
    let lineage = place.tree.lineage("a.example").versions(2).server("https://127.0.0.1:1/dir").write();
    place.tree.lineage("b.example").write();
    for there in ["archive/a.example/", "live/b.example/"] {
        let before = fs::read_to_string(&lineage.conf).unwrap();
        for kind in ["cert", "chain"] {
            rewrite(&lineage.conf, &format!("live/a.example/{kind}.pem"), &format!("{there}{kind}.pem"));
        }
        let line = |kind: &str| format!("`{kind} = {}`", lineage.live.join(format!("{kind}.pem")).display());
        let run = place.run(&["renew", "--force-renewal", "--cert-name", "a.example"]).ends_with(1);
        let told = format!("{}{}", run.stdout, run.stderr);
        assert!(told.contains(&format!("say {}, {}", line("cert"), line("chain"))), "{told}");
        // Neither the general cure beside the right one, nor what comes of the lines.
        assert_eq!(told.matches("What to do:").count(), 1, "{told}");
        assert_eq!(told.matches(&format!("renewal/a.example.conf has cert = {there}cert.pem")).count(), 1, "{told}");
        let document = place.run(&["renew", "--force-renewal", "--cert-name", "a.example", "--json"]).ends_with(1);
        let document: serde_json::Value = serde_json::from_str(&document.stdout).unwrap();
        assert_eq!(document["problems"].as_array().map_or(0, Vec::len), 0, "{document:#}");
        let failed = &document["failed"][0];
        assert!(failed.to_string().contains(&lineage.live.join("chain.pem").display().to_string()), "{document:#}");
        let run = place.run(&["fsck"]).ends_with(1);
        assert!(run.stdout.contains(&format!("\n              {},\n", line("cert"))), "{run:?}");
        // Nobody is told to change the links of the other one.
        for arguments in [&["certificates"][..], &["status"], &["doctor", "--no-network"]] {
            let run = place.run(arguments);
            let told = format!("{}{}", run.stdout, run.stderr);
            assert!(told.contains("a.example") && !told.contains("make the link point"), "{arguments:?}: {told}");
        }
        fs::write(&lineage.conf, before).unwrap();
    }
}

#[test]
fn what_is_missing_besides_is_told_with_the_lines_that_are_wrong() {
    let place = Place::new();
    let lineage = place.tree.lineage("a.example").write();
    place.tree.lineage("b.example").write();
    let text = fs::read_to_string(&lineage.conf).unwrap();
    let (top, _) = text.split_once("[renewalparams]").unwrap();
    fs::write(&lineage.conf, top.replace("live/a.example/privkey.pem", "live/b.example/privkey.pem")).unwrap();
    for arguments in [&["fsck"][..], &["renew"]] {
        let run = place.run(arguments).ends_with(1);
        let told = words(&format!("{}{}", run.stdout, run.stderr));
        for part in ["which is a live link of b.example", "the section [renewalparams] is missing"] {
            assert_eq!(told.matches(part).count(), 1, "{arguments:?} {part}: {told}");
        }
    }
}

/// As a run leaves it that was killed while it stored version 2.
fn leave_commit(place: &Place, name: &str, leaf_sha256: &str) {
    let journal = serde_json::json!({
        "schema": 1, "version": 2, "replaces": 1, "new_lineage": false, "consumes_pending": false, "leaf_sha256": leaf_sha256,
    });
    let folder = place.tree.config_dir().join("certkit/commit");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(format!("{name}.json")), journal.to_string()).unwrap();
}

#[test]
fn a_certificate_is_not_told_the_command_that_deletes_another() {
    let place = Place::new();
    for name in ["a.example", "b.example"] {
        let lineage = place.tree.lineage(name).write();
        fs::write(lineage.conf, "garbage\n").unwrap();
        leave_commit(&place, name, "00");
    }
    let run = place.run(&["renew"]).ends_with(1);
    assert!(!run.stderr.contains("the same as for"), "{run:?}");
}

#[test]
fn a_commit_that_waits_for_its_conf_says_so_and_each_thing_is_told_once() {
    let place = Place::new();
    let lineage = place.tree.lineage("a.example").versions(2).server("https://127.0.0.1:1/dir").write();
    place.tree.lineage("b.example").write();
    let before = fs::read_to_string(&lineage.conf).unwrap();
    for kind in ["cert", "privkey", "chain", "fullchain"] {
        let link = lineage.live.join(format!("{kind}.pem"));
        fs::remove_file(&link).unwrap();
        symlink(format!("../../archive/a.example/{kind}1.pem"), &link).unwrap();
    }
    let leaf = Certificate::from_pem(&fs::read(lineage.archive.join("cert2.pem")).unwrap()).unwrap();
    let leaf_sha256: String = leaf.fingerprint_sha256().iter().map(|octet| format!("{octet:02x}")).collect();
    leave_commit(&place, "a.example", &leaf_sha256);
    rewrite(&lineage.conf, "live/a.example/privkey.pem", "live/b.example/privkey.pem");
    let line = format!("`privkey = {}`", lineage.live.join("privkey.pem").display());
    let run = place.run(&["fsck", "--repair"]).ends_with(1);
    assert!(run.stdout.contains(&line) && !run.stdout.contains("Repair:"), "{run:?}");
    assert!(words(&run.stdout).contains("put right what its renewal configuration says, as told besides"), "{run:?}");
    for arguments in [&["renew", "--force-renewal"][..], &["deploy"]] {
        let run = place.run(&[arguments, &["--cert-name", "a.example"]].concat());
        let told = format!("{}{}", run.stdout, run.stderr);
        assert_eq!(told.matches(&line).count(), 1, "{arguments:?}: {told}");
        assert_eq!(told.matches("What to do:").count(), 1, "{arguments:?}: {told}");
    }
    // As told.
    fs::write(&lineage.conf, before).unwrap();
    place.run(&["fsck", "--repair"]).ends_with(0);
    assert_eq!(fs::read_link(lineage.live.join("cert.pem")).unwrap(), Path::new("../../archive/a.example/cert2.pem"));
}

#[test]
fn what_a_repair_made_live_is_told_as_pending_until_it_is_deployed() {
    let place = Place::new();
    let lineage = place.tree.lineage("a.example").versions(2).deploy_hook("true").write();
    place.tree.lineage("b.example").write();
    fs::remove_file(lineage.live.join("privkey.pem")).unwrap();
    place.run(&["fsck", "--repair"]).ends_with(0);
    for command in ["deploy", "renew"] {
        let run = place.run(&[command, "--no-probe", "--cert-name", "b.example"]);
        let told = format!("{}{}", run.stdout, run.stderr);
        let pending = "a.example: the certificate in use is not deployed yet: version 2 is live. What to do: certkit deploy \
                       --cert-name a.example.";
        assert!(told.contains(pending) && !told.contains("put it right"), "{command}: {told}");
    }
    let run = place.run(&["deploy", "--no-probe", "--cert-name", "a.example"]).ends_with(0);
    let told = format!("{}{}", run.stdout, run.stderr);
    assert!(told.contains("Version 2 of a.example is deployed now"), "{told}");
    assert!(!told.contains("not deployed yet") && !told.contains("put it right"), "{told}");
}

#[test]
fn what_is_wrong_with_a_tree_that_was_moved_is_told_in_full_once() {
    let place = Place::new();
    for name in ["a.example", "b.example", "c.example"] {
        let lineage = place.tree.lineage(name).write();
        rewrite(&lineage.conf, place.tree.config_dir().to_str().unwrap(), "/nonexistent/my le");
    }
    let fsck = place.run(&["fsck"]).ends_with(1);
    assert!(fsck.stdout.contains("For:        a.example, b.example, c.example\n"), "{fsck:?}");
    let renew = place.run(&["renew"]).ends_with(1);
    let one = place.run(&["renew", "--cert-name", "a.example"]).ends_with(1);
    assert_eq!(renew.stderr.matches("What to do: the same as for a.example.\n").count(), 2, "{renew:?}");
    // The failure of the one that was asked for, and what recovery says of the others.
    assert_eq!(one.stderr.matches("What to do: the same as for b.example.\n").count(), 1, "{one:?}");
    for (run, times) in [(&fsck, 1), (&renew, 1), (&one, 2)] {
        let told = format!("{}{}", run.stdout, run.stderr);
        assert_eq!(told.matches("sed -E -i").count(), times, "{run:?}");
    }
    let (_, command) = renew.stderr.split_once("(`").unwrap();
    let (command, _) = command.split_once("`)").unwrap();
    assert!(std::process::Command::new("sh").args(["-c", command]).status().unwrap().success(), "{command}");
    assert_eq!(place.run(&["fsck"]).ends_with(0).stdout, "Nothing is wrong.\n");
}
