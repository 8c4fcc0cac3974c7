//! Names that lead nowhere, name servers that fail, and what cannot be told from here.

use std::net::IpAddr;

use certkit_acme::doctor::{AddressQuestion, Check, Examined, check_addresses};
use certkit_core::{FindingCode, Severity};
use testkit::{Data, Fault, NameServer, RecordKind};

use super::{assert_fine, because, codes, name, name_server, only, resolver};

const OVER_HTTP: fn() -> AddressQuestion = || AddressQuestion::new(true, false);

async fn look(server: &NameServer, host: &str) -> (Vec<Examined>, Vec<IpAddr>) {
    check_addresses(&resolver(server), &name(host), OVER_HTTP()).await
}

fn with_address() -> NameServer {
    let server = name_server();
    server.add("www.a.example", Data::A("127.0.0.9"));
    server.add("www.a.example", Data::Aaaa("::1"));
    server
}

#[tokio::test]
async fn a_name_in_order_is_asked_of_every_server_of_its_zone() {
    let server = with_address();
    let (examined, addresses) = look(&server, "www.a.example").await;
    assert_fine(&examined);
    assert_eq!(addresses, ["127.0.0.9".parse::<IpAddr>().unwrap(), "::1".parse().unwrap()]);
    for authoritative in ["127.0.0.3", "127.0.0.4"] {
        for kind in [RecordKind::A, RecordKind::AAAA] {
            let asked = (authoritative.parse().unwrap(), "www.a.example".to_owned(), kind);
            assert!(server.asked().contains(&asked), "{asked:?}");
        }
    }
    // The wildcard's base, too.
    server.add("a.example", Data::A("127.0.0.9"));
    assert_fine(&look(&server, "*.a.example").await.0);
}

#[tokio::test]
async fn aliases_are_followed_into_other_zones() {
    let server = with_address();
    server.add("shop.a.example", Data::Cname("host.b.example"));
    server.add_zone("b.example", &["127.0.0.2"]);
    server.add("host.b.example", Data::A("127.0.0.8"));
    let (examined, addresses) = look(&server, "shop.a.example").await;
    assert_fine(&examined);
    assert_eq!(addresses, ["127.0.0.8".parse::<IpAddr>().unwrap()]);
    server.remove("host.b.example");
    let (examined, addresses) = look(&server, "shop.a.example").await;
    let finding = only(&examined, FindingCode::NameNotFound);
    assert!(finding.evidence.contains("alias (CNAME) for host.b.example, which does not exist"), "{finding:?}");
    assert!(addresses.is_empty());
    // Where the alias leads nobody answers as a server of the zone, and the resolver knows it from before.
    server.add("host.b.example", Data::A("127.0.0.8"));
    server.fail("127.0.0.2", Some("b.example"), None, Fault::Refused);
    let (examined, addresses) = look(&server, "shop.a.example").await;
    let finding = only(&examined, FindingCode::NameUnanswered);
    assert!(finding.evidence.contains("ns1.b.example (127.0.0.2) answers REFUSED"), "{finding:?}");
    assert_eq!((finding.severity, addresses.len()), (Severity::Warning, 1));
    server.mend();
    server.remove("host.b.example");
    // A circle ends.
    server.add("host.b.example", Data::Cname("shop.a.example"));
    only(&look(&server, "shop.a.example").await.0, FindingCode::NameWithoutAddress);
}

#[tokio::test]
async fn a_name_that_is_gone_or_has_no_address_is_told() {
    let server = with_address();
    let (examined, _) = look(&server, "old.a.example").await;
    let finding = only(&examined, FindingCode::NameNotFound);
    assert_eq!((finding.subject.as_str(), finding.severity), ("old.a.example", Severity::Error));
    server.add("mail.a.example", Data::Txt("v=spf1 -all".into()));
    only(&look(&server, "mail.a.example").await.0, FindingCode::NameWithoutAddress);
    server.add("mail.a.example", Data::Aaaa("::1"));
    assert_fine(&look(&server, "mail.a.example").await.0);
}

#[tokio::test]
async fn validation_by_dns_needs_the_domain_and_not_the_name() {
    let server = with_address();
    let look = async |host| check_addresses(&resolver(&server), &name(host), AddressQuestion::new(false, true)).await.0;
    assert_fine(&look("old.a.example").await);
    assert_fine(&look("www.a.example").await);
    let examined = look("www.unregistered.example").await;
    assert!(only(&examined, FindingCode::NameNotFound).evidence.contains("the whole domain is gone"));
}

#[tokio::test]
async fn addresses_that_a_public_ca_cannot_reach_are_told_where_the_ca_is_public() {
    let server = with_address();
    let look = async |by_public: bool| {
        let question = AddressQuestion::new(true, by_public);
        check_addresses(&resolver(&server), &name("www.a.example"), question).await.0
    };
    assert_fine(&look(false).await);
    let examined = look(true).await;
    let finding = only(&examined, FindingCode::AddressNotPublic);
    assert_eq!((finding.evidence.as_str(), finding.severity), ("127.0.0.9, ::1", Severity::Error));
    server.add("www.a.example", Data::A("8.8.8.8"));
    let examined = look(true).await;
    assert_eq!(only(&examined, FindingCode::AddressNotPublic).severity, Severity::Warning);
    server.remove("www.a.example");
    server.add("www.a.example", Data::A("8.8.8.8"));
    assert_fine(&look(true).await);
}

#[tokio::test]
async fn a_server_that_fails_is_named_with_how_it_fails() {
    let server = with_address();
    for (fault, says) in [
        (Fault::Refused, "answers REFUSED"),
        (Fault::ServFail, "answers SERVFAIL"),
        (Fault::NotImp, "answers NOTIMP"),
        (Fault::Silent, "does not answer"),
        (Fault::NotAuthoritative, "lame delegation"),
        (Fault::Garbage, "cannot be read"),
        (Fault::TruncatedWithoutTcp, "by TCP"),
    ] {
        server.fail("127.0.0.4", Some("www.a.example"), None, fault);
        let (examined, addresses) = look(&server, "www.a.example").await;
        let finding = only(&examined, FindingCode::NameServerFails);
        assert!(finding.evidence.contains("ns2.a.example (127.0.0.4)"), "{finding:?}");
        assert!(finding.evidence.contains(says) && !finding.evidence.contains("127.0.0.3"), "{finding:?}");
        assert_eq!((finding.subject.as_str(), finding.severity), ("a.example", Severity::Warning));
        assert_eq!(addresses.len(), 2);
        server.mend();
    }
    server.fail("127.0.0.4", None, None, Fault::Truncated);
    assert_fine(&look(&server, "www.a.example").await.0);
}

#[tokio::test]
async fn a_silent_server_is_not_waited_for_for_every_name() {
    let server = with_address();
    server.add("mail.a.example", Data::A("127.0.0.9"));
    server.fail("127.0.0.4", None, None, Fault::Silent);
    let resolver = resolver(&server);
    let times_asked = |host: &str| {
        let asked = server.asked();
        asked.iter().filter(|(at, name, _)| at.to_string() == "127.0.0.4" && name == host).count()
    };
    for host in ["www.a.example", "mail.a.example"] {
        let (examined, _) = check_addresses(&resolver, &name(host), OVER_HTTP()).await;
        only(&examined, FindingCode::NameServerFails);
    }
    assert!(times_asked("www.a.example") > 1, "one lost packet is no fault");
    assert_eq!(times_asked("mail.a.example"), 0);
}

#[tokio::test]
async fn servers_of_a_family_that_is_not_heard_at_all_are_not_blamed() {
    let server = with_address();
    server.add_zone("b.a.example", &["127.0.0.3", "::1"]);
    server.add("www.b.a.example", Data::A("127.0.0.9"));
    assert_fine(&look(&server, "www.b.a.example").await.0);
    // It may be this machine that has no way out by IPv6.
    server.fail("::1", None, None, Fault::Silent);
    assert_fine(&look(&server, "www.b.a.example").await.0);
    // An answer came by IPv6.
    server.mend();
    server.fail("::1", None, None, Fault::Refused);
    let (examined, _) = look(&server, "www.b.a.example").await;
    assert!(only(&examined, FindingCode::NameServerFails).evidence.contains("(::1) answers REFUSED"));
}

#[tokio::test]
async fn a_zone_without_a_server_that_answers_is_told_with_the_reasons() {
    let server = with_address();
    server.fail("127.0.0.1", Some("a.example"), None, Fault::ServFail);
    server.fail("127.0.0.3", None, None, Fault::Refused);
    server.fail("127.0.0.4", None, None, Fault::ServFail);
    let (examined, addresses) = look(&server, "www.a.example").await;
    let finding = only(&examined, FindingCode::NameUnanswered);
    assert!(finding.evidence.contains("(127.0.0.3) answers REFUSED"), "{finding:?}");
    assert!(finding.evidence.contains("(127.0.0.4) answers SERVFAIL"), "{finding:?}");
    assert!(addresses.is_empty());
    // The servers of the domain above told where to ask: the resolver could not.
    assert!(server.asked().iter().any(|(at, ..)| at.to_string() == "127.0.0.2"));
    server.mend();
    assert_fine(&look(&server, "www.a.example").await.0);
}

#[tokio::test]
async fn servers_that_disagree_are_quoted() {
    let server = with_address();
    server.set_at("127.0.0.4", "www.a.example", vec![]);
    let (examined, addresses) = look(&server, "www.a.example").await;
    let finding = only(&examined, FindingCode::NameServersDisagree);
    assert!(finding.evidence.contains("ns1.a.example (127.0.0.3) says 127.0.0.9"), "{finding:?}");
    assert!(finding.evidence.contains("ns2.a.example (127.0.0.4) says no such name"), "{finding:?}");
    assert_eq!(finding.severity, Severity::Warning);
    assert_eq!(addresses.len(), 2);
    // Other addresses may be meant so.
    server.set_at("127.0.0.4", "www.a.example", vec![Data::A("127.0.0.7"), Data::Aaaa("::1")]);
    let (examined, addresses) = look(&server, "www.a.example").await;
    assert_eq!(only(&examined, FindingCode::NameServersDisagree).severity, Severity::Notice);
    assert_eq!(addresses.len(), 3);
    server.mend();
    assert_fine(&look(&server, "www.a.example").await.0);
}

#[tokio::test]
async fn broken_dnssec_is_told_from_servers_that_fail() {
    let server = with_address();
    server.fail("127.0.0.1", Some("a.example"), None, Fault::Bogus);
    let (examined, addresses) = look(&server, "www.a.example").await;
    let finding = only(&examined, FindingCode::DnssecBroken);
    assert!(finding.evidence.contains("SERVFAIL") && finding.evidence.contains("not to validate"), "{finding:?}");
    assert_eq!(addresses.len(), 2);
    server.mend();
    assert_fine(&look(&server, "www.a.example").await.0);
}

#[tokio::test]
async fn a_network_with_a_resolver_only_is_neither_well_nor_wrong() {
    let server = with_address();
    for authoritative in ["127.0.0.2", "127.0.0.3", "127.0.0.4"] {
        server.fail(authoritative, None, None, Fault::Silent);
    }
    let (examined, addresses) = look(&server, "www.a.example").await;
    assert!(codes(&examined).is_empty(), "{examined:?}");
    assert!(because(&examined, Check::NameServers).contains("port 53"));
    assert_eq!(addresses.len(), 2, "what the resolver knows is known");
    // What it says of the name counts.
    let (examined, _) = look(&server, "old.a.example").await;
    only(&examined, FindingCode::NameNotFound);
    // Something on the way answers in place of the servers.
    server.mend();
    for authoritative in ["127.0.0.2", "127.0.0.3", "127.0.0.4"] {
        server.fail(authoritative, None, None, Fault::NotAuthoritative);
    }
    let (examined, _) = look(&server, "www.a.example").await;
    assert!(codes(&examined).is_empty(), "{examined:?}");
    because(&examined, Check::NameServers);
    // When the resolver gives up as well, something is wrong.
    server.mend();
    server.fail("127.0.0.1", Some("a.example"), None, Fault::ServFail);
    for authoritative in ["127.0.0.2", "127.0.0.3", "127.0.0.4"] {
        server.fail(authoritative, None, None, Fault::Silent);
    }
    let (examined, _) = look(&server, "www.a.example").await;
    assert!(only(&examined, FindingCode::NameUnanswered).evidence.contains("the resolver answers SERVFAIL"));
}

#[tokio::test]
async fn without_a_resolver_nothing_is_said_of_the_name() {
    let server = with_address();
    server.fail("127.0.0.1", None, None, Fault::Silent);
    let (examined, addresses) = look(&server, "www.a.example").await;
    assert!(because(&examined, Check::Addresses).contains("does not answer"));
    assert!(codes(&examined).is_empty() && addresses.is_empty());
}
