//! Lineages that somebody changes while they are read.
//!
//! certbot removes each live link before it makes it again, one after the other, and begins a new lineage with an empty
//! conf; certkit has a new version complete before it is live. Who looks in between sees a link missing, a mixed pair or an
//! empty conf where nothing is wrong. So what looks broken is looked at again while somebody else holds a lock of the store
//! and has just changed the lineage.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use super::lock;
use super::shared::Shared;

/// How long one of them is looked at again at most, and how long after its last change: what is broken for longer is told
/// as it is. So many that broke together are waited for together. certbot 5.8 needs some milliseconds for what must not be
/// seen, a hundred times that on a busy machine; whoever is stopped in between leaves it as it is.
const PATIENCE: Duration = Duration::from_secs(2);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// What `look` sees once nobody is changing it any more: again while it is not sound and somebody else is at work on one
/// of the places that what was seen depends on, and once more afterwards. What was at rest is looked at once.
pub(super) fn settled<T>(
    shared: &Shared,
    places: impl Fn(&T) -> Vec<PathBuf>,
    is_sound: impl Fn(&T) -> bool,
    mut look: impl FnMut() -> T,
) -> T {
    // The time that passes, not the clock's: that may be set meanwhile.
    let began = Instant::now();
    let mut seen = look();
    while !is_sound(&seen) {
        let changed = last_change(&places(&seen));
        let at_work = is_fresh(changed) && lock::held_by_another_since(shared).is_some_and(|since| changed >= since);
        if at_work {
            std::thread::sleep(PAUSE);
        } else if !is_recent(changed, began) {
            break;
        }
        // Whoever was at work may have ended between the look and the question.
        seen = look();
        if !at_work || began.elapsed() > PATIENCE {
            break;
        }
    }
    seen
}

/// When one of the places was changed last, in seconds since 1970, by the time of the inode, which nobody can set. Of
/// one that is not there it is the folder that it was removed from, so that what has been gone for long is at rest.
fn last_change(places: &[PathBuf]) -> i64 {
    let changed = |place: &PathBuf| place.ancestors().find_map(|path| path.symlink_metadata().ok());
    places.iter().filter_map(changed).map(|metadata| metadata.ctime()).max().unwrap_or(i64::MIN)
}

/// Whether that was so short a time ago that who is at work may not be done with it. A change that is still to come was
/// made before the clock was set back.
fn is_fresh(changed: i64) -> bool {
    seconds(SystemTime::now()).is_none_or(|now| now.abs_diff(changed) <= PATIENCE.as_secs())
}

/// Whether that was after the look began, or shortly before: inodes have the time of the last tick, and whole seconds are
/// compared.
fn is_recent(changed: i64, began: Instant) -> bool {
    let since = SystemTime::now().checked_sub(began.elapsed() + Duration::from_secs(1));
    since.and_then(seconds).is_none_or(|since| changed >= since)
}

/// Since 1970; none before, and for a time that no inode can have.
fn seconds(time: SystemTime) -> Option<i64> {
    i64::try_from(time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_fresh_for_some_seconds_and_never_by_a_clock_that_was_set_back() {
        let now = seconds(SystemTime::now()).unwrap();
        assert!(is_fresh(now) && is_fresh(now - 1));
        for rested in [now - 4, now - 86_400, i64::MIN, now + 60, now + 31_536_000, i64::MAX] {
            assert!(!is_fresh(rested), "{}", rested.saturating_sub(now));
        }
    }
}
