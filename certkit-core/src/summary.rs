//! How a certificate is: the one row that `status`, `report`, `check`, the metrics and the notices are made of.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::decision::DueReason;
use crate::state::{DeployTarget, EndpointMemory, LineageState, Serving};
use crate::{Certificate, Endpoint, HeldBy, IdentifierSet, PlanEntry, PlanInput, Step, Validity, ValidityStatus};

/// How a certificate is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Summary {
    /// The lineage's name, escaped: that of a broken one may be anything.
    pub name: String,
    /// What the certificate in use covers; what is wished for when there is none.
    pub identifiers: IdentifierSet,
    /// Of the certificate in use, where it can be read.
    pub validity: Option<Validity>,
    /// The certificate in use, where it can be read and somebody has read it.
    pub certificate: Option<Certificate>,
    /// All that apply, the worst first; never empty.
    pub conditions: Vec<Condition>,
    /// What the plan says of it, and what that was made of; none when no run could renew it.
    pub planned: Option<Box<(PlanEntry, PlanInput)>>,
    /// Why no run could renew it.
    pub broken: Option<BrokenSummary>,
    /// The live fullchain.pem, as the conf names it.
    pub fullchain: Option<PathBuf>,
    /// What receives new versions, in order.
    pub targets: Vec<DeployTarget>,
    /// Where it is served: as the owner set it, and as its names say.
    pub endpoints: Vec<Endpoint>,
}

/// Why no run could renew a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokenSummary {
    /// Why; outside text, not escaped.
    pub reason: String,
    /// Whether nothing but its own settings (`certkit/lineages/NAME.toml`) stand in the way.
    pub by_settings: bool,
}

/// How a certificate is. The worst is first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Condition {
    /// It cannot be used or renewed.
    Broken,
    /// Its own settings cannot be used, so that no run renews it.
    Settings,
    /// Its end is past.
    Expired,
    /// Its CA has revoked it.
    Revoked,
    /// Its begin is to come.
    NotYetValid,
    /// Something else than the version in use is served where it counts.
    NotServed,
    /// It is due, and the last attempt failed.
    Failing,
    /// What is in use was not given to everything that has to have it.
    DeployPending,
    /// It is due and waits for the CA, for a limit, or for somebody to look at a loop.
    Waiting,
    /// The next run renews it.
    Due,
    /// Nothing is to be done.
    Ok,
}

impl Condition {
    /// All there are, the worst first.
    pub const ALL: [Self; 11] = [
        Self::Broken,
        Self::Settings,
        Self::Expired,
        Self::Revoked,
        Self::NotYetValid,
        Self::NotServed,
        Self::Failing,
        Self::DeployPending,
        Self::Waiting,
        Self::Due,
        Self::Ok,
    ];

    /// The code for machines.
    pub fn code(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::Settings => "settings",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::NotYetValid => "not-yet-valid",
            Self::NotServed => "not-served",
            Self::Failing => "failing",
            Self::DeployPending => "deploy-pending",
            Self::Waiting => "waiting",
            Self::Due => "due",
            Self::Ok => "ok",
        }
    }

    /// All that apply to what a plan says, the worst first; never empty.
    fn all_of(entry: &PlanEntry, input: &PlanInput, now: DateTime<Utc>) -> Vec<Self> {
        let state = &input.state;
        let revocation = state.revocation.as_ref().filter(|known| Some(&known.serial) == input.serial.as_ref());
        let status = input.validity.map(|validity| validity.status(now));
        let is_due = !matches!(entry.step, Step::NotDue { .. });
        let held_by_failure = matches!(entry.step, Step::Held { by: HeldBy::Failure(_), .. });
        let applies = [
            // What is live cannot be used; the next run replaces it.
            (Self::Broken, entry.due.reason == DueReason::NoCertificate),
            (Self::Expired, status == Some(ValidityStatus::Expired)),
            (Self::Revoked, revocation.is_some_and(|known| known.revoked_since.is_some())),
            (Self::NotYetValid, status == Some(ValidityStatus::NotYetValid)),
            (Self::NotServed, Serving::of(&state.served) == Serving::Differs),
            (Self::Failing, is_due && state.last_failure.is_some()),
            (Self::DeployPending, !state.deploy_pending.is_empty()),
            (Self::Waiting, matches!(entry.step, Step::Held { .. }) && !held_by_failure),
            (Self::Due, matches!(entry.step, Step::Attempt { .. })),
        ];
        let mut all: Vec<Self> = applies.into_iter().filter_map(|(one, applies)| applies.then_some(one)).collect();
        if all.is_empty() {
            all.push(Self::Ok);
        }
        all
    }
}

impl Summary {
    /// Of what a plan says at `now`.
    pub fn of(entry: PlanEntry, input: PlanInput, now: DateTime<Utc>) -> Self {
        Self {
            name: entry.name.to_string(),
            identifiers: IdentifierSet::default(),
            validity: input.validity,
            certificate: None,
            conditions: Condition::all_of(&entry, &input, now),
            planned: Some(Box::new((entry, input))),
            broken: None,
            fullchain: None,
            targets: Vec::new(),
            endpoints: Vec::new(),
        }
    }

    /// Of a lineage that no run could renew; `name` is escaped here.
    pub fn of_broken(
        name: &str,
        reason: impl Into<String>,
        by_settings: bool,
        validity: Option<Validity>,
        now: DateTime<Utc>,
    ) -> Self {
        let first = if by_settings { Condition::Settings } else { Condition::Broken };
        let expired = validity.is_some_and(|validity| validity.status(now) == ValidityStatus::Expired);
        Self {
            name: crate::escape(name).into_owned(),
            identifiers: IdentifierSet::default(),
            validity,
            certificate: None,
            conditions: std::iter::once(first).chain(expired.then_some(Condition::Expired)).collect(),
            planned: None,
            broken: Some(BrokenSummary { reason: reason.into(), by_settings }),
            fullchain: None,
            targets: Vec::new(),
            endpoints: Vec::new(),
        }
    }

    /// The same with what its endpoints were found to serve, at `now`.
    #[must_use]
    pub fn serving(mut self, served: Vec<EndpointMemory>, now: DateTime<Utc>) -> Self {
        if let Some(planned) = &mut self.planned {
            planned.1.state.served = served;
            self.conditions = Condition::all_of(&planned.0, &planned.1, now);
        }
        self
    }

    /// The worst that applies.
    pub fn condition(&self) -> Condition {
        self.conditions.first().copied().unwrap_or(Condition::Ok)
    }

    /// What is remembered of it.
    pub fn state(&self) -> Option<&LineageState> {
        self.planned.as_ref().map(|planned| &planned.1.state)
    }

    /// What the plan says.
    pub fn entry(&self) -> Option<&PlanEntry> {
        self.planned.as_ref().map(|planned| &planned.0)
    }

    /// What the plan was made of.
    pub fn input(&self) -> Option<&PlanInput> {
        self.planned.as_ref().map(|planned| &planned.1)
    }
}
