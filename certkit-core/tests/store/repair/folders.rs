//! What lies about, who may read it, and what is repaired when not all is.

use certkit_core::store::{ConfEdits, ConfPlan};

use super::*;

#[test]
fn leftovers_are_cleaned_and_orphans_with_something_in_them_are_left() {
    let dir = laid(&["v1"]);
    fs::write(dir.path().join("renewal/a.example.org.conf.new"), "half").unwrap();
    fs::write(dir.path().join("archive/a.example.org/.privkey2.pem.certkit-tmp"), "half").unwrap();
    fs::write(dir.path().join("renewal/.a.example.org.conf.certkit-tmp"), "half").unwrap();
    fs::create_dir(dir.path().join("live/empty.example.org")).unwrap();
    fs::create_dir(dir.path().join("archive/empty.example.org")).unwrap();
    fs::create_dir(dir.path().join("archive/gone.example.org")).unwrap();
    fs::write(dir.path().join("archive/gone.example.org/privkey1.pem"), data("v3.key.pem")).unwrap();
    chmod(dir.path().join("archive/gone.example.org/privkey1.pem"), 0o600);
    fs::create_dir_all(dir.path().join("certkit/state")).unwrap();
    chmod(dir.path().join("certkit"), 0o700);
    fs::write(dir.path().join("certkit/state/a.example.org.json"), "{").unwrap();
    let report = repair(dir.path());
    assert_eq!(told(&report.left), [(FindingCode::ArchiveWithoutConf, false)]);
    assert!(report.left[0].finding.cure().contains("certkit delete --cert-name"));
    for path in [
        "renewal/a.example.org.conf.new",
        "archive/a.example.org/.privkey2.pem.certkit-tmp",
        "renewal/.a.example.org.conf.certkit-tmp",
        "live/empty.example.org",
        "archive/empty.example.org",
        "certkit/state/a.example.org.json",
    ] {
        assert!(!dir.path().join(path).exists(), "{path}");
    }
    assert_eq!(fs::read(saved(&report, "certkit/state/a.example.org.json")).unwrap(), b"{");
    assert_eq!(fs::read(saved(&report, "renewal/a.example.org.conf.new")).unwrap(), b"half");
}

#[test]
fn what_a_first_commit_was_making_is_never_taken_for_a_leftover() {
    // Where `archive` is on another disk, a repair does nothing there that its owner has not said is this tree's.
    for is_linked in [false, true] {
        let (dir, disk) = (laid(&["v1"]), temp_dir());
        if is_linked {
            fs::rename(dir.path().join("archive"), disk.path().join("archive")).unwrap();
            symlink(disk.path().join("archive"), dir.path().join("archive")).unwrap();
        }
        let other = LineageName::new("b.example.org").unwrap();
        let mut edits = ConfEdits::default();
        edits.param("server", Some("https://acme.example/directory"));
        lock(dir.path()).commit(&other, &verified("v1"), None, &ConfPlan::new(edits)).unwrap();
        // As a kill before the last two steps leaves it.
        let staged = [
            ("live/b.example.org", "live/.b.example.org.certkit-new"),
            ("renewal/b.example.org.conf", "renewal/.b.example.org.conf.certkit-tmp"),
        ];
        for (last, staged) in staged {
            fs::rename(dir.path().join(last), dir.path().join(staged)).unwrap();
        }
        let seen = diagnose(dir.path());
        assert_eq!(told(&seen), [(FindingCode::InterruptedCommit, !is_linked)], "{seen:#?}");
        assert!(store(dir.path()).audit().unwrap().is_empty());
        repair(dir.path());
        if is_linked {
            assert!(staged.iter().all(|(_, staged)| dir.path().join(staged).exists()));
            lock(dir.path()).recover(&TestMath::default(), now()).unwrap();
        }
        assert_eq!(whole_version(dir.path(), &other).0, Version(1), "linked: {is_linked}");
    }
}

/// As a `delete` leaves it that was killed after the conf had gone.
fn killed_while_deleting(dir: &Path) {
    fs::create_dir_all(dir.join("certkit/deleting")).unwrap();
    fs::write(dir.join("certkit/deleting/a.example.org"), "").unwrap();
    for (path, mode) in [("certkit", 0o700), ("certkit/deleting", 0o700), ("certkit/deleting/a.example.org", 0o600)] {
        chmod(dir.join(path), mode);
    }
    fs::remove_file(conf(dir)).unwrap();
}

#[test]
fn a_deletion_that_was_interrupted_is_told_as_that_and_ended_without_a_copy_of_the_key() {
    let (dir, other) = (laid(&["v1", "v2"]), LineageName::new("b.example.org").unwrap());
    lay_lineage(dir.path(), &other, &["v1"]);
    killed_while_deleting(dir.path());
    assert_eq!(told(&diagnose(dir.path())), [(FindingCode::InterruptedDeletion, true)]);
    let audit = store(dir.path()).audit().unwrap();
    assert_eq!(audit.iter().map(|one| one.code).collect::<Vec<_>>(), [FindingCode::InterruptedDeletion]);
    let report = repair_and_forget(dir.path());
    assert_eq!(report.repaired[0].repair.as_ref().unwrap().steps, ["remove what is left of a.example.org"]);
    assert_eq!((report.left.len(), report.saved), (0, None));
    for path in ["live/a.example.org", "archive/a.example.org", "certkit/deleting/a.example.org"] {
        assert!(!dir.path().join(path).exists(), "{path}");
    }
    whole_version(dir.path(), &other);
}

#[test]
fn the_next_run_ends_a_deletion_and_does_not_call_it_a_commit() {
    let dir = laid(&["v1"]);
    killed_while_deleting(dir.path());
    let recovered = lock(dir.path()).recover(&TestMath::default(), now()).unwrap();
    assert_eq!(recovered.iter().map(|one| one.finding.code).collect::<Vec<_>>(), [FindingCode::PutRight]);
    assert!(!dir.path().join("archive/a.example.org").exists());
    assert_eq!(told(&diagnose(dir.path())), []);
}

#[test]
fn a_certificate_that_was_obtained_again_is_not_taken_for_a_deleted_one() {
    let dir = laid(&["v1"]);
    let text = fs::read(conf(dir.path())).unwrap();
    killed_while_deleting(dir.path());
    fs::write(conf(dir.path()), text).unwrap();
    assert_eq!(told(&diagnose(dir.path())), [(FindingCode::LeftOver, true)]);
    let report = repair(dir.path());
    assert!(report.is_success() && !dir.path().join("certkit/deleting/a.example.org").exists(), "{report:#?}");
    // Nor when its owner takes the conf away afterwards.
    fs::remove_file(conf(dir.path())).unwrap();
    lock(dir.path()).recover(&TestMath::default(), now()).unwrap();
    assert!(dir.path().join("archive/a.example.org/privkey1.pem").exists());
}

#[test]
fn only_the_rights_of_others_are_taken_away() {
    let dir = laid(&["v1", "v2"]);
    let account = lay_account(dir.path(), "acme.example/directory").join("private_key.json");
    let hook = dir.path().join("renewal-hooks/deploy/reload");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, "#!/bin/sh\n").unwrap();
    let cases = [
        (archive(dir.path(), Kind::Privkey, 2), 0o644, 0o640, FindingCode::PrivateKeyReadable, Severity::Warning),
        (archive(dir.path(), Kind::Privkey, 1), 0o664, 0o660, FindingCode::PrivateKeyReadable, Severity::Warning),
        (account, 0o444, 0o440, FindingCode::AccountKeyReadable, Severity::Error),
        (hook, 0o777, 0o775, FindingCode::WritableByOthers, Severity::Error),
        (conf(dir.path()), 0o666, 0o664, FindingCode::WritableByOthers, Severity::Error),
        (dir.path().join("live/a.example.org"), 0o777, 0o775, FindingCode::WritableByOthers, Severity::Error),
        (dir.path().join("accounts"), 0o755, 0o750, FindingCode::FolderOpen, Severity::Notice),
        // Owners open these so that servers can reach the links.
        (dir.path().join("archive"), 0o755, 0o755, FindingCode::FolderOpen, Severity::Notice),
    ];
    for (path, mode, ..) in &cases {
        chmod(path, *mode);
    }
    let diagnoses = diagnose(dir.path());
    for (path, before, after, code, severity) in &cases {
        let subject = path.strip_prefix(dir.path()).unwrap().to_str().unwrap();
        let one = diagnoses.iter().find(|one| one.finding.subject == subject).unwrap_or_else(|| panic!("{subject}"));
        assert_eq!((one.finding.code, one.finding.severity), (*code, *severity), "{subject}");
        assert_eq!(one.repair.is_some(), before != after, "{subject}");
    }
    assert_eq!(diagnoses.len(), cases.len(), "{diagnoses:#?}");
    // What harms is told wherever findings are told, not here alone.
    let audited = store(dir.path()).audit().unwrap();
    assert_eq!(audited.len(), 6, "{audited:#?}");

    let locked = lock(dir.path());
    let report = locked.repair(None, &TestMath::default(), now()).unwrap();
    assert!(report.is_success() && report.saved.is_none(), "{report:#?}");
    for (path, _, after, ..) in &cases {
        assert_eq!(mode(path), *after, "{}", path.display());
    }
}

#[test]
fn secrets_that_everybody_can_read_are_told_and_shut_where_they_are_certkits() {
    let dir = laid(&["v1"]);
    let credentials = dir.path().join("dns.ini");
    fs::write(&credentials, "token").unwrap();
    let text = fs::read_to_string(conf(dir.path())).unwrap();
    fs::write(conf(dir.path()), format!("{text}dns_example_credentials = {}\n", credentials.display())).unwrap();
    let settings = dir.path().join("certkit/settings.toml");
    fs::create_dir(settings.parent().unwrap()).unwrap();
    chmod(settings.parent().unwrap(), 0o711);
    fs::write(&settings, "[heartbeat]\nurl = \"https://hc.example/secret\"\n").unwrap();
    for path in [&credentials, &settings] {
        chmod(path, 0o644);
    }
    let diagnoses = diagnose(dir.path());
    assert_eq!(
        told(&diagnoses),
        [(FindingCode::SecretReadable, false), (FindingCode::FolderOpen, true), (FindingCode::SecretReadable, true)]
    );
    repair(dir.path());
    assert_eq!((mode(&credentials), mode(&settings), mode(settings.parent().unwrap())), (0o644, 0o640, 0o710));
    // Whoever has nothing to hide may show it.
    fs::write(&settings, "parallel_orders = 2\n").unwrap();
    chmod(&settings, 0o644);
    chmod(settings.parent().unwrap(), 0o711);
    assert_eq!(told(&diagnose(dir.path())), [(FindingCode::SecretReadable, false), (FindingCode::FolderOpen, true)]);
}

#[test]
fn what_belongs_to_another_user_is_told() {
    let dir = laid(&["v1"]);
    // Only root can give something away: for others all of it stays their own.
    let given = [conf(dir.path()), archive(dir.path(), Kind::Privkey, 1)];
    let given: Vec<_> =
        given.iter().filter(|path| std::os::unix::fs::chown(path, Some(65_534), None).is_ok()).collect();
    assert_eq!(given.len(), if rustix::process::geteuid().is_root() { 2 } else { 0 });
    let diagnoses = diagnose(dir.path());
    assert_eq!(told(&diagnoses), vec![(FindingCode::OwnedByAnother, false); given.len()], "{diagnoses:#?}");
    for (one, path) in diagnoses.iter().zip(given) {
        assert_eq!(one.finding.cure(), format!("chown root {}, unless you meant it", path.display()));
    }
}

#[test]
fn only_the_certificates_that_are_named_are_repaired() {
    let dir = laid(&["v1", "v2"]);
    let other = LineageName::new("b.example.org").unwrap();
    lay_lineage(dir.path(), &other, &["v1", "v2"]);
    for lineage in [&name(), &other] {
        point_link(dir.path(), lineage, Kind::Privkey, 1);
    }
    let only = BTreeSet::from([other.clone()]);
    let report = lock(dir.path()).repair(Some(&only), &TestMath::default(), now()).unwrap();
    assert!(report.is_success(), "{report:#?}");
    assert_eq!(whole_version(dir.path(), &other).0, Version(2));
    assert!(look(dir.path(), &name()).unwrap_err().starts_with("mixed"));
}

#[test]
fn a_repair_that_fails_says_so_and_stops_no_other() {
    let dir = laid(&["v1", "v2"]);
    let other = LineageName::new("b.example.org").unwrap();
    lay_lineage(dir.path(), &other, &["v1", "v2"]);
    point_link(dir.path(), &name(), Kind::Privkey, 1);
    point_link(dir.path(), &other, Kind::Privkey, 1);
    // A folder where the journal of the commit has to be replaced by a file is moved out of the way; one that nothing
    // can be written into is not.
    fs::create_dir_all(dir.path().join("certkit/commit")).unwrap();
    let locked = lock(dir.path());
    fs::create_dir_all(dir.path().join("certkit/commit/.a.example.org.json.certkit-tmp/x")).unwrap();
    let report = locked.repair(None, &TestMath::default(), now()).unwrap();
    assert!(!report.is_success());
    assert_eq!(report.failed[0].code, FindingCode::RepairFailed, "{report:#?}");
    assert_eq!(whole_version(dir.path(), &other).0, Version(2));
}

#[test]
fn what_failed_after_its_first_step_is_not_told_as_repaired() {
    let dir = laid(&["v1", "v2"]);
    fs::write(archive(dir.path(), Kind::Fullchain, 2), "").unwrap();
    // The file can be written; that its hooks have to run cannot be noted.
    fs::create_dir_all(dir.path().join("certkit/commit")).unwrap();
    let locked = lock(dir.path());
    let in_the_way = dir.path().join("certkit/commit/.a.example.org.json.certkit-tmp");
    fs::create_dir_all(in_the_way.join("x")).unwrap();
    let report = locked.repair(None, &TestMath::default(), now()).unwrap();
    // The mode of the folder that was made here is another matter.
    let others = report.repaired.iter().filter(|one| one.finding.code != FindingCode::FolderOpen);
    assert!(!report.failed.is_empty() && others.count() == 0, "{report:#?}");
}

/// What a tool that follows links leaves in the place of one.
fn copy_in_place(dir: &Path, kind: Kind, mode: u32) -> PathBuf {
    let file = live(dir, kind);
    let content = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    fs::write(&file, content).unwrap();
    chmod(&file, mode);
    file
}

#[test]
fn a_key_that_was_copied_into_live_for_everybody_is_told() {
    let dir = laid(&["v1"]);
    copy_in_place(dir.path(), Kind::Privkey, 0o644);
    let told = told(&diagnose(dir.path()));
    assert!(told.contains(&(FindingCode::PrivateKeyReadable, true)), "{told:?}");
    let report = repair(dir.path());
    assert!(report.is_success(), "{report:#?}");
    assert_eq!(mode(archive(dir.path(), Kind::Privkey, 1)), 0o600);

    // Whether there is a conf or not.
    let dir = laid(&["v1"]);
    let key = copy_in_place(dir.path(), Kind::Privkey, 0o604);
    fs::remove_file(conf(dir.path())).unwrap();
    let report = repair(dir.path());
    assert!(report.repaired.iter().any(|one| one.finding.code == FindingCode::PrivateKeyReadable), "{report:#?}");
    assert_eq!(mode(&key), 0o600);

    // The mode of a copy says nothing of the key that is made of it.
    let dir = laid(&["v1"]);
    for kind in Kind::ALL {
        copy_in_place(dir.path(), kind, 0o644);
    }
    fs::remove_dir_all(dir.path().join("archive")).unwrap();
    assert!(repair(dir.path()).is_success());
    assert_eq!(mode(archive(dir.path(), Kind::Privkey, 1)), 0o600);
}

#[test]
fn a_link_of_another_user_in_the_place_of_an_archive_is_told_and_one_of_the_trees_owner_is_followed() {
    assert!(rustix::process::geteuid().is_root(), "to give links away, run this test as root");
    for (owner, is_trusted) in [(0, false), (65_534, true)] {
        let dir = laid(&["v1", "v2"]);
        fs::create_dir(dir.path().join("disk")).unwrap();
        fs::rename(dir.path().join("archive/a.example.org"), dir.path().join("disk/a")).unwrap();
        let link = dir.path().join("archive/a.example.org");
        symlink("../disk/a", &link).unwrap();
        std::os::unix::fs::lchown(&link, Some(65_534), None).unwrap();
        std::os::unix::fs::chown(dir.path(), Some(owner), None).unwrap();
        let look = || ["live", "archive", "disk", "renewal"].map(|top| snapshot(&dir.path().join(top)));
        let before = look();
        let report = repair(dir.path());
        let told = report.left.iter().find(|one| one.finding.code == FindingCode::ForeignLink);
        assert_eq!(told.is_none(), is_trusted, "{report:#?}");
        let deleted = || lock(dir.path()).delete(&name());
        if let Some(told) = told {
            assert!(told.finding.evidence.contains("a link that user 65534 made"), "{told:?}");
            assert!(told.repair.is_none() && report.made_live.is_empty() && report.saved.is_none(), "{report:#?}");
            assert_eq!(look(), before);
            let refused = deleted().unwrap_err();
            assert!(refused.cure().unwrap().contains("chown -h root -- "), "{refused:?}");
            assert!(conf(dir.path()).exists(), "{refused:?}");
            // The same from whoever writes there, and its name steers no terminal.
            let renewed = lock(dir.path()).check_committable(&name()).unwrap_err().to_string();
            assert!(renewed.contains("chown -h root -- "), "{renewed}");
            // As told.
            let cure = told.finding.cure();
            let command = &cure[cure.find("chown").unwrap()..];
            assert!(Command::new("sh").args(["-c", command]).status().unwrap().success(), "{cure}");
            assert_eq!(self::told(&diagnose(dir.path())), []);
        }
        deleted().unwrap();
        assert!(fs::read_dir(dir.path().join("disk")).unwrap().next().is_none());
    }
}
