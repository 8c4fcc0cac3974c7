//! `revoke`: tells the CA that a certificate must not be trusted any more.

use std::path::PathBuf;

use clap::Args as _;

use certkit_acme::accounts::open_account;
use certkit_acme::protocol::RevocationReason;
use certkit_core::state::{Event, RecordedEvent};
use certkit_core::store::{Lineage, MAX_FILE_BYTES, Store, read_file};
use certkit_core::{AcmeUrl, Certificate, LineageName, PrivateKey, escape};
use serde_json::json;

use super::common::named_file;
use super::delete::sharing;
use super::{Command, Context, Operands, account};
use crate::exit::{CommandError, Exit};
use crate::runtime;
use crate::ui::shown;

/// Revoke a certificate
///
/// Tells the CA that a certificate must not be trusted any more, for example because others have its key. The account
/// that obtained it does so, or whoever has its key (--key-path). Its files are deleted afterwards unless
/// --no-delete-after-revoke is given.
#[derive(clap::Args)]
struct About {}

/// `revoke`.
pub(crate) const COMMAND: Command = Command {
    name: "revoke",
    describe: About::augment_args,
    usage: "--cert-name NAME or --cert-path FILE",
    flags: &[
        "cert_name",
        "cert_path",
        "key_path",
        "reason",
        "delete_after_revoke",
        "no_delete_after_revoke",
        "account",
        "server",
        "staging",
        "ca_bundle",
        "no_verify_ssl",
        "user_agent_comment",
    ],
    writes: true,
    operands: Operands::None,
    run,
};

/// What is revoked.
struct Target {
    path: PathBuf,
    certificate: Certificate,
    /// The lineage it belongs to, when it does.
    lineage: Option<Lineage>,
}

fn run(context: &Context<'_>) -> Result<Exit, CommandError> {
    let store = context.store()?;
    let target = target(context, &store)?;
    let server = server(context, &target)?;
    let reason = reason(context);
    let key = key(context)?;
    // Asked beforehand: once the CA has answered, nothing may keep the rest from happening.
    let delete = target.lineage.as_ref().is_some_and(|lineage| shall_delete(context, lineage.name()));
    runtime::ask(async {
        account::settle(context, &store).await?;
        let authority = account::connect(context, &server).await?;
        if let Some(key) = &key {
            return Ok(authority.revoke_with_certificate_key(&target.certificate, key, reason).await?);
        }
        let typed = context.invocation.typed.account.account.as_deref();
        let conf = target.lineage.as_ref().and_then(|lineage| lineage.conf().params().account.as_deref());
        // A conf may name an account that is gone; then the only one there counts, as without a conf.
        let conf = conf.filter(|id| account::choose(&store, &server, Some(id)).is_ok());
        let stored = account::choose(&store, &server, typed.or(conf))?.ok_or_else(|| account::none_for(&server))?;
        Ok(open_account(&authority, &stored)?.revoke(&target.certificate, reason).await?)
    })?;
    context.ui.result(&format!(
        "Congratulations! You have successfully revoked the certificate that was located at {}.\n",
        shown(&target.path)
    ));
    let (deleted, exit) = match &target.lineage {
        Some(lineage) => after(context, &store, lineage, &target.certificate, delete)?,
        None => (false, Exit::Well),
    };
    if context.ui.voice().json {
        context.ui.json(&json!({
            "schema": 1,
            "revoked": target.certificate.serial().openssl_hex(),
            "path": target.path.to_string_lossy(),
            "deleted": deleted,
        }));
    }
    Ok(exit)
}

fn target(context: &Context<'_>, store: &Store) -> Result<Target, CommandError> {
    let invocation = context.invocation;
    match (invocation.cert_name()?, &invocation.typed.revocation.cert_path) {
        (Some(name), None) => {
            let lineage = context.lineage(store, &name)?;
            let path = lineage.live_path(certkit_core::store::Kind::Cert).to_owned();
            let certificate = lineage.certificate().map_err(|problem| {
                CommandError::failed(escape(&problem.to_string()))
                    .with_cure("name a file with the certificate instead: --cert-path FILE")
            })?;
            Ok(Target { path, certificate, lineage: Some(lineage) })
        }
        (None, Some(path)) => {
            let unreadable = |problem: String| CommandError::failed(format!("{}: {}", shown(path), escape(&problem)));
            let bytes = named_file(path, MAX_FILE_BYTES).map_err(|problem| unreadable(problem.to_string()))?;
            let certificate = Certificate::from_pem(&bytes)
                .or_else(|error| Certificate::from_der(&bytes).map_err(|_| error))
                .map_err(|problem| unreadable(problem.to_string()))?;
            let lineage = lineage_of(store, &certificate)?;
            Ok(Target { path: path.clone(), certificate, lineage })
        }
        _ => Err(CommandError::usage("Error! Exactly one of --cert-path or --cert-name must be specified!")),
    }
}

/// The lineage of which this is the live certificate or an older version.
fn lineage_of(store: &Store, certificate: &Certificate) -> Result<Option<Lineage>, CommandError> {
    for lineage in store.lineages()?.flatten() {
        let live = lineage.certificate().is_ok_and(|live| live == *certificate);
        let older = || {
            lineage.versions().unwrap_or_default().into_keys().any(|version| {
                let path = lineage.archive_dir().join(certkit_core::store::Kind::Cert.archive_file(version));
                read_file(&path, MAX_FILE_BYTES)
                    .ok()
                    .and_then(|bytes| Certificate::from_pem(&bytes).ok())
                    .is_some_and(|old| old == *certificate)
            })
        };
        if live || older() {
            return Ok(Some(lineage));
        }
    }
    Ok(None)
}

/// The CA that was typed, else the lineage's own, else the one of cli.ini or the default.
fn server(context: &Context<'_>, target: &Target) -> Result<AcmeUrl, CommandError> {
    if let Some(typed) = context.invocation.server_typed()? {
        return Ok(typed);
    }
    match target.lineage.as_ref().and_then(|lineage| lineage.conf().params().server.clone()) {
        Some(server) => crate::args::meant::resolve(&server),
        None => context.invocation.server_or_default(),
    }
}

fn reason(context: &Context<'_>) -> Option<RevocationReason> {
    Some(match context.invocation.typed.revocation.reason.as_deref()?.to_lowercase().as_str() {
        "keycompromise" => RevocationReason::KeyCompromise,
        "affiliationchanged" => RevocationReason::AffiliationChanged,
        "superseded" => RevocationReason::Superseded,
        "cessationofoperation" => RevocationReason::CessationOfOperation,
        _ => RevocationReason::Unspecified,
    })
}

fn key(context: &Context<'_>) -> Result<Option<PrivateKey>, CommandError> {
    let Some(path) = &context.invocation.typed.revocation.key_path else { return Ok(None) };
    let unusable = |problem: String| CommandError::failed(format!("{}: {}", shown(path), escape(&problem)));
    let bytes = named_file(path, MAX_FILE_BYTES).map_err(|problem| unusable(problem.to_string()))?;
    PrivateKey::from_pem(&bytes).map(Some).map_err(|problem| unusable(problem.to_string()))
}

/// Notes it in the history, and deletes the files if that is wanted and harms no other lineage.
fn after(
    context: &Context<'_>,
    store: &Store,
    lineage: &Lineage,
    certificate: &Certificate,
    delete: bool,
) -> Result<(bool, Exit), CommandError> {
    let name = lineage.name();
    let locked = context.locked()?;
    let event = Event::Revoked { serial: certificate.serial().certbot_hex() };
    if let Err(problem) = locked.append_history(name, &[RecordedEvent::new(context.now, event)]) {
        context.ui.detail(&format!("The history of {name} could not be written: {problem}."));
    }
    if !delete {
        return Ok((false, Exit::Well));
    }
    if let Some(other) = sharing(store, name)? {
        context.ui.warning(&format!(
            "Not deleting revoked certificates due to overlapping archive dirs. More than one certificate is using {} (also {other}).",
            shown(lineage.archive_dir())
        ));
        return Ok((false, Exit::Well));
    }
    match locked.delete(name) {
        Ok(deleted) => Ok((deleted.is_complete(), super::delete::tell(context, name, &deleted, false))),
        // It is revoked all the same.
        Err(error) => {
            let error = CommandError::from(error);
            let cure = error.cure.as_ref().map(|cure| format!("; {cure}")).unwrap_or_default();
            context.ui.failure(&format!("error: {}{cure}\n", error.what));
            Ok((false, error.exit))
        }
    }
}

/// certbot's default where nobody is asked: delete, so that no server keeps using it unnoticed.
fn shall_delete(context: &Context<'_>, name: &LineageName) -> bool {
    let typed = &context.invocation.typed.revocation;
    match (typed.delete_after_revoke, typed.no_delete_after_revoke) {
        (true, _) => true,
        (_, true) => false,
        _ if context.ui.voice().interactive => context.ui.confirm(
            &format!("Would you like to delete the certificate `{name}` after it is revoked, along with all earlier and later versions?"),
            true,
        ),
        _ => true,
    }
}
