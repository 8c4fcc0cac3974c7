//! The fold: state and event in, state out.

use chrono::{DateTime, Utc};

use super::{Event, LineageState, PendingDeploy, RememberedFailure, Stage};
use crate::Failure;

impl LineageState {
    /// Takes an event that happened at `at` into account.
    pub fn apply(&mut self, event: &Event, at: DateTime<Utc>) {
        match event {
            Event::FirstSeen { version } | Event::ChangedElsewhere { version } => {
                self.deployed_version = Some(*version);
                self.deploy_pending.clear();
                if matches!(self.stage, Stage::Committed { .. }) {
                    self.stage = Stage::Idle;
                }
            }
            Event::OrderPlaced { order_url } | Event::OrderResumed { order_url } => {
                self.stage = Stage::Ordered { order_url: order_url.clone(), since: at };
            }
            Event::OrderDropped { .. } => self.stage = Stage::Idle,
            Event::Finalizing { order_url } => {
                self.stage = Stage::Finalizing { order_url: order_url.clone(), since: at };
            }
            Event::Committed { version, directory, targets, .. } => {
                self.consecutive_failures = 0;
                self.last_failure = None;
                self.last_success = Some(at);
                self.issuer_directory = directory.clone();
                self.deploy_pending = targets
                    .iter()
                    .map(|target| PendingDeploy { target: target.clone(), version: *version, failures: 0 })
                    .collect();
                self.stage = Stage::Committed { version: *version, since: at };
                self.finish_deploy_when_nothing_is_pending();
            }
            Event::SetAside { .. } => {
                self.consecutive_failures = 0;
                self.last_failure = None;
                self.stage = Stage::Idle;
            }
            Event::Deployed { target, version } => {
                self.deploy_pending.retain(|pending| pending.target != *target || pending.version != *version);
                self.finish_deploy_when_nothing_is_pending();
            }
            Event::DeployFailed { target, version, .. } => {
                for pending in &mut self.deploy_pending {
                    if pending.target == *target && pending.version == *version {
                        pending.failures = pending.failures.saturating_add(1);
                    }
                }
            }
            Event::AttemptFailed { failure } => self.remember(failure, at),
            Event::AttemptStarted { .. }
            | Event::Validating { .. }
            | Event::Authorized
            | Event::Issued { .. }
            | Event::DryRunSucceeded
            | Event::Revoked { .. } => {}
        }
    }

    fn remember(&mut self, failure: &Failure, at: DateTime<Utc>) {
        if failure.class.counts_against_the_ca() {
            self.consecutive_failures = self.consecutive_failures.saturating_add(1);
        }
        self.last_failure = Some(RememberedFailure {
            at,
            class: failure.class,
            retry: failure.retry,
            per_identifier: failure
                .per_identifier
                .iter()
                .map(|one| (one.identifier.to_string(), one.problem.kind.clone()))
                .collect(),
        });
    }

    fn finish_deploy_when_nothing_is_pending(&mut self) {
        if !self.deploy_pending.is_empty() {
            return;
        }
        if let Stage::Committed { version, .. } = self.stage {
            self.deployed_version = Some(version);
            self.stage = Stage::Idle;
        }
    }
}
