//! What a certificate says.

use std::fmt;
use std::net::IpAddr;

use crate::{IdentifierSet, Validity};

/// An X.509 certificate (RFC 5280). Cheap to clone; the extensions are parsed when they are asked for.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    // helper A
    der: std::sync::Arc<[u8]>,
}

/// The serial number, as the content octets of its INTEGER.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Serial(pub(crate) Vec<u8>);

/// The certificate id of RFC 9773 section 4.1: base64url(authority key id) `.` base64url(serial octets).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AriCertificateId(pub(crate) String);

/// The kind of a public key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyType {
    /// RSA (rsaEncryption or RSASSA-PSS).
    Rsa,
    /// An elliptic-curve key on the named curve (the curve's OID in dotted form when it has no common name).
    Ec(String),
    /// Ed25519 (RFC 8410).
    Ed25519,
    /// Ed448 (RFC 8410).
    Ed448,
    /// Any other algorithm, by its OID in dotted form.
    Other(String),
}

impl Certificate {
    /// Reads one certificate from its DER encoding. Trailing bytes are an error.
    pub fn from_der(_der: &[u8]) -> Result<Self, ReadError> {
        todo!()
    }

    /// Reads the first certificate of a PEM text.
    pub fn from_pem(_pem: &[u8]) -> Result<Self, ReadError> {
        todo!()
    }

    /// The DER encoding, byte for byte as it was read.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The PEM encoding with lines of 64 characters and LF, as certbot and openssl write it.
    pub fn to_pem(&self) -> String {
        todo!()
    }

    /// The validity period.
    pub fn validity(&self) -> Validity {
        todo!()
    }

    /// The serial number.
    pub fn serial(&self) -> Serial {
        todo!()
    }

    /// The subject's (last) common name as text, unescaped: outside text, escape it before it is shown.
    pub fn subject_common_name(&self) -> Option<String> {
        todo!()
    }

    /// The issuer's (last) common name as text, unescaped.
    pub fn issuer_common_name(&self) -> Option<String> {
        todo!()
    }

    /// The subject in one line (RFC 4514 style), unescaped outside text.
    pub fn subject(&self) -> String {
        todo!()
    }

    /// The issuer in one line (RFC 4514 style), unescaped outside text.
    pub fn issuer(&self) -> String {
        todo!()
    }

    /// The DER encoding of the subject name.
    pub fn subject_der(&self) -> &[u8] {
        todo!()
    }

    /// The DER encoding of the issuer name.
    pub fn issuer_der(&self) -> &[u8] {
        todo!()
    }

    /// The names and addresses it is valid for: the subject alternative names that are valid identifiers, DNS names
    /// first, then addresses, each in the certificate's order; the common name where there are none at all.
    /// An alternative name that is not a valid identifier is an error that says which.
    pub fn identifiers(&self) -> Result<IdentifierSet, ReadError> {
        todo!()
    }

    /// certbot's "Identifiers" line: the common name first (lower-cased, trailing dot removed, even when it is not a
    /// host name), then the other DNS names in the certificate's order, then the addresses. Outside text.
    pub fn listed_names(&self) -> Vec<String> {
        todo!()
    }

    /// The DNS subject alternative names exactly as they stand in the certificate. Outside text.
    pub fn san_dns(&self) -> Result<Vec<String>, ReadError> {
        todo!()
    }

    /// The IP subject alternative names.
    pub fn san_ip(&self) -> Result<Vec<IpAddr>, ReadError> {
        todo!()
    }

    /// The kind of the public key.
    pub fn key_type(&self) -> KeyType {
        todo!()
    }

    /// The size of the public key in bits (the modulus for RSA, the field for EC).
    pub fn key_bits(&self) -> Option<u32> {
        todo!()
    }

    /// The DER encoding of the SubjectPublicKeyInfo.
    pub fn spki_der(&self) -> &[u8] {
        todo!()
    }

    /// SHA-256 over the SubjectPublicKeyInfo.
    pub fn spki_sha256(&self) -> [u8; 32] {
        todo!()
    }

    /// SHA-256 over the whole certificate.
    pub fn fingerprint_sha256(&self) -> [u8; 32] {
        todo!()
    }

    /// The key identifier of the authority key id extension.
    pub fn authority_key_id(&self) -> Option<Vec<u8>> {
        todo!()
    }

    /// The subject key id extension.
    pub fn subject_key_id(&self) -> Option<Vec<u8>> {
        todo!()
    }

    /// The id under which ARI knows it; none without an authority key id.
    pub fn ari_id(&self) -> Option<AriCertificateId> {
        todo!()
    }

    /// Whether basic constraints say that it is a CA.
    pub fn is_ca(&self) -> bool {
        todo!()
    }

    /// Whether subject and issuer name are the same (the signature is not looked at).
    pub fn is_self_issued(&self) -> bool {
        self.subject_der() == self.issuer_der()
    }

    /// Whether names and key ids allow that `issuer` signed this certificate (the signature is not looked at).
    pub fn could_be_issued_by(&self, _issuer: &Self) -> bool {
        todo!()
    }

    /// The bytes that are signed (TBSCertificate, DER).
    pub fn tbs_der(&self) -> &[u8] {
        todo!()
    }

    /// The DER encoding of the signature's AlgorithmIdentifier.
    pub fn signature_algorithm_der(&self) -> &[u8] {
        todo!()
    }

    /// The signature's octets.
    pub fn signature(&self) -> &[u8] {
        todo!()
    }
}

impl Serial {
    /// The content octets of the INTEGER, a leading zero octet included.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }

    /// Upper-case hex as `openssl x509 -serial` prints it: whole octets, a leading zero octet dropped, `-` before negatives.
    pub fn openssl_hex(&self) -> String {
        todo!()
    }

    /// Lower-case hex without leading zeros, as certbot prints it.
    pub fn certbot_hex(&self) -> String {
        todo!()
    }
}

impl AriCertificateId {
    /// The id as it stands in a URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("der_len", &self.der.len()).finish_non_exhaustive()
    }
}

/// Why bytes are not a readable certificate, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// There is no PEM certificate block.
    #[error("no certificate found")]
    NoCertificate,
    // helper A: the further cases
}
