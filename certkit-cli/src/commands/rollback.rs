//! `rollback`: goes back to an older version of a certificate.

use std::sync::Arc;

use clap::Args as _;

use certkit_acme::renewal::{Outcome, RollBack};
use certkit_core::Version;

use super::renew::conclude;
use super::{Command, Context, Operands};
use crate::exit::{CommandError, Exit};
use crate::progress::{Names, Progress, Work};
use crate::render::renewal;
use crate::runtime;

/// Go back to an older version of a certificate
///
/// Stores an old version again as the newest one and puts it into use, so that neither certkit nor certbot undoes it
/// at their next run. Deploy hooks run. `certkit versions` lists the versions.
#[derive(clap::Args)]
struct About {}

/// `rollback`.
pub(crate) const COMMAND: Command = Command {
    name: "rollback",
    describe: About::augment_args,
    usage: "--cert-name NAME",
    flags: &["cert_name", "to", "no_directory_hooks", "hook_time_limit", "live_switch", "no_probe"],
    writes: true,
    operands: Operands::None,
    run,
};

fn run(context: &Context<'_>) -> Result<Exit, CommandError> {
    let invocation = context.invocation;
    let name = invocation.needed_cert_name("rollback")?;
    let to = invocation.typed.version_choice.to.map(Version);
    let store = context.store()?;
    let lineage = context.lineage(&store, &name)?;
    if let Some(to) = to {
        let versions = lineage.versions()?;
        if !versions.contains_key(&to) {
            let known: Vec<String> = versions.keys().map(ToString::to_string).collect();
            return Err(CommandError::failed(format!("the archive of `{name}` holds no version {to}"))
                .with_cure(format!("it holds: {}", known.join(", "))));
        }
        if lineage.live_version() == Some(to) {
            return Err(CommandError::failed(format!("version {to} of `{name}` is the one in use")));
        }
    }
    let progress = Progress::new(Arc::clone(context.ui), Work::Renewing, Names::None);
    let renewer = context.renewer(&context.settings()?, &progress)?;
    let mut wanted = RollBack::of(name);
    wanted.to = to;
    wanted.directory_hooks = !invocation.typed.hooks.no_directory_hooks;
    wanted.probe_endpoints = !invocation.typed.serving.no_probe;
    let result = runtime::block_on(|stop| async move { Ok(renewer.roll_back(&wanted, &stop).await?) });
    progress.finish();
    let report = result?;
    for entry in &report.entries {
        match &entry.outcome {
            Outcome::Renewed { version, not_after } => context.ui.result(&format!(
                "The older certificate of {} is in use again, as version {version}; it expires on {}.\n",
                entry.name,
                crate::render::date(*not_after)
            )),
            _ => renewal::outcome(entry).iter().for_each(|piece| piece.say(context.ui)),
        }
    }
    renewal::loose_ends(&report).iter().for_each(|piece| piece.say(context.ui));
    Ok(conclude(context, &report))
}
