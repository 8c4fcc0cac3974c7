//! The renewals to come: plan and fold, again and again, as if every attempt succeeded.

mod obstacle;
pub use obstacle::{Obstacle, obstacles};

mod limits;
pub use limits::ForecastLimit;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use self::limits::Busiest;
use crate::decision::limits::{LimitKind, OrderKind};
use crate::decision::{RenewalInformation, SuggestedWindow};
use crate::state::{Event, Refusal};
use crate::{
    AcmeUrl, HeldBy, IdentifierSet, LineageName, Outlook, PlanEntry, PlanInput, Step, Validity, Version, plan,
};

/// How long a certificate lives that is issued for a lineage at an instant (UTC).
pub type AssumedLifetime<'a> = dyn Fn(&PlanInput, DateTime<Utc>) -> TimeDelta + 'a;

/// The renewals to come, if every attempt succeeds.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Forecast {
    /// From when (UTC).
    pub from: DateTime<Utc>,
    /// Until when it was looked (UTC); earlier than was asked for where there are too many renewals to tell.
    pub until: DateTime<Utc>,
    /// In the order of time.
    pub renewals: Vec<ForecastRenewal>,
    /// How near each limit of each CA comes to its end, the scarcest first.
    pub limits: Vec<ForecastLimit>,
}

/// A renewal to come.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ForecastRenewal {
    /// The lineage.
    pub name: LineageName,
    /// When the run comes that renews it (UTC).
    pub at: DateTime<Utc>,
    /// At which CA.
    pub directory: Option<AcmeUrl>,
    /// How its limits see the order.
    pub kind: OrderKind,
    /// How long the certificate lived that it replaces.
    pub before: Option<TimeDelta>,
    /// How long the new certificate lives.
    pub lifetime: TimeDelta,
    /// The limit of the CA that it had to wait for.
    pub waited_for: Option<LimitKind>,
}

/// A day with the renewals to come (UTC).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ForecastDay {
    /// The day.
    pub day: NaiveDate,
    /// How many.
    pub renewals: usize,
    /// How many of them had to wait for a limit.
    pub waited: usize,
}

/// No more renewals than so many are told: who asks for thousands of years gets an answer, too.
const MOST_RENEWALS: usize = 100_000;
/// Nothing is issued for less, whatever is assumed.
const SHORTEST_LIFETIME: TimeDelta = TimeDelta::hours(1);
/// No certificate lives longer; RFC 9608 would have those that never end.
const LONGEST_LIFETIME: TimeDelta = TimeDelta::days(10 * 366);

/// The renewals of these lineages from `now` until `until`, if every attempt succeeds: the rules, the seeds and the memory
/// of the CAs' limits are those of real runs, which come as often as the outlook says. A CA that has advised when to renew
/// the certificate in use is taken to advise the same for its successors, in parts of their lifetime.
pub fn forecast(
    inputs: &[PlanInput],
    outlook: &Outlook,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
    lifetime: &AssumedLifetime<'_>,
) -> Forecast {
    at_most(MOST_RENEWALS, inputs, outlook, (now, until), lifetime)
}

fn at_most(
    most: usize,
    inputs: &[PlanInput],
    outlook: &Outlook,
    (now, until): (DateTime<Utc>, DateTime<Utc>),
    lifetime: &AssumedLifetime<'_>,
) -> Forecast {
    let mut inputs = inputs.to_vec();
    let mut outlook = outlook.clone();
    let mut waiting: BTreeMap<usize, LimitKind> = BTreeMap::new();
    let mut busiest = Busiest::default();
    let mut forecast = Forecast { from: now, until, ..Forecast::default() };
    let mut queue: BinaryHeap<Reverse<(DateTime<Utc>, usize)>> =
        (0..inputs.len()).map(|number| Reverse((now, number))).collect();
    while let Some(Reverse((first, _))) = queue.peek().copied() {
        let at = run_at(first, &outlook, now);
        if at > until {
            break;
        }
        if forecast.renewals.len() >= most {
            forecast.until = at;
            break;
        }
        let mut numbers = Vec::new();
        while let Some(Reverse((when, number))) = queue.peek().copied()
            && when <= at
        {
            queue.pop();
            numbers.push(number);
        }
        numbers.sort_unstable();
        outlook.ledger.prune(at);
        let entries = plan(numbers.iter().filter_map(|number| inputs.get(*number)), &outlook, at).entries;
        for (number, entry) in numbers.into_iter().zip(entries) {
            let Some(input) = inputs.get_mut(number) else { continue };
            if let Step::Held { by: HeldBy::Refusal(Refusal::Limit { limit, .. }), .. } = &entry.step {
                waiting.insert(number, limit.kind);
            }
            if let Step::Attempt { directory, kind, .. } = &entry.step {
                let lives = lifetime(input, at).clamp(SHORTEST_LIFETIME, LONGEST_LIFETIME);
                forecast.renewals.push(ForecastRenewal {
                    name: entry.name.clone(),
                    at,
                    directory: directory.clone(),
                    kind: *kind,
                    before: input.validity.map(|validity| validity.lifetime()),
                    lifetime: lives,
                    waited_for: waiting.remove(&number),
                });
                if let Some(scope) = input.authorities.iter().find(|scope| Some(&scope.directory) == directory.as_ref())
                {
                    outlook.ledger.ordered(scope, *kind, at);
                    outlook.ledger.issued(scope, *kind, lives, at);
                    busiest.look(&outlook.ledger, scope, *kind, &entry.name, at);
                }
                renew(input, directory.as_ref(), lives, at);
            }
            if let Some(next) = look_again(&entry, &outlook, at) {
                queue.push(Reverse((next, number)));
            }
        }
    }
    forecast.limits = busiest.limits();
    forecast
}

impl Forecast {
    /// Each day with a renewal, in the order of time.
    pub fn days(&self) -> Vec<ForecastDay> {
        let mut days: Vec<ForecastDay> = Vec::new();
        for renewal in &self.renewals {
            let (day, waited) = (renewal.at.date_naive(), usize::from(renewal.waited_for.is_some()));
            match days.last_mut() {
                Some(last) if last.day == day => {
                    last.renewals += 1;
                    last.waited += waited;
                }
                _ => days.push(ForecastDay { day, renewals: 1, waited }),
            }
        }
        days
    }
}

/// The run that sees what is to be done at `wanted`: the next one, where they come at intervals.
fn run_at(wanted: DateTime<Utc>, outlook: &Outlook, now: DateTime<Utc>) -> DateTime<Utc> {
    let interval = outlook.cadence.interval.num_seconds().max(1);
    let wait = (wanted - now).num_milliseconds().max(0);
    let wait = wait / 1000 + i64::from(wait % 1000 > 0);
    if outlook.cadence.exact {
        return wanted.max(now);
    }
    let runs = wait / interval + i64::from(wait % interval > 0);
    let wait = TimeDelta::try_seconds(runs.saturating_mul(interval)).unwrap_or(TimeDelta::MAX);
    now.checked_add_signed(wait).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// When there may be something to do for it again; later than `at`. A run looks ahead to the next one.
fn look_again(entry: &PlanEntry, outlook: &Outlook, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let ahead = if outlook.cadence.exact { TimeDelta::zero() } else { outlook.cadence.interval };
    let next = match &entry.step {
        Step::Attempt { .. } => at,
        Step::Held { until, .. } => *until,
        Step::NotDue { until, .. } => until.as_ref()?.checked_sub_signed(ahead)?,
    };
    next.max(at.checked_add_signed(TimeDelta::seconds(1))?).into()
}

/// What a renewal changes.
fn renew(input: &mut PlanInput, directory: Option<&AcmeUrl>, lifetime: TimeDelta, at: DateTime<Utc>) {
    let window = window_of_successor(input, lifetime, at);
    if let Some(directory) = directory {
        let started = Event::AttemptStarted { because: String::new(), directory: directory.clone() };
        input.state.apply(&started, at);
    }
    let not_after = at.checked_add_signed(lifetime).unwrap_or(DateTime::<Utc>::MAX_UTC);
    let version = input.state.deployed_version.map_or(1, |version| version.0.saturating_add(1));
    let committed = Event::Committed {
        version: Version(version),
        not_after,
        directory: directory.cloned(),
        targets: Vec::new(),
        profile: input.state.issued_profile.clone(),
        left_out: IdentifierSet::default(),
    };
    input.state.apply(&committed, at);
    input.validity = Some(Validity { not_before: at, not_after });
    input.wish.now = None;
    input.changed_since = None;
    input.same_identifiers = true;
    input.order_under_way = false;
    input.serial = None;
    input.ari_id = Some(format!("version {version}"));
    if let Some(window) = window {
        let id = input.ari_id.clone().unwrap_or_default();
        let information = RenewalInformation::answered(id, window, None, not_after);
        input.state.apply(&Event::RenewalInformationRead { information }, at);
    }
}

/// The window that its CA will give for what is issued now: where the one for the certificate in use lies in that one's
/// lifetime. One that asks for a replacement out of turn says nothing about the next certificate.
fn window_of_successor(input: &PlanInput, lifetime: TimeDelta, at: DateTime<Utc>) -> Option<SuggestedWindow> {
    let validity = input.validity.filter(|_| input.takes_advice)?;
    let known = input.state.renewal_information.as_ref()?;
    let window = known.window.filter(|_| Some(&known.certificate) == input.ari_id.as_ref())?;
    let whole = validity.lifetime().num_seconds().max(1);
    let part = |instant: DateTime<Utc>| {
        let place = (instant - validity.not_before).num_seconds();
        i64::try_from(i128::from(place) * i128::from(lifetime.num_seconds()) / i128::from(whole)).ok()
    };
    let (start, end) = (part(window.start)?, part(window.end)?);
    let usual = lifetime.num_seconds() * 2 / 5..=lifetime.num_seconds() * 9 / 10;
    if !usual.contains(&start) {
        return None;
    }
    let instant = |seconds: i64| at.checked_add_signed(TimeDelta::try_seconds(seconds)?);
    SuggestedWindow::new(instant(start)?, instant(end)?)
}

#[cfg(test)]
mod tests;
