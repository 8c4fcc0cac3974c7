//! What can go wrong in an exchange with a CA.

use certkit_core::{AcmeUrl, Failure, IdentifierFailure, Problem};
use chrono::{DateTime, Utc};

use crate::transport::TransportError;

/// An exchange with a CA that did not end as hoped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcmeError {
    /// The CA refused with a problem document.
    #[error("{}: {} (HTTP {status}) from {url}", problem.kind, problem.detail)]
    Refused {
        /// What was called.
        url: AcmeUrl,
        /// The HTTP status.
        status: u16,
        /// The problem.
        problem: Problem,
        /// Its subproblems.
        per_identifier: Vec<IdentifierFailure>,
        /// When the CA wants to be asked again, clamped.
        retry_after: Option<DateTime<Utc>>,
        /// `instance`: where the owner has to go for `userActionRequired`.
        instance: Option<String>,
    },
    /// The answer is not what ACME prescribes.
    #[error("{url} answered with HTTP {status}: {what}")]
    NotAcme {
        /// What was called.
        url: AcmeUrl,
        /// The HTTP status.
        status: u16,
        /// What came instead, for example `an HTML page`.
        what: String,
        /// When the server wants to be asked again, clamped.
        retry_after: Option<DateTime<Utc>>,
    },
    /// No answer was had.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The account key cannot be used.
    #[error("the account key cannot be used: {0}")]
    Key(String),
}

impl AcmeError {
    /// The problem type without its prefix, when the CA sent one.
    pub fn problem_kind(&self) -> Option<&str> {
        match self {
            Self::Refused { problem, .. } => Some(&problem.kind),
            _ => None,
        }
    }
}

impl From<AcmeError> for Failure {
    fn from(_error: AcmeError) -> Self {
        todo!()
    }
}
