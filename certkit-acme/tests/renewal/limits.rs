//! What a CA's limits, its Retry-After and our own caution hold back, across runs.

use certkit_acme::renewal::{Outcome, Report, Request};
use certkit_core::state::{HoldScope, Refusal};
use certkit_core::{FailureClass, HeldBy, Retry};
use testkit::{Answer, PebbleOptions, RequestKind};

use crate::support::{World, entry};

fn held(report: &Report, name: &str) -> HeldBy {
    match &entry(report, name).outcome {
        Outcome::Held { by, .. } => by.clone(),
        other => panic!("{name}: {other:?}"),
    }
}

fn one_at_a_time() -> Request {
    let mut request = Request::renew();
    request.parallel_orders = Some(1);
    request
}

#[tokio::test]
async fn a_limit_of_the_account_holds_all_its_lineages_and_nothing_is_asked_before_its_end() {
    // 429 with Retry-After: 3600 (regression 7 of the peers: caddy and lego ask again within minutes).
    let world = World::with_faults(PebbleOptions::default()).await;
    for name in ["a.example.com", "b.example.net", "c.example.org"] {
        world.due(name).write();
    }
    let detail = "too many new orders (300) from this account in the last 3h0m0s, retry after 2026-12-01 00:00:00 UTC";
    let limited = Answer::problem(429, "rateLimited", detail).retry_after(3600);
    world.proxy().on(RequestKind::NewOrder).answer(limited);
    let report = world.run_request(one_at_a_time()).await;
    assert_eq!(world.proxy().new_orders().len(), 1, "the others are not asked for");
    let failed: Vec<_> = report.entries.iter().filter(|one| matches!(one.outcome, Outcome::Failed { .. })).collect();
    assert!(!failed.is_empty());
    world.proxy().clear();
    for _ in 0..3 {
        let report = world.run_request(one_at_a_time()).await;
        assert_eq!(world.proxy().new_orders().len(), 1, "nothing is asked before Retry-After has passed: {report:?}");
        assert!(report.entries.iter().all(|one| matches!(one.outcome, Outcome::Held { .. })), "{report:?}");
        assert!(!report.is_success());
    }
}

#[tokio::test]
async fn a_limit_of_the_names_holds_only_those_with_the_names() {
    let world = World::with_faults(PebbleOptions::default()).await;
    // The most urgent first.
    world.due("a.example.com").days_left(5).write();
    world.due("b.example.com").write();
    world.due("c.example.net").write();
    let detail = "too many certificates (50) already issued for \"example.com\" in the last 168h0m0s, retry after 2026-12-01 00:00:00 UTC";
    let limited = Answer::problem(429, "rateLimited", detail).retry_after(7200);
    world.proxy().on(RequestKind::NewOrder).naming("a.example.com").answer(limited);
    let report = world.run_request(one_at_a_time()).await;
    let failure = match &entry(&report, "a.example.com").outcome {
        Outcome::Failed { failure, .. } => failure.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!((failure.class, failure.http_status), (FailureClass::RateLimited, Some(429)));
    assert!(matches!(failure.retry, Retry::At(_)));
    assert_eq!(failure.problem.unwrap().kind, "rateLimited");
    assert!(entry(&report, "c.example.net").outcome.is_success());
    // The second one of the domain waits with it.
    let HeldBy::Refusal(Refusal::Hold(hold)) = held(&report, "b.example.com") else { panic!("{report:?}") };
    assert_eq!(hold.scope, HoldScope::RegisteredDomain { domain: "example.com".into() });
}

#[tokio::test]
async fn a_paused_name_is_told_with_its_url_and_not_asked_for_again() {
    let world = World::with_faults(PebbleOptions::default()).await;
    world.due("a.example.com").write();
    let url = "https://portal.example/sfe/v1/unpause?jwt=abc";
    world.proxy().on(RequestKind::NewOrder).answer(Answer::paused("a.example.com", url));
    let report = world.run().await;
    let Outcome::Failed { failure, .. } = &entry(&report, "a.example.com").outcome else { panic!("{report:?}") };
    assert_eq!((failure.class, failure.retry), (FailureClass::Paused, Retry::AfterOwner));
    assert!(failure.detail.contains(url), "{failure}");
    for _ in 0..3 {
        world.run().await;
    }
    assert_eq!(world.proxy().new_orders().len(), 1);
}

#[tokio::test]
async fn an_html_page_with_503_is_an_outage_with_its_status() {
    let world = World::with_faults(PebbleOptions::default()).await;
    world.due("a.example.com").write();
    world.proxy().on(RequestKind::NewOrder).answer(Answer::service_unavailable());
    let report = world.run().await;
    let Outcome::Failed { failure, next_attempt } = &entry(&report, "a.example.com").outcome else {
        panic!("{report:?}")
    };
    assert_eq!((failure.class, failure.http_status), (FailureClass::ServerUnavailable, Some(503)));
    assert!(next_attempt.is_some());
}

#[tokio::test]
async fn the_same_names_are_not_issued_for_a_third_time_in_a_quarter_of_the_lifetime() {
    // NginxProxyManager#5483: a renewal that leaves the certificate due burned five certificates in as many runs.
    let world = World::with_faults(PebbleOptions::default()).await;
    // Pebble's certificates live for 1826 days less a second: with this they are due again a second later.
    world.due("a.example.com").top("renew_before_expiry", "1825 days 86398 seconds").write();
    let mut issued = 0;
    for _ in 0..4 {
        let report = world.run().await;
        match &entry(&report, "a.example.com").outcome {
            Outcome::Renewed { .. } => issued += 1,
            Outcome::Held { by: HeldBy::Refusal(Refusal::LoopGuard { issued: 2, .. }), .. } => {}
            other => panic!("{other:?}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    }
    assert_eq!(issued, 2);
    assert_eq!(world.proxy().count(RequestKind::Finalize), 2);
    let report = world.run_request(Request::renew().forced()).await;
    assert!(entry(&report, "a.example.com").outcome.is_success(), "the owner may force it");
}
