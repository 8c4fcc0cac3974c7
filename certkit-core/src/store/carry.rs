//! Carrying what lies beside the live links from one live folder of a lineage into the other, so that an exchange of the two takes
//! nothing away from its owner.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Uid};
use rustix::io::Errno;

use super::attributes::copy_attributes;
use super::carried::{Carried, SetAside, is_only_copy};
use super::deletion::goes_with_links;
use super::folder::Folder;
use super::links::{Link, LiveLinks, put_link, read_link};
use super::switch::previous_name;
use super::{Kind, StoreError, StorePaths, files};
use crate::LineageName;

/// What a name in a folder stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Link(PathBuf),
    File(u64, u64),
}

/// Gives `other` the new links and everything else that `dir` holds. None when it cannot be held there.
pub(super) fn prepare(
    live: &LiveLinks,
    dir: &Path,
    other: &Path,
    contents: &[PathBuf; 4],
    aside: &SetAside<'_>,
    leftovers: &mut Vec<String>,
) -> Result<Option<BTreeMap<OsString, Entry>>, StoreError> {
    let Some(mut wanted) = entries(live, dir)? else { return Ok(None) };
    match files::lstat(other)? {
        Some(meta) if meta.is_dir() => {}
        Some(_) => {
            files::remove_file(other)?;
            files::make_dir(other, 0o700)?;
        }
        None => files::make_dir(other, 0o700)?,
    }
    let carried = Carried::read(aside.paths, aside.name);
    for file in files::list(other)?.unwrap_or_default() {
        let path = other.join(&file);
        let Some(meta) = files::lstat(&path)? else { continue };
        if meta.is_dir() {
            return Ok(None);
        }
        let is_wanted = match wanted.get(&file) {
            Some(Entry::File(device, inode)) => (meta.dev(), meta.ino()) == (*device, *inode),
            Some(Entry::Link(_)) => meta.is_symlink(),
            None => false,
        };
        if is_wanted || (is_live_name(live, &file) && !meta.is_file()) {
            continue;
        }
        if !carried.knows(&meta) && !is_ours_or_journal(other, &file) {
            // Somebody else has put it there. What its owner has changed in `live/NAME` too stays, and so does a link's place.
            let is_unchanged = files::lstat(&dir.join(&file))?.is_none_or(|here| carried.knows(&here));
            let is_for_all = carried.is_known() && is_unchanged && !is_live_name(live, &file);
            let entry = if is_for_all { entry(other, &file)? } else { None };
            if let Some(entry) = entry {
                if !carry(other, dir, &file, &entry)? {
                    return Ok(None);
                }
                wanted.insert(file, entry);
                continue;
            }
            if is_only_copy(&meta) && file != "README" {
                // With links one by one nothing has to go.
                let Ok(to) = aside.take(&path) else { return Ok(None) };
                leftovers.push(SetAside::told(&path, &to));
                continue;
            }
        }
        files::remove_file(&path)?;
    }
    for (name, entry) in &wanted {
        if !carry(dir, other, name, entry)? {
            return Ok(None);
        }
    }
    for (kind, content) in Kind::ALL.iter().zip(contents) {
        put_link(&other.join(live.path(*kind).file_name().unwrap_or_default()), content)?;
    }
    if !copy_folder_attributes(dir, other)? {
        return Ok(None);
    }
    files::sync_dir(other)?;
    note_carried(aside, [dir, other], &wanted)?;
    Ok(Some(wanted))
}

/// Notes what is in both folders now.
pub(super) fn note_carried(
    aside: &SetAside<'_>,
    folders: [&Path; 2],
    wanted: &BTreeMap<OsString, Entry>,
) -> Result<(), StoreError> {
    let paths = folders.iter().flat_map(|folder| wanted.keys().map(|name| folder.join(name)));
    let all: Vec<_> = paths.filter_map(|path| fs::symlink_metadata(path).ok()).collect();
    Carried::write(aside.paths, aside.name, &all)
}

/// Removes the second folder of a lineage that is gone. What somebody has put into it, and is nowhere else, is set aside; where is
/// returned.
pub(crate) fn discard_switched(paths: &StorePaths, name: &LineageName) -> Result<Vec<PathBuf>, StoreError> {
    let dir = paths.switched(name);
    let is_folder = files::lstat(&dir)?.is_some_and(|meta| meta.is_dir());
    if !is_folder {
        files::remove_file(&paths.carried(name))?;
        return files::remove_file(&dir).map(|_| Vec::new());
    }
    let (aside, carried, mut kept) = (SetAside { paths, name }, Carried::read(paths, name), Vec::new());
    // Of a tree that nobody has noted anything of, each link may be one that was carried.
    let is_owners_link = |file: &OsStr, meta: &Metadata| {
        let is_live = Kind::ALL.iter().any(|kind| file == OsStr::new(&kind.live_file()));
        carried.is_known() && meta.is_symlink() && !is_live
    };
    for file in files::list(&dir)?.unwrap_or_default() {
        let path = dir.join(&file);
        let is_somebodys =
            |meta: &Metadata| !carried.knows(meta) && (is_only_copy(meta) || is_owners_link(&file, meta));
        let is_kept = |meta: &Metadata| meta.is_dir() || is_somebodys(meta);
        if files::lstat(&path)?.is_some_and(|meta| is_kept(&meta)) && !goes_with_links(&dir, &file) {
            kept.push(aside.take(&path)?);
        } else {
            files::remove_file(&path)?;
        }
    }
    // The folder last: by it a run that comes after an interruption finds the rest.
    files::remove_file(&paths.carried(name))?;
    files::remove_flat_dir(&dir)?;
    Ok(kept)
}

/// What a live folder holds beside the links; none when there are folders in it.
fn entries(live: &LiveLinks, dir: &Path) -> Result<Option<BTreeMap<OsString, Entry>>, StoreError> {
    let mut found = BTreeMap::new();
    let folder = Folder::open(dir)?;
    for name in folder.names()? {
        if is_live_name(live, &name) || is_ours_or_journal(dir, &name) {
            continue;
        }
        if folder.kind_of(&name)? == Some(FileType::Directory) {
            return Ok(None);
        }
        let Some(entry) = entry(dir, &name)? else { continue };
        found.insert(name, entry);
    }
    Ok(Some(found))
}

/// What a name stands for that is no folder; none where nothing is there.
fn entry(dir: &Path, name: &OsStr) -> Result<Option<Entry>, StoreError> {
    let path = dir.join(name);
    let Some(meta) = files::lstat(&path)? else { return Ok(None) };
    Ok(Some(match read_link(&path)? {
        Link::To(target) => Entry::Link(target),
        Link::Missing | Link::Other => Entry::File(meta.dev(), meta.ino()),
    }))
}

fn is_live_name(live: &LiveLinks, name: &OsStr) -> bool {
    Kind::ALL.iter().any(|kind| live.path(*kind).file_name() == Some(name))
}

pub(super) fn is_ours_or_journal(dir: &Path, name: &OsStr) -> bool {
    files::temp_of(name).is_some() || is_journal(dir, name)
}

/// Whether it is a link of certbot's journal. A file of such a name is its owner's.
pub(crate) fn is_journal(dir: &Path, name: &OsStr) -> bool {
    Kind::ALL.iter().any(|kind| name == OsStr::new(&previous_name(*kind))) && dir.join(name).is_symlink()
}

/// Puts one entry of `dir` into `other`: files as hard links, so that everything about them is the same. False when the
/// system does not allow it.
fn carry(dir: &Path, other: &Path, name: &OsStr, entry: &Entry) -> Result<bool, StoreError> {
    let (from, to) = (dir.join(name), other.join(name));
    match entry {
        Entry::Link(target) => {
            put_link(&to, target)?;
            let (Some(old), Some(new)) = (files::lstat(&from)?, files::lstat(&to)?) else { return Ok(true) };
            if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
                let (uid, gid) = (Uid::from_raw(old.uid()), Gid::from_raw(old.gid()));
                return Ok(rustix::fs::chownat(CWD, &to, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW).is_ok());
            }
            Ok(true)
        }
        Entry::File(device, inode) => {
            if files::lstat(&to)?.is_some_and(|meta| (meta.dev(), meta.ino()) == (*device, *inode)) {
                return Ok(true);
            }
            let (folder, _) = Folder::led_to(&to)?;
            folder.remove_temp(name)?;
            match Folder::open(dir)?.name_temp_in(&folder, name) {
                Ok(()) => {}
                // Removed meanwhile by its owner.
                Err(error) if files::is_absence(&error) => return Ok(true),
                Err(error) => {
                    return match Errno::from_io_error(&error) {
                        Some(Errno::PERM | Errno::XDEV | Errno::MLINK | Errno::OPNOTSUPP | Errno::ACCESS) => Ok(false),
                        _ => Err(StoreError::new("link", &from, error)),
                    };
                }
            }
            folder.replace_by_temp(name)?;
            // Renaming one name of a file over another of its names does nothing, so the temporary one can remain.
            folder.remove_temp(name)?;
            Ok(true)
        }
    }
}

/// Carries what its owner put into the folder, now `old`, while the exchange was being prepared, and returns that.
pub(super) fn carry_late(
    live: &LiveLinks,
    old: &Path,
    new: &Path,
    carried: &BTreeMap<OsString, Entry>,
) -> Result<BTreeMap<OsString, Entry>, StoreError> {
    let mut late = entries(live, old)?.unwrap_or_default();
    late.retain(|name, entry| carried.get(name) != Some(entry));
    for (name, entry) in &late {
        carry(old, new, name, entry)?;
    }
    Ok(late)
}

fn copy_folder_attributes(from: &Path, to: &Path) -> Result<bool, StoreError> {
    let error = |error| StoreError::new("set the mode of", to, error);
    let old = fs::metadata(from).map_err(error)?;
    let folder = File::open(to).map_err(error)?;
    let new = folder.metadata().map_err(error)?;
    if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
        let (uid, gid) = (Uid::from_raw(old.uid()), Gid::from_raw(old.gid()));
        if rustix::fs::fchown(&folder, Some(uid), Some(gid)).is_err() {
            return Ok(false);
        }
    }
    if copy_attributes(from, &folder).is_err() {
        return Ok(false);
    }
    fs::set_permissions(to, old.permissions()).map_err(error)?;
    Ok(true)
}
