//! Private keys: read, kept zeroized, compared by the public key they carry.

use std::fmt;

use zeroize::Zeroizing;

use crate::der;
use crate::pem_block::{Block, BlockError, blocks};

mod structure;

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

impl PrivateKeyFormat {
    /// The label of its PEM blocks.
    pub fn pem_label(self) -> &'static str {
        match self {
            Self::Pkcs1 => "RSA PRIVATE KEY",
            Self::Pkcs8 => "PRIVATE KEY",
            Self::Sec1 => "EC PRIVATE KEY",
        }
    }
}

impl PrivateKey {
    /// Reads the first private key of a PEM text. Certificates, EC PARAMETERS and other blocks are skipped unread.
    pub fn from_pem(pem: &[u8]) -> Result<Self, PrivateKeyError> {
        for block in blocks(pem) {
            let block = block?;
            if let Some(kind) = KeyBlock::of(&block) {
                return Self::from_block(&block, kind);
            }
        }
        Err(PrivateKeyError::NoKey)
    }

    /// Takes a key in DER; the structure is checked, down to the parts of RSA, EC and EdDSA keys.
    pub fn from_der(der: &[u8], format: PrivateKeyFormat) -> Result<Self, PrivateKeyError> {
        Self::from_owned(Zeroizing::new(der.to_vec()), format)
    }

    /// The DER encoding.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// How `der` is encoded.
    pub fn format(&self) -> PrivateKeyFormat {
        self.format
    }

    /// The PEM encoding, with lines of 64 characters and LF.
    pub fn to_pem(&self) -> Zeroizing<String> {
        der::to_pem(self.format.pem_label(), &self.der)
    }

    /// The key in DER as PKCS#8 (RFC 5958), whatever its own format is. None for a SEC1 key that does not name its curve,
    /// which PKCS#8 has to.
    pub fn to_pkcs8_der(&self) -> Option<Zeroizing<Vec<u8>>> {
        structure::pkcs8(&self.der, self.format)
    }

    /// The SubjectPublicKeyInfo (DER) that the key file itself carries: always for RSA, for EC and Ed25519 only where
    /// the optional public key is present. No arithmetic is done; see [`crate::KeyMath`] for the rest.
    pub fn carried_spki_der(&self) -> Option<Vec<u8>> {
        structure::carried_spki(&self.der, self.format)
    }

    /// Reads a block of which [`KeyBlock::of`] said that it holds a key.
    pub(crate) fn from_block(block: &Block<'_>, kind: KeyBlock) -> Result<Self, PrivateKeyError> {
        match kind {
            KeyBlock::Encrypted => Err(PrivateKeyError::Encrypted),
            KeyBlock::Unsupported(kind) => Err(PrivateKeyError::Unsupported(kind)),
            KeyBlock::Plain(format) => Self::from_owned(block.decode_secret()?, format),
        }
    }

    /// Recognizes a key that stands alone in DER.
    pub(crate) fn from_bare_der(der: &[u8]) -> Result<Self, PrivateKeyError> {
        use PrivateKeyFormat::{Pkcs1, Pkcs8, Sec1};

        if let Some(key) = [Pkcs8, Pkcs1, Sec1].into_iter().find_map(|format| Self::from_der(der, format).ok()) {
            return Ok(key);
        }
        Err(if structure::is_encrypted(der) { PrivateKeyError::Encrypted } else { PrivateKeyError::NoKey })
    }

    fn from_owned(der: Zeroizing<Vec<u8>>, format: PrivateKeyFormat) -> Result<Self, PrivateKeyError> {
        structure::check(&der, format)
            .map_err(|error| PrivateKeyError::Malformed { offset: error.offset, what: error.what })?;
        Ok(Self { der, format })
    }
}

/// What a PEM block with a private key holds.
#[derive(Clone, Copy)]
pub(crate) enum KeyBlock {
    Plain(PrivateKeyFormat),
    Encrypted,
    Unsupported(&'static str),
}

impl KeyBlock {
    /// None when the block holds something else than a private key.
    pub(crate) fn of(block: &Block<'_>) -> Option<Self> {
        let kind = match block.label {
            "PRIVATE KEY" => Self::Plain(PrivateKeyFormat::Pkcs8),
            "RSA PRIVATE KEY" => Self::Plain(PrivateKeyFormat::Pkcs1),
            "EC PRIVATE KEY" => Self::Plain(PrivateKeyFormat::Sec1),
            "ENCRYPTED PRIVATE KEY" => Self::Encrypted,
            "DSA PRIVATE KEY" => Self::Unsupported("a DSA key"),
            "OPENSSH PRIVATE KEY" => Self::Unsupported("a key in OpenSSH's own format"),
            _ => return None,
        };
        Some(if block.is_encrypted() { Self::Encrypted } else { kind })
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey").field("format", &self.format).finish_non_exhaustive()
    }
}

/// Why bytes are not a usable private key. Nothing of the key is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrivateKeyError {
    /// There is no private key block.
    #[error("no private key found")]
    NoKey,
    /// The key is protected by a passphrase, which nobody could type at an unattended renewal.
    #[error("the private key is encrypted; it is needed without a passphrase (openssl pkey -in OLD -out NEW)")]
    Encrypted,
    /// A kind of key that no CA of the web accepts.
    #[error("{0} cannot be used for a certificate")]
    Unsupported(&'static str),
    /// The PEM text is damaged.
    #[error("line {line}: {what}")]
    Pem {
        /// The line on which the block begins, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// The DER encoding does not have the structure of its format.
    #[error("the private key is malformed at byte {offset}: {what}")]
    Malformed {
        /// The octet at which the structure breaks, from 0.
        offset: usize,
        /// What is wrong there.
        what: &'static str,
    },
}

impl From<BlockError> for PrivateKeyError {
    fn from(error: BlockError) -> Self {
        Self::Pem { line: error.line, what: error.what }
    }
}

#[cfg(test)]
mod tests;
