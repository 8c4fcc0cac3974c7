//! Live links that are not as they should be, and complete versions that are not live.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::{Recovered, with_left};
use crate::store::commit::GREATEST_PLAUSIBLE;
use crate::store::files;
use crate::store::folder::Folder;
use crate::store::journal::Journal;
use crate::store::links::{Link, LiveLinks, read_link};
use crate::store::repair::{moved_cure, moved_from};
use crate::store::switch::{follow_live, lags_behind, previous_name, switch};
use crate::store::version_texts::{VersionTexts, is_of_test_authority};
use crate::store::wrong_lines::WrongLines;
use crate::store::{BrokenReason, Kind, LockedStore, RenewalConf, Store, StoreError};
use crate::{Certificate, FindingCode, KeyMath, LineageName, Version};

/// So many versions are tried, newest first: certbot keeps six.
const MAX_CANDIDATES: usize = 12;

/// A lineage as it was found.
pub(crate) struct Found {
    pub(crate) live: LiveLinks,
    /// The directory that all links point into.
    pub(crate) archive: PathBuf,
    /// All four links point to one version whose files exist.
    pub(crate) whole: bool,
    /// The versions of which all four files exist, newest first.
    pub(crate) complete: Vec<Version>,
    /// certbot's journal links that are there, with the version that each points to.
    pub(crate) previous: Vec<(PathBuf, Option<Version>)>,
    /// Our temporary files beside the links and the versions.
    pub(crate) temps: Vec<PathBuf>,
    /// Versions as they are once their missing or damaged files are made anew from the others; only where that is done.
    pub(crate) mended: BTreeMap<Version, VersionTexts>,
}

/// What is to be done with the links of a lineage.
pub(crate) enum Decision {
    /// Nothing.
    Leave,
    /// This version goes live; one that is live already has its deploy hooks run.
    GoForward { version: Version, leaf: Box<Certificate>, code: FindingCode },
    /// certbot's switch is taken back: what it came after cannot be used. Without the certificate of that version nothing says what
    /// it is.
    RollBack { version: Version, leaf: Option<Box<Certificate>>, code: FindingCode, why: String },
    /// All is as it should be but for certbot's journal links.
    RemoveJournalLinks,
    /// It cannot be put right; why.
    Stuck { code: FindingCode, why: String },
}

impl LockedStore {
    /// Brings the links of one lineage in order; a healthy one costs a few reads.
    pub(super) fn repair_links(
        &self,
        name: &LineageName,
        math: &dyn KeyMath,
        now: DateTime<Utc>,
    ) -> Result<Option<Recovered>, StoreError> {
        // A conf that cannot be read, and links that are none, are broken lineages: reported where these are listed.
        let Ok(content) = self.real_conf(name).and_then(|path| files::read(&path)) else { return Ok(None) };
        let Ok(conf) = RenewalConf::parse(&content) else { return Ok(None) };
        let Some(live) = LiveLinks::read(self.paths(), name, &conf)? else { return Ok(None) };
        if let Some(WrongLines { why, cure }) = self.wrong_lines(name, &conf, &live)? {
            let mut misled = Recovered::new(FindingCode::BrokenLineage, name, why, None);
            misled.finding = misled.finding.with_cure(cure);
            return Ok(Some(misled));
        }
        if Kind::ALL.iter().any(|kind| *live.link(*kind) == Link::Other) {
            return Ok(None);
        }
        let Some(archive) = live.single_archive() else {
            if let Some(link) = live.distrusted() {
                let mut told = Recovered::new(FindingCode::ForeignLink, name, link.why(), None);
                told.finding = told.finding.with_cure(link.cure());
                return Ok(Some(told));
            }
            let code = FindingCode::MixedVersions;
            if let Some(tree) = moved_from(self.paths(), name, &live) {
                let evidence = format!("its paths lead to {}, where there is no such tree", tree.display());
                let mut moved = Recovered::new(FindingCode::BrokenLineage, name, evidence, None);
                moved.finding = moved.finding.with_cure(moved_cure(self.paths(), &tree));
                return Ok(Some(moved));
            }
            let evidence = "the live links do not point to versions in one directory that exists";
            return Ok(Some(Recovered::stuck(code, name, evidence)));
        };
        let found = Found::read(live, archive)?;
        if found.previous.is_empty() && Kind::ALL.iter().all(|kind| *found.live.link(*kind) == Link::Missing) {
            return Ok(None);
        }
        let decision = self.store().decide(name, &found, math, now);
        if !(found.temps.is_empty() && matches!(decision, Decision::Leave | Decision::Stuck { .. }))
            && let Some(tree) = found.live.places().iter().find_map(|path| self.paths().another_tree(path))
        {
            return Ok(Some(Recovered::new(FindingCode::AnotherTree, name, tree.to_string_lossy(), None)));
        }
        for temp in &found.temps {
            let (folder, name) = Folder::led_to(temp)?;
            folder.remove(name)?;
        }
        let recovered = self.carry_out(name, &found, decision)?;
        if recovered.is_none() && lags_behind(self.paths(), name, &found.live) {
            let aside = follow_live(self, name, &found.live).aside;
            if !aside.is_empty() {
                return Ok(Some(Recovered::new(FindingCode::LeftAtCommit, name, aside.join("; "), None)));
            }
        }
        Ok(recovered)
    }

    /// Does what was decided.
    pub(crate) fn carry_out(
        &self,
        name: &LineageName,
        found: &Found,
        decision: Decision,
    ) -> Result<Option<Recovered>, StoreError> {
        let recovered = match decision {
            Decision::Leave => return Ok(None),
            Decision::GoForward { version, leaf, code } => {
                let left = self.make_live(name, found, version, &leaf)?;
                found.remove_previous()?;
                Recovered::new(code, name, with_left(format!("version {version} is live now"), &left), Some(version))
            }
            Decision::RollBack { version, leaf, code, why } => {
                // Who looked while both were live has the other one.
                let leaf = leaf.filter(|_| !found.is_live(version));
                let left = match &leaf {
                    Some(leaf) => self.make_live(name, found, version, leaf)?,
                    None => switch(self, name, &found.live, version, self.live_switch())?,
                };
                found.remove_previous()?;
                let evidence = with_left(format!("version {version} is live again; {why}"), &left);
                Recovered::new(code, name, evidence, leaf.map(|_| version))
            }
            Decision::RemoveJournalLinks => {
                found.remove_previous()?;
                Recovered::new(FindingCode::InterruptedSwitch, name, "its journal links were removed", None)
            }
            Decision::Stuck { code, why } => Recovered::stuck(code, name, why),
        };
        Ok(Some(recovered))
    }

    /// Makes a version live that was there before, with a journal, so that its deploy hooks are not forgotten when this process is
    /// killed before it says that they have to run. Returns what was left.
    fn make_live(
        &self,
        name: &LineageName,
        found: &Found,
        version: Version,
        leaf: &Certificate,
    ) -> Result<Vec<String>, StoreError> {
        let before = self.store().journal(name)?;
        let (state, _) = self.store().state(name)?;
        let journal = Journal::new(version, found.live.version(), leaf).by_recovery(&state);
        self.write_journal(name, &journal)?;
        if found.is_live(version) {
            return Ok(Vec::new());
        }
        switch(self, name, &found.live, version, self.live_switch()).inspect_err(|_| {
            // What was live still is: nothing was begun that another run would have to finish.
            let _ = self.restore_journal(name, before.as_ref());
        })
    }
}

impl Store {
    /// Which version has to be live, as far as what is stored says so. Nothing is changed.
    pub(crate) fn decide(&self, name: &LineageName, found: &Found, math: &dyn KeyMath, now: DateTime<Utc>) -> Decision {
        let rolling_back = found.restorable();
        let dead = if found.whole && rolling_back.is_none() { self.what_is_dead(name, found) } else { None };
        let (pool, replaces, code) = match (&rolling_back, found.whole) {
            // certbot was interrupted in the middle of a switch. It would put the previous version back, and link the
            // newest at the next renewal, without running the deploy hooks.
            (Some(previous), _) => (found.newer_than(Some(*previous)), Some(*previous), FindingCode::InterruptedSwitch),
            (None, true) if found.is_own_archive() && dead.is_some() => {
                let other = |version: &Version| Some(*version) != found.live.version();
                (found.complete.iter().copied().filter(other).collect(), None, FindingCode::LiveVersionDamaged)
            }
            (None, true) if found.is_own_archive() => {
                (found.newer_than(found.live.version()), found.live.version(), FindingCode::NewerVersionNotLive)
            }
            (None, true) => (Vec::new(), None, FindingCode::NewerVersionNotLive),
            (None, false) => (found.complete.clone(), None, FindingCode::MixedVersions),
        };
        let is_dead = |why| Decision::Stuck { code: FindingCode::LiveVersionDamaged, why };
        if found.whole && pool.is_empty() && found.previous.is_empty() {
            return dead.map_or(Decision::Leave, is_dead);
        }
        // What is replaced counts only when it could be used itself.
        let replaces = replaces.and_then(|version| found.verified_leaf(version, None, math, now).ok());

        let forward = |version, leaf: Certificate| Decision::GoForward { version, leaf: Box::new(leaf), code };
        let mut first_problem = None;
        let mut test = None;
        for version in pool.iter().copied().take(MAX_CANDIDATES) {
            match found.verified_leaf(version, replaces.clone(), math, now) {
                // Where nothing says what it would replace, one that clients trust comes first.
                Ok(leaf) if replaces.is_none() && is_of_test_authority(&leaf) => {
                    test = test.or(Some((version, leaf)));
                }
                Ok(leaf) => return forward(version, leaf),
                Err(problem) => first_problem = first_problem.or_else(|| Some(format!("version {version}: {problem}"))),
            }
        }
        if let Some((version, leaf)) = test {
            return forward(version, leaf);
        }
        if let Some(why) = dead {
            return is_dead(why);
        }
        let why = first_problem.unwrap_or_else(|| "there is no complete version".to_owned());
        match (rolling_back, found.whole) {
            (Some(version), _) if replaces.is_some() || !found.whole => {
                Decision::RollBack { version, leaf: replaces.map(Box::new), code, why }
            }
            (_, true) if !pool.is_empty() => Decision::Stuck { code, why },
            // Less than four: certbot was interrupted while it removed them, after all links were switched.
            (_, true) => Decision::RemoveJournalLinks,
            (_, false) => Decision::Stuck { code, why },
        }
    }

    /// Why what is live cannot serve anybody: a file is empty or no certificate or key, or the key is another's. A chain
    /// that somebody completed by hand, and what just cannot be read now, is not that.
    fn what_is_dead(&self, name: &LineageName, found: &Found) -> Option<String> {
        if found.live.version().is_some_and(|version| found.mended.contains_key(&version)) {
            return None;
        }
        let lineage = self.lineage(name).ok()??;
        match lineage.check_live(None) {
            Ok(()) | Err(BrokenReason::Unreadable(_) | BrokenReason::FullchainDiffers { .. }) => None,
            Err(reason) => Some(reason.to_string()),
        }
    }
}

impl Found {
    /// Looks at what the links of a lineage, which lead into `archive`, have around them.
    pub(crate) fn read(live: LiveLinks, archive: PathBuf) -> Result<Self, StoreError> {
        let (previous, mut temps) = look_around(&live)?;
        let (complete, archive_temps) = versions(&archive)?;
        temps.extend(archive_temps);
        let whole = live.is_whole();
        Ok(Self { live, archive, whole, complete, previous, temps, mended: BTreeMap::new() })
    }

    /// Whether all links lead to this version already.
    fn is_live(&self, version: Version) -> bool {
        self.whole && self.live.version() == Some(version)
    }

    /// The version that certbot's journal links all four lead to, when it is complete.
    fn restorable(&self) -> Option<Version> {
        let version = self.previous.first()?.1?;
        let all = self.previous.len() == Kind::ALL.len()
            && self.previous.iter().all(|(_, other)| *other == Some(version))
            && self.complete.contains(&version);
        all.then_some(version)
    }

    /// Complete versions above `version`, newest first.
    fn newer_than(&self, version: Option<Version>) -> Vec<Version> {
        let Some(version) = version else { return Vec::new() };
        self.complete.iter().copied().filter(|other| *other > version).collect()
    }

    /// Whether the versions are the lineage's own, so that a newer one is meant for it. Links can be made to point to
    /// another lineage's.
    pub(crate) fn is_own_archive(&self) -> bool {
        self.live.conf_archive().as_ref() == Some(&self.archive)
    }

    fn verified_leaf(
        &self,
        version: Version,
        replaces: Option<Certificate>,
        math: &dyn KeyMath,
        now: DateTime<Utc>,
    ) -> Result<Certificate, String> {
        let read;
        let texts = match self.mended.get(&version) {
            Some(mended) => mended,
            None => {
                let paths = Kind::ALL.map(|kind| self.archive.join(kind.archive_file(version)));
                read = VersionTexts::read(&paths).map_err(|error| error.to_string())?;
                &read
            }
        };
        let verified = texts.verify(replaces, math, now).map_err(|error| error.to_string())?;
        Ok(verified.chain().leaf.clone())
    }

    fn remove_previous(&self) -> Result<(), StoreError> {
        for (path, _) in &self.previous {
            let (folder, name) = Folder::led_to(path)?;
            folder.remove(name)?;
        }
        self.previous.first().map_or(Ok(()), |(path, _)| files::sync_parent(path))
    }
}

/// certbot's journal links and our temporary files beside the live links.
#[allow(clippy::type_complexity, reason = "two lists, used once")]
fn look_around(live: &LiveLinks) -> Result<(Vec<(PathBuf, Option<Version>)>, Vec<PathBuf>), StoreError> {
    let (mut previous, mut temps) = (Vec::new(), Vec::new());
    let mut dirs: Vec<&Path> = Kind::ALL.iter().filter_map(|kind| live.path(*kind).parent()).collect();
    dirs.dedup();
    for dir in dirs {
        for name in files::list(dir)?.unwrap_or_default() {
            let path = dir.join(&name);
            if files::temp_of(&name).is_some() {
                temps.push(path);
                continue;
            }
            let kind = Kind::ALL.iter().find(|kind| name.as_os_str() == previous_name(**kind).as_str());
            if let Some(kind) = kind
                && let Link::To(target) = read_link(&path)?
            {
                let file = target.file_name().and_then(|file| file.to_str());
                previous.push((path, file.and_then(|file| kind.version_of(file))));
            }
        }
    }
    Ok((previous, temps))
}

/// The complete versions in an archive, newest first, and our temporary files.
fn versions(archive: &Path) -> Result<(Vec<Version>, Vec<PathBuf>), StoreError> {
    let (mut kinds, mut temps) = (BTreeMap::<Version, usize>::new(), Vec::new());
    for name in files::list(archive)?.unwrap_or_default() {
        if files::temp_of(&name).is_some() {
            temps.push(archive.join(&name));
            continue;
        }
        let Some(name) = name.to_str() else { continue };
        for kind in Kind::ALL {
            // `cert01.pem` is version 1 by its number, but not the file that a link to version 1 would name.
            let version = kind.version_of(name).filter(|version| kind.archive_file(*version) == name);
            if let Some(version) = version.filter(|version| *version <= GREATEST_PLAUSIBLE) {
                *kinds.entry(version).or_default() += 1;
            }
        }
    }
    let complete = kinds.into_iter().rev().filter(|(_, kinds)| *kinds == 4).map(|(version, _)| version).collect();
    Ok((complete, temps))
}
