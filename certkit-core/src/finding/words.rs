//! What every kind of finding has.

use super::Severity;

/// How bad it is, and the words for it: sentences without a full stop.
pub(super) struct Words {
    pub(super) severity: Severity,
    /// What is wrong.
    pub(super) what: &'static str,
    /// Why it matters.
    pub(super) why: &'static str,
    /// What to do about it.
    pub(super) cure: &'static str,
}
