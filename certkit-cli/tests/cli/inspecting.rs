//! `inspect` of files that somebody else may have made: once they are read, the process can open nothing more.

use std::fs;
use std::process::Command;

use testkit::process::require_program;

use crate::support::{Place, Run};

const NAME: &str = "a.example.org";

fn place() -> Place {
    let place = Place::new();
    place.tree.lineage(NAME).versions(2).days_left(60).write();
    place
}

/// `inspect` under strace, with further words for that, and what strace says.
fn traced(place: &Place, strace: &[&str], operands: &[&str]) -> (Run, String) {
    let asked = place.command(&[&["inspect", "--json"], operands].concat());
    let log = place.folder().join("strace");
    let mut command = Command::new(require_program("strace"));
    command.args(["-f", "-qq", "-y", "-o"]).arg(&log).args(strace);
    command.arg(asked.get_program()).args(asked.get_args());
    command.env_clear().envs(asked.get_envs().filter_map(|(name, value)| Some((name, value?))));
    (Run::of(command.output().unwrap()), fs::read_to_string(&log).unwrap())
}

#[test]
fn nothing_is_opened_any_more_once_the_files_are_read() {
    let place = place();
    let live = place.tree.config_dir().join(format!("live/{NAME}"));
    let (chain, key) = (live.join("fullchain.pem"), live.join("privkey.pem"));
    let trace = ["-e", "trace=open,openat,openat2,landlock_restrict_self,execve,socket,connect,clone,clone3"];
    for operands in [vec![chain.to_str().unwrap(), key.to_str().unwrap()], vec![live.to_str().unwrap()]] {
        let (run, calls) = traced(&place, &trace, &operands);
        let document = run.ends_with(0).json();
        assert!(document["certificates"][0]["serial_number"].is_string() || !document["certificates"].is_null());
        let calls: Vec<&str> = calls.lines().collect();
        let confined = calls.iter().position(|call| call.contains("landlock_restrict_self(") && call.ends_with("= 0"));
        let confined = confined.unwrap_or_else(|| panic!("this kernel has no Landlock, or it is not used: {calls:#?}"));
        let (before, after) = calls.split_at(confined);
        assert!(before.iter().any(|call| call.contains("privkey")), "{calls:#?}");
        assert!(!before.iter().any(|call| call.contains("clone")), "a thread is not held to it: {calls:#?}");
        assert_eq!(after.len(), 1, "{calls:#?}");
    }
}

#[test]
fn a_kernel_without_landlock_shows_the_same() {
    let place = place();
    let live = place.tree.config_dir().join(format!("live/{NAME}"));
    let live = live.to_str().unwrap();
    let without = ["-e", "trace=landlock_create_ruleset", "-e", "inject=landlock_create_ruleset:error=ENOSYS"];
    let (run, calls) = traced(&place, &without, &[live]);
    assert!(calls.contains("(INJECTED)"), "{calls}");
    assert_eq!(run.ends_with(0).stdout, place.run(&["inspect", "--json", live]).ends_with(0).stdout);
}
