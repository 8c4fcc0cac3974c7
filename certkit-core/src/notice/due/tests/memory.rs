//! What was told, and is not told again.

use super::*;

#[test]
fn the_same_state_is_never_told_twice_and_reminders_come_faster_towards_the_end() {
    for lifetime in LIFETIMES {
        let due = lifetime - left_when_due(lifetime);
        let mut case = Case::of(lifetime);
        let mut memory = NoticeMemory::default();
        let mut told: Vec<(i64, Notice)> = Vec::new();
        for now in due..lifetime {
            case = case.fails(now, dns("a.example"));
            let notices = case.due(now, &memory);
            assert_eq!(case.due(now, &memory), notices, "the same facts give the same");
            tell(&mut memory, &notices, now);
            assert_eq!(case.due(now, &memory), [], "told is told");
            told.extend(notices.into_iter().map(|notice| (now, notice)));
        }
        let mut keys: Vec<_> = told.iter().map(|(_, notice)| (notice.key.clone(), notice.reminder)).collect();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), told.len());
        let first = |level| told.iter().find(|(_, notice)| notice.level == level).unwrap().0;
        assert_eq!(first(Warning), due);
        assert_eq!(first(Critical), lifetime - lifetime / 8);
        assert_eq!(first(Emergency), lifetime - lifetime / 20);
        // From one reminder to the next, those that a new level interrupted left out.
        let pauses: Vec<i64> = told
            .windows(2)
            .filter(|pair| pair[0].1.level == pair[1].1.level)
            .map(|pair| pair[1].0 - pair[0].0)
            .collect();
        assert!(pauses.is_sorted_by(|one, other| one + 1 >= *other), "{lifetime}: {pauses:?}");
        assert!(told.len() >= 8 && told.len() <= 60, "{lifetime}: {}", told.len());
    }
}

#[test]
fn another_cause_is_news_and_one_that_was_told_is_not() {
    let due = 60 * DAY + 1;
    let mut memory = NoticeMemory::default();
    let case = Case::of(90 * DAY).fails(due, dns("a.example"));
    let notices = case.due(due, &memory);
    tell(&mut memory, &notices, due);
    let other = case.fails(due + 1, dns("www.a.example"));
    let notices = other.due(due + 1, &memory);
    assert_eq!(notices[0].failing, [("www.a.example".to_owned(), "dns".to_owned())]);
    tell(&mut memory, &notices, due + 1);
    let first_again = other.fails(due + 2, dns("a.example"));
    assert_eq!(first_again.due(due + 2, &memory), []);
}

#[test]
fn that_it_is_over_is_told_once_and_only_of_what_was_told() {
    let due = 60 * DAY + 1;
    let failing = Case::of(90 * DAY).fails(due, dns("a.example"));
    let renewed = Case::of(150 * DAY).committed(due + 5, 2, Vec::new());
    let mut memory = NoticeMemory::default();
    assert_eq!(renewed.due(due + 5, &memory), [], "nothing was told");
    let notices = failing.due(due, &memory);
    tell(&mut memory, &notices, due);
    assert_eq!(memory.open().count(), 1);
    // Not told again, and not over: the CA is down now.
    let waits = Case::of(90 * DAY).fails(due + 2, network());
    assert_eq!(waits.due(due + 2, &memory), []);
    let notices = renewed.due(due + 5, &memory);
    assert_eq!((notices[0].kind, notices[0].level), (Recovered, Info));
    assert_eq!(notices[0].incident, "renewal/a.example");
    assert!(notices[0].cause.starts_with("it was renewed on 2027-03-16 "), "{}", notices[0].cause);
    assert_eq!(renewed.due(due + 5, &memory), notices, "nobody has taken it yet");
    tell(&mut memory, &notices, due + 5);
    assert_eq!(renewed.due(due + 6, &memory), []);
    assert_eq!(memory.open().count(), 0);
    memory.prune(at(due + 5 + 7 * DAY));
    assert_eq!(memory, NoticeMemory::default());
}

#[test]
fn what_is_served_now_so_now_so_is_told_in_the_rhythm_of_reminders() {
    let differs = Case::of(90 * DAY).served(endpoint("settings", serde_json::json!({"kind": "foreign"}), &[]));
    let well = Case::of(90 * DAY).served(endpoint("settings", serde_json::json!({"kind": "same"}), &[]));
    let mut memory = NoticeMemory::default();
    let mut told = Vec::new();
    for hour in 0..48 {
        let case = if hour % 2 == 0 { &differs } else { &well };
        let notices = case.due(hour, &memory);
        tell(&mut memory, &notices, hour);
        told.extend(notices.iter().map(|notice| (hour, notice.kind)));
    }
    assert_eq!(
        told,
        [(0, NotServed), (1, Recovered), (22, NotServed), (23, Recovered), (44, NotServed), (45, Recovered)]
    );
}

#[test]
fn an_unreachable_server_is_no_recovery() {
    let differs = Case::of(90 * DAY).served(endpoint("settings", serde_json::json!({"kind": "foreign"}), &[]));
    let silent = Case::of(90 * DAY).served(endpoint("settings", serde_json::json!({"kind": "unreachable"}), &[]));
    let mut memory = NoticeMemory::default();
    let notices = differs.due(0, &memory);
    tell(&mut memory, &notices, 0);
    assert_eq!(silent.due(1, &memory), []);
}

#[test]
fn what_is_gone_from_the_store_is_told_once() {
    let case = Case::of(90 * DAY).fails(61 * DAY, dns("a.example"));
    let mut memory = NoticeMemory::default();
    let notices = case.due(61 * DAY, &memory);
    tell(&mut memory, &notices, 61 * DAY);
    let facts = NoticeFacts::new(&[], &[], &case.outlook, at(62 * DAY));
    let notices = due_notices(&facts, &memory);
    assert_eq!((notices[0].kind, notices[0].certificate.as_str()), (Recovered, "a.example"));
    assert!(notices[0].cause.contains("no certificate of this name any more"));
    tell(&mut memory, &notices, 62 * DAY);
    assert_eq!(due_notices(&facts, &memory), []);
}

#[test]
fn a_clock_that_was_ahead_silences_nothing() {
    let case = Case::of(90 * DAY).fails(61 * DAY, dns("a.example"));
    let mut memory = NoticeMemory::default();
    for notice in case.due(61 * DAY, &memory) {
        memory.told(&notice, at(10_000 * DAY));
    }
    let notices = case.due(62 * DAY, &memory);
    assert_eq!((notices.len(), notices[0].reminder), (1, 1));
    tell(&mut memory, &notices, 62 * DAY);
    assert_eq!(case.due(62 * DAY + 1, &memory), []);
}
