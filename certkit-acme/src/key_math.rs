//! Key arithmetic on aws-lc-rs.

use aws_lc_rs::signature::{self as sig, UnparsedPublicKey, VerificationAlgorithm};
use certkit_core::{Certificate, CertificateRequest, KeyMath, KeyMathError, PrivateKey, RevocationList};

use crate::der::{self, Reader};
use crate::key_material::{Curve, KeyMaterial, OID_EC, OID_ED25519, OID_RSA};

/// [`KeyMath`] on aws-lc-rs: RSA (PKCS#1 v1.5 and PSS) with 2048 to 8192 bits, ECDSA on P-256, P-384 and P-521 with
/// SHA-256, SHA-384 or SHA-512, Ed25519. SHA-1 and MD5 are not verified: nobody may issue with them.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct AwsLcKeyMath;

impl AwsLcKeyMath {
    /// The implementation.
    pub fn new() -> Self {
        Self
    }

    /// Checks that a certificate request is signed by its own key: that whoever made it had that key, and that nothing
    /// was changed since (RFC 2986 section 3).
    pub fn verify_request(&self, request: &CertificateRequest) -> Result<(), KeyMathError> {
        let algorithm = request.signature_algorithm_der();
        let signed = Signed { message: request.info_der(), algorithm, signature: request.signature() };
        signed.verify(request.spki_der())
    }

    /// Checks that a revocation list is signed by the key of `issuer` (RFC 5280 section 6.3.3 (g)).
    pub fn verify_revocation_list(&self, list: &RevocationList, issuer: &Certificate) -> Result<(), KeyMathError> {
        let algorithm = list.signature_algorithm_der();
        let signed = Signed { message: list.tbs_der(), algorithm, signature: list.signature() };
        signed.verify(issuer.spki_der())
    }
}

impl KeyMath for AwsLcKeyMath {
    fn verify_signature(&self, certificate: &Certificate, issuer: &Certificate) -> Result<(), KeyMathError> {
        let algorithm = certificate.signature_algorithm_der();
        // RFC 5280 section 4.1.1.2: the signed copy of the algorithm must be the same as the unsigned one.
        if signed_algorithm(certificate.tbs_der()).is_some_and(|signed| signed != algorithm) {
            return Err(KeyMathError::BadSignature);
        }
        let signed = Signed { message: certificate.tbs_der(), algorithm, signature: certificate.signature() };
        signed.verify(issuer.spki_der())
    }

    fn public_spki_der(&self, key: &PrivateKey) -> Result<Vec<u8>, KeyMathError> {
        let unusable = KeyMathError::UnusableKey;
        KeyMaterial::load(key).map_err(unusable)?.spki_der().map_err(unusable)
    }
}

/// Bytes and what vouches for them.
struct Signed<'a> {
    message: &'a [u8],
    /// AlgorithmIdentifier (DER).
    algorithm: &'a [u8],
    signature: &'a [u8],
}

impl Signed<'_> {
    fn verify(&self, spki: &[u8]) -> Result<(), KeyMathError> {
        let key = PublicKey::read(spki)
            .ok_or_else(|| KeyMathError::UnsupportedAlgorithm("of the signer's key, which cannot be read".into()))?;
        let verification = verification(self.algorithm, &key)?;
        UnparsedPublicKey::new(verification, key.bits)
            .verify(self.message, self.signature)
            .map_err(|_| KeyMathError::BadSignature)
    }
}

/// A SubjectPublicKeyInfo taken apart.
struct PublicKey<'a> {
    algorithm: &'a [u8],
    curve: Option<Curve>,
    bits: &'a [u8],
}

impl<'a> PublicKey<'a> {
    fn read(spki: &'a [u8]) -> Option<Self> {
        let mut spki = Reader::new(spki).inside(der::SEQUENCE)?;
        let mut algorithm = spki.inside(der::SEQUENCE)?;
        // The first octet counts unused bits, of which a key has none.
        let bits = spki.expect(der::BIT_STRING)?.strip_prefix(&[0])?;
        let oid = algorithm.expect(der::OBJECT_IDENTIFIER)?;
        let curve = algorithm.expect(der::OBJECT_IDENTIFIER).and_then(Curve::from_oid);
        Some(Self { algorithm: oid, curve, bits })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

/// How to verify a signature of this AlgorithmIdentifier (DER) under this key.
fn verification(algorithm: &[u8], key: &PublicKey<'_>) -> Result<&'static dyn VerificationAlgorithm, KeyMathError> {
    const PKCS1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    const ECDSA_SHA2: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];
    let unsupported = |what: String| Err(KeyMathError::UnsupportedAlgorithm(what));
    let Some(mut parts) = Reader::new(algorithm).inside(der::SEQUENCE) else {
        return unsupported("of the signature, which cannot be read".into());
    };
    let oid = parts.expect(der::OBJECT_IDENTIFIER).unwrap_or_default();
    // A key of another kind has not made it.
    let mismatch = || Err(KeyMathError::BadSignature);
    if oid == OID_ED25519 {
        return if key.algorithm == OID_ED25519 { Ok(&sig::ED25519) } else { mismatch() };
    }
    if let Some([hash]) = oid.strip_prefix(ECDSA_SHA2) {
        let hash = match hash {
            2 => Hash::Sha256,
            3 => Hash::Sha384,
            4 => Hash::Sha512,
            _ => return unsupported(der::dotted(oid)),
        };
        return match key.curve.filter(|_| key.algorithm == OID_EC) {
            Some(curve) => Ok(ecdsa(curve, hash)),
            None if key.algorithm == OID_EC => unsupported("ECDSA on a curve other than P-256, P-384 and P-521".into()),
            None => mismatch(),
        };
    }
    let Some([kind]) = oid.strip_prefix(PKCS1) else { return unsupported(der::dotted(oid)) };
    let verification: &'static dyn VerificationAlgorithm = match kind {
        10 => match pss_hash(parts) {
            Some(Hash::Sha256) => &sig::RSA_PSS_2048_8192_SHA256,
            Some(Hash::Sha384) => &sig::RSA_PSS_2048_8192_SHA384,
            Some(Hash::Sha512) => &sig::RSA_PSS_2048_8192_SHA512,
            None => return unsupported("RSASSA-PSS with parameters other than SHA-2 throughout".into()),
        },
        11 => &sig::RSA_PKCS1_2048_8192_SHA256,
        12 => &sig::RSA_PKCS1_2048_8192_SHA384,
        13 => &sig::RSA_PKCS1_2048_8192_SHA512,
        _ => return unsupported(der::dotted(oid)),
    };
    let Some(bits) = rsa_bits(key) else { return mismatch() };
    if !(2048..=8192).contains(&bits) {
        return unsupported(format!("RSA with {bits} bits"));
    }
    Ok(verification)
}

fn ecdsa(curve: Curve, hash: Hash) -> &'static dyn VerificationAlgorithm {
    match (curve, hash) {
        (Curve::P256, Hash::Sha256) => &sig::ECDSA_P256_SHA256_ASN1,
        (Curve::P256, Hash::Sha384) => &sig::ECDSA_P256_SHA384_ASN1,
        (Curve::P256, Hash::Sha512) => &sig::ECDSA_P256_SHA512_ASN1,
        (Curve::P384, Hash::Sha256) => &sig::ECDSA_P384_SHA256_ASN1,
        (Curve::P384, Hash::Sha384) => &sig::ECDSA_P384_SHA384_ASN1,
        (Curve::P384, Hash::Sha512) => &sig::ECDSA_P384_SHA512_ASN1,
        (Curve::P521, Hash::Sha256) => &sig::ECDSA_P521_SHA256_ASN1,
        (Curve::P521, Hash::Sha384) => &sig::ECDSA_P521_SHA384_ASN1,
        (Curve::P521, Hash::Sha512) => &sig::ECDSA_P521_SHA512_ASN1,
    }
}

/// The hash of RSASSA-PSS-params (RFC 4055 section 3.1), when it is the same for the mask and the salt is as long as it.
fn pss_hash(mut algorithm: Reader<'_>) -> Option<Hash> {
    const MGF1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08];
    const SHA2: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];
    let hash = |mut identifier: Reader<'_>| match identifier.expect(der::OBJECT_IDENTIFIER)?.strip_prefix(SHA2)? {
        [1] => Some((Hash::Sha256, 32)),
        [2] => Some((Hash::Sha384, 48)),
        [3] => Some((Hash::Sha512, 64)),
        _ => None,
    };
    let mut parameters = algorithm.inside(der::SEQUENCE)?;
    let (chosen, octets) = hash(parameters.inside(0xa0)?.inside(der::SEQUENCE)?)?;
    let mut mask = parameters.inside(0xa1)?.inside(der::SEQUENCE)?;
    if mask.expect(der::OBJECT_IDENTIFIER)? != MGF1 || hash(mask.inside(der::SEQUENCE)?)?.0 != chosen {
        return None;
    }
    (parameters.inside(0xa2)?.unsigned()? == [octets]).then_some(chosen)
}

/// The size of an RSA modulus; none for other keys.
fn rsa_bits(key: &PublicKey<'_>) -> Option<usize> {
    const OID_PSS_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];
    if key.algorithm != OID_RSA && key.algorithm != OID_PSS_KEY {
        return None;
    }
    let modulus = Reader::new(key.bits).inside(der::SEQUENCE)?.unsigned()?;
    let spare = modulus.first().map_or(0, |first| first.leading_zeros() as usize);
    Some((modulus.len() * 8).saturating_sub(spare))
}

/// The AlgorithmIdentifier inside a TBSCertificate, with its header.
fn signed_algorithm(tbs: &[u8]) -> Option<Vec<u8>> {
    const VERSION: u8 = 0xa0;
    let mut tbs = Reader::new(tbs).inside(der::SEQUENCE)?;
    if tbs.tag() == Some(VERSION) {
        tbs.any()?;
    }
    tbs.expect(der::INTEGER)?;
    tbs.expect(der::SEQUENCE).map(|contents| der::element(der::SEQUENCE, contents))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::process::Command;

    fn openssl(dir: &Path, arguments: &[&str]) -> Vec<u8> {
        let output = Command::new("openssl").current_dir(dir).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// A self-signed certificate made by openssl, and its key.
    fn made(key: &[&str], signing: &[&str]) -> (Certificate, PrivateKey) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("key.pem"), openssl(dir.path(), &[&["genpkey"], key].concat())).unwrap();
        let request = ["req", "-x509", "-key", "key.pem", "-subj", "/CN=x", "-days", "3"];
        let pem = openssl(dir.path(), &[&request[..], signing].concat());
        let key = PrivateKey::from_pem(&std::fs::read(dir.path().join("key.pem")).unwrap()).unwrap();
        (Certificate::from_pem(&pem).unwrap(), key)
    }

    const RSA: &[&str] = &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];

    #[test]
    fn every_signature_that_a_ca_makes_is_verified() {
        let math = AwsLcKeyMath::new();
        let mut cases: Vec<(Vec<&str>, Vec<&str>)> = Vec::new();
        for curve in ["ec_paramgen_curve:P-256", "ec_paramgen_curve:P-384", "ec_paramgen_curve:P-521"] {
            for hash in ["-sha256", "-sha384", "-sha512"] {
                cases.push((vec!["-algorithm", "EC", "-pkeyopt", curve], vec![hash]));
            }
        }
        for hash in ["-sha256", "-sha384", "-sha512"] {
            cases.push((RSA.to_vec(), vec![hash]));
            let pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"];
            cases.push((RSA.to_vec(), [&[hash][..], &pss].concat()));
        }
        cases.push((vec!["-algorithm", "ED25519"], vec![]));
        let (stranger, _) = made(RSA, &[]);
        for (key, signing) in cases {
            let (certificate, key_file) = made(&key, &signing);
            assert_eq!(math.verify_signature(&certificate, &certificate), Ok(()), "{key:?} {signing:?}");
            assert_eq!(math.public_spki_der(&key_file).unwrap(), certificate.spki_der(), "{key:?}");
            let wrong = math.verify_signature(&certificate, &stranger);
            assert_eq!(wrong, Err(KeyMathError::BadSignature), "{key:?} {signing:?}");
            let mut der = certificate.der().to_vec();
            *der.last_mut().unwrap() ^= 1;
            let forged = Certificate::from_der(&der).unwrap();
            assert_eq!(math.verify_signature(&forged, &certificate), Err(KeyMathError::BadSignature), "{key:?}");
        }
    }

    #[test]
    fn what_is_too_weak_or_unknown_is_named() {
        let math = AwsLcKeyMath::new();
        for (key, signing, says) in [
            (RSA, &["-sha1"][..], "1.2.840.113549.1.1.5"),
            (&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"], &["-sha256"], "RSA with 1024 bits"),
            (&["-algorithm", "ED448"], &[], "1.3.101.113"),
            (
                &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"],
                &["-sha256"],
                "ECDSA on a curve other than",
            ),
        ] {
            let (certificate, _) = made(key, signing);
            let problem = math.verify_signature(&certificate, &certificate).unwrap_err();
            assert!(matches!(problem, KeyMathError::UnsupportedAlgorithm(_)), "{problem:?}");
            assert!(problem.to_string().contains(says), "{problem}");
        }
    }

    #[test]
    fn keys_without_their_public_half_get_one() {
        let dir = tempfile::tempdir().unwrap();
        let pem = openssl(dir.path(), &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        std::fs::write(dir.path().join("key.pem"), &pem).unwrap();
        let bare = openssl(dir.path(), &["ec", "-in", "key.pem", "-no_public"]);
        let (whole, bare) = (PrivateKey::from_pem(&pem).unwrap(), PrivateKey::from_pem(&bare).unwrap());
        assert_eq!(bare.carried_spki_der(), None);
        let math = AwsLcKeyMath::new();
        assert_eq!(math.public_spki_der(&bare).unwrap(), math.public_spki_der(&whole).unwrap());
    }
}
