use proptest::prelude::*;

use super::*;
use crate::certificate::sample::Sample;
use crate::der::{element, to_pem};
use crate::processor_time;

fn pem(name: &str) -> String {
    Sample::new(name, "CA").certificate().to_pem()
}

/// An EC key in DER whose private number is made up.
fn key_der() -> Vec<u8> {
    element(0x30, &[&[2, 1, 1], &element(4, &[&[7; 32]])])
}

fn names(bundle: &Bundle) -> Vec<String> {
    bundle.certificates.iter().filter_map(Certificate::subject_common_name).collect()
}

fn problems(bytes: &[u8]) -> Vec<String> {
    read_bundle(bytes).problems.iter().map(ToString::to_string).collect()
}

#[test]
fn certificates_keys_and_text_may_be_mixed() {
    let key = to_pem("EC PRIVATE KEY", &key_der());
    let text = format!(
        "\u{feff}Bag Attributes\n    friendlyName: x\n{}subject=CN = b\r\n-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{}{}",
        pem("a"),
        *key,
        pem("b").replace('\n', "\r\n").trim_end()
    );
    let bundle = read_bundle(text.as_bytes());
    assert_eq!(names(&bundle), ["a", "b"]);
    assert_eq!(bundle.keys.len(), 1);
    assert_eq!(bundle.problems, []);
}

#[test]
fn der_is_read_where_there_is_no_pem() {
    assert_eq!(names(&read_bundle(&Sample::new("a", "CA").der())), ["a"]);
    assert_eq!(read_bundle(&key_der()).keys.len(), 1);
    let longer = [Sample::new("a", "CA").der(), vec![0]].concat();
    assert!(problems(&longer)[0].contains("data after the end of the certificate"));
}

#[test]
fn what_cannot_be_read_is_a_problem_with_its_line_and_hides_nothing() {
    let damaged = pem("a").replacen("MI", "M!", 1);
    let not_a_certificate = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let text = format!("{damaged}{not_a_certificate}{encrypted}{}-----BEGIN CERTIFICATE-----\nMII", pem("b"));
    let bundle = read_bundle(text.as_bytes());
    assert_eq!(names(&bundle), ["b"]);
    let first = damaged.lines().count();
    let said: Vec<String> = bundle.problems.iter().map(ToString::to_string).collect();
    assert_eq!(said[0], "line 1: the block CERTIFICATE is damaged: line 2 is not base64");
    assert!(said[1].starts_with(&format!("line {}: the certificate cannot be read: byte 2", first + 1)), "{said:?}");
    assert!(said[2].starts_with(&format!("line {}: the private key is encrypted", first + 4)), "{said:?}");
    assert!(said[3].ends_with("the block CERTIFICATE is cut off: it has no END line"), "{said:?}");
    assert_eq!(said.len(), 4);
}

#[test]
fn a_file_with_nothing_in_it_has_a_problem() {
    assert_eq!(problems(b""), ["nothing readable: the file is empty"]);
    assert_eq!(problems(b"hello\n"), ["nothing readable: no PEM block in it, and it is not DER"]);
    assert_eq!(problems(&[0; 1000]), ["nothing readable: no PEM block in it, and it is not DER"]);
    let request = "-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n";
    assert_eq!(problems(request.as_bytes()), ["line 1: no certificate and no private key in this file"]);
    // The outside of a PFX (RFC 7292 section 4).
    let pfx = element(0x30, &[&[2, 1, 3], &element(0x30, &[&[6, 1, 0x2a]])]);
    assert!(problems(&pfx)[0].contains("PKCS#12"));
}

#[test]
fn problems_are_escaped() {
    let said = problems(b"-----BEGIN \x1b[31m\xe2\x80\xae-----\n");
    assert!(!said[0].contains(['\x1b', '\u{202e}']), "{said:?}");
}

#[test]
fn a_thousand_certificates_and_megabytes_of_nothing_take_no_time() {
    let start = processor_time::of_this_thread();
    let text: String = (0..1_000).map(|number| pem(&number.to_string())).collect();
    let bundle = read_bundle(text.as_bytes());
    assert_eq!((bundle.certificates.len(), bundle.problems.len()), (1_000, 0));
    assert_eq!(crate::possible_issuers(&bundle.certificates).len(), 1_000);
    for filler in ["-", "-----BEGIN ", "\n", "\r", "-----BEGIN X-----\n", "-----END X-----\n", "0\u{80}"] {
        read_bundle(filler.repeat(2_000_000 / filler.len()).as_bytes());
    }
    let took = processor_time::of_this_thread() - start;
    assert!(took.as_secs() < 10, "{took:?}");
}

proptest! {
    #[test]
    fn random_bytes_do_not_panic(bytes: Vec<u8>) {
        let bundle = read_bundle(&bytes);
        prop_assert!(!bundle.problems.is_empty() || !bundle.certificates.is_empty() || !bundle.keys.is_empty());
    }

    #[test]
    fn mutated_pem_does_not_panic_and_leaves_a_trace(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut: prop::sample::Index,
    ) {
        let key = to_pem("EC PRIVATE KEY", &key_der());
        let mut text = format!("{}{}{}", pem("a"), *key, pem("b")).into_bytes();
        for (position, octet) in changes {
            *position.get_mut(&mut text) = octet;
        }
        text.truncate(cut.index(2 * text.len()));
        let bundle = read_bundle(&text);
        prop_assert!(!bundle.problems.is_empty() || !bundle.certificates.is_empty() || !bundle.keys.is_empty());
        let _ = (Certificate::from_pem(&text), PrivateKey::from_pem(&text), crate::Chain::from_pem(&text));
    }
}
