//! Failures and what stands in the way, with their cures.

use super::{names::cure_for, time};
use crate::state::RememberedFailure;
use crate::{Failure, FailureClass, FindingCode, HeldBy, Hindrance, Problem, Retry, escape};

/// What to do about a pre or post hook: unlike a deploy hook it is not pending afterwards.
pub const HOOK_CURE: &str = "run the command by hand as the same user and put right what it says";

/// What to do about a target that is no hook, unless what went wrong with it tells.
pub const TARGET_CURE: &str =
    "put right what the message names; the next `certkit renew` tries it again, `certkit deploy` at once";

/// Whether it is the certificate's own settings (`certkit/lineages/NAME.toml`) that cannot be used: conf and files may be
/// well.
pub fn is_of_settings(reason: &str) -> bool {
    reason.split_once("certkit/lineages/").is_some_and(|(_, rest)| rest.contains(".toml cannot be used: "))
        || (reason.starts_with("certkit/") && reason.contains(".toml, line "))
}

/// What to do about a lineage that cannot be used, by what keeps it from being read, or else what is wrong with it.
pub fn broken_cure(reason: &str, hindrance: Option<Hindrance>) -> &'static str {
    if let Some(hindrance) = hindrance {
        hindrance.cure()
    } else if is_of_settings(reason) {
        FindingCode::SettingsUnusable.cure()
    } else if reason.starts_with("the renewal configuration cannot be used") && reason.contains("line ") {
        "correct the line that the message names"
    } else {
        FindingCode::BrokenLineage.cure()
    }
}

/// What to do about a failure: the class's cure, unless what stands in the way is known better.
pub fn failure_cure(failure: &Failure) -> &'static str {
    match failure.class {
        FailureClass::Settings if failure.detail.contains("only be validated with dns-01") => FindingCode::DNS_BY_HOOKS,
        _ => failure.hindrance.map_or_else(|| failure.cure(), Hindrance::cure),
    }
}

/// What became of the certificate when something could not be read or written.
pub const STILL_THE_OLD_ONE: &str = "the certificate in use is still the old one";

/// A failure of an earlier run.
pub fn remembered(failure: &RememberedFailure) -> String {
    let what = class(failure.class);
    let names: Vec<String> =
        failure.per_identifier.iter().map(|(name, kind)| format!("{}: {}", escape(name), escape(kind))).collect();
    if names.is_empty() { what.to_owned() } else { format!("{what} ({})", names.join(", ")) }
}

/// What to do about it. The CA's words are in the history, not in the memory.
pub fn remembered_cure(failure: &RememberedFailure, name: &str) -> String {
    let history = format!("`certkit history --cert-name {name}` shows what the CA said");
    let mut cures: Vec<&str> = Vec::new();
    for (_, kind) in &failure.per_identifier {
        let cure = Problem::new(kind, "").cure();
        if !cures.contains(&cure) && cure != Problem::new("", "").cure() {
            cures.push(cure);
        }
    }
    match failure.class {
        _ if !cures.is_empty() => cures.join("; "),
        FailureClass::Refused | FailureClass::ChallengeFailed | FailureClass::Paused => history,
        class => cure_for(class.cure(), name),
    }
}

/// What a due certificate waits for.
pub fn held_by(by: &HeldBy) -> String {
    match by {
        HeldBy::Failure(failure) => format!("the failure of {}: {}", time(failure.at), remembered(failure)),
        HeldBy::Refusal(refusal) => refusal.to_string(),
    }
}

/// What to do about it.
pub fn held_cure(by: &HeldBy, name: &str) -> String {
    match by {
        HeldBy::Failure(failure) => {
            let cure = remembered_cure(failure, name);
            if may_be_forced(failure) { format!("{cure}; --force-renewal tries at once") } else { cure }
        }
        HeldBy::Refusal(refusal) => cure_for(refusal.cure(), name),
    }
}

/// Whether another try before its time may help: not where the CA said to wait, or wants the owner to act first.
fn may_be_forced(failure: &RememberedFailure) -> bool {
    !matches!(failure.retry, Retry::At(_)) && !matches!(failure.class, FailureClass::RateLimited | FailureClass::Paused)
}

/// A class of failure in words.
pub fn class(class: FailureClass) -> &'static str {
    match class {
        FailureClass::AccountUnknown => "the CA did not know the account, or there was none",
        FailureClass::AuthenticatorUnsupported => "the names could not be validated in the configured way",
        FailureClass::BadCsr => "the CA refused the certificate request",
        FailureClass::Bug => "an error in certkit",
        FailureClass::CertificateUnfit => "the CA delivered a certificate that does not fit",
        FailureClass::ChallengeFailed => "the CA could not validate the names",
        FailureClass::ChallengeSetup => "the challenge could not be set up on this machine",
        FailureClass::Clock => "the clocks of this machine and of the CA differed too much",
        FailureClass::ExternalAccountRequired => "the CA asked for an external account binding",
        FailureClass::Hook => "a hook failed",
        FailureClass::IdentifierRefused => "the CA does not issue for a name",
        FailureClass::Interrupted => "the run was stopped",
        FailureClass::Network => "the CA could not be reached",
        FailureClass::OrderLost => "the order expired or became invalid",
        FailureClass::Paused => "the CA has paused the names",
        FailureClass::ProfileRefused => "the CA does not offer the certificate profile",
        FailureClass::Protocol => "the CA's answer was not ACME",
        FailureClass::RateLimited => "a rate limit of the CA was reached",
        FailureClass::ServerUnavailable => "the CA had trouble of its own",
        FailureClass::Settings => "a setting could not be used",
        FailureClass::Store => "the store could not be read or written",
        FailureClass::TermsOfService => "the CA's terms of service have to be agreed to",
        FailureClass::Refused => "the CA refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_not_to_be_deleted() {
        let denied = broken_cure("read /x: Permission denied", Some(Hindrance::Rights));
        assert!(denied.contains("usually root") && !denied.contains("backup"), "{denied}");
        let syntax = broken_cure("the renewal configuration cannot be used: line 3: no value", None);
        assert_eq!(syntax, "correct the line that the message names");
        assert_eq!(broken_cure("/x is empty", None), FindingCode::BrokenLineage.cure());
        for settings in [
            "/etc/letsencrypt/certkit/lineages/a.toml cannot be used: line 1: nobody knows `x`",
            "a cannot be used: /etc/letsencrypt/certkit/lineages/a.toml cannot be used: line 1: nobody knows `x`",
            "certkit/settings.toml, line 2: nobody knows the CA `x`; write a URL",
        ] {
            assert_eq!(broken_cure(settings, None), "correct the line; `certkit config check` tells all that is wrong");
        }
        let mut failure = Failure::new(FailureClass::Store, "read /x: Input/output error (os error 5)");
        assert_eq!(failure_cure(&failure), FailureClass::Store.cure());
        failure.hindrance = Some(Hindrance::Below);
        assert_eq!(failure_cure(&failure), Hindrance::Below.cure());
    }

    #[test]
    fn nobody_is_told_to_force_what_the_ca_does_not_want_yet() {
        let held = |class: &str, retry: serde_json::Value| {
            let failure = serde_json::from_value(serde_json::json!({
                "at": "2027-01-15T08:00:00Z", "class": class, "retry": retry, "per_identifier": []
            }));
            held_cure(&HeldBy::Failure(failure.unwrap()), "a")
        };
        let (later, at) = (serde_json::json!("after-backoff"), serde_json::json!({ "at": "2027-01-16T08:00:00Z" }));
        assert!(held("network", later.clone()).ends_with("; --force-renewal tries at once"));
        for cure in [held("rate-limited", later.clone()), held("paused", later), held("network", at)] {
            assert!(!cure.contains("--force-renewal"), "{cure}");
        }
    }

    #[test]
    fn a_remembered_failure_has_words_and_no_cure_without_them() {
        let mut failure: RememberedFailure = serde_json::from_value(serde_json::json!({
            "at": "2027-01-15T08:00:00Z", "class": "refused", "retry": "after-backoff", "per_identifier": []
        }))
        .unwrap();
        assert_eq!(remembered(&failure), "the CA refused");
        assert_eq!(remembered_cure(&failure, "a"), "`certkit history --cert-name a` shows what the CA said");
        failure.per_identifier.push(("a.example".to_owned(), "caa".to_owned()));
        assert_eq!(remembered(&failure), "the CA refused (a.example: caa)");
        assert!(remembered_cure(&failure, "a").starts_with("a CAA record forbids"));
    }
}
