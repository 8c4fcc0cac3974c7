//! The timer that runs `certkit renew`: a systemd timer, or a cron line where there is no systemd.

mod change;
pub(crate) use change::{Change, apply};

mod cron;

mod exact;
pub(crate) use exact::TimerRun;

mod gap;
pub(crate) use gap::runs;

mod job;
pub(crate) use job::Job;

mod machine;
pub(crate) use machine::{Existing, Facts, Machine, Rival};

mod proposal;
pub(crate) use proposal::{Proposal, install, remove};

mod schedule;
pub(crate) use schedule::{Interval, Schedule, with_unit};

mod unit;

pub(crate) use cron::user_line;

/// Stands in every file that `certkit timer install` writes, and nothing without it is removed.
pub(crate) const MARKER: &str = "# Written by `certkit timer install`; `certkit timer remove` takes it away again.";

/// The unit that runs `certkit renew`.
pub(crate) const SERVICE: &str = "certkit.service";

/// The unit that starts [`SERVICE`] several times a day.
pub(crate) const TIMER: &str = "certkit.timer";

/// The transient unit that starts [`SERVICE`] at an exact instant.
pub(crate) const EXACT: &str = "certkit-exact";

/// Tells a run how often it comes. Only the timer sets it.
pub(crate) const VARIABLE: &str = "CERTKIT_TIMER";
