//! Mail by a server that is not ours.

use certkit_acme::notify::Sent;
use certkit_core::state::DeliveryMemory;
use testkit::{ReceivedMail, Smtp, SmtpOptions};

use crate::support::{HOSTILE, arrived, deliver, deliver_once, expiring, notifier, notifier_trusting, recovered, why};

fn channel(server: &Smtp, more: &str) -> String {
    let port = server.port();
    format!(
        "email = \"owner@example.org\"\n[[notify]]\nsmtp = \"127.0.0.1\"\nport = {port}\nfrom = \"certkit@example.net\"\n{more}"
    )
}

fn with_login() -> SmtpOptions {
    SmtpOptions { login: Some(("u".into(), "hunter2".into())), ..SmtpOptions::default() }
}

const LOGIN: &str = "username = \"u\"\npassword = \"hunter2\"\n";

#[track_caller]
fn one_mail(server: &Smtp) -> ReceivedMail {
    let mails = server.mails();
    assert_eq!(mails.len(), 1, "{mails:#?}");
    mails.into_iter().next().unwrap()
}

/// The text part and the HTML part, decoded.
fn parts(mail: &ReceivedMail) -> (String, String) {
    let kind = mail.headers("Content-Type").remove(0);
    let boundary = format!("--{}", kind.split("boundary=").nth(1).unwrap().trim_matches('"'));
    let mut parts = mail.data.split(&boundary).skip(1).map(|part| {
        let (head, body) = part.split_once("\r\n\r\n").unwrap_or((part, ""));
        if head.contains("quoted-printable") { unquoted(body) } else { body.replace("\r\n", "\n") }
    });
    (parts.next().unwrap(), parts.next().unwrap())
}

/// RFC 2045 section 6.7.
fn unquoted(body: &str) -> String {
    let joined = body.replace("=\r\n", "").replace("\r\n", "\n");
    let mut bytes = Vec::new();
    let mut rest = joined.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'=' {
            bytes.push(byte);
            continue;
        }
        let hex = [rest.next().unwrap(), rest.next().unwrap()];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
    }
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_mail_goes_over_starttls_with_a_login() {
    let server = Smtp::start(&with_login());
    let notifier = notifier_trusting(&channel(&server, LOGIN), vec![server.ca_bundle()]);
    arrived(&deliver_once(&notifier, &[expiring("a.example")]).await);
    let mail = one_mail(&server);
    assert_eq!((mail.tls, mail.login.as_deref()), (true, Some("u")));
    assert_eq!(
        (mail.from.as_str(), mail.to.as_slice()),
        ("certkit@example.net", &["owner@example.org".to_owned()][..])
    );
    assert_eq!(mail.headers("Auto-Submitted"), ["auto-generated"]);
    assert_eq!(mail.headers("To"), ["owner@example.org"]);
    assert_eq!(mail.headers("Date"), ["Fri, 15 Jan 2027 08:00:00 +0000"]);
    assert_eq!(mail.headers("MIME-Version"), ["1.0"]);
    let ids = mail.headers("Message-ID");
    assert!(ids.len() == 1 && ids[0].ends_with(".certkit@example.net>"), "{ids:?}");
    assert!(mail.headers("List-Unsubscribe").is_empty());
    let subject = mail.headers("Subject").remove(0);
    assert!(subject.contains("a.example") && subject.ends_with("[host.example.net]"), "{subject}");
    let (text, html) = parts(&mail);
    for told in ["a.example", "www.a.example", "open port 80", "certkit renew --cert-name a.example", "nginx.service"] {
        assert!(text.contains(told), "{told}\n{text}");
        assert!(html.contains(told), "{told}\n{html}");
    }
    assert!(html.contains("2027-01-18 13:00 UTC") && html.contains("in 3 days"), "{html}");
    // Nothing is loaded, nothing is a link.
    for never in ["http://", "https://", "src=", "href", "@import", "url(", "unsubscribe"] {
        assert!(!html.to_lowercase().contains(never), "{never}\n{html}");
    }
}

#[tokio::test]
async fn a_mail_goes_over_tls_from_the_first_byte() {
    let server = Smtp::start(&SmtpOptions { tls: "tls", ..with_login() });
    let notifier = notifier_trusting(&channel(&server, &format!("tls = \"tls\"\n{LOGIN}")), vec![server.ca_bundle()]);
    arrived(&deliver_once(&notifier, &[expiring("a.example")]).await);
    let mail = one_mail(&server);
    assert_eq!((mail.tls, mail.login.as_deref()), (true, Some("u")));
}

#[tokio::test]
async fn without_tls_mail_goes_to_this_machine_alone() {
    let server = Smtp::start(&SmtpOptions { tls: "none", ..SmtpOptions::default() });
    arrived(&deliver_once(&notifier(&channel(&server, "tls = \"none\"\n")), &[expiring("a.example")]).await);
    assert!(!one_mail(&server).tls);
}

#[tokio::test]
async fn a_wrong_password_is_told_without_it() {
    let server = Smtp::start(&with_login());
    let wrong = channel(&server, "username = \"u\"\npassword = \"wrong-secret\"\n");
    let deliveries = deliver_once(&notifier_trusting(&wrong, vec![server.ca_bundle()]), &[expiring("a.example")]).await;
    let why = why(&deliveries);
    assert!(why.contains("the server does not take the login") && !why.contains("wrong-secret"), "{why}");
    let finding = deliveries[0].finding().unwrap();
    assert!(finding.cure().contains("`username` and the password"), "{finding:?}");
    assert!(server.mails().is_empty() && server.log().contains("login: u"), "{}", server.log());
}

#[tokio::test]
async fn where_starttls_was_taken_out_nothing_is_sent() {
    let server = Smtp::start(&SmtpOptions { tls: "none", ..with_login() });
    let deliveries = deliver_once(&notifier(&channel(&server, LOGIN)), &[expiring("a.example")]).await;
    assert!(why(&deliveries).contains("does not offer STARTTLS"), "{deliveries:?}");
    assert!(server.mails().is_empty() && !server.log().contains("login:"), "{}", server.log());
}

#[tokio::test]
async fn a_server_whose_certificate_nobody_vouches_for_gets_nothing() {
    for tls in ["starttls", "tls"] {
        let server = Smtp::start(&SmtpOptions { tls, ..with_login() });
        let channel = channel(&server, &format!("tls = \"{tls}\"\n{LOGIN}"));
        let deliveries = deliver_once(&notifier(&channel), &[expiring("a.example")]).await;
        let why = why(&deliveries);
        assert!(why.to_lowercase().contains("certificate"), "{tls}: {why}");
        assert!(server.mails().is_empty(), "{tls}");
    }
}

#[tokio::test]
async fn one_refused_recipient_keeps_no_other_from_getting_it() {
    let server = Smtp::start(&SmtpOptions {
        refuse: vec![("b@example.org".into(), "550 5.1.1 no such \u{7f}user".into())],
        ..SmtpOptions::default()
    });
    let three = "to = [\"a@example.org\", \"b@example.org\", \"c@example.org\"]\n";
    let notifier = notifier_trusting(&channel(&server, three), vec![server.ca_bundle()]);
    let mut memory = DeliveryMemory::default();
    let deliveries = deliver(&notifier, &mut memory, &[expiring("a.example")]).await;
    let Sent::ToSome { refused, later } = &deliveries[0].sent else { panic!("{deliveries:?}") };
    assert_eq!((refused[0].0.as_str(), later.len()), ("b@example.org", 0));
    assert!(refused[0].1.contains("5.1.1") && !refused[0].1.contains('\u{7f}'), "{refused:?}");
    let finding = deliveries[0].finding().unwrap();
    assert!(finding.evidence.contains("b@example.org") && finding.cure().contains("`email`"), "{finding:?}");
    assert_eq!(one_mail(&server).to, ["a@example.org", "c@example.org"]);
    // Another try would hear the same.
    assert!(deliver(&notifier, &mut memory, &[]).await.is_empty());
}

#[tokio::test]
async fn who_was_put_off_gets_it_at_the_next_run_and_the_others_do_not_get_it_again() {
    let options = SmtpOptions {
        refuse: vec![("b@example.org".into(), "451 4.7.1 greylisted, try again later".into())],
        ..SmtpOptions::default()
    };
    let (mut memory, two) = (DeliveryMemory::default(), "to = [\"a@example.org\", \"b@example.org\"]\n");
    let server = Smtp::start(&options);
    let port = server.port();
    let notifier = notifier_trusting(&channel(&server, two), vec![server.ca_bundle()]);
    let deliveries = deliver(&notifier, &mut memory, &[expiring("a.example")]).await;
    assert!(deliveries[0].finding().unwrap().evidence.contains("put off"), "{deliveries:?}");
    assert_eq!(one_mail(&server).to, ["a@example.org"]);
    drop(server);
    let server = Smtp::start(&SmtpOptions { port: Some(port), ..SmtpOptions::default() });
    let notifier = notifier_trusting(&channel(&server, two), vec![server.ca_bundle()]);
    let deliveries = deliver(&notifier, &mut memory, &[]).await;
    arrived(&deliveries);
    assert_eq!(deliveries[0].recipients, ["b@example.org"]);
    assert_eq!(one_mail(&server).to, ["b@example.org"]);
    assert!(deliver(&notifier, &mut memory, &[]).await.is_empty());
}

#[tokio::test]
async fn a_server_that_is_down_gets_it_at_the_next_run_once() {
    let port = testkit::ports::free_port();
    let mut memory = DeliveryMemory::default();
    let text = format!("email = \"owner@example.org\"\n[[notify]]\nsmtp = \"127.0.0.1\"\nport = {port}\n");
    let deliveries = deliver(&notifier(&text), &mut memory, &[expiring("a.example")]).await;
    assert!(why(&deliveries).contains("refused"), "{deliveries:?}");
    // As it is when it was written and read.
    let mut memory: DeliveryMemory = serde_json::from_str(&serde_json::to_string(&memory).unwrap()).unwrap();
    let server = Smtp::start(&SmtpOptions { port: Some(port), ..SmtpOptions::default() });
    let notifier = notifier_trusting(&text, vec![server.ca_bundle()]);
    arrived(&deliver(&notifier, &mut memory, &[]).await);
    assert!(deliver(&notifier, &mut memory, &[]).await.is_empty());
    assert!(one_mail(&server).data.contains("a.example"));
}

#[tokio::test]
async fn hostile_names_make_one_mail_to_the_given_recipients() {
    let server = Smtp::start(&SmtpOptions::default());
    let notifier = notifier_trusting(&channel(&server, ""), vec![server.ca_bundle()]);
    let mut notice = expiring(HOSTILE);
    // Whoever made the notice may have forgotten to escape.
    notice.certificate = HOSTILE.to_owned();
    notice.cause = HOSTILE.to_owned();
    notice.cure = HOSTILE.to_owned();
    notice.command = format!("certkit renew --cert-name '{HOSTILE}'");
    notice.failing = vec![(HOSTILE.to_owned(), HOSTILE.to_owned())];
    notice.deployed_to = vec![HOSTILE.to_owned()];
    arrived(&deliver_once(&notifier, &[notice]).await);
    let mail = one_mail(&server);
    assert_eq!(mail.to, ["owner@example.org"]);
    assert!(mail.headers("Bcc").is_empty() && mail.headers("Subject").len() == 1, "{}", mail.data);
    let (text, html) = parts(&mail);
    assert!(text.contains("\\u{d}\\u{a}Bcc: eve@example.org"), "{text}");
    assert!(text.contains("{{ 7*7 }}{% for x in y %}%s%n$(id)`id`"), "{text}");
    assert!(!text.lines().any(|line| line.trim() == "." || line.starts_with("MAIL FROM")), "{text}");
    assert!(!html.contains("<script>") && html.contains("{{ 7*7 }}") && !html.contains("49"), "{html}");
}

#[tokio::test]
async fn what_has_one_cause_stands_in_one_part_and_a_run_makes_one_mail() {
    let server = Smtp::start(&SmtpOptions::default());
    let notifier = notifier_trusting(&channel(&server, ""), vec![server.ca_bundle()]);
    let mut other = expiring("c.example");
    other.cause_key = "disk-full".to_owned();
    arrived(&deliver_once(&notifier, &[expiring("a.example"), expiring("b.example"), other]).await);
    let mail = one_mail(&server);
    let (text, html) = parts(&mail);
    assert!(mail.headers("Subject")[0].contains("(and 1 more)"), "{:?}", mail.headers("Subject"));
    assert_eq!(html.matches("<h1").count(), 2, "{html}");
    assert_eq!(html.matches("<h2>").count(), 3, "{html}");
    assert!(["a.example", "b.example", "c.example"].iter().all(|name| text.contains(name)), "{text}");
}

#[tokio::test]
async fn a_notice_that_is_sent_again_has_the_same_id_and_what_belongs_together_one_thread() {
    let server = Smtp::start(&SmtpOptions::default());
    let notifier = notifier_trusting(&channel(&server, ""), vec![server.ca_bundle()]);
    let mut memory = DeliveryMemory::default();
    for notices in [[expiring("a.example")], [expiring("a.example")], [recovered("a.example")]] {
        arrived(&deliver(&notifier, &mut memory, &notices).await);
    }
    let mails = server.mails();
    let field = |name: &str| mails.iter().map(|mail| mail.headers(name).remove(0)).collect::<Vec<_>>();
    let (ids, threads) = (field("Message-ID"), field("References"));
    assert!(ids[0] == ids[1] && ids[1] != ids[2], "{ids:?}");
    assert!(threads.iter().all(|thread| *thread == threads[0]), "{threads:?}");
}

#[tokio::test]
async fn the_mail_is_as_it_was() {
    let server = Smtp::start(&SmtpOptions::default());
    let notifier = notifier_trusting(&channel(&server, ""), vec![server.ca_bundle()]);
    arrived(&deliver_once(&notifier, &[expiring("a.example")]).await);
    let (text, html) = parts(&one_mail(&server));
    let files = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/notify/snapshots");
    for (name, now) in [("mail.txt", text), ("mail.html", html)] {
        let file = format!("{files}/{name}");
        // `CERTKIT_TEST_WRITE_SNAPSHOTS=1` writes them anew: read the difference.
        if std::env::var_os("CERTKIT_TEST_WRITE_SNAPSHOTS").is_some() {
            std::fs::write(&file, &now).unwrap();
        }
        let before = std::fs::read_to_string(&file).unwrap();
        assert_eq!(now.trim_end(), before.trim_end(), "{name}");
    }
}
