//! The HTTP server for metrics, as Prometheus and strangers meet it.
#![allow(clippy::unwrap_used)]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use certkit_acme::metrics::{Health, MetricsSource, serve};
use certkit_acme::{BoxFuture, Stop, StopReason};
use tokio::task::JoinHandle;

/// Tells what it is told to, and counts.
struct Source {
    text: Mutex<Result<String, String>>,
    health: Mutex<Health>,
    looks: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    takes: Duration,
}

impl Source {
    fn new(text: &str) -> Self {
        Self {
            text: Mutex::new(Ok(text.to_owned())),
            health: Mutex::new(Health::Well("fine".into())),
            looks: AtomicUsize::new(0),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
            takes: Duration::ZERO,
        }
    }
}

impl MetricsSource for Source {
    fn metrics(&self) -> BoxFuture<'_, Result<String, String>> {
        Box::pin(async move {
            self.looks.fetch_add(1, Ordering::SeqCst);
            let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_at_once.fetch_max(now, Ordering::SeqCst);
            tokio::time::sleep(self.takes).await;
            self.at_once.fetch_sub(1, Ordering::SeqCst);
            self.text.lock().unwrap().clone()
        })
    }

    fn health(&self) -> Health {
        self.health.lock().unwrap().clone()
    }
}

struct Running {
    address: SocketAddr,
    stop: Stop,
    task: JoinHandle<bool>,
    source: Arc<Source>,
}

fn start(source: Source) -> Running {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (address, stop, source) = (listener.local_addr().unwrap(), Stop::new(), Arc::new(source));
    let (asked, told) = (stop.clone(), Arc::clone(&source));
    let task = tokio::spawn(async move { serve(listener, told, &asked).await.is_ok() });
    Running { address, stop, task, source }
}

/// What comes back for these bytes, until the other side closes.
async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let bytes = bytes.to_vec();
    let talk = move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(90))).unwrap();
        // It may have been closed already: what it said before counts.
        let _ = stream.write_all(&bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    tokio::task::spawn_blocking(talk).await.unwrap()
}

async fn ask(address: SocketAddr, method: &str, target: &str) -> (u16, String, String) {
    let answer = exchange(address, format!("{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_lowercase(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_and_health_are_told_and_nothing_else() {
    let running = start(Source::new("certkit_build_info 1\n"));
    let address = running.address;
    let (status, head, body) = ask(address, "GET", "/metrics").await;
    assert_eq!((status, body.as_str()), (200, "certkit_build_info 1\n"));
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    assert!(head.contains("cache-control: no-store"), "{head}");
    let (status, head, body) = ask(address, "HEAD", "/metrics?format=x").await;
    assert_eq!((status, body.as_str()), (200, ""));
    assert!(head.contains("content-length: 21"), "{head}");
    assert_eq!(ask(address, "GET", "/healthz").await.2, "fine\n");
    assert_eq!(ask(address, "HEAD", "/healthz").await.0, 200);
    for target in ["/", "/metrics/", "/metrics/../metrics", "/healthz2", "//metrics", "/%6detrics"] {
        assert_eq!(ask(address, "GET", target).await.0, 404, "{target}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get"] {
        let (status, head, _) = ask(address, method, "/metrics").await;
        assert_eq!(status, 405, "{method}");
        assert!(head.contains("allow: get, head"), "{head}");
    }
    running.stop.stop(StopReason::Terminate);
    assert!(running.task.await.unwrap());
    assert!(TcpStream::connect(address).is_err(), "the socket is closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_told_with_its_status() {
    let running = start(Source::new(""));
    *running.source.text.lock().unwrap() = Err("the store cannot be read".into());
    *running.source.health.lock().unwrap() = Health::Ill("it is stuck".into());
    let (status, _, body) = ask(running.address, "GET", "/metrics").await;
    assert_eq!((status, body.as_str()), (500, "the store cannot be read\n"));
    let (status, _, body) = ask(running.address, "GET", "/healthz").await;
    assert_eq!((status, body.as_str()), (503, "it is stuck\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_scrapes_are_one_look_even_when_clients_go_away() {
    let mut source = Source::new("x 1\n");
    source.takes = Duration::from_millis(300);
    let running = start(source);
    for _ in 0..10 {
        let mut stream = TcpStream::connect(running.address).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    }
    let answers = futures_util::future::join_all((0..10).map(|_| ask(running.address, "GET", "/metrics"))).await;
    assert!(answers.iter().all(|(status, _, body)| *status == 200 && body == "x 1\n"));
    assert_eq!(running.source.most_at_once.load(Ordering::SeqCst), 1);
    assert_eq!(running.source.looks.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_silent_connections_and_garbage_keeps_nobody_out() {
    let running = start(Source::new("x 1\n"));
    let silent: Vec<TcpStream> = (0..200).filter_map(|_| TcpStream::connect(running.address).ok()).collect();
    assert!(silent.len() > 100);
    let mut half = TcpStream::connect(running.address).unwrap();
    half.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-").unwrap();
    for garbage in
        [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"\0\0\0\r\n\r\n", b"GET\r\n\r\n", b"\xff\xfe\n\n"]
    {
        let answer = exchange(running.address, garbage).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    let huge = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    assert!(!exchange(running.address, huge.as_bytes()).await.contains("200 OK"));
    let smuggled = b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n";
    let answer = exchange(running.address, smuggled).await;
    assert!(answer.starts_with("HTTP/1.1 405") && answer.matches("HTTP/1.1").count() == 1, "{answer}");
    assert_eq!(ask(running.address, "GET", "/metrics").await.0, 200);
    drop(silent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reads_nothing_holds_up_nobody() {
    let running = start(Source::new(&"certkit_x 1\n".repeat(1_000_000)));
    let mut slow = TcpStream::connect(running.address).unwrap();
    slow.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let (status, _, body) = ask(running.address, "GET", "/metrics").await;
    assert_eq!((status, body.len()), (200, 12_000_000));
    // Being asked to stop, it does not wait for that client.
    running.stop.stop(StopReason::Terminate);
    assert!(running.task.await.unwrap());
}
