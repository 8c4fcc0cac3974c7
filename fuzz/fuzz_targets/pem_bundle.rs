//! A file that should hold certificates and keys: nothing panics, and nothing is passed over in silence.
#![no_main]

use certkit_core::{Certificate, Chain, PrivateKey, possible_issuers, read_bundle};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let bundle = read_bundle(bytes);
    assert!(!(bundle.certificates.is_empty() && bundle.keys.is_empty() && bundle.problems.is_empty()));
    for problem in &bundle.problems {
        assert!(!problem.what.contains(|c: char| c.is_control()), "{problem:?}");
    }
    for key in &bundle.keys {
        let again = PrivateKey::from_pem(key.to_pem().as_bytes())
            .expect("a key that was read is written so that it can be read");
        assert_eq!(again.carried_spki_der(), key.carried_spki_der());
    }
    possible_issuers(&bundle.certificates);
    let _ = (Certificate::from_pem(bytes), PrivateKey::from_pem(bytes));
    if let Ok(chain) = Chain::from_pem(bytes) {
        assert_eq!(Chain::from_pem(chain.fullchain_pem().as_bytes()).as_ref(), Ok(&chain));
    }
});
