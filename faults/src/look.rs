//! What a tree is like, by other means than certkit's own.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rcgen::{KeyPair, PublicKeyData as _};

/// What is live of each lineage.
pub type Live = BTreeMap<String, Pair>;

/// A live version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Its number.
    pub version: u32,
    /// The certificate's serial number.
    pub serial: String,
    /// The key that is public.
    pub key: Vec<u8>,
}

const KINDS: [&str; 4] = ["cert", "privkey", "chain", "fullchain"];

/// What is live of a lineage, or what is wrong with it: its four links lead to one version, the files are whole, and the
/// key belongs to the certificate.
pub fn live_pair(tree: &Path, name: &str) -> Result<Pair, String> {
    let folder = tree.join("live").join(name);
    let mut versions = Vec::new();
    let mut texts = Vec::new();
    for kind in KINDS {
        let link = folder.join(format!("{kind}.pem"));
        let target = fs::read_link(&link).map_err(|error| format!("{}: {error}", link.display()))?;
        let file = target.file_name().and_then(|file| file.to_str()).unwrap_or_default();
        let number = file.strip_prefix(kind).and_then(|rest| rest.strip_suffix(".pem")?.parse::<u32>().ok());
        versions.push(number.ok_or_else(|| format!("{} leads to {}", link.display(), target.display()))?);
        texts.push(fs::read_to_string(&link).map_err(|error| format!("{}: {error}", link.display()))?);
    }
    if versions.iter().any(|version| *version != versions[0]) {
        return Err(format!("live/{name} is a mixed pair: {versions:?}"));
    }
    let [cert, privkey, chain, fullchain] = texts.as_slice() else { return Err("four".into()) };
    if *fullchain != format!("{cert}{chain}") || chain.is_empty() {
        return Err(format!("fullchain.pem of {name} is not its certificate and its chain"));
    }
    let key = KeyPair::from_pem(privkey).map_err(|error| format!("the key of {name}: {error}"))?;
    let (_, block) = x509_parser::pem::parse_x509_pem(cert.as_bytes()).map_err(|error| error.to_string())?;
    let certificate = block.parse_x509().map_err(|error| error.to_string())?;
    let public = key.subject_public_key_info();
    if certificate.public_key().raw != public {
        return Err(format!("the key of {name} is not that of its certificate"));
    }
    Ok(Pair { version: versions[0], serial: certificate.raw_serial_as_string(), key: public })
}

/// The lineages that have a conf.
pub fn lineages(tree: &Path) -> Vec<String> {
    let entries = fs::read_dir(tree.join("renewal")).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".conf")?.to_owned())).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    names
}

/// What is live of all of them.
pub fn live(tree: &Path) -> Result<Live, String> {
    lineages(tree).into_iter().map(|name| Ok((name.clone(), live_pair(tree, &name)?))).collect()
}

/// Every path below a folder, sorted.
pub fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir()) {
            found.extend(walk(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}

/// A private key that others can read, if there is one.
pub fn open_key(tree: &Path) -> Option<PathBuf> {
    walk(tree).into_iter().find(|path| {
        is_key(path) && fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file() && meta.mode() & 0o077 != 0)
    })
}

/// Whether a private key is kept under this name.
pub fn is_key(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.contains("privkey")
        || name.contains("private_key")
        || path.components().any(|part| part.as_os_str() == "rollover")
}

/// What an interrupted run could have left.
pub fn leftovers(tree: &Path) -> Vec<PathBuf> {
    let mut found = walk(tree);
    found.retain(|path| {
        let inside = path.strip_prefix(tree).unwrap().to_str().unwrap_or_default();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.contains("certkit-tmp")
            || name.contains("certkit-new")
            || name.starts_with("previous_")
            || [".damaged-", "/aside/"].iter().any(|part| inside.contains(part))
            || ["pending", "commit", "rollover", "deleting"]
                .iter()
                .any(|own| inside.starts_with(&format!("certkit/{own}/")))
    });
    found
}

/// What lies under temporary names, a folder with all that is in it counted once.
pub fn temporary(tree: &Path) -> Vec<PathBuf> {
    let mut found = walk(tree);
    let is_temporary = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.contains("certkit-tmp") || name.contains("certkit-new")
    };
    found.retain(|path| is_temporary(path) && !path.ancestors().skip(1).any(is_temporary));
    found
}

/// What of a lineage is in the tree, its history excepted.
pub fn traces(tree: &Path, name: &str) -> Vec<PathBuf> {
    let mut found = walk(tree);
    found.retain(|path| {
        let inside = path.strip_prefix(tree).unwrap().to_str().unwrap_or_default();
        inside.contains(name) && !inside.starts_with("certkit/state/history/")
    });
    found
}

/// Two trees of the same kind have the same number: names, kinds, modes, targets of links, and lengths of what holds no
/// times.
pub fn signature(tree: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    for path in walk(tree) {
        let inside = path.strip_prefix(tree).unwrap();
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        // Serial numbers and signatures have no fixed length.
        let length = if meta.is_file() && !inside.starts_with("certkit/state") { meta.len() / 16 } else { 0 };
        (inside, meta.mode(), fs::read_link(&path).ok(), length).hash(&mut hasher);
    }
    hasher.finish()
}
