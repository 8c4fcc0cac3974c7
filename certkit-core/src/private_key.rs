//! Private keys: read, kept zeroized, compared by the public key they carry.

use std::fmt;

use zeroize::Zeroizing;

/// A private key, unencrypted, in one of the three PEM forms. Its bytes are zeroized on drop and never shown.
#[derive(Clone)]
pub struct PrivateKey {
    der: Zeroizing<Vec<u8>>,
    format: PrivateKeyFormat,
}

/// The encoding of a private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PrivateKeyFormat {
    /// RFC 8017 RSAPrivateKey, `BEGIN RSA PRIVATE KEY`.
    Pkcs1,
    /// RFC 5958 OneAsymmetricKey, `BEGIN PRIVATE KEY`.
    Pkcs8,
    /// RFC 5915 ECPrivateKey, `BEGIN EC PRIVATE KEY`.
    Sec1,
}

impl PrivateKey {
    /// Reads the first private key of a PEM text.
    pub fn from_pem(_pem: &[u8]) -> Result<Self, PrivateKeyError> {
        todo!()
    }

    /// Takes a key in DER; the outer structure is checked.
    pub fn from_der(_der: &[u8], _format: PrivateKeyFormat) -> Result<Self, PrivateKeyError> {
        todo!()
    }

    /// The DER encoding.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// How `der` is encoded.
    pub fn format(&self) -> PrivateKeyFormat {
        self.format
    }

    /// The PEM encoding.
    pub fn to_pem(&self) -> Zeroizing<String> {
        todo!()
    }

    /// The SubjectPublicKeyInfo (DER) that the key file itself carries: always for RSA, for EC and Ed25519 only where
    /// the optional public key is present. No arithmetic is done; see [`crate::KeyMath`] for the rest.
    pub fn carried_spki_der(&self) -> Option<Vec<u8>> {
        todo!()
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey").field("format", &self.format).finish_non_exhaustive()
    }
}

/// Why bytes are not a usable private key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrivateKeyError {
    /// There is no private key block.
    #[error("no private key found")]
    NoKey,
    // helper A: Encrypted, Malformed…
}
