//! The account commands against Pebble.

use std::fs;

use testkit::{AccountKeyKind, Pebble, PebbleOptions};

use crate::support::Place;

#[test]
fn register_show_update_unregister() {
    let ca = Pebble::start(PebbleOptions::default());
    let place = Place::new();
    let run = place.run_at(&ca, &["show_account"]).ends_with(1);
    assert!(run.stderr.contains("Could not find an existing account for server"), "{}", run.stderr);
    let run = place.run_at(&ca, &["register", "-n"]).ends_with(1);
    assert!(run.stderr.contains("(You can set this with the --agree-tos flag)"), "{}", run.stderr);

    let run = place.run_at(&ca, &["register", "-n", "--agree-tos", "-m", "a@example.org"]).ends_with(0);
    assert_eq!(run.stdout, "Account registered.\n");
    // Nothing is written for it: the settings are the owner's.
    assert!(run.stderr.contains("certkit update_account --email a@example.org --server https://"), "{}", run.stderr);
    assert!(!place.tree.config_dir().join("certkit/settings.toml").exists());
    assert_eq!(place.tree.account_ids(&ca.directory_url()).len(), 1);
    let run = place.run_at(&ca, &["register", "--agree-tos"]).ends_with(1);
    assert!(run.stderr.contains("There is an existing account"), "{}", run.stderr);

    let run = place.run_at(&ca, &["show_account"]).ends_with(0);
    assert!(
        run.stdout.starts_with(&format!("Account details for server {}:\n  Account URL: https://", ca.directory_url()))
    );
    assert!(run.stdout.ends_with("  Email contact: a@example.org\n"), "{}", run.stdout);
    let run = place.run_at(&ca, &["update_account", "--email", "b@example.org,c@example.org"]).ends_with(0);
    assert!(
        run.stdout.ends_with("Your e-mail address was updated to b@example.org,c@example.org.\n"),
        "{}",
        run.stdout
    );
    let document = place.run_at(&ca, &["show_account", "--json"]).ends_with(0).json();
    assert_eq!(document["contacts"][1], "c@example.org");
    let run = place.run_at(&ca, &["update_account", "--register-unsafely-without-email"]).ends_with(0);
    assert!(run.stdout.ends_with("Any contact information associated with this account has been removed.\n"));

    let run = place.run_at(&ca, &["unregister", "-n"]).ends_with(0);
    assert_eq!(run.stdout, "Account deactivated.\n");
    assert!(place.tree.account_ids(&ca.directory_url()).is_empty());
    let run = place.run_at(&ca, &["unregister", "-n"]).ends_with(1);
    assert!(run.stderr.contains("Could not find existing account for server"), "{}", run.stderr);
}

#[test]
fn external_account_binding_is_asked_for_and_never_logged() {
    let hmac = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let options =
        PebbleOptions { external_accounts: vec![("kid-1".to_owned(), hmac.to_owned())], ..PebbleOptions::default() };
    let ca = Pebble::start(options);
    let place = Place::new();
    let run = place.run_at(&ca, &["register", "--agree-tos"]).ends_with(1);
    assert!(run.stderr.contains("Please use --eab-kid and --eab-hmac-key"), "{}", run.stderr);
    let run = place
        .run_at(&ca, &["register", "--agree-tos", "--eab-kid", "kid-1", "--eab-hmac-key", hmac, "-vv"])
        .ends_with(0);
    assert!(!run.stderr.contains(hmac));
    let log = fs::read_to_string(place.log()).unwrap();
    assert!(log.contains("eab-hmac-key") && !log.contains(hmac), "{log}");
}

#[test]
fn an_account_gets_a_new_key_with_and_without_a_new_address() {
    let ca = Pebble::start(PebbleOptions::default());
    let place = Place::new();
    let server = ca.directory_url();
    place.run_at(&ca, &["register", "-n", "--agree-tos"]).ends_with(0);
    let [old] = <[String; 1]>::try_from(place.tree.account_ids(&server)).unwrap();
    let url = |place: &Place| place.run_at(&ca, &["show_account", "--json"]).ends_with(0).json()["url"].clone();
    let before = url(&place);
    place.tree.lineage("a.example.com").server(&server).account(&old).write();
    let account_of = |name: &str| {
        let conf = fs::read_to_string(place.tree.config_dir().join(format!("renewal/{name}.conf"))).unwrap();
        conf.lines().find_map(|line| line.strip_prefix("account = ")).unwrap().to_owned()
    };

    let run = place.run_at(&ca, &["update_account", "--new-key"]).ends_with(0);
    let [new] = <[String; 1]>::try_from(place.tree.account_ids(&server)).unwrap();
    assert_ne!(new, old);
    assert!(run.stdout.contains(&format!("Its id is {new} now")), "{}", run.stdout);
    assert_eq!((account_of("a.example.com"), url(&place)), (new, before.clone()));

    let run = place.run_at(&ca, &["update_account", "--new-key", "--email", "b@example.org", "--json"]).ends_with(0);
    let document = run.json();
    let [newest] = <[String; 1]>::try_from(place.tree.account_ids(&server)).unwrap();
    assert_eq!(document["account"], newest.as_str());
    assert_eq!((&document["contacts"][0], &document["key_changed"]), (&"b@example.org".into(), &true.into()));
    assert_eq!(document["url"], before);
    assert_eq!(account_of("a.example.com"), newest);

    let document = place.run_at(&ca, &["update_account", "--new-key", "--json"]).ends_with(0).json();
    assert_eq!(document["contacts"][0], "b@example.org");
    let log = fs::read_to_string(place.log()).unwrap();
    assert!(!log.contains("\"d\""), "{log}");
    let run = place.run_at(&ca, &["update_account"]).ends_with(2);
    assert!(run.stderr.contains("--new-key"), "{}", run.stderr);
}

#[test]
fn a_conf_that_cannot_follow_is_said_before_the_key_is_changed() {
    let ca = Pebble::start(PebbleOptions::default());
    let place = Place::new();
    place.run_at(&ca, &["register", "-n", "--agree-tos"]).ends_with(0);
    let ids = place.tree.account_ids(&ca.directory_url());
    let conf = place.tree.config_dir().join("renewal/broken.conf");
    fs::create_dir_all(conf.parent().unwrap()).unwrap();
    fs::write(&conf, format!("[renewalparams]\naccount = {}\n[[[\n", ids[0])).unwrap();
    let run = place.run_at(&ca, &["update_account", "--new-key"]).ends_with(1);
    assert!(run.stderr.contains("renewal/broken.conf names the account and cannot be changed"), "{}", run.stderr);
    assert_eq!(place.tree.account_ids(&ca.directory_url()), ids);
    place.run_at(&ca, &["show_account"]).ends_with(0);
}

#[test]
fn a_change_of_the_key_that_was_interrupted_is_ended_by_the_next_command() {
    use certkit_acme::accounts::open_account;
    use certkit_acme::protocol::{AccountKey, AccountKeyType, Authority};
    use certkit_acme::transport::{Transport, TransportSettings};
    use certkit_core::AcmeUrl;
    use certkit_core::store::{Store, StorePaths};

    let ca = Pebble::start(PebbleOptions::default());
    let place = Place::new();
    place.run_at(&ca, &["register", "-n", "--agree-tos"]).ends_with(0);
    let folder = place.folder();
    let paths = StorePaths::new(place.tree.config_dir().to_owned(), folder.join("work"), folder.join("log"));
    let directory = AcmeUrl::parse(&ca.directory_url()).unwrap();
    // Up to the moment at which the CA has taken the key, and not further.
    let interrupted = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let mut settings = TransportSettings::new();
        settings.ca_bundles.push(ca.ca_bundle());
        let authority = Authority::connect(Transport::new(&settings).unwrap(), &directory).await.unwrap();
        let store = Store::open(paths).unwrap().lock().unwrap();
        let stored = store.store().accounts(&directory).unwrap().0.remove(0);
        let key = AccountKey::generate_kind(AccountKeyType::EcdsaP256).unwrap();
        let rollover =
            store.begin_rollover(&directory, &stored, key.spki_der(), &key.to_jwk(), testkit::now()).unwrap();
        open_account(&authority, &stored).unwrap().change_key(key).await.unwrap();
        rollover
    });
    let run = place.run_at(&ca, &["show_account"]).ends_with(1);
    assert!(run.stderr.contains("was getting another key, and that has not ended"), "{}", run.stderr);
    let run = place.run_at(&ca, &["certificates", "--json"]).ends_with(0);
    assert!(run.stdout.contains("was getting another key"), "{}", run.stdout);
    let run = place.run_at(&ca, &["update_account", "--email", "a@example.org"]).ends_with(0);
    assert!(run.stderr.contains(&format!("it has it now, as {}", interrupted.new_id)), "{}", run.stderr);
    assert_eq!(place.tree.account_ids(&ca.directory_url()), [interrupted.new_id]);
    let run = place.run_at(&ca, &["show_account"]).ends_with(0);
    assert!(run.stdout.contains("a@example.org") && run.stderr.is_empty(), "{run:?}");
}

#[test]
fn an_account_that_the_ca_lost_is_registered_once_more_on_request() {
    let hmac = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let options =
        PebbleOptions { external_accounts: vec![("kid-1".to_owned(), hmac.to_owned())], ..PebbleOptions::default() };
    let ca = Pebble::start(options);
    let place = Place::new();
    let server = ca.directory_url();
    let lost = place.tree.account_with_url(&server, AccountKeyKind::EcP256, &server.replace("/dir", "/my-account/0"));
    place.run_at(&ca, &["show_account"]).ends_with(1);
    let run = place.run_at(&ca, &["register", "--agree-tos"]).ends_with(1);
    assert!(run.stderr.contains("Please use --eab-kid and --eab-hmac-key"), "{}", run.stderr);
    let eab = ["register", "--agree-tos", "--eab-kid", "kid-1", "--eab-hmac-key", hmac];
    let run = place.run_at(&ca, &eab).ends_with(0);
    assert!(run.stdout.starts_with("Account registered.\nThe CA did not know the account any more."), "{}", run.stdout);
    assert_eq!(place.tree.account_ids(&server), [lost.id]);
    place.run_at(&ca, &["show_account"]).ends_with(0);
    let run = place.run_at(&ca, &eab).ends_with(1);
    assert!(run.stderr.contains("There is an existing account"), "{}", run.stderr);
}
