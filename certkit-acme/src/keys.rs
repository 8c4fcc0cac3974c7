//! Certificate keys and certificate signing requests.

use certkit_core::{IdentifierSet, PrivateKey};

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
    /// What certbot's `key_type`, `elliptic_curve` and `rsa_key_size` ask for.
    pub fn from_certbot(
        _key_type: &str,
        _elliptic_curve: Option<&str>,
        _rsa_key_size: Option<u32>,
    ) -> Result<Self, KeyError> {
        todo!()
    }

    /// A new key, in PKCS#8. Takes a while for RSA: call it on a blocking thread.
    pub fn generate(self) -> Result<PrivateKey, KeyError> {
        todo!()
    }
}

/// The certificate signing request (DER): empty subject, DNS names and then addresses in request order, no extended key
/// usage (Google refuses requests for clientAuth).
pub fn certificate_signing_request(_key: &PrivateKey, _identifiers: &IdentifierSet) -> Result<Vec<u8>, KeyError> {
    todo!()
}

/// A key or request could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not a kind of key that certkit makes.
    #[error("{0}")]
    Unsupported(String),
    /// The crypto library refused.
    #[error("the key cannot be used: {0}")]
    Crypto(String),
}
