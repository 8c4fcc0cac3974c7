use proptest::prelude::*;

use super::*;
use crate::LineageName;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

const START: i64 = 1_000_000;

fn lasting(seconds: i64) -> Validity {
    Validity { not_before: at(START), not_after: at(START + seconds) }
}

const HOUR: i64 = 3600;
const DAY: i64 = 86_400;

fn seed() -> Seed {
    Seed::of(b"machine", &LineageName::new("a").unwrap())
}

fn plain(validity: Validity, wish: &RenewalWish, now: DateTime<Utc>) -> DueDecision {
    due(&DueFacts::new("a", validity, wish, seed()), now)
}

/// The decision with a window, by seconds after the start of the validity.
fn advised(validity: Validity, wish: &RenewalWish, window: (i64, i64), cadence: Cadence, now: i64) -> DueDecision {
    let window = SuggestedWindow::new(at(START + window.0), at(START + window.1)).unwrap();
    let information = RenewalInformation::answered("id", window, Some("https://ca.example/why".into()), at(START));
    let mut facts = DueFacts::new("a", validity, wish, seed());
    facts.renewal_information = Some(&information);
    facts.cadence = cadence;
    due(&facts, at(START + now))
}

fn codes(decision: &DueDecision) -> Vec<FindingCode> {
    decision.findings.iter().map(|finding| finding.code).collect()
}

#[test]
fn a_third_is_left_to_the_second() {
    let wish = RenewalWish::default();
    let decision = plain(lasting(90 * DAY), &wish, at(0));
    assert_eq!(decision.at, Some(at(START + 60 * DAY)));
    assert!(!decision.is_due(at(START + 60 * DAY - 1)));
    assert!(decision.is_due(at(START + 60 * DAY)));
    assert_eq!(decision.reason, DueReason::ThirdOfLifetime);
}

#[test]
fn half_is_left_below_ten_days() {
    let wish = RenewalWish::default();
    let short = plain(lasting(10 * DAY - 2), &wish, at(0));
    assert_eq!((short.at, short.reason), (Some(at(START + 5 * DAY - 1)), DueReason::HalfOfLifetime));
    assert_eq!(plain(lasting(10 * DAY), &wish, at(0)).reason, DueReason::ThirdOfLifetime);
}

#[test]
fn renew_before_expiry_overrides_unless_it_covers_the_whole_life() {
    let wish = |text: &str| RenewalWish::new(Some(text.into()), true);
    let decision = plain(lasting(90 * DAY), &wish("10 days"), at(0));
    assert_eq!((decision.at, decision.reason), (Some(at(START + 80 * DAY)), DueReason::RenewBeforeExpiry));
    // NPM#5483: a fixed "30 days before" on a six-day certificate renewed at every run and burned the limit.
    let decision = plain(lasting(6 * DAY), &wish("30 days"), at(0));
    assert_eq!(decision.reason, DueReason::HalfOfLifetime);
    assert_eq!(decision.findings[0].code, FindingCode::RenewBeforeExpiryTooLong);
    for text in ["whenever", "0", "0 days", "1 day -24 hours"] {
        let decision = plain(lasting(90 * DAY), &wish(text), at(0));
        assert_eq!(decision.findings[0].code, FindingCode::RenewBeforeExpiryUnreadable, "{text}");
        assert_eq!(decision.reason, DueReason::ThirdOfLifetime, "{text}");
    }
}

#[test]
fn an_owner_who_wants_it_late_has_it_late_and_is_not_told_that_runs_are_rare() {
    let wish = RenewalWish::new(Some("7 days".into()), true);
    let mut facts = DueFacts::new("a", lasting(90 * DAY), &wish, seed());
    facts.cadence = Cadence::every(TimeDelta::hours(12));
    for (day, is_due) in [(79, false), (82, false), (84, true)] {
        let decision = due(&facts, at(START + day * DAY));
        assert_eq!((decision.is_due(at(START + day * DAY)), codes(&decision)), (is_due, vec![]), "day {day}");
    }
}

#[test]
fn autorenew_off_is_never_due_but_force_is_and_a_revocation_is_told() {
    let wish = RenewalWish::new(None, false);
    assert_eq!(plain(lasting(DAY), &wish, at(i64::from(u32::MAX))).at, None);
    let mut facts = DueFacts::new("a", lasting(DAY), &wish, seed());
    facts.revoked_since = Some(at(START + 5));
    let decision = due(&facts, at(START + 10));
    assert!(!decision.is_due(at(START + 10)));
    assert_eq!(codes(&decision), [FindingCode::CertificateRevoked]);
    assert!(plain(lasting(DAY), &wish.due_now(DueReason::Forced), at(0)).is_due(at(0)));
}

#[test]
fn the_cas_window_counts_instead_of_the_rule_of_the_lifetime() {
    let wish = RenewalWish::default();
    let decision = advised(lasting(90 * DAY), &wish, (61 * DAY, 62 * DAY), Cadence::exact(), 60 * DAY + 1);
    assert_eq!(decision.reason, DueReason::RenewalInformation);
    assert!(!decision.is_due(at(START + 60 * DAY + 1)), "a third is left, but the CA wants it later");
    let instant = decision.at.unwrap();
    assert!(decision.window.unwrap().contains(instant));
    assert!(decision.is_due(instant));
}

#[test]
fn a_window_in_the_past_means_now_and_stays_so_until_it_is_renewed() {
    let wish = RenewalWish::default();
    for now in [5 * DAY, 6 * DAY, 50 * DAY] {
        let decision = advised(lasting(90 * DAY), &wish, (4 * DAY, 4 * DAY + 60), Cadence::exact(), now);
        assert!(decision.is_due(at(START + now)));
        assert_eq!(decision.reason, DueReason::RenewalInformation);
        assert_eq!(codes(&decision), [FindingCode::RenewalInformationExplained]);
    }
}

#[test]
fn what_would_come_before_the_next_run_is_due_now_and_the_lost_exemption_is_told() {
    let wish = RenewalWish::default();
    // 160 hours at Let's Encrypt: the window is 3.2 hours wide, and a timer of twelve hours would miss it.
    let window = (78 * HOUR, 81 * HOUR);
    let twice_a_day = Cadence::every(TimeDelta::hours(12));
    let decision = advised(lasting(160 * HOUR), &wish, window, twice_a_day, 65 * HOUR);
    assert!(!decision.is_due(at(START + 65 * HOUR)));
    let decision = advised(lasting(160 * HOUR), &wish, window, twice_a_day, 70 * HOUR);
    assert!(decision.early && decision.is_due(at(START + 70 * HOUR)));
    assert_eq!(codes(&decision), [FindingCode::BeforeTheWindow]);
    let decision = advised(lasting(160 * HOUR), &wish, window, Cadence::exact(), 70 * HOUR);
    assert!(!decision.is_due(at(START + 70 * HOUR)), "a timer that is set to the instant does not come too late");
}

#[test]
fn advice_that_leaves_no_time_for_a_failure_is_not_followed() {
    let wish = RenewalWish::default();
    for (lifetime, latest) in [(90 * DAY, 75 * DAY), (160 * HOUR, 120 * HOUR)] {
        let beyond = (lifetime + DAY, lifetime + 2 * DAY);
        let decision = advised(lasting(lifetime), &wish, beyond, Cadence::exact(), 0);
        assert_eq!(decision.at, Some(at(START + latest)));
        assert!(codes(&decision).contains(&FindingCode::RenewalInformationTooLate));
    }
}

#[test]
fn the_earlier_of_the_owners_interval_and_the_cas_window_counts() {
    let wish = RenewalWish::new(Some("40 days".into()), true);
    let decision = advised(lasting(90 * DAY), &wish, (60 * DAY, 61 * DAY), Cadence::exact(), 0);
    assert_eq!((decision.at, decision.reason), (Some(at(START + 50 * DAY)), DueReason::RenewBeforeExpiry));
    let decision = advised(lasting(90 * DAY), &wish, (2 * DAY, 3 * DAY), Cadence::exact(), 0);
    assert_eq!(decision.reason, DueReason::RenewalInformation);
}

#[test]
fn a_certificate_that_would_not_live_to_see_the_run_after_next_is_due_and_the_rare_runs_are_told() {
    let wish = RenewalWish::default();
    let mut facts = DueFacts::new("a", lasting(12 * HOUR), &wish, seed());
    facts.cadence = Cadence::every(TimeDelta::hours(12));
    let decision = due(&facts, at(START + 4 * HOUR));
    assert!(decision.early);
    assert_eq!(codes(&decision), [FindingCode::RunTooRarely]);
    // Whoever comes when it has expired hears it as well.
    for hours in [7, 11, 13] {
        let decision = due(&facts, at(START + hours * HOUR));
        assert!(decision.is_due(at(START + hours * HOUR)) && !decision.early);
        assert_eq!(codes(&decision), [FindingCode::RunTooRarely], "after {hours} hours");
    }
    facts.cadence = Cadence::every(TimeDelta::hours(2));
    assert!(!due(&facts, at(START + 4 * HOUR)).early);
}

#[test]
fn what_was_just_issued_is_not_due_again_however_rare_the_runs_are() {
    let wish = RenewalWish::default();
    let twice_a_day = Cadence::every(TimeDelta::hours(12));
    let mut facts = DueFacts::new("a", lasting(12 * HOUR), &wish, seed());
    facts.cadence = twice_a_day;
    let decision = due(&facts, at(START + HOUR));
    assert!(!decision.early);
    assert_eq!(codes(&decision), [FindingCode::RunTooRarely]);
    assert!(!advised(lasting(12 * HOUR), &wish, (5 * HOUR, 7 * HOUR), twice_a_day, HOUR).early);
    // A CA that has to revoke it tomorrow says so by its window.
    assert!(advised(lasting(90 * DAY), &wish, (5 * HOUR, 7 * HOUR), twice_a_day, HOUR).early);
}

#[test]
fn a_revoked_certificate_and_a_recorded_wish_are_due_at_once() {
    let wish = RenewalWish::default();
    let mut facts = DueFacts::new("a", lasting(90 * DAY), &wish, seed());
    facts.changed_since = Some(at(START + 10));
    let decision = due(&facts, at(START + 20));
    assert_eq!((decision.at, decision.reason), (Some(at(START + 10)), DueReason::Changed));
    facts.revoked_since = Some(at(START + 15));
    let decision = due(&facts, at(START + 20));
    assert_eq!(
        (decision.reason.clone(), codes(&decision)),
        (DueReason::Revoked, vec![FindingCode::CertificateRevoked])
    );
    // What is due by its age anyway needs no other reason.
    assert_eq!(due(&facts, at(START + 70 * DAY)).reason, DueReason::ThirdOfLifetime);
}

proptest! {
    #[test]
    fn the_instant_lies_within_the_life(
        seconds in 3600_i64..10 * 365 * DAY,
        start in -100_i64..100,
        width in 1_i64..100,
        minutes in 1_i64..2000,
    ) {
        let wish = RenewalWish::default();
        let validity = lasting(seconds);
        let instant = plain(validity, &wish, at(0)).at.unwrap();
        prop_assert!(instant > validity.not_before && instant < validity.not_after);
        // Whatever a CA advises: never after the latest sensible instant, and so with a sixth of the life left.
        let from = seconds / 50 * start;
        let window = (from, from + seconds / 50 * width);
        let cadence = Cadence::every(TimeDelta::minutes(minutes));
        let decision = advised(validity, &wish, window, cadence, 0);
        prop_assert!(decision.at.unwrap() <= validity.not_after - validity.lifetime() / 6);
    }

    #[test]
    fn odd_periods_do_not_panic(start in -60_000_000_000_i64..250_000_000_000, end in -60_000_000_000_i64..250_000_000_000, text in ".{0,20}") {
        let validity = Validity { not_before: at(start), not_after: at(end) };
        let mut facts_wish = RenewalWish::new(Some(text), true);
        for now in [start, end] {
            let mut facts = DueFacts::new("a", validity, &facts_wish, seed());
            facts.cadence = Cadence::default();
            let _ = due(&facts, at(now));
        }
        facts_wish.renew_before_expiry = None;
        let _ = advised(validity, &facts_wish, (start, start + 1), Cadence::default(), 0);
    }
}
