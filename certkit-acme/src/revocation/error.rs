//! Why it is not known whether a certificate is revoked.

use certkit_core::{CrlUrl, CrlUrlError, KeyMathError, ReadError, RevocationListError};
use chrono::{DateTime, Utc};

use crate::pause;
use crate::transport::TransportError;

/// Why it is not known whether a certificate is revoked. Outside text in it is escaped.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RevocationError {
    /// The certificate does not say readably where its list is.
    #[error(transparent)]
    Certificate(#[from] ReadError),
    /// The certificate names a URL from which no list is fetched.
    #[error(transparent)]
    Url(#[from] CrlUrlError),
    /// The issuer that was given has not issued the certificate.
    #[error("the certificate that was given for its issuer has not signed it")]
    NotItsIssuer,
    /// The issuer's key is not for lists (no cRLSign): somebody else signs them, which is not supported.
    #[error("its issuer may not sign revocation lists (it has no cRLSign)")]
    NoSignerOfLists,
    /// The list was not had.
    #[error("the revocation list {url} was not had: {problem}")]
    NotFetched {
        /// Its URL.
        url: CrlUrl,
        /// Why.
        problem: String,
    },
    /// What came is no list.
    #[error("{url} delivers {what}, which is no revocation list: {source}")]
    NotAList {
        /// Its URL.
        url: CrlUrl,
        /// What came, for example `an HTML page`.
        what: String,
        /// Where it stops making sense.
        source: RevocationListError,
    },
    /// The list is not signed by the certificate's issuer.
    #[error("the revocation list {url} is not its issuer's: {source}")]
    Unverified {
        /// Its URL.
        url: CrlUrl,
        /// Why not.
        source: KeyMathError,
    },
    /// The list says nothing about this certificate.
    #[error("the revocation list {url} does not help: {source}")]
    Unusable {
        /// Its URL.
        url: CrlUrl,
        /// Why not.
        source: RevocationListError,
    },
    /// The settings of the transport cannot be used.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The runtime is shutting down.
    #[error("the look-up was interrupted")]
    Interrupted,
}

impl RevocationError {
    /// When to look again: after `failures_in_a_row` failures before this one, 0 of them in a minute, then after 2, 4, 8
    /// minutes and so on, at most 6 hours.
    pub fn next_try(&self, failures_in_a_row: u32, now: DateTime<Utc>) -> DateTime<Utc> {
        pause::after(now, pause::doubled(failures_in_a_row))
    }
}
