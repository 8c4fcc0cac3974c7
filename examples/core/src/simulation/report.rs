//! The year in a page, and the verdict.

use std::fmt;

use super::Setup;
use super::calendar::{Seconds, Span, instant, length};
use super::machine::Machine;
use super::tally::{Tally, days};

/// The histogram has a row for so many days.
const ROW: i64 = 28;
/// The longest bar.
const BAR: u64 = 40;

/// What became of the year.
pub struct Report {
    setup: Setup,
    rows: Vec<Row>,
    busiest: (usize, u32),
    tally: Tally,
}

struct Row {
    span: Span,
    events: Vec<String>,
}

impl Report {
    pub(crate) fn new(setup: &Setup, machine: Machine) -> Self {
        let Machine { tally, calendar, .. } = machine;
        let rows = (0..setup.days).step_by(usize::try_from(ROW).unwrap_or(1)).map(|day| {
            let span = days(day, (day + ROW).min(setup.days));
            Row { span, events: calendar.words(span) }
        });
        let busiest = tally.busiest(days(0, setup.days));
        Self { rows: rows.collect(), setup: setup.clone(), busiest, tally }
    }

    /// What must not happen and did; none when all is well.
    pub fn complaints(&self) -> &[String] {
        &self.tally.complaints
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Setup { lineages, days, seed, every } = &self.setup;
        let tally = &self.tally;
        let how =
            every.map_or("as a daemon".to_owned(), |every| format!("a run every {}", length(every.num_seconds())));
        let new = lineages / 5;
        let first = instant(0).format("%Y-%m-%d");
        writeln!(f, "{lineages} lineages and {new} new ones, {days} days from {first}, seed {seed}, {how}")?;

        writeln!(f, "\nRenewals: {} in {} attempts", tally.renewals, tally.attempts)?;
        let hours = tally.renewals_by_hour.len().max(1);
        let mean = tally.renewals as f64 / hours as f64;
        let (hour, most) = self.busiest;
        writeln!(f, "  per hour: {mean:.1} on average, {most} at most (day {}, {}:00)", hour / 24, hour % 24)?;
        let counts: Vec<u64> = self.rows.iter().map(|row| tally.renewals_in(row.span)).collect();
        let per_day = |row: &Row, count: u64| count * 86_400 / row.span.length().max(1) as u64;
        let longest = self.rows.iter().zip(&counts).map(|(row, count)| per_day(row, *count)).max().unwrap_or(1).max(1);
        writeln!(f, "  {:<8} {:>8} {:>12}", "days", "per day", "busiest hour")?;
        for (row, count) in self.rows.iter().zip(counts) {
            let per_day = per_day(row, count);
            let bar = "#".repeat(usize::try_from(per_day * BAR / longest).unwrap_or(0));
            let (from, until) = (row.span.from / 86_400, row.span.until / 86_400);
            writeln!(f, "  {:<8} {per_day:>8} {:>12}  {bar}", format!("{from}-{until}"), tally.busiest(row.span).1)?;
            if !row.events.is_empty() {
                writeln!(f, "           {}", row.events.join("; "))?;
            }
        }

        writeln!(f, "\nFailed attempts")?;
        for (class, count) in &tally.failures {
            writeln!(f, "  {count:>8}  {class}")?;
        }
        writeln!(f, "Waited for")?;
        for (what, count) in &tally.holds {
            writeln!(f, "  {count:>8}  {what}")?;
        }
        writeln!(f, "Attempts at a stand-in: {}", tally.stand_ins)?;
        writeln!(f, "Questions about renewal information: {}", tally.questions)?;
        writeln!(f, "Refusals by the CA whose limit is not known: {}", tally.taught)?;
        let slowest = |all: &[Seconds]| length(all.iter().copied().max().unwrap_or(0));
        let (replaced, first) = (&tally.replaced_after, &tally.first_certificates);
        writeln!(f, "Revoked: {}; {} replaced, the last after {}", tally.revoked, replaced.len(), slowest(replaced))?;
        writeln!(f, "New: {new}; {} have a certificate, the last after {}", first.len(), slowest(first))?;

        writeln!(f, "\nNearest to their end")?;
        for (_, story) in &tally.nearest {
            writeln!(f, "  {story}")?;
        }
        writeln!(f, "Expired, with an excuse: {}", tally.expired.values().sum::<u64>())?;
        for (excuse, count) in &tally.expired {
            writeln!(f, "  {count:>8}  {excuse}")?;
        }

        let complaints = tally.complaints.len() as u64 + tally.unsaid;
        writeln!(f, "\nExpired without an excuse, limits broken, loops: {complaints}")?;
        for complaint in &tally.complaints {
            writeln!(f, "  {complaint}")?;
        }
        Ok(())
    }
}
