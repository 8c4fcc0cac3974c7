//! How every certificate is, and what comes: what `status`, `report`, `check`, the metrics and the notices are made of.

use std::collections::VecDeque;

use certkit_core::settings::Settings;
use certkit_core::store::{Kind, Store};
use certkit_core::{Endpoint, Finding, LineageName, Outlook, Summary, plan};
use chrono::{DateTime, Utc};
use futures_util::future::join_all;

use super::inventory::blocking;
use super::looking::Looker;
use super::planning::{cadence, input, machine};
use super::run::hook_dir;
use super::select::{Seen, select};
use super::{Renewer, Request, RunError};
use crate::BoxFuture;
use crate::deploy::HookStage;

/// How every certificate is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Survey {
    /// When it was looked (UTC).
    pub now: DateTime<Utc>,
    /// Every lineage in listing order.
    pub summaries: Vec<Summary>,
    /// What was asked of the CAs, and how often certkit is run.
    pub outlook: Outlook,
    /// What is wrong with the memory itself.
    pub findings: Vec<Finding>,
}

impl Renewer {
    /// How every certificate that the request selects is. Reads the store; asks nobody; takes no lock.
    pub async fn survey(&self, request: &Request) -> Result<Survey, RunError> {
        self.survey_with(request, self.effective_settings().await?).await
    }

    /// The same after a look at what the endpoints serve now, which is compared and not stored. Who does not answer is
    /// waited for some seconds.
    pub async fn survey_looking(&self, request: &Request) -> Result<Survey, RunError> {
        let mut survey = self.survey(request).await?;
        let looker = Looker::new(self)?;
        let looks: Vec<BoxFuture<'_, Summary>> = survey
            .summaries
            .into_iter()
            .map(|summary| -> BoxFuture<'_, Summary> { Box::pin(looked(&looker, summary, survey.now)) })
            .collect();
        survey.summaries = join_all(looks).await;
        Ok(survey)
    }

    /// The same by other settings than those of the store: what holds while those of the store cannot be used.
    pub async fn survey_with(&self, request: &Request, settings: Settings) -> Result<Survey, RunError> {
        let (store, request, now) = (self.store.clone(), request.clone(), self.clock.now());
        blocking(move || survey(&store, &request, &settings, now)).await
    }
}

async fn looked(looker: &Looker, summary: Summary, now: DateTime<Utc>) -> Summary {
    let before = summary.state().map(|state| state.served.clone()).unwrap_or_default();
    let Ok(name) = LineageName::new(summary.name.clone()) else { return summary };
    match looker.look(&name, &summary.endpoints, &before, |_| true).await {
        Some(served) => summary.serving(served, now),
        None => summary,
    }
}

pub(super) fn survey(
    store: &Store,
    request: &Request,
    settings: &Settings,
    now: DateTime<Utc>,
) -> Result<Survey, RunError> {
    let (mut ledger, damaged) = store.ledger()?;
    ledger.prune(now);
    let outlook = Outlook::new(ledger.clone(), cadence(request, settings, &ledger));
    let machine = machine(store)?;
    let deploy_dir = hook_dir(store.paths(), HookStage::Deploy);
    let mut inputs = Vec::new();
    // Each lineage's place; what can be planned gets its summary from the plan.
    let mut places: Vec<Place> = Vec::new();
    for seen in select(store, request, settings)? {
        match seen {
            Seen::Usable(mut subject) => {
                let (state, _) = store.state(&subject.name)?;
                subject.take_wish(&state, now);
                inputs.push(input(store, &subject, request, state, &machine));
                places.push(Place::Planned {
                    identifiers: subject.identifiers.clone(),
                    certificate: subject.certificate.clone(),
                    fullchain: subject.fullchain.clone(),
                    targets: subject.deploy_targets(request, &deploy_dir),
                    endpoints: subject.endpoints(),
                });
            }
            Seen::Broken(entry) => places.push(Place::Broken(Box::new(broken(store, settings, &entry, now)))),
        }
    }
    let planned = plan(&inputs, &outlook, now);
    let mut planned: VecDeque<_> = planned.entries.into_iter().zip(inputs).collect();
    let summaries = places.into_iter().filter_map(|place| match place {
        Place::Broken(summary) => Some(*summary),
        Place::Planned { identifiers, certificate, fullchain, targets, endpoints } => {
            let (entry, input) = planned.pop_front()?;
            let mut summary = Summary::of(entry, input, now);
            summary.identifiers = identifiers;
            summary.certificate = certificate;
            summary.fullchain = Some(fullchain);
            summary.targets = targets;
            summary.endpoints = endpoints;
            Some(summary)
        }
    });
    let summaries = summaries.collect();
    Ok(Survey { now, summaries, outlook, findings: damaged.into_iter().collect() })
}

enum Place {
    Broken(Box<Summary>),
    Planned {
        identifiers: certkit_core::IdentifierSet,
        certificate: Option<certkit_core::Certificate>,
        fullchain: std::path::PathBuf,
        targets: Vec<certkit_core::state::DeployTarget>,
        endpoints: Vec<Endpoint>,
    },
}

/// No run would renew it: by its own settings, or by its conf or what is live.
fn broken(store: &Store, settings: &Settings, entry: &super::ReportEntry, now: DateTime<Utc>) -> Summary {
    let super::Outcome::Broken { reason } = &entry.outcome else {
        return Summary::of_broken(&entry.name, "it cannot be used", false, None, now);
    };
    let lineage = LineageName::new(entry.name.clone()).ok().and_then(|name| store.lineage(&name).ok()?);
    let Some(lineage) = lineage else { return Summary::of_broken(&entry.name, reason, false, None, now) };
    let by_settings = store.lineage_settings(settings, lineage.name()).is_err();
    let certificate = lineage.certificate().ok();
    let mut summary =
        Summary::of_broken(&entry.name, reason, by_settings, certificate.as_ref().map(|one| one.validity()), now);
    summary.identifiers = certificate.as_ref().and_then(|one| one.identifiers().ok()).unwrap_or_default();
    summary.certificate = certificate;
    summary.fullchain = Some(lineage.live_path(Kind::Fullchain).to_owned());
    summary
}
