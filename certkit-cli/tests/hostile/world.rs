//! A machine with one certificate, and everything on it that a run must leave alone.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use testkit::{AccountKeyKind, HostileCa, Tree};

use crate::case::{Case, First, Setup};

/// The certificate's name; it is also for www.
pub(crate) const NAME: &str = "a.example.com";
/// A file of this name is what a shell would make of what the CAs say.
pub(crate) const CANARY: &str = "canary";

/// Where libfaketime reads how fast the clock is.
pub(crate) const CLOCK: &str = "out/clock";
/// How fast. What is done meanwhile has only a fifteenth of its time: more would be too little for a busy machine.
const HURRY: u32 = 15;

/// The folders that a run may write to as it likes: certkit's own, logs, locks, and what the test itself keeps.
const OWN: [&str; 4] = ["etc/certkit", "log", "work", "out"];

/// From now on the clock that is read there is faster.
pub(crate) fn hurry(clock: &Path) {
    fs::write(clock, format!("+0 x{HURRY}")).unwrap();
}

pub(crate) struct World {
    folder: tempfile::TempDir,
    pub(crate) ca: HostileCa,
    /// The other end of the run's standard input, where that is a terminal.
    terminal: Mutex<Option<OwnedFd>>,
}

impl World {
    pub(crate) fn new(case: &Case) -> Self {
        let folder = tempfile::Builder::new().prefix("certkit-hostile-").tempdir().unwrap();
        for name in ["www", "out", "here"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let (clock, deviation, hurries) = (folder.path().join(CLOCK), case.deviation.clone(), case.hurries);
        fs::write(&clock, "+0").unwrap();
        let ca = HostileCa::start(Arc::new(move |asked, reply| {
            if Some(asked.kind) == hurries {
                hurry(&clock);
            }
            deviation(asked, reply);
        }));
        let world = Self { folder, ca, terminal: Mutex::default() };
        world.lay(&case.setup);
        world
    }

    fn lay(&self, setup: &Setup) {
        let tree = Tree::new(self.path("etc"), testkit::now());
        let server = self.ca.directory_url();
        if let Some(first) = &setup.first {
            // Somebody else's, to be left alone.
            tree.lineage("b.example.com").server("https://127.0.0.1:9/dir").write();
            if *first == First::WithAccount {
                tree.account_with_url(&server, AccountKeyKind::EcP256, &self.ca.account_url());
            }
            return;
        }
        let account = tree.account_with_url(&server, AccountKeyKind::EcP256, &self.ca.account_url());
        let mut lineage = tree.lineage(NAME).names([NAME, "www.a.example.com"]).days_left(setup.days_left);
        lineage = lineage.server(&server).account(&account.id).deploy_hook(&self.note("RENEWED_DOMAINS", "deployed"));
        lineage = match setup.hooks_answer {
            None => lineage.webroot(self.path("www")),
            Some(kind) => {
                let (auth, cleanup) = (self.note("CERTBOT_TOKEN", "out/tokens"), "true".to_owned());
                lineage.manual(&auth, &cleanup).param("pref_challs", &format!("{kind},"))
            }
        };
        if let Some((key, value)) = setup.parameter {
            lineage = lineage.param(key, value);
        }
        lineage.write();
    }

    /// A hook that appends a variable to a file.
    fn note(&self, variable: &str, file: &str) -> String {
        format!("printf '%s\\n' \"${variable}\" >> {}", self.path(file).display())
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// The renewal run of a cron line, or what somebody types for a first certificate, with nothing from the outside.
    pub(crate) fn command(&self, case: &Case) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_certkit"));
        command.stdin(Stdio::null());
        match &case.setup.first {
            None => drop(command.args(["renew", "-n", "--no-random-sleep-on-renew"])),
            Some(first) => self.certonly(&mut command, first, case.setup.hooks_answer),
        }
        command
            .args(["--no-probe", "--config-dir"])
            .arg(self.path("etc"))
            .arg("--work-dir")
            .arg(self.path("work"))
            .arg("--logs-dir")
            .arg(self.path("log"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .current_dir(self.path("here"))
            .stdout(fs::File::create(self.path("out/stdout")).unwrap())
            .stderr(fs::File::create(self.path("out/stderr")).unwrap());
        if case.setup.trusts {
            command.env("SSL_CERT_FILE", self.ca.ca_bundle());
        }
        if case.hurries.is_some() {
            command.env("LD_PRELOAD", testkit::process::libfaketime());
            command.env("FAKETIME_TIMESTAMP_FILE", self.path(CLOCK)).env("FAKETIME_NO_CACHE", "1");
        }
        command
    }

    fn certonly(&self, command: &mut Command, first: &First, hooks_answer: Option<&str>) {
        command.args(["certonly", "-d", NAME, "-d", "www.a.example.com", "--server", &self.ca.directory_url()]);
        command.args(["--deploy-hook", &self.note("RENEWED_DOMAINS", "deployed")]);
        match hooks_answer {
            None => drop(command.args(["--webroot", "-w"]).arg(self.path("www"))),
            Some(kind) => {
                let auth = self.note("CERTBOT_TOKEN", "out/tokens");
                command.args(["--manual", "--preferred-challenges", kind, "--manual-auth-hook", &auth]);
                command.args(["--manual-cleanup-hook", "true"]);
            }
        }
        match first {
            First::WithAccount | First::Unattended => drop(command.arg("-n")),
            First::Agreed => drop(command.args(["-n", "--agree-tos", "--register-unsafely-without-email"])),
            First::Typed(line) => {
                let terminal = nix::pty::openpty(None, None).unwrap();
                fs::File::from(terminal.master.try_clone().unwrap()).write_all(line.as_bytes()).unwrap();
                // What was typed waits there for as long as the other end is open.
                self.terminal.lock().unwrap().replace(terminal.master);
                command.arg("--register-unsafely-without-email").stdin(terminal.slave);
            }
        }
    }

    /// Everything outside certkit's own folders, with what tells whether it was changed.
    pub(crate) fn snapshot(&self) -> BTreeMap<PathBuf, String> {
        self.files().into_iter().filter(|(path, _)| OWN.iter().all(|own| !path.starts_with(own))).collect()
    }

    /// Everything, by its path in the folder.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, String> {
        let place = |path: PathBuf| path.strip_prefix(self.folder.path()).unwrap().to_owned();
        let entries = testkit::snapshot(self.folder.path()).into_iter();
        entries.map(|(path, entry)| (place(path), format!("{:o} {}", entry.mode, entry.content))).collect()
    }

    /// What is remembered of the certificate.
    pub(crate) fn memory(&self) -> serde_json::Value {
        let file = fs::read(self.path("etc/certkit/state").join(format!("{NAME}.json"))).unwrap_or_default();
        serde_json::from_slice::<serde_json::Value>(&file).unwrap_or_default()["state"].take()
    }
}
