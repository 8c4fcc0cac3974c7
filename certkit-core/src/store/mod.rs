//! The store: certbot's tree as it stands, and certkit's own memory beside it.
//!
//! [`Store`] reads and cannot write. [`Store::lock`] gives [`LockedStore`], the only type with mutators.

mod account;
pub use account::{AccountMeta, NewStoredAccount, StoredAccount};

mod all_cores;

mod aside;

mod attributes;

mod audit;

mod broken;
pub use broken::{BrokenLineage, BrokenReason};

mod commit;
pub use commit::{CommitError, Committed, ConfPlan};

mod carried;
mod carry;
mod committable;

mod delete;

mod deleted;
pub use deleted::{DeleteError, Deleted, Kept};

mod deletion;

mod files;

mod first_version;

mod folder;

mod in_use;

mod journal;

mod layout;
pub use layout::{Kind, StorePaths};

mod led;

mod lineage;
pub use lineage::{Lineage, Lineages};

mod links;

mod live_files;
pub use live_files::{CheckedCertificate, VersionFiles};

mod lock;
pub use lock::{HeldBySomebody, LockError};

mod locked;
pub use locked::{EditConfError, LockedStore};

mod loose_links;

mod needed;
mod old_versions;

mod owner_settings;
pub use owner_settings::SetEmailError;

mod pending;
pub use pending::{Pending, PendingOrder};

mod permissions;

mod read;
pub use read::{MAX_FILE_BYTES, read_file};

mod records;

mod recover;
pub use recover::Recovered;

mod renewal_config;
pub use renewal_config::{ConfEdits, ConfError, ConfText, ConfValue, RenewalConf, RenewalParams};

mod repair;
pub use repair::{Diagnosis, Repair, RepairReport};

mod rollover;
pub use rollover::{Rollover, RolloverError};

mod settling;

mod shared;

mod spare;
pub use spare::{SpareMemory, ToldMemory};

mod switch;
pub use switch::LiveSwitch;

mod targets;

mod version_texts;

mod trouble;
pub use trouble::{FileSystem, immutable_cure, remount_cure};

mod usual_links;

mod verify;
mod way;
mod whose;
mod wrong_lines;
pub use verify::{AuthorityKind, Expectations, VerifiedVersion, VerifyError, verify_for_request};

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{Failure, FailureClass, Hindrance};

/// A certbot tree that is read. Nothing here writes: no directory is made, no link repaired, no log rotated.
#[derive(Clone, Debug)]
pub struct Store {
    /// Shared with the lineages, which ask who is at work.
    paths: Arc<shared::Shared>,
}

impl Store {
    /// Opens the tree. A config dir that does not exist yet is an empty store; one that cannot be read is an error.
    pub fn open(paths: StorePaths) -> Result<Self, StoreError> {
        let paths = StorePaths {
            config_dir: targets::by_name(&paths.config_dir)?,
            work_dir: targets::by_name(&paths.work_dir)?,
            logs_dir: targets::by_name(&paths.logs_dir)?,
            also_own: paths.also_own,
        };
        // An error is not an absence: a store that cannot be looked into must not look empty.
        folder_names(&paths.config_dir)?;
        Ok(Self { paths: Arc::new(shared::Shared::new(paths)) })
    }

    /// The three directories.
    pub fn paths(&self) -> &StorePaths {
        &self.paths
    }
}

/// The names in a folder, in the system's order; none when there is no such folder.
fn folder_names(path: &Path) -> Result<Vec<OsString>, StoreError> {
    let fail = |error| StoreError::new("read", path, error);
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // A link to nothing is not a folder that does not exist yet.
            return match std::fs::symlink_metadata(path) {
                Err(absent) if absent.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
                _ => Err(fail(error)),
            };
        }
        Err(error) => return Err(fail(error)),
    };
    entries.map(|entry| Ok(entry.map_err(fail)?.file_name())).collect()
}

/// The store could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {}: {}", crate::escape(&path.display().to_string()), crate::escape(&source.to_string()))]
#[non_exhaustive]
pub struct StoreError {
    /// What was tried, as a verb: `read`, `write`, `rename` …
    pub operation: &'static str,
    /// Where.
    pub path: PathBuf,
    /// Why not.
    pub source: std::io::Error,
}

impl StoreError {
    pub(crate) fn new(operation: &'static str, path: impl AsRef<Path>, source: impl Into<std::io::Error>) -> Self {
        Self { operation, path: path.as_ref().to_owned(), source: source.into() }
    }

    /// It as the failure of an attempt.
    pub fn failure(&self) -> Failure {
        if let Some(path) = self.immutable() {
            let detail = format!("{self}; {}", immutable_cure(&path));
            return Failure::new(FailureClass::Store, detail).with_hindrance(Some(Hindrance::Tree));
        }
        Failure::new(FailureClass::Store, self.to_string()).with_hindrance(Hindrance::of(&self.source))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        error.failure()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_the_path_nor_the_reason_steers_a_terminal() {
        let reason = std::io::Error::other("/srv/a\u{1b}[31m is a link that user 1000 made");
        let told = StoreError::new("read", "/srv/b\u{1b}[31m", reason).to_string();
        assert_eq!(told, "read /srv/b\\u{1b}[31m: /srv/a\\u{1b}[31m is a link that user 1000 made");
    }
}
