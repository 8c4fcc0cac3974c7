//! What comes to a store: the renewals of the next months, and what changes on the days on which certificates get shorter.

use std::collections::BTreeMap;
use std::time::Duration;

use certkit_core::{Forecast, LineageName, Obstacle, PlanInput, forecast, obstacles};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::Survey;
use crate::authorities::{announced_lifetimes, expected_lifetime};

/// A day on which certificates of a store get another lifetime.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LifetimeChange {
    /// From when on, at its begin (UTC); the day of the survey for a lifetime that was assumed.
    pub since: NaiveDate,
    /// How long certificates live then that are issued for these lineages.
    pub lifetime: TimeDelta,
    /// Where this was read; none for a lifetime that was assumed.
    pub source: Option<&'static str>,
    /// Each lineage that is concerned, with the first renewal that gives it such a certificate, where it lies in the
    /// forecast (UTC).
    pub lineages: Vec<(LineageName, Option<DateTime<Utc>>)>,
    /// What is too slow for such certificates, each with the lineages that it concerns; none for what concerns all.
    pub obstacles: Vec<(Obstacle, Vec<LineageName>)>,
}

/// From when on, how long, and where it was read.
type Key = (NaiveDate, TimeDelta, Option<&'static str>);

/// What else decides whether a renewal comes in time.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Renewers {
    /// What starts renewals here besides a timer of certkit's own (lines for cron, for example), in words, with the longest
    /// time from one run to the next.
    pub runs: Vec<(String, TimeDelta)>,
    /// How long a hook may take.
    pub hook_time_limit: Option<Duration>,
}

impl Survey {
    /// The renewals to come until `until`, if every attempt succeeds. `assumed` is how long every new certificate lives; none
    /// for what the CAs have announced.
    pub fn forecast(&self, until: DateTime<Utc>, assumed: Option<TimeDelta>) -> Forecast {
        let inputs: Vec<PlanInput> = self.summaries.iter().filter_map(|one| one.input().cloned()).collect();
        let lifetime = |input: &PlanInput, at| assumed.unwrap_or_else(|| expected_lifetime(input, at));
        forecast(&inputs, &self.outlook, self.now, until, &lifetime)
    }

    /// The days on which certificates get another lifetime, in the order of time, and what is too slow for it; the first one
    /// is that of a lifetime that is assumed. `forecast` is what [`Survey::forecast`] gave.
    pub fn lifetime_changes(
        &self,
        forecast: &Forecast,
        assumed: Option<TimeDelta>,
        renewers: &Renewers,
    ) -> Vec<LifetimeChange> {
        let inputs: Vec<&PlanInput> = self.summaries.iter().filter_map(|one| one.input()).collect();
        let mut renewals: BTreeMap<&LineageName, Vec<DateTime<Utc>>> = BTreeMap::new();
        for renewal in &forecast.renewals {
            renewals.entry(&renewal.name).or_default().push(renewal.at);
        }
        let mut changes: BTreeMap<Key, Vec<&PlanInput>> = BTreeMap::new();
        for &input in inputs.iter().filter(|input| !input.wish.never) {
            if let Some(lifetime) = assumed {
                changes.entry((self.now.date_naive(), lifetime, None)).or_default().push(input);
                continue;
            }
            for one in announced_lifetimes(input, self.now) {
                changes.entry((one.since, one.lifetime, Some(one.source))).or_default().push(input);
            }
        }
        let of_change = |((since, lifetime, source), inputs): (Key, Vec<&PlanInput>)| {
            let first = |input: &PlanInput| {
                let begin = since.and_time(chrono::NaiveTime::MIN).and_utc();
                let renewals = renewals.get(&input.name)?;
                renewals.get(renewals.partition_point(|at| *at < begin)).copied()
            };
            LifetimeChange {
                since,
                lifetime,
                source,
                lineages: inputs.iter().map(|input| (input.name.clone(), first(input))).collect(),
                obstacles: self.too_slow(&inputs, lifetime, renewers),
            }
        };
        changes.into_iter().map(of_change).collect()
    }

    /// What concerns all comes first.
    fn too_slow(
        &self,
        inputs: &[&PlanInput],
        lifetime: TimeDelta,
        renewers: &Renewers,
    ) -> Vec<(Obstacle, Vec<LineageName>)> {
        let runs = renewers.runs.iter().filter_map(|(what, every)| Obstacle::of_renewer(what, *every, lifetime));
        let hook = renewers.hook_time_limit.and_then(|limit| TimeDelta::from_std(limit).ok());
        let hook = hook.and_then(|limit| Obstacle::of_hook(limit, lifetime));
        let mut all: Vec<(Obstacle, Vec<LineageName>)> = runs.chain(hook).map(|one| (one, Vec::new())).collect();
        let mut places: std::collections::HashMap<String, usize> = std::collections::HashMap::new();
        for input in inputs {
            for obstacle in obstacles(input, &self.outlook, lifetime) {
                let place = *places.entry(obstacle.what()).or_insert(all.len());
                match all.get_mut(place) {
                    Some((_, names)) => names.push(input.name.clone()),
                    None => all.push((obstacle, vec![input.name.clone()])),
                }
            }
        }
        all
    }
}

impl Renewers {
    /// Nothing that is known.
    pub fn new() -> Self {
        Self::default()
    }
}

#[cfg(test)]
mod tests {
    use certkit_core::decision::{Cadence, RenewalWish};
    use certkit_core::state::OrderScope;
    use certkit_core::{IdentifierSet, Outlook, Summary, Validity, plan};

    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-11-26T12:00:00Z".parse().unwrap()
    }

    fn input(name: &str, server: &str, left: i64, before_expiry: Option<&str>) -> PlanInput {
        let not_after = now() + TimeDelta::days(left);
        let validity = Validity { not_before: not_after - TimeDelta::days(90), not_after };
        let wish = RenewalWish::new(before_expiry.map(str::to_owned), true);
        let mut input = PlanInput::new(LineageName::new(name).unwrap(), Some(validity), wish);
        let directory = crate::authorities::resolve(server).unwrap();
        input.authorities = vec![OrderScope::new(directory, "7", IdentifierSet::default(), Vec::new())];
        input
    }

    fn survey(inputs: Vec<PlanInput>, cadence: Cadence) -> Survey {
        let outlook = Outlook::new(Default::default(), cadence);
        let planned = plan(inputs.iter().cloned(), &outlook, now());
        let summaries = planned.entries.into_iter().zip(inputs).map(|(entry, input)| Summary::of(entry, input, now()));
        Survey::new(now(), summaries.collect(), outlook)
    }

    #[test]
    fn each_announced_day_has_its_certificates_and_what_is_too_slow_for_them() {
        let survey = survey(
            vec![
                input("a.example", "letsencrypt", 60, None),
                input("b.example", "letsencrypt", 80, Some("50 days")),
                input("c.example", "https://ca.example/dir", 60, None),
            ],
            Cadence::every(TimeDelta::hours(12)),
        );
        let until = "2027-07-01T00:00:00Z".parse().unwrap();
        let forecast = survey.forecast(until, None);
        let mut renewers = Renewers::new();
        renewers.runs.push(("a line for cron".to_owned(), TimeDelta::days(31)));
        renewers.hook_time_limit = Some(Duration::from_secs(3600));
        let changes = survey.lifetime_changes(&forecast, None, &renewers);
        let days: Vec<(String, i64)> =
            changes.iter().map(|one| (one.since.to_string(), one.lifetime.num_days())).collect();
        assert_eq!(days, [("2027-02-10".to_owned(), 64), ("2028-02-16".to_owned(), 45)]);
        let names: Vec<&str> = changes[0].lineages.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a.example", "b.example"]);
        // Issued in December for ninety days, and renewed after sixty.
        assert_eq!(changes[0].lineages[0].1.unwrap().date_naive().to_string(), "2027-02-24");
        assert_eq!(changes[1].lineages[0].1, None, "beyond the forecast");
        let told: Vec<(&str, usize)> =
            changes[0].obstacles.iter().map(|(one, names)| (one.code(), names.len())).collect();
        assert_eq!(told, [("renewer-too-rare", 0), ("renew-before-expiry-too-long", 1)]);
        assert_eq!(changes[1].obstacles.last().unwrap().0.code(), "renew-before-expiry-without-effect");
        let after: Vec<i64> = forecast
            .renewals
            .iter()
            .filter(|one| one.name.as_str() == "a.example")
            .map(|one| one.lifetime.num_days())
            .collect();
        assert_eq!(after, [90, 64, 64, 64]);
    }

    #[test]
    fn a_lifetime_that_is_assumed_counts_for_all_and_from_now_on() {
        let survey =
            survey(vec![input("c.example", "https://ca.example/dir", 60, None)], Cadence::every(TimeDelta::days(7)));
        let six_days = TimeDelta::days(6);
        let forecast = survey.forecast(now() + TimeDelta::days(45), Some(six_days));
        let changes = survey.lifetime_changes(&forecast, Some(six_days), &Renewers::new());
        assert_eq!((changes.len(), changes[0].source, changes[0].since), (1, None, now().date_naive()));
        assert_eq!(changes[0].obstacles[0].0.code(), "run-too-rarely");
        assert_eq!(changes[0].obstacles[0].1[0].as_str(), "c.example");
        assert!(forecast.renewals.iter().all(|one| one.lifetime == six_days) && forecast.renewals.len() >= 2);
    }
}
