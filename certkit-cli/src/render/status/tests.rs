use certkit_core::state::{DeployTarget, Event, RevocationMemory};
use certkit_core::{FindingCode, IdentifierSet, Version};

use super::super::sample::*;
use super::*;

fn committed(version: u32, targets: Vec<DeployTarget>) -> Event {
    serde_json::from_value(json!({
        "event": "committed", "version": Version(version).0, "not_after": "2027-03-01T00:00:00Z",
        "directory": "https://other.example/dir", "targets": targets, "left_out": IdentifierSet::default(),
    }))
    .unwrap()
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
    let inputs = vec![
        certificate("ok.example", 60),
        certificate("due.example", 20),
        failed(certificate("failing.example", 21), 3, &challenge_failure()),
        waiting,
        pending,
        revoked,
        expired,
    ];
    let mut foresight = foresight(inputs, used_up("used.example", 50));
    foresight.broken.push(broken());
    foresight
}

#[test]
fn problems_come_first_and_every_certificate_has_one_line() {
    let shown = text(&every_kind(), &[]);
    let lines: Vec<Vec<&str>> =
        shown.lines().map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()).collect();
    let expected: [&[&str]; 9] = [
        &["Certificate", "State", "Left", "Due", "Last result"],
        &["bad\\u{1b}", "broken", "line 3: no value\\u{1b}[2J"],
        &["expired.example", "expired", "none", "now", "2026-10-16 renewed (from https://other.example/dir)"],
        &["revoked.example", "revoked", "60 days", "now", "none yet"],
        &[
            "failing.example",
            "failing",
            "21 days",
            "held to 01-15 09:10 UTC",
            "2027-01-15 failed: the CA could not validate the names",
        ],
        &[
            "pending.example",
            "deploy pending",
            "60 days",
            "2027-02-14",
            "2026-12-16 renewed (from https://other.example/dir)",
        ],
        &["new.used.example", "waiting", "24 h", "held to 01-15 11:21 UTC", "none yet"],
        &["due.example", "due", "20 days", "now", "none yet"],
        &["ok.example", "ok", "60 days", "2027-02-14", "none yet"],
    ];
    assert_eq!(lines, expected, "{shown}");
}

#[test]
fn what_the_store_has_to_say_follows_in_short() {
    let findings = [
        Finding::new(FindingCode::LiveWithoutConf, "live/a.example", ""),
        Finding::new(FindingCode::OrderPending, "b.example", ""),
    ];
    let shown = text(&foresight(vec![certificate("ok.example", 60)], Default::default()), &findings);
    let problems = "\nProblems (`certkit certificates` tells what to do):\n  live/a.example: a live directory without";
    assert!(shown.contains(problems), "{shown}");
    assert!(!shown.contains("b.example"), "what is only worth knowing is no problem: {shown}");
    let none = text(&foresight(Vec::new(), Default::default()), &[]);
    assert_eq!(none, "No certificates found.\n");
}

#[test]
fn every_state_that_applies_is_in_the_document() {
    let document = json(&every_kind(), &[]);
    let of = |name: &str| document["lineages"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap();
    assert_eq!(of("expired.example")["states"], json!(["expired", "due"]));
    assert_eq!(of("expired.example")["seconds_left"], -86_400);
    assert_eq!(of("expired.example")["issued_by"], "https://other.example/dir");
    let failing = of("failing.example");
    assert_eq!(failing["held"], json!({ "until": "2027-01-15T09:10:00Z", "by": "challenge-failed" }));
    assert_eq!(
        (&failing["last_result"]["ok"], &failing["last_result"]["class"]),
        (&json!(false), &json!("challenge-failed"))
    );
    assert_eq!(of("pending.example")["deploy_pending"].as_array().unwrap().len(), 1);
    assert_eq!(of("pending.example")["last_result"]["ok"], true);
    assert_eq!(of("ok.example")["identifiers"], json!(["ok.example"]));
    assert_eq!(of("bad\u{1b}")["cure"], "mend it");
    assert_eq!(document["lineages"][0]["state"], "broken");
}
