//! What a good CA answers: accounts, orders, authorizations, certificates (RFC 8555 section 7).

use chrono::TimeDelta;
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use super::{Reply, Shared};
use crate::pki::{Leaf, RequestedKey};
use crate::{RequestKind, now};

/// The orders that were placed.
#[derive(Default)]
pub(super) struct Orders {
    nonces: usize,
    placed: Vec<Placed>,
}

struct Placed {
    names: Vec<String>,
    /// Which names the client said can be validated.
    answered: Vec<bool>,
    /// The key of the request, once it is finalized.
    key: Option<RequestedKey>,
}

impl Orders {
    /// The good answer, and what the certificate in it is for.
    pub(super) fn answer(
        &mut self,
        ca: &Shared,
        kind: RequestKind,
        path: &str,
        payload: &Value,
    ) -> (Reply, Option<Leaf>) {
        let mut leaf = None;
        let numbers: Vec<usize> = path.split('/').filter_map(|part| part.parse().ok()).collect();
        let (number, index) = (numbers.first().copied().unwrap_or(0), numbers.get(1).copied().unwrap_or(0));
        let reply = match (kind, self.placed.get_mut(number)) {
            (RequestKind::Directory, _) => directory(ca),
            (RequestKind::NewNonce, _) => Reply::json(200, &json!({})),
            (RequestKind::NewAccount, _) => {
                Reply::json(201, &json!({ "status": "valid" })).with("Location", &format!("{}/my-account/1", ca.base))
            }
            (RequestKind::Account, _) => Reply::json(200, &json!({ "status": "valid" })),
            (RequestKind::NewOrder, _) => self.place(ca, payload),
            (RequestKind::Order, Some(order)) => Reply::json(200, &order.document(ca, number)),
            (RequestKind::Authorization, Some(order)) => Reply::json(200, &order.authorization(ca, number, index)),
            (RequestKind::Challenge, Some(order)) => {
                order.answered[index] = true;
                Reply::json(200, &order.challenge(ca, number, index))
            }
            // The certificate takes a moment, so that the order is looked at.
            (RequestKind::Finalize, Some(order)) => {
                let csr = BASE64URL_NOPAD.decode(payload["csr"].as_str().unwrap_or_default().as_bytes()).unwrap();
                order.key = Some(RequestedKey::of(&csr));
                let mut document = order.document(ca, number);
                document["status"] = "processing".into();
                document.as_object_mut().unwrap().remove("certificate");
                Reply::json(200, &document)
            }
            (RequestKind::Certificate, Some(Placed { names, key: Some(key), .. })) => {
                let day = TimeDelta::days(1);
                let asked = Leaf::new(names.clone(), now() - day / 24, now() + day * 90, key.clone());
                let mut reply = Reply::json(200, &json!({}));
                reply.without("Content-Type");
                reply.header("Content-Type", "application/pem-certificate-chain");
                reply.body = format!("{}{}", ca.pki.sign(&asked), ca.pki.intermediate_pem()).into_bytes();
                leaf = Some(asked);
                reply
            }
            (RequestKind::RenewalInfo, _) => {
                let (start, end) = (now() + TimeDelta::days(20), now() + TimeDelta::days(21));
                let window = json!({ "start": start.to_rfc3339(), "end": end.to_rfc3339() });
                Reply::json(200, &json!({ "suggestedWindow": window })).with("Retry-After", "21600")
            }
            _ => Reply::json(404, &json!({ "type": "urn:ietf:params:acme:error:malformed", "detail": "not here" })),
        };
        self.nonces += 1;
        let date = httpdate::fmt_http_date(std::time::SystemTime::now());
        (reply.with("Replay-Nonce", &format!("nonce-{}", self.nonces)).with("Date", &date), leaf)
    }

    fn place(&mut self, ca: &Shared, payload: &Value) -> Reply {
        let identifiers = payload["identifiers"].as_array().cloned().unwrap_or_default();
        let names: Vec<_> = identifiers.iter().map(|one| one["value"].as_str().unwrap().to_owned()).collect();
        self.placed.push(Placed { answered: vec![false; names.len()], names, key: None });
        let number = self.placed.len() - 1;
        let document = self.placed[number].document(ca, number);
        Reply::json(201, &document).with("Location", &format!("{}/my-order/{number}", ca.base))
    }
}

impl Placed {
    fn document(&self, ca: &Shared, number: usize) -> Value {
        let base = &ca.base;
        let identifiers: Vec<_> = self.names.iter().map(|name| json!({ "type": "dns", "value": name })).collect();
        let authorizations: Vec<_> =
            (0..self.names.len()).map(|index| format!("{base}/authZ/{number}/{index}")).collect();
        let mut document = json!({
            "status": if self.answered.iter().all(|answered| *answered) { "ready" } else { "pending" },
            "identifiers": identifiers, "authorizations": authorizations,
            "finalize": format!("{base}/finalize-order/{number}"),
        });
        if self.key.is_some() {
            document["status"] = "valid".into();
            document["certificate"] = format!("{base}/certZ/{number}").into();
        }
        document
    }

    fn authorization(&self, ca: &Shared, number: usize, index: usize) -> Value {
        json!({
            "status": self.status(index), "identifier": { "type": "dns", "value": self.names[index] },
            "challenges": [self.challenge(ca, number, index)],
        })
    }

    fn challenge(&self, ca: &Shared, number: usize, index: usize) -> Value {
        json!({
            "type": "http-01", "status": self.status(index), "url": format!("{}/chalZ/{number}/{index}", ca.base),
            "token": format!("token-{number}-{index}"),
        })
    }

    fn status(&self, index: usize) -> &'static str {
        if self.answered[index] { "valid" } else { "pending" }
    }
}

fn directory(ca: &Shared) -> Reply {
    let url = |path: &str| format!("{}/{path}", ca.base);
    Reply::json(
        200,
        &json!({
            "newNonce": url("nonce-plz"), "newAccount": url("sign-me-up"), "newOrder": url("order-plz"),
            "revokeCert": url("revoke-cert"), "keyChange": url("rollover-account-key"),
        }),
    )
}
