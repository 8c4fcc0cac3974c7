//! What went wrong with others, tried here: their bugs, one by one, in whole runs.
//!
//! The list is that of the failures of certbot's successors and of servers that renew by themselves (certmagic, Caddy,
//! nginx-acme, mod_md, cert-manager, lego, rustls-acme). What needs several machines with one store is not in it. Where
//! another test covers an item already, it is named.
//!
//! | | what went wrong | the test |
//! |---|---|---|
//! | 2 | two processes order the same names | `two_runs_at_once_place_one_order` |
//! | 3 | killed during an order: the order and its key are lost | `crash::an_order_is_resumed_wherever_the_run_ended` |
//! | 4 | the same, and the CA refuses `replaces` from then on | `a_run_that_died_while_finalizing_does_not_end_at_a_predecessor_that_is_replaced_already` |
//! | 5 | the third write of a certificate fails, and the old one is gone | certkit-core, tests/crash.rs: every call of a commit fails once |
//! | 6, 24 | a storage error is taken for an absence | `what_cannot_be_read_is_not_ordered` |
//! | 7 | asked again before Retry-After has passed | `limits::a_limit_of_the_account_…`, `limits::a_limit_of_the_names_…` |
//! | 8 | an HTML page with 503 is an error in JSON | `limits::an_html_page_with_503_is_an_outage_with_its_status` |
//! | 9 | a window in the past, a backdated notBefore | `advice::a_window_that_is_past_…`, `advice::a_ca_whose_windows_are_always_past_…`, `lifetimes::certificates_of_twelve_hours_…` |
//! | 10 | the endpoint of renewal information is down | `advice::without_a_usable_answer_…` |
//! | 11 | a window that was moved to now | `advice::a_window_that_is_past_…`, `daemon::a_window_that_the_ca_moves_to_now_…` |
//! | 12 | the CA of the conf changed, renewals are stuck at the old one | `a_conf_that_names_another_ca_is_heeded_whatever_is_left_of_the_first` |
//! | 13 | damaged metadata | `damaged_memory_costs_its_content_and_nothing_is_issued_that_is_not_due` |
//! | 14 | cleaning up removes what is in use | certkit-core, tests/store/commit.rs: `numbers_that_any_kind_has_are_skipped_and_six_versions_are_kept` |
//! | 15 | tokens of orders for one name collide | `runs::rejected_nonces_and_reused_authorizations_…`, tests/machine: `orders_that_share_a_token_…` |
//! | 16 | names that are valid already; authorizations that expire | `names_that_are_valid_already_…`, `an_authorization_that_expires_…` |
//! | 17 | `processing` for long | `an_order_that_is_processed_for_long_…` |
//! | 18 | long names, IDN, IPv6 | `names_of_every_kind_are_obtained_and_renewed` |
//! | 19 | a clock that jumps | `a_clock_that_jumps_by_a_day_…` |
//! | 20 | thousands due at the same second | `many_that_are_due_at_once_take_turns` |
//! | 21 | giving up looks like success | `giving_up_is_a_failure_in_the_report_and_in_the_memory` |
//! | 22 | the other CA gets a foreign `replaces` or account | `a_ca_that_stands_in_gets_neither_the_firsts_account_nor_its_certificates` |

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use certkit_acme::Stop;
use certkit_acme::renewal::{Observer, Outcome, Renewer, Report, Request, RunError};
use certkit_core::decision::DueReason;
use certkit_core::state::Event;
use certkit_core::store::ConfEdits;
use certkit_core::{AcmeUrl, FailureClass, FindingCode, IdentifierSet, LineageName};
use chrono::TimeDelta;
use serde_json::json;
use testkit::{Answer, FaultProxy, Pebble, PebbleOptions, RequestKind};

use crate::clock::TestClock;
use crate::support::{World, entry};

const NAME: &str = "a.example.com";

async fn world() -> World {
    World::with_faults(PebbleOptions::default()).await
}

fn name(text: &str) -> LineageName {
    LineageName::new(text).unwrap()
}

fn failure_class(report: &Report, name: &str) -> FailureClass {
    match &entry(report, name).outcome {
        Outcome::Failed { failure, .. } => failure.class,
        other => panic!("{name}: {other:?}"),
    }
}

fn is_renewed(report: &Report, name: &str) -> bool {
    matches!(entry(report, name).outcome, Outcome::Renewed { .. })
}

/// Runs until an event of this kind is durable, and ends there as if the process had died.
async fn die_at(world: &World, event: &'static str) {
    world.seen.when(event, || panic!("the crash that this test wants"));
    let renewer = world.renewer();
    let run = tokio::spawn(async move { renewer.run(Request::renew(), &Stop::new()).await.map(drop) });
    assert!(run.await.is_err_and(|died| died.is_panic()), "the run went past {event}");
    world.seen.never();
}

#[tokio::test]
async fn two_runs_at_once_place_one_order() {
    // rustls-acme#99: two processes with one cache both order.
    let world = world().await;
    world.due(NAME).write();
    let second = world.renewer();
    let outcome: Arc<Mutex<Option<Result<Report, RunError>>>> = Arc::default();
    let kept = Arc::clone(&outcome);
    // The second run comes in the middle of the first, and ends before that goes on.
    world.seen.when("order-placed", move || {
        let (second, kept) = (second.clone(), Arc::clone(&kept));
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            *kept.lock().unwrap() = Some(runtime.block_on(second.run(Request::renew(), &Stop::new())));
        };
        std::thread::spawn(run).join().unwrap();
    });
    let report = world.run().await;
    assert!(is_renewed(&report, NAME), "{report:?}");
    let refused = outcome.lock().unwrap().take().unwrap();
    assert!(matches!(refused, Err(RunError::Lock(_))), "{refused:?}");
    assert_eq!(world.proxy().count(RequestKind::NewOrder), 1);
    world.seen.never();
    // Whoever comes later finds that there is nothing to do any more.
    let report = world.run().await;
    assert!(matches!(entry(&report, NAME).outcome, Outcome::NotDue { .. }), "{report:?}");
    assert_eq!(world.proxy().count(RequestKind::NewOrder), 1);
}

#[tokio::test]
async fn a_run_that_died_while_finalizing_does_not_end_at_a_predecessor_that_is_replaced_already() {
    // The CA counts the lost order as the replacement: 409 for each `replaces` from then on (RFC 9773 section 5).
    for forgets_the_order in [false, true] {
        let world = world().await;
        world.proxy().offer_renewal_info();
        world.due(NAME).write();
        die_at(&world, "finalizing").await;
        assert_eq!(world.whole_version(NAME), 1);
        world.proxy().forget_log();
        world.proxy().on(RequestKind::NewOrder).with_replaces().answer(Answer::already_replaced());
        if forgets_the_order {
            let gone = Answer::problem(404, "malformed", "no such order");
            world.proxy().on(RequestKind::Order).times(1).answer(gone);
        }
        let report = world.run().await;
        assert!(is_renewed(&report, NAME), "{report:?}");
        assert_eq!(world.whole_version(NAME), 2);
        let replaces: Vec<bool> = world.proxy().new_orders().iter().map(|order| order.replaces.is_some()).collect();
        assert_eq!(replaces, if forgets_the_order { vec![true, false] } else { vec![] });
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_not_ordered() {
    // certmagic's Exists() swallows errors: what cannot be read is taken for missing, and ordered.
    let world = world().await;
    world.due(NAME).write();
    world.due("b.example.com").write();
    let paths = world.store().paths().clone();
    let state = paths.state_file(&name(NAME));
    std::fs::create_dir_all(state.parent().unwrap()).unwrap();
    // A memory that nobody can follow is not an empty one: the lineage could be ordered again and again.
    std::os::unix::fs::symlink(&state, &state).unwrap();
    let report = world.run().await;
    assert_eq!(failure_class(&report, NAME), FailureClass::Store, "{report:?}");
    assert!(is_renewed(&report, "b.example.com"), "the others go on: {report:?}");
    assert_eq!(world.proxy().new_orders().len(), 1);
    std::fs::remove_file(&state).unwrap();

    // What was asked of the CAs, the seed, the confs themselves: without them nothing is ordered at all.
    let away = world.file("away");
    for path in [paths.ledger_file(), paths.conf(&name(NAME)).parent().unwrap().to_owned()] {
        std::fs::rename(&path, &away).unwrap();
        std::os::unix::fs::symlink(&path, &path).unwrap();
        let refused = world.renewer().run(Request::renew().forced(), &Stop::new()).await;
        assert!(matches!(refused, Err(RunError::Store(_))), "{}: {refused:?}", path.display());
        assert_eq!(world.proxy().new_orders().len(), 1, "{}", path.display());
        std::fs::remove_file(&path).unwrap();
        std::fs::rename(&away, &path).unwrap();
    }
    assert!(is_renewed(&world.run().await, NAME));
}

#[tokio::test]
async fn a_conf_that_names_another_ca_is_heeded_whatever_is_left_of_the_first() {
    // Caddy#6732: renewals are stuck because the CA that issued is not among the configured ones any more.
    let world = world().await;
    world.proxy().offer_renewal_info();
    let port = world.pebble.http_port();
    let second = Pebble::start(PebbleOptions { http_port: Some(port), ..PebbleOptions::default() });
    world.register_at(&second.directory_url(), second.ca_bundle()).await;
    // Pebble's certificates live for 1826 days less a second: this one is due again a second later.
    let paths = world.due(NAME).top("renew_before_expiry", "1825 days 86398 seconds").write();
    assert!(is_renewed(&world.run().await, NAME));
    assert_eq!(world.state(NAME).issuer_directory, Some(world.directory()));
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    // An order waits at the first CA, which goes away for ever.
    die_at(&world, "order-placed").await;
    world.proxy().refuse_connections();
    let directory = AcmeUrl::parse(&second.directory_url()).unwrap();
    let account = world.store().accounts(&directory).unwrap().0.remove(0).id;
    let conf = std::fs::read_to_string(&paths.conf).unwrap();
    let conf = conf.replace(&world.server(), &second.directory_url()).replace(&world.account, &account);
    std::fs::write(&paths.conf, conf).unwrap();
    let mut transport = world.transport();
    transport.ca_bundles.push(second.ca_bundle());
    let renewer = Renewer::builder(world.store()).transport(transport).build().unwrap();
    let report = renewer.run(Request::renew(), &Stop::new()).await.unwrap();
    assert!(is_renewed(&report, NAME), "{report:?}");
    assert_eq!(world.whole_version(NAME), 3);
    assert_eq!(world.state(NAME).issuer_directory, Some(directory));
    assert!(world.store().pending(&name(NAME)).unwrap().is_none());
}

#[tokio::test]
async fn damaged_memory_costs_its_content_and_nothing_is_issued_that_is_not_due() {
    let world = world().await;
    let log = world.file("deployed");
    world.due(NAME).deploy_hook(&format!("echo x >> {}", log.display())).write();
    assert!(is_renewed(&world.run().await, NAME));
    let paths = world.store().paths().clone();
    for damage in ["", "{\"schema\": 1, \"state\": {\"stage\": 7", "\0\0\0\0", "{\"schema\": 99, \"state\": {}}"] {
        std::fs::write(paths.state_file(&name(NAME)), damage).unwrap();
        std::fs::write(paths.ledger_file(), damage).unwrap();
        let report = world.run().await;
        assert!(matches!(entry(&report, NAME).outcome, Outcome::NotDue { .. }), "{damage:?}: {report:?}");
        let damaged: Vec<_> =
            report.findings.iter().filter(|finding| finding.code == FindingCode::StateDamaged).collect();
        assert_eq!(damaged.len(), 2, "{damage:?}: {report:?}");
        // What counts as deployed is not deployed again.
        assert_eq!(std::fs::read_to_string(&log).unwrap().lines().count(), 1, "{damage:?}");
        let report = world.run().await;
        assert!(
            report.findings.iter().all(|finding| finding.code != FindingCode::StateDamaged),
            "told once: {report:?}"
        );
    }
    assert_eq!(world.proxy().count(RequestKind::NewOrder), 1);
}

#[tokio::test]
async fn names_that_are_valid_already_are_not_validated_again() {
    let options = PebbleOptions { authorization_reuse_percent: 100, ..PebbleOptions::default() };
    let world = World::with_faults(options).await;
    world.due(NAME).write();
    assert!(is_renewed(&world.run().await, NAME));
    let challenges = world.proxy().count(RequestKind::Challenge);
    // HAProxy stalled here: there is nothing to answer, and the order is ready from the start.
    let report = world.run_request(Request::renew().forced()).await;
    assert!(is_renewed(&report, NAME), "{report:?}");
    assert_eq!(world.proxy().count(RequestKind::Challenge), challenges);
}

#[tokio::test]
async fn an_authorization_that_expires_between_ready_and_finalize_costs_an_order_and_no_day() {
    // Let's Encrypt reuses authorizations for seven hours; an order with one that has expired becomes invalid.
    let world = world().await;
    world.due(NAME).write();
    let finalizing = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&finalizing);
    world.seen.when("finalizing", move || seen.store(true, Ordering::Relaxed));
    let looks = AtomicUsize::new(0);
    let expired = Arc::clone(&finalizing);
    world.proxy().on(RequestKind::Order).rewrite(move |order| {
        // The first look, right after the refusal, still finds it ready.
        if expired.load(Ordering::Relaxed) && looks.fetch_add(1, Ordering::Relaxed) > 0 {
            order["status"] = json!("invalid");
        }
    });
    let not_ready = Answer::problem(403, "orderNotReady", "Order's status (\"pending\") is not acceptable");
    world.proxy().on(RequestKind::Finalize).times(1).answer(not_ready);
    let clock = TestClock::at(testkit::now());
    let report = world.renewer_at(&clock).run(Request::renew(), &Stop::new()).await.unwrap();
    assert_eq!(failure_class(&report, NAME), FailureClass::OrderLost, "{report:?}");
    world.seen.never();
    world.proxy().clear();
    clock.advance(TimeDelta::minutes(2));
    let report = world.renewer_at(&clock).run(Request::renew(), &Stop::new()).await.unwrap();
    assert!(is_renewed(&report, NAME), "{report:?}");
    assert_eq!(world.proxy().new_orders().len(), 2);

    // An order that waited for the next run is replaced in that run.
    let world = World::with_faults(PebbleOptions::default()).await;
    world.due(NAME).write();
    die_at(&world, "authorized").await;
    world.proxy().on(RequestKind::Order).times(1).rewrite(|order| order["status"] = json!("invalid"));
    let report = world.run().await;
    assert!(is_renewed(&report, NAME), "{report:?}");
    assert_eq!(world.proxy().new_orders().len(), 2);
}

#[tokio::test]
async fn an_order_that_is_processed_for_long_is_waited_for_and_resumed_when_the_ca_says_so() {
    let world = world().await;
    world.due(NAME).write();
    let looks = AtomicUsize::new(0);
    world.proxy().on(RequestKind::Order).rewrite(move |order| {
        let is_done = ["valid", "processing"].iter().any(|status| order["status"] == *status);
        if is_done && looks.fetch_add(1, Ordering::Relaxed) < 4 {
            order["status"] = json!("processing");
            order.as_object_mut().unwrap().remove("certificate");
        }
    });
    let report = world.run().await;
    assert!(is_renewed(&report, NAME), "{report:?}");
    assert_eq!(world.proxy().count(RequestKind::Finalize), 1);

    // A CA that wants ten minutes is not waited for in this run, nor asked before.
    let world = World::with_faults(PebbleOptions::default()).await;
    world.due(NAME).write();
    let processing = json!({
        "status": "processing", "identifiers": [{ "type": "dns", "value": NAME }], "authorizations": [],
        "finalize": world.server().replace("/dir", "/finalize-order/none"),
    });
    let later = Answer::json(200, &processing.to_string()).retry_after(600);
    // The order is looked at for the certificate, and not before.
    world.proxy().on(RequestKind::Order).nth(1).answer(later);
    let clock = TestClock::at(testkit::now());
    let report = world.renewer_at(&clock).run(Request::renew(), &Stop::new()).await.unwrap();
    assert_eq!(failure_class(&report, NAME), FailureClass::ServerUnavailable, "{report:?}");
    assert_eq!(world.proxy().count(RequestKind::Finalize), 1);
    clock.advance(TimeDelta::minutes(9));
    let report = world.renewer_at(&clock).run(Request::renew(), &Stop::new()).await.unwrap();
    assert!(matches!(entry(&report, NAME).outcome, Outcome::Held { .. }), "{report:?}");
    clock.advance(TimeDelta::minutes(2));
    let report = world.renewer_at(&clock).run(Request::renew(), &Stop::new()).await.unwrap();
    assert!(is_renewed(&report, NAME), "{report:?}");
    assert_eq!((world.proxy().new_orders().len(), world.proxy().count(RequestKind::Finalize)), (1, 1));
}

#[tokio::test]
async fn names_of_every_kind_are_obtained_and_renewed() {
    // nginx-acme 0.3.1: no common name of more than 64 characters; HAProxy: IPv6.
    assert!(testkit::ports::has_ipv6(), "this test needs ::1");
    let world = world().await;
    let long = format!("{}.{}.example.com", "a".repeat(63), "b".repeat(30));
    let edits = {
        let mut edits = ConfEdits::default();
        edits.param("authenticator", Some("standalone")).param("server", Some(&world.server()));
        edits.param("http01_port", Some(&world.pebble.http_port().to_string()));
        edits
    };
    for (lineage, written, ordered) in [
        ("long", vec![long.as_str()], vec![long.as_str()]),
        (
            "idn",
            vec!["xn--bcher-kva.example.com", "XN--strae-OQA.example.com"],
            vec!["xn--bcher-kva.example.com", "xn--strae-oqa.example.com"],
        ),
        ("v6", vec!["::1"], vec!["::1"]),
        (
            "mixed",
            vec!["m.example.com", "127.0.0.1", "0:0:0:0:0:0:0:1", long.as_str()],
            vec!["m.example.com", "127.0.0.1", "::1", long.as_str()],
        ),
    ] {
        world.proxy().forget_log();
        let wanted: IdentifierSet = written.iter().map(|name| name.parse().unwrap()).collect();
        let report = world.run_request(Request::obtain(name(lineage), wanted.clone(), edits.clone())).await;
        assert!(is_renewed(&report, lineage), "{lineage}: {report:?}");
        let report = world.run_request(Request::renew().only(name(lineage)).forced()).await;
        assert!(is_renewed(&report, lineage), "{lineage}: {report:?}");
        for order in world.proxy().new_orders() {
            let names: BTreeSet<_> = order.names.iter().map(String::as_str).collect();
            assert_eq!(names, ordered.iter().copied().collect(), "{lineage}");
        }
        assert!(world.lineage(lineage).certificate().unwrap().identifiers().unwrap().same_as(&wanted), "{lineage}");
        assert_eq!(world.whole_version(lineage), 2);
    }
}

#[tokio::test]
async fn a_clock_that_jumps_by_a_day_orders_nothing_early_and_holds_nothing_back() {
    let world = world().await;
    world.proxy().offer_renewal_info();
    world.due(NAME).write();
    // Due in two days.
    world.due("later.example.com").days_left(32).write();
    world.proxy().on(RequestKind::NewOrder).answer(Answer::server_internal().retry_after(1800));
    let now = testkit::now();
    let clock = TestClock::at(now);
    // The clock of the CA is right for this machine each time: the jump is in both, as after a hibernated host.
    let run = async |days: i64| {
        clock.set(now + TimeDelta::days(days));
        world.proxy().shift_date(TimeDelta::days(days));
        world.renewer_at(&clock).run(Request::renew(), &Stop::new()).await.unwrap()
    };
    for days in [1, -1, 1] {
        let report = run(days).await;
        assert_eq!(failure_class(&report, NAME), FailureClass::ServerUnavailable, "{days}: {report:?}");
        let Outcome::NotDue { reason, .. } = &entry(&report, "later.example.com").outcome else { panic!("{report:?}") };
        assert_eq!(*reason, DueReason::ThirdOfLifetime);
    }
    // What failed tomorrow keeps nobody from trying today, and what was to be asked the day after is asked.
    world.proxy().forget_log();
    world.proxy().clear();
    let report = run(0).await;
    assert!(is_renewed(&report, NAME), "{report:?}");
    assert!(matches!(entry(&report, "later.example.com").outcome, Outcome::NotDue { .. }), "{report:?}");
    assert_eq!(world.proxy().count(RequestKind::NewOrder), 1);
    assert_eq!(world.proxy().count(RequestKind::RenewalInfo), 3, "both, and the new certificate");
}

/// Counts the attempts under way.
#[derive(Default)]
struct Crowd {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Observer for Crowd {
    fn event(&self, _lineage: &LineageName, event: &Event) {
        match event {
            Event::AttemptStarted { .. } => {
                let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
                self.most.fetch_max(now, Ordering::Relaxed);
            }
            Event::Committed { .. } | Event::AttemptFailed { .. } => {
                self.now.fetch_sub(1, Ordering::Relaxed);
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn many_that_are_due_at_once_take_turns() {
    let world = world().await;
    for number in 0..24 {
        // All to the same second.
        world.due(&format!("n{number}.example.com")).write();
    }
    world.proxy().forget_log();
    for (parallel, most) in [(None, 4), (Some(1), 1)] {
        let crowd: Arc<Crowd> = Arc::default();
        let observer: Arc<dyn Observer> = Arc::clone(&crowd) as Arc<dyn Observer>;
        let renewer = Renewer::builder(world.store()).transport(world.transport()).observer(observer).build().unwrap();
        let mut request = Request::renew().forced();
        request.parallel_orders = parallel;
        let report = renewer.run(request, &Stop::new()).await.unwrap();
        assert!(report.is_success(), "{report:?}");
        assert!(crowd.most.load(Ordering::Relaxed) <= most, "{} at once", crowd.most.load(Ordering::Relaxed));
        assert_eq!(crowd.now.load(Ordering::Relaxed), 0);
    }
    assert_eq!(world.proxy().new_orders().len(), 48);
    assert_eq!(world.proxy().count(RequestKind::Directory), 2, "once a run");
}

#[tokio::test]
async fn giving_up_is_a_failure_in_the_report_and_in_the_memory() {
    // certmagic's doWithRetry returns nil after the last attempt.
    let world = world().await;
    world.due(NAME).days_left(29).write();
    world.proxy().on(RequestKind::Finalize).answer(Answer::server_internal());
    let start = testkit::now();
    let clock = TestClock::at(start);
    let mut dropped = 0;
    for (times, pause) in [1, 10, 100, 1440, 1440, 1440].into_iter().enumerate() {
        let report = world.renewer_at(&clock).run(Request::renew(), &Stop::new()).await.unwrap();
        assert_eq!(failure_class(&report, NAME), FailureClass::ServerUnavailable, "{times}: {report:?}");
        assert!(!report.is_success());
        let state = world.state(NAME);
        assert_eq!(state.consecutive_failures as usize, times + 1);
        assert_eq!(state.last_failure.unwrap().class, FailureClass::ServerUnavailable);
        assert_eq!(state.last_success, None);
        let Outcome::Failed { next_attempt, .. } = entry(&report, NAME).outcome else { panic!("{report:?}") };
        assert_eq!(next_attempt, Some(clock_now(&clock) + TimeDelta::minutes(pause)));
        dropped = world.seen.kinds(NAME).iter().filter(|kind| *kind == "order-dropped").count();
        // Before that instant nobody is asked, and it is no success either.
        let asked = world.proxy().log().len();
        let report = world.renewer_at(&clock).run(Request::renew(), &Stop::new()).await.unwrap();
        assert!(matches!(entry(&report, NAME).outcome, Outcome::Held { .. }) && !report.is_success(), "{report:?}");
        assert_eq!(world.proxy().log().len(), asked);
        clock.advance(TimeDelta::minutes(pause));
        world.proxy().shift_date(clock_now(&clock) - start);
    }
    assert!(dropped > 0, "an order that is never finalized is given up");
    world.proxy().clear();
    let report = world.renewer_at(&clock).run(Request::renew(), &Stop::new()).await.unwrap();
    assert!(is_renewed(&report, NAME), "{report:?}");
    assert_eq!(world.state(NAME).consecutive_failures, 0);
}

fn clock_now(clock: &TestClock) -> chrono::DateTime<chrono::Utc> {
    certkit_acme::Clock::now(clock)
}

#[tokio::test]
async fn a_ca_that_stands_in_gets_neither_the_firsts_account_nor_its_certificates() {
    let world = world().await;
    world.proxy().offer_renewal_info();
    let port = world.pebble.http_port();
    let second = Pebble::start(PebbleOptions { http_port: Some(port), ..PebbleOptions::default() });
    let second_proxy = FaultProxy::start(&second);
    second_proxy.offer_renewal_info();
    let second_url = second_proxy.directory_url();
    world.register_at(&second_url, second_proxy.ca_bundle()).await;
    world.due(NAME).write();
    world.set(NAME, &format!("fallback_servers = [\"{second_url}\"]\n"));
    let mut transport = world.transport();
    transport.ca_bundles.push(second_proxy.ca_bundle());
    let renewer = Renewer::builder(world.store()).transport(transport).build().unwrap();
    // The first CA is there, and refuses orders.
    world.proxy().on(RequestKind::NewOrder).answer(Answer::service_unavailable());
    let report = renewer.run(Request::renew(), &Stop::new()).await.unwrap();
    assert!(is_renewed(&report, NAME), "{report:?}");
    assert_eq!(world.state(NAME).issuer_directory, Some(AcmeUrl::parse(&second_url).unwrap()));
    let orders = second_proxy.new_orders();
    assert_eq!((orders.len(), orders[0].replaces.as_deref()), (1, None), "it has not issued what is replaced");
    let base = second_url.replace("/dir", "/");
    for request in second_proxy.log().iter().filter_map(|request| request.protected.clone()) {
        if let Some(kid) = request["kid"].as_str() {
            assert!(kid.starts_with(&base), "{kid}");
        }
    }
    // Its certificate, in turn, is nothing that the first CA could replace.
    world.proxy().clear();
    world.proxy().forget_log();
    let report = renewer.run(Request::renew().forced(), &Stop::new()).await.unwrap();
    assert!(is_renewed(&report, NAME), "{report:?}");
    assert_eq!(world.state(NAME).issuer_directory, Some(world.directory()));
    assert_eq!(world.proxy().new_orders()[0].replaces, None);
    assert_eq!(second_proxy.new_orders().len(), 1);
}
