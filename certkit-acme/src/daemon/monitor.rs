//! How the long run is, for whoever asks over HTTP.

use std::sync::{Mutex, MutexGuard, PoisonError};

use certkit_core::decision::Cadence;
use certkit_core::escape;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::{LONGEST_SLEEP, Watcher};
use crate::BoxFuture;
use crate::metrics::{Health, MetricsSource};
use crate::renewal::{Renewer, Report, RunError};

/// A loop that sleeps for so much longer than it said is stuck; it looks at the clock every minute.
const LONGEST_DELAY: TimeDelta = TimeDelta::minutes(10);
/// A run may wait for hooks of an hour and for CAs; one that takes so long does not end.
const LONGEST_RUN: TimeDelta = TimeDelta::hours(6);
/// Runs that could not take place are tried again every hour: more than one of them has failed by then.
const LONGEST_WITHOUT_A_RUN: TimeDelta = TimeDelta::hours(LONGEST_SLEEP.num_hours() + 2);

/// Watches a [`Renewer::run_forever`], and tells over HTTP how it is and what it knows
/// ([`metrics::serve`](crate::metrics::serve)).
#[derive(Debug)]
pub struct Monitor {
    renewer: Renewer,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    phase: Phase,
    /// When a run that took place last ended; when it was started, before the first.
    last_run: DateTime<Utc>,
    has_run: bool,
    /// Why the last run could not take place, escaped.
    problem: Option<String>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Working { since: DateTime<Utc> },
    Sleeping { until: DateTime<Utc> },
}

impl Monitor {
    /// Of the long run that this renewer is about to begin.
    pub fn new(renewer: Renewer) -> Self {
        let now = renewer.clock().now();
        let seen = Seen { phase: Phase::Working { since: now }, last_run: now, has_run: false, problem: None };
        Self { renewer, seen: Mutex::new(seen) }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // A panic elsewhere leaves whole values behind.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> DateTime<Utc> {
        self.renewer.clock().now()
    }
}

impl Watcher for Monitor {
    fn working(&self) {
        self.seen().phase = Phase::Working { since: self.now() };
    }

    fn ran(&self, outcome: &Result<Report, RunError>) {
        let now = self.now();
        let mut seen = self.seen();
        match outcome {
            Ok(_) => (seen.last_run, seen.has_run, seen.problem) = (now, true, None),
            Err(error) => seen.problem = Some(escape(&error.to_string()).into_owned()),
        }
    }

    fn sleeping(&self, until: DateTime<Utc>) {
        self.seen().phase = Phase::Sleeping { until };
    }
}

impl MetricsSource for Monitor {
    fn metrics(&self) -> BoxFuture<'_, Result<String, String>> {
        let phase = self.seen().phase;
        let next_run = match phase {
            Phase::Sleeping { until } => Some(until),
            Phase::Working { .. } => None,
        };
        Box::pin(async move {
            let text = self.renewer.metrics(Some(Cadence::exact()), |machine| machine.next_run = next_run).await;
            text.map_err(|error| escape(&error.to_string()).into_owned())
        })
    }

    fn health(&self) -> Health {
        self.seen().health(self.now())
    }
}

impl Seen {
    fn health(&self, now: DateTime<Utc>) -> Health {
        match self.phase {
            Phase::Sleeping { until } if now - until > LONGEST_DELAY => {
                return Health::Ill(format!("it should have looked at {} for what is due, and sleeps", shown(until)));
            }
            Phase::Working { since } if now - since > LONGEST_RUN => {
                return Health::Ill(format!("the run that began at {} has not ended", shown(since)));
            }
            Phase::Sleeping { .. } | Phase::Working { .. } => {}
        }
        let last = match self.has_run {
            true => format!("the last run ended at {}", shown(self.last_run)),
            false => format!("no run has ended since the start at {}", shown(self.last_run)),
        };
        let problem = self.problem.as_ref().map(|why| format!("; the run after it failed: {why}")).unwrap_or_default();
        if now - self.last_run > LONGEST_WITHOUT_A_RUN && self.problem.is_some() {
            return Health::Ill(format!("{last}{problem}"));
        }
        let next = match self.phase {
            Phase::Sleeping { until } => format!("; the next one begins at {}", shown(until)),
            Phase::Working { since } => format!("; one is under way since {}", shown(since)),
        };
        Health::Well(format!("{last}{problem}{next}"))
    }
}

fn shown(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap() + TimeDelta::minutes(minutes)
    }

    fn health(phase: Phase, has_run: bool, problem: Option<&str>, minutes: i64) -> (bool, String) {
        let seen = Seen { phase, last_run: at(0), has_run, problem: problem.map(str::to_owned) };
        match seen.health(at(minutes)) {
            Health::Well(text) => (true, text),
            Health::Ill(text) => (false, text),
        }
    }

    #[test]
    fn a_loop_that_does_what_it_says_is_well() {
        let asleep = Phase::Sleeping { until: at(360) };
        assert_eq!(
            health(asleep, true, None, 369),
            (true, "the last run ended at 2027-01-15T08:00:00Z; the next one begins at 2027-01-15T14:00:00Z".into())
        );
        assert!(health(Phase::Working { since: at(0) }, false, None, 300).0);
        // A clock that was set back says nothing about the loop.
        assert!(health(asleep, true, None, -100_000).0);
        // One run that could not take place is no illness: certbot may have had the lock.
        let (is_well, text) = health(Phase::Sleeping { until: at(61) }, true, Some("it is locked"), 60);
        assert!(is_well && text.contains("; the run after it failed: it is locked; the next"), "{text}");
    }

    #[test]
    fn a_loop_that_is_stuck_or_cannot_run_is_ill_and_says_why() {
        let (is_well, text) = health(Phase::Sleeping { until: at(360) }, true, None, 371);
        assert!(!is_well && text.starts_with("it should have looked at 2027-01-15T14:00:00Z"), "{text}");
        let (is_well, text) = health(Phase::Working { since: at(0) }, true, None, 361);
        assert!(!is_well && text.contains("has not ended"), "{text}");
        let (is_well, text) = health(Phase::Sleeping { until: at(500) }, false, Some("line 3 is wrong"), 481);
        assert!(!is_well, "{text}");
        assert_eq!(
            text,
            "no run has ended since the start at 2027-01-15T08:00:00Z; the run after it failed: line 3 is wrong"
        );
    }
}
