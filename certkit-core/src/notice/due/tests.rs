use chrono::TimeDelta;

use super::*;
use crate::decision::{Cadence, RenewalWish};
use crate::state::{DeployTarget, EndpointMemory, Event, LineageState, OrderScope, RevocationMemory};
use crate::{
    AcmeUrl, Failure, FailureClass, FindingCode, IdentifierFailure, IdentifierSet, LineageName, NoticeGroup, Outlook,
    PlanInput, Problem, Retry, Validity, Version, decide, group_notices,
};

const DAY: i64 = 24;
/// 160 hours, 45, 64, 90 and 199 days.
const LIFETIMES: [i64; 5] = [160, 45 * DAY, 64 * DAY, 90 * DAY, 199 * DAY];

fn at(hours: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + hours * 3600, 0).unwrap()
}

/// A certificate from hour 0 on, and what is remembered of it.
struct Case {
    name: &'static str,
    lifetime: i64,
    wish: RenewalWish,
    state: LineageState,
    outlook: Outlook,
    serial: Option<String>,
}

impl Case {
    fn of(lifetime: i64) -> Self {
        let outlook = Outlook::new(Default::default(), Cadence::every(TimeDelta::hours(12)));
        let (wish, state) = (RenewalWish::default(), LineageState::default());
        Self { name: "a.example", lifetime, wish, state, outlook, serial: None }
    }

    fn named(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    fn apply(mut self, hours: i64, event: Event) -> Self {
        self.state.apply(&event, at(hours));
        self
    }

    fn fails(self, hours: i64, failure: Failure) -> Self {
        let directory = AcmeUrl::parse("https://ca.example/dir").unwrap();
        self.apply(hours, Event::AttemptStarted { because: "third-of-lifetime".into(), directory })
            .apply(hours, Event::AttemptFailed { failure })
    }

    fn committed(self, hours: i64, version: u32, targets: Vec<DeployTarget>) -> Self {
        let event = Event::Committed {
            version: Version(version),
            not_after: at(self.lifetime),
            directory: None,
            targets,
            profile: None,
            left_out: IdentifierSet::default(),
        };
        self.apply(hours, event)
    }

    fn deploy_fails(self, hours: i64, version: u32, target: &DeployTarget) -> Self {
        let failure = Failure::new(FailureClass::Hook, "status 1");
        self.apply(hours, Event::DeployFailed { target: target.clone(), version: Version(version), failure })
    }

    fn served(mut self, endpoints: serde_json::Value) -> Self {
        self.state.served = serde_json::from_value::<Vec<EndpointMemory>>(endpoints).unwrap();
        self
    }

    fn ran(mut self, hours: i64) -> Self {
        self.outlook.ledger.run_began(at(hours));
        self
    }

    fn summary(&self, now: i64) -> Summary {
        let validity = Validity { not_before: at(0), not_after: at(self.lifetime) };
        let name = LineageName::new(self.name).unwrap();
        let mut input = PlanInput::new(name, Some(validity), self.wish.clone()).remembering(self.state.clone());
        input.serial.clone_from(&self.serial);
        let entry = decide(&input, &self.outlook.ledger, &self.outlook, at(now));
        let mut summary = Summary::of(entry, input, at(now));
        summary.identifiers = ["a.example", "www.a.example"].map(|name| name.parse().unwrap()).into_iter().collect();
        summary
    }

    fn due(&self, now: i64, memory: &NoticeMemory) -> Vec<Notice> {
        due_notices(&NoticeFacts::new(&[self.summary(now)], &[], &self.outlook, at(now)), memory)
    }

    /// What is told when nothing was told before.
    fn said(&self, now: i64) -> Vec<(NoticeKind, NoticeLevel)> {
        self.due(now, &NoticeMemory::default()).iter().map(|notice| (notice.kind, notice.level)).collect()
    }
}

fn network() -> Failure {
    Failure::new(FailureClass::Network, "connection refused")
}

fn dns(name: &str) -> Failure {
    let failure = IdentifierFailure::new(name.parse().unwrap(), Problem::new("dns", "NXDOMAIN"));
    Failure::new(FailureClass::ChallengeFailed, "names failed").with_identifiers(vec![failure])
}

/// An endpoint of the settings, or one that nobody named.
fn endpoint(source: &str, leaf: serde_json::Value, troubles: &[&str]) -> serde_json::Value {
    serde_json::json!([{
        "endpoint": {"host": "a.example", "port": 443, "protocol": "tls", "server_name": null, "source": source},
        "checked_at": at(0), "has_served_ours": false,
        "answers": [{"address": "192.0.2.1:443", "leaf": leaf, "troubles": troubles, "detail": ""}],
    }])
}

fn left_when_due(lifetime: i64) -> i64 {
    if lifetime < 240 { lifetime / 2 } else { lifetime / 3 }
}

fn tell(memory: &mut NoticeMemory, notices: &[Notice], now: i64) {
    for notice in notices {
        memory.told(notice, at(now));
    }
}

use NoticeKind::{Broken, DeployPending, Expiring, NotServed, Overdue, Recovered, RenewalFailed, Revoked, ServedBadly};
use NoticeLevel::{Critical, Emergency, Info, Warning};

#[test]
fn that_a_certificate_is_due_is_no_reason_to_speak() {
    for lifetime in LIFETIMES {
        let case = Case::of(lifetime);
        let due = lifetime - left_when_due(lifetime);
        for now in [0, due - 1, due, due + 1, due + 15] {
            assert_eq!(case.said(now), [], "{lifetime} hours, at {now}");
        }
    }
}

#[test]
fn what_is_overdue_warns_even_when_nobody_tries_any_more() {
    for (lifetime, grace) in LIFETIMES.into_iter().zip([16, 24, 24, 24, 24]) {
        let due = lifetime - left_when_due(lifetime);
        let case = Case::of(lifetime).ran(due - 12);
        assert_eq!(case.said(due + grace - 1), [], "{lifetime}");
        assert_eq!(case.said(due + grace), [(Overdue, Warning)], "{lifetime}");
    }
    let notice = &Case::of(90 * DAY).ran(59 * DAY).due(62 * DAY, &NoticeMemory::default())[0];
    assert_eq!((notice.command.as_str(), notice.cause_key.as_str()), ("certkit timer show", "no-run"));
    assert!(notice.cause.contains("the last run of certkit was on 2027-03-15"), "{}", notice.cause);
    assert_eq!(notice.due_since, Some(at(60 * DAY)));
}

#[test]
fn a_single_failed_attempt_is_waited_for_and_two_are_not() {
    let once = Case::of(90 * DAY).fails(61 * DAY, network());
    assert_eq!(once.said(61 * DAY), []);
    assert_eq!(once.said(62 * DAY), [(Overdue, Warning)], "no other attempt came");
    let twice = once.fails(61 * DAY + 1, network());
    assert_eq!(twice.said(61 * DAY + 1), [(Overdue, Warning)]);
    let early = Case::of(90 * DAY).fails(60 * DAY, network()).fails(60 * DAY + 2, network());
    assert_eq!(early.said(60 * DAY + 12), [], "a CA that is down for half a day is nobody's to cure");
}

#[test]
fn runs_that_come_once_a_week_are_waited_for() {
    let mut case = Case::of(90 * DAY);
    case.outlook.cadence = Cadence::every(TimeDelta::days(7));
    assert_eq!(case.said(66 * DAY), []);
    assert!(case.said(68 * DAY).contains(&(Overdue, Warning)));
}

#[test]
fn what_only_the_owner_can_cure_is_told_at_the_first_failure() {
    let owners = [
        dns("www.a.example"),
        Failure::new(FailureClass::ChallengeSetup, "port 80 is taken"),
        Failure::new(FailureClass::Paused, "paused"),
        Failure::new(FailureClass::TermsOfService, "new terms"),
        Failure::new(FailureClass::Store, "no space left on device"),
        Failure::new(FailureClass::IdentifierRefused, "caa"),
    ];
    for lifetime in LIFETIMES {
        let due = lifetime - left_when_due(lifetime) + 1;
        for failure in &owners {
            let class = failure.class;
            let notices = Case::of(lifetime).fails(due, failure.clone()).due(due, &NoticeMemory::default());
            assert_eq!(notices.len(), 1, "{class:?}");
            let notice = &notices[0];
            assert_eq!((notice.kind, notice.level, notice.class), (RenewalFailed, Warning, Some(class)));
            assert!(!notice.cause.is_empty() && !notice.cure.is_empty() && !notice.command.is_empty(), "{notice:?}");
        }
        assert_eq!(Case::of(lifetime).fails(due, network()).said(due), []);
    }
}

#[test]
fn an_eighth_is_critical_a_twentieth_an_emergency_and_so_is_the_end() {
    for lifetime in LIFETIMES {
        let case = Case::of(lifetime).fails(lifetime / 2 + 1, network()).fails(lifetime / 2 + 2, network());
        let said = |left: i64| case.said(lifetime - left);
        assert_eq!(said(lifetime / 8 + 1), [(Overdue, Warning)], "{lifetime}");
        assert_eq!(said(lifetime / 8), [(Expiring, Critical)], "{lifetime}");
        assert_eq!(said(lifetime / 20 + 1), [(Expiring, Critical)], "{lifetime}");
        assert_eq!(said(lifetime / 20), [(Expiring, Emergency)], "{lifetime}");
        assert_eq!(said(-1), [(Expiring, Emergency)], "{lifetime}");
        assert_eq!(said(-24 * 31), [(Expiring, Critical)], "nobody misses it: {lifetime}");
    }
}

#[test]
fn an_owner_who_wants_it_late_is_not_alarmed_before_it_is_late() {
    let mut case = Case::of(90 * DAY);
    case.wish = RenewalWish::new(Some("3 days".into()), true);
    assert_eq!(case.said(86 * DAY), [], "four days left are less than a twentieth");
    assert_eq!(case.said(87 * DAY + 1), []);
    assert_eq!(case.said(87 * DAY + 18), [(Expiring, Emergency)], "a quarter of what was left has passed");
    let failed = case.fails(87 * DAY + 1, dns("a.example"));
    assert_eq!(failed.said(87 * DAY + 1), [(Expiring, Emergency)]);
}

#[test]
fn what_nothing_renews_is_told_before_it_ends() {
    let mut case = Case::of(90 * DAY);
    case.wish = RenewalWish::new(None, false);
    assert_eq!(case.said(60 * DAY), []);
    assert_eq!(case.said(61 * DAY), [(Expiring, Warning)]);
    assert_eq!(case.said(79 * DAY), [(Expiring, Critical)]);
    assert_eq!(case.said(86 * DAY), [(Expiring, Emergency)]);
    let notice = &case.due(61 * DAY, &NoticeMemory::default())[0];
    assert_eq!(notice.command, "certkit renew --cert-name a.example --force-renewal");
    assert_eq!(notice.cause_key, "autorenew-off");
}

#[test]
fn what_a_limit_explains_is_not_told_unless_it_becomes_dangerous() {
    let limited = Failure::new(FailureClass::RateLimited, "too many").with_http_status(429);
    let mut case = Case::of(90 * DAY);
    for day in 60..67 {
        case = case.fails(day * DAY, limited.clone().with_retry(Retry::At(at((day + 1) * DAY))));
        assert_eq!(case.said(day * DAY + 1), [], "day {day}");
    }
    assert_eq!(case.said(67 * DAY + 1), [(Overdue, Warning)], "a week is long for a limit");
    assert_eq!(case.said(79 * DAY), [(Expiring, Critical)]);
}

#[test]
fn what_waits_for_an_account_s_limit_is_not_told_and_a_loop_is() {
    let mut case = Case::of(90 * DAY);
    let directory = AcmeUrl::parse("https://ca.example/dir").unwrap();
    let names: IdentifierSet = ["a.example".parse().unwrap()].into_iter().collect();
    let scope = OrderScope::new(directory.clone(), "one", names.clone(), vec!["a.example".into()]);
    for hours in [60 * DAY, 60 * DAY + 1] {
        case.outlook.ledger.guard(&directory, &names, TimeDelta::days(90), at(hours));
    }
    let mut summary = case.summary(61 * DAY);
    let input = summary.input().unwrap().clone().at(vec![scope]);
    let entry = decide(&input, &case.outlook.ledger, &case.outlook, at(62 * DAY));
    summary = Summary::of(entry, input, at(62 * DAY));
    let notices =
        due_notices(&NoticeFacts::new(&[summary], &[], &case.outlook, at(62 * DAY)), &NoticeMemory::default());
    assert_eq!((notices[0].kind, notices[0].cause_key.as_str()), (Overdue, "loop-guard"));
    assert!(notices[0].cause.contains("guard against loops"), "{}", notices[0].cause);
}

#[test]
fn what_is_served_and_is_not_the_one_in_use_is_critical_at_once() {
    let older = serde_json::json!({"kind": "older", "version": 1});
    let foreign = serde_json::json!({"kind": "foreign"});
    let case = |source, leaf, troubles: &[&str]| Case::of(90 * DAY).served(endpoint(source, leaf, troubles));
    assert_eq!(case("settings", older.clone(), &[]).said(DAY), [(NotServed, Critical)]);
    assert_eq!(case("settings", foreign.clone(), &[]).said(DAY), [(NotServed, Critical)]);
    assert_eq!(case("settings", older.clone(), &["expired"]).said(DAY), [(NotServed, Emergency)]);
    assert_eq!(case("default", foreign, &[]).said(DAY), [], "a CDN's own certificate is none of ours");
    let notices = case("settings", older, &[]).due(DAY, &NoticeMemory::default());
    assert_eq!(notices[0].served, ["a.example:443 at 192.0.2.1:443 serves version 1"]);
    assert_eq!(notices[0].incident, "serving/a.example");
}

#[test]
fn what_is_not_served_names_the_address_since_when_and_a_command_that_does_something() {
    let of = |leaf: serde_json::Value, targets: Vec<DeployTarget>| {
        let case = Case::of(90 * DAY).committed(0, 2, targets.clone()).served(endpoint("settings", leaf, &[]));
        let mut case = case;
        case.state.deploy_pending.clear();
        case.state.served[0].answers[0].not_after = Some(at(12 * DAY));
        let mut summary = case.summary(1);
        summary.targets = targets;
        let facts = [summary];
        let notices = due_notices(&NoticeFacts::new(&facts, &[], &case.outlook, at(1)), &NoticeMemory::default());
        (notices[0].cause.clone(), notices[0].cure.clone(), notices[0].command.clone())
    };
    let older = serde_json::json!({"kind": "older", "version": 1});
    let hook = || vec![DeployTarget::Hook("reload it".into())];
    let (cause, cure, command) = of(older.clone(), hook());
    assert!(cause.starts_with("a.example:443 at 192.0.2.1:443 serves version 1 (expires "), "{cause}");
    assert!(cause.contains("in use since "), "{cause}");
    assert!(cure.contains("live/a.example") && !cure.contains("--deploy-hook"), "there is one already: {cure}");
    assert_eq!(command, "certkit deploy --cert-name a.example");
    let (_, cure, command) = of(older, vec![DeployTarget::Copy("/etc/x".into())]);
    assert!(cure.contains("certkit reconfigure --cert-name a.example --deploy-hook"), "{cure}");
    assert_eq!(command, "certkit doctor --cert-name a.example", "files make no server read them");
    let (_, _, command) = of(serde_json::json!({"kind": "foreign"}), hook());
    assert_eq!(command, "certkit inspect a.example:443", "no reload cures that");
}

#[test]
fn what_clients_refuse_is_told() {
    let same = serde_json::json!({"kind": "same"});
    let case = |leaf, troubles: &[&str]| Case::of(90 * DAY).served(endpoint("settings", leaf, troubles));
    assert_eq!(case(same.clone(), &["incomplete-chain"]).said(DAY), [(ServedBadly, Critical)]);
    assert_eq!(case(same.clone(), &["untrusted-at-not-after"]).said(DAY), [(ServedBadly, Warning)]);
    assert_eq!(case(same.clone(), &["untrusted-now"]).said(DAY), [(ServedBadly, Critical)]);
    assert_eq!(case(same.clone(), &["other-chain", "other-without-sni"]).said(DAY), []);
    assert_eq!(case(same.clone(), &["unknown-authority"]).said(DAY), [], "a CA of the owner's own");
    assert_eq!(case(same, &[]).said(DAY), []);
}

#[test]
fn a_server_that_is_not_reached_is_told_once_it_lasts_and_where_the_owner_named_it() {
    let silent = |source: &str, misses: u32| {
        let mut case = Case::of(90 * DAY).served(endpoint(source, serde_json::json!({"kind": "unreachable"}), &[]));
        case.state.served[0].misses = misses;
        case.state.served[0].has_served_ours = true;
        case.state.served[0].answers[0].detail = "connection refused".to_owned();
        case
    };
    assert_eq!(silent("settings", 4).said(DAY), [], "it may be starting again");
    assert_eq!(silent("default", 50).said(DAY), [], "the name may have moved");
    assert_eq!(silent("settings", 5).said(DAY), [(NoticeKind::Unreachable, Warning)]);
    let notice = &silent("settings", 5).due(DAY, &NoticeMemory::default())[0];
    assert_eq!(notice.cause, "a.example:443 was not reached 5 times in a row: connection refused");
    assert_eq!(notice.command, "certkit inspect a.example:443");
    let mut memory = NoticeMemory::default();
    tell(&mut memory, std::slice::from_ref(notice), DAY);
    assert_eq!(silent("settings", 6).due(DAY + 6, &memory), [], "the same is not told twice");
    let back = Case::of(90 * DAY).served(endpoint("settings", serde_json::json!({"kind": "same"}), &[]));
    assert_eq!(back.due(DAY + 12, &memory)[0].kind, Recovered);
}

#[test]
fn a_deploy_that_failed_once_may_work_at_the_next_run_and_one_that_failed_twice_is_told() {
    let hook = DeployTarget::Hook("reload it".into());
    let case = Case::of(90 * DAY).committed(0, 2, vec![hook.clone()]);
    assert_eq!(case.said(0), []);
    let case = case.deploy_fails(0, 2, &hook);
    assert_eq!(case.said(1), []);
    let case = case.deploy_fails(12, 2, &hook);
    let notice = &case.due(12, &NoticeMemory::default())[0];
    assert_eq!((notice.kind, notice.level), (DeployPending, Warning));
    assert_eq!(notice.command, "certkit deploy --cert-name a.example");
    assert!(notice.cause.contains("deploy hook `reload it` failed 2 times"), "{}", notice.cause);
    let served = case.served(endpoint("settings", serde_json::json!({"kind": "older", "version": 1}), &[]));
    assert_eq!(served.said(12), [(NotServed, Critical)], "one trouble, one notice");
}

#[test]
fn a_deploy_that_nobody_tries_is_told_after_a_day_and_is_dangerous_when_its_predecessor_ends() {
    let hook = DeployTarget::Hook("reload it".into());
    let case = Case::of(90 * DAY).committed(0, 2, vec![hook]);
    assert_eq!(case.said(23), []);
    assert_eq!(case.said(24), [(DeployPending, Warning)]);
    assert_eq!(case.said(19 * DAY), [(DeployPending, Critical)], "an eighth of the predecessor is left");
    assert_eq!(case.said(26 * DAY), [(DeployPending, Emergency)]);
    let served = case.served(endpoint("settings", serde_json::json!({"kind": "same"}), &[]));
    assert_eq!(served.said(26 * DAY), [(DeployPending, Warning)], "what counts serves the new one");
}

#[test]
fn what_is_broken_is_told_at_once_and_is_dangerous_when_it_ends() {
    let outlook = Outlook::default();
    let said = |by_settings, left: i64| {
        let validity = Validity { not_before: at(0), not_after: at(90 * DAY) };
        let now = at(90 * DAY - left);
        let summary = Summary::of_broken("a.example", "line 3: no value", by_settings, Some(validity), now);
        let notices = due_notices(&NoticeFacts::new(&[summary], &[], &outlook, now), &NoticeMemory::default());
        assert_eq!(notices.len(), 1);
        (notices[0].kind, notices[0].level, notices[0].command.clone())
    };
    assert_eq!(said(false, 80 * DAY), (Broken, Warning, "certkit certificates --cert-name a.example".to_owned()));
    assert_eq!(said(true, 80 * DAY), (Broken, Warning, "certkit config check".to_owned()));
    assert_eq!(said(false, 11 * DAY).1, Critical);
    assert_eq!(said(false, 4 * DAY), (Expiring, Emergency, "certkit certificates --cert-name a.example".to_owned()));
    let nameless = Summary::of_broken("a\x1b[2J", "x", false, None, at(0));
    let notices = due_notices(&NoticeFacts::new(&[nameless], &[], &outlook, at(0)), &NoticeMemory::default());
    assert_eq!(notices[0].command, "certkit certificates --cert-name 'a\\u{1b}[2J'");
}

#[test]
fn what_is_live_and_damaged_is_critical() {
    let case = Case::of(90 * DAY);
    let mut input = case.summary(0).input().unwrap().clone();
    input.validity = None;
    let entry = decide(&input, &case.outlook.ledger, &case.outlook, at(0));
    let summary = Summary::of(entry, input, at(0));
    assert_eq!(level_of(&summary, &case.outlook, at(0)), Some((Critical, Broken)));
}

#[test]
fn what_the_ca_revoked_is_critical_and_says_why_it_is_not_renewed() {
    let mut case = Case::of(90 * DAY);
    case.serial = Some("7a".into());
    let revocation = RevocationMemory::new("7a", Some(at(5)), at(10));
    let case = case.apply(6, Event::RevocationRead { revocation });
    assert_eq!(case.said(7), [(Revoked, Critical)]);
    let failed = case.fails(7, network());
    let notice = &failed.due(7, &NoticeMemory::default())[0];
    assert_eq!((notice.kind, notice.class), (Revoked, Some(FailureClass::Network)));
    assert!(notice.cause.contains("its renewal fails: the CA could not be reached"), "{}", notice.cause);
    assert_eq!(failed.said(89 * DAY), [(Revoked, Emergency)]);
}

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
