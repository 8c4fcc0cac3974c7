//! Removing a lineage.

use std::fs;
use std::path::{Path, PathBuf};

use super::files;
use super::first_version::Staging;
use super::links::{Link, LiveLinks, read_link};
use super::switch::previous_name;
use super::{Kind, LockedStore, RenewalConf, StoreError};
use crate::LineageName;

impl LockedStore {
    /// Removes a lineage as certbot does: conf, live directory, archive directory, and certkit's own memory of it but
    /// for its history and certificates kept aside. Works on broken lineages too; nothing outside the config dir is
    /// removed, nor a directory of versions that another lineage's links point into. What was removed is returned.
    ///
    /// The conf goes first: what an interruption leaves is then an orphan that [`super::Store::audit`] reports, and not a
    /// lineage that fails at every renewal.
    pub fn delete(&self, name: &LineageName) -> Result<Vec<PathBuf>, StoreError> {
        let _writing = self.writing();
        let paths = self.paths();
        let conf_path = paths.conf(name);
        let conf = match files::read_if_there(&conf_path) {
            Ok(content) => content.and_then(|content| RenewalConf::parse(&content).ok()),
            // A directory or something else of that name; it is an error below if it cannot be removed.
            Err(_) => None,
        };
        let live = match &conf {
            Some(conf) => LiveLinks::read(paths, name, conf)?,
            None => None,
        };
        let mut links: Vec<PathBuf> = Kind::ALL.map(|kind| paths.live(name).join(kind.live_file())).to_vec();
        let mut archives = vec![paths.archive(name)];
        if let Some(live) = &live {
            links.extend(Kind::ALL.iter().map(|kind| live.path(*kind).to_owned()));
            archives.extend(Kind::ALL.iter().filter_map(|kind| live.target(*kind)?.parent().map(Path::to_owned)));
            archives.extend(live.conf_archive());
        }
        // Resolved before the links are gone that the way may lead through.
        let archives: Vec<PathBuf> = archives.iter().filter_map(|dir| fs::canonicalize(dir).ok()).collect();

        let mut removed = Vec::new();
        if files::remove_file(&conf_path)? {
            files::sync_parent(&conf_path)?;
            removed.push(conf_path);
        }
        self.delete_links(name, links, &mut removed)?;
        self.delete_archives(archives, &mut removed)?;
        self.delete_memory(name, &mut removed)?;
        Ok(removed)
    }

    fn delete_links(
        &self,
        name: &LineageName,
        mut links: Vec<PathBuf>,
        removed: &mut Vec<PathBuf>,
    ) -> Result<(), StoreError> {
        links.sort();
        links.dedup();
        links.retain(|link| link.parent().is_some_and(|dir| self.is_inside(dir) && !self.has_conf(dir)));
        let mut dirs: Vec<PathBuf> = links.iter().filter_map(|link| link.parent().map(Path::to_owned)).collect();
        dirs.push(self.paths().live(name));
        dirs.dedup();
        for link in links {
            // A copy that somebody put there in place of a link goes too, as with certbot; a directory does not.
            if !matches!(files::lstat(&link)?, Some(meta) if meta.is_dir()) && files::remove_file(&link)? {
                removed.push(link);
            }
        }
        for dir in dirs {
            if read_link(&dir)? != Link::Other || !self.is_inside(&dir) || self.has_conf(&dir) {
                continue;
            }
            for name in files::list(&dir)?.unwrap_or_default() {
                let journal = Kind::ALL.iter().any(|kind| name.as_os_str() == previous_name(*kind).as_str());
                if name == "README" || journal || files::temp_of(&name).is_some() {
                    files::remove_file(&dir.join(name))?;
                }
            }
            // The owner's own files stay, and the directory with them.
            if fs::remove_dir(&dir).is_ok() {
                removed.push(dir.clone());
            }
            files::sync_parent(&dir)?;
        }
        Ok(())
    }

    fn delete_archives(&self, mut archives: Vec<PathBuf>, removed: &mut Vec<PathBuf>) -> Result<(), StoreError> {
        archives.sort();
        archives.dedup();
        let in_use = self.in_use()?;
        let top = fs::canonicalize(self.paths().archive_dir()).ok();
        for dir in archives {
            let shared = in_use.iter().any(|path| path.parent() == Some(dir.as_path()));
            if shared || self.has_conf(&dir) || !self.is_inside(&dir) || !dir.is_dir() {
                continue;
            }
            if dir.parent() == top.as_deref() {
                fs::remove_dir_all(&dir).map_err(|error| StoreError::new("remove", &dir, error))?;
            } else {
                for file in files::list(&dir)?.unwrap_or_default() {
                    let numbered =
                        file.to_str().is_some_and(|file| Kind::ALL.iter().any(|kind| kind.version_of(file).is_some()));
                    if numbered {
                        files::remove_file(&dir.join(file))?;
                    }
                }
                if fs::remove_dir(&dir).is_err() {
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

    /// Whether a directory lies below the config dir, links in its path resolved, and is none of the tree's own.
    fn is_inside(&self, dir: &Path) -> bool {
        let (Ok(dir), Ok(config)) = (fs::canonicalize(dir), fs::canonicalize(&self.paths().config_dir)) else {
            return false;
        };
        // At least `live/NAME`: never the config dir, `live` or `archive` themselves, nor certkit's own or the accounts.
        let Ok(inside) = dir.strip_prefix(&config) else { return false };
        let first = inside.components().next().map(|part| part.as_os_str().to_owned());
        inside.components().count() >= 2
            && !["accounts", "renewal", "renewal-hooks", "certkit"].iter().any(|own| first == Some((*own).into()))
    }

    /// Whether there is a conf of this directory's name: then it is that lineage's. The conf of the lineage that is being
    /// removed is gone by then.
    fn has_conf(&self, dir: &Path) -> bool {
        let name = dir.file_name().and_then(|name| name.to_str()).and_then(|name| LineageName::new(name).ok());
        name.is_some_and(|name| self.paths().conf(&name).exists())
    }
}
