//! What is served: for monitoring systems, and for who looks at a host.

use std::net::SocketAddr;
use std::path::PathBuf;

use testkit::{Nginx, NginxOptions, Site};

use crate::support::Place;

const NAME: &str = "a.example.org";

/// A lineage whose second version is in use.
fn place() -> Place {
    let place = Place::new();
    place.tree.lineage(NAME).versions(2).days_left(60).write();
    place
}

/// nginx with these versions at these addresses.
fn nginx(place: &Place, served: &[(&str, u32)]) -> Nginx {
    let file = |kind: &str, version: u32| -> PathBuf {
        place.tree.config_dir().join(format!("archive/{NAME}/{kind}{version}.pem"))
    };
    let sites = served.iter().map(|(address, version)| Site {
        address: address.parse().unwrap(),
        name: String::new(),
        tls: vec![(file("fullchain", *version), file("privkey", *version))],
    });
    Nginx::start(&NginxOptions { sites: sites.collect(), ..NginxOptions::default() })
}

/// The owner says that it is served at these addresses.
fn says_where(place: &Place, addresses: &[SocketAddr]) {
    let tables: String = addresses.iter().map(|one| format!("[[endpoint]]\nhost = \"{one}\"\n")).collect();
    let file = place.tree.config_dir().join(format!("certkit/lineages/{NAME}.toml"));
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, tables).unwrap();
}

fn at(address: &str, nginx: &Nginx) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), nginx.tls_port())
}

#[test]
fn check_ends_as_monitoring_plugins_do() {
    let place = place();
    let run = place.run(&["check"]).ends_with(0);
    assert!(
        run.stdout.starts_with("CERTKIT OK - 1 certificate is well, the first to end is a.example.org in "),
        "{run:?}"
    );
    let first = run.stdout.lines().next().unwrap();
    assert!(first.contains(" | certificates=1;;;0 warning=0;;;0 critical=0;;;0 least_left="), "{first}");
    assert!(first.contains(" 'a.example.org_left'="), "{first}");
    place.run(&["check", "-q", "--cert-name", NAME]).ends_with(0);
    for wrong in
        [&["check", "--bogus"][..], &["check", "nothing"], &["--cert-name", "nope", "check"], &["check", "--dry-run"]]
    {
        let run = place.run(wrong).ends_with(3);
        assert!(run.stdout.starts_with("CERTKIT UNKNOWN - ") && run.stdout.lines().count() == 1, "{run:?}");
    }
    assert_eq!(place.run(&["check", "--bogus", "--json"]).ends_with(3).json()["level"], "unknown");
    // Other commands are wrong as before.
    place.run(&["certificates", "--bogus"]).ends_with(2);
    place.tree.lineage("b.example.org").days_left(5).write();
    place.tree.lineage("c.example.org").days_left(-1).write();
    let run = place.run(&["check", "--no-probe"]).ends_with(2);
    assert!(run.stdout.starts_with("CERTKIT CRITICAL - c.example.org: it expired "), "{run:?}");
    assert!(
        run.stdout.contains("(and 1 certificate more) | certificates=3;;;0 warning=0;;;0 critical=2;;;0"),
        "{run:?}"
    );
    assert!(run.stdout.contains("\nCRITICAL b.example.org: less than an eighth of its life is left: "), "{run:?}");
    assert!(run.stdout.contains("certkit renew --cert-name b.example.org"), "{run:?}");
    let run = place.run(&["check", "--cert-name", "b.example.org", "--json"]).ends_with(2).json();
    assert_eq!((&run["level"], &run["certificates"][0]["level"]), (&"critical".into(), &"critical".into()));
}

#[test]
fn check_sees_which_address_still_serves_what() {
    let place = place();
    let server = nginx(&place, &[("127.0.0.1", 2), ("127.0.0.2", 1)]);
    says_where(&place, &[at("127.0.0.1", &server), at("127.0.0.2", &server)]);
    let run = place.run(&["check"]).ends_with(2);
    let says = format!("CERTKIT CRITICAL - {NAME}: {} still serves version 1 (expired ", at("127.0.0.2", &server));
    assert!(run.stdout.starts_with(&says) && run.stdout.contains("), not version 2 | "), "{run:?}");
    assert!(run.stdout.contains("What to do: make the server read its certificate again"), "{run:?}");
    // Nothing was noted: without a look nothing is known.
    place.run(&["check", "--no-probe"]).ends_with(0);
    let document = place.run(&["check", "--json"]).ends_with(2).json();
    let served = &document["certificates"][0]["served"];
    assert_eq!((&served[0]["serving"], &served[1]["serving"]), (&"matches".into(), &"differs".into()), "{served}");
    assert_eq!(served[1]["answers"][0]["leaf"], "older");
    says_where(&place, &[at("127.0.0.1", &server)]);
    place.run(&["check"]).ends_with(0);
}

#[test]
fn inspect_looks_at_every_address_and_compares_with_the_store() {
    let place = place();
    let server = nginx(&place, &[("127.0.0.2", 1)]);
    let address = at("127.0.0.2", &server).to_string();
    let run = place.run(&["inspect", &address]).ends_with(0);
    assert!(run.stdout.contains(&format!("{address} (answered from {address})")), "{run:?}");
    let says = format!("Certificate {NAME} of the store: {address} still serves version 1 (expired ");
    assert!(run.stdout.contains(&says), "{run:?}");
    let document = place.run(&["inspect", "--json", &address]).ends_with(0).json();
    assert_eq!(document["certificates"][0]["source"], address.as_str());
    assert_eq!(document["certificates"][0]["addresses"][0], address.as_str());
    assert!(document["hosts"][0]["served"][0].as_str().unwrap().contains("still serves version 1"), "{document}");
    let nobody = place.run(&["inspect", "--starttls", "smtp", "127.0.0.2:1"]).ends_with(1);
    assert!(nobody.stderr.contains("127.0.0.2:1: Connection refused"), "{nobody:?}");
    let other = place.run(&["inspect", "--starttls", "smtp", &address]).ends_with(1);
    assert!(other.stderr.contains("no answer within") || other.stderr.contains("it "), "{other:?}");
}

#[test]
fn inspect_asks_for_the_name_that_the_owner_set_for_an_address() {
    let place = place();
    let server = nginx(&place, &[("127.0.0.2", 2)]);
    let address = at("127.0.0.2", &server);
    let alone = place.run(&["inspect", &address.to_string()]).ends_with(0);
    assert!(alone.stdout.contains("it does not cover the name that is asked for"), "{alone:?}");
    says_where(&place, &[address]);
    let run = place.run(&["inspect", &address.to_string()]).ends_with(0);
    assert!(run.stdout.contains(&format!("Asked for {NAME}, as the settings of the store say")), "{run:?}");
    assert!(!run.stdout.contains("it does not cover the name"), "{run:?}");
}

#[test]
fn roots_to_trust_may_be_named_with_every_command() {
    let place = place();
    let roots = place.tree.config_dir().join("roots.pem");
    std::fs::copy(place.tree.config_dir().join(format!("live/{NAME}/chain.pem")), &roots).unwrap();
    let roots = roots.to_string_lossy();
    for command in ["status", "plan", "certificates", "history", "versions", "deploy"] {
        place.run(&[command, "--ca-bundle", &roots]).ends_with(0);
    }
}
