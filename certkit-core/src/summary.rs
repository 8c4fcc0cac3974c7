//! How a certificate is: the one row that `status`, `report`, `check`, the metrics and the notices are made of.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::decision::{Cadence, DueReason};
use crate::notice::grace;
use crate::state::{DeployTarget, EndpointMemory, LineageState, ServedLeaf, Serving};
use crate::words::broken_cure;
use crate::{
    Certificate, Endpoint, Finding, FindingCode, HeldBy, Hindrance, IdentifierSet, PlanEntry, PlanInput, Step,
    Validity, ValidityStatus,
};

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
    /// Where it is served: as the owner set it, and as its names say. Empty where nobody is about to look there.
    pub endpoints: Vec<Endpoint>,
    /// What is wrong with the files in use and keeps no run from renewing it; empty where nobody has verified them.
    pub findings: Vec<Finding>,
}

/// Why no run could renew a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokenSummary {
    /// Why; outside text, not escaped.
    pub reason: String,
    /// Whether nothing but its own settings (`certkit/lineages/NAME.toml`) stand in the way.
    pub by_settings: bool,
    /// What keeps it from being read, where that is all that is known: it may be well.
    pub hindrance: Option<Hindrance>,
    /// What to do about it, where that is known better than by the reason.
    pub exact_cure: Option<String>,
}

/// A life on a line from its begin, which is 0, to its end, which is 1.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Lifeline {
    /// Where it stands now; below 0 before it begins, above 1 once it has ended.
    pub now: f64,
    /// From where on it is due; none for never, and where nobody can tell. It can lie outside, too.
    pub renewal: Option<f64>,
}

/// How many addresses of the endpoints that count serve what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServedCount {
    /// The version in use.
    pub same: usize,
    /// An older version of the certificate.
    pub older: usize,
    /// Another certificate.
    pub foreign: usize,
    /// Nothing: no address, no connection, no handshake.
    pub unreachable: usize,
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
    /// It should have been renewed by now, and nobody tried.
    Overdue,
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
    pub const ALL: [Self; 12] = [
        Self::Broken,
        Self::Settings,
        Self::Expired,
        Self::Revoked,
        Self::NotYetValid,
        Self::NotServed,
        Self::Failing,
        Self::Overdue,
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
            Self::Overdue => "overdue",
            Self::DeployPending => "deploy-pending",
            Self::Waiting => "waiting",
            Self::Due => "due",
            Self::Ok => "ok",
        }
    }

    /// In a word or two, for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::NotYetValid => "not yet valid",
            Self::NotServed => "not served",
            Self::DeployPending => "deploy pending",
            other => other.code(),
        }
    }

    /// Whether somebody should look at it: what waits for its turn, is due or is well needs nobody.
    pub fn is_trouble(self) -> bool {
        self < Self::Waiting
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
            (Self::Overdue, matches!(entry.step, Step::Attempt { .. }) && is_overdue(entry, input, now)),
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

/// Whether the usual rhythm of runs would have renewed it already: what notices and `check` speak of.
fn is_overdue(entry: &PlanEntry, input: &PlanInput, now: DateTime<Utc>) -> bool {
    let (Some(validity), Some(due)) = (input.validity, entry.due.at) else { return false };
    let is_valid = validity.status(now) == ValidityStatus::Valid;
    // One that failed says so, and one that is new to certkit is told like any other.
    is_valid && input.state.last_failure.is_none() && now - due >= grace(validity, due, Cadence::default())
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
            findings: Vec::new(),
        }
    }

    /// Takes what another plan, made of the same at `now`, says of it.
    pub fn plan_anew(&mut self, entry: PlanEntry, now: DateTime<Utc>) {
        if let Some(planned) = &mut self.planned {
            self.conditions = Condition::all_of(&entry, &planned.1, now);
            planned.0 = entry;
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
            broken: Some(BrokenSummary { reason: reason.into(), by_settings, hindrance: None, exact_cure: None }),
            fullchain: None,
            targets: Vec::new(),
            endpoints: Vec::new(),
            findings: Vec::new(),
        }
    }

    /// The same for a lineage of which nothing is known but what keeps it from being read.
    #[must_use]
    pub fn hindered_by(mut self, hindrance: Option<Hindrance>) -> Self {
        if let Some(broken) = &mut self.broken {
            broken.hindrance = hindrance;
        }
        self
    }

    /// The same with what its endpoints were found to serve, at `now`.
    #[must_use]
    pub fn with_served(mut self, served: Vec<EndpointMemory>, now: DateTime<Utc>) -> Self {
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

    /// From when on it is due, whether that is past or to come (UTC); none for never, and for one that cannot be renewed.
    pub fn renewal_at(&self) -> Option<DateTime<Utc>> {
        self.entry().and_then(|entry| entry.due.at)
    }

    /// When it is renewed, as far as it is known at `now` (UTC): at `now` when the next run does it; none for never.
    pub fn next_renewal(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self.entry()?.step {
            Step::Attempt { .. } => Some(now),
            Step::Held { until, .. } => Some(until),
            Step::NotDue { until, .. } => until,
        }
    }

    /// Its life on a line; none without a certificate that can be read.
    pub fn lifeline(&self, now: DateTime<Utc>) -> Option<Lifeline> {
        let validity = self.validity?;
        let whole = validity.lifetime().num_seconds().max(1) as f64;
        let place = |at: DateTime<Utc>| (at - validity.not_before).num_seconds() as f64 / whole;
        Some(Lifeline { now: place(now), renewal: self.renewal_at().map(place) })
    }

    /// Whether the version in use is served, as far as somebody has looked.
    pub fn serving(&self) -> Serving {
        self.state().map_or(Serving::Unknown, |state| Serving::of(&state.served))
    }

    /// What the addresses of the endpoints that count served when they were last looked at.
    pub fn served(&self) -> ServedCount {
        let mut count = ServedCount::default();
        let endpoints = self.state().into_iter().flat_map(|state| &state.served).filter(|endpoint| endpoint.counts());
        for answer in endpoints.flat_map(|endpoint| &endpoint.answers) {
            let place = match answer.leaf {
                ServedLeaf::Same => &mut count.same,
                ServedLeaf::Older { .. } => &mut count.older,
                ServedLeaf::Foreign => &mut count.foreign,
                ServedLeaf::Unreachable => &mut count.unreachable,
            };
            *place += 1;
        }
        count
    }

    /// What is remembered of it.
    pub fn state(&self) -> Option<&LineageState> {
        self.planned.as_ref().map(|planned| &*planned.1.state)
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

impl BrokenSummary {
    /// What to do about it.
    pub fn cure(&self) -> &str {
        match (&self.exact_cure, self.hindrance) {
            (Some(cure), _) => cure,
            (None, None) if self.by_settings => FindingCode::SettingsUnusable.cure(),
            (None, hindrance) => broken_cure(&self.reason, hindrance),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::decision::RenewalWish;
    use crate::state::{AddressMemory, EndpointMemory};
    use crate::{Endpoint, LineageName, Outlook, Version, plan};

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn summary(change: impl Fn(&mut PlanInput)) -> Summary {
        let not_after = now() + TimeDelta::days(60);
        let validity = Validity { not_before: not_after - TimeDelta::days(90), not_after };
        let wish = RenewalWish::new(None, true);
        let mut input = PlanInput::new(LineageName::new("a.example").unwrap(), Some(validity), wish);
        change(&mut input);
        let entry = plan([&input], &Outlook::default(), now()).entries.remove(0);
        Summary::of(entry, input, now())
    }

    fn endpoint(host: &str, has_served_ours: bool, leaves: &[ServedLeaf]) -> EndpointMemory {
        let mut memory: EndpointMemory = serde_json::from_value(serde_json::json!({
            "endpoint": Endpoint::default_of(host), "checked_at": now(), "has_served_ours": has_served_ours, "answers": []
        }))
        .unwrap();
        memory.answers = leaves
            .iter()
            .map(|leaf| AddressMemory {
                address: None,
                leaf: *leaf,
                serial: None,
                not_after: None,
                troubles: Vec::new(),
                detail: String::new(),
            })
            .collect();
        memory
    }

    #[test]
    fn a_third_of_the_life_has_passed_and_it_is_renewed_after_two() {
        let one = summary(|_| {});
        let lifeline = one.lifeline(now()).unwrap();
        assert!((lifeline.now - 1.0 / 3.0).abs() < 1e-9 && (lifeline.renewal.unwrap() - 2.0 / 3.0).abs() < 1e-9);
        assert_eq!(one.next_renewal(now()), Some(now() + TimeDelta::days(30)));
        let never = summary(|input| input.wish.never = true);
        assert_eq!((never.lifeline(now()).unwrap().renewal, never.next_renewal(now())), (None, None));
        let due = summary(|input| input.wish = RenewalWish::new(Some("70 days".to_owned()), true));
        assert_eq!((due.next_renewal(now()), due.renewal_at()), (Some(now()), Some(now() - TimeDelta::days(10))));
        assert_eq!(due.conditions, [Condition::Overdue, Condition::Due]);
        let since_an_hour = summary(|input| input.wish = RenewalWish::new(Some("60 days 1 hour".to_owned()), true));
        assert_eq!(since_an_hour.conditions, [Condition::Due]);
        assert_eq!(Summary::of_broken("x", "no", false, None, now()).lifeline(now()), None);
    }

    #[test]
    fn only_what_counts_is_counted_as_served() {
        let older = ServedLeaf::Older { version: Version(1) };
        let one = summary(|input| {
            input.state.served = vec![
                endpoint("a.example", true, &[ServedLeaf::Same, older, ServedLeaf::Unreachable]),
                endpoint("cdn.example", false, &[ServedLeaf::Foreign]),
            ];
        });
        assert_eq!(one.served(), ServedCount { same: 1, older: 1, foreign: 0, unreachable: 1 });
        assert_eq!((one.serving(), one.condition()), (Serving::Differs, Condition::NotServed));
        let cdn = summary(|input| input.state.served = vec![endpoint("cdn.example", false, &[ServedLeaf::Foreign])]);
        assert_eq!((cdn.serving(), cdn.condition()), (Serving::Unknown, Condition::Ok));
    }

    #[test]
    fn what_cannot_be_renewed_has_the_cure_for_what_stands_in_its_way() {
        let cure = |reason: &str, by_settings: bool, hindrance| {
            let summary = Summary::of_broken("x", reason, by_settings, None, now());
            summary.hindered_by(hindrance).broken.unwrap().cure().to_owned()
        };
        assert_eq!(cure("/x is empty", false, None), FindingCode::BrokenLineage.cure());
        assert_eq!(cure("nobody knows `x`", true, None), FindingCode::SettingsUnusable.cure());
        assert_eq!(cure("Permission denied", false, Some(Hindrance::Rights)), FindingCode::Unreadable.cure());
        let line = "the renewal configuration cannot be used: line 3: no value";
        assert_eq!(cure(line, false, None), "correct the line that the message names");
    }

    #[test]
    fn trouble_is_what_somebody_has_to_look_at() {
        assert!(Condition::Broken.is_trouble() && Condition::DeployPending.is_trouble());
        assert!(!Condition::Waiting.is_trouble() && !Condition::Due.is_trouble() && !Condition::Ok.is_trouble());
        assert_eq!((Condition::NotServed.words(), Condition::Ok.words()), ("not served", "ok"));
    }
}
