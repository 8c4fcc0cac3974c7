//! The service manager (sd_notify(3)): that we are ready, what we are doing, that we are alive. Without one nothing is sent.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use sd_notify::NotifyState;

/// So much may wait to be said; what comes on top is not worth waiting for.
const OUTBOX: usize = 16;
/// A manager that does not listen cannot keep us from ending for longer than this.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Tells the service manager that started us. Its socket takes a few messages and then blocks, and a manager that hangs
/// must not keep certificates from being renewed: a thread of its own does the talking.
#[derive(Clone, Debug)]
pub(crate) struct ServiceManager {
    outbox: SyncSender<News>,
}

#[derive(Debug)]
enum News {
    Ready,
    Status(String),
    Alive,
    /// The last word, with whom to tell that it is said.
    Stopping(Sender<()>),
}

impl ServiceManager {
    /// Whoever the environment names.
    pub(crate) fn from_env() -> Self {
        let (outbox, inbox) = sync_channel(OUTBOX);
        // Without the thread nobody is told, and everything else goes on.
        let _ = std::thread::Builder::new().name("service-manager".to_owned()).spawn(move || tell_all(&inbox));
        Self { outbox }
    }

    /// Signals are heard, and work begins.
    pub(crate) fn ready(&self) {
        let _ = self.outbox.try_send(News::Ready);
    }

    /// What `systemctl status` shows.
    pub(crate) fn status(&self, text: &str) {
        let _ = self.outbox.try_send(News::Status(text.to_owned()));
    }

    /// We are about to end.
    pub(crate) fn stopping(&self) {
        let (said, is_said) = channel();
        if self.outbox.try_send(News::Stopping(said)).is_ok() {
            let _ = is_said.recv_timeout(LAST_WORD);
        }
    }

    /// Says that we are alive for as long as it is polled, twice as often as is asked for. On the runtime that does the
    /// work, so that one that hangs says nothing.
    pub(crate) async fn keep_alive(self) {
        let Some(pause) = sd_notify::watchdog_enabled().and_then(pause_between) else { return };
        let mut beats = tokio::time::interval(pause);
        beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            let _ = self.outbox.try_send(News::Alive);
        }
    }
}

fn tell_all(inbox: &Receiver<News>) {
    for news in inbox {
        let _ = match &news {
            News::Ready => sd_notify::notify(&[NotifyState::Ready]),
            News::Status(text) => sd_notify::notify(&[NotifyState::Status(text)]),
            News::Alive => sd_notify::notify(&[NotifyState::Watchdog]),
            News::Stopping(_) => sd_notify::notify(&[NotifyState::Stopping, NotifyState::Status("stopping")]),
        };
        if let News::Stopping(said) = news {
            let _ = said.send(());
        }
    }
}

/// Half of what the manager waits; none where it waits for nothing at all.
fn pause_between(patience: Duration) -> Option<Duration> {
    Some(patience / 2).filter(|pause| !pause.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_are_alive_twice_as_often_as_is_asked_for() {
        assert_eq!(pause_between(Duration::from_secs(30)), Some(Duration::from_secs(15)));
        assert_eq!(pause_between(Duration::ZERO), None);
        assert_eq!(pause_between(Duration::from_nanos(1)), None);
    }

    #[test]
    fn nobody_waits_for_a_manager_that_does_not_listen() {
        // The inbox is there and nobody reads it.
        let (outbox, _inbox) = sync_channel(1);
        let manager = ServiceManager { outbox };
        manager.ready();
        manager.status("renewing");
        manager.stopping();
    }
}
