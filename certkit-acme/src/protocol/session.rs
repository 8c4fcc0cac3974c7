//! Signed requests: nonces, retries for badNonce, and the answer whatever its status.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use certkit_core::AcmeUrl;
use serde_json::Value;

use super::jws::{self, KeyName};
use super::wire::{came_instead, may_lead, not_acme, success};
use super::{Account, AccountSigner, AcmeError, Authority};
use crate::blocking::blocking;
use crate::transport::HttpAnswer;

/// How often one request is sent anew for badNonce. Boulder behind several front ends refuses a few in a row; Pebble
/// can be told to refuse nine of ten, and an order of fifteen requests must survive that with near certainty. All tries
/// together may also take no longer than one exchange: a server that refuses slowly must not hold a run up.
const MOST_NONCE_TRIES: usize = 100;
/// So many tries come without a pause; a server that refuses more is not to be hammered.
const QUICK_NONCE_TRIES: usize = 8;
const PAUSE: Duration = Duration::from_millis(50);
/// More unused nonces than requests under way at once.
const MOST_NONCES: usize = 32;

/// Nonces that the CA gave and that are not used yet, the freshest last.
#[derive(Debug, Default)]
pub(crate) struct NoncePool(Mutex<Vec<String>>);

impl NoncePool {
    fn put(&self, nonce: String) {
        let mut nonces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if nonces.len() >= MOST_NONCES {
            nonces.remove(0);
        }
        nonces.push(nonce);
    }

    fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

/// Whose key signs a request, and how the CA is told of it.
#[derive(Clone, Copy)]
pub(super) enum SignedBy<'a> {
    /// By the key itself: for new accounts and for revoking with a certificate's key.
    Key(&'a dyn AccountSigner),
    /// By an account's, named by its URL.
    Account(&'a Account),
}

impl SignedBy<'_> {
    async fn sign(self, nonce: &str, url: &AcmeUrl, payload: &str) -> Result<Vec<u8>, AcmeError> {
        match self {
            Self::Key(key) => jws::sign(key, KeyName::Jwk, nonce, url, payload),
            // Many orders may be under way, and an RSA signature takes half a millisecond: the others need not wait for it.
            Self::Account(account) => {
                let (account, url) = (account.clone(), url.clone());
                let (nonce, payload) = (nonce.to_owned(), payload.to_owned());
                blocking(move || jws::sign(account.key(), KeyName::Kid(account.url()), &nonce, &url, &payload)).await
            }
        }
    }
}

impl Authority {
    /// Signs and sends; `payload` is in base64url, empty for POST-as-GET. The answer comes whatever its status, but for
    /// badNonce, which is tried again with the nonce of the refusal (RFC 8555 section 6.5).
    pub(super) async fn post(
        &self,
        by: SignedBy<'_>,
        url: &AcmeUrl,
        payload: &str,
        accept: Option<&'static str>,
    ) -> Result<HttpAnswer, AcmeError> {
        // Whatever came between the directory and this URL (a stored account or order, for example).
        may_lead(&self.directory.url, url)?;
        let begun = Instant::now();
        let mut nonce = self.nonces.take();
        let mut tries = 0;
        loop {
            let fresh = match nonce.take() {
                Some(nonce) => nonce,
                None => self.new_nonce().await?,
            };
            let request = by.sign(&fresh, url, payload).await?;
            let mut answer = self.transport.post_jws(url, request, accept).await?;
            tries += 1;
            let next = answer.replay_nonce.take();
            let another = tries < MOST_NONCE_TRIES && begun.elapsed() < self.transport.timeout();
            if another && is_bad_nonce(&answer) {
                nonce = next;
                if tries >= QUICK_NONCE_TRIES {
                    tokio::time::sleep(PAUSE).await;
                }
                continue;
            }
            if let Some(next) = next {
                self.nonces.put(next);
            }
            return Ok(answer);
        }
    }

    async fn new_nonce(&self) -> Result<String, AcmeError> {
        let url = &self.directory.new_nonce;
        let mut answer = success(url, self.transport.head(url).await?, "a nonce")?;
        answer
            .replay_nonce
            .take()
            .ok_or_else(|| not_acme(url, &answer, "no nonce (Replay-Nonce is missing or malformed)"))
    }
}

fn is_bad_nonce(answer: &HttpAnswer) -> bool {
    (400..500).contains(&answer.status)
        && serde_json::from_slice::<Value>(&answer.body)
            .is_ok_and(|problem| problem["type"] == "urn:ietf:params:acme:error:badNonce")
}

/// Signed requests of one account.
impl Account {
    /// POST-as-GET.
    pub(super) async fn fetch(&self, url: &AcmeUrl, expected: &str) -> Result<HttpAnswer, AcmeError> {
        success(url, self.send(url, "", None).await?, expected)
    }

    /// POST of a JSON payload.
    pub(super) async fn tell(&self, url: &AcmeUrl, payload: &Value, expected: &str) -> Result<HttpAnswer, AcmeError> {
        success(url, self.send(url, &jws::encode(payload), None).await?, expected)
    }

    /// Signs with the account's key and name and sends.
    pub(super) async fn send(
        &self,
        url: &AcmeUrl,
        payload: &str,
        accept: Option<&'static str>,
    ) -> Result<HttpAnswer, AcmeError> {
        self.authority().post(SignedBy::Account(self), url, payload, accept).await
    }
}

/// An answer of another status than the one that is due.
pub(super) fn due(url: &AcmeUrl, answer: HttpAnswer, status: u16, expected: &str) -> Result<HttpAnswer, AcmeError> {
    let answer = success(url, answer, expected)?;
    if answer.status == status { Ok(answer) } else { Err(not_acme(url, &answer, came_instead(&answer, expected))) }
}
