//! A small HTTP server: two paths, bounded in everything that a stranger can make grow.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::ALLOW;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::{Health, MetricsSource};
use crate::Stop;
use crate::connections::{Connections, response, serve_one};

/// Connections at once: a Prometheus opens one, a redundant pair two.
const MAX_CONNECTIONS: usize = 32;

/// For the whole of a connection; Prometheus gives up after 10 s by default, and after a minute at most, as scrapes come
/// every minute.
const CONNECTION_TIME: Duration = Duration::from_secs(60);

/// So long the same text is told: several Prometheus servers, and whoever asks in a loop, cost one look at the store.
const FRESH: Duration = Duration::from_secs(5);

/// Prometheus' text format (exposition_formats.md).
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The server could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The socket cannot be used.
    #[error("the socket for metrics cannot be used: {0}")]
    Socket(#[source] io::Error),
}

/// Answers `GET` and `HEAD` of `/metrics` and `/healthz` until `stop` says so; connections under way end with it. The
/// metrics are asked for when they are wanted, at most every few seconds, and never twice at the same time. Whatever
/// clients do, nothing of it reaches the source.
pub async fn serve(listener: TcpListener, source: Arc<dyn MetricsSource>, stop: &Stop) -> Result<(), ServeError> {
    /// After a failed accept, usually for want of descriptors.
    const PAUSE: Duration = Duration::from_millis(50);
    listener.set_nonblocking(true).map_err(ServeError::Socket)?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(ServeError::Socket)?;
    let answers = Answers { source, text: Arc::default() };
    let mut connections = Connections::at_most(MAX_CONNECTIONS);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.stopped() => return Ok(()),
        };
        match accepted {
            Ok((stream, _)) => connections.add(connection(stream, answers.clone())),
            Err(_) => {
                connections.end_oldest();
                sleep(PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, answers: Answers) {
    let answer = |request: Request<Incoming>| {
        let answers = answers.clone();
        async move { answers.answer(request.method(), request.uri().path()).await }
    };
    serve_one(stream, CONNECTION_TIME, answer).await;
}

/// The answers, the last text among them. Clones share it.
#[derive(Clone)]
struct Answers {
    source: Arc<dyn MetricsSource>,
    text: Arc<Mutex<Option<Kept>>>,
}

/// What was told last, and when.
struct Kept {
    at: Instant,
    text: Result<Bytes, String>,
}

impl Answers {
    /// It depends on nothing but the method and the path; nothing of the request comes back.
    async fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let is_known = matches!(path, "/metrics" | "/healthz");
        if is_known && !matches!(*method, Method::GET | Method::HEAD) {
            let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "405 Method Not Allowed");
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        match path {
            "/metrics" => match self.metrics().await {
                Ok(text) => response(StatusCode::OK, TEXT_FORMAT, text),
                Err(why) => plain(StatusCode::INTERNAL_SERVER_ERROR, &why),
            },
            "/healthz" => match self.source.health() {
                Health::Well(how) => plain(StatusCode::OK, &how),
                Health::Ill(why) => plain(StatusCode::SERVICE_UNAVAILABLE, &why),
            },
            _ => plain(StatusCode::NOT_FOUND, "404 Not Found: ask for /metrics or /healthz"),
        }
    }

    /// The text, a fresh one when the last is old. It is a task of its own: a client that goes away must not let the next
    /// one begin another look at the store beside the one that goes on.
    async fn metrics(&self) -> Result<Bytes, String> {
        let (source, text) = (Arc::clone(&self.source), Arc::clone(&self.text));
        let look = async move {
            let mut kept = text.lock().await;
            match &*kept {
                Some(kept) if kept.at.elapsed() < FRESH => kept.text.clone(),
                _ => {
                    let text = source.metrics().await.map(Bytes::from);
                    *kept = Some(Kept { at: Instant::now(), text: text.clone() });
                    text
                }
            }
        };
        tokio::spawn(look).await.unwrap_or_else(|_| Err("the metrics could not be put together".to_owned()))
    }
}

fn plain(status: StatusCode, line: &str) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", Bytes::from(format!("{line}\n")))
}
