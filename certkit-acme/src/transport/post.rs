//! Requests to services that the owner named: webhooks and the heartbeat. Their URLs are secrets, so that no error holds
//! one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use certkit_core::AcmeUrl;
use http::header::{HeaderMap, HeaderName, HeaderValue, LOCATION, USER_AGENT};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;

use super::error::{Wrong, sort};
use super::route::{Purpose, Route};
use super::servers::Servers;
use super::{TlsVerification, TransportError, TransportSettings, bounded, trust, user_agent};

/// What is read of an answer, in bytes: an error's text. The rest says nothing more.
const LARGEST_ANSWER: usize = 64 * 1024;

/// A client for webhooks and heartbeats: https, plain http to loopback alone, no redirects.
#[derive(Clone)]
pub(crate) struct PostClient {
    client: Client<HttpsConnector<Route>, Full<Bytes>>,
    roots: Option<Arc<trust::SystemRoots>>,
    user_agent: HeaderValue,
}

/// An answer, whatever its status.
pub(crate) struct PostAnswer {
    pub(crate) status: u16,
    /// The beginning of the body, lossily decoded; outside text.
    pub(crate) text: String,
}

/// Why there is no answer. It names the server alone; outside text in it is not escaped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{server}: {problem}")]
pub(crate) struct PostError {
    server: String,
    problem: String,
}

impl PostClient {
    pub(crate) fn new(settings: &TransportSettings) -> Result<Self, TransportError> {
        // `--no-verify-ssl` is for a test CA. What is sent here holds secrets.
        let settings = &TransportSettings { tls_verification: TlsVerification::Full, ..settings.clone() };
        let (tls, roots) = trust::client_config(settings)?;
        let route = Route::new(settings, tls, Purpose::Acme, Arc::new(Servers::default()))?;
        Ok(Self {
            client: bounded().build(route.with_tls()),
            roots,
            user_agent: user_agent(settings.user_agent_comment.as_deref()),
        })
    }

    /// One request. `limit` is for all of it.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: &AcmeUrl,
        headers: &[(HeaderName, HeaderValue)],
        body: Vec<u8>,
        limit: Duration,
    ) -> Result<PostAnswer, PostError> {
        let failed = |problem: String| PostError { server: url.authority().to_owned(), problem };
        match tokio::time::timeout(limit, self.attempt(method, url, headers, body)).await {
            Ok(result) => result.map_err(failed),
            Err(_) => Err(failed(format!("no answer within {} s", limit.as_secs()))),
        }
    }

    async fn attempt(
        &self,
        method: Method,
        url: &AcmeUrl,
        headers: &[(HeaderName, HeaderValue)],
        body: Vec<u8>,
    ) -> Result<PostAnswer, String> {
        let unusable = || "this URL cannot be called".to_owned();
        let uri: Uri = url.as_str().parse().map_err(|_| unusable())?;
        if let Some(roots) = self.roots.as_ref().filter(|_| uri.scheme_str() == Some("https")) {
            roots.ready().map_err(|error| error.to_string())?;
        }
        let mut request =
            Request::builder().method(method).uri(uri).body(Full::new(Bytes::from(body))).map_err(|_| unusable())?;
        let all: &mut HeaderMap = request.headers_mut();
        all.insert(USER_AGENT, self.user_agent.clone());
        for (name, value) in headers {
            all.insert(name, value.clone());
        }
        let answer = self.client.request(request).await.map_err(|error| match sort(&error) {
            Wrong::Network(_, problem) | Wrong::NotHttp(problem) => problem,
            Wrong::Tls(problem) | Wrong::Time(problem) => format!("TLS: {problem}"),
        })?;
        let (head, body) = answer.into_parts();
        if head.status.is_redirection() && head.headers.contains_key(LOCATION) {
            // What was meant for one server is not given to another.
            return Err(format!("HTTP {}, a redirect, which is not followed", head.status.as_u16()));
        }
        let text = match Limited::new(body, LARGEST_ANSWER).collect().await {
            Ok(body) => String::from_utf8_lossy(&body.to_bytes()).into_owned(),
            // The status is what counts.
            Err(_) => String::new(),
        };
        Ok(PostAnswer { status: head.status.as_u16(), text })
    }
}
