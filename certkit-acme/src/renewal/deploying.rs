//! What receives a new version: every target once, what fails stays pending.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use certkit_core::state::{DeployTarget, Event};
use certkit_core::store::StoreError;
use certkit_core::{Failure, Version};

use super::inventory::Inventory;
use super::job::Subject;
use super::report::HookRun;
use super::{Observer, Request};
use crate::command::{CommandOutcome, CommandSettings, OwnersCommand, run};
use crate::deploy::{HookStage, deploy, directory_hooks};

/// Runs hooks one at a time and keeps what they did.
pub(super) struct Hooks<'a> {
    observer: &'a dyn Observer,
    commands: &'a CommandSettings,
    directories: [PathBuf; 3],
    use_directories: bool,
    /// Two lineages' deploy hooks often reload the same server: never at the same time.
    turn: tokio::sync::Mutex<()>,
    ran: Mutex<Vec<HookRun>>,
}

/// The outcome of the pre hooks: which commands failed.
#[derive(Default)]
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
            ran: Mutex::default(),
        }
    }

    /// Runs the directory's pre hooks and then each distinct command, once.
    pub(super) async fn pre(&self, commands: &[String]) -> PreHooks {
        let mut result = PreHooks::default();
        match self.directory(HookStage::Pre) {
            Ok(hooks) => {
                for hook in hooks {
                    let command = OwnersCommand::Program(hook.clone(), Vec::new());
                    let outcome = self.run(HookStage::Pre, &command, &[]).await;
                    if let Some(failure) = outcome.failure(&format!("the pre hook {command}")) {
                        result.directory_failure = Some(failure);
                        return result;
                    }
                }
            }
            Err(failure) => {
                result.directory_failure = Some(failure);
                return result;
            }
        }
        for command in distinct(commands) {
            if self.is_directory_hook(HookStage::Pre, &command) {
                continue;
            }
            let shell = OwnersCommand::Shell(command.clone());
            let outcome = self.run(HookStage::Pre, &shell, &[]).await;
            if let Some(failure) = outcome.failure(&format!("the pre hook `{shell}`")) {
                result.failed_commands.push((command, failure));
            }
        }
        result
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

    /// Gives a version to targets, one after another; what fails is recorded and stays pending.
    pub(super) async fn deploy(
        &self,
        inventory: &Inventory,
        subject: &Subject,
        version: Version,
        targets: &[DeployTarget],
    ) -> Result<(), StoreError> {
        let (name, domains) = (&subject.name, subject.domains());
        for target in targets {
            let _turn = self.turn.lock().await;
            let control = subject.server_control(target);
            let (outcome, result) = deploy(target, &subject.live_dir, &domains, control.as_ref(), self.commands).await;
            let command = match target {
                DeployTarget::DirectoryHook(command) | DeployTarget::Hook(command) => command.clone(),
                DeployTarget::Installer(server) => format!("reload of {server}"),
                _ => String::new(),
            };
            self.keep(HookRun::new(HookStage::Deploy, &command, Some(name.clone()), outcome));
            let event = match result {
                Ok(()) => Event::Deployed { target: target.clone(), version },
                Err(failure) => Event::DeployFailed { target: target.clone(), version, failure },
            };
            inventory.record(name, event).await?;
        }
        Ok(())
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
            Err(_) => std::path::Path::new(command).starts_with(&self.directories[stage as usize]),
        }
    }

    async fn run(&self, stage: HookStage, command: &OwnersCommand, variables: &[(&str, String)]) -> CommandOutcome {
        let outcome = run(command, variables, self.commands).await;
        self.keep(HookRun { stage, command: command.to_string(), lineage: None, outcome: outcome.clone() });
        outcome
    }

    fn keep(&self, hook: HookRun) {
        self.observer.hook(&hook);
        self.ran.lock().unwrap_or_else(PoisonError::into_inner).push(hook);
    }
}

impl PreHooks {
    /// The failure that stops a lineage with this pre hook in its conf.
    pub(super) fn failure_for(&self, command: Option<&String>) -> Option<Failure> {
        let own = || {
            let command = command?;
            self.failed_commands.iter().find(|(failed, _)| failed == command).map(|(_, failure)| failure.clone())
        };
        self.directory_failure.clone().or_else(own)
    }
}

fn distinct(commands: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    commands.iter().filter(|command| seen.insert(*command)).cloned().collect()
}
