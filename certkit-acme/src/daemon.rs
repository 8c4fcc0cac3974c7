//! The long run: a loop over runs, with no rule of its own.

mod monitor;
pub use monitor::Monitor;

use certkit_core::Step;
use certkit_core::decision::Cadence;
use certkit_core::state::backoff;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Notify;

use crate::renewal::{Renewer, Report, Request, RunError};
use crate::{Stop, StopReason};

/// Whatever is due: no more runs than one a minute.
const SHORTEST_SLEEP: TimeDelta = TimeDelta::minutes(1);
/// Certificates and settings that were added meanwhile are looked at after this at the latest, and CAs are asked for
/// renewal information at least twice a day (Let's Encrypt's integration guide, 2025-06-23).
pub(crate) const LONGEST_SLEEP: TimeDelta = TimeDelta::hours(6);
/// What fails on this machine is tried again at the latest after this.
const LONGEST_PAUSE_AFTER_FAILURES: TimeDelta = TimeDelta::hours(1);
/// So often the clock is looked at.
const NAP: TimeDelta = TimeDelta::minutes(1);

/// Is told how the long run goes: for a service manager, a log, a test.
pub trait Watcher: Send + Sync {
    /// A run begins.
    fn working(&self) {}

    /// A run has ended.
    fn ran(&self, _outcome: &Result<Report, RunError>) {}

    /// Nothing is done before this instant, and no lock is held.
    fn sleeping(&self, _until: DateTime<Utc>) {}
}

/// Ends the sleep of a [`Renewer::run_forever`] early.
#[derive(Debug, Default)]
pub struct Wake(Notify);

impl Wake {
    /// Nothing to wake for yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the next run begin now, or right after the one that is under way.
    pub fn wake(&self) {
        self.0.notify_one();
    }
}

/// Nobody is told.
impl Watcher for () {}

impl Renewer {
    /// Runs whenever something is due: at the exact instants that the plan names, after a clock that was set back, when
    /// `wake` says so, when the owner is to be told or reminded of something, and at least every six hours. The store is locked only while a run works. A run that fails
    /// altogether is repeated after the usual back-off; nothing ends the loop but `stop`. Each run goes by the settings as
    /// they are then, but for how the CA is reached: that stays as it was when the renewer was built.
    pub async fn run_forever(&self, request: Request, wake: &Wake, watcher: &dyn Watcher, stop: &Stop) -> StopReason {
        let mut request = request;
        request.cadence = Some(Cadence::exact());
        let mut bad_runs = 0_u32;
        loop {
            if let Some(reason) = stop.reason() {
                return reason;
            }
            watcher.working();
            let began = self.clock().now();
            let outcome = self.with_present_settings().await.run(request.clone(), stop).await;
            let is_good = outcome.as_ref().is_ok_and(Report::is_success);
            bad_runs = if is_good { 0 } else { bad_runs.saturating_add(1) };
            watcher.ran(&outcome);
            if let Some(reason) = stop.reason() {
                return reason;
            }
            let until = self.next_run(&request, began, outcome.is_ok(), bad_runs).await;
            watcher.sleeping(until);
            tokio::select! {
                reason = stop.stopped() => return reason,
                () = self.sleep(until) => {}
                () = wake.0.notified() => {}
            }
        }
    }

    /// The next instant at which there is something to do, after a run that began at `began`.
    async fn next_run(&self, request: &Request, began: DateTime<Utc>, has_run: bool, bad_runs: u32) -> DateTime<Utc> {
        let now = self.clock().now();
        let pause = backoff(bad_runs).clamp(SHORTEST_SLEEP, LONGEST_PAUSE_AFTER_FAILURES);
        let again = now + pause;
        let latest = now + LONGEST_SLEEP;
        // Notices and their reminders come in runs.
        let telling = self.next_telling().await.ok().flatten();
        let latest = telling.map_or(latest, |at| at.clamp(now + SHORTEST_SLEEP, latest));
        // A run that could not take place has left everything as it was.
        let plan = if has_run { self.plan(request).await.ok() } else { None };
        let Some(plan) = plan else { return again };
        let instants = plan.entries.iter().filter_map(|entry| match entry.step {
            // It was tried a moment ago and failed here, without the CA being asked.
            Step::Attempt { .. } => Some(again),
            _ => entry.wake.map(|wake| match wake {
                to_come if to_come > now => to_come,
                // The run saw it and found nothing to do: another one in a minute would find as much.
                seen if seen <= began && bad_runs == 0 => latest,
                _ => again,
            }),
        });
        instants.min().unwrap_or(latest).clamp(now + SHORTEST_SLEEP, latest)
    }

    /// Until the instant, or until the clock is set back.
    async fn sleep(&self, until: DateTime<Utc>) {
        let clock = self.clock();
        let mut before = clock.now();
        while before < until {
            clock.sleep_until(until.min(before + NAP)).await;
            let after = clock.now();
            if after < before {
                return;
            }
            before = after;
        }
    }
}
