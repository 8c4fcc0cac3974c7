//! What happened to a certificate, what is wished of it, and why it is due.

use chrono::{DateTime, Utc};

use super::{date, deploy_target, time};
use crate::decision::DueReason;
use crate::state::{Event, RecordedWish};
use crate::{LineageName, Validity, ValidityStatus, escape};

/// What happened to a certificate, in a fragment.
pub fn event(name: &LineageName, event: &Event) -> String {
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
        Event::DeployRepeated { version, targets } => {
            let targets: Vec<String> = targets.iter().map(deploy_target).collect();
            format!("version {version} is not served, so it is given once more to: {}", targets.join(", "))
        }
        Event::Told { finding } if finding.subject == name.as_str() => finding.what(),
        Event::Told { finding } => format!("{}: {}", finding.subject, finding.what()),
        Event::WishRecorded { wish } => format!("it is wished {}, and tried until it is had", wished(wish)),
        Event::WishFulfilled => "it is what was wished".to_owned(),
        Event::RenewalInformationRead { information } => match &information.window {
            Some(window) => {
                format!("the CA advises a renewal between {} and {}", time(window.start), time(window.end))
            }
            None => "the CA advises nothing".to_owned(),
        },
        Event::RevocationRead { revocation } => match revocation.revoked_since {
            Some(since) => format!("the CA revoked it on {}", time(since)),
            None => "the CA has not revoked it".to_owned(),
        },
        Event::ServedRead { .. } => "the endpoints were looked at".to_owned(),
    }
}

/// What is wished: `for a.example, b.example with another key`.
pub fn wished(wish: &RecordedWish) -> String {
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
pub fn rule(reason: &DueReason, validity: Option<Validity>, is_due: bool, now: DateTime<Utc>) -> String {
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

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::state::DeployTarget;
    use crate::{Failure, FailureClass, FindingCode};

    #[test]
    fn what_happened_names_certificate_and_target_once() {
        let name = LineageName::new("a.example").unwrap();
        let told = |subject: &str| {
            let finding = crate::Finding::new(FindingCode::ProfileEffects, subject, "short");
            event(&name, &Event::Told { finding })
        };
        assert_eq!(told("a.example"), format!("{}: short", FindingCode::ProfileEffects.what()));
        assert!(told("4567").starts_with("4567: "));
        let failed = |target: DeployTarget, detail: &str| {
            let failure = Failure::new(FailureClass::Hook, detail);
            event(&name, &Event::DeployFailed { target, version: crate::Version(2), failure })
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
}
