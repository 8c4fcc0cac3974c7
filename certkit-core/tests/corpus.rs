//! Odd certificates from other projects' tests, read as `corpus/manifest.jsonl` says. The expected values are those on
//! which OpenSSL and Python's cryptography agree; each line of the manifest names the origin and the licence of its file.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use certkit_core::{Certificate, Chain, KeyType, possible_issuers, read_bundle};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(corpus().join(name)).unwrap()
}

fn manifest() -> Vec<Value> {
    let text = std::fs::read_to_string(corpus().join("manifest.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Every fact that the manifest may expect.
fn facts(certificate: &Certificate) -> BTreeMap<&'static str, Value> {
    let hex = |octets: &[u8]| HEXLOWER.encode(octets);
    let key_type = match certificate.key_type() {
        KeyType::Rsa => "RSA".to_owned(),
        KeyType::Ec(curve) => curve,
        KeyType::Ed25519 => "Ed25519".to_owned(),
        KeyType::Ed448 => "Ed448".to_owned(),
        other => format!("{other:?}"),
    };
    let addresses = certificate.san_ip().map(|ip| ip.iter().map(ToString::to_string).collect::<Vec<_>>());
    BTreeMap::from([
        ("subject_cn", json!(certificate.subject_common_name())),
        ("issuer_cn", json!(certificate.issuer_common_name())),
        ("not_before", json!(certificate.validity().not_before.format("%Y-%m-%dT%H:%M:%SZ").to_string())),
        ("not_after", json!(certificate.validity().not_after.format("%Y-%m-%dT%H:%M:%SZ").to_string())),
        ("serial_hex", json!(certificate.serial().openssl_hex())),
        ("san_dns", json!(certificate.san_dns().unwrap())),
        ("san_ip", json!(addresses.unwrap())),
        ("aki_keyid_hex", json!(certificate.authority_key_id().map(|id| hex(&id)))),
        ("ari_cert_id", json!(certificate.ari_id().map(|id| id.to_string()))),
        ("is_ca", json!(certificate.is_ca())),
        ("spki_sha256", json!(hex(&certificate.spki_sha256()))),
        ("key_type", json!(key_type)),
        ("key_bits", json!(certificate.key_bits())),
    ])
}

#[test]
fn every_certificate_says_what_two_other_readers_say() {
    let mut compared = 0;
    for line in manifest() {
        let name = line["file"].as_str().unwrap();
        let Some(expected) = line["certificates"].as_array() else { continue };
        let bundle = read_bundle(&bytes(name));
        assert_eq!(bundle.problems, [], "{name}");
        assert_eq!(bundle.certificates.len(), expected.len(), "{name}");
        for (position, (certificate, expected)) in bundle.certificates.iter().zip(expected).enumerate() {
            let facts = facts(certificate);
            for (fact, expected) in expected.as_object().unwrap() {
                assert_eq!(&facts[fact.as_str()], expected, "{name}, certificate {position}: {fact}");
                compared += 1;
            }
            assert_eq!(Certificate::from_pem(certificate.to_pem().as_bytes()).as_ref(), Ok(certificate), "{name}");
        }
    }
    assert!(compared > 250, "only {compared} facts were compared");
}

#[test]
fn what_no_reader_accepts_is_a_problem_that_says_why() {
    let mut reasons = BTreeMap::new();
    for line in manifest() {
        let name = line["file"].as_str().unwrap().to_owned();
        if line["certificates"].is_null() {
            let bundle = read_bundle(&bytes(&name));
            assert!(bundle.certificates.is_empty() && bundle.keys.is_empty(), "{name}");
            assert_eq!(bundle.problems.len(), 1, "{name}");
            reasons.insert(name, bundle.problems[0].to_string());
        }
    }
    let expected = [
        ("reject-boolean-of-neither-kind.der", "byte 217: whether an extension is critical is neither true nor false"),
        ("reject-empty-block.pem", "line 1: the block CERTIFICATE is empty"),
        ("reject-encrypted-key.der", "the private key is encrypted"),
        ("reject-not-base64.pem", "line 1: the block CERTIFICATE is damaged: line 14 is not base64"),
        ("reject-pkcs12.p12", "a PKCS#12 file"),
        ("reject-revocation-list.der", "byte 6: the serial number is not an INTEGER"),
        ("reject-serial-not-shortest.pem", "byte 13: the serial number is not in its shortest form"),
    ];
    assert_eq!(reasons.len(), expected.len(), "{reasons:#?}");
    for (name, reason) in expected {
        assert!(reasons[name].contains(reason), "{name}: {}", reasons[name]);
    }
}

#[test]
fn a_chain_is_ordered_or_said_not_to_be() {
    let chain = Chain::from_pem(&bytes("fullchain-lets-encrypt.pem")).unwrap();
    assert_eq!(chain.leaf.identifiers().unwrap().to_string(), "cryptography.io");
    assert_eq!(chain.topmost_issuer_common_name().as_deref(), Some("ISRG Root X1"));
    let certificates: Vec<Certificate> = chain.certificates().cloned().collect();
    assert_eq!(possible_issuers(&certificates), [vec![1], vec![2], vec![2]]);

    let mixed = Chain::from_pem(&bytes("fullchain-in-no-order.pem")).unwrap();
    let certificates: Vec<Certificate> = mixed.certificates().cloned().collect();
    assert_ne!(possible_issuers(&certificates).first(), Some(&vec![1]));
}

#[test]
fn names_are_listed_as_certbot_lists_them() {
    let listed = |name: &str| read_bundle(&bytes(name)).certificates[0].listed_names().join(" ");
    assert_eq!(listed("ip-as-common-name.pem"), "192.0.2.145 203.0.113.1");
    assert_eq!(listed("negative-serial-ca.der"), "demo.serialneg.com");
    assert!(listed("u-label-in-common-name.pem").starts_with("香港獸醫管理局.組織.hk "));
}

#[test]
fn a_name_outside_ascii_is_shown_but_not_ordered() {
    let certificate = &read_bundle(&bytes("san-not-ascii.pem")).certificates[0];
    assert_eq!(certificate.san_dns().unwrap().len(), 8);
    assert!(certificate.identifiers().unwrap_err().to_string().contains("not in its ASCII form"));
}
