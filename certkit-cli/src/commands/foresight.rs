//! What is known of every certificate and what comes, for the commands that tell it. The store is read; nobody is asked and
//! nothing is written.

use certkit_acme::renewal::{Renewer, Request, Selection, Survey};
use certkit_core::settings::{Origin, Settings, SettingsError};
use certkit_core::store::Store;
use certkit_core::{AcmeUrl, Finding, FindingCode, LineageName, PlanEntry, PlanInput, Summary};

use super::Context;
use super::common::must_exist;
use crate::exit::CommandError;
use crate::runtime;

/// What is known, and what comes.
pub(crate) struct Foresight {
    /// How every certificate is, what was asked of the CAs, and what is wrong with the memory and the settings.
    pub(crate) survey: Survey,
    /// How it is known how often certkit is run.
    pub(crate) cadence_source: CadenceSource,
    /// The owner's settings; the defaults where they cannot be used.
    pub(crate) settings: Settings,
}

/// One certificate that can be renewed.
#[derive(Clone, Copy)]
pub(crate) struct Foreseen<'a> {
    /// What the plan says.
    pub(crate) entry: &'a PlanEntry,
    /// What it was made of.
    pub(crate) input: &'a PlanInput,
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
        self.survey.findings.iter().any(|finding| finding.code == FindingCode::SettingsUnusable)
    }

    /// The certificates that can be renewed, in listing order.
    pub(crate) fn certificates(&self) -> Vec<Foreseen<'_>> {
        self.survey.summaries.iter().filter_map(Foreseen::of).collect()
    }

    /// Those that cannot.
    pub(crate) fn broken(&self) -> Vec<&Summary> {
        self.survey.summaries.iter().filter(|one| one.broken.is_some()).collect()
    }
}

impl<'a> Foreseen<'a> {
    /// None of a certificate that cannot be renewed.
    pub(crate) fn of(summary: &'a Summary) -> Option<Self> {
        Some(Self { entry: summary.entry()?, input: summary.input()? })
    }

    /// The CA that its conf names.
    pub(crate) fn own_authority(&self) -> Option<&'a AcmeUrl> {
        self.input.authorities.first().map(|scope| &scope.directory)
    }

    /// The CA that issued what is in use, when it is another one.
    pub(crate) fn other_issuer(&self) -> Option<&'a AcmeUrl> {
        self.input.state.issuer_directory.as_ref().filter(|issuer| self.own_authority() != Some(issuer))
    }
}

/// Looks at all certificates, or at one. Settings that cannot be used hide no certificate: the defaults apply then.
pub(crate) fn look(context: &Context<'_>, only: Option<&LineageName>) -> Result<Foresight, CommandError> {
    let store = context.store()?;
    only.map_or(Ok(()), |name| must_exist(&store, name))?;
    let (settings, mistake) = match store.settings() {
        Ok(settings) => (settings, None),
        Err(mistake) => (Settings::default(), Some(mistake)),
    };
    let mut request = Request::renew();
    if let Some(name) = only {
        request.selection = Selection::One(name.clone());
    }
    let mut survey = survey_with(&store, &request, settings.clone())?;
    survey.findings.extend(mistake.as_ref().map(SettingsError::finding));
    let runs = survey.outlook.ledger.runs().len();
    let cadence_source = match settings.run_interval.value {
        Some(_) => CadenceSource::Settings(settings.run_interval.origin.clone()),
        None if runs > 1 => CadenceSource::Runs(runs),
        None => CadenceSource::Assumed,
    };
    Ok(Foresight { survey, cadence_source, settings })
}

/// The same with everything that somebody should know of.
pub(crate) fn look_at_everything(
    context: &Context<'_>,
    only: Option<&LineageName>,
) -> Result<(Foresight, Vec<Finding>), CommandError> {
    let store = context.store()?;
    // First, since it needs room for itself alone: of what is found hardly anything is kept.
    let audited = store.audit();
    let foresight = look(context, only)?;
    let findings = findings(&store, &foresight, audited?, only);
    Ok((foresight, findings))
}

/// Everything that somebody should know of, besides what the certificates' own conditions say: of the memory and the
/// settings, of the store, and of what led to the plan. With a name, what concerns that certificate.
fn findings(store: &Store, foresight: &Foresight, audited: Vec<Finding>, only: Option<&LineageName>) -> Vec<Finding> {
    let mut findings = foresight.survey.findings.clone();
    findings.extend(audited);
    findings.extend(foresight.certificates().iter().flat_map(|one| one.entry.due.findings.iter().cloned()));
    // Settings that cannot be used tell nothing about whom they name.
    if only.is_none() && store.settings().is_ok_and(|settings| settings.channels().is_empty()) {
        let file = store.paths().settings_file();
        findings.push(Finding::new(FindingCode::NobodyIsTold, file.to_string_lossy(), ""));
    }
    // They have their own lines.
    findings.retain(|finding| finding.code != FindingCode::BrokenLineage);
    findings.dedup();
    if let Some(name) = only {
        findings.retain(|finding: &Finding| {
            // The settings for all concern this one, too.
            finding.code == FindingCode::SettingsUnusable || super::certificates::concerns(finding, name.as_str())
        });
    }
    findings
}

/// What a request is about, and what comes to it.
pub(crate) fn foresee(store: &Store, request: &Request) -> Result<Vec<Summary>, CommandError> {
    Ok(survey_with(store, request, store.settings()?)?.summaries)
}

fn survey_with(store: &Store, request: &Request, settings: Settings) -> Result<Survey, CommandError> {
    // Nobody is asked, so how to ask does not matter: a --ca-bundle that is gone must not hide what comes.
    let renewer = Renewer::builder(store.clone()).build()?;
    runtime::ask(async { Ok(renewer.survey_with(request, settings).await?) })
}
