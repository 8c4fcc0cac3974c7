//! Account keys: certbot's JWKs, RSA and EC.

use zeroize::Zeroizing;

/// Signs requests for an account (RFC 8555 section 6.2).
pub trait AccountSigner: Send + Sync {
    /// The JWS algorithm: RS256, ES256, ES384 or ES512.
    fn algorithm(&self) -> &'static str;
    /// The public key as a JWK in its canonical form (RFC 7638: members sorted, no blanks).
    fn public_jwk(&self) -> &str;
    /// Signs; ECDSA signatures are in the fixed-length form of RFC 7518 section 3.4.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, AccountKeyError>;
}

/// An account key.
pub struct AccountKey {}

impl AccountKey {
    /// Reads certbot's `private_key.json`.
    pub fn from_jwk(_json: &str) -> Result<Self, AccountKeyError> {
        todo!()
    }

    /// A new P-256 key.
    pub fn generate() -> Result<Self, AccountKeyError> {
        todo!()
    }

    /// The private key as a JWK that certbot reads.
    pub fn to_jwk(&self) -> Zeroizing<String> {
        todo!()
    }

    /// The SubjectPublicKeyInfo in DER (certbot names the account directory after it).
    pub fn spki_der(&self) -> &[u8] {
        todo!()
    }

    /// base64url(SHA-256(JWK thumbprint)) (RFC 7638).
    pub fn thumbprint(&self) -> String {
        todo!()
    }
}

/// Why an account key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AccountKeyError {
    /// Not a JWK of a supported kind.
    #[error("the account key cannot be read: {0}")]
    Unreadable(String),
}
