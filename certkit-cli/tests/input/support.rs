//! Running the binary within bounds.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{LazyLock, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// No command of these tests has anything to wait for; this only tells one that hangs from one on a busy machine.
const HANGING: Duration = Duration::from_secs(60);

/// One child at a time: the processor time is counted for all children together.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Whether this machine gives processes networks of their own (a container may refuse them).
static HAS_NETWORKS_OF_ITS_OWN: LazyLock<bool> = LazyLock::new(|| {
    let tried = Command::new("unshare").args(["--net", "--map-root-user", "--", "true"]).output();
    tried.expect("unshare is missing: install util-linux").status.success()
});

/// What a run printed and how it ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// Of the process, both user and system.
    pub(crate) processor_time: Duration,
}

impl Run {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub(crate) fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// Runs the binary; a run that hangs, dies or panics fails the test. `memory` is a bound for its data in KiB.
#[track_caller]
pub(crate) fn certkit(arguments: &[&OsStr], home: &Path, memory: Option<u32>) -> Run {
    let command = match memory {
        Some(kib) => {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("ulimit -d {kib} && exec \"$0\" \"$@\"")]).arg(env!("CARGO_BIN_EXE_certkit"));
            shell
        }
        // `doctor` asks name servers, and nothing of a test is to leave this machine.
        None if *HAS_NETWORKS_OF_ITS_OWN => {
            let mut alone = Command::new("unshare");
            alone.args(["--net", "--map-root-user", "--"]).arg(env!("CARGO_BIN_EXE_certkit"));
            alone
        }
        None => Command::new(env!("CARGO_BIN_EXE_certkit")),
    };
    bounded(command, arguments, home)
}

/// Runs a copy of the binary as a user who may do nothing that modes forbid, which only root can have done.
#[track_caller]
pub(crate) fn certkit_as_nobody(binary: &Path, arguments: &[&OsStr], home: &Path) -> Run {
    let nobody = NOBODY.to_string();
    let mut command = Command::new(testkit::process::require_program("unshare"));
    command.args(["--net", "--", "setpriv", "--reuid", &nobody, "--regid", &nobody, "--clear-groups"]).arg(binary);
    bounded(command, arguments, home)
}

/// The user and group of that name.
pub(crate) const NOBODY: u32 = 65_534;

#[track_caller]
fn bounded(mut command: Command, arguments: &[&OsStr], home: &Path) -> Run {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    command.args(arguments).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", home);
    let before = processor_time_of_children();
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it can be started");
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let out = thread::spawn(move || read(&mut stdout));
    let err = thread::spawn(move || read(&mut stderr));
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > HANGING {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it hangs: certkit {arguments:?}");
        }
        thread::sleep(Duration::from_millis(2));
    };
    let (stdout, stderr) = (out.join().unwrap(), err.join().unwrap());
    let processor_time = processor_time_of_children() - before;
    let status = status.code().unwrap_or_else(|| panic!("killed: {status}: certkit {arguments:?}: {stderr}"));
    assert!(!stderr.contains("panicked") && status <= 3, "{status}: certkit {arguments:?}: {stderr}");
    Run { status, stdout, stderr, processor_time }
}

fn read(from: &mut impl std::io::Read) -> String {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).unwrap();
    String::from_utf8(bytes).expect("what it prints is UTF-8")
}

/// Of the children that have ended (proc(5): cutime and cstime, in hundredths of a second on every Linux that Rust knows).
fn processor_time_of_children() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().collect();
    let ticks: u64 = fields[13..15].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

/// `inspect --json` of a file, in 64 MiB.
#[track_caller]
pub(crate) fn inspect(file: &Path) -> Run {
    let arguments = ["inspect", "--json"].map(OsStr::new);
    certkit(&[&arguments[..], &[file.as_os_str()]].concat(), Path::new("/nonexistent"), Some(64 * 1024))
}

/// Tenfold what a file below a mebibyte should take (10 ms); an unoptimized build is about ten times as slow again.
pub(crate) const MOST_PROCESSOR_TIME: Duration =
    if cfg!(debug_assertions) { Duration::from_millis(1_000) } else { Duration::from_millis(100) };

/// Where a path leads in the tree of a test.
pub(crate) fn scratch() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::Builder::new().prefix("certkit-input-").tempdir().unwrap();
    let path = folder.path().to_owned();
    (folder, path)
}
