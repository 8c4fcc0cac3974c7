//! Chains: who could have signed whom.

use crate::{Certificate, ReadError};

/// A leaf and the certificates that a server sends after it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Chain {
    /// The end-entity certificate.
    pub leaf: Certificate,
    /// The issuers, each one signing the one before it.
    pub issuers: Vec<Certificate>,
}

impl Chain {
    /// Reads a PEM text whose first certificate is the leaf, as a CA delivers it.
    pub fn from_pem(_pem: &[u8]) -> Result<Self, ReadError> {
        todo!()
    }

    /// The issuer name of the last certificate of the chain (certbot's `preferred_chain` compares this).
    pub fn topmost_issuer_common_name(&self) -> Option<String> {
        todo!()
    }

    /// The leaf in PEM: certbot's `cert.pem`.
    pub fn cert_pem(&self) -> String {
        todo!()
    }

    /// The issuers in PEM: certbot's `chain.pem`.
    pub fn chain_pem(&self) -> String {
        todo!()
    }
}

/// For each certificate, the indices of those in the slice that could have signed it, itself included when self-issued.
pub fn possible_issuers(_certificates: &[Certificate]) -> Vec<Vec<usize>> {
    todo!()
}
