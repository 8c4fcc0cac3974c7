//! Files and folders under temporary names that belong to nothing any more.

use std::collections::BTreeSet;
use std::path::Path;

use super::Recovered;
use crate::store::files;
use crate::store::{LockedStore, StoreError};
use crate::{Finding, FindingCode, LineageName};

impl LockedStore {
    /// Removes them, but for those of `unfinished` lineages. One that cannot be removed is a finding.
    pub(super) fn remove_leftovers(
        &self,
        unfinished: &BTreeSet<LineageName>,
        found: &mut Vec<Recovered>,
    ) -> Result<(), StoreError> {
        let paths = self.paths();
        let own = paths.own_dir();
        let mut dirs = vec![paths.renewal_dir(), paths.archive_dir(), paths.live_dir(), own.clone()];
        // A half-made account directory and a half-written journal of a new account key hold a key that nobody knows.
        dirs.push(self.store().accounts_dir());
        dirs.extend(
            ["state", "state/history", "pending", "commit", "aside", "rollover", "deleting"].map(|dir| own.join(dir)),
        );
        let aside = own.join("aside");
        dirs.extend(files::list(&aside)?.unwrap_or_default().iter().map(|name| aside.join(name)));
        let mut removed = 0_usize;
        for dir in dirs {
            for file in files::list(&dir)?.unwrap_or_default() {
                let Some(of) = files::temp_of(&file).or_else(|| files::sibling_of(&file)) else { continue };
                let name = LineageName::new(of.strip_suffix(".conf").unwrap_or(of));
                if name.is_ok_and(|name| unfinished.contains(&name)) {
                    continue;
                }
                match remove(&dir.join(&file)) {
                    Ok(()) => removed += 1,
                    Err(error) => found.push(unremovable(&error)),
                }
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

    /// Second live folders of lineages that another tool deleted.
    fn remove_folders_of_nobody(&self, found: &mut Vec<Recovered>) -> Result<(), StoreError> {
        for file in files::list(&self.paths().own_dir())?.unwrap_or_default() {
            let name = file.to_str().and_then(|file| file.strip_prefix("switched."));
            let Some(Ok(name)) = name.map(LineageName::new) else { continue };
            if files::lstat(&self.paths().conf(&name))?.is_none()
                && let Err(error) = files::remove_flat_dir(&self.paths().switched(&name))
            {
                found.push(unremovable(&error));
            }
        }
        Ok(())
    }
}

fn remove(path: &Path) -> Result<(), StoreError> {
    if files::lstat(path)?.is_some_and(|meta| meta.is_dir()) {
        files::remove_flat_dir(path)?;
    } else {
        files::remove_file(path)?;
    }
    Ok(())
}

fn unremovable(error: &StoreError) -> Recovered {
    let finding = Finding::new(FindingCode::Unreadable, error.path.display().to_string(), error.to_string());
    Recovered { finding, name: None, made_live: None }
}
