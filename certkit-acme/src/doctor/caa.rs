//! Whether the CAA records of a name let the CA issue (RFC 8659, RFC 8657), and whether every server can say so.

use certkit_core::{AcmeUrl, DnsName, Finding, FindingCode};
use hickory_resolver::proto::rr::{Name, RecordType};

use super::{Check, Examined};
use crate::challenge::ChallengeKind;
use crate::dns::question::{Mode, NoAnswer};
use crate::dns::zone::{code_name, is_answer, shown};
use crate::dns::{CaaAbove, CaaIssuer, CaaSet, DnsError, Resolver};

/// Who wants to issue, to whom, and how the name is validated.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CaaQuestion {
    /// The CA.
    pub directory: AcmeUrl,
    /// Its issuer domain names (`caaIdentities`); empty when its directory names none.
    pub identities: Vec<String>,
    /// The account; none when it is not known.
    pub account: Option<AcmeUrl>,
    /// The way of validation.
    pub method: ChallengeKind,
}

impl CaaQuestion {
    /// All of it.
    pub fn new(directory: AcmeUrl, identities: Vec<String>, account: Option<AcmeUrl>, method: ChallengeKind) -> Self {
        Self { directory, identities, account, method }
    }
}

/// A record may be as long as a message; what is longer than this nobody copies from a terminal.
const LONGEST_CURE: usize = 1_000;
/// So many records that nobody understands are told of.
const MOST_UNKNOWN: usize = 16;

/// Looks the records up as a CA does, from the name up the tree, and asks each authoritative server of the name whether it
/// can answer such a question at all.
pub async fn check_caa(resolver: &Resolver, name: &DnsName, questions: &[CaaQuestion]) -> Vec<Examined> {
    caa_of(resolver, name, questions, &CaaAbove::default()).await
}

/// The same for one of many names.
pub(super) async fn caa_of(
    resolver: &Resolver,
    name: &DnsName,
    questions: &[CaaQuestion],
    above: &CaaAbove,
) -> Vec<Examined> {
    if resolver.is_known_to_be_silent() {
        return vec![Examined::not_checked(Check::Caa, name.as_str(), silent_resolver(&NoAnswer::Silent))];
    }
    let set = match resolver.caa_sharing(name, above).await {
        Ok(set) => set,
        Err(error) => return vec![unanswered(resolver, name, &error).await],
    };
    let mut findings: Vec<Finding> = set
        .unknown_critical()
        .take(MOST_UNKNOWN)
        .map(|property| {
            let record = |dot: &str| {
                format!("{}{dot} CAA {} {} \"{}\"", place(&set), property.flags, property.tag, property.value)
            };
            let finding = Finding::new(FindingCode::CaaCriticalUnknown, name.as_str(), record(""));
            with_cure(finding, Some(format!("correct the tag, or remove the record `{}`", record("."))))
        })
        .collect();
    let mut unknown = None;
    for question in questions {
        match judge(&set, question) {
            Verdict::Permits => {}
            Verdict::Unknown => unknown = Some(question.directory.as_str()),
            Verdict::Found(finding) => findings.push(finding),
        }
    }
    findings.extend(failing_servers(resolver, name).await);
    if let (Some(directory), true) = (unknown, findings.is_empty()) {
        let because = format!(
            "the directory {directory} does not say which name the CA has in CAA records, and {} has some",
            place(&set)
        );
        return vec![Examined::not_checked(Check::Caa, name.as_str(), because)];
    }
    vec![Examined::found(Check::Caa, name.as_str(), findings)]
}

enum Verdict {
    Permits,
    Unknown,
    Found(Finding),
}

fn judge(set: &CaaSet, question: &CaaQuestion) -> Verdict {
    let issuers: Vec<&CaaIssuer> = set.issuers().collect();
    if issuers.is_empty() {
        return Verdict::Permits;
    }
    let permits_nobody = issuers.iter().all(|issuer| issuer.domain.is_none());
    if question.identities.is_empty() && !permits_nobody {
        return Verdict::Unknown;
    }
    let is_its = |issuer: &&&CaaIssuer| {
        let domain = issuer.domain.as_deref();
        domain.is_some_and(|domain| question.identities.iter().any(|identity| identity.eq_ignore_ascii_case(domain)))
    };
    let its: Vec<_> = issuers.iter().filter(is_its).collect();
    let kind = if set.name.is_wildcard() && set.properties.iter().any(|property| property.tag == "issuewild") {
        "issuewild"
    } else {
        "issue"
    };
    let records = || {
        let of_kind = set.properties.iter().filter(|property| property.tag == kind);
        let all: Vec<_> = of_kind.map(|property| format!("{kind} \"{}\"", property.value)).collect();
        format!("{} has {}", place(set), all.join(", "))
    };
    let found = |code, evidence: String, cure: Option<String>| {
        Verdict::Found(with_cure(Finding::new(code, set.name.as_str(), evidence), cure))
    };
    let owner = place(set);
    if its.is_empty() {
        let cure = question.identities.first().map(|identity| {
            format!("add the record `{owner}. CAA 0 {kind} \"{identity}\"`, or have the certificate from a CA that is permitted")
        });
        return found(FindingCode::CaaForbids, records(), cure);
    }
    // RFC 8657 section 3: with several accounts in one record it permits none.
    let permits_account = |issuer: &CaaIssuer| match issuer.account_uris().collect::<Vec<_>>()[..] {
        [] => true,
        [bound] => question.account.as_ref().is_none_or(|account| account.as_str() == bound),
        _ => false,
    };
    let permits_method = |issuer: &CaaIssuer| {
        issuer.validation_methods().is_none_or(|methods| methods.contains(&question.method.as_str()))
    };
    if its.iter().any(|issuer| permits_account(issuer) && permits_method(issuer)) {
        return Verdict::Permits;
    }
    if its.iter().any(|issuer| permits_account(issuer)) {
        let method = question.method;
        let its = its.iter().find(|issuer| permits_account(issuer)).map(|issuer| value_for(issuer, question));
        let cure = its.map_or_else(String::new, |value| {
            format!("change the record to `{owner}. CAA 0 {kind} \"{value}\"`, or validate in a way that stands there")
        });
        return found(FindingCode::CaaMethodForbidden, format!("{method} is used, and {}", records()), Some(cure));
    }
    let (ours, cure) = match &question.account {
        Some(account) => {
            let value = its.first().map(|issuer| value_for(issuer, question)).unwrap_or_default();
            let cure =
                format!("change the record to `{owner}. CAA 0 {kind} \"{value}\"`, or remove accounturi from it");
            (format!("the account is {account}"), Some(cure))
        }
        None => ("no account fits".to_owned(), None),
    };
    found(FindingCode::CaaAccountOther, format!("{ours}, and {}", records()), cure)
}

/// The exact cure where it can be shown, else the usual one.
fn with_cure(finding: Finding, cure: Option<String>) -> Finding {
    match cure.filter(|cure| cure.len() <= LONGEST_CURE) {
        Some(cure) => finding.with_cure(cure),
        None => finding,
    }
}

/// The value of a record as it has to be to permit the account and the method, with whatever else it says.
fn value_for(issuer: &CaaIssuer, question: &CaaQuestion) -> String {
    let mut value = issuer.domain.clone().unwrap_or_default();
    let is_bound = issuer.account_uris().next().is_some();
    if let (true, Some(account)) = (is_bound, &question.account) {
        value.push_str(&format!("; accounturi={account}"));
    }
    if let Some(mut methods) = issuer.validation_methods() {
        let wanted = question.method.as_str();
        if !methods.contains(&wanted) {
            methods.push(wanted);
        }
        value.push_str(&format!("; validationmethods={}", methods.join(",")));
    }
    let others = issuer.parameters.iter().filter(|(tag, _)| tag != "accounturi" && tag != "validationmethods");
    others.fold(value, |value, (tag, text)| format!("{value}; {tag}={text}"))
}

/// Where the records are.
fn place(set: &CaaSet) -> &str {
    set.found_at.as_ref().unwrap_or(&set.name).as_str()
}

/// Why there is no answer: of the resolver, of DNSSEC, or of the zone's servers.
async fn unanswered(resolver: &Resolver, name: &DnsName, error: &DnsError) -> Examined {
    let subject = name.as_str();
    let mut at = name.base();
    while let Ok(asked) = Name::from_ascii(format!("{at}.")) {
        match resolver.recursive(&asked, RecordType::CAA, Mode::Recursive).await {
            Ok(answer) if is_answer(answer.metadata.response_code) => {}
            Ok(answer) => {
                let said = format!("for {at} the resolver answers {}", code_name(answer.metadata.response_code));
                let unvalidated = resolver.recursive(&asked, RecordType::CAA, Mode::Unvalidated).await;
                if unvalidated.is_ok_and(|answer| is_answer(answer.metadata.response_code)) {
                    let evidence = format!("{said}, and gives the CAA records only when it is told not to validate");
                    let finding = Finding::new(FindingCode::DnssecBroken, subject, evidence);
                    return Examined::found(Check::Caa, subject, vec![finding]);
                }
                return broken(subject, said, faults(resolver, &asked).await);
            }
            Err(why) => {
                let own = Name::from_ascii(format!("{}.", name.base()));
                let hears = match own {
                    Ok(own) => resolver.recursive(&own, RecordType::A, Mode::Recursive).await.is_ok(),
                    Err(_) => false,
                };
                if !hears {
                    return Examined::not_checked(Check::Caa, subject, silent_resolver(&why));
                }
                let said = format!("for {at} the resolver gives no answer to a question for CAA records");
                return broken(subject, said, faults(resolver, &asked).await);
            }
        }
        match at.split_once('.') {
            Some((_, above)) => at = above,
            None => break,
        }
    }
    broken(subject, error.to_string(), Vec::new())
}

fn broken(subject: &str, said: String, faults: Vec<String>) -> Examined {
    let evidence = if faults.is_empty() { said } else { format!("{said}: {}", faults.join(", ")) };
    Examined::found(Check::Caa, subject, vec![Finding::new(FindingCode::CaaUnanswered, subject, evidence)])
}

pub(super) fn silent_resolver(why: &NoAnswer) -> String {
    let how = match why {
        NoAnswer::Silent => "does not answer".to_owned(),
        NoAnswer::NoRoute => "cannot be reached".to_owned(),
        NoAnswer::Failed(why) => format!("does not answer ({why})"),
    };
    format!("the resolver of this machine {how}")
}

/// What is wrong with the servers of the zone when they are asked for CAA records.
async fn faults(resolver: &Resolver, name: &Name) -> Vec<String> {
    let Some(zone) = resolver.zone_of(name).await else { return Vec::new() };
    let (_, said) = resolver.authoritative(&zone, name, RecordType::CAA).await;
    said.iter().filter_map(|(server, said)| Some(format!("{server} {}", said.fault()?))).collect()
}

/// Servers that answer for the name, but not when they are asked for its CAA records.
async fn failing_servers(resolver: &Resolver, name: &DnsName) -> Option<Finding> {
    let asked = Name::from_ascii(format!("{}.", name.base())).ok()?;
    let zone = resolver.zone_of(&asked).await?;
    let (zone, said) = resolver.authoritative(&zone, &asked, RecordType::CAA).await;
    if said.iter().all(|(_, said)| said.fault().is_none()) {
        return None;
    }
    let (_, addresses) = resolver.authoritative(&zone, &asked, RecordType::A).await;
    let faults: Vec<String> = said
        .iter()
        .filter(|(server, _)| addresses.iter().any(|(known, said)| known == server && said.is_good()))
        .filter_map(|(server, said)| Some(format!("{server} {}", said.fault()?)))
        .collect();
    let subject = shown(&zone.apex);
    (!faults.is_empty()).then(|| Finding::new(FindingCode::CaaServerFails, subject, faults.join(", ")))
}
