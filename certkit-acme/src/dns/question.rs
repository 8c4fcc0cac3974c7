//! One question to one name server, with everything that its answer says: the checks have to tell apart what a resolver
//! library treats alike.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use certkit_core::escape;
use hickory_resolver::proto::op::{Edns, Message, MessageType, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) name: Name,
    pub(crate) kind: RecordType,
    pub(crate) mode: Mode,
}

/// Of whom it is asked, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// An authoritative server: it answers from its own zones.
    Authoritative,
    /// A resolver, which may validate DNSSEC.
    Recursive,
    /// A resolver that is not to validate (CD, RFC 4035 section 3.2.2).
    Unvalidated,
}

/// No answer was had from a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// It is silent.
    Silent,
    /// There is no way to it from here, for example no IPv6.
    NoRoute,
    /// Something else is in the way, or what came is no answer; escaped.
    Failed(String),
}

/// A UDP question is asked so often, and each time waited for by this part of the patience: one lost packet is no finding,
/// and is not waited for as long as a server that is slow.
const TRIES: [u32; 3] = [4, 2, 1];

/// The largest answer by UDP, in bytes (the DNS flag day of 2020).
const LARGEST_UDP: u16 = 1232;

/// Asks by UDP, and by TCP when the answer is cut short. No try takes longer than `patience`.
pub(crate) async fn ask(server: SocketAddr, question: &Question, patience: Duration) -> Result<Message, NoAnswer> {
    let mut said = NoAnswer::Silent;
    for part in TRIES {
        let message = question.message();
        match timeout(patience / part, by_udp(server, &message)).await {
            Err(_) => {}
            Ok(Ok(answer)) if answer.metadata.truncation => {
                let by_tcp = timeout(patience, by_tcp(server, &message)).await;
                return by_tcp.ok().and_then(Result::ok).ok_or_else(|| {
                    NoAnswer::Failed("its answer by UDP is cut short, and by TCP there is none".into())
                });
            }
            // A server from before EDNS (RFC 6891 section 7).
            Ok(Ok(answer)) if answer.metadata.response_code == ResponseCode::FormErr && answer.edns.is_none() => {
                let mut plain = message;
                plain.edns = None;
                return timeout(patience, by_udp(server, &plain)).await.unwrap_or(Err(NoAnswer::Silent));
            }
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(NoAnswer::NoRoute)) => return Err(NoAnswer::NoRoute),
            Ok(Err(failed)) => said = failed,
        }
    }
    Err(said)
}

impl Question {
    pub(crate) fn new(name: Name, kind: RecordType, mode: Mode) -> Self {
        Self { name, kind, mode }
    }

    pub(super) fn message(&self) -> Message {
        let mut message = Message::query();
        message.metadata.recursion_desired = self.mode != Mode::Authoritative;
        message.metadata.checking_disabled = self.mode == Mode::Unvalidated;
        // Who understands AD sets it in the question (RFC 6840 section 5.7).
        message.metadata.authentic_data = self.mode == Mode::Recursive;
        message.add_query(Query::query(self.name.clone(), self.kind));
        let mut edns = Edns::new();
        edns.set_max_payload(LARGEST_UDP);
        message.set_edns(edns);
        message
    }
}

async fn by_udp(server: SocketAddr, message: &Message) -> Result<Message, NoAnswer> {
    let here: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(here).await.map_err(failed)?;
    // Only what this server sends is received, and a closed port is told by the kernel.
    socket.connect(server).await.map_err(failed)?;
    socket.send(&encoded(message)?).await.map_err(failed)?;
    let mut packet = vec![0; usize::from(u16::MAX)];
    loop {
        let length = socket.recv(&mut packet).await.map_err(failed)?;
        // Anything else is a stray or forged packet.
        if let Some(answer) = answer_to(message, &packet[..length]) {
            return answer;
        }
    }
}

async fn by_tcp(server: SocketAddr, message: &Message) -> Result<Message, NoAnswer> {
    let mut stream = TcpStream::connect(server).await.map_err(failed)?;
    let question = encoded(message)?;
    let length = u16::try_from(question.len()).map_err(|_| NoAnswer::Failed("the question is too long".into()))?;
    stream.write_all(&[&length.to_be_bytes()[..], &question].concat()).await.map_err(failed)?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).await.map_err(failed)?;
    let mut packet = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut packet).await.map_err(failed)?;
    answer_to(message, &packet)
        .unwrap_or_else(|| Err(NoAnswer::Failed("what came is no answer to the question".into())))
}

fn encoded(message: &Message) -> Result<Vec<u8>, NoAnswer> {
    message.to_vec().map_err(|error| NoAnswer::Failed(escape(&error.to_string()).into_owned()))
}

/// None for a packet that has nothing to do with the question.
pub(super) fn answer_to(asked: &Message, packet: &[u8]) -> Option<Result<Message, NoAnswer>> {
    let answer = match Message::from_vec(packet) {
        Ok(answer) => answer,
        Err(_) if packet.starts_with(&asked.metadata.id.to_be_bytes()) => {
            return Some(Err(NoAnswer::Failed("its answer cannot be read".into())));
        }
        Err(_) => return None,
    };
    let same_question = match (answer.queries.first(), asked.queries.first()) {
        (Some(answered), Some(asked)) => answered.name == asked.name && answered.query_type == asked.query_type,
        // Some servers leave the question out of a refusal.
        (None, _) => answer.metadata.response_code != ResponseCode::NoError,
        _ => false,
    };
    let is_it = answer.metadata.message_type == MessageType::Response && answer.metadata.id == asked.metadata.id;
    (is_it && same_question).then_some(Ok(answer))
}

fn failed(error: io::Error) -> NoAnswer {
    match error.kind() {
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable | io::ErrorKind::AddrNotAvailable => {
            NoAnswer::NoRoute
        }
        io::ErrorKind::TimedOut => NoAnswer::Silent,
        io::ErrorKind::ConnectionRefused => NoAnswer::Failed("nobody listens there".into()),
        _ if error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error()) => NoAnswer::NoRoute,
        _ => NoAnswer::Failed(escape(&error.to_string()).into_owned()),
    }
}
