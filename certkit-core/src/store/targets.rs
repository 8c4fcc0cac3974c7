//! The four live links of a lineage.
//!
//! certbot's own rules: each path of the conf must be a symbolic link, and what it points to in one step must exist.
//! Targets may be relative or absolute and lie where they like: after a recovered crash certbot's links are absolute for
//! ever, and owners move archives.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, openat, readlinkat, statat};
use rustix::io::Errno;

use super::read::not_regular;
use super::{BrokenReason, Kind, StoreError};

/// How often links that look broken are looked at again: certbot replaces a link by removing it first, and another run
/// may exchange the whole folder.
const LOOKS: usize = 3;

/// The targets of the links: one step, absolute, `..` resolved by name alone as certbot does.
pub(super) fn targets(links: &[&Path; 4]) -> Result<[PathBuf; 4], BrokenReason> {
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

fn look_once(links: &[&Path; 4]) -> Result<[PathBuf; 4], BrokenReason> {
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
    let target = match below(parent, written.to_bytes()) {
        Some(target) => target,
        None => by_name(&parent.join(OsString::from_vec(written.into_bytes())))?,
    };
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
        let at = match self
            .0
            .iter()
            .position(|slot| slot.as_ref().is_some_and(|(open, _)| open.as_os_str() == path.as_os_str()))
        {
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
fn split(path: &Path) -> Option<(&Path, &OsStr)> {
    let bytes = path.as_os_str().as_bytes();
    if is_plain(bytes) {
        let slash = memchr::memrchr(b'/', bytes)?;
        let (parent, name) = (bytes.get(..slash.max(1))?, bytes.get(slash + 1..)?);
        return Some((Path::new(OsStr::from_bytes(parent)), OsStr::from_bytes(name)));
    }
    let parent = path.parent()?;
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    Some((parent, path.file_name()?))
}

/// Where a link leads that is written as certbot writes it, up and down again, in a plain folder. None for all others.
fn below(folder: &Path, written: &[u8]) -> Option<PathBuf> {
    let (mut folder, mut rest) = (folder.as_os_str().as_bytes(), written);
    if !is_plain(folder) {
        return None;
    }
    while let Some(after) = rest.strip_prefix(b"../") {
        folder = folder.get(..memchr::memrchr(b'/', folder)?)?;
        rest = after;
    }
    let target = [folder, b"/", rest].concat();
    is_plain(&target).then(|| OsString::from_vec(target).into())
}

/// Whether a path is absolute, and made of names with one slash before each: then its bytes say what its components say,
/// which takes far longer to find out. Most paths of a store are.
pub(super) fn is_plain(path: &[u8]) -> bool {
    let is_name = |name: &[u8]| !matches!(name, b"" | b"." | b"..");
    path.strip_prefix(b"/").is_some_and(|names| names.split(|byte| *byte == b'/').all(is_name))
}

/// Absolute, with `.` and `..` resolved by name alone.
pub(super) fn by_name(path: &Path) -> Result<PathBuf, StoreError> {
    let plain = |component| matches!(component, Component::RootDir | Component::Normal(_));
    if is_plain(path.as_os_str().as_bytes()) || (path.is_absolute() && path.components().all(plain)) {
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

/// The version that four targets agree on: in one folder, by whatever names it is reached, named as certbot names them, with one
/// number.
pub(super) fn common_version(targets: &[PathBuf; 4]) -> Option<crate::Version> {
    if let Some(version) = common_version_of_bytes(targets) {
        return Some(version);
    }
    let mut common = None;
    for (kind, target) in Kind::ALL.into_iter().zip(targets) {
        let (folder, version) = (target.parent()?, kind.version_of(target.file_name()?.to_str()?)?);
        let (first, common) = *common.get_or_insert((folder, version));
        if common != version || (first != folder && !is_same_folder(first, folder)) {
            return None;
        }
    }
    common.map(|(_, version)| version)
}

fn is_same_folder(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    real(one).is_some_and(|one| Some(one) == real(other))
}

/// The same where the bytes show it, for which paths need not be taken apart. None says nothing.
fn common_version_of_bytes(targets: &[PathBuf; 4]) -> Option<crate::Version> {
    let [cert, ..] = targets;
    let cert = cert.as_os_str().as_bytes();
    let folder = cert.get(..=memchr::memrchr(b'/', cert)?)?;
    let mut common = None;
    for (kind, target) in Kind::ALL.into_iter().zip(targets) {
        let file = target.as_os_str().as_bytes().strip_prefix(folder)?;
        let version = kind.version_of(std::str::from_utf8(file).ok()?)?;
        if *common.get_or_insert(version) != version {
            return None;
        }
    }
    common
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the standard library says of the same.
    fn slowly(folder: &Path, written: &str) -> PathBuf {
        let mut out = PathBuf::from("/");
        for component in folder.join(written).components() {
            match component {
                Component::ParentDir => {
                    out.pop();
                }
                Component::CurDir => {}
                other => out.push(other),
            }
        }
        out
    }

    #[test]
    fn links_as_certbot_writes_them_are_resolved_at_once() {
        let folder = Path::new("/etc/letsencrypt/live/a.example");
        for (written, target) in [
            ("../../archive/a.example/cert1.pem", Some("/etc/letsencrypt/archive/a.example/cert1.pem")),
            ("cert1.pem", Some("/etc/letsencrypt/live/a.example/cert1.pem")),
            ("../../../../x", Some("/x")),
            ("../../../../../x", None),
            ("/etc/x", None),
            ("../..", None),
            ("a/../b", None),
            ("./a", None),
            ("a//b", None),
            ("a/", None),
            ("", None),
        ] {
            assert_eq!(below(folder, written.as_bytes()).as_deref(), target.map(Path::new), "{written}");
        }
        assert_eq!(below(Path::new("live"), b"../x"), None);
    }

    proptest! {
        #[test]
        fn what_the_bytes_say_is_what_the_components_say(folder in "(/(a|b\\.c|\\.\\.?)?){0,4}", written in "((\\.\\./)?|/)((a|\\.|b\\.\\.|\\.\\.)/?){0,4}") {
            let path = Path::new(&folder);
            if let Some(target) = below(path, written.as_bytes()) {
                let expected = slowly(path, &written);
                prop_assert_eq!(target.as_os_str(), expected.as_os_str());
            }
            let whole = path.join(&written);
            if is_plain(whole.as_os_str().as_bytes()) {
                let (parent, name) = split(&whole).unwrap();
                let expected = (whole.parent().unwrap().as_os_str(), whole.file_name().unwrap());
                prop_assert_eq!((parent.as_os_str(), name), expected);
                prop_assert_eq!(by_name(&whole).unwrap(), whole);
            }
        }
    }
}
