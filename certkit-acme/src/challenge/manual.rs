//! Any challenge by the owner's commands: certbot's `manual` with auth and cleanup hooks.

use std::sync::{Arc, Mutex, PoisonError};

use certkit_core::{Identifier, IdentifierSet};

use super::{Challenge, ChallengeKind, SolveError, Solver, StandaloneServers};
use crate::clock::BoxFuture;
use crate::command::{CommandOutcome, CommandSettings, OwnersCommand, run};

/// Runs the auth hook for each challenge, one after another in certbot's order, and the cleanup hook afterwards.
#[derive(Debug)]
pub struct ManualSolver {
    auth_hook: String,
    cleanup_hook: Option<String>,
    preferred: Vec<ChallengeKind>,
    commands: CommandSettings,
    /// Hooks of one run never run beside each other, as with certbot: they may edit the same zone.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// What was presented and not withdrawn, with what its cleanup hook will be told.
    presented: Mutex<Vec<Presented>>,
}

#[derive(Clone, Debug)]
struct Presented {
    challenge: Challenge,
    variables: Vec<(&'static str, String)>,
}

impl ManualSolver {
    /// With these commands. `preferred` limits and orders the kinds (certbot's `pref_challs`); without it http-01, then dns-01.
    pub fn new(
        auth_hook: String,
        cleanup_hook: Option<String>,
        preferred: Vec<ChallengeKind>,
        commands: CommandSettings,
    ) -> Self {
        let (turn, presented) = Default::default();
        Self { auth_hook, cleanup_hook, preferred, commands, turn, presented }
    }

    /// The same, taking turns with the other manual solvers of a run.
    #[must_use]
    pub fn shared_by(mut self, servers: &StandaloneServers) -> Self {
        self.turn = Arc::clone(servers.manual_turn());
        self
    }
}

impl Solver for ManualSolver {
    fn kinds(&self, identifier: &Identifier, wildcard: bool) -> Vec<ChallengeKind> {
        kinds(&self.preferred, identifier, wildcard)
    }

    fn present<'a>(&'a self, all: &'a [Challenge], _order: &'a IdentifierSet) -> BoxFuture<'a, Result<(), SolveError>> {
        Box::pin(async move {
            let _turn = self.turn.lock().await;
            for (index, challenge) in all.iter().enumerate() {
                let variables = variables(all, index, challenge);
                // Noted before it runs: a hook that fails or is cut off may have set up half of it.
                self.note(Presented { challenge: challenge.clone(), variables: variables.clone() });
                let command = OwnersCommand::Shell(self.auth_hook.clone());
                let outcome = run(&command, &variables, &self.commands).await;
                if let Some(failure) = outcome.failure(&self.describe("auth", &self.auth_hook, challenge)) {
                    // The failure of the auth hook is the one to report; the cleanup hook can hardly add to it.
                    let _ = self.clean_up(all.get(..=index).unwrap_or(all)).await;
                    return Err(SolveError::Hook(failure.detail));
                }
                self.complete(challenge, &outcome);
            }
            Ok(())
        })
    }

    fn withdraw<'a>(&'a self, all: &'a [Challenge]) -> BoxFuture<'a, Result<(), SolveError>> {
        Box::pin(async move {
            let _turn = self.turn.lock().await;
            self.clean_up(all).await
        })
    }
}

/// The kinds that can be had for an identifier: a wildcard only by DNS (RFC 8555 section 7.1.3), an address never by DNS
/// (RFC 8738 section 7).
pub(super) fn kinds(preferred: &[ChallengeKind], identifier: &Identifier, wildcard: bool) -> Vec<ChallengeKind> {
    const USUAL: [ChallengeKind; 2] = [ChallengeKind::Http01, ChallengeKind::Dns01];
    let preferred = if preferred.is_empty() { &USUAL } else { preferred };
    let possible = |kind: &ChallengeKind| match kind {
        ChallengeKind::Http01 => !wildcard,
        ChallengeKind::Dns01 => matches!(identifier, Identifier::Dns(_)),
    };
    preferred.iter().copied().filter(possible).collect()
}

impl ManualSolver {
    fn describe(&self, which: &str, hook: &str, challenge: &Challenge) -> String {
        format!("the {which} hook `{hook}` for {}", challenge.identifier)
    }

    fn note(&self, presented: Presented) {
        self.presented.lock().unwrap_or_else(PoisonError::into_inner).push(presented);
    }

    /// Notes what the auth hook printed: the cleanup hook gets it.
    fn complete(&self, challenge: &Challenge, outcome: &CommandOutcome) {
        let mut presented = self.presented.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = presented.iter_mut().rev().find(|known| same(&known.challenge, challenge)) {
            last.variables.push(("CERTBOT_AUTH_OUTPUT", outcome.stdout.trim().to_owned()));
        }
    }

    /// Runs the cleanup hook for what was presented, all of it, whatever fails.
    async fn clean_up(&self, all: &[Challenge]) -> Result<(), SolveError> {
        let mut failures = Vec::new();
        for challenge in all {
            let Some(mut presented) = self.take(challenge) else { continue };
            let Some(hook) = &self.cleanup_hook else { continue };
            if !presented.variables.iter().any(|(name, _)| *name == "CERTBOT_AUTH_OUTPUT") {
                presented.variables.push(("CERTBOT_AUTH_OUTPUT", String::new()));
            }
            let outcome = run(&OwnersCommand::Shell(hook.clone()), &presented.variables, &self.commands).await;
            failures.extend(outcome.failure(&self.describe("cleanup", hook, challenge)).map(|failure| failure.detail));
        }
        if failures.is_empty() { Ok(()) } else { Err(SolveError::Hook(failures.join("; "))) }
    }

    fn take(&self, challenge: &Challenge) -> Option<Presented> {
        let mut presented = self.presented.lock().unwrap_or_else(PoisonError::into_inner);
        let index = presented.iter().position(|known| same(&known.challenge, challenge))?;
        Some(presented.remove(index))
    }
}

fn same(one: &Challenge, other: &Challenge) -> bool {
    one.kind == other.kind && one.token == other.token && one.identifier == other.identifier
}

/// certbot's variables. The names in the lists are those that are being validated, each as often as it has a challenge.
fn variables(all: &[Challenge], index: usize, challenge: &Challenge) -> Vec<(&'static str, String)> {
    let name = base_name(challenge);
    let names = all.iter().map(base_name).collect::<Vec<_>>().join(",");
    let remaining = all.len().saturating_sub(index).saturating_sub(1);
    let mut variables = vec![
        ("CERTBOT_DOMAIN", name.clone()),
        ("CERTBOT_IDENTIFIER", name),
        ("CERTBOT_VALIDATION", challenge.validation()),
        ("CERTBOT_ALL_DOMAINS", names.clone()),
        ("CERTBOT_ALL_IDENTIFIERS", names),
        ("CERTBOT_REMAINING_CHALLENGES", remaining.to_string()),
    ];
    if challenge.kind == ChallengeKind::Http01 {
        variables.push(("CERTBOT_TOKEN", challenge.token.as_str().to_owned()));
    }
    variables
}

fn base_name(challenge: &Challenge) -> String {
    match &challenge.identifier {
        Identifier::Dns(name) => name.base().to_owned(),
        Identifier::Ip(address) => address.to_string(),
    }
}
