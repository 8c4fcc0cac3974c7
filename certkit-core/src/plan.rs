//! What to do for each lineage: one pure function behind every command that renews or tells of renewals.

use chrono::{DateTime, Utc};

use crate::decision::{DueDecision, DueReason, RenewalWish, due};
use crate::state::{LineageState, RememberedFailure, Stage};
use crate::{AcmeUrl, LineageName, Validity};

/// What is known of a lineage when a plan is made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PlanInput {
    /// Its name.
    pub name: LineageName,
    /// The validity of the newest usable certificate; none when there is none.
    pub validity: Option<Validity>,
    /// What the owner wants.
    pub wish: RenewalWish,
    /// What is remembered.
    pub state: LineageState,
    /// Whether an order of an earlier run waits to be finished.
    pub order_under_way: bool,
    /// The directory of the CA that would be asked: failures at another one do not hold it.
    pub directory: Option<AcmeUrl>,
}

impl PlanInput {
    /// The input of a lineage without a memory.
    pub fn new(name: LineageName, validity: Option<Validity>, wish: RenewalWish) -> Self {
        Self { name, validity, wish, state: LineageState::default(), order_under_way: false, directory: None }
    }

    /// The same with what is remembered.
    #[must_use]
    pub fn remembering(mut self, state: LineageState) -> Self {
        self.order_under_way = matches!(state.stage, Stage::Ordered { .. } | Stage::Finalizing { .. });
        self.state = state;
        self
    }
}

/// What to do for every lineage, in the order of the input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// The lineages.
    pub entries: Vec<PlanEntry>,
}

/// What to do for one lineage.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlanEntry {
    /// Its name.
    pub name: LineageName,
    /// What to do.
    pub step: Step,
    /// Whether it is due, and why.
    pub due: DueDecision,
}

/// What to do for a lineage now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Renew it.
    Attempt {
        /// Why.
        because: DueReason,
    },
    /// It is due, but an earlier failure says to wait.
    Held {
        /// Since when it is due.
        due: DateTime<Utc>,
        /// Until when to wait.
        until: DateTime<Utc>,
        /// The failure.
        by: RememberedFailure,
    },
    /// It is not due.
    NotDue {
        /// When it will be; none for never.
        until: Option<DateTime<Utc>>,
        /// By which rule.
        because: DueReason,
    },
}

/// Plans the run at `now`. Two questions are kept apart: whether a lineage is due, and whether it may be tried now.
pub fn plan(inventory: impl IntoIterator<Item = PlanInput>, now: DateTime<Utc>) -> Plan {
    Plan { entries: inventory.into_iter().map(|input| plan_one(input, now)).collect() }
}

fn plan_one(input: PlanInput, now: DateTime<Utc>) -> PlanEntry {
    let mut decision = match input.validity {
        Some(validity) => due(input.name.as_str(), validity, &input.wish, now),
        None => DueDecision {
            at: Some(now),
            reason: input.wish.now.clone().unwrap_or(DueReason::NoCertificate),
            findings: Vec::new(),
        },
    };
    // An order that the CA has accepted has used up its share of the limits: finishing it costs nothing more.
    if input.order_under_way && !decision.is_due(now) {
        decision.at = Some(now);
        decision.reason = DueReason::OrderUnderWay;
    }
    let step = match decision.at {
        Some(at) if now >= at => match input.state.held_until() {
            // The owner's word overrides our own caution.
            Some((until, by)) if now < until && input.wish.now.is_none() && concerns(by, input.directory.as_ref()) => {
                Step::Held { due: at, until, by: by.clone() }
            }
            _ => Step::Attempt { because: decision.reason.clone() },
        },
        until => Step::NotDue { until, because: decision.reason.clone() },
    };
    PlanEntry { name: input.name, step, due: decision }
}

fn concerns(failure: &RememberedFailure, directory: Option<&AcmeUrl>) -> bool {
    match (&failure.directory, directory) {
        (Some(then), Some(now)) => then == now,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::state::Event;
    use crate::{Failure, FailureClass, Retry};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
    }

    fn expiring_in(days: i64) -> PlanInput {
        let not_after = at(days * 86_400);
        let validity = Validity { not_before: not_after - TimeDelta::days(90), not_after };
        PlanInput::new(LineageName::new("a.example").unwrap(), Some(validity), RenewalWish::default())
    }

    fn step(input: PlanInput, now: DateTime<Utc>) -> Step {
        plan([input], now).entries.remove(0).step
    }

    #[test]
    fn due_and_not_due() {
        assert!(matches!(step(expiring_in(29), at(0)), Step::Attempt { because: DueReason::ThirdOfLifetime }));
        assert!(matches!(step(expiring_in(31), at(0)), Step::NotDue { until: Some(when), .. } if when == at(86_400)));
    }

    #[test]
    fn failures_hold_longer_and_longer_but_the_owner_overrides() {
        let mut state = LineageState::default();
        let failure = Failure::new(FailureClass::ChallengeFailed, "no");
        for (expected_minutes, now) in [(1, at(0)), (10, at(60)), (100, at(700)), (1440, at(7000)), (1440, at(100_000))]
        {
            state.apply(&Event::AttemptFailed { failure: failure.clone() }, now);
            let input = expiring_in(5).remembering(state.clone());
            let Step::Held { until, .. } = step(input.clone(), now) else { panic!("not held") };
            assert_eq!(until, now + TimeDelta::minutes(expected_minutes));
            let mut forced = input;
            forced.wish = forced.wish.due_now(DueReason::Forced);
            assert!(matches!(step(forced, now), Step::Attempt { because: DueReason::Forced }));
        }
    }

    #[test]
    fn a_named_time_is_waited_for_even_when_it_is_longer_than_the_backoff() {
        let mut state = LineageState::default();
        state.apply(
            &Event::AttemptFailed {
                failure: Failure::new(FailureClass::RateLimited, "429").with_retry(Retry::At(at(3600))),
            },
            at(0),
        );
        assert!(
            matches!(step(expiring_in(5).remembering(state.clone()), at(3599)), Step::Held { until, .. } if until == at(3600))
        );
        assert!(matches!(step(expiring_in(5).remembering(state), at(3600)), Step::Attempt { .. }));
    }

    #[test]
    fn another_ca_need_not_wait() {
        let directory = |host: &str| AcmeUrl::parse(&format!("https://{host}/dir")).unwrap();
        let mut state = LineageState::default();
        state.apply(&Event::AttemptStarted { because: "x".into(), directory: directory("one.example") }, at(0));
        state.apply(&Event::AttemptFailed { failure: Failure::new(FailureClass::ChallengeFailed, "no") }, at(0));
        let mut input = expiring_in(5).remembering(state);
        input.directory = Some(directory("one.example"));
        assert!(matches!(step(input.clone(), at(1)), Step::Held { .. }));
        input.directory = Some(directory("two.example"));
        assert!(matches!(step(input, at(1)), Step::Attempt { .. }));
    }

    #[test]
    fn an_order_under_way_is_finished_although_nothing_is_due() {
        let mut state = LineageState::default();
        let order_url = AcmeUrl::parse("https://ca.example/order/1").unwrap();
        state.apply(&Event::OrderPlaced { order_url }, at(0));
        assert!(matches!(
            step(expiring_in(80).remembering(state), at(1)),
            Step::Attempt { because: DueReason::OrderUnderWay }
        ));
    }

    #[test]
    fn local_trouble_is_tried_again_at_every_run() {
        let mut state = LineageState::default();
        state.apply(
            &Event::AttemptFailed { failure: Failure::new(FailureClass::ChallengeSetup, "port 80 is taken") },
            at(0),
        );
        assert!(matches!(step(expiring_in(5).remembering(state), at(1)), Step::Attempt { .. }));
    }
}
