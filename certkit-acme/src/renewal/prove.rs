//! The proof that what is stored is served: after each deploy with some patience, otherwise now and then.

use std::time::Duration;

use certkit_core::state::{DeployTarget, EndpointMemory, Event, LineageState, ServedLeaf, Serving};
use certkit_core::store::StoreError;
use certkit_core::{Endpoint, Finding, FindingCode, LineageName, Version};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::stream::{self, StreamExt as _};
use tokio::time::{Instant, timeout_at};

use super::deploying::{Deployment, Hooks};
use super::idle::{Member, Places};
use super::inventory::Inventory;
use super::looking::Looker;
use super::subject::Subject;
use super::{Renewer, Request};
use crate::deploy::is_file;
use crate::{BoxFuture, Stop};

/// Servers that reload are asked again after this.
const POLL: TimeDelta = TimeDelta::seconds(1);
/// All looks of a run together take no longer, besides the patience with what was deployed. What is not looked at by then
/// has its turn at the next run, the longest unseen first.
const LONGEST_LOOK: Duration = Duration::from_secs(60);
/// Looks at endpoints that do not count (yet) take no longer in a run: names that are resolved slowly, or not at all, must
/// not make a run slow in which nothing is due.
const LONGEST_LOOK_AT_OTHERS: Duration = Duration::from_secs(5);
/// So many lineages at once; how many connections there are at once is for the prober to say.
pub(super) const LINEAGES_AT_ONCE: usize = 64;

/// Proves what is served for the lineages of a run.
pub(super) struct Proof<'a> {
    looker: Looker,
    inventory: &'a Inventory,
    stop: &'a Stop,
}

/// When hooks run once more because a version is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeating {
    /// Once for each version.
    OncePerVersion,
    /// The owner asked for it.
    Asked,
}

/// Which endpoints of a lineage are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    All,
    /// Those that count by what is known.
    Counting,
    /// Those that do not count, or not yet.
    Others,
}

/// A lineage whose endpoints are looked at.
pub(super) struct Witness {
    pub(super) member: Member,
    /// Something was given a version in this run: servers may still be about to read it.
    pub(super) is_deployed_now: bool,
}

impl<'a> Proof<'a> {
    /// None where nothing is to be looked at: in a dry run, or when the request says so. That the roots cannot be read is
    /// told, and fails nothing.
    pub(super) fn new(
        renewer: &Renewer,
        inventory: &'a Inventory,
        stop: &'a Stop,
        request: &Request,
        findings: &mut Vec<Finding>,
    ) -> Option<Self> {
        if inventory.is_dry_run() || !request.probe_endpoints {
            return None;
        }
        match Looker::new(renewer) {
            Ok(looker) => Some(Self { looker, inventory, stop }),
            Err(error) => {
                findings.push(Finding::new(FindingCode::EndpointUnreachable, "endpoints", error.to_string()));
                None
            }
        }
    }

    /// Looks at what is due to be looked at, all lineages at once, and records it. What cannot be recorded is kept for the
    /// lineage's line of the report.
    pub(super) async fn look_at_all(&self, mut witnesses: Vec<Witness>) {
        let seen = |witness: &Witness| {
            let state = self.inventory.state(witness.member.name());
            state.served.iter().map(|one| one.checked_at).min()
        };
        // What was deployed now first, and then what was not looked at for longest.
        witnesses.sort_by_cached_key(|witness| (!witness.is_deployed_now, seen(witness)));
        let deployed = witnesses.iter().filter(|witness| witness.is_deployed_now);
        let patience = deployed.map(|witness| witness.member.places().patience).max().unwrap_or_default();
        let first = |witness: &Witness| if witness.is_deployed_now { Which::All } else { Which::Counting };
        let looks = witnesses.iter().map(|witness| self.look_of(witness, first(witness)));
        if self.within(LONGEST_LOOK + patience, Box::new(looks)).await {
            let others = witnesses.iter().filter(|witness| !witness.is_deployed_now);
            let looks = others.map(|witness| self.look_of(witness, Which::Others));
            self.within(LONGEST_LOOK_AT_OTHERS, Box::new(looks)).await;
        }
    }

    fn look_of<'w>(&'w self, witness: &'w Witness, which: Which) -> BoxFuture<'w, ()> {
        Box::pin(async move {
            let _ = self.look_at(witness.member.places(), which, witness.is_deployed_now).await;
        })
    }

    /// Whether the run goes on after all that could be done within the time.
    async fn within<'w>(
        &'w self,
        limit: Duration,
        // Each is made when its turn comes, for there may be thousands. Boxed, so that the compiler sees that a run is `Send`.
        looks: Box<dyn Iterator<Item = BoxFuture<'w, ()>> + Send + 'w>,
    ) -> bool {
        let deadline = Instant::now() + limit;
        let mut looks = stream::iter(looks).buffer_unordered(LINEAGES_AT_ONCE);
        loop {
            tokio::select! {
                biased;
                _ = self.stop.stopped() => return false,
                next = timeout_at(deadline, looks.next()) => match next {
                    Ok(Some(())) => {}
                    Ok(None) | Err(_) => return true,
                },
            }
        }
    }

    /// Looks at the endpoints of one lineage. With patience, until what counts serves the version in use.
    pub(super) async fn look_at(
        &self,
        places: Places<'_>,
        which: Which,
        is_deployed_now: bool,
    ) -> Result<(), StoreError> {
        let now = self.inventory.now();
        let Places { name, endpoints, patience } = places;
        let state = self.inventory.state(name);
        let before = &state.served;
        let is_wanted = |endpoint: &Endpoint| {
            let known = before.iter().find(|one| one.endpoint.is_same_place(endpoint));
            let is_of_these = match which {
                Which::All => true,
                Which::Counting => endpoint.counts_by(known),
                Which::Others => !endpoint.counts_by(known),
            };
            is_of_these && (is_deployed_now || known.is_none_or(|known| known.look_is_due(now)))
        };
        let is_known = |endpoint: &Endpoint| before.iter().any(|one| one.endpoint == *endpoint);
        let is_as_before = before.len() == endpoints.len() && endpoints.iter().all(is_known);
        // What is no endpoint any more is forgotten with the others.
        if (is_as_before || which == Which::Counting) && !endpoints.iter().any(is_wanted) {
            return Ok(());
        }
        let Some(mut served) = self.looker.look(name, &endpoints, before, is_wanted).await else {
            return Ok(());
        };
        if is_deployed_now {
            served = self.wait(name, patience, served, now).await;
        }
        self.inventory.record(name, Event::ServedRead { served }).await
    }

    /// Reloads take seconds: what counts and does not serve the version in use is looked at again for a while.
    async fn wait(
        &self,
        name: &LineageName,
        patience: Duration,
        first: Vec<EndpointMemory>,
        began: DateTime<Utc>,
    ) -> Vec<EndpointMemory> {
        let patience = TimeDelta::from_std(patience).unwrap_or(POLL);
        let until = began.checked_add_signed(patience).unwrap_or(began);
        let mut served = first;
        // The number is bounded as well: a clock that stands still must not keep a run for ever.
        for _ in 0..=patience.num_seconds() {
            let missing: Vec<Endpoint> =
                served.iter().filter(|one| is_missing(one)).map(|one| one.endpoint.clone()).collect();
            let now = self.inventory.now();
            if missing.is_empty() || now >= until || self.stop.reason().is_some() {
                break;
            }
            self.inventory.clock().sleep_until((now + POLL).min(until)).await;
            let endpoints: Vec<Endpoint> = served.iter().map(|one| one.endpoint.clone()).collect();
            let again = self.looker.look(name, &endpoints, &served, |one| missing.contains(one)).await;
            let Some(mut again) = again else { break };
            // All looks of one wait are one look.
            for (one, before) in again.iter_mut().zip(&served) {
                one.misses = one.misses.min(before.misses.max(1));
            }
            served = again;
        }
        served
    }

    /// Runs once more what makes servers read the version in use, where one still serves an older version although
    /// everything had the new one. Tells whether anything ran.
    pub(super) async fn repeat_deploy(
        &self,
        hooks: &Hooks<'_>,
        subject: &Subject,
        targets: Vec<DeployTarget>,
        repeating: Repeating,
    ) -> Result<bool, StoreError> {
        let state = self.inventory.state(&subject.name);
        let (Some(version), None) = (still_older(&state), self.stop.reason()) else { return Ok(false) };
        let is_ours = state.issuer_directory.is_some() && state.deployed_version == Some(version);
        let may = match repeating {
            Repeating::OncePerVersion => is_ours && state.redeployed_version != Some(version),
            Repeating::Asked => state.knows(version),
        };
        let targets: Vec<DeployTarget> = targets.into_iter().filter(|target| !is_file(target)).collect();
        if !may || !state.deploy_pending.is_empty() || targets.is_empty() {
            return Ok(false);
        }
        let repeated = Event::DeployRepeated { version, targets: targets.clone() };
        self.inventory.record(&subject.name, repeated).await?;
        hooks.deploy(&Deployment { inventory: self.inventory, subject, version }, &targets).await?;
        Ok(true)
    }

    /// What the owner should know of what these serve.
    pub(super) fn findings<'n>(&self, names: impl Iterator<Item = &'n LineageName>) -> Vec<Finding> {
        let of = |name: &LineageName| {
            let state = self.inventory.state(name);
            state.served.iter().flat_map(|one| one.findings(name)).collect::<Vec<_>>()
        };
        names.flat_map(of).collect()
    }
}

fn is_missing(memory: &EndpointMemory) -> bool {
    memory.counts() && memory.serving() != Serving::Matches
}

/// The version in use, when an endpoint that counts still serves one that was in use before it: what another certificate
/// is served for no reload will cure.
pub(super) fn still_older(state: &LineageState) -> Option<Version> {
    let counting = state.served.iter().filter(|one| one.counts());
    let mut older =
        counting.filter(|one| one.answers.iter().any(|answer| matches!(answer.leaf, ServedLeaf::Older { .. })));
    older.find_map(|one| one.compared_with)
}
