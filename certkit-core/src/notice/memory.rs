//! What the owner was told.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::alarm::Alarm;
use super::rhythm::is_time_again;
use super::{Notice, NoticeKind, NoticeLevel, machine};
use crate::state::is_of_a_wrong_clock;

/// What the owner was told. It can be deleted: then what is still wrong is told again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct NoticeMemory {
    /// By [`Notice::incident`].
    incidents: BTreeMap<String, Told>,
}

/// What the owner was told of one trouble.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Told {
    /// The certificate's name, escaped; empty for the machine.
    pub certificate: String,
    /// The end of the certificate that was in use: of another one it is another trouble.
    pub not_after: Option<DateTime<Utc>>,
    /// What the last notice was about.
    pub kind: NoticeKind,
    /// The most urgent level that was told.
    pub level: NoticeLevel,
    /// When it was told first.
    pub since: DateTime<Utc>,
    /// When it was told last.
    pub at: DateTime<Utc>,
    /// How many reminders there were.
    pub reminders: u32,
    /// All causes that were told.
    pub causes: BTreeSet<String>,
    /// When it was told that it is over.
    #[serde(default)]
    pub recovered: Option<DateTime<Utc>>,
}

/// What comes back within this after it was over is the same trouble: a server that answers now so, now so, is told of in
/// the rhythm of reminders.
const RELAPSE: TimeDelta = TimeDelta::days(7);
/// Causes beyond this are no news any more: a hundred names of a certificate, each with two problems.
const MOST_CAUSES: usize = 256;

impl NoticeMemory {
    /// A notice was taken by a channel, or by the log where there is no channel.
    pub fn told(&mut self, notice: &Notice, at: DateTime<Utc>) {
        match notice.kind {
            NoticeKind::Test => {}
            NoticeKind::Recovered => {
                if let Some(told) = self.incidents.get_mut(&notice.incident) {
                    told.recovered = Some(at);
                }
            }
            _ => {
                let before = self.incidents.remove(&notice.incident);
                let before = before.filter(|before| before.not_after == notice.not_after);
                let mut told = before.unwrap_or_else(|| Told {
                    certificate: notice.certificate.clone(),
                    not_after: notice.not_after,
                    kind: notice.kind,
                    level: notice.level,
                    since: at,
                    at,
                    reminders: 0,
                    causes: BTreeSet::new(),
                    recovered: None,
                });
                if is_of_a_wrong_clock(told.since, at) {
                    told.since = at;
                }
                told.kind = notice.kind;
                told.level = told.level.max(notice.level);
                told.at = at;
                told.reminders = told.reminders.max(notice.reminder);
                let room = MOST_CAUSES.saturating_sub(told.causes.len());
                let news: Vec<&String> =
                    notice.causes.iter().filter(|cause| !told.causes.contains(*cause)).take(room).collect();
                told.causes.extend(news.into_iter().cloned());
                told.recovered = None;
                self.incidents.insert(notice.incident.clone(), told);
            }
        }
    }

    /// Forgets what cannot matter any more.
    pub fn prune(&mut self, now: DateTime<Utc>) {
        self.incidents.retain(|incident, told| {
            let last = match told.recovered {
                None if machine::ends_by_itself(incident) => told.at,
                None => return true,
                Some(recovered) => recovered,
            };
            now - last < RELAPSE && !is_of_a_wrong_clock(last, now)
        });
    }

    /// What was told and not yet told to be over, by [`Notice::incident`].
    pub fn open(&self) -> impl Iterator<Item = (&str, &Told)> {
        let open = self.incidents.iter().filter(|(_, told)| told.recovered.is_none());
        open.map(|(incident, told)| (incident.as_str(), told))
    }

    /// What was told of a trouble, over or not.
    pub fn of(&self, incident: &str) -> Option<&Told> {
        self.incidents.get(incident)
    }

    /// When something was told last; none when nothing is remembered.
    pub(super) fn last_word(&self) -> Option<DateTime<Utc>> {
        self.incidents.values().map(|told| told.recovered.map_or(told.at, |recovered| recovered.max(told.at))).max()
    }

    /// Whether an alarm is to be told now: as news (0) or as a reminder, with its number.
    pub(super) fn word(
        &self,
        incident: &str,
        not_after: Option<DateTime<Utc>>,
        alarm: &Alarm,
        now: DateTime<Utc>,
    ) -> Option<u32> {
        let Some(told) = self.incidents.get(incident).filter(|told| told.not_after == not_after) else {
            return Some(0);
        };
        let is_news =
            alarm.level > told.level || (told.causes.len() < MOST_CAUSES && !alarm.causes.is_subset(&told.causes));
        if is_news {
            return Some(0);
        }
        // What a clock that was ahead noted would silence everything until then.
        let again =
            is_of_a_wrong_clock(told.at, now) || is_time_again(alarm.level, alarm.ends, (told.since, told.at), now);
        again.then(|| told.reminders.saturating_add(1))
    }
}
