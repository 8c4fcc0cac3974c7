//! What a certificate says.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use x509_parser::extensions::{AuthorityKeyIdentifier, BasicConstraints};
use x509_parser::prelude::FromDer as _;

use crate::der::{self, Reader};
use crate::pem_block::blocks;
use crate::{Identifier, IdentifierSet, Validity};

mod alternative_names;
mod distribution_point;
mod error;
mod key;
mod layout;
mod name;
mod oid;
mod request;
mod revocation_list;
#[cfg(test)]
pub(crate) mod sample;
mod serial;
mod weak;

use alternative_names::AlternativeNames;
pub use error::ReadError;
pub use key::KeyType;
use layout::Layout;
use oid::dotted;
pub use request::{CertificateRequest, CertificateRequestError};
pub use revocation_list::{CrlReason, Revocation, RevocationList, RevocationListError};
pub use serial::{AriCertificateId, Serial};

/// An X.509 certificate (RFC 5280). Cheap to clone; names and extensions are parsed when they are asked for, so that one
/// odd extension does not make the rest unreadable.
///
/// ```
/// # fn read(pem: &[u8]) -> Result<(), certkit_core::ReadError> {
/// let certificate = certkit_core::Certificate::from_pem(pem)?;
/// println!("{} until {}", certificate.identifiers()?, certificate.validity().not_after);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Certificate {
    der: Arc<[u8]>,
    layout: Layout,
    validity: Validity,
}

/// The contents of the OIDs of the extensions that are read (RFC 5280 section 4.2.1).
const SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 0x0e];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const CRL_DISTRIBUTION_POINTS: &[u8] = &[0x55, 0x1d, 0x1f];
const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 0x23];

impl Certificate {
    /// Reads one certificate from its DER encoding. Trailing bytes are an error.
    pub fn from_der(der: &[u8]) -> Result<Self, ReadError> {
        let (layout, validity) = layout::read(der)?;
        Ok(Self { der: der.into(), layout, validity })
    }

    /// Reads the first certificate of a PEM text. What stands before it, other blocks included, is skipped unread; what
    /// comes after it is not looked at.
    pub fn from_pem(pem: &[u8]) -> Result<Self, ReadError> {
        for block in blocks(pem) {
            let block = block?;
            if is_certificate_label(block.label) {
                return Self::from_block(block.label, &block.decode()?).map_err(|error| error.in_block(block.line));
            }
        }
        Err(ReadError::NoCertificate)
    }

    /// Reads the content of a PEM block whose label [`is_certificate_label`].
    pub(crate) fn from_block(label: &str, der: &[u8]) -> Result<Self, ReadError> {
        if label != TRUSTED {
            return Self::from_der(der);
        }
        // OpenSSL's own format: the certificate, then its trust settings.
        Self::from_der(Reader::new(der).any()?.raw)
    }

    /// The DER encoding, byte for byte as it was read.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The PEM encoding with lines of 64 characters and LF, as certbot and openssl write it.
    pub fn to_pem(&self) -> String {
        let lines = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
        pem::encode_config(&pem::Pem::new("CERTIFICATE", self.der.as_ref()), lines)
    }

    /// The validity period.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// The serial number.
    pub fn serial(&self) -> Serial {
        Serial(self.layout.serial.of_der(&self.der).to_vec())
    }

    /// The subject's (last) common name as text, unescaped: outside text, escape it before it is shown.
    pub fn subject_common_name(&self) -> Option<String> {
        name::common_names(self.subject_der()).last()
    }

    /// The issuer's (last) common name as text, unescaped.
    pub fn issuer_common_name(&self) -> Option<String> {
        name::common_names(self.issuer_der()).last()
    }

    /// The subject in one line (RFC 4514 style), unescaped outside text.
    pub fn subject(&self) -> String {
        name::one_line(self.subject_der())
    }

    /// The issuer in one line (RFC 4514 style), unescaped outside text.
    pub fn issuer(&self) -> String {
        name::one_line(self.issuer_der())
    }

    /// The DER encoding of the subject name.
    pub fn subject_der(&self) -> &[u8] {
        self.layout.subject.of_der(&self.der)
    }

    /// The DER encoding of the issuer name.
    pub fn issuer_der(&self) -> &[u8] {
        self.layout.issuer.of_der(&self.der)
    }

    /// The names and addresses it is valid for: the subject alternative names that are valid identifiers, DNS names
    /// first, then addresses, each in the certificate's order; the common name where there are none at all.
    /// An alternative name that is not a valid identifier is an error that says which.
    ///
    /// A common name that stands in for missing alternative names and is not a valid identifier is passed over.
    pub fn identifiers(&self) -> Result<IdentifierSet, ReadError> {
        let names = self.alternative_names()?;
        let mut identifiers = Vec::with_capacity(names.dns.len() + names.ip.len());
        for dns in &names.dns {
            identifiers.push(crate::DnsName::parse(dns)?.into());
        }
        identifiers.extend(names.ip.into_iter().map(Identifier::Ip));
        if identifiers.is_empty() {
            identifiers.extend(self.subject_common_name().and_then(|name| Identifier::parse(&name).ok()));
        }
        Ok(identifiers.into())
    }

    /// Whether it is for this DNS name or address (RFC 9525 section 6: a wildcard stands for one whole label).
    pub fn covers(&self, asked: &str) -> bool {
        crate::endpoint::certificate_covers(self, asked)
    }

    /// certbot's "Identifiers" line: the (first) common name first (lower-cased, trailing dot removed, even when it is not
    /// a host name), then the other DNS names in the certificate's order, then the addresses. Outside text.
    /// Alternative names that cannot be read are left out.
    pub fn listed_names(&self) -> Vec<String> {
        let folded = |name: &str| {
            let name = name.strip_suffix('.').unwrap_or(name);
            if name.is_ascii() { name.to_ascii_lowercase() } else { name.to_lowercase() }
        };
        let names = self.alternative_names().unwrap_or_default();
        let common_name = name::common_names(self.subject_der()).next();
        let mut listed = Vec::with_capacity(usize::from(common_name.is_some()) + names.dns.len() + names.ip.len());
        listed.extend(common_name.as_deref().map(folded));
        listed.extend(names.dns.iter().filter(|dns| common_name.as_deref() != Some(**dns)).map(|dns| folded(dns)));
        // certbot stops at a common name that is an address; here it is not said twice.
        for ip in names.ip.iter().map(ToString::to_string) {
            if common_name.is_none() || listed.first() != Some(&ip) {
                listed.push(ip);
            }
        }
        listed
    }

    /// The DNS subject alternative names exactly as they stand in the certificate. Outside text.
    pub fn san_dns(&self) -> Result<Vec<String>, ReadError> {
        Ok(self.alternative_names()?.dns.into_iter().map(str::to_owned).collect())
    }

    /// Both kinds of subject alternative names, as [`Certificate::san_dns`] and [`Certificate::san_ip`], read once.
    pub fn subject_alternative_names(&self) -> Result<(Vec<String>, Vec<IpAddr>), ReadError> {
        let names = self.alternative_names()?;
        Ok((names.dns.into_iter().map(str::to_owned).collect(), names.ip))
    }

    /// The IP subject alternative names.
    pub fn san_ip(&self) -> Result<Vec<IpAddr>, ReadError> {
        Ok(self.alternative_names()?.ip)
    }

    /// The kind of the public key.
    pub fn key_type(&self) -> KeyType {
        key::describe(self.spki_der()).0
    }

    /// The size of the public key in bits (the modulus for RSA, the field for EC).
    pub fn key_bits(&self) -> Option<u32> {
        key::describe(self.spki_der()).1
    }

    /// The DER encoding of the SubjectPublicKeyInfo.
    pub fn spki_der(&self) -> &[u8] {
        self.layout.spki.of_der(&self.der)
    }

    /// SHA-256 over the SubjectPublicKeyInfo.
    pub fn spki_sha256(&self) -> [u8; 32] {
        Sha256::digest(self.spki_der()).into()
    }

    /// SHA-256 over the whole certificate.
    pub fn fingerprint_sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.der).into()
    }

    /// The key identifier of the authority key id extension.
    pub fn authority_key_id(&self) -> Option<Vec<u8>> {
        let value = self.extension(AUTHORITY_KEY_ID, "authorityKeyIdentifier").ok()??;
        let (_, parsed) = AuthorityKeyIdentifier::from_der(value).ok()?;
        parsed.key_identifier.map(|id| id.0.to_vec())
    }

    /// The subject key id extension.
    pub fn subject_key_id(&self) -> Option<Vec<u8>> {
        let value = self.extension(SUBJECT_KEY_ID, "subjectKeyIdentifier").ok()??;
        Reader::new(value).expect(der::OCTET_STRING, "not octets").ok().map(|id| id.content.to_vec())
    }

    /// The id under which ARI knows it; none without an authority key id.
    pub fn ari_id(&self) -> Option<AriCertificateId> {
        self.authority_key_id().map(|key_id| AriCertificateId::new(&key_id, &self.serial()))
    }

    /// Whether basic constraints say that it is a CA.
    pub fn is_ca(&self) -> bool {
        let Ok(Some(value)) = self.extension(BASIC_CONSTRAINTS, "basicConstraints") else { return false };
        BasicConstraints::from_der(value).is_ok_and(|(_, constraints)| constraints.ca)
    }

    /// The http and https URLs of the revocation lists that its issuer signs and that cover every reason, in the
    /// certificate's order (RFC 5280 section 4.2.1.13). Outside text; [`crate::CrlUrl`] checks what may be fetched.
    pub fn crl_distribution_points(&self) -> Result<Vec<String>, ReadError> {
        match self.extension(CRL_DISTRIBUTION_POINTS, distribution_point::EXTENSION)? {
            Some(value) => distribution_point::read(value),
            None => Ok(Vec::new()),
        }
    }

    /// Whether its key may sign revocation lists: the key usage cRLSign, or no key usage at all (RFC 5280 sections
    /// 4.2.1.3 and 6.3.3). A key usage that cannot be read allows nothing.
    pub fn may_sign_revocation_lists(&self) -> bool {
        const CRL_SIGN: u8 = 0x80 >> 6;
        match self.extension(KEY_USAGE, "keyUsage") {
            Ok(None) => true,
            Ok(Some(value)) => {
                let bits = Reader::new(value).expect(der::BIT_STRING, "not bits").map(|bits| bits.content);
                matches!(bits, Ok([_unused, first, ..]) if first & CRL_SIGN != 0)
            }
            Err(_) => false,
        }
    }

    /// Whether subject and issuer name are the same (the signature is not looked at).
    pub fn is_self_issued(&self) -> bool {
        self.subject_der() == self.issuer_der()
    }

    /// Whether names and key ids allow that `issuer` signed this certificate (the signature is not looked at).
    pub fn could_be_issued_by(&self, issuer: &Self) -> bool {
        self.issuer_der() == issuer.subject_der()
            && key_ids_agree(self.authority_key_id().as_deref(), issuer.subject_key_id().as_deref())
    }

    /// The bytes that are signed (TBSCertificate, DER).
    pub fn tbs_der(&self) -> &[u8] {
        self.layout.tbs.of_der(&self.der)
    }

    /// The DER encoding of the signature's AlgorithmIdentifier.
    pub fn signature_algorithm_der(&self) -> &[u8] {
        self.layout.signature_algorithm.of_der(&self.der)
    }

    /// What the signature is made with, where that is MD5 or SHA-1. Clients refuse it, and OpenSSL 3 loads it from no CA.
    pub fn weak_signature(&self) -> Option<&'static str> {
        weak::weak_signature(self.signature_algorithm_der())
    }

    /// The signature's octets.
    pub fn signature(&self) -> &[u8] {
        self.layout.signature.of_der(&self.der)
    }

    fn alternative_names(&self) -> Result<AlternativeNames<'_>, ReadError> {
        match self.extension(SUBJECT_ALT_NAME, alternative_names::EXTENSION)? {
            Some(value) => AlternativeNames::read(value),
            None => Ok(AlternativeNames::default()),
        }
    }

    /// The value of an extension. RFC 5280 section 4.2 allows each only once, and which of two would count is anyone's
    /// guess: twice is an error.
    fn extension(&self, oid: &[u8], name: &'static str) -> Result<Option<&[u8]>, ReadError> {
        let mut found =
            layout::extensions(self.layout.extensions.of_der(&self.der)).filter(|extension| extension.oid == oid);
        let first = found.next();
        if found.next().is_some() {
            return Err(ReadError::Extension { name, what: "it is there twice".to_owned() });
        }
        Ok(first.map(|extension| extension.value))
    }
}

/// OpenSSL's label for a certificate with trust settings behind it.
const TRUSTED: &str = "TRUSTED CERTIFICATE";

/// Whether a PEM block with the label holds a certificate (RFC 7468 section 5.1, and OpenSSL's two others).
pub(crate) fn is_certificate_label(label: &str) -> bool {
    matches!(label, "CERTIFICATE" | "X509 CERTIFICATE" | TRUSTED)
}

/// Whether the two key ids may belong to the same key; where one is missing, nothing speaks against it.
pub(crate) fn key_ids_agree(authority: Option<&[u8]>, subject: Option<&[u8]>) -> bool {
    match (authority, subject) {
        (Some(authority), Some(subject)) => authority == subject,
        _ => true,
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

impl std::hash::Hash for Certificate {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.der.hash(state);
    }
}

/// The names are as `{:?}` shows text: escaped.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("subject", &self.subject())
            .field("issuer", &self.issuer())
            .field("serial", &self.serial().openssl_hex())
            .field("not_after", &self.validity.not_after)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
