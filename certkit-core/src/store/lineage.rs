//! A lineage: its conf, its live links and the versions in its archive.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{ConfError, Kind, RenewalConf, Store, StoreError};
use crate::{Certificate, Chain, KeyMath, LineageName, PrivateKey, Version};

/// A lineage whose conf and live links can be used. The certificate files are read when asked for.
#[derive(Clone, Debug)]
pub struct Lineage {
    pub(crate) name: LineageName,
    pub(crate) conf_path: PathBuf,
    pub(crate) conf: RenewalConf,
    /// Helper B: whatever else is needed (resolved link targets …).
    pub(crate) targets: [PathBuf; 4],
}

/// A lineage that cannot be used; the others can.
#[derive(Debug)]
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
    /// The conf cannot be read or parsed.
    #[error("the renewal configuration cannot be used: {0}")]
    Conf(#[from] ConfError),
    /// The conf's file name cannot be a lineage name.
    #[error(transparent)]
    Name(#[from] crate::LineageNameError),
    // helper B: NotASymlink{path}, Dangling{link,target}, ForeignTarget…, Unreadable(StoreError), Certificate{path, ReadError}, …
    /// A file cannot be read.
    #[error(transparent)]
    Unreadable(#[from] StoreError),
}

/// The files of one version, read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct VersionFiles {
    /// Leaf and issuers, from fullchainN.pem.
    pub chain: Chain,
    /// The key.
    pub key: PrivateKey,
}

impl Store {
    /// All lineages in certbot's listing order (`renewal/*.conf`, bytewise by path). One that is broken is an `Err` in the list.
    pub fn lineages(&self) -> Result<Vec<Result<Lineage, BrokenLineage>>, StoreError> {
        todo!()
    }

    /// One lineage; `Ok(None)` when there is no such conf.
    #[allow(clippy::result_large_err, reason = "read once, at the edge")]
    pub fn lineage(&self, _name: &LineageName) -> Result<Option<Lineage>, BrokenLineage> {
        todo!()
    }
}

impl Lineage {
    /// Its name.
    pub fn name(&self) -> &LineageName {
        &self.name
    }

    /// `renewal/NAME.conf`.
    pub fn conf_path(&self) -> &Path {
        &self.conf_path
    }

    /// The conf.
    pub fn conf(&self) -> &RenewalConf {
        &self.conf
    }

    /// The live link of this kind, as the conf names it.
    pub fn live_path(&self, _kind: Kind) -> &Path {
        todo!()
    }

    /// The archive file that the live link of this kind points to (one step, absolute).
    pub fn target(&self, kind: Kind) -> &Path {
        &self.targets[kind as usize]
    }

    /// The directory that holds the versions: that of the cert link's target.
    pub fn archive_dir(&self) -> &Path {
        todo!()
    }

    /// The version that all four live links point to; none when they differ or are not named as certbot names them.
    pub fn live_version(&self) -> Option<Version> {
        todo!()
    }

    /// The versions in the archive with the kinds that exist of each.
    pub fn versions(&self) -> Result<BTreeMap<Version, Vec<Kind>>, StoreError> {
        todo!()
    }

    /// The newest version of which all four files exist.
    pub fn newest_complete_version(&self) -> Result<Option<Version>, StoreError> {
        todo!()
    }

    /// The live certificate (cert.pem).
    pub fn certificate(&self) -> Result<Certificate, BrokenReason> {
        todo!()
    }

    /// Leaf, issuers and key of a version, read but not verified.
    pub fn read_version(&self, _version: Version) -> Result<VersionFiles, BrokenReason> {
        todo!()
    }

    /// certbot's checks of what is live: fullchain is cert and chain, the key belongs to the certificate, the certificate
    /// is signed by the first of the chain. Without `math` signatures are not checked and keys only where they carry
    /// their public key. Reads the files again when the links change meanwhile.
    pub fn check_live(&self, _math: Option<&dyn KeyMath>) -> Result<(), BrokenReason> {
        todo!()
    }
}
