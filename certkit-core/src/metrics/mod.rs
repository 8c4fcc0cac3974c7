//! Certificates as Prometheus sees them: a text that is the same for the textfile collector and for a scrape.
//!
//! Times are Unix timestamps, which an alert compares with `time()`: what counts down would be wrong until it is written
//! again. What is not known has no series; nothing is told as 0 that is not 0.

mod certificates;

mod exposition;

use chrono::{DateTime, TimeDelta, Utc};

use crate::state::RunMemory;
use crate::{Condition, Summary};
use exposition::{Exposition, Kind};

/// What is known of the machine as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MachineMetrics {
    /// The version of the program that tells it.
    pub version: String,
    /// How the last run of everything that is due ended.
    pub last_run: Option<RunMemory>,
    /// When such a run last ended without any trouble (UTC).
    pub last_success: Option<DateTime<Utc>>,
    /// How many such runs have ended, as far back as the memory goes.
    pub runs: u64,
    /// How often a run comes, at least.
    pub run_interval: TimeDelta,
    /// Whether the owner's settings for all certificates can be used.
    pub settings: SettingsHealth,
    /// When a daemon looks again (UTC); none without a daemon.
    pub next_run: Option<DateTime<Utc>>,
    /// How many notices are due and not delivered; none when that is not known.
    pub notices_pending: Option<u64>,
}

/// Whether settings can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingsHealth {
    /// They can.
    Usable,
    /// A run refuses to work with them.
    Unusable,
}

/// How much is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricsDetail {
    /// A dozen series for each certificate.
    #[default]
    EveryCertificate,
    /// What concerns all certificates together (`metrics_per_certificate = false`).
    TotalsOnly,
}

impl MachineMetrics {
    /// Of a machine of which nothing is known yet.
    pub fn new(version: impl Into<String>, run_interval: TimeDelta) -> Self {
        Self {
            version: version.into(),
            last_run: None,
            last_success: None,
            runs: 0,
            run_interval,
            settings: SettingsHealth::Usable,
            next_run: None,
            notices_pending: None,
        }
    }
}

/// What is known, in Prometheus' text format (version 0.0.4): every family with its help and its type, sorted, no series
/// twice. Outside text stands only in label values, escaped and cut.
pub fn render(summaries: &[Summary], machine: &MachineMetrics, detail: MetricsDetail, now: DateTime<Utc>) -> String {
    let mut text = Exposition::default();
    of_the_machine(&mut text, machine);
    together(&mut text, summaries, now);
    if detail == MetricsDetail::EveryCertificate {
        for summary in summaries {
            certificates::tell(&mut text, summary);
        }
    }
    text.into_text()
}

fn of_the_machine(text: &mut Exposition, machine: &MachineMetrics) {
    text.family("certkit_build_info", Kind::Gauge, "The version of certkit; the value is always 1.")
        .add(&[("version", &machine.version)], 1);
    if let Some(last) = &machine.last_run {
        text.family(
            "certkit_last_run_timestamp_seconds",
            Kind::Gauge,
            "When a run of everything that is due last ended.",
        )
        .add(&[], last.ended.timestamp());
        text.family("certkit_last_run_successful", Kind::Gauge, "Whether all was well in that run (1) or not (0).")
            .add(&[], i64::from(last.successful));
    }
    if let Some(at) = machine.last_success {
        text.family(
            "certkit_last_successful_run_timestamp_seconds",
            Kind::Gauge,
            "When a run of everything that is due last ended with all well.",
        )
        .add(&[], at.timestamp());
    }
    text.family("certkit_runs_total", Kind::Counter, "Runs of everything that is due that have ended.")
        .add(&[], i64::try_from(machine.runs).unwrap_or(i64::MAX));
    text.family("certkit_run_interval_seconds", Kind::Gauge, "The time within which the next run is expected.")
        .add(&[], machine.run_interval.num_seconds());
    text.family(
        "certkit_settings_usable",
        Kind::Gauge,
        "Whether certkit/settings.toml can be used (1) or every run refuses to work (0).",
    )
    .add(&[], i64::from(machine.settings == SettingsHealth::Usable));
    if let Some(at) = machine.next_run {
        text.family("certkit_next_run_timestamp_seconds", Kind::Gauge, "When the daemon looks again.")
            .add(&[], at.timestamp());
    }
    if let Some(pending) = machine.notices_pending {
        text.family("certkit_notices_pending", Kind::Gauge, "Notices that are due and could not be delivered yet.")
            .add(&[], i64::try_from(pending).unwrap_or(i64::MAX));
    }
}

/// What holds of all certificates together: it is there whatever the detail.
fn together(text: &mut Exposition, summaries: &[Summary], now: DateTime<Utc>) {
    let family = text.family(
        "certkit_certificates",
        Kind::Gauge,
        "Certificates by the worst of the conditions that apply; every certificate is counted once.",
    );
    for condition in Condition::ALL {
        let count = summaries.iter().filter(|summary| summary.condition() == condition).count();
        family.add(&[("condition", condition.code())], i64::try_from(count).unwrap_or(i64::MAX));
    }
    let validities = || summaries.iter().filter_map(|summary| summary.validity);
    if let Some(first) = validities().map(|validity| validity.not_after).min() {
        text.family(
            "certkit_earliest_not_after_timestamp_seconds",
            Kind::Gauge,
            "When the first of all certificates ends, or has ended.",
        )
        .add(&[], first.timestamp());
    }
    if let Some(least) = validities().map(|validity| validity.remaining_fraction(now)).min_by(f64::total_cmp) {
        text.family(
            "certkit_least_remaining_lifetime_ratio",
            Kind::Gauge,
            "The smallest part of its lifetime that any certificate had left when this was written, 0 to 1.",
        )
        .add_ratio(&[], least);
    }
}

#[cfg(test)]
mod tests;
