//! What a text is laid out for, and texts that have to fit.

use anstyle::{AnsiColor, Style};
use certkit_core::Condition;

/// What a text is laid out for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Screen {
    /// How many characters a line has.
    pub(crate) columns: usize,
    /// Whether more than ASCII can be shown.
    pub(crate) unicode: bool,
    /// Whether colours are wanted.
    pub(crate) colour: bool,
}

impl Screen {
    /// A text in a colour, where colours are wanted.
    pub(crate) fn paint(&self, style: Style, text: &str) -> String {
        if self.colour && !text.is_empty() { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    /// A text of at most so many characters: what is too long loses its middle, since the ends tell names apart.
    pub(crate) fn fitting(&self, text: &str, most: usize) -> String {
        shortened(text, most, if self.unicode { "…" } else { "..." })
    }
}

/// A text of at most so many characters, with a mark in place of its middle where it is too long.
pub(crate) fn shortened(text: &str, most: usize, mark: &str) -> String {
    let length = text.chars().count();
    if length <= most {
        return text.to_owned();
    }
    let kept = most.saturating_sub(mark.chars().count());
    let tail = kept / 2;
    let head: String = text.chars().take(kept - tail).collect();
    let tail: String = text.chars().skip(length - tail).collect();
    format!("{head}{mark}{tail}").chars().take(most).collect()
}

/// The colour of a condition: red is for somebody, yellow may become something, green is well.
pub(crate) fn colour(condition: Condition) -> Style {
    match condition {
        Condition::Ok => AnsiColor::Green.on_default(),
        Condition::Due | Condition::Waiting | Condition::DeployPending => AnsiColor::Yellow.on_default(),
        _ => AnsiColor::Red.on_default().bold(),
    }
}

/// `2,000`.
pub(crate) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_loses_its_middle_and_nothing_else() {
        assert_eq!(shortened("a.example", 9, "…"), "a.example");
        assert_eq!(shortened("a-very-long-name.example.org", 15, "…"), "a-very-…ple.org");
        assert_eq!(shortened("a-very-long-name.example.org", 15, "..."), "a-very...le.org");
        for most in 0..6 {
            assert!(shortened("zwölf-äpfel.example", most, "...").chars().count() <= most);
        }
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
