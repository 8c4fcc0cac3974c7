//! A folder that is held open while files in it are written and removed, so that whatever somebody puts in its place
//! meanwhile is not met.
//!
//! Who may write in `archive` or `live`, and is not the owner of the tree, can exchange a folder there for a link at any
//! moment. Paths are then followed to wherever he likes: keys were written there, and files of the versions' names removed.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, fstat, linkat, openat, readlinkat, renameat, statat,
    symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::StoreError;
use super::files::{self, Attributes};
use crate::words::shell_word;

/// An open folder, and the path by which it was opened, for messages.
#[derive(Debug)]
pub(crate) struct Folder {
    handle: File,
    path: PathBuf,
}

impl Folder {
    /// Opens it. A link in the last place of its path is an error.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = openat(CWD, path, flags, Mode::empty()).map_err(|error| StoreError::new("open", path, error))?;
        Ok(Self { handle: handle.into(), path: path.to_owned() })
    }

    /// The folder of a file, with the file's name.
    pub(crate) fn of(path: &Path) -> Result<(Self, &OsStr), StoreError> {
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => Ok((Self::open(parent)?, name)),
            _ => Err(StoreError::new("open", path, Errno::INVAL)),
        }
    }

    /// The same by a path that may lead through links: one in the place of the folder counts as [`real_folder`] says.
    pub(crate) fn led_to(path: &Path) -> Result<(Self, &OsStr), StoreError> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(StoreError::new("open", path, Errno::INVAL));
        };
        let real = real_folder(parent).map_err(|error| StoreError::new("open", parent, error))?;
        Ok((Self::open(&real)?, name))
    }

    /// The names in it, sorted.
    pub(crate) fn names(&self) -> Result<Vec<OsString>, StoreError> {
        let read = |error: Errno| StoreError::new("read", &self.path, error);
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.handle).map_err(read)? {
            let entry = entry.map_err(read)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// What a name in it stands for; none when there is nothing.
    pub(crate) fn kind_of(&self, name: &OsStr) -> Result<Option<FileType>, StoreError> {
        match statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(StoreError::new("read", self.path.join(name), error)),
        }
    }

    /// Removes a file or link; none there is fine. Tells whether there was one.
    pub(crate) fn remove(&self, name: &OsStr) -> Result<bool, StoreError> {
        match unlinkat(&self.handle, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(StoreError::new("remove", self.path.join(name), error)),
        }
    }

    /// As [`files::write_temp`], in this folder.
    pub(crate) fn write_temp(&self, name: &OsStr, content: &[u8], like: &Attributes) -> Result<(), StoreError> {
        let path = files::temp_name(&self.path.join(name));
        let temp = path.file_name().unwrap_or_default();
        self.remove(temp)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.handle, temp, flags, Mode::from_raw_mode(0o600))
            .map_err(|error| StoreError::new("create", &path, error))?;
        let again = || self.read(temp);
        let result = files::fill(file.into(), &path, content, like, again);
        if result.is_err() {
            // What could not be written or synced is never used again.
            let _ = self.remove(temp);
        }
        result
    }

    /// Gives a file its final name, which nobody has, where it has its temporary one.
    pub(crate) fn rename_temp(&self, name: &OsStr) -> Result<(), StoreError> {
        let path = self.path.join(name);
        let temp = files::temp_name(&path);
        let temp = temp.file_name().unwrap_or_default();
        if self.kind_of(temp)?.is_none() {
            return Ok(());
        }
        let error = |error: Errno| StoreError::new("rename to", &path, error);
        match rustix::fs::renameat_with(&self.handle, temp, &self.handle, name, RenameFlags::NOREPLACE) {
            // NFS and old kernels. The store is locked, so nobody makes the name in between.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                if self.kind_of(name)?.is_some() {
                    return Err(error(Errno::EXIST));
                }
                renameat(&self.handle, temp, &self.handle, name).map_err(error)
            }
            result => result.map_err(error),
        }
    }

    /// Makes a link under the temporary name of `name`; a leftover of that name is removed first.
    pub(crate) fn link_temp(&self, name: &OsStr, content: &Path) -> Result<(), StoreError> {
        let path = files::temp_name(&self.path.join(name));
        let temp = path.file_name().unwrap_or_default();
        self.remove(temp)?;
        symlinkat(content, &self.handle, temp).map_err(|error| StoreError::new("create", &path, error))
    }

    /// Gives a file another name: in `other` the temporary one of its name here.
    pub(crate) fn name_temp_in(&self, other: &Self, name: &OsStr) -> io::Result<()> {
        let temp = files::temp_name(Path::new(name));
        Ok(linkat(&self.handle, name, &other.handle, &temp, AtFlags::empty())?)
    }

    /// Gives what has the temporary name of `name` its final name, whoever has that.
    pub(crate) fn replace_by_temp(&self, name: &OsStr) -> Result<(), StoreError> {
        let path = self.path.join(name);
        let temp = files::temp_name(&path);
        let temp = temp.file_name().unwrap_or_default();
        renameat(&self.handle, temp, &self.handle, name).map_err(|error| StoreError::new("rename to", &path, error))
    }

    /// Removes what has the temporary name of `name`.
    pub(crate) fn remove_temp(&self, name: &OsStr) -> Result<bool, StoreError> {
        self.remove(files::temp_name(Path::new(name)).as_os_str())
    }

    /// Makes its entries durable.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        files::sync_opened_dir(&self.handle, &self.path)
    }

    fn read(&self, name: &OsStr) -> Result<Vec<u8>, StoreError> {
        use std::os::fd::AsFd as _;
        let path = self.path.join(name);
        super::read::bounded_in(self.handle.as_fd(), Path::new(name), &path, super::read::MAX_FILE_BYTES)
    }
}

/// A link in the place of a folder of versions or links that another user made, who could make it lead anywhere.
pub(crate) struct Distrusted {
    place: PathBuf,
    user: u32,
}

impl Distrusted {
    /// Where the last part of a path is such a link. Those of root, of the running user and of whoever owns the tree (the folder that
    /// `live` or `archive` lies in) are none.
    pub(crate) fn at(path: &Path) -> io::Result<Option<Self>> {
        let Some(place) = place_of(path)? else { return Ok(None) };
        let meta = fs::symlink_metadata(&place)?;
        Ok(if meta.is_symlink() { Self::of_link(&place, meta.uid()) } else { None })
    }

    fn of_link(place: &Path, user: u32) -> Option<Self> {
        let owner = place.parent().and_then(Path::parent).and_then(|tree| fs::symlink_metadata(tree).ok());
        let trusted = [Some(0), Some(rustix::process::geteuid().as_raw()), owner.map(|owner| owner.uid())];
        (!trusted.contains(&Some(user))).then(|| Self { place: place.to_owned(), user })
    }

    /// The link.
    pub(crate) fn place(&self) -> &Path {
        &self.place
    }

    /// What is wrong; not escaped.
    pub(crate) fn why(&self) -> String {
        format!("{} is a link that user {} made, who can make it lead anywhere", self.place.display(), self.user)
    }

    /// What its owner does who trusts it; not escaped.
    pub(crate) fn cure(&self) -> String {
        format!(
            "put a folder in its place, or, if you trust it: chown -h root -- {}",
            shell_word(&self.place.to_string_lossy())
        )
    }
}

/// The path without links in the path of its folder; none for one that ends in `..`, and for the root.
fn place_of(path: &Path) -> io::Result<Option<PathBuf>> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    Ok(Some(fs::canonicalize(parent)?.join(name)))
}

/// As [`fs::canonicalize`] for a folder of versions or links. What [`Distrusted::at`] tells in its place is an error.
///
/// Whoever can exchange what is there does so between any two looks, so that it is looked at once: a folder is not looked up again,
/// and of a link that very link is read.
pub(crate) fn real_folder(path: &Path) -> io::Result<PathBuf> {
    let Some(place) = place_of(path)? else { return fs::canonicalize(path) };
    let there = openat(CWD, &place, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let stat = fstat(&there)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        return Ok(place);
    }
    if let Some(link) = Distrusted::of_link(&place, stat.st_uid) {
        return Err(io::Error::other(format!("{}: {}", link.why(), link.cure())));
    }
    let target = OsString::from_vec(readlinkat(&there, "", Vec::new())?.into_bytes());
    fs::canonicalize(place.parent().unwrap_or(&place).join(target))
}

/// As [`real_folder`]; none when there is nothing, or links that lead nowhere.
pub(crate) fn real_folder_if_there(path: &Path) -> Result<Option<PathBuf>, StoreError> {
    match real_folder(path) {
        Ok(path) => Ok(Some(path)),
        Err(error) if files::is_absence(&error) || error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => Ok(None),
        Err(error) => Err(StoreError::new("read", path, error)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_is_put_in_place_of_an_open_folder_is_not_met() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("archive")).unwrap();
        fs::create_dir(at("outside")).unwrap();
        for place in ["archive", "outside"] {
            fs::write(at(place).join("cert1.pem"), "old").unwrap();
        }
        let folder = Folder::open(&at("archive")).unwrap();
        fs::rename(at("archive"), at("moved")).unwrap();
        symlink(at("outside"), at("archive")).unwrap();
        folder.write_temp("cert2.pem".as_ref(), b"new", &Attributes::mode(0o600)).unwrap();
        folder.rename_temp("cert2.pem".as_ref()).unwrap();
        assert!(folder.remove("cert1.pem".as_ref()).unwrap());
        folder.sync().unwrap();
        assert_eq!(folder.names().unwrap(), ["cert2.pem"]);
        assert_eq!(files::list(&at("outside")).unwrap().unwrap(), ["cert1.pem"]);
        assert_eq!(fs::read(at("moved/cert2.pem")).unwrap(), b"new");
        assert!(Folder::open(&at("archive")).is_err(), "a link was followed");
    }

    #[test]
    fn a_folder_that_is_exchanged_for_a_link_all_the_time_is_itself_or_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join("tree/archive").join(name);
        let outside = dir.path().join("outside");
        fs::create_dir_all(at("a")).unwrap();
        fs::create_dir(&outside).unwrap();
        symlink(&outside, at("link")).unwrap();
        let mine = |path: &Path| std::os::unix::fs::lchown(path, Some(54_321), None);
        mine(&at("link")).expect("another user's link: this is not root");
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    rustix::fs::renameat_with(CWD, at("a"), CWD, at("link"), RenameFlags::EXCHANGE).unwrap();
                }
            });
            let (mut itself, mut told) = (0, 0);
            // On a busy machine one of the two may have no turn for long.
            let began = std::time::Instant::now();
            while (itself < 20_000 || told < 1000) && began.elapsed().as_secs() < 60 {
                match real_folder(&at("a")) {
                    Ok(real) if real == at("a").parent().unwrap().canonicalize().unwrap().join("a") => itself += 1,
                    Ok(real) => {
                        stop.store(true, std::sync::atomic::Ordering::Relaxed);
                        panic!("{}", real.display());
                    }
                    Err(_) => told += 1,
                }
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(itself > 0 && told > 0, "{itself} {told}");
        });
    }

    #[test]
    fn links_that_are_trusted_are_followed_as_they_stand() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().canonicalize().unwrap().join(name);
        fs::create_dir(at("disk")).unwrap();
        symlink("disk", at("relative")).unwrap();
        symlink(at("relative"), at("absolute")).unwrap();
        symlink("loop", at("loop")).unwrap();
        for path in ["disk", "relative", "absolute", "disk/../disk"] {
            assert_eq!(real_folder(&at(path)).unwrap(), at("disk"), "{path}");
        }
        assert_eq!(real_folder(&at("disk/..")).unwrap(), at(""));
        assert_eq!(real_folder(&at("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(real_folder(&at("loop")).unwrap_err().raw_os_error(), Some(Errno::LOOP.raw_os_error()));
    }

    #[test]
    fn a_final_name_that_somebody_has_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        folder.write_temp("cert2.pem".as_ref(), b"new", &Attributes::mode(0o600)).unwrap();
        fs::write(dir.path().join("cert2.pem"), "somebody's").unwrap();
        let error = folder.rename_temp("cert2.pem".as_ref()).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(dir.path().join("cert2.pem")).unwrap(), b"somebody's");
    }
}
