//! certkit's memory: state and history files.

use super::{LockedStore, Store, StoreError};
use crate::state::{LineageState, RecordedEvent};
use crate::{Finding, LineageName};

impl Store {
    /// What is remembered of a lineage. A missing file is an empty memory; a damaged one too, with a finding.
    pub fn state(&self, _name: &LineageName) -> Result<(LineageState, Option<Finding>), StoreError> {
        todo!()
    }

    /// The recorded events of a lineage, oldest first; lines that cannot be read are skipped.
    pub fn history(&self, _name: &LineageName) -> Result<Vec<RecordedEvent>, StoreError> {
        todo!()
    }

    /// The lineages of which there is a memory, also those that do not exist any more, sorted.
    pub fn remembered(&self) -> Result<Vec<LineageName>, StoreError> {
        todo!()
    }
}

impl LockedStore {
    /// Writes a lineage's state, durably.
    pub fn save_state(&self, _name: &LineageName, _state: &LineageState) -> Result<(), StoreError> {
        todo!()
    }

    /// Appends events to a lineage's history; the oldest are dropped when it grows beyond its bound.
    pub fn append_history(&self, _name: &LineageName, _events: &[RecordedEvent]) -> Result<(), StoreError> {
        todo!()
    }
}
