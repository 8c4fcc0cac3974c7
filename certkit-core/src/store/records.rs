//! certkit's memory: `certkit/state/NAME.json` and `certkit/state/history/NAME.jsonl`.
//!
//! Both can be deleted; that costs only the memory of the past. The state is replaced as a whole, the history is
//! appended to, so a crash can tear its last line, which is then skipped.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::files::{self, Attributes};
use super::{LockedStore, Store, StoreError};
use crate::state::{DeliveryMemory, Ledger, LineageState, RecordedEvent};
use crate::{Finding, FindingCode, LineageName, NoticeMemory};

/// The format that this version writes. A file with a greater number is not understood, and is not overwritten by
/// reading it.
const SCHEMA: u32 = 1;

/// A history beyond this is rewritten with its newest half: some ten years of daily renewals.
const MAX_HISTORY_BYTES: u64 = 1024 * 1024;

#[derive(Serialize, Deserialize)]
struct StateFile<S> {
    schema: u32,
    state: S,
}

#[derive(Deserialize)]
struct Schema {
    schema: u32,
}

impl Store {
    /// What is remembered of a lineage. A missing file is an empty memory; a damaged one too, with a finding.
    pub fn state(&self, name: &LineageName) -> Result<(LineageState, Option<Finding>), StoreError> {
        self.memory(&self.paths().state_file(name))
    }

    /// What was asked of the CAs. A missing file is an empty memory; a damaged one too, with a finding.
    pub fn ledger(&self) -> Result<(Ledger, Option<Finding>), StoreError> {
        self.memory(&self.paths().ledger_file())
    }

    /// What was told to whom, and what still has to be. A missing file is an empty memory; a damaged one too, with a
    /// finding.
    pub fn deliveries(&self) -> Result<(DeliveryMemory, Option<Finding>), StoreError> {
        self.memory(&self.paths().deliveries_file())
    }

    /// What the owner was told. A missing file is an empty memory; a damaged one too, with a finding: what was told is then
    /// told again.
    pub fn notice_memory(&self) -> Result<(NoticeMemory, Option<Finding>), StoreError> {
        self.memory(&self.paths().notices_file())
    }

    /// The random number of this machine, when one was stored ([`LockedStore::save_seed`]).
    pub fn seed(&self) -> Result<Option<Vec<u8>>, StoreError> {
        files::read_if_there(&self.paths().seed_file())
    }

    pub(crate) fn memory<S: Default + DeserializeOwned>(
        &self,
        path: &Path,
    ) -> Result<(S, Option<Finding>), StoreError> {
        let damaged = |why: String| {
            let subject = self.paths().relative(path).display().to_string();
            Ok((S::default(), Some(Finding::new(FindingCode::StateDamaged, subject, why))))
        };
        let content = match files::read_if_there(path) {
            Ok(Some(content)) => content,
            Ok(None) => return Ok((S::default(), None)),
            Err(error) if files::is_damage(&error.source) => return damaged(error.source.to_string()),
            Err(error) => return Err(error),
        };
        match serde_json::from_slice::<Schema>(&content) {
            Ok(Schema { schema }) if schema > SCHEMA => {
                return damaged(format!("it was written by a newer certkit (schema {schema})"));
            }
            Ok(_) => {}
            Err(error) => return damaged(error.to_string()),
        }
        match serde_json::from_slice::<StateFile<S>>(&content) {
            Ok(file) => Ok((file.state, None)),
            Err(error) => damaged(error.to_string()),
        }
    }

    /// The recorded events of a lineage, oldest first; lines that cannot be read are skipped.
    pub fn history(&self, name: &LineageName) -> Result<Vec<RecordedEvent>, StoreError> {
        let content = read_history(&self.paths().history_file(name))?;
        Ok(content.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
    }

    /// The lineages of which there is a memory, also those that do not exist any more, sorted.
    pub fn remembered(&self) -> Result<Vec<LineageName>, StoreError> {
        let state = self.paths().own_dir().join("state");
        let mut names = BTreeSet::new();
        for (dir, suffix) in [(state.clone(), ".json"), (state.join("history"), ".jsonl")] {
            for file in files::list(&dir)?.unwrap_or_default() {
                let name = file.to_str().and_then(|file| file.strip_suffix(suffix));
                names.extend(name.and_then(|name| LineageName::new(name).ok()));
            }
        }
        Ok(names.into_iter().collect())
    }
}

impl LockedStore {
    /// Writes a lineage's state, durably. A state that tells of the version that was committed last ends its journal
    /// (see [`LockedStore::recover`]).
    pub fn save_state(&self, name: &LineageName, state: &LineageState) -> Result<(), StoreError> {
        let _writing = self.writing();
        self.save_memory(&self.paths().state_file(name), state)?;
        // The state is durable; where this fails, the next run does it.
        let _ = self.end_journal(name, state);
        Ok(())
    }

    /// Writes what was asked of the CAs, durably. Gives the size in bytes.
    pub fn save_ledger(&self, ledger: &Ledger) -> Result<usize, StoreError> {
        let _writing = self.writing();
        self.save_memory(&self.paths().ledger_file(), ledger)
    }

    /// Writes what was told to whom, durably.
    pub fn save_deliveries(&self, memory: &DeliveryMemory) -> Result<(), StoreError> {
        let _writing = self.writing();
        self.save_memory(&self.paths().deliveries_file(), memory).map(|_| ())
    }

    /// Writes what the owner was told, durably.
    pub fn save_notice_memory(&self, memory: &NoticeMemory) -> Result<(), StoreError> {
        let _writing = self.writing();
        self.save_memory(&self.paths().notices_file(), memory).map(|_| ())
    }

    /// Keeps a random number for machines without an id of their own.
    pub fn save_seed(&self, seed: &[u8]) -> Result<(), StoreError> {
        let _writing = self.writing();
        let path = self.paths().seed_file();
        ensure_dir_of(self, &path)?;
        files::make_way_for_file(&path)?;
        files::replace(&path, seed, &Attributes::ours(&path))
    }

    fn save_memory<S: Serialize>(&self, path: &Path, state: &S) -> Result<usize, StoreError> {
        ensure_dir_of(self, path)?;
        let content = content_of(path, state)?;
        self.make_way_for_state(path)?;
        files::replace(path, &content, &Attributes::ours(path))?;
        Ok(content.len())
    }

    /// A newer certkit's memory is kept beside, so that it can be put back; a directory is no memory.
    fn make_way_for_state(&self, path: &Path) -> Result<(), StoreError> {
        files::make_way_for_file(path)?;
        let old = match files::read_if_there(path) {
            Ok(old) => old.unwrap_or_default(),
            Err(error) if files::is_damage(&error.source) => return Ok(()),
            Err(error) => return Err(error),
        };
        match serde_json::from_slice::<Schema>(&old) {
            Ok(Schema { schema }) if schema > SCHEMA => files::set_aside(path).map(|_| ()),
            _ => Ok(()),
        }
    }

    /// Appends events to a lineage's history; the oldest are dropped when it grows beyond its bound (1 MiB).
    pub fn append_history(&self, name: &LineageName, events: &[RecordedEvent]) -> Result<(), StoreError> {
        let _writing = self.writing();
        if events.is_empty() {
            return Ok(());
        }
        let path = self.paths().history_file(name);
        ensure_dir_of(self, &path)?;
        files::make_way_for_file(&path)?;
        let mut lines = Vec::new();
        for event in events {
            serde_json::to_writer(&mut lines, event)
                .map_err(|error| StoreError::new("write", &path, io::Error::from(error)))?;
            lines.push(b'\n');
        }
        let length = files::lstat(&path)?.map(|meta| meta.len());
        match length {
            None => files::replace(&path, &lines, &Attributes::ours(&path)),
            Some(length) if length + lines.len() as u64 <= MAX_HISTORY_BYTES => append(&path, &lines),
            Some(_) => {
                let old = read_history(&path)?;
                let mut content = newest_half(&old).to_vec();
                if content.last().is_some_and(|byte| *byte != b'\n') {
                    content.push(b'\n');
                }
                content.extend_from_slice(&lines);
                files::replace(&path, &content, &Attributes::ours(&path))
            }
        }
    }
}

/// What a file of memory holds.
pub(crate) fn content_of(path: &Path, state: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    let mut content = serde_json::to_vec_pretty(&StateFile { schema: SCHEMA, state })
        .map_err(|error| StoreError::new("write", path, io::Error::from(error)))?;
    content.push(b'\n');
    Ok(content)
}

fn ensure_dir_of(store: &LockedStore, path: &Path) -> Result<(), StoreError> {
    path.parent().map_or(Ok(()), |dir| files::ensure_own_dir(&store.paths().own_dir(), dir))
}

fn append(path: &Path, lines: &[u8]) -> Result<(), StoreError> {
    let mut file = fs::OpenOptions::new()
        .read(true)
        .append(true)
        .custom_flags((OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK).bits() as i32)
        .open(path)
        .map_err(|error| StoreError::new("open", path, error))?;
    let write = |error| StoreError::new("write", path, error);
    let mut last = [b'\n'];
    if file.metadata().map_err(write)?.len() > 0 {
        file.seek(SeekFrom::End(-1)).and_then(|_| file.read_exact(&mut last)).map_err(write)?;
    }
    // A line that a crash tore must not swallow the next one.
    let mut content = if last == [b'\n'] { Vec::new() } else { vec![b'\n'] };
    content.extend_from_slice(lines);
    file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(write)?;
    file.write_all(&content).map_err(write)?;
    file.sync_all().map_err(|error| StoreError::new("sync", path, error))
}

/// The end of a history; none there is empty.
fn read_history(path: &Path) -> Result<Vec<u8>, StoreError> {
    let read = |error| StoreError::new("read", path, error);
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK).bits() as i32)
        .open(path);
    let mut file = match file {
        Ok(file) => file,
        Err(error) if files::is_absence(&error) => return Ok(Vec::new()),
        // The next event makes way for a file in place of a socket or a link.
        Err(_) if files::lstat(path)?.is_some_and(|meta| !meta.is_file()) => return Ok(Vec::new()),
        Err(error) => return Err(read(error)),
    };
    let meta = file.metadata().map_err(read)?;
    if !meta.is_file() {
        return Ok(Vec::new());
    }
    let length = meta.len();
    file.seek(SeekFrom::Start(length.saturating_sub(2 * MAX_HISTORY_BYTES))).map_err(read)?;
    let mut content = Vec::new();
    file.take(2 * MAX_HISTORY_BYTES).read_to_end(&mut content).map_err(read)?;
    Ok(content)
}

/// The last whole lines, at most half of the bound.
fn newest_half(content: &[u8]) -> &[u8] {
    let start = content.len().saturating_sub(MAX_HISTORY_BYTES as usize / 2);
    if start == 0 {
        return content;
    }
    let tail = content.get(start..).unwrap_or_default();
    let line = tail.iter().position(|byte| *byte == b'\n').map_or(tail.len(), |at| at + 1);
    tail.get(line..).unwrap_or_default()
}
