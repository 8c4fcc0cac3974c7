//! What putting files into place would meet, found out without a certificate and without writing anything.

use std::path::{Path, PathBuf};

use certkit_core::settings::DeploySetting;
use certkit_core::store::Kind;
use rustix::fs::{Access as Rights, access};
use zeroize::Zeroizing;

use super::access::{Access, AccessError};
use super::files::is_of_own_tree;
use super::placing::{NewFile, check_places};

/// What stands in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// The owner or group does not exist, or the mode is refused: why, with the cure.
    Access(String),
    /// The folder or the file cannot be written: why, with the cure.
    Place(String),
}

/// The files of a target with whether they hold the private key.
pub(crate) fn files_with_keys(setting: &DeploySetting) -> Vec<(PathBuf, bool)> {
    match setting {
        DeploySetting::Copy { folder, files, .. } => {
            files.0.iter().map(|kind| (folder.join(kind.live_file()), *kind == Kind::Privkey)).collect()
        }
        DeploySetting::Combined { path, .. } => vec![(path.clone(), true)],
        DeploySetting::Der { certificate, key, .. } => {
            std::iter::once((certificate.clone(), false)).chain(key.iter().map(|key| (key.clone(), true))).collect()
        }
        _ => Vec::new(),
    }
}

/// The first obstacle that a target of files would meet; none for one that writes no files. It asks the file system and
/// the user databases: call it where blocking is allowed.
pub(crate) fn rehearse(setting: &DeploySetting, live: &Path) -> Result<(), Obstacle> {
    let (DeploySetting::Copy { access: wanted, .. }
    | DeploySetting::Combined { access: wanted, .. }
    | DeploySetting::Der { access: wanted, .. }) = setting
    else {
        return Ok(());
    };
    let place = |problem: String| Obstacle::Place(problem);
    let mut files = Vec::new();
    for (path, holds_key) in files_with_keys(setting) {
        if is_of_own_tree(&path, live) {
            return Err(place(format!("{} belongs to certkit itself: name a folder outside its tree", shown(&path))));
        }
        let access =
            Access::resolve(wanted, holds_key).map_err(|error: AccessError| Obstacle::Access(error.to_string()))?;
        files.push(NewFile { path, content: Zeroizing::new(Vec::new()), holds_key, access });
    }
    check_places(&files).map_err(|error| place(error.to_string()))?;
    for folder in files.iter().filter_map(|file| file.path.parent()) {
        if let Err(errno) = access(folder, Rights::WRITE_OK | Rights::EXEC_OK) {
            return Err(place(format!("{} cannot be written to: {}", shown(folder), std::io::Error::from(errno))));
        }
    }
    Ok(())
}

fn shown(path: &Path) -> String {
    certkit_core::escape(&path.to_string_lossy()).into_owned()
}
