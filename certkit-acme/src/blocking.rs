//! Work that takes a thread for itself.

/// Runs blocking work on the blocking pool. A panic there is passed on.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Blocking tasks are not cancelled once they run, and the runtime outlives this future.
            Err(_) => std::future::pending().await,
        },
    }
}
