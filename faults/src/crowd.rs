//! Many runs at once on one tree, round after round: each does its work or is refused, and at the end everything that was
//! said to be done is there, and nothing else.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Stdio;

use serde_json::Value;

use crate::look;
use crate::world::{Place, World};

/// How many lineages are renewed again and again.
const LINEAGES: usize = 10;

/// What a crowd did.
#[derive(Clone, Debug, Default)]
pub struct Crowd {
    /// How many runs there were.
    pub runs: usize,
    /// Runs that obtained or renewed a certificate.
    pub done: usize,
    /// Runs that were told that another one is at work.
    pub refused: usize,
    /// Listings, each of all certificates.
    pub listed: usize,
    /// What was not as it must be.
    pub wrong: Vec<String>,
}

/// `processes` runs at once, `rounds` times: renewals of ten lineages, five `certonly` for the same new name, and a listing
/// for every five of them.
pub fn gather(world: &World, processes: usize, rounds: usize) -> Crowd {
    let place = Place::new();
    let server = world.ca().directory_url();
    let tree = testkit::Tree::new(place.tree(), testkit::now());
    let registered = world.run(&place, &["register", "-n", "--agree-tos", "--server", &server]);
    assert_eq!(registered.code, Some(0), "{}", registered.stderr);
    let account = tree.account_ids(&server).remove(0);
    for number in 0..LINEAGES {
        let lineage = tree.lineage(&name(number)).days_left(60).server(&server).account(&account);
        lineage.webroot(place.webroot()).write();
    }
    let webroot = place.webroot().to_string_lossy().into_owned();
    let mut crowd = Crowd::default();
    let mut expected: BTreeMap<String, u32> = (0..LINEAGES).map(|number| (name(number), 1)).collect();
    for round in 0..rounds {
        let fresh = format!("new{round}.example.org");
        let mut tasks: Vec<(Option<String>, Vec<&str>)> = (0..processes)
            .map(|number| match number {
                0..5 => {
                    let certonly = ["certonly", "-n", "--webroot", "-w", &webroot, "--no-probe", "--server", &server];
                    (Some(fresh.clone()), [certonly.as_slice(), &["-d", &fresh]].concat())
                }
                _ if number % 5 == 0 => (None, vec!["certificates", "--json"]),
                _ => {
                    let renew = ["renew", "-n", "--force-renewal", "--no-random-sleep-on-renew", "--no-probe"];
                    (Some(name((round + number) % LINEAGES)), renew.to_vec())
                }
            })
            .collect();
        // Mostly the first one gets the lock: another kind of run each time.
        tasks.rotate_left(round * 7 % processes);
        let running: Vec<_> = tasks
            .into_iter()
            .map(|(lineage, arguments)| {
                let mut arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
                if let Some(lineage) = lineage.as_ref().filter(|_| arguments[0] == "renew") {
                    arguments.extend(["--cert-name".to_owned(), lineage.clone()]);
                }
                let mut command = world.command(&place, &arguments);
                command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
                (lineage, command.spawn().unwrap())
            })
            .collect();
        for (lineage, child) in running {
            let output = child.wait_with_output().unwrap();
            crowd.runs += 1;
            let told = String::from_utf8_lossy(&output.stderr);
            match (output.status.code(), lineage) {
                (Some(0), None) => crowd.read(&output.stdout),
                (Some(0), Some(_)) if is_kept(&output.stdout) => {}
                (Some(0), Some(lineage)) => {
                    crowd.done += 1;
                    *expected.entry(lineage).or_default() += 1;
                }
                (Some(1), Some(_)) if told.contains("is already running") || told.contains("is there by now") => {
                    crowd.refused += 1;
                }
                (code, lineage) => crowd.wrong.push(format!("round {round}, {lineage:?} ended with {code:?}: {told}")),
            }
        }
    }
    crowd.compare(world, &place, &expected);
    crowd
}

impl Crowd {
    /// Its row of the table, below [`HEAD`].
    pub fn row(&self) -> String {
        let Self { runs, done, refused, listed, wrong } = self;
        format!("| {runs} | {done} | {refused} | {listed} | {} |\n", wrong.len())
    }

    /// What was wrong, a line each.
    pub fn complaints(&self) -> String {
        self.wrong.iter().fold(String::new(), |mut text, wrong| {
            let _ = writeln!(text, "WRONG {wrong}");
            text
        })
    }

    /// A listing: everything in it is whole.
    fn read(&mut self, listing: &[u8]) {
        self.listed += 1;
        let document: Value = serde_json::from_slice(listing).unwrap_or_default();
        let empty = Vec::new();
        let all = |key: &str| document[key].as_array().unwrap_or(&empty);
        let is_whole = |lineage: &&Value| lineage["status"] == "valid" && lineage["version"].is_u64();
        let broken = all("lineages").iter().filter(|lineage| !is_whole(lineage));
        // What the run at work has ordered is told, as what it is.
        let problems = all("problems").iter().filter(|problem| problem["code"] != "order-pending");
        self.wrong.extend(broken.chain(problems).map(|wrong| format!("listed: {wrong}")));
        if all("lineages").len() < LINEAGES {
            self.wrong.push(format!("listed: {}", String::from_utf8_lossy(listing)));
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
pub const HEAD: &str = "| runs | certificates | refused | listings | wrong |\n|---|---|---|---|---|\n";

fn name(number: usize) -> String {
    format!("n{number}.example.org")
}

/// Whether a run found its certificate there already.
fn is_kept(stdout: &[u8]) -> bool {
    String::from_utf8_lossy(stdout).contains("not yet due for renewal")
}
