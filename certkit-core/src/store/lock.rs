//! certbot's locks.
//!
//! certbot takes a POSIX record lock (`lockf`) on `.certbot.lock` in its logs, config and work directory, in this order,
//! and unlinks the files when it ends. Open-file-description locks conflict with these in both directions, and unlike
//! them they exclude a second store in the same process and survive the closing of another descriptor of the file.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::OFlags;

use super::files::ensure_dir;
use super::shared::Shared;
use super::{LockedStore, Store, StoreError, StorePaths};

mod holder;

/// certbot's name for the file.
const LOCK_FILE: &str = ".certbot.lock";

/// certbot unlinks the file when it ends, so the file that was opened may not be the one of that name any more. Each
/// further try means that another process ended just then.
const MAX_TRIES: usize = 100;

impl Store {
    /// Takes certbot's locks in certbot's order (logs, config, work), as open-file-description locks. Makes the three
    /// directories when they are missing. Fails at once when somebody else holds one.
    pub fn lock(&self) -> Result<LockedStore, LockError> {
        let paths = self.paths();
        let mut locks: Vec<HeldLock> = Vec::new();
        for (dir, mode) in [(&paths.logs_dir, 0o700), (&paths.config_dir, 0o755), (&paths.work_dir, 0o755)] {
            ensure_dir(dir, mode)?;
            let meta = fs::metadata(dir).map_err(|error| StoreError::new("read", dir, error))?;
            let directory = (meta.dev(), meta.ino());
            // The same directory may be given twice; a second lock would be refused because of the first.
            if locks.iter().all(|lock| lock.directory != directory) {
                locks.push(take(&self.paths, &dir.join(LOCK_FILE), directory)?);
            }
        }
        Ok(LockedStore::new(self.clone(), locks))
    }
}

/// A lock of the store that somebody holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldBySomebody {
    /// The lock file.
    pub path: PathBuf,
    /// Who, as far as the system tells: `process 123, certbot`; empty otherwise. Escaped.
    pub holder: String,
    /// When the lock file was written, in seconds since 1970: both certbot and certkit write it when they take the lock.
    pub since: Option<i64>,
}

impl Store {
    /// Whether somebody holds a lock of the store. Nothing is locked, made or written.
    pub fn lock_holder(&self) -> Result<Option<HeldBySomebody>, StoreError> {
        let Some((path, mut file)) = held(self.paths())? else { return Ok(None) };
        let since = file.metadata().ok().map(|metadata| metadata.mtime());
        let holder = holder::in_words(&mut file);
        Ok(Some(HeldBySomebody { path, holder, since }))
    }
}

/// When the lock was taken that somebody else than this store and its clones holds, in seconds since 1970; of several the
/// last one. Who that is does not matter: numbers of processes in other containers are the same as here.
pub(super) fn held_by_another_since(shared: &Shared) -> Option<i64> {
    let since = |path: PathBuf| match held_at(&path) {
        Ok(None) => None,
        Ok(Some(file)) => match file.metadata() {
            Ok(metadata) => (!shared.holds(&metadata)).then(|| metadata.mtime()),
            Err(_) => Some(i64::MIN),
        },
        // Who may not open lock files sees that there is one, at least in the config directory: the folder of logs is
        // closed. Mostly it is removed when a run ends; one that was killed leaves it. /proc/locks does not tell which: it
        // leaves out certbot's locks in other containers, and its inodes are not always those of stat (overlayfs, btrfs).
        Err(_) => fs::symlink_metadata(&path).ok().map(|metadata| metadata.mtime()),
    };
    lock_files(shared).into_iter().filter_map(since).max()
}

/// The first lock file that somebody holds.
fn held(paths: &StorePaths) -> Result<Option<(PathBuf, File)>, StoreError> {
    for path in lock_files(paths) {
        if let Some(file) = held_at(&path)? {
            return Ok(Some((path, file)));
        }
    }
    Ok(None)
}

fn lock_files(paths: &StorePaths) -> [PathBuf; 3] {
    [&paths.logs_dir, &paths.config_dir, &paths.work_dir].map(|dir| dir.join(LOCK_FILE))
}

/// A lock file, when somebody holds it.
fn held_at(path: &Path) -> Result<Option<File>, StoreError> {
    let opened = fs::OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK).bits() as i32)
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::new("open", path, error)),
    };
    let mut lock = whole_file();
    match fcntl(&file, FcntlArg::F_OFD_GETLK(&mut lock)) {
        Ok(_) if lock.l_type == libc::F_UNLCK as libc::c_short => Ok(None),
        Ok(_) => Ok(Some(file)),
        Err(error) => Err(StoreError::new("read", path, io::Error::from(error))),
    }
}

/// The store could not be locked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another certkit or certbot is at work.
    #[error("another instance of certkit or certbot is already running{holder} and holds {}", crate::escape(&path.display().to_string()))]
    Held {
        /// The lock file.
        path: PathBuf,
        /// Who: ` (process 123, certbot)`, as far as the system tells.
        holder: String,
    },
    /// The lock file cannot be made or opened.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A lock that is held. The file is removed, as certbot does, and then the lock released when it is dropped.
#[derive(Debug)]
pub(crate) struct HeldLock {
    file: File,
    path: PathBuf,
    directory: (u64, u64),
    shared: Arc<Shared>,
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        // Whoever opened this file meanwhile sees that it is not the one of that name any more, and tries again. If it
        // cannot be removed it is a stale file without a lock, which harms nobody.
        if is_still(&self.file, &self.path).unwrap_or(false) {
            let _ = fs::remove_file(&self.path);
        }
        if let Ok(metadata) = self.file.metadata() {
            self.shared.released(&metadata);
        }
    }
}

fn take(shared: &Arc<Shared>, path: &Path, directory: (u64, u64)) -> Result<HeldLock, LockError> {
    for _ in 0..MAX_TRIES {
        let mut file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags((OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK).bits() as i32)
            .open(path)
            .map_err(|error| StoreError::new("open", path, error))?;
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file())) {
            Ok(_) => {}
            Err(nix::Error::EAGAIN | nix::Error::EACCES) => {
                return Err(LockError::Held { path: path.to_owned(), holder: holder::in_brackets(&mut file) });
            }
            Err(nix::Error::EINTR) => continue,
            Err(error) => return Err(StoreError::new("lock", path, io::Error::from(error)).into()),
        }
        if is_still(&file, path).map_err(|error| StoreError::new("read", path, error))? {
            // Who holds it is for people only, so a full disk does not matter.
            let _ = file.set_permissions(fs::Permissions::from_mode(0o600));
            let _ = file.set_len(0).and_then(|()| file.write_all(holder::our_line().as_bytes()));
            let metadata = file.metadata().map_err(|error| StoreError::new("read", path, error))?;
            shared.took(&metadata);
            return Ok(HeldLock { file, path: path.to_owned(), directory, shared: Arc::clone(shared) });
        }
    }
    let error = io::Error::other("the lock file is replaced again and again");
    Err(StoreError::new("lock", path, error).into())
}

/// Whether `path` still names `file`.
fn is_still(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(now) => Ok((now.dev(), now.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn whole_file() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_and_its_clones_know_their_own_lock_and_take_it_for_nobody_elses() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Store::open(StorePaths::within(dir.path())).unwrap();
        let (store, other) = (open(), open());
        assert_eq!(held_by_another_since(&store.paths), None);
        let locked = store.lock().unwrap();
        for own in [&store, &store.clone(), locked.store()] {
            assert_eq!(held_by_another_since(&own.paths), None);
        }
        // It is in the same process, with the same number in the file: that must not matter.
        assert!(held_by_another_since(&other.paths).is_some());
        drop(locked);
        let _other = other.lock().unwrap();
        assert!(held_by_another_since(&store.paths).is_some());
    }
}
