//! Many trials, side by side.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;

use crate::call::Call;
use crate::operation::Progress;
use crate::trial::{Fault, Outcome, Trials};

/// The errors of the matrix.
pub const ERRORS: [Errno; 7] =
    [Errno::ENOSPC, Errno::EIO, Errno::EACCES, Errno::EROFS, Errno::EMFILE, Errno::EDQUOT, Errno::EINTR];

/// What came of many trials of one operation.
#[derive(Debug, Default)]
pub struct Tally {
    /// Calls that change the tree in an undisturbed run.
    pub calls: usize,
    /// Trials that met their call.
    pub met: usize,
    /// After which everything was as before.
    pub old: usize,
    /// After which the operation was done, although the command died or said that it failed.
    pub new: usize,
    /// After which the command said that all is well, and it was.
    pub succeeded: usize,
    /// Different trees that certbot read.
    pub trees: usize,
    /// What must not be.
    pub wrong: Vec<String>,
}

/// A death at every call.
pub fn deaths(calls: &[Call]) -> Vec<(usize, Fault)> {
    let named = calls.iter().filter(|call| call.kind.name != "close");
    named.map(|call| (call.number, Fault::Death)).collect()
}

/// At every call one error that it really returns on some file system: another one for each call of a kind in turn.
pub fn one_error_each(calls: &[Call]) -> Vec<(usize, Fault)> {
    let error = |call: &Call| call.kind.usual_errors()[call.number % call.kind.usual_errors().len()];
    calls.iter().map(|call| (call.number, Fault::Once(error(call)))).collect()
}

/// Every error at every call, once and from there on.
pub fn all_errors(calls: &[Call]) -> Vec<(usize, Fault)> {
    let mut jobs = Vec::new();
    for call in calls {
        for errno in ERRORS {
            jobs.extend([(call.number, Fault::Once(errno)), (call.number, Fault::FromThereOn(errno))]);
        }
    }
    jobs
}

/// Makes the trials, so many at a time.
pub fn run(trials: &Trials<'_>, calls: &[Call], jobs: &[(usize, Fault)], side_by_side: usize) -> Tally {
    let next = AtomicUsize::new(0);
    let tally = Mutex::new(Tally { calls: calls.len(), ..Tally::default() });
    std::thread::scope(|scope| {
        for _ in 0..side_by_side {
            scope.spawn(|| {
                while let Some((number, fault)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = trials.at(*number, *fault);
                    tally.lock().unwrap_or_else(PoisonError::into_inner).add(result);
                }
            });
        }
    });
    let mut tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    tally.trees = trials.trees_read();
    tally
}

impl Tally {
    fn add(&mut self, result: Result<Outcome, String>) {
        match result {
            // Which of two notes of the moment is written can depend on the time that a run takes.
            Ok(Outcome::NotReached) => return,
            Ok(Outcome::Died(Progress::Old) | Outcome::Failed(Progress::Old)) => self.old += 1,
            Ok(Outcome::Died(Progress::New) | Outcome::Failed(Progress::New)) => self.new += 1,
            Ok(Outcome::Succeeded) => self.succeeded += 1,
            Err(wrong) => self.wrong.push(wrong),
        }
        self.met += 1;
    }

    /// A line of the table.
    pub fn row(&self, name: &str) -> String {
        let Self { calls, met, old, new, succeeded, trees, wrong } = self;
        format!("| {name} | {calls} | {met} | {old} | {new} | {succeeded} | {trees} | {} |\n", wrong.len())
    }

    /// All of what must not be, for people.
    pub fn complaints(&self) -> String {
        self.wrong.iter().fold(String::new(), |mut text, wrong| {
            let _ = writeln!(text, "WRONG {wrong}");
            text
        })
    }
}

/// The head of the table.
pub const HEAD: &str = "| operation | calls | trials | all as before | done, and told otherwise or killed | success, and so it is | trees that certbot read | wrong |\n|---|---|---|---|---|---|---|---|\n";
