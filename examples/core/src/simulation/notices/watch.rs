//! The owner, who writes down what was promised and what was heard.

use std::collections::{BTreeMap, BTreeSet};

use certkit_core::{Notice, NoticeGroup, NoticeKind, NoticeLevel};
use chrono::{DateTime, TimeDelta, Utc};

use super::lineage::Lineage;

/// So many complaints are kept in full.
const MOST_COMPLAINTS: usize = 20;
/// Nobody can be told thrice of what is looked at more rarely within a lifetime.
const FEWEST_RUNS: i32 = 10;
/// At least so many notices come before a certificate ends.
const BEFORE_THE_END: usize = 3;

pub(super) struct Watch {
    every: TimeDelta,
    heard: BTreeMap<String, Vec<Heard>>,
    /// By incident: what was told since it was last over.
    open: BTreeMap<String, BTreeSet<(String, u32)>>,
    pub(super) by_kind: BTreeMap<(NoticeKind, NoticeLevel), u64>,
    pub(super) messages: u64,
    pub(super) largest: usize,
    pub(super) lost: u64,
    /// The incidents whose last notice got lost: the next comes later.
    delayed: BTreeSet<String>,
    /// The notices before each end.
    pub(super) ends: Vec<usize>,
    pub(super) complaints: Vec<String>,
    pub(super) unsaid: u64,
}

struct Heard {
    at: DateTime<Utc>,
    level: NoticeLevel,
    not_after: Option<DateTime<Utc>>,
    is_reminder: bool,
}

impl Watch {
    pub(super) fn new(every: i64) -> Self {
        Self {
            every: TimeDelta::seconds(every),
            heard: BTreeMap::new(),
            open: BTreeMap::new(),
            by_kind: BTreeMap::new(),
            messages: 0,
            largest: 0,
            lost: 0,
            delayed: BTreeSet::new(),
            ends: Vec::new(),
            complaints: Vec::new(),
            unsaid: 0,
        }
    }

    pub(super) fn count_messages(&mut self, groups: &[NoticeGroup]) {
        self.messages += groups.len() as u64;
        self.largest = groups.iter().map(|group| group.notices.len()).chain([self.largest]).max().unwrap_or(0);
    }

    /// Whether the last notice of it got lost.
    pub(super) fn is_delayed(&self, notice: &Notice) -> bool {
        self.delayed.contains(&notice.incident)
    }

    /// No channel took a notice.
    pub(super) fn lose(&mut self, notice: &Notice) {
        self.lost += 1;
        self.delayed.insert(notice.incident.clone());
    }

    /// A notice arrives.
    pub(super) fn hear(&mut self, notice: &Notice, lineages: &[Lineage], now: DateTime<Utc>, is_dead: bool) {
        *self.by_kind.entry((notice.kind, notice.level)).or_default() += 1;
        let incident = &notice.incident;
        let is_delayed = self.delayed.remove(incident);
        if notice.kind == NoticeKind::Recovered {
            if self.open.remove(incident).is_none() {
                self.complain(now, incident, "is over, but nothing was told of it");
            }
            return;
        }
        let told = self.open.entry(incident.clone()).or_default();
        if !told.insert((notice.key.clone(), notice.reminder)) {
            self.complain(now, incident, "the same was told twice");
        }
        if let Some(lineage) = lineages.iter().find(|lineage| lineage.name == notice.certificate) {
            let has_reason = match incident.starts_with("serving/") {
                true => lineage.hook_fails.is_some(),
                false => lineage.trouble.is_some(),
            };
            // What is due while nobody runs certkit is told, too, and until the first run after that.
            if !has_reason && !is_dead && notice.kind != NoticeKind::Machine {
                self.complain(now, incident, "told of what is well");
            }
        }
        let heard = self.heard.entry(incident.clone()).or_default();
        heard.push(Heard {
            at: now,
            level: notice.level,
            not_after: notice.not_after,
            is_reminder: notice.reminder > 0,
        });
        let is_calm = match heard.as_slice() {
            [.., one, two, three] => {
                let same = |a: &Heard, b: &Heard| a.not_after == b.not_after && a.level == b.level && b.is_reminder;
                let is_before_the_end = three.not_after.is_none_or(|end| three.at <= end);
                let slower = three.at - two.at > two.at - one.at + self.every * 2;
                incident.starts_with("renewal/") && same(one, two) && same(two, three) && is_before_the_end && slower
            }
            _ => false,
        };
        if is_calm && !is_delayed {
            self.complain(now, incident, "reminders become rarer towards the end");
        }
    }

    /// What is due right after everything was told but what got lost.
    pub(super) fn hear_again(&mut self, again: &[Notice], now: DateTime<Utc>) {
        for notice in again {
            let told = self.open.get(&notice.incident);
            if told.is_some_and(|told| told.contains(&(notice.key.clone(), notice.reminder))) {
                self.complain(now, &notice.incident, "what was told is due again at once");
            }
        }
    }

    /// Whether a certificate ended since the last run, and was it foretold.
    pub(super) fn look_for_an_end(
        &mut self,
        lineage: &Lineage,
        (before, now): (DateTime<Utc>, DateTime<Utc>),
        is_dead: bool,
    ) {
        let Some(validity) = lineage.validity() else { return };
        let end = validity.not_after;
        if !(before < end && end <= now) {
            return;
        }
        let incident = format!("renewal/{}", lineage.name);
        let heard: Vec<&Heard> = self.heard.get(&incident).into_iter().flatten().collect();
        let heard: Vec<&&Heard> = heard.iter().filter(|heard| heard.not_after == Some(end)).collect();
        // Two runs after it is due, and none is left.
        if lineage.lifetime / FEWEST_RUNS < self.every {
            return;
        }
        self.ends.push(heard.len());
        if heard.len() < BEFORE_THE_END {
            let what = format!("ended after {} notices", heard.len());
            self.complain(now, &incident, &what);
            return;
        }
        let first = |level: NoticeLevel| heard.iter().find(|heard| heard.level >= level).map(|heard| heard.at);
        // A run may come just after the instant, and one message may get lost.
        let slack = self.every * 2 + TimeDelta::hours(1);
        let eighth = end - lineage.lifetime / 8;
        let warned = match &lineage.trouble {
            // Due, and what a limit explains.
            Some(trouble) if trouble.is_a_limit() => trouble.since + TimeDelta::days(7).min((end - trouble.since) / 3),
            Some(trouble) if trouble.is_the_owners() => trouble.since,
            // Due, and twice the grace.
            Some(trouble) => trouble.since + TimeDelta::hours(48).min(lineage.lifetime / 5),
            None if is_dead => eighth,
            None => end,
        };
        let promises = [
            (NoticeLevel::Warning, warned),
            (NoticeLevel::Critical, eighth),
            (NoticeLevel::Emergency, end - lineage.lifetime / 20),
        ];
        let broken: Vec<String> = promises
            .into_iter()
            .map(|(level, promised)| (level, promised, first(level)))
            .filter(|(_, promised, told)| *promised + slack < end && told.is_none_or(|told| told > *promised + slack))
            .map(|(level, promised, told)| format!("{} was promised for {promised}, told at {told:?}", level.word()))
            .collect();
        for what in broken {
            self.complain(now, &incident, &what);
        }
    }

    /// The days are over: what is well must have been told to be.
    pub(super) fn close(&mut self, lineages: &[Lineage], now: DateTime<Utc>) {
        for lineage in lineages {
            let open = |side: &str| self.open.contains_key(&format!("{side}/{}", lineage.name));
            let is_renewing = lineage.trouble.is_some();
            let is_deploying = !lineage.input.state.deploy_pending.is_empty();
            let forgotten = (!is_renewing && open("renewal")) || (!is_deploying && open("serving"));
            let is_news = lineage.input.state.last_success.is_some_and(|at| now - at < self.every * 4);
            if forgotten && !is_news {
                let name = lineage.name.clone();
                self.complain(now, &name, "is well again, and nobody was told");
            }
        }
    }

    fn complain(&mut self, now: DateTime<Utc>, incident: &str, what: &str) {
        if self.complaints.len() < MOST_COMPLAINTS {
            self.complaints.push(format!("{now} {incident}: {what}"));
        } else {
            self.unsaid += 1;
        }
    }
}
