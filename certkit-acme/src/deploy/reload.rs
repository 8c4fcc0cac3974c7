//! `installer = nginx` and `installer = apache`: configuration check, then reload.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use certkit_core::{Failure, FailureClass};

use crate::command::{CommandOutcome, CommandSettings, OwnersCommand, STANDARD_DIRECTORIES, try_run};

/// A web server that can be reloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WebServer {
    /// Apache.
    Apache,
    /// nginx.
    Nginx,
}

/// A web server's control program, when it is not the usual one: certbot's `nginx_ctl`, `nginx_server_root`, `apache_ctl`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerControl {
    /// The program, by its path or by its name in PATH.
    pub program: PathBuf,
    /// What it is always given, before what certkit asks of it.
    pub arguments: Vec<OsString>,
}

impl WebServer {
    /// The server that a conf's `installer` names.
    pub fn from_installer(installer: &str) -> Option<Self> {
        match installer {
            "nginx" | "certbot-nginx:nginx" | "letsencrypt-nginx:nginx" => Some(Self::Nginx),
            "apache" | "certbot-apache:apache" | "letsencrypt-apache:apache" => Some(Self::Apache),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Apache => "Apache",
            Self::Nginx => "nginx",
        }
    }

    fn programs(self) -> &'static [&'static str] {
        match self {
            // Debian's, everybody else's, and the bare server of some.
            Self::Apache => &["apache2ctl", "apachectl", "httpd"],
            Self::Nginx => &["nginx"],
        }
    }
}

impl ServerControl {
    /// This program without arguments of its own.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), arguments: Vec::new() }
    }

    /// The same with these arguments before certkit's.
    #[must_use]
    pub fn with_arguments(mut self, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// What a conf says of it; `param` reads `[renewalparams]`. `None` when it says nothing.
    pub fn from_conf<'a>(server: WebServer, param: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        match server {
            WebServer::Apache => param("apache_ctl").map(Self::new),
            WebServer::Nginx => {
                let (program, root) = (param("nginx_ctl"), param("nginx_server_root"));
                if program.is_none() && root.is_none() {
                    return None;
                }
                let control = Self::new(program.unwrap_or("nginx"));
                // certbot's own way to name another configuration.
                let conf = root.map(|root| PathBuf::from(root).join("nginx.conf").into_os_string());
                Some(control.with_arguments(conf.into_iter().flat_map(|conf| ["-c".into(), conf])))
            }
        }
    }
}

/// Checks the server's configuration and, when it is good, reloads it. An nginx that does not run is a failure; Apache's
/// `graceful` starts an Apache that does not run, as it does with certbot. The outcome is that of the last command.
pub async fn reload(server: WebServer, settings: &CommandSettings) -> (CommandOutcome, Result<(), Failure>) {
    reload_with(server, None, settings).await
}

/// As [`reload`], with a control program that is not the usual one.
pub async fn reload_with(
    server: WebServer,
    control: Option<&ServerControl>,
    settings: &CommandSettings,
) -> (CommandOutcome, Result<(), Failure>) {
    let control = match check_configuration(server, control, settings).await {
        Ok(control) => control,
        Err((outcome, failure)) => return (outcome, Err(failure)),
    };
    let (_, reload) = requests(server, &control);
    let outcome = match try_run(&control.command(reload), &[], settings).await {
        Ok(outcome) => outcome,
        Err(error) => CommandOutcome::not_started(error.to_string()),
    };
    let failure = outcome.failure(&format!("{}'s reload", server.name()));
    (outcome, failure.map_or(Ok(()), Err))
}

/// Checks the server's configuration with `control` or the usual program, and returns the one that did it.
pub(crate) async fn check_configuration(
    server: WebServer,
    control: Option<&ServerControl>,
    settings: &CommandSettings,
) -> Result<ServerControl, (CommandOutcome, Failure)> {
    let candidates = match control {
        Some(control) => vec![control.clone()],
        None => server.programs().iter().map(ServerControl::new).collect(),
    };
    let what = format!("{}'s configuration check (nothing was reloaded)", server.name());
    for control in &candidates {
        let (check, _) = requests(server, control);
        let (control, outcome) = match first_found(control, check, settings).await {
            Ok(Some(found)) => found,
            Ok(None) => continue,
            Err(error) => (control.clone(), CommandOutcome::not_started(error.to_string())),
        };
        return match outcome.failure(&what) {
            None => Ok(control),
            Some(failure) => Err((outcome, failure)),
        };
    }
    let tried: Vec<String> = candidates.iter().map(|control| control.program.display().to_string()).collect();
    let outcome = CommandOutcome::not_started(format!("no such program: {}", tried.join(", ")));
    let failure = Failure::new(FailureClass::Hook, format!("{what} {}", outcome.ending));
    Err((outcome, failure))
}

impl ServerControl {
    fn command(&self, request: &[&str]) -> OwnersCommand {
        let arguments = self.arguments.iter().cloned().chain(request.iter().map(OsString::from)).collect();
        OwnersCommand::Program(self.program.clone(), arguments)
    }
}

/// How to ask for the check and for the reload.
fn requests(server: WebServer, control: &ServerControl) -> (&'static [&'static str], &'static [&'static str]) {
    let is_bare_httpd = control.program.file_name().is_some_and(|name| name == "httpd");
    match server {
        WebServer::Nginx => (&["-t"], &["-s", "reload"]),
        WebServer::Apache if is_bare_httpd => (&["-t"], &["-k", "graceful"]),
        WebServer::Apache => (&["configtest"], &["graceful"]),
    }
}

/// Runs the program from PATH or, when it is not there, from the standard directories: a cron job's PATH lacks
/// /usr/sbin. `None` when it is nowhere.
pub(crate) async fn first_found(
    control: &ServerControl,
    request: &[&str],
    settings: &CommandSettings,
) -> io::Result<Option<(ServerControl, CommandOutcome)>> {
    let has_path = control.program.components().count() > 1;
    let elsewhere: &[&str] = if has_path { &[] } else { &STANDARD_DIRECTORIES };
    let places = elsewhere.iter().map(|directory| PathBuf::from(directory).join(&control.program));
    for program in std::iter::once(control.program.clone()).chain(places) {
        let control = ServerControl { program, arguments: control.arguments.clone() };
        match try_run(&control.command(request), &[], settings).await {
            Ok(outcome) => return Ok(Some((control, outcome))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installers_that_serve_are_known() {
        assert_eq!(WebServer::from_installer("nginx"), Some(WebServer::Nginx));
        assert_eq!(WebServer::from_installer("apache"), Some(WebServer::Apache));
        assert_eq!(WebServer::from_installer("null"), None);
    }

    #[test]
    fn a_confs_own_nginx_is_used() {
        let conf = |key: &str| match key {
            "nginx_server_root" => Some("/opt/nginx"),
            "nginx_ctl" => Some("/opt/nginx/sbin/nginx"),
            _ => None,
        };
        let control = ServerControl::from_conf(WebServer::Nginx, conf).unwrap();
        assert_eq!(
            control.command(&["-t"]),
            OwnersCommand::Program(
                "/opt/nginx/sbin/nginx".into(),
                vec!["-c".into(), "/opt/nginx/nginx.conf".into(), "-t".into()]
            )
        );
        assert_eq!(ServerControl::from_conf(WebServer::Nginx, |_| None), None);
        assert_eq!(ServerControl::from_conf(WebServer::Apache, |_| Some("/x")), Some(ServerControl::new("/x")));
    }
}
