use std::path::PathBuf;

use super::*;
use crate::settings::{Settings, SettingsProblem};

fn read(text: &str) -> Result<Settings, Vec<SettingsProblem>> {
    Settings::parse(text.as_bytes())
}

#[track_caller]
fn refused(text: &str, line: u32, what: &str, cure: &str) {
    let problems = read(text).unwrap_err();
    let found = problems.iter().any(|one| one.line == Some(line) && one.what.contains(what) && one.cure.contains(cure));
    assert!(found, "{problems:#?}");
}

#[test]
fn every_kind_of_channel_is_read_with_its_line() {
    let settings = read(
        "email = [\"a@example.org\", \"b@example.org\"]\n\
         [[notify]]\nsmtp = \"mail.example.org\"\nusername = \"u\"\npassword_credential = \"smtp\"\nlevel = \"warning\"\n\
         [[notify]]\nname = \"pager\"\nwebhook = \"pagerduty\"\nrouting_key_file = \"/etc/certkit-key\"\nlevel = \"critical\"\n\
         [[notify]]\nsendmail = \"/usr/sbin/sendmail\"\nto = \"root@localhost\"\nfrom = \"certkit@example.org\"\n\
         [[notify]]\ncommand = \"/usr/local/bin/tell\"\n\
         [[notify]]\nwebhook = \"/etc/own.toml\"\nsecret_env = \"OWN\"\nroom = \"7\"\n\
         [heartbeat]\nurl = \"https://hc.example/1\"\nstart = true\n",
    )
    .unwrap();
    assert_eq!(settings.email.value.len(), 2);
    let names: Vec<&str> = settings.notify.iter().map(|one| one.value.name.as_str()).collect();
    assert_eq!(names, ["smtp mail.example.org", "pager", "sendmail", "command", "webhook own"]);
    assert_eq!(settings.notify[0].origin.line(), Some(3));
    let ChannelSetting::Smtp(smtp) = &settings.notify[0].value.channel else { panic!() };
    assert_eq!((smtp.port, smtp.tls), (587, SmtpTls::StartTls));
    assert_eq!(smtp.login, Some(("u".into(), Source::Credential("smtp".into()))));
    assert_eq!(settings.notify[1].value.level, NoticeLevel::Critical);
    let ChannelSetting::Webhook { fields, .. } = &settings.notify[1].value.channel else { panic!() };
    assert_eq!(fields["routing_key"], Source::File(PathBuf::from("/etc/certkit-key")));
    let ChannelSetting::Webhook { preset, fields } = &settings.notify[4].value.channel else { panic!() };
    assert_eq!((preset.name().as_str(), fields.len()), ("/etc/own.toml", 2));
    assert_eq!(fields["secret"], Source::Environment("OWN".into()));
    let heartbeat = settings.heartbeat.as_ref().unwrap();
    assert!(heartbeat.value.failures && heartbeat.value.start);
    assert!(settings.holds_secrets() && !format!("{settings:?}").contains("hc.example"));
}

#[test]
fn addresses_alone_are_reached_by_the_machines_own_mail_system() {
    let settings = read("email = \"a@example.org\"\n").unwrap();
    let channels = settings.channels();
    assert_eq!((channels.len(), channels[0].value.name.as_str()), (1, "sendmail"));
    assert!(!settings.holds_secrets() && Settings::default().channels().is_empty());
    let with = read("email = \"a@example.org\"\n[[notify]]\nsmtp = \"mail.example.org\"\n").unwrap();
    assert_eq!(with.channels().len(), 1);
    let webhook =
        read("email = \"a@example.org\"\n[[notify]]\nwebhook = \"slack\"\nurl = \"https://x.example\"\n").unwrap();
    assert_eq!(webhook.channels().len(), 2);
}

#[test]
fn what_is_wrong_with_a_channel_is_told_by_line_with_its_cure() {
    refused("email = \"root\"\n", 1, "`root` is not a mail address: it has no @", "owner@example.org");
    refused(
        "[[notify]]\nlevel = \"info\"\n",
        1,
        "does not say what it is",
        "write one of the keys command, sendmail, smtp, webhook",
    );
    refused("[[notify]]\nsmpt = \"mail.example.org\"\n", 2, "does not say what it is", "did you mean `smtp`?");
    refused(
        "[[notify]]\ncommand = \"x\"\nwebhook = \"slack\"\n",
        1,
        "`command` and `webhook` stand in one",
        "for each of them",
    );
    refused("[[notify]]\nsmtp = \"mail.example.org\"\n", 2, "has nobody to send to", "email = ");
    refused(
        "[[notify]]\nsmtp = \"mail.example.org\"\ntls = \"none\"\nto = \"a@b.example\"\n",
        3,
        "for a server on this machine",
        "starttls",
    );
    refused(
        "[[notify]]\nsmtp = \"mail.example.org:25\"\nto = \"a@b.example\"\n",
        2,
        "not the name or address of a mail server",
        "the port beside it",
    );
    refused(
        "[[notify]]\nsmtp = \"x\"\nto = \"a@b.example\"\nusername = \"u\"\n",
        4,
        "`username` has no password",
        "password_file",
    );
    refused("[[notify]]\nwebhook = \"slak\"\n", 2, "`slak` is not a service", "did you mean `webhook = \"slack\"`?");
    refused("[[notify]]\nwebhook = \"slack\"\n", 1, "`webhook = \"slack\"` needs `url`", "url_file");
    refused(
        "[[notify]]\nwebhook = \"slack\"\nurl = \"https://x.example\"\nuser = \"u\"\n",
        4,
        "`user` has no meaning",
        "url",
    );
    refused(
        "[[notify]]\nwebhook = \"slack\"\nurl = \"x\"\nurl_file = \"/x\"\n",
        4,
        "`url` and `url_file` stand in one table",
        "remove one",
    );
    refused(
        "[[notify]]\ncommand = \"x\"\nlevel = \"warn\"\n",
        3,
        "`level` cannot be `warn`",
        "did you mean `level = \"warning\"`?",
    );
    refused(
        "[[notify]]\ncommand = \"x\"\nname = \"a\"\n[[notify]]\ncommand = \"y\"\nname = \"a\"\n",
        6,
        "is called `a`, too",
        "name of its own",
    );
    refused("[[notify]]\nsendmail = \"sendmail\"\nto = \"a@b.example\"\n", 2, "not an absolute path", "whole path");
    refused(
        "[[notify]]\ncommand = \"x\"\nto = \"a@b.example\"\n",
        3,
        "`to` has no meaning with `command`",
        "the keys are",
    );
    refused("[heartbeat]\nfailures = true\n", 1, "[heartbeat] has no `url`", "url_file");
    refused(
        "[heartbeat]\nurl = \"x\"\nfailure = true\n",
        3,
        "`failure` is not known in [heartbeat]",
        "did you mean `failures`?",
    );
    refused("[heartbeat]\nurl_credential = \"../x\"\n", 2, "not the name of a systemd credential", "alone");
}

#[test]
fn a_url_in_the_place_of_a_service_is_not_repeated_in_the_message() {
    let problems = read("[[notify]]\nwebhook = \"https://hooks.slack.com/services/T/B/secret\"\n").unwrap_err();
    assert!(problems[0].what.starts_with("a URL is not a service"), "{problems:?}");
    assert!(!format!("{problems:?}").contains("secret"));
}

#[test]
fn channels_of_one_kind_are_numbered() {
    let table = "[[notify]]\nwebhook = \"slack\"\nurl = \"https://x.example\"\n";
    let settings = read(&table.repeat(3)).unwrap();
    let names: Vec<&str> = settings.notify.iter().map(|one| one.value.name.as_str()).collect();
    assert_eq!(names, ["slack", "slack 2", "slack 3"]);
}
