//! certbot's locks.

use std::path::PathBuf;

use super::{LockedStore, Store};

impl Store {
    /// Takes certbot's locks in certbot's order (logs, config, work), as open-file-description locks. Makes the three
    /// directories when they are missing. Fails at once when somebody else holds one.
    pub fn lock(&self) -> Result<LockedStore, LockError> {
        todo!()
    }
}

/// The store could not be locked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another certkit or certbot is at work.
    #[error("another instance of certkit or certbot is already running{holder} and holds {}", crate::escape(&path.display().to_string()))]
    Held {
        /// The lock file.
        path: PathBuf,
        /// Who: ` (process 123, certbot)`, as far as the system tells.
        holder: String,
    },
    /// The lock file cannot be made or opened.
    #[error(transparent)]
    Store(#[from] super::StoreError),
}
