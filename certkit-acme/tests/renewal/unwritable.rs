//! A store that cannot be written: full, read-only, damaged, locked for too long. It is told once, by the channels, and so is
//! its end. Mounts need a process of their own: the test starts itself again.

use std::path::Path;
use std::process::Command;

use certkit_acme::Stop;
use certkit_acme::renewal::{Outcome, Renewer, Request, RunError};
use certkit_core::FindingCode;
use certkit_core::store::LockError;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use testkit::process::{MOUNT_REFUSED, assert_mounts_permitted};
use testkit::{HttpRequest, PebbleOptions, WebSink};

use crate::clock::TestClock;
use crate::support::{World, entry, make_unreadable, make_unwritable, make_writable, making_unwritable};

const AGAIN: &str = "CERTKIT_TEST_WITH_MOUNTS";
const NAME: &str = "a.example.com";

/// True in a child that has mounts of its own, where the test goes on. Otherwise the child is run, and its test is ours.
fn has_mounts_of_its_own(test: &str) -> bool {
    if std::env::var_os(AGAIN).is_some() {
        return true;
    }
    let mut child = Command::new(testkit::process::require_program("unshare"));
    let line = format!("mount -t tmpfs tmpfs /mnt && umount /mnt || exit {MOUNT_REFUSED}; exec \"$@\"");
    child.args(["-m", "/bin/sh", "-c", &line, "sh"]);
    child.arg(std::env::current_exe().unwrap()).args(["--exact", &format!("unwritable::{test}")]).env(AGAIN, "yes");
    let output = child.output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_mounts_permitted(output.status.code(), &output.stderr);
    assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}{stderr}");
    false
}

fn shell(line: &str) {
    let status = Command::new("/bin/sh").args(["-ec", line]).status().unwrap();
    assert!(status.success(), "{line}");
}

/// A world with a certificate that is not due and a webhook, whose first run has gone well.
async fn world(sink: &WebSink) -> World {
    let world = World::new(PebbleOptions::default()).await;
    let file = world.store().paths().settings_file();
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let (hook, beat) = (sink.url("/hook"), sink.url("/beat"));
    let settings = format!("[[notify]]\nwebhook = \"generic\"\nurl = \"{hook}\"\n[heartbeat]\nurl = \"{beat}\"\n");
    std::fs::write(file, settings).unwrap();
    world.due(NAME).days_left(80).write();
    world.run().await;
    assert_eq!(hooks(sink), [] as [Value; 0]);
    world
}

/// What came to the webhook since the last call.
fn hooks(sink: &WebSink) -> Vec<Value> {
    sink.take().iter().filter(|request| request.path == "/hook").map(HttpRequest::json).collect()
}

async fn fails(renewer: &Renewer) -> RunError {
    renewer.run(Request::renew(), &Stop::new()).await.unwrap_err()
}

#[track_caller]
fn assert_tells(told: &[Value], words: &[&str]) {
    let [only] = told else { panic!("{told:?}") };
    let text = only["text"].as_str().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    for word in words {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert_eq!((&only["level"], &only["resolved"]), (&"critical".into(), &false.into()), "{only}");
}

#[track_caller]
fn assert_tells_the_end(told: &[Value]) {
    let [only] = told else { panic!("{told:?}") };
    assert_eq!((&only["resolved"], &only["notices"][0]["incident"]), (&true.into(), &"machine/store".into()), "{only}");
}

/// The spare memory in a folder.
fn spare(folder: &Path) -> bool {
    let names = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.file_name());
    names.filter_map(|name| name.into_string().ok()).any(|name| name.starts_with("certkit-told-"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_is_told_once_and_so_is_its_end() {
    if !has_mounts_of_its_own("a_disk_that_is_full_is_told_once_and_so_is_its_end") {
        return;
    }
    let sink = WebSink::start();
    let world = world(&sink).await;
    let tree = world.tree.config_dir().to_str().unwrap().to_owned();
    shell(&format!("cp -a {tree} {tree}.copy; mount -t tmpfs -o size=1m tmpfs {tree}; cp -a {tree}.copy/. {tree}"));
    shell(&format!("dd if=/dev/zero of={tree}/filler bs=4k 2>/dev/null || true"));
    let error = fails(&world.renewer()).await;
    assert!(
        matches!(&error, RunError::Store(error) if error.source.kind() == std::io::ErrorKind::StorageFull),
        "{error}"
    );
    let requests = sink.requests();
    let failed = requests.iter().find(|one| one.path == "/beat/fail").unwrap();
    assert!(failed.body.contains("No space left"), "{failed:?}");
    let df = format!("df -h {tree}");
    let words = ["the disk of certkit's store is full", "No space left", "tmpfs mounted at", "are untouched", &df];
    assert_tells(&hooks(&sink), &words);
    assert!(spare(&world.file("work")));
    for _ in 0..3 {
        fails(&world.renewer()).await;
    }
    assert!(hooks(&sink).is_empty(), "the same is not told again");
    // Without inodes it is another trouble, and news.
    shell(&format!("rm {tree}/filler; mount -o remount,nr_inodes=$(find {tree} | wc -l) {tree}"));
    fails(&world.renewer()).await;
    assert_tells(&hooks(&sink), &["takes no more files", &format!("df -i {tree}")]);
    shell(&format!("mount -o remount,nr_inodes=10000 {tree}"));
    world.run().await;
    assert_tells_the_end(&hooks(&sink));
    assert!(!spare(&world.file("work")));
    world.run().await;
    assert!(hooks(&sink).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_goes_out_although_the_store_is_read_only() {
    if !has_mounts_of_its_own("what_is_due_goes_out_although_the_store_is_read_only") {
        return;
    }
    let sink = WebSink::start();
    let world = world(&sink).await;
    let tree = world.tree.config_dir().to_str().unwrap().to_owned();
    world.due("b.example.com").days_left(2).write();
    shell(&format!("mount --bind {tree} {tree}; mount -o remount,bind,ro {tree}"));
    let error = fails(&world.renewer()).await;
    assert!(matches!(error, RunError::Lock(LockError::Store(_))), "{error}");
    let told = hooks(&sink);
    let [document] = told.as_slice() else { panic!("{told:?}") };
    let kinds: Vec<&str> =
        document["notices"].as_array().unwrap().iter().filter_map(|one| one["kind"].as_str()).collect();
    assert_eq!(kinds, ["expiring", "machine"]);
    let text = document["text"].as_str().unwrap();
    assert!(text.contains("mount -o remount,rw") && text.contains("b.example.com"), "{text}");
    fails(&world.renewer()).await;
    // By hand it is known, too.
    let by_hand = world.renewer().tell().await.unwrap();
    assert!(by_hand.findings.iter().any(|finding| finding.code == FindingCode::StoreReadOnly), "{by_hand:?}");
    assert!(hooks(&sink).is_empty());
    // The work dir cannot be written any more, the logs dir can.
    let work = world.file("work").to_str().unwrap().to_owned();
    shell(&format!("mount --bind {work} {work}; mount -o remount,bind,ro {work}"));
    fails(&world.renewer()).await;
    assert!(hooks(&sink).is_empty());
    shell(&format!("umount {work}; umount {tree}"));
    world.run().await;
    let told = hooks(&sink);
    let of_store = told.iter().flat_map(|one| one["notices"].as_array().unwrap());
    let of_store: Vec<&Value> = of_store.filter(|one| one["incident"] == "machine/store").collect();
    assert_eq!(of_store.len(), 1, "{told:?}");
    assert_eq!(of_store[0]["kind"], "recovered");
    assert!(!spare(&world.file("work")) && !spare(&world.file("logs")));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_at_all_can_be_written_it_is_told_once_a_day() {
    if !has_mounts_of_its_own("where_nothing_at_all_can_be_written_it_is_told_once_a_day") {
        return;
    }
    let sink = WebSink::start();
    let world = world(&sink).await;
    let folder = world.folder.path().to_str().unwrap().to_owned();
    shell(&format!("mount --bind {folder} {folder}; mount -o remount,bind,ro {folder}"));
    let begin = testkit::now();
    let clock = TestClock::at(begin);
    let mut telling = Vec::new();
    for run in 1..=6 {
        clock.set(begin + TimeDelta::hours(12 * run));
        // Each in a process of its own.
        fails(&world.renewer_at(&clock)).await;
        telling.push(hooks(&sink).len());
    }
    assert_eq!(telling, [1, 0, 1, 0, 1, 0]);
    // One that goes on running remembers it, however often it runs.
    let renewer = world.renewer_at(&clock);
    clock.advance(TimeDelta::hours(12));
    for expected in [1, 0, 0] {
        fails(&renewer).await;
        assert_eq!(hooks(&sink).len(), expected);
        clock.advance(TimeDelta::minutes(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_goes_out_once_although_its_memory_cannot_be_written() {
    let sink = WebSink::start();
    let world = world(&sink).await;
    world.due("b.example.com").webroot("/nonexistent/certkit-webroot").write();
    let file = world.store().paths().deliveries_file();
    make_unwritable(&file);
    let report = world.run().await;
    assert!(report.findings.iter().any(|finding| finding.code == FindingCode::StoreNotWritable), "{report:?}");
    let told = hooks(&sink);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["certificates"], serde_json::json!(["b.example.com"]));
    assert!(told[0]["text"].as_str().unwrap().contains("deliveries.json"), "{told:?}");
    world.run().await;
    assert!(hooks(&sink).is_empty());
    make_writable(file.parent().unwrap());
    world.run().await;
    assert_tells_the_end(&hooks(&sink));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_never_released_is_told_at_the_third_run_and_one_that_is_is_not() {
    let sink = WebSink::start();
    let world = world(&sink).await;
    let (begin, clock) = (testkit::now(), TestClock::at(testkit::now()));
    let at = |hours: i64| -> DateTime<Utc> { begin + TimeDelta::hours(hours) };
    let locked = world.store().lock().unwrap();
    for (hours, expected) in [(1, 0), (12, 0), (24, 0), (36, 1), (37, 0), (48, 0), (60, 1)] {
        clock.set(at(hours));
        let error = fails(&world.renewer_at(&clock)).await;
        assert!(matches!(error, RunError::Lock(LockError::Held { .. })), "{error}");
        let told = hooks(&sink);
        assert_eq!(told.len(), expected, "after {hours} hours: {told:?}");
        if hours == 36 {
            let kill = format!("kill {}", std::process::id());
            assert_tells(&told, &["the lock of certkit's store", "the last run ended on", "are untouched", &kill]);
        }
    }
    drop(locked);
    clock.set(at(61));
    world.renewer_at(&clock).run(Request::renew(), &Stop::new()).await.unwrap();
    assert_tells_the_end(&hooks(&sink));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_read_is_told_and_takes_nothing_for_well() {
    let sink = WebSink::start();
    let world = world(&sink).await;
    world.due("b.example.com").webroot("/nonexistent/certkit-webroot").write();
    world.run().await;
    assert_eq!(hooks(&sink).len(), 1, "b.example.com");
    let file = world.store().paths().ledger_file();
    make_unreadable(&file);
    let error = fails(&world.renewer()).await;
    assert!(matches!(&error, RunError::Store(error) if error.operation == "read"), "{error}");
    assert_tells(&hooks(&sink), &["cannot work with its store", "ledger.json", "dmesg"]);
    fails(&world.renewer()).await;
    assert!(hooks(&sink).is_empty());
    std::fs::remove_file(&file).unwrap();
    world.run().await;
    assert_tells_the_end(&hooks(&sink));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_tries_something_or_has_nobody_to_tell_leaves_nothing_behind() {
    let sink = WebSink::start();
    let world = world(&sink).await;
    let file = world.store().paths().ledger_file();
    make_unreadable(&file);
    world.renewer().run(Request::renew().dry_run(), &Stop::new()).await.unwrap();
    std::fs::write(world.store().paths().settings_file(), "").unwrap();
    fails(&world.renewer()).await;
    assert!(sink.take().is_empty() && !spare(&world.file("work")) && !spare(&world.file("logs")));
    assert!(world.store().told().unwrap().0.notices.open().next().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_cannot_record_its_end_says_so_and_still_reports_what_it_renewed() {
    let sink = WebSink::start();
    let world = world(&sink).await;
    let ledger = world.store().paths().ledger_file();
    world.due("b.example.com").deploy_hook(&making_unwritable(&ledger)).write();
    sink.take();
    let report = world.run().await;
    assert!(matches!(entry(&report, "b.example.com").outcome, Outcome::Renewed { .. }), "{report:?}");
    let unrecorded = report.unrecorded.as_ref().unwrap();
    assert!(unrecorded.evidence.contains("the run is over, but not all of it is recorded"), "{unrecorded:?}");
    assert_eq!(report.findings.iter().filter(|one| *one == unrecorded).count(), 1, "{report:?}");
    assert!(!report.is_success());
    let requests = sink.requests();
    let failed = requests.iter().find(|one| one.path == "/beat/fail").unwrap();
    assert!(failed.body.contains("ledger.json"), "{failed:?}");
    assert_tells(&hooks(&sink), &["may not write to the store", "ledger.json", "not all of it is recorded"]);
    make_writable(ledger.parent().unwrap());
    let next = world.run().await;
    assert!(next.is_success(), "{next:?}");
    assert_tells_the_end(&hooks(&sink));
}
