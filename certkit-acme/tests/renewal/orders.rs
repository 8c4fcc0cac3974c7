//! What is ordered, and from whom.

use certkit_acme::renewal::{Outcome, Request};
use certkit_core::store::Kind;
use certkit_core::{FailureClass, FindingCode, LineageName};
use testkit::{AccountKeyKind, Nginx, NginxOptions, PebbleOptions};

use crate::support::{World, entry};

#[tokio::test]
async fn webroot_tokens_are_served_by_nginx_and_removed() {
    let world = World::new(PebbleOptions::default()).await;
    let nginx = Nginx::start(&NginxOptions { http_port: Some(world.pebble.http_port()), ..NginxOptions::default() });
    world
        .tree
        .lineage("w.example.com")
        .days_left(5)
        .server(&world.server())
        .account(&world.account)
        .names(["w.example.com", "www.w.example.com"])
        .webroot(nginx.webroot())
        .write();
    let report = world.run().await;
    assert!(report.is_success(), "{report:?}");
    assert_eq!(world.whole_version("w.example.com"), 2);
    let left = nginx.webroot().join(".well-known");
    assert!(!left.exists() || std::fs::read_dir(left.join("acme-challenge")).map_or(0, Iterator::count) == 0);
}

#[tokio::test]
async fn a_missing_webroot_and_a_taken_port_are_told_before_the_ca_is_asked_to_look() {
    let world = World::new(PebbleOptions::default()).await;
    let _taken = std::net::TcpListener::bind(("0.0.0.0", world.pebble.http_port())).unwrap();
    world.due("port.example.com").write();
    world
        .tree
        .lineage("root.example.com")
        .days_left(5)
        .server(&world.server())
        .account(&world.account)
        .webroot("/nonexistent/webroot")
        .write();
    let report = world.run().await;
    for (name, word) in [
        ("port.example.com", world.pebble.http_port().to_string()),
        ("root.example.com", "/nonexistent/webroot".into()),
    ] {
        let Outcome::Failed { failure, .. } = &entry(&report, name).outcome else { panic!("{report:?}") };
        assert_eq!(failure.class, FailureClass::ChallengeSetup);
        assert!(failure.detail.contains(&word), "{failure:?}");
    }
}

#[tokio::test]
async fn preferred_chain_is_matched_by_its_topmost_issuer() {
    let world = World::new(PebbleOptions { alternate_roots: 2, ..PebbleOptions::default() }).await;
    let root = certkit_core::Certificate::from_pem(world.pebble.issuing_root(2).as_bytes()).unwrap();
    let wanted = root.subject_common_name().unwrap();
    world.due("a.example.com").param("preferred_chain", &wanted).write();
    let report = world.run().await;
    assert!(report.is_success(), "{report:?}");
    let chain =
        certkit_core::Chain::from_pem(&std::fs::read(world.live("a.example.com", Kind::Fullchain)).unwrap()).unwrap();
    assert_eq!(chain.topmost_issuer_common_name().as_deref(), Some(wanted.as_str()));
}

#[tokio::test]
async fn an_account_that_the_ca_lost_is_registered_anew_with_its_key_unless_something_binds_it() {
    let world = World::new(PebbleOptions::default()).await;
    let url = world.server().replace("/dir", "/my-account/nobody");
    let lost = world.tree.account_with_url(&world.server(), AccountKeyKind::EcP256, &url);
    for name in ["free.example.com", "bound.example.com"] {
        world.due(name).account(&lost.id).write();
    }
    // RFC 8657: only the account that was lost may have certificates for this name.
    world.pebble.set_caa("bound.example.com", &[("issue", &format!("pebble.example; accounturi={url}"))]);
    let only = |name: &str| Request::renew().only(LineageName::new(name).unwrap());
    let report = world.run_request(only("bound.example.com")).await;
    let Outcome::Failed { failure, .. } = &entry(&report, "bound.example.com").outcome else { panic!("{report:?}") };
    assert_eq!(failure.class, FailureClass::AccountUnknown);
    assert!(failure.detail.contains("CAA"), "{failure}");
    let report = world.run_request(only("free.example.com")).await;
    assert!(matches!(entry(&report, "free.example.com").outcome, Outcome::Renewed { .. }), "{report:?}");
    assert!(report.findings.iter().any(|finding| finding.code == FindingCode::AccountRevived));
    // The same key, and so the same id: no conf has to change.
    let (accounts, _) = world.store().accounts(&world.directory()).unwrap();
    let revived = accounts.iter().find(|account| account.id == lost.id).unwrap();
    assert_ne!(revived.uri.as_str(), url);
}

#[tokio::test]
async fn several_accounts_without_a_choice_are_told() {
    let world = World::new(PebbleOptions::default()).await;
    world.tree.account(&world.server(), AccountKeyKind::EcP256);
    world
        .tree
        .lineage("which.example.com")
        .days_left(5)
        .server(&world.server())
        .standalone(world.pebble.http_port())
        .write();
    let report = world.run().await;
    let Outcome::Failed { failure, .. } = &entry(&report, "which.example.com").outcome else { panic!("{report:?}") };
    assert_eq!(failure.class, FailureClass::Settings);
}

#[tokio::test]
async fn an_unreachable_ca_fails_its_lineages_once_and_no_others() {
    let world = World::new(PebbleOptions::default()).await;
    world.due("good.example.com").write();
    for number in 1..=3 {
        world
            .tree
            .lineage(&format!("down{number}.example.com"))
            .days_left(5)
            .server("https://127.0.0.1:9/dir")
            .standalone(world.pebble.http_port())
            .write();
    }
    let plain = world
        .tree
        .lineage("plain.example.com")
        .days_left(5)
        .server("http://ca.example.com/dir")
        .standalone(world.pebble.http_port())
        .write();
    let report = world.run().await;
    assert!(matches!(entry(&report, "good.example.com").outcome, Outcome::Renewed { .. }), "{report:?}");
    for number in 1..=3 {
        let Outcome::Failed { failure, .. } = &entry(&report, &format!("down{number}.example.com")).outcome else {
            panic!("{report:?}")
        };
        assert!(matches!(failure.class, FailureClass::Network | FailureClass::AccountUnknown), "{failure:?}");
    }
    let Outcome::Failed { failure, .. } = &entry(&report, &plain.name).outcome else { panic!("{report:?}") };
    assert_eq!(failure.class, FailureClass::Settings);
    assert!(failure.detail.contains("https"), "{failure:?}");
}
