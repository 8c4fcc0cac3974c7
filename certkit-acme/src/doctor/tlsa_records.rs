//! TLSA records (RFC 6698) that pin what a renewal changes.

use certkit_core::{Certificate, DnsName, Finding, FindingCode, Severity};
use hickory_resolver::proto::rr::rdata::TLSA;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use sha2::{Digest as _, Sha256, Sha512};

use super::caa::silent_resolver;
use super::{Check, Examined};
use crate::dns::Resolver;
use crate::dns::question::Mode;
use crate::dns::zone::{code_name, is_answer};

/// Where TLSA records are usual: web servers, and mail servers among themselves (RFC 7672).
const PORTS: [u16; 2] = [443, 25];

/// Compares the TLSA records of a name with the certificate in use and with what the next renewal keeps of it: only the
/// key, and only with `reuse_key`.
pub async fn check_tlsa(
    resolver: &Resolver,
    name: &DnsName,
    certificate: &Certificate,
    reuse_key: bool,
) -> Vec<Examined> {
    let mut examined = Vec::new();
    for port in PORTS {
        let owner = format!("_{port}._tcp.{}", name.base());
        // Too long a name has no records.
        let Ok(asked) = Name::from_ascii(format!("{owner}.")) else { continue };
        examined.push(match resolver.recursive(&asked, RecordType::TLSA, Mode::Recursive).await {
            Err(why) => Examined::not_checked(Check::TlsaRecords, &owner, silent_resolver(&why)),
            Ok(answer) if !is_answer(answer.metadata.response_code) => {
                let because = format!("the resolver answers {}", code_name(answer.metadata.response_code));
                Examined::not_checked(Check::TlsaRecords, &owner, because)
            }
            Ok(answer) => {
                let records = answer.answers.iter().filter_map(|record| match &record.data {
                    RData::TLSA(tlsa) => Some(Pin::read(tlsa)),
                    _ => None,
                });
                let finding = judge(&owner, &records.collect::<Vec<_>>(), certificate, reuse_key);
                Examined::found(Check::TlsaRecords, &owner, finding.into_iter().collect())
            }
        });
    }
    examined
}

/// A TLSA record.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pin {
    usage: u8,
    selector: u8,
    matching: u8,
    association: Vec<u8>,
}

/// RFC 6698 section 2.1.1: an issuer, by the system's roots or by itself.
const ISSUER_USAGES: [u8; 2] = [0, 2];
/// Section 2.1.1: the certificate itself.
const OWN_USAGES: [u8; 2] = [1, 3];
/// Section 2.1.2.
const WHOLE_CERTIFICATE: u8 = 0;
const PUBLIC_KEY: u8 = 1;

impl Pin {
    fn read(record: &TLSA) -> Self {
        Self {
            usage: record.cert_usage.into(),
            selector: record.selector.into(),
            matching: record.matching.into(),
            association: record.cert_data.clone(),
        }
    }

    fn fits(&self, certificate: &Certificate) -> bool {
        let part = match self.selector {
            WHOLE_CERTIFICATE => certificate.der(),
            PUBLIC_KEY => certificate.spki_der(),
            _ => return false,
        };
        match self.matching {
            0 => self.association == part,
            1 => self.association == Sha256::digest(part).as_slice(),
            2 => self.association == Sha512::digest(part).as_slice(),
            _ => false,
        }
    }

    fn shown(&self) -> String {
        format!("{} {} {}", self.usage, self.selector, self.matching)
    }
}

fn judge(owner: &str, pins: &[Pin], certificate: &Certificate, reuse_key: bool) -> Option<Finding> {
    let own: Vec<&Pin> = pins.iter().filter(|pin| OWN_USAGES.contains(&pin.usage)).collect();
    let fitting: Vec<&Pin> = own.iter().copied().filter(|pin| pin.fits(certificate)).collect();
    let has_issuer = pins.iter().any(|pin| ISSUER_USAGES.contains(&pin.usage));
    if fitting.is_empty() {
        let all: Vec<_> = pins.iter().map(Pin::shown).collect();
        if pins.is_empty() || has_issuer {
            // What pins an issuer outlives a renewal as long as the CA keeps that issuer, which nobody promises.
            return has_issuer.then(|| {
                let evidence =
                    format!("{} pins an issuer, and CAs change their intermediates without notice", all.join(", "));
                Finding::new(FindingCode::TlsaWillBreak, owner, evidence).with_severity(Severity::Notice)
            });
        }
        let cure = format!(
            "publish {owner} TLSA 3 1 1 {} if this certificate is served there",
            data_encoding::HEXLOWER.encode(&certificate.spki_sha256())
        );
        return Some(Finding::new(FindingCode::TlsaMismatch, owner, all.join(", ")).with_cure(cure));
    }
    let survives = reuse_key && fitting.iter().any(|pin| pin.selector == PUBLIC_KEY);
    if survives || has_issuer {
        return None;
    }
    let shown: Vec<_> = fitting.iter().map(|pin| pin.shown()).collect();
    let why = if reuse_key {
        format!("{} pins the certificate itself, which every renewal changes", shown.join(", "))
    } else {
        format!("{} fits today's key, and every renewal makes a new one", shown.join(", "))
    };
    Some(Finding::new(FindingCode::TlsaWillBreak, owner, why))
}
