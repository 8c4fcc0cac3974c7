//! A set-up on which nothing is wrong, as complete as it can be on loopback: a CA that offers all that a client can use,
//! an account there, name servers, a web server with the webroot on port 80's place, a certificate with hooks, deploy
//! targets, pinned key and endpoint, and one that is validated by DNS.

use std::any::Any;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use certkit_acme::accounts::{open_account, register_and_save};
use certkit_acme::command::CommandSettings;
use certkit_acme::dns::ResolverSettings;
use certkit_acme::doctor::{HttpCheckSettings, Machine};
use certkit_acme::protocol::{Authority, NewAccount};
use certkit_acme::renewal::{Reach, Renewer, Request};
use certkit_acme::transport::{Transport, TransportSettings};
use certkit_core::state::{Ledger, LineageState, OrderScope};
use certkit_core::store::StoredAccount;
use certkit_core::{AcmeUrl, Certificate, Endpoint, FindingCode, LineageName, Severity};
use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use testkit::{Data, FaultProxy, LineageBuilder, NameServer, NginxBlocks, Pebble, PebbleOptions};
use tokio::runtime::Runtime;

use super::super::host::Host;
use super::fault::Look;
use crate::support::Run;

pub(super) const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// The certificate that faults are made with.
pub(super) const NAME: &str = "a.example";
/// The one that is validated by DNS.
const BY_DNS: &str = "w.a.example";

/// Port 80 as it should be at 127.0.0.9, and what else is found there, an address each.
const BLOCKS: &str = "
    server { listen 127.0.0.9:{port}; root {webroot}; }
    server { listen 127.0.0.10:{port}; return 301 http://www.a.example$request_uri; }
    server { listen 127.0.0.11:{port}; return 302 http://www.a.example:8080/; }
    server { listen 127.0.0.12:{port}; return 302 http://gone.a.example$request_uri; }
    server { listen 127.0.0.13:{port}; return 200 welcome; }
    server { listen 127.0.0.14:{port}; root /nonexistent; }
    server { listen [::1]:{port}; root /nonexistent; }";

/// What all set-ups share: nothing that a fault changes.
pub(super) struct Servers {
    pebble: Pebble,
    pub(super) web: NginxBlocks,
    runtime: Runtime,
}

/// A set-up.
pub(super) struct Sound<'s> {
    pub(super) host: Host,
    pub(super) servers: &'s Servers,
    pub(super) proxy: FaultProxy,
    pub(super) names: NameServer,
    pub(super) account: StoredAccount,
    /// What stands before the program's own command line when it is asked.
    pub(super) around: Vec<String>,
    /// What a fault needs for as long as it is looked at.
    pub(super) kept: Vec<Box<dyn Any>>,
}

/// What is said.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) code: FindingCode,
    pub(super) severity: Severity,
    /// What was seen, and where.
    pub(super) text: String,
    pub(super) cure: String,
    pub(super) certificates: Vec<String>,
}

impl Servers {
    pub(super) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Self { pebble: Pebble::start(PebbleOptions::default()), web: NginxBlocks::start(BLOCKS), runtime }
    }
}

impl<'s> Sound<'s> {
    pub(super) fn new(servers: &'s Servers) -> Self {
        let host = Host::new();
        let proxy = FaultProxy::start(&servers.pebble);
        proxy.offer_renewal_info();
        proxy.offer_profiles(&[("classic", "as ever")]);
        proxy.set_in_directory("/meta/caaIdentities", json!(["ca.example"]));
        let account = servers.runtime.block_on(register(&host, &proxy));
        let sound = Self { host, servers, proxy, names: NameServer::start(4), account, around: vec![], kept: vec![] };
        sound.write_certificate(|lineage| lineage);
        let by_dns =
            sound.host.place.tree.lineage(BY_DNS).names(["*.w.a.example"]).server(&sound.proxy.directory_url());
        by_dns.account(&sound.account.id).manual("/bin/true", "/bin/true").param("pref_challs", "dns-01,").write();
        sound.fill_names();
        sound.host.unit("web.service", "LoadState=loaded\nActiveState=active\nCanReload=yes\nUser=\n");
        sound.host.script("etc/renewal-hooks/deploy/10-good", "#!/bin/sh\nexit 0\n", 0o755);
        fs::create_dir(sound.host.at("tls")).unwrap();
        sound.targets("");
        sound.remember(|_| ());
        sound
    }

    /// Writes the certificate anew, otherwise than it should be.
    pub(super) fn write_certificate(&self, change: impl FnOnce(LineageBuilder<'_>) -> LineageBuilder<'_>) {
        for folder in ["live", "archive"] {
            let _ = fs::remove_dir_all(self.host.at(&format!("etc/{folder}/{NAME}")));
        }
        let lineage = self.host.place.tree.lineage(NAME).names([NAME, "www.a.example"]);
        let lineage = lineage.server(&self.proxy.directory_url()).account(&self.account.id);
        let lineage = lineage.webroot(self.servers.web.webroot()).param("preferred_profile", "classic");
        change(lineage.param("reuse_key", "True").deploy_hook("true")).write();
        // The pin is the owner's business and goes with the key.
        let pinned = "_443._tcp.www.a.example";
        self.names.remove(pinned);
        let pem = fs::read(self.host.at(&format!("etc/live/{NAME}/cert.pem"))).unwrap();
        let pin = Certificate::from_pem(&pem).unwrap().spki_sha256().to_vec();
        self.names.add(pinned, Data::Tlsa(3, 1, 1, pin));
    }

    fn fill_names(&self) {
        self.names.add_zone("example", &["127.0.0.2"]);
        self.names.add_zone("a.example", &["127.0.0.3", "127.0.0.4"]);
        for name in [NAME, "www.a.example"] {
            self.names.add(name, Data::A("127.0.0.9"));
        }
        self.names.add(NAME, Data::Caa(0, "issue", "ca.example".into()));
    }

    /// The name www.a.example leads to another address.
    pub(super) fn lead_to(&self, address: &'static str) {
        self.names.remove("www.a.example");
        self.names.add("www.a.example", Data::A(address));
    }

    /// The settings of the certificate, with more than is sound.
    pub(super) fn targets(&self, more: &str) {
        let copy = self.host.at("tls");
        self.host.settings(&format!(
            "[[deploy]]\ncopy = \"{}\"\n\n[[deploy]]\nreload = \"web.service\"\n\n{more}",
            copy.display()
        ));
    }

    /// The memory of the certificate: it is served where it counts, and what `change` makes of it.
    pub(super) fn remember(&self, change: impl FnOnce(&mut Value)) {
        let mut memory = json!({ "served": [{
            "endpoint": Endpoint::new(NAME, 443),
            "checked_at": Utc::now(),
            "has_served_ours": true,
            "answers": [{ "address": "192.0.2.7:443", "leaf": { "kind": "same" } }],
        }] });
        change(&mut memory);
        let state: LineageState = serde_json::from_value(memory).unwrap();
        self.host.store().lock().unwrap().save_state(&LineageName::new(NAME).unwrap(), &state).unwrap();
    }

    /// The certificate in use.
    pub(super) fn certificate(&self) -> Certificate {
        let pem = fs::read(self.host.at(&format!("etc/live/{NAME}/cert.pem"))).unwrap();
        Certificate::from_pem(&pem).unwrap()
    }

    /// Past orders, for the same names and from the CA of the conf.
    pub(super) fn ledger(&self, change: impl FnOnce(&mut Ledger, &OrderScope)) {
        let identifiers = self.certificate().identifiers().unwrap();
        let directory = AcmeUrl::parse(LETS_ENCRYPT).unwrap();
        let scope = OrderScope::new(directory, "id", identifiers, vec![NAME.to_owned()]);
        let mut ledger = Ledger::default();
        ledger.run_began(Utc::now() - TimeDelta::hours(3));
        change(&mut ledger, &scope);
        self.host.store().lock().unwrap().save_ledger(&ledger).unwrap();
    }

    pub(super) fn deactivate_account(&self) {
        self.servers.runtime.block_on(async {
            let authority = authority(&self.proxy).await;
            open_account(&authority, &self.account).unwrap().deactivate().await.unwrap();
        });
    }

    /// A file or folder in the tree of the store.
    pub(super) fn in_store(&self, path: &str) -> PathBuf {
        self.host.at("etc").join(path)
    }

    /// What the doctor says.
    pub(super) fn look(&self, look: Look) -> Vec<Told> {
        match look {
            Look::Everywhere => self.examine(Reach::Network),
            Look::Here => self.examine(Reach::Machine),
            Look::Program => self.ask_program(),
        }
    }

    fn examine(&self, reach: Reach) -> Vec<Told> {
        let mut resolver = ResolverSettings::with_servers(vec![self.names.resolver()]);
        (resolver.authoritative_port, resolver.patience) = (self.names.port(), Duration::from_millis(700));
        let mut http = HttpCheckSettings::default();
        (http.http_port, http.https_port) = (self.servers.web.port(), self.servers.web.tls_port());
        let renewer = Renewer::builder(self.host.store()).transport(transport(&self.proxy)).resolver(resolver);
        let renewer = renewer.http_check(http).build().unwrap();
        let path = std::env::join_paths([self.host.at("bin"), "/usr/bin".into(), "/bin".into()]).unwrap();
        let mut commands = CommandSettings::new();
        commands.environment.push(("PATH".into(), path.clone()));
        let machine = Machine::new(&commands).rooted_at(self.host.at("root")).with_path(Some(path));
        let found = self.servers.runtime.block_on(async move {
            // Host programs spawn what they run.
            let look = async move { renewer.examine(&Request::renew(), &machine, reach).await };
            tokio::spawn(look).await.unwrap().unwrap()
        });
        if found.problems().is_empty() {
            assert_eq!(found.not_checked(), [], "in a sound set-up everything can be looked at");
        }
        let told = |problem: certkit_acme::renewal::ExaminedProblem| Told {
            code: problem.finding.code,
            severity: problem.finding.severity,
            text: format!("{} {}", problem.finding.what(), problem.subjects.join(" ")),
            cure: problem.cure(),
            certificates: problem.certificates,
        };
        found.problems().into_iter().map(told).collect()
    }

    fn ask_program(&self) -> Vec<Told> {
        let inner = self.host.command(&["--json"]);
        let mut line: Vec<_> = self.around.iter().map(Into::into).collect();
        line.push(inner.get_program().to_owned());
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).args(inner.get_args()).env_clear().stdin(Stdio::null());
        command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let run = Run::of(command.output().expect("unshare or setpriv is missing: install util-linux"));
        testkit::process::assert_mounts_permitted(run.status, run.stderr.as_bytes());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let texts = |value: &Value| value.as_array().unwrap().iter().map(text).collect::<Vec<_>>();
        let told = |problem: &Value| Told {
            code: serde_json::from_value(problem["code"].clone()).unwrap(),
            severity: serde_json::from_value(problem["severity"].clone()).unwrap(),
            text: format!(
                "{} {} {}",
                text(&problem["what"]),
                text(&problem["evidence"]),
                texts(&problem["subjects"]).join(" ")
            ),
            cure: text(&problem["cure"]),
            certificates: texts(&problem["certificates"]),
        };
        run.json()["problems"].as_array().unwrap().iter().map(told).collect()
    }
}

fn transport(proxy: &FaultProxy) -> TransportSettings {
    let mut settings = TransportSettings::new();
    settings.ca_bundles = vec![proxy.ca_bundle()];
    // What is asked beyond loopback is asked of a proxy that is not there: nothing leaves this machine.
    settings.https_proxy = Some("http://127.0.0.1:9".into());
    settings.http_proxy.clone_from(&settings.https_proxy);
    settings.no_proxy = Some("127.0.0.1".into());
    settings
}

async fn authority(proxy: &FaultProxy) -> Authority {
    let transport = Transport::new(&transport(proxy)).unwrap();
    Authority::connect(transport, &AcmeUrl::parse(&proxy.directory_url()).unwrap()).await.unwrap()
}

async fn register(host: &Host, proxy: &FaultProxy) -> StoredAccount {
    let authority = authority(proxy).await;
    let store = host.store().lock().unwrap();
    let new = NewAccount::new(Vec::new(), true);
    register_and_save(&store, &authority, &new, None, Utc::now(), "host").await.unwrap().stored
}
