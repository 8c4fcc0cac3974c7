//! One certificate in DER: whatever the bytes are, every question about it is answered without a panic.
#![no_main]

use certkit_core::{Certificate, DnsName, Identifier};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|der: &[u8]| {
    let Ok(certificate) = Certificate::from_der(der) else { return };
    assert_eq!(certificate.der(), der);
    assert_eq!(Certificate::from_pem(certificate.to_pem().as_bytes()).as_ref(), Ok(&certificate));

    if let Ok(identifiers) = certificate.identifiers() {
        for identifier in &identifiers {
            assert_eq!(Identifier::parse(&identifier.to_string()).as_ref(), Ok(identifier));
        }
    }
    for name in certificate.san_dns().unwrap_or_default() {
        let _ = (DnsName::parse(&name), Identifier::parse_unicode(&name));
    }
    let _ = (certificate.listed_names(), certificate.san_ip(), certificate.subject(), certificate.issuer());
    let _ = (certificate.serial().openssl_hex(), certificate.serial().certbot_hex(), certificate.ari_id());
    let _ = (certificate.key_type(), certificate.key_bits(), certificate.is_ca(), certificate.subject_key_id());
    let _ = (certificate.validity().lifetime(), certificate.could_be_issued_by(&certificate));
    let _ = (certificate.crl_distribution_points(), certificate.may_sign_revocation_lists());
    let _ = (certificate.tbs_der(), certificate.signature_algorithm_der(), certificate.signature());
});
