//! `doctor` on machines with one fault each: files and programs are real, systemctl and crontab are scripts that answer as
//! the machine would.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use certkit_core::LineageName;
use certkit_core::state::{Ledger, LineageState};
use certkit_core::store::{Store, StorePaths};
use chrono::{TimeDelta, Utc};
use serde_json::Value;
use testkit::{AccountKeyKind, KeyKind};

use crate::support::{Place, Run};

const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

const SYSTEMCTL: &str = r#"#!/bin/sh
for unit; do
    case $unit in -* | show) continue ;; esac
    echo "Id=$unit"
    if [ -e "DIR/units/$unit" ]; then cat "DIR/units/$unit"; else echo LoadState=not-found; fi
    echo
done
"#;

const CRONTAB: &str = "#!/bin/sh\ncat DIR/crontab 2>/dev/null || { echo 'no crontab' >&2; exit 1; }\n";

const ACTIVE: &str = "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\n";

/// A machine on which nothing is wrong.
struct Host {
    place: Place,
}

impl Host {
    fn new() -> Self {
        let host = Self { place: Place::new() };
        for dir in [
            "bin",
            "units",
            "root/etc/cron.d",
            "root/etc/cron.daily",
            "root/etc/systemd/system",
            "root/run/systemd/system",
            "root/proc/self",
            "work",
            "log",
        ] {
            fs::create_dir_all(host.at(dir)).unwrap();
        }
        for (name, script) in [("systemctl", SYSTEMCTL), ("crontab", CRONTAB)] {
            host.program(name, &script.replace("DIR", host.place.folder().to_str().unwrap()));
        }
        host.unit("certkit.timer", ACTIVE);
        host.write("root/proc/self/mountinfo", "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n");
        host.write("etc/certkit/settings.toml", "email = \"owner@example.org\"\n");
        host.ran(Utc::now() - TimeDelta::hours(3));
        host
    }

    /// With the certificate a.example, which nothing is wrong with.
    fn with_certificate() -> Self {
        let host = Self::new();
        host.place.tree.lineage("a.example").write();
        host
    }

    fn at(&self, path: &str) -> PathBuf {
        self.place.folder().join(path)
    }

    fn write(&self, path: &str, content: &str) -> PathBuf {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn script(&self, path: &str, content: &str, mode: u32) -> String {
        let path = self.write(path, content);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn program(&self, name: &str, content: &str) {
        self.script(&format!("bin/{name}"), content, 0o755);
    }

    fn unit(&self, name: &str, shown: &str) {
        self.write(&format!("units/{name}"), shown);
    }

    fn store(&self) -> Store {
        let [config, work, log] = ["etc", "work", "log"].map(|dir| self.at(dir));
        Store::open(StorePaths::new(config, work, log)).unwrap()
    }

    fn ran(&self, at: chrono::DateTime<Utc>) {
        let mut ledger = Ledger::default();
        ledger.run_began(at);
        self.store().lock().unwrap().save_ledger(&ledger).unwrap();
    }

    /// The settings of a.example.
    fn settings(&self, content: &str) {
        self.script("etc/certkit/lineages/a.example.toml", content, 0o600);
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.command(&["doctor", "--no-network"]);
        let path = std::env::join_paths([self.at("bin"), "/usr/bin".into(), "/bin".into()]).unwrap();
        command.args(arguments).env("PATH", path).env("CERTKIT_TIMER_ROOT", self.at("root"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Run {
        Run::of(self.command(arguments).output().unwrap())
    }

    fn problems(&self) -> Problems {
        Problems::of(&self.run(&["--json"]))
    }
}

/// What was found.
struct Problems(Vec<Value>);

impl Problems {
    #[track_caller]
    fn of(run: &Run) -> Self {
        Self(run.json()["problems"].as_array().unwrap_or_else(|| panic!("{run:?}")).clone())
    }

    fn codes(&self) -> BTreeSet<&str> {
        self.0.iter().map(|problem| problem["code"].as_str().unwrap()).collect()
    }

    #[track_caller]
    fn are(self, codes: &[&str]) -> Self {
        assert_eq!(self.codes(), codes.iter().copied().collect(), "{:#?}", self.0);
        self
    }

    #[track_caller]
    fn one(&self, code: &str) -> &Value {
        self.0.iter().find(|problem| problem["code"] == code).unwrap_or_else(|| panic!("no {code} in {:#?}", self.0))
    }

    #[track_caller]
    fn says(&self, code: &str, severity: &str, evidence: &str, cure: &str) -> &Self {
        let one = self.one(code);
        assert_eq!(one["severity"], severity, "{one:#}");
        assert!(one["evidence"].as_str().unwrap().contains(evidence), "{one:#}");
        assert!(one["cure"].as_str().unwrap().contains(cure), "{one:#}");
        assert!(one["why"].as_str().unwrap().len() > 10);
        self
    }
}

#[test]
fn nothing_is_said_of_a_machine_on_which_nothing_is_wrong() {
    let host = Host::with_certificate();
    let before = host.place.tree.snapshot();
    let run = host.run(&[]).ends_with(0);
    assert!(
        run.stdout.starts_with("Nothing is wrong; ") && run.stdout.ends_with(" checks found nothing wrong.\n"),
        "{run:?}"
    );
    host.problems().are(&[]);
    assert_eq!(host.place.tree.snapshot(), before, "nothing is written");
    assert_eq!(host.run(&["-q"]).ends_with(0).stdout, "");
}

#[test]
fn problems_come_first_with_why_and_cure_within_80_columns() {
    let host = Host::with_certificate();
    host.unit("certkit.timer", "LoadState=loaded\nActiveState=inactive\nUnitFileState=disabled\n");
    for name in ["b.example", "c.example"] {
        host.place.tree.lineage(name).deploy_hook("reload-everything now").write();
    }
    let run = host.run(&[]).ends_with(1);
    let expected = "\
Error: the timer of certkit is installed but not active: it is neither enabled
  nor started
  Where:      certkit.timer
  Why:        nothing is renewed
  To do:      systemctl enable --now certkit.timer

Error: a hook cannot be run: the deploy hook's command reload-everything is not
  a program in PATH";
    assert!(run.stdout.starts_with(expected), "{}", run.stdout);
    for part in [
        "  For:        b.example, c.example\n",
        "(NAME stands for each of these certificates)",
        "\n2 errors; ",
        "NAME --deploy-hook COMMAND",
    ] {
        assert!(run.stdout.contains(part), "{part}: {}", run.stdout);
    }
    let words = run.stdout.lines().filter(|line| line.chars().count() > 80).collect::<Vec<_>>();
    assert!(words.iter().all(|line| line.trim().split(' ').count() == 1), "{words:?}");
    // Quiet is about good news.
    assert!(host.run(&["-q"]).ends_with(1).stderr.contains("reload-everything"));
    let one = host.run(&["--cert-name", "a.example"]).ends_with(1);
    assert!(!one.stdout.contains("reload-everything"), "{}", one.stdout);
    assert!(host.run(&["--cert-name", "none.example"]).ends_with(1).stderr.contains("No certificate found"));
}

#[test]
fn what_runs_certkit_is_looked_for() {
    let host = Host::new();
    fs::remove_file(host.at("units/certkit.timer")).unwrap();
    host.problems().are(&["not-scheduled"]).says("not-scheduled", "error", "", "certkit timer install");
    host.unit("certbot.timer", ACTIVE);
    host.problems().are(&["not-scheduled"]).says("not-scheduled", "notice", "certbot.timer", "certkit timer install");
    host.write("root/etc/cron.d/certkit", "17 2,8,14,20 * * * root /usr/bin/certkit renew -q\n");
    host.problems().are(&["two-schedulers"]).says(
        "two-schedulers",
        "warning",
        "certbot.timer",
        "systemctl disable --now certbot.timer",
    );
    fs::remove_file(host.at("units/certbot.timer")).unwrap();
    host.problems().are(&[]);
    host.unit("certkit.timer", "LoadState=loaded\nActiveState=active\nUnitFileState=disabled\n");
    host.problems().are(&["timer-inactive"]).says(
        "timer-inactive",
        "warning",
        "reboot",
        "systemctl enable certkit.timer",
    );
}

#[test]
fn runs_that_stopped_are_noticed() {
    let host = Host::new();
    host.ran(Utc::now() - TimeDelta::days(9));
    host.problems().are(&["runs-stopped"]).says("runs-stopped", "error", "9 days ago", "certkit timer show");
}

#[test]
fn reloads_that_are_chained_to_renew_get_the_command_for_a_hook() {
    let host = Host::with_certificate();
    host.write("crontab", "0 3 * * * certkit -q renew && systemctl restart nginx\n");
    host.problems().are(&["reload-chained"]).says(
        "reload-chained",
        "warning",
        "`systemctl restart nginx`",
        "certkit reconfigure --cert-name a.example --deploy-hook 'systemctl restart nginx'",
    );
    fs::remove_file(host.at("crontab")).unwrap();
    host.write(
        "root/etc/systemd/system/certkit.service.d/nginx.conf",
        "[Service]\nExecStartPost=-/bin/systemctl reload nginx\n",
    );
    host.write(
        "root/etc/systemd/system/certkit.service",
        "[Service]\nType=oneshot\nExecStart=/usr/bin/certkit renew -q\n",
    );
    host.problems().are(&["reload-chained"]).says(
        "reload-chained",
        "warning",
        "systemctl reload nginx",
        "--deploy-hook '/bin/systemctl reload nginx'",
    );
}

#[test]
fn other_clients_and_rules_that_count_days_are_noticed() {
    let host = Host::new();
    host.write("crontab", "8 0 * * * \"/root/.acme.sh\"/acme.sh --cron --home \"/root/.acme.sh\"\n");
    host.problems().are(&["other-client"]).says("other-client", "notice", "acme.sh", "");
    fs::remove_file(host.at("crontab")).unwrap();
    let script = "#!/bin/sh\nopenssl x509 -checkend 2592000 -noout -in x.pem || certkit renew\n";
    host.script("root/etc/cron.daily/renew", script, 0o755);
    host.problems().are(&["hard-coded-days"]).says("hard-coded-days", "notice", "-checkend 2592000", "third");
}

#[test]
fn hooks_that_cannot_run_are_told_and_good_ones_are_not() {
    let host = Host::with_certificate();
    let hooks = "etc/renewal-hooks/deploy";
    host.script(&format!("{hooks}/10-good"), "#!/bin/sh\n", 0o755);
    host.script(&format!("{hooks}/README"), "for people\n", 0o644);
    host.script(&format!("{hooks}/10-good~"), "#!/bin/sh\n", 0o644);
    host.problems().are(&[]);
    host.script(&format!("{hooks}/20-plain"), "#!/bin/sh\n", 0o644);
    host.problems().are(&["hook-ignored"]).says("hook-ignored", "warning", "", "chmod +x ");
    fs::remove_file(host.at(&format!("{hooks}/20-plain"))).unwrap();
    host.script(&format!("{hooks}/10-good.bak"), "#!/bin/sh\n", 0o755);
    host.problems().are(&["hook-leftover"]).says("hook-leftover", "warning", "", "chmod -x ");
    fs::remove_file(host.at(&format!("{hooks}/10-good.bak"))).unwrap();
    host.script(&format!("{hooks}/30-windows"), "#!/bin/sh\r\necho\r\n", 0o755);
    host.problems().are(&["hook-not-runnable"]).says("hook-not-runnable", "error", "Windows", "first line");
    fs::remove_file(host.at(&format!("{hooks}/30-windows"))).unwrap();
    fs::set_permissions(host.at(hooks), fs::Permissions::from_mode(0o777)).unwrap();
    host.problems().are(&["hook-directory-refused"]).says("hook-directory-refused", "error", "chmod o-w", "");
}

#[test]
fn deploy_targets_are_tried_without_writing_anything() {
    let host = Host::with_certificate();
    let folder = host.at("tls");
    let copy = |more: &str| format!("[[deploy]]\ncopy = \"{}\"\n{more}", folder.display());
    host.settings(&copy(""));
    host.problems().are(&["deploy-folder-unusable"]).says("deploy-folder-unusable", "error", "tls", "");
    fs::create_dir(&folder).unwrap();
    host.problems().are(&[]);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    host.settings(&copy("owner = \"nobody-of-this-name\"\n"));
    host.problems().are(&["deploy-owner-unknown"]).says("deploy-owner-unknown", "error", "nobody-of-this-name", "");
    host.settings("[[deploy]]\ncommand = \"/nowhere/reload\"\n");
    host.problems().are(&["hook-not-runnable"]);
}

#[test]
fn units_that_cannot_be_reloaded_are_told_and_servers_are_asked() {
    let host = Host::with_certificate();
    host.settings("[[deploy]]\nreload = \"web.service\"\n");
    host.problems().are(&["reload-unit-unusable"]).says("reload-unit-unusable", "error", "no unit", "list-units");
    host.unit("web.service", "LoadState=loaded\nActiveState=inactive\nCanReload=yes\n");
    host.problems().are(&["reload-unit-unusable"]).says(
        "reload-unit-unusable",
        "error",
        "does not run",
        "systemctl start web.service",
    );
    host.unit("web.service", "LoadState=loaded\nActiveState=active\nCanReload=no\n");
    host.problems().are(&["reload-unit-unusable"]).says("reload-unit-unusable", "error", "no reload", "command = ");
    host.unit("web.service", "LoadState=loaded\nActiveState=active\nCanReload=yes\nUser=\n");
    host.problems().are(&[]);
    // It runs as somebody who may not read the key.
    host.unit("web.service", "LoadState=loaded\nActiveState=active\nCanReload=yes\nUser=daemon\n");
    host.problems().are(&["service-cannot-read-key"]).says(
        "service-cannot-read-key",
        "warning",
        "daemon",
        "owner = \"daemon\"",
    );
}

#[test]
fn a_server_that_refuses_its_configuration_is_told() {
    let host = Host::new();
    host.place.tree.lineage("a.example").param("installer", "nginx").write();
    host.program("nginx", "#!/bin/sh\n[ \"$1\" = -t ] || touch DIR/reloaded\nexit 0\n");
    host.problems().are(&[]);
    host.program("nginx", "#!/bin/sh\necho 'unknown directive \"sll\"' >&2\nexit 1\n");
    host.problems().are(&["server-configuration-refused"]).says(
        "server-configuration-refused",
        "error",
        "unknown directive",
        "",
    );
}

/// Runs the doctor with mounts of its own. Where the machine refuses mounts (a container may, even to root) it says so on
/// standard error and the test ends, as the other tests with mounts do.
fn with_mounts(host: &Host, mounts: &str) -> Option<Problems> {
    let inner = host.command(&["--json"]);
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &format!("{mounts} || exit 77; exec \"$@\""), "sh"]).arg(inner.get_program());
    command.args(inner.get_args()).env_clear();
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
    let run = Run::of(command.output().expect("unshare is missing: install util-linux"));
    if run.status == Some(77) || run.stderr.starts_with("unshare: ") {
        eprintln!("this machine refuses mounts: {run:?}");
        return None;
    }
    Some(Problems::of(&run))
}

#[test]
fn a_file_system_that_is_full_read_only_or_in_memory_is_told() {
    let host = Host::new();
    fs::remove_dir_all(host.at("root/proc")).unwrap();
    symlink("/proc", host.at("root/proc")).unwrap();
    let etc = host.at("etc").to_str().unwrap().to_owned();
    let settings = format!("mkdir -p {etc}/certkit && echo 'email = \"a@example.org\"' > {etc}/certkit/settings.toml");
    let small = format!("mount -t tmpfs -o size=1m,nr_inodes=60 tmpfs {etc} && {settings}");
    if let Some(problems) = with_mounts(&host, &small) {
        for (code, severity) in
            [("disk-nearly-full", "error"), ("inodes-nearly-used", "error"), ("store-not-kept", "error")]
        {
            problems.says(code, severity, "", "");
        }
    }
    let read_only = format!("mount --bind {etc} {etc} && mount -o remount,bind,ro {etc}");
    if let Some(problems) = with_mounts(&host, &read_only) {
        problems.says("store-read-only", "error", &etc, "remount,rw");
        assert!(!problems.codes().contains("store-not-writable"));
    }
}

#[test]
fn network_file_systems_are_told_by_the_mounts() {
    let host = Host::new();
    let etc = host.at("etc");
    let line = format!("22 1 254:0 / / rw - ext4 /dev/vda rw\n40 22 0:50 / {} rw - nfs4 server:/x rw\n", etc.display());
    host.write("root/proc/self/mountinfo", &line);
    host.problems().are(&["store-on-network"]).says("store-on-network", "notice", "nfs4", "one machine");
}

#[test]
fn who_may_not_write_is_told_so() {
    let host = Host::new();
    for (path, mode) in [
        ("", 0o755),
        ("etc", 0o755),
        ("log", 0o777),
        ("work", 0o777),
        ("etc/certkit", 0o755),
        ("etc/certkit/state", 0o755),
    ] {
        fs::set_permissions(host.at(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    let binary = host.at("certkit");
    fs::copy(env!("CARGO_BIN_EXE_certkit"), &binary).unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    let inner = host.command(&["--json"]);
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(binary).args(inner.get_args());
    command.env_clear().envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let run = Run::of(command.output().expect("setpriv is missing: install util-linux"));
    Problems::of(&run).says("store-not-writable", "error", "nobody", "as root");
}

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

#[test]
fn whoever_holds_the_lock_is_named() {
    const LOCKF: &str = "import fcntl, os, sys\nfd = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY, 0o600)\nfcntl.lockf(fd, fcntl.LOCK_EX)\nprint('locked', flush=True)\nsys.stdin.read()\n";
    let host = Host::new();
    let path = host.at("etc/.certbot.lock");
    let mut child = Command::new("python3")
        .args(["-c", LOCKF, path.to_str().unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test needs python3");
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let process = format!("process {}, python", child.id());
    host.problems().are(&["lock-held"]).says("lock-held", "notice", &process, "wait");
    let seven_hours_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(7 * 3600);
    fs::File::options().write(true).open(&path).unwrap().set_modified(seven_hours_ago).unwrap();
    host.problems().are(&["lock-held"]).says("lock-held", "warning", &process, "kill");
    child.kill().unwrap();
    child.wait().unwrap();
    // The file of a lock that nobody holds is nothing.
    host.problems().are(&[]);
}

#[test]
fn settings_and_lineages_that_cannot_be_used_are_told_and_the_rest_is_looked_at() {
    let host = Host::with_certificate();
    host.write("etc/certkit/settings.toml", "paralel_orders = 3\n");
    host.place.tree.lineage("b.example").deploy_hook("/nowhere/x").write();
    host.problems().are(&["settings-unusable", "hook-not-runnable"]).says(
        "settings-unusable",
        "error",
        "line 1",
        "parallel_orders",
    );
    let host = Host::with_certificate();
    host.write("etc/certkit/lineages/gone.example.toml", "");
    host.write("etc/renewal/b.example.conf", "version = 5.0\n");
    let problems = host.problems().are(&["broken-lineage", "setting-without-effect"]);
    assert_eq!(problems.one("broken-lineage")["certificates"], serde_json::json!(["b.example"]));
}

#[test]
fn what_is_still_to_be_deployed_is_told() {
    let host = Host::with_certificate();
    let pending = serde_json::json!({
        "deploy_pending": [{ "target": { "kind": "hook", "value": "x" }, "version": 1, "failures": 2 }],
    });
    let mut state: LineageState = serde_json::from_value(serde_json::json!({})).unwrap();
    let known = serde_json::to_value(certkit_core::state::DeployTarget::Hook("systemctl reload web".into())).unwrap();
    let mut value = pending;
    value["deploy_pending"][0]["target"] = known;
    state.clone_from(&serde_json::from_value(value).unwrap());
    host.store().lock().unwrap().save_state(&LineageName::new("a.example").unwrap(), &state).unwrap();
    host.problems().are(&["deploy-pending"]).says("deploy-pending", "warning", "it failed 2 times", "certkit deploy");
}

#[test]
fn nobody_to_tell_is_told() {
    let host = Host::new();
    host.write("etc/certkit/settings.toml", "");
    host.problems().are(&["nobody-is-told"]).says("nobody-is-told", "warning", "", "--email");
}

#[test]
fn an_endpoint_that_serves_something_else_is_told() {
    let host = Host::with_certificate();
    let served = |leaf: &str| {
        let endpoint = certkit_core::Endpoint::new("a.example", 443);
        let state: LineageState = serde_json::from_value(serde_json::json!({
            "served": [{
                "endpoint": endpoint,
                "checked_at": Utc::now(),
                "answers": [{ "address": "192.0.2.7:443", "leaf": { "kind": leaf } }],
            }],
        }))
        .unwrap();
        host.store().lock().unwrap().save_state(&LineageName::new("a.example").unwrap(), &state).unwrap();
    };
    served("same");
    host.problems().are(&[]);
    served("foreign");
    host.problems().are(&["not-served"]).says("not-served", "error", "192.0.2.7", "");
}
