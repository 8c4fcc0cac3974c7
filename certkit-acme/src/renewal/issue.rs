//! One certificate from the CA for a lineage: the order under way is resumed, or a new one placed and journalled.

use std::sync::atomic::{AtomicBool, Ordering};

use certkit_core::state::Event;
use certkit_core::store::{Pending, PendingOrder};
use certkit_core::{Chain, Failure, FailureClass, IdentifierSet, PrivateKey, Version};

use super::inventory::{Inventory, blocking, store_failure};
use super::job::{Job, ProfileWish};
use chrono::TimeDelta;

use crate::challenge::Solver;
use crate::issuing::{
    GRACE, Issuing, Journal, KeyHolder, OrderStep, clean_up_after, deactivate_valid, heeding, patiently,
};
use crate::keys::KeySpec;
use crate::protocol::{Account, Authority, IssuedChain, NewOrder, Order, OrderStatus};
use crate::{BoxFuture, Stop};

/// After so many failures in a row an order is given up although the CA may still mend: by the back-off that is a day.
const MOST_FAILURES_OF_AN_ORDER: u32 = 4;

/// No CA keeps an order for longer (Let's Encrypt: 7 days at most, 2026-07-14).
const LONGEST_LIFE_OF_AN_ORDER: TimeDelta = TimeDelta::days(7);

/// How often a dry run gives up the authorizations that the CA reuses before it takes what it gets.
const MOST_TRIAL_ORDERS: usize = 3;

/// A chain from the CA and the key it belongs to.
pub(super) struct Issued {
    pub(super) chain: Chain,
    pub(super) key: PrivateKey,
    /// The live version when the order was placed: what the result may replace.
    pub(super) replaces: Option<Version>,
}

/// What an attempt talks to.
pub(super) struct Exchange<'a> {
    pub(super) inventory: &'a Inventory,
    pub(super) job: &'a Job,
    pub(super) authority: &'a Authority,
    pub(super) account: &'a Account,
    pub(super) solver: &'a dyn Solver,
    pub(super) stop: &'a Stop,
    /// Whether the CA has an order: what fails from then on concerns this order.
    pub(super) has_order: AtomicBool,
}

/// Obtains a certificate. An order of an earlier run is resumed; one that turns out to be lost is replaced, once.
pub(super) async fn issue(exchange: &Exchange<'_>) -> Result<Issued, Failure> {
    if let Some(resumed) = resume(exchange).await? {
        match finish(exchange, resumed).await {
            Err(failure) if failure.class == FailureClass::OrderLost => {}
            other => return other,
        }
    }
    let begun = begin(exchange).await?;
    finish(exchange, begun).await
}

async fn finish(exchange: &Exchange<'_>, under_way: UnderWay) -> Result<Issued, Failure> {
    exchange.has_order.store(true, Ordering::Relaxed);
    let UnderWay { order, key, replaces } = under_way;
    let issuing = Issuing {
        account: exchange.account,
        identifiers: &exchange.job.subject.identifiers,
        solver: exchange.solver,
        key: KeyHolder::Us(&key),
        preferred_chain: exchange.job.preferred_chain.as_deref(),
        journal: exchange,
        stop: exchange.stop,
    };
    let outcome = issuing.finish(order).await.map(|issued| issued.chain);
    if let Err(failure) = &outcome
        && is_of_no_more_use(failure, exchange.inventory.state(&exchange.job.subject.name).consecutive_failures)
    {
        drop_order(exchange, "failed").await?;
    }
    outcome.map(|chain| Issued { chain, key, replaces })
}

/// An order with its key, journalled (but for a dry run).
struct UnderWay {
    order: Order,
    key: PrivateKey,
    replaces: Option<Version>,
}

/// Whether an order is to be given up after this failure, so that the next attempt makes a new one. What the CA refuses
/// for good it will refuse again; what it may still mend is tried a few times more, because the certificate may have
/// been issued already.
fn is_of_no_more_use(failure: &Failure, failures_before: u32) -> bool {
    use FailureClass as Class;
    match failure.class {
        Class::BadCsr
        | Class::ChallengeFailed
        | Class::IdentifierRefused
        | Class::OrderLost
        | Class::ProfileRefused => true,
        Class::Interrupted | Class::Network | Class::Store | Class::ChallengeSetup | Class::Settings => false,
        // These concern the account, not the order.
        Class::AccountUnknown
        | Class::ExternalAccountRequired
        | Class::Paused
        | Class::RateLimited
        | Class::TermsOfService => false,
        _ => {
            let refused_for_good = matches!(failure.http_status, Some(400..=407 | 409..=428 | 430..=499));
            refused_for_good || failures_before >= MOST_FAILURES_OF_AN_ORDER
        }
    }
}

/// The order of an earlier run, when the CA still has it and it is for what is wanted now.
async fn resume(exchange: &Exchange<'_>) -> Result<Option<UnderWay>, Failure> {
    let Exchange { inventory, job, account, solver, stop, .. } = exchange;
    if inventory.is_dry_run() {
        return Ok(None);
    }
    let Some(pending) = inventory.pending(&job.subject.name).await.map_err(store_failure)? else { return Ok(None) };
    let Pending { order: journalled, key, .. } = pending;
    let same = journalled.directory == job.directory
        && journalled.account_url == *account.url()
        && journalled.identifiers.same_as(&job.subject.identifiers)
        && job.subject.key_to_leave.as_ref().is_none_or(|left| left.der() != key.der());
    if !same {
        drop_order(exchange, "something-else-is-wanted").await?;
        return Ok(None);
    }
    let now = inventory.now();
    let lost = match patiently(stop, || account.order(&journalled.order_url)).await? {
        Ok(order) if order.status == OrderStatus::Valid && order.is_for(&job.subject.identifiers) => Ok(order),
        Ok(order) if order.status == OrderStatus::Invalid => Err((Some(order), "invalid")),
        Ok(order) if !order.is_for(&job.subject.identifiers) => Err((Some(order), "for-other-names")),
        Ok(order) if order.expires.is_some_and(|at| at <= now) => Err((Some(order), "expired")),
        Ok(order) => Ok(order),
        Err(error) if error.is_gone() => Err((None, "unknown-to-the-ca")),
        Err(error) => {
            let failure = Failure::from(error);
            let failures = inventory.state(&job.subject.name).consecutive_failures;
            let old = now - journalled.placed > LONGEST_LIFE_OF_AN_ORDER;
            if !old && !is_of_no_more_use(&failure, failures) {
                return Err(failure);
            }
            Err((None, "unreadable"))
        }
    };
    match lost {
        Ok(order) => {
            let resumed = Event::OrderResumed { order_url: order.url.clone() };
            inventory.record(&job.subject.name, resumed).await.map_err(store_failure)?;
            Ok(Some(UnderWay { order, key, replaces: journalled.replaces }))
        }
        Err((order, because)) => {
            if let Some(order) = order {
                clean_up_after(&order, account, *solver, stop).await;
            }
            drop_order(exchange, because).await?;
            Ok(None)
        }
    }
}

/// Places a new order and journals it, with its key, before anything else is done.
async fn begin(exchange: &Exchange<'_>) -> Result<UnderWay, Failure> {
    let Exchange { inventory, job, authority, account, stop, .. } = exchange;
    // The key comes first, so that nothing slow lies between the CA's answer and the journal.
    let key = match &job.subject.key_in_use {
        Some(key) => key.clone(),
        None => {
            let spec = job.key;
            blocking(move || KeySpec::generate(spec))
                .await
                .map_err(|error| Failure::new(FailureClass::Settings, error.to_string()))?
        }
    };
    let name = &job.subject.name;
    if !inventory.is_dry_run() {
        inventory.reserve(name, key.clone()).await.map_err(store_failure)?;
    }
    // An order that the CA may have accepted is waited for and journalled, also when the run is to stop.
    let placed = async {
        let order = place(NewOrderFor {
            account,
            identifiers: &job.subject.identifiers,
            profile: profile(&job.profile, authority)?,
            is_dry_run: inventory.is_dry_run(),
            stop,
        })
        .await?;
        if !inventory.is_dry_run() {
            let journalled = PendingOrder::new(
                order.url.clone(),
                job.directory.clone(),
                account.url().clone(),
                job.subject.identifiers.clone(),
                inventory.now(),
            )
            .replacing(job.subject.live_version);
            inventory.begin(name, key.clone(), journalled).await.map_err(store_failure)?;
        }
        inventory.record(name, Event::OrderPlaced { order_url: order.url.clone() }).await.map_err(store_failure)?;
        Ok(order)
    };
    let order = heeding(stop, GRACE, placed).await?;
    Ok(UnderWay { order, key, replaces: job.subject.live_version })
}

/// What an order is placed for.
pub(super) struct NewOrderFor<'a> {
    pub(super) account: &'a Account,
    pub(super) identifiers: &'a IdentifierSet,
    pub(super) profile: Option<String>,
    pub(super) is_dry_run: bool,
    pub(super) stop: &'a Stop,
}

/// Places an order. That of a dry run has every name validated anew.
pub(super) async fn place(wanted: NewOrderFor<'_>) -> Result<Order, Failure> {
    let NewOrderFor { account, identifiers, profile, is_dry_run, stop } = wanted;
    let mut new = NewOrder::new(identifiers.clone());
    new.profile = profile;
    let mut order = account.new_order(&new).await.map_err(Failure::from)?;
    for _ in 1..MOST_TRIAL_ORDERS {
        // Names that the CA remembers as validated would not be tried.
        if !is_dry_run || !deactivate_valid(account, &order, stop).await? {
            break;
        }
        order = account.new_order(&new).await.map_err(Failure::from)?;
    }
    Ok(order)
}

/// Notes each step of an order in the store before it is taken.
impl Journal for Exchange<'_> {
    fn note<'a>(&'a self, step: OrderStep<'a>) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let Exchange { inventory, job, .. } = self;
            let name = &job.subject.name;
            let event = match step {
                OrderStep::Validating { challenges } => Event::Validating { challenges },
                OrderStep::Authorized => Event::Authorized,
                OrderStep::Finalizing { order } => {
                    if !inventory.is_dry_run()
                        && let Some(pending) = inventory.pending(name).await.map_err(store_failure)?
                    {
                        inventory.mark_finalizing(pending).await.map_err(store_failure)?;
                    }
                    Event::Finalizing { order_url: order.url.clone() }
                }
                OrderStep::Issued { issued: IssuedChain { chain, .. } } => Event::Issued {
                    serial: chain.leaf.serial().certbot_hex(),
                    not_after: chain.leaf.validity().not_after,
                },
            };
            inventory.record(name, event).await.map_err(store_failure)
        })
    }
}

/// Only a profile that the directory offers is sent (draft-ietf-acme-profiles section 4).
pub(super) fn profile(wish: &ProfileWish, authority: &Authority) -> Result<Option<String>, Failure> {
    let offered = &authority.directory().profiles;
    match wish {
        ProfileWish::None => Ok(None),
        ProfileWish::Preferred(name) => Ok(offered.contains_key(name).then(|| name.clone())),
        ProfileWish::Required(name) if offered.contains_key(name) => Ok(Some(name.clone())),
        ProfileWish::Required(name) => {
            let names: Vec<&str> = offered.keys().map(String::as_str).collect();
            let offers = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            Err(Failure::new(
                FailureClass::ProfileRefused,
                format!("the CA does not offer the profile {name}; it offers {offers}"),
            ))
        }
    }
}

async fn drop_order(exchange: &Exchange<'_>, because: &str) -> Result<(), Failure> {
    let Exchange { inventory, job, .. } = exchange;
    let name = &job.subject.name;
    if inventory.is_dry_run() {
        return Ok(());
    }
    if let Some(pending) = inventory.pending(name).await.map_err(store_failure)? {
        let dropped = Event::OrderDropped { order_url: pending.order.order_url, because: because.to_owned() };
        inventory.drop_pending(name).await.map_err(store_failure)?;
        inventory.record(name, dropped).await.map_err(store_failure)?;
    }
    Ok(())
}
