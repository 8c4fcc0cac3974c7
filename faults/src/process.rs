//! A run that may be killed after a while, with everything in its process group.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::tracer::Run;

/// No run takes so long; one that does hangs.
const LONGEST_RUN: Duration = Duration::from_secs(120);

/// How often it is looked at whether one has ended.
const LOOK: Duration = Duration::from_micros(500);

/// A started run.
pub(crate) struct Process {
    child: Child,
    outputs: [std::path::PathBuf; 2],
    started: Instant,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) run: Run,
    /// Whether the kill met it.
    pub(crate) killed: bool,
    /// Whether it was killed because it would not end.
    pub(crate) hung: bool,
    pub(crate) took: Duration,
}

impl Process {
    /// Starts it in a process group of its own. What it prints goes to files in `outputs`: a hook that lives on would hold
    /// a pipe open.
    pub(crate) fn start(mut command: Command, outputs: &Path, name: &str) -> Self {
        let outputs = ["out", "err"].map(|ending| outputs.join(format!("{name}.{ending}")));
        let [stdout, stderr] = outputs.each_ref().map(|path| fs::File::create(path).unwrap());
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).process_group(0);
        Self { child: command.spawn().unwrap(), outputs, started: Instant::now() }
    }

    /// Waits for its end, and kills the group when it lives for so long.
    pub(crate) fn end(self, life: Option<Duration>) -> Ended {
        let mut ended = self.end_within(life.unwrap_or(LONGEST_RUN));
        if life.is_some() {
            (ended.killed, ended.hung) = (ended.hung, false);
        }
        ended
    }

    /// Waits for its end. One that is not over by then hangs, and is killed.
    pub(crate) fn end_within(mut self, longest: Duration) -> Ended {
        let group = Pid::from_raw(self.child.id().cast_signed());
        let mut is_met = false;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if self.started.elapsed() >= longest {
                is_met = true;
                // It may end by itself in this moment.
                let _ = killpg(group, Signal::SIGKILL);
                break self.child.wait().unwrap();
            }
            thread::sleep(LOOK);
        };
        let took = self.started.elapsed();
        let [stdout, stderr] =
            self.outputs.map(|path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned());
        let hung = is_met && status.code().is_none();
        let run = Run { code: status.code(), stdout, stderr };
        Ended { run, killed: false, hung, took }
    }
}
