//! The year as it passes: as a daemon that wakes when there is something to do, or as runs of a cron job.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::error::Error;

use certkit_core::decision::Cadence;
use certkit_core::{Step, plan};
use chrono::TimeDelta;

use super::Setup;
use super::calendar::{Calendar, DAY, HOUR, MINUTE, Seconds, instant};
use super::machine::Machine;

/// Cron jobs do not run at full hours, by the local clock.
const FIRST_RUN: Seconds = 3 * HOUR + 17 * MINUTE;

pub(crate) fn live_through(setup: &Setup) -> Result<Machine, Box<dyn Error>> {
    let cadence = setup.every.map_or_else(Cadence::exact, Cadence::every);
    let mut machine = Machine::new(setup, cadence)?;
    match setup.every {
        Some(every) => run_by_cron(&mut machine, every),
        None => run_as_daemon(&mut machine),
    }
    machine.look_back(setup.lineages);
    Ok(machine)
}

/// Each lineage is looked after when the plan says that there is something to do for it.
fn run_as_daemon(machine: &mut Machine) {
    let mut waiting = Waiting::new(machine, 0);
    let mut now = 0;
    let mut pruned = 0;
    let mut changes = [machine.calendar.burst, machine.calendar.revocation].to_vec();
    while let Some((wake, index)) = waiting.next() {
        let error = machine.calendar.clock_error(now);
        // By the machine's clock; what is late is done now.
        let due = (wake - error).max(now);
        let clock_change = machine.calendar.next_clock_change(now);
        let next_change = changes.iter().copied().min();
        let event = [clock_change, next_change, Some(machine.calendar.end())].into_iter().flatten().min();
        if let Some(event) = event.filter(|event| *event <= due) {
            if event >= machine.calendar.end() {
                break;
            }
            now = event;
            waiting.put_back(wake, index);
            changes.retain(|change| *change != event);
            if event == machine.calendar.burst {
                waiting.add_new(machine, now);
            }
            if event == machine.calendar.revocation {
                machine.revoke(now);
            }
            // Whoever sleeps until an instant looks again when the clock was set.
            if clock_change == Some(event) {
                machine.prune(now);
                waiting = Waiting::new(machine, now);
            }
            continue;
        }
        now = due;
        if now - pruned >= DAY {
            machine.prune(now);
            pruned = now;
        }
        let clock = machine.clock(now);
        let Some(wake) = machine.look_after(index, now) else { continue };
        if wake <= clock {
            let name = machine.population.lineages[index].input.name.clone();
            machine.tally.complain(format!("{} {name}: a daemon would not sleep at all", instant(now)));
        }
        waiting.put_back(wake.max(clock + 1), index);
    }
}

/// All lineages are looked at in each run, and what is nearest to its end is renewed first.
fn run_by_cron(machine: &mut Machine, every: TimeDelta) {
    let every = every.num_seconds().max(MINUTE);
    let (mut burst, mut revoked) = (false, false);
    for run in 0.. {
        let local = FIRST_RUN + run * every;
        // What a clock in central Europe shows, in UTC.
        let now = local - Calendar::local_time(local);
        if now >= machine.calendar.end() {
            break;
        }
        burst |= now >= machine.calendar.burst;
        if now >= machine.calendar.revocation && !revoked {
            machine.revoke(machine.calendar.revocation);
            revoked = true;
        }
        let clock = instant(machine.clock(now));
        machine.outlook.ledger.run_began(clock);
        machine.outlook.cadence = Cadence::from_past_runs(machine.outlook.ledger.runs());
        machine.prune(now);
        let lineages = &machine.population.lineages;
        let mut places: Vec<usize> = (0..lineages.len()).filter(|place| burst || !lineages[*place].is_new).collect();
        places.sort_by_key(|place| lineages[*place].certificate.map_or(Seconds::MAX, |known| known.not_after));
        for place in &places {
            machine.ask_for_advice(*place, now);
        }
        let lineages = &machine.population.lineages;
        let inputs = places.iter().map(|place| &lineages[*place].input);
        let plan = plan(inputs, &machine.outlook, clock);
        for (place, entry) in places.into_iter().zip(plan.entries) {
            if matches!(entry.step, Step::Attempt { .. }) {
                machine.look_after(place, now);
            } else {
                machine.note_hold(place, &entry);
            }
        }
    }
}

/// The lineages by the instant, on the machine's clock, at which there is something to do for them.
struct Waiting(BinaryHeap<Reverse<(Seconds, usize)>>);

impl Waiting {
    fn new(machine: &Machine, now: Seconds) -> Self {
        let clock = machine.clock(now);
        let lineages = machine.population.lineages.iter().enumerate();
        let there = lineages.filter(|(_, lineage)| !lineage.is_new || now >= machine.calendar.burst);
        Self(there.map(|(index, _)| Reverse((clock, index))).collect())
    }

    fn add_new(&mut self, machine: &Machine, now: Seconds) {
        let clock = machine.clock(now);
        let lineages = machine.population.lineages.iter().enumerate();
        self.0.extend(lineages.filter(|(_, lineage)| lineage.is_new).map(|(index, _)| Reverse((clock, index))));
    }

    fn next(&mut self) -> Option<(Seconds, usize)> {
        self.0.pop().map(|Reverse((wake, index))| (wake, index))
    }

    fn put_back(&mut self, wake: Seconds, index: usize) {
        self.0.push(Reverse((wake, index)));
    }
}
