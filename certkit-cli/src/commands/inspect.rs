//! `inspect`: everything about certificates in files, or as a host serves them.

use std::path::Path;

use clap::Args as _;

use certkit_acme::AwsLcKeyMath;
use certkit_acme::probe::probe;
use certkit_core::settings::{Settings, SettingsProblemCode};
use certkit_core::{KeyMath as _, escape, read_bundle};

use super::{Command, Context, Operands};
use crate::exit::{CommandError, Exit};
use crate::render::inspect::{Inspected, is_empty, json, text};
use crate::runtime;

/// The largest file that is read: no bundle of certificates is larger.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Show everything about certificates in files or on a host
///
/// Shows everything about the certificates in files (PEM or DER, any number in one file), or as a host serves them.
/// A word that names an existing file or directory, or that contains a slash, is one; any other is HOST or HOST:PORT
/// (port 443 without one). In a directory, every file below it is looked at; those that hold no certificate are passed
/// over. Nothing is changed.
#[derive(clap::Args)]
struct About {}

/// `inspect`.
pub(crate) const COMMAND: Command = Command {
    name: "inspect",
    describe: About::augment_args,
    usage: "FILE… or HOST[:PORT]…",
    flags: &["ca_bundle"],
    writes: false,
    operands: Operands::Some,
    run,
};

fn run(context: &Context<'_>) -> Result<Exit, CommandError> {
    let mut all = Vec::new();
    for source in context.invocation.operands() {
        if Path::new(source).is_dir() {
            all.extend(directory(source));
        } else {
            all.push(if is_file(source) { file(source) } else { endpoint(context, source)? });
        }
    }
    let mut failed = false;
    for inspected in &all {
        for problem in &inspected.problems {
            context.ui.failure(&format!("{}: {problem}\n", escape(&inspected.source)));
        }
        if is_empty(inspected) {
            failed = true;
        } else {
            context.ui.result(&text(inspected, context.now));
        }
    }
    if context.ui.voice().json {
        context.ui.json(&json(&all));
    }
    Ok(if failed { Exit::Failed } else { Exit::Well })
}

fn is_file(source: &str) -> bool {
    source.contains('/') || Path::new(source).exists()
}

/// The files below a directory that hold certificates or keys, in the order of their paths. Links to files are followed,
/// links to directories are not.
fn directory(source: &str) -> Vec<Inspected> {
    let mut found = Vec::new();
    let mut unreadable = Inspected { source: source.to_owned(), ..Inspected::default() };
    for entry in walkdir::WalkDir::new(source).sort_by_file_name() {
        match entry {
            // Devices and pipes are not opened; `metadata` follows links.
            Ok(entry) if std::fs::metadata(entry.path()).is_ok_and(|target| target.is_file()) => {
                let inspected = file(&entry.path().to_string_lossy());
                if !is_empty(&inspected) {
                    found.push(inspected);
                }
            }
            Ok(_) => {}
            Err(error) => unreadable.problems.push(escape(&error.to_string()).into_owned()),
        }
    }
    if found.is_empty() && unreadable.problems.is_empty() {
        unreadable.problems.push("no file below it holds a certificate or a private key".to_owned());
    }
    if !unreadable.problems.is_empty() {
        found.push(unreadable);
    }
    found
}

fn file(source: &str) -> Inspected {
    let mut inspected = Inspected { source: source.to_owned(), ..Inspected::default() };
    match read(Path::new(source)) {
        Ok(bytes) => {
            let bundle = read_bundle(&bytes);
            let math = AwsLcKeyMath::new();
            inspected.keys = bundle
                .keys
                .iter()
                .map(|key| {
                    let spki = key.carried_spki_der().or_else(|| math.public_spki_der(key).ok())?;
                    bundle.certificates.iter().position(|certificate| certificate.spki_der() == spki)
                })
                .collect();
            inspected.certificates = bundle.certificates;
            inspected.problems = bundle
                .problems
                .into_iter()
                .map(|problem| match problem.line {
                    Some(line) => format!("line {line}: {}", problem.what),
                    None => problem.what,
                })
                .collect();
            if is_empty(&inspected) && inspected.problems.is_empty() {
                inspected.problems.push("it holds no certificate and no private key".to_owned());
            }
        }
        Err(problem) => inspected.problems.push(escape(&problem.to_string()).into_owned()),
    }
    inspected
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(std::io::Error::from(std::io::ErrorKind::IsADirectory));
    }
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_BYTES) {
        return Err(std::io::Error::other("it is larger than 64 MiB, so it is no bundle of certificates"));
    }
    Ok(bytes)
}

fn endpoint(context: &Context<'_>, source: &str) -> Result<Inspected, CommandError> {
    let mut inspected = Inspected { source: source.to_owned(), ..Inspected::default() };
    let Some((host, port)) = host_and_port(source) else {
        inspected.problems.push("there is no such file, and it is not of the form HOST or HOST:PORT".to_owned());
        return Ok(inspected);
    };
    let settings = context.invocation.transport(&settings(context));
    let served = runtime::ask(async { Ok(probe(host, port, Some(host), &settings).await) })?;
    match served {
        Ok(served) => {
            inspected.address = Some(served.address.to_string());
            inspected.certificates = served.certificates;
            inspected.problems = served.unreadable;
            inspected.verdict = Some(served.verdict);
        }
        Err(problem) => inspected.problems.push(escape(&problem.to_string()).into_owned()),
    }
    Ok(inspected)
}

/// Anybody may look at a server, but only the owner can read the settings: they are no reason to refuse.
fn settings(context: &Context<'_>) -> Settings {
    let settings = match context.store().map(|store| store.settings()) {
        Ok(Ok(settings)) => settings,
        Ok(Err(error)) if error.problems.iter().any(|problem| problem.code != SettingsProblemCode::Unreadable) => {
            context.ui.warning(&format!("the settings are left out: {error}"));
            Settings::default()
        }
        Ok(Err(error)) => {
            context.ui.detail(&format!("The settings are left out: {error}."));
            Settings::default()
        }
        Err(error) => {
            context.ui.detail(&format!("The settings are left out: {error}."));
            Settings::default()
        }
    };
    context.invocation.effective(settings)
}

/// `host`, `host:port`, `192.0.2.1:port`, `[2001:db8::1]:port` or a bare IPv6 address.
fn host_and_port(source: &str) -> Option<(&str, u16)> {
    const HTTPS: u16 = 443;
    if let Some(rest) = source.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, port.parse().ok()?)),
            None => rest.is_empty().then_some((host, HTTPS)),
        };
    }
    if source.parse::<std::net::Ipv6Addr>().is_ok() {
        return Some((source, HTTPS));
    }
    let (host, port) = match source.split_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (source, HTTPS),
    };
    (!host.is_empty()).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        for (source, expected) in [
            ("example.org", Some(("example.org", 443))),
            ("example.org:8443", Some(("example.org", 8443))),
            ("127.0.0.1:1", Some(("127.0.0.1", 1))),
            ("[::1]:8443", Some(("::1", 8443))),
            ("[::1]", Some(("::1", 443))),
            ("2001:db8::1", Some(("2001:db8::1", 443))),
            ("example.org:https", None),
            ("example.org:70000", None),
            (":1", None),
            ("[x]:1", None),
            ("[::1]x", None),
            ("a:b:c", None),
        ] {
            assert_eq!(host_and_port(source), expected, "{source}");
        }
    }
}
