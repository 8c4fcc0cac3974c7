//! One run of a case, and what has to hold whatever the CA does.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use certkit_core::Failure;
use chrono::{DateTime, TimeDelta, Utc};
use testkit::RequestKind;
use testkit::process::peak_memory;

use crate::case::{Case, Ends, First};
use crate::world::{CANARY, NAME, World};

/// A run that is not over by then hangs. The longest waits for 600 seconds by its own, faster clock.
pub(crate) const HANGS: Duration = Duration::from_secs(120);
/// The most memory that a run may have needed at any time, in KiB: the whole process, its code included.
const MOST_MEMORY: u64 = 64 * 1024;
/// What a CA says is cut at [`Failure::MAX_DETAIL_CHARS`]; so many characters of ours may stand beside it in a line.
const OUR_WORDS: usize = 400;
/// The most that a run prints and the most that it keeps in one file, in bytes.
const MOST_WORDS: usize = 64 * 1024;
/// The latest instant to which a CA can make us wait, and an hour for the back-off that a clock runs on to meanwhile.
const LONGEST_WAIT: TimeDelta = TimeDelta::hours(25);
/// So many runs at once: most of their time they wait.
const AT_ONCE: usize = 8;

/// Runs the cases, and fails with all that went wrong.
pub(crate) fn run_all(cases: Vec<Case>) {
    let (waiting, wrong) = (Mutex::new(VecDeque::from(cases)), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(case) = waiting.lock().unwrap().pop_front() else { return };
                    let name = format!("The CA {} {}", case.does, case.variant);
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(&case))) {
                        let text = panic.downcast_ref::<String>().cloned();
                        wrong.lock().unwrap().push(format!("{name}: {}", text.unwrap_or_default()));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} went wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn run(case: &Case) {
    let world = World::new(case);
    let before = world.snapshot();
    let (status, memory) = peak_memory(world.command(case).spawn().unwrap(), HANGS);
    let (stdout, stderr) = (text(&world.path("out/stdout")), text(&world.path("out/stderr")));
    let shown = format!("status {status:?}, {memory} KiB\n--- stdout\n{stdout}\n--- stderr\n{stderr}");
    let expected = if matches!(case.ends, Ends::Failed(_) | Ends::Unregistered) { 1 } else { 0 };
    assert_eq!(status, Some(expected), "{shown}");
    for says in &case.says {
        assert!(stderr.contains(says.as_str()), "standard error does not say `{says}`: {shown}");
    }
    assert!(memory <= MOST_MEMORY, "{shown}");
    says_nothing_that_steers(&world, &shown);
    changes_what_it_may(case, &before, &world.snapshot(), &shown);
    remembers(case, &world, &shown);
    // RFC 8555 section 8.1: nothing else reaches a hook.
    let tokens = fs::read_to_string(world.path("out/tokens")).unwrap_or_default();
    let is_token = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    assert!(tokens.lines().all(|token| token.chars().all(is_token)), "{tokens}: {shown}");
    // A redirect that was followed would have come here. Whoever registers reads the directory for that alone.
    let directories = if registers(case) { 2 } else { 1 };
    assert!(world.ca.count(RequestKind::Directory) <= directories, "{shown}");
    assert!(case.ends != Ends::Unregistered || world.ca.count(RequestKind::NewOrder) == 0, "{shown}");
    assert_eq!(world.ca.strays(), 0, "plain http came to the CA's port: {shown}");
}

fn registers(case: &Case) -> bool {
    case.setup.first.as_ref().is_some_and(|first| *first != First::WithAccount)
}

/// Neither terminal nor files get a control character, a line without end, or more of a CA's words than anybody reads.
pub(crate) fn says_nothing_that_steers(world: &World, shown: &str) {
    for (path, content) in world.files() {
        let ours = ["out", "log", "etc/certkit", "etc/accounts"].iter().any(|folder| path.starts_with(folder));
        if !ours || content.starts_with('4') {
            continue;
        }
        let steering =
            content.chars().find(|c| *c != '\n' && *c != certkit_core::escape(&c.to_string()).chars().next().unwrap());
        assert_eq!(steering, None, "in {}: {shown}", path.display());
        assert!(content.len() <= MOST_WORDS, "{} holds {} bytes: {shown}", path.display(), content.len());
        if path.starts_with("out") {
            let longest = content.lines().map(|line| line.chars().count()).max().unwrap_or(0);
            assert!(longest <= Failure::MAX_DETAIL_CHARS + OUR_WORDS, "a line of {longest} characters: {shown}");
        }
    }
}

/// A failure changes nothing outside certkit's own folders, a renewal what every renewal does.
pub(crate) fn changes_what_it_may(
    case: &Case,
    before: &BTreeMap<PathBuf, String>,
    after: &BTreeMap<PathBuf, String>,
    shown: &str,
) {
    assert!(after.keys().all(|path| !path.ends_with(CANARY)), "a shell was here: {shown}");
    let all: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let changed: Vec<_> = all.into_iter().filter(|path| before.get(*path) != after.get(*path)).collect();
    let of_a_renewal = |path: &Path| {
        let (archive, live) = (Path::new("etc/archive").join(NAME), Path::new("etc/live").join(NAME));
        let conf = Path::new("etc/renewal").join(format!("{NAME}.conf"));
        let is_account = registers(case) && path.starts_with("etc/accounts");
        is_account
            || path.starts_with(archive)
            || path.starts_with(live)
            || path == conf
            || path == Path::new("deployed")
    };
    let lock = |path: &Path| path == Path::new("etc/.certbot.lock");
    match case.ends {
        Ends::Renewed => {
            let stray: Vec<_> = changed.iter().filter(|path| !of_a_renewal(path) && !lock(path)).collect();
            assert!(stray.is_empty(), "{stray:?} changed: {shown}");
            let names =
                after.get(Path::new("deployed")).unwrap_or_else(|| panic!("the deploy hook did not run: {shown}"));
            assert!(names.ends_with(" a.example.com www.a.example.com\n"), "{names}: {shown}");
        }
        Ends::NotDue | Ends::Failed(_) | Ends::Unregistered => {
            let stray: Vec<_> = changed.iter().filter(|path| !lock(path)).collect();
            assert!(stray.is_empty(), "{stray:?} changed: {shown}");
        }
    }
}

/// The class of the failure is remembered, and a time to try again that is not far away.
pub(crate) fn remembers(case: &Case, world: &World, shown: &str) {
    let memory = world.memory();
    let failure = &memory["last_failure"];
    match case.ends {
        Ends::Failed(class) => assert_eq!(failure["class"], class, "{memory}: {shown}"),
        _ => assert!(failure.is_null(), "{memory}: {shown}"),
    }
    if let Some(at) = failure["retry"]["at"].as_str() {
        let wait = at.parse::<DateTime<Utc>>().unwrap() - testkit::now();
        assert!(wait <= LONGEST_WAIT, "it is tried again at {at}: {shown}");
    }
}

pub(crate) fn text(path: &Path) -> String {
    String::from_utf8(fs::read(path).unwrap()).expect("the output is UTF-8")
}
