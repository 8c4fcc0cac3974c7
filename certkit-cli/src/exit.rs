//! How a command ends: exit statuses and failures with what to do about them.

use std::fmt;

use certkit_acme::StopReason;
use certkit_acme::protocol::AcmeError;
use certkit_acme::renewal::RunError;
use certkit_acme::transport::TransportError;
use certkit_core::settings::SettingsError;
use certkit_core::store::{
    BrokenLineage, CommitError, DeleteError, EditConfError, LockError, SetEmailError, StoreError, immutable_cure,
};
use certkit_core::{CheckLevel, Failure, FailureClass, escape};

use crate::render::words;

/// How the process ends. A public table: scripts depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: all is well, nothing due included.
    Well,
    /// 1: something failed; standard error says what and what to do.
    Failed,
    /// 2: the command line is wrong.
    Usage,
    /// 0 to 3, as monitoring plugins end (`check`): OK, WARNING, CRITICAL, UNKNOWN.
    Checked(CheckLevel),
    /// 129 after SIGHUP, 130 after SIGINT, 143 after SIGTERM; everything was cleaned up.
    Stopped(StopReason),
}

impl Exit {
    /// The status for the system.
    pub(crate) fn status(self) -> u8 {
        match self {
            Self::Well => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Checked(CheckLevel::Ok) => 0,
            Self::Checked(CheckLevel::Warning) => 1,
            Self::Checked(CheckLevel::Critical) => 2,
            Self::Checked(_) => 3,
            Self::Stopped(StopReason::Terminate) => 143,
            Self::Stopped(StopReason::Hangup) => 129,
            Self::Stopped(_) => 130,
        }
    }
}

/// Why a command ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommandError {
    /// What went wrong: a sentence without a full stop, safe for a terminal.
    pub(crate) what: String,
    /// What to do about it.
    pub(crate) cure: Option<String>,
    /// The exit status.
    pub(crate) exit: Exit,
}

impl From<DeleteError> for CommandError {
    fn from(error: DeleteError) -> Self {
        match error {
            DeleteError::Store(error) => error.into(),
            other => {
                let told = Self::failed(format!("nothing was deleted: {other}"));
                match other.cure() {
                    Some(cure) => told.with_cure(cure),
                    None => told,
                }
            }
        }
    }
}

impl CommandError {
    /// Something failed.
    pub(crate) fn failed(what: impl Into<String>) -> Self {
        Self { what: what.into(), cure: None, exit: Exit::Failed }
    }

    /// The command line is wrong.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self { what: what.into(), cure: None, exit: Exit::Usage }
    }

    /// The run was asked to stop.
    pub(crate) fn stopped(reason: StopReason) -> Self {
        Self { what: "stopped".to_owned(), cure: None, exit: Exit::Stopped(reason) }
    }

    /// The same with what to do about it.
    #[must_use]
    pub(crate) fn with_cure(mut self, cure: impl Into<String>) -> Self {
        self.cure = Some(cure.into());
        self
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl From<Failure> for CommandError {
    fn from(failure: Failure) -> Self {
        Self::failed(failure.to_string()).with_cure(words::failure_cure(&failure))
    }
}

impl From<AcmeError> for CommandError {
    fn from(error: AcmeError) -> Self {
        let what = escape(&error.to_string()).into_owned();
        Self::failed(what).with_cure(Failure::from(error).cure())
    }
}

impl From<TransportError> for CommandError {
    fn from(error: TransportError) -> Self {
        let what = escape(&error.to_string()).into_owned();
        Self::failed(what).with_cure(Failure::from(error).cure())
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        if let Some(path) = error.immutable() {
            return Self::failed(format!("cannot {error}")).with_cure(immutable_cure(&path));
        }
        let denied = error.source.kind() == std::io::ErrorKind::PermissionDenied;
        let cure = if denied {
            "run as the user who owns it (usually root), or name other directories: --config-dir, --work-dir, --logs-dir"
        } else {
            FailureClass::Store.cure()
        };
        Self::failed(format!("cannot {error}")).with_cure(cure)
    }
}

impl From<LockError> for CommandError {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Store(error) => error.into(),
            held => Self::failed(escape(&held.to_string())).with_cure("wait until it has finished and run again"),
        }
    }
}

impl From<EditConfError> for CommandError {
    fn from(error: EditConfError) -> Self {
        match error {
            EditConfError::Store(error) => error.into(),
            other => Self::failed(escape(&other.to_string())).with_cure(FailureClass::Settings.cure()),
        }
    }
}

impl From<CommitError> for CommandError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Store(error) => error.into(),
            other => Self::failed(escape(&other.to_string())),
        }
    }
}

impl From<RunError> for CommandError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Lock(LockError::Store(error)) | RunError::Store(error) => {
                // What keeps a whole run from working comes before its first change.
                let mut told = Self::from(error);
                told.what = format!("{}; no certificate was changed", told.what);
                told
            }
            RunError::Lock(error) => error.into(),
            RunError::Transport(error) => error.into(),
            RunError::Failed(failure) => failure.into(),
            RunError::Settings(error) => error.into(),
            ref broken @ RunError::Broken { hindrance, .. } => {
                let text = broken.to_string();
                Self::failed(escape(&text)).with_cure(words::broken_cure(&text, hindrance))
            }
            made @ RunError::MadeMeanwhile(_) => Self::failed(escape(&made.to_string()))
                .with_cure("nothing was ordered; run the same command again: it goes by what is stored now"),
            other => Self::failed(escape(&other.to_string())),
        }
    }
}

impl From<SettingsError> for CommandError {
    fn from(error: SettingsError) -> Self {
        Self::failed(escape(&error.to_string())).with_cure(error.cure())
    }
}

impl From<SetEmailError> for CommandError {
    fn from(error: SetEmailError) -> Self {
        match error {
            SetEmailError::Settings(error) => error.into(),
            SetEmailError::Store(error) => error.into(),
            other => Self::failed(escape(&other.to_string())),
        }
    }
}

impl From<BrokenLineage> for CommandError {
    fn from(broken: BrokenLineage) -> Self {
        let conf = escape(&broken.conf_path.to_string_lossy()).into_owned();
        Self::failed(format!(
            "the certificate `{}` cannot be used ({conf}): {}",
            broken.name,
            escape(&broken.reason.to_string())
        ))
        .with_cure(words::cure_for(
            words::broken_cure(&broken.reason.to_string(), broken.reason.hindrance()),
            &escape(&broken.name),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_table_of_exit_statuses() {
        let all = [
            (Exit::Well, 0),
            (Exit::Failed, 1),
            (Exit::Usage, 2),
            (Exit::Stopped(StopReason::Interrupt), 130),
            (Exit::Stopped(StopReason::Terminate), 143),
            (Exit::Stopped(StopReason::Hangup), 129),
        ];
        for (exit, status) in all {
            assert_eq!(exit.status(), status);
        }
    }
}
