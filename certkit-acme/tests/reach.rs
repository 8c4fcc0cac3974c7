//! How a CA is reached: trust, proxies, plain http.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use certkit_acme::protocol::{AccountKey, AccountKeyType, AcmeError, Authority, NewAccount};
use certkit_acme::transport::{TlsVerification, Transport, TransportError, TransportSettings};
use certkit_core::{AcmeUrl, Failure, FailureClass};
use chrono::TimeDelta;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use testkit::{Issued, KeyKind, Pebble, PebbleOptions, Pki};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn acceptor(issued: &Issued) -> tokio_rustls::TlsAcceptor {
    let chain = CertificateDer::pem_slice_iter(issued.fullchain.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(issued.privkey.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    tokio_rustls::TlsAcceptor::from(Arc::new(config))
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { break };
        head.push(byte);
    }
    String::from_utf8(head).unwrap()
}

/// A CA named ca.example.org that is only found through a proxy.
struct HiddenCa {
    address: SocketAddr,
    bundle: PathBuf,
    pki: Pki,
    _folder: tempfile::TempDir,
}

impl HiddenCa {
    async fn start() -> Self {
        Self::leading_to("https://ca.example.org/x").await
    }

    async fn leading_to(url: &'static str) -> Self {
        let (pki, folder) = (Pki::new(testkit::now()), tempfile::tempdir().unwrap());
        let bundle = folder.path().join("root.pem");
        std::fs::write(&bundle, pki.root_pem()).unwrap();
        let (now, day) = (testkit::now(), TimeDelta::days(1));
        let names = ["ca.example.org".to_owned(), "127.0.0.1".to_owned()];
        let issued = pki.issue(&names, now - day, now + day, &KeyKind::EcdsaP256.generate(), &[0x31; 8]);
        let acceptor = acceptor(&issued);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let head = read_head(&mut stream).await;
                    let good = "https://ca.example.org/x";
                    let body = format!(r#"{{"newNonce":"{good}","newAccount":"{good}","newOrder":"{url}"}}"#);
                    let body = if head.starts_with("GET") { body } else { "{}".to_owned() };
                    let length = body.len();
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\nConnection: close\r\nReplay-Nonce: n\r\nLocation: http://127.0.0.1:2375/containers\r\nContent-Length: {length}\r\n\r\n{body}"
                    );
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        Self { address, bundle, pki, _folder: folder }
    }

    async fn ask(&self, proxy: &str) -> Result<Authority, String> {
        let mut settings = TransportSettings::new();
        settings.ca_bundles = vec![self.bundle.clone()];
        settings.https_proxy = Some(proxy.to_owned());
        let url = AcmeUrl::parse("https://ca.example.org/dir").unwrap();
        Authority::connect(Transport::new(&settings).unwrap(), &url).await.map_err(|error| error.to_string())
    }
}

async fn splice(mut from: impl AsyncRead + AsyncWrite + Unpin, to: SocketAddr) {
    let mut to = TcpStream::connect(to).await.unwrap();
    let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
}

/// An HTTP proxy that leads everything to `to`; it keeps the heads of what it was asked.
async fn http_proxy(to: SocketAddr, tls: Option<tokio_rustls::TlsAcceptor>) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, heads) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let kept = Arc::clone(&heads);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (kept, tls) = (Arc::clone(&kept), tls.clone());
            tokio::spawn(async move {
                match tls {
                    Some(tls) => tunnel(tls.accept(stream).await.unwrap(), to, &kept).await,
                    None => tunnel(stream, to, &kept).await,
                }
            });
        }
    });
    (address, heads)
}

async fn tunnel(mut stream: impl AsyncRead + AsyncWrite + Unpin, to: SocketAddr, heads: &Mutex<Vec<String>>) {
    let head = read_head(&mut stream).await;
    // Aladdin:open sesame (RFC 7617 section 2).
    let known = head.contains("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    heads.lock().unwrap().push(head);
    if !known {
        stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await.unwrap();
        return;
    }
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
    splice(stream, to).await;
}

#[tokio::test]
async fn http_proxies_lead_to_the_ca_with_the_users_name() {
    let ca = HiddenCa::start().await;
    let (address, heads) = http_proxy(ca.address, None).await;
    ca.ask(&format!("http://Aladdin:open%20sesame@{address}")).await.unwrap();
    assert!(heads.lock().unwrap()[0].starts_with("CONNECT ca.example.org:443 HTTP/1.1\r\n"), "{heads:?}");
    let refused = ca.ask(&format!("{address}")).await.unwrap_err();
    assert!(refused.contains(&format!("proxy {address}")) && refused.contains("authorization"), "{refused}");

    // The proxy itself behind TLS.
    let (now, day) = (testkit::now(), TimeDelta::days(1));
    let key = KeyKind::EcdsaP256.generate();
    let issued = ca.pki.issue(&["127.0.0.1".to_owned()], now - day, now + day, &key, &[0x32; 8]);
    let (address, _) = http_proxy(ca.address, Some(acceptor(&issued))).await;
    ca.ask(&format!("https://Aladdin:open%20sesame@{address}")).await.unwrap();
}

#[tokio::test]
async fn a_ca_elsewhere_does_not_make_us_call_this_machine() {
    for url in ["http://127.0.0.1:2375/containers", "https://localhost/x", "https://169.254.169.254/latest"] {
        let ca = HiddenCa::leading_to(url).await;
        let (proxy, _) = http_proxy(ca.address, None).await;
        let error = ca.ask(&format!("http://Aladdin:open%20sesame@{proxy}")).await.unwrap_err();
        assert!(error.contains(&format!("https://ca.example.org/dir leads to {url}, which is refused")), "{error}");
    }
    let ca = HiddenCa::start().await;
    let (proxy, heads) = http_proxy(ca.address, None).await;
    let authority = ca.ask(&format!("http://Aladdin:open%20sesame@{proxy}")).await.unwrap();
    // In a Location, and as the URL of an order that was kept.
    let key = || AccountKey::generate_kind(AccountKeyType::EcdsaP256).unwrap();
    let error = authority.register(key(), &NewAccount::new(Vec::new(), true), None).await.unwrap_err();
    assert!(error.to_string().contains("leads to http://127.0.0.1:2375/containers"), "{error}");
    let account = authority.account(key(), AcmeUrl::parse("https://ca.example.org/account/1").unwrap()).unwrap();
    let asked = heads.lock().unwrap().len();
    let error = account.order(&AcmeUrl::parse("http://127.0.0.1:2375/order").unwrap()).await.unwrap_err();
    assert!(matches!(error, AcmeError::Misled { .. }), "{error}");
    assert_eq!(Failure::from(error).class, FailureClass::Protocol);
    assert_eq!(heads.lock().unwrap().len(), asked);
}

#[tokio::test]
async fn socks_proxies_resolve_the_name_themselves() {
    let ca = HiddenCa::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, to) = (listener.local_addr().unwrap(), ca.address);
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // RFC 1928: version 5, the methods; then version, CONNECT, 0, a name and the port.
        let mut greeting = [0; 2];
        stream.read_exact(&mut greeting).await.unwrap();
        stream.read_exact(&mut vec![0; usize::from(greeting[1])]).await.unwrap();
        stream.write_all(&[5, 0]).await.unwrap();
        let mut request = [0; 5];
        stream.read_exact(&mut request).await.unwrap();
        assert_eq!(request[..4], [5, 1, 0, 3]);
        let mut name = vec![0; usize::from(request[4]) + 2];
        stream.read_exact(&mut name).await.unwrap();
        assert_eq!(name, b"ca.example.org\x01\xbb");
        stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
        splice(stream, to).await;
    });
    ca.ask(&format!("socks5h://{address}")).await.unwrap();
}

#[tokio::test]
async fn loopback_is_reached_without_the_proxy() {
    let pebble = Pebble::start(PebbleOptions::default());
    let mut settings = TransportSettings::new();
    settings.ca_bundles = vec![pebble.ca_bundle()];
    // Nobody listens there.
    settings.https_proxy = Some(format!("http://127.0.0.1:{}", testkit::ports::free_port()));
    let url = AcmeUrl::parse(&pebble.directory_url()).unwrap();
    Authority::connect(Transport::new(&settings).unwrap(), &url).await.unwrap();
}

#[tokio::test]
async fn certificates_are_checked_unless_the_owner_says_otherwise() {
    let pebble = Pebble::start(PebbleOptions::default());
    let url = AcmeUrl::parse(&pebble.directory_url()).unwrap();
    let mut settings = TransportSettings::new();
    let error = Transport::new(&settings).unwrap().get(&url).await.unwrap_err();
    assert!(matches!(error, TransportError::Tls { .. }), "{error}");
    assert!(error.to_string().contains("--ca-bundle"), "{error}");
    assert_eq!(Failure::from(error).class, FailureClass::Network);
    settings.tls_verification = TlsVerification::Off;
    assert_eq!(Transport::new(&settings).unwrap().get(&url).await.unwrap().status, 200);

    settings.tls_verification = TlsVerification::Full;
    settings.ca_bundles = vec!["/nonexistent/bundle.pem".into()];
    let error = Transport::new(&settings).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/bundle.pem"), "{error}");
    assert_eq!(Failure::from(error).class, FailureClass::Settings);

    // What the environment names is nobody's wish in this run: it fails only where it is needed.
    settings.environment_ca_bundles = std::mem::take(&mut settings.ca_bundles);
    let error = Transport::new(&settings).unwrap().get(&url).await.unwrap_err();
    assert!(matches!(error, TransportError::Roots { .. }), "{error}");
    assert_eq!(Failure::from(error).class, FailureClass::Settings);
}

/// A container without ca-certificates: an own root is enough, and without one the error says what to do.
#[test]
fn a_system_without_roots_is_enough_with_a_bundle() {
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "in_a_system_without_roots"])
        .env("SSL_CERT_FILE", "/dev/null")
        .env("SSL_CERT_DIR", "/nonexistent")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(child.status.success() && text.contains("1 passed"), "{text}");
}

#[tokio::test]
#[ignore = "run by a_system_without_roots_is_enough_with_a_bundle in a process of its own"]
async fn in_a_system_without_roots() {
    let pebble = Pebble::start(PebbleOptions::default());
    let url = AcmeUrl::parse(&pebble.directory_url()).unwrap();
    let mut settings = TransportSettings::new();
    let error = Transport::new(&settings).unwrap().get(&url).await.unwrap_err().to_string();
    assert!(error.contains("no root certificates") && error.contains("ca-certificates"), "{error}");
    settings.ca_bundles = vec![pebble.ca_bundle()];
    assert_eq!(Transport::new(&settings).unwrap().get(&url).await.unwrap().status, 200);
}
