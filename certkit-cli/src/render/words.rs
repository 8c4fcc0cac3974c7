//! Events, lists and durations in words: core's, and the names of CAs.

use certkit_acme::authorities;
use certkit_core::{AcmeUrl, escape};

pub(crate) use certkit_core::words::{
    HOOK_CURE, TARGET_CURE, broken_cure, class, cure_for, deploy_target, duration, event, failure_cure, from_now,
    held_by, held_cure, is_of_settings, names_in_short, remembered, rule, wished,
};

/// A CA: by its name where it has one here, else by the URL of its directory.
pub(crate) fn authority(directory: &AcmeUrl) -> String {
    authorities::known(directory)
        .map_or_else(|| escape(directory.as_str()).into_owned(), |known| known.title.to_owned())
}
