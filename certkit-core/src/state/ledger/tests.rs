use proptest::prelude::*;

use super::*;
use crate::{FailureClass, IdentifierFailure, Problem, Retry};

const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
}

fn scope_at(directory: &str, names: &[&str]) -> OrderScope {
    OrderScope {
        directory: AcmeUrl::parse(directory).unwrap(),
        account: "account".into(),
        identifiers: names.iter().map(|name| name.parse().unwrap()).collect(),
        registered_domains: vec!["example.org".into()],
    }
}

fn scope(names: &[&str]) -> OrderScope {
    scope_at(LETS_ENCRYPT, names)
}

fn refusal(ledger: &Ledger, scope: &OrderScope, kind: OrderKind, now: i64) -> Option<(i64, &'static str)> {
    let refused = ledger.may_order(scope, kind, Some(TimeDelta::days(90)), at(now)).err();
    refused.map(|(until, by)| ((until - at(0)).num_seconds(), by.code()))
}

#[test]
fn three_hundred_orders_in_three_hours_and_then_one_in_thirty_six_seconds() {
    let mut ledger = Ledger::default();
    for number in 0..300 {
        let scope = scope(&[&format!("n{number}.example.org")]);
        assert_eq!(refusal(&ledger, &scope, OrderKind::New, 0), None, "order {number}");
        ledger.ordered(&scope, OrderKind::New, at(0));
    }
    let next = scope(&["next.example.org"]);
    assert_eq!(refusal(&ledger, &next, OrderKind::New, 0), Some((36, "new-orders-per-account")));
    assert_eq!(refusal(&ledger, &next, OrderKind::SameIdentifiers, 0), None, "renewals do not count");
    assert_eq!(refusal(&ledger, &next, OrderKind::New, 36), None);
    ledger.ordered(&next, OrderKind::New, at(36));
    assert_eq!(refusal(&ledger, &next, OrderKind::New, 36), Some((72, "new-orders-per-account")));
    let mut other = next.clone();
    other.account = "another".into();
    assert_eq!(refusal(&ledger, &other, OrderKind::New, 36), None);
}

#[test]
fn fifty_certificates_for_a_registered_domain_in_seven_days() {
    let mut ledger = Ledger::default();
    for number in 0..50 {
        let scope = scope(&[&format!("n{number}.example.org")]);
        ledger.issued(&scope, OrderKind::New, TimeDelta::days(90), at(0));
    }
    let next = scope(&["next.example.org"]);
    // One comes back in 202 minutes (letsencrypt.org/docs/rate-limits).
    assert_eq!(refusal(&ledger, &next, OrderKind::New, 0), Some((12_096, "certificates-per-registered-domain")));
    assert_eq!(refusal(&ledger, &next, OrderKind::SameIdentifiers, 0), None);
    let mut elsewhere = next.clone();
    elsewhere.registered_domains = vec!["example.net".into()];
    assert_eq!(refusal(&ledger, &elsewhere, OrderKind::New, 0), None);
    assert_eq!(ledger.headroom(&next, at(0))[0].2, 0);
}

#[test]
fn the_same_names_are_not_issued_for_three_times_in_a_quarter_of_the_lifetime() {
    let mut ledger = Ledger::default();
    let loops = scope_at("https://ca.example/dir", &["a.example.org", "b.example.org"]);
    let quarter = 90 * 86_400 / 4;
    ledger.issued(&loops, OrderKind::New, TimeDelta::days(90), at(0));
    assert_eq!(refusal(&ledger, &loops, OrderKind::New, 10), None);
    ledger.issued(&loops, OrderKind::WithinWindow, TimeDelta::days(90), at(10));
    let other_order = scope_at("https://ca.example/dir", &["b.example.org", "a.example.org"]);
    for scope in [&loops, &other_order] {
        assert_eq!(refusal(&ledger, scope, OrderKind::WithinWindow, 20), Some((quarter, "loop-guard")));
    }
    assert_eq!(refusal(&ledger, &scope_at("https://ca.example/dir", &["a.example.org"]), OrderKind::New, 20), None);
    assert_eq!(refusal(&ledger, &loops, OrderKind::New, quarter), None);
    // A quarter of twelve hours is three hours: renewing at half of the lifetime is no loop. Nor is it one to go from
    // ninety days to six.
    let mut ledger = Ledger::default();
    ledger.issued(&loops, OrderKind::New, TimeDelta::days(90), at(0));
    for number in 1..40 {
        assert_eq!(ledger.may_order(&loops, OrderKind::New, Some(TimeDelta::hours(12)), at(number * 6 * 3600)), Ok(()));
        ledger.issued(&loops, OrderKind::New, TimeDelta::hours(12), at(number * 6 * 3600));
    }
}

#[test]
fn the_guard_counts_without_a_certificate_in_place_and_over_the_longer_lifetime() {
    let order = scope_at("https://ca.example/dir", &["a.example.org"]);
    let mut ledger = Ledger::default();
    for when in [0, 10] {
        ledger.issued(&order, OrderKind::New, TimeDelta::days(90), at(when));
    }
    // What is live was damaged, so that there is no lifetime to go by.
    assert!(matches!(
        ledger.may_order(&order, OrderKind::New, None, at(20)),
        Err((_, Refusal::LoopGuard { issued: 2, .. }))
    ));
    // Short certificates that never get installed in the place of one of 90 days.
    let mut ledger = Ledger::default();
    for when in [0, 10] {
        ledger.issued(&order, OrderKind::New, TimeDelta::hours(160), at(when));
    }
    assert_eq!(refusal(&ledger, &order, OrderKind::New, 86_400), Some((90 * 86_400 / 4, "loop-guard")));
    // What was issued for a part of the names counts for all of them.
    let mut ledger = Ledger::default();
    let wanted = scope_at("https://ca.example/dir", &["a.example.org", "bad.example.org"]);
    for when in [0, 10] {
        ledger.guard(&wanted.directory, &wanted.identifiers, TimeDelta::days(90), at(when));
    }
    assert!(refusal(&ledger, &wanted, OrderKind::New, 20).is_some());
}

#[test]
fn the_renewals_of_a_lineage_with_short_certificates_do_not_starve_one_with_long_ones_for_the_same_names() {
    let order = scope_at("https://ca.example/dir", &["a.example.org"]);
    let mut ledger = Ledger::default();
    for number in 0..20 {
        ledger.issued(&order, OrderKind::New, TimeDelta::hours(160), at(number * 80 * 3600));
        assert_eq!(refusal(&ledger, &order, OrderKind::New, number * 80 * 3600 + 60), None, "{number}");
    }
}

#[test]
fn an_instant_at_the_end_of_time_does_not_panic() {
    let mut ledger = Ledger::default();
    let order = scope(&["a.example.org"]);
    let end = DateTime::<Utc>::MAX_UTC;
    for _ in 0..3 {
        ledger.ordered(&order, OrderKind::New, end);
        ledger.issued(&order, OrderKind::New, TimeDelta::days(90), end);
        let failure = Failure::new(FailureClass::ServerUnavailable, "503").with_retry(Retry::At(end));
        ledger.failed(&order, &failure, at(0));
    }
    let _ = ledger.may_order(&order, OrderKind::New, Some(TimeDelta::days(90)), at(0));
    let _ = ledger.may_order(&order, OrderKind::New, Some(TimeDelta::days(90)), end);
    ledger.prune(at(0));
}

#[test]
fn five_failed_validations_of_a_name_in_an_hour_hold_it_back() {
    let mut ledger = Ledger::default();
    let bad = scope(&["a.example.org", "bad.example.org"]);
    let failure = Failure::new(FailureClass::ChallengeFailed, "no").with_identifiers(vec![IdentifierFailure::new(
        "bad.example.org".parse().unwrap(),
        Problem::new("dns", "no such name"),
    )]);
    for _ in 0..5 {
        ledger.failed(&bad, &failure, at(0));
    }
    assert_eq!(refusal(&ledger, &bad, OrderKind::WithinWindow, 0), Some((720, "failed-authorizations-per-identifier")));
    assert_eq!(refusal(&ledger, &scope(&["a.example.org"]), OrderKind::New, 0), None);
}

#[test]
fn a_retry_after_holds_back_those_whom_it_concerns() {
    let limited = |detail: &str| {
        Failure::new(FailureClass::RateLimited, detail)
            .with_problem(Problem::new("rateLimited", detail))
            .with_retry(Retry::At(at(3600)))
    };
    let own = scope(&["a.example.org", "b.example.org"]);
    let same_domain = scope(&["c.example.org"]);
    let mut elsewhere = scope(&["a.example.net"]);
    elsewhere.registered_domains = vec!["example.net".into()];
    let mut other_account = elsewhere.clone();
    other_account.account = "another".into();
    let down = Failure::new(FailureClass::ServerUnavailable, "503").with_retry(Retry::At(at(3600)));
    for (failure, held) in [
        (limited("too many new orders (300) from this account in the last 3h0m0s"), [true, true, true, false]),
        (
            limited("too many certificates (50) already issued for \"example.org\" in the last 168h0m0s"),
            [true, true, false, false],
        ),
        (
            limited("too many certificates (5) already issued for this exact set of identifiers"),
            [true, false, false, false],
        ),
        (
            limited("too many failed authorizations (5) for \"b.example.org\" in the last 1h0m0s"),
            [true, false, false, false],
        ),
        (limited("slow down"), [true, true, true, false]),
        (down, [true, true, true, true]),
    ] {
        let mut ledger = Ledger::default();
        ledger.failed(&own, &failure, at(0));
        let scopes = [&own, &same_domain, &elsewhere, &other_account];
        let found = scopes.map(|scope| refusal(&ledger, scope, OrderKind::WithinWindow, 3599).is_some());
        assert_eq!(found, held, "{failure}");
        assert!(scopes.iter().all(|scope| refusal(&ledger, scope, OrderKind::New, 3600).is_none()), "{failure}");
    }
}

#[test]
fn a_clock_that_was_wrong_for_a_while_does_not_close_a_bucket_for_ever() {
    let mut ledger = Ledger::default();
    let order = scope(&["a.example.org"]);
    for _ in 0..400 {
        ledger.ordered(&order, OrderKind::New, at(10 * 365 * 86_400));
    }
    ledger.prune(at(0));
    let (until, _) = refusal(&ledger, &order, OrderKind::New, 0).unwrap();
    assert!(until <= 3 * 3600, "{until}");
    assert_eq!(refusal(&ledger, &order, OrderKind::New, until), None);
}

#[test]
fn what_a_clock_noted_that_was_hours_ahead_holds_nobody_back_afterwards() {
    let mut ledger = Ledger::default();
    let order = scope_at("https://ca.example/dir", &["a.example.org"]);
    let down = Failure::new(FailureClass::ServerUnavailable, "503").with_retry(Retry::At(at(10 * 3600 + 60)));
    ledger.failed(&order, &down, at(10 * 3600));
    for _ in 0..2 {
        ledger.issued(&order, OrderKind::New, TimeDelta::hours(12), at(10 * 3600));
    }
    ledger.run_began(at(10 * 3600));
    let mut corrected = ledger.clone();
    corrected.prune(at(10 * 3600 - 60));
    assert_eq!(corrected, ledger, "a clock that is corrected by minutes loses nothing");
    ledger.prune(at(0));
    assert_eq!(ledger, Ledger::default());
}

#[test]
fn what_cannot_matter_any_more_is_forgotten() {
    let mut ledger = Ledger::default();
    let order = scope(&["a.example.org"]);
    ledger.ordered(&order, OrderKind::New, at(0));
    ledger.issued(&order, OrderKind::New, TimeDelta::days(90), at(0));
    ledger.prune(at(60));
    assert_ne!(ledger, Ledger::default());
    ledger.prune(at(51 * 86_400));
    assert_eq!(ledger, Ledger::default());
    for run in 0..50 {
        ledger.run_began(at(run));
    }
    assert_eq!(ledger.runs().len(), MOST_RUNS);
    assert_eq!(ledger.runs().last(), Some(&at(49)));
}

#[test]
fn how_runs_ended_is_remembered_and_what_a_clock_noted_that_was_ahead_is_forgotten() {
    let mut ledger = Ledger::default();
    ledger.run_ended(RunMemory::new(at(0), true));
    ledger.run_ended(RunMemory::new(at(60), false));
    ledger.prune(at(61));
    assert_eq!((ledger.last_run(), ledger.last_success()), (Some(&RunMemory::new(at(60), false)), Some(at(0))));
    ledger.run_ended(RunMemory::new(at(90 * 86_400), true));
    assert_eq!((ledger.last_success(), ledger.ended_runs()), (Some(at(90 * 86_400)), 3));
    ledger.prune(at(120));
    assert_eq!((ledger.last_run(), ledger.last_success(), ledger.ended_runs()), (None, None, 3));
    let stored = serde_json::to_string(&ledger).unwrap();
    assert_eq!(serde_json::from_str::<Ledger>(&stored).unwrap(), ledger);
    assert_eq!(serde_json::from_str::<Ledger>(r#"{"runs": []}"#).unwrap().ended_runs(), 0);
}

#[test]
fn a_hold_that_a_clock_noted_that_was_ahead_is_none() {
    let month = 30 * 86_400;
    let mut ledger = Ledger::default();
    let order = scope(&["a.example.org"]);
    let busy = Failure::new(FailureClass::ServerUnavailable, "503").with_retry(Retry::At(at(month + 86_400)));
    ledger.failed(&order, &busy, at(month));
    assert_eq!(refusal(&ledger, &order, OrderKind::New, month), Some((month + 86_400, "retry-after")));
    assert_eq!(refusal(&ledger, &order, OrderKind::New, 0), None);
    ledger.prune(at(0));
    assert_eq!(ledger, Ledger::default());
}

/// The bucket as its CA keeps it, in plain arithmetic.
fn tokens_left(times: &[i64], limit_count: f64, window: f64) -> f64 {
    let (mut tokens, mut last) = (limit_count, f64::MIN);
    for time in times {
        let time = *time as f64;
        if last > f64::MIN {
            tokens = (tokens + (time - last) * limit_count / window).min(limit_count);
        }
        tokens -= 1.0;
        last = time;
    }
    tokens
}

proptest! {
    #[test]
    fn a_client_that_heeds_the_ledger_never_empties_the_bucket_of_the_ca(gaps in prop::collection::vec(0_i64..200, 1..700)) {
        let mut ledger = Ledger::default();
        let order = scope(&["a.example.org"]);
        let (mut now, mut taken) = (0, Vec::new());
        for gap in gaps {
            now += gap;
            if ledger.may_order(&order, OrderKind::New, None, at(now)).is_ok() {
                ledger.ordered(&order, OrderKind::New, at(now));
                taken.push(now);
            }
            prop_assert!(tokens_left(&taken, 300.0, 10_800.0) > -0.01);
        }
    }

    #[test]
    fn a_stored_ledger_reads_back_the_same(orders in prop::collection::vec((0_i64..1_000_000, 0_u8..4), 0..40)) {
        let mut ledger = Ledger::default();
        for (when, what) in orders {
            let order = scope(&[&format!("n{}.example.org", when % 7)]);
            match what {
                0 => ledger.ordered(&order, OrderKind::New, at(when)),
                1 => ledger.issued(&order, OrderKind::SameIdentifiers, TimeDelta::days(45), at(when)),
                2 => ledger.run_began(at(when)),
                _ => ledger.failed(&order, &Failure::new(FailureClass::RateLimited, "x").with_retry(Retry::At(at(when + 60))), at(when)),
            }
        }
        let text = serde_json::to_string(&ledger).unwrap();
        prop_assert_eq!(serde_json::from_str::<Ledger>(&text).unwrap(), ledger);
    }
}
