//! The CA's advice when to renew (RFC 9773), as it is remembered, and the instant that follows from it.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::LineageName;

/// The longest Retry-After that is heeded (RFC 9773 section 4.3.2 leaves it to the client).
pub(crate) const LONGEST_PAUSE: TimeDelta = TimeDelta::days(1);

/// What a CA said about one certificate, and when it is asked again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RenewalInformation {
    /// The certificate that was asked about ([`crate::AriCertificateId`]): advice about another one does not count.
    pub certificate: String,
    /// The last window that was given; none when there never was a usable answer.
    pub window: Option<SuggestedWindow>,
    /// Where the CA explains the window, escaped.
    pub explanation_url: Option<String>,
    /// Before this instant it is not asked again: Retry-After (1 minute to 1 day), or 6 hours after a lasting error.
    pub next_check: DateTime<Utc>,
    /// Errors in a row.
    pub failures: u32,
}

/// A window in which the CA wants a certificate to be renewed (RFC 9773 section 4.2); the end lies after the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SuggestedWindow {
    /// Its first instant (UTC).
    pub start: DateTime<Utc>,
    /// Its end (UTC), which does not belong to it.
    pub end: DateTime<Utc>,
}

/// What differs between machines and lineages, so that not everybody acts at the same second. It holds a hash: neither
/// the machine's id nor anything else can be had from it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seed([u8; 32]);

impl RenewalInformation {
    /// An answer about a certificate.
    pub fn answered(
        certificate: impl Into<String>,
        window: SuggestedWindow,
        explanation_url: Option<String>,
        next_check: DateTime<Utc>,
    ) -> Self {
        Self { certificate: certificate.into(), window: Some(window), explanation_url, next_check, failures: 0 }
    }

    /// No answer: a window that was given before still counts, so that what the CA asked for stays due.
    pub fn failed(before: Option<&Self>, certificate: &str, next_check: DateTime<Utc>) -> Self {
        match before.filter(|before| before.certificate == certificate) {
            Some(before) => Self { next_check, failures: before.failures.saturating_add(1), ..before.clone() },
            None => Self {
                certificate: certificate.to_owned(),
                window: None,
                explanation_url: None,
                next_check,
                failures: 1,
            },
        }
    }
}

impl RenewalInformation {
    /// Whether the CA may be asked again at `now`. What would have to wait for longer than any Retry-After that is heeded
    /// was noted by a clock that was ahead.
    pub fn may_ask(&self, now: DateTime<Utc>) -> bool {
        self.next_check <= now || self.next_check - now > LONGEST_PAUSE
    }
}

impl SuggestedWindow {
    /// A window; none when the end does not lie after the start, which is as good as no answer (RFC 9773 section 4.2).
    pub fn new(start: DateTime<Utc>, end: DateTime<Utc>) -> Option<Self> {
        (end > start).then_some(Self { start, end })
    }

    /// The instant at which to renew: uniformly anywhere in the window, and the same whenever it is computed for the same
    /// seed and window. certbot draws it anew at each run, so that frequent runs renew early.
    pub fn instant(&self, seed: Seed) -> DateTime<Utc> {
        let width = (self.end - self.start).num_milliseconds().max(1);
        let mut hash = Sha256::new();
        hash.update(seed.0);
        hash.update(self.start.timestamp_millis().to_be_bytes());
        hash.update(self.end.timestamp_millis().to_be_bytes());
        let digest: [u8; 32] = hash.finalize().into();
        let (first, _) = digest.split_at(8);
        let number = first.iter().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
        // The width is positive, and the rest of a division by it fits into it.
        let offset = i64::try_from(number % width.unsigned_abs()).unwrap_or(0);
        self.start.checked_add_signed(TimeDelta::milliseconds(offset)).unwrap_or(self.start)
    }

    /// Whether an order that arrives at `now` is exempt from the CA's rate limits (Boulder: start <= now < end).
    pub fn contains(&self, now: DateTime<Utc>) -> bool {
        self.start <= now && now < self.end
    }
}

impl Seed {
    /// The seed of a lineage on a machine; `machine` is anything that differs between machines and stays.
    pub fn of(machine: &[u8], lineage: &LineageName) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"certkit renewal seed\0");
        hash.update((machine.len() as u64).to_be_bytes());
        hash.update(machine);
        hash.update(lineage.as_str().as_bytes());
        Self(hash.finalize().into())
    }
}

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn seed(machine: &str) -> Seed {
        Seed::of(machine.as_bytes(), &LineageName::new("a.example").unwrap())
    }

    #[test]
    fn the_instant_is_kept_until_the_window_changes() {
        let window = SuggestedWindow::new(at(1000), at(1_000_000)).unwrap();
        assert_eq!(window.instant(seed("m")), window.instant(seed("m")));
        assert_ne!(window.instant(seed("m")), window.instant(seed("n")));
        let moved = SuggestedWindow::new(at(1000), at(1_000_001)).unwrap();
        assert_ne!(window.instant(seed("m")), moved.instant(seed("m")));
        assert_eq!(SuggestedWindow::new(at(5), at(5)), None);
        assert_eq!(SuggestedWindow::new(at(5), at(4)), None);
    }

    #[test]
    fn instants_of_many_lineages_fill_the_window_evenly() {
        let window = SuggestedWindow::new(at(0), at(10_000)).unwrap();
        let mut tenths = [0_u32; 10];
        for number in 0..10_000 {
            let lineage = LineageName::new(format!("n{number}.example")).unwrap();
            let instant = window.instant(Seed::of(b"machine", &lineage));
            assert!(window.contains(instant));
            tenths[usize::try_from(instant.timestamp() / 1000).unwrap()] += 1;
        }
        assert!(tenths.iter().all(|count| (850..1150).contains(count)), "{tenths:?}");
    }

    #[test]
    fn the_ca_is_asked_again_after_a_day_at_most_whatever_a_clock_that_was_ahead_noted() {
        let window = SuggestedWindow::new(at(0), at(10)).unwrap();
        let known = RenewalInformation::answered("one", window, None, at(86_400));
        assert!(!known.may_ask(at(0)) && !known.may_ask(at(86_399)));
        assert!(known.may_ask(at(86_400)) && known.may_ask(at(-1)));
    }

    #[test]
    fn an_error_keeps_the_window_and_another_certificate_does_not() {
        let window = SuggestedWindow::new(at(0), at(10)).unwrap();
        let answered = RenewalInformation::answered("one", window, None, at(100));
        let failed = RenewalInformation::failed(Some(&answered), "one", at(200));
        assert_eq!((failed.window, failed.failures, failed.next_check), (Some(window), 1, at(200)));
        assert_eq!(RenewalInformation::failed(Some(&failed), "one", at(300)).failures, 2);
        assert_eq!(RenewalInformation::failed(Some(&failed), "two", at(300)).window, None);
    }

    proptest! {
        #[test]
        fn the_instant_lies_in_the_window(start in -60_000_000_000_i64..200_000_000_000, width in 1_i64..50_000_000_000, machine in ".{0,8}") {
            let window = SuggestedWindow::new(at(start), at(start + width)).unwrap();
            let instant = window.instant(seed(&machine));
            prop_assert!(window.contains(instant));
        }
    }
}
