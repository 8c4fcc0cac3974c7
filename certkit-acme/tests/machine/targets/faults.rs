//! Full disks, read-only folders, missing rights. Most of it needs a process of its own: the test starts itself again.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use testkit::process::{MOUNT_REFUSED, assert_mounts_permitted};

use super::{FOUR, Version, access, copy, copy_for, is_root, mode, names};

const FOLDER: &str = "CERTKIT_TEST_TARGET";

/// In the child: the folder to work in.
fn childs_folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

/// Runs a test again, in a child that the shell line leads to: `"$@"` is the test, `$CERTKIT_TEST_TARGET` the folder.
fn again(test: &str, folder: &Path, program: &[&str], line: &str) -> Output {
    let (first, arguments) = program.split_first().unwrap();
    let mut child = Command::new(testkit::process::require_program(first));
    child.args(arguments).args(["/bin/sh", "-c", line, "sh"]).arg(std::env::current_exe().unwrap());
    child.args(["--exact", &format!("targets::faults::{test}")]).env(FOLDER, folder);
    child.output().unwrap()
}

fn assert_passed(output: &Output) {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
    // A wrong name would run nothing, successfully.
    assert!(stdout.contains("1 passed"), "{stdout}{stderr}");
}

/// As [`again`], with mounts of its own, a small file system on the folder among them.
fn again_with_mounts(test: &str) {
    let folder = tempfile::tempdir().unwrap();
    let line = format!("mount -t tmpfs -o size=64k tmpfs \"${FOLDER}\" || exit {MOUNT_REFUSED}; exec \"$@\"");
    let output = again(test, folder.path(), &["unshare", "-m"], &line);
    assert_mounts_permitted(output.status.code(), &output.stderr);
    assert_passed(&output);
}

fn mount(arguments: &[&str], folder: &Path) {
    let status = Command::new("mount").args(arguments).arg(folder).status();
    assert!(status.unwrap().success(), "mount {arguments:?}");
}

#[tokio::test]
async fn the_umask_does_not_matter() {
    if let Some(folder) = childs_folder() {
        Version::new(1).deploy(&copy(&folder)).await.unwrap();
        return;
    }
    for umask in ["000", "022", "777"] {
        let folder = tempfile::tempdir().unwrap();
        let line = format!("umask {umask}; exec \"$@\"");
        assert_passed(&again("the_umask_does_not_matter", folder.path(), &["env"], &line));
        assert_eq!(FOUR.map(|name| mode(&folder.path().join(name))), [0o644, 0o644, 0o644, 0o600], "{umask}");
    }
}

/// What the child did with the key's file, call by call, under a umask that takes nothing away.
fn calls_for_the_key(test: &str) -> Vec<String> {
    let (folder, log) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
    let calls = "trace=openat,fchown,fchmod,chmod,fchmodat,write,fsync,renameat,renameat2";
    let strace = ["strace", "-f", "-y", "-o", log.path().to_str().unwrap(), "-e", calls];
    assert_passed(&again(test, folder.path(), &strace, "umask 000; exec \"$@\""));
    let log = fs::read_to_string(log.path()).unwrap();
    let of_the_key = log.lines().filter(|line| line.contains(".privkey.pem.certkit-tmp"));
    of_the_key.map(|line| line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")).collect()
}

/// The names of the calls, one after another.
fn call_names(calls: &[String]) -> String {
    calls.iter().filter_map(|call| call.split('(').next()).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_key_is_private_before_its_first_byte() {
    if let Some(folder) = childs_folder() {
        Version::new(1).deploy(&copy(&folder)).await.unwrap();
        return;
    }
    let calls = calls_for_the_key("a_key_is_private_before_its_first_byte");
    assert!(call_names(&calls).starts_with("openat fchmod write fsync renameat2"), "{calls:#?}");
    assert!(calls[0].contains("O_CREAT|O_EXCL") && calls[0].contains(", 0600) ="), "{calls:#?}");
    assert!(calls[1].ends_with(", 0600) = 0"), "{calls:#?}");
}

#[tokio::test]
async fn a_group_may_read_a_key_only_once_it_is_the_right_group() {
    if let Some(folder) = childs_folder() {
        Version::new(1).deploy(&copy_for(&folder, access(Some("0"), Some("65534"), Some(0o640)))).await.unwrap();
        return;
    }
    assert!(is_root(), "only root may give files away: run the tests as root");
    let calls = calls_for_the_key("a_group_may_read_a_key_only_once_it_is_the_right_group");
    assert!(call_names(&calls).starts_with("openat fchown fchmod write fsync renameat2"), "{calls:#?}");
    assert!(calls[0].contains(", 0600) =") && calls[2].ends_with(", 0640) = 0"), "{calls:#?}");
}

#[tokio::test]
async fn who_may_not_give_files_away_changes_nothing() {
    let refused = async |folder: &Path, owner: &str| {
        let (old, new) = (Version::new(1), Version::new(2));
        old.deploy(&copy(folder)).await.unwrap();
        for (what, setting) in
            [("owner", access(Some(owner), None, None)), ("group", access(None, Some(owner), Some(0o640)))]
        {
            let refused = new.refused(&copy_for(folder, setting)).await;
            assert!(refused.contains(&format!("cannot be given to its {what} (Operation not permitted")), "{refused}");
            assert!(refused.contains("only root may give files away"), "{refused}");
        }
        assert!(old.is_in(folder));
        assert_eq!(names(folder), FOUR);
    };
    if let Some(folder) = childs_folder() {
        return refused(&folder, "65534").await;
    }
    let folder = tempfile::tempdir().unwrap();
    if !is_root() {
        return refused(folder.path(), "0").await;
    }
    // Root without this one right, as a systemd service may be.
    let without = ["setpriv", "--inh-caps=-chown", "--bounding-set=-chown"];
    let test = "who_may_not_give_files_away_changes_nothing";
    assert_passed(&again(test, folder.path(), &without, "exec \"$@\""));
}

#[tokio::test]
async fn a_full_disk_leaves_the_old_files_and_nothing_else() {
    let Some(folder) = childs_folder() else {
        again_with_mounts("a_full_disk_leaves_the_old_files_and_nothing_else");
        return;
    };
    let (old, new) = (Version::new(1), Version::new(2));
    old.deploy(&copy(&folder)).await.unwrap();
    let filler = folder.join("filler");
    let mut file = fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    let full = file.metadata().unwrap().len();
    // Room for none, one, two and three of the four.
    for pages in 0..4 {
        file.set_len(full - pages * 4096).unwrap();
        let refused = new.refused(&copy(&folder)).await;
        assert!(refused.contains("is full; what was there is as it was: free some space"), "{refused}");
        assert!(old.is_in(&folder), "{pages}");
        assert_eq!(names(&folder), ["cert.pem", "chain.pem", "filler", "fullchain.pem", "privkey.pem"]);
    }
    drop(file);
    fs::remove_file(&filler).unwrap();
    new.deploy(&copy(&folder)).await.unwrap();
    assert!(new.is_in(&folder));
}

#[tokio::test]
async fn a_read_only_folder_says_so() {
    let Some(folder) = childs_folder() else {
        again_with_mounts("a_read_only_folder_says_so");
        return;
    };
    let (old, new) = (Version::new(1), Version::new(2));
    old.deploy(&copy(&folder)).await.unwrap();
    mount(&["-o", "remount,ro"], &folder);
    // What is as it should be needs no writing.
    old.deploy(&copy(&folder)).await.unwrap();
    let refused = new.refused(&copy(&folder)).await;
    assert!(refused.contains("the file system is read-only") && refused.contains("ReadWritePaths="), "{refused}");
    assert!(old.is_in(&folder));
}

#[tokio::test]
async fn when_one_file_cannot_be_replaced_the_others_are_the_old_ones_again() {
    let Some(folder) = childs_folder() else {
        again_with_mounts("when_one_file_cannot_be_replaced_the_others_are_the_old_ones_again");
        return;
    };
    let (old, new) = (Version::new(1), Version::new(2));
    old.deploy(&copy(&folder)).await.unwrap();
    fs::remove_file(folder.join("chain.pem")).unwrap();
    // The last one to be replaced is mounted by itself, as a container may have it.
    let last = folder.join("fullchain.pem");
    mount(&["--bind", last.to_str().unwrap()], &last);
    let refused = new.refused(&copy(&folder)).await;
    assert!(refused.contains("fullchain.pem cannot be replaced: it is mounted there by itself"), "{refused}");
    assert_eq!(names(&folder), ["cert.pem", "fullchain.pem", "privkey.pem"]);
    fs::write(folder.join("chain.pem"), old.chain.chain_pem()).unwrap();
    assert!(old.is_in(&folder));
    assert!(Command::new("umount").arg(&last).status().unwrap().success());
    new.deploy(&copy(&folder)).await.unwrap();
    assert!(new.is_in(&folder));
}

/// Copies a new version over an old one while system calls fail as `inject` says. Returns the two and the folder.
fn with_failing_calls(test: &str, inject: &[&str]) -> (Version, Version, tempfile::TempDir) {
    let (folder, old, new) = (tempfile::tempdir().unwrap(), Version::new(1), Version::new(2));
    for kind in certkit_core::store::Kind::ALL {
        fs::write(folder.path().join(kind.live_file()), old.text(kind)).unwrap();
    }
    fs::set_permissions(folder.path().join("privkey.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    let saved = tempfile::tempdir_in(folder.path()).unwrap();
    new.save(saved.path());
    fs::rename(saved.path(), folder.path().join("saved")).unwrap();
    let mut strace = vec!["strace", "-f", "-o", "/dev/null", "-e", "trace=renameat,renameat2"];
    strace.extend(inject.iter().flat_map(|what| ["-e", what]));
    assert_passed(&again(test, folder.path(), &strace, "exec \"$@\""));
    fs::remove_dir_all(folder.path().join("saved")).unwrap();
    assert_eq!(names(folder.path()), FOUR);
    (old, new, folder)
}

const NO_EXCHANGE: &str = "inject=renameat2:error=EINVAL";

#[tokio::test]
async fn a_file_system_that_cannot_exchange_gets_its_copies_too() {
    if let Some(folder) = childs_folder() {
        return Version::saved(&folder.join("saved")).deploy(&copy(&folder)).await.unwrap();
    }
    let test = "a_file_system_that_cannot_exchange_gets_its_copies_too";
    let (_, new, folder) = with_failing_calls(test, &[NO_EXCHANGE]);
    assert!(new.is_in(folder.path()));
}

#[tokio::test]
async fn a_disk_that_fails_at_the_third_file_leaves_the_old_ones() {
    if let Some(folder) = childs_folder() {
        let refused = Version::saved(&folder.join("saved")).refused(&copy(&folder)).await;
        assert!(refused.contains("privkey.pem cannot be replaced: Input/output error"), "{refused}");
        return;
    }
    let test = "a_disk_that_fails_at_the_third_file_leaves_the_old_ones";
    let (old, _, folder) = with_failing_calls(test, &["inject=renameat2:error=EIO:when=3"]);
    assert!(old.is_in(folder.path()));
}

#[tokio::test]
async fn what_cannot_be_undone_is_said() {
    if let Some(folder) = childs_folder() {
        let refused = Version::saved(&folder.join("saved")).refused(&copy(&folder)).await;
        assert!(refused.contains("other files of the same target were, which do not fit it"), "{refused}");
        return;
    }
    // Both file systems without exchange and a failing disk.
    with_failing_calls("what_cannot_be_undone_is_said", &[NO_EXCHANGE, "inject=renameat:error=EIO:when=3"]);
}
