//! Files that hold any number of certificates and keys.

use crate::certificate::is_certificate_label;
use crate::der::{self, Reader};
use crate::pem_block::{Block, BlockError, blocks};
use crate::private_key::KeyBlock;
use crate::{Certificate, PrivateKey, PrivateKeyError, ReadError};

/// What was found in a file, in its order. Reading never fails as a whole.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Bundle {
    /// The certificates that could be read.
    pub certificates: Vec<Certificate>,
    /// The private keys that could be read.
    pub keys: Vec<PrivateKey>,
    /// What could not be read, and where.
    pub problems: Vec<BundleProblem>,
}

/// A block or a file that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BundleProblem {
    /// The line on which the block begins, from 1; none for DER.
    pub line: Option<usize>,
    /// What is wrong, escaped for a terminal.
    pub what: String,
}

/// `line 3: what is wrong`.
impl std::fmt::Display for BundleProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// Reads PEM (text between blocks, CRLF, a byte-order mark and mixed kinds allowed) or, where there is none, DER.
///
/// Certificates and private keys are read; blocks of other kinds (requests, public keys, parameters, revocation lists)
/// are passed over. A file in which there is nothing to read has a problem that says so. The time grows linearly with
/// the size.
///
/// ```
/// let bundle = certkit_core::read_bundle(b"-----BEGIN CERTIFICATE-----\nMIIB\n");
/// assert_eq!(bundle.problems[0].to_string(), "line 1: the block CERTIFICATE is cut off: it has no END line");
/// ```
pub fn read_bundle(bytes: &[u8]) -> Bundle {
    let mut bundle = Bundle::default();
    let mut passed_over = None;
    for block in blocks(bytes) {
        match block {
            Ok(block) => {
                if !bundle.read_block(&block) {
                    passed_over.get_or_insert(block.line);
                }
            }
            Err(error) => bundle.problem(error),
        }
    }
    if bundle.is_empty() {
        match passed_over {
            Some(line) => {
                bundle.problem(BlockError { line, what: "no certificate and no private key in this file".to_owned() });
            }
            None => bundle.read_der(bytes),
        }
    }
    bundle
}

impl Bundle {
    /// Whether there was nothing at all, not even something damaged.
    fn is_empty(&self) -> bool {
        self.certificates.is_empty() && self.keys.is_empty() && self.problems.is_empty()
    }

    /// Reads a block if it is of a kind that is read.
    fn read_block(&mut self, block: &Block<'_>) -> bool {
        if is_certificate_label(block.label) {
            match block.decode() {
                Ok(der) => match Certificate::from_block(block.label, &der) {
                    Ok(certificate) => self.certificates.push(certificate),
                    Err(error) => self.problem(block.error(format!("the certificate cannot be read: {error}"))),
                },
                Err(error) => self.problem(error),
            }
        } else if let Some(kind) = KeyBlock::of(block) {
            match PrivateKey::from_block(block, kind) {
                Ok(key) => self.keys.push(key),
                // It names the line already.
                Err(PrivateKeyError::Pem { line, what }) => self.problem(BlockError { line, what }),
                Err(error) => self.problem(block.error(error.to_string())),
            }
        } else {
            return false;
        }
        true
    }

    fn problem(&mut self, error: BlockError) {
        self.problems.push(BundleProblem { line: Some(error.line), what: error.what });
    }

    fn read_der(&mut self, bytes: &[u8]) {
        let error = match Certificate::from_der(bytes) {
            Ok(certificate) => return self.certificates.push(certificate),
            Err(error) => error,
        };
        let what = match PrivateKey::from_bare_der(bytes) {
            Ok(key) => return self.keys.push(key),
            Err(PrivateKeyError::NoKey) => nothing_readable(bytes, &error),
            Err(error) => error.to_string(),
        };
        self.problems.push(BundleProblem { line: None, what });
    }
}

/// Says what a file without a PEM block is that is no readable DER either.
fn nothing_readable(bytes: &[u8], error: &ReadError) -> String {
    if bytes.is_empty() {
        "nothing readable: the file is empty".to_owned()
    } else if is_pkcs12(bytes) {
        "a PKCS#12 file, which is not read (openssl pkcs12 -in FILE -nodes writes PEM)".to_owned()
    } else if bytes.first() == Some(&der::SEQUENCE) {
        format!("nothing readable: neither PEM nor a certificate or key in DER ({error})")
    } else {
        "nothing readable: no PEM block in it, and it is not DER".to_owned()
    }
}

/// A PFX begins with version 3 (RFC 7292 section 4).
fn is_pkcs12(bytes: &[u8]) -> bool {
    let version = Reader::new(bytes).any().and_then(|pfx| pfx.inside().expect(der::INTEGER, "no version"));
    version.is_ok_and(|version| version.content == [3])
}

#[cfg(test)]
mod tests;
