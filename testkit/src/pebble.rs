//! Pebble, the ACME test server, with its test DNS.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::dns::TestDns;
use crate::https;
use crate::pki::Pki;
use crate::ports::{free_port, wait_for_port};
use crate::process::{Server, require_program};
use crate::tree::write_with_mode;

/// How Pebble behaves. The default is a CA without whims: no nonce is rejected, nothing is reused, nothing sleeps.
#[derive(Clone, Debug)]
pub struct PebbleOptions {
    /// How many good nonces in a hundred are rejected.
    pub nonce_reject_percent: u8,
    /// How often in a hundred a valid authorization is reused for a new order.
    pub authorization_reuse_percent: u8,
    /// Whether every challenge is taken as answered, without looking.
    pub validates_without_looking: bool,
    /// Whether a validation waits for up to five seconds before it looks.
    pub sleeps_before_validating: bool,
    /// The port to which http-01 validations connect; a free one without.
    pub http_port: Option<u16>,
    /// How many further roots there are, each with a chain of its own.
    pub alternate_roots: u8,
    /// How many intermediates a chain has.
    pub chain_length: u8,
    /// How long certificates are valid; Pebble's five years without.
    pub certificate_lifetime: Option<Duration>,
    /// Key ids and base64url HMAC keys; when there is one, an external account is required.
    pub external_accounts: Vec<(String, String)>,
    /// Names and their subdomains for which no order is accepted.
    pub blocked_domains: Vec<String>,
    /// Whether Pebble tests breaking changes.
    pub strict: bool,
    /// What every name resolves to, unless it is set.
    pub default_ipv4: String,
    /// The same for IPv6; empty for no answer.
    pub default_ipv6: String,
}

/// A running Pebble. It ends when it is dropped.
#[derive(Debug)]
pub struct Pebble {
    // Dropped in this order: the servers before the folder that holds their logs.
    acme: Server,
    dns: TestDns,
    folder: TempDir,
    port: u16,
    management_port: u16,
    http_port: u16,
}

impl Default for PebbleOptions {
    fn default() -> Self {
        Self {
            nonce_reject_percent: 0,
            authorization_reuse_percent: 0,
            validates_without_looking: false,
            sleeps_before_validating: false,
            http_port: None,
            alternate_roots: 0,
            chain_length: 1,
            certificate_lifetime: None,
            external_accounts: Vec::new(),
            blocked_domains: Vec::new(),
            strict: false,
            default_ipv4: Ipv4Addr::LOCALHOST.to_string(),
            default_ipv6: String::new(),
        }
    }
}

impl Pebble {
    /// Starts Pebble and its DNS on free ports. A port that somebody took first leads to another try.
    pub fn start(options: PebbleOptions) -> Self {
        const TRIES: usize = 5;
        let mut logs = String::new();
        for _ in 0..TRIES {
            match Self::try_start(&options) {
                Ok(running) => return running,
                Err(log) => logs = log,
            }
        }
        panic!("pebble does not start:\n{logs}");
    }

    fn try_start(options: &PebbleOptions) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("pebble-").tempdir().unwrap();
        let mut dns = TestDns::start(folder.path(), &options.default_ipv4, &options.default_ipv6);
        let (port, management_port) = (free_port(), free_port());
        let http_port = options.http_port.unwrap_or_else(free_port);
        let config = write_config(folder.path(), options, port, management_port, http_port);

        let dns_address = format!("127.0.0.1:{}", dns.port());
        let mut arguments = vec!["-config", config.to_str().unwrap(), "-dnsserver", &dns_address];
        if options.strict {
            arguments.push("-strict");
        }
        let arguments: Vec<_> = arguments.iter().map(OsStr::new).collect();
        let log = folder.path().join("pebble.log");
        let mut acme = Server::start("pebble", &require_program("pebble"), &arguments, &environment(options), &log);

        // It goes on without a port that was taken and only logs it.
        let up = acme.wait_for_log("ACME directory available at", Duration::from_secs(30))
            && wait_for_port(port, Duration::from_secs(10))
            && wait_for_port(management_port, Duration::from_secs(10))
            && dns.is_up();
        let clash = acme.ended().is_some() || acme.log().contains("address already in use");
        if !up || clash {
            return Err(format!("{}{}", dns.log(), acme.log()));
        }
        Ok(Self { acme, dns, folder, port, management_port, http_port })
    }

    /// The URL of its ACME directory.
    pub fn directory_url(&self) -> String {
        format!("https://127.0.0.1:{}/dir", self.port)
    }

    /// PEM file with the root of its API's certificate: what `--ca-bundle` and SSL_CERT_FILE take.
    pub fn ca_bundle(&self) -> PathBuf {
        self.folder.path().join("api-root.pem")
    }

    /// The port to which http-01 validations connect.
    pub fn http_port(&self) -> u16 {
        self.http_port
    }

    /// The root (PEM) of the chains that it issues: 0 for the default chain, from 1 on for the alternates.
    pub fn issuing_root(&self, number: u8) -> String {
        self.managed(&format!("/roots/{number}"))
    }

    /// The intermediate (PEM) of a chain.
    pub fn issuing_intermediate(&self, number: u8) -> String {
        self.managed(&format!("/intermediates/{number}"))
    }

    /// What it knows of a certificate: an object with `Status` (`Valid` or `Revoked`), `Reason`, `Certificate` …; none
    /// for a serial number that it did not issue. `serial` is hex.
    pub fn certificate_status(&self, serial: &str) -> Option<Value> {
        // Pebble parses the serial as a number in hex and prints it without leading zeros.
        let serial = serial.to_ascii_lowercase();
        let path = format!("/cert-status-by-serial/{}", serial.trim_start_matches('0'));
        let answer = https::get(self.management_address(), &path).unwrap();
        (answer.status == 200).then(|| serde_json::from_slice(&answer.body).unwrap())
    }

    /// From now on the test DNS answers these IPv4 addresses for a name.
    pub fn set_a(&self, host: &str, addresses: &[&str]) {
        self.dns.command("add-a", host, &[("addresses", json!(addresses))]);
    }

    /// The same for IPv6.
    pub fn set_aaaa(&self, host: &str, addresses: &[&str]) {
        self.dns.command("add-aaaa", host, &[("addresses", json!(addresses))]);
    }

    /// From now on the test DNS answers SERVFAIL for a name.
    pub fn set_servfail(&self, host: &str) {
        self.dns.command("set-servfail", host, &[]);
    }

    /// Takes a SERVFAIL back.
    pub fn clear_servfail(&self, host: &str) {
        self.dns.command("clear-servfail", host, &[]);
    }

    /// From now on the test DNS answers these CAA records (tag and value, flags 0) for a name.
    pub fn set_caa(&self, host: &str, records: &[(&str, &str)]) {
        let policies: Vec<_> = records.iter().map(|(tag, value)| json!({ "tag": tag, "value": value })).collect();
        self.dns.command("add-caa", host, &[("policies", json!(policies))]);
    }

    /// Removes the CAA records of a name.
    pub fn clear_caa(&self, host: &str) {
        self.dns.command("clear-caa", host, &[]);
    }

    /// From now on a name is an alias.
    pub fn set_cname(&self, host: &str, target: &str) {
        let target = format!("{}.", target.trim_end_matches('.'));
        self.dns.command("set-cname", host, &[("target", json!(target))]);
    }

    /// A TXT record, as dns-01 wants it at `_acme-challenge.NAME`.
    pub fn set_txt(&self, host: &str, value: &str) {
        self.dns.command("set-txt", host, &[("value", json!(value))]);
    }

    /// Removes the TXT records of a name.
    pub fn clear_txt(&self, host: &str) {
        self.dns.command("clear-txt", host, &[]);
    }

    /// Where its test DNS answers, over UDP and TCP.
    pub fn dns_address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.dns.port()).into()
    }

    /// The URL of the test DNS's management interface, for hooks that set TXT records.
    pub fn dns_management_url(&self) -> String {
        self.dns.management_url()
    }

    /// What Pebble has logged: every request among it.
    pub fn log(&self) -> String {
        self.acme.log()
    }

    /// What its test DNS has logged.
    pub fn dns_log(&self) -> String {
        self.dns.log()
    }

    /// How many orders were placed so far.
    pub fn orders_placed(&self) -> usize {
        self.log().matches("Added order ").count()
    }

    fn management_address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.management_port).into()
    }

    fn managed(&self, path: &str) -> String {
        let answer = https::get(self.management_address(), path).unwrap();
        assert_eq!(answer.status, 200, "{path}");
        String::from_utf8(answer.body).unwrap()
    }
}

/// The JSON config, and the certificate of the API with the root that signed it.
fn write_config(folder: &Path, options: &PebbleOptions, port: u16, management_port: u16, http_port: u16) -> PathBuf {
    let now = crate::now();
    let pki = Pki::new(now);
    let issued = pki.for_localhost(now);
    let certificate = folder.join("api.pem");
    let key = folder.join("api-key.pem");
    write_with_mode(&certificate, &issued.fullchain, 0o644);
    write_with_mode(&key, &issued.privkey, 0o600);
    write_with_mode(&folder.join("api-root.pem"), &pki.root_pem(), 0o644);

    let mut config = json!({
        "listenAddress": format!("127.0.0.1:{port}"),
        "managementListenAddress": format!("127.0.0.1:{management_port}"),
        "certificate": certificate,
        "privateKey": key,
        "httpPort": http_port,
        "tlsPort": free_port(),
        "ocspResponderURL": "",
        "externalAccountBindingRequired": !options.external_accounts.is_empty(),
        "domainBlocklist": options.blocked_domains,
    });
    if !options.external_accounts.is_empty() {
        config["externalAccountMACKeys"] = options.external_accounts.iter().cloned().collect();
    }
    if let Some(lifetime) = options.certificate_lifetime {
        config["certificateValidityPeriod"] = lifetime.as_secs().into();
    }
    let path = folder.join("pebble.json");
    write_with_mode(&path, &json!({ "pebble": config }).to_string(), 0o644);
    path
}

fn environment(options: &PebbleOptions) -> Vec<(&'static str, String)> {
    let mut variables = vec![
        ("PEBBLE_WFE_NONCEREJECT", options.nonce_reject_percent.to_string()),
        ("PEBBLE_AUTHZREUSE", options.authorization_reuse_percent.to_string()),
        ("PEBBLE_ALTERNATE_ROOTS", options.alternate_roots.to_string()),
        ("PEBBLE_CHAIN_LENGTH", options.chain_length.to_string()),
    ];
    if options.validates_without_looking {
        variables.push(("PEBBLE_VA_ALWAYS_VALID", "1".into()));
    }
    if !options.sleeps_before_validating {
        variables.push(("PEBBLE_VA_NOSLEEP", "1".into()));
    }
    variables
}
