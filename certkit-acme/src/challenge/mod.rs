//! Proving control over names.

mod authenticator;
pub use authenticator::Authenticator;

mod http01;
pub use http01::StandaloneServers;

mod manual;
pub use manual::ManualSolver;

mod webroot;
pub use webroot::WebrootSolver;

use std::fmt;

use certkit_core::{Failure, Identifier, IdentifierSet};

use crate::clock::BoxFuture;

/// A challenge to be answered.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Challenge {
    /// The name or address, without `*.`.
    pub identifier: Identifier,
    /// Whether it is for the wildcard of the name.
    pub wildcard: bool,
    /// Which kind.
    pub kind: ChallengeKind,
    /// Its token.
    pub token: Token,
    /// token `.` thumbprint (RFC 8555 section 8.1).
    pub key_authorization: String,
}

/// The kinds of challenge that can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChallengeKind {
    /// A TXT record (RFC 8555 section 8.4).
    Dns01,
    /// A file under /.well-known/acme-challenge/ on port 80 (RFC 8555 section 8.3).
    Http01,
}

/// A challenge token: base64url characters only, 1 to 256 of them (RFC 8555 section 8.1), so that it can stand in a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(String);

/// Sets up and removes the answers to challenges. All challenges of an order come at once.
pub trait Solver: Send + Sync {
    /// The kinds it can answer for this identifier, in its order of preference.
    fn kinds(&self, identifier: &Identifier, wildcard: bool) -> Vec<ChallengeKind>;

    /// Sets the answers up. When this returns, the CA may look.
    fn present<'a>(&'a self, all: &'a [Challenge], order: &'a IdentifierSet) -> BoxFuture<'a, Result<(), SolveError>>;

    /// Removes the answers. Idempotent, also for challenges that were never set up.
    fn withdraw<'a>(&'a self, all: &'a [Challenge]) -> BoxFuture<'a, Result<(), SolveError>>;
}

/// Challenges could not be set up or removed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SolveError {
    /// Something on this machine is in the way.
    #[error("{0}")]
    Setup(String),
    // helper E: further cases as needed: PortTaken{address, port, by}, Webroot{path, problem}, Hook …
}

impl Token {
    /// Checks a token.
    pub fn parse(text: &str) -> Result<Self, SolveError> {
        const LONGEST: usize = 256;
        let good = !text.is_empty()
            && text.len() <= LONGEST
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if good { Ok(Self(text.to_owned())) } else { Err(SolveError::Setup("the CA sent an invalid token".into())) }
    }

    /// The token.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Challenge {
    /// A challenge.
    pub fn new(
        identifier: Identifier,
        wildcard: bool,
        kind: ChallengeKind,
        token: Token,
        key_authorization: String,
    ) -> Self {
        Self { identifier, wildcard, kind, token, key_authorization }
    }
}

impl ChallengeKind {
    /// The type in ACME's words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dns01 => "dns-01",
            Self::Http01 => "http-01",
        }
    }
}

impl fmt::Display for ChallengeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<SolveError> for Failure {
    fn from(error: SolveError) -> Self {
        Self::new(certkit_core::FailureClass::ChallengeSetup, error.to_string())
    }
}
