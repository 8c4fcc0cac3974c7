//! Reading one file of the tree: regular files only, of bounded size, without ever waiting.

use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::buffer::spare_capacity;
use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, openat, statat};
use rustix::io::{Errno, retry_on_intr};

use super::StoreError;

/// In bytes: far above any file with certificates or a key (a certificate with 10,000 names is below 1 MiB), far below what
/// would hurt: a link to something huge is an error, not a full memory.
pub const MAX_FILE_BYTES: usize = 8 << 20;

/// Reads a file that others may have put there: a regular one (links to one are followed) of at most `max` bytes. A pipe, a
/// socket, a device or a larger file is an error, and nothing is waited for.
///
/// ```
/// use certkit_core::store::read_file;
///
/// let refused = read_file("/dev/zero".as_ref(), 1 << 20).unwrap_err();
/// assert_eq!(refused.source.to_string(), "it is a device, not a regular file");
/// ```
pub fn read_file(path: &Path, max: usize) -> Result<Vec<u8>, StoreError> {
    bounded(path, max)
}

/// Reads a regular file (links to one are followed).
pub(crate) fn regular_file(path: &Path) -> Result<Vec<u8>, StoreError> {
    bounded(path, MAX_FILE_BYTES)
}

/// Reads a regular file of at most `max` bytes.
pub(crate) fn bounded(path: &Path, max: usize) -> Result<Vec<u8>, StoreError> {
    bounded_if(path, max, |_| Ok(()))
}

/// The same, unless what `check` sees of the opened file speaks against it.
pub(crate) fn bounded_if(
    path: &Path,
    max: usize,
    check: impl FnOnce(&Stat) -> std::io::Result<()>,
) -> Result<Vec<u8>, StoreError> {
    read_in(CWD, path, path, max, check)
}

/// As [`bounded`] for a file that is named from an open folder; `path` is where it lies, for messages.
pub(super) fn bounded_in(folder: BorrowedFd<'_>, name: &Path, path: &Path, max: usize) -> Result<Vec<u8>, StoreError> {
    read_in(folder, name, path, max, |_| Ok(()))
}

fn read_in(
    folder: BorrowedFd<'_>,
    name: &Path,
    path: &Path,
    max: usize,
    check: impl FnOnce(&Stat) -> std::io::Result<()>,
) -> Result<Vec<u8>, StoreError> {
    let fail = |source: std::io::Error| StoreError::new("read", path, source);
    // Opening a pipe would wait for its other end without NONBLOCK, and a terminal would become ours without NOCTTY.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match openat(folder, name, flags, Mode::empty()) {
        Ok(file) => file,
        // What a socket or a device without a driver says to being opened.
        Err(Errno::NXIO | Errno::NODEV) => {
            let kind =
                statat(folder, name, rustix::fs::AtFlags::empty()).map(|stat| FileType::from_raw_mode(stat.st_mode));
            return Err(fail(not_regular(kind.unwrap_or(FileType::Unknown))));
        }
        Err(error) => return Err(fail(error.into())),
    };
    let stat = fstat(&file).map_err(|error| fail(error.into()))?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    if kind != FileType::RegularFile {
        return Err(fail(not_regular(kind)));
    }
    check(&stat).map_err(fail)?;
    let too_large = || {
        let text = format!("it is larger than {max} bytes");
        std::io::Error::new(std::io::ErrorKind::FileTooLarge, text)
    };
    let size = usize::try_from(stat.st_size).ok().filter(|size| *size <= max).ok_or_else(|| fail(too_large()))?;
    // One byte more than the size, so that the end is seen without growing the buffer.
    let mut bytes = Vec::with_capacity(size + 1);
    loop {
        match retry_on_intr(|| rustix::io::read(&file, spare_capacity(&mut bytes))) {
            Ok(0) => return Ok(bytes),
            Ok(_) if bytes.len() > max => return Err(fail(too_large())),
            // A regular file gives less than there is room for at its end alone; one call less for each file counts.
            Ok(_) if size > 0 && bytes.len() >= size && bytes.len() < bytes.capacity() => return Ok(bytes),
            // It grows while it is read, or a file system gives it in parts.
            Ok(_) => bytes.reserve(size.clamp(1024, 1 << 20)),
            Err(error) => return Err(fail(error.into())),
        }
    }
}

/// The error for something that is not a file with content.
pub(crate) fn not_regular(kind: FileType) -> std::io::Error {
    let what = match kind {
        FileType::Directory => "a directory",
        FileType::Fifo => "a pipe",
        FileType::Socket => "a socket",
        FileType::BlockDevice | FileType::CharacterDevice => "a device",
        FileType::Symlink => "a link",
        _ => "something else",
    };
    std::io::Error::new(std::io::ErrorKind::InvalidInput, format!("it is {what}, not a regular file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_of_bounded_size_are_read_and_nothing_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("file"), b"content").unwrap();
        std::os::unix::fs::symlink("file", at("link")).unwrap();
        std::fs::create_dir(at("dir")).unwrap();
        rustix::fs::mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        std::os::unix::net::UnixListener::bind(at("socket")).unwrap();

        assert_eq!(bounded(&at("link"), 7).unwrap(), b"content");
        let problem = |name: &str, max| bounded(&at(name), max).unwrap_err().source.to_string();
        assert_eq!(problem("file", 6), "it is larger than 6 bytes");
        assert_eq!(problem("dir", 9), "it is a directory, not a regular file");
        assert_eq!(problem("pipe", 9), "it is a pipe, not a regular file");
        assert_eq!(problem("socket", 9), "it is a socket, not a regular file");
        assert_eq!(
            bounded(Path::new("/dev/null"), 9).unwrap_err().source.to_string(),
            "it is a device, not a regular file"
        );
        assert_eq!(bounded(&at("none"), 9).unwrap_err().source.kind(), std::io::ErrorKind::NotFound);
    }
}
