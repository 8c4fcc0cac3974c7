//! The kind and size of a public key.

use super::dotted;
use crate::der::{self, DerError, Reader};

/// The kind of a public key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyType {
    /// RSA (rsaEncryption or RSASSA-PSS).
    Rsa,
    /// An elliptic-curve key on the named curve, by the name that OpenSSL and certbot's `elliptic_curve` use
    /// (`secp256r1`, `secp384r1`; the curve's OID in dotted form when it has no common name).
    Ec(String),
    /// Ed25519 (RFC 8410).
    Ed25519,
    /// Ed448 (RFC 8410).
    Ed448,
    /// Any other algorithm, by its OID in dotted form.
    Other(String),
}

const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const RSASSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const ED448: &[u8] = &[0x2b, 0x65, 0x71];

/// Curves: the content of the OID, the name in SEC 2, RFC 5639 or X9.62, and the size of the field in bits.
const CURVES: &[(&[u8], &str, u32)] = &[
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07], "secp256r1", 256),
    (&[0x2b, 0x81, 0x04, 0x00, 0x22], "secp384r1", 384),
    (&[0x2b, 0x81, 0x04, 0x00, 0x23], "secp521r1", 521),
    (&[0x2b, 0x81, 0x04, 0x00, 0x21], "secp224r1", 224),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x01], "secp192r1", 192),
    (&[0x2b, 0x81, 0x04, 0x00, 0x0a], "secp256k1", 256),
    (&[0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x07], "brainpoolP256r1", 256),
    (&[0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x0b], "brainpoolP384r1", 384),
    (&[0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x0d], "brainpoolP512r1", 512),
    (&[0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x08], "brainpoolP256t1", 256),
    (&[0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x0c], "brainpoolP384t1", 384),
    (&[0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x0e], "brainpoolP512t1", 512),
];

impl KeyType {
    /// The kind of the key in a SubjectPublicKeyInfo in DER (RFC 5280 section 4.1.2.7), and its size in bits where that is
    /// known: the modulus for RSA, the field for EC. What cannot be read is [`KeyType::Other`] of an empty OID.
    pub fn of_spki_der(spki: &[u8]) -> (Self, Option<u32>) {
        describe(spki)
    }
}

/// The kind of the key in a SubjectPublicKeyInfo, and its size in bits where that is known.
pub(super) fn describe(spki: &[u8]) -> (KeyType, Option<u32>) {
    parts(spki).map_or_else(
        |_| (KeyType::Other(String::new()), None),
        |Parts { algorithm, curve, key }| match algorithm {
            RSA_ENCRYPTION | RSASSA_PSS => (KeyType::Rsa, modulus_bits(key)),
            EC_PUBLIC_KEY => on_curve(curve),
            ED25519 => (KeyType::Ed25519, Some(256)),
            ED448 => (KeyType::Ed448, Some(456)),
            other => (KeyType::Other(dotted(other)), None),
        },
    )
}

struct Parts<'a> {
    algorithm: &'a [u8],
    /// The OID among the algorithm's parameters.
    curve: Option<&'a [u8]>,
    key: &'a [u8],
}

fn parts(spki: &[u8]) -> Result<Parts<'_>, DerError> {
    let mut info = Reader::new(spki).any()?.inside();
    let mut algorithm = info.any()?.inside();
    let oid = algorithm.expect(der::OID, "no algorithm")?.content;
    let curve = algorithm.optional(der::OID)?.map(|curve| curve.content);
    Ok(Parts { algorithm: oid, curve, key: info.any()?.bit_string_octets()? })
}

/// The size of the modulus of an RSAPublicKey (RFC 8017 appendix A.1.1).
fn modulus_bits(key: &[u8]) -> Option<u32> {
    let modulus = Reader::new(key).any().ok()?.inside().expect(der::INTEGER, "no modulus").ok()?.content;
    let zeros = modulus.iter().take_while(|octet| **octet == 0).count();
    let octets = modulus.get(zeros..)?;
    let bits = octets.len().checked_mul(8)?.checked_sub(octets.first()?.leading_zeros() as usize)?;
    u32::try_from(bits).ok()
}

fn on_curve(curve: Option<&[u8]>) -> (KeyType, Option<u32>) {
    match curve {
        // RFC 5480 section 2.1.1 forbids them; they exist all the same.
        None => (KeyType::Ec("explicit parameters".to_owned()), None),
        Some(oid) => match CURVES.iter().find(|(known, ..)| *known == oid) {
            Some((_, name, bits)) => (KeyType::Ec((*name).to_owned()), Some(*bits)),
            None => (KeyType::Ec(dotted(oid)), None),
        },
    }
}
