//! What the owner asked for through certkit and could not have at once; names that may be left out.

use certkit_acme::renewal::{Outcome, Request};
use certkit_core::decision::DueReason;
use certkit_core::store::ConfEdits;
use certkit_core::{FindingCode, IdentifierSet, LineageName};
use testkit::{PebbleOptions, serial_of_file};

use crate::support::{World, entry};

fn set(names: &[&str]) -> IdentifierSet {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn expand(names: &[&str]) -> Request {
    Request::obtain(LineageName::new(names[0]).unwrap(), set(names), ConfEdits::default()).forced()
}

fn names_of(world: &World) -> IdentifierSet {
    world.lineage("a.example.com").certificate().unwrap().identifiers().unwrap()
}

#[tokio::test]
async fn names_that_were_asked_for_and_failed_are_tried_again_by_the_next_runs() {
    let world = World::new(PebbleOptions::default()).await;
    world.due("a.example.com").days_left(80).write();
    world.pebble.set_servfail("new.example.com");
    let report = world.run_request(expand(&["a.example.com", "new.example.com"])).await;
    assert!(matches!(entry(&report, "a.example.com").outcome, Outcome::Failed { .. }));
    assert!(names_of(&world).same_as(&set(&["a.example.com"])));
    // The owner puts the record right, and the next run that may ask does it.
    world.pebble.clear_servfail("new.example.com");
    let held = world.run().await;
    assert!(matches!(entry(&held, "a.example.com").outcome, Outcome::Held { .. }), "{held:?}");
    let report = world.run_request(Request::renew().forced()).await;
    assert!(matches!(entry(&report, "a.example.com").outcome, Outcome::Renewed { .. }), "{report:?}");
    assert!(names_of(&world).same_as(&set(&["a.example.com", "new.example.com"])));
    assert_eq!(world.state("a.example.com").wish, None);
    let report = world.run().await;
    assert!(matches!(entry(&report, "a.example.com").outcome, Outcome::NotDue { .. }));
}

#[tokio::test]
async fn asking_for_what_there_is_gives_a_wish_up() {
    let world = World::new(PebbleOptions::default()).await;
    world.due("a.example.com").days_left(80).write();
    world.pebble.set_servfail("typo.example.com");
    world.run_request(expand(&["a.example.com", "typo.example.com"])).await;
    assert!(world.state("a.example.com").wish.is_some());
    let name = LineageName::new("a.example.com").unwrap();
    let request = Request::obtain(name, set(&["a.example.com"]), ConfEdits::default());
    let report = world.run_request(request).await;
    assert!(matches!(entry(&report, "a.example.com").outcome, Outcome::NotDue { .. }), "{report:?}");
    assert_eq!(world.state("a.example.com").wish, None);
}

#[tokio::test]
async fn a_wish_that_fails_does_not_cost_the_names_that_work() {
    // Bazel, 2025-12-26: one name that was added kept the whole certificate from being renewed, for 13 hours.
    let world = World::new(PebbleOptions::default()).await;
    world.due("a.example.com").days_left(20).write();
    world.pebble.set_servfail("typo.example.com");
    world.run_request(expand(&["a.example.com", "typo.example.com"])).await;
    let report = world.run_request(Request::renew().forced()).await;
    assert!(matches!(entry(&report, "a.example.com").outcome, Outcome::Renewed { .. }), "{report:?}");
    assert!(report.findings.iter().any(|finding| finding.code == FindingCode::WishPostponed), "{report:?}");
    assert!(names_of(&world).same_as(&set(&["a.example.com"])));
    assert!(world.state("a.example.com").wish.is_some(), "it is not forgotten");
}

#[tokio::test]
async fn what_a_conf_says_at_first_sight_is_no_wish() {
    let world = World::new(PebbleOptions::default()).await;
    // The conf asks for RSA, the certificate has an EC key: a tree that was taken over is not issued anew.
    world.due("a.example.com").days_left(80).param("key_type", "rsa").write();
    let report = world.run().await;
    let Outcome::NotDue { reason, .. } = &entry(&report, "a.example.com").outcome else { panic!("{report:?}") };
    assert_eq!(*reason, DueReason::ThirdOfLifetime);
}

#[tokio::test]
async fn names_that_fail_are_left_out_only_where_the_owner_permits_it_and_are_tried_again() {
    let world = World::new(PebbleOptions::default()).await;
    let names = ["a.example.com", "bad.example.com", "c.example.com"];
    world.due("a.example.com").names(names).param("allow_subset_of_names", "True").write();
    world.due("strict.example.com").names(["strict.example.com", "bad.example.com"]).write();
    world.pebble.set_servfail("bad.example.com");
    let before = serial_of_file(world.live("strict.example.com", certkit_core::store::Kind::Cert));
    let report = world.run().await;
    assert!(matches!(entry(&report, "a.example.com").outcome, Outcome::Renewed { .. }), "{report:?}");
    assert!(names_of(&world).same_as(&set(&["a.example.com", "c.example.com"])));
    let told = report.findings.iter().find(|finding| finding.code == FindingCode::NamesLeftOut).unwrap();
    assert!(told.evidence.contains("bad.example.com"), "{told:?}");
    assert!(matches!(entry(&report, "strict.example.com").outcome, Outcome::Failed { .. }), "{report:?}");
    assert_eq!(serial_of_file(world.live("strict.example.com", certkit_core::store::Kind::Cert)), before);
    // certbot#7922: a name that was left out once is lost for ever there.
    world.pebble.clear_servfail("bad.example.com");
    let report = world.run_request(Request::renew().only(LineageName::new("a.example.com").unwrap()).forced()).await;
    assert!(report.is_success(), "{report:?}");
    assert!(names_of(&world).same_as(&set(&names)));
}
