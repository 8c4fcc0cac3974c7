//! The service manager (sd_notify(3)): that we are ready, what we are doing, that we are alive. Without one nothing is sent.

use std::time::Duration;

use sd_notify::NotifyState;

/// Tells the service manager that started us, and nobody else: children that answer for us are its business to ignore.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ServiceManager;

impl ServiceManager {
    /// Signals are heard, and work begins.
    pub(crate) fn ready(self) {
        tell(&[NotifyState::Ready]);
    }

    /// What `systemctl status` shows.
    pub(crate) fn status(self, text: &str) {
        tell(&[NotifyState::Status(text)]);
    }

    /// We are about to end.
    pub(crate) fn stopping(self) {
        tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
    }

    /// Says that we are alive for as long as it is polled, twice as often as is asked for. On the runtime that does the
    /// work, so that one that hangs says nothing.
    pub(crate) async fn keep_alive(self) {
        let Some(pause) = sd_notify::watchdog_enabled().and_then(pause_between) else { return };
        let mut beats = tokio::time::interval(pause);
        beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            tell(&[NotifyState::Watchdog]);
        }
    }
}

/// Half of what the manager waits; none where it waits for nothing at all.
fn pause_between(patience: Duration) -> Option<Duration> {
    Some(patience / 2).filter(|pause| !pause.is_zero())
}

/// A manager that cannot be told must not keep certificates from being renewed.
fn tell(state: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(state);
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
}
