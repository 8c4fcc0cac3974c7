//! `renew`: renews what is due.

use std::collections::HashMap;
use std::io::{IsTerminal as _, Read as _};
use std::sync::Arc;
use std::time::Duration;

use clap::Args as _;

use certkit_acme::Stop;
use certkit_acme::authorities::is_test_authority;
use certkit_acme::renewal::{Mode, Outcome, Renewer, Report, Request, RunError, Selection, Urgency};
use certkit_core::store::{ConfEdits, Store};
use certkit_core::{Finding, FindingCode, LineageName, Step, Summary};

use super::common::existing_cert_name;
use super::foresight::{self, Foreseen};
use super::{Command, Context, Operands};
use crate::exit::{CommandError, Exit};
use crate::progress::{Names, Progress, Work};
use crate::render::{plan, renewal};
use crate::runtime;
use crate::timer::TimerRun;

/// certbot's bound: a random time of up to eight minutes, so that not everybody asks the CA at the same second.
const LONGEST_SLEEP_SECONDS: u64 = 480;

/// Renew the certificates that are due
///
/// Renews every certificate that is due: when the CA advises it (RFC 9773), else when a third of its lifetime is left (half
/// for lifetimes below ten days) or as `renew_before_expiry` in its renewal configuration says; at once when the CA has
/// revoked it. What was asked for and could not be had (other names, another key or profile) is tried again, too.
///
/// What failed waits longer after each failure, and as long as the CA says: running it more often never asks more often.
/// When the CA is down, those of `fallback_servers` in the settings are asked. Hooks, reloads and copies that are pending
/// from earlier runs are done again. `certkit plan` shows what comes and why, and asks nobody.
///
/// Run it often, for example twice a day. Flags change the renewal configuration of every certificate that is renewed.
#[derive(clap::Args)]
struct About {}

/// `renew`.
pub(crate) const COMMAND: Command = Command {
    name: "renew",
    describe: About::augment_args,
    usage: "",
    flags: &[
        "cert_name",
        "dry_run",
        "run_deploy_hooks",
        "force_renewal",
        "no_random_sleep_on_renew",
        "break_my_certs",
        "no_autorenew",
        "allow_subset_of_names",
        "pre_hook",
        "deploy_hook",
        "post_hook",
        "no_directory_hooks",
        "no_probe",
        "disable_hook_validation",
        "hook_time_limit",
        "live_switch",
        "key_type",
        "rsa_key_size",
        "elliptic_curve",
        "reuse_key",
        "no_reuse_key",
        "new_key",
        "preferred_chain",
        "preferred_profile",
        "required_profile",
        "account",
        "server",
        "staging",
        "ca_bundle",
        "no_verify_ssl",
        "user_agent_comment",
        "standalone",
        "webroot",
        "manual",
        "authenticator",
        "webroot_path",
        "webroot_map",
        "manual_auth_hook",
        "manual_cleanup_hook",
        "preferred_challenges",
        "http_01_port",
        "http_01_address",
    ],
    writes: true,
    operands: Operands::None,
    run,
};

fn run(context: &Context<'_>) -> Result<Exit, CommandError> {
    let (store, mut request) = prepare(context)?;
    let timer = TimerRun::of(context);
    request.cadence = timer.as_ref().map(TimerRun::cadence);
    // The timer has its own randomness, and is exact where the CA's window is narrow.
    let start = if timer.is_some() { Start::AtOnce } else { Start::AfterRandomSleep };
    let names = Names::InUse(store.clone());
    let work = if context.invocation.typed.renewal.dry_run { Work::SimulatingRenewal } else { Work::Renewing };
    // What the rules say, whatever this run was told to do.
    let mut rules = Request::renew();
    rules.selection = request.selection.clone();
    if request.mode != Mode::Real {
        // A real run has saved them where they count.
        rules.edits = request.edits.clone();
    }
    let report = perform(context, work, names, request.clone(), start)?;
    if let Some(timer) = &timer {
        timer.set_wake(context, &request, &report);
    }
    let reasons = reasons(context, &store, &rules);
    let foreseen: Vec<Foreseen<'_>> = reasons.iter().filter_map(Foreseen::of).collect();
    let by_name: HashMap<&str, &Foreseen<'_>> = foreseen.iter().map(|one| (one.entry.name.as_str(), one)).collect();
    for entry in &report.entries {
        if let Some(one) = by_name.get(entry.name.as_str()) {
            context.ui.detail(&format!("{}: {}.", entry.name, plan::in_short(one, context.now)));
        }
    }
    for piece in renewal::report(&report, context.invocation.has_hooks()) {
        piece.say(context.ui);
    }
    Ok(conclude_with(context, &report, || {
        let mut document = renewal::json(&report);
        renewal::add_windows(&mut document, &by_name);
        document
    }))
}

/// When and why each certificate is due, for who wants to know. A run is no failure because this cannot be told.
fn reasons(context: &Context<'_>, store: &Store, rules: &Request) -> Vec<Summary> {
    let voice = context.ui.voice();
    if voice.verbose == 0 && !voice.json {
        return Vec::new();
    }
    foresight::foresee(store, rules).unwrap_or_default()
}

/// The request of the command line, and the store that it is for. What cannot be done is refused here.
pub(super) fn prepare(context: &Context<'_>) -> Result<(Store, Request), CommandError> {
    refuse_names(context)?;
    let invocation = context.invocation;
    invocation.validate_hooks()?;
    let store = context.store()?;
    let name = existing_cert_name(context, &store)?;
    refuse_unknown_account(context, &store, name.as_ref())?;
    let mut edits = invocation.edits()?;
    if (invocation.is_from_file("webroot_path") || invocation.is_from_file("webroot_map"))
        && edits.webroot_map.is_none()
    {
        context
            .ui
            .detail("`webroot-path` in cli.ini is for new certificates: each certificate is renewed with its own.");
    }
    if let Some(server) = invocation.server_typed()? {
        edits.param("server", Some(server.as_str()));
    } else if invocation.is_from_file("server") || invocation.is_from_file("staging") {
        context.ui.detail("`server` in cli.ini is for new certificates: each certificate is renewed at its own CA.");
    }
    refuse_test_over_real(context, &store, name.as_ref(), &edits)?;
    let request = request(context, name, edits);
    Ok((store, request))
}

fn refuse_names(context: &Context<'_>) -> Result<(), CommandError> {
    let selection = &context.invocation.typed.selection;
    let named = |id: &str, given: bool| given && !context.invocation.is_from_file(id);
    // A `domains` in cli.ini is for certonly (certbot issues 4096 and 4774).
    if named("domains", !selection.domains.is_empty()) || named("ip_address", !selection.ip_address.is_empty()) {
        return Err(CommandError::usage(
            "Currently, the renew verb is capable of either renewing all installed certificates that are due to be renewed or renewing a single certificate specified by its name using the --cert-name option (-d, --domain, and --ip-address are not valid options for the renew subcommand)",
        )
        .with_cure("to renew one certificate use --cert-name NAME; to change its names use certonly"));
    }
    Ok(())
}

/// An account that none of the certificates' CAs has is a slip: the ones there are help more than a failure of each.
fn refuse_unknown_account(
    context: &Context<'_>,
    store: &Store,
    only: Option<&LineageName>,
) -> Result<(), CommandError> {
    let Some(wanted) = context.invocation.typed.account.account.as_deref() else { return Ok(()) };
    let mut servers: Vec<_> = Vec::new();
    for lineage in store.lineages()?.flatten().filter(|lineage| only.is_none_or(|only| only == lineage.name())) {
        let own = lineage.conf().params().server.as_deref().and_then(|server| crate::args::meant::resolve(server).ok());
        servers.extend(own);
    }
    servers.extend(context.invocation.server_typed()?);
    servers.sort_by(|one, other| one.as_str().cmp(other.as_str()));
    servers.dedup();
    let mut known = Vec::new();
    for server in &servers {
        let (accounts, _) = store.accounts(server)?;
        if accounts.iter().any(|account| account.id == wanted) {
            return Ok(());
        }
        known.extend(accounts.iter().map(|account| format!("{} ({server})", certkit_core::escape(&account.id))));
    }
    let error =
        CommandError::failed(format!("there is no account `{}` that can be read", certkit_core::escape(wanted)));
    Err(match known.as_slice() {
        [] => error.with_cure("leave --account out, or register one: certkit register --server URL --agree-tos"),
        _ => error.with_cure(format!("the accounts are: {}", known.join(", "))),
    })
}

/// certbot's rule: a test certificate never takes the place of a real one by accident.
pub(crate) fn refuse_test_over_real(
    context: &Context<'_>,
    store: &Store,
    only: Option<&LineageName>,
    edits: &ConfEdits,
) -> Result<(), CommandError> {
    let renewal = &context.invocation.typed.renewal;
    let to_test = edits.params.iter().any(|(key, value)| {
        key == "server"
            && matches!(value, Some(certkit_core::store::ConfValue::Text(server)) if is_test_authority(server))
    });
    if !to_test || renewal.dry_run || renewal.break_my_certs {
        return Ok(());
    }
    for lineage in store.lineages()?.flatten() {
        let real = !lineage.conf().params().server.as_deref().is_some_and(is_test_authority);
        if real && only.is_none_or(|only| only == lineage.name()) {
            return Err(CommandError::failed(format!(
                "You've asked to renew/replace a seemingly valid certificate with a test certificate (certificate name: {}). We will not do that unless you use the --break-my-certs flag!",
                lineage.name()
            ))
            .with_cure("use --dry-run to try a renewal, or another --cert-name for a test certificate"));
        }
    }
    Ok(())
}

/// The request that the flags describe.
fn request(context: &Context<'_>, name: Option<LineageName>, edits: ConfEdits) -> Request {
    let typed = &context.invocation.typed;
    let mut request = Request::renew();
    request.may_be_test = typed.renewal.break_my_certs;
    if let Some(name) = name {
        request.selection = Selection::One(name);
    }
    request.edits = edits;
    request.new_key = typed.key.new_key;
    request.mode = mode(context);
    if typed.renewal.force_renewal {
        request.urgency = Urgency::Now;
    }
    request.directory_hooks = !typed.hooks.no_directory_hooks;
    request.probe_endpoints = !typed.serving.no_probe;
    request.account.clone_from(&typed.account.account);
    request
}

/// `--dry-run` or not.
pub(crate) fn mode(context: &Context<'_>) -> Mode {
    let renewal = &context.invocation.typed.renewal;
    if renewal.dry_run { Mode::DryRun { run_deploy_hooks: renewal.run_deploy_hooks } } else { Mode::Real }
}

/// When a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// At once.
    AtOnce,
    /// When a timer started us and something is due, after a random sleep.
    AfterRandomSleep,
}

/// Performs a request with progress and signals.
pub(crate) fn perform(
    context: &Context<'_>,
    work: Work,
    names: Names,
    request: Request,
    start: Start,
) -> Result<Report, CommandError> {
    Ok(attempt(context, work, names, request, start)??)
}

/// The same for who goes on when the run itself could not take place.
pub(crate) fn attempt(
    context: &Context<'_>,
    work: Work,
    names: Names,
    mut request: Request,
    start: Start,
) -> Result<Result<Report, RunError>, CommandError> {
    let settings = context.settings_of_run()?;
    request.parallel_orders = Some(settings.parallel_orders.value);
    let progress = Progress::new(Arc::clone(context.ui), work, names);
    let renewer = context.renewer(&settings, &progress)?;
    let result = runtime::block_on(|stop| async move {
        if start == Start::AfterRandomSleep {
            sleep_when_unattended(context, &renewer, &request, &stop).await?;
        }
        Ok(renewer.run(request, &stop).await)
    });
    progress.finish();
    result
}

/// The exit status of a run, after its JSON document and its findings.
pub(crate) fn conclude(context: &Context<'_>, report: &Report) -> Exit {
    conclude_with(context, report, || renewal::json(report))
}

/// The same with a document that says more. It is made where somebody wants it.
pub(crate) fn conclude_with(
    context: &Context<'_>,
    report: &Report,
    document: impl FnOnce() -> serde_json::Value,
) -> Exit {
    let (_, findings): (Vec<Finding>, Vec<Finding>) =
        report.findings.iter().cloned().partition(|finding| is_told_already(finding, report));
    renewal::tell_findings(&findings, context.ui);
    if context.ui.voice().json {
        context.ui.json(&document());
    }
    match report.stopped {
        Some(reason) => Exit::Stopped(reason),
        None if is_well(report) => Exit::Well,
        None => Exit::Failed,
    }
}

/// Whether a notice that no channel takes says what this run has said by itself: that a certificate failed, or a finding.
fn is_told_already(finding: &Finding, report: &Report) -> bool {
    let is_failure = |outcome: &Outcome| matches!(outcome, Outcome::Failed { .. } | Outcome::Broken { .. });
    let is_same = |other: &Finding| {
        other.code != FindingCode::NoticeDue
            && finding.evidence.starts_with(other.code.what())
            && finding.evidence.contains(&other.subject)
    };
    finding.code == FindingCode::NoticeDue
        && (report.entries.iter().any(|entry| entry.name == finding.subject && is_failure(&entry.outcome))
            || report.findings.iter().any(is_same))
}

/// A dry run is well when what it did went well: it deploys nothing, and so cannot settle what waits from before.
fn is_well(report: &Report) -> bool {
    if !report.dry_run {
        return report.is_success();
    }
    report.entries.iter().all(|entry| entry.outcome.is_success())
        && report.hooks.iter().all(|hook| hook.outcome.success())
}

/// Sleeps before the store is locked, and only when a timer started us and something is due.
async fn sleep_when_unattended(
    context: &Context<'_>,
    renewer: &Renewer,
    request: &Request,
    stop: &Stop,
) -> Result<(), CommandError> {
    let typed = &context.invocation.typed.renewal;
    let attended = std::io::stdin().is_terminal();
    if attended || typed.no_random_sleep_on_renew || typed.dry_run || typed.force_renewal {
        return Ok(());
    }
    // What keeps the run from taking place it tells itself.
    let Ok(plan) = renewer.plan(request).await else { return Ok(()) };
    if !plan.entries.iter().any(|entry| matches!(entry.step, Step::Attempt { .. })) {
        return Ok(());
    }
    let seconds = sleep_seconds(random());
    context.ui.status(&format!(
        "Non-interactive renewal: random delay of {seconds} seconds (--no-random-sleep-on-renew leaves it out)"
    ));
    tokio::select! {
        () = tokio::time::sleep(Duration::from_secs(seconds)) => Ok(()),
        reason = stop.stopped() => Err(CommandError::stopped(reason)),
    }
}

/// 1 to 480 seconds, evenly enough: 2^64 is far above 480.
fn sleep_seconds(random: u64) -> u64 {
    1 + random % LONGEST_SLEEP_SECONDS
}

/// From the system; without it the process id, which differs between machines as well as is needed here.
fn random() -> u64 {
    let mut bytes = [0; 8];
    match std::fs::File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes)) {
        Ok(()) => u64::from_ne_bytes(bytes),
        Err(_) => u64::from(std::process::id()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sleep_stays_within_certbots_bounds() {
        assert_eq!(sleep_seconds(0), 1);
        assert_eq!(sleep_seconds(479), 480);
        assert_eq!(sleep_seconds(480), 1);
        assert!((1..=480).contains(&sleep_seconds(u64::MAX)));
        assert!((0..100).all(|_| (1..=480).contains(&sleep_seconds(random()))));
    }
}
