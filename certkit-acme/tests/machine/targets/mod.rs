//! Targets of the lineage's settings, with the programs that read them.

mod faults;
mod files;
mod formats;
mod reload;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use certkit_acme::command::CommandSettings;
use certkit_acme::deploy::{DeployedVersion, deploy_setting};
use certkit_core::settings::{DeploySetting, FileAccess, FileKinds};
use certkit_core::store::Kind;
use certkit_core::{Chain, Failure, FailureClass, PrivateKey};
use chrono::TimeDelta;
use testkit::{KeyKind, Pki};

/// A version that could be live.
struct Version {
    chain: Chain,
    key: PrivateKey,
    /// Upper-case hex.
    serial: String,
    live: PathBuf,
    domains: Vec<String>,
}

impl Version {
    /// One for localhost whose serial number consists of this octet.
    fn new(octet: u8) -> Self {
        let (pki, day) = (Pki::new(testkit::now()), TimeDelta::days(1));
        let (from, until) = (testkit::now() - day, testkit::now() + day);
        let names = ["localhost".to_owned()];
        let issued = pki.issue(&names, from, until, &KeyKind::EcdsaP256.generate(), &[octet; 8]);
        Self::of(&issued.fullchain, &issued.privkey, octet)
    }

    fn of(fullchain: &str, key: &str, octet: u8) -> Self {
        Self {
            chain: Chain::from_pem(fullchain.as_bytes()).unwrap(),
            key: PrivateKey::from_pem(key.as_bytes()).unwrap(),
            serial: format!("{octet:02X}").repeat(8),
            live: "/nowhere/live/localhost".into(),
            domains: vec!["localhost".into(), "*.example.org".into()],
        }
    }

    /// For a child process: the two files that make a version.
    fn save(&self, folder: &Path) {
        fs::write(folder.join("saved-chain"), self.chain.fullchain_pem()).unwrap();
        fs::write(folder.join("saved-key"), self.key.to_pem().as_bytes()).unwrap();
    }

    fn saved(folder: &Path) -> Self {
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        Self::of(&read("saved-chain"), &read("saved-key"), 0)
    }

    fn text(&self, kind: Kind) -> String {
        match kind {
            Kind::Cert => self.chain.cert_pem(),
            Kind::Chain => self.chain.chain_pem(),
            Kind::Fullchain => self.chain.fullchain_pem(),
            Kind::Privkey => self.key.to_pem().to_string(),
        }
    }

    async fn deploy(&self, setting: &DeploySetting) -> Result<(), Failure> {
        self.deploy_with(setting, &CommandSettings::new()).await
    }

    async fn deploy_with(&self, setting: &DeploySetting, settings: &CommandSettings) -> Result<(), Failure> {
        let version = DeployedVersion::new(&self.live, &self.domains, &self.chain, &self.key);
        let (outcome, result) = deploy_setting(setting, &version, settings).await;
        assert_eq!(outcome.success(), result.is_ok());
        result
    }

    /// The words of the failure.
    async fn refused(&self, setting: &DeploySetting) -> String {
        let failure = self.deploy(setting).await.unwrap_err();
        assert_eq!(failure.class, FailureClass::Hook);
        failure.detail
    }

    /// Whether all four copies are this version's.
    fn is_in(&self, folder: &Path) -> bool {
        Kind::ALL.into_iter().all(|kind| read(folder, kind) == self.text(kind))
    }
}

fn read(folder: &Path, kind: Kind) -> String {
    fs::read_to_string(folder.join(kind.live_file())).unwrap()
}

fn access(owner: Option<&str>, group: Option<&str>, mode: Option<u32>) -> FileAccess {
    let mut access = FileAccess::default();
    (access.owner, access.group) = (owner.map(str::to_owned), group.map(str::to_owned));
    access.mode = mode;
    access
}

fn copy(folder: &Path) -> DeploySetting {
    copy_for(folder, FileAccess::default())
}

fn copy_for(folder: &Path, access: FileAccess) -> DeploySetting {
    DeploySetting::Copy { folder: folder.to_owned(), files: FileKinds::default(), access }
}

fn copy_of(folder: &Path, kinds: &[Kind]) -> DeploySetting {
    let mut files = FileKinds::default();
    files.0 = kinds.to_vec();
    DeploySetting::Copy { folder: folder.to_owned(), files, access: FileAccess::default() }
}

fn combined(path: &Path) -> DeploySetting {
    DeploySetting::Combined { path: path.to_owned(), access: FileAccess::default() }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

/// The names in a folder, hidden ones included.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

const FOUR: [&str; 4] = ["cert.pem", "chain.pem", "fullchain.pem", "privkey.pem"];

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}
