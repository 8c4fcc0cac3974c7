//! Deploy targets of a lineage's settings: copies, combined files, DER, reloads, commands.

use std::path::PathBuf;

use crate::state::DeployTarget;
use crate::store::Kind;

/// One `[[deploy]]` table of `certkit/lineages/NAME.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeploySetting {
    /// `combined = "/etc/haproxy/certs/www.pem"`: certificate, chain and key in one file, in HAProxy's order.
    Combined {
        /// The file.
        path: PathBuf,
        /// Who may read it; 0600 without a mode, since it holds the key.
        access: FileAccess,
    },
    /// `command = "…"`: a shell command with the variables of a deploy hook.
    Command {
        /// The command.
        command: String,
    },
    /// `copy = "/etc/postfix/tls"`: `fullchain.pem`, `privkey.pem` … in a folder that exists.
    Copy {
        /// The folder.
        folder: PathBuf,
        /// Which files; all four without `files`.
        files: FileKinds,
        /// Who may read them; without a mode 0600 for the key and 0644 for the rest.
        access: FileAccess,
    },
    /// `der = "/etc/app/cert.der"`: the leaf certificate in DER, with `key = "…"` the private key (PKCS #8) too.
    Der {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: Option<PathBuf>,
        /// Who may read them; without a mode 0600 for the key and 0644 for the certificate.
        access: FileAccess,
    },
    /// `reload = "nginx.service"`: reloads a systemd unit, after the server's own check where there is one.
    Reload {
        /// The unit.
        unit: String,
        /// `check = "…"`: a command that has to succeed first, in place of the one that belongs to the unit.
        check: Option<String>,
    },
}

/// `owner`, `group` and `mode` of files that are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileAccess {
    /// A user's name or number.
    pub owner: Option<String>,
    /// A group's name or number.
    pub group: Option<String>,
    /// Permission bits, at most 0o777.
    pub mode: Option<u32>,
}

/// Which of the four files are copied.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileKinds(pub Vec<Kind>);

impl Default for FileKinds {
    fn default() -> Self {
        Self(Kind::ALL.to_vec())
    }
}

impl DeploySetting {
    /// The files that it writes.
    pub fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Combined { path, .. } => vec![path.clone()],
            Self::Copy { folder, files, .. } => files.0.iter().map(|kind| folder.join(kind.live_file())).collect(),
            Self::Der { certificate, key, .. } => std::iter::once(certificate).chain(key).cloned().collect(),
            Self::Command { .. } | Self::Reload { .. } => Vec::new(),
        }
    }

    /// The name under which its state is kept: another path or unit is another target.
    pub fn target(&self) -> DeployTarget {
        let text = |path: &PathBuf| path.to_string_lossy().into_owned();
        match self {
            Self::Combined { path, .. } => DeployTarget::Combined(text(path)),
            Self::Command { command } => DeployTarget::Command(command.clone()),
            Self::Copy { folder, .. } => DeployTarget::Copy(text(folder)),
            Self::Der { certificate, .. } => DeployTarget::Der(text(certificate)),
            Self::Reload { unit, .. } => DeployTarget::Reload(unit.clone()),
        }
    }
}
