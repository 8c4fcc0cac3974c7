//! Secrets stay where they belong: six of them, each looked for in everything that a machine's life leaves.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::TimeDelta;
use testkit::{Pebble, PebbleOptions, Smtp, SmtpOptions, WebSink};

use crate::support::{Place, Run};

const HMAC: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
const PASSWORD: &str = "canary-of-the-mail-server";
const WEBHOOK: &str = "canary-of-the-webhook";
const HEARTBEAT: &str = "canary-of-the-heartbeat";

/// A machine on which every kind of secret is in use.
struct Machine {
    place: Place,
    ca: Pebble,
    mail: Smtp,
    web: WebSink,
    /// What every run printed.
    printed: String,
}

impl Machine {
    fn new() -> Self {
        let account = ("kid-1".to_owned(), HMAC.to_owned());
        let ca = Pebble::start(PebbleOptions { external_accounts: vec![account], ..PebbleOptions::default() });
        let login = Some(("owner".to_owned(), PASSWORD.to_owned()));
        let mail = Smtp::start(&SmtpOptions { login, tls: "starttls", ..SmtpOptions::default() });
        let (place, web) = (Place::new(), WebSink::start());
        fs::create_dir_all(place.tree.config_dir().join("certkit")).unwrap();
        fs::write(place.folder().join("webhook"), format!("{}\n", web.url(&format!("/{WEBHOOK}")))).unwrap();
        fs::write(place.folder().join("account.ini"), format!("eab-kid = kid-1\neab-hmac-key = {HMAC}\n")).unwrap();
        let settings = format!(
            "email = \"owner@example.org\"\nca_bundles = [\"{}\", \"{}\"]\n\
             [heartbeat]\nurl = \"{}\"\nstart = true\n\
             [[notify]]\nname = \"mail\"\nsmtp = \"localhost\"\nport = {}\nusername = \"owner\"\npassword_env = \"MAIL\"\n\
             [[notify]]\nname = \"chat\"\nwebhook = \"generic\"\nurl_file = \"{}\"\n",
            ca.ca_bundle().display(),
            mail.ca_bundle().display(),
            web.url(&format!("/{HEARTBEAT}")),
            mail.port(),
            place.folder().join("webhook").display(),
        );
        fs::write(place.tree.config_dir().join("certkit/settings.toml"), settings).unwrap();
        Self { place, ca, mail, web, printed: String::new() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.command(arguments);
        command.arg("-vvv").env("MAIL", PASSWORD).env("SSL_CERT_FILE", self.ca.ca_bundle());
        command
    }

    fn run(&mut self, arguments: &[&str]) -> Run {
        let run = Run::of(self.command(arguments).output().unwrap());
        self.printed += &format!("{arguments:?}\n{}{}", run.stdout, run.stderr);
        run
    }

    /// The files in which secrets are meant to be.
    fn is_their_place(path: &Path) -> bool {
        let name = path.file_name().unwrap().to_string_lossy();
        let is_key = name.starts_with("privkey") || name == "private_key.json";
        is_key || matches!(&*name, "settings.toml" | "webhook" | "account.ini")
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries
        .flat_map(|entry| match entry.file_type().unwrap() {
            kind if kind.is_dir() => files(&entry.path()),
            kind if kind.is_file() => vec![entry.path()],
            _ => Vec::new(),
        })
        .collect()
}

/// The middle of each private key: of the PEM text, and of the numbers of a JWK.
fn keys(dir: &Path) -> Vec<(String, String)> {
    let mut secrets = Vec::new();
    for path in files(dir) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap_or_default();
        if name.starts_with("privkey") {
            secrets.extend(text.lines().filter(|line| line.len() == 64).map(|line| (name.clone(), line.to_owned())));
        } else if name == "private_key.json" {
            let jwk: serde_json::Value = serde_json::from_str(&text).unwrap();
            let numbers = ["d", "p", "q", "dp", "dq", "qi"].into_iter().filter_map(|member| jwk[member].as_str());
            secrets.extend(numbers.map(|number| (name.clone(), number.to_owned())));
        }
    }
    secrets
}

#[test]
fn six_secrets_are_in_no_output_log_record_page_hook_or_message() {
    let mut machine = Machine::new();
    let server = machine.ca.directory_url();
    let account = machine.place.folder().join("account.ini").display().to_string();
    let dump = machine.place.folder().join("hook-saw");
    let hook = format!("sh -c 'env; cat /proc/$$/cmdline /proc/$PPID/cmdline' >> {}", dump.display());
    let port = machine.ca.http_port().to_string();
    let words = ["register", "-n", "--agree-tos", "--config", &account, "--server", &server];
    machine.run(&words).ends_with(0);
    let obtain = ["certonly", "-n", "--standalone", "--http-01-port", &port, "--server", &server];
    machine.run(&[&obtain[..], &["-d", "a.example.org", "--deploy-hook", &hook]].concat()).ends_with(0);
    let hooks = ["--pre-hook", &hook, "--post-hook", &hook];
    machine.run(&[&["renew", "--force-renewal", "--no-random-sleep-on-renew"][..], &hooks].concat()).ends_with(0);
    // One that fails, so that there is something to tell.
    machine.place.tree.lineage("z.example.org").days_left(-2).server("https://127.0.0.1:1/dir").standalone(1).write();
    machine.run(&["renew", "--no-random-sleep-on-renew"]).ends_with(1);
    machine.run(&["notify", "--test"]).ends_with(0);
    let page = machine.place.folder().join("report.html").display().to_string();
    machine.run(&["report", "--html", &page]);
    machine.run(&["update_account", "--new-key", "--server", &server]).ends_with(0);
    for words in [
        &["status"][..],
        &["status", "--json"],
        &["certificates", "--json"],
        &["config", "check"],
        &["config", "check", "--json"],
        &["plan", "--json"],
        &["doctor"],
        &["doctor", "--json"],
        &["history", "--json"],
        &["notify", "--dry-run", "--json"],
        &["metrics"],
        &["show_account", "--json", "--server", &server],
        &["versions", "--json"],
    ] {
        machine.run(words);
    }

    let hooked = fs::read_to_string(&dump).unwrap();
    assert!(hooked.contains("RENEWED_LINEAGE="), "{hooked}");
    let mut secrets = keys(machine.place.tree.config_dir());
    assert!(secrets.iter().any(|(name, _)| name == "private_key.json"), "{secrets:?}");
    assert!(secrets.iter().filter(|(name, _)| name.starts_with("privkey")).count() >= 4, "{secrets:?}");
    let named = [("EAB", HMAC), ("mail", PASSWORD), ("webhook", WEBHOOK), ("heartbeat", HEARTBEAT)];
    secrets.extend(named.map(|(name, secret)| (name.to_owned(), secret.to_owned())));

    let (mails, sunk) = (machine.mail.mails(), machine.web.take());
    // Each of them was used.
    assert!(!mails.is_empty() && mails.iter().all(|mail| mail.login.as_deref() == Some("owner")), "{mails:?}");
    for path in [WEBHOOK, HEARTBEAT] {
        assert!(sunk.iter().any(|request| request.path.contains(path)), "{path}: {sunk:?}");
    }
    let mut texts = vec![("standard output and error".to_owned(), machine.printed.clone())];
    texts.extend(mails.into_iter().map(|mail| ("a mail".to_owned(), mail.data)));
    texts.extend(sunk.into_iter().map(|request| ("a webhook".to_owned(), request.body)));
    for path in files(machine.place.folder()).into_iter().filter(|path| !Machine::is_their_place(path)) {
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        texts.push((path.display().to_string(), text));
    }
    for (place, text) in &texts {
        for (name, secret) in &secrets {
            assert!(!text.contains(secret.as_str()), "the secret of {name} is in {place}");
        }
    }
}

#[test]
fn the_programs_that_doctor_and_timer_ask_inherit_no_secret() {
    let place = Place::new();
    let at = |path: &str| place.folder().join(path);
    for folder in ["bin", "root/run/systemd/system", "root/etc/cron.d", "root/etc/systemd/system"] {
        fs::create_dir_all(at(folder)).unwrap();
    }
    let programs = ["nginx", "systemctl", "systemd-run", "crontab", "own-check"];
    for program in programs {
        let script = format!("#!/bin/sh\n/usr/bin/env >> {}/saw-{program}\n", place.folder().display());
        fs::write(at("bin").join(program), script).unwrap();
        fs::set_permissions(at("bin").join(program), fs::Permissions::from_mode(0o755)).unwrap();
    }
    // Due in three hours, before the next regular run of the timer.
    let lineage = place.tree.lineage("a.example.org").lifetime(TimeDelta::days(90));
    let lineage = lineage.left(TimeDelta::days(30) + TimeDelta::hours(3));
    lineage.server("https://127.0.0.1:1/dir").standalone(80).write();
    fs::create_dir_all(place.tree.config_dir().join("certkit/lineages")).unwrap();
    let channels = "renewal_information = false\n[[notify]]\nname = \"mail\"\nsmtp = \"localhost\"\nusername = \"owner\"\n\
                    password_env = \"MAIL\"\n[[notify]]\nname = \"chat\"\nwebhook = \"generic\"\nurl_env = \"CHAT\"\n\
                    [heartbeat]\nurl_env = \"BEAT\"\n";
    let targets = "[[deploy]]\nreload = \"nginx.service\"\n[[deploy]]\nreload = \"x.service\"\ncheck = \"own-check\"\n";
    fs::write(place.tree.config_dir().join("certkit/lineages/a.example.org.toml"), targets).unwrap();
    let settings = place.tree.config_dir().join("certkit/settings.toml");
    // With a mistake, too, and nobody to tell: what names the secrets is read all the same.
    for (first, is_sound) in [("email = \"owner@example.org\"\n", true), ("run_interval = 0\n", false)] {
        fs::write(&settings, format!("{first}{channels}")).unwrap();
        for words in [
            &["doctor", "--no-network"][..],
            &["timer", "install", "-n"],
            &["timer", "show"],
            &["plan", "--until", "9d"],
            &["renew", "-q"],
            &["timer", "remove", "-n"],
        ] {
            let path = std::env::join_paths([at("bin"), "/usr/bin".into(), "/bin".into()]).unwrap();
            let mut command = place.command(words);
            command.env("PATH", path).env("CERTKIT_TIMER_ROOT", at("root")).env("CERTKIT_TIMER", "6h");
            command.envs([("MAIL", PASSWORD), ("CHAT", WEBHOOK), ("BEAT", HEARTBEAT), ("OTHER", "is inherited")]);
            command.output().unwrap();
        }
        for program in programs {
            let saw = at(&format!("saw-{program}"));
            let text = fs::read_to_string(&saw).unwrap_or_default();
            let _ = fs::remove_file(&saw);
            // Nothing is asked of a target whose settings cannot be used, and no exact instant is known.
            let is_asked = is_sound || ["nginx", "systemctl"].contains(&program);
            assert!(text.contains("OTHER=is inherited") || !is_asked, "{program} was not asked");
            for secret in [PASSWORD, WEBHOOK, HEARTBEAT] {
                assert!(!text.contains(secret), "{program} saw {secret}: {text}");
            }
        }
    }
}

#[test]
fn no_core_is_ever_dumped() {
    let strace = Command::new("strace")
        .args(["-f", "-e", "trace=prctl", env!("CARGO_BIN_EXE_certkit"), "--version"])
        .output()
        .expect("this test needs strace: apt install strace");
    let calls = String::from_utf8_lossy(&strace.stderr);
    let call = calls.lines().find(|line| line.contains("PR_SET_DUMPABLE"));
    assert!(call.is_some_and(|line| line.contains("SUID_DUMP_DISABLE") && line.ends_with("= 0")), "{calls}");
}
