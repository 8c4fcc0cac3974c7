//! One certificate from the CA for a lineage: the order under way is resumed, or a new one placed and journalled.

use std::sync::atomic::{AtomicBool, Ordering};

use certkit_core::decision::limits::OrderKind;
use certkit_core::state::{Event, OrderScope};
use certkit_core::store::{Pending, PendingOrder};
use certkit_core::{
    AcmeUrl, Chain, Failure, FailureClass, Finding, FindingCode, IdentifierSet, PrivateKey, Version, escape,
};
use chrono::{DateTime, TimeDelta, Utc};

use super::attempt::Workshop;
use super::conf_settings::ProfileWish;
use super::inventory::Saving;
use super::job::Job;
use super::scope::order_scope;
use crate::authorities;
use crate::blocking::blocking;
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
    /// What was ordered.
    pub(super) identifiers: IdentifierSet,
    /// The profile that was ordered.
    pub(super) profile: Option<String>,
}

/// What an attempt talks to.
pub(super) struct Exchange<'a> {
    pub(super) workshop: &'a Workshop<'a>,
    pub(super) job: &'a Job,
    /// What is ordered: the lineage's identifiers, or those of them that can be had.
    pub(super) identifiers: IdentifierSet,
    pub(super) authority: &'a Authority,
    pub(super) account: &'a Account,
    pub(super) account_id: &'a str,
    pub(super) solver: &'a dyn Solver,
    /// Whether the CA has an order: what fails from then on concerns this order.
    pub(super) has_order: AtomicBool,
    /// Whether the next order is one more than the ledger was told of when this attempt was chosen.
    pub(super) is_one_more: AtomicBool,
}

/// Obtains a certificate. An order of an earlier run is resumed; one that turns out to be lost is replaced, once. A
/// preferred profile that the CA refuses, at whatever step, is done without, once.
pub(super) async fn issue(exchange: &Exchange<'_>) -> Result<Issued, Failure> {
    let resumed = resume(exchange).await?;
    if let Some(resumed) = resumed {
        match finish(exchange, resumed).await {
            Err(failure) if failure.class == FailureClass::OrderLost => {}
            other => return other,
        }
    }
    let profile = exchange.profile().await?;
    let outcome = match begin(exchange, profile.clone()).await {
        Ok(begun) => finish(exchange, begun).await,
        Err(failure) => Err(failure),
    };
    match (outcome, &exchange.job.profile) {
        (Err(failure), ProfileWish::Preferred(name))
            if failure.class == FailureClass::ProfileRefused && profile.is_some() =>
        {
            exchange.tell(FindingCode::ProfileNotGranted, &format!("{name}: {}", failure.detail)).await?;
            let begun = begin(exchange, None).await?;
            finish(exchange, begun).await
        }
        (outcome, _) => outcome,
    }
}

impl Exchange<'_> {
    /// The profile to order with, and what the owner should know of it before the first such order.
    async fn profile(&self) -> Result<Option<String>, Failure> {
        let job = self.job;
        let wanted = match profile(&job.profile, self.authority, &self.identifiers) {
            Ok(wanted) => wanted,
            Err(failure) if matches!(job.profile, ProfileWish::Preferred(_)) => {
                self.tell(FindingCode::ProfileNotGranted, &failure.detail).await?;
                None
            }
            Err(failure) => return Err(failure),
        };
        let state = self.workshop.inventory.state(&job.subject.name);
        let before = state.issued_profile.as_deref();
        let now = self.workshop.inventory.now();
        for surprise in surprises(&job.directory, wanted.as_deref(), before, now) {
            self.tell(FindingCode::ProfileEffects, &surprise).await?;
        }
        Ok(wanted)
    }

    async fn tell(&self, code: FindingCode, evidence: &str) -> Result<(), Failure> {
        let name = &self.job.subject.name;
        self.workshop.tell(name, Finding::new(code, name.as_str(), evidence)).await
    }

    /// The certificate that is replaced, where the CA issued it itself and knows renewal information (RFC 9773 section 5).
    fn replaces(&self) -> Option<String> {
        let subject = &self.job.subject;
        let issuer = subject.issuer_directory(&self.workshop.inventory.state(&subject.name));
        let ours = issuer.as_ref() == Some(&self.job.directory) && self.authority.directory().renewal_info.is_some();
        let certificate = subject.certificate.as_ref().filter(|_| ours && !self.workshop.inventory.is_dry_run())?;
        certificate.ari_id().map(|id| id.to_string())
    }

    /// What the CA's limits are told of an order that was issued.
    fn note_issued(&self, replaced: bool, lifetime: TimeDelta) {
        let inventory = self.workshop.inventory;
        if inventory.is_dry_run() {
            return;
        }
        let kind = match self.job.kind {
            OrderKind::WithinWindow if !replaced => OrderKind::SameIdentifiers,
            kind => kind,
        };
        let scope = self.scope();
        let wanted = &self.job.subject.identifiers;
        inventory.ledger(|ledger| {
            ledger.issued(&scope, kind, lifetime, inventory.now());
            // The next run wants all of them again.
            if !wanted.same_as(&self.identifiers) {
                ledger.guard(&self.job.directory, wanted, lifetime, inventory.now());
            }
        });
    }

    /// What this order asks of the CA.
    pub(super) fn scope(&self) -> OrderScope {
        order_scope(&self.job.directory, Some(self.account_id), &self.identifiers)
    }
}

async fn finish(exchange: &Exchange<'_>, under_way: UnderWay) -> Result<Issued, Failure> {
    exchange.has_order.store(true, Ordering::Relaxed);
    let inventory = exchange.workshop.inventory;
    let UnderWay { order, key, replaces, profile } = under_way;
    let issuing = Issuing {
        account: exchange.account,
        identifiers: &exchange.identifiers,
        solver: exchange.solver,
        key: KeyHolder::Us(&key),
        preferred_chain: exchange.job.preferred_chain.as_deref(),
        journal: exchange,
        stop: exchange.workshop.stop,
    };
    let is_renewal = order.replaces;
    let outcome = issuing.finish(order).await.map(|issued| issued.chain);
    match &outcome {
        Ok(chain) => {
            exchange.note_issued(is_renewal, chain.leaf.validity().lifetime());
            inventory.save_ledger(Saving::WhenSmall).await?;
        }
        Err(failure) => {
            let failures = inventory.state(&exchange.job.subject.name).consecutive_failures;
            if is_of_no_more_use(failure, failures) {
                drop_order(exchange, "failed").await?;
            }
        }
    }
    outcome.map(|chain| Issued { chain, key, replaces, identifiers: exchange.identifiers.clone(), profile })
}

/// An order with its key, journalled (but for a dry run).
struct UnderWay {
    order: Order,
    key: PrivateKey,
    replaces: Option<Version>,
    profile: Option<String>,
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
    let Exchange { workshop, job, account, solver, identifiers, .. } = exchange;
    let (inventory, stop) = (workshop.inventory, workshop.stop);
    if inventory.is_dry_run() {
        return Ok(None);
    }
    let Some(pending) = inventory.pending(&job.subject.name).await? else { return Ok(None) };
    // Finishing it costs nothing; if it is lost, the order in its place counts.
    exchange.is_one_more.store(true, Ordering::Relaxed);
    let Pending { order: journalled, key, .. } = pending;
    let same = journalled.directory == job.directory
        && journalled.account_url == *account.url()
        && journalled.identifiers.same_as(identifiers)
        && job.subject.key_to_leave.as_ref().is_none_or(|left| left.der() != key.der());
    if !same {
        drop_order(exchange, "something-else-is-wanted").await?;
        return Ok(None);
    }
    let now = inventory.now();
    let lost = match patiently(account, stop, || account.order(&journalled.order_url)).await? {
        Ok(order) if order.status == OrderStatus::Valid && order.is_for(identifiers) => Ok(order),
        Ok(order) if order.status == OrderStatus::Invalid => Err((Some(order), "invalid")),
        Ok(order) if !order.is_for(identifiers) => Err((Some(order), "for-other-names")),
        Ok(order) if order.expires.is_some_and(|at| at <= now) => Err((Some(order), "expired")),
        Ok(order) => Ok(order),
        Err(error) if error.is_gone() => Err((None, "unknown-to-the-ca")),
        Err(error) => {
            let failure = Failure::from(error).concerning(identifiers);
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
            inventory.record(&job.subject.name, resumed).await?;
            Ok(Some(UnderWay { order, key, replaces: journalled.replaces, profile: journalled.profile }))
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
async fn begin(exchange: &Exchange<'_>, profile: Option<String>) -> Result<UnderWay, Failure> {
    let Exchange { workshop, job, account, identifiers, .. } = exchange;
    let (inventory, stop) = (workshop.inventory, workshop.stop);
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
        inventory.reserve(name, key.clone()).await?;
    }
    // An order that the CA may have accepted is waited for and journalled, also when the run is to stop.
    let placed = async {
        let order = place(NewOrderFor {
            account,
            identifiers,
            profile: profile.clone(),
            replaces: exchange.replaces(),
            is_dry_run: inventory.is_dry_run(),
            stop,
        })
        .await?;
        if !inventory.is_dry_run() {
            let journalled = PendingOrder::new(
                order.url.clone(),
                job.directory.clone(),
                account.url().clone(),
                identifiers.clone(),
                inventory.now(),
            )
            .replacing(job.subject.live_version)
            .with_profile(profile.clone());
            inventory.begin(name, key.clone(), journalled).await?;
        }
        inventory.record(name, Event::OrderPlaced { order_url: order.url.clone() }).await?;
        Ok(order)
    };
    if exchange.is_one_more.swap(true, Ordering::Relaxed) && !inventory.is_dry_run() {
        inventory.ledger(|ledger| ledger.ordered(&exchange.scope(), job.kind, inventory.now()));
    }
    let order = match heeding(stop, GRACE, placed).await {
        Ok(order) => order,
        Err(failure) => {
            // A key without an order is of no use to anybody.
            if !inventory.is_dry_run() && inventory.pending(name).await.is_ok_and(|pending| pending.is_none()) {
                inventory.drop_pending(name).await?;
            }
            return Err(failure);
        }
    };
    Ok(UnderWay { order, key, replaces: job.subject.live_version, profile })
}

/// What an order is placed for.
pub(super) struct NewOrderFor<'a> {
    pub(super) account: &'a Account,
    pub(super) identifiers: &'a IdentifierSet,
    pub(super) profile: Option<String>,
    /// The ARI id of the certificate that is replaced.
    pub(super) replaces: Option<String>,
    pub(super) is_dry_run: bool,
    pub(super) stop: &'a Stop,
}

/// Places an order. That of a dry run has every name validated anew.
pub(super) async fn place(wanted: NewOrderFor<'_>) -> Result<Order, Failure> {
    let NewOrderFor { account, identifiers, profile, replaces, is_dry_run, stop } = wanted;
    let mut new = NewOrder::new(identifiers.clone());
    new.profile = profile;
    new.replaces = replaces;
    let order = async || account.new_order(&new).await.map_err(|error| Failure::from(error).concerning(identifiers));
    let mut placed = order().await?;
    for _ in 1..MOST_TRIAL_ORDERS {
        // Names that the CA remembers as validated would not be tried.
        if !is_dry_run || !deactivate_valid(account, &placed, stop).await? {
            break;
        }
        placed = order().await?;
    }
    Ok(placed)
}

/// Notes each step of an order in the store before it is taken.
impl Journal for Exchange<'_> {
    fn note<'a>(&'a self, step: OrderStep<'a>) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let (inventory, job) = (self.workshop.inventory, self.job);
            let name = &job.subject.name;
            let event = match step {
                OrderStep::Validating { challenges } => Event::Validating { challenges },
                OrderStep::Authorized => Event::Authorized,
                OrderStep::Finalizing { order } => {
                    if !inventory.is_dry_run()
                        && let Some(pending) = inventory.pending(name).await?
                    {
                        inventory.mark_finalizing(pending).await?;
                    }
                    Event::Finalizing { order_url: order.url.clone() }
                }
                OrderStep::Issued { issued: IssuedChain { chain, .. } } => Event::Issued {
                    serial: chain.leaf.serial().certbot_hex(),
                    not_after: chain.leaf.validity().not_after,
                },
            };
            inventory.record(name, event).await.map_err(Failure::from)
        })
    }
}

/// Only a profile that the directory offers is sent (draft-ietf-acme-profiles section 4), and none that is known to allow
/// fewer names.
pub(super) fn profile(
    wish: &ProfileWish,
    authority: &Authority,
    identifiers: &IdentifierSet,
) -> Result<Option<String>, Failure> {
    let Some(name) = wish.name() else { return Ok(None) };
    let offered = &authority.directory().profiles;
    let refuse = |what: String| Err(Failure::new(FailureClass::ProfileRefused, what));
    if !offered.contains_key(name) {
        let names: Vec<String> = offered.keys().map(|name| escape(name).into_owned()).collect();
        let offers = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        return refuse(format!("the CA does not offer the profile {}; it offers {offers}", escape(name)));
    }
    if let Some(effects) = authorities::profile_effects(&authority.directory().url, name)
        && identifiers.len() > effects.most_names
    {
        let (most, count) = (effects.most_names, identifiers.len());
        return refuse(format!("the profile {} allows {most} names, and there are {count}", escape(name)));
    }
    Ok(Some(name.to_owned()))
}

/// What the owner should read before the first order with a profile; nothing for a profile that the certificate has.
fn surprises(directory: &AcmeUrl, wanted: Option<&str>, before: Option<&str>, now: DateTime<Utc>) -> Vec<String> {
    let Some(name) = wanted.filter(|name| before != Some(*name)) else { return Vec::new() };
    let known = authorities::profile_effects(directory, name);
    let surprises = known.map(|effects| effects.surprises(now)).unwrap_or_default();
    surprises.into_iter().map(|surprise| format!("{name}: {surprise}")).collect()
}

async fn drop_order(exchange: &Exchange<'_>, because: &str) -> Result<(), Failure> {
    let (inventory, job) = (exchange.workshop.inventory, exchange.job);
    let name = &job.subject.name;
    if inventory.is_dry_run() {
        return Ok(());
    }
    if let Some(pending) = inventory.pending(name).await? {
        let dropped = Event::OrderDropped { order_url: pending.order.order_url, because: because.to_owned() };
        inventory.drop_pending(name).await?;
        inventory.record(name, dropped).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_profile_brings_is_told_before_its_first_order_and_not_again() {
        let directory = authorities::resolve("letsencrypt").unwrap();
        let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        let told = surprises(&directory, Some("shortlived"), Some("classic"), now).join("; ");
        for words in ["no common name", "25 names", "an hour", "160 hours"] {
            assert!(told.contains(words), "{words}: {told}");
        }
        assert!(surprises(&directory, Some("shortlived"), Some("shortlived"), now).is_empty());
        assert!(surprises(&directory, Some("unheard-of"), None, now).is_empty());
        assert!(surprises(&directory, None, Some("shortlived"), now).is_empty());
    }
}
