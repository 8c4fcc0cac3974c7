//! Renewal information (RFC 9773) in whole runs: when the CA is asked, what follows, and what an order says of it.

use certkit_acme::renewal::{Outcome, Report, Request};
use certkit_core::decision::DueReason;
use certkit_core::state::Refusal;
use certkit_core::{FailureClass, FindingCode, HeldBy};
use chrono::TimeDelta;
use testkit::{Answer, PebbleOptions, RequestKind};

use crate::support::{World, entry};

const NAME: &str = "a.example.com";
const SIX_HOURS: u64 = 6 * 3600;

async fn world() -> World {
    let world = World::with_faults(PebbleOptions::default()).await;
    world.proxy().offer_renewal_info();
    world
}

fn window(from: TimeDelta, to: TimeDelta) -> Answer {
    Answer::renewal_window(testkit::now() + from, testkit::now() + to).retry_after(SIX_HOURS)
}

/// What the CA says of a certificate that need not be renewed for long.
fn far_away() -> Answer {
    window(TimeDelta::days(500), TimeDelta::days(501))
}

fn past() -> Answer {
    let (start, end) = (testkit::now() - TimeDelta::hours(1), testkit::now() - TimeDelta::minutes(30));
    Answer::explained_renewal_window(start, end, "https://ca.example/incident").retry_after(SIX_HOURS)
}

fn ari_id(world: &World) -> String {
    world.lineage(NAME).certificate().unwrap().ari_id().unwrap().to_string()
}

fn codes(report: &Report) -> Vec<FindingCode> {
    report.findings.iter().map(|finding| finding.code).collect()
}

#[tokio::test]
async fn the_cas_window_counts_and_it_is_asked_again_only_when_it_says() {
    let world = world().await;
    // A third is left, but the CA wants it in two days.
    world.due(NAME).days_left(29).write();
    world.proxy().set_default_renewal_info(window(TimeDelta::days(2), TimeDelta::days(3)));
    for _ in 0..3 {
        let report = world.run().await;
        let Outcome::NotDue { at: Some(at), reason } = &entry(&report, NAME).outcome else { panic!("{report:?}") };
        assert_eq!(*reason, DueReason::RenewalInformation);
        let known = world.state(NAME).renewal_information.unwrap();
        assert!(known.window.unwrap().contains(*at));
        let wait = known.next_check - testkit::now();
        assert!(wait > TimeDelta::hours(5) && wait <= TimeDelta::hours(6), "{wait}");
    }
    assert_eq!(world.proxy().count(RequestKind::RenewalInfo), 1);
    assert_eq!(world.proxy().count(RequestKind::NewOrder), 0);
}

#[tokio::test]
async fn a_window_that_is_past_renews_once_with_the_predecessors_id_and_asks_about_the_successor() {
    // Regression 9 and 11 of the peers: a window moved to the past by a mass revocation, and no loop afterwards.
    let world = world().await;
    world.due(NAME).days_left(80).write();
    let id = ari_id(&world);
    world.proxy().set_renewal_info(&id, past());
    world.proxy().set_default_renewal_info(far_away());
    let report = world.run().await;
    assert!(matches!(entry(&report, NAME).outcome, Outcome::Renewed { .. }), "{report:?}");
    assert!(codes(&report).contains(&FindingCode::RenewalInformationExplained), "{report:?}");
    assert_eq!(world.proxy().new_orders()[0].replaces, Some(id.clone()));
    let known = world.state(NAME).renewal_information.unwrap();
    assert_eq!(known.certificate, ari_id(&world));
    assert_eq!(world.proxy().count(RequestKind::RenewalInfo), 2);
    let report = world.run().await;
    assert!(matches!(entry(&report, NAME).outcome, Outcome::NotDue { .. }), "{report:?}");
    assert_eq!(world.proxy().count(RequestKind::NewOrder), 1);
}

#[tokio::test]
async fn a_ca_whose_windows_are_always_past_cannot_make_a_loop() {
    // cert-manager#8993: five certificates in ten seconds.
    let world = world().await;
    world.due(NAME).days_left(80).write();
    world.proxy().set_default_renewal_info(past());
    for _ in 0..4 {
        world.run().await;
    }
    assert_eq!(world.proxy().count(RequestKind::Finalize), 2);
    let report = world.run().await;
    let Outcome::Held { by: HeldBy::Refusal(Refusal::LoopGuard { .. }), .. } = entry(&report, NAME).outcome else {
        panic!("{report:?}")
    };
}

#[tokio::test]
async fn a_renewal_that_the_ca_asked_for_and_that_failed_stays_due() {
    // certbot forgets it: within Retry-After it falls back to a third of the lifetime and says "not yet due".
    let world = world().await;
    world.due(NAME).days_left(80).write();
    world.proxy().set_default_renewal_info(past());
    world.proxy().on(RequestKind::NewOrder).answer(Answer::server_internal());
    let report = world.run().await;
    assert!(matches!(entry(&report, NAME).outcome, Outcome::Failed { .. }));
    let report = world.run().await;
    assert!(matches!(entry(&report, NAME).outcome, Outcome::Held { .. }), "{report:?}");
    assert_eq!(world.proxy().count(RequestKind::RenewalInfo), 1);
}

#[tokio::test]
async fn without_a_usable_answer_a_third_of_the_lifetime_counts_and_the_ca_is_left_alone_for_six_hours() {
    // Regression 10 of the peers: the endpoint is down.
    for answer in [
        Answer::text(404, "text/plain", "no such certificate"),
        Answer::json(200, "{\"suggestedWindow\":"),
        window(TimeDelta::days(3), TimeDelta::days(2)),
        // Retry-After is part of an answer (RFC 9773 section 4.3).
        window(TimeDelta::zero(), TimeDelta::days(1)).without_header("retry-after"),
    ] {
        let world = world().await;
        world.due(NAME).days_left(40).write();
        world.due("due.example.com").days_left(20).write();
        world.proxy().set_default_renewal_info(answer.clone());
        let report = world.run().await;
        let Outcome::NotDue { reason, .. } = &entry(&report, NAME).outcome else { panic!("{report:?}") };
        assert_eq!(*reason, DueReason::ThirdOfLifetime, "{answer:?}");
        assert!(entry(&report, "due.example.com").outcome.is_success());
        let asked = world.proxy().count(RequestKind::RenewalInfo);
        let known = world.state(NAME).renewal_information.unwrap();
        let wait = known.next_check - testkit::now();
        assert!(wait > TimeDelta::hours(5) && wait <= TimeDelta::hours(6), "{answer:?}: {wait}");
        world.run().await;
        assert_eq!(world.proxy().count(RequestKind::RenewalInfo), asked, "{answer:?}");
    }
}

#[tokio::test]
async fn an_order_that_is_refused_because_of_replaces_is_placed_once_more_without() {
    // getssl#908, lego#2474, certmagic#361 and others: "the certificate expired and could not be renewed".
    for answer in [
        Answer::already_replaced(),
        Answer::problem(403, "unauthorized", "requester account did not request the certificate being replaced"),
        Answer::problem(400, "malformed", "parsing ARI CertID failed"),
        Answer::problem(404, "malformed", "path of ARI CertID was not found"),
    ] {
        let world = world().await;
        world.due(NAME).write();
        world.proxy().set_default_renewal_info(far_away());
        world.proxy().set_renewal_info(&ari_id(&world), past());
        world.proxy().on(RequestKind::NewOrder).with_replaces().answer(answer.clone());
        let report = world.run().await;
        assert!(matches!(entry(&report, NAME).outcome, Outcome::Renewed { .. }), "{answer:?}: {report:?}");
        let replaces: Vec<bool> = world.proxy().new_orders().iter().map(|order| order.replaces.is_some()).collect();
        assert_eq!(replaces, [true, false], "{answer:?}");
    }
}

#[tokio::test]
async fn a_refusal_that_is_not_about_replaces_is_not_asked_for_twice() {
    let world = world().await;
    world.due(NAME).write();
    world.proxy().set_default_renewal_info(past());
    world.proxy().on(RequestKind::NewOrder).answer(Answer::rejected_identifiers(&[NAME]));
    let report = world.run().await;
    let Outcome::Failed { failure, .. } = &entry(&report, NAME).outcome else { panic!("{report:?}") };
    assert_eq!(failure.class, FailureClass::IdentifierRefused);
    assert_eq!(failure.per_identifier.len(), 1);
    assert_eq!(world.proxy().new_orders().len(), 1);
}

#[tokio::test]
async fn a_ca_that_offers_no_renewal_information_is_not_told_of_a_predecessor() {
    let world = World::with_faults(PebbleOptions::default()).await;
    world.due(NAME).write();
    assert!(world.run().await.is_success());
    assert_eq!(world.proxy().new_orders()[0].replaces, None);
    assert_eq!(world.proxy().count(RequestKind::RenewalInfo), 0);
}

#[tokio::test]
async fn the_owner_can_leave_the_ca_unasked() {
    let world = world().await;
    world.due(NAME).days_left(80).write();
    world.due("off.example.com").days_left(80).param("autorenew", "False").write();
    world.set(NAME, "renewal_information = false\n");
    world.proxy().set_default_renewal_info(past());
    let report = world.run().await;
    assert!(matches!(entry(&report, NAME).outcome, Outcome::NotDue { .. }), "{report:?}");
    assert!(matches!(entry(&report, "off.example.com").outcome, Outcome::NotDue { .. }), "{report:?}");
    assert_eq!(world.proxy().count(RequestKind::RenewalInfo), 0);
}

#[tokio::test]
async fn many_certificates_are_asked_about_over_few_connections() {
    let world = world().await;
    for number in 0..120 {
        world.due(&format!("n{number}.example.com")).days_left(80).write();
    }
    world.proxy().set_default_renewal_info(far_away());
    let report = world.run().await;
    assert_eq!(report.entries.len(), 120);
    assert_eq!(world.proxy().count(RequestKind::RenewalInfo), 120);
    assert!(world.proxy().connections(RequestKind::RenewalInfo) <= 40);
}

#[tokio::test]
async fn a_clock_that_is_off_is_told_and_one_that_is_a_day_off_orders_nothing() {
    let world = world().await;
    world.due(NAME).write();
    world.proxy().set_default_renewal_info(far_away());
    world.proxy().shift_date(TimeDelta::hours(-25));
    let report = world.run_request(Request::renew()).await;
    let Outcome::Failed { failure, .. } = &entry(&report, NAME).outcome else { panic!("{report:?}") };
    assert_eq!(failure.class, FailureClass::Clock);
    assert_eq!(world.proxy().count(RequestKind::NewOrder), 0);
    world.proxy().shift_date(TimeDelta::minutes(7));
    let report = world.run().await;
    assert!(entry(&report, NAME).outcome.is_success(), "{report:?}");
    let finding = report.findings.iter().find(|finding| finding.code == FindingCode::ClockOff).unwrap();
    assert!(finding.evidence.contains("behind"), "{finding:?}");
    world.proxy().shift_date(TimeDelta::minutes(3));
    world.due("b.example.com").write();
    assert!(!codes(&world.run().await).contains(&FindingCode::ClockOff));
}
