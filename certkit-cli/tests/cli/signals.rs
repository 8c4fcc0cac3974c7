//! A run that is asked to stop in the middle of an order.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
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
