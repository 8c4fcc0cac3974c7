//! What the certificate profiles of known CAs change for an owner, as dated data.
//!
//! A profile's name says little, and its effects come as surprises: a client that only knows the common name, a
//! certificate with thirty names, a DNS change by hand that takes two hours. Which profiles there are is read from the
//! CA's directory, never from here.

use certkit_core::AcmeUrl;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::{LETS_ENCRYPT, LETS_ENCRYPT_STAGING};

/// What certificates and orders of a profile are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProfileEffects {
    /// The profile, as `--preferred-profile` takes it.
    pub name: &'static str,
    /// Whether a certificate has a common name (when one of the names is short enough: 63 characters).
    pub has_common_name: bool,
    /// The most names in a certificate.
    pub most_names: usize,
    /// Whether IP addresses are possible.
    pub ip_addresses: bool,
    /// How long a validation may take, in hours, from the order to the last answer.
    pub pending_authorization_hours: u32,
    /// How long an order lives, in hours.
    pub order_hours: u32,
    /// How long certificates live: the first instance of the list is what counts before its successor's day.
    pub lifetimes: &'static [ProfileLifetime],
    /// Where this was read.
    pub source: &'static str,
    /// The day of what was read (year, month, day).
    pub checked: &'static str,
}

/// How long certificates of a profile live from a day on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProfileLifetime {
    /// From when on (year, month, day; UTC).
    pub since: (i32, u32, u32),
    /// How long, in hours.
    pub hours: u32,
}

const SOURCE: &str = "https://letsencrypt.org/docs/profiles/";
const CHECKED: &str = "2026-07-14";
const DAY: u32 = 24;

/// Since ever, as far as certificates go.
const EVER: (i32, u32, u32) = (2015, 1, 1);

/// letsencrypt.org/2025/12/02/from-90-to-45.
const CLASSIC: ProfileEffects = ProfileEffects {
    name: "classic",
    has_common_name: true,
    most_names: 100,
    ip_addresses: false,
    pending_authorization_hours: 7 * DAY,
    order_hours: 7 * DAY,
    lifetimes: &[
        ProfileLifetime { since: EVER, hours: 90 * DAY },
        ProfileLifetime { since: (2027, 2, 10), hours: 64 * DAY },
        ProfileLifetime { since: (2028, 2, 16), hours: 45 * DAY },
    ],
    source: SOURCE,
    checked: CHECKED,
};

const TLSSERVER: ProfileEffects = ProfileEffects {
    name: "tlsserver",
    has_common_name: false,
    most_names: 25,
    ip_addresses: false,
    pending_authorization_hours: 1,
    order_hours: 8,
    lifetimes: &[
        ProfileLifetime { since: EVER, hours: 90 * DAY },
        ProfileLifetime { since: (2026, 5, 13), hours: 45 * DAY },
    ],
    source: SOURCE,
    checked: CHECKED,
};

const SHORTLIVED: ProfileEffects = ProfileEffects {
    name: "shortlived",
    has_common_name: false,
    most_names: 25,
    ip_addresses: true,
    pending_authorization_hours: 1,
    order_hours: 8,
    lifetimes: &[ProfileLifetime { since: EVER, hours: 160 }],
    source: SOURCE,
    checked: CHECKED,
};

/// Let's Encrypt's staging server has had 64 days since 2026-10-14 (their announcement of 2026-10-07).
const STAGING_CLASSIC: ProfileEffects = ProfileEffects {
    lifetimes: &[
        ProfileLifetime { since: EVER, hours: 90 * DAY },
        ProfileLifetime { since: (2026, 10, 14), hours: 64 * DAY },
    ],
    ..CLASSIC
};

const LETS_ENCRYPT_PROFILES: &[ProfileEffects] = &[CLASSIC, TLSSERVER, SHORTLIVED];
const STAGING_PROFILES: &[ProfileEffects] = &[STAGING_CLASSIC, TLSSERVER, SHORTLIVED];

/// Every profile of a CA of which something is known.
pub(super) fn profiles_of(directory: &AcmeUrl) -> &'static [ProfileEffects] {
    match directory.as_str() {
        LETS_ENCRYPT => LETS_ENCRYPT_PROFILES,
        LETS_ENCRYPT_STAGING => STAGING_PROFILES,
        _ => &[],
    }
}

/// What is known of a CA's profile; none where nothing is. Let's Encrypt's default, without any name, is `classic`.
pub fn profile_effects(directory: &AcmeUrl, profile: &str) -> Option<&'static ProfileEffects> {
    profiles_of(directory).iter().find(|effects| effects.name == profile)
}

impl ProfileEffects {
    /// How long a certificate lives that is issued at `at`.
    pub fn lifetime(&self, at: DateTime<Utc>) -> TimeDelta {
        let day = at.date_naive();
        let counts = self.lifetimes.iter().rev().find(|lifetime| lifetime.begins().is_some_and(|since| since <= day));
        TimeDelta::hours(counts.or_else(|| self.lifetimes.first()).map_or(0, |lifetime| i64::from(lifetime.hours)))
    }

    /// What an owner should read before the first order with this profile, in sentences without a full stop; nothing for
    /// one that behaves as certificates always did.
    pub fn surprises(&self, at: DateTime<Utc>) -> Vec<String> {
        let mut surprises = Vec::new();
        if !self.has_common_name {
            surprises.push(
                "certificates have no common name: software that reads the name there, and not the subject alternative names, does not find it"
                    .to_owned(),
            );
        }
        if self.most_names < CLASSIC.most_names {
            surprises.push(format!("a certificate has at most {} names", self.most_names));
        }
        if self.pending_authorization_hours < DAY {
            let hours = span(self.pending_authorization_hours);
            surprises.push(format!(
                "all names have to be validated within {hours} of the order, which a DNS record that is set by hand or spreads slowly may miss"
            ));
        }
        let lifetime = self.lifetime(at);
        let hours = u32::try_from(lifetime.num_hours()).unwrap_or(u32::MAX);
        // As `due` has it: half of a lifetime below ten days, two thirds of the others.
        if lifetime < TimeDelta::days(10) {
            surprises.push(format!(
                "certificates live for {} and are renewed after half of it: certkit has to run at least daily, and whoever puts them into use has {} when something fails",
                span(hours),
                span(hours / 2)
            ));
        } else if lifetime < TimeDelta::days(90) {
            surprises.push(format!(
                "certificates live for {}: monitoring that expects 30 days to be left complains about good ones",
                span(hours)
            ));
        }
        for coming in self.lifetimes.iter().filter(|coming| coming.begins().is_some_and(|day| day > at.date_naive())) {
            let (year, month, day) = coming.since;
            surprises.push(format!("from {year}-{month:02}-{day:02} on certificates live for {}", span(coming.hours)));
        }
        surprises
    }
}

impl ProfileLifetime {
    /// The day from which on it counts.
    pub(super) fn begins(&self) -> Option<NaiveDate> {
        let (year, month, day) = self.since;
        NaiveDate::from_ymd_opt(year, month, day)
    }
}

/// A number of hours as people say it.
fn span(hours: u32) -> String {
    match hours {
        1 => "an hour".to_owned(),
        hours if hours >= 2 * DAY && hours.is_multiple_of(DAY) => format!("{} days", hours / DAY),
        hours => format!("{hours} hours"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: &str) -> DateTime<Utc> {
        format!("{day}T12:00:00Z").parse().unwrap()
    }

    fn effects(server: &str, profile: &str) -> &'static ProfileEffects {
        profile_effects(&super::super::resolve(server).unwrap(), profile).unwrap()
    }

    #[test]
    fn lifetimes_fall_on_the_days_that_were_announced() {
        let days = |server: &str, profile: &str, day: &str| effects(server, profile).lifetime(at(day)).num_hours();
        for (profile, day, hours) in [
            ("classic", "2026-11-26", 90 * 24),
            ("classic", "2027-02-09", 90 * 24),
            ("classic", "2027-02-10", 64 * 24),
            ("classic", "2028-02-15", 64 * 24),
            ("classic", "2028-02-16", 45 * 24),
            ("classic", "2031-01-01", 45 * 24),
            ("tlsserver", "2026-11-26", 45 * 24),
            ("shortlived", "2026-11-26", 160),
            ("shortlived", "1990-01-01", 160),
        ] {
            assert_eq!(days("letsencrypt", profile, day), hours, "{profile} {day}");
        }
        assert_eq!(days("letsencrypt-staging", "classic", "2026-11-26"), 64 * 24);
    }

    #[test]
    fn every_profile_begins_with_a_day_and_goes_on_with_later_ones() {
        for effects in LETS_ENCRYPT_PROFILES.iter().chain(STAGING_PROFILES) {
            let days: Vec<_> = effects.lifetimes.iter().map(|lifetime| lifetime.begins().unwrap()).collect();
            assert!(!days.is_empty() && days.is_sorted(), "{effects:?}");
            assert!(effects.lifetimes.iter().all(|lifetime| lifetime.hours > 0));
            assert!(effects.checked.parse::<NaiveDate>().is_ok() && effects.source.starts_with("https://"));
        }
    }

    #[test]
    fn an_owner_reads_what_breaks_before_it_does() {
        let now = at("2026-11-26");
        let surprises = |profile: &str| effects("letsencrypt", profile).surprises(now).join("\n");
        let short = surprises("shortlived");
        for words in ["no common name", "at most 25 names", "within an hour", "for 160 hours", "80 hours when"] {
            assert!(short.contains(words), "{words}: {short}");
        }
        let tlsserver = surprises("tlsserver");
        assert!(
            tlsserver.contains("no common name") && tlsserver.contains("live for 45 days: monitoring"),
            "{tlsserver}"
        );
        assert_eq!(
            effects("letsencrypt", "classic").surprises(now),
            ["from 2027-02-10 on certificates live for 64 days", "from 2028-02-16 on certificates live for 45 days"]
        );
        assert!(effects("letsencrypt", "classic").surprises(at("2028-03-01"))[0].contains("for 45 days"));
        assert!(effects("letsencrypt", "shortlived").ip_addresses && !effects("letsencrypt", "tlsserver").ip_addresses);
    }

    #[test]
    fn nothing_is_said_of_what_is_not_known() {
        for (server, profile) in
            [("letsencrypt", "tlsclient"), ("zerossl", "classic"), ("https://ca.example/dir", "shortlived")]
        {
            assert_eq!(profile_effects(&super::super::resolve(server).unwrap(), profile), None);
        }
    }
}
