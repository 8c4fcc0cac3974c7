//! Where it is remembered what was told: in the store, and elsewhere while that cannot be written.

use std::sync::Arc;

use certkit_core::Finding;
use certkit_core::store::{LockedStore, SpareMemory, Store, StoreError, ToldMemory};

use crate::blocking::blocking;

/// Reads and writes what was told.
pub(super) struct Remembering {
    store: Store,
    /// Without it the store is not written to.
    locked: Option<Arc<LockedStore>>,
    spare: Arc<SpareMemory>,
}

/// What was told.
#[derive(Default)]
pub(super) struct Remembered {
    pub(super) told: ToldMemory,
    /// What is wrong with the memory.
    pub(super) findings: Vec<Finding>,
    /// Why the store's own memory could not be read.
    pub(super) error: Option<StoreError>,
}

/// What became of it.
pub(super) struct Saved {
    /// Why the store could not be written, where that was tried.
    pub(super) error: Option<StoreError>,
    /// Whether the next run will know of it.
    pub(super) is_kept: bool,
}

impl Remembering {
    pub(super) fn new(store: Store, locked: Option<Arc<LockedStore>>, spare: Arc<SpareMemory>) -> Self {
        Self { store, locked, spare }
    }

    /// What was told, wherever that was written last.
    pub(super) async fn read(&self) -> Remembered {
        let (store, spare) = (self.store.clone(), Arc::clone(&self.spare));
        blocking(move || {
            if let Some(told) = spare.read(&store) {
                return Remembered { told, ..Remembered::default() };
            }
            match store.told() {
                Ok((told, findings)) => Remembered { told, findings, error: None },
                Err(error) => Remembered { error: Some(error), ..Remembered::default() },
            }
        })
        .await
    }

    /// Writes what was told.
    pub(super) async fn save(&self, told: &ToldMemory) -> Saved {
        let (store, locked, spare) = (self.store.clone(), self.locked.clone(), Arc::clone(&self.spare));
        let told = told.clone();
        blocking(move || {
            let error = match locked.map(|locked| locked.save_told(&told)) {
                Some(Ok(())) => {
                    spare.forget();
                    return Saved { error: None, is_kept: true };
                }
                Some(Err(error)) => Some(error),
                None => None,
            };
            // A process that ends now takes with it what is kept in it, so only one that has done it before counts.
            let was_kept = spare.is_kept_here(&store);
            let is_written = spare.write(&store, &told).is_ok();
            Saved { error, is_kept: is_written || was_kept }
        })
        .await
    }
}
