//! Renewal information of many certificates at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use certkit_core::AriCertificateId;
use futures_util::future::join_all;

use super::{AcmeError, Authority, RenewalInfoAnswer, RenewalInfoError};
use crate::Stop;
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
        let asking = Asking { authority: self, ids, stop, next: AtomicUsize::new(0), state: Mutex::default() };
        asking.up_to(SCOUTS, SCOUTS).await;
        asking.up_to(ids.len(), AT_ONCE).await;
        let state = asking.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut answers = state.answers;
        // Each one has its place.
        answers.sort_by_key(|(at, _)| *at);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }
}

type Answer = Result<RenewalInfoAnswer, RenewalInfoError>;

struct Asking<'a> {
    authority: &'a Authority,
    ids: &'a [AriCertificateId],
    stop: &'a Stop,
    /// The first that nobody asks for yet.
    next: AtomicUsize,
    state: Mutex<State>,
}

/// What is known so far.
#[derive(Default)]
struct State {
    /// With their places.
    answers: Vec<(usize, Answer)>,
    /// The failures since the last answer, whatever that said.
    failures: usize,
    /// The error of all the others.
    over: Option<RenewalInfoError>,
}

impl Asking<'_> {
    /// Asks for all that come before `end`, so many at once.
    async fn up_to(&self, end: usize, at_once: usize) {
        join_all((0..at_once).map(|_| self.one_by_one(end.min(self.ids.len())))).await;
    }

    async fn one_by_one(&self, end: usize) {
        let next = || self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |at| (at < end).then_some(at + 1));
        while let Ok(at) = next() {
            let Some(id) = self.ids.get(at) else { break };
            let over = self.state().over.clone();
            let answer = match over {
                Some(error) => Err(error),
                None => self.ask(id).await,
            };
            self.state().note(at, answer);
        }
    }

    async fn ask(&self, id: &AriCertificateId) -> Answer {
        tokio::select! {
            biased;
            _ = self.stop.stopped() => Err(RenewalInfoError::Stopped),
            answer = self.authority.renewal_info(id) => answer,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note(&mut self, at: usize, answer: Answer) {
        match &answer {
            Err(RenewalInfoError::Stopped) => {}
            Err(error) if is_unreachable(error) => self.failures += 1,
            _ => self.failures = 0,
        }
        if let Err(error) = &answer
            && (self.failures >= SCOUTS || is_asked_too_much(error))
        {
            self.over.get_or_insert_with(|| error.clone());
        }
        self.answers.push((at, answer));
    }
}

/// Whether an error may well be that of all other certificates, too.
fn is_unreachable(error: &RenewalInfoError) -> bool {
    let RenewalInfoError::Exchange(error) = error else { return false };
    match error {
        AcmeError::Transport(error) => matches!(
            error,
            TransportError::Network { .. }
                | TransportError::Timeout { .. }
                | TransportError::Tls { .. }
                | TransportError::WrongTime { .. }
        ),
        // Maintenance: what stands before the CA answers for it.
        error => error.http_status() == Some(503) && error.retry_after().is_some(),
    }
}

fn is_asked_too_much(error: &RenewalInfoError) -> bool {
    matches!(error, RenewalInfoError::Exchange(error) if error.http_status() == Some(429))
}
