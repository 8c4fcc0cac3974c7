//! Telling the owner: which notices are due, by what everything is like now, and what became of them.
//!
//! It comes last in a run, when everything that the run did is durable, and fails nothing. The store stays locked
//! meanwhile, so that nothing is told twice; that is bounded by [`Notifier::CHANNEL_LIMIT`]. Where the store cannot be
//! locked or written it is told all the same, and remembered elsewhere.

use std::collections::BTreeSet;
use std::sync::Arc;

use certkit_core::settings::{NotifySetting, Settings};
use certkit_core::state::{DeliveryMemory, WaitingNotice};
use certkit_core::store::{LockedStore, ToldMemory};
use certkit_core::{Finding, FindingCode, Notice, NoticeKind, NoticeLevel, NoticeMemory, Severity, words};
use chrono::{DateTime, Utc};

use super::hindered::everything;
use super::inventory::{Inventory, KnownStates};
use super::remembering::Remembering;
use super::to_tell::{Hindrance, ToTell};
use super::{Renewer, Request, RunError};
use crate::blocking::blocking;
use crate::notify::{Delivery, Notifier};

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

impl Renewer {
    /// Tells what is due now, and delivers what earlier runs could not. A channel that fails is in the result. Where the
    /// settings cannot be used it goes by the channels that can be read, and where the store cannot be written it is told
    /// and remembered elsewhere; both are among the findings.
    pub async fn tell(&self) -> Result<Told, RunError> {
        let (settings, unusable) = self.telling_settings().await?;
        let of_settings = unusable.as_ref().map(|error| error.finding());
        let mut told = self.tell_locking(&settings, unusable).await?;
        told.findings.extend(of_settings);
        Ok(told)
    }

    /// A message by every channel of the settings, to see whether messages arrive. Nothing is remembered of it. Of settings
    /// that cannot be used it tries the channels that can be read.
    pub async fn tell_test(&self) -> Result<Vec<Delivery>, RunError> {
        let (settings, _) = self.telling_settings().await?;
        Ok(self.notifier(&settings).test(self.clock.now()).await)
    }

    /// What a run tells at its end; `unrecorded` is why not all of it could be recorded. Whatever goes wrong with it is a
    /// finding: the run itself is done.
    pub(super) async fn tell_of_run(
        &self,
        inventory: &Inventory,
        settings: &Settings,
        request: &Request,
        unrecorded: Option<Finding>,
    ) -> Vec<Finding> {
        let hindrance = Hindrance { settings: None, store: unrecorded };
        match self
            .tell_all(Some(Arc::clone(inventory.locked())), settings, hindrance, request, inventory.stored_states())
            .await
        {
            Ok(told) => told.findings,
            Err(error) => vec![Finding::new(FindingCode::NoticeNotDelivered, "notices", error.to_string())],
        }
    }

    pub(super) fn notifier(&self, settings: &Settings) -> Notifier {
        Notifier::new(settings, self.secrets.clone(), &self.host, &self.transport_settings, &self.commands_by(settings))
            .for_tree(self.store.paths())
    }

    /// Without `locked` nothing is written to the store. What is `known` of lineages is not read again. Trouble with the store is told like everything else, and is the
    /// last of the findings.
    pub(super) async fn tell_all(
        &self,
        locked: Option<Arc<LockedStore>>,
        settings: &Settings,
        hindrance: Hindrance,
        request: &Request,
        known: KnownStates,
    ) -> Result<Told, RunError> {
        let notifier = self.notifier(settings);
        let remembering = self.remembering(locked);
        let mut to_tell = self.to_tell(settings, hindrance, request, known).await?;
        let known = remembering.read().await;
        let mut findings = known.findings.clone();
        findings.extend(self.readable_secret(settings).await);
        to_tell.findings = known.findings;
        if let (Some(error), None) = (&known.error, &to_tell.hindrance.store) {
            to_tell.hindrance.store = Some(self.trouble(error).await);
        }
        let (mut to_tell, prepared) = self.prepare_durably(to_tell, known.told, &notifier, &remembering).await;
        let Prepared { notices, mut told, given_up } = prepared;
        let now = to_tell.survey.now;
        let has_settings = to_tell.hindrance.settings.is_none();
        findings.extend(told_of_given_up(&given_up));
        let sent = notifier.deliver(&mut told.deliveries, now).await;
        findings.extend(sent.iter().filter_map(Delivery::finding));
        let counts = |notice: &&Notice| {
            let is_given_up = given_up.iter().any(|(_, waiting)| waiting.notice.incident == notice.incident);
            let is_told = match has_settings {
                true => is_told(notice, &notifier, &told.deliveries, &sent),
                // Those who are not known now may want to hear of it.
                false => is_sent(notice, &sent),
            };
            !is_given_up && is_told
        };
        notices.iter().filter(counts).for_each(|notice| told.notices.told(notice, now));
        // Whoever calls this tells of the settings.
        if notifier.channels().is_empty() && has_settings {
            findings.extend(notices.iter().map(told_of_due));
        }
        told.notices.prune(now);
        let saved = remembering.save(&told).await;
        if let (Some(error), None) = (&saved.error, &to_tell.hindrance.store) {
            to_tell.hindrance.store = Some(self.trouble(error).await);
        }
        findings.extend(to_tell.hindrance.store);
        Ok(Told { now, notices, deliveries: sent, channels: notifier.channels().len(), findings })
    }

    pub(super) fn remembering(&self, locked: Option<Arc<LockedStore>>) -> Remembering {
        Remembering::new(self.store.clone(), locked, Arc::clone(&self.spare))
    }

    /// How everything is; of a store that cannot be read just that.
    async fn to_tell(
        &self,
        settings: &Settings,
        mut hindrance: Hindrance,
        request: &Request,
        known: KnownStates,
    ) -> Result<ToTell, RunError> {
        let (survey, is_seeing) = match self.survey_knowing(&everything(request), settings.clone(), known).await {
            Ok(survey) => (survey, true),
            Err(RunError::Store(error)) => {
                let trouble = self.trouble(&error).await;
                hindrance.store.get_or_insert(trouble);
                (self.whatever_can_be_seen(settings, request).await, false)
            }
            Err(error) => return Err(error),
        };
        Ok(ToTell { survey, hindrance, findings: Vec::new(), is_seeing })
    }

    /// What is due, stored before anything of it is sent. That it cannot be stored is due itself then.
    async fn prepare_durably(
        &self,
        to_tell: ToTell,
        known: ToldMemory,
        notifier: &Notifier,
        remembering: &Remembering,
    ) -> (ToTell, Prepared) {
        let (mut to_tell, prepared) = self.prepare(to_tell, known.clone(), notifier).await;
        let saved = remembering.save(&prepared.told).await;
        let is_news = saved.error.is_some() && to_tell.hindrance.store.is_none();
        if let (Some(error), true) = (&saved.error, is_news) {
            to_tell.hindrance.store = Some(self.trouble(error).await);
        }
        if !is_news && saved.is_kept {
            return (to_tell, prepared);
        }
        let mut known = known;
        if !saved.is_kept {
            known.notices = to_tell.replayed(&known.notices);
            // What waited would be sent by every run from now on; it is told again by a reminder.
            known.deliveries.channels.values_mut().for_each(|channel| channel.waiting.clear());
        }
        let (to_tell, prepared) = self.prepare(to_tell, known, notifier).await;
        // Where it goes has been told above.
        remembering.save(&prepared.told).await;
        (to_tell, prepared)
    }

    /// What is due, taken in for the channels that want it.
    async fn prepare(&self, to_tell: ToTell, mut told: ToldMemory, notifier: &Notifier) -> (ToTell, Prepared) {
        let (store, notices) = (self.store.clone(), told.notices.clone());
        let (to_tell, notices) = blocking(move || {
            let due = to_tell.due(&store, &notices);
            (to_tell, due)
        })
        .await;
        forget_what_is_over(&mut told.deliveries, &notices, &told.notices);
        if to_tell.hindrance.settings.is_none() {
            notifier.forget_others(&mut told.deliveries);
        }
        let given_up = notifier.take_in(&mut told.deliveries, &notices, to_tell.survey.now);
        (to_tell, Prepared { notices, told, given_up })
    }

    async fn readable_secret(&self, settings: &Settings) -> Option<Finding> {
        let (store, holds_secrets) = (self.store.clone(), settings.holds_secrets());
        let is_public = blocking(move || holds_secrets && store.settings_are_public()).await;
        let file = self.store.paths().settings_file();
        is_public.then(|| Finding::new(FindingCode::SecretReadable, file.to_string_lossy(), ""))
    }
}

/// What is about to be sent.
struct Prepared {
    notices: Vec<Notice>,
    told: ToldMemory,
    /// By channel.
    given_up: Vec<(String, WaitingNotice)>,
}

/// What waits and is over, or is another trouble now, without anybody having heard of it: that need not be told.
pub(super) fn forget_what_is_over(deliveries: &mut DeliveryMemory, due: &[Notice], memory: &NoticeMemory) {
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
