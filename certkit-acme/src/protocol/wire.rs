//! ACME's JSON, read tolerantly: unknown members and challenge types pass, optional ones may be missing or null. What is
//! needed and missing, and every URL that may not be called, is an error that says what came.

use certkit_core::{AcmeUrl, Identifier, IdentifierFailure, IdentifierSet, Problem, escape};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    AccountDetails, AcmeError, Authorization, AuthorizationStatus, ChallengeOffer, ChallengeStatus, Order, OrderStatus,
};
use crate::transport::HttpAnswer;

/// More subproblems than any order has names.
const MOST_SUBPROBLEMS: usize = 10_000;
/// So much of what came is repeated in a message, in characters.
const LONGEST_QUOTE: usize = 300;

/// The answer, when its status is a success; otherwise what the CA says is wrong.
pub(super) fn success(url: &AcmeUrl, answer: HttpAnswer, expected: &str) -> Result<HttpAnswer, AcmeError> {
    if (200..300).contains(&answer.status) {
        return Ok(answer);
    }
    Err(refusal(url, &answer, expected))
}

/// The error in an answer whose status is none of success.
pub(super) fn refusal(url: &AcmeUrl, answer: &HttpAnswer, expected: &str) -> AcmeError {
    let document = serde_json::from_slice::<Value>(&answer.body).ok().filter(|document| {
        document.get("type").is_some_and(Value::is_string) || document.get("detail").is_some_and(Value::is_string)
    });
    let Some(document) = document else { return not_acme(url, answer, came_instead(answer, expected)) };
    AcmeError::Refused {
        url: url.clone(),
        status: answer.status,
        problem: problem(&document),
        per_identifier: subproblems(&document),
        retry_after: answer.retry_after,
        instance: document.get("instance").and_then(Value::as_str).map(quote),
    }
}

/// An answer that is not what ACME prescribes.
pub(super) fn not_acme(url: &AcmeUrl, answer: &HttpAnswer, what: impl Into<String>) -> AcmeError {
    AcmeError::NotAcme { url: url.clone(), status: answer.status, what: what.into(), retry_after: answer.retry_after }
}

/// Reads a JSON body; `expected` says what it should be, for example `an order`.
pub(super) fn json<T: DeserializeOwned>(url: &AcmeUrl, answer: &HttpAnswer, expected: &str) -> Result<T, AcmeError> {
    serde_json::from_slice(&answer.body).map_err(|error| {
        let mut what = came_instead(answer, expected);
        if error.is_data() {
            what = format!("{what} ({})", quote(&error.to_string()));
        }
        not_acme(url, answer, what)
    })
}

/// What a body is, for people who asked for something else.
pub(super) fn came_instead(answer: &HttpAnswer, expected: &str) -> String {
    let start = String::from_utf8_lossy(answer.body.get(..256).unwrap_or(&answer.body));
    let start = start.trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
    let is_html = answer.content_type.as_deref().is_some_and(|kind| kind.contains("html"));
    if answer.body.is_empty() {
        return format!("an empty answer instead of {expected}");
    }
    if is_html || start.starts_with("<!doctype html") || start.starts_with("<html") {
        return format!("an HTML page instead of {expected}; does a proxy or captive portal answer in the CA's place?");
    }
    match serde_json::from_slice::<serde::de::IgnoredAny>(&answer.body) {
        Ok(_) => format!("JSON that is not {expected}"),
        Err(error) if error.is_eof() => format!("JSON that breaks off instead of {expected}"),
        Err(_) => format!("{} that are not JSON instead of {expected}", bytes(answer)),
    }
}

/// The same where a chain in PEM was asked for.
pub(super) fn came_instead_of_pem(answer: &HttpAnswer) -> String {
    const CHAIN: &str = "a PEM certificate chain";
    let is_json = answer.body.first() == Some(&b'{');
    match came_instead(answer, CHAIN) {
        // It did not have to be JSON.
        what if !is_json && what.contains("JSON") => format!("{} that are not {CHAIN}", bytes(answer)),
        what => what,
    }
}

fn bytes(answer: &HttpAnswer) -> String {
    let kind = answer.content_type.as_deref().map_or_else(String::new, |kind| format!(" of type {}", quote(kind)));
    format!("{} bytes{kind}", answer.body.len())
}

/// A problem document, escaped and cut. RFC 7807 section 3.1: without a type it is `about:blank`.
pub(super) fn problem(document: &Value) -> Problem {
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    let detail = text("detail").or_else(|| text("title")).unwrap_or("no reason given");
    Problem::new(text("type").unwrap_or("about:blank"), detail)
}

/// The subproblems that name an identifier (RFC 8555 section 6.7.1).
pub(super) fn subproblems(document: &Value) -> Vec<IdentifierFailure> {
    let all = document.get("subproblems").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let of = |sub: &Value| {
        let identifier = sub.get("identifier")?.get("value")?.as_str()?;
        Some(IdentifierFailure::new(Identifier::parse(identifier).ok()?, problem(sub)))
    };
    all.iter().take(MOST_SUBPROBLEMS).filter_map(of).collect()
}

/// Outside text for a message.
pub(super) fn quote(text: &str) -> String {
    escape(text).chars().take(LONGEST_QUOTE).collect()
}

#[derive(Deserialize)]
struct WireIdentifier {
    #[serde(rename = "type")]
    kind: String,
    value: String,
}

impl WireIdentifier {
    fn read(&self) -> Result<Identifier, String> {
        let refuse = || format!("the identifier `{}` of the type `{}`", quote(&self.value), quote(&self.kind));
        match (self.kind.as_str(), Identifier::parse(&self.value)) {
            ("dns", Ok(name @ Identifier::Dns(_))) => Ok(name),
            ("ip", Ok(address @ Identifier::Ip(_))) => Ok(address),
            _ => Err(refuse()),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireOrder {
    status: String,
    identifiers: Vec<WireIdentifier>,
    authorizations: Option<Vec<String>>,
    finalize: String,
    certificate: Option<String>,
    expires: Option<String>,
    error: Option<Value>,
}

/// An order; `url` is its own, which CAs do not repeat when it is finalized.
pub(super) fn order(called: &AcmeUrl, url: AcmeUrl, answer: &HttpAnswer) -> Result<Order, AcmeError> {
    let bad = |what: String| not_acme(called, answer, what);
    let wire: WireOrder = json(called, answer, "an order")?;
    let mut error = wire.error.as_ref().filter(|error| error.is_object()).map(problem);
    let status = match wire.status.as_str() {
        "pending" => OrderStatus::Pending,
        "ready" => OrderStatus::Ready,
        "processing" => OrderStatus::Processing,
        "valid" => OrderStatus::Valid,
        "invalid" => OrderStatus::Invalid,
        // RFC 8555 section 7.1.6 knows these of authorizations alone; Pebble says `deactivated` of an order, too, when
        // one of its authorizations is. Nothing comes of such an order any more.
        dead @ ("deactivated" | "expired" | "revoked") => {
            error.get_or_insert_with(|| Problem::new(dead, &format!("the CA says that the order is {dead}")));
            OrderStatus::Invalid
        }
        other => return Err(bad(format!("an order of the unknown status `{}`", quote(other)))),
    };
    let identifiers = wire.identifiers.iter().map(WireIdentifier::read).collect::<Result<IdentifierSet, _>>();
    let identifiers = identifiers.map_err(|what| bad(format!("an order with {what}")))?;
    let mut authorizations = Vec::new();
    for authorization in wire.authorizations.unwrap_or_default() {
        let authorization = link(called, answer, &authorization)?;
        if !authorizations.contains(&authorization) {
            authorizations.push(authorization);
        }
        // One authorization per identifier is the rule; more than that would be work that nobody asked for.
        if authorizations.len() > identifiers.len() {
            return Err(bad("an order with more authorizations than identifiers".into()));
        }
    }
    let certificate = wire.certificate.map(|url| link(called, answer, &url)).transpose()?;
    if status == OrderStatus::Valid && certificate.is_none() {
        return Err(bad("a valid order without the URL of its certificate".into()));
    }
    Ok(Order {
        url,
        status,
        identifiers,
        authorizations,
        finalize: link(called, answer, &wire.finalize)?,
        certificate,
        expires: wire.expires.as_deref().and_then(instant),
        error,
        per_identifier: wire.error.as_ref().map(subproblems).unwrap_or_default(),
        retry_after: answer.retry_after,
        replaces: false,
    })
}

#[derive(Deserialize)]
struct WireAuthorization {
    identifier: WireIdentifier,
    status: String,
    wildcard: Option<bool>,
    challenges: Option<Vec<WireChallenge>>,
}

#[derive(Deserialize)]
struct WireChallenge {
    #[serde(rename = "type")]
    kind: Option<String>,
    url: Option<String>,
    token: Option<String>,
    status: Option<String>,
    error: Option<Value>,
}

/// An authorization.
pub(super) fn authorization(url: &AcmeUrl, answer: &HttpAnswer) -> Result<Authorization, AcmeError> {
    let bad = |what: String| not_acme(url, answer, what);
    let wire: WireAuthorization = json(url, answer, "an authorization")?;
    let status = match wire.status.as_str() {
        "pending" => AuthorizationStatus::Pending,
        "valid" => AuthorizationStatus::Valid,
        "invalid" => AuthorizationStatus::Invalid,
        "deactivated" => AuthorizationStatus::Deactivated,
        "expired" => AuthorizationStatus::Expired,
        "revoked" => AuthorizationStatus::Revoked,
        other => return Err(bad(format!("an authorization of the unknown status `{}`", quote(other)))),
    };
    // RFC 8555 section 7.1.4 gives the name without `*.`; some CAs repeat it.
    let base = wire.identifier.value.strip_prefix("*.").map(str::to_owned);
    let wildcard = wire.wildcard.unwrap_or(false) || base.is_some();
    let named = WireIdentifier { value: base.unwrap_or(wire.identifier.value), kind: wire.identifier.kind };
    let identifier = named.read().map_err(|what| bad(format!("an authorization for {what}")))?;
    let mut challenges = Vec::new();
    for challenge in wire.challenges.unwrap_or_default() {
        // A challenge that does not say what it is or where cannot be answered; the others still can.
        let (Some(kind), Some(at)) = (challenge.kind, challenge.url) else { continue };
        challenges.push(ChallengeOffer {
            kind: quote(&kind),
            url: link(url, answer, &at)?,
            token: challenge.token,
            status: match challenge.status.as_deref() {
                Some("processing") => ChallengeStatus::Processing,
                Some("valid") => ChallengeStatus::Valid,
                Some("invalid") => ChallengeStatus::Invalid,
                _ => ChallengeStatus::Pending,
            },
            error: challenge.error.as_ref().filter(|error| error.is_object()).map(problem),
        });
    }
    Ok(Authorization { url: url.clone(), identifier, wildcard, status, challenges, retry_after: answer.retry_after })
}

#[derive(Deserialize)]
struct WireAccount {
    status: Option<String>,
    contact: Option<Vec<String>>,
}

/// An account object. Boulder leaves `contact` out.
pub(super) fn account(url: &AcmeUrl, answer: &HttpAnswer) -> Result<AccountDetails, AcmeError> {
    let wire: WireAccount = json(url, answer, "an account")?;
    let contact = |text: &String| quote(text.strip_prefix("mailto:").unwrap_or(text));
    Ok(AccountDetails {
        status: quote(wire.status.as_deref().unwrap_or("unknown")),
        contacts: wire.contact.unwrap_or_default().iter().map(contact).collect(),
    })
}

/// A URL in a body, when it may be called.
pub(super) fn link(called: &AcmeUrl, answer: &HttpAnswer, text: &str) -> Result<AcmeUrl, AcmeError> {
    let url = AcmeUrl::parse(text).map_err(|refused| not_acme(called, answer, refused.to_string()))?;
    may_lead(called, &url)?;
    Ok(url)
}

/// Whether the CA at `from` may send us to `to`.
pub(super) fn may_lead(from: &AcmeUrl, to: &AcmeUrl) -> Result<(), AcmeError> {
    from.may_lead_to(to).map_err(|why| AcmeError::Misled { from: from.clone(), to: to.clone(), why })
}

/// The Location that an answer must have.
pub(super) fn location(called: &AcmeUrl, answer: &HttpAnswer, expected: &str) -> Result<AcmeUrl, AcmeError> {
    match (&answer.location, &answer.refused_location) {
        (Some(location), _) => may_lead(called, location).map(|()| location.clone()),
        (None, Some(refused)) => Err(not_acme(called, answer, refused.to_string())),
        (None, None) => Err(not_acme(called, answer, format!("{expected} without its URL (Location)"))),
    }
}

fn instant(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.with_timezone(&Utc))
}
