//! certbot's hook directories and hook commands.

use std::path::{Path, PathBuf};

/// The stages of certbot's hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "certbot has exactly these")]
pub enum HookStage {
    /// Before anything is attempted.
    Pre,
    /// For each renewed lineage.
    Deploy,
    /// At the end of a run that attempted something.
    Post,
}

/// The executables of a hook directory in certbot's order: regular files (links followed) that this user may execute,
/// not ending in `~`, sorted bytewise. A missing directory has none.
pub fn directory_hooks(_directory: &Path) -> Result<Vec<PathBuf>, certkit_core::Failure> {
    todo!()
}

/// certbot's check of a hook command before anything is asked of a CA: its first word must be an executable.
pub fn validate_hook(_stage: HookStage, _command: &str, _path: Option<&std::ffi::OsStr>) -> Result<(), String> {
    todo!()
}
