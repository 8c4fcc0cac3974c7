//! certbot as the reader of trees.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::look;
use crate::world::Place;

/// A running certbot that reads one tree after another.
pub struct CertbotReader {
    child: Child,
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

impl CertbotReader {
    /// Loads certbot.
    pub fn start() -> Self {
        let python = testkit::certbot_program().with_file_name("python");
        let script = testkit::workspace().join("faults/src/read_trees.py");
        let mut command = Command::new(python);
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let pipes = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, pipes: Mutex::new(pipes) }
    }

    /// Lets `certbot certificates` read a copy of the place's tree (certbot repairs what it reads). It has to know every
    /// lineage that has a conf.
    pub fn read(&self, place: &Place) -> Result<(), String> {
        let copy = place.copy();
        let mut line = String::new();
        {
            let mut pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
            writeln!(pipes.0, "{}", copy.path().display()).unwrap();
            pipes.1.read_line(&mut line).unwrap();
        }
        let answer: serde_json::Value =
            serde_json::from_str(&line).map_err(|error| format!("certbot said {line}: {error}"))?;
        let text = answer["text"].as_str().unwrap_or_default();
        let known = |name: &String| text.contains(&format!("Certificate Name: {name}\n"));
        if answer["status"] != 0 || text.contains("invalid") || !look::lineages(&copy.tree()).iter().all(known) {
            return Err(format!("certbot does not understand the tree: {text}"));
        }
        Ok(())
    }
}

impl Drop for CertbotReader {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
