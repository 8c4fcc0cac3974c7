//! Files that hold any number of certificates and keys.

use crate::{Certificate, PrivateKey};

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

/// Reads PEM (text between blocks, CRLF, a byte-order mark and mixed kinds allowed) or, where there is none, DER.
pub fn read_bundle(_bytes: &[u8]) -> Bundle {
    todo!()
}
