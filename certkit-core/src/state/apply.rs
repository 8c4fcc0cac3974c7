//! The fold: state and event in, state out.

use chrono::{DateTime, Utc};

use super::{
    AuthorityMemory, DeployTarget, EndpointMemory, Event, LineageState, PendingDeploy, RememberedFailure, Stage,
};
use crate::{Failure, IdentifierSet, Version};

impl LineageState {
    /// Takes an event that happened at `at` into account.
    pub fn apply(&mut self, event: &Event, at: DateTime<Utc>) {
        match event {
            Event::FirstSeen { version } | Event::ChangedElsewhere { version } => {
                self.deployed_version = Some(*version);
                self.deploy_pending.clear();
                self.deployed_targets.clear();
                // Whoever made it live, what was known of its predecessor is not about it.
                self.issuer_directory = None;
                self.issued_profile = None;
                self.left_out = IdentifierSet::default();
                self.renewal_information = None;
                self.revocation = None;
                self.served.iter_mut().for_each(EndpointMemory::forget_answers);
                if matches!(self.stage, Stage::Committed { .. }) {
                    self.stage = Stage::Idle;
                }
            }
            Event::OrderPlaced { order_url } | Event::OrderResumed { order_url } => {
                self.stage = Stage::Ordered { order_url: order_url.clone(), since: at };
            }
            Event::OrderDropped { .. } => {
                // What is still to be deployed of the version in use stays so.
                self.stage = match self.deploy_pending.first() {
                    Some(pending) => Stage::Committed { version: pending.version, since: at },
                    None => Stage::Idle,
                };
                self.issued_serial = None;
            }
            Event::Issued { serial, .. } => self.issued_serial = Some(serial.clone()),
            Event::Finalizing { order_url } => {
                self.stage = Stage::Finalizing { order_url: order_url.clone(), since: at };
            }
            Event::Committed { version, directory, targets, profile, left_out, .. } => {
                self.forget_failures();
                self.last_success = Some(at);
                self.issued_serial = None;
                self.issuer_directory.clone_from(directory);
                self.issued_profile.clone_from(profile);
                self.left_out = left_out.clone();
                // What was said about the certificate before is not about this one.
                self.renewal_information = None;
                self.revocation = None;
                self.served.iter_mut().for_each(EndpointMemory::forget_answers);
                self.deployed_targets.clear();
                self.deploy_pending = targets.iter().map(|target| pending(target, *version)).collect();
                self.stage = Stage::Committed { version: *version, since: at };
                self.finish_deploy_when_nothing_is_pending(*version);
            }
            Event::SetAside { .. } => {
                self.forget_failures();
                self.issued_serial = None;
                self.stage = Stage::Idle;
            }
            Event::Deployed { target, version } => {
                let before = self.deploy_pending.len();
                self.deploy_pending.retain(|pending| pending.target != *target || pending.version != *version);
                if target.is_of_settings()
                    && before > self.deploy_pending.len()
                    && !self.deployed_targets.contains(target)
                {
                    self.deployed_targets.push(target.clone());
                }
                if before > self.deploy_pending.len() {
                    self.finish_deploy_when_nothing_is_pending(*version);
                }
            }
            Event::DeployFailed { target, version, .. } => {
                for pending in &mut self.deploy_pending {
                    if pending.target == *target && pending.version == *version {
                        pending.failures = pending.failures.saturating_add(1);
                        pending.failed_at = Some(at);
                    }
                }
            }
            Event::DeployReplanned { version, targets } => {
                let known =
                    |target: &DeployTarget| self.deploy_pending.iter().find(|old| old.target == *target).cloned();
                self.deploy_pending = targets
                    .iter()
                    .map(|target| {
                        known(target)
                            .map_or_else(|| pending(target, *version), |old| PendingDeploy { version: *version, ..old })
                    })
                    .collect();
                self.deployed_targets.retain(|target| !targets.contains(target));
                // A target that was added after everything had been deployed reopens the stage.
                if !self.deploy_pending.is_empty() && self.stage == Stage::Idle {
                    self.stage = Stage::Committed { version: *version, since: at };
                }
                self.finish_deploy_when_nothing_is_pending(*version);
            }
            Event::DeployRepeated { version, targets } => {
                self.redeployed_version = Some(*version);
                for target in targets {
                    match self.deploy_pending.iter_mut().find(|one| one.target == *target) {
                        Some(one) if one.version == *version => {}
                        // Of a version that is not live any more.
                        Some(one) => *one = pending(target, *version),
                        None => self.deploy_pending.push(pending(target, *version)),
                    }
                }
                if matches!(self.stage, Stage::Idle) && !self.deploy_pending.is_empty() {
                    self.stage = Stage::Committed { version: *version, since: at };
                }
            }
            Event::WishRecorded { wish } => {
                self.wish = Some(match self.wish.take() {
                    Some(before) => before.and(wish.clone()),
                    None => wish.clone(),
                });
            }
            Event::WishFulfilled => self.wish = None,
            Event::RenewalInformationRead { information } => self.renewal_information = Some(information.clone()),
            Event::RevocationRead { revocation } => self.revocation = Some(revocation.clone()),
            Event::ServedRead { served } => self.served.clone_from(served),
            Event::AttemptFailed { failure } => self.remember(failure, at),
            Event::AttemptStarted { directory, .. } => {
                self.attempted_directory = Some(directory.clone());
                self.last_attempt = Some(at);
            }
            Event::Validating { .. }
            | Event::Authorized
            | Event::DryRunSucceeded
            | Event::Revoked { .. }
            | Event::Told { .. } => {}
        }
    }

    fn remember(&mut self, failure: &Failure, at: DateTime<Utc>) {
        let asked_the_ca = failure.asked_the_ca();
        if asked_the_ca {
            self.consecutive_failures = self.consecutive_failures.saturating_add(1);
        }
        let remembered = RememberedFailure {
            at,
            class: failure.class,
            retry: failure.retry,
            asked_the_ca,
            directory: self.attempted_directory.clone(),
            per_identifier: failure
                .per_identifier
                .iter()
                .map(|one| (one.identifier.to_string(), one.problem.kind.clone()))
                .collect(),
        };
        if let Some(directory) = &self.attempted_directory {
            let before = self.authorities.iter().position(|memory| memory.directory == *directory);
            let before = before.map(|position| self.authorities.remove(position));
            // What is wrong on this machine says nothing about the CA: what was learned of it stays.
            match before {
                Some(before) if !asked_the_ca => self.authorities.push(before),
                before => {
                    let (failures, since) =
                        before.map_or((0, None), |before| (before.consecutive_failures, before.unavailable_since));
                    let outage = AuthorityMemory::is_outage(failure.class);
                    self.authorities.push(AuthorityMemory {
                        directory: directory.clone(),
                        consecutive_failures: failures.saturating_add(u32::from(asked_the_ca)),
                        last_failure: remembered.clone(),
                        unavailable_since: outage.then(|| since.unwrap_or(at)),
                    });
                }
            }
        }
        self.last_failure = Some(remembered);
    }

    fn forget_failures(&mut self) {
        self.consecutive_failures = 0;
        self.last_failure = None;
        self.authorities.clear();
    }

    fn finish_deploy_when_nothing_is_pending(&mut self, version: Version) {
        if !self.deploy_pending.is_empty() {
            return;
        }
        self.deployed_version = Some(version);
        if matches!(self.stage, Stage::Committed { .. }) {
            self.stage = Stage::Idle;
        }
    }
}

fn pending(target: &DeployTarget, version: Version) -> PendingDeploy {
    PendingDeploy { target: target.clone(), version, failures: 0, failed_at: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::DeployTarget;
    use crate::{AcmeUrl, FailureClass, Version};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
    }

    fn committed(version: u32, targets: Vec<DeployTarget>) -> Event {
        Event::Committed {
            version: Version(version),
            not_after: at(1000),
            directory: None,
            targets,
            profile: None,
            left_out: IdentifierSet::default(),
        }
    }

    fn order_url() -> AcmeUrl {
        AcmeUrl::parse("https://ca.example/order/7").unwrap()
    }

    #[test]
    fn the_stages_of_a_renewal_in_order() {
        let target = DeployTarget::Hook("reload".into());
        let mut state = LineageState::default();
        state.apply(&Event::FirstSeen { version: Version(1) }, at(0));
        assert_eq!(state.deployed_version, Some(Version(1)));
        state.apply(&Event::OrderPlaced { order_url: order_url() }, at(1));
        assert!(matches!(state.stage, Stage::Ordered { .. }));
        state.apply(&Event::Finalizing { order_url: order_url() }, at(2));
        assert!(matches!(state.stage, Stage::Finalizing { .. }));
        state.apply(&Event::Issued { serial: "7a".into(), not_after: at(9) }, at(3));
        assert_eq!(state.issued_serial.as_deref(), Some("7a"));
        state.apply(&committed(2, vec![target.clone()]), at(4));
        assert_eq!((state.issued_serial.as_ref(), state.deployed_version), (None, Some(Version(1))));
        let failure = Failure::new(FailureClass::Hook, "status 1");
        state.apply(&Event::DeployFailed { target: target.clone(), version: Version(2), failure }, at(5));
        assert_eq!(state.deploy_pending[0].failures, 1);
        // A report about another version changes nothing.
        state.apply(&Event::Deployed { target: target.clone(), version: Version(1) }, at(6));
        assert_eq!(state.deploy_pending.len(), 1);
        state.apply(&Event::Deployed { target, version: Version(2) }, at(7));
        assert_eq!((state.stage, state.deployed_version), (Stage::Idle, Some(Version(2))));
    }

    #[test]
    fn what_is_to_be_deployed_stays_so_while_a_later_order_fails() {
        let target = DeployTarget::Hook("reload".into());
        let mut state = LineageState::default();
        state.apply(&committed(5, vec![target.clone()]), at(0));
        let failure = Failure::new(FailureClass::Hook, "status 1");
        state.apply(&Event::DeployFailed { target: target.clone(), version: Version(5), failure }, at(1));
        state.apply(&Event::OrderPlaced { order_url: order_url() }, at(2));
        assert!(state.knows(Version(5)) && state.deploy_retry().is_some());
        state.apply(&Event::OrderDropped { order_url: order_url(), because: "failed".into() }, at(3));
        assert!(matches!(state.stage, Stage::Committed { version: Version(5), .. }));
        state.apply(&Event::Deployed { target, version: Version(5) }, at(4));
        assert_eq!((state.stage, state.deployed_version), (Stage::Idle, Some(Version(5))));
    }

    #[test]
    fn a_version_of_another_tool_has_nothing_of_its_predecessor() {
        let mut state = LineageState::default();
        let mut event = committed(2, Vec::new());
        if let Event::Committed { directory, profile, left_out, .. } = &mut event {
            *directory = Some(AcmeUrl::parse("https://other.example/dir").unwrap());
            *profile = Some("shortlived".into());
            *left_out = ["a.example".parse().unwrap()].into_iter().collect();
        }
        state.apply(&event, at(0));
        state.apply(&Event::ChangedElsewhere { version: Version(3) }, at(1));
        assert_eq!((state.issuer_directory, state.issued_profile, state.left_out.len()), (None, None, 0));
    }

    #[test]
    fn what_ran_once_more_for_a_version_is_remembered_and_pending_until_it_has_worked() {
        let target = DeployTarget::Hook("reload".into());
        let mut state = LineageState::default();
        state.apply(&committed(2, Vec::new()), at(0));
        let repeated = Event::DeployRepeated { version: Version(2), targets: vec![target.clone()] };
        state.apply(&repeated, at(1));
        assert_eq!((state.redeployed_version, state.deploy_pending.len()), (Some(Version(2)), 1));
        assert!(state.knows(Version(2)) && matches!(state.stage, Stage::Committed { .. }));
        state.apply(&Event::Deployed { target, version: Version(2) }, at(2));
        assert_eq!((state.stage.clone(), state.deployed_version), (Stage::Idle, Some(Version(2))));
        // Of the next version it is not.
        state.apply(&committed(3, Vec::new()), at(3));
        assert_ne!(state.redeployed_version, Some(Version(3)));
    }

    #[test]
    fn what_was_served_is_not_about_another_version_but_that_it_was_ours_is_kept() {
        use crate::state::{AddressMemory, EndpointMemory, ServedLeaf, Serving};
        let answer = AddressMemory::new("127.0.0.2:443".parse().unwrap(), ServedLeaf::Same);
        let endpoint = crate::Endpoint::default_of("a.example");
        let looked = EndpointMemory::looked(endpoint, vec![answer], Some(Version(1)), None, at(0));
        let newer = [committed(2, Vec::new()), Event::ChangedElsewhere { version: Version(2) }];
        for event in newer {
            let mut state = LineageState::default();
            state.apply(&Event::ServedRead { served: vec![looked.clone()] }, at(0));
            assert_eq!(Serving::of(&state.served), Serving::Matches);
            state.apply(&event, at(1));
            assert_eq!(Serving::of(&state.served), Serving::Unknown);
            assert!(state.served[0].counts() && state.served[0].look_is_due(at(1)) && state.not_served().is_empty());
        }
    }

    #[test]
    fn nothing_to_deploy_is_deployed() {
        let mut state = LineageState::default();
        state.apply(&committed(1, Vec::new()), at(0));
        assert_eq!((state.stage, state.deployed_version), (Stage::Idle, Some(Version(1))));
    }

    #[test]
    fn success_forgets_failures_and_local_trouble_is_not_counted() {
        let mut state = LineageState::default();
        state.apply(&Event::AttemptFailed { failure: Failure::new(FailureClass::ChallengeFailed, "x") }, at(0));
        state.apply(&Event::AttemptFailed { failure: Failure::new(FailureClass::Store, "disk full") }, at(1));
        assert_eq!(state.consecutive_failures, 1);
        state.apply(&committed(2, Vec::new()), at(2));
        assert_eq!((state.consecutive_failures, state.last_failure), (0, None));
    }

    #[test]
    fn an_account_that_the_ca_refuses_is_held_back_and_one_that_is_missing_here_is_not() {
        for class in [FailureClass::AccountUnknown, FailureClass::TermsOfService] {
            let mut state = LineageState::default();
            state.apply(&Event::AttemptFailed { failure: Failure::new(class, "no account here") }, at(0));
            assert_eq!((state.consecutive_failures, state.held_until(None, None)), (0, None), "{class:?}");
            for times in 1..=2 {
                let failure = Failure::new(class, "refused").with_http_status(403);
                state.apply(&Event::AttemptFailed { failure }, at(0));
                assert_eq!(state.consecutive_failures, times);
                assert_eq!(state.held_until(None, None).unwrap().0, at(0) + crate::state::backoff(times), "{class:?}");
            }
        }
    }

    #[test]
    fn a_lost_order_is_held_back() {
        let mut state = LineageState::default();
        state.apply(&Event::AttemptFailed { failure: Failure::new(FailureClass::OrderLost, "expired") }, at(0));
        assert_eq!(state.consecutive_failures, 1);
        assert_eq!(state.held_until(None, None).unwrap().0, at(60));
    }

    #[test]
    fn a_failure_remembered_without_saying_who_was_asked_counts_as_asked() {
        let text = r#"{"at":"2026-01-01T00:00:00Z","class":"network","retry":"after-backoff","per_identifier":[]}"#;
        assert!(serde_json::from_str::<RememberedFailure>(text).unwrap().asked_the_ca);
    }

    #[test]
    fn stored_state_reads_back_the_same_and_unknown_members_do_not_hurt() {
        let mut state = LineageState::default();
        state.apply(&committed(3, vec![DeployTarget::Installer("nginx".into())]), at(0));
        state.apply(&Event::AttemptFailed { failure: Failure::new(FailureClass::RateLimited, "x") }, at(1));
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<LineageState>(&text).unwrap(), state);
        assert_eq!(serde_json::from_str::<LineageState>(r#"{"from_the_future": 1}"#).unwrap(), LineageState::default());
    }
}
