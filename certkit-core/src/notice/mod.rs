//! What the owner is told without asking: which notices are due, what they say, and what was told before. All of it is
//! values in, values out; who sends them, and over what, is decided elsewhere.
//!
//! How a run uses it, after everything that it renewed, deployed and looked at:
//!
//! ```
//! # #[cfg(feature = "store")]
//! # fn run(
//! #     locked: &certkit_core::store::LockedStore,
//! #     summaries: &[certkit_core::Summary],
//! #     findings: &[certkit_core::Finding],
//! #     outlook: &certkit_core::Outlook,
//! #     now: chrono::DateTime<chrono::Utc>,
//! #     mut send: impl FnMut(&certkit_core::NoticeGroup, &str, &str) -> bool,
//! # ) -> Result<(), certkit_core::store::StoreError> {
//! use certkit_core::{LineageName, NoticeFacts, due_notices, group_notices};
//!
//! let (mut memory, damaged) = locked.store().notice_memory()?;
//! let findings: Vec<_> = findings.iter().cloned().chain(damaged).collect();
//! // Every lineage of the store: what is missing here is taken for deleted.
//! let facts = NoticeFacts::new(summaries, &findings, outlook, now);
//! let mut notices = due_notices(&facts, &memory);
//! for notice in &mut notices {
//!     // What was tried is in the history; the state keeps no more than the last failure.
//!     if let Ok(name) = LineageName::new(notice.certificate.clone()) {
//!         notice.take_history(&locked.store().history(&name)?);
//!     }
//! }
//! // One message for what has one cause.
//! for group in group_notices(notices) {
//!     // True once one channel has taken it, or the log where there is no channel.
//!     if send(&group, &group.subject(now), &group.text(now)) {
//!         for notice in &group.notices {
//!             memory.told(notice, now);
//!         }
//!     }
//! }
//! memory.prune(now);
//! locked.save_notice_memory(&memory)?;
//! # Ok(())
//! # }
//! ```

mod alarm;

mod band;
pub(crate) use band::grace;

mod cause;

mod compose;

mod due;
pub use due::{NoticeFacts, due_notices, level_of};

mod group;
pub use group::{NoticeGroup, group_notices};

mod locked;
pub use locked::is_locked_too_long;

mod machine;

mod memory;
pub use memory::{NoticeMemory, Told};

mod renewing;

mod replay;
pub use replay::replayed;

mod rhythm;

mod serving;

mod text;

mod wake;
pub use wake::next_look;

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
    /// The trouble that it belongs to, from the first notice of it to the one that tells that it is over: what other
    /// services call an incident. There are two for a certificate at most, `renewal/NAME` and `serving/NAME`, and
    /// `machine/…` for the machine.
    pub incident: String,
    /// What has this in common has one cause (a CA that is down, a closed port), and can be told in one message.
    pub cause_key: String,
    /// The causes as codes, sorted: a failure's class, and the type of the CA's problem with the name it is about.
    pub causes: Vec<String>,
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
    /// When it is tried again by itself, where that is held back until then.
    pub next_attempt: Option<DateTime<Utc>>,
    /// What was tried when, the newest last: sentences without a full stop, escaped.
    pub attempts: Vec<NoticeAttempt>,
    /// The class of the failure that is its cause, where one is.
    pub class: Option<FailureClass>,
    /// The cause in plain words: a sentence without a full stop, escaped.
    pub cause: String,
    /// What to do, in plain words, without a full stop.
    pub cure: String,
    /// The exact command to run next, quoted for a shell; empty when there is nothing to do.
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
    /// The version in use is served, but clients refuse it or will: a chain that is not complete, or an issuer that ends
    /// earlier.
    ServedBadly,
    /// An endpoint of the owner's settings was not reached for a while, so that nobody knows what it serves.
    Unreachable,
    /// A deploy is pending.
    DeployPending,
    /// A lineage cannot be used.
    Broken,
    /// Something concerns the machine: settings or a store that cannot be used, a memory that is damaged, runs that are too rare.
    Machine,
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

impl Notice {
    /// A message to see whether messages arrive.
    pub fn test(at: DateTime<Utc>) -> Self {
        Self {
            cause: "this message was asked for, to see whether messages arrive".to_owned(),
            cure: "nothing to do".to_owned(),
            ..Self::empty(NoticeKind::Test, NoticeLevel::Info, "machine/test", at)
        }
    }

    /// One that says nothing yet.
    fn empty(kind: NoticeKind, level: NoticeLevel, incident: &str, at: DateTime<Utc>) -> Self {
        Self {
            kind,
            level,
            key: format!("{incident}/{}", kind.code()),
            incident: incident.to_owned(),
            cause_key: kind.code().to_owned(),
            causes: Vec::new(),
            reminder: 0,
            at,
            certificate: String::new(),
            identifiers: IdentifierSet::default(),
            failing: Vec::new(),
            not_after: None,
            due_since: None,
            next_attempt: None,
            attempts: Vec::new(),
            class: None,
            cause: String::new(),
            cure: String::new(),
            command: String::new(),
            deployed_to: Vec::new(),
            served: Vec::new(),
        }
    }
}

impl NoticeAttempt {
    /// Something that was tried; `what` is escaped here.
    pub fn new(at: DateTime<Utc>, what: impl AsRef<str>) -> Self {
        Self { at, what: crate::escape(what.as_ref()).into_owned() }
    }
}

impl NoticeKind {
    /// The code for machines.
    pub fn code(self) -> &'static str {
        match self {
            Self::RenewalFailed => "renewal-failed",
            Self::Overdue => "overdue",
            Self::Expiring => "expiring",
            Self::Revoked => "revoked",
            Self::NotServed => "not-served",
            Self::ServedBadly => "served-badly",
            Self::Unreachable => "unreachable",
            Self::DeployPending => "deploy-pending",
            Self::Broken => "broken",
            Self::Machine => "machine",
            Self::Recovered => "recovered",
            Self::Test => "test",
        }
    }
}

impl NoticeLevel {
    /// The code for machines.
    pub fn code(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Emergency => "emergency",
        }
    }

    /// For people, as a message begins.
    pub fn word(self) -> &'static str {
        match self {
            Self::Info => "Info",
            Self::Warning => "Warning",
            Self::Critical => "Critical",
            Self::Emergency => "Emergency",
        }
    }
}
