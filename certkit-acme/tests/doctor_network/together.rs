//! All checks for several lineages at once.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use certkit_acme::accounts::register_and_save;
use certkit_acme::challenge::Authenticator;
use certkit_acme::dns::{Resolver, ResolverSettings};
use certkit_acme::doctor::{
    Check, Examination, Examined, NetworkSubject, NetworkTools, WantedAccount, WantedAuthority, network,
};
use certkit_acme::protocol::{Authority, NewAccount};
use certkit_acme::transport::{Transport, TransportSettings};
use certkit_core::store::{Store, StorePaths};
use certkit_core::{AcmeUrl, FindingCode, Identifier, LineageName};
use serde_json::json;
use testkit::{Data, Fault, FaultProxy, NameServer, NginxBlocks, Pebble, PebbleOptions, RequestKind};

use super::{codes, findings, name_server, resolver};

fn subject(lineage: &str, hosts: &[&str], authenticator: Authenticator) -> NetworkSubject {
    let names = hosts.iter().map(|name| Identifier::parse(name).unwrap()).collect();
    NetworkSubject::new(LineageName::new(lineage).unwrap(), names, authenticator)
}

fn host(server: &NameServer, name: &str) {
    server.add(name, Data::A("127.0.0.9"));
}

async fn sent(subjects: Vec<NetworkSubject>, tools: NetworkTools) -> Vec<Examined> {
    // Host programs spawn what they run.
    tokio::spawn(async move { network(&subjects, &tools).await }).await.unwrap()
}

#[tokio::test]
async fn each_ca_account_and_name_is_asked_once_and_no_order_is_placed() {
    let pebble = Pebble::start(PebbleOptions::default());
    let proxy = FaultProxy::start(&pebble);
    proxy.offer_renewal_info();
    proxy.set_in_directory("/meta/caaIdentities", json!(["ca.example"]));
    let mut settings = TransportSettings::new();
    settings.ca_bundles = vec![proxy.ca_bundle()];
    let transport = Transport::new(&settings).unwrap();
    let directory = AcmeUrl::parse(&proxy.directory_url()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(StorePaths::within(folder.path())).unwrap().lock().unwrap();
    let authority = Authority::connect(transport.clone(), &directory).await.unwrap();
    let new = NewAccount::new(Vec::new(), true);
    let stored = register_and_save(&store, &authority, &new, None, testkit::now(), "host").await.unwrap().stored;
    proxy.forget_log();

    let server = name_server();
    let web = NginxBlocks::start("server { listen 127.0.0.9:{port}; root {webroot}; }");
    for name in ["a.example", "www.a.example"] {
        host(&server, name);
    }
    let bound = format!("ca.example; accounturi={}", stored.uri);
    server.add("a.example", Data::Caa(0, "issue", bound));
    let webroot = Authenticator::Webroot { map: Vec::new(), default: Some(web.webroot()) };
    let mut subjects = vec![
        subject("a.example", &["a.example", "www.a.example"], webroot.clone()),
        subject("second", &["a.example"], webroot),
    ];
    for subject in &mut subjects {
        let account = WantedAccount::Stored(Box::new(stored.clone()));
        subject.authorities.push(WantedAuthority::new(directory.clone(), account));
    }
    let mut tools = NetworkTools::new(transport, resolver(&server));
    tools.http.http_port = web.port();
    let examined = sent(subjects.clone(), tools.clone()).await;
    assert!(examined.iter().all(|one| one.outcome == Examination::Fine), "{examined:?}");
    let of = |check: Check| examined.iter().filter(|one| one.check == check).count();
    let counts = [Check::Directory, Check::Account, Check::Addresses, Check::Caa, Check::HttpChallenge].map(of);
    assert_eq!(counts, [1, 1, 2, 2, 2], "{examined:?}");
    assert_eq!(proxy.count(RequestKind::Directory), 1);
    assert_eq!(proxy.count(RequestKind::NewAccount), 1);
    assert_eq!(proxy.count(RequestKind::NewOrder), 0);

    // A server that fails for every name of a zone is told once; a CA that is away keeps nothing else from being told.
    server.fail("127.0.0.4", None, None, Fault::Refused);
    proxy.refuse_connections();
    let examined = sent(subjects, tools).await;
    assert_eq!(codes(&examined), [FindingCode::DirectoryUnreachable, FindingCode::NameServerFails], "{examined:?}");
    assert_eq!(findings(&examined)[1].subject, "a.example");
}

#[tokio::test]
async fn names_validated_by_dns_are_looked_at_where_the_record_goes() {
    let server = name_server();
    let manual = Authenticator::Manual { auth_hook: "/bin/false".into(), cleanup_hook: None, preferred: Vec::new() };
    let transport = Transport::new(&TransportSettings::new()).unwrap();
    server.add("_acme-challenge.a.example", Data::Txt("left".into()));
    let subjects = vec![subject("a.example", &["*.a.example"], manual)];
    let examined = sent(subjects, NetworkTools::new(transport, resolver(&server))).await;
    assert_eq!(codes(&examined), [FindingCode::ChallengeRecordsLeft], "{examined:?}");
}

fn not_checked(examined: &[Examined], check: Check) -> Vec<&str> {
    let of_check = examined.iter().filter(|one| one.check == check);
    of_check
        .map(|one| match &one.outcome {
            Examination::NotChecked { because } => because.as_str(),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[tokio::test]
async fn a_resolver_that_is_silent_is_not_asked_about_every_name() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut settings = ResolverSettings::with_servers(vec![socket.local_addr().unwrap()]);
    settings.patience = Duration::from_millis(200);
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    std::thread::spawn(move || {
        while socket.recv(&mut [0; 512]).is_ok() {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let webroot = Authenticator::Webroot { map: Vec::new(), default: Some(folder.path().to_owned()) };
    let subjects: Vec<_> = (0..300)
        .map(|number| subject(&format!("n{number}"), &[&format!("n{number}.example")], webroot.clone()))
        .collect();
    let transport = Transport::new(&TransportSettings::new()).unwrap();
    let examined = sent(subjects, NetworkTools::new(transport, Resolver::new(&settings).unwrap())).await;
    let because = not_checked(&examined, Check::Addresses);
    assert_eq!(because, vec!["the resolver of this machine does not answer"; 300]);
    // Three tries for each of two kinds of address would be six for every name.
    assert!(asked.load(Ordering::Relaxed) < 900, "{asked:?}");
}

#[tokio::test]
async fn what_is_not_reached_in_time_is_said_and_nothing_is_left_in_the_webroot() {
    let server = name_server();
    host(&server, "a.example");
    let folder = tempfile::tempdir().unwrap();
    let webroot = Authenticator::Webroot { map: Vec::new(), default: Some(folder.path().to_owned()) };
    let transport = Transport::new(&TransportSettings::new()).unwrap();
    let mut tools = NetworkTools::new(transport, resolver(&server));
    tools.time_limit = Duration::ZERO;
    let examined = sent(vec![subject("a.example", &["a.example"], webroot)], tools).await;
    let because = not_checked(&examined, Check::Addresses);
    assert!(because.len() == 1 && because[0].contains("--cert-name"), "{because:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
