//! Making a verified version the live one.
//!
//! The order, each step durable before the next:
//!
//! 1. the journal says which version is coming (`certkit/commit/NAME.json`);
//! 2. the changed conf, under a temporary name;
//! 3. the four files in the directory that the live links point into, under temporary names;
//! 4. these get their final names: from here on the version is complete, and an interrupted commit is finished by
//!    [`LockedStore::recover`] instead of being repeated;
//! 5. the conf gets its final name (certbot too changes the conf before the links);
//! 6. the live links are switched (see the module `switch`): the commit point;
//! 7. the pending order and its key are dropped, old versions removed.
//!
//! An error before the end of step 4 undoes what was done; the pending order with its key is kept, so that the
//! certificate can be fetched again. Nothing below `live/` changes before step 6.

use std::path::PathBuf;

use super::committable::check_replaceable;
use super::deletion::versions_in;
use super::files::{self, Attributes};
use super::journal::Journal;
use super::links::{Link, LiveLinks};
use super::switch::{LiveSwitch, follow_live, note, switch};
use super::version_texts::{ArchiveFiles, VersionTexts};
use super::{ConfEdits, ConfError, Kind, LockedStore, RenewalConf, StoreError, VerifiedVersion};
use crate::words::STILL_THE_OLD_ONE;
use crate::{LineageName, Version};

/// A version number above this was never counted up to: with a new version every hour it takes a century.
pub(crate) const GREATEST_PLAUSIBLE: Version = Version(1_000_000);

/// What the conf has to say after the commit.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ConfPlan {
    /// Changes to the conf. For a new lineage the paths are added by the commit itself.
    pub edits: ConfEdits,
    /// How this lineage's versions go live, when not as all of the store do.
    pub live_switch: Option<LiveSwitch>,
}

impl ConfPlan {
    /// These changes.
    pub fn new(edits: ConfEdits) -> Self {
        Self { edits, live_switch: None }
    }
}

/// A version that is live now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Committed {
    /// Its number.
    pub version: Version,
    /// Files that could not be tidied up, with the reason; the commit itself is complete.
    pub leftovers: Vec<String>,
}

/// A version could not be made live.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// Another tool renewed since the attempt began: the new version is kept aside.
    #[error("another tool renewed it meanwhile; the new certificate is kept in {}", crate::escape(&aside.display().to_string()))]
    Overtaken {
        /// Where.
        aside: PathBuf,
    },
    /// The tree cannot take it (name taken by an orphan, conf and links disagree).
    #[error("{0}")]
    Refused(String),
    /// The conf cannot be changed.
    #[error(transparent)]
    Conf(#[from] ConfError),
    /// Something cannot be read or written. What was live still is.
    #[error("{0}; {STILL_THE_OLD_ONE}")]
    Store(#[from] StoreError),
}

impl LockedStore {
    /// Stores `verified` as the next version and makes it live, in the order of the module's head. `replaces` is the
    /// live version when the attempt began; none for a new lineage, or one whose links point to no common version. The
    /// pending order with the same key is dropped.
    pub fn commit(
        &self,
        name: &LineageName,
        verified: &VerifiedVersion,
        replaces: Option<Version>,
        conf: &ConfPlan,
    ) -> Result<Committed, CommitError> {
        let _writing = self.writing();
        let texts = VersionTexts::of(verified);
        if files::lstat(&self.paths().conf(name))?.is_none() {
            return match replaces {
                None => self.commit_first(name, verified, &texts, conf),
                // It was deleted meanwhile, so nobody waits for a new version.
                Some(_) => self.overtaken(name, verified, &texts),
            };
        }
        let (old_conf, live) = self.conf_and_links(name)?;
        // Links that are not whole are nobody's finished renewal: the new version puts them right.
        let version_now = self.store().lineage(name).ok().flatten().and_then(|lineage| lineage.live_version());
        if version_now.is_some() && version_now != replaces {
            return self.overtaken(name, verified, &texts);
        }
        self.commit_next(name, verified, &texts, &old_conf, &live, conf)
    }

    /// The conf and the live links of a lineage to which a version can be added.
    pub(crate) fn conf_and_links(&self, name: &LineageName) -> Result<(RenewalConf, LiveLinks), CommitError> {
        let conf_path = self.real_conf(name)?;
        let conf = RenewalConf::parse(&files::read(&conf_path)?)?;
        let Some(live) = LiveLinks::read(self.paths(), name, &conf)? else {
            return Err(CommitError::Refused(format!(
                "{} does not name all of cert, privkey, chain and fullchain",
                shown(&self.paths().conf(name))
            )));
        };
        for kind in Kind::ALL {
            if *live.link(kind) == Link::Other {
                return Err(CommitError::Refused(format!("{} is not a symbolic link", shown(live.path(kind)))));
            }
        }
        self.check_own_links(name, &conf, &live)?;
        let changed = live.places().into_iter().chain([conf_path, self.paths().journal(name)]);
        self.check_in_no_other_tree(name, changed)?;
        if !live.agree() && !holds_versions(live.conf_archive().as_deref())? {
            return Err(CommitError::Refused(format!(
                "the live links of {name} do not lead to versions in one directory: make each point to KINDn.pem in \
                 archive/{name}, the same n in all four"
            )));
        }
        Ok((conf, live))
    }

    /// Whether the version came from the pending order. A roll-back does not, and the order goes on.
    pub(crate) fn is_of_pending(&self, name: &LineageName, verified: &VerifiedVersion) -> Result<bool, StoreError> {
        Ok(self.store().pending(name)?.is_some_and(|pending| pending.key.der() == verified.key().der()))
    }

    fn overtaken(
        &self,
        name: &LineageName,
        verified: &VerifiedVersion,
        texts: &VersionTexts,
    ) -> Result<Committed, CommitError> {
        let aside = self.keep_aside(name, &verified.chain().leaf, texts)?;
        if self.is_of_pending(name, verified)? {
            self.remove_pending(name)?;
        }
        Err(CommitError::Overtaken { aside })
    }

    fn commit_next(
        &self,
        name: &LineageName,
        verified: &VerifiedVersion,
        texts: &VersionTexts,
        old_conf: &RenewalConf,
        live: &LiveLinks,
        plan: &ConfPlan,
    ) -> Result<Committed, CommitError> {
        let conf_path = self.real_conf(name)?;
        let new_conf = old_conf.edited(&plan.edits)?;
        let dirs = archive_dirs(live)?;
        self.check_own_archive(name, live, &dirs)?;
        let version = self.next_version(name, live, &dirs)?;
        let files = ArchiveFiles::new(&dirs, version);
        let conf_temp = files::temp_name(&conf_path);

        let journal = Journal::new(version, live.version(), &verified.chain().leaf)
            .consuming_pending(self.is_of_pending(name, verified)?);
        let before = self.store().journal(name)?;
        self.write_journal(name, &journal)?;
        let stored = || -> Result<(), StoreError> {
            // A stale one must not be taken for ours when an interrupted commit is finished.
            files::remove_file(&conf_temp)?;
            if new_conf.text() != old_conf.text() {
                // Found out later, the version would be complete, and could never become live.
                check_replaceable(&conf_path)?;
                let attributes = Attributes::public_like(Some(&conf_path));
                files::write_temp(&conf_path, new_conf.text().as_bytes(), &attributes)?;
                files::sync_parent(&conf_path)?;
            }
            files.write_temps(texts, |kind| {
                // Rights that a file elsewhere has say nothing about the versions.
                let predecessor = live.agree().then(|| live.target(kind)).flatten();
                match kind {
                    Kind::Privkey => Attributes::key_like(predecessor.as_deref()),
                    Kind::Cert | Kind::Chain | Kind::Fullchain => Attributes::public_like(predecessor.as_deref()),
                }
            })?;
            files.rename_temps()
        };
        if let Err(error) = stored() {
            let _ = files.remove_temps();
            files.remove_finals();
            let _ = files::remove_file(&conf_temp);
            let _ = self.restore_journal(name, before.as_ref());
            return Err(error.into());
        }

        // The version is complete. Where one of these fails, the next run finishes the commit.
        if files::exists(&conf_temp)? {
            files::rename(&conf_temp, &conf_path)?;
            files::sync_parent(&conf_path)?;
        }
        let how = plan.live_switch.unwrap_or_else(|| self.live_switch());
        let switched = self.ensure_live_dir(live).and_then(|()| switch(self, name, live, version, how));
        let mut leftovers = match switched {
            Ok(leftovers) => leftovers,
            Err(error) => {
                // What no order was placed for, as in a roll-back, can be had again: whoever is told that it failed is not
                // surprised by the next run. Another is kept, for it cannot be bought twice.
                let is_as_before =
                    || Ok::<_, StoreError>(LiveLinks::read(self.paths(), name, &new_conf)?.as_ref() == Some(live));
                if !journal.consumes_pending() && new_conf.text() == old_conf.text() && is_as_before()? {
                    // Whoever has the second folder open has links to a version all the time.
                    let _ = follow_live(self, name, live);
                    files.remove_finals();
                    // What could not be removed is finished by the next run.
                    if files.are_gone()? {
                        let _ = self.restore_journal(name, before.as_ref());
                    }
                }
                return Err(error.into());
            }
        };
        note(&mut leftovers, self.consume_pending(name, &journal));
        self.remove_old_versions(name, live, &dirs, version, &mut leftovers);
        Ok(Committed { version, leftovers })
    }

    /// One more than the greatest number that any file of the four kinds has: holes and orphans are skipped, as certbot
    /// does. A number that no lineage can have reached is somebody's file, unless it is live.
    pub(crate) fn next_version(
        &self,
        name: &LineageName,
        live: &LiveLinks,
        dirs: &[PathBuf; 4],
    ) -> Result<Version, CommitError> {
        let mut newest =
            Kind::ALL.iter().filter_map(|kind| live.version_of(*kind)).max().map_or(0, |version| version.0);
        for dir in dirs.iter().chain([&self.paths().archive(name)]) {
            for file in files::list(dir)?.unwrap_or_default() {
                let version = file.to_str().and_then(|file| Kind::ALL.iter().find_map(|kind| kind.version_of(file)));
                let version = version.filter(|version| version.0 <= GREATEST_PLAUSIBLE.0);
                newest = newest.max(version.map_or(0, |version| version.0));
            }
        }
        newest.checked_add(1).map(Version).ok_or_else(|| {
            CommitError::Refused(format!(
                "the live links of {name} point to the greatest version number there is: rename these files, and make \
                 the links point to a smaller one"
            ))
        })
    }

    /// Makes the directories of the links where somebody removed them.
    pub(crate) fn ensure_live_dir(&self, live: &LiveLinks) -> Result<(), StoreError> {
        for kind in Kind::ALL {
            if let Some(dir) = live.path(kind).parent() {
                files::ensure_dir(dir, 0o755)?;
            }
        }
        Ok(())
    }
}

/// Where the new files go: where the existing links point to, whatever the conf's `archive_dir` says. certbot goes by the
/// one for the number and by the other for the files, and fails at every run when they differ.
pub(crate) fn archive_dirs(live: &LiveLinks) -> Result<[PathBuf; 4], StoreError> {
    let [cert, privkey, chain, fullchain] = Kind::ALL.map(|kind| live.archive_dir(kind));
    Ok([cert?, privkey?, chain?, fullchain?])
}

pub(crate) fn holds_versions(dir: Option<&std::path::Path>) -> Result<bool, StoreError> {
    dir.map_or(Ok(false), |dir| Ok(!versions_in(dir)?.is_empty()))
}

/// A path for a message.
pub(crate) fn shown(path: &std::path::Path) -> String {
    crate::escape(&path.display().to_string()).into_owned()
}
