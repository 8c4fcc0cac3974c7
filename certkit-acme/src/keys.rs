//! Certificate keys and certificate signing requests.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{EcdsaKeyPair, RsaKeyPair};
use certkit_core::{Certificate, Identifier, IdentifierSet, KeyType, PrivateKey, PrivateKeyFormat, escape};
use rcgen::{CertificateParams, DistinguishedName, SanType};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use zeroize::Zeroizing;

use crate::key_material::{Curve, KeyMaterial};

/// What key a certificate shall have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeySpec {
    /// ECDSA on P-256: the default.
    EcdsaP256,
    /// ECDSA on P-384.
    EcdsaP384,
    /// ECDSA on P-521 (Let's Encrypt refuses it).
    EcdsaP521,
    /// RSA with 2048 bits.
    Rsa2048,
    /// RSA with 3072 bits.
    Rsa3072,
    /// RSA with 4096 bits.
    Rsa4096,
}

impl KeySpec {
    /// What certbot's `key_type`, `elliptic_curve` and `rsa_key_size` ask for. A missing curve is P-256, a missing size
    /// 2048, as certbot's defaults are; the value that does not belong to the type is not looked at.
    pub fn from_certbot(
        key_type: &str,
        elliptic_curve: Option<&str>,
        rsa_key_size: Option<u32>,
    ) -> Result<Self, KeyError> {
        match key_type.to_ascii_lowercase().as_str() {
            "rsa" => match rsa_key_size.unwrap_or(2048) {
                2048 => Ok(Self::Rsa2048),
                3072 => Ok(Self::Rsa3072),
                4096 => Ok(Self::Rsa4096),
                other => Err(KeyError::Unsupported(format!("an RSA key of {other} bits: use 2048, 3072 or 4096"))),
            },
            // certbot takes the curve in any case (`SECP384R1`), and so do confs that it wrote.
            "ecdsa" => match elliptic_curve.unwrap_or("secp256r1").to_ascii_lowercase().as_str() {
                "secp256r1" => Ok(Self::EcdsaP256),
                "secp384r1" => Ok(Self::EcdsaP384),
                "secp521r1" => Ok(Self::EcdsaP521),
                _ => Err(KeyError::Unsupported(format!(
                    "the elliptic curve `{}`: use secp256r1, secp384r1 or secp521r1",
                    escape(elliptic_curve.unwrap_or_default())
                ))),
            },
            _ => Err(KeyError::Unsupported(format!("the key type `{}`: use rsa or ecdsa", escape(key_type)))),
        }
    }

    /// The kind of key that a certificate has; none when it is one that certkit does not make.
    pub fn of(certificate: &Certificate) -> Option<Self> {
        match (certificate.key_type(), certificate.key_bits()) {
            (KeyType::Rsa, Some(2048)) => Some(Self::Rsa2048),
            (KeyType::Rsa, Some(3072)) => Some(Self::Rsa3072),
            (KeyType::Rsa, Some(4096)) => Some(Self::Rsa4096),
            (KeyType::Ec(_), Some(256)) => Some(Self::EcdsaP256),
            (KeyType::Ec(_), Some(384)) => Some(Self::EcdsaP384),
            (KeyType::Ec(_), Some(521)) => Some(Self::EcdsaP521),
            _ => None,
        }
    }

    /// A new key, in PKCS#8. Takes up to some seconds for RSA: call it on a blocking thread.
    pub fn generate(self) -> Result<PrivateKey, KeyError> {
        let failed = |_| KeyError::Crypto("the crypto library made none".into());
        let pkcs8 = match self {
            Self::EcdsaP256 => ec_pkcs8(Curve::P256)?,
            Self::EcdsaP384 => ec_pkcs8(Curve::P384)?,
            Self::EcdsaP521 => ec_pkcs8(Curve::P521)?,
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => {
                let size = match self {
                    Self::Rsa3072 => KeySize::Rsa3072,
                    Self::Rsa4096 => KeySize::Rsa4096,
                    _ => KeySize::Rsa2048,
                };
                let der: Pkcs8V1Der<'_> = RsaKeyPair::generate(size).and_then(|pair| pair.as_der()).map_err(failed)?;
                Zeroizing::new(der.as_ref().to_vec())
            }
        };
        PrivateKey::from_der(&pkcs8, PrivateKeyFormat::Pkcs8).map_err(|error| KeyError::Crypto(error.to_string()))
    }
}

impl Default for KeySpec {
    /// What certbot makes since 2.0.
    fn default() -> Self {
        Self::EcdsaP256
    }
}

impl fmt::Display for KeySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EcdsaP256 => "ECDSA P-256",
            Self::EcdsaP384 => "ECDSA P-384",
            Self::EcdsaP521 => "ECDSA P-521",
            Self::Rsa2048 => "RSA 2048",
            Self::Rsa3072 => "RSA 3072",
            Self::Rsa4096 => "RSA 4096",
        })
    }
}

/// The certificate signing request (DER): empty subject, DNS names and then addresses in request order, no extended key
/// usage (Google refuses requests for clientAuth). Signed with SHA-256, for P-384 and P-521 with the hash of their
/// strength. Any form of key is taken, so that old keys can be reused.
pub fn certificate_signing_request(key: &PrivateKey, identifiers: &IdentifierSet) -> Result<Vec<u8>, KeyError> {
    if identifiers.is_empty() {
        return Err(KeyError::Unsupported("a certificate for no name at all".into()));
    }
    let algorithm = match KeyMaterial::load(key).map_err(KeyError::Crypto)? {
        KeyMaterial::Rsa(_) => &rcgen::PKCS_RSA_SHA256,
        KeyMaterial::Ec(Curve::P256, _) => &rcgen::PKCS_ECDSA_P256_SHA256,
        KeyMaterial::Ec(Curve::P384, _) => &rcgen::PKCS_ECDSA_P384_SHA384,
        KeyMaterial::Ec(Curve::P521, _) => &rcgen::PKCS_ECDSA_P521_SHA512,
        KeyMaterial::Ed25519(_) => &rcgen::PKCS_ED25519,
    };
    let crypto = |error: rcgen::Error| KeyError::Crypto(error.to_string());
    let der = match key.format() {
        PrivateKeyFormat::Pkcs1 => PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(key.der())),
        PrivateKeyFormat::Sec1 => PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(key.der())),
        _ => PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.der())),
    };
    // It holds a copy of the key.
    let pair = Zeroizing::new(rcgen::KeyPair::from_der_and_sign_algo(&der, algorithm).map_err(crypto)?);
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    let (mut names, mut addresses) = (Vec::new(), Vec::new());
    for identifier in identifiers.iter() {
        match identifier {
            Identifier::Dns(name) => names.push(SanType::DnsName(name.as_str().try_into().map_err(crypto)?)),
            Identifier::Ip(address) => addresses.push(SanType::IpAddress(*address)),
        }
    }
    names.append(&mut addresses);
    parameters.subject_alt_names = names;
    Ok(parameters.serialize_request(&*pair).map_err(crypto)?.der().to_vec())
}

fn ec_pkcs8(curve: Curve) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    EcdsaKeyPair::generate(curve.signing())
        .and_then(|pair| pair.to_pkcs8v1())
        .map(|document| Zeroizing::new(document.as_ref().to_vec()))
        .map_err(|_| KeyError::Crypto("the crypto library made none".into()))
}

/// A key or request could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not a kind of key that certkit makes.
    #[error("certkit does not make {0}")]
    Unsupported(String),
    /// The crypto library refused.
    #[error("the key cannot be used: {0}")]
    Crypto(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certbots_values_are_read_and_others_refused() {
        for (key_type, curve, size, spec) in [
            ("rsa", None, None, KeySpec::Rsa2048),
            ("RSA", Some("secp384r1"), Some(4096), KeySpec::Rsa4096),
            ("rsa", None, Some(3072), KeySpec::Rsa3072),
            ("ecdsa", None, Some(1), KeySpec::EcdsaP256),
            ("ecdsa", Some("SECP384R1"), None, KeySpec::EcdsaP384),
            ("ecdsa", Some("secp521r1"), None, KeySpec::EcdsaP521),
        ] {
            assert_eq!(KeySpec::from_certbot(key_type, curve, size), Ok(spec));
        }
        for (key_type, curve, size) in [
            ("rsa", None, Some(1024)),
            ("rsa", None, Some(0)),
            ("ecdsa", Some("secp256k1"), None),
            ("dsa\n", None, None),
        ] {
            let problem = KeySpec::from_certbot(key_type, curve, size).unwrap_err().to_string();
            assert!(problem.contains("use ") && !problem.contains('\n'), "{problem}");
        }
    }

    #[test]
    fn a_request_has_no_subject_and_its_names_in_order() {
        let wanted: IdentifierSet = ["b.example", "2001:db8::1", "*.a.example", "192.0.2.1"]
            .iter()
            .map(|text| Identifier::parse(text).unwrap())
            .collect();
        for spec in [KeySpec::EcdsaP256, KeySpec::EcdsaP384, KeySpec::EcdsaP521, KeySpec::Rsa2048] {
            let key = spec.generate().unwrap();
            let request = certificate_signing_request(&key, &wanted).unwrap();
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("request.der");
            std::fs::write(&path, request).unwrap();
            let openssl = std::process::Command::new("openssl")
                .args(["req", "-inform", "DER", "-noout", "-text", "-verify", "-in"])
                .arg(&path)
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&openssl.stdout).into_owned();
            assert!(openssl.status.success(), "{}", String::from_utf8_lossy(&openssl.stderr));
            let names = "DNS:b.example, DNS:*.a.example, IP Address:2001:DB8:0:0:0:0:0:1, IP Address:192.0.2.1";
            assert!(text.contains(names), "{text}");
            let subject = text.lines().find(|line| line.trim_start().starts_with("Subject:")).unwrap();
            assert_eq!(subject.trim(), "Subject:");
            assert!(!text.contains("Extended Key Usage") && !text.contains("Basic Constraints"), "{text}");
        }
    }

    #[test]
    fn old_keys_of_every_form_are_reused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        let wanted: IdentifierSet = [Identifier::parse("a.example").unwrap()].into_iter().collect();
        for arguments in [
            &["genrsa", "-traditional"][..],
            &["genrsa"],
            &["ecparam", "-name", "prime256v1", "-genkey", "-noout"],
            &["ecparam", "-name", "secp384r1", "-genkey"],
            &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
            &["genpkey", "-algorithm", "ED25519"],
        ] {
            let made = std::process::Command::new("openssl").args(arguments).output().unwrap();
            assert!(made.status.success(), "{arguments:?}");
            std::fs::write(&path, &made.stdout).unwrap();
            let key = PrivateKey::from_pem(&made.stdout).unwrap();
            certificate_signing_request(&key, &wanted).unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
        }
    }

    #[test]
    fn a_request_for_nothing_is_refused() {
        let key = KeySpec::default().generate().unwrap();
        assert!(certificate_signing_request(&key, &IdentifierSet::default()).is_err());
    }
}
