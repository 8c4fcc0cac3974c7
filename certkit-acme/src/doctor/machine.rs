//! This machine: where its files are, and how its programs are asked.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::command::{CommandOutcome, CommandSettings};
use crate::deploy::{ServerControl, first_found};

/// The programs and directories of this machine.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Machine {
    /// What stands for `/` where the system's own files are looked at.
    pub root: PathBuf,
    /// How programs are run.
    pub commands: CommandSettings,
    /// The value of PATH by which hooks find their programs; the standard directories are looked at in any case.
    pub path: Option<OsString>,
}

/// What is asked here answers within seconds, or something is wrong with it.
const TIME_LIMIT: Duration = Duration::from_secs(20);

impl Machine {
    /// This one, with programs run by these settings.
    pub fn new(commands: &CommandSettings) -> Self {
        let mut commands = commands.clone();
        commands.time_limit = commands.time_limit.min(TIME_LIMIT);
        // systemctl writes times in the zone of its environment, and words in its language.
        commands.environment.extend([("TZ".into(), "UTC".into()), ("LC_ALL".into(), "C".into())]);
        Self { root: "/".into(), commands, path: None }
    }

    /// The same with the system's own files below another folder.
    #[must_use]
    pub fn rooted_at(mut self, root: impl Into<PathBuf>) -> Self {
        self.root = root.into();
        self
    }

    /// The same with a PATH.
    #[must_use]
    pub fn with_path(mut self, path: Option<OsString>) -> Self {
        self.path = path;
        self
    }

    /// The same with programs that do not inherit these variables, besides those of its settings.
    #[must_use]
    pub fn withholding(mut self, variables: Vec<String>) -> Self {
        self.commands.withheld.extend(variables.into_iter().map(OsString::from));
        self
    }

    /// A path below the root.
    pub(super) fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Whether systemd runs here (sd_booted(3)).
    pub(super) fn has_systemd(&self) -> bool {
        self.at("/run/systemd/system").is_dir()
    }

    /// What a program answers; an error says why it cannot be asked.
    pub(super) async fn ask(&self, program: &str, arguments: &[&str]) -> Result<CommandOutcome, String> {
        match first_found(&ServerControl::new(program), arguments, &self.commands).await {
            Ok(Some((_, outcome))) => Ok(outcome),
            Ok(None) => Err(format!("there is no program {program}")),
            Err(error) => Err(format!("{program} cannot be run: {error}")),
        }
    }

    /// What a program writes to standard output when it succeeds.
    pub(super) async fn answer(&self, program: &str, arguments: &[&str]) -> Result<String, String> {
        let outcome = self.ask(program, arguments).await?;
        match outcome.failure(program) {
            None => Ok(outcome.stdout),
            Some(failure) => Err(failure.detail),
        }
    }
}
