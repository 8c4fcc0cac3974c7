//! The proof that a certificate may replace what is live.

use chrono::{DateTime, Utc};

use crate::{Certificate, Chain, IdentifierSet, KeyMath, KeyMathError, PrivateKey};

/// A chain and its key that passed every check. [`VerifiedVersion::verify`] is its only constructor.
#[derive(Debug)]
pub struct VerifiedVersion {
    chain: Chain,
    key: PrivateKey,
}

/// What the new version is measured against.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Expectations {
    /// The identifiers that were ordered: all must be covered.
    pub identifiers: IdentifierSet,
    /// What is live now.
    pub replaces: Option<Certificate>,
    /// The owner wants it even though it ends earlier than the one it replaces (`--force-renewal`, a changed profile or CA, a roll-back).
    pub may_end_earlier: bool,
    /// Now.
    pub now: DateTime<Utc>,
}

/// Why a certificate is not installed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The key does not belong to the certificate.
    #[error("the certificate does not belong to the private key")]
    KeyMismatch,
    /// A key operation failed.
    #[error(transparent)]
    KeyMath(#[from] KeyMathError),
    // helper C: NoIssuer (fewer than two certificates), BadSignature{position}, MissingNames{names}, UnreadableNames, NotYetValid{not_before}, Expired{not_after}, EndsEarlier{old,new}, IsCa, IssuerExpired …
}

impl Expectations {
    /// What a first or a plain renewed version is measured against.
    pub fn new(identifiers: IdentifierSet, replaces: Option<Certificate>, now: DateTime<Utc>) -> Self {
        Self { identifiers, replaces, may_end_earlier: false, now }
    }
}

impl VerifiedVersion {
    /// Checks that every certificate is signed by the next one, that the key belongs to the leaf, that all names are
    /// covered, that it is valid now (or within an hour) and does not end earlier than what it replaces.
    pub fn verify(
        _chain: Chain,
        _key: PrivateKey,
        _expectations: &Expectations,
        _math: &dyn KeyMath,
    ) -> Result<Self, VerifyError> {
        todo!()
    }

    /// Leaf and issuers.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The key.
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }
}
