//! Orders, authorizations and challenges as values (RFC 8555 sections 7.1.3 to 7.1.5).

use certkit_core::{AcmeUrl, Chain, Identifier, IdentifierFailure, IdentifierSet, Problem};
use chrono::{DateTime, Utc};

/// What to order.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewOrder {
    /// For these.
    pub identifiers: IdentifierSet,
    /// The certificate profile.
    pub profile: Option<String>,
    /// The ARI id of the certificate that is replaced (RFC 9773 section 5).
    pub replaces: Option<String>,
}

/// An order as the CA describes it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Order {
    /// Its URL.
    pub url: AcmeUrl,
    /// Its status.
    pub status: OrderStatus,
    /// Its identifiers.
    pub identifiers: IdentifierSet,
    /// Its authorizations.
    pub authorizations: Vec<AcmeUrl>,
    /// Where the CSR goes.
    pub finalize: AcmeUrl,
    /// Where the certificate is, once it is valid.
    pub certificate: Option<AcmeUrl>,
    /// When it expires.
    pub expires: Option<DateTime<Utc>>,
    /// Why it is invalid.
    pub error: Option<Problem>,
    /// The subproblems of `error`.
    pub per_identifier: Vec<IdentifierFailure>,
    /// When the CA wants to be asked again, clamped.
    pub retry_after: Option<DateTime<Utc>>,
    /// Whether it was placed with `replaces`, so that the CA knows it for a renewal (RFC 9773 section 5).
    pub replaces: bool,
}

/// The states of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OrderStatus {
    /// Authorizations are missing.
    Pending,
    /// The CSR can be sent.
    Ready,
    /// The CA is at work.
    Processing,
    /// The certificate can be downloaded.
    Valid,
    /// It failed.
    Invalid,
}

/// An authorization as the CA describes it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Authorization {
    /// Its URL.
    pub url: AcmeUrl,
    /// For this name or address, without `*.`.
    pub identifier: Identifier,
    /// Whether it is for the wildcard of the name.
    pub wildcard: bool,
    /// Its status.
    pub status: AuthorizationStatus,
    /// The challenges that are offered; unknown types are kept.
    pub challenges: Vec<ChallengeOffer>,
    /// When the CA wants to be asked again, clamped.
    pub retry_after: Option<DateTime<Utc>>,
}

/// The states of an authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthorizationStatus {
    /// To be validated.
    Pending,
    /// Validated.
    Valid,
    /// Failed.
    Invalid,
    /// Given up by the client.
    Deactivated,
    /// Too old.
    Expired,
    /// Withdrawn by the CA.
    Revoked,
}

/// A challenge that a CA offers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ChallengeOffer {
    /// Its type, for example `http-01`, escaped.
    pub kind: String,
    /// Its URL.
    pub url: AcmeUrl,
    /// Its token, unchecked: see [`crate::challenge::Token`].
    pub token: Option<String>,
    /// Its status.
    pub status: ChallengeStatus,
    /// Why it failed.
    pub error: Option<Problem>,
}

/// The states of a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChallengeStatus {
    /// To be answered.
    Pending,
    /// The CA is looking.
    Processing,
    /// Passed.
    Valid,
    /// Failed.
    Invalid,
}

/// A chain as the CA delivered it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IssuedChain {
    /// Where it was.
    pub url: AcmeUrl,
    /// Leaf and issuers.
    pub chain: Chain,
}

impl Order {
    /// Whether it is for exactly these identifiers (RFC 8555 section 7.1.3). An order that is read again under a URL
    /// that was kept must be asked: one for other names must never be finalized or installed.
    pub fn is_for(&self, identifiers: &IdentifierSet) -> bool {
        self.identifiers.same_as(identifiers)
    }
}

impl NewOrder {
    /// An order for these identifiers.
    pub fn new(identifiers: IdentifierSet) -> Self {
        Self { identifiers, profile: None, replaces: None }
    }
}
