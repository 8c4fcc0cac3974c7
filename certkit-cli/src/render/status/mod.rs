//! How every certificate is, on one screen: what is wrong first, with its cure.

mod bar;

mod layout;

use certkit_core::state::Serving;
use certkit_core::{Condition, Finding, Overview, Severity, Step, Summary};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use self::layout::{COLUMNS, Layout};
use super::explain::{self, Reader, explain};
use super::lines::wrapped_to;
use super::screen::{Screen, colour, thousands};
use super::{json_time, plan, time, words};
use crate::commands::{Foreseen, Foresight};

/// So many with something to tell have it told, unless all are asked for.
const MOST_EVENTFUL: usize = 20;
/// So many of the others have a line.
const MOST_UNEVENTFUL: usize = 20;

/// From here on there is room for whole words and dates, and for the CA besides.
const WIDE: usize = 110;
const VERY_WIDE: usize = 150;

/// The screen. `limit` tells whether many certificates are cut short.
pub(crate) fn text(foresight: &Foresight, findings: &[Finding], screen: &Screen, limit: Limit) -> String {
    let overview = Overview::of(&foresight.survey.summaries, foresight.survey.now);
    if overview.total() == 0 {
        return format!("No certificates found.\n{}", problems(findings, screen));
    }
    let mut text = wrapped_to(screen.columns, "", &headline(&overview), 0);
    text.push('\n');
    let (eventful, uneventful) = match limit {
        Limit::OneScreen => (MOST_EVENTFUL, MOST_UNEVENTFUL),
        Limit::None => (usize::MAX, usize::MAX),
    };
    let shown: Vec<&Summary> =
        overview.eventful.iter().take(eventful).chain(overview.uneventful.iter().take(uneventful)).copied().collect();
    let now = overview.now;
    let cells: Vec<[String; COLUMNS.len()]> = shown.iter().map(|one| cells(one, now, screen)).collect();
    let names = shown.iter().map(|one| one.name.chars().count()).max().unwrap_or(0);
    let layout = Layout::of(names, &cells, screen);
    let padded = |text: &str, width: usize| format!("{text:width$}");
    let headings: Vec<String> =
        COLUMNS.iter().enumerate().map(|(at, heading)| padded(heading, layout.width(at))).collect();
    let legend = padded(&bar::legend(screen), layout.bar);
    text.push_str(&layout.line(&padded(&screen.fitting("Certificate", layout.name), layout.name), &legend, &headings));
    for (one, cells) in shown.iter().zip(&cells) {
        let name = padded(&screen.fitting(&one.name, layout.name), layout.name);
        let bar = bar::bar(one.lifeline(now), one.condition(), layout.bar, screen);
        let mut cells: Vec<String> =
            cells.iter().enumerate().map(|(at, cell)| padded(cell, layout.width(at))).collect();
        if let Some(state) = cells.get_mut(1) {
            *state = screen.paint(colour(one.condition()), state);
        }
        text.push_str(&layout.line(&name, &bar, &cells));
        for told in explain(one, Reader::Owner) {
            text.push_str(&wrapped_to(screen.columns, "  ", &format!("{}.", sentence(&told.what)), 2));
            if let Some(cure) = told.cure {
                text.push_str(&wrapped_to(screen.columns, "  ", &format!("What to do: {cure}."), 4));
            }
        }
    }
    text.push_str(&left_out(&overview, eventful, uneventful, screen));
    text.push_str(&problems(findings, screen));
    text
}

/// How much is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// What one can look at.
    OneScreen,
    /// Everything.
    None,
}

/// How all of them are, in a sentence.
pub(crate) fn headline(overview: &Overview<'_>) -> String {
    let total = overview.total();
    let certificates =
        if total == 1 { "1 certificate".to_owned() } else { format!("{} certificates", thousands(total)) };
    let next = match overview.next_renewal() {
        Some(at) => format!(" The next renewal becomes due {}.", words::from_now(at, overview.now)),
        None => String::new(),
    };
    let counts: Vec<String> = overview
        .counts
        .iter()
        .map(|(condition, count)| format!("{} {}", thousands(*count), condition.words()))
        .collect();
    let counts = match (overview.counts.len(), total) {
        (1, _) if overview.counts.contains_key(&Condition::Ok) => {
            if total == 1 {
                "it is well".to_owned()
            } else {
                "all are well".to_owned()
            }
        }
        _ => counts.join(", "),
    };
    format!("{certificates}: {counts}.{next} ({})", time(overview.now))
}

/// What there was no room for.
fn left_out(overview: &Overview<'_>, eventful: usize, uneventful: usize, screen: &Screen) -> String {
    let mut text = String::new();
    let mut tell = |hidden: &[&Summary], what: &str| {
        if !hidden.is_empty() {
            let what = format!("and {} more {what}; --all shows all", thousands(hidden.len()));
            text.push_str(&wrapped_to(screen.columns, "", &what, 2));
        }
    };
    tell(overview.eventful.get(eventful..).unwrap_or_default(), "that need a look");
    let hidden = overview.uneventful.get(uneventful..).unwrap_or_default();
    let is_well = hidden.iter().all(|one| one.condition() == Condition::Ok);
    tell(hidden, if is_well { "that are well" } else { "that are well or renewed by the next run" });
    text
}

/// What is wrong with the store.
fn problems(findings: &[Finding], screen: &Screen) -> String {
    let mut text = String::new();
    let mut findings = findings.iter().filter(|finding| finding.severity >= Severity::Warning).peekable();
    if findings.peek().is_some() {
        text.push_str("\nProblems:\n");
    }
    while let Some(finding) = findings.next() {
        text.push_str(&wrapped_to(screen.columns, "  ", &format!("{}: {}", finding.subject, finding.what()), 4));
        // What is to be done about all of several stands below the last of them.
        if findings.peek().is_none_or(|next| next.cure() != finding.cure()) {
            text.push_str(&wrapped_to(screen.columns, "    ", &format!("What to do: {}.", finding.cure()), 6));
        }
    }
    text
}

fn cells(one: &Summary, now: DateTime<Utc>, screen: &Screen) -> [String; COLUMNS.len()] {
    let left = one.validity.map(|validity| validity.remaining(now));
    let left = left.map_or_else(String::new, |left| if left < TimeDelta::zero() { "none".into() } else { short(left) });
    [left, state(one.condition(), screen), due(one, now), explain::served(one), last_result(one, now, screen)]
}

/// On a narrow screen a bar is worth more than a long word.
fn state(condition: Condition, screen: &Screen) -> String {
    match condition {
        Condition::DeployPending if screen.columns < WIDE => "undeployed".to_owned(),
        Condition::NotYetValid if screen.columns < WIDE => "to come".to_owned(),
        condition => condition.words().to_owned(),
    }
}

/// When it is renewed, in a word or two.
pub(crate) fn due(one: &Summary, now: DateTime<Utc>) -> String {
    match one.entry().map(|entry| &entry.step) {
        Some(Step::Attempt { .. }) => "now".to_owned(),
        Some(Step::Held { until, .. }) => format!("held {}", short(*until - now)),
        Some(Step::NotDue { until: Some(at), .. }) => short(*at - now),
        Some(_) => "never".to_owned(),
        None => String::new(),
    }
}

/// A length of time in a few characters: days, and hours where they matter.
pub(crate) fn short(length: TimeDelta) -> String {
    match (length.num_hours(), length.num_days()) {
        (..1, _) => "< 1 h".to_owned(),
        (hours @ ..48, _) => format!("{hours} h"),
        (_, days) => format!("{days} d"),
    }
}

/// How the last attempt ended, with the year where there is room or it tells something.
fn last_result(one: &Summary, now: DateTime<Utc>, screen: &Screen) -> String {
    let is_wide = screen.columns >= WIDE;
    let day = |at: DateTime<Utc>| {
        let is_of_late = (now - at).abs() < TimeDelta::days(300);
        at.format(if is_wide || !is_of_late { "%Y-%m-%d" } else { "%m-%d" }).to_string()
    };
    let Some(state) = one.state() else { return String::new() };
    match (&state.last_failure, state.last_success) {
        (Some(failure), _) => format!("failed {}", day(failure.at)),
        (None, Some(at)) => {
            let issuer = Foreseen::of(one).and_then(|one| one.other_issuer()).filter(|_| screen.columns >= VERY_WIDE);
            let issuer = issuer.map(|issuer| format!(" (from {})", words::authority(issuer))).unwrap_or_default();
            format!("{} {}{issuer}", if is_wide { "renewed" } else { "ok" }, day(at))
        }
        (None, None) => "none yet".to_owned(),
    }
}

/// With a capital letter.
fn sentence(text: &str) -> String {
    let mut rest = text.chars();
    // A name keeps its own first letter, and so does a path.
    match rest.next() {
        Some(first) if first.is_ascii_lowercase() && text.split(' ').next().is_some_and(|word| !word.contains('.')) => {
            format!("{}{}", first.to_ascii_uppercase(), rest.as_str())
        }
        _ => text.to_owned(),
    }
}

/// The document of `status --json`, in the same order.
pub(crate) fn json(foresight: &Foresight, findings: &[Finding]) -> Value {
    let overview = Overview::of(&foresight.survey.summaries, foresight.survey.now);
    let lineages: Vec<Value> = overview.all().map(|one| row(one, overview.now)).collect();
    json!({
        "schema": 1,
        "now": json_time(overview.now),
        "lineages": lineages,
        "problems": findings.iter().map(super::certificates::problem).collect::<Vec<_>>(),
    })
}

fn row(one: &Summary, now: DateTime<Utc>) -> Value {
    let (entry, state, foreseen) = (one.entry(), one.state(), Foreseen::of(one));
    let failure = state.and_then(|state| state.last_failure.as_ref());
    let success = state.and_then(|state| state.last_success).map(|at| (at, None));
    let result = failure.map(|failure| (failure.at, Some(failure))).or(success).map(|(at, failure)| {
        json!({
            "at": json_time(at),
            "ok": failure.is_none(),
            "class": failure.map(|failure| super::renewal::class_code(failure.class)),
            "what": failure.map(words::remembered),
        })
    });
    let held = match entry.map(|entry| &entry.step) {
        Some(Step::Held { until, by, .. }) => Some(json!({ "until": json_time(*until), "by": by.code() })),
        _ => None,
    };
    let broken = explain::broken(one);
    let pending = state.map(|state| state.deploy_pending.as_slice()).unwrap_or_default();
    let told: Vec<Value> = explain(one, Reader::Owner)
        .into_iter()
        .map(|told| json!({ "state": told.condition.code(), "what": told.what, "cure": told.cure }))
        .collect();
    json!({
        "name": one.name,
        "state": one.condition().code(),
        "states": one.conditions.iter().map(|condition| condition.code()).collect::<Vec<_>>(),
        "identifiers": one.identifiers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "not_after": one.validity.map(|validity| json_time(validity.not_after)),
        "seconds_left": one.validity.map(|validity| validity.remaining(now).num_seconds()),
        "due": one.renewal_at().map(json_time),
        "renewal_at": one.next_renewal(now).map(json_time),
        "reason": entry.map(|entry| entry.due.reason.code()),
        "window": foreseen.as_ref().and_then(plan::window),
        "held": held,
        "last_result": result,
        "server": foreseen.as_ref().and_then(Foreseen::own_authority).map(ToString::to_string),
        "issued_by": state.and_then(|state| state.issuer_directory.as_ref()).map(ToString::to_string),
        "deploy_pending": pending.iter().map(|one| words::deploy_target(&one.target)).collect::<Vec<_>>(),
        "served": served(one),
        "explained": told,
        "error": broken.as_ref().map(|(reason, _)| reason),
        "cure": broken.as_ref().map(|(_, cure)| cure),
    })
}

fn served(one: &Summary) -> Value {
    let count = one.served();
    let state = match one.serving() {
        Serving::Matches => "matches",
        Serving::Differs => "differs",
        Serving::Unreachable => "unreachable",
        _ => "unknown",
    };
    json!({
        "state": state,
        "same": count.same,
        "older": count.older,
        "foreign": count.foreign,
        "unreachable": count.unreachable,
    })
}

#[cfg(test)]
mod tests;
