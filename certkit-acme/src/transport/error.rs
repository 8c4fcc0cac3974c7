//! Why no answer was had.

use std::error::Error;
use std::path::PathBuf;

use certkit_core::{AcmeUrl, Failure, FailureClass, Retry, escape};
use chrono::{DateTime, Utc};

/// Why no answer was had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The server was not reached, or the connection broke.
    #[error("{url}: {problem}")]
    Network {
        /// What was called.
        url: AcmeUrl,
        /// Why it failed, with its causes, escaped.
        problem: String,
    },
    /// The exchange took longer than the settings allow.
    #[error("{url}: no complete answer within {seconds} s")]
    Timeout {
        /// What was called.
        url: AcmeUrl,
        /// The limit, in seconds.
        seconds: u64,
    },
    /// The server's certificate was refused, or the handshake failed.
    #[error("{url}: TLS: {problem}")]
    Tls {
        /// What was called.
        url: AcmeUrl,
        /// Why, escaped.
        problem: String,
    },
    /// The body is larger than the settings allow.
    #[error("{url} answered with HTTP {status} and more than {limit} bytes")]
    TooLarge {
        /// What was called.
        url: AcmeUrl,
        /// The HTTP status.
        status: u16,
        /// The limit, in bytes.
        limit: usize,
        /// When the server wants to be asked again, clamped.
        retry_after: Option<DateTime<Utc>>,
    },
    /// The server sent us elsewhere. ACME has no redirects, and a signed request must not follow one.
    #[error("{url} answered with HTTP {status}, a redirect to {target}: it is not followed; use the final URL")]
    Redirect {
        /// What was called.
        url: AcmeUrl,
        /// The HTTP status.
        status: u16,
        /// Where to, escaped and cut.
        target: String,
    },
    /// What came is not HTTP, or has a form that was not asked for.
    #[error("{url}: {problem}")]
    Broken {
        /// What was called.
        url: AcmeUrl,
        /// What is wrong, escaped.
        problem: String,
    },
    /// A file of root certificates cannot be used.
    #[error("the CA bundle {} cannot be used: {problem}", escape(&path.display().to_string()))]
    Roots {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// A proxy setting cannot be used. Its value is not shown: it may hold a password.
    #[error("the {setting} setting cannot be used: it is not a URL such as http://host:port or socks5://host:port")]
    Proxy {
        /// Which.
        setting: &'static str,
    },
    /// The TLS library refuses its own settings.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

impl From<TransportError> for Failure {
    fn from(error: TransportError) -> Self {
        let text = error.to_string();
        match error {
            TransportError::Network { .. } | TransportError::Timeout { .. } | TransportError::Tls { .. } => {
                Self::new(FailureClass::Network, text)
            }
            TransportError::TooLarge { status, retry_after, .. } => {
                let failure = Self::new(FailureClass::Protocol, text).with_http_status(status);
                match retry_after {
                    Some(at) => failure.with_retry(Retry::At(at)),
                    None => failure,
                }
            }
            TransportError::Redirect { status, .. } => Self::new(FailureClass::Protocol, text).with_http_status(status),
            TransportError::Broken { .. } => Self::new(FailureClass::Protocol, text),
            TransportError::Roots { .. } | TransportError::Proxy { .. } => Self::new(FailureClass::Settings, text),
            TransportError::Setup(_) => Self::new(FailureClass::Bug, text),
        }
    }
}

/// Sorts what went wrong on the way by its deepest known cause.
pub(super) fn from_client(url: &AcmeUrl, error: &(dyn Error + 'static)) -> TransportError {
    // The outermost says only that a client failed.
    let (url, problem) = (url.clone(), describe(error.source().unwrap_or(error)));
    let causes = causes(error);
    if let Some(tls) = causes.iter().find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
        return TransportError::Tls { url, problem: escape(&tls_problem(tls)).into_owned() };
    }
    let http = causes.iter().find_map(|cause| cause.downcast_ref::<hyper::Error>());
    if http.is_some_and(|error| error.is_parse() || error.is_parse_too_large()) {
        return TransportError::Broken { url, problem: format!("not a valid HTTP answer: {problem}") };
    }
    TransportError::Network { url, problem }
}

/// What the TLS library says, in words that say what to do where it is known.
pub(crate) fn tls_problem(error: &rustls::Error) -> String {
    use rustls::{CertificateError, Error as Tls};
    match error {
        Tls::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "the server's certificate is not issued by a trusted root (UnknownIssuer); trust its root with --ca-bundle"
                .into()
        }
        Tls::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
            "the server's certificate is not valid yet; is the clock of this machine right?".into()
        }
        Tls::General(text) => text.clone(),
        other => other.to_string(),
    }
}

/// An error and its causes in one line, each said once, escaped.
pub(crate) fn describe(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for cause in causes(error) {
        let said = cause.to_string();
        if !text.contains(&said) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&said);
        }
    }
    escape(&text).into_owned()
}

/// The chain of causes. An `io::Error` hides the error it was made from: its `source` is that error's source.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    const DEEPEST: usize = 16;
    let mut found = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next.filter(|_| found.len() < DEEPEST) {
        found.push(cause);
        next = match cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => cause.source(),
        };
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_inside_an_io_error_is_found() {
        let url = AcmeUrl::parse("https://ca.example/").unwrap();
        let tls = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
        let io = std::io::Error::other(std::io::Error::other(tls));
        assert!(matches!(from_client(&url, &io), TransportError::Tls { .. }));
    }

    #[test]
    fn settings_are_the_owners_to_correct_and_networks_mend_themselves() {
        let roots = TransportError::Roots { path: "/x\n".into(), problem: "no".into() };
        assert!(!roots.to_string().contains('\n'));
        assert_eq!(Failure::from(roots).class, FailureClass::Settings);
        let url = AcmeUrl::parse("https://ca.example/").unwrap();
        assert_eq!(Failure::from(TransportError::Timeout { url, seconds: 45 }).retry, Retry::AfterBackoff);
    }
}
