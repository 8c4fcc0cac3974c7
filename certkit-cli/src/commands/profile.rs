//! What a certificate profile brings that an owner may not expect.

use certkit_acme::authorities::profile_effects;
use certkit_core::AcmeUrl;
use certkit_core::store::RenewalConf;

use super::Context;

/// Tells, before the first order with a profile that was typed, what certificates of it are like. `conf` is what the
/// certificate has so far.
pub(crate) fn tell_surprises(context: &Context<'_>, server: &AcmeUrl, conf: Option<&RenewalConf>) {
    let typed = &context.invocation.typed.key;
    let Some(profile) = typed.required_profile.as_deref().or(typed.preferred_profile.as_deref()) else { return };
    let had = conf.map(RenewalConf::params);
    let had = had.and_then(|had| had.required_profile.as_deref().or(had.preferred_profile.as_deref()));
    if had == Some(profile) {
        return;
    }
    // Only a known profile has effects, so its name is one of ours.
    for surprise in profile_effects(server, profile).map(|known| known.surprises(context.now)).unwrap_or_default() {
        context.ui.status(&format!("Note: with the profile {profile}, {surprise}."));
    }
}
