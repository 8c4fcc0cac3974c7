//! One certificate in DER: whatever the bytes are, every question about it is answered without a panic, and what `inspect`
//! shows of it harms no terminal.
#![no_main]
#![allow(dead_code, unused_imports)]

use certkit_core::{Certificate, DnsName, Identifier};
use chrono::{DateTime, Utc};
use libfuzzer_sys::fuzz_target;

mod render;
use render::inspect::{FoundKey, Inspected, Place, json, text};

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

    let now = DateTime::<Utc>::from_timestamp(1_800_000_000, 0).expect("a good instant");
    let key = FoundKey {
        kind: Some((certificate.key_type(), certificate.key_bits())),
        belongs_to: Some(Place { source: 0, index: 0 }),
    };
    let inspected = [Inspected {
        source: "a.der".to_owned(),
        certificates: vec![certificate],
        keys: vec![key],
        ..Inspected::default()
    }];
    let shown = text(&inspected[0], &inspected, now);
    assert!(!shown.contains(|c: char| c != '\n' && c.is_control()), "{shown:?}");
    let document = json(&inspected);
    let mut written = Vec::new();
    render::write_json(&document, &mut written).expect("a vector takes everything");
    let whole = serde_json::to_value(&document).expect("a document is JSON");
    let written = String::from_utf8(written).expect("JSON is UTF-8");
    assert!(!written.contains(|c: char| c != '\n' && c.is_control()), "{written:?}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&written).expect("it is JSON"), whole);
});
