//! A store that fails in the middle of a run, and CAs that keep a run waiting: what they concern fails, the rest goes on.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use certkit_acme::protocol::{AccountKey, AccountKeyType};
use certkit_acme::renewal::{Observer, Outcome, Renewer, Report, Request};
use certkit_acme::{Stop, StopReason};
use certkit_core::{AcmeUrl, FailureClass, FindingCode, LineageName};
use testkit::{FaultProxy, Pebble, PebbleOptions, RequestKind};

use crate::support::{World, entry, make_unwritable, make_writable, making_unwritable};

const BROKEN: &str = "a.example.com";
const SOUND: &str = "b.example.com";

fn state_file(world: &World, name: &str) -> PathBuf {
    world.store().paths().state_file(&LineageName::new(name).unwrap())
}

fn breaking(world: &World, name: &str) -> String {
    making_unwritable(&state_file(world, name))
}

fn failed_for_the_store(report: &Report, name: &str) -> String {
    let Outcome::Failed { failure, .. } = &entry(report, name).outcome else { panic!("{report:?}") };
    assert_eq!(failure.class, FailureClass::Store, "{report:?}");
    failure.detail.clone()
}

#[tokio::test]
async fn what_is_immutable_is_told_with_the_command_that_lifts_it_and_nothing_is_ordered() {
    let world = World::new(PebbleOptions::default()).await;
    world.due(BROKEN).write();
    world.due(SOUND).write();
    let archive = world.store().paths().archive(&LineageName::new(BROKEN).unwrap());
    make_unwritable(&archive);
    let report = world.run().await;
    make_writable(&archive);
    let detail = failed_for_the_store(&report, BROKEN);
    assert!(detail.contains(&format!("chattr -i {} lets certkit write again", archive.display())), "{detail}");
    assert!(matches!(entry(&report, SOUND).outcome, Outcome::Renewed { .. }), "{report:?}");
    assert_eq!(world.whole_version(BROKEN), 1);
}

#[tokio::test]
async fn a_lineage_whose_deploy_cannot_be_recorded_fails_alone_and_post_hooks_run() {
    let world = World::new(PebbleOptions::default()).await;
    let post = world.file("post");
    let say = format!("echo \"[$RENEWED_DOMAINS] [$FAILED_DOMAINS]\" >> {}", post.display());
    world.due(BROKEN).deploy_hook(&breaking(&world, BROKEN)).param("post_hook", &format!("'{say}'")).write();
    world.due(SOUND).write();
    let report = world.run().await;
    let detail = failed_for_the_store(&report, BROKEN);
    assert!(detail.contains("version 2 is live"), "{detail}");
    assert!(!report.is_success());
    assert!(matches!(entry(&report, SOUND).outcome, Outcome::Renewed { .. }), "{report:?}");
    let said = std::fs::read_to_string(&post).unwrap();
    assert!(said.contains(BROKEN) && said.ends_with("[]\n"), "it is live: {said}");
    assert_eq!((world.whole_version(BROKEN), world.whole_version(SOUND)), (2, 2));
}

#[tokio::test]
async fn a_target_whose_deploy_cannot_be_recorded_keeps_no_other_target_from_the_version() {
    let world = World::new(PebbleOptions::default()).await;
    let (made, copied) = (world.file("made"), world.file("copied.pem"));
    world.due(BROKEN).deploy_hook(&breaking(&world, BROKEN)).write();
    let (made_by, copy) = (made.display(), copied.display());
    world.set(BROKEN, &format!("[[deploy]]\ncombined = \"{copy}\"\n[[deploy]]\ncommand = \"touch {made_by}\"\n"));
    let report = world.run().await;
    failed_for_the_store(&report, BROKEN);
    assert!(made.exists() && copied.exists(), "{report:?}");
    assert_eq!(report.hooks.len(), 3, "{report:?}");
}

#[tokio::test]
async fn a_failed_pre_hook_that_cannot_be_recorded_keeps_no_post_hook_from_running() {
    let world = World::new(PebbleOptions::default()).await;
    let post = world.file("post");
    let refuse = format!("{}; false", breaking(&world, BROKEN));
    world.due(BROKEN).param("pre_hook", &refuse).param("post_hook", &format!("touch {}", post.display())).write();
    world.due(SOUND).write();
    let report = world.run().await;
    let Outcome::Failed { failure, .. } = &entry(&report, BROKEN).outcome else { panic!("{report:?}") };
    assert_eq!(failure.class, FailureClass::Hook);
    assert!(failure.detail.contains("could not be recorded"), "{failure:?}");
    assert!(matches!(entry(&report, SOUND).outcome, Outcome::Renewed { .. }), "{report:?}");
    assert!(post.exists());
}

#[tokio::test]
async fn advice_that_cannot_be_kept_for_one_lineage_stops_no_other() {
    let world = World::new(PebbleOptions::default()).await;
    world.due(BROKEN).days_left(80).write();
    world.due(SOUND).write();
    // Read already, and not asked about yet.
    let file = state_file(&world, BROKEN);
    world.seen.when("first-seen", move || make_unwritable(&file));
    let report = world.run().await;
    failed_for_the_store(&report, BROKEN);
    assert!(report.findings.iter().any(|finding| finding.code == FindingCode::RenewalInformationUnavailable));
    assert!(matches!(entry(&report, SOUND).outcome, Outcome::Renewed { .. }), "{report:?}");
}

#[tokio::test]
async fn what_a_ca_says_is_kept_for_all_but_the_certificate_whose_memory_is_broken() {
    let world = World::with_faults(PebbleOptions::default()).await;
    world.proxy().offer_renewal_info();
    for name in [BROKEN, SOUND] {
        world.due(name).days_left(80).write();
    }
    let file = state_file(&world, BROKEN);
    world.seen.when("first-seen", move || make_unwritable(&file));
    let report = world.run().await;
    failed_for_the_store(&report, BROKEN);
    assert!(world.state(SOUND).renewal_information.is_some(), "{report:?}");
    let told: Vec<_> =
        report.findings.iter().filter(|one| one.code == FindingCode::RenewalInformationUnavailable).collect();
    assert!(told.iter().any(|one| one.subject == world.server()), "once for the CA: {told:?}");
}

#[tokio::test]
async fn a_look_for_revoked_certificates_that_cannot_be_kept_comes_before_no_post_hook() {
    let world = World::new(PebbleOptions::default()).await;
    let post = world.file("post");
    world.due(BROKEN).days_left(80).write();
    let pre = breaking(&world, BROKEN);
    world.due(SOUND).param("pre_hook", &pre).param("post_hook", &format!("touch {}", post.display())).write();
    let report = world.run().await;
    failed_for_the_store(&report, BROKEN);
    assert!(matches!(entry(&report, SOUND).outcome, Outcome::Renewed { .. }), "{report:?}");
    assert!(post.exists());
}

#[tokio::test]
async fn a_pending_deploy_that_cannot_be_recorded_stops_no_other_lineage() {
    let world = World::new(PebbleOptions::default()).await;
    for name in [BROKEN, SOUND] {
        world.due(name).days_left(80).write();
    }
    world.run().await;
    let made = world.file("made");
    for (name, command) in [(BROKEN, breaking(&world, BROKEN)), (SOUND, format!("touch {}", made.display()))] {
        world.set(name, &format!("[[deploy]]\ncommand = \"{command}\"\n"));
    }
    let report = world.renewer().deploy_pending(Request::renew(), &Stop::new()).await.unwrap();
    assert!(failed_for_the_store(&report, BROKEN).contains("version 1 is live"), "{report:?}");
    assert!(matches!(entry(&report, SOUND).outcome, Outcome::Deployed { .. }), "{report:?}");
    assert!(made.exists());
}

#[tokio::test]
async fn what_has_the_smallest_share_of_its_life_left_goes_first() {
    let world = World::new(PebbleOptions::default()).await;
    // A quarter of six days ends sooner than a ninth of ninety.
    world.due(BROKEN).lifetime_hours(144).hours_left(36).write();
    world.due(SOUND).lifetime_days(90).days_left(10).write();
    let mut request = Request::renew();
    request.parallel_orders = Some(1);
    let report = world.run_request(request).await;
    assert!(report.is_success(), "{report:?}");
    assert_eq!(world.seen.order_of(&[(BROKEN, "committed"), (SOUND, "committed")]), [SOUND, BROKEN]);
}

/// A renewer that trusts a further CA, and waits for an answer for so long.
fn renewer(world: &World, ca_bundle: PathBuf, timeout: Duration) -> Renewer {
    let mut transport = world.transport();
    transport.ca_bundles.push(ca_bundle);
    transport.timeout = timeout;
    let observer = Arc::clone(&world.seen) as Arc<dyn Observer>;
    Renewer::builder(world.store()).transport(transport).observer(observer).build().unwrap()
}

/// A lineage whose CA is another one than the world's, behind this URL.
async fn due_elsewhere(world: &World, name: &str, directory: &str, ca_bundle: PathBuf) {
    world.register_at(directory, ca_bundle).await;
    let account = world.store().accounts(&AcmeUrl::parse(directory).unwrap()).unwrap().0.remove(0).id;
    world.due(name).server(directory).account(&account).write();
}

#[tokio::test]
async fn the_orders_of_a_slow_ca_take_no_turn_from_another_ca() {
    let world = World::with_faults(PebbleOptions::default()).await;
    for number in 0..3 {
        world.due(&format!("slow{number}.example.com")).write();
    }
    let port = world.pebble.http_port();
    let second = Pebble::start(PebbleOptions { http_port: Some(port), ..PebbleOptions::default() });
    let door = FaultProxy::start(&second);
    due_elsewhere(&world, SOUND, &door.directory_url(), door.ca_bundle()).await;
    // The slow one has the first turn.
    door.on(RequestKind::Directory).delayed(Duration::from_secs(2)).pass();
    world.proxy().on(RequestKind::NewOrder).hang();
    let mut request = Request::renew();
    request.parallel_orders = Some(1);
    let renewer = renewer(&world, door.ca_bundle(), Duration::from_secs(8));
    let report = renewer.run(request, &Stop::new()).await.unwrap();
    assert!(matches!(entry(&report, SOUND).outcome, Outcome::Renewed { .. }), "{report:?}");
    let order = world.seen.order_of(&[
        (SOUND, "committed"),
        ("slow0.example.com", "attempt-failed"),
        ("slow1.example.com", "attempt-failed"),
        ("slow2.example.com", "attempt-failed"),
    ]);
    assert_eq!(order.first().map(String::as_str), Some(SOUND), "{order:?}");
}

/// A change of the key of the world's account that did not end, at a CA that does not answer.
fn begin_rollover_at_a_silent_ca(world: &World) {
    let key = AccountKey::generate_kind(AccountKeyType::EcdsaP256).unwrap();
    let store = world.store();
    let account = store.accounts(&world.directory()).unwrap().0.remove(0);
    let locked = store.lock().unwrap();
    locked.begin_rollover(&world.directory(), &account, key.spki_der(), &key.to_jwk(), testkit::now()).unwrap();
    world.proxy().forget_log();
    world.proxy().on(RequestKind::Directory).hang();
}

const LONGER_THAN_A_TEST: Duration = Duration::from_secs(3600);
const SHORT_PATIENCE: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_run_goes_on_when_the_ca_of_an_unfinished_account_key_does_not_answer() {
    let world = World::with_faults(PebbleOptions::default()).await;
    let port = world.pebble.http_port();
    let second = Pebble::start(PebbleOptions { http_port: Some(port), ..PebbleOptions::default() });
    due_elsewhere(&world, SOUND, &second.directory_url(), second.ca_bundle()).await;
    begin_rollover_at_a_silent_ca(&world);
    // The key of an account at a CA that answers is put right meanwhile.
    let answering = AcmeUrl::parse(&second.directory_url()).unwrap();
    let key = AccountKey::generate_kind(AccountKeyType::EcdsaP256).unwrap();
    let account = world.store().accounts(&answering).unwrap().0.remove(0);
    let long_ago = testkit::now() - chrono::TimeDelta::days(1);
    let locked = world.store().lock().unwrap();
    locked.begin_rollover(&answering, &account, key.spki_der(), &key.to_jwk(), long_ago).unwrap();
    drop(locked);
    let mut transport = world.transport();
    transport.ca_bundles.push(second.ca_bundle());
    transport.timeout = LONGER_THAN_A_TEST;
    let renewer = Renewer::builder(world.store())
        .transport(transport)
        .observer(Arc::clone(&world.seen) as Arc<dyn Observer>)
        .account_key_patience(SHORT_PATIENCE)
        .build()
        .unwrap();
    let (request, stop) = (Request::renew(), Stop::new());
    let run = renewer.run(request, &stop);
    let report = tokio::time::timeout(Duration::from_secs(120), run).await.expect("the run waits for ever").unwrap();
    assert!(matches!(entry(&report, SOUND).outcome, Outcome::Renewed { .. }), "{report:?}");
    let told = report.findings.iter().find(|finding| finding.code == FindingCode::AccountKeyPending).unwrap();
    assert_eq!(told.subject, world.account);
    assert!(told.evidence.contains("not waited for longer than 2 seconds"), "{told:?}");
    let left = world.store().rollovers().unwrap().0;
    assert_eq!(left.len(), 1, "the next run asks again: {left:?}");
    assert_eq!(left[0].directory, world.directory());
    assert!(report.findings.iter().any(|finding| finding.subject == account.id), "{report:?}");
}

#[tokio::test]
async fn a_run_that_is_asked_to_stop_waits_for_no_account_key() {
    let world = World::with_faults(PebbleOptions::default()).await;
    world.due(SOUND).write();
    begin_rollover_at_a_silent_ca(&world);
    let renewer = renewer(&world, world.pebble.ca_bundle(), LONGER_THAN_A_TEST);
    let stop = Stop::new();
    let ask = async {
        while world.proxy().count(RequestKind::Directory) == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stop.stop(StopReason::Terminate);
    };
    let both = async { tokio::join!(renewer.run(Request::renew(), &stop), ask) };
    let (report, ()) = tokio::time::timeout(Duration::from_secs(120), both).await.expect("the run does not stop");
    let report = report.unwrap();
    assert_eq!(report.stopped, Some(StopReason::Terminate));
    let told = report.findings.iter().find(|finding| finding.code == FindingCode::AccountKeyPending).unwrap();
    assert!(told.evidence.contains("asked to stop"), "{told:?}");
}

#[tokio::test]
async fn a_deploy_asks_no_ca_about_an_account_key() {
    let world = World::with_faults(PebbleOptions::default()).await;
    world.due(SOUND).days_left(80).write();
    begin_rollover_at_a_silent_ca(&world);
    let renewer = renewer(&world, world.pebble.ca_bundle(), Duration::from_secs(2));
    renewer.deploy_pending(Request::renew(), &Stop::new()).await.unwrap();
    assert_eq!(world.proxy().count(RequestKind::Directory), 0);
}
