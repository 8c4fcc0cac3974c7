//! Many runs at once on one tree, round after round: each does its work when it is its turn, others read meanwhile, and at
//! the end everything that was said to be done is there, and nothing else.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::look;
use crate::operation::register;
use crate::tracer::Run;
use crate::world::{Place, World};

/// How many lineages are renewed again and again.
const LINEAGES: usize = 10;

/// So many of them want the same new certificate.
const SAME: usize = 5;

/// Each of so many lists and does nothing else.
const EACH_READS: usize = 5;

/// Far above what waiting for one's turn takes.
const PATIENCE: Duration = Duration::from_secs(900);

/// What a crowd did.
#[derive(Clone, Debug, Default)]
pub struct Crowd {
    /// How many runs there were that came to their turn.
    pub runs: usize,
    /// Those that obtained or renewed a certificate.
    pub done: usize,
    /// Those that found what they wanted.
    pub kept: usize,
    /// How often one was told that another one is at work.
    pub refused: usize,
    /// Listings, each of all certificates.
    pub listed: usize,
    /// What was not as it must be.
    pub wrong: Vec<String>,
}

/// What one of them wants.
enum Task {
    Renew(String),
    Obtain(String),
    List,
}

/// `processes` runs at once, `rounds` times: five `certonly` for the same new name, renewals of ten lineages, and beginning
/// with the tenth each fifth lists all the time. Who is refused tries again until it is its turn.
pub fn gather(world: &World, processes: usize, rounds: usize) -> Crowd {
    let place = Place::new();
    let server = world.ca().directory_url();
    let tree = testkit::Tree::new(place.tree(), testkit::now());
    let account = register(world, &place);
    for number in 0..LINEAGES {
        let lineage = tree.lineage(&name(number)).days_left(60).server(&server).account(&account);
        lineage.webroot(place.webroot()).write();
    }
    let crowd = Mutex::new(Crowd::default());
    let expected: Mutex<BTreeMap<String, u32>> = Mutex::new((0..LINEAGES).map(|number| (name(number), 1)).collect());
    for round in 0..rounds {
        let tasks = (0..processes).map(|number| match number {
            0..SAME => Task::Obtain(format!("new{round}.example.org")),
            _ if number >= 2 * SAME && number % EACH_READS == 0 => Task::List,
            _ => Task::Renew(name((round + number) % LINEAGES)),
        });
        let mut tasks: Vec<Task> = tasks.collect();
        // Mostly the first one gets the lock first: another kind of run each time.
        tasks.rotate_left(round * 7 % processes);
        let working = AtomicUsize::new(tasks.iter().filter(|task| !matches!(task, Task::List)).count());
        thread::scope(|scope| {
            for (number, task) in tasks.iter().enumerate() {
                let (crowd, expected, working, place) = (&crowd, &expected, &working, &place);
                // Not all in step, and the processor is for those at work.
                let pause = Duration::from_millis(250 + 30 * number as u64);
                scope.spawn(move || match task.lineage() {
                    None => list(world, place, crowd, working, pause),
                    Some(lineage) => {
                        let arguments = task.arguments(place, &world.ca().directory_url());
                        match in_turn(world, place, &arguments, crowd, pause) {
                            Ok(true) => *expected.lock().unwrap().entry(lineage.to_owned()).or_default() += 1,
                            Ok(false) => crowd.lock().unwrap().kept += 1,
                            Err(what) => {
                                crowd.lock().unwrap().wrong.push(format!("round {round}, {lineage}: {what}"));
                            }
                        }
                        working.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
    }
    let mut crowd = crowd.into_inner().unwrap();
    crowd.compare(world, &place, &expected.into_inner().unwrap());
    crowd
}

impl Task {
    /// What it works on; none when it only reads.
    fn lineage(&self) -> Option<&str> {
        match self {
            Self::Renew(lineage) | Self::Obtain(lineage) => Some(lineage),
            Self::List => None,
        }
    }

    fn arguments(&self, place: &Place, server: &str) -> Vec<String> {
        let webroot = place.webroot().to_string_lossy().into_owned();
        let arguments = match self {
            Self::Renew(lineage) => {
                vec!["renew", "--force-renewal", "--no-random-sleep-on-renew", "--no-probe", "--cert-name", lineage]
            }
            Self::Obtain(lineage) => {
                vec!["certonly", "--webroot", "-w", &webroot, "--no-probe", "--server", server, "-d", lineage]
            }
            Self::List => vec!["certificates", "--json"],
        };
        arguments.into_iter().chain(["-n"]).map(str::to_owned).collect()
    }
}

/// Runs until it is not refused: whether it made a certificate, or found one.
fn in_turn(
    world: &World,
    place: &Place,
    arguments: &[String],
    crowd: &Mutex<Crowd>,
    pause: Duration,
) -> Result<bool, String> {
    let began = Instant::now();
    loop {
        let run = run(world, place, arguments);
        let is_refused = run.code == Some(1) && run.stderr.contains("is already running");
        {
            let mut crowd = crowd.lock().unwrap();
            match run.code {
                Some(0) => {
                    let is_kept = run.stdout.contains("not yet due for renewal");
                    crowd.runs += 1;
                    crowd.done += usize::from(!is_kept);
                    return Ok(!is_kept);
                }
                _ if is_refused => crowd.refused += 1,
                code => return Err(format!("ended with {code:?}: {}", run.stderr)),
            }
        }
        if began.elapsed() > PATIENCE {
            return Err("its turn never came".into());
        }
        thread::sleep(pause);
    }
}

/// Lists for as long as anybody works.
fn list(world: &World, place: &Place, crowd: &Mutex<Crowd>, working: &AtomicUsize, pause: Duration) {
    while working.load(Ordering::SeqCst) > 0 {
        let run = run(world, place, &Task::List.arguments(place, ""));
        crowd.lock().unwrap().read(&run);
        thread::sleep(pause);
    }
}

fn run(world: &World, place: &Place, arguments: &[String]) -> Run {
    world.run(place, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

impl Crowd {
    /// Its row of the table, below [`HEAD`].
    pub fn row(&self) -> String {
        let Self { runs, done, kept, refused, listed, wrong } = self;
        format!("| {runs} | {done} | {kept} | {refused} | {listed} | {} |\n", wrong.len())
    }

    /// What was wrong, a line each.
    pub fn complaints(&self) -> String {
        self.wrong.iter().fold(String::new(), |mut text, wrong| {
            let _ = writeln!(text, "WRONG {wrong}");
            text
        })
    }

    /// A listing: everything in it is whole.
    fn read(&mut self, run: &Run) {
        self.listed += 1;
        let document: Value = serde_json::from_str(&run.stdout).unwrap_or_default();
        let empty = Vec::new();
        let all = |key: &str| document[key].as_array().unwrap_or(&empty);
        // This CA's certificates begin in the second in which they are issued: after a listing has looked at the clock, too.
        let is_whole = |one: &&Value| {
            (one["status"] == "valid" || one["status"] == "not-yet-valid")
                && one["error"].is_null()
                && one["version"].is_u64()
        };
        let broken = all("lineages").iter().filter(|lineage| !is_whole(lineage));
        // What the run at work has ordered is told, as what it is.
        let problems = all("problems").iter().filter(|problem| problem["code"] != "order-pending");
        self.wrong.extend(broken.chain(problems).map(|wrong| format!("listed: {wrong}")));
        if all("lineages").len() < LINEAGES {
            self.wrong.push(format!("listed: {run:?}"));
        }
    }

    /// At rest there is what was said to be done, by one order each.
    fn compare(&mut self, world: &World, place: &Place, expected: &BTreeMap<String, u32>) {
        match look::live(&place.tree()) {
            Ok(live) => {
                let found: BTreeMap<_, _> = live.into_iter().map(|(name, pair)| (name, pair.version)).collect();
                if found != *expected {
                    self.wrong.push(format!("{found:?} is live instead of {expected:?}"));
                }
            }
            Err(what) => self.wrong.push(what),
        }
        let orders = world.ca().orders_placed();
        if orders != self.done {
            self.wrong.push(format!("{orders} orders for {} certificates", self.done));
        }
        let fsck = world.run(place, &["fsck"]);
        if fsck.code != Some(0) {
            self.wrong.push(format!("fsck: {}{}", fsck.stdout, fsck.stderr));
        }
    }
}

/// The head of the table.
pub const HEAD: &str = "| runs | certificates | found done | refused and tried again | listings meanwhile | wrong |\n|---|---|---|---|---|---|\n";

fn name(number: usize) -> String {
    format!("n{number}.example.org")
}
