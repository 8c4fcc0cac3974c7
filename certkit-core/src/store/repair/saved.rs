//! `certkit/saved/DATE/`: what a repair changes or removes, as it was before, under its path in the config dir.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Component, Path, PathBuf};

use chrono::{DateTime, Utc};
use rustix::fs::Stat;
use zeroize::Zeroizing;

use super::mend::mentions_key;
use crate::store::files::{self, Attributes};
use crate::store::folder::Folder;
use crate::store::read;
use crate::store::targets::by_name;
use crate::store::whose::is_tree;
use crate::store::{LockedStore, StoreError};

/// So many repairs are told apart within a second.
const MAX_A_SECOND: u32 = 999;

/// How deep folders are saved: `live/NAME` and what its owner put into it.
const MAX_DEPTH: usize = 8;

/// The folder of one repair; made when there is something to save.
pub(super) struct Saved<'s> {
    store: &'s LockedStore,
    now: DateTime<Utc>,
    dir: Option<PathBuf>,
    /// What was saved, `..` resolved by name.
    done: BTreeSet<PathBuf>,
}

impl<'s> Saved<'s> {
    pub(super) fn new(store: &'s LockedStore, now: DateTime<Utc>) -> Self {
        Self { store, now, dir: None, done: BTreeSet::new() }
    }

    /// Where it is; none when nothing was saved.
    pub(super) fn into_dir(self) -> Option<PathBuf> {
        self.dir
    }

    /// Saves a file, a link or a folder, durably. What is not there needs no saving, and what was saved before is not saved
    /// again: what an earlier step of the repair made of it is not what its owner had.
    pub(super) fn save(&mut self, path: &Path) -> Result<(), StoreError> {
        self.save_below(path, 0)
    }

    /// Saves it and removes it.
    pub(super) fn take_away(&mut self, path: &Path) -> Result<(), StoreError> {
        self.save(path)?;
        remove(path)?;
        files::sync_parent(path)
    }

    fn save_below(&mut self, path: &Path, depth: usize) -> Result<(), StoreError> {
        let Some(meta) = files::lstat(path)? else { return Ok(()) };
        let refused = |why| StoreError::new("save", path, io::Error::other(why));
        // The rest of the path may lead through links; where the copy lies must not.
        let by_name = by_name(path)?;
        if self.done.contains(&by_name) {
            return Ok(());
        }
        let to = self.place(&by_name)?.ok_or_else(|| refused("its path cannot be one in a folder"))?;
        if meta.is_dir() {
            if depth >= MAX_DEPTH {
                return Err(refused("there are too many folders in each other"));
            }
            files::ensure_own_dir(&self.store.paths().own_dir(), &to)?;
            for name in files::list(path)?.unwrap_or_default() {
                self.save_below(&path.join(name), depth + 1)?;
            }
            return Ok(());
        }
        if files::exists(&to)? {
            return Err(refused("its copy would take the place of another"));
        }
        if meta.is_symlink() {
            let target = fs::read_link(path).map_err(|error| StoreError::new("read", path, error))?;
            symlink(target, &to).map_err(|error| StoreError::new("create", &to, error))?;
            files::sync_parent(&to)?;
        } else {
            // A link that somebody puts there meanwhile is not followed.
            let is_same = |stat: &Stat| match (stat.st_dev, stat.st_ino) == (meta.dev(), meta.ino()) {
                true => Ok(()),
                false => Err(io::Error::other("it is another file than a moment ago")),
            };
            let content = Zeroizing::new(read::bounded_if(path, read::MAX_FILE_BYTES, is_same)?);
            let mode = if holds_secret(path, &content) { 0o600 } else { meta.mode() & 0o777 };
            files::replace(&to, &content, &Attributes::mode(mode).owned_like(path))?;
        }
        self.done.insert(by_name);
        Ok(())
    }

    /// The path under which it is saved, in folders that exist; none when it would lead out of them.
    fn place(&mut self, path: &Path) -> Result<Option<PathBuf>, StoreError> {
        let relative = match path.strip_prefix(by_name(&self.store.paths().config_dir)?) {
            Ok(inside) => inside.to_owned(),
            Err(_) => Path::new("outside").join(path.strip_prefix("/").unwrap_or(path)),
        };
        if !relative.components().all(|part| matches!(part, Component::Normal(_))) {
            return Ok(None);
        }
        let to = self.dir()?.join(relative);
        if let Some(parent) = to.parent() {
            files::ensure_own_dir(&self.store.paths().own_dir(), parent)?;
        }
        Ok(Some(to))
    }

    fn dir(&mut self) -> Result<PathBuf, StoreError> {
        if let Some(dir) = &self.dir {
            return Ok(dir.clone());
        }
        let top = self.store.paths().saved_dir();
        let date = self.now.format("%Y-%m-%dT%H-%M-%SZ").to_string();
        for number in 1..=MAX_A_SECOND {
            let dir = if number == 1 { top.join(&date) } else { top.join(format!("{date}-{number}")) };
            if !files::exists(&dir)? {
                files::ensure_own_dir(&self.store.paths().own_dir(), &dir)?;
                self.dir = Some(dir.clone());
                return Ok(dir);
            }
        }
        Err(StoreError::new("create", top.join(date), io::Error::other("there are too many of this second")))
    }
}

/// Something at this path or below it that cannot be saved: a pipe, a socket or a device has no content. What is mounted
/// below, and whole trees, are not what their folder was made for.
pub(super) fn unsavable(path: &Path) -> Result<Option<PathBuf>, StoreError> {
    let Some(meta) = files::lstat(path)? else { return Ok(None) };
    if !meta.is_dir() {
        return Ok((!meta.is_file() && !meta.is_symlink()).then(|| path.to_owned()));
    }
    if is_tree(path) || files::is_mount_point(path) {
        return Ok(Some(path.to_owned()));
    }
    for name in files::list(path)?.unwrap_or_default() {
        if let Some(found) = unsavable(&path.join(name))? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// A key by its name or its content, and whatever lies beside the keys of accounts.
fn holds_secret(path: &Path, content: &[u8]) -> bool {
    let named = path.file_name().is_some_and(|name| name.to_string_lossy().contains("priv"));
    named || mentions_key(content)
}

/// Removes a file, a link, or a folder with all that is in it, which was saved before.
fn remove(path: &Path) -> Result<(), StoreError> {
    if files::lstat(path)?.is_some_and(|meta| meta.is_dir()) {
        return fs::remove_dir_all(path).map_err(|error| StoreError::new("remove", path, error));
    }
    let (folder, name) = Folder::led_to(path)?;
    folder.remove(name).map(|_| ())
}
