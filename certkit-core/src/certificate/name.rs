//! Subject and issuer names as text (RFC 5280 section 4.1.2.4, RFC 4514).

use super::dotted;
use crate::der::{Element, Reader};

/// The content of the OID 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// The names that RFC 4514 section 3 and OpenSSL give to attribute types, by the content of their OIDs.
const SHORT_NAMES: &[(&[u8], &str)] = &[
    (COMMON_NAME, "CN"),
    (&[0x55, 0x04, 0x04], "SN"),
    (&[0x55, 0x04, 0x05], "serialNumber"),
    (&[0x55, 0x04, 0x06], "C"),
    (&[0x55, 0x04, 0x07], "L"),
    (&[0x55, 0x04, 0x08], "ST"),
    (&[0x55, 0x04, 0x09], "STREET"),
    (&[0x55, 0x04, 0x0a], "O"),
    (&[0x55, 0x04, 0x0b], "OU"),
    (&[0x55, 0x04, 0x0c], "title"),
    (&[0x55, 0x04, 0x0f], "businessCategory"),
    (&[0x55, 0x04, 0x11], "postalCode"),
    (&[0x55, 0x04, 0x2a], "GN"),
    (&[0x55, 0x04, 0x61], "organizationIdentifier"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x01], "UID"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19], "DC"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01], "emailAddress"),
    (&[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x3c, 0x02, 0x01, 0x01], "jurisdictionL"),
    (&[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x3c, 0x02, 0x01, 0x02], "jurisdictionST"),
    (&[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x3c, 0x02, 0x01, 0x03], "jurisdictionC"),
];

/// The common names in the order in which they stand. `name` is a Name in DER.
pub(super) fn common_names(name: &[u8]) -> impl Iterator<Item = String> {
    relative_names(name)
        .flat_map(attributes)
        .filter(|(oid, _)| *oid == COMMON_NAME)
        .filter_map(|(_, value)| text(&value))
}

/// The name in one line, the last relative name first (RFC 4514 section 2).
pub(super) fn one_line(name: &[u8]) -> String {
    let relative: Vec<String> = relative_names(name)
        .map(|set| attributes(set).map(|(oid, value)| one_attribute(oid, &value)).collect::<Vec<_>>().join("+"))
        .collect();
    relative.into_iter().rev().collect::<Vec<_>>().join(",")
}

fn relative_names(name: &[u8]) -> impl Iterator<Item = Element<'_>> {
    let mut names = Reader::new(name).any().ok().map(|name| name.inside());
    std::iter::from_fn(move || names.as_mut()?.any().ok())
}

/// The attributes of one relative name: the content of the type's OID, and the value.
fn attributes(set: Element<'_>) -> impl Iterator<Item = (&[u8], Element<'_>)> {
    let mut set = set.inside();
    std::iter::from_fn(move || {
        let mut attribute = set.any().ok()?.inside();
        Some((attribute.any().ok()?.content, attribute.any().ok()?))
    })
}

/// The text of a directory string. What should not be in its type is kept: a name that breaks the rules still has to be
/// shown, and certificates with such names have long been issued.
fn text(value: &Element<'_>) -> Option<String> {
    match value.tag {
        // UTF8String.
        0x0c => Some(String::from_utf8_lossy(value.content).into_owned()),
        // NumericString, PrintableString, TeletexString, VideotexString, IA5String, VisibleString: ASCII in good
        // certificates, UTF-8 or Latin-1 in the others (OpenSSL takes TeletexString for Latin-1).
        0x12 | 0x13 | 0x14 | 0x15 | 0x16 | 0x1a => Some(match std::str::from_utf8(value.content) {
            Ok(text) => text.to_owned(),
            Err(_) => value.content.iter().copied().map(char::from).collect(),
        }),
        // UniversalString: UTF-32.
        0x1c => Some(
            value
                .content
                .chunks(4)
                .map(|unit| {
                    let scalar = unit.iter().fold(0u32, |scalar, octet| (scalar << 8) | u32::from(*octet));
                    char::from_u32(scalar).filter(|_| unit.len() == 4).unwrap_or(char::REPLACEMENT_CHARACTER)
                })
                .collect(),
        ),
        // BMPString: UCS-2, in practice UTF-16.
        0x1e => {
            let units = value.content.chunks(2).map(|unit| match unit {
                [high, low] => u16::from_be_bytes([*high, *low]),
                _ => 0xfffd,
            });
            Some(char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
        }
        _ => None,
    }
}

fn one_attribute(oid: &[u8], value: &Element<'_>) -> String {
    let kind =
        SHORT_NAMES.iter().find(|(known, _)| *known == oid).map_or_else(|| dotted(oid), |(_, name)| (*name).to_owned());
    match text(value) {
        Some(text) => format!("{kind}={}", escaped(&text)),
        None => format!("{kind}=#{}", data_encoding::HEXLOWER.encode(value.raw)),
    }
}

/// RFC 4514 section 2.4.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let last = text.chars().count().saturating_sub(1);
    for (position, c) in text.chars().enumerate() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => out.extend(['\\', c]),
            ' ' if position == 0 || position == last => out.push_str("\\ "),
            '#' if position == 0 => out.push_str("\\#"),
            '\0' => out.push_str("\\00"),
            c => out.push(c),
        }
    }
    out
}

/// A Name with one attribute for each OID, string type and value.
#[cfg(test)]
pub(super) fn build(attributes: &[(&[u8], u8, &[u8])]) -> Vec<u8> {
    let sets: Vec<Vec<u8>> = attributes
        .iter()
        .map(|(oid, tag, value)| {
            use crate::der;
            let attribute =
                der::element(der::SEQUENCE, &[&der::element(der::OID, &[oid]), &der::element(*tag, &[value])]);
            der::element(der::SET, &[&attribute])
        })
        .collect();
    crate::der::element(crate::der::SEQUENCE, &[&sets.concat()])
}

#[cfg(test)]
mod tests {
    use super::*;

    const O: &[u8] = &[0x55, 0x04, 0x0a];

    #[test]
    fn names_are_written_as_rfc_4514_says() {
        let name =
            build(&[(&[0x55, 0x04, 0x06], 0x13, b"AT"), (O, 0x0c, b" A, B + \"C\" "), (COMMON_NAME, 0x0c, b"#x\0y")]);
        assert_eq!(one_line(&name), r#"CN=\#x\00y,O=\ A\, B \+ \"C\"\ ,C=AT"#);
        assert_eq!(one_line(&build(&[(&[0x2a, 0x03, 0x04], 0x02, &[5])])), "1.2.3.4=#020105");
        assert_eq!(one_line(&build(&[])), "");
    }

    #[test]
    fn every_string_type_becomes_text() {
        let cn = |tag, value: &[u8]| common_names(&build(&[(COMMON_NAME, tag, value)])).next();
        assert_eq!(cn(0x0c, "é".as_bytes()).as_deref(), Some("é"));
        assert_eq!(cn(0x0c, b"a\xff").as_deref(), Some("a\u{fffd}"));
        assert_eq!(cn(0x14, b"\xe9").as_deref(), Some("é"));
        assert_eq!(cn(0x13, "é*".as_bytes()).as_deref(), Some("é*"));
        assert_eq!(cn(0x1e, &[0, b'a', 0xd8, 0x3d, 0xde, 0x00]).as_deref(), Some("a😀"));
        assert_eq!(cn(0x1e, &[0, b'a', 0xd8]).as_deref(), Some("a\u{fffd}"));
        assert_eq!(cn(0x1c, &[0, 1, 0xf6, 0, 0, 0, 0]).as_deref(), Some("😀\u{fffd}"));
        assert_eq!(cn(0x02, &[5]), None);
    }

    #[test]
    fn common_names_come_in_their_order() {
        let name = build(&[(COMMON_NAME, 0x0c, b"a"), (O, 0x0c, b"o"), (COMMON_NAME, 0x0c, b"b")]);
        assert_eq!(common_names(&name).collect::<Vec<_>>(), ["a", "b"]);
    }
}
