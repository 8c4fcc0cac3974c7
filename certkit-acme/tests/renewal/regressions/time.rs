//! Clocks that jump, many that are due at once, and giving up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use certkit_acme::Stop;
use certkit_acme::renewal::{Observer, Outcome, Renewer, Request};
use certkit_core::decision::DueReason;
use certkit_core::state::Event;
use certkit_core::{FailureClass, LineageName};
use chrono::TimeDelta;
use testkit::{Answer, RequestKind};

use super::{NAME, clock_now, failure_class, is_renewed, world};
use crate::clock::TestClock;
use crate::support::entry;

#[tokio::test]
async fn a_clock_that_jumps_by_a_day_orders_nothing_early_and_holds_nothing_back() {
    let world = world().await;
    world.proxy().offer_renewal_info();
    world.due(NAME).write();
    // Due in two days.
    world.due("later.example.com").days_left(32).write();
    world.proxy().on(RequestKind::NewOrder).answer(Answer::server_internal().retry_after(1800));
    let now = testkit::now();
    let clock = TestClock::at(now);
    // The clock of the CA is right for this machine each time: the jump is in both, as after a hibernated host.
    let run = async |days: i64| {
        clock.set(now + TimeDelta::days(days));
        world.proxy().shift_date(TimeDelta::days(days));
        world.renewer_at(&clock).run(Request::renew(), &Stop::new()).await.unwrap()
    };
    for days in [1, -1, 1] {
        let report = run(days).await;
        assert_eq!(failure_class(&report, NAME), FailureClass::ServerUnavailable, "{days}: {report:?}");
        let Outcome::NotDue { reason, .. } = &entry(&report, "later.example.com").outcome else { panic!("{report:?}") };
        assert_eq!(*reason, DueReason::ThirdOfLifetime);
    }
    // What failed tomorrow keeps nobody from trying today, and what was to be asked the day after is asked.
    world.proxy().forget_log();
    world.proxy().clear();
    let report = run(0).await;
    assert!(is_renewed(&report, NAME), "{report:?}");
    assert!(matches!(entry(&report, "later.example.com").outcome, Outcome::NotDue { .. }), "{report:?}");
    assert_eq!(world.proxy().count(RequestKind::NewOrder), 1);
    assert_eq!(world.proxy().count(RequestKind::RenewalInfo), 3, "both, and the new certificate");
}

/// Counts the attempts under way.
#[derive(Default)]
struct Crowd {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Observer for Crowd {
    fn event(&self, _lineage: &LineageName, event: &Event) {
        match event {
            Event::AttemptStarted { .. } => {
                let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
                self.most.fetch_max(now, Ordering::Relaxed);
            }
            Event::Committed { .. } | Event::AttemptFailed { .. } => {
                self.now.fetch_sub(1, Ordering::Relaxed);
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn many_that_are_due_at_once_take_turns() {
    let world = world().await;
    for number in 0..24 {
        // All to the same second.
        world.due(&format!("n{number}.example.com")).write();
    }
    world.proxy().forget_log();
    for (parallel, most) in [(None, 4), (Some(1), 1)] {
        let crowd: Arc<Crowd> = Arc::default();
        let observer: Arc<dyn Observer> = Arc::clone(&crowd) as Arc<dyn Observer>;
        let renewer = Renewer::builder(world.store()).transport(world.transport()).observer(observer).build().unwrap();
        let mut request = Request::renew().forced();
        request.parallel_orders = parallel;
        let report = renewer.run(request, &Stop::new()).await.unwrap();
        assert!(report.is_success(), "{report:?}");
        assert!(crowd.most.load(Ordering::Relaxed) <= most, "{} at once", crowd.most.load(Ordering::Relaxed));
        assert_eq!(crowd.now.load(Ordering::Relaxed), 0);
    }
    assert_eq!(world.proxy().new_orders().len(), 48);
    assert_eq!(world.proxy().count(RequestKind::Directory), 2, "once a run");
}

#[tokio::test]
async fn giving_up_is_a_failure_in_the_report_and_in_the_memory() {
    // certmagic's doWithRetry returns nil after the last attempt.
    let world = world().await;
    world.due(NAME).days_left(29).write();
    world.proxy().on(RequestKind::Finalize).answer(Answer::server_internal());
    let start = testkit::now();
    let clock = TestClock::at(start);
    let mut dropped = 0;
    for (times, pause) in [1, 10, 100, 1440, 1440, 1440].into_iter().enumerate() {
        let report = world.renewer_at(&clock).run(Request::renew(), &Stop::new()).await.unwrap();
        assert_eq!(failure_class(&report, NAME), FailureClass::ServerUnavailable, "{times}: {report:?}");
        assert!(!report.is_success());
        let state = world.state(NAME);
        assert_eq!(state.consecutive_failures as usize, times + 1);
        assert_eq!(state.last_failure.unwrap().class, FailureClass::ServerUnavailable);
        assert_eq!(state.last_success, None);
        let Outcome::Failed { next_attempt, .. } = entry(&report, NAME).outcome else { panic!("{report:?}") };
        assert_eq!(next_attempt, Some(clock_now(&clock) + TimeDelta::minutes(pause)));
        dropped = world.seen.kinds(NAME).iter().filter(|kind| *kind == "order-dropped").count();
        // Before that instant nobody is asked, and it is no success either.
        let asked = world.proxy().log().len();
        let report = world.renewer_at(&clock).run(Request::renew(), &Stop::new()).await.unwrap();
        assert!(matches!(entry(&report, NAME).outcome, Outcome::Held { .. }) && !report.is_success(), "{report:?}");
        assert_eq!(world.proxy().log().len(), asked);
        clock.advance(TimeDelta::minutes(pause));
        world.proxy().shift_date(clock_now(&clock) - start);
    }
    assert!(dropped > 0, "an order that is never finalized is given up");
    world.proxy().clear();
    let report = world.renewer_at(&clock).run(Request::renew(), &Stop::new()).await.unwrap();
    assert!(is_renewed(&report, NAME), "{report:?}");
    assert_eq!(world.state(NAME).consecutive_failures, 0);
}
