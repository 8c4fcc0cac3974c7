//! Who reads all the time, and what must never be read.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{PATIENCE, Shared};

/// A command that reads, and which lineages of its document are not whole.
pub(super) struct Reader {
    arguments: &'static [&'static str],
    /// Where the lineages stand in the document.
    lineages: &'static str,
    is_whole: fn(&Value) -> bool,
}

/// Each of them lists every lineage. What is due, overdue or nearly over is whole all the same.
pub(super) const READERS: [Reader; 4] = [
    Reader {
        arguments: &["certificates", "--json"],
        lineages: "lineages",
        // Pebble's certificates begin in the second in which they are issued: after a listing has looked at the clock, too.
        is_whole: |one| {
            (one["status"] == "valid" || one["status"] == "not-yet-valid")
                && one["error"].is_null()
                && one["version"].is_u64()
        },
    },
    Reader {
        arguments: &["status", "--json"],
        lineages: "lineages",
        is_whole: |one| {
            let states = one["states"].as_array();
            one["not_after"].is_string() && states.is_some_and(|states| states.iter().all(|state| state != "broken"))
        },
    },
    Reader {
        arguments: &["plan", "--json"],
        lineages: "lineages",
        is_whole: |one| one["state"] != "broken" && one["error"].is_null() && one["not_after"].is_string(),
    },
    Reader {
        arguments: &["check", "--json", "--no-probe"],
        lineages: "certificates",
        is_whole: |one| one["level"] != "unknown" && one["not_after"].is_string(),
    },
];

/// What a reader saw.
#[derive(Default)]
pub(super) struct Seen {
    looks: usize,
    wrong: BTreeSet<String>,
}

impl Shared {
    /// Reads again and again until `done`: whatever is listed is whole, and nothing is wrong with the store.
    pub(super) fn watch<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        reader: &'scope Reader,
        done: &'scope AtomicBool,
    ) -> ScopedJoinHandle<'scope, Seen> {
        scope.spawn(|| {
            let mut seen = Seen::default();
            let began = Instant::now();
            // A test that fails never says that it is done.
            while !done.load(Ordering::Relaxed) && began.elapsed() < PATIENCE {
                seen.look(reader, &self.certkit(reader.arguments).json());
                // The others need the processor, too.
                thread::sleep(Duration::from_millis(40));
            }
            seen
        })
    }

    /// What is not whole, as each reader tells it.
    pub(super) fn told_broken(&self) -> [BTreeSet<String>; READERS.len()] {
        READERS.each_ref().map(|reader| {
            let mut seen = Seen::default();
            seen.look(reader, &self.certkit(reader.arguments).json());
            seen.wrong
        })
    }
}

impl Seen {
    fn look(&mut self, reader: &Reader, document: &Value) {
        let (command, lineages) = (reader.arguments[0], document[reader.lineages].as_array().unwrap());
        assert!(!lineages.is_empty(), "{command}: {document}");
        for lineage in lineages.iter().filter(|lineage| !(reader.is_whole)(lineage)) {
            self.wrong.insert(format!("{command}: {lineage}"));
        }
        // What the run at work has ordered is told, as what it is; and nobody has an address here.
        let problems = document["problems"].as_array().into_iter().flatten();
        for problem in problems.filter(|one| one["code"] != "order-pending" && one["code"] != "nobody-is-told") {
            self.wrong.insert(format!("{command}: {problem}"));
        }
        self.looks += 1;
    }

    #[track_caller]
    pub(super) fn assert_sound(&self) {
        assert!(self.looks > 3, "only {} looks", self.looks);
        assert!(self.wrong.is_empty(), "in {} looks: {:#?}", self.looks, self.wrong);
    }
}
