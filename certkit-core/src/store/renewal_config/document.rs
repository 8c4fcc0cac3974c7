//! A conf as lines and as sections: what each line means and which lines an entry takes.

use std::borrow::Cow;
use std::collections::HashSet;
use std::num::NonZero;
use std::ops::{Range, RangeInclusive};

use super::ConfError;
use super::grammar::{self, RawValue};
use super::names;
use super::usual_line::{usual, usual_marker};

/// UTF-8's byte-order mark, which `configobj` takes off once.
pub(super) const BOM: char = '\u{feff}';

/// Shorter the lines of usual confs are not on the average, so that the list of lines has room for all.
const USUAL_LINE: usize = 24;

/// There is room for an entry on each line at once, up to so many.
const USUAL_ENTRIES: usize = 64;

/// The root, `[renewalparams]` and `[[webroot_map]]`.
const USUAL_SECTIONS: usize = 3;

/// A parsed text. Section 0 is the root.
pub(super) struct Document<'a> {
    /// The lines with their endings; the byte-order mark is in none of them.
    pub(super) lines: Vec<&'a str>,
    pub(super) sections: Vec<Section<'a>>,
    /// Those of all sections. A section's lie behind each other, for none goes on after the next has begun.
    entries: Vec<Entry<'a>>,
}

pub(super) struct Section<'a> {
    /// None for the root.
    pub(super) name: Option<&'a str>,
    /// The root is its own parent.
    pub(super) parent: usize,
    depth: usize,
    /// The line of its header; none for the root.
    pub(super) header: Option<usize>,
    entries: Range<usize>,
    pub(super) children: Vec<usize>,
    /// Its names, once there are many.
    many: Option<HashSet<&'a str>>,
}

/// It is small, so that those of a usual conf fit into a KiB: larger pieces of memory glibc does not keep at hand, and getting
/// one takes it as long as all else that is done for a conf.
pub(super) struct Entry<'a> {
    pub(super) key: &'a str,
    pub(super) value: RawValue<'a>,
    first: u32,
    last: u32,
    value_at: u32,
    comment_at: Option<NonZero<u32>>,
}

impl Entry<'_> {
    /// The first of its lines.
    pub(super) fn first(&self) -> usize {
        self.first as usize
    }

    /// The last of its lines.
    pub(super) fn last(&self) -> usize {
        self.last as usize
    }

    /// Where the value begins in the first line, in bytes.
    pub(super) fn value_at(&self) -> usize {
        self.value_at as usize
    }

    /// Where the comment begins in the last line, in bytes: never at its beginning.
    pub(super) fn comment_at(&self) -> Option<usize> {
        self.comment_at.map(|at| at.get() as usize)
    }
}

impl<'a> Document<'a> {
    /// Reads a text, whose byte-order mark is already off.
    pub(super) fn parse(text: &'a str) -> Result<Self, ConfError> {
        // Room for usual lines at once: thousands of confs are read in a row.
        let mut lines = Vec::with_capacity(text.len() / USUAL_LINE + 1);
        let mut rest = text;
        while let Some(end) = memchr::memchr(b'\n', rest.as_bytes()) {
            let (line, after) = rest.split_at(end + 1);
            lines.push(line);
            rest = after;
        }
        if !rest.is_empty() {
            lines.push(rest);
        }
        let mut sections = Vec::with_capacity(USUAL_SECTIONS);
        sections.push(Section::new(None, 0, 0, None, 0));
        let entries = Vec::with_capacity(lines.len().min(USUAL_ENTRIES));
        let mut document = Self { lines, sections, entries };
        let mut current = 0;
        let mut index = 0;
        while let Some(line) = document.content(index) {
            let first = index;
            index += 1;
            if let Some((key, value, value_at)) = usual(line) {
                document.push(current, key, value, first..=first, value_at, None)?;
                continue;
            }
            let trimmed = grammar::trim(line);
            if trimmed.is_empty() || trimmed.starts_with('#') {
                continue;
            }
            if let Some(marker) = usual_marker(line).or_else(|| grammar::marker(line)) {
                current = document.open(current, &marker, first)?;
                continue;
            }
            let Some(keyword) = grammar::keyword(line) else {
                return Err(syntax(first, "neither `key = value` nor a section header"));
            };
            let rest = line.get(keyword.value_at..).unwrap_or_default();
            let (value, comment_at) = if rest.starts_with("\"\"\"") || rest.starts_with("'''") {
                let (value, comment_at, last) = document.triple(rest, first)?;
                index = last + 1;
                // The comment's place counts from the value on its own line, and from the beginning on any other.
                (value, comment_at.map(|at| if last == first { at + keyword.value_at } else { at }))
            } else {
                let value = grammar::value(rest)
                    .ok_or_else(|| syntax(first, "the value's quotes or commas do not fit together"))?;
                (value.value, value.comment_at.map(|at| at + keyword.value_at))
            };
            document.push(current, keyword.key, value, first..=index - 1, keyword.value_at, comment_at)?;
        }
        Ok(document)
    }

    /// A line without its ending.
    pub(super) fn content(&self, index: usize) -> Option<&'a str> {
        let line = self.lines.get(index)?;
        let length = line.bytes().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
        line.get(..length)
    }

    pub(super) fn root(&self) -> &Section<'a> {
        // The root is made with the document and never removed.
        &self.sections[0]
    }

    /// The entries of a section.
    pub(super) fn entries(&self, section: &Section<'a>) -> &[Entry<'a>] {
        self.entries.get(section.entries.clone()).unwrap_or_default()
    }

    /// An entry of a section, by key.
    pub(super) fn entry(&self, section: &Section<'a>, key: &str) -> Option<&Entry<'a>> {
        self.entries(section).iter().find(|entry| entry.key == key)
    }

    /// Whether the name stands for a value or a section in a section.
    pub(super) fn contains(&self, section: &Section<'a>, name: &str) -> bool {
        self.names(section).any(|known| known == name)
    }

    /// The names that a section has.
    fn names(&self, section: &Section<'a>) -> impl Iterator<Item = &'a str> + Clone {
        let children = section.children.iter().filter_map(|child| self.sections.get(*child)?.name);
        self.entries(section).iter().map(|entry| entry.key).chain(children)
    }

    /// A section below another, by name.
    pub(super) fn child(&self, parent: usize, name: &str) -> Option<usize> {
        let children = &self.sections.get(parent)?.children;
        children.iter().copied().find(|&child| self.sections.get(child).is_some_and(|s| s.name == Some(name)))
    }

    /// The last line that belongs to a section or to one below it, comments after it not counted.
    pub(super) fn last_line(&self, section: usize) -> Option<usize> {
        // Sections lie behind each other in the file, so the last one below has the last line.
        let mut at = section;
        while let Some(&child) = self.sections.get(at)?.children.last() {
            at = child;
        }
        let section = self.sections.get(at)?;
        self.entries(section).last().map(Entry::last).or(section.header)
    }

    /// Adds an entry to the last section.
    fn push(
        &mut self,
        current: usize,
        key: &'a str,
        value: RawValue<'a>,
        lines: RangeInclusive<usize>,
        value_at: usize,
        comment_at: Option<usize>,
    ) -> Result<(), ConfError> {
        if !self.is_new(current, key) {
            return Err(syntax(*lines.start(), "the key stands there twice"));
        }
        // Nothing of a conf is so far from its beginning.
        let at = |position: usize| u32::try_from(position).map_err(|_| ConfError::TooLarge);
        let (first, last, value_at) = (at(*lines.start())?, at(*lines.end())?, at(value_at)?);
        let comment_at = comment_at.map(at).transpose()?.and_then(NonZero::new);
        self.entries.push(Entry { key, value, first, last, value_at, comment_at });
        self.sections[current].entries.end = self.entries.len();
        Ok(())
    }

    /// Notes a name of a section, unless it has it.
    fn is_new(&mut self, section: usize, name: &'a str) -> bool {
        // Indices come from `open` alone, which hands out those of sections that exist.
        let mut many = self.sections[section].many.take();
        let is_new = names::is_new(name, self.names(&self.sections[section]), &mut many);
        self.sections[section].many = many;
        is_new
    }

    fn open(&mut self, current: usize, marker: &grammar::Marker<'a>, line: usize) -> Result<usize, ConfError> {
        if marker.open != marker.close {
            return Err(syntax(line, "the section header has not as many closing as opening brackets"));
        }
        let depth = self.sections[current].depth;
        if marker.open > depth + 1 {
            return Err(syntax(line, "the section has no section above it"));
        }
        let mut parent = current;
        for _ in marker.open..=depth {
            parent = self.sections[parent].parent;
        }
        if !self.is_new(parent, marker.name) {
            return Err(syntax(line, "the section stands there twice"));
        }
        let index = self.sections.len();
        self.sections[parent].children.push(index);
        self.sections.push(Section::new(Some(marker.name), parent, marker.open, Some(line), self.entries.len()));
        Ok(index)
    }

    /// A triple-quoted value that begins with `rest`: the text, the comment's place and the last line.
    fn triple(&self, rest: &'a str, first: usize) -> Result<(RawValue<'a>, Option<usize>, usize), ConfError> {
        let unfinished = || syntax(first, "the triple-quoted value has no proper end");
        let (quotes, body) = rest.split_at(3);
        if let Some((end, comment_at)) = grammar::triple_close(body, quotes) {
            let text = body.get(..end).unwrap_or_default();
            return Ok((RawValue::Text(Cow::Borrowed(text)), comment_at.map(|at| at + 3), first));
        }
        if body.contains(quotes) {
            return Err(unfinished());
        }
        let mut text = body.to_owned();
        let mut index = first + 1;
        while let Some(line) = self.content(index) {
            text.push('\n');
            if line.contains(quotes) {
                let (end, comment_at) = grammar::triple_close(line, quotes).ok_or_else(unfinished)?;
                text.push_str(line.get(..end).unwrap_or_default());
                return Ok((RawValue::Text(Cow::Owned(text)), comment_at, index));
            }
            text.push_str(line);
            index += 1;
        }
        Err(unfinished())
    }
}

impl<'a> Section<'a> {
    fn new(name: Option<&'a str>, parent: usize, depth: usize, header: Option<usize>, entry: usize) -> Self {
        Self { name, parent, depth, header, entries: entry..entry, children: Vec::new(), many: None }
    }
}

fn syntax(line: usize, problem: &str) -> ConfError {
    ConfError::Syntax { line: line + 1, problem: problem.to_owned() }
}
