//! What an interrupted run of certkit or certbot left behind.

use super::{LockedStore, StoreError};
use crate::{Finding, KeyMath, LineageName, Version};

/// What was put right in a lineage.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovered {
    /// What was found and put right.
    pub finding: Finding,
    /// The lineage.
    pub name: Option<LineageName>,
    /// The version that was made live; its deploy hooks have not run.
    pub made_live: Option<Version>,
}

impl LockedStore {
    /// Finishes or undoes what an interrupted switch left: certbot's journal links, certkit's own sibling folders and
    /// temporary files, a verified newer version that is not live. Never makes a version live that does not verify.
    /// Idempotent; a lineage that cannot be put right is left as it is and is a finding.
    pub fn recover(
        &self,
        _math: &dyn KeyMath,
        _now: chrono::DateTime<chrono::Utc>,
    ) -> Result<Vec<Recovered>, StoreError> {
        todo!()
    }
}
