//! What it costs to list a tree and to decide what is due, against the bare cost of opening and reading the same files.
//!
//! `cargo run --release -p certkit-benches [LINEAGES…]`, by default 1000 and 10000. Both sides run on one thread, each
//! in a process of its own so that the peak memory is that of the work, and the best of several rounds counts. The aim:
//! 2.2 times the bare cost in CPU time, and less than 40 MiB. Nothing is asserted: a machine may be busy.

use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use certkit_core::decision::RenewalWish;
use certkit_core::store::{Store, StorePaths};
use certkit_core::{Outlook, PlanInput, Step, plan};
use chrono::TimeDelta;
use rustix::time::{ClockId, clock_gettime};
use testkit::{Issued, KeyKind, Tree};

const ROUNDS: usize = 7;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [work, folder] if work == "bare" => print_cost(|| bare(Path::new(folder))),
        [work, folder] if work == "decide" => print_cost(|| decide(Path::new(folder))),
        [] => compare(&[1000, 10_000]),
        sizes => compare(&sizes.iter().map(|size| size.parse()).collect::<Result<Vec<_>, _>>()?),
    }
}

fn compare(sizes: &[usize]) -> Result<(), Box<dyn Error>> {
    println!("lineages   due   bare CPU ms   certkit CPU ms   ratio   certkit peak MiB");
    for &size in sizes {
        let folder = tempfile::tempdir()?;
        let tree = Tree::new(folder.path().join("letsencrypt"), testkit::now());
        lay(&tree, size);
        let bare = best("bare", tree.config_dir())?;
        let decide = best("decide", tree.config_dir())?;
        println!(
            "{size:>8} {:>5} {:>13.1} {:>16.1} {:>7.2} {:>18.1}",
            decide.result,
            millis(bare.cpu),
            millis(decide.cpu),
            decide.cpu.as_secs_f64() / bare.cpu.as_secs_f64(),
            decide.peak_kib as f64 / 1024.0,
        );
    }
    Ok(())
}

/// The least that any program does: open and read each conf and the certificate that is live.
fn bare(config_dir: &Path) -> Result<usize, Box<dyn Error>> {
    let mut confs = Vec::new();
    for entry in fs::read_dir(config_dir.join("renewal"))? {
        confs.push(entry?.path());
    }
    confs.sort();
    let mut bytes = 0;
    for conf in &confs {
        bytes += black_box(fs::read(conf)?).len();
        let name = conf.file_stem().ok_or("a conf without a name")?;
        bytes += black_box(fs::read(config_dir.join("live").join(name).join("cert.pem"))?).len();
    }
    Ok(bytes)
}

/// What `certificates` and a run that finds nothing to do need: names, serial number, dates, and the decision.
fn decide(config_dir: &Path) -> Result<usize, Box<dyn Error>> {
    let now = testkit::now();
    let mut inventory = Vec::new();
    for lineage in Store::open(StorePaths::within(config_dir))?.lineages()? {
        let lineage = lineage.map_err(|broken| broken.reason)?;
        let certificate = lineage.certificate()?;
        black_box((certificate.listed_names(), certificate.serial().certbot_hex(), certificate.key_type()));
        let conf = lineage.conf();
        let wish = RenewalWish::new(conf.renew_before_expiry().map(str::to_owned), conf.params().autorenew);
        inventory.push(PlanInput::new(lineage.name().clone(), Some(certificate.validity()), wish));
    }
    let plan = plan(inventory, &Outlook::default(), now);
    Ok(plan.entries.iter().filter(|entry| matches!(entry.step, Step::Attempt { .. })).count())
}

/// A tree in which one lineage in nine is due. A handful of certificates serves all: what they say does not matter here.
fn lay(tree: &Tree, lineages: usize) {
    let key = KeyKind::EcdsaP256.generate();
    let kinds: Vec<(i64, Issued)> = (1..=9)
        .map(|ninth| {
            let left = 23 + 6 * ninth;
            let not_after = tree.now() + TimeDelta::days(left);
            let names: Vec<String> = (0..ninth).map(|number| format!("n{number}.example.com")).collect();
            let serial = [4, u8::try_from(ninth).unwrap_or_default(), 0x5a, 0x17, 0x20, 0x99, 0x31, 0x42];
            let issued = tree.pki().issue(&names, not_after - TimeDelta::days(90), not_after, &key, &serial);
            (left, issued)
        })
        .collect();
    let server = "https://127.0.0.1:14000/dir";
    for (number, (left, issued)) in (0..lineages).zip(kinds.iter().cycle()) {
        let name = format!("site-{number:05}.example.com");
        let lineage = tree.lineage(&name).days_left(*left).server(server).account("0123456789abcdef0123456789abcdef");
        lineage.webroot("/var/www/html").write_with(issued);
    }
}

struct Cost {
    result: usize,
    cpu: Duration,
    peak_kib: u64,
}

/// The cheapest of several rounds: the noise of a machine only ever adds.
fn best(work: &str, folder: &Path) -> Result<Cost, Box<dyn Error>> {
    let mut best: Option<Cost> = None;
    for _ in 0..ROUNDS {
        let output = Command::new(std::env::current_exe()?).arg(work).arg(folder).output()?;
        if !output.status.success() {
            return Err(format!("{work}: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        let text = String::from_utf8(output.stdout)?;
        let numbers: Vec<u64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let [result, nanos, peak_kib] = numbers.as_slice() else { return Err(format!("{work}: {text}").into()) };
        let cost = Cost { result: usize::try_from(*result)?, cpu: Duration::from_nanos(*nanos), peak_kib: *peak_kib };
        if best.as_ref().is_none_or(|best| cost.cpu < best.cpu) {
            best = Some(cost);
        }
    }
    best.ok_or_else(|| "no round".into())
}

/// Runs the work and prints its result, its CPU time in nanoseconds, and the process's peak memory in KiB.
fn print_cost(work: impl FnOnce() -> Result<usize, Box<dyn Error>>) -> Result<(), Box<dyn Error>> {
    let cpu = || clock_gettime(ClockId::ProcessCPUTime);
    let start = cpu();
    let result = work()?;
    let end = cpu();
    let nanos = (end.tv_sec - start.tv_sec) * 1_000_000_000 + end.tv_nsec - start.tv_nsec;
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    let peak = peak.trim().trim_end_matches(" kB");
    println!("{result} {nanos} {peak}");
    Ok(())
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
