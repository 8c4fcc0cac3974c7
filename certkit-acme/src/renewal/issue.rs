//! One certificate from the CA: order journalled, challenges, finalize, chain.

use std::time::Duration;

use certkit_core::state::Event;
use certkit_core::store::{Pending, PendingOrder};
use certkit_core::{Chain, Failure, FailureClass, IdentifierFailure, PrivateKey, Problem, Version};
use tokio::time::Instant;

use super::inventory::{Inventory, blocking, store_failure};
use super::job::{Job, ProfileWish};
use super::validate::{deactivate_valid, patiently, pause, validate};
use crate::Stop;
use crate::challenge::Solver;
use crate::keys::{KeySpec, certificate_signing_request};
use crate::protocol::{Account, AcmeError, Authority, NewOrder, Order, OrderStatus};

/// How long an order may stay in `processing` within one run. Amazon's CA takes up to ten minutes; the order is resumed
/// at the next run when it takes longer.
const LONGEST_PROCESSING: Duration = Duration::from_secs(600);

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
    let outcome = carry_on(exchange, order, &key).await;
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
        && journalled.identifiers.same_as(&job.subject.identifiers);
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
    let mut wanted = NewOrder::new(job.subject.identifiers.clone());
    wanted.profile = profile(&job.profile, authority)?;
    let mut order = account.new_order(&wanted).await.map_err(Failure::from)?;
    if inventory.is_dry_run() {
        // Names that the CA remembers as validated would not be tried.
        if deactivate_valid(account, &order).await? {
            order = account.new_order(&wanted).await.map_err(Failure::from)?;
        }
    } else {
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

/// From wherever the order stands to the chain.
async fn carry_on(exchange: &Exchange<'_>, mut order: Order, key: &PrivateKey) -> Result<Chain, Failure> {
    let Exchange { inventory, job, account, stop, .. } = exchange;
    let name = &job.subject.name;
    let deadline = Instant::now() + LONGEST_PROCESSING;
    let mut asked = 0;
    let mut finalized = false;
    loop {
        if stop.reason().is_some() {
            return Err(interrupted());
        }
        match order.status {
            OrderStatus::Pending => {
                // An order that falls back to pending after it was validated is not ours to repeat for ever.
                if asked > 0 && Instant::now() >= deadline {
                    return Err(Failure::new(
                        FailureClass::Protocol,
                        "the order stays pending although every name is authorized",
                    ));
                }
                validate(exchange, &order).await?;
            }
            OrderStatus::Ready if !finalized => {
                inventory.record(name, Event::Authorized).await.map_err(store_failure)?;
                finalize(exchange, &order, key).await?;
                finalized = true;
            }
            OrderStatus::Ready | OrderStatus::Processing => {
                if Instant::now() >= deadline {
                    return Err(Failure::new(
                        FailureClass::ServerUnavailable,
                        "the CA is still working on the order; it is resumed at the next run",
                    ));
                }
                pause(asked, order.retry_after, stop).await?;
            }
            OrderStatus::Valid => return download(exchange, &order).await,
            OrderStatus::Invalid => return Err(refused_order(&order)),
        }
        asked += 1;
        order = patiently(|| account.order(&order.url)).await.map_err(Failure::from)?;
    }
}

/// Sends the CSR. The journal says so first: after a cut connection the order is read before anything is repeated.
async fn finalize(exchange: &Exchange<'_>, order: &Order, key: &PrivateKey) -> Result<(), Failure> {
    let Exchange { inventory, job, account, .. } = exchange;
    let name = &job.subject.name;
    let csr = {
        let (key, identifiers) = (key.clone(), job.subject.identifiers.clone());
        blocking(move || certificate_signing_request(&key, &identifiers))
            .await
            .map_err(|error| Failure::new(FailureClass::Settings, error.to_string()))?
    };
    if !inventory.is_dry_run()
        && let Some(pending) = inventory.pending(name).await.map_err(store_failure)?
    {
        inventory.mark_finalizing(pending).await.map_err(store_failure)?;
    }
    inventory.record(name, Event::Finalizing { order_url: order.url.clone() }).await.map_err(store_failure)?;
    match account.finalize(order, &csr).await {
        Ok(_) => Ok(()),
        // Nothing is known of the CSR's fate, or the CA says that it has it already: the order tells (RFC 8555 section 7.4).
        Err(AcmeError::Transport(_) | AcmeError::NotAcme { .. }) => Ok(()),
        Err(AcmeError::Refused { status: 500..=599, .. }) => Ok(()),
        Err(error) if error.problem_kind() == Some("orderNotReady") => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn download(exchange: &Exchange<'_>, order: &Order) -> Result<Chain, Failure> {
    let Exchange { inventory, job, account, .. } = exchange;
    let Some(url) = &order.certificate else {
        return Err(Failure::new(FailureClass::Protocol, "the order is valid but names no certificate"));
    };
    let with_alternates = job.preferred_chain.is_some();
    let chains = patiently(|| account.certificate(url, with_alternates)).await.map_err(Failure::from)?;
    let chain = choose_chain(chains.into_iter().map(|issued| issued.chain).collect(), job.preferred_chain.as_deref())
        .ok_or_else(|| Failure::new(FailureClass::Protocol, "the CA delivered no certificate"))?;
    let issued =
        Event::Issued { serial: chain.leaf.serial().certbot_hex(), not_after: chain.leaf.validity().not_after };
    inventory.record(&job.subject.name, issued).await.map_err(store_failure)?;
    Ok(chain)
}

/// certbot's rule: the first chain whose topmost issuer has this common name, else the default chain.
fn choose_chain(chains: Vec<Chain>, preferred: Option<&str>) -> Option<Chain> {
    let at = preferred
        .and_then(|name| chains.iter().position(|chain| chain.topmost_issuer_common_name().as_deref() == Some(name)))
        .unwrap_or(0);
    chains.into_iter().nth(at)
}

/// Only a profile that the directory offers is sent (draft-ietf-acme-profiles section 4).
fn profile(wish: &ProfileWish, authority: &Authority) -> Result<Option<String>, Failure> {
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

fn refused_order(order: &Order) -> Failure {
    let problem = order.error.clone().unwrap_or_else(|| Problem::new("", "the CA gave no reason"));
    let class = if order.per_identifier.is_empty() { FailureClass::OrderLost } else { FailureClass::ChallengeFailed };
    let per_identifier: Vec<IdentifierFailure> = order.per_identifier.clone();
    Failure::new(class, format!("the CA made the order invalid: {}", problem.detail))
        .with_problem(problem)
        .with_identifiers(per_identifier)
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

pub(super) fn interrupted() -> Failure {
    Failure::new(FailureClass::Interrupted, "the run was asked to stop")
}
