//! Runs that meet.

use std::fs;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use testkit::{FaultProxy, Pebble, PebbleOptions, RequestKind};

use super::readers::READERS;
use super::{PATIENCE, Shared};
use crate::support::{Place, Run};

#[test]
fn two_renewals_at_once_place_one_order_and_the_second_says_who_is_at_work() {
    let shared = Shared::new();
    shared.due("a.example.org");
    shared.due("b.example.org");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers = READERS.iter().take(2).map(|reader| shared.watch(scope, reader, &done)).collect::<Vec<_>>();
        let runs = [0, 1].map(|_| scope.spawn(|| shared.certkit_in_turn(&["renew"])));
        let turns = runs.map(|run| run.join().unwrap());
        done.store(true, Ordering::Relaxed);
        readers.into_iter().for_each(|reader| reader.join().unwrap().assert_sound());
        let (mut renewed, mut refused) = (0, 0);
        for turn in turns {
            renewed += turn.run.ends_with(0).stdout.matches("fullchain.pem (success)").count();
            refused += turn.refused;
        }
        assert_eq!(renewed, 2, "each of them once");
        assert!(refused > 0, "they never met");
    });
    assert_eq!(shared.ca.orders_placed(), 2);
    shared.assert_whole("a.example.org", 2);
    shared.assert_whole("b.example.org", 2);
    shared.assert_settled(2);
}

#[test]
fn eight_at_once_with_certbot_among_them_lose_nothing_and_order_once() {
    let shared = Shared::new();
    for name in ["a.example.org", "b.example.org"] {
        shared.due(name);
    }
    let done = AtomicBool::new(false);
    let port = shared.port();
    thread::scope(|scope| {
        let readers = READERS.iter().map(|reader| shared.watch(scope, reader, &done)).collect::<Vec<_>>();
        // certbot needs a while until it is at work; the others come when it is.
        let mut runs = vec![scope.spawn(|| shared.certbot_in_turn(&["renew", "--no-random-sleep-on-renew"]))];
        let began = Instant::now();
        while !shared.place.tree.config_dir().join(".certbot.lock").exists() {
            assert!(began.elapsed() < PATIENCE, "certbot takes no lock");
            thread::sleep(Duration::from_millis(5));
        }
        runs.push(scope.spawn(|| shared.certkit_in_turn(&["renew"])));
        runs.push(scope.spawn(|| shared.certkit_in_turn(&["renew"])));
        runs.push(scope.spawn(|| shared.obtain("k1.example.org")));
        runs.push(scope.spawn(|| shared.obtain("same.example.org")));
        runs.push(scope.spawn(|| shared.obtain("same.example.org")));
        runs.push(scope.spawn(|| shared.certbot_in_turn(&shared.certonly(&port, "b1.example.org"))));
        runs.push(scope.spawn(|| shared.certbot_in_turn(&["certificates"])));
        let turns: Vec<_> = runs.into_iter().map(|run| run.join().unwrap()).collect();
        done.store(true, Ordering::Relaxed);
        readers.into_iter().for_each(|reader| reader.join().unwrap().assert_sound());
        assert!(turns.iter().any(|turn| turn.refused > 0), "they never met");
        turns.into_iter().for_each(|turn| drop(turn.run.ends_with(0)));
    });
    assert_eq!(shared.ca.orders_placed(), 5, "two that were due, three that are new");
    for (name, version) in [
        ("a.example.org", 2),
        ("b.example.org", 2),
        ("k1.example.org", 1),
        ("same.example.org", 1),
        ("b1.example.org", 1),
    ] {
        shared.assert_whole(name, version);
    }
    shared.assert_settled(5);
}

#[test]
fn a_certificate_that_another_run_makes_between_the_look_and_the_lock_is_not_replaced() {
    let ca = Pebble::start(PebbleOptions::default());
    let (proxy, place) = (FaultProxy::start(&ca), Place::new());
    // Without an account the CA is asked before the store is locked; it takes its time.
    proxy.on(RequestKind::Directory).times(1).delayed(Duration::from_secs(3)).pass();
    let mut command = place.command(&["certonly", "-n", "--agree-tos", "--standalone", "--no-probe"]);
    command.args(["--cert-name", "same", "-d", "late.example.org", "--server", &proxy.directory_url()]);
    command.env("SSL_CERT_FILE", proxy.ca_bundle()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let late = command.spawn().unwrap();
    let began = Instant::now();
    while proxy.count(RequestKind::Directory) == 0 {
        assert!(began.elapsed() < PATIENCE, "the CA was not asked");
        thread::sleep(Duration::from_millis(10));
    }
    let first =
        place.tree.lineage("same").names(["early.example.org"]).server(&proxy.directory_url()).standalone(1).write();
    let conf = fs::read(&first.conf).unwrap();
    let run = Run::of(late.wait_with_output().unwrap()).ends_with(1);
    for part in
        ["the certificate `same` was not there when this run began", "what to do: nothing was ordered; run the same"]
    {
        assert!(run.stderr.contains(part), "{}", run.stderr);
    }
    assert_eq!((ca.orders_placed(), fs::read(&first.conf).unwrap()), (0, conf));
}
