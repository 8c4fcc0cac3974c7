//! Telling the owner: which notices are due, by what everything is like now, and what became of them.
//!
//! It comes last in a run, when everything that the run did is durable, and fails nothing. The store stays locked
//! meanwhile, so that nothing is told twice; that is bounded by [`Notifier::CHANNEL_LIMIT`].

use std::collections::BTreeSet;
use std::sync::Arc;

use certkit_core::settings::{NotifySetting, Settings, SettingsError};
use certkit_core::state::{DeliveryMemory, NotSent, WaitingNotice};
use certkit_core::store::{LockedStore, StoreError};
use certkit_core::{
    Finding, FindingCode, LineageName, Notice, NoticeFacts, NoticeKind, NoticeLevel, NoticeMemory, Severity,
    due_notices, escape, level_of, next_look, words,
};
use chrono::{DateTime, Utc};

use super::inventory::blocking;
use super::{Renewer, Report, Request, RunError, Survey};
use crate::notify::{Beat, Delivery, Message, Notifier};

/// What was told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Told {
    /// When (UTC).
    pub now: DateTime<Utc>,
    /// The notices that are due.
    pub notices: Vec<Notice>,
    /// What was sent to whom: new notices, and what earlier runs could not deliver.
    pub deliveries: Vec<Delivery>,
    /// How many channels there are.
    pub channels: usize,
    /// What went wrong, and, without a channel, the notices themselves.
    pub findings: Vec<Finding>,
}

/// What would be told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Foretold {
    /// When it was looked (UTC).
    pub now: DateTime<Utc>,
    /// What would go out by each channel.
    pub channels: Vec<ForetoldChannel>,
    /// The notices that are due, whether anybody wants them or not.
    pub notices: Vec<Notice>,
    /// The certificates of which nothing is said now.
    pub quiet: Vec<Quiet>,
    /// What is wrong with the memory.
    pub findings: Vec<Finding>,
}

/// What would go out by a channel.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ForetoldChannel {
    /// The channel.
    pub channel: NotifySetting,
    /// To whom, for people; escaped and without secrets.
    pub recipients: Vec<String>,
    /// The messages.
    pub messages: Vec<Message>,
    /// Since when the oldest of them waits, after failed tries.
    pub waits_since: Option<DateTime<Utc>>,
    /// The notices that do not go to it, with why.
    pub left_out: Vec<(Notice, NotSent)>,
}

/// A certificate of which nothing is said.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quiet {
    /// Its name, escaped.
    pub certificate: String,
    /// How urgent it is by the rules; none when all is well.
    pub level: Option<NoticeLevel>,
    /// When it was told last (UTC).
    pub told: Option<DateTime<Utc>>,
}

impl Renewer {
    /// Tells what is due now, and delivers what earlier runs could not. A channel that fails is in the result. Where the
    /// settings cannot be used it goes by the channels that can be read, and that is among the findings.
    pub async fn tell(&self) -> Result<Told, RunError> {
        let (settings, unusable) = self.telling_settings().await?;
        let store = self.store.clone();
        let locked = Arc::new(blocking(move || store.lock()).await?);
        let mut told = self.tell_locked(&locked, &settings, unusable.as_ref(), &Request::renew()).await?;
        told.findings.extend(unusable.map(|error| error.finding()));
        Ok(told)
    }

    /// What [`Renewer::tell`] would tell. Reads the store; asks nobody; takes no lock.
    pub async fn foretell(&self) -> Result<Foretold, RunError> {
        let (settings, unusable) = self.telling_settings().await?;
        let unusable = unusable.map(|error| error.finding());
        let survey = self.survey_with(&Request::renew(), settings.clone()).await?;
        let notifier = self.notifier(&settings);
        let (store, of_settings) = (self.store.clone(), unusable.clone());
        let (survey, known) = blocking(move || {
            let known = Known::read(&store, &survey, of_settings)?;
            Ok::<_, StoreError>((survey, known))
        })
        .await?;
        let Known { notices, memory, mut deliveries, mut findings } = known;
        findings.extend(unusable);
        let now = survey.now;
        forget_what_is_over(&mut deliveries, &notices, &memory);
        let quiet = quiet(&survey, &notices, &memory);
        let channels = notifier
            .channels()
            .iter()
            .map(|channel| {
                let of_channel = deliveries.channel(&channel.name);
                let wants = |notice: &Notice| of_channel.wants(notice, channel.level);
                let left_out =
                    notices.iter().filter_map(|notice| Some((notice.clone(), wants(notice).err()?))).collect();
                let waits_since = of_channel.waiting.iter().map(|waiting| waiting.since).min();
                of_channel.take_in(&notices, channel.level, now);
                let going: Vec<Notice> = of_channel.waiting.iter().map(|waiting| waiting.notice.clone()).collect();
                ForetoldChannel {
                    channel: channel.clone(),
                    recipients: notifier.recipients(channel),
                    messages: notifier.messages(channel, &going, now),
                    waits_since,
                    left_out,
                }
            })
            .collect();
        Ok(Foretold { now, channels, notices, quiet, findings })
    }

    /// When something will be to be told, for whoever runs all the time ([`next_look`]).
    pub(crate) async fn next_telling(&self) -> Result<Option<DateTime<Utc>>, RunError> {
        let survey = self.survey(&Request::renew()).await?;
        let store = self.store.clone();
        let next = blocking(move || {
            let ((memory, _), (deliveries, _)) = (store.notice_memory()?, store.deliveries()?);
            let facts = NoticeFacts::new(&survey.summaries, &survey.findings, &survey.outlook, survey.now);
            Ok::<_, StoreError>(next_look(&facts, &memory, &deliveries))
        })
        .await?;
        Ok(next)
    }

    /// A message by every channel of the settings, to see whether messages arrive. Nothing is remembered of it. Of settings
    /// that cannot be used it tries the channels that can be read.
    pub async fn tell_test(&self) -> Result<Vec<Delivery>, RunError> {
        let (settings, _) = self.telling_settings().await?;
        Ok(self.notifier(&settings).test(self.clock.now()).await)
    }

    /// What a run tells at its end. Whatever goes wrong with it is a finding: the run itself is done.
    pub(super) async fn tell_of_run(
        &self,
        locked: &Arc<LockedStore>,
        settings: &Settings,
        request: &Request,
    ) -> Vec<Finding> {
        match self.tell_locked(locked, settings, None, request).await {
            Ok(told) => told.findings,
            Err(error) => vec![Finding::new(FindingCode::NoticeNotDelivered, "notices", error.to_string())],
        }
    }

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

    fn notifier(&self, settings: &Settings) -> Notifier {
        Notifier::new(settings, self.secrets.clone(), &self.host, &self.transport_settings, &self.commands_by(settings))
    }

    /// `unusable` says why `settings` are only what can be read of those that the owner wrote.
    pub(super) async fn tell_locked(
        &self,
        locked: &Arc<LockedStore>,
        settings: &Settings,
        unusable: Option<&SettingsError>,
        request: &Request,
    ) -> Result<Told, RunError> {
        let mut everything = Request::renew();
        everything.cadence = request.cadence;
        let survey = self.survey_with(&everything, settings.clone()).await?;
        let notifier = self.notifier(settings);
        let (store, holds_secrets) = (Arc::clone(locked), settings.holds_secrets());
        let of_settings = unusable.map(SettingsError::finding);
        let (survey, known, is_public) = blocking(move || {
            let known = Known::read(store.store(), &survey, of_settings)?;
            let is_public = holds_secrets && store.store().settings_are_public();
            Ok::<_, StoreError>((survey, known, is_public))
        })
        .await?;
        let Known { notices, mut memory, mut deliveries, mut findings } = known;
        if is_public {
            let file = self.store.paths().settings_file();
            findings.push(Finding::new(FindingCode::SecretReadable, file.to_string_lossy(), ""));
        }
        let now = survey.now;
        forget_what_is_over(&mut deliveries, &notices, &memory);
        if unusable.is_none() {
            notifier.forget_others(&mut deliveries);
        }
        let given_up = notifier.take_in(&mut deliveries, &notices, now);
        findings.extend(told_of_given_up(&given_up));
        // What is to be sent is durable before anything of it is sent.
        save(locked, None, &deliveries).await?;
        let sent = notifier.deliver(&mut deliveries, now).await;
        findings.extend(sent.iter().filter_map(Delivery::finding));
        for notice in &notices {
            let is_given_up = given_up.iter().any(|(_, waiting)| waiting.notice.incident == notice.incident);
            let is_told = match unusable {
                None => is_told(notice, &notifier, &deliveries, &sent),
                // Those who are not known now may want to hear of it.
                Some(_) => is_sent(notice, &sent),
            };
            if !is_given_up && is_told {
                memory.told(notice, now);
            }
        }
        // Whoever calls this tells of the settings.
        if notifier.channels().is_empty() && unusable.is_none() {
            findings.extend(notices.iter().map(told_of_due));
        }
        memory.prune(now);
        save(locked, Some(memory), &deliveries).await?;
        Ok(Told { now, notices, deliveries: sent, channels: notifier.channels().len(), findings })
    }
}

/// Writes what was told, and what still has to be delivered.
async fn save(
    locked: &Arc<LockedStore>,
    memory: Option<NoticeMemory>,
    deliveries: &DeliveryMemory,
) -> Result<(), StoreError> {
    let (locked, deliveries) = (Arc::clone(locked), deliveries.clone());
    blocking(move || {
        if let Some(memory) = memory {
            locked.save_notice_memory(&memory)?;
        }
        locked.save_deliveries(&deliveries)
    })
    .await
}

/// What is due, and what is remembered of what was told.
struct Known {
    notices: Vec<Notice>,
    memory: NoticeMemory,
    deliveries: DeliveryMemory,
    findings: Vec<Finding>,
}

impl Known {
    /// `unusable` tells of settings that cannot be used.
    fn read(
        store: &certkit_core::store::Store,
        survey: &Survey,
        unusable: Option<Finding>,
    ) -> Result<Self, StoreError> {
        let (memory, damaged) = store.notice_memory()?;
        let (deliveries, lost) = store.deliveries()?;
        let findings: Vec<Finding> = damaged.into_iter().chain(lost).collect();
        let all: Vec<Finding> = survey.findings.iter().chain(&findings).chain(&unusable).cloned().collect();
        let facts = NoticeFacts::new(&survey.summaries, &all, &survey.outlook, survey.now);
        let mut notices = due_notices(&facts, &memory);
        if unusable.is_some() {
            // By other settings than the owner's something may look as if it were over.
            notices.retain(|notice| notice.kind != NoticeKind::Recovered);
        }
        for notice in &mut notices {
            // What was tried is in the history; the state keeps no more than the last failure.
            if let Ok(name) = LineageName::new(notice.certificate.clone())
                && let Ok(history) = store.history(&name)
            {
                notice.take_history(&history);
            }
        }
        Ok(Self { notices, memory, deliveries, findings })
    }
}

/// What waits and is over, or is another trouble now, without anybody having heard of it: that need not be told.
fn forget_what_is_over(deliveries: &mut DeliveryMemory, due: &[Notice], memory: &NoticeMemory) {
    let goes_on = |waiting: &WaitingNotice| {
        let incident = &waiting.notice.incident;
        waiting.notice.kind == NoticeKind::Recovered
            || due.iter().any(|notice| notice.incident == *incident)
            || memory.open().any(|(open, _)| open == incident)
    };
    for channel in deliveries.channels.values_mut() {
        channel.waiting.retain(goes_on);
    }
}

/// Whether a notice counts as told: one channel has taken it, or there is none that wants it.
fn is_told(notice: &Notice, notifier: &Notifier, deliveries: &DeliveryMemory, sent: &[Delivery]) -> bool {
    if is_sent(notice, sent) {
        return true;
    }
    // The log has it, or nobody wants to hear of it.
    let waits = |channel: &NotifySetting| {
        let memory = deliveries.channels.get(&channel.name);
        memory.is_some_and(|memory| memory.waiting.iter().any(|one| one.notice.incident == notice.incident))
    };
    !notifier.channels().iter().any(waits)
}

/// Whether somebody has got it.
fn is_sent(notice: &Notice, sent: &[Delivery]) -> bool {
    let concerns = |delivery: &&Delivery| delivery.notices.iter().any(|one| one.incident == notice.incident);
    sent.iter().filter(concerns).any(|delivery| delivery.sent.is_partial())
}

/// Without a channel: what the owner should know, where somebody may read it.
fn told_of_due(notice: &Notice) -> Finding {
    let subject = if notice.certificate.is_empty() { "this machine" } else { &notice.certificate };
    let severity = match notice.level {
        NoticeLevel::Info => Severity::Notice,
        NoticeLevel::Warning => Severity::Warning,
        _ => Severity::Error,
    };
    let cure = match (notice.cure.is_empty(), notice.command.is_empty()) {
        (true, true) => FindingCode::NoticeDue.cure().to_owned(),
        (false, false) if notice.cure.contains(&notice.command) => notice.cure.clone(),
        (false, false) => format!("{}; {}", notice.cure, notice.command),
        (true, false) => notice.command.clone(),
        (false, true) => notice.cure.clone(),
    };
    Finding::new(FindingCode::NoticeDue, subject, &notice.cause).with_severity(severity).with_cure(cure)
}

/// A finding for each, or one for all of a channel when they are many.
fn told_of_given_up(given_up: &[(String, WaitingNotice)]) -> Vec<Finding> {
    const MOST: usize = 3;
    let mut findings: Vec<Finding> = Vec::new();
    for channel in given_up.iter().map(|(channel, _)| channel).collect::<BTreeSet<_>>() {
        let of_channel: Vec<&WaitingNotice> =
            given_up.iter().filter(|(name, _)| name == channel).map(|(_, waiting)| waiting).collect();
        let told = of_channel.iter().take(MOST).map(|waiting| {
            let about =
                if waiting.notice.certificate.is_empty() { "this machine" } else { &waiting.notice.certificate };
            let (since, tries) = (words::time(waiting.since), waiting.tries);
            format!("{about}: {} (it waited since {since} and was tried {tries} times)", waiting.notice.cause)
        });
        let mut told: Vec<String> = told.collect();
        if of_channel.len() > MOST {
            told.push(format!("and {} more", of_channel.len() - MOST));
        }
        findings.push(Finding::new(FindingCode::NoticeGivenUp, channel, told.join("; ")));
    }
    findings
}

fn quiet(survey: &Survey, notices: &[Notice], memory: &NoticeMemory) -> Vec<Quiet> {
    survey
        .summaries
        .iter()
        .filter(|summary| !notices.iter().any(|notice| notice.certificate == summary.name))
        .map(|summary| Quiet {
            certificate: summary.name.clone(),
            level: level_of(summary, &survey.outlook, survey.now).map(|(level, _)| level),
            told: memory.open().filter(|(_, told)| told.certificate == summary.name).map(|(_, told)| told.at).max(),
        })
        .collect()
}

/// Names and causes, a line each.
fn what_failed(report: &Report) -> String {
    let mut lines: Vec<String> = Vec::new();
    for entry in &report.entries {
        match &entry.outcome {
            super::Outcome::Failed { failure, .. } => lines.push(format!("{}: {}", entry.name, failure.detail)),
            super::Outcome::Broken { reason } => lines.push(format!("{}: {}", entry.name, escape(reason))),
            super::Outcome::Held { by: certkit_core::HeldBy::Failure(failure), .. } => {
                lines.push(format!("{}: {}", entry.name, words::remembered(failure)));
            }
            _ => {}
        }
        for target in &entry.deploy_pending {
            lines.push(format!("{}: not done yet: {}", entry.name, words::deploy_target(target)));
        }
        lines.extend(entry.not_served.iter().map(|line| format!("{}: not served yet: {line}", entry.name)));
    }
    let failed_hooks = report.hooks.iter().filter(|hook| !hook.outcome.success());
    lines.extend(failed_hooks.map(|hook| format!("{} {}", hook.command, hook.outcome.ending)));
    lines.join("\n")
}
