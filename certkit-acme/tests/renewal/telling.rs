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
    let pending = |text: String| text.lines().any(|line| line == "certkit_notices_pending 1");
    assert!(pending(world.renewer().metrics(None, |_| {}).await.unwrap()));
    assert!(finding.subject == "generic" && finding.evidence.contains("HTTP 503") && !finding.cure().is_empty());
    sink.take();
    let report = world.run().await;
    assert!(!report.findings.iter().any(|finding| finding.code == FindingCode::NoticeNotDelivered), "{report:?}");
    assert_eq!(sink.take().len(), 1);
    let text = world.renewer().metrics(None, |_| {}).await.unwrap();
    assert!(text.contains("\ncertkit_notices_pending 0\n"), "{text}");
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

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_cannot_be_used_are_told_once_by_the_channels_that_can_be_read() {
    let world = World::new(PebbleOptions::default()).await;
    let sink = WebSink::start();
    let good = format!("{}[heartbeat]\nurl = \"{}\"\n", webhook(&sink), sink.url("/beat"));
    let bad = format!("paralel_orders = 3\n{good}[[notify]]\nname = \"log\"\ncomand = \"false\"\n");
    settings(&world, &bad);
    world.due("a.example").write();
    let run = || async { world.renewer().run(Request::renew(), &Stop::new()).await };
    let error = run().await.unwrap_err();
    assert!(matches!(error, certkit_acme::renewal::RunError::Settings(_)), "{error}");
    assert!(world.store().history(&"a.example".parse().unwrap()).unwrap().is_empty(), "nothing was tried");
    let told = sink.take();
    let paths: Vec<&str> = told.iter().map(|one| one.path.as_str()).collect();
    assert_eq!(paths, ["/beat/fail", "/hook"]);
    assert!(told[0].body.contains("paralel_orders"), "{}", told[0].body);
    assert!(told[1].body.contains("settings cannot be used") && told[1].body.contains("config check"));
    run().await.unwrap_err();
    let again = sink.take();
    assert_eq!(again.iter().map(|one| one.path.as_str()).collect::<Vec<_>>(), ["/beat/fail"], "told already");
    // By hand: not by the heartbeat, and not again.
    let told = world.renewer().tell().await.unwrap();
    assert!(told.findings.iter().any(|finding| finding.code == FindingCode::SettingsUnusable), "{told:?}");
    world.renewer().run(Request::renew().dry_run(), &Stop::new()).await.unwrap_err();
    assert_eq!(sink.take().len(), 0);
    settings(&world, &good);
    run().await.unwrap();
    let over = sink.take();
    let over = over.iter().find(|one| one.path == "/hook").unwrap();
    assert_eq!(over.json()["resolved"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_cannot_be_read_for_a_while_keeps_what_waits_for_it() {
    let world = World::new(PebbleOptions::default()).await;
    let (sink, other) = (WebSink::start(), WebSink::start());
    let second = format!("{}name = \"second\"\n", webhook(&other));
    settings(&world, &format!("{}{second}", webhook(&sink)));
    unanswered(&world, "a.example");
    other.answer(503, "busy");
    world.run().await;
    assert_eq!(sink.take().len(), 1);
    other.take();
    settings(&world, &format!("{}{second}levle = \"info\"\n", webhook(&sink)));
    world.renewer().run(Request::renew(), &Stop::new()).await.unwrap_err();
    assert_eq!((sink.take().len(), other.take().len()), (1, 0));
    settings(&world, &format!("{}{second}", webhook(&sink)));
    world.run().await;
    let got = other.take();
    assert_eq!(got.len(), 1, "{got:?}");
    assert_eq!(got[0].json()["certificates"][0], "a.example");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_others_could_have_written_tell_nobody() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new(PebbleOptions::default()).await;
    let sink = WebSink::start();
    settings(&world, &format!("{}[heartbeat]\nurl = \"{}\"\n", webhook(&sink), sink.url("/beat")));
    let file = world.store().paths().settings_file();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o666)).unwrap();
    world.renewer().run(Request::renew(), &Stop::new()).await.unwrap_err();
    assert_eq!(sink.take().len(), 0);
}
