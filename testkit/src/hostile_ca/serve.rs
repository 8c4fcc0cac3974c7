//! The wire: one connection, one request, one answer.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;

use super::{Asked, Delivery, Reply, Shared};
use crate::{Pki, RequestKind, now};

/// Nobody may hold a thread for longer.
const TIME_LIMIT: Duration = Duration::from_secs(120);
/// Between two bytes of a slow answer.
const SLOW: Duration = Duration::from_millis(50);

/// https with a certificate for loopback.
pub(super) fn tls(pki: &Pki) -> Arc<ServerConfig> {
    let own = pki.for_localhost(now());
    let chain = CertificateDer::pem_slice_iter(own.fullchain.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(own.privkey.as_bytes()).unwrap();
    let provider = rustls::crypto::aws_lc_rs::default_provider().into();
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    builder.with_no_client_auth().with_single_cert(chain, key).unwrap().into()
}

impl Shared {
    /// Whoever goes away in the middle ends it.
    pub(super) fn serve(&self, socket: &TcpStream) {
        socket.set_read_timeout(Some(TIME_LIMIT)).unwrap();
        socket.set_write_timeout(Some(TIME_LIMIT)).unwrap();
        // A handshake begins with a record of this type (RFC 8446 section 5.1).
        const HANDSHAKE: u8 = 22;
        let mut first = [0];
        if socket.peek(&mut first).is_ok_and(|read| read == 1) && first[0] != HANDSHAKE {
            self.strays.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let connection = ServerConnection::new(Arc::clone(&self.tls)).unwrap();
        let mut stream = StreamOwned::new(connection, socket);
        let Some((method, path, body)) = read(&mut stream) else { return };
        let reply = self.answer(&method, &path, &body);
        let _ = self.send(&mut stream, socket, &method, &reply);
    }

    /// The good answer, and what the test makes of it.
    fn answer(&self, method: &str, path: &str, body: &[u8]) -> Reply {
        let kind = RequestKind::of(path);
        let nth = {
            let mut log = self.log.lock().unwrap();
            log.push(kind);
            log.iter().filter(|asked| **asked == kind).count()
        };
        let payload = if method == "POST" { payload(body) } else { Value::Null };
        let (mut reply, leaf) = self.orders.lock().unwrap().answer(self, kind, path, &payload);
        let asked = Asked { kind, nth, base: &self.base, payload, pki: &self.pki, leaf };
        (self.deviation)(&asked, &mut reply);
        reply
    }

    fn send(
        &self,
        stream: &mut (impl Read + Write),
        socket: &TcpStream,
        method: &str,
        reply: &Reply,
    ) -> std::io::Result<()> {
        match &reply.delivery {
            // No body comes after the head of an answer to HEAD (RFC 9110 section 9.3.2).
            Delivery::Whole if method == "HEAD" => stream.write_all(reply.head("").as_bytes())?,
            Delivery::Whole => stream.write_all(&reply.bytes())?,
            Delivery::Raw(bytes) => stream.write_all(bytes)?,
            Delivery::Reset(cut) => {
                stream.write_all(&reply.until(*cut))?;
                stream.flush()?;
                rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO))?;
                return socket.shutdown(std::net::Shutdown::Both);
            }
            Delivery::Slowly => {
                stream.write_all(reply.head("Content-Length: 100000\r\n").as_bytes())?;
                while !self.is_over.load(Ordering::Relaxed) {
                    stream.write_all(b" ")?;
                    stream.flush()?;
                    std::thread::sleep(SLOW);
                }
            }
            Delivery::Endlessly => {
                stream.write_all(reply.head("").as_bytes())?;
                let block = reply.body.repeat(1 + 65_536 / reply.body.len().max(1));
                while !self.is_over.load(Ordering::Relaxed) {
                    stream.write_all(&block)?;
                }
            }
        }
        stream.flush()
    }
}

/// Method, path and body of a request.
fn read(stream: &mut impl Read) -> Option<(String, String, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body).ok()?;
    let mut words = first.split(' ').map(str::to_owned);
    Some((words.next()?, words.next()?, body))
}

/// What the payload of a JWS says.
fn payload(body: &[u8]) -> Value {
    let jws: Value = serde_json::from_slice(body).unwrap_or_default();
    let octets = jws["payload"].as_str().and_then(|text| BASE64URL_NOPAD.decode(text.as_bytes()).ok());
    serde_json::from_slice(&octets.unwrap_or_default()).unwrap_or_default()
}
