//! `fsck`: what is inconsistent in the store, and putting it right.

use std::collections::BTreeSet;

use certkit_acme::AwsLcKeyMath;
use certkit_core::store::Diagnosis;
use certkit_core::{FindingCode, LineageName};
use clap::Args as _;

use super::common::no_such_certificate;
use super::{Command, Context, Operands};
use crate::exit::{CommandError, Exit};
use crate::render::fsck;
use crate::ui::shown;

/// Look for everything that is inconsistent in the store, and repair it
///
/// Finds what interrupted runs, full disks, copies of the tree and changes by hand leave: empty and damaged files, links
/// that are mixed, lead nowhere or are none, renewal configurations that are empty or say something else than the links,
/// half-made certificates, leftovers, and what other users can read or change. Each problem is told with what it means, and
/// with what --repair would do about it or why that is yours to decide. Nothing is changed without --repair, and nothing is
/// guessed with it: a version counts when its chain and its key verify. What is changed is saved first. With --dry-run it
/// is only shown. The exit status is 1 when an error or a warning is left. docs/fsck.md lists what is detected.
#[derive(clap::Args)]
struct About {}

/// `fsck`.
pub(crate) const COMMAND: Command = Command {
    name: "fsck",
    describe: About::augment_args,
    usage: "",
    flags: &["repair", "dry_run", "cert_name", "live_switch", "also_in"],
    writes: false,
    operands: Operands::None,
    run,
};

fn run(context: &Context<'_>) -> Result<Exit, CommandError> {
    context.refuse_other_flags(&COMMAND)?;
    let typed = &context.invocation.typed;
    own_folders_exist(context)?;
    let (store, math) = (context.store()?, AwsLcKeyMath::new());
    let only: Option<BTreeSet<LineageName>> = context.invocation.cert_name()?.map(|name| BTreeSet::from([name]));
    let mut found = store.diagnose(&math, context.now)?;
    if let Some(only) = &only {
        // What nobody may read keeps each of them from being repaired.
        let concerns_all = |one: &Diagnosis| one.name.is_none() && one.finding.code == FindingCode::Unreadable;
        found.retain(|one| one.name.as_ref().map_or_else(|| concerns_all(one), |name| only.contains(name)));
        for name in only.iter().filter(|_| found.iter().all(concerns_all)) {
            if matches!(store.lineage(name), Ok(None)) {
                return Err(no_such_certificate(&store, name));
            }
        }
    }
    let wanted = typed.fsck.repair && !typed.renewal.dry_run;
    // A sound store is not even locked: that would leave traces in its folders.
    if !wanted || found.iter().all(|one| one.repair.is_none()) {
        let text = fsck::found_text(&found, store.paths());
        tell(context, &text, &fsck::found_json(&found, context.now));
        return Ok(concluded(context, !found.iter().any(Diagnosis::is_problem), &text));
    }
    context.open_log(COMMAND.name);
    let live_switch = context.settings().map(|settings| settings.live_switch.value).unwrap_or_default();
    let locked = context.locked()?.with_live_switch(live_switch);
    let report = locked.repair(only.as_ref(), &math, context.now)?;
    drop(locked);
    for path in report.repaired.iter().flat_map(|one| &one.repair).flat_map(|repair| &repair.paths) {
        context.ui.log_only(&format!("Repaired {}.", shown(path)));
    }
    let text = fsck::repaired_text(&report, store.paths());
    tell(context, &text, &fsck::repaired_json(&report, context.now));
    Ok(concluded(context, report.is_success(), &text))
}

/// A folder that was misspelt must not look like one with nothing wrong in it.
pub(super) fn own_folders_exist(context: &Context<'_>) -> Result<(), CommandError> {
    match context.invocation.typed.fsck.also_in.iter().find(|folder| !folder.is_dir()) {
        Some(folder) => Err(CommandError::usage(format!("--also-in {}: there is no such folder", shown(folder)))),
        None => Ok(()),
    }
}

fn tell(context: &Context<'_>, text: &str, document: &serde_json::Value) {
    context.ui.result(text);
    if context.ui.voice().json {
        context.ui.json(document);
    }
}

/// With `-q` what is left is told as a failure.
fn concluded(context: &Context<'_>, is_well: bool, text: &str) -> Exit {
    if is_well {
        return Exit::Well;
    }
    if context.ui.voice().quiet && !context.ui.voice().json {
        context.ui.failure(text);
    }
    Exit::Failed
}
