//! What the endpoints of a lineage serve now, compared with what is stored.

use std::collections::BTreeSet;
use std::sync::Arc;

use certkit_core::state::{AddressMemory, EndpointMemory, ServedLeaf};
use certkit_core::store::{Lineage, Store};
use certkit_core::{Endpoint, IssuerKind, LineageName, StoredVersions, Version, compare};
use futures_util::future::join_all;
use tokio::sync::Semaphore;

use super::{Renewer, RunError};
use crate::Clock;
use crate::authorities::is_public_authority;
use crate::blocking::blocking;
use crate::probe::{Answer, ProbeLimits, Prober};

/// So many lineages are read at once: more threads than that would read no faster, and each keeps memory for itself.
const READS_AT_ONCE: usize = 4;

/// Looks at endpoints. It writes nothing.
#[derive(Clone)]
pub(super) struct Looker {
    prober: Prober,
    store: Store,
    clock: Arc<dyn Clock>,
    reads: Arc<Semaphore>,
}

impl Looker {
    pub(super) fn new(renewer: &Renewer) -> Result<Self, RunError> {
        let prober = Prober::new(&renewer.transport_settings, &renewer.resolver, ProbeLimits::default())?;
        let reads = Arc::new(Semaphore::new(READS_AT_ONCE));
        Ok(Self { prober, store: renewer.store.clone(), clock: Arc::clone(&renewer.clock), reads })
    }

    /// What is known of these endpoints after looking at those that `wanted` names: the others are as they were `before`,
    /// and left out when they were not looked at yet. None when there is no version in use to compare with.
    pub(super) async fn look(
        &self,
        name: &LineageName,
        endpoints: &[Endpoint],
        before: &[EndpointMemory],
        wanted: impl Fn(&Endpoint) -> bool,
    ) -> Option<Vec<EndpointMemory>> {
        let live = self.stored(name, Reading::Live).await?;
        let (_, chain) = live.chains.first()?;
        let identifiers = chain.leaf.identifiers().unwrap_or_default();
        let now = self.clock.now();
        let looks = endpoints.iter().filter(|endpoint| wanted(endpoint)).map(|endpoint| {
            let asked = endpoint.asked_name(&identifiers);
            async move { (endpoint, self.prober.look(endpoint, &asked, Some(&chain.leaf), now).await) }
        });
        // Collected and boxed first: otherwise the compiler cannot see that a run is `Send`.
        let looks: Vec<crate::BoxFuture<'_, _>> =
            looks.map(|look| -> crate::BoxFuture<'_, _> { Box::pin(look) }).collect();
        let looked = join_all(looks).await;
        // The others are read only where something else than the version in use was found.
        let is_all_ours = looked
            .iter()
            .flat_map(|(_, answers)| answers)
            .all(|answer| !matches!(remembered(answer, &live, now).leaf, ServedLeaf::Foreign));
        let stored = if is_all_ours { live } else { self.stored(name, Reading::All).await? };
        let at = self.clock.now();
        let memories = endpoints.iter().filter_map(|endpoint| {
            let known = before.iter().find(|one| one.endpoint.is_same_place(endpoint));
            let Some((_, answers)) = looked.iter().find(|(one, _)| *one == endpoint) else {
                // Who says that it is one may have changed.
                let mut known = known?.clone();
                known.endpoint = endpoint.clone();
                return Some(known);
            };
            let answers = answers.iter().map(|answer| remembered(answer, &stored, now)).collect();
            Some(EndpointMemory::looked(endpoint.clone(), answers, stored.live, known, at))
        });
        Some(memories.collect())
    }

    /// The versions to compare with; none without a version in use that can be read.
    async fn stored(&self, name: &LineageName, reading: Reading) -> Option<StoredVersions> {
        let (store, name) = (self.store.clone(), name.clone());
        // It is never closed; without a turn the bound is lost and nothing else.
        let _turn = self.reads.acquire().await.ok();
        blocking(move || {
            let lineage = store.lineage(&name).ok()??;
            let live = lineage.live_version()?;
            let mut versions: BTreeSet<Version> = BTreeSet::from([live]);
            if reading == Reading::All {
                versions.extend(lineage.versions().ok().into_iter().flatten().map(|(version, _)| version));
            }
            let chains: Vec<_> =
                versions.into_iter().filter_map(|one| Some((one, lineage.read_chain(one).ok()?))).collect();
            let has_live = chains.iter().any(|(version, _)| *version == live);
            has_live.then(|| StoredVersions::new(Some(live), chains).issued_by(issuer_kind(&store, &lineage)))
        })
        .await
    }
}

/// Who issued what is in use: the CA that is remembered, or the one of its conf.
pub fn issuer_kind(store: &Store, lineage: &Lineage) -> IssuerKind {
    let remembered = store.state(lineage.name()).ok().and_then(|(state, _)| state.issuer_directory);
    let of_conf = lineage.conf().params().effective_server();
    let directory = remembered.as_ref().map(|directory| directory.as_str()).or(of_conf);
    match directory.is_some_and(is_public_authority) {
        true => IssuerKind::Public,
        false => IssuerKind::Other,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// The version in use.
    Live,
    /// Every version that can be read.
    All,
}

fn remembered(answer: &Answer, stored: &StoredVersions, now: chrono::DateTime<chrono::Utc>) -> AddressMemory {
    match &answer.observed {
        Ok(observed) => compare(observed, stored, now),
        Err(why) => AddressMemory::unreachable(answer.address, why),
    }
}
