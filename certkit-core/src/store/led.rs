//! Versions that are links to versions of another lineage: those are the only copies.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::deletion::versions_in;
use super::in_use::{InUse, Used, real, shown};
use super::way::steps;
use super::{StoreError, StorePaths, files};
use crate::words::shell_word;

/// A link among the versions in another directory.
#[derive(Debug)]
pub(super) struct Leader {
    /// The name of that directory, for people.
    pub(super) by: String,
    pub(super) link: PathBuf,
}

/// So many links are named where no command lists them; with these gone the next ones are.
const MOST_NAMED: usize = 8;

/// How to find these links into a folder: by the command that lists the links among the archives whose text leads there, or,
/// where they lead there through something else or lie elsewhere, by their names.
pub(crate) fn found_by(links: &BTreeSet<PathBuf>, folder: &Path, paths: &StorePaths) -> String {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let archives = real(&paths.archive_dir()).ok().flatten();
    let is_listed = |link: &PathBuf| {
        let text = link.read_link().unwrap_or_default();
        text.to_string_lossy().contains(&format!("{name}/"))
            && archives.as_ref().is_some_and(|archives| link.starts_with(archives))
    };
    if !links.iter().all(is_listed) {
        let named: Vec<_> = links.iter().take(MOST_NAMED).map(|link| shell_word(&link.to_string_lossy())).collect();
        let more = links.len().saturating_sub(MOST_NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        return format!("which are: {}{more}", named.join(" "));
    }
    let literal: String =
        name.chars().flat_map(|c| matches!(c, '*' | '?' | '[' | '\\').then_some('\\').into_iter().chain([c])).collect();
    let top = shell_word(&paths.archive_dir().to_string_lossy());
    format!("which this lists: find -H {top} -lname {}", shell_word(&format!("*{literal}/*")))
}

impl InUse {
    /// What links among the versions in other directories lead to, or through, each with all that do. All archives are looked
    /// through when this is first asked for.
    pub(super) fn led(&self, paths: &StorePaths) -> Result<&BTreeMap<PathBuf, Vec<Leader>>, StoreError> {
        if let Some(led) = self.led.get() {
            return Ok(led);
        }
        let led = self.led_by_versions(paths)?;
        Ok(self.led.get_or_init(|| led))
    }

    fn led_by_versions(&self, paths: &StorePaths) -> Result<BTreeMap<PathBuf, Vec<Leader>>, StoreError> {
        let top = paths.archive_dir();
        let mut archives = BTreeSet::new();
        for name in files::list(&top)?.unwrap_or_default() {
            archives.extend(real(&top.join(name))?);
        }
        archives.extend(self.uses.iter().filter_map(|one| match &one.what {
            Used::Archive(path) => Some(path.clone()),
            Used::File(path) => path.parent().map(Path::to_owned),
            Used::Link(_) | Used::Folder(_) => None,
        }));
        let mut led: BTreeMap<PathBuf, Vec<Leader>> = BTreeMap::new();
        for archive in archives.iter().filter(|archive| archive.is_dir()) {
            let by = shown(archive.file_name().unwrap_or_default());
            for link in versions_in(archive)?.into_iter().filter(|file| file.is_symlink()) {
                let elsewhere = steps(&link)?.into_iter().filter(|step| !step.starts_with(archive));
                for step in elsewhere {
                    led.entry(step).or_default().push(Leader { by: by.clone(), link: link.clone() });
                }
            }
        }
        Ok(led)
    }
}
