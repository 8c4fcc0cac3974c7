//! Targets of the lineage's settings.

use std::path::Path;

use certkit_core::settings::DeploySetting;
use certkit_core::{Chain, Failure, FailureClass, PrivateKey};

use super::files::files_of;
use super::placing::place;
use super::{describe, impossible, run_hook, unit};
use crate::command::{CommandEnding, CommandOutcome, CommandSettings, OwnersCommand};

/// A version of a lineage, as a target of the settings receives it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct DeployedVersion<'a> {
    /// `live/NAME`: RENEWED_LINEAGE of commands.
    pub lineage_path: &'a Path,
    /// Its names: RENEWED_DOMAINS of commands.
    pub domains: &'a [String],
    /// Leaf and issuers.
    pub chain: &'a Chain,
    /// The key.
    pub key: &'a PrivateKey,
}

impl<'a> DeployedVersion<'a> {
    /// A version that is live. Chain and key are those of [`certkit_core::store::Lineage::read_version`].
    pub fn new(lineage_path: &'a Path, domains: &'a [String], chain: &'a Chain, key: &'a PrivateKey) -> Self {
        Self { lineage_path, domains, chain, key }
    }
}

/// Gives a version to one target of the settings. A failure has the class [`FailureClass::Hook`], and names the target,
/// the cause and the cure.
///
/// - Files (`copy`, `combined`, `der`) go into folders that exist. Each one is whole at any moment, has its owner, group
///   and mode before its first byte, and is left alone when it is as it should be. When one of them cannot be replaced,
///   none is. A link in the place of a file is replaced by the file; a folder there is a failure, and so is a folder that
///   everybody can write to (without the sticky bit) when the private key goes there.
/// - A reload asks systemd, after the server's own check: `check` of the settings, else that of nginx, Apache or HAProxy
///   when the unit has their usual name (HAProxy's for `/etc/haproxy/haproxy.cfg`). When the check fails nothing is
///   reloaded, and the server goes on with the certificate that it has.
/// - A command gets RENEWED_LINEAGE and RENEWED_DOMAINS, as a deploy hook does.
///
/// The outcome is that of the last command; where none is run it says whether the files were written. When the returned
/// future is dropped, what has begun goes on to its end.
pub async fn deploy_setting(
    setting: &DeploySetting,
    version: &DeployedVersion<'_>,
    settings: &CommandSettings,
) -> (CommandOutcome, Result<(), Failure>) {
    match setting {
        DeploySetting::Combined { .. } | DeploySetting::Copy { .. } | DeploySetting::Der { .. } => {
            write_files(setting, version).await
        }
        DeploySetting::Command { command } => {
            let what = format!("the {}", describe(&setting.target()));
            run_hook(&OwnersCommand::Shell(command.clone()), &what, version.lineage_path, version.domains, settings)
                .await
        }
        DeploySetting::Reload { unit, check } => unit::reload(unit, check.as_deref(), version, settings).await,
        other => impossible(format!("certkit cannot deploy to the {}", describe(&other.target()))),
    }
}

async fn write_files(setting: &DeploySetting, version: &DeployedVersion<'_>) -> (CommandOutcome, Result<(), Failure>) {
    let target = describe(&setting.target());
    let (setting, live) = (setting.clone(), version.lineage_path.to_owned());
    let (chain, key) = (version.chain.clone(), version.key.clone());
    let work = move || {
        let files = files_of(&setting, &live, &chain, &key).map_err(|error| error.to_string())?;
        place(&files).map_err(|error| error.to_string())
    };
    let problem = match tokio::task::spawn_blocking(work).await {
        Ok(Ok(())) => return (CommandOutcome::new(CommandEnding::Exited(0)), Ok(())),
        Ok(Err(problem)) => problem,
        Err(error) => error.to_string(),
    };
    let failure = Failure::new(FailureClass::Hook, format!("{target}: {problem}"));
    (CommandOutcome::not_started(problem), Err(failure))
}
