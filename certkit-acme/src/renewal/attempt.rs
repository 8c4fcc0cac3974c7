//! One attempt at one lineage, from the CA to the live directory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use certkit_core::state::{DeployTarget, Event};
use certkit_core::store::{CommitError, ConfPlan, ConfValue, Expectations, VerifiedVersion, VerifyError};
use certkit_core::{AcmeUrl, Failure, FailureClass, KeyMath, KeyMathError, Version};
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{Mutex, OnceCell};

use super::inventory::{Inventory, blocking, store_failure};
use super::issue::{Exchange, issue};
use super::job::{Job, authority_kind};
use crate::accounts::Choice;
use crate::challenge::StandaloneServers;
use crate::command::CommandSettings;
use crate::issuing::{GRACE, heeding};
use crate::protocol::{Account, Authority, NewAccount};
use crate::transport::Transport;
use crate::{Stop, accounts};

/// A clock that is further off than this orders nothing: dates could not be judged.
const LARGEST_CLOCK_SKEW: TimeDelta = TimeDelta::hours(24);

/// What the attempts of a run share.
pub(super) struct Workshop<'a> {
    pub(super) inventory: &'a Inventory,
    pub(super) transport: &'a Transport,
    pub(super) math: Arc<dyn KeyMath>,
    pub(super) commands: &'a CommandSettings,
    pub(super) stop: &'a Stop,
    pub(super) servers: StandaloneServers,
    /// Each CA's directory is read once a run; a CA that is down fails its lineages without being asked for each.
    authorities: Mutex<BTreeMap<AcmeUrl, Arc<OnceCell<Connected>>>>,
    /// By directory and wanted id.
    accounts: Mutex<BTreeMap<(AcmeUrl, Option<String>), OpenAccount>>,
    /// What a CA said that holds for everything asked of it: nothing more is asked in this run.
    refusals: Mutex<BTreeMap<AcmeUrl, Failure>>,
    /// Dry runs of lineages that share a name take turns: each gives up authorizations that the other has just earned.
    trial: Mutex<()>,
}

type Connected = Result<Authority, Failure>;

/// An account and its id in the store.
#[derive(Clone)]
pub(super) struct OpenAccount {
    pub(super) account: Account,
    id: String,
}

/// What an attempt achieved.
pub(super) enum Achieved {
    Committed { version: Version, not_after: DateTime<Utc> },
    Simulated,
}

impl<'a> Workshop<'a> {
    pub(super) fn new(
        inventory: &'a Inventory,
        transport: &'a Transport,
        math: Arc<dyn KeyMath>,
        commands: &'a CommandSettings,
        stop: &'a Stop,
    ) -> Self {
        Self {
            inventory,
            transport,
            math,
            commands,
            stop,
            servers: StandaloneServers::new(),
            authorities: Mutex::default(),
            accounts: Mutex::default(),
            refusals: Mutex::default(),
            trial: Mutex::default(),
        }
    }

    /// Issues, verifies and commits. The failure is recorded here.
    pub(super) async fn attempt(&self, job: &Job, targets: &[DeployTarget]) -> Result<Achieved, Failure> {
        let name = &job.subject.name;
        let mut outcome = self.try_once(job, targets).await;
        if let Err(failure) = &mut outcome {
            // The failure is what matters to the owner; a state that cannot be written is told besides.
            if let Err(error) = self.inventory.record(name, Event::AttemptFailed { failure: failure.clone() }).await {
                failure.detail = format!("{}; it could not be recorded either: {error}", failure.detail);
            }
        }
        outcome
    }

    async fn try_once(&self, job: &Job, targets: &[DeployTarget]) -> Result<Achieved, Failure> {
        let name = &job.subject.name;
        let inventory = self.inventory;
        if !inventory.is_dry_run() {
            // What cannot be stored is not ordered.
            inventory.check_committable(name).await.map_err(commit_failure)?;
        }
        let (authenticator, identifiers) = (job.authenticator.clone(), job.subject.identifiers.clone());
        blocking(move || authenticator.preflight(&identifiers)).await?;
        let started =
            Event::AttemptStarted { because: job.because.code().to_owned(), directory: job.directory.clone() };
        inventory.record(name, started).await.map_err(store_failure)?;
        if let Some(refusal) = self.refusals.lock().await.get(&job.directory) {
            return Err(refusal.clone());
        }
        let authority = self.authority(&job.directory).await?;
        self.check_clock(&authority)?;
        let OpenAccount { account, id: account_id } =
            self.account(&authority, &job.directory, job.wanted_account.as_deref()).await?;
        let solver = job.authenticator.solver_stopping(&self.servers, self.commands, self.stop)?;
        let turn = if inventory.is_dry_run() && job.shares_a_name { Some(self.trial.lock().await) } else { None };
        let exchange = Exchange {
            inventory,
            job,
            authority: &authority,
            account: &account,
            solver: solver.as_ref(),
            stop: self.stop,
            has_order: AtomicBool::new(false),
        };
        let issued = match issue(&exchange).await {
            Ok(issued) => issued,
            Err(failure) => {
                // One order's trouble is not that of the others.
                if !exchange.has_order.load(Ordering::Relaxed) && failure.concerns_whole_ca() {
                    self.refusals.lock().await.entry(job.directory.clone()).or_insert_with(|| failure.clone());
                }
                return Err(failure);
            }
        };
        drop(turn);
        let verified = match self.verify(job, issued.chain, issued.key).await {
            Ok(verified) => verified,
            Err(failure) => {
                // The order would deliver the same certificate again for ever: the next attempt makes a new one.
                if !inventory.is_dry_run() {
                    inventory.drop_pending(name).await.map_err(store_failure)?;
                }
                return Err(failure);
            }
        };
        if inventory.is_dry_run() {
            inventory.record(name, Event::DryRunSucceeded).await.map_err(store_failure)?;
            return Ok(Achieved::Simulated);
        }
        self.commit(job, verified, issued.replaces, account_id, targets).await
    }

    async fn verify(
        &self,
        job: &Job,
        chain: certkit_core::Chain,
        key: certkit_core::PrivateKey,
    ) -> Result<VerifiedVersion, Failure> {
        let mut expectations =
            Expectations::new(job.subject.identifiers.clone(), job.subject.certificate.clone(), self.inventory.now());
        use certkit_core::decision::DueReason;
        expectations.may_end_earlier = self.inventory.is_dry_run()
            || matches!(job.because, DueReason::Forced | DueReason::Changed | DueReason::NoCertificate);
        expectations.authority = authority_kind(job.directory.as_str());
        expectations.replaced_authority = job.subject.replaced_authority;
        expectations.may_be_test = self.inventory.is_dry_run() || job.may_be_test;
        let math = Arc::clone(&self.math);
        blocking(move || VerifiedVersion::verify(chain, key, &expectations, math.as_ref()))
            .await
            .map_err(|error| verify_failure(&error))
    }

    async fn commit(
        &self,
        job: &Job,
        verified: VerifiedVersion,
        replaces: Option<Version>,
        account_id: String,
        targets: &[DeployTarget],
    ) -> Result<Achieved, Failure> {
        let inventory = self.inventory;
        let name = &job.subject.name;
        let not_after = verified.chain().leaf.validity().not_after;
        let mut edits = job.edits.clone();
        if job.subject.is_new || !edits.is_empty() {
            let mut set = |key: &str, value: &str| {
                let present = ConfValue::Text(value.to_owned());
                if job.subject.is_new || job.subject.conf.param(key) != Some(&present) {
                    edits.params.retain(|(existing, _)| existing != key);
                    edits.params.push((key.to_owned(), Some(present)));
                }
            };
            set("account", &account_id);
            set("server", job.directory.as_str());
        }
        let committed = inventory.commit(name, verified, replaces, ConfPlan::new(edits)).await;
        match committed {
            Ok(committed) => {
                let event = Event::Committed {
                    version: committed.version,
                    not_after,
                    directory: Some(job.directory.clone()),
                    targets: targets.to_vec(),
                };
                inventory.record(name, event).await.map_err(store_failure)?;
                Ok(Achieved::Committed { version: committed.version, not_after })
            }
            Err(CommitError::Overtaken { aside }) => {
                let path = aside.display().to_string();
                inventory.record(name, Event::SetAside { path: path.clone() }).await.map_err(store_failure)?;
                Err(Failure::new(
                    FailureClass::CertificateUnfit,
                    format!("another tool renewed it meanwhile; the new certificate is kept in {path}"),
                )
                .with_retry(certkit_core::Retry::Now))
            }
            Err(error) => Err(commit_failure(error)),
        }
    }

    pub(super) async fn authority(&self, directory: &AcmeUrl) -> Result<Authority, Failure> {
        let cell = Arc::clone(self.authorities.lock().await.entry(directory.clone()).or_default());
        cell.get_or_init(|| async {
            let connecting = async { Ok(Authority::connect(self.transport.clone(), directory).await?) };
            heeding(self.stop, Duration::ZERO, connecting).await
        })
        .await
        .clone()
    }

    /// The account by certbot's rules. A dry run at a staging CA makes one when there is none, as certbot does.
    pub(super) async fn account(
        &self,
        authority: &Authority,
        directory: &AcmeUrl,
        wanted: Option<&str>,
    ) -> Result<OpenAccount, Failure> {
        let mut known = self.accounts.lock().await;
        let key = (directory.clone(), wanted.map(str::to_owned));
        if let Some(open) = known.get(&key) {
            return Ok(open.clone());
        }
        let chosen = {
            let (locked, (directory, wanted)) = (Arc::clone(self.inventory.locked()), key.clone());
            blocking(move || accounts::choose_account(locked.store(), &directory, wanted.as_deref())).await?
        };
        let open = match chosen {
            Choice::Account(stored) => {
                OpenAccount { account: accounts::open_account(authority, &stored)?, id: stored.id }
            }
            Choice::NoAccount if self.makes_an_account(directory) => {
                heeding(self.stop, GRACE, self.register(authority)).await?
            }
            Choice::NoAccount => {
                let what = format!("there is no account for {directory} yet");
                return Err(Failure::new(FailureClass::AccountUnknown, what));
            }
        };
        known.insert(key, open.clone());
        Ok(open)
    }

    fn makes_an_account(&self, directory: &AcmeUrl) -> bool {
        self.inventory.is_dry_run() && crate::authorities::is_test_authority(directory.as_str())
    }

    async fn register(&self, authority: &Authority) -> Result<OpenAccount, Failure> {
        let new = NewAccount::new(Vec::new(), true);
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let (locked, now) = (self.inventory.locked(), self.inventory.now());
        let saved = accounts::register_and_save(locked, authority, &new, None, now, &host).await?;
        Ok(OpenAccount { account: saved.account, id: saved.stored.id })
    }

    pub(super) fn check_clock(&self, authority: &Authority) -> Result<(), Failure> {
        let Some(theirs) = authority.directory().date else { return Ok(()) };
        let off = self.inventory.now() - theirs;
        if off.abs() <= LARGEST_CLOCK_SKEW {
            return Ok(());
        }
        Err(Failure::new(
            FailureClass::Clock,
            format!("this machine's clock differs from the CA's by {} hours", off.num_hours()),
        ))
    }
}

pub(super) fn verify_failure(error: &VerifyError) -> Failure {
    let class = match error {
        VerifyError::KeyMath(KeyMathError::UnusableKey(_)) => FailureClass::Settings,
        _ => FailureClass::CertificateUnfit,
    };
    Failure::new(class, format!("the CA's certificate was not installed: {error}"))
}

pub(super) fn commit_failure(error: CommitError) -> Failure {
    let class = match error {
        CommitError::Conf(_) => FailureClass::Settings,
        _ => FailureClass::Store,
    };
    Failure::new(class, error.to_string())
}
