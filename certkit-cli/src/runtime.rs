//! The async runtime of commands that talk to a CA, and the signals that end them.

use std::future::Future;

use certkit_acme::{Stop, StopReason};
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::CommandError;

/// Runs a command's future. SIGINT and SIGTERM ask it to stop, and it cleans up; a second SIGINT ends the process.
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
    loop {
        tokio::select! {
            Some(()) = interrupts.recv() => {
                if stop.reason() == Some(StopReason::Interrupt) {
                    std::process::exit(130);
                }
                stop.stop(StopReason::Interrupt);
            }
            Some(()) = terminations.recv() => stop.stop(StopReason::Terminate),
            else => return,
        }
    }
}
