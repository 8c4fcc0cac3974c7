//! Connections that strangers open, bounded in number, and in everything that one of them can make grow.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

/// For the request's head.
const HEAD_TIME: Duration = Duration::from_secs(5);

/// For the request's head, in bytes (the smallest that hyper allows), and for its header lines.
const HEAD_BYTES: usize = 8192;
const HEAD_LINES: usize = 64;

/// Serves one request of HTTP/1 on a connection, which has `time` for all of it. What a stranger does to a connection
/// concerns nobody else.
pub(crate) async fn serve_one<S, F>(stream: S, time: Duration, answer: impl Fn(Request<Incoming>) -> F)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = Response<Full<Bytes>>>,
{
    let service = service_fn(|request| {
        let answer = answer(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEAD_LINES)
        .keep_alive(false)
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    let _ = timeout(time, serving).await;
}

/// An answer that nobody on the way keeps.
pub(crate) fn response(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The connections of a socket. When there are too many, the oldest makes room: a good request is short, an idle
/// connection is old. They end with their value.
pub(crate) struct Connections {
    most: usize,
    tasks: JoinSet<()>,
    /// With the time of each.
    by_age: VecDeque<(Instant, AbortHandle)>,
}

impl Connections {
    /// At most so many at once.
    pub(crate) fn at_most(most: usize) -> Self {
        Self { most, tasks: JoinSet::new(), by_age: VecDeque::new() }
    }

    /// Serves one more.
    pub(crate) fn add(&mut self, connection: impl Future<Output = ()> + Send + 'static) {
        while self.tasks.try_join_next().is_some() {}
        self.forget_ended();
        while self.by_age.len() >= self.most {
            self.end_oldest();
        }
        self.by_age.push_back((Instant::now(), self.tasks.spawn(connection)));
    }

    /// Ends the oldest: it may hold what the next one needs.
    pub(crate) fn end_oldest(&mut self) {
        if let Some((_, oldest)) = self.by_age.pop_front() {
            oldest.abort();
        }
    }

    /// Waits until there is room, or the oldest has had this time: a good one must not make room before it was heard.
    pub(crate) async fn room(&mut self, time: Duration) {
        loop {
            self.forget_ended();
            let Some((since, _)) = self.by_age.front().filter(|_| self.by_age.len() >= self.most) else { return };
            let left = time.saturating_sub(since.elapsed());
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = sleep(left) => {}
                _ = self.tasks.join_next() => {}
            }
        }
    }

    fn forget_ended(&mut self) {
        self.by_age.retain(|(_, connection)| !connection.is_finished());
    }

    /// Waits until all have ended by themselves.
    pub(crate) async fn served(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_oldest_has_its_time_before_it_makes_room() {
        let (begun, mut connections) = (Instant::now(), Connections::at_most(2));
        let time = Duration::from_millis(50);
        connections.room(time).await;
        connections.add(std::future::pending());
        connections.room(time).await;
        connections.add(sleep(Duration::from_millis(10)));
        assert_eq!(begun.elapsed(), Duration::ZERO, "there was room");
        connections.room(time).await;
        assert!(begun.elapsed() < Duration::from_millis(20), "one has ended: {:?}", begun.elapsed());
        connections.add(std::future::pending());
        connections.room(time).await;
        assert!(begun.elapsed() >= time, "the oldest was heard: {:?}", begun.elapsed());
    }
}
