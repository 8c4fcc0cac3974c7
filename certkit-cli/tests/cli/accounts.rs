//! The account commands against Pebble.

use std::fs;

use testkit::{Pebble, PebbleOptions};

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
    assert_eq!(place.tree.account_ids(&ca.directory_url()).len(), 1);
    let run = place.run_at(&ca, &["register", "--agree-tos"]).ends_with(1);
    assert!(run.stderr.contains("There is an existing account"), "{}", run.stderr);

    let run = place.run_at(&ca, &["show_account"]).ends_with(0);
    assert!(
        run.stdout.starts_with(&format!("Account details for server {}:\n  Account URL: https://", ca.directory_url()))
    );
    assert!(run.stdout.ends_with("  Email contact: a@example.org\n"), "{}", run.stdout);
    let run = place.run_at(&ca, &["update_account", "--email", "b@example.org,c@example.org"]).ends_with(0);
    assert_eq!(run.stdout, "Your e-mail address was updated to b@example.org,c@example.org.\n");
    let document = place.run_at(&ca, &["show_account", "--json"]).ends_with(0).json();
    assert_eq!(document["contacts"][1], "c@example.org");
    let run = place.run_at(&ca, &["update_account", "--register-unsafely-without-email"]).ends_with(0);
    assert_eq!(run.stdout, "Any contact information associated with this account has been removed.\n");

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
