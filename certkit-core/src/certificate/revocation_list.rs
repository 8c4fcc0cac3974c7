//! What a certificate revocation list says (RFC 5280 section 5).

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::distribution_point::Scope;
use super::layout::{self, Span};
use super::{AUTHORITY_KEY_ID, Certificate, Serial, dotted};
use crate::der::{self, DerError, Element, Reader};

/// A complete certificate revocation list. Its signature is not looked at here. Cheap to clone.
///
/// ```
/// # fn read(der: &[u8], certificate: &certkit_core::Certificate, now: chrono::DateTime<chrono::Utc>)
/// # -> Result<(), certkit_core::RevocationListError> {
/// let list = certkit_core::RevocationList::from_der(der)?;
/// if let Some(revocation) = list.look_up(certificate, "http://c.ca.example/7.crl", now)? {
///     println!("revoked at {}", revocation.at);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RevocationList {
    der: Arc<[u8]>,
    parts: Parts,
    this_update: DateTime<Utc>,
    next_update: Option<DateTime<Utc>>,
    scope: Scope,
    /// Sorted by serial number: a list has hundreds of thousands of entries, and a run looks up as many certificates.
    entries: Arc<[Entry]>,
}

/// An entry of a revocation list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Revocation {
    /// When the CA revoked the certificate (UTC).
    pub at: DateTime<Utc>,
    /// Why, when the CA says so.
    pub reason: Option<CrlReason>,
}

/// CRLReason (RFC 5280 section 5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CrlReason {
    /// 0
    Unspecified,
    /// 1
    KeyCompromise,
    /// 2
    CaCompromise,
    /// 3
    AffiliationChanged,
    /// 4
    Superseded,
    /// 5
    CessationOfOperation,
    /// 6
    CertificateHold,
    /// 8; such an entry revokes nothing.
    RemoveFromCrl,
    /// 9
    PrivilegeWithdrawn,
    /// 10
    AaCompromise,
    /// Any other number.
    Other(u8),
}

/// Why a revocation list says nothing about a certificate. Outside text in it is escaped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RevocationListError {
    /// It does not have the structure of RFC 5280 section 5.1.
    #[error("byte {offset}: {what}")]
    Der {
        /// The octet at which the structure breaks, from 0.
        offset: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// It has a critical extension that is not known: RFC 5280 section 5.2 forbids to use it.
    #[error("it has the critical extension {0}, which is not known")]
    CriticalExtension(String),
    /// It is from another issuer than the certificate.
    #[error("it is a list of {list}, and the certificate is from {certificate}")]
    OtherIssuer {
        /// The list's issuer, escaped.
        list: String,
        /// The certificate's issuer, escaped.
        certificate: String,
    },
    /// It begins in the future.
    #[error("it is only valid from {0} on; is the clock of this machine right?")]
    NotYetValid(DateTime<Utc>),
    /// Its successor is overdue.
    #[error("it was to be replaced by {0}; the CA, or something on the way, delivers an old list")]
    Stale(DateTime<Utc>),
    /// It is about other certificates, or not about all that can happen to this one.
    #[error("it does not cover the certificate: {0}")]
    OutOfScope(&'static str),
}

#[derive(Clone, Copy, Debug)]
struct Parts {
    tbs: Span,
    issuer: Span,
    signature_algorithm: Span,
    signature: Span,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The serial number without octets that change nothing.
    serial: Span,
    /// Date and extensions.
    rest: Span,
}

/// The contents of the OIDs of the extensions that are known (RFC 5280 sections 5.2 and 5.3).
const CRL_NUMBER: &[u8] = &[0x55, 0x1d, 0x14];
const REASON_CODE: &[u8] = &[0x55, 0x1d, 0x15];
const INVALIDITY_DATE: &[u8] = &[0x55, 0x1d, 0x18];
const DELTA_CRL_INDICATOR: &[u8] = &[0x55, 0x1d, 0x1b];
const ISSUING_DISTRIBUTION_POINT: &[u8] = &[0x55, 0x1d, 0x1c];
const CERTIFICATE_ISSUER: &[u8] = &[0x55, 0x1d, 0x1d];

/// How far ahead of us the clock of a CA may be.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::hours(1);

impl RevocationList {
    /// Reads one list from its DER encoding. Trailing bytes are an error, and so is everything else that would make a
    /// certificate look good only because the rest of the list was not understood.
    pub fn from_der(der: &[u8]) -> Result<Self, RevocationListError> {
        let mut outer = Reader::new(der);
        let list = outer.expect(der::SEQUENCE, "not a revocation list: it does not begin with a SEQUENCE")?;
        outer.end("data after the end of the revocation list")?;
        let mut parts = list.inside();
        let tbs = parts.expect(der::SEQUENCE, "not a revocation list: TBSCertList is not a SEQUENCE")?;
        let signature_algorithm = layout::algorithm(&mut parts)?;
        let signature = parts.expect(der::BIT_STRING, "the signature is not a BIT STRING")?;
        signature.bit_string_octets()?;
        parts.end("data after the signature")?;

        let mut fields = tbs.inside();
        if let Some(version) = fields.optional(der::INTEGER)?
            && version.content != [1]
        {
            return Err(DerError { offset: version.offset, what: "a version of lists that does not exist" }.into());
        }
        let signed = layout::algorithm(&mut fields)?;
        // RFC 5280 section 5.1.1.2: the signed copy of the algorithm must be the same as the unsigned one.
        if signed.raw != signature_algorithm.raw {
            return Err(DerError { offset: signed.offset, what: "two different signature algorithms" }.into());
        }
        let issuer = layout::name(&mut fields)?;
        let this_update = layout::time(&mut fields)?;
        let next_update = match fields.peek() {
            Some(der::UTC_TIME | der::GENERALIZED_TIME) => Some(layout::time(&mut fields)?),
            _ => None,
        };
        let mut entries = match fields.optional(der::SEQUENCE)? {
            Some(revoked) => entries(&revoked)?,
            None => Vec::new(),
        };
        let scope = match fields.optional(der::explicit(0))? {
            Some(wrapped) => scope(layout::extension_list(&wrapped)?.content)?,
            None => Scope::default(),
        };
        fields.end("data after the last field of TBSCertList")?;
        entries.sort_by_key(|entry| entry.serial.of_der(der));

        let signature_end = signature.offset + signature.raw.len();
        let parts = Parts {
            tbs: Span::of(&tbs)?,
            issuer: Span::of(&issuer)?,
            signature_algorithm: Span::of(&signature_algorithm)?,
            signature: Span::new(signature.content_offset() + 1..signature_end)?,
        };
        Ok(Self { der: der.into(), parts, this_update, next_update, scope, entries: entries.into() })
    }

    /// What the list says about a certificate for which `url` led to it: its entry, or none when it is not revoked.
    /// Whoever asks has checked that the list is signed by the key of the certificate's issuer.
    ///
    /// A list that says nothing about the certificate (another issuer's, an old one, one about other certificates) is an
    /// error.
    pub fn look_up(
        &self,
        certificate: &Certificate,
        url: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<Revocation>, RevocationListError> {
        if self.issuer_der() != certificate.issuer_der() {
            let said = |name: String| crate::escape(&name).chars().take(200).collect();
            return Err(RevocationListError::OtherIssuer {
                list: said(super::name::one_line(self.issuer_der())),
                certificate: said(certificate.issuer()),
            });
        }
        if self.this_update.signed_duration_since(now) > CLOCK_TOLERANCE {
            return Err(RevocationListError::NotYetValid(self.this_update));
        }
        // RFC 5280 section 5.1.2.5 demands it; a list without could be of any age.
        let next_update =
            self.next_update.ok_or(RevocationListError::OutOfScope("it does not say when the next one comes"))?;
        if next_update < now {
            return Err(RevocationListError::Stale(next_update));
        }
        self.covers(certificate, url).map_err(RevocationListError::OutOfScope)?;
        self.entry(&certificate.serial())
    }

    /// When it was made.
    pub fn this_update(&self) -> DateTime<Utc> {
        self.this_update
    }

    /// By when the next one is made, when the list says so.
    pub fn next_update(&self) -> Option<DateTime<Utc>> {
        self.next_update
    }

    /// The number of its entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has no entries: nothing is revoked.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The size of its encoding in bytes.
    pub fn size(&self) -> usize {
        self.der.len()
    }

    /// The DER encoding of the issuer name.
    pub fn issuer_der(&self) -> &[u8] {
        self.parts.issuer.of_der(&self.der)
    }

    /// The bytes that are signed (TBSCertList, DER).
    pub fn tbs_der(&self) -> &[u8] {
        self.parts.tbs.of_der(&self.der)
    }

    /// The DER encoding of the signature's AlgorithmIdentifier.
    pub fn signature_algorithm_der(&self) -> &[u8] {
        self.parts.signature_algorithm.of_der(&self.der)
    }

    /// The signature's octets.
    pub fn signature(&self) -> &[u8] {
        self.parts.signature.of_der(&self.der)
    }

    /// RFC 5280 section 6.3.3 (b): whether the list is about this certificate and about everything that can happen to it.
    fn covers(&self, certificate: &Certificate, url: &str) -> Result<(), &'static str> {
        let scope = &self.scope;
        if scope.is_indirect {
            return Err("it is an indirect list");
        }
        if scope.only_attribute_certificates {
            return Err("it is about attribute certificates alone");
        }
        if scope.only_some_reasons {
            return Err("it is about some reasons alone");
        }
        if scope.only_ca_certificates && !certificate.is_ca() {
            return Err("it is about certificates of CAs alone");
        }
        if scope.only_user_certificates && certificate.is_ca() {
            return Err("it is about certificates other than those of CAs alone");
        }
        // CAs cut their lists into parts: somebody on the way could give us another part, in which it is not listed.
        if scope.has_relative_name || scope.urls.as_ref().is_some_and(|urls| !urls.iter().any(|named| named == url)) {
            return Err("it is the list of another distribution point");
        }
        Ok(())
    }

    fn entry(&self, serial: &Serial) -> Result<Option<Revocation>, RevocationListError> {
        let wanted = shortest(serial.octets());
        let first = self.entries.partition_point(|entry| entry.serial.of_der(&self.der) < wanted);
        let all = self.entries.get(first..).unwrap_or_default();
        for entry in all.iter().take_while(|entry| entry.serial.of_der(&self.der) == wanted) {
            let mut rest = Reader::new(entry.rest.of_der(&self.der));
            let at = layout::time(&mut rest)?;
            let reason = if rest.is_empty() { None } else { reason(&rest.any()?)? };
            if reason != Some(CrlReason::RemoveFromCrl) {
                return Ok(Some(Revocation { at, reason }));
            }
        }
        Ok(None)
    }
}

/// Every entry, checked but for its date: a list with one that cannot be read is not used at all.
fn entries(revoked: &Element<'_>) -> Result<Vec<Entry>, RevocationListError> {
    let (mut list, mut entries) = (revoked.inside(), Vec::new());
    while !list.is_empty() {
        let entry = list.expect(der::SEQUENCE, "an entry is not a SEQUENCE")?;
        let mut fields = entry.inside();
        let serial = fields.expect(der::INTEGER, "the serial number of an entry is not an INTEGER")?;
        if serial.content.is_empty() {
            return Err(DerError { offset: serial.offset, what: "an empty serial number" }.into());
        }
        let date = fields.any()?;
        if !matches!(date.tag, der::UTC_TIME | der::GENERALIZED_TIME) {
            return Err(DerError { offset: date.offset, what: "the date of an entry is not a time" }.into());
        }
        if let Some(extensions) = fields.optional(der::SEQUENCE)? {
            reason(&extensions)?;
        }
        fields.end("data after an entry")?;
        let serial_end = serial.offset + serial.raw.len();
        let entry_end = entry.offset + entry.raw.len();
        entries.push(Entry {
            serial: Span::new(serial_end - shortest(serial.content).len()..serial_end)?,
            rest: Span::new(serial_end..entry_end)?,
        });
    }
    Ok(entries)
}

/// The reason among the extensions of an entry. RFC 5280 section 5.3: a critical one that is not known forbids the list.
fn reason(extensions: &Element<'_>) -> Result<Option<CrlReason>, RevocationListError> {
    layout::check_extensions(extensions)?;
    let mut found = None;
    for extension in layout::extensions(extensions.content) {
        match extension.oid {
            REASON_CODE => {
                let odd = DerError { offset: extensions.offset, what: "the reason of an entry is not a number" };
                // An ENUMERATED of one octet.
                let [0x0a, 1, code] = *extension.value else { return Err(odd.into()) };
                if found.replace(CrlReason::from_code(code)).is_some() {
                    return Err(DerError { offset: extensions.offset, what: "an entry with two reasons" }.into());
                }
            }
            CERTIFICATE_ISSUER => return Err(RevocationListError::OutOfScope("it is an indirect list")),
            INVALIDITY_DATE => {}
            other if extension.critical => return Err(RevocationListError::CriticalExtension(dotted(other))),
            _ => {}
        }
    }
    Ok(found)
}

/// What the list is about, from its extensions.
fn scope(list: &[u8]) -> Result<Scope, RevocationListError> {
    let mut scope = None;
    for extension in layout::extensions(list) {
        match extension.oid {
            ISSUING_DISTRIBUTION_POINT => {
                // Offsets inside the value say nothing to anyone.
                let read = Scope::read(extension.value).map_err(|error| DerError { offset: 0, ..error })?;
                if scope.replace(read).is_some() {
                    return Err(DerError { offset: 0, what: "two issuing distribution points" }.into());
                }
            }
            DELTA_CRL_INDICATOR => {
                return Err(RevocationListError::OutOfScope("it only holds the changes since another one"));
            }
            CRL_NUMBER | AUTHORITY_KEY_ID => {}
            other if extension.critical => return Err(RevocationListError::CriticalExtension(dotted(other))),
            _ => {}
        }
    }
    Ok(scope.unwrap_or_default())
}

/// An INTEGER's content without the octets in front that change nothing (X.690 section 8.3.2): certificates are held to
/// the shortest form, and a list that is not must not miss one for it.
fn shortest(mut integer: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = integer
        && let [next, ..] = rest
        && ((*first == 0 && next & 0x80 == 0) || (*first == 0xff && next & 0x80 != 0))
    {
        integer = rest;
    }
    integer
}

impl CrlReason {
    fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Unspecified,
            1 => Self::KeyCompromise,
            2 => Self::CaCompromise,
            3 => Self::AffiliationChanged,
            4 => Self::Superseded,
            5 => Self::CessationOfOperation,
            6 => Self::CertificateHold,
            8 => Self::RemoveFromCrl,
            9 => Self::PrivilegeWithdrawn,
            10 => Self::AaCompromise,
            other => Self::Other(other),
        }
    }
}

/// The word of RFC 5280.
impl fmt::Display for CrlReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "keyCompromise",
            Self::CaCompromise => "cACompromise",
            Self::AffiliationChanged => "affiliationChanged",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessationOfOperation",
            Self::CertificateHold => "certificateHold",
            Self::RemoveFromCrl => "removeFromCRL",
            Self::PrivilegeWithdrawn => "privilegeWithdrawn",
            Self::AaCompromise => "aACompromise",
            Self::Other(code) => return write!(f, "reason {code}"),
        })
    }
}

impl fmt::Debug for RevocationList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationList")
            .field("issuer", &super::name::one_line(self.issuer_der()))
            .field("this_update", &self.this_update)
            .field("next_update", &self.next_update)
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

impl From<DerError> for RevocationListError {
    fn from(error: DerError) -> Self {
        Self::Der { offset: error.offset, what: error.what }
    }
}

#[cfg(test)]
mod tests;
