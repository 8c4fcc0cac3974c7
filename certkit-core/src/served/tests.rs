use chrono::TimeDelta;

use super::*;
use crate::certificate::sample::Sample;
use crate::der;
use crate::state::EndpointMemory;
use crate::{Endpoint, LineageName, Severity};

fn now() -> DateTime<Utc> {
    // Samples are valid from 2026-01-01 to 2026-04-01.
    "2026-02-01T00:00:00Z".parse().unwrap()
}

fn leaf(serial: u8) -> Certificate {
    let mut sample = Sample::new("a.example", "Intermediate").names(&[(2, b"a.example"), (2, b"*.w.example")]);
    sample.serial = vec![serial];
    sample.certificate()
}

fn ca(subject: &str, issuer: &str) -> Certificate {
    Sample::new(subject, issuer).certificate()
}

/// Versions 1 and 2, of which 2 is in use.
fn stored() -> StoredVersions {
    let chain = |serial| Chain::new(leaf(serial), vec![ca("Intermediate", "Root")]);
    StoredVersions::new(Some(Version(2)), vec![(Version(1), chain(1)), (Version(2), chain(2))])
}

fn observed(certificates: Vec<Certificate>) -> Observed {
    Observed::new("127.0.0.2:443".parse().unwrap(), "a.example", certificates)
}

fn unknown_issuer() -> Result<(), Distrust> {
    Err(Distrust::new(DistrustCause::UnknownIssuer, "unknown issuer"))
}

#[track_caller]
fn compared(observed: &Observed, leaf: ServedLeaf, troubles: &[ServedTrouble]) {
    let memory = compare(observed, &stored(), now());
    assert_eq!((memory.leaf, memory.troubles.as_slice()), (leaf, troubles));
}

#[test]
fn the_leaf_is_told_from_its_predecessors_and_from_others() {
    let chain = |serial| vec![leaf(serial), ca("Intermediate", "Root")];
    compared(&observed(chain(2)), ServedLeaf::Same, &[]);
    compared(&observed(chain(1)), ServedLeaf::Older { version: Version(1) }, &[]);
    compared(&observed(chain(3)), ServedLeaf::Foreign, &[]);
    compared(&observed(Vec::new()), ServedLeaf::Unreachable, &[]);
    let memory = compare(&observed(chain(2)), &stored(), now());
    assert_eq!(
        (memory.serial.as_deref(), memory.not_after),
        (Some("2"), Some("2026-04-01T00:00:00Z".parse().unwrap()))
    );
}

#[test]
fn a_version_that_was_made_live_again_is_the_one_in_use() {
    let chain = Chain::new(leaf(1), vec![ca("Intermediate", "Root")]);
    let stored = StoredVersions::new(Some(Version(3)), vec![(Version(1), chain.clone()), (Version(3), chain)]);
    let memory = compare(&observed(vec![leaf(1), ca("Intermediate", "Root")]), &stored, now());
    assert_eq!(memory.leaf, ServedLeaf::Same);
}

#[test]
fn a_missing_intermediate_is_one_only_where_clients_need_it() {
    let mut bare = observed(vec![leaf(2)]);
    bare.trust = unknown_issuer();
    compared(&bare, ServedLeaf::Same, &[ServedTrouble::IncompleteChain, ServedTrouble::UntrustedNow]);
    // Clients that find another way do not need it, and then it is only another chain.
    bare.trust = Ok(());
    compared(&bare, ServedLeaf::Same, &[ServedTrouble::OtherChain]);
    let mut foreign = observed(vec![leaf(9)]);
    foreign.trust = unknown_issuer();
    compared(&foreign, ServedLeaf::Foreign, &[ServedTrouble::IncompleteChain, ServedTrouble::UntrustedNow]);
}

#[test]
fn a_root_that_is_not_known_here_is_no_trouble_of_the_server() {
    let mut private = observed(vec![leaf(2), ca("Intermediate", "Root")]);
    private.trust = unknown_issuer();
    private.trust_at_not_after = unknown_issuer();
    compared(&private, ServedLeaf::Same, &[ServedTrouble::UnknownAuthority]);
    private.certificates.push(ca("Root", "Root"));
    compared(&private, ServedLeaf::Same, &[ServedTrouble::UnknownAuthority]);
    // A CA that everybody knows has to be known here: clients may refuse what it gave.
    let public = stored().issued_by(IssuerKind::Public);
    assert_eq!(compare(&private, &public, now()).troubles, [ServedTrouble::UntrustedNow]);
    private.trust = Err(Distrust::new(DistrustCause::Other, "bad signature"));
    compared(&private, ServedLeaf::Same, &[ServedTrouble::UntrustedNow]);
}

#[test]
fn what_is_not_known_of_a_ca_of_ones_own_is_no_finding_of_a_run() {
    let mut private = observed(vec![leaf(2), ca("Intermediate", "Root")]);
    private.trust = unknown_issuer();
    let answers = vec![compare(&private, &stored(), now())];
    let endpoint = Endpoint::new("a.example", 443);
    let memory = EndpointMemory::looked(endpoint, answers, Some(Version(2)), None, now());
    assert!(memory.is_of_unknown_authority() && memory.findings(&"a.example".parse().unwrap()).is_empty());
    assert!(ServedTrouble::UnknownAuthority.cure().contains("ca_bundles"));
}

#[test]
fn the_order_counts_and_extras_at_the_end_do_not() {
    let int = || ca("Intermediate", "Root");
    compared(&observed(vec![leaf(2), ca("Root", "Root"), int()]), ServedLeaf::Same, &[ServedTrouble::WrongOrder]);
    // cert.pem and fullchain.pem one after the other.
    compared(&observed(vec![leaf(2), leaf(2), int()]), ServedLeaf::Same, &[ServedTrouble::WrongOrder]);
    compared(&observed(vec![leaf(2), int(), ca("Else", "Other")]), ServedLeaf::Same, &[ServedTrouble::OtherChain]);
    compared(
        &observed(vec![leaf(2), ca("Intermediate", "Other root")]),
        ServedLeaf::Same,
        &[ServedTrouble::OtherChain],
    );
}

#[test]
fn times_and_names_are_judged_at_the_instant_that_is_given() {
    let good = || observed(vec![leaf(2), ca("Intermediate", "Root")]);
    let mut expired = good();
    expired.trust = Err(Distrust::new(DistrustCause::Expired, "expired"));
    let later = now() + TimeDelta::days(90);
    assert_eq!(compare(&expired, &stored(), later).troubles, [ServedTrouble::Expired]);
    // An issuer that is expired already, and one that will be.
    compared(&expired, ServedLeaf::Same, &[ServedTrouble::UntrustedNow]);
    let mut soon = good();
    soon.trust_at_not_after = Err(Distrust::new(DistrustCause::Expired, "an issuer is expired"));
    compared(&soon, ServedLeaf::Same, &[ServedTrouble::UntrustedAtNotAfter]);
    for (asked, troubles) in [
        ("A.example", &[][..]),
        ("x.w.example", &[]),
        ("b.example", &[ServedTrouble::NameMismatch]),
        ("x.y.w.example", &[ServedTrouble::NameMismatch]),
        ("192.0.2.1", &[ServedTrouble::NameMismatch]),
    ] {
        let mut other = good();
        other.asked = asked.into();
        compared(&other, ServedLeaf::Same, troubles);
    }
    let mut without = good();
    without.without_name = Some(leaf(7));
    compared(&without, ServedLeaf::Same, &[ServedTrouble::OtherWithoutSni]);
    without.without_name = Some(leaf(2));
    compared(&without, ServedLeaf::Same, &[]);
}

#[test]
fn no_certificate_however_odd_makes_it_panic() {
    let mut odd = Sample::new("x", "x").names(&[(2, b"\xff\xfe"), (7, b"123")]);
    odd.times = [(der::UTC_TIME, "260401000000Z"), (der::UTC_TIME, "260101000000Z")];
    let odd = odd.certificate();
    let memory = compare(&observed(vec![odd.clone(), odd.clone(), leaf(1), odd]), &stored(), now());
    assert_eq!(memory.leaf, ServedLeaf::Foreign);
}

#[test]
fn what_is_told_names_the_address_and_both_versions() {
    let name = LineageName::new("a.example").unwrap();
    let endpoint = Endpoint::new("a.example", 443);
    let of = |serial: u8| {
        let answer = compare(&observed(vec![leaf(serial), ca("Intermediate", "Root")]), &stored(), now());
        EndpointMemory::looked(endpoint.clone(), vec![answer], Some(Version(2)), None, now())
    };
    let finding = &of(1).findings(&name)[0];
    assert_eq!(
        finding.what(),
        "the certificate in use is not served: a.example:443 at 127.0.0.2:443 still serves version 1 (expires 2026-04-01), not version 2"
    );
    assert_eq!(finding.severity, Severity::Error);
    let foreign = of(9).findings(&name)[0].what();
    assert!(
        foreign.ends_with("serves another certificate (serial number 9, expires 2026-04-01), not version 2"),
        "{foreign}"
    );
    assert!(of(2).findings(&name).is_empty());
}

#[test]
fn a_default_endpoint_counts_once_it_has_served_ours() {
    let look = |serial: u8, before: Option<&EndpointMemory>| {
        let answer = compare(&observed(vec![leaf(serial), ca("Intermediate", "Root")]), &stored(), now());
        EndpointMemory::looked(Endpoint::default_of("a.example"), vec![answer], Some(Version(2)), before, now())
    };
    let behind_a_cdn = look(9, None);
    assert!(!behind_a_cdn.counts() && behind_a_cdn.retry().is_none());
    assert!(
        !behind_a_cdn.look_is_due(now() + TimeDelta::hours(4)) && behind_a_cdn.look_is_due(now() + TimeDelta::hours(5))
    );
    let ours = look(1, Some(&behind_a_cdn));
    assert!(ours.counts() && ours.look_is_due(now()) && ours.misses == 1);
    let away = look(9, Some(&ours));
    assert!(away.counts() && away.misses == 2);
    assert_eq!(away.retry(), Some(now() + TimeDelta::minutes(10)));
    assert!(away.findings(&LineageName::new("a.example").unwrap())[0].cure().contains("default_endpoints = false"));
    let well = look(2, Some(&away));
    assert!(well.misses == 0 && well.retry().is_none() && !well.look_is_due(now()));
}

#[test]
fn what_follows_from_a_missing_intermediate_is_not_told_besides() {
    let mut bare = observed(vec![leaf(2)]);
    bare.trust = unknown_issuer();
    let answer = compare(&bare, &stored(), now());
    assert_eq!(answer.told_troubles().collect::<Vec<_>>(), [ServedTrouble::IncompleteChain]);
    let endpoint = Endpoint::new("a.example", 443);
    let memory = EndpointMemory::looked(endpoint, vec![answer], Some(Version(2)), None, now());
    let findings = memory.findings(&LineageName::new("a.example").unwrap());
    assert_eq!(findings.len(), 1);
    assert!(findings[0].cure().contains("fullchain.pem"), "{}", findings[0].cure());
}

#[test]
fn the_cure_of_what_cannot_be_reached_has_the_exact_command() {
    let of = |endpoint: Endpoint| {
        let answer = AddressMemory::unreachable(None, "refused");
        let memory = EndpointMemory::looked(endpoint, vec![answer], Some(Version(2)), None, now());
        memory.findings(&LineageName::new("a.example").unwrap())[0].cure().to_owned()
    };
    let mail = Endpoint::new("mail.example", 25).speaking(crate::EndpointProtocol::Smtp);
    assert!(of(mail).contains("`certkit inspect mail.example:25 --starttls smtp`"));
    assert!(of(Endpoint::new("2001:db8::1", 443)).contains("`certkit inspect '[2001:db8::1]:443'`"));
}
