//! Accounts in the tree: chosen by certbot's rules, written as certbot reads them.
#![allow(clippy::unwrap_used)]

use certkit_acme::accounts::{Choice, choose_account, open_account, register_and_save, unregister};
use certkit_acme::fallback::fallbacks;
use certkit_acme::protocol::{AccountKey, AccountKeyType, Authority, NewAccount};
use certkit_acme::transport::{Transport, TransportSettings};
use certkit_core::settings::{Origin, SettingsProblemCode as Code, Sourced};
use certkit_core::store::{NewStoredAccount, Store, StorePaths};
use certkit_core::{AcmeUrl, FailureClass};
use testkit::{AccountKeyKind, Certbot, Pebble, PebbleOptions, Tree};

async fn connect(pebble: &Pebble) -> Authority {
    let mut settings = TransportSettings::new();
    settings.ca_bundles = vec![pebble.ca_bundle()];
    let directory = AcmeUrl::parse(&pebble.directory_url()).unwrap();
    Authority::connect(Transport::new(&settings).unwrap(), &directory).await.unwrap()
}

fn one(choice: Choice) -> String {
    choice.into_account().unwrap().id
}

#[tokio::test]
async fn an_account_is_registered_chosen_used_and_given_up() {
    let pebble = Pebble::start(PebbleOptions { nonce_reject_percent: 20, ..PebbleOptions::default() });
    let authority = connect(&pebble).await;
    let directory = authority.directory().url.clone();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(StorePaths::within(folder.path())).unwrap();
    assert!(matches!(choose_account(&store, &directory, None), Ok(Choice::NoAccount)));
    let unknown = choose_account(&store, &directory, Some("0123")).unwrap_err();
    assert_eq!(unknown.class, FailureClass::AccountUnknown);
    assert!(unknown.detail.contains("0123"), "{unknown}");

    let locked = store.lock().unwrap();
    let new = NewAccount::new(vec!["owner@example.org".into()], true);
    let register = async || register_and_save(&locked, &authority, &new, None, testkit::now(), "host").await.unwrap();
    let saved = register().await;
    let found = choose_account(&store, &directory, None).unwrap().into_account().unwrap();
    assert_eq!((&found.id, &found.uri), (&saved.stored.id, saved.account.url()));
    assert!(saved.stored.jwk.contains("\"RSA\""), "certbot of any age can take it back");
    let account = open_account(&authority, &found).unwrap();
    assert_eq!(account.thumbprint(), saved.account.thumbprint());
    assert_eq!(account.details().await.unwrap().contacts, ["owner@example.org"]);

    let second = register().await.stored;
    let several = choose_account(&store, &directory, None).unwrap_err();
    assert_eq!(several.class, FailureClass::Settings);
    assert!(several.detail.contains(&found.id) && several.detail.contains(&second.id), "{several}");
    assert_eq!(one(choose_account(&store, &directory, Some(&second.id)).unwrap()), second.id);

    // One that lies elsewhere could not be removed, and is not given up.
    let elsewhere = tempfile::tempdir().unwrap();
    let there = elsewhere.path().join("account");
    std::fs::rename(&second.path, &there).unwrap();
    std::os::unix::fs::symlink(&there, &second.path).unwrap();
    let refused = unregister(&locked, &authority, &second).await.unwrap_err().to_string();
    assert!(refused.contains("put the folder itself in the place of the link"), "{refused}");
    open_account(&authority, &second).unwrap().details().await.unwrap();
    std::fs::remove_file(&second.path).unwrap();
    let copied = std::process::Command::new("cp").arg("-a").args([&there, &second.path]).status().unwrap();
    assert!(copied.success());

    unregister(&locked, &authority, &second).await.unwrap();
    assert_eq!(one(choose_account(&store, &directory, None).unwrap()), found.id);
    assert!(open_account(&authority, &second).unwrap().details().await.is_err());
    // One that the CA gave up already is removed all the same.
    account.deactivate().await.unwrap();
    unregister(&locked, &authority, &found).await.unwrap();
    assert!(matches!(choose_account(&store, &directory, None), Ok(Choice::NoAccount)));
}

/// The lines of `certbot show_account` after their colons.
fn shown(certbot: &Certbot) -> (String, String) {
    let text = certbot.succeed(&["show_account"]);
    let after = |label: &str| {
        text.lines()
            .find_map(|line| line.trim().strip_prefix(label))
            .unwrap_or_else(|| panic!("{text}"))
            .trim()
            .to_owned()
    };
    (after("Account URL:"), after("Account Thumbprint:"))
}

#[tokio::test]
async fn certbots_accounts_are_ours_and_ours_are_certbots() {
    let pebble = Pebble::start(PebbleOptions::default());
    let authority = connect(&pebble).await;
    let directory = authority.directory().url.clone();

    for size in ["2048", "4096"] {
        let folder = tempfile::tempdir().unwrap();
        let certbot = Certbot::new(folder.path(), &pebble.directory_url(), &pebble.ca_bundle());
        certbot.succeed(&[
            "register",
            "--agree-tos",
            "-m",
            "owner@example.org",
            "--no-eff-email",
            "--rsa-key-size",
            size,
        ]);
        let store = Store::open(StorePaths::within(folder.path())).unwrap();
        let stored = choose_account(&store, &directory, None).unwrap().into_account().unwrap();
        let account = open_account(&authority, &stored).unwrap();
        assert_eq!((account.url().to_string(), account.thumbprint()), shown(&certbot));
        assert_eq!(account.details().await.unwrap().contacts, ["owner@example.org"]);
    }

    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(StorePaths::within(folder.path())).unwrap();
    let certbot = Certbot::new(folder.path(), &pebble.directory_url(), &pebble.ca_bundle());
    let locked = store.lock().unwrap();
    let new = NewAccount::new(Vec::new(), true);
    let saved = register_and_save(&locked, &authority, &new, None, testkit::now(), "host").await.unwrap();
    drop(locked);
    assert_eq!(shown(&certbot), (saved.account.url().to_string(), saved.account.thumbprint()));
    certbot.succeed(&["update_account", "-m", "new@example.org", "--no-eff-email"]);
    assert_eq!(saved.account.details().await.unwrap().contacts, ["new@example.org"]);

    // EC account keys: certbot makes none and uses those that it finds.
    for kind in [AccountKeyType::EcdsaP256, AccountKeyType::EcdsaP384, AccountKeyType::EcdsaP521] {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(StorePaths::within(folder.path())).unwrap();
        let certbot = Certbot::new(folder.path(), &pebble.directory_url(), &pebble.ca_bundle());
        let key = AccountKey::generate_kind(kind).unwrap();
        let (jwk, spki) = (key.to_jwk(), key.spki_der().to_vec());
        let account = authority.register(key, &new, None).await.unwrap().account;
        let kept =
            NewStoredAccount { spki_der: &spki, jwk: &jwk, uri: account.url(), created: testkit::now(), host: "host" };
        store.lock().unwrap().save_account(&directory, &kept).unwrap();
        assert_eq!(shown(&certbot), (account.url().to_string(), account.thumbprint()), "{kind:?}");
    }
}

#[test]
fn a_fallback_is_a_known_ca_with_one_account_that_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let tree = Tree::new(folder.path(), testkit::now());
    let zerossl = "https://acme.zerossl.com/v2/DV90";
    let staging = "https://acme-staging-v02.api.letsencrypt.org/directory";
    for server in [zerossl, staging, "https://two.example/dir", "https://two.example/dir"] {
        tree.account(server, AccountKeyKind::EcP256);
    }
    let store = Store::open(StorePaths::within(tree.config_dir())).unwrap();
    let of = |servers: &[&str], may_be_test| {
        let servers = servers.iter().map(ToString::to_string).collect();
        let found = fallbacks(&store, &Sourced::new(servers, Origin::SettingsFile { line: 7 }), may_be_test);
        assert!(found.problems.iter().all(|problem| problem.line == Some(7) && problem.key == "fallback_servers"));
        let usable: Vec<_> = found.usable.iter().map(|url| url.as_str().to_owned()).collect();
        (usable, found.problems.iter().map(|problem| problem.code).collect::<Vec<_>>())
    };
    assert_eq!(of(&[], false), (vec![], vec![]));
    assert_eq!(of(&["ZeroSSL"], false), (vec![zerossl.to_owned()], vec![]));
    assert_eq!(
        of(&["letsencrpyt", "http://ca.example/", "google", "https://two.example/dir", zerossl, "zerossl"], false),
        (
            vec![zerossl.to_owned()],
            vec![Code::UnknownServer, Code::UnknownServer, Code::NoAccount, Code::NoAccount, Code::Duplicate]
        )
    );
    assert_eq!(of(&["letsencrypt-staging"], false), (vec![], vec![Code::TestServer]));
    assert_eq!(of(&["letsencrypt-staging"], true), (vec![staging.to_owned()], vec![]));
}
