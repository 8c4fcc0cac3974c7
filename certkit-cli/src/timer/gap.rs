//! How long it takes from one run of a line for cron to the next, at most.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike as _, TimeDelta, Utc};

use super::{Facts, Rival};

/// A line that never runs is no renewer; two of the longest months and a leap day are looked at, many times.
const DAYS: i64 = 800;

/// What cron starts here, in words, with the longest time from one run to the next. What cannot be read is left out.
pub(crate) fn runs(facts: &Facts) -> Vec<(String, TimeDelta)> {
    let mut all = Vec::new();
    for rival in &facts.rivals {
        match rival {
            Rival::Cron { lines, .. } | Rival::Crontab { lines, .. } => {
                let gaps = lines.iter().filter_map(|line| longest_gap(line)).min();
                all.extend(gaps.map(|gap| (format!("the line for cron in {}", rival.describe()), gap)));
            }
            Rival::ByHand { path, .. } => {
                let dir = path.parent().and_then(|dir| dir.file_name()).and_then(|name| name.to_str());
                let days = match dir {
                    Some("cron.monthly") => 31,
                    Some("cron.weekly") => 7,
                    Some("cron.daily" | "cron.hourly") => 1,
                    _ => continue,
                };
                all.push((rival.describe(), TimeDelta::days(days)));
            }
            Rival::Timer(_) => {}
        }
    }
    all
}

/// By the days on which the line runs (crontab(5)); less than a day counts as a day. None when it cannot be read.
fn longest_gap(line: &str) -> Option<TimeDelta> {
    let mut words = line.split_whitespace();
    let first = words.next()?;
    if let Some(name) = first.strip_prefix('@') {
        let days = match name {
            "yearly" | "annually" => 366,
            "monthly" => 31,
            "weekly" => 7,
            "daily" | "midnight" | "hourly" => 1,
            _ => return None,
        };
        return Some(TimeDelta::days(days));
    }
    let (_hour, day, month, weekday) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let days = numbers(day, 1, 31, &[])?;
    let months =
        numbers(month, 1, 12, &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"])?;
    // Sunday is 0 and 7.
    let weekdays: BTreeSet<u32> = numbers(weekday, 0, 7, &["sun", "mon", "tue", "wed", "thu", "fri", "sat"])?
        .into_iter()
        .map(|day| day % 7)
        .collect();
    let begin = DateTime::<Utc>::UNIX_EPOCH.date_naive();
    let (mut last, mut longest) = (None, None);
    for offset in 0..DAYS {
        let date = begin.checked_add_signed(TimeDelta::days(offset))?;
        let (by_day, by_weekday) =
            (days.contains(&date.day()), weekdays.contains(&date.weekday().num_days_from_sunday()));
        // Where both are restricted, either will do.
        let is_day = match (day.starts_with('*'), weekday.starts_with('*')) {
            (false, false) => by_day || by_weekday,
            _ => by_day && by_weekday,
        };
        if is_day && months.contains(&date.month()) {
            if let Some(last) = last {
                longest = longest.max(Some(offset - last));
            }
            last = Some(offset);
        }
    }
    longest.map(TimeDelta::days)
}

/// The numbers of a field: `*`, `*/2`, `1-5`, `1,15`, names.
fn numbers(field: &str, least: u32, most: u32, names: &[&str]) -> Option<BTreeSet<u32>> {
    let number = |text: &str| {
        let by_name = names.iter().position(|name| text.eq_ignore_ascii_case(name));
        let by_name = by_name.and_then(|place| u32::try_from(place).ok()).map(|place| place + least);
        by_name.or_else(|| text.parse().ok()).filter(|number| (least..=most).contains(number))
    };
    let mut all = BTreeSet::new();
    for part in field.split(',') {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let step: usize = step.parse().ok().filter(|step| *step > 0)?;
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (least, most),
            Some((from, to)) => (number(from)?, number(to)?),
            // `5/10` goes on to the end.
            None if part.contains('/') => (number(range)?, most),
            None => (number(range)?, number(range)?),
        };
        all.extend((from..=to).step_by(step));
    }
    (!all.is_empty()).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_as_rare_as_the_days_on_which_it_runs() {
        let cases = [
            ("17 */6 * * * root certkit renew", Some(1)),
            ("0 3 * * 1 root certbot renew", Some(7)),
            ("0 3 * * mon,thu certbot renew", Some(4)),
            ("0 3 1 * * certbot renew", Some(31)),
            ("0 3 1,15 * * certbot renew", Some(17)),
            ("0 3 1 */2 * certbot renew", Some(62)),
            ("0 3 */10 * * certbot renew", Some(10)),
            ("0 3 1 * 0 certbot renew", Some(7)),
            ("0 3 * * 7 certbot renew", Some(7)),
            ("@monthly certbot renew", Some(31)),
            ("@weekly root certbot renew", Some(7)),
            ("@reboot certbot renew", None),
            ("0 3 30 2 * certbot renew", None),
            ("0 3 x * * certbot renew", None),
            ("0 3 */0 * * certbot renew", None),
            ("0 3", None),
            ("", None),
        ];
        for (line, days) in cases {
            assert_eq!(longest_gap(line).map(|gap| gap.num_days()), days, "{line}");
        }
    }

    #[test]
    fn a_script_is_as_rare_as_its_folder() {
        let by_hand = |path: &str| Rival::ByHand { path: path.into(), lines: Vec::new() };
        let facts = Facts {
            rivals: vec![
                by_hand("/etc/cron.monthly/certs"),
                by_hand("/opt/certs"),
                Rival::Crontab { content: String::new(), lines: vec!["0 3 * * 1 certbot renew".into()] },
                Rival::Timer("certbot.timer".into()),
            ],
            ..Facts::default()
        };
        let runs = runs(&facts);
        let expected = [("/etc/cron.monthly/certs", 31), ("the line for cron in your crontab", 7)];
        assert_eq!(runs, expected.map(|(what, days)| (what.to_owned(), TimeDelta::days(days))));
    }
}
