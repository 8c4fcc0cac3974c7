//! The lineages of one CA: what it advises, what is due, the attempts.

use std::collections::BTreeSet;
use std::sync::Arc;

use certkit_core::decision::DueReason;
use certkit_core::decision::limits::OrderKind;
use certkit_core::state::{DeployTarget, Event};
use certkit_core::store::StoreError;
use certkit_core::{AcmeUrl, Failure, FailureClass, Finding, LineageName, PlanEntry, Step, decide};
use futures_util::future::join_all;

use super::attempt::Achieved;
use super::deploying::Deployment;
use super::inventory::Saving;
use super::job::Job;
use super::report::{Outcome, ReportEntry};
use super::run::{Run, line};
use super::subject::Subject;
use super::{Mode, RunError, Urgency, advice};
use crate::BoxFuture;
use crate::deploy::{HookStage, is_file};

/// The lineages that have their certificates from one CA.
pub(super) struct Group<'a> {
    pub(super) run: &'a Run<'a>,
    pub(super) subjects: Vec<Arc<Subject>>,
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
    pub(super) attempted: Vec<LineageName>,
}

/// A lineage whose turn it is, with what has to receive its new version.
struct Work {
    job: Job,
    targets: Vec<DeployTarget>,
}

enum Settled {
    Work(Box<Work>),
    Done(Box<ReportEntry>),
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
    pub(super) async fn perform(self) -> Result<Progress, RunError> {
        let run = self.run;
        let mut progress = Progress::default();
        self.take_advice(&mut progress).await?;
        let mut works = Vec::new();
        // What is nearest to its end goes first, and gets what is left of the CA's limits.
        let mut entries: Vec<(PlanEntry, Arc<Subject>)> =
            run.plan(&self.subjects).await.entries.into_iter().zip(self.subjects.iter().cloned()).collect();
        entries.sort_by_key(|(_, subject)| subject.not_after());
        for (entry, subject) in entries {
            progress.findings.extend(entry.due.findings.iter().cloned());
            match self.settle(entry, subject).await? {
                Settled::Work(work) => works.push(*work),
                Settled::Done(entry) => progress.entries.push(*entry),
            }
        }
        if !works.is_empty() {
            self.attempt_all(&works, &mut progress).await?;
        }
        Ok(progress)
    }

    /// Asks the CA, where a run asks at all: what the owner forces needs no advice, and a dry run is about something else.
    async fn take_advice(&self, progress: &mut Progress) -> Result<(), StoreError> {
        let run = self.run;
        if run.request.mode != Mode::Real || run.request.urgency != Urgency::WhenDue {
            return Ok(());
        }
        let subjects: Vec<&Subject> = self.subjects.iter().map(Arc::as_ref).collect();
        let asked = advice::to_ask(run.inventory, &subjects, run.inventory.now());
        for (directory, asked) in asked {
            progress.findings.extend(advice::ask(run.workshop, &directory, asked).await?);
        }
        Ok(())
    }

    /// Turns a plan's entry into work or into its line of the report.
    async fn settle(&self, entry: PlanEntry, subject: Arc<Subject>) -> Result<Settled, StoreError> {
        let run = self.run;
        let outcome = match entry.step {
            Step::Attempt { because, .. } => {
                return match self.prepare(Arc::clone(&subject), because) {
                    Ok(work) => Ok(Settled::Work(Box::new(work))),
                    Err(failure) => {
                        let event = Event::AttemptFailed { failure: failure.clone() };
                        run.inventory.record(&subject.name, event).await?;
                        Ok(Settled::Done(Box::new(run.failed(&subject, failure))))
                    }
                };
            }
            Step::Held { until, by, .. } => Outcome::Held { until, by },
            Step::NotDue { until, because } => Outcome::NotDue { at: until, reason: because },
            _ => {
                let what = "the plan holds a step that this version does not know";
                let failure = Failure::new(FailureClass::Bug, what);
                return Ok(Settled::Done(Box::new(run.failed(&subject, failure))));
            }
        };
        Ok(Settled::Done(Box::new(line(&subject, outcome))))
    }

    fn prepare(&self, subject: Arc<Subject>, because: DueReason) -> Result<Work, Failure> {
        let targets = self.run.targets(&subject);
        let mut job = Job::resolve(subject, because, self.run.request)?;
        job.shares_a_name = job.subject.identifiers.iter().any(|name| self.shared.contains(&name.to_string()));
        Ok(Work { job, targets })
    }

    /// Pre hooks, then all attempts, a bounded number at once; and what the CA says of the new certificates.
    async fn attempt_all(&self, works: &[Work], progress: &mut Progress) -> Result<(), RunError> {
        let run = self.run;
        let commands = |stage: HookStage| -> Vec<String> {
            works.iter().filter_map(|work| work.job.subject.hook(stage).cloned()).collect()
        };
        progress.post_commands = commands(HookStage::Post);
        progress.attempted = works.iter().map(|work| work.job.subject.name.clone()).collect();
        let pre = run.hooks.pre(&commands(HookStage::Pre)).await;
        // Boxed one by one and collected first: otherwise the compiler cannot see that the whole run is `Send`.
        let mut attempts: Vec<BoxFuture<'_, (ReportEntry, Result<(), StoreError>)>> = Vec::new();
        for work in works {
            let refused = pre.failure_for(work.job.subject.hook(HookStage::Pre));
            attempts.push(Box::pin(async move {
                // The semaphore is never closed; without it the bound is lost and nothing else.
                let _turn = run.orders.acquire().await;
                self.attempt_one(work, refused).await
            }));
        }
        let mut unrecorded = None;
        for (entry, recorded) in join_all(attempts).await {
            let names = match entry.outcome {
                Outcome::Renewed { .. } | Outcome::Simulated => &mut progress.renewed,
                _ => &mut progress.failed,
            };
            names.extend(entry.identifiers.iter().map(ToString::to_string));
            progress.entries.push(entry);
            unrecorded = unrecorded.or_else(|| recorded.err());
        }
        if let Some(error) = unrecorded {
            return Err(error.into());
        }
        // RFC 9773 section 4.3: right after the issuance, so that the first window is known.
        for (directory, asked) in run.workshop.issued_now().await {
            let _ = advice::ask(run.workshop, &directory, asked).await?;
        }
        Ok(())
    }

    async fn attempt_one(&self, work: &Work, refused: Option<Failure>) -> (ReportEntry, Result<(), StoreError>) {
        let run = self.run;
        let subject = &work.job.subject;
        if let Some(failure) = refused {
            let event = Event::AttemptFailed { failure: failure.clone() };
            let recorded = run.inventory.record(&subject.name, event).await;
            return (run.failed(subject, failure), recorded);
        }
        if run.stop.reason().is_some() {
            return (run.failed(subject, crate::issuing::interrupted()), Ok(()));
        }
        let mut last: Option<(AcmeUrl, Failure)> = None;
        loop {
            // Asked again right before: other lineages may have used up what there was, and a CA that failed a moment ago
            // may have to make place for the next one.
            let (directory, kind) = match self.choose(work).await {
                Ok(choice) => choice,
                Err(held) => {
                    let entry = match last {
                        Some((_, failure)) => run.failed(subject, failure),
                        None => line(subject, held),
                    };
                    return (entry, Ok(()));
                }
            };
            if let Some((tried, failure)) = &last
                && *tried == directory
            {
                return (run.failed(subject, failure.clone()), Ok(()));
            }
            let job = work.job.at(&directory, kind);
            match run.workshop.attempt(&job, &work.targets).await {
                Ok(achieved) => return self.deploy(work, achieved).await,
                Err(failure) => {
                    if let Err(error) = run.inventory.save_ledger(Saving::WhenSmall).await {
                        return (run.failed(subject, failure), Err(error));
                    }
                    last = Some((directory, failure));
                }
            }
            if run.request.mode != Mode::Real || run.stop.reason().is_some() {
                let failure = last.map_or_else(crate::issuing::interrupted, |(_, failure)| failure);
                return (run.failed(subject, failure), Ok(()));
            }
        }
    }

    /// Which CA is asked now, and what the ledger is to know of it.
    async fn choose(&self, work: &Work) -> Result<(AcmeUrl, OrderKind), Outcome> {
        let run = self.run;
        if run.request.mode != Mode::Real {
            return Ok((work.job.directory.clone(), OrderKind::New));
        }
        let inputs = run.inputs(std::slice::from_ref(&work.job.subject)).await;
        let Some(input) = inputs.first() else { return Ok((work.job.directory.clone(), OrderKind::New)) };
        let (outlook, now) = (run.outlook, run.inventory.now());
        run.inventory.ledger(|ledger| {
            let entry = decide(input, ledger, outlook, now);
            match entry.step {
                Step::Attempt { directory, kind, .. } => {
                    let directory = directory.unwrap_or_else(|| work.job.directory.clone());
                    let scope = input.authorities.iter().find(|scope| scope.directory == directory);
                    if let Some(scope) = scope.filter(|_| !input.order_under_way) {
                        ledger.ordered(scope, kind, now);
                    }
                    Ok((directory, kind))
                }
                Step::Held { until, by, .. } => Err(Outcome::Held { until, by }),
                // It was due a moment ago: what made it so holds for this attempt.
                _ => Ok((work.job.directory.clone(), OrderKind::New)),
            }
        })
    }

    async fn deploy(&self, work: &Work, achieved: Achieved) -> (ReportEntry, Result<(), StoreError>) {
        let run = self.run;
        let subject = &work.job.subject;
        match achieved {
            Achieved::Committed { version, not_after } => {
                let deployment = Deployment { inventory: run.inventory, subject, version };
                let deployed = run.hooks.deploy(&deployment, &work.targets).await.map(drop);
                (line(subject, Outcome::Renewed { version, not_after }), deployed)
            }
            Achieved::Simulated => {
                let run_hooks = matches!(run.request.mode, Mode::DryRun { run_deploy_hooks: true });
                // Hooks can be tried; files that servers read are not written for a trial.
                let hooks: Vec<DeployTarget> = work.targets.iter().filter(|target| !is_file(target)).cloned().collect();
                let deployed = match subject.live_version {
                    Some(version) if run_hooks => {
                        let deployment = Deployment { inventory: run.inventory, subject, version };
                        run.hooks.deploy(&deployment, &hooks).await.map(drop)
                    }
                    _ => Ok(()),
                };
                (line(subject, Outcome::Simulated), deployed)
            }
        }
    }
}
