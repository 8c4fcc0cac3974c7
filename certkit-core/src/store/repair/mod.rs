//! Everything that is wrong with the store, and what of it can be put right.
//!
//! [`Store::diagnose`] reads and plans; [`LockedStore::repair`] plans again under the lock and does it. A plan is a list of
//! steps, each of which is whole by itself and saves what it changes under `certkit/saved/` first, but for what its owner had
//! deleted. There is no journal of a repair: what an interruption leaves is what the next repair finds.
//!
//! Nothing is guessed. A version counts when its chain and its key verify; a file is made anew when the others prove what it
//! held. What takes a decision is left to the owner, with the reason.

use std::collections::BTreeSet;
use std::path::PathBuf;

use chrono::{DateTime, Utc};

use super::{LockedStore, Store, StoreError};
use crate::{Finding, FindingCode, KeyMath, LineageName, Severity, Version};

mod astray;
mod choice;
mod conf;
mod cures;
mod lineage;
mod mend;
mod moved;
mod plan;
mod saved;
mod step;
mod tree;

pub(super) use moved::{moved_cure, moved_from};
use plan::RepairPlan;
use saved::Saved;

/// So often it is looked again for what a repair uncovered.
const MAX_ROUNDS: usize = 4;

/// Something that is wrong with the store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diagnosis {
    /// What is wrong, and what to do about it.
    pub finding: Finding,
    /// The lineage; none for what belongs to all or to nobody.
    pub name: Option<LineageName>,
    /// What [`LockedStore::repair`] does about it; none where that is the owner's to decide, or nothing has to be done.
    pub repair: Option<Repair>,
}

/// What is done about something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repair {
    /// The steps in words, in their order, escaped: `make version 3 live`.
    pub steps: Vec<String>,
    /// What is changed or removed.
    pub paths: Vec<PathBuf>,
}

/// What a repair did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RepairReport {
    /// What was wrong and is not any more.
    pub repaired: Vec<Diagnosis>,
    /// What is wrong still.
    pub left: Vec<Diagnosis>,
    /// What could not be done, and why.
    pub failed: Vec<Finding>,
    /// Where what was changed or removed is, as it was before; none when nothing had to be saved.
    pub saved: Option<PathBuf>,
    /// The versions that were made live. Their deploy hooks have not run: the next run of certkit runs them.
    pub made_live: Vec<(LineageName, Version)>,
}

impl Store {
    /// Everything that is wrong, what is harmless included: what [`Store::audit`] finds, what the certificates and keys
    /// themselves say, and what can be put right. Nothing is written.
    ///
    /// Nothing can be put right while a conf, a folder below `live/` or what they lead to cannot be read, for then it is not known
    /// which lineages use what; that is told, besides all else that can be seen. An error when the confs cannot be listed.
    pub fn diagnose(&self, math: &dyn KeyMath, now: DateTime<Utc>) -> Result<Vec<Diagnosis>, StoreError> {
        Ok(RepairPlan::of(self, math, now)?.diagnoses)
    }
}

impl Diagnosis {
    fn new(finding: Finding, name: Option<&LineageName>) -> Self {
        Self { finding, name: name.cloned(), repair: None }
    }

    /// Whether something has to be done: more than worth knowing.
    pub fn is_problem(&self) -> bool {
        self.finding.severity > Severity::Notice
    }
}

impl RepairReport {
    /// Whether nothing is wrong any more, but for what is only worth knowing.
    pub fn is_success(&self) -> bool {
        self.failed.is_empty() && !self.left.iter().any(Diagnosis::is_problem)
    }
}

impl LockedStore {
    /// Puts right what [`Store::diagnose`] says can be, of `only` these lineages where they are given. What is changed or
    /// removed is saved first. One step that fails keeps the rest of its lineage from being done, and no other.
    ///
    /// Killed at any moment it leaves what the next repair finishes. Repeated it finds nothing that it would do.
    pub fn repair(
        &self,
        only: Option<&BTreeSet<LineageName>>,
        math: &dyn KeyMath,
        now: DateTime<Utc>,
    ) -> Result<RepairReport, StoreError> {
        let _writing = self.writing();
        self.forget_in_use();
        let concerned = |name: Option<&LineageName>| match (only, name) {
            (None, _) => true,
            (Some(only), Some(name)) => only.contains(name),
            (Some(_), None) => false,
        };
        let mut failed = Vec::new();
        // What was wrong may look different after the steps before one that failed; it is not put right.
        let mut undone: Vec<(Option<LineageName>, Repair)> = Vec::new();
        let mut made_live = Vec::new();
        let mut planned: Vec<Diagnosis> = Vec::new();
        let mut saved = Saved::new(self, now);
        // What certkit itself was interrupted in comes first: its temporary files are not damage.
        let interrupted = RepairPlan::of(self.store(), math, now)?;
        let mut unfinished = BTreeSet::new();
        for name in interrupted.commits.iter().filter(|name| concerned(Some(name))) {
            match self.finish_commit(name, math, now) {
                Ok(done) => {
                    made_live.extend(done.and_then(|done| done.made_live).map(|version| (name.clone(), version)));
                }
                Err(error) => {
                    failed.push(cannot(&error));
                    unfinished.insert(name);
                }
            }
        }
        let of_commit = |one: &Diagnosis| {
            one.name.as_ref().is_some_and(|name| interrupted.commits.contains(name) && !unfinished.contains(name))
        };
        planned.extend(interrupted.diagnoses.iter().filter(|one| one.repair.is_some() && of_commit(one)).cloned());
        planned.retain(|one| concerned(one.name.as_ref()));
        // What is behind a damaged conf or link is seen once that is repaired.
        for round in 0..MAX_ROUNDS {
            let plan = RepairPlan::of(self.store(), math, now)?;
            let repaired =
                plan.diagnoses.into_iter().filter(|one| one.repair.is_some() && concerned(one.name.as_ref()));
            let new: Vec<_> = repaired.filter(|one| !planned.contains(one)).collect();
            if round > 0 && (new.is_empty() || !failed.is_empty()) {
                break;
            }
            planned.extend(new);
            for job in plan.jobs.into_iter().filter(|job| concerned(job.name.as_ref())) {
                for step in job.steps {
                    match step.perform(self, &mut saved) {
                        Ok(version) => made_live.extend(job.name.clone().zip(version)),
                        Err(error) => {
                            failed.push(cannot(&error));
                            undone.push((job.name.clone(), job.repair.clone()));
                            break;
                        }
                    }
                }
            }
        }
        let mut left = self.store().diagnose(math, now)?;
        left.retain(|diagnosis| concerned(diagnosis.name.as_ref()));
        let is_left = |one: &Diagnosis| left.iter().any(|other| other.finding == one.finding);
        let is_undone = |one: &Diagnosis| {
            undone.iter().any(|(name, repair)| *name == one.name && Some(repair) == one.repair.as_ref())
        };
        let repaired = planned.into_iter().filter(|one| !is_left(one) && !is_undone(one)).collect();
        Ok(RepairReport { repaired, left, failed, saved: saved.into_dir(), made_live })
    }
}

fn cannot(error: &StoreError) -> Finding {
    Finding::new(FindingCode::RepairFailed, error.path.to_string_lossy(), error.to_string())
}
