//! Hooks, reloads and files: what receives a new version.

mod access;
use access::Access;

mod describe;
pub use describe::{describe, is_file};

mod files;

mod hooks;
use hooks::check_writers;
pub use hooks::{HookStage, directory_hooks, validate_hook};
pub(crate) use hooks::{is_executable, validate_command};

mod placing;
use placing::{NewFile, place};

mod rehearsal;
pub(crate) use rehearsal::{Obstacle, files_with_keys, rehearse};

mod reload;
pub use reload::{ServerControl, WebServer, reload, reload_with};
pub(crate) use reload::{check_configuration, first_found};

mod setting;
pub use setting::{DeployedVersion, deploy_setting};

mod unit;
pub(crate) use unit::{check_before_reload, is_unit_name};

use std::path::{Path, PathBuf};

use certkit_core::settings::FileAccess;
use certkit_core::state::DeployTarget;
use certkit_core::{Failure, FailureClass};

use crate::command::{CommandOutcome, CommandSettings, OwnersCommand, run};

/// Replaces or makes a file that everybody on this machine may read, in one step, as the files of targets are replaced. A
/// link in its place is replaced, too. An error says what to do, and nothing was changed then.
pub(crate) fn replace_readable_file(path: &Path, content: Vec<u8>) -> Result<(), String> {
    let holds_key = false;
    let access = Access::resolve(&FileAccess::default(), holds_key).map_err(|error| error.to_string())?;
    let file = NewFile { path: path.to_owned(), content: content.into(), holds_key, access };
    place(&[file]).map_err(|error| error.to_string())
}

/// Runs one deploy target of a conf or of the hook directory for a lineage; targets of the settings are for
/// [`deploy_setting`], and a failure here. `lineage_path` is `live/NAME`; RENEWED_LINEAGE and RENEWED_DOMAINS (separated by
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
        // Its name alone does not say what to do: that stands in the settings, which may have lost it by now.
        other => return impossible(format!("the {} is not in the settings of this lineage", describe(other))),
    };
    run_hook(&command, &what, lineage_path, domains, settings).await
}

/// Runs a command with what certbot tells deploy hooks; `what` begins the sentence about its failure.
async fn run_hook(
    command: &OwnersCommand,
    what: &str,
    lineage_path: &Path,
    domains: &[String],
    settings: &CommandSettings,
) -> (CommandOutcome, Result<(), Failure>) {
    let mut settings = settings.clone();
    // The path goes in as it is: it need not be UTF-8.
    settings.environment.push(("RENEWED_LINEAGE".into(), lineage_path.into()));
    let outcome = run(command, &[("RENEWED_DOMAINS", domains.join(" "))], &settings).await;
    let failure = outcome.failure(what);
    (outcome, failure.map_or(Ok(()), Err))
}

fn impossible(reason: String) -> (CommandOutcome, Result<(), Failure>) {
    let failure = Failure::new(FailureClass::Hook, &reason);
    (CommandOutcome::not_started(reason), Err(failure))
}
