//! Waiting for a CA: bounded, a little longer each time, and ended at once when the run is to stop.

use std::future::Future;
use std::time::Duration;

use certkit_core::{Failure, FailureClass, Retry};
use chrono::{DateTime, Utc};

use crate::Stop;
use crate::protocol::{Account, AcmeError};

/// The pauses between two looks at an order or authorization: from the first to the longest. The first look needs none.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// A CA that asks for a longer pause than this is looked at again at the next run.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(120);

/// How often a read is repeated when the connection or the CA fails, and the pause before each.
const READ_RETRIES: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(5)];

/// How long something that may have happened at the CA already is waited for after the run was asked to stop, so that
/// its outcome is known and journalled.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// Does `work`, but no longer than `grace` after the run was asked to stop.
pub(crate) async fn heeding<T>(
    stop: &Stop,
    grace: Duration,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let give_up = async {
        stop.stopped().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        biased;
        outcome = work => outcome,
        () = give_up => Err(interrupted()),
    }
}

/// Repeats a read when the connection or the CA fails: nothing is lost by asking again. A CA that names a longer pause
/// is not asked again in this run. The outer error is that of a run that was asked to stop.
pub(crate) async fn patiently<T, F: Future<Output = Result<T, AcmeError>>>(
    account: &Account,
    stop: &Stop,
    mut read: impl FnMut() -> F,
) -> Result<Result<T, AcmeError>, Failure> {
    let work = async {
        for pause in READ_RETRIES {
            match read().await {
                Err(error) if may_mend(&error) && !asks_for_more_than(pause, &error, account) => {
                    tokio::time::sleep(pause).await;
                }
                other => return Ok(other),
            }
        }
        Ok(read().await)
    };
    heeding(stop, Duration::ZERO, work).await
}

/// Whether the same request may succeed a moment later.
pub(crate) fn may_mend(error: &AcmeError) -> bool {
    matches!(
        error,
        AcmeError::Transport(_)
            | AcmeError::NotAcme { status: 500..=599, .. }
            | AcmeError::Refused { status: 500..=599, .. }
    )
}

fn asks_for_more_than(pause: Duration, error: &AcmeError, account: &Account) -> bool {
    error.retry_after().and_then(|at| distance(at, account)).is_some_and(|wait| wait > pause)
}

/// The wait that Retry-After asked for. The transport made an instant of it by its clock, which need not be the system's:
/// the same clock gives the distance back.
fn distance(at: DateTime<Utc>, account: &Account) -> Option<Duration> {
    (at - account.authority().transport().now()).to_std().ok()
}

/// Waits before the next look: as the CA asks within reason, else a little longer each time, and not at all before the
/// first. `looks` were taken already.
pub(crate) async fn pause(
    account: &Account,
    looks: u32,
    retry_after: Option<DateTime<Utc>>,
    stop: &Stop,
) -> Result<(), Failure> {
    let wait = match retry_after.and_then(|at| distance(at, account)) {
        Some(wait) if wait > LONGEST_RETRY_AFTER => {
            return Err(Failure::new(FailureClass::ServerUnavailable, "the CA wants to be asked again later")
                .with_retry(retry_after.map_or(Retry::AfterBackoff, Retry::At)));
        }
        Some(wait) => wait,
        None if looks == 0 => return Ok(()),
        None => (FIRST_PAUSE * 2_u32.saturating_pow((looks - 1).min(9))).min(LONGEST_PAUSE),
    };
    tokio::select! {
        () = tokio::time::sleep(wait) => Ok(()),
        _ = stop.stopped() => Err(interrupted()),
    }
}

/// The failure of a run that was asked to stop.
pub(crate) fn interrupted() -> Failure {
    Failure::new(FailureClass::Interrupted, "the run was asked to stop")
}
