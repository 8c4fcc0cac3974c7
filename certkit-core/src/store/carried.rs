//! What certkit itself has put into the two live folders of a lineage. Whatever else is in the one that was exchanged out, somebody
//! has put there who has it open or mounted, and it may be nowhere else.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::files::{self, Attributes};
use super::{StoreError, StorePaths};
use crate::LineageName;

impl StorePaths {
    /// `certkit/carried.NAME`: a line for each file and link that is in both live folders.
    pub(crate) fn carried(&self, name: &LineageName) -> PathBuf {
        self.own_dir().join(format!("carried.{name}"))
    }
}

/// A file as it was carried: its device, its number, and when it came to be, in nanoseconds since 1970, since a number is
/// used again.
type Identity = (u64, u64, u128);

/// What was carried at the last switch; none where nothing says so.
pub(crate) struct Carried(Option<BTreeSet<Identity>>);

impl Carried {
    /// As it was written; what cannot be read says nothing.
    pub(crate) fn read(paths: &StorePaths, name: &LineageName) -> Self {
        let content = files::read_if_there(&paths.carried(name)).ok().flatten();
        let line = |line: &str| -> Option<Identity> {
            let mut numbers = line.split(' ');
            Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
        };
        Self(content.map(|content| String::from_utf8_lossy(&content).lines().filter_map(line).collect()))
    }

    /// Whether anything is known at all.
    pub(crate) fn is_known(&self) -> bool {
        self.0.is_some()
    }

    /// Whether it was carried.
    pub(crate) fn knows(&self, meta: &Metadata) -> bool {
        self.0.as_ref().is_some_and(|carried| carried.contains(&identity(meta)))
    }

    /// Writes what is carried now.
    pub(crate) fn write(paths: &StorePaths, name: &LineageName, all: &[Metadata]) -> Result<(), StoreError> {
        let lines: BTreeSet<Identity> = all.iter().map(identity).collect();
        let text: String = lines.iter().map(|(device, number, born)| format!("{device} {number} {born}\n")).collect();
        let path = paths.carried(name);
        // One that another user wrote, and this one may not read, is replaced.
        if files::read_if_there(&path).ok().flatten().is_some_and(|old| old == text.as_bytes()) {
            return Ok(());
        }
        files::replace(&path, text.as_bytes(), &Attributes::ours(&path))
    }
}

/// Where the file system does not say when a file came to be, it is when it was last written to.
fn identity(meta: &Metadata) -> Identity {
    let born = meta.created().or_else(|_| meta.modified()).ok();
    let born = born.and_then(|born| born.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    (meta.dev(), meta.ino(), born.as_nanos())
}

/// Whether a file has no other name anywhere.
pub(crate) fn is_only_copy(meta: &Metadata) -> bool {
    meta.is_file() && meta.nlink() == 1
}

/// Where files of the second folder of a lineage go that are nowhere else: `certkit/saved/switched.NAME/`.
pub(crate) struct SetAside<'a> {
    pub(crate) paths: &'a StorePaths,
    pub(crate) name: &'a LineageName,
}

/// So many files of one name are kept.
const MOST_OF_A_NAME: u32 = 999;

impl SetAside<'_> {
    /// Moves a file there, and says where it is.
    pub(crate) fn take(&self, path: &Path) -> Result<PathBuf, StoreError> {
        let folder = self.paths.saved_dir().join(format!("switched.{}", self.name));
        files::ensure_own_dir(&self.paths.own_dir(), &folder)?;
        let file = path.file_name().unwrap_or_default();
        for number in 1..=MOST_OF_A_NAME {
            let mut name = file.to_owned();
            if number > 1 {
                name.push(format!("-{number}"));
            }
            let to = folder.join(name);
            if files::lstat(&to)?.is_none() {
                files::rename(path, &to)?;
                files::sync_parent(&to)?;
                return Ok(to);
            }
        }
        Err(StoreError::new("create", folder, std::io::Error::other("there are too many files of this name")))
    }

    /// The words for the owner.
    pub(crate) fn told(path: &Path, to: &Path) -> String {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        format!(
            "somebody has put {} into the live folder that was not in use: it is kept as {}",
            crate::escape(&file),
            crate::escape(&to.to_string_lossy())
        )
    }
}
