//! systemctl is a script here, for test machines run without systemd; what it is asked to reload is a real nginx.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use certkit_acme::command::CommandSettings;
use certkit_core::settings::DeploySetting;
use testkit::process::require_program;
use testkit::{Nginx, NginxOptions};

use super::{Version, copy};

/// Programs that are found before those of the machine, and what they were asked.
struct Programs {
    folder: tempfile::TempDir,
    settings: CommandSettings,
}

impl Programs {
    /// A systemctl that does this.
    fn with_systemctl(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut path = OsString::from(folder.path());
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap());
        let mut settings = CommandSettings::new();
        settings.environment.push(("PATH".into(), path));
        let programs = Self { folder, settings };
        programs.add("systemctl", script);
        programs
    }

    /// A program that notes its name and arguments, and then does this.
    fn add(&self, name: &str, script: &str) {
        let (path, log) = (self.folder.path().join(name), self.folder.path().join("log"));
        fs::write(&path, format!("#!/bin/sh\necho \"{name} $*\" >> '{}'\n{script}\n", log.display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// What was asked since the last look.
    fn asked(&self) -> Vec<String> {
        let log = self.folder.path().join("log");
        let text = fs::read_to_string(&log).unwrap_or_default();
        let _ = fs::remove_file(log);
        text.lines().map(str::to_owned).collect()
    }

    /// Reloads a unit; the words of the failure.
    async fn reload(&self, unit: &str, check: Option<&str>) -> Result<(), String> {
        let setting = DeploySetting::Reload { unit: unit.into(), check: check.map(str::to_owned) };
        let result = Version::new(1).deploy_with(&setting, &self.settings).await;
        result.map_err(|failure| failure.detail)
    }
}

#[tokio::test]
async fn a_failing_check_keeps_nginx_serving_what_it_has() {
    let tls = tempfile::tempdir().unwrap();
    let versions = [Version::new(0x61), Version::new(0x62), Version::new(0x63)];
    let target = copy(tls.path());
    versions[0].deploy(&target).await.unwrap();
    let pair = (tls.path().join("fullchain.pem"), tls.path().join("privkey.pem"));
    let nginx = Nginx::start(&NginxOptions { tls: Some(pair), ..NginxOptions::default() });
    let folder = nginx.webroot().parent().unwrap();
    let programs = Programs::with_systemctl(&nginx.reload_command());
    let real = require_program("nginx");
    let check =
        format!("exec '{}' -p '{at}/' -e stderr -c '{at}/nginx.conf' \"$@\"", real.display(), at = folder.display());
    programs.add("nginx", &check);

    versions[1].deploy(&target).await.unwrap();
    assert_eq!(nginx.served_serial("localhost"), versions[0].serial, "it was not told yet");
    programs.reload("nginx.service", None).await.unwrap();
    assert_eq!(programs.asked(), ["nginx -t", "systemctl reload --no-ask-password -- nginx.service"]);
    assert_eq!(nginx.wait_for_serial("localhost", &versions[1].serial), versions[1].serial);
    let reloads = nginx.reloads();

    versions[2].deploy(&target).await.unwrap();
    let conf = folder.join("nginx.conf");
    let good = fs::read_to_string(&conf).unwrap();
    fs::write(&conf, format!("{good}\nnonsense;\n")).unwrap();
    let failure = programs.reload("nginx.service", None).await.unwrap_err();
    assert!(
        failure.starts_with("the reload of nginx.service: nginx's configuration check (nothing was reloaded) failed"),
        "{failure}"
    );
    assert!(
        failure.contains("unknown directive \"nonsense\"") && failure.contains("mend its configuration"),
        "{failure}"
    );
    assert_eq!(programs.asked(), ["nginx -t"]);
    assert_eq!(nginx.reloads(), reloads);
    // A worker of the first configuration may still answer for a moment.
    assert_eq!(nginx.wait_for_serial("localhost", &versions[1].serial), versions[1].serial);

    fs::write(&conf, good).unwrap();
    programs.reload("nginx", None).await.unwrap();
    assert_eq!(nginx.wait_for_serial("localhost", &versions[2].serial), versions[2].serial);
}

#[tokio::test]
async fn each_server_is_checked_its_own_way() {
    let programs = Programs::with_systemctl("");
    programs.add("haproxy", "");
    programs.add("apache2ctl", "");
    let reload = |unit: &str| format!("systemctl reload --no-ask-password -- {unit}");
    programs.reload("haproxy.service", None).await.unwrap();
    assert_eq!(programs.asked(), ["haproxy -c -f /etc/haproxy/haproxy.cfg".to_owned(), reload("haproxy.service")]);
    programs.reload("apache2", None).await.unwrap();
    assert_eq!(programs.asked(), ["apache2ctl configtest".to_owned(), reload("apache2")]);
    // Without a check of its own, and with one by the owner.
    programs.reload("postfix@-.service", None).await.unwrap();
    assert_eq!(programs.asked(), [reload("postfix@-.service")]);
    programs.add("haproxy", "echo '[ALERT] parsing [haproxy.cfg:7]' >&2; exit 1");
    programs.reload("haproxy.service", Some("true")).await.unwrap();
    assert_eq!(programs.asked(), [reload("haproxy.service")]);
    let failure = programs.reload("haproxy.service", None).await.unwrap_err();
    assert!(failure.contains("HAProxy's configuration check (nothing was reloaded) failed with status 1: [ALERT]"));
    assert_eq!(programs.asked().len(), 1);
}

#[tokio::test]
async fn a_check_of_the_owner_comes_first_and_knows_the_lineage() {
    let programs = Programs::with_systemctl("");
    let check = "echo \"$RENEWED_LINEAGE|$RENEWED_DOMAINS\" >&2; exit 3";
    let failure = programs.reload("dovecot.service", Some(check)).await.unwrap_err();
    let said = "(nothing was reloaded) failed with status 3: /nowhere/live/localhost|localhost *.example.org: mend";
    assert!(failure.contains(said), "{failure}");
    assert_eq!(programs.asked(), [""; 0]);
}

#[tokio::test]
async fn what_systemd_says_is_reported_with_a_cure() {
    let programs = Programs::with_systemctl("echo \"$4 is not active, cannot reload.\" >&2; exit 1");
    let failure = programs.reload("dovecot.service", None).await.unwrap_err();
    assert_eq!(
        failure,
        "the reload of dovecot.service: systemctl reload failed with status 1: dovecot.service is not active, cannot reload.: start it: systemctl start dovecot.service"
    );
}

#[tokio::test]
async fn a_unit_can_be_no_option_and_no_command() {
    let programs = Programs::with_systemctl("");
    for unit in ["", "--host=evil", "-Hevil", "a b", "../x", "nginx;id", "$(id)", "nginx\n"] {
        let failure = programs.reload(unit, Some("touch \"$PWD/never\"")).await.unwrap_err();
        assert!(failure.contains("no name of a systemd unit"), "{failure}");
    }
    assert_eq!(programs.asked(), [""; 0]);
    assert!(!Path::new("never").exists());
}

#[tokio::test]
async fn a_command_knows_the_lineage() {
    let command = |line: &str| DeploySetting::Command { command: line.into() };
    let version = Version::new(1);
    let expected = "test \"$RENEWED_LINEAGE|$RENEWED_DOMAINS\" = '/nowhere/live/localhost|localhost *.example.org'";
    version.deploy(&command(expected)).await.unwrap();
    let refused = version.refused(&command("echo 'no such container' >&2; exit 4")).await;
    assert!(refused.starts_with("the command `echo"), "{refused}");
    assert!(refused.ends_with("failed with status 4: no such container"), "{refused}");
}
