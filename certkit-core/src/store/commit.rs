//! Making a verified version the live one.

use std::path::PathBuf;

use super::{ConfEdits, ConfError, LockedStore, StoreError, VerifiedVersion};
use crate::{LineageName, Version};

/// What the conf has to say after the commit.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ConfPlan {
    /// Changes to the conf. For a new lineage the paths are added by the commit itself.
    pub edits: ConfEdits,
}

impl ConfPlan {
    /// These changes.
    pub fn new(edits: ConfEdits) -> Self {
        Self { edits }
    }
}

/// A version that is live now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Committed {
    /// Its number.
    pub version: Version,
    /// Files that could not be tidied up, with the reason; the commit itself is complete.
    pub leftovers: Vec<String>,
}

/// A version could not be made live.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// Another tool renewed since the attempt began: the new version is kept aside.
    #[error("another tool renewed it meanwhile; the new certificate is kept in {}", crate::escape(&aside.display().to_string()))]
    Overtaken {
        /// Where.
        aside: PathBuf,
    },
    /// The tree cannot take it (name taken by an orphan, conf and links disagree).
    #[error("{0}")]
    Refused(String),
    /// The conf cannot be changed.
    #[error(transparent)]
    Conf(#[from] ConfError),
    /// Something cannot be read or written. What was live still is.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl LockedStore {
    /// Whether a lineage of this name could be committed: no orphan in the way, archive and links agree, directories
    /// writable. Asked before anything is ordered, so that no certificate is bought that cannot be stored.
    pub fn check_committable(&self, _name: &LineageName) -> Result<(), CommitError> {
        todo!()
    }

    /// Stores `verified` as the next version and makes it live, in the order of the module's head. `replaces` is the
    /// live version when the attempt began; none for a new lineage. The pending order of the lineage is dropped.
    pub fn commit(
        &self,
        _name: &LineageName,
        _verified: &VerifiedVersion,
        _replaces: Option<Version>,
        _conf: &ConfPlan,
    ) -> Result<Committed, CommitError> {
        todo!()
    }
}
