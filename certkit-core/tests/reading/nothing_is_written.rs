//! Reading writes nothing at all: certbot's `certificates` makes hook folders, rotates logs and repairs links.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use certkit_core::store::Kind;
use certkit_core::{AcmeUrl, LineageName, Version};

use crate::support::{lay_lineage, name, store, temp_dir};

/// Everything in a tree with what would change if it were touched.
fn snapshot(dir: &Path) -> Vec<(PathBuf, u64, u32, i64, i64, i64)> {
    let mut out = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(path) = todo.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        out.push((path, meta.ino(), meta.mode(), meta.ctime(), meta.ctime_nsec(), meta.mtime_nsec()));
    }
    out.sort();
    out
}

#[test]
fn reading_writes_nothing() {
    let dir = temp_dir();
    let broken = LineageName::new("broken").unwrap();
    lay_lineage(dir.path(), &name(), &["v1", "v2"]);
    lay_lineage(dir.path(), &broken, &["v1"]);
    fs::remove_file(dir.path().join("live/broken/cert.pem")).unwrap();
    // certbot would roll this lineage back.
    for kind in Kind::ALL {
        let target = dir.path().join("archive/a.example.org").join(kind.archive_file(Version(1)));
        symlink(target, dir.path().join(format!("live/a.example.org/previous_{}.pem", kind.as_str()))).unwrap();
    }
    fs::create_dir_all(dir.path().join("accounts/acme-v02.api.letsencrypt.org/directory")).unwrap();
    let before = snapshot(dir.path());

    let store = store(dir.path());
    for lineage in store.lineages().unwrap().flatten() {
        lineage.certificate().unwrap();
        lineage.check_live(None).unwrap();
        lineage.read_version(Version(1)).unwrap();
    }
    store.lineage(&broken).unwrap_err();
    store.audit().unwrap();
    store.accounts(&AcmeUrl::parse("https://acme-v02.api.letsencrypt.org/directory").unwrap()).unwrap();
    store.account_servers().unwrap();
    store.pending(&name()).unwrap();
    store.state(&name()).unwrap();
    store.history(&name()).unwrap();
    assert_eq!(snapshot(dir.path()), before);
}
