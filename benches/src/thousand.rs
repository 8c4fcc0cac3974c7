//! How much memory a run needs by how many certificates are due: a thousand must not need much more than twenty.
//!
//! Pebble locks itself up before a thousand orders are done (its issue 554), so the CA is the one that tests have for
//! themselves. It validates nothing; what it issues is verified, stored and made live as any other certificate.

use std::path::Path;
use std::sync::Arc;

use testkit::{AccountKeyKind, Asked, HostileCa, Reply, RequestKind, Tree};

use crate::cost::{Cost, millis};
use crate::{Failure, issue, trees};

/// So many are due in a run where nothing else is asked for.
const USUAL: [usize; 3] = [20, 200, 1000];

/// Renews all of a tree of each size and prints the memory that it took, and how much more for each certificate more
/// than the first tree has.
pub(crate) fn print(sizes: &[&str]) -> Result<(), Failure> {
    let sizes = match sizes {
        [] => USUAL.to_vec(),
        sizes => sizes.iter().map(|size| size.parse()).collect::<Result<Vec<usize>, _>>()?,
    };
    let ca = HostileCa::start(Arc::new(offer_renewal_information));
    println!("{:>8} {:>8} {:>8} {:>8} {:>9} {:>13}", "due", "renewed", "wall ms", "CPU ms", "peak MiB", "KiB for each");
    let mut first: Option<(usize, u64)> = None;
    for due in sizes {
        let folder = issue::folder()?;
        let config_dir = folder.path().join("letsencrypt");
        lay(&config_dir, &folder.path().join("www"), &ca, due)?;
        let Cost { result, cpu, wall, peak_kib } = issue::run(&ca.ca_bundle(), &config_dir)?;
        let (fewest, least) = *first.get_or_insert((due, peak_kib));
        let each = peak_kib.saturating_sub(least) as f64 / due.saturating_sub(fewest).max(1) as f64;
        let (wall, cpu, peak) = (millis(wall), millis(cpu), peak_kib as f64 / 1024.0);
        println!("{due:>8} {result:>8} {wall:>8.0} {cpu:>8.0} {peak:>9.1} {each:>13.1}");
    }
    Ok(())
}

fn lay(config_dir: &Path, webroot: &Path, ca: &HostileCa, due: usize) -> Result<(), Failure> {
    std::fs::create_dir(webroot)?;
    let tree = Tree::new(config_dir, testkit::now());
    let server = ca.directory_url();
    let account = tree.account_with_url(&server, AccountKeyKind::EcP256, &ca.account_url());
    for number in 0..due {
        let lineage = tree.lineage(&trees::name(number)).days_left(10).server(&server);
        lineage.account(&account.id).webroot(webroot).write();
    }
    Ok(())
}

/// As public CAs do; by what it says all are to be renewed now.
fn offer_renewal_information(asked: &Asked<'_>, reply: &mut Reply) {
    let days_ago = |days| (testkit::now() - chrono::TimeDelta::days(days)).to_rfc3339();
    match asked.kind {
        RequestKind::Directory => reply.set("/renewalInfo", format!("{}/renewal-info", asked.base).into()),
        RequestKind::RenewalInfo => {
            reply.set("/suggestedWindow/start", days_ago(2).into());
            reply.set("/suggestedWindow/end", days_ago(1).into());
        }
        _ => {}
    }
}
