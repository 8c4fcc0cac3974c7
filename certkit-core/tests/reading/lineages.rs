//! Which confs are lineages, in which order, and why the others are broken.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use certkit_core::LineageName;
use certkit_core::Version;
use certkit_core::store::{BrokenReason, ConfError, Kind, Lineage, Store, StorePaths};

use crate::support::{lay_lineage, name, point_link, point_links, store, temp_dir, write_version};

fn lineage_name(text: &str) -> LineageName {
    LineageName::new(text).unwrap()
}

/// The tree of one lineage with two versions, the second live.
fn tree() -> tempfile::TempDir {
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), &["v1", "v2"]);
    dir
}

fn live(dir: &Path, kind: Kind) -> PathBuf {
    dir.join("live/a.example.org").join(kind.live_file())
}

fn conf(dir: &Path) -> PathBuf {
    dir.join("renewal/a.example.org.conf")
}

fn relink(dir: &Path, kind: Kind, target: impl AsRef<Path>) {
    let _ = fs::remove_file(live(dir, kind));
    symlink(target, live(dir, kind)).unwrap();
}

fn read(dir: &Path) -> Lineage {
    store(dir).lineage(&name()).unwrap().unwrap()
}

fn broken(dir: &Path) -> BrokenReason {
    store(dir).lineage(&name()).unwrap_err().reason
}

#[test]
fn a_config_dir_that_does_not_exist_is_an_empty_store() {
    let dir = temp_dir();
    let store = store(&dir.path().join("none"));
    assert!(store.lineages().unwrap().next().is_none());
    assert!(store.lineage(&name()).unwrap().is_none());
    assert!(store.audit().unwrap().is_empty());
    assert!(!dir.path().join("none").exists());
}

#[test]
fn a_config_dir_that_cannot_be_read_is_an_error_not_an_empty_store() {
    let dir = temp_dir();
    fs::write(dir.path().join("file"), "").unwrap();
    symlink("nowhere", dir.path().join("link")).unwrap();
    for (config, operation) in [("file", "read"), ("link", "read"), ("file/below", "read")] {
        let error = Store::open(StorePaths::within(dir.path().join(config))).unwrap_err();
        assert_eq!(error.operation, operation, "{config}");
    }
    // The same for the folder of the confs.
    fs::write(dir.path().join("renewal"), "").unwrap();
    let store = store(dir.path());
    store.lineages().unwrap_err();
    store.audit().unwrap_err();
}

#[test]
fn listed_are_the_confs_that_the_shell_pattern_matches_in_bytewise_order() {
    let dir = temp_dir();
    let names = ["x", "x-0001", "Z", "b", "é", "x.y"];
    for name in names {
        lay_lineage(dir.path(), &lineage_name(name), &["v1"]);
    }
    let renewal = dir.path().join("renewal");
    for ignored in [".hidden.conf", ".conf", "x.conf.new", "notes", "README", "x.CONF"] {
        fs::write(renewal.join(ignored), "").unwrap();
    }
    let listed: Vec<_> = store(dir.path()).lineages().unwrap().collect();
    let listed: Vec<_> = listed.iter().map(|lineage| lineage.as_ref().unwrap().name().as_str()).collect();
    assert_eq!(listed, ["Z", "b", "x-0001", "x", "x.y", "é"]);
}

#[test]
fn one_broken_conf_never_hides_the_others() {
    let dir = tree();
    let renewal = dir.path().join("renewal");
    fs::create_dir(renewal.join("b-directory.conf")).unwrap();
    symlink("nowhere", renewal.join("c-dangling.conf")).unwrap();
    symlink("d-loop.conf", renewal.join("d-loop.conf")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, renewal.join("e-pipe.conf"), rustix::fs::Mode::RWXU).unwrap();
    fs::write(renewal.join("f-empty.conf"), "").unwrap();
    fs::write(renewal.join("g-binary.conf"), b"\x7fELF\x02\xff\xfe\0").unwrap();
    fs::write(renewal.join("h\n\x1b[31m.conf"), "").unwrap();
    fs::write(renewal.join(OsStr::from_bytes(b"i\xff.conf")), "").unwrap();
    fs::write(renewal.join("-j.conf"), "").unwrap();
    fs::write(renewal.join("k-twice.conf"), "cert = a\ncert = b\n").unwrap();
    symlink("/dev/zero", renewal.join("l-device.conf")).unwrap();
    fs::File::create(renewal.join("m-large.conf")).unwrap().set_len(1 << 40).unwrap();

    let listed: Vec<_> = store(dir.path()).lineages().unwrap().collect();
    let (good, bad): (Vec<_>, Vec<_>) = listed.into_iter().partition(Result::is_ok);
    assert_eq!(good.len(), 1);
    let messages: Vec<_> = bad.into_iter().map(|broken| broken.unwrap_err().to_string()).collect();
    let expected = [
        ("-j", "cannot be a certificate name: it begins with a dot or a hyphen"),
        ("b-directory", "it is a directory, not a regular file"),
        ("c-dangling", "No such file or directory"),
        ("d-loop", "symbolic links"),
        ("e-pipe", "it is a pipe, not a regular file"),
        ("f-empty", "`cert` is missing, which says where the live file lies"),
        ("g-binary", "line 1: it is not UTF-8 text"),
        ("h\\u{a}\\u{1b}[31m", "cannot be a certificate name: it contains a control character"),
        ("i\u{fffd}", "the file name of the renewal configuration is not UTF-8"),
        ("k-twice", "line 2: the key stands there twice"),
        ("l-device", "it is a device, not a regular file"),
        ("m-large", "it is larger than 1048576 bytes"),
    ];
    assert_eq!(messages.len(), expected.len(), "{messages:#?}");
    for (message, (name, reason)) in messages.iter().zip(expected) {
        assert!(message.starts_with(&format!("{name}: ")) && message.contains(reason), "{message}");
        assert!(!message.contains(char::is_control), "{message:?}");
    }
}

#[test]
fn a_conf_must_name_the_four_files_and_say_how_to_renew() {
    let dir = tree();
    let text = fs::read_to_string(conf(dir.path())).unwrap();
    for kind in Kind::ALL {
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with(&format!("{} ", kind.as_str()))).collect();
        fs::write(conf(dir.path()), lines.join("\n")).unwrap();
        let reason = broken(dir.path());
        assert!(
            matches!(&reason, BrokenReason::Conf(ConfError::MissingPath { key }) if *key == kind.as_str()),
            "{reason}"
        );
    }
    let without = text.split("[renewalparams]").next().unwrap();
    fs::write(conf(dir.path()), without).unwrap();
    let lineage = store(dir.path()).lineage(&name()).unwrap_err();
    assert!(matches!(lineage.reason, BrokenReason::Conf(ConfError::MissingRenewalParams)));
    // What could be read is there, for deleting and for finding orphans.
    assert!(lineage.conf.unwrap().archive_dir().unwrap().ends_with("archive/a.example.org"));
    fs::write(conf(dir.path()), text.replace("authenticator", "post_hook = date %(x)s\nauthenticator")).unwrap();
    assert!(broken(dir.path()).to_string().contains("%(x)s"));
}

#[test]
fn links_may_be_relative_absolute_or_lead_anywhere() {
    let dir = tree();
    let lineage = read(dir.path());
    assert_eq!(lineage.live_version(), Some(Version(2)));
    assert_eq!(lineage.target(Kind::Chain), dir.path().join("archive/a.example.org/chain2.pem"));
    assert_eq!(lineage.live_path(Kind::Cert), live(dir.path(), Kind::Cert));
    assert_eq!(lineage.archive_dir(), dir.path().join("archive/a.example.org"));
    assert!(lineage.certificate().is_ok());

    // After a recovered crash certbot's links are absolute for ever.
    for kind in Kind::ALL {
        relink(dir.path(), kind, dir.path().join("archive/a.example.org").join(kind.archive_file(Version(1))));
    }
    assert_eq!(read(dir.path()).live_version(), Some(Version(1)));

    // The owner moved the archive, and the conf still says the old place: versions are where the links lead.
    fs::rename(dir.path().join("archive/a.example.org"), dir.path().join("moved")).unwrap();
    for kind in Kind::ALL {
        relink(dir.path(), kind, Path::new("../../moved").join(kind.archive_file(Version(2))));
    }
    let lineage = read(dir.path());
    assert_eq!((lineage.live_version(), lineage.archive_dir()), (Some(Version(2)), dir.path().join("moved").as_path()));
    assert_eq!(lineage.versions().unwrap().len(), 2);

    // A target that is a link itself: an old --reuse-key left such keys.
    fs::remove_file(dir.path().join("moved/privkey2.pem")).unwrap();
    symlink("privkey1.pem", dir.path().join("moved/privkey2.pem")).unwrap();
    assert_eq!(read(dir.path()).target(Kind::Privkey), dir.path().join("moved/privkey2.pem"));
}

#[test]
fn paths_in_the_conf_may_be_relative_to_the_working_directory() {
    let dir = tree();
    let here = std::env::current_dir().unwrap();
    let up: PathBuf = here.components().skip(1).map(|_| "..").collect();
    let relative = up.join(dir.path().strip_prefix("/").unwrap());
    let text = fs::read_to_string(conf(dir.path())).unwrap();
    let text = text.replace(&dir.path().display().to_string(), &relative.display().to_string());
    fs::write(conf(dir.path()), text).unwrap();
    let lineage = read(dir.path());
    assert_eq!(lineage.live_path(Kind::Cert), relative.join("live/a.example.org/cert.pem"));
    assert_eq!(lineage.target(Kind::Cert), dir.path().join("archive/a.example.org/cert2.pem"));
}

#[test]
fn every_link_must_be_a_link_to_a_file() {
    for kind in Kind::ALL {
        let dir = tree();
        let link = live(dir.path(), kind);
        let archive = dir.path().join("archive/a.example.org");

        fs::remove_file(&link).unwrap();
        assert!(matches!(broken(dir.path()), BrokenReason::MissingLink { path } if path == link));

        fs::copy(archive.join(kind.archive_file(Version(2))), &link).unwrap();
        let reason = broken(dir.path());
        assert!(matches!(&reason, BrokenReason::NotASymlink { path } if *path == link));
        assert!(reason.to_string().contains("was the tree copied?"));

        relink(dir.path(), kind, format!("../../archive/a.example.org/{}", kind.archive_file(Version(9))));
        let target = archive.join(kind.archive_file(Version(9)));
        assert!(
            matches!(broken(dir.path()), BrokenReason::Dangling { link: l, target: t } if l == link && t == target)
        );

        relink(dir.path(), kind, "/dev/zero");
        assert!(broken(dir.path()).to_string().ends_with("/dev/zero: it is a device, not a regular file"));
        relink(dir.path(), kind, "..");
        assert!(broken(dir.path()).to_string().ends_with("it is a directory, not a regular file"));
        relink(dir.path(), kind, kind.live_file());
        assert!(matches!(broken(dir.path()), BrokenReason::Dangling { .. }));
    }
    let dir = tree();
    fs::remove_dir_all(dir.path().join("live/a.example.org")).unwrap();
    assert!(matches!(broken(dir.path()), BrokenReason::MissingLink { .. }));
    fs::create_dir(dir.path().join("live/a.example.org")).unwrap();
    assert!(matches!(broken(dir.path()), BrokenReason::MissingLink { .. }));
    fs::remove_dir_all(dir.path().join("live")).unwrap();
    fs::write(dir.path().join("live"), "").unwrap();
    assert!(matches!(broken(dir.path()), BrokenReason::MissingLink { .. }));
}

#[test]
fn links_that_disagree_have_no_common_version_but_are_no_broken_lineage() {
    let dir = tree();
    point_link(dir.path(), &name(), Kind::Cert, 1);
    assert_eq!(read(dir.path()).live_version(), None);
    point_links(dir.path(), &name(), 1);
    // The same number in another lineage's archive.
    lay_lineage(dir.path(), &lineage_name("b"), &["v1"]);
    relink(dir.path(), Kind::Privkey, "../../archive/b/privkey1.pem");
    assert_eq!(read(dir.path()).live_version(), None);
    point_links(dir.path(), &name(), 1);
    // A name that certbot never gives.
    for other in ["mycert.pem", "cert01.pem"] {
        fs::copy(live(dir.path(), Kind::Cert), dir.path().join("archive/a.example.org").join(other)).unwrap();
        relink(dir.path(), Kind::Cert, format!("../../archive/a.example.org/{other}"));
        assert_eq!(read(dir.path()).live_version(), None, "{other}");
        assert!(read(dir.path()).certificate().is_ok());
    }
}

#[test]
fn versions_are_counted_by_what_exists_of_them() {
    let dir = tree();
    let archive = dir.path().join("archive/a.example.org");
    for version in [3, 10] {
        write_version(dir.path(), &name(), version, "v3");
    }
    fs::remove_file(archive.join("fullchain10.pem")).unwrap();
    for orphan in ["privkey7.pem", "cert.pem", "cert2.pem.bak", "notes"] {
        fs::write(archive.join(orphan), "").unwrap();
    }
    let lineage = read(dir.path());
    let versions = lineage.versions().unwrap();
    let kinds: Vec<_> = versions.iter().map(|(version, kinds)| (version.0, kinds.len())).collect();
    assert_eq!(kinds, [(1, 4), (2, 4), (3, 4), (7, 1), (10, 3)]);
    assert_eq!(versions[&Version(10)], [Kind::Cert, Kind::Privkey, Kind::Chain]);
    assert_eq!(lineage.newest_complete_version().unwrap(), Some(Version(3)));
    // Without one that is complete, certbot raises an error.
    for version in 1..=3 {
        fs::rename(archive.join(format!("chain{version}.pem")), archive.join(format!("gone{version}"))).unwrap();
    }
    assert_eq!(lineage.newest_complete_version().unwrap(), None);
    fs::remove_dir_all(&archive).unwrap();
    assert_eq!(lineage.versions().unwrap_err().path, archive);
}

#[test]
fn many_lineages_read_on_all_cores_are_those_read_one_by_one() {
    let dir = temp_dir();
    for number in 0..300 {
        let name = lineage_name(&format!("n{number}.example.org"));
        lay_lineage(dir.path(), &name, &["v1"]);
        match number % 50 {
            7 => fs::write(dir.path().join(format!("renewal/{name}.conf")), "[").unwrap(),
            9 => fs::remove_file(dir.path().join(format!("live/{name}/chain.pem"))).unwrap(),
            _ => {}
        }
    }
    let store = store(dir.path());
    let seen = |lineage: Result<Lineage, certkit_core::store::BrokenLineage>| match lineage {
        Ok(lineage) => format!("{} until {}", lineage.name(), lineage.certificate().unwrap().validity().not_after),
        Err(broken) => broken.to_string(),
    };
    let one_by_one: Vec<String> = store.lineages().unwrap().map(seen).collect();
    assert_eq!(one_by_one.len(), 300);
    assert_eq!(one_by_one.iter().filter(|line| !line.contains(" until ")).count(), 12);
    assert_eq!(store.map_lineages(seen).unwrap(), one_by_one);
    // An error is not an absence here either.
    fs::remove_dir_all(dir.path().join("renewal")).unwrap();
    fs::write(dir.path().join("renewal"), "").unwrap();
    store.map_lineages(|_| ()).unwrap_err();
}
