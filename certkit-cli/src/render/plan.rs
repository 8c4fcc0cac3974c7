//! What comes, for people and for machines: each certificate's next renewal, and why then.

use std::io::{self, Write};

use certkit_core::decision::DueReason;
use certkit_core::settings::interval_text;
use certkit_core::state::{Refusal, RememberedFailure};
use certkit_core::{HeldBy, Retry, Severity, Step, escape};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::lines::{field, wrapped};
use super::{explain, json_time, limits, time, words};
use crate::commands::{CadenceSource, Foreseen, Foresight, wish_json};

/// Writes the report of `plan`, in at most eighty columns. Each paragraph is made when its turn comes: there may be thousands.
pub(crate) fn write_text(foresight: &Foresight, out: &mut dyn Write) -> io::Result<()> {
    let heading = format!("Renewals to come, as of {}. {}", time(foresight.survey.now), cadence(foresight));
    write!(out, "{}", wrapped("", &heading, 0))?;
    if foresight.survey.summaries.is_empty() {
        writeln!(out, "No certificates found.")?;
    }
    for one in in_order(foresight) {
        write!(out, "\n{}", paragraph(&one, foresight.survey.now))?;
    }
    write!(out, "{}{}{}", not_renewed(foresight), limits::text(foresight), of_findings(foresight))
}

/// What is not in the plan, and what is wrong with the settings and the memory.
pub(crate) fn what_is_wrong(foresight: &Foresight) -> String {
    format!("{}{}", not_renewed(foresight), of_findings(foresight))
}

fn of_findings(foresight: &Foresight) -> String {
    let mut text = String::new();
    for finding in &foresight.survey.findings {
        text.push('\n');
        text.push_str(&wrapped("", &format!("{}: {}.", finding.subject, finding.what()), 2));
        text.push_str(&wrapped("  ", &format!("What to do: {}.", finding.cure()), 4));
    }
    text
}

/// The document of `plan --json`, in the same order.
pub(crate) fn json(foresight: &Foresight) -> Value {
    let (origin, runs) = match &foresight.cadence_source {
        CadenceSource::Settings(origin) => (origin.code(), None),
        CadenceSource::Runs(runs) => ("past-runs", Some(runs)),
        CadenceSource::Assumed => ("assumed", None),
    };
    let cadence = foresight.survey.outlook.cadence;
    let mut lineages: Vec<Value> = in_order(foresight).iter().map(|one| row(one, foresight.survey.now)).collect();
    lineages.extend(foresight.broken().into_iter().filter_map(|one| {
        let (reason, cure) = explain::broken(one)?;
        Some(json!({ "name": one.name, "state": "broken", "error": reason, "cure": cure }))
    }));
    json!({
        "schema": 1,
        "now": json_time(foresight.survey.now),
        "cadence": { "interval_seconds": cadence.interval.num_seconds(), "from": origin, "runs": runs },
        "lineages": lineages,
        "spread": limits::spread_json(foresight),
        "limits": limits::json(foresight),
        "problems": foresight.survey.findings.iter().map(super::certificates::problem).collect::<Vec<_>>(),
    })
}

/// What no run would renew.
fn not_renewed(foresight: &Foresight) -> String {
    let mut text = String::new();
    for (number, one) in foresight.broken().into_iter().enumerate() {
        let Some((reason, cure)) = explain::broken(one) else { continue };
        if number == 0 {
            text.push_str("\nThese cannot be renewed as they stand:\n");
        }
        text.push_str(&wrapped("  ", &format!("{}: {}", one.name, escape(&reason)), 4));
        text.push_str(&wrapped("    ", &format!("What to do: {cure}."), 6));
    }
    text
}

/// When and why, in one line: what `renew -v` says of each certificate.
pub(crate) fn in_short(one: &Foreseen<'_>, now: DateTime<Utc>) -> String {
    let due = &one.entry.due;
    let mut text = match &one.entry.step {
        Step::Attempt { .. } => format!("due ({})", because(one, now)),
        Step::Held { due, until, by } => format!(
            "due since {} ({}), waits until {}: {}",
            time(*due),
            because(one, now),
            time(*until),
            words::held_by(by)
        ),
        Step::NotDue { until: Some(at), .. } => format!("due from {} ({})", time(*at), because(one, now)),
        _ => format!("never due ({})", because(one, now)),
    };
    if let Some(window) = due.window {
        text.push_str(&format!("; the CA's window is {} to {}", time(window.start), time(window.end)));
    }
    if let Some(asked) = asked_again(one) {
        text.push_str(&format!("; {asked}"));
    }
    text
}

/// The rule in words, with what it is about.
pub(crate) fn because(one: &Foreseen<'_>, now: DateTime<Utc>) -> String {
    let due = &one.entry.due;
    let is_due = !matches!(one.entry.step, Step::NotDue { .. });
    match (&due.reason, due.at) {
        (reason, Some(at)) if due.early => {
            format!(
                "{}, at {}; it is renewed before that, since the next run would come too late",
                reason.words(),
                time(at)
            )
        }
        (DueReason::RenewBeforeExpiry, _) => {
            let interval = one.input.wish.renew_before_expiry.as_deref().unwrap_or_default();
            format!("renew_before_expiry = {} in the conf", escape(interval))
        }
        (reason, _) => words::rule(reason, one.input.validity, is_due, now),
    }
}

/// What comes first comes first; of what is due now, what ends first.
fn in_order(foresight: &Foresight) -> Vec<Foreseen<'_>> {
    let mut all = foresight.certificates();
    all.sort_by_key(|one| {
        let not_after = one.input.validity.map(|validity| validity.not_after);
        match one.entry.step {
            Step::Attempt { .. } => (0, not_after, None),
            Step::Held { until, .. } => (1, Some(until), not_after),
            Step::NotDue { until: Some(at), .. } => (1, Some(at), not_after),
            _ => (2, not_after, None),
        }
    });
    all
}

fn paragraph(one: &Foreseen<'_>, now: DateTime<Utc>) -> String {
    let entry = &one.entry;
    let heading = match &entry.step {
        Step::Attempt { .. } => match entry.due.at {
            Some(at) if at < now && !entry.due.early => format!("due now, since {}", time(at)),
            _ => "due now".to_owned(),
        },
        Step::Held { until, .. } => format!("held until {} ({})", time(*until), words::from_now(*until, now)),
        Step::NotDue { until: Some(at), .. } => format!("due at {} ({})", time(*at), words::from_now(*at, now)),
        _ => "never due".to_owned(),
    };
    let mut text = wrapped("", &format!("{}: {heading}", entry.name), 2);
    text.push_str(&field("Why", &because(one, now)));
    if let Step::Held { due, until, by } = &entry.step {
        text.push_str(&field("Due since", &time(*due)));
        text.push_str(&field("Held by", &held_by(one, *until, by)));
        let cure = words::held_cure(by, entry.name.as_str());
        if !cure.starts_with("nothing to do") {
            text.push_str(&field("What to do", &format!("{cure}.")));
        }
    }
    if let Some(window) = entry.due.window {
        let chosen = window.instant(one.input.seed);
        let (start, end) = (time(window.start), time(window.end));
        text.push_str(&field(
            "Window",
            &format!("{start} to {end}, says the CA; {} was chosen in it, once", time(chosen)),
        ));
    }
    if let Some(url) = explanation(one) {
        text.push_str(&field("Explained", &escape(url)));
    }
    if let Some(asked) = asked_again(one) {
        text.push_str(&field("Advice", &asked));
    }
    if let Step::Attempt { directory: Some(directory), .. } = &entry.step
        && one.own_authority() != Some(directory)
    {
        text.push_str(&field("CA", &format!("{}, since the conf's fails", words::authority(directory))));
    }
    // Whatever the reason is: it may be due for another one, or the wish may have to wait.
    if let Some(wish) = &one.input.state.wish {
        text.push_str(&field("Wished", &format!("as recorded, {}", words::wished(wish))));
    }
    if let Some(validity) = one.input.validity {
        let expires = format!("{} ({})", time(validity.not_after), words::from_now(validity.not_after, now));
        text.push_str(&field("Expires", &expires));
    }
    for pending in &one.input.state.deploy_pending {
        let what = format!("version {} has to be given to {}", pending.version, words::deploy_target(&pending.target));
        text.push_str(&field("Deploy", &what));
    }
    for finding in entry.due.findings.iter().filter(|finding| finding.severity >= Severity::Warning) {
        text.push_str(&field("Note", &format!("{}.", finding.what())));
    }
    text
}

/// What it waits for, with numbers and dates.
fn held_by(one: &Foreseen<'_>, until: DateTime<Utc>, by: &HeldBy) -> String {
    match by {
        HeldBy::Failure(failure) => {
            let at = failure.directory.as_ref().map(|directory| format!(" at {}", words::authority(directory)));
            let at = at.unwrap_or_default();
            let what = format!("{}: {}", time(failure.at), words::remembered(failure));
            match failure.retry {
                Retry::At(asked) if asked >= until => format!("the Retry-After{at} for this certificate, of {what}"),
                _ => match failures_in_a_row(one, failure) {
                    0 | 1 => format!("the back-off after a failure{at}, of {what}"),
                    many => format!("the back-off after {many} failures in a row{at}, the last of {what}"),
                },
            }
        }
        HeldBy::Refusal(refusal @ Refusal::Limit { .. }) => match limits::dated(one.own_authority()) {
            Some(known) => format!("{refusal} (limits as of {}, {})", known.checked, known.source),
            None => refusal.to_string(),
        },
        HeldBy::Refusal(refusal @ Refusal::Hold(hold)) => format!("{refusal}: {}", words::class(hold.class)),
        other => words::held_by(other),
    }
}

fn failures_in_a_row(one: &Foreseen<'_>, failure: &RememberedFailure) -> u32 {
    let state = &one.input.state;
    let memory = failure.directory.as_ref().and_then(|directory| state.authority(directory));
    memory.map_or(state.consecutive_failures, |memory| memory.consecutive_failures)
}

/// Advice about the certificate in use, where it counts.
fn advice<'a>(one: &Foreseen<'a>) -> Option<&'a certkit_core::decision::RenewalInformation> {
    let known = one.input.state.renewal_information.as_ref()?;
    (one.input.takes_advice && Some(&known.certificate) == one.input.ari_id.as_ref()).then_some(known)
}

fn explanation<'a>(one: &Foreseen<'a>) -> Option<&'a str> {
    advice(one)?.explanation_url.as_deref()
}

fn asked_again(one: &Foreseen<'_>) -> Option<String> {
    let known = advice(one)?;
    if one.input.wish.never {
        return None;
    }
    let again = format!("the CA is asked again from {} on", time(known.next_check));
    Some(match (known.failures, known.window) {
        (0, Some(_)) => again,
        (0, None) | (1, _) => format!("there was no answer; {again}"),
        (many, _) => format!("there was no answer {many} times in a row; {again}"),
    })
}

fn row(one: &Foreseen<'_>, now: DateTime<Utc>) -> Value {
    let (entry, input) = (&one.entry, &one.input);
    let state = match entry.step {
        Step::Attempt { .. } => "due",
        Step::Held { .. } => "held",
        Step::NotDue { until: Some(_), .. } => "not-due",
        _ => "never",
    };
    let held = match &entry.step {
        Step::Held { until, by, .. } => Some(json!({
            "until": json_time(*until),
            "by": by.code(),
            "what": held_by(one, *until, by),
            "cure": words::held_cure(by, entry.name.as_str()),
            "failures": match by { HeldBy::Failure(failure) => Some(failures_in_a_row(one, failure)), _ => None },
            "directory": match by { HeldBy::Failure(failure) => failure.directory.as_ref().map(ToString::to_string), _ => None },
        })),
        _ => None,
    };
    let at = match entry.step {
        Step::Attempt { .. } => Some(now),
        Step::Held { until, .. } => Some(until),
        Step::NotDue { until, .. } => until,
        _ => None,
    };
    let information = advice(one);
    json!({
        "name": entry.name.as_str(),
        "state": state,
        "at": at.map(json_time),
        "due": entry.due.at.map(json_time),
        "early": entry.due.early,
        "reason": entry.due.reason.code(),
        "why": because(one, now),
        "server": one.own_authority().map(ToString::to_string),
        "not_after": input.validity.map(|validity| json_time(validity.not_after)),
        "held": held,
        "wish": wish_json(input.state.wish.as_ref()),
        "window": window(one),
        "explanation_url": explanation(one),
        "next_check": information.map(|known| json_time(known.next_check)),
        "wake": entry.wake.map(json_time),
        "deploy_pending": input.state.deploy_pending.iter().map(|one| words::deploy_target(&one.target)).collect::<Vec<_>>(),
        "problems": entry.due.findings.iter().map(super::certificates::problem).collect::<Vec<_>>(),
        "error": null,
    })
}

/// The CA's window and the instant that was chosen in it.
pub(crate) fn window(one: &Foreseen<'_>) -> Option<Value> {
    let window = one.entry.due.window?;
    Some(json!({
        "start": json_time(window.start),
        "end": json_time(window.end),
        "instant": json_time(window.instant(one.input.seed)),
    }))
}

fn cadence(foresight: &Foresight) -> String {
    let interval = interval_text(foresight.survey.outlook.cadence.interval.to_std().unwrap_or_default());
    match &foresight.cadence_source {
        CadenceSource::Settings(origin) => format!("certkit is run every {interval} (run_interval: {origin})."),
        CadenceSource::Runs(runs) => format!("certkit is run every {interval}, as the last {runs} runs tell."),
        CadenceSource::Assumed => format!("It is assumed that certkit is run every {interval}, until past runs tell."),
    }
}

#[cfg(test)]
mod tests;
