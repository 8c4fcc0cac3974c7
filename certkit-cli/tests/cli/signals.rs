//! A run that is asked to stop in the middle of an order.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use certkit_core::store::{Store, StorePaths};
use rustix::process::{Pid, Signal, kill_process};
use testkit::{Pebble, PebbleOptions};

use crate::support::{Place, Run};

fn tokens(webroot: &Path) -> usize {
    fs::read_dir(webroot.join(".well-known/acme-challenge")).map_or(0, Iterator::count)
}

#[test]
fn sigterm_during_validation_cleans_up_runs_the_post_hook_and_frees_the_lock() {
    let ca = Pebble::start(PebbleOptions::default());
    // The CA gets a connection and never an answer.
    let _silent = TcpListener::bind(("127.0.0.1", ca.http_port())).unwrap();
    let place = Place::new();
    place.run_at(&ca, &["register", "-n", "--agree-tos"]).ends_with(0);
    let webroot = place.folder().join("webroot");
    fs::create_dir(&webroot).unwrap();
    let lineage =
        place.tree.lineage("s.example.org").days_left(5).server(&ca.directory_url()).webroot(&webroot).write();
    let live = fs::read_link(lineage.live.join("cert.pem")).unwrap();
    let hooked = place.folder().join("hooked");
    let hook = |word: &str| format!("echo {word} >> {}", hooked.display());

    let mut child = place
        .command(&["renew", "--no-random-sleep-on-renew"])
        .args(["--pre-hook", &hook("pre"), "--post-hook", &hook("post"), "--deploy-hook", &hook("deploy")])
        .env("SSL_CERT_FILE", ca.ca_bundle())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let patience = Instant::now() + Duration::from_secs(30);
    while tokens(&webroot) == 0 {
        assert!(Instant::now() < patience, "no token came");
        assert!(child.try_wait().unwrap().is_none(), "{:?}", Run::of(child.wait_with_output().unwrap()));
        std::thread::sleep(Duration::from_millis(20));
    }
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let asked = Instant::now();
    let run = Run::of(child.wait_with_output().unwrap()).ends_with(143);
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());

    assert_eq!(fs::read_to_string(&hooked).unwrap(), "pre\npost\n");
    assert_eq!(tokens(&webroot), 0, "the token is removed");
    assert!(run.stderr.contains("The run was stopped; everything was cleaned up."), "{}", run.stderr);
    assert_eq!(fs::read_link(lineage.live.join("cert.pem")).unwrap(), live);
    let paths =
        StorePaths::new(place.tree.config_dir().to_owned(), place.folder().join("work"), place.folder().join("log"));
    Store::open(paths).unwrap().lock().unwrap();
}

/// A run that waits until something is due may begin.
fn sleeping(place: &Place, program: impl FnOnce(Command) -> Command) -> Child {
    place.tree.lineage("h.example.org").days_left(5).server("https://127.0.0.1:1/dir").standalone(1).write();
    let mut child = program(place.command(&["renew"])).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("Non-interactive renewal: random delay of "), "{line}");
    child
}

#[test]
fn sighup_ends_a_run_as_sigterm_does() {
    let place = Place::new();
    let mut child = sleeping(&place, |command| command);
    kill_process(Pid::from_child(&child), Signal::HUP).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(129));
}

#[test]
fn a_run_under_nohup_outlives_its_terminal() {
    let place = Place::new();
    let mut child = sleeping(&place, |command| {
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            shell.env(name, value.unwrap_or_default());
        }
        shell.stdin(Stdio::null());
        shell
    });
    kill_process(Pid::from_child(&child), Signal::HUP).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none());
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
}
