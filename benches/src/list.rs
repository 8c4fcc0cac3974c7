//! Listing and deciding against the bare reading of the same files.

use std::ffi::OsStr;
use std::hint::black_box;
use std::path::{Path, PathBuf};

use certkit_acme::AwsLcKeyMath;
use certkit_core::decision::RenewalWish;
use certkit_core::store::{
    BrokenLineage, BrokenReason, ConfError, Kind, Lineage, RenewalConf, Store, StorePaths, read_file,
};
use certkit_core::{Certificate, KeyMath, LineageName, Outlook, PlanInput, Step, plan};

use crate::Failure;
use crate::bare::{self, FIVE, TWO};
use crate::cost::{Cost, best, millis};

/// Far above any certificate's file, in bytes.
const MAX_CERTIFICATE: usize = 1 << 20;

/// A row of the table: a work, what it is called, and the bare work that it is measured against.
const ROWS: [(&str, &str, usize); 10] = [
    ("bare-2", "bare read of cert.pem and conf", 0),
    ("decide-2", "names, dates, serial, decision of them", 0),
    ("bare-links", "bare, and the four links followed", 0),
    ("decide", "a run: links, names, dates, decision", 0),
    ("decide-all-cores", "the same on all cores", 0),
    ("bare-5", "bare read of all five files", 5),
    ("list", "links, names, key match, fullchain", 5),
    ("list-all-cores", "the same on all cores", 5),
    ("check", "the same and signatures, key derived", 5),
    ("check-all-cores", "the same on all cores", 5),
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
    let due = costs.get(3).map_or(0, |cost| cost.result);
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
        "decide-2" => decided(confs(config_dir)?.into_iter().map(|conf| input_of_two(&conf))),
        "decide" => decided(store()?.lineages()?.map(input)),
        "decide-all-cores" => decided(store()?.map_lineages(input)?),
        "list" => listed(store()?.lineages()?.map(|lineage| check(lineage, None))),
        "list-all-cores" => listed(store()?.map_lineages(|lineage| check(lineage, None))?),
        "check" => listed(store()?.lineages()?.map(|lineage| check(lineage, Some(&math)))),
        "check-all-cores" => listed(store()?.map_lineages(|lineage| check(lineage, Some(&math)))?),
        other => Err(format!("no such work: {other}").into()),
    }
}

/// The confs in their order.
fn confs(config_dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = std::fs::read_dir(StorePaths::within(config_dir).renewal_dir())?;
    let mut confs: Vec<PathBuf> = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    confs.sort_unstable();
    Ok(confs)
}

/// Of conf and cert.pem alone, as a program does it that only asks which certificates are due.
fn input_of_two(path: &Path) -> Result<PlanInput, BrokenReason> {
    let stem = path.file_stem().and_then(OsStr::to_str).ok_or(BrokenReason::NameNotUtf8)?;
    let name = LineageName::new(stem)?;
    let conf = RenewalConf::parse(&read_file(path, RenewalConf::MAX_BYTES)?)?;
    let cert = Path::new(conf.live_path(Kind::Cert).ok_or(ConfError::MissingPath { key: "cert" })?);
    let certificate = Certificate::from_pem(&read_file(cert, MAX_CERTIFICATE)?)
        .map_err(|source| BrokenReason::Certificate { path: cert.to_owned(), source })?;
    Ok(input_from(name, &conf, &certificate))
}

/// What `certificates` and a run that finds nothing to do need, the four links followed.
fn input(lineage: Result<Lineage, BrokenLineage>) -> Result<PlanInput, BrokenReason> {
    let lineage = lineage.map_err(|broken| broken.reason)?;
    Ok(input_from(lineage.name().clone(), lineage.conf(), &lineage.certificate()?))
}

/// Names, serial number, dates, kind of key, and the owner's wish.
fn input_from(name: LineageName, conf: &RenewalConf, certificate: &Certificate) -> PlanInput {
    black_box((certificate.listed_names(), certificate.serial().certbot_hex(), certificate.key_type()));
    let wish = RenewalWish::new(conf.renew_before_expiry().map(str::to_owned), conf.params().autorenew);
    PlanInput::new(name, Some(certificate.validity()), wish)
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
    let live = lineage.checked_certificate(math)?;
    live.checked?;
    Ok(live.certificate.listed_names().len())
}

/// How many names they have.
fn listed(names: impl IntoIterator<Item = Result<usize, BrokenReason>>) -> Result<usize, Failure> {
    Ok(names.into_iter().sum::<Result<usize, _>>()?)
}
