//! acme2certifier as the tests get it: its directory, and what it refuses.
#![allow(clippy::unwrap_used)]

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::{Value, json};
use testkit::{Acme2Certifier, Acme2CertifierOptions, https};

fn directory(ca: &Acme2Certifier) -> Value {
    let port = ca.directory_url().split([':', '/']).nth(4).unwrap().parse().unwrap();
    let answer = https::get_plain(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), "/directory").unwrap();
    assert_eq!(answer.status, 200, "{}", ca.log());
    serde_json::from_slice(&answer.body).unwrap()
}

#[test]
fn acme2certifier_offers_what_it_is_told_to_and_ends() {
    let options = Acme2CertifierOptions {
        profiles: vec![("classic".into(), "90 days".into()), ("shortlived".into(), "six days".into())],
        external_accounts: vec![("kid-1".into(), "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajV".into())],
        ..Acme2CertifierOptions::default()
    };
    let ca = Acme2Certifier::start(&options);
    let offered = directory(&ca);
    let base = ca.directory_url().replace("/directory", "");
    assert_eq!(offered["renewalInfo"], format!("{base}/acme/renewal-info"));
    assert_eq!(offered["meta"]["profiles"], json!({ "classic": "90 days", "shortlived": "six days" }));
    assert_eq!(offered["meta"]["externalAccountRequired"], true);
    assert_eq!(ca.revocation_list(), None);
    let port = base.rsplit(':').next().unwrap().parse().unwrap();
    drop(ca);
    assert!(https::get_plain((Ipv4Addr::LOCALHOST, port).into(), "/directory").is_err());

    let ca = Acme2Certifier::start(&Acme2CertifierOptions { renewal_window: None, ..Default::default() });
    let offered = directory(&ca);
    assert_eq!(offered.get("renewalInfo"), None);
    assert_eq!((offered["meta"].get("profiles"), offered["meta"].get("externalAccountRequired")), (None, None));
}
