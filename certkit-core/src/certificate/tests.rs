use proptest::prelude::*;

use super::sample::{Sample, common_name};
use super::*;
use crate::IdentifierError;

const DNS: u8 = 2;
const IP: u8 = 7;

/// Alternative names, each as its number in GeneralName and its content.
type Names<'a> = &'a [(u8, &'a [u8])];

fn identifiers(sample: &Sample) -> Result<String, ReadError> {
    sample.certificate().identifiers().map(|set| set.to_string())
}

fn years(not_before: (u8, &'static str), not_after: (u8, &'static str)) -> Result<[String; 2], ReadError> {
    let sample = Sample { times: [not_before, not_after], ..Sample::new("a.example", "CA") };
    sample.read().map(|certificate| {
        [certificate.validity().not_before, certificate.validity().not_after].map(|time| time.to_string())
    })
}

#[test]
fn times_are_read_to_the_second_in_utc() {
    let (utc, general) = (der::UTC_TIME, der::GENERALIZED_TIME);
    // The two-digit year turns at 50 (RFC 5280 section 4.1.2.5.1).
    assert_eq!(
        years((utc, "500101000000Z"), (utc, "491231235959Z")).unwrap(),
        ["1950-01-01 00:00:00 UTC", "2049-12-31 23:59:59 UTC"]
    );
    // The date of a certificate without an end (RFC 5280 section 4.1.2.5).
    assert_eq!(
        years((general, "00010101000000Z"), (general, "99991231235959Z")).unwrap(),
        ["0001-01-01 00:00:00 UTC", "9999-12-31 23:59:59 UTC"]
    );
    // An offset is not DER, yet UTCTime has been seen with one; fractions of a second are dropped.
    assert_eq!(
        years((utc, "240229120000+0130"), (general, "20240229120000.9Z")).unwrap(),
        ["2024-02-29 10:30:00 UTC", "2024-02-29 12:00:00 UTC"]
    );
}

#[test]
fn times_that_do_not_exist_are_errors_with_their_place() {
    for text in [
        "250229000000Z",
        "251301000000Z",
        "251232000000Z",
        "250101240000Z",
        "250101006000Z",
        "",
        "Z",
        "25010100000",
        "2501010000é0Z",
        "250101000000",
    ] {
        let error = years((der::UTC_TIME, "250101000000Z"), (der::UTC_TIME, text)).unwrap_err();
        assert!(matches!(error, ReadError::Der { offset: 52 | 53, .. }), "{text}: {error}");
    }
    for text in [
        "20250229000000Z",
        "20250101000000",
        "20250101000000+0130",
        "99999999999999Z",
        "00000000000000Z",
        "2025010100Z00",
    ] {
        assert!(years((der::UTC_TIME, "250101000000Z"), (der::GENERALIZED_TIME, text)).is_err(), "{text}");
    }
    assert!(years((der::UTC_TIME, "250101000000Z"), (der::INTEGER, "250101000000Z")).is_err());
}

#[test]
fn alternative_names_are_identifiers_names_first() {
    let sample = Sample::new("other.example", "CA").names(&[
        (IP, &[192, 0, 2, 1]),
        (DNS, b"B.example"),
        (1, b"someone@example.org"),
        (DNS, b"*.a.example"),
        (DNS, b"b.example."),
        (IP, &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
    ]);
    assert_eq!(identifiers(&sample).unwrap(), "b.example, *.a.example, 192.0.2.1, 2001:db8::1");
    assert_eq!(sample.certificate().san_dns().unwrap(), ["B.example", "*.a.example", "b.example."]);
    assert_eq!(
        sample.certificate().listed_names(),
        ["other.example", "b.example", "*.a.example", "b.example", "192.0.2.1", "2001:db8::1"]
    );
}

#[test]
fn without_alternative_names_the_common_name_counts_if_it_can() {
    assert_eq!(identifiers(&Sample::new("A.example", "CA")).unwrap(), "a.example");
    assert_eq!(identifiers(&Sample::new("192.0.2.1", "CA")).unwrap(), "192.0.2.1");
    assert_eq!(identifiers(&Sample::new("My company certificate", "CA")).unwrap(), "");
    assert_eq!(
        identifiers(&Sample::new("A.example", "CA").names(&[(1, b"someone@example.org")])).unwrap(),
        "a.example"
    );
    assert_eq!(Sample::new("My Company Certificate.", "CA").certificate().listed_names(), ["my company certificate"]);
}

#[test]
fn an_odd_alternative_name_is_an_error_only_where_it_is_asked_for() {
    let cases: [(Names<'_>, &str); 6] = [
        (
            &[(DNS, b"a.example"), (DNS, b"good.example\0.evil.example")],
            "the extension subjectAltName: `good.example\\u{0}.evil.example` has the character `\\u{0}`, which cannot be in a DNS name",
        ),
        (
            &[(DNS, b"a.example, DNS:b.example")],
            "the extension subjectAltName: `a.example, DNS:b.example` has the character `,`, which cannot be in a DNS name",
        ),
        (&[(DNS, b"")], "the extension subjectAltName: an empty name"),
        (&[(DNS, b"a\xff.example")], "the extension subjectAltName: the DNS name a\u{fffd}.example is not text"),
        (&[(IP, &[192, 0, 2])], "the extension subjectAltName: an IP address of 3 octets (4 or 16 are possible)"),
        (
            &[(IP, &[192, 0, 2, 0, 255, 255, 255, 0])],
            "the extension subjectAltName: an IP address of 8 octets (4 or 16 are possible)",
        ),
    ];
    for (names, message) in cases {
        let sample = Sample::new("a.example", "CA").names(names);
        assert_eq!(identifiers(&sample).unwrap_err().to_string(), message);
        assert_eq!(sample.certificate().subject_common_name().as_deref(), Some("a.example"));
        assert_eq!(sample.certificate().listed_names().first().map(String::as_str), Some("a.example"));
    }
    let sample = Sample::new("a.example", "CA").names(&[(DNS, b"8.8.8.8")]);
    assert!(matches!(identifiers(&sample), Err(ReadError::Identifier(IdentifierError::IsAddress { .. }))));
}

#[test]
fn a_broken_or_repeated_extension_leaves_the_rest_readable() {
    for value in
        [&b""[..], b"\x30", b"\x30\x80", b"\x04\x01a", b"\x30\x00\x00", b"\x30\x03\x82\x05a", b"\x30\x03\x30\x01\x00"]
    {
        let certificate = Sample::new("a.example", "CA").extension(0x11, value).certificate();
        assert!(matches!(certificate.san_dns(), Err(ReadError::Extension { name: "subjectAltName", .. })), "{value:?}");
        assert_eq!(certificate.listed_names(), ["a.example"]);
    }
    let twice = Sample::new("a.example", "CA").names(&[(DNS, b"a.example")]).names(&[(DNS, b"b.example")]);
    assert_eq!(identifiers(&twice).unwrap_err().to_string(), "the extension subjectAltName: it is there twice");
    let odd = Sample::new("a.example", "CA").extension(0x23, b"\x05\x00").extension(0x13, b"\x01").extension(0x0e, b"");
    assert!(!odd.certificate().is_ca());
    assert_eq!(odd.certificate().authority_key_id(), None);
    assert_eq!(odd.certificate().subject_key_id(), None);
    assert_eq!(odd.certificate().ari_id(), None);
}

/// The example of RFC 9773 section 4.1.
#[test]
fn the_ari_id_is_made_of_key_id_and_serial() {
    let key_id = data_encoding::HEXUPPER.decode(b"69885B6B87464041E1B37B847BA0AE2CDE01C8D4").unwrap();
    let mut sample = Sample::new("example.com", "CA").authority_key_id(&key_id);
    sample.serial = vec![0x00, 0x87, 0x65, 0x43, 0x21];
    let certificate = sample.certificate();
    assert_eq!(certificate.ari_id().unwrap().as_str(), "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE");
    assert_eq!(certificate.serial().octets(), [0x00, 0x87, 0x65, 0x43, 0x21]);
    assert_eq!(certificate.serial().openssl_hex(), "87654321");
}

#[test]
fn serial_numbers_of_any_kind_are_read_but_not_malformed_ones() {
    for (serial, hex) in [(vec![0], "00"), (vec![0xff], "-01"), (vec![1; 300], "01".repeat(300).as_str())] {
        let sample = Sample { serial, ..Sample::new("a.example", "CA") };
        assert_eq!(sample.certificate().serial().openssl_hex(), hex);
    }
    for serial in [vec![], vec![0, 0], vec![0, 1], vec![0xff, 0xff]] {
        let sample = Sample { serial, ..Sample::new("a.example", "CA") };
        assert!(matches!(sample.read(), Err(ReadError::Der { .. })));
    }
}

#[test]
fn keys_are_described_whatever_they_are() {
    let with = |algorithm: &[u8], key: &[u8]| {
        let algorithm = data_encoding::HEXLOWER.decode(algorithm).unwrap();
        let spki = der::element(der::SEQUENCE, &[&algorithm, &der::element(der::BIT_STRING, &[&[0], key])]);
        let certificate = Sample { spki, ..Sample::new("a.example", "CA") }.certificate();
        (certificate.key_type(), certificate.key_bits())
    };
    let curve = |name: &str| KeyType::Ec(name.to_owned());
    let rsa = b"300d06092a864886f70d0101010500";
    assert_eq!(with(b"301306072a8648ce3d020106082a8648ce3d030107", &[4]), (curve("secp256r1"), Some(256)));
    assert_eq!(with(b"301006072a8648ce3d020106052b81040023", &[4]), (curve("secp521r1"), Some(521)));
    assert_eq!(with(b"301406072a8648ce3d020106092b2403030208010107", &[4]), (curve("brainpoolP256r1"), Some(256)));
    assert_eq!(with(b"300d06072a8648ce3d020106022a03", &[4]), (curve("1.2.3"), None));
    assert_eq!(with(b"300d06072a8648ce3d020130023000", &[4]), (curve("explicit parameters"), None));
    assert_eq!(with(b"300906072a8648ce3d0201", &[]), (curve("explicit parameters"), None));
    assert_eq!(with(b"300506032b6571", &[0; 57]), (KeyType::Ed448, Some(456)));
    assert_eq!(with(b"3007060567810c0102", &[0; 57]), (KeyType::Other("2.23.140.1.2".to_owned()), None));
    assert_eq!(with(rsa, b"\x30\x08\x02\x03\x00\x80\x01\x02\x01\x03"), (KeyType::Rsa, Some(16)));
    assert_eq!(with(rsa, b"\x30\x07\x02\x02\x01\x01\x02\x01\x03"), (KeyType::Rsa, Some(9)));
    assert_eq!(with(rsa, b"\x30\x03\x02\x01\x00"), (KeyType::Rsa, None));
    assert_eq!(with(rsa, b"no key at all"), (KeyType::Rsa, None));
}

#[test]
fn issuers_are_matched_by_name_and_key_id() {
    let ca = Sample::new("CA", "Root").subject_key_id(b"1").extension(0x13, b"\x30\x03\x01\x01\xff").certificate();
    assert!(ca.is_ca() && !ca.is_self_issued());
    assert!(Sample::new("Root", "Root").certificate().is_self_issued());
    let leaf = |issuer: &str, key_id: &[u8]| Sample::new("a.example", issuer).authority_key_id(key_id).certificate();
    assert!(leaf("CA", b"1").could_be_issued_by(&ca));
    assert!(!leaf("CA", b"2").could_be_issued_by(&ca));
    assert!(!leaf("ca", b"1").could_be_issued_by(&ca));
    assert!(Sample::new("a.example", "CA").certificate().could_be_issued_by(&ca));
}

#[test]
fn outside_text_is_escaped_in_the_debug_form() {
    let mut sample = Sample::new("a", "CA");
    sample.subject = common_name(0x0c, b"\x1b[31m\n");
    let shown = format!("{:?}", sample.certificate());
    assert!(shown.contains(r"CN=\u{1b}[31m\n") && !shown.contains('\x1b'), "{shown}");
}

#[test]
fn what_is_not_one_certificate_is_refused_with_its_place() {
    let good = Sample::new("a.example", "CA").names(&[(DNS, b"a.example")]).der();
    assert_eq!(
        Certificate::from_der(&[&good[..], &[0]].concat()).unwrap_err().to_string(),
        format!("byte {}: data after the end of the certificate", good.len())
    );
    for length in 0..good.len() {
        assert!(Certificate::from_der(&good[..length]).is_err());
    }
    assert_eq!(Certificate::from_pem(b"no certificate"), Err(ReadError::NoCertificate));
    let error = Certificate::from_pem(b"\n-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the certificate on line 2: byte 2: not a certificate: TBSCertificate is not a SEQUENCE"
    );
}

#[test]
fn pem_comes_back_and_openssls_trust_settings_are_left_out() {
    let certificate = Sample::new("a.example", "CA").certificate();
    let pem = certificate.to_pem();
    assert!(pem.lines().all(|line| line.len() <= 64) && pem.ends_with("-----END CERTIFICATE-----\n"));
    assert_eq!(Certificate::from_pem(pem.as_bytes()), Ok(certificate.clone()));
    let trusted = der::to_pem("TRUSTED CERTIFICATE", &[certificate.der(), b"\x30\x00"].concat());
    assert_eq!(Certificate::from_pem(trusted.as_bytes()), Ok(certificate.clone()));
    let old = pem.replace("CERTIFICATE", "X509 CERTIFICATE");
    assert_eq!(Certificate::from_pem(old.as_bytes()), Ok(certificate));
}

#[test]
fn ten_thousand_names_are_read_in_a_moment() {
    let names: Vec<String> = (0..10_000).map(|number| format!("host-{number}.example.org")).collect();
    let general: Vec<(u8, &[u8])> = names.iter().map(|name| (DNS, name.as_bytes())).collect();
    let certificate = Sample::new("host-0.example.org", "CA").names(&general).certificate();
    let start = std::time::Instant::now();
    let identifiers = certificate.identifiers().unwrap();
    assert_eq!(identifiers.len(), 10_000);
    assert!(identifiers.same_as(&identifiers.iter().rev().cloned().collect()));
    assert_eq!(certificate.listed_names().len(), 10_000);
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}

/// Asks for everything; only a panic fails it.
fn ask_everything(certificate: &Certificate) {
    let _ = (certificate.identifiers(), certificate.listed_names(), certificate.san_dns(), certificate.san_ip());
    let _ = (certificate.subject(), certificate.issuer(), certificate.subject_common_name(), certificate.to_pem());
    let _ = (certificate.serial().openssl_hex(), certificate.serial().certbot_hex(), certificate.ari_id());
    let _ = (certificate.key_type(), certificate.key_bits(), certificate.is_ca(), certificate.subject_key_id());
    let _ = (certificate.tbs_der(), certificate.signature_algorithm_der(), certificate.signature());
    let _ = (certificate.crl_distribution_points(), certificate.may_sign_revocation_lists());
    let _ =
        (certificate.validity().lifetime(), format!("{certificate:?}"), certificate.could_be_issued_by(certificate));
}

proptest! {
    #[test]
    fn mutated_certificates_do_not_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        names in prop::collection::vec((0u8..9, prop::collection::vec(any::<u8>(), 0..20)), 0..4),
    ) {
        let names: Vec<(u8, &[u8])> = names.iter().map(|(kind, name)| (*kind, name.as_slice())).collect();
        let sample = Sample::new("a.example", "CA").names(&names).authority_key_id(b"12").subject_key_id(b"34");
        ask_everything(&sample.certificate());
        let mut der = sample.der();
        for (position, octet) in changes {
            *position.get_mut(&mut der) = octet;
            if let Ok(certificate) = Certificate::from_der(&der) {
                ask_everything(&certificate);
            }
        }
    }

    #[test]
    fn any_subject_and_extension_is_survived(subject: Vec<u8>, tag: u8, extension: Vec<u8>, number: u8) {
        let mut sample = Sample::new("", "CA").extension(number, &extension);
        sample.subject = common_name(tag & 0xde, &subject);
        ask_everything(&sample.certificate());
    }

    #[test]
    fn serial_hex_is_that_of_the_number(number: i128) {
        let octets = number.to_be_bytes();
        let sign = if number < 0 { 0xff } else { 0 };
        let redundant = octets.windows(2).take_while(|pair| pair[0] == sign && (pair[0] ^ pair[1]) & 0x80 == 0).count();
        let serial = Serial(octets[redundant..].to_vec());
        let hex = format!("{}{:x}", if number < 0 { "-" } else { "" }, number.unsigned_abs());
        prop_assert_eq!(serial.certbot_hex(), hex);
    }
}
