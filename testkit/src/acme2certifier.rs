//! acme2certifier, an ACME server in Python that shares no code with Pebble or Let's Encrypt's Boulder.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::dns::TestDns;
use crate::pki::Pki;
use crate::ports::{free_port, wait_for_port};
use crate::process::{Server, of_venv};
use crate::tree::write_with_mode;

/// How acme2certifier behaves. By default it offers what it has: renewal information, but no profiles, and it wants no
/// external account.
#[derive(Clone, Debug)]
pub struct Acme2CertifierOptions {
    /// Whether every challenge is taken as answered, without looking.
    pub validates_without_looking: bool,
    /// The port to which http-01 validations connect; a free one without.
    pub http_port: Option<u16>,
    /// How it says when to renew; without, the directory has no `renewalInfo`.
    pub renewal_window: Option<RenewalWindow>,
    /// Names of profiles with their descriptions. The names are checked and change nothing in the certificate; where
    /// there is only one, acme2certifier takes it for every other name as well.
    pub profiles: Vec<(String, String)>,
    /// Key ids and base64url HMAC keys; when there is one, an external account is required.
    pub external_accounts: Vec<(String, String)>,
    /// How many days certificates are valid.
    pub certificate_lifetime_days: u32,
}

/// When acme2certifier wants certificates to be renewed.
#[derive(Clone, Debug)]
pub struct RenewalWindow {
    /// How many hundredths of the lifetime pass before the window begins; 0 for at once.
    pub begins_after_percent: u8,
    /// How long the window is, in whole seconds; to the end of the certificate without.
    pub length: Option<Duration>,
    /// Retry-After of the answers, in whole seconds.
    pub retry_after: Duration,
}

/// A running acme2certifier with a two-tier CA of its own. It ends when it is dropped.
///
/// It speaks plain http. Challenges are really validated: http-01 by looking the name up in a DNS that knows every name
/// as 127.0.0.1 and fetching the token there, dns-01 by asking the same DNS, of which
/// [`Acme2Certifier::dns_management_url`] is the management interface. acme2certifier knows only the ports 53 and 80 for
/// that; the script that serves it (acme2certifier.py beside this file) puts the test's ports in their place. It does
/// not read `replaces`, and it revokes for accounts only: one that is named by a certificate's own key is unknown to it.
#[derive(Debug)]
pub struct Acme2Certifier {
    // Dropped in this order: the servers before the folder that holds their logs.
    acme: Server,
    dns: TestDns,
    folder: TempDir,
    root: String,
    port: u16,
    http_port: u16,
}

impl Default for Acme2CertifierOptions {
    fn default() -> Self {
        Self {
            validates_without_looking: false,
            http_port: None,
            renewal_window: Some(RenewalWindow::default()),
            profiles: Vec::new(),
            external_accounts: Vec::new(),
            certificate_lifetime_days: 90,
        }
    }
}

impl Default for RenewalWindow {
    /// As acme2certifier has it where nothing is configured.
    fn default() -> Self {
        Self { begins_after_percent: 85, length: None, retry_after: Duration::from_secs(86_400) }
    }
}

impl Acme2Certifier {
    /// Starts acme2certifier and its DNS on free ports. A port that somebody took first leads to another try.
    pub fn start(options: &Acme2CertifierOptions) -> Self {
        const TRIES: usize = 5;
        let mut logs = String::new();
        for _ in 0..TRIES {
            match Self::try_start(options) {
                Ok(running) => return running,
                Err(log) => logs = log,
            }
        }
        panic!("acme2certifier does not start:\n{logs}");
    }

    fn try_start(options: &Acme2CertifierOptions) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("acme2certifier-").tempdir().unwrap();
        let mut dns = TestDns::start(folder.path(), "127.0.0.1", "");
        let port = free_port();
        let http_port = options.http_port.unwrap_or_else(free_port);
        let pki = Pki::new(crate::now());
        let config = write_config(folder.path(), options, &pki);
        let script = folder.path().join("serve.py");
        write_with_mode(&script, include_str!("acme2certifier.py"), 0o644);

        let ports = [port, dns.port(), http_port].map(|port| port.to_string());
        let arguments: Vec<_> =
            std::iter::once(script.as_os_str()).chain(ports.iter().map(|port| OsStr::new(port.as_str()))).collect();
        let mut environment = vec![
            ("ACME_SRV_CONFIGFILE", config.to_str().unwrap().to_owned()),
            // What is on loopback is not behind the machine's proxies.
            ("NO_PROXY", "*".to_owned()),
            ("no_proxy", "*".to_owned()),
            ("PYTHONUNBUFFERED", "1".to_owned()),
        ];
        if options.validates_without_looking {
            environment.push(("ACME2CERTIFIER_I_KNOW_THE_RISK", "1".to_owned()));
        }
        let log = folder.path().join("acme2certifier.log");
        let mut acme = Server::start(
            "acme2certifier",
            &of_venv("acme2certifier", "python", "CERTKIT_TEST_ACME2CERTIFIER_PYTHON"),
            &arguments,
            &environment,
            &log,
        );
        // Python takes a while to read all of it. waitress ends when its port is taken.
        let up = acme.wait_for_log("Serving on", Duration::from_secs(60))
            && wait_for_port(port, Duration::from_secs(10))
            && dns.is_up();
        if !up || acme.ended().is_some() {
            return Err(format!("{}{}", dns.log(), acme.log()));
        }
        Ok(Self { acme, dns, folder, root: pki.root_pem(), port, http_port })
    }

    /// The URL of its ACME directory.
    pub fn directory_url(&self) -> String {
        format!("http://127.0.0.1:{}/directory", self.port)
    }

    /// The port to which http-01 validations connect.
    pub fn http_port(&self) -> u16 {
        self.http_port
    }

    /// The root (PEM) of the chains that it issues.
    pub fn issuing_root(&self) -> String {
        self.root.clone()
    }

    /// The CRL (PEM) of its intermediate, once a certificate was revoked. Its nextUpdate equals its thisUpdate.
    pub fn revocation_list(&self) -> Option<String> {
        std::fs::read_to_string(self.folder.path().join("crl.pem")).ok()
    }

    /// The URL of its DNS's management interface, for hooks that set TXT records.
    pub fn dns_management_url(&self) -> String {
        self.dns.management_url()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.acme.log()
    }
}

/// acme_srv.cfg, and the files that it names.
fn write_config(folder: &Path, options: &Acme2CertifierOptions, pki: &Pki) -> PathBuf {
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    write_with_mode(&folder.join("ca-key.pem"), &pki.intermediate_key_pem(), 0o600);
    write_with_mode(&folder.join("ca.pem"), &pki.intermediate_pem(), 0o644);
    std::fs::create_dir(folder.join("issued")).unwrap();

    let mut text = String::new();
    let mut section = |name: &str, members: &[(&str, String)]| {
        let _ = writeln!(text, "[{name}]");
        for (key, value) in members {
            let _ = writeln!(text, "{key}: {value}");
        }
    };
    section("DEFAULT", &[("debug", "True".into())]);
    section("DBhandler", &[("handler", "wsgi".into()), ("dbfile", file("acme.db"))]);
    let lifetime = options.certificate_lifetime_days.to_string();
    section(
        "CAhandler",
        &[
            ("handler_module", "acme2certifier.cahandlers.openssl_ca_handler".into()),
            ("issuing_ca_key", file("ca-key.pem")),
            ("issuing_ca_cert", file("ca.pem")),
            ("issuing_ca_crl", file("crl.pem")),
            ("cert_save_path", file("issued")),
            ("cert_validity_days", lifetime),
        ],
    );
    let looks_away = options.validates_without_looking.to_string();
    section(
        "Challenge",
        &[("challenge_validation_disable", looks_away), ("dns_server_list", "[\"127.0.0.1\"]".into())],
    );
    // Ten minutes where nothing is said: tests do not wait so long for an order.
    let mut order = vec![("retry_after_timeout", "1".to_owned())];
    if !options.profiles.is_empty() {
        order.push(("profiles", object(&options.profiles).to_string()));
    }
    section("Order", &order);
    match &options.renewal_window {
        None => section("Renewalinfo", &[("renewalinfo_disable", "True".into())]),
        Some(window) => {
            let mut members = vec![
                ("renewalthreshold_pctg", window.begins_after_percent.to_string()),
                ("retry_after_timeout", window.retry_after.as_secs().to_string()),
            ];
            if let Some(length) = window.length {
                members.push(("renewal_window_duration", length.as_secs().to_string()));
            }
            section("Renewalinfo", &members);
        }
    }
    if !options.external_accounts.is_empty() {
        write_with_mode(&folder.join("accounts.json"), &object(&options.external_accounts).to_string(), 0o600);
        let module = "acme2certifier.eabhandlers.json_handler";
        section("EABhandler", &[("eab_handler_module", module.into()), ("key_file", file("accounts.json"))]);
    }
    let path = folder.join("acme_srv.cfg");
    write_with_mode(&path, &text, 0o644);
    path
}

fn object(pairs: &[(String, String)]) -> Value {
    pairs.iter().map(|(name, value)| (name.clone(), json!(value))).collect::<Map<_, _>>().into()
}
