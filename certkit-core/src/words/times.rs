//! Instants and durations.

use chrono::{DateTime, TimeDelta, Utc};

/// A time for people: `2026-11-23 19:33:48 UTC`.
pub fn time(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// A time for people, where seconds do not matter: `2026-11-23 19:33 UTC`.
pub fn minute(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M UTC").to_string()
}

/// A date for people and in certbot's summary: `2026-11-23`.
pub fn date(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d").to_string()
}

/// A duration as exactly as somebody needs it who has to act: days, hours below two days, minutes below two hours. Of a
/// negative one, its length.
pub fn length(delta: TimeDelta) -> String {
    let delta = delta.abs();
    let (days, hours, minutes) = (delta.num_days(), delta.num_hours(), delta.num_minutes());
    match (days, hours, minutes) {
        (2.., _, _) => format!("{days} days"),
        (_, 2.., _) => format!("{hours} hours"),
        (_, _, 1) => "1 minute".to_owned(),
        _ => format!("{minutes} minutes"),
    }
}

/// `48 days`, `1 day`, `5 hours`, `less than an hour`; of a negative duration, its length.
pub fn duration(delta: TimeDelta) -> String {
    let delta = delta.abs();
    let count = |number: i64, unit: &str| format!("{number} {unit}{}", if number == 1 { "" } else { "s" });
    match (delta.num_days(), delta.num_hours()) {
        (days @ 1.., _) => count(days, "day"),
        (_, hours @ 1..) => count(hours, "hour"),
        _ => "less than an hour".to_owned(),
    }
}

/// How long until an instant, or since when: `in 20 days`, `5 hours ago`.
pub fn from_now(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let length = duration(at - now);
    if at >= now { format!("in {length}") } else { format!("{length} ago") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration(TimeDelta::days(48)), "48 days");
        assert_eq!(duration(TimeDelta::hours(-25)), "1 day");
        assert_eq!(duration(TimeDelta::hours(5)), "5 hours");
        assert_eq!(duration(TimeDelta::minutes(5)), "less than an hour");
    }
}
