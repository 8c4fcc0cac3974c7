//! The subject alternative name extension (RFC 5280 section 4.2.1.6).

use std::net::IpAddr;

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use super::ReadError;
use crate::der::{self, Reader};
use crate::identifier::shown;

/// The extension's name in RFC 5280.
pub(super) const EXTENSION: &str = "subjectAltName";

/// The alternative names of the kinds that a server certificate is valid for. A name is a value of its own, never a part
/// of a joined text: commas and line breaks in names have forged other names that way (CVE-2021-44532).
#[derive(Debug, Default)]
pub(super) struct AlternativeNames {
    pub(super) dns: Vec<String>,
    pub(super) ip: Vec<IpAddr>,
}

impl AlternativeNames {
    /// Reads the extension's value.
    pub(super) fn read(value: &[u8]) -> Result<Self, ReadError> {
        let fail = |what: &str| ReadError::Extension { name: EXTENSION, what: what.to_owned() };
        let mut outer = Reader::new(value);
        let list = outer.expect(der::SEQUENCE, "it is not a list of names").map_err(|error| fail(error.what))?;
        outer.end("data after the list of names").map_err(|error| fail(error.what))?;
        let mut names = Self::default();
        let mut rest = list.content;
        while !rest.is_empty() {
            let (after, name) = GeneralName::from_der(rest).map_err(|_| fail("a name that is not a GeneralName"))?;
            match name {
                GeneralName::DNSName(dns) => names.dns.push(dns.to_owned()),
                GeneralName::IPAddress(octets) => names.ip.push(address(octets).ok_or_else(|| {
                    fail(&format!("an IP address of {} octets (4 or 16 are possible)", octets.len()))
                })?),
                GeneralName::Invalid(tag, octets) if tag.0 == 2 => {
                    return Err(fail(&format!("the DNS name {} is not text", shown(&String::from_utf8_lossy(octets)))));
                }
                // Of the other kinds even an unreadable one takes nothing away from what the certificate is valid for.
                _ => {}
            }
            rest = after;
        }
        Ok(names)
    }
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(octets) {
        return Some(octets.into());
    }
    <[u8; 16]>::try_from(octets).ok().map(IpAddr::from)
}
