//! The series of one certificate.

use chrono::{DateTime, Utc};

use super::exposition::{Exposition, Kind};
use crate::state::{EndpointMemory, LineageState, Serving};
use crate::{Certificate, PlanEntry, Step, Summary};

/// Tells everything that is known of it.
pub(super) fn tell(text: &mut Exposition, summary: &Summary) {
    let mut one = One { text, name: &summary.name };
    if let Some(validity) = summary.validity {
        one.time(
            "certkit_certificate_not_before_timestamp_seconds",
            "When the certificate in use begins.",
            Some(validity.not_before),
        );
        one.time(
            "certkit_certificate_not_after_timestamp_seconds",
            "When the certificate in use ends.",
            Some(validity.not_after),
        );
    }
    for condition in &summary.conditions {
        one.text
            .family(
                "certkit_certificate_condition_info",
                Kind::Gauge,
                "A condition that applies to the certificate; the value is always 1.",
            )
            .add(&[("certificate", &summary.name), ("condition", condition.code())], 1);
    }
    if let Some(entry) = summary.entry() {
        one.renewal(entry);
    }
    if let Some(state) = summary.state() {
        one.memory(state);
        one.served(&state.served);
    }
    if let Some(certificate) = &summary.certificate {
        as_an_exporter(text, summary, certificate);
    }
}

struct One<'a> {
    text: &'a mut Exposition,
    name: &'a str,
}

impl One<'_> {
    fn time(&mut self, name: &'static str, help: &'static str, at: Option<DateTime<Utc>>) {
        if let Some(at) = at {
            self.number(name, help, at.timestamp());
        }
    }

    fn number(&mut self, name: &'static str, help: &'static str, value: i64) {
        self.text.family(name, Kind::Gauge, help).add(&[("certificate", self.name)], value);
    }

    fn renewal(&mut self, entry: &PlanEntry) {
        self.time(
            "certkit_certificate_renewal_due_timestamp_seconds",
            "When the certificate is or was due for renewal.",
            entry.due.at,
        );
        // What the next run attempts is told by the time at which it became due: a series that always says "now" tells
        // nothing and is stored at each scrape.
        let next = match &entry.step {
            Step::Attempt { .. } => entry.due.at,
            Step::Held { until, .. } => Some(*until),
            Step::NotDue { until, .. } => *until,
        };
        self.time(
            "certkit_certificate_next_attempt_timestamp_seconds",
            "Before this instant no run attempts a renewal; when it is past, the next run does.",
            next,
        );
    }

    fn memory(&mut self, state: &LineageState) {
        self.time(
            "certkit_certificate_last_success_timestamp_seconds",
            "When certkit last installed a new version.",
            state.last_success,
        );
        self.time(
            "certkit_certificate_last_attempt_timestamp_seconds",
            "When an attempt to renew the certificate last began.",
            state.last_attempt,
        );
        self.number(
            "certkit_certificate_consecutive_failures",
            "Attempts that have failed at the CA since the last success.",
            i64::from(state.consecutive_failures),
        );
        self.number(
            "certkit_certificate_deploy_pending",
            "Hooks, reloads and files that still have to receive the version in use.",
            i64::try_from(state.deploy_pending.len()).unwrap_or(i64::MAX),
        );
    }

    /// What cannot be reached is no answer: it has a count and no match.
    fn served(&mut self, endpoints: &[EndpointMemory]) {
        let matches = match Serving::of(endpoints) {
            Serving::Matches => Some(1),
            Serving::Differs => Some(0),
            Serving::Unreachable | Serving::Unknown => None,
        };
        if let Some(matches) = matches {
            self.number(
                "certkit_certificate_served_matches",
                "Whether the endpoints that count serve the version in use (1) or something else (0).",
                matches,
            );
        }
        let counting = || endpoints.iter().filter(|one| one.counts());
        if counting().next().is_none() {
            return;
        }
        for (word, serving) in
            [("differs", Serving::Differs), ("matches", Serving::Matches), ("unreachable", Serving::Unreachable)]
        {
            let count = counting().filter(|one| one.serving() == serving).count();
            self.text
                .family(
                    "certkit_certificate_endpoints",
                    Kind::Gauge,
                    "Endpoints that count, by what they served when they were last looked at.",
                )
                .add(&[("certificate", self.name), ("serving", word)], i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.time(
            "certkit_certificate_served_checked_timestamp_seconds",
            "When the endpoints that count were looked at, the longest ago.",
            counting().map(|one| one.checked_at).min(),
        );
    }
}

/// The series of x509-certificate-exporter, with those of its labels that a certificate of a web server has: dashboards
/// and rules made for it go on working.
fn as_an_exporter(text: &mut Exposition, summary: &Summary, certificate: &Certificate) {
    let path = summary.fullchain.as_ref().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
    let file = summary.fullchain.as_ref().and_then(|path| path.file_name());
    let file = file.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (subject, issuer) = (certificate.subject_common_name(), certificate.issuer_common_name());
    let serial = certificate.serial().decimal();
    let labels = [
        ("filename", file.as_str()),
        ("filepath", path.as_str()),
        ("issuer_CN", issuer.as_deref().unwrap_or_default()),
        ("serial_number", serial.as_str()),
        ("subject_CN", subject.as_deref().unwrap_or_default()),
    ];
    let validity = certificate.validity();
    text.family("x509_cert_not_before", Kind::Gauge, "When the certificate begins, as a Unix timestamp.")
        .add(&labels, validity.not_before.timestamp());
    text.family("x509_cert_not_after", Kind::Gauge, "When the certificate ends, as a Unix timestamp.")
        .add(&labels, validity.not_after.timestamp());
}
