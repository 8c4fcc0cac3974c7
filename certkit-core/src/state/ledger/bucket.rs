//! One bucket of a limit, as the generic cell rate algorithm keeps it: a single instant.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::decision::limits::Limit;

/// When the bucket will be full again. Let's Encrypt counts in the same way (its limits are such buckets, 2026-08).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Bucket {
    full_at: DateTime<Utc>,
}

impl Bucket {
    /// Takes one at `at`, even when there is none.
    pub(super) fn take(&mut self, limit: &Limit, at: DateTime<Utc>) {
        let from = self.full_at.max(at);
        let filled = from.checked_add_signed(refill(limit)).unwrap_or(from);
        // A clock that was far ahead for a while must not close the bucket for longer than a window.
        let latest = at.checked_add_signed(limit.window() + refill(limit)).unwrap_or(filled).max(at);
        self.full_at = if from > at { filled.min(latest) } else { filled };
    }

    /// From when on there is one; `now` or earlier when there is one already.
    pub(super) fn next_free(&self, limit: &Limit, now: DateTime<Utc>) -> DateTime<Utc> {
        let needed = limit.window() - refill(limit);
        self.full_at.checked_sub_signed(needed).unwrap_or(now)
    }

    /// No bucket needs longer than its window to be filled: this one was noted by a clock that was ahead. How much there is
    /// nobody knows, so it is taken for empty.
    pub(super) fn put_right(&mut self, limit: &Limit, now: DateTime<Utc>) {
        if self.full_at - now > limit.window() + refill(limit) {
            self.full_at = now.checked_add_signed(limit.window()).unwrap_or(now);
        }
    }

    /// How many there are.
    pub(super) fn left(&self, limit: &Limit, now: DateTime<Utc>) -> u32 {
        let missing = (self.full_at - now).max(TimeDelta::zero()).num_milliseconds();
        let each = refill(limit).num_milliseconds().max(1);
        let missing = u32::try_from(missing.saturating_add(each - 1) / each).unwrap_or(u32::MAX);
        limit.count.saturating_sub(missing)
    }

    pub(super) fn is_full(&self, now: DateTime<Utc>) -> bool {
        self.full_at <= now
    }
}

/// The time in which one comes back.
fn refill(limit: &Limit) -> TimeDelta {
    limit.window() / i32::try_from(limit.count.max(1)).unwrap_or(i32::MAX)
}
