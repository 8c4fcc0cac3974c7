//! http-01 by a small responder of our own, shared by a whole run.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod listen;
mod serve;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use certkit_core::{Identifier, IdentifierSet};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use self::listen::{ListenError, listen};
use self::serve::{Closed, TokenTable, serve};
use super::webroot::TokenFiles;
use super::{Challenge, ChallengeKind, SolveError, Solver, Token, check_http01};
use crate::clock::BoxFuture;

/// What the solvers of a run share: the http-01 responders with their tokens, the counts of token files in webroots, and
/// the turn of manual hooks. Clone it: all clones share. When the last clone and the last solver are gone, so are the
/// sockets.
#[derive(Clone, Debug, Default)]
pub struct StandaloneServers {
    ports: Arc<tokio::sync::Mutex<HashMap<u16, Port>>>,
    files: TokenFiles,
    manual_turn: Arc<tokio::sync::Mutex<()>>,
}

/// Answers http-01 challenges on a port of this machine while they are presented. The port is open only as long as a
/// token is known.
#[derive(Debug)]
pub struct StandaloneSolver {
    servers: StandaloneServers,
    address: Option<IpAddr>,
    port: u16,
    /// What this solver has presented and not withdrawn.
    presented: Mutex<Vec<(Arc<TokenTable>, Token)>>,
}

impl StandaloneServers {
    /// No socket is opened before the first challenge.
    pub fn new() -> Self {
        Self::default()
    }

    /// A solver on this port; on all IPv4 and IPv6 addresses without `address`.
    pub fn solver(&self, address: Option<IpAddr>, port: u16) -> StandaloneSolver {
        StandaloneSolver { servers: self.clone(), address, port, presented: Mutex::default() }
    }

    pub(super) fn token_files(&self) -> &TokenFiles {
        &self.files
    }

    pub(super) fn manual_turn(&self) -> &Arc<tokio::sync::Mutex<()>> {
        &self.manual_turn
    }
}

impl Solver for StandaloneSolver {
    fn kinds(&self, _identifier: &Identifier, wildcard: bool) -> Vec<ChallengeKind> {
        if wildcard { Vec::new() } else { vec![ChallengeKind::Http01] }
    }

    fn present<'a>(&'a self, all: &'a [Challenge], _order: &'a IdentifierSet) -> BoxFuture<'a, Result<(), SolveError>> {
        Box::pin(async move {
            check_http01(all)?;
            if all.is_empty() {
                return Ok(());
            }
            let mut ports = self.servers.ports.lock().await;
            let port = ports.entry(self.port).or_default();
            let result = match port.open(self.address, self.port).await {
                Ok(()) => self.add(&port.tokens, all),
                Err(error) => Err(error.explain().await),
            };
            close_idle(&mut ports).await;
            result
        })
    }

    fn withdraw<'a>(&'a self, all: &'a [Challenge]) -> BoxFuture<'a, Result<(), SolveError>> {
        Box::pin(async move {
            let mut ports = self.servers.ports.lock().await;
            self.release(all);
            close_idle(&mut ports).await;
            Ok(())
        })
    }
}

impl StandaloneSolver {
    /// Makes all tokens known, or none.
    fn add(&self, table: &Arc<TokenTable>, all: &[Challenge]) -> Result<(), SolveError> {
        let mut presented = self.presented.lock().unwrap_or_else(PoisonError::into_inner);
        let before = presented.len();
        for challenge in all {
            if let Err(error) = table.add(&challenge.token, &challenge.key_authorization) {
                for (table, token) in presented.drain(before..) {
                    table.remove(&token);
                }
                return Err(error);
            }
            presented.push((Arc::clone(table), challenge.token.clone()));
        }
        Ok(())
    }

    /// Gives back one count for each challenge that this solver has presented; what others hold stays.
    fn release(&self, all: &[Challenge]) {
        let mut presented = self.presented.lock().unwrap_or_else(PoisonError::into_inner);
        for challenge in all {
            if let Some(index) = presented.iter().position(|(_, token)| *token == challenge.token) {
                let (table, token) = presented.swap_remove(index);
                table.remove(&token);
            }
        }
    }
}

impl Drop for StandaloneSolver {
    fn drop(&mut self) {
        for (table, token) in self.presented.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..) {
            table.remove(&token);
        }
        // Whoever holds the lock closes what is idle when it is done.
        if let Ok(mut ports) = self.servers.ports.try_lock() {
            ports.retain(|_, port| !port.tokens.is_empty());
        }
    }
}

/// One port: its sockets share the tokens.
#[derive(Debug, Default)]
struct Port {
    tokens: Arc<TokenTable>,
    listeners: BTreeMap<IpAddr, Listening>,
}

impl Port {
    /// Makes sure that somebody listens on the address, or on every address of both families.
    async fn open(&mut self, address: Option<IpAddr>, port: u16) -> Result<(), ListenError> {
        let Some(address) = address else {
            let v4 = self.open_one(Ipv4Addr::UNSPECIFIED.into(), port).await;
            let v6 = self.open_one(Ipv6Addr::UNSPECIFIED.into(), port).await;
            return match (v4, v6) {
                (Ok(()), Ok(())) => Ok(()),
                (Ok(()), Err(error)) | (Err(error), Ok(())) if error.family_is_missing() => Ok(()),
                (Err(error), Err(other)) if error.family_is_missing() => Err(other),
                (Err(error), _) | (_, Err(error)) => Err(error),
            };
        };
        self.open_one(address, port).await
    }

    async fn open_one(&mut self, address: IpAddr, port: u16) -> Result<(), ListenError> {
        self.listeners.retain(|_, listening| listening.task.as_ref().is_some_and(|task| !task.is_finished()));
        let all_of_family = |known: &IpAddr| known.is_unspecified() && known.is_ipv4() == address.is_ipv4();
        if self.listeners.keys().any(|known| *known == address || all_of_family(known)) {
            return Ok(());
        }
        if address.is_unspecified() {
            // Listening on every address excludes listening on one of them: the wider socket replaces the narrower.
            let family = |known: &IpAddr| known.is_ipv4() == address.is_ipv4();
            while let Some(known) = self.listeners.keys().copied().find(family) {
                if let Some(listening) = self.listeners.remove(&known) {
                    listening.hand_over().await;
                }
            }
        }
        let listener = listen(address, port)?;
        let (hand_over, asked) = oneshot::channel();
        let task = tokio::spawn(serve(listener, Arc::clone(&self.tokens), asked));
        self.listeners.insert(address, Listening { task: Some(task), hand_over: Some(hand_over) });
        Ok(())
    }
}

/// A task that holds a socket and everything accepted from it.
#[derive(Debug)]
struct Listening {
    task: Option<JoinHandle<()>>,
    hand_over: Option<oneshot::Sender<Closed>>,
}

impl Listening {
    /// Ends the socket and its connections. When this returns, the port is free.
    async fn end(mut self) {
        if let Some(task) = &mut self.task {
            task.abort();
            let _ = task.await;
        }
    }

    /// Closes the socket for another one to take its place; connections are served to their end.
    async fn hand_over(mut self) {
        let (closed, is_closed) = oneshot::channel();
        if self.hand_over.take().is_some_and(|hand_over| hand_over.send(closed).is_ok()) {
            self.task = None;
            let _ = is_closed.await;
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Closes the ports without tokens. The caller holds the lock meanwhile: nobody can be in the way of our own old socket.
async fn close_idle(ports: &mut HashMap<u16, Port>) {
    let idle: Vec<Port> = ports.extract_if(|_, port| port.tokens.is_empty()).map(|(_, port)| port).collect();
    for port in idle {
        for listening in port.listeners.into_values() {
            listening.end().await;
        }
    }
}
