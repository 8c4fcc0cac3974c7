//! Versions that are links to versions of another lineage: those are the only copies.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::deletion::versions_in;
use super::in_use::{InUse, Used, real};
use super::way::steps;
use super::{StoreError, StorePaths, files};
use crate::words::shell_word;

/// The command that lists the links among the archives whose text leads into this folder.
pub(crate) fn find_links_into(folder: &Path, paths: &StorePaths) -> String {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let literal: String =
        name.chars().flat_map(|c| matches!(c, '*' | '?' | '[' | '\\').then_some('\\').into_iter().chain([c])).collect();
    let top = shell_word(&paths.archive_dir().to_string_lossy());
    format!("find -H {top} -lname {}", shell_word(&format!("*{literal}/*")))
}

impl InUse {
    /// The versions in a directory (without links in its path) that versions in other directories are links to, or lead
    /// through. All archives are looked through when this is first asked for.
    pub(super) fn led_to(&self, paths: &StorePaths, dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
        let led = match self.led.get() {
            Some(led) => led,
            None => {
                let led = self.led_by_versions(paths)?;
                self.led.get_or_init(|| led)
            }
        };
        Ok(led.iter().filter(|path| path.parent() == Some(dir)).cloned().collect())
    }

    fn led_by_versions(&self, paths: &StorePaths) -> Result<BTreeSet<PathBuf>, StoreError> {
        let top = paths.archive_dir();
        let mut archives = BTreeSet::new();
        for name in files::list(&top)?.unwrap_or_default() {
            archives.extend(real(&top.join(name))?);
        }
        archives.extend(self.uses.iter().filter_map(|one| match &one.what {
            Used::Archive(path) => Some(path.clone()),
            Used::File(path) => path.parent().map(Path::to_owned),
            Used::Link(_) => None,
        }));
        let mut led = BTreeSet::new();
        for archive in archives.iter().filter(|archive| archive.is_dir()) {
            for link in versions_in(archive)?.into_iter().filter(|file| file.is_symlink()) {
                led.extend(steps(&link)?.into_iter().filter(|step| step.parent() != Some(archive.as_path())));
            }
        }
        Ok(led)
    }
}
