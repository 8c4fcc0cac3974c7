//! Lists what expires soon in a certbot tree, with certkit-core alone: `list_expiring [CONFIG_DIR [DAYS]]`

use std::error::Error;
use std::time::SystemTime;

use certkit_core::store::{Store, StorePaths};
use chrono::{DateTime, TimeDelta, Utc};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let config_dir = arguments.next().unwrap_or_else(|| "/etc/letsencrypt".into());
    let days = arguments.next().map_or(Ok(30), |days| days.parse())?;
    let now: DateTime<Utc> = SystemTime::now().into();

    for lineage in Store::open(StorePaths::within(config_dir))?.lineages()? {
        // A lineage that cannot be read is news too, and never hides the others.
        let lineage = match lineage {
            Ok(lineage) => lineage,
            Err(broken) => {
                println!("{}: {}", broken.name, broken.reason);
                continue;
            }
        };
        match lineage.certificate() {
            Ok(certificate) => {
                let left = certificate.validity().remaining(now);
                if left <= TimeDelta::days(days) {
                    println!("{}: {} days left", lineage.name(), left.num_days());
                }
            }
            Err(reason) => println!("{}: {reason}", lineage.name()),
        }
    }
    Ok(())
}
