//! What a reader sees while somebody else writes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use certkit_core::Version;
use certkit_core::store::Kind;

use crate::lock::lock_as_certbot;
use crate::support::*;

/// certbot at work, slowly: it takes its lock, empties the conf as for a lineage that is new, writes it, and removes and
/// makes one link after the other, from one version to the other and back. Between them nothing is at rest for long.
const CERTBOT: &str = "
import fcntl, os, sys, time
config, name = sys.argv[1:]
lock = os.open(config + '/.certbot.lock', os.O_CREAT | os.O_WRONLY, 0o600)
fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
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

#[test]
fn a_lineage_that_certbot_is_writing_is_never_broken_and_never_mixed() {
    let dir = temp_dir();
    lay_lineage(dir.path(), &name(), &["v1", "v2"]);
    let mut child = Command::new("python3")
        .args(["-c", CERTBOT, dir.path().to_str().unwrap(), name().as_str()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test needs python3");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let _at_work = AtWork(child);
    assert_eq!(lines.next().unwrap().unwrap(), "at work");
    let store = store(dir.path());
    let mut seen = Vec::new();
    // As many looks as certbot takes for ten switches.
    let counter = std::thread::spawn(move || lines.by_ref().take(10).map(Result::unwrap).count());
    while !counter.is_finished() {
        let lineages: Vec<_> = store.lineages().unwrap().collect();
        assert_eq!(lineages.len(), 1);
        let lineage = lineages[0].as_ref().unwrap_or_else(|broken| panic!("after {} looks: {broken}", seen.len()));
        seen.push(lineage.live_version().unwrap_or_else(|| panic!("mixed after {} looks", seen.len())));
        lineage.check_live(None).unwrap_or_else(|broken| panic!("after {} looks: {broken}", seen.len()));
    }
    assert_eq!(counter.join().unwrap(), 10);
    assert!(seen.contains(&Version(1)) && seen.contains(&Version(2)), "{seen:?}");
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

#[test]
fn what_was_broken_before_is_not_waited_for_while_somebody_holds_the_lock() {
    let dir = temp_dir();
    for number in 0..50 {
        let name = certkit_core::LineageName::new(format!("n{number}.example.org")).unwrap();
        lay_lineage(dir.path(), &name, &["v1"]);
        fs::remove_dir_all(dir.path().join("live").join(name.as_str())).unwrap();
    }
    // Times of inodes are compared by the second.
    std::thread::sleep(Duration::from_millis(1100));
    let _holder = holding(dir.path());
    let begun = Instant::now();
    let store = store(dir.path());
    assert!(store.lineages().unwrap().all(|lineage| lineage.is_err()));
    assert_eq!(store.audit().unwrap().len(), 50);
    // Two seconds for each would be a hundred.
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}
