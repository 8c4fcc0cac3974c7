//! Which lineages a run touches, and what becomes of the others.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

use certkit_acme::renewal::{Outcome, Request, RollBack};
use certkit_core::FailureClass;
use certkit_core::store::Kind;
use testkit::{FolderEntry, PebbleOptions};

use crate::support::{World, entry};

#[tokio::test]
async fn what_is_due_is_renewed_and_nothing_else() {
    let world = World::new(PebbleOptions::default()).await;
    world.due("due.example.com").names(["due.example.com", "www.due.example.com"]).write();
    world.tree.lineage("fresh.example.com").days_left(60).server(&world.server()).account(&world.account).write();
    std::fs::write(world.tree.config_dir().join("renewal/broken.example.com.conf"), "no = [renewalparams]\n").unwrap();
    let report = world.run().await;
    assert!(matches!(entry(&report, "due.example.com").outcome, Outcome::Renewed { .. }), "{report:?}");
    assert!(matches!(entry(&report, "fresh.example.com").outcome, Outcome::NotDue { .. }));
    assert!(matches!(entry(&report, "broken.example.com").outcome, Outcome::Broken { .. }));
    assert!(!report.is_success(), "a broken lineage is not well");
    assert_eq!(world.whole_version("due.example.com"), 2);
    assert_eq!(world.whole_version("fresh.example.com"), 1);
    let names = world.lineage("due.example.com").certificate().unwrap().identifiers().unwrap();
    assert_eq!(names.len(), 2);
    // The next run has nothing to do.
    let report = world.run().await;
    assert!(matches!(entry(&report, "due.example.com").outcome, Outcome::NotDue { .. }));
    assert_eq!(world.pebble.orders_placed(), 1);
}

#[tokio::test]
async fn the_conf_changes_only_where_it_must() {
    let world = World::new(PebbleOptions::default()).await;
    let paths = world.due("a.example.com").param("made_by_the_owner", "kept").write();
    let before = std::fs::read_to_string(&paths.conf).unwrap();
    assert!(world.run().await.is_success());
    assert_eq!(std::fs::read_to_string(&paths.conf).unwrap(), before);
}

#[tokio::test]
async fn every_failing_name_is_reported_and_the_other_lineage_is_renewed() {
    // Bazel, 2025-12-26: one dead name silently kept a certificate of many names from being renewed.
    let world = World::new(PebbleOptions::default()).await;
    world.due("bad.example.com").names(["bad.example.com", "dead1.example.com", "dead2.example.com"]).write();
    world.due("good.example.com").write();
    world.pebble.set_servfail("dead1.example.com");
    world.pebble.set_servfail("dead2.example.com");
    let report = world.run().await;
    assert!(matches!(entry(&report, "good.example.com").outcome, Outcome::Renewed { .. }), "{report:?}");
    let Outcome::Failed { failure, next_attempt } = &entry(&report, "bad.example.com").outcome else {
        panic!("{report:?}")
    };
    assert_eq!(failure.class, FailureClass::ChallengeFailed);
    let failed: Vec<String> = failure.per_identifier.iter().map(|one| one.identifier.to_string()).collect();
    assert_eq!(failed, ["dead1.example.com", "dead2.example.com"]);
    assert!(failure.per_identifier.iter().all(|one| one.problem.detail.contains("could not resolve")), "{failure:?}");
    assert!(next_attempt.is_some());
    assert_eq!(world.whole_version("bad.example.com"), 1);
    assert_eq!(world.whole_version("good.example.com"), 2);
    // Running again does not ask the CA again; the owner can.
    let orders = world.pebble.orders_placed();
    let report = world.run().await;
    assert!(matches!(entry(&report, "bad.example.com").outcome, Outcome::Held { .. }));
    assert!(!report.is_success());
    assert_eq!(world.pebble.orders_placed(), orders);
    world.pebble.clear_servfail("dead1.example.com");
    world.pebble.clear_servfail("dead2.example.com");
    let forced = Request::renew().forced();
    let report = world.run_request(forced).await;
    assert!(matches!(entry(&report, "bad.example.com").outcome, Outcome::Renewed { .. }), "{report:?}");
}

#[tokio::test]
async fn a_dry_run_validates_every_name_and_changes_nothing() {
    let world = World::new(PebbleOptions { authorization_reuse_percent: 100, ..PebbleOptions::default() }).await;
    world.due("a.example.com").write();
    world
        .tree
        .lineage("b.example.com")
        .days_left(60)
        .server(&world.server())
        .account(&world.account)
        .standalone(world.pebble.http_port())
        .write();
    let dry = || Request::renew().dry_run();
    let before = world.tree.snapshot();
    for _ in 0..2 {
        let report = world.run_request(dry()).await;
        assert!(report.is_success(), "{report:?}");
        assert!(report.dry_run && report.entries.iter().all(|entry| matches!(entry.outcome, Outcome::Simulated)));
    }
    assert_eq!(without_times_of_folders(world.tree.snapshot()), without_times_of_folders(before));
    // Authorizations that the CA would have reused were given up: a name that is dead now is found out.
    world.pebble.set_servfail("b.example.com");
    let report = world.run_request(dry()).await;
    assert!(matches!(entry(&report, "b.example.com").outcome, Outcome::Failed { .. }), "{report:?}");
    assert!(matches!(entry(&report, "a.example.com").outcome, Outcome::Simulated));
    // And the failure is not held against the lineage.
    world.pebble.clear_servfail("b.example.com");
    assert!(world.run_request(dry()).await.is_success());
}

#[tokio::test]
async fn a_dry_run_asks_the_ca_and_tells_what_would_keep_the_certificate_from_being_stored() {
    let world = World::new(PebbleOptions::default()).await;
    world.due("a.example.com").write();
    world.due("b.example.com").write();
    let conf = world.tree.config_dir().join("renewal/a.example.com.conf");
    let text = std::fs::read_to_string(&conf).unwrap();
    std::fs::write(&conf, text.replace("live/a.example.com/privkey.pem", "live/b.example.com/privkey.pem")).unwrap();
    let failed = |report: &certkit_acme::renewal::Report| match &entry(report, "a.example.com").outcome {
        Outcome::Failed { failure, .. } => failure.clone(),
        other => panic!("{other:?}"),
    };
    let report = world.run_request(Request::renew().dry_run()).await;
    let failure = failed(&report);
    assert!(failure.detail.contains("a live link of b.example.com"), "{failure:?}");
    assert!(matches!(entry(&report, "b.example.com").outcome, Outcome::Simulated), "{report:?}");
    // Both at once, where the CA does not validate the name either.
    world.pebble.set_servfail("a.example.com");
    let failure = failed(&world.run_request(Request::renew().dry_run()).await);
    assert!(failure.detail.contains("nor could the certificate be stored: renewal/a.example.com.conf has privkey"));
    assert!(!failure.per_identifier.is_empty(), "{failure:?}");
    world.pebble.clear_servfail("a.example.com");
    // In earnest nothing is ordered.
    let failure = failed(&world.run().await);
    assert!(failure.detail.contains("a.example.com.conf say `privkey = "), "{failure:?}");
    assert_eq!(world.whole_version("b.example.com"), 2);
}

#[tokio::test]
async fn what_is_set_aside_when_a_version_goes_live_is_told() {
    let world = World::new(PebbleOptions::default()).await;
    world.due("a.example.com").write();
    assert!(world.run().await.is_success());
    // Whoever has the folder mounted that was exchanged out puts a key in the place of the link.
    let other = world.tree.config_dir().join("certkit/switched.a.example.com/privkey.pem");
    std::fs::remove_file(&other).unwrap();
    std::fs::write(&other, "a key").unwrap();
    let report = world.run_request(Request::renew().forced()).await;
    assert!(report.is_success(), "{report:?}");
    let told = report.findings.iter().find(|one| one.code == certkit_core::FindingCode::LeftAtCommit);
    assert!(
        told.is_some_and(|one| one.evidence.contains("certkit/saved/switched.a.example.com/privkey.pem")),
        "{report:?}"
    );
}

#[tokio::test]
async fn rejected_nonces_and_reused_authorizations_are_no_trouble() {
    let options =
        PebbleOptions { nonce_reject_percent: 20, authorization_reuse_percent: 100, ..PebbleOptions::default() };
    let world = World::new(options).await;
    for number in 1..=4 {
        world
            .due(&format!("l{number}.example.com"))
            .names([format!("l{number}.example.com"), "shared.example.com".into()])
            .write();
    }
    let report = world.run().await;
    assert!(report.is_success(), "{report:?}");
    let forced = Request::renew().forced();
    let report = world.run_request(forced).await;
    assert!(report.is_success(), "{report:?}");
    for number in 1..=4 {
        assert_eq!(world.whole_version(&format!("l{number}.example.com")), 3);
    }
}

#[tokio::test]
async fn an_authenticator_that_cannot_be_done_fails_only_when_it_is_due() {
    let world = World::new(PebbleOptions::default()).await;
    let plain = |name: &str, days: i64| {
        world
            .tree
            .lineage(name)
            .days_left(days)
            .server(&world.server())
            .account(&world.account)
            .param("authenticator", "dns-cloudflare")
            .write()
    };
    plain("later.example.com", 60);
    plain("now.example.com", 5);
    world.due("other.example.com").write();
    let report = world.run().await;
    assert!(matches!(entry(&report, "later.example.com").outcome, Outcome::NotDue { .. }), "{report:?}");
    let Outcome::Failed { failure, .. } = &entry(&report, "now.example.com").outcome else { panic!("{report:?}") };
    assert_eq!(failure.class, FailureClass::AuthenticatorUnsupported);
    assert!(matches!(entry(&report, "other.example.com").outcome, Outcome::Renewed { .. }));
    assert_eq!(world.pebble.orders_placed(), 1);
    assert!(report.findings.iter().any(|finding| finding.subject == "later.example.com"), "told before it is due");
}

#[tokio::test]
async fn a_second_run_at_the_same_time_is_told_who_is_at_work() {
    let world = World::new(PebbleOptions::default()).await;
    let _locked = world.store().lock().unwrap();
    let error = world.renewer().run(Request::renew(), &certkit_acme::Stop::new()).await.unwrap_err();
    assert!(error.to_string().contains("already running"), "{error}");
}

#[tokio::test]
async fn key_type_and_reuse_follow_the_conf() {
    let world = World::new(PebbleOptions::default()).await;
    world.due("rsa.example.com").param("key_type", "rsa").param("rsa_key_size", "3072").write();
    world.due("p384.example.com").param("key_type", "ecdsa").param("elliptic_curve", "secp384r1").write();
    world.due("same.example.com").param("reuse_key", "True").write();
    let key_before = std::fs::read(world.live("same.example.com", Kind::Privkey)).unwrap();
    let report = world.run().await;
    assert!(report.is_success(), "{report:?}");
    assert_eq!(world.lineage("rsa.example.com").certificate().unwrap().key_bits(), Some(3072));
    assert_eq!(world.lineage("p384.example.com").certificate().unwrap().key_bits(), Some(384));
    assert_eq!(std::fs::read(world.live("same.example.com", Kind::Privkey)).unwrap(), key_before);
    assert_eq!(world.whole_version("same.example.com"), 2);
}

#[tokio::test]
async fn a_kept_key_is_replaced_once_and_changes_its_kind_only_then() {
    let world = World::new(PebbleOptions::default()).await;
    world.due("same.example.com").param("reuse_key", "True").write();
    let key = || std::fs::read(world.live("same.example.com", Kind::Privkey)).unwrap();
    let first = key();
    let mut request = Request::renew();
    request.new_key = true;
    assert!(world.run_request(request).await.is_success());
    let second = key();
    assert_ne!(second, first);
    assert!(world.lineage("same.example.com").conf().params().reuse_key, "kept from then on");
    assert!(world.run_request(Request::renew().forced()).await.is_success());
    assert_eq!(key(), second);

    let mut other_kind = Request::renew().forced();
    other_kind.edits.param("key_type", Some("rsa"));
    let report = world.run_request(other_kind.clone()).await;
    let Outcome::Failed { failure, .. } = &entry(&report, "same.example.com").outcome else { panic!("{report:?}") };
    assert!(failure.detail.contains("--new-key"), "{failure:?}");
    assert_eq!(key(), second);
    other_kind.new_key = true;
    assert!(world.run_request(other_kind).await.is_success());
    assert_eq!(world.lineage("same.example.com").certificate().unwrap().key_bits(), Some(2048));
    assert_eq!(world.whole_version("same.example.com"), 4);
}

#[tokio::test]
async fn an_order_with_the_kept_key_is_not_finished_when_another_key_is_wanted() {
    let world = World::new(PebbleOptions::default()).await;
    world.due("same.example.com").param("reuse_key", "True").write();
    let first = std::fs::read(world.live("same.example.com", Kind::Privkey)).unwrap();
    let stop = certkit_acme::Stop::new();
    let asked = stop.clone();
    world.seen.when("validating", move || asked.stop(certkit_acme::StopReason::Terminate));
    let report = world.renewer().run(Request::renew(), &stop).await.unwrap();
    assert!(!report.is_success(), "{report:?}");
    world.seen.never();
    let mut request = Request::renew().forced();
    request.new_key = true;
    let report = world.run_request(request).await;
    assert!(report.is_success(), "{report:?}");
    assert_ne!(std::fs::read(world.live("same.example.com", Kind::Privkey)).unwrap(), first);
    assert!(world.seen.kinds("same.example.com").contains(&"order-dropped".to_owned()));
}

#[tokio::test]
async fn a_lineage_is_obtained_by_the_same_path_and_rolled_back() {
    let world = World::new(PebbleOptions::default()).await;
    let name = certkit_core::LineageName::new("new.example.com").unwrap();
    let identifiers = ["new.example.com", "www.new.example.com"].iter().map(|name| name.parse().unwrap()).collect();
    let mut edits = certkit_core::store::ConfEdits::default();
    edits.param("authenticator", Some("standalone")).param("key_type", Some("ecdsa"));
    edits.param("http01_port", Some(&world.pebble.http_port().to_string())).param("server", Some(&world.server()));
    let obtain = Request::obtain(name.clone(), identifiers, edits);
    let report = world.run_request(obtain.clone()).await;
    assert!(report.is_success(), "{report:?}");
    assert_eq!(world.whole_version("new.example.com"), 1);
    assert_eq!(world.lineage("new.example.com").conf().params().account.as_deref(), Some(world.account.as_str()));
    let report = world.run_request(obtain.forced()).await;
    assert!(report.is_success(), "{report:?}");
    let first = world.lineage("new.example.com").read_version(certkit_core::Version(1)).unwrap().chain.leaf;
    let report = world.renewer().roll_back(&RollBack::of(name), &certkit_acme::Stop::new()).await.unwrap();
    assert!(report.is_success(), "{report:?}");
    assert_eq!(world.whole_version("new.example.com"), 3);
    assert_eq!(world.lineage("new.example.com").certificate().unwrap(), first);
}

/// Folders' times change when lock files come and go; what they hold must not.
fn without_times_of_folders(mut snapshot: BTreeMap<PathBuf, FolderEntry>) -> BTreeMap<PathBuf, FolderEntry> {
    let folders = snapshot.iter_mut().filter(|(path, _)| path.is_dir() && !path.is_symlink());
    folders.for_each(|(_, entry)| entry.modified = SystemTime::UNIX_EPOCH);
    snapshot
}

#[tokio::test]
async fn dry_runs_of_lineages_that_share_a_name_do_not_fail_each_other() {
    let world = World::new(PebbleOptions { authorization_reuse_percent: 100, ..PebbleOptions::default() }).await;
    for number in 1..=4 {
        let names = [format!("l{number}.example.com"), "shared.example.com".to_owned()];
        world.due(&format!("l{number}.example.com")).names(names).write();
    }
    for _ in 0..2 {
        let report = world.run_request(Request::renew().dry_run()).await;
        assert!(report.is_success(), "{report:?}");
    }
}

#[tokio::test]
async fn what_is_live_but_cannot_be_used_is_renewed_at_once() {
    // certbot 5.8 calls a lineage whose fullchain.pem is empty "not yet due".
    let world = World::new(PebbleOptions::default()).await;
    let lineage = |name: &str| {
        world
            .tree
            .lineage(name)
            .days_left(60)
            .server(&world.server())
            .account(&world.account)
            .standalone(world.pebble.http_port())
            .write()
    };
    let empty = lineage("empty.example.com");
    std::fs::write(empty.archive.join("fullchain1.pem"), "").unwrap();
    let foreign = lineage("foreign.example.com");
    std::fs::copy(empty.archive.join("privkey1.pem"), foreign.archive.join("privkey1.pem")).unwrap();
    lineage("sound.example.com");
    let report = world.run().await;
    for name in ["empty.example.com", "foreign.example.com"] {
        assert!(matches!(entry(&report, name).outcome, Outcome::Renewed { .. }), "{report:?}");
        assert_eq!(world.whole_version(name), 2);
    }
    assert!(matches!(entry(&report, "sound.example.com").outcome, Outcome::NotDue { .. }));
}

#[tokio::test]
async fn a_version_goes_live_in_one_step_or_link_by_link_as_the_owner_wants() {
    use std::os::unix::fs::MetadataExt as _;

    use certkit_acme::renewal::Renewer;
    use certkit_core::store::LiveSwitch;
    let world = World::new(PebbleOptions::default()).await;
    let paths = world.due("a.example.com").write();
    let folder = || std::fs::metadata(&paths.live).unwrap().ino();
    let before = folder();
    let renewer = |how| Renewer::builder(world.store()).transport(world.transport()).live_switch(how).build().unwrap();
    let stop = certkit_acme::Stop::new();
    let report = renewer(LiveSwitch::Links).run(Request::renew(), &stop).await.unwrap();
    assert!(report.is_success(), "{report:?}");
    assert_eq!((world.whole_version("a.example.com"), folder()), (2, before));
    let report = renewer(LiveSwitch::Exchange).run(Request::renew().forced(), &stop).await.unwrap();
    assert!(report.is_success(), "{report:?}");
    assert_eq!(world.whole_version("a.example.com"), 3);
    assert_ne!(folder(), before);
}

#[tokio::test]
async fn a_version_that_certbot_stored_but_did_not_link_goes_live_and_is_deployed() {
    // certbot links it at its next run, but runs no deploy hook: the server goes on with the old certificate.
    let world = World::new(PebbleOptions::default()).await;
    let log = world.file("log");
    let paths = world
        .tree
        .lineage("a.example.com")
        .versions(2)
        .days_left(60)
        .server(&world.server())
        .account(&world.account)
        .deploy_hook(&format!("echo $RENEWED_DOMAINS >> {}", log.display()))
        .write();
    for kind in Kind::ALL {
        let link = paths.live.join(kind.live_file());
        std::fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(format!("../../archive/a.example.com/{}1.pem", kind.as_str()), link).unwrap();
    }
    let report = world.run().await;
    assert!(report.is_success(), "{report:?}");
    assert_eq!(world.whole_version("a.example.com"), 2);
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "a.example.com\n");
    assert!(report.findings.iter().any(|finding| finding.code == certkit_core::FindingCode::PutRight), "{report:?}");
    assert_eq!(world.pebble.orders_placed(), 0);
}
