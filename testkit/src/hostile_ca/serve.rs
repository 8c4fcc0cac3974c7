//! The wire: one connection, one request, one answer.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::{Asked, Delivery, Reply, Shared};
use crate::{HttpRequest, Pki, RequestKind, now};

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
        let Some(request) = HttpRequest::read(&mut stream) else { return };
        let reply = self.answer(&request);
        let _ = self.send(&mut stream, socket, &request.method, &reply);
    }

    /// The good answer, and what the test makes of it.
    fn answer(&self, request: &HttpRequest) -> Reply {
        let kind = RequestKind::of(&request.path);
        let nth = {
            let mut log = self.log.lock().unwrap();
            log.push(kind);
            log.iter().filter(|asked| **asked == kind).count()
        };
        let payload = request.payload();
        let (mut reply, leaf) = self.orders.lock().unwrap().answer(self, kind, &request.path, &payload);
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
            Delivery::Padded(blanks) => {
                let length = blanks + reply.body.len() as u64;
                stream.write_all(reply.head(&format!("Content-Length: {length}\r\n")).as_bytes())?;
                std::io::copy(&mut std::io::repeat(b' ').take(*blanks), stream)?;
                stream.write_all(&reply.body)?;
            }
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
