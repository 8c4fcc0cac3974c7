//! The checks of each lineage: what is known of it is read first, and then put before the checks.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use certkit_core::settings::{DeploySetting, Settings};
use certkit_core::state::{DeployTarget, Ledger};
use certkit_core::store::{Kind, Lineage, Store, StoreError};
use certkit_core::{Chain, Failure, FailureClass, Finding, FindingCode, KeyMath, Outlook, PlanEntry, PlanInput, plan};
use chrono::{DateTime, Utc};

use super::examination::Checks;
use super::examined_machine::days_in_script;
use super::planning::{cadence, input, machine};
use super::select::{Seen, select};
use super::subject::Subject;
use super::{Outcome, Request, RunError};
use crate::accounts::{Choice, choose_account};
use crate::challenge::Authenticator;
use crate::deploy::{HookStage, ServerControl, WebServer, describe};
use crate::doctor::{
    Check, DeploySubject, Examined, HookCommand, Machine, check_chain, check_conf, check_deploy, check_hook,
    check_key_access, check_key_strength, check_limits, check_number_of_names, check_order, check_renew_before_expiry,
    check_reused_key, check_service_reads, check_web_server,
};

/// Everything that was read before the checks began.
pub(super) struct Known {
    pub(super) lineages: Vec<LookedAt>,
    pub(super) outlook: Outlook,
    /// What is wrong with the memory itself.
    pub(super) findings: Vec<Finding>,
    /// The lineages that no run could renew, with the reason; the names are escaped.
    broken: Vec<(String, Finding)>,
}

/// A lineage as it was read.
pub(super) struct LookedAt {
    pub(super) subject: Arc<Subject>,
    pub(super) account: Option<Result<Choice, Failure>>,
    /// Accounts of the CA that cannot be used, whether or not they are chosen.
    unusable_accounts: Vec<Finding>,
    names: Vec<String>,
    entry: PlanEntry,
    input: PlanInput,
    key: Option<PathBuf>,
    chain: Option<Chain>,
    /// What is wrong with the files in use.
    of_files: Vec<Finding>,
    /// Since when the key is in use, where it is kept at renewals.
    key_since: Option<DateTime<Utc>>,
    /// When the order under way was placed.
    order_placed: Option<DateTime<Utc>>,
}

/// A server's check of its configuration reads all of it.
const SERVER_LIMIT: Duration = Duration::from_secs(60);

/// Reads everything. It blocks.
pub(super) fn look(
    store: &Store,
    request: &Request,
    settings: &Settings,
    math: &dyn KeyMath,
    now: DateTime<Utc>,
) -> Result<Known, RunError> {
    // What this user may not read is told, and keeps nothing else from being looked at.
    let (mut ledger, damaged) = store.ledger().unwrap_or_else(|error| (Ledger::default(), Some(unreadable(&error))));
    ledger.prune(now);
    let outlook = Outlook::new(ledger.clone(), cadence(request, settings, &ledger));
    let machine = machine(store).unwrap_or_default();
    let mut known =
        Known { lineages: Vec::new(), outlook, findings: damaged.into_iter().collect(), broken: Vec::new() };
    let selected = match select(store, request, settings) {
        Ok(selected) => selected,
        Err(RunError::Store(error)) => {
            known.findings.push(unreadable(&error));
            Box::new(std::iter::empty())
        }
        Err(error) => return Err(error),
    };
    let (mut subjects, mut inputs) = (Vec::new(), Vec::new());
    for seen in selected {
        match seen {
            Seen::Usable(mut subject) => {
                // A state that is damaged or cannot be read is told by the audit.
                let state = store.state(&subject.name).map(|(state, _)| state).unwrap_or_default();
                subject.take_wish(&state, now);
                inputs.push(input(store, &subject, request, state, &machine));
                subjects.push(subject);
            }
            Seen::Broken(entry) => {
                let Outcome::Broken { reason, hindrance, .. } = &entry.outcome else { continue };
                let name = certkit_core::escape(&entry.name).into_owned();
                let finding = Finding::new(FindingCode::BrokenLineage, &entry.name, reason);
                known.broken.push((name, finding.hindered_by(*hindrance)));
            }
        }
    }
    let planned = plan(&inputs, &known.outlook, now);
    for ((subject, entry), input) in subjects.into_iter().zip(planned.entries).zip(inputs) {
        known.lineages.push(LookedAt::read(store, *subject, entry, input, math));
    }
    Ok(known)
}

fn unreadable(error: &StoreError) -> Finding {
    Finding::new(FindingCode::Unreadable, error.path.to_string_lossy(), error.source.to_string())
}

impl Known {
    /// Whether there is no certificate at all, usable or not.
    pub(super) fn is_empty(&self) -> bool {
        self.lineages.is_empty() && self.broken.is_empty() && self.findings.is_empty()
    }

    /// The names of the lineages that can be used.
    pub(super) fn names(&self) -> Vec<String> {
        self.lineages.iter().map(|lineage| lineage.subject.name.to_string()).collect()
    }
}

impl LookedAt {
    fn read(store: &Store, subject: Subject, entry: PlanEntry, input: PlanInput, math: &dyn KeyMath) -> Self {
        let lineage = store.lineage(&subject.name).ok().flatten();
        let live = lineage.as_ref().and_then(|lineage| lineage.read_version(lineage.live_version()?).ok());
        let wanted = subject.conf.params().account.clone();
        let accounts = subject.own_directory().and_then(|directory| store.accounts(&directory).ok());
        let account = subject.own_directory().map(|directory| choose_account(store, &directory, wanted.as_deref()));
        Self {
            names: vec![subject.name.to_string()],
            account,
            unusable_accounts: accounts.map(|(_, findings)| findings).unwrap_or_default(),
            key: lineage.as_ref().map(|lineage| lineage.target(Kind::Privkey).to_owned()),
            of_files: lineage.as_ref().map(|lineage| of_files(lineage, math)).unwrap_or_default(),
            key_since: lineage.as_ref().filter(|_| subject.conf.params().reuse_key).and_then(key_since),
            chain: live.map(|files| files.chain),
            order_placed: store.pending(&subject.name).ok().flatten().map(|pending| pending.order.placed),
            subject: Arc::new(subject),
            entry,
            input,
        }
    }

    fn reloads(&self) -> impl Iterator<Item = &str> {
        self.subject.settings.deploy.iter().filter_map(|setting| match setting {
            DeploySetting::Reload { unit, .. } => Some(unit.as_str()),
            _ => None,
        })
    }

    fn deploy_subject(&self) -> DeploySubject {
        DeploySubject::new(&self.subject.live_dir, self.subject.domains(), self.subject.settings.deploy.clone())
    }
}

fn of_files(lineage: &Lineage, math: &dyn KeyMath) -> Vec<Finding> {
    match lineage.checked_certificate(Some(math)).and_then(|live| live.checked) {
        // What is weak is told with the strength of the key.
        Ok(findings) => findings.into_iter().filter(|one| one.code != FindingCode::WeakSignature).collect(),
        Err(reason) => {
            vec![Finding::new(FindingCode::LiveVersionDamaged, lineage.name().as_str(), reason.to_string())]
        }
    }
}

/// The begin of the oldest certificate with the key of the newest one.
fn key_since(lineage: &Lineage) -> Option<DateTime<Utc>> {
    let read = |version| lineage.read_version(version).ok().map(|files| files.chain.leaf);
    let live = read(lineage.live_version()?)?;
    let versions = lineage.versions().ok()?;
    let same = versions.keys().filter_map(|version| read(*version)).filter(|leaf| leaf.spki_der() == live.spki_der());
    same.map(|leaf| leaf.validity().not_before).min()
}

/// Adds the checks of one lineage.
pub(super) fn add(checks: &mut Checks, lineage: &LookedAt, known: &Known, machine: &Machine) {
    let (subject, names, now) = (&lineage.subject, lineage.names.as_slice(), checks.now);
    let name = subject.name.as_str();
    let params = subject.conf.params();
    let lifetime = lineage.input.validity.map(|validity| validity.lifetime());

    let mut of_plan = lineage.entry.due.findings.clone();
    of_plan.extend(subject.findings().into_iter().filter(|finding| {
        // The checks of the conf and of what is live tell these.
        let is_of_conf =
            finding.code == FindingCode::SettingWithoutEffect && finding.evidence.starts_with("must_staple");
        !is_of_conf && finding.code != FindingCode::BrokenLineage
    }));
    checks.known(names, Examined::found(Check::Plan, name, of_plan));

    checks.known(names, Examined::found(Check::Store, name, lineage.of_files.clone()));
    let pending = lineage.input.state.deploy_pending.iter().map(|pending| {
        let failed = pending.failed_at.map_or(String::new(), |at| format!(", last at {}", at.format("%F %T UTC")));
        let times = if pending.failures == 1 { "once".to_owned() } else { format!("{} times", pending.failures) };
        let evidence =
            format!("version {} to the {}: it failed {times}{failed}", pending.version, describe(&pending.target));
        Finding::new(FindingCode::DeployPending, name, evidence)
    });
    checks.known(names, Examined::found(Check::DeployPending, name, pending.collect()));
    // As it was when the endpoints were last looked at: after the last deploy, or by the last run.
    let served = lineage.input.state.served.iter().flat_map(|endpoint| endpoint.findings(&subject.name));
    let mut served: Vec<Finding> = served.collect();
    let mut unknown = lineage.input.state.served.iter().filter(|endpoint| endpoint.is_of_unknown_authority());
    served.extend(
        unknown.next().map(|one| Finding::new(FindingCode::AuthorityNotKnownHere, name, one.endpoint.to_string())),
    );
    checks.known(names, Examined::found(Check::Served, name, served));
    if let Some(placed) = lineage.order_placed {
        checks.known(names, check_order(name, placed, now));
    }

    checks.known(names, check_conf(name, &subject.conf));
    let profile = params.required_profile.as_deref().or(params.preferred_profile.as_deref());
    checks.known(names, check_number_of_names(name, &subject.identifiers, subject.own_directory().as_ref(), profile));
    checks.known(names, check_renew_before_expiry(name, subject.conf.renew_before_expiry(), lifetime));
    if let Some(account) = &lineage.account {
        checks.known(names, examined_account(name, account, &lineage.unusable_accounts));
    }
    if let Some(scope) = lineage.input.authorities.first() {
        let kind = lineage.input.order_kind(scope, now);
        checks.known(names, check_limits(name, scope, kind, &known.outlook.ledger, now));
    }

    if let Some(chain) = &lineage.chain {
        checks.known(names, check_chain(name, chain, lineage.entry.due.at, now));
        checks.known(names, check_key_strength(name, &chain.leaf));
    }
    if let Some(since) = lineage.key_since {
        checks.known(names, check_reused_key(name, since, now));
    }
    if let Some(key) = lineage.key.clone() {
        let shown = key.to_string_lossy().into_owned();
        checks.blocking(names, Check::KeyAccess, shown, move || vec![check_key_access(&key)]);
    }

    for setting in &subject.settings.deploy {
        // Those of many lineages are the same: they are made once for all.
        if matches!(setting, DeploySetting::Reload { .. } | DeploySetting::Command { .. }) {
            continue;
        }
        let (setting, deploy, machine) = (setting.clone(), lineage.deploy_subject(), machine.clone());
        let what = describe(&setting.target());
        checks.spawn(names, Check::DeployFiles, what, SERVER_LIMIT, async move {
            check_deploy(&setting, &deploy, &machine).await
        });
    }
    for unit in lineage.reloads() {
        let (unit, keys, machine) = (unit.to_owned(), lineage.deploy_subject().keys(), machine.clone());
        checks.spawn(names, Check::ServiceReads, unit.clone(), SERVER_LIMIT, async move {
            check_service_reads(&unit, &keys, &machine).await.into_iter().collect()
        });
    }
}

/// Adds the lineages that cannot be used, and what many lineages have in common: each hook, unit and server once.
pub(super) fn add_shared(checks: &mut Checks, known: &Known, machine: &Machine) {
    for (name, finding) in &known.broken {
        checks.known(std::slice::from_ref(name), Examined::found(Check::Store, name, vec![finding.clone()]));
    }
    let mut hooks: BTreeMap<(&str, Option<&str>, String), Vec<String>> = BTreeMap::new();
    let mut servers: Vec<(WebServer, Option<ServerControl>, Vec<String>)> = Vec::new();
    let mut reloads: Vec<(DeploySetting, DeploySubject, Vec<String>)> = Vec::new();
    for lineage in &known.lineages {
        let subject = &lineage.subject;
        for (what, flag, command) in hook_commands(subject) {
            hooks.entry((what, flag, command)).or_default().push(subject.name.to_string());
        }
        let installer = subject.conf.params().installer.as_deref();
        if let Some(server) = installer.and_then(WebServer::from_installer) {
            let control = subject.server_control(&DeployTarget::Installer(installer.unwrap_or_default().to_owned()));
            match servers.iter_mut().find(|(known, with, _)| *known == server && *with == control) {
                Some((.., names)) => names.push(subject.name.to_string()),
                None => servers.push((server, control, lineage.names.clone())),
            }
        }
        for setting in subject.settings.deploy.iter().filter(|one| matches!(one, DeploySetting::Reload { .. })) {
            match reloads.iter_mut().find(|(known, ..)| known == setting) {
                Some((.., names)) => names.push(subject.name.to_string()),
                None => reloads.push((setting.clone(), lineage.deploy_subject(), lineage.names.clone())),
            }
        }
    }
    for ((what, flag, command), names) in hooks {
        let (what, flag) = (what.to_owned(), flag.map(str::to_owned));
        let machine = machine.clone();
        checks.blocking(&names, Check::Hooks, command.clone(), move || {
            let hook = HookCommand::new(&what, flag.as_deref(), &command);
            let program = command.split_whitespace().next().filter(|program| program.contains('/'));
            let days = program.and_then(|program| days_in_script(program.as_ref()));
            std::iter::once(check_hook(hook, &machine)).chain(days).collect()
        });
    }
    for (server, control, names) in servers {
        let machine = machine.clone();
        checks.spawn(&names, Check::ServerConfiguration, format!("{server:?}"), SERVER_LIMIT, async move {
            vec![check_web_server(server, control.as_ref(), &machine).await]
        });
    }
    for (setting, deploy, names) in reloads {
        let (what, machine) = (describe(&setting.target()), machine.clone());
        checks.spawn(&names, Check::ReloadUnit, what, SERVER_LIMIT, async move {
            check_deploy(&setting, &deploy, &machine).await
        });
    }
}

/// The hook commands of a lineage: what each is called, the flag that sets it, the line.
fn hook_commands(subject: &Subject) -> Vec<(&'static str, Option<&'static str>, String)> {
    let of_conf = [
        ("pre hook", "--pre-hook", HookStage::Pre),
        ("deploy hook", "--deploy-hook", HookStage::Deploy),
        ("post hook", "--post-hook", HookStage::Post),
    ];
    let mut all: Vec<_> = of_conf
        .into_iter()
        .filter_map(|(what, flag, stage)| Some((what, Some(flag), subject.hook(stage)?.to_owned())))
        .collect();
    if let Ok(Authenticator::Manual { auth_hook, cleanup_hook, .. }) = Authenticator::from_params(subject.conf.params())
    {
        all.push(("manual auth hook", Some("--manual-auth-hook"), auth_hook));
        all.extend(cleanup_hook.map(|hook| ("manual cleanup hook", Some("--manual-cleanup-hook"), hook)));
    }
    all.extend(subject.settings.deploy.iter().filter_map(|setting| match setting {
        DeploySetting::Command { command } => Some(("deploy command", None, command.clone())),
        _ => None,
    }));
    all
}

/// What choosing the account meets.
fn examined_account(name: &str, account: &Result<Choice, Failure>, unusable: &[Finding]) -> Examined {
    let of_choice = match account {
        Ok(_) => None,
        Err(failure) if failure.class == FailureClass::AccountUnknown => {
            Some(Finding::new(FindingCode::AccountNotStored, name, &failure.detail))
        }
        Err(failure) if failure.class == FailureClass::Settings => {
            Some(Finding::new(FindingCode::AccountUnclear, name, &failure.detail))
        }
        Err(failure) => Some(Finding::new(FindingCode::Unreadable, name, &failure.detail)),
    };
    Examined::found(Check::Accounts, name, of_choice.into_iter().chain(unusable.iter().cloned()).collect())
}
