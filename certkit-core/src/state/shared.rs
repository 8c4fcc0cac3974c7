//! A memory that many hold.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, LazyLock};

use super::LineageState;

/// What is remembered of a lineage, shared by whoever looks at it: each is looked at again and again, and there may be
/// thousands. Whoever changes it gets a copy of his own where others hold it too. All of whom nothing is remembered share
/// the same nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedState(Arc<LineageState>);

static NOTHING: LazyLock<Arc<LineageState>> = LazyLock::new(Arc::default);

impl Default for SharedState {
    fn default() -> Self {
        Self(Arc::clone(&NOTHING))
    }
}

impl From<LineageState> for SharedState {
    fn from(state: LineageState) -> Self {
        if state == **NOTHING { Self::default() } else { Self(Arc::new(state)) }
    }
}

impl Deref for SharedState {
    type Target = LineageState;

    fn deref(&self) -> &LineageState {
        &self.0
    }
}

impl DerefMut for SharedState {
    fn deref_mut(&mut self) -> &mut LineageState {
        Arc::make_mut(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_held_once_and_what_others_hold_is_not_changed() {
        let (one, other) = (SharedState::from(LineageState::default()), SharedState::default());
        assert!(Arc::ptr_eq(&one.0, &other.0));
        let mut known = one.clone();
        known.consecutive_failures = 1;
        assert_eq!((one.consecutive_failures, known.consecutive_failures), (0, 1));
        let held = known.clone();
        assert!(Arc::ptr_eq(&held.0, &known.0));
        known.consecutive_failures = 2;
        assert_eq!((held.consecutive_failures, known.consecutive_failures), (1, 2));
    }
}
