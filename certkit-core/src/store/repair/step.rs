//! The single changes of a repair, in words and in deed.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, fchmod, openat};
use zeroize::Zeroizing;

use super::saved::Saved;
use crate::store::files::{self, Attributes};
use crate::store::folder::Folder;
use crate::store::links::LiveLinks;
use crate::store::recover::{Decision, Found, remove_leftover};
use crate::store::switch::follow_live;
use crate::store::{DeleteError, Kind, LockedStore, StoreError, StorePaths};
use crate::{LineageName, Version};

/// One change. Each is whole by itself: what an interruption leaves is found again, and finished, by the next repair.
pub(super) enum Step {
    /// A file gets this content.
    Write { path: PathBuf, content: Zeroizing<Vec<u8>>, attributes: Attributes, how: String },
    /// The live links of a lineage are brought in order.
    Links { name: LineageName, found: Box<Found>, decision: Decision },
    /// The second live folder of a lineage is made to say what the first says.
    FollowLive { name: LineageName, live: LiveLinks },
    /// These are saved and removed.
    TakeAway { paths: Vec<PathBuf>, why: &'static str },
    /// Temporary files that nobody finishes.
    RemoveLeftOvers(Vec<PathBuf>),
    /// A folder with nothing in it.
    RemoveEmptyFolder(PathBuf),
    /// What is left of a lineage that its owner had deleted goes, unsaved: a copy of its key is not what was asked for.
    FinishDeletion { name: LineageName, folders: Vec<PathBuf> },
    /// Users besides owner and group lose these rights.
    TakeFromOthers { path: PathBuf, rights: u32 },
}

impl Step {
    /// What it does, in words that follow "will" and "to".
    pub(super) fn words(&self, paths: &StorePaths) -> String {
        let shown = |path: &Path| crate::escape(&paths.relative(path).to_string_lossy()).into_owned();
        let list = |all: &[PathBuf]| all.iter().map(|path| shown(path)).collect::<Vec<_>>().join(", ");
        match self {
            Self::Write { path, how, .. } => format!("write {} {how}", shown(path)),
            Self::Links { decision, .. } => match decision {
                Decision::GoForward { version, .. } => format!("make version {version} live"),
                Decision::RollBack { version, .. } => format!("make version {version} live again"),
                Decision::RemoveJournalLinks | Decision::Leave | Decision::Stuck { .. } => {
                    "remove certbot's journal links".to_owned()
                }
            },
            Self::FollowLive { name, .. } => format!("make {} say what is live", shown(&paths.switched(name))),
            Self::TakeAway { paths, why } => format!("move away {}{why}", list(paths)),
            Self::RemoveLeftOvers(paths) => format!("remove {}", list(paths)),
            Self::RemoveEmptyFolder(path) => format!("remove the empty folder {}", shown(path)),
            Self::FinishDeletion { name, .. } => format!("remove what is left of {}", crate::escape(name.as_str())),
            Self::TakeFromOthers { path, rights } => {
                let rights = if *rights & 0o004 != 0 { "o-rwx" } else { "o-w" };
                format!("chmod {rights} {}", shown(path))
            }
        }
    }

    /// The paths that it changes.
    pub(super) fn changes(&self) -> Vec<PathBuf> {
        match self {
            Self::Write { path, .. } | Self::RemoveEmptyFolder(path) | Self::TakeFromOthers { path, .. } => {
                vec![path.clone()]
            }
            Self::Links { found, decision, .. } => {
                let journal = found.previous.iter().map(|(path, _)| path.clone());
                match decision {
                    Decision::GoForward { .. } | Decision::RollBack { .. } => {
                        Kind::ALL.iter().map(|kind| found.live.path(*kind).to_owned()).chain(journal).collect()
                    }
                    _ => journal.collect(),
                }
            }
            Self::FollowLive { live, .. } => Kind::ALL.iter().map(|kind| live.path(*kind).to_owned()).collect(),
            Self::TakeAway { paths, .. }
            | Self::RemoveLeftOvers(paths)
            | Self::FinishDeletion { folders: paths, .. } => paths.clone(),
        }
    }

    /// Does it, after saving what it changes. Returns the version that it made live, whose deploy hooks have not run.
    pub(super) fn perform(self, store: &LockedStore, saved: &mut Saved<'_>) -> Result<Option<Version>, StoreError> {
        match self {
            Self::Write { path, content, attributes, .. } => {
                saved.save(&path)?;
                ensure_folder(store, &path)?;
                store.forget_in_use();
                replace(store, &path, &content, &attributes)?;
            }
            Self::Links { name, found, decision } => {
                if matches!(decision, Decision::GoForward { .. } | Decision::RollBack { .. }) {
                    for kind in Kind::ALL {
                        saved.save(found.live.path(kind))?;
                    }
                    store.ensure_live_dir(&found.live)?;
                }
                for (path, _) in &found.previous {
                    saved.save(path)?;
                }
                store.forget_in_use();
                return Ok(store.carry_out(&name, &found, decision)?.and_then(|done| done.made_live));
            }
            Self::FollowLive { name, live } => {
                let leftovers = follow_live(store, &name, &live).leftovers;
                if let Some(first) = leftovers.first() {
                    let dir = store.paths().switched(&name);
                    return Err(StoreError::new("write to", dir, std::io::Error::other(first.clone())));
                }
            }
            Self::TakeAway { paths, .. } => {
                for path in paths {
                    saved.take_away(&path)?;
                }
                store.forget_in_use();
            }
            Self::RemoveLeftOvers(paths) => paths.iter().try_for_each(|path| remove_leftover(path))?,
            Self::RemoveEmptyFolder(path) => {
                fs::remove_dir(&path).map_err(|error| StoreError::new("remove", &path, error))?;
                files::sync_parent(&path)?;
            }
            Self::FinishDeletion { name, .. } => {
                drop(store.finish_deletion(&name).map_err(DeleteError::into_store_error)?);
            }
            Self::TakeFromOthers { path, rights } => take_from_others(&path, rights)?,
        }
        Ok(None)
    }
}

/// Makes the folder of a file that is written anew: `archive/NAME` where a copied tree lacks it.
fn ensure_folder(store: &LockedStore, path: &Path) -> Result<(), StoreError> {
    let archives = store.paths().archive_dir();
    if path.starts_with(&archives) {
        files::ensure_dir(&archives, 0o700)?;
    }
    path.parent().map_or(Ok(()), |dir| files::ensure_dir(dir, 0o755))
}

/// Who may write among the versions and links, and is not the owner of the tree, does not say where what is written goes.
fn replace(store: &LockedStore, path: &Path, content: &[u8], attributes: &Attributes) -> Result<(), StoreError> {
    let paths = store.paths();
    if !path.starts_with(paths.archive_dir()) && !path.starts_with(paths.live_dir()) {
        return files::replace(path, content, attributes);
    }
    let (folder, name) = Folder::led_to(path)?;
    folder.write_temp(name, content, attributes)?;
    folder.replace_by_temp(name).inspect_err(|_| {
        let _ = folder.remove_temp(name);
    })?;
    folder.sync()
}

fn take_from_others(path: &Path, rights: u32) -> Result<(), StoreError> {
    // A copy of a key that an earlier step made the link again that it should be.
    if files::lstat(path)?.is_some_and(|meta| meta.is_symlink()) {
        return Ok(());
    }
    let error = |error: rustix::io::Errno| StoreError::new("set the mode of", path, error);
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let opened = openat(CWD, path, flags, Mode::empty()).map_err(error)?;
    let file = fs::File::from(opened);
    let meta = file.metadata().map_err(|error| StoreError::new("read", path, error))?;
    fchmod(&file, Mode::from_raw_mode(meta.mode() & 0o7777 & !rights)).map_err(error)?;
    file.sync_all().map_err(|error| StoreError::new("sync", path, error))
}
