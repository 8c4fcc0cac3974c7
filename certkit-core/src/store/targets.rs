//! The four live links of a lineage.
//!
//! certbot's own rules: each path of the conf must be a symbolic link, and what it points to in one step must exist.
//! Targets may be relative or absolute and lie where they like: after a recovered crash certbot's links are absolute for
//! ever, and owners move archives.

use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, openat, readlinkat, statat};
use rustix::io::Errno;

use super::read::not_regular;
use super::{BrokenReason, Kind, StoreError};

/// How often links that look broken are looked at again: certbot replaces a link by removing it first, and another run
/// may exchange the whole folder.
const LOOKS: usize = 3;

/// The targets of the links: one step, absolute, `..` resolved by name alone as certbot does.
pub(super) fn targets(links: &[PathBuf; 4]) -> Result<[PathBuf; 4], BrokenReason> {
    let mut look = look_once(links);
    for _ in 1..LOOKS {
        if look.is_ok() {
            break;
        }
        std::thread::yield_now();
        look = look_once(links);
    }
    look
}

fn look_once(links: &[PathBuf; 4]) -> Result<[PathBuf; 4], BrokenReason> {
    let mut folders = Folders::default();
    // In certbot's order, so that the same link is named first.
    let [cert, privkey, chain, fullchain] = links;
    Ok([
        target(&mut folders, cert)?,
        target(&mut folders, privkey)?,
        target(&mut folders, chain)?,
        target(&mut folders, fullchain)?,
    ])
}

fn target(folders: &mut Folders, link: &Path) -> Result<PathBuf, BrokenReason> {
    let missing = || BrokenReason::MissingLink { path: link.to_owned() };
    let unreadable = |path: &Path, error: Errno| BrokenReason::Unreadable(StoreError::new("read", path, error));
    let (parent, name) = split(link).ok_or_else(missing)?;
    let folder = match folders.open(parent) {
        Ok(folder) => folder,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Err(missing()),
        Err(error) => return Err(unreadable(parent, error)),
    };
    let written = match readlinkat(folder, name, Vec::with_capacity(128)) {
        Ok(written) => written,
        Err(Errno::NOENT) => return Err(missing()),
        Err(Errno::INVAL) => return Err(BrokenReason::NotASymlink { path: link.to_owned() }),
        Err(error) => return Err(unreadable(link, error)),
    };
    let written = <std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(written.into_bytes());
    let target = absolute(&parent.join(written))?;
    let dangling = || BrokenReason::Dangling { link: link.to_owned(), target: target.clone() };
    let (parent, name) = split(&target).ok_or_else(dangling)?;
    let folder = match folders.open(parent) {
        Ok(folder) => folder,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Err(dangling()),
        Err(error) => return Err(unreadable(parent, error)),
    };
    match statat(folder, name, AtFlags::empty()) {
        Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(target),
            kind => Err(BrokenReason::Unreadable(StoreError::new("read", &target, not_regular(kind)))),
        },
        Err(Errno::NOENT | Errno::LOOP) => Err(dangling()),
        Err(error) => Err(unreadable(&target, error)),
    }
}

/// The folders opened last, links' and targets': usually one each for all four.
#[derive(Default)]
struct Folders([Option<(PathBuf, OwnedFd)>; 2]);

impl Folders {
    fn open(&mut self, path: &Path) -> Result<&OwnedFd, Errno> {
        let at = match self.0.iter().position(|slot| slot.as_ref().is_some_and(|(open, _)| open == path)) {
            Some(at) => at,
            None => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let folder = openat(CWD, path, flags, Mode::empty())?;
                self.0.swap(0, 1);
                self.0[0] = Some((path.to_owned(), folder));
                0
            }
        };
        self.0[at].as_ref().map(|(_, folder)| folder).ok_or(Errno::NOENT)
    }
}

/// Folder and name of a path; none for one that ends in `..` or is the root.
fn split(path: &Path) -> Option<(&Path, &std::ffi::OsStr)> {
    let parent = path.parent()?;
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    Some((parent, path.file_name()?))
}

/// Absolute, with `.` and `..` resolved by name alone.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, StoreError> {
    let plain = |component| matches!(component, Component::RootDir | Component::Normal(_));
    if path.is_absolute() && path.components().all(plain) {
        return Ok(path.to_owned());
    }
    let absolute = std::path::absolute(path).map_err(|error| StoreError::new("resolve", path, error))?;
    let mut out = PathBuf::with_capacity(absolute.as_os_str().len());
    for component in absolute.components() {
        match component {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            other => out.push(other),
        }
    }
    Ok(out)
}

/// The version that four targets agree on: in one folder, named as certbot names them, with one number.
pub(super) fn common_version(targets: &[PathBuf; 4]) -> Option<crate::Version> {
    let mut common = None;
    for (kind, target) in Kind::ALL.into_iter().zip(targets) {
        let here = (target.parent()?, kind.version_of(target.file_name()?.to_str()?)?);
        if common.is_some_and(|common| common != here) {
            return None;
        }
        common = Some(here);
    }
    common.map(|(_, version)| version)
}
