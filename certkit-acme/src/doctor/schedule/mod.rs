//! What renews on this machine, and what is wrong with it.

mod client;
pub use client::{CERTBOT_TIMERS, Client, renews};

mod look;
pub use look::{Job, Schedules};

mod shell;

mod units;
pub use units::{UNIT_PROPERTIES, UnitState, unit_states};

use certkit_core::decision::Cadence;
use certkit_core::words::shell_word;
use certkit_core::{Finding, FindingCode, Severity};
use chrono::{DateTime, TimeDelta, Utc};

use super::fixed_days::days_in;
use super::{Check, Examined};
use look::OWN_TIMER;

/// A machine that is off for a night and a day, or a run that is missed once, is no reason to speak.
const LONGEST_SILENCE: TimeDelta = TimeDelta::hours(48);
/// So many times the usual interval without a run means that they have stopped.
const MISSED_RUNS: i32 = 3;

/// What past runs tell.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PastRuns {
    /// When the last one began (UTC).
    pub last: Option<DateTime<Utc>>,
    /// How often they come.
    pub cadence: Cadence,
}

impl PastRuns {
    /// The last of these runs (oldest first), which come so often.
    pub fn new(runs: &[DateTime<Utc>], cadence: Cadence) -> Self {
        Self { last: runs.last().copied(), cadence }
    }
}

/// Whether something runs certkit regularly and did lately, whether something else renews the same certificates, and
/// whether lines that renew restart servers by its exit status or count days. `now` is UTC.
pub fn check_schedules(schedules: &Schedules, runs: PastRuns, now: DateTime<Utc>) -> Vec<Examined> {
    let ours = Ours::of(schedules);
    let mut all = vec![runs_regularly(schedules, &ours), ran_lately(schedules, &ours, runs, now)];
    all.push(Examined::found(Check::Rivals, "other programs that renew", rivals(schedules, &ours)));
    for job in &schedules.jobs {
        let findings = chained(job).into_iter().chain(days_in(&job.place, &job.text, None)).collect();
        all.push(Examined::found(Check::ScheduledLines, &job.place, findings));
    }
    all
}

/// What runs certkit.
struct Ours<'a> {
    timer: Option<&'a UnitState>,
    jobs: Vec<&'a Job>,
    daemon: Option<u32>,
}

impl<'a> Ours<'a> {
    fn of(schedules: &'a Schedules) -> Self {
        let jobs = schedules.jobs.iter().filter(|job| job.client == Client::Certkit);
        Self {
            timer: schedules.timer(OWN_TIMER),
            jobs: jobs.filter(|job| schedules.is_started(job)).collect(),
            daemon: schedules.daemon,
        }
    }

    fn is_scheduled(&self) -> bool {
        self.timer.is_some_and(|timer| timer.is_active)
            || self.daemon.is_some()
            || self.jobs.iter().any(|job| job.timer.as_deref() != Some(OWN_TIMER))
    }
}

/// certbot's timers and lines, for people, each with how it is taken out of use.
fn certbots(schedules: &Schedules) -> Vec<(String, String)> {
    let timers = schedules.timers.iter().filter(|timer| {
        let runs_certbot = schedules
            .jobs
            .iter()
            .any(|job| job.client == Client::Certbot && job.timer.as_deref() == Some(timer.name.as_str()));
        (CERTBOT_TIMERS.contains(&timer.name.as_str()) || runs_certbot) && (timer.is_active || timer.is_enabled)
    });
    let timers = timers.map(|timer| {
        (format!("the timer {}", timer.name), format!("systemctl disable --now {}", shell_word(&timer.name)))
    });
    let lines = schedules.jobs.iter().filter(|job| job.client == Client::Certbot && job.timer.is_none());
    let lines = lines.map(|job| {
        let cure = format!("put a # before the line in {}; certkit timer install offers to do it", job.place);
        (format!("{} (`{}`)", job.place, job.command), cure)
    });
    timers.chain(lines).collect()
}

fn runs_regularly(schedules: &Schedules, ours: &Ours<'_>) -> Examined {
    const SUBJECT: &str = "what runs certkit";
    if let Some(timer) = ours.timer
        && !timer.is_active
        && !ours.is_scheduled()
    {
        let how = if timer.is_enabled { "it is enabled, but stopped" } else { "it is neither enabled nor started" };
        return Examined::found(
            Check::Schedule,
            SUBJECT,
            vec![Finding::new(FindingCode::TimerInactive, OWN_TIMER, how)],
        );
    }
    if let Some(timer) = ours.timer
        && timer.is_active
        && !timer.is_enabled
    {
        let finding =
            Finding::new(FindingCode::TimerInactive, OWN_TIMER, "it runs now, but does not come back after a reboot")
                .with_severity(Severity::Warning)
                .with_cure("systemctl enable certkit.timer");
        return Examined::found(Check::Schedule, SUBJECT, vec![finding]);
    }
    if ours.is_scheduled() {
        return Examined::fine(Check::Schedule, SUBJECT);
    }
    let certbots = certbots(schedules);
    if !certbots.is_empty() {
        let by: Vec<_> = certbots.into_iter().map(|(what, _)| what).collect();
        let finding = Finding::new(FindingCode::NotScheduled, "", format!("certbot does it: {}", by.join(", ")));
        return Examined::found(Check::Schedule, SUBJECT, vec![finding.with_severity(Severity::Notice)]);
    }
    if !schedules.unread.is_empty() {
        let because = format!("it may stand where this user cannot look ({})", schedules.unread.join("; "));
        return Examined::not_checked(Check::Schedule, SUBJECT, because);
    }
    Examined::found(Check::Schedule, SUBJECT, vec![Finding::new(FindingCode::NotScheduled, "", "")])
}

fn ran_lately(schedules: &Schedules, ours: &Ours<'_>, runs: PastRuns, now: DateTime<Utc>) -> Examined {
    const SUBJECT: &str = "the last run of certkit";
    let shown = |at: DateTime<Utc>| at.format("%F %T UTC");
    let Some(last) = runs.last else {
        let fired = ours.timer.and_then(|timer| timer.last).filter(|fired| now - *fired > TimeDelta::hours(1));
        return match fired {
            Some(fired) => {
                let evidence = format!("the timer fired at {}, and no run was recorded ever", shown(fired));
                let finding = Finding::new(FindingCode::RunsStopped, "", evidence)
                    .with_cure("journalctl -u certkit.service tells why; certkit renew runs it now");
                Examined::found(Check::LastRun, SUBJECT, vec![finding])
            }
            None => Examined::not_checked(Check::LastRun, SUBJECT, "no run was recorded yet"),
        };
    };
    if !ours.is_scheduled() && !certbots(schedules).is_empty() {
        return Examined::fine(Check::LastRun, SUBJECT);
    }
    let longest = LONGEST_SILENCE.max(runs.cadence.interval * MISSED_RUNS);
    if now - last <= longest {
        return Examined::fine(Check::LastRun, SUBJECT);
    }
    let mut evidence = format!("the last run began at {}, {} days ago", shown(last), (now - last).num_days());
    let mut cure = None;
    if let Some(fired) = ours.timer.and_then(|timer| timer.last).filter(|fired| now - *fired < longest) {
        evidence.push_str(&format!("; the timer fired at {} all the same", shown(fired)));
        cure = Some("journalctl -u certkit.service tells why it ends early; certkit renew runs it now");
    }
    let finding = Finding::new(FindingCode::RunsStopped, "", evidence);
    Examined::found(
        Check::LastRun,
        SUBJECT,
        vec![match cure {
            Some(cure) => finding.with_cure(cure),
            None => finding,
        }],
    )
}

fn rivals(schedules: &Schedules, ours: &Ours<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if ours.is_scheduled() {
        findings.extend(
            certbots(schedules)
                .into_iter()
                .map(|(what, cure)| Finding::new(FindingCode::TwoSchedulers, "", what).with_cure(cure)),
        );
    }
    let mut told: Vec<&str> = Vec::new();
    for job in schedules.jobs.iter().filter(|job| schedules.is_started(job)) {
        if let Client::Other(client) = job.client
            && !told.contains(&client)
        {
            told.push(client);
            findings.push(Finding::new(FindingCode::OtherClient, "", format!("{client}, in {}", job.place)));
        }
    }
    for (timer, client) in client::OTHER_TIMERS {
        if schedules.timer(timer).is_some_and(|timer| timer.is_active) && !told.contains(&client) {
            told.push(client);
            findings.push(Finding::new(FindingCode::OtherClient, "", format!("{client}, by the timer {timer}")));
        }
    }
    findings
}

/// What restarts a server at each run, with the command that makes it a hook.
fn chained(job: &Job) -> Option<Finding> {
    if matches!(job.client, Client::Other(_)) || job.reloads.is_empty() {
        return None;
    }
    let reload = job.reloads.join("; ");
    let (hooks, what) = match &job.stops {
        Some(stop) => (
            format!("--pre-hook {} --post-hook {}", shell_word(stop), shell_word(&reload)),
            format!("`{stop}` before and `{reload}` after it"),
        ),
        None => (format!("--deploy-hook {}", shell_word(&reload)), format!("`{reload}`")),
    };
    let cure = format!(
        "certkit reconfigure --cert-name NAME {hooks} for each certificate that the server uses; then leave only `{}` in {}",
        job.command, job.place
    );
    Some(Finding::new(FindingCode::ReloadChained, &job.place, what).with_cure(cure))
}

#[cfg(test)]
mod tests;
