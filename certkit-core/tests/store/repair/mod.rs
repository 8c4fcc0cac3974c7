//! Trees that are damaged, by certbot, a full disk or a careless hand: diagnosed, repaired, and left alone where they are
//! sound.

mod advice;
mod astray;
mod combined;
mod confs;
mod folders;
mod links;
mod outside;
mod random;
mod trees;
mod versions;
mod wrong_lines;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use certkit_core::state::{Event, LineageState};
use certkit_core::store::{Diagnosis, Kind, RenewalConf, RepairReport, VerifiedVersion};
use certkit_core::{AcmeUrl, FindingCode, LineageName, Severity, Version};

use crate::support::*;

fn laid(leaves: &[&str]) -> tempfile::TempDir {
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), leaves);
    dir
}

fn archive(dir: &Path, kind: Kind, version: u32) -> PathBuf {
    dir.join("archive/a.example.org").join(kind.archive_file(Version(version)))
}

fn live(dir: &Path, kind: Kind) -> PathBuf {
    dir.join("live/a.example.org").join(kind.live_file())
}

fn conf(dir: &Path) -> PathBuf {
    dir.join("renewal/a.example.org.conf")
}

fn other() -> LineageName {
    LineageName::new("b.example.org").unwrap()
}

/// What is told of a lineage with this code.
fn of<'d>(found: &'d [Diagnosis], code: FindingCode, name: &LineageName) -> &'d Diagnosis {
    let one = found.iter().find(|one| one.finding.code == code && one.name.as_ref() == Some(name));
    one.unwrap_or_else(|| panic!("{code:?} of {name}: {found:#?}"))
}

fn rewrite(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from}: {text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

fn chmod(path: impl AsRef<Path>, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn diagnose(dir: &Path) -> Vec<Diagnosis> {
    store(dir).diagnose(&TestMath::default(), now()).unwrap()
}

/// Something that is done to a tree, in the words of a test.
pub(crate) type Damage = (&'static str, fn(&Path));

/// What happens to trees, and is put right in their own one alone.
pub(crate) const DAMAGES: &[Damage] = &[
    ("mixed links", |dir| point_link(dir, &name(), Kind::Privkey, 1)),
    ("no link", |dir| fs::remove_file(live(dir, Kind::Chain)).unwrap()),
    ("an empty file", |dir| fs::write(archive(dir, Kind::Fullchain, 2), "").unwrap()),
    ("a newer version", |dir| Kind::ALL.iter().for_each(|kind| point_link(dir, &name(), *kind, 1))),
    ("a journal of certbot", |dir| symlink(archive(dir, Kind::Cert, 1), previous(dir)).unwrap()),
    ("a file like a journal's", |dir| fs::write(previous(dir), "mine").unwrap()),
    ("an open key", |dir| chmod(archive(dir, Kind::Privkey, 2), 0o644)),
    ("a left-over", |dir| {
        fs::write(dir.join("archive/a.example.org/.privkey3.pem.certkit-tmp"), "half").unwrap();
    }),
    ("a commit", |dir| {
        write_version(dir, &name(), 3, "v3");
        let journal = format!(
            r#"{{"schema":1,"version":3,"replaces":2,"new_lineage":false,"consumes_pending":false,"leaf_sha256":"{}"}}"#,
            data_encoding::HEXLOWER.encode(&chain("v3").leaf.fingerprint_sha256())
        );
        fs::create_dir_all(dir.join("certkit/commit")).unwrap();
        chmod(dir.join("certkit"), 0o700);
        fs::write(dir.join("certkit/commit/a.example.org.json"), journal).unwrap();
    }),
];

/// A name of certbot's journal.
fn previous(dir: &Path) -> PathBuf {
    live(dir, Kind::Cert).with_file_name("previous_cert.pem")
}

/// A `cp -a` of a tree beside it, whose confs name the original.
pub(crate) fn copied(dir: &Path) -> PathBuf {
    let (original, copy) = (dir.join("etc"), dir.join("copy"));
    assert!(Command::new("cp").arg("-a").args([&original, &copy]).status().unwrap().success());
    copy
}

/// What is told of a tree, and whether it would be repaired.
fn told(diagnoses: &[Diagnosis]) -> Vec<(FindingCode, bool)> {
    diagnoses.iter().map(|one| (one.finding.code, one.repair.is_some())).collect()
}

/// What a tree holds, wherever it is: the contents of its files and links, but for what certkit had not finished writing.
fn contents(dir: &Path) -> BTreeSet<Vec<u8>> {
    let finished = |path: &PathBuf| !path.to_str().unwrap().ends_with(".certkit-tmp");
    let content = |path: PathBuf| match fs::read_link(&path) {
        Ok(target) => Some(format!("-> {}", target.display()).into_bytes()),
        Err(_) => path.is_file().then(|| fs::read(&path).unwrap()),
    };
    walk(dir).into_iter().filter(finished).filter_map(content).collect()
}

/// Repairs, having seen that looking changes nothing; then once more, which has to find nothing to do. Whatever the tree
/// held is still somewhere in it.
fn repair(dir: &Path) -> RepairReport {
    let before = contents(dir);
    let report = repair_and_forget(dir);
    let after = contents(dir);
    let lost: Vec<_> = before.difference(&after).map(|content| String::from_utf8_lossy(content)).collect();
    assert!(lost.is_empty(), "lost: {lost:?}\n{report:#?}");
    report
}

/// The same, where something is meant to be lost.
fn repair_and_forget(dir: &Path) -> RepairReport {
    let before = snapshot(dir);
    let planned = diagnose(dir);
    assert_eq!(snapshot(dir), before, "looking changed something");
    let locked = lock(dir);
    let report = locked.repair(None, &TestMath::default(), now()).unwrap();
    assert!(report.failed.is_empty(), "{report:#?}");
    for one in planned.iter().filter(|one| one.repair.is_some()) {
        assert!(report.repaired.contains(one), "{one:#?}\n{report:#?}");
    }
    assert!(report.left.iter().all(|one| one.repair.is_none()), "{report:#?}");
    let once = snapshot(dir);
    let again = locked.repair(None, &TestMath::default(), now()).unwrap();
    assert!(again.repaired.is_empty() && again.failed.is_empty() && again.saved.is_none(), "{again:#?}");
    assert_eq!(told(&again.left), told(&report.left));
    assert_eq!(snapshot(dir), once, "repeated, it changed something");
    assert_keys_are_private(dir);
    report
}

/// A file that was saved, by its path in the tree.
fn saved(report: &RepairReport, path: &str) -> PathBuf {
    report.saved.as_ref().unwrap().join(path)
}

#[test]
fn sound_trees_of_all_shapes_stay_as_they_are() {
    let dir = laid(&["v1", "v2"]);
    // After certbot recovered from a crash links are absolute for ever.
    let absolute = LineageName::new("b.example.org").unwrap();
    lay_lineage(dir.path(), &absolute, &["v1"]);
    // An archive that its owner moved, conf and links together.
    let moved = LineageName::new("c.example.org").unwrap();
    lay_lineage(dir.path(), &moved, &["v3"]);
    fs::create_dir(dir.path().join("elsewhere")).unwrap();
    fs::rename(dir.path().join("archive/c.example.org"), dir.path().join("elsewhere/c")).unwrap();
    let path = dir.path().join("renewal/c.example.org.conf");
    let text = fs::read_to_string(&path).unwrap().replace("archive/c.example.org", "elsewhere/c");
    fs::write(&path, text).unwrap();
    for kind in Kind::ALL {
        let file = kind.archive_file(Version(1));
        for (lineage, target) in [
            (&absolute, dir.path().join("archive/b.example.org").join(&file)),
            (&moved, dir.path().join("elsewhere/c").join(&file)),
        ] {
            let link = dir.path().join("live").join(lineage.as_str()).join(kind.live_file());
            fs::remove_file(&link).unwrap();
            symlink(target, link).unwrap();
        }
    }
    // Rights that owners give on purpose: to a group, and to everybody as far as the keys stay shut.
    chmod(archive(dir.path(), Kind::Privkey, 2), 0o640);
    lay_account(dir.path(), "acme.example/directory");
    chmod(dir.path().join("accounts"), 0o700);
    let key = dir.path().join("accounts/acme.example/directory/9b6ef06c3cf07be0ab7f3578e85d7850/private_key.json");
    chmod(key, 0o400);
    // An expired certificate is no damage, and neither is a CA's certificate that ended before it.
    let expired = LineageName::new("d.example.org").unwrap();
    lay_lineage(dir.path(), &expired, &["expired"]);
    drop(lock(dir.path()));

    let before = snapshot(dir.path());
    assert_eq!(diagnose(dir.path()), []);
    assert_eq!(snapshot(dir.path()), before);
    let locked = lock(dir.path());
    let report = locked.repair(None, &TestMath::default(), now()).unwrap();
    drop(locked);
    assert!(report.is_success() && report.repaired.is_empty() && report.saved.is_none(), "{report:#?}");
    // The lock itself comes and goes in the folders that hold it.
    let kept = |all: Vec<(PathBuf, u64, u32, i64, i64, i64)>| {
        all.into_iter().filter(|one| !one.0.ends_with("work") && !one.0.ends_with("logs")).collect::<Vec<_>>()
    };
    assert_eq!(kept(snapshot(dir.path())), kept(before));
}
