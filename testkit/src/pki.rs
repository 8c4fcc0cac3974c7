//! A root, an intermediate, and leaves with chosen names and dates.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use chrono::{DateTime, TimeDelta, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CrlDistributionPoint,
    CrlIssuingDistributionPoint, CrlScope, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData, RevokedCertParams, RsaKeySize, SanType, SerialNumber,
    SignatureAlgorithm, date_time_ymd,
};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

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

/// What a leaf for somebody else's key says.
#[derive(Clone)]
pub struct Leaf {
    /// Its DNS names.
    pub names: Vec<String>,
    /// The start of its validity.
    pub not_before: DateTime<Utc>,
    /// The end of its validity.
    pub not_after: DateTime<Utc>,
    /// Its key.
    pub key: RequestedKey,
    /// Whether it says that it is a CA.
    pub is_ca: bool,
}

/// A public key on P-256, which is what the lineages of tests have.
#[derive(Clone)]
pub struct RequestedKey {
    /// The uncompressed point (RFC 5480 section 2.2).
    point: Vec<u8>,
}

/// What a CRL of the intermediate says (RFC 5280 section 5).
#[derive(Clone, Debug)]
pub struct RevocationList {
    /// Serial numbers, in hex as [`serial_of_file`] and [`crate::LineagePaths`] have them, with the time of revocation.
    pub revoked: Vec<(String, DateTime<Utc>)>,
    /// When it was made.
    pub this_update: DateTime<Utc>,
    /// When the next one comes.
    pub next_update: DateTime<Utc>,
    /// The URL of a CRL that is one of several (section 5.2.5), which must be that in the certificates. Let's Encrypt's
    /// are.
    pub distribution_point: Option<String>,
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
        Self::with_intermediate_until(now, now + TimeDelta::days(3650))
    }

    /// The same with an intermediate that ends then.
    pub fn with_intermediate_until(now: DateTime<Utc>, until: DateTime<Utc>) -> Self {
        let (root_key, key) = (KeyKind::EcdsaP384.generate(), KeyKind::EcdsaP256.generate());
        let root_params = ca_params("Testkit Root X1", &root_key, now);
        let root = root_params.self_signed(&root_key).unwrap();
        let mut params = ca_params("Testkit Intermediate E1", &key, now);
        set_dates(&mut params, now - TimeDelta::days(365), until);
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
        self.issue_with_crl_url(names, not_before, not_after, key, serial, None)
    }

    /// The same with the URL of a CRL in it (RFC 5280 section 4.2.1.13).
    pub fn issue_with_crl_url(
        &self,
        names: &[String],
        not_before: DateTime<Utc>,
        not_after: DateTime<Utc>,
        key: &KeyPair,
        serial: &[u8],
        crl_url: Option<&str>,
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
        let point = |url: &str| CrlDistributionPoint { uris: vec![url.to_owned()] };
        params.crl_distribution_points = crl_url.map(point).into_iter().collect();
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

    /// A leaf for a key that is not ours, PEM.
    pub fn sign(&self, leaf: &Leaf) -> String {
        let mut params = CertificateParams::new(leaf.names.clone()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        set_dates(&mut params, leaf.not_before, leaf.not_after);
        params.is_ca = if leaf.is_ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
        params.use_authority_key_identifier_extension = true;
        unix_lines(&params.signed_by(&leaf.key, &self.issuer).unwrap().pem())
    }

    /// A CRL of the intermediate, in DER as CRL URLs serve it.
    pub fn sign_revocation_list(&self, list: &RevocationList) -> Vec<u8> {
        let revoked = list.revoked.iter().map(|(serial, at)| RevokedCertParams {
            serial_number: SerialNumber::from(data_encoding::HEXUPPER_PERMISSIVE.decode(serial.as_bytes()).unwrap()),
            revocation_time: date_time_ymd(1970, 1, 1) + since_1970(*at),
            reason_code: None,
            invalidity_date: None,
        });
        let point = list.distribution_point.as_ref().map(|url| CrlIssuingDistributionPoint {
            distribution_point: CrlDistributionPoint { uris: vec![url.clone()] },
            scope: Some(CrlScope::UserCertsOnly),
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(1970, 1, 1) + since_1970(list.this_update),
            next_update: date_time_ymd(1970, 1, 1) + since_1970(list.next_update),
            // Each is newer than the one before it, as the number has to show.
            crl_number: SerialNumber::from(list.this_update.timestamp().unsigned_abs()),
            issuing_distribution_point: point,
            revoked_certs: revoked.collect(),
            key_identifier_method: key_id(self.issuer.key()),
        };
        params.signed_by(&self.issuer).unwrap().der().to_vec()
    }

    /// A leaf for a server on loopback that is valid for a day around `now`.
    pub fn for_localhost(&self, now: DateTime<Utc>) -> Issued {
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        // Long enough for clients whose clock is a year off, as far as the intermediate permits.
        let (from, until) = (now - TimeDelta::days(365), now + TimeDelta::days(800));
        self.issue(&names, from, until, &KeyKind::EcdsaP256.generate(), &[0x21; 8])
    }
}

impl Leaf {
    /// A leaf as it should be.
    pub fn new(names: Vec<String>, not_before: DateTime<Utc>, not_after: DateTime<Utc>, key: RequestedKey) -> Self {
        Self { names, not_before, not_after, key, is_ca: false }
    }
}

impl RequestedKey {
    /// The key of a certificate request in DER.
    pub fn of(request: &[u8]) -> Self {
        let (_, request) = X509CertificationRequest::from_der(request).unwrap();
        Self::on_p256(request.certification_request_info.subject_pki.subject_public_key.data.to_vec())
    }

    /// A key that nobody asked for.
    pub fn another() -> Self {
        Self::on_p256(KeyKind::EcdsaP256.generate().der_bytes().to_vec())
    }

    fn on_p256(point: Vec<u8>) -> Self {
        assert_eq!((point.len(), point[0]), (65, 4), "lineages of these tests have keys on P-256");
        Self { point }
    }
}

impl PublicKeyData for RequestedKey {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
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
    params.key_identifier_method = key_id(key);
    params
}

/// RFC 5280 section 4.2.1.2, method 1. Some CA programs take the issuer's key id from its key and not from its
/// certificate, and this is how they make it.
fn key_id(key: &KeyPair) -> KeyIdMethod {
    KeyIdMethod::PreSpecified(digest(&SHA1_FOR_LEGACY_USE_ONLY, key.der_bytes()).as_ref().to_vec())
}

fn alternative_name(name: &str) -> SanType {
    match name.parse::<IpAddr>() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => SanType::DnsName(name.try_into().unwrap()),
    }
}

fn set_dates(params: &mut CertificateParams, not_before: DateTime<Utc>, not_after: DateTime<Utc>) {
    params.not_before = date_time_ymd(1970, 1, 1) + since_1970(not_before);
    params.not_after = date_time_ymd(1970, 1, 1) + since_1970(not_after);
}

/// rcgen counts in another time library; both agree on seconds since 1970.
fn since_1970(at: DateTime<Utc>) -> Duration {
    Duration::from_secs(at.timestamp().try_into().unwrap())
}

/// The PEM library may end lines with CRLF; certbot writes LF.
fn unix_lines(pem: &str) -> String {
    pem.replace("\r\n", "\n")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// What OpenSSL says of a leaf with this CRL.
    fn openssl_verify(pki: &Pki, leaf: &Issued, crl: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        let output = Command::new(crate::process::require_program("openssl"))
            .args(["verify", "-crl_check", "-extended_crl"])
            .arg("-CAfile")
            .arg(file("root.pem", pki.root_pem().as_bytes()))
            .arg("-untrusted")
            .arg(file("chain.pem", leaf.chain.as_bytes()))
            .arg("-CRLfile")
            .arg(file("list.crl", crl))
            .arg(file("leaf.pem", leaf.cert.as_bytes()))
            .output()
            .unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    #[test]
    fn openssl_sees_who_is_revoked_and_for_which_url_the_list_is() {
        const URL: &str = "http://127.0.0.1:1/7.crl";
        let now = crate::now();
        let pki = Pki::new(now);
        let day = TimeDelta::days(1);
        let key = KeyKind::EcdsaP256.generate();
        let leaf = |serial: u8, url| {
            pki.issue_with_crl_url(&["a.example".into()], now - day, now + day, &key, &[4, serial], Some(url))
        };
        let mut list = RevocationList {
            revoked: vec![("0401".into(), now - day), ("04FF".into(), now - day)],
            this_update: now - day,
            next_update: now + day,
            distribution_point: Some(URL.into()),
        };
        let crl = pki.sign_revocation_list(&list);
        let bad = openssl_verify(&pki, &leaf(1, URL), &crl);
        assert!(bad.contains("certificate revoked"), "{bad}");
        let good = openssl_verify(&pki, &leaf(2, URL), &crl);
        assert!(good.ends_with("leaf.pem: OK\n"), "{good}");
        let elsewhere = openssl_verify(&pki, &leaf(2, "http://127.0.0.1:1/8.crl"), &crl);
        assert!(elsewhere.contains("different CRL scope"), "{elsewhere}");
        list.distribution_point = None;
        let crl = pki.sign_revocation_list(&list);
        let whole = openssl_verify(&pki, &leaf(1, "http://127.0.0.1:1/8.crl"), &crl);
        assert!(whole.contains("certificate revoked"), "{whole}");
    }
}
