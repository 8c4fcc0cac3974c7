//! What is sent: notices put into one message, as text and as data.

use certkit_core::{Notice, NoticeGroup, NoticeKind, NoticeLevel, escape, group_notices};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

/// How many notices are put into one message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum OneMessageFor {
    /// All of a run.
    Run,
    /// Those that have one cause.
    #[default]
    Cause,
    /// Each alone.
    Notice,
}

/// A message that goes to somebody.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Message {
    /// What it is about, in one line; escaped.
    pub subject: String,
    /// All of it in plain words; each line escaped.
    pub text: String,
    /// How urgent the most urgent of its notices is.
    pub level: NoticeLevel,
    /// Its notices, grouped by their cause.
    pub groups: Vec<NoticeGroup>,
    /// When it was made (UTC).
    pub at: DateTime<Utc>,
    /// The machine that tells it, escaped.
    pub host: String,
    /// The flags with which commands are for the tree that it is about, each after a blank, escaped; none where that is certbot's own.
    pub flags: String,
}

/// Who tells it, and of which tree.
#[derive(Clone, Copy)]
pub(super) struct Sender<'a> {
    pub(super) host: &'a str,
    pub(super) flags: &'a str,
}

/// Between what has different causes.
const RULE: &str = "----------------------------------------------------------------------------";

/// The messages for these notices, the most urgent first.
pub(super) fn messages(
    notices: &[Notice],
    one_for: OneMessageFor,
    sender: Sender<'_>,
    now: DateTime<Utc>,
) -> Vec<Message> {
    let notices = notices.iter().map(|notice| for_tree(escaped(notice), sender.flags));
    let groups = match one_for {
        OneMessageFor::Notice => notices.flat_map(|notice| group_notices(vec![notice])).collect(),
        OneMessageFor::Cause | OneMessageFor::Run => group_notices(notices.collect()),
    };
    match one_for {
        OneMessageFor::Run if groups.is_empty() => Vec::new(),
        OneMessageFor::Run => vec![Message::of(groups, sender, now)],
        _ => groups.into_iter().map(|group| Message::of(vec![group], sender, now)).collect(),
    }
}

impl Message {
    fn of(groups: Vec<NoticeGroup>, sender: Sender<'_>, now: DateTime<Utc>) -> Self {
        let subject = match groups.as_slice() {
            [first] => first.subject(now),
            [first, rest @ ..] => format!("{} (and {} more)", first.subject(now), rest.len()),
            [] => String::new(),
        };
        let host = escape(sender.host).into_owned();
        let flags = escape(sender.flags).into_owned();
        let mut parts: Vec<String> = groups
            .iter()
            .map(|group| {
                let heading = if groups.len() > 1 { format!("{}\n\n", group.subject(now)) } else { String::new() };
                format!("{heading}{}", group.text(now).trim_end())
            })
            .collect();
        let for_tree =
            if flags.is_empty() { String::new() } else { format!(" Its commands are for the tree with{flags}.") };
        let from = format!("Sent by certkit on {host}.{for_tree}");
        let last = parts.pop().unwrap_or_default();
        parts.push(format!("{last}\n\n{from}"));
        Self {
            // Whoever has several machines reads this before anything else.
            subject: escape(&format!("{subject} [{host}]")).into_owned(),
            text: lines_escaped(&parts.join(&format!("\n\n{RULE}\n\n"))),
            level: groups.iter().map(|group| group.level).max().unwrap_or(NoticeLevel::Info),
            groups,
            at: now,
            host,
            flags,
        }
    }

    /// Its notices.
    pub fn notices(&self) -> impl Iterator<Item = &Notice> {
        self.groups.iter().flat_map(|group| &group.notices)
    }

    /// Whether it tells nothing but that troubles are over.
    pub fn is_resolved(&self) -> bool {
        self.notices().all(|notice| notice.kind == NoticeKind::Recovered)
    }

    /// What differs between messages and is the same when one is sent again: in hex, 32 characters.
    #[cfg(feature = "mail")]
    pub(super) fn id(&self, channel: &str) -> String {
        use sha2::Digest as _;
        let mut hash = sha2::Sha256::new();
        let mut add = |part: &str| {
            hash.update(part.as_bytes());
            hash.update([0]);
        };
        // Two trees of one machine may say the same at once.
        add(&format!("{}{}", self.host, self.flags));
        add(channel);
        for notice in self.notices() {
            add(&notice.key);
            add(&notice.reminder.to_string());
            add(&notice.at.timestamp().to_string());
        }
        data_encoding::HEXLOWER.encode(hash.finalize().get(..16).unwrap_or_default())
    }

    /// The same for what belongs to one incident, from its first message to its last.
    pub(super) fn incident_key(&self) -> String {
        let incident = self.notices().next().map_or("", |notice| notice.incident.as_str());
        // Two trees of one machine are two owners of such a key.
        format!("certkit/{}{}/{incident}", self.host, self.flags)
    }

    /// The public document: what webhooks, commands and own presets get. Its `schema` is 1.
    pub fn document(&self) -> Value {
        let notices: Vec<Value> = self.notices().map(|notice| self.notice_document(notice)).collect();
        json!({
            "schema": 1,
            "host": self.host,
            "flags": self.flags.trim(),
            "at": rfc3339(self.at),
            "level": self.level.code(),
            "subject": self.subject,
            "text": self.text,
            "resolved": self.is_resolved(),
            "test": self.notices().any(|notice| notice.kind == NoticeKind::Test),
            "certificates": self.certificates(),
            "notices": notices,
        })
    }

    fn notice_document(&self, notice: &Notice) -> Value {
        let failing: Vec<Value> =
            notice.failing.iter().map(|(name, problem)| json!({ "name": name, "problem": problem })).collect();
        let attempts: Vec<Value> =
            notice.attempts.iter().map(|one| json!({ "at": rfc3339(one.at), "what": one.what })).collect();
        json!({
            "kind": notice.kind.code(),
            "level": notice.level.code(),
            "key": notice.key,
            "incident": notice.incident,
            "reminder": notice.reminder,
            "at": rfc3339(notice.at),
            "certificate": (!notice.certificate.is_empty()).then_some(&notice.certificate),
            "identifiers": notice.identifiers.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "failing": failing,
            "not_after": notice.not_after.map(rfc3339),
            "due_since": notice.due_since.map(rfc3339),
            "attempts": attempts,
            "class": notice.class,
            "cause": notice.cause,
            "cure": notice.cure,
            "command": notice.command,
            "deployed_to": notice.deployed_to,
            "served": notice.served,
            "subject": notice.subject(self.at),
            "text": notice.text(self.at),
        })
    }

    /// What templates see: the document with what services want besides, and the owner's fields.
    pub(super) fn data(&self, fields: &[(String, certkit_core::settings::Secret)]) -> Value {
        let mut data: Map<String, Value> =
            fields.iter().map(|(name, secret)| (name.clone(), json!(secret.reveal()))).collect();
        let document = self.document();
        if let Value::Object(members) = &document {
            data.extend(members.clone());
        }
        data.insert("dedup_key".to_owned(), json!(self.incident_key()));
        data.insert("text_lines".to_owned(), self.text.lines().collect());
        data.insert("document".to_owned(), document);
        Value::Object(data)
    }

    /// The names of its certificates, each once.
    pub fn certificates(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for name in self.notices().map(|notice| notice.certificate.as_str()) {
            if !name.is_empty() && !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

/// Escapes what should be escaped already: a notice may have been made by hand, or read from a file that somebody changed.
fn escaped(notice: &Notice) -> Notice {
    let mut notice = notice.clone();
    let clean = |text: &mut String| *text = escape(text).into_owned();
    let texts = [
        &mut notice.key,
        &mut notice.incident,
        &mut notice.certificate,
        &mut notice.cause,
        &mut notice.cure,
        &mut notice.command,
    ];
    texts.into_iter().chain(&mut notice.deployed_to).chain(&mut notice.served).for_each(clean);
    notice.failing.iter_mut().flat_map(|(name, problem)| [name, problem]).for_each(clean);
    notice.attempts.iter_mut().map(|attempt| &mut attempt.what).for_each(clean);
    notice
}

/// The command goes to the tree that the notice is about.
fn for_tree(mut notice: Notice, flags: &str) -> Notice {
    if notice.command.starts_with("certkit ") {
        notice.command.push_str(flags);
    }
    notice
}

/// RFC 3339 in UTC, to the second.
pub(super) fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Escapes each line and keeps the line ends: whatever the texts were made of, nothing steers a reader's terminal.
fn lines_escaped(text: &str) -> String {
    text.lines().map(escape).collect::<Vec<_>>().join("\n")
}
