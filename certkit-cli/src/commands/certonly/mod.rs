//! `certonly`: obtains a certificate as a lineage.

mod choose;
mod complete;
mod csr;
mod files;

use clap::Args as _;

use certkit_acme::authorities;
use certkit_acme::renewal::{Mode, Outcome, Report, Request, RunError, Urgency};
use certkit_core::store::{ConfEdits, Kind, Store};
use certkit_core::{AcmeUrl, IdentifierSet, LineageName, escape};

pub(crate) use self::files::Saved;

use self::choose::{Choice, Existing, Flags, Unattended, choose};
use self::complete::{changes_key, complete_existing, complete_new, refuse_wildcards_without_dns};
use super::renew::{Start, attempt, conclude_with, mode, refuse_test_over_real};
use super::{Command, Context, Operands, account, wishes};
use crate::exit::{CommandError, Exit};
use crate::progress::{Names, Work};
use crate::render::renewal;
use crate::runtime;

/// Obtain a certificate
///
/// Obtains a certificate for the names of -d and stores it so that `certkit renew` (and certbot) renews it. With the
/// names of a certificate that exists already, that one is renewed when it is due. An account is registered when there
/// is none.
///
/// With --csr the names and the key are those of a certificate signing request. The certificate goes into new files,
/// 0000_cert.pem, 0000_chain.pem and 0001_chain.pem in the current directory or those of --cert-path, --chain-path and
/// --fullchain-path. It is in no lineage, and nothing renews it.
#[derive(clap::Args)]
struct About {}

/// `certonly`.
pub(crate) const COMMAND: Command = Command {
    name: "certonly",
    describe: About::augment_args,
    usage: "-d NAME… or --csr FILE",
    flags: &[
        "domains",
        "ip_address",
        "cert_name",
        "csr",
        "cert_path",
        "chain_path",
        "fullchain_path",
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
        "dry_run",
        "run_deploy_hooks",
        "force_renewal",
        "keep_until_expiring",
        "expand",
        "renew_with_new_domains",
        "duplicate",
        "no_autorenew",
        "allow_subset_of_names",
        "break_my_certs",
        "key_type",
        "rsa_key_size",
        "elliptic_curve",
        "reuse_key",
        "no_reuse_key",
        "new_key",
        "preferred_chain",
        "preferred_profile",
        "required_profile",
        "agree_tos",
        "email",
        "register_unsafely_without_email",
        "account",
        "eab_kid",
        "eab_hmac_key",
        "eab_hmac_alg",
        "pre_hook",
        "deploy_hook",
        "post_hook",
        "disable_hook_validation",
        "no_directory_hooks",
        "no_probe",
        "hook_time_limit",
        "live_switch",
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

fn run(context: &Context<'_>) -> Result<Exit, CommandError> {
    let invocation = context.invocation;
    if let Some(file) = &invocation.typed.csr.csr {
        return csr::run(context, file);
    }
    let wanted = invocation.identifiers()?;
    let named = invocation.cert_name()?;
    let edits = invocation.edits()?;
    invocation.validate_hooks()?;
    let store = context.store()?;
    let renewal = &invocation.typed.renewal;
    let flags = Flags {
        // certbot: --force-renewal also implies --expand.
        expand: renewal.expand || renewal.force_renewal,
        replace_names: renewal.renew_with_new_domains,
        duplicate: renewal.duplicate,
    };
    let choice = choose(&existing(&store)?, wanted, named.as_ref(), flags, |name| taken(&store, name))?;
    let wanted = match choice {
        Choice::New(name, identifiers) => Wanted { name, identifiers, novelty: Novelty::Lineage },
        Choice::Same(name, identifiers) => Wanted { name, identifiers, novelty: Novelty::None },
        Choice::Changed(name, identifiers) => Wanted { name, identifiers, novelty: Novelty::Content },
        Choice::Ask { name, identifiers, question, unattended } => {
            confirm(context, &name, &question, unattended)?;
            Wanted { name, identifiers, novelty: Novelty::Content }
        }
    };
    match obtain(context, &store, &wanted, edits.clone())? {
        // A run that was killed had all but the last step of it done, or another one was faster: what was asked for is
        // there. A duplicate is one besides what is there.
        Err(made @ RunError::MadeMeanwhile(_)) if !flags.duplicate && is_there(&store, &wanted)? => {
            context.ui.status(&escape(&made.to_string()));
            Ok(obtain(context, &store, &Wanted { novelty: Novelty::None, ..wanted }, edits)??)
        }
        ended => Ok(ended?),
    }
}

/// The certificate that is asked for.
#[derive(Clone, Debug)]
struct Wanted {
    name: LineageName,
    identifiers: IdentifierSet,
    novelty: Novelty,
}

/// Whether there is one for these names and no others by now.
fn is_there(store: &Store, wanted: &Wanted) -> Result<bool, CommandError> {
    let same = |one: &Existing| one.name == wanted.name && one.identifiers.same_as(&wanted.identifiers);
    Ok(existing(store)?.iter().any(same))
}

/// Obtains it. The inner error says why no run took place.
fn obtain(
    context: &Context<'_>,
    store: &Store,
    wanted: &Wanted,
    mut edits: ConfEdits,
) -> Result<Result<Exit, RunError>, CommandError> {
    let Wanted { name, identifiers, novelty } = wanted;
    let (invocation, novelty) = (context.invocation, *novelty);
    let renewal = &invocation.typed.renewal;
    let is_new = novelty == Novelty::Lineage;
    let server =
        if is_new { complete_new(context, &mut edits)? } else { complete_existing(context, store, name, &mut edits)? };
    if !is_new {
        refuse_test_over_real(context, store, Some(name), &edits)?;
        point_to_typed_webroot(context, &mut edits, identifiers);
    }
    refuse_wildcards_without_dns(&edits, identifiers)?;
    let new_key = invocation.typed.key.new_key || (!is_new && changes_key(context, store, name, &edits)?);
    let shown_names: Vec<String> = identifiers.iter().map(ToString::to_string).collect();
    let work = match (is_new, renewal.dry_run) {
        (true, false) => Work::Requesting,
        (true, true) => Work::SimulatingRequest,
        (false, false) => Work::Renewing,
        (false, true) => Work::SimulatingRenewal,
    };
    let asked = edits.clone();
    let mut request = Request::obtain(name.clone(), identifiers.clone(), edits);
    request.must_be_new = is_new;
    request.may_be_test = context.invocation.typed.renewal.break_my_certs;
    request.new_key = invocation.typed.key.new_key;
    request.mode = mode(context);
    // What was typed is wanted now: back-off is for the same thing tried again and again.
    if renewal.force_renewal || novelty != Novelty::None || new_key {
        request.urgency = Urgency::Now;
    }
    request.directory_hooks = !invocation.typed.hooks.no_directory_hooks;
    request.probe_endpoints = !invocation.typed.serving.no_probe;
    request.account.clone_from(&invocation.typed.account.account);
    ensure_account(context, store, &server, request.mode)?;
    let names = Names::Of(name.clone(), shown_names.clone());
    let report = match attempt(context, work, names, request, Start::AtOnce)? {
        Ok(report) => report,
        Err(error) => return Ok(Err(error)),
    };
    tell(context, &report, name, is_new.then_some(shown_names.as_slice()))?;
    let wish = wishes::remembered(context, &report, name)?;
    if let Some(wish) = &wish {
        context.ui.failure(&wishes::in_words(wish, &asked, name));
    }
    let mut document = renewal::json(&report);
    document["wish"] = wishes::in_json(wish.as_ref());
    Ok(Ok(conclude_with(context, &report, || document)))
}

/// What is new about a certificate that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Novelty {
    /// Nothing.
    None,
    /// Its names.
    Content,
    /// It is the first one of its lineage.
    Lineage,
}

/// Asks whether a lineage shall get other names. Without somebody to ask, certbot's default counts.
fn confirm(
    context: &Context<'_>,
    name: &LineageName,
    question: &str,
    unattended: Unattended,
) -> Result<(), CommandError> {
    let asked = context.ui.voice().interactive;
    if asked && context.ui.confirm(question, false) {
        return Ok(());
    }
    match unattended {
        Unattended::Refuse(cure) => Err(CommandError::failed(question).with_cure(cure)),
        Unattended::GoOn { .. } if asked => {
            Err(CommandError::failed(format!("the certificate `{name}` was not changed")))
        }
        Unattended::GoOn { lost } => {
            if !lost.is_empty() {
                context
                    .ui
                    .failure(&format!("These names are dropped from the certificate {name}: {}.\n", lost.join(", ")));
            }
            Ok(())
        }
    }
}

/// A typed `-w` without `-d` is meant for every name, and not only for those that the conf knows no document root for.
pub(crate) fn point_to_typed_webroot(context: &Context<'_>, edits: &mut ConfEdits, identifiers: &IdentifierSet) {
    if let (None, Some(root)) = (&edits.webroot_map, context.invocation.webroot_typed()) {
        edits.webroot_map = Some(identifiers.iter().map(|one| (one.to_string(), root.clone())).collect());
    }
}

fn existing(store: &Store) -> Result<Vec<Existing>, CommandError> {
    let lineages = store.lineages()?.flatten();
    Ok(lineages
        .filter_map(|lineage| {
            let identifiers = lineage.certificate().ok()?.identifiers().ok()?;
            Some(Existing { name: lineage.name().clone(), identifiers })
        })
        .collect())
}

/// A name is taken by a conf, readable or not.
fn taken(store: &Store, name: &LineageName) -> bool {
    store.paths().conf(name).symlink_metadata().is_ok()
}

/// Registers on the fly, as certbot does. A dry run at Let's Encrypt goes to its test server, whose account the run
/// itself makes; an account that is named has to exist.
fn ensure_account(context: &Context<'_>, store: &Store, server: &AcmeUrl, mode: Mode) -> Result<(), CommandError> {
    let simulated_elsewhere = matches!(mode, Mode::DryRun { .. }) && authorities::staging_of(server).is_some();
    let wanted = context.invocation.typed.account.account.as_deref();
    if simulated_elsewhere || wanted.is_some() || !account::is_missing(store, server)? {
        return Ok(());
    }
    if matches!(mode, Mode::DryRun { .. }) {
        // It would stay: a dry run keeps nothing.
        return Err(CommandError::failed(format!("a dry run at {server} needs an account there, and there is none"))
            .with_cure(format!("register one first: certkit register --server {server} --agree-tos")));
    }
    runtime::ask(account::register(context, server))?;
    context.ui.status("Account registered.");
    account::say_who_tells(context, store, server);
    Ok(())
}

/// `requested` are the names of a new lineage.
fn tell(
    context: &Context<'_>,
    report: &Report,
    name: &LineageName,
    requested: Option<&[String]>,
) -> Result<(), CommandError> {
    for entry in &report.entries {
        match &entry.outcome {
            Outcome::NotDue { .. } => {
                context.ui.result("Certificate not yet due for renewal; no action taken.\n");
            }
            Outcome::Renewed { not_after, .. } => {
                let store = context.store()?;
                let lineage = context.lineage(&store, name)?;
                context.ui.result(&renewal::received(
                    lineage.live_path(Kind::Fullchain),
                    lineage.live_path(Kind::Privkey),
                    *not_after,
                ));
            }
            Outcome::Simulated => context.ui.result("The dry run was successful.\n"),
            Outcome::Failed { failure, .. } if requested.is_some() => {
                renewal::not_obtained(requested.unwrap_or_default(), failure).say(context.ui);
            }
            _ => renewal::outcome(entry).iter().for_each(|piece| piece.say(context.ui)),
        }
    }
    renewal::loose_ends(report).iter().for_each(|piece| piece.say(context.ui));
    Ok(())
}
