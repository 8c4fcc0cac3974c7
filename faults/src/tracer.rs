//! Runs a program and shows every call that changes a folder before the kernel sees it, so that it can be killed there,
//! given an error, or held while the power is cut.
//!
//! strace counts the calls of each thread, and certkit's calls come from whichever thread of its pool is free. This
//! counts them over all threads, so that the n-th call of a run is met surely. Programs that the traced one starts, as
//! hooks are, run free.

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::call::{Call, Kind, Place, Shape};

/// No run of the command takes so long, under a tracer on a slow machine; one that does hangs.
const LONGEST_RUN: Duration = Duration::from_secs(180);

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is made.
    Pass,
    /// The process dies in its place.
    Kill,
    /// It returns this error and nothing happens.
    Fail(Errno),
}

/// How a run ended.
#[derive(Debug)]
pub struct Run {
    /// The exit status; none when a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it printed for people.
    pub stderr: String,
}

/// Runs `command` with all threads traced and asks `decide` about each call that changes something in `folder`. It
/// starts under umask 0, which hides no mode. `outputs` is a folder for what it prints.
#[allow(clippy::zombie_processes, reason = "the tracer waits for it")]
pub fn trace(command: &Command, folder: &Path, outputs: &Path, decide: &mut dyn FnMut(&Call) -> Answer) -> Run {
    let (stdout, stderr) = (outputs.join("stdout"), outputs.join("stderr"));
    // The shell waits for a line, so that it is traced before it becomes the program.
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "umask 0; read -r go; exec \"$@\" </dev/null", "sh"]);
    shell.arg(command.get_program()).args(command.get_args()).env_clear();
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.stdin(Stdio::piped());
    shell.stdout(fs::File::create(&stdout).unwrap()).stderr(fs::File::create(&stderr).unwrap());
    let mut child = shell.spawn().unwrap();
    let leader = Pid::from_raw(child.id().cast_signed());
    let options = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_EXITKILL;
    ptrace::seize(leader, options).unwrap();
    ptrace::interrupt(leader).unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"go\n").unwrap();
    drop(input);

    let (ended, waits) = channel::<()>();
    let code = std::thread::scope(|scope| {
        scope.spawn(move || {
            if waits.recv_timeout(LONGEST_RUN).is_err() {
                let _ = kill(leader, Signal::SIGKILL);
            }
        });
        let code = Tracer { leader, folder, calls: 0, returning: HashMap::new(), inside: HashMap::new() }.run(decide);
        // Nobody listens any more when the time is over.
        let _ = ended.send(());
        code
    });
    let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
    Run { code, stdout: read(&stdout), stderr: read(&stderr) }
}

struct Tracer<'a> {
    leader: Pid,
    folder: &'a Path,
    calls: usize,
    /// Threads whose call is to return an error.
    returning: HashMap<Pid, Errno>,
    /// Threads that are in a call.
    inside: HashMap<Pid, bool>,
}

impl Tracer<'_> {
    fn run(mut self, decide: &mut dyn FnMut(&Call) -> Answer) -> Option<i32> {
        loop {
            // Only what this thread started: other threads trace at the same time.
            let status = match waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)) {
                Err(Errno::EINTR) => continue,
                status => status.unwrap(),
            };
            let (thread, signal) = match status {
                WaitStatus::Exited(thread, code) if thread == self.leader => return Some(code),
                WaitStatus::Signaled(thread, ..) if thread == self.leader => return None,
                WaitStatus::PtraceSyscall(thread) => {
                    self.call(thread, decide);
                    (thread, None)
                }
                WaitStatus::PtraceEvent(thread, ..) => (thread, None),
                WaitStatus::Stopped(thread, signal) => (thread, Some(signal)),
                _ => continue,
            };
            // A thread that was killed meanwhile is reported as that.
            let _ = ptrace::syscall(thread, signal);
        }
    }

    fn call(&mut self, thread: Pid, decide: &mut dyn FnMut(&Call) -> Answer) {
        let inside = self.inside.entry(thread).or_default();
        *inside = !*inside;
        // Killed meanwhile.
        let Ok(mut registers) = ptrace::getregs(thread) else { return };
        if !*inside {
            if let Some(errno) = self.returning.remove(&thread) {
                registers.rax = (-i64::from(errno as i32)).cast_unsigned();
                let _ = ptrace::setregs(thread, registers);
            }
            return;
        }
        let arguments =
            [registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8].map(|each| each as usize);
        let Some(kind) = Kind::of(registers.orig_rax) else { return };
        let process = Process { thread };
        let Some(mut call) = process.read(kind, &arguments) else { return };
        if !call.touches(self.folder) {
            return;
        }
        self.calls += 1;
        call.number = self.calls;
        match decide(&call) {
            Answer::Pass => {}
            Answer::Kill => {
                let _ = kill(self.leader, Signal::SIGKILL);
            }
            // Linux has closed the file whatever it answers (close(2)): a lock on it is gone.
            Answer::Fail(errno) if matches!(kind.shape, Shape::Close) => {
                self.returning.insert(thread, errno);
            }
            Answer::Fail(errno) => {
                // No such call: the kernel does nothing.
                registers.orig_rax = u64::MAX;
                if ptrace::setregs(thread, registers).is_ok() {
                    self.returning.insert(thread, errno);
                }
            }
        }
    }
}

/// A stopped thread whose memory and files are looked at.
struct Process {
    thread: Pid,
}

impl Process {
    /// The call, where it is one that changes something.
    fn read(&self, kind: &'static Kind, arguments: &[usize; 5]) -> Option<Call> {
        let at = |place: Place| match place {
            Place::Path(index) => self.path(None, arguments[index]),
            Place::At(folder, index) => self.path(Some(arguments[folder]), arguments[index]),
            Place::File(index) => self.file(arguments[index]),
        };
        let flags = kind.flags.map_or(0, |index| arguments[index]);
        match kind.shape {
            Shape::Open if !crate::call::makes_or_opens_for_writing(flags) => return None,
            Shape::Close if !self.is_written_to(arguments[0]) => return None,
            _ => {}
        }
        let mode = kind.mode.map(|index| arguments[index] as u32 & 0o7777);
        let path = at(kind.place)?;
        Some(Call { number: 0, kind, path, other: kind.other.and_then(at), flags, mode })
    }

    fn path(&self, folder: Option<usize>, address: usize) -> Option<PathBuf> {
        let text = self.text(address)?;
        let folder = match folder.map(|folder| folder as i32) {
            Some(folder) if folder >= 0 => self.link(&format!("fd/{folder}")),
            _ => self.link("cwd"),
        };
        Some(folder?.join(text))
    }

    fn file(&self, number: usize) -> Option<PathBuf> {
        self.link(&format!("fd/{number}"))
    }

    fn link(&self, what: &str) -> Option<PathBuf> {
        fs::read_link(format!("/proc/{}/{what}", self.thread)).ok()
    }

    /// Whether a file was opened for writing (proc_pid_fdinfo(5): flags in octal, of which the last two bits tell).
    fn is_written_to(&self, number: usize) -> bool {
        let info = fs::read_to_string(format!("/proc/{}/fdinfo/{number}", self.thread)).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        flags.is_some_and(|flags| !flags.trim().ends_with(['0', '4']))
    }

    /// A text in its memory, which ends with NUL (PATH_MAX is 4096).
    fn text(&self, address: usize) -> Option<PathBuf> {
        use std::os::unix::ffi::OsStringExt as _;
        let memory = fs::File::open(format!("/proc/{}/mem", self.thread)).ok()?;
        let mut bytes = vec![0; 4096];
        let length = memory.read_at(&mut bytes, address as u64).ok()?;
        bytes.truncate(length);
        let end = bytes.iter().position(|byte| *byte == 0)?;
        bytes.truncate(end);
        Some(std::ffi::OsString::from_vec(bytes).into())
    }
}
