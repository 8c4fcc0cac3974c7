//! What is counted during the year, and what must not happen in it.

use std::collections::{BTreeMap, HashMap};

use certkit_core::{FailureClass, LineageName};

use super::authority::{Issued, NAMES};
use super::calendar::{Calendar, DAY, HOUR, Seconds, Span, instant, length};
use super::population::Lineage;

/// So many of the worst cases are shown.
const WORST: usize = 5;
/// So many complaints are kept in full.
const MOST_COMPLAINTS: usize = 20;
/// Two hundred names more than fit at once, fifty a week: in four weeks all have their certificates.
const LONGEST_BURST: Seconds = 30 * DAY;
/// Of few lineages they are many in the first hour.
const BURST_AT_ONCE: u32 = 50;
/// A set of names that gets more certificates than this within a quarter of the lifetime is in a loop.
const LOOP: usize = 2;

/// What was counted.
pub(crate) struct Tally {
    pub(crate) renewals_by_hour: Vec<u32>,
    pub(crate) renewals: u64,
    pub(crate) attempts: u64,
    /// Attempts at a CA that takes the place of another one.
    pub(crate) stand_ins: u64,
    pub(crate) failures: BTreeMap<&'static str, u64>,
    pub(crate) holds: BTreeMap<String, u64>,
    /// About renewal information.
    pub(crate) questions: u64,
    /// Refusals of a CA whose limits nobody knows before.
    pub(crate) taught: u64,
    pub(crate) revoked: u64,
    /// How long it took to replace what was revoked.
    pub(crate) replaced_after: Vec<Seconds>,
    pub(crate) first_certificates: Vec<Seconds>,
    /// The certificates that came nearest to their end: what was left, and the story.
    pub(crate) nearest: Vec<(f64, String)>,
    pub(crate) expired: BTreeMap<String, u64>,
    pub(crate) complaints: Vec<String>,
    pub(crate) unsaid: u64,
    issued: HashMap<u32, Vec<(Seconds, Seconds)>>,
    /// From one run to the next, where they do not come when they are needed.
    every: Option<Seconds>,
}

impl Tally {
    pub(crate) fn new(days: i64, every: Option<Seconds>) -> Self {
        Self {
            renewals_by_hour: vec![0; usize::try_from(days * 24).unwrap_or(0)],
            renewals: 0,
            attempts: 0,
            stand_ins: 0,
            failures: BTreeMap::new(),
            holds: BTreeMap::new(),
            questions: 0,
            taught: 0,
            revoked: 0,
            replaced_after: Vec::new(),
            first_certificates: Vec::new(),
            nearest: Vec::new(),
            expired: BTreeMap::new(),
            complaints: Vec::new(),
            unsaid: 0,
            issued: HashMap::new(),
            every,
        }
    }

    pub(crate) fn attempted(&mut self, stands_in: bool) {
        self.attempts += 1;
        self.stand_ins += u64::from(stands_in);
    }

    pub(crate) fn failed(&mut self, class: FailureClass) {
        *self.failures.entry(words(class)).or_default() += 1;
    }

    pub(crate) fn held(&mut self, by: &str) {
        *self.holds.entry(by.to_owned()).or_default() += 1;
    }

    /// What certkit promises not to do.
    pub(crate) fn broken(&mut self, name: &LineageName, now: Seconds, what: &str, authority: usize) {
        self.complain(format!("{} {name}: {}: {what}", instant(now), NAMES[authority]));
    }

    pub(crate) fn complain(&mut self, complaint: String) {
        if self.complaints.len() < MOST_COMPLAINTS {
            self.complaints.push(complaint);
        } else {
            self.unsaid += 1;
        }
    }

    /// A CA issued a certificate; it need not come into use.
    pub(crate) fn issued(&mut self, lineage: &Lineage, lifetime: Seconds, now: Seconds, calendar: &Calendar) {
        let before = lineage.certificate.map_or(lifetime, |certificate| certificate.not_after - certificate.not_before);
        let recent = self.issued.entry(lineage.set).or_default();
        recent.push((now, before.min(lifetime) / 4));
        recent.retain(|(at, quarter)| now - at < *quarter);
        // With a clock that is off by hours, half a day has passed or not.
        let since = recent.first().map_or(now, |(at, _)| *at);
        if recent.len() > LOOP && !calendar.is_clock_off_in(Span { from: since, until: now + 1 }) {
            let count = recent.len();
            let name = &lineage.input.name;
            self.complain(format!("{} {name}: issued {count} times in a quarter of its lifetime", instant(now)));
        }
    }

    /// A certificate is about to take the place of the one in use.
    pub(crate) fn renewed(&mut self, lineage: &Lineage, now: Seconds, calendar: &Calendar, failing: &[Option<Span>]) {
        self.renewals += 1;
        let hour = usize::try_from(now / HOUR).unwrap_or(0);
        if let Some(count) = self.renewals_by_hour.get_mut(hour) {
            *count += 1;
        }
        let Some(certificate) = lineage.certificate else {
            self.first_certificates.push(now - calendar.burst);
            return;
        };
        if let Some(revoked) = certificate.revoked {
            self.replaced_after.push(now - revoked);
        }
        self.look_back(lineage, certificate, now, calendar, failing);
        let life = certificate.not_after - certificate.not_before;
        let usual = if life < 10 * DAY { life / 2 } else { life / 3 };
        // What comes before the next run; after a longer gap, by a clock that was set perhaps, a day is reckoned with.
        let ahead = self.every.map_or(0, |every| every.max(DAY));
        let soonest = certificate.not_after - usual - life / 100 - ahead;
        let has_reason = certificate.revoked.is_some()
            || calendar.is_advised_wrongly(certificate.authority, now)
            || calendar.clock_error(now) != 0
            || lineage.input.wish.renew_before_expiry.is_some();
        if now < soonest && !has_reason {
            let (left, life) = (length(certificate.not_after - now), length(life));
            self.complain(format!("{} {}: renewed with {left} of {life} left", instant(now), lineage.input.name));
        }
    }

    /// Looks at a certificate that goes, or that is still there at the end of the year.
    pub(crate) fn look_back(
        &mut self,
        lineage: &Lineage,
        certificate: Issued,
        now: Seconds,
        calendar: &Calendar,
        failing: &[Option<Span>],
    ) {
        if !lineage.is_kept() {
            return;
        }
        let life = certificate.not_after - certificate.not_before;
        let left = certificate.not_after - now;
        let name = &lineage.input.name;
        if let Some(revoked) = certificate.revoked {
            let day = Span { from: revoked, until: revoked + DAY + self.every.unwrap_or(0) };
            let excused = lineage.met_the_guard || excuse(lineage, day, calendar, failing).is_some();
            if now > day.until && !excused {
                let after = length(now - revoked);
                self.complain(format!("{} {name}: revoked, and not replaced for {after}", instant(now)));
            }
        }
        if left >= 0 {
            let part = left as f64 / life as f64;
            if part < self.nearest.last().map_or(1.0, |(last, _)| *last) || self.nearest.len() < WORST {
                let state = &lineage.input.state;
                let why = state.last_failure.as_ref().map_or("nothing failed", |failure| words(failure.class));
                let failures = state.consecutive_failures;
                let story = format!(
                    "{name}: {} of {} left on {}, {}; failed before: {failures}, the last: {why}",
                    length(left),
                    length(life),
                    instant(now).format("%Y-%m-%d"),
                    NAMES[certificate.authority],
                );
                self.nearest.push((part, story));
                self.nearest.sort_by(|one, other| one.0.total_cmp(&other.0));
                self.nearest.truncate(WORST);
            }
            return;
        }
        let last_eighth = Span { from: certificate.not_after - life / 8, until: certificate.not_after };
        let rarely = self.every.filter(|every| last_eighth.length() <= *every + HOUR);
        let excuse = match rarely {
            Some(every) => Some(format!("{} is too short for a run every {}", length(life), length(every))),
            None => excuse(lineage, last_eighth, calendar, failing),
        };
        match excuse {
            Some(excuse) => *self.expired.entry(excuse).or_default() += 1,
            None => self.complain(format!(
                "{} {name}: expired at the end of {}, although its CA was up",
                instant(certificate.not_after),
                length(life),
            )),
        }
    }

    /// The year is over.
    pub(crate) fn close(&mut self, lineages: u32, calendar: &Calendar) {
        // Cron jobs put everything into the hours of their runs. New names come at once, as many as a limit allows.
        let most = if self.every.is_none() { lineages / 8 + BURST_AT_ONCE } else { lineages };
        let crowded: Vec<String> = (0..)
            .zip(&self.renewals_by_hour)
            .filter(|(hour, count)| {
                let span = Span { from: hour * HOUR, until: (hour + 1) * HOUR };
                **count > most && !calendar.is_clock_off_in(span)
            })
            .map(|(hour, count)| format!("{}: {count} renewals in an hour", instant(hour * HOUR)))
            .collect();
        for complaint in crowded {
            self.complain(complaint);
        }
        let missing = u64::from(lineages / 5).saturating_sub(self.first_certificates.len() as u64);
        if missing > 0 && calendar.end() - calendar.burst > LONGEST_BURST {
            self.complain(format!("{missing} of the new lineages have no certificate yet"));
        }
    }

    /// The busiest hour of a span, by its number in the year.
    pub(crate) fn busiest(&self, span: Span) -> (usize, u32) {
        let hours = self.renewals_by_hour.iter().copied().enumerate();
        let within = hours.filter(|(hour, _)| span.contains(*hour as Seconds * HOUR));
        within.max_by_key(|(_, count)| *count).unwrap_or((0, 0))
    }

    pub(crate) fn renewals_in(&self, span: Span) -> u64 {
        let (from, until) = (span.from / HOUR, span.until / HOUR);
        let skip = usize::try_from(from).unwrap_or(0);
        let take = usize::try_from(until - from).unwrap_or(0);
        self.renewals_by_hour.iter().skip(skip).take(take).map(|count| u64::from(*count)).sum()
    }
}

/// Why a certificate could not be renewed all through a span; none when it could.
fn excuse(lineage: &Lineage, span: Span, calendar: &Calendar, failing: &[Option<Span>]) -> Option<String> {
    let mut failing = lineage.names.iter().filter_map(|name| failing.get(*name as usize).copied().flatten());
    if failing.any(|failing| failing.overlaps(span)) {
        return Some("its names could not be validated".into());
    }
    if calendar.is_clock_refused_in(span) {
        return Some("the machine's clock was wrong by more than a day".into());
    }
    if calendar.full_disk.overlaps(span) {
        return Some("the machine's disk was full".into());
    }
    let was_up = |authority: usize| {
        let refused = lineage.refused.is_some_and(|(refuser, until)| refuser == authority && until.overlaps(span));
        !refused && calendar.was_up(authority, span)
    };
    let mut customers = lineage.orders_from.iter();
    (!customers.any(|customer| was_up(customer.authority))).then(|| {
        let first = lineage.orders_from.first().map_or("its CA", |customer| NAMES[customer.authority]);
        format!("{first} was down")
    })
}

/// The failures that the simulation knows.
fn words(class: FailureClass) -> &'static str {
    match class {
        FailureClass::CertificateUnfit => "the certificate was unfit",
        FailureClass::ChallengeFailed => "names could not be validated",
        FailureClass::Clock => "the machine's clock was wrong",
        FailureClass::Network => "the CA did not answer",
        FailureClass::Paused => "paused by the CA",
        FailureClass::RateLimited => "429",
        FailureClass::ServerUnavailable => "503",
        FailureClass::Store => "the machine's disk was full",
        _ => "something else",
    }
}

/// For the report: days of a span.
pub(crate) fn days(from: i64, until: i64) -> Span {
    Span { from: from * DAY, until: until * DAY }
}
