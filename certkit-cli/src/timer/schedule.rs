//! When the timer runs: every so many hours, at a time of day that differs between machines and stays on each.

use std::fmt;

use certkit_core::LineageName;
use certkit_core::decision::{Seed, SuggestedWindow, parse_interval};
use certkit_core::escape;
use chrono::{DateTime, TimeDelta};

use crate::exit::CommandError;

/// The time between two runs: 1 to 24 whole hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interval(u8);

/// The times of day at which the timer runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    interval: Interval,
    /// Seconds from midnight to the first run of the count; below the interval.
    offset: u32,
}

/// CAs want to be asked for their advice at least twice a day (Let's Encrypt's integration guide, 2025-06-23); this leaves
/// room for a run that fails.
const USUAL_HOURS: u8 = 6;

/// The times of day are drawn for the machine; the label keeps them apart from what is drawn for certificates.
const LABEL: &str = "certkit timer";

impl Interval {
    /// `--interval`: whole hours, since neither cron nor a calendar expression has more than that.
    pub(crate) fn parse(text: &str) -> Result<Self, CommandError> {
        let hours = with_unit(text).filter(|length| *length == TimeDelta::hours(length.num_hours()));
        let hours = hours.and_then(|length| u8::try_from(length.num_hours()).ok());
        hours.filter(|hours| (1..=24).contains(hours)).map(Self).ok_or_else(|| {
            CommandError::usage(format!("--interval {}: the timer runs every 1 to 24 whole hours", escape(text)))
                .with_cure("write for example --interval 6h; `certkit daemon` needs no interval at all")
        })
    }

    /// As a length of time.
    pub(crate) fn length(self) -> TimeDelta {
        TimeDelta::hours(self.0.into())
    }

    /// In hours.
    pub(crate) fn hours(self) -> u8 {
        self.0
    }
}

impl Default for Interval {
    fn default() -> Self {
        Self(USUAL_HOURS)
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}h", self.0)
    }
}

/// A length of time with its unit: certbot's grammar takes a bare number for days, and whoever writes `6` means hours.
pub(crate) fn with_unit(text: &str) -> Option<TimeDelta> {
    parse_interval(text).ok().filter(|_| text.contains(|c: char| c.is_ascii_alphabetic()))
}

impl Schedule {
    /// Evenly spread over the machines, so that they do not all ask the CA at the same second (Let's Encrypt's integration
    /// guide, 2025-06-23). `machine` is anything that differs between machines and stays.
    pub(crate) fn of(interval: Interval, machine: &[u8]) -> Self {
        let begin = DateTime::UNIX_EPOCH;
        let window = SuggestedWindow::new(begin, begin + interval.length());
        let offset = LineageName::new(LABEL)
            .ok()
            .zip(window)
            .map_or(0, |(label, window)| (window.instant(Seed::of(machine, &label)) - begin).num_seconds());
        Self { interval, offset: u32::try_from(offset).unwrap_or(0) }
    }

    /// How long it takes from a run to the next one at most.
    pub(crate) fn interval(&self) -> Interval {
        self.interval
    }

    /// systemd.time(7), local time.
    pub(crate) fn on_calendar(&self) -> String {
        let hours: Vec<String> = self.hours().iter().map(|hour| format!("{hour:02}")).collect();
        format!("*-*-* {}:{:02}:{:02}", hours.join(","), self.minute(), self.offset % 60)
    }

    /// The first five fields of a line of crontab(5), local time.
    pub(crate) fn cron_fields(&self) -> String {
        let hours: Vec<String> = self.hours().iter().map(ToString::to_string).collect();
        format!("{} {} * * *", self.minute(), hours.join(","))
    }

    fn minute(&self) -> u32 {
        self.offset / 60 % 60
    }

    /// In the order of the day. An interval that does not divide the day has one shorter gap, never a longer one.
    fn hours(&self) -> Vec<u32> {
        let interval = u32::from(self.interval.0);
        let first = self.offset / 3600;
        let mut hours: Vec<u32> = (0..24_u32.div_ceil(interval)).map(|run| (first + run * interval) % 24).collect();
        hours.sort_unstable();
        hours
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn interval(hours: u8) -> Interval {
        Interval::parse(&format!("{hours}h")).unwrap()
    }

    #[test]
    fn whole_hours_up_to_a_day_are_taken_and_everything_else_is_refused_with_the_cure() {
        for (text, hours) in [("1h", 1), ("6 hours", 6), ("360 minutes", 6), ("1 day", 24), ("24h", 24)] {
            assert_eq!(Interval::parse(text).unwrap(), Interval(hours), "{text}");
        }
        for text in ["0h", "25h", "90 minutes", "6", "often", "", "-6h", "2 days", "999999999 years", "\x1b[31m"] {
            let error = Interval::parse(text).unwrap_err();
            assert_eq!(error.exit, crate::exit::Exit::Usage, "{text}");
            assert!(error.cure.unwrap().contains("--interval 6h") && !error.what.contains('\x1b'), "{text}");
        }
    }

    #[test]
    fn expressions_for_systemd_and_for_cron() {
        let schedule = |hours: u8, offset: u32| Schedule { interval: interval(hours), offset };
        let six = schedule(6, 2 * 3600 + 17 * 60 + 5);
        assert_eq!(six.on_calendar(), "*-*-* 02,08,14,20:17:05");
        assert_eq!(six.cron_fields(), "17 2,8,14,20 * * *");
        let day = schedule(24, 13 * 3600 + 59 * 60 + 59);
        assert_eq!((day.on_calendar(), day.cron_fields()), ("*-*-* 13:59:59".into(), "59 13 * * *".into()));
        assert_eq!(schedule(5, 4 * 3600).cron_fields(), "0 0,4,9,14,19 * * *");
        assert_eq!(schedule(1, 0).hours().len(), 24);
    }

    #[test]
    fn no_gap_between_two_runs_is_longer_than_the_interval() {
        for hours in 1..=24 {
            for machine in 0..50_u8 {
                let schedule = Schedule::of(interval(hours), &[machine]);
                let times = schedule.hours();
                assert!(schedule.offset < u32::from(hours) * 3600);
                assert_eq!(times.iter().collect::<BTreeSet<_>>().len(), times.len());
                let next = times.iter().skip(1).copied().chain([times[0] + 24]);
                assert!(times.iter().zip(next).all(|(one, next)| next - one <= u32::from(hours)), "{hours}: {times:?}");
            }
        }
    }

    #[test]
    fn a_machine_keeps_its_times_and_machines_differ() {
        let of = |machine: &str| Schedule::of(interval(6), machine.as_bytes());
        assert_eq!(of("one"), of("one"));
        let different: BTreeSet<_> = (0..50).map(|number| of(&format!("machine {number}")).offset).collect();
        assert!(different.len() > 45, "{different:?}");
    }
}
