//! When a certificate is due: the owner's word, the CA's advice, the rule of the lifetime.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{Cadence, RenewalInformation, Seed, SuggestedWindow, latest_sensible, parse_interval, usual};
use crate::{Finding, FindingCode, Validity};

/// What the owner wants of a lineage's renewal, as the conf and the command line say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RenewalWish {
    /// certbot's `renew_before_expiry`, as written.
    pub renew_before_expiry: Option<String>,
    /// certbot's `autorenew = False`.
    pub never: bool,
    /// `--force-renewal` or `--dry-run`.
    pub now: Option<DueReason>,
}

impl RenewalWish {
    /// The wish of a conf with these two values.
    pub fn new(renew_before_expiry: Option<String>, autorenew: bool) -> Self {
        Self { renew_before_expiry, never: !autorenew, now: None }
    }

    /// The same, due now for `reason`.
    #[must_use]
    pub fn due_now(mut self, reason: DueReason) -> Self {
        self.now = Some(reason);
        self
    }
}

/// What is known of a certificate when it is asked whether it is due.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DueFacts<'a> {
    /// What findings are about: the lineage's name.
    pub subject: &'a str,
    /// Its validity.
    pub validity: Validity,
    /// What the owner wants.
    pub wish: &'a RenewalWish,
    /// What the CA said about this very certificate.
    pub renewal_information: Option<&'a RenewalInformation>,
    /// Since when the CA has revoked it.
    pub revoked_since: Option<DateTime<Utc>>,
    /// Since when the owner wishes something else than what it is, by a wish recorded through certkit.
    pub changed_since: Option<DateTime<Utc>>,
    /// What differs between machines and lineages.
    pub seed: Seed,
    /// How often certkit is run.
    pub cadence: Cadence,
}

/// Whether a lineage is due, since or from when, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DueDecision {
    /// The instant from which it is due (UTC); none for never.
    pub at: Option<DateTime<Utc>>,
    /// Which rule says so.
    pub reason: DueReason,
    /// Whether it is renewed now although the instant is yet to come, since the next run would be too late.
    pub early: bool,
    /// The CA's window, when it has a say.
    pub window: Option<SuggestedWindow>,
    /// What the owner should know about the settings or the advice that led here.
    pub findings: Vec<Finding>,
}

/// The rules that make a lineage due.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DueReason {
    /// `autorenew = False`: never due by itself.
    AutorenewOff,
    /// A dry run tries every lineage.
    DryRun,
    /// `--force-renewal`.
    Forced,
    /// Half of the lifetime is left (lifetimes below ten days).
    HalfOfLifetime,
    /// There is no usable certificate yet.
    NoCertificate,
    /// The wished names, key, profile or CA differ from the certificate's.
    Changed,
    /// An order of an earlier run waits to be finished.
    OrderUnderWay,
    /// `renew_before_expiry` of the conf.
    RenewBeforeExpiry,
    /// The CA's renewal information (RFC 9773).
    RenewalInformation,
    /// The CA has revoked the certificate.
    Revoked,
    /// A third of the lifetime is left.
    ThirdOfLifetime,
}

/// When a certificate is due.
pub fn due(facts: &DueFacts<'_>, now: DateTime<Utc>) -> DueDecision {
    if let Some(reason) = &facts.wish.now {
        return DueDecision::at(now, reason.clone());
    }
    let mut decision = by_the_rules(facts, now);
    if let Some(since) = facts.revoked_since {
        decision.findings.push(Finding::new(FindingCode::CertificateRevoked, facts.subject, since.to_string()));
    }
    if decision.reason == DueReason::AutorenewOff {
        return decision;
    }
    for (since, reason) in [(facts.revoked_since, DueReason::Revoked), (facts.changed_since, DueReason::Changed)] {
        if let Some(since) = since
            && decision.at.is_none_or(|at| since < at)
            && !decision.is_due(now)
        {
            decision = DueDecision { at: Some(since), reason, early: false, window: None, ..decision };
        }
    }
    decision
}

/// The owner's interval, the CA's window, the rule of the lifetime; and whether the next run would be too late.
fn by_the_rules(facts: &DueFacts<'_>, now: DateTime<Utc>) -> DueDecision {
    let DueFacts { wish, validity, .. } = *facts;
    if wish.never {
        return DueDecision { at: None, ..DueDecision::at(now, DueReason::AutorenewOff) };
    }
    let (of_lifetime, reason) = usual(validity);
    let mut decision = DueDecision::at(of_lifetime, reason);
    let interval = owners_interval(facts, &mut decision.findings);
    let own = interval.and_then(|interval| validity.not_after.checked_sub_signed(interval));
    if let Some(at) = own {
        (decision.at, decision.reason) = (Some(at), DueReason::RenewBeforeExpiry);
    }
    if let Some(window) = facts.renewal_information.and_then(|information| information.window) {
        take_advice(facts, window, own, &mut decision, now);
    }
    let Some(at) = decision.at else { return decision };
    if !facts.cadence.exact {
        // What has become due since the last run shows that runs come too rarely, too: it may have expired in between.
        let next_run = facts.cadence.next_run(now.min(at));
        // An eighth of the lifetime has to be left then, or half of what the owner leaves who wants it later.
        let left = (validity.lifetime() / 8).min((validity.not_after - at).max(TimeDelta::zero()) / 2);
        let too_late = next_run > at && validity.not_after.checked_sub_signed(left).is_some_and(|last| next_run > last);
        let advised = decision.reason == DueReason::RenewalInformation;
        // However rare the runs are: a new one would hardly live longer than one that has just been issued, and whoever
        // runs it again would get a new one each time. Unless the CA wants it as soon as that.
        let of_youth = validity.lifetime() / 4;
        let is_young = now - validity.not_before < of_youth && at - validity.not_before >= of_youth;
        decision.early = at > now && !is_young && ((advised && at <= next_run) || too_late);
        if too_late {
            let every = format!("it is run every {}", in_words(facts.cadence.interval));
            decision.findings.push(Finding::new(FindingCode::RunTooRarely, facts.subject, every));
        }
    }
    if decision.is_due(now)
        && let Some(window) = decision.window.filter(|window| now < window.start)
    {
        let begins = format!("it begins at {}", window.start);
        decision.findings.push(Finding::new(FindingCode::BeforeTheWindow, facts.subject, begins));
    }
    decision
}

/// The CA's window: its instant counts, unless the owner wants it earlier or it leaves too little time.
fn take_advice(
    facts: &DueFacts<'_>,
    window: SuggestedWindow,
    own: Option<DateTime<Utc>>,
    decision: &mut DueDecision,
    now: DateTime<Utc>,
) {
    let instant = window.instant(facts.seed);
    decision.window = Some(window);
    let latest = latest_sensible(facts.validity);
    if own.is_some_and(|own| own <= instant) {
        return;
    }
    if instant > latest {
        let begins = format!("from {} to {}", window.start, window.end);
        decision.findings.push(Finding::new(FindingCode::RenewalInformationTooLate, facts.subject, begins));
        if own.is_none() {
            decision.at = Some(latest);
        }
        return;
    }
    (decision.at, decision.reason) = (Some(instant), DueReason::RenewalInformation);
    if let Some(url) = facts.renewal_information.and_then(|information| information.explanation_url.as_deref())
        && now >= instant
    {
        decision.findings.push(Finding::new(FindingCode::RenewalInformationExplained, facts.subject, url));
    }
}

/// `renew_before_expiry`, when it can be heeded.
fn owners_interval(facts: &DueFacts<'_>, findings: &mut Vec<Finding>) -> Option<TimeDelta> {
    let text = facts.wish.renew_before_expiry.as_ref()?;
    let lifetime = facts.validity.lifetime();
    match parse_interval(text) {
        Ok(interval) if interval >= lifetime => {
            let evidence = format!("{text} of {}", in_words(lifetime));
            findings.push(Finding::new(FindingCode::RenewBeforeExpiryTooLong, facts.subject, evidence));
            None
        }
        Ok(interval) if interval > TimeDelta::zero() => Some(interval),
        // Due at the very end is due too late, whatever was meant.
        Ok(_) | Err(_) => {
            findings.push(Finding::new(FindingCode::RenewBeforeExpiryUnreadable, facts.subject, text));
            None
        }
    }
}

impl DueDecision {
    /// Due at `at`, by `reason`, and nothing else to say.
    pub fn at(at: DateTime<Utc>, reason: DueReason) -> Self {
        Self { at: Some(at), reason, early: false, window: None, findings: Vec::new() }
    }

    /// Whether it is to be renewed at `now`.
    pub fn is_due(&self, now: DateTime<Utc>) -> bool {
        self.early || self.at.is_some_and(|at| now >= at)
    }
}

impl<'a> DueFacts<'a> {
    /// The facts of a certificate of which nothing more is known.
    pub fn new(subject: &'a str, validity: Validity, wish: &'a RenewalWish, seed: Seed) -> Self {
        Self {
            subject,
            validity,
            wish,
            renewal_information: None,
            revoked_since: None,
            changed_since: None,
            seed,
            cadence: Cadence::exact(),
        }
    }
}

impl DueReason {
    /// A stable word for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::AutorenewOff => "autorenew-off",
            Self::Changed => "changed",
            Self::DryRun => "dry-run",
            Self::Forced => "forced",
            Self::HalfOfLifetime => "half-of-lifetime",
            Self::NoCertificate => "no-certificate",
            Self::OrderUnderWay => "order-under-way",
            Self::RenewBeforeExpiry => "renew-before-expiry",
            Self::RenewalInformation => "renewal-information",
            Self::Revoked => "revoked",
            Self::ThirdOfLifetime => "third-of-lifetime",
        }
    }

    /// The rule in words.
    pub fn words(&self) -> &'static str {
        match self {
            Self::AutorenewOff => "the conf says autorenew = False",
            Self::Changed => "what is asked for differs from the certificate",
            Self::DryRun => "a dry run tries every certificate",
            Self::Forced => "--force-renewal",
            Self::HalfOfLifetime => "half of the lifetime is left",
            Self::NoCertificate => "there is no certificate yet",
            Self::OrderUnderWay => "an order of an earlier run waits to be finished",
            Self::RenewBeforeExpiry => "renew_before_expiry of the conf",
            Self::RenewalInformation => "the CA's renewal information",
            Self::Revoked => "the CA has revoked the certificate",
            Self::ThirdOfLifetime => "a third of the lifetime is left",
        }
    }
}

/// A length of time for people: whole days, hours below two days, minutes below two hours.
fn in_words(length: TimeDelta) -> String {
    if length < TimeDelta::hours(2) {
        format!("{} minutes", length.num_minutes())
    } else if length < TimeDelta::days(2) {
        format!("{} hours", length.num_hours())
    } else {
        format!("{} days", length.num_days())
    }
}

#[cfg(test)]
mod tests;
