//! Fetching revocation lists.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use certkit_core::{CrlReach, CrlUrl, escape};
use http::header::{LOCATION, PROXY_AUTHORIZATION, USER_AGENT};
use http::{Request, Uri};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Body;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;

use super::error::{Wrong, sort};
use super::route::{Purpose, Route};
use super::servers::Servers;
use super::{NetworkFailure, TransportError, TransportSettings, bounded, describe, trust, user_agent};

/// The largest list that is fetched, in bytes. Lists of big CAs that are not cut into parts are about 10 MiB.
const LARGEST_LIST: usize = 32 * 1024 * 1024;

/// A client for revocation lists: http and https, no redirects, only where `reach` allows.
#[derive(Clone)]
pub(crate) struct CrlClient {
    client: Client<HttpsConnector<Route>, Empty<Bytes>>,
    route: Route,
    user_agent: http::HeaderValue,
    timeout: Duration,
}

/// Why a list was not fetched. Outside text in it is escaped.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum CrlFetchError {
    #[error("{problem}")]
    Network { kind: NetworkFailure, problem: String },
    #[error("no answer within {0} s")]
    Silence(u64),
    #[error("{0}")]
    Answer(String),
}

impl CrlFetchError {
    /// Whether another list of the same server would not be had either.
    pub(crate) fn is_of_the_server(&self) -> bool {
        match self {
            Self::Network { kind, .. } => kind.is_before_connection(),
            Self::Silence(_) => true,
            Self::Answer(_) => false,
        }
    }
}

impl CrlClient {
    pub(crate) fn new(settings: &TransportSettings, reach: CrlReach) -> Result<Self, TransportError> {
        let (tls, _) = trust::client_config(settings)?;
        let route = Route::new(settings, tls, Purpose::Crl(reach), Arc::new(Servers::default()))?;
        Ok(Self {
            client: bounded().build(route.clone().with_tls()),
            route,
            user_agent: user_agent(settings.user_agent_comment.as_deref()),
            timeout: settings.timeout,
        })
    }

    /// The body of the answer, whatever it is.
    pub(crate) async fn get(&self, url: &CrlUrl) -> Result<Bytes, CrlFetchError> {
        let answers = AtomicBool::new(false);
        let seconds = self.timeout.as_secs();
        tokio::time::timeout(self.timeout, self.attempt(url, &answers)).await.unwrap_or_else(|_| {
            // A list that is too slow says nothing about the others of its server.
            Err(if answers.load(Ordering::Relaxed) {
                CrlFetchError::Answer(format!("not complete within {seconds} s"))
            } else {
                CrlFetchError::Silence(seconds)
            })
        })
    }

    async fn attempt(&self, url: &CrlUrl, answers: &AtomicBool) -> Result<Bytes, CrlFetchError> {
        let unusable = || CrlFetchError::Answer("this URL cannot be called".to_owned());
        let uri: Uri = url.as_str().parse().map_err(|_| unusable())?;
        let mut request = Request::get(&uri).header(USER_AGENT, self.user_agent.clone());
        if let Some(authorization) = self.route.proxy_authorization(&uri) {
            request = request.header(PROXY_AUTHORIZATION, authorization);
        }
        let request = request.body(Empty::new()).map_err(|_| unusable())?;
        let answer = self.client.request(request).await.map_err(|error| match sort(&error) {
            Wrong::Network(kind, problem) => CrlFetchError::Network { kind, problem },
            Wrong::Tls(problem) | Wrong::Time(problem) => CrlFetchError::Answer(format!("TLS: {problem}")),
            Wrong::NotHttp(problem) => CrlFetchError::Answer(problem),
        })?;
        answers.store(true, Ordering::Relaxed);
        let (head, body) = answer.into_parts();
        if let Some(target) = head.headers.get(LOCATION).filter(|_| head.status.is_redirection()) {
            let target = escape(&String::from_utf8_lossy(target.as_bytes())).chars().take(300).collect::<String>();
            let status = head.status.as_u16();
            return Err(CrlFetchError::Answer(format!("HTTP {status}, a redirect to {target}: it is not followed")));
        }
        if head.status != http::StatusCode::OK {
            return Err(CrlFetchError::Answer(format!("HTTP {}", head.status.as_u16())));
        }
        let too_large = || CrlFetchError::Answer(format!("more than {LARGEST_LIST} bytes"));
        if body.size_hint().lower() > LARGEST_LIST as u64 {
            return Err(too_large());
        }
        match Limited::new(body, LARGEST_LIST).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
            Err(error) => {
                let problem = format!("the list broke off: {}", describe(&*error));
                Err(CrlFetchError::Network { kind: NetworkFailure::BrokenOff, problem })
            }
        }
    }
}
