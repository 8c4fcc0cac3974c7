//! The renewals of the next months as a chart, against the CAs' limits, and what changes when certificates get shorter.

use certkit_acme::renewal::LifetimeChange;
use certkit_core::{AcmeUrl, Forecast, ForecastDay, ForecastLimit, LineageName};
use chrono::{Datelike as _, Days, NaiveDate, TimeDelta};
use serde_json::{Value, json};

use super::lines::wrapped_to;
use super::screen::{Screen, thousands};
use super::{date, json_time, limits, time, words};

/// What was foreseen.
pub(crate) struct Foretold {
    /// The renewals.
    pub(crate) forecast: Forecast,
    /// The days on which certificates get another lifetime.
    pub(crate) changes: Vec<LifetimeChange>,
    /// The lifetime that was assumed for every new certificate.
    pub(crate) assumed: Option<TimeDelta>,
}

/// A chart with more lines than this has one for each week, and then one for each month.
const MOST_LINES: usize = 40;
/// So many names are told of what concerns some.
const MOST_NAMES: usize = 5;

/// One line of the chart.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    label: String,
    renewals: usize,
    waited: usize,
    busiest: usize,
    is_one_day: bool,
}

/// The text.
pub(crate) fn text(foretold: &Foretold, screen: &Screen) -> String {
    let Foretold { forecast, changes, assumed } = foretold;
    let days = forecast.days();
    let mut text = wrapped_to(screen.columns, "", &heading(forecast, &days, *assumed), 0);
    if !days.is_empty() {
        text.push('\n');
        text.push_str(&chart(&days, screen));
        text.push('\n');
        text.push_str(&against_limits(forecast, screen));
    }
    for change in changes {
        text.push('\n');
        text.push_str(&of_change(change, foretold, screen));
    }
    text
}

/// How many there are until when, in a sentence.
pub(crate) fn heading(forecast: &Forecast, days: &[ForecastDay], assumed: Option<TimeDelta>) -> String {
    let lives = match assumed {
        Some(lifetime) => format!("every new certificate lives for {}", words::duration(lifetime)),
        None => "new certificates live as long as their CAs have announced".to_owned(),
    };
    // The end is the first instant that does not belong to it.
    let last = forecast.until - TimeDelta::seconds(1);
    let span = format!("{} to {}", date(forecast.from), date(last));
    let busiest = days.iter().max_by_key(|day| (day.renewals, std::cmp::Reverse(day.day)));
    match (forecast.renewals.len(), busiest) {
        (0, _) | (_, None) => format!("Renewals from {span}, as if {lives}: none."),
        (1, Some(day)) => {
            format!("Renewals from {span}, as if every attempt succeeds and {lives}: one, on {}.", day.day)
        }
        (all, Some(day)) if day.renewals == 1 => format!(
            "Renewals from {span}, as if every attempt succeeds and {lives}: {}, each on a day of its own.",
            thousands(all)
        ),
        (all, Some(day)) => format!(
            "Renewals from {span}, as if every attempt succeeds and {lives}: {}, at most {} on one day ({}).",
            thousands(all),
            thousands(day.renewals),
            day.day
        ),
    }
}

fn chart(days: &[ForecastDay], screen: &Screen) -> String {
    let lines = lines(days);
    let most = lines.iter().map(|line| line.renewals).max().unwrap_or(1).max(1);
    let label = lines.iter().map(|line| line.label.len()).max().unwrap_or(0);
    let notes: Vec<String> = lines.iter().map(note).collect();
    let note = notes.iter().map(String::len).max().unwrap_or(0);
    let room = screen.columns.saturating_sub(label + note + 5).clamp(8, 60);
    let sign = if screen.unicode { "█" } else { "#" };
    let mut text = String::new();
    for (line, note) in lines.iter().zip(&notes) {
        // One is seen beside thousands, too.
        let width = (line.renewals * room / most).max(1);
        text.push_str(&format!("  {:label$}  {} {note}\n", line.label, sign.repeat(width)));
    }
    text
}

fn note(line: &Line) -> String {
    let mut note = thousands(line.renewals);
    if !line.is_one_day && line.busiest < line.renewals {
        note.push_str(&format!(" (up to {} a day)", thousands(line.busiest)));
    }
    if line.waited > 0 {
        note.push_str(&format!(", {} by a limit later", thousands(line.waited)));
    }
    note
}

/// A line for each day with renewals; where that is too much, for each week, else for each month.
fn lines(days: &[ForecastDay]) -> Vec<Line> {
    let by_day = |day: NaiveDate| day.format("%Y-%m-%d %a").to_string();
    let by_week = |day: NaiveDate| {
        let begin = day.checked_sub_days(Days::new(u64::from(day.weekday().num_days_from_monday()))).unwrap_or(day);
        format!("week of {begin}")
    };
    let by_month = |day: NaiveDate| day.format("%Y-%m").to_string();
    let daily = grouped(days, &by_day, true);
    if daily.len() <= MOST_LINES {
        return daily;
    }
    let weekly = grouped(days, &by_week, false);
    if weekly.len() <= MOST_LINES { weekly } else { grouped(days, &by_month, false) }
}

fn grouped(days: &[ForecastDay], label: &dyn Fn(NaiveDate) -> String, is_one_day: bool) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for day in days {
        let label = label(day.day);
        match lines.last_mut() {
            Some(line) if line.label == label => {
                line.renewals += day.renewals;
                line.waited += day.waited;
                line.busiest = line.busiest.max(day.renewals);
            }
            _ => lines.push(Line {
                label,
                renewals: day.renewals,
                waited: day.waited,
                busiest: day.renewals,
                is_one_day,
            }),
        }
    }
    lines
}

fn against_limits(forecast: &Forecast, screen: &Screen) -> String {
    if forecast.limits.is_empty() {
        let has_limits = forecast.renewals.iter().any(|one| limits::dated(one.directory.as_ref()).is_some());
        let text = if has_limits {
            "None of them counts against a limit of its CA: renewals are exempt."
        } else {
            "Limits of these CAs are not known; their Retry-After is heeded."
        };
        return wrapped_to(screen.columns, "", text, 0);
    }
    let mut text = String::new();
    let mut authority: Option<&AcmeUrl> = None;
    let mut sorted: Vec<&ForecastLimit> = forecast.limits.iter().collect();
    sorted.sort_by(|a, b| a.directory.cmp(&b.directory));
    for one in sorted {
        if authority != Some(&one.directory) {
            authority = Some(&one.directory);
            let source = limits::dated(authority).map(|known| format!(" ({}, as of {})", known.source, known.checked));
            let name = words::authority(&one.directory);
            let heading = format!("Against the limits of {name}{}:", source.unwrap_or_default());
            text.push_str(&wrapped_to(screen.columns, "", &heading, 0));
        }
        let used = one.limit.count.saturating_sub(one.left);
        let line = format!(
            "at most {used} of {} {} in {}: {} on {}",
            one.limit.count,
            one.limit.kind.words(),
            limits::window(&one.limit),
            certkit_core::escape(&one.subject),
            date(one.at)
        );
        text.push_str(&wrapped_to(screen.columns, "  ", &line, 4));
    }
    let waited = forecast.renewals.iter().filter(|one| one.waited_for.is_some()).count();
    if waited > 0 {
        let line = format!("{} of {} wait for a limit.", thousands(waited), thousands(forecast.renewals.len()));
        text.push_str(&wrapped_to(screen.columns, "  ", &line, 4));
    }
    text
}

fn of_change(change: &LifetimeChange, foretold: &Foretold, screen: &Screen) -> String {
    let mut text = wrapped_to(screen.columns, "", &what_changes(change), 0);
    let mut lines = Vec::new();
    let firsts = change.lineages.iter().filter_map(|(name, at)| Some((at.as_ref()?, name)));
    if let Some((at, name)) = firsts.min() {
        lines.push(format!("The first is that of {name}, at {}.", time(*at)));
    } else if change.source.is_some() {
        lines.push(format!("No renewal until {} gives one of them.", date(foretold.forecast.until)));
    }
    lines.push(rhythm_words(change.lifetime));
    if change.obstacles.is_empty() {
        lines.push("Nothing that is known here is too slow for that.".to_owned());
    }
    for line in lines {
        text.push_str(&wrapped_to(screen.columns, "  ", &line, 4));
    }
    for (obstacle, names) in &change.obstacles {
        let what = format!("Too slow: {}{}.", obstacle.what(), concerning(names));
        text.push_str(&wrapped_to(screen.columns, "  ", &what, 4));
        text.push_str(&wrapped_to(screen.columns, "    ", &format!("What to do: {}.", obstacle.cure()), 6));
    }
    text
}

/// What a lifetime means for who watches from outside.
pub(crate) fn rhythm_words(lifetime: TimeDelta) -> String {
    let left = if lifetime < TimeDelta::days(10) { lifetime / 2 } else { lifetime / 3 };
    format!(
        "By the rule of the lifetime they are renewed every {}, with {} left: monitoring that wants more to be left complains about good ones.",
        words::duration(lifetime - left),
        words::duration(left)
    )
}

/// What changes when, for how many.
pub(crate) fn what_changes(change: &LifetimeChange) -> String {
    let lives = words::duration(change.lifetime);
    let count = match change.lineages.len() {
        1 => "1 certificate".to_owned(),
        many => format!("{} certificates", thousands(many)),
    };
    match change.source {
        Some(source) => {
            format!("From {} on new certificates live for {lives}, for {count} here ({source}).", change.since)
        }
        None => format!("New certificates that live for {lives}, for {count} here:"),
    }
}

/// Which certificates it is about.
pub(crate) fn concerning(names: &[LineageName]) -> String {
    if names.is_empty() {
        return String::new();
    }
    let mut told: Vec<String> = names.iter().take(MOST_NAMES).map(ToString::to_string).collect();
    let more = names.len().saturating_sub(MOST_NAMES);
    if more > 0 {
        told.push(format!("{} more", thousands(more)));
    }
    format!(" ({})", told.join(", "))
}

/// The same for machines, with every renewal.
pub(crate) fn json(foretold: &Foretold) -> (Value, Value) {
    let Foretold { forecast, changes, assumed } = foretold;
    let days: Vec<Value> = forecast
        .days()
        .iter()
        .map(|day| json!({ "day": day.day.to_string(), "renewals": day.renewals, "waited": day.waited }))
        .collect();
    let renewals: Vec<Value> = forecast
        .renewals
        .iter()
        .map(|one| {
            json!({
                "name": one.name.as_str(),
                "at": json_time(one.at),
                "server": one.directory.as_ref().map(ToString::to_string),
                "lifetime_seconds": one.lifetime.num_seconds(),
                "waited_for": one.waited_for.map(|kind| kind.code()),
            })
        })
        .collect();
    let limits: Vec<Value> = forecast
        .limits
        .iter()
        .map(|one| {
            json!({
                "directory": one.directory.as_str(),
                "limit": one.limit.kind.code(),
                "subject": one.subject,
                "left": one.left,
                "count": one.limit.count,
                "window_seconds": one.limit.window_seconds,
                "at": json_time(one.at),
            })
        })
        .collect();
    let changes: Vec<Value> = changes
        .iter()
        .map(|change| {
            let lineages: Vec<Value> = change
                .lineages
                .iter()
                .map(|(name, at)| json!({ "name": name.as_str(), "first_renewal": at.map(json_time) }))
                .collect();
            let obstacles: Vec<Value> = change
                .obstacles
                .iter()
                .map(|(obstacle, names)| {
                    let names: Vec<&str> = names.iter().map(LineageName::as_str).collect();
                    json!({ "code": obstacle.code(), "what": obstacle.what(), "cure": obstacle.cure(), "lineages": names })
                })
                .collect();
            json!({
                "since": change.since.to_string(),
                "lifetime_seconds": change.lifetime.num_seconds(),
                "source": change.source,
                "lineages": lineages,
                "obstacles": obstacles,
            })
        })
        .collect();
    let forecast = json!({
        "from": json_time(forecast.from),
        "until": json_time(forecast.until),
        "assumed_lifetime_seconds": assumed.map(|lifetime| lifetime.num_seconds()),
        "days": days,
        "limits": limits,
        "renewals": renewals,
    });
    (forecast, Value::Array(changes))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use certkit_acme::renewal::Renewers;

    use super::super::sample::*;
    use super::*;

    fn foretold(count: i64, until: i64, assumed: Option<i64>) -> Foretold {
        let mut inputs: Vec<_> =
            (0..count).map(|number| certificate(&format!("n{number}.example"), 25 + number % 60)).collect();
        inputs[0].wish.renew_before_expiry = Some("50 days".to_owned());
        let survey = foresight(inputs, Default::default()).survey;
        let assumed = assumed.map(TimeDelta::days);
        let forecast = survey.forecast(now() + TimeDelta::days(until), assumed);
        let mut renewers = Renewers::new();
        renewers.hook_time_limit = Some(Duration::from_secs(3600));
        renewers.runs.push(("the line for cron in /etc/crontab".to_owned(), TimeDelta::days(31)));
        let changes = survey.lifetime_changes(&forecast, assumed, &renewers);
        Foretold { forecast, changes, assumed }
    }

    fn screen(columns: usize) -> Screen {
        Screen { columns, unicode: true, colour: false }
    }

    #[test]
    fn a_few_certificates_have_a_line_for_each_day() {
        let shown = text(&foretold(6, 60, None), &screen(80));
        let expected = include_str!("snapshots/forecast.txt");
        assert!(shown == expected, "{shown}");
    }

    #[test]
    fn many_have_a_line_for_each_week_or_month_and_fit() {
        for (until, begin) in [(120, "week of 2027-01-11"), (720, "2027-01 ")] {
            let shown = text(&foretold(300, until, Some(45)), &screen(80));
            assert!(shown.contains(&format!("\n  {begin}")), "{shown}");
            assert!(shown.lines().all(|line| line.chars().count() <= 80 || line.contains("://")), "{shown}");
            assert!(shown.lines().count() < 70, "{shown}");
        }
        let ascii = text(&foretold(3, 60, None), &Screen { columns: 80, unicode: false, colour: false });
        assert!(ascii.is_ascii() && ascii.contains('#'));
    }

    #[test]
    fn the_document_says_the_same() {
        let (forecast, changes) = json(&foretold(6, 60, None));
        assert_eq!(forecast["until"], "2027-03-16T08:00:00Z");
        assert_eq!(forecast["renewals"].as_array().unwrap().len(), 13);
        assert_eq!(forecast["days"][0]["renewals"], 6);
        assert_eq!(
            (&changes[0]["since"], &changes[0]["lifetime_seconds"]),
            (&json!("2027-02-10"), &json!(64 * 86_400))
        );
        assert_eq!(changes[0]["obstacles"][0]["code"], "renewer-too-rare");
        assert_eq!(changes[0]["obstacles"][1]["lineages"], json!(["n0.example"]));
        assert_eq!(json(&foretold(2, 30, Some(45))).0["assumed_lifetime_seconds"], 45 * 86_400);
    }
}
