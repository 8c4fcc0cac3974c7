//! cli.ini: flags in a file, read as certbot's ConfigArgParse reads it.

use std::fmt;
use std::path::{Path, PathBuf};

use certkit_core::escape;

/// One line that sets something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The flag's long name, without hyphens before it.
    pub(crate) key: String,
    /// What it is set to.
    pub(crate) value: Value,
    /// The line, from 1.
    pub(crate) line: usize,
}

/// What a line sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// `key = text`, `key text`, or `true` for a bare `key`.
    Text(String),
    /// `key = [a, b]`.
    List(Vec<String>),
}

/// A line or a file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IniError {
    pub(crate) file: PathBuf,
    pub(crate) line: Option<usize>,
    pub(crate) problem: String,
}

impl fmt::Display for IniError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape(&self.file.to_string_lossy()))?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

/// Reads the text of a file. Later lines for the same key win, as in certbot.
pub(crate) fn parse(file: &Path, text: &str) -> Result<Vec<Setting>, IniError> {
    let mut settings: Vec<Setting> = Vec::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (at, line) in text.lines().enumerate() {
        let line_number = at + 1;
        let line = line.trim();
        // Section names are comments, and so are the rules of a YAML file.
        if line.is_empty() || line.starts_with(['#', ';', '[']) || line.starts_with("---") {
            continue;
        }
        let Some((key, value)) = parse_line(line) else {
            return Err(IniError {
                file: file.to_owned(),
                line: Some(line_number),
                problem: format!("`{}` is not of the form `flag = value`", escape(line)),
            });
        };
        settings.retain(|other| other.key != key);
        settings.push(Setting { key, value, line: line_number });
    }
    Ok(settings)
}

fn parse_line(line: &str) -> Option<(String, Value)> {
    let end = line.find(|c: char| matches!(c, ':' | '=' | ';' | '#') || c.is_whitespace()).unwrap_or(line.len());
    let (key, rest) = line.split_at(end);
    let key = key.strip_prefix("--").unwrap_or(key).to_owned();
    if key.is_empty() {
        return None;
    }
    let blank_before = rest.starts_with(char::is_whitespace);
    let rest = rest.trim_start();
    let (rest, has_sign) = match rest.strip_prefix([':', '=']) {
        Some(rest) => (rest.trim_start(), true),
        None => (rest, false),
    };
    if !has_sign && (rest.is_empty() || rest.starts_with(['#', ';'])) {
        return (rest.is_empty() || blank_before).then(|| (key, Value::Text("true".to_owned())));
    }
    let value = quoted(rest).unwrap_or_else(|| without_comment(rest));
    Some((key, list(value).map_or_else(|| Value::Text(value.to_owned()), Value::List)))
}

/// `"value"` or `'value'`, with nothing but a comment after it.
fn quoted(rest: &str) -> Option<&str> {
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let inner = rest.strip_prefix(quote)?;
    inner
        .match_indices(quote)
        .find(|(at, _)| {
            let after = inner.get(at + 1..).unwrap_or_default();
            let trimmed = after.trim_start();
            trimmed.is_empty() || (trimmed.len() < after.len() && trimmed.starts_with(['#', ';']))
        })
        .and_then(|(at, _)| inner.get(..at))
}

/// A blank followed by `#` or `;` begins a comment.
fn without_comment(rest: &str) -> &str {
    let mut before = None;
    for (at, c) in rest.char_indices() {
        if matches!(c, '#' | ';') && before.is_some_and(char::is_whitespace) {
            return rest.get(..at).unwrap_or(rest).trim_end();
        }
        before = Some(c);
    }
    rest.trim_end()
}

fn list(value: &str) -> Option<Vec<String>> {
    let inner = value.strip_prefix('[')?.strip_suffix(']')?;
    if let Ok(serde_json::Value::Array(items)) = serde_json::from_str(value) {
        return Some(
            items
                .into_iter()
                .map(|item| match item {
                    serde_json::Value::String(text) => text,
                    other => other.to_string(),
                })
                .collect(),
        );
    }
    Some(inner.split(',').map(|item| item.trim().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, Value)> {
        parse(Path::new("cli.ini"), text).unwrap().into_iter().map(|one| (one.key, one.value)).collect()
    }

    fn text(key: &str, value: &str) -> (String, Value) {
        (key.to_owned(), Value::Text(value.to_owned()))
    }

    #[test]
    fn debians_stock_file() {
        let stock = "# Because we are using logrotate for greater flexibility, disable the\n# internal certbot logrotation.\nmax-log-backups = 0\n# Adjust interactive output regarding automated renewal\npreconfigured-renewal = True\n";
        assert_eq!(read(stock), [text("max-log-backups", "0"), text("preconfigured-renewal", "True")]);
    }

    #[test]
    fn every_form_of_line() {
        let all = "; comment\n[section]\n---\na = b # note\nb: c\nc value with blanks\n--d e\nflag\nempty =\nq = \"x # y\" ; z\nl = [a, b]\nj = [\"c\", 1]\nhook = 'it''s'\nflag2 # why\nurl = https://h/#frag\n";
        assert_eq!(
            read(all),
            [
                text("a", "b"),
                text("b", "c"),
                text("c", "value with blanks"),
                text("d", "e"),
                text("flag", "true"),
                text("empty", ""),
                text("q", "x # y"),
                ("l".to_owned(), Value::List(vec!["a".to_owned(), "b".to_owned()])),
                ("j".to_owned(), Value::List(vec!["c".to_owned(), "1".to_owned()])),
                text("hook", "it''s"),
                text("flag2", "true"),
                text("url", "https://h/#frag"),
            ]
        );
    }

    #[test]
    fn the_last_line_for_a_key_wins() {
        assert_eq!(read("a = 1\nb = 2\na = 3\n"), [text("b", "2"), text("a", "3")]);
    }

    #[test]
    fn a_line_that_is_no_setting_is_named() {
        let error = parse(Path::new("/etc/x.ini"), "a = 1\n= 2\n").unwrap_err();
        assert_eq!(error.to_string(), "/etc/x.ini, line 2: `= 2` is not of the form `flag = value`");
        // Found by fuzzing: hyphens alone were a flag without a name.
        assert!(parse(Path::new("x.ini"), "--\n").is_err() && parse(Path::new("x.ini"), "-- = 1\n").is_err());
    }

    #[test]
    fn nothing_panics() {
        for text in ["é", "é = é", "'", "a '", "a = \"", "a = [", "a = []", "a=\u{301}#", "\u{feff}a = b", "a\u{a0}b ;"]
        {
            let _ = parse(Path::new("x"), text);
        }
    }
}
