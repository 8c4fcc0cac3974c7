//! `email`, `[[notify]]` tables and the `[heartbeat]` table.

use std::collections::BTreeMap;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::SettingsProblemCode as Code;
use super::document::{Key, Lines, Names, Reader, Value};
use super::keys::nearest;
use super::notify::{
    ChannelSetting, HeartbeatSetting, MailAddress, MailAddresses, NotifySetting, Preset, SmtpSetting, SmtpTls,
    WebhookService,
};
use super::problem::shown;
use super::source::{Secret, Source};
use super::values::tables;
use super::{Origin, Sourced};
use crate::NoticeLevel;

/// The keys that say what a table is, each with the further keys that belong to it. A `*` marks those that may be
/// secrets, which have four spellings.
const KINDS: [(&str, &[&str]); 4] = [
    ("command", &[]),
    ("sendmail", &["from", "to"]),
    ("smtp", &["port", "tls", "username", "password*", "from", "to"]),
    ("webhook", &[]),
];
/// The keys of every table.
const EVERY: [&str; 2] = ["name", "level"];
/// The spellings of a value that may be a secret, after its name.
const SPELLINGS: [&str; 4] = ["", "_file", "_env", "_credential"];

/// The words for levels.
const LEVELS: [(&str, NoticeLevel); 4] = [
    ("info", NoticeLevel::Info),
    ("warning", NoticeLevel::Warning),
    ("critical", NoticeLevel::Critical),
    ("emergency", NoticeLevel::Emergency),
];

/// No service wants as many, and each may be a file that is read.
const MAX_FIELDS: usize = 16;
/// Names stand in one line of a table.
const MAX_NAME_CHARS: usize = 60;
/// RFC 1035 section 2.3.4.
const MAX_HOST_BYTES: usize = 253;

/// Reads `email`: one address, or a list.
pub(super) fn email(reader: &mut Reader, key: &str, value: &Value<'_>) -> Option<Vec<MailAddress>> {
    if let DeValue::String(_) = value.get_ref() {
        return address(reader, key, value).map(|address| vec![address]);
    }
    let before = reader.count();
    let texts = reader.texts(key, value, "[\"owner@example.org\"]")?;
    let addresses = texts.iter().filter_map(|(_, item)| address(reader, key, item)).collect();
    (reader.count() == before).then_some(addresses)
}

/// Reads the value of `notify`. What has a problem is left out.
pub(super) fn read(reader: &mut Reader, value: &Value<'_>) -> Vec<Sourced<NotifySetting>> {
    let Some(tables) = tables(value) else {
        reader.wrong_type("notify", value, "a list of tables", "write `[[notify]]` above the keys of each channel");
        return Vec::new();
    };
    let mut channels: Vec<Sourced<NotifySetting>> = Vec::new();
    for (place, table) in tables {
        let before = reader.count();
        let Some((channel, at)) = (Table { reader, key: "notify", place, table }).channel() else { continue };
        let mut fields = Table { reader, key: "notify", place, table };
        let level = fields.level();
        let given = fields.name();
        if reader.count() != before {
            continue;
        }
        let taken = |name: &str| channels.iter().find(|other| other.value.name == name);
        let name = match given {
            Some((name, _)) if taken(&name).is_none() => name,
            Some((name, named)) => {
                let line = taken(&name).and_then(|other| other.origin.line()).unwrap_or_default();
                let what = format!("the channel in line {line} is called `{}`, too", shown(&name));
                reader.report(
                    Code::Duplicate,
                    named.span(),
                    "notify.name",
                    what,
                    "give each channel a name of its own",
                );
                continue;
            }
            None => {
                let usual = channel.usual_name();
                let numbered = |number: usize| if number == 1 { usual.clone() } else { format!("{usual} {number}") };
                // One more than there are tables is free at the latest.
                (1..=channels.len() + 1).map(numbered).find(|name| taken(name).is_none()).unwrap_or_default()
            }
        };
        let line = reader.line(at.span().start);
        let setting = NotifySetting { name, level, channel };
        channels.push(Sourced::new(setting, Origin::SettingsFile { line }));
    }
    channels
}

/// Reads the value of `heartbeat`.
pub(super) fn heartbeat(reader: &mut Reader, value: &Value<'_>) -> Option<HeartbeatSetting> {
    let DeValue::Table(table) = value.get_ref() else {
        reader.wrong_type("heartbeat", value, "a table", "write `[heartbeat]` above `url = \"https://…\"`");
        return None;
    };
    let before = reader.count();
    let mut table = Table { reader, key: "heartbeat", place: value, table };
    table.refuse_others("heartbeat", &["url*", "failures", "start"]);
    let url = table.source("url");
    let truth = |table: &mut Table<'_, '_, '_>, key: &str, default| match table.table.get(key) {
        Some(value) => table.reader.truth(&format!("heartbeat.{key}"), value).unwrap_or(default),
        None => default,
    };
    let (failures, start) = (truth(&mut table, "failures", true), truth(&mut table, "start", false));
    if url.is_none() && reader.count() == before {
        reader.bad("heartbeat.url", value, "[heartbeat] has no `url`", "write `url = \"https://…\"`, or `url_file`");
    }
    url.filter(|_| reader.count() == before).map(|url| HeartbeatSetting { url, failures, start })
}

struct Table<'r, 'v, 't> {
    reader: &'r mut Reader,
    key: &'static str,
    place: &'v Value<'t>,
    table: &'v DeTable<'t>,
}

impl<'v, 't> Table<'_, 'v, 't> {
    /// How is sent, and the value that says so.
    fn channel(&mut self) -> Option<(ChannelSetting, &'v Value<'t>)> {
        let before = self.reader.count();
        let (kind, further) = self.kind()?;
        let value = self.table.get(kind)?;
        let setting = match kind {
            "command" => {
                self.refuse_others(kind, further);
                let command = self.reader.text("notify.command", value, Lines::Many);
                command.map(|command| ChannelSetting::Command { command: command.to_owned() })
            }
            "sendmail" => {
                self.refuse_others(kind, further);
                let program = self.reader.path("notify.sendmail", value, Names::File);
                let addresses = self.addresses();
                program.map(|program| ChannelSetting::Sendmail { program, addresses })
            }
            "smtp" => {
                self.refuse_others(kind, further);
                self.smtp(value).map(ChannelSetting::Smtp)
            }
            _ => self.webhook(value),
        };
        setting.filter(|_| self.reader.count() == before).map(|setting| (setting, value))
    }

    /// What the table is, by the one key that says so.
    fn kind(&mut self) -> Option<(&'static str, &'static [&'static str])> {
        let mut named: Vec<_> = KINDS.into_iter().filter(|(kind, _)| self.table.contains_key(*kind)).collect();
        let names = KINDS.map(|(kind, _)| kind);
        match named.as_slice() {
            [_] => named.pop(),
            [] => {
                let mistyped =
                    self.table.iter().find_map(|(key, _)| Some((key.span(), nearest(key.get_ref(), names)?)));
                let (at, cure) = match mistyped {
                    Some((at, near)) => (at, format!("did you mean `{near}`?")),
                    None => (self.place.span(), format!("write one of the keys {} into it", names.join(", "))),
                };
                let what = "a [[notify]] table does not say what it is";
                self.reader.report(Code::NotifyKind, at, "notify", what, cure);
                None
            }
            several => {
                let names: Vec<String> = several.iter().map(|(kind, _)| format!("`{kind}`")).collect();
                let what = format!("{} stand in one [[notify]] table", names.join(" and "));
                let cure = "write a [[notify]] table for each of them";
                self.reader.report(Code::NotifyKind, self.place.span(), "notify", what, cure);
                None
            }
        }
    }

    /// Tells of every key that does not belong here.
    fn refuse_others(&mut self, kind: &str, further: &[&str]) {
        let mut known: Vec<String> = vec![kind.to_owned()];
        if self.key == "notify" {
            known.extend(EVERY.map(str::to_owned));
        }
        for key in further {
            match key.strip_suffix('*') {
                Some(secret) => known.extend(SPELLINGS.map(|spelling| format!("{secret}{spelling}"))),
                None => known.push((*key).to_owned()),
            }
        }
        for (key, _) in self.table {
            if !known.iter().any(|known| known == key.get_ref().as_ref()) {
                self.unknown(key, kind, &known);
            }
        }
    }

    fn unknown(&mut self, key: &Key<'_>, kind: &str, known: &[String]) {
        let name = key.get_ref().as_ref();
        let cure = match nearest(name, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the keys are: {}", known.join(", ")),
        };
        let what = match self.key {
            "notify" => format!("`{}` has no meaning with `{kind}`", shown(name)),
            _ => format!("`{}` is not known in [{}]", shown(name), self.key),
        };
        self.reader.report(Code::UnknownKey, key.span(), &format!("{}.{name}", self.key), what, cure);
    }

    fn name(&mut self) -> Option<(String, &'v Value<'t>)> {
        let value = self.table.get("name")?;
        let text = self.reader.text("notify.name", value, Lines::One)?.trim();
        if text.chars().count() > MAX_NAME_CHARS {
            let cure = format!("write at most {MAX_NAME_CHARS} characters");
            self.reader.bad("notify.name", value, "`notify.name` is too long", cure);
            return None;
        }
        Some((text.to_owned(), value))
    }

    fn level(&mut self) -> NoticeLevel {
        let Some(value) = self.table.get("level") else { return NoticeLevel::Info };
        let Some(text) = self.reader.text("notify.level", value, Lines::One) else { return NoticeLevel::Info };
        match LEVELS.into_iter().find(|(word, _)| *word == text) {
            Some((_, level)) => level,
            None => {
                let names = LEVELS.map(|(word, _)| word);
                let cure = match nearest(text, names) {
                    Some(near) => format!("did you mean `level = \"{near}\"`?"),
                    None => format!("write one of {}", names.join(", ")),
                };
                self.reader.bad("notify.level", value, format!("`level` cannot be `{}`", shown(text)), cure);
                NoticeLevel::Info
            }
        }
    }

    fn addresses(&mut self) -> MailAddresses {
        let from = self.table.get("from").and_then(|value| address(self.reader, "notify.from", value));
        let to = self.table.get("to").and_then(|value| {
            let to = email(self.reader, "notify.to", value)?;
            if to.is_empty() {
                let cure = "name an address, or remove the line for those of `email`";
                self.reader.bad("notify.to", value, "`notify.to` is an empty list, so nobody would be told", cure);
            }
            Some(to)
        });
        MailAddresses { from, to: to.unwrap_or_default() }
    }

    fn smtp(&mut self, value: &Value<'_>) -> Option<SmtpSetting> {
        let host = self.reader.text("notify.smtp", value, Lines::One)?.trim().to_owned();
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
        let is_address = bare.parse::<std::net::IpAddr>().is_ok();
        if bare.len() > MAX_HOST_BYTES
            || bare.starts_with('-')
            || !bare.bytes().all(valid)
            || (bare.contains(':') && !is_address)
        {
            let what = format!("`{}` is not the name or address of a mail server", shown(&host));
            self.reader.bad("notify.smtp", value, what, "write `smtp = \"mail.example.org\"`, the port beside it");
            return None;
        }
        let tls = self.tls(&bare)?;
        let port = match self.table.get("port") {
            Some(port) => {
                self.reader.number("notify.port", port, 1..=u64::from(u16::MAX)).and_then(|n| n.try_into().ok())?
            }
            None => tls.usual_port(),
        };
        let login = self.login();
        let addresses = self.addresses();
        Some(SmtpSetting { host: bare, port, tls, login, addresses })
    }

    fn tls(&mut self, host: &str) -> Option<SmtpTls> {
        let Some(value) = self.table.get("tls") else { return Some(SmtpTls::default()) };
        let text = self.reader.text("notify.tls", value, Lines::One)?;
        match SmtpTls::ALL.into_iter().find(|tls| tls.as_str() == text) {
            Some(SmtpTls::None) if !crate::url::is_loopback(host) => {
                let what = format!("`tls = \"none\"` is for a server on this machine, not for `{}`", shown(host));
                let cure =
                    "write `tls = \"starttls\"` or `tls = \"tls\"`; notices and the password would be read on the way";
                self.reader.bad("notify.tls", value, what, cure);
                None
            }
            Some(tls) => Some(tls),
            None => {
                let cure = "write `tls = \"starttls\"`, `tls = \"tls\"` or, on this machine, `tls = \"none\"`";
                self.reader.bad("notify.tls", value, format!("`tls` cannot be `{}`", shown(text)), cure);
                None
            }
        }
    }

    fn login(&mut self) -> Option<(String, Source)> {
        let password = self.source("password");
        let username = self.table.get("username");
        let name = username.and_then(|value| self.reader.text("notify.username", value, Lines::One));
        match (name, password) {
            (Some(name), Some(password)) => Some((name.to_owned(), password)),
            (Some(_), None) => {
                let cure = "write `password_file = \"/…\"` (or password_credential, password_env, password) beside it";
                let at = username.unwrap_or(self.place);
                self.reader.bad("notify.username", at, "`username` has no password", cure);
                None
            }
            (None, Some(_)) if username.is_none() => {
                self.reader.bad(
                    "notify.password",
                    self.place,
                    "a password without `username`",
                    "write `username = \"…\"`",
                );
                None
            }
            _ => None,
        }
    }

    fn webhook(&mut self, value: &Value<'_>) -> Option<ChannelSetting> {
        let text = self.reader.text("notify.webhook", value, Lines::One)?;
        let preset = if text.starts_with('/') {
            Preset::File(self.reader.path("notify.webhook", value, Names::File)?)
        } else if let Some(service) = WebhookService::named(text) {
            Preset::Service(service)
        } else {
            let names = WebhookService::ALL.map(|service| service.name);
            let cure = match nearest(text, names) {
                Some(near) => format!("did you mean `webhook = \"{near}\"`?"),
                None if text.contains("://") => {
                    format!("name the service, and write the URL beside it (`url_file` or `url`): {}", names.join(", "))
                }
                None => format!("the services are: {}; or write the path of a preset of your own", names.join(", ")),
            };
            // What was written may be a URL, and a webhook's URL is a secret.
            let quoted = if text.contains("://") { "a URL".to_owned() } else { format!("`{}`", shown(text)) };
            self.reader.bad("notify.webhook", value, format!("{quoted} is not a service that is known"), cure);
            return None;
        };
        let fields = match &preset {
            Preset::Service(service) => self.fields_of(service),
            Preset::File(_) => self.any_fields(),
        };
        Some(ChannelSetting::Webhook { preset, fields })
    }

    fn fields_of(&mut self, service: &WebhookService) -> BTreeMap<String, Source> {
        let names: Vec<&str> = service.needs.iter().chain(service.knows).copied().collect();
        let further: Vec<String> = names.iter().map(|name| format!("{name}*")).collect();
        let further: Vec<&str> = further.iter().map(String::as_str).collect();
        let before = self.reader.count();
        self.refuse_others("webhook", &further);
        let mut fields = BTreeMap::new();
        for name in names {
            match self.source(name) {
                Some(source) => drop(fields.insert(name.to_owned(), source)),
                None if service.needs.contains(&name) && self.reader.count() == before => {
                    let what = format!("`webhook = \"{}\"` needs `{name}`", service.name);
                    let cure =
                        format!("write `{name}_file = \"/…\"`, `{name}_credential`, `{name}_env` or `{name} = \"…\"`");
                    self.reader.bad(&format!("notify.{name}"), self.place, what, cure);
                }
                None => {}
            }
        }
        fields
    }

    /// What a preset of the owner's may want to know.
    fn any_fields(&mut self) -> BTreeMap<String, Source> {
        let mut names: Vec<&str> = Vec::new();
        for (key, _) in self.table {
            let key = key.get_ref().as_ref();
            if key == "webhook" || EVERY.contains(&key) {
                continue;
            }
            let name = SPELLINGS.iter().skip(1).find_map(|spelling| key.strip_suffix(spelling)).unwrap_or(key);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        if names.len() > MAX_FIELDS {
            let what = format!("more than {MAX_FIELDS} fields stand in one [[notify]] table");
            self.reader.bad("notify", self.place, what, "write what is no secret into the preset itself");
            return BTreeMap::new();
        }
        names.into_iter().filter_map(|name| Some((name.to_owned(), self.source(name)?))).collect()
    }

    /// A value in one of its four spellings.
    fn source(&mut self, name: &str) -> Option<Source> {
        let spelled = |spelling: &str| format!("{name}{spelling}");
        let given: Vec<&str> =
            SPELLINGS.into_iter().filter(|one| self.table.contains_key(spelled(one).as_str())).collect();
        let (spelling, rest) = given.split_first()?;
        let (key, value) = self.table.get_key_value(spelled(spelling).as_str())?;
        let shown_key = format!("{}.{}", self.key, spelled(spelling));
        if let Some(second) = rest.first() {
            let what = format!("`{}` and `{}` stand in one table", spelled(spelling), spelled(second));
            let at =
                self.table.get_key_value(spelled(second).as_str()).map_or_else(|| key.span(), |(key, _)| key.span());
            self.reader.report(Code::Duplicate, at, &shown_key, what, "remove one of them");
            return None;
        }
        match *spelling {
            "_file" => self.reader.path(&shown_key, value, Names::File).map(Source::File),
            "_env" => self.word(&shown_key, value, "the name of an environment variable").map(Source::Environment),
            "_credential" => self.word(&shown_key, value, "the name of a systemd credential").map(Source::Credential),
            // Not quoted in any message.
            _ => {
                let text = self.reader.text(&shown_key, value, Lines::One);
                text.map(|text| Source::Inline(Secret::new(text.trim())))
            }
        }
    }

    /// A name that is no path.
    fn word(&mut self, key: &str, value: &Value<'_>, what: &str) -> Option<String> {
        let text = self.reader.text(key, value, Lines::One)?;
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if !text.bytes().all(valid) || Path::new(text).components().count() != 1 || text.starts_with('.') {
            let what = format!("`{key}` is not {what}");
            self.reader.bad(key, value, what, "write its name alone: letters, digits, `_`, `-` and `.`");
            return None;
        }
        Some(text.to_owned())
    }
}

fn address(reader: &mut Reader, key: &str, value: &Value<'_>) -> Option<MailAddress> {
    let text = reader.text(key, value, Lines::One)?.trim();
    match MailAddress::parse(text) {
        Ok(address) => Some(address),
        Err(error) => {
            let what = format!("`{}` is not a mail address: {error}", shown(text));
            reader.bad(key, value, what, format!("write for example `{key} = \"owner@example.org\"`"));
            None
        }
    }
}

#[cfg(test)]
#[path = "notify_tests.rs"]
mod tests;
