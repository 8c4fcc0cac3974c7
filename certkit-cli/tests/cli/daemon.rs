//! `daemon` as a service manager runs it.

use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use rustix::process::{Pid, Signal, kill_process};
use testkit::{Pebble, PebbleOptions};

use crate::support::{Place, Run};

/// Nothing here takes so long on a machine that works.
const PATIENCE: Duration = Duration::from_secs(60);

/// The service manager's end of $NOTIFY_SOCKET.
struct Manager {
    socket: std::path::PathBuf,
    messages: Receiver<String>,
}

impl Manager {
    fn new(folder: &Path) -> Self {
        let socket = folder.join("notify");
        let listener = UnixDatagram::bind(&socket).unwrap();
        let (sender, messages) = channel();
        // Read at once, as systemd does: the socket takes ten messages and no more.
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length) = listener.recv(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                if sender.send(text).is_err() {
                    return;
                }
            }
        });
        Self { socket, messages }
    }

    /// The messages up to the first one that holds `text`.
    #[track_caller]
    fn wait_for(&self, text: &str) -> Vec<String> {
        let mut seen = Vec::new();
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.messages.recv_timeout(left) {
                Ok(message) => {
                    let is_it = message.contains(text);
                    seen.push(message);
                    if is_it {
                        return seen;
                    }
                }
                Err(_) => panic!("no {text} came, but {seen:?}"),
            }
        }
    }
}

fn start(place: &Place, ca: &Pebble, manager: &Manager, more: &[&str]) -> Child {
    place
        .command(&[&["daemon"], more].concat())
        .env("SSL_CERT_FILE", ca.ca_bundle())
        .env("NOTIFY_SOCKET", &manager.socket)
        .env("WATCHDOG_USEC", "400000")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

fn wait_until(mut is_so: impl FnMut() -> bool, what: &str) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn it_renews_when_woken_sleeps_without_a_lock_and_tells_the_service_manager() {
    let ca = Pebble::start(PebbleOptions {
        certificate_lifetime: Some(Duration::from_secs(3600)),
        ..PebbleOptions::default()
    });
    let place = Place::new();
    place.run_at(&ca, &["register", "-n", "--agree-tos"]).ends_with(0);
    // Half of its forty seconds is over in eight.
    let begun = Utc::now() - place.tree.now();
    let lineage = place
        .tree
        .lineage("s.example.org")
        .lifetime(TimeDelta::seconds(40))
        .left(begun + TimeDelta::seconds(28))
        .server(&ca.directory_url())
        .standalone(ca.http_port())
        .write();
    let live = || fs::read_link(lineage.live.join("cert.pem")).unwrap().display().to_string();
    let manager = Manager::new(place.folder());
    let hooked = place.folder().join("hooked");
    let hook = format!("echo renewed >> {}", hooked.display());
    let child = start(&place, &ca, &manager, &["--deploy-hook", &hook]);

    let seen = manager.wait_for("STATUS=sleeping until 2");
    assert_eq!(seen.iter().filter(|message| *message == "READY=1\n").count(), 1, "{seen:?}");
    assert!(seen.contains(&"STATUS=renewing\n".to_owned()), "{seen:?}");
    manager.wait_for("WATCHDOG=1");
    assert!(live().ends_with("cert1.pem"), "it was not due yet");

    // No run comes by itself within a minute of the last one: what is due now is renewed because of the signal.
    let due = lineage.not_after - TimeDelta::seconds(20);
    wait_until(|| Utc::now() > due, "time stands still");
    signal(&child, Signal::HUP);
    manager.wait_for("STATUS=renewing");
    manager.wait_for("STATUS=sleeping");
    assert!(live().ends_with("cert2.pem"), "{}", live());
    assert_eq!(fs::read_to_string(&hooked).unwrap(), "renewed\n");

    // The lock is free while it sleeps.
    place.run_trusting(&ca, &["renew", "--force-renewal"]).ends_with(0);
    assert!(live().ends_with("cert3.pem"), "{}", live());
    signal(&child, Signal::HUP);
    manager.wait_for("STATUS=renewing");
    manager.wait_for("STATUS=sleeping");

    signal(&child, Signal::TERM);
    manager.wait_for("STOPPING=1");
    let run = Run::of(child.wait_with_output().unwrap()).ends_with(143);
    assert_eq!(run.stdout, "");
    assert_eq!(run.stderr.matches("Version 2 of s.example.org is in use now").count(), 1, "{}", run.stderr);
    assert!(!run.stderr.contains("Version 3") && !run.stderr.contains("not yet due"), "{}", run.stderr);
    assert!(fs::read_to_string(place.log()).unwrap().contains("Version 2 of s.example.org is in use now"));
}

#[test]
fn sigterm_in_the_middle_of_an_order_cleans_up_and_runs_the_post_hook() {
    let ca = Pebble::start(PebbleOptions::default());
    // The CA gets a connection and never an answer.
    let _silent = TcpListener::bind(("127.0.0.1", ca.http_port())).unwrap();
    let place = Place::new();
    place.run_at(&ca, &["register", "-n", "--agree-tos"]).ends_with(0);
    let webroot = place.folder().join("webroot");
    fs::create_dir(&webroot).unwrap();
    place.tree.lineage("s.example.org").days_left(5).server(&ca.directory_url()).webroot(&webroot).write();
    let tokens = || fs::read_dir(webroot.join(".well-known/acme-challenge")).map_or(0, Iterator::count);
    let manager = Manager::new(place.folder());
    let hooked = place.folder().join("hooked");
    let hook = |word: &str| format!("echo {word} >> {}", hooked.display());
    let child = start(&place, &ca, &manager, &["-q", "--pre-hook", &hook("pre"), "--post-hook", &hook("post")]);
    wait_until(|| tokens() > 0, "no token came");
    signal(&child, Signal::TERM);
    manager.wait_for("STOPPING=1");
    let run = Run::of(child.wait_with_output().unwrap()).ends_with(143);
    assert_eq!(fs::read_to_string(&hooked).unwrap(), "pre\npost\n");
    assert_eq!(tokens(), 0, "the token is removed");
    assert!(run.stderr.contains("The run was stopped; everything was cleaned up."), "{}", run.stderr);
}

#[test]
fn without_a_service_manager_it_runs_as_well_and_prints_no_document() {
    let place = Place::new();
    let mut child = place.command(&["daemon", "-v"]).stderr(Stdio::piped()).spawn().unwrap();
    let log = || fs::read_to_string(place.log()).unwrap_or_default();
    wait_until(|| log().contains("sleeping until "), "it does not sleep");
    signal(&child, Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let run = place.run(&["daemon", "--json"]).ends_with(2);
    assert!(run.json()["error"].as_str().unwrap().contains("prints no document"), "{}", run.stdout);
}

#[test]
fn sighup_makes_it_read_the_settings_again() {
    let place = Place::new();
    let settings = place.tree.config_dir().join("certkit/settings.toml");
    fs::create_dir_all(settings.parent().unwrap()).unwrap();
    let mut child = place.command(&["daemon", "-v", "--hook-time-limit", "9"]).stderr(Stdio::piped()).spawn().unwrap();
    let log = || fs::read_to_string(place.log()).unwrap_or_default();
    let sleeps = || log().matches("sleeping until ").count();
    wait_until(|| sleeps() == 1, "it does not sleep");
    assert!(!log().contains("The run failed"), "{}", log());
    fs::write(&settings, "hook_time_limit = 5\nrun_interval = 0\n").unwrap();
    signal(&child, Signal::HUP);
    wait_until(|| sleeps() == 2, "it was not woken");
    assert!(log().contains("The run failed: ") && log().contains("run_interval"), "{}", log());
    signal(&child, Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

#[test]
fn its_unit_lets_no_key_into_a_core_dump() {
    let unit = include_str!("../../contrib/systemd/certkit.service");
    let (_, service) = unit.split_once("\n[Service]\n").unwrap();
    let (service, _) = service.split_once("\n[Install]\n").unwrap();
    assert!(service.lines().any(|line| line == "LimitCORE=0"), "{unit}");
}
