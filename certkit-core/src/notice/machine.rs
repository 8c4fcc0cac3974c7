//! What concerns the whole machine, out of findings.

use chrono::{DateTime, Utc};

use super::alarm::{Alarm, Cause};
use super::cause::code_of;
use super::{Notice, NoticeKind, NoticeLevel};
use crate::words::{length, shell_word};
use crate::{Finding, FindingCode, Outlook, Summary, Validity};

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
    let mut told: Vec<(String, Alarm)> = Vec::new();
    for (code, name, level, command) in TOLD {
        let mut these: Vec<&Finding> = all.iter().copied().filter(|finding| finding.code == code).collect();
        these.sort_by(|one, other| (&one.subject, &one.evidence).cmp(&(&other.subject, &other.evidence)));
        these.dedup();
        let (Some(first), false) = (these.first(), told.iter().any(|(known, _)| *known == incident(name))) else {
            continue;
        };
        let mut cause = Cause::new(&code_of(code), words(&these), first.cure(), command_for(command, &these));
        for finding in &these {
            cause = cause.and(&format!("{}:{}", code_of(code), finding.subject));
        }
        if code == FindingCode::RunTooRarely {
            cause.words = format!("{} ({})", cause.words, last_runs(outlook, now));
        }
        let ends = if name == STORE { first_end(summaries, now) } else { None };
        told.push((incident(name), Alarm::new(NoticeKind::Machine, level, cause, ends)));
    }
    told
}

/// Whether that it is not seen any more says nothing: a memory is written anew at the next run, and that runs are too rare
/// shows only where a certificate is about to be due.
pub(super) fn ends_by_itself(incident_name: &str) -> bool {
    [DAMAGED, TOO_RARELY].iter().any(|name| incident_name == incident(name))
}

impl Notice {
    /// Whether it tells of trouble with the store itself, or that this is over. Only who writes to the store knows.
    pub fn is_about_the_store(&self) -> bool {
        self.incident == incident(STORE)
    }
}

/// That an incident of the machine is over, in words.
pub(super) fn over(incident_name: &str) -> &'static str {
    match incident_name.strip_prefix("machine/") {
        Some(STORE) => "certkit can work with its store again, and goes on by itself",
        Some(SETTINGS) => "the settings can be used again, and runs go on by themselves",
        _ => "what was told does not apply any more",
    }
}

const DAMAGED: &str = "state-damaged";
const SETTINGS: &str = "settings-unusable";
const TOO_RARELY: &str = "run-too-rarely";

/// Whatever is wrong with the store, it is one trouble: nothing is renewed.
const STORE: &str = "store";

/// What is told without asking, with the name of the incident and the command that comes next; `FOLDER` in that is what it is
/// about. Everything else is for whoever looks. While the settings or the store cannot be used nothing is renewed. Of several
/// that belong to one incident the first is told.
const TOLD: [(FindingCode, &str, NoticeLevel, &str); 11] = [
    (FindingCode::SettingsUnusable, SETTINGS, NoticeLevel::Critical, "certkit config check"),
    (FindingCode::StoreFull, STORE, NoticeLevel::Critical, "df -h FOLDER"),
    (FindingCode::StoreOutOfFiles, STORE, NoticeLevel::Critical, "df -i FOLDER"),
    (FindingCode::StoreReadOnly, STORE, NoticeLevel::Critical, "findmnt --target FOLDER"),
    (FindingCode::StoreNotWritable, STORE, NoticeLevel::Critical, "ls -ld FOLDER"),
    (FindingCode::StoreUnreadable, STORE, NoticeLevel::Critical, "ls -ld FOLDER"),
    (FindingCode::StoreFailing, STORE, NoticeLevel::Critical, "dmesg"),
    (FindingCode::StoreLocked, STORE, NoticeLevel::Critical, "fuser -v FOLDER"),
    (FindingCode::RunTooRarely, TOO_RARELY, NoticeLevel::Warning, "certkit timer show"),
    (FindingCode::Unreadable, "unreadable", NoticeLevel::Warning, "certkit certificates"),
    (FindingCode::StateDamaged, DAMAGED, NoticeLevel::Warning, "certkit renew"),
];

/// Of the certificates that still run, the one that ends first: reminders come more often towards its end.
fn first_end(summaries: &[Summary], now: DateTime<Utc>) -> Option<Validity> {
    let running = summaries.iter().filter_map(|summary| summary.validity).filter(|validity| validity.not_after > now);
    running.min_by_key(|validity| validity.not_after)
}

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

/// A command about a single certificate or folder names it.
fn command_for(command: &str, these: &[&Finding]) -> String {
    match these {
        [first, ..] if command.contains("FOLDER") => command.replace("FOLDER", &shell_word(&first.subject)),
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
