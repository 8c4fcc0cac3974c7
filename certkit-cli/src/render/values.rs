//! Single values, as every document writes them.

use std::borrow::Cow;
use std::io::{self, Write};

use certkit_core::escape;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

/// RFC 3339 in UTC, to the second, as every time in JSON.
pub(crate) fn json_time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Writes a document as text, one value after the other, so that a long one is never whole in memory. Characters that steer
/// a terminal are written as JSON escapes, so that a reader gets the text as it is and a terminal cannot be harmed.
pub(crate) fn write_json(document: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    Ok(serde_json::to_writer_pretty(Harmless(out), document)?)
}

/// Passes JSON on with the characters escaped that steer a terminal. Such characters stand in strings alone.
struct Harmless<'o>(&'o mut dyn Write);

impl Write for Harmless<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // The serializer writes a text, or the part of one between two escapes, at once: no character is cut in two.
        let text = std::str::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let is_layout = bytes.iter().all(|byte| matches!(byte, b'\n' | b' '));
        if is_layout || matches!(escape(text), Cow::Borrowed(_)) {
            self.0.write_all(bytes)?;
            return Ok(bytes.len());
        }
        let mut safe = String::with_capacity(text.len() + 16);
        let mut units = [0; 2];
        for c in text.chars() {
            let mut encoded = [0; 4];
            if c == '\n' || matches!(escape(c.encode_utf8(&mut encoded)), Cow::Borrowed(_)) {
                safe.push(c);
            } else {
                safe.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
            }
        }
        self.0.write_all(safe.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

#[cfg(test)]
mod tests {
    use certkit_core::words::time;

    use super::*;

    #[test]
    fn json_keeps_outside_text_and_harms_no_terminal() {
        let nasty = "a\u{9b}2J\u{202e}\u{e0041}\n\0é";
        let mut text = Vec::new();
        write_json(&serde_json::json!({ "cn": nasty }), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
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
