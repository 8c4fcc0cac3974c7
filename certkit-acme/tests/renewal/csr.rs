//! Certificates for requests that the owner brings.

use std::process::Command;

use certkit_acme::Stop;
use certkit_acme::keys::{KeySpec, certificate_signing_request};
use certkit_acme::renewal::CsrOrder;
use certkit_core::store::ConfEdits;
use certkit_core::{CertificateRequest, FailureClass, IdentifierSet};
use testkit::PebbleOptions;

use crate::support::World;

fn csr(names: &[&str]) -> CertificateRequest {
    let names: IdentifierSet = names.iter().map(|name| name.parse().unwrap()).collect();
    let key = KeySpec::default().generate().unwrap();
    CertificateRequest::from_der(&certificate_signing_request(&key, &names).unwrap()).unwrap()
}

fn settings(world: &World) -> ConfEdits {
    let mut edits = ConfEdits::default();
    edits.param("authenticator", Some("standalone")).param("server", Some(&world.server()));
    edits.param("http01_port", Some(&world.pebble.http_port().to_string()));
    edits
}

#[tokio::test]
async fn the_certificate_is_that_of_the_request_between_the_hooks_and_nothing_is_stored() {
    let world = World::new(PebbleOptions::default()).await;
    let mut edits = settings(&world);
    let note = |what: &str| format!("echo \"{what} $RENEWED_DOMAINS\" >> {}", world.file("hooks").display());
    edits.param("pre_hook", Some(&note("pre"))).param("post_hook", Some(&note("post")));
    let before = world.tree.snapshot().len();
    let request = csr(&["a.example.com", "b.example.com"]);
    let report = world.renewer().obtain_for_csr(&CsrOrder::new(request.clone(), edits), &Stop::new()).await.unwrap();
    let chain = report.outcome.unwrap();
    assert_eq!(chain.leaf.spki_der(), request.spki_der());
    assert!(chain.leaf.identifiers().unwrap().same_as(request.identifiers()));
    let hooks = std::fs::read_to_string(world.file("hooks")).unwrap();
    assert_eq!(hooks, "pre \npost a.example.com b.example.com\n");
    assert_eq!(report.hooks.len(), 2);
    assert!(world.store().lineages().unwrap().next().is_none());
    assert_eq!(world.tree.snapshot().len(), before);
    // The lock is free again.
    world.store().lock().unwrap();
}

#[tokio::test]
async fn openssls_requests_are_taken_in_pem_and_der() {
    let world = World::new(PebbleOptions::default()).await;
    for (form, kind) in [("PEM", "rsa:2048"), ("DER", "rsa:2048")] {
        let path = world.file("request");
        let made = Command::new("openssl")
            .args(["req", "-new", "-nodes", "-newkey", kind, "-keyout", "/dev/null", "-outform", form, "-out"])
            .arg(&path)
            .args(["-subj", "/CN=c.example.com", "-addext", "subjectAltName=DNS:c.example.com,DNS:d.example.com"])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let request = CertificateRequest::from_pem_or_der(&std::fs::read(&path).unwrap()).unwrap();
        let order = CsrOrder::new(request, settings(&world)).dry_run();
        let report = world.renewer().obtain_for_csr(&order, &Stop::new()).await.unwrap();
        assert_eq!(report.outcome.unwrap().leaf.identifiers().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn a_request_that_was_changed_is_not_ordered() {
    let world = World::new(PebbleOptions::default()).await;
    let mut der = csr(&["a.example.com"]).der().to_vec();
    let at = der.windows(9).position(|part| part == b"a.example").unwrap();
    der[at] = b'b';
    let order = CsrOrder::new(CertificateRequest::from_der(&der).unwrap(), settings(&world));
    let error = world.renewer().obtain_for_csr(&order, &Stop::new()).await.unwrap_err();
    assert!(error.to_string().contains("not signed by its own key"), "{error}");
    assert_eq!(world.pebble.orders_placed(), 0);
}

#[tokio::test]
async fn a_pre_hook_that_fails_stops_it_and_the_post_hook_runs() {
    let world = World::new(PebbleOptions::default()).await;
    let mut edits = settings(&world);
    edits.param("pre_hook", Some("exit 3")).param("post_hook", Some("true"));
    let order = CsrOrder::new(csr(&["a.example.com"]), edits);
    let report = world.renewer().obtain_for_csr(&order, &Stop::new()).await.unwrap();
    assert_eq!(report.outcome.unwrap_err().class, FailureClass::Hook);
    assert_eq!(report.hooks.len(), 2);
    assert_eq!(world.pebble.orders_placed(), 0);
}
