//! Looking up what CAs look up: CAA records (RFC 8659) with the parameters of RFC 8657, and for the doctor whatever the
//! resolver and the authoritative servers of a zone say about a name.
//!
//! Answers are not kept, besides who is in charge of a zone: what is said is what the name servers say now. That nothing is found (no such name, no such
//! record) is an answer; every other way not to get one is an error and never "no record".

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use certkit_core::{DnsName, escape};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as HickoryDnsError, NetError, NoRecords};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

mod addresses;
pub(crate) use addresses::AddressResolver;

mod caa;
pub use caa::{CaaIssuer, CaaProperty, CaaSet};

pub(crate) mod question;
#[cfg(any(test, fuzzing))]
use question::{Mode, Question};

#[cfg(any(test, fuzzing))]
mod fuzzing;

pub(crate) mod zone;

/// Which name servers are asked, and for how long.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ResolverSettings {
    /// The servers, with their ports; those of the system (`/etc/resolv.conf`) when empty.
    pub servers: Vec<SocketAddr>,
    /// How long one look-up may take, with all its questions.
    pub time_limit: Duration,
    /// The port at which authoritative servers are asked: 53 by default. Another one is for tests and for networks that
    /// lead DNS elsewhere.
    pub authoritative_port: u16,
    /// How long one server is waited for, each time that it is asked something by the doctor: 2 s by default.
    pub patience: Duration,
}

/// RFC 1035 section 4.2.
const DNS_PORT: u16 = 53;

impl Default for ResolverSettings {
    /// The system's servers, for at most twenty seconds: two tries at a server that is slow, and some to spare.
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            time_limit: Duration::from_secs(20),
            authoritative_port: DNS_PORT,
            patience: Duration::from_secs(2),
        }
    }
}

impl ResolverSettings {
    /// The system's servers.
    pub fn new() -> Self {
        Self::default()
    }

    /// These servers.
    pub fn with_servers(servers: Vec<SocketAddr>) -> Self {
        Self { servers, ..Self::default() }
    }

    /// The servers that are named, asked by UDP and by TCP.
    fn named_servers(&self) -> ResolverConfig {
        let servers = self.servers.iter().map(|server| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = server.port();
                connection
            });
            NameServerConfig::new(server.ip(), true, connections.into())
        });
        ResolverConfig::from_name_servers(servers.collect())
    }
}

/// Asks name servers. Cheap to clone.
#[derive(Clone)]
pub struct Resolver {
    inner: TokioResolver,
    time_limit: Duration,
    servers: Vec<SocketAddr>,
    authoritative_port: u16,
    patience: Duration,
    silent: Arc<zone::SilentServers>,
    zones: Arc<zone::KnownZones>,
    #[cfg(any(test, fuzzing))]
    script: Option<fuzzing::Script>,
}

/// How long one server is waited for. Two tries, each also over TCP, fit into the usual time limit.
const PATIENCE: Duration = Duration::from_secs(4);
const TRIES: usize = 2;

impl Resolver {
    /// Reads the system's configuration when no servers are named; asks nobody.
    pub fn new(settings: &ResolverSettings) -> Result<Self, DnsError> {
        let unusable = |error: NetError| DnsError::Configuration { why: shown(&error) };
        let mut servers = settings.servers.clone();
        let mut builder = if settings.servers.is_empty() {
            let (config, options) = hickory_resolver::system_conf::read_system_conf().map_err(unusable)?;
            servers.extend(config.name_servers().iter().map(|server| SocketAddr::new(server.ip, DNS_PORT)));
            let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
            *builder.options_mut() = options;
            builder
        } else {
            TokioResolver::builder_with_config(settings.named_servers(), TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        options.timeout = PATIENCE;
        options.attempts = TRIES;
        options.cache_size = 0;
        options.edns0 = true;
        options.use_hosts_file = ResolveHosts::Never;
        let inner = builder.build().map_err(unusable)?;
        Ok(Self {
            inner,
            time_limit: settings.time_limit,
            servers,
            authoritative_port: settings.authoritative_port,
            patience: settings.patience,
            silent: Arc::default(),
            zones: Arc::default(),
            #[cfg(any(test, fuzzing))]
            script: None,
        })
    }

    /// The CAA records that count for a name: its own, or those of the nearest name above it that has any, up to the
    /// top-level domain (RFC 8659 section 3). Aliases (CNAME) are followed; climbing goes on from the name itself. For a
    /// wildcard it is the name without `*.`.
    pub async fn caa(&self, name: &DnsName) -> Result<CaaSet, DnsError> {
        self.caa_sharing(name, &CaaAbove::default()).await
    }

    /// The same for one of many names: what stands above it is asked for once.
    pub(crate) async fn caa_sharing(&self, name: &DnsName, above: &CaaAbove) -> Result<CaaSet, DnsError> {
        let climb = async {
            let mut at = name.base();
            loop {
                let properties = match above.get(at) {
                    Some(known) => known,
                    None => {
                        let asked = self.caa_at(name, at).await?;
                        above.add(at, &asked);
                        asked
                    }
                };
                if !properties.is_empty() {
                    // A part of a name is one.
                    return Ok(CaaSet::new(name.clone(), DnsName::parse(at).ok(), properties));
                }
                match at.split_once('.') {
                    Some((_, above)) => at = above,
                    None => return Ok(CaaSet::new(name.clone(), None, Vec::new())),
                }
            }
        };
        let limit = self.time_limit;
        tokio::time::timeout(limit, climb).await.unwrap_or_else(|_| {
            Err(DnsError::Unanswered { name: name.clone(), why: format!("no answer within {limit:?}") })
        })
    }

    /// The CAA records at exactly this name.
    async fn caa_at(&self, name: &DnsName, at: &str) -> Result<Vec<CaaProperty>, DnsError> {
        let unanswered = |why: String| DnsError::Unanswered { name: name.clone(), why };
        let question = format!("{at}.");
        let asked = Name::from_ascii(&question).map_err(|error| unanswered(error.to_string()))?;
        #[cfg(any(test, fuzzing))]
        if let Some(script) = &self.script {
            let question = Question::new(asked, RecordType::CAA, Mode::Recursive);
            let answer = script.answer(&question).map_err(|error| unanswered(format!("{error:?}")))?;
            return Ok(properties_in(&answer.answers));
        }
        let answer = match self.inner.lookup(asked.clone(), RecordType::CAA).await {
            Ok(answer) => answer,
            Err(error) => match none_found(&error) {
                Some(nothing) if *nothing.query.name() == asked => return Ok(Vec::new()),
                Some(nothing) => {
                    // An alias without CAA records: but was the whole chain of aliases followed?
                    let end = nothing.query.name().clone();
                    return match self.inner.lookup(end, RecordType::CNAME).await {
                        Ok(_) => Err(unanswered(format!("{at}: too many aliases (CNAME)"))),
                        Err(error) if none_found(&error).is_some() => Ok(Vec::new()),
                        Err(error) => Err(unanswered(format!("{at}: {}", shown(&error)))),
                    };
                }
                None => return Err(unanswered(format!("{at}: {}", shown(&error)))),
            },
        };
        let properties = properties_in(answer.answers());
        if properties.is_empty() {
            return Err(unanswered(format!("{at}: an answer without CAA records to a question for them")));
        }
        Ok(properties)
    }
}

fn properties_in(records: &[Record]) -> Vec<CaaProperty> {
    let properties = records.iter().filter_map(|record| match &record.data {
        RData::CAA(caa) => Some(CaaProperty::new(caa.flags(), &caa.tag, &caa.value)),
        _ => None,
    });
    properties.collect()
}

/// The CAA records of names that were asked for already.
#[derive(Debug, Default)]
pub(crate) struct CaaAbove(Mutex<HashMap<String, Vec<CaaProperty>>>);

impl CaaAbove {
    fn get(&self, at: &str) -> Option<Vec<CaaProperty>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(at).cloned()
    }

    fn add(&self, at: &str, properties: &[CaaProperty]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(at.to_owned(), properties.to_vec());
    }
}

/// What says that there is no such name or no such record.
fn none_found(error: &NetError) -> Option<&NoRecords> {
    match error {
        NetError::Dns(HickoryDnsError::NoRecordsFound(nothing))
            if matches!(nothing.response_code, ResponseCode::NoError | ResponseCode::NXDomain) =>
        {
            Some(nothing)
        }
        _ => None,
    }
}

fn shown(error: &NetError) -> String {
    let what = match error {
        NetError::Dns(HickoryDnsError::ResponseCode(code)) => format!("the name server answered {code}"),
        NetError::Dns(HickoryDnsError::NoRecordsFound(nothing)) => {
            format!("the name server answered {}", nothing.response_code)
        }
        NetError::Timeout => "the name server did not answer".to_owned(),
        other => other.to_string(),
    };
    escape(&what).chars().take(300).collect()
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("time_limit", &self.time_limit).finish_non_exhaustive()
    }
}

/// Something could not be looked up. It is never the absence of what was looked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DnsError {
    /// Which name servers are to be asked could not be found out.
    #[error("the name servers of this machine are not known (/etc/resolv.conf): {why}")]
    Configuration {
        /// Why not, escaped.
        why: String,
    },
    /// No server gave an answer that can be used.
    #[error("the CAA records of {name} cannot be looked up: {why}")]
    Unanswered {
        /// The name whose records were wanted.
        name: DnsName,
        /// Why not, escaped.
        why: String,
    },
}
