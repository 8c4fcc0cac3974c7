//! Whether a new version could be given to its targets.

use std::path::PathBuf;

use certkit_core::settings::DeploySetting;
use certkit_core::words::shell_word;
use certkit_core::{Finding, FindingCode, escape};

use super::hooks::{HookCommand, check_hook};
use super::service::ServiceState;
use super::{Check, Examined, Machine};
use crate::command::CommandEnding;
use crate::deploy::{
    Obstacle, ServerControl, WebServer, check_before_reload, check_configuration, describe, files_with_keys,
    is_unit_name, rehearse,
};

/// The lineage whose targets are looked at.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeploySubject {
    /// `live/NAME`.
    pub live: PathBuf,
    /// Its names.
    pub domains: Vec<String>,
    /// All its targets of the settings.
    pub targets: Vec<DeploySetting>,
}

impl DeploySubject {
    /// A lineage with these targets.
    pub fn new(live: impl Into<PathBuf>, domains: Vec<String>, targets: Vec<DeploySetting>) -> Self {
        Self { live: live.into(), domains, targets }
    }

    /// The files that hold its key for others, or the key itself where nothing is copied.
    pub fn keys(&self) -> Vec<PathBuf> {
        let copies: Vec<PathBuf> = self
            .targets
            .iter()
            .flat_map(files_with_keys)
            .filter(|(path, holds_key)| *holds_key && path.exists())
            .map(|(path, _)| path)
            .collect();
        if copies.is_empty() { vec![self.live.join("privkey.pem")] } else { copies }
    }
}

/// Whether a target of the settings could receive a new version: folders, owners and groups for files; for a reload the
/// unit and the server's own check; for a command its program. Nothing is written or reloaded. Whether the service can
/// read the key is [`check_service_reads`](super::check_service_reads)'s.
pub async fn check_deploy(setting: &DeploySetting, subject: &DeploySubject, machine: &Machine) -> Vec<Examined> {
    let what = describe(&setting.target());
    match setting {
        DeploySetting::Command { command } => vec![check_hook(HookCommand::new("command", None, command), machine)],
        DeploySetting::Reload { unit, check } => {
            let mut all = check_unit(unit, machine).await;
            if let Err((outcome, failure)) =
                check_before_reload(unit, check.as_deref(), &subject.live, &subject.domains, &machine.commands).await
            {
                let finding = Finding::new(FindingCode::ServerConfigurationRefused, &what, &failure.detail);
                let finding = match outcome.ending {
                    CommandEnding::NotStarted(_) => {
                        finding.with_cure("install the program, or give the right command as `check` of this target")
                    }
                    _ => finding,
                };
                all.push(Examined::found(Check::ServerConfiguration, &what, vec![finding]));
            } else {
                all.push(Examined::fine(Check::ServerConfiguration, &what));
            }
            all
        }
        _ => {
            let (setting, live) = (setting.clone(), subject.live.clone());
            let obstacle = tokio::task::spawn_blocking(move || rehearse(&setting, &live)).await;
            let finding = match obstacle {
                Ok(Ok(())) => None,
                Ok(Err(Obstacle::Access(why))) => Some(Finding::new(FindingCode::DeployOwnerUnknown, &what, why)),
                Ok(Err(Obstacle::Place(why))) => Some(Finding::new(FindingCode::DeployFolderUnusable, &what, why)),
                Err(error) => return vec![Examined::not_checked(Check::DeployFiles, &what, error.to_string())],
            };
            vec![Examined::found(Check::DeployFiles, &what, finding.into_iter().collect())]
        }
    }
}

/// Whether a web server that certbot's `installer` names accepts its configuration, as it is asked before each reload.
pub async fn check_web_server(server: WebServer, control: Option<&ServerControl>, machine: &Machine) -> Examined {
    let subject = format!("{server:?}").to_lowercase();
    match check_configuration(server, control, &machine.commands).await {
        Ok(_) => Examined::fine(Check::ServerConfiguration, subject),
        Err((_, failure)) => {
            let finding = Finding::new(FindingCode::ServerConfigurationRefused, &subject, &failure.detail);
            Examined::found(Check::ServerConfiguration, subject, vec![finding])
        }
    }
}

/// Whether systemd knows a unit, and it runs and can reload.
async fn check_unit(unit: &str, machine: &Machine) -> Vec<Examined> {
    let found = |evidence: &str, cure: String| {
        let finding = Finding::new(FindingCode::ReloadUnitUnusable, unit, evidence).with_cure(cure);
        vec![Examined::found(Check::ReloadUnit, unit, vec![finding])]
    };
    let command =
        format!("write `command = \"…\"` in place of `reload = \"{}\"` into certkit/lineages/NAME.toml", escape(unit));
    if !is_unit_name(unit) {
        return found("this is no name of a unit", "systemctl list-units shows the names of the units".to_owned());
    }
    if !machine.has_systemd() {
        return found("systemd does not run on this machine", command);
    }
    let quoted = shell_word(unit);
    match ServiceState::of(unit, machine).await {
        Err(why) => vec![Examined::not_checked(Check::ReloadUnit, unit, why)],
        Ok(None) => found(
            "systemd knows no unit of this name",
            "systemctl list-units --type=service shows the names".to_owned(),
        ),
        Ok(Some(state)) if !state.is_active => found("it does not run", format!("systemctl start {quoted}")),
        Ok(Some(state)) if !state.can_reload => {
            found("it runs, but knows no reload", format!("{command}, for example systemctl restart {quoted}"))
        }
        Ok(Some(_)) => vec![Examined::fine(Check::ReloadUnit, unit)],
    }
}
