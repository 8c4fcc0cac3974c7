//! One certificate from the CA for a lineage: the order under way is resumed, or a new one placed and journalled.

use certkit_core::state::Event;
use certkit_core::store::{Pending, PendingOrder};
use certkit_core::{Chain, Failure, FailureClass, IdentifierSet, PrivateKey, Version};

use super::inventory::{Inventory, blocking, store_failure};
use super::job::{Job, ProfileWish};
use crate::challenge::Solver;
use crate::issuing::{Issuing, Journal, KeyHolder, OrderStep, deactivate_valid, patiently};
use crate::keys::KeySpec;
use crate::protocol::{Account, AcmeError, Authority, IssuedChain, NewOrder, Order, OrderStatus};
use crate::{BoxFuture, Stop};

/// How often an order is begun anew within one attempt because the one under way turned out to be lost.
const ORDERS_PER_ATTEMPT: usize = 2;

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
}

/// Obtains a certificate. An order of an earlier run is resumed; one that is lost is dropped with its key and replaced.
pub(super) async fn issue(exchange: &Exchange<'_>) -> Result<Issued, Failure> {
    let mut last = None;
    for _ in 0..ORDERS_PER_ATTEMPT {
        match issue_once(exchange).await {
            Err(failure) if failure.class == FailureClass::OrderLost => last = Some(failure),
            other => return other,
        }
    }
    // The loop ran at least once, and every pass that did not return left its failure.
    Err(last.unwrap_or_else(|| Failure::new(FailureClass::Bug, "no order was tried")))
}

async fn issue_once(exchange: &Exchange<'_>) -> Result<Issued, Failure> {
    let UnderWay { order, key, replaces } = match resume(exchange).await? {
        Some(under_way) => under_way,
        None => begin(exchange).await?,
    };
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
        && gives_up_the_order(failure)
    {
        drop_order(exchange, "invalid").await?;
    }
    outcome.map(|chain| Issued { chain, key, replaces })
}

/// An order with its key, journalled (but for a dry run).
struct UnderWay {
    order: Order,
    key: PrivateKey,
    replaces: Option<Version>,
}

/// An order is of no use after these: the CA makes it invalid (RFC 8555 section 7.1.6).
fn gives_up_the_order(failure: &Failure) -> bool {
    matches!(
        failure.class,
        FailureClass::ChallengeFailed
            | FailureClass::OrderLost
            | FailureClass::BadCsr
            | FailureClass::IdentifierRefused
    )
}

/// The order of an earlier run, when the CA still has it and it is for what is wanted now.
async fn resume(exchange: &Exchange<'_>) -> Result<Option<UnderWay>, Failure> {
    let Exchange { inventory, job, account, .. } = exchange;
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
    match patiently(|| account.order(&journalled.order_url)).await {
        Ok(order) if order.status == OrderStatus::Invalid => {
            drop_order(exchange, "invalid").await?;
            Ok(None)
        }
        Ok(order) if order.status == OrderStatus::Pending && order.expires.is_some_and(|at| at <= inventory.now()) => {
            drop_order(exchange, "expired").await?;
            Ok(None)
        }
        Ok(order) => {
            inventory
                .record(&job.subject.name, Event::OrderResumed { order_url: order.url.clone() })
                .await
                .map_err(store_failure)?;
            Ok(Some(UnderWay { order, key, replaces: journalled.replaces }))
        }
        // The CA has forgotten it, or it belongs to nobody it knows.
        Err(AcmeError::Refused { status: 400 | 403 | 404 | 410, problem, .. })
            if matches!(problem.kind.as_str(), "malformed" | "unauthorized" | "about:blank" | "") =>
        {
            drop_order(exchange, "unknown-to-the-ca").await?;
            Ok(None)
        }
        Err(AcmeError::NotAcme { status: 404 | 410, .. }) => {
            drop_order(exchange, "unknown-to-the-ca").await?;
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Places a new order and journals it, with its key, before anything else is done.
async fn begin(exchange: &Exchange<'_>) -> Result<UnderWay, Failure> {
    let Exchange { inventory, job, authority, account, .. } = exchange;
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
    let order = place(NewOrderFor {
        account,
        identifiers: &job.subject.identifiers,
        profile: profile(&job.profile, authority)?,
        is_dry_run: inventory.is_dry_run(),
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
        inventory.begin(&job.subject.name, key.clone(), journalled).await.map_err(store_failure)?;
    }
    inventory
        .record(&job.subject.name, Event::OrderPlaced { order_url: order.url.clone() })
        .await
        .map_err(store_failure)?;
    Ok(UnderWay { order, key, replaces: job.subject.live_version })
}

/// What an order is placed for.
pub(super) struct NewOrderFor<'a> {
    pub(super) account: &'a Account,
    pub(super) identifiers: &'a IdentifierSet,
    pub(super) profile: Option<String>,
    pub(super) is_dry_run: bool,
}

/// Places an order. That of a dry run has every name validated anew.
pub(super) async fn place(wanted: NewOrderFor<'_>) -> Result<Order, Failure> {
    let NewOrderFor { account, identifiers, profile, is_dry_run } = wanted;
    let mut new = NewOrder::new(identifiers.clone());
    new.profile = profile;
    let order = account.new_order(&new).await.map_err(Failure::from)?;
    // Names that the CA remembers as validated would not be tried.
    if is_dry_run && deactivate_valid(account, &order).await? {
        return account.new_order(&new).await.map_err(Failure::from);
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
