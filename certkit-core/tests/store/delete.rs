//! Removing lineages, whole and broken ones.

use std::fs;
use std::path::Path;
use std::process::Command;

use certkit_core::LineageName;
use certkit_core::store::{ConfPlan, DeleteError};

use crate::support::*;

#[test]
fn everything_of_a_lineage_goes_but_the_owners_files_and_the_history() {
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), &["v1", "v2"]);
    let other = LineageName::new("b.example.org").unwrap();
    lay_lineage(dir.path(), &other, &["v1"]);
    let store = lock(dir.path());
    renew(&store, "v3", &ConfPlan::default()).unwrap();
    store.begin(&name(), &key("v4"), order()).unwrap();
    let before = walk(&dir.path().join("live/b.example.org"));
    fs::write(dir.path().join("live/a.example.org/owner.pem"), "mine").unwrap();
    let removed = store.delete(&name()).unwrap().removed;
    assert!(removed.contains(&dir.path().join("renewal/a.example.org.conf")), "{removed:?}");
    assert!(!dir.path().join("archive/a.example.org").exists());
    assert_eq!(walk(&dir.path().join("live/a.example.org")), [dir.path().join("live/a.example.org/owner.pem")]);
    let own: Vec<_> = walk(&dir.path().join("certkit"));
    assert!(own.iter().all(|path| !path.to_str().unwrap().contains("a.example.org")), "{own:?}");
    assert_eq!(walk(&dir.path().join("live/b.example.org")), before);
    whole_version(dir.path(), &other);
    assert_eq!(store.delete(&name()).unwrap().removed, [] as [std::path::PathBuf; 0]);
}

#[test]
fn its_settings_go_with_a_lineage_and_those_of_others_stay() {
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), &["v1"]);
    let settings = dir.path().join("certkit/lineages");
    fs::create_dir_all(settings.join("b.example.org.toml")).unwrap();
    fs::write(dir.path().join("certkit/settings.toml"), "parallel_orders = 2\n").unwrap();
    for lineage in ["a.example.org", "a.example.org-0001"] {
        fs::write(settings.join(format!("{lineage}.toml")), "live_switch = \"links\"\n").unwrap();
    }
    let store = lock(dir.path());
    assert!(store.delete(&name()).unwrap().removed.contains(&settings.join("a.example.org.toml")));
    assert!(!settings.join("a.example.org.toml").exists());
    assert!(settings.join("a.example.org-0001.toml").exists() && dir.path().join("certkit/settings.toml").exists());
    // What is no file of settings is not certkit's to remove, and keeps nothing else from going.
    let other = LineageName::new("b.example.org").unwrap();
    lay_lineage(dir.path(), &other, &["v1"]);
    store.delete(&other).unwrap();
    assert!(settings.join("b.example.org.toml").is_dir() && !dir.path().join("archive/b.example.org").exists());
}

#[test]
fn broken_ones_can_be_removed() {
    for conf in ["", "\u{0}binary", "duplicate = 1\nduplicate = 2\n", "archive_dir = /\n"] {
        let dir = temp_dir();
        lay_lineage(dir.path(), &name(), &["v1"]);
        fs::write(dir.path().join("renewal/a.example.org.conf"), conf).unwrap();
        fs::remove_file(dir.path().join("live/a.example.org/cert.pem")).unwrap();
        lock(dir.path()).delete(&name()).unwrap();
        for gone in ["renewal/a.example.org.conf", "live/a.example.org", "archive/a.example.org"] {
            assert!(!dir.path().join(gone).exists(), "{conf:?}: {gone}");
        }
    }
}

#[test]
fn nothing_outside_or_of_others_is_removed_whatever_the_conf_says() {
    let dir = temp_dir();
    let tree = dir.path().join("tree");
    let outside = dir.path().join("outside");
    fs::create_dir_all(&outside).unwrap();
    for file in ["cert.pem", "cert1.pem", "README"] {
        fs::write(outside.join(file), "precious").unwrap();
    }
    let other = LineageName::new("b.example.org").unwrap();
    for places in [
        (outside.clone(), outside.clone()),
        (tree.join("live/b.example.org"), tree.join("archive/b.example.org")),
        (tree.join("live"), tree.join("archive")),
        (tree.clone(), tree.clone()),
        (tree.join("renewal"), tree.join("accounts/x")),
        (tree.join("live/a.example.org/../../../outside"), tree.join("archive/../../outside")),
    ] {
        let _ = fs::remove_dir_all(&tree);
        lay_lineage(&tree, &name(), &["v1"]);
        lay_lineage(&tree, &other, &["v1"]);
        fs::create_dir_all(tree.join("accounts/x")).unwrap();
        fs::write(tree.join("accounts/x/cert1.pem"), "precious").unwrap();
        let (live, archive) = (places.0.display(), places.1.display());
        let conf = format!(
            "archive_dir = {archive}\ncert = {live}/cert.pem\nprivkey = {live}/privkey.pem\nchain = {live}/chain.pem\n\
             fullchain = {live}/fullchain.pem\n[renewalparams]\n"
        );
        fs::write(tree.join("renewal/a.example.org.conf"), conf).unwrap();
        lock(&tree).delete(&name()).unwrap();
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 3, "{live}");
        assert!(tree.join("accounts/x/cert1.pem").exists());
        whole_version(&tree, &other);
        assert!(tree.join("renewal/b.example.org.conf").exists());
        assert!(!tree.join("renewal/a.example.org.conf").exists());
    }
}

#[test]
fn versions_that_another_lineage_uses_stay() {
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), &["v1", "v2"]);
    let other = LineageName::new("b.example.org").unwrap();
    lay_lineage(dir.path(), &other, &["v1"]);
    for kind in certkit_core::store::Kind::ALL {
        let link = dir.path().join("live/b.example.org").join(kind.live_file());
        fs::remove_file(&link).unwrap();
        let target = format!("../../archive/a.example.org/{}", kind.archive_file(certkit_core::Version(1)));
        std::os::unix::fs::symlink(target, link).unwrap();
    }
    lock(dir.path()).delete(&name()).unwrap();
    whole_version(dir.path(), &other);
}

/// A conf of this name that speaks of the live links in `live`, with what `more` says.
fn second_conf(dir: &Path, name: &str, live: &Path, more: &str) {
    let live = live.display();
    let conf = format!(
        "cert = {live}/cert.pem\nprivkey = {live}/privkey.pem\nchain = {live}/chain.pem\nfullchain = {live}/fullchain.pem\n\
         [renewalparams]\n{more}\n"
    );
    fs::write(dir.join(format!("renewal/{name}.conf")), conf).unwrap();
}

#[test]
fn of_two_confs_for_one_lineage_either_goes_alone() {
    // Healthy, with a bad value, and no conf at all.
    for more in ["account = x", "http01_port = \"many\"", "[[["] {
        for deleted in ["a.example.org", "copy"] {
            let dir = temp_dir();
            lay_lineage(dir.path(), &name(), &["v1", "v2"]);
            second_conf(dir.path(), "copy", &dir.path().join("live/a.example.org"), more);
            let deleted = LineageName::new(deleted).unwrap();
            let store = lock(dir.path());
            assert_eq!(store.store().sharing(&deleted).unwrap().len(), 1, "{more}");
            let conf = dir.path().join(format!("renewal/{deleted}.conf"));
            assert_eq!(store.delete(&deleted).unwrap().removed, [conf], "{more}");
            whole_version(dir.path(), &name());
            // The other one is alone now, and takes everything with it that it can be seen to speak of.
            let other = if deleted == name() { LineageName::new("copy").unwrap() } else { name() };
            store.delete(&other).unwrap();
            let live = dir.path().join("live/a.example.org");
            assert_eq!(live.join("privkey.pem").exists(), more != "account = x" && other.as_str() == "copy", "{more}");
        }
    }
}

#[test]
fn versions_that_links_elsewhere_lead_to_are_neither_removed_nor_pruned() {
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), &["v1"]);
    let srv = dir.path().join("srv");
    fs::create_dir(&srv).unwrap();
    for kind in certkit_core::store::Kind::ALL {
        let version = dir.path().join("archive/a.example.org").join(kind.archive_file(certkit_core::Version(1)));
        std::os::unix::fs::symlink(version, srv.join(kind.live_file())).unwrap();
    }
    second_conf(dir.path(), "s", &srv, "account = x");
    for version in 2..8 {
        write_version(dir.path(), &name(), version, "v1");
    }
    point_links(dir.path(), &name(), 7);
    let store = lock(dir.path());
    renew(&store, "v2", &ConfPlan::default()).unwrap();
    let archive = dir.path().join("archive/a.example.org");
    assert!(!archive.join("privkey2.pem").exists() && archive.join("privkey3.pem").exists());
    assert!(fs::read(srv.join("privkey.pem")).is_ok(), "pruned");
    store.delete(&name()).unwrap();
    assert!(fs::read(srv.join("privkey.pem")).is_ok(), "removed");
}

#[test]
fn what_an_interrupted_removal_left_can_be_removed() {
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), &["v1"]);
    fs::rename(dir.path().join("archive/a.example.org"), dir.path().join("archive/elsewhere")).unwrap();
    for kind in certkit_core::store::Kind::ALL {
        let link = dir.path().join("live/a.example.org").join(kind.live_file());
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(format!("../../archive/elsewhere/{}1.pem", kind.as_str()), link).unwrap();
    }
    fs::remove_file(dir.path().join("renewal/a.example.org.conf")).unwrap();
    lock(dir.path()).delete(&name()).unwrap();
    for gone in ["live/a.example.org", "archive/elsewhere"] {
        assert!(!dir.path().join(gone).exists(), "{gone}");
    }
}

#[test]
fn nothing_is_removed_where_the_uses_of_others_cannot_be_read() {
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), &["v1"]);
    // A conf that is too large to be read could say anything.
    fs::File::create(dir.path().join("renewal/b.conf")).unwrap().set_len(1 << 30).unwrap();
    let store = lock(dir.path());
    assert!(store.delete(&name()).is_err());
    whole_version(dir.path(), &name());
    assert!(dir.path().join("renewal/a.example.org.conf").exists());
}

#[test]
fn a_removal_that_failed_at_the_conf_removes_nothing_later_either() {
    // Whatever the disk, what is immutable stays.
    let dir = tempfile::tempdir().unwrap();
    lay_lineage(dir.path(), &name(), &["v1"]);
    let conf = dir.path().join("renewal/a.example.org.conf");
    let elsewhere = dir.path().join("kept.conf");
    let chattr = |how: &str| {
        let status = Command::new("chattr").arg(how).arg(&conf).status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "chattr is missing (install e2fsprogs), or this is not root"
        );
    };
    let store = lock(dir.path());
    // With a note of an earlier removal, whose conf was put back, and without one.
    for note in [true, false] {
        if note {
            fs::create_dir_all(dir.path().join("certkit/deleting")).unwrap();
            fs::write(dir.path().join("certkit/deleting/a.example.org"), "").unwrap();
        }
        chattr("+i");
        let DeleteError::Store(error) = store.delete(&name()).unwrap_err() else { panic!() };
        chattr("-i");
        assert_eq!((error.operation, &error.path), ("remove", &conf));
        // Its owner edits it elsewhere.
        fs::rename(&conf, &elsewhere).unwrap();
        store.repair(None, &TestMath::default(), now()).unwrap();
        store.recover(&TestMath::default(), now()).unwrap();
        fs::rename(&elsewhere, &conf).unwrap();
        whole_version(dir.path(), &name());
    }
}

#[test]
fn a_conf_that_is_a_relative_link_goes_with_its_lineage_and_what_it_leads_to_stays() {
    for interrupted in [false, true] {
        let dir = temp_dir();
        lay_lineage(dir.path(), &name(), &["v1"]);
        let (conf, kept) = (dir.path().join("renewal/a.example.org.conf"), dir.path().join("kept/a.conf"));
        fs::create_dir(dir.path().join("kept")).unwrap();
        fs::rename(&conf, &kept).unwrap();
        std::os::unix::fs::symlink("../kept/a.conf", &conf).unwrap();
        whole_version(dir.path(), &name());
        let store = lock(dir.path());
        if interrupted {
            // The link is the note, and leads nowhere from there: the folders are those that certbot gives.
            fs::create_dir_all(dir.path().join("certkit/deleting")).unwrap();
            fs::rename(&conf, dir.path().join("certkit/deleting/a.example.org")).unwrap();
            store.recover(&TestMath::default(), now()).unwrap();
        } else {
            store.delete(&name()).unwrap();
        }
        for gone in ["renewal/a.example.org.conf", "archive/a.example.org", "live/a.example.org"] {
            assert!(dir.path().join(gone).symlink_metadata().is_err(), "{gone}");
        }
        assert!(dir.path().join("certkit/deleting/a.example.org").symlink_metadata().is_err());
        assert!(kept.exists());
    }
}

#[test]
fn a_removal_that_was_interrupted_after_the_conf_had_gone_ends_in_the_folders_that_the_conf_named() {
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), &["v1"]);
    let (conf, elsewhere) = (dir.path().join("renewal/a.example.org.conf"), dir.path().join("keys/mine"));
    fs::create_dir(dir.path().join("keys")).unwrap();
    fs::rename(dir.path().join("archive/a.example.org"), &elsewhere).unwrap();
    fs::remove_dir_all(dir.path().join("live/a.example.org")).unwrap();
    let text = fs::read_to_string(&conf).unwrap();
    let text = text.replace(dir.path().join("archive/a.example.org").to_str().unwrap(), elsewhere.to_str().unwrap());
    fs::create_dir_all(dir.path().join("certkit/deleting")).unwrap();
    fs::write(dir.path().join("certkit/deleting/a.example.org"), text).unwrap();
    fs::remove_file(conf).unwrap();
    lock(dir.path()).recover(&TestMath::default(), now()).unwrap();
    assert!(!elsewhere.exists() && !dir.path().join("certkit/deleting/a.example.org").exists());
}
