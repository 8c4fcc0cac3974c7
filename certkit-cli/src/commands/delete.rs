//! `delete`: removes a certificate with all its versions.

use clap::Args as _;

use certkit_core::LineageName;
use certkit_core::store::Store;
use serde_json::json;

use super::common::no_such_certificate;
use super::{Command, Context, Operands};
use crate::exit::{CommandError, Exit};
use crate::ui::shown;

/// Delete a certificate with all its versions
///
/// Removes the renewal configuration, the links in live/, all versions in archive/ and the settings in
/// certkit/lineages/ of a certificate. Make sure beforehand that no server uses it any more. Works for broken ones, too.
#[derive(clap::Args)]
struct About {}

/// `delete`.
pub(crate) const COMMAND: Command = Command {
    name: "delete",
    describe: About::augment_args,
    usage: "--cert-name NAME",
    flags: &["cert_name"],
    writes: true,
    operands: Operands::None,
    run,
};

fn run(context: &Context<'_>) -> Result<Exit, CommandError> {
    let name = context.invocation.needed_cert_name("delete")?;
    let store = context.store()?;
    if matches!(store.lineage(&name), Ok(None)) && !is_left_over(&store, &name)? {
        return Err(no_such_certificate(&store, &name));
    }
    let sharing = sharing(&store, &name)?;
    let question = match &sharing {
        None => format!(
            "The certificate `{name}` and all its versions will be deleted. A server that still uses it will stop working at its next restart.\nDelete it?"
        ),
        Some(others) => format!(
            "The renewal configuration `{name}` will be deleted. Live links and versions that {others} uses too stay.\nDelete it?"
        ),
    };
    if context.ui.voice().interactive && !context.ui.confirm(&question, false) {
        return Err(CommandError::failed("nothing was deleted"));
    }
    let removed = context.locked()?.delete(&name)?;
    for path in &removed {
        context.ui.detail(&format!("Removed {}.", shown(path)));
    }
    match &sharing {
        None => context.ui.result(&format!("Deleted all files relating to certificate {name}.\n")),
        Some(others) => context.ui.result(&format!(
            "Deleted what belongs to {name} alone. Live links and versions that {others} uses too stay.\n"
        )),
    }
    if context.ui.voice().json {
        let removed: Vec<_> = removed.iter().map(|path| path.to_string_lossy()).collect();
        context.ui.json(&json!({ "schema": 1, "deleted": name.as_str(), "removed": removed }));
    }
    Ok(Exit::Well)
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
    Ok(false)
}

/// The other renewal configurations, in words, that use the same live links or versions.
pub(crate) fn sharing(store: &Store, name: &LineageName) -> Result<Option<String>, CommandError> {
    let others: Vec<_> = store.sharing(name)?.iter().map(|other| format!("`{other}`")).collect();
    Ok((!others.is_empty()).then(|| others.join(", ")))
}
