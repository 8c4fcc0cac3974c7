//! A web server on loopback that keeps what it is sent: webhooks and heartbeats.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::HttpRequest;

/// A running server that speaks plain http. It ends with the test's process.
#[derive(Clone, Debug)]
pub struct WebSink {
    port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    requests: Vec<HttpRequest>,
    answers: Vec<(u16, String)>,
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
    pub fn requests(&self) -> Vec<HttpRequest> {
        self.state.lock().unwrap().requests.clone()
    }

    /// What came since the last call.
    pub fn take(&self) -> Vec<HttpRequest> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let Some(request) = HttpRequest::read(&stream) else { return Ok(()) };
    let (status, answer) = {
        let mut state = state.lock().unwrap();
        state.requests.push(request);
        if state.answers.is_empty() { (200, String::new()) } else { state.answers.remove(0) }
    };
    let length = answer.len();
    write!(stream, "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{answer}")?;
    stream.flush()
}
