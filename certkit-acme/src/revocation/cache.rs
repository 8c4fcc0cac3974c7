//! The lists of a run, each fetched once.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use certkit_core::{CrlReach, CrlUrl, KeyMathError, RevocationList, escape};
use tokio::sync::OnceCell;

use super::RevocationError;
use crate::transport::{CrlClient, TransportError, TransportSettings};

/// So many bytes of lists are kept; beyond that all are given up and fetched again where they are needed. The parts into
/// which Let's Encrypt cuts its lists are far below a megabyte each.
const MOST_BYTES: usize = 128 * 1024 * 1024;

/// A list, and by whose keys it was verified.
pub(super) struct Fetched {
    pub(super) list: RevocationList,
    /// By SHA-256 of the SubjectPublicKeyInfo.
    verified: Mutex<HashMap<[u8; 32], Result<(), KeyMathError>>>,
}

type Slot = Arc<OnceCell<Result<Arc<Fetched>, RevocationError>>>;

/// The lists by URL, failures included: what was not had once is not asked for again in the same run.
pub(super) struct Cache {
    client: CrlClient,
    lists: Mutex<HashMap<CrlUrl, Slot>>,
    /// Servers that cannot be reached, and why: a CA's lists are many, and each would cost a timeout.
    unreachable: Mutex<HashMap<String, String>>,
}

impl Fetched {
    pub(super) fn verified(&self, key: &[u8; 32]) -> Option<Result<(), KeyMathError>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    pub(super) fn remember(&self, key: [u8; 32], result: Result<(), KeyMathError>) {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner).insert(key, result);
    }
}

impl Cache {
    pub(super) fn new(settings: &TransportSettings, reach: CrlReach) -> Result<Self, TransportError> {
        let client = CrlClient::new(settings, reach)?;
        Ok(Self { client, lists: Mutex::default(), unreachable: Mutex::default() })
    }

    pub(super) async fn get(&self, url: &CrlUrl) -> Result<Arc<Fetched>, RevocationError> {
        self.slot(url).get_or_init(|| self.fetch(url)).await.clone()
    }

    fn slot(&self, url: &CrlUrl) -> Slot {
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        let size = |slot: &Slot| match slot.get() {
            Some(Ok(fetched)) => fetched.list.size(),
            _ => 0,
        };
        if !lists.contains_key(url) && lists.values().map(size).sum::<usize>() > MOST_BYTES {
            lists.retain(|_, slot| size(slot) == 0);
        }
        Arc::clone(lists.entry(url.clone()).or_default())
    }

    async fn fetch(&self, url: &CrlUrl) -> Result<Arc<Fetched>, RevocationError> {
        let not_fetched = |problem| RevocationError::NotFetched { url: url.clone(), problem };
        let known = self.unreachable.lock().unwrap_or_else(PoisonError::into_inner).get(url.origin()).cloned();
        if let Some(problem) = known {
            return Err(not_fetched(problem));
        }
        let body = match self.client.get(url).await {
            Ok(body) => body,
            Err(error) => {
                let problem = error.to_string();
                if error.is_of_the_server() {
                    let mut unreachable = self.unreachable.lock().unwrap_or_else(PoisonError::into_inner);
                    unreachable.insert(url.origin().to_owned(), problem.clone());
                }
                return Err(not_fetched(problem));
            }
        };
        let read = tokio::task::spawn_blocking(move || match RevocationList::from_der(&body) {
            Ok(list) => Ok(list),
            Err(source) => Err((came_instead(&body), source)),
        });
        match read.await.map_err(|_| RevocationError::Interrupted)? {
            Ok(list) => Ok(Arc::new(Fetched { list, verified: Mutex::default() })),
            Err((what, source)) => Err(RevocationError::NotAList { url: url.clone(), what, source }),
        }
    }
}

/// What a body is, for people who asked for a list.
fn came_instead(body: &[u8]) -> String {
    let start = String::from_utf8_lossy(body.get(..64).unwrap_or(body));
    let first_line = start.trim_start().lines().next().unwrap_or_default();
    let lower = first_line.to_ascii_lowercase();
    if lower.starts_with("<!doctype html") || lower.starts_with("<html") {
        return "an HTML page".to_owned();
    }
    if first_line.starts_with("-----BEGIN ") {
        return format!("PEM (`{}`) instead of DER", escape(first_line));
    }
    format!("{} bytes", body.len())
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner).len();
        f.debug_struct("Cache").field("lists", &lists).finish_non_exhaustive()
    }
}
