//! Prometheus' text format, version 0.0.4.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// No name of a certificate is longer (RFC 1035 section 2.3.4); a hostile field may be.
const MAX_LABEL_CHARS: usize = 256;

/// Families of series under way to a text.
#[derive(Default)]
pub(super) struct Exposition {
    families: BTreeMap<&'static str, Family>,
}

/// The series of one name.
pub(super) struct Family {
    kind: Kind,
    help: &'static str,
    /// The value by the labels as they are written.
    series: BTreeMap<String, String>,
}

/// What a value does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

impl Exposition {
    /// The family of this name. The help is one line without a backslash.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &'static str) -> &mut Family {
        self.families.entry(name).or_insert_with(|| Family { kind, help, series: BTreeMap::new() })
    }

    pub(super) fn into_text(self) -> String {
        let mut text = String::new();
        for (name, family) in self.families {
            // Writing to a String does not fail.
            let _ = writeln!(text, "# HELP {name} {}\n# TYPE {name} {}", family.help, family.kind.word());
            for (labels, value) in family.series {
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        }
        text
    }
}

impl Family {
    /// One series. When there is one with these labels already, that one stays: a text with a series twice is refused as a
    /// whole.
    pub(super) fn add(&mut self, labels: &[(&str, &str)], value: i64) {
        self.series.entry(written(labels)).or_insert_with(|| value.to_string());
    }

    /// The same for a part of a whole.
    pub(super) fn add_ratio(&mut self, labels: &[(&str, &str)], value: f64) {
        self.series.entry(written(labels)).or_insert_with(|| value.to_string());
    }
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

fn written(labels: &[(&str, &str)]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let mut text = String::from("{");
    for (place, (name, value)) in labels.iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        text.push_str(name);
        text.push_str("=\"");
        push_value(&mut text, value);
        text.push('"');
    }
    text.push('}');
    text
}

/// A label's value: what would steer a terminal or an editor is made visible first, for these texts end up in both.
fn push_value(text: &mut String, value: &str) {
    let safe = crate::escape(value);
    for (count, c) in safe.chars().enumerate() {
        if count == MAX_LABEL_CHARS {
            text.push('…');
            return;
        }
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            // None is left by `escape`; the format would break without this line all the same.
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text_of(value: &str) -> String {
        let mut text = Exposition::default();
        text.family("a", Kind::Gauge, "Help.").add(&[("label", value)], 1);
        text.into_text()
    }

    #[test]
    fn families_and_series_are_sorted_and_no_series_comes_twice() {
        let mut text = Exposition::default();
        let family = text.family("b", Kind::Counter, "Second.");
        family.add(&[("x", "2")], 5);
        family.add(&[("x", "1"), ("y", "")], -5);
        family.add(&[("x", "2")], 6);
        text.family("a", Kind::Gauge, "First.").add_ratio(&[], 0.25);
        assert_eq!(
            text.into_text(),
            "# HELP a First.\n# TYPE a gauge\na 0.25\n# HELP b Second.\n# TYPE b counter\nb{x=\"1\",y=\"\"} -5\nb{x=\"2\"} 5\n"
        );
    }

    #[test]
    fn a_hostile_value_stays_within_its_quotes_and_its_bounds() {
        let last = |value: &str| text_of(value).lines().last().unwrap().to_owned();
        assert_eq!(last("a\"} 7\nb 8 \\"), r#"a{label="a\"} 7\\u{a}b 8 \\"} 1"#);
        assert_eq!(last("\u{1b}[2J\u{202e}"), r#"a{label="\\u{1b}[2J\\u{202e}"} 1"#);
        let long = last(&"é".repeat(100_000));
        assert_eq!(long, format!("a{{label=\"{}…\"}} 1", "é".repeat(MAX_LABEL_CHARS)));
    }

    proptest! {
        #[test]
        fn whatever_a_value_is_it_is_one_line_that_reads_back(value in any::<String>()) {
            let text = text_of(&value);
            prop_assert_eq!(text.lines().count(), 3);
            prop_assert_eq!(text.split('\n').count(), 4);
            let line = text.lines().last().unwrap_or_default();
            let inner = line.strip_prefix("a{label=\"").and_then(|line| line.strip_suffix("\"} 1"));
            let inner = inner.unwrap_or_else(|| panic!("{line}"));
            let mut read = String::new();
            let mut chars = inner.chars();
            while let Some(c) = chars.next() {
                prop_assert_ne!(c, '"');
                read.push(if c == '\\' { chars.next().unwrap_or_else(|| panic!("{line}")) } else { c });
            }
            let safe = crate::escape(&value);
            let expected: String = safe.chars().take(MAX_LABEL_CHARS).collect();
            prop_assert_eq!(read.trim_end_matches('…'), expected.trim_end_matches('…'));
        }
    }
}
