use super::*;
use crate::decision::{Cadence, RenewalWish};
use crate::state::OrderScope;

const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn days(number: i64) -> TimeDelta {
    TimeDelta::days(number)
}

fn certificate(name: &str, left: i64) -> PlanInput {
    let not_after = now() + days(left);
    let validity = Validity { not_before: not_after - days(90), not_after };
    let mut input = PlanInput::new(LineageName::new(name).unwrap(), Some(validity), RenewalWish::new(None, true));
    let identifiers = [name.parse().unwrap()].into_iter().collect();
    input.authorities =
        vec![OrderScope::new(AcmeUrl::parse(LETS_ENCRYPT).unwrap(), "7", identifiers, vec!["example".to_owned()])];
    input
}

fn exact() -> Outlook {
    Outlook::new(Default::default(), Cadence::exact())
}

fn told(inputs: &[PlanInput], outlook: &Outlook, until: i64, lifetime: i64) -> Vec<(String, i64)> {
    let forecast = forecast(inputs, outlook, now(), now() + days(until), &|_, _| days(lifetime));
    forecast.renewals.iter().map(|one| (one.name.to_string(), (one.at - now()).num_hours())).collect()
}

#[test]
fn a_certificate_is_renewed_when_a_third_of_each_lifetime_is_left() {
    let expected = [30, 60, 90, 120].map(|day| ("a.example".to_owned(), day * 24));
    assert_eq!(told(&[certificate("a.example", 60)], &exact(), 120, 45), expected);
    let never = { PlanInput { wish: RenewalWish::new(None, false), ..certificate("a.example", 60) } };
    assert_eq!(told(&[never], &exact(), 120, 45), []);
}

#[test]
fn runs_come_at_intervals_and_the_first_one_now() {
    let outlook = Outlook::new(Default::default(), Cadence::every(days(1)));
    let mut due = certificate("due.example", 20);
    let mut later = certificate("later.example", 35);
    for input in [&mut due, &mut later] {
        let validity = input.validity.as_mut().unwrap();
        validity.not_before += TimeDelta::hours(5);
        validity.not_after += TimeDelta::hours(5);
    }
    let told = told(&[later, due], &outlook, 30, 90);
    assert_eq!(told, [("due.example".to_owned(), 0), ("later.example".to_owned(), 6 * 24)]);
}

#[test]
fn what_the_next_run_would_be_too_late_for_is_renewed_by_the_one_before() {
    let outlook = Outlook::new(Default::default(), Cadence::every(days(3)));
    // Due after half of six days; the next run after that would leave less than an eighth.
    let mut input = certificate("short.example", 6);
    input.validity.as_mut().unwrap().not_before = now();
    let first = |outlook: &Outlook| told(std::slice::from_ref(&input), outlook, 5, 90)[0].1;
    assert_eq!(first(&outlook), 3 * 24);
    assert_eq!(first(&Outlook::new(Default::default(), Cadence::every(days(2)))), 4 * 24);
    let outlook = Outlook::new(Default::default(), Cadence::every(TimeDelta::hours(66)));
    assert_eq!(first(&outlook), 66, "at 132 hours less than an eighth would be left");
}

#[test]
fn new_certificates_wait_for_the_limits_of_the_ca_and_renewals_do_not() {
    let inputs: Vec<PlanInput> =
        (0..60).map(|number| PlanInput { validity: None, ..certificate(&format!("n{number}.example"), 90) }).collect();
    let forecast = forecast(&inputs, &exact(), now(), now() + days(59), &|_, _| days(90));
    assert_eq!(forecast.renewals.len(), 60, "sixty days are not over before the first is due again");
    let days_told = forecast.days();
    assert_eq!((days_told[0].renewals, days_told[0].waited), (50 + 4, 4), "one in 202 minutes until midnight");
    assert_eq!((days_told[1].renewals, days_told[1].waited), (6, 6));
    let scarce = &forecast.limits[0];
    assert_eq!(
        (scarce.limit.kind, scarce.left, scarce.subject.as_str()),
        (LimitKind::CertificatesPerRegisteredDomain, 0, "example")
    );
    let due: Vec<PlanInput> = (0..60).map(|number| certificate(&format!("n{number}.example"), 20)).collect();
    let forecast = super::forecast(&due, &exact(), now(), now() + days(1), &|_, _| days(90));
    assert!(forecast.days()[0].waited == 0 && forecast.renewals.len() == 60);
    assert!(forecast.limits.iter().all(|one| one.limit.kind == LimitKind::CertificatesPerExactSet), "{forecast:?}");
}

#[test]
fn the_advice_of_the_ca_is_carried_on_in_parts_of_the_lifetime_and_with_the_same_seed() {
    let mut input = certificate("a.example", 60);
    input.ari_id = Some("id".to_owned());
    let window = SuggestedWindow::new(now() + days(29), now() + days(31)).unwrap();
    input.state.renewal_information = Some(RenewalInformation::answered("id", window, None, now()));
    let forecast = forecast(&[input.clone()], &exact(), now(), now() + days(70), &|_, _| days(45));
    let [first, second] = forecast.renewals.as_slice() else { panic!("{forecast:?}") };
    assert_eq!((first.at, first.kind), (window.instant(input.seed), OrderKind::WithinWindow));
    let after = second.at - first.at;
    assert!(days(45) * 59 / 90 <= after && after < days(45) * 61 / 90 + TimeDelta::seconds(1), "{after}");
    assert_eq!(second.kind, OrderKind::WithinWindow);

    let at_once = SuggestedWindow::new(now() - days(2), now() - days(1)).unwrap();
    let mut revoked = certificate("a.example", 80);
    revoked.ari_id = Some("id".to_owned());
    revoked.state.renewal_information = Some(RenewalInformation::answered("id", at_once, None, now()));
    let told = told(&[revoked], &exact(), 70, 90);
    assert_eq!(told, [("a.example".to_owned(), 0), ("a.example".to_owned(), 60 * 24)], "its successor lives as usual");
}

#[test]
fn an_absurd_request_ends() {
    let inputs: Vec<PlanInput> = (0..50).map(|number| certificate(&format!("n{number}.example"), 60)).collect();
    let far = DateTime::<Utc>::MAX_UTC;
    let outlook = Outlook::new(Default::default(), Cadence::every(days(7)));
    let forecast = at_most(500, &inputs, &outlook, (now(), far), &|_, _| TimeDelta::MAX);
    assert!((500..550).contains(&forecast.renewals.len()) && forecast.until < far, "{}", forecast.renewals.len());
    assert!(forecast.renewals.last().is_some_and(|last| last.at < forecast.until));
}

#[test]
fn what_is_too_slow_for_a_lifetime_is_named() {
    let outlook = |every: TimeDelta| Outlook::new(Default::default(), Cadence::every(every));
    let mut input = certificate("a.example", 60);
    let codes = |input: &PlanInput, every: TimeDelta, lifetime: TimeDelta| -> Vec<&'static str> {
        obstacles(input, &outlook(every), lifetime).iter().map(Obstacle::code).collect()
    };
    assert_eq!(codes(&input, days(7), days(45)), [""; 0]);
    assert_eq!(codes(&input, days(7), days(6)), ["run-too-rarely"]);
    input.wish.renew_before_expiry = Some("30 days".to_owned());
    assert_eq!(codes(&input, days(1), days(90)), [""; 0]);
    assert_eq!(codes(&input, days(1), days(64)), [""; 0]);
    assert_eq!(
        obstacles(&input, &outlook(days(1)), days(45)),
        [Obstacle::DaysTooMany { setting: "30 days".to_owned(), every: days(15) }]
    );
    input.wish.renew_before_expiry = Some("60 days".to_owned());
    assert_eq!(codes(&input, days(1), days(45)), ["renew-before-expiry-without-effect"]);
    input.wish.never = true;
    assert_eq!(codes(&input, days(1), days(45)), [""; 0]);

    let of_cron = |every: i64, lifetime: i64| Obstacle::of_renewer("a line\u{1b}", days(every), days(lifetime));
    assert_eq!(of_cron(7, 45), None);
    let monthly = of_cron(31, 64).unwrap();
    assert_eq!(monthly.what(), "a line\\u{1b} comes only every 31 days, which leaves no second try");
    assert!(
        Obstacle::of_hook(days(7), days(45)).is_some() && Obstacle::of_hook(TimeDelta::hours(1), days(6)).is_none()
    );
    for obstacle in [monthly, Obstacle::HookTooSlow { limit: days(7) }] {
        assert!(!obstacle.what().ends_with('.') && !obstacle.cure().ends_with('.'));
    }
}
