//! What happened to a lineage. Report, history, notices and progress are folds over events.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{RecordedWish, RevocationMemory};
use crate::decision::RenewalInformation;
use crate::{AcmeUrl, Failure, Finding, IdentifierSet, Version};

/// One thing that happened to a lineage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
#[non_exhaustive]
pub enum Event {
    /// The lineage was seen for the first time: what is live counts as deployed.
    FirstSeen {
        /// The live version.
        version: Version,
    },
    /// Another tool made this version live; it deployed it too.
    ChangedElsewhere {
        /// The live version.
        version: Version,
    },
    /// An attempt began.
    AttemptStarted {
        /// Why, in a word of [`crate::decision::DueReason::code`].
        because: String,
        /// The CA's directory.
        directory: AcmeUrl,
    },
    /// The CA accepted an order and it was journalled.
    OrderPlaced {
        /// Its URL.
        order_url: AcmeUrl,
    },
    /// An order of an earlier run is continued.
    OrderResumed {
        /// Its URL.
        order_url: AcmeUrl,
    },
    /// An order was given up together with its key.
    OrderDropped {
        /// Its URL.
        order_url: AcmeUrl,
        /// Why: `expired`, `invalid`, `unknown-to-the-ca` or `names-changed`.
        because: String,
    },
    /// Challenges are being validated.
    Validating {
        /// How many.
        challenges: u32,
    },
    /// Every identifier is authorized.
    Authorized,
    /// The CSR is about to be sent.
    Finalizing {
        /// The order's URL.
        order_url: AcmeUrl,
    },
    /// The CA delivered a certificate.
    Issued {
        /// Its serial number, lower-case hex.
        serial: String,
        /// The end of its validity.
        not_after: DateTime<Utc>,
    },
    /// A new version is stored and live.
    Committed {
        /// The version.
        version: Version,
        /// The end of its validity.
        not_after: DateTime<Utc>,
        /// The CA's directory; none for a roll-back or when it is not known.
        directory: Option<AcmeUrl>,
        /// The targets that have to receive it.
        targets: Vec<DeployTarget>,
        /// The profile that was ordered.
        #[serde(default)]
        profile: Option<String>,
        /// Names that were left out because they failed (`allow_subset_of_names`).
        #[serde(default)]
        left_out: IdentifierSet,
    },
    /// A certificate was issued but another tool had renewed meanwhile.
    SetAside {
        /// Where it is kept.
        path: String,
    },
    /// The owner changed what has to receive the version before everything had it.
    DeployReplanned {
        /// The version.
        version: Version,
        /// The targets that still have to receive it.
        targets: Vec<DeployTarget>,
    },
    /// Everything had the version, but it is not served: what makes servers read it is run once more.
    DeployRepeated {
        /// The version.
        version: Version,
        /// The targets that receive it again.
        targets: Vec<DeployTarget>,
    },
    /// The owner asked for something that the certificate is not.
    WishRecorded {
        /// What.
        wish: RecordedWish,
    },
    /// The certificate is what the owner asked for.
    WishFulfilled,
    /// The CA was asked about the certificate in use (RFC 9773).
    RenewalInformationRead {
        /// What is known now.
        information: RenewalInformation,
    },
    /// The CA's revocation list was read.
    RevocationRead {
        /// What is known now.
        revocation: RevocationMemory,
    },
    /// Something that the owner should know before the attempt goes on.
    Told {
        /// What.
        finding: Finding,
    },
    /// A target has the version.
    Deployed {
        /// The target.
        target: DeployTarget,
        /// The version.
        version: Version,
    },
    /// A target could not be given the version; it stays pending.
    DeployFailed {
        /// The target.
        target: DeployTarget,
        /// The version.
        version: Version,
        /// Why.
        failure: Failure,
    },
    /// The endpoints were looked at.
    ServedRead {
        /// What they served.
        served: Vec<super::EndpointMemory>,
    },
    /// The attempt failed.
    AttemptFailed {
        /// Why.
        failure: Failure,
    },
    /// A simulated renewal ended well; nothing was kept.
    DryRunSucceeded,
    /// A version was revoked at the CA.
    Revoked {
        /// Its serial number, lower-case hex.
        serial: String,
    },
}

/// Something that has to receive a new version.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "value")]
#[non_exhaustive]
pub enum DeployTarget {
    /// A file with certificate, chain and key together, by its path (a target of the settings).
    Combined(String),
    /// A command of the settings, the command itself.
    Command(String),
    /// A folder that receives copies of the files, by its path (a target of the settings).
    Copy(String),
    /// A file with the leaf certificate in DER, by its path (a target of the settings).
    Der(String),
    /// An executable of `renewal-hooks/deploy`, by its path.
    DirectoryHook(String),
    /// The deploy hook of the command line or the conf (`renew_hook`), the command itself.
    Hook(String),
    /// The reload of a web server because of `installer = nginx` or `apache`.
    Installer(String),
    /// The reload of a systemd unit, by the unit's name (a target of the settings).
    Reload(String),
}

/// An event with its instant, as the history keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RecordedEvent {
    /// When (UTC).
    pub at: DateTime<Utc>,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

impl Event {
    /// Whether it is daily business: the state keeps it, and the history would only be filled by it.
    pub fn is_routine(&self) -> bool {
        matches!(self, Self::RenewalInformationRead { .. } | Self::RevocationRead { .. } | Self::ServedRead { .. })
    }
}

impl DeployTarget {
    /// Whether it comes from the owner's settings, so that certbot does not know of it.
    pub fn is_of_settings(&self) -> bool {
        matches!(self, Self::Combined(_) | Self::Command(_) | Self::Copy(_) | Self::Der(_) | Self::Reload(_))
    }
}

impl RecordedEvent {
    /// `event` at `at`.
    pub fn new(at: DateTime<Utc>, event: Event) -> Self {
        Self { at, event }
    }
}
