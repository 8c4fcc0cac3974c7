//! Writing files so that a crash at any moment leaves the old or the new content.
//!
//! These functions are the only writers of the store. Each one makes a file under a temporary name that no reader looks
//! at, gives it its final mode before it has its final name, syncs it, reads it again, renames it and syncs the directory.
//! A file whose sync failed is removed and never used again: the kernel reports a lost page once and then forgets it.
//!
//! Temporary names are fixed for a target, so that a leftover of a crash is found and removed by name.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, OFlags, RenameFlags, StatxAttributes, StatxFlags};
use zeroize::Zeroizing;

use super::StoreError;
pub(crate) use super::attributes::Attributes;
use super::folder::Folder;

/// How a temporary file ends. certbot looks at `*.conf`, `KINDN.pem` and `KIND.pem` only.
const TEMP_SUFFIX: &str = ".certkit-tmp";

/// How a folder that is being made, or was exchanged, ends; it begins with a dot, so it is no lineage.
const FOLDER_SUFFIX: &str = ".certkit-new";

/// So many are set aside under one name: more means that something keeps damaging it.
const MAX_SET_ASIDE: u32 = 99;

/// Makes a file that must not exist yet: durable and read again when this returns, but for the directory's sync.
pub(crate) fn write_new(path: &Path, content: &[u8], attributes: &Attributes) -> Result<(), StoreError> {
    let file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags((OFlags::NOFOLLOW | OFlags::CLOEXEC).bits() as i32)
        .open(path)
        .map_err(|error| StoreError::new("create", path, error))?;
    let result = fill(file, path, content, attributes, || read(path));
    if result.is_err() {
        // What could not be written or synced is never used again.
        let _ = fs::remove_file(path);
    }
    result
}

/// Writes a new file, gives it its attributes, makes it durable, and reads it again, which `again` does.
pub(crate) fn fill(
    mut file: File,
    path: &Path,
    content: &[u8],
    attributes: &Attributes,
    again: impl FnOnce() -> Result<Vec<u8>, StoreError>,
) -> Result<(), StoreError> {
    file.write_all(content).map_err(|error| StoreError::new("write", path, error))?;
    attributes.apply(&file).map_err(|error| StoreError::new("set the mode of", path, error))?;
    file.sync_all().map_err(|error| StoreError::new("sync", path, error))?;
    drop(file);
    let written = Zeroizing::new(again()?);
    if *written != content {
        let error = io::Error::new(io::ErrorKind::InvalidData, "what was written is not what is read");
        return Err(StoreError::new("check", path, error));
    }
    Ok(())
}

/// As [`write_new`] under the temporary name of `path`; a leftover of that name is removed first. Returns the name.
pub(crate) fn write_temp(path: &Path, content: &[u8], attributes: &Attributes) -> Result<PathBuf, StoreError> {
    let temp = temp_name(path);
    remove_file(&temp)?;
    write_new(&temp, content, attributes)?;
    Ok(temp)
}

/// Replaces or makes `path`: old or new content at any moment, durable when this returns.
pub(crate) fn replace(path: &Path, content: &[u8], attributes: &Attributes) -> Result<(), StoreError> {
    let temp = write_temp(path, content, attributes)?;
    if let Err(error) = rename(&temp, path) {
        let _ = fs::remove_file(&temp);
        return Err(error);
    }
    sync_parent(path)
}

/// `rename(2)`.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::rename(from, to).map_err(|error| StoreError::new("rename to", to, error))
}

/// `rename(2)` to a name that nobody has.
pub(crate) fn rename_new(from: &Path, to: &Path) -> Result<(), StoreError> {
    use rustix::io::Errno;
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // NFS and old kernels. The store is locked, so nobody makes the name in between.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            if exists(to)? {
                return Err(StoreError::new("rename to", to, Errno::EXIST));
            }
            rename(from, to)
        }
        result => result.map_err(|error| StoreError::new("rename to", to, error)),
    }
}

/// Makes the entries of a directory durable.
pub(crate) fn sync_dir(path: &Path) -> Result<(), StoreError> {
    let dir = fs::OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::DIRECTORY | OFlags::CLOEXEC).bits() as i32)
        .open(path)
        .map_err(|error| StoreError::new("open", path, error))?;
    sync_opened_dir(&dir, path)
}

/// The same for one that is open.
pub(crate) fn sync_opened_dir(dir: &File, path: &Path) -> Result<(), StoreError> {
    match dir.sync_all() {
        // Some network file systems cannot sync directories; they are synchronous themselves.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => Ok(()),
        result => result.map_err(|error| StoreError::new("sync", path, error)),
    }
}

/// Makes the entry of `path` in its directory durable.
pub(crate) fn sync_parent(path: &Path) -> Result<(), StoreError> {
    path.parent().map_or(Ok(()), sync_dir)
}

/// Makes one directory with exactly this mode. Its parent is not synced.
pub(crate) fn make_dir(path: &Path, mode: u32) -> Result<(), StoreError> {
    fs::DirBuilder::new().mode(mode).create(path).map_err(|error| StoreError::new("create", path, error))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(|error| StoreError::new("set the mode of", path, error))
}

/// Gives a directory to the owner of another one, where only root can be asked to; for others they are the same.
pub(crate) fn own_like(path: &Path, like: &Path) -> Result<(), StoreError> {
    let Ok(meta) = fs::metadata(like) else { return Ok(()) };
    let is_so = || fs::symlink_metadata(path).is_ok_and(|own| (own.uid(), own.gid()) == (meta.uid(), meta.gid()));
    if rustix::process::geteuid().is_root() && !is_so() {
        std::os::unix::fs::lchown(path, Some(meta.uid()), Some(meta.gid()))
            .map_err(|error| StoreError::new("set the owner of", path, error))?;
    }
    Ok(())
}

/// Makes a directory with exactly this mode when it is missing; missing parents get 0755. Durable.
pub(crate) fn ensure_dir(path: &Path, mode: u32) -> Result<(), StoreError> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        ensure_dir(parent, 0o755)?;
    }
    match make_dir(path, mode) {
        Err(error) if error.source.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_parent(path),
    }
}

/// Makes `certkit/` and a directory in it, 0700 each, owned as the folder that each lies in.
pub(crate) fn ensure_own_dir(own: &Path, path: &Path) -> Result<(), StoreError> {
    let ensure = |dir: &Path| {
        let is_new = !dir.is_dir();
        ensure_dir(dir, 0o700)?;
        match dir.parent() {
            Some(parent) if is_new => own_like(dir, parent),
            _ => Ok(()),
        }
    };
    ensure(own)?;
    let mut dir = own.to_owned();
    for part in path.strip_prefix(own).unwrap_or_else(|_| Path::new("")).components() {
        dir.push(part);
        make_way_for_dir(&dir)?;
        ensure(&dir)?;
    }
    Ok(())
}

/// Removes a file or link; none there is fine. Tells whether there was one.
pub(crate) fn remove_file(path: &Path) -> Result<bool, StoreError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if is_absence(&error) => Ok(false),
        Err(error) => Err(StoreError::new("remove", path, error)),
    }
}

/// Renames something that must not be where it is to a hidden name beside it, where nobody looks, and returns that.
pub(crate) fn set_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let name = path.file_name().unwrap_or_default();
    for number in 1..=MAX_SET_ASIDE {
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".damaged-{number}"));
        let aside = path.with_file_name(hidden);
        if !exists(&aside)? {
            rename_new(path, &aside)?;
            sync_parent(path)?;
            return Ok(aside);
        }
    }
    Err(StoreError::new("rename", path, io::Error::other("too many damaged ones were set aside before")))
}

/// Sets aside a directory in the place of a file of ours, and removes a link, a pipe or the like, which hold nothing.
pub(crate) fn make_way_for_file(path: &Path) -> Result<(), StoreError> {
    match lstat(path)? {
        Some(meta) if meta.is_dir() => set_aside(path).map(|_| ()),
        Some(meta) if !meta.is_file() => remove_file(path).map(|_| ()),
        _ => Ok(()),
    }
}

/// Sets aside a file in the place of a directory of ours. A link is set aside as well, or our files would be written to
/// wherever it leads.
pub(crate) fn make_way_for_dir(path: &Path) -> Result<Option<PathBuf>, StoreError> {
    if lstat(path)?.is_some_and(|meta| !meta.is_dir()) { set_aside(path).map(Some) } else { Ok(None) }
}

/// The names in a directory of ours, sorted; none where there is none, or a link or something else in its place.
pub(crate) fn list_own(path: &Path) -> Result<Vec<OsString>, StoreError> {
    if lstat(path)?.is_some_and(|meta| meta.is_dir()) { Ok(list(path)?.unwrap_or_default()) } else { Ok(Vec::new()) }
}

/// Whether what is there can never be the file that was looked for, unlike one that just cannot be read now.
pub(crate) fn is_damage(error: &io::Error) -> bool {
    // Links that lead in a circle have no kind in std yet.
    let is_circle = error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
    is_circle
        || matches!(
            error.kind(),
            io::ErrorKind::InvalidInput | io::ErrorKind::FileTooLarge | io::ErrorKind::IsADirectory
        )
}

/// Removes a directory that holds no directories; none there is fine. A directory inside is an error, and stays.
pub(crate) fn remove_flat_dir(path: &Path) -> Result<bool, StoreError> {
    if lstat(path)?.is_none() {
        return Ok(false);
    }
    // Held open, for where a link leads that somebody puts in its place meanwhile nothing is ours.
    let folder = Folder::open(path)?;
    for entry in folder.names()? {
        folder.remove(&entry)?;
    }
    fs::remove_dir(path).map_err(|error| StoreError::new("remove", path, error))?;
    Ok(true)
}

/// The names in a directory, sorted; none when there is no such directory.
pub(crate) fn list(path: &Path) -> Result<Option<Vec<OsString>>, StoreError> {
    let read = |error| StoreError::new("read", path, error);
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if is_absence(&error) => return Ok(None),
        Err(error) => return Err(read(error)),
    };
    let mut names =
        entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<Vec<_>>>().map_err(read)?;
    names.sort();
    Ok(Some(names))
}

/// Reads a regular file of bounded size. A FIFO does not hang it, a directory or device is an error.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, StoreError> {
    super::read::regular_file(path)
}

/// As [`read`]; none when there is no such file.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if is_absence(&error.source) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Absolute, with `..` in it as it is: the system follows links in the path before it goes up.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, StoreError> {
    std::path::absolute(path).map_err(|error| StoreError::new("read", path, error))
}

/// What `lstat(2)` says; none when there is nothing. An error is not an absence.
pub(crate) fn lstat(path: &Path) -> Result<Option<Metadata>, StoreError> {
    match fs::symlink_metadata(path) {
        Ok(meta) => Ok(Some(meta)),
        Err(error) if is_absence(&error) => Ok(None),
        Err(error) => Err(StoreError::new("read", path, error)),
    }
}

/// Whether there is anything of this name, a dangling link included.
pub(crate) fn exists(path: &Path) -> Result<bool, StoreError> {
    lstat(path).map(|meta| meta.is_some())
}

/// Whether not even root may change it (chattr +i and +a).
pub(crate) fn is_immutable(path: &Path) -> bool {
    rustix::fs::statx(CWD, path, AtFlags::empty(), StatxFlags::BASIC_STATS)
        .is_ok_and(|stat| stat.stx_attributes.intersects(StatxAttributes::IMMUTABLE | StatxAttributes::APPEND))
}

/// Whether a file system is mounted there. Kernels before 5.8 do not say so.
pub(crate) fn is_mount_point(path: &Path) -> bool {
    rustix::fs::statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS)
        .is_ok_and(|stat| stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Whether an error says that there is nothing of that name.
pub(crate) fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The temporary name beside `path`.
pub(crate) fn temp_name(path: &Path) -> PathBuf {
    hidden(path, TEMP_SUFFIX)
}

/// The name of the folder that is exchanged with (or becomes) `path`.
pub(crate) fn sibling_folder(path: &Path) -> PathBuf {
    hidden(path, FOLDER_SUFFIX)
}

fn hidden(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(suffix);
    path.with_file_name(name)
}

/// The name whose temporary name this is.
pub(crate) fn temp_of(name: &OsStr) -> Option<&str> {
    name.to_str()?.strip_prefix('.')?.strip_suffix(TEMP_SUFFIX)
}

/// The name whose sibling folder this is.
pub(crate) fn sibling_of(name: &OsStr) -> Option<&str> {
    name.to_str()?.strip_prefix('.')?.strip_suffix(FOLDER_SUFFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_is_whole_has_its_mode_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.conf");
        fs::write(temp_name(&path), "leftover of a crash").unwrap();
        replace(&path, b"one", &Attributes::mode(0o644)).unwrap();
        replace(&path, b"two", &Attributes::mode(0o600)).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(list(dir.path()).unwrap().unwrap(), ["x.conf"]);
    }

    #[test]
    fn a_new_file_never_follows_or_replaces_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("privkey2.pem");
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), &path).unwrap();
        let error = write_new(&path, b"key", &Attributes::mode(0o600)).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::AlreadyExists);
        assert!(exists(&path).unwrap() && !exists(&dir.path().join("elsewhere")).unwrap());
        fs::write(dir.path().join("a"), "a").unwrap();
        let error = rename_new(&dir.path().join("a"), &path).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_key_is_as_open_as_its_predecessor_but_never_writable_for_others() {
        let dir = tempfile::tempdir().unwrap();
        let old = dir.path().join("privkey1.pem");
        fs::write(&old, "old").unwrap();
        for (before, after) in [(0o600, 0o600), (0o640, 0o640), (0o660, 0o660), (0o666, 0o664), (0o400, 0o600)] {
            fs::set_permissions(&old, fs::Permissions::from_mode(before)).unwrap();
            let new = dir.path().join(format!("new{before:o}"));
            write_new(&new, b"new", &Attributes::key_like(Some(&old))).unwrap();
            assert_eq!(fs::metadata(&new).unwrap().mode() & 0o7777, after, "{before:o}");
        }
        let new = dir.path().join("first");
        write_new(&new, b"new", &Attributes::key_like(None)).unwrap();
        assert_eq!(fs::metadata(&new).unwrap().mode() & 0o7777, 0o600);
    }

    #[test]
    fn only_regular_files_of_bounded_size_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mkfifoat(CWD, &fifo, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        assert_eq!(read(&fifo).unwrap_err().source.kind(), io::ErrorKind::InvalidInput);
        let large = dir.path().join("large");
        File::create(&large).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(read(&large).unwrap_err().source.kind(), io::ErrorKind::FileTooLarge);
        assert!(read_if_there(&dir.path().join("none")).unwrap().is_none());
    }

    #[test]
    fn names_of_temporary_files_are_recognised_and_fit() {
        let temp = temp_name(Path::new("/x/a.conf"));
        assert_eq!(temp, Path::new("/x/.a.conf.certkit-tmp"));
        assert_eq!(temp_of(temp.file_name().unwrap()), Some("a.conf"));
        assert_eq!(temp_of(OsStr::new("a.conf")), None);
        let longest = format!("{}.conf", "n".repeat(crate::LineageName::MAX_BYTES));
        assert!(temp_name(Path::new(&longest)).as_os_str().len() <= 255);
    }
}
