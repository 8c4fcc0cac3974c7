//! Keys, chains, and what confs ask for.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::{Command, Stdio};

use testkit::{AccountKeyKind, KeyKind};

use super::host::Host;

const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

#[test]
fn whoever_can_read_a_key_is_named() {
    let host = Host::with_certificate();
    let key = host.at("etc/archive/a.example/privkey1.pem");
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(&key, 0o644);
    host.problems().are(&["private-key-readable"]).says(
        "private-key-readable",
        "notice",
        "lets nobody else through",
        "chmod o-rwx",
    );
    for folder in ["", "etc", "etc/archive", "etc/archive/a.example"] {
        mode(&host.at(folder), 0o755);
    }
    host.problems().are(&["private-key-readable"]).says(
        "private-key-readable",
        "warning",
        "for everybody",
        "chmod o-rwx",
    );
    mode(&key, 0o640);
    chown(&key, None, Some(1)).unwrap();
    host.problems().are(&["private-key-for-group"]).says(
        "private-key-for-group",
        "notice",
        "group daemon: daemon",
        "chmod g-rwx",
    );
    mode(&key, 0o600);
    host.problems().are(&[]);
    chown(&key, Some(65534), None).unwrap();
    host.problems().are(&["private-key-of-another"]).says("private-key-of-another", "warning", "nobody", "chown root");
}

#[test]
fn weak_keys_and_signatures_are_told() {
    let host = Host::with_certificate();
    let archive = host.at("etc/archive/a.example");
    let status = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:1024", "-sha1", "-nodes", "-days", "60", "-subj", "/CN=a.example"])
        .args(["-addext", "subjectAltName=DNS:a.example", "-keyout", "privkey1.pem", "-out", "cert1.pem"])
        .current_dir(&archive)
        .stderr(Stdio::null())
        .status();
    assert!(status.expect("openssl is missing: install the package openssl").success());
    let cert = fs::read_to_string(archive.join("cert1.pem")).unwrap();
    fs::write(archive.join("chain1.pem"), &cert).unwrap();
    fs::write(archive.join("fullchain1.pem"), format!("{cert}{cert}")).unwrap();
    let problems = host.problems();
    problems.says("weak-key", "error", "1024 bits", "certkit reconfigure --cert-name a.example --key-type ecdsa");
    problems.says("weak-signature", "error", "SHA-1", "--force-renewal");
}

#[test]
fn keys_that_are_kept_for_long_are_told() {
    let host = Host::new();
    host.place.tree.lineage("a.example").lifetime_days(460).days_left(30).param("reuse_key", "True").write();
    let problems = host.problems();
    problems.says("key-reused-long", "notice", "430 days", "--new-key");
    let host = Host::new();
    host.place.tree.lineage("a.example").param("reuse_key", "True").write();
    host.problems().are(&[]);
}

#[test]
fn chains_that_do_not_carry_the_certificate_are_told() {
    let host = Host::new();
    // The intermediate of these tests ends in ten years; the first one is renewed before that.
    for (before, severity) in [("2000 days", "warning"), ("100 days", "error")] {
        let long = host.place.tree.lineage("a.example").lifetime_days(5000).days_left(4900);
        long.top("renew_before_expiry", before).write();
        let problems = host.problems();
        problems.says("issuer-ends-early", severity, "Testkit Intermediate E1", "--force-renewal");
        fs::remove_dir_all(host.at("etc/live/a.example")).unwrap();
        fs::remove_dir_all(host.at("etc/archive/a.example")).unwrap();
    }
    let host = Host::with_certificate();
    let archive = host.at("etc/archive/a.example");
    let cert = fs::read_to_string(archive.join("cert1.pem")).unwrap();
    let root = host.place.tree.pki().root_pem();
    fs::write(archive.join("chain1.pem"), &root).unwrap();
    fs::write(archive.join("fullchain1.pem"), format!("{cert}{root}")).unwrap();
    let problems = host.problems();
    problems.says("chain-incomplete", "error", "Testkit Intermediate E1", "--force-renewal");
    problems.says("live-version-damaged", "error", "", "");
}

#[test]
fn a_key_of_another_certificate_is_told() {
    let host = Host::with_certificate();
    host.place.tree.lineage("b.example").key(KeyKind::EcdsaP256).write();
    fs::copy(host.at("etc/archive/b.example/privkey1.pem"), host.at("etc/archive/a.example/privkey1.pem")).unwrap();
    let problems = host.problems().are(&["live-version-damaged"]);
    problems.says("live-version-damaged", "error", "privkey1.pem", "");
    assert_eq!(problems.one("live-version-damaged")["certificates"], serde_json::json!(["a.example"]));
}

#[test]
fn what_was_withdrawn_is_found_in_confs() {
    for (key, value, severity, evidence) in [
        ("must_staple", "True", "warning", "OCSP"),
        ("preferred_profile", "tlsclient", "warning", "tlsclient"),
        ("required_profile", "tlsclient", "error", "tlsclient"),
        ("tls_sni_01_port", "443", "notice", "TLS-SNI-01"),
        ("server", "https://api.buypass.com/acme/directory", "error", "Buypass"),
        ("server", "https://acme-v01.api.letsencrypt.org/directory", "notice", "2021"),
    ] {
        let host = Host::new();
        host.place.tree.lineage("a.example").param(key, value).write();
        host.problems().are(&["retired-option"]).says("retired-option", severity, evidence, "");
    }
    let host = Host::new();
    host.place.tree.lineage("a.example").server("https://acme-staging-v02.api.letsencrypt.org/directory").write();
    host.problems().are(&["test-authority"]).says(
        "test-authority",
        "warning",
        "staging",
        "--cert-name a.example --server letsencrypt",
    );
}

#[test]
fn numbers_of_names_and_of_days_that_do_not_fit_are_told() {
    let host = Host::new();
    let names: Vec<String> = (0..101).map(|number| format!("n{number}.a.example")).collect();
    host.place.tree.lineage("a.example").names(&names).server(LETS_ENCRYPT).write();
    host.problems().are(&["too-many-names"]).says("too-many-names", "error", "101 names", "split it");
    let host = Host::new();
    host.place.tree.lineage("a.example").top("renew_before_expiry", "30 days").write();
    host.problems().are(&["renew-before-expiry-in-days"]).says(
        "renew-before-expiry-in-days",
        "notice",
        "renewed after 15",
        "renewal/a.example.conf",
    );
}

#[test]
fn accounts_that_are_missing_or_unclear_are_told() {
    let host = Host::new();
    host.place.tree.lineage("a.example").server(LETS_ENCRYPT).account("0123456789abcdef0123456789abcdef").write();
    host.problems().are(&["account-not-stored"]).says("account-not-stored", "error", "0123456789", "certkit register");
    let host = Host::new();
    for _ in 0..2 {
        host.place.tree.account(LETS_ENCRYPT, AccountKeyKind::Rsa2048);
    }
    host.place.tree.lineage("a.example").server(LETS_ENCRYPT).write();
    host.problems().are(&["account-unclear"]).says("account-unclear", "error", "", "--cert-name a.example");
    let host = Host::new();
    let account = host.place.tree.account(LETS_ENCRYPT, AccountKeyKind::Rsa2048);
    host.place.tree.lineage("a.example").server(LETS_ENCRYPT).account(&account.id).write();
    host.problems().are(&[]);
}
