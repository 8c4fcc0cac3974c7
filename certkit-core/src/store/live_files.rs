//! The four files in use, read and compared.

use std::path::{Path, PathBuf};

use super::lineage::{Lineage, folder_of, links_of};
use super::read::regular_file;
use super::settling::settled;
use super::targets;
use super::{BrokenReason, Kind};
use crate::pem_strict::{self, Refusal};
use crate::{Certificate, Chain, Finding, FindingCode, KeyMath, KeyMathError, PrivateKey, Severity, Version};

/// The certificate in use, and what came of looking at all four files.
#[derive(Debug)]
#[non_exhaustive]
pub struct CheckedCertificate {
    /// The live certificate (cert.pem).
    pub certificate: Certificate,
    /// Why what is live cannot be used; otherwise what is worth knowing of it: files that servers do not load as they are
    /// written ([`FindingCode::PemRefused`]), and signatures that are not verified here, since nobody accepts them any more
    /// ([`FindingCode::WeakSignature`]) or otherwise ([`FindingCode::SignatureNotVerified`]).
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

impl Lineage {
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
        Ok((targets != self.targets).then(|| Self { targets, is_usual: false, ..self.clone() }))
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
                Err(KeyMathError::UnsupportedAlgorithm(what)) => findings.push(match leaf.weak_signature() {
                    Some(weak) => Finding::new(FindingCode::WeakSignature, self.name.as_str(), weak),
                    None => {
                        let evidence = format!("the algorithm {what}");
                        Finding::new(FindingCode::SignatureNotVerified, self.name.as_str(), evidence)
                    }
                }),
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
        let told = Finding::new(FindingCode::PemRefused, self.name.as_str(), evidence);
        // Few servers read the other two.
        if matches!(kind, Kind::Fullchain | Kind::Privkey) { told } else { told.with_severity(Severity::Warning) }
    }
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
