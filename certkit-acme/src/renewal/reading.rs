//! The lineages of a run, read on a thread that waits for whoever takes them.

use certkit_core::Finding;
use certkit_core::state::LineageState;
use certkit_core::store::StoreError;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::RunError;
use super::select::Seen;

/// A lineage as it was found, and what is remembered of it.
pub(super) type Read = (Seen, Result<(LineageState, Option<Finding>), StoreError>);

/// Lineages that are being read.
pub(super) struct Reading {
    read: mpsc::Receiver<Vec<Read>>,
    /// None once it has ended.
    thread: Option<JoinHandle<Result<(), RunError>>>,
}

impl Reading {
    /// Begins with `work`, which gives some at a time; it is told by `false` when nobody takes them any more.
    pub(super) fn begin(
        work: impl FnOnce(&mut dyn FnMut(Vec<Read>) -> bool) -> Result<(), RunError> + Send + 'static,
    ) -> Self {
        // No further ahead than that, for those are held, too.
        let (give, read) = mpsc::channel(1);
        let thread = tokio::task::spawn_blocking(move || work(&mut |some| give.blocking_send(some).is_ok()));
        Self { read, thread: Some(thread) }
    }

    /// The next ones; none at the end. An error is the last.
    pub(super) async fn next(&mut self) -> Option<Result<Vec<Read>, RunError>> {
        if let Some(some) = self.read.recv().await {
            return Some(Ok(some));
        }
        match self.thread.take()?.await {
            Ok(ended) => ended.err().map(Err),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Blocking tasks are not cancelled once they run, and the runtime outlives this future.
                Err(_) => None,
            },
        }
    }
}
