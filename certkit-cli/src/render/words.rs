//! Events, lists and durations in words.

use certkit_acme::authorities;
use certkit_acme::deploy::describe;
use certkit_core::decision::DueReason;
use certkit_core::state::{DeployTarget, Event, RecordedWish, RememberedFailure};
use certkit_core::{
    AcmeUrl, Failure, FailureClass, FindingCode, HeldBy, LineageName, Problem, Retry, Validity, ValidityStatus, escape,
};
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

/// What to do about a target that is no hook, unless what went wrong with it tells.
pub(crate) const TARGET_CURE: &str =
    "put right what the message names; the next `certkit renew` tries it again, `certkit deploy` at once";

/// Whether it is the certificate's own settings (`certkit/lineages/NAME.toml`) that cannot be used: conf and files may be
/// well.
pub(crate) fn is_of_settings(reason: &str) -> bool {
    reason.split_once("certkit/lineages/").is_some_and(|(_, rest)| rest.contains(".toml cannot be used: "))
        || (reason.starts_with("certkit/") && reason.contains(".toml, line "))
}

/// What to do about a lineage that cannot be used, by what is wrong with it.
pub(crate) fn broken_cure(reason: &str) -> &'static str {
    if is_denied(reason) {
        FindingCode::Unreadable.cure()
    } else if is_of_settings(reason) {
        FindingCode::SettingsUnusable.cure()
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
        HeldBy::Failure(failure) => {
            let cure = remembered_cure(failure, name);
            if may_be_forced(failure) { format!("{cure}; --force-renewal tries at once") } else { cure }
        }
        HeldBy::Refusal(refusal) => cure_for(refusal.cure(), name),
        _ => format!("`certkit history --cert-name {name}` shows more"),
    }
}

/// Whether another try before its time may help: not where the CA said to wait, or wants the owner to act first.
fn may_be_forced(failure: &RememberedFailure) -> bool {
    !matches!(failure.retry, Retry::At(_)) && !matches!(failure.class, FailureClass::RateLimited | FailureClass::Paused)
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

/// What happened to a certificate, in a fragment.
pub(crate) fn event(name: &LineageName, event: &Event) -> String {
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
            let target = deploy_target(target);
            // Most failures name their target themselves.
            let target = if failure.detail.contains(&target) { String::new() } else { format!("{target}: ") };
            format!("version {version} could not be deployed: {target}{failure}")
        }
        Event::AttemptFailed { failure } => format!("failed: {failure}"),
        Event::DryRunSucceeded => "the dry run was successful".to_owned(),
        Event::Revoked { serial } => format!("revoked, serial {}", escape(serial)),
        Event::DeployReplanned { targets, .. } => format!("{} targets have to be deployed to", targets.len()),
        Event::Told { finding } if finding.subject == name.as_str() => finding.what(),
        Event::Told { finding } => format!("{}: {}", finding.subject, finding.what()),
        Event::WishRecorded { wish } => format!("it is wished {}, and tried until it is had", wished(wish)),
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

/// What is wished: `for a.example, b.example with another key`.
pub(crate) fn wished(wish: &RecordedWish) -> String {
    let others = [(wish.key, "another key"), (wish.profile, "another profile"), (wish.authority, "another CA")];
    let others: Vec<&str> = others.into_iter().filter_map(|(is_wished, what)| is_wished.then_some(what)).collect();
    let names = wish.identifiers.as_ref().map(|names| format!("for {names}"));
    let others = (!others.is_empty()).then(|| format!("with {}", others.join(" and ")));
    let all: Vec<String> = names.into_iter().chain(others).collect();
    if all.is_empty() { "to be something else".to_owned() } else { all.join(" ") }
}

/// A rule in words, by its word for machines, of a certificate that was due by it; one that is not known stays as it is.
fn reason(code: &str) -> String {
    let known = serde_json::from_value::<DueReason>(serde_json::Value::from(code));
    known.map_or_else(|_| escape(code).into_owned(), |reason| passed(&reason).to_owned())
}

/// A rule in words, as it is for a certificate with this validity.
pub(crate) fn rule(reason: &DueReason, validity: Option<Validity>, is_due: bool, now: DateTime<Utc>) -> String {
    let is_of_lifetime = matches!(reason, DueReason::HalfOfLifetime | DueReason::ThirdOfLifetime);
    match validity {
        Some(validity) if is_of_lifetime && validity.status(now) == ValidityStatus::Expired => {
            format!("expired on {}", date(validity.not_after))
        }
        _ if is_due => passed(reason).to_owned(),
        _ => reason.words().to_owned(),
    }
}

/// A rule once its instant has passed: what was left then is not left any more.
fn passed(reason: &DueReason) -> &'static str {
    match reason {
        DueReason::HalfOfLifetime => "less than half of the lifetime is left",
        DueReason::ThirdOfLifetime => "less than a third of the lifetime is left",
        other => other.words(),
    }
}

/// A deploy target for people.
pub(crate) fn deploy_target(target: &DeployTarget) -> String {
    describe(target)
}

/// A deploy target for whoever may read a page: without the command, in which a password may stand.
pub(crate) fn deploy_target_in_public(target: &DeployTarget) -> String {
    match target {
        DeployTarget::Hook(_) => "the deploy hook".to_owned(),
        DeployTarget::Command(_) => "a command of the settings".to_owned(),
        other => describe(other),
    }
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
        for settings in [
            "/etc/letsencrypt/certkit/lineages/a.toml cannot be used: line 1: nobody knows `x`",
            "a cannot be used: /etc/letsencrypt/certkit/lineages/a.toml cannot be used: line 1: nobody knows `x`",
            "certkit/settings.toml, line 2: nobody knows the CA `x`; write a URL",
        ] {
            assert_eq!(broken_cure(settings), "correct the line; `certkit config check` tells all that is wrong");
        }
        let denied = broken_cure("/x/certkit/lineages/a.toml cannot be used: Permission denied (os error 13)");
        assert_eq!(denied, FindingCode::Unreadable.cure());
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
    fn what_happened_names_certificate_and_target_once() {
        let name = LineageName::new("a.example").unwrap();
        let told = |subject: &str| {
            let finding = certkit_core::Finding::new(FindingCode::ProfileEffects, subject, "short");
            event(&name, &Event::Told { finding })
        };
        assert_eq!(told("a.example"), format!("{}: short", FindingCode::ProfileEffects.what()));
        assert!(told("4567").starts_with("4567: "));
        let failed = |target: DeployTarget, detail: &str| {
            let failure = Failure::new(FailureClass::Hook, detail);
            event(&name, &Event::DeployFailed { target, version: certkit_core::Version(2), failure })
        };
        let copy = DeployTarget::Copy("/x".into());
        assert_eq!(failed(copy.clone(), "copy to /x: full"), "version 2 could not be deployed: copy to /x: full");
        assert_eq!(failed(copy, "full"), "version 2 could not be deployed: copy to /x: full");
        let reload = failed(DeployTarget::Reload("nginx.service".into()), "the reload of nginx.service: no");
        assert_eq!(reload, "version 2 could not be deployed: the reload of nginx.service: no");
    }

    #[test]
    fn what_is_left_of_a_life_is_told_as_it_is() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let until = |days: i64| {
            let not_after = now + TimeDelta::days(days);
            Some(Validity { not_before: not_after - TimeDelta::days(90), not_after })
        };
        let third = DueReason::ThirdOfLifetime;
        assert_eq!(rule(&third, until(60), false, now), "a third of the lifetime is left");
        assert_eq!(rule(&third, until(8), true, now), "less than a third of the lifetime is left");
        assert_eq!(rule(&DueReason::HalfOfLifetime, until(-1), true, now), "expired on 2027-01-14");
        assert_eq!(rule(&DueReason::Forced, until(-1), true, now), "--force-renewal");
        assert_eq!(reason("half-of-lifetime"), "less than half of the lifetime is left");
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
