//! From an order to a certificate: challenges, finalize, chain. The one path of every certificate.

mod obtain;
pub use obtain::obtain;

mod patience;
pub(crate) use patience::{GRACE, heeding, interrupted, patiently};

mod validate;
pub(crate) use validate::{clean_up_after, deactivate_valid};

use std::time::Duration;

use certkit_core::{CertificateRequest, Failure, FailureClass, IdentifierSet, PrivateKey};
use tokio::time::Instant;

use crate::challenge::Solver;
use crate::keys::certificate_signing_request;
use crate::protocol::{Account, IssuedChain, Order, OrderStatus};
use crate::{BoxFuture, Stop};
use patience::{may_mend, pause};
use validate::validate;

/// How long an order may stay in `processing` within one run. Amazon's CA takes up to ten minutes; an order that is
/// journalled is resumed at the next run when it takes longer.
const LONGEST_PROCESSING: Duration = Duration::from_secs(600);

/// How often the CSR is sent while the CA fails and the order stays ready.
const MOST_FINALIZE_TRIES: u32 = 3;

/// A CA that failed to take the CSR gets pauses as if it had been asked so often: about a second.
const ASKED_BEFORE_ANOTHER_TRY: u32 = 4;

/// How far sending the CSR has come in this run.
enum Finalizing {
    NotYet,
    Tried { times: u32, failure: Option<Failure> },
}

/// Takes an order to its certificate.
pub(crate) struct Issuing<'a> {
    pub(crate) account: &'a Account,
    pub(crate) identifiers: &'a IdentifierSet,
    pub(crate) solver: &'a dyn Solver,
    pub(crate) key: KeyHolder<'a>,
    /// The common name of the topmost issuer that is wanted; the CA's default chain without.
    pub(crate) preferred_chain: Option<&'a str>,
    pub(crate) journal: &'a dyn Journal,
    pub(crate) stop: &'a Stop,
}

/// Who has the key of the certificate: that decides who makes the request that is sent to the CA.
#[derive(Clone, Copy)]
pub(crate) enum KeyHolder<'a> {
    /// We have it.
    Us(&'a PrivateKey),
    /// Somebody else, who has made the request.
    Requester(&'a CertificateRequest),
}

/// Is told of each step before it is taken (and of the certificate once it is there), and can refuse it.
pub(crate) trait Journal: Send + Sync {
    fn note<'a>(&'a self, step: OrderStep<'a>) -> BoxFuture<'a, Result<(), Failure>>;
}

/// The steps of an order that are worth noting.
pub(crate) enum OrderStep<'a> {
    Validating { challenges: u32 },
    Authorized,
    Finalizing { order: &'a Order },
    Issued { issued: &'a IssuedChain },
}

impl Issuing<'_> {
    /// From wherever the order stands to the chain.
    pub(crate) async fn finish(&self, order: Order) -> Result<IssuedChain, Failure> {
        self.advance(order).await.map_err(|failure| failure.concerning(self.identifiers))
    }

    async fn advance(&self, mut order: Order) -> Result<IssuedChain, Failure> {
        let deadline = Instant::now() + LONGEST_PROCESSING;
        let mut asked = 0;
        let mut finalizing = Finalizing::NotYet;
        loop {
            if self.stop.reason().is_some() {
                return Err(interrupted());
            }
            let late = Instant::now() >= deadline;
            match order.status {
                // One that is pending after it was validated is not ours to repeat for ever.
                OrderStatus::Pending if late => {
                    let what = "the order stays pending although every name is authorized";
                    return Err(Failure::new(FailureClass::Protocol, what));
                }
                OrderStatus::Pending => {
                    validate(self, &order).await?;
                    if matches!(finalizing, Finalizing::NotYet) {
                        // With its last authorization it becomes ready (RFC 8555 section 7.1.6); a CA that needs
                        // another moment for it says so when the CSR comes.
                        order.status = OrderStatus::Ready;
                        continue;
                    }
                    pause(self.account, asked, order.retry_after, self.stop).await?;
                }
                OrderStatus::Ready => {
                    let times = match finalizing {
                        Finalizing::NotYet => {
                            self.journal.note(OrderStep::Authorized).await?;
                            1
                        }
                        Finalizing::Tried { times, failure } if times >= MOST_FINALIZE_TRIES => {
                            return Err(failure.unwrap_or_else(|| {
                                let what = "the CA took the request but leaves the order as it was";
                                Failure::new(FailureClass::ServerUnavailable, what)
                            }));
                        }
                        Finalizing::Tried { times, .. } => {
                            pause(self.account, asked, order.retry_after, self.stop).await?;
                            times + 1
                        }
                    };
                    let failure = match self.finalize(&order).await? {
                        // What was answered is the order (RFC 8555 section 7.4).
                        Ok(answered) => {
                            order = answered;
                            None
                        }
                        Err(failure) => Some(failure),
                    };
                    finalizing = Finalizing::Tried { times, failure };
                    if order.status != OrderStatus::Ready {
                        asked = 0;
                        continue;
                    }
                    asked = ASKED_BEFORE_ANOTHER_TRY;
                }
                OrderStatus::Processing if late => {
                    let what = "the CA is still working on the order";
                    return Err(Failure::new(FailureClass::ServerUnavailable, what));
                }
                OrderStatus::Processing => pause(self.account, asked, order.retry_after, self.stop).await?,
                OrderStatus::Valid => return self.download(&order).await,
                OrderStatus::Invalid => return Err(invalid_order(&order)),
            }
            asked += 1;
            order = patiently(self.account, self.stop, || self.account.order(&order.url)).await??;
            if !order.is_for(self.identifiers) {
                let what = "the CA says that the order is for other names than were ordered";
                return Err(Failure::new(FailureClass::OrderLost, what));
            }
        }
    }

    /// Sends the CSR. The journal says so first: after a cut connection the order is read before anything is repeated.
    /// The inner error is one after which the order has to be read.
    async fn finalize(&self, order: &Order) -> Result<Result<Order, Failure>, Failure> {
        let csr = self.request().await?;
        self.journal.note(OrderStep::Finalizing { order }).await?;
        match heeding(self.stop, GRACE, async { Ok(self.account.finalize(order, &csr).await) }).await? {
            Ok(answered) => Ok(Ok(answered)),
            // Nothing is known of the CSR's fate, or the CA has it already: the order tells (RFC 8555 section 7.4).
            Err(error) if may_mend(&error) || error.problem_kind() == Some("orderNotReady") => Ok(Err(error.into())),
            Err(error) => Err(error.into()),
        }
    }

    /// The CSR in DER: ours, or the one that was given, byte for byte.
    async fn request(&self) -> Result<Vec<u8>, Failure> {
        let (key, identifiers) = match self.key {
            KeyHolder::Us(key) => (key.clone(), self.identifiers.clone()),
            KeyHolder::Requester(csr) => return Ok(csr.der().to_vec()),
        };
        // Signing with a large RSA key is slow enough to be done elsewhere.
        tokio::task::spawn_blocking(move || certificate_signing_request(&key, &identifiers))
            .await
            .map_err(|_| interrupted())?
            .map_err(|error| Failure::new(FailureClass::Settings, error.to_string()))
    }

    async fn download(&self, order: &Order) -> Result<IssuedChain, Failure> {
        let Some(url) = &order.certificate else {
            return Err(Failure::new(FailureClass::Protocol, "the order is valid but names no certificate"));
        };
        let with_alternates = self.preferred_chain.is_some();
        let chains = patiently(self.account, self.stop, || self.account.certificate(url, with_alternates)).await??;
        let issued = choose_chain(chains, self.preferred_chain)
            .ok_or_else(|| Failure::new(FailureClass::Protocol, "the CA delivered no certificate"))?;
        self.journal.note(OrderStep::Issued { issued: &issued }).await?;
        Ok(issued)
    }
}

/// certbot's rule: the first chain whose topmost issuer has this common name, else the default chain.
fn choose_chain(chains: Vec<IssuedChain>, preferred: Option<&str>) -> Option<IssuedChain> {
    let topmost = |issued: &IssuedChain| issued.chain.topmost_issuer_common_name();
    let at = preferred.and_then(|name| chains.iter().position(|issued| topmost(issued).as_deref() == Some(name)));
    chains.into_iter().nth(at.unwrap_or(0))
}

fn invalid_order(order: &Order) -> Failure {
    let Some(problem) = order.error.clone() else {
        return Failure::new(FailureClass::OrderLost, "the CA made the order invalid and gave no reason");
    };
    // An authorization that was given up, or that became too old, takes the order with it; a new order cures that.
    let died = matches!(problem.kind.as_str(), "deactivated" | "expired" | "revoked");
    let class = match (died, order.per_identifier.is_empty()) {
        (true, _) => FailureClass::OrderLost,
        (false, true) => FailureClass::Refused,
        (false, false) => FailureClass::ChallengeFailed,
    };
    Failure::new(class, format!("the CA made the order invalid: {}: {}", problem.kind, problem.detail))
        .with_problem(problem)
        .with_identifiers(order.per_identifier.clone())
}

/// For programs that keep nothing.
pub(crate) struct NoJournal;

impl Journal for NoJournal {
    fn note<'a>(&'a self, _step: OrderStep<'a>) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
