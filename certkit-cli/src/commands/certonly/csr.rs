//! `certonly --csr`: a certificate for a request that somebody else made, into files of its own.

use std::path::Path;

use certkit_acme::renewal::{CsrOrder, CsrReport, Mode};
use certkit_core::store::ConfEdits;
use certkit_core::{CertificateRequest, Chain, IdentifierSet, escape};

use super::files::{Destinations, Saved};
use super::{Context, complete_new, ensure_account};
use crate::args::Invocation;
use crate::commands::common::named_file;
use crate::commands::renew::mode;
use crate::exit::{CommandError, Exit};
use crate::progress::{Names, Progress, Work};
use crate::render::{csr as render, renewal, words};
use crate::runtime;
use crate::ui::shown;

/// No request is as large as this.
const MAX_BYTES: usize = 1 << 20;

/// What has no meaning when the key is somebody else's and nothing is stored: the flag's id and why.
const WITHOUT_MEANING: &[(&str, &str, &str)] = &[
    ("cert_name", "cert-name", "nothing is stored under a name"),
    ("deploy_hook", "deploy-hook", "there is no lineage to deploy; run the command after certkit"),
    ("key_type", "key-type", "the request says which key it is"),
    ("rsa_key_size", "rsa-key-size", "the request says which key it is"),
    ("elliptic_curve", "elliptic-curve", "the request says which key it is"),
    ("reuse_key", "reuse-key", "the request says which key it is"),
    ("new_key", "new-key", "the request says which key it is"),
];

/// `certonly --csr FILE`.
pub(super) fn run(context: &Context<'_>, file: &Path) -> Result<Exit, CommandError> {
    let invocation = context.invocation;
    refuse_what_has_no_meaning(invocation)?;
    let request = read(file)?;
    refuse_other_names(request.identifiers(), &invocation.identifiers()?)?;
    let mut settings = without_key(invocation.edits()?);
    invocation.validate_hooks()?;
    let destinations = Destinations::of(&invocation.typed)?;
    let mode = mode(context);
    if mode == Mode::Real {
        // What cannot be written is not ordered.
        destinations.check()?;
    }
    let store = context.store()?;
    let server = complete_new(context, &mut settings)?;
    ensure_account(context, &store, &server, mode)?;

    let mut order = CsrOrder::new(request, settings);
    order.mode = mode;
    order.account.clone_from(&invocation.typed.account.account);
    order.directory_hooks = !invocation.typed.hooks.no_directory_hooks;
    let names: Vec<String> = order.csr.identifiers().iter().map(ToString::to_string).collect();
    let work = if mode == Mode::Real { Work::Requesting } else { Work::SimulatingRequest };
    context.ui.status(&format!("{} for {}", work.words(), words::names_in_short(&names)));
    let progress = Progress::new(std::sync::Arc::clone(context.ui), work, Names::None);
    let renewer = context.renewer(&context.settings()?, &progress)?;
    let report = runtime::block_on(|stop| {
        let order = &order;
        async move { Ok(renewer.obtain_for_csr(order, &stop).await?) }
    });
    progress.finish();
    let report = report?;
    let saved = match &report.outcome {
        Ok(chain) if mode == Mode::Real => Some(save(context, &destinations, chain)?),
        _ => None,
    };
    Ok(tell(context, &report, saved.as_ref(), mode, &names))
}

fn tell(context: &Context<'_>, report: &CsrReport, saved: Option<&Saved>, mode: Mode, names: &[String]) -> Exit {
    match (&report.outcome, saved) {
        (Ok(chain), Some(saved)) => context.ui.result(&render::received(saved, chain.leaf.validity().not_after)),
        (Ok(_), None) => context.ui.result("The dry run was successful.\n"),
        (Err(failure), _) => {
            renewal::not_obtained(names, failure).say(context.ui);
        }
    }
    renewal::loose_hooks(&report.hooks).iter().for_each(|piece| piece.say(context.ui));
    if context.ui.voice().json {
        context.ui.json(&render::json(report, saved, context.now, mode != Mode::Real));
    }
    match report.stopped {
        Some(reason) => Exit::Stopped(reason),
        None if report.outcome.is_ok() && report.hooks.iter().all(|hook| hook.outcome.success()) => Exit::Well,
        None => Exit::Failed,
    }
}

/// A certificate that cannot be saved is printed: another one would have to be ordered.
fn save(context: &Context<'_>, destinations: &Destinations, chain: &Chain) -> Result<Saved, CommandError> {
    destinations.save(chain).map_err(|error| {
        // Standard output holds one document and nothing else with --json.
        let place = if context.ui.voice().json {
            context.ui.failure(&chain.fullchain_pem());
            "standard error"
        } else {
            context.ui.plain(&chain.fullchain_pem());
            "standard output"
        };
        error.with_cure(format!("the certificate and its chain are on {place}: save them from there"))
    })
}

fn refuse_what_has_no_meaning(invocation: &Invocation) -> Result<(), CommandError> {
    for (id, long, why) in WITHOUT_MEANING {
        if invocation.flags.iter().any(|flag| flag == long) && !invocation.is_from_file(id) {
            return Err(
                CommandError::usage(format!("--{long} has no meaning with --csr: {why}")).with_cure("leave it out")
            );
        }
    }
    Ok(())
}

fn read(file: &Path) -> Result<CertificateRequest, CommandError> {
    let unusable = |problem: &str| {
        CommandError::failed(format!("{}: {}", shown(file), escape(problem)))
            .with_cure("give a certificate signing request in PEM or DER, with its names as alternative names")
    };
    let bytes = named_file(file, MAX_BYTES).map_err(|problem| unusable(&format!("cannot read it: {problem}")))?;
    CertificateRequest::from_pem_or_der(&bytes).map_err(|problem| unusable(&problem.to_string()))
}

/// certbot's check: what is named besides has to be in the request.
fn refuse_other_names(request: &IdentifierSet, typed: &IdentifierSet) -> Result<(), CommandError> {
    if request.is_superset(typed) {
        return Ok(());
    }
    let list = |set: &IdentifierSet| set.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Err(CommandError::failed(format!(
        "Inconsistent requests:\nFrom the CSR: {}\nFrom command line/config: {}",
        list(request),
        list(typed)
    ))
    .with_cure("leave -d and --ip-address out, or make a request with these names"))
}

/// Settings of cli.ini for keys that we make.
fn without_key(mut edits: ConfEdits) -> ConfEdits {
    let keys = ["key_type", "rsa_key_size", "elliptic_curve", "reuse_key", "renew_hook"];
    edits.params.retain(|(name, _)| !keys.contains(&name.as_str()));
    edits
}
