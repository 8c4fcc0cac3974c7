//! The programs run for real, against Pebble.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};

use testkit::{AccountKeyKind, Nginx, NginxOptions, Pebble, PebbleOptions, Tree, serial_of_file};

/// Pebble, and the web server that it asks.
fn servers() -> (Pebble, Nginx) {
    servers_with(PebbleOptions::default())
}

fn servers_with(options: PebbleOptions) -> (Pebble, Nginx) {
    let nginx = Nginx::start(&NginxOptions::default());
    let pebble = Pebble::start(PebbleOptions { http_port: Some(nginx.http_port()), ..options });
    (pebble, nginx)
}

fn run(program: &str, arguments: &[&str], ca_bundle: &Path) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).env("SSL_CERT_FILE", ca_bundle);
    for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        command.env_remove(proxy);
    }
    command.output().unwrap()
}

#[test]
fn obtain_gets_a_certificate_through_its_own_solver() {
    let (pebble, nginx) = servers();
    let challenges = nginx.webroot().join(".well-known/acme-challenge");
    std::fs::create_dir_all(&challenges).unwrap();
    let arguments = [&pebble.directory_url(), "own.example", challenges.to_str().unwrap()];
    let output = run(env!("CARGO_BIN_EXE_obtain"), &arguments, &pebble.ca_bundle());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("bundle.pem");
    std::fs::write(&bundle, &output.stdout).unwrap();
    let status = pebble.certificate_status(&serial_of_file(&bundle)).unwrap();
    assert_eq!(status["Status"], "Valid");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.matches("BEGIN CERTIFICATE").count(), 2, "leaf and intermediate");
    assert_eq!(text.matches("BEGIN PRIVATE KEY").count(), 1);
    assert_eq!(std::fs::read_dir(&challenges).unwrap().count(), 0, "tokens were left behind");
}

#[test]
fn obtain_reports_the_name_that_failed_and_leaves_nothing_behind() {
    let (pebble, _nginx) = servers();
    let elsewhere = tempfile::tempdir().unwrap();
    let arguments = [&pebble.directory_url(), "own.example", elsewhere.path().to_str().unwrap()];
    let output = run(env!("CARGO_BIN_EXE_obtain"), &arguments, &pebble.ca_bundle());
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("own.example") && error.contains("unauthorized"), "{error}");
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0, "tokens were left behind");
}

#[test]
fn renew_and_react_renews_and_says_what_it_did() {
    let (pebble, nginx) = servers();
    let folder = tempfile::tempdir().unwrap();
    let tree = Tree::new(folder.path().join("le"), testkit::now());
    let server = pebble.directory_url();
    let account = testkit::Certbot::new(tree.config_dir(), &server, &pebble.ca_bundle()).register();
    let lineage = |name: &str, left| {
        tree.lineage(name).days_left(left).server(&server).account(&account).webroot(nginx.webroot()).write()
    };
    let (fresh, due) = (lineage("fresh.example", 60), lineage("due.example", 9));
    tree.lineage("lost.example").days_left(9).server(&server).account(&account).webroot("/nonexistent").write();

    let output =
        run(env!("CARGO_BIN_EXE_renew_and_react"), &[tree.config_dir().to_str().unwrap()], &pebble.ca_bundle());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "a failed lineage is a failed run: {text}");
    assert!(text.contains("due.example: version 2 until "), "{text}{error}");
    assert!(text.contains("fresh.example: nothing to do"), "{text}{error}");
    assert!(text.contains("lost.example: "), "{text}{error}");
    assert!(due.archive.join("privkey2.pem").is_file());
    assert!(!fresh.archive.join("cert2.pem").exists());
    assert_ne!(serial_of_file(due.live.join("fullchain.pem")), due.serial);
}

#[test]
fn an_account_that_the_ca_does_not_know_is_said() {
    // Without a binding the account would be registered anew; this CA wants one.
    let external_accounts =
        vec![("kid-1".to_owned(), "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W".to_owned())];
    let (pebble, nginx) = servers_with(PebbleOptions { external_accounts, ..PebbleOptions::default() });
    let folder = tempfile::tempdir().unwrap();
    let tree = Tree::new(folder.path().join("le"), testkit::now());
    let url = pebble.directory_url().replace("/dir", "/my-account/1");
    let account = tree.account_with_url(&pebble.directory_url(), AccountKeyKind::Rsa2048, &url);
    let paths = tree
        .lineage("due.example")
        .days_left(9)
        .server(&pebble.directory_url())
        .account(&account.id)
        .webroot(nginx.webroot())
        .write();
    let output =
        run(env!("CARGO_BIN_EXE_renew_and_react"), &[tree.config_dir().to_str().unwrap()], &pebble.ca_bundle());
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("due.example: ") && text.contains("register"), "{text}");
    assert!(!paths.archive.join("cert2.pem").exists());
}
