//! Renewals that are killed, or fail, at each system call that changes the tree.
//!
//! The program runs itself under strace: once to count the calls, then once for each call that touches the tree, killed
//! in place of that call or given an error from it. After each death the tree is looked at as it is, then recovered and
//! renewed again.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus};

use certkit_core::store::{ConfEdits, ConfPlan, Kind, LiveSwitch, RenewalConf, Store, StorePaths};
use certkit_core::{Certificate, Version};
use support::*;

const SCENARIO: &str = "CERTKIT_CRASH_SCENARIO";
const TREE: &str = "CERTKIT_CRASH_TREE";

/// System calls that change a tree, or without which a change is not durable.
const CALLS: &str = "openat,open,creat,write,pwrite64,writev,ftruncate,fsync,fdatasync,rename,renameat,renameat2,symlink,\
symlinkat,link,linkat,unlink,unlinkat,rmdir,mkdir,mkdirat,chmod,fchmod,fchmodat,chown,fchown,fchownat,fsetxattr,fcntl";

/// One after the other, so that each is met by some call of each kind.
const ERRORS: [&str; 3] = ["ENOSPC", "EIO", "EROFS"];

/// Of the calls of a repair, one in so many fails. A number that has no divisor with those of errors in common.
const FSCK_FAILS_EACH: usize = 7;

#[derive(Clone, Copy, PartialEq)]
enum Scenario {
    /// A lineage with six versions is renewed, and its conf changes; by exchange. Somebody has put files into the folder that
    /// was exchanged out at the last switch.
    Exchange,
    /// The same, link by link.
    Links,
    /// A lineage is made.
    First,
    /// certbot was interrupted in the middle of its switch, and the repair is interrupted too.
    Repair,
    /// Much that `fsck` repairs at once: the newest version has an empty fullchain, one link leads to it and three do not,
    /// the conf lacks a path, a damaged version waits to be linked, a key can be read by all. certbot was killed while it
    /// made another lineage.
    Fsck,
}

impl Scenario {
    const ALL: [Self; 5] = [Self::Exchange, Self::Links, Self::First, Self::Repair, Self::Fsck];

    fn id(self) -> &'static str {
        match self {
            Self::Exchange => "exchange",
            Self::Links => "links",
            Self::First => "first",
            Self::Repair => "repair",
            Self::Fsck => "fsck",
        }
    }

    fn lay(self, dir: &Path) {
        if self != Self::First {
            lay_lineage(dir, &name(), &["v1", "v1", "v1", "v1", "v1", "v2"]);
            fs::write(dir.join("live/a.example.org/owner.txt"), "the owner's").unwrap();
        }
        if self == Self::Exchange {
            lay_second_folder(dir);
        }
        if self == Self::Repair {
            write_version(dir, &name(), 7, "v3");
            for kind in Kind::ALL {
                let target = dir.join("archive/a.example.org").join(kind.archive_file(Version(6)));
                let link = dir.join(format!("live/a.example.org/previous_{}.pem", kind.as_str()));
                std::os::unix::fs::symlink(target, link).unwrap();
            }
            point_link(dir, &name(), Kind::Cert, 7);
        }
        if self == Self::Fsck {
            let archive =
                |kind: Kind, version| dir.join("archive/a.example.org").join(kind.archive_file(Version(version)));
            write_version(dir, &name(), 7, "v3");
            fs::write(archive(Kind::Fullchain, 7), "").unwrap();
            write_version(dir, &name(), 8, "v4");
            fs::write(archive(Kind::Privkey, 8), data("v1.key.pem")).unwrap();
            point_link(dir, &name(), Kind::Cert, 7);
            fs::set_permissions(archive(Kind::Privkey, 7), fs::Permissions::from_mode(0o604)).unwrap();
            let conf = dir.join("renewal/a.example.org.conf");
            let text = fs::read_to_string(&conf).unwrap();
            let without: String =
                text.lines().filter(|line| !line.starts_with("chain = ")).map(|line| format!("{line}\n")).collect();
            fs::write(conf, without).unwrap();
            lay_lineage(dir, &begun(), &["more-names"]);
            fs::write(dir.join("renewal/b.example.org.conf"), "").unwrap();
            for kind in [Kind::Cert, Kind::Chain, Kind::Fullchain] {
                fs::remove_file(dir.join("archive/b.example.org").join(kind.archive_file(Version(1)))).unwrap();
            }
        }
    }

    fn conf(self) -> ConfPlan {
        let mut edits = ConfEdits::default();
        edits.param("authenticator", Some("webroot"));
        if self == Self::First {
            edits.param("server", Some("https://acme.example/directory"));
        }
        ConfPlan::new(edits)
    }

    fn live_switch(self) -> LiveSwitch {
        if self == Self::Links { LiveSwitch::Links } else { LiveSwitch::Exchange }
    }

    fn old_version(self) -> Option<Version> {
        (self != Self::First).then_some(Version(6))
    }

    fn new_version(self) -> Version {
        Version(self.old_version().map_or(1, |version| version.0 + 1))
    }
}

/// What somebody has put into the second live folder: a file, and a copy in the place of a link.
const PUT_THERE: [(&str, &str); 2] =
    [("late.key", "somebody's only copy"), ("privkey.pem", "in the place of the link")];

/// The second live folder as a switch to the version in use left it, and what was put there since.
fn lay_second_folder(dir: &Path) {
    let (live, other) = (dir.join("live/a.example.org"), dir.join("certkit/switched.a.example.org"));
    fs::create_dir_all(&other).unwrap();
    fs::set_permissions(dir.join("certkit"), fs::Permissions::from_mode(0o700)).unwrap();
    let mut carried = String::new();
    for file in ["README", "owner.txt"] {
        fs::hard_link(live.join(file), other.join(file)).unwrap();
        let meta = fs::metadata(live.join(file)).unwrap();
        let born = meta.created().or_else(|_| meta.modified()).unwrap();
        let born = born.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
        carried.push_str(&format!("{} {} {born}\n", meta.dev(), meta.ino()));
    }
    fs::write(dir.join("certkit/carried.a.example.org"), carried).unwrap();
    for kind in Kind::ALL {
        let link = other.join(kind.live_file());
        std::os::unix::fs::symlink(fs::read_link(live.join(kind.live_file())).unwrap(), &link).unwrap();
    }
    for (file, text) in PUT_THERE {
        let _ = fs::remove_file(other.join(file));
        fs::write(other.join(file), text).unwrap();
        fs::set_permissions(other.join(file), fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// Of which there is a key, and nothing that it could belong to.
fn begun() -> certkit_core::LineageName {
    certkit_core::LineageName::new("b.example.org").unwrap()
}

fn main() -> ExitCode {
    if let Ok(id) = std::env::var(SCENARIO) {
        let scenario = Scenario::ALL.into_iter().find(|scenario| scenario.id() == id).unwrap();
        return child(scenario, Path::new(&std::env::var(TREE).unwrap()));
    }
    assert!(
        Command::new("strace").arg("-V").output().is_ok_and(|output| output.status.success()),
        "this test needs strace: apt install strace"
    );
    // Side by side: each has one process that runs.
    std::thread::scope(|scope| {
        for scenario in Scenario::ALL {
            scope.spawn(move || {
                for (number, call) in calls(scenario).iter().enumerate() {
                    dies(scenario, call);
                    // What a repair does is many times the same: saving something, which every call of a kind meets.
                    if scenario != Scenario::Fsck || number % FSCK_FAILS_EACH == 0 {
                        fails(scenario, call, ERRORS[number % ERRORS.len()]);
                    }
                }
            });
        }
    });
    println!("crash: ok");
    ExitCode::SUCCESS
}

/// What is killed.
fn child(scenario: Scenario, dir: &Path) -> ExitCode {
    let result = || -> Result<(), Box<dyn std::error::Error>> {
        let paths = StorePaths::new(dir.to_owned(), dir.join("work"), dir.join("logs"));
        let store = Store::open(paths)?.lock()?.with_live_switch(scenario.live_switch());
        if scenario == Scenario::Fsck {
            let report = store.repair(None, &TestMath::default(), now())?;
            if !report.is_success() {
                return Err(format!("{report:?}").into());
            }
            record(&store, scenario.new_version())?;
        } else if scenario == Scenario::Repair {
            if let Some(problem) =
                store.recover(&TestMath::default(), now())?.iter().find(|one| one.made_live.is_none())
            {
                return Err(problem.finding.what().into());
            }
            record(&store, scenario.new_version())?;
        } else {
            renew(&store, "v3", &scenario.conf())?;
        }
        Ok(())
    };
    match result() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(1)
        }
    }
}

/// The `number`-th call of that name, from 1.
#[derive(Debug)]
struct Call {
    syscall: String,
    number: usize,
    line: String,
}

fn calls(scenario: Scenario) -> Vec<Call> {
    let dir = temp_dir();
    let tree = dir.path().join("tree");
    fs::create_dir(&tree).unwrap();
    scenario.lay(&tree);
    let log = dir.path().join("log");
    let status =
        strace(scenario, &tree, &["-y", "-s", "400", "-o", log.to_str().unwrap(), "-e", &format!("trace={CALLS}")]);
    assert!(status.success(), "{status}");
    let (mut seen, mut calls) = (BTreeMap::new(), Vec::new());
    for line in fs::read_to_string(&log).unwrap().lines() {
        let Some((syscall, _)) = line.split_once('(') else { continue };
        let number = seen.entry(syscall.to_owned()).or_insert(0_usize);
        *number += 1;
        let syncs_folders = line.contains("O_DIRECTORY") && scenario != Scenario::Fsck;
        let reads = syscall.starts_with("open") && !line.contains("O_CREAT") && !syncs_folders;
        if line.contains(tree.to_str().unwrap()) && !reads {
            calls.push(Call { syscall: syscall.to_owned(), number: *number, line: line.to_owned() });
        }
    }
    println!("{}: {} calls", scenario.id(), calls.len());
    assert!(calls.len() > 40, "only {} calls of {}", calls.len(), scenario.id());
    calls
}

fn strace(scenario: Scenario, tree: &Path, arguments: &[&str]) -> ExitStatus {
    Command::new("strace")
        .args(arguments)
        .arg(std::env::current_exe().unwrap())
        .env(SCENARIO, scenario.id())
        .env(TREE, tree)
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap()
}

/// Runs a renewal in which `call` is met by `what`.
fn inject(scenario: Scenario, tree: &Path, call: &Call, what: &str) -> ExitStatus {
    scenario.lay(tree);
    let syscall = &call.syscall;
    let inject = format!("inject={syscall}:{what}:when={}", call.number);
    strace(scenario, tree, &["-o", "/dev/null", "-e", &format!("trace={syscall}"), "-e", &inject])
}

fn dies(scenario: Scenario, call: &Call) {
    let dir = temp_dir();
    let status = inject(scenario, dir.path(), call, "signal=SIGKILL");
    assert!(!status.success(), "it survived {call:?}");
    if scenario == Scenario::Fsck {
        return fsck_again(dir.path(), call);
    }
    check(scenario, dir.path(), call, "killed");
    finish(scenario, dir.path(), call);
}

fn fails(scenario: Scenario, call: &Call, error: &str) {
    let dir = temp_dir();
    let status = inject(scenario, dir.path(), call, &format!("error={error}"));
    let code = status.code().unwrap_or_else(|| panic!("{status}: {error} {call:?}"));
    assert!(code <= 1, "exit {code}: {error} {call:?}");
    if scenario == Scenario::Fsck {
        return fsck_again(dir.path(), call);
    }
    let live = check(scenario, dir.path(), call, error);
    if code == 0 {
        assert_eq!(live, Some(scenario.new_version()), "success without the new version: {error} {call:?}");
    }
    finish(scenario, dir.path(), call);
}

/// What must hold at any time of a repair, and that the next one finishes it.
fn fsck_again(dir: &Path, call: &Call) {
    let key = |version| dir.join("archive/a.example.org").join(Kind::Privkey.archive_file(Version(version)));
    let contents: Vec<_> =
        walk(dir).iter().filter(|path| path.is_file()).filter_map(|path| fs::read(path).ok()).collect();
    for original in ["v1.key.pem", "v2.key.pem", "v3.key.pem", "v4.cert.pem", "more-names.key.pem"] {
        assert!(contents.contains(&data(original).into_bytes()), "{original} is lost: {call:?}");
    }
    let authenticator = "authenticator = standalone\n";
    let conf = || fs::read_to_string(dir.join("renewal/a.example.org.conf")).unwrap();
    assert!(conf().contains(authenticator), "{call:?}: {}", conf());
    for kind in Kind::ALL {
        let link = dir.join("live/a.example.org").join(kind.live_file());
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink() && link.is_file(), "{call:?}: {kind:?}");
    }
    for path in walk(dir) {
        let is_key = path.to_str().unwrap().contains("privkey") && !path.is_symlink() && path != key(7);
        assert!(!is_key || fs::metadata(&path).unwrap().permissions().mode() & 0o077 == 0, "{}", path.display());
    }

    let store = lock(dir);
    let recorded = state(store.store()).deploy_pending.iter().any(|pending| pending.version == Version(7));
    let report = store.repair(None, &TestMath::default(), now()).unwrap();
    assert!(report.is_success(), "{call:?}: {report:#?}");
    let again = store.repair(None, &TestMath::default(), now()).unwrap();
    assert!(again.repaired.is_empty() && again.saved.is_none(), "{call:?}: {again:#?}");
    assert_eq!(whole_version(dir, &name()), (Version(7), chain("v3").leaf), "{call:?}");
    assert!(conf().contains("\nchain = ") && conf().contains(authenticator), "{call:?}: {}", conf());
    assert!(!key(8).with_file_name("cert8.pem").exists(), "{call:?}");
    for path in ["archive/b.example.org", "live/b.example.org", "renewal/b.example.org.conf"] {
        assert!(!dir.join(path).exists(), "{path}: {call:?}");
    }
    assert_keys_are_private(dir);
    let recovered = store.recover(&TestMath::default(), now()).unwrap();
    let hooks = recovered.iter().any(|one| one.made_live == Some(Version(7)));
    assert!(recorded || hooks, "hooks forgotten: {call:?}: {recovered:?}");
    record(&store, Version(7)).unwrap();
    assert_eq!(leftovers(dir), Vec::<std::path::PathBuf>::new(), "{call:?}");
    assert_eq!(fs::read(dir.join("live/a.example.org/owner.txt")).unwrap(), b"the owner's", "{call:?}");
}

/// What must hold at any time. Returns what is live.
fn check(scenario: Scenario, dir: &Path, call: &Call, what: &str) -> Option<Version> {
    let context = format!("{} {what} at {} {}: {}", scenario.id(), call.syscall, call.number, call.line);
    assert_keys_are_private(dir);
    if scenario == Scenario::Exchange {
        let files = walk(dir).into_iter().filter(|path| !path.is_symlink());
        let contents: Vec<_> = files.filter_map(|path| fs::read_to_string(path).ok()).collect();
        for (file, text) in PUT_THERE {
            assert!(contents.iter().any(|content| content == text), "{context}: {file} is lost");
        }
    }
    let conf = fs::read(dir.join("renewal/a.example.org.conf")).ok();
    if conf.is_none() {
        assert!(scenario == Scenario::First, "{context}: the conf is gone");
        return None;
    }
    let conf = RenewalConf::parse(&conf.unwrap()).unwrap_or_else(|error| panic!("{context}: {error}"));
    conf.check_complete().unwrap_or_else(|error| panic!("{context}: {error}"));
    if scenario == Scenario::Links || scenario == Scenario::Repair {
        // A pair of both versions is possible for an instant; a missing link never.
        for kind in Kind::ALL {
            assert!(dir.join("live/a.example.org").join(kind.live_file()).is_file(), "{context}: {kind:?}");
        }
        if let Err(wrong) = look(dir, &name()) {
            let known = what == "killed" || scenario == Scenario::Repair;
            assert!(known && wrong.starts_with("mixed"), "{context}: {wrong}");
            return None;
        }
    }
    let (version, leaf) = look(dir, &name()).unwrap_or_else(|wrong| panic!("{context}: {wrong}"));
    assert_eq!(leaf, expected(scenario, version), "{context}");
    if scenario != Scenario::First {
        assert_eq!(fs::read(dir.join("live/a.example.org/owner.txt")).unwrap(), b"the owner's", "{context}");
    }
    Some(version)
}

fn expected(scenario: Scenario, version: Version) -> Certificate {
    assert!(version == scenario.new_version() || Some(version) == scenario.old_version(), "version {version}");
    chain(if version == scenario.new_version() { "v3" } else { "v2" }).leaf
}

/// The next run: it repairs, renews if that is still to do, and leaves a whole tree without leftovers.
fn finish(scenario: Scenario, dir: &Path, call: &Call) {
    let store = lock(dir).with_live_switch(scenario.live_switch());
    let known = state(store.store());
    let recovered = store.recover(&TestMath::default(), now()).unwrap();
    let again = store.recover(&TestMath::default(), now()).unwrap();
    let made_live = |recovered: &[certkit_core::store::Recovered]| recovered.iter().find_map(|one| one.made_live);
    assert_eq!(made_live(&recovered), made_live(&again), "{call:?}");

    let live = store.store().lineage(&name()).unwrap().and_then(|lineage| lineage.live_version());
    if live == Some(scenario.new_version()) {
        // Either the state knows that hooks have to run, or recovery says so.
        let recorded = known.deploy_pending.iter().any(|pending| pending.version == scenario.new_version());
        assert!(recorded || made_live(&recovered) == live, "hooks forgotten: {call:?}: {recovered:?}");
        assert!(store.store().pending(&name()).unwrap().is_none(), "{call:?}");
        record(&store, scenario.new_version()).unwrap();
    } else {
        assert_eq!(live, scenario.old_version(), "{call:?}: {recovered:?}");
        renew(&store, "v3", &scenario.conf()).unwrap();
    }
    assert_eq!(store.recover(&TestMath::default(), now()).unwrap(), [], "{call:?}");
    let (version, leaf) = whole_version(dir, &name());
    assert_eq!((version, leaf), (scenario.new_version(), chain("v3").leaf), "{call:?}");
    assert_eq!(leftovers(dir), Vec::<std::path::PathBuf>::new(), "{call:?}");
    assert_keys_are_private(dir);
    let conf = fs::read_to_string(dir.join("renewal/a.example.org.conf")).unwrap();
    let authenticator = if scenario == Scenario::Repair { "standalone" } else { "webroot" };
    assert!(conf.contains(&format!("authenticator = {authenticator}\n")), "{call:?}: {conf}");
    if scenario != Scenario::First {
        let archive = fs::read_dir(dir.join("archive/a.example.org")).unwrap().count();
        // One that could not be removed waits for the next renewal.
        assert!((24..=28).contains(&archive), "{call:?}: {:?}", walk(&dir.join("archive")));
    }
    check(scenario, dir, call, "finished");
    drop(store);
    assert!(!dir.join(".certbot.lock").exists());
}
