//! A tree in which somebody has put something else into each place that certkit reads. It is told or put right, the other
//! lineage goes on, nothing is waited for, and nothing outside the tree is touched: a link in the place of `certkit/pending`
//! once made a run remove whatever it led to.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use testkit::{AccountKeyKind, FolderEntry, Tree};

use crate::support::{Run, certkit, scratch};

const SERVER: &str = "https://127.0.0.1:9/dir";
/// The lineage in whose places things are put, and the other one.
const BAD: &str = "bad.example.com";
const GOOD: &str = "good.example.com";

/// What can stand in the place of a file or folder. Links lead only to what the test has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thing {
    Pipe,
    Socket,
    Device,
    Circle,
    LinkToFolder,
    LinkToFile,
    Folder,
    Huge,
}

const THINGS: [Thing; 8] = {
    use Thing::*;
    [Pipe, Socket, Device, Circle, LinkToFolder, LinkToFile, Folder, Huge]
};

/// Without those that are refused as the others are.
const FEWER: [Thing; 5] = {
    use Thing::*;
    [Pipe, Circle, LinkToFolder, Folder, Huge]
};

struct Place {
    _folder: tempfile::TempDir,
    root: PathBuf,
    saved: PathBuf,
}

impl Place {
    /// A tree with two lineages that are not due, an account, settings, hooks and the memory of a run.
    fn new() -> Self {
        let (folder, base) = scratch();
        let root = base.join("machine");
        fs::create_dir(&root).unwrap();
        let tree = Tree::new(root.join("etc"), testkit::now());
        let account = tree.account(SERVER, AccountKeyKind::EcP256);
        for name in [BAD, GOOD] {
            tree.lineage(name).server(SERVER).account(&account.id).write();
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
    fn restore(&self) {
        fs::remove_dir_all(&self.root).unwrap();
        copy(&self.saved, &self.root);
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join("etc").join(path)
    }

    fn write(&self, path: &str, content: &str, mode: u32) {
        fs::write(self.at(path), content).unwrap();
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) -> Run {
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
        certkit(&all, &self.root, None)
    }

    fn put(&self, thing: Thing, path: &Path) {
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

    fn outside(&self) -> BTreeMap<PathBuf, FolderEntry> {
        testkit::snapshot(&self.root.join("outside"))
    }
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

fn status_of(listing: &Value, name: &str) -> Option<String> {
    let lineages = listing["lineages"].as_array()?;
    lineages.iter().find(|one| one["name"] == name).map(|one| one["status"].as_str().unwrap().to_owned())
}

fn names(report: &Value, list: &str) -> Vec<String> {
    let entries = report[list].as_array().map(Vec::as_slice).unwrap_or_default();
    entries.iter().map(|one| one["name"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Puts each thing into each place, and looks at what `certificates` and `renew` say, and `extra` once for each place.
fn everywhere(things: &[Thing], places: &[&str], extra: &[&str], look: impl Fn(Thing, &str, &Run, &Run)) {
    let place = Place::new();
    let outside = place.outside();
    for name in places {
        for &thing in things {
            // These three may well be links.
            if thing == Thing::LinkToFolder && ["certkit", "../logs", "../work"].contains(name) {
                continue;
            }
            place.restore();
            place.put(thing, &place.at(name));
            let listing = place.run(&["certificates", "--json"]);
            if thing == Thing::Pipe || thing == Thing::LinkToFile && !extra.contains(&"doctor") {
                for command in extra {
                    place.run(&command.split(' ').collect::<Vec<_>>());
                }
            }
            let renewal = place.run(&["renew", "--json"]);
            look(thing, name, &listing, &renewal);
            assert_eq!(place.outside(), outside, "{thing:?} at {name}");
        }
    }
}

#[test]
fn whatever_stands_in_the_place_of_a_lineages_files_is_that_lineages_trouble_alone() {
    let places = [
        "renewal/bad.example.com.conf",
        "live/bad.example.com",
        "live/bad.example.com/cert.pem",
        "live/bad.example.com/privkey.pem",
        "archive/bad.example.com",
        "archive/bad.example.com/cert1.pem",
        "archive/bad.example.com/privkey1.pem",
        "archive/bad.example.com/chain1.pem",
        "archive/bad.example.com/fullchain1.pem",
    ];
    everywhere(&THINGS, &places, &["status", "plan", "check", "versions"], |thing, place, listing, renewal| {
        assert_eq!(listing.status, 0, "{thing:?} at {place}: {listing:?}");
        let rows = listing.json();
        assert_eq!(status_of(&rows, GOOD).as_deref(), Some("valid"), "{thing:?} at {place}: {rows}");
        assert_eq!(status_of(&rows, BAD).as_deref(), Some("broken"), "{thing:?} at {place}: {rows}");
        let report = renewal.json();
        assert!(names(&report, "not_due").contains(&GOOD.to_owned()), "{thing:?} at {place}: {report}");
        // What lies in live/ can be put right from the archive.
        let is_told = names(&report, "failed").contains(&BAD.to_owned()) || renewal.all().contains(BAD);
        assert!(is_told, "{thing:?} at {place}: {renewal:?}");
    });
}

#[test]
fn whatever_stands_in_the_place_of_our_memory_is_put_right_and_no_lineage_is_held_up() {
    let places = [
        "certkit/state",
        "certkit/state/bad.example.com.json",
        "certkit/state/common",
        "certkit/state/common/ledger.json",
        "certkit/state/common/notices.json",
        "certkit/state/common/deliveries.json",
        "certkit/state/history",
        "certkit/state/history/bad.example.com.jsonl",
        "certkit/pending",
        "certkit/pending/bad.example.com",
        "certkit/pending/bad.example.com/order.json",
        "certkit/pending/bad.example.com/privkey.pem",
        "certkit/commit",
        "certkit/commit/bad.example.com.json",
        "certkit/aside",
        "certkit/aside/bad.example.com",
        "certkit/rollover",
    ];
    everywhere(&FEWER, &places, &["status", "plan", "history", "notify"], |thing, place, listing, renewal| {
        assert_eq!(status_of(&listing.json(), GOOD).as_deref(), Some("valid"), "{thing:?} at {place}");
        assert_eq!(status_of(&listing.json(), BAD).as_deref(), Some("valid"), "{thing:?} at {place}");
        assert_eq!(renewal.status, 0, "{thing:?} at {place}: {renewal:?}");
        assert_eq!(names(&renewal.json(), "not_due"), [BAD, GOOD], "{thing:?} at {place}: {renewal:?}");
    });
}

#[test]
fn whatever_stands_in_the_place_of_what_all_share_is_named_or_does_not_matter() {
    let places = [
        "renewal",
        "live",
        "archive",
        "accounts",
        "accounts/127.0.0.1:9",
        "certkit",
        "certkit/settings.toml",
        "certkit/lineages",
        "certkit/lineages/bad.example.com.toml",
        "cli.ini",
        "renewal-hooks",
        "renewal-hooks/pre",
        "renewal-hooks/pre/hook.sh",
        "renewal-hooks/deploy/hook.sh",
        "renewal-hooks/post/hook.sh",
        "../logs/certkit.log",
        "../logs",
        "../work",
        ".certbot.lock",
        "../logs/.certbot.lock",
    ];
    everywhere(&FEWER, &places, &["status", "doctor", "config check"], |thing, place, listing, renewal| {
        let last = place.rsplit('/').next().unwrap();
        for run in [listing, renewal] {
            let document = run.json();
            match run.status {
                0 => {}
                // Wrong are the flags in the file then.
                1 | 2 => {
                    assert!(run.all().contains(last) || document["failed"].is_array(), "{thing:?} at {place}: {run:?}");
                }
                other => panic!("{other}: {thing:?} at {place}: {run:?}"),
            }
        }
    });
}

#[test]
fn memory_with_any_content_costs_the_memory_alone() {
    let place = Place::new();
    let files = [
        "certkit/state/bad.example.com.json",
        "certkit/state/common/ledger.json",
        "certkit/state/common/notices.json",
        "certkit/state/common/deliveries.json",
        "certkit/state/history/bad.example.com.jsonl",
    ];
    for file in files {
        let before = fs::read(place.saved.join("etc").join(file)).unwrap_or_default();
        let contents: [&[u8]; 6] = [
            b"",
            b"{",
            &[&before[..], b"}"].concat(),
            &[0; 4096],
            &[&b"\xef\xbb\xbf"[..], &before].concat(),
            b"{\"schema\":1,\"state\":{\"failures\":-1}}",
        ];
        for content in contents {
            place.restore();
            fs::write(place.at(file), content).unwrap();
            let listing = place.run(&["certificates", "--json"]);
            assert_eq!(listing.status, 0, "{file}: {listing:?}");
            place.run(&["status"]);
            let renewal = place.run(&["renew", "--json"]);
            assert_eq!(renewal.status, 0, "{file} with {:?}: {renewal:?}", content.get(..40));
            assert_eq!(names(&renewal.json(), "not_due"), [BAD, GOOD], "{file}: {renewal:?}");
            assert_eq!(place.run(&["renew", "--json"]).status, 0, "{file}: the next run");
        }
    }
}

#[test]
fn names_of_every_kind_are_told_safely_and_hold_nothing_up() {
    let place = Place::new();
    let longest = [b'n'; 250];
    for folder in ["renewal", "live", "archive", "accounts", "renewal-hooks/pre", "certkit/lineages", "certkit/pending"]
    {
        for name in [&b"new\nline"[..], b"\xff\xfe", b"\x1b[31mred", b"-rf", b"a b", b"..."] {
            let suffix: &[u8] = if folder == "renewal" { b".conf" } else { b"" };
            let path = place.at(folder).join(OsStr::from_bytes(&[name, suffix].concat()));
            fs::write(path, "x = 1\n").unwrap();
        }
        let suffix = if folder == "renewal" { ".conf" } else { "" };
        let name = OsStr::from_bytes(&longest).to_str().unwrap();
        fs::write(place.at(folder).join(format!("{name}{suffix}")), "x = 1\n").unwrap();
    }
    for command in ["certificates", "renew", "status", "plan", "doctor", "check", "versions", "history"] {
        let run = place.run(&[command]);
        assert!(!run.all().contains('\x1b') && !run.all().contains("new\nline"), "{command}: {run:?}");
    }
    assert_eq!(status_of(&place.run(&["certificates", "--json"]).json(), GOOD).as_deref(), Some("valid"));
    assert_eq!(names(&place.run(&["renew", "--json"]).json(), "not_due"), [BAD, GOOD]);
}
