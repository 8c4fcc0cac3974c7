use super::*;
use crate::decision::limits::OrderKind;
use crate::decision::{DueDecision, DueReason, RenewalWish};
use crate::state::{AddressMemory, Event, ServedLeaf, ServedTrouble};
use crate::{Endpoint, Failure, FailureClass, Hindrance, LineageName, PlanEntry, PlanInput, Version};

fn at(hours: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap() + TimeDelta::hours(hours)
}

/// A certificate that lives for so many hours from 0 on and is due at `due`, seen at `now`.
fn summary(lifetime: i64, due: i64, now: i64, served: Vec<EndpointMemory>) -> Summary {
    let name = LineageName::new("a.example").unwrap();
    let mut input = PlanInput::new(name.clone(), None, RenewalWish::new(None, true));
    input.validity = Some(Validity { not_before: at(0), not_after: at(lifetime) });
    input.state.served = served;
    let because = DueReason::ThirdOfLifetime;
    let step = match now >= due {
        true => Step::Attempt { because: because.clone(), directory: None, kind: OrderKind::New },
        false => Step::NotDue { until: Some(at(due)), because: because.clone() },
    };
    let entry = PlanEntry { name, step, due: DueDecision::at(at(due), because), wake: None };
    Summary::of(entry, input, at(now))
}

fn told(lifetime: i64, due: i64, now: i64) -> (CheckLevel, String) {
    let checked = check(&summary(lifetime, due, now, Vec::new()), at(now));
    (checked.level, checked.concerns.first().map(|one| one.what.clone()).unwrap_or_default())
}

#[test]
fn thresholds_are_shares_of_the_lifetime_whether_it_is_six_days_or_half_a_year() {
    // 160 hours: due at half, grace of 16 hours, an eighth is 20 hours, a twentieth 8.
    for (now, level, says) in [
        (79, CheckLevel::Ok, ""),
        (81, CheckLevel::Ok, ""),
        (95, CheckLevel::Ok, ""),
        (96, CheckLevel::Warning, "it is due for 16 hours and was not renewed; 2 days are left"),
        (140, CheckLevel::Critical, "less than an eighth of its life is left: 20 hours"),
        (152, CheckLevel::Critical, "less than a twentieth of its life is left: 8 hours"),
        (161, CheckLevel::Critical, "it expired 60 minutes ago"),
    ] {
        assert_eq!(told(160, 80, now), (level, says.to_owned()), "{now}");
    }
    // 199 days: due at a third, grace of a day.
    let (life, due) = (199 * 24, 133 * 24);
    assert_eq!(told(life, due, due + 23).0, CheckLevel::Ok);
    assert_eq!(told(life, due, due + 24).0, CheckLevel::Warning);
    assert_eq!(told(life, due, 174 * 24).0, CheckLevel::Warning);
    assert_eq!(told(life, due, 175 * 24).0, CheckLevel::Critical);
}

#[test]
fn a_renewal_that_only_the_owner_can_cure_is_a_warning_at_once_and_what_is_wanted_late_is_none_before_that() {
    let mut failing = summary(160, 80, 81, Vec::new());
    if let Some(planned) = &mut failing.planned {
        let failure = Failure::new(FailureClass::ChallengeSetup, "port 80 is taken");
        planned.1.state.apply(&Event::AttemptFailed { failure }, at(81));
    }
    let checked = check(&failing, at(81));
    assert_eq!(checked.level, CheckLevel::Warning);
    let says = "its renewal fails, and 3 days are left: the challenge could not be set up on this machine";
    assert_eq!(checked.concerns[0].what, says);
    assert_eq!(told(2160, 2100, 2099).0, CheckLevel::Ok, "its owner wants it renewed 60 hours before the end");
}

fn looked(endpoint: Endpoint, leaf: ServedLeaf, troubles: &[ServedTrouble]) -> EndpointMemory {
    let mut answer = AddressMemory::new("127.0.0.2:443".parse().unwrap(), leaf);
    answer.troubles = troubles.to_vec();
    EndpointMemory::looked(endpoint, vec![answer], Some(Version(2)), None, at(0))
}

#[test]
fn what_is_served_where_it_counts_is_critical_and_elsewhere_it_is_nothing() {
    let level = |memory: EndpointMemory| {
        let checked = check(&summary(160, 80, 1, vec![memory]), at(1));
        (checked.level, checked.concerns.first().map(|one| one.what.clone()).unwrap_or_default())
    };
    let ours = || Endpoint::new("a.example", 443);
    let older = ServedLeaf::Older { version: Version(1) };
    let says = "a.example:443 at 127.0.0.2:443 still serves version 1, not version 2";
    assert_eq!(level(looked(ours(), older, &[])), (CheckLevel::Critical, says.to_owned()));
    assert_eq!(level(looked(Endpoint::default_of("a.example"), older, &[])).0, CheckLevel::Critical);
    assert_eq!(level(looked(Endpoint::default_of("a.example"), ServedLeaf::Foreign, &[])).0, CheckLevel::Ok);
    assert_eq!(level(looked(ours(), ServedLeaf::Unreachable, &[])).0, CheckLevel::Warning);
    assert_eq!(level(looked(ours(), ServedLeaf::Same, &[ServedTrouble::OtherWithoutSni])).0, CheckLevel::Ok);
    assert_eq!(level(looked(ours(), ServedLeaf::Same, &[ServedTrouble::UnknownAuthority])).0, CheckLevel::Ok);
    assert_eq!(level(looked(ours(), ServedLeaf::Same, &[ServedTrouble::UntrustedNow])).0, CheckLevel::Critical);
    assert_eq!(level(looked(ours(), ServedLeaf::Same, &[ServedTrouble::UntrustedAtNotAfter])).0, CheckLevel::Warning);
    let (level, what) = level(looked(ours(), ServedLeaf::Same, &[ServedTrouble::IncompleteChain]));
    assert_eq!(level, CheckLevel::Critical);
    assert_eq!(what, "a.example:443 at 127.0.0.2:443 serves version 2, but an intermediate certificate is missing");
}

#[test]
fn what_cannot_be_used_is_critical_and_what_its_settings_stop_is_a_warning() {
    let unread = Summary::of_broken("a", "read /x: no\u{1b}", false, None, at(0)).hindered_by(Some(Hindrance::Rights));
    let unread = check(&unread, at(0));
    assert_eq!((unread.level, unread.concerns[0].cure.as_str()), (CheckLevel::Unknown, Hindrance::Rights.cure()));
    assert_eq!(unread.concerns[0].what, "it cannot be read: read /x: no\\u{1b}");
    let of = |by_settings| check(&Summary::of_broken("a", "no\u{1b}", by_settings, None, at(0)), at(0));
    assert_eq!((of(false).level, of(true).level), (CheckLevel::Critical, CheckLevel::Warning));
    assert!(!of(false).concerns[0].what.contains('\u{1b}'));
    assert_eq!(of(false).left, None);
}
