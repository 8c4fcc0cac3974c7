//! Thousands of runs on one tree, most of them killed at a random time, against a memory of what must be there that is
//! kept outside the tree: as RocksDB's crash test does it (`tools/db_crashtest.py`).
//!
//! Each step draws what is done, to which lineage, when it is killed, whether a second run works at the same time, and
//! whether an undisturbed `renew` follows, as the timer's next run. All of that comes back with the seed; at which call
//! a kill meets the process does not.

mod act;
mod dice;
mod expected;
mod tally;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::look;
use crate::operation::{self, register};
use crate::process::{Ended, Process};
use crate::reader::CertbotReader;
use crate::tracer::Run;
use crate::world::{Place, World};
use act::{Act, Step, hook, name};
use dice::Dice;
use expected::{Found, Lineage, find, serial_of};
pub use tally::{HEAD, Soak};

/// After so many wrong things the rest says nothing new.
const ENOUGH: usize = 10;

/// The four files of a version and the conf that goes with it: all that is ever under temporary names at once.
const MOST_TEMPORARY: usize = 5;

/// So many runs on so many lineages.
pub fn soak(world: &World, runs: usize, lineages: usize, seed: u64) -> Soak {
    let mut driver = Driver::begin(world, lineages, seed);
    while driver.soak.runs < runs && driver.soak.wrong.len() < ENOUGH {
        driver.step();
    }
    driver.settle();
    if let Err(what) = CertbotReader::start().read(&driver.place) {
        driver.complain("in the end", &what);
    }
    driver.soak
}

struct Driver<'w> {
    world: &'w World,
    place: Place,
    dice: Dice,
    seed: u64,
    steps: usize,
    lineages: Vec<Lineage>,
    /// Bytes of the hooks' notes that are read.
    noted: usize,
    /// How long such a run takes when nobody kills it.
    usual: BTreeMap<&'static str, Duration>,
    /// Kills since nothing was left.
    kills: usize,
    soak: Soak,
}

impl<'w> Driver<'w> {
    fn begin(world: &'w World, lineages: usize, seed: u64) -> Self {
        let place = Place::new();
        let server = world.ca().directory_url();
        let tree = testkit::Tree::new(place.tree(), testkit::now());
        let account = register(world, &place);
        let laid = |number: usize| {
            let days = if number.is_multiple_of(4) { 5 } else { 60 };
            let lineage = tree.lineage(&name(number)).days_left(days).server(&server).account(&account);
            lineage.webroot(place.webroot()).deploy_hook(&hook(&place, "laid")).write();
            let found = find(&place.tree(), &name(number)).unwrap().unwrap();
            Lineage::laid(found, days == 5)
        };
        let lineages = (0..lineages).map(laid).collect();
        let (usual, soak) = (BTreeMap::new(), Soak::default());
        Self { world, place, dice: Dice::new(seed), seed, steps: 0, lineages, noted: 0, usual, kills: 0, soak }
    }

    fn step(&mut self) {
        self.steps += 1;
        let step = Step::draw(&mut self.dice, self.lineages.len());
        let act = self.act(&step);
        let second = step.second.and_then(|(subject, edits, later)| Some((self.second(subject, edits, &act)?, later)));
        // A key that the CA was asked to take a moment ago may still be on its way.
        operation::let_time_pass(&self.place.tree());
        let before: Vec<Option<Found>> = self.lineages.iter().map(|lineage| lineage.seen.clone()).collect();
        let may_go = act.lineage().is_some_and(|number| self.lineages[number].may_go());
        for act in [Some(&act), second.as_ref().map(|(act, _)| act)].into_iter().flatten() {
            for (number, lineage) in self.lineages.iter_mut().enumerate() {
                lineage.begin(act, act.lineage() == Some(number));
            }
        }

        let usual = self.usual.get(act.kind()).copied();
        let life = step.life.zip(usual).map(|(part, usual)| usual.mul_f64(part));
        let first = self.start(&act, "first");
        let other = second.as_ref().map(|(act, later)| {
            thread::sleep(usual.unwrap_or_default().mul_f64(*later));
            self.start(act, "second")
        });
        let ended = first.end(life);
        let other = other.map(|process| process.end(None));

        let what = format!("step {}: {act:?}{}", self.steps, if ended.killed { ", killed" } else { "" });
        let also = second.as_ref().map(|(act, _)| format!(", beside {act:?}")).unwrap_or_default();
        let what = format!("{what}{also}");
        self.note(&format!("{what}, {:?}", ended.run.code));
        self.count(&act, &ended);
        if ended.killed {
            self.kills += 1;
        }
        self.look(&what);
        self.check(&act, &ended, &before, may_go, &what);
        if let (Some((act, _)), Some(ended)) = (&second, &other) {
            self.count(act, ended);
            self.check(act, ended, &before, false, &what);
        }
        let temporary = look::temporary(&self.place.tree());
        if ended.killed && self.kills == 1 {
            self.soak.most_temporary = self.soak.most_temporary.max(temporary.len());
        }
        if temporary.len() > self.kills * MOST_TEMPORARY {
            self.complain(&what, &format!("{} kills left {temporary:?}", self.kills));
        }
        if step.settles {
            self.settle();
        }
    }

    /// What the numbers of a step mean for the lineages as they are now.
    fn act(&self, step: &Step) -> Act {
        let number = step.subject;
        let Some(found) = &self.lineages[number].seen else { return Act::Obtain(number) };
        match step.kind {
            0..15 => Act::RenewDue,
            15..42 => Act::Renew(number),
            42..52 => Act::ChangeNames(number, format!("w{}.{}", step.choice % 3, name(number))),
            52..64 => {
                let archive = self.place.tree().join("archive").join(name(number));
                let others = self.lineages[number].versions.keys().copied().filter(|version| {
                    // What was laid is of no CA that counts.
                    *version > 1
                        && *version != found.pair.version
                        && archive.join(format!("cert{version}.pem")).exists()
                });
                let others: Vec<u32> = others.collect();
                match others.get(step.choice % others.len().max(1)) {
                    Some(version) => Act::RollBack(number, *version),
                    None => Act::Renew(number),
                }
            }
            64..74 => Act::EditConf(number, self.steps.to_string()),
            74..80 => Act::WishForKey(number, ["secp384r1", "secp256r1"][step.choice % 2]),
            80..85 => Act::Repair,
            85..95 => Act::Delete(number),
            _ => Act::AccountKey,
        }
    }

    /// What works at the same time, on another lineage.
    fn second(&self, subject: usize, edits: bool, first: &Act) -> Option<Act> {
        if first.lineage() == Some(subject) || self.lineages[subject].seen.is_none() || self.lineages[subject].may_go()
        {
            return None;
        }
        Some(if edits { Act::EditConf(subject, format!("{}b", self.steps)) } else { Act::Renew(subject) })
    }

    fn start(&self, act: &Act, outputs: &str) -> Process {
        let command = self.world.command(&self.place, &act.arguments(self.world, &self.place));
        Process::start(command, self.place.path(), outputs)
    }

    fn count(&mut self, act: &Act, ended: &Ended) {
        self.soak.runs += 1;
        self.soak.killed += usize::from(ended.killed);
        let kind = self.soak.kinds.entry(act.kind()).or_default();
        kind.0 += 1;
        kind.1 += usize::from(ended.killed);
        if !ended.killed && ended.run.code == Some(0) {
            let usual = self.usual.entry(act.kind()).or_insert(ended.took);
            // Slowly, so that one slow moment of the machine does not count for long.
            *usual = (*usual * 3 + ended.took) / 4;
        }
    }

    /// What must hold at any time: every lineage is whole, and one of the things that it may be.
    fn look(&mut self, what: &str) {
        self.hear();
        let tree = self.place.tree();
        if let Some(key) = look::open_key(&tree) {
            self.complain(what, &format!("{} can be read by others", key.display()));
        }
        let known: BTreeSet<String> = (0..self.lineages.len()).map(name).collect();
        if let Some(other) = look::lineages(&tree).into_iter().find(|other| !known.contains(other)) {
            self.complain(what, &format!("{other} is there, which nobody wanted"));
        }
        for number in 0..self.lineages.len() {
            let result = find(&tree, &name(number)).and_then(|found| {
                self.is_issued(number, found.as_ref())?;
                self.lineages[number].compare(found)
            });
            if let Err(wrong) = result {
                self.complain(what, &format!("{}: {wrong}", name(number)));
            }
        }
        let listing = self.list();
        let broken = listing["lineages"].as_array().into_iter().flatten().find(|one| !one["error"].is_null());
        if let Some(broken) = broken {
            self.complain(what, &format!("listed as broken: {broken}"));
        }
    }

    /// A serial number that is new is that of a certificate which the CA has issued.
    fn is_issued(&self, number: usize, found: Option<&Found>) -> Result<(), String> {
        let Some(found) = found else { return Ok(()) };
        let serial = &found.pair.serial;
        if self.lineages[number].versions.values().any(|(known, _)| known == serial) {
            return Ok(());
        }
        let status = self.world.ca().certificate_status(&serial.replace(':', ""));
        match status {
            Some(status) if status["Status"] == "Valid" => Ok(()),
            status => Err(format!("the CA says of {serial}: {status:?}")),
        }
    }

    /// Reads what hooks have noted since it was last read.
    fn hear(&mut self) {
        let notes = fs::read_to_string(self.place.path().join("acknowledged")).unwrap_or_default();
        for line in notes[self.noted..].lines() {
            let mut parts = line.splitn(3, ' ');
            let (name, link, pem) = (parts.next(), parts.next(), parts.next());
            let Some(number) = (0..self.lineages.len()).find(|number| Some(act::name(*number).as_str()) == name) else {
                continue;
            };
            let version = link.and_then(|link| link.rsplit_once("/cert")?.1.strip_suffix(".pem")?.parse().ok());
            let serial = pem.and_then(|pem| serial_of(pem.replace('|', "\n").as_bytes()).ok());
            // A hook that lives on after its run may find nothing any more.
            if let (Some(version), Some(serial)) = (version, serial) {
                self.lineages[number].acknowledge(version, &serial);
                self.soak.acknowledged += 1;
            }
        }
        self.noted = notes.len();
    }

    /// What a run said, and what it therefore must have done.
    fn check(&mut self, act: &Act, ended: &Ended, before: &[Option<Found>], may_go: bool, what: &str) {
        let run = &ended.run;
        let said = format!("{what}: it ended with {:?}: {}", run.code, run.stderr);
        if ended.hung || run.stderr.contains("panicked") {
            return self.complain(&said, "it hangs or panics");
        }
        let found = act.lineage().and_then(|number| self.lineages[number].seen.clone());
        let old = act.lineage().and_then(|number| before[number].clone());
        if ended.killed {
            if act.lineage().is_some() {
                *(if found == old { &mut self.soak.old } else { &mut self.soak.new }) += 1;
            }
            return;
        }
        if run.code == Some(1) && run.stderr.contains("is already running") {
            self.soak.refused += 1;
            return;
        }
        if run.code != Some(0) {
            // A deletion that was interrupted is finished by the next run, whatever that one was to do.
            if !may_go && held(run).is_empty() {
                self.complain(&said, "undisturbed, it fails");
            }
            return;
        }
        let is_done = match act {
            Act::Renew(_) => found.as_ref().zip(old.as_ref()).is_some_and(|(found, old)| {
                found.pair.version > old.pair.version && found.pair.serial != old.pair.serial
            }),
            Act::Obtain(_) => found.is_some(),
            Act::ChangeNames(_, other) => found.is_some_and(|found| found.names.contains(other)),
            Act::RollBack(number, to) => found.is_some_and(|found| {
                self.lineages[*number].versions.get(to).is_some_and(|(serial, _)| *serial == found.pair.serial)
            }),
            Act::EditConf(_, mark) => found.is_some_and(|found| found.mark == *mark),
            Act::Delete(number) => found.is_none() && look::traces(&self.place.tree(), &name(*number)).is_empty(),
            Act::RenewDue | Act::WishForKey(..) | Act::Repair | Act::AccountKey => true,
        };
        if !is_done {
            self.complain(&said, "it said that it is done, and it is not");
        }
    }

    /// An undisturbed `renew` ends and cleans everything.
    fn settle(&mut self) {
        operation::let_time_pass(&self.place.tree());
        for lineage in &mut self.lineages {
            lineage.begin(&Act::RenewDue, false);
        }
        let what = format!("the next run after step {}", self.steps);
        let ended = self.start(&Act::RenewDue, "first").end(None);
        self.note(&format!("{what}, {:?}", ended.run.code));
        self.soak.settled += 1;
        self.look(&what);
        let held = held(&ended.run);
        if ended.run.code != Some(0) && held.is_empty() {
            self.complain(&what, &format!("it fails: {:?} {}", ended.run.code, ended.run.stderr));
        }
        let temporary = look::temporary(&self.place.tree());
        if !temporary.is_empty() {
            self.complain(&what, &format!("it leaves {temporary:?}"));
        }
        self.ask_again(&what);
        self.force(&what, &held);
        self.insist_again(&what);
        let left = look::leftovers(&self.place.tree());
        if !left.is_empty() {
            self.complain(&what, &format!("{left:?} are left"));
        }
        for number in 0..self.lineages.len() {
            let lineage = &mut self.lineages[number];
            lineage.settle();
            let version = lineage.seen.as_ref().map_or(0, |found| found.pair.version);
            // What was laid was deployed before.
            if version > 1 && !lineage.is_acknowledged() {
                self.complain(&what, &format!("no deploy hook ran for version {version} of {}", name(number)));
            }
            if version == 0 && !look::traces(&self.place.tree(), &name(number)).is_empty() {
                let traces = look::traces(&self.place.tree(), &name(number));
                self.complain(&what, &format!("{} is gone but for {traces:?}", name(number)));
            }
        }
        let problems = self.list()["problems"].clone();
        if problems.as_array().is_none_or(|problems| !problems.is_empty()) {
            self.complain(&what, &format!("problems remain: {problems}"));
        }
        let fsck = self.world.run(&self.place, &["fsck"]);
        if fsck.code != Some(0) {
            self.complain(&what, &format!("fsck: {}{}", fsck.stdout, fsck.stderr));
        }
        self.kills = 0;
    }

    /// What was not there before, and was not obtained because its run was killed: nobody but the one who wanted it can
    /// say what it was to be.
    fn ask_again(&mut self, what: &str) {
        for number in 0..self.lineages.len() {
            if self.lineages[number].wanted && self.lineages[number].seen.is_none() {
                self.undisturbed(&Act::Obtain(number), what);
            }
        }
    }

    /// What was renewed because somebody insisted, and is not due, goes on when somebody insists again: its order and its key
    /// are kept.
    fn insist_again(&mut self, what: &str) {
        let pending = self.place.tree().join("certkit/pending");
        for number in 0..self.lineages.len() {
            if pending.join(name(number)).exists() && self.lineages[number].seen.is_some() {
                self.undisturbed(&Act::Renew(number), what);
            }
        }
    }

    /// What is due again and again, as these are, is renewed when somebody insists.
    fn force(&mut self, what: &str, held: &[String]) {
        for number in 0..self.lineages.len() {
            if held.contains(&name(number)) {
                self.undisturbed(&Act::Renew(number), what);
            }
        }
    }

    fn undisturbed(&mut self, act: &Act, what: &str) {
        let before: Vec<Option<Found>> = self.lineages.iter().map(|lineage| lineage.seen.clone()).collect();
        for (number, lineage) in self.lineages.iter_mut().enumerate() {
            lineage.begin(act, act.lineage() == Some(number));
        }
        let ended = self.start(act, "first").end(None);
        let what = format!("{what}, then {act:?}");
        self.note(&format!("{what}, {:?}", ended.run.code));
        self.look(&what);
        self.check(act, &ended, &before, false, &what);
    }

    fn list(&self) -> Value {
        let run = self.world.run(&self.place, &["certificates", "--json"]);
        serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("the tree cannot be listed: {run:?}"))
    }

    /// For whoever looks into what was wrong: the steps lie beside the tree.
    fn note(&self, what: &str) {
        let mut steps = fs::OpenOptions::new().create(true).append(true).open(self.place.path().join("steps")).unwrap();
        writeln!(steps, "{what}").unwrap();
    }

    /// Notes what is wrong, and keeps the tree of the first time.
    fn complain(&mut self, what: &str, wrong: &str) {
        let kept = if self.soak.wrong.is_empty() { self.keep() } else { String::new() };
        self.soak.wrong.push(format!("seed {}, {what}: {wrong}{kept}", self.seed));
    }

    fn keep(&self) -> String {
        let kept: PathBuf = std::env::temp_dir().join(format!("certkit-soak-{}-{}", self.seed, self.steps));
        let copied = Command::new("cp").arg("-a").args([self.place.path(), Path::new(&kept)]).status();
        match copied {
            Ok(status) if status.success() => format!(" (the tree is kept in {})", kept.display()),
            _ => String::new(),
        }
    }
}

/// The lineages that a run would have renewed and did not, because that was done too often, where this is all that was
/// wrong.
fn held(run: &Run) -> Vec<String> {
    let document: Value = serde_json::from_str(&run.stdout).unwrap_or_default();
    let list = |key: &str| document[key].as_array().cloned().unwrap_or_default();
    let held = list("held");
    if !list("failed").is_empty() || held.iter().any(|one| one["by"] != "loop-guard") {
        return Vec::new();
    }
    held.iter().filter_map(|one| Some(one["name"].as_str()?.to_owned())).collect()
}
