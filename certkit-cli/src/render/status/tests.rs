use certkit_core::state::{DeployTarget, Event, RevocationMemory};
use certkit_core::{FindingCode, IdentifierSet, Version};

use super::super::sample::*;
use super::*;

fn screen(columns: usize, unicode: bool) -> Screen {
    Screen { columns, unicode, colour: false }
}

fn committed(version: u32, targets: Vec<DeployTarget>) -> Event {
    serde_json::from_value(json!({
        "event": "committed", "version": Version(version).0, "not_after": "2027-03-01T00:00:00Z",
        "directory": "https://other.example/dir", "targets": targets, "left_out": IdentifierSet::default(),
    }))
    .unwrap()
}

fn served(has_served_ours: bool, answers: Value) -> Event {
    let endpoint = json!({
        "host": "www.example", "port": 443, "protocol": "tls", "server_name": null, "source": "default",
    });
    let memory = json!({
        "endpoint": endpoint, "checked_at": now(), "has_served_ours": has_served_ours, "answers": answers,
    });
    serde_json::from_value(json!({ "event": "served-read", "served": [memory] })).unwrap()
}

fn every_kind() -> Foresight {
    let mut expired = certificate("expired.example", -1);
    expired.state.apply(&committed(2, Vec::new()), now() - TimeDelta::days(91));
    let mut revoked = certificate("revoked.example", 60);
    revoked.state.revocation = Some(RevocationMemory::new("7a", Some(now()), now()));
    let mut pending = certificate("pending.example", 60);
    pending.state.apply(&committed(2, vec![DeployTarget::Hook("x".into())]), now() - TimeDelta::days(30));
    let mut waiting = certificate("new.used.example", 1);
    waiting.authorities = vec![scope("new.used.example", "used.example")];
    waiting.same_identifiers = false;
    let mut old = certificate("old.example", 55);
    let answers = json!([
        { "address": "192.0.2.1:443", "leaf": { "kind": "older", "version": 3 } },
        { "address": "[2001:db8::1]:443", "leaf": { "kind": "same" } },
    ]);
    old.state.apply(&served(true, answers), now());
    let mut ok = certificate("ok.example", 60);
    ok.state.apply(&served(true, json!([{ "address": "192.0.2.1:443", "leaf": { "kind": "same" } }])), now());
    let inputs = vec![
        ok,
        certificate("due.example", 30),
        certificate("overdue.example", 20),
        certificate("a-name-that-is-far-too-long-for-any-screen.but-not-for-the-dns.example.org", 80),
        failed(certificate("failing.example", 21), 3, &challenge_failure()),
        waiting,
        old,
        pending,
        revoked,
        expired,
    ];
    let mut foresight = foresight(inputs, used_up("used.example", 50));
    foresight.survey.summaries.push(broken());
    foresight
}

#[test]
fn eighty_columns() {
    let shown = text(&every_kind(), &[], &screen(80, true), Limit::OneScreen);
    is_as_it_was(&shown, include_str!("snapshots/80.txt"));
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
}

#[test]
fn a_hundred_and_twenty_columns() {
    let shown = text(&every_kind(), &[], &screen(120, true), Limit::OneScreen);
    is_as_it_was(&shown, include_str!("snapshots/120.txt"));
    assert!(shown.lines().all(|line| line.chars().count() <= 120), "{shown}");
}

#[test]
fn two_hundred_columns() {
    let shown = text(&every_kind(), &[], &screen(200, true), Limit::OneScreen);
    is_as_it_was(&shown, include_str!("snapshots/200.txt"));
}

#[test]
fn without_unicode_it_is_plain_ascii() {
    let shown = text(&every_kind(), &[], &screen(80, false), Limit::OneScreen);
    is_as_it_was(&shown, include_str!("snapshots/ascii.txt"));
    assert!(shown.is_ascii(), "{shown}");
}

#[test]
fn the_narrowest_screen_keeps_names_and_states() {
    for columns in 20..80 {
        let shown = text(&every_kind(), &[], &screen(columns, true), Limit::OneScreen);
        let table: Vec<&str> = shown.lines().filter(|line| line.contains(" ok") && !line.contains(',')).collect();
        assert!(!table.is_empty() && table.iter().all(|line| line.chars().count() <= columns), "{columns}\n{shown}");
    }
}

#[test]
fn colours_change_nothing_but_colours() {
    let plain = text(&every_kind(), &[], &screen(100, true), Limit::OneScreen);
    let painted = text(&every_kind(), &[], &Screen { colour: true, ..screen(100, true) }, Limit::OneScreen);
    assert_ne!(plain, painted);
    assert_eq!(anstream::adapter::strip_str(&painted).to_string(), plain);
    assert!(!painted.contains("\u{1b}[2J"), "outside text steers no terminal");
}

#[test]
fn a_thousand_certificates_are_counted_and_some_are_shown() {
    let mut inputs: Vec<_> = (0..970).map(|number| certificate(&format!("ok{number}.example"), 60)).collect();
    inputs
        .extend((0..30).map(|number| failed(certificate(&format!("f{number}.example"), 20), 3, &challenge_failure())));
    let all = foresight(inputs, Default::default());
    let shown = text(&all, &[], &screen(80, true), Limit::OneScreen);
    assert!(
        shown.starts_with("1,000 certificates: 30 failing, 970 ok. The next renewal becomes due in 30 days."),
        "{shown}"
    );
    assert!(shown.contains("\nand 10 more that need a look; --all shows all\n"), "{shown}");
    assert!(shown.contains("\nand 950 more that are well; --all shows all\n"), "{shown}");
    assert!(shown.lines().count() < 140, "{shown}");
    let shown = text(&all, &[], &screen(80, true), Limit::None);
    assert!(shown.matches(" ok ").count() >= 970 && !shown.contains("--all"));
}

#[test]
fn when_all_is_well_it_is_said_in_a_sentence() {
    let one = foresight(vec![certificate("a.example", 60)], Default::default());
    let shown = text(&one, &[], &screen(80, true), Limit::None);
    let expected = "1 certificate: it is well. The next renewal becomes due in 30 days. (2027-01-15";
    assert!(shown.starts_with(expected), "{shown}");
}

#[test]
fn what_the_store_has_to_say_follows_in_short() {
    let findings = [
        Finding::new(FindingCode::LiveWithoutConf, "live/a.example", ""),
        Finding::new(FindingCode::OrderPending, "b.example", ""),
    ];
    let one = foresight(vec![certificate("ok.example", 60)], Default::default());
    let shown = text(&one, &findings, &screen(80, true), Limit::OneScreen);
    assert!(shown.contains("\nProblems:\n  live/a.example: a live directory without"), "{shown}");
    assert!(shown.contains("    What to do: "), "{shown}");
    assert!(!shown.contains("b.example"), "what is only worth knowing is no problem: {shown}");
    let none = text(&foresight(Vec::new(), Default::default()), &[], &screen(80, true), Limit::OneScreen);
    assert_eq!(none, "No certificates found.\n");
}

#[test]
fn every_state_that_applies_is_in_the_document() {
    let document = json(&every_kind(), &[]);
    let of = |name: &str| document["lineages"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap();
    assert_eq!(of("expired.example")["states"], json!(["expired", "due"]));
    assert_eq!(of("expired.example")["seconds_left"], -86_400);
    assert_eq!(of("expired.example")["issued_by"], "https://other.example/dir");
    assert_eq!(of("expired.example")["renewal_at"], "2027-01-15T08:00:00Z");
    let failing = of("failing.example");
    assert_eq!(failing["held"], json!({ "until": "2027-01-15T09:10:00Z", "by": "challenge-failed" }));
    assert_eq!(
        (&failing["last_result"]["ok"], &failing["last_result"]["class"]),
        (&json!(false), &json!("challenge-failed"))
    );
    assert_eq!(failing["explained"][0]["state"], "failing");
    assert_eq!(of("pending.example")["deploy_pending"].as_array().unwrap().len(), 1);
    assert_eq!(of("pending.example")["last_result"]["ok"], true);
    assert_eq!(of("ok.example")["identifiers"], json!(["ok.example"]));
    let old = of("old.example");
    assert_eq!(old["served"], json!({ "state": "differs", "same": 1, "older": 1, "foreign": 0, "unreachable": 0 }));
    assert_eq!(old["state"], "not-served");
    let broken = of("bad\\u{1b}");
    assert_eq!(
        (&broken["cure"], &broken["due"]),
        (
            &json!(FindingCode::BrokenLineage.cure().replace("--cert-name NAME", "--cert-name 'bad\\u{1b}'")),
            &Value::Null
        )
    );
    assert_eq!(document["lineages"][0]["state"], "broken");
}

/// Compares with what was looked at and found good. The difference is printed whole.
#[track_caller]
fn is_as_it_was(shown: &str, expected: &str) {
    assert!(shown == expected, "shown:\n{shown}\nexpected:\n{expected}");
}
