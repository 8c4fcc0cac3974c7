//! The rules of renewal, whatever the lifetime, the CA's advice, the past and the clock.
#![allow(clippy::unwrap_used)]

use certkit_core::decision::limits::OrderKind;
use certkit_core::decision::{Cadence, DueReason, RenewalInformation, RenewalWish, SuggestedWindow};
use certkit_core::state::{
    DeployTarget, Event, Ledger, LineageState, OrderScope, RecordedWish, Refusal, RevocationMemory, backoff,
};
use certkit_core::{
    AcmeUrl, Failure, FailureClass, HeldBy, IdentifierFailure, IdentifierSet, LineageName, Outlook, PlanInput, Problem,
    Retry, Step, Validity, Version, decide, plan,
};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;
/// The longest Retry-After that the transport hands on.
const LONGEST_RETRY_AFTER: TimeDelta = TimeDelta::days(1);
const DIRECTORIES: [&str; 2] = ["https://acme-v02.api.letsencrypt.org/directory", "https://acme.example.net/directory"];

const CLASSES: [FailureClass; 23] = [
    FailureClass::AccountUnknown,
    FailureClass::AuthenticatorUnsupported,
    FailureClass::BadCsr,
    FailureClass::Bug,
    FailureClass::CertificateUnfit,
    FailureClass::ChallengeFailed,
    FailureClass::ChallengeSetup,
    FailureClass::Clock,
    FailureClass::ExternalAccountRequired,
    FailureClass::Hook,
    FailureClass::IdentifierRefused,
    FailureClass::Interrupted,
    FailureClass::Network,
    FailureClass::OrderLost,
    FailureClass::Paused,
    FailureClass::ProfileRefused,
    FailureClass::Protocol,
    FailureClass::RateLimited,
    FailureClass::Refused,
    FailureClass::ServerUnavailable,
    FailureClass::Settings,
    FailureClass::Store,
    FailureClass::TermsOfService,
];

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

fn directory(place: usize) -> AcmeUrl {
    AcmeUrl::parse(DIRECTORIES[place % 2]).unwrap()
}

fn scope(place: usize, name: &str) -> OrderScope {
    let identifiers = [name.parse().unwrap()].into_iter().collect();
    OrderScope::new(directory(place), "account", identifiers, vec!["example.org".into()])
}

fn input(validity: Option<Validity>, wish: RenewalWish, state: LineageState) -> PlanInput {
    let name = LineageName::new("a.example.org").unwrap();
    let mut input = PlanInput::new(name, validity, wish).remembering(state);
    input.authorities = vec![scope(0, "a.example.org"), scope(1, "a.example.org")];
    input.ari_id = Some("id".into());
    input.serial = Some("7a".into());
    input
}

/// From an hour to ten years, short ones as often as long ones.
fn lifetime() -> impl Strategy<Value = i64> {
    prop_oneof![HOUR..DAY, DAY..20 * DAY, 20 * DAY..400 * DAY, 400 * DAY..10 * YEAR]
}

/// A failure; Retry-After in seconds, when there is one.
fn failure() -> impl Strategy<Value = (Failure, Option<i64>)> {
    let words = prop::sample::select(vec![
        "too many new orders (300) from this account",
        "too many certificates (50) already issued for \"example.org\"",
        "too many certificates (5) already issued for this exact set of identifiers",
        "too many failed authorizations (5) for \"a.example.org\"",
        "slow down",
    ]);
    let retry_after = prop::option::of(1..=LONGEST_RETRY_AFTER.num_seconds());
    (prop::sample::select(&CLASSES[..]), words, retry_after, prop::option::of(400_u16..600), any::<bool>()).prop_map(
        |(class, words, retry_after, status, of_a_name)| {
            let mut failure = Failure::new(class, words).with_problem(Problem::new("rateLimited", words));
            if let Some(status) = status {
                failure = failure.with_http_status(status);
            }
            if of_a_name {
                let identifier = "a.example.org".parse().unwrap();
                let problem = Problem::new("dns", "no such name");
                failure = failure.with_identifiers(vec![IdentifierFailure::new(identifier, problem)]);
            }
            (failure, retry_after)
        },
    )
}

/// One thing that happened in the past, so many seconds ago.
#[derive(Clone, Debug)]
enum Happened {
    Failed { place: usize, failure: Failure, retry_after: Option<i64> },
    Ordered { place: usize },
    Issued { place: usize },
}

fn happened() -> impl Strategy<Value = Happened> {
    let failed = (0..2_usize, failure()).prop_map(|(place, (failure, retry_after))| Happened::Failed {
        place,
        failure,
        retry_after,
    });
    prop_oneof![
        4 => failed,
        1 => (0..2_usize).prop_map(|place| Happened::Ordered { place }),
        1 => (0..2_usize).prop_map(|place| Happened::Issued { place }),
    ]
}

/// A past of up to some weeks, ending now.
fn past() -> impl Strategy<Value = Vec<(i64, Happened)>> {
    prop::collection::vec((0..20 * DAY, happened()), 0..20).prop_map(|mut past| {
        past.sort_by_key(|(ago, _)| std::cmp::Reverse(*ago));
        past
    })
}

/// The memory of a past that ends at `now`.
fn remember(past: &[(i64, Happened)], lifetime: i64, now: i64) -> (LineageState, Ledger) {
    let (mut state, mut ledger) = (LineageState::default(), Ledger::default());
    for (ago, happened) in past {
        let then = now - ago;
        match happened {
            Happened::Failed { place, failure, retry_after } => {
                let mut failure = failure.clone();
                if let Some(seconds) = retry_after {
                    failure = failure.with_retry(Retry::At(at(then + seconds)));
                }
                let directory = directory(*place);
                state.apply(&Event::AttemptStarted { because: "x".into(), directory }, at(then));
                ledger.failed(&scope(*place, "a.example.org"), &failure, at(then));
                state.apply(&Event::AttemptFailed { failure }, at(then));
            }
            Happened::Ordered { place } => ledger.ordered(&scope(*place, "a.example.org"), OrderKind::New, at(then)),
            Happened::Issued { place } => {
                let (scope, life) = (scope(*place, "a.example.org"), TimeDelta::seconds(lifetime));
                ledger.issued(&scope, OrderKind::SameIdentifiers, life, at(then));
            }
        }
    }
    (state, ledger)
}

fn cadence() -> impl Strategy<Value = Cadence> {
    prop_oneof![Just(Cadence::exact()), (1_i64..12_000).prop_map(|minutes| Cadence::every(TimeDelta::minutes(minutes)))]
}

/// A window by hundredths of the lifetime, before, in and after it.
fn advise(state: &mut LineageState, lifetime: i64, (start, width): (i64, i64)) {
    let from = lifetime / 100 * start;
    let window = SuggestedWindow::new(at(from), at(from + lifetime / 100 * width)).unwrap();
    let information = RenewalInformation::answered("id", window, None, at(from));
    state.apply(&Event::RenewalInformationRead { information }, at(0));
}

fn wish() -> impl Strategy<Value = RenewalWish> {
    prop_oneof![
        3 => Just(RenewalWish::default()),
        1 => (1_i64..20_000).prop_map(|hours| RenewalWish::new(Some(format!("{hours} hours")), true)),
    ]
}

/// Any instant, the first and the last that there are included.
fn any_instant() -> impl Strategy<Value = DateTime<Utc>> {
    prop_oneof![
        8 => (-2 * YEAR..2 * YEAR).prop_map(at),
        1 => Just(DateTime::<Utc>::MIN_UTC),
        1 => Just(DateTime::<Utc>::MAX_UTC),
        1 => Just(DateTime::<Utc>::UNIX_EPOCH),
    ]
}

fn any_event() -> impl Strategy<Value = Event> {
    let order_url = AcmeUrl::parse("https://acme.example.net/order/1").unwrap();
    let target = prop::sample::select(vec![
        DeployTarget::Hook("reload".into()),
        DeployTarget::Copy("/srv/copy".into()),
        DeployTarget::Reload("nginx.service".into()),
    ]);
    let retried = || {
        (failure(), prop::option::of(any_instant())).prop_map(|((failure, _), retry)| match retry {
            Some(instant) => failure.with_retry(Retry::At(instant)),
            None => failure,
        })
    };
    let set: IdentifierSet = ["b.example.org".parse().unwrap()].into_iter().collect();
    let targets = prop::collection::vec(target.clone(), 0..3);
    let resumed = Event::OrderResumed { order_url: order_url.clone() };
    prop_oneof![
        4 => retried().prop_map(|failure| Event::AttemptFailed { failure }),
        4 => (0..2_usize).prop_map(|place| Event::AttemptStarted { because: "x".into(), directory: directory(place) }),
        1 => Just(Event::FirstSeen { version: Version(1) }),
        1 => Just(Event::OrderPlaced { order_url: order_url.clone() }),
        1 => Just(resumed),
        1 => Just(Event::OrderDropped { order_url: order_url.clone(), because: "expired".into() }),
        1 => Just(Event::Finalizing { order_url }),
        1 => any_instant().prop_map(|not_after| Event::Issued { serial: "7a".into(), not_after }),
        2 => (any_instant(), targets.clone(), any::<bool>()).prop_map(move |(not_after, targets, left_out)| {
            Event::Committed {
                version: Version(2),
                not_after,
                directory: Some(directory(0)),
                targets,
                profile: Some("classic".into()),
                left_out: if left_out { set.clone() } else { IdentifierSet::default() },
            }
        }),
        1 => targets.prop_map(|targets| Event::DeployReplanned { version: Version(2), targets }),
        1 => target.clone().prop_map(|target| Event::Deployed { target, version: Version(2) }),
        1 => (target, retried()).prop_map(|(target, failure)| Event::DeployFailed { target, version: Version(2), failure }),
        1 => any_instant().prop_map(|instant| Event::WishRecorded { wish: RecordedWish::new(instant) }),
        1 => (any_instant(), any_instant(), any_instant()).prop_map(|(start, end, next_check)| {
            let information = match SuggestedWindow::new(start, end) {
                Some(window) => RenewalInformation::answered("id", window, Some("https://x.example/".into()), next_check),
                None => RenewalInformation::failed(None, "id", next_check),
            };
            Event::RenewalInformationRead { information }
        }),
        1 => (prop::option::of(any_instant()), any_instant()).prop_map(|(since, next_check)| {
            Event::RevocationRead { revocation: RevocationMemory::new("7a", since, next_check) }
        }),
    ]
}

fn any_state() -> impl Strategy<Value = LineageState> {
    prop::collection::vec((any_event(), any_instant()), 0..30).prop_map(|events| {
        let mut state = LineageState::default();
        for (event, instant) in events {
            state.apply(&event, instant);
        }
        state
    })
}

fn any_ledger() -> impl Strategy<Value = Ledger> {
    let one = (0..2_usize, 0..5_u8, any_instant(), any_instant(), failure(), 0..10 * YEAR);
    prop::collection::vec(one, 0..30).prop_map(|all| {
        let mut ledger = Ledger::default();
        for (place, what, instant, until, (failure, _), lifetime) in all {
            let scope = scope(place, "a.example.org");
            match what {
                0 => ledger.ordered(&scope, OrderKind::New, instant),
                1 | 2 => ledger.issued(&scope, OrderKind::New, TimeDelta::seconds(lifetime), instant),
                3 => ledger.run_began(instant),
                _ => ledger.failed(&scope, &failure.with_retry(Retry::At(until)), instant),
            }
        }
        ledger
    })
}

/// The latest instant until which something may be waited for.
fn longest_wait(by: &HeldBy, lifetime: i64, now: DateTime<Utc>) -> DateTime<Utc> {
    match by {
        HeldBy::Failure(failure) => failure.at + LONGEST_RETRY_AFTER.max(TimeDelta::days(1)),
        HeldBy::Refusal(Refusal::Hold(_)) => now + LONGEST_RETRY_AFTER,
        HeldBy::Refusal(Refusal::Limit { limit, .. }) => now + limit.window(),
        HeldBy::Refusal(Refusal::LoopGuard { .. }) => now + TimeDelta::seconds(lifetime / 4),
        other => panic!("{other:?} is new here"),
    }
}

#[test]
fn a_thousand_failures_wait_longer_and_longer_but_never_for_more_than_a_day() {
    // Long before the end of a lifetime nothing hurries.
    let validity = Validity { not_before: at(0), not_after: at(10 * YEAR) };
    for class in CLASSES {
        let mut state = LineageState::default();
        let failure = Failure::new(class, "no").with_http_status(400);
        let mut longest = TimeDelta::zero();
        for number in 1..=1000_u32 {
            state.apply(&Event::AttemptStarted { because: "x".into(), directory: directory(1) }, at(0));
            state.apply(&Event::AttemptFailed { failure: failure.clone() }, at(0));
            let Some((until, _)) = state.held_until(Some(&directory(1)), Some(validity)) else {
                assert_eq!(failure.retry, Retry::Now, "{class:?}");
                break;
            };
            let pause = until - at(0);
            assert!(pause > TimeDelta::zero() && pause >= longest && pause <= TimeDelta::days(1), "{class:?} {number}");
            // Names that a CA has paused wait for their owner.
            assert_eq!(pause, backoff(if class == FailureClass::Paused { u32::MAX } else { number }));
            longest = pause;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_due_is_due_within_its_life_and_waits_no_longer_than_it_has_to(
        lifetime in lifetime(),
        part in 0.0..1.3_f64,
        window in prop::option::of((-50_i64..150, 1_i64..50)),
        wish in wish(),
        cadence in cadence(),
        past in past(),
    ) {
        let validity = Validity { not_before: at(0), not_after: at(lifetime) };
        let now = (lifetime as f64 * part) as i64;
        let (mut state, ledger) = remember(&past, lifetime, now);
        if let Some(window) = window {
            advise(&mut state, lifetime, window);
        }
        let own = wish.renew_before_expiry.is_some();
        let input = input(Some(validity), wish, state);
        let outlook = Outlook::new(ledger, cadence);
        let entry = decide(&input, &outlook.ledger, &outlook, at(now));

        let due = entry.due.at.unwrap();
        prop_assert!(due < validity.not_after);
        if !own {
            prop_assert!(due <= validity.not_after - validity.lifetime() / 6, "too late for a failure");
        }
        if window.is_none() {
            prop_assert!(due > validity.not_before);
        }
        match &entry.step {
            Step::Attempt { .. } => {
                prop_assert!(entry.due.is_due(at(now)));
                prop_assert!(entry.wake.unwrap() <= at(now) + TimeDelta::minutes(10));
            }
            Step::Held { due, until, by } => {
                prop_assert!(entry.due.is_due(at(now)));
                prop_assert!(*due <= at(now) && *until > at(now));
                prop_assert!(*until <= longest_wait(by, lifetime, at(now)), "{by:?} until {until}");
                prop_assert!(entry.wake.unwrap() <= *until);
            }
            Step::NotDue { until, .. } => {
                prop_assert!(!entry.due.is_due(at(now)));
                prop_assert_eq!(until.unwrap(), due);
                prop_assert!(due > at(now) && entry.wake.unwrap() <= due);
            }
            other => panic!("{other:?} is new here"),
        }
        // A plan for one is the same decision.
        prop_assert_eq!(&plan([&input], &outlook, at(now)).entries, &[entry]);
    }

    #[test]
    fn whoever_comes_back_when_he_was_told_to_gets_his_turn(
        lifetime in lifetime(),
        part in 0.7..1.3_f64,
        past in past(),
    ) {
        let validity = Validity { not_before: at(0), not_after: at(lifetime) };
        let now = (lifetime as f64 * part) as i64;
        let (state, ledger) = remember(&past, lifetime, now);
        let input = input(Some(validity), RenewalWish::default(), state);
        let outlook = Outlook::new(ledger, Cadence::exact());
        let mut now = at(now);
        for _ in 0..5 {
            match decide(&input, &outlook.ledger, &outlook, now).step {
                Step::Attempt { .. } => return Ok(()),
                Step::Held { until, .. } => now = until,
                other => panic!("{other:?}"),
            }
        }
        prop_assert!(false, "still waiting at {now}");
    }

    #[test]
    fn a_tree_that_was_just_taken_over_is_left_alone_while_more_than_a_third_is_left(
        lifetime in lifetime(),
        part in 0.0..0.66_f64,
        minutes in 1_i64..12_000,
        is_exact in any::<bool>(),
    ) {
        let validity = Validity { not_before: at(0), not_after: at(lifetime) };
        // Half for those that live for less than ten days.
        let part = if lifetime < 10 * DAY { part * 0.75 } else { part };
        let now = at((lifetime as f64 * part) as i64);
        let cadence = if is_exact { Cadence::exact() } else { Cadence::every(TimeDelta::minutes(minutes)) };
        let input = input(Some(validity), RenewalWish::default(), LineageState::default());
        let outlook = Outlook::new(Ledger::default(), cadence);
        let entry = decide(&input, &outlook.ledger, &outlook, now);
        // Unless it would come to its last eighth before the next run.
        if is_exact || now + cadence.interval <= validity.not_after - validity.lifetime() / 8 {
            prop_assert!(matches!(entry.step, Step::NotDue { .. }), "{:?}", entry.step);
            prop_assert!(matches!(entry.due.reason, DueReason::ThirdOfLifetime | DueReason::HalfOfLifetime));
        } else if part < 0.24 {
            prop_assert!(matches!(entry.step, Step::NotDue { .. }), "young: {:?}", entry.step);
        }
    }

    #[test]
    fn a_stored_state_reads_back_the_same(state in any_state()) {
        let text = serde_json::to_string(&state).unwrap();
        prop_assert_eq!(serde_json::from_str::<LineageState>(&text).unwrap(), state);
    }

    #[test]
    fn a_stored_ledger_reads_back_the_same(ledger in any_ledger()) {
        let text = serde_json::to_string(&ledger).unwrap();
        prop_assert_eq!(serde_json::from_str::<Ledger>(&text).unwrap(), ledger);
    }

    #[test]
    fn no_memory_however_odd_makes_a_decision_panic(
        state in any_state(),
        ledger in any_ledger(),
        not_before in any_instant(),
        not_after in any_instant(),
        has_certificate in any::<bool>(),
        cadence in cadence(),
        now in any_instant(),
    ) {
        let validity = has_certificate.then_some(Validity { not_before, not_after });
        let input = input(validity, RenewalWish::new(Some("40 days".into()), true), state);
        let mut outlook = Outlook::new(ledger, cadence);
        let entry = decide(&input, &outlook.ledger, &outlook, now);
        if let Step::Held { until, .. } = &entry.step {
            prop_assert!(*until > now);
        }
        let _ = plan([&input, &input, &input], &outlook, now).wake();
        let _ = outlook.ledger.headroom(&scope(0, "a.example.org"), now);
        let _ = Cadence::from_past_runs(outlook.ledger.runs());
        outlook.ledger.prune(now);
        let _ = decide(&input, &outlook.ledger, &outlook, now);
    }
}
