//! What receives a new version: every target once, what fails stays pending.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use certkit_core::state::{DeployTarget, Event, LineageState};
use certkit_core::store::{StoreError, VersionFiles};
use certkit_core::{Failure, FailureClass, LineageName, Version};

use super::inventory::Inventory;
use super::report::HookRun;
use super::subject::Subject;
use super::{Observer, Request};
use crate::blocking::blocking;
use crate::command::{CommandOutcome, CommandSettings, OwnersCommand, run};
use crate::deploy::{DeployedVersion, HookStage, deploy, deploy_setting, describe, directory_hooks, is_file};

/// Runs hooks one at a time and keeps what they did.
pub(super) struct Hooks<'a> {
    observer: &'a dyn Observer,
    commands: &'a CommandSettings,
    directories: [PathBuf; 3],
    use_directories: bool,
    /// Two lineages' deploy hooks often reload the same server: never at the same time.
    turn: tokio::sync::Mutex<()>,
    /// Pre hooks run once a run, whatever group of lineages needs them first.
    before: tokio::sync::Mutex<Before>,
    ran: Mutex<Vec<HookRun>>,
}

/// A version of a lineage that is to be given to targets.
pub(super) struct Deployment<'a> {
    pub(super) inventory: &'a Inventory,
    pub(super) subject: &'a Subject,
    pub(super) version: Version,
}

/// The pre hooks that ran until now.
#[derive(Default)]
struct Before {
    directory_ran: bool,
    ran: BTreeSet<String>,
    outcome: PreHooks,
}

/// The outcome of the pre hooks: which commands failed.
#[derive(Clone, Default)]
pub(super) struct PreHooks {
    /// A hook of the directory failed: it belongs to every lineage.
    pub(super) directory_failure: Option<Failure>,
    /// Commands of confs that failed.
    pub(super) failed_commands: Vec<(String, Failure)>,
}

impl<'a> Hooks<'a> {
    pub(super) fn new(
        observer: &'a dyn Observer,
        commands: &'a CommandSettings,
        directories: [PathBuf; 3],
        request: &Request,
    ) -> Self {
        Self {
            observer,
            commands,
            directories,
            use_directories: request.directory_hooks,
            turn: tokio::sync::Mutex::default(),
            before: tokio::sync::Mutex::default(),
            ran: Mutex::default(),
        }
    }

    /// Runs the directory's pre hooks and then each distinct command, unless it ran in this run already.
    pub(super) async fn pre(&self, commands: &[String]) -> PreHooks {
        let mut before = self.before.lock().await;
        if !before.directory_ran {
            before.directory_ran = true;
            before.outcome.directory_failure = self.directory_pre().await;
        }
        if before.outcome.directory_failure.is_some() {
            return before.outcome.clone();
        }
        for command in distinct(commands) {
            if !before.ran.insert(command.clone()) || self.is_directory_hook(HookStage::Pre, &command) {
                continue;
            }
            let shell = OwnersCommand::Shell(command.clone());
            let outcome = self.run(HookStage::Pre, &shell, &[]).await;
            if let Some(failure) = outcome.failure(&format!("the pre hook `{shell}`")) {
                before.outcome.failed_commands.push((command, failure));
            }
        }
        before.outcome.clone()
    }

    /// The failure of the first of the directory's pre hooks that fails: it belongs to every lineage.
    async fn directory_pre(&self) -> Option<Failure> {
        let hooks = match self.directory(HookStage::Pre) {
            Ok(hooks) => hooks,
            Err(failure) => return Some(failure),
        };
        for hook in hooks {
            let command = OwnersCommand::Program(hook.clone(), Vec::new());
            let outcome = self.run(HookStage::Pre, &command, &[]).await;
            if let Some(failure) = outcome.failure(&format!("the pre hook {command}")) {
                return Some(failure);
            }
        }
        None
    }

    /// Runs the directory's post hooks and then each distinct command, once.
    pub(super) async fn post(&self, commands: &[String], renewed: &[String], failed: &[String]) {
        let variables = [("RENEWED_DOMAINS", renewed.join(" ")), ("FAILED_DOMAINS", failed.join(" "))];
        match self.directory(HookStage::Post) {
            Ok(hooks) => {
                for hook in hooks {
                    let command = OwnersCommand::Program(hook.clone(), Vec::new());
                    self.run(HookStage::Post, &command, &variables).await;
                }
            }
            Err(failure) => self.keep(HookRun::new(
                HookStage::Post,
                &self.directories[2].to_string_lossy(),
                None,
                CommandOutcome::not_started(failure.detail),
            )),
        }
        for command in distinct(commands) {
            if !self.is_directory_hook(HookStage::Post, &command) {
                self.run(HookStage::Post, &OwnersCommand::Shell(command), &variables).await;
            }
        }
    }

    /// Gives a version to targets, one after another; what fails is recorded and stays pending. The first error of the store
    /// comes back once all have had their turn.
    pub(super) async fn deploy(&self, deployment: &Deployment<'_>, targets: &[DeployTarget]) -> Result<(), StoreError> {
        self.deploy_each(deployment, targets, Vec::new()).await
    }

    /// Gives a version to targets that did not have it yet. When a file gets it only now, whatever reads that file is told
    /// again, for it was told before the file was there. Telling it stays pending until it has worked.
    pub(super) async fn deploy_again(
        &self,
        deployment: &Deployment<'_>,
        targets: &[DeployTarget],
        all: Vec<DeployTarget>,
    ) -> Result<(), StoreError> {
        let readers: Vec<DeployTarget> =
            all.into_iter().filter(|target| !is_file(target) && !targets.contains(target)).collect();
        self.deploy_each(deployment, targets, readers).await
    }

    /// `readers` become pending with the first file that is written, and get the version after `targets`.
    async fn deploy_each(
        &self,
        deployment: &Deployment<'_>,
        targets: &[DeployTarget],
        mut readers: Vec<DeployTarget>,
    ) -> Result<(), StoreError> {
        let Deployment { inventory, subject, version } = *deployment;
        let name = &subject.name;
        let mut settings = self.commands.clone();
        if let Some(limit) = subject.settings.hook_time_limit {
            settings.time_limit = limit;
        }
        let everything: Vec<DeployTarget> = targets.iter().chain(&readers).cloned().collect();
        let files = self.version_files(deployment, &everything).await;
        let mut queue: VecDeque<DeployTarget> = targets.iter().cloned().collect();
        // What cannot be recorded of one target keeps no other from getting the version.
        let mut recorded = Ok(());
        while let Some(target) = queue.pop_front() {
            let _turn = self.turn.lock().await;
            let (outcome, result) = give(&target, subject, files.as_ref(), &settings).await;
            let mut run = HookRun::new(HookStage::Deploy, &shown(&target), Some(name.clone()), outcome);
            let is_hook = matches!(target, DeployTarget::DirectoryHook(_) | DeployTarget::Hook(_));
            run.failure = result.as_ref().err().filter(|_| !is_hook).map(|failure| failure.detail.clone());
            self.keep(run);
            if is_file(&target) && result.is_ok() && !readers.is_empty() {
                // Noted before the file counts as deployed: whatever happens from here on, they are told.
                let state = inventory.state(name);
                let pending = state.deploy_pending.iter().map(|one| one.target.clone());
                let targets = pending.chain(readers.iter().cloned()).collect();
                recorded = recorded.and(inventory.record(name, Event::DeployReplanned { version, targets }).await);
                queue.extend(readers.drain(..));
            }
            let event = match result {
                Ok(()) => Event::Deployed { target, version },
                Err(failure) => Event::DeployFailed { target, version, failure },
            };
            recorded = recorded.and(inventory.record(name, event).await);
        }
        recorded
    }

    /// Chain and key, when a target of the settings needs them.
    async fn version_files(
        &self,
        deployment: &Deployment<'_>,
        targets: &[DeployTarget],
    ) -> Option<Result<VersionFiles, String>> {
        if !targets.iter().any(DeployTarget::is_of_settings) {
            return None;
        }
        let (store, name) = (deployment.inventory.locked().store().clone(), deployment.subject.name.clone());
        let version = deployment.version;
        let read = move || match store.lineage(&name) {
            Ok(Some(lineage)) => lineage.read_version(version).map_err(|error| error.to_string()),
            Ok(None) => Err("the certificate is not there any more".to_owned()),
            Err(broken) => Err(broken.reason.to_string()),
        };
        Some(blocking(read).await)
    }

    /// The lineages that something was run for until now.
    pub(super) fn deployed(&self) -> BTreeSet<LineageName> {
        let ran = self.ran.lock().unwrap_or_else(PoisonError::into_inner);
        ran.iter().filter_map(|run| run.lineage.clone()).collect()
    }

    /// Whether a post hook ran: it may have reloaded anything.
    pub(super) fn post_ran(&self) -> bool {
        let ran = self.ran.lock().unwrap_or_else(PoisonError::into_inner);
        ran.iter().any(|run| run.stage == HookStage::Post)
    }

    pub(super) fn into_runs(self) -> Vec<HookRun> {
        self.ran.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn directory(&self, stage: HookStage) -> Result<Vec<PathBuf>, Failure> {
        if !self.use_directories {
            return Ok(Vec::new());
        }
        directory_hooks(&self.directories[stage as usize])
    }

    /// certbot runs a hook once even when a conf names a file of the directory as its command.
    fn is_directory_hook(&self, stage: HookStage, command: &str) -> bool {
        match self.directory(stage) {
            Ok(hooks) => hooks.iter().any(|hook| hook.to_string_lossy() == command),
            // What the directory's refusal keeps from running does not run by another way.
            Err(_) => Path::new(command).starts_with(&self.directories[stage as usize]),
        }
    }

    async fn run(&self, stage: HookStage, command: &OwnersCommand, variables: &[(&str, String)]) -> CommandOutcome {
        let outcome = run(command, variables, self.commands).await;
        self.keep(HookRun {
            stage,
            command: command.to_string(),
            lineage: None,
            outcome: outcome.clone(),
            failure: None,
        });
        outcome
    }

    fn keep(&self, hook: HookRun) {
        self.observer.hook(&hook);
        self.ran.lock().unwrap_or_else(PoisonError::into_inner).push(hook);
    }
}

impl PreHooks {
    /// The failure that stops a lineage with this pre hook in its conf.
    pub(super) fn failure_for(&self, command: Option<&str>) -> Option<Failure> {
        let own = || {
            let command = command?;
            self.failed_commands.iter().find(|(failed, _)| failed == command).map(|(_, failure)| failure.clone())
        };
        self.directory_failure.clone().or_else(own)
    }
}

/// Gives the live version to one target.
async fn give(
    target: &DeployTarget,
    subject: &Subject,
    files: Option<&Result<VersionFiles, String>>,
    settings: &CommandSettings,
) -> (CommandOutcome, Result<(), Failure>) {
    let domains = subject.domains();
    if !target.is_of_settings() {
        let control = subject.server_control(target);
        return deploy(target, &subject.live_dir, &domains, control.as_ref(), settings).await;
    }
    let impossible = |why: &str| {
        let what = format!("{}: {why}", describe(target));
        (CommandOutcome::not_started(why.to_owned()), Err(Failure::new(FailureClass::Hook, what)))
    };
    match (subject.deploy_setting(target), files) {
        (Some(setting), Some(Ok(files))) => {
            let version = DeployedVersion::new(&subject.live_dir, &domains, &files.chain, &files.key);
            deploy_setting(setting, &version, settings).await
        }
        (Some(_), Some(Err(why))) => impossible(why),
        _ => impossible("it is not in the settings any more"),
    }
}

/// Pending targets that the owner still wants, and targets of the settings that were added since everything was deployed.
/// A hook that was replaced hands its turn to the one that replaced it, and a directory whose hooks were refused to its
/// hooks.
pub(super) fn still_wanted(state: &LineageState, now: Vec<DeployTarget>, deploy_dir: &Path) -> Vec<DeployTarget> {
    let pending: Vec<&DeployTarget> = state.deploy_pending.iter().map(|one| &one.target).collect();
    let is_hook = |target: &DeployTarget| matches!(target, DeployTarget::Hook(_));
    let replaced = pending.iter().any(|target| is_hook(target) && !now.contains(target));
    let directory = DeployTarget::DirectoryHook(deploy_dir.to_string_lossy().into_owned());
    let whole_directory = pending.contains(&&directory);
    let is_directory_hook = |target: &DeployTarget| matches!(target, DeployTarget::DirectoryHook(_));
    let is_new = |target: &DeployTarget| target.is_of_settings() && !state.deployed_targets.contains(target);
    now.into_iter()
        .filter(|target| {
            pending.contains(&target)
                || (replaced && is_hook(target))
                || (whole_directory && is_directory_hook(target))
                || is_new(target)
        })
        .collect()
}

/// A target as reports name it: a command as it was written.
fn shown(target: &DeployTarget) -> String {
    match target {
        DeployTarget::DirectoryHook(command) | DeployTarget::Hook(command) => command.clone(),
        other => describe(other),
    }
}

fn distinct(commands: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    commands.iter().filter(|command| seen.insert(*command)).cloned().collect()
}
