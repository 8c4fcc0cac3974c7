//! Where the store lies, who may write to it, and who is at work.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use certkit_core::FindingCode as Code;
use testkit::CertbotLock;
use testkit::process::MOUNT_REFUSED;

use super::fault::{Fault, Look};
use super::sound::Sound;

/// The tree of the store is a file system of its own, as /proc/self/mountinfo tells it.
fn mounted(sound: &Sound<'_>, options: &str, kind: &str) {
    let etc = sound.host.at("etc");
    let line = format!("22 1 254:0 / / rw - ext4 /dev/vda rw\n40 22 0:50 / {} {options} - {kind} x rw\n", etc.display());
    sound.host.write("root/proc/self/mountinfo", &line);
}

/// The folder of logs is a small file system.
fn with_small_logs(sound: &mut Sound<'_>, options: &str) {
    let script = format!("mount -t tmpfs -o {options} tmpfs {} || exit {MOUNT_REFUSED}; exec \"$@\"", sound.host.at("log").display());
    sound.around = ["unshare", "-m", "sh", "-c", &script, "sh"].map(str::to_owned).into();
}

pub(super) const FAULTS: &[Fault] = &[
    Fault::error(Code::DiskNearlyFull, |sound| with_small_logs(sound, "size=1m"))
        .says(&["/log", "left"])
        .cure("df -h ")
        .seen(Look::Program),
    Fault::error(Code::InodesNearlyUsed, |sound| with_small_logs(sound, "size=100m,nr_inodes=60"))
        .says(&["/log", "room for"])
        .cure("df -i ")
        .seen(Look::Program),
    Fault::error(Code::StoreNotKept, |sound| mounted(sound, "rw", "tmpfs"))
        .says(&["/etc is a tmpfs, in memory"])
        .cure("a volume that is kept")
        .seen(Look::Here),
    Fault::notice(Code::StoreOnNetwork, |sound| mounted(sound, "rw", "nfs4"))
        .says(&["/etc (nfs4)"])
        .cure("only one machine renew")
        .seen(Look::Here),
    Fault::error(Code::StoreReadOnly, |sound| mounted(sound, "ro", "ext4"))
        .says(&["/etc (ext4)"])
        .cure("mount -o remount,rw /")
        .seen(Look::Here),
    Fault::error(Code::StoreNotWritable, |sound| {
        let host = &sound.host;
        let binary = host.at("certkit");
        fs::copy(env!("CARGO_BIN_EXE_certkit"), &binary).unwrap();
        for (path, mode) in [("", 0o755), ("etc", 0o755), ("etc/certkit", 0o755), ("log", 0o777), ("work", 0o777)] {
            fs::set_permissions(host.at(path), fs::Permissions::from_mode(mode)).unwrap();
        }
        let line = "binary=$1; shift 2; exec setpriv --reuid=65534 --regid=65534 --clear-groups \"$binary\" \"$@\"";
        let binary = binary.to_str().unwrap();
        sound.around = ["sh", "-c", line, "sh", binary].map(str::to_owned).into();
    })
    .says(&["/etc", "nobody"])
    .cure("run certkit as root")
    .also(&[Code::Unreadable, Code::BrokenLineage])
    .seen(Look::Program),
    Fault::notice(Code::LockHeld, |sound| {
        let holder = CertbotLock::take(&sound.in_store(".certbot.lock")).unwrap();
        sound.kept.push(Box::new(holder));
    })
    .says(&["/.certbot.lock", "process ", "python"])
    .cure("wait until it ends")
    .seen(Look::Here),
    Fault::error(Code::Unreadable, |sound| {
        sound.host.write("etc/certkit/aside", "where a folder should be");
    })
    .says(&["certkit/aside", "Not a directory"])
    .cure("correct its mode")
    .seen(Look::Here),
];
