//! The structures of private keys, and the public keys that stand in them.

use zeroize::Zeroizing;

use super::PrivateKeyFormat;
use crate::der::{self, DerError, Reader};

/// AlgorithmIdentifier of rsaEncryption, with the NULL that RFC 3279 section 2.3.1 demands in certificates.
const RSA_ALGORITHM: &[u8] =
    &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
/// The contents of OIDs.
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const RSASSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const ED448: &[u8] = &[0x2b, 0x65, 0x71];
/// The algorithms of encrypted keys begin with 1.2.840.113549.1.5 (PKCS#5) or 1.2.840.113549.1.12.1 (PKCS#12).
const PASSWORD_BASED: [&[u8]; 2] =
    [&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05], &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x01]];

/// Checks that `bytes` are one key of the format and nothing else.
pub(super) fn check(bytes: &[u8], format: PrivateKeyFormat) -> Result<(), DerError> {
    match format {
        PrivateKeyFormat::Pkcs1 => Rsa::read(bytes).map(drop),
        PrivateKeyFormat::Sec1 => Ec::read(bytes).map(drop),
        PrivateKeyFormat::Pkcs8 => {
            let key = OneAsymmetricKey::read(bytes)?;
            // Positions in the inner key count from the start of the outer one.
            let shift = |error: DerError| DerError { offset: error.offset + key.private_key_offset, ..error };
            match key.algorithm_oid {
                RSA_ENCRYPTION | RSASSA_PSS => Rsa::read(key.private_key).map(drop).map_err(shift),
                EC_PUBLIC_KEY => Ec::read(key.private_key).map(drop).map_err(shift),
                ED25519 => edwards(key.private_key, 32).map_err(shift),
                ED448 => edwards(key.private_key, 57).map_err(shift),
                _ => Ok(()),
            }
        }
    }
}

/// The SubjectPublicKeyInfo that stands in a key.
pub(super) fn carried_spki(bytes: &[u8], format: PrivateKeyFormat) -> Option<Vec<u8>> {
    match format {
        PrivateKeyFormat::Pkcs1 => Rsa::read(bytes).ok().map(|rsa| rsa.spki(RSA_ALGORITHM)),
        PrivateKeyFormat::Sec1 => {
            let ec = Ec::read(bytes).ok()?;
            let algorithm = der::element(der::SEQUENCE, &[&der::element(der::OID, &[EC_PUBLIC_KEY]), ec.curve?]);
            ec_spki(&algorithm, ec.public_key?)
        }
        PrivateKeyFormat::Pkcs8 => {
            let key = OneAsymmetricKey::read(bytes).ok()?;
            match key.algorithm_oid {
                RSA_ENCRYPTION => Rsa::read(key.private_key).ok().map(|rsa| rsa.spki(RSA_ALGORITHM)),
                RSASSA_PSS => Rsa::read(key.private_key).ok().map(|rsa| rsa.spki(key.algorithm)),
                EC_PUBLIC_KEY => ec_spki(key.algorithm, Ec::read(key.private_key).ok()?.public_key.or(key.public_key)?),
                _ => key.public_key.map(|public_key| spki(key.algorithm, public_key)),
            }
        }
    }
}

/// The key as a PKCS#8 PrivateKeyInfo, byte for byte what `openssl pkcs8 -topk8 -nocrypt` writes; none for an EC key that
/// does not name its curve.
pub(super) fn pkcs8(bytes: &[u8], format: PrivateKeyFormat) -> Option<Zeroizing<Vec<u8>>> {
    const FIRST_VERSION: &[u8] = &[0x02, 0x01, 0x00];
    let wrap = |algorithm: &[u8], key: &[u8]| {
        let key = Zeroizing::new(der::element(der::OCTET_STRING, &[key]));
        Zeroizing::new(der::element(der::SEQUENCE, &[FIRST_VERSION, algorithm, &key]))
    };
    match format {
        PrivateKeyFormat::Pkcs8 => Some(Zeroizing::new(bytes.to_vec())),
        PrivateKeyFormat::Pkcs1 => Some(wrap(RSA_ALGORITHM, bytes)),
        PrivateKeyFormat::Sec1 => {
            let ec = Ec::read(bytes).ok()?;
            let algorithm = der::element(der::SEQUENCE, &[&der::element(der::OID, &[EC_PUBLIC_KEY]), ec.curve?]);
            // The curve stands in the algorithm and is left out here, as OpenSSL does it (RFC 5915 section 3 allows both).
            let parts = [ec.version, ec.private_number, ec.wrapped_public_key.unwrap_or_default()];
            let inner = Zeroizing::new(der::element(der::SEQUENCE, &parts));
            Some(wrap(&algorithm, &inner))
        }
    }
}

/// Whether `bytes` are an EncryptedPrivateKeyInfo (RFC 5958 section 3).
pub(super) fn is_encrypted(bytes: &[u8]) -> bool {
    let algorithm = || {
        let mut outer = Reader::new(bytes).any()?.inside();
        let mut algorithm = outer.expect(der::SEQUENCE, "no algorithm")?.inside();
        algorithm.expect(der::OID, "no algorithm").map(|oid| oid.content)
    };
    algorithm().is_ok_and(|oid| PASSWORD_BASED.iter().any(|family| oid.starts_with(family)))
}

/// RFC 8017 appendix A.1.2. Both numbers with tag and length.
struct Rsa<'a> {
    modulus: &'a [u8],
    public_exponent: &'a [u8],
}

impl<'a> Rsa<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, DerError> {
        let mut fields = only_element(bytes)?;
        let version = fields.expect(der::INTEGER, "no version at the start of an RSA key")?;
        if !matches!(version.content, [0 | 1]) {
            return Err(DerError { offset: version.offset, what: "not an RSA key" });
        }
        let modulus = fields.expect(der::INTEGER, "the modulus is missing")?;
        let public_exponent = fields.expect(der::INTEGER, "the public exponent is missing")?;
        for _ in 0..6 {
            fields.expect(der::INTEGER, "a number of the RSA key is missing")?;
        }
        // OtherPrimeInfos of keys with more than two primes.
        fields.optional(der::SEQUENCE)?;
        fields.end("data after the RSA key")?;
        Ok(Self { modulus: modulus.raw, public_exponent: public_exponent.raw })
    }

    fn spki(&self, algorithm: &[u8]) -> Vec<u8> {
        spki(algorithm, &der::element(der::SEQUENCE, &[self.modulus, self.public_exponent]))
    }
}

/// RFC 5915 section 3. What is not said otherwise is with tag and length.
struct Ec<'a> {
    version: &'a [u8],
    private_number: &'a [u8],
    /// The public key in its tag `[1]`.
    wrapped_public_key: Option<&'a [u8]>,
    /// The OID of the named curve.
    curve: Option<&'a [u8]>,
    /// The octets of the point.
    public_key: Option<&'a [u8]>,
}

impl<'a> Ec<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, DerError> {
        let mut fields = only_element(bytes)?;
        let version = fields.expect(der::INTEGER, "no version at the start of an EC key")?;
        if version.content != [1] {
            return Err(DerError { offset: version.offset, what: "not an EC key" });
        }
        let private_number = fields.expect(der::OCTET_STRING, "the private number of the EC key is missing")?;
        let parameters = fields.optional(der::explicit(0))?;
        let public_key = fields.optional(der::explicit(1))?;
        fields.end("data after the EC key")?;
        let curve = match parameters {
            Some(parameters) => parameters.inside().optional(der::OID)?.map(|oid| oid.raw),
            None => None,
        };
        let wrapped_public_key = public_key.map(|wrapped| wrapped.raw);
        let public_key = match public_key {
            Some(wrapped) => {
                let public_key = wrapped.inside().expect(der::BIT_STRING, "the public key is not a BIT STRING")?;
                Some(public_key.bit_string_octets()?)
            }
            None => None,
        };
        Ok(Self { version: version.raw, private_number: private_number.raw, wrapped_public_key, curve, public_key })
    }
}

/// RFC 5958 section 2; its first version is RFC 5208's PrivateKeyInfo.
struct OneAsymmetricKey<'a> {
    /// The AlgorithmIdentifier with tag and length.
    algorithm: &'a [u8],
    algorithm_oid: &'a [u8],
    private_key: &'a [u8],
    private_key_offset: usize,
    public_key: Option<&'a [u8]>,
}

impl<'a> OneAsymmetricKey<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, DerError> {
        let mut fields = only_element(bytes)?;
        let version = fields.expect(der::INTEGER, "no version at the start of the key")?;
        if !matches!(version.content, [0 | 1]) {
            return Err(DerError { offset: version.offset, what: "not a PKCS#8 key" });
        }
        let algorithm = fields.expect(der::SEQUENCE, "the key's algorithm is missing")?;
        let algorithm_oid = algorithm.inside().expect(der::OID, "the key's algorithm has no OID")?.content;
        let private_key = fields.expect(der::OCTET_STRING, "the key itself is missing")?;
        fields.optional(der::explicit(0))?;
        let public_key = match fields.optional(der::implicit(1))? {
            Some(public_key) => Some(public_key.bit_string_octets()?),
            // BIT STRING inside an explicit tag, as early drafts had it and some libraries still write it.
            None => match fields.optional(der::explicit(1))? {
                Some(wrapped) => Some(wrapped.inside().any()?.bit_string_octets()?),
                None => None,
            },
        };
        fields.end("data after the key")?;
        Ok(Self {
            algorithm: algorithm.raw,
            algorithm_oid,
            private_key: private_key.content,
            private_key_offset: private_key.content_offset(),
            public_key,
        })
    }
}

/// RFC 8410 section 7: an octet string in the octet string.
fn edwards(bytes: &[u8], length: usize) -> Result<(), DerError> {
    let mut outer = Reader::new(bytes);
    let key = outer.expect(der::OCTET_STRING, "the key is not an OCTET STRING")?;
    outer.end("data after the key")?;
    if key.content.len() == length { Ok(()) } else { Err(DerError { offset: 0, what: "a key of the wrong length" }) }
}

/// The fields of the SEQUENCE that is all of `bytes`.
fn only_element(bytes: &[u8]) -> Result<Reader<'_>, DerError> {
    let mut outer = Reader::new(bytes);
    let key = outer.expect(der::SEQUENCE, "a key begins with a SEQUENCE")?;
    outer.end("data after the end of the key")?;
    Ok(key.inside())
}

/// Only for an uncompressed point: certificates hold that form, and to compare the other one needs arithmetic.
fn ec_spki(algorithm: &[u8], point: &[u8]) -> Option<Vec<u8>> {
    (point.first() == Some(&4)).then(|| spki(algorithm, point))
}

fn spki(algorithm: &[u8], public_key: &[u8]) -> Vec<u8> {
    der::element(der::SEQUENCE, &[algorithm, &der::element(der::BIT_STRING, &[&[0], public_key])])
}
