//! HTTP as ACME needs it: https only (plain http to loopback), bounded in size and time, with proxies and extra roots.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use certkit_core::{AcmeUrl, Failure};
use chrono::{DateTime, Utc};

/// How to reach a CA.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TransportSettings {
    /// PEM files with roots to trust besides the system's.
    pub ca_bundles: Vec<PathBuf>,
    /// Whether the server's certificate is checked.
    pub tls_verification: TlsVerification,
    /// Appended to the User-Agent.
    pub user_agent_comment: Option<String>,
    /// The proxy for https, the proxy for http, and the hosts that are reached without one.
    pub https_proxy: Option<String>,
    /// See `https_proxy`.
    pub http_proxy: Option<String>,
    /// Comma-separated, as NO_PROXY.
    pub no_proxy: Option<String>,
    /// For the whole of one exchange.
    pub timeout: Duration,
    /// The largest body, in bytes.
    pub max_body_bytes: usize,
}

/// Whether a server's certificate is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsVerification {
    /// Against the system's roots and the extra ones.
    Full,
    /// Not at all: certbot's `--no-verify-ssl`, for a test CA.
    Off,
}

/// An HTTP client for one run; cheap to clone.
#[derive(Clone, Debug)]
pub struct Transport {}

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
    /// Retry-After as an instant, clamped.
    pub retry_after: Option<DateTime<Utc>>,
    /// Link targets by relation.
    pub links: Vec<(String, AcmeUrl)>,
    /// Date.
    pub date: Option<DateTime<Utc>>,
}

impl TransportSettings {
    /// Nothing from the environment.
    pub fn new() -> Self {
        todo!()
    }

    /// SSL_CERT_FILE, REQUESTS_CA_BUNDLE, HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY (also in lower case).
    pub fn from_env() -> Self {
        todo!()
    }
}

impl Default for TransportSettings {
    fn default() -> Self {
        Self::new()
    }
}

impl Transport {
    /// Builds the client; roots are read here.
    pub fn new(_settings: &TransportSettings) -> Result<Self, TransportError> {
        todo!()
    }

    /// A plain GET.
    pub async fn get(&self, _url: &AcmeUrl) -> Result<HttpAnswer, TransportError> {
        todo!()
    }
}

/// Why no answer was had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The server was not reached, or the connection broke.
    #[error("{url}: {problem}")]
    Network {
        /// What was called.
        url: AcmeUrl,
        /// Why it failed, with its causes.
        problem: String,
    },
    // helper D: further cases: Timeout, TooLarge, Tls, Roots(path), Proxy …
}

impl From<TransportError> for Failure {
    fn from(_error: TransportError) -> Self {
        todo!()
    }
}
