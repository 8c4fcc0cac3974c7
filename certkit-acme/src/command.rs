//! The only place where processes start.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// How commands are run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CommandSettings {
    /// After this the process group is ended.
    pub time_limit: Duration,
    /// Variables that are set besides the inherited ones, for every command.
    pub environment: Vec<(OsString, OsString)>,
}

/// A command that the owner configured.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "there is no third way to start a process")]
pub enum OwnersCommand {
    /// A line for `/bin/sh -c`, as certbot runs hooks.
    Shell(String),
    /// A program with arguments; no shell.
    Program(PathBuf, Vec<OsString>),
}

/// What a command did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommandOutcome {
    /// How it ended.
    pub ending: CommandEnding,
    /// The first and last part of stdout, lossily decoded, unescaped, bounded.
    pub stdout: String,
    /// The same of stderr.
    pub stderr: String,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandEnding {
    /// With this status.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
    /// It ran longer than allowed and was ended with its process group.
    TimedOut(Duration),
    /// It could not be started.
    NotStarted(String),
}

impl CommandSettings {
    /// One hour, nothing besides the inherited variables.
    pub fn new() -> Self {
        Self { time_limit: Duration::from_secs(3600), environment: Vec::new() }
    }
}

impl Default for CommandSettings {
    fn default() -> Self {
        Self::new()
    }
}

impl CommandOutcome {
    /// One that could not be started.
    pub fn not_started(why: String) -> Self {
        Self { ending: CommandEnding::NotStarted(why), stdout: String::new(), stderr: String::new() }
    }

    /// Whether it ended with status 0.
    pub fn success(&self) -> bool {
        self.ending == CommandEnding::Exited(0)
    }
}

/// Runs a command with these variables besides the inherited ones. Waits for its exit, not for the end of its pipes.
pub async fn run(
    _command: &OwnersCommand,
    _variables: &[(&str, String)],
    _settings: &CommandSettings,
) -> CommandOutcome {
    todo!()
}
