use super::*;
use crate::certificate::sample::Sample;

fn certificate(subject: &str, issuer: &str) -> Certificate {
    Sample::new(subject, issuer).certificate()
}

#[test]
fn fullchain_is_cert_and_chain_and_reads_back() {
    let chain = Chain::new(certificate("a.example", "CA"), vec![certificate("CA", "Root")]);
    assert_eq!(chain.fullchain_pem(), format!("{}{}", chain.cert_pem(), chain.chain_pem()));
    assert_eq!(Chain::from_pem(chain.fullchain_pem().as_bytes()).unwrap(), chain);
    assert_eq!(chain.topmost_issuer_common_name().as_deref(), Some("Root"));
    let alone = Chain::from_pem(chain.cert_pem().as_bytes()).unwrap();
    assert_eq!((alone.chain_pem().as_str(), alone.topmost_issuer_common_name().as_deref()), ("", Some("CA")));
}

#[test]
fn half_a_chain_is_an_error_that_says_where() {
    let good = certificate("a.example", "CA").to_pem();
    let lines = good.lines().count();
    assert_eq!(Chain::from_pem(b""), Err(ReadError::NoCertificate));
    let cut = format!("{good}-----BEGIN CERTIFICATE-----\nMII");
    assert!(matches!(Chain::from_pem(cut.as_bytes()), Err(ReadError::Pem { line, .. }) if line == lines + 1));
    let foreign = format!("{good}-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n");
    assert!(matches!(Chain::from_pem(foreign.as_bytes()), Err(ReadError::InBlock { line, .. }) if line == lines + 1));
    let nul = format!("{good}\0");
    assert!(matches!(Chain::from_pem(nul.as_bytes()), Err(ReadError::Pem { line, .. }) if line == lines + 1));
}

#[test]
fn a_private_key_in_a_chain_is_passed_over_unread() {
    let key = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
    let text = format!("{key}{}", certificate("a.example", "CA").to_pem());
    assert_eq!(Chain::from_pem(text.as_bytes()).unwrap().issuers.len(), 0);
}

#[test]
fn possible_issuers_are_found_in_any_order() {
    let certificates = [
        certificate("Root", "Root"),
        Sample::new("a.example", "CA").authority_key_id(b"2").certificate(),
        Sample::new("CA", "Root").subject_key_id(b"1").certificate(),
        Sample::new("CA", "Root").subject_key_id(b"2").certificate(),
        certificate("b.example", "Unknown"),
    ];
    let found = possible_issuers(&certificates);
    assert_eq!(found, [vec![0], vec![3], vec![0], vec![0], vec![]]);
    for (child, issuers) in certificates.iter().zip(&found) {
        for (index, issuer) in certificates.iter().enumerate() {
            assert_eq!(child.could_be_issued_by(issuer), issuers.contains(&index));
        }
    }
}

#[test]
fn of_very_many_possible_issuers_the_first_are_named() {
    let same = vec![Sample::new("CA", "CA").certificate(); 3 * MOST_POSSIBLE_ISSUERS];
    for (index, found) in possible_issuers(&same).into_iter().enumerate() {
        let others = if index < MOST_POSSIBLE_ISSUERS { MOST_POSSIBLE_ISSUERS } else { MOST_POSSIBLE_ISSUERS - 1 };
        let expected: Vec<usize> =
            if others == MOST_POSSIBLE_ISSUERS { (0..others).collect() } else { (0..others).chain([index]).collect() };
        assert_eq!(found, expected);
    }
    // Of those with the key id that is asked for and those with none, in their order.
    let mut mixed = vec![Sample::new("CA", "CA").authority_key_id(b"1").certificate()];
    for _ in 0..MOST_POSSIBLE_ISSUERS {
        mixed.push(Sample::new("CA", "CA").subject_key_id(b"2").certificate());
        mixed.push(Sample::new("CA", "CA").subject_key_id(b"1").certificate());
        mixed.push(Sample::new("CA", "CA").certificate());
    }
    let fitting = (0..mixed.len()).filter(|index| index % 3 != 1).take(MOST_POSSIBLE_ISSUERS);
    assert_eq!(possible_issuers(&mixed)[0], fitting.collect::<Vec<_>>());
}

#[test]
fn a_control_character_that_is_no_white_space_is_told_with_its_line() {
    let pem = certificate("a.example", "CA").to_pem();
    let line = pem.lines().count() + 1;
    for c in 0..=u8::MAX {
        let read = Chain::from_pem(&[pem.as_bytes(), &[c]].concat());
        let told = ReadError::Pem { line, what: "a control character in the chain".to_owned() };
        let is_told = c.is_ascii_control() && !c.is_ascii_whitespace();
        assert_eq!(read.err(), is_told.then_some(told), "{c:#04x}");
    }
}
