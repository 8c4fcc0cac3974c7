//! `fsck` on trees that are damaged in every way that it repairs, and what certbot makes of them afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use testkit::{Certbot, FolderEntry, LineagePaths, Pebble, PebbleOptions};

use crate::support::{Place, Run};

const KINDS: [&str; 4] = ["cert", "privkey", "chain", "fullchain"];

/// A lineage of two versions, and what is done to it.
type Damage = fn(&LineagePaths);

fn file(paths: &LineagePaths, kind: &str, version: u32) -> PathBuf {
    paths.archive.join(format!("{kind}{version}.pem"))
}

fn relink(paths: &LineagePaths, kind: &str, target: impl AsRef<Path>) {
    let link = paths.live.join(format!("{kind}.pem"));
    let _ = fs::remove_file(&link);
    symlink(target, link).unwrap();
}

fn point(paths: &LineagePaths, kind: &str, version: u32) {
    relink(paths, kind, Path::new("../../archive").join(&paths.name).join(format!("{kind}{version}.pem")));
}

/// certbot's journal of a switch from version 1 to version 2 that it was killed in.
fn journal(paths: &LineagePaths) {
    for kind in KINDS {
        symlink(file(paths, kind, 1), paths.live.join(format!("previous_{kind}.pem"))).unwrap();
    }
}

/// Everything that certbot, a full disk or a careless hand leaves and that is put right. The number is the version that
/// is live afterwards.
const DAMAGES: &[(&str, u32, Damage)] = &[
    ("full-disk-at-fullchain", 2, |at| fs::write(file(at, "fullchain", 2), "").unwrap()),
    ("full-disk-at-cert", 2, |at| fs::write(file(at, "cert", 2), "").unwrap()),
    ("full-disk-at-chain", 2, |at| fs::write(file(at, "chain", 2), "").unwrap()),
    ("full-disk-at-key", 1, |at| fs::write(file(at, "privkey", 2), "").unwrap()),
    ("power-cut", 1, |at| KINDS.iter().for_each(|kind| fs::write(file(at, kind, 2), [0; 800]).unwrap())),
    ("mixed", 2, |at| point(at, "privkey", 1)),
    ("link-missing", 2, |at| fs::remove_file(at.live.join("cert.pem")).unwrap()),
    ("link-dangling", 2, |at| point(at, "chain", 9)),
    ("live-folder-gone", 2, |at| fs::remove_dir_all(&at.live).unwrap()),
    ("links-into-a-tree-that-is-gone", 2, |at| {
        KINDS.iter().for_each(|kind| relink(at, kind, format!("/nonexistent/archive/{}/{kind}2.pem", at.name)));
    }),
    ("copied-without-links", 2, |at| {
        for kind in KINDS {
            let link = at.live.join(format!("{kind}.pem"));
            let content = fs::read(&link).unwrap();
            fs::remove_file(&link).unwrap();
            fs::write(&link, content).unwrap();
        }
    }),
    ("copied-without-archive", 1, |at| {
        for kind in KINDS {
            let link = at.live.join(format!("{kind}.pem"));
            let content = fs::read(&link).unwrap();
            fs::remove_file(&link).unwrap();
            fs::write(&link, content).unwrap();
        }
        fs::remove_dir_all(&at.archive).unwrap();
    }),
    ("killed-before-the-links", 2, |at| {
        journal(at);
        KINDS.iter().for_each(|kind| point(at, kind, 1));
    }),
    ("killed-between-unlink-and-link", 2, |at| {
        journal(at);
        KINDS.iter().for_each(|kind| point(at, kind, 1));
        point(at, "cert", 2);
        fs::remove_file(at.live.join("privkey.pem")).unwrap();
    }),
    ("killed-after-the-links", 2, |at| {
        journal(at);
        fs::remove_file(at.live.join("previous_cert.pem")).unwrap();
    }),
    ("new-version-not-linked", 2, |at| KINDS.iter().for_each(|kind| point(at, kind, 1))),
    ("new-version-without-fullchain-not-linked", 2, |at| {
        KINDS.iter().for_each(|kind| point(at, kind, 1));
        fs::remove_file(file(at, "fullchain", 2)).unwrap();
    }),
    ("new-version-damaged-not-linked", 1, |at| {
        KINDS.iter().for_each(|kind| point(at, kind, 1));
        fs::copy(file(at, "privkey", 1), file(at, "privkey", 2)).unwrap();
    }),
    ("archive-dir-differs", 2, |at| {
        let text = fs::read_to_string(&at.conf).unwrap();
        let other = at.archive.with_file_name("somewhere-else");
        fs::write(&at.conf, text.replace(at.archive.to_str().unwrap(), other.to_str().unwrap())).unwrap();
    }),
    ("conf-empty", 2, |at| fs::write(&at.conf, "").unwrap()),
    ("conf-of-zeros", 2, |at| fs::write(&at.conf, [0; 512]).unwrap()),
    ("conf-without-renewalparams", 2, |at| {
        let text = fs::read_to_string(&at.conf).unwrap();
        fs::write(&at.conf, text.split("[renewalparams]").next().unwrap()).unwrap();
    }),
    ("conf-without-a-path", 2, |at| {
        let text = fs::read_to_string(&at.conf).unwrap();
        let without: Vec<&str> = text.lines().filter(|line| !line.starts_with("privkey = ")).collect();
        fs::write(&at.conf, without.join("\n")).unwrap();
    }),
    ("half-written-conf-beside", 2, |at| fs::write(at.conf.with_extension("conf.new"), "version = ").unwrap()),
    ("key-for-everybody", 2, |at| {
        fs::set_permissions(file(at, "privkey", 2), fs::Permissions::from_mode(0o644)).unwrap();
    }),
    ("conf-for-everybody", 2, |at| fs::set_permissions(&at.conf, fs::Permissions::from_mode(0o666)).unwrap()),
];

/// Those of which nothing is known that a renewal needs: it is the owner's to say.
const CONF_LOST: [&str; 3] = ["conf-empty", "conf-of-zeros", "conf-without-renewalparams"];

fn of<'d>(document: &'d Value, list: &str, name: &str) -> Vec<&'d Value> {
    document[list].as_array().unwrap().iter().filter(|one| one["certificate"] == name).collect()
}

#[test]
fn what_is_repaired_is_valid_for_certbot_and_nothing_else_is_touched() {
    let place = Place::new();
    place.tree.lineage("sound.example").versions(2).write();
    place.tree.lineage("sound-absolute.example").absolute_links().write();
    let all: Vec<_> = DAMAGES
        .iter()
        .map(|(name, version, damage)| {
            // Of two valid versions each, so that the first can take the place of the second.
            let paths = place.tree.lineage(name).versions(2).lifetime_days(90).days_left(80).write();
            damage(&paths);
            (paths, *version)
        })
        .collect();
    // A certificate that certbot had only begun: an empty conf, links to nothing, a key.
    let begun = place.tree.lineage("begun").write();
    fs::write(&begun.conf, "").unwrap();
    ["cert", "chain", "fullchain"].iter().for_each(|kind| fs::remove_file(file(&begun, kind, 1)).unwrap());

    let before = place.tree.snapshot();
    let found = place.run(&["fsck", "--json"]).ends_with(1).json();
    for (paths, _) in &all {
        let problems = of(&found, "problems", &paths.name);
        assert!(!problems.is_empty(), "{} is not found: {found:#}", paths.name);
        assert!(
            problems.iter().all(|one| one["repair"]["steps"].is_array() || one["code"] == "conf-incomplete"),
            "{problems:#?}"
        );
    }
    assert_eq!(of(&found, "problems", "sound.example"), Vec::<&Value>::new());
    assert_eq!(of(&found, "problems", "sound-absolute.example"), Vec::<&Value>::new());
    let planned = place.run(&["fsck", "--repair", "--dry-run"]).ends_with(1);
    assert!(planned.stdout.contains("  Repair:     make version 2 live\n"), "{}", planned.stdout);
    assert_eq!(place.tree.snapshot(), before, "nothing is written without --repair");

    let sound = |snapshot: &BTreeMap<PathBuf, FolderEntry>| {
        let is_sound =
            |path: &Path| path.components().any(|part| part.as_os_str().to_string_lossy().starts_with("sound"));
        snapshot.clone().into_iter().filter(|(path, _)| is_sound(path)).collect::<Vec<_>>()
    };
    let report = place.run(&["fsck", "--repair", "--json"]).ends_with(1).json();
    assert_eq!(report["failed"], serde_json::json!([]), "{report:#}");
    let left: Vec<_> =
        report["problems"].as_array().unwrap().iter().filter(|one| one["severity"] != "notice").collect();
    assert_eq!(left.len(), CONF_LOST.len(), "{left:#?}");
    assert!(left.iter().all(|one| one["code"] == "conf-incomplete"), "{left:#?}");
    let saved = PathBuf::from(report["saved"].as_str().unwrap());
    assert!(saved.join("renewal/begun.conf").exists() && saved.join("archive/begun/privkey1.pem").exists());
    assert_eq!(sound(&place.tree.snapshot()), sound(&before));

    // certkit and certbot agree about what there is now.
    let listed = place.run(&["certificates", "--json"]).ends_with(0).json();
    let lineages = listed["lineages"].as_array().unwrap();
    assert_eq!(lineages.len(), all.len() + 2);
    let certbot =
        Certbot::new(place.tree.config_dir(), "https://ca.example/dir", &place.tree.config_dir().join("none.pem"));
    let theirs = certbot.run(&["certificates"]);
    let theirs = String::from_utf8(theirs.stdout).unwrap();
    assert!(!theirs.contains("The following renewal configurations were invalid"), "{theirs}");
    for (paths, version) in &all {
        let ours =
            lineages.iter().find(|one| one["name"] == paths.name.as_str()).unwrap_or_else(|| panic!("{}", paths.name));
        assert_eq!((&ours["status"], &ours["version"]), (&"valid".into(), &(*version).into()), "{ours:#}");
        let block = theirs.split("Certificate Name: ").find(|block| block.lines().next() == Some(&paths.name));
        let block = block.unwrap_or_else(|| panic!("certbot does not list {}: {theirs}", paths.name));
        assert!(block.contains("(VALID: "), "{block}");
    }

    // Once more there is nothing to do, and nothing is done.
    let after = place.tree.snapshot();
    let again = place.run(&["fsck", "--repair", "--json"]).ends_with(1).json();
    assert_eq!((&again["repaired"], &again["saved"]), (&serde_json::json!([]), &Value::Null), "{again:#}");
    assert_eq!(place.tree.snapshot(), after);
    for name in CONF_LOST {
        let args = ["reconfigure", "--cert-name", name, "--webroot", "-w"];
        let problem = of(&again, "problems", name)[0];
        assert!(problem["cure"].as_str().unwrap().contains(&args[..3].join(" ")), "{problem:#}");
    }
}

#[test]
fn a_sound_tree_is_left_alone_and_a_damaged_one_is_told() {
    let place = Place::new();
    place.tree.lineage("a.example").versions(3).write();
    place.tree.lineage("b.example").absolute_links().write();
    let before = place.tree.snapshot();
    for arguments in [&["fsck"][..], &["fsck", "--repair"], &["fsck", "--cert-name", "a.example", "--repair"]] {
        let run = place.run(arguments).ends_with(0);
        assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("Nothing is wrong.\n", ""));
    }
    assert_eq!(place.tree.snapshot(), before);
    assert!(!place.log().exists(), "where nothing is done there is nothing to note");

    let run = place.run(&["fsck", "--cert-name", "c.example"]).ends_with(1);
    assert!(run.stderr.contains("No certificate found with name c.example"), "{}", run.stderr);
    fs::remove_file(place.tree.config_dir().join("live/b.example/cert.pem")).unwrap();
    place.run(&["fsck", "--cert-name", "a.example"]).ends_with(0);
    let run = place.run(&["fsck", "-q"]).ends_with(1);
    assert!(
        run.stdout.is_empty() && run.stderr.contains("1 error; `certkit fsck --repair` repairs all of it"),
        "{run:?}"
    );
    let run = place.run(&["fsck", "--repair"]).ends_with(0);
    assert!(run.stdout.contains("1 repaired; 1 notice left."), "{}", run.stdout);
    assert!(run.stdout.contains("certkit deploy --cert-name b.example"), "{}", run.stdout);
    assert!(fs::read_to_string(place.log()).unwrap().contains("live/b.example/cert.pem"));
}

#[test]
fn a_copy_of_a_tree_is_told_once_for_all_its_certificates_and_the_original_stays_as_it_is() {
    let place = Place::new();
    let lineages = ["a.example", "b.example"].map(|name| place.tree.lineage(name).versions(2).write());
    point(&lineages[0], "privkey", 1);
    let (original, copy) = (place.tree.config_dir(), place.folder().join("copy"));
    assert!(Command::new("cp").arg("-a").args([original, &copy]).status().unwrap().success());
    let before = testkit::snapshot(original);
    // The flag that comes last counts.
    let at_copy = ["--config-dir", copy.to_str().unwrap()];
    let run = place.run(&[&["fsck"], &at_copy[..]].concat()).ends_with(1);
    assert_eq!(run.stdout.matches("leads into another tree").count(), 1, "{run:?}");
    assert!(run.stdout.contains("For:        a.example, b.example\n"), "{run:?}");
    assert!(run.stdout.contains("NAME stands for each of these certificates"), "{run:?}");
    let there = format!("certkit fsck --repair --config-dir {}", original.display());
    let words = run.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains(&there), "{words}");
    let run = place.run(&[&["fsck", "--repair"], &at_copy[..]].concat()).ends_with(1);
    assert_eq!(testkit::snapshot(original), before, "{run:?}");
    let run = place.run(&["fsck", "--repair"]).ends_with(0);
    assert!(run.stdout.contains("For:        a.example\n"), "{run:?}");
}

#[test]
fn what_lies_on_another_disk_is_repaired_with_the_flag_that_is_told_and_not_before() {
    let place = Place::new();
    let lineage = place.tree.lineage("a.example").versions(2).write();
    let disk = place.folder().join("disk");
    fs::rename(place.tree.config_dir().join("archive"), &disk).unwrap();
    symlink(&disk, place.tree.config_dir().join("archive")).unwrap();
    assert_eq!(place.run(&["fsck"]).ends_with(0).stdout, "Nothing is wrong.\n");
    fs::write(file(&lineage, "fullchain", 2), "").unwrap();
    let before = testkit::snapshot(&disk);
    let words = |run: &Run| run.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    let run = place.run(&["fsck", "--repair"]).ends_with(1);
    assert_eq!(testkit::snapshot(&disk), before, "{run:?}");
    let flag = format!("certkit fsck --repair --also-in {}", disk.display());
    assert!(words(&run).contains(&flag), "{run:?}");
    let also_in = ["--also-in", disk.to_str().unwrap()];
    let run = place.run(&[&["fsck"], &also_in[..]].concat()).ends_with(1);
    assert!(words(&run).contains(&format!("`{flag}` repairs all of it")), "{run:?}");
    place.run(&[&["fsck", "--repair"], &also_in[..]].concat()).ends_with(0);
    assert_ne!(fs::read_to_string(file(&lineage, "fullchain", 2)).unwrap(), "");
    place.run(&["fsck"]).ends_with(0);

    let run = place.run(&["fsck", "--repair", "--also-in", "/nonexistent/disk"]).ends_with(2);
    assert!(run.stderr.contains("there is no such folder"), "{run:?}");
}

/// Runs it in a mount namespace of its own, where `what` is mounted at `at`.
fn with_mount(certkit: &Command, what: &Path, at: &Path) -> Run {
    let mut mounted = Command::new("unshare");
    mounted.args(["-m", "sh", "-c", r#"mount --bind "$1" "$2" || exit 77; shift 2; exec "$@""#, "sh"]);
    mounted.args([what, at]).arg(certkit.get_program()).args(certkit.get_args());
    let output = mounted.output().expect("unshare is missing: install util-linux");
    testkit::process::assert_mounts_permitted(output.status.code(), &output.stderr);
    Run::of(output)
}

#[test]
fn another_trees_folder_that_is_mounted_in_this_one_is_not_its_own() {
    let place = Place::new();
    let lineage = place.tree.lineage("a.example").versions(2).write();
    let (original, copy) = (place.tree.config_dir(), place.folder().join("copy"));
    fs::write(file(&lineage, "fullchain", 2), "").unwrap();
    assert!(Command::new("cp").arg("-a").args([original, &copy]).status().unwrap().success());
    let conf = copy.join("renewal/a.example.conf");
    let text = fs::read_to_string(&conf).unwrap();
    fs::write(&conf, text.replace(original.to_str().unwrap(), copy.to_str().unwrap())).unwrap();
    let before = testkit::snapshot(original);
    for arguments in [&["fsck", "--repair"][..], &["delete", "-n", "--cert-name", "a.example"]] {
        let certkit = place.command(&[arguments, &["--config-dir", copy.to_str().unwrap()]].concat());
        let run = with_mount(&certkit, &original.join("archive"), &copy.join("archive")).ends_with(1);
        assert_eq!(testkit::snapshot(original), before, "{run:?}");
    }
    assert!(!conf.exists());
}

#[test]
fn what_is_mounted_in_the_place_of_a_certificates_folder_is_told_and_nothing_is_tried_there() {
    let place = Place::new();
    place.tree.lineage("a.example").write();
    let (folder, disk) = (place.tree.config_dir().join("archive/b.example"), place.folder().join("disk"));
    for empty in [&folder, &disk] {
        fs::create_dir(empty).unwrap();
    }
    let run_mounted = |arguments: &[&str]| {
        let certkit = place.command(arguments);
        let run = with_mount(&certkit, &disk, &folder).ends_with(1);
        format!("{}{}", run.stdout, run.stderr).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let umount = format!("umount {}", folder.display());
    for arguments in [&["fsck"][..], &["fsck", "--repair"]] {
        let told = run_mounted(arguments);
        assert!(told.contains(&umount) && !told.contains("remove the empty folder"), "{told}");
    }
    // Before the order: no key was made for one.
    let ca = Pebble::start(PebbleOptions::default());
    let (server, roots) = (ca.directory_url(), ca.ca_bundle().to_str().unwrap().to_owned());
    let mut obtain = vec!["certonly", "-n", "--webroot", "-w", "/tmp", "--agree-tos", "-d", "b.example"];
    obtain.extend(["--register-unsafely-without-email", "--server", &server, "--ca-bundle", &roots]);
    let told = run_mounted(&obtain);
    assert!(told.contains("something is mounted at ") && told.contains(&umount), "{told}");
    assert!(!place.tree.config_dir().join("certkit/pending/b.example").exists(), "{told}");
    // As told.
    place.run(&["fsck", "--repair"]).ends_with(0);
    assert!(!folder.exists());
}

#[test]
fn a_file_with_something_mounted_on_it_keeps_all_the_others_until_it_can_go_too() {
    let place = Place::new();
    let lineage = place.tree.lineage("a.example").versions(2).write();
    let key = file(&lineage, "privkey", 2);
    let elsewhere = place.folder().join("key");
    fs::copy(&key, &elsewhere).unwrap();
    let before = testkit::snapshot(&place.tree.config_dir().join("archive"));
    let certkit = place.command(&["delete", "-n", "--cert-name", "a.example"]);
    let run = with_mount(&certkit, &elsewhere, &key).ends_with(1);
    assert!(
        run.stderr.split_whitespace().collect::<Vec<_>>().join(" ").contains(&format!("umount {}", key.display())),
        "{run:?}"
    );
    assert_eq!(testkit::snapshot(&place.tree.config_dir().join("archive")), before);
    place.run(&["delete", "-n", "--cert-name", "a.example"]).ends_with(0);
}
