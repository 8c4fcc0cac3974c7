//! The responder among strangers: thousands of connections that say nothing, slowly or nonsense. It is in a process of its own,
//! whose memory is looked at and whose descriptors are not ours.

use std::io::{BufRead as _, BufReader, Lines, Read as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use certkit_acme::challenge::{Solver as _, StandaloneServers};
use certkit_core::IdentifierSet;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::{free_port, http01};

const TOKEN: &str = "good-token";
/// What a good token is answered within is a second; tenfold for a machine that has other things to do.
const GOOD_TIME: Duration = Duration::from_secs(10);
/// 256 connections at once, and what the process has open besides.
const MOST_DESCRIPTORS: usize = 300;
/// Of the whole process, in KiB.
const MOST_MEMORY: u64 = 64 * 1024;

#[tokio::test]
#[ignore = "run by the next test, in a process of its own"]
async fn answers_until_its_input_ends() {
    let (port, all) = (free_port(), [http01("a.example", TOKEN)]);
    let solver = StandaloneServers::new().solver(Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), port);
    solver.present(&all, &IdentifierSet::default()).await.unwrap();
    println!("\nport {port}");
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await.unwrap().unwrap();
    solver.withdraw(&all).await.unwrap();
}

/// The process with the responder.
struct Responder {
    child: Child,
    /// Open, so that it may write to the end.
    _output: Lines<BufReader<ChildStdout>>,
    address: SocketAddr,
}

impl Responder {
    fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "--nocapture", "crowd::answers_until_its_input_ends"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = output.by_ref().map_while(Result::ok).find_map(|line| line.strip_prefix("port ")?.parse().ok());
        Self { child, _output: output, address: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port.unwrap()) }
    }

    /// The most memory that it had so far, in KiB (proc_pid_status(5)).
    fn most_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// How many descriptors it has open: connections, for the most part.
    fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// What comes back until it closes.
    async fn exchange(&self, request: &[u8]) -> Vec<u8> {
        let mut stream = self.connect().await;
        // It may close before all is said.
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(2 * GOOD_TIME, stream.read_to_end(&mut answer)).await.unwrap();
        answer
    }

    #[track_caller]
    fn assert_good(&self, answer: &[u8], asked: Instant) {
        let text = String::from_utf8_lossy(answer);
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\ngood-token.thumbprint"), "{text}");
        let elapsed = asked.elapsed();
        println!("a good token was answered after {elapsed:?}");
        assert!(elapsed < GOOD_TIME, "{elapsed:?}");
    }

    async fn is_good(&self) {
        let asked = Instant::now();
        let answer = self.exchange(&request(&start_line())).await;
        self.assert_good(&answer, asked);
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        // Its input ends, and with it the process.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn start_line() -> Vec<u8> {
    format!("GET /.well-known/acme-challenge/{TOKEN}").into_bytes()
}

fn request(start_line: &[u8]) -> Vec<u8> {
    [start_line, b" HTTP/1.1\r\nHost: canary\r\n\r\n"].concat()
}

/// What comes back is a refusal, or nothing: false then.
#[track_caller]
fn assert_refused(request: &[u8], answer: &[u8]) -> bool {
    let (said, text) = (String::from_utf8_lossy(request), String::from_utf8_lossy(answer));
    let is_refusal = ["HTTP/1.1 404 ", "HTTP/1.1 400 ", "HTTP/1.1 431 "].iter().any(|start| text.starts_with(start));
    assert!(answer.is_empty() || is_refusal, "{said:?}: {text}");
    for never in ["canary", "good", "thumbprint"] {
        assert!(!text.contains(never), "{said:?}: {text}");
    }
    is_refusal
}

/// As many descriptors as the tests need.
fn open_many() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum.map_or(Some(8192), |most| Some(most.min(8192)));
    setrlimit(Resource::Nofile, limit).unwrap();
}

/// It was cut off as the oldest before it was looked at, one time in ten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_token_is_answered_although_thousands_come_back_as_soon_as_they_are_cut_off() {
    open_many();
    let responder = Arc::new(Responder::start());
    let strangers = (0..2000).map(|_| {
        let address = responder.address;
        tokio::spawn(async move {
            loop {
                if let Ok(mut stream) = TcpStream::connect(address).await {
                    let _ = stream.read(&mut [0]).await;
                }
            }
        })
    });
    let strangers: Vec<_> = strangers.collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..60 {
        responder.is_good().await;
    }
    strangers.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_token_is_answered_among_thousands_that_are_idle_slow_or_talk_nonsense() {
    open_many();
    let responder = Arc::new(Responder::start());

    let mut idle = Vec::new();
    for _ in 0..2000 {
        idle.push(responder.connect().await);
    }
    responder.is_good().await;
    // Whoever is asked in their turn has accepted all before.
    let descriptors = responder.descriptors();
    assert!(descriptors <= MOST_DESCRIPTORS, "{descriptors} descriptors are open");
    // The oldest had to make room.
    let oldest = tokio::time::timeout(GOOD_TIME, idle[0].read(&mut [0])).await;
    assert!(matches!(oldest, Ok(Ok(0) | Err(_))), "{oldest:?}");

    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut stream = responder.connect().await;
        stream.write_all(&start_line()).await.unwrap();
        slow.push(tokio::spawn(async move {
            // A byte now and then, until it is cut off.
            while stream.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }));
    }
    responder.is_good().await;
    let mut stream = responder.connect().await;
    let _ = stream.write_all(&[start_line(), b" HTTP/1.1\r\nX: canary".to_vec(), vec![b'x'; 1 << 20]].concat()).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(2 * GOOD_TIME, stream.read_to_end(&mut answer)).await.unwrap();
    let _ = assert_refused(b"1 MiB in one line", &answer);
    responder.is_good().await;

    // Every request that differs from the good one in one byte of its beginning.
    let good = start_line();
    let differing = (0..good.len()).flat_map(|at| (0..=u8::MAX).map(move |byte| (at, byte)));
    let differing: Vec<_> = differing.filter(|(at, byte)| good[*at] != *byte).collect();
    assert!(differing.len() > 10_000);
    let (next, differing) = (Arc::new(AtomicUsize::new(0)), Arc::new(differing));
    let clients = (0..64).map(|_| {
        let (responder, next, differing) = (Arc::clone(&responder), Arc::clone(&next), Arc::clone(&differing));
        tokio::spawn(async move {
            let mut refused = 0;
            while let Some((at, byte)) = differing.get(next.fetch_add(1, SeqCst)) {
                let mut line = start_line();
                line[*at] = *byte;
                let request = request(&line);
                refused += usize::from(assert_refused(&request, &responder.exchange(&request).await));
            }
            refused
        })
    });
    let clients: Vec<_> = clients.collect();
    responder.is_good().await;
    let mut refused = 0;
    for client in clients {
        refused += client.await.unwrap();
    }
    // Some are closed unread to make room for others.
    assert!(refused > 5_000, "only {refused} of them were answered");
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "get", "HEADS"] {
        let request = format!("{method} /.well-known/acme-challenge/{TOKEN} HTTP/1.1\r\nHost: canary\r\n\r\n");
        let _ = assert_refused(request.as_bytes(), &responder.exchange(request.as_bytes()).await);
    }
    responder.is_good().await;
    let memory = responder.most_memory();
    assert!(memory <= MOST_MEMORY, "{memory} KiB");
    slow.into_iter().for_each(|each| each.abort());
}
