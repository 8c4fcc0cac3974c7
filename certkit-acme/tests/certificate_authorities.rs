//! Whole renewals at the servers that testkit has besides plain Pebble: the fault proxy in front of it, acme2certifier.
#![allow(clippy::unwrap_used)]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use certkit_acme::protocol::{
    Account, AccountKey, AccountKeyType, AcmeError, Authority, ChallengeStatus, ExternalAccountBinding, NewAccount,
    NewOrder, RevocationReason,
};
use certkit_acme::renewal::{Renewer, Report, Request};
use certkit_acme::transport::{Transport, TransportSettings};
use certkit_acme::{AwsLcKeyMath, Stop, accounts};
use certkit_core::store::{Lineage, Store, StorePaths};
use certkit_core::{AcmeUrl, Certificate, Identifier, IdentifierSet, LineageName, Version};
use serde_json::{Value, json};
use testkit::{
    Acme2Certifier, Acme2CertifierOptions, Answer, FaultProxy, Pebble, PebbleOptions, RenewalWindow, RequestKind, Tree,
    https,
};

/// A tree with an account at one CA.
struct World {
    folder: tempfile::TempDir,
    tree: Tree,
    server: String,
    settings: TransportSettings,
    account: Option<accounts::Saved>,
}

impl World {
    async fn new(server: &str, ca_bundle: Option<PathBuf>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tree = Tree::new(folder.path().join("le"), testkit::now());
        let mut settings = TransportSettings::new();
        settings.ca_bundles.extend(ca_bundle);
        let mut world = Self { folder, tree, server: server.to_owned(), settings, account: None };
        let locked = world.store().lock().unwrap();
        let new = NewAccount::new(vec!["owner@example.org".into()], true);
        let authority = world.authority().await;
        let saved = accounts::register_and_save(&locked, &authority, &new, None, testkit::now(), "test").await.unwrap();
        world.account = Some(saved);
        world
    }

    fn store(&self) -> Store {
        let root = self.folder.path();
        let paths = StorePaths::new(self.tree.config_dir().to_owned(), root.join("work"), root.join("logs"));
        Store::open(paths).unwrap()
    }

    fn account(&self) -> &accounts::Saved {
        self.account.as_ref().unwrap()
    }

    async fn authority(&self) -> Authority {
        connect(&self.server, &self.settings).await
    }

    /// Renews a lineage that is due, validated by the built-in responder on this port.
    async fn renew(&self, name: &str, http_port: u16) -> Report {
        self.tree
            .lineage(name)
            .days_left(10)
            .server(&self.server)
            .account(&self.account().stored.id)
            .standalone(http_port)
            .write();
        let renewer = Renewer::builder(self.store()).transport(self.settings.clone()).build().unwrap();
        renewer.run(Request::renew(), &Stop::new()).await.unwrap()
    }

    /// The lineage, whose second version must be live and whole.
    fn renewed(&self, name: &str, report: &Report) -> Lineage {
        let lineage = self.store().lineage(&LineageName::new(name).unwrap()).unwrap().unwrap();
        assert_eq!(lineage.live_version(), Some(Version(2)), "{report:?}");
        lineage.check_live(Some(&AwsLcKeyMath::new())).unwrap();
        lineage
    }
}

async fn connect(server: &str, settings: &TransportSettings) -> Authority {
    let directory = AcmeUrl::parse(server).unwrap();
    Authority::connect(Transport::new(settings).unwrap(), &directory).await.unwrap()
}

async fn register(authority: &Authority, binding: Option<&ExternalAccountBinding>) -> Result<Account, AcmeError> {
    let key = AccountKey::generate_kind(AccountKeyType::EcdsaP256).unwrap();
    let new = NewAccount::new(vec!["owner@example.org".into()], true);
    authority.register(key, &new, binding).await.map(|registered| registered.account)
}

fn order(name: &str) -> NewOrder {
    NewOrder::new(IdentifierSet::from_iter([Identifier::parse(name).unwrap()]))
}

#[tokio::test]
async fn a_renewal_through_the_proxy_ends_in_a_live_certificate() {
    let pebble = Pebble::start(PebbleOptions::default());
    let proxy = FaultProxy::start(&pebble);
    let world = World::new(&proxy.directory_url(), Some(proxy.ca_bundle())).await;
    let report = world.renew("through.example", pebble.http_port()).await;
    world.renewed("through.example", &report);
    for kind in [
        RequestKind::Directory,
        RequestKind::NewNonce,
        RequestKind::NewAccount,
        RequestKind::NewOrder,
        RequestKind::Authorization,
        RequestKind::Challenge,
        RequestKind::Finalize,
        RequestKind::Certificate,
    ] {
        assert!(proxy.count(kind) >= 1, "{kind:?}: {:?}", proxy.log());
    }
    assert_eq!(proxy.count(RequestKind::Other), 0, "{:?}", proxy.log());
    assert_eq!((proxy.new_orders().len(), pebble.orders_placed()), (1, 1));
    assert_eq!(proxy.new_orders()[0].names, ["through.example"]);
    let log = proxy.log();
    let finalize = log.iter().find(|request| request.kind == RequestKind::Finalize).unwrap();
    assert!(finalize.payload.as_ref().unwrap()["csr"].is_string());
    let certificate = log.iter().find(|request| request.kind == RequestKind::Certificate).unwrap();
    assert_eq!(certificate.payload, Some(Value::Null), "POST-as-GET");
}

#[tokio::test]
async fn the_proxy_records_what_an_order_asks_for_and_shows_it_in_the_order() {
    let pebble = Pebble::start(PebbleOptions::default());
    let proxy = FaultProxy::start(&pebble);
    proxy.offer_renewal_info();
    proxy.offer_profiles(&[("short", "six days")]);
    proxy.echo_order_members();
    let mut settings = TransportSettings::new();
    settings.ca_bundles.push(proxy.ca_bundle());
    let authority = connect(&proxy.directory_url(), &settings).await;
    assert!(authority.directory().renewal_info.is_some());
    assert_eq!(authority.directory().profiles["short"], "six days");
    let account = register(&authority, None).await.unwrap();

    let seen: Arc<Mutex<Vec<Value>>> = Arc::default();
    for kind in [RequestKind::NewOrder, RequestKind::Order] {
        let seen = Arc::clone(&seen);
        proxy.on(kind).rewrite(move |order| seen.lock().unwrap().push(order.clone()));
    }
    let mut asked = order("a.example");
    asked.profile = Some("short".into());
    asked.replaces = Some("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE".into());
    let placed = account.new_order(&asked).await.unwrap();
    account.order(&placed.url).await.unwrap();
    let plain = account.new_order(&order("b.example")).await.unwrap();
    account.order(&plain.url).await.unwrap();

    let recorded = proxy.new_orders();
    assert_eq!((&recorded[0].profile, &recorded[0].replaces), (&asked.profile, &asked.replaces));
    assert_eq!((&recorded[1].profile, &recorded[1].replaces), (&None, &None));
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 4);
    for shown in &seen[..2] {
        assert_eq!((&shown["profile"], &shown["replaces"]), (&json!(asked.profile), &json!(asked.replaces)));
        assert_eq!(shown["status"], "pending");
    }
    assert!(seen[2..].iter().all(|shown| shown.get("profile").is_none() && shown.get("replaces").is_none()));
}

#[tokio::test]
async fn an_answer_of_the_proxy_leaves_the_nonces_good() {
    let pebble = Pebble::start(PebbleOptions::default());
    let proxy = FaultProxy::start(&pebble);
    let mut settings = TransportSettings::new();
    settings.ca_bundles.push(proxy.ca_bundle());
    let account = register(&connect(&proxy.directory_url(), &settings).await, None).await.unwrap();
    proxy.on(RequestKind::NewOrder).naming("a.example").answer(Answer::rate_limited().retry_after(60));
    let refused = account.new_order(&order("a.example")).await.unwrap_err();
    assert_eq!(refused.problem_kind(), Some("rateLimited"));
    account.new_order(&order("b.example")).await.unwrap();
    assert_eq!(proxy.new_orders().len(), 2, "no request was repeated for a bad nonce");
    proxy.on(RequestKind::NewOrder).times(1).cut_after();
    account.new_order(&order("c.example")).await.unwrap_err();
    assert!(pebble.orders_placed() >= 2, "Pebble took the order whose answer was cut off");
}

#[tokio::test]
async fn acme2certifier_validates_issues_says_when_to_renew_and_revokes() {
    let window = RenewalWindow {
        begins_after_percent: 50,
        length: Some(Duration::from_secs(24 * 3600)),
        retry_after: Duration::from_secs(7200),
    };
    let ca = Acme2Certifier::start(&Acme2CertifierOptions {
        renewal_window: Some(window),
        profiles: vec![("classic".into(), "a description".into()), ("short".into(), "another".into())],
        certificate_lifetime_days: 40,
        ..Acme2CertifierOptions::default()
    });
    let world = World::new(&ca.directory_url(), None).await;
    let authority = world.authority().await;
    let names: Vec<_> = authority.directory().profiles.keys().map(String::as_str).collect();
    assert_eq!(names, ["classic", "short"]);
    let renewal_info = authority.directory().renewal_info.clone().unwrap();

    let report = world.renew("second.example", ca.http_port()).await;
    let certificate = world.renewed("second.example", &report).certificate().unwrap();
    assert_eq!(certificate.validity().lifetime().num_days(), 40);
    let math = AwsLcKeyMath::new();
    let chain = std::fs::read(world.tree.config_dir().join("live/second.example/chain.pem")).unwrap();
    let issuers = certkit_core::Chain::from_pem(&chain).unwrap();
    let root = certkit_core::Chain::from_pem(ca.issuing_root().as_bytes()).unwrap();
    certkit_core::KeyMath::verify_signature(&math, &issuers.leaf, &root.leaf).unwrap();

    let (half, lasts) = ask_renewal_info(&renewal_info, &certificate);
    let middle = certificate.validity().not_before + certificate.validity().lifetime() / 2;
    assert!((half - middle).abs() < chrono::TimeDelta::minutes(2), "{half} {middle}");
    assert_eq!(lasts, chrono::TimeDelta::hours(24));

    let account = register(&authority, None).await.unwrap();
    let mut unknown = order("a.example");
    unknown.profile = Some("unknown".into());
    let refused = account.new_order(&unknown).await.unwrap_err();
    assert_eq!(refused.problem_kind(), Some("invalidProfile"), "{refused:?}");

    world.account().account.revoke(&certificate, Some(RevocationReason::Superseded)).await.unwrap();
    assert!(ca.revocation_list().unwrap().starts_with("-----BEGIN X509 CRL-----"));
}

#[tokio::test]
async fn acme2certifier_looks_for_the_challenge_unless_it_is_told_not_to() {
    for looks_away in [false, true] {
        let options = Acme2CertifierOptions { validates_without_looking: looks_away, ..Default::default() };
        let ca = Acme2Certifier::start(&options);
        let account = register(&connect(&ca.directory_url(), &TransportSettings::new()).await, None).await.unwrap();
        let placed = account.new_order(&order("nobody.example")).await.unwrap();
        let offer = async || {
            let authorization = account.authorization(&placed.authorizations[0]).await.unwrap();
            authorization.challenges.into_iter().find(|offer| offer.kind == "http-01").unwrap()
        };
        account.challenge_ready(&offer().await.url).await.unwrap();
        let status = offer().await.status;
        assert_eq!(status == ChallengeStatus::Valid, looks_away, "{status:?}: {}", ca.log());
    }
}

#[tokio::test]
async fn acme2certifier_wants_the_external_account_that_it_knows() {
    const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    const OTHER: &str = "b10lLJs8l1GPIzsLP0s6pMt8O0XVGnfTaCeROxQM0BIt2XrJMDHJZBM5NuQmQJQH";
    let options = Acme2CertifierOptions { external_accounts: vec![("kid-1".into(), KEY.into())], ..Default::default() };
    let ca = Acme2Certifier::start(&options);
    let authority = connect(&ca.directory_url(), &TransportSettings::new()).await;
    assert!(authority.directory().external_account_required);
    let none = register(&authority, None).await.unwrap_err();
    assert_eq!(none.problem_kind(), Some("externalAccountRequired"), "{none:?}");
    let wrong = ExternalAccountBinding::new("kid-1", OTHER, "HS256").unwrap();
    register(&authority, Some(&wrong)).await.unwrap_err();
    let right = ExternalAccountBinding::new("kid-1", KEY, "HS256").unwrap();
    register(&authority, Some(&right)).await.unwrap();
}

/// The start of the window and its length.
fn ask_renewal_info(url: &AcmeUrl, certificate: &Certificate) -> (chrono::DateTime<chrono::Utc>, chrono::TimeDelta) {
    let port = url.authority().rsplit_once(':').unwrap().1.parse().unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let path = format!("/acme/renewal-info/{}", certificate.ari_id().unwrap().as_str());
    let answer = https::get_plain(address, &path).unwrap();
    assert_eq!((answer.status, answer.header("Retry-After")), (200, Some("7200")));
    let window: Value = serde_json::from_slice(&answer.body).unwrap();
    let at = |member: &str| -> chrono::DateTime<chrono::Utc> {
        window["suggestedWindow"][member].as_str().unwrap().parse().unwrap()
    };
    (at("start"), at("end") - at("start"))
}
