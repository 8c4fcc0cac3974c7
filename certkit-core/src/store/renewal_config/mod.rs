//! `renewal/NAME.conf`: read with certbot's meaning, written so that only the lines that change change.
//!
//! [`grammar`] reads one line as `configobj` does, [`usual_line`] the same of those that certbot writes, [`document`] puts
//! lines into sections, [`names`] knows the keys of one, [`interpolate`] resolves `%(name)s`, [`params`] gives
//! `[renewalparams]` its types, [`mod@read`] makes a conf of all that, [`text`] are the texts that it keeps, [`edit`] changes lines and proves that nothing else moved, [`quote`] writes values.

mod document;
mod edit;
mod grammar;
mod interpolate;
mod names;
mod params;
mod quote;
mod read;
mod text;
mod usual_line;

pub use edit::ConfEdits;
pub use params::RenewalParams;
pub use text::ConfText;

use std::sync::Arc;

use super::Kind;
use grammar::RawValue;
use read::{Kept, KeptValue, Known, find};

/// A conf that was read.
#[derive(Clone, Debug)]
pub struct RenewalConf {
    text: Arc<str>,
    /// The values at the top level, names in them resolved.
    top: Vec<Kept>,
    /// Those of `[renewalparams]`; none without the section.
    values: Option<Vec<Kept>>,
    params: RenewalParams,
    known: Known,
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
    /// One of the four paths does not begin at the root, and leads to nothing from the folder that this process was started in.
    #[error("`{key}` is `{path}`, which is no path from the root, and leads to nothing from here")]
    RelativePath {
        /// Which one.
        key: &'static str,
        /// What stands there, escaped.
        path: String,
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

    /// A conf for a new lineage, empty but for what `edits` set.
    pub fn new(edits: &ConfEdits) -> Result<Self, ConfError> {
        let empty = Self {
            text: "".into(),
            top: Vec::new(),
            values: None,
            params: RenewalParams::default(),
            known: Known::default(),
        };
        empty.edited(edits)
    }

    /// Whether everything is there that certbot demands of a lineage: the four paths and `[renewalparams]`.
    pub fn check_complete(&self) -> Result<(), ConfError> {
        for kind in Kind::ALL {
            if self.live_path(kind).is_none() {
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
    pub fn top(&self, key: &str) -> Option<ConfValue> {
        find(&self.top, key, &self.text).map(|value| value.copy(&self.text))
    }

    /// A value of `[renewalparams]`.
    pub fn param(&self, key: &str) -> Option<ConfValue> {
        self.in_params(key).map(|value| value.copy(&self.text))
    }

    /// The same where it is one text.
    pub fn param_text(&self, key: &str) -> Option<&str> {
        self.in_params(key)?.as_text(&self.text)
    }

    /// All values of `[renewalparams]` in their order.
    pub fn param_values(&self) -> impl Iterator<Item = (&str, ConfValue)> {
        let kept = self.values.iter().flatten();
        kept.map(|kept| (kept.key.within(&self.text), kept.value.copy(&self.text)))
    }

    /// `[renewalparams]` with certbot's types.
    pub fn params(&self) -> &RenewalParams {
        &self.params
    }

    /// The path of a live file, as written.
    pub fn live_path(&self, kind: Kind) -> Option<&str> {
        Some(self.known.live[kind as usize].as_ref()?.within(&self.text))
    }

    /// `renew_before_expiry`, as written.
    pub fn renew_before_expiry(&self) -> Option<&str> {
        Some(self.known.renew_before_expiry.as_ref()?.within(&self.text))
    }

    /// `archive_dir`, as written.
    pub fn archive_dir(&self) -> Option<&str> {
        Some(self.known.archive_dir.as_ref()?.within(&self.text))
    }

    fn in_params(&self, key: &str) -> Option<&KeptValue> {
        find(self.values.as_deref().unwrap_or_default(), key, &self.text)
    }
}

impl From<&str> for ConfValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// As it was written, names in it not resolved.
impl From<&RawValue<'_>> for ConfValue {
    fn from(value: &RawValue<'_>) -> Self {
        match value {
            RawValue::Text(text) => Self::from(&**text),
            RawValue::List(items) => Self::List(items.iter().map(|item| (*item).to_owned()).collect()),
        }
    }
}

#[cfg(test)]
mod tests;
