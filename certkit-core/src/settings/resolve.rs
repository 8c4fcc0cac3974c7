//! Where a value comes from.

use std::fmt;
use std::path::PathBuf;

use crate::{LineageName, escape};

/// A value and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sourced<T> {
    /// The value that applies.
    pub value: T,
    /// Where it stands.
    pub origin: Origin,
}

/// Where a value stands. The later ones win over the earlier ones.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// Nowhere: what applies without a setting.
    Default,
    /// In `certkit/settings.toml`.
    SettingsFile {
        /// The line, from 1.
        line: u32,
    },
    /// In `certkit/lineages/NAME.toml`.
    LineageFile {
        /// NAME.
        name: LineageName,
        /// The line, from 1.
        line: u32,
    },
    /// In certbot's `renewal/NAME.conf`. No key can stand there and in a file of settings.
    Conf {
        /// NAME.
        name: LineageName,
    },
    /// In a file with flags.
    CliIni {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u32,
    },
    /// On the command line.
    Flag {
        /// The flag with its hyphens.
        flag: String,
    },
}

impl<T> Sourced<T> {
    /// A value and its origin.
    pub fn new(value: T, origin: Origin) -> Self {
        Self { value, origin }
    }

    /// What applies without a setting.
    pub fn default_value(value: T) -> Self {
        Self::new(value, Origin::Default)
    }

    /// The same unless a flag, typed or in `cli.ini`, says something else. What a flag said stays when a lineage's file is
    /// read, see [`Store::lineage_settings`](crate::store::Store::lineage_settings).
    #[must_use]
    pub fn with_flag(self, flag: Option<Self>) -> Self {
        flag.unwrap_or(self)
    }

    /// What a lineage's own file says, unless a flag says something else.
    pub(super) fn with_lineage(&self, own: Option<Self>) -> Self
    where
        T: Clone,
    {
        match own {
            Some(own) if !self.origin.is_command_line() => own,
            _ => self.clone(),
        }
    }
}

impl Origin {
    /// Whether it was typed or stands in a file with flags: then it is for all lineages of this run.
    pub fn is_command_line(&self) -> bool {
        matches!(self, Self::Flag { .. } | Self::CliIni { .. })
    }

    /// The line in its file, from 1.
    pub fn line(&self) -> Option<u32> {
        match self {
            Self::SettingsFile { line } | Self::LineageFile { line, .. } | Self::CliIni { line, .. } => Some(*line),
            Self::Default | Self::Conf { .. } | Self::Flag { .. } => None,
        }
    }

    /// A stable word for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::SettingsFile { .. } => "settings-file",
            Self::LineageFile { .. } => "lineage-file",
            Self::Conf { .. } => "conf",
            Self::CliIni { .. } => "cli-ini",
            Self::Flag { .. } => "flag",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::SettingsFile { line } => write!(f, "certkit/settings.toml, line {line}"),
            Self::LineageFile { name, line } => write!(f, "certkit/lineages/{name}.toml, line {line}"),
            Self::Conf { name } => write!(f, "renewal/{name}.conf"),
            Self::CliIni { path, line } => write!(f, "{}, line {line}", escape(&path.to_string_lossy())),
            Self::Flag { flag } => f.write_str(&escape(flag)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flag(value: u8) -> Sourced<u8> {
        Sourced::new(value, Origin::Flag { flag: "--x".into() })
    }

    fn own(value: u8) -> Sourced<u8> {
        Sourced::new(value, Origin::LineageFile { name: LineageName::new("a").unwrap(), line: 1 })
    }

    #[test]
    fn a_flag_wins_over_both_files_and_a_lineages_file_over_the_global_one() {
        let global = Sourced::new(1, Origin::SettingsFile { line: 1 });
        assert_eq!(global.with_lineage(Some(own(2))), own(2));
        assert_eq!(global.with_lineage(None), global);
        assert_eq!(global.clone().with_flag(None), global);
        assert_eq!(global.with_flag(Some(flag(3))).with_lineage(Some(own(2))), flag(3));
    }

    #[test]
    fn an_origin_can_be_found_by_its_text() {
        assert_eq!(own(1).origin.to_string(), "certkit/lineages/a.toml, line 1");
        let ini = Origin::CliIni { path: "/etc/letsencrypt/cli\n.ini".into(), line: 7 };
        assert_eq!(ini.to_string(), "/etc/letsencrypt/cli\\u{a}.ini, line 7");
        assert_eq!(Origin::SettingsFile { line: 3 }.to_string(), "certkit/settings.toml, line 3");
    }
}
