//! Removing a lineage.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::carry::discard_switched;
use super::deleted::{DeleteError, Deleted, Held, Kept, keep};
use super::deletion::{Deletion, goes_with_links, is_beside_versions, is_of_version};
use super::files;
use super::first_version::Staging;
use super::folder::{Folder, real_folder_if_there};
use super::in_use::real;
use super::whose::Whose;
use super::{Kind, LockedStore, Store, StoreError, StorePaths};
use crate::LineageName;

impl StorePaths {
    /// `certkit/deleting`: the confs of the lineages whose removal has begun.
    fn deletions_dir(&self) -> PathBuf {
        self.own_dir().join("deleting")
    }

    /// `certkit/deleting/NAME`: its removal has begun.
    pub(crate) fn deletion(&self, name: &LineageName) -> PathBuf {
        self.deletions_dir().join(name.as_str())
    }
}

/// A lineage, and what came of the rest of its removal.
type FinishedDeletion = (LineageName, Result<Deleted, DeleteError>);

impl Store {
    /// The lineages that a removal was begun of, each with whether there is a conf: that was put back, or somebody has obtained
    /// the certificate again, and nothing of it is to be removed.
    pub(crate) fn deletions(&self) -> Result<Vec<(LineageName, bool)>, StoreError> {
        let mut found = Vec::new();
        for file in files::list_own(&self.paths().deletions_dir())? {
            let Some(Ok(name)) = file.to_str().map(LineageName::new) else { continue };
            let has_conf = files::exists(&self.paths().conf(&name))?;
            found.push((name, has_conf));
        }
        Ok(found)
    }
}

impl LockedStore {
    /// Removes a lineage as certbot does: conf, live directory, archive directory, the owner's settings for it
    /// (`certkit/lineages/NAME.toml`), and certkit's own memory of it but for its history and certificates kept aside. Works on broken lineages too, and on what an interrupted removal
    /// left. Live links and versions stay that another lineage's conf or links use ([`super::Store::sharing`]), and so do those
    /// outside the config dir, where nobody can tell who else uses them, unless their folder is this tree's own
    /// ([`StorePaths::with_own_folder`]). What was removed and what was kept outside is returned.
    ///
    /// What others use is found out before anything is removed: where that cannot be read, nothing is.
    ///
    /// The conf goes first: what an interruption leaves is then an orphan that [`super::Store::audit`] reports, and not a
    /// lineage that fails at every renewal. The links go last, because they lead to the versions that are left. The next
    /// [`LockedStore::recover`] removes the rest, where nothing of it lies outside. Where the conf cannot be removed, or lies itself
    /// outside as certkit's own folders may, nothing is, then or later.
    pub fn delete(&self, name: &LineageName) -> Result<Deleted, DeleteError> {
        let _writing = self.writing();
        let planned = self.store().deletion(name)?;
        self.carry_out_deletion(name, planned)
    }

    /// Removes what is left of the lineages whose removal was interrupted, and returns their names with what came of it.
    /// Where there is a conf, which was put back or is that of a certificate obtained again, nothing is removed.
    pub(crate) fn finish_deletions(&self) -> Result<Vec<FinishedDeletion>, StoreError> {
        let mut finished = Vec::new();
        for file in files::list(&self.paths().deletions_dir())?.unwrap_or_default() {
            let Some(Ok(name)) = file.to_str().map(LineageName::new) else { continue };
            let result = match files::exists(&self.paths().conf(&name)) {
                Ok(true) => match self.forget_deletion(&name) {
                    Ok(()) => continue,
                    Err(error) => Err(error.into()),
                },
                Ok(false) => self.finish_deletion(&name),
                Err(error) => Err(error.into()),
            };
            finished.push((name, result));
        }
        Ok(finished)
    }

    /// Ends a removal. An error where something of it lies outside: with its note the rest of it would be forgotten.
    pub(crate) fn finish_deletion(&self, name: &LineageName) -> Result<Deleted, DeleteError> {
        let renewal = self.paths().renewal_dir();
        if !renewal.is_dir() {
            // Whether there is a conf again nobody can see.
            return Err(StoreError::new("read", renewal, io::Error::from(io::ErrorKind::NotFound)).into());
        }
        if self.has_live_folders_but_no_conf(name)? {
            let why = "there is no configuration in it, while there are live links of others: is its disk mounted?";
            return Err(StoreError::new("read", renewal, io::Error::other(why)).into());
        }
        let planned = self.store().deletion(name)?;
        if let Some(kept) = planned.kept.iter().find(|kept| kept.is_outside()) {
            return Err(DeleteError::kept(kept, name));
        }
        self.carry_out_deletion(name, planned)
    }

    /// A disk that belongs in `renewal` leaves an empty folder where it is not mounted: then nobody can see whether there is a
    /// conf again.
    fn has_live_folders_but_no_conf(&self, name: &LineageName) -> Result<bool, StoreError> {
        let confs = files::list(&self.paths().renewal_dir())?.unwrap_or_default();
        let is_conf = |file: &std::ffi::OsString| file.as_encoded_bytes().ends_with(b".conf");
        let lives = self.paths().live_dir();
        let live = files::list(&lives)?.unwrap_or_default();
        let is_of_another = |folder: &std::ffi::OsString| {
            folder.as_os_str() != name.as_str() && lives.join(folder).join(Kind::Cert.live_file()).is_symlink()
        };
        Ok(!confs.iter().any(is_conf) && live.iter().any(is_of_another))
    }

    fn carry_out_deletion(&self, name: &LineageName, planned: Deletion) -> Result<Deleted, DeleteError> {
        self.forget_in_use();
        let paths = self.paths();
        let Deletion { conf, links, archives, folder_links, ways, mut kept } = planned;
        let (mut removed, mut beside_versions) = (Vec::new(), Vec::new());
        if self.take_conf_away(name, &conf)? {
            removed.push(conf);
        }
        self.delete_archives(archives, &ways, &mut removed, &mut beside_versions)?;
        self.delete_links(links, &ways, &mut removed)?;
        // A link to a folder elsewhere is this tree's own, and keeps the name from being used again.
        for folder in folder_links {
            let leads_elsewhere = || paths.whose(&folder.join(Kind::Cert.live_file())) != Whose::Own;
            if (real(&folder)?.is_none() || leads_elsewhere()) && files::remove_file(&folder)? {
                files::sync_parent(&folder)?;
                removed.push(folder);
            }
        }
        self.delete_memory(name, &mut removed)?;
        let switched = paths.switched(name);
        let was_there = files::lstat(&switched)?.is_some();
        // Where it is mounted, it stays.
        if let Ok(aside) = discard_switched(paths, name) {
            if let Some(folder) = aside.first().and_then(|file| file.parent()) {
                keep(&mut kept, Kept::new(folder.to_owned(), aside.clone(), Whose::Own, Held::Owners));
            }
            if was_there {
                removed.push(switched);
            }
        }
        // As its conf goes: a certificate that is obtained under the name later starts anew.
        let settings = paths.lineage_settings_file(name);
        if !files::lstat(&settings)?.is_some_and(|meta| meta.is_dir()) && files::remove_file(&settings)? {
            files::sync_parent(&settings)?;
            removed.push(settings);
        }
        self.forget_deletion(name)?;
        kept.retain_mut(Kept::is_there);
        Ok(Deleted { removed, beside_versions, kept })
    }

    /// Takes the conf away, with which the removal begins, and tells whether there was one. It becomes the note of the removal in
    /// one step: a note beside a conf that could not be removed had the next run delete the keys, once the owner had moved
    /// that conf elsewhere.
    fn take_conf_away(&self, name: &LineageName, conf: &Path) -> Result<bool, StoreError> {
        let Some(meta) = files::lstat(conf)? else { return Ok(false) };
        if !meta.is_dir() && self.make_note(name, conf).is_ok() {
            files::sync_parent(&self.paths().deletion(name))?;
        } else if let Err(error) = files::remove_file(conf) {
            // Of an earlier removal, whose conf was put back.
            let Err(note) = self.forget_deletion(name) else { return Err(error) };
            let both = format!(
                "{}; nor {note}: with this file there, the certificate is deleted once its conf is gone",
                error.source
            );
            return Err(StoreError::new(error.operation, error.path, io::Error::new(error.source.kind(), both)));
        }
        files::sync_parent(conf)?;
        Ok(true)
    }

    /// A disk that is too full for it, or another file system, must not keep anybody from making room: the conf is then
    /// removed without a note.
    fn make_note(&self, name: &LineageName, conf: &Path) -> Result<(), StoreError> {
        let paths = self.paths();
        files::ensure_own_dir(&paths.own_dir(), &paths.deletions_dir())?;
        files::rename(conf, &paths.deletion(name))
    }

    /// Durable, for a note that a power cut brings back counts again.
    fn forget_deletion(&self, name: &LineageName) -> Result<(), StoreError> {
        let note = self.paths().deletion(name);
        if files::remove_file(&note)? { files::sync_parent(&note) } else { Ok(()) }
    }

    fn delete_links(
        &self,
        own: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
        ways: &BTreeSet<PathBuf>,
        removed: &mut Vec<PathBuf>,
    ) -> Result<(), StoreError> {
        for (dir, links) in own {
            // Where it is a link, what that leads to.
            let Some(dir) = real_folder_if_there(&dir)? else { continue };
            let folder = Folder::open(&dir)?;
            for link in links {
                let name = link.file_name().unwrap_or_default();
                // A copy that somebody put there in place of a link goes too, as with certbot; a directory does not.
                if folder.kind_of(name)?.is_some_and(|kind| kind != FileType::Directory) && folder.remove(name)? {
                    removed.push(link);
                }
            }
            for name in folder.names()? {
                if goes_with_links(&dir, &name) {
                    folder.remove(&name)?;
                }
            }
            // The owner's own files stay, and the directory with them.
            if !ways.contains(&dir) && remove_empty(&dir)? {
                files::sync_parent(&dir)?;
                removed.push(dir);
            } else {
                folder.sync()?;
            }
        }
        Ok(())
    }

    fn delete_archives(
        &self,
        own: BTreeSet<PathBuf>,
        ways: &BTreeSet<PathBuf>,
        removed: &mut Vec<PathBuf>,
        beside_versions: &mut Vec<PathBuf>,
    ) -> Result<(), StoreError> {
        for dir in own {
            // A folder there may be a copy of the whole tree, or another file system.
            // The same folder may have two names, where the config dir is mounted twice.
            if !files::lstat(&dir)?.is_some_and(|meta| meta.is_dir()) {
                continue;
            }
            let is_lineages_own = self.paths().is_lineages_own(&dir)?;
            let folder = Folder::open(&dir)?;
            let mut gone = Vec::new();
            for file in folder.names()? {
                let is_folder = folder.kind_of(&file)?.is_none_or(|kind| kind == FileType::Directory);
                if !is_folder && (is_lineages_own || is_of_version(&file)) {
                    folder.remove(&file)?;
                    if is_beside_versions(&file) {
                        beside_versions.push(dir.join(&file));
                    }
                    gone.push(dir.join(file));
                }
            }
            if !ways.contains(&dir) && remove_empty(&dir)? {
                files::sync_parent(&dir)?;
                removed.push(dir);
            } else {
                folder.sync()?;
                removed.extend(gone);
            }
        }
        Ok(())
    }

    fn delete_memory(&self, name: &LineageName, removed: &mut Vec<PathBuf>) -> Result<(), StoreError> {
        let paths = self.paths();
        let pending = paths.pending(name);
        if files::exists(&pending)? {
            self.remove_pending(name)?;
            removed.push(pending);
        }
        for file in [paths.state_file(name), paths.journal(name)] {
            files::make_way_for_file(&file)?;
            if files::remove_file(&file)? {
                removed.push(file);
            }
        }
        Staging::new(paths, name).discard().map(|_| ())
    }
}

/// Removes a directory when it is empty; one that is not, or is in use as a mount point, stays.
fn remove_empty(dir: &Path) -> Result<bool, StoreError> {
    match fs::remove_dir(dir) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::ResourceBusy) => {
            Ok(false)
        }
        Err(error) => Err(StoreError::new("remove", dir, error)),
    }
}
