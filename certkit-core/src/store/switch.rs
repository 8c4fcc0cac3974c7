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
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

use super::carried::{SetAside, is_only_copy};
use super::carry::{carry_late, is_journal, is_ours_or_journal, note_carried, prepare};
use super::files;
use super::folder::{Folder, real_folder};
use super::links::{Link, LiveLinks, put_link, read_link};
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
    if files::lstat(&other)?.is_some_and(|meta| !meta.is_dir()) {
        // Somebody put a link in the place of the folder in that moment. Where it leads nothing is ours.
        note(leftovers, files::remove_file(&other));
        return Ok(true);
    }
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

/// Replaces the links one by one. All new ones are made before the first is renamed, so that a full disk is found out
/// while nothing has changed; when a later one fails, the earlier ones are put back.
fn replace_links(live: &LiveLinks, contents: &[PathBuf; 4], leftovers: &mut Vec<String>) -> Result<(), StoreError> {
    let folders = LiveFolders::open(live)?;
    let result = folders.make_temps(live, contents).and_then(|()| folders.rename_links(live));
    if let Err(error) = result {
        for kind in Kind::ALL {
            let _ = folders.at(live, kind).and_then(|(folder, name)| folder.remove_temp(name));
        }
        return Err(error);
    }
    for (dir, folder) in &folders.0 {
        note(leftovers, folder.sync());
        for kind in Kind::ALL {
            let journal = previous_name(kind);
            if is_journal(dir, OsStr::new(&journal)) {
                note(leftovers, folder.remove(OsStr::new(&journal)));
            }
        }
    }
    Ok(())
}

/// The folders of the links, held open by their paths: what is put in their place meanwhile gets no links.
struct LiveFolders<'a>(BTreeMap<&'a Path, Folder>);

impl<'a> LiveFolders<'a> {
    fn open(live: &'a LiveLinks) -> Result<Self, StoreError> {
        let open = |dir: &'a Path| {
            let real = real_folder(dir).map_err(|error| StoreError::new("open", dir, error))?;
            Ok((dir, Folder::open(&real)?))
        };
        live_dirs(live).into_iter().map(open).collect::<Result<_, StoreError>>().map(Self)
    }

    fn at<'l>(&self, live: &'l LiveLinks, kind: Kind) -> Result<(&Folder, &'l OsStr), StoreError> {
        let path = live.path(kind);
        let folder = path.parent().and_then(|dir| self.0.get(dir));
        folder.zip(path.file_name()).ok_or_else(|| StoreError::new("open", path, Errno::NOENT))
    }

    fn make_temps(&self, live: &LiveLinks, contents: &[PathBuf; 4]) -> Result<(), StoreError> {
        for (kind, content) in Kind::ALL.iter().zip(contents) {
            let (folder, name) = self.at(live, *kind)?;
            folder.link_temp(name, content)?;
        }
        self.0.values().try_for_each(Folder::sync)
    }

    fn rename_links(&self, live: &LiveLinks) -> Result<(), StoreError> {
        for (done, kind) in LINK_ORDER.into_iter().enumerate() {
            let (folder, name) = self.at(live, kind)?;
            if let Err(error) = folder.replace_by_temp(name) {
                for kind in LINK_ORDER.into_iter().take(done) {
                    // When this fails too, the next run puts it right: the new version is complete.
                    let _ = self.at(live, kind).and_then(|(folder, name)| match live.link(kind) {
                        Link::To(content) => {
                            folder.link_temp(name, content).and_then(|()| folder.replace_by_temp(name))
                        }
                        Link::Missing | Link::Other => folder.remove(name).map(|_| ()),
                    });
                }
                return Err(error);
            }
        }
        Ok(())
    }
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
    if !fs::symlink_metadata(&dir).is_ok_and(|meta| meta.is_dir()) {
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

/// Notes what could not be tidied up.
pub(crate) fn note<T>(leftovers: &mut Vec<String>, result: Result<T, StoreError>) {
    if let Err(error) = result {
        leftovers.push(error.to_string());
    }
}
