//! Who else can read a private key.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use certkit_core::FindingCode as Code;

use super::fault::{Fault, Look};
use super::sound::Sound;

fn key(sound: &Sound<'_>) -> PathBuf {
    sound.in_store("archive/a.example/privkey1.pem")
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Everybody may go through the folders above it.
fn open_folders(sound: &Sound<'_>) {
    for folder in ["", "etc", "etc/archive", "etc/archive/a.example"] {
        mode(&sound.host.at(folder), 0o755);
    }
}

pub(super) const FAULTS: &[Fault] = &[
    Fault::warning(Code::PrivateKeyReadable, |sound| {
        open_folders(sound);
        mode(&key(sound), 0o644);
    })
    .says(&["privkey1.pem", "mode 0644, for everybody"])
    .cure("chmod o-rwx /")
    .seen(Look::Here),
    Fault::notice(Code::PrivateKeyReadable, |sound| mode(&key(sound), 0o644))
        .says(&["privkey1.pem", "for now the folder", "lets nobody else through"])
        .cure("chmod o-rwx /")
        .seen(Look::Here),
    Fault::notice(Code::PrivateKeyForGroup, |sound| {
        open_folders(sound);
        mode(&key(sound), 0o640);
        chown(key(sound), None, Some(1)).unwrap();
    })
    .says(&["privkey1.pem", "group daemon: daemon"])
    .cure("chmod g-rwx /")
    .seen(Look::Here),
    // The mode says 0640 and the group is root's: the list alone tells who reads it.
    Fault::notice(Code::PrivateKeyForGroup, |sound| {
        open_folders(sound);
        let entries = [(1, 6, u32::MAX), (2, 4, 1), (4, 0, u32::MAX), (0x10, 4, u32::MAX), (0x20, 0, u32::MAX)];
        let mut list = vec![2, 0, 0, 0];
        for (tag, permissions, id) in entries {
            list.extend([tag, 0, permissions, 0]);
            list.extend(id.to_le_bytes());
        }
        let flags = rustix::fs::XattrFlags::empty();
        let set = rustix::fs::setxattr(key(sound), "system.posix_acl_access", &list, flags);
        set.expect("the file system of temporary files has no access lists");
    })
    .says(&["privkey1.pem", "its access list lets read: user daemon"])
    .cure("setfacl -b /")
    .seen(Look::Here),
    Fault::warning(Code::PrivateKeyOfAnother, |sound| chown(key(sound), Some(65534), None).unwrap())
        .says(&["privkey1.pem", "nobody"])
        .cure("chown root /")
        .seen(Look::Here),
];
