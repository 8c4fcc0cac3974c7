//! What stands at `_acme-challenge` before a validation by DNS.

use certkit_acme::doctor::{Check, Examined, check_challenge_records};
use certkit_core::{FindingCode, Severity};
use testkit::{Data, Fault, NameServer};

use super::{assert_fine, because, name, name_server, only, resolver};

async fn look(server: &NameServer) -> Vec<Examined> {
    check_challenge_records(&resolver(server), &name("*.a.example")).await
}

fn leave(server: &NameServer, records: usize) {
    for record in 0..records {
        server.add("_acme-challenge.a.example", Data::Txt(format!("{record:043}")));
    }
}

#[tokio::test]
async fn nothing_there_is_as_it_should_be() {
    assert_fine(&look(&name_server()).await);
}

#[tokio::test]
async fn records_that_are_left_are_counted() {
    let server = name_server();
    leave(&server, 1);
    let examined = look(&server).await;
    let finding = only(&examined, FindingCode::ChallengeRecordsLeft);
    assert_eq!((finding.evidence.as_str(), finding.severity), ("1 record", Severity::Notice));
    assert_eq!(finding.subject, "_acme-challenge.a.example");
    // More than fits into one packet: by TCP.
    leave(&server, 60);
    let examined = look(&server).await;
    let finding = only(&examined, FindingCode::ChallengeRecordsLeft);
    assert_eq!((finding.evidence.as_str(), finding.severity), ("61 records", Severity::Warning));
}

#[tokio::test]
async fn an_alias_has_to_lead_into_a_domain_that_exists() {
    let server = name_server();
    server.add("_acme-challenge.a.example", Data::Cname("a.validation.example"));
    let examined = look(&server).await;
    let finding = only(&examined, FindingCode::ChallengeAliasBroken);
    assert!(finding.evidence.contains("a.validation.example, whose domain does not exist"), "{finding:?}");
    // The record itself comes with the validation.
    server.add_zone("validation.example", &["127.0.0.2"]);
    assert_fine(&look(&server).await);
    server.add("a.validation.example", Data::Txt("left".into()));
    only(&look(&server).await, FindingCode::ChallengeRecordsLeft);
}

#[tokio::test]
async fn an_alias_into_a_zone_that_does_not_answer_is_broken() {
    let server = name_server();
    server.add("_acme-challenge.a.example", Data::Cname("a.validation.example"));
    server.add_zone("validation.example", &["127.0.0.2"]);
    server.fail("127.0.0.1", Some("_acme-challenge.a.example"), Some(testkit::RecordKind::TXT), Fault::ServFail);
    let examined = look(&server).await;
    let finding = only(&examined, FindingCode::ChallengeAliasBroken);
    assert!(finding.evidence.contains("a.validation.example, for which the resolver answers SERVFAIL"), "{finding:?}");
    server.mend();
    server.remove("_acme-challenge.a.example");
    server.fail("127.0.0.1", Some("a.example"), None, Fault::ServFail);
    only(&look(&server).await, FindingCode::NameUnanswered);
    server.mend();
    server.fail("127.0.0.1", Some("a.example"), None, Fault::Bogus);
    only(&look(&server).await, FindingCode::DnssecBroken);
}

#[tokio::test]
async fn without_a_resolver_nothing_is_said_of_the_records() {
    let server = name_server();
    server.fail("127.0.0.1", None, None, Fault::Silent);
    because(&look(&server).await, Check::ChallengeRecords);
}
