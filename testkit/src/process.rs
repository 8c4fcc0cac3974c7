//! Child processes that end with their value.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::workspace;

/// A running server. Dropping it ends it; when the test is panicking, the end of its log is shown first.
#[derive(Debug)]
pub struct Server {
    child: Child,
    name: String,
    log: PathBuf,
    /// nginx ends its workers on SIGQUIT or SIGTERM; KILL would leave them behind.
    gently: bool,
}

impl Server {
    /// Starts a command with stdout and stderr in `log`.
    pub fn start(name: &str, program: &Path, arguments: &[&OsStr], environment: &[(&str, String)], log: &Path) -> Self {
        let file = File::create(log).unwrap();
        let mut command = ending_with_us(program, arguments);
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        command.envs(environment.iter().map(|(name, value)| (*name, value.as_str())));
        Self { child: spawn(command), name: name.to_owned(), log: log.to_owned(), gently: false }
    }

    /// Ended by SIGTERM, with KILL only if that does not help.
    #[must_use]
    pub fn gently(mut self) -> Self {
        self.gently = true;
        self
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Its status, when it has ended by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits until the log holds `text`; false when it does not come in time or the process ends first.
    pub fn wait_for_log(&mut self, text: &str, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        loop {
            let ended = self.ended().is_some();
            if self.log().contains(text) {
                return true;
            }
            if ended || Instant::now() >= end {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<_> = log.lines().rev().take(60).collect();
            eprintln!("--- the end of {}'s log:", self.name);
            for line in tail.iter().rev() {
                eprintln!("{line}");
            }
        }
        if self.gently && self.child.try_wait().ok().flatten().is_none() {
            if let Some(pid) = rustix::process::Pid::from_raw(self.child.id() as i32) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
            let end = Instant::now() + Duration::from_secs(5);
            while self.child.try_wait().ok().flatten().is_none() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for the end of a process: its status, and the most memory that it had, in KiB. One that is not over after
/// `hangs` ends the test.
pub fn peak_memory(mut child: Child, hangs: Duration) -> (Option<i32>, u64) {
    let (status_file, end) = (format!("/proc/{}/status", child.id()), Instant::now() + hangs);
    let mut most = 0;
    loop {
        // It only grows, and is gone with the process.
        let status = std::fs::read_to_string(&status_file).unwrap_or_default();
        let peak =
            status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        most = peak.unwrap_or(0).max(most);
        if let Some(status) = child.try_wait().unwrap() {
            return (status.code(), most);
        }
        if Instant::now() > end {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it hangs");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Where a program is: PATH, then the places that an unprivileged user's PATH may lack.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/bin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}

/// As [`find_program`]; a missing one ends the test with what to do.
pub fn require_program(name: &str) -> PathBuf {
    find_program(name).unwrap_or_else(|| panic!("`{name}` is not installed: run `bash .ci/test.sh`, which installs it"))
}

/// What a line under `unshare -m` ends with when its mount was refused.
pub const MOUNT_REFUSED: i32 = 77;

/// Fails where this machine refused `unshare -m`, or ended a line with [`MOUNT_REFUSED`]: what cannot be tried is not proved.
#[track_caller]
pub fn assert_mounts_permitted(status: Option<i32>, stderr: &[u8]) {
    let is_refused = status == Some(MOUNT_REFUSED) || stderr.starts_with(b"unshare: ");
    assert!(
        !is_refused,
        "this machine refuses mounts: run the tests as root, in a container with CAP_SYS_ADMIN: {}",
        String::from_utf8_lossy(stderr)
    );
}

/// A program of a virtual environment in the workspace's target folder, or the one that a variable names.
pub(crate) fn of_venv(peer: &str, program: &str, variable: &str) -> PathBuf {
    let program = std::env::var_os(variable)
        .map_or_else(|| workspace().join(format!("target/{peer}-venv/bin/{program}")), PathBuf::from);
    assert!(
        program.is_file(),
        "{peer}'s program is not at {}: run `bash .ci/test.sh`, which installs it, or name one in {variable}",
        program.display()
    );
    program
}

/// The library that gives a program another clock, by LD_PRELOAD.
pub fn libfaketime() -> PathBuf {
    require_program("faketime");
    let folders = std::fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let found = folders.map(|folder| folder.join("faketime/libfaketime.so.1")).find(|library| Path::exists(library));
    found.expect("/usr/lib/*/faketime/libfaketime.so.1, of Debian's package libfaketime, is missing")
}

/// A command whose process is ended by the kernel when this process dies, so that a killed or aborted test leaves no
/// server behind. setpriv (util-linux) asks for that before it becomes the program; elsewhere the drop has to suffice.
fn ending_with_us(program: &Path, arguments: &[&OsStr]) -> Command {
    let mut command = match find_program("setpriv") {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "TERM", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    };
    command.args(arguments);
    command
}

/// Spawns on a thread that lives as long as the process: the kernel sends the signal when the *thread* that started the
/// child ends, and a test's thread ends with the test, even when the server is shared by several tests.
fn spawn(command: Command) -> Child {
    type Order = (Command, Sender<std::io::Result<Child>>);
    static SPAWNER: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, receiver) = channel::<Order>();
        std::thread::Builder::new()
            .name("spawner".into())
            .spawn(move || {
                for (mut command, answer) in receiver {
                    let _ = answer.send(command.spawn());
                }
            })
            .unwrap();
        Mutex::new(sender)
    });
    let (sender, receiver) = channel();
    let program = format!("{command:?}");
    spawner.lock().unwrap_or_else(std::sync::PoisonError::into_inner).send((command, sender)).unwrap();
    receiver.recv().unwrap().unwrap_or_else(|error| panic!("{program} cannot be started: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_outlives_the_thread_that_started_it_and_ends_with_its_value() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let start = move || {
            let script = OsStr::new("echo started; exec sleep 100");
            Server::start("sleep", Path::new("/bin/sh"), &[OsStr::new("-c"), script], &[], &log)
        };
        let mut server = std::thread::spawn(start).join().unwrap();
        assert!(server.wait_for_log("started", Duration::from_secs(10)));
        std::thread::sleep(Duration::from_millis(100));
        assert!(server.ended().is_none(), "ended with the thread: {}", server.log());
        let process = PathBuf::from(format!("/proc/{}", server.pid()));
        assert!(process.exists());
        drop(server);
        assert!(!process.exists());
    }
}
