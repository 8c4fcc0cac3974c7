//! A web server on loopback that keeps what it is sent: webhooks and heartbeats.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A running server that speaks plain http. It ends with the test's process.
#[derive(Clone, Debug)]
pub struct WebSink {
    port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    requests: Vec<SunkRequest>,
    answers: Vec<(u16, String)>,
}

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SunkRequest {
    /// GET, POST …
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The head's fields in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl WebSink {
    /// Starts a server that answers 200.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State { requests: Vec::new(), answers: Vec::new() }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || {
                    let _ = serve(stream, &shared);
                });
            }
        });
        Self { port, state }
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The next requests are answered like this, one each; later ones with 200 again.
    pub fn answer(&self, status: u16, body: &str) {
        self.state.lock().unwrap().answers.push((status, body.to_owned()));
    }

    /// What came, in its order.
    pub fn requests(&self) -> Vec<SunkRequest> {
        self.state.lock().unwrap().requests.clone()
    }

    /// What came since the last call.
    pub fn take(&self) -> Vec<SunkRequest> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }
}

impl SunkRequest {
    /// The first field of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, value)| value.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8_lossy(&body).into_owned();
    let (status, answer) = {
        let mut state = state.lock().unwrap();
        state.requests.push(SunkRequest { method, path, headers, body });
        if state.answers.is_empty() { (200, String::new()) } else { state.answers.remove(0) }
    };
    let length = answer.len();
    let mut stream = stream;
    write!(stream, "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{answer}")?;
    stream.flush()
}
