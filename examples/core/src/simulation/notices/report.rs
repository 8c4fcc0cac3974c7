//! What was heard in a page, and the verdict.

use std::fmt;

use super::super::Setup;
use super::watch::Watch;

/// What became of the days.
pub struct NoticesReport {
    setup: Setup,
    watch: Watch,
}

impl NoticesReport {
    pub(super) fn new(setup: Setup, watch: Watch) -> Self {
        Self { setup, watch }
    }

    /// What must not happen and did; none when all is well.
    pub fn complaints(&self) -> &[String] {
        &self.watch.complaints
    }
}

impl fmt::Display for NoticesReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Setup { lineages, days, seed, .. } = &self.setup;
        let watch = &self.watch;
        writeln!(f, "{lineages} lineages, {days} days, seed {seed}, one renewal in ten fails")?;
        let all: u64 = watch.by_kind.values().sum();
        writeln!(
            f,
            "\nNotices: {all} in {} messages, {} at most in one; {} lost",
            watch.messages, watch.largest, watch.lost
        )?;
        for ((kind, level), count) in &watch.by_kind {
            writeln!(f, "  {count:>8}  {} ({})", kind.code(), level.code())?;
        }
        let fewest = watch.ends.iter().min().copied().unwrap_or(0);
        writeln!(f, "Expired: {}; notices before: {fewest} at least", watch.ends.len())?;
        let complaints = watch.complaints.len() as u64 + watch.unsaid;
        writeln!(f, "\nSurprises, repetitions, false alarms: {complaints}")?;
        for complaint in &watch.complaints {
            writeln!(f, "  {complaint}")?;
        }
        Ok(())
    }
}
