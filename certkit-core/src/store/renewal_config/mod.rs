//! `renewal/NAME.conf`: read with certbot's meaning, written so that only the lines that change change.
//!
//! [`grammar`] reads one line as `configobj` does, [`usual_line`] the same of those that certbot writes, [`document`] puts
//! lines into sections, [`names`] knows the keys of one, [`interpolate`] resolves `%(name)s`, [`params`] gives
//! `[renewalparams]` its types, [`edit`] changes lines and proves that nothing else moved, [`quote`] writes values.

mod document;
mod edit;
mod grammar;
mod interpolate;
mod names;
mod params;
mod quote;
mod usual_line;

pub use edit::ConfEdits;
pub use params::RenewalParams;

use std::path::PathBuf;

use super::Kind;
use document::Document;
use grammar::RawValue;
use interpolate::Interpolation;

/// A conf that was read.
#[derive(Clone, Debug)]
pub struct RenewalConf {
    text: String,
    /// The values at the top level, names in them resolved.
    top: Vec<(String, ConfValue)>,
    /// Those of `[renewalparams]`; none without the section.
    values: Option<Vec<(String, ConfValue)>>,
    params: RenewalParams,
    renew_before_expiry: Option<String>,
}

/// A value as the grammar knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "the grammar has exactly these two")]
pub enum ConfValue {
    /// One string.
    Text(String),
    /// A comma-separated list.
    List(Vec<String>),
}

/// Why a conf cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfError {
    /// It does not follow the grammar.
    #[error("line {line}: {problem}")]
    Syntax {
        /// The line, from 1; 0 when unknown.
        line: usize,
        /// What is wrong, escaped.
        problem: String,
    },
    /// It is not UTF-8, which certbot demands.
    #[error("line {line}: it is not UTF-8 text")]
    NotUtf8 {
        /// The line, from 1.
        line: usize,
    },
    /// It is larger than [`RenewalConf::MAX_BYTES`].
    #[error("it is larger than {} bytes, which no renewal configuration is", RenewalConf::MAX_BYTES)]
    TooLarge,
    /// One of the four paths is missing.
    #[error("`{key}` is missing, which says where the live file lies")]
    MissingPath {
        /// Which one.
        key: &'static str,
    },
    /// There is no `[renewalparams]`, so it does not say how to renew.
    #[error("the section [renewalparams] is missing, so nothing says how to renew")]
    MissingRenewalParams,
    /// A value is not of its key's type.
    #[error("expected {expected} for {key} but found `{found}`")]
    BadValue {
        /// The key.
        key: String,
        /// What should stand there.
        expected: &'static str,
        /// What does, escaped.
        found: String,
    },
    /// A value that has to be one text is a list, because of a comma outside quotes.
    #[error("{key} is a list, because of an unquoted comma: put the whole value in quotes")]
    UnexpectedList {
        /// The key.
        key: String,
    },
    /// `%(name)s` in a value cannot be resolved.
    #[error("{key}: `%({name})s` {problem}; in a renewal configuration `%(name)s` stands for another key's value")]
    Interpolation {
        /// The key, escaped.
        key: String,
        /// The name, escaped.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A value cannot be written in this grammar.
    #[error("the value of {key} cannot be written: {problem}")]
    Unwritable {
        /// The key, escaped.
        key: String,
        /// Why not.
        problem: &'static str,
    },
    /// A change would be read back differently, so it is not made.
    #[error("the change would be read back differently ({what}), so it is not made")]
    ReadsBackDifferently {
        /// What would differ, escaped.
        what: String,
    },
}

impl RenewalConf {
    /// The largest conf that is read, in bytes: a thousand times the usual size.
    pub const MAX_BYTES: usize = 1 << 20;

    /// Reads a conf. What a lineage needs beyond the grammar ([`RenewalConf::check_complete`]) may be missing.
    pub fn parse(bytes: &[u8]) -> Result<Self, ConfError> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(ConfError::TooLarge);
        }
        let text = std::str::from_utf8(bytes).map_err(|error| ConfError::NotUtf8 {
            line: 1 + bytes.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count(),
        })?;
        let document = Document::parse(text.strip_prefix(document::BOM).unwrap_or(text))?;
        let mut interpolation = Interpolation::new(&document);
        let root = document.entries(document.root());
        let mut top = Vec::with_capacity(root.len());
        for entry in root {
            let value = match resolved(&mut interpolation, 0, entry) {
                Ok(value) => value,
                // A key that nobody reads may hold anything, as far as certbot is concerned.
                Err(_) if !is_top_key(entry.key) => unresolved(&entry.value),
                Err(error) => return Err(error),
            };
            top.push((entry.key.to_owned(), value));
        }
        let mut values = None;
        let mut webroot_map = Vec::new();
        if let Some(section) = document.child(0, "renewalparams") {
            let entries = document.sections.get(section).map_or(&[][..], |section| document.entries(section));
            let list: Result<Vec<_>, _> = entries
                .iter()
                .map(|entry| Ok((entry.key.to_owned(), resolved(&mut interpolation, section, entry)?)))
                .collect();
            values = Some(list?);
            if let Some(map) = document.child(section, "webroot_map") {
                for entry in document.sections.get(map).map_or(&[][..], |section| document.entries(section)) {
                    match resolved(&mut interpolation, map, entry)? {
                        ConfValue::Text(path) => webroot_map.push((entry.key.to_owned(), PathBuf::from(path))),
                        ConfValue::List(_) => {
                            return Err(ConfError::UnexpectedList { key: crate::escape(entry.key).into_owned() });
                        }
                    }
                }
            }
        }
        let params = RenewalParams::read(values.as_deref().unwrap_or_default(), webroot_map)?;
        for key in Kind::ALL.map(Kind::as_str).into_iter().chain(["archive_dir", "version"]) {
            if let Some((_, ConfValue::List(_))) = top.iter().find(|(name, _)| name == key) {
                return Err(ConfError::UnexpectedList { key: key.to_owned() });
            }
            if document.child(0, key).is_some() {
                return Err(ConfError::BadValue {
                    key: key.to_owned(),
                    expected: "a value",
                    found: "a section".into(),
                });
            }
        }
        let renew_before_expiry = top.iter().find(|(name, _)| name == "renew_before_expiry").map(|(_, value)| {
            match value {
                ConfValue::Text(text) => text.clone(),
                // `1 month, 2 days`: what the owner means is plain enough.
                ConfValue::List(parts) => parts.join(", "),
            }
        });
        Ok(Self { text: text.to_owned(), top, values, params, renew_before_expiry })
    }

    /// A conf for a new lineage, empty but for what `edits` set.
    pub fn new(edits: &ConfEdits) -> Result<Self, ConfError> {
        let empty = Self {
            text: String::new(),
            top: Vec::new(),
            values: None,
            params: RenewalParams::default(),
            renew_before_expiry: None,
        };
        empty.edited(edits)
    }

    /// Whether everything is there that certbot demands of a lineage: the four paths and `[renewalparams]`.
    pub fn check_complete(&self) -> Result<(), ConfError> {
        for kind in Kind::ALL {
            if self.top(kind.as_str()).is_none() {
                return Err(ConfError::MissingPath { key: kind.as_str() });
            }
        }
        if self.values.is_none() { Err(ConfError::MissingRenewalParams) } else { Ok(()) }
    }

    /// The text, byte for byte.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A top-level value.
    pub fn top(&self, key: &str) -> Option<&ConfValue> {
        self.top.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// A value of `[renewalparams]`.
    pub fn param(&self, key: &str) -> Option<&ConfValue> {
        self.values.as_ref()?.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// All values of `[renewalparams]` in their order.
    pub fn param_values(&self) -> impl Iterator<Item = (&str, &ConfValue)> {
        self.values.iter().flatten().map(|(name, value)| (name.as_str(), value))
    }

    /// `[renewalparams]` with certbot's types.
    pub fn params(&self) -> &RenewalParams {
        &self.params
    }

    /// The path of a live file, as written.
    pub fn live_path(&self, kind: Kind) -> Option<&str> {
        self.top(kind.as_str())?.as_text()
    }

    /// `renew_before_expiry`, as written.
    pub fn renew_before_expiry(&self) -> Option<&str> {
        self.renew_before_expiry.as_deref()
    }

    /// `archive_dir`, as written.
    pub fn archive_dir(&self) -> Option<&str> {
        self.top("archive_dir")?.as_text()
    }
}

impl ConfValue {
    /// The text; none for a list.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::List(_) => None,
        }
    }
}

impl From<&str> for ConfValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// The top-level keys that certbot reads.
fn is_top_key(key: &str) -> bool {
    matches!(key, "version" | "archive_dir" | "cert" | "privkey" | "chain" | "fullchain" | "renew_before_expiry")
}

fn resolved(
    interpolation: &mut Interpolation<'_, '_>,
    section: usize,
    entry: &document::Entry<'_>,
) -> Result<ConfValue, ConfError> {
    Ok(match &entry.value {
        RawValue::Text(text) => ConfValue::Text(interpolation.resolve(section, entry.key, text)?.into_owned()),
        RawValue::List(items) => {
            let items: Result<Vec<_>, _> =
                items.iter().map(|item| Ok(interpolation.resolve(section, entry.key, item)?.into_owned())).collect();
            ConfValue::List(items?)
        }
    })
}

fn unresolved(value: &RawValue<'_>) -> ConfValue {
    match value {
        RawValue::Text(text) => ConfValue::Text(text.clone().into_owned()),
        RawValue::List(items) => ConfValue::List(items.iter().map(|item| (*item).to_owned()).collect()),
    }
}

#[cfg(test)]
mod tests;
