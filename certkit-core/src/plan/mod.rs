//! What to do for each lineage: one pure function behind every command that renews or tells of renewals.

mod choice;

mod input;
pub use input::{Outlook, PlanInput};

use std::borrow::Borrow;

use chrono::{DateTime, TimeDelta, Utc};

use crate::decision::limits::OrderKind;
use crate::decision::{DueDecision, DueFacts, DueReason, LONGEST_PAUSE, due};
use crate::state::{Ledger, Refusal, RememberedFailure};
use crate::{AcmeUrl, LineageName, Validity};
use choice::{Choice, choose};

/// What to do for every lineage, in the order of the input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// The lineages.
    pub entries: Vec<PlanEntry>,
}

/// What to do for one lineage.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlanEntry {
    /// Its name.
    pub name: LineageName,
    /// What to do.
    pub step: Step,
    /// Whether it is due, and why.
    pub due: DueDecision,
    /// The next instant at which there is something to do for it: to renew, to try again, to ask the CA, to deploy. At
    /// `now` or earlier when it is to be done now; none when nothing ever comes. After a failure on this machine it is a
    /// little later, although a run that is started tries at once: whoever sleeps until then must not find himself awake
    /// again and again.
    pub wake: Option<DateTime<Utc>>,
}

/// What to do for a lineage now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Renew it.
    Attempt {
        /// Why.
        because: DueReason,
        /// At which CA; none when the input named none.
        directory: Option<AcmeUrl>,
        /// How its limits see the order.
        kind: OrderKind,
    },
    /// It is due, but has to wait.
    Held {
        /// Since when it is due.
        due: DateTime<Utc>,
        /// Until when to wait.
        until: DateTime<Utc>,
        /// For what.
        by: HeldBy,
    },
    /// It is not due.
    NotDue {
        /// When it will be; none for never.
        until: Option<DateTime<Utc>>,
        /// By which rule.
        because: DueReason,
    },
}

/// What a due lineage waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeldBy {
    /// An attempt failed, and its back-off or the CA's Retry-After has not passed.
    Failure(RememberedFailure),
    /// A limit of the CA, its Retry-After for others, or the guard against loops.
    Refusal(Refusal),
}

/// Plans the run at `now`. Two questions are kept apart: whether a lineage is due, and whether it may be tried now. What is
/// nearest to its end gets what is left of a CA's limits first; the rest waits in turn.
pub fn plan(inventory: impl IntoIterator<Item: Borrow<PlanInput>>, outlook: &Outlook, now: DateTime<Utc>) -> Plan {
    let inventory: Vec<_> = inventory.into_iter().collect();
    let inputs: Vec<&PlanInput> = inventory.iter().map(Borrow::borrow).collect();
    let mut ledger = outlook.ledger.clone();
    let mut order: Vec<usize> = (0..inputs.len()).collect();
    order.sort_by_cached_key(|position| inputs.get(*position).map(|input| urgency(input, now)));
    let mut entries: Vec<Option<PlanEntry>> = inputs.iter().map(|_| None).collect();
    for position in order {
        let (Some(input), Some(place)) = (inputs.get(position), entries.get_mut(position)) else { continue };
        let entry = decide(input, &ledger, outlook, now);
        reserve(&mut ledger, input, &entry, now);
        *place = Some(entry);
    }
    Plan { entries: entries.into_iter().flatten().collect() }
}

/// What to do for one lineage at `now`, given what the CAs were asked for. It is [`plan`] for one, and does not see what
/// other lineages need in the same run.
pub fn decide(input: &PlanInput, ledger: &Ledger, outlook: &Outlook, now: DateTime<Utc>) -> PlanEntry {
    let mut decision = match input.validity {
        Some(validity) => due(&facts(input, validity, outlook), now),
        None => DueDecision::at(now, input.wish.now.clone().unwrap_or(DueReason::NoCertificate)),
    };
    // An order that the CA has accepted has used up its share of the limits: finishing it costs nothing more.
    if input.order_under_way && !decision.is_due(now) {
        decision.at = Some(now);
        decision.reason = DueReason::OrderUnderWay;
    }
    let because = decision.reason.clone();
    let step = if decision.is_due(now) {
        match choose(input, ledger, now) {
            Choice::Attempt { directory, kind } => Step::Attempt { because, directory, kind },
            Choice::Held { until, by } => Step::Held { due: decision.at.unwrap_or(now).min(now), until, by },
        }
    } else {
        Step::NotDue { until: decision.at, because }
    };
    let wake = wake(input, &step, now);
    PlanEntry { name: input.name.clone(), step, due: decision, wake }
}

fn facts<'a>(input: &'a PlanInput, validity: Validity, outlook: &Outlook) -> DueFacts<'a> {
    let mut facts = DueFacts::new(input.name.as_str(), validity, &input.wish, input.seed);
    facts.cadence = outlook.cadence;
    let state = &input.state;
    if input.takes_advice {
        facts.renewal_information =
            state.renewal_information.as_ref().filter(|known| Some(&known.certificate) == input.ari_id.as_ref());
    }
    let revocation = state.revocation.as_ref().filter(|_| input.checks_revocation);
    let revocation = revocation.filter(|known| Some(&known.serial) == input.serial.as_ref());
    facts.revoked_since = revocation.and_then(|known| known.revoked_since);
    facts.changed_since = input.changed_since;
    facts
}

/// The share of the lifetime that is left, in millionths: what has least comes first, then what has no certificate at all,
/// since it serves nobody yet.
fn urgency(input: &PlanInput, now: DateTime<Utc>) -> i64 {
    match input.validity {
        Some(validity) => (validity.remaining_fraction(now) * 1_000_000.0) as i64,
        None => 1_000_001,
    }
}

/// Takes what an attempt will use up of the CA's limits, so that the lineages after it do not count on it.
fn reserve(ledger: &mut Ledger, input: &PlanInput, entry: &PlanEntry, now: DateTime<Utc>) {
    match &entry.step {
        Step::Attempt { directory, kind, .. } => {
            let scope = input.authorities.iter().find(|scope| Some(&scope.directory) == directory.as_ref());
            if let Some(scope) = scope {
                ledger.ordered(scope, *kind, now);
                ledger.issued(scope, *kind, TimeDelta::zero(), now);
            }
        }
        Step::Held { until, by: HeldBy::Refusal(Refusal::Limit { limit, .. }), .. } => {
            if let Some(scope) = input.authorities.first() {
                ledger.waits(scope, limit, *until);
            }
        }
        Step::Held { .. } | Step::NotDue { .. } => {}
    }
}

/// The next instant at which there is something to do.
fn wake(input: &PlanInput, step: &Step, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let renewal = match step {
        Step::Attempt { .. } if input.wish.now.is_some() => Some(now),
        Step::Attempt { .. } => Some(input.state.local_retry(now).max(now)),
        Step::Held { until, .. } => Some(*until),
        Step::NotDue { until, .. } => *until,
    };
    let state = &input.state;
    let alive = input.validity.filter(|validity| now <= validity.not_after && !input.wish.never);
    let information = match (alive, &input.ari_id, &state.renewal_information) {
        (Some(_), Some(id), Some(known)) if input.takes_advice && *id == known.certificate => {
            Some(known.next_check.min(now.checked_add_signed(LONGEST_PAUSE).unwrap_or(now)))
        }
        _ => None,
    };
    let revocation = match (alive, &state.revocation) {
        (Some(_), Some(known)) if input.checks_revocation && Some(&known.serial) == input.serial.as_ref() => {
            Some(known.next_check.min(now.checked_add_signed(LONGEST_PAUSE).unwrap_or(now)))
        }
        _ => None,
    };
    [renewal, information, revocation, state.deploy_retry(), state.served_retry()].into_iter().flatten().min()
}

impl Plan {
    /// The next instant at which there is something to do for any lineage.
    pub fn wake(&self) -> Option<DateTime<Utc>> {
        self.entries.iter().filter_map(|entry| entry.wake).min()
    }
}

impl HeldBy {
    /// A stable word for machines: the failure's class or the limit.
    pub fn code(&self) -> String {
        match self {
            Self::Failure(failure) => serde_json::to_value(failure.class)
                .ok()
                .and_then(|class| class.as_str().map(str::to_owned))
                .unwrap_or_default(),
            Self::Refusal(refusal) => refusal.code().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
