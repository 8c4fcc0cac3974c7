//! How a run of everything that is due ended.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// How a run of everything that is due ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunMemory {
    /// When (UTC).
    pub ended: DateTime<Utc>,
    /// Whether all was well.
    pub successful: bool,
}

impl RunMemory {
    /// A run that ended at this instant.
    pub fn new(ended: DateTime<Utc>, successful: bool) -> Self {
        Self { ended, successful }
    }
}
