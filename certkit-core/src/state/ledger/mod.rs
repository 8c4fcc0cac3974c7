//! What was asked of each CA, by all lineages together: what its limits, its Retry-After and the loop guard are
//! measured by.

mod bucket;

mod hold;
pub use hold::{Hold, HoldScope};

mod run_memory;
pub use run_memory::RunMemory;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use self::bucket::Bucket;
use super::is_of_a_wrong_clock;
use crate::decision::limits::{self, LOOP_GUARD_COUNT, LOOP_GUARD_FRACTION, Limit, LimitKind, OrderKind};
use crate::{AcmeUrl, Failure, IdentifierSet};

/// The memory of what was asked of the CAs. It can be deleted: that costs only the memory of the past.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Ledger {
    /// By the URL of the CA's directory.
    authorities: BTreeMap<String, AuthorityLedger>,
    /// The instants of the last runs, oldest first.
    runs: Vec<DateTime<Utc>>,
    /// How many runs have ended.
    ended_runs: u64,
    last_run: Option<RunMemory>,
    /// When a run last ended with all well.
    last_success: Option<DateTime<Utc>>,
}

/// What an order asks of a CA.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OrderScope {
    /// The CA's directory.
    pub directory: AcmeUrl,
    /// The account, by its id or URL.
    pub account: String,
    /// The identifiers.
    pub identifiers: IdentifierSet,
    /// Their registered domains, by the public suffix list, each once; an address stands for itself, an IPv6 address for
    /// its /64.
    pub registered_domains: Vec<String>,
}

/// Why an order has to wait, although nothing failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// A limit of the CA is reached.
    Limit {
        /// Which.
        limit: Limit,
        /// For what: an account, a domain, a name.
        subject: String,
    },
    /// The CA said to wait.
    Hold(Hold),
    /// The same identifiers were issued for too often.
    LoopGuard {
        /// How often.
        issued: usize,
        /// Since when: the first of them.
        since: DateTime<Utc>,
        /// The time within which no more than two are allowed.
        within: TimeDelta,
    },
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct AuthorityLedger {
    /// By account.
    orders: BTreeMap<String, Bucket>,
    /// By registered domain.
    domains: BTreeMap<String, Bucket>,
    /// By identifier.
    failed: BTreeMap<String, Bucket>,
    /// By exact set of identifiers.
    sets: BTreeMap<String, Issuances>,
    holds: Vec<Hold>,
}

/// Certificates for one exact set of identifiers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Issuances {
    counted: Bucket,
    /// All of them, exempt or not, as far back as the loop guard looks, each with the lifetime in seconds over which it
    /// counts.
    at: Vec<(DateTime<Utc>, i64)>,
    /// Until when the last of them is of interest.
    until: DateTime<Utc>,
}

/// A run is remembered only for the gaps between runs.
const MOST_RUNS: usize = 12;
/// No more than so many issuances of a set can matter to the loop guard.
const MOST_ISSUANCES: usize = 16;
/// A quarter of the longest lifetime that public CAs give, 200 days (CA/Browser Forum, since 2026-03-15).
const LONGEST_GUARD: TimeDelta = TimeDelta::days(50);
/// No more holds than this are kept of one CA: a hostile one must not fill the disk.
const MOST_HOLDS: usize = 256;

impl Ledger {
    /// A run began.
    pub fn run_began(&mut self, at: DateTime<Utc>) {
        self.runs.push(at);
        let surplus = self.runs.len().saturating_sub(MOST_RUNS);
        self.runs.drain(..surplus);
    }

    /// When runs began, oldest first.
    pub fn runs(&self) -> &[DateTime<Utc>] {
        &self.runs
    }

    /// A run ended.
    pub fn run_ended(&mut self, run: RunMemory) {
        self.ended_runs = self.ended_runs.saturating_add(1);
        if run.successful {
            self.last_success = Some(run.ended);
        }
        self.last_run = Some(run);
    }

    /// How the last run ended.
    pub fn last_run(&self) -> Option<&RunMemory> {
        self.last_run.as_ref()
    }

    /// When a run last ended with all well.
    pub fn last_success(&self) -> Option<DateTime<Utc>> {
        self.last_success
    }

    /// How many runs have ended, as far back as the memory goes.
    pub fn ended_runs(&self) -> u64 {
        self.ended_runs
    }

    /// The CA was asked for an order.
    pub fn ordered(&mut self, scope: &OrderScope, kind: OrderKind, at: DateTime<Utc>) {
        let authority = self.authority(&scope.directory);
        for limit in limits::of(&scope.directory).iter().filter(|limit| limit.counts(kind)) {
            if limit.kind == LimitKind::NewOrdersPerAccount {
                authority.orders.entry(scope.account.clone()).or_default().take(limit, at);
            }
        }
    }

    /// The CA issued a certificate that lives for `lifetime`.
    pub fn issued(&mut self, scope: &OrderScope, kind: OrderKind, lifetime: TimeDelta, at: DateTime<Utc>) {
        self.guard(&scope.directory, &scope.identifiers, lifetime, at);
        let authority = self.authority(&scope.directory);
        let set = authority.sets.entry(set_name(&scope.identifiers)).or_default();
        for limit in limits::of(&scope.directory).iter().filter(|limit| limit.counts(kind)) {
            match limit.kind {
                LimitKind::CertificatesPerExactSet => set.counted.take(limit, at),
                LimitKind::CertificatesPerRegisteredDomain => {
                    for domain in &scope.registered_domains {
                        authority.domains.entry(domain.clone()).or_default().take(limit, at);
                    }
                }
                LimitKind::NewOrdersPerAccount | LimitKind::FailedAuthorizationsPerIdentifier => {}
            }
        }
    }

    /// Something was issued for these identifiers, or for those of them that could be had: the loop guard counts it.
    pub fn guard(&mut self, directory: &AcmeUrl, identifiers: &IdentifierSet, lifetime: TimeDelta, at: DateTime<Utc>) {
        let set = self.authority(directory).sets.entry(set_name(identifiers)).or_default();
        set.at.push((at, lifetime.num_seconds()));
        let surplus = set.at.len().saturating_sub(MOST_ISSUANCES);
        set.at.drain(..surplus);
        // The certificate in place may live longer than what is issued and never gets there.
        let kept_for = (lifetime / LOOP_GUARD_FRACTION).max(LONGEST_GUARD);
        let of_interest = at.checked_add_signed(kept_for).unwrap_or(at);
        set.until = set.until.max(of_interest);
    }

    /// A plan has an order wait for its turn at `at`, because `limit` has nothing left: whatever comes after it waits longer.
    /// Other limits are not touched, for what they allow at another time is not used up now.
    pub(crate) fn waits(&mut self, scope: &OrderScope, limit: &Limit, at: DateTime<Utc>) {
        let authority = self.authority(&scope.directory);
        match limit.kind {
            LimitKind::NewOrdersPerAccount => {
                authority.orders.entry(scope.account.clone()).or_default().take(limit, at);
            }
            LimitKind::CertificatesPerExactSet => {
                authority.sets.entry(set_name(&scope.identifiers)).or_default().counted.take(limit, at);
            }
            LimitKind::CertificatesPerRegisteredDomain => {
                for domain in &scope.registered_domains {
                    authority.domains.entry(domain.clone()).or_default().take(limit, at);
                }
            }
            LimitKind::FailedAuthorizationsPerIdentifier => {}
        }
    }

    /// The order failed: names that the CA could not validate, and a Retry-After that concerns more than this lineage.
    pub fn failed(&mut self, scope: &OrderScope, failure: &Failure, at: DateTime<Utc>) {
        let hold = Hold::of(failure, scope, at);
        let authority = self.authority(&scope.directory);
        if failure.class == crate::FailureClass::ChallengeFailed {
            for limit in limits::of(&scope.directory) {
                if limit.kind == LimitKind::FailedAuthorizationsPerIdentifier {
                    for failed in &failure.per_identifier {
                        authority.failed.entry(failed.identifier.to_string()).or_default().take(limit, at);
                    }
                }
            }
        }
        if let Some(mut hold) = hold {
            // A CA that says it again has been down since it said so first.
            let before = authority.holds.iter().find(|known| known.scope == hold.scope && known.class == hold.class);
            if let Some(before) = before.filter(|before| at - before.until <= TimeDelta::hours(1)) {
                hold.since = before.since.min(hold.since);
            }
            authority.holds.retain(|known| known.scope != hold.scope && known.holds(at));
            let surplus = (authority.holds.len() + 1).saturating_sub(MOST_HOLDS);
            authority.holds.drain(..surplus);
            authority.holds.push(hold);
        }
    }

    /// Whether the CA may be asked for this order at `now`; otherwise from when on, and why not before. `lifetime` is that
    /// of the certificate in place, for the loop guard.
    pub fn may_order(
        &self,
        scope: &OrderScope,
        kind: OrderKind,
        lifetime: Option<TimeDelta>,
        now: DateTime<Utc>,
    ) -> Result<(), (DateTime<Utc>, Refusal)> {
        let Some(authority) = self.authorities.get(scope.directory.as_str()) else { return Ok(()) };
        let set = authority.sets.get(&set_name(&scope.identifiers));
        let mut latest: Option<(DateTime<Utc>, Refusal)> = None;
        let mut wait = |until: DateTime<Utc>, refusal: &dyn Fn() -> Refusal| {
            if until > now && latest.as_ref().is_none_or(|(known, _)| until > *known) {
                latest = Some((until, refusal()));
            }
        };
        for hold in authority.holds.iter().filter(|hold| hold.holds(now) && hold.scope.concerns(scope)) {
            wait(hold.until, &|| Refusal::Hold(hold.clone()));
        }
        if let Some((until, refusal)) = set.and_then(|set| set.guard(lifetime, now)) {
            wait(until, &|| refusal.clone());
        }
        for limit in limits::of(&scope.directory).iter().filter(|limit| limit.counts(kind)) {
            let mut of_bucket = |bucket: Option<&Bucket>, subject: &str| {
                if let Some(until) = bucket.map(|bucket| bucket.next_free(limit, now)) {
                    wait(until, &|| Refusal::Limit { limit: *limit, subject: subject.to_owned() });
                }
            };
            match limit.kind {
                LimitKind::NewOrdersPerAccount => of_bucket(authority.orders.get(&scope.account), "this account"),
                LimitKind::CertificatesPerExactSet => of_bucket(set.map(|set| &set.counted), "these names"),
                LimitKind::CertificatesPerRegisteredDomain => {
                    for domain in &scope.registered_domains {
                        of_bucket(authority.domains.get(domain), domain);
                    }
                }
                LimitKind::FailedAuthorizationsPerIdentifier => {
                    for identifier in &scope.identifiers {
                        let name = identifier.to_string();
                        of_bucket(authority.failed.get(&name), &name);
                    }
                }
            }
        }
        latest.map_or(Ok(()), Err)
    }

    /// How much of a limit is left for this order's scope, the scarcest first: `(limit, for what, left)`.
    pub fn headroom(&self, scope: &OrderScope, now: DateTime<Utc>) -> Vec<(Limit, String, u32)> {
        let authority = self.authorities.get(scope.directory.as_str());
        let mut all = Vec::new();
        for limit in limits::of(&scope.directory) {
            let left = |bucket: Option<&Bucket>| bucket.map_or(limit.count, |bucket| bucket.left(limit, now));
            match limit.kind {
                LimitKind::NewOrdersPerAccount => {
                    let bucket = authority.and_then(|authority| authority.orders.get(&scope.account));
                    all.push((*limit, "this account".to_owned(), left(bucket)));
                }
                LimitKind::CertificatesPerExactSet => {
                    let set = authority.and_then(|authority| authority.sets.get(&set_name(&scope.identifiers)));
                    all.push((*limit, "these names".to_owned(), left(set.map(|set| &set.counted))));
                }
                LimitKind::CertificatesPerRegisteredDomain => {
                    all.extend(scope.registered_domains.iter().map(|domain| {
                        let bucket = authority.and_then(|authority| authority.domains.get(domain));
                        (*limit, domain.clone(), left(bucket))
                    }));
                }
                LimitKind::FailedAuthorizationsPerIdentifier => {
                    all.extend(scope.identifiers.iter().map(|identifier| {
                        let name = identifier.to_string();
                        let bucket = authority.and_then(|authority| authority.failed.get(&name));
                        (*limit, name, left(bucket))
                    }));
                }
            }
        }
        all.sort_by_key(|(limit, _, left)| u64::from(*left) * 1000 / u64::from(limit.count.max(1)));
        all
    }

    /// Forgets what cannot matter any more, and what was noted by a clock that was ahead and has been set back.
    pub fn prune(&mut self, now: DateTime<Utc>) {
        self.runs.retain(|at| !is_of_a_wrong_clock(*at, now));
        self.last_run = self.last_run.take().filter(|run| !is_of_a_wrong_clock(run.ended, now));
        self.last_success = self.last_success.filter(|at| !is_of_a_wrong_clock(*at, now));
        for (directory, authority) in &mut self.authorities {
            let limits =
                limits::KNOWN.iter().find(|known| known.directory == directory).map_or(&[][..], |known| known.limits);
            let (orders, domains, failed) = (&mut authority.orders, &mut authority.domains, &mut authority.failed);
            for limit in limits {
                let put_right = |bucket: &mut Bucket| bucket.put_right(limit, now);
                match limit.kind {
                    LimitKind::NewOrdersPerAccount => orders.values_mut().for_each(put_right),
                    LimitKind::CertificatesPerRegisteredDomain => domains.values_mut().for_each(put_right),
                    LimitKind::FailedAuthorizationsPerIdentifier => failed.values_mut().for_each(put_right),
                    LimitKind::CertificatesPerExactSet => {
                        authority.sets.values_mut().for_each(|set| put_right(&mut set.counted));
                    }
                }
            }
            for buckets in [orders, domains, failed] {
                buckets.retain(|_, bucket| !bucket.is_full(now));
            }
            for set in authority.sets.values_mut() {
                set.at.retain(|(at, _)| !is_of_a_wrong_clock(*at, now));
            }
            authority.sets.retain(|_, set| (set.until > now && !set.at.is_empty()) || !set.counted.is_full(now));
            authority.holds.retain(|hold| hold.until > now && !is_of_a_wrong_clock(hold.since, now));
        }
        self.authorities.retain(|_, authority| *authority != AuthorityLedger::default());
    }

    fn authority(&mut self, directory: &AcmeUrl) -> &mut AuthorityLedger {
        self.authorities.entry(directory.as_str().to_owned()).or_default()
    }
}

impl Issuances {
    /// The guard against loops: from when on another one may be issued, when too many were. What counts is the lifetime
    /// of the certificate in place or that of the issued one, whichever is longer; the latter alone for those that come as
    /// renewals do, by a good part of their own lifetime apart: they may belong to another lineage with the same names, whose
    /// short certificates must not keep the long ones of this one from being renewed at all.
    fn guard(&self, in_place: Option<TimeDelta>, now: DateTime<Utc>) -> Option<(DateTime<Utc>, Refusal)> {
        let in_place = in_place.unwrap_or_default();
        let mut leave: Vec<(DateTime<Utc>, DateTime<Utc>, TimeDelta)> = Vec::new();
        for (place, (at, lifetime)) in self.at.iter().enumerate() {
            let own = TimeDelta::try_seconds(*lifetime).unwrap_or_default();
            let is_close = |other: Option<&(DateTime<Utc>, i64)>| {
                other.is_some_and(|(other, _)| (*other - *at).abs() < own / LOOP_GUARD_FRACTION)
            };
            let is_hasty = is_close(self.at.get(place + 1))
                || is_close(place.checked_sub(1).and_then(|before| self.at.get(before)));
            let within = (if is_hasty { own.max(in_place) } else { own }) / LOOP_GUARD_FRACTION;
            let left = at.checked_add_signed(within).unwrap_or(*at);
            if left > now {
                leave.push((left, *at, within));
            }
        }
        leave.sort_unstable();
        let issued = leave.len();
        let (until, _, within) = *leave.get(issued.checked_sub(LOOP_GUARD_COUNT)?)?;
        let since = leave.iter().map(|(_, at, _)| *at).min()?;
        Some((until, Refusal::LoopGuard { issued, since, within }))
    }
}

impl OrderScope {
    /// An order for these identifiers.
    pub fn new(
        directory: AcmeUrl,
        account: impl Into<String>,
        identifiers: IdentifierSet,
        registered_domains: Vec<String>,
    ) -> Self {
        Self { directory, account: account.into(), identifiers, registered_domains }
    }
}

impl Refusal {
    /// A stable word for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Limit { limit, .. } => limit.kind.code(),
            Self::Hold(_) => "retry-after",
            Self::LoopGuard { .. } => "loop-guard",
        }
    }

    /// What the owner can do about it.
    pub fn cure(&self) -> &'static str {
        match self {
            Self::Limit { .. } => "nothing to do: it is renewed as soon as the CA's limit allows",
            Self::Hold(_) => "nothing to do: it is tried again after that; running more often does not help",
            Self::LoopGuard { .. } => {
                "find out what makes the certificate be renewed again and again (certkit history --cert-name NAME); --force-renewal renews it all the same"
            }
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Limit { limit, subject } => {
                let days = limit.window_seconds / 86_400;
                let window =
                    if days > 0 { format!("{days} days") } else { format!("{} hours", limit.window_seconds / 3600) };
                write!(
                    f,
                    "the CA allows {} {} in {window}, and they are used up for {subject}",
                    limit.count,
                    limit.kind.words()
                )
            }
            Self::Hold(hold) => write!(f, "the CA asked to wait ({})", hold.scope),
            Self::LoopGuard { issued, since, within } => {
                let within = if *within < TimeDelta::days(2) {
                    format!("{} hours", within.num_hours())
                } else {
                    format!("{} days", within.num_days())
                };
                let since = since.format("%Y-%m-%d %H:%M:%S UTC");
                write!(
                    f,
                    "{issued} certificates for these names were issued since {since}, and the guard against loops allows {LOOP_GUARD_COUNT} in {within}"
                )
            }
        }
    }
}

/// A short name for a set of identifiers, whatever their order.
fn set_name(identifiers: &IdentifierSet) -> String {
    use sha2::Digest as _;
    let mut names: Vec<String> = identifiers.iter().map(ToString::to_string).collect();
    names.sort_unstable();
    let digest = sha2::Sha256::digest(names.join(",").as_bytes());
    data_encoding::HEXLOWER.encode(digest.get(..16).unwrap_or_default())
}

#[cfg(test)]
mod tests;
