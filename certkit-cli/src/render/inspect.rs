//! Everything about certificates, for people and as JSON.

use std::net::IpAddr;

use certkit_core::{Certificate, KeyType, ValidityStatus, escape, possible_issuers};
use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};

use super::{hex, json_time, time, words};

/// A file or an endpoint.
#[derive(Debug, Default)]
pub(crate) struct Inspected {
    /// As it was named; outside text.
    pub(crate) source: String,
    /// The certificates in their order.
    pub(crate) certificates: Vec<Certificate>,
    /// The private keys in their order.
    pub(crate) keys: Vec<FoundKey>,
    /// The addresses that answered so, for a host.
    pub(crate) addresses: Vec<String>,
    /// What a client that checks says, for an endpoint.
    pub(crate) verdict: Option<Result<(), String>>,
    /// What else is to be said of what a host serves, and how it compares with the store; escaped.
    pub(crate) served: Vec<String>,
    /// What could not be read; escaped.
    pub(crate) problems: Vec<String>,
}

/// A private key: nothing of it but what anybody may know.
#[derive(Debug)]
pub(crate) struct FoundKey {
    /// Its kind and size; none where its public half cannot be had.
    pub(crate) kind: Option<(KeyType, Option<u32>)>,
    /// The certificate that it belongs to, of those that were looked at.
    pub(crate) belongs_to: Option<Place>,
}

/// Where a certificate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The source, by its index.
    pub(crate) source: usize,
    /// The certificate in it.
    pub(crate) index: usize,
}

/// Whether nothing could be read.
pub(crate) fn is_empty(inspected: &Inspected) -> bool {
    inspected.certificates.is_empty() && inspected.keys.is_empty()
}

/// The text for one of all sources.
pub(crate) fn text(inspected: &Inspected, all: &[Inspected], now: DateTime<Utc>) -> String {
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
    for (at, key) in inspected.keys.iter().enumerate() {
        let source = key.belongs_to.and_then(|place| Some((place, all.get(place.source)?)));
        let whose = match source {
            Some((place, source)) if std::ptr::eq(source, inspected) => {
                format!("belongs to certificate {}", place.index + 1)
            }
            Some((place, source)) => {
                format!("belongs to certificate {} of {}", place.index + 1, escape(&source.source))
            }
            None if all.iter().all(|one| one.certificates.is_empty()) => "no certificate stands beside it".to_owned(),
            None => "belongs to none of these certificates".to_owned(),
        };
        let kind = key.kind.as_ref().map(|(kind, bits)| format!(" ({})", kind_words(kind, *bits))).unwrap_or_default();
        text.push_str(&format!("  Private key {}{kind}: {whose}\n", at + 1));
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
    match certificate.subject_alternative_names() {
        Ok((names, addresses)) => {
            if !names.is_empty() {
                lines.push(("DNS names", names.iter().map(|name| escape(name)).collect::<Vec<_>>().join(", ")));
            }
            if !addresses.is_empty() {
                lines.push(("IP addresses", addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")));
            }
        }
        Err(problem) => {
            let unreadable = format!("cannot be read: {}", escape(&problem.to_string()));
            lines.extend([("DNS names", unreadable.clone()), ("IP addresses", unreadable)]);
        }
    }
    lines.push(("Key", kind_words(&certificate.key_type(), certificate.key_bits())));
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

fn kind_words(kind: &KeyType, bits: Option<u32>) -> String {
    let bits = bits.map(|bits| format!(", {bits} bits")).unwrap_or_default();
    match kind {
        KeyType::Ec(curve) => format!("EC on {}{bits}", escape(curve)),
        other => format!("{}{bits}", escape(&key_type(other))),
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

/// The document of `inspect --json`. It is made while it is written: a file can hold thousands of certificates.
pub(crate) fn json(all: &[Inspected]) -> impl Serialize {
    Document {
        certificates: Rows(all),
        hosts: all.iter().filter_map(host).collect(),
        keys: all.iter().flat_map(|inspected| key_rows(inspected, all)).collect(),
        problems: problems(all),
        schema: 1,
    }
}

#[derive(Serialize)]
struct Document<'a> {
    certificates: Rows<'a>,
    hosts: Vec<Host<'a>>,
    keys: Vec<KeyRow<'a>>,
    problems: Vec<Problem<'a>>,
    schema: u8,
}

#[derive(Serialize)]
struct Host<'a> {
    accepted: bool,
    addresses: &'a [String],
    served: &'a [String],
    source: &'a str,
}

#[derive(Serialize)]
struct Problem<'a> {
    source: &'a str,
    what: String,
}

#[derive(Serialize)]
struct KeyRow<'a> {
    belongs_to: Option<CertificateOf<'a>>,
    index: usize,
    key_bits: Option<u32>,
    key_type: Option<String>,
    source: &'a str,
}

#[derive(Serialize)]
struct CertificateOf<'a> {
    index: usize,
    source: &'a str,
}

fn key_rows<'a>(inspected: &'a Inspected, all: &'a [Inspected]) -> impl Iterator<Item = KeyRow<'a>> {
    let of = |place: Place| Some(CertificateOf { index: place.index, source: &all.get(place.source)?.source });
    inspected.keys.iter().enumerate().map(move |(index, key)| KeyRow {
        belongs_to: key.belongs_to.and_then(of),
        index,
        key_bits: key.kind.as_ref().and_then(|(_, bits)| *bits),
        key_type: key.kind.as_ref().map(|(kind, _)| key_type(kind)),
        source: &inspected.source,
    })
}

fn host(inspected: &Inspected) -> Option<Host<'_>> {
    (!inspected.addresses.is_empty()).then(|| Host {
        accepted: matches!(inspected.verdict, Some(Ok(()))),
        addresses: &inspected.addresses,
        served: &inspected.served,
        source: &inspected.source,
    })
}

fn problems(all: &[Inspected]) -> Vec<Problem<'_>> {
    let mut problems = Vec::new();
    for inspected in all {
        let mut add = |what: String| problems.push(Problem { source: &inspected.source, what });
        for certificate in &inspected.certificates {
            certificate
                .subject_alternative_names()
                .err()
                .into_iter()
                .for_each(|unreadable| add(unreadable.to_string()));
        }
        inspected.problems.iter().cloned().for_each(&mut add);
        if let Some(Err(why)) = &inspected.verdict {
            add(format!("a client that checks refuses it: {why}"));
        }
    }
    problems
}

/// The certificates of all sources.
struct Rows<'a>(&'a [Inspected]);

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rows = self.0.iter().flat_map(|inspected| {
            let signed_by = possible_issuers(&inspected.certificates);
            let certificates = inspected.certificates.iter().enumerate().zip(signed_by);
            certificates.map(|((index, certificate), signers)| Row::new(inspected, index, certificate, signers))
        });
        serializer.collect_seq(rows)
    }
}

#[derive(Serialize)]
struct Row<'a> {
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    addresses: &'a [String],
    aki_keyid: Option<String>,
    ari_cert_id: Option<String>,
    fingerprint_sha256: String,
    index: usize,
    is_ca: bool,
    issuer: String,
    issuer_cn: Option<String>,
    key_bits: Option<u32>,
    key_type: String,
    not_after: String,
    not_before: String,
    possible_issuers: Vec<usize>,
    san_dns: Vec<String>,
    san_ip: Vec<IpAddr>,
    self_issued: bool,
    serial: String,
    ski_keyid: Option<String>,
    source: &'a str,
    spki_sha256: String,
    subject: String,
    subject_cn: Option<String>,
}

impl<'a> Row<'a> {
    fn new(inspected: &'a Inspected, index: usize, certificate: &Certificate, signers: Vec<usize>) -> Self {
        let validity = certificate.validity();
        let (san_dns, san_ip) = certificate.subject_alternative_names().unwrap_or_default();
        Self {
            addresses: &inspected.addresses,
            aki_keyid: certificate.authority_key_id().map(|id| hex(&id)),
            ari_cert_id: certificate.ari_id().map(|id| id.as_str().to_owned()),
            fingerprint_sha256: hex(&certificate.fingerprint_sha256()),
            index,
            is_ca: certificate.is_ca(),
            issuer: certificate.issuer(),
            issuer_cn: certificate.issuer_common_name(),
            key_bits: certificate.key_bits(),
            key_type: key_type(&certificate.key_type()),
            not_after: json_time(validity.not_after),
            not_before: json_time(validity.not_before),
            possible_issuers: signers,
            san_dns,
            san_ip,
            self_issued: certificate.is_self_issued(),
            serial: certificate.serial().openssl_hex(),
            ski_keyid: certificate.subject_key_id().map(|id| hex(&id)),
            source: &inspected.source,
            spki_sha256: hex(&certificate.spki_sha256()),
            subject: certificate.subject(),
            subject_cn: certificate.subject_common_name(),
        }
    }
}
