//! Lineages that somebody changes while they are read.
//!
//! certbot removes each live link before it makes it again, one after the other, and begins a new lineage with an empty
//! conf; certkit has a new version complete before it is live. Who looks in between sees a link missing, a mixed pair or an
//! empty conf where nothing is wrong. So what looks broken is looked at again while another process holds a lock of the
//! store and has changed the lineage since it took it.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use super::StorePaths;
use super::lock;

/// How long one of them is looked at again at most. certbot 5.8 needs some milliseconds for what must not be seen, a hundred
/// times that on a busy machine; whoever is stopped in between leaves it as it is, and then it is told as it is.
const PATIENCE: Duration = Duration::from_secs(2);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// What `look` sees once nobody is changing it any more: again while it is not sound and another process is at work on one
/// of the places that what was seen depends on, and once more afterwards. What was at rest is looked at once.
pub(super) fn settled<T>(
    paths: &StorePaths,
    places: impl Fn(&T) -> Vec<PathBuf>,
    is_sound: impl Fn(&T) -> bool,
    mut look: impl FnMut() -> T,
) -> T {
    // The time that passes, not the clock's: that may be set meanwhile.
    let began = Instant::now();
    let mut seen = look();
    while !is_sound(&seen) {
        let changed = last_change(&places(&seen));
        let at_work = lock::held_by_another_since(paths).is_some_and(|since| changed >= since);
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

/// Whether that was after the look began, or shortly before: inodes have the time of the last tick, and whole seconds are
/// compared.
fn is_recent(changed: i64, began: Instant) -> bool {
    let since = SystemTime::now().checked_sub(began.elapsed() + Duration::from_secs(1));
    let since = since.and_then(|since| since.duration_since(SystemTime::UNIX_EPOCH).ok());
    since.is_none_or(|since| i64::try_from(since.as_secs()).map_or(true, |since| changed >= since))
}
