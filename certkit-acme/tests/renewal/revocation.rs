//! Certificates that their CA has revoked, in whole runs: found in its list, renewed, and not asked for too often.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use certkit_acme::Stop;
use certkit_acme::renewal::{Outcome, Report, Request};
use certkit_core::decision::DueReason;
use certkit_core::state::Event;
use certkit_core::{FindingCode, HeldBy, LineageName};
use chrono::TimeDelta;
use testkit::{Answer, HttpRequest, PebbleOptions, RequestKind, RevocationList};

use crate::clock::TestClock;
use crate::support::{World, entry, make_unwritable};

const NAME: &str = "a.example.com";

/// Serves lists on loopback and counts who asks.
struct Lists {
    base: String,
    bodies: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Lists {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let bodies: Arc<Mutex<BTreeMap<String, Vec<u8>>>> = Arc::default();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (served, counted) = (Arc::clone(&bodies), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let Some(path) = HttpRequest::read(&stream).map(|request| request.path) else { continue };
                counted.lock().unwrap().push(path.clone());
                let body = served.lock().unwrap().get(&path).cloned();
                let (status, body) = body.map_or_else(|| (404, b"no list here".to_vec()), |body| (200, body));
                let length = body.len();
                let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
                let _ = stream.write_all(&[head.as_bytes(), &body].concat());
            }
        });
        Self { base, bodies, asked }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn serve(&self, path: &str, body: Vec<u8>) {
        self.bodies.lock().unwrap().insert(path.to_owned(), body);
    }

    fn asked(&self, path: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| *asked == path).count()
    }
}

/// A list of today that names these certificates.
fn list(world: &World, revoked: &[&str]) -> Vec<u8> {
    let now = testkit::now();
    world.tree.pki().sign_revocation_list(&RevocationList {
        revoked: revoked.iter().map(|serial| ((*serial).to_owned(), now - TimeDelta::hours(2))).collect(),
        this_update: now - TimeDelta::hours(1),
        next_update: now + TimeDelta::days(7),
        distribution_point: None,
    })
}

async fn world() -> (World, Lists) {
    (World::with_faults(PebbleOptions::default()).await, Lists::start())
}

/// Why the last attempt at a lineage was made.
fn because(world: &World, name: &str) -> Option<String> {
    let history = world.store().history(&LineageName::new(name).unwrap()).unwrap();
    history.into_iter().rev().find_map(|recorded| match recorded.event {
        Event::AttemptStarted { because, .. } => Some(because),
        _ => None,
    })
}

fn is_told(report: &Report, name: &str) -> bool {
    report.findings.iter().any(|finding| finding.code == FindingCode::CertificateRevoked && finding.subject == name)
}

#[tokio::test]
async fn a_certificate_that_its_ca_has_revoked_is_renewed_by_the_run_that_finds_it() {
    // Let's Encrypt revoked three million certificates in five days (2020-03): who did not look kept serving them.
    let (world, lists) = world().await;
    let url = lists.url("/1.crl");
    let paths = world.due(NAME).days_left(80).crl_url(&url).write();
    world.due("good.example.com").days_left(80).crl_url(&url).write();
    lists.serve("/1.crl", list(&world, &[&paths.serial]));
    let report = world.run().await;
    assert!(matches!(entry(&report, NAME).outcome, Outcome::Renewed { .. }), "{report:?}");
    assert_eq!(report.entries.len(), 2, "each has one line: {report:?}");
    assert!(is_told(&report, NAME) && !is_told(&report, "good.example.com"), "{report:?}");
    assert_eq!(because(&world, NAME).as_deref(), Some("revoked"));
    assert!(matches!(entry(&report, "good.example.com").outcome, Outcome::NotDue { .. }), "{report:?}");
    assert_eq!(world.whole_version(NAME), 2);
    assert_eq!(lists.asked("/1.crl"), 1, "one list is fetched once a run");
    // The successor is another certificate.
    let report = world.run().await;
    assert!(matches!(entry(&report, NAME).outcome, Outcome::NotDue { .. }) && !is_told(&report, NAME), "{report:?}");
    assert_eq!(world.proxy().count(RequestKind::NewOrder), 1);
}

#[tokio::test]
async fn a_certificate_whose_memory_is_broken_keeps_no_other_from_being_found_revoked() {
    let (world, lists) = world().await;
    let url = lists.url("/1.crl");
    let broken = world.due(NAME).days_left(80).crl_url(&url).write();
    let other = world.due("other.example.com").days_left(80).crl_url(&url).write();
    lists.serve("/1.crl", list(&world, &[&broken.serial, &other.serial]));
    let file = world.store().paths().state_file(&LineageName::new(NAME).unwrap());
    world.seen.when("first-seen", move || make_unwritable(&file));
    let report = world.run().await;
    assert!(matches!(entry(&report, "other.example.com").outcome, Outcome::Renewed { .. }), "{report:?}");
    assert!(!entry(&report, NAME).outcome.is_success(), "{report:?}");
    assert!(report.findings.iter().any(|finding| finding.subject == "revocation lists"), "{report:?}");
}

#[tokio::test]
async fn a_list_without_the_certificate_changes_nothing_and_is_fetched_once_a_day() {
    let (world, lists) = world().await;
    let url = lists.url("/1.crl");
    world.due(NAME).days_left(80).crl_url(&url).write();
    lists.serve("/1.crl", list(&world, &["0102"]));
    let now = testkit::now();
    let clock = TestClock::at(now);
    for (hours, asked) in [(0, 1), (0, 1), (12, 1), (23, 1), (25, 2), (26, 2)] {
        clock.set(now + TimeDelta::hours(hours));
        let report = world.renewer_at(&clock).run(Request::renew(), &Stop::new()).await.unwrap();
        let Outcome::NotDue { reason, .. } = &entry(&report, NAME).outcome else { panic!("{report:?}") };
        assert_eq!(*reason, DueReason::ThirdOfLifetime);
        assert_eq!(lists.asked("/1.crl"), asked, "after {hours} hours");
    }
    // A clock that was a month ahead when it was last looked keeps nobody from looking today.
    clock.set(now + TimeDelta::days(30));
    world.renewer_at(&clock).run(Request::renew(), &Stop::new()).await.unwrap();
    let before = lists.asked("/1.crl");
    clock.set(now);
    world.renewer_at(&clock).run(Request::renew(), &Stop::new()).await.unwrap();
    assert_eq!(lists.asked("/1.crl"), before + 1);
}

#[tokio::test]
async fn a_list_that_cannot_be_had_or_counts_for_nothing_changes_nothing_and_stops_nobody() {
    let (world, lists) = world().await;
    let now = testkit::now();
    let nobody = { TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap() };
    let mut bad =
        vec![("nobody.example.com", format!("http://{nobody}/1.crl")), ("gone.example.com", lists.url("/404"))];
    // Two lists name their certificates, and count for nothing: another CA signed the one, the other is of last month.
    let stranger = testkit::Pki::new(now);
    for (name, path) in
        [("stranger.example.com", "/stranger"), ("old.example.com", "/old"), ("html.example.com", "/html")]
    {
        bad.push((name, lists.url(path)));
    }
    let mut serials = BTreeMap::new();
    for (name, url) in &bad {
        serials.insert(*name, world.due(name).days_left(80).crl_url(url).write().serial);
    }
    let of = |name: &str| vec![(serials[name].clone(), now - TimeDelta::days(3))];
    let foreign = RevocationList {
        revoked: of("stranger.example.com"),
        this_update: now - TimeDelta::hours(1),
        next_update: now + TimeDelta::days(7),
        distribution_point: None,
    };
    lists.serve("/stranger", stranger.sign_revocation_list(&foreign));
    let old = RevocationList {
        revoked: of("old.example.com"),
        this_update: now - TimeDelta::days(30),
        next_update: now - TimeDelta::days(20),
        distribution_point: None,
    };
    lists.serve("/old", world.tree.pki().sign_revocation_list(&old));
    lists.serve("/html", b"<!doctype html><title>Sign in to the Wi-Fi</title>".to_vec());
    world.due("due.example.com").crl_url(&lists.url("/due")).write();
    let revoked = world.due("revoked.example.com").days_left(80).crl_url(&lists.url("/good")).write();
    lists.serve("/good", list(&world, &[&revoked.serial]));
    let report = world.run().await;
    for name in serials.keys() {
        assert!(matches!(entry(&report, name).outcome, Outcome::NotDue { .. }), "{name}: {report:?}");
        assert!(!is_told(&report, name), "{name}");
        let known = world.state(name).revocation.unwrap();
        assert_eq!(known.revoked_since, None, "{name}");
        let wait = known.next_check - now;
        assert!(wait > TimeDelta::seconds(30) && wait < TimeDelta::minutes(3), "{name}: {wait}");
    }
    for name in ["due.example.com", "revoked.example.com"] {
        assert!(matches!(entry(&report, name).outcome, Outcome::Renewed { .. }), "{name}: {report:?}");
    }
    assert_eq!(lists.asked("/404"), 1);
    world.run().await;
    assert_eq!(lists.asked("/404"), 1, "it is left alone for a minute, and longer after each failure");
}

#[tokio::test]
async fn the_owner_can_leave_the_lists_unread_and_autorenew_off_only_tells() {
    let (world, lists) = world().await;
    let unread = world.due(NAME).days_left(80).crl_url(&lists.url("/unread")).write();
    let told =
        world.due("off.example.com").days_left(80).crl_url(&lists.url("/1.crl")).param("autorenew", "False").write();
    world.set(NAME, "revocation_check = false\n");
    lists.serve("/unread", list(&world, &[&unread.serial]));
    lists.serve("/1.crl", list(&world, &[&told.serial]));
    let report = world.run().await;
    assert!(matches!(entry(&report, NAME).outcome, Outcome::NotDue { .. }), "{report:?}");
    assert_eq!(lists.asked("/unread"), 0);
    assert!(matches!(entry(&report, "off.example.com").outcome, Outcome::NotDue { .. }), "{report:?}");
    assert!(is_told(&report, "off.example.com"), "{report:?}");
    assert_eq!(world.proxy().count(RequestKind::NewOrder), 0);
}

#[tokio::test]
async fn what_is_known_to_be_revoked_stays_due_after_a_failed_attempt() {
    let (world, lists) = world().await;
    let paths = world.due(NAME).days_left(80).crl_url(&lists.url("/1.crl")).write();
    lists.serve("/1.crl", list(&world, &[&paths.serial]));
    world.proxy().on(RequestKind::NewOrder).answer(Answer::server_internal());
    let clock = TestClock::at(testkit::now());
    let run = async || world.renewer_at(&clock).run(Request::renew(), &Stop::new()).await.unwrap();
    let report = run().await;
    assert!(matches!(entry(&report, NAME).outcome, Outcome::Failed { .. }), "{report:?}");
    // The list is gone by now; what it said is not.
    lists.serve("/1.crl", b"garbage".to_vec());
    let report = run().await;
    assert!(matches!(entry(&report, NAME).outcome, Outcome::Held { by: HeldBy::Failure(_), .. }), "{report:?}");
    assert!(is_told(&report, NAME), "told until it is renewed: {report:?}");
    assert_eq!(lists.asked("/1.crl"), 1);
    clock.advance(TimeDelta::hours(30));
    world.proxy().shift_date(TimeDelta::hours(30));
    let report = run().await;
    assert!(matches!(entry(&report, NAME).outcome, Outcome::Failed { .. }), "{report:?}");
    clock.advance(TimeDelta::hours(30));
    world.proxy().shift_date(TimeDelta::hours(60));
    world.proxy().clear();
    let report = run().await;
    assert!(matches!(entry(&report, NAME).outcome, Outcome::Renewed { .. }), "{report:?}");
    assert_eq!(because(&world, NAME).as_deref(), Some("revoked"));
}
