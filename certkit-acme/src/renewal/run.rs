//! The run as a whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use certkit_core::decision::DueReason;
use certkit_core::state::{DeployTarget, Event, LineageState, Stage};
use certkit_core::store::{
    AuthorityKind, BrokenLineage, Kind, Lineage, Recovered, RenewalConf, Store, StoreError, StorePaths,
};
use certkit_core::{
    AcmeUrl, Failure, Finding, FindingCode, Identifier, LineageName, Plan, PlanEntry, PlanInput, Step, plan,
};
use futures_util::stream::{self, StreamExt};

use super::attempt::{Achieved, Workshop};
use super::deploying::{Hooks, PreHooks};
use super::inventory::{Inventory, blocking, store_failure};
use super::job::{Job, Subject};
use super::report::{Outcome, Report, ReportEntry};
use super::{Mode, Renewer, Request, RunError, Selection};
use crate::deploy::HookStage;
use crate::{BoxFuture, Stop};

impl Renewer {
    /// What a run would do now, one entry for each lineage that can be used. Reads the store; asks nobody; takes no lock.
    pub async fn plan(&self, request: &Request) -> Result<Plan, RunError> {
        let (store, request, now) = (self.store.clone(), request.clone(), self.clock.now());
        blocking(move || {
            let mut inputs = Vec::new();
            for seen in select(&store, &request)? {
                if let Seen::Usable(subject) = seen {
                    let (state, _) = store.state(&subject.name)?;
                    inputs.push(input(&store, &subject, &request, state));
                }
            }
            Ok(plan(inputs, now))
        })
        .await
    }

    /// Renews what is to be renewed, deploys it, and tells everything. Other lineages go on when one fails.
    pub async fn run(&self, request: Request, stop: &Stop) -> Result<Report, RunError> {
        let now = self.clock.now();
        let inventory = Inventory::lock(
            &self.store,
            request.mode,
            Arc::clone(&self.observer),
            Arc::clone(&self.clock),
            self.live_switch,
        )
        .await?;
        let run = Run { renewer: self, inventory: &inventory, request: &request, stop };
        let mut report = Report::new(now, inventory.is_dry_run());
        let made_live = run.recover(&mut report).await?;
        let subjects = run.look(&made_live, &mut report).await?;
        let mut inputs = Vec::new();
        for subject in &subjects {
            report.findings.extend(subject.findings());
            inputs.push(input(&self.store, subject, &request, inventory.state(&subject.name)));
        }
        let plan = plan(inputs, now);
        run.perform(plan, subjects, &mut report).await?;
        report.sort();
        report.stopped = stop.reason();
        Ok(report)
    }
}

/// What one run works with.
struct Run<'a> {
    renewer: &'a Renewer,
    inventory: &'a Inventory,
    request: &'a Request,
    stop: &'a Stop,
}

/// A lineage whose turn it is, with what has to receive its new version.
struct Work {
    job: Job,
    targets: Vec<DeployTarget>,
}

/// A lineage as it was found.
enum Seen {
    Usable(Box<Subject>),
    Broken(Box<ReportEntry>),
}

impl Run<'_> {
    /// Puts right what interrupted runs left. Versions that became live by it have not been deployed by anybody.
    async fn recover(&self, report: &mut Report) -> Result<Vec<LineageName>, RunError> {
        let mut made_live = Vec::new();
        for recovered in self.inventory.recover(Arc::clone(&self.renewer.math)).await? {
            report.findings.push(told(&recovered));
            if let (Some(name), Some(_)) = (recovered.name, recovered.made_live) {
                made_live.push(name);
            }
        }
        Ok(made_live)
    }

    /// Reads the selected lineages with their memory. What is broken goes to the report.
    async fn look(&self, made_live: &[LineageName], report: &mut Report) -> Result<Vec<Subject>, RunError> {
        let (store, request) = (self.renewer.store.clone(), self.request.clone());
        let seen = blocking(move || select(&store, &request)).await?;
        let mut subjects = Vec::new();
        for one in seen {
            match one {
                Seen::Usable(subject) => {
                    let by_recovery = made_live.contains(&subject.name);
                    match self.remember(&subject, by_recovery).await {
                        Ok(finding) => {
                            report.findings.extend(finding);
                            subjects.push(*subject);
                        }
                        // Without its memory a lineage could be ordered again and again. The others go on.
                        Err(error) => report.entries.push(self.failed(&subject, store_failure(error))),
                    }
                }
                Seen::Broken(entry) => report.entries.push(*entry),
            }
        }
        Ok(subjects)
    }

    async fn remember(&self, subject: &Subject, made_live_by_recovery: bool) -> Result<Option<Finding>, StoreError> {
        let (state, finding) = self.inventory.load_state(&subject.name).await?;
        self.notice_foreign_changes(subject, &state, made_live_by_recovery).await?;
        Ok(finding)
    }

    /// The version found live at first, or that another tool installed, counts as deployed: no hook runs for it.
    async fn notice_foreign_changes(
        &self,
        subject: &Subject,
        state: &LineageState,
        made_live_by_recovery: bool,
    ) -> Result<(), StoreError> {
        let (Some(version), false) = (subject.live_version, self.inventory.is_dry_run()) else { return Ok(()) };
        let recorded = matches!(state.stage, Stage::Committed { version: committed, .. } if committed == version);
        if recorded || state.deployed_version == Some(version) {
            return Ok(());
        }
        let serial = subject.certificate.as_ref().map(|certificate| certificate.serial().certbot_hex());
        let issued_by_us = serial.is_some() && serial == state.issued_serial;
        if made_live_by_recovery || issued_by_us {
            // A crash came between the switch and its record: the order is done, deploying is not.
            self.inventory.drop_pending(&subject.name).await?;
            let not_after = subject.certificate.as_ref().map(|certificate| certificate.validity().not_after);
            let committed = Event::Committed {
                version,
                not_after: not_after.unwrap_or_default(),
                directory: None,
                targets: self.targets(subject),
            };
            return self.inventory.record(&subject.name, committed).await;
        }
        let event = match state.deployed_version {
            None => Event::FirstSeen { version },
            Some(_) => Event::ChangedElsewhere { version },
        };
        self.inventory.record(&subject.name, event).await
    }

    async fn perform(&self, plan: Plan, subjects: Vec<Subject>, report: &mut Report) -> Result<(), RunError> {
        let paths = self.renewer.store.paths();
        let directories = [HookStage::Pre, HookStage::Deploy, HookStage::Post].map(|stage| hook_dir(paths, stage));
        let hooks = Hooks::new(self.renewer.observer.as_ref(), &self.renewer.commands, directories, self.request);
        self.deploy_what_is_pending(&subjects, &hooks).await?;
        let mut works = Vec::new();
        for (entry, subject) in plan.entries.into_iter().zip(subjects) {
            report.findings.extend(entry.due.findings.iter().cloned());
            match self.settle(entry, subject).await? {
                Settled::Work(work) => works.push(*work),
                Settled::Done(entry) => report.entries.push(*entry),
            }
        }
        if !works.is_empty() {
            self.attempt_all(works, &hooks, report).await?;
        }
        report.hooks = hooks.into_runs();
        for entry in &mut report.entries {
            if let Ok(name) = LineageName::new(entry.name.clone()) {
                entry.deploy_pending =
                    self.inventory.state(&name).deploy_pending.into_iter().map(|pending| pending.target).collect();
            }
        }
        Ok(())
    }

    /// What earlier runs could not deploy is tried again, without a new certificate.
    async fn deploy_what_is_pending(&self, subjects: &[Subject], hooks: &Hooks<'_>) -> Result<(), StoreError> {
        if self.inventory.is_dry_run() {
            return Ok(());
        }
        for subject in subjects {
            let state = self.inventory.state(&subject.name);
            let (Stage::Committed { version, .. }, Some(live)) = (&state.stage, subject.live_version) else { continue };
            if *version != live || self.stop.reason().is_some() {
                continue;
            }
            let pending: Vec<DeployTarget> = state.deploy_pending.iter().map(|one| one.target.clone()).collect();
            let deploy_dir = hook_dir(self.renewer.store.paths(), HookStage::Deploy);
            let targets = still_wanted(&pending, self.targets(subject), &deploy_dir);
            if targets != pending {
                let replanned = Event::DeployReplanned { version: live, targets: targets.clone() };
                self.inventory.record(&subject.name, replanned).await?;
            }
            hooks.deploy(self.inventory, subject, live, &targets).await?;
        }
        Ok(())
    }

    /// Turns a plan's entry into work or into its line of the report.
    async fn settle(&self, entry: PlanEntry, subject: Subject) -> Result<Settled, StoreError> {
        let outcome = match entry.step {
            Step::Attempt { because } => {
                return match self.prepare(subject, because) {
                    Ok(work) => Ok(Settled::Work(Box::new(work))),
                    Err(refused) => {
                        let (subject, failure) = *refused;
                        let event = Event::AttemptFailed { failure: failure.clone() };
                        self.inventory.record(&subject.name, event).await?;
                        Ok(Settled::Done(Box::new(self.failed(&subject, failure))))
                    }
                };
            }
            Step::Held { until, by, .. } => Outcome::Held { until, by },
            Step::NotDue { until, because } => Outcome::NotDue { at: until, reason: because },
            _ => return Ok(Settled::Done(Box::new(self.failed(&subject, unknown_step())))),
        };
        Ok(Settled::Done(Box::new(line(&subject, outcome))))
    }

    fn prepare(&self, subject: Subject, because: DueReason) -> Result<Work, Box<(Subject, Failure)>> {
        let targets = self.targets(&subject);
        let job = Job::resolve(subject, because, self.request)?;
        Ok(Work { job, targets })
    }

    fn targets(&self, subject: &Subject) -> Vec<DeployTarget> {
        subject.deploy_targets(self.request, &hook_dir(self.renewer.store.paths(), HookStage::Deploy))
    }

    /// Pre hooks, then all attempts, a bounded number at once, then post hooks, whatever happened.
    async fn attempt_all(&self, mut works: Vec<Work>, hooks: &Hooks<'_>, report: &mut Report) -> Result<(), RunError> {
        mark_shared_names(&mut works);
        let commands = |stage: HookStage| -> Vec<String> {
            works.iter().filter_map(|work| work.job.subject.hook(stage).cloned()).collect()
        };
        let (pre_commands, post_commands) = (commands(HookStage::Pre), commands(HookStage::Post));
        let pre = hooks.pre(&pre_commands).await;
        let workshop = Workshop::new(
            self.inventory,
            &self.renewer.transport,
            Arc::clone(&self.renewer.math),
            &self.renewer.commands,
            self.stop,
        );
        let at_once = self.request.parallel_orders.max(1);
        // Boxed one by one and collected first: otherwise the compiler cannot see that the whole run is `Send`.
        let mut attempts: Vec<BoxFuture<'_, (ReportEntry, Result<(), StoreError>)>> = Vec::new();
        for work in &works {
            attempts.push(Box::pin(self.attempt_one(work, &pre, &workshop, hooks)));
        }
        let results: Vec<(ReportEntry, Result<(), StoreError>)> =
            stream::iter(attempts).buffer_unordered(at_once).collect().await;
        let (mut renewed, mut failed) = (Vec::new(), Vec::new());
        let mut unrecorded = None;
        for (entry, recorded) in results {
            let names = match entry.outcome {
                Outcome::Renewed { .. } | Outcome::Simulated => &mut renewed,
                _ => &mut failed,
            };
            names.extend(entry.identifiers.iter().map(ToString::to_string));
            report.entries.push(entry);
            unrecorded = unrecorded.or_else(|| recorded.err());
        }
        hooks.post(&post_commands, &renewed, &failed).await;
        unrecorded.map_or(Ok(()), |error| Err(error.into()))
    }

    async fn attempt_one(
        &self,
        work: &Work,
        pre: &PreHooks,
        workshop: &Workshop<'_>,
        hooks: &Hooks<'_>,
    ) -> (ReportEntry, Result<(), StoreError>) {
        let subject = &work.job.subject;
        if let Some(failure) = pre.failure_for(subject.hook(HookStage::Pre)) {
            let recorded =
                self.inventory.record(&subject.name, Event::AttemptFailed { failure: failure.clone() }).await;
            return (self.failed(subject, failure), recorded);
        }
        if self.stop.reason().is_some() {
            return (self.failed(subject, crate::issuing::interrupted()), Ok(()));
        }
        match workshop.attempt(&work.job, &work.targets).await {
            Ok(Achieved::Committed { version, not_after }) => {
                let deployed = hooks.deploy(self.inventory, subject, version, &work.targets).await;
                (line(subject, Outcome::Renewed { version, not_after }), deployed)
            }
            Ok(Achieved::Simulated) => {
                let run_hooks = matches!(self.request.mode, Mode::DryRun { run_deploy_hooks: true });
                let deployed = match subject.live_version {
                    Some(version) if run_hooks => hooks.deploy(self.inventory, subject, version, &work.targets).await,
                    _ => Ok(()),
                };
                (line(subject, Outcome::Simulated), deployed)
            }
            Err(failure) => (self.failed(subject, failure), Ok(())),
        }
    }

    fn failed(&self, subject: &Subject, failure: Failure) -> ReportEntry {
        let next_attempt = if self.inventory.is_dry_run() {
            None
        } else {
            self.inventory.state(&subject.name).held_until().map(|(until, _)| until)
        };
        line(subject, Outcome::Failed { failure, next_attempt })
    }
}

/// What recovery found, as it stands after recovery.
pub(super) fn told(recovered: &Recovered) -> Finding {
    let found = &recovered.finding;
    match (found.code, recovered.made_live) {
        (_, Some(_)) => Finding::new(FindingCode::PutRight, &found.subject, found.what()),
        (FindingCode::NewerVersionNotLive, None) => {
            Finding::new(FindingCode::NewerVersionUnusable, &found.subject, &found.evidence)
        }
        _ => found.clone(),
    }
}

/// Pending targets that the owner still wants. A hook that was replaced hands its turn to the one that replaced it, and
/// a directory whose hooks were refused to its hooks.
fn still_wanted(pending: &[DeployTarget], now: Vec<DeployTarget>, deploy_dir: &Path) -> Vec<DeployTarget> {
    let is_hook = |target: &DeployTarget| matches!(target, DeployTarget::Hook(_));
    let replaced = pending.iter().any(|target| is_hook(target) && !now.contains(target));
    let directory = DeployTarget::DirectoryHook(deploy_dir.to_string_lossy().into_owned());
    let whole_directory = pending.contains(&directory);
    let is_directory_hook = |target: &DeployTarget| matches!(target, DeployTarget::DirectoryHook(_));
    now.into_iter()
        .filter(|target| {
            pending.contains(target) || (replaced && is_hook(target)) || (whole_directory && is_directory_hook(target))
        })
        .collect()
}

fn mark_shared_names(works: &mut [Work]) {
    let mut seen: BTreeMap<Identifier, usize> = BTreeMap::new();
    for identifier in works.iter().flat_map(|work| work.job.subject.identifiers.iter()) {
        *seen.entry(identifier.clone()).or_default() += 1;
    }
    for work in works {
        let shared = |identifier: &Identifier| seen.get(identifier).is_some_and(|times| *times > 1);
        work.job.shares_a_name = work.job.subject.identifiers.iter().any(shared);
    }
}

enum Settled {
    Work(Box<Work>),
    Done(Box<ReportEntry>),
}

pub(super) fn line(subject: &Subject, outcome: Outcome) -> ReportEntry {
    let mut entry = ReportEntry::new(subject.name.to_string(), subject.conf_path.clone(), outcome);
    entry.fullchain = Some(subject.fullchain.clone());
    entry.identifiers = subject.identifiers.clone();
    entry.not_after = subject.certificate.as_ref().map(|certificate| certificate.validity().not_after);
    entry
}

fn unknown_step() -> Failure {
    Failure::new(certkit_core::FailureClass::Bug, "the plan holds a step that this version does not know")
}

fn input(store: &Store, subject: &Subject, request: &Request, state: LineageState) -> PlanInput {
    let validity = subject.certificate.as_ref().map(|certificate| certificate.validity());
    let mut input = PlanInput::new(subject.name.clone(), validity, subject.wish(request)).remembering(state);
    input.directory = subject.conf.params().effective_server().and_then(|server| AcmeUrl::parse(server).ok());
    // A dry run finishes nothing; it tries everything anew.
    input.order_under_way &= request.mode == Mode::Real;
    // The journal tells, not the memory: an order that is gone is no reason to place another one.
    input.order_under_way = input.order_under_way && !matches!(store.pending(&subject.name), Ok(None));
    input
}

pub(super) fn hook_dir(paths: &StorePaths, stage: HookStage) -> PathBuf {
    paths.hook_dir(match stage {
        HookStage::Pre => "pre",
        HookStage::Deploy => "deploy",
        HookStage::Post => "post",
    })
}

/// The lineages that a request is about, read.
fn select(store: &Store, request: &Request) -> Result<Vec<Seen>, RunError> {
    match &request.selection {
        Selection::All => {
            Ok(store.lineages()?.map(|lineage| lineage.map_or_else(broken, |one| read(&one, request))).collect())
        }
        Selection::One(name) => match store.lineage(name) {
            Ok(Some(lineage)) => Ok(vec![read(&lineage, request)]),
            Ok(None) => Err(RunError::NoSuchLineage(name.clone())),
            Err(lineage) => Ok(vec![broken(lineage)]),
        },
        Selection::Obtain { name, identifiers } => match store.lineage(name) {
            Ok(Some(lineage)) => Ok(vec![read(&lineage, request)]),
            Ok(None) => {
                let conf = RenewalConf::new(&request.edits)
                    .map_err(|error| RunError::Broken { name: name.clone(), reason: error.to_string() })?;
                let paths = store.paths();
                let live_dir = paths.live(name);
                Ok(vec![Seen::Usable(Box::new(Subject {
                    name: name.clone(),
                    conf_path: paths.conf(name),
                    fullchain: live_dir.join(Kind::Fullchain.live_file()),
                    live_dir,
                    conf,
                    is_new: true,
                    live_version: None,
                    replaced_authority: AuthorityKind::Unknown,
                    certificate: None,
                    identifiers: identifiers.clone(),
                    key_in_use: None,
                    key_to_leave: None,
                    dead: None,
                }))])
            }
            Err(lineage) => Err(RunError::Broken { name: name.clone(), reason: lineage.reason.to_string() }),
        },
    }
}

fn read(lineage: &Lineage, request: &Request) -> Seen {
    match Subject::read(lineage, request) {
        Ok(subject) => Seen::Usable(Box::new(subject)),
        Err(reason) => {
            Seen::Broken(Box::new(broken_entry(lineage.name().to_string(), lineage.conf_path().to_owned(), reason)))
        }
    }
}

fn broken(lineage: BrokenLineage) -> Seen {
    Seen::Broken(Box::new(broken_entry(lineage.name, lineage.conf_path, lineage.reason.to_string())))
}

fn broken_entry(name: String, conf_path: PathBuf, reason: String) -> ReportEntry {
    ReportEntry::new(name, conf_path, Outcome::Broken { reason })
}
