//! Any challenge by the owner's commands: certbot's `manual` with auth and cleanup hooks.

use std::sync::{Arc, Mutex, PoisonError};

use certkit_core::{Identifier, IdentifierSet};
use tokio::sync::OwnedMutexGuard;

use super::{Challenge, ChallengeKind, SolveError, Solver, StandaloneServers};
use crate::clock::BoxFuture;
use crate::command::{CommandOutcome, CommandSettings, OwnersCommand, run};
use crate::stop::Stop;

/// Runs the auth hook for each challenge, one after another in certbot's order, and the cleanup hook afterwards.
///
/// The hooks of a run may edit the same zone, so that with certbot no other lineage's hook runs between the first auth
/// hook and the last cleanup hook of a lineage. Solvers that share a [`StandaloneServers`] keep to this: after a
/// successful `present` the turn belongs to this solver until everything is withdrawn or the solver is dropped, and the
/// `present` of another one waits for that. Whoever needs two of them at once must not let them share.
///
/// `withdraw` runs the cleanup hook only for what this solver has presented, `withdraw_abandoned` for all that it is
/// given.
#[derive(Debug)]
pub struct ManualSolver {
    auth_hook: String,
    cleanup_hook: Option<String>,
    preferred: Vec<ChallengeKind>,
    commands: CommandSettings,
    stop: Option<Stop>,
    /// Whose turn it is among the solvers of a run.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// This solver's turn, from its first auth hook to its last cleanup hook. Locked while it works.
    held: tokio::sync::Mutex<Option<Turn>>,
    /// What was presented and not withdrawn, with what its cleanup hook will be told.
    presented: Mutex<Vec<Presented>>,
}

/// The right to run hooks. Each running hook has a share in it: a hook goes on when nobody waits for it any more, and
/// the next solver's must not run beside it even then.
type Turn = Arc<OwnedMutexGuard<()>>;

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
        let (stop, turn, held, presented) = Default::default();
        Self { auth_hook, cleanup_hook, preferred, commands, stop, turn, held, presented }
    }

    /// The same, taking turns with the other manual solvers of a run.
    #[must_use]
    pub fn shared_by(mut self, servers: &StandaloneServers) -> Self {
        self.turn = Arc::clone(servers.manual_turn());
        self
    }

    /// The same, starting no auth hook any more once somebody has asked to stop: `present` then cleans up what it had
    /// set up and fails with [`SolveError::Stopped`]. A hook that runs is waited for, and cleanup hooks always run.
    #[must_use]
    pub fn stopping_with(mut self, stop: &Stop) -> Self {
        self.stop = Some(stop.clone());
        self
    }
}

impl Solver for ManualSolver {
    fn kinds(&self, identifier: &Identifier, wildcard: bool) -> Vec<ChallengeKind> {
        kinds(&self.preferred, identifier, wildcard)
    }

    fn present<'a>(&'a self, all: &'a [Challenge], _order: &'a IdentifierSet) -> BoxFuture<'a, Result<(), SolveError>> {
        Box::pin(async move {
            if all.is_empty() {
                return Ok(());
            }
            let mut held = self.held.lock().await;
            // It is kept only by success: a failure, and a future that is dropped, give it back.
            let turn = match &*held {
                Some(turn) => Arc::clone(turn),
                None => self.take_turn_unless_stopped().await?,
            };
            for (index, challenge) in all.iter().enumerate() {
                if let Err(stopped) = self.check_stop() {
                    let _ = self.clean_up(all.get(..index).unwrap_or(all), &turn).await;
                    return Err(stopped);
                }
                let variables = variables(all, index, challenge);
                // Noted before it runs: a hook that fails or is cut off may have set up half of it.
                self.note(Presented { challenge: challenge.clone(), variables: variables.clone() });
                let outcome = self.run_hook(&self.auth_hook, variables, &turn).await;
                if let Some(failure) = outcome.failure(&self.describe("auth", &self.auth_hook, challenge)) {
                    // The failure of the auth hook is the one to report; the cleanup hook can hardly add to it.
                    let _ = self.clean_up(all.get(..=index).unwrap_or(all), &turn).await;
                    return Err(SolveError::Hook(failure.detail));
                }
                self.complete(challenge, &outcome);
            }
            *held = Some(turn);
            Ok(())
        })
    }

    fn withdraw<'a>(&'a self, all: &'a [Challenge]) -> BoxFuture<'a, Result<(), SolveError>> {
        Box::pin(async move {
            let mut held = self.held.lock().await;
            if !self.has_presented(|known| all.iter().any(|challenge| same(known, challenge))) {
                return Ok(());
            }
            // Taken out, so that it is given back when this future is dropped.
            let turn = match held.take() {
                Some(turn) => turn,
                None => self.take_turn().await,
            };
            let result = self.clean_up(all, &turn).await;
            if self.has_presented(|_| true) {
                *held = Some(turn);
            }
            result
        })
    }

    fn withdraw_abandoned<'a>(&'a self, all: &'a [Challenge]) -> BoxFuture<'a, Result<(), SolveError>> {
        Box::pin(async move {
            if self.cleanup_hook.is_some() {
                for (index, challenge) in all.iter().enumerate() {
                    if !self.has_presented(|known| same(known, challenge)) {
                        let variables = variables(all, index, challenge);
                        self.note(Presented { challenge: challenge.clone(), variables });
                    }
                }
            }
            self.withdraw(all).await
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

    async fn take_turn(&self) -> Turn {
        Arc::new(Arc::clone(&self.turn).lock_owned().await)
    }

    /// Another solver's hooks may take long, and a stop must not wait for a turn that would not be used.
    async fn take_turn_unless_stopped(&self) -> Result<Turn, SolveError> {
        let Some(stop) = &self.stop else { return Ok(self.take_turn().await) };
        tokio::select! {
            biased;
            _ = stop.stopped() => Err(SolveError::Stopped),
            turn = self.take_turn() => Ok(turn),
        }
    }

    fn check_stop(&self) -> Result<(), SolveError> {
        match self.stop.as_ref().and_then(Stop::reason) {
            Some(_) => Err(SolveError::Stopped),
            None => Ok(()),
        }
    }

    async fn run_hook(&self, hook: &str, variables: Vec<(&'static str, String)>, turn: &Turn) -> CommandOutcome {
        let (command, settings) = (OwnersCommand::Shell(hook.to_owned()), self.commands.clone());
        let turn = Arc::clone(turn);
        let hook = tokio::spawn(async move {
            let outcome = run(&command, &variables, &settings).await;
            drop(turn);
            outcome
        });
        hook.await.unwrap_or_else(|error| CommandOutcome::not_started(error.to_string()))
    }

    fn has_presented(&self, which: impl Fn(&Challenge) -> bool) -> bool {
        let presented = self.presented.lock().unwrap_or_else(PoisonError::into_inner);
        presented.iter().any(|known| which(&known.challenge))
    }

    fn note(&self, presented: Presented) {
        self.presented.lock().unwrap_or_else(PoisonError::into_inner).push(presented);
    }

    /// Notes what the auth hook printed: the cleanup hook gets it.
    fn complete(&self, challenge: &Challenge, outcome: &CommandOutcome) {
        let mut presented = self.presented.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = presented.iter_mut().rev().find(|known| same(&known.challenge, challenge)) {
            // A NUL cannot be part of a variable: with one in it the cleanup hook could not be started.
            let printed = outcome.stdout.replace('\0', "");
            last.variables.push(("CERTBOT_AUTH_OUTPUT", printed.trim().to_owned()));
        }
    }

    /// Runs the cleanup hook for what was presented, all of it, whatever fails.
    async fn clean_up(&self, all: &[Challenge], turn: &Turn) -> Result<(), SolveError> {
        let mut failures = Vec::new();
        for challenge in all {
            let Some(mut presented) = self.take(challenge) else { continue };
            let Some(hook) = &self.cleanup_hook else { continue };
            if !presented.variables.iter().any(|(name, _)| *name == "CERTBOT_AUTH_OUTPUT") {
                presented.variables.push(("CERTBOT_AUTH_OUTPUT", String::new()));
            }
            let outcome = self.run_hook(hook, presented.variables, turn).await;
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
