//! `notify`: tells the owner what there is to tell, and shows what would be told.

use clap::Args as _;

use certkit_acme::renewal::Renewer;
use certkit_core::{Finding, FindingCode};

use super::{Command, Context, Operands};
use crate::exit::{CommandError, Exit};
use crate::render::{notify, renewal};
use crate::runtime;

/// Send the notices that are due, or show them, or try the channels
///
/// Every run tells the owner what he has to know: `certkit renew` and the daemon do it at their end. This does the same
/// without a run: it sends the notices that are due, and those that earlier runs could not deliver.
///
/// Where the settings cannot be used, it goes by what can be read of them: the channels without a mistake of their own.
///
/// `--dry-run` sends nothing and shows what would go out, to whom and why, and why nothing is said of the others.
/// `--test` sends a test message by every channel and says of each whether it arrived; the exit status is 1 when one did
/// not. How the owner is told stands in certkit/settings.toml: `email`, and a [[notify]] table for each channel.
#[derive(clap::Args)]
struct About {}

/// `notify`.
pub(crate) const COMMAND: Command = Command {
    name: "notify",
    describe: About::augment_args,
    usage: "[--test | --dry-run]",
    flags: &["test", "dry_run", "ca_bundle", "user_agent_comment"],
    writes: true,
    operands: Operands::None,
    run,
};

fn run(context: &Context<'_>) -> Result<Exit, CommandError> {
    context.refuse_other_flags(&COMMAND)?;
    let typed = &context.invocation.typed;
    if typed.notices.test && typed.renewal.dry_run {
        return Err(CommandError::usage("--test sends something, and --dry-run sends nothing")
            .with_cure("leave one of them out"));
    }
    let settings = context.settings_of_run()?;
    let renewer = context.telling_renewer()?.transport(context.invocation.transport(&settings)).build()?;
    let has_channels = !settings.channels().is_empty();
    if typed.notices.test {
        // What cannot be read is not tried, and whoever tries wants to know.
        let mistakes = context.store()?.settings().err();
        if let Some(mistakes) = mistakes.as_ref().filter(|_| !has_channels) {
            return Err(mistakes.clone().into());
        }
        let exit = test(context, &renewer, has_channels)?;
        let Some(mistakes) = mistakes else { return Ok(exit) };
        renewal::tell_findings(&[mistakes.finding()], context.ui);
        Ok(Exit::Failed)
    } else if typed.renewal.dry_run {
        dry_run(context, &renewer, has_channels)
    } else {
        tell(context, &renewer, has_channels)
    }
}

fn test(context: &Context<'_>, renewer: &Renewer, has_channels: bool) -> Result<Exit, CommandError> {
    if !has_channels {
        return Err(CommandError::failed(FindingCode::NobodyIsTold.what()).with_cure(FindingCode::NobodyIsTold.cure()));
    }
    let deliveries = runtime::ask(async { Ok(renewer.tell_test().await?) })?;
    for delivery in &deliveries {
        match notify::tested(delivery) {
            Ok(text) => context.ui.result(&text),
            Err(text) => context.ui.failure(&text),
        }
    }
    if context.ui.voice().json {
        context.ui.json(&notify::test_json(&deliveries));
    }
    let is_well = deliveries.iter().all(|delivery| delivery.sent.is_complete());
    Ok(if is_well { Exit::Well } else { Exit::Failed })
}

fn dry_run(context: &Context<'_>, renewer: &Renewer, has_channels: bool) -> Result<Exit, CommandError> {
    let mut foretold = runtime::ask(async { Ok(renewer.foretell().await?) })?;
    context.ui.result(&notify::foretold(&foretold));
    nobody(has_channels, &mut foretold.findings);
    renewal::tell_findings(&foretold.findings, context.ui);
    if context.ui.voice().json {
        context.ui.json(&notify::foretold_json(&foretold));
    }
    Ok(Exit::Well)
}

fn tell(context: &Context<'_>, renewer: &Renewer, has_channels: bool) -> Result<Exit, CommandError> {
    // Not cut short by a signal: what was sent has to be remembered, and it is bounded.
    let mut told = runtime::block_on(|_stop| async { Ok(renewer.tell().await?) })?;
    context.ui.result(&notify::told(&told));
    nobody(has_channels, &mut told.findings);
    renewal::tell_findings(&told.findings, context.ui);
    if context.ui.voice().json {
        context.ui.json(&notify::told_json(&told));
    }
    let is_well = !of_unusable_settings(&told.findings)
        && !told.findings.iter().any(is_of_the_store)
        && told.deliveries.iter().all(|delivery| delivery.sent.is_complete());
    Ok(if is_well { Exit::Well } else { Exit::Failed })
}

fn of_unusable_settings(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.code == FindingCode::SettingsUnusable)
}

/// What the notices go out in spite of.
fn is_of_the_store(finding: &Finding) -> bool {
    matches!(
        finding.code,
        FindingCode::StoreFailing
            | FindingCode::StoreFull
            | FindingCode::StoreNotWritable
            | FindingCode::StoreOutOfFiles
            | FindingCode::StoreReadOnly
            | FindingCode::StoreUnreadable
    )
}

fn nobody(has_channels: bool, findings: &mut Vec<Finding>) {
    // Settings that cannot be used tell nothing about whom they name.
    if !has_channels && !of_unusable_settings(findings) {
        findings.push(Finding::new(FindingCode::NobodyIsTold, "certkit/settings.toml", ""));
    }
}
