//! certbot's `renew_before_expiry`: a length of time in words.

use chrono::TimeDelta;

/// Reads `30 days`, `2 months 1 week`, `1 year-1 day`, `36 hours` or a bare number of days. A month counts 30 days and
/// a year 365: certbot's parser counts calendar units from now, which differs by a day or two.
pub fn parse_interval(text: &str) -> Result<TimeDelta, IntervalError> {
    let refuse = || IntervalError { text: crate::escape(text).chars().take(100).collect() };
    let text_lower = text.trim().to_ascii_lowercase();
    if let Ok(days) = text_lower.parse::<i64>() {
        return TimeDelta::try_days(days).filter(|interval| *interval >= TimeDelta::zero()).ok_or_else(refuse);
    }
    let mut rest = text_lower.as_str();
    let mut total = TimeDelta::zero();
    let mut parts = 0;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']).trim_start();
        if let Some(after) = rest.strip_prefix("and ") {
            rest = after.trim_start();
        }
        if rest.is_empty() {
            break;
        }
        let negative = rest.starts_with('-');
        rest = rest.trim_start_matches(['+', '-']).trim_start();
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number: i64 = rest[..digits].parse().map_err(|_| refuse())?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let seconds = unit_seconds(&rest[..letters]).ok_or_else(refuse)?;
        rest = &rest[letters..];
        let part = number.checked_mul(seconds).and_then(TimeDelta::try_seconds).ok_or_else(refuse)?;
        let sum = if negative { total.checked_sub(&part) } else { total.checked_add(&part) };
        total = sum.ok_or_else(refuse)?;
        parts += 1;
    }
    if parts == 0 || total < TimeDelta::zero() {
        return Err(refuse());
    }
    Ok(total)
}

/// Why a text is not a length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a length of time; write for example `30 days`")]
pub struct IntervalError {
    text: String,
}

fn unit_seconds(unit: &str) -> Option<i64> {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    Some(match unit {
        "s" | "sec" | "secs" | "second" | "seconds" => 1,
        "m" | "min" | "mins" | "minute" | "minutes" => MINUTE,
        "h" | "hr" | "hrs" | "hour" | "hours" => HOUR,
        "d" | "dy" | "day" | "days" => DAY,
        "w" | "wk" | "week" | "weeks" => 7 * DAY,
        "mth" | "mths" | "month" | "months" => 30 * DAY,
        "y" | "yr" | "yrs" | "year" | "years" => 365 * DAY,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn certbots_examples() {
        for (text, days) in [
            ("30 days", 30),
            ("2 months 1 week", 67),
            ("1 year-1 day", 364),
            ("7", 7),
            ("10days", 10),
            ("1 week, 2 days", 9),
        ] {
            assert_eq!(parse_interval(text).unwrap(), TimeDelta::days(days), "{text}");
        }
        assert_eq!(parse_interval("36 hours").unwrap(), TimeDelta::hours(36));
        for text in ["", "soon", "days", "-3 days", "-1", "3 parsecs", "9223372036854775807 years"] {
            assert!(parse_interval(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,40}") {
            let _ = parse_interval(&text);
        }
    }
}
