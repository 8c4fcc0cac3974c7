//! Decides with a policy of its own: certkit's rule, but only at night, unless it gets tight. Asks nobody, writes nothing.
//! `own_policy CONFIG_DIR [HOUR_UTC]`

use std::error::Error;
use std::time::SystemTime;

use certkit_core::decision::RenewalWish;
use certkit_core::store::{Store, StorePaths};
use certkit_core::{Outlook, PlanInput, Step, plan};
use chrono::{DateTime, Timelike, Utc};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let config_dir = arguments.next().ok_or("usage: own_policy CONFIG_DIR [HOUR_UTC]")?;
    let now: DateTime<Utc> = SystemTime::now().into();
    let hour = arguments.next().map_or_else(|| Ok(now.hour()), |hour| hour.parse())?;
    let at_night = (1..5).contains(&hour);

    for lineage in Store::open(StorePaths::within(config_dir))?.lineages()?.flatten() {
        let validity = lineage.certificate()?.validity();
        let interval = lineage.conf().renew_before_expiry().map(str::to_owned);
        let wish = RenewalWish::new(interval, lineage.conf().params().autorenew);
        let tight = validity.remaining_fraction(now) < 0.1;
        let input = PlanInput::new(lineage.name().clone(), Some(validity), wish);
        for entry in plan([input], &Outlook::default(), now).entries {
            match entry.step {
                Step::Attempt { because, .. } if at_night || tight => println!("{}: now, {}", entry.name, because.words()),
                Step::Attempt { .. } => println!("{}: tonight", entry.name),
                _ => println!("{}: later", entry.name),
            }
        }
    }
    Ok(())
}
