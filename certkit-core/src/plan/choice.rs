//! Which CA is asked for a lineage that is due, and whether it may be asked now.

use chrono::{DateTime, TimeDelta, Utc};

use super::{HeldBy, PlanInput};
use crate::decision::DueReason;
use crate::decision::limits::OrderKind;
use crate::state::{AuthorityMemory, Ledger, OrderScope};
use crate::{AcmeUrl, FailureClass};

/// With less than this part of the lifetime left another CA is better than none.
const SCARCE_FRACTION: i32 = 5;

/// A failure that lies further ahead than this was noted by a clock that has been set back since: when it would be over
/// is not known, and waiting for that instant could take as long as the clock was wrong.
const LARGEST_STEP_BACK: TimeDelta = TimeDelta::minutes(5);

pub(super) enum Choice {
    Attempt { directory: Option<AcmeUrl>, kind: OrderKind },
    Held { until: DateTime<Utc>, by: HeldBy },
}

/// The first CA that may be asked. The others are asked only while the first fails: when it has been down for a while, or
/// with little of the lifetime left.
pub(super) fn choose(input: &PlanInput, ledger: &Ledger, now: DateTime<Utc>) -> Choice {
    let Some((first, others)) = input.authorities.split_first() else {
        return match held_by_failure(input, None, now) {
            Some((until, by)) => Choice::Held { until, by },
            None => Choice::Attempt { directory: None, kind: OrderKind::New },
        };
    };
    let mut held = match may_ask(input, first, ledger, now) {
        Ok(choice) => return choice,
        Err(held) => held,
    };
    if stands_in(input, first, now) {
        for other in others {
            match may_ask(input, other, ledger, now) {
                Ok(choice) => return choice,
                Err(later) if later.0 < held.0 => held = later,
                Err(_) => {}
            }
        }
    }
    let (until, by) = held;
    Choice::Held { until, by }
}

fn may_ask(
    input: &PlanInput,
    scope: &OrderScope,
    ledger: &Ledger,
    now: DateTime<Utc>,
) -> Result<Choice, (DateTime<Utc>, HeldBy)> {
    let kind = input.order_kind(scope, now);
    let choice = Choice::Attempt { directory: Some(scope.directory.clone()), kind };
    // The owner's word overrides our own caution.
    if matches!(input.wish.now, Some(DueReason::Forced | DueReason::DryRun | DueReason::Changed)) {
        return Ok(choice);
    }
    let failure = held_by_failure(input, Some(&scope.directory), now);
    // An order that was accepted is finished whatever the limits for new ones say.
    let refusal = if input.order_under_way {
        None
    } else {
        let lifetime = input.validity.map(|validity| validity.lifetime());
        let refused = ledger.may_order(scope, kind, lifetime, now).err();
        refused.map(|(until, refusal)| (until, HeldBy::Refusal(refusal)))
    };
    match (failure, refusal) {
        (None, None) => Ok(choice),
        (Some(held), None) | (None, Some(held)) => Err(held),
        (Some(failure), Some(refusal)) => Err(if failure.0 >= refusal.0 { failure } else { refusal }),
    }
}

fn held_by_failure(
    input: &PlanInput,
    directory: Option<&AcmeUrl>,
    now: DateTime<Utc>,
) -> Option<(DateTime<Utc>, HeldBy)> {
    if input.wish.now.is_some() {
        return None;
    }
    let (until, failure) = input.state.held_until(directory, input.validity)?;
    let is_of_this_clock = failure.at - now <= LARGEST_STEP_BACK;
    (now < until && is_of_this_clock).then(|| (until, HeldBy::Failure(failure.clone())))
}

/// Whether another CA may take the place of the first.
fn stands_in(input: &PlanInput, first: &OrderScope, now: DateTime<Utc>) -> bool {
    let Some(memory) = input.state.authority(&first.directory) else { return false };
    let scarce = input.validity.is_some_and(|validity| {
        validity.remaining(now) < validity.lifetime() / SCARCE_FRACTION && another_may_do_better(memory)
    });
    scarce || memory.is_down_for_a_while(now)
}

/// Whether the first CA's failure would not meet every other CA as well.
fn another_may_do_better(memory: &AuthorityMemory) -> bool {
    memory.last_failure.asked_the_ca
        && !matches!(
            memory.last_failure.class,
            FailureClass::BadCsr | FailureClass::Bug | FailureClass::ChallengeFailed | FailureClass::CertificateUnfit
        )
}
