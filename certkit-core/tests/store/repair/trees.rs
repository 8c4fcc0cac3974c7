//! Trees that lead into each other, and parts of a tree that nobody can look at.

use super::*;

fn codes(diagnoses: &[Diagnosis]) -> Vec<FindingCode> {
    let mut codes: Vec<_> = diagnoses.iter().map(|one| one.finding.code).collect();
    codes.sort_by_key(|code| format!("{code:?}"));
    codes.dedup();
    codes
}

#[test]
fn a_repair_of_a_copy_does_not_touch_the_tree_that_its_confs_name() {
    let damages: &[Damage] = &[
        ("none", |_| {}),
        ("no folder", |dir| fs::remove_dir_all(dir.join("live/a.example.org")).unwrap()),
        ("an open folder", |dir| chmod(dir.join("live/a.example.org"), 0o777)),
        ("absolute links", |dir| {
            for kind in Kind::ALL {
                fs::remove_file(live(dir, kind)).unwrap();
                symlink(archive(dir, kind, if kind == Kind::Cert { 1 } else { 2 }), live(dir, kind)).unwrap();
            }
        }),
    ];
    for (what, damage) in damages.iter().chain(DAMAGES) {
        let dir = temp_dir();
        let original = dir.path().join("etc");
        fs::create_dir(&original).unwrap();
        lay_lineage(&original, &name(), &["v1", "v2"]);
        damage(&original);
        let copy = copied(dir.path());
        let before = snapshot(&original);

        let found = diagnose(&copy);
        let of_tree = found.iter().find(|one| one.finding.code == FindingCode::AnotherTree);
        let of_tree = of_tree.unwrap_or_else(|| panic!("{what}: {found:#?}"));
        assert_eq!((of_tree.repair.is_some(), of_tree.finding.severity), (false, Severity::Warning), "{what}");
        assert!(of_tree.finding.evidence.contains(original.to_str().unwrap()), "{what}: {of_tree:#?}");
        let locked = lock(&copy);
        let report = locked.repair(None, &TestMath::default(), now()).unwrap();
        drop(locked);
        assert!(!report.is_success() && report.made_live.is_empty(), "{what}: {report:#?}");
        assert_eq!(snapshot(&original), before, "{what}: the original was changed\n{report:#?}");
        // What is wrong there is told, with where to put it right.
        let elsewhere = format!("--config-dir {}", original.display());
        if matches!(*what, "mixed links" | "an empty file" | "a newer version" | "a journal of certbot" | "a commit") {
            let told = report.left.iter().find(|one| one.finding.cure().contains(&elsewhere));
            let told = told.unwrap_or_else(|| panic!("{what}: {report:#?}"));
            assert_eq!(told.repair, None, "{what}");
            // And there it is.
            assert!(repair_and_forget(&original).is_success(), "{what}");
        }
    }
}

#[test]
fn a_copy_whose_confs_name_it_is_repaired() {
    let dir = temp_dir();
    let original = dir.path().join("etc");
    fs::create_dir(&original).unwrap();
    lay_lineage(&original, &name(), &["v1", "v2"]);
    let copy = copied(dir.path());
    let text = fs::read_to_string(conf(&copy)).unwrap();
    fs::write(conf(&copy), text.replace(original.to_str().unwrap(), copy.to_str().unwrap())).unwrap();
    fs::write(archive(&copy, Kind::Fullchain, 2), "").unwrap();
    let before = snapshot(&original);
    assert!(repair(&copy).is_success());
    assert_eq!(snapshot(&original), before);
}

#[test]
fn a_lineage_whose_folder_is_a_link_to_another_depth_is_put_right_once() {
    let dir = laid(&["v1", "v2"]);
    let (folder, deep) = (dir.path().join("live/a.example.org"), dir.path().join("srv/deep/er"));
    fs::create_dir_all(&deep).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    symlink(&deep, &folder).unwrap();
    let report = repair(dir.path());
    assert!(report.is_success(), "{report:#?}");
    assert_eq!(whole_version(dir.path(), &name()).0, Version(2));
}

#[test]
fn a_file_that_certbot_takes_for_its_journal_is_moved_away() {
    let dir = laid(&["v1"]);
    fs::write(previous(dir.path()), "mine").unwrap();
    assert_eq!(told(&diagnose(dir.path())), [(FindingCode::LeftOver, true)]);
    let report = repair(dir.path());
    assert!(report.is_success() && report.left.is_empty(), "{report:#?}");
    let kept = fs::read_to_string(saved(&report, "live/a.example.org/previous_cert.pem")).unwrap();
    assert_eq!(kept, "mine");
}

#[test]
fn links_in_a_circle_keep_no_other_certificate_from_being_repaired() {
    let dir = laid(&["v1", "v2"]);
    let circle = |path: &str| symlink(dir.path().join(path), dir.path().join(path)).unwrap();
    circle("renewal/round.example.org.conf");
    circle("live/circle.example.org");
    circle("archive/circle.example.org");
    point_link(dir.path(), &name(), Kind::Privkey, 1);
    let report = repair(dir.path());
    assert_eq!(whole_version(dir.path(), &name()).0, Version(2));
    assert_eq!(codes(&report.left), [FindingCode::BrokenLineage, FindingCode::DeployPending], "{report:#?}");
}

#[test]
fn a_conf_that_is_too_large_to_be_read_is_told_with_a_cure_that_helps_and_so_is_what_waits_for_it() {
    let dir = laid(&["v1", "v2"]);
    let large = dir.path().join("renewal/large.example.org.conf");
    fs::write(&large, vec![b'#'; 16 * 1024 * 1024]).unwrap();
    point_link(dir.path(), &name(), Kind::Privkey, 1);
    let report = lock(dir.path()).repair(None, &TestMath::default(), now()).unwrap();
    assert!(report.repaired.is_empty() && report.saved.is_none(), "{report:#?}");
    let cure_of = |code: FindingCode, name: Option<&LineageName>| {
        let one = report.left.iter().find(|one| one.finding.code == code && one.name.as_ref() == name);
        one.unwrap_or_else(|| panic!("{code:?}: {report:#?}")).finding.cure().to_owned()
    };
    let cure = cure_of(FindingCode::Unreadable, None);
    assert!(cure.starts_with("move it away") && cure.ends_with("until then nothing is repaired"), "{cure}");
    let cure = cure_of(FindingCode::MixedVersions, Some(&name()));
    assert!(cure.contains("once it can read") && cure.contains(large.to_str().unwrap()), "{cure}");
}

#[test]
fn what_a_conf_uses_whose_name_no_lineage_can_have_is_no_orphan() {
    let dir = laid(&["v1"]);
    let long = "l".repeat(230);
    for refused in ["-rf", long.as_str()] {
        fs::copy(conf(dir.path()), dir.path().join("renewal").join(format!("{refused}.conf"))).unwrap();
        for folder in ["live", "archive"] {
            fs::create_dir(dir.path().join(folder).join(refused)).unwrap();
            fs::write(dir.path().join(folder).join(refused).join("privkey1.pem"), "").unwrap();
            chmod(dir.path().join(folder).join(refused).join("privkey1.pem"), 0o600);
        }
    }
    let found = diagnose(dir.path());
    assert_eq!(codes(&found), [FindingCode::BrokenLineage], "{found:#?}");
    assert_eq!(found.len(), 2, "{found:#?}");
}

#[test]
fn a_version_that_a_repair_made_live_waits_for_its_hooks_and_is_no_sign_of_a_run_that_was_ended() {
    let dir = laid(&["v1", "v2"]);
    point_link(dir.path(), &name(), Kind::Privkey, 1);
    let report = repair(dir.path());
    assert_eq!(told(&report.left), [(FindingCode::DeployPending, false)]);
    let left = &report.left[0].finding;
    assert!(left.severity == Severity::Notice && left.cure().starts_with("certkit deploy"), "{left:#?}");
}

#[test]
fn the_kind_of_key_is_written_where_something_says_it_and_not_guessed() {
    let bare = |dir: &Path| {
        let text = fs::read_to_string(conf(dir)).unwrap();
        fs::write(conf(dir), text.split_once("[renewalparams]").unwrap().0).unwrap();
    };
    let written = |dir: &Path| {
        let conf = RenewalConf::parse(&fs::read(conf(dir)).unwrap()).unwrap();
        conf.params().key_type.as_deref().map(str::to_owned)
    };
    let dir = laid(&["v1"]);
    bare(dir.path());
    fs::write(archive(dir.path(), Kind::Cert, 1), "damaged").unwrap();
    fs::write(archive(dir.path(), Kind::Fullchain, 1), "damaged").unwrap();
    repair(dir.path());
    assert_eq!(written(dir.path()).as_deref(), Some("ecdsa"), "the key says so");

    let dir = laid(&["v1"]);
    bare(dir.path());
    for kind in Kind::ALL {
        fs::write(archive(dir.path(), kind, 1), "damaged").unwrap();
    }
    repair(dir.path());
    assert_eq!(written(dir.path()), None);
}

#[test]
fn what_cannot_be_saved_is_not_moved_away_by_halves() {
    let dir = laid(&["v1"]);
    fs::write(conf(dir.path()), "").unwrap();
    for kind in Kind::ALL {
        fs::remove_file(archive(dir.path(), kind, 1)).unwrap();
    }
    fs::write(archive(dir.path(), Kind::Privkey, 1), data("v1.key.pem")).unwrap();
    chmod(archive(dir.path(), Kind::Privkey, 1), 0o600);
    let pipe = live(dir.path(), Kind::Cert);
    fs::remove_file(&pipe).unwrap();
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let report = repair(dir.path());
    assert_eq!(told(&report.left), [(FindingCode::BrokenLineage, false)], "{report:#?}");
    let cure = report.left[0].finding.cure();
    assert!(cure.starts_with("remove ") && cure.contains("live/a.example.org/cert.pem"), "{cure}");
    fs::remove_file(&pipe).unwrap();
    assert!(repair(dir.path()).is_success());
}

#[test]
fn of_two_confs_that_name_a_link_in_a_folder_that_is_gone_one_is_put_right() {
    let dir = laid(&["v1", "v2"]);
    let other = LineageName::new("b.example.org").unwrap();
    lay_lineage(dir.path(), &other, &["v3"]);
    let path = dir.path().join("renewal/b.example.org.conf");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("live/b.example.org/cert.pem", "live/a.example.org/cert.pem")).unwrap();
    fs::remove_dir_all(dir.path().join("live/a.example.org")).unwrap();
    // It says itself that the second repair has nothing to do.
    repair(dir.path());
    assert_eq!(whole_version(dir.path(), &name()).0, Version(2));
}
