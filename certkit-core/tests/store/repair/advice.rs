//! Layouts that are odd and sound, about which nothing is said, and others of which the true thing is said.

use certkit_core::store::{Store, StorePaths};

use super::*;

#[test]
fn second_names_of_live_links_and_of_an_archive_are_nobodys_orphans() {
    let dir = laid(&["v1", "v2"]);
    let second = dir.path().join("live/default");
    fs::create_dir(&second).unwrap();
    for kind in Kind::ALL {
        symlink(format!("../a.example.org/{}", kind.live_file()), second.join(kind.live_file())).unwrap();
    }
    let archive = dir.path().join("archive/a.example.org");
    fs::rename(&archive, dir.path().join("archive/store")).unwrap();
    symlink("store", &archive).unwrap();
    assert_eq!(told(&diagnose(dir.path())), []);
    fs::write(second.join("dhparam.pem"), "mine").unwrap();
    assert_eq!(told(&diagnose(dir.path())), []);
    // A copy is not the same.
    fs::remove_file(second.join("privkey.pem")).unwrap();
    fs::write(second.join("privkey.pem"), "mine").unwrap();
    chmod(second.join("privkey.pem"), 0o600);
    assert_eq!(told(&diagnose(dir.path())), [(FindingCode::LiveWithoutConf, false)]);
}

#[test]
fn nothing_is_made_in_the_place_of_a_disk_that_is_missing_though_its_folder_is_the_trees_own() {
    for part in ["live", "archive"] {
        let dir = temp_dir();
        let (tree, disk) = (dir.path().join("etc"), dir.path().join("disk"));
        fs::create_dir_all(&disk).unwrap();
        fs::create_dir(&tree).unwrap();
        lay_lineage(&tree, &name(), &["v1", "v2"]);
        fs::rename(tree.join(part), dir.path().join("unmounted")).unwrap();
        symlink(disk.join(part), tree.join(part)).unwrap();
        let paths = StorePaths::new(tree.clone(), dir.path().join("work"), dir.path().join("logs"));
        let store = Store::open(paths.with_own_folder(disk.clone())).unwrap();
        let report = store.lock().unwrap().repair(None, &TestMath::default(), now()).unwrap();
        assert!(report.repaired.is_empty() && report.failed.is_empty(), "{part}: {report:#?}");
        let mount = format!("mount what belongs in {}", disk.join(part).display());
        let cures: Vec<_> = report.left.iter().map(|one| one.finding.cure()).collect();
        assert!(cures.iter().any(|cure| cure.starts_with(&mount)), "{part}: {cures:?}");
        assert!(cures.iter().all(|cure| !cure.contains("correct its mode")), "{part}: {cures:?}");
        assert_eq!(walk(&disk), [] as [PathBuf; 0]);
    }
}

#[test]
fn relative_links_that_lead_to_nothing_are_not_called_mixed() {
    let dir = temp_dir();
    let (tree, disk) = (dir.path().join("etc"), dir.path().join("disk"));
    fs::create_dir_all(&disk).unwrap();
    fs::create_dir(&tree).unwrap();
    lay_lineage(&tree, &name(), &["v1", "v2"]);
    fs::rename(tree.join("live"), disk.join("live")).unwrap();
    symlink(disk.join("live"), tree.join("live")).unwrap();
    let found = diagnose(&tree);
    let one = found.iter().find(|one| one.name == Some(name())).unwrap();
    assert_eq!(one.finding.code, FindingCode::BrokenLineage);
    assert!(one.finding.evidence.as_str().contains("its links lead to nothing"), "{found:#?}");
}

#[test]
fn links_in_a_folder_that_is_no_certificates_and_by_another_name_of_their_own_are_no_damage() {
    let says = |dir: &Path, from: &Path, to: &Path| {
        let text = fs::read_to_string(conf(dir)).unwrap();
        assert!(text.contains(from.to_str().unwrap()), "{text}");
        fs::write(conf(dir), text.replace(from.to_str().unwrap(), to.to_str().unwrap())).unwrap();
    };
    let sound = |dir: &Path, what: &str| {
        assert_eq!(told(&diagnose(dir)), [], "{what}");
        let store = lock(dir);
        assert_eq!(store.recover(&TestMath::default(), now()).unwrap(), [], "{what}");
        store.check_committable(&name()).unwrap();
    };
    // Keys in a folder of their own.
    let dir = laid(&["v1", "v2"]);
    let (key, keys) = (live(dir.path(), Kind::Privkey), dir.path().join("live/keys"));
    fs::create_dir(&keys).unwrap();
    fs::rename(&key, keys.join("privkey.pem")).unwrap();
    says(dir.path(), &key, &keys.join("privkey.pem"));
    sound(dir.path(), "keys");
    // Folders that are links to a disk, whose real path one line has.
    let (dir, disk) = (laid(&["v1", "v2"]), temp_dir());
    for part in ["live", "archive"] {
        fs::rename(dir.path().join(part), disk.path().join(part)).unwrap();
        symlink(disk.path().join(part), dir.path().join(part)).unwrap();
    }
    says(dir.path(), &live(dir.path(), Kind::Privkey), &live(disk.path(), Kind::Privkey));
    let lineage = store(dir.path()).lineage(&name()).unwrap().unwrap();
    assert_eq!(lineage.live_version(), Some(Version(2)));
    sound(dir.path(), "a disk");
}

#[test]
fn an_archive_dir_that_is_the_config_dir_is_told_by_its_path() {
    let dir = laid(&["v1"]);
    let text = fs::read_to_string(conf(dir.path())).unwrap();
    let home = dir.path().join("archive/a.example.org");
    let changed =
        text.replace(&format!("archive_dir = {}", home.display()), &format!("archive_dir = {}", dir.path().display()));
    fs::write(conf(dir.path()), changed).unwrap();
    let [one] = diagnose(dir.path()).try_into().unwrap();
    assert_eq!(one.finding.code, FindingCode::ArchiveDirDiffers);
    let evidence = one.finding.evidence.as_str();
    assert!(evidence.starts_with(&format!("it says {}, and", dir.path().display())), "{evidence}");
}

#[test]
fn an_archive_elsewhere_that_two_share_is_told_of_both_and_one_that_a_conf_only_names_of_that_one() {
    for is_shared in [true, false] {
        let dir = laid(&["v1"]);
        lay_lineage(dir.path(), &other(), &["v2"]);
        let elsewhere = dir.path().join("vault");
        fs::rename(dir.path().join("archive/a.example.org"), &elsewhere).unwrap();
        for lineage in [name(), other()] {
            let conf = dir.path().join(format!("renewal/{lineage}.conf"));
            let home = dir.path().join(format!("archive/{lineage}"));
            let text = fs::read_to_string(&conf).unwrap();
            fs::write(&conf, text.replace(home.to_str().unwrap(), elsewhere.to_str().unwrap())).unwrap();
            if is_shared || lineage == name() {
                for kind in Kind::ALL {
                    let link = dir.path().join(format!("live/{lineage}")).join(kind.live_file());
                    fs::remove_file(&link).unwrap();
                    symlink(elsewhere.join(kind.archive_file(Version(1))), link).unwrap();
                }
            }
        }
        let found = diagnose(dir.path());
        let of = |code: FindingCode| {
            found.iter().filter(|one| one.finding.code == code).filter_map(|one| one.name.clone()).collect::<Vec<_>>()
        };
        if is_shared {
            assert_eq!(of(FindingCode::ForeignLink), [name(), other()], "{found:#?}");
        } else {
            assert_eq!(of(FindingCode::ForeignLink), [], "{found:#?}");
            assert_eq!(of(FindingCode::ArchiveDirDiffers), [other()], "{found:#?}");
        }
    }
}

#[test]
fn what_a_killed_repair_was_saving_goes_though_a_commit_waits_for_its_hooks() {
    let dir = laid(&["v1", "v2"]);
    point_link(dir.path(), &name(), Kind::Privkey, 1);
    let store = lock(dir.path());
    let report = store.repair(None, &TestMath::default(), now()).unwrap();
    assert_eq!(report.made_live, [(name(), Version(2))]);
    let half = report.saved.unwrap().join("renewal/.a.example.org.conf.certkit-tmp");
    fs::create_dir_all(half.parent().unwrap()).unwrap();
    fs::write(&half, "half").unwrap();
    let report = store.repair(None, &TestMath::default(), now()).unwrap();
    assert!(!half.exists(), "{report:#?}");
}

#[test]
fn a_folder_that_is_a_link_into_another_tree_is_told_before_a_renewal_is_refused() {
    for part in ["live/a.example.org", "archive/a.example.org"] {
        let dir = temp_dir();
        let (original, own) = (dir.path().join("etc"), dir.path().join("own"));
        for tree in [&original, &own] {
            fs::create_dir(tree).unwrap();
            lay_lineage(tree, &name(), &["v1", "v2"]);
        }
        fs::remove_dir_all(own.join(part)).unwrap();
        symlink(original.join(part), own.join(part)).unwrap();
        let found = diagnose(&own);
        let tree = found.iter().find(|one| one.finding.code == FindingCode::AnotherTree);
        assert!(tree.is_some_and(|one| one.finding.evidence == original.to_str().unwrap()), "{part}: {found:#?}");
        assert!(lock(&own).check_committable(&name()).is_err(), "{part}");
    }
}

#[test]
fn what_keeps_an_orphan_from_being_deleted_is_named() {
    let dir = laid(&["v1"]);
    let second = dir.path().join("live/default");
    fs::create_dir(&second).unwrap();
    for kind in Kind::ALL {
        symlink(format!("../a.example.org/{}", kind.live_file()), second.join(kind.live_file())).unwrap();
    }
    lock(dir.path()).delete(&name()).unwrap();
    assert!(live(dir.path(), Kind::Privkey).exists());
    let found = diagnose(dir.path());
    let of = |name: &str| found.iter().find(|one| one.finding.subject.as_str() == format!("live/{name}")).unwrap();
    assert!(of("a.example.org").finding.cure().starts_with("default uses it"), "{found:#?}");
    // As told.
    lock(dir.path()).delete(&LineageName::new("default").unwrap()).unwrap();
    assert!(diagnose(dir.path()).iter().all(|one| one.finding.cure().contains("certkit delete")));
    lock(dir.path()).delete(&name()).unwrap();
    assert_eq!(told(&diagnose(dir.path())), []);
}
