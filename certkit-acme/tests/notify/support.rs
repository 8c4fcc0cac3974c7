//! Settings, notices and names that want to be something else.

use std::path::PathBuf;

use certkit_acme::command::CommandSettings;
use certkit_acme::notify::{Delivery, Notifier, Secrets, Sent};
use certkit_acme::transport::TransportSettings;
use certkit_core::settings::Settings;
use certkit_core::state::DeliveryMemory;
use certkit_core::{Identifier, Notice, NoticeAttempt, NoticeKind, NoticeLevel, escape};
use chrono::{DateTime, TimeDelta, Utc};

/// What a certificate, a CA or a file name may call itself.
pub(crate) const HOSTILE: &str = "a.example\r\nBcc: eve@example.org\r\n\r\n.\r\nMAIL FROM:<eve@example.org>\"><script>alert(1)</script>{{ 7*7 }}{% for x in y %}%s%n$(id)`id`<!channel>@everyone\\\"}";

/// 2027-01-15 08:00 UTC.
pub(crate) fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

pub(crate) fn settings(text: &str) -> Settings {
    Settings::parse(text.as_bytes()).unwrap()
}

pub(crate) fn notifier(text: &str) -> Notifier {
    notifier_trusting(text, Vec::new())
}

pub(crate) fn notifier_trusting(text: &str, roots: Vec<PathBuf>) -> Notifier {
    let mut transport = TransportSettings::new();
    transport.ca_bundles = roots;
    Notifier::new(&settings(text), Secrets::new(), "host.example.net", &transport, &CommandSettings::new())
}

/// A certificate near its end, whose renewal fails.
pub(crate) fn expiring(name: &str) -> Notice {
    let mut notice = Notice::test(now());
    notice.kind = NoticeKind::Expiring;
    notice.level = NoticeLevel::Critical;
    notice.incident = format!("renewal/{}", escape(name));
    notice.key = format!("{}/expiring", notice.incident);
    notice.cause_key = "challenge-failed/connection".to_owned();
    notice.certificate = escape(name).into_owned();
    let names = ["a.example", "www.a.example"].map(|name| Identifier::parse(name).unwrap());
    notice.identifiers = names.into_iter().collect();
    notice.failing = vec![("www.a.example".to_owned(), "connection".to_owned())];
    notice.not_after = Some(now() + TimeDelta::hours(77));
    notice.due_since = Some(now() - TimeDelta::days(20));
    notice.attempts =
        vec![NoticeAttempt::new(now() - TimeDelta::hours(6), "the CA could not connect to www.a.example")];
    notice.cause = format!("the CA could not connect to {}", escape(name));
    notice.cure = "open port 80 from everywhere".to_owned();
    notice.command = "certkit renew --cert-name a.example".to_owned();
    notice.deployed_to = vec!["reload of nginx.service".to_owned()];
    notice.served = vec![format!("{}:443 serves what is stored", escape(name))];
    notice
}

/// The same trouble is over.
pub(crate) fn recovered(name: &str) -> Notice {
    let mut notice = expiring(name);
    notice.kind = NoticeKind::Recovered;
    notice.level = NoticeLevel::Info;
    notice.key = format!("{}/recovered", notice.incident);
    notice.cause = "it is renewed".to_owned();
    (notice.cure, notice.command) = (String::new(), String::new());
    notice.failing = Vec::new();
    notice
}

/// Takes notices in and delivers what waits, as a run does.
pub(crate) async fn deliver(notifier: &Notifier, memory: &mut DeliveryMemory, notices: &[Notice]) -> Vec<Delivery> {
    assert!(notifier.take_in(memory, notices, now()).is_empty());
    notifier.deliver(memory, now()).await
}

pub(crate) async fn deliver_once(notifier: &Notifier, notices: &[Notice]) -> Vec<Delivery> {
    deliver(notifier, &mut DeliveryMemory::default(), notices).await
}

/// Why nobody has it.
#[track_caller]
pub(crate) fn why(deliveries: &[Delivery]) -> String {
    let [Delivery { sent: Sent::ToNobody { why, .. }, .. }] = deliveries else { panic!("{deliveries:?}") };
    why.clone()
}

#[track_caller]
pub(crate) fn arrived(deliveries: &[Delivery]) {
    assert!(!deliveries.is_empty() && deliveries.iter().all(|one| one.sent.is_complete()), "{deliveries:#?}");
}
