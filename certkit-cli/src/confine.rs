//! Gives up, for the rest of the process, what it needs no more (Landlock, landlock(7)).

use landlock::{ABI, Access as _, AccessFs, AccessNet, Ruleset, RulesetAttr as _, RulesetError, RulesetStatus};

/// From now on nothing can be opened, made, changed or run, and nobody called: what is open already can still be read and
/// written. Only this thread is held to it, and those that it starts later. What the kernel knows of this is in force; where
/// it knows nothing, everything goes on as before.
pub(crate) fn open_nothing_more() {
    // A kernel that does not know it, or does not let it be done, is no reason to refuse what was asked for.
    drop(restrict());
}

fn restrict() -> Result<RulesetStatus, RulesetError> {
    // Linux 6.10; older ones do what they know of it.
    const KNOWN: ABI = ABI::V5;
    // No rule allows anything.
    let everything = Ruleset::default().handle_access(AccessFs::from_all(KNOWN))?;
    let everything = everything.handle_access(AccessNet::from_all(KNOWN))?;
    Ok(everything.create()?.restrict_self()?.ruleset)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::{ErrorKind, Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::process::Command;

    use super::*;

    #[test]
    fn a_key_can_be_read_no_more_and_nobody_be_called() {
        let folder = tempfile::tempdir().unwrap();
        let (key, new) = (folder.path().join("privkey.pem"), folder.path().join("new"));
        fs::write(&key, "a key").unwrap();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let confined = move || {
            let (mut before, mut log) = (File::open(&key).unwrap(), File::create(folder.path().join("log")).unwrap());
            assert!(TcpStream::connect(address).is_ok());
            let status = restrict().unwrap();
            assert_ne!(
                status,
                RulesetStatus::NotEnforced,
                "this kernel has no Landlock: run the tests where it is switched on"
            );
            let refused = |what: &str, error: Option<std::io::Error>| {
                assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::PermissionDenied), "{what}");
            };
            refused("reading", File::open(&key).err());
            refused("making", File::create(&new).err());
            refused("looking", fs::read_dir(folder.path()).err());
            refused("removing", fs::remove_file(&key).err());
            refused("running", Command::new("/bin/true").spawn().err());
            // Kernels before Linux 6.7 know of files alone.
            if status == RulesetStatus::FullyEnforced {
                refused("calling", TcpStream::connect(address).err());
            }
            // What was open stays so.
            let mut text = String::new();
            before.read_to_string(&mut text).unwrap();
            assert_eq!(text, "a key");
            log.write_all(b"still").unwrap();
        };
        // Other tests must not be held to it.
        std::thread::spawn(confined).join().unwrap();
    }
}
