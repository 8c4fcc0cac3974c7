//! What earlier runs have left and remember: orders, deploys, limits, what is served, what the CA said.

use certkit_core::decision::limits::OrderKind;
use certkit_core::state::DeployTarget;
use certkit_core::store::PendingOrder;
use certkit_core::{AcmeUrl, FindingCode as Code, LineageName, PrivateKey};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::fault::{Fault, Look};
use super::sound::{LETS_ENCRYPT, NAME, Sound};

fn ordered(sound: &Sound<'_>, placed: DateTime<Utc>) {
    let names = sound.certificate().identifiers().unwrap();
    let key = std::fs::read(sound.in_store("archive/w.a.example/privkey1.pem")).unwrap();
    let account = sound.account.uri.clone();
    let order = PendingOrder::new(account.clone(), AcmeUrl::parse(&sound.proxy.directory_url()).unwrap(), account, names, placed);
    let key = PrivateKey::from_pem(&key).unwrap();
    sound.host.store().lock().unwrap().begin(&LineageName::new(NAME).unwrap(), &key, order).unwrap();
}

/// What the endpoint served when it was last looked at.
fn answers(sound: &Sound<'_>, leaf: &str, troubles: &[&str]) {
    let answer = json!({ "address": "192.0.2.7:443", "leaf": { "kind": leaf }, "troubles": troubles });
    sound.remember(|memory| memory["served"][0]["answers"] = json!([answer]));
}

/// A window of renewal information, in days from now.
fn window(sound: &Sound<'_>, from: i64, to: i64, explained: bool) {
    let days = |days| Utc::now() + TimeDelta::days(days);
    let url = if explained { json!("https://ca.example/why") } else { Value::Null };
    let id = sound.certificate().ari_id().unwrap();
    sound.remember(|memory| {
        memory["renewal_information"] = json!({
            "certificate": id.as_str(),
            "window": { "start": days(from), "end": days(to) },
            "explanation_url": url,
            "next_check": days(1),
            "failures": 0,
        });
    });
}

pub(super) const FAULTS: &[Fault] = &[
    Fault::notice(Code::OrderPending, |sound| ordered(sound, Utc::now() - TimeDelta::hours(1)))
        .says(&["a.example", "placed 20"])
        .cure("certkit renew")
        .seen(Look::Here),
    Fault::warning(Code::OrderStale, |sound| ordered(sound, Utc::now() - TimeDelta::days(8)))
        .says(&["a.example", "8 days ago"])
        .cure("certkit renew --cert-name a.example")
        .seen(Look::Here),
    Fault::notice(Code::LimitNearlyUsed, |sound| issued(sound, 4))
        .says(&["a.example", "1 of 5 certificates for the same names in 7 days"])
        .cure("order nothing by hand")
        .seen(Look::Here),
    Fault::warning(Code::LimitNearlyUsed, |sound| issued(sound, 5))
        .says(&["a.example", "0 of 5 certificates for the same names in 7 days"])
        .cure("order nothing by hand")
        .seen(Look::Here),
    Fault::warning(Code::DeployPending, |sound| {
        let target = serde_json::to_value(DeployTarget::Hook("systemctl reload web".into())).unwrap();
        let pending = json!({ "target": target, "version": 1, "failures": 2 });
        sound.remember(|memory| memory["deploy_pending"] = json!([pending]));
    })
    .says(&["a.example", "it failed 2 times"])
    .cure("certkit history --cert-name a.example")
    .seen(Look::Here),
    Fault::error(Code::NotServed, |sound| answers(sound, "foreign", &[]))
        .says(&["a.example", "192.0.2.7"])
        .cure("live/a.example")
        .seen(Look::Here),
    Fault::warning(Code::ServedWrongly, |sound| answers(sound, "same", &["incomplete-chain"]))
        .says(&["a.example", "192.0.2.7"])
        .cure("fullchain.pem")
        .seen(Look::Here),
    Fault::warning(Code::EndpointUnreachable, |sound| answers(sound, "unreachable", &[]))
        .says(&["a.example", "192.0.2.7"])
        .cure("certkit inspect a.example:443")
        .seen(Look::Here),
    Fault::notice(Code::AuthorityNotKnownHere, |sound| answers(sound, "same", &["unknown-authority"]))
        .says(&["a.example"])
        .cure("ca_bundles = ")
        .seen(Look::Here),
    Fault::error(Code::CertificateRevoked, |sound| {
        let serial = sound.certificate().serial().certbot_hex();
        sound.remember(|memory| {
            memory["revocation"] = json!({
                "serial": serial,
                "revoked_since": Utc::now() - TimeDelta::hours(5),
                "next_check": Utc::now() + TimeDelta::hours(5),
            });
        });
    })
    .says(&["a.example"])
    .cure("certkit renew --cert-name a.example --force-renewal --new-key")
    .seen(Look::Here),
    Fault::notice(Code::RenewalInformationExplained, |sound| window(sound, -9, -8, true))
        .says(&["a.example", "https://ca.example/why"])
        .cure("read it")
        .seen(Look::Here),
    Fault::warning(Code::RenewalInformationTooLate, |sound| window(sound, 58, 59, false))
        .says(&["a.example", "from "])
        .cure("renewal_information = false in certkit/lineages/a.example.toml")
        .seen(Look::Here),
    Fault::notice(Code::BeforeTheWindow, |sound| {
        // The next run would come when the window is nearly over.
        sound.host.write("etc/certkit/settings.toml", "email = \"owner@example.org\"\nrun_interval = \"5 days\"\n");
        window(sound, 2, 4, false);
    })
    .says(&["a.example", "it begins at "])
    .cure("certkit's own timer")
    .seen(Look::Here),
    Fault::warning(Code::WishPostponed, |sound| {
        sound.write_certificate(|lineage| lineage.days_left(10));
        let at = Utc::now() - TimeDelta::days(1);
        sound.remember(|memory| {
            let names = ["a.example", "www.a.example", "new.a.example"];
            memory["wish"] = json!({ "at": at, "identifiers": names });
            memory["last_failure"] = json!({
                "at": Utc::now(),
                "class": "challenge-failed",
                "retry": "now",
                "per_identifier": [["new.a.example", "connection"]],
            });
        });
    })
    .says(&["a.example", "new.a.example"])
    .cure("certkit history --cert-name a.example")
    .seen(Look::Here),
];

fn issued(sound: &Sound<'_>, times: usize) {
    let account = sound.host.place.tree.account(LETS_ENCRYPT, testkit::AccountKeyKind::EcP256);
    sound.write_certificate(|lineage| lineage.server(LETS_ENCRYPT).account(&account.id));
    sound.ledger(|ledger, scope| {
        for _ in 0..times {
            ledger.issued(scope, OrderKind::SameIdentifiers, TimeDelta::days(90), Utc::now());
        }
    });
}
