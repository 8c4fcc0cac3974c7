//! Goes through all faults and prints what came of them.
//!
//! `cargo run -p certkit-faults -- matrix`: every error at every call, once and from there on, after a death at every call.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a program that proves: what goes wrong ends it")]

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use certkit_faults::matrix;
use certkit_faults::operation::Operation;
use certkit_faults::reader::CertbotReader;
use certkit_faults::trial::Trials;
use certkit_faults::world::World;

const USAGE: &str = "usage: certkit-faults kill|errors|matrix [--every N] [--operation NAME]";

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut option = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.remove(at);
        Some(arguments.remove(at))
    };
    let every: usize = option("--every").map_or(1, |number| number.parse().expect(USAGE));
    let only = option("--operation");
    let mut operations = Operation::ALL.to_vec();
    operations.retain(|operation| only.as_ref().is_none_or(|name| operation.name() == name));
    assert!(!operations.is_empty() && arguments.len() == 1, "{USAGE}");
    let world = World::start(&binary());
    let reader = CertbotReader::start();
    let mut wrong = 0;
    print!("{}", matrix::HEAD);
    for operation in operations {
        let trials = Trials::new(&world, &reader, operation);
        let calls = trials.calls().unwrap();
        let jobs = match arguments[0].as_str() {
            "kill" => matrix::deaths(&calls),
            "errors" => matrix::one_error_each(&calls),
            "matrix" => matrix::all_errors(&calls),
            "calls" => {
                calls.iter().for_each(|call| println!("{call}"));
                continue;
            }
            _ => panic!("{USAGE}"),
        };
        let jobs: Vec<_> = jobs.into_iter().step_by(every).collect();
        let tally = matrix::run(&trials, &calls, &jobs, 4);
        print!("{}", tally.row(operation.name()));
        eprint!("{}", tally.complaints());
        wrong += tally.wrong.len();
    }
    ExitCode::from(u8::from(wrong > 0))
}

/// The command, built as this program is.
fn binary() -> PathBuf {
    let beside = std::env::current_exe().unwrap().with_file_name("certkit");
    if std::env::var_os("CERTKIT_FAULTS_AS_BUILT").is_none() {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--package", "certkit-cli"]);
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        assert!(cargo.status().unwrap().success(), "certkit does not build");
    }
    beside
}
