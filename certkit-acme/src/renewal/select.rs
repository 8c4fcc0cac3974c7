//! The lineages that a request is about, read.

use std::path::PathBuf;

use certkit_core::settings::Settings;
use certkit_core::store::{AuthorityKind, BrokenLineage, Kind, Lineage, RenewalConf, Store};

use super::own_settings::OwnSettings;
use super::report::{Outcome, ReportEntry};
use super::subject::{Subject, Unusable};
use super::{Request, RunError, Selection};

/// A lineage as it was found.
pub(super) enum Seen {
    Usable(Box<Subject>),
    Broken(Box<ReportEntry>),
}

/// The lineages that a request is about, in listing order: each is read when its turn comes, for there may be thousands.
pub(super) fn select<'a>(
    store: &'a Store,
    request: &'a Request,
    settings: &'a Settings,
) -> Result<Box<dyn Iterator<Item = Seen> + 'a>, RunError> {
    let read = |lineage: &Lineage| read(store, lineage, request, settings);
    let one = match &request.selection {
        Selection::All => {
            let all = store.lineages()?;
            return Ok(Box::new(all.map(move |lineage| lineage.map_or_else(broken, |one| read(&one)))));
        }
        Selection::One(name) => match store.lineage(name) {
            Ok(Some(lineage)) => read(&lineage),
            Ok(None) => return Err(RunError::NoSuchLineage(name.clone())),
            Err(lineage) => broken(lineage),
        },
        Selection::Obtain { name, identifiers } => match store.lineage(name) {
            Ok(Some(_)) if request.must_be_new => return Err(RunError::MadeMeanwhile(name.clone())),
            Ok(Some(lineage)) => read(&lineage),
            Ok(None) => {
                let unusable = |reason: String| Unusable::from(reason).of(name);
                let conf = RenewalConf::new(&request.edits).map_err(|error| unusable(error.to_string()))?;
                let own = store.lineage_settings(settings, name).map_err(|error| unusable(error.to_string()))?;
                let server = conf.params().effective_server();
                let settings = OwnSettings::resolve(store, own, name, server).map_err(unusable)?;
                let paths = store.paths();
                let live_dir = paths.live(name);
                Seen::Usable(Box::new(Subject {
                    name: name.clone(),
                    conf_path: paths.conf(name),
                    fullchain: live_dir.join(Kind::Fullchain.live_file()),
                    live_dir,
                    conf,
                    stored_profile: None,
                    is_new: true,
                    live_version: None,
                    replaced_authority: AuthorityKind::Unknown,
                    certificate: None,
                    identifiers: identifiers.clone(),
                    key_in_use: None,
                    key_to_leave: None,
                    dead: None,
                    settings,
                    changed_since: None,
                    postponed: None,
                }))
            }
            Err(lineage) => return Err(Unusable::from(lineage.reason).of(name)),
        },
    };
    Ok(Box::new(std::iter::once(one)))
}

fn read(store: &Store, lineage: &Lineage, request: &Request, settings: &Settings) -> Seen {
    // Half-read settings must not lead to an order: a file that is wrong keeps its lineage from being renewed.
    let own = store
        .lineage_settings(settings, lineage.name())
        .map_err(|error| format!("{error}; {}", error.cure()))
        .and_then(|own| OwnSettings::resolve(store, own, lineage.name(), lineage.conf().params().effective_server()));
    match own.map_err(Unusable::from).and_then(|own| Subject::read(lineage, request, own)) {
        Ok(subject) => Seen::Usable(Box::new(subject)),
        Err(unusable) => {
            Seen::Broken(Box::new(broken_entry(lineage.name().to_string(), lineage.conf_path().to_owned(), unusable)))
        }
    }
}

fn broken(lineage: BrokenLineage) -> Seen {
    Seen::Broken(Box::new(broken_entry(lineage.name, lineage.conf_path, lineage.reason.into())))
}

fn broken_entry(name: String, conf_path: PathBuf, unusable: Unusable) -> ReportEntry {
    let Unusable { reason, hindrance } = unusable;
    ReportEntry::new(name, conf_path, Outcome::Broken { reason, hindrance, cure: None })
}
