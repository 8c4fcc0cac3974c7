//! certkit.log: what each run said and did, one line each, bounded.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use certkit_core::escape;
use chrono::{DateTime, SecondsFormat, Utc};
use rustix::fs::OFlags;

/// Beyond this the file becomes `certkit.log.1`, so that both together stay below 2 MiB.
const MAX_BYTES: u64 = 1024 * 1024;

/// An open log. Lines of several processes do not mix: each is one append.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    clock: fn() -> DateTime<Utc>,
    max_bytes: u64,
    file: Mutex<Option<File>>,
}

impl Log {
    /// Opens `certkit.log` in the directory, which is made (0700) when it is missing.
    pub(crate) fn open(directory: &Path, clock: fn() -> DateTime<Utc>) -> io::Result<Self> {
        Self::open_bounded(directory, clock, MAX_BYTES)
    }

    fn open_bounded(directory: &Path, clock: fn() -> DateTime<Utc>, max_bytes: u64) -> io::Result<Self> {
        if !directory.exists() {
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
            // Whatever the umask is.
            std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))?;
        }
        let path = directory.join("certkit.log");
        let file = open_file(&path)?;
        Ok(Self { path, clock, max_bytes, file: Mutex::new(Some(file)) })
    }

    /// Appends the lines of a text. What cannot be written is lost: the log must never stop a renewal.
    pub(crate) fn line(&self, level: &str, text: &str) {
        let mut guard = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let now = (self.clock)().to_rfc3339_opts(SecondsFormat::Secs, true);
        let process = std::process::id();
        // logrotate moves the file away under a process that runs for months (Debian's certbot package has it do so).
        if !self.is_ours(guard.as_ref())
            && let Ok(file) = open_file(&self.path)
        {
            *guard = Some(file);
        }
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let Some(file) = guard.as_mut() else { return };
            let entry = format!("{now} [{process}] {level}: {}\n", escape(line));
            let _ = file.write_all(entry.as_bytes());
            if file.metadata().is_ok_and(|meta| meta.len() > self.max_bytes) {
                *guard = self.rotate(guard.take());
            }
        }
    }

    /// Only when the file is still the one at our path: another process may have rotated it meanwhile.
    fn rotate(&self, current: Option<File>) -> Option<File> {
        if self.is_ours(current.as_ref()) {
            let _ = std::fs::rename(&self.path, self.path.with_extension("log.1"));
        }
        open_file(&self.path).ok().or(current)
    }

    fn is_ours(&self, current: Option<&File>) -> bool {
        let ours = current.and_then(|file| file.metadata().ok()).map(|meta| (meta.dev(), meta.ino()));
        let at_path = std::fs::symlink_metadata(&self.path).ok().map(|meta| (meta.dev(), meta.ino()));
        ours == at_path
    }
}

/// 0600 from its first byte; a symbolic link in its place is not followed, and a pipe not waited for.
fn open_file(path: &Path) -> io::Result<File> {
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or_default();
    let file = OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    // Others' rights are taken away, and the owner's given where the umask took them.
    if meta.permissions().mode() & 0o777 != 0o600 {
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    #[test]
    fn lines_have_a_time_and_nothing_steers_a_terminal() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::open(&dir.path().join("a/b"), clock).unwrap();
        log.line("info", "one\ntwo \x1b[2J\n");
        let path = dir.path().join("a/b/certkit.log");
        let process = std::process::id();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            format!(
                "2027-01-15T08:00:00Z [{process}] info: one\n2027-01-15T08:00:00Z [{process}] info: two \\u{{1b}}[2J\n"
            )
        );
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(dir.path().join("a/b")).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_file_without_rights_gets_its_owners_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("certkit.log");
        for mode in [0o000, 0o644, 0o200] {
            File::create(&path).unwrap().set_permissions(std::fs::Permissions::from_mode(mode)).unwrap();
            // Who is not root could not open it at all, which is what a new file under such a umask does not need.
            if Log::open(dir.path(), clock).is_ok() {
                assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            }
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn it_is_bounded_and_keeps_one_predecessor() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::open_bounded(dir.path(), clock, 500).unwrap();
        for _ in 0..100 {
            log.line("info", "x");
        }
        let size = |name: &str| std::fs::metadata(dir.path().join(name)).unwrap().len();
        assert!(size("certkit.log") <= 500 && size("certkit.log.1") <= 600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::open(dir.path(), clock).unwrap();
        log.line("info", "before");
        let path = dir.path().join("certkit.log");
        std::fs::rename(&path, dir.path().join("certkit.log.3")).unwrap();
        log.line("info", "after");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("after") && !text.contains("before"), "{text}");
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = dir.path().join("precious");
        std::fs::write(&elsewhere, "keep").unwrap();
        std::os::unix::fs::symlink(&elsewhere, dir.path().join("certkit.log")).unwrap();
        assert!(Log::open(dir.path(), clock).is_err());
        assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), "keep");
    }
}
