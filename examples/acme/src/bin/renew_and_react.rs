//! Renews what is due in a certbot tree and reacts to the report: `renew_and_react CONFIG_DIR`

use std::error::Error;

use certkit_acme::Stop;
use certkit_acme::renewal::{Outcome, Renewer, Request};
use certkit_acme::transport::TransportSettings;
use certkit_core::store::{Store, StorePaths};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let config_dir = std::env::args().nth(1).ok_or("usage: renew_and_react CONFIG_DIR")?;
    let store = Store::open(StorePaths::within(config_dir))?;
    let renewer = Renewer::builder(store).transport(TransportSettings::from_env()).build()?;
    let report = renewer.run(Request::renew(), &Stop::new()).await?;

    for entry in &report.entries {
        match &entry.outcome {
            Outcome::Renewed { version, not_after } => {
                println!("{}: version {version} until {not_after}: tell the load balancer", entry.name);
            }
            Outcome::Failed { failure, next_attempt } => {
                let when = next_attempt.map_or("at the next run".to_owned(), |at| format!("at {at}"));
                println!("{}: {failure}. {}. Tried again {when}", entry.name, failure.cure());
                for one in &failure.per_identifier {
                    println!("  {}: {}", one.identifier, one.problem.cure());
                }
            }
            Outcome::Broken { reason, .. } => println!("{}: call somebody: {reason}", entry.name),
            other => println!("{}: nothing to do ({other:?})", entry.name),
        }
    }
    if report.is_success() { Ok(()) } else { Err("not everything is well".into()) }
}
