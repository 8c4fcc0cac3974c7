//! What is inconsistent in the tree.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::in_use::real;
use super::permissions;
use super::settling::settled;
use super::targets::absolute;
use super::{BrokenLineage, Kind, Lineage, RenewalConf, Store, StoreError, StorePaths, folder_names};
use crate::{Finding, FindingCode, LineageName, Severity};

impl Store {
    /// Every inconsistency that can be seen without asking anybody: orphans, mixed links, interrupted switches, newer
    /// versions that are not live, pending orders, account keys being changed, what others can read, change or own,
    /// certificates set aside, damaged state files. Broken lineages are among them. What is in the certificates is not read:
    /// [`Store::diagnose`] does that, and tells of more that is harmless.
    pub fn audit(&self) -> Result<Vec<Finding>, StoreError> {
        Ok(self.audited()?.into_iter().map(|audited| audited.finding).collect())
    }

    /// The same with what each finding is about. What another process is just writing is looked at again.
    pub(crate) fn audited(&self) -> Result<Vec<Audited>, StoreError> {
        let passing = |seen: &Result<Vec<Audited>, _>| -> Vec<PathBuf> {
            let passing = seen.iter().flatten().filter(|audited| is_often_passing(audited.finding.code));
            passing.flat_map(|audited| audited.places(&self.paths)).collect()
        };
        settled(&self.paths, passing, |seen| passing(seen).is_empty(), || self.audited_once())
    }

    fn audited_once(&self) -> Result<Vec<Audited>, StoreError> {
        let lineages: Vec<_> = self.lineages()?.collect();
        let mut archives: BTreeMap<PathBuf, Vec<LineageName>> = BTreeMap::new();
        for lineage in lineages.iter().flatten() {
            let dir = match lineage.conf().archive_dir().filter(|dir| !dir.is_empty()) {
                Some(dir) => absolute(Path::new(dir))?,
                None => self.paths.archive(lineage.name()),
            };
            archives.entry(dir).or_default().push(lineage.name().clone());
        }
        let mut audit = Audit { store: self, findings: Vec::new(), used: BTreeSet::new(), archives };
        for lineage in &lineages {
            match lineage {
                Ok(lineage) => audit.lineage(lineage)?,
                Err(broken) => audit.broken(broken)?,
            }
        }
        audit.permissions(&lineages);
        audit.orphans(&self.paths.live_dir(), FindingCode::LiveWithoutConf);
        audit.orphans(&self.paths.archive_dir(), FindingCode::ArchiveWithoutConf);
        audit.pending();
        audit.rollovers();
        audit.aside();
        audit.memory(&lineages);
        Ok(audit.findings)
    }
}

/// A finding, and what it is about.
pub(crate) struct Audited {
    pub(crate) finding: Finding,
    pub(crate) name: Option<LineageName>,
    pub(crate) path: Option<PathBuf>,
}

impl Audited {
    /// What was changed when this came to be.
    fn places(&self, paths: &StorePaths) -> Vec<PathBuf> {
        let of_lineage = self.name.iter().flat_map(|name| [paths.live(name), paths.archive(name), paths.conf(name)]);
        of_lineage.chain(self.path.clone()).collect()
    }
}

/// What is there for an instant, too, while a run is at work that will end well.
fn is_often_passing(code: FindingCode) -> bool {
    matches!(
        code,
        FindingCode::ArchiveWithoutConf
            | FindingCode::InterruptedSwitch
            | FindingCode::LiveWithoutConf
            | FindingCode::MixedVersions
            | FindingCode::NewerVersionNotLive
    )
}

struct Audit<'s> {
    store: &'s Store,
    findings: Vec<Audited>,
    /// The folders that some conf speaks of.
    used: BTreeSet<PathBuf>,
    /// Where confs say that versions lie, and which do.
    archives: BTreeMap<PathBuf, Vec<LineageName>>,
}

impl Audit<'_> {
    fn lineage(&mut self, lineage: &Lineage) -> Result<(), StoreError> {
        let name = lineage.name();
        self.uses(Some(lineage.name()), Some(lineage.conf()))?;
        let targets = Kind::ALL.map(|kind| lineage.target(kind));
        self.used.extend(targets.iter().filter_map(|target| target.parent()).map(Path::to_owned));

        self.journal_links(name.as_str(), Some(name), Kind::ALL.map(|kind| lineage.live_path(kind)));
        self.archive_of_another(lineage)?;
        let live = lineage.live_version();
        let foreign = if live.is_none() { self.foreign_links(lineage) } else { Vec::new() };
        if live.is_none() && foreign.is_empty() {
            let files = targets.map(|target| target.file_name().unwrap_or_default().to_string_lossy());
            self.add(FindingCode::MixedVersions, name, files.join(", "));
        }
        let is_told =
            |told: &Audited| told.finding.code == FindingCode::ForeignLink && told.name.as_ref() == Some(name);
        let foreign = if self.findings.iter().any(is_told) { Vec::new() } else { foreign };
        // Links that somebody made lead into another's archive do not follow its newer versions.
        let is_own = !self.findings.iter().any(is_told);
        for (link, target) in foreign {
            self.add(FindingCode::ForeignLink, name, format!("{} points to {}", link.display(), target.display()));
        }
        match lineage.newest_complete_version() {
            Ok(Some(newest)) if is_own && live.is_some_and(|live| newest > live) => {
                self.add(FindingCode::NewerVersionNotLive, name, format!("version {newest}"));
            }
            Ok(_) => {}
            Err(error) => self.unreadable(&error),
        }
        Ok(())
    }

    fn broken(&mut self, broken: &BrokenLineage) -> Result<(), StoreError> {
        let stem = broken.conf_path.file_stem().and_then(OsStr::to_str);
        let name = stem.and_then(|stem| LineageName::new(stem).ok());
        self.uses(name.as_ref(), broken.conf.as_ref())?;
        if let Some(conf) = &broken.conf {
            let links = Kind::ALL.map(|kind| Path::new(conf.live_path(kind).unwrap_or_default()));
            self.journal_links(&broken.name, name.as_ref(), links);
            // What its links point to belongs to it, whatever is wrong with the others.
            for link in links.iter().filter(|link| !link.as_os_str().is_empty()) {
                let Ok(target) = std::fs::read_link(link) else { continue };
                let folder = link.parent().map(|parent| parent.join(target)).and_then(|path| absolute(&path).ok());
                self.used.extend(folder.and_then(|path| path.parent().map(Path::to_owned)));
            }
        }
        let finding = Finding::new(FindingCode::BrokenLineage, &broken.name, broken.reason.to_string());
        self.findings.push(Audited { finding, name, path: Some(broken.conf_path.clone()) });
        Ok(())
    }

    /// Links into the archive of another lineage, and links that mean something else to certbot.
    fn archive_of_another(&mut self, lineage: &Lineage) -> Result<(), StoreError> {
        let (name, dir) = (lineage.name(), lineage.archive_dir());
        let own = match lineage.conf().archive_dir().filter(|dir| !dir.is_empty()) {
            Some(dir) => absolute(Path::new(dir))?,
            None => self.store.paths.archive(name),
        };
        let others: Vec<_> = self.archives.get(dir).into_iter().flatten().filter(|other| *other != name).collect();
        let is_home = others.iter().any(|other| self.store.paths.archive(other) == dir);
        if !others.is_empty() && (is_home || own != dir) {
            let others: Vec<_> = others.iter().map(|other| format!("`{other}`")).collect();
            let evidence = format!("its links lead into {}, the archive of {}", self.shown(dir), others.join(", "));
            self.add(FindingCode::ForeignLink, name, evidence);
        } else if lineage.live_version().is_some() && own != dir && real(&own)? != real(dir)? {
            let (said, led) = (self.shown(&own), self.shown(dir));
            self.add(FindingCode::ArchiveDirDiffers, name, format!("it says {said}, and they lead to {led}"));
        }
        let link = lineage.live_path(Kind::Cert);
        if let (Ok(to_system), Ok(by_name)) =
            (std::fs::canonicalize(link), std::fs::canonicalize(lineage.target(Kind::Cert)))
            && to_system != by_name
        {
            let evidence = format!("{} means {} to the system", self.shown(link), to_system.display());
            self.add(FindingCode::ForeignLink, name, evidence);
        }
        Ok(())
    }

    /// A conf speaks of its own folders, of `archive_dir`, and of those of its live links.
    fn uses(&mut self, name: Option<&LineageName>, conf: Option<&RenewalConf>) -> Result<(), StoreError> {
        let paths = &self.store.paths;
        self.used.extend(name.iter().flat_map(|name| [paths.live(name), paths.archive(name)]));
        let Some(conf) = conf else { return Ok(()) };
        for dir in conf.archive_dir().into_iter().filter(|dir| !dir.is_empty()) {
            self.used.insert(absolute(Path::new(dir))?);
        }
        for link in Kind::ALL.iter().filter_map(|kind| Path::new(conf.live_path(*kind)?).parent()) {
            self.used.insert(absolute(link)?);
        }
        Ok(())
    }

    /// certbot's journal of a switch: `previous_KIND.pem` beside the live link.
    fn journal_links(&mut self, shown: &str, name: Option<&LineageName>, links: [&Path; 4]) {
        let journals = Kind::ALL.iter().zip(links).map(|(kind, link)| {
            let journal = format!("previous_{}.pem", kind.as_str());
            link.with_file_name(journal)
        });
        let found: Vec<_> = journals.filter(|path| path.symlink_metadata().is_ok()).collect();
        if let Some(first) = found.first() {
            let evidence = format!("{} of 4 journal links, such as {}", found.len(), self.shown(first));
            let finding = Finding::new(FindingCode::InterruptedSwitch, shown, evidence);
            self.findings.push(Audited { finding, name: name.cloned(), path: None });
        }
    }

    /// Links that don't lead to a version in the folder that the first of them leads to, or not in that of the conf.
    fn foreign_links<'l>(&self, lineage: &'l Lineage) -> Vec<(&'l Path, &'l Path)> {
        let conf_dir = lineage.conf().archive_dir().filter(|dir| !dir.is_empty());
        let own = conf_dir.and_then(|dir| absolute(Path::new(dir)).ok());
        let own = own.unwrap_or_else(|| self.store.paths.archive(lineage.name()));
        let links = Kind::ALL.map(|kind| (kind, lineage.live_path(kind), lineage.target(kind)));
        // A whole archive that was moved is somebody's decision; a single link elsewhere is not.
        let together = links.iter().all(|(.., target)| target.parent() == Some(lineage.archive_dir()));
        let foreign = links.into_iter().filter(|(kind, _, target)| {
            let named = target.file_name().and_then(OsStr::to_str).and_then(|name| kind.version_of(name)).is_some();
            !named || (!together && target.parent() != Some(own.as_path()))
        });
        foreign.map(|(_, link, target)| (link, target)).collect()
    }

    fn orphans(&mut self, dir: &Path, code: FindingCode) {
        for name in self.names_in(dir) {
            let path = dir.join(&name);
            // Hidden folders are work in progress, and `live/README` is a file.
            if name.as_encoded_bytes().starts_with(b".") || !path.is_dir() || self.used.contains(&path) {
                continue;
            }
            let held = match folder_names(&path) {
                Ok(names) if names.is_empty() => "it is empty".to_owned(),
                Ok(names) => format!("it holds {} files", names.len()),
                Err(error) => error.source.to_string(),
            };
            let finding = Finding::new(code, self.shown(&path), held);
            let name = name.to_str().and_then(|name| LineageName::new(name).ok());
            self.findings.push(Audited { finding, name, path: Some(path) });
        }
    }

    fn pending(&mut self) {
        for name in self.own_names("pending") {
            match self.store.pending(&name) {
                Ok(Some(pending)) => {
                    let order = &pending.order;
                    let names: Vec<_> = order.identifiers.iter().map(ToString::to_string).collect();
                    let evidence = format!("{}, placed {}", names.join(", "), order.placed.format("%F %T UTC"));
                    self.add(FindingCode::OrderPending, &name, evidence);
                }
                // The next run clears it away.
                Ok(None) if self.store.holds_reserved_key_only(&name) => {}
                Ok(None) => {
                    self.add_at(
                        FindingCode::StateDamaged,
                        &self.store.paths.pending(&name),
                        "it holds no complete order",
                    );
                }
                Err(error) => self.unreadable(&error),
            }
        }
    }

    fn rollovers(&mut self) {
        match self.store.rollovers() {
            Ok((rollovers, findings)) => {
                for rollover in rollovers {
                    let evidence = format!("{} since {}", rollover.account_url, rollover.started.format("%F %T UTC"));
                    self.add_plain(Finding::new(FindingCode::AccountKeyPending, &rollover.old_id, evidence));
                }
                findings.into_iter().for_each(|finding| self.add_plain(finding));
            }
            Err(error) => self.unreadable(&error),
        }
    }

    fn aside(&mut self) {
        for name in self.own_names("aside") {
            let dir = self.store.paths.aside(&name);
            for kept in self.names_in(&dir).iter().filter(|kept| !kept.as_encoded_bytes().starts_with(b".")) {
                let path = self.shown(&dir.join(kept));
                self.add(FindingCode::SetAside, &name, path);
            }
        }
    }

    fn memory(&mut self, lineages: &[Result<Lineage, BrokenLineage>]) {
        let known = lineages.iter().flatten().map(|lineage| lineage.name().clone());
        let remembered = self.store.remembered().unwrap_or_else(|error| {
            self.unreadable(&error);
            Vec::new()
        });
        for name in known.chain(remembered).collect::<BTreeSet<_>>() {
            match self.store.state(&name) {
                Ok((_, finding)) => {
                    let path = self.store.paths.state_file(&name);
                    let audited = |finding| Audited { finding, name: Some(name.clone()), path: Some(path) };
                    self.findings.extend(finding.map(audited));
                }
                Err(error) => self.unreadable(&error),
            }
        }
    }

    /// The lineages for which there is a folder in one of certkit's own.
    fn own_names(&mut self, folder: &str) -> Vec<LineageName> {
        let dir = self.store.paths.own_dir().join(folder);
        let names = self.names_in(&dir);
        names.iter().filter_map(|name| LineageName::new(name.to_str()?).ok()).collect()
    }

    /// The sorted names in a folder; one that cannot be read is a finding.
    fn names_in(&mut self, dir: &Path) -> Vec<OsString> {
        let mut names = folder_names(dir).unwrap_or_else(|error| {
            self.unreadable(&error);
            Vec::new()
        });
        names.sort_unstable();
        names
    }

    fn unreadable(&mut self, error: &StoreError) {
        self.add_at(FindingCode::Unreadable, &error.path, error.source.to_string());
    }

    fn permissions(&mut self, lineages: &[Result<Lineage, BrokenLineage>]) {
        let (problems, errors) = permissions::problems(self.store, lineages);
        for problem in problems.into_iter().filter(|problem| problem.severity() > Severity::Notice) {
            let finding = problem.finding(&self.store.paths);
            self.findings.push(Audited { finding, name: problem.name, path: Some(problem.path) });
        }
        errors.iter().for_each(|error| self.unreadable(error));
    }

    fn add(&mut self, code: FindingCode, name: &LineageName, evidence: impl AsRef<str>) {
        let finding = Finding::new(code, name.as_str(), evidence);
        self.findings.push(Audited { finding, name: Some(name.clone()), path: None });
    }

    fn add_at(&mut self, code: FindingCode, path: &Path, evidence: impl AsRef<str>) {
        let finding = Finding::new(code, self.shown(path), evidence);
        self.findings.push(Audited { finding, name: None, path: Some(path.to_owned()) });
    }

    fn add_plain(&mut self, finding: Finding) {
        self.findings.push(Audited { finding, name: None, path: None });
    }

    fn shown(&self, path: &Path) -> String {
        self.store.paths.relative(path).to_string_lossy().into_owned()
    }
}
