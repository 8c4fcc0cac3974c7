//! How long the certificates to come live: what CAs and their rules have announced, as dated data.

use certkit_core::{AcmeUrl, PlanInput, Validity};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::known;
use super::profiles::{ProfileEffects, profiles_of};

/// The longest lifetime that a publicly trusted CA may give from a day on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ceiling {
    /// From when on (year, month, day; UTC).
    pub since: (i32, u32, u32),
    /// How long, in days.
    pub days: u32,
}

/// CA/Browser Forum, Baseline Requirements section 6.3.2 (ballot SC-081v3).
pub const CEILINGS: &[Ceiling] = &[
    Ceiling { since: (2026, 3, 15), days: 200 },
    Ceiling { since: (2027, 3, 15), days: 100 },
    Ceiling { since: (2029, 3, 15), days: 47 },
];

/// Where [`CEILINGS`] were read.
const CEILINGS_SOURCE: &str = "https://cabforum.org/working-groups/server/baseline-requirements/requirements/";

/// A lifetime that counts for a certificate's successors from a day on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AnnouncedLifetime {
    /// From when on, at its begin (UTC).
    pub since: NaiveDate,
    /// How long they live then.
    pub lifetime: TimeDelta,
    /// Where this was read.
    pub source: &'static str,
}

/// What is assumed of a certificate that there never was: certificates lived for so long for ten years. In days.
const USUAL_DAYS: i64 = 90;
/// The same lifetime, to the hour and a bit: CAs date back, and leave a second out.
const TOLERANCE: TimeDelta = TimeDelta::hours(2);

/// How long a certificate lives that is issued for a lineage at `at`: by the profile that it was ordered with, which its
/// lifetime shows where nobody noted it; else as long as the one in use, or shorter where the rules for public CAs say so.
pub fn expected_lifetime(input: &PlanInput, at: DateTime<Utc>) -> TimeDelta {
    let Some(directory) = input.authorities.first().map(|scope| &scope.directory) else {
        return as_now(input);
    };
    match profile_of(input, directory) {
        Some(profile) => profile.lifetime(at),
        None => match ceiling(directory, at.date_naive()) {
            Some(ceiling) => as_now(input).min(ceiling),
            None => as_now(input),
        },
    }
}

/// The days after `now` on which the lifetime of a lineage's successors changes.
pub fn announced_lifetimes(input: &PlanInput, now: DateTime<Utc>) -> Vec<AnnouncedLifetime> {
    let Some(directory) = input.authorities.first().map(|scope| &scope.directory) else { return Vec::new() };
    let days: Vec<(NaiveDate, &'static str)> = match profile_of(input, directory) {
        Some(profile) => profile.lifetimes.iter().filter_map(|one| Some((one.begins()?, profile.source))).collect(),
        None => CEILINGS.iter().filter_map(|one| Some((one.begins()?, CEILINGS_SOURCE))).collect(),
    };
    let mut all: Vec<AnnouncedLifetime> = Vec::new();
    let mut before = expected_lifetime(input, now);
    for (since, source) in days.into_iter().filter(|(since, _)| *since > now.date_naive()) {
        let Some(begin) = since.and_hms_opt(0, 0, 0) else { continue };
        let lifetime = expected_lifetime(input, begin.and_utc());
        if lifetime != before {
            all.push(AnnouncedLifetime { since, lifetime, source });
        }
        before = lifetime;
    }
    all
}

/// The profile of the certificate in use, as far as the CA's are known.
fn profile_of(input: &PlanInput, directory: &AcmeUrl) -> Option<&'static ProfileEffects> {
    let profiles = profiles_of(directory);
    let state = &input.state;
    if let Some(name) = &state.issued_profile
        && state.issuer_directory.as_ref().is_none_or(|issuer| issuer == directory)
    {
        return profiles.iter().find(|profile| profile.name == name);
    }
    // The first is what orders without a profile get. Another one shows itself by its lifetime alone.
    let fits = |profile: &&ProfileEffects| input.validity.is_none_or(|validity| has_lifetime_of(validity, profile));
    profiles.iter().find(fits).or_else(|| profiles.first())
}

fn has_lifetime_of(validity: Validity, profile: &ProfileEffects) -> bool {
    (profile.lifetime(validity.not_before) - validity.lifetime()).abs() <= TOLERANCE
}

fn as_now(input: &PlanInput) -> TimeDelta {
    input.validity.map_or(TimeDelta::days(USUAL_DAYS), |validity| validity.lifetime())
}

/// An internal CA may do as it likes, and nobody knows which is one: only those that are known to be public are bound.
fn ceiling(directory: &AcmeUrl, day: NaiveDate) -> Option<TimeDelta> {
    known(directory).filter(|known| !known.is_test)?;
    let ceiling = CEILINGS.iter().rev().find(|one| one.begins().is_some_and(|since| since <= day))?;
    Some(TimeDelta::days(i64::from(ceiling.days)))
}

impl Ceiling {
    fn begins(&self) -> Option<NaiveDate> {
        let (year, month, day) = self.since;
        NaiveDate::from_ymd_opt(year, month, day)
    }
}

#[cfg(test)]
mod tests {
    use certkit_core::decision::RenewalWish;
    use certkit_core::state::OrderScope;
    use certkit_core::{IdentifierSet, LineageName};

    use super::*;

    fn at(day: &str) -> DateTime<Utc> {
        format!("{day}T12:00:00Z").parse().unwrap()
    }

    fn input(server: &str, lifetime: Option<TimeDelta>) -> PlanInput {
        let not_before = at("2026-11-01");
        let validity = lifetime.map(|lifetime| Validity { not_before, not_after: not_before + lifetime });
        let mut input = PlanInput::new(LineageName::new("a.example").unwrap(), validity, RenewalWish::new(None, true));
        let directory = super::super::resolve(server).unwrap();
        input.authorities = vec![OrderScope::new(directory, "7", IdentifierSet::default(), Vec::new())];
        input
    }

    fn announced(input: &PlanInput, now: &str) -> Vec<(String, i64)> {
        let all = announced_lifetimes(input, at(now));
        all.iter().map(|one| (one.since.to_string(), one.lifetime.num_days())).collect()
    }

    #[test]
    fn lets_encrypts_classic_certificates_get_shorter_on_two_days() {
        let classic = input("letsencrypt", Some(TimeDelta::days(90) - TimeDelta::seconds(1)));
        let expected = [("2027-02-10".to_owned(), 64), ("2028-02-16".to_owned(), 45)];
        assert_eq!(announced(&classic, "2026-11-26"), expected);
        assert_eq!(announced(&classic, "2027-06-01"), expected[1..]);
        assert_eq!(announced(&input("letsencrypt", None), "2026-11-26"), expected);
        assert_eq!(expected_lifetime(&classic, at("2026-12-01")).num_days(), 90);
        assert_eq!(expected_lifetime(&classic, at("2028-03-01")).num_days(), 45);
    }

    #[test]
    fn a_profile_shows_itself_by_what_was_ordered_or_by_the_lifetime() {
        let short = input("letsencrypt", Some(TimeDelta::hours(160)));
        assert_eq!(expected_lifetime(&short, at("2028-03-01")).num_hours(), 160);
        assert_eq!(announced(&short, "2026-11-26"), []);
        let mut ordered = input("letsencrypt", Some(TimeDelta::days(90)));
        ordered.state.issued_profile = Some("tlsserver".to_owned());
        assert_eq!(expected_lifetime(&ordered, at("2026-12-01")).num_days(), 45);
        ordered.state.issued_profile = Some("unheard-of".to_owned());
        assert_eq!(expected_lifetime(&ordered, at("2026-12-01")).num_days(), 90, "as long as it is now");
    }

    #[test]
    fn public_cas_are_bound_by_the_ceiling_and_unknown_ones_are_not() {
        let google = input("google", Some(TimeDelta::days(90)));
        assert_eq!(announced(&google, "2026-11-26"), [("2029-03-15".to_owned(), 47)]);
        let long = input("zerossl", Some(TimeDelta::days(199)));
        assert_eq!(announced(&long, "2026-11-26"), [("2027-03-15".to_owned(), 100), ("2029-03-15".to_owned(), 47)]);
        let internal = input("https://ca.internal.example/dir", Some(TimeDelta::days(730)));
        assert_eq!(announced(&internal, "2026-11-26"), []);
        assert_eq!(expected_lifetime(&internal, at("2030-01-01")).num_days(), 730);
    }

    #[test]
    fn the_ceilings_fall_and_their_days_rise() {
        assert!(CEILINGS.windows(2).all(|pair| pair[0].since < pair[1].since && pair[0].days > pair[1].days));
        assert!(CEILINGS.iter().all(|one| one.begins().is_some()) && CEILINGS_SOURCE.starts_with("https://"));
    }
}
