//! A new lineage: certbot's files, made under names that nobody looks at, and renamed in place with the conf last.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::commit::{CommitError, Committed, ConfPlan, shown};
use super::files::{self, Attributes};
use super::journal::Journal;
use super::links::relative_archive;
use super::switch::note;
use super::version_texts::VersionTexts;
use super::{ConfEdits, ConfValue, Kind, LockedStore, RenewalConf, StoreError, StorePaths, VerifiedVersion};
use crate::words::shell_word;
use crate::{LineageName, Version};

/// The certbot whose format the confs follow. certbot notes in its log when a conf is newer than itself; without the
/// line it takes the conf for one of before 0.5.
const CONF_FORMAT_VERSION: &str = "5.8.0";

const LIVE_README: &str = "\
One folder for each certificate. The files in them are links to the version that is in use; the versions themselves are
in ../archive. Give the paths of the links to your programs, and leave names and places of links and folders as they are:
certkit and certbot go by them. To remove a certificate, use `certkit delete --cert-name NAME`.
";

const LINEAGE_README: &str = "\
  privkey.pem    the private key: keep it to yourself
  fullchain.pem  the certificate followed by its issuers: what most servers want
  chain.pem      the issuers alone, for example for OCSP stapling
  cert.pem       the certificate alone: a server that sends only this is not trusted by all clients

These are links, and each renewal points them to new files. Use them where they are: copies become outdated, and a
renamed or replaced link stops the renewal.
";

/// The names under which a new lineage is made, and those that it gets.
pub(crate) struct Staging {
    pub(crate) archive: PathBuf,
    pub(crate) staged_archive: PathBuf,
    pub(crate) live: PathBuf,
    pub(crate) staged_live: PathBuf,
    pub(crate) conf: PathBuf,
    pub(crate) staged_conf: PathBuf,
}

impl Staging {
    pub(crate) fn new(paths: &StorePaths, name: &LineageName) -> Self {
        let (archive, live, conf) = (paths.archive(name), paths.live(name), paths.conf(name));
        Self {
            staged_archive: files::sibling_folder(&archive),
            staged_live: files::sibling_folder(&live),
            staged_conf: files::temp_name(&conf),
            archive,
            live,
            conf,
        }
    }

    /// Removes what is under the staging names.
    pub(crate) fn discard(&self) -> Result<bool, StoreError> {
        let mut any = files::remove_file(&self.staged_conf)?;
        any |= files::remove_flat_dir(&self.staged_live)?;
        any |= files::remove_flat_dir(&self.staged_archive)?;
        Ok(any)
    }

    /// Renames everything in place, the conf last: before that certbot and certkit see no lineage, after it a whole
    /// one. What is in place already stays. An empty directory in the way is replaced, a full one is an error.
    pub(crate) fn publish(&self) -> Result<(), StoreError> {
        for (staged, place) in [(&self.staged_archive, &self.archive), (&self.staged_live, &self.live)] {
            if files::exists(staged)? {
                files::rename(staged, place)?;
                files::sync_parent(place)?;
            }
        }
        files::rename_new(&self.staged_conf, &self.conf)?;
        files::sync_parent(&self.conf)
    }

    /// Whether a directory that is still staged cannot get its place, because there is something in it.
    pub(crate) fn is_in_place_taken(&self) -> Result<bool, StoreError> {
        for (staged, place) in [(&self.staged_archive, &self.archive), (&self.staged_live, &self.live)] {
            if files::exists(staged)?
                && let Some(meta) = files::lstat(place)?
                && (!meta.is_dir() || files::list(place)?.is_some_and(|names| !names.is_empty()))
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Where the files of the first version are now.
    pub(crate) fn version_files(&self) -> Result<[PathBuf; 4], StoreError> {
        let dir = if files::exists(&self.staged_archive)? { &self.staged_archive } else { &self.archive };
        Ok(Kind::ALL.map(|kind| dir.join(kind.archive_file(Version(1)))))
    }

    /// Whether conf and links are there, staged or in place.
    pub(crate) fn is_complete(&self) -> Result<bool, StoreError> {
        let live = if files::exists(&self.staged_live)? { &self.staged_live } else { &self.live };
        for kind in Kind::ALL {
            if !files::lstat(&live.join(kind.live_file()))?.is_some_and(|meta| meta.is_symlink()) {
                return Ok(false);
            }
        }
        files::exists(&self.staged_conf)
    }
}

impl LockedStore {
    /// The first version of a lineage that has no conf yet.
    pub(crate) fn commit_first(
        &self,
        name: &LineageName,
        verified: &VerifiedVersion,
        texts: &VersionTexts,
        plan: &ConfPlan,
    ) -> Result<Committed, CommitError> {
        self.check_nothing_in_the_way(name)?;
        let conf = first_conf(self.paths(), name, plan)?;
        let staging = Staging::new(self.paths(), name);
        staging.discard()?;
        let journal = Journal::first(&verified.chain().leaf).consuming_pending(self.is_of_pending(name, verified)?);
        self.write_journal(name, &journal)?;
        if let Err(error) = self.stage(&staging, name, texts, &conf) {
            let _ = staging.discard();
            let _ = self.remove_journal(name);
            return Err(error.into());
        }
        // Everything is durable. Where this fails, the next run finishes it.
        staging.publish()?;
        let mut leftovers = Vec::new();
        note(&mut leftovers, self.consume_pending(name, &journal));
        Ok(Committed { version: Version(1), leftovers })
    }

    /// Directories of other lineages, or orphans, that have the name already.
    pub(crate) fn check_nothing_in_the_way(&self, name: &LineageName) -> Result<(), CommitError> {
        let paths = self.paths();
        let made = [paths.archive(name), paths.live(name), paths.conf(name), paths.journal(name)];
        self.check_in_no_other_tree(name, made)?;
        for dir in [paths.archive(name), paths.live(name)] {
            let Some(meta) = files::lstat(&dir)? else { continue };
            if files::is_mount_point(&dir) {
                return Err(CommitError::Refused(format!(
                    "something is mounted at {}, where a folder has to be made: umount {}, or choose another name with --cert-name",
                    shown(&dir),
                    shell_word(&shown(&dir))
                )));
            }
            if !meta.is_dir() || files::list(&dir)?.is_some_and(|names| !names.is_empty()) {
                return Err(CommitError::Refused(format!(
                    "{} exists without a renewal configuration: move it away if nothing uses it, or choose another \
                     name with --cert-name",
                    shown(&dir)
                )));
            }
        }
        Ok(())
    }

    fn stage(
        &self,
        staging: &Staging,
        name: &LineageName,
        texts: &VersionTexts,
        conf: &RenewalConf,
    ) -> Result<(), StoreError> {
        let paths = self.paths();
        files::ensure_dir(&paths.renewal_dir(), 0o755)?;
        files::ensure_dir(&paths.archive_dir(), 0o700)?;
        files::ensure_dir(&paths.live_dir(), 0o700)?;
        let readme = paths.live_dir().join("README");
        if !files::exists(&readme)? {
            files::replace(&readme, LIVE_README.as_bytes(), &Attributes::mode(0o644))?;
        }

        files::write_temp(&staging.conf, conf.text().as_bytes(), &Attributes::mode(0o644))?;
        files::sync_parent(&staging.conf)?;

        files::make_dir(&staging.staged_archive, 0o755)?;
        for kind in [Kind::Privkey, Kind::Cert, Kind::Chain, Kind::Fullchain] {
            let attributes =
                if kind == Kind::Privkey { Attributes::key_like(None) } else { Attributes::public_like(None) };
            let path = staging.staged_archive.join(kind.archive_file(Version(1)));
            files::write_new(&path, texts.get(kind), &attributes)?;
        }
        files::sync_dir(&staging.staged_archive)?;
        files::sync_parent(&staging.staged_archive)?;

        files::make_dir(&staging.staged_live, 0o755)?;
        let archive = relative_archive(&paths.live(name), &files::absolute(&staging.archive)?);
        for kind in Kind::ALL {
            let link = staging.staged_live.join(kind.live_file());
            symlink(archive.join(kind.archive_file(Version(1))), &link)
                .map_err(|error| StoreError::new("create", &link, error))?;
        }
        let readme = staging.staged_live.join("README");
        files::write_new(&readme, LINEAGE_README.as_bytes(), &Attributes::mode(0o644))?;
        files::sync_dir(&staging.staged_live)?;
        files::sync_parent(&staging.staged_live)
    }
}

/// certbot's conf for a new lineage.
pub(crate) fn first_conf(paths: &StorePaths, name: &LineageName, plan: &ConfPlan) -> Result<RenewalConf, CommitError> {
    let text = |path: &Path| match files::absolute(path)?.to_str() {
        Some(text) => Ok(Some(ConfValue::Text(text.to_owned()))),
        None => Err(CommitError::Refused(format!("{} is not UTF-8, and a conf has to be", shown(path)))),
    };
    let mut edits = ConfEdits::default();
    edits.top.push(("version".to_owned(), Some(ConfValue::Text(CONF_FORMAT_VERSION.to_owned()))));
    edits.top.push(("archive_dir".to_owned(), text(&paths.archive(name))?));
    for kind in Kind::ALL {
        edits.top.push((kind.as_str().to_owned(), text(&paths.live(name).join(kind.live_file()))?));
    }
    edits.top.extend(plan.edits.top.iter().cloned());
    edits.params.clone_from(&plan.edits.params);
    edits.webroot_map.clone_from(&plan.edits.webroot_map);
    Ok(RenewalConf::new(&edits)?)
}

impl StorePaths {
    /// Whether the paths of a new lineage can be written into a conf.
    pub(crate) fn fit_a_conf(&self) -> bool {
        std::path::absolute(&self.config_dir).is_ok_and(|path| path.to_str().is_some())
    }
}
