//! acme2certifier in whole runs: a CA that shares no code with Pebble or Boulder, speaks plain http on loopback, and
//! says itself when to renew.

use std::time::Duration;

use certkit_acme::Stop;
use certkit_acme::accounts;
use certkit_acme::protocol::{Authority, ExternalAccountBinding, NewAccount};
use certkit_acme::renewal::{Outcome, Renewer, Report, Request};
use certkit_acme::transport::{Transport, TransportSettings};
use certkit_core::decision::{Cadence, DueReason};
use certkit_core::state::Event;
use certkit_core::store::{Lineage, Store, StorePaths};
use certkit_core::{AcmeUrl, FailureClass, FindingCode, LineageName};
use chrono::{DateTime, TimeDelta, Utc};
use testkit::{Acme2Certifier, Acme2CertifierOptions, PebbleOptions, RenewalWindow, Tree};

use crate::clock::TestClock;
use crate::support::{World, entry};

const NAME: &str = "a.example.com";

/// A tree whose CA is acme2certifier.
struct Second {
    ca: Acme2Certifier,
    tree: Tree,
    account: String,
    folder: tempfile::TempDir,
}

impl Second {
    async fn new(options: Acme2CertifierOptions, binding: Option<&ExternalAccountBinding>) -> Self {
        let ca = Acme2Certifier::start(&options);
        let folder = tempfile::tempdir().unwrap();
        let tree = Tree::new(folder.path().join("le"), testkit::now());
        let mut second = Self { ca, tree, account: String::new(), folder };
        let directory = AcmeUrl::parse(&second.ca.directory_url()).unwrap();
        let transport = Transport::new(&TransportSettings::new()).unwrap();
        let authority = Authority::connect(transport, &directory).await.unwrap();
        let locked = second.store().lock().unwrap();
        let new = NewAccount::new(vec!["mailto:admin@example.com".into()], true);
        let saved = accounts::register_and_save(&locked, &authority, &new, binding, testkit::now(), "test").await;
        second.account = saved.unwrap().stored.id;
        drop(locked);
        second
    }

    fn store(&self) -> Store {
        let root = self.folder.path();
        Store::open(StorePaths::new(self.tree.config_dir().to_owned(), root.join("work"), root.join("logs"))).unwrap()
    }

    fn due(&self) -> testkit::LineageBuilder<'_> {
        let lineage = self.tree.lineage(NAME).days_left(10).server(&self.ca.directory_url()).account(&self.account);
        lineage.standalone(self.ca.http_port())
    }

    async fn run_at(&self, now: DateTime<Utc>) -> Report {
        let renewer = Renewer::builder(self.store()).clock(TestClock::at(now)).build().unwrap();
        let mut request = Request::renew();
        request.cadence = Some(Cadence::every(TimeDelta::hours(1)));
        renewer.run(request, &Stop::new()).await.unwrap()
    }

    fn lineage(&self) -> Lineage {
        self.store().lineage(&LineageName::new(NAME).unwrap()).unwrap().unwrap()
    }

    /// The reasons of all attempts.
    fn reasons(&self) -> Vec<String> {
        let history = self.store().history(&LineageName::new(NAME).unwrap()).unwrap();
        let reasons = history.into_iter().filter_map(|recorded| match recorded.event {
            Event::AttemptStarted { because, .. } => Some(because),
            _ => None,
        });
        reasons.collect()
    }
}

#[tokio::test]
async fn the_cas_own_window_decides() {
    let day = Duration::from_secs(24 * 3600);
    let window = RenewalWindow { begins_after_percent: 1, length: Some(day / 12), retry_after: day / 4 };
    let options = Acme2CertifierOptions {
        renewal_window: Some(window),
        certificate_lifetime_days: 40,
        ..Acme2CertifierOptions::default()
    };
    let second = Second::new(options, None).await;
    second.due().write();
    let now = testkit::now();
    let report = second.run_at(now).await;
    assert!(matches!(entry(&report, NAME).outcome, Outcome::Renewed { .. }), "{report:?}: {}", second.ca.log());
    // A hundredth of forty days is 9.6 hours, and the window is two hours long: long before a third is left.
    let name = LineageName::new(NAME).unwrap();
    let known = second.store().state(&name).unwrap().0.renewal_information.unwrap();
    let (validity, window) = (second.lineage().certificate().unwrap().validity(), known.window.unwrap());
    assert!((window.start - validity.not_before - TimeDelta::minutes(576)).abs() < TimeDelta::minutes(2), "{window:?}");
    assert!((window.end - window.start - TimeDelta::hours(2)).abs() < TimeDelta::minutes(1), "{window:?}");
    assert!((known.next_check - now - TimeDelta::hours(6)).abs() < TimeDelta::minutes(2), "{known:?}");
    let report = second.run_at(now).await;
    let Outcome::NotDue { at: Some(at), reason } = &entry(&report, NAME).outcome else { panic!("{report:?}") };
    assert_eq!(*reason, DueReason::RenewalInformation);
    assert!(window.contains(*at), "{at} {window:?}");
    let report = second.run_at(window.end).await;
    assert!(matches!(entry(&report, NAME).outcome, Outcome::Renewed { .. }), "{report:?}");
    assert_eq!(second.reasons(), ["third-of-lifetime", "renewal-information"]);
}

#[tokio::test]
async fn a_profile_of_the_conf_is_ordered_and_one_that_is_not_offered_is_not() {
    let options = Acme2CertifierOptions {
        profiles: vec![("classic".into(), "as ever".into()), ("short".into(), "a week".into())],
        ..Acme2CertifierOptions::default()
    };
    let second = Second::new(options, None).await;
    let paths = second.due().param("required_profile", "short").write();
    let report = second.run_at(testkit::now()).await;
    assert!(matches!(entry(&report, NAME).outcome, Outcome::Renewed { .. }), "{report:?}");
    let name = LineageName::new(NAME).unwrap();
    assert_eq!(second.store().state(&name).unwrap().0.issued_profile.as_deref(), Some("short"));
    // It logs what it is sent.
    assert!(second.ca.log().contains("'profile': 'short'"), "{}", second.ca.log());
    let conf = std::fs::read_to_string(&paths.conf).unwrap();
    std::fs::write(&paths.conf, conf.replace("required_profile = short", "required_profile = tlsserver")).unwrap();
    let renewer = Renewer::builder(second.store()).build().unwrap();
    let report = renewer.run(Request::renew().forced(), &Stop::new()).await.unwrap();
    let Outcome::Failed { failure, .. } = &entry(&report, NAME).outcome else { panic!("{report:?}") };
    assert_eq!(failure.class, FailureClass::ProfileRefused);
    assert!(failure.detail.contains("classic, short"), "{failure}");
}

#[tokio::test]
async fn an_account_that_is_bound_to_one_elsewhere_renews() {
    const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let options = Acme2CertifierOptions { external_accounts: vec![("kid-1".into(), KEY.into())], ..Default::default() };
    let binding = ExternalAccountBinding::new("kid-1", KEY, "HS256").unwrap();
    let second = Second::new(options, Some(&binding)).await;
    second.due().names([NAME, "b.example.com"]).write();
    let report = second.run_at(testkit::now()).await;
    assert!(matches!(entry(&report, NAME).outcome, Outcome::Renewed { .. }), "{report:?}: {}", second.ca.log());
    assert_eq!(second.lineage().certificate().unwrap().identifiers().unwrap().len(), 2);
    assert_eq!(second.store().accounts(&AcmeUrl::parse(&second.ca.directory_url()).unwrap()).unwrap().0.len(), 1);
}

#[tokio::test]
async fn it_takes_the_place_of_a_ca_that_is_down_and_advises_on_what_it_issued() {
    let world = World::with_faults(PebbleOptions::default()).await;
    world.proxy().offer_renewal_info();
    let port = world.pebble.http_port();
    // Without a length it would last until the certificate's end, and most of its instants would be too late to heed.
    let day = Duration::from_secs(24 * 3600);
    let window = RenewalWindow { begins_after_percent: 50, length: Some(day), ..RenewalWindow::default() };
    let ca = Acme2Certifier::start(&Acme2CertifierOptions {
        http_port: Some(port),
        renewal_window: Some(window),
        ..Acme2CertifierOptions::default()
    });
    world.register_at(&ca.directory_url(), world.pebble.ca_bundle()).await;
    // The profile is the first CA's: the other one does not know it.
    world.due(NAME).param("preferred_profile", "shortlived").write();
    world.set(NAME, &format!("fallback_servers = [\"{}\"]\n", ca.directory_url()));
    world.proxy().refuse_connections();
    let report = world.run().await;
    assert!(matches!(entry(&report, NAME).outcome, Outcome::Renewed { .. }), "{report:?}: {}", ca.log());
    assert!(report.findings.iter().any(|finding| finding.code == FindingCode::FallbackAuthority), "{report:?}");
    assert_eq!(world.whole_version(NAME), 2);
    let state = world.state(NAME);
    assert_eq!(state.issuer_directory, Some(AcmeUrl::parse(&ca.directory_url()).unwrap()));
    let validity = world.lineage(NAME).certificate().unwrap().validity();
    let window = state.renewal_information.and_then(|known| known.window).unwrap();
    let middle = validity.not_before + validity.lifetime() / 2;
    assert!((window.start - middle).abs() < TimeDelta::minutes(2), "{window:?} {middle}");
    // The first CA is still down, and nobody asks it about the other's certificate.
    let report = world.run().await;
    let Outcome::NotDue { reason, .. } = &entry(&report, NAME).outcome else { panic!("{report:?}") };
    assert_eq!(*reason, DueReason::RenewalInformation);
}
