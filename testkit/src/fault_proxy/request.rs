//! What was asked: the kind of a request by Pebble's paths, and what its JWS says.

use data_encoding::BASE64URL_NOPAD;
use serde_json::Value;

use super::directory::RENEWAL_INFO_PATH;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RequestKind {
    /// GET directory.
    Directory,
    /// HEAD or GET newNonce.
    NewNonce,
    /// POST newAccount.
    NewAccount,
    /// POST an account's URL: look, change, deactivate.
    Account,
    /// POST keyChange.
    KeyChange,
    /// POST newOrder.
    NewOrder,
    /// POST-as-GET of an order.
    Order,
    /// POST an authorization: look or deactivate.
    Authorization,
    /// POST a challenge.
    Challenge,
    /// POST finalize.
    Finalize,
    /// POST-as-GET of a certificate or an alternate chain.
    Certificate,
    /// POST revokeCert.
    RevokeCert,
    /// GET renewalInfo.
    RenewalInfo,
    /// Everything else.
    Other,
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct LoggedRequest {
    /// The method.
    pub method: String,
    /// What it is for.
    pub kind: RequestKind,
    /// The path.
    pub path: String,
    /// The payload of its JWS, decoded; null for POST-as-GET, none where there is no readable JWS.
    pub payload: Option<Value>,
    /// The protected header of its JWS, decoded.
    pub protected: Option<Value>,
    /// The number of its TCP connection, from 1 on.
    pub connection: usize,
}

/// A newOrder request.
#[derive(Clone, Debug)]
pub struct NewOrderRequest {
    /// The values of `identifiers`, in their order.
    pub names: Vec<String>,
    /// `replaces` (RFC 9773 section 5).
    pub replaces: Option<String>,
    /// `profile` (draft-ietf-acme-profiles).
    pub profile: Option<String>,
    /// The whole payload.
    pub payload: Value,
}

impl RequestKind {
    /// By the paths that Pebble's wfe/wfe.go has had in all its versions.
    pub(crate) fn of(path: &str) -> Self {
        const PATHS: [(&str, RequestKind); 13] = [
            ("/dir", RequestKind::Directory),
            ("/nonce-plz", RequestKind::NewNonce),
            ("/sign-me-up", RequestKind::NewAccount),
            ("/my-account/", RequestKind::Account),
            ("/rollover-account-key", RequestKind::KeyChange),
            ("/order-plz", RequestKind::NewOrder),
            ("/my-order/", RequestKind::Order),
            ("/authZ/", RequestKind::Authorization),
            ("/chalZ/", RequestKind::Challenge),
            ("/finalize-order/", RequestKind::Finalize),
            ("/certZ/", RequestKind::Certificate),
            ("/revoke-cert", RequestKind::RevokeCert),
            (RENEWAL_INFO_PATH, RequestKind::RenewalInfo),
        ];
        PATHS.iter().find(|(prefix, _)| path.starts_with(prefix)).map_or(Self::Other, |(_, kind)| *kind)
    }
}

impl LoggedRequest {
    pub(super) fn read(method: &str, path: &str, body: &[u8], connection: usize) -> Self {
        let jws: Value = serde_json::from_slice(body).unwrap_or_default();
        let part = |name: &str| {
            let octets = BASE64URL_NOPAD.decode(jws[name].as_str()?.as_bytes()).ok()?;
            if octets.is_empty() { Some(Value::Null) } else { serde_json::from_slice(&octets).ok() }
        };
        let (payload, protected) = (part("payload"), part("protected"));
        let (method, kind, path) = (method.to_owned(), RequestKind::of(path), path.to_owned());
        Self { method, kind, path, payload, protected, connection }
    }
}

impl NewOrderRequest {
    pub(super) fn read(request: &LoggedRequest) -> Option<Self> {
        if request.kind != RequestKind::NewOrder {
            return None;
        }
        let payload = request.payload.clone()?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let identifiers = payload["identifiers"].as_array().map(Vec::as_slice).unwrap_or_default();
        let names = identifiers.iter().filter_map(|identifier| text(&identifier["value"])).collect();
        Some(Self { names, replaces: text(&payload["replaces"]), profile: text(&payload["profile"]), payload })
    }
}
