//! The async runtime of commands that talk to a CA, and the signals that end or wake them.

use std::future::Future;
use std::sync::Arc;

use certkit_acme::{Stop, StopReason, Wake};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::CommandError;

/// What SIGHUP means.
enum Hangup {
    /// The terminal is gone: the run ends as by SIGTERM.
    Stops,
    /// As to other daemons: look again.
    Wakes(Arc<Wake>),
}

/// Runs a command's future. SIGINT, SIGTERM and SIGHUP ask it to stop, and it cleans up; a second SIGINT ends the process.
pub(crate) fn block_on<T, F>(work: impl FnOnce(Stop) -> F) -> Result<T, CommandError>
where
    F: Future<Output = Result<T, CommandError>>,
{
    block_on_hearing(Hangup::Stops, work)
}

/// Runs a future that goes on until it is asked to stop: the same, but SIGHUP wakes it.
pub(crate) fn block_on_daemon<T, F>(wake: &Arc<Wake>, work: impl FnOnce(Stop) -> F) -> Result<T, CommandError>
where
    F: Future<Output = Result<T, CommandError>>,
{
    block_on_hearing(Hangup::Wakes(Arc::clone(wake)), work)
}

fn block_on_hearing<T, F>(hangup: Hangup, work: impl FnOnce(Stop) -> F) -> Result<T, CommandError>
where
    F: Future<Output = Result<T, CommandError>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|problem| CommandError::failed(format!("cannot start: {problem}")))?;
    let stop = Stop::new();
    let result = runtime.block_on(async {
        // Heard from now on, and not only once the task gets its turn: whoever is told that we are ready may signal at once.
        if let Some(signals) = Signals::listen(&hangup) {
            tokio::spawn(signals.watch(stop.clone(), hangup));
        }
        work(stop.clone()).await
    });
    // A thread that waits for an answer on the terminal must not keep the process.
    runtime.shutdown_background();
    result
}

/// Runs a few exchanges with a CA, which a signal may simply cut short.
pub(crate) fn ask<T>(exchanges: impl Future<Output = Result<T, CommandError>>) -> Result<T, CommandError> {
    block_on(|stop| async move {
        tokio::select! {
            answer = exchanges => answer,
            reason = stop.stopped() => Err(CommandError::stopped(reason)),
        }
    })
}

struct Signals {
    interrupts: Signal,
    terminations: Signal,
    hangups: Option<Signal>,
}

impl Signals {
    fn listen(hangup: &Hangup) -> Option<Self> {
        // Whoever started a run with nohup wants it to outlive the terminal; what only wakes does outlive it.
        let ignored = matches!(hangup, Hangup::Stops) && hangup_is_ignored();
        Some(Self {
            interrupts: signal(SignalKind::interrupt()).ok()?,
            terminations: signal(SignalKind::terminate()).ok()?,
            hangups: if ignored { None } else { signal(SignalKind::hangup()).ok() },
        })
    }

    async fn watch(mut self, stop: Stop, hangup: Hangup) {
        loop {
            tokio::select! {
                Some(()) = self.interrupts.recv() => {
                    if stop.reason() == Some(StopReason::Interrupt) {
                        std::process::exit(130);
                    }
                    stop.stop(StopReason::Interrupt);
                }
                Some(()) = self.terminations.recv() => stop.stop(StopReason::Terminate),
                Some(()) = next(&mut self.hangups) => match &hangup {
                    Hangup::Stops => stop.stop(StopReason::Hangup),
                    Hangup::Wakes(wake) => wake.wake(),
                },
                else => return,
            }
        }
    }
}

async fn next(signals: &mut Option<Signal>) -> Option<()> {
    match signals {
        Some(signals) => signals.recv().await,
        None => std::future::pending().await,
    }
}

/// Whether the process was started with SIGHUP ignored. Where /proc does not tell, it was not.
fn hangup_is_ignored() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| is_in_mask(&status, 1))
}

/// Signal `n` is bit `n - 1` of the hexadecimal mask.
fn is_in_mask(status: &str, number: u32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    number.checked_sub(1).and_then(|bit| mask.checked_shr(bit)).is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        let status = |mask: &str| format!("Name:\tcertkit\nSigBlk:\tffffffffffffffff\nSigIgn:\t{mask}\n");
        assert!(is_in_mask(&status("0000000000001001"), 1));
        assert!(!is_in_mask(&status("0000000000001000"), 1));
        assert!(is_in_mask(&status("0000000000001000"), 13));
        assert!(!is_in_mask(&status("nonsense"), 1) && !is_in_mask("", 1) && !is_in_mask(&status("1"), 0));
    }
}
