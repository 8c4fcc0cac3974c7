//! Goes through all faults and prints tables of what came of them, in the form in which docs/faults.md has them.
//!
//! `cargo run -p certkit-faults -- deaths|errors|space|power|crowd|soak|swap|network|all [--every N] [--call N] [--operation NAME] [--runs N] [--lineages N]
//! [--seed N] [--binary CERTKIT]`; `--call` is for deaths and errors at that call alone. Status 1 when something was not as it must be. `power` and `space` mount file systems and want root.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a program that proves: what goes wrong ends it")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use certkit_faults::call::Call;
use certkit_faults::crowd;
use certkit_faults::matrix;
use certkit_faults::network;
use certkit_faults::operation::{Operation, Progress};
use certkit_faults::power::{self, Disk, Hook, Journal, Moment, PowerTrials};
use certkit_faults::reader::CertbotReader;
use certkit_faults::soak::{self, soak};
use certkit_faults::space::{self, Room};
use certkit_faults::swap;
use certkit_faults::trial::{Fault, Trials};
use certkit_faults::world::World;

const USAGE: &str = "usage: certkit-faults deaths|errors|space|power|crowd|soak|swap|network|all [--every N] [--call N] [--operation NAME] [--runs N] [--lineages N] [--seed N] [--binary CERTKIT]";

/// A run waits for its CA most of the time.
const SIDE_BY_SIDE: usize = 4;

/// An undisturbed renewal needs less, and so does a first save.
const MOST_PAGES: u32 = 96;
const MOST_INODES: u32 = 80;

/// A crowd: far more than any machine runs at once, for as long as it takes to meet at every point of a run.
const PROCESSES: usize = 50;
const ROUNDS: usize = 100;

/// A soak.
const RUNS: usize = 3000;
const LINEAGES: usize = 20;

/// Runs while links are exchanged: each command at each place, several times.
const UNDER_ATTACK: usize = 224;

/// Set in the process that has mounts of its own.
const OWN_MOUNTS: &str = "CERTKIT_FAULTS_OWN_MOUNTS";

/// What was asked for.
struct Wanted {
    /// Only each N-th trial.
    every: usize,
    /// Only the trials at this call.
    call: Option<usize>,
    operation: Option<String>,
    /// Of a soak.
    runs: usize,
    lineages: usize,
    seed: u64,
}

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut option = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.remove(at);
        (at < arguments.len()).then(|| arguments.remove(at))
    };
    let every = option("--every").map_or(Ok(1), |number| number.parse());
    let call = option("--call").map(|number| number.parse()).transpose();
    let operation = option("--operation");
    let binary = option("--binary").map(PathBuf::from);
    let runs = option("--runs").map_or(Ok(RUNS), |number| number.parse());
    let lineages = option("--lineages").map_or(Ok(LINEAGES), |number| number.parse());
    let seed = option("--seed").map_or_else(|| Ok(testkit::now().timestamp().unsigned_abs()), |number| number.parse());
    let (Ok(every @ 1..), Ok(call), Ok(runs), Ok(lineages @ 1..), Ok(seed), [what]) =
        (every, call, runs, lineages, seed, arguments.as_slice())
    else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    // A table without rows would look as if nothing had been wrong.
    if let Some(name) = operation.as_ref().filter(|name| Operation::ALL.iter().all(|one| one.name() != *name)) {
        let known: Vec<_> = Operation::ALL.iter().map(|one| one.name()).collect();
        eprintln!("there is no operation `{name}`; there are: {}", known.join("; "));
        return ExitCode::from(2);
    }
    let wanted = Wanted { every, call, operation, runs, lineages, seed };
    for (program, package) in [
        ("pebble", "pebble"),
        ("unshare", "util-linux"),
        ("mkfs.xfs", "xfsprogs"),
        ("xfs_io", "xfsprogs"),
        ("mkfs.ext4", "e2fsprogs"),
    ] {
        if testkit::process::find_program(program).is_none() {
            eprintln!("{program} is missing: apt-get install {package}");
            return ExitCode::from(2);
        }
    }
    if matches!(what.as_str(), "power" | "space" | "all") && std::env::var_os(OWN_MOUNTS).is_none() {
        return with_own_mounts();
    }
    let binary = binary.unwrap_or_else(built);
    if what == "network" {
        return in_bad_weather(&binary, wanted.every);
    }
    let world = World::start(&binary);
    let wrong = match what.as_str() {
        "deaths" => below(&world, &wanted, matrix::deaths),
        "errors" => below(&world, &wanted, matrix::all_errors),
        "space" => squeezed(&world, &wanted),
        "power" => cut(&world, &wanted),
        "crowd" => crowded(&world, &wanted),
        "soak" => soaked(&world, &wanted),
        "swap" => swapped(&world, &wanted),
        "all" => {
            below(&world, &wanted, matrix::deaths)
                + below(&world, &wanted, matrix::all_errors)
                + squeezed(&world, &wanted)
                + cut(&world, &wanted)
                + crowded(&World::start(&binary), &wanted)
                + soaked(&World::start(&binary), &wanted)
                + swapped(&world, &wanted)
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    ExitCode::from(u8::from(wrong > 0))
}

/// Runs this again where its mounts are seen by nobody: whoever copies the list of mounts while a file system is cut off
/// would keep it alive, and it would come back as it was.
fn with_own_mounts() -> ExitCode {
    let mut again = Command::new("unshare");
    again.arg("-m").arg(std::env::current_exe().unwrap()).args(std::env::args_os().skip(1)).env(OWN_MOUNTS, "1");
    match again.status().unwrap().code() {
        Some(0) => ExitCode::SUCCESS,
        code => ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
    }
}

/// The command, built as this program is.
fn built() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--package", "certkit-cli"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    assert!(cargo.status().unwrap().success(), "certkit does not build");
    std::env::current_exe().unwrap().with_file_name("certkit")
}

impl Wanted {
    fn of<T>(&self, all: impl IntoIterator<Item = T>) -> Vec<T> {
        all.into_iter().step_by(self.every).collect()
    }

    fn at_call(&self, jobs: Vec<(usize, Fault)>) -> Vec<(usize, Fault)> {
        jobs.into_iter().filter(|(number, _)| self.call.is_none_or(|call| call == *number)).collect()
    }

    fn operations<'a>(&'a self, all: &'a [Operation]) -> impl Iterator<Item = Operation> + 'a {
        all.iter().copied().filter(|one| self.operation.as_ref().is_none_or(|name| one.name() == name))
    }
}

/// Deaths or errors at the calls of all operations.
fn below(world: &World, wanted: &Wanted, jobs: impl Fn(&[Call]) -> Vec<(usize, Fault)>) -> usize {
    let reader = CertbotReader::start();
    let mut wrong = 0;
    print!("\n{}", matrix::HEAD);
    for operation in wanted.operations(&Operation::ALL) {
        let trials = Trials::new(world, &reader, operation);
        let calls = match trials.calls() {
            Ok(calls) => calls,
            Err(what) => {
                eprintln!("WRONG {what}");
                wrong += 1;
                continue;
            }
        };
        let tally = matrix::run(&trials, &calls, &wanted.of(wanted.at_call(jobs(&calls))), SIDE_BY_SIDE);
        print!("{}", tally.row(operation.name()));
        eprint!("{}", tally.complaints());
        wrong += tally.wrong.len();
    }
    wrong
}

/// Many runs at once.
fn crowded(world: &World, wanted: &Wanted) -> usize {
    let crowd = crowd::gather(world, PROCESSES, ROUNDS.div_ceil(wanted.every));
    print!("\n{}{}", crowd::HEAD, crowd.row());
    eprint!("{}", crowd.complaints());
    crowd.wrong.len()
}

/// Runs that are killed at random times. The seed is told first, for whoever ends it.
fn soaked(world: &World, wanted: &Wanted) -> usize {
    eprintln!("--seed {}", wanted.seed);
    let soaked = soak(world, wanted.runs.div_ceil(wanted.every), wanted.lineages, wanted.seed);
    print!("\n{}{}\n{}", soak::HEAD, soaked.row(), soaked.kinds());
    eprint!("{}", soaked.complaints());
    soaked.wrong.len()
}

/// Links that are exchanged while the command works.
fn swapped(world: &World, wanted: &Wanted) -> usize {
    let swapped = swap::attack(world, UNDER_ATTACK.div_ceil(wanted.every));
    print!("\n{}{}", swap::HEAD, swapped.row());
    eprint!("{}", swapped.complaints());
    swapped.wrong.len()
}

/// A network that loses, delays and resets. The tables are printed where there is one that is this program's own.
fn in_bad_weather(binary: &Path, every: usize) -> ExitCode {
    let every = every.to_string();
    let again = ["network", "--every", &every, "--binary", binary.to_str().unwrap()];
    if let Some(output) = network::with_own_network(&again) {
        print!("{}", String::from_utf8_lossy(&output.stdout));
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        return if output.status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let mut wrong = 0;
    print!("\n{}", network::HEAD);
    for (weather, issuances, at_once) in network::ALL {
        let sent = network::brave(binary, weather, issuances.div_ceil(every.parse().unwrap()), at_once);
        print!("{}", sent.row(weather));
        eprint!("{}", sent.complaints());
        wrong += sent.wrong.len();
    }
    ExitCode::from(u8::from(wrong > 0))
}

/// Too little room.
fn squeezed(world: &World, wanted: &Wanted) -> usize {
    let mut wrong = 0;
    println!(
        "\n| operation | room | trials | all as before | of these ordered | done | wrong |\n|---|---|---|---|---|---|---|"
    );
    let pages = format!("0 to {} KiB in steps of 4 KiB", MOST_PAGES * 4);
    let inodes = format!("0 to {MOST_INODES} inodes");
    for operation in
        wanted.operations(&[Operation::FirstSave, Operation::FurtherLineage, Operation::Renewal, Operation::Rollback])
    {
        let rooms = [
            (&pages, wanted.of((0..=MOST_PAGES).map(Room::Pages))),
            (&inodes, wanted.of((0..=MOST_INODES).map(Room::Inodes))),
        ];
        for (name, rooms) in rooms {
            let (mut old, mut ordered, mut new, mut bad) = (0, 0, 0, 0);
            for room in &rooms {
                match space::squeeze(world, operation, *room) {
                    Ok(squeezed) if squeezed.progress == Progress::Old => {
                        old += 1;
                        ordered += usize::from(squeezed.orders > 0);
                    }
                    Ok(_) => new += 1,
                    Err(what) => {
                        eprintln!("WRONG {what}");
                        bad += 1;
                    }
                }
            }
            println!("| {} | {name} | {} | {old} | {ordered} | {new} | {bad} |", operation.name(), rooms.len());
            wrong += bad;
        }
    }
    wrong
}

/// Power cuts.
fn cut(world: &World, wanted: &Wanted) -> usize {
    let mut wrong = 0;
    println!(
        "\n| operation | file system | journal at the cut | cuts | all as before | done | wrong |\n|---|---|---|---|---|---|---|"
    );
    for kind in [power::Kind::Ext4, power::Kind::Xfs] {
        let disk = Disk::make(kind);
        for operation in
            wanted.operations(&[Operation::FirstSave, Operation::Renewal, Operation::ConfRewrite, Operation::Delete])
        {
            let trials = PowerTrials::new(world, operation);
            let calls = trials.calls(&disk);
            let mut moments = wanted.of(calls.iter().map(|call| Moment::Call(call.number)));
            moments.push(Moment::End);
            if matches!(operation, Operation::FirstSave | Operation::Renewal) {
                moments.extend(Hook::ALL.map(Moment::Hook));
            }
            for journal in [Journal::Lost, Journal::Written] {
                let (mut old, mut new, mut bad) = (0, 0, 0);
                for moment in &moments {
                    match trials.cut(&disk, *moment, journal) {
                        Ok(Progress::Old) => old += 1,
                        Ok(Progress::New) => new += 1,
                        Err(what) => {
                            eprintln!("WRONG {what}");
                            bad += 1;
                        }
                    }
                }
                let name = operation.name();
                println!("| {name} | {kind:?} | {journal:?} | {} | {old} | {new} | {bad} |", moments.len());
                wrong += bad;
            }
        }
        if wanted.operation.is_none() {
            for journal in [Journal::Lost, Journal::Written] {
                let left = power::certbot_after_success(world, &disk, journal);
                println!("| certbot, after its success | {kind:?} | {journal:?} | 1 | | | {left} |");
            }
        }
    }
    wrong
}
