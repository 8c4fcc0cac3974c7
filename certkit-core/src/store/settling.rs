//! Lineages that somebody changes while they are read.
//!
//! certbot removes each live link before it makes it again, one after the other, and begins a new lineage with an empty
//! conf; certkit has a new version complete before it is live. Who looks in between sees a link missing, a mixed pair or an
//! empty conf where nothing is wrong. So what looks broken is looked at again while another process holds a lock of the
//! store and has changed the lineage since it took it.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::StorePaths;
use super::lock;

/// How long one of them is looked at again at most. certbot 5.8 needs some milliseconds for what must not be seen, a hundred
/// times that on a busy machine; whoever is stopped in between leaves it as it is, and then it is told as it is.
const PATIENCE: Duration = Duration::from_secs(2);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// What `look` sees once nobody is changing it any more: again while it is not sound and another process is at work on one
/// of the places that what was seen depends on, and once more afterwards.
pub(super) fn settled<T>(
    paths: &StorePaths,
    places: impl Fn(&T) -> Vec<PathBuf>,
    is_sound: impl Fn(&T) -> bool,
    mut look: impl FnMut() -> T,
) -> T {
    let mut seen = look();
    // The time that passes, not the clock's: that may be set meanwhile.
    let began = Instant::now();
    while !is_sound(&seen) {
        let at_work = is_at_work(paths, &places(&seen));
        if at_work {
            std::thread::sleep(PAUSE);
        }
        // Whoever was at work may have ended between the look and the question.
        seen = look();
        if !at_work || began.elapsed() > PATIENCE {
            break;
        }
    }
    seen
}

/// Whether another process holds a lock of the store, and one of the places was changed since it took it.
fn is_at_work(paths: &StorePaths, places: &[PathBuf]) -> bool {
    let Some(since) = lock::held_by_another_since(paths) else { return false };
    // By the time of the inode, which nobody can set. What cannot be looked at may be changing.
    places.iter().any(|place| place.symlink_metadata().map_or(true, |metadata| metadata.ctime() >= since))
}
