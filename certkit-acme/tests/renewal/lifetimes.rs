//! Certificates of hours and days over simulated weeks, by cron and by the long run: never expired, and no more orders
//! than it takes. Runs, CA and certificates all live by one clock.

use std::sync::Arc;

use certkit_acme::renewal::{Outcome, Renewer, Report, Request};
use certkit_acme::{Clock, Stop, StopReason, Wake, Watcher};
use certkit_core::FindingCode;
use certkit_core::state::Event;
use certkit_core::store::{Store, StorePaths};
use certkit_core::{LineageName, Validity};
use chrono::{DateTime, TimeDelta, Utc};
use testkit::{AccountKeyKind, Tree};

use crate::clock::TestClock;
use crate::simulated_ca::SimulatedCa;
use crate::support::entry;

const NAME: &str = "a.example.com";

/// A lineage whose certificate has just been issued.
struct Simulation {
    clock: Arc<TestClock>,
    ca: SimulatedCa,
    folder: tempfile::TempDir,
    start: DateTime<Utc>,
}

impl Simulation {
    fn new(lifetime: TimeDelta) -> Self {
        // Whole seconds, as certificates have them; a year ahead, so that nothing of it happens to be the real time.
        let start = DateTime::from_timestamp(testkit::now().timestamp(), 0).unwrap() + TimeDelta::days(365);
        let clock = TestClock::at(start);
        let ca = SimulatedCa::start(&clock, lifetime);
        let folder = tempfile::tempdir().unwrap();
        let tree = Tree::new(folder.path().join("le"), start);
        let account = tree.account_with_url(&ca.directory_url(), AccountKeyKind::EcP256, &ca.account_url());
        let lineage = tree.lineage(NAME).lifetime(lifetime).left(lifetime).server(&ca.directory_url());
        lineage.account(&account.id).standalone(testkit::ports::free_port()).write();
        Self { clock, ca, folder, start }
    }

    fn store(&self) -> Store {
        let root = self.folder.path();
        Store::open(StorePaths::new(root.join("le"), root.join("work"), root.join("logs"))).unwrap()
    }

    fn renewer(&self) -> Renewer {
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as Arc<dyn Clock>;
        Renewer::builder(self.store()).clock(clock).build().unwrap()
    }

    fn validity(&self) -> Validity {
        let name = LineageName::new(NAME).unwrap();
        self.store().lineage(&name).unwrap().unwrap().certificate().unwrap().validity()
    }

    /// Runs as cron would. Gives the least that was left of a lifetime right before a run, and the last report.
    async fn cron(&self, every: TimeDelta, times: i32) -> (TimeDelta, Report) {
        let renewer = self.renewer();
        let (mut least, mut last) = (TimeDelta::MAX, None);
        for number in 0..times {
            let now = self.start + every * number;
            self.clock.set(now);
            least = least.min(self.validity().remaining(now));
            last = Some(renewer.run(Request::renew(), &Stop::new()).await.unwrap());
        }
        (least, last.unwrap())
    }

    /// Hours from the beginning to each order.
    fn orders(&self) -> Vec<i64> {
        self.ca.orders().into_iter().map(|at| (at - self.start).num_hours()).collect()
    }
}

fn hours(hours: i64) -> TimeDelta {
    TimeDelta::hours(hours)
}

#[tokio::test]
async fn certificates_of_twelve_hours_are_kept_valid_by_runs_every_two_hours() {
    let simulation = Simulation::new(hours(12));
    let (least, report) = simulation.cron(hours(2), 60).await;
    assert!(report.is_success(), "{report:?}");
    // Each lives for eleven hours from its issuance and is due after five: the third run is the first after that.
    assert_eq!(simulation.orders(), (6..120).step_by(6).collect::<Vec<_>>());
    assert_eq!(least, hours(5));
    assert!(report.findings.iter().all(|finding| finding.code != FindingCode::RunTooRarely), "{report:?}");
}

#[tokio::test]
async fn certificates_of_six_days_are_renewed_when_half_of_the_lifetime_is_left() {
    let simulation = Simulation::new(hours(160));
    let (least, report) = simulation.cron(hours(2), 168).await;
    assert!(report.is_success(), "{report:?}");
    assert_eq!(simulation.orders(), [80, 160, 240, 320]);
    assert_eq!(least, hours(79));
}

#[tokio::test]
async fn an_outage_of_the_ca_is_survived_by_certificates_of_hours() {
    let simulation = Simulation::new(hours(12));
    simulation.cron(hours(2), 4).await;
    assert_eq!(simulation.orders(), [6]);
    // It ends with eleven hours; the CA is away from the fifth to the ninth.
    let renewer = simulation.renewer();
    simulation.ca.set_down(true);
    let mut failed = 0;
    for hour in [8, 10, 12, 14] {
        simulation.clock.set(simulation.start + hours(hour));
        let report = renewer.run(Request::renew(), &Stop::new()).await.unwrap();
        failed += usize::from(matches!(entry(&report, NAME).outcome, Outcome::Failed { .. }));
    }
    assert_eq!(failed, 2, "due at eleven hours");
    simulation.ca.set_down(false);
    simulation.clock.set(simulation.start + hours(16));
    assert_eq!(simulation.validity().remaining(simulation.clock.now()), hours(1));
    let report = renewer.run(Request::renew(), &Stop::new()).await.unwrap();
    assert!(matches!(entry(&report, NAME).outcome, Outcome::Renewed { .. }), "{report:?}");
}

#[tokio::test]
async fn runs_that_come_too_rarely_for_the_lifetime_are_told_and_renew_each_time() {
    let simulation = Simulation::new(hours(12));
    let (_, report) = simulation.cron(hours(12), 6).await;
    assert!(report.findings.iter().any(|finding| finding.code == FindingCode::RunTooRarely), "{report:?}");
    assert_eq!(simulation.orders(), [12, 24, 36, 48, 60]);
}

#[tokio::test]
async fn a_ca_that_has_it_all_at_once_is_asked_no_more_than_it_takes() {
    let simulation = Simulation::new(hours(12));
    simulation.cron(hours(2), 4).await;
    simulation.ca.take_asked();
    simulation.clock.set(simulation.start + hours(12));
    simulation.renewer().run(Request::renew(), &Stop::new()).await.unwrap();
    // The order is ready from the beginning, and the answer to the CSR says where the certificate is.
    assert_eq!(simulation.ca.take_asked(), ["/dir", "/nonce", "/new-order", "/finalize/1", "/cert/1"]);
}

/// Ends the long run at an instant of the simulated time.
struct Until {
    clock: Arc<TestClock>,
    end: DateTime<Utc>,
    stop: Stop,
}

impl Watcher for Until {
    fn sleeping(&self, until: DateTime<Utc>) {
        if until > self.end || self.clock.now() > self.end {
            self.stop.stop(StopReason::Terminate);
        }
    }
}

#[tokio::test]
async fn the_long_run_renews_at_the_very_instant_for_days() {
    for (lifetime, days) in [(12, 3), (160, 14)] {
        let simulation = Simulation::new(hours(lifetime));
        let (stop, end) = (Stop::new(), simulation.start + TimeDelta::days(days));
        let watcher = Until { clock: Arc::clone(&simulation.clock), end, stop: stop.clone() };
        let renewer = simulation.renewer();
        assert_eq!(renewer.run_forever(Request::renew(), &Wake::new(), &watcher, &stop).await, StopReason::Terminate);
        // The first has its whole lifetime before it, the others are issued with an hour of it gone.
        let half = lifetime / 2;
        let expected: Vec<i64> = (half..=days * 24).step_by(usize::try_from(half - 1).unwrap()).collect();
        assert_eq!(simulation.orders(), expected);
        let history = simulation.store().history(&LineageName::new(NAME).unwrap()).unwrap();
        let attempts = history.iter().filter(|one| matches!(one.event, Event::AttemptStarted { .. }));
        for (attempt, hour) in attempts.zip(expected) {
            assert_eq!(attempt.at, simulation.start + hours(hour), "to the second");
        }
        assert!(simulation.validity().remaining(simulation.clock.now()) > hours(half - 2));
    }
}
