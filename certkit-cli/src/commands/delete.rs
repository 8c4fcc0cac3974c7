//! `delete`: removes a certificate with all its versions.

use std::path::PathBuf;

use clap::Args as _;

use certkit_core::store::{Deleted, Store};
use certkit_core::words::cure_for;
use certkit_core::{Finding, FindingCode, LineageName, Severity, escape};
use serde_json::json;

use super::common::no_such_certificate;
use super::fsck::own_folders_exist;
use super::{Command, Context, Operands};
use crate::exit::{CommandError, Exit};
use crate::ui::shown;

/// Delete a certificate with all its versions
///
/// Removes the renewal configuration, the links in live/, all versions in archive/ and the settings in
/// certkit/lineages/ of a certificate. Make sure beforehand that no server uses it any more. Works for broken ones, too.
/// What lies outside the config dir stays, since another tree may use it, and is told with exit status 1; with --also-in it
/// is deleted, too. Nothing is deleted where the renewal configuration itself lies outside.
#[derive(clap::Args)]
struct About {}

/// `delete`.
pub(crate) const COMMAND: Command = Command {
    name: "delete",
    describe: About::augment_args,
    usage: "--cert-name NAME",
    flags: &["cert_name", "also_in"],
    writes: true,
    operands: Operands::None,
    run,
};

fn run(context: &Context<'_>) -> Result<Exit, CommandError> {
    let name = context.invocation.needed_cert_name("delete")?;
    own_folders_exist(context)?;
    let store = context.store()?;
    if matches!(store.lineage(&name), Ok(None)) && !is_left_over(&store, &name)? {
        return Err(no_such_certificate(&store, &name));
    }
    let sharing = sharing(&store, &name)?;
    let beside = store.deleted_beside_versions(&name)?;
    let along = match beside.is_empty() {
        true => String::new(),
        false => format!(" So will be what was put beside its versions: {}.", list(&beside)),
    };
    let question = match &sharing {
        None => format!(
            "The certificate `{name}` and all its versions will be deleted. A server that still uses it will stop working at its next restart.{along}\nDelete it?"
        ),
        Some(others) => format!(
            "The renewal configuration `{name}` will be deleted. Live links and versions that {others} uses too stay.{along}\nDelete it?"
        ),
    };
    if context.ui.voice().interactive && !context.ui.confirm(&question, false) {
        return Err(CommandError::failed("nothing was deleted"));
    }
    let deleted = context.locked()?.delete(&name)?;
    for path in &deleted.removed {
        context.ui.detail(&format!("Removed {}.", shown(path)));
    }
    if let Some(others) = &sharing {
        context.ui.result(&format!(
            "Deleted what belongs to {name} alone. Live links and versions that {others} uses too stay.\n"
        ));
    }
    let exit = tell(context, &name, &deleted, sharing.is_some());
    if context.ui.voice().json {
        let texts =
            |paths: &[PathBuf]| paths.iter().map(|path| path.to_string_lossy().into_owned()).collect::<Vec<_>>();
        let (removed, beside) = (texts(&deleted.removed), texts(&deleted.beside_versions));
        let kept: Vec<_> = deleted
            .kept
            .iter()
            .zip(deleted.findings())
            .map(|(kept, finding)| {
                json!({
                    "folder": kept.folder.to_string_lossy(),
                    "code": finding.code,
                    "evidence": finding.evidence,
                    "tree": kept.tree.as_ref().map(|tree| tree.to_string_lossy()),
                    "cure": cure_for(finding.cure(), name.as_str()),
                })
            })
            .collect();
        context.ui.json(&json!({ "schema": 1, "deleted": name.as_str(), "removed": removed, "beside_versions": beside, "kept": kept }));
    }
    Ok(exit)
}

/// Says what became of a certificate that was deleted, unless that `is_told`, and what stays of it with the command that
/// removes it.
pub(crate) fn tell(context: &Context<'_>, name: &LineageName, deleted: &Deleted, is_told: bool) -> Exit {
    if !is_told {
        let what = if deleted.kept.is_empty() { "all files relating to" } else { "what belongs to this tree of" };
        context.ui.result(&format!("Deleted {what} certificate {name}.\n"));
    }
    for finding in deleted.findings() {
        let cure = cure_for(finding.cure(), name.as_str());
        let text = format!("{}: {}; {cure}", finding.subject, finding.evidence);
        match finding.severity {
            Severity::Notice => context.ui.warning(&text),
            _ => context.ui.failure(&format!("warning: {text}\n")),
        }
    }
    if !deleted.beside_versions.is_empty() {
        let beside = list(&deleted.beside_versions);
        context.ui.result(&format!("Deleted with it what had been put beside its versions: {beside}.\n"));
    }
    if deleted.is_complete() { Exit::Well } else { Exit::Failed }
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| shown(path)).collect::<Vec<_>>().join(", ")
}

/// Whether an interrupted removal, or another tool, left something of a certificate without its configuration.
fn is_left_over(store: &Store, name: &LineageName) -> Result<bool, CommandError> {
    let paths = store.paths();
    for path in [paths.live(name), paths.archive(name), paths.pending(name), paths.lineage_settings_file(name)] {
        match std::fs::symlink_metadata(&path) {
            Ok(_) => return Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(CommandError::failed(format!("{} cannot be read: {error}", shown(&path)))),
        }
    }
    // Only its note knows where the rest of it lies.
    let is_interrupted = |finding: &Finding| {
        finding.code == FindingCode::InterruptedDeletion && finding.subject == escape(name.as_str())
    };
    Ok(store.audit()?.iter().any(is_interrupted))
}

/// The other renewal configurations, in words, that use the same live links or versions.
pub(crate) fn sharing(store: &Store, name: &LineageName) -> Result<Option<String>, CommandError> {
    let others: Vec<_> = store.sharing(name)?.iter().map(|other| format!("`{other}`")).collect();
    Ok((!others.is_empty()).then(|| others.join(", ")))
}
