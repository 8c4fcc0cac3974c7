//! Asking a run to stop: it cleans up and runs its post hooks before it returns.

use std::sync::Arc;

use tokio::sync::watch;

/// A request to stop that can be cloned, given to a run, and triggered from elsewhere (a signal handler, for example).
#[derive(Clone, Debug)]
pub struct Stop {
    sender: Arc<watch::Sender<Option<StopReason>>>,
}

/// Why a run was asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// SIGINT, or a host program's cancel button.
    Interrupt,
    /// SIGTERM, or a host program that shuts down.
    Terminate,
    /// SIGHUP: the terminal or the connection is gone.
    Hangup,
}

impl Stop {
    /// A request that nobody has made yet.
    pub fn new() -> Self {
        Self { sender: Arc::new(watch::channel(None).0) }
    }

    /// Asks to stop. The first reason stays.
    pub fn stop(&self, reason: StopReason) {
        self.sender.send_if_modified(|current| {
            let first = current.is_none();
            current.get_or_insert(reason);
            first
        });
    }

    /// The reason, when somebody has asked.
    pub fn reason(&self) -> Option<StopReason> {
        *self.sender.borrow()
    }

    /// Resolves when somebody asks to stop.
    pub async fn stopped(&self) -> StopReason {
        let mut receiver = self.sender.subscribe();
        loop {
            if let Some(reason) = *receiver.borrow_and_update() {
                return reason;
            }
            if receiver.changed().await.is_err() {
                // Cannot happen while `self` holds the sender; never resolving is the safe answer.
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}
