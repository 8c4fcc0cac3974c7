//! Proving control over names.

mod authenticator;
pub use authenticator::Authenticator;

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing {
    pub use super::http01::fuzzing::{KEY_AUTHORIZATION, answer_request};
}

mod http01;
pub use http01::{StandaloneServers, StandaloneSolver};

mod manual;
pub use manual::ManualSolver;

mod webroot;
pub use webroot::{WebrootProblem, WebrootSolver};

use std::fmt;
use std::net::IpAddr;

use certkit_core::{Failure, FailureClass, Identifier, IdentifierSet};
use sha2::{Digest as _, Sha256};

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

    /// Removes the answers that another process may have set up and not removed, because it was killed: for an order that
    /// was found under way and is given up. The same as `withdraw` where what is left can be told for what it is (a token
    /// file by its content) or went with the process (a responder's sockets). [`ManualSolver`] cannot tell: it runs the
    /// cleanup hook for all of them, with an empty CERTBOT_AUTH_OUTPUT, because what the auth hook printed is lost.
    fn withdraw_abandoned<'a>(&'a self, all: &'a [Challenge]) -> BoxFuture<'a, Result<(), SolveError>> {
        self.withdraw(all)
    }
}

/// Challenges could not be set up or removed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SolveError {
    /// Something on this machine is in the way.
    #[error("{0}")]
    Setup(String),
    /// Another process listens where the standalone responder should.
    #[error(
        "port {port} of {} is taken{}: use --webroot with the web server that runs there, or stop it in a --pre-hook and start it in a --post-hook, or listen on another port with --http-01-port",
        addresses(.address), .by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default()
    )]
    PortTaken {
        /// The address; an unspecified one stands for all of its family.
        address: IpAddr,
        /// The port.
        port: u16,
        /// The process, when this user may see it, escaped.
        by: Option<String>,
    },
    /// The standalone responder's socket could not be opened for another reason.
    #[error("cannot listen on port {port} of {}: {problem}", addresses(.address))]
    Bind {
        /// The address; an unspecified one stands for all of its family.
        address: IpAddr,
        /// The port.
        port: u16,
        /// Why, with the cure when there is one.
        problem: String,
    },
    /// Token files could not be written. All failing names are here, not only the first.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Webroot(Vec<WebrootProblem>),
    /// An auth or cleanup hook failed.
    #[error("{0}")]
    Hook(String),
    /// Somebody asked to stop before all were set up. Nothing stays set up.
    #[error("stopped before all challenges were set up")]
    Stopped,
}

impl Token {
    /// Checks a token.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        const LONGEST: usize = 256;
        let good = !text.is_empty()
            && text.len() <= LONGEST
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if good { Ok(Self(text.to_owned())) } else { Err(TokenError { identifier: None, missing: text.is_empty() }) }
    }

    /// The token.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A CA sent no token, or one that could leave a path or a line. Nothing on this machine is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the CA sent {} token{}",
    if *.missing { "no" } else { "an invalid" },
    .identifier.as_ref().map(|identifier| format!(" for {identifier}")).unwrap_or_default()
)]
pub struct TokenError {
    identifier: Option<Identifier>,
    missing: bool,
}

impl TokenError {
    /// The same with the name or address that the challenge is for.
    #[must_use]
    pub fn of(self, identifier: &Identifier) -> Self {
        Self { identifier: Some(identifier.clone()), ..self }
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

    /// What the CA looks for: the key authorization itself as the file's content (RFC 8555 section 8.3), or its SHA-256
    /// digest in base64url as the TXT record (section 8.4).
    pub fn validation(&self) -> String {
        match self.kind {
            ChallengeKind::Http01 => self.key_authorization.clone(),
            ChallengeKind::Dns01 => {
                data_encoding::BASE64URL_NOPAD.encode(&Sha256::digest(self.key_authorization.as_bytes()))
            }
        }
    }
}

impl ChallengeKind {
    /// Reads a type as certbot's `--preferred-challenges` and `pref_challs` name it: in ACME's words, or without `-01`.
    pub fn from_certbot(text: &str) -> Option<Self> {
        match text.trim() {
            "dns-01" | "dns" => Some(Self::Dns01),
            "http-01" | "http" => Some(Self::Http01),
            _ => None,
        }
    }

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
        let class = match error {
            SolveError::Stopped => FailureClass::Interrupted,
            _ => FailureClass::ChallengeSetup,
        };
        Self::new(class, error.to_string())
    }
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Self {
        Self::new(FailureClass::Protocol, error.to_string())
    }
}

/// For the solvers that can only do http-01.
fn check_http01(all: &[Challenge]) -> Result<(), SolveError> {
    match all.iter().find(|challenge| challenge.kind != ChallengeKind::Http01 || challenge.wildcard) {
        None => Ok(()),
        Some(challenge) => Err(SolveError::Setup(format!(
            "{} of {} cannot be answered over http",
            challenge.kind, challenge.identifier
        ))),
    }
}

fn addresses(address: &IpAddr) -> String {
    match (address.is_unspecified(), address) {
        (true, IpAddr::V4(_)) => "all IPv4 addresses".into(),
        (true, IpAddr::V6(_)) => "all IPv6 addresses".into(),
        (false, address) => address.to_string(),
    }
}

/// Names for a sentence: the first ten, and how many more.
fn name_list<T: fmt::Display>(names: &[T]) -> String {
    const SHOWN: usize = 10;
    let shown: Vec<String> = names.iter().take(SHOWN).map(ToString::to_string).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_that_could_leave_a_directory_or_a_line_are_refused() {
        let long = "a".repeat(257);
        for bad in ["", ".", "..", "../x", "/etc/x", "a/b", "%2e", "a\0b", "a\n", "a b", "$(id)", "\"a\"", "ä", &long]
        {
            assert!(Token::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Token::parse("evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA").is_ok());
    }

    #[test]
    fn a_bad_token_is_the_cas_fault() {
        let name = Identifier::parse("a.example").unwrap();
        for (text, says) in [
            ("../\u{1b}[31m", "the CA sent an invalid token for a.example"),
            ("", "the CA sent no token for a.example"),
        ] {
            let failure = Failure::from(Token::parse(text).unwrap_err().of(&name));
            assert_eq!((failure.class, failure.detail.as_str()), (FailureClass::Protocol, says));
        }
    }

    #[test]
    fn a_txt_record_holds_the_digest() {
        // Computed with: printf %s "$KEY_AUTHORIZATION" | openssl dgst -sha256 -binary | basenc --base64url
        let key_authorization =
            "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI";
        let address = Identifier::Ip(IpAddr::from([192, 0, 2, 1]));
        let token = Token::parse("evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA").unwrap();
        let challenge = |kind| Challenge::new(address.clone(), false, kind, token.clone(), key_authorization.into());
        assert_eq!(challenge(ChallengeKind::Http01).validation(), key_authorization);
        assert_eq!(challenge(ChallengeKind::Dns01).validation(), "lCM7cZyQXcVHK2nnW3jjAhNT3Fvm18UN-kWZZknKoYM");
    }

    #[test]
    fn a_taken_port_is_named_with_its_holder_and_a_cure() {
        let address = IpAddr::from([0, 0, 0, 0]);
        let error = SolveError::PortTaken { address, port: 80, by: Some("nginx (process 812)".into()) };
        let text = error.to_string();
        assert!(
            text.starts_with("port 80 of all IPv4 addresses is taken by nginx (process 812): use --webroot"),
            "{text}"
        );
        assert_eq!(Failure::from(error).class, FailureClass::ChallengeSetup);
        assert_eq!(Failure::from(SolveError::Stopped).class, FailureClass::Interrupted);
    }

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(name_list(&["a", "b"]), "a, b");
        assert_eq!(name_list(&(0..12).collect::<Vec<_>>()), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more");
    }
}
