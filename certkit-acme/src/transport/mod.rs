//! HTTP as ACME needs it: https only (plain http to loopback), bounded in size and time, with proxies and extra roots.

mod connect;
pub(crate) use connect::connect;

mod crl;
pub(crate) use crl::CrlClient;

mod error;
pub use error::{NetworkFailure, TransportError};
pub(crate) use error::{describe, tls_problem};

mod headers;
pub(crate) use headers::LONGEST_RETRY_AFTER;

mod post;
pub(crate) use post::{PostAnswer, PostClient};

mod route;

mod servers;

mod settings;
pub use settings::{TlsVerification, TransportSettings};

mod stream;

pub(crate) mod trust;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use certkit_core::{AcmeUrl, AcmeUrlError, escape};
use chrono::{DateTime, Utc};
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, LOCATION, USER_AGENT};
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Body;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::client::legacy::{Builder, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use self::route::{Purpose, Route};
use self::servers::Servers;
use crate::clock::{Clock, SystemClock};

/// The largest head of an answer, in bytes, and the most header fields in it (H14 of any hostile server's list).
const LARGEST_HEAD: usize = 64 * 1024;
const MOST_HEADERS: usize = 100;
/// Idle connections are given up before the usual servers do it (nginx after 75 s, some load balancers after 10 s):
/// a request on a connection that dies under it cannot simply be sent again.
const IDLE: Duration = Duration::from_secs(8);
/// HTTP/1.1 needs a connection for each request under way; when a burst is over, so many are kept.
const MOST_IDLE: usize = 32;
/// An HTTP/2 connection is shared: one that died in silence would take every request down until its time is up. Twice
/// this is less than [`TransportSettings::DEFAULT_TIMEOUT`].
const PING_AFTER: Duration = Duration::from_secs(10);
/// So often an HTTP/2 server may refuse to look at a request before that is an error.
const MOST_REFUSALS: u32 = 8;
/// After the first refusal, in milliseconds; twice as long after each one.
const FIRST_PAUSE_MS: u64 = 5;

/// An HTTP client for one run; cheap to clone. Nothing is sent before it is asked for.
#[derive(Clone)]
pub struct Transport {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client<HttpsConnector<Route>, Full<Bytes>>,
    servers: Arc<Servers>,
    roots: Option<Arc<trust::SystemRoots>>,
    clock: Arc<dyn Clock>,
    user_agent: HeaderValue,
    timeout: Duration,
    max_body_bytes: usize,
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HttpAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The body, bounded.
    pub body: Bytes,
    /// Content-Type without parameters, lower case.
    pub content_type: Option<String>,
    /// Location, when it is a URL that may be called.
    pub location: Option<AcmeUrl>,
    /// Retry-After as an instant, clamped to 1 second … 1 day from now.
    pub retry_after: Option<DateTime<Utc>>,
    /// Link targets by relation (lower case); those that may not be called are left out.
    pub links: Vec<(String, AcmeUrl)>,
    /// Date.
    pub date: Option<DateTime<Utc>>,
    /// Replay-Nonce.
    pub(crate) replay_nonce: Option<String>,
    /// Why Location may not be called, when it is there and may not.
    pub(crate) refused_location: Option<AcmeUrlError>,
}

#[cfg(test)]
impl HttpAnswer {
    /// An answer as a server could have given it.
    pub(crate) fn for_test(status: u16, body: impl Into<Bytes>, retry_after: Option<DateTime<Utc>>) -> Self {
        Self {
            status,
            body: body.into(),
            content_type: None,
            location: None,
            retry_after,
            links: Vec::new(),
            date: None,
            replay_nonce: None,
            refused_location: None,
        }
    }
}

impl Transport {
    /// Builds the client. Roots that the owner named are read here, the others before the first https request.
    pub fn new(settings: &TransportSettings) -> Result<Self, TransportError> {
        Self::with_clock(settings, Arc::new(SystemClock::new()))
    }

    /// The same with another clock, by which Retry-After becomes an instant.
    pub fn with_clock(settings: &TransportSettings, clock: Arc<dyn Clock>) -> Result<Self, TransportError> {
        let (tls, roots) = trust::client_config(settings)?;
        let servers = Arc::new(Servers::default());
        let connector = Route::new(settings, tls, Purpose::Acme, Arc::clone(&servers))?.with_tls();
        Ok(Self {
            inner: Arc::new(Inner {
                client: bounded().build(connector),
                servers,
                roots,
                clock,
                user_agent: user_agent(settings.user_agent_comment.as_deref()),
                timeout: settings.timeout,
                max_body_bytes: settings.max_body_bytes,
            }),
        })
    }

    /// Now, by the clock by which Retry-After becomes an instant.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.inner.clock.now()
    }

    /// The limit for the whole of one exchange.
    pub(crate) fn timeout(&self) -> Duration {
        self.inner.timeout
    }

    /// A plain GET.
    pub async fn get(&self, url: &AcmeUrl) -> Result<HttpAnswer, TransportError> {
        self.exchange(Method::GET, url, None, None).await
    }

    pub(crate) async fn head(&self, url: &AcmeUrl) -> Result<HttpAnswer, TransportError> {
        self.exchange(Method::HEAD, url, None, None).await
    }

    /// Sends a JWS (RFC 8555 section 6.2).
    pub(crate) async fn post_jws(
        &self,
        url: &AcmeUrl,
        jws: Vec<u8>,
        accept: Option<&'static str>,
    ) -> Result<HttpAnswer, TransportError> {
        self.exchange(Method::POST, url, Some(jws), accept).await
    }

    async fn exchange(
        &self,
        method: Method,
        url: &AcmeUrl,
        jws: Option<Vec<u8>>,
        accept: Option<&'static str>,
    ) -> Result<HttpAnswer, TransportError> {
        let limit = self.inner.timeout;
        match tokio::time::timeout(limit, self.attempt(method, url, jws, accept)).await {
            Ok(result) => result,
            Err(_) => Err(TransportError::Timeout { url: url.clone(), seconds: limit.as_secs() }),
        }
    }

    async fn attempt(
        &self,
        method: Method,
        url: &AcmeUrl,
        jws: Option<Vec<u8>>,
        accept: Option<&'static str>,
    ) -> Result<HttpAnswer, TransportError> {
        let broken = |problem: String| TransportError::Broken { url: url.clone(), problem };
        let uri: Uri = url.as_str().parse().map_err(|_| broken("this URL cannot be called".into()))?;
        // Asked for here, too, so that unusable roots are told from a certificate that is refused.
        if let Some(roots) = self.inner.roots.as_ref().filter(|_| uri.scheme_str() == Some("https")) {
            roots.ready()?;
        }
        let build = |body: &Bytes| {
            let agent = self.inner.user_agent.clone();
            let mut request = Request::builder().method(&method).uri(uri.clone()).header(USER_AGENT, agent);
            if jws.is_some() {
                request = request.header(CONTENT_TYPE, "application/jose+json");
            }
            if let Some(accept) = accept {
                request = request.header(ACCEPT, accept);
            }
            request.body(Full::new(body.clone())).map_err(|_| broken("this URL cannot be called".into()))
        };
        let body = Bytes::from(jws.clone().unwrap_or_default());
        let mut refusals = 0;
        let answer = loop {
            match self.send(build(&body)?).await {
                Ok(answer) => break answer,
                Err(error) if refusals < MOST_REFUSALS && error::may_be_sent_again(&error, &method) => {
                    tokio::time::sleep(Duration::from_millis(FIRST_PAUSE_MS << refusals)).await;
                    refusals += 1;
                }
                Err(error) => return Err(error::from_client(url, &error)),
            }
        };
        let (head, body) = answer.into_parts();
        let (headers, status) = (&head.headers, head.status.as_u16());
        // Of HTTP/1.1 the parser has counted them.
        if headers.len() > MOST_HEADERS {
            return Err(broken(format!("HTTP {status} with {} header fields", headers.len())));
        }
        let retry_after = headers::retry_after(headers, self.now());
        if let Some(target) = headers.get(LOCATION).filter(|_| head.status.is_redirection()) {
            let target = escape(&String::from_utf8_lossy(target.as_bytes())).chars().take(300).collect();
            return Err(TransportError::Redirect { url: url.clone(), status, target });
        }
        // Nothing compressed was asked for; a body that could be a bomb is not unpacked.
        if headers.get(CONTENT_ENCODING).is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
        {
            return Err(broken(format!("HTTP {status} with a compressed body, which was not asked for")));
        }
        let limit = self.inner.max_body_bytes;
        let too_large = || TransportError::TooLarge { url: url.clone(), status, limit, retry_after };
        if body.size_hint().lower() > limit as u64 {
            return Err(too_large());
        }
        let body = match Limited::new(body, limit).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => return Err(too_large()),
            Err(error) => {
                return Err(TransportError::Network {
                    url: url.clone(),
                    kind: NetworkFailure::BrokenOff,
                    problem: format!("HTTP {status}, but the body broke off: {}", describe(&*error)),
                });
            }
        };
        Ok(HttpAnswer::read(url, status, headers, body, self.now()))
    }
}

impl HttpAnswer {
    /// What the head of an answer says, each field as far as it can be used.
    pub(crate) fn read(url: &AcmeUrl, status: u16, headers: &HeaderMap, body: Bytes, now: DateTime<Utc>) -> Self {
        let (location, refused_location) = match headers::location(headers, url) {
            Some(Ok(location)) => (Some(location), None),
            Some(Err(refused)) => (None, Some(refused)),
            None => (None, None),
        };
        Self {
            status,
            body,
            content_type: headers::content_type(headers),
            location,
            retry_after: headers::retry_after(headers, now),
            links: headers::links(headers, url),
            date: headers::date(headers),
            replay_nonce: headers::replay_nonce(headers),
            refused_location,
        }
    }
}

impl Transport {
    /// One request on a connection that there is, or on a new one that the others wait for.
    async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<http::Response<hyper::body::Incoming>, hyper_util::client::legacy::Error> {
        let server = self.inner.servers.of(request.uri());
        let capture = capture_connection(&mut request);
        let turn = server.turn().await;
        let mut answer = std::pin::pin!(self.inner.client.request(request));
        let answer = match turn {
            None => answer.await?,
            Some(turn) => tokio::select! {
                biased;
                answer = &mut answer => answer?,
                () = turn.until_connected(capture) => answer.await?,
            },
        };
        server.spoke(answer.version());
        Ok(answer)
    }
}

/// A client that believes nothing without limit.
fn bounded() -> Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(MOST_IDLE)
        .http1_max_buf_size(LARGEST_HEAD)
        .http1_max_headers(MOST_HEADERS)
        .http2_max_header_list_size(LARGEST_HEAD as u32)
        .http2_keep_alive_interval(PING_AFTER)
        .http2_keep_alive_timeout(PING_AFTER);
    builder
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("timeout", &self.inner.timeout).finish_non_exhaustive()
    }
}

/// RFC 8555 section 6.1: clients SHOULD say who they are.
fn user_agent(comment: Option<&str>) -> HeaderValue {
    const PRODUCT: &str = concat!("certkit/", env!("CARGO_PKG_VERSION"));
    let comment: String = comment
        .unwrap_or_default()
        .chars()
        .filter(|c| (c.is_ascii_graphic() || *c == ' ') && !matches!(c, '(' | ')' | '\\'))
        .take(200)
        .collect();
    let text = if comment.trim().is_empty() { PRODUCT.to_owned() } else { format!("{PRODUCT} ({})", comment.trim()) };
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(PRODUCT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_cannot_break_the_header() {
        let product = format!("certkit/{}", env!("CARGO_PKG_VERSION"));
        assert_eq!(user_agent(None), product);
        assert_eq!(user_agent(Some("\r\n")), product);
        assert_eq!(user_agent(Some("host 7\r\nX: (y)")), format!("{product} (host 7X: y)"));
    }
}
