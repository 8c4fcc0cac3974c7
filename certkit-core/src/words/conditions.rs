//! What is wrong with a certificate, and what to do about it: the same for notices, monitoring, the status and the page.

use chrono::{DateTime, Utc};

use super::{cure_for, minute, shell_word, time};
use crate::state::{DeployTarget, EndpointMemory, PendingDeploy, ServedLeaf, Serving};
use crate::{Condition, FailureClass, FindingCode, Step, Summary, Validity};

/// What is live cannot be used.
pub const DAMAGED: &str = "what is live cannot be used, and is replaced at the next run";

/// Since when its CA has revoked it, as far as that is known.
pub fn revoked(since: Option<DateTime<Utc>>) -> String {
    let since = since.map_or_else(String::new, |at| format!(" on {}", minute(at)));
    format!("the CA revoked it{since}: clients that check refuse it")
}

/// From when on it is valid.
pub fn not_yet_valid(validity: Validity) -> String {
    format!("it is valid only from {} on: this machine's clock may be behind", minute(validity.not_before))
}

/// What has not got the version in use, with how often that failed. `target` says what a target is called: a command may
/// hold a password, and is not for everybody to read.
pub fn deploy_pending(pending: &[PendingDeploy], target: impl Fn(&DeployTarget) -> String) -> String {
    let targets = pending_targets(pending, target);
    format!("the new certificate was not given to everything that has to have it: {targets}")
}

/// The targets of [`deploy_pending`] alone.
pub fn pending_targets(pending: &[PendingDeploy], target: impl Fn(&DeployTarget) -> String) -> String {
    let all: Vec<String> = pending
        .iter()
        .map(|one| {
            let target = target(&one.target);
            match (one.failures, one.failed_at) {
                (0, _) | (_, None) => format!("{target} has not been tried yet"),
                (1, Some(at)) => format!("{target} failed on {}", time(at)),
                (times, Some(at)) => format!("{target} failed {times} times, last on {}", time(at)),
            }
        })
        .collect();
    all.join(", ")
}

/// A line for each address where it counts that serves something else; escaped.
pub fn served_elsewise(served: &[EndpointMemory]) -> Vec<String> {
    let differing = served.iter().filter(|one| one.counts() && one.serving() == Serving::Differs);
    let is_other = |leaf: &ServedLeaf| matches!(leaf, ServedLeaf::Older { .. } | ServedLeaf::Foreign);
    let lines = differing.flat_map(|one| {
        let others = one.answers.iter().filter(move |answer| is_other(&answer.leaf));
        others.map(|answer| answer.words(&one.endpoint, one.compared_with))
    });
    lines.collect()
}

/// What to do about a condition, for this certificate; none where that depends on what failed, or nothing is to be done.
pub fn condition_cure(summary: &Summary, condition: Condition) -> Option<String> {
    let name = shell_word(&summary.name);
    let cure = match condition {
        Condition::Broken | Condition::Settings => match &summary.broken {
            Some(broken) => broken.cure(),
            None => FindingCode::LiveVersionDamaged.cure(),
        },
        Condition::Revoked => FindingCode::CertificateRevoked.cure(),
        Condition::NotYetValid => FailureClass::Clock.cure(),
        Condition::NotServed => FindingCode::NotServed.cure(),
        Condition::DeployPending => FindingCode::DeployPending.cure(),
        // Whatever keeps it from being renewed has its own words.
        Condition::Expired | Condition::Overdue if summary.state().is_none_or(|state| state.last_failure.is_none()) => {
            let never = summary.input().is_some_and(|input| input.wish.never);
            let is_due = summary.entry().is_some_and(|entry| !matches!(entry.step, Step::NotDue { .. }));
            match (never, is_due) {
                (true, _) => NEVER_CURE,
                (false, true) => NOBODY_TRIES_CURE,
                (false, false) => "`certkit plan --cert-name NAME` shows what comes of it",
            }
        }
        _ => return None,
    };
    Some(cure_for(cure, &name))
}

/// For a certificate that its conf keeps from being renewed.
pub const NEVER_CURE: &str = "renew it by hand: certkit renew --cert-name NAME --force-renewal; or, if nothing uses it any more, delete it: certkit delete --cert-name NAME";

/// For a certificate that is due and that no run has tried to renew.
pub const NOBODY_TRIES_CURE: &str = "see whether the timer or cron job is enabled and runs (certkit timer show); then `certkit renew --cert-name NAME` renews it";
