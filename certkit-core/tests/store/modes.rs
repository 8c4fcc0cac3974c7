//! Private keys are watched while a thousand versions are committed, under umasks that take nothing, much and everything.
//!
//! A umask belongs to a whole process, so that the tests run one of themselves again, in a child that has it. Root there lacks
//! the right to pass over modes: what its owner cannot use, it cannot use.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use certkit_core::store::{ConfEdits, ConfPlan, Kind, LiveSwitch, LockedStore, NewStoredAccount, VerifiedVersion};
use certkit_core::{AcmeUrl, LineageName, Version};

use crate::support::*;

const CHILD: &str = "CERTKIT_TEST_MODES";
const ROUNDS: &str = "CERTKIT_TEST_MODES_ROUNDS";

/// Three times as many rounds of three commits are more than 1,000.
const MANY: usize = 112;
const FEW: usize = 3;

/// The admin opened the key of this one to a group.
const OPENED: &str = "opened.example.org";
/// This one is obtained for the first time in each round.
const FIRST: &str = "first.example.org";

#[test]
#[ignore = "run by the others, in a process with a umask of its own"]
fn commits_while_a_sampler_looks() {
    let (dir, rounds) = (PathBuf::from(std::env::var_os(CHILD).unwrap()), std::env::var(ROUNDS).unwrap());
    let (stop, looks) = (AtomicBool::new(false), AtomicUsize::new(0));
    let seen = std::thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            while !stop.load(SeqCst) {
                sample(&dir, &mut seen);
                looks.fetch_add(1, SeqCst);
            }
            seen
        });
        // Each round stays until it was looked at, from the beginning to the end.
        let looked_at = || {
            let before = looks.load(SeqCst);
            while looks.load(SeqCst) < before + 2 && !sampler.is_finished() {
                std::thread::yield_now();
            }
        };
        // Whatever goes wrong there, the sampler ends.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            commit_rounds(&dir, rounds.parse().unwrap(), &looked_at);
        }));
        stop.store(true, SeqCst);
        let seen = sampler.join().unwrap();
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        seen
    });
    for (path, mode) in &seen {
        println!("key {mode:o} {path}");
    }
}

fn commit_rounds(dir: &Path, rounds: usize, looked_at: &dyn Fn()) {
    let versions = ["v3", "v4"].map(verified);
    let lineages = [name(), LineageName::new(OPENED).unwrap()];
    let first = LineageName::new(FIRST).unwrap();
    let mut edits = ConfEdits::default();
    edits.param("server", Some("https://acme.example/directory"));
    let conf_of_the_first = ConfPlan::new(edits);
    for round in 0..rounds {
        let switch = if round % 2 == 0 { LiveSwitch::Exchange } else { LiveSwitch::Links };
        let store = lock(dir).with_live_switch(switch);
        for lineage in &lineages {
            commit(&store, lineage, &versions[round % 2], &ConfPlan::default());
        }
        commit(&store, &first, &versions[0], &conf_of_the_first);
        account(&store, looked_at);
        looked_at();
        for lineage in lineages.iter().chain([&first]) {
            whole_version(dir, lineage);
        }
        // What the sampler goes by is all that there is.
        for path in walk(dir).into_iter().filter(|path| fs::symlink_metadata(path).unwrap().is_file()) {
            let text = fs::read_to_string(&path).unwrap();
            assert_eq!(text.contains("PRIVATE KEY") || text.contains("\"d\""), is_key(&path), "{}", path.display());
        }
        store.delete(&first).unwrap();
    }
}

fn commit(store: &LockedStore, lineage: &LineageName, version: &VerifiedVersion, conf: &ConfPlan) -> Version {
    let replaces = store.store().lineage(lineage).ok().flatten().and_then(|lineage| lineage.live_version());
    let mut pending = store.begin(lineage, version.key(), order()).unwrap();
    store.mark_finalizing(&mut pending).unwrap();
    store.commit(lineage, version, replaces, conf).unwrap().version
}

/// An account comes, gets another key and goes.
fn account(store: &LockedStore, looked_at: &dyn Fn()) {
    let (spki, jwk) = new_account_key();
    let url = |text| AcmeUrl::parse(text).unwrap();
    let (directory, uri) = (url("https://acme.example/directory"), url("https://acme.example/acct/1"));
    let new = NewStoredAccount { spki_der: &spki, jwk: &jwk, uri: &uri, created: now(), host: "vm" };
    let account = store.save_account(&directory, &new).unwrap();
    let old = url("https://ca.example/dir");
    let other = store.store().accounts(&old).unwrap().0.remove(0);
    let rollover = store.begin_rollover(&old, &other, &spki, &jwk, now()).unwrap();
    looked_at();
    store.drop_rollover(&rollover).unwrap();
    store.remove_account(&directory, &account).unwrap();
}

/// Adds the keys in a tree, with their modes. What is gone meanwhile is no fault.
fn sample(dir: &Path, seen: &mut BTreeSet<(String, u32)>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        if meta.is_dir() {
            sample(&path, seen);
        } else if meta.is_file() && is_key(&path) {
            seen.insert((path.display().to_string(), meta.mode() & 0o7777));
        }
    }
}

fn is_key(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_str().unwrap();
    name.contains("privkey") || name.contains("private_key") || path.parent().unwrap().ends_with("certkit/rollover")
}

/// What a key may have: nothing for others, but in the lineage that the admin opened to a group.
fn may_have(path: &str, mode: u32) -> bool {
    let opened = path.contains(OPENED) && path.contains("/archive/");
    mode & !(if opened { 0o640 } else { 0o600 }) == 0
}

/// A tree with three lineages, one of them still to come, and an account, in which the child has worked.
fn child(umask: &str, rounds: usize, program: &[&str]) -> Output {
    let dir = temp_dir();
    for lineage in [name(), LineageName::new(OPENED).unwrap()] {
        lay_lineage(dir.path(), &lineage, &["v1", "v2"]);
    }
    for version in [1, 2] {
        let key = dir.path().join(format!("archive/{OPENED}")).join(Kind::Privkey.archive_file(Version(version)));
        fs::set_permissions(key, fs::Permissions::from_mode(0o640)).unwrap();
    }
    let account = lay_account(dir.path(), "ca.example/dir");
    fs::set_permissions(account.join("private_key.json"), fs::Permissions::from_mode(0o400)).unwrap();

    let mut command = Command::new("/bin/sh");
    command.args(["-c", &format!("umask {umask}; exec \"$@\""), "sh"]).args(program);
    if rustix::process::geteuid().is_root() {
        const PASSING_OVER_MODES: &str = "-dac_override,-dac_read_search";
        command.arg("setpriv");
        command.args(["--inh-caps", PASSING_OVER_MODES, "--bounding-set", PASSING_OVER_MODES]);
    }
    command.arg(std::env::current_exe().unwrap());
    command.args(["--exact", "--ignored", "--nocapture", "modes::commits_while_a_sampler_looks"]);
    let output = command.env(CHILD, dir.path()).env(ROUNDS, rounds.to_string()).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "umask {umask}: {said}");
    output
}

#[test]
fn in_a_thousand_commits_no_key_is_open_to_others_for_a_moment_and_the_owner_can_use_each_whatever_the_umask() {
    for umask in ["000", "077", "777"] {
        let output = child(umask, MANY, &[]);
        let stdout = String::from_utf8_lossy(&output.stdout);
        let keys = stdout.lines().filter_map(|line| line.split_once("key ")?.1.split_once(' '));
        let keys: Vec<(u32, &str)> = keys.map(|(mode, path)| (u32::from_str_radix(mode, 8).unwrap(), path)).collect();
        for (mode, path) in &keys {
            assert!(may_have(path, *mode), "umask {umask}: {path} had mode {mode:o}");
        }
        // It saw what it should, each version among them, with the mode that lasts.
        let saw = |part: &str, lasting: u32| {
            let found = keys.iter().any(|(mode, path)| path.contains(part) && *mode == lasting);
            assert!(found, "umask {umask}: {part} was never seen with mode {lasting:o}: {keys:?}");
        };
        for version in 3..MANY + 3 {
            saw(&format!("archive/a.example.org/privkey{version}.pem"), 0o600);
            saw(&format!("archive/{OPENED}/privkey{version}.pem"), 0o640);
        }
        saw(&format!("archive/{FIRST}/privkey1.pem"), 0o600);
        saw("/certkit/pending/", 0o600);
        saw("/certkit/rollover/", 0o600);
        saw("/accounts/acme.example/directory/", 0o400);
    }
}

#[test]
fn every_key_is_made_with_mode_0600_when_the_umask_takes_nothing_away() {
    let calls = "trace=open,openat,creat,chmod,fchmod,fchmodat,link,linkat,rename,renameat,renameat2";
    let log = tempfile::NamedTempFile::new().unwrap();
    child("000", FEW, &["strace", "-f", "-y", "-o", log.path().to_str().unwrap(), "-e", calls]);
    let log = fs::read_to_string(log.path()).unwrap();
    let (mut made, mut given) = (0, 0);
    for line in log.lines().filter(|line| {
        ["privkey", "private_key", "certkit/rollover/"].iter().any(|part| line.contains(part))
            && !line.contains(" = -1 ")
    }) {
        // The mode is the last argument: `…, 0600) = 3</path>`, or `…, 0600 <unfinished ...>` beside the sampler.
        let mode = line.split([')', '<']).filter_map(|part| part.rsplit(", ").next()?.trim().strip_prefix('0')).next();
        let mode = mode.and_then(|mode| u32::from_str_radix(mode, 8).ok());
        if line.contains("O_CREAT") {
            assert_eq!(mode, Some(0o600), "{line}");
            made += 1;
        } else if line.contains("chmod") {
            assert!(may_have(line, mode.unwrap()), "{line}");
            given += 1;
        }
    }
    // In each round at least a key in the archive of three lineages, one in their orders, and two of accounts.
    assert!(made >= FEW * 8 && given >= FEW * 8, "{made} {given}: {log}");
}
