//! What can go wrong in an exchange with a CA, and what follows from it.

use certkit_core::{AcmeUrl, Failure, FailureClass, IdentifierFailure, Problem, Retry};
use chrono::{DateTime, Utc};

use crate::transport::TransportError;

/// An exchange with a CA that did not end as hoped.
#[derive(Clone, Debug, thiserror::Error)]
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
        /// `instance`: where the owner has to go for `userActionRequired`, escaped.
        instance: Option<String>,
    },
    /// The answer is not what ACME prescribes.
    #[error("{url} answered with HTTP {status}: {what}")]
    NotAcme {
        /// What was called.
        url: AcmeUrl,
        /// The HTTP status.
        status: u16,
        /// What came instead, for example `an HTML page`, escaped.
        what: String,
        /// When the server wants to be asked again, clamped.
        retry_after: Option<DateTime<Utc>>,
    },
    /// The CA sends us where a CA must not send its clients. Nothing was called there.
    #[error("{from} leads to {to}, which is refused: {why}")]
    Misled {
        /// The resource (or the directory) that leads there.
        from: AcmeUrl,
        /// Where to.
        to: AcmeUrl,
        /// Why not.
        why: &'static str,
    },
    /// No answer was had.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The account key cannot be used.
    #[error("the account key cannot be used: {0}")]
    Key(String),
    /// A new account key belongs to an account of this CA already (RFC 8555 section 7.3.5).
    #[error("{url} refused the new account key: {}", belongs(account.as_ref()))]
    KeyInUse {
        /// keyChange.
        url: AcmeUrl,
        /// The account that has the key, when the CA said so.
        account: Option<AcmeUrl>,
    },
    /// What was to be sent cannot be: a value that the owner gave does not fit.
    #[error("{0}")]
    Input(String),
    /// The CA does not offer what was asked of it.
    #[error("the CA at {directory} offers no {what}")]
    NotOffered {
        /// Its directory.
        directory: AcmeUrl,
        /// What is missing, for example `revokeCert`.
        what: &'static str,
    },
}

impl AcmeError {
    /// The problem type without its prefix, when the CA sent one.
    pub fn problem_kind(&self) -> Option<&str> {
        match self {
            Self::Refused { problem, .. } => Some(&problem.kind),
            _ => None,
        }
    }

    /// The HTTP status, when there was an answer.
    pub fn http_status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } | Self::NotAcme { status, .. } => Some(*status),
            Self::KeyInUse { .. } => Some(409),
            Self::Transport(TransportError::TooLarge { status, .. } | TransportError::Redirect { status, .. }) => {
                Some(*status)
            }
            _ => None,
        }
    }

    /// When the CA wants to be asked again, when it said so.
    pub fn retry_after(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Refused { retry_after, .. } | Self::NotAcme { retry_after, .. } => *retry_after,
            Self::Transport(TransportError::TooLarge { retry_after, .. }) => *retry_after,
            _ => None,
        }
    }

    /// Whether the CA says that what was called does not exist (any more): an order under way that is gone, for example.
    pub fn is_gone(&self) -> bool {
        matches!(self.http_status(), Some(404 | 410))
    }
}

impl From<AcmeError> for Failure {
    fn from(error: AcmeError) -> Self {
        let text = error.to_string();
        match error {
            AcmeError::Transport(error) => Self::from(error),
            AcmeError::Key(_) | AcmeError::Input(_) | AcmeError::NotOffered { .. } => {
                Self::new(FailureClass::Settings, text)
            }
            AcmeError::KeyInUse { .. } => Self::new(FailureClass::Settings, text).with_http_status(409),
            AcmeError::Misled { .. } => Self::new(FailureClass::Protocol, text),
            AcmeError::NotAcme { status, retry_after, .. } => {
                let class = match status {
                    429 => FailureClass::RateLimited,
                    500.. => FailureClass::ServerUnavailable,
                    _ => FailureClass::Protocol,
                };
                not_before(Self::new(class, text), retry_after).with_http_status(status)
            }
            AcmeError::Refused { status, problem, per_identifier, retry_after, instance, .. } => {
                let class = class_of(status, &problem, &per_identifier, retry_after);
                let text = match instance {
                    Some(instance) => format!("{text}; see {instance}"),
                    None => text,
                };
                not_before(Self::new(class, text), retry_after)
                    .with_http_status(status)
                    .with_problem(problem)
                    .with_identifiers(per_identifier)
            }
        }
    }
}

fn belongs(account: Option<&AcmeUrl>) -> String {
    account.map_or_else(
        || "another account has it already".to_owned(),
        |account| format!("the account {account} has it already"),
    )
}

/// Retry-After counts wherever waiting is what helps; an owner who has to act is not helped by it.
fn not_before(failure: Failure, retry_after: Option<DateTime<Utc>>) -> Failure {
    match (failure.retry, retry_after) {
        (Retry::AfterBackoff, Some(at)) => failure.with_retry(Retry::At(at)),
        _ => failure,
    }
}

/// The class of a problem (RFC 8555 section 6.7, RFC 9773 section 5, draft-ietf-acme-profiles section 5).
fn class_of(
    status: u16,
    problem: &Problem,
    per_identifier: &[IdentifierFailure],
    retry_after: Option<DateTime<Utc>>,
) -> FailureClass {
    let says = |words: &str| problem.detail.to_ascii_lowercase().contains(words);
    match problem.kind.as_str() {
        "rateLimited" if retry_after.is_none() && says("https://") && (says("unpause") || says("please visit")) => {
            // Let's Encrypt pauses names after 1,152 failures in a row: the same type, but only the owner can end it.
            FailureClass::Paused
        }
        "rateLimited" => FailureClass::RateLimited,
        "accountDoesNotExist" => FailureClass::AccountUnknown,
        // Let's Encrypt says so for a profile that exists but is not open to this account.
        "unauthorized" if says("profile") => FailureClass::ProfileRefused,
        "unauthorized" if says("account") && (says("deactivated") || says("revoked") || says("not valid")) => {
            FailureClass::AccountUnknown
        }
        "unauthorized" if !per_identifier.is_empty() => FailureClass::ChallengeFailed,
        "caa" | "rejectedIdentifier" | "unsupportedIdentifier" => FailureClass::IdentifierRefused,
        "connection" | "dns" | "incorrectResponse" | "tls" => FailureClass::ChallengeFailed,
        "compound" | "malformed" if !per_identifier.is_empty() => FailureClass::IdentifierRefused,
        "badCSR" | "badPublicKey" | "badSignatureAlgorithm" => FailureClass::BadCsr,
        "invalidProfile" => FailureClass::ProfileRefused,
        "externalAccountRequired" => FailureClass::ExternalAccountRequired,
        "userActionRequired" => FailureClass::TermsOfService,
        "invalidContact" | "unsupportedContact" => FailureClass::Settings,
        "orderNotReady" => FailureClass::OrderLost,
        // The retries in the exchange itself are used up by then: the CA's nonces do not work.
        "badNonce" | "serverInternal" => FailureClass::ServerUnavailable,
        _ if status == 429 => FailureClass::RateLimited,
        _ if status >= 500 => FailureClass::ServerUnavailable,
        _ => FailureClass::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn refused(status: u16, kind: &str, detail: &str, retry_after: Option<DateTime<Utc>>) -> Failure {
        let url = AcmeUrl::parse("https://ca.example/new-order").unwrap();
        let problem = Problem::new(&format!("urn:ietf:params:acme:error:{kind}"), detail);
        AcmeError::Refused { url, status, problem, per_identifier: Vec::new(), retry_after, instance: None }.into()
    }

    #[test]
    fn a_rate_limit_names_its_end_and_a_pause_asks_for_the_owner() {
        let detail = "too many certificates; see https://letsencrypt.org/docs/rate-limits/";
        let limited = refused(429, "rateLimited", detail, Some(at()));
        assert_eq!((limited.class, limited.retry), (FailureClass::RateLimited, Retry::At(at())));
        let detail = "Your account is temporarily prevented from requesting certificates for a.example. Please visit: https://portal.example/sfe/v1/unpause?jwt=x";
        let paused = refused(429, "rateLimited", detail, None);
        assert_eq!((paused.class, paused.retry), (FailureClass::Paused, Retry::AfterOwner));
        assert!(paused.detail.contains("https://portal.example/sfe/v1/unpause?jwt=x"));
        assert_eq!(refused(429, "rateLimited", "slow down", None).class, FailureClass::RateLimited);
        assert_eq!(refused(429, "malformed", "slow down", Some(at())).retry, Retry::At(at()));
    }

    #[test]
    fn every_problem_type_has_its_class() {
        for (kind, detail, class) in [
            ("accountDoesNotExist", "", FailureClass::AccountUnknown),
            ("unauthorized", "Account is not valid, has status \"deactivated\"", FailureClass::AccountUnknown),
            (
                "unauthorized",
                "account ID 1 is not permitted to use certificate profile \"x\"",
                FailureClass::ProfileRefused,
            ),
            ("unauthorized", "no", FailureClass::Refused),
            ("invalidProfile", "", FailureClass::ProfileRefused),
            ("caa", "", FailureClass::IdentifierRefused),
            ("rejectedIdentifier", "", FailureClass::IdentifierRefused),
            ("dns", "", FailureClass::ChallengeFailed),
            ("badCSR", "", FailureClass::BadCsr),
            ("externalAccountRequired", "", FailureClass::ExternalAccountRequired),
            ("userActionRequired", "", FailureClass::TermsOfService),
            ("orderNotReady", "", FailureClass::OrderLost),
            ("badNonce", "", FailureClass::ServerUnavailable),
            ("somethingNew", "", FailureClass::Refused),
        ] {
            assert_eq!(refused(403, kind, detail, None).class, class, "{kind} {detail}");
        }
    }

    #[test]
    fn a_server_in_trouble_is_asked_again_when_it_says() {
        let url = AcmeUrl::parse("https://ca.example/directory").unwrap();
        let error = AcmeError::NotAcme { url, status: 503, what: "an HTML page".into(), retry_after: Some(at()) };
        assert_eq!(error.retry_after(), Some(at()));
        let failure = Failure::from(error);
        assert_eq!((failure.class, failure.retry), (FailureClass::ServerUnavailable, Retry::At(at())));
        assert_eq!(failure.http_status, Some(503));
        assert_eq!(failure.to_string().matches("503").count(), 1, "{failure}");
    }

    #[test]
    fn the_owner_is_sent_to_where_the_terms_are() {
        let url = AcmeUrl::parse("https://ca.example/new-order").unwrap();
        let failure: Failure = AcmeError::Refused {
            url,
            status: 403,
            problem: Problem::new("urn:ietf:params:acme:error:userActionRequired", "terms changed"),
            per_identifier: Vec::new(),
            retry_after: Some(at()),
            instance: Some("https://ca.example/agree".into()),
        }
        .into();
        assert_eq!((failure.class, failure.retry), (FailureClass::TermsOfService, Retry::AfterOwner));
        assert!(failure.detail.contains("https://ca.example/agree"));
    }
}
