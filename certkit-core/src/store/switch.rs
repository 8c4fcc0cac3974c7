//! Switching `live/NAME` to another version in one step.
//!
//! A second folder, `certkit/switched.NAME`, is given the new links and everything else that `live/NAME` holds, and both
//! are exchanged by one `renameat2(2)`: a reader that opens `live/NAME` sees the old version or the new one, never a pair
//! of both. Afterwards the links in the folder that was exchanged out are changed as well, one by one, and it waits there
//! for the next switch, when it becomes the live one again. So whoever holds one of the two folders open, or has it bind
//! mounted into a container, sees every new version. It lies two levels below the config dir, as `live/NAME` does: links
//! such as `../../archive/NAME/cert2.pem` mean the same in both.
//!
//! Where that is not possible (another file system, NFS, a mount point, folders inside, links that the conf puts
//! elsewhere) or not wanted, the links are replaced one by one by renaming over them. A link is then never missing, but a
//! reader can see a pair of both versions for an instant.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Gid, RenameFlags, Uid};
use rustix::io::Errno;

use super::carried::{Carried, SetAside, is_only_copy};
use super::deletion::goes_with_links;
use super::files;
use super::links::{Link, LiveLinks, read_link};
use super::{Kind, LockedStore, StoreError, StorePaths};
use crate::{LineageName, Version};

/// How `live/NAME` is switched to a new version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LiveSwitch {
    /// In one step where the system can, so that no reader ever sees a mixed pair; else as `Links`. Programs that watch
    /// single links see the directory being replaced.
    #[default]
    Exchange,
    /// Link by link, as certbot does, but without a moment in which one is missing.
    Links,
}

impl LiveSwitch {
    /// `exchange` or `links`, as flags and settings say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exchange => "exchange",
            Self::Links => "links",
        }
    }
}

/// The order in which single links are replaced: the pair that servers read last, one right after the other.
const LINK_ORDER: [Kind; 4] = [Kind::Chain, Kind::Cert, Kind::Privkey, Kind::Fullchain];

impl StorePaths {
    /// The second live folder of a lineage.
    pub(crate) fn switched(&self, name: &LineageName) -> PathBuf {
        self.own_dir().join(format!("switched.{name}"))
    }
}

/// certbot's journal of a switch: `previous_KIND.pem` beside the links.
pub(crate) fn previous_name(kind: Kind) -> String {
    format!("previous_{}.pem", kind.as_str())
}

/// Makes `version` live, durably. An error means that what was live still is. What could not be tidied up afterwards is
/// returned. certbot's journal links are removed: with them certbot would roll back.
pub(crate) fn switch(
    store: &LockedStore,
    name: &LineageName,
    live: &LiveLinks,
    version: Version,
    how: LiveSwitch,
) -> Result<Vec<String>, StoreError> {
    let contents = Kind::ALL.map(|kind| live.new_content(kind, version));
    let mut leftovers = Vec::new();
    let exchanged = match exchangeable(store, name, live, how) {
        Some(dir) => exchange(store, name, live, dir, &contents, &mut leftovers)?,
        None => false,
    };
    if !exchanged {
        replace_links(live, &contents, &mut leftovers)?;
        keep_copies(store.paths(), name, live, &mut leftovers);
        follow(store.paths(), name, live, &contents, Copies::MayBeTheOnly, &mut leftovers);
    }
    Ok(leftovers)
}

/// What came of letting the second folder of a lineage follow.
pub(crate) struct Followed {
    /// What was set aside, in words.
    pub(crate) aside: Vec<String>,
    /// What could not be done.
    pub(crate) leftovers: Vec<String>,
}

/// Lets the second folder of a lineage follow what is live, after an interruption or a switch link by link.
pub(crate) fn follow_live(store: &LockedStore, name: &LineageName, live: &LiveLinks) -> Followed {
    let (mut aside, mut leftovers) = (Vec::new(), Vec::new());
    if let Some(contents) = live_contents(live) {
        keep_copies(store.paths(), name, live, &mut aside);
        follow(store.paths(), name, live, &contents, Copies::MayBeTheOnly, &mut leftovers);
    }
    Followed { aside, leftovers }
}

/// Whether the second folder of a lineage says something else than what is live, or holds what an interruption left.
pub(crate) fn lags_behind(paths: &StorePaths, name: &LineageName, live: &LiveLinks) -> bool {
    let dir = paths.switched(name);
    let (Some(contents), Ok(Some(names))) = (live_contents(live), files::list(&dir)) else { return false };
    let differs = |(kind, content): (&Kind, &PathBuf)| {
        let file = live.path(*kind).file_name().unwrap_or_default();
        read_link(&dir.join(file)).ok() != Some(Link::To(content.clone()))
    };
    names.iter().any(|name| is_ours_or_journal(&dir, name)) || Kind::ALL.iter().zip(&contents).any(differs)
}

fn live_contents(live: &LiveLinks) -> Option<[PathBuf; 4]> {
    let contents = Kind::ALL.map(|kind| match live.link(kind) {
        Link::To(content) => content.clone(),
        Link::Missing | Link::Other => PathBuf::new(),
    });
    contents.iter().all(|content| !content.as_os_str().is_empty()).then_some(contents)
}

/// The folder that can be exchanged: `live/NAME` itself, holding all four links and nothing but files and links.
fn exchangeable<'a>(store: &LockedStore, name: &LineageName, live: &'a LiveLinks, how: LiveSwitch) -> Option<&'a Path> {
    let dir = live.live_dir()?;
    let real_parent = fs::canonicalize(dir.parent()?).ok()?;
    let possible = how == LiveSwitch::Exchange
        && dir.file_name() == Some(OsStr::new(name.as_str()))
        && real_parent == fs::canonicalize(store.paths().live_dir()).ok()?
        // Relative links must mean the same in both folders.
        && real_parent.parent() == fs::canonicalize(&store.paths().config_dir).ok().as_deref()
        && fs::symlink_metadata(dir).ok()?.is_dir()
        && Kind::ALL.iter().all(|kind| live.archive_dir(*kind).is_ok_and(|archive| fs::canonicalize(dir).is_ok_and(|dir| dir != archive)));
    possible.then_some(dir)
}

/// False when it is not possible here; then nothing has changed.
fn exchange(
    store: &LockedStore,
    name: &LineageName,
    live: &LiveLinks,
    dir: &Path,
    contents: &[PathBuf; 4],
    leftovers: &mut Vec<String>,
) -> Result<bool, StoreError> {
    let other = store.paths().switched(name);
    files::ensure_own_dir(&store.paths().own_dir(), &store.paths().own_dir())?;
    let aside = SetAside { paths: store.paths(), name };
    let Some(carried) = prepare(live, dir, &other, contents, &aside, leftovers)? else { return Ok(false) };
    match rustix::fs::renameat_with(CWD, dir, CWD, &other, RenameFlags::EXCHANGE) {
        Ok(()) => {}
        Err(
            Errno::INVAL | Errno::NOSYS | Errno::XDEV | Errno::PERM | Errno::ACCESS | Errno::BUSY | Errno::OPNOTSUPP,
        ) => return Ok(false),
        Err(error) => return Err(StoreError::new("exchange", dir, error)),
    }
    // From here on the new version is live. When the directories cannot be synced, a power cut may undo it: the version
    // itself is durable, and the next run makes it live again.
    note(leftovers, files::sync_parent(dir));
    note(leftovers, files::sync_parent(&other));
    match carry_late(live, &other, dir, &carried) {
        Ok(late) if late.is_empty() => {}
        Ok(late) => {
            let all = carried.into_iter().chain(late).collect();
            note(leftovers, note_carried(&aside, [dir, &other], &all));
        }
        Err(error) => leftovers.push(error.to_string()),
    }
    follow(store.paths(), name, live, contents, Copies::WereLive, leftovers);
    Ok(true)
}

/// What a name in a folder stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Link(PathBuf),
    File(u64, u64),
}

/// Gives `other` the new links and everything else that `dir` holds. None when it cannot be held there.
fn prepare(
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
fn note_carried(
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
    match files::lstat(&dir)? {
        None => return files::remove_file(&paths.carried(name)).map(|_| Vec::new()),
        Some(meta) if meta.is_dir() => {}
        Some(_) => return files::remove_file(&dir).map(|_| Vec::new()),
    }
    let (aside, carried, mut kept) = (SetAside { paths, name }, Carried::read(paths, name), Vec::new());
    for file in files::list(&dir)?.unwrap_or_default() {
        let path = dir.join(&file);
        let is_kept = |meta: &Metadata| meta.is_dir() || (is_only_copy(meta) && !carried.knows(meta));
        if files::lstat(&path)?.is_some_and(|meta| is_kept(&meta)) && !goes_with_links(&dir, &file) {
            kept.push(aside.take(&path)?);
        } else {
            files::remove_file(&path)?;
        }
    }
    files::remove_flat_dir(&dir)?;
    files::remove_file(&paths.carried(name))?;
    Ok(kept)
}

/// What a live folder holds beside the links; none when there are folders in it.
fn entries(live: &LiveLinks, dir: &Path) -> Result<Option<BTreeMap<OsString, Entry>>, StoreError> {
    let mut found = BTreeMap::new();
    for name in files::list(dir)?.unwrap_or_default() {
        if is_live_name(live, &name) || is_ours_or_journal(dir, &name) {
            continue;
        }
        if files::lstat(&dir.join(&name))?.is_some_and(|meta| meta.is_dir()) {
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

fn is_ours_or_journal(dir: &Path, name: &OsStr) -> bool {
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
            let temp = files::temp_name(&to);
            files::remove_file(&temp)?;
            match fs::hard_link(&from, &temp) {
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
            files::rename(&temp, &to)?;
            // Renaming one name of a file over another of its names does nothing, so the temporary one can remain.
            files::remove_file(&temp)?;
            Ok(true)
        }
    }
}

/// Carries what its owner put into the folder, now `old`, while the exchange was being prepared, and returns that.
fn carry_late(
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
    if files::copy_attributes(from, &folder).is_err() {
        return Ok(false);
    }
    fs::set_permissions(to, old.permissions()).map_err(error)?;
    Ok(true)
}

/// Replaces the links one by one. All new ones are made before the first is renamed, so that a full disk is found out
/// while nothing has changed; when a later one fails, the earlier ones are put back.
fn replace_links(live: &LiveLinks, contents: &[PathBuf; 4], leftovers: &mut Vec<String>) -> Result<(), StoreError> {
    let mut temps = Vec::new();
    let result = make_temps(live, contents, &mut temps).and_then(|()| rename_links(live));
    if let Err(error) = result {
        for temp in temps {
            let _ = files::remove_file(&temp);
        }
        return Err(error);
    }
    for dir in live_dirs(live) {
        note(leftovers, files::sync_dir(dir));
        for kind in Kind::ALL {
            let journal = previous_name(kind);
            if is_journal(dir, OsStr::new(&journal)) {
                note(leftovers, files::remove_file(&dir.join(journal)));
            }
        }
    }
    Ok(())
}

fn make_temps(live: &LiveLinks, contents: &[PathBuf; 4], temps: &mut Vec<PathBuf>) -> Result<(), StoreError> {
    for (kind, content) in Kind::ALL.iter().zip(contents) {
        let temp = files::temp_name(live.path(*kind));
        files::remove_file(&temp)?;
        symlink(content, &temp).map_err(|error| StoreError::new("create", &temp, error))?;
        temps.push(temp);
    }
    live_dirs(live).into_iter().try_for_each(files::sync_dir)
}

fn rename_links(live: &LiveLinks) -> Result<(), StoreError> {
    for (done, kind) in LINK_ORDER.into_iter().enumerate() {
        let path = live.path(kind);
        if let Err(error) = files::rename(&files::temp_name(path), path) {
            for kind in LINK_ORDER.into_iter().take(done) {
                // When this fails too, the next run puts it right: the new version is complete.
                let _ = match live.link(kind) {
                    Link::To(content) => put_link(live.path(kind), content),
                    Link::Missing | Link::Other => files::remove_file(live.path(kind)).map(|_| ()),
                };
            }
            return Err(error);
        }
    }
    Ok(())
}

fn live_dirs(live: &LiveLinks) -> Vec<&Path> {
    let mut dirs: Vec<&Path> = Kind::ALL.iter().filter_map(|kind| live.path(*kind).parent()).collect();
    dirs.sort();
    dirs.dedup();
    dirs
}

/// Sets aside what somebody has put in the place of links in the second folder of a lineage.
fn keep_copies(paths: &StorePaths, name: &LineageName, live: &LiveLinks, leftovers: &mut Vec<String>) {
    for kind in Kind::ALL {
        let path = paths.switched(name).join(live.path(kind).file_name().unwrap_or_default());
        if fs::symlink_metadata(&path).is_ok_and(|meta| is_only_copy(&meta)) {
            match (SetAside { paths, name }).take(&path) {
                Ok(to) => leftovers.push(SetAside::told(&path, &to)),
                Err(error) => leftovers.push(error.to_string()),
            }
        }
    }
}

/// What files in the place of links in the second folder are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Copies {
    /// They were in `live/NAME` a moment ago, and whoever puts these right has saved them.
    WereLive,
    MayBeTheOnly,
}

/// Points the links of the second folder, where there is one, to the same version.
fn follow(
    paths: &StorePaths,
    name: &LineageName,
    live: &LiveLinks,
    contents: &[PathBuf; 4],
    copies: Copies,
    leftovers: &mut Vec<String>,
) {
    let dir = paths.switched(name);
    if !dir.is_dir() {
        return;
    }
    for kind in LINK_ORDER {
        let file = live.path(kind).file_name().unwrap_or_default();
        let path = dir.join(file);
        if copies == Copies::MayBeTheOnly && fs::symlink_metadata(&path).is_ok_and(|meta| is_only_copy(&meta)) {
            // It could not be set aside.
            continue;
        }
        note(leftovers, put_link(&path, &contents[kind as usize]));
    }
    for stale in files::list(&dir).ok().flatten().unwrap_or_default() {
        if is_ours_or_journal(&dir, &stale) {
            note(leftovers, files::remove_file(&dir.join(stale)));
        }
    }
    note(leftovers, files::sync_dir(&dir));
}

/// Makes `path` a link with this content, replacing what is there in one step.
fn put_link(path: &Path, content: &Path) -> Result<(), StoreError> {
    if read_link(path)? == Link::To(content.to_owned()) {
        return Ok(());
    }
    let temp = files::temp_name(path);
    files::remove_file(&temp)?;
    symlink(content, &temp).map_err(|error| StoreError::new("create", &temp, error))?;
    files::rename(&temp, path).inspect_err(|_| {
        let _ = files::remove_file(&temp);
    })
}

/// Notes what could not be tidied up.
pub(crate) fn note<T>(leftovers: &mut Vec<String>, result: Result<T, StoreError>) {
    if let Err(error) = result {
        leftovers.push(error.to_string());
    }
}
