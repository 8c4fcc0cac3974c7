//! A certificate revocation list in DER: whatever the bytes are, every question about it is answered without a panic.
#![no_main]

use std::sync::LazyLock;

use certkit_core::{Certificate, RevocationList};
use libfuzzer_sys::fuzz_target;

/// The certificates of the corpus: one of them may well be from an issuer whose name the fuzzer finds.
static CERTIFICATES: LazyLock<Vec<Certificate>> = LazyLock::new(|| {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../certkit-core/tests/corpus");
    let files = std::fs::read_dir(corpus).expect("the corpus is in the source tree");
    let pem = files.flatten().filter_map(|file| std::fs::read(file.path()).ok());
    pem.filter_map(|pem| Certificate::from_pem(&pem).ok()).collect()
});

fuzz_target!(|der: &[u8]| {
    let Ok(list) = RevocationList::from_der(der) else { return };
    assert_eq!(list.is_empty(), list.len() == 0);
    assert!(list.size() == der.len() && list.tbs_der().len() < der.len());
    for certificate in CERTIFICATES.iter() {
        for now in [list.this_update(), certificate.validity().not_before] {
            if let Err(error) = list.look_up(certificate, "http://ca.example/1.crl", now) {
                assert!(!error.to_string().contains(|c: char| c.is_control()), "{error}");
            }
        }
    }
    let _ = (list.next_update(), list.signature_algorithm_der(), list.signature(), format!("{list:?}"));
});
