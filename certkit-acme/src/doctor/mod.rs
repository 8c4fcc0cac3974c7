//! Everything that would make the next renewal or deploy fail, one check a file. A check takes values and gives an
//! [`Examined`]; it knows neither the store nor the other checks, and asks no CA for an order.

mod account;
pub use account::{WantedAccount, check_account};

mod addresses;
pub use addresses::{AddressQuestion, check_addresses};

mod caa;
pub use caa::{CaaQuestion, check_caa};

mod challenge_records;
pub use challenge_records::check_challenge_records;

mod directory;
pub use directory::check_directory;

mod http_challenge;
pub use http_challenge::{HttpCheckSettings, check_http_challenge};

mod network;
pub use network::{NetworkSubject, NetworkTools, WantedAuthority, network};

mod profile;
pub use profile::check_profile;

mod tlsa_records;
pub use tlsa_records::check_tlsa;

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
    /// The account at a CA.
    Account,
    /// The addresses of a name.
    Addresses,
    /// The CAA records of a name.
    Caa,
    /// What stands at `_acme-challenge` of a name that is validated by DNS.
    ChallengeRecords,
    /// The clock against the CA's.
    Clock,
    /// A CA's directory.
    Directory,
    /// Port 80 of a name at one of its addresses.
    HttpChallenge,
    /// The authoritative name servers of a name.
    NameServers,
    /// The certificate profile that is wanted.
    Profile,
    /// Whether a CA says when to renew.
    RenewalInformation,
    /// TLSA records that pin what a renewal changes.
    TlsaRecords,
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

    fn with(check: Check, subject: impl AsRef<str>, outcome: Examination) -> Self {
        Self { check, subject: certkit_core::escape(subject.as_ref()).into_owned(), outcome }
    }
}
