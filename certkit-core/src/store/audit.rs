//! What is inconsistent in the tree.

mod misled;
mod of_lineage;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::in_use::real;
use super::permissions::{self, OfLineage};
use super::settling::settled;
use super::way::steps;
use super::whose::place;
use super::{Kind, Store, StoreError, StorePaths, files, folder_names};
use crate::words::shell_word;
use crate::{Finding, FindingCode, LineageName, Severity};
use of_lineage::{Archives, Looked, Tree};

/// `renew` knows nothing of a certificate that was never there.
const FIRST_ORDER: &str = "run the command that was to obtain it again: it goes on with this order";

impl Store {
    /// Every inconsistency that can be seen without asking anybody: orphans, mixed links, interrupted switches, newer
    /// versions that are not live, pending orders, account keys being changed, what others can read, change or own,
    /// certificates set aside, damaged state files. Broken lineages are among them. What is in the certificates is not read:
    /// [`Store::diagnose`] does that, and tells of more that is harmless. All cores look where there are many lineages.
    pub fn audit(&self) -> Result<Vec<Finding>, StoreError> {
        Ok(self.audited()?.into_iter().map(|audited| audited.finding).collect())
    }

    /// The same with what each finding is about. What somebody else is just writing is looked at again.
    pub(crate) fn audited(&self) -> Result<Vec<Audited>, StoreError> {
        let passing = |seen: &Result<Vec<Audited>, _>| -> Vec<PathBuf> {
            let passing = seen.iter().flatten().filter(|audited| is_often_passing(audited.finding.code));
            passing.flat_map(|audited| audited.places(&self.paths)).collect()
        };
        settled(&self.paths, passing, |seen| passing(seen).is_empty(), || self.audited_once())
    }

    fn audited_once(&self) -> Result<Vec<Audited>, StoreError> {
        let tree = Tree::of(self);
        let mut looked = self.map_lineages(|lineage| Looked::at(&tree, &lineage, &[]))?;
        self.look_again_where_archives_are_shared(&tree, &mut looked)?;
        let mut audit = Audit { store: self, findings: Vec::new(), lineages: BTreeMap::new(), used: BTreeSet::new() };
        let mut permissions = Vec::with_capacity(looked.len());
        for one in looked {
            audit.findings.extend(one.findings);
            audit.used.extend(one.used);
            audit.lineages.extend(one.name.map(|name| (name, one.archives.is_some())));
            permissions.push(one.permissions);
        }
        audit.permissions(permissions);
        audit.folders_of_another_tree();
        let mut going = audit.deletions();
        going.extend(audit.first_commits());
        audit.orphans(&self.paths.live_dir(), FindingCode::LiveWithoutConf, &going);
        audit.orphans(&self.paths.archive_dir(), FindingCode::ArchiveWithoutConf, &going);
        audit.pending();
        audit.rollovers();
        audit.aside();
        audit.set_aside_at_switches();
        audit.memory();
        audit.misled()?;
        Ok(audit.findings)
    }

    /// Whose archive it is that links lead into is known once all have been looked at: then those few whose links lead to
    /// where another's versions lie are looked at anew.
    fn look_again_where_archives_are_shared(&self, tree: &Tree<'_>, looked: &mut [Looked]) -> Result<(), StoreError> {
        if looked.iter().filter_map(|one| one.archives.as_ref()).all(Archives::is_at_home) {
            return Ok(());
        }
        let mut archives: Vec<(Cow<'_, Path>, &LineageName, &Archives)> = Vec::with_capacity(looked.len());
        for one in looked.iter() {
            let (Some(name), Some(of_one)) = (&one.name, &one.archives) else { continue };
            archives.push((of_one.own(&self.paths, name), name, of_one));
        }
        archives.sort_by(|(one, ..), (other, ..)| one.cmp(other));
        let mut again = Vec::new();
        for (position, one) in looked.iter().enumerate() {
            let (Some(name), Some(of_one)) = (&one.name, &one.archives) else { continue };
            let in_use = of_one.in_use(&self.paths, name);
            let start = archives.partition_point(|(dir, ..)| *dir < in_use);
            let here = archives.iter().skip(start).take_while(|(dir, ..)| *dir == in_use);
            // Where its own conf says so, it is wrong of those alone whose links do not lead there.
            let is_told_so = of_one.own(&self.paths, name) == in_use;
            let counts = |other: &LineageName, of_other: &Archives| {
                other != name
                    && (!is_told_so
                        || of_other.in_use(&self.paths, other) == in_use
                        || self.paths.archive(other) == *in_use)
            };
            let others: Vec<_> =
                here.filter(|(_, other, of_other)| counts(other, of_other)).map(|(_, other, _)| *other).collect();
            if !others.is_empty()
                && let Some(lineage) = self.lineage(name).transpose()
            {
                again.push((position, Looked::at(tree, &lineage, &others)));
            }
        }
        for (position, anew) in again {
            looked[position] = anew;
        }
        Ok(())
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

    /// What is wrong with a lineage.
    fn of(code: FindingCode, name: &LineageName, evidence: impl AsRef<str>) -> Self {
        Self { finding: Finding::new(code, name.as_str(), evidence), name: Some(name.clone()), path: None }
    }

    /// What is wrong with a path.
    fn at(store: &Store, code: FindingCode, path: &Path, evidence: impl AsRef<str>) -> Self {
        let finding = Finding::new(code, store.paths.relative(path).to_string_lossy(), evidence);
        Self { finding, name: None, path: Some(path.to_owned()) }
    }

    fn unreadable(store: &Store, error: &StoreError) -> Self {
        let mut told = Self::at(store, FindingCode::Unreadable, &error.path, error.source.to_string());
        if error.path.is_symlink()
            && files::is_absence(&error.source)
            && let Some(gone) = place(&error.path)
        {
            let gone = shell_word(&gone.to_string_lossy());
            let cure =
                format!("mount what belongs in {gone}, or restore it: this is a link to it, and it is not there");
            told.finding = told.finding.with_cure(cure);
        }
        told
    }
}

/// What is there for an instant, too, while a run is at work that will end well.
fn is_often_passing(code: FindingCode) -> bool {
    matches!(
        code,
        FindingCode::ArchiveWithoutConf
            | FindingCode::InterruptedDeletion
            | FindingCode::InterruptedSwitch
            | FindingCode::LiveWithoutConf
            | FindingCode::MixedVersions
            | FindingCode::NewerVersionNotLive
            // An order has a folder before it has a file, and loses the file before the folder.
            | FindingCode::StateDamaged
    )
}

struct Audit<'s> {
    store: &'s Store,
    findings: Vec<Audited>,
    /// Each with whether it can be used.
    lineages: BTreeMap<LineageName, bool>,
    /// The folders that some conf speaks of, but for those that certbot gives the lineages.
    used: BTreeSet<PathBuf>,
}

impl Audit<'_> {
    /// Lineages that are made for the first time by a run that was ended: the next one finishes it. What is there already is no
    /// orphan, and whoever removed it would lose the certificate.
    fn first_commits(&mut self) -> Vec<LineageName> {
        let names = self.store.journals().unwrap_or_else(|error| {
            self.unreadable(&error);
            Vec::new()
        });
        let is_first = |name: &LineageName| {
            matches!(self.store.journal(name), Ok(Some(journal)) if journal.new_lineage)
                && !self.lineages.contains_key(name)
        };
        names.into_iter().filter(is_first).collect()
    }

    /// Removals that did not end, and whose they are. Those of lineages that have a conf never will.
    fn deletions(&mut self) -> Vec<LineageName> {
        let begun = self.store.deletions().unwrap_or_else(|error| {
            self.unreadable(&error);
            Vec::new()
        });
        let mut going = Vec::new();
        for (name, has_conf) in begun {
            if has_conf {
                let note = self.store.paths.deletion(&name);
                let evidence = format!("{}, although there is a renewal configuration", self.shown(&note));
                let finding = Finding::new(FindingCode::LeftOver, name.as_str(), evidence);
                let finding = finding.with_severity(Severity::Warning);
                self.findings.push(Audited { finding, name: Some(name), path: Some(note) });
            } else {
                self.add(FindingCode::InterruptedDeletion, &name, "");
                going.push(name);
            }
        }
        going
    }

    /// `live` or `archive` itself can be a link into another tree. Of each lineage that is not looked up.
    fn folders_of_another_tree(&mut self) {
        for folder in [self.store.paths.live_dir(), self.store.paths.archive_dir()] {
            if let Some(tree) = self.store.paths.another_tree(&folder.join("NAME")) {
                self.add_at(FindingCode::AnotherTree, &folder, tree.to_string_lossy());
            }
        }
    }

    fn orphans(&mut self, dir: &Path, code: FindingCode, going: &[LineageName]) {
        let top = dir.canonicalize().ok();
        let mut second_names = None;
        for name in self.names_in(dir) {
            // Of thousands nearly all are folders of lineages: those are not looked at.
            let lineage = name.to_str().and_then(|name| LineageName::new(name).ok());
            let is_known = |name: &LineageName| self.lineages.contains_key(name) || going.contains(name);
            if lineage.as_ref().is_some_and(is_known) {
                continue;
            }
            let path = dir.join(&name);
            // Hidden folders are work in progress, and `live/README` is a file.
            if name.as_encoded_bytes().starts_with(b".") || !path.is_dir() || self.used.contains(&path) {
                continue;
            }
            if self.is_way_to_used(&path) {
                continue;
            }
            // What every ext4 has where it is mounted, and a second name of a folder beside it.
            if name == "lost+found"
                || (path.is_symlink() && path.canonicalize().is_ok_and(|to| to.parent() == top.as_deref()))
            {
                continue;
            }
            if self.has_refused_conf(&name, lineage.as_ref()) {
                continue;
            }
            // What a lineage's own folder is a link to, and a folder of links to the live links of others.
            let second_names = second_names.get_or_insert_with(|| self.led_to_by_links_in(dir));
            if second_names.contains(&path) || self.only_repeats_live_links(&path) {
                continue;
            }
            let held = match folder_names(&path) {
                Ok(names) if names.is_empty() => "it is empty".to_owned(),
                Ok(names) => format!("it holds {} files", names.len()),
                Err(error) => error.source.to_string(),
            };
            let finding = Finding::new(code, self.shown(&path), held);
            // What its owner keeps there serves nobody.
            let is_link = |kind: &Kind| path.join(kind.live_file()).symlink_metadata().is_ok();
            let has_no_certificate = code == FindingCode::LiveWithoutConf && !Kind::ALL.iter().any(is_link);
            let is_empty = folder_names(&path).is_ok_and(|names| names.is_empty());
            if is_empty && self.is_way_of_others(&path, lineage.as_ref()) {
                continue;
            }
            let finding = match has_no_certificate && !is_empty {
                true => finding.with_severity(Severity::Notice),
                false => finding,
            };
            self.findings.push(Audited { finding, name: lineage, path: Some(path) });
        }
    }

    /// Whether paths of lineages lead through a folder. That is asked only of empty ones, for all confs and links are read for it.
    fn is_way_of_others(&self, path: &Path, name: Option<&LineageName>) -> bool {
        let needed = || -> Result<bool, StoreError> {
            let Some(dir) = real(path)? else { return Ok(false) };
            let (in_use, _) = self.store.readable_in_use()?;
            Ok(!in_use.needed(&self.store.paths, &dir, name).way()?.is_empty())
        };
        needed().unwrap_or(true)
    }

    /// The folders beside those of lineages that these are links to.
    fn led_to_by_links_in(&self, dir: &Path) -> BTreeSet<PathBuf> {
        let links = self.lineages.keys().map(|name| dir.join(name.as_str())).filter(|path| path.is_symlink());
        let targets = links.filter_map(|path| path.canonicalize().ok());
        targets.filter_map(|path| Some(dir.join(path.file_name()?))).collect()
    }

    /// Whether the links in a folder are other names of the live links of lineages; whatever else is in it is its owner's.
    fn only_repeats_live_links(&self, folder: &Path) -> bool {
        let lives = self.store.paths.live_dir().canonicalize().ok();
        let repeats = |link: &Path| {
            let step = steps(link).ok()?.into_iter().next()?;
            let dir = step.parent()?;
            let name = LineageName::new(dir.file_name()?.to_str()?).ok()?;
            (dir.parent().map(Path::to_owned) == lives && self.lineages.contains_key(&name)).then_some(())
        };
        let names = folder_names(folder).unwrap_or_default();
        let links: Vec<_> = names.iter().map(|name| folder.join(name)).filter(|path| path.is_symlink()).collect();
        let is_copy = |kind: &Kind| folder.join(kind.live_file()).symlink_metadata().is_ok_and(|meta| meta.is_file());
        !links.is_empty() && links.iter().all(|link| repeats(link).is_some()) && !Kind::ALL.iter().any(is_copy)
    }

    /// Whether there is nothing in a folder but folders, and a conf speaks of one below it.
    fn is_way_to_used(&self, path: &Path) -> bool {
        let below = self.used.range(path.to_owned()..).next().is_some_and(|used| used.starts_with(path));
        below && folder_names(path).is_ok_and(|names| names.iter().all(|name| path.join(name).is_dir()))
    }

    /// Whether a conf has this name although no lineage can: that is told of it, and what it uses is no orphan.
    fn has_refused_conf(&self, name: &OsStr, lineage: Option<&LineageName>) -> bool {
        let mut file = name.to_os_string();
        file.push(".conf");
        lineage.is_none() && self.store.paths.renewal_dir().join(file).symlink_metadata().is_ok()
    }

    fn pending(&mut self) {
        for name in self.own_names("pending") {
            match self.store.pending(&name) {
                Ok(Some(pending)) => {
                    let order = &pending.order;
                    let names: Vec<_> = order.identifiers.iter().map(ToString::to_string).collect();
                    let evidence = format!("{}, placed {}", names.join(", "), order.placed.format("%F %T UTC"));
                    let mut audited = Audited::of(FindingCode::OrderPending, &name, evidence);
                    if !self.lineages.contains_key(&name) {
                        audited.finding = audited.finding.with_cure(FIRST_ORDER);
                    }
                    self.findings.push(audited);
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

    /// What somebody had put into a live folder that was not in use, and is nowhere else: where it is kept. The run that set it aside
    /// has told it, but was perhaps killed before anybody read that.
    fn set_aside_at_switches(&mut self) {
        let saved = self.store.paths.saved_dir();
        for folder in self.names_in(&saved) {
            let name = folder.to_str().and_then(|folder| folder.strip_prefix("switched."));
            let Some(Ok(name)) = name.map(LineageName::new) else { continue };
            let dir = saved.join(&folder);
            for kept in self.names_in(&dir) {
                let path = self.shown(&dir.join(kept));
                self.add(
                    FindingCode::LeftAtCommit,
                    &name,
                    format!("{path} was in the live folder that was not in use"),
                );
            }
        }
    }

    fn memory(&mut self) {
        let names: BTreeSet<LineageName> = match self.store.remembered() {
            // Of whom nothing is remembered there is nothing to read.
            Ok(remembered) => remembered.into_iter().collect(),
            Err(error) => {
                self.unreadable(&error);
                // Those of broken ones are looked at where something is remembered of them.
                let usable = std::mem::take(&mut self.lineages).into_iter().filter(|(_, is_usable)| *is_usable);
                usable.map(|(name, _)| name).collect()
            }
        };
        for name in names {
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
        self.findings.push(Audited::unreadable(self.store, error));
    }

    fn permissions(&mut self, lineages: Vec<OfLineage>) {
        let (problems, errors) = permissions::problems(self.store, lineages);
        for problem in problems.into_iter().filter(|problem| problem.severity() > Severity::Notice) {
            let finding = problem.finding(&self.store.paths);
            self.findings.push(Audited { finding, name: problem.name, path: Some(problem.path) });
        }
        errors.iter().for_each(|error| self.unreadable(error));
    }

    fn add(&mut self, code: FindingCode, name: &LineageName, evidence: impl AsRef<str>) {
        self.findings.push(Audited::of(code, name, evidence));
    }

    fn add_at(&mut self, code: FindingCode, path: &Path, evidence: impl AsRef<str>) {
        self.findings.push(Audited::at(self.store, code, path, evidence));
    }

    fn add_plain(&mut self, finding: Finding) {
        self.findings.push(Audited { finding, name: None, path: None });
    }

    fn shown(&self, path: &Path) -> String {
        self.store.paths.relative(path).to_string_lossy().into_owned()
    }
}
