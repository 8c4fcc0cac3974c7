//! What a reader sees while somebody else writes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use certkit_core::store::{ConfPlan, Kind, LiveSwitch};
use certkit_core::{Finding, FindingCode, Version};

use crate::lock::lock_as_certbot;
use crate::support::*;

/// certbot at work, slowly: it takes its lock, empties the conf as for a lineage that is new, writes it, and removes and
/// makes one link after the other, from one version to the other and back. Between them nothing is at rest for long.
const CERTBOT: &str = "
import fcntl, os, struct, sys, time
config, name, holds_as = sys.argv[1:]
lock = os.open(config + '/.certbot.lock', os.O_CREAT | os.O_WRONLY, 0o600)
if holds_as == 'certbot':
    fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
else:
    fcntl.fcntl(lock, fcntl.F_OFD_SETLK, struct.pack('hhqqi4x', fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    os.write(lock, holds_as.encode())
conf = config + '/renewal/' + name + '.conf'
content = open(conf).read()
print('at work', flush=True)
version = 2
while True:
    open(conf, 'w').close()
    time.sleep(0.004)
    with open(conf + '.new', 'w') as new:
        new.write(content)
    os.rename(conf + '.new', conf)
    version = 3 - version
    for kind in ['cert', 'privkey', 'chain', 'fullchain']:
        link = config + '/live/' + name + '/' + kind + '.pem'
        os.unlink(link)
        time.sleep(0.004)
        os.symlink('../../archive/' + name + '/' + kind + str(version) + '.pem', link)
        time.sleep(0.004)
    print(version, flush=True)
    time.sleep(0.03)
";

/// Ends with the test.
struct AtWork(Child);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Starts it, and counts ten switches in a thread of its own. `holds_as` is `certbot`, or what certkit would have written
/// into the lock file.
fn at_work(config: &Path, holds_as: &str) -> (AtWork, JoinHandle<usize>) {
    let mut child = Command::new("python3")
        .args(["-c", CERTBOT, config.to_str().unwrap(), name().as_str(), holds_as])
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test needs python3");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let at_work = AtWork(child);
    assert_eq!(lines.next().unwrap().unwrap(), "at work");
    (at_work, std::thread::spawn(move || lines.by_ref().take(10).map(Result::unwrap).count()))
}

/// What a reader may look at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reads {
    Everything,
    NoKeys,
}

/// Looks until the writer is done, and never sees anything but one version or the other.
fn look_meanwhile(config: &Path, reads: Reads, is_done: impl Fn() -> bool) {
    let store = store(config);
    let mut seen = Vec::new();
    while !is_done() {
        let lineages: Vec<_> = store.lineages().unwrap().collect();
        assert_eq!(lineages.len(), 1);
        let lineage = lineages[0].as_ref().unwrap_or_else(|broken| panic!("after {} looks: {broken}", seen.len()));
        seen.push(lineage.live_version().unwrap_or_else(|| panic!("mixed after {} looks", seen.len())));
        if reads == Reads::Everything {
            lineage.check_live(None).unwrap_or_else(|broken| panic!("after {} looks: {broken}", seen.len()));
        }
    }
    assert!(seen.contains(&Version(1)) && seen.contains(&Version(2)), "{seen:?}");
}

#[test]
fn a_lineage_that_certbot_is_writing_is_never_broken_and_never_mixed() {
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), &["v1", "v2"]);
    let (_at_work, counter) = at_work(dir.path(), "certbot");
    look_meanwhile(dir.path(), Reads::Everything, || counter.is_finished());
    assert_eq!(counter.join().unwrap(), 10);
}

#[test]
fn a_writer_in_another_container_with_our_process_number_is_not_taken_for_ourselves() {
    for holds_as in
        [format!("certkit {}\n", std::process::id()), format!("certkit {} pid:[4026539999]\n", std::process::id())]
    {
        let dir = temp_dir();
        lay_lineage(dir.path(), &name(), &["v1", "v2"]);
        let (_at_work, counter) = at_work(dir.path(), &holds_as);
        look_meanwhile(dir.path(), Reads::Everything, || counter.is_finished());
        assert_eq!(counter.join().unwrap(), 10);
    }
}

#[test]
fn nothing_is_wrong_with_a_store_in_which_certkit_orders_and_commits() {
    for switch in [LiveSwitch::Exchange, LiveSwitch::Links] {
        let dir = temp_dir();
        lay_lineage(dir.path(), &name(), &["v1", "v2"]);
        let reader = store(dir.path());
        let codes = |findings: Vec<Finding>| findings.into_iter().map(|one| (one.code, one.what()));
        let at_rest: Vec<_> = codes(reader.audit().unwrap()).map(|(code, _)| code).collect();
        let writer = lock(dir.path()).with_live_switch(switch);
        let writing = std::thread::spawn(move || {
            for leaf in ["v3", "v4"].iter().cycle().take(100) {
                renew(&writer, leaf, &ConfPlan::default()).unwrap();
            }
        });
        let mut looks = 0;
        while !writing.is_finished() {
            for (code, what) in codes(reader.audit().unwrap()) {
                let is_passing = code == FindingCode::OrderPending;
                assert!(is_passing || at_rest.contains(&code), "{switch:?}, after {looks} looks: {what}");
            }
            looks += 1;
        }
        writing.join().unwrap();
        assert!(looks > 10, "only {looks} looks");
    }
}

/// Somebody who holds the lock and does nothing.
fn holding(config: &Path) -> AtWork {
    let (child, said) = lock_as_certbot(&config.join(".certbot.lock"));
    assert_eq!(said, "locked");
    AtWork(child)
}

#[test]
fn a_mixed_pair_that_stays_is_told_although_somebody_holds_the_lock() {
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), &["v1", "v2"]);
    let _holder = holding(dir.path());
    let link = dir.path().join("live").join(name().as_str()).join("privkey.pem");
    fs::remove_file(&link).unwrap();
    symlink(format!("../../archive/{}/{}", name(), Kind::Privkey.archive_file(Version(1))), &link).unwrap();
    let lineage = store(dir.path()).lineage(&name()).unwrap().unwrap();
    assert_eq!(lineage.live_version(), None);
    let broken = lineage.check_live(None).unwrap_err().to_string();
    assert!(broken.contains("does not belong to the certificate"), "{broken}");
}

/// Fifty lineages without live folders.
fn break_fifty(config: &Path) {
    for number in 0..50 {
        let name = certkit_core::LineageName::new(format!("n{number}.example.org")).unwrap();
        lay_lineage(config, &name, &["v1"]);
    }
    fs::remove_dir_all(config.join("live")).unwrap();
    fs::create_dir(config.join("live")).unwrap();
}

/// Lists and looks for everything that is wrong. Two seconds for each lineage would be two hundred.
fn assert_told_without_delay(config: &Path) {
    let begun = Instant::now();
    let store = store(config);
    assert!(store.lineages().unwrap().all(|lineage| lineage.is_err()));
    assert_eq!(store.audit().unwrap().iter().filter(|one| one.code == FindingCode::BrokenLineage).count(), 50);
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}

#[test]
fn what_was_broken_before_is_not_waited_for_while_somebody_holds_the_lock() {
    let dir = temp_dir();
    break_fifty(dir.path());
    // Times of inodes are compared by the second.
    std::thread::sleep(Duration::from_millis(1100));
    let _holder = holding(dir.path());
    assert_told_without_delay(dir.path());
}

#[test]
fn what_broke_at_once_is_waited_for_once_while_somebody_holds_the_lock() {
    let dir = temp_dir();
    let _holder = holding(dir.path());
    break_fifty(dir.path());
    assert_told_without_delay(dir.path());
}

#[test]
fn who_may_not_look_at_locks_waits_once_at_most_and_never_sees_a_sound_lineage_broken() {
    if let Some(config) = std::env::var_os(READERS_FOLDER) {
        return read_without_locks(Path::new(&config));
    }
    // A killed run leaves its lock files.
    let stale = temp_dir();
    close_locks(stale.path());
    break_fifty(stale.path());
    open_folders(stale.path());
    assert_passed(&as_nobody(stale.path()).wait_with_output().unwrap());

    let written = temp_dir();
    lay_lineage(written.path(), &name(), &["v1", "v2"]);
    open_folders(written.path());
    let (_at_work, counter) = at_work(written.path(), "certbot");
    close_locks(written.path());
    let reader = as_nobody(written.path());
    assert_eq!(counter.join().unwrap(), 10);
    fs::write(written.path().join(DONE), "").unwrap();
    assert_passed(&reader.wait_with_output().unwrap());
}

/// Where the test finds its tree when it runs as somebody who may not look at locks.
const READERS_FOLDER: &str = "CERTKIT_TEST_READERS_FOLDER";

/// In that folder, once the writer has done enough.
const DONE: &str = "done";

fn read_without_locks(config: &Path) {
    for closed in [".certbot.lock", "logs/.certbot.lock"] {
        let refused = fs::File::open(config.join(closed)).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied, "{closed}");
    }
    if config.join("live").join(name().as_str()).exists() {
        look_meanwhile(config, Reads::NoKeys, || config.join(DONE).exists());
    } else {
        assert_told_without_delay(config);
    }
}

/// Lock files that nobody but root may look at, in a folder of logs that is closed as certbot's is.
fn close_locks(config: &Path) {
    let logs = config.join("logs");
    fs::create_dir_all(&logs).unwrap();
    for folder in [config, &logs] {
        let lock = fs::OpenOptions::new().create(true).append(true).open(folder.join(".certbot.lock")).unwrap();
        lock.set_permissions(fs::Permissions::from_mode(0o000)).unwrap();
    }
    fs::set_permissions(&logs, fs::Permissions::from_mode(0o000)).unwrap();
}

/// Folders as somebody has them whose servers read without being root.
fn open_folders(config: &Path) {
    for folder in [config.to_owned(), config.join("live"), config.join("archive")] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// This test again, on a tree, as a user who is not root. Where the tests lie may be closed to that user, so the program
/// is opened before.
fn as_nobody(config: &Path) -> Child {
    let line = "exec 9<\"$0\"
        [ \"$(id -u)\" != 0 ] || set -- setpriv --reuid=65534 --regid=65534 --clear-groups \"$@\"
        exec \"$@\"";
    let test = "settling::who_may_not_look_at_locks_waits_once_at_most_and_never_sees_a_sound_lineage_broken";
    let mut child = Command::new("/bin/sh");
    child.args(["-c", line]).arg(std::env::current_exe().unwrap()).args(["/proc/self/fd/9", "--exact", test]);
    child.env(READERS_FOLDER, config).current_dir("/").stdout(Stdio::piped()).stderr(Stdio::piped());
    child.spawn().unwrap()
}

fn assert_passed(output: &Output) {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // A wrong name would run nothing, successfully.
    assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}{stderr}");
}
