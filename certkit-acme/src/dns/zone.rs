//! What the authoritative servers of a name say, one by one.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use super::Resolver;
use super::question::{Mode, NoAnswer, Question, ask};

/// A zone with its name servers.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    pub(crate) apex: Name,
    pub(crate) servers: Vec<ZoneServer>,
}

/// One address of a name server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ZoneServer {
    pub(crate) name: Name,
    /// None when its name has no address.
    pub(crate) address: Option<IpAddr>,
}

/// What one server says.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    /// These records, not empty, sorted by their text.
    Records(Vec<RData>),
    /// The name is an alias.
    Alias(Name),
    /// The name exists without such records.
    NoRecords,
    /// The name does not exist.
    NoName,
    /// Others are in charge of it.
    Referral(Zone),
    /// It answers, but not as a server of this zone.
    NotAuthoritative,
    /// It answers with this code.
    Code(ResponseCode),
    /// It does not answer.
    Nothing(NoAnswer),
}

/// More addresses of servers than this are not asked: the root's thirteen have twice as many.
const MOST_SERVERS: usize = 8;
/// So many delegations are followed below the zone that the resolver knows.
const MOST_REFERRALS: usize = 4;

/// Servers that were silent, whatever they were asked or when they were asked for a type, and since when: a zone of a
/// thousand names is not waited for a thousand times.
#[derive(Debug, Default)]
pub(super) struct SilentServers(Mutex<HashMap<(SocketAddr, Option<RecordType>), Instant>>);

/// After this a silent server is asked again.
const SILENT_FOR: Duration = Duration::from_secs(120);

impl SilentServers {
    fn contains(&self, server: SocketAddr, kind: Option<RecordType>) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(server, kind)).is_some_and(|since| since.elapsed() < SILENT_FOR)
    }

    fn add(&self, server: SocketAddr, kind: Option<RecordType>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert((server, kind), Instant::now());
    }
}

/// In which zone names are, as the resolver said a moment ago: the names above a thousand names are asked for once.
#[derive(Debug, Default)]
pub(super) struct KnownZones(Mutex<HashMap<Name, (Instant, Option<Zone>)>>);

/// After this the resolver is asked again: who is in charge of a zone seldom changes, and may be put right meanwhile.
const KNOWN_FOR: Duration = Duration::from_secs(120);

impl KnownZones {
    fn get(&self, name: &Name) -> Option<Option<Zone>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(name).filter(|(since, _)| since.elapsed() < KNOWN_FOR).map(|(_, zone)| zone.clone())
    }

    fn add(&self, names: Vec<Name>, zone: Option<&Zone>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(names.into_iter().map(|name| (name, (Instant::now(), zone.cloned()))));
    }
}

impl Resolver {
    /// What this machine's resolver says: the first of its servers that has more to say than SERVFAIL or REFUSED.
    pub(crate) async fn recursive(&self, name: &Name, kind: RecordType, mode: Mode) -> Result<Message, NoAnswer> {
        let question = Question::new(name.clone(), kind, mode);
        let (mut refused, mut silent) = (None, NoAnswer::Silent);
        for server in &self.servers {
            if self.silent.contains(*server, None) {
                continue;
            }
            match self.ask(*server, &question).await {
                Ok(answer) if is_answer(answer.metadata.response_code) => return Ok(answer),
                Ok(answer) => refused = refused.or(Some(answer)),
                Err(error) => {
                    if error == NoAnswer::Silent && !self.answers_at_all(*server).await {
                        self.silent.add(*server, None);
                    }
                    silent = error;
                }
            }
        }
        refused.ok_or(silent)
    }

    async fn ask(&self, server: SocketAddr, question: &Question) -> Result<Message, NoAnswer> {
        #[cfg(any(test, fuzzing))]
        if let Some(script) = &self.script {
            return script.answer(question);
        }
        ask(server, question, self.patience).await
    }

    /// Whether none of the resolver's servers answered a moment ago, whatever it was asked.
    pub(crate) fn is_known_to_be_silent(&self) -> bool {
        !self.servers.is_empty() && self.servers.iter().all(|server| self.silent.contains(*server, None))
    }

    /// What every resolver knows. One that is silent about a name may wait for that name's own servers.
    async fn answers_at_all(&self, server: SocketAddr) -> bool {
        let question = Question::new(Name::root(), RecordType::NS, Mode::Unvalidated);
        self.ask(server, &question).await != Err(NoAnswer::Silent)
    }

    /// The zone that a name is in, as the resolver sees it, without validation: broken DNSSEC must not hide who is in
    /// charge. None when the resolver knows none.
    pub(crate) async fn zone_of(&self, name: &Name) -> Option<Zone> {
        let (mut at, mut passed) = (name.to_lowercase(), Vec::new());
        while !at.is_root() {
            if let Some(known) = self.zones.get(&at) {
                self.zones.add(passed, known.as_ref());
                return known;
            }
            let answer = self.recursive(&at, RecordType::NS, Mode::Unvalidated).await;
            let mut above = at.base_name();
            // What is found by passing over a name without an answer holds for this look alone.
            let is_answered = answer.as_ref().is_ok_and(|answer| is_answer(answer.metadata.response_code));
            if is_answered {
                passed.push(at.clone());
            } else {
                passed.clear();
            }
            if let Ok(answer) = answer {
                let names = name_servers(&answer.answers, &at);
                if !names.is_empty() {
                    let zone = Zone { servers: self.servers_at(&names, &answer.additionals).await, apex: at };
                    self.zones.add(passed, Some(&zone));
                    return Some(zone);
                }
                // RFC 2308 section 3: an answer without records says in whose zone there are none.
                let zone = answer.authorities.iter().find(|record| matches!(record.data, RData::SOA(_)));
                if let Some(zone) = zone.filter(|zone| zone.name != at && zone.name.zone_of(&at)) {
                    above = zone.name.to_lowercase();
                }
            }
            at = above;
        }
        self.zones.add(passed, None);
        None
    }

    /// What each server of the name's zone says; delegations that the resolver has not shown are followed.
    pub(crate) async fn authoritative(
        &self,
        zone: &Zone,
        name: &Name,
        kind: RecordType,
    ) -> (Zone, Vec<(ZoneServer, Said)>) {
        let mut zone = zone.clone();
        for _ in 0..MOST_REFERRALS {
            let said = self.ask_all(&zone, name, kind).await;
            let below = said.iter().find_map(|(_, said)| match said {
                Said::Referral(below) => Some(below.clone()),
                _ => None,
            });
            match below {
                None => return (zone, said),
                Some(mut below) if below.servers.iter().all(|server| server.address.is_none()) => {
                    let names: Vec<Name> = below.servers.iter().map(|server| server.name.clone()).collect();
                    below.servers = self.servers_at(&names, &[]).await;
                    zone = below;
                }
                Some(below) => zone = below,
            }
        }
        let said = self.ask_all(&zone, name, kind).await;
        (zone, said)
    }

    async fn ask_all(&self, zone: &Zone, name: &Name, kind: RecordType) -> Vec<(ZoneServer, Said)> {
        let question = Question::new(name.clone(), kind, Mode::Authoritative);
        let asking = zone.servers.iter().take(MOST_SERVERS).map(|server| {
            let question = &question;
            async move {
                let Some(address) = server.address else {
                    let said = NoAnswer::Failed("its name has no address".into());
                    return (server.clone(), Said::Nothing(said));
                };
                let address = SocketAddr::new(address, self.authoritative_port);
                if self.silent.contains(address, Some(kind)) {
                    return (server.clone(), Said::Nothing(NoAnswer::Silent));
                }
                let said = match self.ask(address, question).await {
                    Ok(answer) => Said::read(&answer, zone, name, kind),
                    Err(error) => {
                        if error == NoAnswer::Silent {
                            self.silent.add(address, Some(kind));
                        }
                        Said::Nothing(error)
                    }
                };
                (server.clone(), said)
            }
        });
        join_all(asking).await
    }

    async fn servers_at(&self, names: &[Name], glue: &[hickory_resolver::proto::rr::Record]) -> Vec<ZoneServer> {
        // More are not asked anyway, and one answer may name thousands: each of them would be looked for (NXNSAttack).
        let finding = names.iter().take(MOST_SERVERS).map(|name| async move {
            let mut found: Vec<IpAddr> =
                glue.iter().filter(|record| record.name == *name).filter_map(|record| record.data.ip_addr()).collect();
            if found.is_empty() {
                for kind in [RecordType::A, RecordType::AAAA] {
                    if let Ok(answer) = self.recursive(name, kind, Mode::Unvalidated).await {
                        found.extend(answer.answers.iter().filter_map(|record| record.data.ip_addr()));
                    }
                }
            }
            let server = |address| ZoneServer { name: name.clone(), address };
            if found.is_empty() { vec![server(None)] } else { found.into_iter().map(Some).map(server).collect() }
        });
        join_all(finding).await.into_iter().flatten().collect()
    }
}

impl Said {
    fn read(answer: &Message, zone: &Zone, name: &Name, kind: RecordType) -> Self {
        let code = answer.metadata.response_code;
        if !is_answer(code) {
            return Self::Code(code);
        }
        if !answer.metadata.authoritative {
            let below = answer.authorities.iter().find(|record| {
                matches!(record.data, RData::NS(_))
                    && record.name != zone.apex
                    && zone.apex.zone_of(&record.name)
                    && record.name.zone_of(name)
            });
            let Some(below) = below.filter(|_| answer.answers.is_empty()) else { return Self::NotAuthoritative };
            let (apex, glue) = (below.name.to_lowercase(), &answer.additionals);
            let names = name_servers(&answer.authorities, &apex).into_iter().take(MOST_SERVERS);
            let servers = names.flat_map(|name| {
                let of_it = glue.iter().filter(|record| record.name == name);
                let mut found: Vec<_> = of_it.filter_map(|record| record.data.ip_addr()).map(Some).collect();
                if found.is_empty() {
                    found.push(None);
                }
                found.into_iter().map(move |address| ZoneServer { name: name.clone(), address })
            });
            return Self::Referral(Zone { servers: servers.collect(), apex });
        }
        let of_name = || answer.answers.iter().filter(|record| record.name == *name);
        if let Some(target) = of_name().find_map(|record| match &record.data {
            RData::CNAME(target) if kind != RecordType::CNAME => Some(target.0.to_lowercase()),
            _ => None,
        }) {
            return Self::Alias(target);
        }
        let mut records: Vec<RData> =
            of_name().filter(|record| record.record_type() == kind).map(|record| record.data.clone()).collect();
        records.sort_by_cached_key(ToString::to_string);
        match (records.is_empty(), code) {
            (false, _) => Self::Records(records),
            (true, ResponseCode::NXDomain) => Self::NoName,
            (true, _) => Self::NoRecords,
        }
    }

    /// Whether it is what a server of the zone says.
    pub(crate) fn is_good(&self) -> bool {
        matches!(self, Self::Records(_) | Self::Alias(_) | Self::NoRecords | Self::NoName)
    }

    /// Whether the server is heard at all from here.
    pub(crate) fn is_heard(&self) -> bool {
        !matches!(self, Self::Nothing(_))
    }

    /// What is wrong with the server, for people; none where nothing is or where it cannot be told from here.
    pub(crate) fn fault(&self) -> Option<String> {
        Some(match self {
            Self::Code(code) => format!("answers {}", code_name(*code)),
            Self::NotAuthoritative => "is not in charge of the zone (a lame delegation)".into(),
            Self::Referral(_) => "sends on to others without end".into(),
            Self::Nothing(NoAnswer::Silent) => "does not answer".into(),
            Self::Nothing(NoAnswer::Failed(why)) => format!("does not answer ({why})"),
            Self::Nothing(NoAnswer::NoRoute) | Self::Records(_) | Self::Alias(_) | Self::NoRecords | Self::NoName => {
                return None;
            }
        })
    }
}

impl std::fmt::Display for ZoneServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&shown(&self.name))?;
        match self.address {
            Some(address) => write!(f, " ({address})"),
            None => Ok(()),
        }
    }
}

/// A name for people: without the trailing dot, escaped.
pub(crate) fn shown(name: &Name) -> String {
    let text = name.to_ascii();
    let text = if text.len() > 1 { text.trim_end_matches('.') } else { &text };
    certkit_core::escape(text).into_owned()
}

/// The name of a code as the tools of DNS write it.
pub(crate) fn code_name(code: ResponseCode) -> String {
    match code {
        ResponseCode::FormErr => "FORMERR".into(),
        ResponseCode::ServFail => "SERVFAIL".into(),
        ResponseCode::NXDomain => "NXDOMAIN".into(),
        ResponseCode::NotImp => "NOTIMP".into(),
        ResponseCode::Refused => "REFUSED".into(),
        code => format!("with code {} ({code})", u16::from(code)),
    }
}

/// Whether a code says something about the name.
pub(crate) fn is_answer(code: ResponseCode) -> bool {
    matches!(code, ResponseCode::NoError | ResponseCode::NXDomain)
}

fn name_servers(records: &[hickory_resolver::proto::rr::Record], owner: &Name) -> Vec<Name> {
    let of_owner = records.iter().filter(|record| record.name == *owner);
    let names = of_owner.filter_map(|record| match &record.data {
        RData::NS(name) => Some(name.0.to_lowercase()),
        _ => None,
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::ResolverSettings;

    #[tokio::test]
    async fn a_thousand_servers_of_a_zone_are_not_looked_for() {
        // To every question: its name is a zone of servers n000 to n999 below it, without an address of any.
        let records = (0..1000).flat_map(|number| {
            let label = format!("n{number:03}").into_bytes();
            [&[0xc0, 12, 0, 2, 0, 1, 0, 0, 0, 60, 0, 7, 4][..], &label, &[0xc0, 12]].concat()
        });
        let counts: &[u8] = &[0x81, 0x80, 0x03, 0xe8, 0, 0, 0, 0];
        let answer = [counts, &records.collect::<Vec<_>>()].concat();
        let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
        let nobody = ResolverSettings::with_servers(vec!["127.0.0.1:1".parse().unwrap()]);
        let resolver = Resolver::new(&nobody).unwrap().scripted(&[&length[..], &answer].concat());
        let zone = resolver.zone_of(&Name::from_ascii("a.example.").unwrap()).await.unwrap();
        assert_eq!(zone.servers.len(), MOST_SERVERS);
        assert_eq!(resolver.asked(), 1 + 2 * MOST_SERVERS);
    }
}
