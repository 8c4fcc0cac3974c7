//! The protocol against Pebble, with really validated challenges: every kind of account key, nonces rejected.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use certkit_acme::AwsLcKeyMath;
use certkit_acme::keys::{KeySpec, certificate_signing_request};
use certkit_acme::protocol::{
    Account, AccountKey, AccountKeyType, AcmeError, Authority, AuthorizationStatus, ExternalAccountBinding,
    IssuedChain, NewAccount, NewOrder, Order, OrderStatus, RevocationReason,
};
use certkit_acme::transport::{Transport, TransportSettings};
use certkit_core::{AcmeUrl, Failure, FailureClass, Identifier, IdentifierSet, KeyMath, PrivateKey, Retry};
use testkit::{Pebble, PebbleOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

async fn connect(pebble: &Pebble) -> Authority {
    let mut settings = TransportSettings::new();
    settings.ca_bundles = vec![pebble.ca_bundle()];
    let directory = AcmeUrl::parse(&pebble.directory_url()).unwrap();
    Authority::connect(Transport::new(&settings).unwrap(), &directory).await.unwrap()
}

fn names(texts: &[&str]) -> IdentifierSet {
    texts.iter().map(|text| Identifier::parse(text).unwrap()).collect()
}

fn agreed() -> NewAccount {
    NewAccount::new(vec!["owner@example.org".into()], true)
}

/// Answers http-01 for every token with the account's thumbprint, on Pebble's port.
async fn respond(pebble: &Pebble, account: &Account) -> tokio::task::JoinHandle<()> {
    let listener = TcpListener::bind(("127.0.0.1", pebble.http_port())).await.unwrap();
    let account = account.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let account = account.clone();
            tokio::spawn(async move {
                let mut head = vec![0; 4096];
                let read = stream.read(&mut head).await.unwrap();
                let head = String::from_utf8_lossy(&head[..read]).into_owned();
                let path = head.split(' ').nth(1).unwrap_or_default();
                let token = path.rsplit('/').next().unwrap_or_default();
                let body = account.key_authorization(token);
                let answer =
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    })
}

async fn wait_for(account: &Account, url: &AcmeUrl, wanted: OrderStatus) -> Order {
    for _ in 0..600 {
        let order = account.order(url).await.unwrap();
        assert_ne!(order.status, OrderStatus::Invalid, "{:?}", order.error);
        if order.status == wanted {
            return order;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the order did not become {wanted:?}");
}

/// From newOrder to the chains.
async fn obtain(account: &Account, identifiers: &IdentifierSet) -> (Vec<IssuedChain>, PrivateKey, Order) {
    let order = account.new_order(&NewOrder::new(identifiers.clone())).await.unwrap();
    assert!(order.identifiers.same_as(identifiers));
    assert!(order.expires.is_some());
    for url in &order.authorizations {
        let authorization = account.authorization(url).await.unwrap();
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        assert!(identifiers.contains(&authorization.identifier));
        let offer = authorization.challenges.iter().find(|offer| offer.kind == "http-01").unwrap();
        assert!(offer.token.is_some());
        account.challenge_ready(&offer.url).await.unwrap();
    }
    let order = wait_for(account, &order.url, OrderStatus::Ready).await;
    let key = KeySpec::EcdsaP256.generate().unwrap();
    let csr = certificate_signing_request(&key, identifiers).unwrap();
    let finalized = account.finalize(&order, &csr).await.unwrap();
    assert_eq!(finalized.url, order.url);
    let order = wait_for(account, &order.url, OrderStatus::Valid).await;
    // A run that was cut off here finalizes again: the order comes back as it is, and nothing is sent.
    let again = account.finalize(&order, &csr).await.unwrap();
    assert_eq!((again.status, &again.certificate), (OrderStatus::Valid, &order.certificate));
    let chains = account.certificate(order.certificate.as_ref().unwrap(), true).await.unwrap();
    (chains, key, order)
}

async fn everything(kind: AccountKeyType, nonce_reject_percent: u8) {
    let pebble = Pebble::start(PebbleOptions {
        nonce_reject_percent,
        alternate_roots: 2,
        authorization_reuse_percent: 100,
        ..PebbleOptions::default()
    });
    let authority = connect(&pebble).await;
    assert!(authority.directory().terms_of_service.is_some());
    assert!(authority.directory().date.is_some());

    // As certbot's tree holds it: the key only exists as a JWK.
    let jwk = AccountKey::generate_kind(kind).unwrap().to_jwk();
    let key = || AccountKey::from_jwk(&jwk).unwrap();
    assert!(authority.find_account(key()).await.unwrap().is_none());
    let registered = authority.register(key(), &agreed(), None).await.unwrap();
    assert!(registered.is_new);
    let again = authority.register(key(), &agreed(), None).await.unwrap();
    assert!(!again.is_new);
    assert_eq!(again.account.url(), registered.account.url());
    let found = authority.find_account(key()).await.unwrap().unwrap();
    let account = authority.account(key(), found.url().clone()).unwrap();

    let details = account.details().await.unwrap();
    assert_eq!((details.status.as_str(), &details.contacts[..]), ("valid", &["owner@example.org".to_owned()][..]));
    let details = account.update_contacts(&["a@example.org".into(), "b@example.org".into()]).await.unwrap();
    assert_eq!(details.contacts, ["a@example.org", "b@example.org"]);
    assert_eq!(account.update_contacts(&[]).await.unwrap().contacts, Vec::<String>::new());

    let responder = respond(&pebble, &account).await;
    let wanted = names(&["b.example.org", "a.example.org", "127.0.0.1"]);
    let (chains, key_of_first, _) = obtain(&account, &wanted).await;
    assert_eq!(chains.len(), 3, "the default chain and two alternates");
    let math = AwsLcKeyMath::new();
    for chain in &chains {
        math.verify_signature(&chain.chain.leaf, &chain.chain.issuers[0]).unwrap();
    }
    assert_ne!(chains[0].chain.issuers, chains[1].chain.issuers);
    let first = &chains[0].chain.leaf;
    assert!(first.identifiers().unwrap().same_as(&wanted));
    assert_eq!(math.public_spki_der(&key_of_first).unwrap(), first.spki_der());

    // A spawned task: the futures can be sent.
    let (second, key_of_second) = {
        let (account, wanted) = (account.clone(), wanted.clone());
        tokio::spawn(async move {
            let (chains, key, _) = obtain(&account, &wanted).await;
            (chains[0].chain.leaf.clone(), key)
        })
        .await
        .unwrap()
    };

    let status = |certificate: &certkit_core::Certificate| {
        let found = pebble.certificate_status(&certificate.serial().certbot_hex()).unwrap();
        (found["Status"].as_str().unwrap().to_owned(), found["Reason"].as_u64())
    };
    account.revoke(first, Some(RevocationReason::Superseded)).await.unwrap();
    assert_eq!(status(first), ("Revoked".into(), Some(4)));
    let twice = account.revoke(first, None).await.unwrap_err();
    assert_eq!(twice.problem_kind(), Some("alreadyRevoked"));
    let wrong = authority.revoke_with_certificate_key(&second, &key_of_first, None).await.unwrap_err();
    assert!(wrong.to_string().contains("not that of the certificate"), "{wrong}");
    authority
        .revoke_with_certificate_key(&second, &key_of_second, Some(RevocationReason::KeyCompromise))
        .await
        .unwrap();
    assert_eq!(status(&second), ("Revoked".into(), Some(1)));
    responder.abort();

    // An authorization that is given up is validated anew.
    let order = account.new_order(&NewOrder::new(names(&["a.example.org"]))).await.unwrap();
    let authorization = account.authorization(&order.authorizations[0]).await.unwrap();
    assert_eq!(authorization.status, AuthorizationStatus::Valid);
    account.deactivate_authorization(&authorization.url).await.unwrap();
    let authorization = account.authorization(&authorization.url).await.unwrap();
    assert_eq!(authorization.status, AuthorizationStatus::Deactivated);
    let order = account.new_order(&NewOrder::new(names(&["a.example.org"]))).await.unwrap();
    let authorization = account.authorization(&order.authorizations[0]).await.unwrap();
    assert_eq!(authorization.status, AuthorizationStatus::Pending);

    account.deactivate().await.unwrap();
    let refused = account.new_order(&NewOrder::new(names(&["a.example.org"]))).await.unwrap_err();
    assert!(matches!(refused, AcmeError::Refused { .. }), "{refused}");
    let gone = account.deactivate().await.unwrap_err();
    assert_eq!(Failure::from(gone).class, FailureClass::AccountUnknown);
}

#[tokio::test]
async fn an_rsa_account_as_certbot_makes_it_with_every_fifth_nonce_rejected() {
    everything(AccountKeyType::Rsa2048, 20).await;
}

#[tokio::test]
async fn an_account_on_p256_with_nine_nonces_of_ten_rejected() {
    everything(AccountKeyType::EcdsaP256, 90).await;
}

#[tokio::test]
async fn an_account_on_p384() {
    everything(AccountKeyType::EcdsaP384, 0).await;
}

#[tokio::test]
async fn large_rsa_keys_and_p521_sign_as_well() {
    let pebble = Pebble::start(PebbleOptions::default());
    let authority = connect(&pebble).await;
    for kind in [AccountKeyType::Rsa3072, AccountKeyType::Rsa4096, AccountKeyType::EcdsaP521] {
        let registered = authority.register(AccountKey::generate_kind(kind).unwrap(), &agreed(), None).await.unwrap();
        assert_eq!(registered.account.details().await.unwrap().status, "valid", "{kind:?}");
    }
}

#[tokio::test]
async fn a_ca_that_wants_an_external_account_gets_one() {
    let hmac = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let pebble = Pebble::start(PebbleOptions {
        external_accounts: vec![("kid-1".into(), hmac.into())],
        ..PebbleOptions::default()
    });
    let authority = connect(&pebble).await;
    assert!(authority.directory().external_account_required);
    let key = || AccountKey::generate_kind(AccountKeyType::EcdsaP256).unwrap();
    let refused = authority.register(key(), &agreed(), None).await.unwrap_err();
    assert_eq!(Failure::from(refused).class, FailureClass::ExternalAccountRequired);
    let wrong = ExternalAccountBinding::new("kid-1", "AAAAAAAA", "HS256").unwrap();
    assert!(authority.register(key(), &agreed(), Some(&wrong)).await.is_err());
    let binding = ExternalAccountBinding::new("kid-1", hmac, "HS256").unwrap();
    let rsa = AccountKey::generate().unwrap();
    let registered = authority.register(rsa, &agreed(), Some(&binding)).await.unwrap();
    assert_eq!(registered.account.details().await.unwrap().status, "valid");
}

#[tokio::test]
async fn refusals_say_what_and_what_follows() {
    let pebble =
        Pebble::start(PebbleOptions { blocked_domains: vec!["blocked.example".into()], ..PebbleOptions::default() });
    let authority = connect(&pebble).await;
    let key = || AccountKey::generate_kind(AccountKeyType::EcdsaP256).unwrap();
    let stranger =
        authority.account(key(), AcmeUrl::parse(&pebble.directory_url().replace("/dir", "/my-account/7")).unwrap());
    let unknown =
        Failure::from(stranger.unwrap().new_order(&NewOrder::new(names(&["a.example.org"]))).await.unwrap_err());
    assert_eq!((unknown.class, unknown.retry), (FailureClass::AccountUnknown, Retry::AfterOwner));

    let terms = authority.register(key(), &NewAccount::new(Vec::new(), false), None).await.unwrap_err();
    assert!(terms.to_string().to_lowercase().contains("terms of service"), "{terms}");
    let contact = authority.register(key(), &NewAccount::new(vec!["a b".into()], true), None).await.unwrap_err();
    assert_eq!(Failure::from(contact).class, FailureClass::Settings);

    let account = authority.register(key(), &agreed(), None).await.unwrap().account;
    let blocked = account.new_order(&NewOrder::new(names(&["x.blocked.example"]))).await.unwrap_err();
    assert_eq!(blocked.problem_kind(), Some("rejectedIdentifier"));
    let blocked = Failure::from(blocked);
    assert_eq!((blocked.class, blocked.http_status), (FailureClass::IdentifierRefused, Some(400)));

    let gone = AcmeUrl::parse(&pebble.directory_url().replace("/dir", "/my-order/none")).unwrap();
    assert!(account.order(&gone).await.unwrap_err().is_gone());

    // An order that is not ready comes back as it is.
    let wanted = names(&["a.example.org"]);
    let order = account.new_order(&NewOrder::new(wanted.clone())).await.unwrap();
    let csr = certificate_signing_request(&KeySpec::Rsa2048.generate().unwrap(), &wanted).unwrap();
    assert_eq!(account.finalize(&order, &csr).await.unwrap().status, OrderStatus::Pending);
}

#[tokio::test]
async fn an_account_goes_on_under_another_key_of_any_kind() {
    let pebble = Pebble::start(PebbleOptions { nonce_reject_percent: 20, strict: true, ..PebbleOptions::default() });
    let authority = connect(&pebble).await;
    let first = AccountKey::generate_kind(AccountKeyType::Rsa2048).unwrap();
    let mut account = authority.register(first, &agreed(), None).await.unwrap().account;
    let url = account.url().clone();
    for kind in [AccountKeyType::EcdsaP256, AccountKeyType::EcdsaP384, AccountKeyType::Rsa3072] {
        let new = AccountKey::generate_kind(kind).unwrap();
        let (jwk, thumbprint) = (new.to_jwk(), new.thumbprint());
        let old = account;
        account = old.change_key(new).await.unwrap();
        assert_eq!((account.url(), account.thumbprint()), (&url, thumbprint), "{kind:?}");
        assert_eq!(account.details().await.unwrap().status, "valid");
        assert!(old.details().await.is_err(), "the old key still counts");
        let found = authority.find_account(AccountKey::from_jwk(&jwk).unwrap()).await.unwrap().unwrap();
        assert_eq!(found.url(), &url);
    }
    let responder = respond(&pebble, &account).await;
    let (chains, ..) = obtain(&account, &names(&["after.example.org"])).await;
    responder.abort();
    assert_eq!(chains.len(), 1);
}

#[tokio::test]
async fn a_key_that_has_an_account_already_changes_nothing() {
    let pebble = Pebble::start(PebbleOptions::default());
    let authority = connect(&pebble).await;
    let mut jwks = Vec::new();
    let mut accounts = Vec::new();
    for _ in 0..2 {
        let key = AccountKey::generate_kind(AccountKeyType::EcdsaP256).unwrap();
        jwks.push(key.to_jwk());
        accounts.push(authority.register(key, &agreed(), None).await.unwrap().account);
    }
    // Pebble 2.4 says 500 where RFC 8555 section 7.3.5 says 409: see the faults for that.
    let error = accounts[0].change_key(AccountKey::from_jwk(&jwks[1]).unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("already in use"), "{error}");
    let same = accounts[0].change_key(AccountKey::from_jwk(&jwks[0]).unwrap()).await.unwrap_err();
    assert!(same.to_string().contains("the one that the account has"), "{same}");
    for (account, jwk) in accounts.iter().zip(&jwks) {
        let found = authority.find_account(AccountKey::from_jwk(jwk).unwrap()).await.unwrap().unwrap();
        assert_eq!(found.url(), account.url());
    }
}
