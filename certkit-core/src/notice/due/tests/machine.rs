//! What concerns more than one certificate.

use super::*;

#[test]
fn a_hundred_certificates_with_one_cause_are_one_group_and_other_causes_are_others() {
    let mut memory = NoticeMemory::default();
    let now = 62 * DAY;
    let names: Vec<&'static str> = (0..100).map(|number| &*format!("n{number}.example").leak()).collect();
    let down = |name| Case::of(90 * DAY).named(name).fails(61 * DAY, network()).fails(now - 1, network());
    let mut summaries: Vec<Summary> = names.iter().map(|name| down(name).summary(now)).collect();
    summaries.push(Case::of(90 * DAY).named("dns.example").fails(now, dns("a.example")).summary(now));
    // The worst comes first, whatever its group.
    summaries.push(Case::of(66 * DAY).named("near.example").fails(61 * DAY, network()).summary(now));
    let outlook = Outlook::default();
    let notices = due_notices(&NoticeFacts::new(&summaries, &[], &outlook, at(now)), &memory);
    assert_eq!(notices[0].certificate, "near.example");
    let groups = group_notices(notices.clone());
    let shape: Vec<_> = groups.iter().map(|NoticeGroup { level, notices, .. }| (*level, notices.len())).collect();
    assert_eq!(shape, [(Critical, 101), (Warning, 1)]);
    tell(&mut memory, &notices, now);
    let over = due_notices(&NoticeFacts::new(&[], &[], &outlook, at(now + 1)), &memory);
    assert_eq!(group_notices(over).len(), 1, "good news comes in one message");
}

#[test]
fn what_concerns_the_machine_is_told_once_and_its_end_too() {
    let outlook = Outlook::default();
    let unusable = Finding::new(FindingCode::SettingsUnusable, "certkit/settings.toml", "line 2: nobody knows `x`");
    let ignored = Finding::new(FindingCode::PrivateKeyReadable, "a.example", "");
    let mut memory = NoticeMemory::default();
    let findings = [unusable, ignored];
    let facts = |hours| NoticeFacts::new(&[], &findings, &outlook, at(hours));
    let notices = due_notices(&facts(0), &memory);
    assert_eq!(notices.len(), 1);
    assert_eq!((notices[0].kind, notices[0].level), (NoticeKind::Machine, Critical));
    assert_eq!(notices[0].command, "certkit config check");
    tell(&mut memory, &notices, 0);
    assert_eq!(due_notices(&facts(12), &memory), []);
    assert_eq!(due_notices(&facts(24), &memory)[0].reminder, 1);
    let over = due_notices(&NoticeFacts::new(&[], &[], &outlook, at(25)), &memory);
    assert_eq!((over[0].kind, over[0].incident.as_str()), (Recovered, "machine/settings-unusable"));
}

#[test]
fn whatever_is_wrong_with_the_store_is_one_trouble_that_another_cause_makes_news_of() {
    let outlook = Outlook::default();
    let mut memory = NoticeMemory::default();
    let told = |code, hours, memory: &NoticeMemory| {
        let findings = [Finding::new(code, "/etc/letsencrypt", "cannot write x")];
        due_notices(&NoticeFacts::new(&[], &findings, &outlook, at(hours)), memory)
    };
    let full = told(FindingCode::StoreFull, 0, &memory);
    assert_eq!((full[0].level, full[0].command.as_str()), (Critical, "df -h /etc/letsencrypt"));
    assert!(full[0].is_about_the_store());
    tell(&mut memory, &full, 0);
    assert_eq!(told(FindingCode::StoreFull, 1, &memory), []);
    let failing = told(FindingCode::StoreReadOnly, 2, &memory);
    assert_eq!((failing[0].incident.as_str(), failing[0].reminder), ("machine/store", 0));
    tell(&mut memory, &failing, 2);
    let over = due_notices(&NoticeFacts::new(&[], &[], &outlook, at(49)), &memory);
    assert_eq!((over.len(), over[0].kind), (1, Recovered));
    let since = "; it was told first on 2027-01-15 08:00 UTC, 2 days ago";
    assert!(over[0].cause.starts_with("certkit can work with its store") && over[0].cause.ends_with(since), "{over:?}");
}

#[test]
fn reminders_of_a_store_that_fails_come_more_often_towards_the_end_of_a_certificate() {
    let case = Case::of(90 * DAY);
    let findings = [Finding::new(FindingCode::StoreReadOnly, "/etc/letsencrypt", "")];
    let mut told = Vec::new();
    let mut memory = NoticeMemory::default();
    for hours in 86 * DAY..90 * DAY {
        let summaries = [case.summary(hours)];
        let notices = due_notices(&NoticeFacts::new(&summaries, &findings, &case.outlook, at(hours)), &memory);
        tell(&mut memory, &notices, hours);
        told.extend(notices.iter().any(Notice::is_about_the_store).then_some(90 * DAY - hours));
    }
    let pauses: Vec<i64> = told.windows(2).map(|pair| pair[0] - pair[1]).collect();
    assert!(pauses[0] == 18 && pauses.is_sorted_by(|one, other| one >= other) && pauses.ends_with(&[2, 2]), "{told:?}");
}

#[test]
fn a_damaged_memory_is_told_and_its_end_is_not() {
    let outlook = Outlook::default();
    let mut memory = NoticeMemory::default();
    let damaged = [Finding::new(FindingCode::StateDamaged, "certkit/state/common/ledger.json", "EOF")];
    let notices = due_notices(&NoticeFacts::new(&[], &damaged, &outlook, at(0)), &memory);
    assert_eq!(notices[0].level, Warning);
    tell(&mut memory, &notices, 0);
    assert_eq!(due_notices(&NoticeFacts::new(&[], &[], &outlook, at(1)), &memory), []);
    memory.prune(at(8 * DAY));
    assert_eq!(memory, NoticeMemory::default());
}

#[test]
fn runs_that_are_too_rare_for_a_certificate_are_told_once_for_all() {
    let mut one = Case::of(160);
    one.outlook = Outlook::new(Default::default(), Cadence::every(TimeDelta::days(7)));
    let other = Case { name: "b.example", outlook: one.outlook.clone(), ..Case::of(160) };
    let summaries = [one.summary(10), other.summary(10)];
    let notices = due_notices(&NoticeFacts::new(&summaries, &[], &one.outlook, at(10)), &NoticeMemory::default());
    assert_eq!(notices.len(), 1);
    assert_eq!((notices[0].kind, notices[0].command.as_str()), (NoticeKind::Machine, "certkit timer show"));
    assert!(notices[0].cause.contains("a.example") && notices[0].cause.contains("b.example"), "{}", notices[0].cause);
}

#[test]
fn the_history_tells_more_than_the_state() {
    use crate::state::RecordedEvent;

    let case = Case::of(90 * DAY).fails(61 * DAY, dns("a.example"));
    let mut notice = case.due(61 * DAY, &NoticeMemory::default()).remove(0);
    assert_eq!(notice.attempts.len(), 1);
    assert_eq!(notice.attempts[0].what, "failed: the CA could not validate the names (a.example: dns)");
    let failed = |hours, detail: &str| {
        let failure = Failure::new(FailureClass::ChallengeFailed, detail);
        RecordedEvent::new(at(hours), Event::AttemptFailed { failure })
    };
    let mut history: Vec<_> = (0..9).map(|hours| failed(hours, &format!("try {hours}\x1b"))).collect();
    history.push(RecordedEvent::new(at(9), Event::Authorized));
    notice.take_history(&history);
    assert_eq!(notice.attempts.len(), 5);
    assert_eq!(notice.attempts[4].what, "failed: try 8\\u{1b}");
    let cause = "the CA could not validate the names (a.example: dns): try 8\\u{1b}";
    assert_eq!(notice.cause, cause, "what was met last, in plain words");
    notice.take_history(&[]);
    assert_eq!(notice.attempts.len(), 5);
}

#[test]
fn a_memory_survives_being_stored_and_does_not_grow_without_bound() {
    let mut notice =
        Case::of(90 * DAY).fails(61 * DAY, dns("a.example")).due(61 * DAY, &NoticeMemory::default()).remove(0);
    notice.causes = (0..1000).map(|number| format!("cause {number}")).collect();
    let mut memory = NoticeMemory::default();
    memory.told(&notice, at(61 * DAY));
    assert_eq!(memory.of("renewal/a.example").unwrap().causes.len(), 256);
    let text = serde_json::to_string(&memory).unwrap();
    assert_eq!(serde_json::from_str::<NoticeMemory>(&text).unwrap(), memory);
    assert_eq!(serde_json::from_str::<NoticeMemory>("{}").unwrap(), NoticeMemory::default());
}

#[test]
fn the_level_is_that_of_the_worst() {
    let case = Case::of(90 * DAY).served(endpoint("settings", serde_json::json!({"kind": "foreign"}), &[]));
    let level = |case: &Case, now| level_of(&case.summary(now), &case.outlook, at(now));
    assert_eq!(level(&case, DAY), Some((Critical, NotServed)));
    assert_eq!(level(&case, 88 * DAY), Some((Emergency, Expiring)));
    assert_eq!(level(&Case::of(90 * DAY), DAY), None);
}
