//! http-01 by files in the document root of a running web server.

mod files;
mod walk;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use certkit_core::{Identifier, IdentifierSet, escape};

use self::files::Presented;
pub(super) use self::files::TokenFiles;
use super::{Challenge, ChallengeKind, SolveError, Solver, StandaloneServers, check_http01, name_list};
use crate::clock::BoxFuture;

/// Writes token files below `.well-known/acme-challenge/` of each identifier's webroot.
///
/// Symbolic links in the path of the webroot are followed. Below it only links that belong to root or to the running
/// user are: whoever owns the webroot must not be able to make root write elsewhere. The directories that are missing
/// are made (0755, with the webroot's owner) and removed again.
#[derive(Debug)]
pub struct WebrootSolver {
    state: Arc<State>,
}

/// Names whose token file could not be written, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebrootProblem {
    /// The names.
    pub identifiers: Vec<Identifier>,
    /// The webroot; none when the names have none.
    pub webroot: Option<PathBuf>,
    /// Why, with what to do about it, escaped.
    pub reason: String,
}

#[derive(Debug)]
struct State {
    map: Vec<(Identifier, PathBuf)>,
    default: Option<PathBuf>,
    files: TokenFiles,
    /// What this solver has presented and not withdrawn.
    presented: Mutex<Vec<Presented>>,
}

impl WebrootSolver {
    /// Each identifier's webroot, and the one for those that are not in the map.
    pub fn new(map: Vec<(Identifier, PathBuf)>, default: Option<PathBuf>) -> Self {
        Self::build(map, default, TokenFiles::default())
    }

    /// The same with the token counts of a run: two orders of a run that share an authorization share its file.
    #[must_use]
    pub fn shared_by(self, servers: &StandaloneServers) -> Self {
        Self::build(self.state.map.clone(), self.state.default.clone(), servers.token_files().clone())
    }

    /// Whether each identifier has a webroot that this user can write the challenge file into, as far as can be seen
    /// without writing. Call it before ordering.
    pub fn check(&self, identifiers: &IdentifierSet) -> Result<(), SolveError> {
        let mut problems = Problems::default();
        for identifier in identifiers.iter() {
            match self.state.webroot_of(identifier) {
                None => problems.add(identifier, None, NO_WEBROOT.into()),
                Some(webroot) => {
                    if let Err(error) = files::check(webroot) {
                        problems.add(identifier, Some(webroot), error.reason());
                    }
                }
            }
        }
        problems.result()
    }

    fn build(map: Vec<(Identifier, PathBuf)>, default: Option<PathBuf>, files: TokenFiles) -> Self {
        Self { state: Arc::new(State { map, default, files, presented: Mutex::default() }) }
    }
}

impl Solver for WebrootSolver {
    fn kinds(&self, _identifier: &Identifier, wildcard: bool) -> Vec<ChallengeKind> {
        if wildcard { Vec::new() } else { vec![ChallengeKind::Http01] }
    }

    fn present<'a>(&'a self, all: &'a [Challenge], _order: &'a IdentifierSet) -> BoxFuture<'a, Result<(), SolveError>> {
        let (state, all) = (Arc::clone(&self.state), all.to_vec());
        Box::pin(async move {
            check_http01(&all)?;
            blocking(move || state.present(&all)).await
        })
    }

    fn withdraw<'a>(&'a self, all: &'a [Challenge]) -> BoxFuture<'a, Result<(), SolveError>> {
        let (state, all) = (Arc::clone(&self.state), all.to_vec());
        Box::pin(async move { blocking(move || state.withdraw(&all)).await })
    }
}

const NO_WEBROOT: &str =
    "no webroot is known for it: name one with --webroot -w DIR -d NAME, or in [[webroot_map]] of the renewal conf";

impl State {
    fn webroot_of(&self, identifier: &Identifier) -> Option<&Path> {
        let mapped = self.map.iter().find(|(known, _)| known == identifier).map(|(_, path)| path);
        mapped.or(self.default.as_ref()).map(PathBuf::as_path)
    }

    /// Writes all files, or none: every name is tried, so that every failing one is reported.
    fn present(&self, all: &[Challenge]) -> Result<(), SolveError> {
        let mut problems = Problems::default();
        let mut written = Vec::new();
        for challenge in all {
            let identifier = &challenge.identifier;
            let Some(webroot) = self.webroot_of(identifier) else {
                problems.add(identifier, None, NO_WEBROOT.into());
                continue;
            };
            match self.files.present(webroot, &challenge.token, &challenge.key_authorization) {
                Ok(presented) => written.push(presented),
                Err(error) => problems.add(identifier, Some(webroot), error.reason()),
            }
        }
        let result = problems.result();
        if result.is_ok() {
            self.presented.lock().unwrap_or_else(PoisonError::into_inner).append(&mut written);
        }
        for presented in written.into_iter().rev() {
            let _ = self.files.withdraw(presented);
        }
        result
    }

    fn withdraw(&self, all: &[Challenge]) -> Result<(), SolveError> {
        let mut problems = Problems::default();
        for challenge in all.iter().rev() {
            let identifier = &challenge.identifier;
            let Some(webroot) = self.webroot_of(identifier) else { continue };
            let ours = {
                let mut presented = self.presented.lock().unwrap_or_else(PoisonError::into_inner);
                let index = presented.iter().position(|known| known.is(webroot, &challenge.token));
                index.map(|index| presented.remove(index))
            };
            let result = match ours {
                Some(presented) => self.files.withdraw(presented),
                // A leftover of a run that was killed: it can be told by its content.
                None => self.files.remove_leftover(webroot, &challenge.token, &challenge.key_authorization),
            };
            if let Err(error) = result {
                problems.add(identifier, Some(webroot), error.reason());
            }
        }
        problems.result()
    }
}

impl Drop for State {
    fn drop(&mut self) {
        for presented in self.presented.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..).rev() {
            let _ = self.files.withdraw(presented);
        }
    }
}

async fn blocking(work: impl FnOnce() -> Result<(), SolveError> + Send + 'static) -> Result<(), SolveError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(SolveError::Setup(format!("the work on the webroot was cut short: {error}"))),
    }
}

/// Problems, with the names that share one together.
#[derive(Default)]
struct Problems(BTreeMap<(Option<PathBuf>, String), Vec<Identifier>>);

impl Problems {
    fn add(&mut self, identifier: &Identifier, webroot: Option<&Path>, reason: String) {
        let names = self.0.entry((webroot.map(Path::to_path_buf), escape(&reason).into_owned())).or_default();
        if !names.contains(identifier) {
            names.push(identifier.clone());
        }
    }

    fn result(self) -> Result<(), SolveError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let problem = |((webroot, reason), identifiers)| WebrootProblem { identifiers, webroot, reason };
        Err(SolveError::Webroot(self.0.into_iter().map(problem).collect()))
    }
}

impl fmt::Display for WebrootProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&name_list(&self.identifiers))?;
        if let Some(webroot) = &self.webroot {
            write!(f, " (webroot {})", escape(&webroot.to_string_lossy()))?;
        }
        write!(f, ": {}", self.reason)
    }
}
