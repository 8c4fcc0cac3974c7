//! The heartbeat of runs: silence is noticed by whoever waits for it.

use certkit_core::settings::Settings;
use certkit_core::{Finding, FindingCode, escape, words};

use super::{Outcome, Renewer, Report, Request};
use crate::notify::Beat;

impl Renewer {
    /// Calls the heartbeat's URL where there is one and this was a run of everything that is due: whether anything else
    /// is done by hand says nothing about the timer.
    pub(super) async fn beat_after(&self, settings: &Settings, request: &Request, report: &mut Report) {
        let Some(heartbeat) = settings.heartbeat.as_ref().filter(|_| super::run::is_regular(request)) else { return };
        let beat = match report.is_success() {
            false if heartbeat.value.failures => Beat::Failure(what_failed(report)),
            _ => Beat::Success,
        };
        if let Err(why) = self.notifier(settings).beat(&heartbeat.value, &beat).await {
            report.findings.push(Finding::new(FindingCode::HeartbeatFailed, "heartbeat", why));
        }
    }

    /// The same before a run, where the owner wants it, and for one that could not take place.
    pub(super) async fn beat(&self, settings: &Settings, request: &Request, beat: Beat) -> Result<(), String> {
        let Some(heartbeat) = settings.heartbeat.as_ref().filter(|_| super::run::is_regular(request)) else {
            return Ok(());
        };
        let is_wanted = match &beat {
            Beat::Start => heartbeat.value.start,
            Beat::Failure(_) => heartbeat.value.failures,
            _ => true,
        };
        if is_wanted { self.notifier(settings).beat(&heartbeat.value, &beat).await } else { Ok(()) }
    }
}

/// Names and causes, a line each.
fn what_failed(report: &Report) -> String {
    let mut lines: Vec<String> = Vec::new();
    for entry in &report.entries {
        match &entry.outcome {
            Outcome::Failed { failure, .. } => lines.push(format!("{}: {}", entry.name, failure.detail)),
            Outcome::Broken { reason, .. } => lines.push(format!("{}: {}", entry.name, escape(reason))),
            Outcome::Held { by: certkit_core::HeldBy::Failure(failure), .. } => {
                lines.push(format!("{}: {}", entry.name, words::remembered(failure)));
            }
            _ => {}
        }
        for target in &entry.deploy_pending {
            lines.push(format!("{}: not done yet: {}", entry.name, words::deploy_target(target)));
        }
        lines.extend(entry.not_served.iter().map(|line| format!("{}: not served yet: {line}", entry.name)));
    }
    lines.extend(report.unrecorded.iter().map(|trouble| format!("{}: {}", trouble.subject, trouble.evidence)));
    let failed_hooks = report.hooks.iter().filter(|hook| !hook.outcome.success());
    lines.extend(failed_hooks.map(|hook| format!("{} {}", hook.command, hook.outcome.ending)));
    lines.join("\n")
}
