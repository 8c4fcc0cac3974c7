//! What a command line leaves open: the CA, the key and the authenticator, of a new lineage and of one that exists.

use certkit_core::store::{ConfEdits, ConfValue, Lineage, Store};
use certkit_core::{AcmeUrl, Identifier, IdentifierSet, LineageName};

use super::super::Context;
use crate::exit::CommandError;

/// What a new lineage needs and certbot always writes.
pub(super) fn complete_new(context: &Context<'_>, edits: &mut ConfEdits) -> Result<AcmeUrl, CommandError> {
    match value(edits, "authenticator") {
        None => {
            return Err(CommandError::usage("it is not said how to prove control over the names")
                .with_cure("use --webroot -w DIR when a web server runs on port 80, --standalone when none does, or --manual with --manual-auth-hook"));
        }
        Some(ConfValue::Text(name)) if name == "webroot" && value(edits, "webroot_path").is_none() => {
            return Err(CommandError::usage("--webroot needs the document root").with_cure("add -w DIR"));
        }
        Some(_) => {}
    }
    let server = context.invocation.server_or_default()?;
    edits.param("server", Some(server.as_str()));
    if value(edits, "key_type").is_none() {
        edits.param("key_type", Some("ecdsa"));
    }
    Ok(server)
}

/// For a lineage that exists: the CA of its conf unless another is typed, and no change of the key's kind by accident.
pub(super) fn complete_existing(
    context: &Context<'_>,
    store: &Store,
    name: &LineageName,
    edits: &mut ConfEdits,
) -> Result<AcmeUrl, CommandError> {
    let lineage: Lineage = context.lineage(store, name)?;
    let params = lineage.conf().params();
    let current = params.key_type.as_deref().unwrap_or("rsa").to_lowercase();
    if let Some(ConfValue::Text(kind)) = value(edits, "key_type")
        && *kind != current
        && context.invocation.typed.selection.cert_name.is_none()
    {
        return Err(CommandError::failed(format!(
            "Are you trying to change the key type of the certificate named {name} from {current} to {kind}? Please provide both --cert-name and --key-type on the command line to confirm the change you are trying to make"
        ))
        .with_cure(format!("add --cert-name {name}")));
    }
    let own = params.server.as_deref().map(crate::args::meant::resolve).transpose()?;
    if let Some(typed) = context.invocation.server_typed()? {
        if own.as_ref() != Some(&typed) {
            edits.param("server", Some(typed.as_str()));
        }
        return Ok(typed);
    }
    match own {
        Some(own) => Ok(own),
        None => context.invocation.server_or_default(),
    }
}

/// Whether a flag asks for another kind of key than the conf has.
pub(super) fn changes_key(
    context: &Context<'_>,
    store: &Store,
    name: &LineageName,
    edits: &ConfEdits,
) -> Result<bool, CommandError> {
    let params = context.lineage(store, name)?;
    let params = params.conf().params();
    let changes = |key: &str, current: &str| matches!(value(edits, key), Some(ConfValue::Text(wanted)) if !current.eq_ignore_ascii_case(wanted));
    let kind = params.effective_key_type();
    let size = params.rsa_key_size.unwrap_or(2048).to_string();
    let curve = params.elliptic_curve.as_deref().unwrap_or("secp256r1");
    // certbot writes both size and curve into a conf: only the one of the key's kind counts.
    let rsa = match value(edits, "key_type") {
        Some(ConfValue::Text(wanted)) => wanted == "rsa",
        _ => kind.eq_ignore_ascii_case("rsa"),
    };
    Ok(changes("key_type", kind)
        || (rsa && changes("rsa_key_size", &size))
        || (!rsa && changes("elliptic_curve", curve)))
}

/// No CA validates a wildcard by HTTP, so it is not asked.
pub(super) fn refuse_wildcards_without_dns(edits: &ConfEdits, identifiers: &IdentifierSet) -> Result<(), CommandError> {
    let Some(ConfValue::Text(authenticator)) = value(edits, "authenticator") else { return Ok(()) };
    let wildcard = identifiers.iter().find(|one| matches!(one, Identifier::Dns(name) if name.is_wildcard()));
    match wildcard {
        Some(name) if authenticator != "manual" => Err(CommandError::usage(format!(
            "{name} can only be validated by DNS, which --{authenticator} does not do"
        ))
        .with_cure(certkit_core::FindingCode::DNS_BY_HOOKS)),
        _ => Ok(()),
    }
}

fn value<'a>(edits: &'a ConfEdits, key: &str) -> Option<&'a ConfValue> {
    edits.params.iter().rev().find(|(name, _)| name == key).and_then(|(_, value)| value.as_ref())
}
