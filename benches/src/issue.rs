//! What issuing costs: all that is due, in one run, from a Pebble that validates without delay.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use certkit_acme::Stop;
use certkit_acme::protocol::{AccountKey, AccountKeyType, Authority, NewAccount};
use certkit_acme::renewal::{Outcome, Renewer, Request};
use certkit_acme::transport::{Transport, TransportSettings};
use certkit_core::AcmeUrl;
use certkit_core::store::{NewStoredAccount, Store, StorePaths};
use testkit::{Pebble, PebbleOptions, Tree};

use crate::cost::{self, Cost, millis};
use crate::{Failure, trees};

/// So many certificates are issued where nothing else is asked for.
const USUAL: usize = 20;
/// Orders at once; more than that no CA likes.
const AT_ONCE: usize = 20;

/// Issues so many certificates and prints what it took, beside what Pebble's own work took: with the kind of account key
/// that certbot and certkit make, and with one whose signatures cost next to nothing.
pub(crate) fn print(arguments: &[&str]) -> Result<(), Failure> {
    let count = match arguments {
        [count] => count.parse()?,
        _ => USUAL,
    };
    println!("{count} certificates in one run, {AT_ONCE} at once");
    println!(
        "{:<14} {:>7} {:>8} {:>10} {:>10} {:>8} {:>9}",
        "account key", "issued", "wall ms", "Pebble ms", "CPU ms", "wall ×", "peak MiB"
    );
    print_with("RSA 2048", AccountKeyType::Rsa2048, count)?;
    print_with("ECDSA P-256", AccountKeyType::EcdsaP256, count)
}

fn print_with(name: &str, key: AccountKeyType, count: usize) -> Result<(), Failure> {
    let pebble = Pebble::start(PebbleOptions::default());
    let folder = folder()?;
    let tree = Tree::new(folder.path().join("letsencrypt"), testkit::now());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let account = runtime.block_on(register(&pebble, tree.config_dir(), key))?;
    for number in 0..count {
        let lineage = tree.lineage(&trees::name(number)).days_left(10).server(&pebble.directory_url());
        lineage.account(&account).standalone(pebble.http_port()).write();
    }
    let before = cpu_of_pebble()?;
    let Cost { result, cpu, wall, peak_kib } = run(&pebble.ca_bundle(), tree.config_dir())?;
    let server = cpu_of_pebble()? - before;
    let (wall, cpu, times) = (millis(wall), millis(cpu), millis(wall) / server);
    let peak = peak_kib as f64 / 1024.0;
    println!("{name:<14} {result:>7} {wall:>8.0} {server:>10.0} {cpu:>10.0} {times:>8.2} {peak:>9.1}");
    Ok(())
}

/// A folder for a tree; in memory where that is possible, for how fast a disk syncs is not the question.
pub(crate) fn folder() -> Result<tempfile::TempDir, Failure> {
    let memory = Path::new("/dev/shm");
    Ok(if memory.is_dir() { tempfile::tempdir_in(memory)? } else { tempfile::tempdir()? })
}

/// Renews all that is due in a process of its own.
pub(crate) fn run(ca_bundle: &Path, config_dir: &Path) -> Result<Cost, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("issue-all").arg(ca_bundle).arg(config_dir).stderr(Stdio::inherit());
    let told = String::from_utf8(command.output()?.stdout)?;
    Cost::parse(&told).ok_or_else(|| "the run gave no figures".into())
}

/// The run in that process.
pub(crate) fn issue_all(ca_bundle: &str, config_dir: &str) -> Result<(), Failure> {
    let mut transport = TransportSettings::new();
    transport.ca_bundles.push(ca_bundle.into());
    let store = Store::open(StorePaths::within(config_dir))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let renewer = Renewer::builder(store).transport(transport).build()?;
    let mut request = Request::renew();
    request.parallel_orders = Some(AT_ONCE);
    // No server has these certificates.
    request.probe_endpoints = false;
    cost::print_of(|| {
        let report = runtime.block_on(renewer.run(request, &Stop::new()))?;
        // A Pebble that stops answering is seen now and then (its issue 554: one order read-locked twice).
        for entry in report.entries.iter().filter(|entry| !matches!(entry.outcome, Outcome::Renewed { .. })).take(1) {
            eprintln!("{}: {:?}", entry.name, entry.outcome);
        }
        Ok(report.entries.iter().filter(|entry| matches!(entry.outcome, Outcome::Renewed { .. })).count())
    })
}

async fn register(pebble: &Pebble, config_dir: &Path, key: AccountKeyType) -> Result<String, Failure> {
    let mut settings = TransportSettings::new();
    settings.ca_bundles.push(pebble.ca_bundle());
    let directory = AcmeUrl::parse(&pebble.directory_url())?;
    let authority = Authority::connect(Transport::new(&settings)?, &directory).await?;
    let key = AccountKey::generate_kind(key)?;
    let (jwk, spki_der) = (key.to_jwk(), key.spki_der().to_vec());
    let account = authority.register(key, &NewAccount::new(Vec::new(), true), None).await?.account;
    let (uri, created) = (account.url(), testkit::now());
    let new = NewStoredAccount { spki_der: &spki_der, jwk: &jwk, uri, created, host: "bench" };
    Ok(Store::open(StorePaths::within(config_dir))?.lock()?.save_account(&directory, &new)?.id)
}

/// The CPU time of the Pebble that this process started, in milliseconds.
fn cpu_of_pebble() -> Result<f64, Failure> {
    let own = std::process::id().to_string();
    for entry in fs::read_dir("/proc")? {
        let Ok(stat) = fs::read_to_string(entry?.path().join("stat")) else { continue };
        // proc(5): the name in brackets, the state, the parent, and from the twelfth on the ticks in user and system mode.
        let Some((head, rest)) = stat.rsplit_once(") ") else { continue };
        let fields: Vec<&str> = rest.split(' ').collect();
        if head.ends_with("(pebble") && fields.get(1) == Some(&own.as_str()) {
            let ticks: u64 = fields.iter().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
            return Ok(ticks as f64 * 1000.0 / rustix::param::clock_ticks_per_second() as f64);
        }
    }
    Err("pebble is not in /proc".into())
}
