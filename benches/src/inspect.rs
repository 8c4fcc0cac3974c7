//! What a file costs that somebody else wrote: `certkit inspect --json`, from its start to its end.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use testkit::{HurtfulFile, Tree};

use crate::Failure;
use crate::cost::{Cost, best, millis, print_of_program};
use crate::start::certkit;

/// What [`measure`] is called where it runs in a process of its own.
pub(crate) const WORK: &str = "inspect";

/// Prints what the odd certificates of other projects cost, and the files below a mebibyte that are made to hurt.
pub(crate) fn print() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let odd = testkit::workspace().join("certkit-core/tests/data/odd-certificates/files");
    let files = testkit::snapshot(&odd).into_keys().filter(|path| path.is_file());
    let costs = files.map(|file| cost(&file)).collect::<Result<Vec<_>, _>>()?;
    println!("{:<46} {:>8} {:>9}", "certkit inspect --json", "CPU ms", "peak MiB");
    let mut times: Vec<Duration> = costs.iter().map(|cost| cost.cpu).collect();
    times.sort_unstable();
    let peak = costs.iter().map(|cost| cost.peak_kib).max().unwrap_or_default();
    let count = times.len();
    row(&format!("odd certificates ({count}), half of them"), times[count / 2], peak);
    row("the slowest of them", times[count - 1], peak);
    let tree = Tree::new(folder.path().join("tree"), testkit::now());
    for HurtfulFile { name, content, .. } in testkit::hurtful_files(&tree) {
        let file = folder.path().join("file");
        fs::write(&file, &content)?;
        let cost = cost(&file)?;
        row(&format!("{name}, {} KiB", content.len().div_ceil(1024)), cost.cpu, cost.peak_kib);
    }
    Ok(())
}

/// Runs the command on a file and prints what it cost.
pub(crate) fn measure(file: &Path) -> Result<(), Failure> {
    let program = certkit().ok_or("certkit is not built: cargo build --release -p certkit-cli")?;
    print_of_program(Command::new(program).args(["inspect", "--json"]).arg(file))
}

fn cost(file: &Path) -> Result<Cost, Failure> {
    best(&[WORK], file)?.pop().ok_or_else(|| "no cost".into())
}

fn row(name: &str, cpu: Duration, peak_kib: u64) {
    println!("{name:<46} {:>8.1} {:>9.1}", millis(cpu), peak_kib as f64 / 1024.0);
}
