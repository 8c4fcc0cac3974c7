//! All challenges of an order: set up together, validated together, removed whatever happens.

use std::time::Duration;

use certkit_core::{Failure, FailureClass, Identifier, IdentifierFailure, IdentifierSet, Problem};
use futures_util::future::join_all;
use tokio::time::Instant;

use super::patience::{GRACE, heeding, interrupted, patiently, pause};
use super::{Issuing, OrderStep};
use crate::Stop;
use crate::challenge::{Challenge, ChallengeKind, Solver, Token};
use crate::protocol::{Account, AcmeError, Authorization, AuthorizationStatus, ChallengeOffer, ChallengeStatus, Order};

/// How long a CA may take to validate one name. certbot waits 30 minutes; no public CA needs more than a few.
const LONGEST_VALIDATION: Duration = Duration::from_secs(600);

/// Has every authorization of the order validated. On failure every failing name is in the result, not only the first.
pub(super) async fn validate(issuing: &Issuing<'_>, order: &Order) -> Result<(), Failure> {
    let Issuing { account, solver, stop, identifiers, .. } = issuing;
    let authorizations = read_all(account, order, stop).await?;
    let mut lost: Vec<IdentifierFailure> = authorizations.iter().filter_map(failure_of).collect();
    if !lost.is_empty() {
        lost.sort_by_key(|one| identifiers.iter().position(|wanted| *wanted == one.identifier));
        return Err(challenge_failure(lost));
    }
    let mut wanted = Vec::new();
    for authorization in authorizations.iter().filter(|one| one.status == AuthorizationStatus::Pending) {
        wanted.push(choose(authorization, *solver, account)?);
    }
    if wanted.is_empty() {
        return Ok(());
    }
    // A CA may list authorizations in any order; people and hooks expect theirs.
    wanted.sort_by_key(|one| position(identifiers, &one.challenge));
    // Hooks and web roots are told names of the owner's request only, whatever a CA would like to have proved.
    if let Some(foreign) = wanted.iter().find(|one| position(identifiers, &one.challenge).is_none()) {
        let Challenge { identifier, wildcard, .. } = &foreign.challenge;
        let star = if *wildcard { "*." } else { "" };
        let what = format!("the CA wants {star}{identifier} validated, which was not ordered");
        return Err(Failure::new(FailureClass::Protocol, what));
    }
    let count = u32::try_from(wanted.len()).unwrap_or(u32::MAX);
    issuing.journal.note(OrderStep::Validating { challenges: count }).await?;
    let challenges: Vec<Challenge> = wanted.iter().map(|one| one.challenge.clone()).collect();
    let presented = solver.present(&challenges, identifiers).await;
    let outcome = match presented {
        Err(error) => Err(Failure::from(error)),
        Ok(()) => tokio::select! {
            outcome = answer_all(account, &wanted, stop) => outcome,
            _ = stop.stopped() => Err(interrupted()),
        },
    };
    // Removed whatever happened; a failure to remove is told only when nothing worse is.
    let withdrawn = solver.withdraw(&challenges).await;
    outcome?;
    withdrawn.map_err(Failure::from)
}

/// Removes what an earlier run, which was killed, may have set up for an order that is given up. What cannot be read or
/// removed stays: nothing depends on it.
pub(crate) async fn clean_up_after(order: &Order, account: &Account, solver: &dyn Solver, stop: &Stop) {
    let Ok(authorizations) = read_all(account, order, stop).await else { return };
    let challenges: Vec<Challenge> = authorizations
        .iter()
        .filter_map(|authorization| choose(authorization, solver, account).ok())
        .map(|wanted| wanted.challenge)
        .collect();
    let _ = solver.withdraw_abandoned(&challenges).await;
}

/// Gives up the authorizations that are valid already. Says whether there were any.
pub(crate) async fn deactivate_valid(account: &Account, order: &Order, stop: &Stop) -> Result<bool, Failure> {
    let authorizations = read_all(account, order, stop).await?;
    let valid: Vec<&Authorization> =
        authorizations.iter().filter(|one| one.status == AuthorizationStatus::Valid).collect();
    for authorization in &valid {
        let given_up = async { Ok(account.deactivate_authorization(&authorization.url).await?) };
        heeding(stop, GRACE, given_up).await?;
    }
    Ok(!valid.is_empty())
}

/// The place of a challenge's name in the request.
fn position(identifiers: &IdentifierSet, challenge: &Challenge) -> Option<usize> {
    identifiers.iter().position(|identifier| match (identifier, &challenge.identifier) {
        (Identifier::Dns(wanted), Identifier::Dns(name)) => {
            wanted.is_wildcard() == challenge.wildcard && wanted.base() == name.base()
        }
        (wanted, identifier) => wanted == identifier,
    })
}

struct Wanted {
    challenge: Challenge,
    offer: ChallengeOffer,
    authorization: Authorization,
}

async fn read_all(account: &Account, order: &Order, stop: &Stop) -> Result<Vec<Authorization>, Failure> {
    let reads = order.authorizations.iter().map(|url| patiently(account, stop, move || account.authorization(url)));
    join_all(reads).await.into_iter().map(|read| Ok(read??)).collect()
}

/// The first kind of challenge that both sides can do.
fn choose(authorization: &Authorization, solver: &dyn Solver, account: &Account) -> Result<Wanted, Failure> {
    let Authorization { identifier, wildcard, challenges, .. } = authorization;
    let kinds = solver.kinds(identifier, *wildcard);
    for kind in &kinds {
        let Some(offer) = challenges.iter().find(|offer| offer.kind == kind.as_str()) else { continue };
        let token = Token::parse(offer.token.as_deref().unwrap_or_default()).map_err(|error| error.of(identifier))?;
        let key_authorization = account.key_authorization(token.as_str());
        let challenge = Challenge::new(identifier.clone(), *wildcard, *kind, token, key_authorization);
        return Ok(Wanted { challenge, offer: offer.clone(), authorization: authorization.clone() });
    }
    let offered: Vec<&str> = challenges.iter().map(|offer| offer.kind.as_str()).collect();
    let possible: Vec<&str> = kinds.iter().copied().map(ChallengeKind::as_str).collect();
    Err(Failure::new(
        FailureClass::ChallengeSetup,
        format!(
            "no way to validate {}{identifier}: the CA offers {}, this authenticator can do {}",
            if *wildcard { "*." } else { "" },
            if offered.is_empty() { "nothing".to_owned() } else { offered.join(", ") },
            if possible.is_empty() { "none of them".to_owned() } else { possible.join(", ") },
        ),
    ))
}

/// Tells the CA that all can be looked at, and waits for all verdicts.
async fn answer_all(account: &Account, wanted: &[Wanted], stop: &Stop) -> Result<(), Failure> {
    let answers = join_all(wanted.iter().map(|one| answer(account, one, stop))).await;
    let mut refused = Vec::new();
    let mut other = None;
    for answer in answers {
        match answer {
            Ok(None) => {}
            Ok(Some(failure)) => refused.push(failure),
            Err(failure) => other = other.or(Some(failure)),
        }
    }
    match (refused.is_empty(), other) {
        (true, None) => Ok(()),
        (true, Some(failure)) => Err(failure),
        (false, _) => Err(challenge_failure(refused)),
    }
}

async fn answer(account: &Account, wanted: &Wanted, stop: &Stop) -> Result<Option<IdentifierFailure>, Failure> {
    let deadline = Instant::now() + LONGEST_VALIDATION;
    // One that the CA is looking at already (a resumed order) must not be answered twice.
    if wanted.offer.status == ChallengeStatus::Pending {
        let told = heeding(stop, GRACE, async { Ok(account.challenge_ready(&wanted.offer.url).await) }).await?;
        match told {
            Ok(()) => {}
            // The CA may have had the answer although we did not hear it: the authorization tells.
            Err(AcmeError::Transport(_)) => {}
            Err(error) => {
                let authorization =
                    patiently(account, stop, || account.authorization(&wanted.authorization.url)).await??;
                if authorization.status == AuthorizationStatus::Pending {
                    return Err(error.into());
                }
            }
        }
    }
    let mut looks = 0;
    loop {
        let authorization = patiently(account, stop, || account.authorization(&wanted.authorization.url)).await??;
        match authorization.status {
            AuthorizationStatus::Valid => return Ok(None),
            AuthorizationStatus::Pending => {}
            _ => return Ok(failure_of(&authorization)),
        }
        if Instant::now() >= deadline {
            return Err(Failure::new(
                FailureClass::ServerUnavailable,
                format!(
                    "the CA did not validate {} in time; the order is resumed at the next run",
                    authorization.identifier
                ),
            ));
        }
        looks += 1;
        pause(account, looks, authorization.retry_after, stop).await?;
    }
}

fn failure_of(authorization: &Authorization) -> Option<IdentifierFailure> {
    let what = match authorization.status {
        AuthorizationStatus::Pending | AuthorizationStatus::Valid => return None,
        AuthorizationStatus::Invalid => "the CA gave no reason",
        AuthorizationStatus::Deactivated => "the authorization was deactivated",
        AuthorizationStatus::Expired => "the authorization expired before it was used",
        AuthorizationStatus::Revoked => "the CA withdrew the authorization",
    };
    let problem =
        authorization.challenges.iter().find_map(|offer| offer.error.clone()).unwrap_or_else(|| Problem::new("", what));
    Some(IdentifierFailure::new(authorization.identifier.clone(), problem))
}

fn challenge_failure(failures: Vec<IdentifierFailure>) -> Failure {
    let names: Vec<String> = failures.iter().map(|one| one.identifier.to_string()).collect();
    let verb = if names.len() == 1 { "was" } else { "were" };
    Failure::new(FailureClass::ChallengeFailed, format!("{} {verb} not validated by the CA", names.join(", ")))
        .with_identifiers(failures)
}
