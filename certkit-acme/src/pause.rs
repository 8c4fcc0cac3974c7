//! How long to wait after failures of which the CA does not say when they end.

use chrono::{DateTime, TimeDelta, Utc};

/// After the first failure; twice as long after each one.
const FIRST: TimeDelta = TimeDelta::minutes(1);
/// The longest. RFC 9773 section 4.3.3 waits so long after errors that stay for a while.
pub(crate) const LONGEST: TimeDelta = TimeDelta::hours(6);

/// A minute, doubled so many times, at most 6 hours.
pub(crate) fn doubled(times: u32) -> TimeDelta {
    // 2^9 minutes are more than 6 hours.
    let factor = 1 << times.min(9);
    (FIRST * factor).min(LONGEST)
}

/// The instant after the pause, or the end of time.
pub(crate) fn after(now: DateTime<Utc>, pause: TimeDelta) -> DateTime<Utc> {
    now.checked_add_signed(pause).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_doubles_until_six_hours() {
        let minutes = [0, 1, 2, 8, 9, 31, 32, u32::MAX].map(|times| doubled(times).num_minutes());
        assert_eq!(minutes, [1, 2, 4, 256, 360, 360, 360, 360]);
        assert_eq!(after(DateTime::<Utc>::MAX_UTC, LONGEST), DateTime::<Utc>::MAX_UTC);
    }
}
