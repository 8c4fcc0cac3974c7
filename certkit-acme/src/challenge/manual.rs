//! Any challenge by the owner's commands: certbot's `manual` with auth and cleanup hooks.

use certkit_core::{Identifier, IdentifierSet};

use super::{Challenge, ChallengeKind, SolveError, Solver};
use crate::clock::BoxFuture;
use crate::command::CommandSettings;

/// Runs the auth hook for each challenge, one after another in certbot's order, and the cleanup hook afterwards.
#[derive(Debug)]
pub struct ManualSolver {}

impl ManualSolver {
    /// With these commands. `preferred` limits and orders the kinds (certbot's `pref_challs`); without it http-01, then dns-01.
    pub fn new(
        _auth_hook: String,
        _cleanup_hook: Option<String>,
        _preferred: Vec<ChallengeKind>,
        _commands: CommandSettings,
    ) -> Self {
        todo!()
    }
}

impl Solver for ManualSolver {
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
