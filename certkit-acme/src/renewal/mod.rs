//! The renewal run: plan, issue, verify, commit, deploy, record.

mod attempt;

mod csr;
pub use csr::{CsrOrder, CsrReport};

mod deploying;

mod inventory;

mod issue;

mod job;

mod report;
pub use report::{HookRun, Outcome, Report, ReportEntry};

mod request;
pub use request::{Mode, Request, Selection, Urgency};

mod roll_back;
pub use roll_back::RollBack;

mod run;

use std::sync::Arc;

use certkit_core::state::Event;
use certkit_core::store::{LiveSwitch, LockError, Store, StoreError};
use certkit_core::{Failure, KeyMath, LineageName};

use crate::command::CommandSettings;
use crate::transport::{Transport, TransportError, TransportSettings};
use crate::{AwsLcKeyMath, Clock, SystemClock};

/// Renews what a store holds. It holds no lock and no connection between calls. Cheap to clone.
#[derive(Clone)]
pub struct Renewer {
    store: Store,
    transport: Transport,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
    commands: CommandSettings,
    math: Arc<dyn KeyMath>,
    live_switch: LiveSwitch,
}

/// Builds a [`Renewer`].
pub struct RenewerBuilder {
    store: Store,
    transport: TransportSettings,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
    commands: CommandSettings,
    live_switch: LiveSwitch,
}

/// Is told what happens, after it is durable. Called on the run's own tasks: return soon.
pub trait Observer: Send + Sync {
    /// Something happened to a lineage.
    fn event(&self, lineage: &LineageName, event: &Event);

    /// A hook or reload ended.
    fn hook(&self, _hook: &HookRun) {}
}

impl Renewer {
    /// A renewer for this store with the system's clock and nothing from the environment.
    pub fn builder(store: Store) -> RenewerBuilder {
        RenewerBuilder {
            store,
            transport: TransportSettings::new(),
            clock: Arc::new(SystemClock::new()),
            observer: Arc::new(Nobody),
            commands: CommandSettings::new(),
            live_switch: LiveSwitch::default(),
        }
    }

    /// The store it works on.
    pub fn store(&self) -> &Store {
        &self.store
    }
}

impl RenewerBuilder {
    /// How to reach the CA.
    #[must_use]
    pub fn transport(mut self, settings: TransportSettings) -> Self {
        self.transport = settings;
        self
    }

    /// Where the time comes from.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Who is told.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// How hooks are run.
    #[must_use]
    pub fn commands(mut self, settings: CommandSettings) -> Self {
        self.commands = settings;
        self
    }

    /// How a new version goes live.
    #[must_use]
    pub fn live_switch(mut self, live_switch: LiveSwitch) -> Self {
        self.live_switch = live_switch;
        self
    }

    /// The renewer; roots are read here.
    pub fn build(self) -> Result<Renewer, RunError> {
        let transport = Transport::with_clock(&self.transport, Arc::clone(&self.clock))?;
        Ok(Renewer {
            store: self.store,
            transport,
            clock: self.clock,
            observer: self.observer,
            commands: self.commands,
            live_switch: self.live_switch,
            math: Arc::new(AwsLcKeyMath::new()),
        })
    }
}

impl std::fmt::Debug for Renewer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Renewer").field("store", &self.store).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for RenewerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RenewerBuilder").field("store", &self.store).finish_non_exhaustive()
    }
}

/// A run that could not take place at all. What concerns one lineage is in the [`Report`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The lineage cannot be used.
    #[error("{name} cannot be used: {reason}")]
    Broken {
        /// Its name.
        name: LineageName,
        /// Why.
        reason: String,
    },
    /// What was asked for failed.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// Somebody else is at work.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The named certificate does not exist.
    #[error("there is no certificate named `{0}`; `certkit certificates` lists them")]
    NoSuchLineage(LineageName),
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The transport cannot be set up.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

struct Nobody;

impl Observer for Nobody {
    fn event(&self, _lineage: &LineageName, _event: &Event) {}
}
