//! Revocation lists, made by a CA of the tests and served on loopback.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use certkit_acme::revocation::{NotChecked, RevocationChecker, RevocationError, RevocationStatus};
use certkit_acme::transport::TransportSettings;
use certkit_core::{Certificate, CrlReach, CrlReason, RevocationListError};
use chrono::{DateTime, TimeDelta, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CrlDistributionPoint,
    CrlIssuingDistributionPoint, CrlScope, DistinguishedName, DnType, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevocationReason, RevokedCertParams, SerialNumber, date_time_ymd,
};

use super::server::{Answer, Server, Speaks, answer, endless, proxy};

/// A CA that signs certificates and lists.
struct Ca {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// What a list says; what is not set is ordinary.
struct List {
    /// From now, in hours.
    this_update: i64,
    next_update: i64,
    revoked: Vec<(Vec<u8>, Option<RevocationReason>)>,
    point: Option<String>,
    scope: Option<CrlScope>,
}

impl List {
    fn new() -> Self {
        Self { this_update: -1, next_update: 9 * 24, revoked: Vec::new(), point: None, scope: None }
    }

    fn with(serial: &[u8], reason: Option<RevocationReason>) -> Self {
        Self { revoked: vec![(serial.to_vec(), reason)], ..Self::new() }
    }
}

/// rcgen counts in another time library.
macro_rules! in_hours {
    ($hours:expr) => {
        date_time_ymd(1970, 1, 1)
            + Duration::from_secs((testkit::now() + TimeDelta::hours($hours)).timestamp().try_into().unwrap())
    };
}

impl Ca {
    fn new(name: &str) -> Self {
        Self::with_usages(name, vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign])
    }

    fn with_usages(name: &str, usages: Vec<KeyUsagePurpose>) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = usages;
        let key = KeyPair::generate().unwrap();
        let certificate = Certificate::from_der(params.self_signed(&key).unwrap().der()).unwrap();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// A certificate whose list is at one of these URLs.
    fn issue(&self, serial: &[u8], urls: &[&str]) -> Certificate {
        self.issue_until(serial, urls, 24)
    }

    fn issue_until(&self, serial: &[u8], urls: &[&str], hours: i64) -> Certificate {
        let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        params.serial_number = Some(SerialNumber::from(serial.to_vec()));
        (params.not_before, params.not_after) = (in_hours!(-48), in_hours!(hours));
        params.use_authority_key_identifier_extension = true;
        params.crl_distribution_points =
            urls.iter().map(|url| CrlDistributionPoint { uris: vec![(*url).to_owned()] }).collect();
        let certificate = params.signed_by(&KeyPair::generate().unwrap(), &self.issuer).unwrap();
        Certificate::from_der(certificate.der()).unwrap()
    }

    fn list(&self, list: List) -> Vec<u8> {
        let revoked = |(serial, reason): (Vec<u8>, _)| RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: in_hours!(-2),
            reason_code: reason,
            invalidity_date: Some(in_hours!(-3)),
        };
        let point = list.point.map(|url| CrlIssuingDistributionPoint {
            distribution_point: CrlDistributionPoint { uris: vec![url] },
            scope: list.scope,
        });
        let params = CertificateRevocationListParams {
            this_update: in_hours!(list.this_update),
            next_update: in_hours!(list.next_update),
            crl_number: SerialNumber::from(7),
            issuing_distribution_point: point,
            revoked_certs: list.revoked.into_iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().der().to_vec()
    }
}

/// A server of lists by path.
struct Lists {
    server: Server,
    bodies: Arc<Mutex<BTreeMap<String, Bytes>>>,
}

impl Lists {
    async fn start() -> Self {
        Self::speaking(Speaks::Plain).await
    }

    async fn speaking(speaks: Speaks) -> Self {
        let bodies = Arc::<Mutex<BTreeMap<String, Bytes>>>::default();
        let known = bodies.clone();
        let server = Server::start(speaks, move |request| {
            let body = known.lock().unwrap().get(request.uri().path()).cloned();
            async move { body.map_or_else(|| answer(404, &[], "gone"), |body| answer(200, &[], body)) }
        })
        .await;
        Self { server, bodies }
    }

    /// The URL under which the body is served.
    fn serve(&self, path: &str, body: impl Into<Bytes>) -> String {
        self.bodies.lock().unwrap().insert(path.to_owned(), body.into());
        self.server.text_url(path)
    }

    fn checker(&self) -> RevocationChecker {
        RevocationChecker::new(&self.server.settings(), CrlReach::Loopback).unwrap()
    }
}

const SERIAL: &[u8] = &[0x00, 0x9a, 0x31];

/// What the list says about the certificate with [`SERIAL`].
async fn said_by(list: impl FnOnce(&Ca, &str) -> Vec<u8>) -> Result<RevocationStatus, RevocationError> {
    let (ca, lists) = (Ca::new("CA"), Lists::start().await);
    let url = lists.server.text_url("/1.crl");
    lists.serve("/1.crl", list(&ca, &url));
    let answer = lists.checker().check(&ca.issue(SERIAL, &[&url]), &ca.certificate, testkit::now()).await;
    answer.map(|answer| answer.status)
}

fn hours_until(at: DateTime<Utc>) -> i64 {
    ((at - testkit::now()).num_seconds() + 1800) / 3600
}

#[tokio::test]
async fn what_is_listed_is_revoked_and_nothing_else() {
    let status = said_by(|ca, _| ca.list(List::with(SERIAL, Some(RevocationReason::KeyCompromise)))).await.unwrap();
    let RevocationStatus::Revoked { at, reason } = status else { panic!("{status:?}") };
    assert_eq!((hours_until(at), reason), (-1, Some(CrlReason::KeyCompromise)));
    let status = said_by(|ca, _| ca.list(List::with(SERIAL, None))).await.unwrap();
    assert!(matches!(status, RevocationStatus::Revoked { reason: None, .. }));
    for other in [&[0x9a, 0x31, 0x00][..], &[0x9a], &[0x31], &[0x01, 0x9a, 0x31]] {
        assert_eq!(said_by(|ca, _| ca.list(List::with(other, None))).await.unwrap(), RevocationStatus::Good);
    }
    assert_eq!(said_by(|ca, _| ca.list(List::new())).await.unwrap(), RevocationStatus::Good);
    // As Let's Encrypt's: a part of the list, for certificates that are not those of CAs.
    let part = |_: &Ca, url: &str| List {
        point: Some(url.to_owned()),
        scope: Some(CrlScope::UserCertsOnly),
        ..List::with(SERIAL, None)
    };
    let status = said_by(|ca, url| ca.list(part(ca, url))).await.unwrap();
    assert!(matches!(status, RevocationStatus::Revoked { .. }));
    let removed = said_by(|ca, _| ca.list(List::with(SERIAL, Some(RevocationReason::RemoveFromCrl)))).await.unwrap();
    assert_eq!(removed, RevocationStatus::Good);
}

#[tokio::test]
async fn it_is_looked_again_when_the_list_is_replaced_but_within_an_hour_to_a_day() {
    let (ca, lists) = (Ca::new("CA"), Lists::start().await);
    for (next_update, hours) in [(9 * 24, 24), (7, 7), (0, 1)] {
        let path = format!("/{next_update}.crl");
        let body = ca.list(List { next_update, ..List::new() });
        let certificate = ca.issue(SERIAL, &[&lists.serve(&path, body)]);
        // The last one ends in this very moment.
        let now = testkit::now() - TimeDelta::seconds(20);
        let answer = lists.checker().check(&certificate, &ca.certificate, now).await.unwrap();
        assert_eq!((hours_until(answer.next_check), answer.status), (hours, RevocationStatus::Good));
    }
}

#[tokio::test]
async fn a_list_that_does_not_count_is_neither_good_nor_revoked() {
    let stranger = Ca::new("CA");
    let unusable = |error: RevocationError| match error {
        RevocationError::Unusable { source, .. } => source,
        other => panic!("{other}"),
    };
    for (list, says) in [
        (stranger.list(List::with(SERIAL, None)), "not its issuer's: the signature does not verify"),
        (b"<html>Sign in to WiFi</html>".to_vec(), "delivers an HTML page, which is no revocation list"),
        (Vec::new(), "0 bytes"),
        (b"-----BEGIN X509 CRL-----\n".to_vec(), "PEM (`-----BEGIN X509 CRL-----`) instead of DER"),
        (stranger.certificate.der().to_vec(), "which is no revocation list: byte"),
    ] {
        let error = said_by(|_, _| list).await.unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("/1.crl"), "{error} / {says}");
    }
    // Every octet counts: whatever is changed, the list does not.
    let changed = |ca: &Ca, at: usize| {
        let mut list = ca.list(List::with(&[1], None));
        let at = at % list.len();
        list[at] ^= 1;
        list
    };
    for at in (0..400).step_by(37) {
        let said = said_by(|ca, _| changed(ca, at)).await;
        assert!(matches!(said, Err(RevocationError::NotAList { .. } | RevocationError::Unverified { .. })), "{said:?}");
    }
    let stale = |ca: &Ca, _: &str| ca.list(List { this_update: -48, next_update: -1, ..List::with(SERIAL, None) });
    assert!(matches!(unusable(said_by(stale).await.unwrap_err()), RevocationListError::Stale(_)));
    let early = |ca: &Ca, _: &str| ca.list(List { this_update: 2, ..List::with(SERIAL, None) });
    assert!(matches!(unusable(said_by(early).await.unwrap_err()), RevocationListError::NotYetValid(_)));
    let point = |url: &str, scope| List { point: Some(url.to_owned()), scope, ..List::with(SERIAL, None) };
    let of_cas = |ca: &Ca, url: &str| ca.list(point(url, Some(CrlScope::CaCertsOnly)));
    assert!(matches!(unusable(said_by(of_cas).await.unwrap_err()), RevocationListError::OutOfScope(_)));
    let another_part = |ca: &Ca, url: &str| ca.list(point(&url.replace('1', "2"), None));
    assert!(matches!(unusable(said_by(another_part).await.unwrap_err()), RevocationListError::OutOfScope(_)));
}

#[tokio::test]
async fn only_the_list_of_the_certificates_issuer_is_looked_at() {
    let (ca, lists) = (Ca::new("CA"), Lists::start().await);
    let url = lists.serve("/1.crl", ca.list(List::new()));
    let (certificate, checker) = (ca.issue(SERIAL, &[&url]), lists.checker());
    // Another name, and the same name with another key.
    for other in [Ca::new("Other"), Ca::new("CA")] {
        let error = checker.check(&certificate, &other.certificate, testkit::now()).await.unwrap_err();
        assert!(matches!(error, RevocationError::NotItsIssuer), "{error}");
    }
    let error = checker.check(&certificate, &certificate, testkit::now()).await.unwrap_err();
    assert!(matches!(error, RevocationError::NotItsIssuer), "{error}");
    let keeper = Ca::with_usages("Keeper", vec![KeyUsagePurpose::KeyCertSign]);
    let error = checker.check(&keeper.issue(SERIAL, &[&url]), &keeper.certificate, testkit::now()).await.unwrap_err();
    assert!(matches!(error, RevocationError::NoSignerOfLists), "{error}");
    assert!(lists.server.requests().is_empty());
    // A list of another issuer with the right signature: a CA that signs for two names.
    let params = CertificateRevocationListParams {
        this_update: in_hours!(-1),
        next_update: in_hours!(24),
        crl_number: SerialNumber::from(7),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let mut renamed = CertificateParams::default();
    renamed.distinguished_name = DistinguishedName::new();
    renamed.distinguished_name.push(DnType::CommonName, "Other");
    let list = params.signed_by(&Issuer::from_params(&renamed, ca.issuer.key())).unwrap();
    let url = lists.serve("/2.crl", list.der().to_vec());
    let error = checker.check(&ca.issue(SERIAL, &[&url]), &ca.certificate, testkit::now()).await.unwrap_err();
    assert!(error.to_string().contains("a list of CN=Other, and the certificate is from CN=CA"), "{error}");
}

#[tokio::test]
async fn where_there_is_nowhere_to_look_that_is_said() {
    let (ca, lists) = (Ca::new("CA"), Lists::start().await);
    let url = lists.serve("/1.crl", ca.list(List::new()));
    for (certificate, why) in [
        (ca.issue(SERIAL, &[]), NotChecked::NoDistributionPoint),
        (ca.issue(SERIAL, &["ldap://ca.example/x"]), NotChecked::NoDistributionPoint),
        (ca.issue_until(SERIAL, &[&url], -1), NotChecked::Expired),
    ] {
        let answer = lists.checker().check(&certificate, &ca.certificate, testkit::now()).await.unwrap();
        assert_eq!((answer.status, hours_until(answer.next_check)), (RevocationStatus::NotChecked { why }, 24));
    }
    assert!(lists.server.requests().is_empty());
}

#[tokio::test]
async fn servers_that_misbehave_are_an_error_in_bounded_time_and_space() {
    let ca = Ca::new("CA");
    let server = Server::start(Speaks::Plain, |request| async move {
        match request.uri().path() {
            "/endless" => endless(),
            "/redirect" => answer(302, &[("location", "/fine")], ""),
            "/silent" => std::future::pending::<Answer>().await,
            _ => answer(500, &[], ""),
        }
    })
    .await;
    let mut settings = server.settings();
    settings.timeout = Duration::from_secs(60);
    for (path, says) in [
        ("/endless", "more than 33554432 bytes"),
        ("/redirect", "a redirect to /fine"),
        ("/error", "HTTP 500"),
        ("/silent", "no answer within 2 s"),
    ] {
        if path == "/silent" {
            settings.timeout = Duration::from_secs(2);
        }
        let checker = RevocationChecker::new(&settings, CrlReach::Loopback).unwrap();
        let certificate = ca.issue(SERIAL, &[&server.text_url(path)]);
        let error = checker.check(&certificate, &ca.certificate, testkit::now()).await.unwrap_err();
        assert!(matches!(error, RevocationError::NotFetched { .. }), "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
    assert!(!server.requests().iter().any(|(_, uri)| uri == "/fine"));
}

#[tokio::test]
async fn a_list_is_fetched_once_for_all_certificates_of_a_run() {
    let (ca, lists) = (Ca::new("CA"), Lists::start().await);
    let url = lists.serve("/1.crl", ca.list(List::with(&[7], None)));
    let missing = lists.server.text_url("/missing.crl");
    let checker = lists.checker();
    let certificates: Vec<_> = (1..=20).map(|serial| ca.issue(&[serial], &[&url])).collect();
    let checks = certificates.iter().map(|certificate| checker.check(certificate, &ca.certificate, testkit::now()));
    let revoked: Vec<_> = futures_util::future::join_all(checks)
        .await
        .into_iter()
        .enumerate()
        .filter(|(_, answer)| matches!(answer.as_ref().unwrap().status, RevocationStatus::Revoked { .. }))
        .map(|(at, _)| at)
        .collect();
    assert_eq!((revoked, lists.server.requests().len()), (vec![6], 1));
    // One that is not there is not asked for again either; another copy does.
    for _ in 0..3 {
        assert!(checker.check(&ca.issue(&[1], &[&missing]), &ca.certificate, testkit::now()).await.is_err());
        let answer = checker.check(&ca.issue(&[1], &[&missing, &url]), &ca.certificate, testkit::now()).await.unwrap();
        assert_eq!(answer.status, RevocationStatus::Good);
    }
    assert_eq!(lists.server.requests().len(), 2);
}

#[tokio::test]
async fn a_server_of_lists_that_is_not_there_costs_one_timeout() {
    let ca = Ca::new("CA");
    let silent = Server::start(Speaks::Plain, |_| std::future::pending::<Answer>()).await;
    let checker = RevocationChecker::new(&silent.settings(), CrlReach::Loopback).unwrap();
    for part in 0..50 {
        let certificate = ca.issue(SERIAL, &[&silent.text_url(&format!("/{part}.crl"))]);
        let error = checker.check(&certificate, &ca.certificate, testkit::now()).await.unwrap_err();
        assert!(error.to_string().contains(&format!("/{part}.crl was not had: no answer within 3 s")), "{error}");
        assert_eq!(hours_until(error.next_try(9, testkit::now())), 6);
    }
    assert_eq!(silent.requests().len(), 1);
}

#[tokio::test]
async fn a_certificate_does_not_lead_us_to_this_machine() {
    let (ca, lists) = (Ca::new("CA"), Lists::start().await);
    let url = lists.serve("/1.crl", ca.list(List::new()));
    let checker = RevocationChecker::new(&lists.server.settings(), CrlReach::PublicOnly).unwrap();
    for url in
        [&url, "http://localhost/x", "http://169.254.169.254/latest", "http://10.0.0.7/x", "http://ca.example:22/x"]
    {
        let error = checker.check(&ca.issue(SERIAL, &[url]), &ca.certificate, testkit::now()).await.unwrap_err();
        assert!(matches!(error, RevocationError::Url(_)), "{error}");
    }
    assert_eq!(lists.server.connections(), 0);
}

#[tokio::test]
async fn lists_come_by_https_and_through_the_owners_proxy() {
    let (ca, lists) = (Ca::new("CA"), Lists::speaking(Speaks::Http1).await);
    let url = lists.serve("/1.crl", ca.list(List::with(SERIAL, None)));
    let answer = lists.checker().check(&ca.issue(SERIAL, &[&url]), &ca.certificate, testkit::now()).await.unwrap();
    assert!(matches!(answer.status, RevocationStatus::Revoked { .. }));
    // A server that nobody vouches for: plain http is enough for a list, but https that is wrong is wrong.
    let checker = RevocationChecker::new(&TransportSettings::new(), CrlReach::Loopback).unwrap();
    let error = checker.check(&ca.issue(SERIAL, &[&url]), &ca.certificate, testkit::now()).await.unwrap_err();
    assert!(error.to_string().contains("TLS: the server's certificate"), "{error}");

    let lists = Lists::start().await;
    lists.serve("/1.crl", ca.list(List::with(SERIAL, None)));
    let (address, heads) = proxy(lists.server.address).await;
    let mut settings = lists.server.settings();
    settings.http_proxy = Some(format!("http://Aladdin:open%20sesame@{address}"));
    let checker = RevocationChecker::new(&settings, CrlReach::PublicOnly).unwrap();
    let certificate = ca.issue(SERIAL, &["http://c.ca.example/1.crl"]);
    let answer = checker.check(&certificate, &ca.certificate, testkit::now()).await.unwrap();
    assert!(matches!(answer.status, RevocationStatus::Revoked { .. }));
    let head = heads.lock().unwrap().pop_front().unwrap();
    assert!(head.starts_with("GET http://c.ca.example/1.crl HTTP/1.1\r\n"), "{head}");
    assert!(
        head.to_ascii_lowercase().contains("\r\nproxy-authorization: basic qwxhzgrpbjpvcgvuihnlc2ftzq==\r\n"),
        "{head}"
    );
}

#[tokio::test]
async fn a_list_of_ten_megabytes_is_no_trouble() {
    let (ca, lists) = (Ca::new("CA"), Lists::start().await);
    let serial = |number: u32| [&[0x40; 12][..], &number.to_be_bytes()].concat();
    // Backwards, as no CA sorts them.
    let revoked = (0..120_000).rev().map(|number| (serial(number), Some(RevocationReason::Superseded))).collect();
    let body = ca.list(List { revoked, ..List::new() });
    assert!(body.len() > 8 * 1024 * 1024, "{}", body.len());
    let url = lists.serve("/1.crl", body);
    let mut settings = lists.server.settings();
    settings.timeout = Duration::from_secs(60);
    let checker = RevocationChecker::new(&settings, CrlReach::Loopback).unwrap();
    for (number, revoked) in [(0, true), (77_777, true), (119_999, true), (120_000, false)] {
        let certificate = ca.issue(&serial(number), &[&url]);
        let answer = checker.check(&certificate, &ca.certificate, testkit::now()).await.unwrap();
        assert_eq!(matches!(answer.status, RevocationStatus::Revoked { .. }), revoked, "{number}");
    }
}
