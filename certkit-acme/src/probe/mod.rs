//! What a server really serves.

use std::net::SocketAddr;

use certkit_core::Certificate;

use crate::transport::TransportSettings;

/// What an endpoint served.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Served {
    /// The address that answered.
    pub address: SocketAddr,
    /// The certificates in the order in which they were sent.
    pub certificates: Vec<Certificate>,
    /// Certificates that could not be read.
    pub unreadable: Vec<String>,
    /// What a client that checks would say: `Ok`, or why it refuses. The certificates are there either way.
    pub verdict: Result<(), String>,
}

/// Connects to `host:port` (every address is tried in turn until one answers), sends `server_name` as SNI unless it is
/// an address, and takes down what is served, expired or not.
pub async fn probe(
    _host: &str,
    _port: u16,
    _server_name: Option<&str>,
    _settings: &TransportSettings,
) -> Result<Served, ProbeError> {
    todo!()
}

/// Nothing was served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// The name has no address, nobody answered, or the handshake did not get as far as a certificate.
    #[error("{endpoint}: {problem}")]
    Unreachable {
        /// The endpoint, escaped.
        endpoint: String,
        /// Why, escaped.
        problem: String,
    },
}
