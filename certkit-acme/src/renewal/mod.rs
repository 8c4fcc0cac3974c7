//! The renewal run: ask the CA when, plan, issue, verify, commit, deploy, record, tell.

mod advice;

mod attempt;

mod beating;

mod coming;
pub use coming::{LifetimeChange, Renewers};

mod conf_settings;

mod csr;
pub use csr::{CsrOrder, CsrReport};

mod deploy_only;

mod deploying;

mod examination;
pub use examination::{Examinations, ExaminedEntry, ExaminedProblem, NotChecked, Reach};

mod examined_lineage;

mod examined_machine;

mod examined_network;

mod foretelling;
pub use foretelling::{Foretold, ForetoldChannel, Quiet};

mod group;

mod hindered;

mod idle;

mod inventory;

mod issue;

mod job;

mod metrics;

mod own_settings;

mod reading;

mod looking;
pub use looking::issuer_kind;

mod performing;

mod planning;

mod prove;

mod remembering;

mod report;
pub use report::{HookRun, Outcome, Report, ReportEntry};

mod request;
pub use request::{Mode, Request, Selection, Urgency};

mod roll_back;
pub use roll_back::RollBack;

mod run;

mod scope;
pub use scope::PUBLIC_SUFFIX_LIST;

mod select;

mod subject;

mod survey;
pub use survey::Survey;

mod telling;
pub use telling::Told;

mod to_tell;

mod unusable;

mod wishes;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use certkit_core::settings::{Settings, SettingsError};
use certkit_core::state::Event;
use certkit_core::store::{LiveSwitch, LockError, SpareMemory, Store, StoreError};
use certkit_core::{Failure, Hindrance, KeyMath, LineageName};

use crate::command::CommandSettings;
use crate::dns::ResolverSettings;
use crate::doctor::HttpCheckSettings;
use crate::notify::Secrets;
use crate::transport::{Transport, TransportError, TransportSettings};
use crate::{AwsLcKeyMath, Clock, SystemClock};

/// Renews what a store holds. It holds no lock and no connection between calls. Cheap to clone.
#[derive(Clone)]
pub struct Renewer {
    store: Store,
    transport: Transport,
    transport_settings: TransportSettings,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
    commands: CommandSettings,
    math: Arc<dyn KeyMath>,
    live_switch: LiveSwitch,
    settings_overrides: Option<SettingsOverrides>,
    resolver: ResolverSettings,
    http_check: HttpCheckSettings,
    secrets: Secrets,
    host: String,
    spare: Arc<SpareMemory>,
    account_key_patience: Duration,
}

/// The CAs of account keys that an earlier run was changing are waited for no longer than this, all together.
const ACCOUNT_KEY_PATIENCE: Duration = Duration::from_secs(20);

/// What flags change in the settings that were read.
type SettingsOverrides = Arc<dyn Fn(Settings) -> Settings + Send + Sync>;

/// Builds a [`Renewer`].
pub struct RenewerBuilder {
    store: Store,
    transport: TransportSettings,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
    commands: CommandSettings,
    live_switch: LiveSwitch,
    settings_overrides: Option<SettingsOverrides>,
    resolver: ResolverSettings,
    http_check: HttpCheckSettings,
    secrets: Secrets,
    host: String,
    spare_folders: Vec<PathBuf>,
    account_key_patience: Duration,
}

/// Is told what happens, after it is durable. Called on the run's own tasks: return soon.
pub trait Observer: Send + Sync {
    /// Something happened to a lineage.
    fn event(&self, lineage: &LineageName, event: &Event);

    /// A hook or reload ended.
    fn hook(&self, _hook: &HookRun) {}

    /// There is something to know of a run that could not take place, and has no [`Report`]: that nobody could be told.
    fn finding(&self, _finding: &certkit_core::Finding) {}
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
            settings_overrides: None,
            resolver: ResolverSettings::default(),
            http_check: HttpCheckSettings::default(),
            secrets: Secrets::new(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            spare_folders: Vec::new(),
            account_key_patience: ACCOUNT_KEY_PATIENCE,
        }
    }

    /// Where its time comes from.
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
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

    /// What flags change in the owner's settings. Each run reads `certkit/settings.toml` anew and gives what it found to
    /// `overrides`. How to reach the CA (`ca_bundles`, `user_agent_comment`) is settled by
    /// [`RenewerBuilder::transport`], once and for all.
    #[must_use]
    pub fn settings_overrides(mut self, overrides: impl Fn(Settings) -> Settings + Send + Sync + 'static) -> Self {
        self.settings_overrides = Some(Arc::new(overrides));
        self
    }

    /// Whom to ask for DNS records, when it is not who the system asks.
    #[must_use]
    pub fn resolver(mut self, settings: ResolverSettings) -> Self {
        self.resolver = settings;
        self
    }

    /// How [`Renewer::examine`] looks at port 80, when it is not as CAs do.
    #[must_use]
    pub fn http_check(mut self, settings: HttpCheckSettings) -> Self {
        self.http_check = settings;
        self
    }

    /// Where passwords for notices are looked up that stand neither in the settings nor in a file of their own.
    #[must_use]
    pub fn secrets(mut self, secrets: Secrets) -> Self {
        self.secrets = secrets;
        self
    }

    /// What this machine is called in notices, when it is not the name that the system has for it.
    #[must_use]
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = host.into();
        self
    }

    /// Another folder, besides the work dir and the logs dir, where it may be kept what the owner was told while the store
    /// cannot be written: one in memory, such as `/run/certkit`, can be written when no disk can.
    #[must_use]
    pub fn spare_folder(mut self, folder: PathBuf) -> Self {
        self.spare_folders.push(folder);
        self
    }

    /// How long a run waits for the CAs of account keys that an earlier run was changing, all together: 20 seconds when
    /// nothing else is said. What is not over then is left to the next run.
    #[must_use]
    pub fn account_key_patience(mut self, patience: Duration) -> Self {
        self.account_key_patience = patience;
        self
    }

    /// The renewer; roots are read here.
    pub fn build(self) -> Result<Renewer, RunError> {
        let transport = Transport::with_clock(&self.transport, Arc::clone(&self.clock))?;
        let spare = Arc::new(SpareMemory::new(self.store.paths(), &self.spare_folders));
        Ok(Renewer {
            store: self.store,
            spare,
            transport,
            transport_settings: self.transport,
            clock: self.clock,
            observer: self.observer,
            commands: self.commands,
            live_switch: self.live_switch,
            settings_overrides: self.settings_overrides,
            resolver: self.resolver,
            http_check: self.http_check,
            secrets: self.secrets,
            host: self.host,
            account_key_patience: self.account_key_patience,
            math: Arc::new(AwsLcKeyMath::new()),
        })
    }
}

impl Renewer {
    /// How commands are run by these settings: what holds secrets is not for them.
    fn commands_by(&self, settings: &Settings) -> CommandSettings {
        let mut commands = self.commands.clone();
        commands.withheld.extend(settings.secret_variables().into_iter().map(Into::into));
        commands
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
        /// What keeps it from being read, where that is all that is known.
        hindrance: Option<Hindrance>,
    },
    /// What was asked for failed.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The owner's settings cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Somebody else is at work.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// What was to be obtained as a new lineage is there by now ([`Request::must_be_new`]).
    #[error(
        "the certificate `{0}` was not there when this run began and is there by now: another run made it, or this one finished what an earlier one had begun"
    )]
    MadeMeanwhile(LineageName),
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
