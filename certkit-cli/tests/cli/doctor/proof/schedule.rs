//! What runs certkit, what else renews, and who is told.

use std::fs;

use certkit_core::FindingCode as Code;
use chrono::{TimeDelta, Utc};

use super::super::host::ACTIVE;
use super::fault::{Fault, Look};

pub(super) const FAULTS: &[Fault] = &[
    Fault::error(Code::NotScheduled, |sound| fs::remove_file(sound.host.at("units/certkit.timer")).unwrap())
        .says(&["nothing runs certkit"])
        .cure("certkit timer install")
        .seen(Look::Here),
    Fault::error(Code::TimerInactive, |sound| {
        sound.host.unit("certkit.timer", "LoadState=loaded\nActiveState=inactive\nUnitFileState=disabled\n");
    })
    .says(&["certkit.timer"])
    .cure("systemctl enable --now certkit.timer")
    .seen(Look::Here),
    Fault::error(Code::RunsStopped, |sound| sound.host.ran(Utc::now() - TimeDelta::days(9)))
        .says(&["9 days ago"])
        .cure("certkit timer show")
        .seen(Look::Here),
    Fault::warning(Code::TwoSchedulers, |sound| sound.host.unit("certbot.timer", ACTIVE))
        .says(&["certbot.timer"])
        .cure("systemctl disable --now certbot.timer")
        .seen(Look::Here),
    Fault::notice(Code::OtherClient, |sound| {
        sound.host.write("crontab", "8 0 * * * \"/root/.acme.sh\"/acme.sh --cron --home \"/root/.acme.sh\"\n");
    })
    .says(&["acme.sh"])
    .cure("stop it")
    .seen(Look::Here),
    Fault::warning(Code::ReloadChained, |sound| {
        // One line for all certificates: NAME stands for each.
        fs::remove_dir_all(sound.in_store("live/w.a.example")).unwrap();
        fs::remove_dir_all(sound.in_store("archive/w.a.example")).unwrap();
        fs::remove_file(sound.in_store("renewal/w.a.example.conf")).unwrap();
        sound.host.write("crontab", "0 3 * * * certkit -q renew && systemctl restart nginx\n");
    })
    .says(&["`systemctl restart nginx`"])
    .cure("certkit reconfigure --cert-name a.example --deploy-hook 'systemctl restart nginx'")
    .seen(Look::Here),
    Fault::notice(Code::HardCodedDays, |sound| {
        let script = "#!/bin/sh\nopenssl x509 -checkend 2592000 -noout -in x.pem || certkit renew\n";
        sound.host.script("root/etc/cron.daily/renew", script, 0o755);
    })
    .says(&["cron.daily/renew", "-checkend 2592000"])
    .cure("third of the lifetime")
    .seen(Look::Here),
    Fault::warning(Code::NobodyIsTold, |sound| {
        sound.host.write("etc/certkit/settings.toml", "");
    })
    .says(&["nobody is told"])
    .cure("certkit update_account --email ADDRESS")
    .seen(Look::Here),
    Fault::warning(Code::RunTooRarely, |sound| {
        sound.host.write("etc/certkit/settings.toml", "email = \"owner@example.org\"\nrun_interval = \"6 days\"\n");
        sound.write_certificate(|lineage| lineage.lifetime_days(8).days_left(6));
    })
    .says(&["a.example", "it is run every"])
    .cure("run it more often")
    .seen(Look::Here),
];
