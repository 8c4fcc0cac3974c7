//! What the owner's settings say of a lineage, resolved for a run.

use std::time::Duration;

use certkit_core::settings::{DeploySetting, LineageSettings, Origin};
use certkit_core::store::LiveSwitch;
use certkit_core::{AcmeUrl, LineageName};

use crate::authorities;

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
}

impl OwnSettings {
    /// What `certkit/lineages/NAME.toml` and `certkit/settings.toml` say together. An error names what is wrong.
    pub(super) fn resolve(settings: LineageSettings, name: &LineageName) -> Result<Self, String> {
        let fallbacks =
            settings.fallback_servers.value.iter().map(|server| {
                authorities::resolve(server).map_err(|error| format!("fallback_servers of {name}: {error}"))
            });
        let set = |origin: &Origin| *origin != Origin::Default;
        Ok(Self {
            fallbacks: fallbacks.collect::<Result<_, _>>()?,
            renewal_information: settings.renewal_information.value,
            revocation_check: settings.revocation_check.value,
            live_switch: set(&settings.live_switch.origin).then_some(settings.live_switch.value),
            hook_time_limit: set(&settings.hook_time_limit.origin).then_some(settings.hook_time_limit.value),
            deploy: settings.deploy.into_iter().map(|setting| setting.value).collect(),
        })
    }
}

impl Default for OwnSettings {
    fn default() -> Self {
        Self {
            fallbacks: Vec::new(),
            renewal_information: true,
            revocation_check: true,
            live_switch: None,
            hook_time_limit: None,
            deploy: Vec::new(),
        }
    }
}
