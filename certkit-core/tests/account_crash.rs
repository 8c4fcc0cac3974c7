//! Changes of an account's key that are killed, or fail, at each system call that changes the tree.
//!
//! The program runs itself under strace, as `crash` does: once to count the calls, then once for each call that touches
//! the tree. At any time every conf has to name an account that is there, and the new key has to be in the journal or in
//! its place from before the CA is asked; the next run finishes.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus};

use certkit_core::AcmeUrl;
use certkit_core::store::{LockedStore, RolloverError};
use support::*;

const CHILD: &str = "CERTKIT_ACCOUNT_CRASH_TREE";
/// What stands for the CA: made when it is asked to take the key, so that the journal must be durable before.
const ASKED: &str = "asked-the-ca";
const OLD: &str = "9b6ef06c3cf07be0ab7f3578e85d7850";
const NEW: &str = "24f0a34d40414517ee526e8bd1589f35";
const CONFS: [&str; 2] = ["a", "b"];

/// System calls that change a tree, or without which a change is not durable.
const CALLS: &str = "openat,open,creat,write,pwrite64,writev,ftruncate,fsync,fdatasync,rename,renameat,renameat2,unlink,\
unlinkat,rmdir,mkdir,mkdirat,chmod,fchmod,fchmodat,chown,fchown,fchownat,fsetxattr";

/// One after the other, so that each is met by some call of each kind.
const ERRORS: [&str; 3] = ["ENOSPC", "EIO", "EROFS"];

fn main() -> ExitCode {
    if let Ok(tree) = std::env::var(CHILD) {
        return match change(&lock(Path::new(&tree)), Path::new(&tree)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::from(1)
            }
        };
    }
    assert!(
        Command::new("strace").arg("-V").output().is_ok_and(|output| output.status.success()),
        "this test needs strace: apt install strace"
    );
    for (number, call) in calls().iter().enumerate() {
        let error = format!("error={}", ERRORS[number % ERRORS.len()]);
        for what in ["signal=SIGKILL", &error] {
            let dir = temp_dir();
            let status = inject(dir.path(), call, what);
            let context = format!("{what} at {} {}: {}", call.syscall, call.number, call.line);
            check(dir.path(), &context);
            finish(dir.path(), status.success(), &context);
        }
    }
    println!("account_crash: ok");
    ExitCode::SUCCESS
}

fn lay(dir: &Path) {
    lay_account(dir, "ca.example/dir");
    fs::create_dir(dir.join("renewal")).unwrap();
    for name in CONFS {
        let text = format!("[renewalparams]\naccount = {OLD}\nserver = {}\n", directory());
        fs::write(dir.join(format!("renewal/{name}.conf")), text).unwrap();
    }
}

fn directory() -> AcmeUrl {
    AcmeUrl::parse("https://ca.example/dir").unwrap()
}

/// What is killed.
fn change(store: &LockedStore, dir: &Path) -> Result<(), RolloverError> {
    let account = store.store().accounts(&directory())?.0.remove(0);
    let (spki, jwk) = new_account_key();
    let rollover = store.begin_rollover(&directory(), &account, &spki, &jwk, now())?;
    // Neither killed nor failing: it is not the tree's.
    let _ = fs::create_dir(dir.with_extension(ASKED));
    store.finish_rollover(&rollover, &account.uri).map(drop)
}

/// What must hold at any time.
fn check(dir: &Path, context: &str) {
    let accounts = dir.join("accounts/ca.example/dir");
    for name in CONFS {
        let text = fs::read_to_string(dir.join(format!("renewal/{name}.conf"))).unwrap();
        let id = text.lines().find_map(|line| line.strip_prefix("account = ")).unwrap();
        for file in ["private_key.json", "regr.json", "meta.json"] {
            let content = fs::read(accounts.join(id).join(file)).unwrap_or_default();
            let json = serde_json::from_slice::<serde_json::Value>(&content);
            assert!(json.is_ok(), "{context}: {name} names {id}, whose {file} is not whole");
        }
    }
    let asked = dir.with_extension(ASKED).exists();
    let kept = store(dir).rollovers().unwrap().0.len() == 1 || accounts.join(NEW).join("private_key.json").exists();
    assert!(kept || !asked, "{context}: the CA may have a key that is nowhere");
}

/// The next run.
fn finish(dir: &Path, succeeded: bool, context: &str) {
    let asked = dir.with_extension(ASKED);
    let store = lock(dir);
    let recovered = store.recover(&TestMath::default(), now()).unwrap();
    assert!(recovered.iter().all(|one| one.made_live.is_none()), "{context}: {recovered:?}");
    let (rollovers, findings) = store.store().rollovers().unwrap();
    assert_eq!(findings, [], "{context}");
    match rollovers.first() {
        Some(rollover) if asked.exists() => {
            store.finish_rollover(rollover, &rollover.account_url).unwrap_or_else(|error| panic!("{context}: {error}"));
        }
        Some(rollover) => store.drop_rollover(rollover).unwrap(),
        None => {}
    }
    let expected = if asked.exists() { NEW } else { OLD };
    assert!(!succeeded || expected == NEW, "{context}");
    let (accounts, findings) = store.store().accounts(&directory()).unwrap();
    assert_eq!(findings, [], "{context}");
    assert_eq!(accounts.iter().map(|account| account.id.as_str()).collect::<Vec<_>>(), [expected], "{context}");
    for name in CONFS {
        let text = fs::read_to_string(dir.join(format!("renewal/{name}.conf"))).unwrap();
        assert!(text.contains(&format!("account = {expected}\n")), "{context}: {text}");
    }
    assert_eq!(leftovers(dir), Vec::<std::path::PathBuf>::new(), "{context}");
    assert!(store.store().rollovers().unwrap().0.is_empty(), "{context}");
    let _ = fs::remove_dir(asked);
}

/// The `number`-th call of that name, from 1.
#[derive(Debug)]
struct Call {
    syscall: String,
    number: usize,
    line: String,
}

fn calls() -> Vec<Call> {
    let dir = temp_dir();
    let tree = dir.path().join("tree");
    fs::create_dir(&tree).unwrap();
    lay(&tree);
    let log = dir.path().join("log");
    let status = strace(&tree, &["-y", "-s", "400", "-o", log.to_str().unwrap(), "-e", &format!("trace={CALLS}")]);
    assert!(status.success(), "{status}");
    let (mut seen, mut calls) = (BTreeMap::new(), Vec::new());
    for line in fs::read_to_string(&log).unwrap().lines() {
        let Some((syscall, _)) = line.split_once('(') else { continue };
        let number = seen.entry(syscall.to_owned()).or_insert(0_usize);
        *number += 1;
        let reads = syscall.starts_with("open") && !line.contains("O_CREAT") && !line.contains("O_DIRECTORY");
        if line.contains(&format!("{}/", tree.display())) && !reads {
            calls.push(Call { syscall: syscall.to_owned(), number: *number, line: line.to_owned() });
        }
    }
    println!("{} calls", calls.len());
    assert!(calls.len() > 40, "only {} calls", calls.len());
    calls
}

fn strace(tree: &Path, arguments: &[&str]) -> ExitStatus {
    Command::new("strace")
        .args(arguments)
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, tree)
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap()
}

/// Runs a change in which `call` is met by `what`.
fn inject(tree: &Path, call: &Call, what: &str) -> ExitStatus {
    lay(tree);
    let syscall = &call.syscall;
    let inject = format!("inject={syscall}:{what}:when={}", call.number);
    strace(tree, &["-o", "/dev/null", "-e", &format!("trace={syscall}"), "-e", &inject])
}
