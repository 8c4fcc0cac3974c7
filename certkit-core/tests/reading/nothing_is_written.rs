//! Reading writes nothing at all: certbot's `certificates` makes hook folders, rotates logs and repairs links.

use std::fs;
use std::os::unix::fs::symlink;

use certkit_core::store::Kind;
use certkit_core::{AcmeUrl, LineageName, Version};

use crate::support::{TestMath, lay_lineage, name, now, snapshot, store, temp_dir};

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
    assert!(store.diagnose(&TestMath::default(), now()).unwrap().iter().any(|one| one.repair.is_some()));
    store.accounts(&AcmeUrl::parse("https://acme-v02.api.letsencrypt.org/directory").unwrap()).unwrap();
    store.account_servers().unwrap();
    store.pending(&name()).unwrap();
    store.state(&name()).unwrap();
    store.history(&name()).unwrap();
    assert_eq!(snapshot(dir.path()), before);
}
