//! Trees of which a part lies outside the config dir, where a copy of the tree leads too.

use certkit_core::store::{Store, StorePaths};

use super::*;

/// What else is done to a tree before it is copied.
const MORE_DAMAGES: &[Damage] = &[
    ("a lone CR", |dir| {
        let text = fs::read_to_string(archive(dir, Kind::Fullchain, 2)).unwrap();
        fs::write(archive(dir, Kind::Fullchain, 2), text.replace('\n', "\r")).unwrap();
    }),
    ("a newer version that is damaged", |dir| {
        write_version(dir, &name(), 3, "v3");
        fs::write(archive(dir, Kind::Privkey, 3), data("v1.key.pem")).unwrap();
    }),
    ("an empty conf", |dir| fs::write(conf(dir), "").unwrap()),
    ("an empty conf and no live folder", |dir| {
        fs::write(conf(dir), "").unwrap();
        fs::remove_dir_all(dir.join("live/a.example.org")).unwrap();
    }),
    ("an empty conf and no whole version", |dir| {
        fs::write(conf(dir), "").unwrap();
        fs::remove_dir_all(dir.join("live/a.example.org")).unwrap();
        for version in [1, 2] {
            fs::remove_file(archive(dir, Kind::Cert, version)).unwrap();
            fs::remove_file(archive(dir, Kind::Fullchain, version)).unwrap();
        }
    }),
];

/// The same tree, in which this folder is its own too.
fn with_own(dir: &Path, folder: &Path) -> Store {
    let paths = StorePaths::new(dir.to_owned(), dir.join("work"), dir.join("logs"));
    Store::open(paths.with_own_folder(folder.to_owned())).unwrap()
}

fn repair_with(store: &Store) -> RepairReport {
    store.lock().unwrap().repair(None, &TestMath::default(), now()).unwrap()
}

/// A part of a tree goes to another disk, and a link takes its place.
fn to_disk(dir: &Path, part: &str) -> PathBuf {
    let disk = dir.parent().unwrap().join("disk");
    fs::create_dir_all(&disk).unwrap();
    let there = disk.join(Path::new(part).file_name().unwrap());
    fs::rename(dir.join(part), &there).unwrap();
    symlink(&there, dir.join(part)).unwrap();
    there
}

#[test]
fn a_copy_that_shares_a_folder_with_the_original_by_a_link_changes_nothing_in_it() {
    for part in ["live", "archive", "archive/a.example.org", "live/a.example.org", "renewal"] {
        for (what, damage) in DAMAGES.iter().chain(MORE_DAMAGES) {
            for names_copy in [false, true] {
                let told = format!("{part} on a disk, {what}, the confs name the copy: {names_copy}");
                let dir = temp_dir();
                let original = dir.path().join("etc");
                fs::create_dir(&original).unwrap();
                lay_lineage(&original, &name(), &["v1", "v2"]);
                let there = if original.join(part).exists() { to_disk(&original, part) } else { continue };
                damage(&original);
                let copy = copied(dir.path());
                if names_copy && part != "renewal" {
                    let text = fs::read_to_string(conf(&copy)).unwrap();
                    fs::write(conf(&copy), text.replace(original.to_str().unwrap(), copy.to_str().unwrap())).unwrap();
                }
                let disk = dir.path().join("disk");
                let before = (snapshot(&original), snapshot(&disk));
                let locked = lock(&copy);
                let report = locked.repair(None, &TestMath::default(), now()).unwrap();
                assert!(
                    (snapshot(&original), snapshot(&disk)) == before,
                    "{told}: the original was changed\n{report:#?}"
                );
                assert!(report.failed.is_empty(), "{told}: {report:#?}");
                let again = locked.repair(None, &TestMath::default(), now()).unwrap();
                assert!(again.repaired.is_empty() && again.saved.is_none(), "{told}: {again:#?}");
                // The owner of the original says that the disk is its own, and it is put right, as far as it can be.
                let report = repair_with(&with_own(&original, &there));
                assert!(report.failed.is_empty(), "{told}: {report:#?}");
                let left: Vec<_> = report.left.iter().filter(|one| one.repair.is_some()).collect();
                assert!(left.is_empty(), "{told}: {left:#?}");
                if !matches!(*what, "an empty conf and no whole version") {
                    whole_version(&original, &name());
                }
            }
        }
    }
}

#[test]
fn what_lies_outside_is_repaired_once_its_owner_says_whose_it_is_with_the_flag_that_is_told() {
    let dir = temp_dir();
    let tree = dir.path().join("etc");
    fs::create_dir(&tree).unwrap();
    lay_lineage(&tree, &name(), &["v1", "v2"]);
    let elsewhere = dir.path().join("disk/a");
    fs::create_dir_all(dir.path().join("disk")).unwrap();
    fs::rename(tree.join("archive/a.example.org"), &elsewhere).unwrap();
    let text = fs::read_to_string(conf(&tree)).unwrap();
    let archive_dir = tree.join("archive/a.example.org");
    fs::write(conf(&tree), text.replace(archive_dir.to_str().unwrap(), elsewhere.to_str().unwrap())).unwrap();
    for kind in Kind::ALL {
        fs::remove_file(live(&tree, kind)).unwrap();
        symlink(elsewhere.join(kind.archive_file(Version(2))), live(&tree, kind)).unwrap();
    }
    assert_eq!(told(&diagnose(&tree)), []);
    fs::write(elsewhere.join("fullchain2.pem"), "").unwrap();
    let found = diagnose(&tree);
    assert_eq!(told(&found), [(FindingCode::LiveVersionDamaged, false)]);
    let flag = format!("certkit fsck --repair --also-in {}", elsewhere.display());
    assert!(found[0].finding.cure().ends_with(&flag), "{found:#?}");
    let own = with_own(&tree, &elsewhere);
    assert_eq!(told(&own.diagnose(&TestMath::default(), now()).unwrap()), [(FindingCode::LiveVersionDamaged, true)]);
    let report = repair_with(&own);
    assert!(report.is_success(), "{report:#?}");
    let outside = format!("outside{}/fullchain2.pem", elsewhere.display());
    assert_eq!(fs::read_to_string(saved(&report, &outside)).unwrap(), "");
}

#[test]
fn nothing_is_made_where_a_disk_is_missing() {
    for names in [false, true] {
        let dir = temp_dir();
        let tree = dir.path().join("etc");
        fs::create_dir(&tree).unwrap();
        lay_lineage(&tree, &name(), &["v1", "v2"]);
        let disk = dir.path().join("disk");
        if names {
            // The conf itself names a place on the disk.
            fs::remove_dir_all(tree.join("live/a.example.org")).unwrap();
            let text = fs::read_to_string(conf(&tree)).unwrap();
            let live = tree.join("live/a.example.org");
            fs::write(conf(&tree), text.replace(live.to_str().unwrap(), disk.join("a").to_str().unwrap())).unwrap();
            fs::create_dir(&disk).unwrap();
        } else {
            to_disk(&tree, "live");
            fs::rename(&disk, dir.path().join("unplugged")).unwrap();
        }
        let there = dir.path().read_dir().unwrap().count();
        let report = repair_with(&store(&tree));
        assert_eq!(dir.path().read_dir().unwrap().count(), there);
        assert!(!disk.join("a").exists() && report.made_live.is_empty() && report.repaired.is_empty(), "{report:#?}");
        let left = report.left.iter().find(|one| one.finding.code == FindingCode::BrokenLineage);
        let left = left.unwrap_or_else(|| panic!("{report:#?}"));
        assert!(left.finding.cure().starts_with("mount what belongs in "), "{left:#?}");
    }
}

#[test]
fn a_tree_inside_the_config_dir_is_another_one() {
    let dir = laid(&["v1", "v2"]);
    let inner = dir.path().join("inner");
    fs::create_dir(&inner).unwrap();
    lay_lineage(&inner, &name(), &["v1", "v2"]);
    point_link(&inner, &name(), Kind::Privkey, 1);
    fs::copy(conf(&inner), conf(dir.path())).unwrap();
    let before = snapshot(&inner);
    let report = repair_with(&store(dir.path()));
    assert_eq!(snapshot(&inner), before, "{report:#?}");
    let told: Vec<_> = report.left.iter().filter(|one| one.name.is_some()).map(|one| one.finding.code).collect();
    assert!(told.contains(&FindingCode::AnotherTree) && told.contains(&FindingCode::MixedVersions), "{report:#?}");
    assert!(lock(dir.path()).delete(&name()).unwrap().kept.iter().all(|kept| kept.tree.as_ref() == Some(&inner)));
    assert_eq!(snapshot(&inner), before);
}

#[test]
fn live_itself_can_be_a_link_into_another_tree_and_that_is_told() {
    let dir = temp_dir();
    let (original, copy) = (dir.path().join("etc"), dir.path().join("copy"));
    for tree in [&original, &copy] {
        fs::create_dir(tree).unwrap();
        lay_lineage(tree, &name(), &["v1", "v2"]);
    }
    fs::remove_dir_all(copy.join("live")).unwrap();
    symlink(original.join("live"), copy.join("live")).unwrap();
    let found = diagnose(&copy);
    let told = found.iter().find(|one| one.finding.code == FindingCode::AnotherTree && one.name.is_none());
    assert_eq!(told.unwrap_or_else(|| panic!("{found:#?}")).finding.subject, "live");
    fs::remove_file(live(&original, Kind::Cert)).unwrap();
    let before = snapshot(&original);
    repair_with(&store(&copy));
    assert_eq!(snapshot(&original), before);
}

#[test]
fn a_mode_that_a_copy_by_hard_links_shares_is_its_owners_to_change() {
    let dir = temp_dir();
    let (original, copy) = (dir.path().join("etc"), dir.path().join("copy"));
    fs::create_dir(&original).unwrap();
    lay_lineage(&original, &name(), &["v1"]);
    chmod(archive(&original, Kind::Privkey, 1), 0o644);
    assert!(Command::new("cp").arg("-al").args([&original, &copy]).status().unwrap().success());
    let text = fs::read_to_string(conf(&copy)).unwrap();
    fs::remove_file(conf(&copy)).unwrap();
    fs::write(conf(&copy), text.replace(original.to_str().unwrap(), copy.to_str().unwrap())).unwrap();
    let report = repair_with(&store(&copy));
    assert_eq!(mode(archive(&original, Kind::Privkey, 1)), 0o644);
    assert_eq!(told(&report.left), [(FindingCode::PrivateKeyReadable, false)], "{report:#?}");
    let cure = report.left[0].finding.cure();
    assert!(cure.starts_with("chmod o-rwx ") && cure.contains("find / -samefile "), "{cure}");
}

#[test]
fn many_names_in_the_same_folder_are_all_its_own() {
    const MANY: usize = 300;
    let dir = laid(&["v1"]);
    let renewal = dir.path().join("renewal");
    for number in 0..MANY {
        fs::hard_link(conf(dir.path()), renewal.join(format!("n{number}.txt"))).unwrap();
    }
    chmod(conf(dir.path()), 0o666);
    let report = repair_with(&store(dir.path()));
    let codes: Vec<_> = report.repaired.iter().map(|one| one.finding.code).collect();
    assert_eq!(codes, [FindingCode::WritableByOthers], "all its names are in the folder");
}

#[test]
fn a_second_name_in_the_same_folder_shares_the_mode_and_harms_nobody() {
    let dir = laid(&["v1"]);
    let key = archive(dir.path(), Kind::Privkey, 1);
    fs::hard_link(&key, key.with_extension("old")).unwrap();
    chmod(&key, 0o604);
    repair_and_forget(dir.path());
    assert_eq!(mode(&key), 0o600);
}
