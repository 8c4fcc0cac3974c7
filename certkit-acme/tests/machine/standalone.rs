use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use certkit_acme::challenge::{ChallengeKind, SolveError, Solver as _, StandaloneServers};
use certkit_core::{Failure, FailureClass, IdentifierSet};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::{challenge, free_port, http01};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Sends bytes and reads until the server closes.
async fn exchange(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

async fn get(address: SocketAddr, token: &str) -> String {
    let request =
        format!("GET /.well-known/acme-challenge/{token} HTTP/1.1\r\nHost: a.example\r\nUser-Agent: x\r\n\r\n");
    exchange(address, request.as_bytes()).await
}

fn answers(address: SocketAddr) -> bool {
    std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}

fn no_names() -> IdentifierSet {
    IdentifierSet::default()
}

#[tokio::test]
async fn a_known_token_is_answered_and_nothing_else() {
    let (servers, port) = (StandaloneServers::new(), free_port());
    let solver = servers.solver(Some(LOOPBACK), port);
    let address = SocketAddr::new(LOOPBACK, port);
    let all = [http01("a.example", "token-A"), http01("b.example", "token-B")];
    assert!(!answers(address), "no socket before the first challenge");
    solver.present(&all, &no_names()).await.unwrap();

    let answer = get(address, "token-A").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\ntoken-A.thumbprint"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("content-type: application/octet-stream\r\n"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("content-length: 18\r\n"), "{answer}");

    let old = exchange(address, b"GET /.well-known/acme-challenge/token-B HTTP/1.0\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.0 200 OK") && old.ends_with("\r\n\r\ntoken-B.thumbprint"), "{old}");
    let head = exchange(address, b"HEAD /.well-known/acme-challenge/token-B HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.ends_with("\r\n\r\n"), "{head}");

    for request in [
        "GET /.well-known/acme-challenge/unknown HTTP/1.1\r\nHost: canary\r\n\r\n",
        "GET /.well-known/acme-challenge/../../etc/passwd HTTP/1.1\r\nHost: canary\r\n\r\n",
        "GET /.well-known/acme-challenge/%2e%2e/token-A HTTP/1.1\r\nHost: canary\r\n\r\n",
        "GET /.well-known/acme-challenge/ HTTP/1.1\r\nHost: canary\r\n\r\n",
        "GET /canary HTTP/1.1\r\nHost: canary\r\nX: <script>\r\n\r\n",
        "POST /.well-known/acme-challenge/token-A HTTP/1.1\r\nHost: canary\r\nContent-Length: 2\r\n\r\nhi",
        "CONNECT canary:80 HTTP/1.1\r\nHost: canary\r\n\r\n",
    ] {
        let answer = exchange(address, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{request:?}: {answer}");
        assert!(answer.ends_with("\r\n\r\n404 Not Found\n"), "{answer}");
        assert!(!answer.contains("canary") && !answer.contains("thumbprint"), "{answer}");
    }
    let many_lines = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "a: b\r\n".repeat(1000));
    let long_line = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(1_000_000));
    for request in [many_lines.as_bytes(), long_line.as_bytes(), b"\x16\x03\x01\x02\x00garbage\r\n\r\n", b"GET\r\n\r\n"]
    {
        let answer = exchange(address, request).await;
        assert!(!answer.contains("200 OK") && !answer.contains("thumbprint"), "{answer}");
    }
    assert!(get(address, "token-A").await.contains("200 OK"), "it survives all that");

    solver.withdraw(&all).await.unwrap();
    // A process that another test starts at this moment holds a copy of the socket from its fork to its exec.
    for _ in 0..20 {
        if answers(address) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    assert!(!answers(address), "the port is free when withdraw returns");
    TcpListener::bind(address).await.unwrap();
    solver.withdraw(&all).await.unwrap();
}

#[tokio::test]
async fn without_an_address_both_families_answer() {
    let (servers, port) = (StandaloneServers::new(), free_port());
    let solver = servers.solver(None, port);
    let all = [http01("a.example", "both")];
    solver.present(&all, &no_names()).await.unwrap();
    assert!(get(SocketAddr::new(LOOPBACK, port), "both").await.contains("200 OK"));
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        assert!(get(SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port), "both").await.contains("200 OK"));
    }
    drop(solver);
    for _ in 0..100 {
        if !answers(SocketAddr::new(LOOPBACK, port)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("dropping the solver leaves the port open");
}

#[tokio::test]
async fn orders_that_share_a_token_share_its_life() {
    let (servers, port) = (StandaloneServers::new(), free_port());
    let address = SocketAddr::new(LOOPBACK, port);
    // The second order says another address: one socket on all addresses serves both.
    let (one, two) = (servers.solver(Some(LOOPBACK), port), servers.solver(None, port));
    let shared = [http01("a.example", "shared")];
    one.present(&shared, &no_names()).await.unwrap();
    two.present(&[http01("a.example", "shared"), http01("b.example", "own")], &no_names()).await.unwrap();
    one.withdraw(&shared).await.unwrap();
    one.withdraw(&shared).await.unwrap();
    assert!(get(address, "shared").await.contains("200 OK"), "the other order still needs it");
    assert!(get(address, "own").await.contains("200 OK"));
    two.withdraw(&[http01("b.example", "own")]).await.unwrap();
    assert!(get(address, "own").await.contains("404"));
    two.withdraw(&shared).await.unwrap();
    assert!(!answers(address));
}

#[tokio::test]
async fn one_token_for_two_names_is_counted_twice() {
    let (servers, port) = (StandaloneServers::new(), free_port());
    let solver = servers.solver(Some(LOOPBACK), port);
    let all = [http01("a.example", "same"), http01("b.example", "same")];
    solver.present(&all, &no_names()).await.unwrap();
    solver.withdraw(&all[..1]).await.unwrap();
    assert!(get(SocketAddr::new(LOOPBACK, port), "same").await.contains("200 OK"));
    solver.withdraw(&all[1..]).await.unwrap();
    assert!(!answers(SocketAddr::new(LOOPBACK, port)));
}

#[tokio::test]
async fn many_orders_at_once_open_and_close_the_port() {
    let (servers, port) = (StandaloneServers::new(), free_port());
    let address = SocketAddr::new(LOOPBACK, port);
    let orders = (0..40).map(|number| {
        let servers = servers.clone();
        tokio::spawn(async move {
            let solver = servers.solver((number % 2 == 0).then_some(LOOPBACK), port);
            let token = format!("t{number}");
            let all = [http01("a.example", &token)];
            for _ in 0..5 {
                solver.present(&all, &no_names()).await.unwrap();
                assert!(get(address, &token).await.contains("200 OK"));
                solver.withdraw(&all).await.unwrap();
            }
        })
    });
    for order in orders.collect::<Vec<_>>() {
        order.await.unwrap();
    }
    assert!(!answers(address));
}

#[tokio::test]
async fn a_taken_port_names_its_holder() {
    let holder = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    let servers = StandaloneServers::new();
    let solver = servers.solver(None, port);
    let all = [http01("a.example", "t")];
    let error = solver.present(&all, &no_names()).await.unwrap_err();
    let SolveError::PortTaken { port: named, by: Some(by), address } = &error else { panic!("{error:?}") };
    assert_eq!((*named, *address), (port, IpAddr::V4(Ipv4Addr::UNSPECIFIED)));
    assert!(by.contains(&format!("(process {})", std::process::id())), "{by}");
    let failure = Failure::from(error);
    assert_eq!(failure.class, FailureClass::ChallengeSetup);
    for cure in ["--webroot", "--pre-hook", "--http-01-port"] {
        assert!(failure.detail.contains(cure), "{}", failure.detail);
    }
    // IPv6 was opened and is closed again.
    drop(holder);
    assert!(!answers(SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port)));
    solver.present(&all, &no_names()).await.unwrap();
    assert!(get(SocketAddr::new(LOOPBACK, port), "t").await.contains("200 OK"));
    // Only the other family is taken: still an error, as the CA may come by either.
    if let Ok(holder) = std::net::TcpListener::bind("[::1]:0") {
        let port = holder.local_addr().unwrap().port();
        let error = servers.solver(None, port).present(&all, &no_names()).await.unwrap_err();
        assert!(matches!(error, SolveError::PortTaken { address: IpAddr::V6(_), .. }), "{error:?}");
    }
}

#[tokio::test]
async fn an_address_of_another_machine_is_an_error() {
    let solver = StandaloneServers::new().solver(Some("192.0.2.7".parse().unwrap()), free_port());
    let error = solver.present(&[http01("a.example", "t")], &no_names()).await.unwrap_err();
    assert!(error.to_string().contains("does not have the address"), "{error}");
}

#[tokio::test]
async fn only_http01_is_answered() {
    let solver = StandaloneServers::new().solver(Some(LOOPBACK), free_port());
    let dns = [challenge("a.example", ChallengeKind::Dns01, "t")];
    solver.present(&dns, &no_names()).await.unwrap_err();
    let name = &dns[0].identifier;
    assert_eq!(solver.kinds(name, false), [ChallengeKind::Http01]);
    assert_eq!(solver.kinds(name, true), []);
}

#[tokio::test]
async fn a_request_that_never_ends_is_cut_off() {
    let (servers, port) = (StandaloneServers::new(), free_port());
    let solver = servers.solver(Some(LOOPBACK), port);
    let address = SocketAddr::new(LOOPBACK, port);
    let all = [http01("a.example", "good")];
    solver.present(&all, &no_names()).await.unwrap();
    let mut slow = TcpStream::connect(address).await.unwrap();
    let begin = Instant::now();
    slow.write_all(b"GET /.well-known/acme-challenge/good HTTP/1.1\r\n").await.unwrap();
    let ended = async {
        let mut byte = [0];
        loop {
            tokio::select! {
                read = slow.read(&mut byte) => if !matches!(read, Ok(1..)) { break },
                () = tokio::time::sleep(Duration::from_millis(300)) => {}
            }
            if slow.write_all(b"X: y\r\n").await.is_err() {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(15), ended).await.unwrap();
    assert!(begin.elapsed() > Duration::from_secs(3), "{:?}", begin.elapsed());
    solver.withdraw(&all).await.unwrap();
}
