//! CAA records that forbid, and servers that cannot say.

use certkit_acme::challenge::ChallengeKind;
use certkit_acme::doctor::{CaaQuestion, Check, Examined, check_caa};
use certkit_core::{AcmeUrl, FindingCode};
use testkit::{Data, Fault, NameServer, RecordKind};

use super::{assert_fine, because, name, name_server, only, resolver};

const ACCOUNT: &str = "https://ca.example/acct/1";

fn question(identities: &[&str], method: ChallengeKind) -> CaaQuestion {
    let url = |text| AcmeUrl::parse(text).unwrap();
    let identities = identities.iter().map(|&identity| identity.to_owned()).collect();
    CaaQuestion::new(url("https://ca.example/dir"), identities, Some(url(ACCOUNT)), method)
}

async fn look(server: &NameServer, host: &str) -> Vec<Examined> {
    check_caa(&resolver(server), &name(host), &[question(&["ca.example"], ChallengeKind::Http01)]).await
}

fn with_records(owner: &str, records: &[(u8, &'static str, &str)]) -> NameServer {
    let server = name_server();
    server.add("www.a.example", Data::A("127.0.0.9"));
    set(&server, owner, records);
    server
}

fn set(server: &NameServer, owner: &str, records: &[(u8, &'static str, &str)]) {
    for (flags, tag, value) in records {
        server.add(owner, Data::Caa(*flags, tag, (*value).to_owned()));
    }
}

#[tokio::test]
async fn no_records_and_records_that_permit_are_silent() {
    assert_fine(&look(&with_records("a.example", &[]), "www.a.example").await);
    for records in [
        &[(0, "issue", "CA.example")][..],
        &[(0, "issue", "other.example"), (128, "issue", "ca.example; accounturi=https://ca.example/acct/1")],
        &[(0, "issue", "ca.example; validationmethods=dns-01,http-01")],
        &[(0, "iodef", "mailto:a@a.example"), (0, "issuemail", ";")],
        &[(0, "issue", "ca.example"), (0, "issuewild", ";")],
        &[(0, "tbs", "not critical")],
    ] {
        assert_fine(&look(&with_records("a.example", records), "www.a.example").await);
    }
}

#[tokio::test]
async fn records_above_the_name_forbid_it_too() {
    let server = with_records("a.example", &[(0, "issue", "other.example")]);
    let examined = look(&server, "www.a.example").await;
    let finding = only(&examined, FindingCode::CaaForbids);
    assert!(finding.evidence.contains("a.example has issue \"other.example\""), "{finding:?}");
    assert!(finding.cure().contains("a.example. CAA 0 issue \"ca.example\""), "{finding:?}");
    // The name's own records come before those above it.
    set(&server, "www.a.example", &[(0, "issue", "ca.example")]);
    assert_fine(&look(&server, "www.a.example").await);
}

#[tokio::test]
async fn a_wildcard_goes_by_issuewild() {
    let server = with_records("a.example", &[(0, "issue", "ca.example"), (0, "issuewild", ";")]);
    let examined = look(&server, "*.a.example").await;
    let finding = only(&examined, FindingCode::CaaForbids);
    assert!(finding.cure().contains("CAA 0 issuewild \"ca.example\""), "{finding:?}");
    assert_fine(&look(&server, "a.example").await);
}

#[tokio::test]
async fn the_account_and_the_method_are_compared() {
    let server = with_records("a.example", &[(0, "issue", "ca.example; accounturi=https://ca.example/acct/2")]);
    let examined = look(&server, "www.a.example").await;
    let finding = only(&examined, FindingCode::CaaAccountOther);
    assert!(finding.evidence.contains("the account is https://ca.example/acct/1"), "{finding:?}");
    let record = "a.example. CAA 0 issue \"ca.example; accounturi=https://ca.example/acct/1\"";
    assert!(finding.cure().contains(record), "{finding:?}");
    let server = with_records("a.example", &[(0, "issue", "ca.example; validationmethods=dns-01")]);
    let examined = look(&server, "www.a.example").await;
    let finding = only(&examined, FindingCode::CaaMethodForbidden);
    assert!(finding.evidence.starts_with("http-01 is used, and a.example has issue"), "{finding:?}");
    let record = "a.example. CAA 0 issue \"ca.example; validationmethods=dns-01,http-01\"";
    assert!(finding.cure().contains(record), "{finding:?}");
    // What else stands in the record is kept.
    let all = "ca.example; accounturi=https://ca.example/acct/2; validationmethods=dns-01; x=y";
    let examined = look(&with_records("a.example", &[(0, "issue", all)]), "www.a.example").await;
    let record = "\"ca.example; accounturi=https://ca.example/acct/1; validationmethods=dns-01,http-01; x=y\"";
    assert!(only(&examined, FindingCode::CaaAccountOther).cure().contains(record), "{examined:?}");
    let by_dns = question(&["ca.example"], ChallengeKind::Dns01);
    assert_fine(&check_caa(&resolver(&server), &name("www.a.example"), &[by_dns]).await);
}

#[tokio::test]
async fn a_critical_tag_that_nobody_knows_forbids_every_ca() {
    let server = with_records("a.example", &[(0, "issue", "ca.example"), (128, "tbs", "x")]);
    let examined = look(&server, "www.a.example").await;
    assert!(only(&examined, FindingCode::CaaCriticalUnknown).evidence.contains("a.example CAA 128 tbs \"x\""));
}

#[tokio::test]
async fn a_ca_that_does_not_say_who_it_is_cannot_be_looked_for() {
    let server = with_records("a.example", &[(0, "issue", "other.example")]);
    let nameless = question(&[], ChallengeKind::Http01);
    let examined = check_caa(&resolver(&server), &name("www.a.example"), std::slice::from_ref(&nameless)).await;
    assert!(because(&examined, Check::Caa).contains("https://ca.example/dir"));
    // Without records everybody may, and with an empty one nobody.
    let server = with_records("a.example", &[]);
    assert_fine(&check_caa(&resolver(&server), &name("www.a.example"), std::slice::from_ref(&nameless)).await);
    set(&server, "a.example", &[(0, "issue", ";")]);
    let examined = check_caa(&resolver(&server), &name("www.a.example"), &[nameless]).await;
    only(&examined, FindingCode::CaaForbids);
}

#[tokio::test]
async fn a_question_that_fails_is_told_with_its_code_and_the_servers_at_fault() {
    let server = with_records("a.example", &[]);
    for (fault, says) in
        [(Fault::ServFail, "answers SERVFAIL"), (Fault::NotImp, "answers NOTIMP"), (Fault::Refused, "answers REFUSED")]
    {
        server.fail("127.0.0.1", Some("a.example"), Some(RecordKind::CAA), Fault::ServFail);
        for authoritative in ["127.0.0.3", "127.0.0.4"] {
            server.fail(authoritative, Some("a.example"), Some(RecordKind::CAA), fault);
        }
        let examined = look(&server, "www.a.example").await;
        let finding = only(&examined, FindingCode::CaaUnanswered);
        assert!(finding.evidence.contains("for www.a.example the resolver answers SERVFAIL"), "{finding:?}");
        assert!(finding.evidence.contains(&format!("ns1.a.example (127.0.0.3) {says}")), "{finding:?}");
        server.mend();
    }
    server.fail("127.0.0.1", Some("a.example"), Some(RecordKind::CAA), Fault::Silent);
    let examined = look(&server, "www.a.example").await;
    let finding = only(&examined, FindingCode::CaaUnanswered);
    assert!(finding.evidence.contains("no answer to a question for CAA records"), "{finding:?}");
    server.mend();
    server.fail("127.0.0.1", Some("a.example"), None, Fault::Bogus);
    only(&look(&server, "www.a.example").await, FindingCode::DnssecBroken);
    server.mend();
    assert_fine(&look(&server, "www.a.example").await);
}

#[tokio::test]
async fn one_server_that_cannot_answer_type_257_is_found_although_the_resolver_has_an_answer() {
    let server = with_records("a.example", &[]);
    server.fail("127.0.0.4", None, Some(RecordKind::CAA), Fault::NotImp);
    let examined = look(&server, "www.a.example").await;
    let finding = only(&examined, FindingCode::CaaServerFails);
    assert_eq!(finding.evidence, "ns2.a.example (127.0.0.4) answers NOTIMP");
    server.mend();
    // One that fails at everything is another matter, and told with the addresses.
    server.fail("127.0.0.4", None, None, Fault::Refused);
    assert_fine(&look(&server, "www.a.example").await);
}

#[tokio::test]
async fn without_a_resolver_nothing_is_said_of_the_records() {
    let server = with_records("a.example", &[(0, "issue", ";")]);
    server.fail("127.0.0.1", None, None, Fault::Silent);
    assert!(because(&look(&server, "www.a.example").await, Check::Caa).contains("does not answer"));
}
