//! Everything that would make the next renewal or deploy fail, one check a file. A check takes values and gives an
//! [`Examined`]; it knows neither the store nor the other checks, and asks no CA for an order.
//! [`Renewer::examine`](crate::renewal::Renewer::examine) does all of them for a store.

mod chain;
pub use chain::check_chain;

mod conf;
pub use conf::{check_conf, check_number_of_names};

mod deploy;
pub use deploy::{DeploySubject, check_deploy, check_web_server};

mod disk;
pub use disk::{Room, check_mount, check_room, check_writable, judge_room};

mod fixed_days;
pub use fixed_days::{check_days_in, check_renew_before_expiry};

mod hooks;
pub use hooks::{HookCommand, check_hook, check_hook_directory};

mod key_access;
pub use key_access::check_key_access;

mod keys;
pub use keys::{check_key_strength, check_reused_key};

mod leftovers;
pub use leftovers::{KnownLock, check_lock, check_order};

mod limits;
pub use limits::check_limits;

mod machine;
pub use machine::Machine;

mod schedule;
pub use schedule::{
    CERTBOT_TIMERS, Client, Job, PastRuns, Schedules, UNIT_PROPERTIES, UnitState, check_schedules, renews, unit_states,
};

mod service;
pub use service::check_service_reads;

mod told;
pub use told::check_told;

use certkit_core::Finding;

/// What a check found out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Examined {
    /// Which check.
    pub check: Check,
    /// What was looked at: a name, a path, an address; escaped.
    pub subject: String,
    /// What came of it.
    pub outcome: Examination,
}

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Examination {
    /// It was looked at, and nothing is wrong with it.
    Fine,
    /// What is wrong, the worst first; never empty.
    Found(Vec<Finding>),
    /// It cannot be looked at from here: that is neither well nor wrong.
    NotChecked {
        /// Why, a sentence without a full stop, escaped.
        because: String,
    },
}

/// The checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Check {
    /// The accounts that are stored.
    Accounts,
    /// The chain that is stored.
    Chain,
    /// The clock against the CA's.
    Clock,
    /// What the conf asks for.
    Conf,
    /// What is still to be deployed.
    DeployPending,
    /// Where files are put for others.
    DeployFiles,
    /// Rules that count days.
    FixedDays,
    /// Whether hooks can be run.
    Hooks,
    /// Who can read the key.
    KeyAccess,
    /// For how long the key is in use.
    KeyAge,
    /// The strength of key and signature.
    KeyStrength,
    /// When certkit last ran.
    LastRun,
    /// What is left of the CA's limits.
    Limits,
    /// Who is at work.
    Lock,
    /// The file system of the store.
    Mount,
    /// The number of names.
    Names,
    /// Orders under way.
    Orders,
    /// What the plan says.
    Plan,
    /// The unit that is reloaded.
    ReloadUnit,
    /// Other programs that renew.
    Rivals,
    /// Room on the disk.
    Room,
    /// What runs certkit.
    Schedule,
    /// Lines of cron and services that renew.
    ScheduledLines,
    /// What is served.
    Served,
    /// The server's own check of its configuration.
    ServerConfiguration,
    /// Whether a service can read its key.
    ServiceReads,
    /// The owner's settings.
    Settings,
    /// The tree and certkit's own memory.
    Store,
    /// Whether anybody is told.
    Told,
    /// Whether the store can be written.
    Writable,
}

impl Check {
    /// What is looked at, for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Accounts => "the account",
            Self::Chain => "the stored chain",
            Self::Clock => "the clock against the CA's",
            Self::Conf => "what the renewal configuration asks for",
            Self::DeployFiles => "where files are put",
            Self::DeployPending => "what is still to be deployed",
            Self::FixedDays => "rules that count days",
            Self::Hooks => "hooks",
            Self::KeyAccess => "who can read the private key",
            Self::KeyAge => "how long the private key is in use",
            Self::KeyStrength => "the strength of key and signature",
            Self::LastRun => "the last run",
            Self::Limits => "what is left of the CA's limits",
            Self::Lock => "the lock",
            Self::Mount => "the file system",
            Self::Names => "the number of names",
            Self::Orders => "orders under way",
            Self::Plan => "the next renewal",
            Self::ReloadUnit => "the unit that is reloaded",
            Self::Rivals => "other programs that renew",
            Self::Room => "room on the disk",
            Self::Schedule => "what runs certkit",
            Self::ScheduledLines => "lines that renew",
            Self::Served => "what is served",
            Self::ServerConfiguration => "the server's configuration",
            Self::ServiceReads => "whether the service can read its key",
            Self::Settings => "the settings",
            Self::Store => "the store",
            Self::Told => "who is told",
            Self::Writable => "whether the store can be written",
        }
    }
}

impl Examined {
    /// Nothing is wrong with `subject`, which is escaped here.
    pub fn fine(check: Check, subject: impl AsRef<str>) -> Self {
        Self::with(check, subject, Examination::Fine)
    }

    /// What is wrong with `subject`, which is escaped here; nothing is wrong when nothing is named.
    pub fn found(check: Check, subject: impl AsRef<str>, mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        let outcome = if findings.is_empty() { Examination::Fine } else { Examination::Found(findings) };
        Self::with(check, subject, outcome)
    }

    /// `subject` cannot be looked at from here; both are escaped here.
    pub fn not_checked(check: Check, subject: impl AsRef<str>, because: impl AsRef<str>) -> Self {
        let because = certkit_core::escape(because.as_ref()).into_owned();
        Self::with(check, subject, Examination::NotChecked { because })
    }

    /// What is wrong; nothing where nothing is or nothing is known.
    pub fn findings(&self) -> &[Finding] {
        match &self.outcome {
            Examination::Found(findings) => findings,
            Examination::Fine | Examination::NotChecked { .. } => &[],
        }
    }

    fn with(check: Check, subject: impl AsRef<str>, outcome: Examination) -> Self {
        Self { check, subject: certkit_core::escape(subject.as_ref()).into_owned(), outcome }
    }
}

/// A word for a shell, in quotes where it could mean something else.
fn in_quotes(text: &str) -> String {
    let is_plain = !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"/._-+,:=@%".contains(&c));
    if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
