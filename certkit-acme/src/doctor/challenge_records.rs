//! What stands at `_acme-challenge` of a name that is validated by DNS, before anything is set there.

use certkit_core::{DnsName, Finding, FindingCode, Severity};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use super::addresses::is_reachable_family;
use super::caa::silent_resolver;
use super::{Check, Examined};
use crate::dns::Resolver;
use crate::dns::question::Mode;
use crate::dns::zone::{code_name, is_answer, shown};

/// So many records left may be an order under way elsewhere (one for the name, one for its wildcard, two clients). More
/// are a pile that grows with each renewal.
const MOST_UNSUSPICIOUS: usize = 4;

/// Looks at the TXT records that are left, and at where an alias leads. The record of an alias need not be there before a
/// validation, but its domain must be.
pub async fn check_challenge_records(resolver: &Resolver, name: &DnsName) -> Vec<Examined> {
    let owner = format!("_acme-challenge.{}", name.base());
    let subject = owner.as_str();
    let Ok(asked) = Name::from_ascii(format!("{owner}.")) else {
        let because = "the name with _acme-challenge before it is too long for DNS";
        return vec![Examined::not_checked(Check::ChallengeRecords, subject, because)];
    };
    let answer = match resolver.recursive(&asked, RecordType::TXT, Mode::Recursive).await {
        Ok(answer) => answer,
        Err(why) => return vec![Examined::not_checked(Check::ChallengeRecords, subject, silent_resolver(&why))],
    };
    let targets: Vec<&Name> = answer
        .answers
        .iter()
        .filter_map(|record| match &record.data {
            RData::CNAME(target) => Some(&target.0),
            _ => None,
        })
        .collect();
    let mut findings = Vec::new();
    let code = answer.metadata.response_code;
    if !is_answer(code) {
        // The alias may stand in a zone that answers, and lead to one that does not.
        let alias = resolver.recursive(&asked, RecordType::CNAME, Mode::Recursive).await.ok();
        let target = alias.iter().flat_map(|answer| &answer.answers).find_map(|record| match &record.data {
            RData::CNAME(target) => Some(shown(&target.0)),
            _ => None,
        });
        let finding = match target {
            Some(target) => {
                let evidence = format!("it leads to {target}, for which the resolver answers {}", code_name(code));
                alias_broken(subject, &target, &evidence)
            }
            None => {
                let unvalidated = resolver.recursive(&asked, RecordType::TXT, Mode::Unvalidated).await;
                let is_bogus = unvalidated.is_ok_and(|answer| is_answer(answer.metadata.response_code));
                let kind = if is_bogus { FindingCode::DnssecBroken } else { FindingCode::NameUnanswered };
                Finding::new(kind, subject, format!("the resolver answers {}", code_name(code)))
            }
        };
        return vec![Examined::found(Check::ChallengeRecords, subject, vec![finding])];
    }
    if let (Some(target), ResponseCode::NXDomain) = (targets.last(), code) {
        // Whose zone says that there is no such name? Above the domains the domain itself is missing.
        let zone = answer.authorities.iter().find(|record| matches!(record.data, RData::SOA(_)));
        let zone = zone.map(|zone| shown(&zone.name));
        let is_gone = zone.is_none_or(|zone| psl::suffix_str(&zone).is_some_and(|suffix| suffix == zone));
        if is_gone {
            let target = shown(target);
            let evidence = format!("it leads to {target}, whose domain does not exist");
            findings.push(alias_broken(subject, &target, &evidence));
        }
    }
    let left = answer.answers.iter().filter(|record| matches!(record.data, RData::TXT(_))).count();
    if left > 0 {
        let records = if left == 1 { "1 record".to_owned() } else { format!("{left} records") };
        let severity = if left > MOST_UNSUSPICIOUS { Severity::Warning } else { Severity::Notice };
        findings.push(Finding::new(FindingCode::ChallengeRecordsLeft, subject, records).with_severity(severity));
    }
    findings.extend(failing_servers(resolver, targets.last().copied().unwrap_or(&asked)).await);
    vec![Examined::found(Check::ChallengeRecords, subject, findings)]
}

fn alias_broken(owner: &str, target: &str, evidence: &str) -> Finding {
    let cure = format!(
        "correct or remove the record `{owner}. CNAME {target}.`, so that the record that the auth hook sets is found"
    );
    Finding::new(FindingCode::ChallengeAliasBroken, owner, evidence).with_cure(cure)
}

/// Servers in charge of the place of the record that do not answer for TXT records: a CA may ask any of them.
async fn failing_servers(resolver: &Resolver, name: &Name) -> Option<Finding> {
    let zone = resolver.zone_of(name).await?;
    let (zone, said) = resolver.authoritative(&zone, name, RecordType::TXT).await;
    // Where none answers as it should, it is this network that leads questions elsewhere, or the resolver tells it.
    if !said.iter().any(|(_, said)| said.is_good()) {
        return None;
    }
    let said = [said];
    let faults: Vec<String> = said
        .iter()
        .flatten()
        .filter(|(server, one)| one.is_heard() || is_reachable_family(server, &said))
        .filter_map(|(server, said)| Some(format!("{server} {}", said.fault()?)))
        .collect();
    let apex = shown(&zone.apex);
    (!faults.is_empty()).then(|| Finding::new(FindingCode::NameServerFails, apex, faults.join(", ")))
}
