//! Notices as plain text: a subject and a body that a tired person can act on.

use chrono::{DateTime, Utc};

use super::{Notice, NoticeGroup, NoticeKind, NoticeLevel};
use crate::words::{length, minute};

/// Mail is quoted, and terminals are narrow (RFC 5322 section 2.1.1 recommends at most 78).
const WIDTH: usize = 76;
/// A subject is one line, cut there if a name is long.
const LONGEST_SUBJECT: usize = 150;
const INDENT: &str = "    ";
/// Of more certificates than this a message of several tells the names, and the rest is for `certkit status`.
const MOST_IN_FULL: usize = 20;

impl Notice {
    /// What it is about in one line: `Critical: a.example expires in 5 days and is not renewed`.
    pub fn subject(&self, now: DateTime<Utc>) -> String {
        cut(format!("{}{}", prefix(self.level, self.kind), self.headline(now)))
    }

    /// The whole of it in lines of at most 76 columns; a command, a URL or a name that is longer stays in one piece.
    pub fn text(&self, now: DateTime<Utc>) -> String {
        let mut text = Text::default();
        text.paragraph(&format!("{}.", self.headline(now)));
        if let Some(end) = self.not_after {
            text.field(self.end_label(), &until(end, now));
        }
        text.causes(self, Heading::Certificate);
        text.names(self);
        text.facts(self, now);
        if self.reminder > 0 {
            text.gap();
            text.paragraph(&format!("This is reminder {} of it.", self.reminder));
        }
        text.0
    }

    /// What [`Notice::not_after`] is the end of, for people: where something else is served it is not the end that clients
    /// see.
    pub fn end_label(&self) -> &'static str {
        match self.kind {
            NoticeKind::NotServed | NoticeKind::DeployPending => "The one in use expires",
            _ => "Expires",
        }
    }

    /// What is wrong, a sentence without a full stop.
    pub fn headline(&self, now: DateTime<Utc>) -> String {
        let name = &self.certificate;
        let left = self.not_after.map(|end| end - now);
        let has_expired = left.is_some_and(|left| left < chrono::TimeDelta::zero());
        let left = left.map(length).unwrap_or_default();
        let more = if left.is_empty() { String::new() } else { format!(", {left} left") };
        match self.kind {
            NoticeKind::Test => "certkit: a message to see whether messages arrive".to_owned(),
            NoticeKind::Machine => self.cause.clone(),
            NoticeKind::Recovered if name.is_empty() => format!("well again: {}", self.cause),
            NoticeKind::Recovered => format!("{name} is well again: {}", self.cause),
            NoticeKind::Revoked => format!("{name} is revoked by its CA"),
            NoticeKind::NotServed => format!("{name} is not served: another certificate is"),
            NoticeKind::ServedBadly => format!("{name} is served in a way that clients refuse"),
            NoticeKind::Unreachable => format!("nobody knows whether {name} is served: the server is not reached"),
            NoticeKind::DeployPending => format!("{name} was renewed, but is not deployed"),
            _ if has_expired => format!("{name} expired {left} ago and is not renewed"),
            NoticeKind::Expiring => format!("{name} expires in {left} and is not renewed"),
            NoticeKind::RenewalFailed => format!("the renewal of {name} failed{more}"),
            NoticeKind::Overdue => format!("the renewal of {name} is overdue{more}"),
            NoticeKind::Broken => format!("{name} cannot be used or renewed{more}"),
        }
    }
}

impl NoticeGroup {
    /// What they are about in one line.
    pub fn subject(&self, now: DateTime<Utc>) -> String {
        match self.notices.as_slice() {
            [only] => only.subject(now),
            [first, ..] => cut(format!("{}{}", prefix(self.level, first.kind), self.headline(first))),
            [] => String::new(),
        }
    }

    /// The whole of them in lines of at most 76 columns: the cause they have in common first, then each certificate.
    pub fn text(&self, now: DateTime<Utc>) -> String {
        let (Some(first), true) = (self.notices.first(), self.notices.len() > 1) else {
            return self.notices.first().map(|only| only.text(now)).unwrap_or_default();
        };
        let mut text = Text::default();
        text.paragraph(&format!("{}.", self.headline(first)));
        // The command of the first stands for all: it shows what they have in common.
        let is_over = first.kind == NoticeKind::Recovered;
        if !is_over {
            text.causes(first, Heading::Cause);
        }
        for notice in self.notices.iter().take(MOST_IN_FULL) {
            text.gap();
            text.paragraph(&format!("{}{}.", prefix(notice.level, notice.kind), notice.headline(now)));
            if let Some(end) = notice.not_after {
                text.field(notice.end_label(), &until(end, now));
            }
            if !is_over {
                text.why(notice, first, self.common_cause(first));
                text.field("Names", &names_in_line(notice));
            }
        }
        let rest: Vec<&str> =
            self.notices.iter().skip(MOST_IN_FULL).map(|notice| notice.certificate.as_str()).collect();
        if !rest.is_empty() {
            text.gap();
            text.field("And", &rest.join(", "));
            text.paragraph("`certkit status` shows all of them.");
        }
        text.0
    }

    fn headline(&self, first: &Notice) -> String {
        let count = self.notices.len();
        match first.kind {
            NoticeKind::Recovered => format!("{count} certificates are well again"),
            _ => format!("{count} certificates: {}", self.common_cause(first)),
        }
    }

    /// The cause of the first, without the details that the others do not have.
    fn common_cause<'n>(&self, first: &'n Notice) -> &'n str {
        const DETAIL: &str = ": ";
        let is_common = |words: &str| {
            let is_so = |notice: &Notice| {
                let rest = notice.cause.strip_prefix(words);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(DETAIL))
            };
            self.notices.iter().all(is_so)
        };
        let shorter = first.cause.rmatch_indices(DETAIL).filter_map(|(at, _)| first.cause.get(..at));
        std::iter::once(first.cause.as_str()).chain(shorter).find(|words| is_common(words)).unwrap_or(&first.cause)
    }
}

/// What a body begins with.
#[derive(Clone, Copy, PartialEq)]
enum Heading {
    Certificate,
    Cause,
}

/// A body under construction.
#[derive(Default)]
struct Text(String);

impl Text {
    fn gap(&mut self) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
    }

    fn paragraph(&mut self, text: &str) {
        wrap(&mut self.0, "", "", text);
    }

    fn field(&mut self, label: &str, text: &str) {
        wrap(&mut self.0, &format!("{label}: "), INDENT, text);
    }

    fn causes(&mut self, notice: &Notice, heading: Heading) {
        if matches!(notice.kind, NoticeKind::Recovered) {
            return;
        }
        self.gap();
        if heading == Heading::Certificate && notice.kind != NoticeKind::Machine {
            self.field("Why", &format!("{}.", notice.cause));
        }
        self.field("What to do", &format!("{}.", notice.cure));
        if !notice.command.is_empty() {
            self.0.push_str("Next command:\n\n");
            // Never wrapped: it is copied as it is.
            self.0.push_str(&format!("{INDENT}{}\n", notice.command));
        }
    }

    /// What differs from what a group has in common, and from its first.
    fn why(&mut self, notice: &Notice, first: &Notice, common: &str) {
        if notice.cause != common {
            self.field("Why", &format!("{}.", notice.cause));
        }
        if notice.command != first.command && !notice.command.is_empty() {
            self.0.push_str(&format!("Next command: {}\n", notice.command));
        }
    }

    fn names(&mut self, notice: &Notice) {
        if notice.identifiers.is_empty() && notice.failing.is_empty() {
            return;
        }
        self.gap();
        let stand = if notice.identifiers.len() > 1 { "Names (they stand or fall together):" } else { "Name:" };
        self.0.push_str(stand);
        self.0.push('\n');
        for (name, problem) in all_names(notice) {
            let problem = if problem.is_empty() { String::new() } else { format!("  FAILS: {problem}") };
            self.0.push_str(&format!("{INDENT}{name}{problem}\n"));
        }
    }

    fn facts(&mut self, notice: &Notice, now: DateTime<Utc>) {
        if let Some(since) = notice.due_since.filter(|since| *since <= now && notice.kind != NoticeKind::Recovered) {
            self.gap();
            self.field("Due since", &format!("{} ({} ago)", minute(since), length(now - since)));
        }
        if let Some(next) = notice.next_attempt.filter(|next| *next > now) {
            self.field("Next try", &format!("by itself on {}", minute(next)));
        }
        let attempts = notice.attempts.iter().map(|attempt| format!("{} {}", minute(attempt.at), attempt.what));
        self.list("What was tried", attempts.collect());
        self.list("Deployed to", notice.deployed_to.clone());
        self.list("Served", notice.served.clone());
    }

    fn list(&mut self, label: &str, lines: Vec<String>) {
        if lines.is_empty() {
            return;
        }
        self.gap();
        self.0.push_str(&format!("{label}:\n"));
        for line in lines {
            wrap(&mut self.0, INDENT, "      ", &line);
        }
    }
}

fn prefix(level: NoticeLevel, kind: NoticeKind) -> String {
    match kind {
        NoticeKind::Recovered | NoticeKind::Test => String::new(),
        _ => format!("{}: ", level.word()),
    }
}

/// `in 11 days, on 2026-12-07 14:03 UTC`.
fn until(end: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let length = length(end - now);
    if end < now { format!("{length} ago, on {}", minute(end)) } else { format!("in {length}, on {}", minute(end)) }
}

/// All names with the problem of those that fail; what fails may be a name that the certificate does not have yet.
fn all_names(notice: &Notice) -> Vec<(String, String)> {
    let problem_of = |name: &str| {
        let all = notice.failing.iter().filter(|(failing, _)| failing == name);
        all.map(|(_, problem)| problem.as_str()).collect::<Vec<_>>().join(", ")
    };
    let mut all: Vec<(String, String)> = notice
        .identifiers
        .iter()
        .map(|name| crate::escape(&name.to_string()).into_owned())
        .map(|name| (name.clone(), problem_of(&name)))
        .collect();
    for (name, _) in &notice.failing {
        if !all.iter().any(|(known, _)| known == name) {
            all.push((name.clone(), problem_of(name)));
        }
    }
    all
}

fn names_in_line(notice: &Notice) -> String {
    let one = |(name, problem): (String, String)| match problem.is_empty() {
        true => name,
        false => format!("{name} (FAILS: {problem})"),
    };
    all_names(notice).into_iter().map(one).collect::<Vec<_>>().join(", ")
}

fn cut(subject: String) -> String {
    match subject.char_indices().nth(LONGEST_SUBJECT) {
        Some((at, _)) => format!("{}…", subject.get(..at).unwrap_or_default()),
        None => subject,
    }
}

/// Appends lines: the first after `head`, the others after `indent`. A longer word has a line of its own, as it is.
fn wrap(out: &mut String, head: &str, indent: &str, text: &str) {
    out.push_str(head);
    let mut width = head.chars().count();
    let mut is_first = true;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let length = word.chars().count();
        if !is_first && width + 1 + length > WIDTH {
            out.push('\n');
            out.push_str(indent);
            width = indent.chars().count();
        } else if !is_first {
            out.push(' ');
            width += 1;
        }
        out.push_str(word);
        width += length;
        is_first = false;
    }
    out.push('\n');
}

#[cfg(test)]
mod tests;
