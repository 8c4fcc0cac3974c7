//! Time, passed in.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// A boxed future, so that the public traits can be used as trait objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// Now (UTC).
    fn now(&self) -> DateTime<Utc>;

    /// Resolves at `at`, or at once when it is past.
    fn sleep_until(&self, at: DateTime<Utc>) -> BoxFuture<'_, ()>;
}

/// How far this machine's clock is from another, in words: `365 days behind`.
pub(crate) fn off_by(ours_less_theirs: TimeDelta) -> String {
    let direction = if ours_less_theirs > TimeDelta::zero() { "ahead of" } else { "behind" };
    match ours_less_theirs.abs() {
        long if long >= TimeDelta::days(2) => format!("{} days {direction}", long.num_days()),
        long if long >= TimeDelta::hours(2) => format!("{} hours {direction}", long.num_hours()),
        short => format!("{} minutes {direction}", short.num_minutes()),
    }
}

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SystemClock;

impl SystemClock {
    /// The system's clock.
    pub fn new() -> Self {
        Self
    }
}

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        std::time::SystemTime::now().into()
    }

    fn sleep_until(&self, at: DateTime<Utc>) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // The wall clock may jump while we sleep, so the rest is measured anew every minute.
            const LONGEST_NAP: Duration = Duration::from_secs(60);
            while let Ok(rest) = (at - self.now()).to_std() {
                if rest.is_zero() {
                    break;
                }
                tokio::time::sleep(rest.min(LONGEST_NAP)).await;
            }
        })
    }
}
