//! A root, an intermediate, and leaves with chosen names and dates.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use chrono::{DateTime, TimeDelta, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, PublicKeyData, RsaKeySize, SanType, SerialNumber, date_time_ymd,
};

/// What key to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA on P-256.
    EcdsaP256,
    /// ECDSA on P-384.
    EcdsaP384,
    /// RSA with 2048 bits.
    Rsa2048,
    /// RSA with 3072 bits.
    Rsa3072,
    /// RSA with 4096 bits.
    Rsa4096,
}

/// A two-tier CA: the root signs the intermediate, the intermediate signs leaves.
pub struct Pki {
    root: rcgen::Certificate,
    intermediate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key and issuers, in PEM.
#[derive(Clone)]
pub struct Issued {
    /// The leaf.
    pub cert: String,
    /// The intermediate.
    pub chain: String,
    /// Leaf and intermediate: `cert` and then `chain`, byte for byte.
    pub fullchain: String,
    /// The key, PKCS#8.
    pub privkey: String,
    /// The serial number's octets.
    pub serial: Vec<u8>,
}

impl KeyKind {
    /// A new key.
    pub fn generate(self) -> KeyPair {
        let rsa = |size| KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size);
        match self {
            Self::EcdsaP256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            Self::EcdsaP384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            Self::Rsa2048 => rsa(RsaKeySize::_2048),
            Self::Rsa3072 => rsa(RsaKeySize::_3072),
            Self::Rsa4096 => rsa(RsaKeySize::_4096),
        }
        .unwrap()
    }

    /// certbot's `key_type`.
    pub fn certbot_word(self) -> &'static str {
        match self {
            Self::EcdsaP256 | Self::EcdsaP384 => "ecdsa",
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => "rsa",
        }
    }
}

impl Pki {
    /// A CA whose certificates are valid from a year before `now` to ten years after.
    pub fn new(now: DateTime<Utc>) -> Self {
        let (root_key, key) = (KeyKind::EcdsaP384.generate(), KeyKind::EcdsaP256.generate());
        let root_params = ca_params("Testkit Root X1", &root_key, now);
        let root = root_params.self_signed(&root_key).unwrap();
        let params = ca_params("Testkit Intermediate E1", &key, now);
        let intermediate = params.signed_by(&key, &Issuer::from_params(&root_params, &root_key)).unwrap();
        Self { root, intermediate, issuer: Issuer::new(params, key) }
    }

    /// The root, PEM.
    pub fn root_pem(&self) -> String {
        unix_lines(&self.root.pem())
    }

    /// The intermediate, PEM.
    pub fn intermediate_pem(&self) -> String {
        unix_lines(&self.intermediate.pem())
    }

    /// The intermediate's key, PKCS#8 in PEM: for a CA program that shall sign with it.
    pub fn intermediate_key_pem(&self) -> String {
        unix_lines(&self.issuer.key().serialize_pem())
    }

    /// A leaf for these names (IP addresses become IP alternative names). The first name is the common name, where it
    /// is short enough for one (64 characters, RFC 5280 appendix A.1).
    pub fn issue(
        &self,
        names: &[String],
        not_before: DateTime<Utc>,
        not_after: DateTime<Utc>,
        key: &KeyPair,
        serial: &[u8],
    ) -> Issued {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        if let Some(first) = names.first().filter(|name| name.len() <= 64) {
            params.distinguished_name.push(DnType::CommonName, first.as_str());
        }
        params.subject_alt_names = names.iter().map(|name| alternative_name(name)).collect();
        set_dates(&mut params, not_before, not_after);
        params.serial_number = Some(SerialNumber::from(serial.to_vec()));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let cert = unix_lines(&params.signed_by(key, &self.issuer).unwrap().pem());
        let chain = self.intermediate_pem();
        Issued {
            fullchain: format!("{cert}{chain}"),
            cert,
            chain,
            privkey: unix_lines(&key.serialize_pem()),
            serial: serial.to_vec(),
        }
    }

    /// A leaf for a server on loopback that is valid for a day around `now`.
    pub fn for_localhost(&self, now: DateTime<Utc>) -> Issued {
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let day = TimeDelta::days(1);
        self.issue(&names, now - day, now + day, &KeyKind::EcdsaP256.generate(), &[0x21; 8])
    }
}

/// The serial number of the first certificate in a PEM file: upper-case hex of whole octets, as `openssl x509 -serial`
/// prints it.
pub fn serial_of_file(path: impl AsRef<Path>) -> String {
    let pem = std::fs::read(&path).unwrap();
    let (_, block) = x509_parser::pem::parse_x509_pem(&pem).unwrap();
    serial_of_der(&block.contents).unwrap()
}

pub(crate) fn serial_of_der(der: &[u8]) -> Option<String> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    let octets = certificate.raw_serial();
    let bare = octets.strip_prefix(&[0]).filter(|rest| !rest.is_empty()).unwrap_or(octets);
    Some(data_encoding::HEXUPPER.encode(bare))
}

fn ca_params(name: &str, key: &KeyPair, now: DateTime<Utc>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Testkit");
    params.distinguished_name.push(DnType::CommonName, name);
    set_dates(&mut params, now - TimeDelta::days(365), now + TimeDelta::days(3650));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    // RFC 5280 section 4.2.1.2, method 1. Some CA programs take the issuer's key id from its key and not from its
    // certificate, and this is how they make it.
    let key_id = digest(&SHA1_FOR_LEGACY_USE_ONLY, key.der_bytes());
    params.key_identifier_method = KeyIdMethod::PreSpecified(key_id.as_ref().to_vec());
    params
}

fn alternative_name(name: &str) -> SanType {
    match name.parse::<IpAddr>() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => SanType::DnsName(name.try_into().unwrap()),
    }
}

/// rcgen counts in another time library; both agree on seconds since 1970.
fn set_dates(params: &mut CertificateParams, not_before: DateTime<Utc>, not_after: DateTime<Utc>) {
    let since_1970 = |at: DateTime<Utc>| Duration::from_secs(at.timestamp().try_into().unwrap());
    params.not_before = date_time_ymd(1970, 1, 1) + since_1970(not_before);
    params.not_after = date_time_ymd(1970, 1, 1) + since_1970(not_after);
}

/// The PEM library may end lines with CRLF; certbot writes LF.
fn unix_lines(pem: &str) -> String {
    pem.replace("\r\n", "\n")
}
