//! What is inconsistent in the tree.

use super::{Store, StoreError};
use crate::Finding;

impl Store {
    /// Every inconsistency that can be seen without asking anybody: orphans, mixed links, interrupted switches, newer
    /// versions that are not live, pending orders, readable keys, certificates set aside, damaged state files.
    /// Broken lineages are among them.
    pub fn audit(&self) -> Result<Vec<Finding>, StoreError> {
        todo!()
    }
}
