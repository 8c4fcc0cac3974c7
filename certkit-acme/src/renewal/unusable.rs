//! What is told when no run can take place because the settings cannot be used: otherwise the only sign of it would be that
//! certificates end.

use std::sync::Arc;

use certkit_core::settings::{Settings, SettingsError};
use certkit_core::{Finding, FindingCode, escape};

use super::inventory::blocking;
use super::{Mode, Renewer, Request, RunError, Selection, Told};
use crate::notify::Beat;

impl Renewer {
    /// Tells it by the channels that can be read in spite of it, and calls the heartbeat's URL for failures. What goes wrong
    /// with it is told to the observer: the run itself has no report.
    pub(super) async fn tell_of_unusable(&self, error: &SettingsError, request: &Request) {
        // Whoever tries something, or asks for a certificate, sees it.
        if request.mode != Mode::Real || matches!(request.selection, Selection::Obtain { .. }) {
            return;
        }
        let settings = self.settings_for_telling().await;
        let what = escape(&error.to_string()).into_owned();
        if let Err(why) = self.beat(&settings, request, Beat::Failure(what)).await {
            self.observer.finding(&Finding::new(FindingCode::HeartbeatFailed, "heartbeat", why));
        }
        // Without anybody to tell, nothing is written either.
        if settings.channels().is_empty() {
            return;
        }
        let findings = match self.tell_unusable(&settings, error).await {
            Ok(told) => told.findings,
            Err(error) => vec![Finding::new(FindingCode::NoticeNotDelivered, "notices", error.to_string())],
        };
        findings.iter().for_each(|finding| self.observer.finding(finding));
    }

    /// The same without the heartbeat.
    async fn tell_unusable(&self, settings: &Settings, error: &SettingsError) -> Result<Told, RunError> {
        let store = self.store.clone();
        let locked = Arc::new(blocking(move || store.lock()).await?);
        self.tell_locked(&locked, settings, Some(error), &Request::renew()).await
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
