//! Telling the owner: by mail, webhooks and commands, and a heartbeat for whoever waits for silence.
//!
//! Which notices are due, and what they say, is decided in certkit-core. A [`Notifier`] knows how this machine tells
//! something; what could not be delivered stays in a [`DeliveryMemory`] and is tried again by the next run.
//!
//! `channel` sends to one channel, `message` puts notices into messages, `mail`, `webhook` and `exec` are the ways,
//! `preset` and `template` make a webhook's request out of data, `secrets` finds passwords, `heartbeat` is the dead
//! man's switch.

mod channel;
pub use channel::Sent;

mod exec;

mod heartbeat;
pub use heartbeat::Beat;

mod mail;

mod message;
pub use message::Message;

mod preset;

mod secrets;
pub use secrets::{SecretError, Secrets};

mod template;

mod webhook;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use certkit_core::settings::{MailAddress, NotifySetting, Secret, Settings, Source, Sourced};
use certkit_core::state::{DeliveryMemory, WaitingNotice};
use certkit_core::store::StorePaths;
use certkit_core::{Finding, FindingCode, Notice};
use chrono::{DateTime, Utc};
use futures_util::future::join_all;

use crate::command::CommandSettings;
use crate::transport::{PostClient, TransportSettings};

/// How this machine tells its owner something. It holds no connection between calls.
#[derive(Clone, Debug)]
pub struct Notifier {
    channels: Vec<NotifySetting>,
    email: Vec<MailAddress>,
    secrets: Arc<Secrets>,
    host: String,
    flags: String,
    transport: TransportSettings,
    commands: CommandSettings,
    client: Arc<OnceLock<Result<PostClientBox, String>>>,
}

/// What became of what waited for one channel.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Delivery {
    /// The channel's name.
    pub channel: String,
    /// To whom, for people; escaped and without secrets.
    pub recipients: Vec<String>,
    /// What was sent.
    pub notices: Vec<Notice>,
    /// What became of it.
    pub sent: Sent,
}

#[derive(Clone)]
struct PostClientBox(PostClient);

impl std::fmt::Debug for PostClientBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PostClient")
    }
}

const SECRET_CURE: &str =
    "put the secret where certkit/settings.toml says it is, readable for the user who runs certkit";

impl Notifier {
    /// For one channel. All are served at once, so that this is the longest time for all.
    pub const CHANNEL_LIMIT: Duration = Duration::from_secs(50);

    /// By the owner's settings. `host` is the name of this machine, as its owner calls it; how servers are reached is as
    /// for a CA, but their certificates are always checked; commands run as hooks do, but not for as long.
    pub fn new(
        settings: &Settings,
        secrets: Secrets,
        host: &str,
        transport: &TransportSettings,
        commands: &CommandSettings,
    ) -> Self {
        let mut commands = commands.clone();
        commands.time_limit = channel::EXCHANGE_LIMIT;
        commands.grace = Duration::from_secs(2);
        Self {
            channels: settings.channels().into_iter().map(|channel: Sourced<NotifySetting>| channel.value).collect(),
            email: settings.email.value.clone(),
            secrets: Arc::new(secrets),
            host: host.to_owned(),
            flags: String::new(),
            transport: transport.clone(),
            commands,
            client: Arc::default(),
        }
    }

    /// Has commands in messages say which tree they are for, where it is not certbot's own.
    #[must_use]
    pub fn for_tree(mut self, paths: &StorePaths) -> Self {
        self.flags = paths.flags();
        self
    }

    /// The channels, in the order of the settings.
    pub fn channels(&self) -> &[NotifySetting] {
        &self.channels
    }

    /// Forgets what waits for channels that are not in the settings any more.
    pub fn forget_others(&self, memory: &mut DeliveryMemory) {
        memory.keep_only(self.channels.iter().map(|channel| channel.name.as_str()));
    }

    /// Takes new notices in. Returns what is given up because it waited for too long, by channel.
    pub fn take_in(
        &self,
        memory: &mut DeliveryMemory,
        notices: &[Notice],
        now: DateTime<Utc>,
    ) -> Vec<(String, WaitingNotice)> {
        let mut given_up = Vec::new();
        for channel in &self.channels {
            let lost = memory.channel(&channel.name).take_in(notices, channel.level, now);
            given_up.extend(lost.into_iter().map(|one| (channel.name.clone(), one)));
        }
        given_up
    }

    /// Delivers everything that waits, by all channels at once, and notes in the memory what became of it. Whatever fails
    /// is in the result.
    pub async fn deliver(&self, memory: &mut DeliveryMemory, now: DateTime<Utc>) -> Vec<Delivery> {
        let waiting: Vec<(&NotifySetting, Vec<WaitingNotice>)> = self
            .channels
            .iter()
            .map(|channel| (channel, memory.channel(&channel.name).waiting.clone()))
            .filter(|(_, waiting)| !waiting.is_empty())
            .collect();
        let sending = waiting.into_iter().map(|(channel, waiting)| self.deliver_to(channel, waiting, now));
        let all: Vec<Delivery> = join_all(sending).await.into_iter().flatten().collect();
        for delivery in &all {
            let memory = memory.channel(&delivery.channel);
            match &delivery.sent {
                Sent::ToAll => memory.delivered(&delivery.notices, now),
                Sent::ToSome { later, .. } if later.is_empty() => memory.delivered(&delivery.notices, now),
                Sent::ToSome { later, .. } => {
                    let recipients: Vec<String> = later.iter().map(|(who, _)| who.clone()).collect();
                    memory.delivered_but_to(&delivery.notices, &recipients, now);
                }
                Sent::ToNobody { .. } => memory.failed(&delivery.notices),
            }
        }
        all
    }

    /// Sends a message by each channel, to see whether messages arrive.
    pub async fn test(&self, now: DateTime<Utc>) -> Vec<Delivery> {
        let sending =
            self.channels.iter().map(|channel| self.send_all(channel, vec![Notice::test(now)], Vec::new(), now));
        join_all(sending).await.into_iter().flatten().collect()
    }

    /// What waits for the same people goes in one go.
    async fn deliver_to(
        &self,
        channel: &NotifySetting,
        waiting: Vec<WaitingNotice>,
        now: DateTime<Utc>,
    ) -> Vec<Delivery> {
        let mut by_recipients: BTreeMap<Vec<String>, Vec<Notice>> = BTreeMap::new();
        for one in waiting {
            by_recipients.entry(one.recipients).or_default().push(one.notice);
        }
        let sending = by_recipients.into_iter().map(|(only_to, notices)| self.send_all(channel, notices, only_to, now));
        join_all(sending).await.into_iter().flatten().collect()
    }

    /// One message after the other, so that each is known to have arrived or not. After one that failed, the others are
    /// not tried: they would fail as well, and each would take its time.
    async fn send_all(
        &self,
        channel: &NotifySetting,
        notices: Vec<Notice>,
        only_to: Vec<String>,
        now: DateTime<Utc>,
    ) -> Vec<Delivery> {
        let deadline = tokio::time::Instant::now() + Self::CHANNEL_LIMIT;
        let mut deliveries: Vec<Delivery> = Vec::new();
        for message in self.messages(channel, &notices, now) {
            let failed = deliveries.last().map(|delivery| &delivery.sent).filter(|sent| !sent.is_partial()).cloned();
            let sent = match failed {
                Some(failed) => failed,
                None => {
                    let left = deadline.saturating_duration_since(tokio::time::Instant::now());
                    self.send(channel, &message, &only_to, left).await
                }
            };
            let recipients = if only_to.is_empty() { self.recipients(channel) } else { only_to.clone() };
            let notices = message.notices().cloned().collect();
            deliveries.push(Delivery { channel: channel.name.clone(), recipients, notices, sent });
        }
        deliveries
    }

    /// A secret, looked up where blocking does no harm. The error is escaped.
    async fn secret(&self, source: Source) -> Result<Secret, String> {
        let secrets = Arc::clone(&self.secrets);
        let resolved = tokio::task::spawn_blocking(move || secrets.resolve(&source)).await;
        resolved
            .map_err(|error| error.to_string())?
            .map_err(|error| certkit_core::escape(&error.to_string()).into_owned())
    }

    fn client(&self) -> Result<PostClient, String> {
        let client = self.client.get_or_init(|| {
            PostClient::new(&self.transport)
                .map(PostClientBox)
                .map_err(|error| certkit_core::escape(&error.to_string()).into_owned())
        });
        client.clone().map(|client| client.0)
    }
}

impl Delivery {
    /// What the owner should know of it: nothing when everybody has it.
    pub fn finding(&self) -> Option<Finding> {
        let list = |list: &[(String, String)]| {
            list.iter().map(|(who, why)| format!("{who}: {why}")).collect::<Vec<_>>().join("; ")
        };
        let finding = |evidence: String| Finding::new(FindingCode::NoticeNotDelivered, &self.channel, evidence);
        match &self.sent {
            Sent::ToAll => None,
            Sent::ToSome { refused, later } if refused.is_empty() => {
                Some(finding(format!("it is put off for some: {}", list(later))))
            }
            Sent::ToSome { refused, later } => {
                let mut evidence = format!("it is refused for some: {}", list(refused));
                if !later.is_empty() {
                    evidence.push_str(&format!("; put off: {}", list(later)));
                }
                Some(finding(evidence).with_cure(
                    "correct the addresses in certkit/settings.toml (`email`, or `to` of the channel), and try them: certkit notify --test",
                ))
            }
            Sent::ToNobody { why, cure } => {
                let finding = finding(why.clone());
                Some(match cure {
                    Some(cure) => finding.with_cure(cure),
                    None => finding,
                })
            }
        }
    }
}
