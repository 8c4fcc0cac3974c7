//! Why no answer was had.

use std::error::Error;
use std::path::PathBuf;

use certkit_core::{AcmeUrl, Failure, FailureClass, Retry, escape};
use chrono::{DateTime, Utc};
use http::Method;

use super::connect::NoConnection;

/// Why no answer was had.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The server was not reached, or the connection broke.
    #[error("{url}: {problem}")]
    Network {
        /// What was called.
        url: AcmeUrl,
        /// How far it came.
        kind: NetworkFailure,
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
    /// The server's certificate ended more than a day ago, or begins more than a day from now: hardly any server's does,
    /// and many clocks are wrong.
    #[error("{url}: TLS: {problem}")]
    WrongTime {
        /// What was called.
        url: AcmeUrl,
        /// Why, with both times, escaped.
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

/// How far an exchange came that the network ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetworkFailure {
    /// The server's name has no address, or none was found in time.
    NameNotResolved,
    /// No address of the server accepts connections.
    Refused,
    /// An address of the server does not answer at all.
    TimedOut,
    /// There is no way to the server, or none that may be gone.
    Unreachable,
    /// The server was reached, and the connection broke.
    BrokenOff,
}

impl NetworkFailure {
    /// Whether the server was not reached at all.
    pub fn is_before_connection(self) -> bool {
        self != Self::BrokenOff
    }
}

impl From<TransportError> for Failure {
    fn from(error: TransportError) -> Self {
        let text = error.to_string();
        match error {
            TransportError::Network { .. } | TransportError::Timeout { .. } | TransportError::Tls { .. } => {
                Self::new(FailureClass::Network, text)
            }
            TransportError::WrongTime { .. } => Self::new(FailureClass::Clock, text),
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

/// Sorts what went wrong on the way to a CA.
pub(super) fn from_client(url: &AcmeUrl, error: &(dyn Error + 'static)) -> TransportError {
    let url = url.clone();
    match sort(error) {
        Wrong::Tls(problem) => TransportError::Tls { url, problem },
        Wrong::Time(problem) => TransportError::WrongTime { url, problem },
        Wrong::NotHttp(problem) => TransportError::Broken { url, problem },
        Wrong::Network(kind, problem) => TransportError::Network { url, kind, problem },
    }
}

/// What went wrong on the way, in words that are escaped.
pub(super) enum Wrong {
    Tls(String),
    /// The server's certificate is of quite another time.
    Time(String),
    NotHttp(String),
    Network(NetworkFailure, String),
}

/// Sorts what went wrong on the way by its deepest known cause.
pub(super) fn sort(error: &(dyn Error + 'static)) -> Wrong {
    // The outermost says only that a client failed.
    let problem = describe(error.source().unwrap_or(error));
    let causes = causes(error);
    if let Some(tls) = causes.iter().find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
        let problem = escape(&tls_problem(tls)).into_owned();
        return if is_of_another_time(tls) {
            Wrong::Time(format!("{problem}; where this machine's clock is right the server has to have another one"))
        } else {
            Wrong::Tls(problem)
        };
    }
    let http = causes.iter().find_map(|cause| cause.downcast_ref::<hyper::Error>());
    let http2 = causes.iter().find_map(|cause| cause.downcast_ref::<h2::Error>());
    if http.is_some_and(|error| error.is_parse() || error.is_parse_too_large())
        // What our side of HTTP/2 complains about (a head that is too large included).
        || http2.is_some_and(|error| error.is_library() && error.reason() != Some(h2::Reason::CANCEL))
    {
        return Wrong::NotHttp(format!("not a valid HTTP answer: {problem}"));
    }
    let unconnected = causes.iter().find_map(|cause| cause.downcast_ref::<NoConnection>());
    Wrong::Network(unconnected.map_or(NetworkFailure::BrokenOff, |found| found.kind), problem)
}

/// Whether an HTTP/2 server did not even look at the request, so that it may be sent again.
///
/// REFUSED_STREAM promises that (RFC 9113 section 8.7): a server says so when it is asked for more at once than it
/// allows, which we cannot know before its first frame. A connection that the server ends (GOAWAY; nginx does after
/// 1,000 requests) promises it only for what came too late, and we are not told which: only what does not change
/// anything is sent again.
pub(super) fn may_be_sent_again(error: &(dyn Error + 'static), method: &Method) -> bool {
    let causes = causes(error);
    let Some(http2) = causes.iter().find_map(|cause| cause.downcast_ref::<h2::Error>()) else { return false };
    let refused = http2.is_reset() && http2.reason() == Some(h2::Reason::REFUSED_STREAM);
    http2.is_remote() && (refused || (http2.is_go_away() && method.is_safe()))
}

/// What the TLS library says, in words that say what to do where it is known.
pub(crate) fn tls_problem(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(error) => format!("the server's certificate {}", certificate_problem(error)),
        rustls::Error::General(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Whether a certificate is refused for a time that is more than a day away. Servers that forget to renew are noticed
/// sooner, and on a clock that is off by so much nothing is ordered anyway.
fn is_of_another_time(error: &rustls::Error) -> bool {
    use rustls::CertificateError as Refused;
    const DAY: u64 = 24 * 60 * 60;
    let rustls::Error::InvalidCertificate(error) = error else { return false };
    let off = match error {
        Refused::ExpiredContext { time, not_after } => time.as_secs().saturating_sub(not_after.as_secs()),
        Refused::NotValidYetContext { time, not_before } => not_before.as_secs().saturating_sub(time.as_secs()),
        _ => 0,
    };
    off > DAY
}

/// The rest of a sentence on a certificate that is refused.
fn certificate_problem(error: &rustls::CertificateError) -> String {
    use rustls::CertificateError as Refused;
    let words = match error {
        Refused::UnknownIssuer => {
            "is not issued by a trusted root (UnknownIssuer); trust its root with --ca-bundle".to_owned()
        }
        Refused::NotValidYetContext { time, not_before } => format!(
            "is not valid yet (from {}; the clock of this machine says {})",
            instant(*not_before),
            instant(*time)
        ),
        Refused::NotValidYet => "is not valid yet; is the clock of this machine right?".to_owned(),
        Refused::ExpiredContext { time, not_after } => {
            format!("has expired (on {}; the clock of this machine says {})", instant(*not_after), instant(*time))
        }
        Refused::Expired => "has expired".to_owned(),
        Refused::NotValidForNameContext { expected, presented } => {
            format!("is not valid for name {}, but for {}", expected.to_str(), names(presented))
        }
        Refused::NotValidForName => "is not valid for this name".to_owned(),
        Refused::BadEncoding => "is not well-formed".to_owned(),
        Refused::BadSignature => "is not signed by the issuer that it names".to_owned(),
        Refused::Revoked => "is revoked".to_owned(),
        Refused::UnhandledCriticalExtension => "has a critical extension that is not known".to_owned(),
        Refused::InvalidPurpose | Refused::InvalidPurposeContext { .. } => "is not for servers".to_owned(),
        Refused::UnsupportedSignatureAlgorithmContext { .. }
        | Refused::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "is signed with an algorithm that is not supported".to_owned()
        }
        Refused::Other(other) => other_certificate_problem(&other.0.to_string()),
        other => format!("is refused: {other}"),
    };
    escape(&words).into_owned()
}

/// The errors of the library under the TLS library have only names.
fn other_certificate_problem(name: &str) -> String {
    // A name may have its values behind it.
    match name.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default() {
        "CaUsedAsEndEntity" => "is that of a CA (CA:TRUE), not that of a server".to_owned(),
        "EndEntityUsedAsCa" => "is issued by a certificate that is none of a CA".to_owned(),
        "NameConstraintViolation" => "has a name that its CA may not issue for".to_owned(),
        "PathLenConstraintViolated" => "has more CAs above it than one of them allows".to_owned(),
        "UnsupportedCertVersion" => "is of an old version (not X.509 version 3)".to_owned(),
        "InvalidCertValidity" => "has a period of validity that ends before it begins".to_owned(),
        "InvalidSerialNumber" => "has no valid serial number".to_owned(),
        "ExtensionValueInvalid" | "MalformedExtensions" | "TrailingData" | "BadDer" | "BadDerTime" => {
            "is not well-formed".to_owned()
        }
        "MaximumSignatureChecksExceeded"
        | "MaximumPathBuildCallsExceeded"
        | "MaximumPathDepthExceeded"
        | "MaximumNameConstraintComparisonsExceeded" => "comes with a chain that is too complicated".to_owned(),
        "certificate" => "is not for servers".to_owned(),
        _ => format!("is refused: {}", apart(name)),
    }
}

/// `AnErrorName` as `an error name`; sentences stay as they are.
fn apart(name: &str) -> String {
    if !name.chars().all(char::is_alphanumeric) {
        return name.to_owned();
    }
    let mut words = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(c.to_lowercase());
    }
    words
}

/// The names in a certificate, which the TLS library gives as `DnsName("example.org")` and `IpAddress(192.0.2.1)`.
fn names(presented: &[String]) -> String {
    const SHOWN: usize = 10;
    let bare = |name: &String| {
        let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
        inner.trim_matches('"').to_owned()
    };
    let shown: Vec<String> = presented.iter().take(SHOWN).map(bare).collect();
    match presented.len().saturating_sub(SHOWN) {
        _ if presented.is_empty() => "none".to_owned(),
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn instant(time: rustls_pki_types::UnixTime) -> String {
    let at = i64::try_from(time.as_secs()).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    at.map_or_else(|| "an unknown time".to_owned(), |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M:%S UTC").to_string())
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
    fn how_far_a_connection_came_is_found_under_a_proxy_too() {
        for (kind, reached) in [(NetworkFailure::Refused, false), (NetworkFailure::TimedOut, false)] {
            let io = std::io::Error::other(NoConnection::error(kind, "cannot connect".into()));
            let Wrong::Network(found, _) = sort(&io) else { panic!("{io}") };
            assert_eq!((found, !found.is_before_connection()), (kind, reached));
        }
        let io = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert!(matches!(sort(&io), Wrong::Network(NetworkFailure::BrokenOff, _)));
    }

    #[test]
    fn what_is_refused_is_said_in_words() {
        use rustls::CertificateError as Refused;
        let all = [
            Refused::BadEncoding,
            Refused::BadSignature,
            Refused::Expired,
            Refused::InvalidPurpose,
            Refused::NotValidForName,
            Refused::NotValidYet,
            Refused::Revoked,
            Refused::UnhandledCriticalExtension,
            Refused::Other(rustls::OtherError(std::sync::Arc::new(std::io::Error::other("SomethingQuiteNew")))),
        ];
        for refused in all {
            let debug = format!("{refused:?}");
            let text = tls_problem(&rustls::Error::InvalidCertificate(refused));
            assert!(text.starts_with("the server's certificate ") && !text.contains(&debug), "{text}");
            assert!(!text.contains("Other"), "{text}");
        }
        assert_eq!(other_certificate_problem("SomethingQuiteNew"), "is refused: something quite new");
        let names = names(&["DnsName(\"a.example\")".to_owned(), "IpAddress(192.0.2.1)".to_owned()]);
        assert_eq!(names, "a.example, 192.0.2.1");
    }

    #[test]
    fn a_server_certificate_of_quite_another_time_speaks_against_our_clock() {
        let url = AcmeUrl::parse("https://ca.example/").unwrap();
        let at = |seconds| rustls_pki_types::UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let day = 86_400;
        let now = 1_800_000_000;
        let class = |error| {
            let io = std::io::Error::other(rustls::Error::InvalidCertificate(error));
            Failure::from(from_client(&url, &io)).class
        };
        let expired = |since| rustls::CertificateError::ExpiredContext { time: at(now), not_after: at(now - since) };
        let begins =
            |until| rustls::CertificateError::NotValidYetContext { time: at(now), not_before: at(now + until) };
        assert_eq!([class(expired(day)), class(begins(day))], [FailureClass::Network; 2]);
        assert_eq!([class(expired(day + 1)), class(begins(day + 1))], [FailureClass::Clock; 2]);
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
