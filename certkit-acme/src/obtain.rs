//! One order from start to end, without a store: for programs that keep certificates in a way of their own.
//!
//! Nothing is journalled here, so a process that dies on the way loses the order; [`crate::renewal`] does not.

use certkit_core::{Failure, FailureClass, IdentifierFailure, IdentifierSet, PrivateKey, Problem};
use chrono::{DateTime, TimeDelta, Utc};

use crate::Clock;
use crate::challenge::{Challenge, ChallengeKind, Solver, Token};
use crate::keys::certificate_signing_request;
use crate::protocol::{
    Account, Authorization, AuthorizationStatus, ChallengeOffer, ChallengeStatus, IssuedChain, NewOrder, Order,
    OrderStatus,
};

/// How long the CA may take to validate, and again to issue. RFC 8555 names no limit; public CAs take seconds.
const PATIENCE: TimeDelta = TimeDelta::minutes(5);

/// Between two looks at an order, where the CA does not say (RFC 8555 section 7.5.1 leaves it to the client).
const PAUSE: TimeDelta = TimeDelta::milliseconds(500);

/// Orders a certificate for `identifiers`, answers its challenges with `solver` and returns the chain, whose key is
/// `key`. All challenges are set up at once and removed again whatever happens; every identifier that failed is in the
/// failure. When the future is dropped on the way, challenges that were set up stay.
pub async fn obtain(
    account: &Account,
    identifiers: &IdentifierSet,
    solver: &dyn Solver,
    key: &PrivateKey,
    clock: &dyn Clock,
) -> Result<IssuedChain, Failure> {
    let csr = certificate_signing_request(key, identifiers)
        .map_err(|error| Failure::new(FailureClass::BadCsr, error.to_string()))?;
    let mut order = account.new_order(&NewOrder::new(identifiers.clone())).await?;
    if order.status == OrderStatus::Pending {
        let asked = questions(account, &order, solver).await?;
        let challenges: Vec<Challenge> = asked.iter().map(|(_, challenge, _)| challenge.clone()).collect();
        let validated = validate(account, &order, solver, &asked, &challenges, clock).await;
        let withdrawn = solver.withdraw(&challenges).await;
        order = validated?;
        withdrawn?;
    }
    if order.status == OrderStatus::Ready {
        order = account.finalize(&order, &csr).await?;
        order = settled(account, order, OrderStatus::Processing, clock).await?;
    }
    let Some(certificate) = order.certificate.as_ref().filter(|_| order.status == OrderStatus::Valid) else {
        return Err(lost(account, &order).await);
    };
    let chains = account.certificate(certificate, false).await?;
    let none = || Failure::new(FailureClass::Protocol, "the CA delivered no certificate");
    chains.into_iter().next().ok_or_else(none)
}

type Question = (Authorization, Challenge, ChallengeOffer);

/// The challenges to be answered: for each authorization the first kind that solver and CA have in common.
async fn questions(account: &Account, order: &Order, solver: &dyn Solver) -> Result<Vec<Question>, Failure> {
    let mut questions = Vec::new();
    for url in &order.authorizations {
        let authorization = account.authorization(url).await?;
        if authorization.status != AuthorizationStatus::Pending {
            continue;
        }
        let identifier = authorization.identifier.clone();
        let kinds = solver.kinds(&identifier, authorization.wildcard);
        let offered = |kind: &ChallengeKind| {
            let offer = authorization.challenges.iter().find(|offer| offer.kind == kind.as_str())?;
            Some((*kind, offer.clone()))
        };
        let Some((kind, offer)) = kinds.iter().find_map(offered) else {
            let detail = format!("the CA offers no challenge for {identifier} that can be answered");
            return Err(Failure::new(FailureClass::ChallengeSetup, detail));
        };
        let token = Token::parse(offer.token.as_deref().unwrap_or_default())?;
        let answer = account.key_authorization(token.as_str());
        let challenge = Challenge::new(identifier, authorization.wildcard, kind, token, answer);
        questions.push((authorization, challenge, offer));
    }
    Ok(questions)
}

async fn validate(
    account: &Account,
    order: &Order,
    solver: &dyn Solver,
    asked: &[Question],
    challenges: &[Challenge],
    clock: &dyn Clock,
) -> Result<Order, Failure> {
    solver.present(challenges, &order.identifiers).await?;
    for (_, _, offer) in asked.iter().filter(|(_, _, offer)| offer.status == ChallengeStatus::Pending) {
        account.challenge_ready(&offer.url).await?;
    }
    let order = settled(account, account.order(&order.url).await?, OrderStatus::Pending, clock).await?;
    match order.status {
        OrderStatus::Invalid => Err(lost(account, &order).await),
        _ => Ok(order),
    }
}

/// Reads an order until it has left a state.
async fn settled(account: &Account, mut order: Order, state: OrderStatus, clock: &dyn Clock) -> Result<Order, Failure> {
    let end = clock.now() + PATIENCE;
    while order.status == state {
        let now = clock.now();
        if now >= end {
            let detail =
                format!("the CA has not finished the order {} in {} minutes", order.url, PATIENCE.num_minutes());
            return Err(Failure::new(FailureClass::ServerUnavailable, detail));
        }
        clock.sleep_until(next_look(order.retry_after, now, end)).await;
        order = account.order(&order.url).await?;
    }
    Ok(order)
}

/// When the CA wants to be asked again, but not at once and not after the end of our patience.
fn next_look(retry_after: Option<DateTime<Utc>>, now: DateTime<Utc>, end: DateTime<Utc>) -> DateTime<Utc> {
    let soon = now + PAUSE;
    retry_after.map_or(soon, |at| at.max(soon)).min(end.max(soon))
}

/// Why an order is invalid, with every identifier that failed.
async fn lost(account: &Account, order: &Order) -> Failure {
    let mut failures = order.per_identifier.clone();
    for url in &order.authorizations {
        // The order is lost anyway; an authorization that cannot be read only makes the report shorter.
        let Ok(authorization) = account.authorization(url).await else { continue };
        if failures.iter().any(|failure| failure.identifier == authorization.identifier) {
            continue;
        }
        let reason = authorization.challenges.iter().find_map(|offer| offer.error.clone());
        if let Some(problem) = reason {
            failures.push(IdentifierFailure::new(authorization.identifier, problem));
        }
    }
    let class = if failures.is_empty() { FailureClass::OrderLost } else { FailureClass::ChallengeFailed };
    let detail = match (&order.error, failures.as_slice()) {
        (Some(Problem { kind, detail, .. }), _) => format!("{kind}: {detail}"),
        (None, []) => format!("the order {} is {:?}", order.url, order.status),
        (None, [first, ..]) => {
            let count = failures.len();
            format!(
                "{count} of {} names failed, first {}: {}",
                order.identifiers.len(),
                first.identifier,
                first.problem.detail
            )
        }
    };
    let failure = Failure::new(class, detail).with_identifiers(failures);
    match order.error.clone() {
        Some(problem) => failure.with_problem(problem),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_look_is_neither_at_once_nor_too_late() {
        let at = |seconds| DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap();
        let (now, end) = (at(0), at(300));
        assert_eq!(next_look(None, now, end), now + PAUSE);
        assert_eq!(next_look(Some(at(-5)), now, end), now + PAUSE);
        assert_eq!(next_look(Some(at(20)), now, end), at(20));
        assert_eq!(next_look(Some(at(86_400)), now, end), end);
    }
}
