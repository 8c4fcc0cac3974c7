//! What is inconsistent in one lineage. Nothing here depends on the lineages that were looked at before, so that all cores
//! can look, and of a sound lineage hardly anything is kept.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::super::in_use::real;
use super::super::lineage::versions_among;
use super::super::links::leads_to_nothing_from_here;
use super::super::permissions::{self, OfLineage};
use super::super::targets::by_name;
use super::super::{BrokenLineage, BrokenReason, Kind, Lineage, RenewalConf, Store, StoreError, StorePaths};
use super::Audited;
use crate::store::commit::GREATEST_PLAUSIBLE;
use crate::words::REFUSED_NAME_CURE;
use crate::{Finding, FindingCode, LineageName, Severity, Version};

/// What was seen of a lineage, broken or not.
pub(super) struct Looked {
    /// Its name, where its conf has one that can be.
    pub(super) name: Option<LineageName>,
    /// Where its versions lie, as its conf says and as its links do; none when it is broken.
    pub(super) archives: Option<Archives>,
    pub(super) findings: Vec<Audited>,
    /// The folders that it speaks of, each once, but for those that certbot gives it.
    pub(super) used: Vec<PathBuf>,
    pub(super) permissions: OfLineage,
}

/// Where the versions of a lineage lie.
pub(super) struct Archives {
    /// As the conf says, when that is not the folder that certbot gives it.
    own: Option<PathBuf>,
    /// Where the links lead, when that is somewhere else.
    other: Option<PathBuf>,
}

impl Archives {
    /// Whether they lie where certbot lays them.
    pub(super) fn is_at_home(&self) -> bool {
        self.own.is_none() && self.other.is_none()
    }

    /// As the conf of the lineage says.
    pub(super) fn own(&self, paths: &StorePaths, name: &LineageName) -> Cow<'_, Path> {
        self.own.as_deref().map_or_else(|| paths.archive(name).into(), Cow::Borrowed)
    }

    /// Where the links of the lineage lead.
    pub(super) fn in_use(&self, paths: &StorePaths, name: &LineageName) -> Cow<'_, Path> {
        self.other.as_deref().map_or_else(|| self.own(paths, name), Cow::Borrowed)
    }
}

impl Looked {
    /// Looks at a lineage. `others` are the lineages whose confs say that their versions lie where its links lead.
    pub(super) fn at(tree: &Tree<'_>, lineage: &Result<Lineage, BrokenLineage>, others: &[&LineageName]) -> Self {
        let store = tree.store;
        let files = lineage.as_ref().map_or_else(|_| Ok(Vec::new()), Lineage::files_in_archive);
        let permissions = permissions::of_lineage(store.paths(), lineage, files.as_deref().unwrap_or_default());
        let mut look = Look { tree, store, findings: Vec::new(), home: Vec::new(), used: Vec::new() };
        let (name, archives) = match lineage {
            Ok(lineage) => (Some(lineage.name().clone()), look.lineage(lineage, files, others).map(Some)),
            Err(broken) => match look.broken(broken) {
                Ok(name) => (name, Ok(None)),
                Err(error) => (LineageName::new(&broken.name).ok(), Err(error)),
            },
        };
        let archives = archives.unwrap_or_else(|error| {
            look.findings.push(Audited { name: name.clone(), ..Audited::unreadable(store, &error) });
            None
        });
        Self { name, archives, findings: look.findings, used: look.used, permissions }
    }
}

/// What all lineages have in common.
pub(super) struct Tree<'s> {
    store: &'s Store,
    /// Whether `../archive` means the same by name and to the system, as seen from `live`.
    way_up_is_by_name: bool,
}

impl<'s> Tree<'s> {
    pub(super) fn of(store: &'s Store) -> Self {
        let (live, archive) = (store.paths.live_dir(), store.paths.archive_dir());
        let way_up = real(&live.join("../archive"));
        let way_up_is_by_name =
            matches!((way_up, real(&archive)), (Ok(Some(way_up)), Ok(Some(archive))) if way_up == archive);
        Self { store, way_up_is_by_name }
    }

    /// Whether all of a lineage lies and leads where certbot lays it, without a link on the way but the four: of those
    /// nothing needs to be looked up.
    fn is_home_of(&self, lineage: &Lineage) -> bool {
        let paths = &self.store.paths;
        let is_folder = |path: PathBuf| path.symlink_metadata().is_ok_and(|meta| meta.is_dir());
        self.way_up_is_by_name
            && lineage.is_usual
            && is_folder(paths.live(lineage.name()))
            && is_folder(paths.archive(lineage.name()))
    }
}

struct Look<'s> {
    tree: &'s Tree<'s>,
    store: &'s Store,
    findings: Vec<Audited>,
    /// The folders that certbot gives it.
    home: Vec<PathBuf>,
    used: Vec<PathBuf>,
}

impl Look<'_> {
    fn lineage(
        &mut self,
        lineage: &Lineage,
        files: Result<Vec<OsString>, StoreError>,
        others: &[&LineageName],
    ) -> Result<Archives, StoreError> {
        let name = lineage.name();
        let is_home = self.tree.is_home_of(lineage);
        self.uses_those_of(Some(lineage.name()), Some(lineage.conf()))?;
        let targets = Kind::ALL.map(|kind| lineage.target(kind));
        targets.iter().filter_map(|target| target.parent()).for_each(|folder| self.uses(folder));

        self.journal_links(name.as_str(), Some(name), Kind::ALL.map(|kind| (kind, lineage.live_path(kind))));
        if !is_home {
            self.another_tree(name.as_str(), Some(name), self.store.paths.another_tree_of(lineage));
        }
        let own = match lineage.conf().archive_dir().filter(|dir| !dir.is_empty()) {
            Some(dir) => by_name(&self.store.paths.said(dir)?)?,
            None => self.store.paths.archive(name),
        };
        self.archive_of_another(lineage, &own, others)?;
        if !is_home {
            self.another_place(lineage);
        }
        let live = lineage.live_version();
        let foreign = if live.is_none() { foreign_links(lineage, &own) } else { Vec::new() };
        if live.is_none() && foreign.is_empty() {
            let files = targets.map(|target| target.file_name().unwrap_or_default().to_string_lossy());
            self.add(FindingCode::MixedVersions, name, files.join(", "));
        }
        let is_told = |told: &Audited| told.finding.code == FindingCode::ForeignLink;
        let foreign = if self.findings.iter().any(is_told) { Vec::new() } else { foreign };
        // Links that somebody made lead into another's archive do not follow its newer versions.
        let is_own = !self.findings.iter().any(is_told);
        for (link, target) in foreign {
            self.add(FindingCode::ForeignLink, name, format!("{} points to {}", link.display(), target.display()));
        }
        match files {
            Ok(files) => self.newer_versions(name, live.filter(|_| is_own), &versions_among(&files)),
            Err(error) => self.findings.push(Audited::unreadable(self.store, &error)),
        }
        let other = (lineage.archive_dir() != own).then(|| lineage.archive_dir().to_owned());
        let own = Some(own).filter(|own| *own != self.store.paths.archive(name));
        Ok(Archives { own, other })
    }

    /// Complete versions above the one in use.
    fn newer_versions(&mut self, name: &LineageName, live: Option<Version>, versions: &BTreeMap<Version, Vec<Kind>>) {
        let complete = versions.iter().rev().filter(|(_, kinds)| kinds.len() == Kind::ALL.len());
        let newer =
            complete.map(|(version, _)| *version).take_while(|version| live.is_some_and(|live| *version > live));
        let (counted, others): (Vec<_>, Vec<_>) = newer.partition(|version| *version <= GREATEST_PLAUSIBLE);
        if let Some(newest) = counted.first() {
            self.add(FindingCode::NewerVersionNotLive, name, format!("version {newest}"));
        }
        if let Some(greatest) = others.first() {
            let evidence = format!("version {greatest}: nobody counts so far, so it is never made live");
            self.add(FindingCode::NewerVersionUnusable, name, evidence);
        }
    }

    fn broken(&mut self, broken: &BrokenLineage) -> Result<Option<LineageName>, StoreError> {
        let stem = broken.conf_path.file_stem().and_then(OsStr::to_str);
        let name = stem.and_then(|stem| LineageName::new(stem).ok());
        self.uses_those_of(name.as_ref(), broken.conf.as_ref())?;
        if let Some(conf) = &broken.conf {
            let links = Kind::ALL.into_iter().filter_map(|kind| Some((kind, conf.live_path(kind)?)));
            let links = links.map(|(kind, link)| Ok((kind, self.store.paths.said(link)?)));
            let links = links.collect::<Result<Vec<_>, StoreError>>()?;
            self.journal_links(&broken.name, name.as_ref(), links.iter().map(|(kind, link)| (*kind, link.as_path())));
            let tree = links.iter().find_map(|(_, link)| self.store.paths.another_tree(link));
            self.another_tree(&broken.name, name.as_ref(), tree);
            // What its links point to belongs to it, whatever is wrong with the others.
            for (_, link) in &links {
                let Ok(target) = std::fs::read_link(link) else { continue };
                let folder = link.parent().map(|parent| parent.join(target)).and_then(|path| by_name(&path).ok());
                if let Some(folder) = folder.as_deref().and_then(Path::parent) {
                    self.uses(folder);
                }
            }
        }
        let finding = Finding::new(FindingCode::BrokenLineage, &broken.name, broken.reason.to_string());
        let finding = match &broken.reason {
            BrokenReason::Name(_) | BrokenReason::NameNotUtf8 => finding.with_cure(REFUSED_NAME_CURE),
            reason => finding.hindered_by(reason.hindrance()),
        };
        self.findings.push(Audited { finding, name: name.clone(), path: Some(broken.conf_path.clone()) });
        Ok(name)
    }

    /// Links into the archive of another lineage.
    fn archive_of_another(&mut self, lineage: &Lineage, own: &Path, others: &[&LineageName]) -> Result<(), StoreError> {
        let (name, dir) = (lineage.name(), lineage.archive_dir());
        // Where certbot lays them it is the confs that say something else.
        let at_home = self.store.paths.archive(name) == dir;
        if !others.is_empty() && !at_home {
            let others: Vec<_> = others.iter().map(|other| format!("`{other}`")).collect();
            let evidence = format!("its links lead into {}, the archive of {}", self.shown(dir), others.join(", "));
            self.add(FindingCode::ForeignLink, name, evidence);
        } else if let Some(said) =
            lineage.conf().archive_dir().filter(|said| !said.is_empty() && leads_to_nothing_from_here(Path::new(said)))
        {
            self.add(FindingCode::ArchiveDirDiffers, name, format!("it says {said}, which is no path from the root"));
        } else if own != dir && lineage.live_version().is_some() && real(own)? != real(dir)? {
            let (said, led) = (self.shown(own), self.shown(dir));
            self.add(FindingCode::ArchiveDirDiffers, name, format!("it says {said}, and they lead to {led}"));
        }
        Ok(())
    }

    /// Links that mean something else to certbot, which goes by name alone.
    fn another_place(&mut self, lineage: &Lineage) {
        let link = lineage.live_path(Kind::Cert);
        if let (Ok(to_system), Ok(by_name)) =
            (std::fs::canonicalize(link), std::fs::canonicalize(lineage.target(Kind::Cert)))
            // Another version in the same folder is one that went live meanwhile.
            && to_system.parent() != by_name.parent()
        {
            let evidence = format!("{} means {} to the system", self.shown(link), to_system.display());
            self.add(FindingCode::ForeignLink, lineage.name(), evidence);
        }
    }

    fn another_tree(&mut self, shown: &str, name: Option<&LineageName>, tree: Option<PathBuf>) {
        if let Some(tree) = tree {
            let finding = Finding::new(FindingCode::AnotherTree, shown, tree.to_string_lossy());
            self.findings.push(Audited { finding, name: name.cloned(), path: None });
        }
    }

    /// A conf speaks of its own folders, of `archive_dir`, and of those of its live links.
    fn uses_those_of(&mut self, name: Option<&LineageName>, conf: Option<&RenewalConf>) -> Result<(), StoreError> {
        let paths = &self.store.paths;
        self.home.extend(name.iter().flat_map(|name| [paths.live(name), paths.archive(name)]));
        let Some(conf) = conf else { return Ok(()) };
        for dir in conf.archive_dir().into_iter().filter(|dir| !dir.is_empty()) {
            self.uses(&by_name(&self.store.paths.said(dir)?)?);
        }
        for link in Kind::ALL.iter().filter_map(|kind| conf.live_path(*kind)) {
            let said = if is_relative(link) { Some(self.store.paths.said(link)?) } else { None };
            if let Some(folder) = said.as_deref().unwrap_or_else(|| Path::new(link)).parent() {
                self.uses(&by_name(folder)?);
            }
        }
        Ok(())
    }

    fn uses(&mut self, folder: &Path) {
        // As bytes first: comparing paths by their parts takes longer than all the rest.
        let known = |used: &PathBuf| used.as_os_str() == folder.as_os_str() || used == folder;
        if !self.home.iter().chain(&self.used).any(known) {
            self.used.push(folder.to_owned());
        }
    }

    /// certbot's journal of a switch: `previous_KIND.pem` beside the live link.
    fn journal_links<'l>(
        &mut self,
        shown: &str,
        name: Option<&LineageName>,
        links: impl IntoIterator<Item = (Kind, &'l Path)>,
    ) {
        let journals = links.into_iter().map(|(kind, link)| {
            let journal = format!("previous_{}.pem", kind.as_str());
            link.with_file_name(journal)
        });
        let there = journals.filter_map(|path| path.symlink_metadata().ok().map(|meta| (meta.is_symlink(), path)));
        let (found, others): (Vec<_>, Vec<_>) = there.partition(|(is_link, _)| *is_link);
        for (_, path) in others {
            let evidence = format!(
                "{} is no link, but certbot takes it for one of its journal, and removes it or fails",
                self.shown(&path)
            );
            let finding = Finding::new(FindingCode::LeftOver, shown, evidence).with_severity(Severity::Warning);
            self.findings.push(Audited { finding, name: name.cloned(), path: Some(path) });
        }
        if let Some((_, first)) = found.first() {
            let evidence = format!("{} of 4 journal links, such as {}", found.len(), self.shown(first));
            let finding = Finding::new(FindingCode::InterruptedSwitch, shown, evidence);
            self.findings.push(Audited { finding, name: name.cloned(), path: None });
        }
    }

    fn add(&mut self, code: FindingCode, name: &LineageName, evidence: impl AsRef<str>) {
        self.findings.push(Audited::of(code, name, evidence));
    }

    fn shown(&self, path: &Path) -> String {
        self.store.paths.relative(path).to_string_lossy().into_owned()
    }
}

fn is_relative(path: &str) -> bool {
    !path.is_empty() && !Path::new(path).is_absolute()
}

/// Links that don't lead to a version in the folder that the first of them leads to, or not in that of the conf.
fn foreign_links<'l>(lineage: &'l Lineage, own: &Path) -> Vec<(&'l Path, &'l Path)> {
    let links = Kind::ALL.map(|kind| (kind, lineage.live_path(kind), lineage.target(kind)));
    // A whole archive that was moved is somebody's decision; a single link elsewhere is not.
    let together = links.iter().all(|(.., target)| target.parent() == Some(lineage.archive_dir()));
    let foreign = links.into_iter().filter(|(kind, _, target)| {
        let named = target.file_name().and_then(OsStr::to_str).and_then(|name| kind.version_of(name)).is_some();
        !named || (!together && target.parent() != Some(own))
    });
    foreign.map(|(_, link, target)| (link, target)).collect()
}
