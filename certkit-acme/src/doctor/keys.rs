//! Keys and signatures that are too weak, and keys that are in use for too long.

use certkit_core::{Certificate, Finding, FindingCode, KeyType};
use chrono::{DateTime, TimeDelta, Utc};

use super::{Check, Examined};

/// The baseline requirements (section 6.1.5) and every browser want at least this; 2048 is fine.
const FEWEST_RSA_BITS: u32 = 2048;
/// The longest time for which a public certificate, and with it a key, was valid until 2026-03 (baseline requirements
/// section 6.3.2): who keeps a key for longer should have meant it.
const LONG: TimeDelta = TimeDelta::days(398);

/// Whether a certificate has a key that CAs accept and a signature that clients accept.
pub fn check_key_strength(name: &str, certificate: &Certificate) -> Examined {
    let mut findings = Vec::new();
    if certificate.key_type() == KeyType::Rsa
        && let Some(bits) = certificate.key_bits().filter(|bits| *bits < FEWEST_RSA_BITS)
    {
        findings.push(Finding::new(FindingCode::WeakKey, name, format!("RSA with {bits} bits")));
    }
    if let Some(algorithm) = certificate.weak_signature() {
        findings.push(Finding::new(FindingCode::WeakSignature, name, algorithm));
    }
    Examined::found(Check::KeyStrength, name, findings)
}

/// Whether a key that is kept at renewals is in use for long; `since` is the begin of the oldest certificate with it.
pub fn check_reused_key(name: &str, since: DateTime<Utc>, now: DateTime<Utc>) -> Examined {
    let findings = (now - since > LONG).then(|| {
        let evidence = format!("since {}, {} days", since.format("%F"), (now - since).num_days());
        Finding::new(FindingCode::KeyReusedLong, name, evidence)
    });
    Examined::found(Check::KeyAge, name, findings.into_iter().collect())
}
