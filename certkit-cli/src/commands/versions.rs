//! `versions`: what the archive holds. It reads only.

use clap::Args as _;

use certkit_core::store::{Kind, Lineage, MAX_FILE_BYTES, read_file};
use certkit_core::{Certificate, Version, escape};
use serde_json::{Value, json};

use super::{Command, Context, Operands};
use crate::exit::{CommandError, Exit};
use crate::render::{date, hex, json_time, table};
use crate::ui::shown;

/// List the versions of certificates in the archive
///
/// Lists the versions of each certificate that the archive holds, and which one is in use. `certkit rollback` goes
/// back to one of them. Nothing is changed.
#[derive(clap::Args)]
struct About {}

/// `versions`.
pub(crate) const COMMAND: Command = Command {
    name: "versions",
    describe: About::augment_args,
    usage: "",
    flags: &["cert_name"],
    writes: false,
    operands: Operands::None,
    run,
};

/// One version.
struct Row {
    version: Version,
    live: bool,
    missing: Vec<Kind>,
    certificate: Result<Certificate, String>,
}

fn run(context: &Context<'_>) -> Result<Exit, CommandError> {
    let store = context.store()?;
    let lineages: Vec<Lineage> = match context.invocation.cert_name()? {
        Some(name) => vec![context.lineage(&store, &name)?],
        None => {
            let (usable, broken): (Vec<_>, Vec<_>) = store.lineages()?.partition(Result::is_ok);
            for broken in broken.into_iter().filter_map(Result::err) {
                context.ui.failure(&format!(
                    "Renewal configuration file {} is broken: {}\n",
                    shown(&broken.conf_path),
                    escape(&broken.reason.to_string())
                ));
            }
            usable.into_iter().filter_map(Result::ok).collect()
        }
    };
    let mut documents = Vec::new();
    for lineage in &lineages {
        let rows = rows(lineage)?;
        context.ui.result(&text(lineage, &rows));
        documents.push(json!({
            "name": lineage.name().as_str(),
            "live": lineage.live_version().map(|version| version.0),
            "archive": lineage.archive_dir().to_string_lossy(),
            "versions": rows.iter().map(json_of).collect::<Vec<_>>(),
        }));
    }
    if context.ui.voice().json {
        context.ui.json(&json!({ "schema": 1, "lineages": documents }));
    }
    Ok(Exit::Well)
}

fn rows(lineage: &Lineage) -> Result<Vec<Row>, CommandError> {
    let live = lineage.live_version();
    let versions = lineage.versions()?;
    let row = |(version, kinds): (Version, Vec<Kind>)| Row {
        version,
        live: live == Some(version),
        missing: Kind::ALL.into_iter().filter(|kind| !kinds.contains(kind)).collect(),
        certificate: certificate(lineage, version),
    };
    Ok(versions.into_iter().map(row).collect())
}

/// The certificate itself is read, not the key: whoever may not read the key may still list.
fn certificate(lineage: &Lineage, version: Version) -> Result<Certificate, String> {
    let path = lineage.archive_dir().join(Kind::Cert.archive_file(version));
    let bytes = read_file(&path, MAX_FILE_BYTES).map_err(|problem| format!("{}: {}", shown(&path), problem.source))?;
    Certificate::from_pem(&bytes).map_err(|problem| format!("{}: {problem}", shown(&path)))
}

fn text(lineage: &Lineage, rows: &[Row]) -> String {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let (from, until, serial) = match &row.certificate {
                Ok(certificate) => {
                    let validity = certificate.validity();
                    (date(validity.not_before), date(validity.not_after), certificate.serial().certbot_hex())
                }
                Err(problem) => ("-".to_owned(), "-".to_owned(), escape(problem).into_owned()),
            };
            vec![row.version.to_string(), state(row), from, until, serial]
        })
        .collect();
    let table = table::table(&["Version", "State", "Valid from", "Valid until", "Serial number"], &rows);
    format!("{}\n{table}\n", lineage.name())
}

fn state(row: &Row) -> String {
    let missing: Vec<&str> = row.missing.iter().map(|kind| kind.as_str()).collect();
    match (row.live, missing.is_empty()) {
        (true, _) => "in use".to_owned(),
        (false, true) => "kept".to_owned(),
        (false, false) => format!("incomplete (no {})", missing.join(", ")),
    }
}

fn json_of(row: &Row) -> Value {
    let certificate = row.certificate.as_ref().ok();
    json!({
        "version": row.version.0,
        "live": row.live,
        "complete": row.missing.is_empty(),
        "serial": certificate.map(|certificate| certificate.serial().certbot_hex()),
        "not_before": certificate.map(|certificate| json_time(certificate.validity().not_before)),
        "not_after": certificate.map(|certificate| json_time(certificate.validity().not_after)),
        "identifiers": certificate.map(Certificate::listed_names).unwrap_or_default(),
        "fingerprint_sha256": certificate.map(|certificate| hex(&certificate.fingerprint_sha256())),
        "error": row.certificate.as_ref().err(),
    })
}
