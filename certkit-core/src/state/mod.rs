//! What is remembered of a lineage between runs, and the only way in which it changes.

mod apply;

mod backoff;
pub use backoff::backoff;

mod event;
pub use event::{DeployTarget, Event, RecordedEvent};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{AcmeUrl, FailureClass, Retry, Version};

/// The machine's memory of one lineage. It can be deleted: that costs only the memory of the past.
/// It changes by [`LineageState::apply`] alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct LineageState {
    /// Where the lineage stands in a renewal.
    pub stage: Stage,
    /// Failed attempts since the last success.
    pub consecutive_failures: u32,
    /// The directory of the CA of the attempt under way or of the last one.
    pub attempted_directory: Option<AcmeUrl>,
    /// The last failure, as codes.
    pub last_failure: Option<RememberedFailure>,
    /// When a new version was last committed.
    pub last_success: Option<DateTime<Utc>>,
    /// The version that every deploy target has, or that was live when certkit first saw the lineage.
    pub deployed_version: Option<Version>,
    /// Deploy targets that still have to receive the live version.
    pub deploy_pending: Vec<PendingDeploy>,
    /// The CA that issued the live version, when certkit obtained it.
    pub issuer_directory: Option<AcmeUrl>,
    /// The serial number (lower-case hex) of a certificate that was issued but whose commit was not recorded yet: when
    /// it is found live after a crash, it is ours and still has to be deployed.
    pub issued_serial: Option<String>,
}

/// Where a lineage stands in a renewal. Resuming is entering at that stage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "stage")]
#[non_exhaustive]
pub enum Stage {
    /// Nothing is under way.
    #[default]
    Idle,
    /// An order exists at the CA.
    Ordered {
        /// Its URL.
        order_url: AcmeUrl,
        /// When it was placed.
        since: DateTime<Utc>,
    },
    /// The CSR was sent, or is about to be: the order has to be read before anything is repeated.
    Finalizing {
        /// The order's URL.
        order_url: AcmeUrl,
        /// When finalizing began.
        since: DateTime<Utc>,
    },
    /// The new version is live; deploying is not finished.
    Committed {
        /// The version.
        version: Version,
        /// When it was committed.
        since: DateTime<Utc>,
    },
}

/// A failure as it is remembered: codes, no sentences.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RememberedFailure {
    /// When it happened.
    pub at: DateTime<Utc>,
    /// Its class.
    pub class: FailureClass,
    /// When it makes sense to try again, as the failure said.
    pub retry: Retry,
    /// Whether the CA was (or may have been) asked, so that back-off applies.
    #[serde(default = "yes")]
    pub asked_the_ca: bool,
    /// The directory of the CA that was tried: another CA need not wait.
    #[serde(default)]
    pub directory: Option<AcmeUrl>,
    /// The types of the CA's problems by identifier, for example `connection`.
    pub per_identifier: Vec<(String, String)>,
}

/// A deploy target that still has to receive a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PendingDeploy {
    /// The target.
    pub target: DeployTarget,
    /// The version it has to receive.
    pub version: Version,
    /// How often it failed.
    pub failures: u32,
}

impl LineageState {
    /// The instant before which no attempt is made because of past failures; none when an attempt may be made.
    pub fn held_until(&self) -> Option<(DateTime<Utc>, &RememberedFailure)> {
        let failure = self.last_failure.as_ref()?;
        let until = match failure.retry {
            Retry::Now => return None,
            Retry::At(at) => at.max(failure.at + backoff(self.consecutive_failures)),
            // The owner may have acted without our seeing it, so these are tried again too, at the slow rate.
            Retry::AfterBackoff | Retry::AfterOwner | Retry::Bug => {
                if !failure.asked_the_ca {
                    return None;
                }
                failure.at + backoff(self.consecutive_failures)
            }
        };
        Some((until, failure))
    }
}

/// A memory that does not say so is taken for the careful case.
fn yes() -> bool {
    true
}
