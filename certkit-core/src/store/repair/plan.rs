//! The plan of a repair: what is wrong, and the steps that put it right.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::conf::is_blank;
use super::cures::{cure_elsewhere, orphan_cure};
use super::lineage::{LineagePlan, Planner};
use super::saved::unsavable;
use super::step::Step;
use super::{Diagnosis, Repair};
use crate::store::audit::Audited;
use crate::store::files;
use crate::store::in_use::real;
use crate::store::links::LiveLinks;
use crate::store::{BrokenReason, DeleteError, Kind, RenewalConf, Store, StoreError, StorePaths};
use crate::words::{REFUSED_NAME_CURE, shell_word};
use crate::{Finding, FindingCode, Hindrance, KeyMath, LineageName};

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
                    plan.of_a_path(&planner, finding, name, path)?;
                }
                FindingCode::LeftOver if path.is_some() => {
                    let is_note = path.as_ref().is_some_and(|path| path.starts_with(store.paths().own_dir()));
                    let why = if is_note { ", so that nothing of this certificate is deleted" } else { "" };
                    let step = Step::TakeAway { paths: path.into_iter().collect(), why };
                    plan.add(store, finding, name, Some(step));
                }
                FindingCode::InterruptedDeletion => {
                    let Some(name) = name else { continue };
                    let finding = finding.with_cure("certkit fsck --repair");
                    let deletion = store.deletion(name).and_then(|deletion| {
                        let waits = deletion.kept.iter().find(|kept| kept.waits_for_its_owner());
                        waits.map_or(Ok(()), |kept| Err(DeleteError::kept(kept, name))).map(|()| deletion)
                    });
                    match deletion {
                        Ok(deletion) => {
                            let outside = deletion.kept.iter().filter(|kept| kept.is_outside());
                            let of_kept = outside.flat_map(|kept| kept.files.iter().cloned());
                            let of_tree = deletion.archives.iter().chain(deletion.links.keys()).cloned();
                            let folders = of_kept.chain(of_tree).collect();
                            let step = Step::FinishDeletion { name: name.clone(), folders };
                            plan.add(store, finding, Some(name), Some(step));
                        }
                        Err(DeleteError::Store(error)) => plan.unreadable(store, &error, Some(name)),
                        Err(error) => {
                            let cure = error.cure().unwrap_or_default().to_owned();
                            plan.diagnoses.push(Diagnosis::new(finding.with_cure(cure), Some(name)));
                        }
                    }
                }
                _ => plan.diagnoses.push(Diagnosis::new(finding, name)),
            }
        }
        for name in files::list(&store.paths().renewal_dir())?.unwrap_or_default() {
            let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".conf")) else { continue };
            let Ok(name) = LineageName::new(stem) else { continue };
            if let Err(error) = plan.lineage(&planner, &name) {
                plan.unreadable(store, &error, Some(&name));
            }
        }
        plan.tree(store);
        if !hidden.is_empty() {
            plan.only_tell(store, &hidden);
        }
        Ok(plan)
    }

    /// Takes all steps away: while something is `hidden` nobody knows what uses what. That is told of no lineage in particular,
    /// for it concerns all.
    fn only_tell(&mut self, store: &Store, hidden: &[StoreError]) {
        self.jobs.clear();
        self.commits.clear();
        let waits_for = hidden.iter().map(|error| error.path.display().to_string()).collect::<Vec<_>>().join(", ");
        for one in self.diagnoses.iter_mut().filter(|one| one.repair.is_some()) {
            one.repair = None;
            let cure = format!("certkit fsck --repair, once it can read {waits_for}");
            one.finding = one.finding.clone().with_cure(cure);
        }
        self.diagnoses.retain(|one| !hidden.iter().any(|error| tells_of(one, store, error)));
        for error in hidden {
            let finding = Finding::new(FindingCode::Unreadable, error.path.to_string_lossy(), error.to_string());
            let finding = finding.hindered_by(Hindrance::of(&error.source));
            let cure = match error.source.kind() {
                ErrorKind::FileTooLarge => {
                    "move it away, or restore it from a backup: no renewal configuration is so large"
                }
                _ => finding.cure(),
            };
            let cure = format!("{cure}; until then nothing is repaired");
            self.diagnoses.push(Diagnosis::new(finding.with_cure(cure), None));
        }
    }

    /// What could not be looked at, once.
    pub(super) fn unreadable(&mut self, store: &Store, error: &StoreError, name: Option<&LineageName>) {
        let is_told_of_it = |one: &Diagnosis| {
            one.finding.code == FindingCode::Unreadable && name.is_some() && one.name.as_ref() == name
        };
        if !self.diagnoses.iter().any(|one| is_told_of_it(one) || tells_of(one, store, error)) {
            let finding = Finding::new(FindingCode::Unreadable, error.path.to_string_lossy(), error.to_string());
            self.diagnoses.push(Diagnosis::new(finding.hindered_by(Hindrance::of(&error.source)), name));
        }
    }

    /// One finding with one step, or none.
    pub(super) fn add(&mut self, store: &Store, finding: Finding, name: Option<&LineageName>, step: Option<Step>) {
        let mut diagnosis = Diagnosis::new(finding, name);
        match step.map(|step| self.push(store, name, vec![step])) {
            Some(Ok(repair)) => diagnosis.repair = Some(repair),
            Some(Err(cure)) => diagnosis.finding = diagnosis.finding.with_cure(cure),
            None => {}
        }
        self.diagnoses.push(diagnosis);
    }

    /// Another job, in words; where it would change what is not this tree's, or not for certain, there is none, and the error
    /// is what to do.
    fn push(&mut self, store: &Store, name: Option<&LineageName>, steps: Vec<Step>) -> Result<Repair, String> {
        let repair = in_words(&steps, store.paths());
        // Besides, where a repair saves and notes what it does.
        let own = store.paths().own_dir();
        let memory = ["saved", "commit", "commit/of", "of"].map(|place| own.join(place));
        let switched = name.map(|name| store.paths().switched(name).join(Kind::Cert.live_file()));
        let all: Vec<_> = repair.paths.iter().cloned().chain(memory).chain(switched).collect();
        if let Some(cure) = cure_elsewhere(store.paths(), &all) {
            return Err(cure);
        }
        let replaced = steps.iter().flat_map(|step| match step {
            Step::TakeAway { paths, .. } => paths.as_slice(),
            Step::Write { path, .. } => std::slice::from_ref(path),
            _ => &[],
        });
        if let Some(path) = replaced.into_iter().find_map(|path| unsavable(path).ok().flatten()) {
            let shown = shell_word(&path.to_string_lossy());
            let what = if path.is_dir() {
                format!("move {shown} elsewhere, which is a tree or a file system of its own")
            } else {
                format!("remove {shown}, which is neither a file nor a link nor a folder")
            };
            return Err(format!("{what}; then certkit fsck --repair"));
        }
        self.jobs.push(Job { name: name.cloned(), steps, repair: repair.clone() });
        Ok(repair)
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
        if let Some(whole) = planner.completed_for_a_look(name, &conf).filter(|_| conf.check_complete().is_err())
            && let Some(live) = LiveLinks::read(store.paths(), name, &whole)?
            && let Some(plan) = planner.led_astray(name, &conf, &live)?
        {
            self.attach(store, name, plan, Vec::new());
            return Ok(());
        }
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
        self.what_is_live(planner, name);
        self.credentials(store, name, &conf);
        if conf.check_complete().is_ok() && conf.params().authenticator.is_none() {
            self.add(store, Finding::new(FindingCode::ConfIncomplete, name.as_str(), ""), Some(name), None);
        }
        Ok(())
    }

    /// What the live files say that nothing is planned about: a chain of another CA, files that servers do not load.
    fn what_is_live(&mut self, planner: &Planner<'_>, name: &LineageName) {
        let Ok(Some(lineage)) = planner.store.lineage(name) else { return };
        let live = lineage.checked_certificate(Some(planner.math));
        let is_told = self.told(name, &[FindingCode::LiveVersionDamaged, FindingCode::BrokenLineage]).next().is_some();
        match live.and_then(|live| live.checked) {
            Ok(findings) => {
                let more = findings.into_iter().filter(|one| one.code != FindingCode::PemRefused || !is_told);
                self.diagnoses.extend(more.map(|one| Diagnosis::new(one, Some(name))));
            }
            Err(reason @ BrokenReason::NotSignedByChain { .. }) => {
                if !is_told {
                    let finding = Finding::new(FindingCode::ChainIncomplete, name.as_str(), reason.to_string());
                    self.diagnoses.push(Diagnosis::new(finding, Some(name)));
                }
            }
            // Told above, with what is done about it.
            Err(_) => {}
        }
    }

    /// Joins a plan to what the audit told of the lineage.
    fn attach(&mut self, store: &Store, name: &LineageName, plan: LineagePlan, first: Vec<Step>) {
        let LineagePlan { wrong, steps, stuck, is_the_cause, more, .. } = plan;
        if is_the_cause {
            let of_it = |one: &Diagnosis| {
                one.name.as_ref() == Some(name)
                    && (OF_LINKS.contains(&one.finding.code) || one.finding.code == FindingCode::AnotherTree)
            };
            self.diagnoses.retain(|one| !of_it(one));
        }
        // With a line that is wrong, what is missing in the conf is not all: it is written once that is right.
        let first = if is_the_cause { Vec::new() } else { first };
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
        mut stuck: Option<String>,
    ) {
        let repair = match (!steps.is_empty()).then(|| self.push(store, Some(name), steps)).transpose() {
            Ok(repair) => repair,
            Err(cure) => {
                stuck = Some(cure);
                None
            }
        };
        // A newer version that waits is the lesser evil where the one in use serves nobody.
        if let Some((code, _)) = &wrong
            && let Some(severity) = self.told(name, &OF_LINKS).map(|told| told.finding.severity).max()
            && code.severity() > severity
        {
            self.diagnoses.retain(|one| one.name.as_ref() != Some(name) || !OF_LINKS.contains(&one.finding.code));
        }
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
            self.told(name, &[code]).for_each(|told| match &repair {
                Ok(repair) => told.repair = Some(repair.clone()),
                Err(cure) => told.finding = told.finding.clone().with_cure(cure),
            });
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
        planner: &Planner<'_>,
        finding: Finding,
        name: Option<&LineageName>,
        path: Option<PathBuf>,
    ) -> Result<(), StoreError> {
        let (store, in_use) = (planner.store, planner.in_use);
        let is_empty = |path: &Path| Ok(files::list(path)?.is_some_and(|names| names.is_empty()));
        // Nobody's own name, so that everybody counts.
        let is_needed = |path: &Path| -> Result<bool, StoreError> {
            let Some(dir) = real(path)? else { return Ok(false) };
            Ok(!in_use.needed(store.paths(), &dir, name).users()?.is_empty())
        };
        let Some(path) = path else {
            self.add(store, finding, name, None);
            return Ok(());
        };
        let step = match finding.code {
            FindingCode::StateDamaged => {
                Some(Step::TakeAway { paths: vec![path.clone()], why: ", which says nothing any more" })
            }
            _ if is_empty(&path)? && !is_needed(&path)? && !files::is_mount_point(&path) => {
                Some(Step::RemoveEmptyFolder(path.clone()))
            }
            _ => None,
        };
        let finding = match (&step, name, finding.code) {
            (Some(_), ..) => finding,
            (None, None, _) => finding.with_cure(REFUSED_NAME_CURE),
            (None, Some(name), _) => finding.with_cure(orphan_cure(store.paths(), in_use, name, &path)),
        };
        self.add(store, finding, name, step);
        Ok(())
    }
}

/// Whether this says that what the error is about cannot be read.
fn tells_of(one: &Diagnosis, store: &Store, error: &StoreError) -> bool {
    let shown = |path: &Path| crate::escape(&path.to_string_lossy()) == one.finding.subject.as_str();
    one.finding.code == FindingCode::Unreadable && (shown(&error.path) || shown(store.paths().relative(&error.path)))
}

/// Steps for the owner to read.
fn in_words(steps: &[Step], paths: &StorePaths) -> Repair {
    let mut changed: Vec<PathBuf> = steps.iter().flat_map(Step::changes).collect();
    changed.sort_unstable();
    changed.dedup();
    Repair { steps: steps.iter().map(|step| step.words(paths)).collect(), paths: changed }
}
