//! A certificate's validity period and where `now` lies in it.

use chrono::{DateTime, TimeDelta, Utc};

/// The validity period of a certificate, to the second, in UTC (RFC 5280 section 4.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Validity {
    /// The first second at which the certificate is valid.
    pub not_before: DateTime<Utc>,
    /// The last second at which the certificate is valid.
    pub not_after: DateTime<Utc>,
}

/// Where an instant lies in a validity period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ValidityStatus {
    /// Past the end of the period (the second `not_after` itself is still valid).
    Expired,
    /// Before the start of the period.
    NotYetValid,
    /// Within the period.
    Valid,
}

impl Validity {
    /// The length of the period: `not_after - not_before`; zero when the end lies before the start.
    pub fn lifetime(&self) -> TimeDelta {
        (self.not_after - self.not_before).max(TimeDelta::zero())
    }

    /// What is left at `now`: `not_after - now`, negative after expiry.
    pub fn remaining(&self, now: DateTime<Utc>) -> TimeDelta {
        self.not_after - now
    }

    /// The part of the lifetime that is left at `now`, 0.0 to 1.0; 0.0 for an empty period.
    pub fn remaining_fraction(&self, now: DateTime<Utc>) -> f64 {
        let lifetime = self.lifetime().num_seconds();
        if lifetime == 0 {
            return 0.0;
        }
        // Whole seconds of at most 10,000 years are exact in a double.
        (self.remaining(now).num_seconds() as f64 / lifetime as f64).clamp(0.0, 1.0)
    }

    /// Where `now` lies.
    pub fn status(&self, now: DateTime<Utc>) -> ValidityStatus {
        if now > self.not_after {
            ValidityStatus::Expired
        } else if now < self.not_before {
            ValidityStatus::NotYetValid
        } else {
            ValidityStatus::Valid
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn both_ends_belong_to_the_period() {
        let validity = Validity { not_before: at(100), not_after: at(200) };
        assert_eq!(validity.status(at(99)), ValidityStatus::NotYetValid);
        assert_eq!(validity.status(at(100)), ValidityStatus::Valid);
        assert_eq!(validity.status(at(200)), ValidityStatus::Valid);
        assert_eq!(validity.status(at(201)), ValidityStatus::Expired);
        assert_eq!(validity.lifetime(), TimeDelta::seconds(100));
        assert_eq!(validity.remaining(at(250)), TimeDelta::seconds(-50));
    }

    #[test]
    fn the_fraction_is_clamped_and_an_inverted_period_is_empty() {
        let validity = Validity { not_before: at(100), not_after: at(200) };
        assert!((validity.remaining_fraction(at(175)) - 0.25).abs() < 1e-9);
        assert!((validity.remaining_fraction(at(0)) - 1.0).abs() < 1e-9);
        assert!(validity.remaining_fraction(at(999)).abs() < 1e-9);
        let inverted = Validity { not_before: at(200), not_after: at(100) };
        assert_eq!(inverted.lifetime(), TimeDelta::zero());
        assert!(inverted.remaining_fraction(at(150)).abs() < 1e-9);
    }
}
