//! What an owner hears in a year in which one renewal in ten fails: what certkit-core decides, remembers and says is real;
//! the CA, the hooks and the owner are invented.
//!
//! Some failures are over at the next try, some last for weeks, some are for good; some certificates are renewed but not
//! deployed; one message in twenty gets lost; and for three weeks nobody runs certkit at all, while notices go on.

mod lineage;

mod report;
pub use report::NoticesReport;

mod watch;

use std::error::Error;

use certkit_core::decision::Cadence;
use certkit_core::state::Ledger;
use certkit_core::{NoticeFacts, NoticeMemory, Outlook, Summary, due_notices, group_notices};
use chrono::TimeDelta;

use super::Setup;
use super::calendar::{DAY, HOUR, Seconds, instant};
use super::random::Random;
use lineage::Lineage;
use watch::Watch;

/// Where nothing else is said: as certbot's packages do it.
const USUAL_INTERVAL: Seconds = 12 * HOUR;
/// So often no channel takes a message, which is then sent at the next run.
const LOST: f64 = 0.05;
/// Nobody runs certkit from this day on, for so many days.
const DEAD_FROM: i64 = 300;
const DEAD_DAYS: i64 = 21;

/// Lives through the days.
pub fn notices(setup: &Setup) -> Result<NoticesReport, Box<dyn Error>> {
    let every = setup.every.map_or(USUAL_INTERVAL, |every| every.num_seconds().max(HOUR));
    let mut random = Random::new(setup.seed);
    let mut lineages: Vec<Lineage> =
        (0..setup.lineages).map(|number| Lineage::new(number, &mut random)).collect::<Result<_, _>>()?;
    let mut outlook = Outlook::new(Ledger::default(), Cadence::every(TimeDelta::seconds(every)));
    let mut memory = NoticeMemory::default();
    let mut watch = Watch::new(every);
    let mut before = instant(0);
    for run in 0.. {
        let seconds = run * every + random.between(0, HOUR / 4);
        if seconds >= setup.days * DAY {
            break;
        }
        let now = instant(seconds);
        let is_dead = (DEAD_FROM * DAY..(DEAD_FROM + DEAD_DAYS) * DAY).contains(&seconds);
        if !is_dead {
            outlook.ledger.run_began(now);
            for lineage in &mut lineages {
                lineage.look_after(&outlook, now, &mut random);
            }
        }
        for lineage in &lineages {
            watch.look_for_an_end(lineage, (before, now), is_dead);
        }
        let summaries: Vec<Summary> = lineages.iter().map(|lineage| lineage.summary(&outlook, now)).collect();
        let due = due_notices(&NoticeFacts::new(&summaries, &[], &outlook, now), &memory);
        watch.count_messages(&group_notices(due.clone()));
        for notice in due {
            if !watch.is_delayed(&notice) && random.chance(LOST) {
                watch.lose(&notice);
                continue;
            }
            memory.told(&notice, now);
            watch.hear(&notice, &lineages, now, is_dead);
        }
        memory.prune(now);
        let again = due_notices(&NoticeFacts::new(&summaries, &[], &outlook, now), &memory);
        watch.hear_again(&again, now);
        before = now;
    }
    watch.close(&lineages, before);
    Ok(NoticesReport::new(setup.clone(), watch))
}
