//! The renewal run: plan, issue, verify, commit, deploy, record.

mod report;
pub use report::{HookRun, Outcome, Report, ReportEntry};

mod request;
pub use request::{Mode, Request, Selection, Urgency};

use std::sync::Arc;

use certkit_core::state::Event;
use certkit_core::store::{LockError, Store, StoreError};
use certkit_core::{LineageName, Plan, Version};

use crate::command::CommandSettings;
use crate::transport::{TransportError, TransportSettings};
use crate::{Clock, Stop};

/// Renews what a store holds. It holds no lock and no connection between calls.
#[derive(Clone)]
pub struct Renewer {}

/// Builds a [`Renewer`].
pub struct RenewerBuilder {}

/// Is told what happens, after it is durable. Called on the run's own tasks: return soon.
pub trait Observer: Send + Sync {
    /// Something happened to a lineage.
    fn event(&self, lineage: &LineageName, event: &Event);

    /// A hook or reload ended.
    fn hook(&self, _hook: &HookRun) {}
}

impl Renewer {
    /// A renewer for this store with the system's clock and nothing from the environment.
    pub fn builder(_store: Store) -> RenewerBuilder {
        todo!()
    }

    /// What a run would do now. Reads the store; asks nobody.
    pub async fn plan(&self, _request: &Request) -> Result<Plan, RunError> {
        todo!()
    }

    /// Does it.
    pub async fn run(&self, _request: Request, _stop: &Stop) -> Result<Report, RunError> {
        todo!()
    }

    /// Commits an old version again as a new one and deploys it. Without `to` the version before the live one.
    pub async fn roll_back(
        &self,
        _lineage: &LineageName,
        _to: Option<Version>,
        _stop: &Stop,
    ) -> Result<Report, RunError> {
        todo!()
    }
}

impl RenewerBuilder {
    /// How to reach the CA.
    #[must_use]
    pub fn transport(self, _settings: TransportSettings) -> Self {
        todo!()
    }

    /// Where the time comes from.
    #[must_use]
    pub fn clock(self, _clock: Arc<dyn Clock>) -> Self {
        todo!()
    }

    /// Who is told.
    #[must_use]
    pub fn observer(self, _observer: Arc<dyn Observer>) -> Self {
        todo!()
    }

    /// How hooks are run.
    #[must_use]
    pub fn commands(self, _settings: CommandSettings) -> Self {
        todo!()
    }

    /// The renewer; roots are read here.
    pub fn build(self) -> Result<Renewer, RunError> {
        todo!()
    }
}

/// A run that could not take place at all. What concerns one lineage is in the [`Report`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
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
