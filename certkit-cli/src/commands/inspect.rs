//! `inspect`: everything about certificates in files, or as a host serves them.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;

use clap::Args as _;

use certkit_acme::AwsLcKeyMath;
use certkit_core::settings::{Settings, SettingsProblemCode};
use certkit_core::{KeyMath as _, KeyType, PrivateKey, escape, read_bundle};
use zeroize::Zeroizing;

use super::common::named_file;
use super::inspect_host::host;
use super::{Command, Context, Operands};
use crate::confine::open_nothing_more;
use crate::exit::{CommandError, Exit};
use crate::render::inspect::{FoundKey, Inspected, Place, is_empty, json, text};

/// The largest file that is read: no bundle of certificates is larger.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// So much is held before any of it is looked at. What is beyond that is read when its turn comes.
const MOST_HELD: usize = MAX_BYTES;

/// So many problems of a file are told one by one: nobody reads more, and a file can be made of them.
const MOST_PROBLEMS: usize = 100;

/// Show everything about certificates in files or on a host
///
/// Shows everything about the certificates in files (PEM or DER, any number in one file), or as a host serves them.
/// A word that names an existing file or directory, or that contains a slash, is one; any other is HOST or HOST:PORT
/// (port 443 without one, or the usual one of --starttls). In a directory, every file below it is looked at; those that
/// hold no certificate are passed over. A host is looked at on all its addresses, with and without a name in the
/// handshake (its own, or the one that the settings of a certificate name for it), and compared with the store where that
/// holds a certificate for the same names. Nothing is changed. The exit status is 1 where a file, or a block in it, cannot be
/// read, whatever else was.
#[derive(clap::Args)]
struct About {}

/// The public halves of so many keys are derived: it takes longer than all else, and a file can be made of such keys.
const MOST_DERIVED: usize = 200;

/// `inspect`.
pub(crate) const COMMAND: Command = Command {
    name: "inspect",
    describe: About::augment_args,
    usage: "FILE… or HOST[:PORT]…",
    flags: &["ca_bundle", "starttls"],
    writes: false,
    operands: Operands::Some,
    run,
};

fn run(context: &Context<'_>) -> Result<Exit, CommandError> {
    let sources = sources(context.invocation.operands());
    // Who made a file that is looked at is unknown: whatever it does to the parsers, they can open nothing, no key either.
    if sources.iter().all(Source::is_read) {
        open_nothing_more();
    }
    let (mut all, mut keys) = (Vec::new(), Vec::new());
    // A block that cannot be read may be the one that was looked for; of a host one address is enough.
    let mut failed = false;
    for source in sources {
        let found = match source {
            Source::Host(name) => {
                all.extend(host(context, name)?);
                continue;
            }
            Source::Directory { name, files, problems } => directory(name, files, problems),
            Source::File(named) => vec![file(named)],
        };
        for (inspected, found) in found {
            failed |= !inspected.problems.is_empty();
            keys.extend(found.into_iter().map(|key| (all.len(), key)));
            all.push(inspected);
        }
    }
    tell_of_keys(&mut all, &keys);
    for inspected in &all {
        for problem in &inspected.problems {
            context.ui.failure(&format!("{}: {problem}\n", escape(&inspected.source)));
        }
        if is_empty(inspected) {
            failed = true;
        } else {
            context.ui.long_result(|out| out.write_all(text(inspected, &all, context.now).as_bytes()));
        }
    }
    if context.ui.voice().json {
        context.ui.json(&json(&all));
    }
    Ok(if failed { Exit::Failed } else { Exit::Well })
}

/// What was named on the command line.
enum Source<'a> {
    Host(&'a str),
    File(Named),
    Directory {
        name: &'a str,
        /// Those below it, in the order of their paths.
        files: Vec<Named>,
        /// Why something below it cannot be looked at.
        problems: Vec<String>,
    },
}

/// A file, and what is in it, unless that is read later.
struct Named {
    path: String,
    read: Option<io::Result<Zeroizing<Vec<u8>>>>,
}

impl Source<'_> {
    /// Whether there is nothing more to open or to ask for.
    fn is_read(&self) -> bool {
        match self {
            Self::Host(_) => false,
            Self::File(named) => named.read.is_some(),
            Self::Directory { files, .. } => files.iter().all(|named| named.read.is_some()),
        }
    }
}

/// Everything that was named, read as far as it may be held. Links to files are followed, links to directories are not.
fn sources(operands: &[String]) -> Vec<Source<'_>> {
    let mut held = 0;
    let mut named = |path: String| {
        let read = (held < MOST_HELD).then(|| named_file(Path::new(&path), MAX_BYTES));
        held += read.iter().flatten().map(|bytes| bytes.len()).sum::<usize>();
        Named { path, read }
    };
    let mut sources = Vec::new();
    for name in operands {
        sources.push(if Path::new(name).is_dir() {
            let (mut files, mut problems) = (Vec::new(), Vec::new());
            for entry in walkdir::WalkDir::new(name).sort_by_file_name() {
                match entry {
                    // `metadata` follows links.
                    Ok(entry) if std::fs::metadata(entry.path()).is_ok_and(|target| target.is_file()) => {
                        files.push(named(entry.path().to_string_lossy().into_owned()));
                    }
                    Ok(_) => {}
                    Err(error) => problems.push(escape(&error.to_string()).into_owned()),
                }
            }
            Source::Directory { name, files, problems }
        } else if is_file(name) {
            Source::File(named(name.clone()))
        } else {
            Source::Host(name)
        });
    }
    sources
}

fn is_file(source: &str) -> bool {
    source.contains('/') || Path::new(source).exists()
}

/// The files below a directory that hold certificates or keys.
fn directory(name: &str, files: Vec<Named>, problems: Vec<String>) -> Vec<(Inspected, Vec<PrivateKey>)> {
    let holds_something = |(inspected, keys): &(Inspected, Vec<PrivateKey>)| !is_empty(inspected) || !keys.is_empty();
    let mut found: Vec<_> = files.into_iter().map(file).filter(holds_something).collect();
    let mut unreadable = Inspected { source: name.to_owned(), problems, ..Inspected::default() };
    if found.is_empty() && unreadable.problems.is_empty() {
        unreadable.problems.push("no file below it holds a certificate or a private key".to_owned());
    }
    if !unreadable.problems.is_empty() {
        found.push((unreadable, Vec::new()));
    }
    found
}

fn file(named: Named) -> (Inspected, Vec<PrivateKey>) {
    let mut keys = Vec::new();
    let read = named.read.unwrap_or_else(|| named_file(Path::new(&named.path), MAX_BYTES));
    let mut inspected = Inspected { source: named.path, ..Inspected::default() };
    match read {
        Ok(bytes) => {
            let bundle = read_bundle(&bytes);
            inspected.certificates = bundle.certificates;
            keys = bundle.keys;
            inspected.problems = bundle.problems.iter().take(MOST_PROBLEMS).map(ToString::to_string).collect();
            let more = bundle.problems.len() - inspected.problems.len();
            if more > 0 {
                inspected.problems.push(format!("and {more} more problems"));
            }
            if is_empty(&inspected) && keys.is_empty() && inspected.problems.is_empty() {
                inspected.problems.push("it holds no certificate and no private key".to_owned());
            }
        }
        Err(problem) => inspected.problems.push(escape(&problem.to_string()).into_owned()),
    }
    (inspected, keys)
}

/// Says of each key, by the source that it was found in, what it is and for which certificate: the first that has it, in the
/// same source if one there has.
fn tell_of_keys(all: &mut [Inspected], keys: &[(usize, PrivateKey)]) {
    let math = AwsLcKeyMath::new();
    let mut by_public: HashMap<Vec<u8>, Vec<Place>> = HashMap::new();
    for (source, inspected) in all.iter().enumerate() {
        for (index, certificate) in inspected.certificates.iter().enumerate() {
            by_public.entry(certificate.spki_der().to_owned()).or_default().push(Place { source, index });
        }
    }
    let (mut derived, mut not_compared) = (0, BTreeMap::<usize, usize>::new());
    for (source, key) in keys {
        let mut public = key.carried_spki_der();
        if public.is_none() {
            derived += 1;
            if derived > MOST_DERIVED {
                *not_compared.entry(*source).or_default() += 1;
                continue;
            }
            public = math.public_spki_der(key).ok();
        }
        let places = public.as_ref().and_then(|public| by_public.get(public)).map(Vec::as_slice).unwrap_or_default();
        let place = places.iter().find(|place| place.source == *source).or_else(|| places.first());
        let kind = public.map(|public| KeyType::of_spki_der(&public));
        all[*source].keys.push(FoundKey { kind, belongs_to: place.copied() });
    }
    for (source, count) in not_compared {
        all[source].problems.push(format!(
            "and {count} more private keys, which were not compared with the certificates: only the first {MOST_DERIVED} without their public halves are"
        ));
    }
}

/// Anybody may look at a server, but only the owner can read the settings: they are no reason to refuse.
pub(super) fn settings(context: &Context<'_>) -> Settings {
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
