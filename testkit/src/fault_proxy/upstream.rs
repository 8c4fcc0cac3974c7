//! The way to Pebble.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::HeaderValue;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Where Pebble is, and how it is known.
pub(super) struct Address {
    socket: SocketAddr,
    tls: Arc<ClientConfig>,
    nonce_path: &'static str,
}

/// A connection to Pebble, made at the first request and kept for those that follow.
#[derive(Default)]
pub(super) struct Upstream {
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Address {
    pub(super) fn new(directory_url: &str, ca_bundle: &Path) -> Self {
        // https://127.0.0.1:PORT/dir
        let port = directory_url.split([':', '/']).nth(4).and_then(|port| port.parse().ok());
        let port: u16 = port.unwrap_or_else(|| panic!("no port in {directory_url}"));
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_file_iter(ca_bundle).unwrap() {
            roots.add(root.unwrap()).unwrap();
        }
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let tls = ClientConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { socket: (Ipv4Addr::LOCALHOST, port).into(), tls: tls.into(), nonce_path: "/nonce-plz" }
    }
}

impl Upstream {
    /// Sends a request and takes the whole answer.
    pub(super) async fn send(
        &mut self,
        address: &Address,
        request: Request<Full<Bytes>>,
    ) -> io::Result<Response<Bytes>> {
        let usable = match &mut self.sender {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !usable {
            self.sender = Some(connect(address).await?);
        }
        // Just filled where it was empty.
        let sender = self.sender.as_mut().unwrap();
        let answer = sender.send_request(request).await.map_err(io::Error::other)?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        Ok(Response::from_parts(head, body))
    }

    /// A fresh nonce, for an answer that does not come from Pebble.
    pub(super) async fn nonce(&mut self, address: &Address) -> Option<HeaderValue> {
        let request = Request::builder()
            .method(Method::HEAD)
            .uri(address.nonce_path)
            .header("Host", address.socket.to_string())
            .body(Full::default())
            .unwrap();
        let answer = self.send(address, request).await.ok()?;
        answer.headers().get("Replay-Nonce").cloned()
    }
}

async fn connect(address: &Address) -> io::Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address.socket).await?;
    let name = ServerName::IpAddress(address.socket.ip().into());
    let stream = TlsConnector::from(Arc::clone(&address.tls)).connect(name, stream).await?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::spawn(connection);
    Ok(sender)
}
