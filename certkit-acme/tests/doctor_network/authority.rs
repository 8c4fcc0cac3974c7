//! The CA: its directory, its clock, accounts and profiles.

use std::collections::BTreeMap;

use certkit_acme::accounts::{open_account, register_and_save};
use certkit_acme::doctor::{
    Check, Examination, Examined, WantedAccount, check_account, check_directory, check_profile,
};
use certkit_acme::protocol::{Authority, ExternalAccountBinding, NewAccount};
use certkit_acme::transport::{Transport, TransportSettings};
use certkit_core::store::{LockedStore, Store, StorePaths, StoredAccount};
use certkit_core::{AcmeUrl, FindingCode, LineageName, Severity};
use chrono::TimeDelta;
use tempfile::TempDir;
use testkit::{Answer, FaultProxy, Pebble, PebbleOptions, RequestKind};

use super::{because, codes, findings, only};

struct World {
    _pebble: Pebble,
    proxy: FaultProxy,
    transport: Transport,
    directory: AcmeUrl,
    store: LockedStore,
    _folder: TempDir,
}

impl World {
    fn new(options: PebbleOptions) -> Self {
        let pebble = Pebble::start(options);
        let proxy = FaultProxy::start(&pebble);
        let mut settings = TransportSettings::new();
        settings.ca_bundles = vec![proxy.ca_bundle()];
        settings.timeout = std::time::Duration::from_secs(20);
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(StorePaths::within(folder.path())).unwrap().lock().unwrap();
        Self {
            transport: Transport::new(&settings).unwrap(),
            directory: AcmeUrl::parse(&proxy.directory_url()).unwrap(),
            _pebble: pebble,
            proxy,
            store,
            _folder: folder,
        }
    }

    async fn look(&self) -> Vec<Examined> {
        check_directory(&self.transport, &self.directory).await.0
    }

    async fn authority(&self) -> Authority {
        check_directory(&self.transport, &self.directory).await.1.unwrap()
    }

    async fn register(&self, binding: Option<&ExternalAccountBinding>) -> StoredAccount {
        let new = NewAccount::new(Vec::new(), true);
        let authority = self.authority().await;
        register_and_save(&self.store, &authority, &new, binding, testkit::now(), "host").await.unwrap().stored
    }

    async fn account(&self, stored: &StoredAccount) -> Vec<Examined> {
        check_account(&self.authority().await, &WantedAccount::Stored(Box::new(stored.clone()))).await
    }
}

fn outcomes(examined: &[Examined]) -> BTreeMap<Check, bool> {
    examined.iter().map(|one| (one.check, one.outcome == Examination::Fine)).collect()
}

#[tokio::test]
async fn a_directory_in_order_is_silent() {
    let world = World::new(PebbleOptions::default());
    world.proxy.offer_renewal_info();
    let examined = world.look().await;
    let all = [Check::Clock, Check::Directory, Check::RenewalInformation];
    assert_eq!(outcomes(&examined), all.map(|check| (check, true)).into());
    assert_eq!(world.proxy.count(RequestKind::NewOrder), 0);
}

#[tokio::test]
async fn a_ca_that_does_not_say_when_to_renew_is_no_more_than_a_notice() {
    let world = World::new(PebbleOptions::default());
    let examined = world.look().await;
    assert_eq!(only(&examined, FindingCode::RenewalInformationNotOffered).severity, Severity::Notice);
}

#[tokio::test]
async fn the_clock_is_compared_with_the_cas() {
    let world = World::new(PebbleOptions::default());
    world.proxy.offer_renewal_info();
    world.proxy.shift_date(TimeDelta::minutes(4));
    assert!(codes(&world.look().await).is_empty());
    for (shift, says, severity) in [
        (TimeDelta::minutes(-9), "minutes ahead of the CA's", Severity::Warning),
        (TimeDelta::hours(5), "hours behind the CA's", Severity::Warning),
        (TimeDelta::days(400), "days behind the CA's", Severity::Error),
    ] {
        world.proxy.shift_date(shift);
        let examined = world.look().await;
        let finding = only(&examined, FindingCode::ClockOff);
        assert!(finding.evidence.ends_with(says) && finding.severity == severity, "{finding:?}");
    }
    world.proxy.on(RequestKind::Directory).answer(Answer::json(200, "{}").without_header("date"));
    only(&world.look().await, FindingCode::DirectoryUnusable);
}

#[tokio::test]
async fn a_ca_that_is_away_is_told_from_one_that_is_none() {
    let world = World::new(PebbleOptions::default());
    world.proxy.refuse_connections();
    let examined = world.look().await;
    assert!(only(&examined, FindingCode::DirectoryUnreachable).evidence.contains("refused"));
    assert_eq!(examined.len(), 1, "nothing else is said of a CA that is not there");
    world.proxy.accept_connections();
    for (answer, code) in [
        (Answer::service_unavailable(), FindingCode::DirectoryUnreachable),
        (Answer::rate_limited(), FindingCode::DirectoryUnreachable),
        (Answer::text(200, "text/html", "<html>Welcome"), FindingCode::DirectoryUnusable),
        (Answer::text(404, "text/html", "<html>"), FindingCode::DirectoryUnusable),
        (Answer::json(200, "{\"newNonce\":"), FindingCode::DirectoryUnusable),
        (Answer::text(301, "text/html", "").header("location", "https://ca.example/"), FindingCode::DirectoryUnusable),
    ] {
        world.proxy.on(RequestKind::Directory).answer(answer);
        only(&world.look().await, code);
        world.proxy.clear();
    }
    // Settings of this machine that cannot be used say nothing of the CA.
    let mut settings = TransportSettings::new();
    settings.environment_ca_bundles = vec!["/nonexistent.pem".into()];
    let (examined, authority) = check_directory(&Transport::new(&settings).unwrap(), &world.directory).await;
    assert!(because(&examined, Check::Directory).contains("/nonexistent.pem") && authority.is_none());
}

#[tokio::test]
async fn an_account_in_order_is_silent_and_asked_for_without_making_one() {
    let world = World::new(PebbleOptions::default());
    let stored = world.register(None).await;
    let examined = world.account(&stored).await;
    assert_eq!(examined, [Examined::fine(Check::Account, stored.uri.as_str())]);
    let unknown = WantedAccount::Unknown { because: "there are several".into() };
    let examined = check_account(&world.authority().await, &unknown).await;
    assert_eq!(because(&examined, Check::Account), "there are several");
}

#[tokio::test]
async fn an_account_that_is_deactivated_lost_or_not_there_is_told() {
    let world = World::new(PebbleOptions::default());
    let stored = world.register(None).await;
    let examined = check_account(&world.authority().await, &WantedAccount::Missing).await;
    let finding = only(&examined, FindingCode::AccountMissing);
    assert_eq!(finding.cure(), format!("certkit register --server {}", world.directory));

    world.proxy.on(RequestKind::NewAccount).answer(Answer::account_does_not_exist());
    let examined = world.account(&stored).await;
    assert_eq!(only(&examined, FindingCode::AccountLost).severity, Severity::Warning);
    world.proxy.say_external_account_required();
    let examined = world.account(&stored).await;
    let finding = only(&examined, FindingCode::AccountLost);
    assert!(finding.severity == Severity::Error && finding.cure().contains("--eab-kid"), "{finding:?}");
    world.proxy.clear();

    open_account(&world.authority().await, &stored).unwrap().deactivate().await.unwrap();
    let examined = world.account(&stored).await;
    let finding = only(&examined, FindingCode::AccountDeactivated);
    assert!(finding.subject == stored.uri.as_str() && finding.cure().contains(world.directory.as_str()));
}

#[tokio::test]
async fn a_ca_that_wants_an_external_account_is_told_only_without_an_account() {
    let hmac = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let options = PebbleOptions { external_accounts: vec![("kid-1".into(), hmac.into())], ..PebbleOptions::default() };
    let world = World::new(options);
    world.proxy.say_external_account_required();
    let examined = check_account(&world.authority().await, &WantedAccount::Missing).await;
    let finding = only(&examined, FindingCode::ExternalAccountNeeded);
    assert!(finding.cure().contains(&format!("--server {} --eab-kid", world.directory)), "{finding:?}");
    let binding = ExternalAccountBinding::new("kid-1", hmac, "HS256").unwrap();
    let stored = world.register(Some(&binding)).await;
    assert!(codes(&world.account(&stored).await).is_empty());
}

#[tokio::test]
async fn terms_that_have_to_be_agreed_to_are_told_with_the_page() {
    let world = World::new(PebbleOptions::default());
    let stored = world.register(None).await;
    let answer = Answer::user_action_required("https://ca.example/terms");
    world.proxy.on(RequestKind::Account).answer(answer);
    let examined = world.account(&stored).await;
    assert!(only(&examined, FindingCode::TermsNotAgreed).cure().contains("https://ca.example/terms"));
    world.proxy.clear();
    // An outage says nothing of the account.
    world.proxy.on(RequestKind::Account).answer(Answer::service_unavailable());
    let examined = world.account(&stored).await;
    assert!(because(&examined, Check::Account).contains("503") && codes(&examined).is_empty());
}

#[tokio::test]
async fn a_profile_is_looked_for_in_the_directory() {
    let world = World::new(PebbleOptions::default());
    let lineage = LineageName::new("a.example").unwrap();
    let none = world.authority().await;
    let examined = check_profile(none.directory(), &lineage, Some("shortlived"), None);
    assert!(only(&examined, FindingCode::ProfileNotOffered).evidence.ends_with("offers none"));
    world.proxy.offer_profiles(&[("classic", "as ever"), ("tlsserver", "new")]);
    let authority = world.authority().await;
    let look = |preferred, required| check_profile(authority.directory(), &lineage, preferred, required);
    assert!(look(None, None).is_empty());
    assert!(codes(&look(Some("classic"), None)).is_empty() && codes(&look(Some("x"), Some("tlsserver"))).is_empty());
    let examined = look(Some("shortlived"), None);
    let finding = only(&examined, FindingCode::ProfileNotOffered);
    assert_eq!(finding.severity, Severity::Warning);
    assert!(finding.evidence.starts_with("`shortlived` is wanted; https://127.0.0.1:"), "{finding:?}");
    assert!(finding.evidence.ends_with("/dir offers classic, tlsserver"), "{finding:?}");
    let examined = look(None, Some("shortlived"));
    let finding = findings(&examined)[0];
    assert!(finding.severity == Severity::Error && finding.cure().contains("--required-profile"), "{finding:?}");
}
