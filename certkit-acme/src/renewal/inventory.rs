//! The run's only way to the store: a handful of async methods; the blocking work happens on the blocking pool.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use certkit_core::state::{Event, Ledger, LineageState, RecordedEvent, SharedState};
use certkit_core::store::{
    CommitError, Committed, ConfEdits, ConfPlan, LiveSwitch, LockError, LockedStore, Pending, PendingOrder, Recovered,
    Store, StoreError, VerifiedVersion,
};
use certkit_core::{Failure, Finding, KeyMath, LineageName, PrivateKey, Version};
use chrono::{DateTime, TimeDelta, Utc};

use super::{Mode, Observer};
use crate::Clock;
use crate::blocking::blocking;

/// How often a large ledger is written while a run goes on: it is written at the end in any case.
const LEDGER_PAUSE: TimeDelta = TimeDelta::seconds(5);
/// A ledger of so many bytes is written at every change.
const SMALL_LEDGER_BYTES: usize = 64 * 1024;

/// A locked store, the states of its lineages, and who is told of their changes.
pub(super) struct Inventory {
    locked: Arc<LockedStore>,
    /// Shared with whoever looks at one: there may be thousands, and each is looked at again and again.
    states: Mutex<BTreeMap<LineageName, SharedState>>,
    /// Why the last event of a lineage could not be stored.
    unrecorded: Mutex<BTreeMap<LineageName, Failure>>,
    ledger: Mutex<KeptLedger>,
    observer: Arc<dyn Observer>,
    clock: Arc<dyn Clock>,
    mode: Mode,
}

/// What is remembered of lineages, by who has read it already.
pub(super) type KnownStates = Arc<BTreeMap<LineageName, SharedState>>;

/// What was asked of the CAs, and when that was written last.
#[derive(Default)]
struct KeptLedger {
    ledger: Ledger,
    written: Option<(DateTime<Utc>, usize)>,
    changed: bool,
}

impl Inventory {
    pub(super) async fn lock(
        store: &Store,
        mode: Mode,
        observer: Arc<dyn Observer>,
        clock: Arc<dyn Clock>,
        live_switch: LiveSwitch,
    ) -> Result<Self, LockError> {
        let store = store.clone();
        let locked = blocking(move || store.lock()).await?.with_live_switch(live_switch);
        let (states, unrecorded, ledger) = (Mutex::default(), Mutex::default(), Mutex::default());
        Ok(Self { locked: Arc::new(locked), states, unrecorded, ledger, observer, clock, mode })
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    pub(super) fn is_dry_run(&self) -> bool {
        self.mode != Mode::Real
    }

    pub(super) fn locked(&self) -> &Arc<LockedStore> {
        &self.locked
    }

    /// Puts right what an interrupted run left. A dry run leaves the tree as it is.
    pub(super) async fn recover(&self, math: Arc<dyn KeyMath>) -> Result<Vec<Recovered>, StoreError> {
        if self.is_dry_run() {
            return Ok(Vec::new());
        }
        let (locked, now) = (Arc::clone(&self.locked), self.now());
        blocking(move || locked.recover(math.as_ref(), now)).await
    }

    /// Takes what is remembered of a lineage from its file; the events of this run change it.
    pub(super) fn take_state(&self, name: &LineageName, state: LineageState) -> SharedState {
        let state = SharedState::from(state);
        self.states().insert(name.clone(), state.clone());
        state
    }

    /// Reads what was asked of the CAs in earlier runs. A dry run asks other CAs, or for nothing that counts.
    pub(super) async fn load_ledger(&self) -> Result<Option<Finding>, StoreError> {
        let locked = Arc::clone(&self.locked);
        let (mut ledger, finding) = blocking(move || locked.store().ledger()).await?;
        ledger.prune(self.now());
        self.kept_ledger().ledger = ledger;
        Ok(finding)
    }

    /// What was asked of the CAs, as it is now.
    pub(super) fn ledger<T>(&self, read: impl FnOnce(&mut Ledger) -> T) -> T {
        let mut kept = self.kept_ledger();
        kept.changed = true;
        read(&mut kept.ledger)
    }

    /// Writes it, unless it is large and was written a moment ago.
    pub(super) async fn save_ledger(&self, how: Saving) -> Result<(), StoreError> {
        if self.is_dry_run() {
            return Ok(());
        }
        let now = self.now();
        let ledger = {
            let mut kept = self.kept_ledger();
            let recently = kept
                .written
                .is_some_and(|(at, bytes)| bytes > SMALL_LEDGER_BYTES && now >= at && now - at < LEDGER_PAUSE);
            if !kept.changed || (recently && how == Saving::WhenSmall) {
                return Ok(());
            }
            kept.changed = false;
            kept.ledger.prune(now);
            kept.ledger.clone()
        };
        let locked = Arc::clone(&self.locked);
        let saved = blocking(move || locked.save_ledger(&ledger)).await;
        let mut kept = self.kept_ledger();
        match saved {
            Ok(bytes) => kept.written = Some((now, bytes)),
            // It is still to be written: the next call tries it, and tells when that fails, too.
            Err(error) => {
                kept.changed = true;
                return Err(error);
            }
        }
        Ok(())
    }

    fn kept_ledger(&self) -> std::sync::MutexGuard<'_, KeptLedger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state(&self, name: &LineageName) -> SharedState {
        self.states().get(name).cloned().unwrap_or_default()
    }

    /// What is known of each lineage, where it is stored just so: who reads the store finds the same.
    pub(super) fn stored_states(&self) -> KnownStates {
        let unrecorded = self.kept_unrecorded();
        let states = self.states();
        let stored = states.iter().filter(|(name, _)| !self.is_dry_run() && !unrecorded.contains_key(*name));
        Arc::new(stored.map(|(name, state)| (name.clone(), state.clone())).collect())
    }

    /// Takes an event into account: durable first (but for a dry run), then the observer is told.
    pub(super) async fn record(&self, name: &LineageName, event: Event) -> Result<(), StoreError> {
        let at = self.now();
        if !self.is_dry_run() {
            let (before, state) = {
                let mut states = self.states();
                let state = states.entry(name.clone()).or_default();
                let before = state.clone();
                state.apply(&event, at);
                (before, state.clone())
            };
            // Some events are for the history alone; what could not be stored before still has to be.
            let is_stored = before == state && self.unrecorded(name).is_none();
            let (locked, of, recorded) =
                (Arc::clone(&self.locked), name.clone(), RecordedEvent::new(at, event.clone()));
            let stored = blocking(move || {
                if !is_stored {
                    locked.save_state(&of, &state)?;
                }
                if recorded.event.is_routine() { Ok(()) } else { locked.append_history(&of, &[recorded]) }
            })
            .await;
            match &stored {
                // A state is stored as a whole, and so with what could not be stored before.
                Ok(()) => self.kept_unrecorded().remove(name),
                Err(error) => self.kept_unrecorded().insert(name.clone(), error.failure()),
            };
            stored?;
        }
        self.observer.event(name, &event);
        Ok(())
    }

    /// Why what is known of a lineage is not stored, where that is so.
    pub(super) fn unrecorded(&self, name: &LineageName) -> Option<Failure> {
        self.kept_unrecorded().get(name).cloned()
    }

    fn kept_unrecorded(&self) -> std::sync::MutexGuard<'_, BTreeMap<LineageName, Failure>> {
        self.unrecorded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn pending(&self, name: &LineageName) -> Result<Option<Pending>, StoreError> {
        let (locked, name) = (Arc::clone(&self.locked), name.clone());
        blocking(move || locked.store().pending(&name)).await
    }

    pub(super) async fn reserve(&self, name: &LineageName, key: PrivateKey) -> Result<(), StoreError> {
        let (locked, name) = (Arc::clone(&self.locked), name.clone());
        blocking(move || locked.reserve(&name, &key)).await
    }

    pub(super) async fn begin(
        &self,
        name: &LineageName,
        key: PrivateKey,
        order: PendingOrder,
    ) -> Result<Pending, StoreError> {
        let (locked, name) = (Arc::clone(&self.locked), name.clone());
        blocking(move || locked.begin(&name, &key, order)).await
    }

    pub(super) async fn mark_finalizing(&self, mut pending: Pending) -> Result<Pending, StoreError> {
        let locked = Arc::clone(&self.locked);
        blocking(move || locked.mark_finalizing(&mut pending).map(|()| pending)).await
    }

    pub(super) async fn move_pending(
        &self,
        name: &LineageName,
        from: Option<Version>,
        to: Version,
    ) -> Result<(), StoreError> {
        let (locked, name) = (Arc::clone(&self.locked), name.clone());
        blocking(move || locked.move_pending(&name, from, to)).await
    }

    pub(super) async fn drop_pending(&self, name: &LineageName) -> Result<(), StoreError> {
        let (locked, name) = (Arc::clone(&self.locked), name.clone());
        blocking(move || locked.drop_pending(&name)).await
    }

    pub(super) async fn forget_made_live(&self, name: &LineageName, version: Version) -> Result<(), StoreError> {
        let (locked, name) = (Arc::clone(&self.locked), name.clone());
        blocking(move || locked.forget_made_live(&name, version)).await
    }

    pub(super) async fn check_committable(&self, name: &LineageName, edits: &ConfEdits) -> Result<(), CommitError> {
        let (locked, name, edits) = (Arc::clone(&self.locked), name.clone(), edits.clone());
        // A dry run has not tried to put right what an earlier run left.
        let is_dry_run = self.is_dry_run();
        blocking(move || {
            if !is_dry_run {
                locked.check_nothing_half_done(&name)?;
            }
            locked.check_committable_with(&name, &edits)
        })
        .await
    }

    pub(super) async fn commit(
        &self,
        name: &LineageName,
        verified: VerifiedVersion,
        replaces: Option<Version>,
        conf: ConfPlan,
    ) -> Result<Committed, CommitError> {
        let (locked, name) = (Arc::clone(&self.locked), name.clone());
        blocking(move || locked.commit(&name, &verified, replaces, &conf)).await
    }

    fn states(&self) -> std::sync::MutexGuard<'_, BTreeMap<LineageName, SharedState>> {
        // A panic elsewhere leaves whole values behind: every change is one insertion or one apply.
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When a ledger is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Saving {
    /// Now.
    Always,
    /// Now, unless that would be too much work at every certificate of thousands.
    WhenSmall,
}
