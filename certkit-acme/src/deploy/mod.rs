//! Hooks and reloads: what receives a new version.

mod hooks;
use hooks::check_writers;
pub use hooks::{HookStage, directory_hooks, validate_hook};

mod reload;
pub use reload::{ServerControl, WebServer, reload, reload_with};

use std::path::{Path, PathBuf};

use certkit_core::state::DeployTarget;
use certkit_core::{Failure, FailureClass};

use crate::command::{CommandOutcome, CommandSettings, OwnersCommand, run};

/// Runs one deploy target for a lineage. `lineage_path` is `live/NAME`; RENEWED_LINEAGE and RENEWED_DOMAINS (separated by
/// blanks) are set. `control` says how an installer's server is controlled when the conf names a program or folder of its
/// own. A failure has the class [`FailureClass::Hook`].
pub async fn deploy(
    target: &DeployTarget,
    lineage_path: &Path,
    domains: &[String],
    control: Option<&ServerControl>,
    settings: &CommandSettings,
) -> (CommandOutcome, Result<(), Failure>) {
    let (command, what) = match target {
        DeployTarget::Hook(line) => (OwnersCommand::Shell(line.clone()), format!("the deploy hook `{line}`")),
        DeployTarget::DirectoryHook(path) => {
            // It was noted when it was listed, which may be days ago: what it has become since then is what would run.
            let hook = PathBuf::from(path);
            let checked = tokio::task::spawn_blocking(move || {
                // A directory stands for its hooks, which were refused: what refuses them now is what there is to say.
                if hook.is_dir() {
                    let hooks = directory_hooks(&hook)?;
                    let count = hooks.len();
                    let what = format!("its {count} hooks are accepted now and run for the next version");
                    return Err(Failure::new(FailureClass::Hook, what));
                }
                check_writers(&[hook])
            })
            .await;
            match checked {
                Ok(Ok(())) => {}
                Ok(Err(failure)) => return impossible(failure.detail),
                Err(error) => return impossible(format!("the deploy hook {path} could not be checked: {error}")),
            }
            (OwnersCommand::Program(path.into(), Vec::new()), format!("the deploy hook {path}"))
        }
        DeployTarget::Installer(name) => match WebServer::from_installer(name) {
            Some(server) => return reload_with(server, control, settings).await,
            None => return impossible(format!("certkit cannot reload `{name}`")),
        },
        other => return impossible(format!("certkit cannot deploy to {other:?}")),
    };
    let mut settings = settings.clone();
    // The path goes in as it is: it need not be UTF-8.
    settings.environment.push(("RENEWED_LINEAGE".into(), lineage_path.into()));
    let outcome = run(&command, &[("RENEWED_DOMAINS", domains.join(" "))], &settings).await;
    let failure = outcome.failure(&what);
    (outcome, failure.map_or(Ok(()), Err))
}

fn impossible(reason: String) -> (CommandOutcome, Result<(), Failure>) {
    let failure = Failure::new(FailureClass::Hook, &reason);
    (CommandOutcome::not_started(reason), Err(failure))
}
