//! `certonly --csr` against Pebble.

use std::fs;
use std::path::Path;
use std::process::Command;

use certkit_core::{CertificateRequest, Chain};
use testkit::{Pebble, PebbleOptions};

use crate::support::{Place, Run};

/// Makes a request with openssl; its file.
fn request(folder: &Path, form: &str, names: &str) -> String {
    let path = folder.join(format!("request.{form}"));
    let made = Command::new("openssl")
        .args(["req", "-new", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-outform", form])
        .args(["-keyout", "/dev/null", "-subj", "/", "-addext", &format!("subjectAltName={names}"), "-out"])
        .arg(&path)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    path.to_str().unwrap().to_owned()
}

fn certonly(place: &Place, ca: &Pebble, here: &Path, more: &[&str]) -> Run {
    let port = ca.http_port().to_string();
    let mut command = place.command(&["certonly", "-n", "--agree-tos", "--standalone", "--http-01-port", &port]);
    command.args(["--server", &ca.directory_url(), "--ca-bundle"]).arg(ca.ca_bundle()).args(more).current_dir(here);
    Run::of(command.output().unwrap())
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_certificate_goes_into_new_files_and_no_lineage() {
    let ca = Pebble::start(PebbleOptions::default());
    let place = Place::new();
    let here = place.folder().join("here");
    fs::create_dir(&here).unwrap();
    let csr = request(place.folder(), "PEM", "DNS:a.example.org,DNS:b.example.org");

    // A dry run keeps nothing, and so makes no account.
    certonly(&place, &ca, &here, &["--csr", &csr, "--dry-run"]).ends_with(1);
    place.run_at(&ca, &["register", "-n", "--agree-tos"]).ends_with(0);
    let run = certonly(&place, &ca, &here, &["--csr", &csr, "--dry-run"]).ends_with(0);
    assert_eq!(run.stdout, "The dry run was successful.\n");
    assert!(files(&here).is_empty());

    let run = certonly(&place, &ca, &here, &["--csr", &csr, "-d", "B.example.org"]).ends_with(0);
    let at = here.display();
    let expected = format!(
        "\nSuccessfully received certificate.\nCertificate is saved at:            {at}/0000_cert.pem\nIntermediate CA chain is saved at:  {at}/0000_chain.pem\nFull certificate chain is saved at: {at}/0001_chain.pem\nThis certificate expires on "
    );
    assert!(run.stdout.starts_with(&expected), "{}", run.stdout);
    assert!(run.stdout.contains("will not be renewed automatically"), "{}", run.stdout);
    assert!(run.stderr.contains("Requesting a certificate for a.example.org and b.example.org"), "{}", run.stderr);
    let (cert, chain) = (fs::read(here.join("0000_cert.pem")).unwrap(), fs::read(here.join("0000_chain.pem")).unwrap());
    assert_eq!(fs::read(here.join("0001_chain.pem")).unwrap(), [cert, chain].concat());
    let full = Chain::from_pem(&fs::read(here.join("0001_chain.pem")).unwrap()).unwrap();
    let wanted = CertificateRequest::from_pem_or_der(&fs::read(&csr).unwrap()).unwrap();
    assert_eq!(full.leaf.spki_der(), wanted.spki_der());
    assert!(full.leaf.identifiers().unwrap().same_as(wanted.identifiers()));

    // DER, paths of its own, and as a document.
    let der = request(place.folder(), "DER", "DNS:c.example.org");
    let arguments =
        ["--csr", &der, "--cert-path", "c.pem", "--chain-path", "i.pem", "--fullchain-path", "f.pem", "--json"];
    let document = certonly(&place, &ca, &here, &arguments).ends_with(0).json();
    assert_eq!(document["certificate"]["identifiers"], serde_json::json!(["c.example.org"]));
    assert_eq!(document["certificate"]["paths"]["fullchain"], format!("{at}/f.pem"));
    assert_eq!(document["failed"], serde_json::Value::Null);
    let all = ["0000_cert.pem", "0000_chain.pem", "0001_chain.pem", "c.pem", "f.pem", "i.pem"];
    assert_eq!(files(&here), all);
    // What is there is not overwritten, and not ordered in vain.
    let orders = ca.orders_placed();
    let run = certonly(&place, &ca, &here, &arguments[..8]).ends_with(1);
    assert!(run.stderr.contains("exists already"), "{}", run.stderr);
    assert_eq!(ca.orders_placed(), orders);

    let listed = place.run(&["certificates", "--json"]).ends_with(0).json();
    assert!(listed["lineages"].as_array().unwrap().is_empty());
}

#[test]
fn a_failed_request_writes_nothing_and_tells_each_name() {
    let ca = Pebble::start(PebbleOptions { blocked_domains: vec!["blocked.org".into()], ..PebbleOptions::default() });
    let place = Place::new();
    let here = place.folder().join("here");
    fs::create_dir(&here).unwrap();
    let csr = request(place.folder(), "PEM", "DNS:a.blocked.org");
    let run = certonly(&place, &ca, &here, &["--csr", &csr, "--json"]).ends_with(1);
    let document = run.json();
    assert_eq!(document["certificate"], serde_json::Value::Null);
    assert_eq!(document["failed"]["class"], "identifier-refused", "{document}");
    assert!(run.stderr.contains("What to do: "), "{}", run.stderr);
    assert!(files(&here).is_empty());
}

#[test]
fn what_does_not_fit_a_request_is_refused_before_anybody_is_asked() {
    let place = Place::new();
    let csr = request(place.folder(), "PEM", "DNS:a.example.org");
    let certonly = |more: &[&str]| {
        place.run(&[&["certonly", "-n", "--standalone", "--server", "https://127.0.0.1:9/dir"], more].concat())
    };
    let run = certonly(&["--csr", &csr, "-d", "other.example.org"]).ends_with(1);
    let expected = "Inconsistent requests:\nFrom the CSR: a.example.org\nFrom command line/config: other.example.org";
    assert!(run.stderr.contains(expected), "{}", run.stderr);
    for flags in [
        &["--cert-name", "x"][..],
        &["--key-type", "rsa"],
        &["--reuse-key"],
        &["--new-key"],
        &["--deploy-hook", "true"],
        &["--chain-path", "same.pem", "--fullchain-path", "same.pem"],
    ] {
        certonly(&[&["--csr", &csr], flags].concat()).ends_with(2);
    }
    let run = certonly(&["--csr", "/nonexistent/request"]).ends_with(1);
    assert!(run.stderr.contains("/nonexistent/request: cannot read it"), "{}", run.stderr);
    let none = place.folder().join("none.pem");
    fs::write(&none, "hello").unwrap();
    let run = certonly(&["--csr", none.to_str().unwrap()]).ends_with(1);
    assert!(run.stderr.contains("no certificate request found"), "{}", run.stderr);
    let run = certonly(&["-d", "a.example.org", "--fullchain-path", "x.pem"]).ends_with(2);
    assert!(run.stderr.contains("--csr"), "{}", run.stderr);
    let run = place.run(&["renew", "--csr", &csr]).ends_with(2);
    assert!(run.stderr.contains("via the certonly command"), "{}", run.stderr);
}
