//! `doctor`: everything that would make the next renewal or deploy fail, before it does.

use clap::Args as _;

use certkit_acme::command::CommandSettings;
use certkit_acme::doctor::Machine;
use certkit_acme::renewal::{Reach, Request};
use certkit_core::Severity;

use super::common::existing_cert_name;
use super::{Command, Context, Operands};
use crate::exit::{CommandError, Exit};
use crate::render::doctor;
use crate::runtime;

/// Look for everything that would make the next renewal or deploy fail
///
/// Looks at this machine (what runs certkit and what else renews, hooks, deploy targets, disks, who can read the keys,
/// chains, confs, limits), at the CA (without an order), at the names in DNS and at port 80. Each problem is told with
/// what it is about, why it matters, and what to do, the worst first; then what could not be looked at from here, and why.
/// Nothing is changed: a file with a token is put into each web root for a moment, as for a CA. The exit status is 1 when
/// something is an error or a warning. docs/doctor.md lists what is detected.
#[derive(clap::Args)]
struct About {}

/// `doctor`.
pub(crate) const COMMAND: Command = Command {
    name: "doctor",
    describe: About::augment_args,
    usage: "",
    flags: &["cert_name", "no_network", "ca_bundle", "no_verify_ssl", "no_directory_hooks"],
    writes: false,
    operands: Operands::None,
    run,
};

fn run(context: &Context<'_>) -> Result<Exit, CommandError> {
    context.refuse_other_flags(&COMMAND)?;
    let typed = &context.invocation.typed;
    let mut request = Request::renew();
    request.directory_hooks = !typed.hooks.no_directory_hooks;
    if let Some(name) = existing_cert_name(context, &context.store()?)? {
        request = request.only(name);
    }
    let reach = if typed.doctor.no_network { Reach::Machine } else { Reach::Network };
    let commands = CommandSettings::from_env();
    let path = commands.environment.iter().find(|(name, _)| name == "PATH").map(|(_, path)| path.clone());
    let root = context.invocation.environment.timer_root.clone().unwrap_or_else(|| "/".into());
    let machine = Machine::new(&commands).rooted_at(root).with_path(path);
    let renewer = context.examining_renewer()?;
    let examinations = runtime::ask(async { Ok(renewer.examine(&request, &machine, reach).await?) })?;

    context.ui.result(&doctor::text(&examinations));
    if context.ui.voice().json {
        context.ui.json(&doctor::json(&examinations));
    }
    if examinations.worst() < Some(Severity::Warning) {
        return Ok(Exit::Well);
    }
    if context.ui.voice().quiet && !context.ui.voice().json {
        context.ui.failure(&doctor::text(&examinations));
    }
    Ok(Exit::Failed)
}
