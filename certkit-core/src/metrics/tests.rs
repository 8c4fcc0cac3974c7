use std::collections::BTreeSet;
use std::path::PathBuf;

use super::*;
use crate::certificate::sample::Sample;
use crate::decision::RenewalWish;
use crate::state::{AddressMemory, DeployTarget, Event, LineageState, ServedLeaf};
use crate::state::{EndpointMemory, Serving};
use crate::{Certificate, Endpoint, Failure, FailureClass, LineageName, Outlook, PlanInput, Validity, Version, plan};

const DAY: i64 = 86_400;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

fn machine() -> MachineMetrics {
    let mut machine = MachineMetrics::new("1.2.3", TimeDelta::hours(12));
    machine.last_run = Some(RunMemory::new(at(-60), false));
    machine.last_success = Some(at(-DAY));
    machine.runs = 7;
    machine.notices_pending = Some(2);
    machine
}

/// A certificate of 90 days with so many left.
fn summary(name: &str, days_left: i64, state: LineageState) -> Summary {
    let not_after = at(days_left * DAY);
    let validity = Validity { not_before: not_after - TimeDelta::days(90), not_after };
    let input = PlanInput::new(LineageName::new(name).unwrap(), Some(validity), RenewalWish::default());
    let input = input.remembering(state);
    let entry = plan([&input], &Outlook::default(), at(0)).entries.remove(0);
    let mut summary = Summary::of(entry, input, at(0));
    summary.fullchain = Some(PathBuf::from(format!("/etc/letsencrypt/live/{name}/fullchain.pem")));
    summary
}

fn endpoint(answers: &[ServedLeaf]) -> EndpointMemory {
    let answers = answers.iter().map(|leaf| AddressMemory {
        address: None,
        leaf: *leaf,
        serial: None,
        not_after: None,
        troubles: Vec::new(),
        detail: String::new(),
    });
    EndpointMemory {
        endpoint: Endpoint::new("www.example.org", 443),
        checked_at: at(-120),
        has_served_ours: true,
        compared_with: None,
        misses: 0,
        answers: answers.collect(),
    }
}

fn text(summaries: &[Summary], detail: MetricsDetail) -> String {
    render(summaries, &machine(), detail, at(0))
}

/// Every series without its value; each has to be there once only.
fn series(text: &str) -> BTreeSet<&str> {
    let all: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.rsplit_once(' ').map(|(series, _)| series).unwrap())
        .collect();
    let distinct: BTreeSet<&str> = all.iter().copied().collect();
    assert_eq!(distinct.len(), all.len(), "{text}");
    distinct
}

#[test]
fn everything_that_is_known_of_a_certificate_is_told() {
    let mut state = LineageState::default();
    state.apply(&Event::FirstSeen { version: Version(1) }, at(-70 * DAY));
    let committed = Event::Committed {
        version: Version(2),
        not_after: at(20 * DAY),
        directory: None,
        targets: vec![DeployTarget::Hook("reload".into())],
        profile: None,
        left_out: crate::IdentifierSet::default(),
    };
    state.apply(&committed, at(-69 * DAY));
    let directory = crate::AcmeUrl::parse("https://ca.example/dir").unwrap();
    state.apply(&Event::AttemptStarted { because: "third-of-lifetime".into(), directory }, at(-600));
    state.apply(&Event::AttemptFailed { failure: Failure::new(FailureClass::ChallengeFailed, "no") }, at(-590));
    let served = vec![endpoint(&[ServedLeaf::Same]), endpoint(&[ServedLeaf::Older { version: Version(1) }])];
    state.apply(&Event::ServedRead { served }, at(-120));
    let mut one = summary("www.example.org", 20, state);
    let mut sample = Sample::new("www.example.org", "Issuer \"R\\1\"");
    sample.serial = vec![0x00, 0xff];
    one.certificate = Some(Certificate::from_der(&sample.der()).unwrap());
    let text = text(&[one], MetricsDetail::EveryCertificate);
    assert_eq!(text, include_str!("tests/one.prom"), "{text}");
}

#[test]
fn what_is_not_known_has_no_series() {
    let text = text(&[summary("a.example", 80, LineageState::default())], MetricsDetail::EveryCertificate);
    for absent in
        ["certificate_last_success", "last_attempt", "certificate_served", "endpoints", "x509_", "next_run", "NaN"]
    {
        assert!(!text.contains(absent), "{absent}: {text}");
    }
    let nothing = render(&[], &MachineMetrics::new("1.2.3", TimeDelta::hours(12)), MetricsDetail::default(), at(0));
    for absent in ["last_run", "earliest", "ratio", "notices"] {
        assert!(!nothing.contains(absent), "{absent}: {nothing}");
    }
    assert!(nothing.contains("certkit_runs_total 0\n") && nothing.contains("certkit_settings_usable 1\n"));
}

#[test]
fn an_endpoint_that_cannot_be_reached_is_no_answer_to_what_it_serves() {
    let mut state = LineageState::default();
    state.apply(&Event::ServedRead { served: vec![endpoint(&[ServedLeaf::Unreachable])] }, at(0));
    assert_eq!(Serving::of(&state.served), Serving::Unreachable);
    let text = text(&[summary("a.example", 80, state)], MetricsDetail::EveryCertificate);
    assert!(!text.contains("served_matches"), "{text}");
    assert!(text.contains("certkit_certificate_endpoints{certificate=\"a.example\",serving=\"unreachable\"} 1\n"));
}

#[test]
fn without_series_for_each_certificate_the_totals_stay() {
    let broken = Summary::of_broken("b\"\n", "no conf", false, None, at(0));
    let all =
        [summary("a.example", 9, LineageState::default()), broken, summary("c.example", -1, LineageState::default())];
    let text = text(&all, MetricsDetail::TotalsOnly);
    assert!(!text.contains("example") && !text.contains("x509"), "{text}");
    for line in [
        "certkit_certificates{condition=\"broken\"} 1",
        "certkit_certificates{condition=\"overdue\"} 1",
        "certkit_certificates{condition=\"expired\"} 1",
        "certkit_certificates{condition=\"ok\"} 0",
        "certkit_earliest_not_after_timestamp_seconds 1799913600",
        "certkit_least_remaining_lifetime_ratio 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    assert_eq!(text.matches("certkit_certificates{").count(), Condition::ALL.len());
}

#[test]
fn hostile_names_make_no_series_of_their_own_and_none_comes_twice() {
    let name = "x\"} 1\n# TYPE certkit_fake gauge\ncertkit_fake 1\n\\";
    let long = "n".repeat(5000);
    let all: Vec<Summary> = [name, name, &long, &format!("{long}2"), "", "é\u{202e}"]
        .into_iter()
        .map(|name| {
            let validity = Validity { not_before: at(-DAY), not_after: at(DAY) };
            let mut summary = Summary::of_broken(name, "broken", false, Some(validity), at(0));
            let sample = Sample::new(&name.repeat(50), "ca\"");
            summary.certificate = Some(Certificate::from_der(&sample.der()).unwrap());
            summary.fullchain = Some(PathBuf::from(format!("/{name}")));
            summary
        })
        .collect();
    let text = text(&all, MetricsDetail::EveryCertificate);
    let series = series(&text);
    assert!(!series.iter().any(|one| one.starts_with("certkit_fake")), "{text}");
    assert!(
        text.lines().all(|line| line.starts_with("# ") || line.starts_with("certkit_") || line.starts_with("x509_"))
    );
    assert!(text.lines().all(|line| line.chars().count() < 2000), "{text}");
}

#[test]
fn thousands_of_certificates_are_told_in_order() {
    let all: Vec<Summary> =
        (0..3000).map(|number| summary(&format!("n{number}.example"), number % 90, LineageState::default())).collect();
    let text = text(&all, MetricsDetail::EveryCertificate);
    assert!(series(&text).len() > 3000 * 6);
    let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    assert!(names.is_sorted(), "{names:?}");
    assert!(text.lines().filter(|line| line.starts_with("certkit_certificate_not_after_")).is_sorted());
}
