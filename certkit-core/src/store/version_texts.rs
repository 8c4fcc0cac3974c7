//! The four files of a version as texts, and where they are while they are being made.

use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use zeroize::Zeroizing;

use super::files::{self, Attributes};
use super::folder::Folder;
use super::{AuthorityKind, Expectations, Kind, StoreError, VerifiedVersion, VerifyError};
use crate::pem_strict::{self, Refusal};
use crate::{Certificate, Chain, KeyMath, KeyMathError, PrivateKey, PrivateKeyError, ReadError, Version};

/// The contents of a version's files, in the order of [`Kind::ALL`].
pub(crate) struct VersionTexts([Zeroizing<Vec<u8>>; 4]);

/// Why files are not a version that may go live.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnfitError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("its certificate cannot be read: {0}")]
    Certificate(#[from] ReadError),
    #[error("its private key cannot be read: {0}")]
    Key(#[from] PrivateKeyError),
    #[error("fullchain is not cert and chain")]
    Inconsistent,
    #[error("servers do not load it as it is written: {file}, line {}: {}", refusal.line, refusal.what)]
    Refused { file: &'static str, refusal: Refusal },
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error("it does not cover all names of the one in use")]
    FewerNames,
}

impl UnfitError {
    /// Whether files are damaged or not of one version, rather than a whole version that may not go live now.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Self::Store(error) => files::is_damage(&error.source) || files::is_absence(&error.source),
            Self::Certificate(_) | Self::Key(_) | Self::Inconsistent | Self::Refused { .. } => true,
            Self::Verify(VerifyError::BadSignature { source, .. }) => *source == KeyMathError::BadSignature,
            Self::Verify(error) => matches!(error, VerifyError::KeyMismatch | VerifyError::NotIssuedByNext { .. }),
            Self::FewerNames => false,
        }
    }
}

impl VersionTexts {
    /// As certbot writes them.
    pub(crate) fn of(verified: &VerifiedVersion) -> Self {
        let chain = verified.chain();
        let (cert, issuers) = (chain.cert_pem(), chain.chain_pem());
        let fullchain = format!("{cert}{issuers}");
        let key = verified.key().to_pem().as_bytes().to_vec();
        Self([cert.into_bytes(), key, issuers.into_bytes(), fullchain.into_bytes()].map(Zeroizing::new))
    }

    /// These contents, in the order of [`Kind::ALL`].
    pub(crate) fn new(texts: [Zeroizing<Vec<u8>>; 4]) -> Self {
        Self(texts)
    }

    /// Reads them from four files.
    pub(crate) fn read(paths: &[PathBuf; 4]) -> Result<Self, StoreError> {
        let mut texts = [(); 4].map(|()| Zeroizing::new(Vec::new()));
        for (text, path) in texts.iter_mut().zip(paths) {
            *text = Zeroizing::new(files::read(path)?);
        }
        Ok(Self(texts))
    }

    pub(crate) fn get(&self, kind: Kind) -> &[u8] {
        &self.0[kind as usize]
    }

    pub(crate) fn leaf(&self) -> Result<Certificate, ReadError> {
        Certificate::from_pem(self.get(Kind::Cert))
    }

    /// Checks that they fit together, whatever the time is and whatever they could replace.
    pub(crate) fn verify_soundness(&self, math: &dyn KeyMath, now: DateTime<Utc>) -> Result<Certificate, UnfitError> {
        let within = |leaf: Certificate| {
            let validity = leaf.validity();
            now.min(validity.not_after - TimeDelta::seconds(1)).max(validity.not_before)
        };
        let verified = self.verify(None, math, self.leaf().map_or(now, within))?;
        Ok(verified.chain().leaf.clone())
    }

    /// Checks that they fit together and could replace `replaces` (none: whatever they are, they are better).
    pub(crate) fn verify(
        &self,
        replaces: Option<Certificate>,
        math: &dyn KeyMath,
        now: DateTime<Utc>,
    ) -> Result<VerifiedVersion, UnfitError> {
        let fullchain = self.get(Kind::Fullchain);
        let (cert, chain) = (self.get(Kind::Cert), self.get(Kind::Chain));
        if fullchain.strip_prefix(cert) != Some(chain) || cert.is_empty() || chain.is_empty() {
            return Err(UnfitError::Inconsistent);
        }
        for kind in [Kind::Fullchain, Kind::Privkey] {
            if let Some(refusal) = pem_strict::refusal(self.get(kind)) {
                return Err(UnfitError::Refused { file: kind.as_str(), refusal });
            }
        }
        let chain = Chain::from_pem(fullchain)?;
        if self.leaf()? != chain.leaf {
            return Err(UnfitError::Inconsistent);
        }
        let names = chain.leaf.identifiers().map_err(VerifyError::UnreadableNames)?;
        // Where the names in use cannot be read, nothing can be missing.
        if let Some(Ok(old)) = replaces.as_ref().map(Certificate::identifiers)
            && !names.is_superset(&old)
        {
            return Err(UnfitError::FewerNames);
        }
        let key = PrivateKey::from_pem(self.get(Kind::Privkey))?;
        let replaced_authority = replaces.as_ref().map_or(AuthorityKind::Unknown, authority_kind);
        let mut expectations = Expectations::new(names, replaces, now);
        expectations.authority = authority_kind(&chain.leaf);
        expectations.replaced_authority = replaced_authority;
        Ok(VerifiedVersion::verify(chain, key, &expectations, math)?)
    }
}

/// Whether a certificate was issued by a test authority, as far as its issuer's name says so: Let's Encrypt's staging
/// hierarchy says `(STAGING)`, and called itself `Fake LE` before 2021.
pub(crate) fn is_of_test_authority(leaf: &Certificate) -> bool {
    let issuer = leaf.issuer();
    issuer.contains("(STAGING)") || issuer.contains("Fake LE ")
}

/// Files do not tell the directory that a certificate came from: what does not call itself a test counts as trusted, so
/// that nothing but a test replaces a test, and no test anything else.
fn authority_kind(leaf: &Certificate) -> AuthorityKind {
    if is_of_test_authority(leaf) { AuthorityKind::Test } else { AuthorityKind::Public }
}

/// The archive files of a version, final or temporary.
pub(crate) struct ArchiveFiles {
    finals: [PathBuf; 4],
}

impl ArchiveFiles {
    /// Those of `version`, each in its directory.
    pub(crate) fn new(dirs: &[PathBuf; 4], version: Version) -> Self {
        let [cert, privkey, chain, fullchain] = dirs;
        let file = |dir: &Path, kind: Kind| dir.join(kind.archive_file(version));
        Self {
            finals: [
                file(cert, Kind::Cert),
                file(privkey, Kind::Privkey),
                file(chain, Kind::Chain),
                file(fullchain, Kind::Fullchain),
            ],
        }
    }

    /// Writes all four under temporary names, durably. The key comes first.
    pub(crate) fn write_temps(
        &self,
        texts: &VersionTexts,
        attributes: impl Fn(Kind) -> Attributes,
    ) -> Result<(), StoreError> {
        for kind in [Kind::Privkey, Kind::Cert, Kind::Chain, Kind::Fullchain] {
            let (folder, name) = Folder::of(&self.finals[kind as usize])?;
            folder.write_temp(name, texts.get(kind), &attributes(kind))?;
        }
        self.sync_dirs()
    }

    /// Gives them their final names; those that have them already stay. A version has all four files, each of them
    /// whole, or it has not all four.
    pub(crate) fn rename_temps(&self) -> Result<(), StoreError> {
        for path in &self.finals {
            let (folder, name) = Folder::of(path)?;
            folder.rename_temp(name)?;
        }
        self.sync_dirs()
    }

    /// Where each file is now: under its temporary name if there is one.
    pub(crate) fn present(&self) -> Result<[PathBuf; 4], StoreError> {
        let mut present = self.finals.clone();
        for path in &mut present {
            let temp = files::temp_name(path);
            if files::exists(&temp)? {
                *path = temp;
            }
        }
        Ok(present)
    }

    /// Whether all four have their final names and none a temporary one.
    pub(crate) fn are_final(&self) -> Result<bool, StoreError> {
        for path in &self.finals {
            if !files::exists(path)? || files::exists(&files::temp_name(path))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether another tool gave the same number to a version of its own meanwhile.
    pub(crate) fn is_taken(&self) -> Result<bool, StoreError> {
        for path in &self.finals {
            if files::exists(path)? && files::exists(&files::temp_name(path))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes the temporary ones.
    pub(crate) fn remove_temps(&self) -> Result<bool, StoreError> {
        let mut any = false;
        for path in &self.finals {
            any |= remove(&files::temp_name(path))?;
        }
        Ok(any)
    }

    /// Removes the final ones, as far as they are there.
    pub(crate) fn remove_finals(&self) {
        for path in &self.finals {
            let _ = remove(path);
        }
    }

    /// Whether none of the final ones is there, durably.
    pub(crate) fn are_gone(&self) -> Result<bool, StoreError> {
        for path in &self.finals {
            if files::exists(path)? {
                return Ok(false);
            }
        }
        self.sync_dirs()?;
        Ok(true)
    }

    fn sync_dirs(&self) -> Result<(), StoreError> {
        let mut dirs: Vec<_> = self.finals.iter().filter_map(|path| path.parent()).collect();
        dirs.sort();
        dirs.dedup();
        dirs.into_iter().try_for_each(|dir| Folder::open(dir)?.sync())
    }
}

fn remove(path: &Path) -> Result<bool, StoreError> {
    let (folder, name) = Folder::of(path)?;
    folder.remove(name)
}
