//! What a server really serves.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use certkit_core::{Certificate, escape};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::TlsConnector;

use crate::transport::{TransportSettings, connect, describe, tls_problem, trust};

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
    let name = server_name.unwrap_or(bare).trim_end_matches('.').to_owned();
    let name = ServerName::try_from(name).map_err(|_| unreachable("this is not a host name or address".into()))?;
    let real = trust::SystemRoots::new(settings).map_err(|error| unreachable(error.to_string()))?;
    let recorder = Arc::new(Recorder { real: Arc::new(real), seen: Mutex::default() });
    let config = trust::config_with(Arc::clone(&recorder) as Arc<dyn ServerCertVerifier>)
        .map_err(|error| unreachable(error.to_string()))?;

    let connection = connect(bare, port, settings.connect_timeout, |_| true);
    let limit = settings.timeout;
    let stream = tokio::time::timeout(limit, connection)
        .await
        .map_err(|_| unreachable(too_long(limit)))?
        .map_err(|error| unreachable(error.to_string()))?;
    let address = stream.peer_addr().map_err(|error| unreachable(error.to_string()))?;
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let ended = tokio::time::timeout(limit, handshake).await;
    let Some(seen) = recorder.seen.lock().unwrap_or_else(PoisonError::into_inner).take() else {
        return Err(unreachable(match ended {
            Err(_) => too_long(limit),
            Ok(Err(error)) => format!("TLS: {}", describe(&error)),
            Ok(Ok(_)) => "TLS without a certificate".into(),
        }));
    };
    // What was seen counts even when the handshake breaks off later, for want of a client certificate for example.
    let (mut certificates, mut unreadable) = (Vec::new(), Vec::new());
    for (index, der) in seen.chain.iter().enumerate() {
        match Certificate::from_der(der) {
            Ok(certificate) => certificates.push(certificate),
            Err(error) => unreadable.push(format!("certificate {}: {}", index + 1, escape(&error.to_string()))),
        }
    }
    Ok(Served { address, certificates, unreadable, verdict: seen.verdict })
}

/// A name that is longer is none.
const LONGEST_ENDPOINT: usize = 300;

fn too_long(limit: Duration) -> String {
    format!("no answer within {} s", limit.as_secs())
}

/// Keeps the chain and what a client that checks would say of it, and lets the handshake go on either way.
#[derive(Debug)]
struct Recorder {
    real: Arc<dyn ServerCertVerifier>,
    seen: Mutex<Option<Seen>>,
}

#[derive(Debug)]
struct Seen {
    chain: Vec<Vec<u8>>,
    verdict: Result<(), String>,
}

impl Recorder {
    /// A signature of the handshake that does not verify is the worst verdict of all: the server has not the key.
    fn handshake(&self, result: Result<HandshakeSignatureValid, rustls::Error>) -> HandshakeSignatureValid {
        if let (Err(error), Some(seen)) = (result, self.seen.lock().unwrap_or_else(PoisonError::into_inner).as_mut()) {
            seen.verdict = Err(format!("the handshake is not signed with the certificate's key: {}", told(&error)));
        }
        HandshakeSignatureValid::assertion()
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verdict = self
            .real
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            .map(drop)
            .map_err(|error| refused(&error, end_entity));
        let chain = std::iter::once(end_entity).chain(intermediates).map(|der| der.to_vec()).collect();
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(Seen { chain, verdict });
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(self.handshake(self.real.verify_tls12_signature(message, certificate, signed)))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(self.handshake(self.real.verify_tls13_signature(message, certificate, signed)))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.real.supported_verify_schemes()
    }
}

/// Why a certificate is refused. That it vouches for itself is the whole story, whatever the checks trip over first.
fn refused(error: &rustls::Error, end_entity: &CertificateDer<'_>) -> String {
    use rustls::{CertificateError, Error as Tls};
    let is_about_the_issuer =
        matches!(error, Tls::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::Other(_)));
    let is_its_own = || Certificate::from_der(end_entity).is_ok_and(|certificate| certificate.is_self_issued());
    if is_about_the_issuer && is_its_own() {
        return "the server's certificate is self-signed (it names itself as its issuer)".to_owned();
    }
    told(error)
}

fn told(error: &rustls::Error) -> String {
    escape(&tls_problem(error)).into_owned()
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
