//! The store while it is locked.

use super::{ConfEdits, ConfError, Store, StoreError};
use crate::LineageName;

/// The only type that can change the tree. The locks are released when it is dropped.
#[derive(Debug)]
pub struct LockedStore {
    pub(crate) store: Store,
}

impl LockedStore {
    /// The store, for reading.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Changes a lineage's conf (temporary file, sync, rename, sync of the folder); mode and owner stay.
    pub fn edit_conf(&self, _name: &LineageName, _edits: &ConfEdits) -> Result<(), EditConfError> {
        todo!()
    }

    /// Removes a lineage as certbot does: conf, live directory, archive directory, and certkit's own memory of it.
    /// Works on broken lineages too; nothing outside the config dir is removed. What was removed is returned.
    pub fn delete(&self, _name: &LineageName) -> Result<Vec<std::path::PathBuf>, StoreError> {
        todo!()
    }
}

/// A conf could not be changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EditConfError {
    /// It cannot be read, or not with these changes.
    #[error(transparent)]
    Conf(#[from] ConfError),
    /// It cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}
