//! Sending to one channel, whatever it is.

use std::time::Duration;

use certkit_core::settings::{ChannelSetting, MailAddress, MailAddresses, NotifySetting, Secret};
use certkit_core::{Notice, escape};
use chrono::{DateTime, Utc};
use tokio::time::timeout;

use super::message::{Message, OneMessageFor, Sender, messages};
use super::{Notifier, exec, mail, preset, webhook};

/// What became of notices that were sent to a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sent {
    /// Everybody has them.
    ToAll,
    /// Some have them.
    ToSome {
        /// Who was refused for good, with the server's words, escaped: it is not tried again.
        refused: Vec<(String, String)>,
        /// Who was put off, with the server's words, escaped: it is tried again.
        later: Vec<(String, String)>,
    },
    /// Nobody has them.
    ToNobody {
        /// Why, escaped, and without any secret.
        why: String,
        /// What to do about it, where that is known better than in general.
        cure: Option<&'static str>,
    },
}

impl Sent {
    pub(super) fn failed(why: impl Into<String>) -> Self {
        Self::ToNobody { why: why.into(), cure: None }
    }

    pub(super) fn failed_with(why: impl Into<String>, cure: &'static str) -> Self {
        Self::ToNobody { why: why.into(), cure: Some(cure) }
    }

    /// Whether everybody has them.
    pub fn is_complete(&self) -> bool {
        *self == Self::ToAll
    }

    /// Whether somebody has them.
    pub fn is_partial(&self) -> bool {
        !matches!(self, Self::ToNobody { .. })
    }

    /// Escaped, cut, and without these secrets.
    fn cleaned(self, secrets: &[Secret]) -> Self {
        let clean = |text: String| redacted(&text, secrets);
        let each = |list: Vec<(String, String)>| list.into_iter().map(|(who, why)| (who, clean(why))).collect();
        match self {
            Self::ToAll => Self::ToAll,
            Self::ToSome { refused, later } => Self::ToSome { refused: each(refused), later: each(later) },
            Self::ToNobody { why, cure } => Self::ToNobody { why: clean(why), cure },
        }
    }
}

/// A message with its addresses.
pub(super) struct Letter<'m> {
    pub(super) from: String,
    pub(super) to: Vec<MailAddress>,
    pub(super) message: &'m Message,
    /// The channel's name.
    pub(super) channel: &'m str,
}

impl Notifier {
    /// To whom a channel sends, for people; escaped and without secrets.
    pub fn recipients(&self, channel: &NotifySetting) -> Vec<String> {
        match &channel.channel {
            ChannelSetting::Smtp(smtp) => self.to(&smtp.addresses, &[]).iter().map(ToString::to_string).collect(),
            ChannelSetting::Sendmail { addresses, .. } => {
                self.to(addresses, &[]).iter().map(ToString::to_string).collect()
            }
            ChannelSetting::Webhook { preset, .. } => vec![preset.name()],
            ChannelSetting::Command { command } => vec![escape(command).into_owned()],
            _ => Vec::new(),
        }
    }

    /// The messages that would go out for these notices.
    pub fn messages(&self, channel: &NotifySetting, notices: &[Notice], now: DateTime<Utc>) -> Vec<Message> {
        let one_for = match &channel.channel {
            ChannelSetting::Webhook { preset, .. } => {
                preset::Preset::load(preset).map_or(OneMessageFor::Run, |preset| preset.one_message_for)
            }
            _ => OneMessageFor::Run,
        };
        messages(notices, one_for, Sender { host: &self.host, flags: &self.flags }, now)
    }

    /// Sends a message by a channel now; by mail only to `only_to` where that is not empty. Whatever happens is in the
    /// result, and it takes no longer than `limit`.
    pub(super) async fn send(
        &self,
        channel: &NotifySetting,
        message: &Message,
        only_to: &[String],
        limit: Duration,
    ) -> Sent {
        let mut secrets = Vec::new();
        let sent = match timeout(limit, self.attempt(channel, message, only_to, &mut secrets)).await {
            Ok(sent) => sent,
            Err(_) => Sent::failed(format!("not done within {} s", limit.as_secs())),
        };
        sent.cleaned(&secrets)
    }

    async fn attempt(
        &self,
        channel: &NotifySetting,
        message: &Message,
        only_to: &[String],
        secrets: &mut Vec<Secret>,
    ) -> Sent {
        match &channel.channel {
            ChannelSetting::Smtp(smtp) => {
                let login = match &smtp.login {
                    None => None,
                    Some((name, source)) => match self.secret(source.clone()).await {
                        Ok(password) => {
                            secrets.push(password.clone());
                            Some((name.clone(), password))
                        }
                        Err(why) => return Sent::failed_with(format!("the password {why}"), super::SECRET_CURE),
                    },
                };
                mail::by_smtp(self, smtp, login, &self.letter(&smtp.addresses, only_to, message, &channel.name)).await
            }
            ChannelSetting::Sendmail { program, addresses } => {
                mail::by_sendmail(self, program, &self.letter(addresses, only_to, message, &channel.name)).await
            }
            ChannelSetting::Webhook { preset, fields } => {
                let mut resolved = Vec::new();
                for (name, source) in fields {
                    match self.secret(source.clone()).await {
                        Ok(secret) => {
                            secrets.push(secret.clone());
                            resolved.push((name.clone(), secret));
                        }
                        Err(why) => return Sent::failed_with(format!("`{name}` {why}"), super::SECRET_CURE),
                    }
                }
                webhook::send(self, preset, &resolved, message).await
            }
            ChannelSetting::Command { command } => exec::send(self, command, message).await,
            _ => Sent::failed("this version does not know this kind of channel"),
        }
    }

    fn letter<'m>(
        &self,
        addresses: &MailAddresses,
        only_to: &[String],
        message: &'m Message,
        channel: &'m str,
    ) -> Letter<'m> {
        Letter { from: self.from(addresses), to: self.to(addresses, only_to), message, channel }
    }

    fn to(&self, addresses: &MailAddresses, only: &[String]) -> Vec<MailAddress> {
        let all = if addresses.to.is_empty() { &self.email } else { &addresses.to };
        all.iter().filter(|one| only.is_empty() || only.iter().any(|wanted| wanted == one.as_str())).cloned().collect()
    }

    /// Without an address of the owner's, one that says which machine it is.
    fn from(&self, addresses: &MailAddresses) -> String {
        addresses.from.as_ref().map_or_else(|| format!("certkit@{}", self.mail_domain()), ToString::to_string)
    }

    /// This machine's name where it can stand in an address.
    pub(super) fn mail_domain(&self) -> String {
        let address = format!("certkit@{}", self.host);
        if MailAddress::parse(&address).is_ok() { self.host.clone() } else { "localhost".to_owned() }
    }
}

/// The longest part of what a server says that is told.
const MOST_SAID: usize = 400;

/// Outside text for a message: without secrets that a server repeats, escaped, cut.
fn redacted(text: &str, secrets: &[Secret]) -> String {
    /// Shorter ones are in every text.
    const SHORTEST: usize = 4;
    let mut text = text.to_owned();
    for secret in secrets {
        let secret = secret.reveal();
        if secret.len() >= SHORTEST {
            text = text.replace(secret, "…");
        }
        // The part of a webhook's URL that counts.
        let path = secret.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map(|(_, path)| path);
        if let Some(path) = path.filter(|path| path.len() >= SHORTEST) {
            text = text.replace(path, "…");
        }
    }
    let text = escape(&text);
    if text.chars().count() <= MOST_SAID {
        return text.into_owned();
    }
    text.chars().take(MOST_SAID).chain(['…']).collect()
}

/// Less than the whole limit, so that a server's silence is told as what it is.
pub(super) const EXCHANGE_LIMIT: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_told_although_a_server_repeats_it() {
        let secrets = [Secret::new("https://hooks.example/services/T0/B0/xyz"), Secret::new("hunter2")];
        let told = redacted("404 /services/T0/B0/xyz not found\x1b for hunter2", &secrets);
        assert_eq!(told, "404 /… not found\\u{1b} for …");
    }
}
