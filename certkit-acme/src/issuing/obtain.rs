//! One order from start to end, without a store: for programs that keep certificates in a way of their own.

use certkit_core::{Failure, IdentifierSet, PrivateKey};

use super::{Issuing, KeyHolder, NoJournal};
use crate::Stop;
use crate::challenge::Solver;
use crate::protocol::{Account, IssuedChain, NewOrder};

/// Orders a certificate for `identifiers`, answers its challenges with `solver` and returns the chain, whose key is
/// `key`. All challenges are set up at once and removed again, also when the order fails or `stop` is asked for; every
/// identifier that failed is in the failure. Nothing is journalled: a process that dies on the way loses the order,
/// which [`crate::renewal`] does not. The chain is not verified here; see [`certkit_core::store::VerifiedVersion`].
pub async fn obtain(
    account: &Account,
    identifiers: &IdentifierSet,
    solver: &dyn Solver,
    key: &PrivateKey,
    stop: &Stop,
) -> Result<IssuedChain, Failure> {
    let order = account.new_order(&NewOrder::new(identifiers.clone())).await;
    let order = order.map_err(|error| Failure::from(error).concerning(identifiers))?;
    let key = KeyHolder::Us(key);
    let issuing = Issuing { account, identifiers, solver, key, preferred_chain: None, journal: &NoJournal, stop };
    issuing.finish(order).await
}
