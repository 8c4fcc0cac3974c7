//! Changing a conf line by line, with the proof that nothing else moved.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::document::{BOM, Document, Entry, Section};
use super::{ConfError, ConfText, ConfValue, RenewalConf, quote};

/// Changes to a conf. A later change of a key replaces an earlier one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfEdits {
    /// Top-level keys to set; `None` removes.
    pub top: Vec<(String, Option<ConfValue>)>,
    /// Keys of `[renewalparams]` to set; `None` removes. The deploy hook may be called `deploy_hook`: it is kept under
    /// certbot's name for it, `renew_hook`.
    pub params: Vec<(String, Option<ConfValue>)>,
    /// A new `[[webroot_map]]`; an empty one removes the section.
    pub webroot_map: Option<Vec<(String, PathBuf)>>,
}

impl ConfEdits {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.top.is_empty() && self.params.is_empty() && self.webroot_map.is_none()
    }

    /// Sets (or with `None` removes) a key of `[renewalparams]`.
    pub fn param(&mut self, key: &str, value: Option<&str>) -> &mut Self {
        self.params.push((key.to_owned(), value.map(ConfValue::from)));
        self
    }

    /// Sets a key of `[renewalparams]` to a list.
    pub fn param_list(&mut self, key: &str, values: &[&str]) -> &mut Self {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        self.params.push((key.to_owned(), Some(ConfValue::List(values))));
        self
    }

    /// Sets (or with `None` removes) a top-level key.
    pub fn top(&mut self, key: &str, value: Option<&str>) -> &mut Self {
        self.top.push((key.to_owned(), value.map(ConfValue::from)));
        self
    }
}

impl RenewalConf {
    /// The conf with `edits`: only lines that change are touched, comments and unknown keys stay, and certbot reads it
    /// back with the same meaning.
    pub fn edited(&self, edits: &ConfEdits) -> Result<Self, ConfError> {
        let (bom, body) = match self.text.strip_prefix(BOM) {
            Some(body) => (true, body),
            None => (false, &*self.text),
        };
        let document = Document::parse(body)?;
        let mut change = Change::new(&document);

        change.entries(Some(0), &[], &edits.top, |key| self.top(key))?;
        let params = document.child(0, "renewalparams");
        let wanted = with_certbots_name_of_the_deploy_hook(&edits.params);
        let map = edits.webroot_map.as_deref().filter(|map| !is_map(map, &self.params().webroot_map));
        if params.is_none() && (wanted.iter().any(|(_, value)| value.is_some()) || map.is_some()) {
            let path = vec!["renewalparams".to_owned()];
            change.new_section(document.lines.len(), "", &path)?;
        }
        change.entries(params, &["renewalparams"], &wanted, |key| self.param(key))?;
        if let Some(map) = map {
            change.webroot_map(params, map, &self.params().webroot_map)?;
        }

        let (body, expected) = change.finish();
        let text = if bom { format!("{BOM}{body}") } else { body };
        let conf = Self::parse(text.as_bytes())?;
        let read_back = Document::parse(text.strip_prefix(BOM).unwrap_or(&text))?;
        difference(&expected, &model(&read_back)).map_or(Ok(conf), |what| {
            Err(ConfError::ReadsBackDifferently { what: crate::escape(&what).chars().take(200).collect() })
        })
    }
}

/// certbot reads `deploy_hook` where there is no `renew_hook` and always writes the latter. Both names are set or
/// removed together, or an old line under the other name would come to life.
fn with_certbots_name_of_the_deploy_hook(edits: &[(String, Option<ConfValue>)]) -> Vec<(String, Option<ConfValue>)> {
    let mut out = Vec::with_capacity(edits.len() + 1);
    for (key, value) in edits {
        if key == "deploy_hook" || key == "renew_hook" {
            out.push(("renew_hook".to_owned(), value.clone()));
            out.push(("deploy_hook".to_owned(), None));
        } else {
            out.push((key.clone(), value.clone()));
        }
    }
    out
}

fn is_map(wanted: &[(String, PathBuf)], current: &[(ConfText, ConfText)]) -> bool {
    wanted.len() == current.len()
        && wanted
            .iter()
            .zip(current)
            .all(|(wanted, current)| wanted.0 == current.0.as_str() && wanted.1.to_str() == Some(current.1.as_str()))
}

/// The values of a text by section, as written: what must not change unless it was asked for.
type Model = BTreeMap<Vec<String>, Vec<(String, ConfValue)>>;

fn model(document: &Document<'_>) -> Model {
    let mut model = Model::new();
    for section in &document.sections {
        let mut path = Vec::new();
        let mut at = section;
        while let Some(name) = at.name {
            path.push(name.to_owned());
            at = &document.sections[at.parent];
        }
        path.reverse();
        let entries =
            document.entries(section).iter().map(|entry| (entry.key.to_owned(), ConfValue::from(&entry.value)));
        model.insert(path, entries.collect());
    }
    model
}

fn difference(expected: &Model, found: &Model) -> Option<String> {
    let sections: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    for path in sections {
        let (Some(expected), Some(found)) = (expected.get(path), found.get(path)) else {
            return Some(format!("section {}", path.join("/")));
        };
        let differs = expected.iter().zip(found).find(|(expected, found)| expected != found).map(|(pair, _)| pair);
        if let Some((key, _)) = differs.or_else(|| expected.get(found.len())).or_else(|| found.get(expected.len())) {
            return Some(key.clone());
        }
    }
    None
}

/// What happens to the lines of a text.
struct Change<'d, 'a> {
    document: &'d Document<'a>,
    newline: &'static str,
    dropped: BTreeSet<usize>,
    replaced: BTreeMap<usize, String>,
    /// New lines before the line of this number, in the order in which they were asked for.
    inserted: BTreeMap<usize, Vec<String>>,
    expected: Model,
}

impl<'d, 'a> Change<'d, 'a> {
    fn new(document: &'d Document<'a>) -> Self {
        let crlf = document.lines.first().is_some_and(|line| line.ends_with("\r\n"));
        Self {
            document,
            newline: if crlf { "\r\n" } else { "\n" },
            dropped: BTreeSet::new(),
            replaced: BTreeMap::new(),
            inserted: BTreeMap::new(),
            expected: model(document),
        }
    }

    /// Sets and removes keys of one section; `section` is none when it was just made.
    fn entries(
        &mut self,
        section: Option<usize>,
        path: &[&str],
        edits: &[(String, Option<ConfValue>)],
        current: impl Fn(&str) -> Option<ConfValue>,
    ) -> Result<(), ConfError> {
        let document = self.document;
        let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
        for (index, (key, value)) in edits.iter().enumerate() {
            if edits.iter().skip(index + 1).any(|(later, _)| later == key) {
                continue;
            }
            let at = section.and_then(|section| document.sections.get(section));
            let entry = at.and_then(|section| document.entry(section, key));
            match (entry, value) {
                (None, None) => {}
                (Some(entry), None) => self.remove(entry, &path),
                (Some(_), Some(value)) if current(key).as_ref() == Some(value) => {}
                (Some(entry), Some(value)) => self.replace(entry, &path, value)?,
                (None, Some(_)) if at.is_some_and(|section| document.contains(section, key)) => {
                    return Err(unwritable(key, "a section has this name"));
                }
                (None, Some(value)) => {
                    let (before, indent) = match at {
                        Some(section) => self.end_of_entries(section),
                        None => (document.lines.len(), String::new()),
                    };
                    self.add(before, &indent, &path, key, value)?;
                }
            }
        }
        Ok(())
    }

    /// Makes `[[webroot_map]]` say exactly `wanted`, in this order.
    fn webroot_map(
        &mut self,
        params: Option<usize>,
        wanted: &[(String, PathBuf)],
        current: &[(ConfText, ConfText)],
    ) -> Result<(), ConfError> {
        let document = self.document;
        let path = ["renewalparams".to_owned(), "webroot_map".to_owned()];
        let values: Result<Vec<_>, _> = wanted
            .iter()
            .map(|(name, dir)| match dir.to_str() {
                Some(dir) => Ok((name.as_str(), ConfValue::from(dir))),
                None => Err(unwritable(name, "the path is not UTF-8, which certbot demands of this file")),
            })
            .collect();
        let values = values?;
        let section = params.and_then(|params| document.child(params, "webroot_map"));
        let Some(section) = section.and_then(|section| document.sections.get(section)) else {
            if wanted.is_empty() {
                return Ok(());
            }
            let name_taken = params.and_then(|params| document.sections.get(params));
            if name_taken.is_some_and(|params| document.contains(params, "webroot_map")) {
                return Err(unwritable("webroot_map", "a value has this name, where a section belongs"));
            }
            let last = params.and_then(|params| document.last_line(params));
            let before = last.map_or(document.lines.len(), |last| last + 1);
            let header = params.and_then(|params| document.sections.get(params)?.header);
            let indent = header.map(|line| self.indent_of(line)).unwrap_or_default();
            self.new_section(before, &indent, &path)?;
            for (name, value) in &values {
                self.add(before, &indent, &path, name, value)?;
            }
            return Ok(());
        };
        if wanted.is_empty() {
            self.remove_section(section, &path);
            return Ok(());
        }
        let stays = |name: &str| wanted.iter().any(|(wanted, _)| wanted == name);
        // Lines stay where they are when the order allows it; otherwise all are written anew.
        let kept = document.entries(section).iter().filter(|entry| stays(entry.key)).map(|entry| entry.key);
        let new =
            wanted.iter().filter(|(name, _)| document.entry(section, name).is_none()).map(|(name, _)| name.as_str());
        if kept.chain(new).eq(wanted.iter().map(|(name, _)| name.as_str())) {
            let gone =
                document.entries(section).iter().filter(|entry| !stays(entry.key)).map(|entry| (entry.key, None));
            let edits = gone.chain(values.iter().map(|(name, value)| (*name, Some(value.clone()))));
            let edits: Vec<_> = edits.map(|(name, value)| (name.to_owned(), value)).collect();
            let find = |key: &str| {
                current.iter().find(|(name, _)| *name == *key).map(|(_, folder)| ConfValue::from(folder.as_str()))
            };
            let index = params.and_then(|params| document.child(params, "webroot_map"));
            return self.entries(index, &["renewalparams", "webroot_map"], &edits, find);
        }
        for entry in document.entries(section) {
            self.remove(entry, &path);
        }
        let (before, indent) = self.end_of_entries(section);
        for (name, value) in &values {
            self.add(before, &indent, &path, name, value)?;
        }
        Ok(())
    }

    fn remove(&mut self, entry: &Entry<'_>, path: &[String]) {
        self.dropped.extend(entry.first()..=entry.last());
        if let Some(entries) = self.expected.get_mut(path) {
            entries.retain(|(key, _)| key != entry.key);
        }
    }

    fn remove_section(&mut self, section: &Section<'_>, path: &[String]) {
        let document = self.document;
        let mut below = vec![section];
        while let Some(section) = below.pop() {
            self.dropped.extend(section.header);
            for entry in document.entries(section) {
                self.dropped.extend(entry.first()..=entry.last());
            }
            below.extend(section.children.iter().filter_map(|&child| document.sections.get(child)));
        }
        self.expected.retain(|other, _| !other.starts_with(path));
    }

    /// Puts a new value between what stands before the old one and the comment after it.
    fn replace(&mut self, entry: &Entry<'_>, path: &[String], value: &ConfValue) -> Result<(), ConfError> {
        let written = self.written(entry.key, value)?;
        let first = self.document.content(entry.first()).unwrap_or_default();
        let last = self.document.content(entry.last()).unwrap_or_default();
        let whole = self.document.lines.get(entry.last()).copied().unwrap_or_default();
        let ending = whole.get(last.len()..).unwrap_or_default();
        let before = first.get(..entry.value_at()).unwrap_or_default();
        let gap = if before.ends_with('=') { " " } else { "" };
        let mut line = format!("{before}{gap}{written}");
        if let Some(comment) = entry.comment_at() {
            let from = if entry.first() == entry.last() { entry.value_at() } else { 0 };
            let old = last.get(from..comment).unwrap_or_default();
            let blanks = old.get(super::grammar::trim_end(old).len()..).filter(|blanks| !blanks.is_empty());
            line.push_str(blanks.unwrap_or(" "));
            line.push_str(last.get(comment..).unwrap_or_default());
        }
        line.push_str(ending);
        self.dropped.extend(entry.first()..=entry.last());
        self.replaced.insert(entry.first(), line);
        if let Some((_, old)) =
            self.expected.get_mut(path).and_then(|entries| entries.iter_mut().find(|(key, _)| key == entry.key))
        {
            *old = value.clone();
        }
        Ok(())
    }

    fn add(
        &mut self,
        before: usize,
        indent: &str,
        path: &[String],
        key: &str,
        value: &ConfValue,
    ) -> Result<(), ConfError> {
        let line = format!("{indent}{} = {}{}", quote::key(key)?, self.written(key, value)?, self.newline);
        self.inserted.entry(before).or_default().push(line);
        self.expected.entry(path.to_vec()).or_default().push((key.to_owned(), value.clone()));
        Ok(())
    }

    fn new_section(&mut self, before: usize, indent: &str, path: &[String]) -> Result<(), ConfError> {
        let name = quote::key(path.last().map_or("", String::as_str))?;
        let (open, close) = ("[".repeat(path.len()), "]".repeat(path.len()));
        self.inserted.entry(before).or_default().push(format!("{indent}{open}{name}{close}{}", self.newline));
        self.expected.insert(path.to_vec(), Vec::new());
        Ok(())
    }

    fn written(&self, key: &str, value: &ConfValue) -> Result<String, ConfError> {
        let written = quote::value(key, value)?;
        Ok(if self.newline == "\n" { written } else { written.replace('\n', self.newline) })
    }

    /// Where a new entry of a section goes (before which line), and how far it is indented.
    fn end_of_entries(&self, section: &Section<'_>) -> (usize, String) {
        let document = self.document;
        if let Some(entry) = document.entries(section).last() {
            return (entry.last() + 1, self.indent_of(entry.first()));
        }
        if let Some(header) = section.header {
            return (header + 1, self.indent_of(header));
        }
        let first_section = section.children.first().and_then(|&child| document.sections.get(child)?.header);
        (first_section.unwrap_or(document.lines.len()), String::new())
    }

    fn indent_of(&self, line: usize) -> String {
        let line = self.document.content(line).unwrap_or_default();
        let indent = line.len() - super::grammar::trim_start(line).len();
        // A blank that begins a key is none of the indentation; such a key is copied by nobody.
        line.get(..indent).unwrap_or_default().to_owned()
    }

    fn finish(self) -> (String, Model) {
        let mut out = String::new();
        let lines = self.document.lines.iter().map(Some).chain([None]);
        for (index, line) in lines.enumerate() {
            for new in self.inserted.get(&index).into_iter().flatten() {
                if !out.is_empty() && !out.ends_with('\n') {
                    out.push_str(self.newline);
                }
                out.push_str(new);
            }
            if let Some(new) = self.replaced.get(&index) {
                out.push_str(new);
            }
            if let Some(line) = line.filter(|_| !self.dropped.contains(&index)) {
                out.push_str(line);
            }
        }
        (out, self.expected)
    }
}

fn unwritable(key: &str, problem: &'static str) -> ConfError {
    ConfError::Unwritable { key: crate::escape(key).chars().take(100).collect(), problem }
}
