//! Servers that are not what they should be: every fault ends in bounded time as an error that says what came.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use certkit_acme::protocol::{
    Account, AccountKey, AccountKeyType, AcmeError, Authority, NewAccount, NewOrder, OrderStatus,
};
use certkit_acme::transport::{Transport, TransportError, TransportSettings};
use certkit_core::{AcmeUrl, Failure, FailureClass, Identifier, Retry};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a server does with a connection on which a request for a path came.
type Answer = Arc<dyn Fn(&str) -> Vec<u8> + Send + Sync>;

/// A server that answers each path with bytes. A path that it does not know gets nothing at all, for ever.
#[derive(Clone)]
struct Server {
    address: SocketAddr,
    answers: Arc<Mutex<BTreeMap<String, Answer>>>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server =
            Self { address: listener.local_addr().unwrap(), answers: Arc::default(), requests: Arc::default() };
        let this = server.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(this.clone().serve(stream));
            }
        });
        server
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut request = Vec::new();
        let mut buffer = [0; 16_384];
        // Head, and as much body as it announces.
        let head = loop {
            let read = stream.read(&mut buffer).await.unwrap_or(0);
            if read == 0 {
                return;
            }
            request.extend_from_slice(&buffer[..read]);
            let text = String::from_utf8_lossy(&request).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head
                    .lines()
                    .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok())
                    .unwrap_or(0_usize);
                if body.len() >= length {
                    break head.to_owned();
                }
            }
        };
        self.requests.lock().unwrap().push(head.clone());
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let answer = self.answers.lock().unwrap().get(&path).cloned();
        match answer {
            Some(answer) => {
                let _ = stream.write_all(&answer(&head)).await;
            }
            None => std::future::pending::<()>().await,
        }
    }

    fn url(&self, path: &str) -> AcmeUrl {
        AcmeUrl::parse(&format!("http://{}{path}", self.address)).unwrap()
    }

    fn on(&self, path: &str, answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) {
        self.answers.lock().unwrap().insert(path.to_owned(), Arc::new(answer));
    }

    fn gives(&self, path: &str, status: u16, headers: &str, body: &str) {
        let bytes = http(status, headers, body.as_bytes());
        self.on(path, move |_| bytes.clone());
    }

    /// A directory and nonces as they should be.
    fn is_a_ca(&self) {
        let directory = json!({
            "newNonce": self.url("/nonce"), "newAccount": self.url("/account"), "newOrder": self.url("/order"),
            "revokeCert": self.url("/revoke"), "keyChange": self.url("/key-change"),
            "futureThing": { "x": [1, null] }, "meta": { "profiles": { "p": 7, "q": "text" }, "website": null, "caaIdentities": ["ca.example", 7] },
        });
        self.gives("/dir", 200, "", &directory.to_string());
        self.gives("/nonce", 200, "Replay-Nonce: nonce\r\n", "");
        self.gives("/account", 201, &format!("Location: {}\r\n", self.url("/account/1")), "{\"status\":\"valid\"}");
    }

    fn requests(&self, path: &str) -> usize {
        let wanted = format!(" {path} ");
        self.requests.lock().unwrap().iter().filter(|head| head.lines().next().unwrap().contains(&wanted)).count()
    }
}

fn http(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn transport() -> Transport {
    let mut settings = TransportSettings::new();
    settings.timeout = Duration::from_secs(2);
    settings.connect_timeout = Duration::from_secs(1);
    Transport::new(&settings).unwrap()
}

async fn connect(server: &Server) -> Result<Authority, AcmeError> {
    within(Authority::connect(transport(), &server.url("/dir"))).await
}

async fn account(server: &Server) -> Account {
    server.is_a_ca();
    let key = AccountKey::generate_kind(AccountKeyType::EcdsaP256).unwrap();
    connect(server).await.unwrap().register(key, &NewAccount::new(vec![], true), None).await.unwrap().account
}

/// No fault may take longer than this.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(15), future).await.expect("it ends in bounded time")
}

fn order() -> NewOrder {
    NewOrder::new([Identifier::parse("a.example").unwrap()].into_iter().collect())
}

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

#[tokio::test]
async fn nonces_that_never_work_come_to_an_end() {
    let server = Server::start().await;
    let account = account(&server).await;
    let bad_nonce = json!({ "type": "urn:ietf:params:acme:error:badNonce", "detail": "no" }).to_string();
    server.gives("/order", 400, "Replay-Nonce: again\r\n", &bad_nonce);
    let error = within(account.new_order(&order())).await.unwrap_err();
    assert_eq!(error.problem_kind(), Some("badNonce"));
    assert_eq!(Failure::from(error).class, FailureClass::ServerUnavailable);
    assert!((10..=100).contains(&server.requests("/order")));

    // The last refusal brought a nonce; it is used up first.
    server.gives("/order", 500, "", "");
    assert_eq!(account.new_order(&order()).await.unwrap_err().http_status(), Some(500));
    for nonce in ["", "Replay-Nonce: a b\r\n", "Replay-Nonce: \"x\"\r\n"] {
        server.gives("/nonce", 200, nonce, "");
        let error = account.new_order(&order()).await.unwrap_err();
        assert!(error.to_string().contains("no nonce"), "{error}");
    }
    server.gives("/nonce", 503, "Retry-After: 60\r\n", "");
    let error = account.new_order(&order()).await.unwrap_err();
    assert!(matches!(Failure::from(error).retry, Retry::At(_)));

    // One that refuses slowly gets no more time for all tries than for one exchange (2 s here).
    server.gives("/nonce", 200, "Replay-Nonce: nonce\r\n", "");
    let before = server.requests("/order");
    let slow = http(400, "Replay-Nonce: again\r\n", bad_nonce.as_bytes());
    server.on("/order", move |_| {
        std::thread::sleep(Duration::from_millis(500));
        slow.clone()
    });
    let begun = Instant::now();
    let error = within(account.new_order(&order())).await.unwrap_err();
    assert_eq!(error.problem_kind(), Some("badNonce"));
    assert!((2..=6).contains(&(server.requests("/order") - before)) && begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn orders_are_what_was_asked_for_or_refused() {
    let server = Server::start().await;
    let account = account(&server).await;
    let good = json!({
        "status": "pending", "identifiers": [{ "type": "dns", "value": "A.example" }], "expires": "soon",
        "authorizations": [server.url("/authz/1"), server.url("/authz/1")], "finalize": server.url("/finalize"),
        "error": null, "profile": 7, "replaces": [],
    });
    let location = format!("Location: {}\r\nReplay-Nonce: n\r\n", server.url("/order/1"));
    let place = async |document: &serde_json::Value| {
        server.gives("/order", 201, &location, &document.to_string());
        within(account.new_order(&order())).await
    };
    let placed = place(&good).await.unwrap();
    assert_eq!((placed.url, placed.authorizations.len(), placed.expires), (server.url("/order/1"), 1, None));

    let url = server.url("/x").to_string();
    let many: Vec<_> = (0..10_000).map(|n| server.url(&format!("/authz/{n}"))).collect();
    for (field, value, says) in [
        ("status", json!("surprising\u{1b}"), "the unknown status `surprising\\u{1b}`"),
        ("status", json!("valid"), "without the URL of its certificate"),
        ("status", json!(null), "not an order"),
        (
            "identifiers",
            json!([{ "type": "dns", "value": "evil.example" }]),
            "an order for evil.example instead of a.example",
        ),
        ("identifiers", json!([]), "with more authorizations than identifiers"),
        (
            "identifiers",
            json!([{ "type": "dns", "value": "a.example" }, { "type": "dns", "value": "b.example" }]),
            "instead of a.example",
        ),
        ("identifiers", json!([{ "type": "ip", "value": "a.example" }]), "the identifier `a.example` of the type `ip`"),
        ("identifiers", json!([{ "type": "dns", "value": "../../x" }]), "the identifier `../../x`"),
        ("authorizations", json!(["http://ca.example/authz"]), "http://ca.example/authz"),
        ("authorizations", json!(many), "more authorizations than identifiers"),
        ("authorizations", json!("x"), "not an order"),
        ("finalize", json!("http://ca.example/finalize"), "http://ca.example/finalize"),
        ("finalize", json!(null), "not an order"),
        ("certificate", json!("file:///etc/passwd"), "file:///etc/passwd"),
    ] {
        let mut document = good.clone();
        document[field] = value;
        let error = place(&document).await.unwrap_err();
        assert!(matches!(error, AcmeError::NotAcme { .. }) && error.to_string().contains(says), "{error} / {says}");
    }
    // What nothing comes of any more is a dead order, whatever it is called.
    for dead in ["deactivated", "expired", "revoked"] {
        let mut document = good.clone();
        document["status"] = dead.into();
        let placed = place(&document).await.unwrap();
        let error = placed.error.clone().unwrap();
        assert_eq!((placed.status, error.kind.as_str()), (OrderStatus::Invalid, dead));
        assert_eq!(error.detail, format!("the CA says that the order is {dead}"));
        assert!(placed.is_for(&order().identifiers));
        assert!(!placed.is_for(&[Identifier::parse("b.example").unwrap()].into_iter().collect()));
        // The CA's own reason is the better one.
        document["error"] = json!({ "type": "urn:ietf:params:acme:error:caa", "detail": "forbidden" });
        assert_eq!(place(&document).await.unwrap().error.unwrap().kind, "caa");
    }
    // No authorization to be had, and a certificate already: legal.
    let mut document = good.clone();
    document["authorizations"] = json!([]);
    document["status"] = "valid".into();
    document["certificate"] = url.into();
    assert!(place(&document).await.is_ok());

    server.gives("/order", 201, "Replay-Nonce: n\r\n", &good.to_string());
    let error = account.new_order(&order()).await.unwrap_err().to_string();
    assert!(error.contains("without its URL (Location)"), "{error}");
    server.gives("/order", 201, "Replay-Nonce: n\r\nLocation: http://ca.example/order/1\r\n", &good.to_string());
    let error = account.new_order(&order()).await.unwrap_err().to_string();
    assert!(error.contains("http://ca.example/order/1"), "{error}");
}

#[tokio::test]
async fn every_failing_name_is_kept_with_its_reason() {
    let server = Server::start().await;
    let account = account(&server).await;
    let document = json!({
        "type": "urn:ietf:params:acme:error:compound", "detail": format!("two\u{1b}[2J names\r\n{}", "x".repeat(1_000)),
        "subproblems": [
            { "type": "urn:ietf:params:acme:error:caa", "detail": "forbidden", "identifier": { "type": "dns", "value": "a.example" } },
            { "type": "urn:ietf:params:acme:error:rejectedIdentifier", "identifier": { "type": "dns", "value": "b.example" } },
            { "type": "urn:ietf:params:acme:error:dns", "detail": "odd", "identifier": { "type": "dns", "value": "\n" } },
            7,
        ],
    });
    server.gives("/order", 403, "Replay-Nonce: n\r\n", &document.to_string());
    let failure = Failure::from(account.new_order(&order()).await.unwrap_err());
    let kinds: Vec<_> =
        failure.per_identifier.iter().map(|one| (one.identifier.to_string(), one.problem.kind.clone())).collect();
    assert_eq!(
        kinds,
        [("a.example".to_owned(), "caa".to_owned()), ("b.example".to_owned(), "rejectedIdentifier".to_owned()),]
    );
    assert_eq!(failure.class, FailureClass::IdentifierRefused);
    assert!(!failure.to_string().contains(['\u{1b}', '\r', '\n']));
}

#[tokio::test]
async fn an_order_refused_for_what_it_replaces_is_placed_without_it() {
    let server = Server::start().await;
    server.is_a_ca();
    let mut directory: serde_json::Value = json!({ "newNonce": server.url("/nonce"), "newAccount": server.url("/account"), "newOrder": server.url("/order") });
    directory["renewalInfo"] = server.url("/ari").to_string().into();
    server.gives("/dir", 200, "", &directory.to_string());
    let key = AccountKey::generate_kind(AccountKeyType::EcdsaP256).unwrap();
    let authority = connect(&server).await.unwrap();
    let account = authority.register(key, &NewAccount::new(vec![], true), None).await.unwrap().account;
    let conflict = json!({ "type": "urn:ietf:params:acme:error:alreadyReplaced", "detail": "already" }).to_string();
    let order_document = json!({
        "status": "pending", "identifiers": [{ "type": "dns", "value": "a.example" }],
        "authorizations": [], "finalize": server.url("/finalize"),
    });
    let location = format!("Location: {}\r\nReplay-Nonce: n\r\n", server.url("/order/1"));
    let tries = Arc::new(Mutex::new(0));
    server.on("/order", move |_| {
        let mut tries = tries.lock().unwrap();
        *tries += 1;
        if *tries == 1 {
            http(409, "Replay-Nonce: n\r\n", conflict.as_bytes())
        } else {
            http(201, &location, order_document.to_string().as_bytes())
        }
    });
    let mut wanted = order();
    wanted.replaces = Some("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE".into());
    account.new_order(&wanted).await.unwrap();
    assert_eq!(server.requests("/order"), 2);
}

#[tokio::test]
async fn authorizations_are_read_whatever_they_offer() {
    let server = Server::start().await;
    let account = account(&server).await;
    let url = server.url("/authz/1");
    let challenge = server.url("/challenge/1");
    let document = json!({
        "identifier": { "type": "dns", "value": "*.A.example" }, "status": "pending", "expires": null,
        "challenges": [
            { "type": "dns-persist-01", "url": challenge, "accounturi": "x", "issuer-domain-names": ["ca.example"] },
            { "type": "future-99\n", "url": challenge, "token": null, "status": "odd" },
            { "type": "no-url-01" }, { "url": challenge },
            { "type": "http-01", "url": challenge, "token": "../../x", "status": "invalid",
              "error": { "type": "urn:ietf:params:acme:error:dns", "detail": "no such name" } },
        ],
    });
    server.gives("/authz/1", 200, "Replay-Nonce: n\r\nRetry-After: 3\r\n", &document.to_string());
    let authorization = account.authorization(&url).await.unwrap();
    assert_eq!((authorization.identifier.to_string(), authorization.wildcard), ("a.example".into(), true));
    let kinds: Vec<_> = authorization.challenges.iter().map(|offer| offer.kind.as_str()).collect();
    assert_eq!(kinds, ["dns-persist-01", "future-99\\u{a}", "http-01"]);
    assert_eq!(authorization.challenges[0].token, None);
    assert_eq!(authorization.challenges[2].error.as_ref().unwrap().kind, "dns");
    assert!(authorization.retry_after.is_some());
    for (field, value) in [
        ("status", json!("odd")),
        ("identifier", json!(null)),
        ("identifier", json!({ "type": "dns", "value": "a b" })),
        ("challenges", json!([{ "type": "http-01", "url": "http://ca.example/challenge" }])),
    ] {
        let mut document = document.clone();
        document[field] = value;
        server.gives("/authz/1", 200, "Replay-Nonce: n\r\n", &document.to_string());
        assert!(matches!(account.authorization(&url).await, Err(AcmeError::NotAcme { .. })), "{field}");
    }
}

#[tokio::test]
async fn chains_that_are_none_are_called_what_they_are() {
    let server = Server::start().await;
    let account = account(&server).await;
    let url = server.url("/certificate");
    let pki = testkit::Pki::new(testkit::now());
    let fullchain = pki.for_localhost(testkit::now()).fullchain;
    for (body, says) in [
        (String::new(), "an empty answer"),
        ("<html>".into(), "an HTML page"),
        ("{}".into(), "JSON that is not a PEM certificate chain"),
        ("garbage".into(), "7 bytes that are not a PEM certificate chain"),
        ("\u{1}garbage".into(), "8 bytes that are not a PEM certificate chain"),
        (fullchain.replace("MII", "\0II"), "certificate chain"),
        (format!("{fullchain}{}", pki.intermediate_pem().repeat(1_000)), "a chain of 100"),
    ] {
        server.gives("/certificate", 200, "Replay-Nonce: n\r\n", &body);
        let error = account.certificate(&url, false).await.unwrap_err();
        assert!(matches!(error, AcmeError::NotAcme { .. } | AcmeError::Transport(_)), "{error}");
        let text = error.to_string();
        assert!(text.contains(says) || text.contains("more than"), "{text} / {says}");
    }
    // Alternates: one that loops, one for another certificate, one that is missing, one that is good.
    let links = format!(
        "Replay-Nonce: n\r\nLink: <{url}>;rel=\"alternate\", </other>;rel=\"alternate\"\r\nLink: </missing>;rel=\"alternate\"\r\nLink: </good>;rel=\"alternate\"\r\n"
    );
    server.gives("/certificate", 200, &links, &fullchain);
    server.gives("/other", 200, "Replay-Nonce: n\r\n", &pki.for_localhost(testkit::now()).fullchain);
    server.gives("/missing", 404, "Replay-Nonce: n\r\n", "");
    server.gives("/good", 200, "Replay-Nonce: n\r\n", &fullchain);
    let chains = within(account.certificate(&url, true)).await.unwrap();
    let urls: Vec<_> = chains.iter().map(|chain| chain.url.path()).collect();
    assert_eq!(urls, ["/certificate", "/good"]);
}

#[tokio::test]
async fn what_the_ca_does_not_offer_is_said() {
    let server = Server::start().await;
    let url = server.url("/x");
    let directory = json!({ "newNonce": url, "newAccount": url, "newOrder": url });
    server.gives("/dir", 200, "", &directory.to_string());
    let authority = connect(&server).await.unwrap();
    let key = certkit_acme::keys::KeySpec::EcdsaP256.generate().unwrap();
    let pki = testkit::Pki::new(testkit::now());
    let certificate = certkit_core::Certificate::from_pem(pki.for_localhost(testkit::now()).cert.as_bytes()).unwrap();
    let error = authority.revoke_with_certificate_key(&certificate, &key, None).await.unwrap_err();
    assert!(error.to_string().contains("offers no revokeCert"), "{error}");
    let key = || AccountKey::generate_kind(AccountKeyType::EcdsaP256).unwrap();
    let account = authority.account(key(), server.url("/account/1")).unwrap();
    let error = within(account.change_key(key())).await.unwrap_err();
    assert!(error.to_string().contains("offers no change of account keys"), "{error}");
    assert_eq!(Failure::from(error).retry, Retry::AfterOwner);
}

#[tokio::test]
async fn a_new_account_key_that_another_account_has_is_said_with_the_account() {
    let server = Server::start().await;
    let account = account(&server).await;
    let key = || AccountKey::generate_kind(AccountKeyType::EcdsaP256).unwrap();
    let location = format!("Location: {}\r\n", server.url("/account/2"));
    server.gives("/key-change", 409, &location, r#"{"type":"urn:ietf:params:acme:error:malformed","detail":"in use"}"#);
    let error = within(account.change_key(key())).await.unwrap_err();
    assert!(matches!(&error, AcmeError::KeyInUse { account: Some(_), .. }), "{error:?}");
    assert!(error.to_string().contains("/account/2 has it already"), "{error}");
    let failure = Failure::from(error);
    assert_eq!((failure.http_status, failure.retry), (Some(409), Retry::AfterOwner));
    server.gives("/key-change", 409, "", "");
    let error = within(account.change_key(key())).await.unwrap_err();
    assert!(error.to_string().contains("another account has it already"), "{error}");
}
