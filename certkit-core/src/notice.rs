//! What the owner is told without asking.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{FailureClass, IdentifierSet};

/// Something that the owner is told without asking, as data: how it is written and sent is decided elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Notice {
    /// What it is about.
    pub kind: NoticeKind,
    /// How urgent it is.
    pub level: NoticeLevel,
    /// The state that it tells of. Two notices with the same key tell the same thing; a reminder of it has another
    /// `reminder`.
    pub key: String,
    /// How often the same was told before.
    pub reminder: u32,
    /// When it was made (UTC).
    pub at: DateTime<Utc>,
    /// The certificate's name, escaped; empty for what concerns the whole machine.
    pub certificate: String,
    /// All its names: they stand or fall together.
    pub identifiers: IdentifierSet,
    /// Which of its names fail, each with the code of the CA's problem, escaped.
    pub failing: Vec<(String, String)>,
    /// The end of the certificate in use (UTC).
    pub not_after: Option<DateTime<Utc>>,
    /// Since when it is due.
    pub due_since: Option<DateTime<Utc>>,
    /// What was tried when, the newest last: sentences without a full stop, escaped.
    pub attempts: Vec<NoticeAttempt>,
    /// The class of the failure that is its cause, where one is.
    pub class: Option<FailureClass>,
    /// The cause in plain words: a sentence without a full stop, escaped.
    pub cause: String,
    /// What to do, in plain words, without a full stop.
    pub cure: String,
    /// The exact command to run next.
    pub command: String,
    /// Where the certificate is deployed, for people, escaped.
    pub deployed_to: Vec<String>,
    /// What is served where, for people, escaped.
    pub served: Vec<String>,
}

/// Something that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NoticeAttempt {
    /// When (UTC).
    pub at: DateTime<Utc>,
    /// What came of it, escaped.
    pub what: String,
}

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum NoticeKind {
    /// A renewal failed for a reason that only the owner can cure.
    RenewalFailed,
    /// It is due for longer than it should be.
    Overdue,
    /// It is near its end, or past it.
    Expiring,
    /// It is revoked.
    Revoked,
    /// Something else than the version in use is served.
    NotServed,
    /// A deploy is pending.
    DeployPending,
    /// A lineage cannot be used.
    Broken,
    /// What was told before is over.
    Recovered,
    /// A message to see whether messages arrive.
    Test,
}

/// How urgent a notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum NoticeLevel {
    /// Good news.
    Info,
    /// Look at it in the next days.
    Warning,
    /// Look at it today.
    Critical,
    /// Look at it now.
    Emergency,
}
