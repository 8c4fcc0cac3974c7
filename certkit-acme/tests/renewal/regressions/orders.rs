//! Orders that are placed twice, lost, or waited for.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use certkit_acme::Stop;
use certkit_acme::renewal::{Outcome, Report, Request, RunError};
use certkit_core::store::ConfEdits;
use certkit_core::{FailureClass, IdentifierSet};
use chrono::TimeDelta;
use serde_json::json;
use testkit::{Answer, PebbleOptions, RequestKind};

use super::{NAME, die_at, failure_class, is_renewed, name, world};
use crate::clock::TestClock;
use crate::support::{World, entry};

#[tokio::test]
async fn two_runs_at_once_place_one_order() {
    // rustls-acme#99: two processes with one cache both order.
    let world = world().await;
    world.due(NAME).write();
    let second = world.renewer();
    let outcome: Arc<Mutex<Option<Result<Report, RunError>>>> = Arc::default();
    let kept = Arc::clone(&outcome);
    // The second run comes in the middle of the first, and ends before that goes on.
    world.seen.when("order-placed", move || {
        let (second, kept) = (second.clone(), Arc::clone(&kept));
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            *kept.lock().unwrap() = Some(runtime.block_on(second.run(Request::renew(), &Stop::new())));
        };
        std::thread::spawn(run).join().unwrap();
    });
    let report = world.run().await;
    assert!(is_renewed(&report, NAME), "{report:?}");
    let refused = outcome.lock().unwrap().take().unwrap();
    assert!(matches!(refused, Err(RunError::Lock(_))), "{refused:?}");
    assert_eq!(world.proxy().count(RequestKind::NewOrder), 1);
    world.seen.never();
    // Whoever comes later finds that there is nothing to do any more.
    let report = world.run().await;
    assert!(matches!(entry(&report, NAME).outcome, Outcome::NotDue { .. }), "{report:?}");
    assert_eq!(world.proxy().count(RequestKind::NewOrder), 1);
}

#[tokio::test]
async fn a_run_that_died_while_finalizing_does_not_end_at_a_predecessor_that_is_replaced_already() {
    // The CA counts the lost order as the replacement: 409 for each `replaces` from then on (RFC 9773 section 5).
    for forgets_the_order in [false, true] {
        let world = world().await;
        world.proxy().offer_renewal_info();
        world.due(NAME).write();
        die_at(&world, "finalizing").await;
        assert_eq!(world.whole_version(NAME), 1);
        world.proxy().forget_log();
        world.proxy().on(RequestKind::NewOrder).with_replaces().answer(Answer::already_replaced());
        if forgets_the_order {
            let gone = Answer::problem(404, "malformed", "no such order");
            world.proxy().on(RequestKind::Order).times(1).answer(gone);
        }
        let report = world.run().await;
        assert!(is_renewed(&report, NAME), "{report:?}");
        assert_eq!(world.whole_version(NAME), 2);
        let replaces: Vec<bool> = world.proxy().new_orders().iter().map(|order| order.replaces.is_some()).collect();
        assert_eq!(replaces, if forgets_the_order { vec![true, false] } else { vec![] });
    }
}

#[tokio::test]
async fn names_that_are_valid_already_are_not_validated_again() {
    let options = PebbleOptions { authorization_reuse_percent: 100, ..PebbleOptions::default() };
    let world = World::with_faults(options).await;
    world.due(NAME).write();
    assert!(is_renewed(&world.run().await, NAME));
    let challenges = world.proxy().count(RequestKind::Challenge);
    // HAProxy stalled here: there is nothing to answer, and the order is ready from the start.
    let report = world.run_request(Request::renew().forced()).await;
    assert!(is_renewed(&report, NAME), "{report:?}");
    assert_eq!(world.proxy().count(RequestKind::Challenge), challenges);
}

#[tokio::test]
async fn an_authorization_that_expires_between_ready_and_finalize_costs_an_order_and_no_day() {
    // Let's Encrypt reuses authorizations for seven hours; an order with one that has expired becomes invalid.
    let world = world().await;
    world.due(NAME).write();
    let finalizing = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&finalizing);
    world.seen.when("finalizing", move || seen.store(true, Ordering::Relaxed));
    let looks = AtomicUsize::new(0);
    let expired = Arc::clone(&finalizing);
    world.proxy().on(RequestKind::Order).rewrite(move |order| {
        // The first look, right after the refusal, still finds it ready.
        if expired.load(Ordering::Relaxed) && looks.fetch_add(1, Ordering::Relaxed) > 0 {
            order["status"] = json!("invalid");
        }
    });
    let not_ready = Answer::problem(403, "orderNotReady", "Order's status (\"pending\") is not acceptable");
    world.proxy().on(RequestKind::Finalize).times(1).answer(not_ready);
    let clock = TestClock::at(testkit::now());
    let report = world.renewer_at(&clock).run(Request::renew(), &Stop::new()).await.unwrap();
    assert_eq!(failure_class(&report, NAME), FailureClass::OrderLost, "{report:?}");
    world.seen.never();
    world.proxy().clear();
    clock.advance(TimeDelta::minutes(2));
    let report = world.renewer_at(&clock).run(Request::renew(), &Stop::new()).await.unwrap();
    assert!(is_renewed(&report, NAME), "{report:?}");
    assert_eq!(world.proxy().new_orders().len(), 2);

    // An order that waited for the next run is replaced in that run.
    let world = World::with_faults(PebbleOptions::default()).await;
    world.due(NAME).write();
    die_at(&world, "authorized").await;
    world.proxy().on(RequestKind::Order).times(1).rewrite(|order| order["status"] = json!("invalid"));
    let report = world.run().await;
    assert!(is_renewed(&report, NAME), "{report:?}");
    assert_eq!(world.proxy().new_orders().len(), 2);
}

#[tokio::test]
async fn an_order_that_is_processed_for_long_is_waited_for_and_resumed_when_the_ca_says_so() {
    let world = world().await;
    world.due(NAME).write();
    let looks = AtomicUsize::new(0);
    world.proxy().on(RequestKind::Order).rewrite(move |order| {
        let is_done = ["valid", "processing"].iter().any(|status| order["status"] == *status);
        if is_done && looks.fetch_add(1, Ordering::Relaxed) < 4 {
            order["status"] = json!("processing");
            order.as_object_mut().unwrap().remove("certificate");
        }
    });
    let report = world.run().await;
    assert!(is_renewed(&report, NAME), "{report:?}");
    assert_eq!(world.proxy().count(RequestKind::Finalize), 1);

    // A CA that wants ten minutes is not waited for in this run, nor asked before.
    let world = World::with_faults(PebbleOptions::default()).await;
    world.due(NAME).write();
    let processing = json!({
        "status": "processing", "identifiers": [{ "type": "dns", "value": NAME }], "authorizations": [],
        "finalize": world.server().replace("/dir", "/finalize-order/none"),
    });
    let later = Answer::json(200, &processing.to_string()).retry_after(600);
    // The order is looked at for the certificate, and not before.
    world.proxy().on(RequestKind::Order).nth(1).answer(later);
    let clock = TestClock::at(testkit::now());
    let report = world.renewer_at(&clock).run(Request::renew(), &Stop::new()).await.unwrap();
    assert_eq!(failure_class(&report, NAME), FailureClass::ServerUnavailable, "{report:?}");
    assert_eq!(world.proxy().count(RequestKind::Finalize), 1);
    clock.advance(TimeDelta::minutes(9));
    let report = world.renewer_at(&clock).run(Request::renew(), &Stop::new()).await.unwrap();
    assert!(matches!(entry(&report, NAME).outcome, Outcome::Held { .. }), "{report:?}");
    clock.advance(TimeDelta::minutes(2));
    let report = world.renewer_at(&clock).run(Request::renew(), &Stop::new()).await.unwrap();
    assert!(is_renewed(&report, NAME), "{report:?}");
    assert_eq!((world.proxy().new_orders().len(), world.proxy().count(RequestKind::Finalize)), (1, 1));
}

#[tokio::test]
async fn names_of_every_kind_are_obtained_and_renewed() {
    // nginx-acme 0.3.1: no common name of more than 64 characters; HAProxy: IPv6.
    assert!(testkit::ports::has_ipv6(), "this test needs ::1");
    let world = world().await;
    let long = format!("{}.{}.example.com", "a".repeat(63), "b".repeat(30));
    let edits = {
        let mut edits = ConfEdits::default();
        edits.param("authenticator", Some("standalone")).param("server", Some(&world.server()));
        edits.param("http01_port", Some(&world.pebble.http_port().to_string()));
        edits
    };
    for (lineage, written, ordered) in [
        ("long", vec![long.as_str()], vec![long.as_str()]),
        (
            "idn",
            vec!["xn--bcher-kva.example.com", "XN--strae-OQA.example.com"],
            vec!["xn--bcher-kva.example.com", "xn--strae-oqa.example.com"],
        ),
        ("v6", vec!["::1"], vec!["::1"]),
        (
            "mixed",
            vec!["m.example.com", "127.0.0.1", "0:0:0:0:0:0:0:1", long.as_str()],
            vec!["m.example.com", "127.0.0.1", "::1", long.as_str()],
        ),
    ] {
        world.proxy().forget_log();
        let wanted: IdentifierSet = written.iter().map(|name| name.parse().unwrap()).collect();
        let report = world.run_request(Request::obtain(name(lineage), wanted.clone(), edits.clone())).await;
        assert!(is_renewed(&report, lineage), "{lineage}: {report:?}");
        let report = world.run_request(Request::renew().only(name(lineage)).forced()).await;
        assert!(is_renewed(&report, lineage), "{lineage}: {report:?}");
        for order in world.proxy().new_orders() {
            let names: BTreeSet<_> = order.names.iter().map(String::as_str).collect();
            assert_eq!(names, ordered.iter().copied().collect(), "{lineage}");
        }
        assert!(world.lineage(lineage).certificate().unwrap().identifiers().unwrap().same_as(&wanted), "{lineage}");
        assert_eq!(world.whole_version(lineage), 2);
    }
}
