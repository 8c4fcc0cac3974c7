//! The subject alternative name extension (RFC 5280 section 4.2.1.6).

use std::net::IpAddr;

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use super::ReadError;
use crate::der::{self, Reader};
use crate::identifier::shown;

/// The extension's name in RFC 5280.
pub(super) const EXTENSION: &str = "subjectAltName";

/// The tag of a dNSName.
const DNS_NAME: u8 = der::implicit(2);

/// The alternative names of the kinds that a server certificate is valid for. A name is a value of its own, never a part
/// of a joined text: commas and line breaks in names have forged other names that way (CVE-2021-44532).
#[derive(Debug, Default)]
pub(super) struct AlternativeNames<'a> {
    pub(super) dns: Vec<&'a str>,
    pub(super) ip: Vec<IpAddr>,
}

impl<'a> AlternativeNames<'a> {
    /// Reads the extension's value.
    pub(super) fn read(value: &'a [u8]) -> Result<Self, ReadError> {
        let fail = |what: &str| ReadError::Extension { name: EXTENSION, what: what.to_owned() };
        let mut outer = Reader::new(value);
        let list = outer.expect(der::SEQUENCE, "it is not a list of names").map_err(|error| fail(error.what))?;
        outer.end("data after the list of names").map_err(|error| fail(error.what))?;
        let mut names = Self::default();
        let mut rest = list.content;
        while !rest.is_empty() {
            // What nearly all of them are needs no more than this.
            if let Some((dns, after)) = usual(rest) {
                names.dns.push(dns);
                rest = after;
                continue;
            }
            let (after, name) = GeneralName::from_der(rest).map_err(|_| fail("a name that is not a GeneralName"))?;
            match name {
                GeneralName::DNSName(dns) => names.dns.push(dns),
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

/// A DNS name in ASCII at the beginning of a list, and what follows it.
fn usual(list: &[u8]) -> Option<(&str, &[u8])> {
    let [DNS_NAME, length @ 0..0x80, rest @ ..] = list else { return None };
    let (name, after) = rest.split_at_checked(usize::from(*length))?;
    name.is_ascii().then(|| std::str::from_utf8(name).ok())?.map(|name| (name, after))
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(octets) {
        return Some(octets.into());
    }
    <[u8; 16]>::try_from(octets).ok().map(IpAddr::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_usual_name_is_what_the_whole_reader_finds(
            tag in prop_oneof![Just(DNS_NAME), any::<u8>()],
            length in prop_oneof![0..20_u8, any::<u8>()],
            rest in proptest::collection::vec(prop_oneof![0..0x80_u8, any::<u8>()], 0..40),
        ) {
            let list = [&[tag, length], rest.as_slice()].concat();
            if let Some((name, after)) = usual(&list) {
                let (rest, whole) = GeneralName::from_der(&list).unwrap();
                prop_assert_eq!((whole, rest), (GeneralName::DNSName(name), after));
            }
        }
    }
}
