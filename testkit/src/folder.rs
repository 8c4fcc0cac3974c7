//! What lies in a folder, with what tells whether it was touched.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A file, a link or a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderEntry {
    /// Type and permissions, as `st_mode` has them.
    pub mode: u32,
    /// When its content was changed.
    pub modified: SystemTime,
    /// The content of a file, `-> ` and the target of a link, nothing for anything else.
    pub content: String,
}

/// Everything below a folder by its path. Links are not followed. Two equal answers mean that nothing was written.
pub fn snapshot(folder: &Path) -> BTreeMap<PathBuf, FolderEntry> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let content = if metadata.is_symlink() {
                format!("-> {}", fs::read_link(&path).unwrap().display())
            } else if metadata.is_dir() {
                folders.push(path.clone());
                String::new()
            } else if metadata.is_file() {
                String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned()
            } else {
                String::new()
            };
            let (mode, modified) = (metadata.permissions().mode(), metadata.modified().unwrap());
            all.insert(path, FolderEntry { mode, modified, content });
        }
    }
    all
}
