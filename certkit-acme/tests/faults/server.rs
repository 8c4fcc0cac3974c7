//! A server that answers each path with the bytes that a test gives it.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use certkit_acme::protocol::{Account, AccountKey, AccountKeyType, AcmeError, Authority, NewAccount, NewOrder};
use certkit_acme::transport::{Transport, TransportSettings};
use certkit_core::{AcmeUrl, Identifier};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a server does with a connection on which a request for a path came.
type Answer = Arc<dyn Fn(&str) -> Vec<u8> + Send + Sync>;

/// A server that answers each path with bytes. A path that it does not know gets nothing at all, for ever.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) address: SocketAddr,
    answers: Arc<Mutex<BTreeMap<String, Answer>>>,
    pub(super) requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(super) async fn start() -> Self {
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

    pub(super) fn url(&self, path: &str) -> AcmeUrl {
        AcmeUrl::parse(&format!("http://{}{path}", self.address)).unwrap()
    }

    pub(super) fn on(&self, path: &str, answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) {
        self.answers.lock().unwrap().insert(path.to_owned(), Arc::new(answer));
    }

    pub(super) fn gives(&self, path: &str, status: u16, headers: &str, body: &str) {
        let bytes = http(status, headers, body.as_bytes());
        self.on(path, move |_| bytes.clone());
    }

    /// A directory and nonces as they should be.
    pub(super) fn is_a_ca(&self) {
        let directory = json!({
            "newNonce": self.url("/nonce"), "newAccount": self.url("/account"), "newOrder": self.url("/order"),
            "revokeCert": self.url("/revoke"), "keyChange": self.url("/key-change"),
            "futureThing": { "x": [1, null] }, "meta": { "profiles": { "p": 7, "q": "text" }, "website": null, "caaIdentities": ["ca.example", 7] },
        });
        self.gives("/dir", 200, "", &directory.to_string());
        self.gives("/nonce", 200, "Replay-Nonce: nonce\r\n", "");
        self.gives("/account", 201, &format!("Location: {}\r\n", self.url("/account/1")), "{\"status\":\"valid\"}");
    }

    pub(super) fn requests(&self, path: &str) -> usize {
        let wanted = format!(" {path} ");
        self.requests.lock().unwrap().iter().filter(|head| head.lines().next().unwrap().contains(&wanted)).count()
    }
}

pub(super) fn http(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

pub(super) fn transport() -> Transport {
    let mut settings = TransportSettings::new();
    settings.timeout = Duration::from_secs(2);
    settings.connect_timeout = Duration::from_secs(1);
    Transport::new(&settings).unwrap()
}

pub(super) async fn connect(server: &Server) -> Result<Authority, AcmeError> {
    within(Authority::connect(transport(), &server.url("/dir"))).await
}

pub(super) async fn account(server: &Server) -> Account {
    server.is_a_ca();
    let key = AccountKey::generate_kind(AccountKeyType::EcdsaP256).unwrap();
    connect(server).await.unwrap().register(key, &NewAccount::new(vec![], true), None).await.unwrap().account
}

/// No fault may take longer than this.
pub(super) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(15), future).await.expect("it ends in bounded time")
}

pub(super) fn order() -> NewOrder {
    NewOrder::new([Identifier::parse("a.example").unwrap()].into_iter().collect())
}
