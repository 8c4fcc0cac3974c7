//! One operation, hurt at one of its calls, looked at, and taken up by the next run.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;

use crate::call::Call;
use crate::look::{self, Live};
use crate::operation::{DUE, OTHER, Operation, Progress, RENEW};
use crate::reader::CertbotReader;
use crate::tracer::{Answer, Run};
use crate::world::{Place, World};

/// No system interrupts more calls in a row, and the standard library repeats each interrupted one for ever.
const MOST_INTERRUPTIONS: usize = 20;

/// What happens at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process is killed in its place.
    Death,
    /// It fails.
    Once(Errno),
    /// It fails, and every later one that changes the tree.
    FromThereOn(Errno),
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The process died.
    Died(Progress),
    /// The command said that it failed.
    Failed(Progress),
    /// The command said that all is well, and it is.
    Succeeded,
    /// The run had fewer calls.
    NotReached,
}

/// An operation with a place in which it can begin.
pub struct Trials<'w> {
    world: &'w World,
    reader: &'w CertbotReader,
    /// Which.
    pub operation: Operation,
    template: Place,
    before: Live,
    /// Trees that certbot has read.
    read: Mutex<HashSet<u64>>,
    /// Trees that were taken up by the next run, with the call after them.
    finished: Mutex<HashSet<(u64, String)>>,
}

impl<'w> Trials<'w> {
    /// Prepares them.
    pub fn new(world: &'w World, reader: &'w CertbotReader, operation: Operation) -> Self {
        let template = operation.prepare(world);
        let before = look::live(&template.tree()).unwrap();
        Self { world, reader, operation, template, before, read: Mutex::default(), finished: Mutex::default() }
    }

    /// How many different trees certbot has read.
    pub fn trees_read(&self) -> usize {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The calls of the undisturbed operation, which has to succeed. No key is open to others at any of them.
    pub fn calls(&self) -> Result<Vec<Call>, String> {
        let (place, before) = self.begin();
        let mut calls = Vec::new();
        let run = self.trace(&place, &mut |call| {
            calls.push(call.clone());
            Answer::Pass
        });
        if run.code != Some(0) || self.operation.progress(&place.tree(), &before)? != Progress::New {
            return Err(format!("{} does not work undisturbed: {run:?}", self.operation.name()));
        }
        let open =
            calls.iter().find(|call| look::is_key(&call.path) && call.mode.is_some_and(|mode| mode & 0o077 != 0));
        match open {
            Some(call) => Err(format!("a key is open to others for a moment: {call}, {:?}", call.mode)),
            None => Ok(calls),
        }
    }

    /// Hurts the call of this number. An error says what must not be.
    pub fn at(&self, number: usize, fault: Fault) -> Result<Outcome, String> {
        let (place, before) = self.begin();
        let mut met = None;
        let mut errors = 0;
        let run = self.trace(&place, &mut |call| {
            if call.number == number {
                met = Some(call.clone());
            }
            match fault {
                Fault::Death if call.number == number => Answer::Kill,
                Fault::Once(errno) if call.number == number => Answer::Fail(errno),
                Fault::FromThereOn(errno) if call.number >= number => {
                    errors += 1;
                    if errno == Errno::EINTR && errors > MOST_INTERRUPTIONS {
                        Answer::Pass
                    } else {
                        Answer::Fail(errno)
                    }
                }
                _ => Answer::Pass,
            }
        });
        let Some(call) = met else { return Ok(Outcome::NotReached) };
        self.judge(&place, &before, &run, &call, fault)
            .map_err(|wrong| format!("{}: {fault} at {call}: {wrong}\n{}", self.operation.name(), indented(&run)))
    }

    /// A place in which it can begin, and what is live there. A CA gives an account a new key once, so that needs an
    /// account of its own each time.
    fn begin(&self) -> (Place, Live) {
        if self.operation != Operation::AccountKey {
            return (self.template.copy(), self.before.clone());
        }
        let place = self.operation.prepare(self.world);
        let before = look::live(&place.tree()).unwrap();
        (place, before)
    }

    fn trace(&self, place: &Place, decide: &mut dyn FnMut(&Call) -> Answer) -> Run {
        self.world.trace(place, &self.operation.arguments(self.world, place.path()), decide)
    }

    fn judge(&self, place: &Place, before: &Live, run: &Run, call: &Call, fault: Fault) -> Result<Outcome, String> {
        let progress = self.look_at_once(place, before)?;
        let outcome = match fault {
            Fault::Death if run.code.is_some() => return Err("it survived".into()),
            Fault::Death => Outcome::Died(progress),
            Fault::Once(errno) | Fault::FromThereOn(errno) => self.judge_error(place, run, progress, errno)?,
        };
        let inside = call.path.strip_prefix(place.path()).unwrap_or(&call.path);
        let key = (look::signature(&place.tree()), format!("{} {}", inside.display(), fault == Fault::Death));
        if self.finished.lock().unwrap_or_else(PoisonError::into_inner).insert(key) {
            self.finish(place, before, fault == Fault::Death, call)?;
        }
        Ok(outcome)
    }

    /// What must hold at any time. `progress` of the operation is returned.
    fn look_at_once(&self, place: &Place, before: &Live) -> Result<Progress, String> {
        let tree = place.tree();
        if let Some(key) = look::open_key(&tree) {
            return Err(format!("{} can be read by others", key.display()));
        }
        self.others_are_as_before(place, before)?;
        let progress = self.operation.progress(&tree, before)?;
        let listing = self.world.run(place, &["certificates", "--json"]);
        let document: serde_json::Value =
            serde_json::from_str(&listing.stdout).map_err(|_| format!("the tree cannot be listed: {listing:?}"))?;
        let broken = document["lineages"].as_array().into_iter().flatten().find(|lineage| !lineage["error"].is_null());
        if let Some(broken) = broken {
            return Err(format!("a lineage is broken: {broken}"));
        }
        if self.read.lock().unwrap_or_else(PoisonError::into_inner).insert(look::signature(&tree)) {
            self.reader.read(place)?;
        }
        Ok(progress)
    }

    /// Every lineage is whole, and the one that nothing happens to is as it was.
    fn others_are_as_before(&self, place: &Place, before: &Live) -> Result<(), String> {
        let live = look::live(&place.tree())?;
        if live.get(OTHER) != before.get(OTHER) {
            return Err(format!("{OTHER} has changed"));
        }
        let owners = format!("live/{DUE}/owner.txt");
        if self.template.tree().join(&owners).exists() && !place.tree().join(&owners).exists() {
            return Err("the owner's own file is gone".into());
        }
        Ok(())
    }

    fn judge_error(&self, place: &Place, run: &Run, progress: Progress, errno: Errno) -> Result<Outcome, String> {
        match run.code {
            Some(0) if progress == Progress::Old => return Err("success without a result".into()),
            Some(0) => return Ok(Outcome::Succeeded),
            Some(1) => {}
            _ => return Err("neither success nor failure".into()),
        }
        let reason = format!("os error {}", errno as i32);
        let folder = place.path().to_str().unwrap();
        let lines: Vec<&str> =
            run.stderr.lines().filter(|line| line.contains(&reason) && line.contains(folder)).collect();
        if lines.is_empty() {
            return Err(format!("no line with path and reason ({reason})"));
        }
        let said = ["the certificate in use is still the old one", "no certificate was changed"];
        let is_said = lines.iter().any(|line| said.iter().any(|words| line.contains(words)));
        if self.operation.renews() && progress == Progress::Old && !is_said {
            return Err(format!("not said that the old certificate is still in use: {lines:?}"));
        }
        Ok(Outcome::Failed(progress))
    }

    /// The next run: it finishes or cleans up alone, and where the operation was not done it can be done again. After every
    /// second death of a `certonly` the next run is the same command again, which finds done what the first one had all but
    /// done.
    fn finish(&self, place: &Place, before: &Live, died: bool, call: &Call) -> Result<(), String> {
        let tree = place.tree();
        crate::operation::let_time_pass(&tree);
        let arguments = self.operation.arguments(self.world, place.path());
        let is_repeated = died && arguments[0] == "certonly" && call.number % 2 == 1;
        let next = if is_repeated {
            self.world.run(place, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
        } else {
            self.world.run(place, &RENEW)
        };
        if died && next.code != Some(0) {
            return Err(format!("the next run fails: {next:?}"));
        }
        if self.operation.progress(&tree, before)? == Progress::Old {
            if died && self.operation.renews() {
                return Err(format!("the next run does not renew: {next:?}"));
            }
            let mut again = arguments;
            if again[0] == "renew" {
                // It waits before it tries again what failed.
                again.push("--force-renewal".into());
            }
            let again: Vec<&str> = again.iter().map(String::as_str).collect();
            let run = self.world.run(place, &again);
            if run.code != Some(0) || self.operation.progress(&tree, before)? == Progress::Old {
                return Err(format!("it cannot be done afterwards: {run:?}"));
            }
        }
        self.others_are_as_before(place, before)?;
        let left = look::leftovers(&tree);
        if !left.is_empty() {
            return Err(format!("the next run leaves {left:?}: {next:?}"));
        }
        if self.operation == Operation::Delete && !look::traces(&tree, DUE).is_empty() {
            return Err(format!("the next run leaves {:?}", look::traces(&tree, DUE)));
        }
        let listing = self.world.run(place, &["certificates", "--json"]);
        let document: serde_json::Value = serde_json::from_str(&listing.stdout).map_err(|error| error.to_string())?;
        if document["problems"].as_array().is_none_or(|problems| !problems.is_empty()) {
            return Err(format!("problems remain: {}", document["problems"]));
        }
        self.operation.hooks_ran(&tree, &place.hooked())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Death => formatter.write_str("SIGKILL"),
            Self::Once(errno) => write!(formatter, "{errno:?}"),
            Self::FromThereOn(errno) => write!(formatter, "{errno:?} from there on"),
        }
    }
}

fn indented(run: &Run) -> String {
    format!("    exit {:?}\n    {}", run.code, run.stderr.trim_end().replace('\n', "\n    "))
}
