//! Which files a target of the settings consists of, and what they hold.

use std::fs;
use std::path::{Path, PathBuf};

use certkit_core::settings::{DeploySetting, FileAccess};
use certkit_core::store::Kind;
use certkit_core::{Chain, PrivateKey, escape};
use zeroize::Zeroizing;

use super::access::{Access, AccessError};
use super::placing::NewFile;

/// The order in which copies are replaced. Whoever loads them in between gets a certificate and a key that do not belong
/// together, which servers refuse, keeping what they have. So the key stands between the two files that it is used with:
/// either pair is mixed for one rename only. The chain goes first: it is never checked against the key.
const ORDER: [Kind; 4] = [Kind::Chain, Kind::Cert, Kind::Privkey, Kind::Fullchain];

/// Why the files cannot be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum FilesError {
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error("no file is named in `files`: name cert, chain, fullchain or privkey, or leave `files` out")]
    NoFiles,
    #[error(
        "the private key does not say which curve it is on, as PKCS #8 has to: leave `key` out, or convert it (openssl pkey -in OLD -out NEW)"
    )]
    NoPkcs8,
    #[error("{} belongs to certkit itself: name a folder outside its tree", escape(&.0.to_string_lossy()))]
    OwnTree(PathBuf),
}

/// The files of a target, in the order in which they are to be replaced; none for one that writes no files. It asks the
/// file system and the user databases.
pub(super) fn files_of(
    setting: &DeploySetting,
    live: &Path,
    chain: &Chain,
    key: &PrivateKey,
) -> Result<Vec<NewFile>, FilesError> {
    let files = match setting {
        DeploySetting::Copy { folder, files, access } => {
            let chosen = ORDER.into_iter().filter(|kind| files.0.contains(kind));
            let copies = chosen.map(|kind| {
                let holds_key = kind == Kind::Privkey;
                new_file(folder.join(kind.live_file()), pem(kind, chain, key), holds_key, access)
            });
            copies.collect::<Result<_, _>>()?
        }
        DeploySetting::Combined { path, access } => {
            // Certificate, chain, key. HAProxy finds the key anywhere; others (lighttpd, pound) want the leaf first.
            let fullchain = chain.fullchain_pem();
            let mut content = Zeroizing::new(Vec::with_capacity(fullchain.len() + 2 * key.der().len() + 128));
            content.extend_from_slice(fullchain.as_bytes());
            content.extend_from_slice(key.to_pem().as_bytes());
            vec![new_file(path.clone(), content, true, access)?]
        }
        DeploySetting::Der { certificate, key: key_path, access } => {
            let leaf = Zeroizing::new(chain.leaf.der().to_vec());
            let mut files = vec![new_file(certificate.clone(), leaf, false, access)?];
            if let Some(path) = key_path {
                files.push(new_file(path.clone(), key.to_pkcs8_der().ok_or(FilesError::NoPkcs8)?, true, access)?);
            }
            files
        }
        _ => return Ok(Vec::new()),
    };
    if files.is_empty() {
        return Err(FilesError::NoFiles);
    }
    match files.iter().find(|file| is_of_own_tree(&file.path, live)) {
        Some(file) => Err(FilesError::OwnTree(file.path.clone())),
        None => Ok(files),
    }
}

fn new_file(
    path: PathBuf,
    content: Zeroizing<Vec<u8>>,
    holds_key: bool,
    access: &FileAccess,
) -> Result<NewFile, AccessError> {
    Ok(NewFile { path, content, holds_key, access: Access::resolve(access, holds_key)? })
}

fn pem(kind: Kind, chain: &Chain, key: &PrivateKey) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(match kind {
        Kind::Cert => chain.cert_pem().into_bytes(),
        Kind::Chain => chain.chain_pem().into_bytes(),
        Kind::Fullchain => chain.fullchain_pem().into_bytes(),
        Kind::Privkey => key.to_pem().as_bytes().to_vec(),
    })
}

/// Whether this is a file that the tree itself needs: a copy over the links in live/ would break the lineage. What else
/// people keep in live/NAME (`haproxy.pem`) stays theirs.
pub(super) fn is_of_own_tree(path: &Path, live: &Path) -> bool {
    const OWN_FOLDERS: [&str; 6] = ["accounts", "archive", "certkit", "csr", "keys", "renewal"];
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return false };
    let tree = live.parent().and_then(Path::parent).map(fs::canonicalize);
    // What is not there is refused for that reason.
    let (Some(Ok(tree)), Ok(folder)) = (tree, fs::canonicalize(folder)) else { return false };
    let Ok(below) = folder.strip_prefix(&tree) else { return false };
    if below.starts_with("live") {
        return Kind::ALL.into_iter().any(|kind| name == kind.live_file().as_str());
    }
    OWN_FOLDERS.iter().any(|own| below.starts_with(own))
}
