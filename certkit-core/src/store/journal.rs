//! `certkit/commit/NAME.json`: which version is being committed, or was and is not yet in the lineage's state.
//!
//! It is written before the first file of the version and removed by the state that tells of the version
//! ([`LockedStore::save_state`]). So a process that is killed after it made a version live, but before it recorded that,
//! leaves something that tells the next run to run the deploy hooks.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::files::{self, Attributes};
use super::{LockedStore, Store, StoreError, StorePaths};
use crate::state::{LineageState, Stage};
use crate::{Certificate, LineageName, Version};

/// The format that this version writes.
const SCHEMA: u32 = 1;

/// A commit under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Journal {
    schema: u32,
    /// The version that is being made.
    pub(crate) version: Version,
    /// What was live before; none for a new lineage or one whose links were not whole.
    pub(crate) replaces: Option<Version>,
    /// Whether the lineage did not exist before.
    pub(crate) new_lineage: bool,
    /// Whether the pending order ends with this commit.
    consumes_pending: bool,
    /// Whether a version that was there before was made live, and not a new one.
    #[serde(default)]
    by_recovery: bool,
    /// Whether that version had been deployed when it was made live again: what is known of it then says nothing about now.
    #[serde(default)]
    repeats: bool,
    /// SHA-256 of its certificate, lower-case hex: another tool may give the same number to another certificate.
    leaf_sha256: String,
}

impl Journal {
    /// A version of a lineage in which `replaces` is live.
    pub(crate) fn new(version: Version, replaces: Option<Version>, leaf: &Certificate) -> Self {
        Self {
            schema: SCHEMA,
            version,
            replaces,
            new_lineage: false,
            consumes_pending: false,
            by_recovery: false,
            repeats: false,
            leaf_sha256: fingerprint(leaf),
        }
    }

    /// The same for a version that was there before, of a lineage with this state.
    pub(crate) fn by_recovery(self, state: &LineageState) -> Self {
        Self { by_recovery: true, repeats: state.knows(self.version), ..self }
    }

    /// The first version of a new lineage.
    pub(crate) fn first(leaf: &Certificate) -> Self {
        Self { new_lineage: true, ..Self::new(Version(1), None, leaf) }
    }

    /// The same, ending the pending order or not.
    pub(crate) fn consuming_pending(self, consumes_pending: bool) -> Self {
        Self { consumes_pending, ..self }
    }

    /// Whether a version that was there before was made live.
    pub(crate) fn is_by_recovery(&self) -> bool {
        self.by_recovery
    }

    /// Whether the pending order ends with this commit.
    pub(crate) fn consumes_pending(&self) -> bool {
        self.consumes_pending
    }

    /// Whether it is about this certificate.
    pub(crate) fn is_about(&self, leaf: &Certificate) -> bool {
        self.leaf_sha256 == fingerprint(leaf)
    }

    /// Whether a state tells of the version, so that the journal has done its duty.
    pub(crate) fn is_recorded(&self, state: &LineageState) -> bool {
        let staged = match &state.stage {
            Stage::Committed { version, .. } => Some(*version),
            _ => None,
        };
        if self.repeats {
            // Some of its targets may have been pending before: who plans all of them anew says so (`forget_made_live`).
            return false;
        }
        if self.by_recovery {
            // It may be an older one than was deployed last.
            return state.knows(self.version);
        }
        staged.max(state.deployed_version).is_some_and(|known| known >= self.version)
    }
}

impl StorePaths {
    /// `certkit/commit/NAME.json`.
    pub(crate) fn journal(&self, name: &LineageName) -> PathBuf {
        self.own_dir().join("commit").join(format!("{name}.json"))
    }
}

impl Store {
    /// The journal of a lineage; one that is damaged says nothing.
    pub(crate) fn journal(&self, name: &LineageName) -> Result<Option<Journal>, StoreError> {
        let content = match files::read_if_there(&self.paths().journal(name)) {
            Err(error) if files::is_damage(&error.source) => return Ok(None),
            content => content?,
        };
        let journal = content.and_then(|content| serde_json::from_slice::<Journal>(&content).ok());
        Ok(journal.filter(|journal| journal.schema <= SCHEMA))
    }

    /// The lineages that have a journal.
    pub(crate) fn journals(&self) -> Result<Vec<LineageName>, StoreError> {
        let names = files::list_own(&self.paths().own_dir().join("commit"))?;
        Ok(names.iter().filter_map(|name| LineageName::new(name.to_str()?.strip_suffix(".json")?).ok()).collect())
    }
}

impl LockedStore {
    pub(crate) fn write_journal(&self, name: &LineageName, journal: &Journal) -> Result<(), StoreError> {
        let path = self.paths().journal(name);
        if let Some(dir) = path.parent() {
            files::ensure_own_dir(&self.paths().own_dir(), dir)?;
        }
        let mut content = serde_json::to_vec(journal)
            .map_err(|error| StoreError::new("write", &path, std::io::Error::from(error)))?;
        content.push(b'\n');
        files::make_way_for_file(&path)?;
        files::replace(&path, &content, &Attributes::ours(&path))
    }

    /// Says that what [`super::Recovered::made_live`] told of is planned, where no state tells: a version that was deployed before
    /// was made live again.
    pub fn forget_made_live(&self, name: &LineageName, version: Version) -> Result<(), StoreError> {
        let _writing = self.writing();
        match self.store().journal(name)? {
            Some(journal) if journal.repeats && journal.version == version => self.remove_journal(name),
            _ => Ok(()),
        }
    }

    /// Puts back what there was before a journal was written: hooks of that version may still have to run.
    pub(crate) fn restore_journal(&self, name: &LineageName, before: Option<&Journal>) -> Result<(), StoreError> {
        match before {
            Some(before) => self.write_journal(name, before),
            None => self.remove_journal(name),
        }
    }

    pub(crate) fn remove_journal(&self, name: &LineageName) -> Result<(), StoreError> {
        files::remove_file(&self.paths().journal(name)).map(|_| ())
    }

    /// Ends the journal when `state`, which is durable, tells of its version.
    pub(crate) fn end_journal(&self, name: &LineageName, state: &LineageState) -> Result<(), StoreError> {
        match self.store().journal(name)? {
            Some(journal) if journal.is_recorded(state) => {
                self.consume_pending(name, &journal)?;
                self.remove_journal(name)
            }
            _ => Ok(()),
        }
    }

    /// Drops the pending order of the commit. It may still be there because removing it failed; were it to stay, the same
    /// certificate would be fetched and committed again.
    pub(crate) fn consume_pending(&self, name: &LineageName, journal: &Journal) -> Result<(), StoreError> {
        if journal.consumes_pending { self.remove_pending(name) } else { Ok(()) }
    }
}

fn fingerprint(leaf: &Certificate) -> String {
    data_encoding::HEXLOWER.encode(&leaf.fingerprint_sha256())
}
