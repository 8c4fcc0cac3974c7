//! Events, lists and durations in words: core's, and the names of CAs.

use certkit_acme::authorities;
use certkit_core::state::DeployTarget;
use certkit_core::{AcmeUrl, escape};

pub(crate) use certkit_core::words::{
    DAMAGED, HOOK_CURE, TARGET_CURE, broken_cure, class, condition_cure, cure_for, deploy_pending, deploy_target,
    duration, event, failure_cure, from_now, held_by, held_cure, is_of_settings, names_in_short, not_yet_valid,
    remembered, remembered_cure, revoked, rule, served_elsewise, wished,
};

/// A CA: by its name where it has one here, else by the URL of its directory.
pub(crate) fn authority(directory: &AcmeUrl) -> String {
    authorities::known(directory)
        .map_or_else(|| escape(directory.as_str()).into_owned(), |known| known.title.to_owned())
}

/// A deploy target for whoever may read a page: without the command, in which a password may stand.
pub(crate) fn deploy_target_in_public(target: &DeployTarget) -> String {
    match target {
        DeployTarget::Hook(_) => "the deploy hook".to_owned(),
        DeployTarget::Command(_) => "a command of the settings".to_owned(),
        other => deploy_target(other),
    }
}
