//! What keeps a version from being live is found out before it is ordered, and is not met again and again.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown, lchown, symlink};
use std::path::Path;
use std::process::Command;

use certkit_core::state::{Event, RecordedEvent};
use certkit_core::store::{CommitError, ConfEdits, ConfPlan, LiveSwitch};
use certkit_core::{FindingCode, LineageName, Version};

use crate::support::*;

/// Nobody's in particular.
const OTHER: u32 = 54_321;

fn laid() -> tempfile::TempDir {
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), &["v1", "v2"]);
    dir
}

/// Does something while a path is immutable, which not even root may change.
fn while_immutable<T>(path: &Path, act: impl FnOnce() -> T) -> T {
    let chattr = |how: &str| {
        let status = Command::new("chattr").arg(how).arg(path).status();
        let is_done = status.is_ok_and(|status| status.success());
        assert!(is_done, "chattr is missing (install e2fsprogs), or this is not root");
    };
    chattr("+i");
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
    chattr("-i");
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn with_another_server() -> ConfEdits {
    let mut edits = ConfEdits::default();
    edits.param("server", Some("https://other.example/directory"));
    edits
}

fn versions(dir: &Path) -> Vec<u32> {
    store(dir).lineage(&name()).unwrap().unwrap().versions().unwrap().into_keys().map(|version| version.0).collect()
}

#[test]
fn an_immutable_conf_is_found_out_before_the_order_where_it_is_to_change() {
    let dir = laid();
    let store = lock(dir.path());
    let plan = ConfPlan::new(with_another_server());
    while_immutable(&dir.path().join("renewal/a.example.org.conf"), || {
        store.check_committable(&name()).unwrap();
        let error = store.check_committable_with(&name(), &plan.edits).unwrap_err();
        assert!(matches!(&error, CommitError::Store(error) if error.immutable().is_some()), "{error}");
        // Whoever commits all the same has not stored a version that can never be live.
        renew(&store, "v3", &plan).unwrap_err();
        assert_eq!(versions(dir.path()), [1, 2]);
        assert!(store.recover(&TestMath::default(), now()).unwrap().is_empty());
        renew(&store, "v3", &ConfPlan::default()).unwrap();
    });
    assert_eq!(versions(dir.path()), [1, 2, 3]);
}

#[test]
fn a_live_folder_that_is_another_users_link_is_found_out_before_the_order() {
    let dir = laid();
    let (live, moved) = (dir.path().join("live/a.example.org"), dir.path().join("live/moved"));
    fs::rename(&live, &moved).unwrap();
    symlink(&moved, &live).unwrap();
    let store = lock(dir.path());
    store.check_committable(&name()).unwrap();
    lchown(&live, Some(OTHER), None).unwrap();
    let error = store.check_committable(&name()).unwrap_err().to_string();
    assert!(error.contains(&format!("is a link that user {OTHER} made")) && error.contains("chown -h root"), "{error}");
}

#[test]
fn what_was_not_bought_is_undone_when_it_cannot_be_made_live() {
    let dir = laid();
    let live = dir.path().join("live/a.example.org");
    let store = lock(dir.path()).with_live_switch(LiveSwitch::Links);
    let commit = || store.commit(&name(), &verified("v3"), Some(Version(2)), &ConfPlan::default());
    while_immutable(&live, || commit().unwrap_err());
    assert_eq!(versions(dir.path()), [1, 2]);
    assert!(store.recover(&TestMath::default(), now()).unwrap().is_empty(), "it was carried out afterwards");
    assert_eq!(whole_version(dir.path(), &name()).0, Version(2));
}

#[test]
fn what_was_bought_is_stored_once_until_it_is_live() {
    let dir = laid();
    let live = dir.path().join("live/a.example.org");
    let store = lock(dir.path());
    store.begin(&name(), &key("v3"), order()).unwrap();
    while_immutable(&live, || {
        renew(&store, "v3", &ConfPlan::default()).unwrap_err();
        assert_eq!(versions(dir.path()), [1, 2, 3]);
        for _ in 0..2 {
            let recovered = store.recover(&TestMath::default(), now()).unwrap();
            assert_eq!(recovered.len(), 1, "{recovered:?}");
            let finding = &recovered[0].finding;
            assert_eq!(finding.code, FindingCode::Unreadable);
            assert!(finding.cure().contains(&format!("chattr -i {}", live.display())), "{}", finding.cure());
            let error = store.check_nothing_half_done(&name()).unwrap_err().to_string();
            assert!(error.starts_with("version 3 is stored, but not live"), "{error}");
        }
    });
    let recovered = store.recover(&TestMath::default(), now()).unwrap();
    assert_eq!(recovered[0].made_live, Some(Version(3)));
    store.check_nothing_half_done(&name()).unwrap();
    assert_eq!(versions(dir.path()), [1, 2, 3]);
    // One that nobody could remove, of a version before the live one.
    let journal = dir.path().join("certkit/commit/a.example.org.json");
    let text = fs::read(&journal).unwrap();
    renew(&store, "v4", &ConfPlan::default()).unwrap();
    fs::write(&journal, text).unwrap();
    store.check_nothing_half_done(&name()).unwrap();
    assert!(store.store().pending(&name()).unwrap().is_none());
}

#[test]
fn one_run_by_root_does_not_keep_the_owner_of_the_tree_from_the_next() {
    let dir = laid();
    let other = LineageName::new("b.example.org").unwrap();
    lay_lineage(dir.path(), &other, &["v2"]);
    for path in walk(dir.path()).iter().map(std::path::PathBuf::as_path).chain([dir.path()]) {
        lchown(path, Some(OTHER), Some(OTHER)).unwrap();
    }
    let store = lock(dir.path());
    store.begin(&other, &key("v2"), order()).unwrap();
    store.save_seed(b"seed").unwrap();
    renew(&store, "v3", &ConfPlan::default()).unwrap();
    record(&store, Version(3)).unwrap();
    let event = RecordedEvent::new(now(), Event::WishFulfilled);
    store.append_history(&name(), &[event]).unwrap();
    let mut own = walk(&dir.path().join("certkit"));
    // A link is replaced by whoever owns its folder.
    own.retain(|path| !path.is_symlink());
    assert!(own.len() > 8, "{own:?}");
    for path in own {
        let meta = fs::symlink_metadata(&path).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (OTHER, OTHER), "{}", path.display());
    }
    // A key of which nobody had one before is that of whoever runs, as its archive will be.
    let first = LineageName::new("c.example.org").unwrap();
    store.begin(&first, &key("v4"), order()).unwrap();
    assert_eq!(fs::metadata(dir.path().join("certkit/pending/c.example.org/privkey.pem")).unwrap().uid(), 0);
    // What its owner gave to somebody else stays theirs.
    let state = dir.path().join("certkit/state");
    chown(&state, Some(OTHER + 1), None).unwrap();
    record(&store, Version(3)).unwrap();
    assert_eq!(fs::metadata(&state).unwrap().uid(), OTHER + 1);
}

#[test]
fn a_folder_that_only_new_lineages_are_made_in_need_not_be_writable_for_the_others() {
    let dir = laid();
    let store = lock(dir.path());
    let other = LineageName::new("b.example.org").unwrap();
    while_immutable(&dir.path().join("live"), || {
        assert!(store.check_committable(&other).is_err());
        store.check_committable(&name()).unwrap();
        renew(&store, "v3", &ConfPlan::default()).unwrap();
    });
    assert_eq!(whole_version(dir.path(), &name()).0, Version(3));
}

#[test]
fn nobody_is_told_to_make_the_links_of_another_lead_elsewhere() {
    let dir = laid();
    lay_lineage(dir.path(), &LineageName::new("b.example.org").unwrap(), &["v3"]);
    let conf = dir.path().join("renewal/a.example.org.conf");
    let text = fs::read_to_string(&conf).unwrap().replace("live/a.example.org/", "live/b.example.org/");
    fs::write(&conf, text).unwrap();
    let refused = |dir: &Path| lock(dir).check_committable(&name()).unwrap_err().to_string();
    let told = refused(dir.path());
    let own = dir.path().join("live/a.example.org");
    assert!(told.contains(&format!("name the live links in {}; remove", own.display())), "{told}");
    fs::remove_dir_all(&own).unwrap();
    let told = refused(dir.path());
    assert!(told.contains(&format!("name the live links in {}, which `certkit fsck", own.display())), "{told}");
    fs::remove_dir_all(dir.path().join("archive/a.example.org")).unwrap();
    let told = refused(dir.path());
    assert!(told.ends_with("remove that configuration, since it has no versions of its own"), "{told}");
    // Its own links are its own to change.
    let dir = laid();
    lay_lineage(dir.path(), &LineageName::new("b.example.org").unwrap(), &["v3", "v4"]);
    let link = |file: &str| dir.path().join("live/a.example.org").join(file);
    for kind in ["cert", "privkey", "chain", "fullchain"] {
        fs::remove_file(link(&format!("{kind}.pem"))).unwrap();
        symlink(format!("../../archive/b.example.org/{kind}2.pem"), link(&format!("{kind}.pem"))).unwrap();
    }
    let refused = lock(dir.path()).check_committable(&name()).unwrap_err().to_string();
    assert!(refused.contains("make them point into archive/a.example.org"), "{refused}");
}

/// Makes each switch fail before anything is exchanged, and takes that back.
fn while_no_switch_works<T>(dir: &Path, act: impl FnOnce() -> T) -> T {
    let note = dir.join("certkit/carried.a.example.org");
    let text = fs::read(&note).unwrap();
    fs::remove_file(&note).unwrap();
    fs::create_dir(&note).unwrap();
    let done = act();
    fs::remove_dir(&note).unwrap();
    fs::write(&note, text).unwrap();
    done
}

#[test]
fn an_undone_version_leaves_no_link_to_it_and_no_hook_that_had_to_run_is_forgotten() {
    let dir = laid();
    let store = lock(dir.path());
    renew(&store, "v3", &ConfPlan::default()).unwrap();
    // What is live was deployed before, and is made live again.
    point_links(dir.path(), &name(), 2);
    let math = TestMath::default();
    let made_live = || store.recover(&math, now()).unwrap().iter().find_map(|one| one.made_live);
    assert_eq!(made_live(), Some(Version(3)));
    let roll_back = || store.commit(&name(), &verified("v2"), Some(Version(3)), &ConfPlan::default());
    while_no_switch_works(dir.path(), || roll_back().unwrap_err());
    assert_eq!(versions(dir.path()), [1, 2, 3]);
    for file in ["cert.pem", "privkey.pem", "chain.pem", "fullchain.pem"] {
        // Somebody has the second folder mounted.
        let link = dir.path().join("certkit/switched.a.example.org").join(file);
        assert!(link.exists(), "{:?}", fs::read_link(&link));
    }
    assert_eq!(made_live(), Some(Version(3)), "its hooks would never run");
    store.forget_made_live(&name(), Version(3)).unwrap();
    assert_eq!(made_live(), None);
}

#[test]
fn the_conf_of_a_commit_that_waits_for_its_owner_is_kept() {
    let dir = laid();
    let store = lock(dir.path());
    store.begin(&name(), &key("v3"), order()).unwrap();
    let live = dir.path().join("live/a.example.org");
    let commit = || store.commit(&name(), &verified("v3"), Some(Version(2)), &ConfPlan::new(with_another_server()));
    while_immutable(&live, || commit().unwrap_err());
    // As if it had been killed before the conf was renamed, and a tool had put a copy in the place of a link since.
    let (conf, temp) = ("renewal/a.example.org.conf", "renewal/.a.example.org.conf.certkit-tmp");
    fs::rename(dir.path().join(conf), dir.path().join(temp)).unwrap();
    let text = fs::read_to_string(dir.path().join(temp)).unwrap();
    fs::write(dir.path().join(conf), text.replace("https://other.example", "https://acme.example")).unwrap();
    let copied = fs::read(live.join("cert.pem")).unwrap();
    fs::remove_file(live.join("cert.pem")).unwrap();
    fs::write(live.join("cert.pem"), copied).unwrap();
    store.recover(&TestMath::default(), now()).unwrap();
    assert!(dir.path().join(temp).exists());
    fs::remove_file(live.join("cert.pem")).unwrap();
    point_link(dir.path(), &name(), certkit_core::store::Kind::Cert, 2);
    store.recover(&TestMath::default(), now()).unwrap();
    assert_eq!(whole_version(dir.path(), &name()).0, Version(3));
    assert_eq!(fs::read_to_string(dir.path().join(conf)).unwrap(), text);
}
