use super::*;
use crate::certificate::sample::{Sample, common_name};
use crate::der::element;

const URL: &str = "http://ca.example/1.crl";

/// The parts of a list as DER; what is not set is ordinary. Its signature is an empty shell.
struct List {
    version: Vec<u8>,
    issuer: Vec<u8>,
    times: Vec<&'static str>,
    /// None: the field is missing, as it must be when nothing is revoked.
    entries: Option<Vec<Vec<u8>>>,
    extensions: Vec<Vec<u8>>,
    tail: Vec<u8>,
}

impl List {
    fn new() -> Self {
        Self {
            version: element(der::INTEGER, &[&[1]]),
            issuer: common_name(0x0c, b"CA"),
            times: vec!["260101000000Z", "260108000000Z"],
            entries: None,
            extensions: vec![extension(0x14, false, &element(der::INTEGER, &[&[7]]))],
            tail: Vec::new(),
        }
    }

    fn entry(mut self, serial: &[u8], extensions: &[Vec<u8>]) -> Self {
        self.entries.get_or_insert_default().push(entry(serial, extensions));
        self
    }

    fn extension(mut self, number: u8, critical: bool, value: &[u8]) -> Self {
        self.extensions.push(extension(number, critical, value));
        self
    }

    /// With an issuing distribution point of these fields.
    fn scope(self, fields: &[Vec<u8>]) -> Self {
        self.extension(0x1c, true, &element(der::SEQUENCE, &[&fields.concat()]))
    }

    fn der(&self) -> Vec<u8> {
        let algorithm = element(der::SEQUENCE, &[&element(der::OID, &[&[0x2b, 0x65, 0x70]])]);
        let times: Vec<u8> = self.times.iter().flat_map(|text| element(der::UTC_TIME, &[text.as_bytes()])).collect();
        let entries = self.entries.as_ref().map(|all| element(der::SEQUENCE, &[&all.concat()])).unwrap_or_default();
        let extensions = element(der::explicit(0), &[&element(der::SEQUENCE, &[&self.extensions.concat()])]);
        let tbs = element(
            der::SEQUENCE,
            &[&self.version, &algorithm, &self.issuer, &times, &entries, &extensions, &self.tail],
        );
        element(der::SEQUENCE, &[&tbs, &algorithm, &element(der::BIT_STRING, &[&[0; 65]])])
    }

    fn read(&self) -> Result<RevocationList, RevocationListError> {
        RevocationList::from_der(&self.der())
    }

    fn says_of(&self, certificate: &Certificate) -> Result<Option<Revocation>, RevocationListError> {
        self.read()?.look_up(certificate, URL, now())
    }

    fn says(&self) -> Result<Option<Revocation>, RevocationListError> {
        self.says_of(&leaf(&[0x05]))
    }
}

fn extension(number: u8, critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if critical { element(der::BOOLEAN, &[&[0xff]]) } else { Vec::new() };
    let oid = element(der::OID, &[&[0x55, 0x1d, number]]);
    element(der::SEQUENCE, &[&oid, &critical, &element(der::OCTET_STRING, &[value])])
}

fn entry(serial: &[u8], extensions: &[Vec<u8>]) -> Vec<u8> {
    let date = element(der::UTC_TIME, &[b"260102030405Z"]);
    let extensions = if extensions.is_empty() { Vec::new() } else { element(der::SEQUENCE, &[&extensions.concat()]) };
    element(der::SEQUENCE, &[&element(der::INTEGER, &[serial]), &date, &extensions])
}

fn reason(code: u8) -> Vec<u8> {
    extension(0x15, false, &[0x0a, 1, code])
}

fn point(urls: &[&str]) -> Vec<u8> {
    let names: Vec<u8> = urls.iter().flat_map(|url| element(der::implicit(6), &[url.as_bytes()])).collect();
    element(der::explicit(0), &[&element(der::explicit(0), &[&names])])
}

fn flag(number: u8) -> Vec<u8> {
    element(der::implicit(number), &[&[0xff]])
}

fn leaf(serial: &[u8]) -> Certificate {
    Sample { serial: serial.to_vec(), ..Sample::new("leaf", "CA") }.certificate()
}

fn ca() -> Certificate {
    Sample::new("sub-CA", "CA").extension(0x13, &element(der::SEQUENCE, &[&[der::BOOLEAN, 1, 0xff]])).certificate()
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn now() -> DateTime<Utc> {
    at("2026-01-03T00:00:00Z")
}

#[test]
fn what_is_listed_is_revoked_and_nothing_else() {
    let list = List::new()
        .entry(&[0x7f], &[])
        .entry(&[0x00, 0x87, 0x65], &[reason(1)])
        .entry(&[0x04], &[extension(0x18, false, &[]), reason(4)])
        .entry(&[0xfb], &[reason(77)]);
    let read = list.read().unwrap();
    assert_eq!((read.len(), read.is_empty()), (4, false));
    let revoked = |reason| Ok(Some(Revocation { at: at("2026-01-02T03:04:05Z"), reason }));
    for (serial, said) in [
        (&[0x7f][..], revoked(None)),
        (&[0x00, 0x87, 0x65], revoked(Some(CrlReason::KeyCompromise))),
        (&[0x04], revoked(Some(CrlReason::Superseded))),
        (&[0xfb], revoked(Some(CrlReason::Other(77)))),
        (&[0x05], Ok(None)),
        (&[0x00, 0xfb], Ok(None)),
        (&[0x87, 0x65], Ok(None)),
        (&[0x00, 0x87, 0x65, 0x00], Ok(None)),
    ] {
        assert_eq!(list.says_of(&leaf(serial)), said, "{serial:?}");
    }
    assert_eq!(List::new().says(), Ok(None));
    assert!(List { entries: Some(vec![]), ..List::new() }.read().unwrap().is_empty());
}

#[test]
fn a_number_is_found_in_whatever_form_the_list_has_it() {
    assert!(List::new().entry(&[0, 0, 0x05], &[]).says().unwrap().is_some());
    assert!(List::new().entry(&[0xff, 0xfb], &[]).says_of(&leaf(&[0xfb])).unwrap().is_some());
    assert!(List::new().entry(&[0, 0], &[]).says_of(&leaf(&[0])).unwrap().is_some());
}

#[test]
fn what_was_taken_off_the_list_is_not_revoked_unless_it_is_there_again() {
    let list = List::new().entry(&[0x05], &[reason(8)]);
    assert_eq!(list.says(), Ok(None));
    assert!(list.entry(&[0x05], &[reason(6)]).says().unwrap().is_some());
}

#[test]
fn a_list_with_one_entry_that_cannot_be_read_says_nothing_at_all() {
    let critical = extension(0x63, true, &[]);
    for list in [
        List::new().entry(&[], &[]),
        List::new().entry(&[1], &[reason(1), reason(1)]),
        List::new().entry(&[1], &[extension(0x15, false, &[2, 1, 1])]),
        List::new().entry(&[1], &[extension(0x15, false, &[0x0a, 2, 0, 1])]),
        List::new().entry(&[1], &[critical]),
        List::new().entry(&[1], &[extension(0x1d, true, &[])]),
        List::new().entry(&[1], &[vec![5, 0]]),
        List { entries: Some(vec![vec![5, 0]]), ..List::new() },
        List { entries: Some(vec![element(der::SEQUENCE, &[&[2, 1, 1, 5, 0]])]), ..List::new() },
        List { entries: Some(vec![[entry(&[1], &[]), vec![0x30]].concat()]), ..List::new() },
    ] {
        assert!(list.read().is_err());
    }
}

#[test]
fn only_the_own_issuers_list_of_today_counts() {
    let other = List { issuer: common_name(0x0c, b"Other\n"), ..List::new() };
    let error = other.says().unwrap_err();
    assert_eq!(error.to_string(), "it is a list of CN=Other\\u{a}, and the certificate is from CN=CA");
    let list = List::new().read().unwrap();
    let at_time = |text: &str| list.look_up(&leaf(&[5]), URL, at(text));
    assert_eq!(at_time("2025-12-31T23:00:00Z"), Ok(None));
    assert!(matches!(at_time("2025-12-31T22:59:59Z"), Err(RevocationListError::NotYetValid(_))));
    assert_eq!(at_time("2026-01-08T00:00:00Z"), Ok(None));
    assert!(matches!(at_time("2026-01-08T00:00:01Z"), Err(RevocationListError::Stale(_))));
    assert!(list.look_up(&leaf(&[5]), URL, DateTime::<Utc>::MIN_UTC).is_err());
    assert!(list.look_up(&leaf(&[5]), URL, DateTime::<Utc>::MAX_UTC).is_err());
    let endless = List { times: vec!["260101000000Z"], ..List::new() };
    assert!(matches!(endless.says(), Err(RevocationListError::OutOfScope(_))));
}

#[test]
fn a_list_about_other_certificates_says_nothing() {
    for (scope, of_leaf, of_ca) in [
        (vec![], true, true),
        (vec![point(&["http://x/", URL])], true, true),
        (vec![point(&[URL]), flag(1)], true, false),
        (vec![flag(2)], false, true),
        (vec![element(der::implicit(3), &[&[6, 0x40]])], false, false),
        (vec![flag(4)], false, false),
        (vec![flag(5)], false, false),
        (vec![point(&["http://ca.example/2.crl"])], false, false),
        (vec![point(&[])], false, false),
        (vec![element(der::explicit(0), &[&element(der::explicit(1), &[])])], false, false),
    ] {
        let list = List::new().scope(&scope);
        for (certificate, covered) in [(leaf(&[5]), of_leaf), (ca(), of_ca)] {
            let said = list.says_of(&certificate);
            assert_eq!(said == Ok(None), covered, "{scope:?}");
            assert_eq!(matches!(said, Err(RevocationListError::OutOfScope(_))), !covered, "{scope:?}");
        }
    }
    let twice = List::new().scope(&[flag(1)]).scope(&[flag(1)]);
    assert!(twice.read().is_err());
    assert!(List::new().scope(&[element(der::implicit(1), &[&[7]])]).read().is_err());
    assert!(List::new().scope(&[flag(6)]).read().is_err());
}

#[test]
fn extensions_that_are_not_known_forbid_the_list_when_they_are_critical() {
    assert_eq!(List::new().extension(0x2e, false, &[]).says(), Ok(None));
    let error = List::new().extension(0x63, true, &[]).says().unwrap_err();
    assert_eq!(error, RevocationListError::CriticalExtension("2.5.29.99".to_owned()));
    // A delta list, critical or not: it only holds what is new.
    for critical in [true, false] {
        let delta = List::new().extension(0x1b, critical, &element(der::INTEGER, &[&[1]]));
        assert!(delta.says().unwrap_err().to_string().contains("changes since"));
    }
}

#[test]
fn what_is_no_list_is_said_with_the_place() {
    let good = List::new().der();
    for (der, says) in [
        (b"<html>".to_vec(), "byte 0: not a revocation list"),
        (Vec::new(), "byte 0: not a revocation list"),
        (Sample::new("a", "b").der(), "byte"),
        ([good.as_slice(), &[0]].concat(), "data after the end"),
        (List { version: element(der::INTEGER, &[&[2]]), ..List::new() }.der(), "a version of lists"),
        (List { tail: vec![5, 0], ..List::new() }.der(), "data after the last field"),
        (List { times: vec![], ..List::new() }.der(), "neither UTCTime"),
    ] {
        let error = RevocationList::from_der(&der).unwrap_err().to_string();
        assert!(error.contains(says), "{error} / {says}");
    }
    // The algorithm that is signed is another one than the one that is named: its last octet comes after the TBSCertList.
    let mut der = good.clone();
    let second = der.windows(3).rposition(|octets| octets == [0x2b, 0x65, 0x70]).unwrap();
    der[second + 2] = 0x71;
    assert!(RevocationList::from_der(&der).unwrap_err().to_string().contains("two different signature algorithms"));
    // Cut anywhere, it is no list any more; above all not a shorter one.
    for end in 0..good.len() {
        assert!(RevocationList::from_der(&good[..end]).is_err());
    }
}

#[test]
fn only_a_key_for_lists_signs_them() {
    let usage = |bits: &[u8]| Sample::new("a", "b").extension(0x0f, &element(der::BIT_STRING, &[bits])).certificate();
    assert!(usage(&[1, 0x06]).may_sign_revocation_lists());
    assert!(!usage(&[5, 0xa0]).may_sign_revocation_lists());
    assert!(!usage(&[]).may_sign_revocation_lists());
    assert!(leaf(&[5]).may_sign_revocation_lists());
}

proptest::proptest! {
    #[test]
    fn reading_never_panics(
        noise in proptest::collection::vec(0u8.., 0..60),
        at in 0usize..400,
        flipped in 0u8..,
        seconds in -10_000_000_000_000i64..10_000_000_000_000,
    ) {
        let mut changed = List::new().scope(&[point(&[URL]), flag(1)]).entry(&[5], &[reason(1)]).der();
        let length = changed.len();
        changed[at % length] ^= flipped;
        let mut spliced = List::new().entry(&[5], &[]).der();
        let place = at % spliced.len();
        spliced.splice(place..place, noise.iter().copied());
        for der in [noise, changed, spliced] {
            let Ok(list) = RevocationList::from_der(&der) else { continue };
            let when = DateTime::from_timestamp(seconds, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
            let _ = (list.look_up(&leaf(&[5]), URL, when), list.look_up(&ca(), URL, now()), format!("{list:?}"));
            let _ = (list.tbs_der(), list.signature_algorithm_der(), list.signature(), list.size());
        }
    }
}
