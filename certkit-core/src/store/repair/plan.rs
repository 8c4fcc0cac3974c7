//! The plan of a repair: what is wrong, and the steps that put it right.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::conf::is_blank;
use super::lineage::{LineagePlan, Planner};
use super::step::Step;
use super::{Diagnosis, Repair};
use crate::store::audit::Audited;
use crate::store::files;
use crate::store::{RenewalConf, Store, StoreError, StorePaths};
use crate::{Finding, FindingCode, KeyMath, LineageName};

/// What is told of a lineage's links and conf, and put right together.
const OF_LINKS: [FindingCode; 5] = [
    FindingCode::BrokenLineage,
    FindingCode::ForeignLink,
    FindingCode::InterruptedSwitch,
    FindingCode::MixedVersions,
    FindingCode::NewerVersionNotLive,
];

/// Steps that only make sense together and in their order.
pub(super) struct Job {
    pub(super) name: Option<LineageName>,
    pub(super) steps: Vec<Step>,
    /// The same as the diagnoses tell it.
    pub(super) repair: Repair,
}

/// All that is wrong, and what is done about it.
pub(super) struct RepairPlan {
    pub(super) diagnoses: Vec<Diagnosis>,
    pub(super) jobs: Vec<Job>,
    /// The lineages with a commit that did not end.
    pub(super) commits: Vec<LineageName>,
}

impl RepairPlan {
    /// Looks at everything. Nothing is written.
    pub(super) fn of(store: &Store, math: &dyn KeyMath, now: DateTime<Utc>) -> Result<Self, StoreError> {
        let (in_use, hidden) = store.readable_in_use()?;
        let planner = Planner { store, in_use: &in_use, math, now };
        let mut plan = Self { diagnoses: Vec::new(), jobs: Vec::new(), commits: Vec::new() };
        for Audited { finding, name, path } in store.audited()? {
            let name = name.as_ref();
            // Each has its own place below, where it is known what is done about it.
            match finding.code {
                FindingCode::PrivateKeyReadable
                | FindingCode::AccountKeyReadable
                | FindingCode::WritableByOthers
                | FindingCode::OwnedByAnother => {}
                FindingCode::StateDamaged | FindingCode::LiveWithoutConf | FindingCode::ArchiveWithoutConf => {
                    plan.of_a_path(store, finding, name, path)?;
                }
                FindingCode::LeftOver if path.is_some() => {
                    let why = ", so that nothing of this certificate is deleted";
                    let step = Step::TakeAway { paths: path.into_iter().collect(), why };
                    plan.add(store, finding, name, Some(step));
                }
                FindingCode::InterruptedDeletion => {
                    let folders = |name| [store.paths().live(name), store.paths().archive(name)];
                    let step = name.map(|name| Step::FinishDeletion {
                        name: name.clone(),
                        folders: folders(name).into_iter().filter(|dir| dir.exists()).collect(),
                    });
                    plan.add(store, finding.with_cure("certkit fsck --repair"), name, step);
                }
                _ => plan.diagnoses.push(Diagnosis::new(finding, name)),
            }
        }
        for name in files::list(&store.paths().renewal_dir())?.unwrap_or_default() {
            let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".conf")) else { continue };
            let Ok(name) = LineageName::new(stem) else { continue };
            let is_told =
                |one: &Diagnosis| one.name.as_ref() == Some(&name) && one.finding.code == FindingCode::Unreadable;
            if let Err(error) = plan.lineage(&planner, &name)
                && !plan.diagnoses.iter().any(is_told)
            {
                let finding = Finding::new(FindingCode::Unreadable, error.path.to_string_lossy(), error.to_string());
                plan.diagnoses.push(Diagnosis::new(finding, Some(&name)));
            }
        }
        plan.tree(store)?;
        if !hidden.is_empty() {
            plan.only_tell(&hidden);
        }
        Ok(plan)
    }

    /// Takes all steps away: while something is `hidden` nobody knows what uses what. That is told of no lineage in particular,
    /// for it concerns all.
    fn only_tell(&mut self, hidden: &[StoreError]) {
        self.jobs.clear();
        self.commits.clear();
        self.diagnoses.iter_mut().for_each(|one| one.repair = None);
        let is_hidden =
            |one: &Diagnosis| hidden.iter().any(|error| one.finding.subject == error.path.to_string_lossy());
        self.diagnoses.retain(|one| one.finding.code != FindingCode::Unreadable || !is_hidden(one));
        for error in hidden {
            let finding = Finding::new(FindingCode::Unreadable, error.path.to_string_lossy(), error.to_string());
            let cure = format!("{}; until then nothing is repaired", finding.cure());
            self.diagnoses.push(Diagnosis::new(finding.with_cure(cure), None));
        }
    }

    /// One finding with one step, or none.
    pub(super) fn add(&mut self, store: &Store, finding: Finding, name: Option<&LineageName>, step: Option<Step>) {
        let mut diagnosis = Diagnosis::new(finding, name);
        if let Some(step) = step {
            diagnosis.repair = Some(self.push(store, name, vec![step]));
        }
        self.diagnoses.push(diagnosis);
    }

    /// Another job, in words.
    fn push(&mut self, store: &Store, name: Option<&LineageName>, steps: Vec<Step>) -> Repair {
        let repair = in_words(&steps, store.paths());
        self.jobs.push(Job { name: name.cloned(), steps, repair: repair.clone() });
        repair
    }

    fn lineage(&mut self, planner: &Planner<'_>, name: &LineageName) -> Result<(), StoreError> {
        let store = planner.store;
        let path = store.paths().conf(name);
        let content = match files::read(&path) {
            Ok(content) => content,
            // A folder, a pipe, a link to nothing: the audit says so.
            Err(error) if files::is_damage(&error.source) || files::is_absence(&error.source) => return Ok(()),
            Err(error) => return Err(error),
        };
        if is_blank(&content) {
            let plan = planner.blank_conf(name)?;
            self.attach(store, name, plan, Vec::new());
            return Ok(());
        }
        let Ok(conf) = RenewalConf::parse(&content) else { return Ok(()) };
        let (conf, first) = match planner.incomplete_conf(name, &conf) {
            Some((whole, step)) => (whole, vec![step]),
            None => (conf, Vec::new()),
        };
        let plan = planner.lineage(name, &conf)?;
        let of_archive = planner.archive_dir(name, &conf, &plan)?;
        self.attach(store, name, plan, first);
        match of_archive {
            Some(Ok(step)) => self.repair_of(store, name, FindingCode::ArchiveDirDiffers, step),
            Some(Err(why)) => {
                for told in self.told(name, &[FindingCode::ArchiveDirDiffers]) {
                    told.finding = told.finding.clone().with_cure(format!("decide which one is wanted: {why}"));
                }
            }
            None => {}
        }
        self.credentials(store, name, &conf);
        if conf.check_complete().is_ok() && conf.params().authenticator.is_none() {
            self.add(store, Finding::new(FindingCode::ConfIncomplete, name.as_str(), ""), Some(name), None);
        }
        Ok(())
    }

    /// Joins a plan to what the audit told of the lineage.
    fn attach(&mut self, store: &Store, name: &LineageName, plan: LineagePlan, first: Vec<Step>) {
        let LineagePlan { wrong, steps, stuck, more, .. } = plan;
        let steps: Vec<Step> = first.into_iter().chain(steps).collect();
        let takes_away = more.iter().any(|(_, step)| matches!(step, Some(Step::TakeAway { .. })));
        if steps.is_empty()
            && stuck.is_none()
            && let Some((FindingCode::NewerVersionNotLive, why)) = &wrong
        {
            // It is not made live by anybody but certbot, so the audit's words do not fit.
            let is_told = |one: &Diagnosis| {
                one.name.as_ref() == Some(name) && one.finding.code == FindingCode::NewerVersionNotLive
            };
            self.diagnoses.retain(|one| !is_told(one));
            if !takes_away {
                let finding = Finding::new(FindingCode::NewerVersionUnusable, name.as_str(), why);
                self.add(store, finding, Some(name), None);
            }
        } else {
            self.join(store, name, wrong, steps, stuck);
        }
        // What a commit that did not end has under temporary names is its own.
        let is_committing = store.journal(name).is_ok_and(|journal| journal.is_some());
        for (finding, step) in more {
            if finding.code != FindingCode::LeftOver || !is_committing {
                self.add(store, finding, Some(name), step);
            }
        }
    }

    fn join(
        &mut self,
        store: &Store,
        name: &LineageName,
        wrong: Option<(FindingCode, String)>,
        steps: Vec<Step>,
        stuck: Option<String>,
    ) {
        let repair = (!steps.is_empty()).then(|| self.push(store, Some(name), steps));
        let mut any = false;
        for told in self.told(name, &OF_LINKS) {
            any = true;
            told.repair.clone_from(&repair);
            if let Some(cure) = &stuck {
                told.finding = told.finding.clone().with_cure(cure);
            }
        }
        if let Some((code, why)) = wrong.filter(|_| !any) {
            let mut finding = Finding::new(code, name.as_str(), why);
            if let Some(cure) = stuck {
                finding = finding.with_cure(cure);
            }
            self.diagnoses.push(Diagnosis { repair, ..Diagnosis::new(finding, Some(name)) });
        }
    }

    fn repair_of(&mut self, store: &Store, name: &LineageName, code: FindingCode, step: Step) {
        if self.told(name, &[code]).next().is_some() {
            let repair = self.push(store, Some(name), vec![step]);
            self.told(name, &[code]).for_each(|told| told.repair = Some(repair.clone()));
        }
    }

    fn told<'p>(
        &'p mut self,
        name: &'p LineageName,
        codes: &'p [FindingCode],
    ) -> impl Iterator<Item = &'p mut Diagnosis> {
        let of = move |one: &&mut Diagnosis| one.name.as_ref() == Some(name) && codes.contains(&one.finding.code);
        self.diagnoses.iter_mut().filter(of)
    }

    /// Findings of the audit about a path of their own.
    fn of_a_path(
        &mut self,
        store: &Store,
        finding: Finding,
        name: Option<&LineageName>,
        path: Option<PathBuf>,
    ) -> Result<(), StoreError> {
        let is_empty = |path: &Path| Ok(files::list(path)?.is_some_and(|names| names.is_empty()));
        let step = match (finding.code, path) {
            (FindingCode::StateDamaged, Some(path)) => {
                Some(Step::TakeAway { paths: vec![path], why: ", which says nothing any more" })
            }
            (_, Some(path)) if is_empty(&path)? => Some(Step::RemoveEmptyFolder(path)),
            _ => None,
        };
        let finding = if step.is_none() { finding.with_cure(ORPHAN_CURE) } else { finding };
        self.add(store, finding, name, step);
        Ok(())
    }
}

/// certbot orders a certificate, finds the folder in its way and loses the certificate; certkit refuses before it orders.
const ORPHAN_CURE: &str = "if nothing uses it, move it away or remove it with certkit delete --cert-name NAME; otherwise copy it elsewhere first, remove it, and obtain the certificate again: certkit certonly -d NAME …";

/// Steps for the owner to read.
fn in_words(steps: &[Step], paths: &StorePaths) -> Repair {
    let mut changed: Vec<PathBuf> = steps.iter().flat_map(Step::changes).collect();
    changed.sort_unstable();
    changed.dedup();
    Repair { steps: steps.iter().map(|step| step.words(paths)).collect(), paths: changed }
}
