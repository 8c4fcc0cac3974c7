//! CAA records looked up at a real name server, and at servers that do not give an answer.
#![allow(clippy::unwrap_used)]

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use certkit_acme::dns::{CaaSet, DnsError, Resolver, ResolverSettings};
use certkit_core::DnsName;
use testkit::{Pebble, PebbleOptions};

fn resolver(server: SocketAddr) -> Resolver {
    Resolver::new(&ResolverSettings::with_servers(vec![server])).unwrap()
}

fn name(text: &str) -> DnsName {
    DnsName::parse(text).unwrap()
}

fn found_at(set: &CaaSet) -> Option<&str> {
    set.found_at.as_ref().map(DnsName::as_str)
}

/// A name server that answers every question with this code and nothing else; one that is silent without.
fn answering(code: Option<u8>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut packet = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            let Some(code) = code else { continue };
            // RFC 1035 section 4.1.1: QR and RA, the code, one question as it came, and no records (EDNS's neither).
            let mut question = 12;
            while packet[question] != 0 {
                question += usize::from(packet[question]) + 1;
            }
            let answer = &mut packet[..(question + 5).min(length)];
            answer[2] |= 0x80;
            answer[3] = 0x80 | code;
            answer[6..12].fill(0);
            socket.send_to(answer, from).unwrap();
        }
    });
    address
}

#[tokio::test]
async fn the_nearest_name_with_records_counts() {
    let pebble = Pebble::start(PebbleOptions::default());
    let resolver = resolver(pebble.dns_address());
    let deep = name("x.www.a.example");
    let nothing = resolver.caa(&deep).await.unwrap();
    assert_eq!((found_at(&nothing), nothing.properties.len()), (None, 0));
    pebble.set_caa("example", &[("issue", ";")]);
    let set = resolver.caa(&deep).await.unwrap();
    assert_eq!(found_at(&set), Some("example"));
    assert_eq!(set.issuers().next().unwrap().domain, None);
    let bound = "Ca.Example; accounturi=https://ca.example/1; validationmethods=http-01";
    pebble.set_caa("a.example", &[("issue", bound), ("ISSUEWILD", ";"), ("iodef", "mailto:a@a.example")]);
    let set = resolver.caa(&deep).await.unwrap();
    assert_eq!(found_at(&set), Some("a.example"));
    assert_eq!(set.properties.len(), 3);
    let issuer = set.issuers().next().unwrap();
    assert_eq!(issuer.domain.as_deref(), Some("ca.example"));
    assert_eq!(issuer.validation_methods().unwrap(), ["http-01"]);
    assert_eq!(set.binds_account(&["ca.example".to_owned()]), ["https://ca.example/1"]);
    let wildcard = resolver.caa(&name("*.a.example")).await.unwrap();
    assert_eq!(found_at(&wildcard), Some("a.example"));
    assert!(wildcard.binds_account(&[]).is_empty(), "issuewild permits nobody and names nobody");
    // What is said is what the servers say now.
    pebble.clear_caa("a.example");
    assert_eq!(found_at(&resolver.caa(&deep).await.unwrap()), Some("example"));
}

#[tokio::test]
async fn aliases_are_followed_and_climbing_goes_on_from_the_name_itself() {
    let pebble = Pebble::start(PebbleOptions::default());
    let resolver = resolver(pebble.dns_address());
    pebble.set_cname("www.a.example", "host.b.example");
    pebble.set_caa("host.b.example", &[("issue", "b.example")]);
    let set = resolver.caa(&name("www.a.example")).await.unwrap();
    assert_eq!((found_at(&set), set.properties.len()), (Some("www.a.example"), 1));
    pebble.clear_caa("host.b.example");
    // Not the alias's parent (RFC 8659 section 3), but the name's.
    pebble.set_caa("b.example", &[("issue", "b.example")]);
    assert_eq!(found_at(&resolver.caa(&name("www.a.example")).await.unwrap()), None);
    pebble.set_caa("a.example", &[("issue", "a.example")]);
    assert_eq!(found_at(&resolver.caa(&name("www.a.example")).await.unwrap()), Some("a.example"));
    // Aliases that lead in a circle are no absence.
    pebble.set_cname("host.b.example", "www.a.example");
    let error = resolver.caa(&name("www.a.example")).await.unwrap_err();
    assert!(error.to_string().contains("CNAME"), "{error}");
}

#[tokio::test]
async fn a_server_that_fails_is_never_the_absence_of_records() {
    let pebble = Pebble::start(PebbleOptions::default());
    pebble.set_servfail("a.example");
    let error = resolver(pebble.dns_address()).caa(&name("www.a.example")).await.unwrap_err();
    assert!(matches!(&error, DnsError::Unanswered { .. }), "{error:?}");
    assert!(error.to_string().contains("www.a.example cannot be looked up: a.example: "), "{error}");
    pebble.clear_servfail("a.example");
    assert!(resolver(pebble.dns_address()).caa(&name("www.a.example")).await.is_ok());

    const NXDOMAIN: u8 = 3;
    const FORMERR: u8 = 1;
    const NOTIMP: u8 = 4;
    const REFUSED: u8 = 5;
    const UNASSIGNED: u8 = 14;
    let set = resolver(answering(Some(NXDOMAIN))).caa(&name("www.a.example")).await.unwrap();
    assert_eq!(found_at(&set), None, "no such name is an answer");
    for code in [FORMERR, NOTIMP, REFUSED, UNASSIGNED] {
        let answer = resolver(answering(Some(code))).caa(&name("www.a.example")).await;
        assert!(matches!(&answer, Err(DnsError::Unanswered { .. })), "{code}: {answer:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_silent_is_not_waited_for_for_ever() {
    let mut settings = ResolverSettings::with_servers(vec![answering(None)]);
    settings.time_limit = Duration::from_millis(300);
    let error = Resolver::new(&settings).unwrap().caa(&name("a.example")).await.unwrap_err();
    assert!(error.to_string().contains("no answer within"), "{error}");
}

#[test]
fn the_systems_servers_are_read_without_asking_them() {
    // A machine without name servers says so; one that has them is not asked here.
    match Resolver::new(&ResolverSettings::new()) {
        Ok(resolver) => assert!(format!("{resolver:?}").contains("20s")),
        Err(error) => assert!(error.to_string().contains("/etc/resolv.conf"), "{error}"),
    }
}
