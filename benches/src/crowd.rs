//! How long the http-01 responder needs for a good token while thousands of strangers hold it busy, and what 10,000 requests
//! that are none cost it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use certkit_acme::challenge::{Challenge, ChallengeKind, Solver as _, StandaloneServers, Token};
use certkit_core::{Identifier, IdentifierSet};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};

use crate::Failure;
use crate::cost::millis;

/// What [`answer`] is called where it runs in a process of its own.
pub(crate) const WORK: &str = "answer-strangers";

const IDLE: usize = 2_000;
const SLOW: usize = 200;
const ANSWERS: usize = 100;
const MALFORMED: usize = 10_000;
/// Whoever waits for longer is not answered.
const LIMIT: Duration = Duration::from_secs(30);
const GOOD: &[u8] = b"GET /.well-known/acme-challenge/good-token HTTP/1.1\r\nHost: a.example\r\n\r\n";
/// Its method and its path.
const START: usize = 41;

/// Answers one token until standard input ends.
pub(crate) fn answer() -> Result<(), Failure> {
    // As certkit has it.
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let authorization = "good-token.thumbprint".to_owned();
        let (name, token) = (Identifier::parse("a.example")?, Token::parse("good-token")?);
        let all = [Challenge::new(name, false, ChallengeKind::Http01, token, authorization)];
        let solver = StandaloneServers::new().solver(Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), port);
        solver.present(&all, &IdentifierSet::default()).await?;
        println!("{port}");
        tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
        Ok(solver.withdraw(&all).await?)
    })
}

/// Prints how long a good token takes: alone, among connections that are held, and among clients that come back at once.
pub(crate) fn print() -> Result<(), Failure> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most.min(16_384), most)?;
    let responder = Responder::start()?;
    let head = ["a good token is answered", "median ms", "most ms", "cut off", "peak MiB"];
    println!("{:<60} {:>10} {:>10} {:>8} {:>10}", head[0], head[1], head[2], head[3], head[4]);
    Runtime::new()?.block_on(async {
        responder.row("alone").await?;
        let strangers = responder.strangers(false).await;
        responder.row(&format!("among {IDLE} idle and {SLOW} slow connections")).await?;
        strangers.iter().for_each(tokio::task::JoinHandle::abort);
        let strangers = responder.strangers(true).await;
        responder.row("the same, and whoever is cut off comes back at once").await?;
        strangers.iter().for_each(tokio::task::JoinHandle::abort);
        let began = Instant::now();
        let answered = responder.malformed().await?;
        let took = millis(began.elapsed());
        responder
            .row(&format!("after {MALFORMED} malformed requests, {answered} of them refused, in {took:.0} ms"))
            .await
    })
}

struct Responder {
    child: Child,
    address: SocketAddr,
}

impl Responder {
    fn start() -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.arg(WORK).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        Ok(Self { child, address: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), line.trim().parse()?) })
    }

    async fn row(&self, what: &str) -> Result<(), Failure> {
        let (mut times, mut cut_off) = (Vec::new(), 0);
        while times.len() < ANSWERS {
            let began = Instant::now();
            match timeout(LIMIT, exchange(self.address, GOOD)).await? {
                Ok(said) if said.ends_with(b"good-token.thumbprint") => times.push(began.elapsed()),
                Ok(said) if !said.is_empty() => {
                    return Err(format!("{what}: {}", String::from_utf8_lossy(&said)).into());
                }
                Ok(_) | Err(_) => cut_off += 1,
            }
        }
        times.sort_unstable();
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        let peak = peak.ok_or("no peak")?.parse::<f64>()? / 1024.0;
        let (median, most) = (millis(times[ANSWERS / 2]), millis(times[ANSWERS - 1]));
        println!("{what:<60} {median:>10.1} {most:>10.1} {cut_off:>8} {peak:>10.1}");
        Ok(())
    }

    /// Connections that say nothing, and some that say a byte now and then.
    async fn strangers(&self, come_back: bool) -> Vec<tokio::task::JoinHandle<()>> {
        let address = self.address;
        let mut all = Vec::new();
        for number in 0..IDLE + SLOW {
            let is_slow = number >= IDLE;
            all.push(tokio::spawn(async move {
                loop {
                    if let Ok(mut stream) = TcpStream::connect(address).await {
                        while is_slow && stream.write_all(b"G").await.is_ok() {
                            sleep(Duration::from_millis(100)).await;
                        }
                        let _ = stream.read(&mut [0]).await;
                    }
                    if !come_back && !is_slow {
                        return;
                    }
                }
            }));
        }
        sleep(Duration::from_secs(1)).await;
        all
    }

    /// Requests that are none, 64 at once; how many were refused and not cut off.
    async fn malformed(&self) -> Result<usize, Failure> {
        let (next, address) = (Arc::new(AtomicUsize::new(0)), self.address);
        let clients: Vec<_> = (0..64)
            .map(|_| {
                let next = Arc::clone(&next);
                tokio::spawn(async move {
                    let mut refused = 0;
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= MALFORMED {
                            return refused;
                        }
                        let mut request = GOOD.to_vec();
                        // Another byte at one place of the method and the path: each time another request, and never the good one.
                        let at = number % START;
                        request[at] = request[at].wrapping_add(1 + (number / START) as u8);
                        refused += usize::from(
                            exchange(address, &request).await.is_ok_and(|said| said.starts_with(b"HTTP/1.1 4")),
                        );
                    }
                })
            })
            .collect();
        let mut refused = 0;
        for client in clients {
            refused += client.await?;
        }
        Ok(refused)
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        // Its input ends, and with it the process.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

async fn exchange(address: SocketAddr, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request).await?;
    let mut said = Vec::new();
    stream.read_to_end(&mut said).await?;
    Ok(said)
}
