//! Everything about certificates, for people and as JSON.

use certkit_core::{Certificate, KeyType, ValidityStatus, escape, possible_issuers};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{hex, json_time, time, words};

/// A file or an endpoint.
#[derive(Debug, Default)]
pub(crate) struct Inspected {
    /// As it was named; outside text.
    pub(crate) source: String,
    /// The certificates in their order.
    pub(crate) certificates: Vec<Certificate>,
    /// How many private keys stand beside them, and for which certificate each is, by index.
    pub(crate) keys: Vec<Option<usize>>,
    /// The addresses that answered so, for a host.
    pub(crate) addresses: Vec<String>,
    /// What a client that checks says, for an endpoint.
    pub(crate) verdict: Option<Result<(), String>>,
    /// What else is to be said of what a host serves, and how it compares with the store; escaped.
    pub(crate) served: Vec<String>,
    /// What could not be read; escaped.
    pub(crate) problems: Vec<String>,
}

/// Whether nothing could be read.
pub(crate) fn is_empty(inspected: &Inspected) -> bool {
    inspected.certificates.is_empty() && inspected.keys.is_empty()
}

/// The text for one source.
pub(crate) fn text(inspected: &Inspected, now: DateTime<Utc>) -> String {
    let mut text = String::new();
    let issuers = possible_issuers(&inspected.certificates);
    let total = inspected.certificates.len();
    text.push_str(&format!("{}", escape(&inspected.source)));
    if !inspected.addresses.is_empty() {
        text.push_str(&format!(" (answered from {})", escape(&inspected.addresses.join(", "))));
    }
    text.push('\n');
    match &inspected.verdict {
        Some(Ok(())) => text.push_str("  A client that checks accepts it.\n"),
        Some(Err(why)) => text.push_str(&format!("  A client that checks refuses it: {}\n", escape(why))),
        None => {}
    }
    for line in &inspected.served {
        text.push_str(&format!("  {line}\n"));
    }
    for (at, certificate) in inspected.certificates.iter().enumerate() {
        text.push_str(&format!("  Certificate {} of {total}\n", at + 1));
        let signers = issuers.get(at).map(Vec::as_slice).unwrap_or_default();
        for (label, value) in lines(certificate, at, signers, now) {
            text.push_str(&format!("    {label}: {value}\n"));
        }
    }
    for (at, belongs) in inspected.keys.iter().enumerate() {
        let whose = match belongs {
            Some(index) => format!("belongs to certificate {}", index + 1),
            None if total == 0 => "no certificate stands beside it".to_owned(),
            None => "belongs to none of these certificates".to_owned(),
        };
        text.push_str(&format!("  Private key {}: {whose}\n", at + 1));
    }
    text
}

fn lines(certificate: &Certificate, at: usize, signers: &[usize], now: DateTime<Utc>) -> Vec<(&'static str, String)> {
    let validity = certificate.validity();
    let mut lines = vec![
        ("Subject", or_empty(&certificate.subject())),
        ("Issuer", or_empty(&certificate.issuer())),
        ("Serial", certificate.serial().openssl_hex()),
        ("Valid from", time(validity.not_before)),
        ("Valid until", format!("{} ({})", time(validity.not_after), validity_words(certificate, now))),
    ];
    match certificate.san_dns() {
        Ok(names) if names.is_empty() => {}
        Ok(names) => {
            let names: Vec<_> = names.iter().map(|name| escape(name)).collect();
            lines.push(("DNS names", names.join(", ")));
        }
        Err(problem) => lines.push(("DNS names", format!("cannot be read: {}", escape(&problem.to_string())))),
    }
    match certificate.san_ip() {
        Ok(addresses) if addresses.is_empty() => {}
        Ok(addresses) => {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            lines.push(("IP addresses", addresses.join(", ")));
        }
        Err(problem) => lines.push(("IP addresses", format!("cannot be read: {}", escape(&problem.to_string())))),
    }
    lines.push(("Key", key_words(certificate)));
    lines.push(("SPKI SHA-256", hex(&certificate.spki_sha256())));
    lines.push(("Fingerprint SHA-256", hex(&certificate.fingerprint_sha256())));
    if let Some(id) = certificate.subject_key_id() {
        lines.push(("Subject key id", hex(&id)));
    }
    if let Some(id) = certificate.authority_key_id() {
        lines.push(("Authority key id", hex(&id)));
    }
    if let Some(id) = certificate.ari_id() {
        lines.push(("ARI id", escape(id.as_str()).into_owned()));
    }
    lines.push(("CA", if certificate.is_ca() { "yes" } else { "no" }.to_owned()));
    lines.push(("Signed by", signer_words(at, signers)));
    lines
}

fn or_empty(name: &str) -> String {
    if name.is_empty() { "(empty)".to_owned() } else { escape(name).into_owned() }
}

fn signer_words(at: usize, signers: &[usize]) -> String {
    if signers.is_empty() {
        return "none of these".to_owned();
    }
    let each: Vec<String> = signers
        .iter()
        .map(|signer| if *signer == at { "itself".to_owned() } else { format!("certificate {}", signer + 1) })
        .collect();
    format!("{}, by names and key ids", each.join(" or "))
}

fn validity_words(certificate: &Certificate, now: DateTime<Utc>) -> String {
    let validity = certificate.validity();
    match validity.status(now) {
        ValidityStatus::Expired => format!("expired {} ago", words::duration(validity.remaining(now))),
        ValidityStatus::NotYetValid => {
            format!("not valid yet, begins in {}", words::duration(validity.not_before - now))
        }
        _ => format!("{} left", words::duration(validity.remaining(now))),
    }
}

fn key_words(certificate: &Certificate) -> String {
    let bits = certificate.key_bits().map(|bits| format!(", {bits} bits")).unwrap_or_default();
    match certificate.key_type() {
        KeyType::Ec(curve) => format!("EC on {}{bits}", escape(&curve)),
        other => format!("{}{bits}", escape(&key_type(&other))),
    }
}

fn key_type(kind: &KeyType) -> String {
    match kind {
        KeyType::Rsa => "RSA".to_owned(),
        KeyType::Ec(_) => "EC".to_owned(),
        KeyType::Ed25519 => "Ed25519".to_owned(),
        KeyType::Ed448 => "Ed448".to_owned(),
        KeyType::Other(oid) => oid.clone(),
        _ => "unknown".to_owned(),
    }
}

/// The document of `inspect --json`.
pub(crate) fn json(all: &[Inspected]) -> Value {
    let mut certificates = Vec::new();
    let mut problems = Vec::new();
    for inspected in all {
        let issuers = possible_issuers(&inspected.certificates);
        for (index, certificate) in inspected.certificates.iter().enumerate() {
            let signers = issuers.get(index).cloned().unwrap_or_default();
            let mut row = json_of(&inspected.source, index, certificate, &signers);
            if !inspected.addresses.is_empty() {
                row["addresses"] = json!(inspected.addresses);
            }
            certificates.push(row);
            for unreadable in [certificate.san_dns().err(), certificate.san_ip().err()].into_iter().flatten() {
                problems.push(json!({ "source": inspected.source, "what": unreadable.to_string() }));
            }
        }
        for what in &inspected.problems {
            problems.push(json!({ "source": inspected.source, "what": what }));
        }
        if let Some(Err(why)) = &inspected.verdict {
            problems
                .push(json!({ "source": inspected.source, "what": format!("a client that checks refuses it: {why}") }));
        }
    }
    let hosts = all.iter().filter(|one| !one.addresses.is_empty()).map(|one| {
        json!({
            "source": one.source,
            "addresses": one.addresses,
            "accepted": matches!(one.verdict, Some(Ok(()))),
            "served": one.served,
        })
    });
    let hosts: Vec<Value> = hosts.collect();
    json!({ "schema": 1, "certificates": certificates, "hosts": hosts, "problems": problems })
}

fn json_of(source: &str, index: usize, certificate: &Certificate, signers: &[usize]) -> Value {
    let validity = certificate.validity();
    let addresses: Vec<String> = certificate.san_ip().unwrap_or_default().iter().map(ToString::to_string).collect();
    json!({
        "source": source,
        "index": index,
        "subject_cn": certificate.subject_common_name(),
        "issuer_cn": certificate.issuer_common_name(),
        "subject": certificate.subject(),
        "issuer": certificate.issuer(),
        "serial": certificate.serial().openssl_hex(),
        "not_before": json_time(validity.not_before),
        "not_after": json_time(validity.not_after),
        "san_dns": certificate.san_dns().unwrap_or_default(),
        "san_ip": addresses,
        "key_type": key_type(&certificate.key_type()),
        "key_bits": certificate.key_bits(),
        "spki_sha256": hex(&certificate.spki_sha256()),
        "fingerprint_sha256": hex(&certificate.fingerprint_sha256()),
        "ski_keyid": certificate.subject_key_id().map(|id| hex(&id)),
        "aki_keyid": certificate.authority_key_id().map(|id| hex(&id)),
        "ari_cert_id": certificate.ari_id().map(|id| id.as_str().to_owned()),
        "is_ca": certificate.is_ca(),
        "self_issued": certificate.is_self_issued(),
        "possible_issuers": signers,
    })
}
