//! Lineage names and version numbers.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The name of a lineage: what certbot calls the certificate name. It is a file name in three directories, so it can
/// hold no `/`, no control character, no leading `-` or `.`, and at most 200 bytes; nor is it `README`, a file in `live/`.
/// Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LineageName(Arc<str>);

impl LineageName {
    /// The longest name in bytes: room for `-0001`, `.conf` and a temporary suffix below the 255 of most file systems.
    pub const MAX_BYTES: usize = 200;

    /// Checks a name.
    pub fn new(text: impl Into<String>) -> Result<Self, LineageNameError> {
        let text = text.into();
        let problem = if text.is_empty() {
            "it is empty"
        } else if text.len() > Self::MAX_BYTES {
            "it is longer than 200 bytes"
        } else if text.contains('/') {
            "it contains a slash"
        } else if text.starts_with(['.', '-']) {
            "it begins with a dot or a hyphen"
        } else if text == "README" {
            "certbot's live directory has a file of that name"
        } else if crate::escape(&text) != text {
            "it contains a control character"
        } else {
            return Ok(Self(text.into()));
        };
        Err(LineageNameError { name: crate::escape(&text).chars().take(Self::MAX_BYTES).collect(), problem })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LineageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LineageName {
    type Err = LineageNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl TryFrom<String> for LineageName {
    type Error = LineageNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(text)
    }
}

impl From<LineageName> for String {
    fn from(name: LineageName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl AsRef<str> for LineageName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// A version of a lineage: the number in `archive/NAME/certN.pem`, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a text cannot name a lineage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` cannot be a certificate name: {problem}")]
pub struct LineageNameError {
    name: String,
    problem: &'static str,
}
