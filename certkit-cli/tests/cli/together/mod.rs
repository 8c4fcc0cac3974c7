//! Several runs at once on one tree, certbot's among them: each does its work or says who is at work, nothing is lost, and
//! who reads meanwhile sees every certificate whole.

mod killed;
mod readers;
mod turns;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use testkit::{Certbot, Pebble, PebbleOptions};

use crate::support::{Place, Run};

/// Far above what waiting for one's turn takes; against hanging for ever.
const PATIENCE: Duration = Duration::from_secs(240);

/// A tree of certbot's, with its account.
struct Shared {
    ca: Pebble,
    place: Place,
    certbot: Certbot,
    account: String,
}

/// What somebody who had to take turns met with.
struct Turn {
    /// How the run that was not refused ended.
    run: Run,
    /// How often another run was at work.
    refused: usize,
}

impl Shared {
    fn new() -> Self {
        let (ca, place) = (Pebble::start(PebbleOptions::default()), Place::new());
        let mut certbot = Certbot::new(place.tree.config_dir(), &ca.directory_url(), &ca.ca_bundle());
        certbot.work_dir = place.folder().join("work");
        certbot.logs_dir = place.folder().join("log");
        let account = certbot.register();
        Self { ca, place, certbot, account }
    }

    fn due(&self, name: &str) {
        let lineage = self.place.tree.lineage(name).days_left(5).server(&self.ca.directory_url());
        lineage.account(&self.account).standalone(self.ca.http_port()).write();
    }

    fn certkit(&self, arguments: &[&str]) -> Run {
        Run::of(self.certkit_command(arguments).output().unwrap())
    }

    fn certkit_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.command(arguments);
        command.arg("-n").env("SSL_CERT_FILE", self.ca.ca_bundle());
        if matches!(arguments[0], "renew" | "certonly") {
            command.args(["--no-random-sleep-on-renew", "--no-probe"]);
        }
        command
    }

    /// certkit, tried again for as long as another run is at work.
    fn certkit_in_turn(&self, arguments: &[&str]) -> Turn {
        self.in_turn(Duration::from_millis(100), || {
            let run = self.certkit(arguments);
            let is_refused = run.status == Some(1)
                && (run.stderr.contains("is already running")
                    || run.stderr.contains("was not there when this run began"));
            // Where the lock is, and what to do; who holds it is told as soon as that is written there.
            let says_enough = ["another instance of certkit or certbot", "holds /", "what to do: wait until"];
            let is_locked_out = is_refused && run.stderr.contains("is already running");
            assert!(!is_locked_out || says_enough.iter().all(|part| run.stderr.contains(part)), "{}", run.stderr);
            (run, is_refused)
        })
    }

    fn certbot_in_turn(&self, arguments: &[&str]) -> Turn {
        // Starting it costs far more.
        self.in_turn(Duration::from_millis(200), || {
            let run = Run::of(self.certbot.run(arguments));
            let is_refused =
                run.status == Some(1) && run.stderr.contains("Another instance of Certbot is already running");
            (run, is_refused)
        })
    }

    fn in_turn(&self, pause: Duration, run: impl Fn() -> (Run, bool)) -> Turn {
        let began = Instant::now();
        let mut refused = 0;
        loop {
            let (run, is_refused) = run();
            if !is_refused {
                return Turn { run, refused };
            }
            refused += 1;
            assert!(began.elapsed() < PATIENCE, "its turn never came: {run:?}");
            thread::sleep(pause);
        }
    }

    /// New certificate, by the program's own responder.
    fn certonly<'a>(&self, port: &'a str, names: &'a str) -> [&'a str; 6] {
        ["certonly", "--standalone", "--http-01-port", port, "-d", names]
    }

    fn port(&self) -> String {
        self.ca.http_port().to_string()
    }

    fn obtain(&self, names: &str) -> Turn {
        let (port, server) = (self.port(), self.ca.directory_url());
        let mut arguments = self.certonly(&port, names).to_vec();
        arguments.extend(["--server", &server]);
        self.certkit_in_turn(&arguments)
    }

    /// What is in `live/`, looked at without certkit: all four links lead to the newest version.
    fn assert_whole(&self, name: &str, version: u32) {
        let live = self.place.tree.config_dir().join("live").join(name);
        for kind in ["cert", "privkey", "chain", "fullchain"] {
            let target = fs::read_link(live.join(format!("{kind}.pem"))).unwrap();
            let expected = format!("../../archive/{name}/{kind}{version}.pem");
            assert_eq!(target, Path::new(&expected), "{name}");
        }
        let archive = self.place.tree.config_dir().join("archive").join(name);
        assert_eq!(fs::read_dir(&archive).unwrap().count(), 4 * version as usize, "{name}");
        let conf = fs::read_to_string(self.place.tree.config_dir().join(format!("renewal/{name}.conf"))).unwrap();
        assert!(conf.contains("[renewalparams]") && conf.contains(&format!("account = {}", self.account)), "{conf}");
        let listed = self.certkit(&["certificates", "--json", "--cert-name", name]).ends_with(0).json();
        assert_eq!(
            (&listed["lineages"][0]["status"], &listed["lineages"][0]["version"]),
            (&"valid".into(), &version.into())
        );
        let key = fs::metadata(live.join("privkey.pem")).unwrap();
        assert_eq!(key.permissions().mode() & 0o077, 0);
    }

    /// Nothing is left of all that.
    fn assert_settled(&self, lineages: usize) {
        let document = self.certkit(&["certificates", "--json"]).ends_with(0).json();
        assert_eq!(document["problems"].as_array().unwrap().len(), 0, "{document}");
        assert_eq!(document["lineages"].as_array().unwrap().len(), lineages, "{document}");
        self.place.run(&["fsck"]).ends_with(0);
        let listed = self.certbot.succeed(&["certificates"]);
        assert_eq!(listed.matches("Certificate Name: ").count(), lineages, "{listed}");
        assert!(!listed.contains("invalid") && !listed.contains("could not be parsed"), "{listed}");
        for folder in ["etc", "work", "log"] {
            assert!(!self.place.folder().join(folder).join(".certbot.lock").exists(), "{folder}");
        }
    }
}
