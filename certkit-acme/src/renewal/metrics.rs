//! What Prometheus is told, and the file that its node_exporter reads.

use std::path::Path;

use certkit_core::decision::Cadence;
use certkit_core::metrics::{MachineMetrics, MetricsDetail, SettingsHealth, render};
use certkit_core::settings::Settings;
use certkit_core::{Finding, FindingCode, escape};

use super::inventory::KnownStates;
use super::survey::{Keeping, survey};
use super::{Renewer, Request, RunError};
use crate::blocking::blocking;
use crate::daemon::LONGEST_SLEEP;
use crate::deploy::replace_readable_file;

impl Renewer {
    /// What is known of all certificates, in Prometheus' text format. Reads the store; asks nobody; takes no lock. `cadence`
    /// is how often runs come, when the caller knows; `known` adds what only the caller knows of the machine. Settings
    /// that cannot be used hide no certificate: the defaults apply then.
    pub async fn metrics(
        &self,
        cadence: Option<Cadence>,
        known: impl FnOnce(&mut MachineMetrics) + Send,
    ) -> Result<String, RunError> {
        let (settings, health) = match self.effective_settings().await {
            Ok(settings) => (settings, SettingsHealth::Usable),
            Err(RunError::Settings(_)) => (Settings::default(), SettingsHealth::Unusable),
            Err(error) => return Err(error),
        };
        let (store, now) = (self.store().clone(), self.clock().now());
        let mut request = Request::renew();
        request.cadence = cadence;
        let detail = match settings.metrics_per_certificate.value {
            true => MetricsDetail::EveryCertificate,
            false => MetricsDetail::TotalsOnly,
        };
        let survey =
            blocking(move || survey(&store, &request, &settings, now, Keeping::Certificates, &KnownStates::default()))
                .await?;
        let cadence = survey.outlook.cadence;
        // Whoever wakes at exact instants sleeps for hours when there is none.
        let interval = if cadence.exact { LONGEST_SLEEP } else { cadence.interval };
        let mut machine = MachineMetrics::new(env!("CARGO_PKG_VERSION"), interval);
        let ledger = &survey.outlook.ledger;
        machine.last_run = ledger.last_run().cloned();
        machine.last_success = ledger.last_success();
        machine.runs = ledger.ended_runs();
        machine.settings = health;
        let remembered = self.remembering(None).read().await;
        // What cannot be read is not known to be nothing.
        let is_known = remembered.error.is_none() && remembered.findings.is_empty();
        machine.notices_pending = is_known.then(|| remembered.told.deliveries.pending());
        known(&mut machine);
        Ok(blocking(move || render(&survey.summaries, &machine, detail, survey.now)).await)
    }

    /// Writes the file of `metrics_textfile`, where one is set. That it could not be written is told; it fails nothing.
    pub(super) async fn write_textfile(&self, settings: &Settings, request: &Request) -> Option<Finding> {
        let path = settings.metrics_textfile.value.clone()?;
        if request.mode != super::Mode::Real {
            return None;
        }
        let told = |why: String| Finding::new(FindingCode::MetricsNotWritten, path.to_string_lossy(), why);
        let text = match self.metrics(request.cadence, |_| {}).await {
            Ok(text) => text,
            Err(error) => return Some(told(error.to_string())),
        };
        let to = path.clone();
        blocking(move || write(&to, text)).await.err().map(told)
    }
}

fn write(path: &Path, text: String) -> Result<(), String> {
    replace_readable_file(path, text.into_bytes()).map_err(|error| escape(&error).into_owned())
}
