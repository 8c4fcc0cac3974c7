//! How every certificate is, as one page of HTML that needs nothing else: no script, no font, no picture from elsewhere.

use certkit_core::{Condition, Finding, Overview, Severity, Summary, Track};
use chrono::{DateTime, Datelike as _, NaiveTime, TimeDelta, Utc};
use data_encoding::BASE64;
use minijinja::Environment;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::explain::{self, Reader, explain};
use super::forecast::{self, Foretold};
use super::screen::{shortened, thousands};
use super::{date, json_time, status, time, words};
use crate::commands::{Foreseen, Foresight};
use crate::exit::CommandError;

/// What a page is made of.
pub(crate) struct Page<'a> {
    /// The certificates.
    pub(crate) foresight: &'a Foresight,
    /// What else was found.
    pub(crate) findings: &'a [Finding],
    /// The renewals to come, and what changes; the span of the time line is that of the forecast.
    pub(crate) foretold: &'a Foretold,
    /// The name of the machine, escaped.
    pub(crate) host: &'a str,
}

const TEMPLATE: &str = include_str!("page.html");
const CSS: &str = include_str!("page.css");

/// So many are seen at once; the others are folded away.
const SHOWN: usize = 25;
/// So many are folded away: a page of megabytes is no page.
const FOLDED: usize = 1500;
/// What there is room for beside a bar, on a wide screen and on a phone.
const LONG_NAME: usize = 64;
const SHORT_NAME: usize = 26;
/// So many names are told of a certificate with trouble, and of another one.
const NAMES_OF_TROUBLE: usize = 100;
const NAMES: usize = 3;

/// The page.
pub(crate) fn html(page: &Page<'_>) -> Result<String, CommandError> {
    let mut environment = Environment::new();
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    // The ending decides that everything is escaped for HTML.
    let rendered = environment
        .add_template("page.html", TEMPLATE)
        .and_then(|()| environment.get_template("page.html"))
        .and_then(|template| template.render(model(page)));
    let rendered = rendered.map_err(|error| CommandError::failed(format!("the page cannot be made: {error:#}")))?;
    Ok(format!("{}\n", rendered.trim()))
}

fn model(page: &Page<'_>) -> Value {
    let survey = &page.foresight.survey;
    let overview = Overview::of(&survey.summaries, survey.now);
    let (now, until) = (survey.now, page.foretold.forecast.until);
    let all: Vec<&Summary> = overview.all().collect();
    let tracks: Vec<Value> = all.iter().filter_map(|one| track(one, now, until)).take(SHOWN + FOLDED).collect();
    let (tracks, more_tracks) = split(tracks, SHOWN);
    let eventful = &overview.eventful;
    let troubles: Vec<Value> = eventful.iter().take(SHOWN + FOLDED).map(|one| trouble(one, now)).collect();
    let (troubles, more_troubles) = split(troubles, SHOWN);
    // All that need a look stand in the open, as long as there is room.
    let shown = SHOWN.max(eventful.len().min(2 * SHOWN));
    let rows: Vec<Value> = all.iter().take(shown + FOLDED).map(|one| row(one, now)).collect();
    let (rows, more_rows) = split(rows, shown);
    let mut told: Vec<&Finding> = page.findings.iter().collect();
    told.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let hash = BASE64.encode(&Sha256::digest(CSS.as_bytes()));
    let changes: Vec<Value> = page.foretold.changes.iter().map(change).collect();
    json!({
        "css": CSS,
        "style_hash": format!("sha256-{hash}"),
        "host": page.host,
        "version": env!("CARGO_PKG_VERSION"),
        "made": time(now),
        "made_iso": json_time(now),
        "verdict": verdict(&overview, &told),
        "tiles": tiles(&overview),
        "troubled": {
            "shown": troubles,
            "more": more_troubles,
            "hidden": hidden(eventful.len(), SHOWN + FOLDED),
        },
        "timeline": {
            "days": (until - now).num_days(),
            "ticks": ticks(now, until),
            "shown": tracks,
            "more": more_tracks,
        },
        "renewals": renewals(page.foretold),
        "table_shown": rows,
        "table_more": more_rows,
        "table_hidden": hidden(all.len(), shown + FOLDED),
        "changes": changes,
        "findings": told.iter().take(FOLDED).map(|finding| of_finding(finding)).collect::<Vec<_>>(),
        "findings_hidden": hidden(told.len(), FOLDED),
    })
}

/// The first so many, and the others.
fn split(mut all: Vec<Value>, at: usize) -> (Vec<Value>, Vec<Value>) {
    let others = all.split_off(at.min(all.len()));
    (all, others)
}

/// How many there is no room for; null when there is.
fn hidden(all: usize, room: usize) -> Option<String> {
    (all > room).then(|| thousands(all - room))
}

/// The class of a condition: each has a sign and a word of its own besides the colour.
fn kind(condition: Condition) -> &'static str {
    match condition {
        Condition::Ok | Condition::Due => "well",
        Condition::Waiting => "warn",
        _ => "bad",
    }
}

fn verdict(overview: &Overview<'_>, findings: &[&Finding]) -> Value {
    let (total, troubled) = (overview.total(), overview.troubled());
    let warnings = findings.iter().filter(|finding| finding.severity >= Severity::Warning).count();
    let (kind, title) = match (total, troubled) {
        (0, _) => ("warn", "There is no certificate".to_owned()),
        (1, 1) => ("bad", "The certificate needs you".to_owned()),
        (_, 1) => ("bad", format!("1 of {} certificates needs you", thousands(total))),
        (_, 1..) => ("bad", format!("{} of {} certificates need you", thousands(troubled), thousands(total))),
        _ if warnings > 0 => ("warn", "The certificates are well, and something else needs you".to_owned()),
        (1, _) => ("well", "The certificate is well".to_owned()),
        _ => ("well", format!("All {} certificates are well", thousands(total))),
    };
    let next = overview
        .next_renewal()
        .map(|at| format!("The next renewal becomes due {}, at {}.", words::from_now(at, overview.now), time(at)));
    let text = if total == 0 { "`certkit certonly` obtains one.".to_owned() } else { next.unwrap_or_default() };
    json!({ "kind": kind, "title": title, "text": text, "troubled": (troubled > 0).then_some(troubled) })
}

fn tiles(overview: &Overview<'_>) -> Vec<Value> {
    let tile = |(condition, count): (&Condition, &usize)| json!({ "kind": kind(*condition), "words": condition.words(), "count": thousands(*count) });
    overview.counts.iter().map(tile).collect()
}

fn trouble(one: &Summary, now: DateTime<Utc>) -> Value {
    let told: Vec<Value> = explain(one, Reader::Page)
        .into_iter()
        .map(|told| {
            // When it expired is said above.
            let what = (told.condition != Condition::Expired).then(|| capital(&told.what));
            json!({ "what": what, "cure": told.cure.as_deref().map(in_parts) })
        })
        .collect();
    let remaining = one.validity.map(|validity| validity.remaining(now));
    let is_over = remaining.is_some_and(|left| left < TimeDelta::zero());
    json!({
        "name": one.name,
        "kind": kind(one.condition()),
        "state": one.condition().words(),
        "names": names(one, NAMES_OF_TROUBLE),
        "expires": one.validity.map(|validity| time(validity.not_after)),
        "expires_iso": one.validity.map(|validity| json_time(validity.not_after)),
        "ends": if is_over { "Expired at" } else { "Expires at" },
        "left": one.validity.map(|validity| words::from_now(validity.not_after, now)),
        "told": told,
    })
}

/// What it covers, where that is more than its name.
fn names(one: &Summary, most: usize) -> Option<String> {
    let all: Vec<String> = one.identifiers.iter().map(ToString::to_string).collect();
    if all.is_empty() || (all.len() == 1 && all.first() == Some(&one.name)) {
        return None;
    }
    let more = all.len().saturating_sub(most);
    let mut told = all.get(..most.min(all.len())).unwrap_or_default().join(", ");
    if more > 0 {
        told.push_str(&format!(" and {} more", thousands(more)));
    }
    Some(told)
}

/// A cure with its commands apart: they stand between backquotes.
fn in_parts(text: &str) -> Vec<Value> {
    let parts = text.split('`').enumerate().filter(|(_, part)| !part.is_empty());
    parts.map(|(number, part)| json!({ "code": number % 2 == 1, "text": part })).collect()
}

fn track(one: &Summary, now: DateTime<Utc>, until: DateTime<Utc>) -> Option<Value> {
    /// Thinner than this nothing is seen.
    const LEAST: f64 = 0.005;
    let track = Track::of(one, now, until)?;
    let condition = one.condition();
    let left = one.validity.map(|validity| validity.remaining(now)).unwrap_or_default();
    let left = if left < TimeDelta::zero() { String::new() } else { status::short(left) };
    let told = match (condition, left.is_empty()) {
        (Condition::Ok, _) => left,
        (condition, true) => condition.words().to_owned(),
        (condition, false) => format!("{}, {left}", condition.words()),
    };
    let window = track.window.map(|(from, to)| {
        let width = (to - from).max(LEAST);
        json!({ "x": percent(from.min(1.0 - width)), "width": percent(width) })
    });
    Some(json!({
        "long": shortened(&one.name, LONG_NAME, "…"),
        "short": shortened(&one.name, SHORT_NAME, "…"),
        "told": told,
        "fill": match kind(condition) { "bad" => "b", "warn" => "w", _ => "" },
        "valid": (track.valid_until > 0.0).then(|| percent(track.valid_until)),
        "window": window,
        "renewal": track.renewal.map(percent),
        "end": track.ends.then(|| percent(track.valid_until)),
    }))
}

/// The first of each month.
fn ticks(now: DateTime<Utc>, until: DateTime<Utc>) -> Vec<Value> {
    let whole = (until - now).num_seconds().max(1) as f64;
    let mut ticks = Vec::new();
    let mut day = now.date_naive().with_day(1);
    while let Some(first) = day.and_then(|day| day.checked_add_months(chrono::Months::new(1))) {
        let place = (first.and_time(NaiveTime::MIN).and_utc() - now).num_seconds() as f64 / whole;
        // A dozen is as much as anybody reads.
        if place >= 1.0 || ticks.len() >= 12 {
            break;
        }
        // Where there is room beside "today".
        if place > 0.12 {
            let label = first.format("%-d %b").to_string();
            ticks.push(json!({ "x": percent(place), "label": label, "at_end": place > 0.85 }));
        }
        day = Some(first);
    }
    ticks
}

fn renewals(foretold: &Foretold) -> Option<Value> {
    /// The height of the chart, and what is seen of one beside thousands, in pixels.
    const HEIGHT: usize = 92;
    const LEAST: usize = 3;
    let forecast = &foretold.forecast;
    let days = forecast.days();
    let most = days.iter().map(|day| day.renewals).max()?.max(1);
    let begin = forecast.from.date_naive();
    let span = ((forecast.until.date_naive() - begin).num_days() + 1).max(1) as f64;
    let bars: Vec<Value> = days
        .iter()
        .map(|day| {
            let place = (day.day - begin).num_days() as f64 / span;
            let height = (day.renewals * HEIGHT / most).max(LEAST);
            json!({
                "x": percent(place), "y": 100 - height, "height": height,
                "day": day.day.to_string(), "count": thousands(day.renewals),
            })
        })
        .collect();
    Some(
        json!({ "text": forecast::heading(forecast, &days, foretold.assumed), "bars": bars, "width": percent(0.8 / span) }),
    )
}

fn row(one: &Summary, now: DateTime<Utc>) -> Value {
    let remaining = one.validity.map(|validity| validity.remaining(now));
    let left = remaining.map(|left| if left < TimeDelta::zero() { "none".to_owned() } else { status::short(left) });
    let last = match one.state().map(|state| (&state.last_failure, state.last_success)) {
        Some((Some(failure), _)) => format!("failed {}", date(failure.at)),
        Some((None, Some(at))) => format!("renewed {}", date(at)),
        Some((None, None)) => "none yet".to_owned(),
        None => "–".to_owned(),
    };
    let due = match status::due(one, now) {
        due if due.is_empty() => "–".to_owned(),
        due if due.starts_with(|c: char| c.is_ascii_digit()) => format!("in {due}"),
        due => due,
    };
    let authority = Foreseen::of(one).and_then(|one| Some(words::authority(one.own_authority()?)));
    json!({
        "name": one.name,
        "names": names(one, NAMES),
        "kind": kind(one.condition()),
        "state": one.condition().words(),
        "expires_day": one.validity.map(|validity| date(validity.not_after)),
        "expires": one.validity.map(|validity| time(validity.not_after)),
        "expires_iso": one.validity.map(|validity| json_time(validity.not_after)),
        "left_short": left.unwrap_or_else(|| "–".to_owned()),
        "due": due,
        "served": explain::served(one),
        "last": last,
        "authority": authority.unwrap_or_else(|| "–".to_owned()),
    })
}

fn change(change: &certkit_acme::renewal::LifetimeChange) -> Value {
    let obstacles: Vec<Value> = change
        .obstacles
        .iter()
        .map(|(obstacle, names)| {
            let what = format!("{}{}", obstacle.what(), forecast::concerning(names));
            json!({ "what": what, "cure": in_parts(obstacle.cure()) })
        })
        .collect();
    json!({
        "what": forecast::what_changes(change),
        "rhythm": forecast::rhythm_words(change.lifetime),
        "obstacles": obstacles,
    })
}

fn of_finding(finding: &Finding) -> Value {
    let (kind, severity) = match finding.severity {
        Severity::Error => ("bad", "error"),
        Severity::Warning => ("warn", "warning"),
        _ => ("note", "notice"),
    };
    json!({
        "kind": kind,
        "severity": severity,
        "subject": finding.subject,
        "what": finding.what(),
        "cure": in_parts(finding.cure()),
    })
}

fn capital(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map_or_else(String::new, |first| format!("{}{}", first.to_uppercase(), rest.as_str()))
}

fn percent(part: f64) -> String {
    format!("{:.2}", part * 100.0)
}

#[cfg(test)]
mod tests;
