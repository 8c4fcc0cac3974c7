//! What is told when no run can take place because the settings cannot be used: otherwise the only sign of it would be that
//! certificates end.

use std::sync::Arc;

use certkit_core::settings::{Settings, SettingsError};
use certkit_core::store::LockError;
use certkit_core::{Finding, FindingCode};

use super::hindered::is_seen_by_somebody;
use super::to_tell::Hindrance;
use super::{Renewer, Request, RunError, Told};
use crate::blocking::blocking;

impl Renewer {
    /// Tells it by the channels that can be read in spite of it, and calls the heartbeat's URL for failures. What goes wrong
    /// with it is told to the observer: the run itself has no report.
    pub(super) async fn tell_of_unusable(&self, error: &SettingsError, request: &Request) {
        if is_seen_by_somebody(request) {
            return;
        }
        let settings = self.settings_for_telling().await;
        self.beat_failure(&settings, request, error).await;
        // Without anybody to tell, nothing is written either.
        if settings.channels().is_empty() {
            return;
        }
        let findings = match self.tell_locking(&settings, Some(error.clone())).await {
            Ok(told) => told.findings,
            Err(error) => vec![Finding::new(FindingCode::NoticeNotDelivered, "notices", error.to_string())],
        };
        findings.iter().for_each(|finding| self.observer.finding(finding));
    }

    /// Tells everything, whether or not the store can be locked and written. While somebody else works on it that is left
    /// to him.
    pub(super) async fn tell_locking(
        &self,
        settings: &Settings,
        unusable: Option<SettingsError>,
    ) -> Result<Told, RunError> {
        let store = self.store.clone();
        let (locked, trouble) = match blocking(move || store.lock()).await {
            Ok(locked) => (Some(Arc::new(locked)), None),
            Err(LockError::Store(error)) => (None, Some(self.trouble(&error).await)),
            Err(held) => return Err(held.into()),
        };
        let hindrance = Hindrance { settings: unusable, store: trouble };
        self.tell_all(locked, settings, hindrance, &Request::renew(), Default::default()).await
    }

    /// What can be read of `certkit/settings.toml`, with what flags change in it.
    pub(super) async fn settings_for_telling(&self) -> Settings {
        let store = self.store.clone();
        let settings = blocking(move || store.settings_for_telling()).await;
        match &self.settings_overrides {
            Some(overrides) => overrides(settings),
            None => settings,
        }
    }

    /// The settings by which is told, and why they are not all that the owner wrote.
    pub(super) async fn telling_settings(&self) -> Result<(Settings, Option<SettingsError>), RunError> {
        match self.effective_settings().await {
            Ok(settings) => Ok((settings, None)),
            Err(RunError::Settings(error)) => Ok((self.settings_for_telling().await, Some(error))),
            Err(error) => Err(error),
        }
    }
}
