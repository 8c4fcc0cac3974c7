//! Key arithmetic, which this crate does not contain: the caller brings it.

use crate::{Certificate, PrivateKey};

/// Signature checks and the derivation of public keys. `certkit-acme` brings an implementation on aws-lc-rs.
pub trait KeyMath: Send + Sync {
    /// Checks that `certificate` is signed by the key of `issuer`.
    fn verify_signature(&self, certificate: &Certificate, issuer: &Certificate) -> Result<(), KeyMathError>;

    /// The SubjectPublicKeyInfo (DER) that belongs to `key`.
    fn public_spki_der(&self, key: &PrivateKey) -> Result<Vec<u8>, KeyMathError>;
}

/// Why a key operation did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyMathError {
    /// The signature does not belong to the certificate and the issuer's key.
    #[error("the signature does not verify under the issuer's key")]
    BadSignature,
    /// The key cannot be used.
    #[error("the private key cannot be used: {0}")]
    UnusableKey(String),
    /// The algorithm is not supported.
    #[error("the algorithm {0} is not supported")]
    UnsupportedAlgorithm(String),
}
