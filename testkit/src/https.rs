//! A small client for servers that the tests started themselves: certificates are seen, not judged.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

const TIME_LIMIT: Duration = Duration::from_secs(10);

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers as they came.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let named = |(header, _): &&(String, String)| header.eq_ignore_ascii_case(name);
        self.headers.iter().find(named).map(|(_, value)| value.as_str())
    }
}

/// GET over TLS.
pub fn get(address: SocketAddr, path: &str) -> std::io::Result<Answer> {
    let (stream, _) = connect(address, "localhost")?;
    exchange(stream, "GET", address, path, "", b"")
}

/// POST over TLS, with the content type of ACME's requests (RFC 8555 section 6.2).
pub fn post_jose(address: SocketAddr, path: &str, body: &[u8]) -> std::io::Result<Answer> {
    let (stream, _) = connect(address, "localhost")?;
    exchange(stream, "POST", address, path, "Content-Type: application/jose+json\r\n", body)
}

/// GET without TLS.
pub fn get_plain(address: SocketAddr, path: &str) -> std::io::Result<Answer> {
    exchange(tcp(address)?, "GET", address, path, "", b"")
}

/// POST without TLS.
pub fn post_plain(address: SocketAddr, path: &str, body: &[u8]) -> std::io::Result<Answer> {
    exchange(tcp(address)?, "POST", address, path, "", body)
}

/// The certificates (DER) that a server presents for a name, the leaf first.
pub fn served_chain(address: SocketAddr, name: &str) -> std::io::Result<Vec<Vec<u8>>> {
    connect(address, name).map(|(_, chain)| chain)
}

/// The serial number of the certificate that a server presents for a name: upper-case hex of whole octets, as
/// `openssl x509 -serial` prints it.
pub fn served_serial(address: SocketAddr, name: &str) -> std::io::Result<String> {
    let chain = served_chain(address, name)?;
    let leaf = chain.first().ok_or_else(|| std::io::Error::other("no certificate was served"))?;
    crate::pki::serial_of_der(leaf).ok_or_else(|| std::io::Error::other("what was served is no certificate"))
}

/// A TLS connection, for what the functions above do not say.
pub fn stream(address: SocketAddr, name: &str) -> std::io::Result<TlsStream> {
    connect(address, name).map(|(stream, _)| stream)
}

fn tcp(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, TIME_LIMIT)?;
    stream.set_read_timeout(Some(TIME_LIMIT))?;
    stream.set_write_timeout(Some(TIME_LIMIT))?;
    Ok(stream)
}

/// TLS over TCP; the socket is `sock`.
pub type TlsStream = StreamOwned<ClientConnection, TcpStream>;

fn connect(address: SocketAddr, name: &str) -> std::io::Result<(TlsStream, Vec<Vec<u8>>)> {
    let seen = Arc::new(SeesAll { chain: Mutex::default(), provider: aws_lc_rs::default_provider().into() });
    let config = ClientConfig::builder_with_provider(seen.provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(std::io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(seen.clone())
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).map_err(std::io::Error::other)?;
    let mut connection = ClientConnection::new(config.into(), name).map_err(std::io::Error::other)?;
    let mut socket = tcp(address)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut socket)?;
    }
    let chain = seen.chain.lock().unwrap().clone();
    Ok((StreamOwned::new(connection, socket), chain))
}

fn exchange(
    mut stream: impl Read + Write,
    method: &str,
    address: SocketAddr,
    path: &str,
    headers: &str,
    body: &[u8],
) -> std::io::Result<Answer> {
    let length = body.len();
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {length}\r\n{headers}\r\n")?;
    stream.write_all(body)?;
    stream.flush()?;
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        // A server that closes without close_notify has still said everything that HTTP/1.0 promises.
        Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => return Err(error),
        _ => {}
    }
    let end = all.windows(4).position(|window| window == b"\r\n\r\n");
    let (head, body) = all.split_at(end.map_or(all.len(), |end| end + 4));
    let head = String::from_utf8_lossy(head);
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other(format!("not HTTP: {head}")))?;
    let headers = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
    Ok(Answer { status, headers, body: body.to_vec() })
}

/// Accepts every certificate and remembers the chain.
#[derive(Debug)]
struct SeesAll {
    chain: Mutex<Vec<Vec<u8>>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for SeesAll {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = std::iter::once(leaf).chain(intermediates).map(|der| der.to_vec()).collect();
        *self.chain.lock().unwrap() = chain;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, leaf, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, leaf, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
