//! Removing a lineage.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::deleted::{Deleted, Held, Kept, keep};
use super::files;
use super::first_version::Staging;
use super::in_use::{InUse, real};
use super::links::{Link, LiveLinks, read_link};
use super::switch::is_journal;
use super::whose::Whose;
use super::{Kind, LockedStore, RenewalConf, Store, StoreError, StorePaths};
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
type FinishedDeletion = (LineageName, Result<Deleted, StoreError>);

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
    /// [`LockedStore::recover`] removes the rest. Where the conf cannot be removed, nothing is, then or later.
    pub fn delete(&self, name: &LineageName) -> Result<Deleted, StoreError> {
        let _writing = self.writing();
        self.remove_lineage(name)
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
                    Err(error) => Err(error),
                },
                Ok(false) => self.remove_lineage(&name),
                Err(error) => Err(error),
            };
            finished.push((name, result));
        }
        Ok(finished)
    }

    pub(crate) fn remove_lineage(&self, name: &LineageName) -> Result<Deleted, StoreError> {
        self.forget_in_use();
        let paths = self.paths();
        let conf_path = paths.conf(name);
        // Where `renewal` is a link, the copy of a tree has the same confs: without them the original is not renewed.
        let refused = match paths.whose(&conf_path) {
            Whose::Own => None,
            Whose::AnotherTree(tree) => {
                Some(format!("it belongs to the tree in {}: use that as --config-dir", tree.display()))
            }
            Whose::Outside(folder) => Some(format!(
                "it lies outside the config dir, where another tree may use it; if none does, add --also-in {}",
                folder.display()
            )),
        };
        if let Some(why) = refused
            && files::exists(&conf_path)?
        {
            return Err(StoreError::new("remove", conf_path, io::Error::other(why)));
        }
        // Of one whose removal was interrupted, what the note says of its folders.
        let said = if files::exists(&conf_path)? { conf_path.clone() } else { paths.deletion(name) };
        let conf = match files::read_if_there(&said) {
            Ok(content) => content.and_then(|content| RenewalConf::parse(&content).ok()),
            // A directory or something else of that name; it is an error below if it cannot be removed.
            Err(error) if error.source.kind() == io::ErrorKind::InvalidInput => None,
            Err(error) => return Err(error),
        };
        let live = match &conf {
            Some(conf) => LiveLinks::read(paths, name, conf)?,
            None => None,
        };
        let mut links: Vec<PathBuf> = Kind::ALL.map(|kind| paths.live(name).join(kind.live_file())).to_vec();
        let mut archives = vec![paths.archive(name)];
        if let Some(live) = &live {
            links.extend(Kind::ALL.iter().map(|kind| live.path(*kind).to_owned()));
            archives.extend(live.conf_archive());
        }
        for link in &links {
            if let Link::To(target) = read_link(link)? {
                archives.extend(link.parent().and_then(|dir| dir.join(target).parent().map(Path::to_owned)));
            }
        }
        // Resolved and judged before anything is gone that the way may lead through.
        let in_use = self.store().in_use()?;
        let mut kept = Vec::new();
        let links = self.own_links(name, links, &in_use, &mut kept)?;
        let going = links.keys().map(|dir| real(dir)).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
        let archives = self.own_archives(name, archives, &going, &in_use, &mut kept)?;

        for one in &mut kept {
            let is_meant = |file: &std::ffi::OsString| one.files.iter().any(|meant| meant.file_name() == Some(file));
            let files = files::list(&one.folder)?.unwrap_or_default();
            one.holds_nothing_else =
                files.iter().all(|file| file == "README" || is_meant(file) || is_journal(&one.folder, file));
        }
        let mut removed = Vec::new();
        if self.take_conf_away(name, &conf_path)? {
            removed.push(conf_path);
        }
        self.delete_archives(archives, &mut removed)?;
        self.delete_links(links, &mut removed)?;
        self.delete_memory(name, &mut removed)?;
        // As its conf goes: a certificate that is obtained under the name later starts anew.
        let settings = paths.lineage_settings_file(name);
        if !files::lstat(&settings)?.is_some_and(|meta| meta.is_dir()) && files::remove_file(&settings)? {
            files::sync_parent(&settings)?;
            removed.push(settings);
        }
        self.forget_deletion(name)?;
        Ok(Deleted { removed, kept })
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

    /// The links that are the lineage's alone, by directory; a directory of which nothing may go is not among them.
    fn own_links(
        &self,
        name: &LineageName,
        links: Vec<PathBuf>,
        in_use: &InUse,
        kept: &mut Vec<Kept>,
    ) -> Result<BTreeMap<PathBuf, BTreeSet<PathBuf>>, StoreError> {
        let mut own: BTreeMap<PathBuf, BTreeSet<PathBuf>> = BTreeMap::new();
        for link in links {
            let Some(dir) = link.parent() else { continue };
            let Some(real) = real(dir)? else { continue };
            if self.has_conf(dir, name)? || self.is_used(dir, name, in_use)? {
                continue;
            }
            match self.paths().whose(&link) {
                Whose::Own if self.may_go(&real)? => {
                    own.entry(dir.to_owned()).or_default().insert(link);
                }
                Whose::Own => {}
                other if files::lstat(&link)?.is_some_and(|meta| !meta.is_dir()) => {
                    keep(kept, Kept::new(real, vec![link], other, Held::Links));
                }
                _ => {}
            }
        }
        Ok(own)
    }

    /// The directories of versions that are the lineage's alone.
    fn own_archives(
        &self,
        name: &LineageName,
        archives: Vec<PathBuf>,
        going: &BTreeSet<PathBuf>,
        in_use: &InUse,
        kept: &mut Vec<Kept>,
    ) -> Result<BTreeSet<PathBuf>, StoreError> {
        let mut own = BTreeSet::new();
        for written in archives {
            let Some(dir) = real(&written)? else { continue };
            let is_dir = files::lstat(&dir)?.is_some_and(|meta| meta.is_dir());
            if !is_dir || self.has_conf(&dir, name)? || !in_use.users_of(&dir, name, going).is_empty() {
                continue;
            }
            match self.paths().whose(&written.join(Kind::Cert.live_file())) {
                Whose::Own if self.may_go(&dir)? => {
                    own.insert(dir);
                }
                Whose::Own => {}
                other => {
                    let versions = versions_in(&dir)?;
                    keep(kept, Kept::new(dir, versions, other, Held::Versions));
                }
            }
        }
        Ok(own)
    }

    fn delete_links(
        &self,
        own: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
        removed: &mut Vec<PathBuf>,
    ) -> Result<(), StoreError> {
        for (dir, links) in own {
            for link in links {
                // A copy that somebody put there in place of a link goes too, as with certbot; a directory does not.
                if !matches!(files::lstat(&link)?, Some(meta) if meta.is_dir()) && files::remove_file(&link)? {
                    removed.push(link);
                }
            }
            if read_link(&dir)? != Link::Other {
                continue;
            }
            for name in files::list(&dir)?.unwrap_or_default() {
                if name == "README" || is_journal(&dir, &name) || files::temp_of(&name).is_some() {
                    files::remove_file(&dir.join(name))?;
                }
            }
            // The owner's own files stay, and the directory with them.
            if remove_empty(&dir)? {
                files::sync_parent(&dir)?;
                removed.push(dir);
            } else {
                files::sync_dir(&dir)?;
            }
        }
        Ok(())
    }

    fn delete_archives(&self, own: BTreeSet<PathBuf>, removed: &mut Vec<PathBuf>) -> Result<(), StoreError> {
        let top = real(&self.paths().archive_dir())?;
        for dir in own {
            if dir.parent() == top.as_deref() {
                fs::remove_dir_all(&dir).map_err(|error| StoreError::new("remove", &dir, error))?;
            } else {
                for file in versions_in(&dir)? {
                    files::remove_file(&file)?;
                }
                if !remove_empty(&dir)? {
                    files::sync_dir(&dir)?;
                    continue;
                }
            }
            files::sync_parent(&dir)?;
            removed.push(dir);
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
        // Somebody who has it mounted may have put a folder into it, which stays.
        let switched = paths.switched(name);
        if files::remove_flat_dir(&switched).unwrap_or(false) {
            removed.push(switched);
        }
        Staging::new(paths, name).discard().map(|_| ())
    }

    /// Whether a directory of the tree's own, links in its path resolved, is none that holds anything else.
    fn may_go(&self, dir: &Path) -> Result<bool, StoreError> {
        let Some(config) = real(&self.paths().config_dir)? else { return Ok(false) };
        // At least `live/NAME`: never the config dir, `live` or `archive` themselves, nor certkit's own or the accounts.
        let Ok(inside) = dir.strip_prefix(&config) else { return Ok(true) };
        let first = inside.components().next().map(|part| part.as_os_str().to_owned());
        Ok(inside.components().count() >= 2
            && !["accounts", "renewal", "renewal-hooks", "certkit"].iter().any(|own| first == Some((*own).into())))
    }

    fn is_used(&self, dir: &Path, name: &LineageName, in_use: &InUse) -> Result<bool, StoreError> {
        Ok(real(dir)?.is_some_and(|dir| !in_use.users_of(&dir, name, &BTreeSet::from([dir.clone()])).is_empty()))
    }

    /// Whether there is a conf of this directory's name: then it is that lineage's.
    fn has_conf(&self, dir: &Path, except: &LineageName) -> Result<bool, StoreError> {
        let name = dir.file_name().and_then(|name| name.to_str()).and_then(|name| LineageName::new(name).ok());
        match name.filter(|name| name != except) {
            Some(name) => files::exists(&self.paths().conf(&name)),
            None => Ok(false),
        }
    }
}

/// The versions' files in a directory.
fn versions_in(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let is_of_version = |file: &std::ffi::OsString| {
        file.to_str().is_some_and(|file| Kind::ALL.iter().any(|kind| kind.version_of(file).is_some()))
    };
    let files = files::list(dir)?.unwrap_or_default();
    Ok(files.into_iter().filter(is_of_version).map(|file| dir.join(file)).collect())
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
