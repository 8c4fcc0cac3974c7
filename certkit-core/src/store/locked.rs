//! The store while it is locked.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::files::{self, Attributes};
use super::in_use::InUse;
use super::lock::HeldLock;
use super::{ConfEdits, ConfError, LiveSwitch, RenewalConf, Store, StoreError, StorePaths};
use crate::LineageName;

/// The only type that can change the tree. The locks are released when it is dropped. It can be shared between threads;
/// their changes come one after another.
#[derive(Debug)]
pub struct LockedStore {
    pub(crate) store: Store,
    live_switch: LiveSwitch,
    writing: Mutex<()>,
    pub(crate) in_use: Mutex<Option<Arc<InUse>>>,
    _locks: Vec<HeldLock>,
}

impl LockedStore {
    pub(crate) fn new(store: Store, locks: Vec<HeldLock>) -> Self {
        Self {
            store,
            live_switch: LiveSwitch::default(),
            writing: Mutex::new(()),
            in_use: Mutex::new(None),
            _locks: locks,
        }
    }

    /// The store, for reading.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Sets how `live/NAME` is switched to a new version.
    #[must_use]
    pub fn with_live_switch(mut self, live_switch: LiveSwitch) -> Self {
        self.live_switch = live_switch;
        self
    }

    /// How `live/NAME` is switched to a new version.
    pub fn live_switch(&self) -> LiveSwitch {
        self.live_switch
    }

    /// Changes a lineage's conf (temporary file, sync, rename, sync of the folder); mode and owner stay.
    pub fn edit_conf(&self, name: &LineageName, edits: &ConfEdits) -> Result<(), EditConfError> {
        let _writing = self.writing();
        let path = self.real_conf(name)?;
        if let Some(tree) = self.paths().another_tree(&path) {
            let why = format!("it lies in another tree: {}", tree.display());
            return Err(StoreError::new("change", path, std::io::Error::other(why)).into());
        }
        self.edit_conf_file(&path, edits)
    }

    /// As [`LockedStore::edit_conf`] by the conf's own path, for callers that are writing already.
    pub(crate) fn edit_conf_file(&self, path: &Path, edits: &ConfEdits) -> Result<(), EditConfError> {
        let old = files::read(path)?;
        let conf = RenewalConf::parse(&old)?.edited(edits)?;
        if conf.text().as_bytes() != old {
            self.forget_in_use();
            files::replace(path, conf.text().as_bytes(), &Attributes::public_like(Some(path)))?;
        }
        Ok(())
    }

    pub(crate) fn paths(&self) -> &StorePaths {
        self.store.paths()
    }

    /// Changes come one after another: names of temporary files are fixed, and a commit's order must hold.
    pub(crate) fn writing(&self) -> MutexGuard<'_, ()> {
        // Nothing is protected but the order, so a panic elsewhere spoils nothing.
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The conf itself where `renewal/NAME.conf` is a link (some owners keep confs elsewhere): the link stays.
    pub(crate) fn real_conf(&self, name: &LineageName) -> Result<PathBuf, StoreError> {
        let path = self.paths().conf(name);
        match std::fs::canonicalize(&path) {
            Ok(real) => Ok(real),
            Err(error) => Err(StoreError::new("read", &path, error)),
        }
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
