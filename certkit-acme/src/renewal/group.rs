//! The lineages of one CA: what it advises, what is due, the attempts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use certkit_core::decision::DueReason;
use certkit_core::decision::limits::OrderKind;
use certkit_core::state::DeployTarget;
use certkit_core::{AcmeUrl, Failure, FailureClass, Finding, LineageName, PlanEntry, Step, decide};
use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::attempt::Achieved;
use super::deploying::{Deployment, PreHooks};
use super::idle::Member;
use super::inventory::Saving;
use super::job::Job;
use super::report::{Outcome, ReportEntry};
use super::run::{Run, line};
use super::subject::Subject;
use super::{Mode, Urgency, advice};
use crate::BoxFuture;
use crate::deploy::{HookStage, is_file};

/// Bounds the orders at once at each CA: one that is slow keeps no other waiting.
pub(super) struct Turns {
    at_once: usize,
    by_directory: std::sync::Mutex<BTreeMap<AcmeUrl, Arc<Semaphore>>>,
}

/// The lineages that have their certificates from one CA.
pub(super) struct Group<'a> {
    pub(super) run: &'a Run<'a>,
    pub(super) members: Vec<Member>,
    /// Names that other lineages of the run cover too.
    pub(super) shared: &'a BTreeSet<String>,
}

/// What has come of some lineages.
#[derive(Default)]
pub(super) struct Progress {
    pub(super) entries: Vec<ReportEntry>,
    pub(super) findings: Vec<Finding>,
    /// The post hooks of the confs of those that were attempted.
    pub(super) post_commands: Vec<String>,
    /// Identifiers.
    pub(super) renewed: Vec<String>,
    /// Identifiers.
    pub(super) failed: Vec<String>,
    pub(super) attempted: BTreeSet<LineageName>,
}

enum Settled {
    Attempt(Box<Job>),
    Done(Box<ReportEntry>),
}

impl Turns {
    pub(super) fn new(at_once: usize) -> Self {
        Self { at_once: at_once.max(1), by_directory: std::sync::Mutex::default() }
    }

    /// Waits for a turn at a CA. The semaphore is never closed; without it the bound is lost and nothing else.
    async fn at(&self, directory: &AcmeUrl) -> Option<OwnedSemaphorePermit> {
        let semaphore = {
            let mut semaphores = self.by_directory.lock().unwrap_or_else(PoisonError::into_inner);
            let semaphore =
                semaphores.entry(directory.clone()).or_insert_with(|| Arc::new(Semaphore::new(self.at_once)));
            Arc::clone(semaphore)
        };
        semaphore.acquire_owned().await.ok()
    }
}

impl Progress {
    pub(super) fn merge(&mut self, other: Self) {
        self.entries.extend(other.entries);
        self.findings.extend(other.findings);
        self.post_commands.extend(other.post_commands);
        self.renewed.extend(other.renewed);
        self.failed.extend(other.failed);
        self.attempted.extend(other.attempted);
    }

    pub(super) fn has_attempted(&self, name: &LineageName) -> bool {
        self.attempted.contains(name)
    }
}

impl Group<'_> {
    /// A store that fails meanwhile fails the lineages that it concerns; nothing keeps the others from their turn.
    pub(super) async fn perform(self) -> Progress {
        let run = self.run;
        let mut progress = Progress::default();
        self.take_advice(&mut progress).await;
        let mut works = Vec::new();
        let subjects = run.to_plan(&self.members, &mut progress.entries).await;
        // What the plan gave what is left of the CA's limits goes first.
        let mut entries: Vec<(PlanEntry, Arc<Subject>)> =
            run.plan(&subjects).await.entries.into_iter().zip(subjects).collect();
        let now = run.inventory.now();
        entries.sort_by_key(|(_, subject)| urgency(subject, now));
        for (entry, subject) in entries {
            progress.findings.extend(entry.due.findings.iter().cloned());
            match self.settle(entry, subject).await {
                Settled::Attempt(work) => works.push(*work),
                Settled::Done(entry) => progress.entries.push(*entry),
            }
        }
        if !works.is_empty() {
            self.attempt_all(&works, &mut progress).await;
        }
        progress
    }

    /// Asks the CA, where a run asks at all: what the owner forces needs no advice, and a dry run is about something else.
    async fn take_advice(&self, progress: &mut Progress) {
        let run = self.run;
        if run.request.mode != Mode::Real || run.request.urgency != Urgency::WhenDue {
            return;
        }
        let asked = advice::to_ask(run.inventory, &self.members, run.inventory.now());
        self.ask(asked, progress).await;
    }

    /// Asks the CAs. An answer that cannot be kept is told: the run goes on with what is known.
    async fn ask(&self, asked: BTreeMap<AcmeUrl, Vec<advice::Asked>>, progress: &mut Progress) {
        for (directory, asked) in asked {
            progress.findings.extend(advice::ask(self.run.workshop, &directory, asked).await);
        }
    }

    /// Turns a plan's entry into work or into its line of the report.
    async fn settle(&self, entry: PlanEntry, subject: Arc<Subject>) -> Settled {
        let run = self.run;
        let outcome = match entry.step {
            Step::Attempt { because, .. } => {
                return match self.prepare(Arc::clone(&subject), because) {
                    Ok(job) => Settled::Attempt(Box::new(job)),
                    Err(failure) => Settled::Done(Box::new(run.fail(&subject, failure).await)),
                };
            }
            Step::Held { until, by, .. } => Outcome::Held { until, by },
            Step::NotDue { until, because } => Outcome::NotDue { at: until, reason: because },
            _ => {
                let what = "the plan holds a step that this version does not know";
                let failure = Failure::new(FailureClass::Bug, what);
                return Settled::Done(Box::new(run.failed(&subject, failure)));
            }
        };
        Settled::Done(Box::new(line(&subject, outcome)))
    }

    fn prepare(&self, subject: Arc<Subject>, because: DueReason) -> Result<Job, Failure> {
        let mut job = Job::resolve(subject, because, self.run.request)?;
        job.shares_a_name = job.subject.identifiers.iter().any(|name| self.shared.contains(&name.to_string()));
        Ok(job)
    }

    /// Pre hooks, then all attempts, a bounded number at once; and what the CA says of the new certificates.
    async fn attempt_all(&self, works: &[Job], progress: &mut Progress) {
        let run = self.run;
        let commands = |stage: HookStage| -> Vec<String> {
            works.iter().filter_map(|work| work.subject.hook(stage).map(str::to_owned)).collect()
        };
        progress.post_commands = commands(HookStage::Post);
        progress.attempted = works.iter().map(|work| work.subject.name.clone()).collect();
        let pre = run.hooks.pre(&commands(HookStage::Pre)).await;
        // Boxed one by one and collected first: otherwise the compiler cannot see that the whole run is `Send`.
        let mut attempts: Vec<BoxFuture<'_, ReportEntry>> = Vec::with_capacity(works.len());
        for work in works {
            attempts.push(Box::pin(self.attempt_one(work, &pre)));
        }
        for entry in join_all(attempts).await {
            let names = match entry.outcome {
                Outcome::Renewed { .. } | Outcome::Simulated => &mut progress.renewed,
                _ => &mut progress.failed,
            };
            names.extend(entry.identifiers.iter().map(ToString::to_string));
            progress.entries.push(entry);
        }
        // RFC 9773 section 4.3: right after the issuance, so that the first window is known.
        let mut of_new = Progress::default();
        self.ask(run.workshop.issued_now().await, &mut of_new).await;
    }

    /// Waits for its turn. All that an attempt needs room for is made only then, for a thousand may wait.
    async fn attempt_one(&self, work: &Job, pre: &PreHooks) -> ReportEntry {
        let turn = self.run.turns.at(&work.directory).await;
        let attempt: BoxFuture<'_, ReportEntry> = Box::pin(self.attempt_in_turn(work, pre, turn));
        attempt.await
    }

    async fn attempt_in_turn(&self, work: &Job, pre: &PreHooks, mut turn: Option<OwnedSemaphorePermit>) -> ReportEntry {
        let run = self.run;
        let subject = &work.subject;
        let mut at = work.directory.clone();
        if let Some(failure) = pre.failure_for(subject.hook(HookStage::Pre)) {
            return run.fail(subject, failure).await;
        }
        if run.stop.reason().is_some() {
            return run.failed(subject, crate::issuing::interrupted());
        }
        // Looked for now: a pre hook may have put a hook into the directory, which certbot would run, too.
        let targets = subject.deploy_targets(&run.renewer.directory_targets(run.request).await);
        let mut last: Option<(AcmeUrl, Failure)> = None;
        loop {
            // Asked again right before: other lineages may have used up what there was, and a CA that failed a moment ago
            // may have to make place for the next one.
            let (directory, kind) = match self.choose(work).await {
                Ok(choice) => choice,
                Err(held) => {
                    return match last {
                        Some((_, failure)) => run.failed(subject, failure),
                        None => line(subject, held),
                    };
                }
            };
            if let Some((tried, failure)) = &last
                && *tried == directory
            {
                return run.failed(subject, failure.clone());
            }
            if directory != at {
                // Never two turns at once: attempts that wait for each other's would wait for ever.
                drop(turn.take());
                turn = run.turns.at(&directory).await;
                at.clone_from(&directory);
                if run.stop.reason().is_some() {
                    return run.failed(subject, crate::issuing::interrupted());
                }
            }
            let job = work.at(&directory, kind);
            match run.workshop.attempt(&job, &targets).await {
                Ok(achieved) => return self.deploy(work, &targets, achieved).await,
                Err(mut failure) => {
                    if let Err(error) = run.inventory.save_ledger(Saving::WhenSmall).await {
                        failure.detail = format!("{}; it could not be recorded either: {error}", failure.detail);
                        return run.failed(subject, failure);
                    }
                    last = Some((directory, failure));
                }
            }
            if run.request.mode != Mode::Real || run.stop.reason().is_some() {
                let failure = last.map_or_else(crate::issuing::interrupted, |(_, failure)| failure);
                return run.failed(subject, failure);
            }
        }
    }

    /// Which CA is asked now, and what the ledger is to know of it.
    async fn choose(&self, work: &Job) -> Result<(AcmeUrl, OrderKind), Outcome> {
        let run = self.run;
        if run.request.mode != Mode::Real {
            return Ok((work.directory.clone(), OrderKind::New));
        }
        let inputs = run.inputs(std::slice::from_ref(&work.subject)).await;
        let Some(input) = inputs.first() else { return Ok((work.directory.clone(), OrderKind::New)) };
        let (outlook, now) = (run.outlook, run.inventory.now());
        run.inventory.ledger(|ledger| {
            let entry = decide(input, ledger, outlook, now);
            match entry.step {
                Step::Attempt { directory, kind, .. } => {
                    let directory = directory.unwrap_or_else(|| work.directory.clone());
                    let scope = input.authorities.iter().find(|scope| scope.directory == directory);
                    if let Some(scope) = scope.filter(|_| !input.order_under_way) {
                        ledger.ordered(scope, kind, now);
                    }
                    Ok((directory, kind))
                }
                Step::Held { until, by, .. } => Err(Outcome::Held { until, by }),
                // It was due a moment ago: what made it so holds for this attempt.
                _ => Ok((work.directory.clone(), OrderKind::New)),
            }
        })
    }

    /// What cannot be recorded of it is kept for the lineage's line of the report.
    async fn deploy(&self, work: &Job, targets: &[DeployTarget], achieved: Achieved) -> ReportEntry {
        let run = self.run;
        let subject = &work.subject;
        match achieved {
            Achieved::Committed { version, not_after } => {
                let deployment = Deployment { inventory: run.inventory, subject, version };
                let _ = run.hooks.deploy(&deployment, targets).await;
                line(subject, Outcome::Renewed { version, not_after })
            }
            Achieved::Simulated => {
                let run_hooks = matches!(run.request.mode, Mode::DryRun { run_deploy_hooks: true });
                // Hooks can be tried; files that servers read are not written for a trial.
                let hooks: Vec<DeployTarget> = targets.iter().filter(|target| !is_file(target)).cloned().collect();
                if let Some(version) = subject.live_version.filter(|_| run_hooks) {
                    let deployment = Deployment { inventory: run.inventory, subject, version };
                    let _ = run.hooks.deploy(&deployment, &hooks).await;
                }
                line(subject, Outcome::Simulated)
            }
        }
    }
}

/// The plan's own order: the share of the lifetime that is left, in millionths, and then what has no certificate at all.
fn urgency(subject: &Subject, now: DateTime<Utc>) -> i64 {
    match &subject.certificate {
        Some(certificate) => (certificate.validity().remaining_fraction(now) * 1_000_000.0) as i64,
        None => 1_000_001,
    }
}
