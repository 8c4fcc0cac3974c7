//! What a certificate signing request says (RFC 2986).

use std::sync::Arc;

use super::alternative_names::{self, AlternativeNames};
use super::layout::{self, Span};
use super::{ReadError, SUBJECT_ALT_NAME, name};
use crate::der::{self, DerError, Reader};
use crate::pem_block::{BlockError, blocks};
use crate::{DnsName, Identifier, IdentifierSet};

/// A certificate signing request that somebody else made, with the names it asks for. Its signature is not looked at
/// here. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRequest {
    der: Arc<[u8]>,
    parts: Parts,
    identifiers: IdentifierSet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parts {
    info: Span,
    spki: Span,
    signature_algorithm: Span,
    signature: Span,
}

/// 1.2.840.113549.1.9.14, the attribute that holds the extensions asked for (RFC 2985 section 5.4.2).
const EXTENSION_REQUEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e];

impl CertificateRequest {
    /// Reads the content of a file: the first request of a PEM text, or one request in DER.
    ///
    /// ```
    /// use certkit_core::{CertificateRequest, CertificateRequestError};
    ///
    /// let error = CertificateRequest::from_pem_or_der(b"nothing of the kind").unwrap_err();
    /// assert_eq!(error, CertificateRequestError::NoRequest);
    /// ```
    pub fn from_pem_or_der(bytes: &[u8]) -> Result<Self, CertificateRequestError> {
        if bytes.first() == Some(&der::SEQUENCE) {
            return Self::from_der(bytes);
        }
        for block in blocks(bytes) {
            let block = block?;
            // The second label is that of old Microsoft and Netscape tools (RFC 7468 section 7).
            if matches!(block.label, "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST") {
                return Self::from_der(&block.decode()?);
            }
        }
        Err(CertificateRequestError::NoRequest)
    }

    /// Reads one request from its DER encoding. Trailing bytes are an error.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateRequestError> {
        let (parts, identifiers) = read(der)?;
        if identifiers.is_empty() {
            return Err(CertificateRequestError::NoNames);
        }
        Ok(Self { der: der.into(), parts, identifiers })
    }

    /// The DER encoding, byte for byte as it was read: what a CA is sent.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// What it asks for; never empty. DNS names first, then addresses, each in the request's order; at last the common
    /// name where it is a valid identifier that is not among them, for CAs want it covered (RFC 8555 section 7.4).
    pub fn identifiers(&self) -> &IdentifierSet {
        &self.identifiers
    }

    /// The DER encoding of the SubjectPublicKeyInfo.
    pub fn spki_der(&self) -> &[u8] {
        self.parts.spki.of_der(&self.der)
    }

    /// The bytes that are signed (CertificationRequestInfo, DER).
    pub fn info_der(&self) -> &[u8] {
        self.parts.info.of_der(&self.der)
    }

    /// The DER encoding of the signature's AlgorithmIdentifier.
    pub fn signature_algorithm_der(&self) -> &[u8] {
        self.parts.signature_algorithm.of_der(&self.der)
    }

    /// The signature's octets.
    pub fn signature(&self) -> &[u8] {
        self.parts.signature.of_der(&self.der)
    }
}

fn read(bytes: &[u8]) -> Result<(Parts, IdentifierSet), CertificateRequestError> {
    let mut outer = Reader::new(bytes);
    let request = outer.expect(der::SEQUENCE, "not a certificate request: it does not begin with a SEQUENCE")?;
    outer.end("data after the end of the certificate request")?;
    let mut fields = request.inside();
    let info = fields.expect(der::SEQUENCE, "not a certificate request: its information is not a SEQUENCE")?;
    let signature_algorithm = layout::algorithm(&mut fields)?;
    let signature = fields.expect(der::BIT_STRING, "the signature is not a BIT STRING")?;
    signature.bit_string_octets()?;
    fields.end("data after the signature")?;

    let mut fields = info.inside();
    // A certificate, the usual mistake, has no version here but a tag of its own.
    fields.expect(der::INTEGER, "not a certificate request: it does not begin with a version")?;
    let subject = layout::name(&mut fields)?;
    let spki = layout::public_key(&mut fields)?;
    let mut extensions = None;
    // OpenSSL and others leave the attributes out where there are none.
    if let Some(attributes) = fields.optional(der::explicit(0))? {
        let mut attributes = attributes.inside();
        while !attributes.is_empty() {
            let mut attribute = attributes.expect(der::SEQUENCE, "an attribute is not a SEQUENCE")?.inside();
            let kind = attribute.expect(der::OID, "an attribute does not begin with an OID")?;
            let values = attribute.expect(der::SET, "the values of an attribute are not a SET")?;
            if kind.content == EXTENSION_REQUEST {
                // Which of two would count is anyone's guess.
                if extensions.is_some() {
                    return Err(DerError { offset: kind.offset, what: "extensions are asked for twice" }.into());
                }
                extensions = Some(layout::extension_list(&values)?.content);
            }
        }
    }
    fields.end("data after the last field of the certificate request")?;

    let signature_end = signature.offset + signature.raw.len();
    let parts = Parts {
        info: Span::of(&info)?,
        spki: Span::of(&spki)?,
        signature_algorithm: Span::of(&signature_algorithm)?,
        signature: Span::new(signature.content_offset() + 1..signature_end)?,
    };
    Ok((parts, identifiers(extensions.unwrap_or_default(), subject.raw)?))
}

fn identifiers(extensions: &[u8], subject: &[u8]) -> Result<IdentifierSet, CertificateRequestError> {
    let mut found = layout::extensions(extensions).filter(|extension| extension.oid == SUBJECT_ALT_NAME);
    let names = match (found.next(), found.next()) {
        (Some(_), Some(_)) => {
            let what = "it is there twice".to_owned();
            return Err(ReadError::Extension { name: alternative_names::EXTENSION, what }.into());
        }
        (Some(extension), None) => AlternativeNames::read(extension.value)?,
        (None, _) => AlternativeNames::default(),
    };
    let mut identifiers: Vec<Identifier> = Vec::with_capacity(names.dns.len() + names.ip.len() + 1);
    for dns in &names.dns {
        identifiers.push(DnsName::parse(dns).map_err(ReadError::from)?.into());
    }
    identifiers.extend(names.ip.into_iter().map(Identifier::Ip));
    identifiers.extend(name::common_names(subject).filter_map(|name| Identifier::parse(&name).ok()));
    Ok(identifiers.into())
}

/// Why bytes are not a usable certificate signing request. Outside text in it is escaped and cut.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateRequestError {
    /// There is no PEM block with a request, and it is not DER either.
    #[error("no certificate request found")]
    NoRequest,
    /// It asks for no name and no address.
    #[error("the certificate request names nothing: neither alternative names nor a common name that is a host name")]
    NoNames,
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] ReadError),
}

impl From<DerError> for CertificateRequestError {
    fn from(error: DerError) -> Self {
        Self::Unreadable(error.into())
    }
}

impl From<BlockError> for CertificateRequestError {
    fn from(error: BlockError) -> Self {
        Self::Unreadable(error.into())
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    /// A request made by openssl: subject, further arguments, `PEM` or `DER`.
    fn made(subject: &str, more: &[&str], form: &str) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let made = Command::new("openssl")
            .current_dir(folder.path())
            .args(["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
            .args(["-keyout", "key.pem", "-out", "request", "-outform", form, "-subj", subject])
            .args(more)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        std::fs::read(folder.path().join("request")).unwrap()
    }

    fn names(request: &[u8]) -> Vec<String> {
        let request = CertificateRequest::from_pem_or_der(request).unwrap();
        request.identifiers().iter().map(ToString::to_string).collect()
    }

    const NAMES: &[&str] =
        &["-addext", "subjectAltName=DNS:B.example.org,IP:192.0.2.1,DNS:*.a.example.org,email:me@example.org"];

    #[test]
    fn names_come_from_the_extension_and_then_the_common_name() {
        let listed = ["b.example.org", "*.a.example.org", "192.0.2.1"];
        assert_eq!(names(&made("/CN=b.example.org", NAMES, "PEM")), listed);
        assert_eq!(names(&made("/CN=b.example.org", NAMES, "DER")), listed);
        assert_eq!(names(&made("/O=Somebody/CN=My web server", NAMES, "PEM")), listed);
        let more: Vec<&str> = listed.into_iter().chain(["c.example.org"]).collect();
        assert_eq!(names(&made("/CN=C.example.org", NAMES, "PEM")), more);
        assert_eq!(names(&made("/CN=only.example.org", &[], "PEM")), ["only.example.org"]);
    }

    #[test]
    fn its_parts_are_those_that_openssl_shows() {
        let der = made("/CN=x.example.org", NAMES, "DER");
        let request = CertificateRequest::from_der(&der).unwrap();
        assert_eq!(request.der(), der);
        let joined = [request.info_der(), request.signature_algorithm_der()].concat();
        assert!(der.windows(joined.len()).any(|part| part == joined));
        assert!(der.ends_with(request.signature()));
        assert!(request.info_der().windows(request.spki_der().len()).any(|part| part == request.spki_der()));
    }

    #[test]
    fn what_is_none_is_told() {
        let read = |bytes: &[u8]| CertificateRequest::from_pem_or_der(bytes).unwrap_err();
        assert_eq!(read(b""), CertificateRequestError::NoRequest);
        assert_eq!(read(&made("/O=Nobody", &[], "PEM")), CertificateRequestError::NoNames);
        let bad = made("/CN=a.example", &["-addext", "subjectAltName=DNS:not a name"], "PEM");
        assert!(read(&bad).to_string().contains("subjectAltName"), "{}", read(&bad));
        let mut long = made("/CN=a.example", &[], "DER");
        long.push(0);
        assert!(read(&long).to_string().contains("data after the end"), "{}", read(&long));
        let text = String::from_utf8(made("/CN=a.example", &[], "PEM")).unwrap();
        assert!(read(text.split_once("-----END").unwrap().0.as_bytes()).to_string().contains("cut off"));
        let certificate = super::super::sample::Sample::new("a.example", "CA").der();
        assert!(read(&certificate).to_string().contains("not a certificate request"), "{}", read(&certificate));
    }

    proptest! {
        #[test]
        fn no_input_panics(position in 0usize..500, octet: u8, cut in 0usize..500) {
            static DER: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
            let mut der = DER.get_or_init(|| made("/CN=a.example.org", NAMES, "DER")).clone();
            let length = der.len();
            der[position % length] = octet;
            let _ = CertificateRequest::from_pem_or_der(&der);
            der.truncate(cut % length);
            let _ = CertificateRequest::from_pem_or_der(&der);
        }
    }
}
