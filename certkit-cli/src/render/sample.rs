//! Certificates at a fixed time, for the tests of what tells of them.

use certkit_acme::renewal::Survey;
use certkit_core::decision::limits::OrderKind;
use certkit_core::decision::{Cadence, RenewalInformation, RenewalWish, SuggestedWindow};
use certkit_core::settings::Settings;
use certkit_core::state::{Event, Ledger, OrderScope};
use certkit_core::{AcmeUrl, Failure, FailureClass, LineageName, Outlook, PlanInput, Summary, Validity, plan};
use chrono::{DateTime, TimeDelta, Utc};

use crate::commands::{CadenceSource, Foresight};

pub(crate) const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// 2027-01-15 08:00:00 UTC.
pub(crate) fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

pub(crate) fn directory() -> AcmeUrl {
    AcmeUrl::parse(LETS_ENCRYPT).unwrap()
}

/// A certificate of ninety days at Let's Encrypt, with so many days left.
pub(crate) fn certificate(name: &str, days_left: i64) -> PlanInput {
    let not_after = now() + TimeDelta::days(days_left);
    let validity = Validity { not_before: not_after - TimeDelta::days(90), not_after };
    let wish = RenewalWish::new(None, true);
    let mut input = PlanInput::new(LineageName::new(name).unwrap(), Some(validity), wish);
    input.authorities = vec![scope(name, name)];
    input.ari_id = Some(format!("id.{name}"));
    input.serial = Some("7a".to_owned());
    input
}

pub(crate) fn scope(name: &str, domain: &str) -> OrderScope {
    let identifiers = [name.parse().unwrap()].into_iter().collect();
    OrderScope::new(directory(), "0123", identifiers, vec![domain.to_owned()])
}

/// The same with a window of two days that begins in so many days.
pub(crate) fn advised(mut input: PlanInput, begins_in: i64) -> PlanInput {
    let start = now() + TimeDelta::days(begins_in);
    let window = SuggestedWindow::new(start, start + TimeDelta::days(2));
    let mut information =
        RenewalInformation::failed(None, input.ari_id.as_deref().unwrap(), now() + TimeDelta::hours(6));
    information.window = window;
    information.failures = 0;
    information.explanation_url = Some("https://ca.example/why".to_owned());
    input.state.renewal_information = Some(information);
    input
}

/// The same after failures half an hour ago.
pub(crate) fn failed(mut input: PlanInput, times: u32, failure: &Failure) -> PlanInput {
    let at = now() - TimeDelta::minutes(30);
    for _ in 0..times {
        let started = Event::AttemptStarted { because: "third-of-lifetime".into(), directory: directory() };
        input.state.apply(&started, at);
        input.state.apply(&Event::AttemptFailed { failure: failure.clone() }, at);
    }
    input
}

pub(crate) fn challenge_failure() -> Failure {
    Failure::new(FailureClass::ChallengeFailed, "1 of 1 names could not be validated")
}

/// A ledger in which `domain` has used up this many certificates.
pub(crate) fn used_up(domain: &str, certificates: u32) -> Ledger {
    let mut ledger = Ledger::default();
    for number in 0..certificates {
        ledger.issued(&scope(&format!("n{number}.{domain}"), domain), OrderKind::New, TimeDelta::days(90), now());
    }
    ledger
}

pub(crate) fn foresight(inputs: Vec<PlanInput>, ledger: Ledger) -> Foresight {
    let outlook = Outlook::new(ledger, Cadence::default());
    let plan = plan(inputs.iter().cloned(), &outlook, now());
    let summaries = plan.entries.into_iter().zip(inputs).map(|(entry, input)| {
        let identifiers = input.authorities.first().map(|scope| scope.identifiers.clone()).unwrap_or_default();
        let mut summary = Summary::of(entry, input, now());
        summary.identifiers = identifiers;
        summary
    });
    let survey = Survey::new(now(), summaries.collect(), outlook);
    Foresight { survey, cadence_source: CadenceSource::Assumed, settings: Settings::default() }
}

pub(crate) fn broken() -> Summary {
    Summary::of_broken("bad\u{1b}", "line 3: no value\u{1b}[2J", false, None, now())
}
