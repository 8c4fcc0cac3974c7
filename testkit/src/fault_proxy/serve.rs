//! The listener, its connections and the way of one request.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, mpsc};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Map, Value};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::Shared;
use super::answer::{Answer, Body};
use super::body::{CutBody, FaultBody};
use super::directory::{RENEWAL_INFO_PATH, edited};
use super::request::{LoggedRequest, NewOrderRequest, RequestKind};
use super::rules::Fault;
use super::upstream::Upstream;
use crate::pki::Issued;
use crate::ports::free_port;

/// How many connections may wait to be accepted, as std's listeners have it.
const BACKLOG: u32 = 128;

/// What the listener is told; it says when it is done.
pub(super) enum Door {
    Open(mpsc::Sender<()>),
    Close(mpsc::Sender<()>),
}

/// Listens on a free port.
pub(super) fn start(runtime: &Runtime, shared: &Arc<Shared>, issued: &Issued) -> (u16, UnboundedSender<Door>) {
    const TRIES: usize = 5;
    let acceptor = acceptor(issued);
    let _in_runtime = runtime.enter();
    let (port, listener) = (0..TRIES)
        .find_map(|_| {
            let port = free_port();
            Some((port, bind(port).ok()?.listen(BACKLOG).ok()?))
        })
        .expect("a port to listen on");
    let (sender, receiver) = unbounded_channel();
    runtime.spawn(listen(port, listener, receiver, acceptor, Arc::clone(shared)));
    (port, sender)
}

async fn listen(
    port: u16,
    listener: TcpListener,
    mut doors: UnboundedReceiver<Door>,
    acceptor: TlsAcceptor,
    shared: Arc<Shared>,
) {
    let mut open = Some(listener);
    let mut connections = JoinSet::new();
    let mut count = 0;
    loop {
        let arrival = async {
            match &open {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = arrival => {
                while connections.try_join_next().is_some() {}
                if let Ok((stream, _)) = accepted {
                    count += 1;
                    connections.spawn(connection(stream, acceptor.clone(), Arc::clone(&shared), count));
                }
            }
            door = doors.recv() => match door {
                Some(Door::Open(done)) => {
                    if open.is_none() {
                        open = Some(bind(port).and_then(|socket| socket.listen(BACKLOG)).unwrap());
                    }
                    let _ = done.send(());
                }
                Some(Door::Close(done)) => {
                    open = None;
                    connections.shutdown().await;
                    let _ = done.send(());
                }
                None => return,
            },
        }
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, shared: Arc<Shared>, number: usize) {
    let _ = stream.set_nodelay(true);
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let upstream = Arc::new(Mutex::new(Upstream::default()));
    let service = service_fn(move |request| {
        let (shared, upstream) = (Arc::clone(&shared), Arc::clone(&upstream));
        async move { exchange(&shared, &mut *upstream.lock().await, request, number).await }
    });
    // An error is a client that went away, or one of our faults.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// One request. An error cuts the connection.
async fn exchange(
    shared: &Shared,
    upstream: &mut Upstream,
    request: Request<Incoming>,
    connection: usize,
) -> io::Result<Response<FaultBody>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let seen = LoggedRequest::read(head.method.as_str(), head.uri.path(), &body, connection);
    let (delay, fault) = {
        let mut state = shared.state();
        state.log.push(seen.clone());
        state.fault_for(&seen)
    };
    tokio::time::sleep(delay).await;
    match &fault {
        Fault::Answer(answer) => return said(shared, upstream, &head.method, answer).await,
        Fault::CutBefore => return Err(cut()),
        Fault::Hang => return std::future::pending().await,
        _ => {}
    }
    if seen.kind == RequestKind::RenewalInfo {
        let answer = renewal_info(shared, &seen);
        let answer = said(shared, upstream, &head.method, &answer).await?;
        let (head, body) = answer.into_parts();
        let FaultBody::Whole(body) = body else { return Err(cut()) };
        return faulty(fault, head.headers, head.status, body).await;
    }
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned();
    let answer = match upstream.send(&shared.upstream, Request::from_parts(head, Full::new(body))).await {
        Ok(answer) => answer,
        Err(error) => {
            let answer = Answer::text(502, "text/plain", &format!("the proxy does not reach Pebble: {error}"));
            return said(shared, upstream, &Method::GET, &answer).await;
        }
    };
    let (mut head, mut body) = answer.into_parts();
    head.headers.remove(CONTENT_LENGTH);
    head.headers.remove(TRANSFER_ENCODING);
    set_date(shared, &mut head.headers);
    if seen.kind == RequestKind::Directory && head.status == StatusCode::OK {
        body = edited(&body, &shared.state().edits, &host).into();
    }
    if head.status.is_success() {
        body = echoed(shared, &seen, &head.headers, body);
    }
    faulty(fault, head.headers, head.status, body).await
}

/// Pebble's answer with what a rule does to it.
async fn faulty(fault: Fault, headers: HeaderMap, status: StatusCode, body: Bytes) -> io::Result<Response<FaultBody>> {
    let mut announced = None;
    let half = body.slice(..body.len() / 2);
    let body = match fault {
        Fault::CutAfter => return Err(cut()),
        Fault::HangAfter => return std::future::pending().await,
        Fault::Truncate => FaultBody::Whole(half),
        Fault::CutInBody => {
            announced = Some(HeaderValue::from(body.len()));
            FaultBody::Cut(CutBody { bytes: half, waited: false })
        }
        Fault::Endless => FaultBody::Endless(half),
        Fault::Rewrite(rewrite) => {
            let mut document = serde_json::from_slice(&body).unwrap_or_default();
            (rewrite.0)(&mut document);
            FaultBody::Whole(document.to_string().into())
        }
        _ => FaultBody::Whole(body),
    };
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    if let Some(length) = announced {
        answer.headers_mut().insert(CONTENT_LENGTH, length);
    }
    Ok(answer)
}

/// What the proxy says itself.
async fn said(
    shared: &Shared,
    upstream: &mut Upstream,
    method: &Method,
    answer: &Answer,
) -> io::Result<Response<FaultBody>> {
    let (body, is_problem) = match &answer.body {
        Body::Problem(problem) => (problem.to_string(), true),
        Body::Text(text) => (text.clone(), false),
    };
    let mut said = Response::new(FaultBody::Whole(body.into()));
    *said.status_mut() = StatusCode::from_u16(answer.status).map_err(io::Error::other)?;
    let headers = said.headers_mut();
    if is_problem {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if method == Method::POST
            && let Some(nonce) = upstream.nonce(&shared.upstream).await
        {
            headers.insert("Replay-Nonce", nonce);
        }
    }
    set_date(shared, headers);
    for (name, value) in &answer.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(io::Error::other)?;
        headers.insert(name, HeaderValue::from_str(value).map_err(io::Error::other)?);
    }
    Ok(said)
}

fn renewal_info(shared: &Shared, request: &LoggedRequest) -> Answer {
    if request.method != "GET" {
        return Answer::problem(405, "malformed", "Method not allowed");
    }
    let cert_id = request.path.strip_prefix(RENEWAL_INFO_PATH).unwrap_or_default().trim_start_matches('/');
    let state = shared.state();
    let answer = state.renewal_info.get(cert_id).or(state.default_renewal_info.as_ref());
    answer.cloned().unwrap_or_else(|| Answer::problem(404, "malformed", "Requested certificate was not found"))
}

/// The order with the `replaces` and `profile` that it was placed with.
fn echoed(shared: &Shared, request: &LoggedRequest, headers: &HeaderMap, body: Bytes) -> Bytes {
    let mut state = shared.state();
    if !state.echoes {
        return body;
    }
    let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let number = match request.kind {
        RequestKind::NewOrder => headers.get("Location").and_then(|url| url.to_str().ok()).map(last),
        RequestKind::Order | RequestKind::Finalize => Some(last(&request.path)),
        _ => None,
    };
    let Some(number) = number else { return body };
    if let Some(placed) = NewOrderRequest::read(request) {
        let members = [("replaces", placed.replaces), ("profile", placed.profile)];
        let members: Map<_, _> =
            members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))).collect();
        state.echoed.insert(number.clone(), members);
    }
    let mut order: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (Some(order_members), Some(members)) = (order.as_object_mut(), state.echoed.get(&number)) else {
        return body;
    };
    order_members.extend(members.clone());
    order.to_string().into()
}

/// hyper adds the right Date itself, and only where there is none.
fn set_date(shared: &Shared, headers: &mut HeaderMap) {
    headers.remove(DATE);
    let shift = shared.state().date_shift;
    if !shift.is_zero() {
        let date = httpdate::fmt_http_date((crate::now() + shift).into());
        headers.insert(DATE, HeaderValue::from_str(&date).unwrap());
    }
}

fn cut() -> io::Error {
    io::Error::other("cut, as a rule wants it")
}

fn bind(port: u16) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // The connections of before the outage are still known to the kernel.
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    Ok(socket)
}

fn acceptor(issued: &Issued) -> TlsAcceptor {
    let chain = CertificateDer::pem_slice_iter(issued.fullchain.as_bytes()).collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(issued.privkey.as_bytes()).unwrap();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let mut config = ServerConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}
