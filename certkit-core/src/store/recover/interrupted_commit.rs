//! Commits of certkit that did not end.

use chrono::{DateTime, Utc};

use super::{Recovered, with_left};
use crate::store::commit::{CommitError, archive_dirs};
use crate::store::files;
use crate::store::first_version::Staging;
use crate::store::journal::Journal;
use crate::store::links::{Link, LiveLinks};
use crate::store::switch::{follow_live, switch};
use crate::store::version_texts::{ArchiveFiles, VersionTexts};
use crate::store::{Kind, LockedStore, RenewalConf, StoreError};
use crate::{FindingCode, KeyMath, LineageName};

impl LockedStore {
    pub(crate) fn finish_commit(
        &self,
        name: &LineageName,
        math: &dyn KeyMath,
        now: DateTime<Utc>,
    ) -> Result<Option<Recovered>, StoreError> {
        let Some(journal) = self.store().journal(name)? else { return Ok(None) };
        let (state, _) = self.store().state(name)?;
        if journal.is_recorded(&state) {
            self.end_journal(name, &state)?;
            return Ok(None);
        }
        if files::lstat(&self.paths().conf(name))?.is_none() {
            return self.finish_first(name, &journal, math, now);
        }
        match self.conf_and_links(name) {
            Ok((_, live)) => self.finish_next(name, &journal, &live, math, now),
            Err(CommitError::Store(error)) => Err(error),
            Err(error) => Ok(Some(Recovered::new(FindingCode::BrokenLineage, name, error.to_string(), None))),
        }
    }

    fn finish_first(
        &self,
        name: &LineageName,
        journal: &Journal,
        math: &dyn KeyMath,
        now: DateTime<Utc>,
    ) -> Result<Option<Recovered>, StoreError> {
        if !journal.new_lineage {
            // The lineage was deleted since.
            self.remove_journal(name)?;
            return Ok(None);
        }
        let staging = Staging::new(self.paths(), name);
        let texts = read_if_whole(&staging.version_files()?)?;
        let fits = |texts: &VersionTexts| is_about(journal, texts) && texts.verify(None, math, now).is_ok();
        if let Some(texts) = texts.filter(fits)
            && staging.is_complete()?
        {
            if staging.is_in_place_taken()? {
                return self.keep_first_aside(name, journal, &staging, &texts).map(Some);
            }
            staging.publish()?;
            self.consume_pending(name, journal)?;
            return Ok(Some(finished(name, journal, &[])));
        }
        staging.discard()?;
        self.remove_journal(name)?;
        Ok(Some(undone(name)))
    }

    fn finish_next(
        &self,
        name: &LineageName,
        journal: &Journal,
        live: &LiveLinks,
        math: &dyn KeyMath,
        now: DateTime<Utc>,
    ) -> Result<Option<Recovered>, StoreError> {
        let version = journal.version;
        let dirs = archive_dirs(live)?;
        let archive = ArchiveFiles::new(&dirs, version);
        let conf_path = self.real_conf(name)?;
        let conf_temp = files::temp_name(&conf_path);
        let texts = read_if_whole(&archive.present()?)?.filter(|texts| is_about(journal, texts));

        if texts.is_some() && archive.are_final()? && live.is_whole() && live.version() == Some(version) {
            files::remove_file(&conf_temp)?;
            let followed = follow_live(self, name, live);
            let mut leftovers = [followed.aside, followed.leftovers].concat();
            self.consume_pending(name, journal)?;
            self.remove_old_versions(name, live, &dirs, version, &mut leftovers);
            return Ok(Some(finished(name, journal, &leftovers)));
        }
        let Some(texts) = texts.filter(|texts| texts.verify(None, math, now).is_ok()) else {
            // It never became complete. The order with its key is still there.
            archive.remove_temps()?;
            files::remove_file(&conf_temp)?;
            self.remove_journal(name)?;
            return Ok(Some(undone(name)));
        };
        if archive.are_final()? && live.version() > Some(version) {
            // It is stored, and another tool's renewal came after it.
            self.consume_pending(name, journal)?;
            self.remove_journal(name)?;
            return Ok(None);
        }
        if !is_where_it_was(journal, live) || archive.is_taken()? {
            return self.keep_overtaken(name, journal, &archive, &texts).map(Some);
        }
        archive.rename_temps()?;
        self.apply_conf(&conf_path)?;
        self.ensure_live_dir(live)?;
        let mut leftovers = switch(self, name, live, version, self.live_switch())?;
        self.consume_pending(name, journal)?;
        self.remove_old_versions(name, live, &dirs, version, &mut leftovers);
        Ok(Some(finished(name, journal, &leftovers)))
    }

    /// Somebody put something into the place of a new lineage since.
    fn keep_first_aside(
        &self,
        name: &LineageName,
        journal: &Journal,
        staging: &Staging,
        texts: &VersionTexts,
    ) -> Result<Recovered, StoreError> {
        let leaf = texts.leaf().map_err(|error| {
            StoreError::new("read", &staging.staged_archive, std::io::Error::other(error.to_string()))
        })?;
        let aside = self.keep_aside(name, &leaf, texts)?;
        staging.discard()?;
        self.consume_pending(name, journal)?;
        self.remove_journal(name)?;
        Ok(Recovered::new(FindingCode::SetAside, name, aside.display().to_string(), None))
    }

    /// Another tool renewed since: the version is kept, but does not go live.
    fn keep_overtaken(
        &self,
        name: &LineageName,
        journal: &Journal,
        archive: &ArchiveFiles,
        texts: &VersionTexts,
    ) -> Result<Recovered, StoreError> {
        let mut evidence = "it is among the versions of the certificate".to_owned();
        if !archive.are_final()?
            && let Ok(leaf) = texts.leaf()
        {
            evidence = self.keep_aside(name, &leaf, texts)?.display().to_string();
            archive.remove_temps()?;
        }
        files::remove_file(&files::temp_name(&self.real_conf(name)?))?;
        self.consume_pending(name, journal)?;
        self.remove_journal(name)?;
        Ok(Recovered::new(FindingCode::SetAside, name, evidence, None))
    }

    /// Gives the conf that the commit prepared its final name.
    fn apply_conf(&self, conf_path: &std::path::Path) -> Result<(), StoreError> {
        let temp = files::temp_name(conf_path);
        let Some(content) = files::read_if_there(&temp)? else { return Ok(()) };
        if RenewalConf::parse(&content).is_ok_and(|conf| conf.check_complete().is_ok()) {
            files::rename(&temp, conf_path)?;
        } else {
            files::remove_file(&temp)?;
        }
        files::sync_parent(conf_path)
    }
}

/// The texts of a version; none when a file is missing or is no file.
fn read_if_whole(paths: &[std::path::PathBuf; 4]) -> Result<Option<VersionTexts>, StoreError> {
    match VersionTexts::read(paths) {
        Ok(texts) => Ok(Some(texts)),
        Err(error) if files::is_absence(&error.source) => Ok(None),
        Err(error) if error.source.kind() == std::io::ErrorKind::InvalidInput => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_about(journal: &Journal, texts: &VersionTexts) -> bool {
    texts.leaf().is_ok_and(|leaf| journal.is_about(&leaf))
}

/// Whether the links are as the commit found them, or partly switched by it.
fn is_where_it_was(journal: &Journal, live: &LiveLinks) -> bool {
    let known = |kind: &Kind| {
        let version = live.version_of(*kind);
        *live.link(*kind) == Link::Missing || version == Some(journal.version) || version == journal.replaces
    };
    match journal.replaces {
        Some(_) => Kind::ALL.iter().all(known),
        None => live.version().is_none_or(|version| version == journal.version),
    }
}

/// With what could not be tidied up, or was set aside.
fn finished(name: &LineageName, journal: &Journal, left: &[String]) -> Recovered {
    let evidence = with_left(format!("version {} is live", journal.version), left);
    // A repair has made it live, and ran no hooks.
    let code = if journal.is_by_recovery() { FindingCode::DeployPending } else { FindingCode::InterruptedCommit };
    Recovered::new(code, name, evidence, Some(journal.version))
}

fn undone(name: &LineageName) -> Recovered {
    Recovered::new(FindingCode::InterruptedCommit, name, "what it had begun to store was removed", None)
}
