//! A clock that a test sets, and whose sleeps take no time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use certkit_acme::renewal::{Observer, Renewer};
use certkit_acme::{BoxFuture, Clock};
use chrono::{DateTime, TimeDelta, Utc};

use crate::support::World;

/// Time stands still until it is set or somebody sleeps.
pub(crate) struct TestClock {
    now: Mutex<DateTime<Utc>>,
    jump: Mutex<Option<Jump>>,
    stands_still: AtomicBool,
}

/// The clock is set once while somebody sleeps: at the first instant that is not before `at`, to `to`.
#[derive(Clone, Copy)]
struct Jump {
    at: DateTime<Utc>,
    to: DateTime<Utc>,
}

impl TestClock {
    pub(crate) fn at(now: DateTime<Utc>) -> Arc<Self> {
        Arc::new(Self { now: Mutex::new(now), jump: Mutex::default(), stands_still: AtomicBool::new(false) })
    }

    pub(crate) fn set(&self, now: DateTime<Utc>) {
        *self.time() = now;
    }

    pub(crate) fn advance(&self, by: TimeDelta) {
        *self.time() += by;
    }

    /// Sets the clock to `to` once it has come to `at` in a sleep.
    pub(crate) fn jump(&self, at: DateTime<Utc>, to: DateTime<Utc>) {
        *self.jump.lock().unwrap() = Some(Jump { at, to });
    }

    /// From now on sleeps do not end.
    pub(crate) fn stand_still(&self) {
        self.stands_still.store(true, Ordering::Relaxed);
    }

    fn time(&self) -> MutexGuard<'_, DateTime<Utc>> {
        self.now.lock().unwrap()
    }
}

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        *self.time()
    }

    fn sleep_until(&self, at: DateTime<Utc>) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // Others have their turn, as in a real sleep.
            tokio::task::yield_now().await;
            if self.stands_still.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            let mut now = self.time();
            *now = (*now).max(at);
            let mut jump = self.jump.lock().unwrap();
            if let Some(Jump { to, .. }) = jump.filter(|jump| *now >= jump.at) {
                *now = to;
                *jump = None;
            }
        })
    }
}

impl World {
    /// A renewer by another clock.
    pub(crate) fn renewer_at(&self, clock: &Arc<TestClock>) -> Renewer {
        let observer: Arc<dyn Observer> = Arc::clone(&self.seen) as Arc<dyn Observer>;
        let clock: Arc<dyn Clock> = Arc::clone(clock) as Arc<dyn Clock>;
        Renewer::builder(self.store()).transport(self.transport()).observer(observer).clock(clock).build().unwrap()
    }
}
