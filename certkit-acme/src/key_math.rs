//! Key arithmetic on aws-lc-rs.

use certkit_core::{Certificate, KeyMath, KeyMathError, PrivateKey};

/// [`KeyMath`] on aws-lc-rs: RSA (PKCS#1 v1.5 and PSS), ECDSA on P-256, P-384 and P-521, Ed25519.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct AwsLcKeyMath;

impl AwsLcKeyMath {
    /// The implementation.
    pub fn new() -> Self {
        Self
    }
}

impl KeyMath for AwsLcKeyMath {
    fn verify_signature(&self, _certificate: &Certificate, _issuer: &Certificate) -> Result<(), KeyMathError> {
        todo!()
    }

    fn public_spki_der(&self, _key: &PrivateKey) -> Result<Vec<u8>, KeyMathError> {
        todo!()
    }
}
