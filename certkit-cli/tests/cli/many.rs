//! How much memory a run needs grows little with the number of certificates: machines with thousands of them exist.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use testkit::process::peak_memory;
use testkit::{AccountKeyKind, HostileCa, KeyKind, RequestKind};

use crate::support::Place;

/// Nothing here takes so long on a machine that works.
const HANGS: Duration = Duration::from_secs(120);

/// What a certificate that is due may add, in KiB.
const MOST_FOR_DUE: f64 = 32.0;
/// What a certificate in a listing may add, in KiB.
const MOST_FOR_LISTED: f64 = 3.0;
/// What a certificate may add that is not due and with which nothing is wrong, in KiB.
const MOST_IN_A_RUN: f64 = 4.0;
const MOST_IN_A_CHECK: f64 = 6.0;
const MOST_IN_A_PLAN: f64 = 3.0;
const MOST_IN_A_STATUS: f64 = 3.0;

/// The most memory that a command had, in KiB. With one arena of malloc (mallopt(3)) it does not depend on which threads did
/// the work.
fn peak_of(command: &mut Command) -> f64 {
    let quiet = command.env("MALLOC_ARENA_MAX", "1").stdout(Stdio::null()).stderr(Stdio::null());
    let (status, peak) = peak_memory(quiet.spawn().unwrap(), HANGS);
    assert_eq!(status, Some(0));
    peak as f64
}

/// What each certificate more costs by the peaks with few and with many.
fn for_each(few: (usize, f64), many: (usize, f64)) -> f64 {
    (many.1 - few.1) / (many.0 - few.0) as f64
}

fn peak_of_renewing(due: usize) -> f64 {
    let ca = HostileCa::start(Arc::new(|_, _| {}));
    let (place, server) = (Place::new(), ca.directory_url());
    let webroot = place.folder().join("www");
    fs::create_dir(&webroot).unwrap();
    let account = place.tree.account_with_url(&server, AccountKeyKind::EcP256, &ca.account_url());
    for number in 0..due {
        let lineage = place.tree.lineage(&format!("n{number:03}.example.com")).days_left(10).server(&server);
        lineage.account(&account.id).webroot(&webroot).write();
    }
    let mut renew = place.command(&["renew", "--no-random-sleep-on-renew"]);
    let peak = peak_of(renew.env("SSL_CERT_FILE", ca.ca_bundle()));
    assert_eq!(ca.count(RequestKind::Certificate), due);
    peak
}

#[test]
fn a_certificate_more_that_is_due_needs_little_memory_more() {
    let (few, many) = (20, 140);
    let each = for_each((few, peak_of_renewing(few)), (many, peak_of_renewing(many)));
    assert!(each <= MOST_FOR_DUE, "{each:.1} KiB for each certificate that is due");
}

/// Certificates with which nothing is wrong and that are not due.
fn idle(certificates: usize) -> Place {
    let place = Place::new();
    let (tree, key) = (&place.tree, KeyKind::EcdsaP256.generate());
    let not_after = tree.now() + TimeDelta::days(60);
    let names = ["a.example.com".to_owned()];
    let issued = tree.pki().issue(&names, not_after - TimeDelta::days(90), not_after, &key, &[1, 2, 3]);
    for number in 0..certificates {
        tree.lineage(&format!("n{number:04}.example.com")).server("https://127.0.0.1:9/dir").write_with(&issued);
    }
    place
}

/// What each certificate more that is idle adds to the peak of a command, in KiB. How far the readers are ahead of who takes what
/// they read is chance: of three runs the one with the least of it counts.
fn each_idle(arguments: &[&str]) -> f64 {
    let (few, many) = (100, 1500);
    let peak = |certificates| {
        let place = idle(certificates);
        (0..3).map(|_| peak_of(&mut place.command(arguments))).fold(f64::INFINITY, f64::min)
    };
    for_each((few, peak(few)), (many, peak(many)))
}

#[test]
fn a_certificate_more_in_a_listing_needs_little_memory_more() {
    let each = each_idle(&["certificates"]);
    assert!(each <= MOST_FOR_LISTED, "{each:.1} KiB for each certificate that is listed");
}

#[track_caller]
fn assert_idle_needs_no_more_than(most: f64, arguments: &[&str]) {
    let each = each_idle(arguments);
    assert!(each <= most, "{each:.1} KiB for each certificate in {arguments:?}");
}

#[test]
fn a_certificate_more_that_is_not_due_needs_little_memory_more_in_a_run() {
    assert_idle_needs_no_more_than(MOST_IN_A_RUN, &["renew", "--no-probe"]);
}

#[test]
fn a_certificate_more_that_is_well_needs_little_memory_more_in_a_check() {
    assert_idle_needs_no_more_than(MOST_IN_A_CHECK, &["check"]);
}

#[test]
fn a_certificate_more_that_is_not_due_needs_little_memory_more_in_a_plan() {
    assert_idle_needs_no_more_than(MOST_IN_A_PLAN, &["plan"]);
}

#[test]
fn a_certificate_more_that_is_well_needs_little_memory_more_in_a_status() {
    assert_idle_needs_no_more_than(MOST_IN_A_STATUS, &["status"]);
}
