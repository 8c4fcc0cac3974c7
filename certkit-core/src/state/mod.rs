//! What is remembered of a lineage between runs, and the only way in which it changes.

mod apply;

mod authority;
pub use authority::{AuthorityMemory, LONG_OUTAGE};

mod backoff;
use backoff::PAUSE_AFTER_LOCAL_TROUBLE;
pub use backoff::{backoff, next_attempt};

mod delivery;
pub use delivery::{ChannelMemory, DeliveryMemory, NotSent, WaitingNotice};

mod event;
pub use event::{DeployTarget, Event, RecordedEvent};

mod ledger;
pub use ledger::{Hold, HoldScope, Ledger, OrderScope, Refusal, RunMemory};

mod served;
pub use served::{AddressMemory, EndpointMemory, ServedLeaf, ServedTrouble, Serving};

mod shared;
pub use shared::SharedState;

mod wish;
pub use wish::RecordedWish;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::decision::{LONGEST_PAUSE, RenewalInformation};
use crate::{AcmeUrl, FailureClass, IdentifierSet, Retry, Validity, Version};

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
    /// The failures since the last success, by CA.
    pub authorities: Vec<AuthorityMemory>,
    /// When an attempt last began.
    pub last_attempt: Option<DateTime<Utc>>,
    /// What the CA said about the certificate in use (RFC 9773).
    pub renewal_information: Option<RenewalInformation>,
    /// What the CA's revocation list said about the certificate in use.
    pub revocation: Option<RevocationMemory>,
    /// What the owner asked for that the certificate is not yet.
    pub wish: Option<RecordedWish>,
    /// The profile with which the certificate in use was ordered, when certkit ordered it.
    pub issued_profile: Option<String>,
    /// Names that were left out of the certificate because they failed (`allow_subset_of_names`); the next renewal tries
    /// them again.
    pub left_out: IdentifierSet,
    /// The targets of the settings that have the version in use.
    pub deployed_targets: Vec<DeployTarget>,
    /// What the endpoints served when they were last looked at.
    pub served: Vec<EndpointMemory>,
    /// The version for which hooks and reloads ran once more because it was not served: they run again once for each.
    pub redeployed_version: Option<Version>,
}

/// What a CA's revocation list said about a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RevocationMemory {
    /// The certificate's serial number, lower-case hex: what is known of another one does not count.
    pub serial: String,
    /// Since when it is revoked; none when it is not.
    pub revoked_since: Option<DateTime<Utc>>,
    /// When to look again.
    pub next_check: DateTime<Utc>,
    /// How often in a row the list could not be had.
    #[serde(default)]
    pub failures: u32,
}

impl RevocationMemory {
    /// What was found about a certificate.
    pub fn new(serial: impl Into<String>, revoked_since: Option<DateTime<Utc>>, next_check: DateTime<Utc>) -> Self {
        Self { serial: serial.into(), revoked_since, next_check, failures: 0 }
    }

    /// The list could not be had: what was found about the same certificate before still counts.
    pub fn failed(before: Option<&Self>, serial: impl Into<String>, next_check: DateTime<Utc>) -> Self {
        let serial = serial.into();
        let before = before.filter(|before| before.serial == serial);
        let failures = before.map_or(0, |before| before.failures).saturating_add(1);
        Self { revoked_since: before.and_then(|before| before.revoked_since), serial, next_check, failures }
    }

    /// Whether it may be looked again at `now`. What would have to wait for longer than any list is believed was noted by a
    /// clock that was ahead.
    pub fn may_look(&self, now: DateTime<Utc>) -> bool {
        self.next_check <= now || self.next_check - now > LONGEST_PAUSE
    }
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
    /// When it failed last.
    #[serde(default)]
    pub failed_at: Option<DateTime<Utc>>,
}

impl LineageState {
    /// The instant before which `directory` is not asked because of past failures there, and the failure; none when it
    /// may be asked. `validity` is that of the certificate in use: near its end the pauses are shorter.
    pub fn held_until(
        &self,
        directory: Option<&AcmeUrl>,
        validity: Option<Validity>,
    ) -> Option<(DateTime<Utc>, &RememberedFailure)> {
        let (failure, consecutive_failures) = match directory.and_then(|directory| self.authority(directory)) {
            Some(memory) => (&memory.last_failure, memory.consecutive_failures),
            // Without a CA, or of a time at which none was noted.
            None => {
                let failure = self.last_failure.as_ref()?;
                // The memory of a version that kept no failures by CA.
                if directory.is_some() && failure.directory.is_some() && failure.directory.as_ref() != directory {
                    return None;
                }
                (failure, self.consecutive_failures)
            }
        };
        let until = match failure.retry {
            Retry::Now => return None,
            Retry::At(at) => at.max(next_attempt(failure.at, consecutive_failures, validity)),
            Retry::AfterBackoff if failure.asked_the_ca => next_attempt(failure.at, consecutive_failures, validity),
            // The owner may have acted without our seeing it, so these are tried again too, always at the slow rate.
            // Names that a CA has paused stay so until the owner has been there: once a day is often enough to see it.
            Retry::AfterOwner if failure.class == FailureClass::Paused => next_attempt(failure.at, u32::MAX, None),
            Retry::AfterOwner | Retry::Bug if failure.asked_the_ca => {
                next_attempt(failure.at, consecutive_failures, None)
            }
            Retry::AfterBackoff | Retry::AfterOwner | Retry::Bug => return None,
        };
        Some((until, failure))
    }

    /// What is remembered of a CA since the last success.
    pub fn authority(&self, directory: &AcmeUrl) -> Option<&AuthorityMemory> {
        self.authorities.iter().find(|memory| memory.directory == *directory)
    }

    /// The instant before which a program that runs all the time does not try again what failed on this machine; a run that
    /// is started tries at once. `now` or earlier when nothing did.
    pub(crate) fn local_retry(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let local = self.last_failure.as_ref().filter(|last| !last.asked_the_ca && last.retry != Retry::Now);
        let Some(next) = local.and_then(|last| last.at.checked_add_signed(PAUSE_AFTER_LOCAL_TROUBLE)) else {
            return now;
        };
        // Noted by a clock that was ahead: it tells nothing.
        if next - now > PAUSE_AFTER_LOCAL_TROUBLE { now } else { next }
    }

    /// The instant before which a deploy target that failed is not tried again by a program that runs all the time; a run
    /// that is started tries at once.
    pub fn deploy_retry(&self) -> Option<DateTime<Utc>> {
        let next = |pending: &PendingDeploy| match pending.failed_at {
            Some(at) => Some(next_attempt(at, pending.failures, None)),
            None => self.last_success,
        };
        self.deploy_pending.iter().filter_map(next).min()
    }

    /// The instant before which a program that runs all the time does not look again whether the version in use is served;
    /// none when it is, as far as that counts.
    pub fn served_retry(&self) -> Option<DateTime<Utc>> {
        self.served.iter().filter_map(EndpointMemory::retry).min()
    }

    /// What counts and does not serve the version in use, a line for each address; what cannot be reached is left out.
    pub fn not_served(&self) -> Vec<String> {
        let differs = |one: &&EndpointMemory| one.counts() && one.serving() == Serving::Differs;
        let lines = |one: &EndpointMemory| {
            let others = one.answers.iter();
            let others = others.filter(|answer| matches!(answer.leaf, ServedLeaf::Older { .. } | ServedLeaf::Foreign));
            others.map(|answer| answer.words(&one.endpoint, one.compared_with)).collect::<Vec<_>>()
        };
        self.served.iter().filter(differs).flat_map(lines).collect()
    }

    /// Whether this version is known, deployed or on its way to its targets: nobody else has made it live.
    pub fn knows(&self, version: Version) -> bool {
        self.deployed_version == Some(version)
            || self.deploy_pending.iter().any(|pending| pending.version == version)
            || matches!(self.stage, Stage::Committed { version: committed, .. } if committed == version)
    }
}

/// Whether something was noted by a clock that was ahead and has been set back: it says nothing about now, and must not
/// hold anything back. A correction by minutes is no reason to forget what a CA said.
pub(crate) fn is_of_a_wrong_clock(noted: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    noted - now > TimeDelta::hours(1)
}

/// A memory that does not say so is taken for the careful case.
fn yes() -> bool {
    true
}
