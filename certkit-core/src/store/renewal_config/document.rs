//! A conf as lines and as sections: what each line means and which lines an entry takes.

use std::borrow::Cow;

use super::ConfError;
use super::grammar::{self, RawValue};
use super::names::Names;
use super::usual_line::{usual, usual_marker};

/// UTF-8's byte-order mark, which `configobj` takes off once.
pub(super) const BOM: char = '\u{feff}';

/// So many entries the sections of usual confs have at most, so that none outgrows its room.
const USUAL_ENTRIES: usize = 12;

/// A parsed text. Section 0 is the root.
pub(super) struct Document<'a> {
    /// The lines with their endings; the byte-order mark is in none of them.
    pub(super) lines: Vec<&'a str>,
    pub(super) sections: Vec<Section<'a>>,
}

pub(super) struct Section<'a> {
    /// None for the root.
    pub(super) name: Option<&'a str>,
    /// The root is its own parent.
    pub(super) parent: usize,
    depth: usize,
    /// The line of its header; none for the root.
    pub(super) header: Option<usize>,
    pub(super) entries: Vec<Entry<'a>>,
    pub(super) children: Vec<usize>,
    names: Names<'a>,
}

pub(super) struct Entry<'a> {
    pub(super) key: &'a str,
    pub(super) value: RawValue<'a>,
    /// The first and the last of its lines.
    pub(super) first: usize,
    pub(super) last: usize,
    /// Where the value begins in the first line, in bytes.
    pub(super) value_at: usize,
    /// Where the comment begins in the last line, in bytes.
    pub(super) comment_at: Option<usize>,
}

impl<'a> Document<'a> {
    /// Reads a text, whose byte-order mark is already off.
    pub(super) fn parse(text: &'a str) -> Result<Self, ConfError> {
        // Room for usual lines at once: thousands of confs are read in a row.
        let mut lines = Vec::with_capacity(text.len() / 24 + 1);
        let mut rest = text;
        while let Some(end) = memchr::memchr(b'\n', rest.as_bytes()) {
            let (line, after) = rest.split_at(end + 1);
            lines.push(line);
            rest = after;
        }
        if !rest.is_empty() {
            lines.push(rest);
        }
        let mut document = Self { lines, sections: vec![Section::new(None, 0, 0, None)] };
        let mut current = 0;
        let mut index = 0;
        while let Some(line) = document.content(index) {
            let first = index;
            index += 1;
            if let Some((key, value, value_at)) = usual(line) {
                let entry = Entry { key, value, first, last: first, value_at, comment_at: None };
                document.section_mut(current).push(entry)?;
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
            let entry =
                Entry { key: keyword.key, value, first, last: index - 1, value_at: keyword.value_at, comment_at };
            document.section_mut(current).push(entry)?;
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
        section.entries.last().map(|entry| entry.last).or(section.header)
    }

    fn section_mut(&mut self, index: usize) -> &mut Section<'a> {
        // Indices come from `open` alone, which hands out those of sections that exist.
        &mut self.sections[index]
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
        if !self.sections[parent].names.insert(marker.name) {
            return Err(syntax(line, "the section stands there twice"));
        }
        let index = self.sections.len();
        self.sections[parent].children.push(index);
        self.sections.push(Section::new(Some(marker.name), parent, marker.open, Some(line)));
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
    fn new(name: Option<&'a str>, parent: usize, depth: usize, header: Option<usize>) -> Self {
        let entries = Vec::with_capacity(USUAL_ENTRIES);
        Self { name, parent, depth, header, entries, children: Vec::new(), names: Names::default() }
    }

    fn push(&mut self, entry: Entry<'a>) -> Result<(), ConfError> {
        if !self.names.insert(entry.key) {
            return Err(syntax(entry.first, "the key stands there twice"));
        }
        self.entries.push(entry);
        Ok(())
    }

    pub(super) fn entry(&self, key: &str) -> Option<&Entry<'a>> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Whether the name stands for a value or a section here.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.names.contains(name)
    }
}

fn syntax(line: usize, problem: &str) -> ConfError {
    ConfError::Syntax { line: line + 1, problem: problem.to_owned() }
}
