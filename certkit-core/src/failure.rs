//! What went wrong in an attempt, as a value: what to do next follows from it.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{Hindrance, Identifier, IdentifierSet};

/// A failed step. State keeps the codes; the words for them stand in this file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Failure {
    /// What kind of failure it is.
    pub class: FailureClass,
    /// When it makes sense to try again.
    pub retry: Retry,
    /// The HTTP status, when an HTTP answer caused it.
    pub http_status: Option<u16>,
    /// The problem document, when the CA sent one (RFC 7807, RFC 8555 section 6.7).
    pub problem: Option<Problem>,
    /// Every identifier that failed, with the CA's reason.
    pub per_identifier: Vec<IdentifierFailure>,
    /// What happened, in a sentence fragment, escaped and at most [`Failure::MAX_DETAIL_CHARS`] long.
    pub detail: String,
    /// What kept something from being read or written, where that was it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hindrance: Option<Hindrance>,
}

/// The kinds of failure, each with its own consequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FailureClass {
    /// No account for this CA, or the CA does not know it (`accountDoesNotExist`).
    AccountUnknown,
    /// The authenticator named in the conf cannot be done by this version.
    AuthenticatorUnsupported,
    /// The CSR was refused (`badCSR`, `badPublicKey`, `badSignatureAlgorithm`).
    BadCsr,
    /// A step that cannot fail did: an error in certkit.
    Bug,
    /// The CA delivered a certificate that does not fit what was asked for, or worse than the one in place.
    CertificateUnfit,
    /// At least one identifier could not be validated.
    ChallengeFailed,
    /// The challenge could not be set up on this machine (port taken, webroot missing, auth hook failed).
    ChallengeSetup,
    /// The clock of this machine and the CA's differ too much.
    Clock,
    /// The CA asks for an external account binding.
    ExternalAccountRequired,
    /// A hook or a deploy step failed.
    Hook,
    /// The run was asked to stop.
    Interrupted,
    /// An identifier was refused outright (`rejectedIdentifier`, `unsupportedIdentifier`, `caa`).
    IdentifierRefused,
    /// The CA could not be reached.
    Network,
    /// The order expired or became invalid.
    OrderLost,
    /// Names are paused at the CA until the owner acts (`rateLimited` without Retry-After and with a URL).
    Paused,
    /// The certificate profile is not offered or not permitted.
    ProfileRefused,
    /// The CA answered with something that is not ACME.
    Protocol,
    /// `rateLimited`.
    RateLimited,
    /// The CA has an error of its own (5xx, `serverInternal`).
    ServerUnavailable,
    /// A value in the conf, in cli.ini or on the command line cannot be used.
    Settings,
    /// The store could not be read or written.
    Store,
    /// The terms of service have to be agreed to (`userActionRequired`).
    TermsOfService,
    /// The CA refused for a reason without a class of its own.
    Refused,
}

/// When to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Retry {
    /// After the lineage's back-off.
    AfterBackoff,
    /// Only after the owner has changed something.
    AfterOwner,
    /// Not before this instant (UTC).
    At(DateTime<Utc>),
    /// Never: an error in certkit.
    Bug,
    /// At once.
    Now,
}

/// A problem document, escaped and cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Problem {
    /// The type without `urn:ietf:params:acme:error:`, for example `unauthorized`.
    pub kind: String,
    /// The CA's own words.
    pub detail: String,
}

/// Why one identifier failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct IdentifierFailure {
    /// The identifier.
    pub identifier: Identifier,
    /// The CA's reason.
    pub problem: Problem,
}

impl Failure {
    /// The most that is kept of outside text, in characters.
    pub const MAX_DETAIL_CHARS: usize = 2000;

    /// A failure of this class with the class's own retry rule.
    pub fn new(class: FailureClass, detail: impl AsRef<str>) -> Self {
        Self {
            class,
            retry: class.usual_retry(),
            http_status: None,
            problem: None,
            per_identifier: Vec::new(),
            detail: clean(detail.as_ref()),
            hindrance: None,
        }
    }

    /// The same with what kept something from being read or written.
    #[must_use]
    pub fn with_hindrance(mut self, hindrance: Option<Hindrance>) -> Self {
        self.hindrance = hindrance;
        self
    }

    /// The same with another retry rule.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// The same with the HTTP status that caused it.
    #[must_use]
    pub fn with_http_status(mut self, status: u16) -> Self {
        self.http_status = Some(status);
        self
    }

    /// The same with the CA's problem document.
    #[must_use]
    pub fn with_problem(mut self, problem: Problem) -> Self {
        self.problem = Some(problem);
        self
    }

    /// The same with what is known of each identifier.
    #[must_use]
    pub fn with_identifiers(mut self, failures: Vec<IdentifierFailure>) -> Self {
        self.per_identifier = failures;
        self
    }

    /// The same with what is known of these identifiers, each once. A CA may name whatever it likes: the owner is told
    /// of what was ordered.
    #[must_use]
    pub fn concerning(mut self, identifiers: &IdentifierSet) -> Self {
        // CAs name the base of a wildcard.
        let is_same = |ordered: &Identifier, named: &Identifier| match (ordered.as_dns(), named.as_dns()) {
            (Some(ordered), Some(named)) => ordered == named || ordered.base() == named.as_str(),
            _ => ordered == named,
        };
        let mut seen = HashSet::new();
        self.per_identifier.retain(|one| {
            identifiers.iter().any(|ordered| is_same(ordered, &one.identifier)) && seen.insert(one.identifier.clone())
        });
        self
    }

    /// What the owner can do about it.
    pub fn cure(&self) -> &'static str {
        self.class.cure()
    }

    /// Whether the CA was (or may have been) asked, so that its limits are concerned and back-off applies.
    pub fn asked_the_ca(&self) -> bool {
        self.class.counts_against_the_ca() || self.http_status.is_some()
    }

    /// Whether every other certificate from the same CA and account would fail in the same way just now, so that asking
    /// for them too only burdens the CA (and its limits).
    pub fn concerns_whole_ca(&self) -> bool {
        match self.class {
            FailureClass::AccountUnknown
            | FailureClass::ExternalAccountRequired
            | FailureClass::Network
            | FailureClass::ServerUnavailable
            | FailureClass::TermsOfService => true,
            FailureClass::RateLimited => self.per_identifier.is_empty() && !self.is_limit_of_names(),
            _ => false,
        }
    }

    /// Let's Encrypt names no identifiers in the problems of those limits that count by names, but its sentences are
    /// known (letsencrypt.org/docs/rate-limits, 2025-06): certificates per registered domain, certificates per exact set
    /// of identifiers, failed authorizations per identifier.
    fn is_limit_of_names(&self) -> bool {
        let detail = self.problem.as_ref().map_or("", |problem| problem.detail.as_str()).to_ascii_lowercase();
        ["already issued for", "exact set of", "failed authorizations"].iter().any(|words| detail.contains(words))
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Failure {}

impl Problem {
    /// Escapes and cuts what a CA sent; the `urn:` prefix of ACME's own types is dropped (RFC 8555 section 6.7).
    pub fn new(kind: &str, detail: &str) -> Self {
        let kind = kind.strip_prefix("urn:ietf:params:acme:error:").unwrap_or(kind);
        Self { kind: clean(kind), detail: clean(detail) }
    }

    /// What the owner of the identifier can do about it.
    pub fn cure(&self) -> &'static str {
        match self.kind.as_str() {
            "caa" => {
                "a CAA record forbids this CA (or the CAA lookup failed): change the record, or use the CA it names"
            }
            "connection" => {
                "the CA could not connect: open port 80 from everywhere, IPv4 and IPv6, and check that the name's A and AAAA records point here"
            }
            "dns" => {
                "the name does not resolve at the CA: check its A, AAAA and CAA records, its name servers and DNSSEC"
            }
            "incorrectResponse" => {
                "another server or document answered: check that the name's A and AAAA records point here and that nothing rewrites /.well-known/acme-challenge/"
            }
            "malformed" => "the CA does not accept this name: check its spelling",
            "rateLimited" => "wait until the time that the CA names; running more often does not help",
            "rejectedIdentifier" => {
                "the CA does not issue for this name: remove it from the certificate or use another CA"
            }
            "tls" => {
                "the CA had a TLS error while validating: check redirects to https for /.well-known/acme-challenge/"
            }
            "unauthorized" => {
                "the CA reached a server but did not find the answer: check the webroot (or the proxy in front) and that both the A and the AAAA record point to this machine"
            }
            "unsupportedIdentifier" => "the CA does not issue for this kind of identifier: use another CA or profile",
            _ => "see the CA's words",
        }
    }
}

impl IdentifierFailure {
    /// The reason why `identifier` failed.
    pub fn new(identifier: Identifier, problem: Problem) -> Self {
        Self { identifier, problem }
    }
}

impl FailureClass {
    /// What the owner can do about it. The words stand here, once.
    pub fn cure(self) -> &'static str {
        match self {
            Self::AccountUnknown => "register an account at this CA: certkit register --server URL --agree-tos",
            Self::AuthenticatorUnsupported => {
                "change how the names are validated: certkit reconfigure --cert-name NAME --webroot -w DIR (or --standalone, or --manual with hooks)"
            }
            Self::BadCsr => {
                "the CA refused the certificate request: try another --key-type or --rsa-key-size, or give another --csr"
            }
            Self::Bug => "this is an error in certkit: please report it with the log",
            Self::CertificateUnfit => {
                "the certificate was not installed and the old one is still in use: read why, and use --force-renewal only if the new one is what you want"
            }
            Self::ChallengeFailed => {
                "see the names and their reasons; all names of a certificate stand or fall together"
            }
            Self::ChallengeSetup => "put right what the message names (port, directory, hook) and run again",
            Self::Clock => {
                "set the clock of this machine (`timedatectl set-ntp true`, or `chronyc makestep` where chrony runs) and run again"
            }
            Self::ExternalAccountRequired => {
                "get credentials from the CA and register: certkit register --server URL --eab-kid KID --eab-hmac-key KEY"
            }
            Self::Hook => {
                "run the command by hand as the same user and put right what it says; it stays pending and is tried again"
            }
            Self::IdentifierRefused => {
                "the CA does not issue for this name: remove it from the certificate, change CAA, or use another CA"
            }
            Self::Interrupted => "run again; an order under way is resumed",
            Self::Network => {
                "check the network, DNS and proxy settings of this machine; renewals are tried again by themselves, anything else has to be run again"
            }
            Self::OrderLost => "nothing to do: a new order is made at the next run",
            Self::Paused => "open the URL in the CA's message and unpause the names; nothing is retried before",
            Self::ProfileRefused => {
                "choose a profile that the CA offers to your account: --preferred-profile NAME falls back, --required-profile NAME insists"
            }
            Self::Protocol => {
                "check that --server is the URL of an ACME directory and that no proxy or captive portal answers in its place"
            }
            Self::RateLimited => "wait until the time that the CA names; running more often does not help",
            Self::Refused => "see the CA's words",
            Self::ServerUnavailable => {
                "the CA has trouble: renewals are tried again by themselves, anything else has to be run again later"
            }
            Self::Settings => "correct the value that the message names",
            Self::Store => "check that the directory exists, is writable for this user and that the disk is not full",
            Self::TermsOfService => "read the CA's terms and agree: certkit register --server URL --agree-tos",
        }
    }

    /// When it usually makes sense to try again.
    pub fn usual_retry(self) -> Retry {
        match self {
            Self::AccountUnknown
            | Self::AuthenticatorUnsupported
            | Self::ExternalAccountRequired
            | Self::Paused
            | Self::Settings
            | Self::TermsOfService => Retry::AfterOwner,
            Self::Bug => Retry::Bug,
            Self::Interrupted => Retry::Now,
            _ => Retry::AfterBackoff,
        }
    }

    /// Whether failures of this kind come from asking the CA, so that its limits are concerned and back-off applies. Of
    /// the kinds that can arise on either side (no account, terms not agreed to), [`Failure::asked_the_ca`] knows more.
    pub fn counts_against_the_ca(self) -> bool {
        !matches!(
            self,
            Self::AccountUnknown
                | Self::AuthenticatorUnsupported
                | Self::ChallengeSetup
                | Self::Clock
                | Self::Hook
                | Self::Interrupted
                | Self::Settings
                | Self::Store
                | Self::TermsOfService
        )
    }
}

/// Escaped, and cut at [`Failure::MAX_DETAIL_CHARS`].
pub(crate) fn clean(text: &str) -> String {
    let escaped = crate::escape(text);
    if escaped.chars().count() <= Failure::MAX_DETAIL_CHARS {
        return escaped.into_owned();
    }
    escaped.chars().take(Failure::MAX_DETAIL_CHARS).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_ca_says_is_escaped_and_cut() {
        let problem = Problem::new("urn:ietf:params:acme:error:dns", &format!("\x1b[2J{}", "x".repeat(5000)));
        assert_eq!(problem.kind, "dns");
        assert!(problem.detail.starts_with("\\u{1b}[2J"));
        assert_eq!(problem.detail.chars().count(), Failure::MAX_DETAIL_CHARS + 1);
    }

    #[test]
    fn names_that_nobody_ordered_are_not_told() {
        let of = |name: &str| IdentifierFailure::new(Identifier::parse(name).unwrap(), Problem::new("dns", "x"));
        let ordered = ["a.example", "*.b.example", "192.0.2.1"].map(|name| Identifier::parse(name).unwrap());
        let named =
            ["a.example", "evil.example", "b.example", "a.example", "*.b.example", "x.b.example", "192.0.2.1"].map(of);
        let failure = Failure::new(FailureClass::ChallengeFailed, "x").with_identifiers(named.to_vec());
        let kept: Vec<_> = failure.concerning(&ordered.into_iter().collect()).per_identifier;
        let kept: Vec<_> = kept.iter().map(|one| one.identifier.to_string()).collect();
        assert_eq!(kept, ["a.example", "b.example", "*.b.example", "192.0.2.1"]);
    }

    #[test]
    fn what_every_other_certificate_would_meet_too_concerns_the_whole_ca() {
        let limited = |detail: &str| {
            Failure::new(FailureClass::RateLimited, detail)
                .with_http_status(429)
                .with_problem(Problem::new("urn:ietf:params:acme:error:rateLimited", detail))
        };
        for class in [
            FailureClass::AccountUnknown,
            FailureClass::ExternalAccountRequired,
            FailureClass::Network,
            FailureClass::ServerUnavailable,
            FailureClass::TermsOfService,
        ] {
            assert!(Failure::new(class, "x").concerns_whole_ca(), "{class:?}");
        }
        for class in [
            FailureClass::ChallengeFailed,
            FailureClass::IdentifierRefused,
            FailureClass::OrderLost,
            FailureClass::Paused,
            FailureClass::Store,
        ] {
            assert!(!Failure::new(class, "x").concerns_whole_ca(), "{class:?}");
        }
        assert!(Failure::new(FailureClass::RateLimited, "HTTP 429").concerns_whole_ca());
        assert!(limited("too many new orders (300) from this account in the last 3h0m0s").concerns_whole_ca());
        for one_name in [
            "too many certificates (50) already issued for \"example.org\" in the last 168h0m0s",
            "too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s",
            "too many failed authorizations (5) for \"example.org\" in the last 1h0m0s",
        ] {
            assert!(!limited(one_name).concerns_whole_ca(), "{one_name}");
        }
        let identifier = Identifier::parse("example.org").unwrap();
        let by_name = IdentifierFailure::new(identifier, Problem::new("rateLimited", "x"));
        assert!(!limited("several").with_identifiers(vec![by_name]).concerns_whole_ca());
    }

    #[test]
    fn nothing_is_promised_to_whoever_runs_a_command_that_nobody_repeats() {
        for class in [FailureClass::Network, FailureClass::ServerUnavailable] {
            let cure = class.cure();
            assert!(cure.contains("renewals are tried again by themselves"), "{cure}");
            assert!(cure.contains("anything else has to be run again"), "{cure}");
        }
    }

    #[test]
    fn a_lost_order_waits_as_every_other_failure_at_the_ca() {
        assert_eq!(FailureClass::OrderLost.usual_retry(), Retry::AfterBackoff);
        assert!(FailureClass::OrderLost.counts_against_the_ca());
    }

    #[test]
    fn failures_survive_being_stored() {
        let at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let failure =
            Failure::new(FailureClass::RateLimited, "too many").with_retry(Retry::At(at)).with_http_status(429);
        let text = serde_json::to_string(&failure).unwrap();
        assert_eq!(serde_json::from_str::<Failure>(&text).unwrap(), failure);
    }
}
