#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod bundle;
pub use bundle::{Bundle, BundleProblem, read_bundle};

mod certificate;
pub use certificate::{
    AriCertificateId, Certificate, CertificateRequest, CertificateRequestError, CrlReason, KeyType, ReadError,
    Revocation, RevocationList, RevocationListError, Serial,
};

mod check;
pub use check::{CheckLevel, Checked, Concern, check};

mod chain;
pub use chain::{Chain, MOST_POSSIBLE_ISSUERS, possible_issuers};

mod crl_url;
pub use crl_url::{CrlReach, CrlUrl, CrlUrlError};

pub mod decision;

mod der;

mod endpoint;
pub use endpoint::{Endpoint, EndpointProtocol, EndpointSource};

mod escape;
pub use escape::escape;

mod failure;
pub use failure::{Failure, FailureClass, IdentifierFailure, Problem, Retry};

mod finding;
pub use finding::{Finding, FindingCode, Severity};

mod forecast;
pub use forecast::{
    AssumedLifetime, Forecast, ForecastDay, ForecastLimit, ForecastRenewal, Obstacle, forecast, obstacles,
};

mod hindrance;
pub use hindrance::Hindrance;

mod identifier;
pub use identifier::{DnsName, Identifier, IdentifierError, IdentifierSet};

mod key_math;
pub use key_math::{KeyMath, KeyMathError};

mod lineage_name;
pub use lineage_name::{LineageName, LineageNameError, Version};

pub mod metrics;

mod notice;
pub use notice::{
    Notice, NoticeAttempt, NoticeFacts, NoticeGroup, NoticeKind, NoticeLevel, NoticeMemory, Told, due_notices,
    group_notices, is_locked_too_long, level_of, next_look, replayed,
};

mod pem_block;

#[cfg(feature = "store")]
mod pem_strict;

mod plan;
pub use plan::{HeldBy, Outlook, Plan, PlanEntry, PlanInput, Step, decide, plan};

#[cfg(test)]
mod processor_time;

mod private_key;
pub use private_key::{PrivateKey, PrivateKeyError, PrivateKeyFormat};

mod report;
pub use report::{Overview, Track};

mod served;
pub use served::{Distrust, DistrustCause, IssuerKind, Observed, StoredVersions, compare};

#[cfg(feature = "store")]
pub mod settings;

pub mod state;

#[cfg(feature = "store")]
pub mod store;

mod summary;
pub use summary::{BrokenSummary, Condition, Lifeline, ServedCount, Summary};

mod url;
pub use url::{AcmeUrl, AcmeUrlError};

mod validity;
pub use validity::{Validity, ValidityStatus};

pub mod words;
