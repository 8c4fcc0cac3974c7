//! Old versions: as certbot does, the current one and the five before it are kept.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::files;
use super::folder::Folder;
use super::links::LiveLinks;
use super::switch::note;
use super::{Kind, LockedStore, StoreError};
use crate::{LineageName, Version};

/// certbot's number of versions before the current one.
const KEPT_BEFORE_CURRENT: usize = 5;

impl LockedStore {
    /// Removes the files of the four kinds that belong to older versions. Whatever a live link of any lineage, or a link
    /// among the kept files (certbot once shared keys so), leads to, stays.
    pub(crate) fn remove_old_versions(
        &self,
        name: &LineageName,
        live: &LiveLinks,
        dirs: &[PathBuf; 4],
        current: Version,
        leftovers: &mut Vec<String>,
    ) {
        match self.old_files(name, live, dirs, current) {
            Ok(old) => {
                for path in old {
                    note(leftovers, Folder::of(&path).and_then(|(folder, name)| folder.remove(name)));
                }
            }
            Err(error) => leftovers.push(error.to_string()),
        }
    }

    fn old_files(
        &self,
        name: &LineageName,
        live: &LiveLinks,
        dirs: &[PathBuf; 4],
        current: Version,
    ) -> Result<Vec<PathBuf>, StoreError> {
        let mut found: Vec<(Version, PathBuf)> = Vec::new();
        let mut kinds: BTreeMap<Version, usize> = BTreeMap::new();
        for (kind, dir) in Kind::ALL.iter().zip(dirs) {
            for file in files::list(dir)?.unwrap_or_default() {
                let Some(version) = file.to_str().and_then(|file| kind.version_of(file)) else { continue };
                *kinds.entry(version).or_default() += 1;
                found.push((version, dir.join(file)));
            }
        }
        let mut complete = kinds.into_iter().rev().filter(|(version, kinds)| *version < current && *kinds == 4);
        let Some((oldest_kept, _)) = complete.nth(KEPT_BEFORE_CURRENT - 1) else { return Ok(Vec::new()) };
        if found.iter().all(|(version, _)| *version >= oldest_kept) {
            return Ok(Vec::new());
        }
        let known = self.known_in_use()?;
        let mut in_use = known.files_of_others(dirs, name);
        for dir in dirs {
            in_use.extend(known.needed(self.paths(), dir, name).copies()?);
        }
        in_use.extend(self.store().files_of(name)?);
        in_use.extend(Kind::ALL.iter().filter_map(|kind| fs::canonicalize(live.path(*kind)).ok()));
        for (version, path) in &found {
            if *version >= oldest_kept {
                in_use.extend(fs::canonicalize(path));
            }
        }
        let is_old = |(version, path): &(Version, PathBuf)| {
            *version < oldest_kept
                && !in_use.contains(path)
                && fs::canonicalize(path).map_or(true, |real| real == *path || !in_use.contains(&real))
        };
        Ok(found.into_iter().filter(is_old).map(|(_, path)| path).collect())
    }
}
