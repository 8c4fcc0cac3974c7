//! Listing and deciding against the bare reading of the same files.

use std::hint::black_box;
use std::path::Path;

use certkit_acme::AwsLcKeyMath;
use certkit_core::decision::RenewalWish;
use certkit_core::store::{BrokenLineage, BrokenReason, Lineage, Store, StorePaths};
use certkit_core::{KeyMath, Outlook, PlanInput, Step, plan};

use crate::Failure;
use crate::bare::{self, FIVE, TWO};
use crate::cost::{Cost, best, millis};

/// A row of the table: a work, what it is called, and the bare work that it is measured against.
const ROWS: [(&str, &str, usize); 9] = [
    ("bare-2", "bare read of cert.pem and conf", 0),
    ("bare-links", "the same, and the four links followed", 0),
    ("decide", "links, names, dates, serial, decision", 0),
    ("decide-all-cores", "the same on all cores", 0),
    ("bare-5", "bare read of all five files", 4),
    ("list", "links, names, key match, fullchain", 4),
    ("list-all-cores", "the same on all cores", 4),
    ("check", "the same and signatures, key derived", 4),
    ("check-all-cores", "the same on all cores", 4),
];

/// Prints the table for a tree.
pub(crate) fn print(config_dir: &Path) -> Result<(), Failure> {
    let works = ROWS.map(|(work, ..)| work);
    let costs = best(&works, config_dir)?;
    println!("{:<38} {:>8} {:>8} {:>6} {:>6} {:>9}", "", "CPU ms", "wall ms", "CPU ×", "wall ×", "peak MiB");
    for ((_, name, against), cost) in ROWS.iter().zip(&costs) {
        let Some(bare) = costs.get(*against) else { continue };
        let Cost { cpu, wall, peak_kib, .. } = *cost;
        println!(
            "{name:<38} {:>8.1} {:>8.1} {:>6.2} {:>6.2} {:>9.1}",
            millis(cpu),
            millis(wall),
            cpu.as_secs_f64() / bare.cpu.as_secs_f64(),
            wall.as_secs_f64() / bare.wall.as_secs_f64(),
            peak_kib as f64 / 1024.0,
        );
    }
    let due = costs.get(2).map_or(0, |cost| cost.result);
    println!("{due} are due\n");
    Ok(())
}

/// Does the work of a row. Gives a number that its result determines.
pub(crate) fn perform(work: &str, config_dir: &Path) -> Result<usize, Failure> {
    let store = || Store::open(StorePaths::within(config_dir));
    let math = AwsLcKeyMath::new();
    match work {
        "bare-2" => bare::read(config_dir, TWO),
        "bare-links" => bare::read_and_follow(config_dir, TWO),
        "bare-5" => bare::read(config_dir, FIVE),
        "decide" => decided(store()?.lineages()?.map(input)),
        "decide-all-cores" => decided(store()?.map_lineages(input)?),
        "list" => listed(store()?.lineages()?.map(|lineage| check(lineage, None))),
        "list-all-cores" => listed(store()?.map_lineages(|lineage| check(lineage, None))?),
        "check" => listed(store()?.lineages()?.map(|lineage| check(lineage, Some(&math)))),
        "check-all-cores" => listed(store()?.map_lineages(|lineage| check(lineage, Some(&math)))?),
        other => Err(format!("no such work: {other}").into()),
    }
}

/// What `certificates` and a run that finds nothing to do need: names, serial number, dates, and the owner's wish.
fn input(lineage: Result<Lineage, BrokenLineage>) -> Result<PlanInput, BrokenReason> {
    let lineage = lineage.map_err(|broken| broken.reason)?;
    let certificate = lineage.certificate()?;
    black_box((certificate.listed_names(), certificate.serial().certbot_hex(), certificate.key_type()));
    let conf = lineage.conf();
    let wish = RenewalWish::new(conf.renew_before_expiry().map(str::to_owned), conf.params().autorenew);
    Ok(PlanInput::new(lineage.name().clone(), Some(certificate.validity()), wish))
}

/// How many are due.
fn decided(inputs: impl IntoIterator<Item = Result<PlanInput, BrokenReason>>) -> Result<usize, Failure> {
    let inventory: Vec<PlanInput> = inputs.into_iter().collect::<Result<_, _>>()?;
    let plan = plan(inventory, &Outlook::default(), testkit::now());
    Ok(plan.entries.iter().filter(|entry| matches!(entry.step, Step::Attempt { .. })).count())
}

/// Everything that `certificates` looks at; with `math` also what certbot checks by computation.
fn check(lineage: Result<Lineage, BrokenLineage>, math: Option<&dyn KeyMath>) -> Result<usize, BrokenReason> {
    let lineage = lineage.map_err(|broken| broken.reason)?;
    let (certificate, checked) = lineage.checked_certificate(math)?;
    checked?;
    Ok(certificate.listed_names().len())
}

/// How many names they have.
fn listed(names: impl IntoIterator<Item = Result<usize, BrokenReason>>) -> Result<usize, Failure> {
    Ok(names.into_iter().sum::<Result<usize, _>>()?)
}
