//! What a server really serves: [`Prober`] looks at every address of an endpoint, [`probe`] at the first that answers.

use std::net::SocketAddr;

use certkit_core::{Certificate, escape};
use rustls_pki_types::ServerName;

use crate::transport::{TransportSettings, connect, trust};

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;

mod handshake;
use handshake::{How, take_down, too_long};

mod prober;
pub use prober::{Answer, ProbeLimits, Prober};

mod starttls;

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
/// an address, and takes down what is served, expired or not. Without `server_name` it is `host`. `host` may be an IPv6
/// address with or without brackets. Proxies are not used: what counts is what this machine gets from that address.
pub async fn probe(
    host: &str,
    port: u16,
    server_name: Option<&str>,
    settings: &TransportSettings,
) -> Result<Served, ProbeError> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let endpoint: String =
        escape(&if bare.contains(':') { format!("[{bare}]:{port}") } else { format!("{bare}:{port}") })
            .chars()
            .take(LONGEST_ENDPOINT)
            .collect();
    let unreachable = |problem: String| ProbeError::Unreachable {
        endpoint: endpoint.clone(),
        problem: escape(&problem).into_owned(),
    };
    let name = server_name_of(server_name.unwrap_or(bare)).map_err(unreachable)?;
    let roots = trust::SystemRoots::new(settings).map_err(|error| unreachable(error.to_string()))?;
    let connection = connect(bare, port, settings.connect_timeout, |_| true);
    let limit = settings.timeout;
    let stream = tokio::time::timeout(limit, connection)
        .await
        .map_err(|_| unreachable(too_long(limit)))?
        .map_err(|error| unreachable(error.to_string()))?;
    let address = stream.peer_addr().map_err(|error| unreachable(error.to_string()))?;
    let how = How { with_name: true, only: None };
    let taken = take_down(stream, name.clone(), how, limit).await.map_err(unreachable)?;
    let verdict = taken.verdict(&roots, &name, std::time::SystemTime::now().into());
    let (certificates, unreadable) = taken.certificates();
    Ok(Served { address, certificates, unreadable, verdict: verdict.map_err(|refusal| refusal.distrust.why) })
}

/// A name that is longer is none.
const LONGEST_ENDPOINT: usize = 300;

fn server_name_of(text: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(text.trim_end_matches('.').to_owned())
        .map_err(|_| "this is not a host name or address".to_owned())
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
