//! A lineage: its conf, its live links and the versions in its archive.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::read::{bounded, bounded_in, regular_file};
use super::settling::settled;
use super::shared::Shared;
use super::targets;
use super::usual_links::OpenFolders;
use super::{ConfError, Kind, RenewalConf, Store, StoreError, files};
use crate::pem_strict::{self, Refusal};
use crate::{
    Certificate, Chain, Finding, FindingCode, Hindrance, KeyMath, KeyMathError, LineageName, PrivateKey,
    PrivateKeyError, ReadError, Version,
};

/// A lineage whose conf and live links can be used. The certificate files are read when asked for.
#[derive(Clone, Debug)]
pub struct Lineage {
    /// The store's.
    paths: Arc<Shared>,
    pub(crate) name: LineageName,
    pub(crate) conf_path: PathBuf,
    pub(crate) conf: RenewalConf,
    /// What the live links point to, in the order of [`Kind::ALL`]: one step, absolute.
    pub(crate) targets: [PathBuf; 4],
}

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

/// The certificate in use, and what came of looking at all four files.
#[derive(Debug)]
#[non_exhaustive]
pub struct CheckedCertificate {
    /// The live certificate (cert.pem).
    pub certificate: Certificate,
    /// Why what is live cannot be used; otherwise what is worth knowing of it: files that servers do not load as they are
    /// written ([`FindingCode::PemRefused`]), and a signature that is not verified here ([`FindingCode::SignatureNotVerified`]).
    pub checked: Result<Vec<Finding>, BrokenReason>,
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
    /// All lineages in certbot's listing order (`renewal/*.conf`, bytewise by path), each read when the iterator comes to
    /// it. One that is broken is an `Err` of the iterator; one that is removed meanwhile is passed over. What looks broken
    /// while somebody else who holds the store's lock changes it is looked at again, for two seconds at most from its last
    /// change on.
    pub fn lineages(&self) -> Result<Lineages<'_>, StoreError> {
        let dir = self.paths.renewal_dir();
        let mut names = super::folder_names(&dir)?;
        // What the shell pattern `*.conf` matches: names that begin with a dot are not shown.
        names.retain(|name| name.as_bytes().ends_with(b".conf") && !name.as_bytes().starts_with(b"."));
        // `x-0001.conf` comes before `x.conf`, because the endings are compared too.
        names.sort_unstable();
        Ok(Lineages { store: self, folders: OpenFolders::open(&self.paths), dir, names: names.into_iter() })
    }

    /// One lineage; `Ok(None)` when there is no such conf.
    #[allow(clippy::result_large_err, reason = "read once, at the edge")]
    pub fn lineage(&self, name: &LineageName) -> Result<Option<Lineage>, BrokenLineage> {
        let path = self.paths.conf(name);
        let file_name = format!("{name}.conf");
        self.load(path, OsStr::new(&file_name), None)
    }

    #[allow(clippy::result_large_err, reason = "read once, at the edge")]
    fn load(
        &self,
        conf_path: PathBuf,
        file_name: &OsStr,
        folders: Option<&OpenFolders>,
    ) -> Result<Option<Lineage>, BrokenLineage> {
        let mut conf = None;
        let live = || self.paths.live_dir().join(Path::new(file_name).file_stem().unwrap_or_default());
        // Links to different versions are no error here, and yet nobody should see them.
        let is_sound = |seen: &Result<Lineage, _>| seen.as_ref().is_ok_and(|seen| seen.live_version().is_some());
        let read = settled(
            &self.paths,
            |_| vec![conf_path.clone(), live()],
            is_sound,
            || {
                conf = None;
                read_lineage(&self.paths, &conf_path, file_name, folders, &mut conf)
            },
        );
        match read {
            Ok(lineage) => Ok(Some(lineage)),
            // Removed since the folder was read, or never there; a link to nothing is there, however.
            Err(BrokenReason::Unreadable(error))
                if error.path == conf_path
                    && error.source.kind() == std::io::ErrorKind::NotFound
                    && std::fs::symlink_metadata(&conf_path)
                        .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) =>
            {
                Ok(None)
            }
            Err(reason) => {
                let name = file_name.to_string_lossy();
                let name = crate::escape(name.strip_suffix(".conf").unwrap_or(&name)).into_owned();
                Err(BrokenLineage { name, conf_path, conf, reason })
            }
        }
    }
}

/// The lineages of a store, see [`Store::lineages`].
#[derive(Debug)]
pub struct Lineages<'a> {
    store: &'a Store,
    /// Where usual lineages lie, opened once for all of them.
    folders: Option<OpenFolders>,
    dir: PathBuf,
    names: std::vec::IntoIter<std::ffi::OsString>,
}

impl Lineages<'_> {
    /// The file names of the confs that are still to come.
    pub(super) fn names(&self) -> &[std::ffi::OsString] {
        self.names.as_slice()
    }

    /// The lineage of a conf; none when it is gone.
    pub(super) fn read(&self, name: &OsStr) -> Option<Result<Lineage, BrokenLineage>> {
        self.store.load(self.dir.join(name), name, self.folders.as_ref()).transpose()
    }
}

impl Iterator for Lineages<'_> {
    type Item = Result<Lineage, BrokenLineage>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(name) = self.names.next() {
            if let Some(lineage) = self.read(&name) {
                return Some(lineage);
            }
        }
        None
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.names.len()))
    }
}

fn read_lineage(
    paths: &Arc<Shared>,
    conf_path: &Path,
    file_name: &OsStr,
    folders: Option<&OpenFolders>,
    read: &mut Option<RenewalConf>,
) -> Result<Lineage, BrokenReason> {
    let stem = file_name.to_str().ok_or(BrokenReason::NameNotUtf8)?;
    let name = LineageName::new(stem.strip_suffix(".conf").unwrap_or(stem))?;
    let bytes = match folders {
        Some(folders) => bounded_in(folders.renewal(), Path::new(file_name), conf_path, RenewalConf::MAX_BYTES)?,
        None => bounded(conf_path, RenewalConf::MAX_BYTES)?,
    };
    let conf = RenewalConf::parse(&bytes)?;
    let targets = || {
        conf.check_complete()?;
        let links = links_of(&conf);
        match folders.and_then(|folders| folders.targets(&name, &links)) {
            Some(targets) => Ok(targets),
            None => targets::targets(&links),
        }
    };
    match targets() {
        Ok(targets) => Ok(Lineage { paths: Arc::clone(paths), name, conf_path: conf_path.to_owned(), conf, targets }),
        Err(reason) => {
            *read = Some(conf);
            Err(reason)
        }
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
    pub fn live_path(&self, kind: Kind) -> &Path {
        link_of(&self.conf, kind)
    }

    /// The archive file that the live link of this kind points to (one step, absolute).
    pub fn target(&self, kind: Kind) -> &Path {
        &self.targets[kind as usize]
    }

    /// The directory that holds the versions: that of the cert link's target.
    pub fn archive_dir(&self) -> &Path {
        folder_of(self.target(Kind::Cert))
    }

    /// The version that all four live links point to; none when they differ or are not named as certbot names them.
    pub fn live_version(&self) -> Option<Version> {
        targets::common_version(&self.targets)
    }

    /// The versions in the archive with the kinds that exist of each.
    pub fn versions(&self) -> Result<BTreeMap<Version, Vec<Kind>>, StoreError> {
        let dir = self.archive_dir();
        let mut versions: BTreeMap<Version, Vec<Kind>> = BTreeMap::new();
        for entry in std::fs::read_dir(dir).map_err(|error| StoreError::new("read", dir, error))? {
            let name = entry.map_err(|error| StoreError::new("read", dir, error))?.file_name();
            let Some(name) = name.to_str() else { continue };
            let found = Kind::ALL.into_iter().find_map(|kind| Some((kind.version_of(name)?, kind)));
            if let Some((version, kind)) = found {
                versions.entry(version).or_default().push(kind);
            }
        }
        versions.values_mut().for_each(|kinds| kinds.sort_unstable());
        Ok(versions)
    }

    /// The newest version of which all four files exist.
    pub fn newest_complete_version(&self) -> Result<Option<Version>, StoreError> {
        let versions = self.versions()?;
        Ok(versions.iter().rev().find(|(_, kinds)| kinds.len() == Kind::ALL.len()).map(|(version, _)| *version))
    }

    /// The live certificate (cert.pem).
    pub fn certificate(&self) -> Result<Certificate, BrokenReason> {
        let read = |target: &Path| certificate_in(target, &contents(target)?);
        read(self.target(Kind::Cert)).or_else(|error| match self.moved()? {
            Some(now) => read(now.target(Kind::Cert)),
            None => Err(error),
        })
    }

    /// Leaf, issuers and key of a version, read but not verified.
    pub fn read_version(&self, version: Version) -> Result<VersionFiles, BrokenReason> {
        let chain = self.read_chain(version)?;
        let path = self.archive_dir().join(Kind::Privkey.archive_file(version));
        let bytes = zeroize::Zeroizing::new(contents(&path)?);
        Ok(VersionFiles { chain, key: key_in(&path, &bytes)? })
    }

    /// Leaf and issuers of a version, read but not verified. Whoever may not read keys can read these.
    pub fn read_chain(&self, version: Version) -> Result<Chain, BrokenReason> {
        let path = self.archive_dir().join(Kind::Fullchain.archive_file(version));
        Chain::from_pem(&contents(&path)?).map_err(|source| BrokenReason::Certificate { path, source })
    }

    /// certbot's checks of what is live: fullchain is cert and chain, the key belongs to the certificate, the certificate
    /// is signed by the first of the chain. Without `math` signatures are not checked and keys only where they carry
    /// their public key. Reads the files again when the links change meanwhile, and for two seconds at most while somebody
    /// else who holds the store's lock changes them.
    pub fn check_live(&self, math: Option<&dyn KeyMath>) -> Result<(), BrokenReason> {
        self.checked_certificate(math).and_then(|live| live.checked.map(|_| ()))
    }

    /// [`Lineage::certificate`] and [`Lineage::check_live`] at once, for who wants both: each file is read once. The outer
    /// error says that there is no certificate, the inner one what else is wrong.
    pub fn checked_certificate(&self, math: Option<&dyn KeyMath>) -> Result<CheckedCertificate, BrokenReason> {
        let places = |_: &_| vec![self.conf_path.clone(), folder_of(self.live_path(Kind::Cert)).to_owned()];
        let is_sound = |seen: &Result<CheckedCertificate, _>| matches!(seen, Ok(live) if live.checked.is_ok());
        settled(&self.paths, places, is_sound, || {
            let seen = self.look(math);
            if is_sound(&seen) {
                return seen;
            }
            match self.moved()? {
                Some(now) => now.look(math),
                None => seen,
            }
        })
    }

    fn look(&self, math: Option<&dyn KeyMath>) -> Result<CheckedCertificate, BrokenReason> {
        let cert = self.target(Kind::Cert);
        let bytes = contents(cert)?;
        let certificate = certificate_in(cert, &bytes)?;
        let checked = self.check_files(&certificate, &bytes, math);
        Ok(CheckedCertificate { certificate, checked })
    }

    /// The lineage as its links are now, when that is not how they were.
    fn moved(&self) -> Result<Option<Self>, BrokenReason> {
        let targets = targets::targets(&links_of(&self.conf))?;
        Ok((targets != self.targets).then(|| Self { targets, ..self.clone() }))
    }

    fn check_files(
        &self,
        leaf: &Certificate,
        cert_bytes: &[u8],
        math: Option<&dyn KeyMath>,
    ) -> Result<Vec<Finding>, BrokenReason> {
        let [cert, privkey, chain, fullchain] = &self.targets;
        let mut findings = Vec::new();
        let (chain_bytes, full_bytes) = (contents(chain)?, contents(fullchain)?);
        let read_chain = |path: &PathBuf, bytes: &[u8]| {
            Chain::from_pem(bytes).map_err(|source| BrokenReason::Certificate { path: path.clone(), source })
        };
        // The first of chain.pem is the leaf's issuer, whatever the type calls it.
        let issuers = read_chain(chain, &chain_bytes)?;
        let same_bytes = full_bytes.strip_prefix(cert_bytes) == Some(chain_bytes.as_slice());
        if !same_bytes {
            // certbot compares bytes; other line ends or a comment harm nobody who reads the files.
            let full = read_chain(fullchain, &full_bytes)?;
            let rest = std::iter::once(&issuers.leaf).chain(&issuers.issuers);
            if full.leaf != *leaf || !full.issuers.iter().eq(rest) {
                return Err(BrokenReason::FullchainDiffers {
                    fullchain: fullchain.clone(),
                    cert: cert.clone(),
                    chain: chain.clone(),
                });
            }
        }
        // Of fullchain alone where the others are its parts.
        let mut written = vec![(Kind::Fullchain, full_bytes.as_slice())];
        if !same_bytes {
            written.extend([(Kind::Cert, cert_bytes), (Kind::Chain, chain_bytes.as_slice())]);
        }
        let key_bytes = zeroize::Zeroizing::new(contents(privkey)?);
        written.push((Kind::Privkey, &key_bytes));
        for (kind, bytes) in written {
            findings.extend(pem_strict::refusal(bytes).map(|refusal| self.refused(kind, refusal)));
        }
        let key = key_in(privkey, &key_bytes)?;
        let public = match math {
            Some(math) => Some(
                math.public_spki_der(&key)
                    .map_err(|source| BrokenReason::KeyUnusable { key: privkey.clone(), source })?,
            ),
            None => key.carried_spki_der(),
        };
        if public.is_some_and(|public| public != leaf.spki_der()) {
            return Err(BrokenReason::KeyMismatch { key: privkey.clone(), cert: cert.clone() });
        }
        if let Some(math) = math {
            match math.verify_signature(leaf, &issuers.leaf) {
                Ok(()) => {}
                // Not computed here is not wrong: servers load them.
                Err(KeyMathError::UnsupportedAlgorithm(what)) => {
                    let evidence = format!("the algorithm {what}");
                    findings.push(Finding::new(FindingCode::SignatureNotVerified, self.name.as_str(), evidence));
                }
                Err(source) => {
                    let (cert, chain) = (cert.clone(), chain.clone());
                    return Err(BrokenReason::NotSignedByChain { cert, chain, source });
                }
            }
        }
        Ok(findings)
    }

    fn refused(&self, kind: Kind, refusal: Refusal) -> Finding {
        let Refusal { line, what } = refusal;
        let evidence = format!("{}, line {line}: {what}", kind.live_file());
        Finding::new(FindingCode::PemRefused, self.name.as_str(), evidence)
    }
}

/// The live links, as a complete conf names them, in the order of [`Kind::ALL`].
fn links_of(conf: &RenewalConf) -> [&Path; 4] {
    Kind::ALL.map(|kind| link_of(conf, kind))
}

fn link_of(conf: &RenewalConf, kind: Kind) -> &Path {
    Path::new(conf.live_path(kind).unwrap_or_default())
}

fn contents(path: &Path) -> Result<Vec<u8>, BrokenReason> {
    let bytes = regular_file(path)?;
    if bytes.is_empty() { Err(BrokenReason::Empty { path: path.to_owned() }) } else { Ok(bytes) }
}

fn certificate_in(path: &Path, bytes: &[u8]) -> Result<Certificate, BrokenReason> {
    Certificate::from_pem(bytes).map_err(|source| BrokenReason::Certificate { path: path.to_owned(), source })
}

fn key_in(path: &Path, bytes: &[u8]) -> Result<PrivateKey, BrokenReason> {
    PrivateKey::from_pem(bytes).map_err(|source| BrokenReason::Key { path: path.to_owned(), source })
}

/// The folder of an absolute path to a file, which has one.
fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or_else(|| Path::new("/"))
}

/// A path in a message.
fn shown(path: &Path) -> String {
    crate::escape(&path.to_string_lossy()).into_owned()
}
