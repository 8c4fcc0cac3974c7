//! Running the binary on a tree of its own.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
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

    /// The same as a user who is not root, with a copy of the binary that this user can start.
    pub(crate) fn run_as_nobody(&self, arguments: &[&str]) -> Run {
        as_nobody(self.folder(), &self.command(arguments))
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

/// Runs the binary as `command` says, as a user who is not root, from a copy in this folder, which is opened for it.
pub(crate) fn as_nobody(folder: &Path, command: &Command) -> Run {
    let binary = folder.join("certkit");
    if !binary.exists() {
        fs::copy(env!("CARGO_BIN_EXE_certkit"), &binary).unwrap();
    }
    for path in [folder, &binary] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let is_root = fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0);
    let mut as_nobody = if is_root {
        let mut setpriv = Command::new("setpriv");
        setpriv.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&binary);
        setpriv
    } else {
        Command::new(&binary)
    };
    as_nobody.args(command.get_args()).env_clear().stdin(Stdio::null());
    as_nobody.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Run::of(as_nobody.output().expect("setpriv is missing: install util-linux"))
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
