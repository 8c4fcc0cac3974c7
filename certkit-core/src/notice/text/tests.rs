use chrono::TimeDelta;

use super::super::NoticeAttempt;
use super::*;
use crate::{FailureClass, group_notices};

/// 2026-11-26 03:17:00 UTC.
fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_663_020, 0).unwrap()
}

fn failed() -> Notice {
    Notice {
        certificate: "example.org".into(),
        cause_key: "challenge-failed:dns".into(),
        identifiers: ["example.org", "old.example.org", "www.example.org"]
            .map(|name| name.parse().unwrap())
            .into_iter()
            .collect(),
        failing: vec![("old.example.org".into(), "dns".into())],
        not_after: Some(now() + TimeDelta::hours(11 * 24 + 10)),
        due_since: Some(now() - TimeDelta::days(18)),
        next_attempt: Some(now() + TimeDelta::minutes(24 * 60 - 2)),
        attempts: vec![
            NoticeAttempt::new(
                now() - TimeDelta::hours(24),
                "failed: DNS problem: NXDOMAIN looking up A for old.example.org - check that a DNS record exists for this domain",
            ),
            NoticeAttempt::new(
                now() - TimeDelta::minutes(2),
                "failed: DNS problem: NXDOMAIN looking up A for old.example.org",
            ),
        ],
        class: Some(FailureClass::ChallengeFailed),
        cause: "the CA could not validate the names (old.example.org: dns)".into(),
        cure: "the name does not resolve at the CA: check its A, AAAA and CAA records, its name servers and DNSSEC"
            .into(),
        command: "certkit doctor --cert-name example.org".into(),
        deployed_to: vec!["copy to /etc/postfix/tls".into(), "reload of nginx.service".into()],
        served: vec!["example.org:443 (192.0.2.1): the version in use".into()],
        ..Notice::empty(NoticeKind::Expiring, NoticeLevel::Critical, "renewal/example.org", now())
    }
}

#[test]
fn a_notice_says_what_how_long_why_and_what_to_do() {
    let notice = Notice { reminder: 3, ..failed() };
    assert_eq!(notice.subject(now()), "Critical: example.org expires in 11 days and is not renewed");
    assert_eq!(
        notice.text(now()),
        "\
example.org expires in 11 days and is not renewed.
Expires: in 11 days, on 2026-12-07 13:17 UTC

Why: the CA could not validate the names (old.example.org: dns).
What to do: the name does not resolve at the CA: check its A, AAAA and CAA
    records, its name servers and DNSSEC.
Next command:

    certkit doctor --cert-name example.org

Names (they stand or fall together):
    example.org
    old.example.org  FAILS: dns
    www.example.org

Due since: 2026-11-08 03:17 UTC (18 days ago)
Next try: by itself on 2026-11-27 03:15 UTC

What was tried:
    2026-11-25 03:17 UTC failed: DNS problem: NXDOMAIN looking up A for
      old.example.org - check that a DNS record exists for this domain
    2026-11-26 03:15 UTC failed: DNS problem: NXDOMAIN looking up A for
      old.example.org

Deployed to:
    copy to /etc/postfix/tls
    reload of nginx.service

Served:
    example.org:443 (192.0.2.1): the version in use

This is reminder 3 of it.
"
    );
}

#[test]
fn good_news_is_short() {
    let notice = Notice {
        certificate: "example.org".into(),
        cause: "it was renewed on 2026-11-26 03:16 UTC and is valid until 2027-02-24 03:16 UTC".into(),
        cure: "nothing to do".into(),
        not_after: Some(now() + TimeDelta::days(90)),
        ..Notice::empty(NoticeKind::Recovered, NoticeLevel::Info, "renewal/example.org", now())
    };
    assert_eq!(
        notice.text(now()),
        "\
example.org is well again: it was renewed on 2026-11-26 03:16 UTC and is
valid until 2027-02-24 03:16 UTC.
Expires: in 90 days, on 2027-02-24 03:17 UTC
"
    );
}

#[test]
fn certificates_with_one_cause_are_told_of_in_one_message() {
    let down = |name: &str, level, hours| Notice {
        level,
        certificate: name.into(),
        cause_key: "network".into(),
        identifiers: [name.parse().unwrap()].into_iter().collect(),
        failing: Vec::new(),
        not_after: Some(now() + TimeDelta::hours(hours)),
        cause: "the CA could not be reached".into(),
        cure: FailureClass::Network.cure().into(),
        command: format!("certkit doctor --cert-name {name}"),
        ..failed()
    };
    let notices = vec![down("a.example", NoticeLevel::Critical, 11 * 24), down("b.example", NoticeLevel::Emergency, 5)];
    let group = group_notices(notices).remove(0);
    assert_eq!(group.subject(now()), "Emergency: 2 certificates: the CA could not be reached");
    assert_eq!(
        group.text(now()),
        "\
2 certificates: the CA could not be reached.

What to do: check the network, DNS and proxy settings of this machine;
    renewals are tried again by themselves, anything else has to be run
    again.
Next command:

    certkit doctor --cert-name a.example

Critical: a.example expires in 11 days and is not renewed.
Expires: in 11 days, on 2026-12-07 03:17 UTC
Names: a.example

Emergency: b.example expires in 5 hours and is not renewed.
Expires: in 5 hours, on 2026-11-26 08:17 UTC
Next command: certkit doctor --cert-name b.example
Names: b.example
"
    );
}

#[test]
fn a_hundred_certificates_fit_into_a_message() {
    let one = |number: u32| Notice { certificate: format!("n{number}.example"), ..failed() };
    let text = group_notices((0..100).map(one).collect()).remove(0).text(now());
    assert!(text.lines().count() < 150, "{text}");
    for number in 0..100 {
        assert!(text.contains(&format!("n{number}.example")), "{number}");
    }
}

#[test]
fn no_line_is_too_long_unless_a_word_is() {
    let text = failed().text(now());
    assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
    let long = Notice { cause: format!("see {}", "x".repeat(200)), ..failed() };
    assert!(long.text(now()).contains(&format!("\n{INDENT}{}.\n", "x".repeat(200))), "{}", long.text(now()));
}

#[test]
fn a_subject_is_one_line_of_bounded_length() {
    let long = Notice { certificate: "ä".repeat(200), ..failed() };
    let subject = long.subject(now());
    assert_eq!(subject.chars().count(), LONGEST_SUBJECT + 1);
    assert!(subject.ends_with('…'));
}

#[test]
fn the_end_of_a_life_is_told_in_hours_and_minutes_and_once_past_as_past() {
    let headline = |minutes: i64| {
        let notice = Notice { not_after: Some(now() + TimeDelta::minutes(minutes)), ..failed() };
        notice.subject(now())
    };
    assert_eq!(headline(2 * 24 * 60), "Critical: example.org expires in 2 days and is not renewed");
    assert_eq!(headline(47 * 60), "Critical: example.org expires in 47 hours and is not renewed");
    assert_eq!(headline(90), "Critical: example.org expires in 90 minutes and is not renewed");
    assert_eq!(headline(-300), "Critical: example.org expired 5 hours ago and is not renewed");
}

#[test]
fn what_others_wrote_breaks_no_line_and_steers_no_terminal() {
    use crate::state::{DeployTarget, Event, RecordedEvent};

    let failure = crate::Failure::new(FailureClass::Refused, "no\r\nBcc: x@y.example\x1b[2J\u{202e}");
    let mut notice = failed();
    notice.take_history(&[
        RecordedEvent::new(now(), Event::AttemptFailed { failure }),
        RecordedEvent::new(
            now(),
            Event::DeployFailed {
                target: DeployTarget::Hook("echo\nSubject: x".into()),
                version: crate::Version(2),
                failure: crate::Failure::new(FailureClass::Hook, "status 1"),
            },
        ),
    ]);
    notice.failing = vec![(crate::escape("a\r\nb").into_owned(), "dns".into())];
    let all = format!("{}{}", notice.subject(now()), notice.text(now()));
    assert!(!all.contains(['\r', '\x1b', '\u{202e}']), "{all:?}");
    assert!(!all.contains("\nBcc") && !all.contains("\nSubject"), "{all}");
    assert!(all.contains("no\\u{d}\\u{a}Bcc:") && all.contains("x@y.example\\u{1b}[2J"), "{all}");
}

#[test]
fn what_several_have_in_common_is_told_first_and_its_details_with_each() {
    let of = |name: &str, detail: &str| Notice {
        certificate: name.into(),
        cause: format!("the challenge could not be set up on this machine: {detail}"),
        ..failed()
    };
    let mut groups = group_notices(vec![of("a.example", "no /srv/a"), of("b.example", "no /srv/b")]);
    let group = groups.remove(0);
    assert!(groups.is_empty());
    assert_eq!(group.subject(now()), "Critical: 2 certificates: the challenge could not be set up on this machine");
    let text = group.text(now());
    for detail in ["no /srv/a", "no /srv/b"] {
        assert_eq!(text.matches(detail).count(), 1, "{text}");
    }
}
