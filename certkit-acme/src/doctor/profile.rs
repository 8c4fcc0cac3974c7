//! Whether the CA offers the certificate profile that a lineage wants.

use certkit_core::{Finding, FindingCode, LineageName, Severity, escape};

use super::{Check, Examined};
use crate::protocol::Directory;

/// Compares the wanted profile with `meta.profiles` (draft-ietf-acme-profiles section 3). Nothing comes back for a lineage
/// that wants none.
pub fn check_profile(
    directory: &Directory,
    lineage: &LineageName,
    preferred: Option<&str>,
    required: Option<&str>,
) -> Vec<Examined> {
    // A required profile is the one that is asked for, as certbot does it.
    let (wanted, is_required) = match (required, preferred) {
        (Some(required), _) => (required, true),
        (None, Some(preferred)) => (preferred, false),
        (None, None) => return Vec::new(),
    };
    if directory.profiles.contains_key(wanted) {
        return vec![Examined::fine(Check::Profile, lineage.as_str())];
    }
    let offered: Vec<_> = directory.profiles.keys().map(|name| escape(name)).collect();
    let offered = if offered.is_empty() { "none".to_owned() } else { offered.join(", ") };
    let evidence = format!("`{wanted}` is wanted; {} offers {offered}", directory.url);
    let flag = if is_required { "--required-profile" } else { "--preferred-profile" };
    let finding = Finding::new(FindingCode::ProfileNotOffered, lineage.as_str(), evidence)
        .with_cure(format!("certkit reconfigure --cert-name {lineage} {flag} PROFILE, with one that is offered"))
        .with_severity(if is_required { Severity::Error } else { Severity::Warning });
    vec![Examined::found(Check::Profile, lineage.as_str(), vec![finding])]
}
