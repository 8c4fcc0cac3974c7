//! Whether there is room for a new version, and whether the store may be written and is kept.

use std::io;
use std::path::Path;

use certkit_core::store::remount_cure;
use certkit_core::words::shell_word;
use certkit_core::{Finding, FindingCode, Severity, escape};
use rustix::fs::{Access, access, statvfs};

use super::{Check, Examined};
use crate::mounts::{Mount, existing};

/// What is left on a file system, for a user without privileges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Room {
    /// Bytes.
    pub bytes: u64,
    /// Files that can still be made; none where the file system knows no such number (btrfs).
    pub files: Option<u64>,
}

impl Room {
    /// So many bytes and files are left.
    pub fn new(bytes: u64, files: Option<u64>) -> Self {
        Self { bytes, files }
    }
}

const MIB: u64 = 1024 * 1024;
/// certkit.log grows to 2 MiB, a version takes some 20 KiB and is written beside the old one: below this a run fails.
const FEWEST_BYTES: u64 = 4 * MIB;
/// Logs of a machine that fills up grow by this in hours.
const FEW_BYTES: u64 = 64 * MIB;
/// A renewal makes four files of a version, its temporary ones, links, the order's journal and the state.
const FEWEST_FILES: u64 = 64;
/// The renewals of some dozens of certificates.
const FEW_FILES: u64 = 1024;

/// Whether there is room in a folder (or where it would be made) for the next renewals.
pub fn check_room(folder: &Path) -> Examined {
    let shown = folder.to_string_lossy();
    match statvfs(existing(folder)) {
        Ok(found) => {
            let files = (found.f_files > 0).then_some(found.f_favail);
            Examined::found(Check::Room, &shown, judge_room(folder, Room::new(found.f_bavail * found.f_frsize, files)))
        }
        Err(errno) => Examined::not_checked(Check::Room, &shown, io::Error::from(errno).to_string()),
    }
}

/// What is to be said of so much room in a folder.
pub fn judge_room(folder: &Path, room: Room) -> Vec<Finding> {
    let shown = folder.to_string_lossy();
    let mut findings = Vec::new();
    if room.bytes < FEW_BYTES {
        let left =
            if room.bytes < MIB { format!("{} KiB", room.bytes / 1024) } else { format!("{} MiB", room.bytes / MIB) };
        let severity = if room.bytes < FEWEST_BYTES { Severity::Error } else { Severity::Warning };
        let cure = format!("free some space: df -h {} tells how much is used", shell_word(&shown));
        findings.push(
            Finding::new(FindingCode::DiskNearlyFull, &shown, format!("{left} left"))
                .with_severity(severity)
                .with_cure(cure),
        );
    }
    if let Some(files) = room.files.filter(|files| *files < FEW_FILES) {
        let severity = if files < FEWEST_FILES { Severity::Error } else { Severity::Warning };
        let cure = format!("remove files that nobody needs: df -i {} tells how many there are", shell_word(&shown));
        findings.push(
            Finding::new(FindingCode::InodesNearlyUsed, &shown, format!("room for {files} more"))
                .with_severity(severity)
                .with_cure(cure),
        );
    }
    findings
}

/// Whether the file system of a folder is writable and kept, by the mounts of this machine (proc_pid_mountinfo(5)).
pub fn check_mount(folder: &Path, mountinfo: &str) -> Examined {
    let shown = folder.to_string_lossy();
    let Some(mount) = Mount::of(folder, mountinfo) else {
        return Examined::not_checked(Check::Mount, &shown, "the mounts of this machine do not tell where it is");
    };
    let at = escape(&mount.at.to_string_lossy()).into_owned();
    let kind = escape(&mount.kind).into_owned();
    let mut findings = Vec::new();
    if mount.is_read_only {
        let finding = Finding::new(FindingCode::StoreReadOnly, &shown, format!("{at} ({kind})"));
        findings.push(finding.with_cure(remount_cure(&mount.at)));
    }
    match mount.kind.as_str() {
        "tmpfs" | "ramfs" => {
            let evidence = format!("{at} is a {kind}, in memory");
            findings.push(Finding::new(FindingCode::StoreNotKept, &shown, evidence).with_severity(Severity::Error));
        }
        "overlay" | "aufs" => {
            let evidence = format!("{at} is an {kind}, as containers have: it goes with the container");
            findings.push(Finding::new(FindingCode::StoreNotKept, &shown, evidence));
        }
        "nfs" | "nfs4" | "cifs" | "smb3" | "9p" | "ceph" | "glusterfs" | "fuse.sshfs" | "fuse.glusterfs" => {
            findings.push(Finding::new(FindingCode::StoreOnNetwork, &shown, format!("{at} ({kind})")));
        }
        _ => {}
    }
    Examined::found(Check::Mount, &shown, findings)
}

/// Whether the user who runs this may write to a folder, or make it.
pub fn check_writable(folder: &Path) -> Examined {
    let shown = folder.to_string_lossy();
    let existing = existing(folder);
    match access(&existing, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Examined::fine(Check::Writable, &shown),
        // The mount tells it better.
        Err(rustix::io::Errno::ROFS) => Examined::not_checked(Check::Writable, &shown, "the file system is read-only"),
        Err(errno) => {
            let user = super::key_access::user(rustix::process::geteuid().as_raw());
            let evidence =
                format!("{} for the user {user}: {}", escape(&existing.to_string_lossy()), io::Error::from(errno));
            Examined::found(
                Check::Writable,
                &shown,
                vec![Finding::new(FindingCode::StoreNotWritable, &shown, evidence)],
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::Examination;
    use super::*;

    fn codes(examined: &Examined) -> Vec<FindingCode> {
        match &examined.outcome {
            Examination::Found(findings) => findings.iter().map(|finding| finding.code).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn little_room_is_told_before_there_is_none() {
        let said = |bytes: u64, files: Option<u64>| {
            let findings = judge_room(Path::new("/etc/letsencrypt"), Room::new(bytes, files));
            findings.into_iter().map(|one| (one.code, one.severity, one.evidence)).collect::<Vec<_>>()
        };
        assert!(said(65 * MIB, Some(1024)).is_empty() && said(u64::MAX, None).is_empty());
        assert_eq!(said(63 * MIB, None), [(FindingCode::DiskNearlyFull, Severity::Warning, "63 MiB left".into())]);
        assert_eq!(said(2048, None), [(FindingCode::DiskNearlyFull, Severity::Error, "2 KiB left".into())]);
        assert_eq!(
            said(u64::MAX, Some(1000)),
            [(FindingCode::InodesNearlyUsed, Severity::Warning, "room for 1000 more".into())]
        );
        assert_eq!(said(u64::MAX, Some(3))[0].1, Severity::Error);
    }

    #[test]
    fn the_mount_that_counts_is_the_innermost_one() {
        let folder = tempfile::tempdir().unwrap();
        let inner = fs::canonicalize(folder.path()).unwrap();
        let inner = inner.join("a b");
        fs::create_dir(&inner).unwrap();
        let line =
            |at: &str, options: &str, kind: &str| format!("36 35 98:0 / {at} {options} master:1 - {kind} /dev/x rw\n");
        let at = inner.to_str().unwrap().replace(' ', "\\040");
        let root = line("/", "rw", "ext4");
        assert!(codes(&check_mount(&inner, &root)).is_empty());
        let of =
            |options: &str, kind: &str| codes(&check_mount(&inner, &format!("{root}{}", line(&at, options, kind))));
        assert_eq!(of("ro,noatime", "ext4"), [FindingCode::StoreReadOnly]);
        assert_eq!(of("rw", "tmpfs"), [FindingCode::StoreNotKept]);
        assert_eq!(of("rw", "nfs4"), [FindingCode::StoreOnNetwork]);
        assert_eq!(of("rw", "overlay"), [FindingCode::StoreNotKept]);
        assert!(of("rw", "xfs").is_empty());
        // Elsewhere it does not matter.
        assert!(codes(&check_mount(Path::new("/"), &format!("{root}{}", line(&at, "ro", "tmpfs")))).is_empty());
        assert!(matches!(check_mount(&inner, "nonsense").outcome, Examination::NotChecked { .. }));
    }
}
