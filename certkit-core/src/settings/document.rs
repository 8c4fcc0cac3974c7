//! A file of settings as TOML, read on after each problem so that all of them are told at once.

use std::collections::BTreeSet;
use std::ops::{Range, RangeInclusive};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::SettingsProblemCode as Code;
use super::problem::shown;
use super::{SettingsProblem, interval_text};
use crate::decision::parse_interval;

/// A key with its place.
pub(super) type Key<'t> = Spanned<DeString<'t>>;
/// A value with its place.
pub(super) type Value<'t> = Spanned<DeValue<'t>>;

/// The largest file that is read, in bytes: hundreds of `[[deploy]]` tables.
pub(crate) const MAX_BYTES: usize = 64 * 1024;

/// So many problems are listed; a file with more of them is no file of settings.
const MAX_PROBLEMS: usize = 50;

/// What reads the values of a file: it knows the lines, and keeps the problems.
pub(super) struct Reader {
    /// The first byte of every line.
    starts: Vec<usize>,
    problems: Vec<SettingsProblem>,
    /// Lines that are no TOML: what was made of them means nothing.
    broken: BTreeSet<u32>,
}

/// The lines of a file that are TOML, in their places, and a reader that has kept what the others are.
pub(super) fn open(bytes: &[u8]) -> Result<(String, Reader), Vec<SettingsProblem>> {
    let whole = |line, what: String, cure| vec![SettingsProblem::new(Code::NotToml, line, "", what, cure)];
    if bytes.len() > MAX_BYTES {
        return Err(whole(None, format!("it is larger than {MAX_BYTES} bytes"), "keep settings only in it"));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count();
        whole(u32::try_from(line).ok(), "it is not UTF-8 text".to_owned(), "save it as UTF-8")
    })?;
    let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    let mut reader = Reader { starts, problems: Vec::new(), broken: BTreeSet::new() };
    let mut left = text.to_owned();
    // The parser passes over what follows a line without `=`, so it is asked again without that line.
    for _ in 0..MAX_PROBLEMS {
        let (_, errors) = DeTable::parse_recoverable(&left);
        let broken = reader.syntax(&errors);
        if !reader.blank(&mut left, &broken) {
            break;
        }
    }
    Ok((left, reader))
}

/// What [`open`] left, as a table.
pub(super) fn table(left: &str) -> DeTable<'_> {
    DeTable::parse_recoverable(left).0.into_inner()
}

impl Reader {
    /// Keeps what the parser says, and returns the lines that it says it of for the first time.
    fn syntax(&mut self, errors: &[toml::de::Error]) -> Vec<u32> {
        let mut broken = Vec::new();
        for error in errors {
            let at = error.span().unwrap_or_default();
            let line = self.line(at.start);
            // One mistake makes several errors; the first one of a line says most.
            if self.broken.insert(line) {
                broken.push(line);
                let what = format!("it is not TOML: {}", error.message());
                self.report(Code::NotToml, at, "", what, "correct the line; a text stands in quotes: key = \"text\"");
            }
        }
        broken
    }

    /// Replaces lines by blanks, unless they may be a part of something longer. Tells whether there were any.
    fn blank(&self, text: &mut String, lines: &[u32]) -> bool {
        let mut any = false;
        for line in lines {
            let at = (*line as usize).saturating_sub(1);
            let (Some(start), end) = (self.starts.get(at).copied(), self.starts.get(at + 1).copied()) else { continue };
            let range = start..end.map_or(text.len(), |end| end.saturating_sub(1));
            let Some(content) = text.get(range.clone()) else { continue };
            if !content.contains(['[', ']', '{', '}', ',']) && !content.contains("\"\"\"") && !content.contains("'''") {
                let blanks = " ".repeat(content.len());
                text.replace_range(range, &blanks);
                any = true;
            }
        }
        any
    }

    /// The line of a byte, from 1.
    pub(super) fn line(&self, at: usize) -> u32 {
        // At most MAX_BYTES lines.
        u32::try_from(self.starts.partition_point(|start| *start <= at)).unwrap_or(u32::MAX)
    }

    /// Keeps a problem.
    pub(super) fn report(
        &mut self,
        code: Code,
        at: Range<usize>,
        key: &str,
        what: impl AsRef<str>,
        cure: impl AsRef<str>,
    ) {
        let line = self.line(at.start);
        self.problems.push(SettingsProblem::new(code, Some(line), key, what, cure));
    }

    /// Keeps a problem of a line that is known.
    pub(super) fn report_line(
        &mut self,
        code: Code,
        line: Option<u32>,
        key: &str,
        what: impl AsRef<str>,
        cure: impl AsRef<str>,
    ) {
        self.problems.push(SettingsProblem::new(code, line, key, what, cure));
    }

    /// How many problems there are up to now.
    pub(super) fn count(&self) -> usize {
        self.problems.len()
    }

    /// What was read, if nothing is wrong with it.
    pub(super) fn finish<T>(mut self, read: T) -> Result<T, Vec<SettingsProblem>> {
        let broken = self.broken;
        self.problems.retain(|problem| {
            problem.code == Code::NotToml || !problem.line.is_some_and(|line| broken.contains(&line))
        });
        if self.problems.is_empty() {
            return Ok(read);
        }
        self.problems.sort_by_key(|problem| problem.line);
        if self.problems.len() > MAX_PROBLEMS {
            let more = self.problems.len() - MAX_PROBLEMS;
            self.problems.truncate(MAX_PROBLEMS);
            let what = format!("{more} more problems are not listed");
            self.problems.push(SettingsProblem::new(Code::TooMany, None, "", what, "correct the ones above first"));
        }
        Err(self.problems)
    }

    /// A value that is not possible.
    pub(super) fn bad(&mut self, key: &str, value: &Value<'_>, what: impl AsRef<str>, cure: impl AsRef<str>) {
        self.report(Code::BadValue, value.span(), key, what, cure);
    }

    /// A value of another type.
    pub(super) fn wrong_type(&mut self, key: &str, value: &Value<'_>, wanted: &str, cure: impl AsRef<str>) {
        let found = match value.get_ref() {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.report(Code::WrongType, value.span(), key, format!("`{key}` is {found}, not {wanted}"), cure);
    }

    /// `true` or `false`.
    pub(super) fn truth(&mut self, key: &str, value: &Value<'_>) -> Option<bool> {
        if let DeValue::Boolean(truth) = value.get_ref() {
            return Some(*truth);
        }
        self.wrong_type(
            key,
            value,
            "true or false",
            format!("write `{key} = true` or `{key} = false`, without quotes"),
        );
        None
    }

    /// A text that is not blank and holds no control character, but for line ends where they are `Lines::Many`.
    pub(super) fn text<'v>(&mut self, key: &str, value: &'v Value<'_>, lines: Lines) -> Option<&'v str> {
        let DeValue::String(text) = value.get_ref() else {
            self.wrong_type(key, value, "a text", format!("write `{key} = \"…\"`"));
            return None;
        };
        let has_control = match lines {
            Lines::One => crate::escape(text) != text.as_ref(),
            Lines::Many => text.contains('\0'),
        };
        if text.trim().is_empty() {
            self.bad(key, value, format!("`{key}` is empty"), "write a value, or remove the line");
        } else if has_control {
            self.bad(key, value, format!("`{key}` holds a control character"), "write it without");
        } else {
            return Some(text);
        }
        None
    }

    /// A list of texts, each one once.
    pub(super) fn texts<'v, 't>(
        &mut self,
        key: &str,
        value: &'v Value<'t>,
        example: &str,
    ) -> Option<Vec<(&'v str, &'v Value<'t>)>> {
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type(key, value, "a list of texts", format!("write `{key} = {example}`"));
            return None;
        };
        let before = self.count();
        let mut texts: Vec<(&str, &Value<'_>)> = Vec::new();
        for item in items.iter() {
            let Some(text) = self.text(key, item, Lines::One) else { continue };
            if texts.iter().any(|(other, _)| *other == text) {
                let what = format!("`{}` stands twice in `{key}`", shown(text));
                self.report(Code::Duplicate, item.span(), key, what, "remove one of them");
            } else {
                texts.push((text, item));
            }
        }
        (self.count() == before).then_some(texts)
    }

    /// An absolute path, its superfluous slashes and dots left out. `Names::File` does not end in a slash.
    pub(super) fn path(&mut self, key: &str, value: &Value<'_>, names: Names) -> Option<PathBuf> {
        let text = self.text(key, value, Lines::One)?;
        let quoted = shown(text);
        let path = Path::new(text);
        if !path.is_absolute() {
            let cure = "write the whole path, beginning with a slash";
            self.bad(key, value, format!("`{key}` is not an absolute path: `{quoted}`"), cure);
        } else if path.components().any(|part| part == Component::ParentDir) {
            self.bad(key, value, format!("`{key}` holds `..`: `{quoted}`"), "write the path without it");
        } else if names == Names::File && (text.ends_with('/') || text.ends_with("/.")) {
            self.bad(key, value, format!("`{key}` names a folder: `{quoted}`"), "write the path of the file in it");
        } else {
            return Some(path.components().collect());
        }
        None
    }

    /// A whole number.
    pub(super) fn number(&mut self, key: &str, value: &Value<'_>, range: RangeInclusive<u64>) -> Option<u64> {
        let cure = format!("write a number from {} to {}", range.start(), range.end());
        let DeValue::Integer(integer) = value.get_ref() else {
            self.wrong_type(key, value, "a whole number", cure);
            return None;
        };
        let number =
            u64::from_str_radix(integer.as_str(), integer.radix()).ok().filter(|number| range.contains(number));
        if number.is_none() {
            self.bad(key, value, format!("`{key}` cannot be {}", shown(integer.as_str())), cure);
        }
        number
    }

    /// A length of time: `"1 hour"`, or seconds as a number.
    pub(super) fn interval(
        &mut self,
        key: &str,
        value: &Value<'_>,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let cure = format!(
            "write for example `{key} = \"1 hour\"`: from {} to {}",
            interval_text(*range.start()),
            interval_text(*range.end())
        );
        let (written, length) = match value.get_ref() {
            DeValue::Integer(integer) => {
                let seconds = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
                (shown(integer.as_str()), seconds.map(Duration::from_secs))
            }
            DeValue::String(text) => {
                // certbot's grammar takes it for days, and whoever writes "3600" means something else.
                let bare = !text.contains(|c: char| c.is_ascii_alphabetic());
                let length = parse_interval(text).ok().and_then(|length| length.to_std().ok());
                let Some(length) = length.filter(|_| !bare) else {
                    let what = format!("`{key}` is not a length of time: `{}`", shown(text));
                    self.bad(key, value, what, cure);
                    return None;
                };
                (shown(text), Some(length))
            }
            _ => {
                self.wrong_type(key, value, "a length of time", cure);
                return None;
            }
        };
        let length = length.filter(|length| range.contains(length));
        if length.is_none() {
            self.bad(key, value, format!("`{key}` cannot be {written}"), cure);
        }
        length
    }
}

/// Whether a text may have several lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lines {
    /// It may not.
    One,
    /// A shell command may.
    Many,
}

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// A file.
    File,
    /// A folder, or either.
    Folder,
}
