//! http-01 by a small responder of our own, one per address and port for the whole run.

use std::net::IpAddr;

use certkit_core::{Identifier, IdentifierSet};

use super::{Challenge, ChallengeKind, SolveError, Solver};
use crate::clock::BoxFuture;

/// The responders of a run. Clone it: all clones share the sockets and the tokens.
#[derive(Clone, Debug, Default)]
pub struct StandaloneServers {}

impl StandaloneServers {
    /// No socket is opened before the first challenge.
    pub fn new() -> Self {
        Self::default()
    }

    /// A solver on this port; on all IPv4 and IPv6 addresses without `address`.
    pub fn solver(&self, _address: Option<IpAddr>, _port: u16) -> impl Solver + 'static {
        Placeholder
    }
}

struct Placeholder;

impl Solver for Placeholder {
    fn kinds(&self, _identifier: &Identifier, _wildcard: bool) -> Vec<ChallengeKind> {
        todo!()
    }

    fn present<'a>(
        &'a self,
        _all: &'a [Challenge],
        _order: &'a IdentifierSet,
    ) -> BoxFuture<'a, Result<(), SolveError>> {
        todo!()
    }

    fn withdraw<'a>(&'a self, _all: &'a [Challenge]) -> BoxFuture<'a, Result<(), SolveError>> {
        todo!()
    }
}
