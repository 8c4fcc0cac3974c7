//! `deploy`: gives the versions in use to what does not have them yet.

use std::sync::Arc;

use clap::Args as _;

use certkit_acme::renewal::{Request, Selection};

use super::common::existing_cert_name;
use super::renew::conclude;
use super::{Command, Context, Operands};
use crate::exit::{CommandError, Exit};
use crate::progress::{Names, Progress, Work};
use crate::render::renewal;
use crate::runtime;

/// Run what is pending of the deploy
///
/// Gives the certificates in use to what does not have them yet: hooks and reloads that failed, those that an interrupted
/// run left over, and targets that were added to the settings. Where a server still serves an older version, the hooks and
/// reloads run once more; then it is seen whether the certificates in use are served. No CA is asked for anything. Every run of `certkit renew`
/// does the same; this is for whoever has just put right why it failed.
#[derive(clap::Args)]
struct About {}

/// `deploy`.
pub(crate) const COMMAND: Command = Command {
    name: "deploy",
    describe: About::augment_args,
    usage: "",
    flags: &["cert_name", "no_directory_hooks", "hook_time_limit", "no_probe", "ca_bundle"],
    writes: true,
    operands: Operands::None,
    run,
};

fn run(context: &Context<'_>) -> Result<Exit, CommandError> {
    context.refuse_other_flags(&COMMAND)?;
    let store = context.store()?;
    let mut request = Request::renew();
    if let Some(name) = existing_cert_name(context, &store)? {
        request.selection = Selection::One(name);
    }
    request.directory_hooks = !context.invocation.typed.hooks.no_directory_hooks;
    request.probe_endpoints = !context.invocation.typed.serving.no_probe;
    let progress = Progress::new(Arc::clone(context.ui), Work::Renewing, Names::None);
    let renewer = context.renewer(&context.settings()?, &progress)?;
    let result = runtime::block_on(|stop| async move { Ok(renewer.deploy_pending(request, &stop).await?) });
    progress.finish();
    let report = result?;
    for entry in &report.entries {
        renewal::outcome(entry).iter().for_each(|piece| piece.say(context.ui));
    }
    if report.entries.is_empty() {
        context.ui.result("Nothing is pending.\n");
    }
    renewal::loose_ends(&report).iter().for_each(|piece| piece.say(context.ui));
    Ok(conclude(context, &report))
}
