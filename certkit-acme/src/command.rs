//! The only place where processes start.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use certkit_core::{Failure, FailureClass, escape};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout, timeout_at};

mod capture;
use capture::Capture;

/// How commands are run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CommandSettings {
    /// After this the process group is ended.
    pub time_limit: Duration,
    /// How long the process group has between SIGTERM and SIGKILL when its time is over.
    pub grace: Duration,
    /// Variables that are set besides the inherited ones, for every command.
    pub environment: Vec<(OsString, OsString)>,
    /// Variables of ours that no command inherits: those that hold secrets.
    pub withheld: Vec<OsString>,
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
    /// The first and last part (64 KiB each) of stdout, lossily decoded, unescaped.
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

/// The longest value of a variable in bytes. Linux refuses to start a program with a string of 128 KiB or more in its
/// environment (MAX_ARG_STRLEN), and certbot's hooks failed that way (certbot #10724). A longer value is cut here, a list
/// of names between two names.
pub const MAX_VARIABLE_BYTES: usize = 64 * 1024;

/// What certbot tells hooks. An outer run's values must not reach the hooks of this one.
const HOOK_VARIABLES: [&str; 11] = [
    "CERTBOT_ALL_DOMAINS",
    "CERTBOT_ALL_IDENTIFIERS",
    "CERTBOT_AUTH_OUTPUT",
    "CERTBOT_DOMAIN",
    "CERTBOT_IDENTIFIER",
    "CERTBOT_REMAINING_CHALLENGES",
    "CERTBOT_TOKEN",
    "CERTBOT_VALIDATION",
    "FAILED_DOMAINS",
    "RENEWED_DOMAINS",
    "RENEWED_LINEAGE",
];

/// Where programs are looked for besides PATH: cron gives jobs a PATH without the sbin directories, and certbot, which
/// adds them for its hooks, has taught people to rely on it (certbot #1833).
pub(crate) const STANDARD_DIRECTORIES: [&str; 6] =
    ["/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/usr/bin", "/bin", "/sbin"];

impl CommandSettings {
    /// One hour, ten seconds of grace, nothing besides the inherited variables.
    pub fn new() -> Self {
        Self {
            time_limit: Duration::from_secs(3600),
            grace: Duration::from_secs(10),
            environment: Vec::new(),
            withheld: Vec::new(),
        }
    }

    /// As [`CommandSettings::new`], with PATH extended by the standard directories that it lacks, as certbot does it for
    /// its hooks.
    pub fn from_env() -> Self {
        let path = extended_path(std::env::var_os("PATH").as_deref());
        Self { environment: vec![("PATH".into(), path)], ..Self::new() }
    }
}

impl Default for CommandSettings {
    fn default() -> Self {
        Self::new()
    }
}

impl CommandOutcome {
    /// A command that ended like this and said nothing.
    pub fn new(ending: CommandEnding) -> Self {
        Self { ending, stdout: String::new(), stderr: String::new() }
    }

    /// Whether it ended with status 0.
    pub fn success(&self) -> bool {
        self.ending == CommandEnding::Exited(0)
    }

    /// What went wrong, with the end of stderr (of stdout when stderr is empty); `None` when nothing did. `what` names the
    /// command and begins the sentence.
    pub fn failure(&self, what: &str) -> Option<Failure> {
        if self.success() {
            return None;
        }
        let said = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        let said = last_words(said);
        let colon = if said.is_empty() { "" } else { ": " };
        Some(Failure::new(FailureClass::Hook, format!("{what} {}{colon}{said}", self.ending)))
    }

    pub(crate) fn not_started(reason: impl Into<String>) -> Self {
        Self { ending: CommandEnding::NotStarted(reason.into()), stdout: String::new(), stderr: String::new() }
    }
}

impl fmt::Display for OwnersCommand {
    /// For people: escaped, not quoted for a shell.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shell(line) => f.write_str(&escape(line)),
            Self::Program(program, arguments) => {
                f.write_str(&escape(&program.to_string_lossy()))?;
                arguments.iter().try_for_each(|argument| write!(f, " {}", escape(&argument.to_string_lossy())))
            }
        }
    }
}

impl fmt::Display for CommandEnding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(0) => f.write_str("succeeded"),
            Self::Exited(status) => write!(f, "failed with status {status}"),
            Self::Signalled(signal) => write!(f, "was ended by signal {signal}"),
            Self::TimedOut(limit) => write!(f, "ran longer than {} s and was ended", limit.as_secs_f32()),
            Self::NotStarted(reason) => write!(f, "could not be started ({})", escape(reason)),
        }
    }
}

/// Runs a command with these variables besides the inherited ones. Waits for its exit, not for the end of its pipes: a
/// daemon that it leaves behind may hold them for ever.
///
/// The command has a process group of its own, so that a Ctrl-C at the terminal does not reach it; its stdin is
/// /dev/null. The variables that certbot sets for hooks are never inherited. A value longer than [`MAX_VARIABLE_BYTES`]
/// is cut. When the returned future is dropped, the command goes on until it ends or its time is over.
pub async fn run(command: &OwnersCommand, variables: &[(&str, String)], settings: &CommandSettings) -> CommandOutcome {
    match try_run(command, variables, settings).await {
        Ok(outcome) => outcome,
        Err(error) => CommandOutcome::not_started(error.to_string()),
    }
}

/// As [`run`], with this on its standard input. A command that does not read it to its end is no failure.
pub(crate) async fn run_with_input(
    command: &OwnersCommand,
    variables: &[(&str, String)],
    input: Vec<u8>,
    settings: &CommandSettings,
) -> CommandOutcome {
    match start(command, variables, settings, Stdio::piped) {
        Ok(mut child) => {
            if let Some(mut pipe) = child.stdin.take() {
                // A task of its own: the command may write before it reads.
                tokio::spawn(async move {
                    let _ = pipe.write_all(&input).await;
                });
            }
            match tokio::spawn(supervise(child, settings.time_limit, settings.grace)).await {
                Ok(outcome) => outcome,
                Err(error) => CommandOutcome::not_started(error.to_string()),
            }
        }
        Err(error) => CommandOutcome::not_started(error.to_string()),
    }
}

/// As [`run`], with the reason why it could not be started as an error.
pub(crate) async fn try_run(
    command: &OwnersCommand,
    variables: &[(&str, String)],
    settings: &CommandSettings,
) -> io::Result<CommandOutcome> {
    let child = start(command, variables, settings, Stdio::null)?;
    // A task of its own, so that the pipes are drained and the time is kept even when nobody waits any more.
    tokio::spawn(supervise(child, settings.time_limit, settings.grace)).await.map_err(io::Error::other)
}

fn start(
    command: &OwnersCommand,
    variables: &[(&str, String)],
    settings: &CommandSettings,
    stdin: fn() -> Stdio,
) -> io::Result<Child> {
    let spawn = |program: &OsStr, arguments: &[OsString]| spawn(program, arguments, variables, settings, stdin());
    match command {
        OwnersCommand::Shell(line) => spawn("/bin/sh".as_ref(), &["-c".into(), line.into()]),
        OwnersCommand::Program(program, arguments) => {
            match spawn(program.as_os_str(), arguments) {
                // A script without `#!`: a shell runs it, and certbot's hooks are run by one.
                Err(error) if error.raw_os_error() == Some(Errno::NOEXEC.raw_os_error()) => {
                    let arguments: Vec<_> = std::iter::once(program.into()).chain(arguments.iter().cloned()).collect();
                    spawn("/bin/sh".as_ref(), &arguments)
                }
                result => result,
            }
        }
    }
}

fn spawn(
    program: &OsStr,
    arguments: &[OsString],
    variables: &[(&str, String)],
    settings: &CommandSettings,
    stdin: Stdio,
) -> io::Result<Child> {
    let mut process = Command::new(program);
    process.args(arguments);
    for name in HOOK_VARIABLES {
        process.env_remove(name);
    }
    for name in &settings.withheld {
        process.env_remove(name);
    }
    process.envs(settings.environment.iter().map(|(name, value)| (name, value)));
    process.envs(variables.iter().map(|(name, value)| (name, fitting(value))));
    process.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    process.spawn()
}

/// PATH with the standard directories that it lacks at its end.
pub(crate) fn extended_path(path: Option<&OsStr>) -> OsString {
    let mut extended = path.unwrap_or_default().to_owned();
    for directory in STANDARD_DIRECTORIES {
        if !path.is_some_and(|path| std::env::split_paths(path).any(|known| known.as_os_str() == directory)) {
            if !extended.is_empty() {
                extended.push(":");
            }
            extended.push(directory);
        }
    }
    extended
}

async fn supervise(mut child: Child, time_limit: Duration, grace: Duration) -> CommandOutcome {
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let stdout = Capture::start(child.stdout.take());
    let stderr = Capture::start(child.stderr.take());
    let ending = match timeout(time_limit, child.wait()).await {
        Ok(Ok(status)) => ending_of(status),
        Ok(Err(error)) => CommandEnding::NotStarted(format!("its end cannot be waited for: {error}")),
        Err(_elapsed) => {
            end_group(&mut child, group, grace).await;
            CommandEnding::TimedOut(time_limit)
        }
    };
    let (stdout, stderr) = tokio::join!(stdout.finish(), stderr.finish());
    CommandOutcome { ending, stdout, stderr }
}

fn ending_of(status: ExitStatus) -> CommandEnding {
    match (status.code(), status.signal()) {
        (Some(code), _) => CommandEnding::Exited(code),
        (None, Some(signal)) => CommandEnding::Signalled(signal),
        (None, None) => CommandEnding::NotStarted(format!("an unknown ending: {status}")),
    }
}

/// SIGTERM to the whole group, and SIGKILL for whatever is left of it when the grace is over.
async fn end_group(child: &mut Child, group: Option<Pid>, grace: Duration) {
    /// A process in an uninterruptible system call outlives even SIGKILL; the run must not.
    const LAST_WAIT: Duration = Duration::from_secs(5);
    const LOOK_AGAIN: Duration = Duration::from_millis(50);
    let Some(group) = group else { return };
    let deadline = Instant::now() + grace;
    let _ = kill_process_group(group, Signal::TERM);
    let leader_ended = timeout_at(deadline, child.wait()).await.is_ok();
    // The number cannot be given to another process while the group has a member.
    while leader_ended && Instant::now() < deadline && test_kill_process_group(group).is_ok() {
        sleep(LOOK_AGAIN).await;
    }
    if test_kill_process_group(group).is_ok() {
        let _ = kill_process_group(group, Signal::KILL);
    }
    if !leader_ended {
        let _ = timeout(LAST_WAIT, child.wait()).await;
    }
}

/// A value that can be handed to a process: a long list is cut after one of its last names, other text between two
/// characters.
fn fitting(value: &str) -> &str {
    /// A name is at most 253 bytes long, so that a list of names has a separator within this distance.
    const LONGEST_NAME: usize = 256;
    if value.len() <= MAX_VARIABLE_BYTES {
        return value;
    }
    let mut limit = MAX_VARIABLE_BYTES;
    while !value.is_char_boundary(limit) {
        limit -= 1;
    }
    let (kept, _) = value.split_at(limit);
    match kept.rfind([' ', ',']) {
        Some(separator) if limit - separator <= LONGEST_NAME => kept.split_at(separator).0,
        _ => kept,
    }
}

/// The last lines of an output in one line.
fn last_words(output: &str) -> String {
    const MAX_CHARS: usize = 800;
    let lines: Vec<&str> = output.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let joined = lines.join(" / ");
    let surplus = joined.chars().count().saturating_sub(MAX_CHARS);
    if surplus == 0 { joined } else { format!("… {}", joined.chars().skip(surplus).collect::<String>()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_cut_between_two_names() {
        let name = "a-name-of-some-length.example.org";
        let list = vec![name; 5000].join(" ");
        let cut = fitting(&list);
        assert!(cut.len() <= MAX_VARIABLE_BYTES && cut.len() > MAX_VARIABLE_BYTES - 64);
        assert!(cut.split(' ').all(|word| word == name));
        let umlauts = "ü".repeat(MAX_VARIABLE_BYTES);
        assert!(fitting(&umlauts).len() <= MAX_VARIABLE_BYTES);
        assert_eq!(fitting("a b"), "a b");
    }

    #[test]
    fn the_path_of_a_cron_job_gets_the_sbin_directories() {
        assert_eq!(
            extended_path(Some("/usr/bin:/bin".as_ref())),
            "/usr/bin:/bin:/usr/sbin:/usr/local/bin:/usr/local/sbin:/sbin"
        );
        assert_eq!(extended_path(None), STANDARD_DIRECTORIES.join(":").as_str());
        assert!(!extended_path(Some("/opt".as_ref())).to_string_lossy().contains("::"));
    }

    #[test]
    fn a_failure_says_how_it_ended_and_what_was_said_last() {
        let outcome = CommandOutcome {
            ending: CommandEnding::Exited(4),
            stdout: "ignored".into(),
            stderr: format!("{}\nno such \x1b[31mservice\n\n", "x".repeat(5000)),
        };
        let failure = outcome.failure("the deploy hook `x`").unwrap();
        assert_eq!(failure.class, FailureClass::Hook);
        assert!(failure.detail.starts_with("the deploy hook `x` failed with status 4: …"), "{}", failure.detail);
        assert!(failure.detail.ends_with("no such \\u{1b}[31mservice"), "{}", failure.detail);
        let quiet = CommandOutcome { stdout: "only here".into(), stderr: " \n".into(), ..outcome.clone() };
        assert_eq!(quiet.failure("it").unwrap().detail, "it failed with status 4: only here");
        assert!(CommandOutcome { ending: CommandEnding::Exited(0), ..outcome }.failure("it").is_none());
    }

    #[test]
    fn what_people_are_shown_of_a_command_is_escaped() {
        assert_eq!(OwnersCommand::Shell("echo \x07".into()).to_string(), "echo \\u{7}");
        assert_eq!(OwnersCommand::Program("/bin/x".into(), vec!["-a\n".into()]).to_string(), "/bin/x -a\\u{a}");
    }
}
