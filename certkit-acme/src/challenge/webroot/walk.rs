//! From a webroot down to a directory, one component at a time, so that nobody but root and the running user decides
//! where a symbolic link leads.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Stat, Uid, chownat, fchmod, fstat, mkdirat, openat, readlinkat,
};
use rustix::io::Errno;

/// A directory that was made.
#[derive(Debug)]
pub(super) struct MadeDirectory {
    pub(super) parent: OwnedFd,
    pub(super) name: OsString,
    pub(super) identity: Identity,
}

/// Which file it is, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

/// Why the directory was not reached.
#[derive(Debug)]
pub(super) enum WalkError {
    /// A system call failed at this component.
    System(OsString, Errno),
    /// A component is neither a directory nor a link.
    NotADirectory(OsString),
    /// A link belongs to somebody else.
    ForeignLink(OsString, u32),
    /// A component is missing and was not to be made.
    Missing,
}

/// What to do about missing directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IfMissing {
    /// Make them.
    Make,
    /// Stop there.
    Stop,
}

/// The next name on the way.
struct Step {
    name: OsString,
    /// Whether a link says so: what it leads to is not made.
    from_link: bool,
}

/// What the next name led to.
enum Entry {
    Directory(OwnedFd),
    Link(PathBuf),
    Missing,
}

/// Directories are opened only to go through them: they need not be readable.
const PATH_ONLY: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// Opens the webroot itself; links in its path are the administrator's and are followed.
pub(super) fn open_webroot(webroot: &Path) -> Result<OwnedFd, Errno> {
    openat(CWD, webroot, PATH_ONLY | OFlags::DIRECTORY, Mode::empty())
}

/// Goes down from the webroot. What had to be made on the way is added to `made`, also when the end is not reached.
pub(super) fn descend(
    webroot: &OwnedFd,
    below: &[&str],
    if_missing: IfMissing,
    made: &mut Vec<MadeDirectory>,
) -> Result<OwnedFd, WalkError> {
    /// As many links as the kernel follows, and as many directories that appear under our hands.
    const MAX_DETOURS: usize = 40;
    let failed = |errno| WalkError::System(".".into(), errno);
    let owner = fstat(webroot).map_err(failed)?;
    let mut directory = rustix::io::dup(webroot).map_err(failed)?;
    let mut ahead: VecDeque<Step> = below.iter().map(|name| Step { name: name.into(), from_link: false }).collect();
    let mut detours = 0;
    while let Some(step) = ahead.pop_front() {
        let at = |errno| WalkError::System(step.name.clone(), errno);
        detours += 1;
        if detours > MAX_DETOURS {
            return Err(at(Errno::LOOP));
        }
        directory = match look(&directory, &step.name)? {
            Entry::Directory(next) => {
                detours -= 1;
                next
            }
            Entry::Link(target) => {
                for component in target.components().rev() {
                    ahead.push_front(Step { name: component.as_os_str().to_owned(), from_link: true });
                }
                continue;
            }
            Entry::Missing if step.from_link => return Err(at(Errno::NOENT)),
            Entry::Missing if if_missing == IfMissing::Stop => return Err(WalkError::Missing),
            Entry::Missing => match make(&directory, &step.name, &owner) {
                Ok((next, identity)) => {
                    made.push(MadeDirectory { parent: directory, name: step.name, identity });
                    next
                }
                // Somebody made it in the meantime.
                Err(Errno::EXIST) => {
                    ahead.push_front(step);
                    continue;
                }
                Err(errno) => return Err(at(errno)),
            },
        };
    }
    Ok(directory)
}

impl Identity {
    pub(super) fn of(stat: &Stat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino }
    }
}

/// Whether root or the running user owns it.
pub(super) fn is_trusted(owner: u32) -> bool {
    owner == Uid::ROOT.as_raw() || owner == rustix::process::geteuid().as_raw()
}

fn look(directory: &OwnedFd, name: &OsStr) -> Result<Entry, WalkError> {
    let at = |errno| WalkError::System(name.to_owned(), errno);
    // The root of an absolute link, `.` and `..` are directories by their nature.
    if name == "/" {
        return openat(CWD, "/", PATH_ONLY | OFlags::DIRECTORY, Mode::empty()).map(Entry::Directory).map_err(at);
    }
    let found = match openat(directory, name, PATH_ONLY | OFlags::NOFOLLOW, Mode::empty()) {
        Ok(found) => found,
        Err(Errno::NOENT) => return Ok(Entry::Missing),
        Err(errno) => return Err(at(errno)),
    };
    // From here on the descriptor is asked, not the name: whoever owns the directory may exchange what the name means.
    let stat = fstat(&found).map_err(at)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Ok(Entry::Directory(found)),
        FileType::Symlink if is_trusted(stat.st_uid) => {
            let target = readlinkat(&found, "", Vec::new()).map_err(at)?;
            Ok(Entry::Link(OsString::from_vec(target.into_bytes()).into()))
        }
        FileType::Symlink => Err(WalkError::ForeignLink(name.to_owned(), stat.st_uid)),
        _ => Err(WalkError::NotADirectory(name.to_owned())),
    }
}

/// Makes a directory with mode 0755, whatever the umask, and the webroot's owner.
fn make(parent: &OwnedFd, name: &OsStr, webroot: &Stat) -> Result<(OwnedFd, Identity), Errno> {
    let mode = Mode::from_raw_mode(0o755);
    mkdirat(parent, name, mode)?;
    let directory =
        openat(parent, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let stat = fstat(&directory)?;
    // Between the two calls the owner of the parent could have put another directory there, one of root's for example;
    // an empty one that is ours gives nothing away.
    if stat.st_uid == rustix::process::geteuid().as_raw() && is_empty(&directory) {
        fchmod(&directory, mode)?;
        if stat.st_uid != webroot.st_uid || stat.st_gid != webroot.st_gid {
            // As with certbot this is a courtesy: only root can, and not on every file system.
            let _ = chownat(
                &directory,
                "",
                Some(Uid::from_raw(webroot.st_uid)),
                Some(Gid::from_raw(webroot.st_gid)),
                AtFlags::EMPTY_PATH,
            );
        }
    }
    Ok((directory, Identity::of(&stat)))
}

fn is_empty(directory: impl AsFd) -> bool {
    let Ok(mut entries) = Dir::read_from(directory) else { return false };
    entries.all(|entry| entry.is_ok_and(|entry| matches!(entry.file_name().to_bytes(), b"." | b"..")))
}
