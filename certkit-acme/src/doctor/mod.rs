//! Everything that would make the next renewal or deploy fail, one check a file. A check takes values and gives an
//! [`Examined`]; it knows neither the store nor the other checks, and asks no CA for an order.
//! [`Renewer::examine`](crate::renewal::Renewer::examine) does all of them for a store.

mod access_list;

mod account;
pub use account::{WantedAccount, check_account};

mod addresses;
pub use addresses::{AddressQuestion, check_addresses};

mod caa;
pub use caa::{CaaQuestion, check_caa};

mod chain;
pub use chain::check_chain;

mod challenge_records;
pub use challenge_records::check_challenge_records;

mod conf;
pub use conf::{check_conf, check_number_of_names};

mod deploy;
pub use deploy::{DeploySubject, check_deploy, check_web_server};

mod directory;
pub use directory::check_directory;

mod disk;
pub use disk::{Room, check_mount, check_room, check_writable, judge_room};

mod dnssec;
pub use dnssec::check_validation;

mod fixed_days;
pub use fixed_days::{check_days_in, check_renew_before_expiry};

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;

mod hooks;
pub use hooks::{HookCommand, check_hook, check_hook_directory};

mod http_challenge;
pub use http_challenge::{HttpCheckSettings, check_http_challenge};

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

mod network;
pub use network::{NetworkSubject, NetworkTools, WantedAuthority, network};

mod profile;
pub use profile::check_profile;

mod schedule;
pub use schedule::{
    CERTBOT_TIMERS, Client, Job, PastRuns, Schedules, UNIT_PROPERTIES, UnitState, check_schedules, renews, unit_states,
};

mod service;
pub use service::check_service_reads;

mod tlsa_records;
pub use tlsa_records::check_tlsa;

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

macro_rules! checks {
    ($($(#[$doc:meta])+ $check:ident => $title:literal,)+) => {
        /// The checks.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Check {
            $($(#[$doc])+ $check,)+
        }

        impl Check {
            /// What is looked at, for people.
            pub fn title(self) -> &'static str {
                match self {
                    $(Self::$check => $title,)+
                }
            }
        }
    };
}

checks! {
    /// The account at a CA.
    Account => "the account at the CA",
    /// The accounts that are stored.
    Accounts => "the stored account",
    /// The addresses of a name.
    Addresses => "the addresses of a name",
    /// The CAA records of a name.
    Caa => "CAA records",
    /// The chain that is stored.
    Chain => "the stored chain",
    /// What stands at `_acme-challenge` of a name that is validated by DNS.
    ChallengeRecords => "what stands at _acme-challenge",
    /// The clock against the CA's.
    Clock => "the clock against the CA's",
    /// What the conf asks for.
    Conf => "what the renewal configuration asks for",
    /// Where files are put for others.
    DeployFiles => "where files are put",
    /// What is still to be deployed.
    DeployPending => "what is still to be deployed",
    /// A CA's directory.
    Directory => "the CA's directory",
    /// Whether the resolver validates DNSSEC, so that what is broken is seen.
    Dnssec => "whether DNSSEC is validated",
    /// Rules that count days.
    FixedDays => "rules that count days",
    /// Whether hooks can be run.
    Hooks => "hooks",
    /// Port 80 of a name at one of its addresses.
    HttpChallenge => "port 80",
    /// Who can read the key.
    KeyAccess => "who can read the private key",
    /// For how long the key is in use.
    KeyAge => "how long the private key is in use",
    /// The strength of key and signature.
    KeyStrength => "the strength of key and signature",
    /// When certkit last ran.
    LastRun => "the last run",
    /// What is left of the CA's limits.
    Limits => "what is left of the CA's limits",
    /// Who is at work.
    Lock => "the lock",
    /// The file system of the store.
    Mount => "the file system",
    /// The authoritative name servers of a name.
    NameServers => "name servers",
    /// The number of names.
    Names => "the number of names",
    /// Orders under way.
    Orders => "orders under way",
    /// What the plan says.
    Plan => "the next renewal",
    /// The certificate profile that is wanted.
    Profile => "the certificate profile",
    /// The unit that is reloaded.
    ReloadUnit => "the unit that is reloaded",
    /// Whether a CA says when to renew.
    RenewalInformation => "what the CA says about renewals",
    /// Other programs that renew.
    Rivals => "other programs that renew",
    /// Room on the disk.
    Room => "room on the disk",
    /// What runs certkit.
    Schedule => "what runs certkit",
    /// Lines of cron and services that renew.
    ScheduledLines => "lines that renew",
    /// What is served.
    Served => "what is served",
    /// The server's own check of its configuration.
    ServerConfiguration => "the server's configuration",
    /// Whether a service can read its key.
    ServiceReads => "whether the service can read its key",
    /// The owner's settings.
    Settings => "the settings",
    /// The tree and certkit's own memory.
    Store => "the store",
    /// TLSA records that pin what a renewal changes.
    TlsaRecords => "TLSA records",
    /// Whether anybody is told.
    Told => "who is told",
    /// Whether the store can be written.
    Writable => "whether the store can be written",
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
