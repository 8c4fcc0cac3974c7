//! http-01 by files in the document root of a running web server.

use std::path::PathBuf;

use certkit_core::{Identifier, IdentifierSet};

use super::{Challenge, ChallengeKind, SolveError, Solver};
use crate::clock::BoxFuture;

/// Writes token files below `.well-known/acme-challenge/` of each identifier's webroot.
#[derive(Debug)]
pub struct WebrootSolver {
    _map: Vec<(Identifier, PathBuf)>,
}

impl WebrootSolver {
    /// Each identifier's webroot, and the one for those that are not in the map.
    pub fn new(_map: Vec<(Identifier, PathBuf)>, _default: Option<PathBuf>) -> Self {
        todo!()
    }
}

impl Solver for WebrootSolver {
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
