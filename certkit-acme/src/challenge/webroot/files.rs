//! Token files, counted: the file goes with its last user.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{Access, AtFlags, FileType, Mode, OFlags, accessat, fchmod, fstat, openat, statat, unlinkat};
use rustix::io::Errno;

use super::super::Token;
use super::walk::{self, Identity, IfMissing, MadeDirectory, WalkError};

/// The token files of a run. Clones share them.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct TokenFiles(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    /// By directory (whatever path led to it) and token.
    files: HashMap<(Identity, Token), Written>,
    /// In the order in which they were made.
    made: Vec<MadeDirectory>,
}

#[derive(Debug)]
struct Written {
    directory: Arc<OwnedFd>,
    identity: Identity,
    content: String,
    users: usize,
}

/// One use of a token file.
#[derive(Debug)]
pub(super) struct Presented {
    webroot: PathBuf,
    directory: Identity,
    token: Token,
}

/// Why a token file could not be written or removed.
#[derive(Debug)]
pub(super) enum WriteError {
    /// The webroot cannot be opened.
    Webroot(Errno),
    /// The directory below it cannot be reached.
    Walk(WalkError),
    /// The file itself.
    File(Errno),
    /// A file of this name is there and is not ours to replace.
    Occupied,
    /// Another account was given the same token.
    TokenClash,
}

/// RFC 8555 section 8.3.
const BELOW: [&str; 2] = [".well-known", "acme-challenge"];

impl Presented {
    pub(super) fn is(&self, webroot: &Path, token: &Token) -> bool {
        self.webroot == webroot && self.token == *token
    }
}

impl TokenFiles {
    /// Writes the file, or counts one more user of it.
    pub(super) fn present(&self, webroot: &Path, token: &Token, content: &str) -> Result<Presented, WriteError> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let root = walk::open_webroot(webroot).map_err(WriteError::Webroot)?;
        let result = walk::descend(&root, &BELOW, IfMissing::Make, &mut inner.made)
            .map_err(WriteError::Walk)
            .and_then(|directory| inner.write(directory, token, content));
        inner.remove_made();
        result.map(|directory| Presented { webroot: webroot.to_owned(), directory, token: token.clone() })
    }

    /// Removes the file with its last user, and the directories that were made for it.
    pub(super) fn withdraw(&self, presented: Presented) -> Result<(), WriteError> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (presented.directory, presented.token);
        let Some(written) = inner.files.get_mut(&key) else { return Ok(()) };
        written.users = written.users.saturating_sub(1);
        if written.users > 0 {
            return Ok(());
        }
        let Some(written) = inner.files.remove(&key) else { return Ok(()) };
        let result = written.remove(&key.1);
        drop(written);
        inner.remove_made();
        result.map_err(WriteError::File)
    }

    /// Removes a file that a killed run has left: a regular file of root or this user with exactly this content.
    pub(super) fn remove_leftover(&self, webroot: &Path, token: &Token, content: &str) -> Result<(), WriteError> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What cannot be reached cannot hold a leftover that matters.
        let Ok(root) = walk::open_webroot(webroot) else { return Ok(()) };
        let Ok(directory) = walk::descend(&root, &BELOW, IfMissing::Stop, &mut Vec::new()) else { return Ok(()) };
        let Ok(stat) = fstat(&directory) else { return Ok(()) };
        if inner.files.contains_key(&(Identity::of(&stat), token.clone())) {
            return Ok(());
        }
        if ours(&directory, token).is_some() && holds(&directory, token, content) {
            return unlinkat(&directory, token.as_str(), AtFlags::empty()).map_err(WriteError::File);
        }
        Ok(())
    }
}

/// Whether a file could be written, as far as can be seen without doing it: what exists of the way down may be walked,
/// and its end may be written to.
pub(super) fn check(webroot: &Path) -> Result<(), WriteError> {
    let root = walk::open_webroot(webroot).map_err(WriteError::Webroot)?;
    let mut below = BELOW.as_slice();
    loop {
        match walk::descend(&root, below, IfMissing::Stop, &mut Vec::new()) {
            Ok(deepest) => {
                let needed = Access::WRITE_OK | Access::EXEC_OK;
                return accessat(&deepest, ".", needed, AtFlags::EACCESS).map_err(WriteError::File);
            }
            // What is missing will be made in the directory above it.
            Err(WalkError::Missing) => below = below.split_last().map_or(&[], |(_, above)| above),
            Err(error) => return Err(WriteError::Walk(error)),
        }
    }
}

impl Inner {
    fn write(&mut self, directory: OwnedFd, token: &Token, content: &str) -> Result<Identity, WriteError> {
        let place = Identity::of(&fstat(&directory).map_err(WriteError::File)?);
        let key = (place, token.clone());
        if let Some(written) = self.files.get_mut(&key) {
            if written.content != content {
                return Err(WriteError::TokenClash);
            }
            if ours(&written.directory, token) == Some(written.identity) {
                written.users = written.users.saturating_add(1);
                return Ok(place);
            }
            // Somebody has removed or replaced it: it is written again, with its users.
        }
        let identity = create(&directory, token, content)?;
        let directory = match self.files.iter().find(|((known, _), _)| *known == place) {
            Some((_, written)) => Arc::clone(&written.directory),
            None => Arc::new(directory),
        };
        let users = self.files.get(&key).map_or(0, |written| written.users).saturating_add(1);
        self.files.insert(key, Written { directory, identity, content: content.to_owned(), users });
        Ok(place)
    }

    /// Removes the directories that were made and are empty, the innermost first. Those that hold something stay: with
    /// the last token they are forgotten.
    fn remove_made(&mut self) {
        let mut kept = Vec::new();
        while let Some(made) = self.made.pop() {
            let there = statat(&made.parent, made.name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW);
            if there.is_ok_and(|stat| Identity::of(&stat) == made.identity)
                && unlinkat(&made.parent, made.name.as_os_str(), AtFlags::REMOVEDIR).is_err()
            {
                kept.insert(0, made);
            }
        }
        if !self.files.is_empty() {
            self.made = kept;
        }
    }
}

impl Written {
    fn remove(&self, token: &Token) -> Result<(), Errno> {
        // Only what we made: somebody else's file of the same name stays.
        match statat(&*self.directory, token.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if Identity::of(&stat) == self.identity => {
                unlinkat(&*self.directory, token.as_str(), AtFlags::empty())
            }
            Ok(_) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}

/// A new file, readable by the web server whatever the umask. A regular file of root or this user with this name is a
/// leftover and gives way.
fn create(directory: &OwnedFd, token: &Token, content: &str) -> Result<Identity, WriteError> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o644);
    let open = || openat(directory, token.as_str(), flags, mode);
    let file = match open() {
        Err(Errno::EXIST) if ours(directory, token).is_some() => {
            unlinkat(directory, token.as_str(), AtFlags::empty()).and_then(|()| open())
        }
        result => result,
    };
    let file = match file {
        Ok(file) => file,
        Err(Errno::EXIST) => return Err(WriteError::Occupied),
        Err(errno) => return Err(WriteError::File(errno)),
    };
    let written = fchmod(&file, mode).and_then(|()| fstat(&file)).map_err(WriteError::File).and_then(|stat| {
        let result = File::from(file).write_all(content.as_bytes());
        result.map_err(|error| WriteError::File(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
        Ok(Identity::of(&stat))
    });
    if written.is_err() {
        let _ = unlinkat(directory, token.as_str(), AtFlags::empty());
    }
    written
}

/// The file of this name, when it is a regular one that belongs to root or this user.
fn ours(directory: &OwnedFd, token: &Token) -> Option<Identity> {
    let stat = statat(directory, token.as_str(), AtFlags::SYMLINK_NOFOLLOW).ok()?;
    let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    (regular && walk::is_trusted(stat.st_uid)).then(|| Identity::of(&stat))
}

fn holds(directory: &OwnedFd, token: &Token, content: &str) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(file) = openat(directory, token.as_str(), flags, Mode::empty()) else { return false };
    let limit = u64::try_from(content.len()).unwrap_or(u64::MAX).saturating_add(1);
    let mut found = Vec::new();
    File::from(file).take(limit).read_to_end(&mut found).is_ok() && found == content.as_bytes()
}

impl WriteError {
    /// Why, and what to do about it.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Webroot(Errno::NOENT) => {
                "the webroot does not exist: create it, or name another with --webroot -w DIR".into()
            }
            Self::Webroot(Errno::NOTDIR) => {
                "the webroot is not a directory: name the document root with --webroot -w DIR".into()
            }
            Self::Webroot(errno) => format!("the webroot cannot be opened: {}", system(*errno)),
            Self::Walk(WalkError::System(name, Errno::NOENT)) => format!(
                "a symbolic link below it leads to {}, which does not exist: create it or remove the link",
                shown(name)
            ),
            Self::Walk(WalkError::System(name, errno)) => format!("at {}: {}", shown(name), system(*errno)),
            Self::Walk(WalkError::NotADirectory(name)) => {
                format!("{} below it is not a directory: move it away", shown(name))
            }
            Self::Walk(WalkError::ForeignLink(name, owner)) => format!(
                "{} below it is a symbolic link that belongs to user {owner} and is not followed: replace it by a directory, or make it root's (chown -h root)",
                shown(name)
            ),
            Self::Walk(WalkError::Missing) => "the challenge directory is missing".into(),
            Self::File(errno) => format!("the challenge file cannot be written: {}", system(*errno)),
            Self::Occupied => {
                "something that belongs to another user has the name of the challenge file: remove it from .well-known/acme-challenge".into()
            }
            Self::TokenClash => "two accounts were given the same challenge token".into(),
        }
    }
}

fn shown(name: &OsStr) -> String {
    name.to_string_lossy().into_owned()
}

fn system(errno: Errno) -> String {
    match errno {
        Errno::ROFS => "the file system is read-only: mount it writable, or use another webroot".into(),
        Errno::ACCESS => "this user may not: run as root or as the owner of the webroot".into(),
        Errno::PERM => {
            "this user may not: run as root or as the owner of the webroot; where even root may not, it is immutable \
             (lsattr -d tells, chattr -i lifts it)"
                .into()
        }
        Errno::NOSPC | Errno::DQUOT => "the disk (or the quota) is full: free some space".into(),
        errno => std::io::Error::from(errno).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use certkit_core::{Identifier, IdentifierSet};

    use super::*;
    use crate::challenge::{Challenge, ChallengeKind, Solver as _, WebrootSolver};

    /// A file system that hangs (a dead NFS server) must not stop the responder and the signal handling, which live on the
    /// same thread. The table's lock stands in for it.
    #[tokio::test(flavor = "current_thread")]
    async fn other_tasks_go_on_while_a_webroot_hangs() {
        let root = tempfile::tempdir().unwrap();
        let files = TokenFiles::default();
        let solver = WebrootSolver::build(Vec::new(), Some(root.path().to_owned()), files.clone());
        let token = Token::parse("t").unwrap();
        let name = Identifier::parse("a.example").unwrap();
        let all = [Challenge::new(name, false, ChallengeKind::Http01, token, "t.x".into())];
        let none = IdentifierSet::default();
        let mut works = [solver.present(&all, &none), solver.withdraw(&all)].into_iter();
        while let Some(mut work) = works.next() {
            let (hung, hanging) = std::sync::mpsc::channel();
            let table = files.clone();
            let server = std::thread::spawn(move || {
                let held = table.0.lock().unwrap();
                hung.send(()).unwrap();
                std::thread::sleep(Duration::from_millis(500));
                drop(held);
            });
            hanging.recv().unwrap();
            tokio::select! {
                biased;
                _ = &mut work => panic!("the thread was blocked ({} to go)", works.len()),
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
            work.await.unwrap();
            server.join().unwrap();
        }
        assert!(!root.path().join(".well-known").exists());
    }
}
