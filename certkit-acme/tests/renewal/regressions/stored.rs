//! What is stored is not what it was: it cannot be read, is damaged, or is another CA's.

use certkit_acme::Stop;
use certkit_acme::renewal::{Outcome, Renewer, Request, RunError};
use certkit_core::{AcmeUrl, FailureClass, FindingCode};
use testkit::{Answer, FaultProxy, Pebble, PebbleOptions, RequestKind};

use super::{NAME, die_at, failure_class, is_renewed, name, world};
use crate::support::{entry, make_unreadable};

#[tokio::test]
async fn what_cannot_be_read_is_not_ordered() {
    // certmagic's Exists() swallows errors: what cannot be read is taken for missing, and ordered.
    let world = world().await;
    world.due(NAME).write();
    world.due("b.example.com").write();
    let paths = world.store().paths().clone();
    let state = paths.state_file(&name(NAME));
    std::fs::create_dir_all(state.parent().unwrap()).unwrap();
    // A memory that nobody can follow is not an empty one: the lineage could be ordered again and again.
    make_unreadable(&state);
    let report = world.run().await;
    assert_eq!(failure_class(&report, NAME), FailureClass::Store, "{report:?}");
    assert!(is_renewed(&report, "b.example.com"), "the others go on: {report:?}");
    assert_eq!(world.proxy().new_orders().len(), 1);
    std::fs::remove_file(&state).unwrap();

    // What was asked of the CAs, the seed, the confs themselves: without them nothing is ordered at all.
    let away = world.file("away");
    for path in [paths.ledger_file(), paths.conf(&name(NAME)).parent().unwrap().to_owned()] {
        std::fs::rename(&path, &away).unwrap();
        make_unreadable(&path);
        let refused = world.renewer().run(Request::renew().forced(), &Stop::new()).await;
        assert!(matches!(refused, Err(RunError::Store(_))), "{}: {refused:?}", path.display());
        assert_eq!(world.proxy().new_orders().len(), 1, "{}", path.display());
        std::fs::remove_file(&path).unwrap();
        std::fs::rename(&away, &path).unwrap();
    }
    assert!(is_renewed(&world.run().await, NAME));
}

#[tokio::test]
async fn a_conf_that_names_another_ca_is_heeded_whatever_is_left_of_the_first() {
    // Caddy#6732: renewals are stuck because the CA that issued is not among the configured ones any more.
    let world = world().await;
    world.proxy().offer_renewal_info();
    let port = world.pebble.http_port();
    let second = Pebble::start(PebbleOptions { http_port: Some(port), ..PebbleOptions::default() });
    world.register_at(&second.directory_url(), second.ca_bundle()).await;
    // Pebble's certificates live for 1826 days less a second: this one is due again a second later.
    let paths = world.due(NAME).top("renew_before_expiry", "1825 days 86398 seconds").write();
    assert!(is_renewed(&world.run().await, NAME));
    assert_eq!(world.state(NAME).issuer_directory, Some(world.directory()));
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    // An order waits at the first CA, which goes away for ever.
    die_at(&world, "order-placed").await;
    world.proxy().refuse_connections();
    let directory = AcmeUrl::parse(&second.directory_url()).unwrap();
    let account = world.store().accounts(&directory).unwrap().0.remove(0).id;
    let conf = std::fs::read_to_string(&paths.conf).unwrap();
    let conf = conf.replace(&world.server(), &second.directory_url()).replace(&world.account, &account);
    std::fs::write(&paths.conf, conf).unwrap();
    let mut transport = world.transport();
    transport.ca_bundles.push(second.ca_bundle());
    let renewer = Renewer::builder(world.store()).transport(transport).build().unwrap();
    let report = renewer.run(Request::renew(), &Stop::new()).await.unwrap();
    assert!(is_renewed(&report, NAME), "{report:?}");
    assert_eq!(world.whole_version(NAME), 3);
    assert_eq!(world.state(NAME).issuer_directory, Some(directory));
    assert!(world.store().pending(&name(NAME)).unwrap().is_none());
}

#[tokio::test]
async fn damaged_memory_costs_its_content_and_nothing_is_issued_that_is_not_due() {
    let world = world().await;
    let log = world.file("deployed");
    world.due(NAME).deploy_hook(&format!("echo x >> {}", log.display())).write();
    assert!(is_renewed(&world.run().await, NAME));
    let paths = world.store().paths().clone();
    for damage in ["", "{\"schema\": 1, \"state\": {\"stage\": 7", "\0\0\0\0", "{\"schema\": 99, \"state\": {}}"] {
        std::fs::write(paths.state_file(&name(NAME)), damage).unwrap();
        std::fs::write(paths.ledger_file(), damage).unwrap();
        let report = world.run().await;
        assert!(matches!(entry(&report, NAME).outcome, Outcome::NotDue { .. }), "{damage:?}: {report:?}");
        let damaged: Vec<_> =
            report.findings.iter().filter(|finding| finding.code == FindingCode::StateDamaged).collect();
        assert_eq!(damaged.len(), 2, "{damage:?}: {report:?}");
        // What counts as deployed is not deployed again.
        assert_eq!(std::fs::read_to_string(&log).unwrap().lines().count(), 1, "{damage:?}");
        let report = world.run().await;
        assert!(
            report.findings.iter().all(|finding| finding.code != FindingCode::StateDamaged),
            "told once: {report:?}"
        );
    }
    assert_eq!(world.proxy().count(RequestKind::NewOrder), 1);
}

#[tokio::test]
async fn a_ca_that_stands_in_gets_neither_the_firsts_account_nor_its_certificates() {
    let world = world().await;
    world.proxy().offer_renewal_info();
    let port = world.pebble.http_port();
    let second = Pebble::start(PebbleOptions { http_port: Some(port), ..PebbleOptions::default() });
    let second_proxy = FaultProxy::start(&second);
    second_proxy.offer_renewal_info();
    let second_url = second_proxy.directory_url();
    world.register_at(&second_url, second_proxy.ca_bundle()).await;
    world.due(NAME).write();
    world.set(NAME, &format!("fallback_servers = [\"{second_url}\"]\n"));
    let mut transport = world.transport();
    transport.ca_bundles.push(second_proxy.ca_bundle());
    let renewer = Renewer::builder(world.store()).transport(transport).build().unwrap();
    // The first CA is there, and refuses orders.
    world.proxy().on(RequestKind::NewOrder).answer(Answer::service_unavailable());
    let report = renewer.run(Request::renew(), &Stop::new()).await.unwrap();
    assert!(is_renewed(&report, NAME), "{report:?}");
    assert_eq!(world.state(NAME).issuer_directory, Some(AcmeUrl::parse(&second_url).unwrap()));
    let orders = second_proxy.new_orders();
    assert_eq!((orders.len(), orders[0].replaces.as_deref()), (1, None), "it has not issued what is replaced");
    let base = second_url.replace("/dir", "/");
    for request in second_proxy.log().iter().filter_map(|request| request.protected.clone()) {
        if let Some(kid) = request["kid"].as_str() {
            assert!(kid.starts_with(&base), "{kid}");
        }
    }
    // Its certificate, in turn, is nothing that the first CA could replace.
    world.proxy().clear();
    world.proxy().forget_log();
    let report = renewer.run(Request::renew().forced(), &Stop::new()).await.unwrap();
    assert!(is_renewed(&report, NAME), "{report:?}");
    assert_eq!(world.state(NAME).issuer_directory, Some(world.directory()));
    assert_eq!(world.proxy().new_orders()[0].replaces, None);
    assert_eq!(second_proxy.new_orders().len(), 1);
}
