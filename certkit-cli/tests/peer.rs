//! certbot from PyPI as the peer: what one writes, the other lists and renews.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use testkit::{AccountKeyKind, Certbot, Pebble, PebbleOptions, Tree};

struct Both {
    pebble: Pebble,
    tree: Tree,
    certbot: Certbot,
    _folder: tempfile::TempDir,
}

impl Both {
    fn new() -> Self {
        let pebble = Pebble::start(PebbleOptions::default());
        let folder = tempfile::tempdir().unwrap();
        let tree = Tree::new(folder.path().join("le"), testkit::now());
        let certbot = Certbot::new(tree.config_dir(), &pebble.directory_url(), &pebble.ca_bundle());
        Self { pebble, tree, certbot, _folder: folder }
    }

    fn certkit(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_certkit"))
            .args(arguments)
            .arg("--config-dir")
            .arg(&self.certbot.config_dir)
            .arg("--work-dir")
            .arg(&self.certbot.work_dir)
            .arg("--logs-dir")
            .arg(&self.certbot.logs_dir)
            .arg("--ca-bundle")
            .arg(self.pebble.ca_bundle())
            .args(["--non-interactive", "--no-random-sleep-on-renew"])
            .env("HOME", &self.certbot.config_dir)
            .env_remove("XDG_CONFIG_HOME")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.certkit(arguments);
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "certkit {arguments:?}: {}\n{stdout}\n{stderr}", output.status);
        stdout.into_owned()
    }

    fn version_of(&self, name: &str) -> u64 {
        let listed: serde_json::Value = serde_json::from_str(&self.succeed(&["certificates", "--json"])).unwrap();
        let lineages = listed["lineages"].as_array().unwrap();
        let lineage = lineages.iter().find(|lineage| lineage["name"] == name).unwrap_or_else(|| panic!("{listed}"));
        assert_eq!(lineage["status"], "valid", "{lineage}");
        lineage["version"].as_u64().unwrap()
    }

    fn port(&self) -> String {
        self.pebble.http_port().to_string()
    }
}

/// certbot's listing with what differs between two programs left out.
fn lines_of(listing: &str) -> Vec<&str> {
    listing.lines().map(str::trim_end).filter(|line| line.starts_with("  ")).collect()
}

#[test]
fn a_lineage_that_certbot_made_goes_back_and_forth() {
    let both = Both::new();
    let port = both.port();
    both.certbot.register();
    both.certbot.succeed(&[
        "certonly",
        "--standalone",
        "--http-01-port",
        &port,
        "-d",
        "a.example.com",
        "-d",
        "www.a.example.com",
    ]);
    both.certbot.succeed(&[
        "certonly",
        "--standalone",
        "--http-01-port",
        &port,
        "--key-type",
        "rsa",
        "-d",
        "r.example.com",
    ]);
    assert_eq!(both.version_of("a.example.com"), 1);
    // Both list the same.
    let theirs = both.certbot.succeed(&["certificates"]);
    let ours = both.succeed(&["certificates"]);
    assert_eq!(lines_of(&ours), lines_of(&theirs));
    // We renew; they list and renew; we list and renew.
    let summary = both.succeed(&["renew", "--force-renewal"]);
    assert!(summary.contains("Congratulations, all renewals succeeded"), "{summary}");
    assert_eq!((both.version_of("a.example.com"), both.version_of("r.example.com")), (2, 2));
    assert_eq!(lines_of(&both.succeed(&["certificates"])), lines_of(&both.certbot.succeed(&["certificates"])));
    both.certbot.succeed(&["renew", "--force-renewal", "--no-random-sleep-on-renew"]);
    assert_eq!((both.version_of("a.example.com"), both.version_of("r.example.com")), (3, 3));
    both.succeed(&["renew", "--force-renewal", "--cert-name", "a.example.com"]);
    assert_eq!((both.version_of("a.example.com"), both.version_of("r.example.com")), (4, 3));
    assert!(both.certbot.succeed(&["certificates"]).contains("VALID"));
}

#[test]
fn a_lineage_and_an_account_that_certkit_made_are_used_by_certbot() {
    let both = Both::new();
    let port = both.port();
    let server = both.pebble.directory_url();
    both.succeed(&["register", "--agree-tos", "-m", "owner@example.com", "--server", &server]);
    both.succeed(&[
        "certonly",
        "--standalone",
        "--http-01-port",
        &port,
        "-d",
        "k.example.com,www.k.example.com",
        "--server",
        &server,
    ]);
    assert_eq!(both.version_of("k.example.com"), 1);
    assert_eq!(lines_of(&both.succeed(&["certificates"])), lines_of(&both.certbot.succeed(&["certificates"])));
    let account = both.certbot.succeed(&["show_account"]);
    assert!(account.contains("owner@example.com"), "{account}");
    both.certbot.succeed(&["renew", "--force-renewal", "--no-random-sleep-on-renew"]);
    assert_eq!(both.version_of("k.example.com"), 2);
    both.succeed(&["renew", "--force-renewal"]);
    assert_eq!(both.version_of("k.example.com"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_with_an_ec_key_serves_both() {
    use certkit_acme::protocol::{AccountKey, Authority, NewAccount};
    use certkit_acme::transport::{Transport, TransportSettings};
    let both = Both::new();
    let port = both.port();
    let server = both.pebble.directory_url();
    let stored = both.tree.account(&server, AccountKeyKind::EcP256);
    let jwk = std::fs::read_to_string(stored.path.join("private_key.json")).unwrap();
    let mut settings = TransportSettings::new();
    settings.ca_bundles.push(both.pebble.ca_bundle());
    let authority = Authority::connect(Transport::new(&settings).unwrap(), &server.parse_url()).await.unwrap();
    let new = NewAccount::new(Vec::new(), true);
    let registered = authority.register(AccountKey::from_jwk(&jwk).unwrap(), &new, None).await.unwrap();
    write_uri(&stored.path, registered.account.url().as_str());
    both.succeed(&["certonly", "--standalone", "--http-01-port", &port, "-d", "e.example.com", "--server", &server]);
    both.certbot.succeed(&["renew", "--force-renewal", "--no-random-sleep-on-renew"]);
    both.succeed(&["renew", "--force-renewal"]);
    assert_eq!(both.version_of("e.example.com"), 3);
}

#[test]
fn an_account_that_got_a_new_key_is_certbots_still() {
    let both = Both::new();
    let port = both.port();
    let server = both.pebble.directory_url();
    let old = both.certbot.register();
    both.certbot.succeed(&["certonly", "--standalone", "--http-01-port", &port, "-d", "a.example.com"]);
    let line = |text: &str, label: &str| text.lines().find(|line| line.contains(label)).unwrap().trim().to_owned();
    let before = both.certbot.succeed(&["show_account"]);
    both.succeed(&["update_account", "--new-key", "--server", &server]);
    let ids = both.tree.account_ids(&server);
    assert_eq!(ids.len(), 1);
    assert_ne!(ids[0], old);
    let conf = std::fs::read_to_string(both.tree.config_dir().join("renewal/a.example.com.conf")).unwrap();
    assert!(conf.contains(&format!("account = {}\n", ids[0])) && !conf.contains(&old), "{conf}");
    let after = both.certbot.succeed(&["show_account"]);
    assert_eq!(line(&after, "Account URL"), line(&before, "Account URL"));
    assert_ne!(line(&after, "Account Thumbprint"), line(&before, "Account Thumbprint"));
    both.certbot.succeed(&["renew", "--force-renewal", "--no-random-sleep-on-renew"]);
    assert_eq!(both.version_of("a.example.com"), 2);
    let conf = std::fs::read_to_string(both.tree.config_dir().join("renewal/a.example.com.conf")).unwrap();
    assert!(conf.contains(&format!("account = {}\n", ids[0])), "{conf}");
    both.succeed(&["renew", "--force-renewal"]);
    assert_eq!(both.version_of("a.example.com"), 3);
    both.certbot.succeed(&["unregister"]);
    assert!(both.tree.account_ids(&server).is_empty());
}

#[test]
fn certbot_and_certkit_never_work_at_the_same_time() {
    let both = Both::new();
    both.certbot.register();
    let held = certkit_core::store::Store::open(certkit_core::store::StorePaths::new(
        both.certbot.config_dir.clone(),
        both.certbot.work_dir.clone(),
        both.certbot.logs_dir.clone(),
    ))
    .unwrap()
    .lock()
    .unwrap();
    let theirs = both.certbot.run(&["renew"]);
    assert!(!theirs.status.success());
    assert!(String::from_utf8_lossy(&theirs.stderr).contains("Another instance"), "{theirs:?}");
    let ours = both.certkit(&["renew"]);
    assert_eq!(ours.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ours.stderr).contains("already running"), "{ours:?}");
    // Listing needs no lock.
    both.succeed(&["certificates"]);
    drop(held);
    both.succeed(&["renew"]);
}

fn write_uri(account: &Path, uri: &str) {
    let file = account.join("regr.json");
    let mut content: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    content["uri"] = uri.into();
    std::fs::write(file, content.to_string()).unwrap();
}

trait ParseUrl {
    fn parse_url(&self) -> certkit_core::AcmeUrl;
}

impl ParseUrl for String {
    fn parse_url(&self) -> certkit_core::AcmeUrl {
        certkit_core::AcmeUrl::parse(self).unwrap()
    }
}
