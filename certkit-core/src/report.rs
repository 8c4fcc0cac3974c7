//! What every picture of the certificates is made of: who comes first, and where things lie on a line of time.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::{Condition, Summary};

/// All certificates in the order in which they are told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Overview<'a> {
    /// When it was looked (UTC).
    pub now: DateTime<Utc>,
    /// How many are how, by the worst that applies to each.
    pub counts: BTreeMap<Condition, usize>,
    /// Those that are not simply well or due, the worst first, and of those the one that ends first.
    pub eventful: Vec<&'a Summary>,
    /// The others, by the instant of their next renewal; never comes last.
    pub uneventful: Vec<&'a Summary>,
}

/// What happens to a certificate in a span of time, as parts of it: 0 is its begin and 1 its end.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Track {
    /// Up to where the certificate in use is valid; 0 when it is not.
    pub valid_until: f64,
    /// Whether it ends within the span; otherwise it goes on beyond it.
    pub ends: bool,
    /// From where to where it is to be renewed: the CA's window, else from the instant on which it is due to its end.
    pub window: Option<(f64, f64)>,
    /// When it is renewed, where that lies in the span.
    pub renewal: Option<f64>,
}

impl<'a> Overview<'a> {
    /// Of these certificates.
    pub fn of(summaries: &'a [Summary], now: DateTime<Utc>) -> Self {
        let mut counts = BTreeMap::new();
        for one in summaries {
            *counts.entry(one.condition()).or_insert(0) += 1;
        }
        let (mut uneventful, mut eventful): (Vec<&Summary>, Vec<&Summary>) =
            summaries.iter().partition(|one| matches!(one.condition(), Condition::Due | Condition::Ok));
        let end = |one: &Summary| one.validity.map(|validity| validity.not_after);
        eventful.sort_by_key(|one| (one.condition(), end(one)));
        uneventful.sort_by_key(|one| {
            let next = one.next_renewal(now);
            (one.condition(), next.is_none(), next, end(one))
        });
        Self { now, counts, eventful, uneventful }
    }

    /// How many somebody should look at.
    pub fn troubled(&self) -> usize {
        self.counts.iter().filter(|(condition, _)| condition.is_trouble()).map(|(_, count)| count).sum()
    }

    /// How many there are.
    pub fn total(&self) -> usize {
        self.counts.values().sum()
    }

    /// All of them, in order.
    pub fn all(&self) -> impl Iterator<Item = &'a Summary> + '_ {
        self.eventful.iter().chain(&self.uneventful).copied()
    }

    /// When the next one is renewed that is neither due nor held (UTC).
    pub fn next_renewal(&self) -> Option<DateTime<Utc>> {
        let well = self.uneventful.iter().filter(|one| one.condition() == Condition::Ok);
        well.filter_map(|one| one.next_renewal(self.now)).min()
    }
}

impl Track {
    /// Of a certificate from `now` to `until`; none when nothing can be drawn of it.
    pub fn of(summary: &Summary, now: DateTime<Utc>, until: DateTime<Utc>) -> Option<Self> {
        let validity = summary.validity?;
        let whole = (until - now).num_seconds().max(1) as f64;
        let place = |at: DateTime<Utc>| (at - now).num_seconds() as f64 / whole;
        let inside = |place: f64| place.clamp(0.0, 1.0);
        let end = place(validity.not_after);
        let window = match summary.entry().and_then(|entry| entry.due.window) {
            Some(window) => Some((place(window.start), place(window.end))),
            None => summary.renewal_at().map(|at| (place(at), end)),
        };
        // What lies outside as a whole is not drawn at its edge.
        let window = window.filter(|(from, to)| *to > 0.0 && *from < 1.0 && from < to);
        let renewal = summary.next_renewal(now).map(place).filter(|place| (0.0..=1.0).contains(place));
        Some(Self {
            valid_until: inside(end),
            ends: end < 1.0,
            window: window.map(|(from, to)| (inside(from), inside(to))),
            renewal,
        })
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::decision::{RenewalInformation, RenewalWish, SuggestedWindow};
    use crate::{LineageName, Outlook, PlanInput, Validity, plan};

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn days(number: i64) -> TimeDelta {
        TimeDelta::days(number)
    }

    fn certificate(name: &str, left: i64, change: impl Fn(&mut PlanInput)) -> Summary {
        let not_after = now() + days(left);
        let validity = Validity { not_before: not_after - days(90), not_after };
        let wish = RenewalWish::new(None, true);
        let mut input = PlanInput::new(LineageName::new(name).unwrap(), Some(validity), wish);
        change(&mut input);
        let entry = plan([&input], &Outlook::default(), now()).entries.remove(0);
        Summary::of(entry, input, now())
    }

    fn track(summary: &Summary) -> Track {
        Track::of(summary, now(), now() + days(100)).unwrap()
    }

    #[test]
    fn trouble_comes_first_and_then_what_is_renewed_next() {
        let all = [
            certificate("late.example", 80, |_| {}),
            certificate("never.example", 50, |input| input.wish.never = true),
            certificate("soon.example", 40, |_| {}),
            certificate("expired.example", -2, |_| {}),
            certificate("due.example", 30, |_| {}),
            Summary::of_broken("broken.example", "no", false, None, now()),
        ];
        let overview = Overview::of(&all, now());
        let order: Vec<&str> = overview.all().map(|one| one.name.as_str()).collect();
        let expected =
            ["broken.example", "expired.example", "due.example", "soon.example", "late.example", "never.example"];
        assert_eq!(order, expected);
        assert_eq!((overview.total(), overview.troubled(), overview.counts[&Condition::Ok]), (6, 2, 3));
        assert_eq!(overview.next_renewal(), Some(now() + days(10)));
    }

    #[test]
    fn a_track_shows_what_lies_in_the_span_and_nothing_at_its_edges() {
        let usual = track(&certificate("a.example", 60, |_| {}));
        assert_eq!((usual.valid_until, usual.ends, usual.window), (0.6, true, Some((0.3, 0.6))));
        assert_eq!(usual.renewal, Some(0.3));
        let expired = track(&certificate("a.example", -10, |_| {}));
        assert_eq!((expired.valid_until, expired.ends, expired.window), (0.0, true, None));
        let far = track(&certificate("a.example", 89, |input| input.validity.as_mut().unwrap().not_after += days(300)));
        assert_eq!((far.valid_until, far.ends, far.window, far.renewal), (1.0, false, None, None));
        assert_eq!(Track::of(&Summary::of_broken("x", "no", false, None, now()), now(), now() + days(1)), None);
    }

    #[test]
    fn the_window_of_the_ca_is_what_is_drawn() {
        let advised = certificate("a.example", 60, |input| {
            let window = SuggestedWindow::new(now() + days(20), now() + days(22)).unwrap();
            let information = RenewalInformation::answered("id", window, None, now() + days(1));
            input.ari_id = Some("id".to_owned());
            input.state.renewal_information = Some(information);
        });
        let track = track(&advised);
        assert_eq!(track.window, Some((0.2, 0.22)));
        assert!(track.renewal.is_some_and(|at| (0.2..0.22).contains(&at)));
    }
}
