//! `status`: how every certificate is, on one screen. It reads only.

use clap::Args as _;

use certkit_core::{Finding, FindingCode};

use super::{Command, Context, Operands, foresight};
use crate::exit::{CommandError, Exit};
use crate::render::status;

/// Show how every certificate is, on one screen
///
/// Shows a line for each certificate, those with a problem first: its state, what is left of its life, when it is due, how
/// the last attempt ended, and the CA that issued it when it is not the usual one. Below stand the problems of the store.
/// Nothing is changed. The exit status is 0 whatever is shown: it is an answer to a question, and no alarm.
#[derive(clap::Args)]
struct About {}

/// `status`.
pub(crate) const COMMAND: Command = Command {
    name: "status",
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
    let mut foresight = foresight::look(context, name.as_ref())?;
    let mut findings = std::mem::take(&mut foresight.findings);
    findings.extend(context.store()?.audit()?);
    findings.extend(foresight.certificates.iter().flat_map(|one| one.entry.due.findings.iter().cloned()));
    // Settings that cannot be used tell nothing about whom they name.
    if name.is_none() && context.store()?.settings().is_ok_and(|settings| settings.channels().is_empty()) {
        let file = context.store()?.paths().settings_file();
        findings.push(Finding::new(FindingCode::NobodyIsTold, file.to_string_lossy(), ""));
    }
    // They have their own lines.
    findings.retain(|finding| finding.code != FindingCode::BrokenLineage);
    findings.dedup();
    if let Some(name) = &name {
        findings.retain(|finding: &Finding| {
            // The settings for all concern this one, too.
            finding.code == FindingCode::SettingsUnusable || super::certificates::concerns(finding, name.as_str())
        });
    }
    context.ui.result(&status::text(&foresight, &findings));
    if context.ui.voice().json {
        context.ui.json(&status::json(&foresight, &findings));
    }
    Ok(Exit::Well)
}
