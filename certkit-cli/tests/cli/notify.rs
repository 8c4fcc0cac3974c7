//! `notify`, and `update_account --email`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use testkit::{Pebble, PebbleOptions, Smtp, SmtpOptions, WebSink};

use crate::support::{Place, Run};

fn settings(place: &Place, content: &str) {
    let dir = place.tree.config_dir().join("certkit");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("settings.toml"), content).unwrap();
}

fn own(place: &Place) -> String {
    fs::read_to_string(place.tree.config_dir().join("certkit/settings.toml")).unwrap()
}

/// Two certificates, one of them past its end.
fn place() -> Place {
    let place = Place::new();
    place.tree.lineage("a.example.org").days_left(60).write();
    place.tree.lineage("z.example.org").days_left(-2).write();
    place
}

#[test]
fn a_test_tells_of_each_channel_whether_it_arrived() {
    let place = place();
    let (sink, server) = (WebSink::start(), Smtp::start(&SmtpOptions { tls: "none", ..SmtpOptions::default() }));
    settings(
        &place,
        &format!(
            "email = \"owner@example.org\"\n[[notify]]\nname = \"chat\"\nwebhook = \"slack\"\nurl_env = \"HOOK\"\n[[notify]]\nname = \"mail\"\nsmtp = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n",
            server.port()
        ),
    );
    let run = |answer: Option<u16>| {
        if let Some(status) = answer {
            sink.answer(status, "invalid_token");
        }
        let output = place.command(&["notify", "--test"]).env("HOOK", sink.url("/services/secret")).output().unwrap();
        Run::of(output)
    };
    let well = run(None).ends_with(0);
    assert_eq!(well.stdout, "chat: sent to slack.\nmail: sent to owner@example.org.\n");
    assert_eq!(server.mails().len(), 1);
    let subject = server.mails()[0].headers("Subject").remove(0);
    assert!(subject.contains("to see whether messages arrive"), "{subject}");
    let half = run(Some(403)).ends_with(1);
    assert!(half.stderr.contains("chat: HTTP 403 from 127.0.0.1") && half.stderr.contains("What to do: "), "{half:?}");
    assert!(half.stdout.contains("mail: sent") && !half.stderr.contains("secret"), "{half:?}");
    assert!(!fs::read_to_string(place.log()).unwrap().contains("secret"));
    let missing = place.run(&["notify", "--test", "--json"]).ends_with(1);
    let document = missing.json();
    assert_eq!(
        (document["channels"][0]["result"].as_str(), document["channels"][1]["result"].as_str()),
        (Some("failed"), Some("delivered"))
    );
    assert!(document["channels"][0]["why"].as_str().unwrap().contains("$HOOK: this variable is not set"), "{document}");
}

#[test]
fn a_dry_run_shows_what_would_go_out_to_whom_and_why_not_and_sends_nothing() {
    let place = place();
    let sink = WebSink::start();
    settings(
        &place,
        &format!(
            "email = \"owner@example.org\"\n[[notify]]\nwebhook = \"generic\"\nurl = \"{}\"\n[[notify]]\nsmtp = \"mail.invalid\"\n",
            sink.url("/secret")
        ),
    );
    let before = place.tree.snapshot();
    let run = place.run(&["notify", "--dry-run"]).ends_with(0);
    assert!(run.stdout.contains("generic: this would go to generic:\n"), "{run:?}");
    assert!(run.stdout.contains("smtp mail.invalid: this would go to owner@example.org:\n"), "{run:?}");
    assert!(run.stdout.contains("Subject: ") && run.stdout.contains("z.example.org"), "{run:?}");
    assert!(run.stdout.contains("Nothing is said of:\n  a.example.org: nothing is wrong"), "{run:?}");
    assert!(!run.stdout.contains("secret"), "{run:?}");
    let note = format!("note: the commands are for this tree with --config-dir {} ", place.tree.config_dir().display());
    assert!(run.stderr.starts_with(&note) && run.stderr.lines().count() == 1, "{run:?}");
    let document = place.run(&["notify", "--dry-run", "--json"]).ends_with(0).json();
    assert_eq!(document["channels"][0]["messages"][0]["certificates"][0], "z.example.org");
    assert_eq!(
        (document["due"].clone(), document["quiet"][0]["certificate"].clone()),
        (1.into(), "a.example.org".into())
    );
    assert_eq!(place.tree.snapshot(), before);
    assert!(sink.take().is_empty());
}

#[test]
fn what_is_due_is_sent_once() {
    let place = place();
    let sink = WebSink::start();
    settings(&place, &format!("[[notify]]\nwebhook = \"generic\"\nurl = \"{}\"\n", sink.url("/x")));
    sink.answer(500, "");
    let run = place.run(&["notify"]).ends_with(1);
    assert!(run.stderr.contains("generic: a notice could not be delivered: HTTP 500"), "{run:?}");
    let run = place.run(&["notify"]).ends_with(0);
    assert_eq!(run.stdout, "generic: 1 notice sent to generic.\n");
    let run = place.run(&["notify"]).ends_with(0);
    assert_eq!(run.stdout, "There is nothing to tell.\n");
    assert_eq!(sink.take().len(), 2);
    let dry = place.run(&["notify", "--dry-run"]).ends_with(0);
    assert!(dry.stdout.contains("z.example.org: told on ") && dry.stdout.contains("a reminder comes"), "{dry:?}");
    let file = place.tree.config_dir().join("certkit/state/common/deliveries.json");
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn that_nobody_is_told_is_said() {
    let place = place();
    let run = place.run(&["notify", "--test"]).ends_with(1);
    assert!(run.stderr.contains("nobody is told") && run.stderr.contains("certkit update_account --email"), "{run:?}");
    let run = place.run(&["status"]).ends_with(0);
    assert!(run.stdout.contains("nobody is told") && run.stdout.contains("What to do: set a mail address"), "{run:?}");
    let run = place.run(&["notify", "--dry-run"]).ends_with(0);
    assert!(run.stderr.contains("nobody is told") && run.stdout.contains("z.example.org"), "{run:?}");
    settings(&place, "email = \"owner@example.org\"\n");
    assert!(!place.run(&["status"]).ends_with(0).stdout.contains("nobody is told"));
}

#[test]
fn flags_that_would_do_nothing_are_refused() {
    let place = Place::new();
    let run = place.run(&["renew", "--test"]).ends_with(2);
    assert!(run.stderr.contains("--test-cert"), "{run:?}");
    place.run(&["notify", "--test", "--dry-run"]).ends_with(2);
    place.run(&["notify", "--force-renewal"]).ends_with(2);
}

#[test]
fn config_check_shows_where_secrets_are_and_not_what_they_are() {
    let place = Place::new();
    settings(
        &place,
        "email = \"owner@example.org\"\n[[notify]]\nwebhook = \"slack\"\nurl = \"https://hooks.example/hunter2\"\n[[notify]]\nsmtp = \"mail.example.org\"\nusername = \"u\"\npassword_file = \"/etc/smtp-password\"\nlevel = \"critical\"\n[heartbeat]\nurl_credential = \"beat\"\n",
    );
    let dir = place.tree.config_dir().join("certkit");
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
    let run = place.run(&["config", "check"]).ends_with(0);
    assert!(run.stdout.contains("webhook slack (fields url (not shown), level info, name slack)"), "{}", run.stdout);
    assert!(run.stdout.contains("password in the file /etc/smtp-password, level critical"), "{}", run.stdout);
    assert!(run.stdout.contains("url in the credential beat"), "{}", run.stdout);
    let document = place.run(&["config", "check", "--json"]).ends_with(0).stdout;
    assert!(!run.stdout.contains("hunter2") && !document.contains("hunter2"));
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(dir.join("settings.toml"), fs::Permissions::from_mode(0o644)).unwrap();
    let run = place.run(&["config", "check"]).ends_with(1);
    assert!(run.stderr.contains("the settings hold a secret") && run.stderr.contains("chmod o-rwx"), "{run:?}");
}

#[test]
fn an_address_is_changed_here_and_at_the_ca() {
    let ca = Pebble::start(PebbleOptions::default());
    let place = Place::new();
    settings(&place, "# ours\nparallel_orders = 2 # few\n");
    // Nobody at the CA: only this machine is concerned.
    let run = place.run_at(&ca, &["update_account", "--email", "a@example.org"]).ends_with(0);
    assert!(
        run.stdout.contains("Notices of this machine go to a@example.org now")
            && run.stdout.contains("They tell, by sendmail"),
        "{run:?}"
    );
    assert_eq!(own(&place), "email = \"a@example.org\"\n# ours\nparallel_orders = 2 # few\n");
    place.run_at(&ca, &["register", "-n", "--agree-tos", "-m", "a@example.org"]).ends_with(0);
    let run = place.run_at(&ca, &["update_account", "--email", "b@example.org,c@example.org"]).ends_with(0);
    assert!(run.stdout.ends_with("Your e-mail address was updated to b@example.org,c@example.org.\n"), "{run:?}");
    assert_eq!(own(&place), "email = [\"b@example.org\", \"c@example.org\"]\n# ours\nparallel_orders = 2 # few\n");
    let run = place.run_at(&ca, &["update_account", "--register-unsafely-without-email"]).ends_with(0);
    assert_eq!(own(&place), "# ours\nparallel_orders = 2 # few\n");
    assert!(run.stderr.contains("nobody is told"), "{run:?}");
    for bad in ["-OQueueDirectory=/tmp@example.org", "a b@example.org"] {
        let email = format!("--email={bad}");
        place.run_at(&ca, &["update_account", &email]).ends_with(2);
    }
    assert_eq!(own(&place), "# ours\nparallel_orders = 2 # few\n");
    // A new file is its owner's alone; one that is a link stays one.
    let other = Place::new();
    other.run_at(&ca, &["update_account", "--email", "a@example.org"]).ends_with(0);
    let file = other.tree.config_dir().join("certkit/settings.toml");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let elsewhere = other.folder().join("ours.toml");
    fs::rename(&file, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    other.run_at(&ca, &["update_account", "--email", "b@example.org"]).ends_with(0);
    assert!(fs::symlink_metadata(&file).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "email = \"b@example.org\"\n");
    settings(&place, "parallel_ordes = 2\n");
    let run = place.run_at(&ca, &["update_account", "--email", "d@example.org"]).ends_with(1);
    assert!(run.stderr.contains("parallel_ordes") && own(&place) == "parallel_ordes = 2\n", "{run:?}");
}

#[test]
fn settings_with_a_mistake_are_told_by_the_channels_that_can_be_read() {
    let place = place();
    let sink = WebSink::start();
    let channel = format!("[[notify]]\nname = \"chat\"\nwebhook = \"generic\"\nurl = \"{}\"\n", sink.url("/hook"));
    settings(&place, &format!("paralel_orders = 2\n{channel}[heartbeat]\nurl = \"{}\"\n", sink.url("/beat")));
    for command in [&["renew"][..], &["daemon"]] {
        let run = place.run(command).ends_with(1);
        assert!(run.stderr.contains("paralel_orders") && run.stderr.contains("What to do: "), "{run:?}");
    }
    let told: Vec<String> = sink.take().into_iter().map(|one| one.path).collect();
    assert_eq!(told, ["/beat/fail", "/hook", "/beat/fail"], "both runs fail, and it is told once");
    let run = place.run(&["notify", "--dry-run"]).ends_with(0);
    assert!(run.stderr.contains("paralel_orders") && !run.stderr.contains("nobody is told"), "{run:?}");
    let run = place.run(&["notify"]).ends_with(1);
    assert!(run.stderr.contains("paralel_orders"), "{run:?}");
    assert!(sink.take().is_empty(), "it is told already");
    let run = place.run(&["notify", "--test"]).ends_with(1);
    assert!(run.stdout.contains("chat: sent") && run.stderr.contains("paralel_orders"), "{run:?}");
}

#[test]
fn a_user_who_may_not_write_tells_it_once_by_mail_and_webhook_and_root_tells_that_it_is_over() {
    let place = Place::new();
    let (sink, server) = (WebSink::start(), Smtp::start(&SmtpOptions { tls: "none", ..SmtpOptions::default() }));
    let channels = format!(
        "email = \"owner@example.org\"\n[[notify]]\nwebhook = \"generic\"\nurl = \"{}\"\n[[notify]]\nsmtp = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n",
        sink.url("/hook"),
        server.port()
    );
    settings(&place, &channels);
    let etc = place.tree.config_dir().to_owned();
    for folder in ["work", "log"] {
        fs::create_dir_all(place.folder().join(folder)).unwrap();
    }
    let (work, log) = (place.folder().join("work"), place.folder().join("log"));
    let open = [(place.folder(), 0o755), (&etc, 0o755), (&etc.join("certkit"), 0o755), (&work, 0o777), (&log, 0o777)];
    for (folder, mode) in open {
        fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
    }
    for _ in 0..3 {
        let run = place.run_as_nobody(&["renew", "-q"]).ends_with(1);
        assert_eq!(run.stderr.matches("Permission denied").count(), 1, "{run:?}");
        assert!(run.stderr.contains("run as the user who owns it"), "{run:?}");
    }
    let run = place.run_as_nobody(&["notify"]).ends_with(1);
    assert!(run.stderr.contains("may not write to the store") && run.stderr.contains("ls -ld"), "{run:?}");
    let (told, mails) = (sink.take(), server.mails());
    assert_eq!((told.len(), mails.len()), (1, 1), "{told:?} {mails:?}");
    let text = told[0].json()["text"].as_str().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("this user may not write to the store") && text.contains("are untouched"), "{text}");
    assert!(text.contains(&format!("ls -ld {}", etc.display())), "{text}");
    place.run(&["renew"]).ends_with(0);
    let (told, mails) = (sink.take(), server.mails());
    assert_eq!((told.len(), mails.len()), (1, 2), "{told:?}");
    assert_eq!(told[0].json()["resolved"], true);
    let cause = told[0].json()["notices"][0]["cause"].as_str().unwrap().to_owned();
    assert!(cause.contains("it was told first on"), "{cause}");
}

#[test]
fn without_a_channel_a_run_tells_the_same_trouble_once() {
    let place = Place::new();
    fs::create_dir_all(place.tree.config_dir().join("renewal")).unwrap();
    fs::write(place.tree.config_dir().join("renewal/a.example.org.conf"), "").unwrap();
    let run = place.run(&["renew", "--json"]).ends_with(1);
    let codes = run.json()["problems"].to_string();
    assert!(codes.contains("no channel is set"), "it is due: {codes}");
    assert!(!run.stderr.contains("no channel is set"), "{run:?}");
}
