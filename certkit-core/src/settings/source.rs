//! Where a secret comes from: values that are never shown.

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

/// A text that is never shown: no `Debug`, log or message holds it. It is wiped from memory when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

/// Where a value comes from that may be a secret: `password = "…"`, `password_file`, `password_env` or
/// `password_credential`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// It stands in the file of settings itself.
    Inline(Secret),
    /// The content of this file, without the line end.
    File(PathBuf),
    /// The value of this environment variable.
    Environment(String),
    /// The systemd credential of this name (systemd.exec(5), `LoadCredential=`).
    Credential(String),
}

impl Secret {
    /// Keeps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself, for whoever it is meant for.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl fmt::Display for Source {
    /// For people: where it is, and never what it is. Escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(_) => f.write_str("(not shown)"),
            Self::File(path) => write!(f, "in the file {}", crate::escape(&path.to_string_lossy())),
            Self::Environment(name) => write!(f, "in ${}", crate::escape(name)),
            Self::Credential(name) => write!(f, "in the credential {}", crate::escape(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let source = Source::Inline(Secret::new("hunter2"));
        assert!(!format!("{source:?} {source}").contains("hunter2"));
        assert_eq!(Source::Environment("SMTP_PASSWORD".into()).to_string(), "in $SMTP_PASSWORD");
    }
}
