//! The system calls that change a file system, and what each can fail with.

use std::fmt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::libc;

/// A call that is about to be made.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its number in the run, from 1.
    pub number: usize,
    /// Which call.
    pub kind: &'static Kind,
    /// What it changes.
    pub path: PathBuf,
    /// The second path of a renaming.
    pub other: Option<PathBuf>,
    /// The flags of an opening.
    pub flags: usize,
    /// The mode that it gives.
    pub mode: Option<u32>,
}

/// A system call.
#[derive(Debug)]
pub struct Kind {
    number: libc::c_long,
    /// Its name.
    pub name: &'static str,
    pub(crate) shape: Shape,
    pub(crate) place: Place,
    pub(crate) other: Option<Place>,
    pub(crate) flags: Option<usize>,
    pub(crate) mode: Option<usize>,
}

/// What a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// It opens, and may make.
    Open,
    /// It changes what a file holds.
    Write,
    /// It makes durable.
    Sync,
    /// It changes names.
    Name,
    /// It changes modes, owners, attributes.
    Attribute,
    /// It ends the use of a file that was written to.
    Close,
}

/// Where the arguments say what is meant.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// A path.
    Path(usize),
    /// A folder and a path in it.
    At(usize, usize),
    /// An open file.
    File(usize),
}

use Place::{At, File, Path as Named};

const KINDS: &[Kind] = &[
    Kind::new(libc::SYS_open, "open", Shape::Open, Named(0)).flags(1).mode(2),
    Kind::new(libc::SYS_openat, "openat", Shape::Open, At(0, 1)).flags(2).mode(3),
    Kind::new(libc::SYS_write, "write", Shape::Write, File(0)),
    Kind::new(libc::SYS_pwrite64, "pwrite64", Shape::Write, File(0)),
    Kind::new(libc::SYS_writev, "writev", Shape::Write, File(0)),
    Kind::new(libc::SYS_ftruncate, "ftruncate", Shape::Write, File(0)),
    Kind::new(libc::SYS_fallocate, "fallocate", Shape::Write, File(0)),
    Kind::new(libc::SYS_copy_file_range, "copy_file_range", Shape::Write, File(2)),
    Kind::new(libc::SYS_sendfile, "sendfile", Shape::Write, File(0)),
    Kind::new(libc::SYS_fsync, "fsync", Shape::Sync, File(0)),
    Kind::new(libc::SYS_fdatasync, "fdatasync", Shape::Sync, File(0)),
    Kind::new(libc::SYS_rename, "rename", Shape::Name, Named(0)).other(Named(1)),
    Kind::new(libc::SYS_renameat, "renameat", Shape::Name, At(0, 1)).other(At(2, 3)),
    Kind::new(libc::SYS_renameat2, "renameat2", Shape::Name, At(0, 1)).other(At(2, 3)).flags(4),
    Kind::new(libc::SYS_symlink, "symlink", Shape::Name, Named(1)),
    Kind::new(libc::SYS_symlinkat, "symlinkat", Shape::Name, At(1, 2)),
    Kind::new(libc::SYS_link, "link", Shape::Name, Named(0)).other(Named(1)),
    Kind::new(libc::SYS_linkat, "linkat", Shape::Name, At(0, 1)).other(At(2, 3)),
    Kind::new(libc::SYS_unlink, "unlink", Shape::Name, Named(0)),
    Kind::new(libc::SYS_unlinkat, "unlinkat", Shape::Name, At(0, 1)),
    Kind::new(libc::SYS_rmdir, "rmdir", Shape::Name, Named(0)),
    Kind::new(libc::SYS_mkdir, "mkdir", Shape::Name, Named(0)),
    Kind::new(libc::SYS_mkdirat, "mkdirat", Shape::Name, At(0, 1)),
    Kind::new(libc::SYS_chmod, "chmod", Shape::Attribute, Named(0)).mode(1),
    Kind::new(libc::SYS_fchmod, "fchmod", Shape::Attribute, File(0)).mode(1),
    Kind::new(libc::SYS_fchmodat, "fchmodat", Shape::Attribute, At(0, 1)).mode(2),
    Kind::new(libc::SYS_chown, "chown", Shape::Attribute, Named(0)),
    Kind::new(libc::SYS_fchown, "fchown", Shape::Attribute, File(0)),
    Kind::new(libc::SYS_fchownat, "fchownat", Shape::Attribute, At(0, 1)),
    Kind::new(libc::SYS_fsetxattr, "fsetxattr", Shape::Attribute, File(0)),
    Kind::new(libc::SYS_close, "close", Shape::Close, File(0)),
];

impl Kind {
    const fn new(number: libc::c_long, name: &'static str, shape: Shape, place: Place) -> Self {
        Self { number, name, shape, place, other: None, flags: None, mode: None }
    }

    const fn other(self, place: Place) -> Self {
        Self { other: Some(place), ..self }
    }

    const fn flags(self, index: usize) -> Self {
        Self { flags: Some(index), ..self }
    }

    const fn mode(self, index: usize) -> Self {
        Self { mode: Some(index), ..self }
    }

    /// The call of this number, where it changes something.
    pub(crate) fn of(number: u64) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.number.cast_unsigned() == number)
    }

    /// What it is about.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The errors among those of the matrix that it really returns on some file system, by its manual page.
    pub fn usual_errors(&self) -> &'static [Errno] {
        use Errno::{EACCES, EDQUOT, EINTR, EIO, EMFILE, ENOSPC, EROFS};
        match self.shape {
            Shape::Open => &[ENOSPC, EMFILE, EACCES, EROFS, EIO, EDQUOT, EINTR],
            Shape::Write => &[ENOSPC, EIO, EDQUOT, EINTR],
            Shape::Sync => &[EIO, ENOSPC, EDQUOT, EROFS],
            Shape::Name => &[EROFS, ENOSPC, EIO, EACCES, EDQUOT],
            Shape::Attribute => &[EROFS, EIO, EACCES],
            Shape::Close => &[EIO, EDQUOT, ENOSPC, EINTR],
        }
    }
}

impl Call {
    /// Whether it changes something in the folder.
    pub fn touches(&self, folder: &Path) -> bool {
        self.path.starts_with(folder) || self.other.as_ref().is_some_and(|other| other.starts_with(folder))
    }

    /// Whether a death after it leaves another tree than a death before it.
    pub fn changes_tree(&self) -> bool {
        match self.kind.shape {
            Shape::Open => self.flags & libc::O_CREAT as usize != 0,
            Shape::Write | Shape::Name | Shape::Attribute => true,
            Shape::Sync | Shape::Close => false,
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "call {}, {} {}", self.number, self.kind.name, self.path.display())?;
        match &self.other {
            Some(other) => write!(formatter, " to {}", other.display()),
            None => Ok(()),
        }
    }
}

/// Whether an opening can change something.
pub(crate) fn makes_or_opens_for_writing(flags: usize) -> bool {
    let flags = flags as i32;
    flags & (libc::O_CREAT | libc::O_TRUNC) != 0 || flags & libc::O_ACCMODE != libc::O_RDONLY
}
