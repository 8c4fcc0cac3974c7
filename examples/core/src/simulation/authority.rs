//! The CAs, as their documents describe them. Nothing here is shared with certkit: its counting is what is examined.

use std::collections::HashMap;

use super::calendar::{AUTHORITIES, COMMERCIAL, DAY, HOUR, LETS_ENCRYPT, OTHER, Seconds, Span};
use super::random::Random;

pub(crate) const NAMES: [&str; AUTHORITIES] = ["Let's Encrypt", "the commercial CA", "the internal CA", "the other CA"];
pub(crate) const DIRECTORIES: [&str; AUTHORITIES] = [
    "https://acme-v02.api.letsencrypt.org/directory",
    "https://acme.commercial.example/directory",
    "https://acme.internal.example/directory",
    "https://acme.other.example/directory",
];

/// Let's Encrypt calls an order a renewal for so long after the last certificate for the same names.
const RENEWAL_MEMORY: Seconds = 120 * DAY;
/// A name that fails so often in a row is paused, until its owner visits a page; one failure a day is forgotten.
const PAUSED_AFTER: Rate = Rate { count: 1152.0, window: 1152.0 * DAY as f64 };
/// The part of all orders that a CA refuses without a reason.
const REFUSED_FOR_NOTHING: f64 = 0.002;

/// A bucket of `count` that is filled evenly within `window` seconds.
#[derive(Clone, Copy)]
struct Rate {
    count: f64,
    window: f64,
}

#[derive(Clone, Copy)]
struct Bucket {
    left: f64,
    at: Seconds,
}

struct Buckets {
    rate: Option<Rate>,
    by_subject: HashMap<u32, Bucket>,
}

pub(crate) struct Authority {
    /// None: no renewal information is offered. Otherwise how long its answers hold.
    advice: Option<Seconds>,
    /// Whether renewals do not count, or count less.
    spares_renewals: bool,
    orders: Buckets,
    domains: Buckets,
    sets: Buckets,
    failed: Buckets,
    in_a_row: Buckets,
    issued_last: HashMap<u32, Seconds>,
    certificates: u64,
    /// Its last Retry-After for everybody.
    pub(crate) wants_peace: Option<Span>,
}

/// A certificate, as its CA knows it.
#[derive(Clone, Copy)]
pub(crate) struct Issued {
    pub(crate) authority: usize,
    pub(crate) number: u64,
    pub(crate) not_before: Seconds,
    pub(crate) not_after: Seconds,
    pub(crate) revoked: Option<Seconds>,
}

/// A new order. Accounts, domains, sets and names are numbers.
pub(crate) struct Order<'a> {
    pub(crate) account: u32,
    pub(crate) domain: u32,
    pub(crate) set: u32,
    pub(crate) names: &'a [u32],
    /// The `replaces` of RFC 9773.
    pub(crate) replaces: Option<Issued>,
}

/// A refusal with status 429.
pub(crate) struct Refused {
    pub(crate) detail: String,
    /// None when the name is paused.
    pub(crate) retry_after: Option<Seconds>,
    /// Whether a limit was broken; otherwise the CA had no reason.
    pub(crate) deserved: bool,
}

/// How an order counts.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Counts {
    Fully,
    AsRenewal,
    Not,
}

pub(crate) fn all() -> Vec<Authority> {
    let rate = |count: f64, window: Seconds| Some(Rate { count, window: window as f64 });
    let mut all: Vec<Authority> = (0..AUTHORITIES).map(|_| Authority::without_limits()).collect();
    let lets_encrypt = &mut all[LETS_ENCRYPT];
    // letsencrypt.org/docs/rate-limits, 2026-08-05.
    lets_encrypt.orders.rate = rate(300.0, 3 * HOUR);
    lets_encrypt.domains.rate = rate(50.0, 7 * DAY);
    lets_encrypt.sets.rate = rate(5.0, 7 * DAY);
    lets_encrypt.failed.rate = rate(5.0, HOUR);
    lets_encrypt.in_a_row.rate = Some(PAUSED_AFTER);
    lets_encrypt.advice = Some(6 * HOUR);
    lets_encrypt.spares_renewals = true;
    // A limit of which no client knows.
    all[COMMERCIAL].orders.rate = rate(5.0, HOUR);
    all[OTHER].advice = Some(DAY);
    all
}

impl Authority {
    fn without_limits() -> Self {
        let buckets = || Buckets { rate: None, by_subject: HashMap::new() };
        Self {
            advice: None,
            spares_renewals: false,
            orders: buckets(),
            domains: buckets(),
            sets: buckets(),
            failed: buckets(),
            in_a_row: buckets(),
            issued_last: HashMap::new(),
            certificates: 0,
            wants_peace: None,
        }
    }

    pub(crate) fn order(
        &mut self,
        order: &Order<'_>,
        wrong_advice: bool,
        now: Seconds,
        random: &mut Random,
    ) -> Result<Counts, Refused> {
        if order.names.iter().any(|name| self.in_a_row.wait(*name, now) > 0) {
            let detail = "your account is temporarily prevented from requesting certificates".into();
            return Err(Refused { detail, retry_after: None, deserved: true });
        }
        if random.chance(REFUSED_FOR_NOTHING) {
            let detail =
                if random.chance(0.5) { "too many requests" } else { "too many certificates already issued for" };
            let retry_after = Some(random.between(10, 3600));
            return Err(Refused { detail: detail.into(), retry_after, deserved: false });
        }
        let counts = self.counts(order, wrong_advice, now);
        let mut wait = (0, String::new());
        let mut check = |seconds: Seconds, detail: &dyn Fn() -> String| {
            // The limit that clears last is the one that is told.
            if seconds > wait.0 {
                wait = (seconds, detail());
            }
        };
        if counts == Counts::Fully {
            check(self.orders.wait(order.account, now), &|| {
                "too many new orders (300) from this account in the last 3h0m0s".into()
            });
            check(self.domains.wait(order.domain, now), &|| {
                let domain = super::population::domain(order.domain);
                format!("too many certificates (50) already issued for \"{domain}\" in the last 168h0m0s")
            });
        }
        if counts != Counts::Not {
            check(self.sets.wait(order.set, now), &|| {
                "too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s".into()
            });
            for name in order.names {
                check(self.failed.wait(*name, now), &|| {
                    let name = super::population::name(*name);
                    format!("too many failed authorizations (5) for \"{name}\" in the last 1h0m0s")
                });
            }
        }
        if wait.0 > 0 {
            return Err(Refused { detail: wait.1, retry_after: Some(wait.0), deserved: true });
        }
        if counts == Counts::Fully {
            self.orders.take(order.account, now);
        }
        Ok(counts)
    }

    /// The names that fail are counted.
    pub(crate) fn validation_failed(&mut self, names: &[u32], now: Seconds) {
        for name in names {
            self.failed.take(*name, now);
            self.in_a_row.take(*name, now);
        }
    }

    pub(crate) fn issue(
        &mut self,
        by: usize,
        order: &Order<'_>,
        counts: Counts,
        life: Seconds,
        now: Seconds,
    ) -> Issued {
        if counts == Counts::Fully {
            self.domains.take(order.domain, now);
        }
        if counts != Counts::Not {
            self.sets.take(order.set, now);
        }
        for name in order.names {
            self.in_a_row.by_subject.remove(name);
        }
        self.issued_last.insert(order.set, now);
        self.certificates += 1;
        // Dated back by an hour, or less where an hour is much, for clocks that are behind.
        let not_before = now - HOUR.min(life / 100);
        Issued { authority: by, number: self.certificates, not_before, not_after: not_before + life, revoked: None }
    }

    /// A certificate that was there before the year began.
    pub(crate) fn remember(&mut self, set: u32, certificate: Issued) -> Issued {
        self.issued_last.insert(set, certificate.not_before);
        self.certificates += 1;
        Issued { number: self.certificates, ..certificate }
    }

    /// The window in which it wants a certificate to be renewed, and for how long the answer holds. As Let's Encrypt does
    /// it: a hundredth of the lifetime around the usual instant, or just passed for what is to be replaced at once.
    pub(crate) fn advise(
        &self,
        certificate: &Issued,
        wrong: bool,
        now: Seconds,
        random: &mut Random,
    ) -> Option<(Span, Seconds)> {
        let pause = self.advice? as f64 * (0.8 + 0.4 * random.fraction());
        Some((Self::window(certificate, wrong, now), pause as Seconds))
    }

    fn window(certificate: &Issued, wrong: bool, now: Seconds) -> Span {
        if wrong || certificate.revoked.is_some() {
            return Span { from: now - HOUR, until: now - HOUR / 2 };
        }
        let life = certificate.not_after - certificate.not_before;
        let usual = certificate.not_before + if life < 10 * DAY { life / 2 } else { life * 2 / 3 };
        Span { from: usual - life / 100, until: usual + life / 100 }
    }

    fn counts(&self, order: &Order<'_>, wrong_advice: bool, now: Seconds) -> Counts {
        if !self.spares_renewals {
            Counts::Fully
        } else if order.replaces.is_some_and(|replaced| Self::window(&replaced, wrong_advice, now).contains(now)) {
            Counts::Not
        } else if self.issued_last.get(&order.set).is_some_and(|last| now - last < RENEWAL_MEMORY) {
            Counts::AsRenewal
        } else {
            Counts::Fully
        }
    }
}

impl Buckets {
    /// The seconds until there is one for the subject.
    fn wait(&self, subject: u32, now: Seconds) -> Seconds {
        let (Some(rate), Some(bucket)) = (self.rate, self.by_subject.get(&subject)) else { return 0 };
        let missing = 1.0 - rate.left(*bucket, now);
        // Sums of fractions are not exact.
        if missing < 1e-6 { 0 } else { (missing * rate.window / rate.count - 1e-6).ceil() as Seconds }
    }

    fn take(&mut self, subject: u32, now: Seconds) {
        let Some(rate) = self.rate else { return };
        let bucket = self.by_subject.entry(subject).or_insert(Bucket { left: rate.count, at: now });
        *bucket = Bucket { left: rate.left(*bucket, now) - 1.0, at: now };
    }
}

impl Rate {
    fn left(self, bucket: Bucket, now: Seconds) -> f64 {
        (bucket.left + (now - bucket.at) as f64 * self.count / self.window).min(self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(set: u32, replaces: Option<Issued>) -> Order<'static> {
        Order { account: 0, domain: set / 100, set, names: &[], replaces }
    }

    /// Its answer to an order, the refusals without a reason left out.
    fn ask(authority: &mut Authority, order: &Order<'_>, now: Seconds) -> Result<Counts, Seconds> {
        let mut random = Random::new(1);
        loop {
            match authority.order(order, false, now, &mut random) {
                Ok(counts) => return Ok(counts),
                Err(refused) if refused.deserved => return Err(refused.retry_after.unwrap_or(0)),
                Err(_) => {}
            }
        }
    }

    #[test]
    fn three_hundred_orders_in_three_hours_and_then_one_in_thirty_six_seconds() {
        let lets_encrypt = &mut all()[LETS_ENCRYPT];
        for set in 0..300 {
            assert!(ask(lets_encrypt, &order(set, None), 0).is_ok(), "{set}");
        }
        assert_eq!(ask(lets_encrypt, &order(300, None), 0).err(), Some(36));
        assert_eq!(ask(lets_encrypt, &order(300, None), 35).err(), Some(1));
        assert!(ask(lets_encrypt, &order(300, None), 36).is_ok());
    }

    #[test]
    fn renewals_count_for_their_set_only_and_within_the_window_not_at_all() {
        let lets_encrypt = &mut all()[LETS_ENCRYPT];
        let mut certificate = None;
        for number in 0..5 {
            let counts = ask(lets_encrypt, &order(1, None), number).unwrap();
            assert!(counts == if number == 0 { Counts::Fully } else { Counts::AsRenewal });
            certificate = Some(lets_encrypt.issue(LETS_ENCRYPT, &order(1, None), counts, 90 * DAY, number));
        }
        // One in 33.6 hours.
        assert_eq!(ask(lets_encrypt, &order(1, None), 4).err(), Some(120_956));
        let window = Authority::window(&certificate.unwrap(), false, 0);
        assert_eq!(window.length(), 90 * DAY / 50);
        assert!(ask(lets_encrypt, &order(1, certificate), window.from) == Ok(Counts::Not));
        certificate.as_mut().unwrap().revoked = Some(0);
        assert!(
            !Authority::window(&certificate.unwrap(), false, DAY).contains(DAY),
            "at once is a window that has passed"
        );
    }
}
