//! What happens in the year, apart from renewals: outages, wrong clocks, a full disk, a revocation, many new names.

use chrono::{DateTime, Utc};

use super::random::Random;

/// Seconds since the year began.
pub(crate) type Seconds = i64;

pub(crate) const MINUTE: Seconds = 60;
pub(crate) const HOUR: Seconds = 60 * MINUTE;
pub(crate) const DAY: Seconds = 24 * HOUR;

const LONGEST_OUTAGE: Seconds = 3 * DAY;

/// 2027-01-01 00:00:00 UTC.
const BEGINNING: i64 = 1_798_761_600;

/// The CAs, by their place in [`super::authority::all`].
pub(crate) const LETS_ENCRYPT: usize = 0;
pub(crate) const COMMERCIAL: usize = 1;
pub(crate) const INTERNAL: usize = 2;
pub(crate) const OTHER: usize = 3;
pub(crate) const AUTHORITIES: usize = 4;

/// From an instant to another one, which does not belong to it.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub(crate) from: Seconds,
    pub(crate) until: Seconds,
}

/// A CA that is down.
pub(crate) struct Outage {
    pub(crate) authority: usize,
    pub(crate) span: Span,
    /// With 503 and Retry-After; otherwise there is no answer at all.
    pub(crate) answers: bool,
}

/// The machine's clock is wrong.
struct WrongClock {
    span: Span,
    /// By so much ahead.
    error: Seconds,
}

pub(crate) struct Calendar {
    pub(crate) days: i64,
    /// By their beginnings.
    outages: Vec<Outage>,
    clocks: Vec<WrongClock>,
    pub(crate) full_disk: Span,
    /// Many new names at once.
    pub(crate) burst: Seconds,
    /// Let's Encrypt revokes a fifth of what it issued, and says so by renewal information.
    pub(crate) revocation: Seconds,
    /// The other CA gives windows that have passed, whatever it is asked about.
    pub(crate) wrong_advice: Span,
    /// The other CA issues certificates that cannot be taken.
    pub(crate) unfit: Span,
}

/// An instant of the simulated year.
pub(crate) fn instant(seconds: Seconds) -> DateTime<Utc> {
    DateTime::from_timestamp(BEGINNING + seconds, 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// The first whole second of the year that is not before an instant.
pub(crate) fn seconds(instant: DateTime<Utc>) -> Seconds {
    (instant.timestamp_millis() + 999).div_euclid(1000) - BEGINNING
}

impl Calendar {
    pub(crate) fn new(days: i64, random: &mut Random) -> Self {
        let span = |day: i64, hour: i64, length: Seconds| {
            let from = day * DAY + hour * HOUR;
            Span { from, until: from + length }
        };
        let outage = |authority, span, answers| Outage { authority, span, answers };
        let mut outages = vec![
            outage(LETS_ENCRYPT, span(12, 9, 40 * MINUTE), true),
            outage(INTERNAL, span(20, 14, 9 * HOUR), false),
            outage(OTHER, span(25, 3, 2 * HOUR), true),
            outage(LETS_ENCRYPT, span(40, 11, 6 * HOUR), true),
            outage(COMMERCIAL, span(55, 7, 9 * HOUR), false),
            outage(LETS_ENCRYPT, span(70, 6, LONGEST_OUTAGE), false),
            outage(OTHER, span(180, 1, 20 * HOUR), false),
            outage(LETS_ENCRYPT, span(220, 13, 14 * HOUR), true),
            outage(COMMERCIAL, span(250, 2, 2 * DAY), true),
        ];
        // A restart or a broken line, every few weeks.
        for authority in 0..AUTHORITIES {
            for day in (5..days).step_by(20) {
                let length = random.between(3 * MINUTE, 90 * MINUTE);
                outages.push(outage(authority, span(day, random.between(0, 24), length), random.chance(0.5)));
            }
        }
        outages.sort_by_key(|outage| outage.span.from);
        Self {
            days,
            outages,
            clocks: vec![
                WrongClock { span: span(85, 7, 5 * HOUR), error: 25 * HOUR },
                WrongClock { span: span(95, 10, 8 * HOUR), error: 20 * MINUTE },
                WrongClock { span: span(102, 10, 3 * HOUR), error: 10 * HOUR },
                WrongClock { span: span(110, 0, 4 * HOUR), error: -25 * HOUR },
            ],
            full_disk: span(65, 2, 6 * HOUR),
            burst: span(30, 9, 0).from,
            revocation: span(48, 15, 0).from,
            wrong_advice: span(60, 0, 2 * DAY),
            unfit: span(75, 0, DAY),
        }
    }

    pub(crate) fn end(&self) -> Seconds {
        self.days * DAY
    }

    pub(crate) fn outage(&self, authority: usize, now: Seconds) -> Option<&Outage> {
        // Those that began in the days before: none is longer.
        let first = self.outages.partition_point(|outage| outage.span.from < now - LONGEST_OUTAGE);
        let begun = self.outages.iter().skip(first).take_while(|outage| outage.span.from <= now);
        begun.into_iter().find(|outage| outage.authority == authority && outage.span.contains(now))
    }

    /// Whether a CA was up all the time.
    pub(crate) fn was_up(&self, authority: usize, span: Span) -> bool {
        !self.outages.iter().any(|outage| outage.authority == authority && outage.span.overlaps(span))
    }

    /// By how much the machine's clock is ahead.
    pub(crate) fn clock_error(&self, now: Seconds) -> Seconds {
        self.clocks.iter().find(|clock| clock.span.contains(now)).map_or(0, |clock| clock.error)
    }

    /// Whether the CA's windows are wrong, or were when it was asked.
    pub(crate) fn is_advised_wrongly(&self, authority: usize, now: Seconds) -> bool {
        let Span { from, until } = self.wrong_advice;
        authority == OTHER && Span { from, until: until + 2 * DAY }.contains(now)
    }

    /// The next instant after `now` at which the machine's clock is set.
    pub(crate) fn next_clock_change(&self, now: Seconds) -> Option<Seconds> {
        let changes = self.clocks.iter().flat_map(|clock| [clock.span.from, clock.span.until]);
        changes.filter(|change| *change > now).min()
    }

    /// Whether the clock is so wrong within the span that the CAs' dates contradict it.
    pub(crate) fn is_clock_refused_in(&self, span: Span) -> bool {
        self.clocks.iter().any(|clock| is_clock_refused(clock.error) && clock.span.overlaps(span))
    }

    /// Whether the clock is off by hours within the span, refused or not.
    pub(crate) fn is_clock_off_in(&self, span: Span) -> bool {
        self.clocks.iter().any(|clock| clock.error.abs() > HOUR && clock.span.overlaps(span))
    }

    /// Whether the clock is set, by however much, within the span.
    pub(crate) fn is_clock_set_in(&self, span: Span) -> bool {
        self.clocks.iter().any(|clock| span.contains(clock.span.from) || span.contains(clock.span.until))
    }

    /// How far a clock in central Europe is ahead of UTC: its cron jobs come an hour earlier in summer.
    pub(crate) fn local_time(now: Seconds) -> Seconds {
        // In 2027 from 28 March to 31 October, 01:00 UTC.
        let summer = Span { from: 86 * DAY + HOUR, until: 303 * DAY + HOUR };
        if summer.contains(now) { 2 * HOUR } else { HOUR }
    }

    /// What happened on these days, for people.
    pub(crate) fn words(&self, span: Span) -> Vec<String> {
        let mut words: Vec<(Seconds, String)> = Vec::new();
        for outage in self.outages.iter().filter(|outage| outage.span.length() >= 2 * HOUR) {
            let name = super::authority::NAMES[outage.authority];
            words.push((outage.span.from, format!("{name} down for {}", length(outage.span.length()))));
        }
        for clock in &self.clocks {
            let direction = if clock.error > 0 { "ahead" } else { "behind" };
            words.push((clock.span.from, format!("clock {} {direction}", length(clock.error.abs()))));
        }
        words.push((self.burst, "burst of new names".into()));
        words.push((self.revocation, "mass revocation".into()));
        words.push((self.wrong_advice.from, "wrong advice of the other CA".into()));
        words.push((self.unfit.from, "unfit certificates of the other CA".into()));
        words.push((self.full_disk.from, "full disk".into()));
        words.push((86 * DAY, "daylight saving".into()));
        words.push((303 * DAY, "standard time".into()));
        words.retain(|(at, _)| span.contains(*at));
        words.sort();
        words.into_iter().map(|(_, words)| words).collect()
    }
}

impl Span {
    pub(crate) fn contains(self, at: Seconds) -> bool {
        self.from <= at && at < self.until
    }

    pub(crate) fn overlaps(self, other: Self) -> bool {
        self.from < other.until && other.from < self.until
    }

    pub(crate) fn length(self) -> Seconds {
        self.until - self.from
    }
}

/// A run orders nothing while its clock is further off than this.
pub(crate) fn is_clock_refused(error: Seconds) -> bool {
    error.abs() > DAY
}

/// A length of time for people.
pub(crate) fn length(seconds: Seconds) -> String {
    if seconds < 2 * HOUR {
        format!("{} min", seconds / MINUTE)
    } else if seconds < 2 * DAY {
        format!("{:.1} h", seconds as f64 / HOUR as f64)
    } else {
        format!("{:.1} d", seconds as f64 / DAY as f64)
    }
}
