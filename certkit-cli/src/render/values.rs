//! Single values, as every document writes them.

use std::borrow::Cow;

use certkit_core::escape;
use chrono::{DateTime, SecondsFormat, Utc};

/// RFC 3339 in UTC, to the second, as every time in JSON.
pub(crate) fn json_time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A document as text. Characters that steer a terminal are written as JSON escapes, so that a reader gets the text as
/// it is and a terminal cannot be harmed.
pub(crate) fn json_text(document: &serde_json::Value) -> String {
    // A document made of strings, numbers and maps with string keys can always be written.
    let text = serde_json::to_string_pretty(document).unwrap_or_else(|_| document.to_string());
    let mut safe = String::with_capacity(text.len());
    let mut units = [0; 2];
    for c in text.chars() {
        let mut bytes = [0; 4];
        if c == '\n' || matches!(escape(c.encode_utf8(&mut bytes)), Cow::Borrowed(_)) {
            safe.push(c);
        } else {
            safe.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    safe
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use certkit_core::words::time;

    use super::*;

    #[test]
    fn json_keeps_outside_text_and_harms_no_terminal() {
        let nasty = "a\u{9b}2J\u{202e}\u{e0041}\n\0é";
        let text = json_text(&serde_json::json!({ "cn": nasty }));
        assert!(!text.contains(['\u{9b}', '\u{202e}', '\u{e0041}', '\0']), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap()["cn"], nasty);
    }

    #[test]
    fn times_are_utc_to_the_second() {
        let at = DateTime::from_timestamp(1_800_000_000, 999_000_000).unwrap();
        assert_eq!(json_time(at), "2027-01-15T08:00:00Z");
        assert_eq!(time(at), "2027-01-15 08:00:00 UTC");
    }
}
