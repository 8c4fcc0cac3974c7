//! What the owner's settings say of a lineage, resolved for a run.

use std::time::Duration;

use certkit_core::settings::{DeploySetting, LineageSettings, Origin, Settings, SettingsProblemCode};
use certkit_core::store::{LiveSwitch, Store};
use certkit_core::{AcmeUrl, Endpoint, Finding, FindingCode, LineageName};

use super::{Renewer, RunError};
use crate::authorities::is_test_authority;
use crate::blocking::blocking;
use crate::fallback::fallbacks;

impl Renewer {
    /// `certkit/settings.toml` as it is now, with what flags change in it.
    pub(super) async fn effective_settings(&self) -> Result<Settings, RunError> {
        let (store, overrides) = (self.store.clone(), self.settings_overrides.clone());
        let settings = blocking(move || store.settings()).await?;
        Ok(match overrides {
            Some(overrides) => overrides(settings),
            None => settings,
        })
    }

    /// The same renewer as the settings want it now: what was given to the builder stands where they say nothing. With
    /// settings that cannot be used it is as it was: the run tells of them.
    pub(crate) async fn with_present_settings(&self) -> Self {
        let mut renewer = self.clone();
        if let Ok(settings) = self.effective_settings().await {
            if settings.live_switch.origin != Origin::Default {
                renewer.live_switch = settings.live_switch.value;
            }
            if settings.hook_time_limit.origin != Origin::Default {
                renewer.commands.time_limit = settings.hook_time_limit.value;
            }
        }
        renewer
    }
}

/// What is set for one lineage.
#[derive(Clone, Debug)]
pub(super) struct OwnSettings {
    /// The CAs that take the place of the conf's when it fails, in this order.
    pub(super) fallbacks: Vec<AcmeUrl>,
    pub(super) renewal_information: bool,
    pub(super) revocation_check: bool,
    /// None where the run's own counts.
    pub(super) live_switch: Option<LiveSwitch>,
    /// None where the run's own counts.
    pub(super) hook_time_limit: Option<Duration>,
    pub(super) deploy: Vec<DeploySetting>,
    /// Where the owner says that it has to be served.
    pub(super) endpoints: Vec<Endpoint>,
    /// Whether port 443 of each name is looked at besides.
    pub(super) default_endpoints: bool,
    /// So long servers may take to serve a new version.
    pub(super) proof_patience: Duration,
    /// Settings that have no effect as things are.
    pub(super) findings: Vec<Finding>,
}

impl OwnSettings {
    /// What `certkit/lineages/NAME.toml` and `certkit/settings.toml` say together; `server` is the conf's. An error names
    /// what is wrong. Reads the store's accounts: a CA without one cannot stand in.
    pub(super) fn resolve(
        store: &Store,
        settings: LineageSettings,
        name: &LineageName,
        server: Option<&str>,
    ) -> Result<Self, String> {
        let may_be_test = server.is_some_and(is_test_authority);
        let found = fallbacks(store, &settings.fallback_servers, may_be_test);
        let mut findings = Vec::new();
        for problem in found.problems {
            if problem.code == SettingsProblemCode::UnknownServer {
                return Err(format!("{}: {problem}; {}", settings.fallback_servers.origin, problem.cure));
            }
            let what = format!("fallback_servers: {}; {}", problem.what, problem.cure);
            findings.push(Finding::new(FindingCode::SettingWithoutEffect, name.as_str(), what));
        }
        let set = |origin: &Origin| *origin != Origin::Default;
        Ok(Self {
            fallbacks: found.usable,
            findings,
            renewal_information: settings.renewal_information.value,
            revocation_check: settings.revocation_check.value,
            live_switch: set(&settings.live_switch.origin).then_some(settings.live_switch.value),
            hook_time_limit: set(&settings.hook_time_limit.origin).then_some(settings.hook_time_limit.value),
            deploy: settings.deploy.into_iter().map(|setting| setting.value).collect(),
            endpoints: settings.endpoints.into_iter().map(|endpoint| endpoint.value).collect(),
            default_endpoints: settings.default_endpoints.value,
            proof_patience: settings.proof_patience.value,
        })
    }
}
