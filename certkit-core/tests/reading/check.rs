//! Whether what is live belongs together.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use certkit_core::store::{BrokenReason, Kind, Lineage};
use certkit_core::{KeyMath, Version};

use crate::support::{TestMath, data, lay_lineage, name, point_link, point_links, store, temp_dir, write_version};

fn tree() -> tempfile::TempDir {
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), &["v1", "v2"]);
    dir
}

fn archived(dir: &Path, kind: Kind, version: u32) -> PathBuf {
    dir.join("archive/a.example.org").join(kind.archive_file(Version(version)))
}

fn read(dir: &Path) -> Lineage {
    store(dir).lineage(&name()).unwrap().unwrap()
}

fn check(dir: &Path) -> Result<(), BrokenReason> {
    let math = TestMath::default();
    read(dir).check_live(Some(&math as &dyn KeyMath))
}

#[test]
fn what_certbot_left_is_whole_with_and_without_key_arithmetic() {
    let dir = tree();
    check(dir.path()).unwrap();
    read(dir.path()).check_live(None).unwrap();
    let files = read(dir.path()).read_version(Version(1)).unwrap();
    assert_eq!(files.chain.cert_pem(), data("v1.cert.pem"));
    assert_eq!(files.chain.issuers.len(), 1);
}

#[test]
fn an_empty_or_torn_file_is_named() {
    for kind in Kind::ALL {
        let dir = tree();
        let path = archived(dir.path(), kind, 2);
        let whole = fs::read(&path).unwrap();
        // A full disk at the last write, or a power cut.
        fs::write(&path, "").unwrap();
        assert!(matches!(check(dir.path()).unwrap_err(), BrokenReason::Empty { path: p } if p == path));
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let reason = check(dir.path()).unwrap_err();
        assert!(reason.to_string().starts_with(&format!("{}", path.display())), "{reason}");
        fs::write(&path, b"\0\xff binary").unwrap();
        let reason = check(dir.path()).unwrap_err().to_string();
        assert!(reason.contains(&format!("{}", path.display())), "{reason}");
        let version = read(dir.path()).read_version(Version(2));
        assert_eq!(version.is_err(), matches!(kind, Kind::Fullchain | Kind::Privkey));
    }
}

#[test]
fn a_pair_of_two_versions_does_not_match() {
    let dir = tree();
    point_link(dir.path(), &name(), Kind::Privkey, 1);
    assert!(matches!(check(dir.path()).unwrap_err(), BrokenReason::KeyMismatch { .. }));
    assert!(matches!(read(dir.path()).check_live(None).unwrap_err(), BrokenReason::KeyMismatch { .. }));
    point_links(dir.path(), &name(), 2);
    point_link(dir.path(), &name(), Kind::Fullchain, 1);
    assert!(matches!(check(dir.path()).unwrap_err(), BrokenReason::FullchainDiffers { .. }));
}

#[test]
fn fullchain_is_compared_by_its_certificates() {
    let dir = tree();
    let path = archived(dir.path(), Kind::Fullchain, 2);
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, whole.replace('\n', "\r\n")).unwrap();
    check(dir.path()).unwrap();
    fs::write(&path, format!("{whole}{}", data("root.pem"))).unwrap();
    let reason = check(dir.path()).unwrap_err();
    assert!(matches!(&reason, BrokenReason::FullchainDiffers { fullchain, .. } if *fullchain == path), "{reason}");
    fs::write(&path, data("v2.cert.pem")).unwrap();
    assert!(matches!(check(dir.path()).unwrap_err(), BrokenReason::FullchainDiffers { .. }));
}

#[test]
fn the_certificate_must_be_signed_by_the_first_of_the_chain() {
    let dir = tree();
    fs::write(archived(dir.path(), Kind::Chain, 2), data("root.pem")).unwrap();
    let full = format!("{}{}", data("v2.cert.pem"), data("root.pem"));
    fs::write(archived(dir.path(), Kind::Fullchain, 2), full).unwrap();
    assert!(matches!(check(dir.path()).unwrap_err(), BrokenReason::NotSignedByChain { .. }));
    // Which takes arithmetic to see.
    read(dir.path()).check_live(None).unwrap();
}

#[test]
fn a_link_to_a_secret_file_shows_nothing_of_it() {
    let dir = tree();
    let secret = dir.path().join("shadow");
    fs::write(&secret, "root:$6$secret:19000\n").unwrap();
    for kind in Kind::ALL {
        point_links(dir.path(), &name(), 2);
        let link = dir.path().join("live/a.example.org").join(kind.live_file());
        fs::remove_file(&link).unwrap();
        symlink(&secret, &link).unwrap();
        let lineage = read(dir.path());
        assert_eq!(lineage.live_version(), None);
        let reason = lineage.check_live(None).unwrap_err();
        assert!(!format!("{reason} {reason:?}").contains("$6$"), "{reason:?}");
    }
}

#[test]
fn a_lineage_that_was_switched_since_it_was_read_is_read_again() {
    let dir = tree();
    let old = read(dir.path());
    // Another run renews, and tidies up so thoroughly that what was live is gone.
    write_version(dir.path(), &name(), 3, "v3");
    point_links(dir.path(), &name(), 3);
    for kind in Kind::ALL {
        fs::remove_file(archived(dir.path(), kind, 2)).unwrap();
    }
    assert_eq!(old.certificate().unwrap().to_pem(), data("v3.cert.pem"));
    old.check_live(Some(&TestMath::default())).unwrap();
    // Without a switch it is an error.
    fs::remove_file(archived(dir.path(), Kind::Cert, 3)).unwrap();
    assert!(old.certificate().is_err());
}

#[test]
fn exchanging_the_live_folder_never_looks_broken() {
    let dir = tree();
    let live = dir.path().join("live/a.example.org");
    let other = dir.path().join("live/.other");
    fs::create_dir(&other).unwrap();
    for kind in Kind::ALL {
        let target = format!("../../archive/a.example.org/{}", kind.archive_file(Version(1)));
        symlink(target, other.join(kind.live_file())).unwrap();
    }
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let (here, flags) = (rustix::fs::CWD, rustix::fs::RenameFlags::EXCHANGE);
                rustix::fs::renameat_with(here, &live, here, &other, flags).unwrap();
            }
        });
        for _ in 0..2000 {
            // The folder is opened once, so all four links are of one version.
            assert!(read(dir.path()).live_version().is_some());
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
