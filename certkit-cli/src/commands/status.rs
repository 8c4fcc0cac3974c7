//! `status`: how every certificate is, on one screen. It reads only.

use clap::Args as _;

use super::{Command, Context, Operands, foresight, metrics};
use crate::exit::{CommandError, Exit};
use crate::render::status::{self, Limit};
use crate::ui;

/// Show how every certificate is, on one screen
///
/// Shows a line for each certificate: its life as a bar on which now and the renewal are marked, what is left of it, its
/// state, when it is due, whether it is served, and how the last attempt ended. Those with a problem come first, each with
/// what is wrong and what to do. Below stand the problems of the store. Of many certificates that are well some are shown
/// and the others counted; --all shows all.
///
/// With --prometheus it is what Prometheus is told instead. Nothing is changed. The exit status is 0 whatever is shown: it is an answer to a question, and no alarm.
#[derive(clap::Args)]
struct About {}

/// `status`.
pub(crate) const COMMAND: Command = Command {
    name: "status",
    describe: About::augment_args,
    usage: "",
    flags: &["cert_name", "all", "prometheus"],
    writes: false,
    operands: Operands::None,
    run,
};

fn run(context: &Context<'_>) -> Result<Exit, CommandError> {
    context.refuse_other_flags(&COMMAND)?;
    let name = context.invocation.cert_name()?;
    if context.invocation.typed.metrics.prometheus {
        return metrics::show(context, name.as_ref());
    }
    let (foresight, findings) = foresight::look_at_everything(context, name.as_ref())?;
    let screen = ui::screen(&context.invocation.environment);
    let limit = if context.invocation.typed.view.all { Limit::None } else { Limit::OneScreen };
    context.ui.result(&status::text(&foresight, &findings, &screen, limit));
    if context.ui.voice().json {
        context.ui.json(&status::json(&foresight, &findings));
    }
    Ok(Exit::Well)
}
