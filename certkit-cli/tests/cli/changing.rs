//! Certificates that get other names, other settings, or a second try.

use std::fs;

use testkit::{Pebble, PebbleOptions};

use crate::support::{Place, Run};

fn certonly(place: &Place, ca: &Pebble, more: &[&str]) -> Run {
    let port = ca.http_port().to_string();
    let mut arguments = vec!["certonly", "-n", "--agree-tos", "--standalone", "--http-01-port", &port];
    arguments.extend(more);
    place.run_at(ca, &arguments)
}

#[test]
fn a_document_root_in_cli_ini_changes_no_certificate_that_exists() {
    let ca = Pebble::start(PebbleOptions::default());
    let place = Place::new();
    certonly(&place, &ca, &["-d", "w.example.org"]).ends_with(0);
    fs::write(place.tree.config_dir().join("cli.ini"), "webroot-path = /srv/www\n").unwrap();
    place.run_trusting(&ca, &["renew", "--force-renewal"]).ends_with(0);
    let conf = fs::read_to_string(place.tree.config_dir().join("renewal/w.example.org.conf")).unwrap();
    assert!(conf.contains("authenticator = standalone") && !conf.contains("webroot"), "{conf}");
}

#[test]
fn a_named_certificate_grows_and_shrinks_unattended_and_tells_what_is_dropped() {
    let ca = Pebble::start(PebbleOptions::default());
    let place = Place::new();
    certonly(&place, &ca, &["--cert-name", "x", "-d", "a.example.org"]).ends_with(0);
    let run = certonly(&place, &ca, &["--cert-name", "x", "-d", "a.example.org,b.example.org"]).ends_with(0);
    assert!(!run.stderr.contains("dropped"), "{}", run.stderr);
    let run = certonly(&place, &ca, &["-q", "--cert-name", "x", "-d", "b.example.org,c.example.org"]).ends_with(0);
    assert!(run.stderr.contains("dropped from the certificate x: a.example.org."), "{}", run.stderr);
    let document = place.run(&["certificates", "--json"]).ends_with(0).json();
    assert_eq!(document["lineages"][0]["identifiers"], serde_json::json!(["b.example.org", "c.example.org"]));
}

#[test]
fn what_is_typed_does_not_wait_for_earlier_failures() {
    let ca = Pebble::start(PebbleOptions::default());
    let place = Place::new();
    let nobody = testkit::ports::free_port().to_string();
    let run = certonly(&place, &ca, &["--http-01-port", &nobody, "-d", "t.example.org,u.example.org"]).ends_with(1);
    let told = "Failed to obtain a certificate for t.example.org, u.example.org: ";
    assert!(run.stderr.contains(told), "{}", run.stderr);
    certonly(&place, &ca, &["-d", "t.example.org,u.example.org"]).ends_with(0);
    // The same for other names and another key.
    let more = ["--cert-name", "t.example.org", "-d", "t.example.org,v.example.org"];
    certonly(&place, &ca, &[&more[..], &["--http-01-port", &nobody]].concat()).ends_with(1);
    certonly(&place, &ca, &more).ends_with(0);
    certonly(&place, &ca, &["--cert-name", "t.example.org", "--key-type", "rsa"]).ends_with(0);
    let document = place.run(&["certificates", "--json"]).ends_with(0).json();
    assert_eq!(document["lineages"][0]["key_type"], "RSA");
    assert_eq!(document["lineages"][0]["version"], 3);
}

#[test]
fn a_deploy_that_waits_is_a_problem_and_stops_no_test_order() {
    let ca = Pebble::start(PebbleOptions::default());
    let place = Place::new();
    let hook = ["--deploy-hook", "exit 4", "--disable-hook-validation"];
    certonly(&place, &ca, &[&["-d", "p.example.org"][..], &hook].concat()).ends_with(1);
    let document = place.run(&["certificates", "--json"]).ends_with(0).json();
    assert_eq!(document["problems"][0]["code"], "deploy-pending", "{document}");
    let run = place.run(&["certificates"]).ends_with(0);
    assert!(run.stdout.contains("--cert-name p.example.org --deploy-hook COMMAND"), "{}", run.stdout);

    place.run_trusting(&ca, &["renew", "--dry-run", "-n"]).ends_with(0);
    let run = place
        .run_trusting(&ca, &["reconfigure", "--cert-name", "p.example.org", "--deploy-hook", "true", "-i", "nginx"])
        .ends_with(0);
    assert!(run.stdout.contains("Successfully updated configuration."), "{}", run.stdout);
    let conf = || fs::read_to_string(place.tree.config_dir().join("renewal/p.example.org.conf")).unwrap();
    assert!(conf().contains("renew_hook = true") && conf().contains("installer = nginx"), "{}", conf());
    place.run_trusting(&ca, &["reconfigure", "--cert-name", "p.example.org", "--installer", "null"]).ends_with(0);
    assert!(!conf().contains("installer"), "{}", conf());
}

#[test]
fn a_document_root_is_for_every_name_of_the_certificate() {
    let ca = Pebble::start(PebbleOptions::default());
    let place = Place::new();
    certonly(&place, &ca, &["-d", "m.example.org"]).ends_with(0);
    let conf = place.tree.config_dir().join("renewal/m.example.org.conf");
    let old = fs::read_to_string(&conf).unwrap();
    fs::write(&conf, format!("{old}webroot_path = /old,\n[[webroot_map]]\nm.example.org = /old\n")).unwrap();
    let run =
        place.run_trusting(&ca, &["reconfigure", "--cert-name", "m.example.org", "-w", "/nonexistent"]).ends_with(1);
    assert!(run.stderr.contains("m.example.org (webroot /nonexistent)"), "{}", run.stderr);
}

#[test]
fn a_hook_around_the_run_is_not_pending() {
    let ca = Pebble::start(PebbleOptions::default());
    let place = Place::new();
    certonly(&place, &ca, &["-d", "q.example.org"]).ends_with(0);
    let arguments = ["renew", "--force-renewal", "--disable-hook-validation", "--post-hook", "exit 3"];
    let run = place.run_trusting(&ca, &arguments).ends_with(1);
    assert!(run.stderr.contains("post-hook") && !run.stderr.contains("pending"), "{}", run.stderr);
}

#[test]
fn a_dry_run_registers_no_account() {
    let ca = Pebble::start(PebbleOptions::default());
    let place = Place::new();
    let run = certonly(&place, &ca, &["--dry-run", "-d", "d.example.org"]).ends_with(1);
    assert!(run.stderr.contains("certkit register --server https://"), "{}", run.stderr);
    assert!(place.tree.account_ids(&ca.directory_url()).is_empty());
}

#[test]
fn an_unknown_account_is_answered_with_those_there_are() {
    let ca = Pebble::start(PebbleOptions::default());
    let place = Place::new();
    certonly(&place, &ca, &["-d", "k.example.org"]).ends_with(0);
    let id = place.tree.account_ids(&ca.directory_url()).remove(0);
    let run = place.run_trusting(&ca, &["renew", "--account", "nobody"]).ends_with(1);
    assert!(run.stderr.contains(&format!("the accounts are: {id} (https://")), "{}", run.stderr);
    place.run_trusting(&ca, &["renew", "--account", &id]).ends_with(0);
}
