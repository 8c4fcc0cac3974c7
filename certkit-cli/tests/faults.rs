//! The command is killed, and meets errors, at the calls with which it changes a tree.
//!
//! `cargo run -p certkit-faults` goes through all of them, with every error and with power cuts; see docs/faults.md.

use std::path::Path;
use std::sync::OnceLock;

use certkit_faults::call::Call;
use certkit_faults::matrix::{self, Tally};
use certkit_faults::operation::Operation;
use certkit_faults::reader::CertbotReader;
use certkit_faults::trial::{Fault, Trials};
use certkit_faults::world::World;

/// More than there are processors: a run waits for its CA most of the time.
const SIDE_BY_SIDE: usize = 4;

fn shared() -> &'static (World, CertbotReader) {
    static SHARED: OnceLock<(World, CertbotReader)> = OnceLock::new();
    SHARED.get_or_init(|| (World::start(Path::new(env!("CARGO_BIN_EXE_certkit"))), CertbotReader::start()))
}

#[track_caller]
fn try_all(operation: Operation, jobs: impl Fn(&[Call]) -> Vec<(usize, Fault)>) -> Tally {
    let (world, reader) = shared();
    let trials = Trials::new(world, reader, operation);
    let calls = trials.calls().unwrap_or_else(|wrong| panic!("{wrong}"));
    let jobs = jobs(&calls);
    let tally = matrix::run(&trials, &calls, &jobs, SIDE_BY_SIDE);
    println!("{}", tally.row(operation.name()));
    assert!(tally.wrong.is_empty(), "{}", tally.complaints());
    // A few calls are made or not by the time that a run takes.
    assert!(tally.met * 10 >= jobs.len() * 9, "only {} of {} calls were met", tally.met, jobs.len());
    tally
}

#[test]
fn killed_anywhere_a_renewal_leaves_the_old_pair_or_the_new_one_and_the_next_run_does_the_rest() {
    let tally = try_all(Operation::Renewal, matrix::deaths);
    assert!(tally.old > 50 && tally.new > 20, "{tally:?}");
}
