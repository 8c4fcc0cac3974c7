//! Two runs at once are harmless, whoever the other one is.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use certkit_core::store::{LockError, Store, StorePaths};

use crate::support::{store, temp_dir};

/// What certbot does: `fcntl.lockf` on the file, held until its input ends.
const LOCKF: &str = "
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY, 0o600)
try:
    fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    print('refused', flush=True)
    sys.exit(1)
print('locked', flush=True)
sys.stdin.read()
";

/// A process that tries to take the lock, and what it said: `locked` or `refused`.
pub(crate) fn lock_as_certbot(path: &Path) -> (Child, String) {
    lock_by(LOCKF, path)
}

fn lock_by(script: &str, path: &Path) -> (Child, String) {
    let mut child = Command::new("python3")
        .args(["-c", script, path.to_str().unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test needs python3");
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, line.trim().to_owned())
}

#[test]
fn certbots_lock_excludes_us_and_names_its_process() {
    let dir = temp_dir();
    for directory in ["logs", ".", "work"] {
        let path = dir.path().join(directory);
        fs::create_dir_all(&path).unwrap();
        let (mut child, line) = lock_as_certbot(&path.join(".certbot.lock"));
        assert_eq!(line, "locked");
        let error = store(dir.path()).lock().unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, LockError::Held { .. }), "{text}");
        assert!(text.contains(&format!("(process {}, python", child.id())), "{text}");
        child.kill().unwrap();
        child.wait().unwrap();
        // A holder that was killed leaves a file and no lock.
        drop(store(dir.path()).lock().unwrap());
    }
}

/// What a certkit in another container does: the lock is an open-file-description lock, and the file names a process by
/// the number that it has there.
const AS_CERTKIT_ELSEWHERE: &str = "
import fcntl, os, struct, sys
fd = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR, 0o600)
fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack('hhqqi4x', fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
os.write(fd, b'certkit 1 pid:[4026539999]')
print('locked', flush=True)
sys.stdin.read()
";

/// Where the test finds a locked store when it runs in another PID namespace.
const STORE_OF_OTHERS: &str = "CERTKIT_TEST_STORE_OF_OTHERS";

#[test]
fn a_holder_in_another_container_is_not_given_the_number_of_a_process_of_here() {
    if let Some(folder) = std::env::var_os(STORE_OF_OTHERS) {
        return assert_held_elsewhere(Path::new(&folder));
    }
    let dir = temp_dir();
    let path = dir.path().join(".certbot.lock");
    let (mut certkit, line) = lock_by(AS_CERTKIT_ELSEWHERE, &path);
    assert_eq!(line, "locked");
    assert_held_elsewhere(dir.path());
    certkit.kill().unwrap();
    certkit.wait().unwrap();

    // And certbot's lock, seen from another container.
    let (mut certbot, line) = lock_as_certbot(&path);
    assert_eq!(line, "locked");
    let mut child = Command::new("unshare");
    child.args(["--pid", "--fork", "--kill-child"]).arg(std::env::current_exe().unwrap());
    child.args(["--exact", "lock::a_holder_in_another_container_is_not_given_the_number_of_a_process_of_here"]);
    let output = child.env(STORE_OF_OTHERS, dir.path()).output();
    let output = output.expect("unshare is missing: install util-linux (bash .ci/test.sh does)");
    certbot.kill().unwrap();
    certbot.wait().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success() && stdout.contains("1 passed"),
        "{stdout}{stderr}\n(run it as root, in a container with CAP_SYS_ADMIN)"
    );
}

fn assert_held_elsewhere(folder: &Path) {
    let store = store(folder);
    let refused = store.lock().unwrap_err().to_string();
    assert!(refused.contains("already running (a process in another container) and holds"), "{refused}");
    let held = store.lock_holder().unwrap().unwrap();
    assert_eq!(held.holder, "a process in another container");
    // No advice to kill the process of here that has the same number.
    let finding = held.finding(None);
    assert!(!finding.cure().contains("kill"), "{}", finding.cure());
}

#[test]
fn our_lock_excludes_certbot_on_each_of_its_files() {
    let dir = temp_dir();
    let locked = store(dir.path()).lock().unwrap();
    for directory in ["logs", ".", "work"] {
        let file = dir.path().join(directory).join(".certbot.lock");
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o600);
        let (mut child, line) = lock_as_certbot(&file);
        assert_eq!(line, "refused", "{directory}");
        child.wait().unwrap();
    }
    drop(locked);
    for directory in ["logs", ".", "work"] {
        assert!(!dir.path().join(directory).join(".certbot.lock").exists());
    }
    let (mut child, line) = lock_as_certbot(&dir.path().join(".certbot.lock"));
    assert_eq!(line, "locked");
    child.stdin.take().unwrap().flush().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_second_store_in_the_same_process_is_refused_until_the_first_is_dropped() {
    let dir = temp_dir();
    let first = store(dir.path()).lock().unwrap();
    // Closing another descriptor of the file must not release the lock, as it would a POSIX one.
    drop(fs::File::open(dir.path().join(".certbot.lock")).unwrap());
    let error = store(dir.path()).lock().unwrap_err();
    assert!(error.to_string().contains(&format!("(process {}, this one)", std::process::id())), "{error}");
    drop(first);
    store(dir.path()).lock().unwrap();
}

#[test]
fn directories_are_made_with_certbots_modes_and_one_for_all_three_is_locked_once() {
    let dir = temp_dir();
    let config = dir.path().join("etc/letsencrypt");
    let paths = StorePaths::new(config.clone(), dir.path().join("lib"), dir.path().join("log"));
    drop(Store::open(paths).unwrap().lock().unwrap());
    for (path, mode) in [(&config, 0o755), (&dir.path().join("lib"), 0o755), (&dir.path().join("log"), 0o700)] {
        assert_eq!(fs::metadata(path).unwrap().mode() & 0o7777, mode, "{}", path.display());
    }
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&config, &link).unwrap();
    let same = Store::open(StorePaths::new(config.clone(), link, config)).unwrap();
    drop(same.lock().unwrap());
}

#[test]
fn a_lock_file_that_is_a_link_is_not_followed() {
    let dir = temp_dir();
    let victim = dir.path().join("victim");
    fs::write(&victim, "content").unwrap();
    std::os::unix::fs::symlink(&victim, dir.path().join(".certbot.lock")).unwrap();
    assert!(matches!(store(dir.path()).lock().unwrap_err(), LockError::Store(_)));
    assert_eq!(fs::read(&victim).unwrap(), b"content");
}

#[test]
fn many_at_once_take_turns() {
    let dir = temp_dir();
    let inside = std::sync::atomic::AtomicU32::new(0);
    let taken = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let Ok(locked) = store(dir.path()).lock() else { continue };
                    let order = std::sync::atomic::Ordering::SeqCst;
                    assert_eq!(inside.fetch_add(1, order), 0);
                    taken.fetch_add(1, order);
                    assert_eq!(inside.fetch_sub(1, order), 1);
                    drop(locked);
                }
            });
        }
    });
    assert!(taken.into_inner() > 0);
    assert!(!dir.path().join(".certbot.lock").exists());
}
