//! Removing lineages, whole and broken ones.

use std::fs;

use certkit_core::LineageName;
use certkit_core::store::ConfPlan;

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
    let removed = store.delete(&name()).unwrap();
    assert!(removed.contains(&dir.path().join("renewal/a.example.org.conf")), "{removed:?}");
    assert!(!dir.path().join("archive/a.example.org").exists());
    assert_eq!(walk(&dir.path().join("live/a.example.org")), [dir.path().join("live/a.example.org/owner.pem")]);
    let own: Vec<_> = walk(&dir.path().join("certkit"));
    assert!(own.iter().all(|path| !path.to_str().unwrap().contains("a.example.org")), "{own:?}");
    assert_eq!(walk(&dir.path().join("live/b.example.org")), before);
    whole_version(dir.path(), &other);
    assert_eq!(store.delete(&name()).unwrap(), Vec::<std::path::PathBuf>::new());
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
