//! What the shipped unit takes away is needed neither by certkit nor by a usual hook.
//!
//! systemd is asked which system calls its groups stand for, and strace refuses them as systemd's filter would; setpriv takes the
//! capabilities. The views of the file system that systemd makes are not tried here.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use testkit::process::require_program;
use testkit::{Pebble, PebbleOptions};

use crate::support::{Place, Run};

const UNIT: &str = include_str!("../../contrib/systemd/certkit.service");

/// The words of all lines that take something away.
fn taken(setting: &str) -> Vec<&'static str> {
    let lines = UNIT.lines().filter_map(|line| line.strip_prefix(setting)?.strip_prefix("=~"));
    lines.flat_map(str::split_whitespace).collect()
}

/// The system calls of a group, systemd.exec(5); groups in it are followed.
fn calls(group: &str) -> Vec<String> {
    let output =
        Command::new(require_program("systemd-analyze")).args(["syscall-filter", "--no-pager", group]).output();
    let output = String::from_utf8(output.unwrap().stdout).unwrap();
    let names = output.lines().filter_map(|line| line.strip_prefix("    ")).map(str::trim);
    names
        .filter(|name| !name.starts_with('#'))
        .flat_map(|name| if name.starts_with('@') { calls(name) } else { vec![name.to_owned()] })
        .collect()
}

#[test]
fn a_certificate_is_obtained_and_deployed_within_the_limits_of_the_unit() {
    let refused: Vec<String> = taken("SystemCallFilter").into_iter().flat_map(calls).collect();
    for known in ["settimeofday", "init_module", "swapon", "ptrace", "iopl"] {
        assert!(refused.iter().any(|call| call == known), "{known}: {refused:?}");
    }
    // With a question mark, which strace knows, for those that this machine's processor never had.
    let refused: Vec<String> = refused.iter().map(|call| format!("?{call}")).collect();
    let refused = refused.join(",");
    let bounding: Vec<String> = taken("CapabilityBoundingSet")
        .into_iter()
        .map(|name| format!("-{}", name.strip_prefix("CAP_").unwrap().to_lowercase()))
        .collect();
    assert!(bounding.iter().any(|name| name == "-sys_module"), "{bounding:?}");
    let bounding = bounding.join(",");

    let (place, ca) = (Place::new(), Pebble::start(PebbleOptions::default()));
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    // What hooks do: copy, give away, become somebody else.
    let copy = place.folder().join("copy.pem");
    let mut hook = format!("cp \"$RENEWED_LINEAGE/fullchain.pem\" {}", copy.display());
    if is_root {
        let give_away = " && chown 65534 FILE && setpriv --reuid=65534 --regid=65534 --clear-groups true";
        hook += &give_away.replace("FILE", copy.to_str().unwrap());
    }
    let port = ca.http_port().to_string();
    let mut words = vec!["certonly", "-n", "--agree-tos", "--register-unsafely-without-email", "--standalone"];
    words.extend(["--http-01-port", &port, "-d", "a.example.org", "--deploy-hook", &hook]);
    let asked = place.command(&words);

    let log = place.folder().join("strace");
    let mut command = Command::new(require_program("strace"));
    command.args(["-f", "-qq", "-o"]).arg(&log);
    command.args(["-e", &format!("trace={refused}"), "-e", &format!("inject={refused}:error=EPERM")]);
    if is_root {
        command.arg("setpriv").args(["--inh-caps", &bounding, "--bounding-set", &bounding]);
    }
    command.arg(asked.get_program()).args(asked.get_args());
    command.env_clear().envs(asked.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.args(["--server", &ca.directory_url(), "--ca-bundle"]).arg(ca.ca_bundle());
    let run = Run::of(command.output().unwrap());
    let calls = fs::read_to_string(&log).unwrap();
    assert_eq!(run.status, Some(0), "{run:?}\n{calls}");
    assert!(copy.exists() && !run.stderr.contains("warning"), "{run:?}\n{calls}");
    if is_root {
        assert_eq!(fs::metadata(&copy).unwrap().uid(), 65534);
    }
}
