//! What is known of every certificate and what comes, for the commands that tell it. The store is read; nobody is asked and
//! nothing is written.

use std::collections::BTreeSet;

use certkit_acme::renewal::{Renewer, Request, Selection};
use certkit_core::settings::{Origin, Settings, SettingsError};
use certkit_core::store::{BrokenLineage, Lineage, Store};
use certkit_core::{AcmeUrl, Finding, FindingCode, LineageName, Outlook, PlanEntry, PlanInput, Validity, escape};
use chrono::{DateTime, Utc};

use super::Context;
use super::common::no_such_certificate;
use crate::exit::CommandError;
use crate::render::words;
use crate::runtime;

/// What is known, and what comes.
pub(crate) struct Foresight {
    /// When it was looked (UTC).
    pub(crate) now: DateTime<Utc>,
    /// The certificates that can be renewed, in listing order.
    pub(crate) certificates: Vec<Foreseen>,
    /// Those that cannot.
    pub(crate) broken: Vec<Broken>,
    /// What was asked of the CAs, and how often certkit is run.
    pub(crate) outlook: Outlook,
    /// How that is known.
    pub(crate) cadence_source: CadenceSource,
    /// What is wrong with the memory itself, and with the settings for all certificates.
    pub(crate) findings: Vec<Finding>,
}

/// One certificate.
pub(crate) struct Foreseen {
    /// What the plan says.
    pub(crate) entry: PlanEntry,
    /// What it was made of.
    pub(crate) input: PlanInput,
}

/// A certificate that cannot be renewed as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    /// Outside text.
    pub(crate) name: String,
    /// Outside text.
    pub(crate) reason: String,
    /// What to do about it.
    pub(crate) cure: String,
    /// Whether nothing but its settings stand in the way.
    pub(crate) by_settings: bool,
    /// Of what is live, where it can be read.
    pub(crate) validity: Option<Validity>,
}

/// How it is known how often certkit is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CadenceSource {
    /// By `run_interval`.
    Settings(Origin),
    /// By this many runs.
    Runs(usize),
    /// Not at all: certbot's packages run it twice a day.
    Assumed,
}

impl Foresight {
    /// Whether a run would refuse to do anything, so that what is shown here holds only once the settings are put right.
    pub(crate) fn settings_are_unusable(&self) -> bool {
        self.findings.iter().any(|finding| finding.code == FindingCode::SettingsUnusable)
    }
}

impl Foreseen {
    /// The CA that its conf names.
    pub(crate) fn own_authority(&self) -> Option<&AcmeUrl> {
        self.input.authorities.first().map(|scope| &scope.directory)
    }

    /// The CA that issued what is in use, when it is another one.
    pub(crate) fn other_issuer(&self) -> Option<&AcmeUrl> {
        self.input.state.issuer_directory.as_ref().filter(|issuer| self.own_authority() != Some(issuer))
    }
}

/// Looks at all certificates, or at one. Settings that cannot be used hide no certificate: the defaults apply then.
pub(crate) fn look(context: &Context<'_>, only: Option<&LineageName>) -> Result<Foresight, CommandError> {
    let store = context.store()?;
    if let Some(name) = only
        && matches!(store.lineage(name), Ok(None))
    {
        return Err(no_such_certificate(&store, name));
    }
    let (settings, mistake) = match store.settings() {
        Ok(settings) => (settings, None),
        Err(mistake) => (Settings::default(), Some(mistake)),
    };
    let mut request = Request::renew();
    if let Some(name) = only {
        request.selection = Selection::One(name.clone());
    }
    let (certificates, outlook) = foresee_with(&store, &request, settings.clone())?;
    let known: BTreeSet<&LineageName> = certificates.iter().map(|one| &one.input.name).collect();
    let broken = match only {
        Some(name) if known.contains(name) => Vec::new(),
        Some(name) => store.lineage(name).map_or_else(
            |broken| vec![unreadable(broken)],
            |lineage| lineage.iter().map(|one| unusable(&store, &settings, one)).collect(),
        ),
        None => store
            .lineages()?
            .filter_map(|lineage| match lineage {
                Ok(lineage) if known.contains(lineage.name()) => None,
                Ok(lineage) => Some(unusable(&store, &settings, &lineage)),
                Err(broken) => Some(unreadable(broken)),
            })
            .collect(),
    };
    let (_, damaged) = store.ledger()?;
    let cadence_source = match settings.run_interval.value {
        Some(_) => CadenceSource::Settings(settings.run_interval.origin),
        None if outlook.ledger.runs().len() > 1 => CadenceSource::Runs(outlook.ledger.runs().len()),
        None => CadenceSource::Assumed,
    };
    let findings = damaged.into_iter().chain(mistake.as_ref().map(told)).collect();
    Ok(Foresight { now: context.now, certificates, broken, outlook, cadence_source, findings })
}

/// The plan of a request with what it was made of.
pub(crate) fn foresee(store: &Store, request: &Request) -> Result<(Vec<Foreseen>, Outlook), CommandError> {
    foresee_with(store, request, store.settings()?)
}

fn foresee_with(
    store: &Store,
    request: &Request,
    settings: Settings,
) -> Result<(Vec<Foreseen>, Outlook), CommandError> {
    // Nobody is asked, so how to ask does not matter: a --ca-bundle that is gone must not hide what comes.
    let renewer = Renewer::builder(store.clone()).build()?;
    let (plan, inputs, outlook) = runtime::ask(async { Ok(renewer.foresee_with(request, settings).await?) })?;
    let certificates = plan.entries.into_iter().zip(inputs).map(|(entry, input)| Foreseen { entry, input }).collect();
    Ok((certificates, outlook))
}

fn told(mistake: &SettingsError) -> Finding {
    let problems: Vec<String> = mistake.problems.iter().map(ToString::to_string).collect();
    Finding::new(FindingCode::SettingsUnusable, mistake.path.to_string_lossy(), problems.join("; "))
}

fn unreadable(broken: BrokenLineage) -> Broken {
    Broken::by_files(broken.name, broken.reason.to_string())
}

/// A run would not renew it: by its own settings, or by what is live.
fn unusable(store: &Store, settings: &Settings, lineage: &Lineage) -> Broken {
    let name = lineage.name().to_string();
    if let Err(error) = store.lineage_settings(settings, lineage.name()) {
        let cure = error.cure().to_owned();
        let validity = lineage.certificate().ok().map(|certificate| certificate.validity());
        return Broken { name, reason: error.to_string(), cure, by_settings: true, validity };
    }
    let by_files = || lineage.check_live(None).err().map(|error| error.to_string());
    let by_certificate = || lineage.certificate().err().map(|error| error.to_string());
    let reason = by_files().or_else(by_certificate);
    Broken::by_files(name, reason.unwrap_or_else(|| "its configuration cannot be used for a renewal".to_owned()))
}

impl Broken {
    fn by_files(name: String, reason: String) -> Self {
        let cure = words::cure_for(words::broken_cure(&reason), &escape(&name));
        Self { name, reason, cure, by_settings: false, validity: None }
    }
}
