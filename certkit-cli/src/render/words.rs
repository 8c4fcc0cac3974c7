//! Events, lists and durations in words.

use certkit_core::escape;
use certkit_core::state::{DeployTarget, Event};
use chrono::TimeDelta;

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

/// What happened, in a fragment.
pub(crate) fn event(event: &Event) -> String {
    match event {
        Event::FirstSeen { version } => format!("seen for the first time, with version {version}"),
        Event::ChangedElsewhere { version } => format!("another tool made version {version} live"),
        Event::AttemptStarted { because, directory } => format!("attempt ({}) at {directory}", escape(because)),
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
        _ => "something happened that this version has no words for".to_owned(),
    }
}

/// A deploy target for people.
pub(crate) fn deploy_target(target: &DeployTarget) -> String {
    match target {
        DeployTarget::DirectoryHook(path) => escape(path).into_owned(),
        DeployTarget::Hook(command) => format!("deploy hook `{}`", escape(command)),
        DeployTarget::Installer(name) => format!("reload of {}", escape(name)),
        _ => "a target that this version has no words for".to_owned(),
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
    fn durations() {
        assert_eq!(duration(TimeDelta::days(48)), "48 days");
        assert_eq!(duration(TimeDelta::hours(-25)), "1 day");
        assert_eq!(duration(TimeDelta::hours(5)), "5 hours");
        assert_eq!(duration(TimeDelta::minutes(5)), "less than an hour");
    }
}
