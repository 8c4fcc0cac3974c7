//! Which failures only the owner can cure, what they are in words, and the command that comes next: one table.

use super::alarm::Cause;
use crate::state::RememberedFailure;
use crate::words::{class, cure_for, held_cure, remembered, remembered_cure, shell_word};
use crate::{Failure, FailureClass, HeldBy, Retry, escape};

/// Of more names than this the cause gives only the number; the names are listed anyway.
const MOST_NAMES_IN_A_CAUSE: usize = 3;

/// Whether trying again will not help before the owner has done something. What may be gone at the next try (a CA that is
/// down, a limit, an order that was lost, a stopped run) is told once it lasts.
pub(super) fn needs_owner(failure: &RememberedFailure) -> bool {
    if failure.retry == Retry::AfterOwner {
        return true;
    }
    match failure.class {
        // The CA has looked at the names: what it says of them decides. It may have said nothing.
        FailureClass::ChallengeFailed | FailureClass::IdentifierRefused => {
            failure.per_identifier.is_empty() || failure.per_identifier.iter().any(|(_, kind)| is_of_the_owner(kind))
        }
        FailureClass::AccountUnknown
        | FailureClass::AuthenticatorUnsupported
        | FailureClass::BadCsr
        | FailureClass::Bug
        | FailureClass::ChallengeSetup
        | FailureClass::Clock
        | FailureClass::ExternalAccountRequired
        | FailureClass::Hook
        | FailureClass::Paused
        | FailureClass::ProfileRefused
        | FailureClass::Refused
        | FailureClass::Settings
        | FailureClass::Store
        | FailureClass::TermsOfService => true,
        FailureClass::CertificateUnfit
        | FailureClass::Interrupted
        | FailureClass::Network
        | FailureClass::OrderLost
        | FailureClass::Protocol
        | FailureClass::RateLimited
        | FailureClass::ServerUnavailable => false,
    }
}

/// The CA's problem types (RFC 8555 section 6.7) that come from the owner's DNS, network, server or names.
fn is_of_the_owner(kind: &str) -> bool {
    matches!(
        kind,
        "caa"
            | "connection"
            | "dns"
            | "incorrectResponse"
            | "malformed"
            | "rejectedIdentifier"
            | "tls"
            | "unauthorized"
            | "unsupportedIdentifier"
    )
}

/// What a failure means to the owner of a certificate.
pub(super) fn of_failure(failure: &RememberedFailure, name: &str, held: Option<&HeldBy>) -> Cause {
    let code = code_of(failure.class);
    let mut kinds: Vec<String> = failure.per_identifier.iter().map(|(_, kind)| escape(kind).into_owned()).collect();
    kinds.sort();
    kinds.dedup();
    let mut key = [vec![code.clone()], kinds].concat().join(":");
    if let Some(directory) = failure.directory.as_ref().filter(|_| Failure::new(failure.class, "").concerns_whole_ca())
    {
        key = format!("{key}@{directory}");
    }
    let failing: Vec<(String, String)> = failure
        .per_identifier
        .iter()
        .map(|(name, kind)| (escape(name).into_owned(), escape(kind).into_owned()))
        .collect();
    let mut codes: std::collections::BTreeSet<String> =
        failing.iter().map(|(name, kind)| format!("{code}:{kind}:{name}")).collect();
    codes.insert(code);
    let words = match failing.len() {
        ..=MOST_NAMES_IN_A_CAUSE => remembered(failure),
        count => format!("{} ({count} of them)", class(failure.class)),
    };
    let cure = match held {
        Some(by @ HeldBy::Failure(_)) => held_cure(by, &shell_word(name)),
        _ => remembered_cure(failure, &shell_word(name)),
    };
    Cause { codes, key, class: Some(failure.class), failing, words, cure, command: command(failure, name) }
}

/// The command that comes next.
fn command(failure: &RememberedFailure, name: &str) -> String {
    let of = |command: &str| format!("{command} --cert-name {}", shell_word(name));
    let register = |more: &str| match &failure.directory {
        Some(directory) => format!("certkit register --server {} {more}", shell_word(directory.as_str())),
        None => of("certkit doctor"),
    };
    match failure.class {
        FailureClass::AccountUnknown | FailureClass::TermsOfService => register("--agree-tos"),
        FailureClass::ExternalAccountRequired => register("--eab-kid KID --eab-hmac-key KEY"),
        FailureClass::AuthenticatorUnsupported
        | FailureClass::ChallengeFailed
        | FailureClass::ChallengeSetup
        | FailureClass::Clock
        | FailureClass::IdentifierRefused
        | FailureClass::Network
        | FailureClass::Protocol
        | FailureClass::ServerUnavailable
        | FailureClass::Store => of("certkit doctor"),
        FailureClass::BadCsr
        | FailureClass::Bug
        | FailureClass::CertificateUnfit
        | FailureClass::Paused
        | FailureClass::ProfileRefused
        | FailureClass::Refused => of("certkit history"),
        FailureClass::Hook => format!("{} --dry-run", of("certkit renew")),
        FailureClass::Interrupted | FailureClass::OrderLost => of("certkit renew"),
        FailureClass::RateLimited => of("certkit plan"),
        FailureClass::Settings => "certkit config check".to_owned(),
    }
}

/// What a hold means that is no failure of this certificate.
pub(super) fn of_hold(by: &HeldBy, name: &str) -> Cause {
    let code = by.code();
    let words = crate::words::held_by(by);
    let cure = cure_for(&held_cure(by, &shell_word(name)), &shell_word(name));
    Cause::new(&code, escape(&words), cure, format!("certkit plan --cert-name {}", shell_word(name)))
}

/// The word for machines.
pub(super) fn code_of(code: impl serde::Serialize) -> String {
    let value = serde_json::to_value(code).ok();
    value.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::AcmeUrl;

    fn failure(class: FailureClass, kinds: &[&str]) -> RememberedFailure {
        RememberedFailure {
            at: DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
            class,
            retry: class.usual_retry(),
            asked_the_ca: true,
            directory: AcmeUrl::parse("https://ca.example/dir").ok(),
            per_identifier: kinds.iter().map(|kind| ("a.example".to_owned(), (*kind).to_owned())).collect(),
        }
    }

    #[test]
    fn what_the_ca_says_of_the_names_decides_whether_the_owner_has_to_act() {
        for kind in ["caa", "connection", "dns", "incorrectResponse", "tls", "unauthorized", "rejectedIdentifier"] {
            assert!(needs_owner(&failure(FailureClass::ChallengeFailed, &[kind])), "{kind}");
        }
        for kind in ["rateLimited", "serverInternal", "orderNotReady"] {
            assert!(!needs_owner(&failure(FailureClass::ChallengeFailed, &[kind])), "{kind}");
        }
        assert!(needs_owner(&failure(FailureClass::ChallengeFailed, &["serverInternal", "dns"])));
        assert!(needs_owner(&failure(FailureClass::ChallengeFailed, &[])), "nobody else will find out");
    }

    #[test]
    fn what_may_be_gone_at_the_next_try_is_nobodys_to_cure_unless_the_failure_says_so() {
        for class in [
            FailureClass::Network,
            FailureClass::ServerUnavailable,
            FailureClass::RateLimited,
            FailureClass::OrderLost,
            FailureClass::Interrupted,
            FailureClass::Protocol,
        ] {
            let mut failure = failure(class, &[]);
            assert!(!needs_owner(&failure), "{class:?}");
            failure.retry = Retry::AfterOwner;
            assert!(needs_owner(&failure), "{class:?}");
        }
        for class in [
            FailureClass::AccountUnknown,
            FailureClass::ChallengeSetup,
            FailureClass::Clock,
            FailureClass::Hook,
            FailureClass::Paused,
            FailureClass::Settings,
            FailureClass::Store,
            FailureClass::TermsOfService,
        ] {
            assert!(needs_owner(&failure(class, &[])), "{class:?}");
        }
    }

    #[test]
    fn what_every_certificate_of_a_ca_meets_has_one_key_and_what_is_told_of_names_has_their_problems() {
        let key = |class, kinds: &[&str]| of_failure(&failure(class, kinds), "a.example", None).key;
        assert_eq!(key(FailureClass::Network, &[]), "network@https://ca.example/dir");
        assert_eq!(
            key(FailureClass::ChallengeFailed, &["dns", "connection", "dns"]),
            "challenge-failed:connection:dns"
        );
        assert_eq!(key(FailureClass::Store, &[]), "store");
    }

    #[test]
    fn the_command_is_exact() {
        let command = |class, name: &str| of_failure(&failure(class, &[]), name, None).command;
        assert_eq!(command(FailureClass::ChallengeFailed, "a.example"), "certkit doctor --cert-name a.example");
        assert_eq!(command(FailureClass::ChallengeFailed, "a b;c"), "certkit doctor --cert-name 'a b;c'");
        assert_eq!(
            command(FailureClass::TermsOfService, "a"),
            "certkit register --server https://ca.example/dir --agree-tos"
        );
        assert_eq!(command(FailureClass::Paused, "a"), "certkit history --cert-name a");
    }

    #[test]
    fn many_names_are_counted_in_the_cause_and_all_listed() {
        let many = failure(FailureClass::ChallengeFailed, &["dns"; 9]);
        let cause = of_failure(&many, "a", None);
        assert_eq!(cause.words, "the CA could not validate the names (9 of them)");
        assert_eq!(cause.failing.len(), 9);
    }
}
