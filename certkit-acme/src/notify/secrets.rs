//! Where secrets are looked up.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use certkit_core::settings::{Secret, Source};
use certkit_core::store::read_file;
use zeroize::Zeroizing;

/// A password or a URL, and far below what would hurt.
const LARGEST: usize = 64 * 1024;

/// Where secrets that do not stand in the settings are looked up: files, and what was given to [`Secrets::from_env`].
#[derive(Clone, Default)]
pub struct Secrets {
    /// systemd's `$CREDENTIALS_DIRECTORY`.
    credentials: Option<PathBuf>,
    variables: BTreeMap<OsString, OsString>,
}

/// A secret that cannot be had; without the secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct SecretError {
    place: String,
    problem: String,
}

impl Secrets {
    /// No environment: secrets from files and from the settings alone.
    pub fn new() -> Self {
        Self::default()
    }

    /// The environment of this process, as it is now.
    pub fn from_env() -> Self {
        let variables: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
        let credentials = variables.get(std::ffi::OsStr::new("CREDENTIALS_DIRECTORY")).map(PathBuf::from);
        Self { credentials, variables }
    }

    /// The value of a source. Reads a file; what is read ends before a line end.
    pub fn resolve(&self, source: &Source) -> Result<Secret, SecretError> {
        let failed = |problem: String| SecretError { place: source.to_string(), problem };
        let text = match source {
            Source::Inline(secret) => return Ok(secret.clone()),
            Source::File(path) => read(path).map_err(failed)?,
            Source::Environment(name) => self
                .variables
                .get(std::ffi::OsStr::new(name))
                .ok_or_else(|| failed("this variable is not set".to_owned()))?
                .to_str()
                .map(|text| Zeroizing::new(text.to_owned()))
                .ok_or_else(|| failed("its value is not UTF-8".to_owned()))?,
            Source::Credential(name) => {
                let folder = self.credentials.as_ref().ok_or_else(|| {
                    failed("systemd has given no credentials to this process (LoadCredential= in the unit)".to_owned())
                })?;
                read(&folder.join(name)).map_err(failed)?
            }
            _ => return Err(failed("this version does not know where to look it up".to_owned())),
        };
        let text = text.trim_end_matches(['\r', '\n']);
        if text.trim().is_empty() {
            return Err(failed("it is empty".to_owned()));
        }
        if text.chars().any(char::is_control) {
            return Err(failed("it holds a control character, or more than one line".to_owned()));
        }
        Ok(Secret::new(text))
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("credentials", &self.credentials).finish_non_exhaustive()
    }
}

fn read(path: &Path) -> Result<Zeroizing<String>, String> {
    let bytes = read_file(path, LARGEST).map(Zeroizing::new).map_err(|error| error.source.to_string())?;
    // The error would hold the bytes.
    let text = std::str::from_utf8(&bytes).map_err(|_| "it is not UTF-8 text")?;
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_comes_from_where_the_owner_keeps_it() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("smtp"), "hunter2\n").unwrap();
        let variables = [("NAME", "value"), ("EMPTY", "")].map(|(name, value)| (name.into(), value.into()));
        let secrets = Secrets { credentials: Some(dir.path().to_owned()), variables: variables.into() };
        let resolved = |source| secrets.resolve(&source).map(|secret| secret.reveal().to_owned());
        assert_eq!(resolved(Source::File(dir.path().join("smtp"))).unwrap(), "hunter2");
        assert_eq!(resolved(Source::Credential("smtp".into())).unwrap(), "hunter2");
        assert_eq!(resolved(Source::Environment("NAME".into())).unwrap(), "value");
        assert_eq!(resolved(Source::Inline(Secret::new("x"))).unwrap(), "x");
        let problem = |source| resolved(source).unwrap_err().to_string();
        assert_eq!(problem(Source::Environment("NONE".into())), "in $NONE: this variable is not set");
        assert_eq!(problem(Source::Environment("EMPTY".into())), "in $EMPTY: it is empty");
        assert!(problem(Source::File(dir.path().join("none"))).contains("No such file"));
        assert!(problem(Source::File(dir.path().to_owned())).contains("not a regular file"));
        std::fs::write(dir.path().join("two"), "a\nb\n").unwrap();
        assert!(problem(Source::File(dir.path().join("two"))).contains("more than one line"));
        let none = Secrets::new().resolve(&Source::Credential("smtp".into())).unwrap_err().to_string();
        assert!(none.contains("LoadCredential="), "{none}");
    }
}
