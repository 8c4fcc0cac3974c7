//! Lengths of time as settings write them.

use std::time::Duration;

/// Weeks are left out: `7 days` is what people write.
const UNITS: [(u64, &str); 4] = [(86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];

/// `1 hour`, `1 day 12 hours`, `90 seconds` as `1 minute 30 seconds`: whole seconds in words that
/// [`parse_interval`](crate::decision::parse_interval) reads.
pub fn interval_text(length: Duration) -> String {
    let mut rest = length.as_secs();
    let mut parts = Vec::new();
    for (seconds, unit) in UNITS {
        let number = rest / seconds;
        rest %= seconds;
        if number > 0 {
            parts.push(format!("{number} {unit}{}", if number == 1 { "" } else { "s" }));
        }
    }
    if parts.is_empty() { "0 seconds".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decision::parse_interval;

    #[test]
    fn words() {
        for (seconds, text) in
            [(0, "0 seconds"), (1, "1 second"), (90, "1 minute 30 seconds"), (3600, "1 hour"), (604_800, "7 days")]
        {
            assert_eq!(interval_text(Duration::from_secs(seconds)), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(seconds in 0_u64..1 << 40) {
            let length = Duration::from_secs(seconds);
            prop_assert_eq!(parse_interval(&interval_text(length)).unwrap().to_std().unwrap(), length);
        }
    }
}
