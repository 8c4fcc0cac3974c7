//! Accounts that the CA does not know (any more): found again, registered anew, or left to their owner.
#![allow(clippy::unwrap_used)]

use std::future::Future;

use certkit_acme::accounts::{ReviveError, choose_account, is_lost, open_account, register_again, revive};
use certkit_acme::dns::{Resolver, ResolverSettings};
use certkit_acme::protocol::{AccountKey, AccountKeyType, Authority, ExternalAccountBinding, NewAccount};
use certkit_acme::transport::{Transport, TransportSettings};
use certkit_core::store::{LockedStore, NewStoredAccount, Store, StorePaths, StoredAccount};
use certkit_core::{AcmeUrl, Failure, FailureClass, Identifier, Retry};
use testkit::{Pebble, PebbleOptions};

struct World {
    pebble: Pebble,
    authority: Authority,
    resolver: Resolver,
    store: LockedStore,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new(options: PebbleOptions) -> Self {
        let pebble = Pebble::start(options);
        let mut settings = TransportSettings::new();
        settings.ca_bundles = vec![pebble.ca_bundle()];
        let directory = AcmeUrl::parse(&pebble.directory_url()).unwrap();
        let authority = Authority::connect(Transport::new(&settings).unwrap(), &directory).await.unwrap();
        let resolver = Resolver::new(&ResolverSettings::with_servers(vec![pebble.dns_address()])).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(StorePaths::within(folder.path())).unwrap().lock().unwrap();
        Self { pebble, authority, resolver, store, _folder: folder }
    }

    fn save(&self, key: &AccountKey, url: &AcmeUrl) -> StoredAccount {
        let (jwk, created) = (key.to_jwk(), testkit::now());
        let kept = NewStoredAccount { spki_der: key.spki_der(), jwk: &jwk, uri: url, created, host: "host" };
        self.store.save_account(&self.authority.directory().url, &kept).unwrap()
    }

    /// An account that the CA does not know.
    fn lost(&self) -> StoredAccount {
        let server = self.pebble.directory_url();
        let url = AcmeUrl::parse(&server.replace("/dir", "/my-account/lost")).unwrap();
        self.save(&AccountKey::generate_kind(AccountKeyType::EcdsaP256).unwrap(), &url)
    }

    fn stored(&self) -> StoredAccount {
        let directory = &self.authority.directory().url;
        choose_account(self.store.store(), directory, None).unwrap().into_account().unwrap()
    }

    async fn revive(&self, stored: &StoredAccount, names: &[&str]) -> Result<StoredAccount, ReviveError> {
        let names: Vec<_> = names.iter().map(|name| Identifier::parse(name).unwrap()).collect();
        let saved = sent(revive(&self.store, &self.authority, stored, &names, &self.resolver)).await?;
        assert_eq!(saved.account.url(), &saved.stored.uri);
        Ok(saved.stored)
    }

    async fn details(&self, stored: &StoredAccount) -> Result<Vec<String>, Failure> {
        let details = open_account(&self.authority, stored).unwrap().details().await?;
        assert_eq!(details.status, "valid");
        Ok(details.contacts)
    }
}

/// Host programs spawn what they run.
fn sent<F: Future + Send>(future: F) -> F {
    future
}

#[tokio::test]
async fn an_account_that_the_ca_lost_is_registered_anew_under_its_key() {
    let world = World::new(PebbleOptions { nonce_reject_percent: 20, ..PebbleOptions::default() }).await;
    let lost = world.lost();
    let failure = world.details(&lost).await.unwrap_err();
    assert!(is_lost(&failure), "{failure:?}");
    let names = ["a.example", "*.a.example", "192.0.2.1"];
    let revived = world.revive(&lost, &names).await.unwrap();
    assert_eq!((&revived.id, &revived.path), (&lost.id, &lost.path), "every conf names it still");
    assert_ne!(revived.uri, lost.uri);
    assert_eq!(world.details(&world.stored()).await.unwrap(), [""; 0]);
    // The old URL is corrected when the CA still knows the key, and nothing is registered.
    let again = world.revive(&lost, &names).await.unwrap();
    assert_eq!(again.uri, revived.uri);
    assert_eq!(world.stored().uri, revived.uri);
}

#[tokio::test]
async fn an_account_whose_ca_wants_credentials_is_left_to_its_owner() {
    let hmac = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let options = PebbleOptions { external_accounts: vec![("kid-1".into(), hmac.into())], ..PebbleOptions::default() };
    let world = World::new(options).await;
    let lost = world.lost();
    let error = world.revive(&lost, &["a.example"]).await.unwrap_err();
    assert!(matches!(&error, ReviveError::ExternalAccount { .. }), "{error:?}");
    let command = format!("certkit register --server {} --agree-tos --eab-kid", world.pebble.directory_url());
    assert!(error.to_string().contains(&command), "{error}");
    let failure = Failure::from(error);
    assert_eq!((failure.class, failure.retry), (FailureClass::ExternalAccountRequired, Retry::AfterOwner));
    assert_eq!(world.stored().uri, lost.uri);
    // What the owner is told to do works.
    let binding = ExternalAccountBinding::new("kid-1", hmac, "HS256").unwrap();
    let new = NewAccount::new(vec!["owner@example.org".into()], true);
    let saved = register_again(&world.store, &world.authority, &lost, &new, Some(&binding)).await.unwrap();
    assert_eq!(saved.stored.id, lost.id);
    assert_eq!(world.details(&world.stored()).await.unwrap(), ["owner@example.org"]);
}

#[tokio::test]
async fn an_account_that_a_caa_record_names_is_left_to_its_owner() {
    let world = World::new(PebbleOptions::default()).await;
    let lost = world.lost();
    let bound = format!("ca.example; accounturi={}", lost.uri);
    world.pebble.set_caa("b.example", &[("issue", &bound)]);
    let error = world.revive(&lost, &["a.example", "x.www.b.example"]).await.unwrap_err();
    let ReviveError::Bound { name, .. } = &error else { panic!("{error:?}") };
    assert_eq!(name.as_str(), "x.www.b.example");
    let text = error.to_string();
    assert!(text.contains(&format!("the CAA records of b.example let only {} issue", lost.uri)), "{text}");
    assert!(text.contains("put the new account's URL into the record"), "{text}");
    assert_eq!(Failure::from(error).retry, Retry::AfterOwner);
    // A wildcard goes by issuewild.
    world.pebble.set_caa("b.example", &[("issue", &bound), ("issuewild", "ca.example")]);
    assert!(matches!(world.revive(&lost, &["www.b.example"]).await, Err(ReviveError::Bound { .. })));
    // Not knowing is not the absence of a record.
    world.pebble.set_servfail("b.example");
    let error = world.revive(&lost, &["*.b.example"]).await.unwrap_err();
    assert!(matches!(&error, ReviveError::Caa(_)), "{error:?}");
    assert_eq!(Failure::from(error).retry, Retry::AfterBackoff);
    assert_eq!(world.stored().uri, lost.uri, "nothing was written");
    assert!(is_lost(&world.details(&lost).await.unwrap_err()), "nothing was registered");
    world.pebble.clear_servfail("b.example");
    world.revive(&lost, &["*.b.example"]).await.unwrap();
}

#[tokio::test]
async fn an_account_that_was_deactivated_stays_so() {
    let world = World::new(PebbleOptions::default()).await;
    let key = AccountKey::generate_kind(AccountKeyType::EcdsaP256).unwrap();
    let jwk = key.to_jwk();
    let account = world.authority.register(key, &NewAccount::new(Vec::new(), true), None).await.unwrap().account;
    let stored = world.save(&AccountKey::from_jwk(&jwk).unwrap(), account.url());
    account.deactivate().await.unwrap();
    assert!(!is_lost(&world.details(&stored).await.unwrap_err()));
    let error = world.revive(&stored, &[]).await.unwrap_err();
    assert!(matches!(&error, ReviveError::Deactivated { .. }), "{error:?}");
    assert_eq!(Failure::from(error).retry, Retry::AfterOwner);
    assert_eq!(world.stored().uri, stored.uri);
}
