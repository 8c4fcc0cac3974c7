//! An account gets another key, and whatever interrupts that, one account is left that works.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use certkit_acme::accounts::{
    AccountError, RecoveredRollover, RolloverEnd, change_key, choose_account, open_account, recover_rollovers,
};
use certkit_acme::protocol::{AccountKey, AccountKeyType, Authority, NewAccount};
use certkit_acme::transport::{Transport, TransportSettings};
use certkit_core::store::{LockedStore, NewStoredAccount, Rollover, Store, StorePaths, StoredAccount};
use certkit_core::{AcmeUrl, Failure, FailureClass};
use chrono::TimeDelta;
use testkit::{Pebble, PebbleOptions};

struct World {
    authority: Authority,
    store: LockedStore,
    folder: tempfile::TempDir,
}

impl World {
    async fn new(pebble: &Pebble) -> Self {
        let mut settings = TransportSettings::new();
        settings.ca_bundles = vec![pebble.ca_bundle()];
        let directory = AcmeUrl::parse(&pebble.directory_url()).unwrap();
        let authority = Authority::connect(Transport::new(&settings).unwrap(), &directory).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(StorePaths::within(folder.path())).unwrap().lock().unwrap();
        Self { authority, store, folder }
    }

    /// An account of this kind, and two confs that name it.
    async fn account(&self, kind: AccountKeyType) -> StoredAccount {
        let key = AccountKey::generate_kind(kind).unwrap();
        let (jwk, spki) = (key.to_jwk(), key.spki_der().to_vec());
        let account = self.authority.register(key, &NewAccount::new(Vec::new(), true), None).await.unwrap().account;
        let (uri, created) = (account.url(), testkit::now());
        let kept = NewStoredAccount { spki_der: &spki, jwk: &jwk, uri, created, host: "host" };
        let stored = self.store.save_account(self.directory(), &kept).unwrap();
        fs::create_dir_all(self.folder.path().join("renewal")).unwrap();
        for conf in self.confs() {
            let text = format!("[renewalparams]\naccount = {}\nserver = {}\n", stored.id, self.directory());
            fs::write(conf, text).unwrap();
        }
        stored
    }

    fn directory(&self) -> &AcmeUrl {
        &self.authority.directory().url
    }

    fn confs(&self) -> [PathBuf; 2] {
        ["a", "b"].map(|name| self.folder.path().join(format!("renewal/{name}.conf")))
    }

    /// A new key in the journal, as it is when the CA is asked.
    fn begin(&self, stored: &StoredAccount) -> (Rollover, AccountKey) {
        let key = AccountKey::generate_kind(AccountKeyType::EcdsaP256).unwrap();
        let (spki, jwk) = (key.spki_der().to_vec(), key.to_jwk());
        (self.store.begin_rollover(self.directory(), stored, &spki, &jwk, testkit::now()).unwrap(), key)
    }

    async fn recover(&self, after: TimeDelta) -> Vec<RecoveredRollover> {
        sent(recover_rollovers(&self.store, self.authority.transport(), testkit::now() + after)).await.unwrap()
    }

    async fn recovered(&self, after: TimeDelta) -> Result<RolloverEnd, Failure> {
        let [one] = <[_; 1]>::try_from(self.recover(after).await).unwrap();
        one.result
    }

    /// One account is stored, the CA accepts its key, and every conf names it; returns its id.
    async fn one_account_that_works(&self, url: &AcmeUrl) -> String {
        let stored = choose_account(self.store.store(), self.directory(), None).unwrap().into_account().unwrap();
        assert_eq!(&stored.uri, url);
        let account = open_account(&self.authority, &stored).unwrap();
        assert_eq!(account.details().await.unwrap().status, "valid");
        for conf in self.confs() {
            assert_eq!(fs::read_to_string(conf).unwrap().lines().nth(1), Some(&*format!("account = {}", stored.id)));
        }
        assert!(self.store.store().rollovers().unwrap().0.is_empty());
        assert!(temporary(&self.folder.path().join("accounts")).is_empty());
        stored.id
    }
}

fn temporary(dir: &Path) -> Vec<PathBuf> {
    let entries: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    let below = entries.iter().filter(|path| path.is_dir()).flat_map(|path| temporary(path));
    let own = entries.iter().filter(|path| path.to_str().unwrap().contains("certkit-tmp")).cloned();
    below.chain(own).collect()
}

/// What a future comes to when it is dropped as soon as this says so, after some poll: nothing, if it had not ended.
async fn dropped_when<F: Future>(mut ends: impl FnMut() -> bool, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    std::future::poll_fn(move |context| match future.as_mut().poll(context) {
        Poll::Ready(whole) => Poll::Ready(Some(whole)),
        Poll::Pending if ends() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// Host programs spawn what they run.
fn sent<F: Future + Send>(future: F) -> F {
    future
}

const LATER: TimeDelta = TimeDelta::hours(1);

#[tokio::test]
async fn the_key_of_an_account_is_changed_whatever_its_kind() {
    let pebble = Pebble::start(PebbleOptions { nonce_reject_percent: 20, ..PebbleOptions::default() });
    for kind in [AccountKeyType::Rsa2048, AccountKeyType::EcdsaP256, AccountKeyType::EcdsaP384] {
        let world = World::new(&pebble).await;
        let old = world.account(kind).await;
        let saved = sent(change_key(&world.store, &world.authority, &old, testkit::now())).await.unwrap();
        assert_ne!(saved.stored.id, old.id);
        assert_eq!(AccountKey::from_jwk(&saved.stored.jwk).unwrap().key_type(), kind);
        assert_eq!(world.one_account_that_works(&old.uri).await, saved.stored.id);
        assert!(open_account(&world.authority, &old).unwrap().details().await.is_err(), "the old key still counts");
        assert!(!old.path.exists());
        // Once more, and with nothing left to do for a later run.
        change_key(&world.store, &world.authority, &saved.stored, testkit::now()).await.unwrap();
        assert!(world.recover(LATER).await.is_empty());
    }
}

#[tokio::test]
async fn a_change_that_ends_at_any_await_leaves_one_account_that_works() {
    let pebble = Pebble::start(PebbleOptions::default());
    let world = World::new(&pebble).await;
    let mut was_journalled = false;
    for polls in 1.. {
        let old = world.account(AccountKeyType::EcdsaP256).await;
        let change = change_key(&world.store, &world.authority, &old, testkit::now());
        let journalled = || !world.store.store().rollovers().unwrap().0.is_empty();
        let mut left = polls;
        let ends = || {
            left -= 1;
            // At the latest when the CA is being asked, which is the moment that matters, unless that was had already.
            left == 0 || (!was_journalled && journalled())
        };
        let whole = dropped_when(ends, change).await;
        was_journalled |= journalled();
        // A request that was sent before the end may still arrive; that is what an early look must leave open.
        for recovered in world.recover(TimeDelta::zero()).await {
            assert_ne!(recovered.result.unwrap(), RolloverEnd::Dropped);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        for recovered in world.recover(LATER).await {
            recovered.result.unwrap();
        }
        let id = world.one_account_that_works(&old.uri).await;
        let stored = choose_account(world.store.store(), world.directory(), Some(&id)).unwrap().into_account().unwrap();
        world.store.remove_account(world.directory(), &stored).unwrap();
        if let Some(result) = whole {
            result.unwrap();
            break;
        }
    }
    assert!(was_journalled, "it was never ended between the journal and the CA's answer");
}

#[tokio::test]
async fn a_key_that_the_ca_took_without_our_hearing_it_is_finished() {
    let pebble = Pebble::start(PebbleOptions::default());
    let world = World::new(&pebble).await;
    let old = world.account(AccountKeyType::Rsa2048).await;
    let (rollover, key) = world.begin(&old);
    open_account(&world.authority, &old).unwrap().change_key(key).await.unwrap();
    assert_eq!(world.recovered(TimeDelta::zero()).await, Ok(RolloverEnd::Finished { id: rollover.new_id.clone() }));
    assert_eq!(world.one_account_that_works(&old.uri).await, rollover.new_id);
}

#[tokio::test]
async fn a_key_that_the_ca_did_not_take_is_dropped_once_that_is_sure() {
    let pebble = Pebble::start(PebbleOptions::default());
    let world = World::new(&pebble).await;
    let old = world.account(AccountKeyType::EcdsaP256).await;
    let (rollover, _) = world.begin(&old);
    let until = rollover.started + TimeDelta::minutes(10);
    assert_eq!(world.recovered(TimeDelta::zero()).await, Ok(RolloverEnd::Waiting { until }));
    let again = change_key(&world.store, &world.authority, &old, testkit::now()).await.unwrap_err();
    assert!(matches!(again, AccountError::Rollover(_)), "{again:?}");
    assert_eq!(world.recovered(LATER).await, Ok(RolloverEnd::Dropped));
    assert_eq!(world.one_account_that_works(&old.uri).await, old.id);
}

#[tokio::test]
async fn a_ca_that_is_not_reached_decides_nothing_and_is_not_needed_for_the_rest() {
    let pebble = Pebble::start(PebbleOptions::default());
    let (world, other) = (World::new(&pebble).await, World::new(&pebble).await);
    let old = world.account(AccountKeyType::EcdsaP256).await;
    // Taken, but a conf cannot follow: the change ends later.
    let (rollover, key) = world.begin(&old);
    let account = open_account(&world.authority, &old).unwrap().change_key(key).await.unwrap();
    let [conf, _] = world.confs();
    let good = fs::read(&conf).unwrap();
    fs::write(&conf, [&good[..], b"[[[\n"].concat()).unwrap();
    world.store.finish_rollover(&rollover, account.url()).unwrap_err();
    // Not known whether it was taken.
    let unknown = other.account(AccountKeyType::EcdsaP256).await;
    other.begin(&unknown);
    drop(pebble);

    let failure = other.recovered(LATER).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Network);
    assert_eq!(other.store.store().rollovers().unwrap().0.len(), 1);
    let failure = world.recovered(LATER).await.unwrap_err();
    assert!(failure.detail.contains("renewal/a.conf"), "{failure}");
    fs::write(&conf, good).unwrap();
    assert_eq!(world.recovered(LATER).await, Ok(RolloverEnd::Finished { id: rollover.new_id.clone() }));
    assert!(fs::read_to_string(&conf).unwrap().contains(&rollover.new_id));
}

#[tokio::test]
async fn a_refusal_leaves_everything_as_it_was() {
    let pebble = Pebble::start(PebbleOptions::default());
    let world = World::new(&pebble).await;
    let old = world.account(AccountKeyType::EcdsaP256).await;
    open_account(&world.authority, &old).unwrap().deactivate().await.unwrap();
    let error = change_key(&world.store, &world.authority, &old, testkit::now()).await.unwrap_err();
    assert!(matches!(error, AccountError::Acme(_)), "{error:?}");
    assert_eq!(Failure::from(error).class, FailureClass::AccountUnknown);
    let stored = choose_account(world.store.store(), world.directory(), None).unwrap().into_account().unwrap();
    assert_eq!(stored.id, old.id);
    assert!(world.recover(LATER).await.is_empty());
}

#[tokio::test]
async fn an_account_that_the_ca_lost_meanwhile_keeps_both_keys() {
    let pebble = Pebble::start(PebbleOptions::default());
    let world = World::new(&pebble).await;
    let known = world.account(AccountKeyType::EcdsaP256).await;
    let key = AccountKey::generate_kind(AccountKeyType::EcdsaP256).unwrap();
    let (jwk, spki) = (key.to_jwk(), key.spki_der().to_vec());
    let kept = NewStoredAccount { spki_der: &spki, jwk: &jwk, uri: &known.uri, created: testkit::now(), host: "host" };
    let lost = world.store.save_account(world.directory(), &kept).unwrap();
    world.begin(&lost);
    let failure = world.recovered(LATER).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::AccountUnknown);
    assert!(failure.detail.contains("both are kept"), "{failure}");
    assert_eq!(world.store.store().rollovers().unwrap().0.len(), 1);
}
