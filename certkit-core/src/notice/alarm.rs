//! What is wrong with a certificate now, whatever was told of it.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};

use super::{NoticeKind, NoticeLevel};
use crate::{FailureClass, Validity};

/// What is said of one side of a certificate: whether it gets renewed, or whether it gets served.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    /// The owner has to know.
    Alarm(Box<Alarm>),
    /// It is not well, but nothing is to be said of it: not yet, or not more than was said.
    Smoulders,
    /// It is well.
    Well,
}

/// What the owner has to know.
#[derive(Clone, Debug)]
pub(super) struct Alarm {
    pub(super) kind: NoticeKind,
    pub(super) level: NoticeLevel,
    /// Codes; what is in here for the first time is news.
    pub(super) causes: BTreeSet<String>,
    pub(super) cause_key: String,
    pub(super) class: Option<FailureClass>,
    pub(super) failing: Vec<(String, String)>,
    pub(super) cause: String,
    pub(super) cure: String,
    pub(super) command: String,
    /// The lifetime at whose end it becomes worse.
    pub(super) ends: Option<Validity>,
}

/// What a failure, a hold or a silence means to the owner.
#[derive(Clone, Debug, Default)]
pub(super) struct Cause {
    pub(super) codes: BTreeSet<String>,
    pub(super) key: String,
    pub(super) class: Option<FailureClass>,
    pub(super) failing: Vec<(String, String)>,
    pub(super) words: String,
    pub(super) cure: String,
    pub(super) command: String,
}

impl Alarm {
    pub(super) fn new(kind: NoticeKind, level: NoticeLevel, cause: Cause, ends: Option<Validity>) -> Self {
        Self {
            kind,
            level,
            causes: cause.codes,
            cause_key: cause.key,
            class: cause.class,
            failing: cause.failing,
            cause: cause.words,
            cure: cause.cure,
            command: cause.command,
            ends,
        }
    }

    /// What two notices have in common that tell the same thing.
    pub(super) fn key(&self, incident: &str, not_after: Option<DateTime<Utc>>) -> String {
        let mut hash = Sha256::new();
        for cause in &self.causes {
            hash.update((cause.len() as u64).to_be_bytes());
            hash.update(cause.as_bytes());
        }
        let digest: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let end = not_after.map_or(0, |end| end.timestamp());
        format!("{incident}/{}/{}/{end}/{digest}", self.kind.code(), self.level.code())
    }
}

impl Cause {
    /// A cause that is known by one code, which it has in common with all that have the same cause.
    pub(super) fn new(
        code: &str,
        words: impl Into<String>,
        cure: impl Into<String>,
        command: impl Into<String>,
    ) -> Self {
        Self {
            codes: BTreeSet::from([code.to_owned()]),
            key: code.to_owned(),
            class: None,
            failing: Vec::new(),
            words: words.into(),
            cure: cure.into(),
            command: command.into(),
        }
    }

    /// The same with something more that is news when it is told for the first time.
    #[must_use]
    pub(super) fn and(mut self, code: &str) -> Self {
        self.codes.insert(code.to_owned());
        self
    }
}
