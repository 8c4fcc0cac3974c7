//! Which CA is asked for a lineage that is due, and whether it may be asked now.

use chrono::{DateTime, Utc};

use super::{HeldBy, PlanInput};
use crate::decision::DueReason;
use crate::decision::limits::OrderKind;
use crate::state::{AuthorityMemory, LONG_OUTAGE, Ledger, OrderScope, Refusal, is_of_a_wrong_clock};
use crate::{AcmeUrl, FailureClass};

/// With less than this part of the lifetime left another CA is better than none.
const SCARCE_FRACTION: i32 = 5;

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
    if stands_in(input, first, &held.1, now) {
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
    if is_forced(input) {
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
    if is_forced(input) {
        return None;
    }
    let (until, failure) = input.state.held_until(directory, input.validity)?;
    if is_of_a_wrong_clock(failure.at, now) {
        return None;
    }
    (now < until).then(|| (until, HeldBy::Failure(failure.clone())))
}

/// `--force-renewal`, or a dry run, which asks for nothing that counts. What was asked for otherwise waits as a renewal
/// does: a script that asks every minute must not ask the CA every minute.
fn is_forced(input: &PlanInput) -> bool {
    matches!(input.wish.now, Some(DueReason::Forced | DueReason::DryRun))
}

/// Whether another CA may take the place of the first, which holds this lineage back.
fn stands_in(input: &PlanInput, first: &OrderScope, held: &HeldBy, now: DateTime<Utc>) -> bool {
    let is_scarce =
        input.validity.is_some_and(|validity| validity.remaining(now) < validity.lifetime() / SCARCE_FRACTION);
    // Another lineage met the outage, and its Retry-After holds this one back before it has asked.
    if let HeldBy::Refusal(Refusal::Hold(hold)) = held
        && hold.class == FailureClass::ServerUnavailable
    {
        return is_scarce || now - hold.since >= LONG_OUTAGE;
    }
    let Some(memory) = input.state.authority(&first.directory) else { return false };
    (is_scarce && another_may_do_better(memory)) || memory.is_down_for_a_while(now)
}

/// Whether the first CA's failure would not meet every other CA as well.
fn another_may_do_better(memory: &AuthorityMemory) -> bool {
    memory.last_failure.asked_the_ca
        && !matches!(
            memory.last_failure.class,
            FailureClass::BadCsr | FailureClass::Bug | FailureClass::ChallengeFailed | FailureClass::CertificateUnfit
        )
}
