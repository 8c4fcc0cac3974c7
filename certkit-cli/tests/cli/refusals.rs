//! What is refused, and what a wrong command line looks like.

use std::fs;

use crate::support::Place;

#[test]
fn a_wrong_command_line_is_status_2_and_says_what_to_do() {
    let place = Place::new();
    for (arguments, expected) in [
        (&[][..], "no command was given"),
        (&["frobnicate"], "the commands are: certificates"),
        (&["run", "-d", "a.example"], "certkit certonly"),
        (&["statuses"], "not a command"),
        (&["plan", "--webroot"], "does not take --webroot"),
        (&["status", "surplus"], "surplus"),
        (&["deploy", "--deploy-hook", "true"], "certkit reconfigure --cert-name NAME --deploy-hook COMMAND"),
        (&["daemon", "--force-renewal"], "certkit renew --force-renewal"),
        (&["daemon", "--dry-run"], "--dry-run works with renew"),
        (&["daemon", "--new-key"], "certkit renew --force-renewal --new-key"),
        (&["daemon", "-d", "a.example"], "does not take --domains"),
        (&["renew", "-d", "a.example"], "--cert-name"),
        (&["renew", "--nginx"], "--webroot -w DIR"),
        (&["renew", "--frobnicate"], "--frobnicate"),
        (&["certonly", "-d", "a.example"], "--standalone"),
        (&["certonly", "--standalone"], "-d NAME"),
        (&["certonly", "--standalone", "-d", "a..b"], "a..b"),
        (&["certonly", "--webroot", "-d", "a.example"], "-w DIR"),
        (&["certonly", "--standalone", "-d", "a.example", "--server", "http://ca.example/"], "--server"),
        (&["delete"], "--cert-name"),
        (&["delete", "--cert-name", "../x"], "slash"),
        (&["delete", "--cert-name", "a", "--dry-run"], "--dry-run"),
        (&["revoke"], "Exactly one of --cert-path or --cert-name"),
        (&["revoke", "--cert-path", "a", "--cert-name", "b"], "Exactly one of"),
        (&["update_account"], "--email"),
        (&["reconfigure", "--cert-name", "a", "-d", "b"], "certonly --cert-name"),
        (&["inspect"], "FILE"),
        (&["certificates", "surplus"], "surplus"),
        (&["register", "--eab-kid", "a"], "belong together"),
    ] {
        let run = place.run(arguments).ends_with(2);
        assert!(run.stderr.contains(expected), "{arguments:?}: {}", run.stderr);
        assert_eq!(run.stdout, "", "{arguments:?}");
    }
}

#[test]
fn cli_ini_is_read_from_the_config_dir() {
    let place = Place::new();
    let ini = place.tree.config_dir().join("cli.ini");
    fs::write(&ini, "max-log-backups = 0\npreconfigured-renewal = True\n").unwrap();
    let run = place.run(&["certificates", "-v"]).ends_with(0);
    assert!(run.stderr.contains("max-log-backups"), "{}", run.stderr);
    assert_eq!(place.run(&["certificates"]).ends_with(0).stderr, "");
    fs::write(&ini, "\nnonsense = 1\n").unwrap();
    let run = place.run(&["certificates"]).ends_with(2);
    assert!(run.stderr.contains("cli.ini, line 2: `nonsense`"), "{}", run.stderr);
}

#[test]
fn terms_are_not_agreed_to_by_silence_and_unknown_hooks_are_found_early() {
    let place = Place::new();
    let run = place.run(&["renew", "--deploy-hook", "/nonexistent/hook"]).ends_with(1);
    assert!(run.stderr.contains("deploy hook /nonexistent/hook"), "{}", run.stderr);
    place.run(&["renew", "--deploy-hook", "/nonexistent/hook", "--disable-hook-validation"]).ends_with(0);
}

#[test]
fn help_and_version() {
    let place = Place::new();
    let run = place.run(&["--help"]).ends_with(0);
    assert!(run.stdout.contains("Usage: certkit COMMAND") && run.stdout.contains("  renew "), "{}", run.stdout);
    assert!(!run.stdout.contains('\u{1b}'), "no colours where no terminal is");
    let run = place.run(&["renew", "-h"]).ends_with(0);
    assert!(run.stdout.contains("Usage: certkit renew [FLAGS]") && run.stdout.contains("--no-random-sleep-on-renew"));
    assert!(place.run(&["--version"]).ends_with(0).stdout.starts_with("certkit "));
    place.run(&["frobnicate", "--help"]).ends_with(2);
}

#[test]
fn deleting_removes_one_certificate_and_works_for_broken_ones() {
    let place = Place::new();
    let good = place.tree.lineage("e.example.org").write();
    let other = place.tree.lineage("o.example.org").write();
    let broken = place.tree.lineage("k.example.org").write();
    fs::remove_file(broken.live.join("cert.pem")).unwrap();
    for name in ["e.example.org", "k.example.org"] {
        let run = place.run(&["delete", "--cert-name", name]).ends_with(0);
        assert_eq!(run.stdout, format!("Deleted all files relating to certificate {name}.\n"));
    }
    assert!(!good.conf.exists() && !good.live.exists() && !good.archive.exists());
    assert!(!broken.conf.exists());
    assert!(other.live.join("cert.pem").exists());
    place.run(&["delete", "--cert-name", "e.example.org"]).ends_with(1);
    assert!(fs::read_to_string(place.log()).unwrap().contains("certkit 0.1.0 delete"));
}

#[test]
fn what_a_deleted_certificate_has_on_another_disk_is_told_and_goes_with_the_flag() {
    for with_flag in [false, true] {
        let place = Place::new();
        let lineage = place.tree.lineage("e.example.org").write();
        let disk = place.folder().join("disk");
        fs::rename(place.tree.config_dir().join("archive"), &disk).unwrap();
        std::os::unix::fs::symlink(&disk, place.tree.config_dir().join("archive")).unwrap();
        let keys = disk.join("e.example.org");
        if with_flag {
            let run = place.run(&["delete", "--cert-name", "e.example.org", "--also-in", disk.to_str().unwrap()]);
            assert_eq!(run.ends_with(0).stdout, "Deleted all files relating to certificate e.example.org.\n");
            assert!(!keys.exists() && disk.exists());
            continue;
        }
        // Quietly, too.
        let run = place.run(&["delete", "--cert-name", "e.example.org", "-q"]).ends_with(1);
        let command = format!("if none does: rm -r -- {}", keys.display());
        assert!(run.stdout.is_empty() && run.stderr.contains(&command), "{run:?}");
        assert!(!lineage.conf.exists() && keys.join("privkey1.pem").exists());
        // What is left can be deleted with the flag as well.
        let run = place.run(&["fsck"]).ends_with(1);
        let cure = format!("certkit delete --cert-name e.example.org --also-in {}", disk.display());
        assert!(run.stdout.split_whitespace().collect::<Vec<_>>().join(" ").contains(&cure), "{run:?}");
        let run = place.run(&["delete", "--cert-name", "e.example.org", "--json"]).ends_with(1);
        let kept = &run.json()["kept"][0];
        assert_eq!((kept["folder"].as_str(), kept["tree"].as_str()), (keys.to_str(), None));
        place.run(&["delete", "--cert-name", "e.example.org", "--also-in", disk.to_str().unwrap()]).ends_with(0);
        assert!(!keys.exists());
        place.run(&["fsck"]).ends_with(0);
    }
}

#[test]
fn a_deletion_that_was_interrupted_before_what_lies_outside_is_ended_with_the_flag() {
    let place = Place::new();
    let lineage = place.tree.lineage("e.example.org").write();
    let (config, disk) = (place.tree.config_dir(), place.folder().join("disk"));
    let text = fs::read_to_string(&lineage.conf).unwrap();
    let text = text.replace(lineage.archive.to_str().unwrap(), disk.to_str().unwrap());
    fs::create_dir_all(config.join("certkit/deleting")).unwrap();
    fs::write(config.join("certkit/deleting/e.example.org"), text).unwrap();
    fs::rename(&lineage.archive, &disk).unwrap();
    fs::remove_dir_all(&lineage.live).unwrap();
    fs::remove_file(&lineage.conf).unwrap();
    let command = format!("certkit delete --cert-name e.example.org --also-in {}", disk.display());
    let run = place.run(&["renew", "--no-random-sleep-on-renew"]);
    assert!(format!("{}{}", run.stdout, run.stderr).contains(&command), "{run:?}");
    assert!(disk.join("privkey1.pem").exists());
    place.run(&["delete", "--cert-name", "e.example.org", "--also-in", disk.to_str().unwrap()]).ends_with(0);
    assert!(!disk.join("privkey1.pem").exists());
    place.run(&["delete", "--cert-name", "e.example.org"]).ends_with(1);
}

#[test]
fn where_the_confs_lie_elsewhere_the_refusal_is_one_line_and_its_command_can_be_typed() {
    let place = Place::new();
    let lineage = place.tree.lineage("e.example.org").write();
    let disk = place.folder().join("di\u{1b}[31mR\nX $HOME'");
    fs::rename(place.tree.config_dir().join("renewal"), &disk).unwrap();
    std::os::unix::fs::symlink(&disk, place.tree.config_dir().join("renewal")).unwrap();
    let run = place.run(&["delete", "--cert-name", "e.example.org"]).ends_with(1);
    assert!(run.stderr.contains("nothing was deleted: ") && !run.stderr.contains("\u{1b}["), "{run:?}");
    assert!(run.stderr.contains(r"X $HOME'\'''") && !run.stderr.contains("disk is not full"), "{run:?}");
    assert!(lineage.archive.join("privkey1.pem").exists() && disk.join("e.example.org.conf").exists());
    place.run(&["delete", "--cert-name", "e.example.org", "--also-in", disk.to_str().unwrap()]).ends_with(0);
    assert!(!lineage.archive.exists() && !disk.join("e.example.org.conf").exists());
}

#[test]
fn of_two_that_share_their_files_one_goes_without_them() {
    let place = Place::new();
    let one = place.tree.lineage("e.example.org").write();
    fs::copy(&one.conf, one.conf.with_file_name("twin.conf")).unwrap();
    let run = place.run(&["delete", "--cert-name", "e.example.org"]).ends_with(0);
    assert!(run.stdout.contains("twin"), "{}", run.stdout);
    assert!(!one.conf.exists());
    assert!(one.live.join("cert.pem").exists() && one.archive.exists());
    // What an interrupted removal leaves has no conf, but a name.
    place.run(&["delete", "--cert-name", "twin"]).ends_with(0);
    assert!(!one.live.exists() && !one.archive.exists());
    fs::create_dir(&one.archive).unwrap();
    fs::write(one.archive.join("privkey1.pem"), "left").unwrap();
    place.run(&["delete", "--cert-name", "e.example.org"]).ends_with(0);
    assert!(!one.archive.exists());
}
