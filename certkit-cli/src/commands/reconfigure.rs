//! `reconfigure`: changes how a certificate is renewed, after a test order.

use clap::Args as _;

use certkit_acme::renewal::{Mode, Outcome, Request, Selection, Urgency};
use certkit_core::escape;
use certkit_core::store::{ConfEdits, ConfError, ConfValue, RenewalConf};
use serde_json::json;

use super::certonly::point_to_typed_webroot;
use super::renew::{Start, conclude, perform};
use super::{Command, Context, Foreseen, Operands, wishes};
use crate::exit::{CommandError, Exit};
use crate::progress::{Names, Work};
use crate::render::renewal;

/// Change how a certificate is renewed
///
/// Changes the renewal configuration of a certificate. A test order with the new settings comes first (as `--dry-run`
/// does it): when it fails, nothing is changed. The certificate itself changes at its next renewal; another key or another
/// profile makes the next `certkit renew` renew it.
#[derive(clap::Args)]
struct About {}

/// `reconfigure`.
pub(crate) const COMMAND: Command = Command {
    name: "reconfigure",
    describe: About::augment_args,
    usage: "--cert-name NAME",
    flags: &[
        "cert_name",
        "standalone",
        "webroot",
        "manual",
        "authenticator",
        "installer",
        "webroot_path",
        "webroot_map",
        "manual_auth_hook",
        "manual_cleanup_hook",
        "preferred_challenges",
        "http_01_port",
        "http_01_address",
        "pre_hook",
        "deploy_hook",
        "post_hook",
        "disable_hook_validation",
        "no_directory_hooks",
        "run_deploy_hooks",
        "hook_time_limit",
        "key_type",
        "rsa_key_size",
        "elliptic_curve",
        "reuse_key",
        "no_reuse_key",
        "preferred_chain",
        "preferred_profile",
        "required_profile",
        "no_autorenew",
        "ca_bundle",
        "no_verify_ssl",
        "user_agent_comment",
    ],
    writes: true,
    operands: Operands::None,
    run,
};

fn run(context: &Context<'_>) -> Result<Exit, CommandError> {
    refuse(context)?;
    let invocation = context.invocation;
    invocation.validate_hooks()?;
    let name = invocation.needed_cert_name("reconfigure")?;
    let store = context.store()?;
    let lineage = context.lineage(&store, &name)?;
    let mut edits = invocation.edits()?;
    match (invocation.installer()?, &invocation.typed.validation.installer) {
        (Some(installer), _) => _ = edits.param("installer", Some(&installer)),
        // certbot's words for none take the line away.
        (None, Some(_)) => _ = edits.param("installer", None),
        (None, None) => {}
    }
    let certificate = lineage.certificate().ok();
    if let Some(identifiers) = certificate.as_ref().and_then(|certificate| certificate.identifiers().ok()) {
        point_to_typed_webroot(context, &mut edits, &identifiers);
    }
    refuse_webroot_without_root(lineage.conf(), &edits)?;
    let changed = edited(lineage.conf(), &edits)?;
    if changed.text() == lineage.conf().text() {
        context.ui.result("No changes were made to the renewal configuration.\n");
        return Ok(conclude_json(context, false, false));
    }
    let mut request = Request::renew();
    request.selection = Selection::One(name.clone());
    request.edits = edits.clone();
    request.mode = Mode::DryRun { run_deploy_hooks: invocation.typed.renewal.run_deploy_hooks };
    request.urgency = Urgency::Now;
    request.directory_hooks = !invocation.typed.hooks.no_directory_hooks;
    let names = certificate.map(|certificate| certificate.listed_names()).unwrap_or_default();
    let report = perform(context, Work::SimulatingRenewal, Names::Of(name.clone(), names), request, Start::AtOnce)?;
    // By what this run did: what an earlier one could not deploy may be the very reason for the change.
    let passed = report.stopped.is_none()
        && report.entries.iter().all(|entry| matches!(entry.outcome, Outcome::Simulated))
        && report.hooks.iter().all(|hook| hook.outcome.success());
    if !passed {
        for entry in &report.entries {
            renewal::outcome(entry).iter().for_each(|piece| piece.say(context.ui));
        }
        renewal::loose_ends(&report).iter().for_each(|piece| piece.say(context.ui));
        context
            .ui
            .failure("The test order with these settings failed, so the renewal configuration was not changed.\n");
        return Ok(match conclude(context, &report) {
            Exit::Well => Exit::Failed,
            other => other,
        });
    }
    let locked = context.locked()?;
    locked.edit_conf(&name, &edits)?;
    let wished = wishes::record(context, &locked, &name, (lineage.conf(), &changed))?;
    renewal::tell_findings(&report.findings, context.ui);
    context.ui.result("\nSuccessfully updated configuration.\nChanges will apply when the certificate renews.\n");
    if let Some(wished) = wished.as_ref().and_then(Foreseen::of) {
        context.ui.result(&wishes::when(&wished, context.now));
    }
    Ok(conclude_json(context, true, wished.is_some()))
}

/// `--webroot` needs to know where.
fn refuse_webroot_without_root(conf: &RenewalConf, edits: &ConfEdits) -> Result<(), CommandError> {
    let chosen = edits.params.iter().any(|(key, value)| {
        key == "authenticator" && matches!(value, Some(ConfValue::Text(name)) if name == "webroot")
    });
    let given = edits.webroot_map.is_some() || edits.params.iter().any(|(key, _)| key == "webroot_path");
    let known = !conf.params().webroot_path.is_empty() || !conf.params().webroot_map.is_empty();
    if chosen && !given && !known {
        return Err(CommandError::usage("--webroot needs the document root").with_cure("add -w DIR"));
    }
    Ok(())
}

/// certbot's list of what this command cannot change.
fn refuse(context: &Context<'_>) -> Result<(), CommandError> {
    let typed = &context.invocation.typed;
    let refused = [
        (
            "domains",
            !typed.selection.domains.is_empty(),
            "-d",
            "use `certkit certonly --cert-name NAME -d …` to change the names",
        ),
        (
            "ip_address",
            !typed.selection.ip_address.is_empty(),
            "--ip-address",
            "use `certkit certonly --cert-name NAME --ip-address …` to change the names",
        ),
        (
            "server",
            typed.general.server.is_some(),
            "--server",
            "use `certkit certonly --cert-name NAME --server URL` to change the CA",
        ),
        (
            "staging",
            typed.general.staging,
            "--staging",
            "use `certkit certonly` with another --cert-name for a test certificate",
        ),
        (
            "account",
            typed.account.account.is_some(),
            "--account",
            "use `certkit renew --cert-name NAME --force-renewal --account ID` to change the account",
        ),
    ];
    for (id, given, flag, cure) in refused {
        // In a file they are meant for other commands.
        if given && !context.invocation.is_from_file(id) {
            return Err(
                CommandError::usage(format!("`certkit reconfigure` does not change what {flag} says")).with_cure(cure)
            );
        }
    }
    Ok(())
}

/// The conf as it would be; as it is without edits.
fn edited(conf: &RenewalConf, edits: &ConfEdits) -> Result<RenewalConf, CommandError> {
    conf.edited(edits).map_err(|problem: ConfError| {
        CommandError::failed(format!("the renewal configuration cannot be changed: {}", escape(&problem.to_string())))
    })
}

/// `renews`: whether the next run renews it because of the change.
fn conclude_json(context: &Context<'_>, changed: bool, renews: bool) -> Exit {
    if context.ui.voice().json {
        context.ui.json(&json!({ "schema": 1, "changed": changed, "renews": renews }));
    }
    Exit::Well
}
