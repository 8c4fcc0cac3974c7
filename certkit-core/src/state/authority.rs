//! What a lineage remembers of each CA that it was tried at.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::RememberedFailure;
use crate::{AcmeUrl, FailureClass};

/// A CA that is down for this long is down "for a while": the next one is tried. (mod_md waits for 13 errors, certmagic
/// not at all; a restart of a CA's front ends takes minutes.)
pub const LONG_OUTAGE: TimeDelta = TimeDelta::minutes(15);

/// The failures of a lineage at one CA since the last success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AuthorityMemory {
    /// The CA's directory.
    pub directory: AcmeUrl,
    /// Failed attempts at it in a row.
    pub consecutive_failures: u32,
    /// The last one.
    pub last_failure: RememberedFailure,
    /// Since when it is down, as seen from here; none when the last failure is no outage.
    #[serde(default)]
    pub unavailable_since: Option<DateTime<Utc>>,
}

impl AuthorityMemory {
    pub(super) fn is_outage(class: FailureClass) -> bool {
        matches!(class, FailureClass::Network | FailureClass::ServerUnavailable)
    }

    /// Whether the CA has been down for a while at `now`.
    pub fn is_down_for_a_while(&self, now: DateTime<Utc>) -> bool {
        self.unavailable_since.is_some_and(|since| now - since >= LONG_OUTAGE)
    }
}
