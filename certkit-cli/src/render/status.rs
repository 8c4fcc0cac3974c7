//! How every certificate is, one line each: what is wrong first.

use certkit_core::decision::DueReason;
use certkit_core::{Finding, FindingCode, HeldBy, Severity, Step, ValidityStatus, escape};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::lines::wrapped;
use super::{date, json_time, plan, table, words};
use crate::commands::{Broken, Foreseen, Foresight};

/// How a certificate is. The worst is first: the first that applies counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    /// It cannot be used or renewed.
    Broken,
    /// Its own settings cannot be used, so that no run renews it.
    Settings,
    /// Its end is past.
    Expired,
    /// Its CA has revoked it.
    Revoked,
    /// Its begin is to come.
    NotYetValid,
    /// It is due, and the last attempt failed.
    Failing,
    /// What is in use was not given to everything that has to have it.
    DeployPending,
    /// It is due and waits for the CA, for a limit, or for somebody to look at a loop.
    Waiting,
    /// The next run renews it.
    Due,
    /// Nothing is to be done.
    Ok,
}

impl State {
    /// For people.
    fn words(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::Settings => "settings",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::NotYetValid => "not yet valid",
            Self::Failing => "failing",
            Self::DeployPending => "deploy pending",
            Self::Waiting => "waiting",
            Self::Due => "due",
            Self::Ok => "ok",
        }
    }

    /// For machines.
    fn code(self) -> &'static str {
        match self {
            Self::NotYetValid => "not-yet-valid",
            Self::DeployPending => "deploy-pending",
            other => other.words(),
        }
    }

    /// All that apply to a certificate, the one that counts first; never empty.
    pub(crate) fn all_of(one: &Foreseen, now: DateTime<Utc>) -> Vec<Self> {
        let state = &one.input.state;
        let revocation = state.revocation.as_ref().filter(|known| Some(&known.serial) == one.input.serial.as_ref());
        let status = one.input.validity.map(|validity| validity.status(now));
        let is_due = !matches!(one.entry.step, Step::NotDue { .. });
        let held_by_failure = matches!(one.entry.step, Step::Held { by: HeldBy::Failure(_), .. });
        let applies = [
            // What is live cannot be used; the next run replaces it.
            (Self::Broken, one.entry.due.reason == DueReason::NoCertificate),
            (Self::Expired, status == Some(ValidityStatus::Expired)),
            (Self::Revoked, revocation.is_some_and(|known| known.revoked_since.is_some())),
            (Self::NotYetValid, status == Some(ValidityStatus::NotYetValid)),
            (Self::Failing, is_due && state.last_failure.is_some()),
            (Self::DeployPending, !state.deploy_pending.is_empty()),
            (Self::Waiting, matches!(one.entry.step, Step::Held { .. }) && !held_by_failure),
            (Self::Due, matches!(one.entry.step, Step::Attempt { .. })),
        ];
        let mut all: Vec<Self> = applies.into_iter().filter_map(|(state, applies)| applies.then_some(state)).collect();
        if all.is_empty() {
            all.push(Self::Ok);
        }
        all
    }
}

/// The screen.
pub(crate) fn text(foresight: &Foresight, findings: &[Finding]) -> String {
    let now = foresight.now;
    let mut rows: Vec<Vec<String>> = foresight
        .broken
        .iter()
        .map(|broken| {
            let name = escape(&broken.name).into_owned();
            let left = broken.validity.map(|validity| left(validity.remaining(now))).unwrap_or_default();
            vec![name, of_broken(broken).words().into(), left, String::new(), escape(&broken.reason).into_owned()]
        })
        .collect();
    rows.extend(in_order(foresight).into_iter().map(|(state, one)| line(state, one, now)));
    let mut text = if rows.is_empty() {
        "No certificates found.\n".to_owned()
    } else {
        table::table(&["Certificate", "State", "Left", "Due", "Last result"], &rows)
    };
    let told: Vec<&Finding> = findings.iter().filter(|finding| finding.severity >= Severity::Warning).collect();
    if !told.is_empty() {
        text.push_str("\nProblems (`certkit certificates` tells what to do):\n");
        for finding in told {
            text.push_str(&wrapped("  ", &format!("{}: {}", finding.subject, finding.what()), 4));
            // They are about all certificates and none, and so not in that list.
            if matches!(finding.code, FindingCode::SettingsUnusable | FindingCode::NobodyIsTold) {
                text.push_str(&wrapped("    ", &format!("What to do: {}.", finding.cure()), 6));
            }
        }
    }
    text
}

fn of_broken(broken: &Broken) -> State {
    if broken.by_settings { State::Settings } else { State::Broken }
}

/// The document of `status --json`, in the same order.
pub(crate) fn json(foresight: &Foresight, findings: &[Finding]) -> Value {
    let now = foresight.now;
    let mut lineages: Vec<Value> = foresight
        .broken
        .iter()
        .map(|broken| {
            let status = broken.validity.map(|validity| validity.status(now));
            let expired = (status == Some(ValidityStatus::Expired)).then_some(State::Expired);
            let states: Vec<_> = [of_broken(broken)].into_iter().chain(expired).map(State::code).collect();
            json!({
                "name": broken.name, "state": states.first(), "states": states, "identifiers": [],
                "not_after": broken.validity.map(|validity| json_time(validity.not_after)),
                "seconds_left": broken.validity.map(|validity| validity.remaining(now).num_seconds()), "due": null, "reason": null, "held": null, "last_result": null, "server": null,
                "issued_by": null, "deploy_pending": [], "error": broken.reason, "cure": broken.cure,
            })
        })
        .collect();
    lineages.extend(in_order(foresight).into_iter().map(|(state, one)| row(state, one, now)));
    json!({
        "schema": 1,
        "now": json_time(now),
        "lineages": lineages,
        "problems": findings.iter().map(super::certificates::problem).collect::<Vec<_>>(),
    })
}

/// The worst first, and of those the one that ends first.
fn in_order(foresight: &Foresight) -> Vec<(State, &Foreseen)> {
    let state = |one: &Foreseen| State::all_of(one, foresight.now).first().copied().unwrap_or(State::Ok);
    let mut all: Vec<_> = foresight.certificates.iter().map(|one| (state(one), one)).collect();
    all.sort_by_key(|(state, one)| (*state, one.input.validity.map(|validity| validity.not_after)));
    all
}

fn line(state: State, one: &Foreseen, now: DateTime<Utc>) -> Vec<String> {
    let left = one.input.validity.map(|validity| left(validity.remaining(now))).unwrap_or_default();
    let due = match &one.entry.step {
        Step::Attempt { .. } => "now".to_owned(),
        Step::Held { until, .. } => format!("held to {}", instant(*until, now)),
        Step::NotDue { until: Some(at), .. } => instant(*at, now),
        _ => "never".to_owned(),
    };
    let mut result = match last_result(one) {
        Some((at, None)) => format!("{} renewed", date(at)),
        Some((at, Some(what))) => format!("{} failed: {what}", date(at)),
        None => "none yet".to_owned(),
    };
    if let Some(issuer) = one.other_issuer() {
        result.push_str(&format!(" (from {})", words::authority(issuer)));
    }
    vec![one.entry.name.to_string(), state.words().to_owned(), left, due, result]
}

/// Days, and hours where they matter.
fn left(left: TimeDelta) -> String {
    match (left < TimeDelta::zero(), left.abs()) {
        (true, _) => "none".to_owned(),
        (false, left) if left < TimeDelta::hours(48) => format!("{} h", left.num_hours()),
        (false, left) => format!("{} days", left.num_days()),
    }
}

/// A day, and the time where it matters.
fn instant(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    if at - now < TimeDelta::hours(48) { at.format("%m-%d %H:%M UTC").to_string() } else { date(at) }
}

/// When an attempt last ended, and why it failed.
fn last_result(one: &Foreseen) -> Option<(DateTime<Utc>, Option<String>)> {
    let state = &one.input.state;
    let failure = state.last_failure.as_ref().map(|failure| (failure.at, Some(words::remembered(failure))));
    failure.or_else(|| state.last_success.map(|at| (at, None)))
}

fn row(state: State, one: &Foreseen, now: DateTime<Utc>) -> Value {
    let (entry, input) = (&one.entry, &one.input);
    let failure = input.state.last_failure.as_ref();
    let result = last_result(one).map(|(at, failed)| {
        json!({
            "at": json_time(at),
            "ok": failed.is_none(),
            "class": failure.map(|failure| super::renewal::class_code(failure.class)),
            "what": failed,
        })
    });
    let held = match &entry.step {
        Step::Held { until, by, .. } => Some(json!({ "until": json_time(*until), "by": by.code() })),
        _ => None,
    };
    let identifiers =
        input.authorities.first().map(|scope| scope.identifiers.iter().map(ToString::to_string).collect());
    json!({
        "name": entry.name.as_str(),
        "state": state.code(),
        "states": State::all_of(one, now).into_iter().map(State::code).collect::<Vec<_>>(),
        "identifiers": identifiers.unwrap_or_else(Vec::new),
        "not_after": input.validity.map(|validity| json_time(validity.not_after)),
        "seconds_left": input.validity.map(|validity| validity.remaining(now).num_seconds()),
        "due": entry.due.at.map(json_time),
        "reason": entry.due.reason.code(),
        "window": plan::window(one),
        "held": held,
        "last_result": result,
        "server": one.own_authority().map(ToString::to_string),
        "issued_by": input.state.issuer_directory.as_ref().map(ToString::to_string),
        "deploy_pending": input.state.deploy_pending.iter().map(|one| words::deploy_target(&one.target)).collect::<Vec<_>>(),
        "error": null,
        "cure": null,
    })
}

#[cfg(test)]
mod tests;
