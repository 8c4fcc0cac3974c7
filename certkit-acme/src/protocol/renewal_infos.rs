//! Renewal information of many certificates at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use certkit_core::AriCertificateId;
use futures_util::{StreamExt, stream};

use super::{AcmeError, Authority, RenewalInfoAnswer, RenewalInfoError};
use crate::{BoxFuture, Stop};
use crate::transport::TransportError;

/// So many are asked for at once. Let's Encrypt allows 1,000 a second and bursts of 100 from one address.
const AT_ONCE: usize = 32;
/// So many go ahead, and after so many failures in a row the CA counts as unreachable. One alone would not do: a
/// certificate on which the CA hangs would keep all others from being asked for, run after run.
const SCOUTS: usize = 3;

impl Authority {
    /// Asks for the renewal information of many certificates. The answers have the order of `ids`.
    ///
    /// When the CA cannot be reached or says that it is asked too much, the rest is not asked for and gets the same
    /// error at once: an unreachable CA costs one timeout, however many certificates there are. When the run is asked to
    /// stop, what is not answered yet is [`RenewalInfoError::Stopped`].
    ///
    /// ```
    /// # use certkit_acme::{Stop, protocol::Authority};
    /// # async fn ask(authority: &Authority, certificates: &[certkit_core::Certificate]) {
    /// let ids: Vec<_> = certificates.iter().filter_map(|certificate| certificate.ari_id()).collect();
    /// for (id, answer) in ids.iter().zip(authority.renewal_infos(&ids, &Stop::new()).await) {
    ///     match answer {
    ///         Ok(answer) => println!("{id}: from {} on", answer.window_start),
    ///         Err(error) => println!("{id}: {error}"),
    ///     }
    /// }
    /// # }
    /// ```
    pub async fn renewal_infos(
        &self,
        ids: &[AriCertificateId],
        stop: &Stop,
    ) -> Vec<Result<RenewalInfoAnswer, RenewalInfoError>> {
        let asking = Asking::default();
        // Boxed one by one and collected first: otherwise the compiler cannot see that the whole is `Send`.
        let mut all: Vec<BoxFuture<'_, (usize, Result<RenewalInfoAnswer, RenewalInfoError>)>> = Vec::new();
        for (at, id) in ids.iter().enumerate() {
            let asking = &asking;
            all.push(Box::pin(async move { (at, asking.ask(self, id, stop).await) }));
        }
        let others = all.split_off(SCOUTS.min(all.len()));
        let mut answers: Vec<_> = stream::iter(all).buffer_unordered(SCOUTS).collect().await;
        // Not in their order: one that hangs must not hold up those behind it.
        answers.extend(stream::iter(others).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await);
        answers.sort_by_key(|(at, _)| *at);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }
}

/// What is known so far.
#[derive(Default)]
struct Asking {
    /// The failures since the last answer, whatever that said.
    failures: AtomicUsize,
    /// The error of all the others.
    over: Mutex<Option<RenewalInfoError>>,
}

impl Asking {
    async fn ask(
        &self,
        authority: &Authority,
        id: &AriCertificateId,
        stop: &Stop,
    ) -> Result<RenewalInfoAnswer, RenewalInfoError> {
        if let Some(error) = self.over() {
            return Err(error);
        }
        let answer = tokio::select! {
            biased;
            _ = stop.stopped() => return Err(RenewalInfoError::Stopped),
            answer = authority.renewal_info(id) => answer,
        };
        match &answer {
            Err(error) if is_asked_too_much(error) => self.end(error),
            Err(error) if is_unreachable(error) => {
                if self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= SCOUTS {
                    self.end(error);
                }
            }
            _ => self.failures.store(0, Ordering::Relaxed),
        }
        answer
    }

    fn over(&self) -> Option<RenewalInfoError> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn end(&self, error: &RenewalInfoError) {
        self.over.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.clone());
    }
}

/// Whether an error may well be that of all other certificates, too.
fn is_unreachable(error: &RenewalInfoError) -> bool {
    let RenewalInfoError::Exchange(error) = error else { return false };
    match error {
        AcmeError::Transport(error) => matches!(
            error,
            TransportError::Network { .. } | TransportError::Timeout { .. } | TransportError::Tls { .. }
        ),
        // Maintenance: what stands before the CA answers for it.
        error => error.http_status() == Some(503) && error.retry_after().is_some(),
    }
}

fn is_asked_too_much(error: &RenewalInfoError) -> bool {
    matches!(error, RenewalInfoError::Exchange(error) if error.http_status() == Some(429))
}
