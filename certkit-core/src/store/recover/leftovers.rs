//! Files and folders under temporary names that belong to nothing any more.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Recovered;
use crate::store::carry::discard_switched;
use crate::store::files;
use crate::store::folder::Folder;
use crate::store::{LockedStore, Store, StoreError};
use crate::{Finding, FindingCode, LineageName};

/// How deep what repairs have saved is looked through: its folder, and the tree in it.
const MAX_DEPTH: usize = 12;

/// The folders of `certkit/` that are written by this program alone, each after the one that it lies in.
const MACHINES_FOLDERS: [&str; 8] =
    ["state", "state/common", "state/history", "pending", "commit", "aside", "rollover", "deleting"];

impl Store {
    /// All of them, but for those of `unfinished` lineages.
    pub(crate) fn leftovers(&self, unfinished: &BTreeSet<LineageName>) -> Result<Vec<PathBuf>, StoreError> {
        let paths = self.paths();
        let own = paths.own_dir();
        let mut dirs = vec![paths.renewal_dir(), paths.archive_dir(), paths.live_dir(), own.clone()];
        // A half-made account directory and a half-written journal of a new account key hold a key that nobody knows.
        dirs.push(self.accounts_dir());
        dirs.extend(MACHINES_FOLDERS.map(|dir| own.join(dir)));
        let aside = own.join("aside");
        dirs.extend(files::list_own(&aside)?.iter().map(|name| aside.join(name)));
        dirs.extend(folders_below(&paths.saved_dir(), MAX_DEPTH)?);
        let mut found = Vec::new();
        for dir in dirs {
            // certbot's folders may well be links.
            let is_ours = dir.starts_with(&own) && dir != own;
            let files = if is_ours { files::list_own(&dir)? } else { files::list(&dir)?.unwrap_or_default() };
            for file in files {
                let Some(of) = files::temp_of(&file).or_else(|| files::sibling_of(&file)) else { continue };
                let name = LineageName::new(of.strip_suffix(".conf").unwrap_or(of));
                // No commit finishes what a repair was saving.
                let name = name.ok().filter(|_| !dir.starts_with(paths.saved_dir()));
                let file = dir.join(&file);
                // Where `archive` is a link into another tree, that one's run may be making it.
                if !name.is_some_and(|name| unfinished.contains(&name)) && paths.another_tree(&file).is_none() {
                    found.push(file);
                }
            }
        }
        Ok(found)
    }
}

impl LockedStore {
    /// Sets aside what is in the place of one of our folders and is none: a link above all, or what is removed and written
    /// below would be somebody else's, wherever the link leads.
    pub(super) fn set_aside_what_is_no_folder(&self, found: &mut Vec<Recovered>) -> Result<(), StoreError> {
        for folder in MACHINES_FOLDERS {
            let path = self.paths().own_dir().join(folder);
            if let Some(aside) = files::make_way_for_dir(&path)? {
                let subject = self.paths().relative(&path).display().to_string();
                let evidence = format!("it is not a folder, and is called {} now", aside.display());
                let finding = Finding::new(FindingCode::StateDamaged, subject, evidence);
                found.push(Recovered { finding, name: None, made_live: None });
            }
        }
        Ok(())
    }

    /// Removes them, but for those of `unfinished` lineages. One that cannot be removed is a finding.
    pub(super) fn remove_leftovers(
        &self,
        unfinished: &BTreeSet<LineageName>,
        found: &mut Vec<Recovered>,
    ) -> Result<(), StoreError> {
        let mut removed = 0_usize;
        for path in self.store().leftovers(unfinished)? {
            match remove(&path) {
                Ok(()) => removed += 1,
                Err(error) => found.push(unremovable(&error)),
            }
        }
        if removed > 0 {
            let finding =
                Finding::new(FindingCode::InterruptedCommit, "certkit", format!("{removed} temporary files removed"));
            found.push(Recovered { finding, name: None, made_live: None });
        }
        self.remove_damaged_orders(found)?;
        self.remove_folders_of_nobody(found)
    }

    /// A pending order that cannot be read is of no use: its URL or its key is lost.
    fn remove_damaged_orders(&self, found: &mut Vec<Recovered>) -> Result<(), StoreError> {
        for name in self.store().pending_names()? {
            match self.store().pending(&name) {
                Ok(Some(_)) => {}
                Ok(None) => {
                    let is_reserved_only = self.store().holds_reserved_key_only(&name);
                    if let Err(error) = self.remove_pending(&name) {
                        found.push(Recovered::failed(&name, &error));
                        continue;
                    }
                    if is_reserved_only {
                        continue;
                    }
                    let subject = self.paths().relative(&self.paths().pending(&name)).display().to_string();
                    let evidence = "an order under way could not be read, and was removed";
                    let finding = Finding::new(FindingCode::StateDamaged, subject, evidence);
                    found.push(Recovered { finding, name: Some(name), made_live: None });
                }
                Err(error) => found.push(Recovered::failed(&name, &error)),
            }
        }
        Ok(())
    }

    /// Second live folders of lineages that another tool deleted, and what is remembered of them.
    fn remove_folders_of_nobody(&self, found: &mut Vec<Recovered>) -> Result<(), StoreError> {
        for file in files::list(&self.paths().own_dir())?.unwrap_or_default() {
            let name =
                file.to_str().and_then(|file| file.strip_prefix("switched.").or_else(|| file.strip_prefix("carried.")));
            let Some(Ok(name)) = name.map(LineageName::new) else { continue };
            if files::lstat(&self.paths().conf(&name))?.is_some() {
                continue;
            }
            match discard_switched(self.paths(), &name) {
                Ok(aside) => {
                    for file in aside {
                        let file = self.paths().relative(&file).display().to_string();
                        let evidence = format!("what somebody has put into certkit/switched.{name} is kept as {file}");
                        found.push(Recovered::new(FindingCode::PutRight, &name, evidence, None));
                    }
                }
                Err(error) => found.push(unremovable(&error)),
            }
        }
        Ok(())
    }
}

/// A folder and those in it, links not followed.
fn folders_below(dir: &Path, depth: usize) -> Result<Vec<PathBuf>, StoreError> {
    let mut found = vec![dir.to_owned()];
    if depth > 0 {
        for name in files::list(dir)?.unwrap_or_default() {
            let path = dir.join(name);
            if files::lstat(&path)?.is_some_and(|meta| meta.is_dir()) {
                found.extend(folders_below(&path, depth - 1)?);
            }
        }
    }
    Ok(found)
}

/// Removes a temporary file, or a folder of such files.
pub(crate) fn remove(path: &Path) -> Result<(), StoreError> {
    if files::lstat(path)?.is_some_and(|meta| meta.is_dir()) {
        files::remove_flat_dir(path)?;
    } else {
        let (folder, name) = Folder::led_to(path)?;
        folder.remove(name)?;
    }
    Ok(())
}

fn unremovable(error: &StoreError) -> Recovered {
    let finding = Finding::new(FindingCode::Unreadable, error.path.display().to_string(), error.to_string());
    Recovered { finding, name: None, made_live: None }
}
