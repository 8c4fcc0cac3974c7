//! How every certificate is, and what comes: what `status`, `report`, `check`, the metrics and the notices are made of.

use std::sync::Arc;
use std::time::Duration;

use certkit_core::settings::Settings;
use certkit_core::state::{EndpointMemory, SharedState};
use certkit_core::store::{BrokenReason, Kind, Store};
use certkit_core::{Endpoint, Finding, FindingCode, KeyMath, LineageName, Outlook, Step, Summary, decide, plan};
use chrono::{DateTime, Utc};
use futures_util::stream::{self, StreamExt as _};
use tokio::time::{Instant, timeout_at};

use super::inventory::KnownStates;
use super::looking::Looker;
use super::own_settings::OwnSettings;
use super::planning::{input, machine, outlook};
use super::prove::LINEAGES_AT_ONCE;
use super::select::{Seen, select};
use super::subject::directory_targets;
use super::{Renewer, Request, RunError};
use crate::BoxFuture;
use crate::blocking::blocking;

/// Looks at endpoints that do not count (yet) take no longer together: monitoring systems give a check ten seconds.
const LONGEST_LOOK_AT_OTHERS: Duration = Duration::from_secs(5);

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

impl Survey {
    /// Of what was gathered elsewhere.
    pub fn new(now: DateTime<Utc>, summaries: Vec<Summary>, outlook: Outlook) -> Self {
        Self { now, summaries, outlook, findings: Vec::new() }
    }
}

impl Renewer {
    /// How every certificate that the request selects is. Reads the store; asks nobody; takes no lock.
    pub async fn survey(&self, request: &Request) -> Result<Survey, RunError> {
        self.survey_with(request, self.effective_settings().await?).await
    }

    /// The same after a look at what the endpoints serve now, which is compared and not stored. Who does not answer is
    /// waited for some seconds.
    pub async fn survey_looking(&self, request: &Request) -> Result<Survey, RunError> {
        let mut survey = self.survey_keeping(request, self.effective_settings().await?, Keeping::Endpoints).await?;
        let looker = Looker::new(self)?;
        let now = survey.now;
        let summaries = std::mem::take(&mut survey.summaries);
        let counting = summaries.into_iter().map(|summary| look_at_counting(&looker, summary, now));
        let summaries = some_at_once(Box::new(counting)).await;
        let deadline = Instant::now() + LONGEST_LOOK_AT_OTHERS;
        let others = summaries.into_iter().map(|summary| look_at_others(&looker, summary, now, deadline));
        survey.summaries = some_at_once(Box::new(others)).await;
        Ok(survey)
    }

    /// The same with what is wrong with the files in use of each certificate ([`Summary::findings`]): all are read, and the
    /// certificates verified under their chains.
    pub async fn with_verified_files(&self, mut survey: Survey) -> Survey {
        let (store, math) = (self.store.clone(), Arc::clone(&self.math));
        blocking(move || {
            for summary in survey.summaries.iter_mut().filter(|summary| summary.planned.is_some()) {
                summary.findings = of_files(&store, &summary.name, math.as_ref());
            }
            survey
        })
        .await
    }

    /// The same by other settings than those of the store: what holds while those of the store cannot be used.
    pub async fn survey_with(&self, request: &Request, settings: Settings) -> Result<Survey, RunError> {
        self.survey_knowing(request, settings, KnownStates::default()).await
    }

    async fn survey_keeping(
        &self,
        request: &Request,
        settings: Settings,
        keeping: Keeping,
    ) -> Result<Survey, RunError> {
        let (store, request, now) = (self.store.clone(), request.clone(), self.clock.now());
        blocking(move || survey(&store, &request, &settings, now, keeping, &KnownStates::default())).await
    }

    /// The same for who has read already what is remembered: of thousands it is not held twice.
    pub(super) async fn survey_knowing(
        &self,
        request: &Request,
        settings: Settings,
        known: KnownStates,
    ) -> Result<Survey, RunError> {
        let (store, request, now) = (self.store.clone(), request.clone(), self.clock.now());
        blocking(move || survey(&store, &request, &settings, now, Keeping::Nothing, &known)).await
    }
}

/// What keeps it from being used at all stands in the summary already.
fn of_files(store: &Store, name: &str, math: &dyn KeyMath) -> Vec<Finding> {
    let lineage = LineageName::new(name).ok().and_then(|name| store.lineage(&name).ok()?);
    match lineage.map(|lineage| lineage.checked_certificate(Some(math)).and_then(|live| live.checked)) {
        Some(Ok(findings)) => findings,
        Some(Err(reason @ BrokenReason::NotSignedByChain { .. })) => {
            vec![Finding::new(FindingCode::ChainIncomplete, name, reason.to_string())]
        }
        Some(Err(_)) | None => Vec::new(),
    }
}

/// Each look is made when its turn comes, for there may be thousands. Boxed, so that the compiler sees that it is `Send`.
async fn some_at_once<'l>(looks: Box<dyn Iterator<Item = BoxFuture<'l, Summary>> + Send + 'l>) -> Vec<Summary> {
    let mut summaries = Vec::with_capacity(looks.size_hint().0);
    let mut looked = stream::iter(looks).buffered(LINEAGES_AT_ONCE);
    while let Some(summary) = looked.next().await {
        summaries.push(summary);
    }
    summaries
}

/// Each time, as long as it takes: they are few, and each is waited for some seconds at most.
fn look_at_counting(looker: &Looker, summary: Summary, now: DateTime<Utc>) -> BoxFuture<'_, Summary> {
    Box::pin(async move {
        match looked(looker, &summary, |endpoint, known| endpoint.counts_by(known)).await {
            Some(served) => summary.with_served(served, now),
            None => summary,
        }
    })
}

/// What does not count (yet) is looked at when that is due, as far as there is time: a monitoring system does not wait.
fn look_at_others(looker: &Looker, summary: Summary, now: DateTime<Utc>, deadline: Instant) -> BoxFuture<'_, Summary> {
    Box::pin(async move {
        // What has its turn only now is not even begun.
        if Instant::now() >= deadline {
            return summary;
        }
        let is_wanted = |endpoint: &Endpoint, known: Option<&EndpointMemory>| {
            !endpoint.counts_by(known) && known.is_none_or(|known| known.look_is_due(now))
        };
        match timeout_at(deadline, looked(looker, &summary, is_wanted)).await {
            Ok(Some(served)) => summary.with_served(served, now),
            Ok(None) | Err(_) => summary,
        }
    })
}

async fn looked(
    looker: &Looker,
    summary: &Summary,
    is_wanted: impl Fn(&Endpoint, Option<&EndpointMemory>) -> bool,
) -> Option<Vec<EndpointMemory>> {
    let before = summary.state().map(|state| state.served.as_slice()).unwrap_or_default();
    let name = LineageName::new(summary.name.clone()).ok()?;
    let is_wanted =
        |endpoint: &Endpoint| is_wanted(endpoint, before.iter().find(|one| one.endpoint.is_same_place(endpoint)));
    // Where nothing is looked at and nothing is known there is nothing to compare: thousands need not be read for it.
    if before.is_empty() && !summary.endpoints.iter().any(is_wanted) {
        return None;
    }
    looker.look(&name, &summary.endpoints, before, is_wanted).await
}

pub(super) fn survey(
    store: &Store,
    request: &Request,
    settings: &Settings,
    now: DateTime<Utc>,
    keeping: Keeping,
    known: &KnownStates,
) -> Result<Survey, RunError> {
    let (outlook, damaged) = outlook(store, request, settings, now)?;
    let machine = machine(store)?;
    let directory = directory_targets(request, store.paths());
    let selected = select(store, request, settings)?;
    // At once as large as it becomes: with thousands of lineages an outgrown copy counts.
    let mut summaries = Vec::with_capacity(selected.size_hint().1.unwrap_or_default());
    let mut due = Vec::new();
    for seen in selected {
        let mut subject = match seen {
            Seen::Usable(subject) => subject,
            Seen::Broken(entry) => {
                summaries.push(broken(store, settings, &entry, now, keeping));
                continue;
            }
        };
        let state = match known.get(&subject.name) {
            Some(state) => state.clone(),
            None => SharedState::from(store.state(&subject.name)?.0),
        };
        subject.take_wish(&state, now);
        let input = input(store, &subject, request, state, &machine);
        // What is not due takes nothing of any limit, and is decided by itself.
        let entry = decide(&input, &outlook.ledger, &outlook, now);
        if !matches!(entry.step, Step::NotDue { .. }) {
            due.push(summaries.len());
        }
        let mut summary = Summary::of(entry, input, now);
        summary.targets = subject.deploy_targets(&directory);
        if keeping == Keeping::Endpoints {
            summary.endpoints = subject.endpoints();
        }
        let subject = *subject;
        summary.identifiers = subject.identifiers;
        summary.fullchain = Some(subject.fullchain);
        summary.certificate = subject.certificate.filter(|_| keeping == Keeping::Certificates);
        summaries.push(summary);
    }
    // What is due is planned together, since it shares what is left of the CAs' limits.
    let planned = plan(due.iter().filter_map(|place| summaries.get(*place)?.input()), &outlook, now);
    for (place, entry) in due.into_iter().zip(planned.entries) {
        if let Some(summary) = summaries.get_mut(place) {
            summary.plan_anew(entry, now);
        }
    }
    Ok(Survey { now, summaries, outlook, findings: damaged.into_iter().collect() })
}

/// What of a certificate is kept besides how it is: of thousands that counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeping {
    Nothing,
    /// The certificates in use.
    Certificates,
    /// Where they are served.
    Endpoints,
}

/// No run would renew it: by its own settings, or by its conf or what is live.
fn broken(
    store: &Store,
    settings: &Settings,
    entry: &super::ReportEntry,
    now: DateTime<Utc>,
    keeping: Keeping,
) -> Summary {
    let super::Outcome::Broken { reason, hindrance, .. } = &entry.outcome else {
        return Summary::of_broken(&entry.name, "it cannot be used", false, None, now);
    };
    let lineage = LineageName::new(entry.name.clone()).ok().and_then(|name| store.lineage(&name).ok()?);
    let Some(lineage) = lineage else {
        return Summary::of_broken(&entry.name, reason, false, None, now).hindered_by(*hindrance);
    };
    let certificate = lineage.certificate().ok();
    let validity = certificate.as_ref().map(|one| one.validity());
    let mut summary = match store.lineage_settings(settings, lineage.name()) {
        Ok(own) => {
            let server = lineage.conf().params().effective_server();
            let by_settings = OwnSettings::resolve(store, own, lineage.name(), server).is_err();
            Summary::of_broken(&entry.name, reason, by_settings, validity, now).hindered_by(*hindrance)
        }
        Err(error) => {
            let mut summary = Summary::of_broken(&entry.name, error.to_string(), true, validity, now);
            if let Some(broken) = &mut summary.broken {
                broken.exact_cure = Some(error.cure().to_owned());
            }
            summary
        }
    };
    summary.identifiers = certificate.as_ref().and_then(|one| one.identifiers().ok()).unwrap_or_default();
    summary.certificate = certificate.filter(|_| keeping == Keeping::Certificates);
    summary.fullchain = Some(lineage.live_path(Kind::Fullchain).to_owned());
    summary
}
