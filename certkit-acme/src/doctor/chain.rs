//! Whether the stored chain carries the certificate to its end.

use certkit_core::{Certificate, Chain, Finding, FindingCode, Severity, escape};
use chrono::{DateTime, Utc};

use super::{Check, Examined};

/// Whether each certificate of a stored chain was issued by the next one (names and key ids), and whether none of the
/// issuers ends before the certificate. `renewed_at` is when the certificate will be renewed. Times are UTC.
pub fn check_chain(name: &str, chain: &Chain, renewed_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Examined {
    let mut findings: Vec<Finding> =
        order(chain).map(|what| Finding::new(FindingCode::ChainIncomplete, name, what)).into_iter().collect();
    let end = chain.leaf.validity().not_after;
    // What has ended itself has other troubles.
    if end > now {
        let first = chain.issuers.iter().filter(|issuer| !issuer.is_self_issued());
        if let Some(issuer) = first.min_by_key(|issuer| issuer.validity().not_after)
            && issuer.validity().not_after < end
        {
            let at = issuer.validity().not_after;
            let evidence = format!(
                "{} ends {}, the certificate {}",
                called(issuer),
                at.format("%F %T UTC"),
                end.format("%F %T UTC")
            );
            let in_time = renewed_at.is_some_and(|renewed| renewed < at);
            let severity = if in_time { Severity::Warning } else { Severity::Error };
            findings.push(Finding::new(FindingCode::IssuerEndsEarly, name, evidence).with_severity(severity));
        }
    }
    Examined::found(Check::Chain, name, findings)
}

fn order(chain: &Chain) -> Option<String> {
    let all: Vec<&Certificate> = chain.certificates().collect();
    if chain.issuers.is_empty() {
        return (!chain.leaf.is_self_issued()).then(|| format!("{} is missing", called_issuer(&chain.leaf)));
    }
    all.windows(2).find_map(|pair| match pair {
        [one, next] if !one.could_be_issued_by(next) => {
            let elsewhere = all.iter().any(|other| one.could_be_issued_by(other));
            let how = if elsewhere { "comes at another place" } else { "is missing" };
            Some(format!("after {} comes {}; its issuer {} {how}", called(one), called(next), called_issuer(one)))
        }
        _ => None,
    })
}

fn called(certificate: &Certificate) -> String {
    let name = certificate.subject_common_name().unwrap_or_else(|| certificate.subject());
    if name.is_empty() { "the certificate".to_owned() } else { escape(&name).into_owned() }
}

fn called_issuer(certificate: &Certificate) -> String {
    escape(&certificate.issuer_common_name().unwrap_or_else(|| certificate.issuer())).into_owned()
}
