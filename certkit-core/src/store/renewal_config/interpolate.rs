//! `%(name)s` in values, resolved as `configobj` resolves it for certbot.

use std::borrow::Cow;

use super::ConfError;
use super::document::Document;
use super::grammar::RawValue;

/// No conf needs more; it keeps a value that doubles itself from filling the memory.
const MAX_BYTES: usize = 1 << 20;
/// Likewise for time: replacements in one conf.
const MAX_REPLACEMENTS: usize = 1_000;
/// Names that lead to names; the original gives up at the interpreter's recursion limit.
const MAX_DEPTH: usize = 200;

/// Resolves the values of one document.
pub(super) struct Interpolation<'d, 'a> {
    document: &'d Document<'a>,
    replacements: usize,
}

impl<'d, 'a> Interpolation<'d, 'a> {
    pub(super) fn new(document: &'d Document<'a>) -> Self {
        Self { document, replacements: 0 }
    }

    /// The text of `key` in `section` with every name in it replaced.
    pub(super) fn resolve<'t>(
        &mut self,
        section: usize,
        key: &'t str,
        text: &'t str,
    ) -> Result<Cow<'t, str>, ConfError> {
        // Hardly any value has one, and a single byte is found sooner than two.
        if memchr::memchr(b'%', text.as_bytes()).is_none() || next_name(text, 0).is_none() {
            return Ok(Cow::Borrowed(text));
        }
        let mut trail = Vec::new();
        let section_name = self.document.sections.get(section).and_then(|section| section.name);
        self.expand(section, key, key, section_name, text, &mut trail).map(Cow::Owned)
    }

    /// `asked` is the key whose value is wanted in the end, `key` the one whose text is expanded now.
    fn expand(
        &mut self,
        start: usize,
        asked: &str,
        key: &str,
        section_name: Option<&str>,
        text: &str,
        trail: &mut Vec<(String, Option<String>)>,
    ) -> Result<String, ConfError> {
        let refuse = |name: &str, problem| ConfError::Interpolation { key: shown(asked), name: shown(name), problem };
        let step = (key.to_owned(), section_name.map(str::to_owned));
        if trail.contains(&step) {
            return Err(refuse(key, "refers to itself"));
        }
        if trail.len() >= MAX_DEPTH {
            return Err(refuse(key, "is nested too deeply"));
        }
        trail.push(step);
        let mut out = String::with_capacity(text.len());
        let mut from = 0;
        while let Some((begin, end)) = next_name(text, from) {
            let name = text.get(begin + 2..end - 2).unwrap_or_default();
            self.replacements += 1;
            let (value, found_in) = self.fetch(start, name).map_err(|problem| refuse(name, problem))?;
            let replacement = self.expand(start, asked, name, found_in, value, trail)?;
            out.push_str(text.get(from..begin).unwrap_or_default());
            out.push_str(&replacement);
            if out.len() > MAX_BYTES || self.replacements > MAX_REPLACEMENTS {
                return Err(refuse(name, "grows without bound"));
            }
            from = end;
        }
        out.push_str(text.get(from..).unwrap_or_default());
        trail.pop();
        Ok(out)
    }

    /// Looks in the section, in its `DEFAULT` section, and then likewise in those above it.
    fn fetch(&self, start: usize, name: &str) -> Result<(&'d str, Option<&'d str>), &'static str> {
        let mut at = start;
        loop {
            let Some(section) = self.document.sections.get(at) else { return Err("is not defined") };
            let found = match self.document.entry(section, name) {
                Some(entry) => Some(entry),
                None if self.document.entry(section, "DEFAULT").is_some() => {
                    return Err("cannot be looked up, because `DEFAULT` is not a section");
                }
                None => self
                    .document
                    .child(at, "DEFAULT")
                    .and_then(|at| self.document.entry(self.document.sections.get(at)?, name)),
            };
            match found.map(|entry| &entry.value) {
                Some(RawValue::Text(text)) => return Ok((text.as_ref(), section.name)),
                Some(RawValue::List(_)) => return Err("is a list"),
                None if section.parent == at => return Err("is not defined"),
                None => at = section.parent,
            }
        }
    }
}

/// The next `%(name)s` at or after `from`: `%\(([^)]*)\)s`.
pub(super) fn next_name(text: &str, from: usize) -> Option<(usize, usize)> {
    let mut at = from;
    loop {
        let begin = at + text.get(at..)?.find("%(")?;
        let close = begin + text.get(begin..)?.find(')')?;
        if text.get(close + 1..)?.starts_with('s') {
            return Some((begin, close + 2));
        }
        // Every other `%(` before this bracket ends at it too.
        at = close + 1;
    }
}

fn shown(text: &str) -> String {
    crate::escape(text).chars().take(100).collect()
}
