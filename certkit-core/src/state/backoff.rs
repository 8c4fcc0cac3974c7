//! How long to wait after failures.

use chrono::TimeDelta;

/// The pause after this many failures in a row: 1 minute, 10 minutes, 100 minutes, then a day (Let's Encrypt's
/// integration guide, 2025-06-23). Zero failures need no pause. It never shrinks with more failures.
pub fn backoff(consecutive_failures: u32) -> TimeDelta {
    match consecutive_failures {
        0 => TimeDelta::zero(),
        1 => TimeDelta::minutes(1),
        2 => TimeDelta::minutes(10),
        3 => TimeDelta::minutes(100),
        _ => TimeDelta::days(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_shrinks_and_never_overflows() {
        // mod_md CVE-2025-55753: a back-off that overflowed after a month of failures retried without a pause.
        let mut last = TimeDelta::zero();
        for failures in (0..1000).chain([u32::MAX]) {
            let pause = backoff(failures);
            assert!(pause >= last);
            last = pause;
        }
        assert_eq!(last, TimeDelta::days(1));
    }
}
