//! A network that breaks after every byte of what the CA says in a whole run: once, or until it is mended.

use std::collections::{BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use testkit::process::peak_memory;
use testkit::{Cut, Delivery, Deviation, RequestKind};

use crate::case::{Case, Ends, everywhere};
use crate::run::{HANGS, changes_what_it_may, remembers, says_nothing_that_steers, text};
use crate::world::{CLOCK, NAME, World, hurry};

/// Every so manyth byte is tried, and those around each end of a head and of an answer. This variable sets another number.
const STRIDE: usize = 211;
const VARIABLE: &str = "CERTKIT_TEST_RESET_STRIDE";
/// Runs at once: most of their time they wait until they try again.
const AT_ONCE: usize = 24;

/// How long the network is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    Once,
    UntilMended,
}

/// An answer of a run: its bytes, and where its head ends.
#[derive(Clone, Copy, Debug)]
struct Length {
    whole: usize,
    head: usize,
}

/// What went over the wire.
#[derive(Debug, Default)]
struct Wire {
    answers: Vec<Length>,
    /// The bytes, and one more for each end of an answer: a reset behind it is not one before the next.
    places: usize,
    is_broken: bool,
    is_mended: bool,
    /// Is fast from then on.
    clock: Option<PathBuf>,
}

#[test]
fn a_reset_after_any_byte_of_an_answer_costs_nothing_but_a_run() {
    let stride = std::env::var(VARIABLE).map_or(STRIDE, |stride| stride.parse().unwrap());
    let places = places(&lengths(), stride);
    let both = [Broken::Once, Broken::UntilMended];
    let all: VecDeque<_> = places.iter().flat_map(|place| both.map(|broken| (*place, broken))).collect();
    assert!(all.len() >= 150, "{all:?}");
    let (count, waiting, wrong, ends) = (all.len(), Mutex::new(all), Mutex::new(Vec::new()), Mutex::new((0, 0)));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some((place, broken)) = waiting.lock().unwrap().pop_front() else { return };
                    match catch_unwind(AssertUnwindSafe(|| reset_after(place, broken))) {
                        Ok(true) => ends.lock().unwrap().0 += 1,
                        Ok(false) => ends.lock().unwrap().1 += 1,
                        Err(panic) => {
                            let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                            wrong.lock().unwrap().push(format!("after {place} bytes, {broken:?}: {text}"));
                        }
                    }
                }
            });
        }
    });
    let (wrong, (renewed, failed)) = (wrong.into_inner().unwrap(), ends.into_inner().unwrap());
    let shown = format!("{count} resets: {renewed} runs renewed all the same, after {failed} the next one did");
    println!("{shown}");
    assert!(wrong.is_empty(), "{shown}; {} went wrong:\n{}", wrong.len(), wrong.join("\n"));
    // A network that breaks for good ends most runs, one that breaks once not many.
    assert!(renewed > 0 && failed > 0, "{shown}");
}

/// Whether the run renewed; else the next one did, with the network mended.
fn reset_after(place: usize, broken: Broken) -> bool {
    let wire = Arc::<Mutex<Wire>>::default();
    let mut case = Case::new("", "", breaking(&wire, place, broken));
    if broken == Broken::UntilMended {
        // Some runs wait for a minute until they give up. Nobody asks for this: the clock is fast once the network is broken.
        case = case.hurries_from(RequestKind::RevokeCert);
    }
    let world = World::new(&case);
    wire.lock().unwrap().clock = (broken == Broken::UntilMended).then(|| world.path(CLOCK));
    let before = world.snapshot();
    let run = |command: &mut Command| {
        let (status, _) = peak_memory(command.spawn().unwrap(), HANGS);
        let shown = format!("status {status:?}\n--- stderr\n{}", text(&world.path("out/stderr")));
        says_nothing_that_steers(&world, &shown);
        (status, shown)
    };
    let (status, shown) = run(&mut world.command(&case));
    let renewed = status == Some(0);
    case.ends = if renewed { Ends::Renewed } else { Ends::Failed("network") };
    assert!(renewed || status == Some(1), "{shown}");
    assert!(wire.lock().unwrap().is_broken, "nothing was reset: {shown}");
    changes_what_it_may(&case, &before, &world.snapshot(), &shown);
    remembers(&case, &world, &shown);
    if !renewed {
        wire.lock().unwrap().is_mended = true;
        case = Case { ends: Ends::Renewed, hurries: None, ..case };
        // Now and not when it is due again: that an attempt failed is remembered.
        let (status, shown) = run(world.command(&case).args(["--cert-name", NAME, "--force-renewal"]));
        assert_eq!(status, Some(0), "the next run: {shown}");
        changes_what_it_may(&case, &before, &world.snapshot(), &shown);
        remembers(&case, &world, &shown);
    }
    let deployed = text(&world.path("deployed"));
    assert_eq!(deployed.lines().count(), 1, "{deployed}");
    // What the answer to an order was lost for is ordered once more; nothing else is.
    let orders = world.ca.count(RequestKind::NewOrder);
    assert!(orders <= if renewed { 1 } else { 2 }, "{orders} orders: {shown}");
    let fsck = Command::new(env!("CARGO_BIN_EXE_certkit"))
        .args(["fsck", "--config-dir"])
        .arg(world.path("etc"))
        .arg("--work-dir")
        .arg(world.path("work"))
        .arg("--logs-dir")
        .arg(world.path("log"))
        .output()
        .unwrap();
    assert_eq!(fsck.status.code(), Some(0), "{}", String::from_utf8_lossy(&fsck.stdout));
    renewed
}

/// Resets the connection of the answer in which this place is.
fn breaking(wire: &Arc<Mutex<Wire>>, place: usize, broken: Broken) -> Deviation {
    let wire = Arc::clone(wire);
    everywhere(move |asked, reply| {
        let mut wire = wire.lock().unwrap();
        let whole = reply.bytes().len();
        wire.answers.push(Length { whole, head: whole - reply.body.len() });
        let left = place.saturating_sub(wire.places);
        wire.places += whole + 1;
        // The last answer is not always as long: of two signatures one has a byte more.
        let is_here = left <= whole || asked.kind == RequestKind::Certificate;
        if !wire.is_mended && (wire.is_broken || is_here) {
            reply.delivery = Delivery::Reset(Cut::After(if wire.is_broken { 0 } else { left.min(whole) }));
            wire.is_broken = true;
            wire.clock.as_deref().into_iter().for_each(hurry);
            wire.is_mended = broken == Broken::Once;
        }
    })
}

/// The answers of a run that nothing disturbs.
fn lengths() -> Vec<Length> {
    let wire = Arc::<Mutex<Wire>>::default();
    wire.lock().unwrap().is_mended = true;
    let case = Case::new("", "", breaking(&wire, 0, Broken::Once));
    let world = World::new(&case);
    let (status, _) = peak_memory(world.command(&case).spawn().unwrap(), HANGS);
    assert_eq!(status, Some(0), "{}", text(&world.path("out/stderr")));
    let answers = wire.lock().unwrap().answers.clone();
    assert!(answers.len() >= 10, "{answers:?}");
    answers
}

/// Where it is broken: see [`STRIDE`].
fn places(answers: &[Length], stride: usize) -> BTreeSet<usize> {
    let mut places = BTreeSet::new();
    let mut begin = 0;
    for answer in answers {
        let all = begin..=begin + answer.whole;
        places.extend(all.clone().step_by(stride));
        for end in [begin, begin + answer.head, begin + answer.whole] {
            places.extend([end.saturating_sub(1), end, end + 1].into_iter().filter(|place| all.contains(place)));
        }
        begin += answer.whole + 1;
    }
    places
}
