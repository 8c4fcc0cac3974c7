//! Events, lists and durations in words.

use certkit_acme::authorities;
use certkit_acme::deploy::describe;
use certkit_core::decision::DueReason;
use certkit_core::state::{DeployTarget, Event, RememberedFailure};
use certkit_core::{AcmeUrl, Failure, FailureClass, FindingCode, HeldBy, Problem, escape};
use chrono::{DateTime, TimeDelta, Utc};

use super::date;

/// `a and b`, or `a and 4 more`, as certbot shortens names.
pub(crate) fn names_in_short(names: &[String]) -> String {
    match names {
        [] => "no names".to_owned(),
        [one] => escape(one).into_owned(),
        [first, second] => format!("{} and {}", escape(first), escape(second)),
        [first, rest @ ..] => format!("{} and {} more", escape(first), rest.len()),
    }
}

/// A cure with the certificate's own name in its commands.
pub(crate) fn cure_for(cure: &str, name: &str) -> String {
    cure.replace("--cert-name NAME", &format!("--cert-name {name}"))
}

/// What to do about a pre or post hook: unlike a deploy hook it is not pending afterwards.
pub(crate) const HOOK_CURE: &str = "run the command by hand as the same user and put right what it says";

/// What to do about a lineage that cannot be used, by what is wrong with it.
pub(crate) fn broken_cure(reason: &str) -> &'static str {
    if is_denied(reason) {
        FindingCode::Unreadable.cure()
    } else if reason.starts_with("the renewal configuration cannot be used") && reason.contains("line ") {
        "correct the line that the message names"
    } else {
        FindingCode::BrokenLineage.cure()
    }
}

/// What to do about a failure: the class's cure, unless what stands in the way is known better.
pub(crate) fn failure_cure(failure: &Failure) -> &'static str {
    match failure.class {
        FailureClass::Settings if failure.detail.contains("only be validated with dns-01") => FindingCode::DNS_BY_HOOKS,
        FailureClass::Store if is_denied(&failure.detail) => FindingCode::Unreadable.cure(),
        _ => failure.cure(),
    }
}

/// EACCES and EPERM, as the standard library writes them.
fn is_denied(reason: &str) -> bool {
    ["(os error 13)", "(os error 1)"].iter().any(|code| reason.contains(code))
}

/// A failure of an earlier run.
pub(crate) fn remembered(failure: &RememberedFailure) -> String {
    let what = class(failure.class);
    let names: Vec<String> =
        failure.per_identifier.iter().map(|(name, kind)| format!("{}: {}", escape(name), escape(kind))).collect();
    if names.is_empty() { what.to_owned() } else { format!("{what} ({})", names.join(", ")) }
}

/// What to do about it. The CA's words are in the history, not in the memory.
pub(crate) fn remembered_cure(failure: &RememberedFailure, name: &str) -> String {
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
pub(crate) fn held_by(by: &HeldBy) -> String {
    match by {
        HeldBy::Failure(failure) => format!("the failure of {}: {}", super::time(failure.at), remembered(failure)),
        HeldBy::Refusal(refusal) => refusal.to_string(),
        _ => "a reason that this version has no words for".to_owned(),
    }
}

/// What to do about it.
pub(crate) fn held_cure(by: &HeldBy, name: &str) -> String {
    match by {
        HeldBy::Failure(failure) => format!("{}; --force-renewal tries at once", remembered_cure(failure, name)),
        HeldBy::Refusal(refusal) => cure_for(refusal.cure(), name),
        _ => format!("`certkit history --cert-name {name}` shows more"),
    }
}

/// A CA: by its name where it has one here, else by the URL of its directory.
pub(crate) fn authority(directory: &AcmeUrl) -> String {
    authorities::known(directory)
        .map_or_else(|| escape(directory.as_str()).into_owned(), |known| known.title.to_owned())
}

/// A class of failure in words.
pub(crate) fn class(class: FailureClass) -> &'static str {
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
        _ => "a failure that this version has no words for",
    }
}

/// What happened, in a fragment.
pub(crate) fn event(event: &Event) -> String {
    match event {
        Event::FirstSeen { version } => format!("seen for the first time, with version {version}"),
        Event::ChangedElsewhere { version } => format!("another tool made version {version} live"),
        Event::AttemptStarted { because, directory } => format!("attempt ({}) at {directory}", reason(because)),
        Event::OrderPlaced { order_url } => format!("order placed: {order_url}"),
        Event::OrderResumed { order_url } => format!("order resumed: {order_url}"),
        Event::OrderDropped { order_url, because } => format!("order given up ({}): {order_url}", escape(because)),
        Event::Validating { challenges: 1 } => "the CA validates 1 challenge".to_owned(),
        Event::Validating { challenges } => format!("the CA validates {challenges} challenges"),
        Event::Authorized => "all names are authorized".to_owned(),
        Event::Finalizing { .. } => "requesting the certificate".to_owned(),
        Event::Issued { serial, not_after } => {
            format!("issued, serial {}, expires {}", escape(serial), date(*not_after))
        }
        Event::Committed { version, not_after, .. } => {
            format!("version {version} is live, expires {}", date(*not_after))
        }
        Event::SetAside { path } => format!("kept aside in {}, another tool had renewed meanwhile", escape(path)),
        Event::Deployed { target, version } => format!("version {version} deployed: {}", deploy_target(target)),
        Event::DeployFailed { target, version, failure } => {
            format!("version {version} could not be deployed: {}: {failure}", deploy_target(target))
        }
        Event::AttemptFailed { failure } => format!("failed: {failure}"),
        Event::DryRunSucceeded => "the dry run was successful".to_owned(),
        Event::Revoked { serial } => format!("revoked, serial {}", escape(serial)),
        Event::DeployReplanned { targets, .. } => format!("{} targets have to be deployed to", targets.len()),
        Event::Told { finding } => format!("{}: {}", finding.subject, finding.what()),
        Event::WishRecorded { wish } => match &wish.identifiers {
            Some(names) => format!("it is wished for {names}, and tried until it is had"),
            None => "it is wished to be something else, and tried until it is had".to_owned(),
        },
        Event::WishFulfilled => "it is what was wished".to_owned(),
        Event::RenewalInformationRead { information } => match &information.window {
            Some(window) => {
                format!(
                    "the CA advises a renewal between {} and {}",
                    super::time(window.start),
                    super::time(window.end)
                )
            }
            None => "the CA advises nothing".to_owned(),
        },
        Event::RevocationRead { revocation } => match revocation.revoked_since {
            Some(since) => format!("the CA revoked it on {}", super::time(since)),
            None => "the CA has not revoked it".to_owned(),
        },
        _ => "something happened that this version has no words for".to_owned(),
    }
}

/// A rule in words, by its word for machines; one that is not known stays as it is.
fn reason(code: &str) -> String {
    let known = serde_json::from_value::<DueReason>(serde_json::Value::from(code));
    known.map_or_else(|_| escape(code).into_owned(), |reason| reason.words().to_owned())
}

/// A deploy target for people.
pub(crate) fn deploy_target(target: &DeployTarget) -> String {
    describe(target)
}

/// `48 days`, `1 day`, `5 hours`, `less than an hour`; of a negative duration, its length.
pub(crate) fn duration(delta: TimeDelta) -> String {
    let delta = delta.abs();
    let count = |number: i64, unit: &str| format!("{number} {unit}{}", if number == 1 { "" } else { "s" });
    match (delta.num_days(), delta.num_hours()) {
        (days @ 1.., _) => count(days, "day"),
        (_, hours @ 1..) => count(hours, "hour"),
        _ => "less than an hour".to_owned(),
    }
}

/// How long until an instant, or since when: `in 20 days`, `5 hours ago`.
pub(crate) fn from_now(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let length = duration(at - now);
    if at >= now { format!("in {length}") } else { format!("{length} ago") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shortened_as_certbot_does() {
        let names = |list: &[&str]| names_in_short(&list.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(names(&["a"]), "a");
        assert_eq!(names(&["a", "b"]), "a and b");
        assert_eq!(names(&["a", "b", "c"]), "a and 2 more");
    }

    #[test]
    fn what_cannot_be_read_is_not_to_be_deleted() {
        let denied = broken_cure("the renewal configuration cannot be used: Permission denied (os error 13)");
        assert!(denied.contains("usually root") && !denied.contains("backup"), "{denied}");
        let syntax = broken_cure("the renewal configuration cannot be used: line 3: no value");
        assert_eq!(syntax, "correct the line that the message names");
        assert_eq!(broken_cure("/x is empty"), FindingCode::BrokenLineage.cure());
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

    #[test]
    fn durations() {
        assert_eq!(duration(TimeDelta::days(48)), "48 days");
        assert_eq!(duration(TimeDelta::hours(-25)), "1 day");
        assert_eq!(duration(TimeDelta::hours(5)), "5 hours");
        assert_eq!(duration(TimeDelta::minutes(5)), "less than an hour");
    }
}
