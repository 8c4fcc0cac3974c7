//! What is told when no run can take place because of the store itself: a disk that is full, failing or read-only, rights
//! that are missing, a lock that is never released. Otherwise the only sign of it would be that certificates end.

use std::sync::Arc;

use certkit_core::settings::Settings;
use certkit_core::store::{LockError, StoreError};
use certkit_core::{Finding, FindingCode, Outlook, escape, is_locked_too_long};

use super::to_tell::Hindrance;
use super::{Mode, Renewer, Request, RunError, Selection, Survey};
use crate::blocking::blocking;
use crate::mounts::file_system_of;
use crate::notify::Beat;

impl Renewer {
    /// Tells why a run failed altogether: to the heartbeat, and to the owner where the store is the reason. What goes wrong
    /// with it is told to the observer: the run itself has no report.
    pub(super) async fn tell_of_hindrance(&self, error: &RunError, settings: &Settings, request: &Request) {
        let trouble = match error {
            RunError::Lock(LockError::Held { .. }) => match self.locked_too_long(settings, request).await {
                Some(trouble) => Some(trouble),
                // Another run is at work, and tells how it ends.
                None => return,
            },
            RunError::Store(error) | RunError::Lock(LockError::Store(error)) => Some(self.trouble(error).await),
            _ => None,
        };
        self.beat_failure(settings, request, error).await;
        let Some(trouble) = trouble else { return };
        if is_seen_by_somebody(request) || settings.channels().is_empty() {
            return;
        }
        let store = self.store.clone();
        // The place for the lock file may be there although nothing can be written into it.
        let locked = blocking(move || store.lock()).await.ok().map(Arc::new);
        let hindrance = Hindrance { settings: None, store: Some(trouble.clone()) };
        let findings = match self.tell_all(locked, settings, hindrance, request, Default::default()).await {
            Ok(told) => told.findings,
            Err(error) => vec![Finding::new(FindingCode::NoticeNotDelivered, "notices", error.to_string())],
        };
        // The trouble itself is the run's error.
        findings.iter().filter(|one| **one != trouble).for_each(|finding| self.observer.finding(finding));
    }

    /// Calls the heartbeat's URL for failures, for a run that could not take place.
    pub(super) async fn beat_failure(
        &self,
        settings: &Settings,
        request: &Request,
        error: &(dyn std::error::Error + Sync),
    ) {
        let what = escape(&error.to_string()).into_owned();
        if let Err(why) = self.beat(settings, request, Beat::Failure(what)).await {
            self.observer.finding(&Finding::new(FindingCode::HeartbeatFailed, "heartbeat", why));
        }
    }

    /// An error of the store, as the owner is told of it.
    pub(super) async fn trouble(&self, error: &StoreError) -> Finding {
        let path = error.path.clone();
        let file_system = blocking(move || file_system_of(&path)).await;
        error.finding(self.store.paths(), file_system.as_ref())
    }

    /// The same of a run that is over.
    pub(super) async fn trouble_after_run(&self, error: &StoreError) -> Finding {
        let path = error.path.clone();
        let file_system = blocking(move || file_system_of(&path)).await;
        error.finding_after_run(self.store.paths(), file_system.as_ref())
    }

    /// Who holds the lock, where that is to be told.
    async fn locked_too_long(&self, settings: &Settings, request: &Request) -> Option<Finding> {
        let store = self.store.clone();
        let held = blocking(move || store.lock_holder()).await.ok().flatten()?;
        let survey = self.whatever_can_be_seen(settings, request).await;
        let since = held.since.and_then(|since| chrono::DateTime::from_timestamp(since, 0));
        is_locked_too_long(&survey.summaries, &survey.outlook, since, survey.now)
            .then(|| held.finding(survey.outlook.ledger.last_run().map(|run| run.ended)))
    }

    /// A survey; of a store that cannot be read what was asked of the CAs, if that can be read.
    pub(super) async fn whatever_can_be_seen(&self, settings: &Settings, request: &Request) -> Survey {
        if let Ok(survey) = self.survey_with(&everything(request), settings.clone()).await {
            return survey;
        }
        let store = self.store.clone();
        let (mut ledger, _) = blocking(move || store.ledger()).await.unwrap_or_default();
        let now = self.clock.now();
        ledger.prune(now);
        let cadence = super::planning::cadence(request, settings, &ledger);
        Survey::new(now, Vec::new(), Outlook::new(ledger, cadence))
    }
}

/// Whatever a run was asked for: what is told is about all certificates.
pub(super) fn everything(request: &Request) -> Request {
    let mut everything = Request::renew();
    everything.cadence = request.cadence;
    everything
}

/// Whoever tries something, or asks for a certificate, sees what comes of it.
pub(super) fn is_seen_by_somebody(request: &Request) -> bool {
    request.mode != Mode::Real || matches!(request.selection, Selection::Obtain { .. })
}
