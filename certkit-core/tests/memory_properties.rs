//! What must hold of the memory of a lineage, of the plan that is made with it and of the notices about it, whatever is in
//! it.
#![allow(clippy::unwrap_used, reason = "a test")]

use certkit_core::decision::{Cadence, RenewalInformation, RenewalWish, Seed, SuggestedWindow};
use certkit_core::state::{
    DeployTarget, Event, Ledger, LineageState, OrderScope, RecordedEvent, RecordedWish, RevocationMemory,
};
use certkit_core::{
    AcmeUrl, Failure, FailureClass, Finding, FindingCode, IdentifierFailure, IdentifierSet, LineageName, NoticeFacts,
    NoticeKind, NoticeMemory, Outlook, PlanInput, Problem, Retry, Step, Summary, Validity, Version, decide,
    due_notices, group_notices, level_of,
};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use proptest::strategy::Union;

const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
const SECONDS_OF_A_DAY: i64 = 86_400;

/// What has its own instant in a state, to the nanosecond as a clock gives it.
fn instant() -> impl Strategy<Value = DateTime<Utc>> {
    (0_i64..7_000_000_000, 0_u32..1_000_000_000)
        .prop_map(|(seconds, nanoseconds)| DateTime::from_timestamp(seconds, nanoseconds).unwrap())
}

fn directory() -> impl Strategy<Value = AcmeUrl> {
    prop::sample::select(vec![LETS_ENCRYPT, "https://two.example/dir", "http://[::1]:14000/dir"])
        .prop_map(|url| AcmeUrl::parse(url).unwrap())
}

fn order_url() -> impl Strategy<Value = AcmeUrl> {
    (0_u32..9).prop_map(|number| AcmeUrl::parse(&format!("https://ca.example/order/{number}")).unwrap())
}

fn version() -> impl Strategy<Value = Version> {
    any::<u32>().prop_map(Version)
}

fn identifiers() -> impl Strategy<Value = IdentifierSet> {
    let one =
        prop::sample::select(vec!["a.example.org", "*.b.example.org", "xn--bcher-kva.example", "192.0.2.7", "::1"]);
    prop::collection::vec(one, 0..4).prop_map(|names| names.into_iter().map(|name| name.parse().unwrap()).collect())
}

fn target() -> impl Strategy<Value = DeployTarget> {
    let kinds: [fn(String) -> DeployTarget; 8] = [
        DeployTarget::Combined,
        DeployTarget::Command,
        DeployTarget::Copy,
        DeployTarget::Der,
        DeployTarget::DirectoryHook,
        DeployTarget::Hook,
        DeployTarget::Installer,
        DeployTarget::Reload,
    ];
    // Few texts, so that later events find what earlier ones left.
    (prop::sample::select(kinds.to_vec()), prop_oneof!["[ab]", any::<String>()]).prop_map(|(kind, text)| kind(text))
}

fn failure() -> impl Strategy<Value = Failure> {
    let class = prop::sample::select(vec![
        FailureClass::AccountUnknown,
        FailureClass::BadCsr,
        FailureClass::Bug,
        FailureClass::ChallengeFailed,
        FailureClass::Clock,
        FailureClass::Hook,
        FailureClass::Interrupted,
        FailureClass::Network,
        FailureClass::Paused,
        FailureClass::RateLimited,
        FailureClass::ServerUnavailable,
        FailureClass::Store,
    ]);
    let retry = prop_oneof![
        prop::sample::select(vec![Retry::AfterBackoff, Retry::AfterOwner, Retry::Bug, Retry::Now]),
        instant().prop_map(Retry::At),
    ];
    let problem = (any::<String>(), any::<String>()).prop_map(|(kind, detail)| Problem::new(&kind, &detail));
    let per_identifier = (identifiers(), problem.clone()).prop_map(|(names, problem)| {
        names.iter().map(|name| IdentifierFailure::new(name.clone(), problem.clone())).collect::<Vec<_>>()
    });
    (class, any::<String>(), retry, prop::option::of(any::<u16>()), prop::option::of(problem), per_identifier).prop_map(
        |(class, detail, retry, status, problem, per_identifier)| {
            let mut failure = Failure::new(class, detail).with_retry(retry).with_identifiers(per_identifier);
            (failure.http_status, failure.problem) = (status, problem);
            failure
        },
    )
}

fn window() -> impl Strategy<Value = SuggestedWindow> {
    (instant(), 1_i64..1_000_000_000)
        .prop_map(|(start, width)| SuggestedWindow::new(start, start + TimeDelta::milliseconds(width)).unwrap())
}

fn information() -> impl Strategy<Value = RenewalInformation> {
    (any::<String>(), window(), prop::option::of(any::<String>()), instant(), 0_usize..3).prop_map(
        |(id, window, url, next_check, failures)| {
            let answered = RenewalInformation::answered(id.clone(), window, url, next_check);
            (0..failures).fold(answered, |known, _| RenewalInformation::failed(Some(&known), &id, next_check))
        },
    )
}

fn wish() -> impl Strategy<Value = RecordedWish> {
    (instant(), prop::option::of(identifiers()), any::<[bool; 3]>()).prop_map(
        |(at, names, [key, profile, authority])| {
            let mut wish = RecordedWish::new(at);
            (wish.identifiers, wish.key, wish.profile, wish.authority) = (names, key, profile, authority);
            wish
        },
    )
}

/// An event of any kind.
fn event() -> impl Strategy<Value = Event> {
    let targets = || prop::collection::vec(target(), 0..4);
    Union::new([
        version().prop_map(|version| Event::FirstSeen { version }).boxed(),
        version().prop_map(|version| Event::ChangedElsewhere { version }).boxed(),
        (any::<String>(), directory())
            .prop_map(|(because, directory)| Event::AttemptStarted { because, directory })
            .boxed(),
        order_url().prop_map(|order_url| Event::OrderPlaced { order_url }).boxed(),
        order_url().prop_map(|order_url| Event::OrderResumed { order_url }).boxed(),
        (order_url(), any::<String>())
            .prop_map(|(order_url, because)| Event::OrderDropped { order_url, because })
            .boxed(),
        any::<u32>().prop_map(|challenges| Event::Validating { challenges }).boxed(),
        Just(Event::Authorized).boxed(),
        order_url().prop_map(|order_url| Event::Finalizing { order_url }).boxed(),
        ("[0-9a-f]{1,40}", instant()).prop_map(|(serial, not_after)| Event::Issued { serial, not_after }).boxed(),
        (
            version(),
            instant(),
            prop::option::of(directory()),
            targets(),
            prop::option::of(any::<String>()),
            identifiers(),
        )
            .prop_map(|(version, not_after, directory, targets, profile, left_out)| Event::Committed {
                version,
                not_after,
                directory,
                targets,
                profile,
                left_out,
            })
            .boxed(),
        any::<String>().prop_map(|path| Event::SetAside { path }).boxed(),
        (version(), targets()).prop_map(|(version, targets)| Event::DeployReplanned { version, targets }).boxed(),
        wish().prop_map(|wish| Event::WishRecorded { wish }).boxed(),
        Just(Event::WishFulfilled).boxed(),
        information().prop_map(|information| Event::RenewalInformationRead { information }).boxed(),
        ("[0-9a-f]{1,40}", prop::option::of(instant()), instant())
            .prop_map(|(serial, since, next_check)| Event::RevocationRead {
                revocation: RevocationMemory::new(serial, since, next_check),
            })
            .boxed(),
        (any::<String>(), any::<String>())
            .prop_map(|(subject, evidence)| Event::Told {
                finding: Finding::new(FindingCode::ClockOff, subject, evidence),
            })
            .boxed(),
        (target(), version()).prop_map(|(target, version)| Event::Deployed { target, version }).boxed(),
        (target(), version(), failure())
            .prop_map(|(target, version, failure)| Event::DeployFailed { target, version, failure })
            .boxed(),
        failure().prop_map(|failure| Event::AttemptFailed { failure }).boxed(),
        Just(Event::DryRunSucceeded).boxed(),
        "[0-9a-f]{1,40}".prop_map(|serial| Event::Revoked { serial }).boxed(),
    ])
}

fn lineage() -> LineageName {
    LineageName::new("a.example.org").unwrap()
}

fn scope(directory: &str) -> OrderScope {
    let names = ["a.example.org".parse().unwrap()].into_iter().collect();
    OrderScope::new(AcmeUrl::parse(directory).unwrap(), "account", names, vec!["example.org".into()])
}

/// How often certkit may be run: exactly on time, or every so many minutes up to a week.
fn cadence() -> impl Strategy<Value = Cadence> {
    prop_oneof![
        1 => Just(Cadence::exact()),
        4 => (1_i64..=7 * 1440).prop_map(|minutes| Cadence::every(TimeDelta::minutes(minutes))),
    ]
}

/// A certificate's life: an hour to ten years.
fn validity() -> impl Strategy<Value = Validity> {
    let lifetime = prop_oneof![3600..20 * SECONDS_OF_A_DAY, 3600..3650 * SECONDS_OF_A_DAY];
    (1_500_000_000_i64..2_000_000_000, lifetime).prop_map(|(start, lifetime)| Validity {
        not_before: DateTime::from_timestamp(start, 0).unwrap(),
        not_after: DateTime::from_timestamp(start + lifetime, 0).unwrap(),
    })
}

/// How a certificate with this memory is.
fn summary(
    state: &LineageState,
    validity: Option<Validity>,
    wish: &RenewalWish,
    outlook: &Outlook,
    now: DateTime<Utc>,
) -> Summary {
    let mut input = PlanInput::new(lineage(), validity, wish.clone()).remembering(state.clone());
    input.serial = state.revocation.as_ref().map(|known| known.serial.clone());
    let entry = decide(&input, &outlook.ledger, outlook, now);
    Summary::of(entry, input, now)
}

fn is_short(validity: Validity) -> bool {
    validity.lifetime() < TimeDelta::days(10)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happened_is_remembered_the_same_after_a_restart(
        happened in prop::collection::vec((event(), instant()), 0..24),
    ) {
        let mut state = LineageState::default();
        for (event, at) in happened {
            state.apply(&event, at);
            let text = serde_json::to_string_pretty(&state).unwrap();
            prop_assert_eq!(serde_json::from_str::<LineageState>(&text).unwrap(), state.clone());
            // The history keeps the events themselves.
            let recorded = RecordedEvent::new(at, event);
            let line = serde_json::to_string(&recorded).unwrap();
            prop_assert!(!line.contains('\n'));
            prop_assert_eq!(serde_json::from_str::<RecordedEvent>(&line).unwrap(), recorded);
        }
    }

    #[test]
    fn whatever_happened_is_told_once_and_in_plain_text(
        happened in prop::collection::vec((event(), instant()), 0..24),
        validity in prop::option::of(validity()),
        passed in -0.5..1.5,
        cadence in cadence(),
        never in any::<bool>(),
    ) {
        let outlook = Outlook::new(Ledger::default(), cadence);
        let mut state = LineageState::default();
        let mut history = Vec::new();
        for (event, at) in happened {
            state.apply(&event, at);
            history.push(RecordedEvent::new(at, event));
        }
        let now = validity.map_or(DateTime::UNIX_EPOCH, |validity| {
            validity.not_before + TimeDelta::seconds((validity.lifetime().num_seconds() as f64 * passed) as i64)
        });
        let summaries = [summary(&state, validity, &RenewalWish::new(None, !never), &outlook, now)];
        let facts = NoticeFacts::new(&summaries, &[], &outlook, now);
        let mut memory = NoticeMemory::default();
        let mut notices = due_notices(&facts, &memory);
        let worst = notices.iter().filter(|notice| notice.kind != NoticeKind::Machine).map(|notice| notice.level).max();
        prop_assert_eq!(level_of(&summaries[0], &outlook, now).map(|(level, _)| level), worst);
        for notice in &mut notices {
            notice.take_history(&history);
            prop_assert!(!notice.cause.is_empty() && !notice.cure.is_empty() && !notice.command.is_empty(), "{notice:?}");
            let (subject, text) = (notice.subject(now), notice.text(now));
            prop_assert_eq!(certkit_core::escape(&subject), subject.as_str());
            prop_assert!(text.lines().all(|line| certkit_core::escape(line) == line), "{text:?}");
            memory.told(notice, now);
        }
        for group in group_notices(notices) {
            prop_assert!(!group.text(now).is_empty());
        }
        prop_assert_eq!(due_notices(&facts, &memory), []);
        let text = serde_json::to_string(&memory).unwrap();
        prop_assert_eq!(serde_json::from_str::<NoticeMemory>(&text).unwrap(), memory);
    }

    #[test]
    fn the_same_is_never_told_twice_before_it_is_over(
        happened in prop::collection::vec((event(), 0_i64..200), 0..40),
        validity in validity(),
    ) {
        let outlook = Outlook::default();
        let (mut state, mut memory) = (LineageState::default(), NoticeMemory::default());
        let mut told: std::collections::BTreeSet<(String, String, u32)> = std::collections::BTreeSet::new();
        let mut now = validity.not_before;
        for (event, hours) in happened {
            now += TimeDelta::hours(hours);
            state.apply(&event, now);
            let summaries = [summary(&state, Some(validity), &RenewalWish::default(), &outlook, now)];
            for notice in due_notices(&NoticeFacts::new(&summaries, &[], &outlook, now), &memory) {
                memory.told(&notice, now);
                match notice.kind {
                    NoticeKind::Machine => {}
                    NoticeKind::Recovered => told.retain(|(incident, ..)| *incident != notice.incident),
                    _ => prop_assert!(
                        told.insert((notice.incident.clone(), notice.key.clone(), notice.reminder)),
                        "{} {}", notice.key, notice.reminder
                    ),
                }
            }
            memory.prune(now);
        }
    }

    #[test]
    fn a_renewal_that_fails_becomes_no_less_urgent_towards_the_end(
        failures in prop::collection::vec(failure(), 0..6),
        validity in validity(),
        cadence in cadence(),
        instants in any::<[u16; 2]>(),
    ) {
        let outlook = Outlook::new(Ledger::default(), cadence);
        let part = |part: u16| validity.not_before
            + TimeDelta::seconds(validity.lifetime().num_seconds() * i64::from(part) / i64::from(u16::MAX));
        let (earlier, later) = (part(instants[0].min(instants[1])), part(instants[0].max(instants[1])));
        let mut state = LineageState::default();
        for failure in failures {
            state.apply(&Event::AttemptFailed { failure }, earlier);
        }
        let level = |now| {
            let summary = summary(&state, Some(validity), &RenewalWish::default(), &outlook, now);
            level_of(&summary, &outlook, now).map(|(level, _)| level)
        };
        prop_assert!(level(earlier) <= level(later), "{:?} then {:?}", level(earlier), level(later));
    }

    #[test]
    fn a_tree_that_was_taken_over_is_not_issued_anew(
        validity in validity(),
        passed in 0.0..1.0,
        cadence in cadence(),
        was_seen in any::<bool>(),
        is_the_same in any::<bool>(),
        ids in any::<[bool; 2]>(),
        machine in any::<[u8; 4]>(),
    ) {
        // A conf may ask for another key or profile than the certificate has, by whoever edited it years ago: as long as
        // nothing was asked through certkit that is no reason to act.
        let usual = if is_short(validity) { validity.lifetime() / 2 } else { validity.lifetime() / 3 };
        let before = (validity.lifetime() - usual).num_seconds();
        let now = validity.not_before + TimeDelta::seconds((before as f64 * passed) as i64);
        prop_assume!(now < validity.not_after - usual);
        let is_frequent = cadence.exact || now + cadence.interval <= validity.not_after - validity.lifetime() / 8;
        prop_assume!(is_frequent);
        let mut state = LineageState::default();
        if was_seen {
            state.apply(&Event::FirstSeen { version: Version(7) }, now);
        }
        let mut input = PlanInput::new(lineage(), Some(validity), RenewalWish::default()).remembering(state);
        input.authorities = vec![scope(LETS_ENCRYPT), scope("https://two.example/dir")];
        input.same_identifiers = is_the_same;
        input.ari_id = ids[0].then(|| "id".to_owned());
        input.serial = ids[1].then(|| "7a".to_owned());
        input.seed = Seed::of(&machine, &lineage());
        let entry = decide(&input, &Ledger::default(), &Outlook::new(Ledger::default(), cadence), now);
        prop_assert!(matches!(entry.step, Step::NotDue { until: Some(until), .. } if until > now), "{:?}", entry);
    }

    #[test]
    fn a_cas_advice_is_never_followed_out_of_the_life_of_the_certificate(
        validity in validity(),
        start in -1.0..2.0,
        width in 0.0..1.0,
        passed in -0.2..1.2,
        cadence in cadence(),
        machine in any::<[u8; 4]>(),
    ) {
        let part = |part: f64| TimeDelta::seconds((validity.lifetime().num_seconds() as f64 * part) as i64);
        let begin = validity.not_before + part(start);
        let window = SuggestedWindow::new(begin, begin + part(width) + TimeDelta::seconds(1)).unwrap();
        let now = validity.not_before + part(passed);
        let mut state = LineageState::default();
        let information = RenewalInformation::answered("id", window, None, now);
        state.apply(&Event::RenewalInformationRead { information }, now);
        let mut input = PlanInput::new(lineage(), Some(validity), RenewalWish::default()).remembering(state);
        input.ari_id = Some("id".to_owned());
        input.seed = Seed::of(&machine, &lineage());
        let entry = decide(&input, &Ledger::default(), &Outlook::new(Ledger::default(), cadence), now);
        let at = entry.due.at.unwrap();
        let left = if is_short(validity) { validity.lifetime() / 4 } else { validity.lifetime() / 6 };
        prop_assert!(at <= validity.not_after - left, "{:?}", entry);
        if window.start >= validity.not_before {
            prop_assert!(at >= validity.not_before, "{:?}", entry);
            prop_assert!(at >= window.start.min(validity.not_after - left), "not before the CA wants it: {:?}", entry);
        }
        // A window that is over means now.
        if window.end <= now {
            prop_assert!(entry.due.is_due(now), "{:?}", entry);
        }
    }
}

/// A memory as certkit wrote it before it kept the failures of each CA apart.
#[cfg(feature = "store")]
#[test]
fn an_old_state_file_keeps_its_back_off() {
    use certkit_core::HeldBy;
    use certkit_core::store::{Store, StorePaths};

    let dir = tempfile::tempdir().unwrap();
    let paths = StorePaths::new(dir.path().to_owned(), dir.path().join("work"), dir.path().join("logs"));
    let file = paths.state_file(&lineage());
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, include_str!("data/state/before-authorities.json")).unwrap();
    let (state, damage) = Store::open(paths).unwrap().state(&lineage()).unwrap();
    assert_eq!(damage, None);
    assert_eq!((state.consecutive_failures, state.deployed_version), (4, Some(Version(3))));

    let failed: DateTime<Utc> = "2026-09-14T03:17:42.518204913Z".parse().unwrap();
    let not_after = failed + TimeDelta::days(26);
    let validity = Validity { not_before: not_after - TimeDelta::days(90), not_after };
    let step = |directory: &str, now: DateTime<Utc>| {
        let input = PlanInput::new(lineage(), Some(validity), RenewalWish::default())
            .remembering(state.clone())
            .at(vec![scope(directory)]);
        decide(&input, &Ledger::default(), &Outlook::default(), now).step
    };
    let day = TimeDelta::days(1);
    let held = step(LETS_ENCRYPT, failed + TimeDelta::hours(3));
    assert!(
        matches!(&held, Step::Held { until, by: HeldBy::Failure(_), .. } if *until == failed + day),
        "the fourth failure holds for a day: {held:?}"
    );
    assert!(matches!(step(LETS_ENCRYPT, failed + day), Step::Attempt { .. }));
    assert!(matches!(step("https://two.example/dir", failed + TimeDelta::hours(3)), Step::Attempt { .. }));
}
