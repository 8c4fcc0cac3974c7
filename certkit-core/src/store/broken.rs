//! Why a lineage cannot be used.

use std::path::{Path, PathBuf};

use super::{ConfError, RenewalConf, StoreError, files};
use crate::{Hindrance, KeyMathError, PrivateKeyError, ReadError};

/// A lineage that cannot be used; the others can.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {reason}")]
#[non_exhaustive]
pub struct BrokenLineage {
    /// The conf's file name without `.conf`, escaped.
    pub name: String,
    /// The conf.
    pub conf_path: PathBuf,
    /// The conf's content, where that much could be read.
    pub conf: Option<RenewalConf>,
    /// What is wrong.
    pub reason: BrokenReason,
}

/// Why a lineage cannot be used. The texts say what, where and, where it is not obvious, why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokenReason {
    /// The conf cannot be parsed, or something in it is missing.
    #[error("the renewal configuration cannot be used: {0}")]
    Conf(#[from] ConfError),
    /// The conf's file name cannot be a lineage name.
    #[error(transparent)]
    Name(#[from] crate::LineageNameError),
    /// The conf's file name is not text.
    #[error("the file name of the renewal configuration is not UTF-8")]
    NameNotUtf8,
    /// A live link is missing, or its folder is.
    #[error("{} is missing: it should be a link into the archive", shown(path))]
    MissingLink {
        /// The link.
        path: PathBuf,
    },
    /// A live file is not a link: mostly the tree was copied by a tool that followed links.
    #[error("{} is a file of its own, not a link into the archive (was the tree copied?)", shown(path))]
    NotASymlink {
        /// Where the link should be.
        path: PathBuf,
    },
    /// A live link points to nothing.
    #[error("{} points to {}, which does not exist", shown(link), shown(target))]
    Dangling {
        /// The link.
        link: PathBuf,
        /// What it points to.
        target: PathBuf,
    },
    /// A file has no content: mostly a full disk or a power cut while it was written.
    #[error("{} is empty", shown(path))]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A file does not hold the certificates it should.
    #[error("{}: {source}", shown(path))]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ReadError,
    },
    /// A file does not hold the private key it should.
    #[error("{}: {source}", shown(path))]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: PrivateKeyError,
    },
    /// fullchain.pem is not cert.pem followed by chain.pem.
    #[error("{} does not hold what {} and {} hold together", shown(fullchain), shown(cert), shown(chain))]
    FullchainDiffers {
        /// The file with both.
        fullchain: PathBuf,
        /// The end-entity certificate.
        cert: PathBuf,
        /// The issuers.
        chain: PathBuf,
    },
    /// The private key belongs to another certificate.
    #[error("the private key {} does not belong to the certificate {}", shown(key), shown(cert))]
    KeyMismatch {
        /// The key.
        key: PathBuf,
        /// The certificate.
        cert: PathBuf,
    },
    /// The private key cannot be compared with the certificate.
    #[error("{}: {source}", shown(key))]
    KeyUnusable {
        /// The key.
        key: PathBuf,
        /// Why not.
        source: KeyMathError,
    },
    /// The certificate is not signed by the first certificate of the chain.
    #[error("{} is not signed by the first certificate of {}: {source}", shown(cert), shown(chain))]
    NotSignedByChain {
        /// The certificate.
        cert: PathBuf,
        /// The chain.
        chain: PathBuf,
        /// Why not.
        source: KeyMathError,
    },
    /// A file cannot be read.
    #[error(transparent)]
    Unreadable(#[from] StoreError),
}

impl BrokenReason {
    /// Whether nothing is known but that a file cannot be read for now, for want of rights or by a failing disk: what it
    /// holds may be well. Unlike damage and absence that is no reason to put something else in its place.
    pub fn is_unknown(&self) -> bool {
        self.hindrance().is_some()
    }

    /// What keeps it from being read, where nothing else is known ([`BrokenReason::is_unknown`]).
    pub fn hindrance(&self) -> Option<Hindrance> {
        let Self::Unreadable(error) = self else { return None };
        let is_known = files::is_damage(&error.source) || files::is_absence(&error.source);
        (!is_known).then(|| Hindrance::of(&error.source).unwrap_or(Hindrance::Below))
    }
}

/// A path in a message.
fn shown(path: &Path) -> String {
    crate::escape(&path.to_string_lossy()).into_owned()
}
