//! What an interrupted run of certkit or certbot left behind.
//!
//! Commits under way come first (`interrupted_commit`), because temporary files belong to them; then removals of lineages
//! that did not end, and what belongs to nobody any more is removed (`leftovers`); then the links of every lineage are looked at (`links`).

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::{DeleteError, LockedStore, StoreError, immutable_cure};
use crate::{Finding, FindingCode, Hindrance, KeyMath, LineageName, Version};

mod interrupted_commit;
mod leftovers;
pub(crate) use leftovers::remove as remove_leftover;

mod links;
pub(crate) use links::{Decision, Found};

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
    /// temporary files, a verified newer version that is not live, a removal. Never makes a version live that does not verify.
    /// Idempotent; a lineage that cannot be put right is left as it is and is a finding.
    ///
    /// A version that is in [`Recovered::made_live`] is there again at every call until a state is saved that tells of it
    /// ([`LockedStore::save_state`]): until then nothing says that its deploy hooks have run. That includes a commit that
    /// ended well in a process which was killed before it saved the state. Of a version that was deployed before, and was
    /// made live again, no state tells: [`LockedStore::forget_made_live`] says that its hooks are planned.
    pub fn recover(&self, math: &dyn KeyMath, now: DateTime<Utc>) -> Result<Vec<Recovered>, StoreError> {
        let _writing = self.writing();
        let mut found = Vec::new();
        self.set_aside_what_is_no_folder(&mut found)?;
        let mut unfinished = BTreeSet::new();
        // Their temporary files are not left over.
        let mut waiting = BTreeSet::new();
        for name in self.store().journals()? {
            match self.finish_commit(&name, math, now) {
                Ok(recovered) => {
                    let is_done = recovered.as_ref().is_some_and(|one| one.made_live.is_some());
                    if !is_done && self.store().journal(&name)?.is_some() {
                        waiting.insert(name);
                    }
                    found.extend(recovered);
                }
                Err(error) => {
                    found.push(Recovered::failed(&name, &error));
                    unfinished.insert(name);
                }
            }
        }
        for (name, result) in self.finish_deletions()? {
            found.push(match result {
                Ok(_) => Recovered::new(FindingCode::PutRight, &name, "what it had to delete is deleted", None),
                Err(DeleteError::Store(error)) => Recovered::failed(&name, &error),
                Err(error) => {
                    let finding = Finding::new(FindingCode::InterruptedDeletion, name.as_str(), error.to_string());
                    let finding = finding.with_cure(error.cure().unwrap_or_default());
                    Recovered { finding, name: Some(name), made_live: None }
                }
            });
        }
        waiting.extend(unfinished.iter().cloned());
        self.remove_leftovers(&waiting, &mut found)?;
        for name in self.conf_names()? {
            if unfinished.contains(&name) {
                continue;
            }
            match self.repair_links(&name, math, now) {
                Ok(recovered) => found.extend(recovered),
                Err(error) => found.push(Recovered::failed(&name, &error)),
            }
        }
        Ok(found)
    }

    /// The lineages that have a conf, sorted. One whose name cannot be a lineage's is somebody else's to report.
    fn conf_names(&self) -> Result<Vec<LineageName>, StoreError> {
        let files = super::files::list(&self.paths().renewal_dir())?.unwrap_or_default();
        Ok(files.iter().filter_map(|file| LineageName::new(file.to_str()?.strip_suffix(".conf")?).ok()).collect())
    }
}

/// What was done, and what could not be tidied up or was set aside meanwhile.
fn with_left(done: String, left: &[String]) -> String {
    left.iter().fold(done, |done, left| format!("{done}; {left}"))
}

impl Recovered {
    fn new(code: FindingCode, name: &LineageName, evidence: impl AsRef<str>, made_live: Option<Version>) -> Self {
        Self { finding: Finding::new(code, name.as_str(), evidence), name: Some(name.clone()), made_live }
    }

    /// What no run puts right by itself.
    fn stuck(code: FindingCode, name: &LineageName, why: impl AsRef<str>) -> Self {
        let mut stuck = Self::new(code, name, why, None);
        if code == FindingCode::MixedVersions {
            stuck.finding = stuck.finding.with_cure("`certkit fsck --cert-name NAME` says what to do");
        }
        stuck
    }

    fn failed(name: &LineageName, error: &StoreError) -> Self {
        let mut failed = Self::new(FindingCode::Unreadable, name, error.to_string(), None);
        failed.finding = failed.finding.hindered_by(Hindrance::of(&error.source));
        if let Some(path) = error.immutable() {
            failed.finding = failed.finding.with_cure(immutable_cure(&path));
        }
        failed
    }
}
