//! Copies of a tree whose confs or folders lead into the original: nothing but reading happens there, whatever is done in
//! the copy. The original's lock is not held.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use certkit_core::store::{CommitError, ConfEdits, ConfPlan, Kind};
use certkit_core::{FindingCode, LineageName};

use crate::repair::{DAMAGES, Damage, copied};
use crate::support::*;

/// What may be found in a tree besides damages.
const MORE: &[Damage] = &[
    ("no damage", |_| {}),
    ("a folder that another run is making", |dir| {
        fs::create_dir(dir.join("archive/.b.example.org.certkit-new")).unwrap();
    }),
];

/// How a copy leads into its original, in the words of a test.
#[allow(clippy::type_complexity, reason = "used once")]
const LEADING: &[(&str, fn(&Path, &Path))] = &[
    ("the confs name the original", |_, _| {}),
    ("`live` is a link to the original's", |original, copy| shared(original, copy, "live")),
    ("`archive` is a link to the original's", |original, copy| shared(original, copy, "archive")),
    ("the folder of versions is a link to the original's", |original, copy| {
        shared(original, copy, "archive/a.example.org");
    }),
];

/// A tree in the folder `etc`.
fn laid_in_etc(leaves: &[&str]) -> tempfile::TempDir {
    let dir = temp_dir();
    fs::create_dir(dir.path().join("etc")).unwrap();
    lay_lineage(&dir.path().join("etc"), &name(), leaves);
    dir
}

/// The copy is a tree of its own but for one folder.
fn shared(original: &Path, copy: &Path, part: &str) {
    let conf = copy.join("renewal/a.example.org.conf");
    let text = fs::read_to_string(&conf).unwrap();
    fs::write(&conf, text.replace(original.to_str().unwrap(), copy.to_str().unwrap())).unwrap();
    fs::remove_dir_all(copy.join(part)).unwrap();
    symlink(original.join(part), copy.join(part)).unwrap();
}

#[test]
fn a_run_in_a_copy_changes_nothing_in_the_original() {
    for (how, lead) in LEADING {
        for (what, damage) in DAMAGES.iter().chain(MORE) {
            let dir = laid_in_etc(&["v1", "v2"]);
            let original = dir.path().join("etc");
            damage(&original);
            let copy = copied(dir.path());
            lead(&original, &copy);
            let before = snapshot(&original);
            let locked = lock(&copy);
            let told = locked.recover(&TestMath::default(), now()).unwrap();
            assert_eq!(snapshot(&original), before, "{how}, {what}: {told:?}");
            assert!(told.iter().all(|one| one.made_live.is_none()), "{how}, {what}: {told:?}");
            let words = |error: CommitError| error.to_string();
            let asked = locked.check_committable(&name()).map_err(words).unwrap_err();
            let refused = renew(&locked, "v4", &ConfPlan::default()).map_err(words).unwrap_err();
            assert_eq!(snapshot(&original), before, "{how}, {what}: {refused}");
            for refused in [asked, refused] {
                let there = format!("--config-dir {}", original.display());
                assert!(refused.contains(&there) && refused.contains("another tree"), "{how}, {what}: {refused}");
            }
        }
    }
}

#[test]
fn what_a_run_would_finish_in_the_original_is_told_with_its_tree() {
    let dir = laid_in_etc(&["v1", "v2"]);
    let original = dir.path().join("etc");
    point_link(&original, &name(), Kind::Privkey, 1);
    let told = lock(&copied(dir.path())).recover(&TestMath::default(), now()).unwrap();
    let [one] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(one.finding.code, FindingCode::AnotherTree);
    assert!(one.finding.evidence.as_str().contains(original.to_str().unwrap()), "{one:?}");
}

#[test]
fn a_first_certificate_is_not_put_into_another_tree() {
    for part in ["live", "archive", "certkit"] {
        let dir = laid_in_etc(&["v1"]);
        let original = dir.path().join("etc");
        fs::create_dir_all(original.join("certkit")).unwrap();
        let other = dir.path().join("other");
        for folder in ["live", "archive", "renewal"] {
            fs::create_dir_all(other.join(folder)).unwrap();
        }
        let _ = fs::remove_dir(other.join(part));
        symlink(original.join(part), other.join(part)).unwrap();
        let b = LineageName::new("b.example.org").unwrap();
        let before = snapshot(&original);
        let locked = lock(&other);
        let saved = locked.commit(&b, &verified("v2"), None, &ConfPlan::default());
        assert!(matches!(&saved, Err(CommitError::Refused(why)) if why.contains("another tree")), "{part}: {saved:?}");
        assert!(locked.check_committable(&b).is_err(), "{part}");
        assert_eq!(snapshot(&original), before, "{part}");
    }
}

#[test]
fn a_conf_that_is_a_link_into_another_tree_is_not_edited() {
    let dir = laid_in_etc(&["v1"]);
    let original = dir.path().join("etc");
    let copy = copied(dir.path());
    let conf = copy.join("renewal/a.example.org.conf");
    fs::remove_file(&conf).unwrap();
    symlink(original.join("renewal/a.example.org.conf"), &conf).unwrap();
    let before = snapshot(&original);
    let mut edits = ConfEdits::default();
    edits.param("key_type", Some("rsa"));
    let told = lock(&copy).edit_conf(&name(), &edits).unwrap_err().to_string();
    assert!(told.contains("another tree"), "{told}");
    assert_eq!(snapshot(&original), before);
}
