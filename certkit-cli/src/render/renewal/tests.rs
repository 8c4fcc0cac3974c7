//! Every text of a report, at a fixed time.

use certkit_acme::command::{CommandEnding, CommandOutcome};
use certkit_acme::deploy::HookStage;
use certkit_core::decision::DueReason;
use certkit_core::state::{AddressMemory, DeployTarget, EndpointMemory, RememberedFailure, ServedLeaf};
use certkit_core::{Endpoint, FindingCode, IdentifierFailure, LineageName, Problem, Version};
use chrono::{DateTime, TimeDelta, Utc};

use serde_json::{Value, json};

use super::*;

fn now() -> DateTime<Utc> {
    // 2027-01-15 08:00:00 UTC
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn entry(name: &str, outcome: Outcome) -> ReportEntry {
    let mut entry = ReportEntry::new(name, format!("/le/renewal/{name}.conf"), outcome);
    entry.fullchain = Some(format!("/le/live/{name}/fullchain.pem").into());
    entry.not_after = Some(now() + TimeDelta::days(20));
    entry
}

fn not_due(name: &str) -> ReportEntry {
    entry(name, Outcome::NotDue { at: Some(now() + TimeDelta::days(5)), reason: DueReason::ThirdOfLifetime })
}

fn renewed(name: &str) -> ReportEntry {
    entry(name, Outcome::Renewed { version: Version(4), not_after: now() + TimeDelta::days(90) })
}

#[test]
fn where_a_new_version_is_served_is_said() {
    let served = |addresses: &[(&str, ServedLeaf)], compared_with: u32| {
        let answers =
            addresses.iter().map(|(address, leaf)| AddressMemory::new(address.parse().unwrap(), *leaf)).collect();
        let mut entry = renewed("a.example");
        let endpoint = Endpoint::new("a.example", 443);
        entry.served = vec![EndpointMemory::looked(endpoint, answers, Some(Version(compared_with)), None, now())];
        let document = json(&report_of(false, vec![entry.clone()]));
        let [Piece::Out(text)] = &outcome(&entry)[..] else { panic!() };
        (text.clone(), document["renewed"][0]["served_at"].clone())
    };
    let (first, second) = ("192.0.2.1:443", "[2001:db8::1]:443");
    let (text, document) = served(&[(first, ServedLeaf::Same), (second, ServedLeaf::Same)], 4);
    assert!(text.ends_with("\nIt is served at 192.0.2.1:443, [2001:db8::1]:443\n"), "{text}");
    assert_eq!(document, serde_json::json!([first, second]));
    // What was seen of another version proves nothing.
    let (text, document) = served(&[(first, ServedLeaf::Same)], 3);
    assert!(!text.contains("served"), "{text}");
    assert_eq!(document, serde_json::json!([]));
}

fn failed(name: &str, failure: Failure, next_attempt: Option<DateTime<Utc>>) -> ReportEntry {
    entry(name, Outcome::Failed { failure, next_attempt })
}

fn broken() -> ReportEntry {
    ReportEntry::new(
        "bad",
        "/le/renewal/bad.conf",
        Outcome::Broken { reason: "line 3: no value\u{1b}[2J".into(), hindrance: None, cure: None },
    )
}

#[test]
fn what_ends_the_trouble_of_many_is_told_once_and_what_is_for_one_of_each() {
    let told = |cure: &str| -> String {
        let cure = || Some(cure.to_owned());
        let broken = |name| entry(name, Outcome::Broken { reason: "x".into(), hindrance: None, cure: cure() });
        let pieces =
            report(&report_of(false, vec![broken("a.example"), broken("b.example")]), false).collect::<Vec<_>>();
        pieces
            .iter()
            .map(|piece| match piece {
                Piece::Out(text) | Piece::Err(text) => text.as_str(),
            })
            .collect()
    };
    let moved = told("sed");
    assert!(
        moved.contains("What to do: sed.\n") && moved.contains("What to do: the same as for a.example.\n"),
        "{moved}"
    );
    let of_each = told("certkit delete --cert-name NAME");
    for name in ["a.example", "b.example"] {
        assert!(of_each.contains(&format!("What to do: certkit delete --cert-name {name}.\n")), "{of_each}");
    }
}

fn challenge_failure() -> Failure {
    let one = |name: &str, kind: &str, detail: &str| {
        let kind = format!("urn:ietf:params:acme:error:{kind}");
        IdentifierFailure::new(name.parse().unwrap(), Problem::new(&kind, detail))
    };
    Failure::new(FailureClass::ChallengeFailed, "2 of 2 names could not be validated").with_identifiers(vec![
        one("a.example", "connection", "192.0.2.1: Connection refused"),
        one("www.a.example", "dns", "NXDOMAIN\nfor it"),
    ])
}

fn report_of(dry_run: bool, entries: Vec<ReportEntry>) -> Report {
    let mut report = Report::new(now(), dry_run);
    report.entries = entries;
    report
}

/// What goes to stdout and to stderr.
fn told(report: &Report, hooks_named: bool) -> (String, String) {
    let (mut out, mut err) = (String::new(), String::new());
    for piece in super::report(report, hooks_named) {
        match piece {
            Piece::Out(text) => out.push_str(&text),
            Piece::Err(text) => err.push_str(&text),
        }
    }
    (out, err)
}

/// The summary between the last two lines of dashes.
fn summary_of(report: &Report, hooks_named: bool) -> (String, String) {
    let (out, err) = told(report, hooks_named);
    let frames: Vec<usize> = out.match_indices(FRAME).map(|(at, _)| at).collect();
    (out[frames[frames.len() - 2]..].replace(FRAME, "frame"), err)
}

#[test]
fn nothing_was_due() {
    let report = report_of(false, vec![not_due("a.example"), not_due("b.example")]);
    let (out, err) = told(&report, true);
    let expected = "
frame
Processing /le/renewal/a.example.conf
frame
Certificate not yet due for renewal

frame
Processing /le/renewal/b.example.conf
frame
Certificate not yet due for renewal

frame
The following certificates are not due for renewal yet:
  /le/live/a.example/fullchain.pem expires on 2027-02-04 (skipped)
  /le/live/b.example/fullchain.pem expires on 2027-02-04 (skipped)
No renewals were attempted.
No hooks were run.
frame
";
    assert_eq!(out.replace(FRAME, "frame"), expected);
    assert_eq!(err, "");
    assert!(!told(&report, false).0.contains("hooks"), "nobody named one");
    assert!(report.is_success());
}

#[test]
fn there_is_nothing_at_all() {
    let (out, err) = summary_of(&report_of(false, Vec::new()), false);
    assert_eq!((out.as_str(), err.as_str()), ("frame\nNo renewals were attempted.\nframe\n", ""));
    let (out, _) = summary_of(&report_of(true, Vec::new()), false);
    assert_eq!(out, "frame\nNo simulated renewals were attempted.\nframe\n");
}

#[test]
fn all_succeeded() {
    let (out, err) = summary_of(&report_of(false, vec![not_due("a.example"), renewed("b.example")]), true);
    // The blank before the line's end is certbot's.
    let expected = "frame
The following certificates are not due for renewal yet:
  /le/live/a.example/fullchain.pem expires on 2027-02-04 (skipped)
Congratulations, all renewals succeeded:\x20
  /le/live/b.example/fullchain.pem (success)
frame
";
    assert_eq!((out.as_str(), err.as_str()), (expected, ""));
}

#[test]
fn a_dry_run_speaks_of_simulations() {
    let simulated = entry("a.example", Outcome::Simulated);
    let (out, err) = told(&report_of(true, vec![simulated.clone()]), false);
    assert!(out.contains("The simulated renewal of a.example was successful\n"), "{out}");
    assert!(
        out.contains(
            "Congratulations, all simulated renewals succeeded: \n  /le/live/a.example/fullchain.pem (success)\n"
        ),
        "{out}"
    );
    assert_eq!(err, "");
    let lost = failed("b.example", Failure::new(FailureClass::Network, "no route"), None);
    let (out, err) = told(&report_of(true, vec![simulated, lost.clone()]), false);
    assert!(out.contains("The following simulated renewals succeeded:\n"), "{out}");
    assert!(err.contains("The following simulated renewals failed:\n"), "{err}");
    assert!(!err.contains("tried again at the first run"), "a dry run is not repeated: {err}");
    let (_, err) = told(&report_of(true, vec![lost]), false);
    assert!(err.contains("All simulated renewals failed. The following certificates could not be renewed:\n"), "{err}");
}

#[test]
fn some_failed_each_name_with_its_problem_and_cure() {
    let next = now() + TimeDelta::hours(6);
    let report =
        report_of(false, vec![failed("a.example", challenge_failure(), Some(next)), renewed("b.example"), broken()]);
    let (out, err) = told(&report, false);
    let (connection, dns) = (Problem::new("connection", "").cure(), Problem::new("dns", "").cure());
    let expected = format!(
        "Failed to renew certificate a.example with error: 2 of 2 names could not be validated

The Certificate Authority reported these problems:
  Identifier: a.example
  Type:   connection
  Detail: 192.0.2.1: Connection refused
  What to do: {connection}.

  Identifier: www.a.example
  Type:   dns
  Detail: NXDOMAIN\\u{{a}}for it
  What to do: {dns}.

What to do: {}.
It is tried again at the first run after 2027-01-15 14:00:00 UTC.
Renewal configuration file /le/renewal/bad.conf is broken.
The error was: line 3: no value\\u{{1b}}[2J
Skipping.
What to do: {}.
The following renewals failed:
  /le/live/a.example/fullchain.pem (failure)
1 renew failure(s), 1 parse failure(s)
",
        FailureClass::ChallengeFailed.cure(),
        words::cure_for(FindingCode::BrokenLineage.cure(), "bad"),
    );
    assert_eq!(err, expected);
    let (summary, _) = summary_of(&report, false);
    let expected = "frame
The following renewals succeeded:
  /le/live/b.example/fullchain.pem (success)


Additionally, the following renewal configurations were invalid:\x20
  /le/renewal/bad.conf (parsefail)
frame
";
    assert_eq!(summary, expected);
    assert!(out.contains("Version 4 of b.example is in use now; it expires on 2027-04-15\n"), "{out}");
}

#[test]
fn all_failed() {
    let problem = Problem::new("urn:ietf:params:acme:error:rateLimited", "too many");
    let failure = Failure::new(FailureClass::RateLimited, "the CA refused").with_problem(problem);
    let (out, err) = told(&report_of(false, vec![failed("a.example", failure, None)]), false);
    let expected = format!(
        "Failed to renew certificate a.example with error: the CA refused
  Type:   rateLimited
  Detail: too many
What to do: {}.
All renewals failed. The following certificates could not be renewed:
  /le/live/a.example/fullchain.pem (failure)
1 renew failure(s), 0 parse failure(s)
",
        FailureClass::RateLimited.cure()
    );
    assert_eq!(err, expected);
    assert!(!out.contains("succeeded"), "{out}");
}

#[test]
fn what_is_held_is_told_with_its_cause_and_is_no_success() {
    // As it stands in the state file.
    let by: RememberedFailure = serde_json::from_value(json!({
        "at": "2027-01-15T06:00:00Z", "class": "account-unknown", "retry": "after-backoff", "per_identifier": [],
    }))
    .unwrap();
    let held = entry("a.example", Outcome::Held { until: now() + TimeDelta::hours(1), by: HeldBy::Failure(by) });
    let report = report_of(false, vec![held]);
    let (out, err) = told(&report, false);
    let expected = format!(
        "Certificate a.example is due, but it is not tried before 2027-01-15 09:00:00 UTC, because of the failure of 2027-01-15 06:00:00 UTC: the CA did not know the account, or there was none.
What to do: {}; --force-renewal tries at once.
The following certificates are due, but wait because of earlier failures:
  /le/live/a.example/fullchain.pem until 2027-01-15 09:00:00 UTC (waiting)
",
        FailureClass::AccountUnknown.cure()
    );
    assert_eq!(err, expected);
    assert!(out.contains("No renewals were attempted.\n"), "{out}");
    assert!(!report.is_success());
}

#[test]
fn hooks_that_failed_and_deploys_that_wait_are_told_at_the_end() {
    let mut report = report_of(false, vec![renewed("a.example")]);
    let name = LineageName::new("a.example").unwrap();
    let ended = |ending| CommandOutcome::new(ending);
    report.hooks = vec![
        HookRun::new(HookStage::Pre, "true", None, ended(CommandEnding::Exited(0))),
        HookRun::new(HookStage::Deploy, "reload \u{1b}", Some(name), ended(CommandEnding::Exited(4))),
        HookRun::new(HookStage::Post, "slow", None, ended(CommandEnding::TimedOut(std::time::Duration::from_secs(9)))),
    ];
    report.entries[0].deploy_pending =
        vec![DeployTarget::Hook("reload".into()), DeployTarget::Installer("nginx".into())];
    let (out, err) = told(&report, true);
    assert!(out.contains("Congratulations, all renewals succeeded: \n"), "{out}");
    assert!(!out.contains("No hooks were run"), "{out}");
    assert!(err.starts_with("The following hooks failed:\n  deploy-hook of a.example reported error code 4: reload "));
    assert!(!err.contains('\u{1b}') && !err.contains("true"), "{err}");
    let expected = format!(
        "  post-hook ran longer than 9 seconds and was ended: slow
What to do: {}.
The following are not done yet for the certificate in use, and are tried again at the next run:
  a.example: deploy hook `reload`
  a.example: reload of nginx
0 renew failure(s), 0 parse failure(s), 2 hook failure(s)
",
        FailureClass::Hook.cure()
    );
    assert!(err.ends_with(&expected), "{err}");
    let document = json(&report);
    assert_eq!((&document["hooks"][1]["ok"], &document["hooks"][0]["failure"]), (&json!(false), &Value::Null));
    assert!(document["hooks"][1]["failure"].as_str().unwrap().starts_with("the deploy-hook `reload "));
    assert_eq!(document["deploy_pending"][1], json!({ "name": "a.example", "target": "reload of nginx" }));
}

#[test]
fn settings_that_cannot_be_used_are_not_told_as_a_broken_conf() {
    let reason = "/le/certkit/lineages/s.example.toml cannot be used: line 1: nobody knows `x`\u{1b}";
    let unset = entry("s.example", Outcome::Broken { reason: reason.into(), hindrance: None, cure: None });
    let report = report_of(false, vec![unset]);
    let (_, err) = told(&report, false);
    let expected = "The settings of s.example cannot be used.
The error was: /le/certkit/lineages/s.example.toml cannot be used: line 1: nobody knows `x`\\u{1b}
Skipping.
What to do: correct the line; `certkit config check` tells all that is wrong.
0 renew failure(s), 1 parse failure(s)
";
    assert_eq!(err, expected);
    let (summary, _) = summary_of(&report, false);
    let expected = "frame
No renewals were attempted.

Additionally, the following settings cannot be used:
  /le/certkit/lineages/s.example.toml (parsefail)
frame
";
    assert_eq!(summary, expected);
    assert_eq!(json(&report)["failed"][0]["class"], "settings");
}

#[test]
fn those_that_wait_stand_below_what_they_wait_for() {
    let until = now() + TimeDelta::hours(1);
    let held = |name: &str, by: HeldBy| entry(name, Outcome::Held { until, by });
    let limited = Failure::new(FailureClass::RateLimited, "x").with_retry(certkit_core::Retry::At(until));
    let scope = super::super::sample::scope("a.example", "a.example");
    let mut ledger = certkit_core::state::Ledger::default();
    ledger.failed(&scope, &limited, now());
    let kind = certkit_core::decision::limits::OrderKind::New;
    let (_, hold) = ledger.may_order(&scope, kind, None, now()).unwrap_err();
    let report = report_of(
        false,
        vec![
            held("asked.example", HeldBy::Refusal(hold)),
            held(
                "loop.example",
                HeldBy::Refusal(Refusal::LoopGuard { issued: 2, since: now(), within: TimeDelta::hours(9) }),
            ),
        ],
    );
    let (_, err) = told(&report, false);
    for expected in [
        "The following certificates are due, but the CA asked to wait:\n  /le/live/asked.example/fullchain.pem until",
        "The following certificates are due, but wait because they were renewed too often (guard against loops):\n  /le/live/loop.example/fullchain.pem until",
    ] {
        assert!(err.contains(expected), "{err}");
    }
    assert!(!err.contains("earlier failures"), "{err}");
}

#[test]
fn what_was_told_when_it_happened_is_not_told_again() {
    for quiet in [false, true] {
        let (ui, _, err) = crate::ui::testing::ui(crate::ui::Voice { quiet, ..Default::default() });
        let left_out = Finding::new(FindingCode::NamesLeftOut, "a.example", "b.example");
        tell_at_once(&left_out, &ui);
        tell_findings(std::slice::from_ref(&left_out), &ui);
        assert_eq!(err.text().matches("were left out").count(), 1, "{}", err.text());
        assert!(err.text().contains("What to do: "), "{}", err.text());
        // In the next run it is news.
        tell_at_once(&left_out, &ui);
        assert_eq!(err.text().matches("were left out").count(), 2, "{}", err.text());
    }
}

#[test]
fn what_a_run_put_right_is_told_where_people_look() {
    for (quiet, times) in [(false, 1), (true, 0)] {
        let (ui, _, err) = crate::ui::testing::ui(crate::ui::Voice { quiet, ..Default::default() });
        tell_findings(&[Finding::new(FindingCode::PutRight, "a.example", "version 2 is live now")], &ui);
        let expected =
            "a.example: an interrupted run had left it unfinished, and this run put it right: version 2 is live now.\n";
        assert_eq!(err.text(), expected.repeat(times));
    }
}

#[test]
fn a_check_that_fails_is_neither_a_hook_nor_a_reload() {
    let detail = "the reload of nginx.service: nginx's configuration check (nothing was reloaded) failed with status 1: mend its configuration; until then it keeps the certificate that it has";
    let name = || Some(LineageName::new("a.example").unwrap());
    let mut outcome = CommandOutcome::new(CommandEnding::Exited(1));
    outcome.stderr = "nginx: [emerg]\n".into();
    let mut check = HookRun::new(HookStage::Deploy, "reload of nginx.service", name(), outcome);
    check.failure = Some(detail.into());
    let not_written = CommandOutcome::new(CommandEnding::NotStarted("disk full".into()));
    let mut copy = HookRun::new(HookStage::Deploy, "copy to /x", name(), not_written);
    copy.failure = Some("copy to /x: disk full".into());
    let expected = format!("reload of nginx.service ran with error output:\n nginx: [emerg]\n{detail}\n");
    assert_eq!(hooks::output(&check).unwrap(), expected);
    assert_eq!(hooks::output(&copy).unwrap(), "copy to /x failed: disk full\n");
    let mut report = report_of(false, vec![renewed("a.example")]);
    report.hooks = vec![check, copy];
    let (_, err) = told(&report, true);
    let expected = format!(
        "The following deploys failed:\n  a.example: {detail}\n  a.example: copy to /x failed: disk full\nWhat to do: {}.\n",
        words::TARGET_CURE
    );
    assert!(err.starts_with(&expected), "{err}");
    assert!(!err.contains("run the command by hand"), "{err}");
    let document = json(&report);
    assert_eq!(document["hooks"][0]["failure"], detail);
    assert_eq!(document["hooks"][1]["failure"], "copy to /x failed: disk full");
}

#[test]
fn what_a_hook_printed_is_shown_indented_in_certbots_words() {
    let mut outcome = CommandOutcome::new(CommandEnding::Exited(4));
    outcome.stdout = "one\ntwo\x1b[0m\n".into();
    outcome.stderr = "oh\n".into();
    let text = hooks::output(&HookRun::new(HookStage::Deploy, "x", None, outcome)).unwrap();
    let expected = "Hook 'deploy-hook' ran with output:
 one
 two\\u{1b}[0m
Hook 'deploy-hook' ran with error output:
 oh
Hook 'deploy-hook' reported error code 4: x
";
    assert_eq!(text, expected);
    let quiet = HookRun::new(HookStage::Pre, "x", None, CommandOutcome::new(CommandEnding::Exited(0)));
    assert_eq!(hooks::output(&quiet), None);
}

#[test]
fn a_stopped_run_says_so() {
    let interrupted = Failure::new(FailureClass::Interrupted, "the run was asked to stop");
    let mut report = report_of(false, vec![failed("a.example", interrupted, None)]);
    report.stopped = Some(certkit_acme::StopReason::Terminate);
    let (_, err) = told(&report, false);
    assert!(err.contains("The run was stopped; everything was cleaned up. Run again to go on.\n"), "{err}");
    assert_eq!(json(&report)["stopped"], true);
}

#[test]
fn every_outcome_has_its_list_in_the_document() {
    let next = now() + TimeDelta::hours(6);
    let mut without_dates = not_due("z.example");
    without_dates.outcome = Outcome::NotDue { at: None, reason: DueReason::ThirdOfLifetime };
    let report = report_of(
        false,
        vec![
            failed("a.example", challenge_failure(), Some(next)),
            renewed("b.example"),
            broken(),
            not_due("n.example"),
            without_dates,
        ],
    );
    let document = json(&report);
    assert_eq!(document["schema"], 1);
    assert_eq!(document["now"], "2027-01-15T08:00:00Z");
    assert_eq!(
        document["renewed"],
        json!([{ "name": "b.example", "version": 4, "not_after": "2027-04-15T08:00:00Z", "served_at": [] }])
    );
    assert_eq!(document["not_due"][0]["at"], "2027-01-20T08:00:00Z");
    assert_eq!(document["not_due"][1]["at"], Value::Null);
    let lost = &document["failed"][0];
    assert_eq!(lost["name"], "a.example");
    assert_eq!(lost["next_attempt"], "2027-01-15T14:00:00Z");
    assert_eq!(lost["class"], "challenge-failed");
    assert_eq!(lost["identifiers"][1]["identifier"], "www.a.example");
    assert_eq!(lost["identifiers"][1]["type"], "dns");
    assert_eq!(document["failed"][1]["class"], "broken");
    assert_eq!(document["failed"][1]["next_attempt"], Value::Null);
}
