//! Files that other programs read, replaced together.
//!
//! Each of them is whole at any moment, the old one or the new one. All are written and synced under temporary names in
//! their folders before the first gets its final name, so that a full disk or an owner that cannot be set changes nothing;
//! when one cannot be renamed, those before it are exchanged back. A crash leaves temporary files, which the next try
//! removes: their names are fixed, and begin with a dot, so that HAProxy passes them over in a folder of certificates.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use certkit_core::escape;
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, Stat, fstat, fsync, openat, renameat, renameat_with, statat,
    unlinkat,
};
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::access::{Access, ApplyError};

/// A file to be written. The content may be a private key, and there is no `Debug` for that reason.
pub(super) struct NewFile {
    pub(super) path: PathBuf,
    pub(super) content: Zeroizing<Vec<u8>>,
    pub(super) holds_key: bool,
    pub(super) access: Access,
}

/// Why files could not be replaced. None was, unless it says so.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlaceError {
    #[error("{} is not the full path of a file: it has to begin with `/`", shown(.0))]
    NotAFullPath(PathBuf),
    #[error("{} is named twice: give each file a name of its own", shown(.0))]
    Twice(PathBuf),
    #[error("the folder {} {}", shown(path), folder_problem(*errno, path))]
    Folder { path: PathBuf, errno: Errno },
    #[error(
        "everybody on this machine can write to {}, so the private key is not put there: chmod o-w {}", shown(.0), shown(.0)
    )]
    FolderOfEverybody(PathBuf),
    #[error("{} is a folder, not a file: move it away, or name a file in it", shown(.0))]
    IsAFolder(PathBuf),
    #[error("{} is neither a file nor a link: move it away", shown(.0))]
    NotAFile(PathBuf),
    #[error("{} cannot be given to its {what} ({}): only root may give files away, so run certkit as root (with CAP_CHOWN), or leave `{what}` out", shown(path), system(*errno))]
    NotGivenAway { what: &'static str, path: PathBuf, errno: Errno },
    #[error("{} cannot be {what}: {}", shown(path), cure(*errno))]
    System { what: &'static str, path: PathBuf, errno: Errno },
    #[error("{} cannot be replaced: {}", shown(path), replacing_cure(*errno))]
    Replacing { path: PathBuf, errno: Errno },
    #[error(
        "{} cannot be replaced, but other files of the same target were, which do not fit it: {}", shown(path), replacing_cure(*errno)
    )]
    HalfReplaced { path: PathBuf, errno: Errno },
    #[error("{} was written, but what is read is something else: check the disk", shown(.0))]
    NotWhatWasWritten(PathBuf),
}

/// Replaces or makes the files, in this order. One that has its content and its access already is left alone. A link in
/// the place of a file is replaced, what it leads to is not touched.
pub(super) fn place(files: &[NewFile]) -> Result<(), PlaceError> {
    let places = find_places(files)?;
    let mut temps = Vec::new();
    for place in &places {
        if !place.is_current() {
            temps.push(Temp::write(place)?);
        }
    }
    let mut replaced: Vec<(&Temp<'_>, Step)> = Vec::new();
    for temp in &temps {
        match temp.step() {
            Ok(step) => replaced.push((temp, step)),
            Err(errno) => {
                let path = temp.place.file.path.clone();
                let undone = replaced.iter().rev().all(|(temp, step)| temp.undo(*step).is_ok());
                return Err(match undone {
                    true => PlaceError::Replacing { path, errno },
                    false => PlaceError::HalfReplaced { path, errno },
                });
            }
        }
    }
    // Also when nothing was new: the last try may have failed here.
    for place in &places {
        match fsync(&place.folder.directory) {
            // Some network file systems cannot sync directories; they are synchronous themselves.
            Ok(()) | Err(Errno::INVAL) => {}
            Err(errno) => return Err(place.folder.error(errno)),
        }
    }
    Ok(())
}

/// Whether every file has a place where it could go; nothing is written.
pub(super) fn check_places(files: &[NewFile]) -> Result<(), PlaceError> {
    find_places(files).map(|_| ())
}

fn find_places(files: &[NewFile]) -> Result<Vec<Place<'_>>, PlaceError> {
    let mut places: Vec<Place<'_>> = Vec::new();
    for file in files {
        let place = Place::find(file, &places)?;
        if places.iter().any(|other| other.is_same(&place)) {
            return Err(PlaceError::Twice(file.path.clone()));
        }
        places.push(place);
    }
    Ok(places)
}

/// A file and where it goes.
struct Place<'a> {
    folder: Rc<Folder>,
    name: &'a OsStr,
    file: &'a NewFile,
}

/// A folder, held open: a name in it means the same file until the end, whatever happens to the folder's path.
struct Folder {
    path: PathBuf,
    directory: OwnedFd,
    stat: Stat,
}

impl<'a> Place<'a> {
    fn find(file: &'a NewFile, others: &[Self]) -> Result<Self, PlaceError> {
        let path = || file.path.clone();
        let (Some(parent), Some(name)) = (file.path.parent(), file.path.file_name()) else {
            return Err(PlaceError::NotAFullPath(path()));
        };
        if !file.path.is_absolute() {
            return Err(PlaceError::NotAFullPath(path()));
        }
        let folder = match others.iter().find(|other| other.folder.path == parent) {
            Some(other) => Rc::clone(&other.folder),
            None => Rc::new(Folder::open(parent)?),
        };
        if file.holds_key && folder.is_writable_for_everybody() {
            return Err(PlaceError::FolderOfEverybody(folder.path.clone()));
        }
        match statat(&folder.directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile | FileType::Symlink => {}
                FileType::Directory => return Err(PlaceError::IsAFolder(path())),
                _ => return Err(PlaceError::NotAFile(path())),
            },
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(PlaceError::System { what: "looked at", path: path(), errno }),
        }
        Ok(Self { folder, name, file })
    }

    fn is_same(&self, other: &Self) -> bool {
        let identity = |place: &Self| (place.folder.stat.st_dev, place.folder.stat.st_ino);
        self.name == other.name && identity(self) == identity(other)
    }

    /// Whether the file is as it should be. What cannot be read is not.
    fn is_current(&self) -> bool {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let Ok(file) = openat(&self.folder.directory, self.name, flags, Mode::empty()) else { return false };
        let Ok(stat) = fstat(&file) else { return false };
        FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
            && self.file.access.is_that_of(&stat)
            && holds(&mut File::from(file), &self.file.content)
    }

    fn error(&self, what: &'static str, errno: Errno) -> PlaceError {
        PlaceError::System { what, path: self.file.path.clone(), errno }
    }
}

impl Folder {
    fn open(path: &Path) -> Result<Self, PlaceError> {
        let error = |errno| PlaceError::Folder { path: path.to_owned(), errno };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, path, flags, Mode::empty()).map_err(error)?;
        let stat = fstat(&directory).map_err(error)?;
        Ok(Self { path: path.to_owned(), directory, stat })
    }

    /// The sticky bit keeps others from exchanging what is in it.
    fn is_writable_for_everybody(&self) -> bool {
        const WRITABLE_FOR_OTHERS: u32 = 0o002;
        const STICKY: u32 = 0o1000;
        self.stat.st_mode & WRITABLE_FOR_OTHERS != 0 && self.stat.st_mode & STICKY == 0
    }

    fn error(&self, errno: Errno) -> PlaceError {
        PlaceError::Folder { path: self.path.clone(), errno }
    }
}

/// A file under its temporary name, which is free again when this is dropped.
struct Temp<'a> {
    place: &'a Place<'a>,
    name: OsString,
}

/// How a file got its final name.
#[derive(Clone, Copy)]
enum Step {
    /// The old one has the temporary name until all is done.
    Exchanged,
    /// There was none.
    Made,
    /// The file system cannot exchange; the old one is gone.
    Replaced,
}

impl<'a> Temp<'a> {
    /// Writes it. Until its access is set it is empty and only the running user can open it, whatever the umask.
    fn write(place: &'a Place<'a>) -> Result<Self, PlaceError> {
        let directory = place.folder.directory.as_fd();
        let name = temp_name(place.name);
        match unlinkat(directory, &name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(place.error("written, for an old temporary file beside it stays", errno)),
        }
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(directory, &name, flags, Mode::RUSR | Mode::WUSR).map_err(|e| place.error("created", e))?;
        let temp = Self { place, name };
        place.file.access.apply(&file).map_err(|error| {
            let given = |what, errno| PlaceError::NotGivenAway { what, path: place.file.path.clone(), errno };
            match error {
                ApplyError::Owner(errno) => given("owner", errno),
                ApplyError::Group(errno) => given("group", errno),
                ApplyError::Mode(errno) => place.error("given its mode", errno),
            }
        })?;
        let mut file = File::from(file);
        let errno = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
        file.write_all(&place.file.content).map_err(|error| place.error("written", errno(error)))?;
        fsync(&file).map_err(|errno| place.error("synced", errno))?;
        file.rewind().map_err(|error| place.error("read", errno(error)))?;
        if !holds(&mut file, &place.file.content) {
            return Err(PlaceError::NotWhatWasWritten(place.file.path.clone()));
        }
        Ok(temp)
    }

    /// Gives it its final name in one step.
    fn step(&self) -> Result<Step, Errno> {
        let (directory, name) = (&self.place.folder.directory, self.place.name);
        match renameat_with(directory, &self.name, directory, name, RenameFlags::EXCHANGE) {
            Ok(()) => Ok(Step::Exchanged),
            Err(Errno::NOENT) => renameat(directory, &self.name, directory, name).map(|()| Step::Made),
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                renameat(directory, &self.name, directory, name).map(|()| Step::Replaced)
            }
            Err(errno) => Err(errno),
        }
    }

    fn undo(&self, step: Step) -> Result<(), Errno> {
        let (directory, name) = (&self.place.folder.directory, self.place.name);
        match step {
            Step::Exchanged => renameat_with(directory, &self.name, directory, name, RenameFlags::EXCHANGE),
            Step::Made => renameat(directory, name, directory, &self.name),
            Step::Replaced => Err(Errno::NOTSUP),
        }
    }
}

impl Drop for Temp<'_> {
    fn drop(&mut self) {
        let _ = unlinkat(&self.place.folder.directory, &self.name, AtFlags::empty());
    }
}

fn temp_name(name: &OsStr) -> OsString {
    let mut temp = OsString::from(".");
    temp.push(name);
    temp.push(".certkit-tmp");
    temp
}

/// Whether the rest of a file is exactly this.
fn holds(file: &mut File, content: &[u8]) -> bool {
    // One more than expected, and the size set beforehand, so that no copy of a key is left in an outgrown buffer.
    let limit = content.len().saturating_add(1);
    let mut found = Zeroizing::new(Vec::with_capacity(limit.saturating_add(1)));
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    file.take(limit).read_to_end(&mut found).is_ok() && *found == content
}

/// What the system refuses to root, but for the limits of a service.
const IMMUTABLE: &str = "is it, or its folder, immutable? lsattr -d tells, chattr -i lifts it";

fn folder_problem(errno: Errno, path: &Path) -> String {
    match errno {
        Errno::NOENT => format!("does not exist: create it, for example with install -d {}", shown(path)),
        Errno::NOTDIR => "is not a folder: name one that is".into(),
        errno => format!("cannot be used: {}", cure(errno)),
    }
}

fn replacing_cure(errno: Errno) -> String {
    match errno {
        Errno::BUSY => "it is mounted there by itself, perhaps into a container: mount its folder instead".into(),
        Errno::PERM => format!("the system refuses it even to this user: {IMMUTABLE}"),
        errno => cure(errno),
    }
}

fn cure(errno: Errno) -> String {
    match errno {
        Errno::NOSPC | Errno::DQUOT => {
            "the disk (or the quota) is full; what was there is as it was: free some space".into()
        }
        Errno::ROFS => {
            "the file system is read-only: mount it writable (in a systemd service, with ReadWritePaths=)".into()
        }
        Errno::PERM if is_root() => format!("{}: {IMMUTABLE}", system(errno)),
        Errno::ACCESS | Errno::PERM => format!("{}: run certkit as root, or let its user write there", system(errno)),
        errno => system(errno),
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn system(errno: Errno) -> String {
    std::io::Error::from(errno).to_string()
}

fn shown(path: &Path) -> String {
    escape(&path.to_string_lossy()).into_owned()
}
