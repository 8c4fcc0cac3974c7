//! Whoever has `live/NAME` open or mounted while another version goes live holds the folder that is exchanged out. What is put
//! into it is not lost.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use certkit_core::store::{ConfPlan, Kind, LiveSwitch};
use certkit_core::{FindingCode, Version};

use crate::support::*;

/// A tree after its first exchange, with a file that is its owner's, and the folder that was exchanged out.
fn exchanged() -> (tempfile::TempDir, PathBuf) {
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), &["v1", "v2"]);
    for file in ["old.pem", "dhparam.pem"] {
        fs::write(live(dir.path(), file), "before").unwrap();
    }
    moment();
    renew(&lock(dir.path()), "v3", &ConfPlan::default()).unwrap();
    moment();
    let other = dir.path().join("certkit/switched.a.example.org");
    assert!(other.join("old.pem").exists());
    (dir, other)
}

#[test]
fn a_copy_in_the_place_of_a_link_is_set_aside_where_links_are_replaced_one_by_one_too() {
    let (dir, other) = exchanged();
    fs::remove_file(other.join("privkey.pem")).unwrap();
    fs::write(other.join("privkey.pem"), "a key").unwrap();
    // Both have put a new one there: the one that is in use stays, and the other is kept.
    for (folder, text) in [(live(dir.path(), ""), "in live"), (other, "in the other")] {
        fs::remove_file(folder.join("dhparam.pem")).unwrap();
        fs::write(folder.join("dhparam.pem"), text).unwrap();
    }
    renew(&lock(dir.path()).with_live_switch(LiveSwitch::Links), "v4", &ConfPlan::default()).unwrap();
    let aside = dir.path().join("certkit/saved/switched.a.example.org");
    assert_eq!(fs::read_to_string(aside.join("privkey.pem")).unwrap(), "a key");
    let store = lock(dir.path());
    store.commit(&name(), &verified("v4"), Some(Version(4)), &ConfPlan::default()).unwrap();
    assert_eq!(fs::read_to_string(live(dir.path(), "dhparam.pem")).unwrap(), "in live");
    assert_eq!(fs::read_to_string(aside.join("dhparam.pem")).unwrap(), "in the other");
}

/// Longer than the clock of a file system goes.
fn moment() {
    std::thread::sleep(Duration::from_millis(30));
}

fn live(dir: &Path, file: &str) -> PathBuf {
    dir.join("live/a.example.org").join(file)
}

#[test]
fn it_is_in_the_live_folder_after_the_next_switch() {
    let (dir, other) = exchanged();
    fs::write(other.join("late.key"), "mine").unwrap();
    fs::set_permissions(other.join("late.key"), fs::Permissions::from_mode(0o600)).unwrap();
    // As an editor saves.
    fs::write(other.join("new"), "after").unwrap();
    fs::rename(other.join("new"), other.join("dhparam.pem")).unwrap();
    std::os::unix::fs::symlink("late.key", other.join("link.key")).unwrap();
    renew(&lock(dir.path()), "v4", &ConfPlan::default()).unwrap();
    assert_eq!(whole_version(dir.path(), &name()), (Version(4), chain("v4").leaf));
    for folder in [live(dir.path(), ""), other] {
        let text = |file: &str| fs::read_to_string(folder.join(file)).ok();
        assert_eq!(text("late.key").as_deref(), Some("mine"), "{}", folder.display());
        assert_eq!(text("dhparam.pem").as_deref(), Some("after"), "{}", folder.display());
        assert_eq!(text("link.key").as_deref(), Some("mine"), "{}", folder.display());
    }
    assert_eq!(fs::metadata(live(dir.path(), "late.key")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_was_moved_there_is_not_taken_for_what_was_carried() {
    let elsewhere = temp_dir();
    let made_before = ["moved.key", "linked.key", "over.pem"].map(|file| elsewhere.path().join(file));
    made_before.iter().for_each(|path| fs::write(path, path.to_str().unwrap()).unwrap());
    let [moved, linked, over] = &made_before;
    let (dir, other) = exchanged();
    fs::rename(moved, other.join("moved.key")).unwrap();
    fs::hard_link(linked, other.join("linked.key")).unwrap();
    fs::remove_file(linked).unwrap();
    fs::rename(over, other.join("dhparam.pem")).unwrap();
    // A copy in the place of a link cannot be carried.
    fs::remove_file(other.join("privkey.pem")).unwrap();
    fs::write(other.join("privkey.pem"), "a key").unwrap();
    // What its owner has removed does not come back.
    fs::remove_file(live(dir.path(), "old.pem")).unwrap();
    let committed = renew(&lock(dir.path()), "v4", &ConfPlan::default()).unwrap();
    for (file, text) in [("moved.key", moved), ("linked.key", linked), ("dhparam.pem", over)] {
        assert_eq!(fs::read_to_string(live(dir.path(), file)).unwrap(), text.to_str().unwrap());
    }
    assert!(!live(dir.path(), "old.pem").exists() && !other.join("old.pem").exists());
    let aside = dir.path().join("certkit/saved/switched.a.example.org");
    assert_eq!(walk(&aside), [aside.join("privkey.pem")]);
    assert_eq!(fs::read_to_string(aside.join("privkey.pem")).unwrap(), "a key");
    assert!(committed.leftovers.iter().any(|told| told.contains("privkey.pem")), "{committed:?}");
    // A second one of that name takes no other's place, and where nothing says what was carried, nothing is lost.
    fs::remove_file(other.join("privkey.pem")).unwrap();
    fs::write(other.join("privkey.pem"), "another").unwrap();
    fs::write(other.join("late.key"), "mine").unwrap();
    fs::remove_file(dir.path().join("certkit/carried.a.example.org")).unwrap();
    lock(dir.path()).delete(&name()).unwrap();
    for (file, text) in [("privkey.pem", "a key"), ("privkey.pem-2", "another"), ("late.key", "mine")] {
        assert_eq!(fs::read_to_string(aside.join(file)).unwrap(), text);
    }
}

#[test]
fn what_a_hook_makes_anew_in_the_live_folder_each_time_piles_up_nowhere() {
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), &["v1", "v2"]);
    for leaf in ["v3", "v4", "v3", "v4", "v3"] {
        // As for HAProxy: made beside it and renamed, or removed and made.
        let file = live(dir.path(), "haproxy.pem");
        fs::write(live(dir.path(), "haproxy.pem.new"), leaf).unwrap();
        fs::rename(live(dir.path(), "haproxy.pem.new"), &file).unwrap();
        let _ = fs::remove_file(live(dir.path(), "other.pem"));
        fs::write(live(dir.path(), "other.pem"), leaf).unwrap();
        let store = lock(dir.path());
        let replaces = store.store().lineage(&name()).unwrap().unwrap().live_version();
        let committed = store.commit(&name(), &verified(leaf), replaces, &ConfPlan::default()).unwrap();
        assert_eq!(committed.leftovers, [] as [String; 0]);
        assert_eq!(fs::read_to_string(&file).unwrap(), leaf);
    }
    assert!(!dir.path().join("certkit/saved").exists());
}

#[test]
fn it_is_set_aside_and_told_when_the_certificate_goes() {
    for by_certkit in [true, false] {
        let (dir, other) = exchanged();
        fs::write(other.join("late.key"), "mine").unwrap();
        std::os::unix::fs::symlink("/srv/late", other.join("late.link")).unwrap();
        let locked = lock(dir.path());
        let told = if by_certkit {
            let deleted = locked.delete(&name()).unwrap();
            format!("{:?}", deleted.findings())
        } else {
            for path in ["live/a.example.org", "archive/a.example.org"] {
                fs::remove_dir_all(dir.path().join(path)).unwrap();
            }
            fs::remove_file(dir.path().join("renewal/a.example.org.conf")).unwrap();
            String::new()
        };
        let told = told + &format!("{:?}", locked.recover(&TestMath::default(), now()).unwrap());
        let aside = dir.path().join("certkit/saved/switched.a.example.org");
        assert_eq!(fs::read_to_string(aside.join("late.key")).unwrap(), "mine");
        assert_eq!(fs::read_link(aside.join("late.link")).unwrap(), Path::new("/srv/late"));
        assert!(told.contains("switched.a.example.org") && !other.exists(), "{told}");
        assert!(!aside.join("privkey.pem").exists());
    }
}

#[test]
fn what_a_recovery_sets_aside_is_told_by_it_and_by_each_audit_until_its_owner_takes_it() {
    for how in [LiveSwitch::Exchange, LiveSwitch::Links] {
        let (dir, other) = exchanged();
        Kind::ALL.into_iter().for_each(|kind| point_link(dir.path(), &name(), kind, 1));
        fs::remove_file(other.join("privkey.pem")).unwrap();
        fs::write(other.join("privkey.pem"), "a key").unwrap();
        let store = lock(dir.path()).with_live_switch(how);
        let recovered = store.recover(&TestMath::default(), now()).unwrap();
        let aside = "certkit/saved/switched.a.example.org/privkey.pem";
        assert_eq!(fs::read_to_string(dir.path().join(aside)).unwrap(), "a key");
        assert_eq!(recovered[0].made_live.map(|version| version.0), Some(3), "{recovered:?}");
        assert!(recovered[0].finding.evidence.contains(aside), "{recovered:?}");
        let told = || {
            let audit = store.store().audit().unwrap();
            audit.into_iter().filter(|one| one.evidence.contains(aside)).map(|one| one.code).collect::<Vec<_>>()
        };
        assert_eq!(told(), [FindingCode::LeftAtCommit]);
        fs::remove_file(dir.path().join(aside)).unwrap();
        assert_eq!(told(), []);
    }
}

#[test]
fn what_is_remembered_of_a_folder_that_is_gone_goes_with_its_certificate() {
    let (dir, other) = exchanged();
    fs::remove_dir_all(&other).unwrap();
    let carried = dir.path().join("certkit/carried.a.example.org");
    let recover = || drop(lock(dir.path()).recover(&TestMath::default(), now()).unwrap());
    recover();
    assert!(carried.exists());
    for path in ["live/a.example.org", "archive/a.example.org"] {
        fs::remove_dir_all(dir.path().join(path)).unwrap();
    }
    fs::remove_file(dir.path().join("renewal/a.example.org.conf")).unwrap();
    recover();
    assert!(!carried.exists());
    // A file in the folder's place goes as well.
    fs::write(&other, "").unwrap();
    fs::write(&carried, "").unwrap();
    recover();
    assert!(!carried.exists() && !other.exists());
}
