//! Whether a name leads anywhere: A and AAAA, asked of the resolver and of every authoritative server.

use std::collections::BTreeSet;
use std::net::IpAddr;

use certkit_core::{CrlReach, DnsName, Finding, FindingCode, Severity};
use futures_util::future::join_all;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use super::caa::silent_resolver;
use super::{Check, Examined};
use crate::dns::Resolver;
use crate::dns::question::{Mode, NoAnswer};
use crate::dns::zone::{Said, Zone, ZoneServer, code_name, is_answer, shown};

/// For what the addresses of a name are needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AddressQuestion {
    /// The CA connects to them (http-01).
    pub over_http: bool,
    /// The CA is on the internet: it cannot reach private addresses.
    pub by_public_authority: bool,
}

impl AddressQuestion {
    /// All of it.
    pub fn new(over_http: bool, by_public_authority: bool) -> Self {
        Self { over_http, by_public_authority }
    }
}

/// So many aliases are followed; resolvers follow about as many.
const MOST_ALIASES: usize = 8;
const KINDS: [RecordType; 2] = [RecordType::A, RecordType::AAAA];

/// Looks the addresses of a name up. They come back as well, for the check of port 80; empty when there are none.
pub async fn check_addresses(
    resolver: &Resolver,
    name: &DnsName,
    question: AddressQuestion,
) -> (Vec<Examined>, Vec<IpAddr>) {
    let subject = name.as_str();
    // A name that is valid for certificates is valid in DNS.
    let Ok(asked) = Name::from_ascii(format!("{}.", name.base())) else { return (Vec::new(), Vec::new()) };
    let heard = Heard::ask(resolver, &asked).await;
    let survey = Survey::make(resolver, &asked).await;
    let (mut examined, mut findings) = (Vec::new(), Vec::new());
    findings.extend(heard.dnssec(subject));
    let is_known = survey.is_some();
    let survey = survey.filter(|survey| survey.is_trustworthy(&heard));
    let (mut addresses, is_missing) = match &survey {
        Some(survey) => {
            findings.extend(survey.findings(&heard));
            (survey.addresses.clone(), survey.is_missing)
        }
        None => {
            if let Some(why) = &heard.silent {
                return (vec![Examined::not_checked(Check::Addresses, subject, silent_resolver(why))], Vec::new());
            }
            if let Some(code) = heard.failure {
                // Where not validating helps, DNSSEC is told already.
                if findings.is_empty() {
                    let evidence = format!("the resolver answers {}", code_name(code));
                    findings.push(Finding::new(FindingCode::NameUnanswered, subject, evidence));
                }
            } else {
                let because = if is_known {
                    "the name servers of its zone cannot be asked from here (port 53 outwards is closed or led elsewhere); only the resolver of this machine was"
                } else {
                    "the resolver of this machine does not say which name servers are in charge; only the resolver was asked"
                };
                examined.push(Examined::not_checked(Check::NameServers, subject, because));
            }
            (heard.addresses.clone(), heard.is_missing)
        }
    };
    let fails = findings.iter().any(|finding| finding.code == FindingCode::NameUnanswered);
    if fails {
        // What the resolver still knows is what the servers said before.
        addresses.extend(&heard.addresses);
    } else {
        let aliases = survey.as_ref().map(|survey| survey.aliases.as_slice()).unwrap_or_default();
        findings.extend(judge(name, question, &addresses, is_missing, aliases, survey.as_ref()));
    }
    examined.insert(0, Examined::found(Check::Addresses, subject, findings));
    (examined, addresses.into_iter().collect())
}

/// What follows from what was found.
fn judge(
    name: &DnsName,
    question: AddressQuestion,
    addresses: &BTreeSet<IpAddr>,
    is_missing: bool,
    aliases: &[Name],
    survey: Option<&Survey>,
) -> Option<Finding> {
    let subject = name.as_str();
    let through = match aliases.last() {
        Some(target) => format!("it is an alias (CNAME) for {}", shown(target)),
        None => String::new(),
    };
    if !question.over_http {
        // Only the TXT record has to be there. But where not even the domain is, nothing can be set.
        let is_unregistered = survey.is_some_and(|survey| survey.is_missing && survey.is_above_domains());
        return is_unregistered.then(|| Finding::new(FindingCode::NameNotFound, subject, "the whole domain is gone"));
    }
    if is_missing {
        let evidence = if through.is_empty() { through } else { format!("{through}, which does not exist") };
        return Some(Finding::new(FindingCode::NameNotFound, subject, evidence));
    }
    if addresses.is_empty() {
        return Some(Finding::new(FindingCode::NameWithoutAddress, subject, through));
    }
    let private: Vec<String> = addresses
        .iter()
        .filter(|address| question.by_public_authority && CrlReach::PublicOnly.allows(**address).is_err())
        .map(ToString::to_string)
        .collect();
    if private.is_empty() {
        return None;
    }
    let severity = if private.len() == addresses.len() { Severity::Error } else { Severity::Warning };
    Some(Finding::new(FindingCode::AddressNotPublic, subject, private.join(", ")).with_severity(severity))
}

/// What the resolver says.
#[derive(Default)]
struct Heard {
    addresses: BTreeSet<IpAddr>,
    is_missing: bool,
    /// It answers with this code, and not validating does not help.
    failure: Option<ResponseCode>,
    /// It answers only when it is told not to validate.
    bogus: Option<ResponseCode>,
    silent: Option<NoAnswer>,
}

impl Heard {
    async fn ask(resolver: &Resolver, name: &Name) -> Self {
        let mut heard = Self::default();
        let answers = join_all(KINDS.map(|kind| async move {
            let validated = resolver.recursive(name, kind, Mode::Recursive).await;
            match &validated {
                Ok(answer) if !is_answer(answer.metadata.response_code) => {
                    let other = resolver.recursive(name, kind, Mode::Unvalidated).await;
                    let other = other.ok().filter(|answer| is_answer(answer.metadata.response_code));
                    (validated, other)
                }
                _ => (validated, None),
            }
        }))
        .await;
        for (validated, unvalidated) in answers {
            match (validated, unvalidated) {
                (Ok(answer), None) if is_answer(answer.metadata.response_code) => heard.take(&answer),
                (Ok(answer), None) => heard.failure = Some(answer.metadata.response_code),
                (Ok(answer), Some(other)) => {
                    heard.bogus = Some(answer.metadata.response_code);
                    heard.take(&other);
                }
                (Err(why), _) => heard.silent = Some(why),
            }
        }
        heard
    }

    fn take(&mut self, answer: &Message) {
        self.is_missing |= answer.metadata.response_code == ResponseCode::NXDomain;
        self.addresses.extend(answer.answers.iter().filter_map(|record| record.data.ip_addr()));
    }

    fn dnssec(&self, subject: &str) -> Option<Finding> {
        let code = code_name(self.bogus?);
        let evidence = format!("the resolver answers {code}, and gives an answer only when it is told not to validate");
        Some(Finding::new(FindingCode::DnssecBroken, subject, evidence))
    }

    fn is_answered(&self) -> bool {
        self.silent.is_none() && self.failure.is_none()
    }
}

/// What the servers of a zone said to each of [`KINDS`].
type Answers = [Vec<(ZoneServer, Said)>; 2];

/// What the authoritative servers say, from the name over its aliases to its addresses.
struct Survey {
    subject: Name,
    aliases: Vec<Name>,
    addresses: BTreeSet<IpAddr>,
    is_missing: bool,
    zones: Vec<(Zone, Answers)>,
}

impl Survey {
    /// None when nobody knows who is in charge.
    async fn make(resolver: &Resolver, name: &Name) -> Option<Self> {
        let mut survey = Self {
            subject: name.clone(),
            aliases: Vec::new(),
            addresses: BTreeSet::new(),
            is_missing: false,
            zones: Vec::new(),
        };
        let mut at = name.clone();
        for _ in 0..=MOST_ALIASES {
            let zone = resolver.zone_of(&at).await?;
            let [v4, v6] = KINDS.map(|kind| resolver.authoritative(&zone, &at, kind));
            let ((zone, v4), (_, v6)) = futures_util::future::join(v4, v6).await;
            let all = || v4.iter().chain(&v6).map(|(_, said)| said);
            let alias = all().find_map(|said| match said {
                Said::Alias(target) => Some(target.clone()),
                _ => None,
            });
            for said in all() {
                if let Said::Records(records) = said {
                    survey.addresses.extend(records.iter().filter_map(RData::ip_addr));
                }
            }
            // One server that knows the name is enough: that the others do not is told by itself.
            survey.is_missing = all().any(|said| matches!(said, Said::NoName))
                && all().all(|said| !said.is_good() || matches!(said, Said::NoName));
            survey.zones.push((zone, [v4, v6]));
            match alias {
                Some(target) if target != survey.subject && !survey.aliases.contains(&target) => {
                    survey.aliases.push(target.clone());
                    at = target;
                }
                _ => break,
            }
        }
        Some(survey)
    }

    /// Whether it says more than the resolver does. Where no server is heard from here although the resolver has its
    /// answers, or none answers as a server of its zone, the network does not let questions through to them.
    fn is_trustworthy(&self, heard: &Heard) -> bool {
        let mut all = self.zones.iter().flat_map(|(_, said)| said.iter().flatten()).map(|(_, said)| said);
        if heard.is_answered() { all.any(Said::is_good) } else { all.any(Said::is_heard) }
    }

    fn findings(&self, heard: &Heard) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (zone, said) in &self.zones {
            let apex = shown(&zone.apex);
            let mut faults: Vec<String> = said
                .iter()
                .flatten()
                .filter(|(server, one)| one.is_heard() || is_reachable_family(server, said))
                .filter_map(|(server, said)| Some(format!("{server} {}", said.fault()?)))
                .collect();
            faults.sort();
            faults.dedup();
            if !said.iter().flatten().any(|(_, said)| said.is_good()) {
                let name = shown(&self.subject);
                // A resolver that has an answer all the same has it from a cache, or is let in where we are not.
                let severity = if heard.is_answered() { Severity::Warning } else { Severity::Error };
                let finding = Finding::new(FindingCode::NameUnanswered, name, faults.join(", "));
                findings.push(finding.with_severity(severity));
                continue;
            }
            if !faults.is_empty() {
                findings.push(Finding::new(FindingCode::NameServerFails, apex, faults.join(", ")));
            }
            findings.extend(
                said.iter().rev().filter_map(|said| self.disagreement(said)).max_by_key(|finding| finding.severity),
            );
        }
        findings
    }

    fn disagreement(&self, said: &[(ZoneServer, Said)]) -> Option<Finding> {
        let good: Vec<_> = said.iter().filter(|(_, said)| said.is_good()).collect();
        let (_, first) = good.first()?;
        let (other, different) = good.iter().find(|(_, said)| summary(said) != summary(first))?;
        // Different addresses may be meant so (a load balancer, an answer by region); one that knows none is a fault.
        let both = matches!((first, different), (Said::Records(_), Said::Records(_)));
        let severity = if both { Severity::Notice } else { Severity::Warning };
        let (server, _) = good.first()?;
        let evidence = format!("{server} says {}, {other} says {}", summary(first), summary(different));
        Some(Finding::new(FindingCode::NameServersDisagree, shown(&self.subject), evidence).with_severity(severity))
    }

    /// Whether the last zone is one in which domains are registered: the domain itself is not there.
    fn is_above_domains(&self) -> bool {
        let Some((zone, _)) = self.zones.last() else { return false };
        let apex = shown(&zone.apex);
        psl::suffix_str(&apex).is_some_and(|suffix| suffix == apex)
    }
}

/// Whether any server of the same address family is heard, when any server is: where none is, it may be this machine that
/// has no way out by IPv6.
pub(super) fn is_reachable_family(server: &ZoneServer, said: &[Vec<(ZoneServer, Said)>]) -> bool {
    let Some(address) = server.address else { return true };
    let heard: Vec<IpAddr> =
        said.iter().flatten().filter(|(_, said)| said.is_heard()).filter_map(|(server, _)| server.address).collect();
    heard.is_empty() || heard.iter().any(|other| other.is_ipv4() == address.is_ipv4())
}

fn summary(said: &Said) -> String {
    match said {
        Said::Records(records) => records.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        Said::Alias(target) => format!("alias for {}", shown(target)),
        Said::NoRecords => "no address".into(),
        _ => "no such name".into(),
    }
}
