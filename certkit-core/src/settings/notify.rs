//! Who is told, and how: `email`, `[[notify]]` and `[heartbeat]`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::Source;
use crate::NoticeLevel;

/// One `[[notify]]` table of `certkit/settings.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotifySetting {
    /// `name`: what it is called in messages and in the memory of what was delivered; made of the kind without one.
    /// Unique, and no secret.
    pub name: String,
    /// `level`: what is less urgent is not sent. Everything by default.
    pub level: NoticeLevel,
    /// How it is sent.
    pub channel: ChannelSetting,
}

/// How notices are sent, by the key that says what a `[[notify]]` table is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChannelSetting {
    /// `smtp = "mail.example.org"`: mail by way of this server.
    Smtp(SmtpSetting),
    /// `sendmail = "/usr/sbin/sendmail"`: mail by way of this machine's own mail system.
    Sendmail {
        /// The program.
        program: PathBuf,
        /// From whom and to whom.
        addresses: MailAddresses,
    },
    /// `webhook = "slack"`: an HTTPS request.
    Webhook {
        /// What is sent where.
        preset: Preset,
        /// `url`, `token`, `chat_id` …: what the preset needs to know. Some are secrets, so none is shown.
        fields: BTreeMap<String, Source>,
    },
    /// `command = "…"`: a shell command, with the notices as JSON on its standard input.
    Command {
        /// The command.
        command: String,
    },
}

/// `smtp = "HOST"` with the keys that belong to it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SmtpSetting {
    /// The server: a name or an address.
    pub host: String,
    /// `port`: 587, with `tls = "tls"` 465 and with `tls = "none"` 25 by default.
    pub port: u16,
    /// `tls`: STARTTLS by default.
    pub tls: SmtpTls,
    /// `username` with its `password`.
    pub login: Option<(String, Source)>,
    /// From whom and to whom.
    pub addresses: MailAddresses,
}

/// How the connection to a mail server is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SmtpTls {
    /// By STARTTLS (RFC 3207): a server that does not offer it is refused, and sees no password.
    #[default]
    StartTls,
    /// From the first byte (RFC 8314).
    Tls,
    /// Not at all: for a server on this machine alone.
    None,
}

/// From whom and to whom mail goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MailAddresses {
    /// `from`: `certkit@` and this machine's name without it.
    pub from: Option<MailAddress>,
    /// `to`: those of `email` without it.
    pub to: Vec<MailAddress>,
}

/// What a webhook sends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Preset {
    /// What a known service wants.
    Service(WebhookService),
    /// What this file of the owner's says.
    File(PathBuf),
}

/// A service that is known. What is sent to it stands in certkit-acme, as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebhookService {
    /// Its word in the settings.
    pub name: &'static str,
    /// The fields that it cannot do without.
    pub needs: &'static [&'static str],
    /// The fields that it also knows.
    pub knows: &'static [&'static str],
}

/// `[heartbeat]`: a URL that is called after each run, so that somebody else notices when no more runs come.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeartbeatSetting {
    /// `url`: whoever knows it can pretend that all is well, so it is not shown.
    pub url: Source,
    /// `failures`: whether URL/fail is called instead when something failed. True by default.
    pub failures: bool,
    /// `start`: whether URL/start is called when a run begins. False by default.
    pub start: bool,
}

/// A mail address that is safe in a header, in an envelope and among the arguments of a program: ASCII, no quotes, no
/// blanks, no hyphen in front.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailAddress(String);

/// Why a text is not a mail address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MailAddressError(&'static str);

impl WebhookService {
    /// Those that are known.
    pub const ALL: [Self; 10] = [
        Self { name: "discord", needs: &["url"], knows: &[] },
        Self { name: "generic", needs: &["url"], knows: &["token"] },
        Self { name: "gotify", needs: &["server", "token"], knows: &[] },
        Self { name: "mattermost", needs: &["url"], knows: &["channel"] },
        Self { name: "ntfy", needs: &["topic"], knows: &["server", "token"] },
        Self { name: "pagerduty", needs: &["routing_key"], knows: &["server"] },
        Self { name: "pushover", needs: &["token", "user"], knows: &["server", "device"] },
        Self { name: "slack", needs: &["url"], knows: &[] },
        Self { name: "teams", needs: &["url"], knows: &[] },
        Self { name: "telegram", needs: &["token", "chat_id"], knows: &["server"] },
    ];

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.name == name)
    }
}

impl SmtpTls {
    /// All, as the settings write them.
    pub const ALL: [Self; 3] = [Self::StartTls, Self::Tls, Self::None];

    /// The word for it in the settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StartTls => "starttls",
            Self::Tls => "tls",
            Self::None => "none",
        }
    }

    /// The usual port: submission with STARTTLS or TLS (RFC 8314 section 7.3), or relay on the same machine.
    pub fn usual_port(self) -> u16 {
        match self {
            Self::StartTls => 587,
            Self::Tls => 465,
            Self::None => 25,
        }
    }
}

impl Preset {
    /// What it is called in the settings, escaped.
    pub fn name(&self) -> String {
        match self {
            Self::Service(service) => service.name.to_owned(),
            Self::File(path) => crate::escape(&path.to_string_lossy()).into_owned(),
        }
    }
}

impl ChannelSetting {
    /// The key that says what it is.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Smtp(_) => "smtp",
            Self::Sendmail { .. } => "sendmail",
            Self::Webhook { .. } => "webhook",
            Self::Command { .. } => "command",
        }
    }

    /// Whether it sends mail.
    pub fn is_mail(&self) -> bool {
        matches!(self, Self::Smtp(_) | Self::Sendmail { .. })
    }

    /// From whom and to whom its mail goes.
    pub fn addresses(&self) -> Option<&MailAddresses> {
        match self {
            Self::Smtp(smtp) => Some(&smtp.addresses),
            Self::Sendmail { addresses, .. } => Some(addresses),
            _ => None,
        }
    }

    /// What its messages call it where the owner gave it no name.
    pub(super) fn usual_name(&self) -> String {
        match self {
            Self::Smtp(smtp) => format!("smtp {}", crate::escape(&smtp.host)),
            Self::Webhook { preset, .. } => match preset {
                Preset::Service(service) => service.name.to_owned(),
                Preset::File(path) => {
                    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                    format!("webhook {}", crate::escape(&stem))
                }
            },
            other => other.kind().to_owned(),
        }
    }
}

impl NotifySetting {
    /// Mail to the addresses of `email` by way of this machine's own mail system: what applies when there are addresses
    /// and no table says how to reach them.
    pub fn local_mail() -> Self {
        /// Where the interface of every Unix mail system is (Filesystem Hierarchy Standard 3.0 section 4.4.2).
        const SENDMAIL: &str = "/usr/sbin/sendmail";
        let channel = ChannelSetting::Sendmail { program: SENDMAIL.into(), addresses: MailAddresses::default() };
        Self { name: channel.usual_name(), level: NoticeLevel::Info, channel }
    }
}

impl MailAddress {
    /// RFC 5321 section 4.5.3.1.
    const MAX_LOCAL_BYTES: usize = 64;
    const MAX_BYTES: usize = 254;

    /// Checks an address: `local@domain` with the characters of RFC 5322's dot-atom.
    pub fn parse(text: &str) -> Result<Self, MailAddressError> {
        let (local, domain) = text.rsplit_once('@').ok_or(MailAddressError("it has no @"))?;
        if !text.is_ascii() {
            return Err(MailAddressError("it is not ASCII: write the domain as A-labels (xn--…)"));
        }
        if text.len() > Self::MAX_BYTES || local.len() > Self::MAX_LOCAL_BYTES {
            return Err(MailAddressError("it is too long"));
        }
        // A hyphen in front would be an option of sendmail (RUSTSEC-2020-0069).
        if local.starts_with('-') {
            return Err(MailAddressError("it begins with a hyphen"));
        }
        let atom = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
        if !local.split('.').all(|part| !part.is_empty() && part.bytes().all(atom)) {
            return Err(MailAddressError("the part before the @ holds a character that is not possible there"));
        }
        let label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if !domain.split('.').all(label) {
            return Err(MailAddressError("the part after the @ is not a domain name"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_hold_nothing_that_a_header_or_a_program_reads_otherwise() {
        for good in ["a@example.org", "root@localhost", "first.last+x@sub.example.org", "o'neil@example.org"] {
            assert_eq!(MailAddress::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "root",
            "-OQueueDirectory=/tmp@example.org",
            "a@example.org\r\nBcc: b@example.org",
            "a b@example.org",
            "\"a\"@example.org",
            "a@b@example.org",
            "a@exa mple.org",
            "a@-x.example",
            "a@example.org,b@example.org",
            "a..b@example.org",
            "a@[127.0.0.1]",
            "ü@example.org",
            "a@",
            "@example.org",
            "<a@example.org>",
        ] {
            assert!(MailAddress::parse(bad).is_err(), "{bad}");
        }
        assert!(MailAddress::parse(&format!("{}@example.org", "x".repeat(65))).is_err());
    }
}
