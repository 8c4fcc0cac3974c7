//! `reload = "nginx.service"`: the server's own check, then systemd.

use certkit_core::{Failure, FailureClass, escape};

use super::reload::{ServerControl, WebServer, check_configuration, first_found};
use super::run_hook;
use super::setting::DeployedVersion;
use crate::command::{CommandEnding, CommandOutcome, CommandSettings, OwnersCommand};

/// What a unit's server checks its configuration with. Only for units with the usual name: an instance (`nginx@x`) or
/// another name stands for another configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OwnCheck {
    Web(WebServer),
    HaProxy,
}

impl OwnCheck {
    fn of(unit: &str) -> Option<Self> {
        match unit.strip_suffix(".service").unwrap_or(unit) {
            "nginx" => Some(Self::Web(WebServer::Nginx)),
            // Debian's name, and everybody else's.
            "apache2" | "httpd" => Some(Self::Web(WebServer::Apache)),
            "haproxy" => Some(Self::HaProxy),
            _ => None,
        }
    }

    async fn run(self, settings: &CommandSettings) -> Result<(), (CommandOutcome, Failure)> {
        match self {
            Self::Web(server) => check_configuration(server, None, settings).await.map(|_| ()),
            Self::HaProxy => check_haproxy(settings).await,
        }
    }
}

/// Checks and reloads.
pub(super) async fn reload(
    unit: &str,
    check: Option<&str>,
    version: &DeployedVersion<'_>,
    settings: &CommandSettings,
) -> (CommandOutcome, Result<(), Failure>) {
    let what = format!("the reload of {}", escape(unit));
    let failed = |outcome: CommandOutcome, reason: &str, cure: &str| {
        let failure = Failure::new(FailureClass::Hook, format!("{what}: {reason}: {cure}"));
        (outcome, Err(failure))
    };
    if !is_unit_name(unit) {
        let reason = "this is no name of a systemd unit";
        return failed(CommandOutcome::not_started(reason), reason, "systemctl list-units shows the names");
    }
    let checked = check_before_reload(unit, check, version.lineage_path, version.domains, settings).await;
    if let Err((outcome, failure)) = checked {
        let cure = match was_started(&outcome) {
            true => "mend its configuration; until then it keeps the certificate that it has",
            false => "give the right command as `check` of this target",
        };
        return failed(outcome, &failure.detail, cure);
    }
    // Without a terminal nobody can answer polkit, and no question may hold the run up.
    let arguments = ["reload", "--no-ask-password", "--", unit];
    // The cures below go by the words of systemctl.
    let mut settings = settings.clone();
    settings.environment.push(("LC_ALL".into(), "C".into()));
    let outcome = match first_found(&ServerControl::new("systemctl"), &arguments, &settings).await {
        Ok(Some((_, outcome))) => outcome,
        Ok(None) => CommandOutcome::not_started("no such program: systemctl"),
        Err(error) => CommandOutcome::not_started(error.to_string()),
    };
    match outcome.failure("systemctl reload") {
        None => (outcome, Ok(())),
        Some(failure) => {
            let cure = cure(&outcome, unit);
            failed(outcome, &failure.detail, &cure)
        }
    }
}

/// The server's own check, or the owner's: nothing is reloaded that fails it.
pub(crate) async fn check_before_reload(
    unit: &str,
    check: Option<&str>,
    lineage_path: &std::path::Path,
    domains: &[String],
    settings: &CommandSettings,
) -> Result<(), (CommandOutcome, Failure)> {
    match (check, OwnCheck::of(unit)) {
        (Some(line), _) => {
            let check = OwnersCommand::Shell(line.to_owned());
            let what = format!("the check `{check}` (nothing was reloaded)");
            let (outcome, result) = run_hook(&check, &what, lineage_path, domains, settings).await;
            result.map_err(|failure| (outcome, failure))
        }
        (None, Some(own)) => own.run(settings).await,
        (None, None) => Ok(()),
    }
}

/// HAProxy's check of its usual configuration. Not quiet (`-q`): it would not even say what is wrong.
async fn check_haproxy(settings: &CommandSettings) -> Result<(), (CommandOutcome, Failure)> {
    // Debian's and Red Hat's units start it with this one.
    let arguments = ["-c", "-f", "/etc/haproxy/haproxy.cfg"];
    let outcome = match first_found(&ServerControl::new("haproxy"), &arguments, settings).await {
        Ok(Some((_, outcome))) => outcome,
        Ok(None) => CommandOutcome::not_started("no such program: haproxy"),
        Err(error) => CommandOutcome::not_started(error.to_string()),
    };
    match outcome.failure("HAProxy's configuration check (nothing was reloaded)") {
        None => Ok(()),
        Some(failure) => Err((outcome, failure)),
    }
}

/// systemd's rule for unit names (systemd.unit(5)), and nothing that could be taken for an option or a path.
pub(crate) fn is_unit_name(unit: &str) -> bool {
    /// UNIT_NAME_MAX of systemd, in bytes, with the NUL at the end.
    const MAX_BYTES: usize = 255;
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b":-_.\\@".contains(&c);
    !unit.is_empty() && unit.len() <= MAX_BYTES && !unit.starts_with(['-', '.']) && unit.bytes().all(allowed)
}

/// What to do about systemctl's refusal.
fn cure(outcome: &CommandOutcome, unit: &str) -> String {
    let says = |words: &str| outcome.stderr.contains(words);
    let command = "use a target with `command` instead";
    if says("is not active") {
        format!("start it: systemctl start {unit}")
    } else if says("not applicable") {
        format!("this unit cannot reload: {command} (systemctl restart {unit})")
    } else if says("not found") || says("not loaded") || says("No such file") {
        "systemctl list-units shows the names of the units".to_owned()
    } else if says("booted with systemd") || says("connect to bus") || !was_started(outcome) {
        format!("this machine has no systemd that can be asked: {command}")
    } else if says("Access denied") || says("uthentication required") {
        "run certkit as root".to_owned()
    } else {
        format!("journalctl -u {unit} says more")
    }
}

fn was_started(outcome: &CommandOutcome) -> bool {
    !matches!(outcome.ending, CommandEnding::NotStarted(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_named_as_systemd_allows() {
        for good in ["nginx", "nginx.service", "haproxy@a-b.service", "x\\x2dy.service", "a:b_c"] {
            assert!(is_unit_name(good), "{good}");
        }
        let long = "a".repeat(256);
        for bad in ["", "-H", "--version", ".service", "a b", "a;b", "a/b", "$(id)", "a\n", "ä", "a*", long.as_str()] {
            assert!(!is_unit_name(bad), "{bad:?}");
        }
    }

    #[test]
    fn servers_are_known_by_the_usual_names_of_their_units_only() {
        assert_eq!(OwnCheck::of("nginx.service"), Some(OwnCheck::Web(WebServer::Nginx)));
        assert_eq!(OwnCheck::of("nginx"), Some(OwnCheck::Web(WebServer::Nginx)));
        assert_eq!(OwnCheck::of("httpd.service"), Some(OwnCheck::Web(WebServer::Apache)));
        assert_eq!(OwnCheck::of("apache2"), Some(OwnCheck::Web(WebServer::Apache)));
        assert_eq!(OwnCheck::of("haproxy.service"), Some(OwnCheck::HaProxy));
        for other in ["nginx@x.service", "my-nginx.service", "postfix.service", "nginx.socket"] {
            assert_eq!(OwnCheck::of(other), None, "{other}");
        }
    }

    #[test]
    fn what_systemctl_refuses_has_a_cure() {
        let advice = |stderr: &str| {
            let mut outcome = CommandOutcome::new(CommandEnding::Exited(1));
            outcome.stderr = stderr.to_owned();
            cure(&outcome, "x.service")
        };
        // The words of systemd 252.
        assert!(advice("x.service is not active, cannot reload.").contains("systemctl start x.service"));
        let refused = "Failed to reload x.service: Job type reload is not applicable for unit x.service.";
        assert!(advice(refused).contains("systemctl restart x.service"));
        assert!(advice("Failed to reload x.service: Unit x.service not found.").contains("list-units"));
        assert!(advice("System has not been booted with systemd as init system (PID 1).").contains("no systemd"));
        assert!(advice("Failed to reload x.service: Access denied").contains("as root"));
        assert!(advice("Job for x.service failed.").contains("journalctl -u x.service"));
    }
}
