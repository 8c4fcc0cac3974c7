//! Connections that strangers open, bounded in number.

use std::collections::VecDeque;
use std::future::Future;

use tokio::task::{AbortHandle, JoinSet};

/// The connections of a socket. When there are too many, the oldest makes room: a good request is short, an idle
/// connection is old. They end with their value.
pub(crate) struct Connections {
    most: usize,
    tasks: JoinSet<()>,
    by_age: VecDeque<AbortHandle>,
}

impl Connections {
    /// At most so many at once.
    pub(crate) fn at_most(most: usize) -> Self {
        Self { most, tasks: JoinSet::new(), by_age: VecDeque::new() }
    }

    /// Serves one more.
    pub(crate) fn add(&mut self, connection: impl Future<Output = ()> + Send + 'static) {
        while self.tasks.try_join_next().is_some() {}
        self.by_age.retain(|connection| !connection.is_finished());
        while self.by_age.len() >= self.most {
            self.end_oldest();
        }
        self.by_age.push_back(self.tasks.spawn(connection));
    }

    /// Ends the oldest: it may hold what the next one needs.
    pub(crate) fn end_oldest(&mut self) {
        if let Some(oldest) = self.by_age.pop_front() {
            oldest.abort();
        }
    }

    /// Waits until all have ended by themselves.
    pub(crate) async fn served(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}
