//! `%(name)s` in values, resolved as `configobj` resolves it for certbot.

use std::borrow::Cow;
use std::collections::HashMap;

use super::ConfError;
use super::document::{Document, Entry};
use super::grammar::RawValue;
use super::names::FEW;

/// No conf needs more, all its values together; it keeps a value that doubles itself, or is named again and again, from filling
/// the memory.
const MAX_BYTES: usize = 1 << 20;
/// Likewise for time: names that are looked up in one conf, found or not.
const MAX_LOOKUPS: usize = 1_000;
/// Names that lead to names; the original gives up at the interpreter's recursion limit.
const MAX_DEPTH: usize = 200;

/// Resolves the values of one document.
pub(super) struct Interpolation<'d, 'a> {
    document: &'d Document<'a>,
    lookups: usize,
    /// Bytes that names were replaced by so far, and that were looked through for it.
    made: usize,
    /// Where the keys of a large section stand, once it was asked.
    places: HashMap<usize, HashMap<&'a str, usize>>,
}

impl<'d, 'a> Interpolation<'d, 'a> {
    pub(super) fn new(document: &'d Document<'a>) -> Self {
        Self { document, lookups: 0, made: 0, places: HashMap::new() }
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
            self.lookups += 1;
            if self.lookups > MAX_LOOKUPS {
                return Err(refuse(name, "is one name too many"));
            }
            let (value, found_in) = self.fetch(start, name).map_err(|problem| refuse(name, problem))?;
            // What is looked through counts, too.
            self.made += value.len();
            if self.made > MAX_BYTES {
                return Err(refuse(name, "grows without bound"));
            }
            let replacement = self.expand(start, asked, name, found_in, value, trail)?;
            out.push_str(text.get(from..begin).unwrap_or_default());
            out.push_str(&replacement);
            self.made += replacement.len();
            if out.len() > MAX_BYTES {
                return Err(refuse(name, "grows without bound"));
            }
            from = end;
        }
        out.push_str(text.get(from..).unwrap_or_default());
        trail.pop();
        Ok(out)
    }

    /// Looks in the section, in its `DEFAULT` section, and then likewise in those above it.
    fn fetch(&mut self, start: usize, name: &str) -> Result<(&'d str, Option<&'d str>), &'static str> {
        let document = self.document;
        let mut at = start;
        loop {
            let Some(section) = document.sections.get(at) else { return Err("is not defined") };
            let found = match self.entry(at, name) {
                Some(entry) => Some(entry),
                None if self.entry(at, "DEFAULT").is_some() => {
                    return Err("cannot be looked up, because `DEFAULT` is not a section");
                }
                None => document.child(at, "DEFAULT").and_then(|default| self.entry(default, name)),
            };
            match found.map(|entry| &entry.value) {
                Some(RawValue::Text(text)) => return Ok((text.as_ref(), section.name)),
                Some(RawValue::List(_)) => return Err("is a list"),
                None if section.parent == at => return Err("is not defined"),
                None => at = section.parent,
            }
        }
    }

    /// The entry of a key, which may be one of very many.
    fn entry(&mut self, section: usize, name: &str) -> Option<&'d Entry<'a>> {
        let entries = self.document.entries(self.document.sections.get(section)?);
        if entries.len() <= FEW {
            return entries.iter().find(|entry| entry.key == name);
        }
        let places = self
            .places
            .entry(section)
            .or_insert_with(|| entries.iter().enumerate().map(|(place, entry)| (entry.key, place)).collect());
        entries.get(*places.get(name)?)
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
