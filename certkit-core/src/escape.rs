//! Outside text made safe for a terminal, a log line and a report.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Replaces what could steer a terminal or break a line: control characters, line and paragraph separators and
/// bidirectional controls become `\u{…}`; a backslash stays as it is. Text without any is returned unchanged.
pub fn escape(text: &str) -> Cow<'_, str> {
    let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if is_plain || !text.chars().any(steers) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if steers(c) {
            // Writing to a String does not fail.
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Unicode's control characters, separators that end a line, and the controls that reorder text (the "Trojan Source"
/// set of CVE-2021-42574), with zero-width characters that hide in names.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_borrowed() {
        assert!(matches!(escape("café example.org"), Cow::Borrowed("café example.org")));
    }

    #[test]
    fn terminal_escapes_newlines_and_reordering_do_not_pass() {
        assert_eq!(escape("a\x1b[31mb\nc\u{202e}d\u{9b}"), "a\\u{1b}[31mb\\u{a}c\\u{202e}d\\u{9b}");
    }
}
