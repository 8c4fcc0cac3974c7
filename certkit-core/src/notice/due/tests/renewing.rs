//! What keeps a certificate from being renewed.

use super::*;

#[test]
fn that_a_certificate_is_due_is_no_reason_to_speak() {
    for lifetime in LIFETIMES {
        let case = Case::of(lifetime);
        let due = lifetime - left_when_due(lifetime);
        for now in [0, due - 1, due, due + 1, due + 15] {
            assert_eq!(case.said(now), [], "{lifetime} hours, at {now}");
        }
    }
}

#[test]
fn what_is_overdue_warns_even_when_nobody_tries_any_more() {
    for (lifetime, grace) in LIFETIMES.into_iter().zip([16, 24, 24, 24, 24]) {
        let due = lifetime - left_when_due(lifetime);
        let case = Case::of(lifetime).ran(due - 12);
        assert_eq!(case.said(due + grace - 1), [], "{lifetime}");
        assert_eq!(case.said(due + grace), [(Overdue, Warning)], "{lifetime}");
    }
    let notice = &Case::of(90 * DAY).ran(59 * DAY).due(62 * DAY, &NoticeMemory::default())[0];
    assert_eq!((notice.command.as_str(), notice.cause_key.as_str()), ("certkit timer show", "no-run"));
    assert!(notice.cause.contains("the last run of certkit was on 2027-03-15"), "{}", notice.cause);
    assert_eq!(notice.due_since, Some(at(60 * DAY)));
}

#[test]
fn a_single_failed_attempt_is_waited_for_and_two_are_not() {
    let once = Case::of(90 * DAY).fails(61 * DAY, network());
    assert_eq!(once.said(61 * DAY), []);
    assert_eq!(once.said(62 * DAY), [(Overdue, Warning)], "no other attempt came");
    let twice = once.fails(61 * DAY + 1, network());
    assert_eq!(twice.said(61 * DAY + 1), [(Overdue, Warning)]);
    let early = Case::of(90 * DAY).fails(60 * DAY, network()).fails(60 * DAY + 2, network());
    assert_eq!(early.said(60 * DAY + 12), [], "a CA that is down for half a day is nobody's to cure");
}

#[test]
fn runs_that_come_once_a_week_are_waited_for() {
    let mut case = Case::of(90 * DAY);
    case.outlook.cadence = Cadence::every(TimeDelta::days(7));
    assert_eq!(case.said(66 * DAY), []);
    assert!(case.said(68 * DAY).contains(&(Overdue, Warning)));
}

#[test]
fn what_only_the_owner_can_cure_is_told_at_the_first_failure() {
    let owners = [
        dns("www.a.example"),
        Failure::new(FailureClass::ChallengeSetup, "port 80 is taken"),
        Failure::new(FailureClass::Paused, "paused"),
        Failure::new(FailureClass::TermsOfService, "new terms"),
        Failure::new(FailureClass::Store, "no space left on device"),
        Failure::new(FailureClass::IdentifierRefused, "caa"),
    ];
    for lifetime in LIFETIMES {
        let due = lifetime - left_when_due(lifetime) + 1;
        for failure in &owners {
            let class = failure.class;
            let notices = Case::of(lifetime).fails(due, failure.clone()).due(due, &NoticeMemory::default());
            assert_eq!(notices.len(), 1, "{class:?}");
            let notice = &notices[0];
            assert_eq!((notice.kind, notice.level, notice.class), (RenewalFailed, Warning, Some(class)));
            assert!(!notice.cause.is_empty() && !notice.cure.is_empty() && !notice.command.is_empty(), "{notice:?}");
        }
        assert_eq!(Case::of(lifetime).fails(due, network()).said(due), []);
    }
}

#[test]
fn an_eighth_is_critical_a_twentieth_an_emergency_and_so_is_the_end() {
    for lifetime in LIFETIMES {
        let case = Case::of(lifetime).fails(lifetime / 2 + 1, network()).fails(lifetime / 2 + 2, network());
        let said = |left: i64| case.said(lifetime - left);
        assert_eq!(said(lifetime / 8 + 1), [(Overdue, Warning)], "{lifetime}");
        assert_eq!(said(lifetime / 8), [(Expiring, Critical)], "{lifetime}");
        assert_eq!(said(lifetime / 20 + 1), [(Expiring, Critical)], "{lifetime}");
        assert_eq!(said(lifetime / 20), [(Expiring, Emergency)], "{lifetime}");
        assert_eq!(said(-1), [(Expiring, Emergency)], "{lifetime}");
        assert_eq!(said(-24 * 31), [(Expiring, Critical)], "nobody misses it: {lifetime}");
    }
}

#[test]
fn an_owner_who_wants_it_late_is_not_alarmed_before_it_is_late() {
    let mut case = Case::of(90 * DAY);
    case.wish = RenewalWish::new(Some("3 days".into()), true);
    assert_eq!(case.said(86 * DAY), [], "four days left are less than a twentieth");
    assert_eq!(case.said(87 * DAY + 1), []);
    assert_eq!(case.said(87 * DAY + 18), [(Expiring, Emergency)], "a quarter of what was left has passed");
    let failed = case.fails(87 * DAY + 1, dns("a.example"));
    assert_eq!(failed.said(87 * DAY + 1), [(Expiring, Emergency)]);
}

#[test]
fn what_nothing_renews_is_told_before_it_ends() {
    let mut case = Case::of(90 * DAY);
    case.wish = RenewalWish::new(None, false);
    assert_eq!(case.said(60 * DAY), []);
    assert_eq!(case.said(61 * DAY), [(Expiring, Warning)]);
    assert_eq!(case.said(79 * DAY), [(Expiring, Critical)]);
    assert_eq!(case.said(86 * DAY), [(Expiring, Emergency)]);
    let notice = &case.due(61 * DAY, &NoticeMemory::default())[0];
    assert_eq!(notice.command, "certkit renew --cert-name a.example --force-renewal");
    assert_eq!(notice.cause_key, "autorenew-off");
}

#[test]
fn what_a_limit_explains_is_not_told_unless_it_becomes_dangerous() {
    let limited = Failure::new(FailureClass::RateLimited, "too many").with_http_status(429);
    let mut case = Case::of(90 * DAY);
    for day in 60..67 {
        case = case.fails(day * DAY, limited.clone().with_retry(Retry::At(at((day + 1) * DAY))));
        assert_eq!(case.said(day * DAY + 1), [], "day {day}");
    }
    assert_eq!(case.said(67 * DAY + 1), [(Overdue, Warning)], "a week is long for a limit");
    assert_eq!(case.said(79 * DAY), [(Expiring, Critical)]);
}

#[test]
fn what_waits_for_an_account_s_limit_is_not_told_and_a_loop_is() {
    let mut case = Case::of(90 * DAY);
    let directory = AcmeUrl::parse("https://ca.example/dir").unwrap();
    let names: IdentifierSet = ["a.example".parse().unwrap()].into_iter().collect();
    let scope = OrderScope::new(directory.clone(), "one", names.clone(), vec!["a.example".into()]);
    for hours in [60 * DAY, 60 * DAY + 1] {
        case.outlook.ledger.guard(&directory, &names, TimeDelta::days(90), at(hours));
    }
    let mut summary = case.summary(61 * DAY);
    let input = summary.input().unwrap().clone().at(vec![scope]);
    let entry = decide(&input, &case.outlook.ledger, &case.outlook, at(62 * DAY));
    summary = Summary::of(entry, input, at(62 * DAY));
    let notices =
        due_notices(&NoticeFacts::new(&[summary], &[], &case.outlook, at(62 * DAY)), &NoticeMemory::default());
    assert_eq!((notices[0].kind, notices[0].cause_key.as_str()), (Overdue, "loop-guard"));
    assert!(notices[0].cause.contains("guard against loops"), "{}", notices[0].cause);
}

#[test]
fn what_is_broken_is_told_at_once_and_is_dangerous_when_it_ends() {
    let outlook = Outlook::default();
    let said = |by_settings, left: i64| {
        let validity = Validity { not_before: at(0), not_after: at(90 * DAY) };
        let now = at(90 * DAY - left);
        let summary = Summary::of_broken("a.example", "line 3: no value", by_settings, Some(validity), now);
        let notices = due_notices(&NoticeFacts::new(&[summary], &[], &outlook, now), &NoticeMemory::default());
        assert_eq!(notices.len(), 1);
        (notices[0].kind, notices[0].level, notices[0].command.clone())
    };
    assert_eq!(said(false, 80 * DAY), (Broken, Warning, "certkit certificates --cert-name a.example".to_owned()));
    assert_eq!(said(true, 80 * DAY), (Broken, Warning, "certkit config check".to_owned()));
    assert_eq!(said(false, 11 * DAY).1, Critical);
    assert_eq!(said(false, 4 * DAY), (Expiring, Emergency, "certkit certificates --cert-name a.example".to_owned()));
    let nameless = Summary::of_broken("a\x1b[2J", "x", false, None, at(0));
    let notices = due_notices(&NoticeFacts::new(&[nameless], &[], &outlook, at(0)), &NoticeMemory::default());
    assert_eq!(notices[0].command, "certkit certificates --cert-name 'a\\u{1b}[2J'");
}

#[test]
fn what_is_live_and_damaged_is_critical() {
    let case = Case::of(90 * DAY);
    let mut input = case.summary(0).input().unwrap().clone();
    input.validity = None;
    let entry = decide(&input, &case.outlook.ledger, &case.outlook, at(0));
    let summary = Summary::of(entry, input, at(0));
    assert_eq!(level_of(&summary, &case.outlook, at(0)), Some((Critical, Broken)));
}

#[test]
fn what_the_ca_revoked_is_critical_and_says_why_it_is_not_renewed() {
    let mut case = Case::of(90 * DAY);
    case.serial = Some("7a".into());
    let revocation = RevocationMemory::new("7a", Some(at(5)), at(10));
    let case = case.apply(6, Event::RevocationRead { revocation });
    assert_eq!(case.said(7), [(Revoked, Critical)]);
    let failed = case.fails(7, network());
    let notice = &failed.due(7, &NoticeMemory::default())[0];
    assert_eq!((notice.kind, notice.class), (Revoked, Some(FailureClass::Network)));
    assert!(notice.cause.contains("its renewal fails: the CA could not be reached"), "{}", notice.cause);
    assert_eq!(failed.said(89 * DAY), [(Revoked, Emergency)]);
}
