//! A run that our timer started, and the exact instant of the next one.

use certkit_acme::renewal::{Mode, Renewer, Report, Request};
use certkit_core::decision::Cadence;
use certkit_core::{Plan, Step};
use chrono::{DateTime, TimeDelta, Timelike as _, Utc};

use super::schedule::with_unit;
use super::unit::RANDOM_DELAY;
use super::{EXACT, Machine, SERVICE, VARIABLE};
use crate::commands::Context;
use crate::exit::CommandError;
use crate::{render, runtime};

/// Whatever the plan says: no more runs than one a minute.
const SHORTEST_WAIT: TimeDelta = TimeDelta::minutes(1);

/// Where packages and administrators put units.
const UNIT_DIRECTORIES: [&str; 3] = ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];

/// A run that our timer started.
pub(crate) struct TimerRun {
    interval: TimeDelta,
    machine: Machine,
    wakes: bool,
}

impl TimerRun {
    /// Tells whether it is one. A time that cannot be read must not stop a renewal.
    pub(crate) fn of(context: &Context<'_>) -> Option<Self> {
        let text = context.invocation.environment.timer.as_ref()?.to_string_lossy();
        let Some(interval) = with_unit(&text) else {
            context.ui.warning(&format!(
                "{VARIABLE} is `{}`, which is no length of time such as 6h; it is ignored",
                certkit_core::escape(&text)
            ));
            return None;
        };
        let machine = context.machine();
        let has_service = UNIT_DIRECTORIES.iter().any(|dir| machine.at(dir).join(SERVICE).exists());
        let has_programs = ["systemd-run", "systemctl"].iter().all(|name| machine.program(name).is_some());
        let wakes = machine.has_systemd() && has_service && has_programs;
        Some(Self { interval, machine, wakes })
    }

    /// How often such a run comes.
    pub(crate) fn cadence(&self) -> Cadence {
        let mut cadence = Cadence::every(self.interval);
        cadence.exact = self.wakes;
        cadence
    }

    /// Sets the timer to the instant at which there is something to do, when no regular run comes before it. A failure is
    /// told and is none of the run: the next regular run does what is due by then.
    pub(crate) fn set_wake(&self, context: &Context<'_>, request: &Request, report: &Report) {
        if !self.wakes || request.mode != Mode::Real || report.stopped.is_some() {
            return;
        }
        let result = runtime::block_on(|_stop| async {
            // It reads the store and asks nobody.
            let plan = Renewer::builder(context.store()?).build()?.plan(request).await?;
            let wake = next_wake(&plan, self.interval, Utc::now());
            self.replace(wake).await.map(|()| wake)
        });
        match result {
            Ok(Some(wake)) => context.ui.detail(&format!("The timer is set to {}, too.", render::time(wake))),
            Ok(None) => {}
            // Told although it is to be quiet: a narrow window of the CA may be missed.
            Err(error) => context.ui.failure(&format!(
                "warning: the timer could not be set to the exact instant of the next renewal: {error}. The next regular run comes all the same.\n"
            )),
        }
    }

    async fn replace(&self, wake: Option<DateTime<Utc>>) -> Result<(), CommandError> {
        // There is none, as a rule, and systemctl calls that a failure.
        let _ = self.machine.run("systemctl", &["stop", &format!("{EXACT}.timer")]).await;
        let Some(wake) = wake else { return Ok(()) };
        let systemctl = self.machine.program("systemctl").unwrap_or_else(|| "systemctl".into());
        let arguments = [
            "--quiet",
            "--collect",
            &format!("--unit={EXACT}"),
            &format!("--on-calendar={}", calendar(wake)),
            "--timer-property=AccuracySec=1s",
            &systemctl.to_string_lossy(),
            "start",
            "--no-block",
            SERVICE,
        ];
        self.machine.run("systemd-run", &arguments).await.map(drop)
    }
}

/// systemd.time(7).
fn calendar(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// The instant to wake at, in whole seconds; none when a regular run comes before it.
fn next_wake(plan: &Plan, interval: TimeDelta, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    // What has just been attempted and is due still was stopped by something on this machine, and waits for a regular run:
    // a run a minute would not mend it.
    let instants = plan.entries.iter().flat_map(|entry| match &entry.step {
        Step::Attempt { .. } => [None, None],
        Step::Held { until, .. } => [entry.wake, Some(*until)],
        // A question that could not be asked must not hide the renewal behind it.
        Step::NotDue { until, .. } => [entry.wake, *until],
        _ => [entry.wake, None],
    });
    let wake = instants.flatten().filter(|instant| *instant > now).min()?;
    let next_run = now.checked_add_signed(interval)?.checked_add_signed(RANDOM_DELAY)?;
    if wake >= next_run {
        return None;
    }
    let wake = wake.max(now + SHORTEST_WAIT);
    // A second too early would be an order before the CA's window.
    if wake.nanosecond() == 0 { Some(wake) } else { (wake + TimeDelta::seconds(1)).with_nanosecond(0) }
}

#[cfg(test)]
mod tests {
    use certkit_core::decision::RenewalWish;
    use certkit_core::{LineageName, Outlook, PlanInput, Validity, plan};

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    /// Due at these instants, half of a lifetime of 8 days being left then.
    fn plan_of(due: &[i64]) -> Plan {
        let days = TimeDelta::days(4);
        let inputs = due.iter().enumerate().map(|(number, due)| {
            let validity = Validity { not_before: at(*due) - days, not_after: at(*due) + days };
            let name = LineageName::new(format!("n{number}.example")).unwrap();
            PlanInput::new(name, Some(validity), RenewalWish::default())
        });
        let mut outlook = Outlook::default();
        outlook.cadence = Cadence::exact();
        plan(inputs, &outlook, at(0))
    }

    const SIX_HOURS: TimeDelta = TimeDelta::hours(6);

    #[test]
    fn it_wakes_at_the_first_instant_before_the_next_regular_run() {
        let wake = |due: &[i64]| next_wake(&plan_of(due), SIX_HOURS, at(0));
        assert_eq!(wake(&[9000, 7200]), Some(at(7200)));
        assert_eq!(wake(&[6 * 3600 + 60]), Some(at(6 * 3600 + 60)), "a run may come late by the random delay");
        assert_eq!(wake(&[7 * 3600]), None, "a regular run comes before");
        assert_eq!(wake(&[]), None);
    }

    #[test]
    fn it_never_wakes_within_a_minute_and_never_too_early() {
        let wake = |due: &[i64]| next_wake(&plan_of(due), SIX_HOURS, at(0));
        assert_eq!(wake(&[5]), Some(at(60)));
        let later = next_wake(&plan_of(&[7200]), SIX_HOURS, at(7199) + TimeDelta::milliseconds(1));
        assert_eq!(later, Some(at(7260)), "rounded up");
    }

    #[test]
    fn what_is_due_and_was_not_done_does_not_make_a_run_each_minute() {
        assert_eq!(next_wake(&plan_of(&[-60]), SIX_HOURS, at(0)), None);
        assert_eq!(next_wake(&plan_of(&[-60, 7200]), SIX_HOURS, at(0)), Some(at(7200)));
    }

    #[test]
    fn systemd_understands_the_instant() {
        let output = std::process::Command::new("systemd-analyze").args(["calendar", &calendar(at(0))]).output();
        let output = output.expect("systemd-analyze is missing: install the package systemd");
        assert!(output.status.success(), "{output:?}");
        assert_eq!(calendar(at(0)), "2027-01-15 08:00:00 UTC");
    }
}
