//! The long run: when it wakes, what it survives, and how it ends.

use std::sync::{Arc, Mutex};

use certkit_acme::renewal::{Renewer, Report, Request, RunError};
use certkit_acme::{Clock as _, Stop, StopReason, Wake, Watcher};
use certkit_core::LineageName;
use certkit_core::settings::{Origin, Settings, Sourced};
use certkit_core::state::{Event, LineageState, RevocationMemory};
use certkit_core::store::LiveSwitch;
use chrono::{DateTime, TimeDelta, Utc};
use testkit::{Answer, PebbleOptions, RequestKind};

use crate::clock::TestClock;
use crate::support::World;

const NAME: &str = "a.example.com";

/// Keeps what it is told, and acts whenever the long run goes to sleep.
struct Log<'a> {
    clock: Arc<TestClock>,
    /// When each run ended, and whether it took place.
    runs: Mutex<Vec<(DateTime<Utc>, bool)>>,
    sleeps: Mutex<Vec<DateTime<Utc>>>,
    /// Is given the number of the sleep, from 1 on, and its end.
    act: Box<dyn Fn(usize, DateTime<Utc>) + Send + Sync + 'a>,
}

impl<'a> Log<'a> {
    fn new(clock: &Arc<TestClock>, act: impl Fn(usize, DateTime<Utc>) + Send + Sync + 'a) -> Self {
        let (runs, sleeps) = (Mutex::default(), Mutex::default());
        Self { clock: Arc::clone(clock), runs, sleeps, act: Box::new(act) }
    }

    fn sleeps(&self) -> Vec<DateTime<Utc>> {
        self.sleeps.lock().unwrap().clone()
    }

    fn runs(&self) -> Vec<(DateTime<Utc>, bool)> {
        self.runs.lock().unwrap().clone()
    }
}

impl Watcher for Log<'_> {
    fn ran(&self, outcome: &Result<Report, RunError>) {
        self.runs.lock().unwrap().push((self.clock.now(), outcome.is_ok()));
    }

    fn sleeping(&self, until: DateTime<Utc>) {
        let number = {
            let mut sleeps = self.sleeps.lock().unwrap();
            sleeps.push(until);
            sleeps.len()
        };
        (self.act)(number, until);
    }
}

async fn forever(renewer: &Renewer, log: &Log<'_>, stop: &Stop) -> StopReason {
    renewer.run_forever(Request::renew(), &Wake::new(), log, stop).await
}

/// When attempts at the lineage began.
fn attempts(world: &World) -> Vec<DateTime<Utc>> {
    let history = world.store().history(&LineageName::new(NAME).unwrap()).unwrap();
    let is_attempt = |event: &Event| matches!(event, Event::AttemptStarted { .. });
    history.iter().filter(|recorded| is_attempt(&recorded.event)).map(|recorded| recorded.at).collect()
}

#[tokio::test]
async fn it_wakes_at_the_instant_at_which_a_certificate_becomes_due_and_holds_no_lock_before() {
    let world = World::with_faults(PebbleOptions::default()).await;
    let paths = world.due(NAME).left(TimeDelta::days(30) + TimeDelta::minutes(207)).write();
    let due = DateTime::from_timestamp(paths.not_after.timestamp(), 0).unwrap() - TimeDelta::days(30);
    let clock = TestClock::at(testkit::now());
    let stop = Stop::new();
    let log = Log::new(&clock, |number, until| {
        // certbot, or a run by hand, can come in between.
        drop(world.store().lock().unwrap());
        world.proxy().shift_date(until - testkit::now());
        if number == 2 {
            stop.stop(StopReason::Terminate);
        }
    });
    assert_eq!(forever(&world.renewer_at(&clock), &log, &stop).await, StopReason::Terminate);
    assert_eq!(log.sleeps()[0], due);
    assert_eq!(attempts(&world), [due]);
    assert_eq!(world.whole_version(NAME), 2);
    // Then there is nothing to do for years; it looks for what is new all the same.
    assert_eq!(log.sleeps()[1], due + TimeDelta::hours(6));
}

#[tokio::test]
async fn somebody_can_wake_it() {
    let world = World::with_faults(PebbleOptions::default()).await;
    let clock = TestClock::at(testkit::now());
    clock.stand_still();
    let (wake, stop) = (Wake::new(), Stop::new());
    let log = Log::new(&clock, |number, _| match number {
        1 => {
            world.due(NAME).write();
            wake.wake();
        }
        _ => stop.stop(StopReason::Hangup),
    });
    let reason = world.renewer_at(&clock).run_forever(Request::renew(), &wake, &log, &stop).await;
    assert_eq!((reason, log.runs().len()), (StopReason::Hangup, 2));
    assert_eq!(world.whole_version(NAME), 2);
}

#[tokio::test]
async fn a_clock_that_is_set_back_wakes_it() {
    // Until the old instant comes again nothing would be looked at, for as long as the clock was ahead.
    let world = World::with_faults(PebbleOptions::default()).await;
    let now = testkit::now();
    let (clock, stop) = (TestClock::at(now), Stop::new());
    let back = now - TimeDelta::days(20);
    clock.jump(now + TimeDelta::hours(2), back);
    let log = Log::new(&clock, |number, _| {
        if number == 2 {
            stop.stop(StopReason::Terminate);
        }
    });
    forever(&world.renewer_at(&clock), &log, &stop).await;
    assert_eq!(log.sleeps(), [now + TimeDelta::hours(6), back + TimeDelta::hours(6)]);
    assert_eq!(log.runs(), [(now, true), (back, true)]);
}

#[tokio::test]
async fn a_ca_that_is_away_for_three_days_is_asked_seldom_and_the_renewal_comes_when_it_is_back() {
    let world = World::with_faults(PebbleOptions::default()).await;
    // The outage ends about now: what Pebble issues then begins then.
    let back = testkit::now();
    let begin = back - TimeDelta::days(3);
    world.due(NAME).left(TimeDelta::days(26)).write();
    let (clock, stop) = (TestClock::at(begin), Stop::new());
    world.proxy().refuse_connections();
    let is_back = Mutex::new(false);
    let log = Log::new(&clock, |_, until| {
        if world.state(NAME).last_success.is_some() {
            stop.stop(StopReason::Terminate);
        }
        let mut is_back = is_back.lock().unwrap();
        if until >= back && !*is_back {
            *is_back = true;
            world.proxy().accept_connections();
        }
        world.proxy().shift_date(until - testkit::now());
    });
    forever(&world.renewer_at(&clock), &log, &stop).await;
    // A minute, ten, a hundred, and then a day after each failure.
    let minutes: Vec<i64> = attempts(&world).iter().map(|at| (*at - begin).num_minutes()).collect();
    assert_eq!(minutes, [0, 1, 11, 111, 1551, 2991, 4431]);
    assert_eq!(world.whole_version(NAME), 2);
    assert_eq!(world.proxy().count(RequestKind::NewOrder), 1);
    assert!(log.runs().len() <= 3 * 4 + 8, "four times a day and when there is something to do: {:?}", log.sleeps());
}

#[tokio::test]
async fn near_the_end_of_the_lifetime_it_tries_every_hour() {
    let world = World::with_faults(PebbleOptions::default()).await;
    let back = testkit::now();
    let begin = back - TimeDelta::days(2);
    // Ten days are left in the end, of which the last eighth is more than eleven.
    world.due(NAME).write();
    let (clock, stop) = (TestClock::at(begin), Stop::new());
    world.proxy().refuse_connections();
    let log = Log::new(&clock, |_, until| {
        if world.state(NAME).last_success.is_some() {
            stop.stop(StopReason::Terminate);
        } else if until >= back {
            world.proxy().accept_connections();
        }
        world.proxy().shift_date(until - testkit::now());
    });
    forever(&world.renewer_at(&clock), &log, &stop).await;
    let attempts = attempts(&world);
    let waited = *attempts.last().unwrap() - back;
    assert!(waited >= TimeDelta::zero() && waited <= TimeDelta::hours(1), "{waited}");
    // Four before the first pause of a day, which ends where the last eighth begins: after eighteen hours.
    assert!(attempts.len() <= 4 + 32, "{}", attempts.len());
    assert_eq!(world.whole_version(NAME), 2);
}

#[tokio::test]
async fn a_run_that_cannot_take_place_is_repeated_after_the_usual_pauses() {
    let world = World::with_faults(PebbleOptions::default()).await;
    world.due(NAME).write();
    let now = testkit::now();
    let (clock, stop) = (TestClock::at(now), Stop::new());
    let others = Mutex::new(Some(world.store().lock().unwrap()));
    let log = Log::new(&clock, |number, _| match number {
        4 => drop(others.lock().unwrap().take()),
        5 => stop.stop(StopReason::Interrupt),
        _ => {}
    });
    assert_eq!(forever(&world.renewer_at(&clock), &log, &stop).await, StopReason::Interrupt);
    let runs: Vec<_> = log.runs().into_iter().map(|(at, took_place)| ((at - now).num_minutes(), took_place)).collect();
    // Never more than an hour: it is this machine that is busy, not a CA.
    assert_eq!(runs, [(0, false), (1, false), (11, false), (71, false), (131, true)]);
    assert_eq!(world.whole_version(NAME), 2);
    assert_eq!(world.proxy().count(RequestKind::NewOrder), 1);
}

#[tokio::test]
async fn being_asked_to_stop_ends_its_sleep_and_its_work() {
    let world = World::with_faults(PebbleOptions::default()).await;
    let clock = TestClock::at(testkit::now());
    clock.stand_still();
    let stop = Stop::new();
    let renewer = world.renewer_at(&clock);
    let asleep = Arc::new(tokio::sync::Notify::new());
    let told = Arc::clone(&asleep);
    let log = Log::new(&clock, move |_, _| told.notify_one());
    let (reason, ()) = tokio::join!(forever(&renewer, &log, &stop), async {
        asleep.notified().await;
        stop.stop(StopReason::Terminate);
    });
    assert_eq!(reason, StopReason::Terminate);

    // In the middle of an order: what was begun is cleaned up, and the next start goes on with it.
    world.due(NAME).write();
    let stop = Stop::new();
    let asked = stop.clone();
    world.seen.when("validating", move || asked.stop(StopReason::Terminate));
    assert_eq!(forever(&renewer, &log, &stop).await, StopReason::Terminate);
    assert_eq!((log.runs().len(), log.sleeps().len()), (2, 1), "it does not say that it will go on");
    world.seen.never();
    drop(world.store().lock().unwrap());
    let stop = Stop::new();
    let asked = stop.clone();
    world.seen.when("committed", move || asked.stop(StopReason::Terminate));
    forever(&renewer, &log, &stop).await;
    assert_eq!(world.whole_version(NAME), 2);
    assert_eq!(world.proxy().count(RequestKind::NewOrder), 1);
    // Asked before it begins, it does nothing.
    let runs = log.runs().len();
    assert_eq!(forever(&renewer, &log, &stop).await, StopReason::Terminate);
    assert_eq!(log.runs().len(), runs);
}

#[tokio::test]
async fn a_window_that_the_ca_moves_to_now_is_noticed_when_it_is_to_be_asked_again() {
    let world = World::with_faults(PebbleOptions::default()).await;
    world.proxy().offer_renewal_info();
    world.due(NAME).days_left(80).write();
    let now = testkit::now();
    let (clock, stop) = (TestClock::at(now), Stop::new());
    let far = Answer::renewal_window(now + TimeDelta::days(500), now + TimeDelta::days(501)).retry_after(4 * 3600);
    let past = Answer::renewal_window(now - TimeDelta::hours(2), now - TimeDelta::hours(1)).retry_after(4 * 3600);
    world.proxy().set_default_renewal_info(far.clone());
    let id = world.lineage(NAME).certificate().unwrap().ari_id().unwrap().to_string();
    let log = Log::new(&clock, |number, until| {
        world.proxy().shift_date(until - testkit::now());
        match number {
            // Revoked en masse while it sleeps.
            1 => world.proxy().set_renewal_info(&id, past.clone()),
            2 => stop.stop(StopReason::Terminate),
            _ => {}
        }
    });
    forever(&world.renewer_at(&clock), &log, &stop).await;
    assert_eq!(log.sleeps()[0], now + TimeDelta::hours(4), "Retry-After, and not the six hours of the long run");
    assert_eq!(attempts(&world), [now + TimeDelta::hours(4)]);
    assert_eq!(world.proxy().new_orders()[0].replaces, Some(id.clone()));
    assert_eq!(world.proxy().count(RequestKind::RenewalInfo), 3, "twice, and about the successor");
}

#[tokio::test]
async fn each_run_goes_by_the_settings_as_they_are_then_and_flags_stay_on_top() {
    use std::os::unix::fs::MetadataExt as _;

    let world = World::with_faults(PebbleOptions::default()).await;
    world.proxy().offer_renewal_info();
    let now = testkit::now();
    let far = Answer::renewal_window(now + TimeDelta::days(500), now + TimeDelta::days(501));
    world.proxy().set_default_renewal_info(far);
    world.due("known.example.com").days_left(80).write();
    let clock = TestClock::at(now);
    clock.stand_still();
    let flags = |mut settings: Settings| {
        let flag = Origin::Flag { flag: "--live-switch".into() };
        settings.live_switch = settings.live_switch.with_flag(Some(Sourced::new(LiveSwitch::Links, flag)));
        settings
    };
    let renewer = Renewer::builder(world.store())
        .transport(world.transport())
        .clock(clock.clone())
        .settings_overrides(flags)
        .build()
        .unwrap();
    let (hooked, over) = (world.file("hooked"), world.file("over"));
    let hook = format!("touch {}; sleep 20; touch {}", hooked.display(), over.display());
    let folder = Mutex::new(None);
    let inode = |path: &std::path::Path| std::fs::metadata(path).unwrap().ino();
    let (wake, stop) = (Wake::new(), Stop::new());
    let log = Log::new(&clock, |number, _| match number {
        1 => {
            assert_eq!(world.proxy().count(RequestKind::RenewalInfo), 1);
            let settings = world.tree.config_dir().join("certkit/settings.toml");
            std::fs::create_dir_all(settings.parent().unwrap()).unwrap();
            let text = "renewal_information = false\nhook_time_limit = 1\nlive_switch = \"exchange\"\n";
            std::fs::write(settings, text).unwrap();
            let live = world.due(NAME).param("post_hook", &format!("'{hook}'")).write().live;
            *folder.lock().unwrap() = Some((inode(&live), live));
            wake.wake();
        }
        _ => stop.stop(StopReason::Hangup),
    });
    renewer.run_forever(Request::renew(), &wake, &log, &stop).await;
    assert_eq!(log.runs(), [(now, true), (now, true)]);
    assert_eq!(world.whole_version(NAME), 2);
    assert_eq!(world.proxy().count(RequestKind::RenewalInfo), 1, "nobody is asked any more");
    assert!(hooked.exists() && !over.exists(), "the hook is ended after a second");
    let (before, live) = folder.lock().unwrap().take().unwrap();
    assert_eq!(inode(&live), before, "link by link, as the flag says");
}

#[tokio::test]
async fn what_is_overdue_and_not_wanted_any_more_does_not_keep_it_awake() {
    // The instant of the next look at a revocation list stays behind for ever when the lists are not to be read.
    let world = World::with_faults(PebbleOptions::default()).await;
    world.due(NAME).days_left(80).write();
    let serial = world.lineage(NAME).certificate().unwrap().serial().certbot_hex();
    let now = testkit::now();
    let mut state = LineageState::default();
    let revocation = RevocationMemory::new(serial, None, now - TimeDelta::hours(1));
    let version = world.lineage(NAME).live_version().unwrap();
    state.apply(&Event::FirstSeen { version }, now - TimeDelta::hours(8));
    state.apply(&Event::RevocationRead { revocation }, now - TimeDelta::hours(7));
    world.store().lock().unwrap().save_state(&LineageName::new(NAME).unwrap(), &state).unwrap();
    world.set(NAME, "revocation_check = false\n");
    let (clock, stop) = (TestClock::at(now), Stop::new());
    let log = Log::new(&clock, |_, _| stop.stop(StopReason::Terminate));
    forever(&world.renewer_at(&clock), &log, &stop).await;
    assert_eq!(log.sleeps(), [now + TimeDelta::hours(6)]);
    assert_eq!(world.state(NAME).revocation.unwrap().next_check, now - TimeDelta::hours(1));
}

#[tokio::test]
async fn it_wakes_for_the_reminders_of_what_nothing_renews() {
    let world = World::with_faults(PebbleOptions::default()).await;
    world.due(NAME).write();
    let conf = world.tree.config_dir().join(format!("renewal/{NAME}.conf"));
    std::fs::write(&conf, std::fs::read_to_string(&conf).unwrap() + "autorenew = False\n").unwrap();
    let end = world.lineage(NAME).certificate().unwrap().validity().not_after;
    let begin = end - TimeDelta::hours(9);
    let (clock, stop) = (TestClock::at(begin), Stop::new());
    let log = Log::new(&clock, |number, _| {
        if number == 3 {
            stop.stop(StopReason::Terminate);
        }
    });
    forever(&world.renewer_at(&clock), &log, &stop).await;
    let hours: Vec<i64> = log.sleeps().iter().map(|at| (*at - begin).num_hours()).collect();
    assert_eq!(hours, [2, 4, 6], "twelve times a day: {:?}", log.sleeps());
    let (memory, _) = world.store().notice_memory().unwrap();
    assert_eq!(memory.open().map(|(_, told)| told.reminders).collect::<Vec<_>>(), [2]);
}
