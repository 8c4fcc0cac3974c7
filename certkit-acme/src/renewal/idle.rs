//! What a run keeps of a lineage that is not due and with which nothing is wrong. There may be ten thousand of them: conf,
//! certificate and settings are read again of those few that turn out to be due.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use certkit_core::decision::{DueReason, SuggestedWindow};
use certkit_core::settings::Settings;
use certkit_core::state::SharedState;
use certkit_core::store::Store;
use certkit_core::{
    AcmeUrl, AriCertificateId, Endpoint, IdentifierSet, LineageName, PlanInput, Step, Validity, decide,
};
use chrono::{DateTime, Utc};

use super::advice::{must_be_looked_up, to_ask_of};
use super::performing::nothing_to_deploy;
use super::reading::AT_A_TIME;
use super::report::{Outcome, ReportEntry};
use super::run::Run;
use super::select::{Seen, select};
use super::subject::Subject;
use super::{Request, Selection};
use crate::blocking::blocking;

/// A lineage of a run.
#[derive(Clone)]
pub(super) enum Member {
    /// With all that is known of it.
    Whole(Arc<Subject>),
    /// With what is left to do for it.
    Idle(Arc<Idle>),
}

/// A lineage that is not due, with which nothing is wrong, and that has nothing to be given to anybody.
pub(super) struct Idle {
    pub(super) name: LineageName,
    conf_path: PathBuf,
    pub(super) fullchain: PathBuf,
    pub(super) identifiers: IdentifierSet,
    pub(super) validity: Validity,
    /// When it is due and by which rule, as long as the CA says nothing else.
    until: Option<DateTime<Utc>>,
    because: DueReason,
    /// The window by which that was decided.
    window: Option<SuggestedWindow>,
    /// The CA that issued it: it alone can say when to renew it.
    pub(super) issuer: Option<AcmeUrl>,
    /// By which its CA is asked about it, where that is due.
    pub(super) to_ask: Option<AriCertificateId>,
    /// Whether it is to be looked up in its CA's revocation list.
    pub(super) to_look_up: bool,
    /// Where the owner says that it has to be served.
    endpoints: Vec<Endpoint>,
    default_endpoints: bool,
}

/// Where a lineage is served, and how long its servers are waited for.
pub(super) struct Places<'a> {
    pub(super) name: &'a LineageName,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) patience: Duration,
}

/// What the lineages of a run have in common, and are held by once.
#[derive(Default)]
pub(super) struct Common {
    issuers: BTreeSet<AcmeUrl>,
}

impl Member {
    pub(super) fn name(&self) -> &LineageName {
        match self {
            Self::Whole(subject) => &subject.name,
            Self::Idle(idle) => &idle.name,
        }
    }

    pub(super) fn places(&self) -> Places<'_> {
        match self {
            Self::Whole(subject) => subject.places(),
            Self::Idle(idle) => Places {
                name: &idle.name,
                endpoints: Endpoint::all_of(&idle.endpoints, &idle.identifiers, idle.default_endpoints),
                patience: Duration::ZERO,
            },
        }
    }

    /// The CA that issued the certificate in use.
    pub(super) fn issuer(&self, state: &SharedState) -> Option<AcmeUrl> {
        match self {
            Self::Whole(subject) => subject.issuer_directory(state),
            Self::Idle(idle) => idle.issuer.clone(),
        }
    }
}

impl Idle {
    /// Its line of the report.
    pub(super) fn line(&self) -> ReportEntry {
        let outcome = Outcome::NotDue { at: self.until, reason: self.because.clone() };
        let mut entry = ReportEntry::new(self.name.to_string(), self.conf_path.clone(), outcome);
        entry.fullchain = Some(self.fullchain.clone());
        entry.identifiers = self.identifiers.clone();
        entry.not_after = Some(self.validity.not_after);
        entry
    }

    /// Whether what was decided may not hold any more: its time has come, or its CA has said something else.
    fn is_to_be_decided_anew(&self, state: &SharedState, now: DateTime<Utc>) -> bool {
        self.until.is_some_and(|at| at <= now) || window_of(state) != self.window
    }
}

impl Common {
    fn issuer(&mut self, issuer: AcmeUrl) -> AcmeUrl {
        if let Some(known) = self.issuers.get(&issuer) {
            return known.clone();
        }
        self.issuers.insert(issuer.clone());
        issuer
    }
}

fn window_of(state: &SharedState) -> Option<SuggestedWindow> {
    state.renewal_information.as_ref().and_then(|known| known.window)
}

impl Run<'_> {
    /// Whether lineages can be idle in this run at all: where one is asked for by name, or all are tried, none is.
    fn knows_idle(&self) -> bool {
        matches!(self.request.selection, Selection::All) && !self.inventory.is_dry_run()
    }

    /// The same lineages, with what is left to do for those that are idle.
    pub(super) async fn without_what_idles(&self, subjects: Vec<Arc<Subject>>, common: &mut Common) -> Vec<Member> {
        if !self.knows_idle() {
            return subjects.into_iter().map(Member::Whole).collect();
        }
        let inputs = self.inputs(&subjects).await;
        let member = |(subject, input): (Arc<Subject>, PlanInput)| match self.idle(&subject, &input, common) {
            Some(idle) => Member::Idle(Arc::new(idle)),
            None => Member::Whole(subject),
        };
        subjects.into_iter().zip(inputs).map(member).collect()
    }

    fn idle(&self, subject: &Subject, input: &PlanInput, common: &mut Common) -> Option<Idle> {
        let now = self.inventory.now();
        // What is not due takes nothing of any limit: it is decided without the others, whatever the CAs were asked for.
        let entry = decide(input, &self.outlook.ledger, self.outlook, now);
        let Step::NotDue { until, because } = entry.step else { return None };
        let certificate = subject.certificate.as_ref()?;
        let (state, targets) = (&input.state, || self.targets(subject));
        if !entry.due.findings.is_empty() || !nothing_to_deploy(subject, state, targets, &self.deploy_dir()) {
            return None;
        }
        Some(Idle {
            name: subject.name.clone(),
            conf_path: subject.conf_path.clone(),
            fullchain: subject.fullchain.clone(),
            identifiers: subject.identifiers.clone(),
            validity: certificate.validity(),
            until,
            because,
            window: window_of(state),
            issuer: subject.issuer_directory(state).map(|issuer| common.issuer(issuer)),
            to_ask: to_ask_of(subject, state, now).map(|(_, id)| id),
            to_look_up: must_be_looked_up(subject, state, now),
            endpoints: subject.settings.endpoints.clone(),
            default_endpoints: subject.settings.default_endpoints,
        })
    }

    /// Of these members those that are to be planned, whole: what was idle and has to be decided anew is read again. The
    /// others, and what cannot be used any more, go to the report as they are.
    pub(super) async fn to_plan(&self, members: &[Member], entries: &mut Vec<ReportEntry>) -> Vec<Arc<Subject>> {
        let now = self.inventory.now();
        let (mut whole, mut common) = (Vec::new(), Common::default());
        for some in members.chunks(AT_A_TIME) {
            let anew = |member: &Member| match member {
                Member::Idle(idle) => {
                    idle.is_to_be_decided_anew(&self.inventory.state(&idle.name), now).then(|| Arc::clone(idle))
                }
                Member::Whole(_) => None,
            };
            let anew: Vec<Option<Arc<Idle>>> = some.iter().map(anew).collect();
            let mut usable = Vec::new();
            let mut others = Vec::new();
            for again in self.read_again(anew.iter().flatten().cloned().collect()).await {
                match again {
                    Again::Usable(subject) => usable.push(subject),
                    other => others.push(other),
                }
            }
            let mut usable = self.without_what_idles(usable, &mut common).await.into_iter().peekable();
            for (member, anew) in some.iter().zip(anew) {
                let decided = match (member, anew) {
                    (Member::Idle(_), Some(_)) if usable.peek().is_some_and(|one| one.name() == member.name()) => {
                        usable.next()
                    }
                    // Removed meanwhile, or told of below.
                    (Member::Idle(_), Some(_)) => None,
                    (member, _) => Some(member.clone()),
                };
                match decided {
                    Some(Member::Whole(subject)) => whole.push(subject),
                    Some(Member::Idle(idle)) => entries.push(idle.line()),
                    None => {}
                }
            }
            entries.extend(others.into_iter().filter_map(|other| match other {
                Again::Broken(entry) => Some(*entry),
                // It was not due.
                Again::Gone(idle) => Some(idle.line()),
                Again::Usable(_) => None,
            }));
        }
        whole
    }

    /// One member whole; none when it cannot be used any more.
    pub(super) async fn whole(&self, member: &Member) -> Option<Arc<Subject>> {
        match member {
            Member::Whole(subject) => Some(Arc::clone(subject)),
            Member::Idle(idle) => match self.read_again(vec![Arc::clone(idle)]).await.pop() {
                Some(Again::Usable(subject)) => Some(subject),
                _ => None,
            },
        }
    }

    /// Reads lineages as they are now, with what is remembered.
    async fn read_again(&self, idle: Vec<Arc<Idle>>) -> Vec<Again> {
        if idle.is_empty() {
            return Vec::new();
        }
        let (store, now) = (self.renewer.store().clone(), self.inventory.now());
        let (request, settings) = (self.request.clone(), self.settings.clone());
        let known: Vec<(Arc<Idle>, SharedState)> =
            idle.into_iter().map(|one| (Arc::clone(&one), self.inventory.state(&one.name))).collect();
        blocking(move || {
            let read = |(idle, state): (Arc<Idle>, SharedState)| {
                let mut seen = again(&store, &request, idle, &settings);
                if let Again::Usable(subject) = &mut seen
                    && let Some(subject) = Arc::get_mut(subject)
                {
                    subject.take_wish(&state, now);
                }
                seen
            };
            known.into_iter().map(read).collect()
        })
        .await
    }
}

/// A lineage that was read again.
enum Again {
    Usable(Arc<Subject>),
    Broken(Box<ReportEntry>),
    Gone(Arc<Idle>),
}

fn again(store: &Store, request: &Request, idle: Arc<Idle>, settings: &Settings) -> Again {
    let request = request.clone().only(idle.name.clone());
    match select(store, &request, settings).ok().and_then(|mut seen| seen.next()) {
        Some(Seen::Usable(subject)) => Again::Usable(Arc::from(subject)),
        Some(Seen::Broken(entry)) => Again::Broken(entry),
        None => Again::Gone(idle),
    }
}
