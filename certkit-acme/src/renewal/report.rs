//! What a run did: a fold over its events.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use certkit_core::decision::DueReason;
use certkit_core::state::{DeployTarget, EndpointMemory, LineageState, Refusal, ServedLeaf};
use certkit_core::words::is_of_settings;
use certkit_core::{Failure, Finding, FindingCode, HeldBy, Hindrance, IdentifierSet, LineageName, Version, escape};
use chrono::{DateTime, Utc};

use crate::command::CommandOutcome;
use crate::deploy::HookStage;

/// What a run did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// When it began.
    pub now: DateTime<Utc>,
    /// Whether it was a dry run.
    pub dry_run: bool,
    /// Each lineage in listing order.
    pub entries: Vec<ReportEntry>,
    /// Every hook and reload that ran, in order.
    pub hooks: Vec<HookRun>,
    /// What the owner should know besides.
    pub findings: Vec<Finding>,
    /// Why not all of it could be recorded; among the findings as well. What is live is live, and the next run finds the
    /// rest out anew.
    pub unrecorded: Option<Finding>,
    /// Whether the run was cut short.
    pub stopped: Option<crate::StopReason>,
}

/// What happened to one lineage.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReportEntry {
    /// Its name, escaped (a broken lineage's name may not be a valid one).
    pub name: String,
    /// Its conf's path.
    pub conf_path: std::path::PathBuf,
    /// Its live fullchain.pem, as the conf names it; none for a broken one.
    pub fullchain: Option<std::path::PathBuf>,
    /// What it covers or is to cover; empty for a broken one.
    pub identifiers: IdentifierSet,
    /// The end of the live certificate's validity when the run began.
    pub not_after: Option<DateTime<Utc>>,
    /// What happened.
    pub outcome: Outcome,
    /// Deploy targets that still have to receive the live version.
    pub deploy_pending: Vec<DeployTarget>,
    /// What the endpoints served when they were last looked at.
    pub served: Vec<EndpointMemory>,
    /// Where something else than the live version is served although it counts, a line for each address, for people: the
    /// deploy is not done as long as there is any. Escaped.
    pub not_served: Vec<String>,
}

/// What happened to one lineage.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// Its conf or its files cannot be used.
    Broken {
        /// Why.
        reason: String,
        /// What keeps it from being read, where that is all that is known.
        hindrance: Option<Hindrance>,
        /// What to do, where it was found out what its conf should say.
        cure: Option<String>,
    },
    /// The version in use was given to targets that did not have it, as far as [`ReportEntry::deploy_pending`] is empty.
    Deployed {
        /// The version.
        version: Version,
    },
    /// The attempt failed.
    Failed {
        /// Why.
        failure: Failure,
        /// When it is tried again at the earliest.
        next_attempt: Option<DateTime<Utc>>,
    },
    /// Due, but it has to wait: for a back-off, for the CA, for a limit.
    Held {
        /// Until when.
        until: DateTime<Utc>,
        /// For what.
        by: HeldBy,
    },
    /// Not due.
    NotDue {
        /// When it will be.
        at: Option<DateTime<Utc>>,
        /// By which rule.
        reason: DueReason,
    },
    /// A new version is live.
    Renewed {
        /// Its number.
        version: Version,
        /// The end of its validity.
        not_after: DateTime<Utc>,
    },
    /// A dry run ended well.
    Simulated,
}

/// A hook or reload that ran.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HookRun {
    /// Pre, deploy or post.
    pub stage: HookStage,
    /// What ran, for people, escaped.
    pub command: String,
    /// For which lineage (deploy hooks).
    pub lineage: Option<LineageName>,
    /// What it did.
    pub outcome: CommandOutcome,
    /// Why a target that is no hook (a file, a reload, a command of the settings) could not be given the version: what
    /// the command alone does not tell, with the cure. Escaped.
    pub failure: Option<String>,
}

impl Report {
    /// The report of a run that begins now and has not done anything yet.
    pub fn new(now: DateTime<Utc>, dry_run: bool) -> Self {
        Self {
            now,
            dry_run,
            entries: Vec::new(),
            hooks: Vec::new(),
            findings: Vec::new(),
            unrecorded: None,
            stopped: None,
        }
    }

    /// Joins what was found out of the confs of lineages to the failures that come of it, so that each is told once: why, and
    /// with the cure that ends it.
    pub(super) fn join_causes(&mut self) {
        let is_of = |found: &Finding, entry: &ReportEntry| {
            found.code == FindingCode::BrokenLineage && found.subject == *escape(&entry.name)
        };
        // One with a cure of its own says what the others come of: that what is live does not fit, for one.
        let is_cause = |found: &Finding| found.code == FindingCode::BrokenLineage && found.exact_cure.is_some();
        let found_out: BTreeSet<String> =
            self.findings.iter().filter(|found| is_cause(found)).map(|found| found.subject.clone()).collect();
        self.findings.retain(|found| {
            found.code != FindingCode::BrokenLineage || is_cause(found) || !found_out.contains(&found.subject)
        });
        for entry in &mut self.entries {
            let cause = self.findings.iter().find(|found| is_cause(found) && is_of(found, entry));
            let Some(cause) = cause else { continue };
            match &mut entry.outcome {
                Outcome::Broken { reason, hindrance, cure } if !is_of_settings(reason) => {
                    cause.evidence.as_str().clone_into(reason);
                    (*hindrance, *cure) = (None, Some(cause.cure().to_owned()));
                }
                Outcome::Failed { failure, .. } if failure.detail.contains(cause.evidence.as_str()) => {}
                _ => continue,
            }
            self.findings.retain(|found| !is_of(found, entry));
        }
        // What a repair made live is deployed by now, or its line says what is not.
        let is_looked_at = |found: &Finding| self.entries.iter().any(|entry| found.subject == *escape(&entry.name));
        self.findings.retain(|found| found.code != FindingCode::DeployPending || !is_looked_at(found));
    }

    /// Listing order: bytewise by the conf's path, as certbot lists.
    pub(super) fn sort(&mut self) {
        self.entries.sort_by(|a, b| a.conf_path.as_os_str().cmp(b.conf_path.as_os_str()));
        self.findings.dedup();
    }

    /// Whether everything is well: nothing failed, nothing is broken, every hook succeeded, nothing was cut short,
    /// and all of it is recorded.
    /// A lineage that is held because of an earlier failure is not well; one that waits for its turn within a CA's limits
    /// is.
    pub fn is_success(&self) -> bool {
        self.stopped.is_none()
            && self.unrecorded.is_none()
            && self.hooks.iter().all(|hook| hook.outcome.success())
            // A dry run neither deploys nor is it about what an earlier run could not deploy.
            && self.entries.iter().all(|entry| {
                (self.dry_run || entry.is_deployed()) && entry.outcome.is_success()
            })
    }
}

impl ReportEntry {
    /// An entry that says nothing but this. `name` has to be escaped already when it may not be a valid one.
    pub fn new(name: impl Into<String>, conf_path: impl Into<std::path::PathBuf>, outcome: Outcome) -> Self {
        Self {
            name: name.into(),
            conf_path: conf_path.into(),
            fullchain: None,
            identifiers: IdentifierSet::default(),
            not_after: None,
            outcome,
            deploy_pending: Vec::new(),
            served: Vec::new(),
            not_served: Vec::new(),
        }
    }
}

impl ReportEntry {
    /// Whether everything has the live version, and serves it as far as that counts.
    pub fn is_deployed(&self) -> bool {
        self.deploy_pending.is_empty() && self.not_served.is_empty()
    }

    /// The addresses that were found to serve `version`, of the endpoints that count, in their order.
    pub fn served_at(&self, version: Version) -> Vec<SocketAddr> {
        let proved = self.served.iter().filter(|one| one.counts() && one.compared_with == Some(version));
        let answers = proved.flat_map(|one| &one.answers).filter(|answer| answer.leaf == ServedLeaf::Same);
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for address in answers.filter_map(|answer| answer.address) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses
    }

    /// Takes over how the deploy stands.
    pub(super) fn take_deploy_state(&mut self, state: &LineageState) {
        self.not_served = state.not_served();
        self.deploy_pending = state.deploy_pending.iter().map(|pending| pending.target.clone()).collect();
        self.served.clone_from(&state.served);
    }
}

impl HookRun {
    /// A hook that ended; `command` is escaped here.
    pub fn new(stage: HookStage, command: &str, lineage: Option<LineageName>, outcome: CommandOutcome) -> Self {
        Self { stage, command: escape(command).into_owned(), lineage, outcome, failure: None }
    }
}

impl Outcome {
    /// Whether the lineage is well.
    pub fn is_success(&self) -> bool {
        match self {
            Self::Deployed { .. } | Self::NotDue { .. } | Self::Renewed { .. } | Self::Simulated => true,
            Self::Held { by: HeldBy::Refusal(Refusal::Limit { .. }), .. } => true,
            Self::Broken { .. } | Self::Failed { .. } | Self::Held { .. } => false,
        }
    }
}
