//! Answers that are none, that never end, or that lead elsewhere.

use std::time::{Duration, Instant};

use certkit_acme::protocol::{AcmeError, Authority};
use certkit_acme::transport::TransportError;
use certkit_core::{AcmeUrl, Failure, FailureClass, Retry};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::server::{Server, account, connect, order, transport, within};

async fn problem_of_directory(status: u16, headers: &str, body: &str) -> AcmeError {
    let server = Server::start().await;
    server.gives("/dir", status, headers, body);
    connect(&server).await.unwrap_err()
}

#[tokio::test]
async fn what_is_no_directory_is_called_what_it_is() {
    let deep = "[".repeat(100_000);
    for (status, headers, body, says) in [
        (
            200,
            "Content-Type: text/html\r\n",
            "<html>Sign in to WiFi</html>",
            "an HTML page instead of an ACME directory",
        ),
        (200, "", "<!DOCTYPE html>\n", "an HTML page"),
        (404, "", "404", "HTTP 404: JSON that is not an ACME directory"),
        (404, "", "{\"message\":\"no such route\"}", "HTTP 404: JSON that is not an ACME directory"),
        (200, "", "", "an empty answer"),
        (204, "", "", "HTTP 204: an empty answer"),
        (200, "", "{}", "missing field `newNonce`"),
        (200, "", "{\"newNonce\":null}", "JSON that is not an ACME directory"),
        (200, "", "{\"newNonce\":\"https://x/1\",\"newNonce\":\"https://x/2\"}", "duplicate field"),
        (200, "", "{\"newNonce\": \"https://ca.exam", "JSON that breaks off"),
        (200, "", "\u{feff}{}", "that are not JSON"),
        (200, "Content-Type: text/plain\r\n", "hello", "5 bytes of type text/plain that are not JSON"),
        (200, "", deep.as_str(), "JSON that breaks off"),
        (200, "", "1e400", "not"),
    ] {
        let error = problem_of_directory(status, headers, body).await;
        assert!(matches!(error, AcmeError::NotAcme { .. }), "{error}");
        assert!(error.to_string().contains(says), "{error} / {says}");
        assert_eq!(Failure::from(error).class, FailureClass::Protocol, "{says}");
    }
}

#[tokio::test]
async fn what_a_directory_says_besides_is_read_as_far_as_it_makes_sense() {
    let server = Server::start().await;
    server.is_a_ca();
    let authority = connect(&server).await.unwrap();
    assert_eq!(authority.directory().caa_identities, ["ca.example"]);
    assert_eq!(authority.directory().profiles.keys().collect::<Vec<_>>(), ["p", "q"]);
    assert!(!authority.directory().external_account_required);
}

#[tokio::test]
async fn urls_that_may_not_be_called_are_named_and_not_called() {
    let good = "https://ca.example/x";
    for field in ["newNonce", "newAccount", "newOrder", "revokeCert", "keyChange", "renewalInfo"] {
        for bad in ["http://ca.example/x", "file:///etc/passwd", "https://user@ca.example/", "ca.example"] {
            let mut directory = json!({ "newNonce": good, "newAccount": good, "newOrder": good });
            directory[field] = bad.into();
            let error = problem_of_directory(200, "", &directory.to_string()).await.to_string();
            assert!(error.contains(bad) && error.contains("refused"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_busy_server_says_when_and_is_believed_within_bounds() {
    let page = "<html>maintenance</html>";
    let error = problem_of_directory(503, "Retry-After: 120\r\nContent-Type: text/html\r\n", page).await;
    let failure = Failure::from(error);
    assert_eq!((failure.class, failure.http_status), (FailureClass::ServerUnavailable, Some(503)));
    let Retry::At(at) = failure.retry else { panic!("{failure:?}") };
    let wait = (at - testkit::now()).num_seconds();
    assert!((110..=120).contains(&wait), "{wait}");
    let failure = Failure::from(problem_of_directory(503, "Retry-After: 1e30\r\n", page).await);
    assert_eq!(failure.retry, Retry::AfterBackoff);
    let failure = Failure::from(problem_of_directory(429, "", "slow down").await);
    assert_eq!(failure.class, FailureClass::RateLimited);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let server = Server::start().await;
    for target in
        ["/elsewhere", "http://169.254.169.254/latest", "file:///etc/passwd", "https://other.example/\u{202e}"]
    {
        for status in [301, 302, 303, 307, 308] {
            server.gives("/dir", status, &format!("Location: {target}\r\n"), "");
            let error = connect(&server).await.unwrap_err();
            let text = error.to_string();
            assert!(matches!(error, AcmeError::Transport(TransportError::Redirect { .. })), "{text}");
            assert!(
                text.contains("/dir answered") && text.contains(target.split('\u{202e}').next().unwrap()),
                "{text}"
            );
            assert!(!text.contains('\u{202e}'));
            assert_eq!(Failure::from(error).class, FailureClass::Protocol);
        }
    }
    assert_eq!(server.requests("/elsewhere"), 0);
    // Neither is one in answer to a signed request.
    let account = account(&server).await;
    server.gives("/order", 307, &format!("Location: {}\r\n", server.url("/elsewhere")), "");
    let error = account.new_order(&order()).await.unwrap_err();
    assert!(matches!(error, AcmeError::Transport(TransportError::Redirect { .. })), "{error}");
    assert_eq!(server.requests("/elsewhere"), 0);
}

#[tokio::test]
async fn bodies_have_an_end() {
    let server = Server::start().await;
    let large = "x".repeat(10 * 1024 * 1024);
    server.gives("/dir", 200, "", &large);
    let error = connect(&server).await.unwrap_err();
    assert!(matches!(error, AcmeError::Transport(TransportError::TooLarge { status: 200, .. })), "{error}");
    // Without a length, and in chunks without end.
    server.on("/dir", move |_| [&b"HTTP/1.1 200 OK\r\n\r\n"[..], large.as_bytes()].concat());
    assert!(matches!(connect(&server).await, Err(AcmeError::Transport(TransportError::TooLarge { .. }))));
    let chunk = format!("100000\r\n{}\r\n", "x".repeat(0x0010_0000)).repeat(3);
    server.on("/dir", move |_| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}").into_bytes());
    assert!(matches!(connect(&server).await, Err(AcmeError::Transport(TransportError::TooLarge { .. }))));
    // Broken off before the announced length.
    server.on("/dir", |_| b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".to_vec());
    let error = connect(&server).await.unwrap_err().to_string();
    assert!(error.contains("the body broke off"), "{error}");
    // Compressed, though nobody asked.
    server.gives("/dir", 200, "Content-Encoding: gzip\r\n", "\x1f");
    let error = connect(&server).await.unwrap_err().to_string();
    assert!(error.contains("compressed"), "{error}");
    let head = server.requests.lock().unwrap().first().unwrap().to_ascii_lowercase();
    assert!(!head.contains("accept-encoding") && head.contains("user-agent: certkit/"), "{head}");
}

#[tokio::test]
async fn silence_and_slowness_end_in_time() {
    let server = Server::start().await;
    let begun = Instant::now();
    let error = connect(&server).await.unwrap_err();
    assert!(matches!(error, AcmeError::Transport(TransportError::Timeout { seconds: 2, .. })), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(Failure::from(error).class, FailureClass::Network);

    // A byte now and then keeps a connection alive, but not an exchange.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let slow = AcmeUrl::parse(&format!("http://{}/dir", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").await;
        while stream.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let error = within(Authority::connect(transport(), &slow)).await.unwrap_err();
    assert!(matches!(error, AcmeError::Transport(TransportError::Timeout { .. })), "{error}");
}

#[tokio::test]
async fn heads_have_an_end_too() {
    let server = Server::start().await;
    for headers in
        ["X: y\r\n".repeat(1000), format!("X: {}\r\n", "y".repeat(200_000)), "X y\r\n".into(), "X: \0\r\n".into()]
    {
        server.gives("/dir", 200, &headers, "{}");
        let error = connect(&server).await.unwrap_err();
        assert!(matches!(error, AcmeError::Transport(TransportError::Broken { .. })), "{error}");
    }
    server.gives("/dir", 200, "Content-Length: 7\r\n", "{}");
    assert!(connect(&server).await.is_err());
    server.on("/dir", |_| b"SSH-2.0-OpenSSH_9.2\r\n".to_vec());
    let error = connect(&server).await.unwrap_err();
    assert!(matches!(error, AcmeError::Transport(TransportError::Broken { .. })), "{error}");
    server.on("/dir", |_| Vec::new());
    let error = connect(&server).await.unwrap_err();
    assert!(matches!(error, AcmeError::Transport(TransportError::Network { .. })), "{error}");
}

#[tokio::test]
async fn nobody_there_is_said_with_the_address() {
    let port = testkit::ports::free_port();
    for host in ["127.0.0.1", "localhost"] {
        let url = AcmeUrl::parse(&format!("https://{host}:{port}/dir")).unwrap();
        let error = within(Authority::connect(transport(), &url)).await.unwrap_err().to_string();
        assert!(error.contains(&format!("127.0.0.1:{port}: Connection refused")), "{error}");
    }
    // TLS to a server that speaks none.
    let server = Server::start().await;
    server.is_a_ca();
    let url = AcmeUrl::parse(&format!("https://{}/dir", server.address)).unwrap();
    let error = within(Authority::connect(transport(), &url)).await.unwrap_err();
    assert!(matches!(error, AcmeError::Transport(_)), "{error}");
}
