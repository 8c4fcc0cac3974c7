//! A server on loopback that speaks HTTP/1.1 or HTTP/2, with or without TLS, and counts.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use certkit_acme::transport::{Transport, TransportSettings};
use certkit_core::AcmeUrl;
use http::{Request, Response, Version};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;
type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;
type Handler = Arc<dyn Fn(Request<Incoming>) -> Answering + Send + Sync>;

/// What a server speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// HTTP/1.1 without TLS.
    Plain,
    /// HTTP/1.1 over TLS, without ALPN.
    Http1,
    /// HTTP/2 over TLS; the connection ends after so many requests.
    Http2 { until: usize },
}

impl Speaks {
    pub(crate) const HTTP2: Self = Self::Http2 { until: usize::MAX };
}

#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    speaks: Speaks,
    bundle: PathBuf,
    _folder: Arc<tempfile::TempDir>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
    open: AtomicUsize,
    most_open: AtomicUsize,
    requests: Mutex<Vec<(Version, String)>>,
}

impl Server {
    pub(crate) async fn start<F>(
        speaks: Speaks,
        handler: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |request| Box::pin(handler(request)));
        let (pki, folder) = (testkit::Pki::new(testkit::now()), tempfile::tempdir().unwrap());
        let bundle = folder.path().join("root.pem");
        std::fs::write(&bundle, pki.root_pem()).unwrap();
        let acceptor = acceptor(&pki.for_localhost(testkit::now()), speaks);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            speaks,
            bundle,
            _folder: Arc::new(folder),
            counts: Arc::default(),
        };
        let this = server.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (this, acceptor, handler) = (this.clone(), acceptor.clone(), handler.clone());
                tokio::spawn(async move {
                    this.counts.connections.fetch_add(1, Ordering::SeqCst);
                    let open = this.counts.open.fetch_add(1, Ordering::SeqCst) + 1;
                    this.counts.most_open.fetch_max(open, Ordering::SeqCst);
                    match this.speaks {
                        Speaks::Plain => this.serve(stream, handler).await,
                        _ => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                this.serve(stream, handler).await;
                            }
                        }
                    }
                    this.counts.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        server
    }

    async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, handler: Handler) {
        let (io, served, full) =
            (TokioIo::new(stream), Arc::new(AtomicUsize::new(0)), Arc::new(tokio::sync::Notify::new()));
        let (counts, count, last) = (self.counts.clone(), served.clone(), full.clone());
        let until = if let Speaks::Http2 { until } = self.speaks { until } else { usize::MAX };
        let service = service_fn(move |request: Request<Incoming>| {
            counts.requests.lock().unwrap().push((request.version(), request.uri().to_string()));
            if count.fetch_add(1, Ordering::SeqCst) + 1 == until {
                last.notify_one();
            }
            let answer = handler(request);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        if let Speaks::Http2 { .. } = self.speaks {
            let connection =
                hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, service);
            let mut connection = std::pin::pin!(connection);
            tokio::select! {
                _ = &mut connection => return,
                () = full.notified() => connection.as_mut().graceful_shutdown(),
            }
            let _ = connection.await;
        } else {
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
        }
    }

    pub(crate) fn url(&self, path: &str) -> AcmeUrl {
        AcmeUrl::parse(&self.text_url(path)).unwrap()
    }

    pub(crate) fn text_url(&self, path: &str) -> String {
        let scheme = if self.speaks == Speaks::Plain { "http" } else { "https" };
        format!("{scheme}://{}{path}", self.address)
    }

    /// Settings that trust the server and lose patience quickly.
    pub(crate) fn settings(&self) -> TransportSettings {
        let mut settings = TransportSettings::new();
        settings.ca_bundles = vec![self.bundle.clone()];
        settings.timeout = std::time::Duration::from_secs(3);
        settings.connect_timeout = std::time::Duration::from_secs(1);
        settings
    }

    pub(crate) fn transport(&self) -> Transport {
        Transport::new(&self.settings()).unwrap()
    }

    /// The connections that there were.
    pub(crate) fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::SeqCst)
    }

    /// The most connections at once.
    pub(crate) fn most_open(&self) -> usize {
        self.counts.most_open.load(Ordering::SeqCst)
    }

    /// Version and URI of each request.
    pub(crate) fn requests(&self) -> Vec<(Version, String)> {
        self.counts.requests.lock().unwrap().clone()
    }
}

pub(crate) fn acceptor(issued: &testkit::Issued, speaks: Speaks) -> tokio_rustls::TlsAcceptor {
    let chain = CertificateDer::pem_slice_iter(issued.fullchain.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(issued.privkey.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    if let Speaks::Http2 { .. } = speaks {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    }
    tokio_rustls::TlsAcceptor::from(Arc::new(config))
}

pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::builder().status(status);
    for (name, value) in headers {
        answer = answer.header(*name, *value);
    }
    answer.body(Full::new(body.into()).boxed_unsync()).unwrap()
}

/// A body without an end, of parts of 64 KiB.
pub(crate) fn endless() -> Answer {
    let part = Bytes::from(vec![b'x'; 64 * 1024]);
    let parts = futures_util::stream::repeat_with(move || Ok(Frame::data(part.clone())));
    Response::new(StreamBody::new(parts).boxed_unsync())
}

/// A proxy that keeps the heads of what it was asked and leads every tunnel, and every other request, to `to`.
pub(crate) async fn proxy(to: SocketAddr) -> (SocketAddr, Arc<Mutex<VecDeque<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, heads) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(VecDeque::new())));
    let kept = heads.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let kept = kept.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let text = String::from_utf8(head.clone()).unwrap();
                let mut server = TcpStream::connect(to).await.unwrap();
                if text.starts_with("CONNECT ") {
                    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
                } else {
                    server.write_all(&head).await.unwrap();
                }
                kept.lock().unwrap().push_back(text);
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
            });
        }
    });
    (address, heads)
}
