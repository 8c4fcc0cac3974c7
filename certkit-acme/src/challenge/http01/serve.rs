//! The responder: known tokens, fixed answers, bounded in everything that a stranger can make grow.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::super::{SolveError, Token};
use crate::connections::{Connections, response, serve_one};

/// RFC 8555 section 8.3.
const PATH: &str = "/.well-known/acme-challenge/";

/// Connections at once on a socket: it leaves most of the usual 1,024 descriptors of a process to the rest of the run.
const MAX_CONNECTIONS: usize = 256;

/// For the whole of a connection; Let's Encrypt itself gives up after 10 s.
const CONNECTION_TIME: Duration = Duration::from_secs(10);

/// Who was let in has this time to ask, however many wait outside: 256 at once make 5,000 in a second, and the kernel lets 4,096
/// wait.
const LET_IN: Duration = Duration::from_millis(50);

/// The known tokens with their key authorizations, each counted: two orders may share an authorization.
#[derive(Debug, Default)]
pub(super) struct TokenTable(RwLock<HashMap<String, Known>>);

#[derive(Debug)]
struct Known {
    key_authorization: Bytes,
    count: usize,
}

impl TokenTable {
    /// Counts one more user of the token.
    pub(super) fn add(&self, token: &Token, key_authorization: &str) -> Result<(), SolveError> {
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let known = table.entry(token.as_str().to_owned()).or_insert_with(|| Known {
            key_authorization: Bytes::copy_from_slice(key_authorization.as_bytes()),
            count: 0,
        });
        if known.key_authorization != key_authorization.as_bytes() {
            return Err(SolveError::Setup("two accounts were given the same challenge token".into()));
        }
        known.count = known.count.saturating_add(1);
        Ok(())
    }

    /// Counts one less, and forgets the token with its last user.
    pub(super) fn remove(&self, token: &Token) {
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = table.get_mut(token.as_str()) {
            known.count = known.count.saturating_sub(1);
            if known.count == 0 {
                table.remove(token.as_str());
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn find(&self, token: &str) -> Option<Bytes> {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        table.get(token).map(|known| known.key_authorization.clone())
    }
}

/// Accepts until it is aborted, and then its connections end with it; or until it is asked to hand over.
pub(super) async fn serve(listener: TcpListener, tokens: Arc<TokenTable>, mut hand_over: oneshot::Receiver<Closed>) {
    /// After a failed accept, usually for want of descriptors.
    const PAUSE: Duration = Duration::from_millis(50);
    let mut connections = Connections::at_most(MAX_CONNECTIONS);
    let closed = loop {
        let accepted = tokio::select! {
            accepted = async {
                connections.room(LET_IN).await;
                listener.accept().await
            } => accepted,
            // Without a sender nobody will ask.
            Ok(closed) = &mut hand_over => break closed,
        };
        match accepted {
            Ok((stream, _)) => connections.add(connection(stream, Arc::clone(&tokens))),
            Err(_) => {
                connections.end_oldest();
                sleep(PAUSE).await;
            }
        }
    };
    // Who has connected already is still answered here; the kernel would reset what nobody accepts.
    if let Ok(listener) = listener.into_std() {
        while let Ok(stream) = listener.accept().and_then(|(stream, _)| from_std(stream)) {
            connections.add(connection(stream, Arc::clone(&tokens)));
        }
    }
    let _ = closed.send(());
    connections.served().await;
}

/// Is told when the socket is closed.
pub(super) type Closed = oneshot::Sender<()>;

fn from_std(stream: std::net::TcpStream) -> io::Result<TcpStream> {
    stream.set_nonblocking(true)?;
    TcpStream::from_std(stream)
}

pub(super) async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, tokens: Arc<TokenTable>) {
    serve_one(stream, CONNECTION_TIME, |request| std::future::ready(answer(&request, &tokens))).await;
}

/// The answer depends on nothing but the method and the exact path; nothing of the request comes back.
fn answer<B>(request: &Request<B>, tokens: &TokenTable) -> Response<Full<Bytes>> {
    let token = request.uri().path().strip_prefix(PATH).filter(|_| request.uri().query().is_none());
    let found = if matches!(*request.method(), Method::GET | Method::HEAD) {
        token.and_then(|token| tokens.find(token))
    } else {
        None
    };
    let (status, kind, body) = match found {
        Some(body) => (StatusCode::OK, "application/octet-stream", body),
        None => (StatusCode::NOT_FOUND, "text/plain", Bytes::from_static(b"404 Not Found\n")),
    };
    response(status, kind, body)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table() -> TokenTable {
        let table = TokenTable::default();
        table.add(&Token::parse("known-Token_1").unwrap(), "known-Token_1.thumb").unwrap();
        table
    }

    fn status(method: &str, target: &str) -> StatusCode {
        answer(&Request::builder().method(method).uri(target).body(()).unwrap(), &table()).status()
    }

    #[test]
    fn only_the_exact_path_of_a_known_token_is_answered() {
        let good = format!("{PATH}known-Token_1");
        assert_eq!(status("GET", &good), StatusCode::OK);
        assert_eq!(status("HEAD", &good), StatusCode::OK);
        assert_eq!(status("GET", &format!("http://example.org{good}")), StatusCode::OK);
        for target in [
            "/",
            PATH,
            "/.well-known/acme-challenge",
            "/.well-known/acme-challenge/known-token_1",
            "/.well-known/acme-challenge/known-Token_1/",
            "/.well-known/acme-challenge//known-Token_1",
            "/.well-known/acme-challenge/./known-Token_1",
            "/.well-known/acme-challenge/../acme-challenge/known-Token_1",
            "/.well-known/acme-challenge/known%2dToken_1",
            "/.well-known/acme-challenge/known-Token_1?x",
            "/x/.well-known/acme-challenge/known-Token_1",
        ] {
            assert_eq!(status("GET", target), StatusCode::NOT_FOUND, "{target}");
        }
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get"] {
            assert_eq!(status(method, &good), StatusCode::NOT_FOUND, "{method}");
        }
    }

    #[test]
    fn a_token_lives_until_its_last_user_is_gone() {
        let (table, token) = (table(), Token::parse("known-Token_1").unwrap());
        table.add(&token, "known-Token_1.thumb").unwrap();
        assert!(table.add(&token, "known-Token_1.other").is_err());
        table.remove(&token);
        assert!(table.find("known-Token_1").is_some());
        table.remove(&token);
        assert!(table.find("known-Token_1").is_none() && table.is_empty());
        table.remove(&token);
    }

    proptest! {
        #[test]
        fn nothing_but_the_token_is_found(path in "/[!-~]{0,60}") {
            let Ok(request) = Request::builder().uri(path.as_str()).body(()) else { return Ok(()) };
            let expected = if path == "/.well-known/acme-challenge/known-Token_1" { 200 } else { 404 };
            prop_assert_eq!(answer(&request, &table()).status().as_u16(), expected);
        }
    }
}
