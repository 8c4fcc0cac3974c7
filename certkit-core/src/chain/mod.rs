//! Chains: who could have signed whom.

use std::collections::HashMap;

use crate::certificate::is_certificate_label;
use crate::pem_block::blocks;
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
    /// A chain of certificates that are at hand.
    pub fn new(leaf: Certificate, issuers: Vec<Certificate>) -> Self {
        Self { leaf, issuers }
    }

    /// Reads a PEM text whose first certificate is the leaf, as a CA delivers it (RFC 8555 section 9.1).
    ///
    /// Every certificate must be readable: half a chain is an error that says where it breaks, and so is anything in it
    /// that is not text. Text between the blocks and blocks of other kinds are passed over unread.
    pub fn from_pem(pem: &[u8]) -> Result<Self, ReadError> {
        // A NUL or another control character is not text: what a broken transfer or a reused buffer leaves behind.
        // All are looked at, so that the processor compares many at once.
        if pem.iter().fold(false, |any, c| any | is_no_text(*c))
            && let Some(position) = pem.iter().position(|c| is_no_text(*c))
        {
            let before = pem.get(..position).unwrap_or_default();
            let line = 1 + before.iter().filter(|c| **c == b'\n').count();
            return Err(ReadError::Pem { line, what: "a control character in the chain".to_owned() });
        }
        let mut certificates = Vec::new();
        for block in blocks(pem) {
            let block = block?;
            if is_certificate_label(block.label) {
                let certificate = Certificate::from_block(block.label, &block.decode()?);
                certificates.push(certificate.map_err(|error| error.in_block(block.line))?);
            }
        }
        let mut certificates = certificates.into_iter();
        let leaf = certificates.next().ok_or(ReadError::NoCertificate)?;
        Ok(Self { leaf, issuers: certificates.collect() })
    }

    /// The leaf, then the issuers.
    pub fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        std::iter::once(&self.leaf).chain(&self.issuers)
    }

    /// The issuer name of the last certificate of the chain (certbot's `preferred_chain` compares this).
    pub fn topmost_issuer_common_name(&self) -> Option<String> {
        self.issuers.last().unwrap_or(&self.leaf).issuer_common_name()
    }

    /// The leaf in PEM: certbot's `cert.pem`.
    pub fn cert_pem(&self) -> String {
        self.leaf.to_pem()
    }

    /// The issuers in PEM: certbot's `chain.pem`.
    pub fn chain_pem(&self) -> String {
        self.issuers.iter().map(Certificate::to_pem).collect()
    }

    /// The leaf and the issuers in PEM: certbot's `fullchain.pem`, byte for byte `cert.pem` followed by `chain.pem`.
    pub fn fullchain_pem(&self) -> String {
        self.cert_pem() + &self.chain_pem()
    }
}

/// Whether it is a control character that is no white space.
fn is_no_text(c: u8) -> bool {
    ((c < b' ') | (c == 0x7f)) & (c != b'\t') & (c != b'\n') & (c != 0x0c) & (c != b'\r')
}

/// So many certificates are named at most as those that could have signed another. A file of some thousand that all could have
/// signed each other would otherwise have millions of pairs.
pub const MOST_POSSIBLE_ISSUERS: usize = 20;

/// The certificates of one subject, by index.
#[derive(Default)]
struct Named {
    all: Vec<usize>,
    by_key_id: HashMap<Vec<u8>, Vec<usize>>,
    without_key_id: Vec<usize>,
}

impl Named {
    fn add(&mut self, index: usize, key_id: Option<Vec<u8>>) {
        self.all.push(index);
        match key_id {
            Some(id) => self.by_key_id.entry(id).or_default().push(index),
            None => self.without_key_id.push(index),
        }
    }

    /// Those of the key, in their order: nothing speaks against one that does not name its key.
    fn of_key(&self, key_id: Option<&[u8]>) -> Vec<usize> {
        let Some(id) = key_id else { return self.all.iter().copied().take(MOST_POSSIBLE_ISSUERS).collect() };
        let of_it = self.by_key_id.get(id).map(Vec::as_slice).unwrap_or_default();
        let mut found: Vec<usize> = [of_it, &self.without_key_id]
            .into_iter()
            .flat_map(|indices| indices.iter().copied().take(MOST_POSSIBLE_ISSUERS))
            .collect();
        found.sort_unstable();
        found.truncate(MOST_POSSIBLE_ISSUERS);
        found
    }
}

/// For each certificate, the indices of those in the slice that could have signed it, itself included when self-issued: the
/// first [`MOST_POSSIBLE_ISSUERS`] of them, itself in any case.
pub fn possible_issuers(certificates: &[Certificate]) -> Vec<Vec<usize>> {
    let mut by_subject: HashMap<&[u8], Named> = HashMap::new();
    for (index, certificate) in certificates.iter().enumerate() {
        by_subject.entry(certificate.subject_der()).or_default().add(index, certificate.subject_key_id());
    }
    let candidates = |(index, certificate): (usize, &Certificate)| {
        let mut found = by_subject.get(certificate.issuer_der())?.of_key(certificate.authority_key_id().as_deref());
        // Whoever may have signed itself is named in any case.
        if found.len() == MOST_POSSIBLE_ISSUERS
            && !found.contains(&index)
            && certificate.could_be_issued_by(certificate)
        {
            found.pop();
            found.push(index);
        }
        Some(found)
    };
    certificates.iter().enumerate().map(|each| candidates(each).unwrap_or_default()).collect()
}

#[cfg(test)]
mod tests;
