use chrono::TimeDelta;

use super::*;
use crate::decision::{RenewalInformation, RenewalWish, SuggestedWindow};
use crate::state::{Event, LineageState, OrderScope};
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
    plan([input], &Outlook::default(), now).entries.remove(0).step
}

fn scope(host: &str, name: &str) -> OrderScope {
    OrderScope {
        directory: directory(host),
        account: "account".into(),
        identifiers: [name.parse().unwrap()].into_iter().collect(),
        registered_domains: vec!["example".into()],
    }
}

fn directory(host: &str) -> AcmeUrl {
    AcmeUrl::parse(&format!("https://{host}/directory")).unwrap()
}

/// Where the failures of a state happened.
fn failing_at(host: &str, class: FailureClass, times: &[i64]) -> LineageState {
    let mut state = LineageState::default();
    for time in times {
        state.apply(&Event::AttemptStarted { because: "x".into(), directory: directory(host) }, at(*time));
        state.apply(&Event::AttemptFailed { failure: Failure::new(class, "no") }, at(*time));
    }
    state
}

#[test]
fn due_and_not_due() {
    assert!(matches!(step(expiring_in(29), at(0)), Step::Attempt { because: DueReason::ThirdOfLifetime, .. }));
    assert!(matches!(step(expiring_in(31), at(0)), Step::NotDue { until: Some(when), .. } if when == at(86_400)));
}

#[test]
fn failures_hold_longer_and_longer_but_the_owner_overrides() {
    let mut state = LineageState::default();
    let failure = Failure::new(FailureClass::ChallengeFailed, "no");
    for (expected_minutes, now) in [(1, at(0)), (10, at(60)), (100, at(700)), (1440, at(7000)), (1440, at(100_000))] {
        state.apply(&Event::AttemptFailed { failure: failure.clone() }, now);
        let input = expiring_in(25).remembering(state.clone());
        let Step::Held { until, .. } = step(input.clone(), now) else { panic!("not held") };
        assert_eq!(until, now + TimeDelta::minutes(expected_minutes));
        let mut forced = input;
        forced.wish = forced.wish.due_now(DueReason::Forced);
        assert!(matches!(step(forced, now), Step::Attempt { because: DueReason::Forced, .. }));
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
fn a_failure_of_a_clock_that_was_ahead_holds_nothing_back() {
    // A machine that boots without a network at a wrong time notes failures of next year.
    let year = 365 * 86_400;
    let state = failing_at("one.example", FailureClass::Network, &[year, year + 60, year + 700]);
    let input = expiring_in(25).remembering(state).at(vec![scope("one.example", "a.example")]);
    assert!(matches!(step(input.clone(), at(0)), Step::Attempt { .. }));
    assert!(matches!(step(input, at(year + 701)), Step::Held { .. }), "by the clock that noted them they hold");
    // Clocks are set back by seconds all the time.
    let state = failing_at("one.example", FailureClass::Network, &[30]);
    let input = expiring_in(25).remembering(state).at(vec![scope("one.example", "a.example")]);
    assert!(matches!(step(input, at(0)), Step::Held { .. }));
}

#[test]
fn another_ca_need_not_wait() {
    let state = failing_at("one.example", FailureClass::ChallengeFailed, &[0]);
    let input = expiring_in(25).remembering(state);
    assert!(matches!(step(input.clone().at(vec![scope("one.example", "a.example")]), at(1)), Step::Held { .. }));
    assert!(matches!(step(input.at(vec![scope("two.example", "a.example")]), at(1)), Step::Attempt { .. }));
}

#[test]
fn the_next_ca_stands_in_while_the_first_is_down_and_only_then() {
    let both = || vec![scope("one.example", "a.example"), scope("two.example", "a.example")];
    let asked = |class: FailureClass, times: &[i64], days_left: i64, now: i64| {
        let input = expiring_in(days_left).remembering(failing_at("one.example", class, times)).at(both());
        match step(input, at(now)) {
            Step::Attempt { directory, .. } => directory.map(|url| url.authority().to_owned()),
            _ => None,
        }
    };
    let (one, two) = (Some("one.example".to_owned()), Some("two.example".to_owned()));
    assert_eq!(asked(FailureClass::ServerUnavailable, &[0], 25, 30), None, "a minute is no outage");
    assert_eq!(asked(FailureClass::ServerUnavailable, &[0], 25, 70), one, "the first is asked again");
    assert_eq!(asked(FailureClass::ServerUnavailable, &[0, 60, 700], 25, 905), two);
    assert_eq!(asked(FailureClass::RateLimited, &[0, 60, 700], 25, 905), None, "that is no outage");
    assert_eq!(asked(FailureClass::RateLimited, &[0], 15, 30), two, "less than a fifth is left");
    assert_eq!(asked(FailureClass::ChallengeFailed, &[0], 15, 30), None, "another CA would see the same");
    // The first one is asked again as soon as its back-off allows.
    assert_eq!(asked(FailureClass::ServerUnavailable, &[0, 60, 700], 25, 700 + 6001), one);
}

#[test]
fn the_next_ca_stands_in_when_another_lineage_met_the_outage() {
    let both = vec![scope("one.example", "a.example"), scope("two.example", "a.example")];
    let mut outlook = Outlook::default();
    let failure = Failure::new(FailureClass::ServerUnavailable, "503").with_retry(Retry::At(at(20 * 3600)));
    outlook.ledger.failed(&scope("one.example", "other.example"), &failure, at(0));
    let asked = |days: i64, now: i64| {
        let input = expiring_in(days).at(both.clone());
        match decide(&input, &outlook.ledger, &outlook, at(now)).step {
            Step::Attempt { directory, .. } => directory.map(|url| url.authority().to_owned()),
            _ => None,
        }
    };
    assert_eq!(asked(25, 60), None, "there is time");
    assert_eq!(asked(25, 901).as_deref(), Some("two.example"), "it has been down for a while");
    assert_eq!(asked(15, 60).as_deref(), Some("two.example"), "less than a fifth is left");
}

#[test]
fn what_is_asked_for_again_and_again_waits_as_a_renewal_does() {
    let state = failing_at("one.example", FailureClass::ChallengeFailed, &[0]);
    let mut input = expiring_in(80).remembering(state).at(vec![scope("one.example", "a.example")]);
    input.wish = input.wish.due_now(DueReason::Changed);
    assert!(matches!(step(input.clone(), at(30)), Step::Held { .. }));
    assert!(matches!(step(input, at(60)), Step::Attempt { because: DueReason::Changed, .. }));
}

#[test]
fn a_check_that_the_owner_switched_off_wakes_nobody() {
    let mut state = LineageState::default();
    let revocation = crate::state::RevocationMemory::new("7a", Some(at(-5)), at(-86_400));
    state.apply(&Event::RevocationRead { revocation }, at(-86_400));
    let mut input = expiring_in(80).remembering(state);
    input.serial = Some("7a".into());
    let outlook = Outlook::default();
    assert!(matches!(
        decide(&input, &outlook.ledger, &outlook, at(0)).step,
        Step::Attempt { because: DueReason::Revoked, .. }
    ));
    input.checks_revocation = false;
    let entry = decide(&input, &outlook.ledger, &outlook, at(0));
    assert!(matches!(entry.step, Step::NotDue { .. }));
    assert_eq!(entry.wake, Some(at(50 * 86_400)));
}

#[test]
fn what_is_nearest_to_its_end_gets_what_is_left_of_a_limit_and_the_others_wait_in_turn() {
    let host = "acme-v02.api.letsencrypt.org";
    let mut outlook = Outlook::default();
    for number in 0..298 {
        outlook.ledger.ordered(&scope(host, &format!("n{number}.example")), OrderKind::New, at(0));
    }
    let new = |name: &str, days: i64| {
        let mut input = expiring_in(days).at(vec![scope(host, name)]);
        input.name = LineageName::new(name).unwrap();
        // Other names than before: no renewal in the eyes of the CA.
        input.same_identifiers = false;
        input.wish = RenewalWish::default();
        input
    };
    let inputs = [new("a.example", 20), new("b.example", 5), new("c.example", 10), new("d.example", 25)];
    let plan = plan(inputs, &outlook, at(0));
    let waits: Vec<Option<i64>> = plan
        .entries
        .iter()
        .map(|entry| match &entry.step {
            Step::Held { until, by, .. } => {
                assert_eq!(by.code(), "new-orders-per-account");
                Some((*until - at(0)).num_seconds())
            }
            Step::Attempt { .. } => None,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(waits, [Some(36), None, None, Some(72)]);
    assert_eq!(plan.wake(), Some(at(0)));
}

#[test]
fn what_waits_for_one_limit_uses_up_no_other() {
    let host = "acme-v02.api.letsencrypt.org";
    let new = |name: String, domain: &str| {
        let mut scope = scope(host, &name);
        scope.registered_domains = vec![domain.into()];
        let mut input = PlanInput::new(LineageName::new(name).unwrap(), None, RenewalWish::default());
        input.authorities = vec![scope];
        input
    };
    let many = (0..420).map(|number| new(format!("n{number}.big.example"), "big.example"));
    let others = (0..5).map(|number| new(format!("n{number}.other.example"), "other.example"));
    let plan = plan(many.chain(others), &Outlook::default(), at(0));
    let attempts = plan.entries.iter().filter(|entry| matches!(entry.step, Step::Attempt { .. })).count();
    assert_eq!(attempts, 55, "fifty of the one domain, all of the other");
    let last = plan.entries.iter().filter_map(|entry| match &entry.step {
        Step::Held { until, .. } => Some(*until),
        _ => None,
    });
    // 370 wait, one in 202 minutes: far beyond the limit's own window.
    assert_eq!(last.max(), Some(at(370 * 12_096)));
}

#[test]
fn advice_counts_only_for_the_certificate_it_was_given_about() {
    let window = SuggestedWindow::new(at(-100), at(-50)).unwrap();
    let information = RenewalInformation::answered("this", window, None, at(3600));
    let mut state = LineageState::default();
    state.apply(&Event::RenewalInformationRead { information }, at(0));
    let mut input = expiring_in(80).remembering(state);
    input.ari_id = Some("another".into());
    assert!(matches!(step(input.clone(), at(0)), Step::NotDue { .. }));
    input.ari_id = Some("this".into());
    assert!(matches!(step(input.clone(), at(0)), Step::Attempt { because: DueReason::RenewalInformation, .. }));
    input.takes_advice = false;
    assert!(matches!(step(input, at(0)), Step::NotDue { .. }));
}

#[test]
fn the_next_instant_is_the_first_of_all_that_is_to_come() {
    let window = SuggestedWindow::new(at(40 * 86_400), at(41 * 86_400)).unwrap();
    let information = RenewalInformation::answered("this", window, None, at(3600));
    let mut state = LineageState::default();
    state.apply(&Event::RenewalInformationRead { information }, at(0));
    let mut input = expiring_in(80).remembering(state);
    input.ari_id = Some("this".into());
    let outlook = Outlook::new(Ledger::default(), crate::decision::Cadence::exact());
    let wake = |input: &PlanInput| decide(input, &outlook.ledger, &outlook, at(0)).wake;
    assert_eq!(wake(&input), Some(at(3600)), "the CA is asked again");
    input.takes_advice = false;
    assert_eq!(wake(&input), Some(at(50 * 86_400)), "a third is left");
    input.wish.never = true;
    assert_eq!(wake(&input), None);
}

#[test]
fn an_order_under_way_is_finished_although_nothing_is_due() {
    let mut state = LineageState::default();
    let order_url = AcmeUrl::parse("https://ca.example/order/1").unwrap();
    state.apply(&Event::OrderPlaced { order_url }, at(0));
    assert!(matches!(
        step(expiring_in(80).remembering(state), at(1)),
        Step::Attempt { because: DueReason::OrderUnderWay, .. }
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

#[test]
fn a_program_that_runs_all_the_time_sleeps_after_local_trouble() {
    let mut state = LineageState::default();
    state.apply(&Event::AttemptFailed { failure: Failure::new(FailureClass::Store, "no space left on device") }, at(0));
    let wake = |input: &PlanInput, now: i64| decide(input, &Ledger::default(), &Outlook::default(), at(now)).wake;
    let mut input = expiring_in(5).remembering(state);
    assert_eq!(wake(&input, 1), Some(at(600)));
    assert_eq!(wake(&input, 700), Some(at(700)));
    assert_eq!(wake(&input, -100), Some(at(-100)), "it was noted by a clock that was ahead");
    input.wish = input.wish.due_now(DueReason::Forced);
    assert_eq!(wake(&input, 1), Some(at(1)));
}

#[test]
fn a_failure_noted_by_a_clock_that_was_hours_ahead_holds_nothing_back() {
    let state = failing_at("one.example", FailureClass::Network, &[86_400, 86_460, 87_100, 93_200]);
    let input = expiring_in(25).remembering(state).at(vec![scope("one.example", "a.example")]);
    assert!(matches!(step(input.clone(), at(0)), Step::Attempt { .. }));
    assert!(matches!(step(input, at(93_200 - 60)), Step::Held { .. }), "a correction by a minute forgets nothing");
}
