//! Several runs at once on one tree, certbot's among them: each does its work or says who is at work, nothing is lost, and
//! who reads meanwhile sees every certificate whole.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use testkit::{Certbot, FaultProxy, Pebble, PebbleOptions, RequestKind};

use crate::support::{Place, Run};

/// Far above what waiting for one's turn takes; against hanging for ever.
const PATIENCE: Duration = Duration::from_secs(240);

/// A tree of certbot's, with its account.
struct Shared {
    ca: Pebble,
    place: Place,
    certbot: Certbot,
    account: String,
}

/// What somebody who had to take turns met with.
struct Turn {
    /// How the run that was not refused ended.
    run: Run,
    /// How often another run was at work.
    refused: usize,
}

impl Shared {
    fn new() -> Self {
        let (ca, place) = (Pebble::start(PebbleOptions::default()), Place::new());
        let mut certbot = Certbot::new(place.tree.config_dir(), &ca.directory_url(), &ca.ca_bundle());
        certbot.work_dir = place.folder().join("work");
        certbot.logs_dir = place.folder().join("log");
        let account = certbot.register();
        Self { ca, place, certbot, account }
    }

    fn due(&self, name: &str) {
        let lineage = self.place.tree.lineage(name).days_left(5).server(&self.ca.directory_url());
        lineage.account(&self.account).standalone(self.ca.http_port()).write();
    }

    fn certkit(&self, arguments: &[&str]) -> Run {
        let mut command = self.place.command(arguments);
        command.args(["-n", "--no-random-sleep-on-renew", "--no-probe"]).env("SSL_CERT_FILE", self.ca.ca_bundle());
        Run::of(command.output().unwrap())
    }

    /// certkit, tried again for as long as another run is at work.
    fn certkit_in_turn(&self, arguments: &[&str]) -> Turn {
        self.in_turn(Duration::from_millis(100), || {
            let run = self.certkit(arguments);
            let is_refused = run.status == Some(1)
                && (run.stderr.contains("is already running")
                    || run.stderr.contains("was not there when this run began"));
            // Where the lock is, and what to do; who holds it is told as soon as that is written there.
            let says_enough = ["another instance of certkit or certbot", "holds /", "what to do: wait until"];
            let is_locked_out = is_refused && run.stderr.contains("is already running");
            assert!(!is_locked_out || says_enough.iter().all(|part| run.stderr.contains(part)), "{}", run.stderr);
            (run, is_refused)
        })
    }

    fn certbot_in_turn(&self, arguments: &[&str]) -> Turn {
        // Starting it costs far more.
        self.in_turn(Duration::from_millis(200), || {
            let run = Run::of(self.certbot.run(arguments));
            let is_refused =
                run.status == Some(1) && run.stderr.contains("Another instance of Certbot is already running");
            (run, is_refused)
        })
    }

    fn in_turn(&self, pause: Duration, run: impl Fn() -> (Run, bool)) -> Turn {
        let began = Instant::now();
        let mut refused = 0;
        loop {
            let (run, is_refused) = run();
            if !is_refused {
                return Turn { run, refused };
            }
            refused += 1;
            assert!(began.elapsed() < PATIENCE, "its turn never came: {run:?}");
            thread::sleep(pause);
        }
    }

    /// New certificate, by the program's own responder.
    fn certonly<'a>(&self, port: &'a str, names: &'a str) -> [&'a str; 6] {
        ["certonly", "--standalone", "--http-01-port", port, "-d", names]
    }

    fn port(&self) -> String {
        self.ca.http_port().to_string()
    }

    fn obtain(&self, names: &str) -> Turn {
        let (port, server) = (self.port(), self.ca.directory_url());
        let mut arguments = self.certonly(&port, names).to_vec();
        arguments.extend(["--server", &server]);
        self.certkit_in_turn(&arguments)
    }

    /// Lists again and again until `done`: whatever is listed is valid, and nothing is wrong with the store.
    fn watch<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        done: &'scope AtomicBool,
    ) -> ScopedJoinHandle<'scope, Seen> {
        scope.spawn(|| {
            let mut seen = Seen::default();
            let began = Instant::now();
            // A test that fails never says that it is done.
            while !done.load(Ordering::Relaxed) && began.elapsed() < PATIENCE {
                let document = self.certkit(&["certificates", "--json"]).ends_with(0).json();
                for lineage in document["lineages"].as_array().unwrap() {
                    let is_whole =
                        lineage["status"] == "valid" && lineage["error"].is_null() && lineage["version"].is_u64();
                    if !is_whole {
                        seen.wrong.insert(lineage.to_string());
                    }
                }
                // What the run at work has ordered is told, as what it is.
                let problems = document["problems"].as_array().unwrap();
                for problem in problems.iter().filter(|problem| problem["code"] != "order-pending") {
                    seen.wrong.insert(problem.to_string());
                }
                seen.looks += 1;
                // The others need the processor, too.
                thread::sleep(Duration::from_millis(10));
            }
            seen
        })
    }

    /// What is in `live/`, looked at without certkit: all four links lead to the newest version.
    fn assert_whole(&self, name: &str, version: u32) {
        let live = self.place.tree.config_dir().join("live").join(name);
        for kind in ["cert", "privkey", "chain", "fullchain"] {
            let target = fs::read_link(live.join(format!("{kind}.pem"))).unwrap();
            let expected = format!("../../archive/{name}/{kind}{version}.pem");
            assert_eq!(target, Path::new(&expected), "{name}");
        }
        let archive = self.place.tree.config_dir().join("archive").join(name);
        assert_eq!(fs::read_dir(&archive).unwrap().count(), 4 * version as usize, "{name}");
        let conf = fs::read_to_string(self.place.tree.config_dir().join(format!("renewal/{name}.conf"))).unwrap();
        assert!(conf.contains("[renewalparams]") && conf.contains(&format!("account = {}", self.account)), "{conf}");
        let listed = self.certkit(&["certificates", "--json", "--cert-name", name]).ends_with(0).json();
        assert_eq!(
            (&listed["lineages"][0]["status"], &listed["lineages"][0]["version"]),
            (&"valid".into(), &version.into())
        );
        let key = fs::metadata(live.join("privkey.pem")).unwrap();
        assert_eq!(key.permissions().mode() & 0o077, 0);
    }

    /// Nothing is left of all that.
    fn assert_settled(&self, lineages: usize) {
        let document = self.certkit(&["certificates", "--json"]).ends_with(0).json();
        assert_eq!(document["problems"].as_array().unwrap().len(), 0, "{document}");
        assert_eq!(document["lineages"].as_array().unwrap().len(), lineages, "{document}");
        self.place.run(&["fsck"]).ends_with(0);
        let listed = self.certbot.succeed(&["certificates"]);
        assert_eq!(listed.matches("Certificate Name: ").count(), lineages, "{listed}");
        assert!(!listed.contains("invalid") && !listed.contains("could not be parsed"), "{listed}");
        for folder in ["etc", "work", "log"] {
            assert!(!self.place.folder().join(folder).join(".certbot.lock").exists(), "{folder}");
        }
    }
}

/// What a reader saw.
#[derive(Default)]
struct Seen {
    looks: usize,
    wrong: BTreeSet<String>,
}

impl Seen {
    #[track_caller]
    fn assert_sound(&self) {
        assert!(self.looks > 3, "only {} looks", self.looks);
        assert!(self.wrong.is_empty(), "in {} looks: {:#?}", self.looks, self.wrong);
    }
}

#[test]
fn two_renewals_at_once_place_one_order_and_the_second_says_who_is_at_work() {
    let shared = Shared::new();
    shared.due("a.example.org");
    shared.due("b.example.org");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = shared.watch(scope, &done);
        let runs = [0, 1].map(|_| scope.spawn(|| shared.certkit_in_turn(&["renew"])));
        let turns = runs.map(|run| run.join().unwrap());
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap().assert_sound();
        let (mut renewed, mut refused) = (0, 0);
        for turn in turns {
            renewed += turn.run.ends_with(0).stdout.matches("fullchain.pem (success)").count();
            refused += turn.refused;
        }
        assert_eq!(renewed, 2, "each of them once");
        assert!(refused > 0, "they never met");
    });
    assert_eq!(shared.ca.orders_placed(), 2);
    shared.assert_whole("a.example.org", 2);
    shared.assert_whole("b.example.org", 2);
    shared.assert_settled(2);
}

#[test]
fn eight_at_once_with_certbot_among_them_lose_nothing_and_order_once() {
    let shared = Shared::new();
    for name in ["a.example.org", "b.example.org"] {
        shared.due(name);
    }
    let done = AtomicBool::new(false);
    let port = shared.port();
    thread::scope(|scope| {
        let readers = [shared.watch(scope, &done)];
        // certbot needs a while until it is at work; the others come when it is.
        let mut runs = vec![scope.spawn(|| shared.certbot_in_turn(&["renew", "--no-random-sleep-on-renew"]))];
        let began = Instant::now();
        while !shared.place.tree.config_dir().join(".certbot.lock").exists() {
            assert!(began.elapsed() < PATIENCE, "certbot takes no lock");
            thread::sleep(Duration::from_millis(5));
        }
        runs.push(scope.spawn(|| shared.certkit_in_turn(&["renew"])));
        runs.push(scope.spawn(|| shared.certkit_in_turn(&["renew"])));
        runs.push(scope.spawn(|| shared.obtain("k1.example.org")));
        runs.push(scope.spawn(|| shared.obtain("same.example.org")));
        runs.push(scope.spawn(|| shared.obtain("same.example.org")));
        runs.push(scope.spawn(|| shared.certbot_in_turn(&shared.certonly(&port, "b1.example.org"))));
        runs.push(scope.spawn(|| shared.certbot_in_turn(&["certificates"])));
        let turns: Vec<_> = runs.into_iter().map(|run| run.join().unwrap()).collect();
        done.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().unwrap().assert_sound();
        }
        assert!(turns.iter().any(|turn| turn.refused > 0), "they never met");
        turns.into_iter().for_each(|turn| drop(turn.run.ends_with(0)));
    });
    assert_eq!(shared.ca.orders_placed(), 5, "two that were due, three that are new");
    for (name, version) in [
        ("a.example.org", 2),
        ("b.example.org", 2),
        ("k1.example.org", 1),
        ("same.example.org", 1),
        ("b1.example.org", 1),
    ] {
        shared.assert_whole(name, version);
    }
    shared.assert_settled(5);
}

#[test]
fn a_certificate_that_another_run_makes_between_the_look_and_the_lock_is_not_replaced() {
    let ca = Pebble::start(PebbleOptions::default());
    let (proxy, place) = (FaultProxy::start(&ca), Place::new());
    // Without an account the CA is asked before the store is locked; it takes its time.
    proxy.on(RequestKind::Directory).times(1).delayed(Duration::from_secs(3)).pass();
    let mut command = place.command(&["certonly", "-n", "--agree-tos", "--standalone", "--no-probe"]);
    command.args(["--cert-name", "same", "-d", "late.example.org", "--server", &proxy.directory_url()]);
    command.env("SSL_CERT_FILE", proxy.ca_bundle()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let late = command.spawn().unwrap();
    let began = Instant::now();
    while proxy.count(RequestKind::Directory) == 0 {
        assert!(began.elapsed() < PATIENCE, "the CA was not asked");
        thread::sleep(Duration::from_millis(10));
    }
    let first =
        place.tree.lineage("same").names(["early.example.org"]).server(&proxy.directory_url()).standalone(1).write();
    let conf = fs::read(&first.conf).unwrap();
    let run = Run::of(late.wait_with_output().unwrap()).ends_with(1);
    for part in
        ["the certificate `same` was not there when this run began", "what to do: nothing was ordered; run the same"]
    {
        assert!(run.stderr.contains(part), "{}", run.stderr);
    }
    assert_eq!((ca.orders_placed(), fs::read(&first.conf).unwrap()), (0, conf));
}

#[test]
fn a_run_that_is_killed_leaves_no_lock_although_its_hook_lives_on() {
    let shared = Shared::new();
    shared.due("a.example.org");
    let started = shared.place.folder().join("started");
    let hook = format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 60", started.display());
    let certkit = |shared: &Shared| {
        let mut command = shared.place.command(&["renew", "-n", "--no-random-sleep-on-renew", "--no-probe"]);
        command.args(["--pre-hook", &hook]).env("SSL_CERT_FILE", shared.ca.ca_bundle());
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut killed = certkit(&shared);
    let began = Instant::now();
    while !started.exists() {
        assert!(began.elapsed() < PATIENCE && killed.try_wait().unwrap().is_none(), "the hook never began");
        thread::sleep(Duration::from_millis(10));
    }
    let hook: i32 = fs::read_to_string(&started).unwrap().trim().parse().unwrap();
    let second = shared.certkit(&["renew"]).ends_with(1);
    assert!(second.stderr.contains(&format!("(process {}, certkit)", killed.id())), "{}", second.stderr);
    killed.kill().unwrap();
    killed.wait().unwrap();
    let next = shared.certkit(&["renew"]);
    kill_process(Pid::from_raw(hook).unwrap(), Signal::KILL).unwrap();
    let next = next.ends_with(0);
    assert!(next.stdout.contains("a.example.org/fullchain.pem (success)"), "{}", next.stdout);
    assert_eq!(shared.ca.orders_placed(), 1);
    shared.assert_whole("a.example.org", 2);
    shared.assert_settled(1);
}
