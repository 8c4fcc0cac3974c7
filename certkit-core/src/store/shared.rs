//! What the clones of a store share, and its lineages with them.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::ops::Deref;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::StorePaths;

/// Its directories, and which lock files it holds. Only who took a lock knows that it is the own one: neither the text of
/// the file nor the number of its process tells, since that is unique within one container alone.
#[derive(Debug)]
pub(super) struct Shared {
    paths: StorePaths,
    /// By device and inode.
    held: Mutex<BTreeSet<(u64, u64)>>,
}

impl Shared {
    pub(super) fn new(paths: StorePaths) -> Self {
        Self { paths, held: Mutex::default() }
    }

    /// Whether this lock file is held by one of the clones.
    pub(super) fn holds(&self, file: &Metadata) -> bool {
        self.held().contains(&identity(file))
    }

    /// This lock file is held from now on.
    pub(super) fn took(&self, file: &Metadata) {
        self.held().insert(identity(file));
    }

    /// And no longer.
    pub(super) fn released(&self, file: &Metadata) {
        self.held().remove(&identity(file));
    }

    fn held(&self) -> MutexGuard<'_, BTreeSet<(u64, u64)>> {
        // A set of numbers is whole at every moment.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for Shared {
    type Target = StorePaths;

    fn deref(&self) -> &StorePaths {
        &self.paths
    }
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}
