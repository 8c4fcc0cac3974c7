//! Private keys in the forms in which files hold them, as keys that can be used.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaKeyPair,
};
use certkit_core::{PrivateKey, PrivateKeyFormat};

use crate::der::{self, Reader};

pub(crate) const OID_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
pub(crate) const OID_EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
pub(crate) const OID_ED25519: &[u8] = &[0x2b, 0x65, 0x70];

/// The curves that ACME account keys and certificates use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    P256,
    P384,
    P521,
}

/// A key that can be used.
pub(crate) enum KeyMaterial {
    Rsa(RsaKeyPair),
    Ec(Curve, EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Curve {
    pub(crate) const ALL: [Self; 3] = [Self::P256, Self::P384, Self::P521];

    /// The contents of the object identifier (RFC 5480 section 2.1.1.1).
    pub(crate) fn oid(self) -> &'static [u8] {
        match self {
            Self::P256 => &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07],
            Self::P384 => &[0x2b, 0x81, 0x04, 0x00, 0x22],
            Self::P521 => &[0x2b, 0x81, 0x04, 0x00, 0x23],
        }
    }

    pub(crate) fn from_oid(oid: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|curve| curve.oid() == oid)
    }

    /// `crv` in a JWK (RFC 7518 section 6.2.1.1).
    pub(crate) fn jwk_name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }

    /// The length of a coordinate and of the private number, in octets.
    pub(crate) fn field_octets(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    /// ECDSA with the hash that JWS ties to the curve and signatures of fixed length (RFC 7518 section 3.4).
    pub(crate) fn signing(self) -> &'static EcdsaSigningAlgorithm {
        match self {
            Self::P256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
            Self::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
            Self::P521 => &ECDSA_P521_SHA512_FIXED_SIGNING,
        }
    }
}

impl KeyMaterial {
    /// Loads a key; the private half is checked against the public one. The error says what is wrong, without the key.
    pub(crate) fn load(key: &PrivateKey) -> Result<Self, String> {
        let der = key.der();
        match key.format() {
            PrivateKeyFormat::Pkcs1 => RsaKeyPair::from_der(der).map(Self::Rsa).map_err(|e| rejected("RSA", &e)),
            PrivateKeyFormat::Sec1 => {
                let curve = sec1_curve(der).ok_or("an EC key on a curve that is not supported")?;
                Self::ec(curve, der)
            }
            _ => {
                let (algorithm, parameters) = pkcs8_algorithm(der).ok_or("it is not PKCS#8")?;
                if algorithm == OID_RSA {
                    RsaKeyPair::from_pkcs8(der).map(Self::Rsa).map_err(|e| rejected("RSA", &e))
                } else if algorithm == OID_EC {
                    let curve = Reader::new(parameters).expect(der::OBJECT_IDENTIFIER).and_then(Curve::from_oid);
                    Self::ec(curve.ok_or("an EC key on a curve that is not supported")?, der)
                } else if algorithm == OID_ED25519 {
                    Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)
                        .map(Self::Ed25519)
                        .map_err(|e| rejected("Ed25519", &e))
                } else {
                    Err(format!("a key of the algorithm {}, which is not supported", der::dotted(algorithm)))
                }
            }
        }
    }

    fn ec(curve: Curve, der: &[u8]) -> Result<Self, String> {
        // Takes PKCS#8 and SEC 1 alike and derives the public key where the file has none.
        EcdsaKeyPair::from_private_key_der(curve.signing(), der)
            .map(|pair| Self::Ec(curve, pair))
            .map_err(|e| rejected(curve.jwk_name(), &e))
    }

    /// The SubjectPublicKeyInfo in DER.
    pub(crate) fn spki_der(&self) -> Result<Vec<u8>, String> {
        match self {
            Self::Rsa(pair) => rsa_spki(pair),
            Self::Ec(curve, pair) => Ok(ec_spki(*curve, pair.public_key().as_ref())),
            Self::Ed25519(pair) => spki(pair.public_key()),
        }
    }
}

/// The SubjectPublicKeyInfo of an RSA key.
pub(crate) fn rsa_spki(pair: &RsaKeyPair) -> Result<Vec<u8>, String> {
    spki(pair.public_key())
}

/// The SubjectPublicKeyInfo of an uncompressed point.
pub(crate) fn ec_spki(curve: Curve, point: &[u8]) -> Vec<u8> {
    let algorithm =
        [der::element(der::OBJECT_IDENTIFIER, OID_EC), der::element(der::OBJECT_IDENTIFIER, curve.oid())].concat();
    let key = [&[0][..], point].concat();
    let parts = [der::element(der::SEQUENCE, &algorithm), der::element(der::BIT_STRING, &key)].concat();
    der::element(der::SEQUENCE, &parts)
}

fn spki<'a, K: AsDer<PublicKeyX509Der<'a>>>(key: &K) -> Result<Vec<u8>, String> {
    key.as_der().map(|der| der.as_ref().to_vec()).map_err(|_| "its public key cannot be encoded".into())
}

fn rejected(kind: &str, error: &aws_lc_rs::error::KeyRejected) -> String {
    format!("an {kind} key that is not valid ({error})")
}

/// The algorithm of a PKCS#8 key and the DER of its parameters.
fn pkcs8_algorithm(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut key = Reader::new(der).inside(der::SEQUENCE)?;
    key.expect(der::INTEGER)?;
    let algorithm = key.expect(der::SEQUENCE)?;
    let mut parts = Reader::new(algorithm);
    let oid = parts.expect(der::OBJECT_IDENTIFIER)?;
    let header = 2 + oid.len();
    Some((oid, algorithm.get(header..)?))
}

/// The curve of a SEC 1 key: its parameters, or, where they are missing, the length of the number.
fn sec1_curve(der: &[u8]) -> Option<Curve> {
    const PARAMETERS: u8 = 0xa0;
    let mut key = Reader::new(der).inside(der::SEQUENCE)?;
    key.expect(der::INTEGER)?;
    let number = key.expect(der::OCTET_STRING)?;
    match key.inside(PARAMETERS) {
        Some(mut parameters) => Curve::from_oid(parameters.expect(der::OBJECT_IDENTIFIER)?),
        None => Curve::ALL.into_iter().find(|curve| curve.field_octets() == number.len()),
    }
}
