//! What runs certkit, what else renews, and who is told.

use std::fs;

use chrono::{TimeDelta, Utc};

use super::host::{ACTIVE, Host};

#[test]
fn what_runs_certkit_is_looked_for() {
    let host = Host::with_certificate();
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
fn a_store_without_a_certificate_needs_nothing_that_runs_yet() {
    let host = Host::new();
    fs::remove_file(host.at("units/certkit.timer")).unwrap();
    host.problems().are(&["not-scheduled"]).says(
        "not-scheduled",
        "notice",
        "there is no certificate here yet",
        "certkit timer install",
    );
    host.run(&[]).ends_with(0);
    host.place.tree.lineage("a.example").write();
    host.problems().are(&["not-scheduled"]).says("not-scheduled", "error", "", "certkit timer install");
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
fn nobody_to_tell_is_told() {
    let host = Host::new();
    host.write("etc/certkit/settings.toml", "");
    host.problems().are(&["nobody-is-told"]).says("nobody-is-told", "warning", "", "--email");
}
