//! Versions that are added to lineages in every shape.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use certkit_core::store::{CommitError, ConfEdits, ConfPlan, Kind, LiveSwitch, LockedStore};
use certkit_core::{LineageName, Version};

use crate::support::*;

fn laid() -> tempfile::TempDir {
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), &["v1", "v2"]);
    dir
}

fn plain(store: &LockedStore, leaf: &str) -> Version {
    let committed = renew(store, leaf, &ConfPlan::default()).unwrap();
    assert_eq!(committed.leftovers, Vec::<String>::new());
    committed.version
}

fn mode(path: PathBuf) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn archive(dir: &Path, file: &str) -> PathBuf {
    dir.join("archive/a.example.org").join(file)
}

fn live(dir: &Path, file: &str) -> PathBuf {
    dir.join("live/a.example.org").join(file)
}

#[test]
fn a_new_version_goes_live_in_both_ways_and_everything_else_stays() {
    for switch in [LiveSwitch::Exchange, LiveSwitch::Links] {
        let dir = laid();
        fs::write(live(dir.path(), "combined.pem"), "the owner's").unwrap();
        fs::set_permissions(live(dir.path(), "combined.pem"), fs::Permissions::from_mode(0o640)).unwrap();
        symlink("combined.pem", live(dir.path(), "haproxy.pem")).unwrap();
        fs::set_permissions(live(dir.path(), ""), fs::Permissions::from_mode(0o711)).unwrap();
        let conf = dir.path().join("renewal/a.example.org.conf");
        fs::set_permissions(&conf, fs::Permissions::from_mode(0o640)).unwrap();
        let conf_before = fs::read_to_string(&conf).unwrap();
        let inode = fs::metadata(live(dir.path(), "combined.pem")).unwrap().ino();

        let store = lock(dir.path()).with_live_switch(switch);
        assert_eq!(plain(&store, "v3"), Version(3));
        assert_eq!(whole_version(dir.path(), &name()), (Version(3), chain("v3").leaf));
        assert_eq!(
            fs::read_link(live(dir.path(), "cert.pem")).unwrap(),
            Path::new("../../archive/a.example.org/cert3.pem")
        );
        assert_eq!(fs::metadata(live(dir.path(), "combined.pem")).unwrap().ino(), inode);
        assert_eq!(fs::read_link(live(dir.path(), "haproxy.pem")).unwrap(), Path::new("combined.pem"));
        assert_eq!(mode(live(dir.path(), "")), 0o711);
        assert_eq!(fs::read_to_string(live(dir.path(), "README")).unwrap(), "what certbot says\n");
        assert_eq!((mode(conf.clone()), fs::read_to_string(&conf).unwrap()), (0o640, conf_before));
        assert_eq!(mode(archive(dir.path(), "privkey3.pem")), 0o600);
        assert_eq!(mode(archive(dir.path(), "fullchain3.pem")), 0o644);
        assert_eq!(leftovers(dir.path()), Vec::<PathBuf>::new());
        assert!(store.store().pending(&name()).unwrap().is_none());
    }
}

#[test]
fn whoever_holds_the_old_folder_open_sees_the_new_version_and_the_one_after_it() {
    let dir = laid();
    let store = lock(dir.path());
    let held = fs::File::open(live(dir.path(), "")).unwrap();
    let through = |file: &str| {
        use std::os::fd::AsRawFd;
        fs::read_to_string(format!("/proc/self/fd/{}/{file}", held.as_raw_fd())).unwrap()
    };
    for leaf in ["v3", "v4", "v3", "v4"] {
        let mut expected = verified(leaf);
        let replaces = store.store().lineage(&name()).unwrap().unwrap().live_version();
        store.commit(&name(), &expected, replaces, &ConfPlan::default()).unwrap();
        assert_eq!(through("cert.pem"), expected.chain().cert_pem());
        assert_eq!(through("privkey.pem"), expected.key().to_pem().as_str());
        expected = verified(leaf);
        assert_eq!(whole_version(dir.path(), &name()).1, expected.chain().leaf);
    }
}

#[test]
fn a_reader_of_the_folder_never_sees_a_mixed_pair() {
    let dir = laid();
    let store = lock(dir.path());
    let stop = std::sync::atomic::AtomicBool::new(false);
    let looks = std::sync::atomic::AtomicU32::new(0);
    let order = std::sync::atomic::Ordering::SeqCst;
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !stop.load(order) {
                use rustix::fs::{CWD, Mode, OFlags, openat, readlinkat};
                let folder =
                    openat(CWD, live(dir.path(), ""), OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty()).unwrap();
                let version = |kind: Kind| {
                    let target = readlinkat(&folder, kind.live_file(), Vec::new()).unwrap().into_string().unwrap();
                    kind.version_of(target.rsplit('/').next().unwrap()).unwrap()
                };
                // Links differ only in a folder that was opened before it was exchanged out: there they follow one by one.
                let seen = Kind::ALL.map(version);
                if seen.iter().any(|other| *other != seen[0]) {
                    let now = rustix::fs::statat(CWD, live(dir.path(), ""), rustix::fs::AtFlags::empty()).unwrap();
                    let then = rustix::fs::fstat(&folder).unwrap();
                    assert_ne!(now.st_ino, then.st_ino, "mixed: {seen:?}");
                }
                looks.fetch_add(1, order);
            }
        });
        for round in 0..30 {
            let replaces = store.store().lineage(&name()).unwrap().unwrap().live_version();
            let leaf = ["v3", "v4"][round % 2];
            store.commit(&name(), &verified(leaf), replaces, &ConfPlan::default()).unwrap();
            // A look spans one switch at most, so that the same folder is not live again within it.
            let before = looks.load(order);
            while looks.load(order) < before + 2 && !reader.is_finished() {
                std::thread::yield_now();
            }
        }
        stop.store(true, order);
        reader.join().unwrap();
    });
}

#[test]
fn the_conf_changes_only_where_it_is_told_and_a_conf_that_is_a_link_stays_one() {
    let dir = laid();
    let (conf, elsewhere) = (dir.path().join("renewal/a.example.org.conf"), dir.path().join("a.conf"));
    fs::rename(&conf, &elsewhere).unwrap();
    symlink(&elsewhere, &conf).unwrap();
    let before = fs::read_to_string(&conf).unwrap();
    let mut edits = ConfEdits::default();
    edits.param("authenticator", Some("webroot"));
    let store = lock(dir.path());
    renew(&store, "v3", &ConfPlan::new(edits)).unwrap();
    let after = before.replace("authenticator = standalone", "authenticator = webroot");
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), after);
    assert!(fs::symlink_metadata(&conf).unwrap().is_symlink());
    let mut edits = ConfEdits::default();
    edits.param("authenticator", Some("standalone"));
    store.edit_conf(&name(), &edits).unwrap();
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), before);
}

#[test]
fn the_style_and_the_directory_of_the_existing_links_are_kept() {
    let dir = laid();
    let other = dir.path().join("elsewhere/versions");
    fs::create_dir_all(&other).unwrap();
    for kind in Kind::ALL {
        let file = kind.archive_file(Version(2));
        fs::rename(archive(dir.path(), &file), other.join(&file)).unwrap();
        fs::remove_file(live(dir.path(), &kind.live_file())).unwrap();
        symlink(other.join(&file), live(dir.path(), &kind.live_file())).unwrap();
    }
    let store = lock(dir.path());
    store.check_committable(&name()).unwrap();
    assert_eq!(plain(&store, "v3"), Version(3));
    assert_eq!(fs::read_link(live(dir.path(), "chain.pem")).unwrap(), other.join("chain3.pem"));
    assert!(!archive(dir.path(), "cert3.pem").exists());
    whole_version(dir.path(), &name());
}

#[test]
fn a_folder_in_live_makes_it_link_by_link() {
    let dir = laid();
    fs::create_dir(live(dir.path(), "folder")).unwrap();
    fs::write(live(dir.path(), "folder/file"), "x").unwrap();
    let inode = fs::metadata(live(dir.path(), "")).unwrap().ino();
    let store = lock(dir.path());
    assert_eq!(plain(&store, "v3"), Version(3));
    whole_version(dir.path(), &name());
    assert_eq!(fs::metadata(live(dir.path(), "")).unwrap().ino(), inode);
    assert_eq!(fs::read(live(dir.path(), "folder/file")).unwrap(), b"x");
    assert_eq!(leftovers(dir.path()), Vec::<PathBuf>::new());
}

#[test]
fn modes_and_groups_that_the_admin_chose_are_kept_and_the_umask_does_not_matter() {
    let dir = laid();
    let group = 12345;
    let key = archive(dir.path(), "privkey2.pem");
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&key, None, Some(group)).unwrap();
    }
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    fs::set_permissions(archive(dir.path(), "cert2.pem"), fs::Permissions::from_mode(0o664)).unwrap();
    let store = lock(dir.path());
    plain(&store, "v3");
    assert_eq!(mode(archive(dir.path(), "privkey3.pem")), 0o640);
    assert_eq!(mode(archive(dir.path(), "cert3.pem")), 0o664);
    if rustix::process::geteuid().is_root() {
        assert_eq!(fs::metadata(archive(dir.path(), "privkey3.pem")).unwrap().gid(), group);
    }
}

#[test]
fn numbers_that_any_kind_has_are_skipped_and_six_versions_are_kept() {
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), &["v1"; 8]);
    fs::write(archive(dir.path(), "privkey11.pem"), "orphan").unwrap();
    fs::write(archive(dir.path(), "notes1.pem"), "the owner's").unwrap();
    // certbot once shared keys so.
    fs::remove_file(archive(dir.path(), "privkey8.pem")).unwrap();
    symlink("privkey1.pem", archive(dir.path(), "privkey8.pem")).unwrap();
    // Another lineage lives on version 2.
    let other = LineageName::new("b.example.org").unwrap();
    lay_lineage(dir.path(), &other, &["v1"]);
    let link = dir.path().join("live/b.example.org/chain.pem");
    fs::remove_file(&link).unwrap();
    symlink("../../archive/a.example.org/chain2.pem", &link).unwrap();

    let store = lock(dir.path());
    assert_eq!(plain(&store, "v2"), Version(12));
    let mut left: Vec<String> = fs::read_dir(archive(dir.path(), ""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|file| {
            !(4..=8).any(|version| Kind::ALL.iter().any(|kind| *file == kind.archive_file(Version(version))))
        })
        .collect();
    left.sort();
    assert_eq!(
        left,
        [
            "cert12.pem",
            "chain12.pem",
            "chain2.pem",
            "fullchain12.pem",
            "notes1.pem",
            "privkey1.pem",
            "privkey11.pem",
            "privkey12.pem"
        ]
    );
}

#[test]
fn when_another_tool_renewed_the_certificate_is_kept_aside() {
    let dir = laid();
    let store = lock(dir.path());
    store.begin(&name(), &key("v4"), order()).unwrap();
    write_version(dir.path(), &name(), 3, "v3");
    point_links(dir.path(), &name(), 3);
    let before = walk(&dir.path().join("archive"));
    for _ in 0..2 {
        let error = store.commit(&name(), &verified("v4"), Some(Version(2)), &ConfPlan::default()).unwrap_err();
        let CommitError::Overtaken { aside } = error else { panic!("{error}") };
        assert_eq!(fs::read_to_string(aside.join("privkey.pem")).unwrap(), data("v4.key.pem"));
        assert_eq!(
            fs::read_to_string(aside.join("fullchain.pem")).unwrap(),
            data("v4.cert.pem") + &data("intermediate.pem")
        );
        assert_keys_are_private(dir.path());
    }
    assert_eq!(whole_version(dir.path(), &name()).0, Version(3));
    assert_eq!(walk(&dir.path().join("archive")), before);
    assert!(store.store().pending(&name()).unwrap().is_none());
    // As when the lineage was removed meanwhile.
    store.delete(&name()).unwrap();
    assert!(matches!(
        store.commit(&name(), &verified("v4"), Some(Version(3)), &ConfPlan::default()),
        Err(CommitError::Overtaken { .. })
    ));
}

#[test]
fn a_roll_back_does_not_end_an_order_under_way() {
    let dir = laid();
    let store = lock(dir.path());
    store.begin(&name(), &key("v4"), order()).unwrap();
    store.commit(&name(), &verified("v1"), Some(Version(2)), &ConfPlan::default()).unwrap();
    record(&store, Version(3)).unwrap();
    assert_eq!(whole_version(dir.path(), &name()), (Version(3), chain("v1").leaf));
    assert!(store.store().pending(&name()).unwrap().is_some());
}

#[test]
fn a_first_version_is_a_lineage_as_certbot_makes_it() {
    let dir = temp_dir();
    // Empty directories of the name are in nobody's way.
    fs::create_dir_all(live(dir.path(), "")).unwrap();
    let store = lock(dir.path());
    store.check_committable(&name()).unwrap();
    let mut edits = ConfEdits::default();
    edits.param("server", Some("https://acme.example/directory")).param("key_type", Some("ecdsa"));
    let committed = renew(&store, "v1", &ConfPlan::new(edits)).unwrap();
    assert_eq!((committed.version, committed.leftovers), (Version(1), Vec::new()));
    assert_eq!(whole_version(dir.path(), &name()), (Version(1), chain("v1").leaf));
    let config = dir.path().display();
    let expected = format!(
        "version = 5.8.0\narchive_dir = {config}/archive/a.example.org\n\
         cert = {config}/live/a.example.org/cert.pem\nprivkey = {config}/live/a.example.org/privkey.pem\n\
         chain = {config}/live/a.example.org/chain.pem\nfullchain = {config}/live/a.example.org/fullchain.pem\n\
         [renewalparams]\nserver = https://acme.example/directory\nkey_type = ecdsa\n"
    );
    assert_eq!(fs::read_to_string(dir.path().join("renewal/a.example.org.conf")).unwrap(), expected);
    assert_eq!(
        fs::read_link(live(dir.path(), "privkey.pem")).unwrap(),
        Path::new("../../archive/a.example.org/privkey1.pem")
    );
    for (path, expected) in [
        ("archive", 0o700),
        ("archive/a.example.org", 0o755),
        ("archive/a.example.org/privkey1.pem", 0o600),
        ("archive/a.example.org/cert1.pem", 0o644),
        ("live/README", 0o644),
        ("live/a.example.org", 0o755),
        ("live/a.example.org/README", 0o644),
        ("renewal", 0o755),
        ("renewal/a.example.org.conf", 0o644),
        ("certkit", 0o700),
    ] {
        assert_eq!(mode(dir.path().join(path)), expected, "{path}");
    }
    assert_eq!(leftovers(dir.path()), Vec::<PathBuf>::new());
    assert_eq!(plain(&store, "v2"), Version(2));
}

#[test]
fn what_cannot_be_committed_is_said_before_anything_is_ordered() {
    let refused = |prepare: &dyn Fn(&Path)| {
        let dir = temp_dir();
        prepare(dir.path());
        let store = lock(dir.path());
        let error = store.check_committable(&name()).unwrap_err().to_string();
        let before = walk(&dir.path().join("archive"));
        store.commit(&name(), &verified("v3"), None, &ConfPlan::default()).unwrap_err();
        assert_eq!(walk(&dir.path().join("archive")), before);
        error
    };
    let orphan = refused(&|dir| {
        fs::create_dir_all(archive(dir, "")).unwrap();
        fs::write(archive(dir, "cert1.pem"), "x").unwrap();
    });
    assert!(orphan.contains("archive/a.example.org") && orphan.contains("--cert-name"), "{orphan}");
    let file = refused(&|dir| {
        lay_lineage(dir, &name(), &["v1"]);
        fs::remove_file(live(dir, "chain.pem")).unwrap();
        fs::copy(archive(dir, "chain1.pem"), live(dir, "chain.pem")).unwrap();
    });
    assert!(file.contains("chain.pem is not a symbolic link"), "{file}");
    let empty = refused(&|dir| {
        lay_lineage(dir, &name(), &["v1"]);
        fs::write(dir.join("renewal/a.example.org.conf"), "").unwrap();
    });
    assert!(empty.contains("a.example.org.conf"), "{empty}");
    let gone = refused(&|dir| {
        lay_lineage(dir, &name(), &["v1"]);
        fs::remove_dir_all(dir.join("archive")).unwrap();
        fs::create_dir(dir.join("archive")).unwrap();
    });
    assert!(gone.contains("No such file"), "{gone}");
}

#[test]
fn a_lineage_whose_links_are_gone_is_healed_by_a_new_version() {
    let dir = laid();
    fs::remove_dir_all(live(dir.path(), "")).unwrap();
    let store = lock(dir.path());
    store.check_committable(&name()).unwrap();
    assert_eq!(plain(&store, "v3"), Version(3));
    assert_eq!(whole_version(dir.path(), &name()), (Version(3), chain("v3").leaf));
}

#[test]
fn a_key_is_never_written_beside_a_file_elsewhere() {
    let dir = laid();
    let foreign = temp_dir();
    fs::write(foreign.path().join("shadow"), data("v2.key.pem")).unwrap();
    fs::set_permissions(foreign.path().join("shadow"), fs::Permissions::from_mode(0o644)).unwrap();
    for target in ["shadow", "privkey2.pem"] {
        let link = live(dir.path(), "privkey.pem");
        fs::remove_file(&link).unwrap();
        symlink(foreign.path().join(target), &link).unwrap();
        let store = lock(dir.path());
        store.check_committable(&name()).unwrap();
        let version = store.commit(&name(), &verified("v3"), store_live(&store), &ConfPlan::default()).unwrap().version;
        assert_eq!(whole_version(dir.path(), &name()).0, version);
        assert_eq!(mode(archive(dir.path(), &Kind::Privkey.archive_file(version))), 0o600);
        assert_eq!(fs::read_dir(foreign.path()).unwrap().count(), 1, "{target}");
        let _ = fs::rename(foreign.path().join("shadow"), foreign.path().join("privkey2.pem"));
    }
    // With no archive of its own there is no place for it.
    fs::remove_file(live(dir.path(), "privkey.pem")).unwrap();
    symlink(foreign.path().join("privkey2.pem"), live(dir.path(), "privkey.pem")).unwrap();
    fs::rename(dir.path().join("archive/a.example.org"), dir.path().join("archive/moved")).unwrap();
    for kind in [Kind::Cert, Kind::Chain, Kind::Fullchain] {
        fs::remove_file(live(dir.path(), &kind.live_file())).unwrap();
        symlink(
            dir.path().join("archive/moved").join(kind.archive_file(Version(2))),
            live(dir.path(), &kind.live_file()),
        )
        .unwrap();
    }
    let refused = lock(dir.path()).check_committable(&name());
    assert!(matches!(refused, Err(CommitError::Refused(_))), "{refused:?}");
}

fn store_live(store: &LockedStore) -> Option<Version> {
    store.store().lineage(&name()).unwrap().unwrap().live_version()
}

#[test]
fn nothing_is_ordered_for_links_into_another_archive() {
    let dir = laid();
    let other = LineageName::new("b.example.org").unwrap();
    lay_lineage(dir.path(), &other, &["v1", "v2"]);
    for kind in Kind::ALL {
        fs::remove_file(live(dir.path(), &kind.live_file())).unwrap();
        let target = format!("../../archive/b.example.org/{}", kind.archive_file(Version(2)));
        symlink(target, live(dir.path(), &kind.live_file())).unwrap();
    }
    let store = lock(dir.path());
    assert!(matches!(store.check_committable(&name()), Err(CommitError::Refused(_))));
    let committed = store.commit(&name(), &verified("v3"), Some(Version(2)), &ConfPlan::default());
    assert!(matches!(committed, Err(CommitError::Refused(_))), "{committed:?}");
    store.check_committable(&other).unwrap();
    assert!(!dir.path().join("archive/b.example.org/cert3.pem").exists());
    let findings = store.store().audit().unwrap();
    assert!(
        findings.iter().any(|f| f.code == certkit_core::FindingCode::ForeignLink && f.subject == "a.example.org"),
        "{findings:?}"
    );
}

#[test]
fn nothing_is_ordered_where_links_mean_two_things() {
    for (linked, to) in [("live/a.example.org", "mnt/live/real"), ("live", "mnt/live")] {
        let dir = laid();
        // `..` from the real folder leads to other versions than `..` by name.
        fs::create_dir_all(dir.path().join("mnt/live")).unwrap();
        fs::rename(dir.path().join(linked), dir.path().join(to)).unwrap();
        symlink(dir.path().join(to), dir.path().join(linked)).unwrap();
        fs::create_dir_all(dir.path().join("mnt/archive/a.example.org")).unwrap();
        for kind in Kind::ALL {
            let file = kind.archive_file(Version(2));
            fs::copy(archive(dir.path(), &file), dir.path().join("mnt/archive/a.example.org").join(&file)).unwrap();
        }
        let store = lock(dir.path());
        assert!(matches!(store.check_committable(&name()), Err(CommitError::Refused(_))), "{linked}");
        let findings = store.store().audit().unwrap();
        let is_told = |finding: &certkit_core::Finding| finding.code == certkit_core::FindingCode::ForeignLink;
        assert!(findings.iter().any(is_told), "{linked}: {findings:?}");
    }
}

#[test]
fn numbers_that_were_never_counted_up_to_are_passed_over() {
    let dir = laid();
    fs::write(archive(dir.path(), "cert4294967295.pem"), "somebody's").unwrap();
    let store = lock(dir.path());
    store.check_committable(&name()).unwrap();
    assert_eq!(plain(&store, "v3"), Version(3));
    drop(store);
    for kind in Kind::ALL {
        fs::copy(
            archive(dir.path(), &kind.archive_file(Version(3))),
            archive(dir.path(), &kind.archive_file(Version(u32::MAX))),
        )
        .unwrap();
    }
    point_links(dir.path(), &name(), u32::MAX);
    assert!(matches!(lock(dir.path()).check_committable(&name()), Err(CommitError::Refused(_))));
}

#[test]
fn a_file_with_the_name_of_certbots_journal_is_its_owners_and_stays() {
    for switch in [LiveSwitch::Exchange, LiveSwitch::Links] {
        let dir = temp_dir();
        lay_lineage(dir.path(), &name(), &["v1"]);
        let live = dir.path().join("live/a.example.org");
        fs::write(live.join("previous_chain.pem"), "mine").unwrap();
        symlink("../../archive/a.example.org/cert1.pem", live.join("previous_cert.pem")).unwrap();
        let store = lock(dir.path()).with_live_switch(switch);
        renew(&store, "v2", &ConfPlan::default()).unwrap();
        assert_eq!(whole_version(dir.path(), &name()).0, Version(2));
        assert_eq!(fs::read_to_string(live.join("previous_chain.pem")).unwrap(), "mine", "{switch:?}");
        assert!(live.join("previous_cert.pem").symlink_metadata().is_err(), "{switch:?}");
        store.delete(&name()).unwrap();
        assert_eq!(fs::read_to_string(live.join("previous_chain.pem")).unwrap(), "mine", "{switch:?}");
    }
}
