//! What a monitoring system is told of a certificate.
//!
//! The thresholds are shares of the lifetime, so that they fit certificates of 160 hours as well as of 199 days: fixed days
//! call every six-day certificate critical, and a 45-day one for a third of its life.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::state::{EndpointMemory, Serving};
use crate::words::not_yet_valid;
use crate::{
    Condition, FailureClass, FindingCode, Notice, NoticeFacts, NoticeKind, NoticeLevel, NoticeMemory, Outlook,
    Severity, Step, Summary, Validity, due_notices,
};

/// How bad it is, as monitoring plugins say it. The worst is last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CheckLevel {
    /// Nothing is to be done.
    #[default]
    Ok,
    /// It cannot be told.
    Unknown,
    /// Look at it in the next days.
    Warning,
    /// Look at it now.
    Critical,
}

/// What a monitoring system is told of a certificate.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Checked {
    /// The lineage's name, escaped.
    pub name: String,
    /// The worst of the concerns.
    pub level: CheckLevel,
    /// What is wrong, the worst first; empty when nothing is.
    pub concerns: Vec<Concern>,
    /// What is left of its life; negative after it, none when that is not known.
    pub left: Option<TimeDelta>,
    /// Less than this left is a warning.
    pub warning_below: Option<TimeDelta>,
    /// Less than this left is critical.
    pub critical_below: Option<TimeDelta>,
    /// Its whole life.
    pub lifetime: Option<TimeDelta>,
}

/// Something that is wrong with a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Concern {
    /// How bad it is.
    pub level: CheckLevel,
    /// What is wrong: a sentence without a full stop, escaped.
    pub what: String,
    /// What to do about it, without a full stop; NAME stands for the certificate's name.
    pub cure: String,
}

/// What is left of the lifetime when it becomes critical.
const CRITICAL: i32 = 8;
/// What is left of the lifetime when somebody has to be called: certmagic's emergency band.
const EMERGENCY: i32 = 20;
/// A renewal may be late by so much, or by a tenth of the lifetime if that is less, before somebody is told.
const LONGEST_GRACE: TimeDelta = TimeDelta::hours(24);

/// What a monitoring system is told of a certificate at `now`. What it serves is taken from its memory: whoever wants to
/// know it as it is now has to look before.
pub fn check(summary: &Summary, now: DateTime<Utc>) -> Checked {
    let mut checked = Checked {
        name: summary.name.clone(),
        level: CheckLevel::Ok,
        concerns: Vec::new(),
        left: summary.validity.map(|validity| validity.remaining(now)),
        warning_below: None,
        critical_below: None,
        lifetime: summary.validity.map(|validity| validity.lifetime()),
    };
    about_the_lineage(&mut checked, summary);
    if let Some(validity) = summary.validity {
        about_the_time(&mut checked, summary, validity, now);
    }
    let served = summary.state().map(|state| state.served.as_slice()).unwrap_or_default();
    about_what_is_served(&mut checked, served);
    checked.concerns.sort_by_key(|concern| std::cmp::Reverse(concern.level));
    checked.level = checked.concerns.first().map(|concern| concern.level).unwrap_or_default();
    checked
}

impl CheckLevel {
    /// The word of monitoring plugins.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

impl Checked {
    fn add(&mut self, level: CheckLevel, what: impl Into<String>, cure: impl Into<String>) {
        self.concerns.push(Concern { level, what: what.into(), cure: cure.into() });
    }
}

/// What is wrong whatever the time.
fn about_the_lineage(checked: &mut Checked, summary: &Summary) {
    if let Some(broken) = &summary.broken {
        let (level, code) = match (broken.by_settings, broken.hindrance) {
            (true, _) => (CheckLevel::Warning, FindingCode::SettingsUnusable),
            // Whoever may not read it cannot tell; it is not damaged by that.
            (false, Some(_)) => (CheckLevel::Unknown, FindingCode::Unreadable),
            (false, None) => (CheckLevel::Critical, FindingCode::BrokenLineage),
        };
        checked.add(level, format!("{}: {}", code.what(), crate::escape(&broken.reason)), broken.cure());
    }
    let has = |condition: Condition| summary.conditions.contains(&condition);
    if summary.broken.is_none() && has(Condition::Broken) {
        let code = FindingCode::LiveVersionDamaged;
        checked.add(CheckLevel::Critical, code.what(), code.cure());
    }
    for finding in &summary.findings {
        let level = match finding.severity {
            Severity::Error => CheckLevel::Critical,
            Severity::Warning => CheckLevel::Warning,
            Severity::Notice => continue,
        };
        checked.add(level, finding.what(), finding.cure());
    }
    if has(Condition::Revoked) {
        let code = FindingCode::CertificateRevoked;
        checked.add(CheckLevel::Critical, code.what(), code.cure());
    }
    if let Some(validity) = summary.validity.filter(|_| has(Condition::NotYetValid)) {
        checked.add(CheckLevel::Warning, not_yet_valid(validity), FailureClass::Clock.cure());
    }
    if has(Condition::DeployPending) {
        let code = FindingCode::DeployPending;
        checked.add(CheckLevel::Warning, code.what(), code.cure());
    }
}

/// The rules of time.
fn about_the_time(checked: &mut Checked, summary: &Summary, validity: Validity, now: DateTime<Utc>) {
    let (left, lifetime) = (validity.remaining(now), validity.lifetime());
    checked.critical_below = Some(lifetime / CRITICAL);
    let grace = LONGEST_GRACE.min(lifetime / 10);
    let overdue_at = due(summary).and_then(|due| due.checked_add_signed(grace));
    checked.warning_below = overdue_at.map(|at| validity.not_after - at);
    // Whether there is anything to say is decided where notices are: a monitoring system must not know better.
    let Some(notice) = of_the_renewal(summary, now) else { return };
    let level = if notice.level >= NoticeLevel::Critical { CheckLevel::Critical } else { CheckLevel::Warning };
    let cure = match notice.class {
        Some(_) => notice.cure.as_str(),
        None => {
            "see why it was not renewed, and renew it: certkit history --cert-name NAME; certkit renew --cert-name NAME"
        }
    };
    let words = span(left.abs());
    let failed = notice.class.map(|_| format!(": {}", notice.cause)).unwrap_or_default();
    if now > validity.not_after {
        checked.add(level, format!("it expired {words} ago{failed}"), cure);
    } else if left <= lifetime / EMERGENCY {
        checked.add(level, format!("less than a twentieth of its life is left: {words}{failed}"), cure);
    } else if left <= lifetime / CRITICAL {
        checked.add(level, format!("less than an eighth of its life is left: {words}{failed}"), cure);
    } else if notice.kind == NoticeKind::RenewalFailed {
        checked.add(level, format!("its renewal fails, and {words} are left{failed}"), cure);
    } else if let Some(at) = overdue_at.filter(|at| now >= *at) {
        let late = span(now - at + grace);
        checked.add(level, format!("it is due for {late} and was not renewed; {words} are left{failed}"), cure);
    }
}

/// What the rules of notices say of its renewal, whatever was told before.
fn of_the_renewal(summary: &Summary, now: DateTime<Utc>) -> Option<Notice> {
    let outlook = Outlook::default();
    let facts = NoticeFacts::new(std::slice::from_ref(summary), &[], &outlook, now);
    let notices = due_notices(&facts, &NoticeMemory::default());
    notices.into_iter().find(|notice| notice.incident.starts_with("renewal/"))
}

/// Since when it is due, or when it will be.
fn due(summary: &Summary) -> Option<DateTime<Utc>> {
    let entry = summary.entry()?;
    match &entry.step {
        Step::Held { due, .. } => Some(*due),
        Step::NotDue { until, .. } => *until,
        Step::Attempt { .. } => entry.due.at,
    }
}

fn about_what_is_served(checked: &mut Checked, served: &[EndpointMemory]) {
    for endpoint in served.iter().filter(|endpoint| endpoint.counts()) {
        let words = |leaf: fn(&crate::state::ServedLeaf) -> bool| {
            let lines = endpoint.answers.iter().filter(|answer| leaf(&answer.leaf));
            lines.map(|answer| answer.words(&endpoint.endpoint, endpoint.compared_with)).collect::<Vec<_>>().join("; ")
        };
        use crate::state::ServedLeaf as Leaf;
        match endpoint.serving() {
            Serving::Differs => {
                let what = words(|leaf| matches!(leaf, Leaf::Older { .. } | Leaf::Foreign));
                checked.add(CheckLevel::Critical, what, FindingCode::NotServed.cure());
            }
            Serving::Unreachable => {
                let what = words(|leaf| *leaf == Leaf::Unreachable);
                checked.add(CheckLevel::Warning, what, endpoint.endpoint.unreachable_cure());
            }
            Serving::Matches | Serving::Unknown => {}
        }
        for answer in endpoint.answers.iter().filter(|answer| answer.leaf == Leaf::Same) {
            for trouble in answer.told_troubles() {
                let level = if trouble.breaks_clients() { CheckLevel::Critical } else { CheckLevel::Warning };
                let what = answer.words(&endpoint.endpoint, endpoint.compared_with);
                checked.add(level, format!("{what}, but {}", trouble.what()), trouble.cure());
            }
        }
    }
}

/// A length of time in the unit that says most.
fn span(length: TimeDelta) -> String {
    let (count, unit) = if length >= TimeDelta::hours(48) {
        (length.num_days(), "days")
    } else if length >= TimeDelta::minutes(120) {
        (length.num_hours(), "hours")
    } else {
        (length.num_minutes(), "minutes")
    };
    format!("{count} {unit}")
}

#[cfg(test)]
mod tests;
