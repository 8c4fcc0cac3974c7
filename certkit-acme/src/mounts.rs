//! What is mounted where, as the system tells (proc_pid_mountinfo(5)).

use std::fs;
use std::path::{Path, PathBuf};

use certkit_core::store::FileSystem;
use rustix::fs::statvfs;

/// Where this process sees its mounts.
const MOUNTINFO: &str = "/proc/self/mountinfo";

/// The file system on which something lies, or would be made; none where the system does not tell.
pub(crate) fn file_system_of(path: &Path) -> Option<FileSystem> {
    let mount = Mount::of(path, &fs::read_to_string(MOUNTINFO).ok()?)?;
    let files_left = statvfs(existing(path)).ok().filter(|found| found.f_files > 0).map(|found| found.f_favail);
    Some(FileSystem::new(mount.at, mount.kind, files_left))
}

/// The folder, or the nearest one above it that is there.
pub(crate) fn existing(folder: &Path) -> PathBuf {
    folder.ancestors().find(|path| path.exists()).unwrap_or_else(|| Path::new("/")).to_owned()
}

/// A line of mountinfo: `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`.
pub(crate) struct Mount {
    pub(crate) at: PathBuf,
    pub(crate) kind: String,
    pub(crate) is_read_only: bool,
}

impl Mount {
    /// The one that a folder lies on, by the mounts of a process.
    pub(crate) fn of(folder: &Path, mountinfo: &str) -> Option<Self> {
        let existing = existing(folder);
        let real = fs::canonicalize(&existing).unwrap_or(existing);
        let mounts = mountinfo.lines().filter_map(Self::read).filter(|mount| real.starts_with(&mount.at));
        // Of two on the same place the later one counts.
        mounts.max_by_key(|mount| mount.at.as_os_str().len())
    }

    fn read(line: &str) -> Option<Self> {
        let (mount, system) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(4);
        let (at, options) = (fields.next()?, fields.next()?);
        let mut system = system.split(' ');
        let kind = system.next()?.to_owned();
        let super_options = system.nth(1).unwrap_or_default();
        let has_ro = |options: &str| options.split(',').any(|option| option == "ro");
        Some(Self { at: unescaped(at).into(), kind, is_read_only: has_ro(options) || has_ro(super_options) })
    }
}

/// Blanks, tabs, newlines and backslashes are written in octal.
fn unescaped(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}
