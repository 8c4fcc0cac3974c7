//! The async runtime of commands that talk to a CA, and the signals that end them.

use std::future::Future;

use certkit_acme::{Stop, StopReason};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::CommandError;

/// Runs a command's future. SIGINT, SIGTERM and SIGHUP ask it to stop, and it cleans up; a second SIGINT ends the process.
pub(crate) fn block_on<T, F>(work: impl FnOnce(Stop) -> F) -> Result<T, CommandError>
where
    F: Future<Output = Result<T, CommandError>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|problem| CommandError::failed(format!("cannot start: {problem}")))?;
    let stop = Stop::new();
    let result = runtime.block_on(async {
        tokio::spawn(watch_signals(stop.clone()));
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

async fn watch_signals(stop: Stop) {
    let (Ok(mut interrupts), Ok(mut terminations)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    // Whoever started us with nohup wants us to outlive the terminal.
    let mut hangups = if hangup_is_ignored() { None } else { signal(SignalKind::hangup()).ok() };
    loop {
        tokio::select! {
            Some(()) = interrupts.recv() => {
                if stop.reason() == Some(StopReason::Interrupt) {
                    std::process::exit(130);
                }
                stop.stop(StopReason::Interrupt);
            }
            Some(()) = terminations.recv() => stop.stop(StopReason::Terminate),
            Some(()) = next(&mut hangups) => stop.stop(StopReason::Hangup),
            else => return,
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
