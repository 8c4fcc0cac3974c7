//! What the owner's settings say of a lineage, resolved for a run.

use std::time::Duration;

use certkit_core::settings::{DeploySetting, LineageSettings, Origin, SettingsProblemCode};
use certkit_core::store::{LiveSwitch, Store};
use certkit_core::{AcmeUrl, Finding, FindingCode, LineageName};

use crate::authorities::is_test_authority;
use crate::fallback::fallbacks;

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
        })
    }
}
