//! One certificate for a request that the owner brings: nothing is stored, nothing will be renewed.

use std::sync::Arc;

use certkit_core::store::{ConfEdits, ConfText, Expectations, RenewalConf, verify_for_request};
use certkit_core::{CertificateRequest, Chain, Failure, FailureClass, KeyMathError};

use super::attempt::{Workshop, verify_failure};
use super::conf_settings::{ProfileWish, Settings, authority_kind};
use super::deploying::Hooks;
use super::inventory::Inventory;
use super::issue::{NewOrderFor, place, profile};
use super::run::hook_dir;
use super::{HookRun, Mode, Renewer, Request, RunError};
use crate::blocking::blocking;
use crate::deploy::HookStage;
use crate::issuing::{GRACE, Issuing, KeyHolder, NoJournal, heeding, interrupted};
use crate::{AwsLcKeyMath, Stop, StopReason};

/// What is wanted for a certificate signing request (`certonly --csr`).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CsrOrder {
    /// The request; the CA is sent exactly its bytes.
    pub csr: CertificateRequest,
    /// What a renewal configuration would say: server, authenticator, profile, pre and post hook …
    pub settings: ConfEdits,
    /// For real or not. Whether deploy hooks are to run makes no difference: there is no lineage to deploy.
    pub mode: Mode,
    /// An account id that the owner named (`--account`); otherwise certbot's rules choose.
    pub account: Option<String>,
    /// Whether the directories `renewal-hooks/pre` and `post` are run (`--no-directory-hooks`).
    pub directory_hooks: bool,
}

/// What became of a [`CsrOrder`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CsrReport {
    /// The certificate with its issuers, verified; or why there is none. That of a dry run is for nothing.
    pub outcome: Result<Chain, Failure>,
    /// The pre and post hooks that ran, in order.
    pub hooks: Vec<HookRun>,
    /// Whether it was cut short.
    pub stopped: Option<StopReason>,
}

impl CsrOrder {
    /// For real, with certbot's choice of the account and with the directories' hooks.
    pub fn new(csr: CertificateRequest, settings: ConfEdits) -> Self {
        Self { csr, settings, mode: Mode::Real, account: None, directory_hooks: true }
    }

    /// The same as a trial whose certificate is for nothing.
    #[must_use]
    pub fn dry_run(mut self) -> Self {
        self.mode = Mode::DryRun { run_deploy_hooks: false };
        self
    }

    fn request(&self) -> Request {
        Request {
            mode: self.mode,
            edits: self.settings.clone(),
            account: self.account.clone(),
            directory_hooks: self.directory_hooks,
            ..Request::renew()
        }
    }
}

impl Renewer {
    /// Obtains a certificate for a request that the owner brings, between the pre and the post hooks. The store is
    /// locked meanwhile, for its accounts and against other runs; no lineage is made, and an order that is cut short is
    /// lost. No event is told: there is no lineage that it could be about.
    pub async fn obtain_for_csr(&self, order: &CsrOrder, stop: &Stop) -> Result<CsrReport, RunError> {
        let request = order.request();
        let conf = RenewalConf::new(&request.edits)
            .map_err(|error| Failure::new(FailureClass::Settings, error.to_string()))?;
        let csr = order.csr.clone();
        // The CA would find out only after every name was validated. What it makes of other algorithms is its own affair.
        if blocking(move || AwsLcKeyMath::new().verify_request(&csr)).await == Err(KeyMathError::BadSignature) {
            let what = "the certificate request is not signed by its own key: it was changed or damaged";
            return Err(Failure::new(FailureClass::Settings, what).into());
        }
        let settings = Settings::read(&conf, &"the command line", order.csr.identifiers(), &request)?;
        let inventory = Inventory::lock(
            &self.store,
            order.mode,
            Arc::clone(&self.observer),
            Arc::clone(&self.clock),
            self.live_switch,
        )
        .await?;
        let directories =
            [HookStage::Pre, HookStage::Deploy, HookStage::Post].map(|stage| hook_dir(self.store.paths(), stage));
        let commands = self.commands_by(&self.settings_for_telling().await);
        let hooks = Hooks::new(self.observer.as_ref(), &commands, directories, &request);
        let command = |hook: &Option<ConfText>| hook.iter().map(ToString::to_string).collect::<Vec<_>>();
        let pre = hooks.pre(&command(&conf.params().pre_hook)).await;
        let outcome = match pre.failure_for(conf.params().pre_hook.as_deref()) {
            Some(failure) => Err(failure),
            None if stop.reason().is_some() => Err(interrupted()),
            None => {
                self.issue_for_csr(order, &settings, &conf, &Workshop::new(self, &inventory, &commands, stop)).await
            }
        };
        let names: Vec<String> = order.csr.identifiers().iter().map(ToString::to_string).collect();
        let (renewed, failed) = if outcome.is_ok() { (&names[..], &[][..]) } else { (&[][..], &names[..]) };
        hooks.post(&command(&conf.params().post_hook), renewed, failed).await;
        Ok(CsrReport { outcome, hooks: hooks.into_runs(), stopped: stop.reason() })
    }

    async fn issue_for_csr(
        &self,
        order: &CsrOrder,
        settings: &Settings,
        conf: &RenewalConf,
        workshop: &Workshop<'_>,
    ) -> Result<Chain, Failure> {
        let (identifiers, inventory, stop) = (order.csr.identifiers(), workshop.inventory, workshop.stop);
        settings.authenticator.preflight(identifiers)?;
        let authority = workshop.authority(&settings.directory).await?;
        workshop.check_clock(&authority)?;
        let wanted = settings.wanted_account.as_deref();
        let account = workshop.account(&authority, &settings.directory, wanted).await?.account;
        let solver = settings.authenticator.solver_stopping(&workshop.servers, workshop.commands, stop)?;
        let profile = match profile(&settings.profile, &authority, identifiers) {
            Err(_) if matches!(settings.profile, ProfileWish::Preferred(_)) => None,
            other => other?,
        };
        let is_dry_run = inventory.is_dry_run();
        let placed = NewOrderFor { account: &account, identifiers, profile, replaces: None, is_dry_run, stop };
        let issuing = Issuing {
            account: &account,
            identifiers,
            solver: solver.as_ref(),
            key: KeyHolder::Requester(&order.csr),
            preferred_chain: conf.params().preferred_chain.as_deref(),
            journal: &NoJournal,
            stop,
        };
        let under_way = heeding(stop, GRACE, place(placed)).await?;
        let chain = issuing.finish(under_way).await?.chain;
        let mut expectations = Expectations::new(identifiers.clone(), None, inventory.now());
        expectations.authority = authority_kind(settings.directory.as_str());
        let (csr, math) = (order.csr.clone(), Arc::clone(&self.math));
        blocking(move || verify_for_request(&chain, &csr, &expectations, math.as_ref()).map(|()| chain))
            .await
            .map_err(|error| verify_failure(&error))
    }
}
