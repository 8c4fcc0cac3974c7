//! A year of a machine with many certificates, in seconds: what certkit-core decides and remembers is real, the CAs, the
//! clock and all that goes wrong are invented.

mod authority;
mod calendar;
mod machine;
mod notices;
mod population;
mod random;
mod report;
mod tally;
mod timeline;

use std::error::Error;

use chrono::TimeDelta;

pub use notices::{NoticesReport, notices};
pub use report::Report;

/// Which year is simulated.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How many lineages there are when it begins; a fifth as many come later, all at once.
    pub lineages: u32,
    /// How long it is.
    pub days: i64,
    /// The same number gives the same year.
    pub seed: u64,
    /// From one run to the next; none for a daemon, which wakes when there is something to do.
    pub every: Option<TimeDelta>,
}

/// Lives through the year.
pub fn simulate(setup: &Setup) -> Result<Report, Box<dyn Error>> {
    let machine = timeline::live_through(setup)?;
    Ok(Report::new(setup, machine))
}
