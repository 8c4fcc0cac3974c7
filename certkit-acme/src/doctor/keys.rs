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
    if let Some(algorithm) = weak_signature(certificate.signature_algorithm_der()) {
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

/// By the object identifiers of RFC 3279 section 2.2, in the DER of an AlgorithmIdentifier.
fn weak_signature(algorithm: &[u8]) -> Option<&'static str> {
    const WEAK: [(&[u8], &str); 4] = [
        (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x04], "RSA with MD5"),
        (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05], "RSA with SHA-1"),
        (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01], "ECDSA with SHA-1"),
        (&[0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x03], "DSA with SHA-1"),
    ];
    // SEQUENCE, its length, OBJECT IDENTIFIER, its length: all short.
    let [0x30, _, 0x06, length, rest @ ..] = algorithm else { return None };
    let oid = rest.get(..usize::from(*length))?;
    WEAK.iter().find(|(weak, _)| *weak == oid).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_signatures_are_known_by_their_identifiers() {
        let rsa = |last: u8| {
            [&[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01][..], &[last, 0x05, 0x00]]
                .concat()
        };
        assert_eq!(weak_signature(&rsa(0x05)), Some("RSA with SHA-1"));
        assert_eq!(weak_signature(&rsa(0x0b)), None, "SHA-256");
        assert_eq!(
            weak_signature(&[0x30, 0x09, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01]),
            Some("ECDSA with SHA-1")
        );
        for nonsense in [&[][..], &[0x30], &[0x30, 0, 6, 200, 1]] {
            assert_eq!(weak_signature(nonsense), None);
        }
    }
}
