use certkit_core::{Failure, FailureClass, Problem, Retry};
use chrono::TimeDelta;

use super::super::sample::*;
use super::*;

fn text(foresight: &Foresight) -> String {
    let mut text = Vec::new();
    write_text(foresight, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[track_caller]
fn fits(text: &str) {
    // A URL stays whole.
    for line in text.lines().filter(|line| !line.contains("://")) {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

/// Without regard to where lines end.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn what_is_due_comes_first_then_by_instant_and_never_last() {
    let mut never = certificate("never.example", 5);
    never.wish.never = true;
    let inputs = vec![
        never,
        certificate("late.example", 80),
        advised(certificate("advised.example", 60), 2),
        certificate("due.example", 20),
        certificate("first.example", 10),
    ];
    let shown = text(&foresight(inputs, Default::default()));
    let expected = "\
Renewals to come, as of 2027-01-15 08:00:00 UTC. It is assumed that certkit is
run every 12 hours, until past runs tell.

first.example: due now, since 2026-12-26 08:00:00 UTC
  Why:        less than a third of the lifetime is left
  Expires:    2027-01-25 08:00:00 UTC (in 10 days)

due.example: due now, since 2027-01-05 08:00:00 UTC
  Why:        less than a third of the lifetime is left
  Expires:    2027-02-04 08:00:00 UTC (in 20 days)

advised.example: due at INSTANT
  Why:        the CA's renewal information
  Window:     2027-01-17 08:00:00 UTC to 2027-01-19 08:00:00 UTC, says the CA;
              INSTANT was chosen in it, once
  Explained:  https://ca.example/why
  Advice:     the CA is asked again from 2027-01-15 14:00:00 UTC on
  Expires:    2027-03-16 08:00:00 UTC (in 60 days)

late.example: due at 2027-03-06 08:00:00 UTC (in 50 days)
  Why:        a third of the lifetime is left
  Expires:    2027-04-05 08:00:00 UTC (in 80 days)

never.example: never due
  Why:        the conf says autorenew = False
  Expires:    2027-01-20 08:00:00 UTC (in 5 days)
";
    // The instant is a hash of the name and the window.
    let chosen = advised(certificate("advised.example", 60), 2);
    let window = chosen.state.renewal_information.as_ref().unwrap().window.unwrap();
    let instant = time(window.instant(chosen.seed));
    let expected = expected
        .replacen("INSTANT", &format!("{instant} ({})", words::from_now(window.instant(chosen.seed), now())), 1)
        .replace("INSTANT", &instant);
    assert_eq!(shown, expected);
    fits(&shown);
}

#[test]
fn every_way_of_waiting_says_until_when_for_whom_and_by_what() {
    let at = now() + TimeDelta::hours(5);
    let limited = Failure::new(FailureClass::RateLimited, "too many").with_retry(Retry::At(at));
    let backoff = failed(certificate("backoff.example", 20), 3, &challenge_failure());
    let asked = failed(certificate("asked.example", 20), 1, &limited);
    let limit = {
        let mut input = certificate("new.used.example", 20);
        input.validity = None;
        input.authorities = vec![scope("new.used.example", "used.example")];
        input
    };
    let mut ledger = used_up("used.example", 50);
    let words = "too many new orders (300) from this account in the last 3h0m0s";
    let held = Failure::new(FailureClass::RateLimited, words)
        .with_retry(Retry::At(now() + TimeDelta::hours(1)))
        .with_problem(Problem::new("rateLimited", words));
    let shown = text(&foresight(vec![backoff, asked, limit], ledger.clone()));
    for expected in [
        "backoff.example: held until 2027-01-15 09:10:00 UTC (in 1 hour)",
        "  Due since:  2027-01-05 08:00:00 UTC",
        "the back-off after 3 failures in a row at Let's Encrypt, the last of 2027-01-15 07:30:00 UTC: the CA could not validate the names",
        "asked.example: held until 2027-01-15 13:00:00 UTC (in 5 hours)",
        "the Retry-After at Let's Encrypt for this certificate, of 2027-01-15 07:30:00 UTC: a rate limit of the CA was reached",
        "the CA allows 50 certificates per registered domain in 7 days, and they are used up for used.example (limits as of 2026-08-05,",
        "  Why:        there is no certificate yet",
        "What is left of the limits of Let's Encrypt",
        "  0 of 50 certificates per registered domain in 7 days: used.example",
        "  Registered domains by the public suffix list: psl ",
    ] {
        assert!(flat(&shown).contains(&flat(expected)), "{expected}\n{shown}");
    }
    fits(&shown);

    ledger.failed(&scope("due.example", "due.example"), &held, now());
    for _ in 0..2 {
        ledger.issued(&scope("loop.example", "loop.example"), Default::default(), TimeDelta::days(90), now());
    }
    let mut other = certificate("loop.example", 20);
    other.authorities[0].account = "4567".into();
    let shown = text(&foresight(vec![certificate("due.example", 20), other], ledger));
    for expected in [
        "due.example: held until 2027-01-15 09:00:00 UTC",
        "the CA asked to wait (for all orders of the account): a rate limit of",
        "loop.example: held until 2027-02-06 20:00:00 UTC",
        "2 certificates for these names were issued since 2027-01-15",
        "the guard against loops allows 2 in 22 days",
        "certkit history --cert-name loop.example",
    ] {
        assert!(flat(&shown).contains(&flat(expected)), "{expected}\n{shown}");
    }
    fits(&shown);
}

#[test]
fn a_wish_is_shown_whatever_makes_the_certificate_due() {
    let mut wish = certkit_core::state::RecordedWish::new(now());
    wish.identifiers = Some(["a.example", "b.example"].iter().map(|name| name.parse().unwrap()).collect());
    wish.key = true;
    let mut input = certificate("a.example", -2);
    input.state.wish = Some(wish);
    let foresight = foresight(vec![input, certificate("c.example", 20)], Default::default());
    let shown = text(&foresight);
    assert!(shown.contains("  Why:        expired on 2027-01-13\n"), "{shown}");
    let expected = "  Wished:     as recorded, for a.example, b.example with another key\n";
    assert_eq!(shown.matches("Wished:").count(), 1, "{shown}");
    assert!(shown.contains(expected), "{shown}");
    let document = json(&foresight);
    let of = |name: &str| document["lineages"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap();
    assert_eq!(of("a.example")["wish"]["identifiers"], json!(["a.example", "b.example"]));
    assert_eq!((&of("a.example")["wish"]["key"], &of("c.example")["wish"]), (&json!(true), &Value::Null));
}

#[test]
fn the_document_says_the_same() {
    let mut foresight = foresight(
        vec![
            failed(certificate("a.example", 20), 3, &challenge_failure()),
            advised(certificate("b.example", 60), 2),
            certificate("c.example", 20),
        ],
        used_up("c.example", 49),
    );
    foresight.survey.summaries.push(broken());
    fits(&text(&foresight));
    let document = json(&foresight);
    assert_eq!(document["schema"], 1);
    assert_eq!(document["cadence"], json!({ "interval_seconds": 43_200, "from": "assumed", "runs": null }));
    let lineages = &document["lineages"];
    assert_eq!((&lineages[0]["name"], &lineages[0]["state"]), (&json!("c.example"), &json!("due")));
    assert_eq!(lineages[0]["at"], "2027-01-15T08:00:00Z");
    assert_eq!(lineages[0]["due"], "2027-01-05T08:00:00Z");
    assert_eq!(lineages[0]["reason"], "third-of-lifetime");
    assert_eq!((&lineages[1]["name"], &lineages[1]["state"]), (&json!("a.example"), &json!("held")));
    assert_eq!(lineages[1]["held"]["by"], "challenge-failed");
    assert_eq!(lineages[1]["held"]["failures"], 3);
    assert_eq!(lineages[1]["held"]["directory"], LETS_ENCRYPT);
    assert_eq!(lineages[2]["name"], "b.example");
    assert_eq!(lineages[2]["window"]["start"], "2027-01-17T08:00:00Z");
    assert_eq!(lineages[2]["explanation_url"], "https://ca.example/why");
    assert_eq!(lineages[2]["next_check"], "2027-01-15T14:00:00Z");
    assert_eq!((&lineages[3]["state"], &lineages[3]["error"]), (&json!("broken"), &json!("line 3: no value\u{1b}[2J")));
    assert_eq!(document["limits"][0]["directory"], LETS_ENCRYPT);
    let left = json!({
        "limit": "certificates-per-registered-domain", "subject": "c.example", "left": 1, "count": 50,
        "window_seconds": 604_800,
    });
    assert_eq!(document["limits"][0]["left"][0], left);
    assert_eq!(document["spread"], Value::Null);
}
