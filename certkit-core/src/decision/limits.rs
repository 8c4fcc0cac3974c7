//! The limits of CAs, as dated data, and the guard against loops that holds everywhere.

use chrono::TimeDelta;

use crate::AcmeUrl;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum LimitKind {
    /// Orders of an account.
    NewOrdersPerAccount,
    /// Certificates for a registered domain (an IPv4 address and an IPv6 /64 count as one).
    CertificatesPerRegisteredDomain,
    /// Certificates for exactly the same identifiers.
    CertificatesPerExactSet,
    /// Failed validations of an identifier.
    FailedAuthorizationsPerIdentifier,
}

/// One limit of a CA: a bucket that holds `count` and is refilled evenly in `window`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limit {
    /// What is counted.
    pub kind: LimitKind,
    /// How many are allowed at once.
    pub count: u32,
    /// In how many seconds the bucket is full again.
    pub window_seconds: i64,
    /// Orders that do not count.
    pub exempt: Exempt,
}

/// Which orders do not count against a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exempt {
    /// None.
    Nothing,
    /// Those that replace a certificate within its CA's window (RFC 9773).
    RenewalInformation,
    /// These, and those for the same identifiers as a certificate of the same CA.
    Renewals,
}

/// What an order is, as far as limits care.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OrderKind {
    /// Nothing special.
    #[default]
    New,
    /// For the same identifiers as a certificate that this CA issued not long ago.
    SameIdentifiers,
    /// The same, with `replaces`, within the CA's window.
    WithinWindow,
}

/// The limits of one CA.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct AuthorityLimits {
    /// Its directory.
    pub directory: &'static str,
    /// Its limits.
    pub limits: &'static [Limit],
    /// Where they were read.
    pub source: &'static str,
    /// When (year, month, day).
    pub checked: &'static str,
}

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// The CAs whose limits are known. A CA that is not here tells its limits by refusing; those answers are remembered.
pub const KNOWN: &[AuthorityLimits] = &[
    AuthorityLimits {
        directory: "https://acme-v02.api.letsencrypt.org/directory",
        limits: &[
            limit(LimitKind::NewOrdersPerAccount, 300, 3 * HOUR, Exempt::Renewals),
            limit(LimitKind::CertificatesPerRegisteredDomain, 50, 7 * DAY, Exempt::Renewals),
            limit(LimitKind::CertificatesPerExactSet, 5, 7 * DAY, Exempt::RenewalInformation),
            limit(LimitKind::FailedAuthorizationsPerIdentifier, 5, HOUR, Exempt::Nothing),
        ],
        source: "https://letsencrypt.org/docs/rate-limits/",
        checked: "2026-08-05",
    },
    AuthorityLimits {
        directory: "https://acme-staging-v02.api.letsencrypt.org/directory",
        limits: &[
            limit(LimitKind::NewOrdersPerAccount, 1500, 3 * HOUR, Exempt::Renewals),
            limit(LimitKind::FailedAuthorizationsPerIdentifier, 200, HOUR, Exempt::Nothing),
        ],
        source: "https://letsencrypt.org/docs/staging-environment/",
        checked: "2026-08-05",
    },
];

/// Let's Encrypt calls an order a renewal when a certificate for the same identifiers was issued in so many days.
pub const RENEWAL_MEMORY: TimeDelta = TimeDelta::days(120);

/// The same identifiers are never issued for more often than this within a quarter of the certificate's lifetime, unless
/// the owner forces it: whatever made it happen, it is a loop (NginxProxyManager#5483, p2p-forge#28, cert-manager#8993).
pub const LOOP_GUARD_COUNT: usize = 2;

/// The part of the lifetime over which [`LOOP_GUARD_COUNT`] counts.
pub const LOOP_GUARD_FRACTION: i32 = 4;

/// The limits of a CA; none that are known for most.
pub fn of(directory: &AcmeUrl) -> &'static [Limit] {
    KNOWN.iter().find(|known| known.directory == directory.as_str()).map_or(&[], |known| known.limits)
}

impl LimitKind {
    /// A stable word for machines.
    pub fn code(self) -> &'static str {
        match self {
            Self::NewOrdersPerAccount => "new-orders-per-account",
            Self::CertificatesPerRegisteredDomain => "certificates-per-registered-domain",
            Self::CertificatesPerExactSet => "certificates-per-exact-set",
            Self::FailedAuthorizationsPerIdentifier => "failed-authorizations-per-identifier",
        }
    }

    /// What is counted, in words that follow a number.
    pub fn words(self) -> &'static str {
        match self {
            Self::NewOrdersPerAccount => "orders per account",
            Self::CertificatesPerRegisteredDomain => "certificates per registered domain",
            Self::CertificatesPerExactSet => "certificates for the same names",
            Self::FailedAuthorizationsPerIdentifier => "failed validations per name",
        }
    }
}

impl Limit {
    /// In what time the bucket is full again.
    pub fn window(&self) -> TimeDelta {
        TimeDelta::try_seconds(self.window_seconds).unwrap_or(TimeDelta::MAX)
    }

    /// Whether an order of this kind counts.
    pub fn counts(&self, order: OrderKind) -> bool {
        match (self.exempt, order) {
            (Exempt::Nothing, _) | (_, OrderKind::New) => true,
            (Exempt::RenewalInformation, OrderKind::SameIdentifiers) => true,
            (Exempt::RenewalInformation | Exempt::Renewals, _) => false,
        }
    }
}

const fn limit(kind: LimitKind, count: u32, window_seconds: i64, exempt: Exempt) -> Limit {
    Limit { kind, count, window_seconds, exempt }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewals_are_exempt_as_the_ca_says() {
        let directory = AcmeUrl::parse("https://acme-v02.api.letsencrypt.org/directory").unwrap();
        let counts = |kind: LimitKind, order: OrderKind| {
            of(&directory).iter().find(|limit| limit.kind == kind).unwrap().counts(order)
        };
        for kind in [LimitKind::NewOrdersPerAccount, LimitKind::CertificatesPerRegisteredDomain] {
            assert!(counts(kind, OrderKind::New) && !counts(kind, OrderKind::SameIdentifiers));
        }
        assert!(counts(LimitKind::CertificatesPerExactSet, OrderKind::SameIdentifiers));
        assert!(!counts(LimitKind::CertificatesPerExactSet, OrderKind::WithinWindow));
        assert!(counts(LimitKind::FailedAuthorizationsPerIdentifier, OrderKind::WithinWindow));
    }

    #[test]
    fn a_ca_that_is_not_known_has_no_limits_that_are_known() {
        assert!(of(&AcmeUrl::parse("https://ca.example/dir").unwrap()).is_empty());
        assert!(KNOWN.iter().all(|known| AcmeUrl::parse(known.directory).is_ok()));
    }
}
