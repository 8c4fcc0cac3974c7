//! Where things lie in the tree.

use std::path::{Path, PathBuf};

use crate::words::shell_word;
use crate::{AcmeUrl, LineageName, Version, escape};

/// certbot's three directories.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StorePaths {
    /// `--config-dir`, certbot's default `/etc/letsencrypt`.
    pub config_dir: PathBuf,
    /// `--work-dir`, certbot's default `/var/lib/letsencrypt`.
    pub work_dir: PathBuf,
    /// `--logs-dir`, certbot's default `/var/log/letsencrypt`.
    pub logs_dir: PathBuf,
    /// Folders outside the config dir that belong to this tree alone ([`StorePaths::with_own_folder`]).
    pub also_own: Vec<PathBuf>,
}

/// What else is written there would be taken for a part of the store, or be overwritten.
const OWN_FOLDERS: [&str; 6] = ["accounts", "archive", "certkit", "live", "renewal", "renewal-hooks"];

/// The four files of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_enums, reason = "certbot's format has exactly these four")]
pub enum Kind {
    /// The end-entity certificate.
    Cert,
    /// The private key.
    Privkey,
    /// The issuers.
    Chain,
    /// The end-entity certificate and its issuers.
    Fullchain,
}

impl Kind {
    /// All four, in the order in which certbot switches them.
    pub const ALL: [Self; 4] = [Self::Cert, Self::Privkey, Self::Chain, Self::Fullchain];

    /// The stem of the file name and the key in the conf: `cert`, `privkey`, `chain`, `fullchain`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cert => "cert",
            Self::Privkey => "privkey",
            Self::Chain => "chain",
            Self::Fullchain => "fullchain",
        }
    }

    /// The file name in the archive, for example `privkey3.pem`.
    pub fn archive_file(self, version: Version) -> String {
        format!("{}{version}.pem", self.as_str())
    }

    /// The file name in the live directory, for example `privkey.pem`.
    pub fn live_file(self) -> String {
        format!("{}.pem", self.as_str())
    }

    /// The version in an archive file name of this kind; none for any other name. `cert01.pem` is another name too:
    /// certbot takes it for version 1 and then looks for `cert1.pem`.
    pub fn version_of(self, file_name: &str) -> Option<Version> {
        let digits = file_name.strip_prefix(self.as_str())?.strip_suffix(".pem")?;
        let padded = digits.len() > 1 && digits.starts_with('0');
        if digits.is_empty() || padded || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        digits.parse().ok().map(Version)
    }
}

impl StorePaths {
    /// certbot's defaults.
    pub fn certbot_default() -> Self {
        Self {
            config_dir: "/etc/letsencrypt".into(),
            work_dir: "/var/lib/letsencrypt".into(),
            logs_dir: "/var/log/letsencrypt".into(),
            also_own: Vec::new(),
        }
    }

    /// A tree whose work and log directories lie inside the config dir (for tests and embedded use).
    pub fn within(config_dir: impl Into<PathBuf>) -> Self {
        let config_dir = config_dir.into();
        Self::new(config_dir.clone(), config_dir.join("work"), config_dir.join("logs"))
    }

    /// The three directories as given.
    pub fn new(config_dir: PathBuf, work_dir: PathBuf, logs_dir: PathBuf) -> Self {
        Self { config_dir, work_dir, logs_dir, also_own: Vec::new() }
    }

    /// The flags without which a command would go to another tree, as they are typed in a shell, each after a blank; none
    /// where all three are certbot's defaults. Escaped.
    pub fn flags(&self) -> String {
        let usual = Self::certbot_default();
        let dirs = [
            ("--config-dir", &self.config_dir, usual.config_dir),
            ("--work-dir", &self.work_dir, usual.work_dir),
            ("--logs-dir", &self.logs_dir, usual.logs_dir),
        ];
        let unusual = dirs.iter().filter(|(_, dir, usual)| *dir != usual);
        unusual.map(|(flag, dir, _)| format!(" {flag} {}", shell_word(&escape(&dir.to_string_lossy())))).collect()
    }

    /// `renewal/`.
    pub fn renewal_dir(&self) -> PathBuf {
        self.config_dir.join("renewal")
    }

    /// `renewal/NAME.conf`.
    pub fn conf(&self, name: &LineageName) -> PathBuf {
        self.renewal_dir().join(format!("{name}.conf"))
    }

    /// `live/`.
    pub fn live_dir(&self) -> PathBuf {
        self.config_dir.join("live")
    }

    /// `live/NAME`.
    pub fn live(&self, name: &LineageName) -> PathBuf {
        self.live_dir().join(name.as_str())
    }

    /// `archive/`.
    pub fn archive_dir(&self) -> PathBuf {
        self.config_dir.join("archive")
    }

    /// `archive/NAME`, where a new lineage's versions go.
    pub fn archive(&self, name: &LineageName) -> PathBuf {
        self.archive_dir().join(name.as_str())
    }

    /// `renewal-hooks/STAGE`, STAGE being `pre`, `deploy` or `post`.
    pub fn hook_dir(&self, stage: &str) -> PathBuf {
        self.config_dir.join("renewal-hooks").join(stage)
    }

    /// `accounts/HOST[:PORT]/PATH` as certbot names it: the URL without its scheme and query.
    pub fn account_dir(&self, directory: &AcmeUrl) -> PathBuf {
        let path = directory.path().trim_start_matches('/');
        let mut dir = self.config_dir.join("accounts").join(directory.authority());
        for part in path.split('/').filter(|part| !part.is_empty() && *part != "." && *part != "..") {
            dir.push(part);
        }
        dir
    }

    /// `certkit/`: what is certkit's own; certbot ignores it.
    pub fn own_dir(&self) -> PathBuf {
        self.config_dir.join("certkit")
    }

    /// `certkit/settings.toml`: the owner's settings for all certificates.
    pub fn settings_file(&self) -> PathBuf {
        self.own_dir().join("settings.toml")
    }

    /// `certkit/lineages/NAME.toml`: the owner's settings for one certificate.
    pub fn lineage_settings_file(&self, name: &LineageName) -> PathBuf {
        self.lineage_settings_dir().join(format!("{name}.toml"))
    }

    /// `certkit/lineages/`.
    pub fn lineage_settings_dir(&self) -> PathBuf {
        self.own_dir().join("lineages")
    }

    /// `certkit/state/NAME.json`.
    pub fn state_file(&self, name: &LineageName) -> PathBuf {
        self.own_dir().join("state").join(format!("{name}.json"))
    }

    /// `certkit/state/history/NAME.jsonl`.
    pub fn history_file(&self, name: &LineageName) -> PathBuf {
        self.own_dir().join("state/history").join(format!("{name}.jsonl"))
    }

    /// `certkit/state/common/ledger.json`: what was asked of the CAs, beside the lineages' states.
    pub fn ledger_file(&self) -> PathBuf {
        self.own_dir().join("state/common/ledger.json")
    }

    /// `certkit/state/common/deliveries.json`: what was told to whom, and what still has to be.
    pub fn deliveries_file(&self) -> PathBuf {
        self.own_dir().join("state/common/deliveries.json")
    }

    /// `certkit/state/common/notices.json`: what the owner was told.
    pub fn notices_file(&self) -> PathBuf {
        self.own_dir().join("state/common/notices.json")
    }

    /// `certkit/state/common/seed`: a random number of this machine.
    pub fn seed_file(&self) -> PathBuf {
        self.own_dir().join("state/common/seed")
    }

    /// `certkit/pending/NAME`: the order under way and its key.
    pub fn pending(&self, name: &LineageName) -> PathBuf {
        self.own_dir().join("pending").join(name.as_str())
    }

    /// `certkit/aside/NAME`: certificates that were issued but not installed.
    pub fn aside(&self, name: &LineageName) -> PathBuf {
        self.own_dir().join("aside").join(name.as_str())
    }

    /// `certkit/saved/`: what a repair changed or removed, as it was, in a folder for each.
    pub fn saved_dir(&self) -> PathBuf {
        self.own_dir().join("saved")
    }

    /// The folders that only certbot and certkit write to.
    pub(crate) fn own_folders(&self) -> impl Iterator<Item = PathBuf> {
        OWN_FOLDERS.iter().map(|own| self.config_dir.join(own))
    }

    /// A path that a conf says. One that does not begin at the root counts from the folder that this process was started in, as
    /// with certbot; where that leads to nothing, it is taken from the config dir, in whatever folder that was.
    pub(crate) fn said(&self, path: impl AsRef<Path>) -> Result<PathBuf, super::StoreError> {
        let path = path.as_ref();
        match super::links::leads_to_nothing_from_here(path) {
            true => super::files::absolute(&self.config_dir.join(path)),
            false => super::files::absolute(path),
        }
    }

    /// The path relative to the config dir when it lies inside, for messages.
    pub fn relative<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.config_dir).ok().filter(|within| !within.as_os_str().is_empty()).unwrap_or(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_exactly_the_name_that_is_written_for_it() {
        for kind in Kind::ALL {
            for version in [1, 9, 10, 4_294_967_295] {
                assert_eq!(kind.version_of(&kind.archive_file(Version(version))), Some(Version(version)));
            }
        }
        for other in ["cert.pem", "cert01.pem", "cert+1.pem", "cert1.pem.bak", "chain1.pem", "cert1", "xcert1.pem"] {
            assert_eq!(Kind::Cert.version_of(other), None, "{other}");
        }
        // The names of two kinds begin alike, and a number may be too large to count on.
        assert_eq!(Kind::Chain.version_of("fullchain1.pem"), None);
        assert_eq!(Kind::Cert.version_of("cert4294967296.pem"), None);
        assert_eq!(Kind::Cert.version_of("cert١.pem"), None);
    }

    #[test]
    fn account_directories_are_named_as_certbot_names_them() {
        let paths = StorePaths::within("/c");
        for (url, dir) in [
            ("https://acme-v02.api.letsencrypt.org/directory", "/c/accounts/acme-v02.api.letsencrypt.org/directory"),
            ("https://localhost:14000/dir", "/c/accounts/localhost:14000/dir"),
            ("https://ca.example/acme/acme/directory?x=1", "/c/accounts/ca.example/acme/acme/directory"),
            ("https://ca.example", "/c/accounts/ca.example"),
            ("https://ca.example/../../etc/./x//y/", "/c/accounts/ca.example/etc/x/y"),
        ] {
            assert_eq!(paths.account_dir(&AcmeUrl::parse(url).unwrap()), Path::new(dir), "{url}");
        }
    }
}
