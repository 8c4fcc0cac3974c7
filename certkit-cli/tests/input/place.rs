//! A tree with two lineages, and what can be put into a place of it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use testkit::{AccountKeyKind, FolderEntry, Tree};

use crate::support::{Run, certkit, scratch};

const SERVER: &str = "https://127.0.0.1:9/dir";
/// The lineage in whose places things are put, and the other one.
pub(crate) const BAD: &str = "bad.example.com";
pub(crate) const GOOD: &str = "good.example.com";

/// What can stand in the place of a file or folder. Links lead only to what the test has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Thing {
    Pipe,
    Socket,
    Device,
    Circle,
    LinkToFolder,
    LinkToFile,
    Folder,
    Huge,
}

pub(crate) struct Place {
    _folder: tempfile::TempDir,
    pub(crate) root: PathBuf,
    pub(crate) saved: PathBuf,
}

impl Place {
    /// A tree with two lineages that are not due, an account, settings, hooks and the memory of a run.
    pub(crate) fn new() -> Self {
        let (folder, base) = scratch();
        let root = base.join("machine");
        fs::create_dir_all(root.join("www")).unwrap();
        let tree = Tree::new(root.join("etc"), testkit::now());
        let account = tree.account(SERVER, AccountKeyKind::EcP256);
        for name in [BAD, GOOD] {
            tree.lineage(name).server(SERVER).account(&account.id).webroot(root.join("www")).write();
        }
        let place = Self { _folder: folder, saved: base.join("saved"), root };
        assert_eq!(place.run(&["renew"]).status, 0);
        for folder in ["certkit/lineages", "certkit/pending/bad.example.com", "certkit/aside/bad.example.com"] {
            fs::create_dir_all(place.at(folder)).unwrap();
        }
        place.write("certkit/settings.toml", "run_interval = \"12 hours\"\n", 0o600);
        place.write("certkit/lineages/bad.example.com.toml", "default_endpoints = false\n", 0o600);
        place.write("cli.ini", "max-log-backups = 0\n", 0o644);
        for stage in ["pre", "deploy", "post"] {
            place.write(&format!("renewal-hooks/{stage}/hook.sh"), "#!/bin/sh\n", 0o755);
        }
        // What links lead to, with what was once taken for leftovers.
        for folder in ["outside/full/deep", "outside/flat", "outside/common", "outside/history", "outside/pre"] {
            fs::create_dir_all(place.root.join(folder)).unwrap();
        }
        for file in ["passwd", "flat/file", "full/deep/file", "common/ledger.json", "fullchain.pem"] {
            fs::write(place.root.join("outside").join(file), "precious").unwrap();
        }
        copy(&place.root, &place.saved);
        place
    }

    /// As it was in the beginning.
    pub(crate) fn restore(&self) {
        fs::remove_dir_all(&self.root).unwrap();
        copy(&self.saved, &self.root);
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.root.join("etc").join(path)
    }

    fn write(&self, path: &str, content: &str, mode: u32) {
        fs::write(self.at(path), content).unwrap();
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        self.run_by(arguments, |all| certkit(all, &self.root, None))
    }

    /// By a runner of the test's own.
    #[track_caller]
    pub(crate) fn run_by(&self, arguments: &[&str], run: impl FnOnce(&[&OsStr]) -> Run) -> Run {
        let dirs = [("--config-dir", "etc"), ("--work-dir", "work"), ("--logs-dir", "logs")];
        let dirs: Vec<_> = dirs.map(|(flag, dir)| (flag, self.root.join(dir))).into();
        let mut all: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
        all.push(OsStr::new("-n"));
        if arguments[0] == "renew" {
            all.push(OsStr::new("--no-random-sleep-on-renew"));
        }
        for (flag, dir) in &dirs {
            all.extend([OsStr::new(flag), dir.as_os_str()]);
        }
        run(&all)
    }

    pub(crate) fn put(&self, thing: Thing, path: &Path) {
        match fs::symlink_metadata(path) {
            Ok(meta) if meta.is_dir() => fs::remove_dir_all(path).unwrap(),
            Ok(_) => fs::remove_file(path).unwrap(),
            Err(_) => fs::create_dir_all(path.parent().unwrap()).unwrap(),
        }
        match thing {
            Thing::Pipe => assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
            Thing::Socket => {
                // Of a path that is short enough for one.
                let short = self.root.join("s");
                drop(UnixListener::bind(&short).unwrap());
                fs::rename(short, path).unwrap();
            }
            Thing::Device => symlink("/dev/zero", path).unwrap(),
            Thing::Circle => symlink(path.file_name().unwrap(), path).unwrap(),
            Thing::LinkToFolder => symlink(self.root.join("outside"), path).unwrap(),
            Thing::LinkToFile => symlink(self.root.join("outside/passwd"), path).unwrap(),
            Thing::Folder => fs::create_dir(path).unwrap(),
            Thing::Huge => {
                File::create(path).unwrap().set_len(1 << 30).unwrap();
                fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
            }
        }
    }

    pub(crate) fn outside(&self) -> BTreeMap<PathBuf, FolderEntry> {
        testkit::snapshot(&self.root.join("outside"))
    }
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

pub(crate) fn status_of(listing: &Value, name: &str) -> Option<String> {
    let lineages = listing["lineages"].as_array()?;
    lineages.iter().find(|one| one["name"] == name).map(|one| one["status"].as_str().unwrap().to_owned())
}

pub(crate) fn names(report: &Value, list: &str) -> Vec<String> {
    let entries = report[list].as_array().map(Vec::as_slice).unwrap_or_default();
    entries.iter().map(|one| one["name"].as_str().unwrap_or_default().to_owned()).collect()
}
