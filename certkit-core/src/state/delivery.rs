//! What was delivered to whom, and what still has to be.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::{Notice, NoticeKind, NoticeLevel};

/// The machine's memory of its channels. It can be deleted: that costs what was not delivered yet, and that a channel is
/// told when its troubles are over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct DeliveryMemory {
    /// By the channel's name.
    pub channels: BTreeMap<String, ChannelMemory>,
}

/// What is remembered of one channel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ChannelMemory {
    /// What is not delivered yet, oldest first.
    pub waiting: Vec<WaitingNotice>,
    /// The incidents that it was told of and that are not over, with when it was told last (UTC).
    pub told: BTreeMap<String, DateTime<Utc>>,
    /// When something was delivered last (UTC).
    pub last_success: Option<DateTime<Utc>>,
    /// How often in a row it failed.
    pub failures: u32,
}

/// A notice that could not be delivered yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WaitingNotice {
    /// The notice.
    pub notice: Notice,
    /// Since when it waits (UTC).
    pub since: DateTime<Utc>,
    /// How often it was tried.
    pub tries: u32,
    /// The recipients that do not have it yet; empty when nobody has it.
    #[serde(default)]
    pub recipients: Vec<String>,
}

/// Why a notice does not go to a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotSent {
    /// It is less urgent than what the channel wants.
    BelowLevel,
    /// The channel was never told of what is over now.
    NeverTold,
}

impl DeliveryMemory {
    /// What is older says nothing any more: whoever was away for a week is told by the next reminder.
    pub const LONGEST_WAIT: TimeDelta = TimeDelta::days(7);
    /// So many wait for one channel at most: two for each of a thousand certificates, some 2 MiB.
    pub const MOST_WAITING: usize = 2000;

    /// Forgets channels that are not in the settings any more.
    pub fn keep_only<'n>(&mut self, channels: impl IntoIterator<Item = &'n str>) {
        let kept: Vec<&str> = channels.into_iter().collect();
        self.channels.retain(|name, _| kept.contains(&name.as_str()));
    }

    /// How many notices wait, each once for every channel that it waits for.
    pub fn pending(&self) -> u64 {
        let waiting: usize = self.channels.values().map(|channel| channel.waiting.len()).sum();
        u64::try_from(waiting).unwrap_or(u64::MAX)
    }

    /// What is remembered of a channel.
    pub fn channel(&mut self, name: &str) -> &mut ChannelMemory {
        self.channels.entry(name.to_owned()).or_default()
    }
}

impl ChannelMemory {
    /// Whether a new notice goes to a channel that wants this level or more; why not, otherwise.
    pub fn wants(&self, notice: &Notice, level: NoticeLevel) -> Result<(), NotSent> {
        match notice.kind {
            NoticeKind::Test => Ok(()),
            // Whoever was told of the trouble is told that it is over, and nobody else.
            NoticeKind::Recovered if self.told.contains_key(&notice.incident) => Ok(()),
            NoticeKind::Recovered => Err(NotSent::NeverTold),
            _ if notice.level < level => Err(NotSent::BelowLevel),
            _ => Ok(()),
        }
    }

    /// Takes new notices in, and gives up what is outdated: what waited of the same incident is told by the newer notice,
    /// and what is over before anybody heard of it need not be told at all. Returns what waited for too long.
    pub fn take_in(&mut self, notices: &[Notice], level: NoticeLevel, now: DateTime<Utc>) -> Vec<WaitingNotice> {
        for notice in notices {
            self.waiting.retain(|waiting| waiting.notice.incident != notice.incident);
            if self.wants(notice, level).is_ok() {
                self.waiting.push(WaitingNotice {
                    notice: notice.clone(),
                    since: now,
                    tries: 0,
                    recipients: Vec::new(),
                });
            }
        }
        // One that waits since a time to come was noted by a clock that was ahead.
        let too_old = |waiting: &WaitingNotice| (now - waiting.since).abs() > DeliveryMemory::LONGEST_WAIT;
        let (mut given_up, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting).into_iter().partition(too_old);
        self.waiting = kept;
        let surplus = self.waiting.len().saturating_sub(DeliveryMemory::MOST_WAITING);
        given_up.extend(self.waiting.drain(..surplus));
        given_up
    }

    /// These were delivered, to everybody.
    pub fn delivered(&mut self, notices: &[Notice], now: DateTime<Utc>) {
        self.failures = 0;
        self.last_success = Some(now);
        for notice in notices {
            self.waiting.retain(|waiting| !is_same(&waiting.notice, notice));
            match notice.kind {
                NoticeKind::Test => {}
                NoticeKind::Recovered => drop(self.told.remove(&notice.incident)),
                _ => drop(self.told.insert(notice.incident.clone(), now)),
            }
        }
    }

    /// These reached some: only `recipients` still have to get them.
    pub fn delivered_but_to(&mut self, notices: &[Notice], recipients: &[String], now: DateTime<Utc>) {
        let mut left: Vec<WaitingNotice> = self
            .waiting
            .iter()
            .filter(|one| notices.iter().any(|notice| is_same(&one.notice, notice)))
            .cloned()
            .collect();
        self.delivered(notices, now);
        for waiting in &mut left {
            waiting.tries = waiting.tries.saturating_add(1);
            waiting.recipients = recipients.to_vec();
        }
        self.waiting.extend(left);
    }

    /// These could not be delivered, and wait for the next run.
    pub fn failed(&mut self, notices: &[Notice]) {
        self.failures = self.failures.saturating_add(1);
        for waiting in &mut self.waiting {
            if notices.iter().any(|notice| is_same(&waiting.notice, notice)) {
                waiting.tries = waiting.tries.saturating_add(1);
            }
        }
    }
}

fn is_same(one: &Notice, other: &Notice) -> bool {
    (&one.key, one.reminder, &one.incident) == (&other.key, other.reminder, &other.incident)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn notice(kind: NoticeKind, level: NoticeLevel, incident: &str) -> Notice {
        let mut notice = Notice::test(now());
        (notice.kind, notice.level) = (kind, level);
        notice.key = format!("{incident}/{}", kind.code());
        notice.incident = incident.to_owned();
        notice
    }

    fn waiting(memory: &ChannelMemory) -> Vec<&str> {
        memory.waiting.iter().map(|one| one.notice.key.as_str()).collect()
    }

    #[test]
    fn what_is_over_before_it_was_told_is_not_told() {
        let mut memory = ChannelMemory::default();
        let overdue = notice(NoticeKind::Overdue, NoticeLevel::Warning, "renewal/a");
        let recovered = notice(NoticeKind::Recovered, NoticeLevel::Info, "renewal/a");
        memory.take_in(std::slice::from_ref(&overdue), NoticeLevel::Info, now());
        memory.failed(std::slice::from_ref(&overdue));
        assert_eq!((waiting(&memory), memory.waiting[0].tries), (vec!["renewal/a/overdue"], 1));
        memory.take_in(std::slice::from_ref(&recovered), NoticeLevel::Info, now());
        assert!(memory.waiting.is_empty());
    }

    #[test]
    fn whoever_was_told_of_trouble_is_told_that_it_is_over_whatever_the_level() {
        let mut memory = ChannelMemory::default();
        let critical = notice(NoticeKind::Expiring, NoticeLevel::Critical, "renewal/a");
        let recovered = notice(NoticeKind::Recovered, NoticeLevel::Info, "renewal/a");
        memory.take_in(
            &[critical.clone(), notice(NoticeKind::Overdue, NoticeLevel::Warning, "renewal/b")],
            NoticeLevel::Critical,
            now(),
        );
        assert_eq!(waiting(&memory), ["renewal/a/expiring"]);
        memory.delivered(&[critical], now());
        assert!(memory.waiting.is_empty() && memory.told.contains_key("renewal/a"));
        memory.take_in(std::slice::from_ref(&recovered), NoticeLevel::Critical, now());
        assert_eq!(waiting(&memory), ["renewal/a/recovered"]);
        memory.delivered(&[recovered], now());
        assert!(memory.told.is_empty());
    }

    #[test]
    fn a_newer_notice_takes_the_place_of_one_that_waits() {
        let mut memory = ChannelMemory::default();
        memory.take_in(&[notice(NoticeKind::Overdue, NoticeLevel::Warning, "renewal/a")], NoticeLevel::Info, now());
        memory.take_in(&[notice(NoticeKind::Expiring, NoticeLevel::Critical, "renewal/a")], NoticeLevel::Info, now());
        assert_eq!(waiting(&memory), ["renewal/a/expiring"]);
    }

    #[test]
    fn only_those_who_have_not_got_it_get_it_again() {
        let mut memory = ChannelMemory::default();
        let overdue = notice(NoticeKind::Overdue, NoticeLevel::Warning, "renewal/a");
        memory.take_in(std::slice::from_ref(&overdue), NoticeLevel::Info, now());
        memory.delivered_but_to(std::slice::from_ref(&overdue), &["b@example.org".to_owned()], now());
        assert_eq!(memory.waiting[0].recipients, ["b@example.org"]);
        assert!(memory.told.contains_key("renewal/a"));
    }

    #[test]
    fn nothing_waits_for_ever_and_not_everything_waits() {
        let mut memory = ChannelMemory::default();
        let many: Vec<Notice> = (0..DeliveryMemory::MOST_WAITING + 2)
            .map(|n| notice(NoticeKind::Overdue, NoticeLevel::Warning, &format!("renewal/{n}")))
            .collect();
        let given_up = memory.take_in(&many, NoticeLevel::Info, now());
        assert_eq!((given_up.len(), memory.waiting.len()), (2, DeliveryMemory::MOST_WAITING));
        let later = now() + DeliveryMemory::LONGEST_WAIT + TimeDelta::seconds(1);
        assert_eq!(memory.take_in(&[], NoticeLevel::Info, later).len(), DeliveryMemory::MOST_WAITING);
        assert!(memory.waiting.is_empty());
    }

    #[test]
    fn a_channel_that_is_gone_is_forgotten() {
        let mut memory = DeliveryMemory::default();
        memory.channel("a");
        memory.channel("b").failures = 2;
        memory.keep_only(["b"]);
        assert_eq!(memory.channels.keys().collect::<Vec<_>>(), ["b"]);
    }
}
