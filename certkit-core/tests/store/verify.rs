//! A good certificate is never replaced by a worse one.

use certkit_core::store::{AuthorityKind, Expectations, VerifiedVersion, VerifyError, verify_for_request};
use certkit_core::{CertificateRequest, Chain, KeyMathError, PrivateKey};

use crate::support::*;

fn expectations() -> Expectations {
    Expectations::new(identifiers(&NAMES), Some(chain("v2").leaf), now())
}

fn verify(chain: Chain, key: PrivateKey, expectations: &Expectations) -> Result<VerifiedVersion, VerifyError> {
    VerifiedVersion::verify(chain, key, expectations, &TestMath::default())
}

fn refused(leaf: &str) -> VerifyError {
    verify(chain(leaf), key(leaf), &expectations()).unwrap_err()
}

fn with_chain(files: &[&str]) -> Chain {
    let text: String = files.iter().map(|file| data(file)).collect();
    Chain::from_pem(text.as_bytes()).unwrap()
}

#[test]
fn a_good_one_passes_also_with_the_root() {
    for leaf in ["v2", "v3"] {
        verify(chain(leaf), key(leaf), &expectations()).unwrap();
    }
    let with_root = with_chain(&["v3.cert.pem", "intermediate.pem", "root.pem"]);
    assert_eq!(verify(with_root.clone(), key("v3"), &expectations()).unwrap().chain(), &with_root);
}

#[test]
fn what_is_worse_is_refused_with_the_fact_that_makes_it_so() {
    assert!(matches!(refused("expired"), VerifyError::Expired { .. }));
    assert!(matches!(refused("future"), VerifyError::NotYetValid { .. }));
    assert!(matches!(refused("leaf-is-ca"), VerifyError::LeafIsCa));
    assert!(matches!(refused("v1"), VerifyError::EndsEarlier { .. }));
    assert_eq!(verify(chain("v3"), key("v2"), &expectations()).unwrap_err(), VerifyError::KeyMismatch);
    assert_eq!(refused("fewer-names").to_string(), "the certificate does not cover www.a.example.org");
}

/// A request made by openssl for the key of a fixture.
fn request(leaf: &str) -> CertificateRequest {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key.pem"), data(&format!("{leaf}.key.pem"))).unwrap();
    let made = std::process::Command::new("openssl")
        .current_dir(folder.path())
        .args(["req", "-new", "-key", "key.pem", "-subj", "/CN=a.example.org"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    CertificateRequest::from_pem_or_der(&made.stdout).unwrap()
}

#[test]
fn a_certificate_for_a_request_is_checked_like_every_other_and_has_its_key() {
    let at = |leaf, request_of| {
        verify_for_request(&chain(leaf), &request(request_of), &expectations(), &TestMath::default())
    };
    at("v3", "v3").unwrap();
    assert_eq!(at("v3", "v2"), Err(VerifyError::NotTheRequestedKey));
    assert!(matches!(at("fewer-names", "fewer-names"), Err(VerifyError::MissingNames { .. })));
    assert!(matches!(at("expired", "expired"), Err(VerifyError::Expired { .. })));
}

#[test]
fn it_may_end_earlier_only_when_the_owner_says_so() {
    let mut expectations = expectations();
    expectations.may_end_earlier = true;
    verify(chain("v1"), key("v1"), &expectations).unwrap();
    verify(chain("short"), key("short"), &expectations).unwrap();
}

#[test]
fn an_hour_ahead_is_fine_and_a_second_more_is_not_and_the_last_second_is_too_late() {
    let leaf = chain("v3").leaf.validity();
    let at = |now| verify(chain("v3"), key("v3"), &Expectations::new(identifiers(&NAMES), None, now));
    at(leaf.not_before - Expectations::MAX_BEGINS_AHEAD).unwrap();
    let early = leaf.not_before - Expectations::MAX_BEGINS_AHEAD - chrono::TimeDelta::seconds(1);
    assert!(matches!(at(early), Err(VerifyError::NotYetValid { .. })));
    at(leaf.not_after - chrono::TimeDelta::seconds(1)).unwrap();
    assert!(matches!(at(leaf.not_after), Err(VerifyError::Expired { .. })));
}

#[test]
fn the_chain_has_to_hold() {
    let expectations = expectations();
    let refuse = |files: &[&str]| verify(with_chain(files), key("v3"), &expectations).unwrap_err();
    assert_eq!(refuse(&["v3.cert.pem"]), VerifyError::NoIssuer);
    for files in [
        &["v3.cert.pem", "root.pem"][..],
        &["v3.cert.pem", "root.pem", "intermediate.pem"],
        &["v3.cert.pem", "intermediate.pem", "intermediate.pem"],
        &["v3.cert.pem", "v2.cert.pem"],
        &["v3.cert.pem", "intermediate.pem", "old-intermediate.pem"],
    ] {
        assert!(matches!(refuse(files), VerifyError::NotIssuedByNext { .. }), "{files:?}");
    }
    let chain = with_chain(&["of-expired-issuer.cert.pem", "old-intermediate.pem"]);
    let error = verify(chain, key("of-expired-issuer"), &expectations).unwrap_err();
    assert!(matches!(error, VerifyError::IssuerNotValid { position: 2, .. }), "{error}");
    assert!(error.to_string().contains("Old Intermediate"), "{error}");
}

#[test]
fn a_forged_signature_is_refused_wherever_it_stands() {
    let chain = with_chain(&["v3.cert.pem", "intermediate.pem", "root.pem"]);
    for (position, forged) in
        [chain.leaf.clone(), chain.issuers[0].clone(), chain.issuers[1].clone()].iter().enumerate()
    {
        let math = TestMath { forged: Some(forged.clone()) };
        let error = VerifiedVersion::verify(chain.clone(), key("v3"), &expectations(), &math).unwrap_err();
        match error {
            VerifyError::BadSignature { position: found, source: KeyMathError::BadSignature, .. } => {
                assert_eq!(found, position + 1);
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_test_certificate_does_not_replace_a_trusted_one_by_itself() {
    let mut expectations = expectations();
    expectations.authority = AuthorityKind::Test;
    verify(chain("v3"), key("v3"), &expectations).unwrap();
    expectations.replaced_authority = AuthorityKind::Public;
    assert_eq!(verify(chain("v3"), key("v3"), &expectations).unwrap_err(), VerifyError::TestOverPublic);
    expectations.may_be_test = true;
    verify(chain("v3"), key("v3"), &expectations).unwrap();
}

#[test]
fn names_that_nobody_asked_for_are_refused_but_for_www() {
    let at = |leaf: &str, names: &[&str]| {
        let expectations = Expectations::new(identifiers(names), None, now());
        verify(chain(leaf), key(leaf), &expectations).map(|_| ())
    };
    // The certificate is for both.
    assert_eq!(at("v3", &["a.example.org"]), Ok(()));
    assert_eq!(at("v3", &["www.a.example.org"]), Ok(()));
    assert_eq!(at("v3", &NAMES), Ok(()));
    assert!(matches!(at("more-names", &NAMES), Err(VerifyError::UnaskedNames { .. })));
}
