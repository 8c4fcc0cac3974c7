//! What would be told, and when there will be something to tell.

use certkit_core::settings::NotifySetting;
use certkit_core::state::NotSent;
use certkit_core::{Finding, Notice, NoticeFacts, NoticeLevel, NoticeMemory, level_of, next_look};
use chrono::{DateTime, Utc};

use super::telling::forget_what_is_over;
use super::to_tell::{Hindrance, ToTell};
use super::{Renewer, Request, RunError, Survey};
use crate::blocking::blocking;
use crate::notify::Message;

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
    /// What [`Renewer::tell`] would tell. Reads the store; asks nobody; takes no lock. Whether the store can be written shows
    /// only when that is tried, so nothing is foretold of it.
    pub async fn foretell(&self) -> Result<Foretold, RunError> {
        let (settings, unusable) = self.telling_settings().await?;
        let of_settings = unusable.as_ref().map(|error| error.finding());
        let survey = self.survey_with(&Request::renew(), settings.clone()).await?;
        let notifier = self.notifier(&settings);
        let known = self.remembering(None).read().await;
        if let Some(error) = known.error {
            return Err(error.into());
        }
        let mut findings = known.findings.clone();
        findings.extend(of_settings);
        let hindrance = Hindrance { settings: unusable, store: None };
        let to_tell = ToTell { survey, hindrance, findings: known.findings, is_seeing: true };
        let (store, of_notices) = (self.store.clone(), known.told.notices.clone());
        let (survey, mut notices) = blocking(move || {
            let due = to_tell.due(&store, &of_notices);
            (to_tell.survey, due)
        })
        .await;
        notices.retain(|notice| !notice.is_about_the_store());
        let (memory, mut deliveries) = (known.told.notices, known.told.deliveries);
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
        let told = self.remembering(None).read().await.told;
        let next = blocking(move || {
            let facts = NoticeFacts::new(&survey.summaries, &survey.findings, &survey.outlook, survey.now);
            next_look(&facts, &told.notices, &told.deliveries)
        })
        .await;
        Ok(next)
    }
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
