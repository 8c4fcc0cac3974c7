//! The command on a clock that is wrong, and on one that jumps while it works. The CA's is right all the time.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use testkit::{Answer, FaultProxy, Pebble, PebbleOptions, RequestKind, WebSink};

use crate::support::{Place, Run};

const NAME: &str = "a.example.org";

/// What libfaketime adds to the time. The proxy's certificate is valid then, so that the CA's Date is seen.
const YEAR_BACK: &str = "-360d";
const YEAR_AHEAD: &str = "+366d";
/// The proxy's certificate is not valid any more, as no real CA's would be.
const YEARS_AHEAD: &str = "+1500d";
const RIGHT: &str = "+0";

/// A machine with a clock of its own, and a certificate that is due.
struct Machine {
    ca: Pebble,
    proxy: FaultProxy,
    place: Place,
}

impl Machine {
    /// With a certificate that is due.
    fn new() -> Self {
        let machine = Self::without_certificate();
        machine.due().standalone(machine.ca.http_port()).write();
        machine
    }

    fn without_certificate() -> Self {
        let ca = Pebble::start(PebbleOptions::default());
        let (proxy, place) = (FaultProxy::start(&ca), Place::new());
        let machine = Self { ca, proxy, place };
        machine.set(RIGHT);
        machine.run(&["register", "--agree-tos", "--server", &machine.proxy.directory_url()]).ends_with(0);
        machine
    }

    fn due(&self) -> testkit::LineageBuilder<'_> {
        let server = self.proxy.directory_url();
        let account = self.place.tree.account_ids(&server).remove(0);
        self.place.tree.lineage(NAME).days_left(5).server(&server).account(&account)
    }

    fn clock(&self) -> PathBuf {
        self.place.folder().join("clock")
    }

    fn set(&self, time: &str) {
        fs::write(self.clock(), time).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.command(arguments);
        command.arg("-n").env("SSL_CERT_FILE", self.proxy.ca_bundle());
        // Read at each look at the clock, so that it can be set while the command runs. What only measures how much time
        // passes is left alone, as by a clock that is set.
        command.env("LD_PRELOAD", testkit::process::libfaketime()).env("FAKETIME_TIMESTAMP_FILE", self.clock());
        command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        command
    }

    fn run(&self, arguments: &[&str]) -> Run {
        Run::of(self.command(arguments).output().unwrap())
    }

    fn renew(&self, more: &[&str]) -> Run {
        let mut arguments = vec!["renew", "--no-random-sleep-on-renew", "--no-probe"];
        arguments.extend(more);
        self.run(&arguments)
    }

    /// The version that all four links lead to.
    fn version(&self) -> u32 {
        let live = self.place.tree.config_dir().join("live").join(NAME);
        let version = |kind: &str| -> u32 {
            let target = fs::read_link(live.join(format!("{kind}.pem"))).unwrap();
            let name = target.file_stem().unwrap().to_str().unwrap();
            name.strip_prefix(kind).unwrap().parse().unwrap()
        };
        let versions = ["cert", "privkey", "chain", "fullchain"].map(version);
        assert_eq!(versions, [versions[0]; 4]);
        versions[0]
    }

    /// The right time again: the certificate is renewed at once, by one order.
    fn assert_renews_at_the_right_time(&self) {
        self.set(RIGHT);
        self.proxy.clear();
        let run = self.renew(&[]).ends_with(0);
        assert!(run.stdout.contains("a.example.org/fullchain.pem (success)"), "{}", run.stdout);
        assert_eq!((self.version(), self.ca.orders_placed()), (2, 1));
        self.renew(&[]).ends_with(0);
        assert_eq!(self.ca.orders_placed(), 1);
    }
}

#[test]
fn on_a_clock_that_is_far_off_nothing_is_ordered_and_the_cure_is_told() {
    for (time, expected) in [
        (YEAR_BACK, " days behind the CA's"),
        (YEAR_AHEAD, " days ahead of the CA's"),
        (YEARS_AHEAD, "; the clock of this machine says "),
    ] {
        let machine = Machine::new();
        machine.set(time);
        let server = machine.proxy.directory_url();
        let new = ["certonly", "--standalone", "-d", "n.example.org", "--no-probe", "--server", &server];
        for run in [machine.renew(&["--force-renewal"]), machine.run(&new)] {
            let run = run.ends_with(1);
            for part in ["clock", expected, "timedatectl", "chrony"] {
                assert!(run.stderr.contains(part), "{time}: no {part:?} in\n{}", run.stderr);
            }
        }
        // Whoever asks the doctor is not sent to look at the network.
        let found = machine.run(&["doctor", "--json"]).json();
        let codes: Vec<_> =
            found["problems"].as_array().unwrap().iter().map(|one| one["code"].as_str().unwrap()).collect();
        assert!(codes.contains(&"clock-off") && !codes.contains(&"directory-unreachable"), "{time}: {codes:?}");
        assert_eq!(machine.ca.orders_placed(), 0, "{time}");
        // What is due by such a clock is not ordered without being forced, either.
        machine.renew(&[]);
        assert_eq!((machine.ca.orders_placed(), machine.version()), (0, 1), "{time}");
        machine.assert_renews_at_the_right_time();
    }
}

#[test]
fn what_only_reads_says_what_is_so_by_the_clock_that_there_is() {
    let machine = Machine::new();
    for (time, status) in [(YEAR_BACK, "not-yet-valid"), (YEAR_AHEAD, "expired"), (RIGHT, "valid")] {
        machine.set(time);
        let listed = machine.run(&["certificates", "--json"]).ends_with(0).json();
        assert_eq!(listed["lineages"][0]["status"], status, "{time}: {listed}");
        assert!(listed["lineages"][0]["error"].is_null(), "{time}: {listed}");
        for command in ["certificates", "status", "plan", "check", "fsck", "history", "versions"] {
            let mut arguments = vec![command];
            if command == "versions" {
                arguments.extend(["--cert-name", NAME]);
            }
            let run = machine.run(&arguments);
            assert!(matches!(run.status, Some(0..=2)), "{time} {command}: {run:?}");
            assert!(!run.stderr.contains("panicked"), "{time} {command}: {run:?}");
        }
        let plan = machine.run(&["plan", "--json"]);
        assert!(matches!(plan.status, Some(0 | 1)), "{time}: {plan:?}");
        let planned = plan.json();
        assert_eq!(planned["lineages"][0]["name"], NAME, "{time}: {planned}");
    }
}

#[test]
fn what_was_noted_a_year_ahead_holds_nothing_back_afterwards() {
    let machine = Machine::new();
    machine.set(YEAR_AHEAD);
    // As far ahead as the machine's own, so that the CA is asked.
    machine.proxy.shift_date(chrono::TimeDelta::days(366));
    machine.proxy.on(RequestKind::NewOrder).answer(Answer::server_internal().retry_after(86_400));
    let failed = machine.renew(&[]).ends_with(1);
    assert!(failed.stderr.contains("Failed to renew certificate a.example.org"), "{}", failed.stderr);
    let held = machine.renew(&[]).ends_with(1);
    assert!(held.stderr.contains("is due, but it is not tried before"), "{}", held.stderr);
    machine.proxy.shift_date(chrono::TimeDelta::zero());
    machine.assert_renews_at_the_right_time();
}

/// The messages about the certificate that came by the webhook.
fn told(sink: &WebSink) -> Vec<String> {
    sink.take().into_iter().map(|request| request.body).filter(|body| body.contains(NAME)).collect()
}

#[test]
fn notices_of_a_clock_a_year_ahead_silence_nothing_at_the_right_time_whether_they_arrived_or_not() {
    for arrives in [true, false] {
        let machine = Machine::new();
        let (sink, settings) = (WebSink::start(), machine.place.tree.config_dir().join("certkit/settings.toml"));
        fs::create_dir_all(settings.parent().unwrap()).unwrap();
        fs::write(settings, format!("[[notify]]\nwebhook = \"generic\"\nurl = \"{}\"\n", sink.url("/x"))).unwrap();
        machine.proxy.on(RequestKind::NewOrder).answer(Answer::server_internal());
        machine.set(YEAR_AHEAD);
        for _ in 0..2 {
            if !arrives {
                sink.answer(500, "");
            }
            machine.renew(&[]);
        }
        let ahead = told(&sink);
        assert_eq!(ahead.len(), if arrives { 1 } else { 2 }, "{ahead:?}");
        assert!(ahead.iter().all(|one| one.contains("expired")), "{ahead:?}");
        // It has five days left, and cannot be renewed: that is news, and what was told a year ahead is not so.
        machine.set(RIGHT);
        machine.renew(&["--force-renewal"]).ends_with(1);
        let now = told(&sink);
        assert!(now.len() == 1 && !now[0].contains("expired"), "{now:?}");
        machine.renew(&["--force-renewal"]).ends_with(1);
        assert_eq!(told(&sink), Vec::<String>::new(), "it is told once");
    }
}

#[test]
fn a_clock_that_jumps_before_the_order_stops_it() {
    for time in [YEAR_BACK, YEAR_AHEAD] {
        let machine = Machine::new();
        let jump = format!("echo {time} > {}", machine.clock().display());
        let run = machine.renew(&["--pre-hook", &jump]).ends_with(1);
        assert!(
            run.stderr.contains("this machine's clock is ") && run.stderr.contains("timedatectl"),
            "{}",
            run.stderr
        );
        assert_eq!((machine.ca.orders_placed(), machine.version()), (0, 1), "{time}");
        machine.set(RIGHT);
        machine.renew(&["--pre-hook", "true"]).ends_with(0);
        assert_eq!((machine.ca.orders_placed(), machine.version()), (1, 2), "{time}");
    }
}

#[test]
fn a_clock_that_jumps_during_an_order_costs_no_certificate_and_the_next_run_ends_it() {
    for (asked, time) in [
        (RequestKind::NewOrder, YEAR_BACK),
        (RequestKind::NewOrder, YEAR_AHEAD),
        (RequestKind::Finalize, YEAR_BACK),
        (RequestKind::Finalize, YEAR_AHEAD),
    ] {
        let machine = Machine::new();
        let clock = machine.clock();
        machine.proxy.on(asked).times(1).rewrite(move |_| fs::write(&clock, time).unwrap());
        let run = machine.renew(&[]);
        let jumped = fs::read_to_string(machine.clock()).unwrap();
        assert_eq!(jumped, time, "{asked:?}");
        assert!(matches!(run.status, Some(0 | 1)) && !run.stderr.contains("panicked"), "{asked:?} {time}: {run:?}");
        let version = machine.version();
        // A certificate that is not valid yet by this clock takes nobody's place.
        assert_eq!(version, if time == YEAR_BACK { 1 } else { 2 }, "{asked:?} {time}: {run:?}");
        assert_eq!(version == 2, run.status == Some(0), "{asked:?} {time}: {run:?}");
        if version == 1 {
            assert!(run.stderr.contains("is the clock right?"), "{asked:?} {time}: {}", run.stderr);
        }
        machine.set(RIGHT);
        let listed = machine.run(&["certificates", "--json"]).ends_with(0).json();
        assert_eq!(listed["lineages"][0]["status"], "valid", "{asked:?} {time}: {listed}");
        machine.renew(&[]).ends_with(0);
        assert_eq!(machine.version(), 2, "{asked:?} {time}");
        assert!(machine.ca.orders_placed() <= 2, "{asked:?} {time}");
    }
}
