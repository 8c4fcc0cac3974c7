//! The file for Prometheus' node_exporter, and what the long run tells.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::Arc;

use certkit_acme::metrics::{Health, MetricsSource as _};
use certkit_acme::renewal::{Report, Request};
use certkit_acme::{Monitor, Stop, StopReason, Wake, Watcher as _};
use certkit_core::FindingCode;
use chrono::TimeDelta;
use testkit::PebbleOptions;

use crate::clock::TestClock;
use crate::support::{World, entry};

const NAME: &str = "a.example.com";

fn set_textfile(world: &World, path: &Path, more: &str) {
    let settings = world.tree.config_dir().join("certkit/settings.toml");
    fs::create_dir_all(settings.parent().unwrap()).unwrap();
    fs::write(settings, format!("metrics_textfile = \"{}\"\n{more}", path.display())).unwrap();
}

fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in {text}")).parse().unwrap()
}

fn not_written(report: &Report) -> Vec<String> {
    let told = report.findings.iter().filter(|finding| finding.code == FindingCode::MetricsNotWritten);
    told.map(|finding| finding.what()).collect()
}

#[tokio::test]
async fn each_run_writes_what_came_of_it_and_everybody_may_read_it() {
    let world = World::new(PebbleOptions::default()).await;
    let file = world.file("certkit.prom");
    set_textfile(&world, &file, "");
    world.due(NAME).write();
    world.tree.lineage("other.example.com").days_left(80).write();
    let report = world.run().await;
    assert!(report.is_success() && not_written(&report).is_empty(), "{report:?}");
    let text = fs::read_to_string(&file).unwrap();
    let certificate = world.lineage(NAME).certificate().unwrap();
    let of = |family: &str| format!("certkit_certificate_{family}{{certificate=\"{NAME}\"}}");
    let end = certificate.validity().not_after.timestamp() as f64;
    assert_eq!(value(&text, &of("not_after_timestamp_seconds")), end, "of the new version");
    assert!(value(&text, &of("last_success_timestamp_seconds")) >= report.now.timestamp() as f64);
    assert_eq!((value(&text, "certkit_last_run_successful"), value(&text, "certkit_runs_total")), (1.0, 1.0));
    assert_eq!(value(&text, "certkit_certificates{condition=\"ok\"}"), 2.0);
    let serial = format!("serial_number=\"{}\"", certificate.serial().decimal());
    assert!(text.lines().any(|line| line.starts_with("x509_cert_not_after{") && line.contains(&serial)), "{text}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o644);

    // Nothing is left beside it, and the next run counts on.
    assert!(world.run().await.is_success());
    assert_eq!(value(&fs::read_to_string(&file).unwrap(), "certkit_runs_total"), 2.0);
    let left = fs::read_dir(world.folder.path())
        .unwrap()
        .filter(|found| found.as_ref().unwrap().file_name().to_string_lossy().contains("prom"));
    assert_eq!(left.count(), 1);

    // A run by hand is none of those that come again and again, but what it did is told.
    fs::remove_file(&file).unwrap();
    world.run_request(Request::renew().only(NAME.parse().unwrap())).await;
    assert_eq!(value(&fs::read_to_string(&file).unwrap(), "certkit_runs_total"), 2.0);
    fs::remove_file(&file).unwrap();
    world.run_request(Request::renew().dry_run()).await;
    assert!(!file.exists(), "a dry run tells nothing");
    world.renewer().deploy_pending(Request::renew(), &Stop::new()).await.unwrap();
    assert!(file.exists());
}

#[tokio::test]
async fn a_link_in_its_place_is_not_followed_and_what_cannot_be_written_fails_no_renewal() {
    let world = World::new(PebbleOptions::default()).await;
    world.due(NAME).write();
    let (file, precious) = (world.file("certkit.prom"), world.file("precious"));
    fs::write(&precious, "precious").unwrap();
    symlink(&precious, &file).unwrap();
    set_textfile(&world, &file, "metrics_per_certificate = false\n");
    let report = world.run().await;
    assert!(not_written(&report).is_empty(), "{report:?}");
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    assert!(fs::symlink_metadata(&file).unwrap().is_file());
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains(NAME) && value(&text, "certkit_certificates{condition=\"ok\"}") == 1.0, "{text}");

    set_textfile(&world, &world.file("missing/certkit.prom"), "");
    world.due("b.example.com").write();
    let report = world.run().await;
    assert_eq!(world.whole_version("b.example.com"), 2);
    assert!(report.is_success(), "{report:?}");
    let told = not_written(&report);
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("missing does not exist: create it"), "{told:?}");
    set_textfile(&world, &world.file("folder.prom"), "");
    fs::create_dir(world.file("folder.prom")).unwrap();
    assert!(not_written(&world.run().await)[0].contains("is a folder, not a file"));
}

#[tokio::test]
async fn a_run_that_failed_is_told_as_failed() {
    let world = World::new(PebbleOptions::default()).await;
    let file = world.file("certkit.prom");
    set_textfile(&world, &file, "");
    world.due(NAME).account("no-such-account").write();
    let report = world.run().await;
    assert!(!entry(&report, NAME).outcome.is_success());
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(value(&text, "certkit_last_run_successful"), 0.0);
    assert_eq!(value(&text, "certkit_certificates{condition=\"failing\"}"), 1.0);
    assert!(!text.contains("certkit_last_successful_run"), "{text}");
}

#[tokio::test]
async fn the_long_run_tells_when_it_looks_again_and_that_settings_keep_it_from_working() {
    let world = World::new(PebbleOptions::default()).await;
    world.due(NAME).days_left(80).write();
    let now = testkit::now();
    let clock = TestClock::at(now);
    clock.stand_still();
    let renewer = world.renewer_at(&clock);
    let monitor = Arc::new(Monitor::new(renewer.clone()));
    let (wake, stop) = (Wake::new(), Stop::new());
    let run = renewer.run_forever(Request::renew(), &wake, monitor.as_ref(), &stop);
    let look = async {
        let told = loop {
            let text = monitor.metrics().await.unwrap();
            if text.contains("certkit_next_run_timestamp_seconds") {
                break text;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(value(&told, "certkit_next_run_timestamp_seconds"), (now + TimeDelta::hours(6)).timestamp() as f64);
        assert_eq!(value(&told, "certkit_run_interval_seconds"), 6.0 * 3600.0);
        assert_eq!(value(&told, "certkit_runs_total"), 1.0);
        assert!(matches!(monitor.health(), Health::Well(text) if text.starts_with("the last run ended at ")));

        let settings = world.tree.config_dir().join("certkit/settings.toml");
        fs::create_dir_all(settings.parent().unwrap()).unwrap();
        fs::write(settings, "parallel_orders = 0\n").unwrap();
        let told = monitor.metrics().await.unwrap();
        assert_eq!(value(&told, "certkit_settings_usable"), 0.0);
        assert!(told.contains(NAME), "it hides no certificate");
        wake.wake();
        while !matches!(monitor.health(), Health::Well(text) if text.contains("the run after it failed: ")) {
            tokio::task::yield_now().await;
        }
        clock.advance(TimeDelta::hours(9));
        monitor.working();
        assert!(matches!(monitor.health(), Health::Ill(text) if text.contains("parallel_orders")));
        stop.stop(StopReason::Terminate);
    };
    tokio::join!(run, look);
}
