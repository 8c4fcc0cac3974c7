//! What concerns the whole machine, out of findings.

use chrono::{DateTime, Utc};

use super::alarm::{Alarm, Cause};
use super::{NoticeKind, NoticeLevel};
use crate::words::{length, shell_word};
use crate::{Finding, FindingCode, Outlook, Summary};

/// Of more subjects than this only the number is given.
const MOST_SUBJECTS: usize = 3;

/// The incidents of the machine with what is to be said of them.
pub(super) fn machine(
    summaries: &[Summary],
    findings: &[Finding],
    outlook: &Outlook,
    now: DateTime<Utc>,
) -> Vec<(String, Alarm)> {
    let planned = summaries.iter().filter_map(Summary::entry).flat_map(|entry| &entry.due.findings);
    let all: Vec<&Finding> = findings.iter().chain(planned).collect();
    TOLD.iter()
        .filter_map(|(code, name, level, command)| {
            let mut these: Vec<&Finding> = all.iter().copied().filter(|finding| finding.code == *code).collect();
            these.sort_by(|one, other| (&one.subject, &one.evidence).cmp(&(&other.subject, &other.evidence)));
            these.dedup();
            let first = these.first()?;
            let mut cause = Cause::new(name, words(&these), first.cure(), command_for(command, &these));
            for finding in &these {
                cause = cause.and(&format!("{name}:{}", finding.subject));
            }
            if *code == FindingCode::RunTooRarely {
                cause.words = format!("{} ({})", cause.words, last_runs(outlook, now));
            }
            Some((incident(name), Alarm::new(NoticeKind::Machine, *level, cause, None)))
        })
        .collect()
}

/// Whether that it is not seen any more says nothing: a memory is written anew at the next run, and that runs are too rare
/// shows only where a certificate is about to be due.
pub(super) fn ends_by_itself(incident_name: &str) -> bool {
    [DAMAGED, TOO_RARELY].iter().any(|name| incident_name == incident(name))
}

const DAMAGED: &str = "state-damaged";
const TOO_RARELY: &str = "run-too-rarely";

/// What is told without asking; everything else is for whoever looks. While the settings cannot be used nothing is renewed.
const TOLD: [(FindingCode, &str, NoticeLevel, &str); 4] = [
    (FindingCode::SettingsUnusable, "settings-unusable", NoticeLevel::Critical, "certkit config check"),
    (FindingCode::RunTooRarely, TOO_RARELY, NoticeLevel::Warning, "certkit timer show"),
    (FindingCode::Unreadable, "unreadable", NoticeLevel::Warning, "certkit certificates"),
    (FindingCode::StateDamaged, DAMAGED, NoticeLevel::Warning, "certkit renew"),
];

fn incident(name: &str) -> String {
    format!("machine/{name}")
}

fn words(these: &[&Finding]) -> String {
    let what = these.first().map_or("", |finding| finding.code.what());
    let one = |finding: &&Finding| match finding.evidence.is_empty() {
        true => finding.subject.clone(),
        false => format!("{} ({})", finding.subject, finding.evidence),
    };
    let mut subjects: Vec<String> = these.iter().take(MOST_SUBJECTS).map(one).collect();
    let more = these.len().saturating_sub(MOST_SUBJECTS);
    if more > 0 {
        subjects.push(format!("{more} more"));
    }
    format!("{what}: {}", subjects.join(", "))
}

/// A command about a single certificate names it.
fn command_for(command: &str, these: &[&Finding]) -> String {
    match these {
        [only] if only.code == FindingCode::Unreadable && crate::LineageName::new(only.subject.clone()).is_ok() => {
            format!("{command} --cert-name {}", shell_word(&only.subject))
        }
        _ => command.to_owned(),
    }
}

fn last_runs(outlook: &Outlook, now: DateTime<Utc>) -> String {
    match outlook.ledger.runs().last() {
        Some(at) if *at <= now => format!("the last run was {} ago", length(now - *at)),
        _ => "no run is remembered".to_owned(),
    }
}
