//! The command is killed, and meets errors, at the calls with which it changes a tree.
//!
//! It is killed at every one, and one error that the call can really return is met at every one. `cargo run --release
//! -p certkit-faults -- all` goes through every error besides, once and from there on, and through power cuts: docs/faults.md
//! says what came of it.

use std::path::Path;
use std::sync::OnceLock;

use certkit_faults::call::{Call, Shape};
use certkit_faults::matrix::{self, Tally};
use certkit_faults::network::{self, Weather};
use certkit_faults::operation::{Operation, Progress};
use certkit_faults::reader::CertbotReader;
use certkit_faults::soak::soak;
use certkit_faults::space::{self, Room};
use certkit_faults::swap;
use certkit_faults::tracer::Answer;
use certkit_faults::trial::{Fault, Trials};
use certkit_faults::world::World;
use nix::errno::Errno;

/// A run waits for its CA most of the time, and tests run beside each other.
const SIDE_BY_SIDE: usize = 3;

fn shared() -> &'static (World, CertbotReader) {
    static SHARED: OnceLock<(World, CertbotReader)> = OnceLock::new();
    SHARED.get_or_init(|| (World::start(Path::new(env!("CARGO_BIN_EXE_certkit"))), CertbotReader::start()))
}

#[track_caller]
fn try_each(operation: Operation, jobs: impl Fn(&[Call]) -> Vec<(usize, Fault)>) -> Tally {
    let (world, reader) = shared();
    let trials = Trials::new(world, reader, operation);
    let calls = trials.calls().unwrap_or_else(|wrong| panic!("{wrong}"));
    let jobs = jobs(&calls);
    let tally = matrix::run(&trials, &calls, &jobs, SIDE_BY_SIDE);
    println!("{}", tally.row(operation.name()));
    assert!(tally.wrong.is_empty(), "{}", tally.complaints());
    // Whether a few calls are made depends on the time that a run takes.
    assert!(tally.met * 10 >= jobs.len() * 9, "only {} of {} calls were met", tally.met, jobs.len());
    tally
}

#[test]
fn a_roll_back_that_is_killed_at_any_call_leaves_the_old_pair_or_the_new_one_and_the_next_run_does_the_rest() {
    let tally = try_each(Operation::Rollback, matrix::deaths);
    assert!(tally.old > 20 && tally.new > 20, "{tally:?}");
}

#[test]
fn what_orders_and_is_killed_leaves_the_old_pair_or_the_new_one_and_the_next_run_does_the_rest() {
    for operation in
        [Operation::FirstSave, Operation::FurtherLineage, Operation::Renewal, Operation::RenewalWithTheSameKey]
    {
        let tally = try_each(operation, matrix::deaths);
        assert!(tally.old > 100 && tally.new > 40, "{tally:?}");
    }
}

#[test]
fn what_changes_confs_and_accounts_is_done_or_not_wherever_it_is_killed() {
    for operation in [
        Operation::Delete,
        Operation::ConfRewrite,
        Operation::Register,
        Operation::AccountAddress,
        Operation::AccountKey,
    ] {
        let tally = try_each(operation, matrix::deaths);
        assert!(tally.old > 2 && tally.new > 0, "{tally:?}");
    }
}

#[test]
fn an_error_at_a_call_is_told_with_path_and_reason_and_costs_no_certificate() {
    for operation in Operation::ALL {
        let tally = try_each(operation, matrix::one_error_each);
        assert!(tally.old + tally.succeeded + tally.new > 2, "{tally:?}");
    }
}

#[test]
fn a_disk_that_stays_full_or_turns_read_only_costs_no_certificate() {
    for errno in [Errno::ENOSPC, Errno::EROFS] {
        let from_there_on =
            |calls: &[Call]| calls.iter().step_by(14).map(|call| (call.number, Fault::FromThereOn(errno))).collect();
        try_each(Operation::Renewal, from_there_on);
    }
}

#[test]
fn the_key_is_durable_before_the_ca_is_asked_for_the_certificate() {
    let world = World::start(Path::new(env!("CARGO_BIN_EXE_certkit")));
    let place = Operation::Renewal.prepare(&world);
    let mut calls = Vec::new();
    let run = world.trace(&place, &Operation::Renewal.arguments(&world, place.path()), &mut |call| {
        calls.push((call.clone(), world.ca().log().contains("POST /finalize-order/")));
        Answer::Pass
    });
    assert_eq!(run.code, Some(0), "{run:?}");
    let pending = place.tree().join("certkit/pending");
    let key_in_its_folder = pending.join(".a.example.org.certkit-tmp/privkey.pem");
    let before = |name: &str, path: &Path| {
        calls.iter().position(|(call, asked)| call.kind.name.starts_with(name) && call.path == path && !asked)
    };
    let synced = before("fsync", &key_in_its_folder).expect("the key is not synced");
    let folder = before("fsync", key_in_its_folder.parent().unwrap()).expect("its folder is not synced");
    let named = before("rename", key_in_its_folder.parent().unwrap()).expect("it gets no name");
    let name_synced = before("fsync", &pending).expect("its name is not synced");
    assert!(synced < folder && folder < named && named < name_synced, "{synced} {folder} {named} {name_synced}");
    assert!(calls.iter().any(|(_, asked)| *asked), "the CA was not asked at all");
}

#[test]
fn a_file_whose_sync_failed_is_made_anew_and_never_trusted_again() {
    let (world, _) = shared();
    let operation = Operation::Rollback;
    let run = |decide: &mut dyn FnMut(&Call) -> Answer| {
        let place = operation.prepare(world);
        world.trace(&place, &operation.arguments(world, place.path()), decide);
    };
    let mut syncs = Vec::new();
    run(&mut |call| {
        if call.kind.shape() == Shape::Sync && is_temporary(&call.path) {
            syncs.push(call.number);
        }
        Answer::Pass
    });
    assert!(syncs.len() >= 8, "{syncs:?}");
    for number in syncs {
        let mut failed = None;
        let mut later = Vec::new();
        run(&mut |call| {
            if call.number == number {
                failed = Some(call.path.clone());
                return Answer::Fail(Errno::EIO);
            }
            if failed.as_ref() == Some(&call.path) && call.kind.name != "close" {
                later.push(call.kind.name);
            }
            Answer::Pass
        });
        assert!(matches!(later.first(), Some(&("unlink" | "unlinkat"))), "{failed:?}: {later:?}");
        let again = later.iter().position(|name| *name == "openat").unwrap_or(later.len());
        let trusted = later.iter().position(|name| name.starts_with("rename") || *name == "fsync");
        assert!(trusted.is_none_or(|trusted| trusted > again), "{failed:?}: {later:?}");
    }
}

#[test]
fn whatever_is_killed_at_random_times_loses_no_certificate_that_was_acknowledged() {
    let world = World::start(Path::new(env!("CARGO_BIN_EXE_certkit")));
    let soaked = soak(&world, 40, 6, 1);
    println!("{}{}", soaked.row(), soaked.kinds());
    assert!(soaked.wrong.is_empty(), "{}", soaked.complaints());
    assert!(soaked.runs >= 40 && soaked.killed >= 10 && soaked.settled >= 10, "{soaked:?}");
    assert!(soaked.acknowledged >= 5 && soaked.kinds.len() >= 5, "{soaked:?}");
}

#[test]
fn links_that_somebody_exchanges_while_a_run_works_lead_it_to_nothing_outside() {
    let world = World::start(Path::new(env!("CARGO_BIN_EXE_certkit")));
    let swapped = swap::attack(&world, 112);
    println!("{}", swapped.row());
    assert!(swapped.wrong.is_empty(), "{}", swapped.complaints());
    assert!(swapped.runs == 112 && swapped.renames >= 10_000, "{swapped:?}");
    assert!(swapped.done > 10 && swapped.refused > 10, "{swapped:?}");
}

#[test]
fn what_a_bad_network_costs_is_had_at_the_next_run() {
    const AGAIN: [&str; 4] = ["--exact", "--ignored", "--nocapture", "in_a_network_of_its_own"];
    let output = network::with_own_network(&AGAIN).expect("this is no network of its own yet");
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success() && told.contains("1 passed"),
        "{told}\n(run it where `unshare --net` is permitted)"
    );
}

#[test]
#[ignore = "run by the one before, in a network of its own"]
fn in_a_network_of_its_own() {
    let certkit = Path::new(env!("CARGO_BIN_EXE_certkit"));
    for (weather, issuances) in [(Weather::Lossy(10), 3), (Weather::Reset(30), 3), (Weather::ServFail, 2)] {
        let sent = network::brave(certkit, weather, issuances, 3.min(issuances));
        println!("{}", sent.row(weather));
        assert!(sent.wrong.is_empty(), "{}", sent.complaints());
        assert_eq!((sent.at_once + sent.repeated, sent.issuances), (issuances, issuances), "{sent:?}");
        assert!(sent.orders <= 2 * issuances, "{sent:?}");
        if weather != Weather::Lossy(10) {
            assert!(sent.repeated > 0, "the network was not bad: {sent:?}");
        }
    }
}

fn is_temporary(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "certkit-tmp")
}

#[test]
fn nothing_is_ordered_when_there_is_no_room_for_the_result() {
    let world = World::start(Path::new(env!("CARGO_BIN_EXE_certkit")));
    assert!(
        space::can_mount(),
        "this machine refuses mounts: run the tests as root, in a container with CAP_SYS_ADMIN"
    );
    for operation in [Operation::FirstSave, Operation::Renewal] {
        for room in
            [Room::Pages(0), Room::Pages(9), Room::Pages(30), Room::Inodes(0), Room::Inodes(12), Room::Inodes(30)]
        {
            let squeezed = space::squeeze(&world, operation, room).unwrap_or_else(|wrong| panic!("{wrong}"));
            assert_eq!((squeezed.progress, squeezed.orders), (Progress::Old, 0), "{operation:?} {room:?}");
        }
        for room in [Room::Pages(110), Room::Inodes(100)] {
            let squeezed = space::squeeze(&world, operation, room).unwrap_or_else(|wrong| panic!("{wrong}"));
            assert_eq!(squeezed.progress, Progress::New, "{operation:?} {room:?}");
        }
    }
}
