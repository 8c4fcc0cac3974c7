//! The targets of the owner's settings in whole runs: each has its own state, and none needs a new certificate.

use certkit_acme::renewal::{Outcome, Request};
use certkit_acme::{AwsLcKeyMath, Stop};
use certkit_core::FindingCode;
use certkit_core::state::DeployTarget;
use certkit_core::store::{Kind, RepairReport};
use testkit::PebbleOptions;

use crate::support::{World, entry};

const NAME: &str = "a.example.com";

fn orders(world: &World) -> usize {
    world.pebble.orders_placed()
}

/// A command that notes each time it runs.
fn noting(world: &World) -> (std::path::PathBuf, String) {
    let log = world.file("reloads");
    let command = format!("echo $RENEWED_LINEAGE >> {}", log.display());
    (log, command)
}

fn repair(world: &World) -> RepairReport {
    world.store().lock().unwrap().repair(None, &AwsLcKeyMath::new(), testkit::now()).unwrap()
}

fn lines(log: &std::path::Path) -> usize {
    std::fs::read_to_string(log).map_or(0, |text| text.lines().count())
}

#[tokio::test]
async fn files_are_written_before_anything_is_reloaded_and_hold_the_whole_new_chain() {
    let world = World::new(PebbleOptions { chain_length: 3, ..PebbleOptions::default() }).await;
    let copies = world.file("copies");
    std::fs::create_dir(&copies).unwrap();
    let combined = world.file("all.pem");
    let seen = world.file("seen");
    // The reload that comes first in the file sees what comes after it.
    let toml = format!(
        "[[deploy]]\ncommand = \"cat {0} > {1}\"\n\n[[deploy]]\ncombined = \"{0}\"\n\n[[deploy]]\ncopy = \"{2}\"\nfiles = [\"fullchain\", \"chain\"]\n",
        combined.display(),
        seen.display(),
        copies.display()
    );
    world.due(NAME).write();
    world.set(NAME, &toml);
    let report = world.run().await;
    assert!(report.is_success(), "{report:?}");
    let read = |path: &std::path::Path| std::fs::read_to_string(path).unwrap();
    let fullchain = read(&world.live(NAME, Kind::Fullchain));
    // The leaf and three intermediates: whatever a CA delivers is what is deployed.
    assert_eq!(fullchain.matches("BEGIN CERTIFICATE").count(), 4);
    assert_eq!(read(&copies.join("fullchain.pem")), fullchain);
    assert_eq!(read(&copies.join("chain.pem")), read(&world.live(NAME, Kind::Chain)));
    assert_eq!(read(&combined), fullchain + &read(&world.live(NAME, Kind::Privkey)));
    assert_eq!(read(&seen), read(&combined));
}

#[tokio::test]
async fn a_file_that_cannot_be_written_stays_pending_and_its_readers_are_told_again_once_it_is_there() {
    let world = World::new(PebbleOptions::default()).await;
    let (log, command) = noting(&world);
    let copies = world.file("copies");
    world.due(NAME).write();
    // What was found live is deployed by the renewal that comes at once, and not before it.
    world.set(NAME, &format!("[[deploy]]\ncopy = \"{}\"\n\n[[deploy]]\ncommand = \"{command}\"\n", copies.display()));
    let report = world.run().await;
    let pending = vec![DeployTarget::Copy(copies.display().to_string())];
    assert_eq!(entry(&report, NAME).deploy_pending, pending);
    assert!(matches!(entry(&report, NAME).outcome, Outcome::Renewed { .. }));
    assert!(!report.is_success());
    assert_eq!(lines(&log), 1, "one target's failure does not stop the others");
    let placed = orders(&world);
    let report = world.run().await;
    assert_eq!(entry(&report, NAME).deploy_pending, pending);
    assert_eq!(lines(&log), 1, "what is done is not done again");
    std::fs::create_dir(&copies).unwrap();
    let report = world.run().await;
    assert!(report.is_success(), "{report:?}");
    assert!(copies.join("privkey.pem").exists());
    assert_eq!(lines(&log), 2, "what reads the file is told that it is there now");
    world.run().await;
    assert_eq!((lines(&log), orders(&world)), (2, placed));
}

#[tokio::test]
async fn a_target_that_was_added_gets_the_version_in_use_and_a_tree_that_was_taken_over_runs_no_hook() {
    let world = World::new(PebbleOptions::default()).await;
    let (log, command) = noting(&world);
    let hook = world.file("hook-ran");
    world.due(NAME).days_left(80).deploy_hook(&format!("touch {}", hook.display())).write();
    world.run().await;
    let combined = world.file("all.pem");
    world.set(NAME, &format!("[[deploy]]\ncombined = \"{}\"\n", combined.display()));
    let stop = Stop::new();
    let report = world.renewer().deploy_pending(Request::renew(), &stop).await.unwrap();
    assert!(report.is_success(), "{report:?}");
    assert!(matches!(entry(&report, NAME).outcome, Outcome::Deployed { .. }));
    assert!(combined.exists());
    // Whoever reads the new file has to be told: the conf's hook runs once for it.
    assert!(hook.exists());
    world.set(
        NAME,
        &format!("[[deploy]]\ncombined = \"{}\"\n[[deploy]]\ncommand = \"{command}\"\n", combined.display()),
    );
    world.run().await;
    assert_eq!(lines(&log), 1);
    let report = world.renewer().deploy_pending(Request::renew(), &stop).await.unwrap();
    assert!(report.entries.is_empty(), "nothing is pending: {report:?}");
    assert_eq!(orders(&world), 0);
}

#[tokio::test]
async fn settings_that_are_wrong_keep_their_lineage_from_being_ordered_and_no_other() {
    let world = World::new(PebbleOptions::default()).await;
    world.due(NAME).write();
    world.due("b.example.com").write();
    world.set(NAME, "fallback_server = [\"zerossl\"]\n");
    let report = world.run().await;
    let Outcome::Broken { reason, .. } = &entry(&report, NAME).outcome else { panic!("{report:?}") };
    assert!(reason.contains("fallback_servers") && reason.contains("line 1"), "{reason}");
    assert!(entry(&report, "b.example.com").outcome.is_success());
    std::fs::write(world.store().paths().settings_file(), "parallel = 2\n").unwrap();
    let refused = world.renewer().run(Request::renew(), &Stop::new()).await;
    assert!(refused.unwrap_err().to_string().contains("`parallel` is not known"), "half-read settings order nothing");
}

#[tokio::test]
async fn a_version_that_was_deployed_and_is_made_live_again_is_deployed_again() {
    let world = World::new(PebbleOptions::default()).await;
    let (log, command) = noting(&world);
    world.due(NAME).deploy_hook(&command).write();
    world.run().await;
    assert_eq!(lines(&log), 1);
    let chain = world.live(NAME, Kind::Chain);
    // Servers that were started in between found no chain.
    std::fs::remove_file(&chain).unwrap();
    let report = world.run().await;
    assert!(report.is_success(), "{report:?}");
    let told = report.findings.iter().find(|finding| finding.subject == NAME).unwrap();
    assert!(told.code == FindingCode::PutRight && told.evidence.contains("version 2 is live now"), "{told:?}");
    assert_eq!(lines(&log), 2);
    let stop = Stop::new();
    // The same by a repair, which runs no hook, and says so: also for the version before, whose key is still there.
    for (times, version, damaged) in
        [(3, 2, chain), (4, 1, world.tree.config_dir().join("archive").join(NAME).join("privkey2.pem"))]
    {
        match damaged.is_symlink() {
            true => std::fs::remove_file(&damaged).unwrap(),
            false => std::fs::write(&damaged, "").unwrap(),
        }
        let repaired = repair(&world);
        assert_eq!(repaired.made_live.len(), 1, "{repaired:#?}");
        assert!(repaired.is_success(), "{repaired:#?}");
        let left: Vec<_> = repaired.left.iter().map(|left| left.finding.code).collect();
        assert!(left.contains(&FindingCode::DeployPending), "{left:?}");
        assert!(!left.contains(&FindingCode::InterruptedCommit), "{left:?}");
        world.renewer().deploy_pending(Request::renew(), &stop).await.unwrap();
        assert_eq!(lines(&log), times, "version {version}");
        let again = repair(&world);
        assert!(again.repaired.is_empty() && again.made_live.is_empty(), "{again:#?}");
        let pending = again.left.iter().find(|left| left.finding.code == FindingCode::DeployPending);
        assert!(pending.is_none(), "{pending:?}");
    }
    world.renewer().deploy_pending(Request::renew(), &stop).await.unwrap();
    assert_eq!((lines(&log), orders(&world)), (4, 1));
}

#[tokio::test]
async fn what_is_made_live_again_is_deployed_to_all_targets_though_one_was_still_pending() {
    let world = World::new(PebbleOptions::default()).await;
    let (log, command) = noting(&world);
    let copies = world.file("copies");
    world.due(NAME).write();
    world.set(NAME, &format!("[[deploy]]\ncommand = \"{command}\"\n\n[[deploy]]\ncopy = \"{}\"\n", copies.display()));
    world.run().await;
    assert_eq!(lines(&log), 1);
    std::fs::remove_file(world.live(NAME, Kind::Chain)).unwrap();
    assert_eq!(repair(&world).made_live.len(), 1);
    world.renewer().deploy_pending(Request::renew(), &Stop::new()).await.unwrap();
    assert_eq!(lines(&log), 2);
    world.renewer().deploy_pending(Request::renew(), &Stop::new()).await.unwrap();
    assert_eq!(lines(&log), 2, "once, and no more");
}
