//! A run that ends at any moment: dropping its future equals a crash.

use certkit_acme::renewal::{Outcome, Request, RollBack};
use certkit_acme::{Stop, StopReason};
use certkit_core::store::{ConfEdits, Kind};
use testkit::PebbleOptions;

use crate::support::{World, entry};

/// Runs until an event of this kind is durable, and ends there as if the process had died.
async fn crash_at(world: &World, event: &'static str) {
    crash_of(world, Request::renew(), event).await;
}

async fn crash_of(world: &World, request: Request, event: &'static str) {
    world.seen.when(event, || panic!("the crash that this test wants"));
    let renewer = world.renewer();
    let run = tokio::spawn(async move { renewer.run(request, &Stop::new()).await.map(|report| format!("{report:?}")) });
    match run.await {
        Err(died) if died.is_panic() => {}
        ended => panic!("the run went past {event}: {ended:?}"),
    }
    world.seen.never();
    world.seen.forget();
}

#[tokio::test]
async fn an_order_is_resumed_wherever_the_run_ended() {
    for event in ["order-placed", "validating", "authorized", "finalizing", "issued"] {
        let world = World::new(PebbleOptions::default()).await;
        world.due("a.example.com").write();
        crash_at(&world, event).await;
        assert_eq!(world.whole_version("a.example.com"), 1, "after {event}");
        let report = world.run().await;
        assert!(
            matches!(entry(&report, "a.example.com").outcome, Outcome::Renewed { .. }),
            "after {event}: {report:?}"
        );
        assert!(world.seen.kinds("a.example.com").contains(&"order-resumed".to_owned()), "after {event}");
        assert_eq!(world.pebble.orders_placed(), 1, "after {event}");
        assert_eq!(world.whole_version("a.example.com"), 2);
        assert!(world.store().pending(&"a.example.com".parse().unwrap()).unwrap().is_none());
    }
}

#[tokio::test]
async fn an_order_under_way_is_still_for_the_certificate_after_a_roll_back() {
    for event in ["order-placed", "issued"] {
        let world = World::new(PebbleOptions::default()).await;
        world.due("a.example.com").versions(2).days_left(80).top("renew_before_expiry", "85 days").write();
        crash_at(&world, event).await;
        let back = RollBack::of("a.example.com".parse().unwrap()).to(certkit_core::Version(1));
        let report = world.renewer().roll_back(&back, &Stop::new()).await.unwrap();
        assert!(report.is_success() && world.whole_version("a.example.com") == 3, "after {event}: {report:?}");
        let report = world.run().await;
        let outcome = &entry(&report, "a.example.com").outcome;
        assert!(matches!(outcome, Outcome::Renewed { .. }), "after {event}: {report:?}");
        assert_eq!((world.whole_version("a.example.com"), world.pebble.orders_placed()), (4, 1), "after {event}");
        assert!(!world.tree.config_dir().join("certkit/aside").exists(), "after {event}");
    }
}

#[tokio::test]
async fn a_wish_that_was_had_when_the_run_ended_does_not_undo_a_roll_back() {
    let world = World::new(PebbleOptions::default()).await;
    world.due("a.example.com").versions(2).days_left(80).write();
    let name: certkit_core::LineageName = "a.example.com".parse().unwrap();
    let names = ["a.example.com", "www.a.example.com"].iter().map(|name| name.parse().unwrap()).collect();
    crash_of(&world, Request::obtain(name.clone(), names, ConfEdits::default()), "committed").await;
    assert_eq!(world.whole_version("a.example.com"), 3);
    assert_eq!(world.lineage("a.example.com").certificate().unwrap().identifiers().unwrap().len(), 2);
    let back = RollBack::of(name).to(certkit_core::Version(2));
    let report = world.renewer().roll_back(&back, &Stop::new()).await.unwrap();
    assert!(report.is_success(), "{report:?}");
    let report = world.run().await;
    assert!(matches!(entry(&report, "a.example.com").outcome, Outcome::NotDue { .. }), "{report:?}");
    assert_eq!(world.lineage("a.example.com").certificate().unwrap().identifiers().unwrap().len(), 1);
}

#[tokio::test]
async fn what_was_committed_but_not_deployed_is_deployed_by_the_next_run() {
    let world = World::new(PebbleOptions::default()).await;
    let log = world.file("deployed");
    world.due("a.example.com").deploy_hook(&format!("echo $RENEWED_LINEAGE >> {}", log.display())).write();
    crash_at(&world, "committed").await;
    assert_eq!(world.whole_version("a.example.com"), 2);
    assert!(!log.exists());
    let report = world.run().await;
    assert!(report.is_success(), "{report:?}");
    assert!(matches!(entry(&report, "a.example.com").outcome, Outcome::NotDue { .. }));
    assert_eq!(std::fs::read_to_string(&log).unwrap().lines().count(), 1);
    assert_eq!(world.pebble.orders_placed(), 1);
    world.run().await;
    assert_eq!(std::fs::read_to_string(&log).unwrap().lines().count(), 1, "once is enough");
}

#[tokio::test]
async fn an_order_that_the_ca_forgot_is_replaced() {
    let world = World::new(PebbleOptions::default()).await;
    world.due("a.example.com").write();
    crash_at(&world, "order-placed").await;
    let file = world.tree.config_dir().join("certkit/pending/a.example.com/order.json");
    let text = std::fs::read_to_string(&file).unwrap();
    let mut order: serde_json::Value = serde_json::from_str(&text).unwrap();
    let lost = format!("{}-lost", order["order"]["order_url"].as_str().unwrap());
    order["order"]["order_url"] = lost.into();
    std::fs::write(&file, order.to_string()).unwrap();
    let report = world.run().await;
    assert!(matches!(entry(&report, "a.example.com").outcome, Outcome::Renewed { .. }), "{report:?}");
    assert!(world.seen.kinds("a.example.com").contains(&"order-dropped".to_owned()));
}

#[tokio::test]
async fn what_another_tool_renewed_meanwhile_is_not_replaced() {
    let world = World::new(PebbleOptions::default()).await;
    let paths = world.due("a.example.com").write();
    let live = paths.live.clone();
    let archive = paths.archive.clone();
    // Another tool installs version 2 while our order is being finalized.
    world.seen.when("finalizing", move || {
        for kind in Kind::ALL {
            let old = archive.join(format!("{}1.pem", kind.as_str()));
            std::fs::copy(old, archive.join(format!("{}2.pem", kind.as_str()))).unwrap();
            let link = live.join(kind.live_file());
            std::fs::remove_file(&link).unwrap();
            std::os::unix::fs::symlink(format!("../../archive/a.example.com/{}2.pem", kind.as_str()), link).unwrap();
        }
    });
    let report = world.run().await;
    let Outcome::Failed { failure, .. } = &entry(&report, "a.example.com").outcome else { panic!("{report:?}") };
    assert!(failure.detail.contains("kept in"), "{failure:?}");
    assert_eq!(world.whole_version("a.example.com"), 2);
    let aside = world.tree.config_dir().join("certkit/aside/a.example.com");
    let kept: Vec<_> = std::fs::read_dir(&aside).unwrap().collect();
    assert_eq!(kept.len(), 1);
    assert!(world.seen.kinds("a.example.com").contains(&"set-aside".to_owned()));
}

#[tokio::test]
async fn being_asked_to_stop_cleans_up_and_runs_post_hooks() {
    let world = World::new(PebbleOptions::default()).await;
    let post = world.file("post");
    world.due("a.example.com").param("post_hook", &format!("touch {}", post.display())).write();
    let stop = Stop::new();
    let asked = stop.clone();
    world.seen.when("validating", move || asked.stop(StopReason::Terminate));
    let report = world.renewer().run(Request::renew(), &stop).await.unwrap();
    assert_eq!(report.stopped, Some(StopReason::Terminate));
    assert!(!report.is_success());
    assert!(post.exists(), "certbot leaves a stopped web server down here");
    assert!(
        std::net::TcpListener::bind(("127.0.0.1", world.pebble.http_port())).is_ok(),
        "the responder's port is free again"
    );
    world.seen.never();
    let report = world.run().await;
    assert!(matches!(entry(&report, "a.example.com").outcome, Outcome::Renewed { .. }), "not held: {report:?}");
}

#[tokio::test]
async fn a_dry_run_between_a_crash_and_the_next_run_costs_at_most_an_order() {
    // The dry run gives up authorizations that the journalled order needs.
    let world = World::new(PebbleOptions { authorization_reuse_percent: 100, ..PebbleOptions::default() }).await;
    world.due("a.example.com").write();
    crash_at(&world, "authorized").await;
    assert!(world.run_request(Request::renew().dry_run()).await.is_success());
    let report = world.run_request(Request::renew().forced()).await;
    assert!(matches!(entry(&report, "a.example.com").outcome, Outcome::Renewed { .. }), "{report:?}");
}

#[tokio::test]
async fn an_order_whose_journal_is_gone_is_no_reason_for_another_one() {
    let world = World::new(PebbleOptions::default()).await;
    let sound = world.tree.lineage("a.example.com").days_left(60).server(&world.server()).account(&world.account);
    sound.standalone(world.pebble.http_port()).write();
    crash_of(&world, Request::renew().forced(), "order-placed").await;
    std::fs::remove_dir_all(world.tree.config_dir().join("certkit/pending")).unwrap();
    let report = world.run().await;
    assert!(matches!(entry(&report, "a.example.com").outcome, Outcome::NotDue { .. }), "{report:?}");
    assert_eq!(world.pebble.orders_placed(), 1);
}
