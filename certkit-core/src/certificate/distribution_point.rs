//! Distribution points: where the revocation list of a certificate is (RFC 5280 section 4.2.1.13), and which part of a
//! CA's certificates a list is about (section 5.2.5).

use super::ReadError;
use crate::der::{self, DerError, Reader};

/// The extension's name in RFC 5280.
pub(super) const EXTENSION: &str = "cRLDistributionPoints";

/// The tag of a uniformResourceIdentifier in GeneralName.
const URI: u8 = der::implicit(6);

/// The http and https URLs of the lists that speak about every reason and come from the certificate's own issuer.
pub(super) fn read(value: &[u8]) -> Result<Vec<String>, ReadError> {
    urls(value).map_err(|error| ReadError::Extension { name: EXTENSION, what: error.what.to_owned() })
}

fn urls(value: &[u8]) -> Result<Vec<String>, DerError> {
    let mut outer = Reader::new(value);
    let mut points = outer.expect(der::SEQUENCE, "it is not a list of distribution points")?.inside();
    outer.end("data after the list of distribution points")?;
    let mut urls: Vec<String> = Vec::new();
    while !points.is_empty() {
        let mut point = points.expect(der::SEQUENCE, "a distribution point is not a SEQUENCE")?.inside();
        let name = point.optional(der::explicit(0))?;
        let some_reasons = point.optional(der::implicit(1))?;
        let other_issuer = point.optional(der::explicit(2))?;
        point.end("data after a distribution point")?;
        let Some(name) = name.filter(|_| some_reasons.is_none() && other_issuer.is_none()) else { continue };
        for url in full_name(&mut name.inside())?.unwrap_or_default() {
            let is_http = ["http://", "https://"]
                .iter()
                .any(|scheme| url.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme)));
            if is_http && !urls.contains(&url) {
                urls.push(url);
            }
        }
    }
    Ok(urls)
}

/// What a revocation list says it is about (IssuingDistributionPoint).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Scope {
    /// The URLs of the distribution point; none where the list does not name one, or not by a full name.
    pub(super) urls: Option<Vec<String>>,
    /// A distribution point that has a name of another kind.
    pub(super) has_relative_name: bool,
    pub(super) only_user_certificates: bool,
    pub(super) only_ca_certificates: bool,
    pub(super) only_attribute_certificates: bool,
    pub(super) only_some_reasons: bool,
    pub(super) is_indirect: bool,
}

impl Scope {
    /// Reads the extension's value.
    pub(super) fn read(value: &[u8]) -> Result<Self, DerError> {
        let mut outer = Reader::new(value);
        let mut fields = outer.expect(der::SEQUENCE, "the issuing distribution point is not a SEQUENCE")?.inside();
        outer.end("data after the issuing distribution point")?;
        let mut scope = Self::default();
        if let Some(name) = fields.optional(der::explicit(0))? {
            scope.urls = full_name(&mut name.inside())?;
            scope.has_relative_name = scope.urls.is_none();
        }
        scope.only_user_certificates = flag(&mut fields, 1)?;
        scope.only_ca_certificates = flag(&mut fields, 2)?;
        scope.only_some_reasons = fields.optional(der::implicit(3))?.is_some();
        scope.is_indirect = flag(&mut fields, 4)?;
        scope.only_attribute_certificates = flag(&mut fields, 5)?;
        fields.end("data after the issuing distribution point's last field")?;
        Ok(scope)
    }
}

fn flag(fields: &mut Reader<'_>, number: u8) -> Result<bool, DerError> {
    let Some(flag) = fields.optional(der::implicit(number))? else { return Ok(false) };
    match flag.content {
        [0] => Ok(false),
        [0xff] => Ok(true),
        _ => Err(DerError { offset: flag.offset, what: "a flag that is neither true nor false" }),
    }
}

/// The URLs of a DistributionPointName that is a full name; none for a name relative to the issuer's.
fn full_name(name: &mut Reader<'_>) -> Result<Option<Vec<String>>, DerError> {
    let choice = name.any()?;
    name.end("data after the name of a distribution point")?;
    if choice.tag == der::explicit(1) {
        return Ok(None);
    }
    if choice.tag != der::explicit(0) {
        return Err(DerError { offset: choice.offset, what: "the name of a distribution point of an unknown kind" });
    }
    let (mut names, mut urls) = (choice.inside(), Vec::new());
    while !names.is_empty() {
        let name = names.any()?;
        if name.tag == URI {
            let text = std::str::from_utf8(name.content).ok().filter(|text| text.is_ascii());
            let unreadable = DerError { offset: name.offset, what: "a URL that is not ASCII text" };
            urls.push(text.ok_or(unreadable)?.to_owned());
        }
    }
    Ok(Some(urls))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::sample::Sample;
    use crate::der::element;

    const CRL_DISTRIBUTION_POINTS: u8 = 0x1f;

    fn uri(text: &[u8]) -> Vec<u8> {
        element(URI, &[text])
    }

    fn full(names: &[Vec<u8>]) -> Vec<u8> {
        element(der::explicit(0), &[&element(der::explicit(0), &[&names.concat()])])
    }

    fn point(parts: &[&[u8]]) -> Vec<u8> {
        element(der::SEQUENCE, parts)
    }

    fn of(points: &[Vec<u8>]) -> Result<Vec<String>, ReadError> {
        let value = element(der::SEQUENCE, &[&points.concat()]);
        Sample::new("a", "b").extension(CRL_DISTRIBUTION_POINTS, &value).certificate().crl_distribution_points()
    }

    #[test]
    fn the_urls_of_complete_lists_of_the_own_issuer_are_given() {
        let first = point(&[&full(&[uri(b"ldap://ca.example/x"), uri(b"http://ca.example/1"), uri(b"HTTPS://b/2")])]);
        let again = point(&[&full(&[uri(b"http://ca.example/1")])]);
        let some_reasons = point(&[&full(&[uri(b"http://ca.example/3")]), &element(der::implicit(1), &[&[1, 2]])]);
        let directory_name = element(der::explicit(4), &[&element(der::SEQUENCE, &[])]);
        let issuer = element(der::explicit(2), &[&directory_name]);
        let indirect = point(&[&full(&[uri(b"http://ca.example/4")]), &issuer]);
        let relative = point(&[&element(der::explicit(0), &[&element(der::explicit(1), &[])])]);
        let urls = of(&[first, again, some_reasons, indirect, relative]).unwrap();
        assert_eq!(urls, ["http://ca.example/1", "HTTPS://b/2"]);
        assert_eq!(Sample::new("a", "b").certificate().crl_distribution_points(), Ok(Vec::new()));
    }

    #[test]
    fn points_that_cannot_be_read_are_an_error_of_the_extension() {
        let bad = [
            of(&[vec![2, 1, 5]]),
            of(&[point(&[&full(&[uri(b"http://\xff/")])])]),
            of(&[point(&[&element(der::explicit(0), &[&element(der::explicit(2), &[])])])]),
            of(&[point(&[&[der::INTEGER, 1, 1]])]),
        ];
        for error in bad {
            let error = error.unwrap_err().to_string();
            assert!(error.starts_with("the extension cRLDistributionPoints: "), "{error}");
        }
    }
}
