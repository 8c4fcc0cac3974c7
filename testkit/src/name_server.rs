//! A DNS server on loopback that does what a test says: a resolver, and the authoritative servers of its zones.
//!
//! Every address answers on the same port, by UDP and TCP. [`NameServer::resolver`] answers as a validating resolver does,
//! from the data of all zones; the other addresses answer as servers of the zones that they were given, and REFUSED to
//! everything else.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{CAA, CNAME, NS, SOA, TLSA, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::ports::free_port;

/// A running name server. It ends when it is dropped.
#[derive(Debug)]
pub struct NameServer {
    port: u16,
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// A record's content.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names are those of the record types")]
pub enum Data {
    A(&'static str),
    Aaaa(&'static str),
    Cname(&'static str),
    Txt(String),
    /// Flags, tag, value.
    Caa(u8, &'static str, String),
    /// Usage, selector, matching type, association data.
    Tlsa(u8, u8, u8, Vec<u8>),
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An answer with this code and nothing else.
    ServFail,
    /// The same.
    Refused,
    /// The same.
    NotImp,
    /// The name does not exist, whatever is there.
    NxDomain,
    /// No answer.
    Silent,
    /// The answer without the bit that says that the server is in charge.
    NotAuthoritative,
    /// SERVFAIL unless the question says that nothing is to be validated: broken DNSSEC.
    Bogus,
    /// By UDP an empty answer that says that it is cut short.
    Truncated,
    /// Truncated, and silence by TCP.
    TruncatedWithoutTcp,
    /// Bytes that are no DNS message, with the question's id.
    Garbage,
}

/// Types of records that a fault can be restricted to.
pub use hickory_proto::rr::RecordType as RecordKind;

#[derive(Debug, Default)]
struct State {
    /// By the server that alone has them; none for all.
    records: BTreeMap<(Option<IpAddr>, Name), Vec<RData>>,
    zones: Vec<(Name, Vec<IpAddr>)>,
    faults: Vec<(IpAddr, Option<Name>, Option<RecordType>, Fault)>,
    asked: Vec<(IpAddr, String, RecordType)>,
}

/// The resolver's address.
const RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// How long a thread sleeps before it looks whether it shall end.
const NAP: Duration = Duration::from_millis(20);
const TTL: u32 = 60;

impl NameServer {
    /// Starts it at 127.0.0.1, which is the resolver, and at 127.0.0.2 up to 127.0.0.`last`, and ::1 where there is IPv6.
    pub fn start(last: u8) -> Self {
        const TRIES: usize = 20;
        let mut addresses: Vec<IpAddr> = (1..=last).map(|last| IpAddr::from([127, 0, 0, last])).collect();
        if crate::ports::has_ipv6() {
            addresses.push(Ipv6Addr::LOCALHOST.into());
        }
        for _ in 0..TRIES {
            let port = free_port();
            let sockets: io::Result<Vec<_>> = addresses
                .iter()
                .map(|address| Ok((*address, UdpSocket::bind((*address, port))?, TcpListener::bind((*address, port))?)))
                .collect();
            let Ok(sockets) = sockets else { continue };
            let (state, stop) = (Arc::<Mutex<State>>::default(), Arc::<AtomicBool>::default());
            let mut threads = Vec::new();
            for (address, udp, tcp) in sockets {
                let (shared, end) = (Arc::clone(&state), Arc::clone(&stop));
                threads.push(std::thread::spawn(move || by_udp(address, &udp, &shared, &end)));
                let (shared, end) = (Arc::clone(&state), Arc::clone(&stop));
                threads.push(std::thread::spawn(move || by_tcp(address, &tcp, &shared, &end)));
            }
            return Self { port, state, stop, threads };
        }
        panic!("no port is free on all of {addresses:?}");
    }

    /// Where the resolver answers.
    pub fn resolver(&self) -> SocketAddr {
        (RESOLVER, self.port).into()
    }

    /// The port of all its addresses.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A zone with these servers, each `nsN.APEX`.
    pub fn add_zone(&self, apex: &str, servers: &[&str]) {
        let mut state = self.state();
        let apex = name(apex);
        let servers: Vec<IpAddr> = servers.iter().map(|server| server.parse().unwrap()).collect();
        let soa = SOA::new(apex.clone(), apex.clone(), 1, 3600, 600, 86400, 60);
        state.records.entry((None, apex.clone())).or_default().push(RData::SOA(soa));
        for (number, server) in servers.iter().enumerate() {
            let server_name = apex.prepend_label(format!("ns{}", number + 1)).unwrap();
            state.records.entry((None, apex.clone())).or_default().push(RData::NS(NS(server_name.clone())));
            state.records.entry((None, server_name)).or_default().push((*server).into());
        }
        state.zones.push((apex, servers));
    }

    /// Adds a record.
    pub fn add(&self, owner: &str, data: Data) {
        self.state().records.entry((None, name(owner))).or_default().push(rdata(data));
    }

    /// From now on this server alone has these records for a name, and no others.
    pub fn set_at(&self, server: &str, owner: &str, data: Vec<Data>) {
        let records = data.into_iter().map(rdata).collect();
        self.state().records.insert((Some(server.parse().unwrap()), name(owner)), records);
    }

    /// Removes a name with all of its records.
    pub fn remove(&self, owner: &str) {
        let owner = name(owner);
        self.state().records.retain(|(_, known), _| *known != owner);
    }

    /// From now on this goes wrong at an address: for one name and what is below it, or for all; for one type or all.
    pub fn fail(&self, server: &str, owner: Option<&str>, kind: Option<RecordKind>, fault: Fault) {
        self.state().faults.push((server.parse().unwrap(), owner.map(name), kind, fault));
    }

    /// Takes all faults back, and what single servers had of their own.
    pub fn mend(&self) {
        let mut state = self.state();
        state.faults.clear();
        state.records.retain(|(server, _), _| server.is_none());
    }

    /// What was asked so far: the address that was asked, the name without its trailing dot, the type.
    pub fn asked(&self) -> Vec<(IpAddr, String, RecordKind)> {
        self.state().asked.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl State {
    fn fault(&self, at: IpAddr, asked: &Name, kind: RecordType) -> Option<Fault> {
        let fits = |(server, owner, of, _): &&(IpAddr, Option<Name>, Option<RecordType>, Fault)| {
            *server == at && owner.as_ref().is_none_or(|owner| owner.zone_of(asked)) && of.is_none_or(|of| of == kind)
        };
        self.faults.iter().find(fits).map(|(.., fault)| *fault)
    }

    fn records(&self, at: IpAddr, owner: &Name) -> &[RData] {
        let own = self.records.get(&(Some(at), owner.clone()));
        own.or_else(|| self.records.get(&(None, owner.clone()))).map_or(&[], Vec::as_slice)
    }

    /// Whether there is anything at or below a name.
    fn exists(&self, at: IpAddr, owner: &Name) -> bool {
        !self.records(at, owner).is_empty()
            || self.records.iter().any(|((server, known), records)| {
                server.is_none_or(|server| server == at)
                    && known != owner
                    && owner.zone_of(known)
                    && !records.is_empty()
            })
    }

    /// The innermost zone that a name is in.
    fn zone_of(&self, owner: &Name) -> Option<&(Name, Vec<IpAddr>)> {
        let mut zones: Vec<_> = self.zones.iter().filter(|(apex, _)| apex.zone_of(owner)).collect();
        zones.sort_by_key(|(apex, _)| apex.num_labels());
        zones.pop()
    }

    /// An answer without faults.
    fn answer(&self, at: IpAddr, asked: &Message) -> Message {
        let mut answer = Message::response(asked.metadata.id, asked.metadata.op_code);
        answer.metadata.recursion_desired = asked.metadata.recursion_desired;
        answer.metadata.checking_disabled = asked.metadata.checking_disabled;
        answer.add_queries(asked.queries.iter().cloned());
        let Some(query) = asked.queries.first() else {
            answer.metadata.response_code = ResponseCode::FormErr;
            return answer;
        };
        let (recursive, mut owner) = (at == RESOLVER, query.name.to_lowercase());
        answer.metadata.recursion_available = recursive;
        if !recursive {
            let served: Vec<_> = self.zones.iter().filter(|(_, servers)| servers.contains(&at)).collect();
            let Some((apex, _)) =
                served.iter().filter(|(apex, _)| apex.zone_of(&owner)).max_by_key(|(apex, _)| apex.num_labels())
            else {
                answer.metadata.response_code = ResponseCode::Refused;
                return answer;
            };
            // A zone cut below it: a referral.
            if let Some((below, _)) =
                self.zone_of(&owner).filter(|(below, servers)| below != apex && !servers.contains(&at))
            {
                for data in self.records(at, below).iter().filter(|data| matches!(data, RData::NS(_))) {
                    answer.add_authority(Record::from_rdata(below.clone(), TTL, data.clone()));
                    if let RData::NS(server) = data {
                        for glue in self.records(at, &server.0) {
                            answer.add_additional(Record::from_rdata(server.0.clone(), TTL, glue.clone()));
                        }
                    }
                }
                return answer;
            }
            answer.metadata.authoritative = true;
        }
        const LONGEST_CHAIN: usize = 10;
        for _ in 0..LONGEST_CHAIN {
            let records = self.records(at, &owner);
            let alias = records.iter().find_map(|data| match data {
                RData::CNAME(target) if query.query_type != RecordType::CNAME => Some(target.0.to_lowercase()),
                _ => None,
            });
            let wanted = |data: &&RData| match alias {
                Some(_) => data.record_type() == RecordType::CNAME,
                None => data.record_type() == query.query_type,
            };
            for data in records.iter().filter(wanted) {
                answer.add_answer(Record::from_rdata(owner.clone(), TTL, data.clone()));
            }
            let Some(target) = alias else {
                if !self.exists(at, &owner) {
                    answer.metadata.response_code = ResponseCode::NXDomain;
                }
                break;
            };
            let in_charge = |name: &Name| self.zone_of(name).is_some_and(|(_, servers)| servers.contains(&at));
            if !recursive && !in_charge(&target) {
                return answer;
            }
            owner = target;
        }
        let has_final = answer.answers.iter().any(|record| record.record_type() == query.query_type);
        if !has_final {
            let apex = self.zone_of(&owner).map_or_else(|| owner.trim_to(1), |(apex, _)| apex.clone());
            let soa = SOA::new(apex.clone(), apex.clone(), 1, 3600, 600, 86400, 60);
            answer.add_authority(Record::from_rdata(apex, TTL, RData::SOA(soa)));
        }
        answer
    }
}

/// None for silence.
fn respond(at: IpAddr, packet: &[u8], state: &Mutex<State>, udp: bool) -> Option<Vec<u8>> {
    let asked = Message::from_vec(packet).ok().filter(|asked| asked.metadata.message_type == MessageType::Query)?;
    let query = asked.queries.first()?;
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    let shown = query.name.to_lowercase().to_ascii().trim_end_matches('.').to_owned();
    state.asked.push((at, shown, query.query_type));
    let fault = state.fault(at, &query.name.to_lowercase(), query.query_type);
    let mut answer = state.answer(at, &asked);
    let bare = |code| {
        let mut answer = Message::response(asked.metadata.id, asked.metadata.op_code);
        answer.add_queries(asked.queries.iter().cloned());
        answer.metadata.response_code = code;
        answer
    };
    match fault {
        None => {}
        Some(Fault::ServFail) => answer = bare(ResponseCode::ServFail),
        Some(Fault::Refused) => answer = bare(ResponseCode::Refused),
        Some(Fault::NotImp) => answer = bare(ResponseCode::NotImp),
        Some(Fault::NxDomain) => {
            answer = bare(ResponseCode::NXDomain);
            answer.metadata.authoritative = at != RESOLVER;
            let apex = query.name.trim_to(1);
            let soa = SOA::new(apex.clone(), apex.clone(), 1, 3600, 600, 86400, 60);
            answer.add_authority(Record::from_rdata(apex, TTL, RData::SOA(soa)));
        }
        Some(Fault::Silent) => return None,
        Some(Fault::NotAuthoritative) => answer.metadata.authoritative = false,
        Some(Fault::Bogus) if asked.metadata.checking_disabled => {}
        Some(Fault::Bogus) => answer = bare(ResponseCode::ServFail),
        Some(Fault::Truncated) if !udp => {}
        Some(Fault::TruncatedWithoutTcp) if !udp => return None,
        Some(Fault::Truncated | Fault::TruncatedWithoutTcp) => {
            answer = bare(ResponseCode::NoError);
            answer.metadata.truncation = true;
        }
        Some(Fault::Garbage) => return Some([&packet[..2], &[0xff; 30]].concat()),
    }
    answer.to_vec().ok()
}

fn by_udp(at: IpAddr, socket: &UdpSocket, state: &Mutex<State>, stop: &AtomicBool) {
    socket.set_read_timeout(Some(NAP)).unwrap();
    let mut packet = [0; 4096];
    while !stop.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut packet) else { continue };
        if let Some(answer) = respond(at, &packet[..length], state, true) {
            let _ = socket.send_to(&answer, from);
        }
    }
}

fn by_tcp(at: IpAddr, listener: &TcpListener, state: &Mutex<State>, stop: &AtomicBool) {
    listener.set_nonblocking(true).unwrap();
    while !stop.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((stream, _)) => {
                let _ = serve(at, stream, state);
            }
            Err(_) => std::thread::sleep(NAP),
        }
    }
}

fn serve(at: IpAddr, mut stream: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut packet = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut packet)?;
    if let Some(answer) = respond(at, &packet, state, false) {
        // No test makes an answer of more than 64 KiB.
        let length = u16::try_from(answer.len()).unwrap();
        stream.write_all(&[&length.to_be_bytes()[..], &answer].concat())?;
    }
    Ok(())
}

fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap().to_lowercase();
    name.set_fqdn(true);
    name
}

fn rdata(data: Data) -> RData {
    match data {
        Data::A(address) => IpAddr::V4(address.parse().unwrap()).into(),
        Data::Aaaa(address) => IpAddr::V6(address.parse().unwrap()).into(),
        Data::Cname(target) => RData::CNAME(CNAME(name(target))),
        // A string of TXT holds 255 bytes at most.
        Data::Txt(text) => RData::TXT(TXT::from_bytes(text.as_bytes().chunks(255).collect())),
        Data::Caa(flags, tag, value) => {
            let mut caa = CAA::new_issue(flags & 128 != 0, None, Vec::new());
            caa.tag = tag.to_owned();
            caa.value = value.into_bytes();
            RData::CAA(caa)
        }
        Data::Tlsa(usage, selector, matching, association) => {
            RData::TLSA(TLSA::new(usage.into(), selector.into(), matching.into(), association))
        }
    }
}
