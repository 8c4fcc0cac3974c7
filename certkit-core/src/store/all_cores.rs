//! Looking at many lineages on all cores.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::{BrokenLineage, Lineage, Store, StoreError};

/// So many items keep a core busy for longer than it takes to start a thread: a lineage takes some 20 µs, a thread 50.
const WORTH_A_THREAD: usize = 64;

/// A core takes so many items at a time: few enough that none waits long for the last, many enough to keep out of each
/// other's way.
const BLOCK: usize = 16;

impl Store {
    /// What `look` makes of each lineage, in the order of [`Store::lineages`]. All cores read and look where there are
    /// many lineages, so `look` may be called by several threads at once, in any order; the result does not show it. For
    /// one lineage after another on one thread there is [`Store::lineages`].
    pub fn map_lineages<T: Send>(
        &self,
        look: impl Fn(Result<Lineage, BrokenLineage>) -> T + Sync,
    ) -> Result<Vec<T>, StoreError> {
        let lineages = self.lineages()?;
        let looked = map(lineages.names(), |name| lineages.read(name).map(&look));
        Ok(looked.into_iter().flatten().collect())
    }
}

/// What `look` makes of each item, in the order of the items.
pub(super) fn map<I: Sync, T: Send>(items: &[I], look: impl Fn(&I) -> T + Sync) -> Vec<T> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get).min(items.len() / WORTH_A_THREAD);
    if cores < 2 {
        return items.iter().map(look).collect();
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let start = next.fetch_add(BLOCK, Ordering::Relaxed);
            match items.get(start..).unwrap_or_default() {
                [] => return done,
                rest => done.push((start, rest.iter().take(BLOCK).map(&look).collect::<Vec<_>>())),
            }
        }
    };
    let mut done = thread::scope(|scope| {
        // Where the system gives no thread, the others do its work.
        let helpers: Vec<_> =
            (1..cores).filter_map(|_| thread::Builder::new().spawn_scoped(scope, work).ok()).collect();
        let mut done = work();
        for helper in helpers {
            match helper.join() {
                Ok(more) => done.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_unstable_by_key(|(start, _)| *start);
    // At once as large as it becomes: with thousands of items an outgrown copy counts.
    let mut all = Vec::with_capacity(items.len());
    done.into_iter().for_each(|(_, looked)| all.extend(looked));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_kept_whoever_looks_and_nothing_is_looked_at_twice() {
        for count in [0, 1, WORTH_A_THREAD, 2 * WORTH_A_THREAD, 1000, 1001] {
            let items: Vec<usize> = (0..count).collect();
            let looks = AtomicUsize::new(0);
            let doubled = map(&items, |item| {
                looks.fetch_add(1, Ordering::Relaxed);
                2 * item
            });
            assert_eq!(doubled, (0..count).map(|item| 2 * item).collect::<Vec<_>>());
            assert_eq!(looks.into_inner(), count);
        }
    }
}
