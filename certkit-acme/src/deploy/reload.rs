//! `installer = nginx` and `installer = apache`: configuration check, then reload.

use certkit_core::Failure;

use crate::command::{CommandOutcome, CommandSettings};

/// A web server that can be reloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WebServer {
    /// Apache.
    Apache,
    /// nginx.
    Nginx,
}

impl WebServer {
    /// The server that a conf's `installer` names.
    pub fn from_installer(_installer: &str) -> Option<Self> {
        todo!()
    }
}

/// Checks the server's configuration and, when it is good, reloads it. A server that does not run is a failure.
pub async fn reload(_server: WebServer, _settings: &CommandSettings) -> (CommandOutcome, Result<(), Failure>) {
    todo!()
}
