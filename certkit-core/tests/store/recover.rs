//! Every state in which certbot or certkit can leave a lineage.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use certkit_core::store::{Kind, LockedStore, Recovered};
use certkit_core::{FindingCode, Version};
use rustix::time::{ClockId, clock_gettime};

use crate::support::*;

fn laid() -> tempfile::TempDir {
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), &["v1", "v2"]);
    dir
}

/// Recovers twice: the second time says the same of versions to deploy, and none once that is recorded.
fn recover(store: &LockedStore) -> Vec<Recovered> {
    let recovered = store.recover(&TestMath::default(), now()).unwrap();
    let made_live = recovered.iter().find_map(|one| one.made_live);
    let again = store.recover(&TestMath::default(), now()).unwrap();
    assert_eq!(again.iter().find_map(|one| one.made_live), made_live);
    if let Some(version) = made_live {
        record(store, version).unwrap();
        let after = store.recover(&TestMath::default(), now()).unwrap();
        assert!(after.iter().all(|one| one.made_live.is_none()), "{after:?}");
    }
    recovered
}

fn only(recovered: &[Recovered]) -> (FindingCode, Option<Version>) {
    assert_eq!(recovered.len(), 1, "{recovered:?}");
    assert_eq!(recovered[0].name, Some(name()));
    (recovered[0].finding.code, recovered[0].made_live)
}

fn journal_links(dir: &Path, version: u32) {
    for kind in Kind::ALL {
        let target = dir.join("archive/a.example.org").join(kind.archive_file(Version(version)));
        symlink(target, dir.join(format!("live/a.example.org/previous_{}.pem", kind.as_str()))).unwrap();
    }
}

fn archive(dir: &Path, kind: Kind, version: u32) -> PathBuf {
    dir.join("archive/a.example.org").join(kind.archive_file(Version(version)))
}

#[test]
fn a_sound_tree_is_not_touched() {
    let dir = laid();
    let store = lock(dir.path());
    let before: Vec<_> = walk(dir.path())
        .into_iter()
        .map(|path| (fs::symlink_metadata(&path).unwrap().modified().unwrap(), path))
        .collect();
    assert_eq!(recover(&store), []);
    let after: Vec<_> = walk(dir.path())
        .into_iter()
        .map(|path| (fs::symlink_metadata(&path).unwrap().modified().unwrap(), path))
        .collect();
    assert_eq!(before, after);
}

#[test]
fn certbot_killed_at_any_point_of_its_switch() {
    // Its calls: four journal links; unlink and link again, four times; four journal links removed.
    for step in 0..=16 {
        let dir = laid();
        write_version(dir.path(), &name(), 3, "v3");
        let live = dir.path().join("live/a.example.org");
        for (index, kind) in Kind::ALL.into_iter().enumerate() {
            let journal = live.join(format!("previous_{}.pem", kind.as_str()));
            if step > index {
                symlink(archive(dir.path(), kind, 2), &journal).unwrap();
            }
            if step > 4 + 2 * index {
                fs::remove_file(live.join(kind.live_file())).unwrap();
            }
            if step > 5 + 2 * index {
                point_link(dir.path(), &name(), kind, 3);
            }
            if step > 12 + index {
                fs::remove_file(&journal).unwrap();
            }
        }
        let store = lock(dir.path());
        let recovered = recover(&store);
        assert_eq!(whole_version(dir.path(), &name()), (Version(3), chain("v3").leaf), "step {step}");
        assert_eq!(leftovers(dir.path()), Vec::<PathBuf>::new(), "step {step}");
        // Once the first journal link is gone, certbot's switch was over.
        let made_live = (step <= 12).then_some(Version(3));
        assert_eq!(recovered.iter().find_map(|one| one.made_live), made_live, "step {step}: {recovered:?}");
    }
}

#[test]
fn certbots_switch_to_an_empty_file_is_taken_back() {
    // Its disk was full at the last file; certbot would link it and call that a success.
    for linked in 0..=4 {
        let dir = laid();
        write_version(dir.path(), &name(), 3, "v3");
        fs::write(archive(dir.path(), Kind::Fullchain, 3), "").unwrap();
        journal_links(dir.path(), 2);
        for kind in Kind::ALL.into_iter().take(linked) {
            point_link(dir.path(), &name(), kind, 3);
        }
        let recovered = recover(&lock(dir.path()));
        // Who looked in the middle of it has links of the other one.
        let made_live = (linked > 0).then_some(Version(2));
        assert_eq!(only(&recovered), (FindingCode::InterruptedSwitch, made_live));
        assert!(recovered[0].finding.evidence.contains("version 3"), "{recovered:?}");
        assert_eq!(whole_version(dir.path(), &name()).0, Version(2));
        assert!(
            fs::read_dir(dir.path().join("live/a.example.org"))
                .unwrap()
                .all(|entry| { !entry.unwrap().file_name().to_str().unwrap().starts_with("previous_") })
        );
    }
}

#[test]
fn a_newer_version_goes_live_only_when_it_is_not_worse() {
    for (leaf, goes_live) in [
        ("v3", true),
        ("more-names", true),
        ("v1", false),
        ("fewer-names", false),
        ("expired", false),
        ("future", false),
    ] {
        let dir = laid();
        write_version(dir.path(), &name(), 5, leaf);
        let recovered = recover(&lock(dir.path()));
        let expected = if goes_live { Some(Version(5)) } else { None };
        assert_eq!(only(&recovered), (FindingCode::NewerVersionNotLive, expected), "{leaf}");
        assert_eq!(whole_version(dir.path(), &name()).0, expected.unwrap_or(Version(2)), "{leaf}");
    }
}

#[test]
fn damaged_versions_never_go_live() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 6] = [
        ("empty fullchain", |dir| fs::write(archive(dir, Kind::Fullchain, 3), "").unwrap()),
        ("empty cert", |dir| fs::write(archive(dir, Kind::Cert, 3), "").unwrap()),
        ("half a key", |dir| {
            let key = fs::read(archive(dir, Kind::Privkey, 3)).unwrap();
            fs::write(archive(dir, Kind::Privkey, 3), &key[..key.len() / 2]).unwrap();
        }),
        ("another key", |dir| fs::write(archive(dir, Kind::Privkey, 3), data("v4.key.pem")).unwrap()),
        ("zeros", |dir| fs::write(archive(dir, Kind::Chain, 3), [0; 1000]).unwrap()),
        ("another chain", |dir| fs::write(archive(dir, Kind::Chain, 3), data("root.pem")).unwrap()),
    ];
    for (what, damage) in damages {
        let dir = laid();
        write_version(dir.path(), &name(), 3, "v3");
        damage(dir.path());
        assert_eq!(only(&recover(&lock(dir.path()))), (FindingCode::NewerVersionNotLive, None), "{what}");
        assert_eq!(whole_version(dir.path(), &name()).0, Version(2), "{what}");

        // The same version half linked, without a journal: the older whole one is the best there is.
        point_link(dir.path(), &name(), Kind::Cert, 3);
        assert_eq!(only(&recover(&lock(dir.path()))), (FindingCode::MixedVersions, Some(Version(2))), "{what}");
        assert_eq!(whole_version(dir.path(), &name()).0, Version(2), "{what}");
    }
    // A FIFO does not hang it, and a version of which a file is missing is none.
    let dir = laid();
    write_version(dir.path(), &name(), 3, "v3");
    fs::remove_file(archive(dir.path(), Kind::Chain, 3)).unwrap();
    assert_eq!(recover(&lock(dir.path())), []);
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, archive(dir.path(), Kind::Chain, 3), mode).unwrap();
    assert_eq!(only(&recover(&lock(dir.path()))), (FindingCode::NewerVersionNotLive, None));
}

#[test]
fn missing_dangling_and_mixed_links_get_the_newest_whole_version() {
    for broken in ["mixed", "dangling", "missing"] {
        let dir = laid();
        let link = dir.path().join("live/a.example.org/privkey.pem");
        match broken {
            "mixed" => point_link(dir.path(), &name(), Kind::Privkey, 1),
            "dangling" => point_link(dir.path(), &name(), Kind::Privkey, 9),
            _ => fs::remove_file(&link).unwrap(),
        }
        assert_eq!(only(&recover(&lock(dir.path()))), (FindingCode::MixedVersions, Some(Version(2))), "{broken}");
        assert_eq!(whole_version(dir.path(), &name()).0, Version(2), "{broken}");
    }
}

#[test]
fn what_cannot_be_put_right_is_left_and_said() {
    let dir = laid();
    for version in [1, 2] {
        fs::remove_file(archive(dir.path(), Kind::Chain, version)).unwrap();
    }
    point_link(dir.path(), &name(), Kind::Cert, 1);
    let before = walk(dir.path());
    let store = lock(dir.path());
    assert_eq!(only(&store.recover(&TestMath::default(), now()).unwrap()), (FindingCode::MixedVersions, None));
    drop(store);
    assert_eq!(
        walk(dir.path())
            .iter()
            .filter(|path| !path.ends_with("work") && !path.ends_with("logs"))
            .cloned()
            .collect::<Vec<_>>(),
        before
    );
    // Plain files in place of links are the owner's doing; other lineages are looked at all the same.
    fs::remove_file(dir.path().join("live/a.example.org/cert.pem")).unwrap();
    fs::write(dir.path().join("live/a.example.org/cert.pem"), "a copy").unwrap();
    let other = certkit_core::LineageName::new("b.example.org").unwrap();
    lay_lineage(dir.path(), &other, &["v1", "v2"]);
    point_link(dir.path(), &other, Kind::Cert, 1);
    fs::write(dir.path().join("renewal/broken.conf"), "[[[").unwrap();
    let recovered = lock(dir.path()).recover(&TestMath::default(), now()).unwrap();
    assert_eq!(recovered.len(), 1, "{recovered:?}");
    assert_eq!(recovered[0].name.as_ref(), Some(&other));
    assert_eq!(fs::read(dir.path().join("live/a.example.org/cert.pem")).unwrap(), b"a copy");
}

#[test]
fn links_to_another_lineage_do_not_follow_its_newer_versions() {
    let dir = laid();
    let other = certkit_core::LineageName::new("b.example.org").unwrap();
    lay_lineage(dir.path(), &other, &["v1"]);
    for kind in Kind::ALL {
        let link = dir.path().join("live/b.example.org").join(kind.live_file());
        fs::remove_file(&link).unwrap();
        symlink(format!("../../archive/a.example.org/{}", kind.archive_file(Version(1))), link).unwrap();
    }
    assert_eq!(recover(&lock(dir.path())), []);
    assert_eq!(whole_version(dir.path(), &other).0, Version(1));
}

#[test]
fn absolute_links_of_certbots_own_recovery_stay_absolute() {
    let dir = laid();
    write_version(dir.path(), &name(), 3, "v3");
    for kind in Kind::ALL {
        let link = dir.path().join("live/a.example.org").join(kind.live_file());
        fs::remove_file(&link).unwrap();
        symlink(archive(dir.path(), kind, 2), link).unwrap();
    }
    assert_eq!(only(&recover(&lock(dir.path()))), (FindingCode::NewerVersionNotLive, Some(Version(3))));
    let link = dir.path().join("live/a.example.org/cert.pem");
    assert_eq!(fs::read_link(link).unwrap(), archive(dir.path(), Kind::Cert, 3));
}

/// The journal of a commit of version 3 over version 2 that was killed, with its files under temporary names.
fn killed_commit(dir: &Path, store: &LockedStore, leaf: &str) {
    store.begin(&name(), &key(leaf), order()).unwrap();
    let fingerprint: String =
        chain(leaf).leaf.fingerprint_sha256().iter().map(|octet| format!("{octet:02x}")).collect();
    let journal = format!(
        "{{\"schema\":1,\"version\":3,\"replaces\":2,\"new_lineage\":false,\"consumes_pending\":true,\
         \"leaf_sha256\":\"{fingerprint}\"}}"
    );
    fs::create_dir_all(dir.join("certkit/commit")).unwrap();
    fs::write(dir.join("certkit/commit/a.example.org.json"), journal).unwrap();
    write_version(dir, &name(), 3, leaf);
    for kind in Kind::ALL {
        let file = archive(dir, kind, 3);
        fs::rename(&file, file.with_file_name(format!(".{}.certkit-tmp", kind.archive_file(Version(3))))).unwrap();
    }
}

#[test]
fn a_killed_commit_is_finished_and_ends_its_order() {
    let dir = laid();
    let store = lock(dir.path());
    // It ends earlier than what is live: its owner had decided that.
    killed_commit(dir.path(), &store, "v1");
    assert_eq!(only(&recover(&store)), (FindingCode::InterruptedCommit, Some(Version(3))));
    assert_eq!(whole_version(dir.path(), &name()), (Version(3), chain("v1").leaf));
    assert!(store.store().pending(&name()).unwrap().is_none());
    assert_eq!(leftovers(dir.path()), Vec::<PathBuf>::new());
}

#[test]
fn a_killed_commit_without_all_its_files_is_undone_and_its_order_goes_on() {
    let dir = laid();
    let store = lock(dir.path());
    killed_commit(dir.path(), &store, "v3");
    fs::write(dir.path().join("archive/a.example.org/.chain3.pem.certkit-tmp"), "-----BEG").unwrap();
    assert_eq!(only(&recover(&store)), (FindingCode::InterruptedCommit, None));
    assert_eq!(whole_version(dir.path(), &name()).0, Version(2));
    assert!(store.store().pending(&name()).unwrap().is_some());
    assert!(!archive(dir.path(), Kind::Cert, 3).exists());
}

#[test]
fn a_killed_commit_that_certbot_came_after_is_kept_aside() {
    let dir = laid();
    let store = lock(dir.path());
    killed_commit(dir.path(), &store, "v3");
    write_version(dir.path(), &name(), 3, "v4");
    point_links(dir.path(), &name(), 3);
    let recovered = recover(&store);
    assert_eq!(only(&recovered), (FindingCode::SetAside, None));
    assert_eq!(whole_version(dir.path(), &name()), (Version(3), chain("v4").leaf));
    let key_aside = Path::new(&recovered[0].finding.evidence).join("privkey.pem");
    assert_eq!(fs::read_to_string(key_aside).unwrap(), data("v3.key.pem"));
    assert!(store.store().pending(&name()).unwrap().is_none());
    assert_eq!(leftovers(dir.path()), Vec::<PathBuf>::new());
    assert_eq!(recover(&store), []);
}

#[test]
fn temporary_files_of_nobody_are_removed_and_nothing_else() {
    let dir = laid();
    let store = lock(dir.path());
    record(&store, Version(2)).unwrap();
    let before = walk(dir.path());
    for file in [
        "renewal/.a.example.org.conf.certkit-tmp",
        "archive/a.example.org/.privkey3.pem.certkit-tmp",
        "live/a.example.org/.cert.pem.certkit-tmp",
        "certkit/state/.a.example.org.json.certkit-tmp",
        "live/.new.example.org.certkit-new/cert.pem",
        "archive/.new.example.org.certkit-new/cert1.pem",
        "certkit/pending/.a.example.org.certkit-tmp/privkey.pem",
    ] {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "half").unwrap();
    }
    recover(&store);
    let after: Vec<_> = walk(dir.path()).into_iter().filter(|path| !path.ends_with("certkit/pending")).collect();
    assert_eq!(after, before);
}

#[test]
fn a_thousand_sound_lineages_take_no_time_to_speak_of() {
    let dir = temp_dir();
    let many = 1_000;
    for number in 0..many {
        lay_lineage(dir.path(), &certkit_core::LineageName::new(format!("n{number}.example.org")).unwrap(), &["v2"]);
    }
    let store = lock(dir.path());
    // Of the processor, for the disk is not what this is about, and others may be busy.
    let taken = || -> std::time::Duration { clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap() };
    let begun = taken();
    assert_eq!(store.recover(&TestMath::default(), now()).unwrap(), []);
    let each = (taken() - begun) / many;
    assert!(each < std::time::Duration::from_millis(5), "{each:?} a lineage");
}

#[test]
fn a_dead_live_version_gives_way_to_the_newest_that_verifies() {
    for damage in ["fullchain", "privkey", "foreign key", "not a certificate"] {
        let dir = laid();
        write_version(dir.path(), &name(), 3, "v3");
        point_links(dir.path(), &name(), 3);
        match damage {
            "fullchain" => fs::write(archive(dir.path(), Kind::Fullchain, 3), "").unwrap(),
            "privkey" => fs::write(archive(dir.path(), Kind::Privkey, 3), "").unwrap(),
            "foreign key" => fs::write(archive(dir.path(), Kind::Privkey, 3), data("v1.key.pem")).unwrap(),
            _ => fs::write(archive(dir.path(), Kind::Cert, 3), "-----BEG").unwrap(),
        }
        let expected = (FindingCode::LiveVersionDamaged, Some(Version(2)));
        assert_eq!(only(&lock(dir.path()).recover(&TestMath::default(), now()).unwrap()), expected, "{damage}");
        assert_eq!(whole_version(dir.path(), &name()).0, Version(2), "{damage}");
    }
    // With nothing to put in its place it is left, and said.
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), &["v1"]);
    fs::write(archive(dir.path(), Kind::Fullchain, 1), "").unwrap();
    assert_eq!(only(&recover(&lock(dir.path()))), (FindingCode::LiveVersionDamaged, None));
}

/// A version from the staging hierarchy of a public CA.
fn write_staging(dir: &Path, version: u32) {
    let (cert, issuer) = (data("staging.cert.pem"), data("staging-intermediate.pem"));
    fs::write(archive(dir, Kind::Cert, version), &cert).unwrap();
    fs::write(archive(dir, Kind::Chain, version), &issuer).unwrap();
    fs::write(archive(dir, Kind::Fullchain, version), format!("{cert}{issuer}")).unwrap();
    fs::write(archive(dir, Kind::Privkey, version), data("staging.key.pem")).unwrap();
}

#[test]
fn a_test_certificate_does_not_replace_a_trusted_one() {
    let dir = laid();
    write_staging(dir.path(), 3);
    assert_eq!(only(&recover(&lock(dir.path()))), (FindingCode::NewerVersionNotLive, None));
    assert_eq!(whole_version(dir.path(), &name()).0, Version(2));
    // Mixed links say nothing of what was live: the trusted one is better.
    point_link(dir.path(), &name(), Kind::Cert, 3);
    assert_eq!(only(&recover(&lock(dir.path()))), (FindingCode::MixedVersions, Some(Version(2))));
    // A test replaces a test.
    let dir = laid();
    write_staging(dir.path(), 1);
    write_staging(dir.path(), 2);
    write_staging(dir.path(), 3);
    assert_eq!(only(&recover(&lock(dir.path()))), (FindingCode::NewerVersionNotLive, Some(Version(3))));
}

#[test]
fn a_link_in_the_place_of_our_folders_is_set_aside_and_nothing_is_removed_where_it_leads() {
    let elsewhere = temp_dir();
    // What was once taken for orders that could not be read: folders, flat ones and files of somebody else.
    for folder in ["ssl/certs", "cron.d", "common", "history"] {
        fs::create_dir_all(elsewhere.path().join(folder)).unwrap();
    }
    for file in ["passwd", "cron.d/job", "ssl/openssl.cnf", "common/ledger.json", ".passwd.certkit-tmp"] {
        fs::write(elsewhere.path().join(file), "precious").unwrap();
    }
    let before = listing(elsewhere.path());
    for folder in ["pending", "state", "state/common", "state/history", "commit", "aside", "rollover"] {
        for target in [elsewhere.path(), Path::new("/dev/null"), Path::new("loop")] {
            let dir = laid();
            let place = dir.path().join("certkit").join(folder);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            if target == Path::new("loop") {
                symlink(place.file_name().unwrap(), &place).unwrap();
            } else {
                symlink(target, &place).unwrap();
            }
            let store = lock(dir.path());
            let recovered = store.recover(&TestMath::default(), now()).unwrap();
            let said: Vec<_> = recovered.iter().map(|one| (one.finding.code, one.finding.subject.clone())).collect();
            assert!(said.contains(&(FindingCode::StateDamaged, format!("certkit/{folder}"))), "{said:?}");
            store.save_ledger(&certkit_core::state::Ledger::default()).unwrap();
            store.delete(&name()).unwrap();
            assert_eq!(listing(elsewhere.path()), before, "{folder}");
        }
    }
}

#[test]
fn deleting_a_lineage_whose_order_lies_behind_a_link_removes_nothing_there() {
    let (dir, elsewhere) = (laid(), temp_dir());
    fs::create_dir(elsewhere.path().join("a.example.org")).unwrap();
    fs::write(elsewhere.path().join("a.example.org/file"), "precious").unwrap();
    fs::create_dir_all(dir.path().join("certkit")).unwrap();
    symlink(elsewhere.path(), dir.path().join("certkit/pending")).unwrap();
    let refused = lock(dir.path()).delete(&name()).unwrap_err();
    assert!(refused.cure().is_some_and(|cure| cure.contains("--also-in")), "{refused}");
    assert_eq!(listing(elsewhere.path()).len(), 2);
    // Its own link in the place of its folder goes, and what it leads to stays.
    fs::remove_file(dir.path().join("certkit/pending")).unwrap();
    fs::create_dir(dir.path().join("certkit/pending")).unwrap();
    symlink(elsewhere.path(), dir.path().join("certkit/pending/a.example.org")).unwrap();
    lock(dir.path()).delete(&name()).unwrap();
    assert_eq!(listing(elsewhere.path()).len(), 2);
}

/// Every path below a folder, with its content.
fn listing(folder: &Path) -> Vec<(PathBuf, Option<String>)> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path.clone());
            }
            all.push((path.clone(), fs::read_to_string(path).ok()));
        }
    }
    all.sort();
    all
}
