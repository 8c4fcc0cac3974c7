//! `check`: what a monitoring system is told. It reads only.

use std::sync::Arc;

use clap::Args as _;

use certkit_acme::renewal::{Request, Selection};
use certkit_core::CheckLevel;

use super::common::existing_cert_name;
use super::{Command, Context, Operands};
use crate::exit::{CommandError, Exit};
use crate::progress::{Names, Progress, Work};
use crate::render::check;
use crate::runtime;
use crate::ui::Ui;

/// The command word.
pub(crate) const CHECK: &str = "check";

/// Tell a monitoring system how the certificates are
///
/// A plugin for Nagios, Icinga and those that understand them: one line with what matters, performance data after a `|`,
/// then a line for each problem with what to do. The exit status is 0 for OK, 1 for WARNING, 2 for CRITICAL and 3 for
/// UNKNOWN, a wrong command line included.
///
/// A certificate that is due is no reason to speak, one that is overdue by a day (or a tenth of its life, if that is less)
/// is a warning, and an eighth of its life left is critical. So is a server that serves something else than what is stored,
/// where that counts: at the `[[endpoint]]` tables of certkit/lineages/NAME.toml, and at port 443 of a name that has served
/// one of our versions before. Every server is looked at now; with --no-probe, what was seen last counts. Nothing is
/// changed. The files in use are verified, too: that servers load them, that key and certificate belong together, and that
/// the chain is the certificate's own.
#[derive(clap::Args)]
struct About {}

/// `check`.
pub(crate) const COMMAND: Command = Command {
    name: CHECK,
    describe: About::augment_args,
    usage: "",
    flags: &["cert_name", "no_probe", "ca_bundle"],
    writes: false,
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
    let progress = Progress::new(Arc::clone(context.ui), Work::Renewing, Names::None);
    let renewer = context.renewer(&context.settings()?, &progress)?;
    let looks = !context.invocation.typed.serving.no_probe;
    let survey = runtime::ask(async move {
        let survey = if looks { renewer.survey_looking(&request).await? } else { renewer.survey(&request).await? };
        Ok(renewer.with_verified_files(survey).await)
    });
    progress.finish();
    let survey = survey?;
    let checked: Vec<_> =
        survey.summaries.iter().map(|summary| (certkit_core::check(summary, survey.now), summary)).collect();
    let level = checked.iter().map(|(one, _)| one.level).max().unwrap_or_default();
    if context.ui.voice().json {
        context.ui.json(&check::json(survey.now, level, &checked));
    } else {
        // A monitoring system shows what it is given, whether all is well or not.
        context.ui.plain(&check::text(level, &checked));
    }
    Ok(Exit::Checked(level))
}

/// Nothing could be told: that is UNKNOWN, and the reason stands where a monitoring system reads.
pub(crate) fn unknown(error: &CommandError, ui: &Ui) -> Exit {
    let level = CheckLevel::Unknown;
    if ui.voice().json {
        ui.json(&check::json_of_failure(level, error));
    } else {
        ui.plain(&check::failure(level, error));
    }
    Exit::Checked(level)
}
