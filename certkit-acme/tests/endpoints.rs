//! What the prober finds at real servers, and what it compares as: nginx on several addresses, Postfix and Dovecot behind
//! STARTTLS, and servers that mean no good.
#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use certkit_acme::dns::ResolverSettings;
use certkit_acme::probe::{Answer, ProbeLimits, Prober};
use certkit_acme::transport::TransportSettings;
use certkit_core::state::{AddressMemory, ServedLeaf, ServedTrouble};
use certkit_core::{Certificate, Chain, Endpoint, EndpointProtocol, StoredVersions, Version, compare};
use chrono::{DateTime, TimeDelta, Utc};
use testkit::{Dovecot, Issued, KeyKind, Nginx, NginxOptions, Pebble, PebbleOptions, Pki, Postfix, Site};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A CA that is trusted, and a lineage whose version 2 is in use.
struct World {
    pki: Pki,
    folder: tempfile::TempDir,
    transport: TransportSettings,
    now: DateTime<Utc>,
    versions: [Issued; 2],
}

const NAME: &str = "a.example";

impl World {
    fn new() -> Self {
        let (now, folder) = (testkit::now(), tempfile::tempdir().unwrap());
        let pki = Pki::new(now);
        let root = folder.path().join("root.pem");
        std::fs::write(&root, pki.root_pem()).unwrap();
        let mut transport = TransportSettings::new();
        transport.ca_bundles = vec![root];
        let day = TimeDelta::days(1);
        let key = KeyKind::EcdsaP256.generate();
        let versions = [1, 2].map(|serial| pki.issue(&[NAME.into()], now - day * 60, now + day * 30, &key, &[serial]));
        Self { pki, folder, transport, now, versions }
    }

    fn issue(&self, name: &str, until: TimeDelta, kind: KeyKind) -> Issued {
        let from = self.now - TimeDelta::days(90);
        self.pki.issue(&[name.to_owned()], from, self.now + until, &kind.generate(), &[0x77])
    }

    /// Files with a chain and a key.
    fn files(&self, name: &str, chain: &str, issued: &Issued) -> (PathBuf, PathBuf) {
        let path = |end: &str| self.folder.path().join(format!("{name}.{end}"));
        std::fs::write(path("chain"), chain).unwrap();
        std::fs::write(path("key"), &issued.privkey).unwrap();
        (path("chain"), path("key"))
    }

    fn prober(&self) -> Prober {
        Prober::new(&self.transport, &ResolverSettings::default(), ProbeLimits::default()).unwrap()
    }

    fn stored(&self) -> StoredVersions {
        let chain = |at: usize| Chain::from_pem(self.versions[at].fullchain.as_bytes()).unwrap();
        StoredVersions::new(Some(Version(2)), vec![(Version(1), chain(0)), (Version(2), chain(1))])
    }

    fn live(&self) -> Certificate {
        Certificate::from_pem(self.versions[1].cert.as_bytes()).unwrap()
    }

    async fn look(&self, endpoint: &Endpoint) -> Vec<AddressMemory> {
        self.look_by(&self.prober(), endpoint).await
    }

    async fn look_by(&self, prober: &Prober, endpoint: &Endpoint) -> Vec<AddressMemory> {
        let asked = endpoint.asked_name(&self.live().identifiers().unwrap());
        let answers = prober.look(endpoint, &asked, Some(&self.live()), self.now).await;
        answers.iter().map(|answer| self.compared(answer)).collect()
    }

    fn compared(&self, answer: &Answer) -> AddressMemory {
        match &answer.observed {
            Ok(observed) => compare(observed, &self.stored(), self.now),
            Err(why) => AddressMemory::unreachable(answer.address, why),
        }
    }
}

fn site(address: &str, name: &str, tls: Vec<(PathBuf, PathBuf)>) -> Site {
    Site { address: address.parse().unwrap(), name: name.to_owned(), tls }
}

fn nginx(sites: Vec<Site>) -> Nginx {
    Nginx::start(&NginxOptions { sites, ..NginxOptions::default() })
}

fn verdict(memory: &AddressMemory) -> (ServedLeaf, &[ServedTrouble]) {
    (memory.leaf, &memory.troubles)
}

#[tokio::test]
async fn every_address_is_told_for_what_it_serves() {
    let world = World::new();
    let [old, new] = &world.versions;
    let foreign = world.issue(NAME, TimeDelta::days(9), KeyKind::EcdsaP256);
    let expired = world.issue(NAME, -TimeDelta::days(1), KeyKind::EcdsaP256);
    let other = world.issue("b.example", TimeDelta::days(9), KeyKind::EcdsaP256);
    let wrong_order = format!("{}{}{}", new.cert, world.pki.root_pem(), new.chain);
    let one = |name: &str, chain: &str, issued: &Issued| vec![world.files(name, chain, issued)];
    use ServedLeaf::{Foreign, Older, Same};
    use ServedTrouble as T;
    let cases = [
        ("127.0.0.1", one("new", &new.fullchain, new), Same, &[][..]),
        ("127.0.0.2", one("old", &old.fullchain, old), Older { version: Version(1) }, &[]),
        ("127.0.0.3", one("foreign", &foreign.fullchain, &foreign), Foreign, &[]),
        ("127.0.0.4", one("expired", &expired.fullchain, &expired), Foreign, &[T::Expired]),
        ("127.0.0.5", one("bare", &new.cert, new), Same, &[T::IncompleteChain, T::UntrustedNow]),
        ("127.0.0.6", one("order", &wrong_order, new), Same, &[T::WrongOrder]),
        ("127.0.0.7", one("other", &other.fullchain, &other), Foreign, &[T::NameMismatch]),
        ("::1", one("new6", &new.fullchain, new), Same, &[]),
    ];
    let has_ipv6 = testkit::ports::has_ipv6();
    let cases: Vec<_> = cases.into_iter().filter(|case| has_ipv6 || case.0 != "::1").collect();
    let nginx = nginx(cases.iter().map(|(address, tls, _, _)| site(address, "", tls.clone())).collect());
    let prober = world.prober();
    for (address, _, leaf, troubles) in cases {
        let found = world.look_by(&prober, &Endpoint::new(address, nginx.tls_port())).await;
        let expected: IpAddr = address.parse().unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].address, Some(SocketAddr::new(expected, nginx.tls_port())));
        assert_eq!(verdict(&found[0]), (leaf, troubles), "{address}: {}", found[0].detail);
    }
    // Nobody listens there.
    let found = world.look_by(&prober, &Endpoint::new("127.0.0.9", nginx.tls_port())).await;
    assert_eq!(found[0].leaf, ServedLeaf::Unreachable);
    assert!(found[0].detail.contains("refused"), "{}", found[0].detail);
}

#[tokio::test]
async fn a_name_is_looked_at_on_all_its_addresses() {
    let world = World::new();
    let [old, new] = &world.versions;
    let (new_files, old_files) = (world.files("new", &new.fullchain, new), world.files("old", &old.fullchain, old));
    let mut sites =
        vec![site("127.0.0.1", "", vec![new_files.clone()]), site("127.0.0.2", "", vec![old_files.clone()])];
    let has_ipv6 = testkit::ports::has_ipv6();
    if has_ipv6 {
        sites.push(site("::1", "", vec![old_files]));
    }
    let nginx = nginx(sites);
    let pebble = Pebble::start(PebbleOptions::default());
    pebble.set_a(NAME, &["127.0.0.1", "127.0.0.2", "127.0.0.9"]);
    if has_ipv6 {
        // The documentation's addresses have no way from here: they are left out.
        pebble.set_aaaa(NAME, &["::1"]);
    }
    let names = ResolverSettings::with_servers(vec![pebble.dns_address()]);
    let prober = Prober::new(&world.transport, &names, ProbeLimits::default()).unwrap();
    let found = world.look_by(&prober, &Endpoint::new(NAME, nginx.tls_port())).await;
    let older = ServedLeaf::Older { version: Version(1) };
    let mut expected = vec![
        ("127.0.0.1".parse().unwrap(), ServedLeaf::Same),
        ("127.0.0.2".parse().unwrap(), older),
        ("127.0.0.9".parse().unwrap(), ServedLeaf::Unreachable),
    ];
    if has_ipv6 {
        expected.push((IpAddr::V6(Ipv6Addr::LOCALHOST), older));
    }
    let found: Vec<_> = found.iter().map(|one| (one.address.unwrap().ip(), one.leaf)).collect();
    assert_eq!(found, expected);
    // A name without addresses is one answer, too.
    pebble.set_servfail("b.example");
    let found = world.look_by(&prober, &Endpoint::new("b.example", nginx.tls_port())).await;
    assert_eq!((found.len(), found[0].address, found[0].leaf), (1, None, ServedLeaf::Unreachable));
    assert!(found[0].detail.contains("does not resolve"), "{}", found[0].detail);
}

#[tokio::test]
async fn what_clients_without_sni_get_is_told_and_several_kinds_of_key_are_no_other_certificate() {
    let world = World::new();
    let new = &world.versions[1];
    let default = world.issue("default.example", TimeDelta::days(9), KeyKind::EcdsaP256);
    let rsa = world.issue(NAME, TimeDelta::days(9), KeyKind::Rsa2048);
    let new_files = world.files("new", &new.fullchain, new);
    let default_files = world.files("default", &default.fullchain, &default);
    let rsa_files = world.files("rsa", &rsa.fullchain, &rsa);
    let sites = vec![
        site("127.0.0.1", "default.example", vec![default_files]),
        site("127.0.0.1", NAME, vec![new_files.clone()]),
        site("127.0.0.2", "", vec![rsa_files.clone(), new_files]),
        site("127.0.0.3", "", vec![rsa_files]),
    ];
    let nginx = nginx(sites);
    let at = |address: &str| Endpoint::new(address, nginx.tls_port());
    let found = world.look(&at("127.0.0.1")).await;
    assert_eq!(verdict(&found[0]), (ServedLeaf::Same, &[ServedTrouble::OtherWithoutSni][..]));
    // Whichever of the two a client likes better, ours is there.
    assert_eq!(world.look(&at("127.0.0.2")).await[0].leaf, ServedLeaf::Same);
    assert_eq!(world.look(&at("127.0.0.3")).await[0].leaf, ServedLeaf::Foreign);
    let rsa_leaf = Certificate::from_pem(rsa.cert.as_bytes()).unwrap();
    let answers = world.prober().look(&at("127.0.0.2"), NAME, Some(&rsa_leaf), world.now).await;
    assert_eq!(answers[0].observed.as_ref().unwrap().certificates[0], rsa_leaf);
}

#[tokio::test]
async fn the_chain_is_judged_at_the_instant_that_is_given_and_at_the_leafs_end() {
    let world = World::new();
    let new = &world.versions[1];
    let nginx = nginx(vec![site("127.0.0.1", "", vec![world.files("new", &new.fullchain, new)])]);
    let endpoint = Endpoint::new("127.0.0.1", nginx.tls_port());
    let prober = world.prober();
    let judged = async |at: DateTime<Utc>| {
        let answer = prober.look(&endpoint, NAME, None, at).await.remove(0);
        let observed = answer.observed.unwrap();
        let cause = |result: &Result<(), certkit_core::Distrust>| result.as_ref().err().map(|why| why.cause);
        (cause(&observed.trust), cause(&observed.trust_at_not_after))
    };
    use certkit_core::DistrustCause::{Expired, NotYetValid, UnknownIssuer};
    assert_eq!(judged(world.now).await, (None, None));
    assert_eq!(judged(world.now + TimeDelta::days(31)).await, (Some(Expired), None));
    assert_eq!(judged(world.now - TimeDelta::days(70)).await, (Some(NotYetValid), None));
    let nobody = Prober::new(&TransportSettings::new(), &ResolverSettings::default(), ProbeLimits::default()).unwrap();
    let answer = nobody.look(&endpoint, NAME, None, world.now).await.remove(0);
    assert_eq!(answer.observed.unwrap().trust.unwrap_err().cause, UnknownIssuer);

    // An intermediate that ends before the leaf does.
    let early = Pki::with_intermediate_until(world.now, world.now + TimeDelta::days(5));
    let root = world.folder.path().join("early-root.pem");
    std::fs::write(&root, early.root_pem()).unwrap();
    let key = KeyKind::EcdsaP256.generate();
    let month = TimeDelta::days(30);
    let issued = early.issue(&[NAME.into()], world.now - month, world.now + month, &key, &[9]);
    let nginx = self::nginx(vec![site("127.0.0.1", "", vec![world.files("early", &issued.fullchain, &issued)])]);
    let mut transport = TransportSettings::new();
    transport.ca_bundles = vec![root];
    let prober = Prober::new(&transport, &ResolverSettings::default(), ProbeLimits::default()).unwrap();
    let endpoint = Endpoint::new("127.0.0.1", nginx.tls_port());
    let answer = prober.look(&endpoint, NAME, None, world.now).await.remove(0);
    let chain = Chain::from_pem(issued.fullchain.as_bytes()).unwrap();
    let stored = StoredVersions::new(Some(Version(1)), vec![(Version(1), chain)]);
    let memory = compare(&answer.observed.unwrap(), &stored, world.now);
    assert_eq!(verdict(&memory), (ServedLeaf::Same, &[ServedTrouble::UntrustedAtNotAfter][..]));
    assert!(memory.detail.contains("expired"), "{}", memory.detail);
}

#[tokio::test]
async fn mail_servers_show_their_certificate_after_starttls() {
    let world = World::new();
    let [old, new] = &world.versions;
    let new_files = world.files("new", &new.fullchain, new);
    let old_files = world.files("old", &old.fullchain, old);
    let (postfix, dovecot) = (Postfix::start(&new_files.0, &new_files.1), Dovecot::start(&old_files.0, &old_files.1));
    let at = |port: u16, protocol| Endpoint::new("127.0.0.1", port).speaking(protocol);
    let older = ServedLeaf::Older { version: Version(1) };
    for (endpoint, leaf) in [
        (at(postfix.smtp_port(), EndpointProtocol::Smtp), ServedLeaf::Same),
        (at(dovecot.imap_port(), EndpointProtocol::Imap), older),
        (at(dovecot.pop3_port(), EndpointProtocol::Pop3), older),
    ] {
        let found = world.look(&endpoint).await;
        assert_eq!(verdict(&found[0]), (leaf, &[][..]), "{endpoint}: {}", found[0].detail);
    }
    // The wrong protocol is told, not waited for.
    let found = world.look(&at(dovecot.imap_port(), EndpointProtocol::Pop3)).await;
    assert_eq!(found[0].leaf, ServedLeaf::Unreachable);
    assert!(found[0].detail.contains("it answered `* OK"), "{}", found[0].detail);
}

/// A server that says `first`, waits for a line, says `then`, and goes on saying `drip` for ever.
async fn hostile(first: &'static str, then: &'static str, drip: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut heard = [0; 512];
                let _ = stream.write_all(first.as_bytes()).await;
                let _ = stream.read(&mut heard).await;
                let _ = stream.write_all(then.as_bytes()).await;
                while stream.write_all(drip.as_bytes()).await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn servers_that_mean_no_good_are_left_in_time() {
    let world = World::new();
    let mut limits = ProbeLimits::default();
    limits.exchange = Duration::from_millis(700);
    let prober = Prober::new(&world.transport, &ResolverSettings::default(), limits).unwrap();
    use EndpointProtocol::{Imap, Smtp, Tls};
    for (protocol, first, then, drip, says) in [
        // An endless banner, a slow drip, a line without end.
        (Smtp, "", "", "220-more\r\n", "no answer within"),
        (Smtp, "2", "", "2", "no answer within"),
        (Imap, "* OK hi\r\n", "", "* still here\r\n", "no answer within"),
        (Imap, "* OK hi\r\n", "a1 OK go\r\n* injected\r\n", "", "plain text after it had agreed to TLS"),
        // The same a moment later: then it is no TLS.
        (Imap, "* OK hi\r\n", "a1 OK go\r\n", "* injected\r\n", "TLS"),
        (Tls, "HTTP/1.1 400 Bad Request\r\n", "", "", "TLS"),
    ] {
        let address = hostile(first, then, drip).await;
        let found = world.look_by(&prober, &Endpoint::new("127.0.0.1", address.port()).speaking(protocol)).await;
        assert_eq!(found[0].leaf, ServedLeaf::Unreachable);
        assert!(found[0].detail.contains(says), "{first:?} {then:?}: {}", found[0].detail);
    }
}
