//! Several CAs for one lineage: the first as long as it can be had.

use certkit_acme::renewal::{Outcome, Request};
use certkit_core::{AcmeUrl, FailureClass, FindingCode};
use testkit::{Pebble, PebbleOptions, RequestKind};

use crate::support::{World, entry};

/// A world whose CA can fail, and a second CA with an account, that validates on the same port.
async fn two_authorities() -> (World, Pebble) {
    let world = World::with_faults(PebbleOptions::default()).await;
    let port = world.pebble.http_port();
    let second = Pebble::start(PebbleOptions { http_port: Some(port), ..PebbleOptions::default() });
    world.register_at(&second.directory_url(), second.ca_bundle()).await;
    (world, second)
}

fn renewer(world: &World, second: &Pebble) -> certkit_acme::renewal::Renewer {
    let mut transport = world.transport();
    transport.ca_bundles.push(second.ca_bundle());
    certkit_acme::renewal::Renewer::builder(world.store()).transport(transport).build().unwrap()
}

#[tokio::test]
async fn with_little_time_left_the_next_ca_takes_the_place_of_one_that_is_down() {
    let (world, second) = two_authorities().await;
    world.due("a.example.com").write();
    world.set("a.example.com", &format!("fallback_servers = [\"{}\"]\n", second.directory_url()));
    let conf = world.store().paths().conf(&certkit_core::LineageName::new("a.example.com").unwrap());
    let before = std::fs::read_to_string(&conf).unwrap();
    world.proxy().refuse_connections();
    let stop = certkit_acme::Stop::new();
    let report = renewer(&world, &second).run(Request::renew(), &stop).await.unwrap();
    // Ten of ninety days: less than a fifth.
    assert!(matches!(entry(&report, "a.example.com").outcome, Outcome::Renewed { .. }), "{report:?}");
    assert!(report.findings.iter().any(|finding| finding.code == FindingCode::FallbackAuthority));
    assert_eq!(world.whole_version("a.example.com"), 2);
    // The conf keeps the first CA and its account; who really issued it is in the state.
    assert_eq!(std::fs::read_to_string(&conf).unwrap(), before);
    let issuer = AcmeUrl::parse(&second.directory_url()).unwrap();
    assert_eq!(world.state("a.example.com").issuer_directory, Some(issuer));
    // It is no drift: nothing is due although the first CA is back.
    world.proxy().accept_connections();
    let report = renewer(&world, &second).run(Request::renew(), &stop).await.unwrap();
    assert!(matches!(entry(&report, "a.example.com").outcome, Outcome::NotDue { .. }), "{report:?}");
    assert_eq!(world.proxy().count(RequestKind::NewOrder), 0);
}

#[tokio::test]
async fn with_time_left_the_first_ca_is_waited_for() {
    let (world, second) = two_authorities().await;
    world.due("a.example.com").days_left(25).write();
    world.set("a.example.com", &format!("fallback_servers = [\"{}\"]\n", second.directory_url()));
    world.proxy().refuse_connections();
    let report = renewer(&world, &second).run(Request::renew(), &certkit_acme::Stop::new()).await.unwrap();
    let Outcome::Failed { failure, .. } = &entry(&report, "a.example.com").outcome else { panic!("{report:?}") };
    assert_eq!(failure.class, FailureClass::Network);
    assert_eq!(world.whole_version("a.example.com"), 1);
}

#[tokio::test]
async fn a_ca_without_an_account_does_not_stand_in() {
    let world = World::with_faults(PebbleOptions::default()).await;
    let second = Pebble::start(PebbleOptions::default());
    world.due("a.example.com").write();
    world.set("a.example.com", &format!("fallback_servers = [\"{}\"]\n", second.directory_url()));
    world.proxy().refuse_connections();
    let report = renewer(&world, &second).run(Request::renew(), &certkit_acme::Stop::new()).await.unwrap();
    assert!(matches!(entry(&report, "a.example.com").outcome, Outcome::Failed { .. }), "{report:?}");
    assert_eq!(world.whole_version("a.example.com"), 1);
}

#[tokio::test]
async fn a_ca_that_does_not_answer_delays_no_other() {
    let (world, second) = two_authorities().await;
    world.due("a.example.com").write();
    let account = world.store().accounts(&AcmeUrl::parse(&second.directory_url()).unwrap()).unwrap().0.remove(0).id;
    world.due("b.example.com").server(&second.directory_url()).account(&account).write();
    world.proxy().on(RequestKind::Directory).hang();
    let mut transport = world.transport();
    transport.ca_bundles.push(second.ca_bundle());
    transport.timeout = std::time::Duration::from_secs(8);
    let renewer = certkit_acme::renewal::Renewer::builder(world.store())
        .transport(transport)
        .observer(std::sync::Arc::clone(&world.seen) as std::sync::Arc<dyn certkit_acme::renewal::Observer>)
        .build()
        .unwrap();
    let report = renewer.run(Request::renew(), &certkit_acme::Stop::new()).await.unwrap();
    assert!(entry(&report, "b.example.com").outcome.is_success());
    assert!(!entry(&report, "a.example.com").outcome.is_success());
    // The other's certificate was there before the first CA was given up.
    let order = world.seen.order_of(&[("b.example.com", "committed"), ("a.example.com", "attempt-failed")]);
    assert_eq!(order, ["b.example.com", "a.example.com"]);
}
