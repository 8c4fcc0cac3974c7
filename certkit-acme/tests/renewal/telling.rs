//! What a run tells at its end, and to whom.

use certkit_acme::Stop;
use certkit_acme::renewal::{Outcome, Renewer, Request};
use certkit_core::FindingCode;
use testkit::{PebbleOptions, WebSink};

use crate::support::{World, entry};

fn settings(world: &World, toml: &str) {
    let file = world.store().paths().settings_file();
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, toml).unwrap();
}

fn webhook(sink: &WebSink) -> String {
    format!("[[notify]]\nwebhook = \"generic\"\nurl = \"{}\"\n", sink.url("/hook"))
}

/// A lineage whose names nobody answers for: only its owner can put that right.
fn unanswered(world: &World, name: &str) {
    world.due(name).webroot("/nonexistent/certkit-webroot").write();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_only_the_owner_can_cure_is_told_once_and_so_is_its_end() {
    let world = World::new(PebbleOptions::default()).await;
    let sink = WebSink::start();
    settings(&world, &webhook(&sink));
    unanswered(&world, "a.example");
    let report = world.run().await;
    assert!(matches!(entry(&report, "a.example").outcome, Outcome::Failed { .. }), "{report:?}");
    let told = sink.take();
    assert_eq!(told.len(), 1, "{told:?}");
    let document = told[0].json();
    assert_eq!(
        (document["certificates"][0].as_str(), document["resolved"].as_bool()),
        (Some("a.example"), Some(false))
    );
    assert!(!report.findings.iter().any(|finding| finding.code == FindingCode::NoticeDue), "{:?}", report.findings);
    world.run().await;
    assert_eq!(sink.take().len(), 0, "the same is not told again");
    std::fs::remove_file(world.tree.config_dir().join("renewal/a.example.conf")).unwrap();
    for folder in ["live", "archive"] {
        std::fs::remove_dir_all(world.tree.config_dir().join(folder).join("a.example")).unwrap();
    }
    world.due("a.example").write();
    world.run_request(Request::renew().forced()).await;
    let told = sink.take();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].json()["resolved"], true);
    world.run().await;
    assert_eq!(sink.take().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_fails_fails_no_renewal_and_gets_it_at_the_next_run_once() {
    let world = World::new(PebbleOptions::default()).await;
    let sink = WebSink::start();
    settings(&world, &webhook(&sink));
    unanswered(&world, "a.example");
    world.due("b.example").write();
    sink.answer(503, "busy");
    let report = world.run().await;
    assert!(matches!(entry(&report, "b.example").outcome, Outcome::Renewed { .. }), "{report:?}");
    let finding = report.findings.iter().find(|finding| finding.code == FindingCode::NoticeNotDelivered).unwrap();
    assert!(finding.subject == "generic" && finding.evidence.contains("HTTP 503") && !finding.cure().is_empty());
    sink.take();
    let report = world.run().await;
    assert!(!report.findings.iter().any(|finding| finding.code == FindingCode::NoticeNotDelivered), "{report:?}");
    assert_eq!(sink.take().len(), 1);
    world.run().await;
    assert_eq!(sink.take().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_channel_the_run_itself_tells_it() {
    let world = World::new(PebbleOptions::default()).await;
    unanswered(&world, "a.example");
    let report = world.run().await;
    let finding = report.findings.iter().find(|finding| finding.code == FindingCode::NoticeDue).unwrap();
    assert_eq!(finding.subject, "a.example");
    assert!(!world.run().await.findings.iter().any(|finding| finding.code == FindingCode::NoticeDue));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_nobody() {
    let world = World::new(PebbleOptions::default()).await;
    let sink = WebSink::start();
    settings(&world, &format!("{}[heartbeat]\nurl = \"{}\"\n", webhook(&sink), sink.url("/beat")));
    unanswered(&world, "a.example");
    world.run_request(Request::renew().dry_run()).await;
    assert_eq!(sink.take().len(), 0);
    assert!(!world.store().paths().deliveries_file().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_heartbeat_follows_each_run_of_everything() {
    let world = World::new(PebbleOptions::default()).await;
    let sink = WebSink::start();
    let beat = |more: &str| format!("[heartbeat]\nurl = \"{}\"\n{more}", sink.url("/beat"));
    let paths = || sink.take().into_iter().map(|one| (one.path, one.body)).collect::<Vec<_>>();
    settings(&world, &beat("start = true\n"));
    world.run().await;
    assert_eq!(paths(), [("/beat/start".to_owned(), String::new()), ("/beat".to_owned(), String::new())]);
    unanswered(&world, "a.example");
    settings(&world, &beat(""));
    world.run().await;
    let failed = paths();
    assert!(failed.len() == 1 && failed[0].0 == "/beat/fail" && failed[0].1.starts_with("a.example: "), "{failed:?}");
    world.run_request(Request::renew().only("a.example".parse().unwrap())).await;
    assert!(paths().is_empty(), "a run by hand says nothing about the timer");
    settings(&world, &beat("failures = false\n"));
    world.run().await;
    assert_eq!(paths(), [("/beat".to_owned(), String::new())]);
    sink.answer(404, "");
    let report = world.run().await;
    let finding = report.findings.iter().find(|finding| finding.code == FindingCode::HeartbeatFailed).unwrap();
    assert!(finding.evidence.starts_with("HTTP 404") && !finding.evidence.contains("/beat"), "{finding:?}");
    let _locked = world.store().lock().unwrap();
    sink.take();
    let renewer: Renewer = world.renewer();
    renewer.run(Request::renew(), &Stop::new()).await.unwrap_err();
    assert!(paths().is_empty(), "whoever holds the lock is at work and tells it");
}
