//! What a notice says.

use chrono::{DateTime, Utc};

use super::alarm::Alarm;
use super::machine::over;
use super::serving::served_words;
use super::{Notice, NoticeAttempt, NoticeKind, NoticeLevel, Told};
use crate::state::{Event, LineageState, RecordedEvent, Serving};
use crate::words::{deploy_target, event, length, minute, remembered};
use crate::{LineageName, Step, Summary};

/// So many attempts are told.
const MOST_ATTEMPTS: usize = 5;
/// A detail of more octets than this tells of many names, which are listed, and is told with the attempt.
const LONGEST_DETAIL: usize = 400;

/// The notice of an alarm.
pub(super) fn compose(
    incident: &str,
    alarm: Alarm,
    summary: Option<&Summary>,
    reminder: u32,
    now: DateTime<Utc>,
) -> Notice {
    let mut notice = about(Notice::empty(alarm.kind, alarm.level, incident, now), summary);
    notice.key = alarm.key(incident, notice.not_after);
    notice.cause_key = alarm.cause_key;
    notice.causes = alarm.causes.into_iter().collect();
    notice.reminder = reminder;
    notice.failing = alarm.failing;
    notice.class = alarm.class;
    notice.cause = alarm.cause;
    notice.cure = alarm.cure;
    notice.command = alarm.command;
    notice
}

/// What was told is over; without a summary because there is nothing of that name any more.
pub(super) fn recovered(incident: &str, told: &Told, summary: Option<&Summary>, now: DateTime<Utc>) -> Notice {
    let mut notice = about(Notice::empty(NoticeKind::Recovered, NoticeLevel::Info, incident, now), summary);
    notice.certificate.clone_from(&told.certificate);
    notice.key = format!("{}/{}", notice.key, told.since.timestamp());
    notice.causes = told.causes.iter().cloned().collect();
    notice.cause = match summary {
        None if told.certificate.is_empty() => over(incident).to_owned(),
        None => "there is no certificate of this name any more, so nothing watches over it".to_owned(),
        Some(summary) if incident.starts_with("serving/") => deployed(summary),
        Some(summary) => renewed(summary, told),
    };
    if told.since < now {
        notice.cause =
            format!("{}; it was told first on {}, {} ago", notice.cause, minute(told.since), length(now - told.since));
    }
    notice.cure = "nothing to do".to_owned();
    notice
}

fn renewed(summary: &Summary, told: &Told) -> String {
    let end = summary.validity.map(|validity| validity.not_after);
    match end.filter(|end| Some(*end) != told.not_after) {
        Some(end) => match summary.state().and_then(|state| state.last_success).filter(|at| *at >= told.since) {
            Some(at) => format!("it was renewed on {} and is valid until {}", minute(at), minute(end)),
            None => format!("another certificate is in use, valid until {}", minute(end)),
        },
        None => "it can be used and is not due".to_owned(),
    }
}

fn deployed(summary: &Summary) -> String {
    let is_served = summary.state().is_some_and(|state| Serving::of(&state.served) == Serving::Matches);
    let more = if is_served { ", and served wherever that counts" } else { "" };
    format!("the version in use is deployed to everything that has to have it{more}")
}

/// What is known of the certificate, whatever is told of it.
fn about(mut notice: Notice, summary: Option<&Summary>) -> Notice {
    let Some(summary) = summary else { return notice };
    notice.certificate.clone_from(&summary.name);
    notice.identifiers = summary.identifiers.clone();
    notice.not_after = summary.validity.map(|validity| validity.not_after);
    let entry = summary.entry();
    notice.due_since = entry.filter(|entry| !matches!(entry.step, Step::NotDue { .. })).and_then(|entry| entry.due.at);
    notice.next_attempt = entry.and_then(|entry| match entry.step {
        Step::Held { until, .. } => Some(until),
        _ => None,
    });
    notice.attempts = summary.state().map(remembered_attempts).unwrap_or_default();
    notice.deployed_to = summary.targets.iter().map(deploy_target).collect();
    notice.served = served_words(summary);
    notice
}

/// The state keeps the last success, the last failures and what the targets met.
fn remembered_attempts(state: &LineageState) -> Vec<NoticeAttempt> {
    let mut all: Vec<NoticeAttempt> = Vec::new();
    all.extend(state.last_success.map(|at| NoticeAttempt::new(at, "renewed")));
    let failures = state.authorities.iter().map(|memory| &memory.last_failure).chain(&state.last_failure);
    all.extend(failures.map(|failure| NoticeAttempt::new(failure.at, format!("failed: {}", remembered(failure)))));
    all.extend(state.deploy_pending.iter().filter_map(|pending| {
        let what = format!("version {} could not be deployed: {}", pending.version, deploy_target(&pending.target));
        Some(NoticeAttempt::new(pending.failed_at?, what))
    }));
    all.sort_by(|one, other| (one.at, &one.what).cmp(&(other.at, &other.what)));
    all.dedup();
    newest(all)
}

fn newest(mut all: Vec<NoticeAttempt>) -> Vec<NoticeAttempt> {
    let surplus = all.len().saturating_sub(MOST_ATTEMPTS);
    all.drain(..surplus);
    all
}

impl Notice {
    /// Takes what was tried from the certificate's history: the last five results, which are more than the state keeps, and
    /// in the CA's own words. A history without any leaves what the notice has.
    pub fn take_history(&mut self, history: &[RecordedEvent]) {
        let Ok(name) = LineageName::new(self.certificate.clone()) else { return };
        let results = history.iter().filter(|recorded| {
            matches!(
                recorded.event,
                Event::AttemptFailed { .. }
                    | Event::Committed { .. }
                    | Event::DeployFailed { .. }
                    | Event::SetAside { .. }
                    | Event::Revoked { .. }
                    | Event::ChangedElsewhere { .. }
            )
        });
        let results: Vec<&RecordedEvent> = results.collect();
        self.take_detail(results.last().map(|recorded| &recorded.event));
        let attempts = results.iter().map(|recorded| NoticeAttempt::new(recorded.at, event(&name, &recorded.event)));
        let attempts = newest(attempts.collect());
        if !attempts.is_empty() {
            self.attempts = attempts;
        }
    }

    /// The cause says what was met, as far as that is about this certificate alone: the state keeps the kind of it.
    fn take_detail(&mut self, last: Option<&Event>) {
        let Some(Event::AttemptFailed { failure }) = last else { return };
        let detail = failure.to_string();
        let detail = detail.trim_end_matches('.');
        let is_this = self.class == Some(failure.class) && !failure.concerns_whole_ca();
        if is_this && detail.len() <= LONGEST_DETAIL && !detail.is_empty() && !self.cause.contains(detail) {
            self.cause = format!("{}: {detail}", self.cause);
        }
    }
}
