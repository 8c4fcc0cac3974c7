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
/// Removes the renewal configuration, the links in live/ and all versions in archive/ of a certificate. Make sure
/// beforehand that no server uses it any more. Works for broken ones, too.
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
    if matches!(store.lineage(&name), Ok(None)) {
        return Err(no_such_certificate(&store, &name));
    }
    if let Some(other) = sharing_archive(&store, &name)? {
        return Err(CommandError::failed(format!(
            "the certificate `{other}` keeps its versions in the same archive directory"
        ))
        .with_cure(format!(
            "correct archive_dir in one of the two renewal configurations, or delete `{other}` by hand first"
        )));
    }
    let question = format!(
        "The certificate `{name}` and all its versions will be deleted. A server that still uses it will stop working at its next restart.\nDelete it?"
    );
    if context.ui.voice().interactive && !context.ui.confirm(&question, false) {
        return Err(CommandError::failed("nothing was deleted"));
    }
    let removed = context.locked()?.delete(&name)?;
    for path in &removed {
        context.ui.detail(&format!("Removed {}.", shown(path)));
    }
    context.ui.result(&format!("Deleted all files relating to certificate {name}.\n"));
    if context.ui.voice().json {
        let removed: Vec<_> = removed.iter().map(|path| path.to_string_lossy()).collect();
        context.ui.json(&json!({ "schema": 1, "deleted": name.as_str(), "removed": removed }));
    }
    Ok(Exit::Well)
}

/// Another lineage whose versions lie in the same directory.
pub(crate) fn sharing_archive(store: &Store, name: &LineageName) -> Result<Option<LineageName>, CommandError> {
    let Ok(Some(lineage)) = store.lineage(name) else { return Ok(None) };
    let own = real(lineage.archive_dir());
    let other = store.lineages()?.flatten().find(|other| other.name() != name && real(other.archive_dir()) == own);
    Ok(other.map(|other| other.name().clone()))
}

fn real(path: &std::path::Path) -> std::path::PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
