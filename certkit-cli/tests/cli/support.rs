//! Running the binary on a tree of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use chrono::Utc;
use serde_json::Value;
use tempfile::TempDir;
use testkit::{Pebble, Tree};

/// A tree and, when there is one, a CA.
pub(crate) struct Place {
    folder: TempDir,
    pub(crate) tree: Tree,
}

/// What a run printed and how it ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("certkit-cli-").tempdir().unwrap();
        let tree = Tree::new(folder.path().join("etc"), Utc::now());
        Self { folder, tree }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder().join("log/certkit.log")
    }

    /// The binary with this tree's directories and nothing else from the outside.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_certkit"));
        command
            .args(["--config-dir".as_ref(), self.tree.config_dir()])
            .args(["--work-dir".as_ref(), self.folder().join("work").as_path()])
            .args(["--logs-dir".as_ref(), self.folder().join("log").as_path()])
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        Run::of(self.command(arguments).output().unwrap())
    }

    /// With the CA's URL and its root.
    pub(crate) fn run_at(&self, ca: &Pebble, arguments: &[&str]) -> Run {
        let mut command = self.command(arguments);
        command.args(["--server", &ca.directory_url(), "--ca-bundle"]).arg(ca.ca_bundle());
        Run::of(command.output().unwrap())
    }

    /// With the CA's root only: the server comes from the confs.
    pub(crate) fn run_trusting(&self, ca: &Pebble, arguments: &[&str]) -> Run {
        let mut command = self.command(arguments);
        command.env("SSL_CERT_FILE", ca.ca_bundle());
        Run::of(command.output().unwrap())
    }
}

impl Run {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            status: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    pub(crate) fn ends_with(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let document: Value = serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("no JSON: {self:?}"));
        assert_eq!(document["schema"], 1);
        document
    }
}
