//! What a monitoring system reads: the form of monitoring plugins, and JSON.

use certkit_core::state::EndpointMemory;
use certkit_core::{CheckLevel, Checked, Summary};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{json_time, words};
use crate::exit::CommandError;

/// With more certificates the performance data is for all together: plugins may print some kilobytes.
const MOST_SINGLE: usize = 32;

/// The status line with performance data, then a line for each problem.
pub(crate) fn text(level: CheckLevel, all: &[(Checked, &Summary)]) -> String {
    let mut text = format!("CERTKIT {} - {} | {}\n", level.as_str(), headline(all), performance(all).join(" "));
    for (checked, _) in in_order(all) {
        for concern in &checked.concerns {
            let cure = words::cure_for(&concern.cure, &checked.name);
            // A bar would begin performance data.
            let line = format!("{} {}: {}. What to do: {cure}.", concern.level.as_str(), checked.name, concern.what);
            text.push_str(&line.replace('|', "/"));
            text.push('\n');
        }
    }
    text
}

/// Why nothing can be told, in one line.
pub(crate) fn failure(level: CheckLevel, error: &CommandError) -> String {
    let cure = error.cure.as_ref().map(|cure| format!(". What to do: {cure}.")).unwrap_or_default();
    let line = format!("CERTKIT {} - {}{cure}", level.as_str(), error.what);
    format!("{}\n", line.replace('|', "/").replace('\n', " "))
}

/// The document of `check --json`.
pub(crate) fn json(now: DateTime<Utc>, level: CheckLevel, all: &[(Checked, &Summary)]) -> Value {
    let certificates: Vec<Value> = all
        .iter()
        .map(|(checked, summary)| {
            let concerns = checked.concerns.iter().map(|concern| {
                json!({
                    "level": code(concern.level),
                    "what": concern.what,
                    "cure": words::cure_for(&concern.cure, &checked.name),
                })
            });
            let served = summary.state().map(|state| state.served.as_slice()).unwrap_or_default();
            json!({
                "name": checked.name,
                "level": code(checked.level),
                "concerns": concerns.collect::<Vec<_>>(),
                "not_after": summary.validity.map(|validity| json_time(validity.not_after)),
                "seconds_left": checked.left.map(|left| left.num_seconds()),
                "served": served.iter().map(endpoint).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({ "schema": 1, "now": json_time(now), "level": code(level), "certificates": certificates })
}

/// The document of a check that could not be made.
pub(crate) fn json_of_failure(level: CheckLevel, error: &CommandError) -> Value {
    json!({ "schema": 1, "level": code(level), "error": error.what, "cure": error.cure, "certificates": [] })
}

/// What an endpoint served, for machines.
pub(crate) fn endpoint(memory: &EndpointMemory) -> Value {
    let answers = memory.answers.iter().map(|answer| {
        json!({
            "address": answer.address.map(|address| address.to_string()),
            "leaf": answer.leaf.code(),
            "serial": answer.serial,
            "not_after": answer.not_after.map(json_time),
            "troubles": answer.troubles.iter().map(|trouble| trouble.code()).collect::<Vec<_>>(),
            "detail": answer.detail,
        })
    });
    json!({
        "endpoint": memory.endpoint.to_string(),
        "protocol": memory.endpoint.protocol.as_str(),
        "counts": memory.counts(),
        "checked_at": json_time(memory.checked_at),
        "serving": memory.serving().code(),
        "answers": answers.collect::<Vec<_>>(),
    })
}

fn code(level: CheckLevel) -> &'static str {
    match level {
        CheckLevel::Ok => "ok",
        CheckLevel::Warning => "warning",
        CheckLevel::Critical => "critical",
        _ => "unknown",
    }
}

/// The worst first.
fn in_order<'a, 'b>(all: &'b [(Checked, &'a Summary)]) -> Vec<&'b (Checked, &'a Summary)> {
    let mut sorted: Vec<_> = all.iter().collect();
    sorted.sort_by_key(|(checked, _)| (std::cmp::Reverse(checked.level), checked.left));
    sorted
}

fn headline(all: &[(Checked, &Summary)]) -> String {
    let count = |noun: &str, count: usize| if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") };
    let concerned: Vec<_> = in_order(all).into_iter().filter(|(checked, _)| !checked.concerns.is_empty()).collect();
    if let Some((first, _)) = concerned.first() {
        let what = first.concerns.first().map(|concern| concern.what.as_str()).unwrap_or_default();
        let more = match concerned.len() {
            1 => String::new(),
            many => format!(" (and {} more)", count("certificate", many - 1)),
        };
        return format!("{}: {what}{more}", first.name).replace('|', "/");
    }
    let least = all.iter().filter_map(|(checked, _)| Some((checked.left?, &checked.name))).min();
    match least {
        Some((left, name)) => format!(
            "{} well, the first to end is {name} in {}",
            if all.len() == 1 { "1 certificate is".to_owned() } else { format!("{} certificates are", all.len()) },
            words::duration(left)
        ),
        None => "no certificates".to_owned(),
    }
}

/// `label=value;warning;critical;least;most`; a range of `N:` alerts below N.
fn performance(all: &[(Checked, &Summary)]) -> Vec<String> {
    let seconds = |length: Option<TimeDelta>| length.map(|length| length.num_seconds());
    let below = |length: Option<TimeDelta>| seconds(length).map(|count| format!("{count}:")).unwrap_or_default();
    let with = |level: CheckLevel| all.iter().filter(|(checked, _)| checked.level == level).count();
    let mut data = vec![
        format!("certificates={};;;0", all.len()),
        format!("warning={};;;0", with(CheckLevel::Warning)),
        format!("critical={};;;0", with(CheckLevel::Critical)),
    ];
    data.extend(
        all.iter()
            .filter_map(|(checked, _)| checked.left)
            .min()
            .map(|left| format!("least_left={}s", left.num_seconds())),
    );
    if all.len() <= MOST_SINGLE {
        data.extend(all.iter().filter_map(|(checked, _)| {
            // A quote or an equals sign would end the label.
            let label: String =
                checked.name.chars().filter(|one| !one.is_whitespace() && !matches!(one, '\'' | '=' | '|')).collect();
            let (warning, critical) = (below(checked.warning_below), below(checked.critical_below));
            let most = seconds(checked.lifetime).map(|count| count.to_string()).unwrap_or_default();
            Some(format!("'{label}_left'={}s;{warning};{critical};;{most}", seconds(checked.left)?))
        }));
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(name: &str, reason: &str) -> Summary {
        Summary::of_broken(name, reason, false, None, DateTime::UNIX_EPOCH)
    }

    #[test]
    fn one_line_says_the_worst_and_the_others_what_to_do() {
        let summaries = [broken("a.example", "its key is | another's"), broken("b.example", "gone")];
        let all: Vec<_> = summaries.iter().map(|one| (certkit_core::check(one, DateTime::UNIX_EPOCH), one)).collect();
        let text = text(CheckLevel::Critical, &all);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "CERTKIT CRITICAL - a.example: this certificate cannot be used or renewed as it stands: its key is / another's (and 1 certificate more) | certificates=2;;;0 warning=0;;;0 critical=2;;;0"
        );
        assert_eq!(lines.len(), 3);
        assert!(
            lines[1].starts_with("CRITICAL a.example: ")
                && lines[1].contains("What to do: ")
                && !lines[1].contains('|')
        );
        assert!(lines[1].contains("--cert-name a.example"), "{}", lines[1]);
    }

    #[test]
    fn without_certificates_all_is_well() {
        let text = text(CheckLevel::Ok, &[]);
        assert_eq!(text, "CERTKIT OK - no certificates | certificates=0;;;0 warning=0;;;0 critical=0;;;0\n");
    }

    #[test]
    fn what_cannot_be_told_is_one_line() {
        let error = CommandError::usage("`a\nb|c` is wrong").with_cure("leave it out");
        assert_eq!(
            failure(CheckLevel::Unknown, &error),
            "CERTKIT UNKNOWN - `a b/c` is wrong. What to do: leave it out.\n"
        );
    }
}
