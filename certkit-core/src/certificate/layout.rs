//! Where the parts of a certificate lie (RFC 5280 section 4.1), and when it is valid.

use std::ops::Range;

use chrono::{DateTime, NaiveDate};
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;

use super::ReadError;
use crate::Validity;
use crate::der::{self, DerError, Element, Reader};

/// A part of the encoding. Certificates are far smaller than 4 GiB; larger ones are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

/// Where the parts lie. Everything but the meaning of names, keys and extensions has been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// TBSCertificate with tag and length: what is signed.
    pub(super) tbs: Span,
    /// The content of the serial number.
    pub(super) serial: Span,
    pub(super) issuer: Span,
    pub(super) subject: Span,
    pub(super) spki: Span,
    /// The content of the extensions' SEQUENCE; empty where there are none.
    pub(super) extensions: Span,
    /// The outer AlgorithmIdentifier with tag and length.
    pub(super) signature_algorithm: Span,
    /// The signature's octets.
    pub(super) signature: Span,
}

/// One extension: the content of its OID and of its value.
#[derive(Clone, Copy)]
pub(super) struct Extension<'a> {
    pub(super) oid: &'a [u8],
    pub(super) critical: bool,
    pub(super) value: &'a [u8],
}

impl Span {
    pub(super) fn new(range: Range<usize>) -> Result<Self, DerError> {
        let narrow =
            |at| u32::try_from(at).map_err(|_| DerError { offset: 0, what: "a certificate of more than 4 GiB" });
        Ok(Self { start: narrow(range.start)?, end: narrow(range.end)? })
    }

    pub(super) fn of(element: &Element<'_>) -> Result<Self, DerError> {
        Self::new(element.offset..element.offset + element.raw.len())
    }

    fn of_content(element: &Element<'_>) -> Result<Self, DerError> {
        Self::new(element.content_offset()..element.offset + element.raw.len())
    }

    /// The part, from the encoding that it was made from.
    pub(super) fn of_der<'a>(&self, der: &'a [u8]) -> &'a [u8] {
        der.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// Reads the structure of one certificate that fills `bytes`.
pub(super) fn read(bytes: &[u8]) -> Result<(Layout, Validity), ReadError> {
    let mut outer = Reader::new(bytes);
    let certificate = outer.expect(der::SEQUENCE, "not a certificate: it does not begin with a SEQUENCE")?;
    outer.end("data after the end of the certificate")?;
    let mut parts = certificate.inside();
    let tbs = parts.expect(der::SEQUENCE, "not a certificate: TBSCertificate is not a SEQUENCE")?;
    let signature_algorithm = algorithm(&mut parts)?;
    let signature = parts.expect(der::BIT_STRING, "the signature is not a BIT STRING")?;
    // The octet in front counts the unused bits; some new signature schemes have them, so nothing is said about it.
    if signature.content.is_empty() {
        return Err(DerError { offset: signature.offset, what: "the signature is empty" }.into());
    }
    parts.end("data after the signature")?;

    let mut fields = tbs.inside();
    version(&mut fields)?;
    let serial = fields.expect(der::INTEGER, "the serial number is not an INTEGER")?;
    // OpenSSL and certbot refuse it as well, and the ARI certificate id would not be the CA's.
    if !is_shortest(serial.content) {
        return Err(DerError { offset: serial.offset, what: "the serial number is not in its shortest form" }.into());
    }
    algorithm(&mut fields)?;
    let issuer = name(&mut fields)?;
    let validity = validity(&mut fields)?;
    let subject = name(&mut fields)?;
    let spki = public_key(&mut fields)?;
    // issuerUniqueID and subjectUniqueID mean nothing to anyone today.
    fields.optional(der::implicit(1))?;
    fields.optional(der::implicit(2))?;
    let extensions = match fields.optional(der::explicit(3))? {
        Some(wrapped) => Span::of_content(&extension_list(&wrapped)?)?,
        None => Span { start: 0, end: 0 },
    };
    fields.end("data after the last field of TBSCertificate")?;

    let signature_end = signature.offset + signature.raw.len();
    let layout = Layout {
        tbs: Span::of(&tbs)?,
        serial: Span::of_content(&serial)?,
        issuer: Span::of(&issuer)?,
        subject: Span::of(&subject)?,
        spki: Span::of(&spki)?,
        extensions,
        signature_algorithm: Span::of(&signature_algorithm)?,
        signature: Span::new(signature.content_offset() + 1..signature_end)?,
    };
    Ok((layout, validity))
}

/// The extensions in `list`, which [`read`] has checked.
pub(super) fn extensions(list: &[u8]) -> impl Iterator<Item = Extension<'_>> {
    let mut list = Reader::new(list);
    std::iter::from_fn(move || extension(&mut list).ok())
}

/// X.690 section 8.3.2.
fn is_shortest(integer: &[u8]) -> bool {
    match integer {
        [] => false,
        [0, next, ..] => next & 0x80 != 0,
        [0xff, next, ..] => next & 0x80 == 0,
        _ => true,
    }
}

fn version(fields: &mut Reader<'_>) -> Result<(), DerError> {
    let Some(wrapped) = fields.optional(der::explicit(0))? else { return Ok(()) };
    let mut inside = wrapped.inside();
    let version = inside.expect(der::INTEGER, "the version is not an INTEGER")?;
    inside.end("data after the version")?;
    match version.content {
        [0..=2] => Ok(()),
        _ => Err(DerError { offset: version.offset, what: "a version of X.509 that does not exist" }),
    }
}

pub(super) fn algorithm<'a>(fields: &mut Reader<'a>) -> Result<Element<'a>, DerError> {
    let algorithm = fields.expect(der::SEQUENCE, "an AlgorithmIdentifier is not a SEQUENCE")?;
    let mut inside = algorithm.inside();
    inside.expect(der::OID, "an AlgorithmIdentifier does not begin with an OID")?;
    if !inside.is_empty() {
        inside.any()?;
    }
    inside.end("data after an AlgorithmIdentifier")?;
    Ok(algorithm)
}

pub(super) fn name<'a>(fields: &mut Reader<'a>) -> Result<Element<'a>, DerError> {
    let name = fields.expect(der::SEQUENCE, "a name is not a SEQUENCE")?;
    let mut names = name.inside();
    while !names.is_empty() {
        let mut set = names.expect(der::SET, "a relative name is not a SET")?.inside();
        while !set.is_empty() {
            let mut attribute = set.expect(der::SEQUENCE, "an attribute of a name is not a SEQUENCE")?.inside();
            attribute.expect(der::OID, "an attribute of a name does not begin with an OID")?;
            attribute.any()?;
            attribute.end("data after an attribute of a name")?;
        }
    }
    Ok(name)
}

pub(super) fn public_key<'a>(fields: &mut Reader<'a>) -> Result<Element<'a>, DerError> {
    let spki = fields.expect(der::SEQUENCE, "the public key is not a SEQUENCE")?;
    let mut key = spki.inside();
    algorithm(&mut key)?;
    key.expect(der::BIT_STRING, "the public key has no BIT STRING")?.bit_string_octets()?;
    key.end("data after the public key")?;
    Ok(spki)
}

fn validity(fields: &mut Reader<'_>) -> Result<Validity, ReadError> {
    let mut inside = fields.expect(der::SEQUENCE, "the validity is not a SEQUENCE")?.inside();
    let validity = Validity { not_before: time(&mut inside)?, not_after: time(&mut inside)? };
    inside.end("data after the validity")?;
    Ok(validity)
}

pub(super) fn time(fields: &mut Reader<'_>) -> Result<DateTime<chrono::Utc>, DerError> {
    let element = fields.any()?;
    if element.tag == der::UTC_TIME
        && let Some(time) = usual_time(element.content)
    {
        return Ok(time);
    }
    let fail = |what| DerError { offset: element.offset, what };
    if !matches!(element.tag, der::UTC_TIME | der::GENERALIZED_TIME) {
        return Err(fail("a time is neither UTCTime nor GeneralizedTime"));
    }
    // The zone is mandatory (RFC 5280 section 4.1.2.5); a time without one could mean any hour.
    if !element.content.iter().any(|c| matches!(c, b'Z' | b'+' | b'-')) {
        return Err(fail("a time without a time zone"));
    }
    let (_, time) = ASN1Time::from_der(element.raw).map_err(|_| fail("a time that does not exist"))?;
    DateTime::from_timestamp(time.timestamp(), 0).ok_or_else(|| fail("a time that does not exist"))
}

/// A UTCTime as RFC 5280 section 4.1.2.5.1 has it: `YYMMDDHHMMSSZ`, from 50 on in the last century. None for any other form,
/// and for one that does not exist.
fn usual_time(content: &[u8]) -> Option<DateTime<chrono::Utc>> {
    let digits: &[u8; 12] = content.strip_suffix(b"Z")?.try_into().ok()?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |at: usize| u32::from(digits[at] - b'0') * 10 + u32::from(digits[at + 1] - b'0');
    let year = number(0) as i32;
    let date = NaiveDate::from_ymd_opt(year + if year < 50 { 2000 } else { 1900 }, number(2), number(4))?;
    Some(date.and_hms_opt(number(6), number(8), number(10))?.and_utc())
}

pub(super) fn extension_list<'a>(wrapped: &Element<'a>) -> Result<Element<'a>, DerError> {
    let mut inside = wrapped.inside();
    let list = inside.expect(der::SEQUENCE, "the extensions are not a SEQUENCE")?;
    inside.end("data after the extensions")?;
    check_extensions(&list)?;
    Ok(list)
}

/// Checks that `list` is made of extensions.
pub(super) fn check_extensions(list: &Element<'_>) -> Result<(), DerError> {
    let mut extensions = list.inside();
    while !extensions.is_empty() {
        extension(&mut extensions)?;
    }
    Ok(())
}

fn extension<'a>(list: &mut Reader<'a>) -> Result<Extension<'a>, DerError> {
    let mut inside = list.expect(der::SEQUENCE, "an extension is not a SEQUENCE")?.inside();
    let oid = inside.expect(der::OID, "an extension does not begin with an OID")?;
    let flag = inside.optional(der::BOOLEAN)?;
    if let Some(flag) = flag
        && !matches!(flag.content, [0 | 0xff])
    {
        return Err(DerError {
            offset: flag.offset,
            what: "whether an extension is critical is neither true nor false",
        });
    }
    let value = inside.expect(der::OCTET_STRING, "the value of an extension is not an OCTET STRING")?;
    inside.end("data after an extension")?;
    let critical = flag.is_some_and(|flag| flag.content == [0xff]);
    Ok(Extension { oid: oid.content, critical, value: value.content })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn a_usual_time_is_what_the_whole_reader_finds(
            text in prop_oneof![
                "[0-9]{2}(0[0-9]|1[0-3])([0-2][0-9]|3[0-2])([01][0-9]|2[0-5])[0-6][0-9][0-6][0-9]Z",
                "[0-9Z+-]{11,15}",
            ],
        ) {
            if let Some(time) = usual_time(text.as_bytes()) {
                let der = der::element(der::UTC_TIME, &[text.as_bytes()]);
                let (_, whole) = ASN1Time::from_der(&der).unwrap();
                prop_assert_eq!(time.timestamp(), whole.timestamp());
            }
        }
    }
}
