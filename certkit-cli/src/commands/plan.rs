//! `plan`: when each certificate is renewed, and why then. It reads only.

use clap::Args as _;

use super::{Command, Context, Operands, foresight};
use crate::exit::{CommandError, Exit};
use crate::render::plan;

/// Show when each certificate is renewed, and why
///
/// Shows every certificate in the order in which it is renewed: whether it is due and by which rule, the CA's window and the
/// instant that was chosen in it, what a certificate that is due waits for and until when, what is left of the CA's limits,
/// and how often certkit is run as far as it knows. Nobody is asked and nothing is changed: it is what the next run would
/// begin with.
#[derive(clap::Args)]
struct About {}

/// `plan`.
pub(crate) const COMMAND: Command = Command {
    name: "plan",
    describe: About::augment_args,
    usage: "",
    flags: &["cert_name"],
    writes: false,
    operands: Operands::None,
    run,
};

fn run(context: &Context<'_>) -> Result<Exit, CommandError> {
    context.refuse_other_flags(&COMMAND)?;
    let name = context.invocation.cert_name()?;
    let foresight = foresight::look(context, name.as_ref())?;
    context.ui.result(&plan::text(&foresight));
    if context.ui.voice().json {
        context.ui.json(&plan::json(&foresight));
    }
    // The next run would begin with nothing.
    Ok(if foresight.settings_are_unusable() { Exit::Failed } else { Exit::Well })
}
