//! What a run would do: everything that is known, put before the plan.

use certkit_core::decision::{Cadence, Seed};
use certkit_core::settings::Settings;
use certkit_core::state::{Ledger, OrderScope, SharedState};
use certkit_core::store::{Store, StoreError};
use certkit_core::{AcmeUrl, Finding, LineageName, Outlook, Plan, PlanInput, Step, decide, plan};
use chrono::{DateTime, TimeDelta, Utc};

use super::scope::order_scope;
use super::select::{Seen, select};
use super::subject::Subject;
use super::{Mode, Renewer, Request, RunError};
use crate::blocking::blocking;

/// Where Linux keeps what differs between machines (machine-id(5)). It never leaves the machine: only a hash is used.
const MACHINE_ID: &str = "/etc/machine-id";

impl Renewer {
    /// What a run would do now, one entry for each lineage that can be used. Reads the store; asks nobody; takes no lock.
    pub async fn plan(&self, request: &Request) -> Result<Plan, RunError> {
        let settings = self.effective_settings().await?;
        let (store, request, now) = (self.store.clone(), request.clone(), self.clock.now());
        blocking(move || {
            let (outlook, machine) = (outlook(&store, &request, &settings, now)?.0, machine(&store)?);
            // What is not due takes nothing of any limit and is decided by itself: of thousands only what is due is kept.
            let (mut entries, mut due, mut inputs) = (Vec::new(), Vec::new(), Vec::new());
            for seen in select(&store, &request, &settings)? {
                if let Seen::Usable(mut subject) = seen {
                    let (state, _) = store.state(&subject.name)?;
                    subject.take_wish(&state, now);
                    let input = input(&store, &subject, &request, state, &machine);
                    let entry = decide(&input, &outlook.ledger, &outlook, now);
                    if !matches!(entry.step, Step::NotDue { .. }) {
                        due.push(entries.len());
                        inputs.push(input);
                    }
                    entries.push(entry);
                }
            }
            let mut together = plan(&inputs, &outlook, now);
            for (place, entry) in due.into_iter().zip(std::mem::take(&mut together.entries)) {
                entries[place] = entry;
            }
            together.entries = entries;
            Ok(together)
        })
        .await
    }

    /// The plan with what it was made of, in the same order: what a limit leaves, what the CA said, what is remembered.
    pub async fn foresee(&self, request: &Request) -> Result<(Plan, Vec<PlanInput>, Outlook), RunError> {
        let settings = self.effective_settings().await?;
        let (store, request, now) = (self.store.clone(), request.clone(), self.clock.now());
        blocking(move || {
            let (outlook, machine) = (outlook(&store, &request, &settings, now)?.0, machine(&store)?);
            let mut inputs = Vec::new();
            for seen in select(&store, &request, &settings)? {
                if let Seen::Usable(mut subject) = seen {
                    let (state, _) = store.state(&subject.name)?;
                    subject.take_wish(&state, now);
                    inputs.push(input(&store, &subject, &request, state, &machine));
                }
            }
            let plan = plan(&inputs, &outlook, now);
            Ok((plan, inputs, outlook))
        })
        .await
    }
}

/// What was asked of the CAs and how often certkit is run, and what is wrong with the memory of it.
pub(super) fn outlook(
    store: &Store,
    request: &Request,
    settings: &Settings,
    now: DateTime<Utc>,
) -> Result<(Outlook, Option<Finding>), StoreError> {
    let (mut ledger, damaged) = store.ledger()?;
    ledger.prune(now);
    let cadence = cadence(request, settings, &ledger);
    Ok((Outlook::new(ledger, cadence), damaged))
}

/// How often certkit is run: as whoever runs it says, as the settings say, as past runs tell.
pub(super) fn cadence(request: &Request, settings: &Settings, ledger: &Ledger) -> Cadence {
    if let Some(cadence) = request.cadence {
        return cadence;
    }
    let set = settings.run_interval.value.and_then(|interval| TimeDelta::from_std(interval).ok());
    set.map_or_else(|| Cadence::from_past_runs(ledger.runs()), Cadence::every)
}

/// What differs between machines: the machine's id, else a random number that was stored once.
pub(super) fn machine(store: &Store) -> Result<Vec<u8>, StoreError> {
    match std::fs::read(MACHINE_ID) {
        Ok(id) if id.len() >= 32 => Ok(id),
        _ => Ok(store.seed()?.unwrap_or_default()),
    }
}

/// What the plan has to know of a lineage.
pub(super) fn input(
    store: &Store,
    subject: &Subject,
    request: &Request,
    state: impl Into<SharedState>,
    machine: &[u8],
) -> PlanInput {
    let is_real = request.mode == Mode::Real;
    let mut input = PlanInput::new(subject.name.clone(), None, subject.wish(request)).remembering(state);
    if let Some(certificate) = &subject.certificate {
        input = input.of_certificate(certificate);
        input.same_identifiers = certificate.identifiers().is_ok_and(|names| names.same_as(&subject.identifiers));
    }
    input.authorities = scopes(store, subject, request);
    input.takes_advice = subject.settings.renewal_information;
    input.checks_revocation = subject.settings.revocation_check;
    input.changed_since = subject.changed_since;
    input.seed = seed(machine, &subject.name);
    // A dry run finishes nothing; it tries everything anew.
    input.order_under_way &= is_real;
    // The journal tells, not the memory: an order that is gone is no reason to place another one.
    input.order_under_way = input.order_under_way && !matches!(store.pending(&subject.name), Ok(None));
    input
}

pub(super) fn seed(machine: &[u8], name: &LineageName) -> Seed {
    Seed::of(machine, name)
}

/// The CAs that may be asked: the conf's with the conf's account, then those of the settings, each once.
fn scopes(store: &Store, subject: &Subject, request: &Request) -> Vec<OrderScope> {
    let Some(first) = subject.own_directory() else { return Vec::new() };
    let wanted = request.account.clone().or_else(|| subject.conf.params().account.clone().map(String::from));
    // Limits count by account: without anybody's choice it is the only one, as for the order itself.
    let account = wanted.or_else(|| only_account(store, &first));
    let mut scopes = vec![order_scope(&first, account.as_deref(), &subject.identifiers)];
    for directory in &subject.settings.fallbacks {
        if scopes.iter().any(|scope| scope.directory == *directory) {
            continue;
        }
        // It has one, or it would not be among them.
        let account = store.accounts(directory).ok().and_then(|(accounts, _)| accounts.into_iter().next());
        scopes.push(order_scope(directory, account.as_ref().map(|account| account.id.as_str()), &subject.identifiers));
    }
    scopes
}

fn only_account(store: &Store, directory: &AcmeUrl) -> Option<String> {
    match store.accounts(directory).ok()?.0.as_slice() {
        [only] => Some(only.id.clone()),
        _ => None,
    }
}
