//! A process that holds a lock as certbot does.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

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

/// A Python that holds a lock. It is killed when this is dropped, and leaves the file as a killed certbot does.
#[derive(Debug)]
pub struct CertbotLock {
    child: Child,
}

impl CertbotLock {
    /// Takes the lock on a file, which is made where there is none. None when somebody holds it.
    pub fn take(file: &Path) -> Option<Self> {
        let mut python = Command::new("python3");
        python.args(["-c", LOCKF]).arg(file).stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = python.spawn().unwrap_or_else(|error| panic!("python3 (apt-get install python3): {error}"));
        let mut lock = Self { child };
        let mut line = String::new();
        BufReader::new(lock.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        match line.trim() {
            "locked" => Some(lock),
            "refused" => None,
            other => panic!("python3 says neither: {other:?}"),
        }
    }

    /// Who holds it.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for CertbotLock {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
