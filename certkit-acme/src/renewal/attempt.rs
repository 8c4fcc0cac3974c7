//! One attempt at one lineage, from the CA to the live directory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use certkit_core::state::{DeployTarget, Event};
use certkit_core::store::{
    CommitError, ConfPlan, ConfValue, Expectations, StoredAccount, VerifiedVersion, VerifyError,
};
use certkit_core::{
    AcmeUrl, Failure, FailureClass, Finding, FindingCode, Hindrance, IdentifierSet, KeyMath, KeyMathError, LineageName,
    Version,
};
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{Mutex, OnceCell};

use super::Renewer;
use super::advice::{Asked, clock_warning};
use super::conf_settings::authority_kind;
use super::inventory::Inventory;
use super::issue::{Exchange, Issued, issue};
use super::job::Job;
use super::scope::order_scope;
use crate::accounts::Choice;
use crate::blocking::blocking;
use crate::challenge::StandaloneServers;
use crate::clock::off_by;
use crate::command::CommandSettings;
use crate::dns::{Resolver, ResolverSettings};
use crate::issuing::{GRACE, heeding};
use crate::protocol::{Account, Authority, NewAccount};
use crate::transport::Transport;
use crate::{Stop, accounts};

/// A clock that is further off than this orders nothing: dates could not be judged.
const LARGEST_CLOCK_SKEW: TimeDelta = TimeDelta::hours(24);

/// How often names may be left out of an order before it is given up (`allow_subset_of_names`).
const MOST_SUBSETS: usize = 3;

/// What the attempts of a run share.
pub(super) struct Workshop<'a> {
    pub(super) inventory: &'a Inventory,
    transport: &'a Transport,
    math: Arc<dyn KeyMath>,
    pub(super) commands: &'a CommandSettings,
    resolver: &'a ResolverSettings,
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
    /// What the owner should know of the attempts.
    told: std::sync::Mutex<Vec<Finding>>,
    /// The certificates that were issued and whose CA was not asked about them yet.
    issued: Mutex<BTreeMap<AcmeUrl, Vec<Asked>>>,
}

type Connected = Result<Authority, Failure>;

/// An account and its id in the store.
#[derive(Clone)]
pub(super) struct OpenAccount {
    pub(super) account: Account,
    stored: StoredAccount,
}

/// What an attempt achieved.
pub(super) enum Achieved {
    Committed { version: Version, not_after: DateTime<Utc> },
    Simulated,
}

impl<'a> Workshop<'a> {
    pub(super) fn new(
        renewer: &'a Renewer,
        inventory: &'a Inventory,
        commands: &'a CommandSettings,
        stop: &'a Stop,
    ) -> Self {
        Self {
            inventory,
            transport: &renewer.transport,
            math: Arc::clone(&renewer.math),
            commands,
            resolver: &renewer.resolver,
            stop,
            servers: StandaloneServers::new(),
            authorities: Mutex::default(),
            accounts: Mutex::default(),
            refusals: Mutex::default(),
            trial: Mutex::default(),
            told: std::sync::Mutex::default(),
            issued: Mutex::default(),
        }
    }

    /// What the owner should know of the attempts.
    pub(super) fn into_told(self) -> Vec<Finding> {
        self.told.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// The certificates that were issued since this was asked last, by their CA.
    pub(super) async fn issued_now(&self) -> BTreeMap<AcmeUrl, Vec<Asked>> {
        std::mem::take(&mut *self.issued.lock().await)
    }

    /// Keeps something for the report, and tells the observers before the attempt goes on.
    pub(super) async fn tell(&self, name: &LineageName, finding: Finding) -> Result<(), Failure> {
        self.keep(finding.clone());
        self.inventory.record(name, Event::Told { finding }).await.map_err(Failure::from)
    }

    fn keep(&self, finding: Finding) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if !told.contains(&finding) {
            told.push(finding);
        }
    }

    /// Issues, verifies and commits. The failure is recorded here.
    pub(super) async fn attempt(&self, job: &Job, targets: &[DeployTarget]) -> Result<Achieved, Failure> {
        let name = &job.subject.name;
        let mut outcome = self.try_once(job, targets).await;
        if let Err(failure) = &mut outcome {
            let known = self.accounts.lock().await.get(&job.account_key()).map(|open| open.stored.id.clone());
            let account = known.or_else(|| job.wanted_account.clone());
            let scope = order_scope(&job.directory, account.as_deref(), &job.subject.identifiers);
            self.inventory.ledger(|ledger| ledger.failed(&scope, failure, self.inventory.now()));
            // The failure is what matters to the owner; a state that cannot be written is told besides.
            if let Err(error) = self.inventory.record(name, Event::AttemptFailed { failure: failure.clone() }).await {
                failure.detail = format!("{}; it could not be recorded either: {error}", failure.detail);
            }
        }
        outcome
    }

    async fn try_once(&self, job: &Job, targets: &[DeployTarget]) -> Result<Achieved, Failure> {
        // What cannot be stored is not ordered.
        let storable = self.inventory.check_committable(&job.subject.name, &job.edits).await.map_err(commit_failure);
        if !self.inventory.is_dry_run() {
            storable?;
            return self.issue_and_commit(job, targets).await;
        }
        // A dry run asks the CA all the same, so that all troubles are known at once.
        match (self.issue_and_commit(job, targets).await, storable) {
            (Err(mut failure), Err(other)) => {
                failure.detail = format!("{}; nor could the certificate be stored: {}", failure.detail, other.detail);
                Err(failure)
            }
            (achieved, storable) => storable.and(achieved),
        }
    }

    async fn issue_and_commit(&self, job: &Job, targets: &[DeployTarget]) -> Result<Achieved, Failure> {
        let name = &job.subject.name;
        let inventory = self.inventory;
        let (authenticator, identifiers) = (job.authenticator.clone(), job.subject.identifiers.clone());
        blocking(move || authenticator.preflight(&identifiers)).await?;
        let started =
            Event::AttemptStarted { because: job.because.code().to_owned(), directory: job.directory.clone() };
        inventory.record(name, started).await?;
        if let Some(refusal) = self.refusals.lock().await.get(&job.directory) {
            return Err(refusal.clone());
        }
        let authority = self.authority(&job.directory).await?;
        self.check_clock(&authority)?;
        if job.stands_in {
            let what = format!("{} is asked instead of the conf's CA", job.directory);
            self.tell(name, Finding::new(FindingCode::FallbackAuthority, name.as_str(), what)).await?;
        }
        let open = self.account(&authority, &job.directory, job.wanted_account.as_deref()).await?;
        let issued = match self.obtain(job, &authority, &open).await {
            Err(failure) if accounts::is_lost(&failure) && !inventory.is_dry_run() => {
                let revived = self.revive(job, &authority, &open, failure).await?;
                self.obtain(job, &authority, &revived).await
            }
            other => other,
        };
        let (issued, account_id) = (issued?, open.stored.id);
        let (profile, left_out) = (issued.profile.clone(), left_out(&job.subject.identifiers, &issued.identifiers));
        let verified = match self.verify(job, &issued.identifiers, profile.as_deref(), issued.chain, issued.key).await {
            Ok(verified) => verified,
            Err(failure) => {
                // The order would deliver the same certificate again for ever: the next attempt makes a new one.
                if !inventory.is_dry_run() {
                    inventory.drop_pending(name).await?;
                }
                return Err(failure);
            }
        };
        if inventory.is_dry_run() {
            inventory.record(name, Event::DryRunSucceeded).await?;
            return Ok(Achieved::Simulated);
        }
        let commit = Commit { verified, replaces: issued.replaces, account_id, profile, left_out };
        self.commit(job, commit, targets).await
    }

    /// Has the CA issue, for all names or, where the owner permits it, for those that can be validated.
    async fn obtain(&self, job: &Job, authority: &Authority, open: &OpenAccount) -> Result<Issued, Failure> {
        let solver = job.authenticator.solver_stopping(&self.servers, self.commands, self.stop)?;
        let is_dry_run = self.inventory.is_dry_run();
        let _turn = if is_dry_run && job.shares_a_name { Some(self.trial.lock().await) } else { None };
        let mut exchange = Exchange {
            workshop: self,
            job,
            identifiers: job.subject.identifiers.clone(),
            authority,
            account: &open.account,
            account_id: &open.stored.id,
            solver: solver.as_ref(),
            has_order: AtomicBool::new(false),
            is_one_more: AtomicBool::new(false),
        };
        for _ in 0..MOST_SUBSETS {
            let failure = match issue(&exchange).await {
                Ok(issued) => return Ok(issued),
                Err(failure) => failure,
            };
            // One order's trouble is not that of the others.
            if !exchange.has_order.load(Ordering::Relaxed) && failure.concerns_whole_ca() {
                self.refusals.lock().await.entry(job.directory.clone()).or_insert_with(|| failure.clone());
            }
            let Some(rest) = job.subset_without_failed(&exchange.identifiers, &failure) else { return Err(failure) };
            let failed: Vec<String> = failure.per_identifier.iter().map(|one| one.identifier.to_string()).collect();
            let what = failed.join(", ");
            if !is_dry_run {
                self.inventory.ledger(|ledger| ledger.failed(&exchange.scope(), &failure, self.inventory.now()));
            }
            let name = &job.subject.name;
            self.tell(name, Finding::new(FindingCode::NamesLeftOut, name.as_str(), what)).await?;
            exchange.identifiers = rest;
        }
        issue(&exchange).await
    }

    /// The CA does not know the account (any more): it is looked up or registered anew by the same key, where nothing
    /// binds the old one. Otherwise the failure says what does.
    async fn revive(
        &self,
        job: &Job,
        authority: &Authority,
        open: &OpenAccount,
        failure: Failure,
    ) -> Result<OpenAccount, Failure> {
        let resolver =
            Resolver::new(self.resolver).map_err(|error| Failure::new(FailureClass::Network, error.to_string()))?;
        let names = job.subject.identifiers.as_slice();
        match accounts::revive(self.inventory.locked(), authority, &open.stored, names, &resolver).await {
            Ok(saved) => {
                let revived = OpenAccount { account: saved.account, stored: saved.stored };
                self.accounts.lock().await.insert(job.account_key(), revived.clone());
                self.refusals.lock().await.remove(&job.directory);
                let what = format!("{} at {}", revived.account.url(), job.directory);
                let name = &job.subject.name;
                self.tell(name, Finding::new(FindingCode::AccountRevived, name.as_str(), what)).await?;
                Ok(revived)
            }
            Err(error) => {
                let mut failure = failure;
                failure.detail = format!("{}; {error}", failure.detail);
                Err(failure)
            }
        }
    }

    async fn verify(
        &self,
        job: &Job,
        identifiers: &IdentifierSet,
        profile: Option<&str>,
        chain: certkit_core::Chain,
        key: certkit_core::PrivateKey,
    ) -> Result<VerifiedVersion, Failure> {
        let mut expectations =
            Expectations::new(identifiers.clone(), job.subject.certificate.clone(), self.inventory.now());
        use certkit_core::decision::DueReason;
        let state = self.inventory.state(&job.subject.name);
        // The owner, the CA that asked for a renewal long before its time, another CA or another profile explains it.
        expectations.may_end_earlier = self.inventory.is_dry_run()
            || job.subject.issuer_directory(&state).as_ref() != Some(&job.directory)
            || profile != state.issued_profile.as_deref()
            || matches!(
                job.because,
                DueReason::Forced
                    | DueReason::Changed
                    | DueReason::NoCertificate
                    | DueReason::RenewalInformation
                    | DueReason::Revoked
            );
        expectations.authority = authority_kind(job.directory.as_str());
        expectations.replaced_authority = job.subject.replaced_authority;
        expectations.may_be_test = self.inventory.is_dry_run() || job.may_be_test;
        let math = Arc::clone(&self.math);
        blocking(move || VerifiedVersion::verify(chain, key, &expectations, math.as_ref()))
            .await
            .map_err(|error| verify_failure(&error))
    }

    async fn commit(&self, job: &Job, commit: Commit, targets: &[DeployTarget]) -> Result<Achieved, Failure> {
        let Commit { verified, replaces, account_id, profile, left_out } = commit;
        let inventory = self.inventory;
        let name = &job.subject.name;
        let leaf = verified.chain().leaf.clone();
        let not_after = leaf.validity().not_after;
        let mut plan = ConfPlan::new(job.edits.clone());
        plan.live_switch = job.subject.settings.live_switch;
        // The conf keeps the first CA and its account: the one that stood in is in the state alone.
        let edits = &mut plan.edits;
        if (job.subject.is_new || !edits.is_empty()) && !job.stands_in {
            let mut set = |key: &str, value: &str| {
                let present = ConfValue::Text(value.to_owned());
                if job.subject.is_new || job.subject.conf.param(key).as_ref() != Some(&present) {
                    edits.params.retain(|(existing, _)| existing != key);
                    edits.params.push((key.to_owned(), Some(present)));
                }
            };
            set("account", &account_id);
            set("server", job.directory.as_str());
        }
        let committed = inventory.commit(name, verified, replaces, plan).await;
        match committed {
            Ok(committed) => {
                for left in &committed.leftovers {
                    self.keep(Finding::new(FindingCode::LeftAtCommit, name.as_str(), left));
                }
                let event = Event::Committed {
                    version: committed.version,
                    not_after,
                    directory: Some(job.directory.clone()),
                    targets: targets.to_vec(),
                    profile,
                    left_out,
                };
                inventory.record(name, event).await?;
                if inventory.state(name).wish.is_some() && job.subject.postponed.is_none() {
                    inventory.record(name, Event::WishFulfilled).await?;
                }
                if let Some(id) = leaf.ari_id().filter(|_| job.subject.settings.renewal_information) {
                    let asked = Asked { name: name.clone(), id };
                    self.issued.lock().await.entry(job.directory.clone()).or_default().push(asked);
                }
                Ok(Achieved::Committed { version: committed.version, not_after })
            }
            Err(CommitError::Overtaken { aside }) => {
                let path = aside.display().to_string();
                inventory.record(name, Event::SetAside { path: path.clone() }).await?;
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
            let connected = heeding(self.stop, Duration::ZERO, connecting).await;
            if let Ok(authority) = &connected
                && let Some(warning) = clock_warning(authority, self.inventory.now())
            {
                self.keep(warning);
            }
            connected
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
            Choice::Account(stored) => OpenAccount { account: accounts::open_account(authority, &stored)?, stored },
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
        Ok(OpenAccount { account: saved.account, stored: saved.stored })
    }

    pub(super) fn check_clock(&self, authority: &Authority) -> Result<(), Failure> {
        let Some(theirs) = authority.directory().date else { return Ok(()) };
        let off = self.inventory.now() - theirs;
        if off.abs() <= LARGEST_CLOCK_SKEW {
            return Ok(());
        }
        Err(Failure::new(FailureClass::Clock, format!("this machine's clock is {} the CA's", off_by(off))))
    }
}

/// What is committed besides the job.
struct Commit {
    verified: VerifiedVersion,
    replaces: Option<Version>,
    account_id: String,
    profile: Option<String>,
    left_out: IdentifierSet,
}

/// The identifiers that were wanted and are not in the certificate.
fn left_out(wanted: &IdentifierSet, issued: &IdentifierSet) -> IdentifierSet {
    issued.missing_from(wanted).cloned().collect()
}

pub(super) fn verify_failure(error: &VerifyError) -> Failure {
    let class = match error {
        VerifyError::KeyMath(KeyMathError::UnusableKey(_)) => FailureClass::Settings,
        _ => FailureClass::CertificateUnfit,
    };
    Failure::new(class, format!("the CA's certificate was not installed: {error}"))
}

pub(super) fn commit_failure(error: CommitError) -> Failure {
    match error {
        CommitError::Store(error) => error.failure(),
        CommitError::Conf(_) => Failure::new(FailureClass::Settings, error.to_string()),
        CommitError::Refused(_) => {
            Failure::new(FailureClass::Store, error.to_string()).with_hindrance(Some(Hindrance::Tree))
        }
        _ => Failure::new(FailureClass::Store, error.to_string()),
    }
}
