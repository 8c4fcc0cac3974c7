//! What the owner was told, while the store cannot be written: kept in another folder, so that the same is not told by
//! every run.
//!
//! It is the whole memory of notices as it would have been written, and says which one of the store's it takes the place of:
//! whatever writes to the store meanwhile, or puts it back from a backup, makes it void. It needs no lock: of two runs at the
//! same time each leaves a whole file, and one of them is forgotten.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::files::{self, Attributes};
use super::records::content_of;
use super::{LockedStore, Store, StoreError, StorePaths};
use crate::state::DeliveryMemory;
use crate::{Finding, NoticeMemory};

/// What the owner was told, and what still has to be delivered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ToldMemory {
    /// What was told.
    pub notices: NoticeMemory,
    /// What was delivered to whom, and what waits.
    pub deliveries: DeliveryMemory,
}

/// The folders that stand in for the store, in the order in which they are tried, and after them this value itself: whoever
/// runs for long has a memory although nothing can be written.
#[derive(Debug)]
pub struct SpareMemory {
    files: Vec<PathBuf>,
    here: Mutex<Option<Spare>>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Spare {
    /// What the store's own files held; none where one could not be read.
    instead_of: Vec<Option<String>>,
    told: ToldMemory,
}

impl SpareMemory {
    /// In the work dir, then in the logs dir, then in the further folders: they are often on other file systems.
    pub fn new(paths: &StorePaths, further: &[PathBuf]) -> Self {
        // Several trees may have such a folder in common.
        let tree = Sha256::digest(paths.config_dir.as_os_str().as_encoded_bytes());
        let tree: String = tree.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let folders = [&paths.work_dir, &paths.logs_dir].into_iter().chain(further);
        let files = folders.map(|folder| folder.join(format!("certkit-told-{tree}.json"))).collect();
        Self { files, here: Mutex::default() }
    }

    /// What was kept, where it is still newer than what the store has.
    pub fn read(&self, store: &Store) -> Option<ToldMemory> {
        let present = marks(store);
        let in_files = self.files.iter().filter_map(|file| Some(store.memory::<Spare>(file).ok()?.0));
        let mut kept = self.here().clone().into_iter().chain(in_files);
        kept.find(|spare| spare.stands_in_for(&present)).map(|spare| spare.told)
    }

    /// Whether [`SpareMemory::read`] gives what no file holds.
    pub fn is_kept_here(&self, store: &Store) -> bool {
        self.here().as_ref().is_some_and(|spare| spare.stands_in_for(&marks(store)))
    }

    /// Keeps it in the first folder that can be written; here, where none can be: then the error is that of the last one.
    pub fn write(&self, store: &Store, told: &ToldMemory) -> Result<PathBuf, StoreError> {
        let spare = Spare { instead_of: marks(store), told: told.clone() };
        let mut last = None;
        for (at, file) in self.files.iter().enumerate() {
            match write(file, &spare) {
                Ok(()) => {
                    self.files.iter().enumerate().filter(|(other, _)| *other != at).for_each(|(_, file)| remove(file));
                    *self.here() = None;
                    return Ok(file.clone());
                }
                Err(error) => last = Some(error),
            }
        }
        *self.here() = Some(spare);
        let none = || StoreError::new("write", &store.paths().work_dir, std::io::Error::other("no folder is known"));
        Err(last.unwrap_or_else(none))
    }

    /// Forgets it: the store has it again.
    pub fn forget(&self) {
        *self.here() = None;
        self.files.iter().for_each(|file| remove(file));
    }

    fn here(&self) -> MutexGuard<'_, Option<Spare>> {
        // A whole value is replaced by another: a panic elsewhere spoils nothing.
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// What the owner was told by this store's own memory; each file that is damaged is empty, with a finding.
    pub fn told(&self) -> Result<(ToldMemory, Vec<Finding>), StoreError> {
        let (notices, damaged) = self.notice_memory()?;
        let (deliveries, lost) = self.deliveries()?;
        Ok((ToldMemory { notices, deliveries }, damaged.into_iter().chain(lost).collect()))
    }
}

impl LockedStore {
    /// Writes what the owner was told, durably.
    pub fn save_told(&self, told: &ToldMemory) -> Result<(), StoreError> {
        self.save_notice_memory(&told.notices)?;
        self.save_deliveries(&told.deliveries)
    }
}

impl Spare {
    /// What could not be read then, or cannot now, may be the same.
    fn stands_in_for(&self, present: &[Option<String>]) -> bool {
        let is_other = |(then, now): (&Option<String>, &Option<String>)| then.is_some() && now.is_some() && then != now;
        self.instead_of.len() == present.len() && !self.instead_of.iter().zip(present).any(is_other)
    }
}

/// What tells one state of the store's memory from another.
fn marks(store: &Store) -> Vec<Option<String>> {
    let paths = store.paths();
    let mark = |file: &PathBuf| {
        let content = files::read_if_there(file).ok()?.unwrap_or_default();
        Some(data_encoding::HEXLOWER.encode(&Sha256::digest(content)))
    };
    [paths.notices_file(), paths.deliveries_file()].iter().map(mark).collect()
}

fn write(file: &Path, spare: &Spare) -> Result<(), StoreError> {
    if let Some(folder) = file.parent() {
        files::ensure_dir(folder, 0o700)?;
    }
    files::make_way_for_file(file)?;
    files::replace(file, &content_of(file, spare)?, &Attributes::ours(file))
}

/// One that cannot be removed is void once the store is written.
fn remove(file: &Path) {
    let _ = files::remove_file(file);
}
