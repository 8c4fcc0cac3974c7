//! What is wrong with a file of settings: all of it at once.

use std::fmt;
use std::path::PathBuf;

use crate::{Finding, FindingCode, escape};

/// A file of settings that cannot be used. Nothing of it applies: half of what the owner meant may be worse than none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} cannot be used: {}", escape(&path.display().to_string()), in_short(problems))]
#[non_exhaustive]
pub struct SettingsError {
    /// The file.
    pub path: PathBuf,
    /// Everything that is wrong with it, by line; at least one.
    pub problems: Vec<SettingsProblem>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SettingsProblem {
    /// What kind of problem it is.
    pub code: SettingsProblemCode,
    /// The line, from 1; none when it is about the whole file.
    pub line: Option<u32>,
    /// The key, `deploy.mode` in a `[[deploy]]` table, escaped and cut; empty when it is about no key.
    pub key: String,
    /// What is wrong: a sentence without a full stop, escaped.
    pub what: String,
    /// What to do about it, escaped.
    pub cure: String,
}

/// The kinds of problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SettingsProblemCode {
    /// A value of the right type that is not possible.
    BadValue,
    /// A key that stands in `cli.ini` or on the command line.
    BelongsToCliIni,
    /// A key that certbot's `renewal/NAME.conf` expresses.
    BelongsToConf,
    /// A `[[deploy]]` table without, or with more than one, of the keys that say what it is.
    DeployKind,
    /// The same thing twice, or two targets that write to one file.
    Duplicate,
    /// A path in folders that are the store's own.
    InsideStore,
    /// A CA without an account in the store.
    NoAccount,
    /// A `[[notify]]` table without, or with more than one, of the keys that say what it is.
    NotifyKind,
    /// It is not TOML.
    NotToml,
    /// A key of the other kind of file.
    OtherFile,
    /// A test CA where certificates that everybody trusts are needed.
    TestServer,
    /// More problems than are listed.
    TooMany,
    /// Nobody knows this key.
    UnknownKey,
    /// A CA that nobody knows by this name, or a URL that may not be called.
    UnknownServer,
    /// The file cannot be read, or others could have written it.
    Unreadable,
    /// A value of another type.
    WrongType,
}

impl SettingsError {
    /// The problems of a file.
    pub fn new(path: impl Into<PathBuf>, problems: Vec<SettingsProblem>) -> Self {
        Self { path: path.into(), problems }
    }

    /// What to do about it: the problem's own cure where there is one problem alone.
    pub fn cure(&self) -> &str {
        match self.problems.as_slice() {
            [only] => &only.cure,
            _ => "`certkit config check` shows every problem with what to do about it",
        }
    }

    /// The file with everything that is wrong with it, as one finding.
    pub fn finding(&self) -> Finding {
        let problems: Vec<String> = self.problems.iter().map(ToString::to_string).collect();
        Finding::new(FindingCode::SettingsUnusable, self.path.to_string_lossy(), problems.join("; "))
            .with_cure(self.cure())
    }
}

impl SettingsProblem {
    /// A problem; the texts are escaped here.
    pub fn new(
        code: SettingsProblemCode,
        line: Option<u32>,
        key: &str,
        what: impl AsRef<str>,
        cure: impl AsRef<str>,
    ) -> Self {
        Self {
            code,
            line,
            key: shown(key),
            what: escape(what.as_ref()).into_owned(),
            cure: escape(cure.as_ref()).into_owned(),
        }
    }
}

impl SettingsProblemCode {
    /// A stable word for machines.
    pub fn code(self) -> &'static str {
        match self {
            Self::BadValue => "bad-value",
            Self::BelongsToCliIni => "belongs-to-cli-ini",
            Self::BelongsToConf => "belongs-to-conf",
            Self::DeployKind => "deploy-kind",
            Self::Duplicate => "duplicate",
            Self::InsideStore => "inside-store",
            Self::NoAccount => "no-account",
            Self::NotifyKind => "notify-kind",
            Self::NotToml => "not-toml",
            Self::OtherFile => "other-file",
            Self::TestServer => "test-server",
            Self::TooMany => "too-many",
            Self::UnknownKey => "unknown-key",
            Self::UnknownServer => "unknown-server",
            Self::Unreadable => "unreadable",
            Self::WrongType => "wrong-type",
        }
    }
}

impl fmt::Display for SettingsProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// The longest part of a key or value that is shown, in characters.
const MAX_SHOWN: usize = 100;

/// Outside text for a message: escaped and cut.
pub(super) fn shown(text: &str) -> String {
    escape(text).chars().take(MAX_SHOWN).collect()
}

fn in_short(problems: &[SettingsProblem]) -> String {
    let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
    all.join("; ")
}
