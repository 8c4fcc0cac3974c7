//! What came of a soak.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Soak {
    /// Runs that were drawn, the second ones included.
    pub runs: usize,
    /// How many of them the kill met.
    pub killed: usize,
    /// How many had to wait for another one's end.
    pub refused: usize,
    /// Undisturbed runs of `renew` in between, after each of which nothing may be left.
    pub settled: usize,
    /// Killed runs after which their certificate was as before.
    pub old: usize,
    /// Killed runs after which it was the next one, or gone, as they were told.
    pub new: usize,
    /// Versions that a run or a hook said to be saved.
    pub acknowledged: usize,
    /// The most that one kill left under temporary names.
    pub most_temporary: usize,
    /// Runs and kills, by what they did.
    pub kinds: BTreeMap<&'static str, (usize, usize)>,
    /// What must not be.
    pub wrong: Vec<String>,
}

/// The head of the table.
pub const HEAD: &str = "| runs | killed | all as before | done | refused | undisturbed runs between | acknowledged | left by one kill, at most | wrong |\n|---|---|---|---|---|---|---|---|---|\n";

impl Soak {
    /// Its row, below [`HEAD`].
    pub fn row(&self) -> String {
        let Self { runs, killed, refused, settled, old, new, acknowledged, most_temporary, wrong, .. } = self;
        format!(
            "| {runs} | {killed} | {old} | {new} | {refused} | {settled} | {acknowledged} | {most_temporary} | {} |\n",
            wrong.len()
        )
    }

    /// What was run and killed how often.
    pub fn kinds(&self) -> String {
        self.kinds.iter().fold(String::new(), |mut text, (kind, (runs, killed))| {
            let _ = writeln!(text, "{kind}: {runs} runs, {killed} killed");
            text
        })
    }

    /// What was wrong, a line each.
    pub fn complaints(&self) -> String {
        self.wrong.iter().fold(String::new(), |mut text, wrong| {
            let _ = writeln!(text, "WRONG {wrong}");
            text
        })
    }
}
