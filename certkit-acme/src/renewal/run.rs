//! The run as a whole.

use std::sync::{Arc, Mutex, PoisonError};

use certkit_core::settings::Settings;
use certkit_core::state::{DeployTarget, Event, LineageState, RunMemory, SharedState};
use certkit_core::store::{Recovered, StoreError, StorePaths};
use certkit_core::words::STILL_THE_OLD_ONE;
use certkit_core::{Failure, FailureClass, Finding, FindingCode, LineageName, Outlook, Plan, PlanInput, plan};

use super::attempt::Workshop;
use super::deploying::Hooks;
use super::group::Turns;
use super::inventory::{Inventory, Saving};
use super::planning::{cadence, input, machine};
use super::report::{Outcome, Report, ReportEntry};
use super::subject::{Subject, directory_targets};
use super::{Mode, Renewer, Request, RunError, Selection, Urgency};
use crate::accounts::{RecoveredRollover, RolloverEnd};
use crate::blocking::blocking;
use crate::deploy::HookStage;
use crate::notify::Beat;
use crate::{Stop, accounts};

impl Renewer {
    /// Asks the CAs what they advise, renews what is to be renewed, deploys it, and tells everything. Other lineages go
    /// on when one fails, and other CAs when one is down. Where the settings cannot be used nothing is ordered, and that is
    /// told by the channels that can be read; where the store cannot be used, by all.
    pub async fn run(&self, request: Request, stop: &Stop) -> Result<Report, RunError> {
        let settings = match self.effective_settings().await {
            Err(RunError::Settings(error)) => {
                self.tell_of_unusable(&error, &request).await;
                return Err(error.into());
            }
            settings => settings?,
        };
        // That it could not be called is told by the call at the end.
        let _ = self.beat(&settings, &request, Beat::Start).await;
        match self.run_locked(&request, settings.clone(), stop).await {
            Ok(report) if report.stopped.is_some() => Ok(report),
            Ok(mut report) => {
                self.beat_after(&settings, &request, &mut report).await;
                Ok(report)
            }
            Err(error) => {
                self.tell_of_hindrance(&error, &settings, &request).await;
                Err(error)
            }
        }
    }

    /// While nobody else changes the store.
    async fn run_locked(&self, request: &Request, settings: Settings, stop: &Stop) -> Result<Report, RunError> {
        let now = self.clock.now();
        let inventory = Inventory::lock(
            &self.store,
            request.mode,
            Arc::clone(&self.observer),
            Arc::clone(&self.clock),
            self.live_switch,
        )
        .await?;
        let mut report = Report::new(now, inventory.is_dry_run());
        let outlook = self.outlook(&inventory, request, &settings, &mut report).await?;
        let machine = self.machine(&inventory).await?;
        let commands = self.commands_by(&settings);
        let hooks = Hooks::new(self.observer.as_ref(), &commands, hook_dirs(self.store.paths()), request);
        let workshop = Workshop::new(self, &inventory, &commands, stop);
        let run = Run {
            renewer: self,
            inventory: &inventory,
            request,
            stop,
            hooks: &hooks,
            workshop: &workshop,
            outlook: &outlook,
            machine: &machine,
            directory: self.directory_targets(request).await,
            settings: &settings,
            turns: Turns::new(request.parallel_orders.unwrap_or(settings.parallel_orders.value)),
        };
        let made_live = run.recover(&mut report).await?;
        run.recover_account_keys(&mut report).await?;
        let members = run.look_for_what_is_due(&made_live, &mut report).await?;
        run.perform(members, &mut report).await;
        report.join_causes();
        self.tell_what_is_still_in_use(&mut report).await;
        report.findings.extend(workshop.into_told());
        report.hooks = hooks.into_runs();
        report.stopped = stop.reason();
        if is_regular(request) && report.stopped.is_none() {
            inventory.ledger(|ledger| ledger.run_ended(RunMemory::new(inventory.now(), report.is_success())));
        }
        if let Err(error) = inventory.save_ledger(Saving::Always).await {
            report.unrecorded = Some(self.trouble_after_run(&error).await);
        }
        // A run that was asked to stop ends now: the next one tells what there is to tell.
        if !inventory.is_dry_run() && report.stopped.is_none() {
            let told = self.tell_of_run(&inventory, &settings, request, report.unrecorded.clone()).await;
            report.findings.extend(told);
        }
        if let Some(unrecorded) = report.unrecorded.as_ref().filter(|one| !report.findings.contains(one)) {
            report.findings.push(unrecorded.clone());
        }
        report.findings.extend(self.write_textfile(&settings, request).await);
        report.sort();
        Ok(report)
    }

    /// An owner who reads that the disk is full asks first whether the server still has a certificate.
    async fn tell_what_is_still_in_use(&self, report: &mut Report) {
        let of_the_store = |entry: &&mut ReportEntry| matches!(&entry.outcome, Outcome::Failed { failure, .. } if failure.class == FailureClass::Store);
        for entry in report.entries.iter_mut().filter(of_the_store) {
            let (store, name) = (self.store.clone(), entry.name.parse::<LineageName>());
            let live = blocking(move || {
                let lineage = store.lineage(&name.ok()?).ok()??;
                Some(lineage.certificate().ok()?.validity().not_after)
            });
            let is_the_old_one = live.await.is_some_and(|not_after| entry.not_after == Some(not_after));
            if let Outcome::Failed { failure, .. } = &mut entry.outcome
                && is_the_old_one
                && !failure.detail.contains(STILL_THE_OLD_ONE)
            {
                failure.detail = format!("{}; {STILL_THE_OLD_ONE}", failure.detail);
            }
        }
    }

    /// What was asked of the CAs, and how often runs come. A run of everything that is due counts as one of those.
    async fn outlook(
        &self,
        inventory: &Inventory,
        request: &Request,
        settings: &Settings,
        report: &mut Report,
    ) -> Result<Outlook, RunError> {
        if inventory.is_dry_run() {
            return Ok(Outlook::default());
        }
        report.findings.extend(inventory.load_ledger().await?);
        if is_regular(request) {
            inventory.ledger(|ledger| ledger.run_began(inventory.now()));
        }
        inventory.save_ledger(Saving::Always).await?;
        let ledger = inventory.ledger(|ledger| ledger.clone());
        let cadence = cadence(request, settings, &ledger);
        Ok(Outlook::new(ledger, cadence))
    }

    pub(super) async fn directory_targets(&self, request: &Request) -> Vec<DeployTarget> {
        let (store, request) = (self.store.clone(), request.clone());
        blocking(move || directory_targets(&request, store.paths())).await
    }

    /// What differs between machines. Where there is no id of the machine a random number is stored, once.
    async fn machine(&self, inventory: &Inventory) -> Result<Vec<u8>, RunError> {
        let store = self.store.clone();
        let mut known = blocking(move || machine(&store)).await?;
        if known.is_empty() && !inventory.is_dry_run() {
            let mut random = vec![0; 32];
            aws_lc_rs::rand::fill(&mut random)
                .map_err(|_| Failure::new(FailureClass::Bug, "the system gives no random numbers"))?;
            known.clone_from(&random);
            let locked = Arc::clone(inventory.locked());
            blocking(move || locked.save_seed(&random)).await?;
        }
        Ok(known)
    }
}

/// Whether it is one of those that come again and again, for everything that is due.
pub(super) fn is_regular(request: &Request) -> bool {
    matches!(request.selection, Selection::All) && request.urgency == Urgency::WhenDue && request.mode == Mode::Real
}

/// What one run works with.
pub(super) struct Run<'a> {
    pub(super) renewer: &'a Renewer,
    pub(super) inventory: &'a Inventory,
    pub(super) request: &'a Request,
    pub(super) stop: &'a Stop,
    pub(super) hooks: &'a Hooks<'a>,
    pub(super) workshop: &'a Workshop<'a>,
    pub(super) outlook: &'a Outlook,
    pub(super) machine: &'a [u8],
    /// The deploy hooks of the directory, as they were when the run began.
    pub(super) directory: Vec<DeployTarget>,
    pub(super) settings: &'a Settings,
    pub(super) turns: Turns,
}

impl Run<'_> {
    /// Puts right what interrupted runs left. Versions that became live by it have not been deployed by anybody.
    pub(super) async fn recover(&self, report: &mut Report) -> Result<Vec<LineageName>, RunError> {
        let mut made_live = Vec::new();
        for recovered in self.inventory.recover(Arc::clone(&self.renewer.math)).await? {
            report.findings.push(told(&recovered));
            if let (Some(name), Some(_)) = (recovered.name, recovered.made_live) {
                made_live.push(name);
            }
        }
        Ok(made_live)
    }

    /// Ends the changes of account keys that earlier runs had begun. The CA has the last word on which key of an account
    /// counts; without its answer nothing is decided, and the run goes on.
    async fn recover_account_keys(&self, report: &mut Report) -> Result<(), StoreError> {
        if self.inventory.is_dry_run() {
            return Ok(());
        }
        let (locked, now) = (self.inventory.locked(), self.inventory.now());
        let patience = self.renewer.account_key_patience;
        let told = Mutex::new(Vec::new());
        // What is over when the others are not waited for any longer is told all the same.
        let tell = |one: RecoveredRollover| {
            told.lock().unwrap_or_else(PoisonError::into_inner).push(told_of_rollover(&one));
        };
        let unfinished = tokio::select! {
            biased;
            _ = self.stop.stopped() => Some("the run was asked to stop".to_owned()),
            recovered = accounts::recover_rollovers_telling(locked, &self.renewer.transport, now, &tell) => {
                recovered?;
                None
            }
            () = tokio::time::sleep(patience) => {
                Some(format!("its CA was not waited for longer than {} seconds", patience.as_secs()))
            }
        };
        report.findings.extend(told.into_inner().unwrap_or_else(PoisonError::into_inner));
        let Some(why) = unfinished else { return Ok(()) };
        let store = locked.store().clone();
        let (left, _) = blocking(move || store.rollovers()).await?;
        // One whose CA has answered and did not end it has its own words.
        let told = left.iter().map(|one| Finding::new(FindingCode::AccountKeyPending, &one.old_id, &why));
        let is_told =
            |one: &Finding| report.findings.iter().any(|told| told.subject == one.subject && told.code == one.code);
        let told: Vec<Finding> = told.filter(|one| !is_told(one)).collect();
        report.findings.extend(told);
        Ok(())
    }

    pub(super) async fn remember(
        &self,
        subject: &mut Subject,
        read: Result<(LineageState, Option<Finding>), StoreError>,
        made_live_by_recovery: bool,
    ) -> Result<Option<Finding>, StoreError> {
        let (state, finding) = read?;
        let state = self.inventory.take_state(&subject.name, state);
        self.notice_foreign_changes(subject, &state, made_live_by_recovery).await?;
        let now = self.inventory.now();
        if !self.inventory.is_dry_run() {
            if let Some(wish) = subject.wish_to_record(self.request, now) {
                self.inventory.record(&subject.name, Event::WishRecorded { wish }).await?;
            } else if matches!(self.request.selection, Selection::Obtain { .. })
                && state.wish.as_ref().is_some_and(|wish| wish.is_about_names_alone())
            {
                // What is asked for now is what there is: the owner does not wish for anything else any more.
                self.inventory.record(&subject.name, Event::WishFulfilled).await?;
            }
        }
        if !matches!(self.request.selection, Selection::Obtain { .. }) {
            subject.take_wish(&self.inventory.state(&subject.name), now);
        }
        Ok(finding)
    }

    /// The version found live at first, or that another tool installed, counts as deployed: no hook runs for it. For one that
    /// was made live again they run again.
    async fn notice_foreign_changes(
        &self,
        subject: &Subject,
        state: &LineageState,
        made_live_by_recovery: bool,
    ) -> Result<(), StoreError> {
        let (Some(version), false) = (subject.live_version, self.inventory.is_dry_run()) else { return Ok(()) };
        if state.knows(version) {
            if made_live_by_recovery {
                // Servers have met something else in between, or nothing that they could load.
                let targets = self.targets(subject);
                if !targets.is_empty() {
                    let repeated = Event::DeployRepeated { version, targets };
                    self.inventory.record(&subject.name, repeated).await?;
                }
                self.inventory.forget_made_live(&subject.name, version).await?;
            }
            return Ok(());
        }
        let serial = subject.certificate.as_ref().map(|certificate| certificate.serial().certbot_hex());
        let issued_by_us = serial.is_some() && serial == state.issued_serial;
        if made_live_by_recovery || issued_by_us {
            // A crash came between the switch and its record: the order is done, deploying is not.
            let ordered = self.inventory.pending(&subject.name).await?.filter(|_| issued_by_us);
            self.inventory.drop_pending(&subject.name).await?;
            let committed = Event::Committed {
                version,
                not_after: subject.not_after().unwrap_or_default(),
                directory: state.attempted_directory.clone().filter(|_| issued_by_us),
                targets: self.targets(subject),
                profile: ordered.map_or_else(|| state.issued_profile.clone(), |pending| pending.order.profile),
                left_out: state.left_out.clone(),
            };
            return self.inventory.record(&subject.name, committed).await;
        }
        let event = match state.deployed_version {
            None => Event::FirstSeen { version },
            Some(_) => Event::ChangedElsewhere { version },
        };
        self.inventory.record(&subject.name, event).await
    }

    pub(super) fn targets(&self, subject: &Subject) -> Vec<DeployTarget> {
        subject.deploy_targets(&self.directory)
    }

    /// What a plan has to know of these lineages.
    pub(super) async fn inputs(&self, subjects: &[Arc<Subject>]) -> Vec<PlanInput> {
        let (store, request) = (self.renewer.store.clone(), self.request.clone());
        let machine = self.machine.to_vec();
        let known: Vec<(Arc<Subject>, SharedState)> =
            subjects.iter().map(|subject| (Arc::clone(subject), self.inventory.state(&subject.name))).collect();
        blocking(move || {
            known.into_iter().map(|(subject, state)| input(&store, &subject, &request, state, &machine)).collect()
        })
        .await
    }

    /// The plan for some lineages, with what the CAs were asked for until now.
    pub(super) async fn plan(&self, subjects: &[Arc<Subject>]) -> Plan {
        let outlook = Outlook::new(self.inventory.ledger(|ledger| ledger.clone()), self.outlook.cadence);
        plan(self.inputs(subjects).await, &outlook, self.inventory.now())
    }

    /// Records a failure that came before an attempt. It is what matters to the owner; a state that cannot be written is
    /// told besides.
    pub(super) async fn fail(&self, subject: &Subject, mut failure: Failure) -> ReportEntry {
        let event = Event::AttemptFailed { failure: failure.clone() };
        if let Err(error) = self.inventory.record(&subject.name, event).await {
            failure.detail = format!("{}; it could not be recorded either: {error}", failure.detail);
        }
        self.failed(subject, failure)
    }

    pub(super) fn failed(&self, subject: &Subject, failure: Failure) -> ReportEntry {
        let next_attempt = if self.inventory.is_dry_run() {
            None
        } else {
            let validity = subject.certificate.as_ref().map(|certificate| certificate.validity());
            let state = self.inventory.state(&subject.name);
            let directory = state.attempted_directory.clone();
            state.held_until(directory.as_ref(), validity).map(|(until, _)| until)
        };
        line(subject, Outcome::Failed { failure, next_attempt })
    }
}

/// What recovery found, as it stands after recovery.
pub(super) fn told(recovered: &Recovered) -> Finding {
    let found = &recovered.finding;
    match (found.code, recovered.made_live) {
        // It was put right by a repair before, which ran no hooks.
        (FindingCode::DeployPending, Some(_)) => found.clone().with_cure("certkit deploy --cert-name NAME"),
        (_, Some(_)) => Finding::new(FindingCode::PutRight, &found.subject, found.what()),
        (FindingCode::NewerVersionNotLive, None) => {
            Finding::new(FindingCode::NewerVersionUnusable, &found.subject, &found.evidence)
        }
        _ => found.clone(),
    }
}

/// What became of a change of an account's key that an earlier run had begun.
fn told_of_rollover(recovered: &RecoveredRollover) -> Finding {
    let (code, evidence) = match &recovered.result {
        Ok(RolloverEnd::Finished { id }) => (FindingCode::PutRight, format!("its key is the new one, its id is {id}")),
        Ok(RolloverEnd::Dropped) => (FindingCode::PutRight, "its key is still the old one".to_owned()),
        Ok(RolloverEnd::Waiting { until }) => {
            (FindingCode::AccountKeyPending, format!("it is looked at again after {until}"))
        }
        Err(failure) => (FindingCode::AccountKeyPending, failure.detail.clone()),
    };
    Finding::new(code, &recovered.account, evidence)
}

/// What could not be recorded is a failure of the lineage, whatever else happened to it.
pub(super) fn tell_unrecorded(inventory: &Inventory, name: &LineageName, entry: &mut ReportEntry) {
    let Some(mut failure) = inventory.unrecorded(name) else { return };
    match &entry.outcome {
        Outcome::Failed { .. } | Outcome::Broken { .. } => return,
        Outcome::Renewed { version, .. } | Outcome::Deployed { version } => {
            failure.detail = format!("version {version} is live, but not all of it is recorded: {}", failure.detail);
        }
        _ => {}
    }
    entry.outcome = Outcome::Failed { failure, next_attempt: None };
}

pub(super) fn line(subject: &Subject, outcome: Outcome) -> ReportEntry {
    let mut entry = ReportEntry::new(subject.name.to_string(), subject.conf_path.clone(), outcome);
    entry.fullchain = Some(subject.fullchain.clone());
    entry.identifiers = subject.identifiers.clone();
    entry.not_after = subject.not_after();
    entry
}

/// The directories of pre, deploy and post hooks.
pub(super) fn hook_dirs(paths: &StorePaths) -> [std::path::PathBuf; 3] {
    [HookStage::Pre, HookStage::Deploy, HookStage::Post].map(|stage| hook_dir(paths, stage))
}

pub(super) fn hook_dir(paths: &StorePaths, stage: HookStage) -> std::path::PathBuf {
    paths.hook_dir(match stage {
        HookStage::Pre => "pre",
        HookStage::Deploy => "deploy",
        HookStage::Post => "post",
    })
}
