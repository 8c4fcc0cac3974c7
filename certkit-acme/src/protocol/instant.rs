//! instant-acme, behind one door: the only file that names it.
//!
//! instant-acme 0.8 signs with P-256 keys alone, retries badNonce twice, and forgets the HTTP status, Retry-After and
//! Link of what it gets. So it is given a throw-away key and an [`HttpClient`] of ours: every request that it makes is
//! signed anew with the account's own key and sent through our transport, which knows all of that, and the answer is
//! kept and read here. What it asks for that we know already (the directory, a nonce, an order that is finalized) is
//! answered without the network.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use certkit_core::{AcmeUrl, Certificate, Identifier};
use data_encoding::BASE64URL_NOPAD;
use http::header::LOCATION;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use instant_acme::{BodyWrapper, BytesResponse, CertificateIdentifier, HttpClient};
use rustls_pki_types::PrivatePkcs8KeyDer;
use serde_json::{Value, json};

use super::wire::{self, success};
use super::{Account, AcmeError, Directory, NewOrder, Order, OrderStatus, RevocationReason};
use crate::transport::HttpAnswer;

type Outcome = Option<Result<HttpAnswer, AcmeError>>;

/// The key that instant-acme signs with. Nothing that it signs is ever sent, so that one is enough for an account.
#[derive(Default)]
pub(super) struct ThrowAwayKey(OnceLock<PrivatePkcs8KeyDer<'static>>);

impl ThrowAwayKey {
    fn get_or_generate(&self) -> Result<PrivatePkcs8KeyDer<'static>, instant_acme::Error> {
        if let Some(key) = self.0.get() {
            return Ok(key.clone_key());
        }
        let (_, key) = instant_acme::Key::generate_pkcs8()?;
        Ok(self.0.get_or_init(|| key).clone_key())
    }
}

/// newOrder.
pub(super) async fn new_order(account: &Account, order: &NewOrder, replaces: Option<&str>) -> Result<Order, AcmeError> {
    let url = &account.authority().directory().new_order;
    let identifiers: Vec<_> = order
        .identifiers
        .iter()
        .map(|identifier| match identifier {
            Identifier::Dns(name) => instant_acme::Identifier::Dns(name.as_str().to_owned()),
            Identifier::Ip(address) => instant_acme::Identifier::Ip(*address),
        })
        .collect();
    let mut request = instant_acme::NewOrder::new(&identifiers);
    if let Some(profile) = &order.profile {
        request = request.profile(profile);
    }
    // RFC 9773 section 5: `replaces` only where the directory offers renewalInfo.
    if let Some((key, serial)) = replaces.and_then(|id| id.split_once('.'))
        && account.authority().directory().renewal_info.is_some()
    {
        request =
            request.replaces(CertificateIdentifier { authority_key_identifier: key.into(), serial: serial.into() });
    }
    let answer = record(account, async |client| client.new_order(&request).await.map(drop)).await?;
    let at = wire::location(url, &answer, "an order")?;
    wire::order(url, at, &answer)
}

/// Reads an order.
pub(super) async fn order(account: &Account, url: &AcmeUrl) -> Result<Order, AcmeError> {
    let answer = record(account, async |client| client.order(url.to_string()).await.map(drop)).await?;
    wire::order(url, url.clone(), &answer)
}

/// Sends the CSR. An order that is not known to be ready is read first. The one that comes back may therefore be in any
/// state: one that a cut connection hid from us has been finalized already and is not finalized twice.
pub(super) async fn finalize(account: &Account, order: &Order, csr_der: &[u8]) -> Result<Order, AcmeError> {
    let known = match order.status {
        OrderStatus::Ready => order.clone(),
        _ => self::order(account, &order.url).await?,
    };
    if known.status != OrderStatus::Ready {
        return Ok(known);
    }
    let url = &known.finalize;
    let sent = record_with(Adapter::knowing(account, known.clone()), async |client| {
        client.order(known.url.to_string()).await?.finalize_csr(csr_der).await
    });
    match sent.await {
        Ok(answer) => wire::order(url, known.url.clone(), &answer),
        // RFC 8555 section 7.4: it is in another state than we think, and says in which.
        Err(error) if error.problem_kind() == Some("orderNotReady") => {
            let now = self::order(account, &known.url).await?;
            if now.status == OrderStatus::Ready { Err(error) } else { Ok(now) }
        }
        Err(error) => Err(error),
    }
}

/// Replaces the contacts; gives the account object.
pub(super) async fn update_contacts(account: &Account, contacts: &[String]) -> Result<HttpAnswer, AcmeError> {
    let contacts: Vec<_> = contacts.iter().map(String::as_str).collect();
    record(account, async |client| client.update_contacts(&contacts).await).await
}

/// revokeCert with the account's key.
pub(super) async fn revoke(
    account: &Account,
    certificate: &Certificate,
    reason: Option<RevocationReason>,
) -> Result<(), AcmeError> {
    let certificate = rustls_pki_types::CertificateDer::from(certificate.der());
    let reason = reason.map(|reason| match reason {
        RevocationReason::Unspecified => instant_acme::RevocationReason::Unspecified,
        RevocationReason::KeyCompromise => instant_acme::RevocationReason::KeyCompromise,
        RevocationReason::AffiliationChanged => instant_acme::RevocationReason::AffiliationChanged,
        RevocationReason::Superseded => instant_acme::RevocationReason::Superseded,
        RevocationReason::CessationOfOperation => instant_acme::RevocationReason::CessationOfOperation,
    });
    let request = instant_acme::RevocationRequest { certificate: &certificate, reason };
    record(account, async |client| client.revoke(&request).await).await.map(drop)
}

/// Has instant-acme make one request and gives what was answered to it.
async fn record(
    account: &Account,
    call: impl AsyncFnOnce(instant_acme::Account) -> Result<(), instant_acme::Error>,
) -> Result<HttpAnswer, AcmeError> {
    record_with(Adapter::new(account), call).await
}

async fn record_with(
    adapter: Adapter,
    call: impl AsyncFnOnce(instant_acme::Account) -> Result<(), instant_acme::Error>,
) -> Result<HttpAnswer, AcmeError> {
    let outcome = Arc::clone(&adapter.outcome);
    let result = call(client(adapter).await?).await;
    taken(&outcome, result.err().as_ref())
}

/// What was answered. An answer that instant-acme could not read may still be one that we can; without any answer it is
/// instant-acme's own refusal that counts.
fn taken(outcome: &Mutex<Outcome>, error: Option<&instant_acme::Error>) -> Result<HttpAnswer, AcmeError> {
    outcome.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_else(|| {
        let why = error.map_or_else(|| "nothing was sent".to_owned(), ToString::to_string);
        Err(AcmeError::Input(format!("the request cannot be made: {why}")))
    })
}

async fn client(adapter: Adapter) -> Result<instant_acme::Account, AcmeError> {
    let account = adapter.account.clone();
    let unusable = |error: instant_acme::Error| AcmeError::Key(error.to_string());
    let throw_away = account.throw_away_key().get_or_generate().map_err(unusable)?;
    let directory = account.authority().directory().url.to_string();
    instant_acme::Account::builder_with_http(Box::new(adapter))
        .from_parts(account.url().to_string(), throw_away, directory)
        .await
        .map_err(unusable)
}

/// Sends what instant-acme asks for, signed with the account's key.
#[derive(Clone)]
struct Adapter {
    account: Account,
    /// An order that need not be read, because it was read just now.
    order: Option<Order>,
    outcome: Arc<Mutex<Outcome>>,
}

impl Adapter {
    fn new(account: &Account) -> Self {
        Self { account: account.clone(), order: None, outcome: Arc::default() }
    }

    fn knowing(account: &Account, order: Order) -> Self {
        Self { order: Some(order), ..Self::new(account) }
    }

    async fn answer(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, instant_acme::Error> {
        let (head, body) = request.into_parts();
        if head.method == Method::GET {
            return respond(&directory(self.account.authority().directory()).to_string(), None);
        }
        if head.method == Method::HEAD {
            return respond("", None);
        }
        if let Some(order) =
            self.order.as_ref().filter(|order| AcmeUrl::parse(&head.uri.to_string()).as_ref() == Ok(&order.url))
        {
            return respond(&ready(order).to_string(), None);
        }
        let Ok(body) = body.collect().await;
        let result = self.resend(&head.uri.to_string(), &body.to_bytes()).await;
        let response = match &result {
            Ok(answer) => respond(&String::from_utf8_lossy(&answer.body), answer.location.as_ref()),
            // The error itself is kept; instant-acme only has to stop.
            Err(_) => Err(instant_acme::Error::Str("see the recorded answer")),
        };
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        response
    }

    async fn resend(&self, url: &str, jws: &[u8]) -> Result<HttpAnswer, AcmeError> {
        let refuse = |what: &str| AcmeError::Input(format!("the request cannot be made: {what}"));
        let url = AcmeUrl::parse(url).map_err(|refused| refuse(&refused.to_string()))?;
        let jws: Value = serde_json::from_slice(jws).map_err(|_| refuse("it is not a JWS"))?;
        let payload = jws["payload"].as_str().ok_or_else(|| refuse("it has no payload"))?;
        success(&url, self.account.send(&url, payload, None).await?, "what was asked for")
    }
}

impl HttpClient for Adapter {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        Box::pin(self.clone().answer(request))
    }
}

/// A response as instant-acme wants it. The nonce is never sent: ours takes its place.
fn respond(body: &str, location: Option<&AcmeUrl>) -> Result<BytesResponse, instant_acme::Error> {
    let mut response = Response::builder().header("replay-nonce", BASE64URL_NOPAD.encode(b"unused"));
    if let Some(location) = location {
        response = response.header(LOCATION, location.as_str());
    }
    Ok(BytesResponse::from(response.body(Full::new(Bytes::from(body.to_owned())))?))
}

/// The directory as far as instant-acme needs it.
fn directory(directory: &Directory) -> Value {
    json!({
        "newNonce": directory.new_nonce,
        "newAccount": directory.new_account,
        "newOrder": directory.new_order,
        "revokeCert": directory.revoke_cert,
        "keyChange": directory.key_change,
        "renewalInfo": directory.renewal_info,
    })
}

/// An order that is ready, as far as instant-acme needs it.
fn ready(order: &Order) -> Value {
    json!({ "status": "ready", "authorizations": order.authorizations, "finalize": order.finalize })
}
