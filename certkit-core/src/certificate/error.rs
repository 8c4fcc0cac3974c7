//! Why bytes are not a readable certificate, and where.

use crate::IdentifierError;
use crate::der::DerError;
use crate::pem_block::BlockError;

/// Why bytes are not a readable certificate, and where. Outside text in it is escaped and cut.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// There is no PEM certificate block.
    #[error("no certificate found")]
    NoCertificate,
    /// The PEM text around a block is damaged.
    #[error("line {line}: {what}")]
    Pem {
        /// The line on which the block begins, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// A block holds something that is not a readable certificate.
    #[error("the certificate on line {line}: {source}")]
    InBlock {
        /// The line on which the block begins, from 1.
        line: usize,
        /// What is wrong with the certificate.
        source: Box<Self>,
    },
    /// The DER encoding of a certificate does not have the structure of RFC 5280 section 4.1.
    #[error("byte {offset}: {what}")]
    Der {
        /// The octet at which the structure breaks, from 0, counted from the start of the certificate.
        offset: usize,
        /// What is wrong there.
        what: String,
    },
    /// An extension that was asked for cannot be read.
    #[error("the extension {name}: {what}")]
    Extension {
        /// The extension's name in RFC 5280.
        name: &'static str,
        /// What is wrong.
        what: String,
    },
    /// An alternative name is not a DNS name or address that could be ordered.
    #[error("the extension subjectAltName: {0}")]
    Identifier(#[from] IdentifierError),
}

impl From<DerError> for ReadError {
    fn from(error: DerError) -> Self {
        Self::Der { offset: error.offset, what: error.what.to_owned() }
    }
}

impl From<BlockError> for ReadError {
    fn from(error: BlockError) -> Self {
        Self::Pem { line: error.line, what: error.what }
    }
}

impl ReadError {
    /// The error as one of the block that begins on the line.
    pub(crate) fn in_block(self, line: usize) -> Self {
        Self::InBlock { line, source: Box::new(self) }
    }
}
