//! What can be read of settings that cannot be used, to tell the owner just that.

use toml::de::DeTable;

use super::document::{MAX_BYTES, open, table};
use super::values::{bundles, set};
use super::{Origin, Settings, notify_tables};

/// Each mistake takes a part of the file away.
const MOST_MISTAKES: usize = 200;
/// So many lines, or so many of what looks like tables, are taken together at most.
const MOST_PARTS: usize = 12;

impl Settings {
    /// How the owner can be told although the content of `certkit/settings.toml` cannot be used: `email`, `ca_bundles`,
    /// and the `[[notify]]` and `[heartbeat]` tables that are without a mistake themselves. Everything else is as without a
    /// file. No run may go by it.
    pub fn for_telling(bytes: &[u8]) -> Self {
        let mut settings = Self::default();
        let text = readable(bytes);
        let Ok((text, mut reader)) = open(text.as_bytes()) else { return settings };
        for (key, value) in &table(&text) {
            let name = key.get_ref().as_ref();
            let origin = Origin::SettingsFile { line: reader.line(key.span().start) };
            match name {
                "ca_bundles" => set(&mut settings.ca_bundles, bundles(&mut reader, name, value), origin),
                "email" => set(&mut settings.email, notify_tables::email(&mut reader, name, value), origin),
                "notify" => settings.notify = notify_tables::read(&mut reader, value),
                "heartbeat" => {
                    let heartbeat = notify_tables::heartbeat(&mut reader, value);
                    settings.heartbeat = heartbeat.map(|heartbeat| super::Sourced::new(heartbeat, origin));
                }
                _ => {}
            }
        }
        if settings.email.value.is_empty() {
            let has_nobody = |addresses: &super::MailAddresses| addresses.to.is_empty();
            // No program has a use for their passwords, however few can be told.
            settings.idle_secret_variables = settings.secret_variables().into_iter().map(str::to_owned).collect();
            settings.notify.retain(|channel| !channel.value.channel.addresses().is_some_and(has_nobody));
        }
        settings
    }
}

/// The file without the tables that are not TOML, and without such lines above the first table. What is left stands in its
/// place. A table goes as a whole: without one of its keys it would mean something else.
fn readable(bytes: &[u8]) -> String {
    const NO_TEXT: char = '\u{fffd}';
    if bytes.len() > MAX_BYTES {
        return String::new();
    }
    let text = String::from_utf8_lossy(bytes);
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    for at in 0..lines.len() {
        if lines.get(at).is_some_and(|line| line.contains(NO_TEXT)) {
            match lines.get_mut(at) {
                // Letters of another encoding in a remark harm nothing.
                Some(line) if line.trim_start().starts_with('#') => line.clear(),
                _ => drop(take_away(&mut lines, at)),
            }
        }
    }
    keep_what_is_toml(&mut lines);
    // What is left may still say something twice.
    for _ in 0..MOST_MISTAKES {
        let left = lines.join("\n");
        let (_, mistakes) = DeTable::parse_recoverable(&left);
        let Some(first) = mistakes.first() else { return left };
        let start = first.span().unwrap_or_default().start;
        let at = left.bytes().take(start).filter(|byte| *byte == b'\n').count();
        if !take_away(&mut lines, at) {
            break;
        }
    }
    String::new()
}

/// Looks at each table, and at each line above them, for itself: what is opened and never closed swallows nothing else. A
/// text or list of several lines may look as if another table began in it.
fn keep_what_is_toml(lines: &mut [String]) {
    let is_toml = |part: &[String]| DeTable::parse_recoverable(&part.join("\n")).1.is_empty();
    let mut at = 0;
    while at < lines.len() {
        let ends: Vec<usize> = match lines.get(at).is_some_and(|line| is_head(line)) {
            true => {
                let heads = (at + 1..lines.len()).filter(|one| lines.get(*one).is_some_and(|line| is_head(line)));
                heads.chain([lines.len()]).take(MOST_PARTS).collect()
            }
            false => (at + 1..=lines.len()).take(MOST_PARTS).collect(),
        };
        let whole = ends.iter().copied().find(|end| lines.get(at..*end).is_some_and(is_toml));
        if whole.is_none() {
            let first = ends.first().copied().unwrap_or(lines.len());
            lines.get_mut(at..first).into_iter().flatten().for_each(String::clear);
        }
        at = whole.or_else(|| ends.first().copied()).unwrap_or(lines.len());
    }
}

fn is_head(line: &str) -> bool {
    line.trim_start().starts_with('[')
}

/// Empties the table that a line belongs to, or the line alone where it belongs to none. Tells whether anything was there.
fn take_away(lines: &mut [String], at: usize) -> bool {
    let Some(head) = lines.iter().take(at.saturating_add(1)).rposition(|line| is_head(line)) else {
        return lines.get_mut(at).is_some_and(|line| !std::mem::take(line).trim().is_empty());
    };
    let end = lines.iter().skip(head + 1).position(|line| is_head(line)).map_or(lines.len(), |next| head + 1 + next);
    lines.get_mut(head..end).into_iter().flatten().for_each(String::clear);
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TABLES: &str = "[[notify]]\ncommand = \"logger\"\n\n[heartbeat]\nurl = \"https://beat.example/x\"\n";

    fn channels(text: &str) -> Vec<String> {
        let settings = Settings::for_telling(text.as_bytes());
        settings.channels().into_iter().map(|channel| channel.value.name).collect()
    }

    #[test]
    fn a_mistake_elsewhere_leaves_the_channels() {
        for mistake in [
            "fallback_servers = 7",
            "parallel_orders",
            "= 3",
            "unknown = \"x\"",
            "renewal_information = \"\"\"",
            "parallel_orders = [1,\n  2",
            "[[deploy]]\nkind",
            "[[deploy]\nx = 1",
        ] {
            let text = format!("email = \"owner@example.org\"\n{mistake}\n\n{TABLES}");
            assert!(Settings::parse(text.as_bytes()).is_err(), "{mistake}");
            let read = Settings::for_telling(text.as_bytes());
            assert_eq!((channels(&text).len(), read.email.value.len()), (2, 1), "{mistake}");
            assert!(read.heartbeat.is_some(), "{mistake}");
        }
    }

    #[test]
    fn a_table_with_a_mistake_is_left_out_as_a_whole() {
        let broken = "[[notify]]\nsmtp = \"mail.example.org\"\nto = \"owner@example.org\nlevel = \"critical\"\n";
        assert_eq!(channels(&format!("{broken}{TABLES}")), channels(TABLES));
        assert_eq!(channels(&format!("{TABLES}{broken}")), channels(TABLES));
        assert_eq!(channels(&format!("[[notify]]\ncommand = \"x\"\nlevle = \"info\"\n{TABLES}")), channels(TABLES));
        let beat = Settings::for_telling(b"[heartbeat]\nurl = \"https://beat.example/x\"\nstart = 7\n");
        assert_eq!(beat.heartbeat, None);
    }

    #[test]
    fn a_command_of_several_lines_stays_whole_or_goes() {
        let command = "[[notify]]\ncommand = \"\"\"\n[ -x /bin/x ] &&\n  /bin/x\n\"\"\"\n";
        let read = Settings::for_telling(format!("x\n{command}{TABLES}").as_bytes());
        let first = &read.notify[0].value.channel;
        assert_eq!(
            *first,
            super::super::ChannelSetting::Command { command: "[ -x /bin/x ] &&\n  /bin/x\n".to_owned() }
        );
        assert_eq!(read.notify.len(), 2);
    }

    #[test]
    fn mail_without_anybody_to_send_it_to_is_no_channel() {
        let smtp = "[[notify]]\nsmtp = \"mail.example.org\"\n";
        assert!(channels(&format!("email = \"owner@\"\n{smtp}")).is_empty());
        assert_eq!(channels(&format!("email = \"owner@example.org\"\nx\n{smtp}")).len(), 1);
    }

    #[test]
    fn the_password_of_mail_that_goes_to_nobody_is_a_secret_all_the_same() {
        let text = "x\n[[notify]]\nsmtp = \"mail.example.org\"\nusername = \"u\"\npassword_env = \"MAIL\"\n";
        let read = Settings::for_telling(text.as_bytes());
        assert_eq!((read.notify.len(), read.secret_variables()), (0, vec!["MAIL"]));
    }

    #[test]
    fn a_remark_in_another_encoding_harms_nothing_and_a_key_in_it_its_table() {
        let with =
            |line: &[u8]| [b"email = \"owner@example.org\"\n[[notify]]\n", line, b"\ncommand = \"x\"\n"].concat();
        assert_eq!(Settings::for_telling(&with(b"# f\xfcr")).notify.len(), 1);
        assert_eq!(Settings::for_telling(&with(b"name = \"f\xfcr\"")).notify.len(), 0);
    }

    #[test]
    fn of_settings_that_can_be_used_it_is_the_same() {
        let text = format!("email = \"owner@example.org\"\nca_bundles = [\"/etc/ssl/own.pem\"]\n{TABLES}");
        let (read, all) = (Settings::for_telling(text.as_bytes()), Settings::parse(text.as_bytes()).unwrap());
        assert_eq!((read.channels(), read.heartbeat), (all.channels(), all.heartbeat));
        assert_eq!(read.ca_bundles, all.ca_bundles);
    }

    proptest! {
        #[test]
        fn nothing_panics_and_it_ends(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Settings::for_telling(&bytes);
        }

        #[test]
        fn whatever_a_line_becomes_the_rest_is_read_or_left_out(line in "[\\[\\]\"'=a-z{}, #]{0,20}", at in 0_usize..6) {
            let mut lines: Vec<&str> = TABLES.lines().collect();
            lines.insert(at.min(lines.len()), &line);
            let _ = Settings::for_telling(lines.join("\n").as_bytes());
        }
    }
}
