//! The rule of the lifetime, and how far a CA's advice may go beyond it.

use chrono::{DateTime, TimeDelta, Utc};

use super::DueReason;
use crate::Validity;

/// Below this lifetime half of it must be left, otherwise a third (Let's Encrypt's integration guide, 2025-06-23;
/// certbot 4.0). In days.
const SHORT_LIFETIME_DAYS: i64 = 10;

/// certbot's rule: from when on a certificate is due without anybody's advice.
pub(crate) fn usual(validity: Validity) -> (DateTime<Utc>, DueReason) {
    let lifetime = validity.lifetime();
    let (left, reason) = if is_short(lifetime) {
        (lifetime / 2, DueReason::HalfOfLifetime)
    } else {
        (lifetime / 3, DueReason::ThirdOfLifetime)
    };
    (before_the_end(validity, left), reason)
}

/// The latest instant that a CA can ask for. Let's Encrypt's windows lie around the usual instant, by a hundredth of the
/// lifetime; one that leaves less than half of the usual time would leave no time for a failure. (certbot waits for a
/// window that begins after the certificate's end.)
pub(super) fn latest_sensible(validity: Validity) -> DateTime<Utc> {
    let lifetime = validity.lifetime();
    before_the_end(validity, if is_short(lifetime) { lifetime / 4 } else { lifetime / 6 })
}

fn is_short(lifetime: TimeDelta) -> bool {
    lifetime < TimeDelta::days(SHORT_LIFETIME_DAYS)
}

fn before_the_end(validity: Validity, left: TimeDelta) -> DateTime<Utc> {
    // Within the lifetime by construction, so the subtraction cannot leave the range of dates.
    validity.not_after.checked_sub_signed(left).unwrap_or(validity.not_before)
}
